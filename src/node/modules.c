/*
 * Modules: shared objects that export functions into the node.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/internal.h"

/* Set by the build: where installed modules live. */
#ifndef KITH_MODULE_DIR
#define KITH_MODULE_DIR "/usr/lib/kith"
#endif

static bool is_file(const char *path)
{
    uv_fs_t request;
    int r = uv_fs_stat(NULL, &request, path, NULL);
    uv_fs_req_cleanup(&request);
    return r == 0;
}

static bool try_dir(const char *dir, size_t dir_len, const char *name, char path_out[PATH_MAX])
{
    int n = snprintf(path_out, PATH_MAX, "%.*s/%s.so", (int)dir_len, dir, name);
    return n > 0 && n < PATH_MAX && is_file(path_out);
}

/* KITH_MODULE_PATH (colon-separated), beside the running binary, the installed directory. */
static int find(const char *name, char path_out[PATH_MAX])
{
    const char *path = getenv("KITH_MODULE_PATH");
    char exe[PATH_MAX];
    size_t exe_len = sizeof(exe);

    if (strchr(name, '/') != NULL) {
        if (realpath(name, path_out) != NULL)
            return 0;
        return kith_fail_with(KITH_E_NOT_FOUND,
                              "there is no module at %s; give the path of a shared object", name);
    }
    while (path != NULL && *path != '\0') {
        size_t len = strcspn(path, ":");
        if (len > 0 && try_dir(path, len, name, path_out))
            return 0;
        path += len + (path[len] == ':');
    }
    if (uv_exepath(exe, &exe_len) == 0) {
        const char *slash = strrchr(exe, '/');
        if (slash != NULL && try_dir(exe, (size_t)(slash - exe), name, path_out))
            return 0;
    }
    if (try_dir(KITH_MODULE_DIR, strlen(KITH_MODULE_DIR), name, path_out))
        return 0;
    return kith_fail_with(
        KITH_E_NOT_FOUND,
        "there is no module %s: looked for %s.so in KITH_MODULE_PATH, beside the "
        "running program, and in %s; set KITH_MODULE_PATH or give a path with a /",
        name, name, KITH_MODULE_DIR);
}

/* The module's descriptor, checked; NULL and a sentence if it cannot be used. */
static const struct kith_module *inspect(uv_lib_t *lib, const char *path)
{
    void *symbol = NULL;

    if (uv_dlsym(lib, "kith_module", &symbol) != 0 || symbol == NULL) {
        kith_fail_with(KITH_E_MODULE,
                       "%s is no kith module: it has no object named kith_module; write "
                       "KITH_MODULE = {...} in it (kith/module.h)",
                       path);
        return NULL;
    }
    const struct kith_module *module = symbol;
    if (module->abi != KITH_MODULE_ABI) {
        kith_fail_with(KITH_E_MODULE,
                       "%s was compiled for module ABI %u, this node has %u; compile it "
                       "again with the headers of kith %s",
                       path, module->abi, KITH_MODULE_ABI, KITH_VERSION);
        return NULL;
    }
    if (module->start == NULL || module->name == NULL) {
        kith_fail_with(KITH_E_MODULE, "%s has no name or no start function", path);
        return NULL;
    }
    return module;
}

/*
 * Starts a module. One that refuses takes back what it had exported; its code stays mapped all the
 * same, since a call of it may be running.
 */
static int module_start(struct kith_node *node, const struct kith_module *module)
{
    struct list *last = node->exports.prev;
    char why[1024];

    kith_errmsg_clear();
    if (module->start(node) == 0)
        return 0;
    snprintf(why, sizeof(why), "%s", kith_errmsg());
    for (struct list *it = last->next, *next; it != &node->exports; it = next) {
        next = it->next;
        (void)!kith_unexport(node, container_of(it, struct node_export, link)->name);
    }
    return kith_fail_with(KITH_E_MODULE, "module %s refused to start: %s", module->name,
                          why[0] != '\0' ? why : "it does not say why");
}

static int load(struct kith_node *node, const char *name)
{
    char path[PATH_MAX];
    const struct kith_module *module;
    uv_lib_t lib;

    int r = find(name, path);
    if (r != 0)
        return r;
    for (size_t i = 0; i < node->modules_n; i++) {
        if (strcmp(node->modules[i].path, path) == 0)
            return kith_fail_with(KITH_E_EXISTS, "%s is loaded already", path);
    }
    if (node->modules_n == NODE_MODULES_MAX)
        return kith_fail_with(KITH_E_LIMIT, "%d modules are loaded, which is the limit",
                              NODE_MODULES_MAX);
    if (uv_dlopen(path, &lib) != 0) {
        r = kith_fail_with(KITH_E_MODULE, "%s cannot be loaded: %s", path, uv_dlerror(&lib));
        uv_dlclose(&lib);
        return r;
    }
    for (size_t i = 0; i < node->modules_n; i++) {
        if (node->modules[i].handle != lib.handle)
            continue;
        uv_dlclose(&lib); /* by another path: one reference less, it stays */
        return kith_fail_with(KITH_E_EXISTS, "%s is loaded already, as %s", path,
                              node->modules[i].path);
    }
    module = inspect(&lib, path);
    char *kept = module != NULL ? core_strndup(path, strlen(path)) : NULL;
    if (kept == NULL) {
        uv_dlclose(&lib);
        return module == NULL ? KITH_E_MODULE : KITH_E_MEMORY;
    }
    r = module_start(node, module);
    if (r != 0) {
        core_free(kept);
        return r;
    }
    node->modules[node->modules_n++] =
        (struct node_module){.path = kept, .handle = lib.handle, .module = module};
    log_info(&node->log.log, "node", "module loaded", "name", module->name, "version",
             module->version != NULL ? module->version : "", "path", path, NULL);
    return 0;
}

struct load_call {
    const char *name;
    int code;
    char text[1024];
};

static void load_run(struct kith_node *node, void *arg)
{
    struct load_call *call = arg;
    kith_errmsg_clear();
    call->code = load(node, call->name);
    snprintf(call->text, sizeof(call->text), "%s", kith_errmsg());
}

int kith_module_load(struct kith_node *node, const char *name_or_path)
{
    struct load_call call = {.name = name_or_path};
    if (node == NULL || name_or_path == NULL || name_or_path[0] == '\0')
        return kith_fail_with(KITH_E_INVALID, "node and module name must not be empty");
    int r = node_run(node, load_run, &call);
    if (r != 0)
        return r;
    return call.code != 0 ? kith_fail_with(call.code, "%s", call.text) : 0;
}

/* A bad module is told and left out: the node goes on. */
int node_modules_load_configured(struct kith_node *node)
{
    for (size_t i = 0; i < config_repeat_n(node->config, "node.load"); i++) {
        const char *name = config_repeat(node->config, "node.load", i);
        if (load(node, name) != 0)
            log_error(&node->log.log, "node", "module not loaded", "module", name, "reason",
                      kith_errmsg(), NULL);
    }
    return 0;
}

/* The last one first. Code of a module may still run on workers: it stays mapped. */
void node_modules_stop(struct kith_node *node)
{
    for (size_t i = node->modules_n; i-- > 0;) {
        if (node->modules[i].module->stop != NULL)
            node->modules[i].module->stop(node);
    }
    for (size_t i = 0; i < node->modules_n; i++)
        core_free(node->modules[i].path);
    node->modules_n = 0;
}

void node_modules_deinit(struct kith_node *node)
{
    for (size_t i = 0; i < node->modules_n; i++)
        core_free(node->modules[i].path);
    node->modules_n = 0;
}

size_t node_modules(struct kith_node *node, const struct kith_module **out, size_t max)
{
    size_t n = node->modules_n < max ? node->modules_n : max;
    for (size_t i = 0; i < n; i++)
        out[i] = node->modules[i].module;
    return n;
}

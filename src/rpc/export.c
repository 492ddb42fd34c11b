#include "rpc/export.h"

#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "rpc/actions.h"
#include "rpc/calls.h"
#include "rpc/registry.h"
#include "rpc/serve.h"
#include "rpc/watch.h"

/* ---- table ---- */

static int
check_desc(struct rpc_core *core, const struct kith_export *desc, uint64_t *signature_out)
{
    if (core->stopped)
        return kith_fail_with(KITH_E_STOPPED, "export: this node is stopping; start it again");
    if (desc->name == NULL || !text_is_function_name(desc->name))
        return kith_fail_with(
            KITH_E_NAME,
            "export: a function name has 1 to %d printable ASCII characters without "
            "spaces; choose another",
            KITH_NAME_BYTES_MAX);
    if (desc->version != NULL && strlen(desc->version) > RPC_VERSION_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE,
                              "export of '%s': the version has more than %d bytes; "
                              "shorten it",
                              desc->name, RPC_VERSION_BYTES_MAX);
    if (desc->description != NULL && strlen(desc->description) > RPC_DESCRIPTION_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE,
                              "export of '%s': the description has more than %d "
                              "bytes; shorten it",
                              desc->name, RPC_DESCRIPTION_BYTES_MAX);
    int r = rpc_signature_hash(desc->signature, signature_out);
    if (r != 0)
        return r;
    if (export_find(core, rpc_name_hash(desc->name)) != NULL)
        return kith_fail_with(
            KITH_E_EXISTS, "export of '%s': this node offers it already; withdraw that one first",
            desc->name);
    if (core->exports_n >= RPC_FUNCTIONS_NODE_MAX)
        return kith_fail_with(KITH_E_LIMIT,
                              "export of '%s': this node offers %d functions, which is the limit; "
                              "withdraw some",
                              desc->name, RPC_FUNCTIONS_NODE_MAX);
    return 0;
}

static void export_free(struct rpc_export *fn)
{
    watchers_free(fn);
    core_free(fn->entry.text);
    core_free(fn);
}

void export_on_export(struct rpc_core *core, const struct kith_export *desc, void *user)
{
    struct rpc_output *out = core->out;
    uint64_t signature = 0;
    out->code = check_desc(core, desc, &signature);
    if (out->code != 0)
        return;
    struct rpc_export *fn = core_calloc(1, sizeof(*fn));
    if (fn == NULL) {
        out->code = KITH_E_MEMORY;
        return;
    }
    struct entry_texts texts = {.name = desc->name,
                                .version = desc->version,
                                .description = desc->description,
                                .signature = desc->signature};
    uint64_t hash = rpc_name_hash(desc->name);
    fn->entry.exported = fn;
    fn->entry.flags = desc->flags;
    fn->entry.signature_hash = signature;
    out->code = entry_set_texts(&fn->entry, &texts);
    if (out->code == 0)
        out->code = map64_set(&core->exports, hash, fn);
    if (out->code == 0) {
        out->code = entry_link(core, &fn->entry, hash);
        if (out->code != 0)
            map64_remove(&core->exports, hash);
    }
    if (out->code != 0) {
        export_free(fn);
        return;
    }
    fn->desc = *desc;
    fn->desc.name = fn->entry.name;
    fn->desc.version = fn->entry.version;
    fn->desc.description = fn->entry.description;
    fn->desc.signature = fn->entry.signature;
    fn->user = user;
    fn->queue_max = desc->queue_max != 0 ? desc->queue_max : RPC_QUEUE_FUNCTION_MAX;
    list_init(&fn->queue);
    list_append(&core->export_list, &fn->link);
    core->exports_n++;
    out->export_out = fn;
    registry_changed(core, fn, NULL);
    calls_wake(core, fn->entry.fn);
}

void export_settle(struct rpc_core *core, struct rpc_export *fn)
{
    if (!fn->withdrawn || fn->running > 0 || fn->queued > 0)
        return;
    struct rpc_action *action = action_add(core, RPC_EXPORT_GONE);
    if (action == NULL)
        return; /* exports_resume() comes back to it */
    action->user = fn->user;
    list_remove(&fn->link);
    export_free(fn);
}

static void refuse_queue(struct rpc_core *core, struct rpc_export *fn)
{
    struct list *node;
    while ((node = list_first(&fn->queue)) != NULL && action_room(core)) {
        struct rpc_serve *serve = container_of(node, struct rpc_serve, link);
        const char *text = arena_text(core,
                                      "'%s' was withdrawn while the call waited; nothing ran; "
                                      "`kith fn ls` shows who offers it",
                                      fn->desc.name);
        serve_refuse(core, serve, KITH_E_NO_FUNCTION, text);
    }
}

void export_on_unexport(struct rpc_core *core, const char *name)
{
    uint64_t hash = rpc_name_hash(name);
    struct rpc_export *fn = export_find(core, hash);
    if (fn == NULL) {
        core->out->code =
            kith_fail_with(KITH_E_NOT_FOUND,
                           "unexport of '%s': this node does not offer it; `kith fn ls` "
                           "lists what it offers",
                           name);
        return;
    }
    map64_remove(&core->exports, hash);
    core->exports_n--;
    entry_unlink(core, &fn->entry);
    list_remove(&fn->link);
    list_remove(&fn->ready);
    list_append(&core->withdrawn, &fn->link);
    fn->withdrawn = true;
    registry_changed(core, NULL, fn->desc.name);
    refuse_queue(core, fn);
    export_settle(core, fn);
}

void export_on_parallel(struct rpc_core *core, const char *name, uint32_t n)
{
    struct rpc_export *fn = export_find(core, rpc_name_hash(name));
    if (fn == NULL) {
        core->out->code = KITH_E_NOT_FOUND;
        return;
    }
    fn->desc.parallel = n;
    export_ready(core, fn);
}

void exports_resume(struct rpc_core *core)
{
    list_for_each_safe (node, &core->withdrawn) {
        struct rpc_export *fn = container_of(node, struct rpc_export, link);
        refuse_queue(core, fn);
        export_settle(core, fn);
    }
}

static void free_exports(struct list *list)
{
    struct list *node;
    while ((node = list_first(list)) != NULL) {
        list_remove(node);
        export_free(container_of(node, struct rpc_export, link));
    }
}

void exports_deinit(struct rpc_core *core)
{
    list_for_each (node, &core->export_list) {
        entry_unlink(core, &container_of(node, struct rpc_export, link)->entry);
    }
    free_exports(&core->export_list);
    free_exports(&core->withdrawn);
    map64_deinit(&core->exports);
}

/* ---- which starts next ---- */

static bool is_pooled(const struct rpc_export *fn)
{
    return (fn->desc.flags & (KITH_FN_INLINE | KITH_FN_DEFERRED)) == 0;
}

static bool has_place(const struct rpc_export *fn)
{
    return fn->desc.parallel == 0 || fn->running < fn->desc.parallel;
}

bool export_can_run(const struct rpc_core *core, const struct rpc_export *fn)
{
    if ((fn->desc.flags & KITH_FN_INLINE) != 0)
        return true;
    return has_place(fn) && (!is_pooled(fn) || core->pooled_n < core->config.workers);
}

void export_ready(struct rpc_core *core, struct rpc_export *fn)
{
    bool ready = fn->queued > 0 && has_place(fn) && !fn->withdrawn;
    if (!ready)
        list_remove(&fn->ready);
    else if (!list_linked(&fn->ready))
        list_append(is_pooled(fn) ? &core->ready : &core->ready_deferred, &fn->ready);
}

static void run_next(struct rpc_core *core, struct rpc_export *fn)
{
    list_remove(&fn->ready);
    struct rpc_serve *serve = container_of(list_first(&fn->queue), struct rpc_serve, link);
    serve_unqueue(core, serve);
    serve_run(core, serve);
    export_ready(core, fn);
}

/* Round robin over the functions: one that is called a lot does not starve another. */
void exports_pump(struct rpc_core *core)
{
    struct list *node;
    while ((node = list_first(&core->ready_deferred)) != NULL && action_room(core))
        run_next(core, container_of(node, struct rpc_export, ready));
    while (core->pooled_n < core->config.workers && (node = list_first(&core->ready)) != NULL &&
           action_room(core))
        run_next(core, container_of(node, struct rpc_export, ready));
}

/* ---- for the driver ---- */

const struct kith_export *rpc_export_desc(const struct rpc_export *fn)
{
    return &fn->desc;
}

void *rpc_export_user(const struct rpc_export *fn)
{
    return fn->user;
}

/* See dev_conf.h. */
#include "cli/dev_conf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/dev_node.h"
#include "cli/setup.h"
#include "core/error.h"
#include "core/placement.h"
#include "node/config.h"

bool dev_has_module(const char *name)
{
    const char *self = cli_self_path();
    const char *slash = strrchr(self, '/');
    const char *const dirs[] = {getenv("KITH_MODULE_PATH"), KITH_MODULE_DIR};
    char path[4200];

    snprintf(path, sizeof(path), "%.*s/%s.so", slash != NULL ? (int)(slash - self) : 0, self, name);
    if (slash != NULL && access(path, R_OK) == 0)
        return true;
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        for (const char *dir = dirs[i]; dir != NULL && *dir != '\0'; dir += strspn(dir, ":")) {
            int len = (int)strcspn(dir, ":");
            snprintf(path, sizeof(path), "%.*s/%s.so", len, dir, name);
            if (access(path, R_OK) == 0)
                return true;
            dir += len;
        }
    }
    return false;
}

/* "section.key=value" as a line under its own heading: INI allows a section twice. */
static int conf_pair(struct cli *cli, struct buf *conf, const char *pair)
{
    size_t section = strcspn(pair, ".="), key = strcspn(pair, "=");

    if (pair[section] != '.' || pair[key] != '=')
        return cli_fail(cli, EXIT_USAGE, NULL, "--set %s: write --set section.key=value", pair);
    (void)buf_printf(conf, "[%.*s]\n%.*s = %s\n", (int)section, pair, (int)(key - section - 1),
                     pair + section + 1, pair + key + 1);
    return EXIT_OK;
}

static int
build_conf(struct cli *cli, const struct dev_node *node, size_t nodes_n, struct buf *conf)
{
    const struct args *args = &cli->args;
    const char *text;
    int x = EXIT_OK;

    (void)buf_printf(conf,
                     "# node %u of kith dev; yours to change\n[node]\nname = dev-%u\ndev = yes\n",
                     node->k, node->k);
    if (dev_has_module("mandelbrot"))
        (void)buf_printf(conf, "load = mandelbrot\n");
    if (dev_has_module("whiteboard"))
        (void)buf_printf(conf, "load = whiteboard\n");
    for (size_t i = 0; (text = args_repeat(args, "load", i)) != NULL; i++) {
        char path[4096];
        /* The agents do not stand where we do. */
        if (strchr(text, '/') != NULL && realpath(text, path) != NULL)
            text = path;
        (void)buf_printf(conf, "load = %s\n", text);
    }
    /* They make the first view of shared state together, so that it survives one of them at once.
     */
    (void)buf_printf(conf, "[view]\nexpect = %zu\n",
                     node->k > PLACEMENT_KEEPERS_MAX   ? (size_t)0
                     : nodes_n > PLACEMENT_KEEPERS_MAX ? (size_t)PLACEMENT_KEEPERS_MAX
                                                       : nodes_n);
    (void)buf_printf(conf, "[net]\nlisten = 127.0.0.1:0\n[log]\ntarget = %s/log\n", node->dir);
    for (size_t i = 0; x == EXIT_OK && (text = args_repeat(args, "set", i)) != NULL; i++)
        x = conf_pair(cli, conf, text);
    return x;
}

int dev_conf_write(struct cli *cli, const struct dev_node *node, size_t nodes_n)
{
    bool given = args_flag(&cli->args, "set") || args_flag(&cli->args, "load");
    char path[AGENT_SOCKET_PATH_MAX + 16];
    struct buf conf = {0};
    int r = 0;

    snprintf(path, sizeof(path), "%s/" SETUP_CONF_FILE, node->dir);
    if (!given && access(path, F_OK) == 0)
        return EXIT_OK;
    int x = build_conf(cli, node, nodes_n, &conf);
    if (x == EXIT_OK) {
        struct kith_config *check = kith_config_new();
        r = check == NULL ? KITH_E_MEMORY
                          : config_load_text(check, path, (const char *)conf.data, conf.len);
        kith_config_free(check);
        if (r == 0 && buf_append_u8(&conf, '\0') != 0)
            r = KITH_E_MEMORY;
        if (r == 0)
            r = setup_write_conf(node->dir, (const char *)conf.data);
        if (r != 0)
            x = cli_fail_code(cli, r);
    }
    buf_deinit(&conf);
    return x;
}

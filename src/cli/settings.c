/* See settings.h; and kith config. */
#include "cli/settings.h"

#include <glob.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/setup.h"
#include "cli/table.h"
#include "core/error.h"
#include "kith.h"

/* ---- files
 * ---------------------------------------------------------------------------------------- */

/* Directory of the usual files: /etc/kith for root, else $XDG_CONFIG_HOME/kith. "" if there is
 * none. */
static void usual_dir(char *out, size_t out_bytes)
{
    const char *xdg = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");

    out[0] = '\0';
    if (geteuid() == 0)
        snprintf(out, out_bytes, "/etc/kith");
    else if (xdg != NULL && xdg[0] == '/')
        snprintf(out, out_bytes, "%s/kith", xdg);
    else if (home != NULL && home[0] == '/')
        snprintf(out, out_bytes, "%s/.config/kith", home);
}

/* A usual file may be absent. */
static int load_if_there(struct kith_config *config, const char *path)
{
    if (access(path, F_OK) != 0)
        return 0;
    return kith_config_load(config, path);
}

static int load_usual(struct kith_config *config)
{
    char dir[4096], path[4200];
    glob_t files = {0};
    int r;

    usual_dir(dir, sizeof(dir));
    if (dir[0] == '\0')
        return 0;
    snprintf(path, sizeof(path), "%s/kith.conf", dir);
    r = load_if_there(config, path);
    snprintf(path, sizeof(path), "%s/conf.d/*.conf", dir);
    if (r == 0 && glob(path, 0, NULL, &files) == 0) {
        for (size_t i = 0; r == 0 && i < files.gl_pathc; i++)
            r = kith_config_load(config, files.gl_pathv[i]);
        globfree(&files);
    }
    return r;
}

static const struct opt *has_option(const struct cli *cli, const char *name)
{
    const struct opt *opt;

    for (size_t i = 0; (opt = verb_option(cli->args.verb, i)) != NULL; i++) {
        if (strcmp(opt->name, name) == 0)
            return opt;
    }
    return NULL;
}

/* --config, else KITH_CONFIG, else the usual files. */
static int load_files(const struct cli *cli, struct kith_config *config)
{
    const char *path = getenv("KITH_CONFIG");
    const char *given = has_option(cli, "config") ? args_text(&cli->args, "config") : NULL;
    int r = 0;

    if (given != NULL) {
        for (size_t i = 0; r == 0 && (path = args_repeat(&cli->args, "config", i)) != NULL; i++)
            r = kith_config_load(config, path);
        return r;
    }
    return path != NULL && path[0] != '\0' ? kith_config_load(config, path) : load_usual(config);
}

/* ---- flags
 * ---------------------------------------------------------------------------------------- */

static int set_pair(struct kith_config *config, const char *pair)
{
    char key[128];
    size_t len = strcspn(pair, "=");

    if (pair[len] == '\0' || len == 0 || len >= sizeof(key))
        return kith_fail_with(KITH_E_PARSE, "--set %s: write --set section.key=value", pair);
    memcpy(key, pair, len);
    key[len] = '\0';
    const struct config_key *found = config_key_find(key);
    if (found != NULL && (found->flags & CONFIG_INTERNAL))
        return kith_fail_with(KITH_E_PARSE, "--set %s: this key cannot be set", pair);
    return config_set_from(config, key, pair + len + 1, "--set");
}

static int set_flags(const struct cli *cli, struct kith_config *config)
{
    static const struct {
        const char *option, *key, *origin;
    } flags[] = {
        {"name", "node.name", "--name"},       {"listen", "net.listen", "--listen"},
        {"seed", "net.seed", "--seed"},        {"secret-file", "net.secret_file", "--secret-file"},
        {"expect", "view.expect", "--expect"}, {"load", "node.load", "--load"},
        {"web", "web.listen", "--web"}};
    const char *text;
    int r = 0;

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (!has_option(cli, flags[i].option))
            continue;
        /* Of one that does not repeat the last holds, as everywhere. */
        for (size_t j = 0; r == 0 && (text = args_repeat(&cli->args, flags[i].option, j)) != NULL;
             j++)
            r = config_set_from(config, flags[i].key, text, flags[i].origin);
    }
    if (r == 0 && has_option(cli, "verbose") && args_flag(&cli->args, "verbose"))
        r = config_set_from(config, "log.level", "debug", "--verbose");
    for (size_t j = 0;
         r == 0 && has_option(cli, "set") && (text = args_repeat(&cli->args, "set", j)) != NULL;
         j++)
        r = set_pair(config, text);
    return r;
}

/* ---- all
 * ------------------------------------------------------------------------------------------ */

/* The directory decides which further files count, so it is settled first. */
static int
settle_data_dir(const struct cli *cli, struct kith_config *config, char *dir, size_t dir_bytes)
{
    const char *given = args_text(&cli->args, "data-dir");
    const char *origin = given != NULL ? "--data-dir" : "default";

    if (given == NULL && kith_config_get(config, "node.data_dir") != NULL) {
        given = kith_config_get(config, "node.data_dir");
        origin = NULL; /* as it is */
    }
    int r = setup_data_dir(given, dir, dir_bytes);
    return r == 0 && origin != NULL ? config_set_from(config, "node.data_dir", dir, origin) : r;
}

static int load_all(const struct cli *cli, struct kith_config *config)
{
    const char *level = getenv("KITH_LOG");
    char dir[4096], path[4200];
    int r = load_files(cli, config);

    if (r == 0)
        r = settle_data_dir(cli, config, dir, sizeof(dir));
    if (r != 0)
        return r;
    snprintf(path, sizeof(path), "%s/" SETUP_CONF_FILE, dir);
    r = load_if_there(config, path);
    if (r == 0 && level != NULL && level[0] != '\0')
        r = config_set_from(config, "log.level", level, "KITH_LOG");
    if (r == 0)
        r = set_flags(cli, config);
    if (r == 0)
        r = config_add_seeds(config, dir);
    return r;
}

int settings_reload(struct cli *cli, struct kith_config **config_out)
{
    struct kith_config *config = kith_config_new();
    int r = config != NULL ? load_all(cli, config) : KITH_E_MEMORY;

    *config_out = NULL;
    if (r == 0)
        *config_out = config;
    else
        kith_config_free(config);
    return r;
}

int settings_load(struct cli *cli, struct kith_config **config_out)
{
    int r = settings_reload(cli, config_out);

    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

/* ---- kith config show
 * ------------------------------------------------------------------------------ */

static const char *
shown_value(const struct kith_config *config, const struct config_key *key, size_t i)
{
    if (key->flags & CONFIG_REPEATS)
        return config_repeat(config, key->name, i);
    return kith_config_get(config, key->name);
}

static size_t values_n(const struct kith_config *config, const struct config_key *key)
{
    return key->flags & CONFIG_REPEATS ? config_repeat_n(config, key->name) : 1;
}

static json_t *config_doc(const struct kith_config *config)
{
    size_t n;
    const struct config_key *keys = config_keys(&n);
    json_t *list = json_pack("[]");
    char type[96];

    for (size_t i = 0; list != NULL && i < n; i++) {
        if (keys[i].flags & CONFIG_INTERNAL)
            continue;
        json_t *values = json_pack("[]");
        for (size_t j = 0; j < values_n(config, &keys[i]); j++) {
            const char *value = shown_value(config, &keys[i], j);
            if (value != NULL)
                (void)json_array_append_new(values,
                                            json_pack("{s:s,s:s}", "value", value, "origin",
                                                      config_origin(config, keys[i].name, j)));
        }
        (void)json_array_append_new(
            list, json_pack("{s:s,s:s,s:s?,s:b,s:b,s:s,s:o}", "key", keys[i].name, "type",
                            config_key_type_text(&keys[i], type, sizeof(type)), "default",
                            keys[i].value, "repeats", (keys[i].flags & CONFIG_REPEATS) != 0,
                            "reloads", (keys[i].flags & CONFIG_RELOADS) != 0, "help", keys[i].help,
                            "values", values));
    }
    return json_pack("{s:s,s:o}", "schema", "kith.config/1", "keys", list);
}

static int print_config(struct cli *cli, const struct kith_config *config)
{
    size_t n;
    const struct config_key *keys = config_keys(&n);
    bool origin = args_flag(&cli->args, "origin");
    struct table table;

    table_init(&table, origin ? "KEY VALUE ORIGIN MEANING" : "KEY VALUE MEANING");
    for (size_t i = 0; i < n; i++) {
        size_t shown = values_n(config, &keys[i]);
        if (keys[i].flags & CONFIG_INTERNAL)
            continue;
        for (size_t j = 0; j < (shown > 0 ? shown : 1); j++) {
            const char *value = shown > 0 ? shown_value(config, &keys[i], j) : NULL;
            table_cell(&table, NULL, "%s", keys[i].name);
            table_cell(&table, NULL, "%s", value != NULL ? value : "-");
            if (origin)
                table_cell(&table, NULL, "%s",
                           value != NULL ? config_origin(config, keys[i].name, j) : "-");
            table_cell(&table, TABLE_DIM, "%s", keys[i].help);
        }
    }
    int r = table_print(&table, stdout, true);
    table_deinit(&table);
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

int cmd_config_show(struct cli *cli)
{
    struct kith_config *config;
    int x = settings_load(cli, &config);

    if (x != EXIT_OK)
        return x;
    x = cli->json ? cli_print_json(cli, config_doc(config), "kith.config/1")
                  : print_config(cli, config);
    kith_config_free(config);
    return x;
}

int cmd_config_check(struct cli *cli)
{
    const char *file = cli_arg(cli, 0);
    struct kith_config *config = kith_config_new();
    int r = config == NULL ? KITH_E_MEMORY
            : file != NULL ? kith_config_load(config, file)
                           : load_all(cli, config);

    kith_config_free(config);
    if (r != 0) {
        /* What is wrong is the file, not this command line. */
        int x = cli_fail_code(cli, r);
        return x == EXIT_USAGE ? EXIT_FAILED : x;
    }
    cli_say(cli, "%s good", file != NULL ? "the file is" : "the configuration is");
    return cli->json
               ? cli_print_json(
                     cli, json_pack("{s:s,s:b}", "schema", "kith.config.check/1", "ok", 1), "")
               : EXIT_OK;
}

/* ---- kith config reload
 * ---------------------------------------------------------------------------- */

static void print_changes(json_t *changes, const char *how)
{
    size_t at, i;
    json_t *change, *value;
    char clean[512];

    json_array_foreach(changes, at, change)
    {
        printf("%s  %s =", how, cli_json_text(change, "key"));
        json_array_foreach(json_object_get(change, "values"), i, value)
            printf(" %s", cli_clean(cli_json_text(value, "value"), clean, sizeof(clean)));
        printf("\n");
    }
}

static int show_reloaded(struct cli *cli, json_t *result)
{
    json_t *changed = json_object_get(result, "changed");
    json_t *restart = json_object_get(result, "restart");

    print_changes(changed, "now    ");
    print_changes(restart, "restart");
    if (json_array_size(changed) + json_array_size(restart) == 0)
        cli_say(cli, "nothing has changed");
    else if (json_array_size(restart) > 0)
        cli_say(cli, "what says restart holds when the agent is started again");
    return EXIT_OK;
}

int cmd_config_reload(struct cli *cli)
{
    struct cli_reply reply;
    int x =
        cli_ask(cli, "config.reload", json_pack("{s:s*}", "node", args_text(&cli->args, "node")),
                CLI_ANSWER_MS, &reply);

    /* What is wrong is a file, not this command line. */
    if (x != EXIT_OK)
        return x == EXIT_USAGE ? EXIT_FAILED : x;
    size_t restart_n = json_array_size(json_object_get(reply.result, "restart"));
    x = cli->json ? cli_print_json(cli, json_incref(reply.result), "kith.config.reload/1")
                  : show_reloaded(cli, reply.result);
    return x == EXIT_OK && restart_n > 0 ? EXIT_PARTLY : x;
}

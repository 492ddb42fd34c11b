/* kith init, invite, join; and setup.h. */
#include "cli/setup.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "core/error.h"
#include "core/text.h"
#include "net/data_dir.h"
#include "node/config.h"

#define SEEDS_BYTES_MAX (64 * 1024)
#define CONF_BYTES_MAX  CONFIG_FILE_BYTES_MAX

/* ---- names
 * ---------------------------------------------------------------------------------------- */

/* A cluster's name is only a label, so 1,024 of them are enough to tell one's own apart. */
static void random_name(char *out, size_t out_bytes)
{
    static const char *const first[32] = {
        "amber",  "birch", "brook",   "cedar", "cliff",  "cloud",  "coral",  "delta",
        "ember",  "fern",  "field",   "frost", "garden", "grove",  "harbor", "hazel",
        "island", "ivory", "juniper", "lake",  "maple",  "meadow", "mist",   "moss",
        "north",  "olive", "pine",    "river", "stone",  "summer", "valley", "willow"};
    static const char *const second[32] = {
        "badger", "bear",  "beaver", "crane",  "deer", "dove",  "eagle", "falcon",
        "finch",  "fox",   "gull",   "hare",   "hawk", "heron", "ibex",  "jay",
        "kite",   "lark",  "lynx",   "marten", "mole", "moth",  "otter", "owl",
        "raven",  "robin", "seal",   "stork",  "swan", "tern",  "trout", "wren"};

    snprintf(out, out_bytes, "%s-%s", first[randombytes_uniform(32)],
             second[randombytes_uniform(32)]);
}

static int check_name(const char *what, const char *name)
{
    if (name == NULL || text_is_node_name(name))
        return 0;
    return kith_fail_with(
        KITH_E_NAME, "\"%s\" is no name for a %s: use 1 to 63 of a-z A-Z 0-9 - _ .", name, what);
}

/* ---- directories
 * ---------------------------------------------------------------------------------- */

int setup_data_dir(const char *given, char *out, size_t out_bytes)
{
    if (given == NULL)
        return data_dir_default(out, out_bytes);
    if (strlen(given) + sizeof("/" AGENT_SOCKET_NAME) > AGENT_SOCKET_PATH_MAX + 1)
        return kith_fail_with(
            KITH_E_TOO_LARGE,
            "the data directory %.100s... has %zu bytes, %zu are possible: its control socket "
            "would not fit a socket address",
            given, strlen(given), AGENT_SOCKET_PATH_MAX - sizeof(AGENT_SOCKET_NAME));
    snprintf(out, out_bytes, "%s", given);
    return 0;
}

bool setup_has_cluster(const char *path)
{
    char key[4200];

    snprintf(key, sizeof(key), "%s/cluster.key", path);
    return access(key, F_OK) == 0;
}

/* Opens @dir and says whether it is in a cluster. */
static int open_dir(const char *path,
                    struct data_dir *dir,
                    struct net_cluster *cluster,
                    char name[64],
                    bool *has_out)
{
    int r = data_dir_open(dir, path, true);

    *has_out = false;
    if (r != 0)
        return r;
    r = data_dir_cluster(dir, cluster, name);
    *has_out = r == 0;
    if (r != 0 && r != KITH_E_NO_CLUSTER)
        data_dir_close(dir);
    return r == KITH_E_NO_CLUSTER ? 0 : r;
}

static int put_cluster(const struct data_dir *dir,
                       const struct net_cluster *cluster,
                       const char *name,
                       struct setup_result *result_out)
{
    struct net_identity identity;
    int r = data_dir_identity(dir, true, &identity);

    if (r == 0)
        r = data_dir_set_cluster(dir, cluster, name);
    result_out->id = identity.id;
    result_out->cluster_id = cluster->id;
    snprintf(result_out->cluster_name, sizeof(result_out->cluster_name), "%s", name);
    sodium_memzero(&identity, sizeof(identity));
    return r;
}

int setup_new(const char *path, const char *cluster_name, struct setup_result *result_out)
{
    struct net_cluster cluster;
    struct data_dir dir;
    char name[64];
    bool has;
    int r = check_name("cluster", cluster_name);

    *result_out = (struct setup_result){0};
    if (r == 0)
        r = open_dir(path, &dir, &cluster, name, &has);
    if (r != 0)
        return r;
    if (has) {
        r = kith_fail_with(KITH_E_EXISTS,
                           "%s is in cluster %s already: kith agent --data-dir %s runs it, or "
                           "choose another --data-dir",
                           path, name, path);
    } else {
        randombytes_buf(&cluster, sizeof(cluster));
        if (cluster_name != NULL)
            snprintf(name, sizeof(name), "%s", cluster_name);
        else
            random_name(name, sizeof(name));
        r = data_dir_set_expect(&dir, 1); /* its first start makes the first view */
        if (r == 0)
            r = put_cluster(&dir, &cluster, name, result_out);
    }
    sodium_memzero(&cluster, sizeof(cluster));
    data_dir_close(&dir);
    return r;
}

/* Adds the token's addresses that DIR/seeds does not have yet. */
static int add_seeds(const struct data_dir *dir, const struct token *token)
{
    struct buf seeds = {0};
    int r = data_dir_read(dir, CONFIG_SEEDS_FILE, SEEDS_BYTES_MAX, &seeds);

    if (r == KITH_E_NOT_FOUND)
        r = 0;
    for (uint32_t i = 0; r == 0 && i < token->addresses_n; i++) {
        char line[KITH_ADDRESS_TEXT_MAX + 3];
        int n = snprintf(line, sizeof(line), "%s\n", token->addresses[i]);
        if (seeds.len == 0 || memmem(seeds.data, seeds.len, line, (size_t)n) == NULL)
            r = buf_append_text(&seeds, line);
    }
    if (r == 0 && seeds.len > 0)
        r = data_dir_write(dir, CONFIG_SEEDS_FILE, seeds.data, seeds.len);
    buf_deinit(&seeds);
    return r;
}

int setup_join(const char *path, const struct token *token, struct setup_result *result_out)
{
    struct net_cluster cluster;
    struct data_dir dir;
    char name[64];
    bool has;
    int r = open_dir(path, &dir, &cluster, name, &has);

    *result_out = (struct setup_result){0};
    if (r != 0)
        return r;
    if (has && memcmp(&cluster.id, &token->cluster.id, sizeof(cluster.id)) != 0)
        r = kith_fail_with(KITH_E_EXISTS,
                           "%s is in another cluster, %s: choose another --data-dir, or remove "
                           "%s/cluster.key first",
                           path, name, path);
    if (r == 0)
        r = add_seeds(&dir, token);
    if (r == 0)
        r = put_cluster(&dir, &token->cluster, token->cluster_name, result_out);
    sodium_memzero(&cluster, sizeof(cluster));
    data_dir_close(&dir);
    return r;
}

/* ---- DIR/kith.conf
 * -------------------------------------------------------------------------------- */

int setup_write_conf(const char *path, const char *text)
{
    struct data_dir dir;
    int r = data_dir_open(&dir, path, true);

    if (r != 0)
        return r;
    r = data_dir_write(&dir, SETUP_CONF_FILE, text, strlen(text));
    data_dir_close(&dir);
    return r;
}

/* Everything but an earlier "name =" of [node] is kept: the file is the user's. */
static int rewrite_name(struct buf *old, const char *name, struct buf *out)
{
    bool in_node = false, done = false;
    int r = buf_append_u8(old, '\0');
    char *rest = (char *)old->data;

    for (char *line; r == 0 && (line = strsep(&rest, "\n")) != NULL;) {
        const char *text = line + strspn(line, " \t");
        if (rest == NULL && line[0] == '\0')
            break;
        if (text[0] == '[')
            in_node = strncmp(text, "[node]", 6) == 0;
        size_t key = in_node && strncmp(text, "name", 4) == 0 ? 4 + strspn(text + 4, " \t") : 0;
        if (key > 0 && (text[key] == '=' || text[key] == ':'))
            continue;
        r = buf_printf(out, "%s\n", line);
        if (r == 0 && in_node && text[0] == '[' && !done) {
            r = buf_printf(out, "name = %s\n", name);
            done = true;
        }
    }
    return r == 0 && !done ? buf_printf(out, "[node]\nname = %s\n", name) : r;
}

int setup_set_name(const char *path, const char *name)
{
    struct buf old = {0}, text = {0};
    struct data_dir dir;
    int r;

    if (name == NULL)
        return 0;
    r = data_dir_open(&dir, path, true);
    if (r != 0)
        return r;
    r = data_dir_read(&dir, SETUP_CONF_FILE, CONF_BYTES_MAX, &old);
    if (r == 0 || r == KITH_E_NOT_FOUND)
        r = rewrite_name(&old, name, &text);
    if (r == 0)
        r = data_dir_write(&dir, SETUP_CONF_FILE, text.data, text.len);
    data_dir_close(&dir);
    buf_deinit(&old);
    buf_deinit(&text);
    return r;
}

/* ---- the verbs
 * ------------------------------------------------------------------------------------ */

static int
print_setup(struct cli *cli, const char *schema, const char *dir, const struct setup_result *result)
{
    char id[KITH_NODE_ID_DIGITS + 1], cluster_id[33];

    if (!cli->json)
        return EXIT_OK;
    kith_node_id_text(&result->id, id);
    hex_encode(result->cluster_id.bytes, NET_CLUSTER_ID_BYTES, cluster_id);
    json_t *doc = json_pack("{s:s,s:s,s:s,s:s,s:s}", "schema", schema, "id", id, "cluster",
                            result->cluster_name, "cluster_id", cluster_id, "data_dir", dir);
    return cli_print_json(cli, doc, schema);
}

/* " --data-dir DIR" if it is not the default, to be put behind a suggested command. */
static const char *dir_flag(const char *given, char *out, size_t out_bytes)
{
    out[0] = '\0';
    if (given != NULL)
        snprintf(out, out_bytes, " --data-dir %s", given);
    return out;
}

int cmd_init(struct cli *cli)
{
    const char *given = args_text(&cli->args, "data-dir");
    const char *name = args_text(&cli->args, "name");
    struct setup_result result;
    char dir[4096], flag[4200], id[KITH_NODE_ID_DIGITS + 1];
    int r = check_name("node", name);

    if (r == 0)
        r = setup_data_dir(given, dir, sizeof(dir));
    if (r == 0)
        r = setup_new(dir, args_text(&cli->args, "cluster"), &result);
    if (r == 0)
        r = setup_set_name(dir, name);
    if (r != 0)
        return cli_fail_code(cli, r);
    dir_flag(given, flag, sizeof(flag));
    cli_say(cli, "cluster %s, node %.8s in %s", result.cluster_name,
            kith_node_id_text(&result.id, id), dir);
    cli_say(cli, "next: kith agent%s       run this node", flag);
    cli_say(cli, "      kith invite%s      then, for a token with which others join", flag);
    return print_setup(cli, "kith.init/1", dir, &result);
}

static int show_token(struct cli *cli, json_t *result)
{
    printf("%s\n", cli_json_text(result, "token"));
    cli_say(cli,
            "Who has this token can join and act in cluster %s; it does not expire, so treat it as "
            "a password.",
            cli_json_text(result, "cluster"));
    cli_say(cli, "On the other machine: kith join TOKEN && kith agent");
    return EXIT_OK;
}

int cmd_invite(struct cli *cli)
{
    return cli_ask_and_show(cli, "invite", NULL, CLI_ANSWER_MS, show_token);
}

int cmd_join(struct cli *cli)
{
    const char *given = args_text(&cli->args, "data-dir");
    const char *name = args_text(&cli->args, "name");
    struct setup_result result;
    struct buf text = {0};
    struct token token = {0};
    char dir[4096], flag[4200], id[KITH_NODE_ID_DIGITS + 1];
    int x = input_argument(cli, cli_arg(cli, 0), 64 * 1024, &text);

    if (x != EXIT_OK)
        return x;
    int r = check_name("node", name);
    if (r == 0)
        r = token_decode((const char *)text.data, text.len, &token);
    if (r == 0)
        r = setup_data_dir(given, dir, sizeof(dir));
    if (r == 0)
        r = setup_join(dir, &token, &result);
    if (r == 0)
        r = setup_set_name(dir, name);
    if (text.data != NULL)
        sodium_memzero(text.data, text.len);
    buf_deinit(&text);
    if (r != 0) {
        token_wipe(&token);
        return cli_fail_code(cli, r);
    }
    cli_say(cli, "cluster %s, node %.8s in %s", result.cluster_name,
            kith_node_id_text(&result.id, id), dir);
    if (token.addresses_n == 0)
        cli_say(cli, "the token names no address: next: kith agent%s --seed ADDRESS",
                dir_flag(given, flag, sizeof(flag)));
    else
        cli_say(cli, "next: kith agent%s", dir_flag(given, flag, sizeof(flag)));
    token_wipe(&token);
    return print_setup(cli, "kith.join/1", dir, &result);
}

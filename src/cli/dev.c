/*
 * kith dev: nodes on this machine to try things out.
 *
 * The first node gets a new cluster; the others join by the token that it gives, exactly as on
 * other machines, so that what works here works there.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/dev_conf.h"
#include "cli/dev_node.h"
#include "cli/setup.h"
#include "cli/table.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "node/token.h"

#define UP_MS       20000
#define STOP_MS     5000
#define ASK_MS      3000
#define SEE_MS      20000
#define SEE_MORE_MS 200 /* for each node: large clusters on one machine take longer */
#define POLL_MS     50

struct dev {
    struct cli *cli;
    char dir[4096];
    struct dev_node *nodes;
    size_t nodes_n;
    bool makes; /* kith dev N: a node that is started has its settings from this command */
};

/* ---- which nodes
 * ---------------------------------------------------------------------------------- */

static int dev_open(struct cli *cli, struct dev *dev)
{
    const char *given = args_text(&cli->args, "dir");
    char here[4096];
    int r = 0;

    *dev = (struct dev){.cli = cli};
    if (given == NULL) {
        r = agent_dev_dir_default(dev->dir, sizeof(dev->dir));
    } else if (given[0] == '/') {
        snprintf(dev->dir, sizeof(dev->dir), "%s", given);
    } else if (getcwd(here, sizeof(here)) != NULL) {
        /* The agents do not stand where we do. */
        int n = snprintf(dev->dir, sizeof(dev->dir), "%s/%s", here, given);
        r = n < 0 || (size_t)n >= sizeof(dev->dir)
                ? kith_fail_with(KITH_E_TOO_LARGE, "--dir is too long")
                : 0;
    }
    return r == 0 ? EXIT_OK : cli_fail_code(cli, r);
}

static void dev_close(struct dev *dev)
{
    for (size_t i = 0; i < dev->nodes_n; i++)
        dev_node_deinit(&dev->nodes[i]);
    core_free(dev->nodes);
    dev->nodes = NULL;
    dev->nodes_n = 0;
}

static int dev_add(struct dev *dev, unsigned k)
{
    struct dev_node *more = core_realloc(dev->nodes, (dev->nodes_n + 1) * sizeof(*more));

    if (more == NULL)
        return cli_fail(dev->cli, EXIT_FAILED, NULL, "out of memory");
    dev->nodes = more;
    int x = dev_node_init(dev->cli, &dev->nodes[dev->nodes_n], dev->dir, k);
    dev->nodes_n += x == EXIT_OK;
    return x;
}

static int by_number(const void *a, const void *b)
{
    const unsigned *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* All directories that hold a dev node, by number. */
static int dev_add_all(struct dev *dev)
{
    unsigned numbers[DEV_NODES_MAX];
    size_t n = 0;
    uint64_t k;
    DIR *list = opendir(dev->dir);
    int x = EXIT_OK;

    if (list == NULL)
        return EXIT_OK;
    for (const struct dirent *entry; n < DEV_NODES_MAX && (entry = readdir(list)) != NULL;) {
        if (text_parse_u64(entry->d_name, 1, DEV_NODES_MAX, &k) == 0)
            numbers[n++] = (unsigned)k;
    }
    (void)closedir(list);
    qsort(numbers, n, sizeof(numbers[0]), by_number);
    for (size_t i = 0; x == EXIT_OK && i < n; i++)
        x = dev_add(dev, numbers[i]);
    return x;
}

/* "2" or "dev-2". */
static int dev_number(struct cli *cli, const char *text, unsigned *k_out)
{
    uint64_t k;

    if (strncmp(text, "dev-", 4) == 0)
        text += 4;
    if (text_parse_u64(text, 1, DEV_NODES_MAX, &k) != 0)
        return cli_fail(cli, EXIT_USAGE, "kith dev --help",
                        "\"%s\" is no number of a dev node: 1 to %d", text, DEV_NODES_MAX);
    *k_out = (unsigned)k;
    return EXIT_OK;
}

/* Those named on the command line; each must exist. */
static int dev_add_named(struct dev *dev)
{
    int x = EXIT_OK;
    unsigned k = 0;

    for (size_t i = 0; x == EXIT_OK && i < dev->cli->args.pos_n; i++) {
        x = dev_number(dev->cli, cli_arg(dev->cli, i), &k);
        if (x == EXIT_OK)
            x = dev_add(dev, k);
        if (x == EXIT_OK && !dev_node_exists(&dev->nodes[dev->nodes_n - 1]))
            x = cli_fail(dev->cli, EXIT_NOT_FOUND, "kith dev ls", "there is no dev node %u in %s",
                         k, dev->dir);
    }
    return x;
}

/* ---- output
 * --------------------------------------------------------------------------------------- */

static json_t *node_doc(const struct dev_node *node)
{
    char name[32];

    snprintf(name, sizeof(name), "dev-%u", node->k);
    return json_pack("{s:i,s:s,s:b,s:o,s:s,s:s}", "k", (int)node->k, "name", name, "running",
                     node->pid != 0, "pid", node->pid != 0 ? json_integer(node->pid) : json_null(),
                     "data_dir", node->dir, "socket", node->socket_path);
}

static int print_doc(struct dev *dev, const char *cluster)
{
    json_t *list = json_pack("[]");

    for (size_t i = 0; list != NULL && i < dev->nodes_n; i++)
        (void)json_array_append_new(list, node_doc(&dev->nodes[i]));
    return cli_print_json(dev->cli,
                          json_pack("{s:s,s:s,s:s*,s:o}", "schema", "kith.dev/1", "dir", dev->dir,
                                    "cluster", cluster, "nodes", list),
                          "kith.dev/1");
}

/* ---- making them
 * ---------------------------------------------------------------------------------- */

static int spawn(struct dev *dev, struct dev_node *node)
{
    int x = dev->makes ? dev_conf_write(dev->cli, node, dev->nodes_n) : EXIT_OK;

    return x == EXIT_OK ? dev_node_spawn(dev->cli, node) : x;
}

/*
 * Looks again at a node that was left alone since it seemed to run: killed a moment ago, it did so
 * for as long as the system took to take it down. If it has ended it is started, as one that was
 * found stopped. One that this command started is not tried again: its log says why it ended.
 */
static int look_again(struct dev *dev, struct dev_node *node)
{
    pid_t was = node->pid;
    bool ours = node->ours;

    if (!dev_node_ended(node))
        return EXIT_OK;
    if (ours)
        return dev_node_fail(dev->cli, node, EXIT_FAILED, "ended after it was started");
    dev_node_refresh(node);
    if (node->pid != 0) /* somebody else was faster */
        return EXIT_OK;
    cli_say(dev->cli, "dev-%u (process %d) has just ended: it is started again", node->k, (int)was);
    int x = spawn(dev, node);
    return x == EXIT_OK ? dev_node_wait_up(dev->cli, node, UP_MS) : x;
}

/* Until all that were started here answer. */
static int wait_up(struct dev *dev)
{
    int x = EXIT_OK;

    for (size_t i = 0; x == EXIT_OK && i < dev->nodes_n; i++) {
        if (dev->nodes[i].ours)
            x = dev_node_wait_up(dev->cli, &dev->nodes[i], UP_MS);
    }
    return x;
}

/* What @node answers; one that ends over it is started again and asked once more. */
static int ask(struct dev *dev, struct dev_node *node, const char *verb, json_t **result_out)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    uint64_t until = cli_now_ms() + UP_MS;
    int x = EXIT_OK;

    while ((*result_out = dev_node_ask(node, verb, ASK_MS)) == NULL) {
        x = look_again(dev, node);
        if (x != EXIT_OK)
            return x;
        if (cli_now_ms() >= until)
            return cli_fail(dev->cli, EXIT_TIMED_OUT, "kith dev ls",
                            "node %u (process %d) does not answer \"%s\": see %s/log", node->k,
                            (int)node->pid, verb, node->dir);
        (void)nanosleep(&pause, NULL);
    }
    return x;
}

static int start_first(struct dev *dev)
{
    struct dev_node *first = &dev->nodes[0];
    struct setup_result result;
    int x;

    assert(dev->nodes_n > 0);
    if (first->pid != 0)
        return EXIT_OK;
    if (!dev_node_exists(first)) {
        int r = setup_new(first->dir, NULL, &result);
        if (r != 0)
            return cli_fail_code(dev->cli, r);
    }
    x = spawn(dev, first);
    return x == EXIT_OK ? dev_node_wait_up(dev->cli, first, UP_MS) : x;
}

static int ask_token(struct dev *dev, struct token *token_out)
{
    json_t *result = NULL;
    int x = ask(dev, &dev->nodes[0], "invite", &result);

    if (x != EXIT_OK)
        return x;
    const char *text = cli_json_text(result, "token");
    if (text[0] == '\0') {
        x = cli_fail(dev->cli, EXIT_FAILED, NULL, "node 1 gives no token: see %s/log",
                     dev->nodes[0].dir);
    } else {
        int r = token_decode(text, strlen(text), token_out);
        x = r == 0 ? EXIT_OK : cli_fail_code(dev->cli, r);
    }
    json_decref(result);
    return x;
}

static int start_others(struct dev *dev)
{
    struct setup_result result;
    struct token token;
    int x = ask_token(dev, &token);

    for (size_t i = 1; x == EXIT_OK && i < dev->nodes_n; i++) {
        struct dev_node *node = &dev->nodes[i];
        if (node->pid != 0)
            continue;
        int r = setup_join(node->dir, &token, &result);
        x = r == 0 ? spawn(dev, node) : cli_fail_code(dev->cli, r);
    }
    token_wipe(&token);
    return x == EXIT_OK ? wait_up(dev) : x;
}

/* ---- until all see each other
 * ----------------------------------------------------------------------- */

/* How many of the nodes this one sees alive; 0 if it does not answer. *@cluster is its cluster's
 * name. */
static size_t sees(const struct dev_node *node, char *cluster, size_t cluster_bytes)
{
    json_t *result = dev_node_ask(node, "nodes", ASK_MS);
    json_t *nodes = json_object_get(result, "nodes");
    size_t alive = 0;

    for (size_t i = 0; i < json_array_size(nodes); i++)
        alive += strcmp(cli_json_text(json_array_get(nodes, i), "status"), "alive") == 0;
    if (result != NULL)
        snprintf(cluster, cluster_bytes, "%s", cli_json_text(result, "cluster"));
    json_decref(result);
    return alive;
}

/* The node that waits for another may be any. */
static int look_again_at_all(struct dev *dev)
{
    int x = EXIT_OK;

    for (size_t i = 0; x == EXIT_OK && i < dev->nodes_n; i++)
        x = look_again(dev, &dev->nodes[i]);
    return x;
}

static int wait_until_seen(struct dev *dev, char *cluster, size_t cluster_bytes)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    uint64_t limit = args_duration_ms(&dev->cli->args, "wait", SEE_MS + SEE_MORE_MS * dev->nodes_n);
    uint64_t until = cli_now_ms() + limit;

    for (size_t i = 0; i < dev->nodes_n;) {
        int x = look_again_at_all(dev);
        if (x != EXIT_OK)
            return x;
        size_t seen = sees(&dev->nodes[i], cluster, cluster_bytes);
        if (seen >= dev->nodes_n) {
            i++;
            continue;
        }
        if (cli_now_ms() >= until)
            return cli_fail(
                dev->cli, EXIT_PARTLY, "kith dev ls; kith reach",
                "after %llu ms dev-%u sees only %zu of %zu nodes alive; they go on: see %s/log",
                (unsigned long long)limit, dev->nodes[i].k, seen, dev->nodes_n, dev->nodes[i].dir);
        (void)nanosleep(&pause, NULL);
    }
    return EXIT_OK;
}

/* " --dir DIR" behind each suggested command, where it is needed. */
static void say_what_to_try(struct dev *dev)
{
    const char *given = args_text(&dev->cli->args, "dir");
    const char *flag = given != NULL ? " --dir " : "";
    const char *dir = given != NULL ? given : "";

    cli_say(dev->cli, "try:  kith nodes%s%s", flag, dir);
    cli_say(dev->cli, "      kith call sys.uptime --all%s%s", flag, dir);
    cli_say(dev->cli, "      kith web%s%s", flag, dir);
    if (dev_has_module("mandelbrot"))
        cli_say(dev->cli, "      %s%s%skith mandel render --out mandelbrot.png --size 2048x2048",
                given != NULL ? "KITH_SOCKET=" : "", dir, given != NULL ? "/1 " : "");
    cli_say(dev->cli, "      kith dev kill 2%s%s; kith events -f%s%s", flag, dir, flag, dir);
    cli_say(dev->cli, "      kith dev stop%s%s", flag, dir);
}

int cmd_dev(struct cli *cli)
{
    char cluster[128] = "";
    struct dev dev;
    unsigned n = 0;
    int x;

    if (cli_arg(cli, 0)[0] < '0' || cli_arg(cli, 0)[0] > '9') {
        const char *nearest = verb_nearest("dev", cli_arg(cli, 0));
        return cli_fail(cli, EXIT_USAGE, nearest != NULL ? NULL : "kith dev --help",
                        "there is no kith dev %s%s%s%s", cli_arg(cli, 0),
                        nearest != NULL ? ": did you mean kith " : "",
                        nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
    }
    x = dev_number(cli, cli_arg(cli, 0), &n);
    if (x == EXIT_OK)
        x = dev_open(cli, &dev);
    if (x != EXIT_OK)
        return x;
    dev.makes = true;
    for (unsigned k = 1; x == EXIT_OK && k <= n; k++)
        x = dev_add(&dev, k);
    if (x == EXIT_OK)
        x = start_first(&dev);
    if (x == EXIT_OK && n > 1)
        x = start_others(&dev);
    if (x == EXIT_OK)
        x = wait_until_seen(&dev, cluster, sizeof(cluster));
    if (x == EXIT_OK && cli->json) {
        x = print_doc(&dev, cluster);
    } else if (x == EXIT_OK) {
        printf("cluster %s: %u node%s up in %s\n", cluster, n, n == 1 ? "" : "s", dev.dir);
        say_what_to_try(&dev);
    }
    dev_close(&dev);
    return x;
}

/* ---- ls, stop, kill, start
 * -------------------------------------------------------------------------- */

static void address_of(const struct dev_node *node, char *out, size_t out_bytes)
{
    json_t *result = dev_node_ask(node, "info", ASK_MS);
    const char *address =
        json_string_value(json_array_get(json_object_get(result, "addresses"), 0));

    snprintf(out, out_bytes, "%s", address != NULL ? address : "-");
    json_decref(result);
}

int cmd_dev_ls(struct cli *cli)
{
    struct table table;
    struct dev dev;
    char address[128];
    int x = dev_open(cli, &dev);

    if (x == EXIT_OK)
        x = dev_add_all(&dev);
    if (x == EXIT_OK && cli->json) {
        x = print_doc(&dev, NULL);
    } else if (x == EXIT_OK) {
        table_init(&table, ">K NAME STATE >PID ADDRESS DIRECTORY");
        for (size_t i = 0; i < dev.nodes_n; i++) {
            const struct dev_node *node = &dev.nodes[i];
            bool up = node->pid != 0;
            table_cell(&table, NULL, "%u", node->k);
            table_cell(&table, NULL, "dev-%u", node->k);
            table_cell(&table, up ? TABLE_GREEN : TABLE_DIM, "%s", up ? "running" : "stopped");
            if (up)
                address_of(node, address, sizeof(address));
            if (up)
                table_cell(&table, NULL, "%d", (int)node->pid);
            else
                table_cell(&table, NULL, "-");
            table_cell(&table, NULL, "%s", up ? address : "-");
            table_cell(&table, NULL, "%s", node->dir);
        }
        if (dev.nodes_n == 0)
            cli_say(cli, "no dev nodes in %s: kith dev 3 makes some", dev.dir);
        else if (table_print(&table, stdout, true) != 0)
            x = cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
        table_deinit(&table);
    }
    dev_close(&dev);
    return x;
}

/* Ends all of @dev->nodes at once, not one after the other. */
static size_t end_nodes(struct dev *dev, bool now)
{
    size_t n = 0;

    for (size_t i = 0; i < dev->nodes_n; i++) {
        n += dev->nodes[i].pid != 0;
        dev_node_signal(&dev->nodes[i], now);
    }
    for (size_t i = 0; i < dev->nodes_n; i++)
        dev_node_wait_gone(&dev->nodes[i], STOP_MS);
    return n;
}

int cmd_dev_stop(struct cli *cli)
{
    struct dev dev;
    int x = dev_open(cli, &dev);

    if (x == EXIT_OK)
        x = cli->args.pos_n > 0 ? dev_add_named(&dev) : dev_add_all(&dev);
    if (x == EXIT_OK) {
        size_t n = end_nodes(&dev, false);
        cli_say(cli, "stopped %zu node%s", n, n == 1 ? "" : "s");
        x = cli->json ? print_doc(&dev, NULL) : EXIT_OK;
    }
    dev_close(&dev);
    return x;
}

int cmd_dev_kill(struct cli *cli)
{
    struct dev dev;
    int x = dev_open(cli, &dev);

    if (x == EXIT_OK)
        x = dev_add_named(&dev);
    for (size_t i = 0; x == EXIT_OK && i < dev.nodes_n; i++) {
        if (dev.nodes[i].pid == 0)
            x = cli_fail(cli, EXIT_CONFLICT, "kith dev ls", "dev-%u does not run", dev.nodes[i].k);
    }
    if (x == EXIT_OK) {
        size_t n = end_nodes(&dev, true);
        cli_say(cli, "killed %zu node%s", n, n == 1 ? "" : "s");
        x = cli->json ? print_doc(&dev, NULL) : EXIT_OK;
    }
    dev_close(&dev);
    return x;
}

/* A node that was left alone may have been ending: @started counts what was started again. */
static int wait_answers(struct dev *dev, size_t *started)
{
    int x = EXIT_OK;

    for (size_t i = 0; x == EXIT_OK && i < dev->nodes_n; i++) {
        struct dev_node *node = &dev->nodes[i];
        json_t *result = NULL;
        if (node->ours)
            continue;
        x = ask(dev, node, "hello", &result);
        *started += node->ours;
        json_decref(result);
    }
    return x;
}

int cmd_dev_start(struct cli *cli)
{
    struct dev dev;
    size_t started = 0;
    int x = dev_open(cli, &dev);

    if (x == EXIT_OK)
        x = dev_add_named(&dev);
    for (size_t i = 0; x == EXIT_OK && i < dev.nodes_n; i++) {
        if (dev.nodes[i].pid != 0)
            continue;
        started++;
        x = spawn(&dev, &dev.nodes[i]);
    }
    if (x == EXIT_OK)
        x = wait_up(&dev);
    if (x == EXIT_OK)
        x = wait_answers(&dev, &started);
    if (x == EXIT_OK) {
        cli_say(cli, "started %zu node%s", started, started == 1 ? "" : "s");
        x = cli->json ? print_doc(&dev, NULL) : EXIT_OK;
    }
    dev_close(&dev);
    return x;
}

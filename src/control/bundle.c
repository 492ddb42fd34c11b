#include "control/bundle.h"

#include <string.h>
#include <sys/utsname.h>

#include "control/request.h"
#include "control/tar.h"
#include "core/error.h"
#include "core/limits.h"
#include "core/text.h"
#include "kith.h"
#include "node/log_kept.h"

/*
 * Each verb answers at once and of this node alone. What hands out secrets (credentials, invite,
 * web.link, web.token) is not here, and a test looks for them in what comes out.
 */
static const struct {
    const char *file, *verb, *args, *about;
} parts[] = {
    {"config.json", "config.show", "{}", "configuration that holds, with the origin of each value"},
    {"info.json", "info", "{}", "this node: facts, counters, modules"},
    {"nodes.json", "nodes", "{\"programs\":true}", "all nodes and programs as this one sees them"},
    {"status.json", "overview", "{\"live\":false}",
     "how many nodes are alive, whether there is a majority"},
    {"tags.json", "tag.ls", "{}", "tags, and who is drained"},
    {"view.json", "view", "{}", "who votes, who keeps, who leads"},
    {"stats.json", "stats", "{}", "all counters"},
    {"functions.json", "functions", "{\"hidden\":true}", "who offers what"},
    {"times.json", "functions.times", "{}",
     "how the functions of this node do, with their last errors"},
    {"locks.json", "lock.ls", "{}", "mutexes that this node uses"},
    {"events.jsonl", "events", "{}", "joins, failures and others that this node saw, one a line"},
    {"resources-10m.json", "resources.history", "{\"span\":\"10m\"}",
     "load of the last ten minutes"},
    {"resources-3h.json", "resources.history", "{\"span\":\"3h\"}", "... three hours"},
    {"resources-24h.json", "resources.history", "{\"span\":\"24h\"}", "... day"},
};
#define PARTS_N (sizeof(parts) / sizeof(parts[0]))

/* ---- what verbs say ---- */

static void keep_answer(struct control_request *request,
                        bool ok,
                        bool more,
                        const struct buf *json,
                        const void *data,
                        size_t len)
{
    struct buf *file = request->client;

    (void)ok;
    (void)more;
    (void)data;
    (void)len;
    if (file != NULL && buf_append(file, json->data, json->len) == 0)
        (void)buf_append_u8(file, '\n');
}

static void keep_ended(struct control_request *request)
{
    request->client = NULL;
    control_request_unref(request);
}

static const struct control_door keep_door = {.answer = keep_answer, .ended = keep_ended};

/* Whatever it answers, an error too, is the content of its file. */
static int ask(struct kith_node *node, const char *verb, const char *args, struct buf *file)
{
    struct control_request *request =
        control_request_new(node, &keep_door, file, NULL, json_loads(args, 0, NULL));

    if (request == NULL)
        return KITH_E_MEMORY;
    control_request_ref(request);
    control_dispatch(request, verb);
    request->client = NULL;
    control_cancel(request, KITH_E_CANCELED);
    control_request_unref(request);
    return 0;
}

/* ---- the log, and what is in it ---- */

static void keep_line(void *user, const struct log_kept_line *line)
{
    struct buf *file = user;
    if (buf_append(file, line->text, line->len) == 0)
        (void)buf_append_u8(file, '\n');
}

static void put_readme(struct buf *file, struct kith_node *node, uint64_t unix_ms)
{
    char line[600], time[32];
    struct utsname host;

    snprintf(line, sizeof(line), "kith %s, node %s of cluster %s, %s\n", KITH_VERSION,
             kith_node_name(node), node_cluster_name(node), text_time_ms(unix_ms, time));
    (void)buf_append_text(file, line);
    if (uname(&host) == 0) {
        snprintf(line, sizeof(line), "%s %s %s\n", host.sysname, host.release, host.machine);
        (void)buf_append_text(file, line);
    }
    (void)buf_append_text(file, "\nNo secret, token or password is in these files; names, "
                                "addresses and paths are.\n\n");
    for (size_t i = 0; i < PARTS_N; i++) {
        snprintf(line, sizeof(line), "%-20s %s (verb %s)\n", parts[i].file, parts[i].about,
                 parts[i].verb);
        (void)buf_append_text(file, line);
    }
    (void)buf_append_text(file, "log.txt              the newest lines of its log\n");
}

static int
add(struct buf *tar, const char *folder, const char *name, uint64_t unix_ms, struct buf *file)
{
    char path[TAR_NAME_BYTES_MAX + 1];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (tar->len + file->len + 4096 > CONTROL_DATA_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE,
                              "the bundle would be larger than %d MiB; ask for its parts instead "
                              "(kith info --json, kith nodes --json, kith logs)",
                              (int)(CONTROL_DATA_BYTES_MAX >> 20));
    int r = tar_add(tar, path, unix_ms, file->data, file->len);
    file->len = 0;
    return r;
}

int control_bundle(struct kith_node *node,
                   struct buf *tar,
                   char name_out[CONTROL_BUNDLE_NAME_BYTES])
{
    struct log_kept_pick all = {.before = UINT64_MAX,
                                .level = KITH_LOG_DEBUG,
                                .lines_max = SIZE_MAX,
                                .bytes_max = SIZE_MAX};
    uint64_t unix_ms = node_started_unix_ms(node) + node_uptime_ms(node);
    struct buf file = {0};
    char time[32];

    /* 2026-05-01T120000Z: no colon, which some systems cannot have in a name. */
    text_time_ms(unix_ms, time);
    snprintf(name_out, CONTROL_BUNDLE_NAME_BYTES, "kith-%.40s-%.13s%.2s%.2sZ", kith_node_name(node),
             time, time + 14, time + 17);
    put_readme(&file, node, unix_ms);
    int r = add(tar, name_out, "README.txt", unix_ms, &file);
    for (size_t i = 0; r == 0 && i < PARTS_N; i++) {
        r = ask(node, parts[i].verb, parts[i].args, &file);
        if (r == 0)
            r = add(tar, name_out, parts[i].file, unix_ms, &file);
    }
    if (r == 0) {
        node_log_lines(node, &all, keep_line, &file);
        r = add(tar, name_out, "log.txt", unix_ms, &file);
    }
    buf_deinit(&file);
    return r == 0 ? tar_end(tar) : r;
}

/* ---- the verb ---- */

static void debug_bundle(struct control_request *request)
{
    char name[CONTROL_BUNDLE_NAME_BYTES];
    struct buf tar = {0};
    struct control_reply reply;
    int r = control_bundle(request->node, &tar, name);

    if (r != 0) {
        control_fail(request, r, NULL);
    } else {
        control_reply_begin(&reply, request);
        json_kv_text(&reply.json, "name", name);
        json_kv_u64(&reply.json, "bytes", tar.len);
        control_reply_end(&reply, false, tar.data, tar.len);
    }
    buf_deinit(&tar);
}

const struct control_verb control_verbs_bundle[] = {
    {.name = "debug.bundle", .run = debug_bundle},
    {0},
};

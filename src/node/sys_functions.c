/*
 * Functions that every node offers: sys.echo, sys.info, sys.uptime, sys.sleep.
 */
#include <string.h>

#include "core/error.h"
#include "core/json.h"
#include "core/text.h"
#include "node/internal.h"

static int sys_echo(struct kith_ctx *ctx, const void *arg, size_t arg_len, void *user)
{
    (void)user;
    return kith_reply(ctx, arg, arg_len);
}

static int sys_uptime(struct kith_ctx *ctx, const void *arg, size_t arg_len, void *user)
{
    struct kith_node *node = user;
    char text[64], shown[48];

    (void)arg;
    (void)arg_len;
    text_duration(node_unix_ms() - node->started_unix_ms, shown, sizeof(shown));
    snprintf(text, sizeof(text), "%s\n", shown);
    return kith_reply(ctx, text, strlen(text));
}

static int sys_info(struct kith_ctx *ctx, const void *arg, size_t arg_len, void *user)
{
    struct kith_node *node = user;
    struct buf out = {0};
    struct json json = json_begin(&out);
    struct node_stats stats;

    (void)arg;
    (void)arg_len;
    node_stats(node, &stats);
    json_object_begin(&json);
    json_kv_id(&json, "id", &node->identity.id);
    json_kv_text(&json, "name", node->name);
    json_kv_text(&json, "version", KITH_VERSION);
    json_kv_text(&json, "cluster", node->cluster_name);
    json_kv_u64(&json, "uptime_ms", node_unix_ms() - node->started_unix_ms);
    json_kv_u64(&json, "cpus", node->facts.cpus);
    json_kv_u64(&json, "memory_bytes", node->facts.memory_bytes);
    json_kv_u64(&json, "memory_available_bytes", node->load.memory_available_bytes);
    json_kv_f64(&json, "load", node->load.load_milli / 1000.0);
    json_kv_u64(&json, "rss_bytes", stats.rss_bytes);
    json_object_end(&json);
    int r = json_end(&json);
    if (r == 0)
        r = buf_append_u8(&out, '\n');
    if (r == 0)
        r = kith_reply(ctx, out.data, out.len);
    buf_deinit(&out);
    return r == 0 ? 0 : kith_fail(ctx, 1, kith_strerror(r));
}

#define SLEEP_STEP_MS 20

/* The argument is a duration ("500ms", "2s"); ends early when cancelled. */
static int sys_sleep(struct kith_ctx *ctx, const void *arg, size_t arg_len, void *user)
{
    char text[32];
    uint64_t ms;

    (void)user;
    snprintf(text, sizeof(text), "%.*s", arg_len < 31 ? (int)arg_len : 31, (const char *)arg);
    text[strcspn(text, "\r\n")] = '\0';
    if (text_parse_duration_ms(text, &ms) != 0)
        return kith_fail(ctx, 2, "sys.sleep takes a time such as 500ms or 2s");
    for (uint64_t slept = 0; slept < ms; slept += SLEEP_STEP_MS) {
        if (kith_ctx_cancelled(ctx))
            return kith_fail(ctx, 1, "cancelled");
        uv_sleep((unsigned)(ms - slept < SLEEP_STEP_MS ? ms - slept : SLEEP_STEP_MS));
    }
    return kith_reply(ctx, NULL, 0);
}

int node_sys_functions_export(struct kith_node *node)
{
    const struct kith_export functions[] = {
        {.name = "sys.echo",
         .version = KITH_VERSION,
         .description = "replies with its argument",
         .flags = KITH_FN_IDEMPOTENT | KITH_FN_INLINE,
         .fn = sys_echo,
         .user = node},
        {.name = "sys.info",
         .version = KITH_VERSION,
         .description = "facts of the node as JSON",
         .flags = KITH_FN_IDEMPOTENT | KITH_FN_INLINE,
         .fn = sys_info,
         .user = node},
        {.name = "sys.uptime",
         .version = KITH_VERSION,
         .description = "how long the node has been running",
         .flags = KITH_FN_IDEMPOTENT | KITH_FN_INLINE,
         .fn = sys_uptime,
         .user = node},
        {.name = "sys.sleep",
         .version = KITH_VERSION,
         .description = "waits as long as its argument says (500ms, 2s)",
         .flags = KITH_FN_IDEMPOTENT,
         .fn = sys_sleep,
         .user = node},
    };
    if (node->program)
        return 0; /* a program offers what its author exports */
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        int r = kith_export(node, &functions[i]);
        if (r != 0)
            return r;
    }
    return node_names_export(node);
}

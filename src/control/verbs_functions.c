/* Verbs about functions: who offers which, and how they do. */
#include <string.h>

#include "control/everywhere.h"
#include "control/request.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/spread.h"
#include "rpc/rpc.h"

/* ---- of this node ---- */

static void put_last_error(struct json *json, const struct rpc_recent *recent)
{
    json_key(json, "last_error");
    if (recent->error_unix_ms == 0) {
        json_write_null(json);
        return;
    }
    json_object_begin(json);
    json_kv_i64(json, "code", recent->error_code);
    json_key(json, "text");
    json_text_n(json, recent->error_text, recent->error_len);
    json_key(json, "time");
    json_time_ms(json, recent->error_unix_ms);
    json_object_end(json);
}

static void put_percentile(struct json *json, const char *key, const struct spread *times, int at)
{
    json_key(json, key);
    if (times->n > 0)
        json_f64(json, control_ms(spread_percentile(times, at)));
    else
        json_write_null(json);
}

/* To a thousandth: more would only look exact. */
static double rounded(double rate)
{
    return (double)(int64_t)(rate * 1000 + 0.5) / 1000;
}

static void put_times(struct json *json, const struct rpc_function *fn, uint64_t now_ms)
{
    json_object_begin(json);
    json_kv_text(json, "name", fn->name);
    json_kv_u64(json, "measured", fn->times->n);
    put_percentile(json, "p50_ms", fn->times, 50);
    put_percentile(json, "p99_ms", fn->times, 99);
    json_kv_u64(json, "calls", fn->calls_n);
    json_kv_u64(json, "errors", fn->errors_n);
    json_kv_f64(json, "calls_per_s", rounded(rate_per_s(&fn->recent->calls, now_ms)));
    json_kv_f64(json, "errors_per_s", rounded(rate_per_s(&fn->recent->errors, now_ms)));
    put_last_error(json, fn->recent);
    json_object_end(json);
}

/* What the functions of this node did lately; those that never ran are not there. */
static void functions_times(struct control_request *request)
{
    uint64_t now_ms = uv_hrtime() / 1000000;
    struct rpc_function fn;
    struct control_reply reply;
    size_t at = 0;

    control_reply_begin(&reply, request);
    json_key(&reply.json, "functions");
    json_array_begin(&reply.json);
    while (rpc_function_next(node_rpc(request->node), &at, &fn) && fn.times != NULL) {
        if (fn.calls_n > 0 || fn.times->n > 0)
            put_times(&reply.json, &fn, now_ms);
    }
    json_array_end(&reply.json);
    control_reply_end(&reply, false, NULL, 0);
}

/* ---- of all nodes ---- */

struct listing {
    struct control_request *request;
    json_t *live; /* {name: {node id: a row of functions.times}}; NULL: not asked for */
    size_t silent_n;
};

static void put_flags(struct json *json, uint32_t flags)
{
    json_key(json, "flags");
    json_array_begin(json);
    if ((flags & KITH_FN_IDEMPOTENT) != 0)
        json_text(json, "idempotent");
    if ((flags & KITH_FN_INLINE) != 0)
        json_text(json, "inline");
    if ((flags & KITH_FN_HIDDEN) != 0)
        json_text(json, "hidden");
    json_array_end(json);
}

static void put_counter(struct json *json, const char *key, uint64_t value, const json_t *live)
{
    const json_t *newer = json_object_get(live, key);

    json_key(json, key);
    if (json_is_integer(newer))
        json_i64(json, json_integer_value(newer));
    else if (value == UINT64_MAX)
        json_write_null(json);
    else
        json_u64(json, value);
}

/* A member of a row as it came; null if there is none. */
static void put_member(struct json *json, const char *key, const json_t *row)
{
    char *text = json_dumps(json_object_get(row, key), JSON_COMPACT | JSON_ENCODE_ANY);

    json_key(json, key);
    if (text != NULL)
        json_raw(json, text, strlen(text));
    else
        json_write_null(json);
    free(text);
}

static void put_server(struct json *json, const struct kith_function_info *fn, const json_t *rows)
{
    char id[KITH_NODE_ID_DIGITS + 1];
    const json_t *row = json_object_get(rows, kith_node_id_text(&fn->node, id));

    json_object_begin(json);
    json_kv_text(json, "id", id);
    json_kv_text(json, "name", fn->node_name);
    put_counter(json, "calls", fn->calls_n, row);
    put_counter(json, "errors", fn->errors_n, row);
    if (row != NULL) {
        put_member(json, "calls_per_s", row);
        put_member(json, "errors_per_s", row);
        put_member(json, "p50_ms", row);
        put_member(json, "p99_ms", row);
        put_member(json, "last_error", row);
    }
    json_object_end(json);
}

/* The newest of all nodes, with the node. Times of one form are ordered as texts are. */
static void
put_newest_error(struct json *json, const struct kith_function_info *fns, size_t n, json_t *rows)
{
    const char *newest = "", *node_name = NULL;
    const json_t *error = NULL;

    for (size_t i = 0; i < n; i++) {
        char id[KITH_NODE_ID_DIGITS + 1];
        const json_t *row = json_object_get(rows, kith_node_id_text(&fns[i].node, id));
        const json_t *one = json_object_get(row, "last_error");
        const char *time = json_string_value(json_object_get(one, "time"));
        if (time == NULL || strcmp(time, newest) <= 0)
            continue;
        newest = time;
        error = one;
        node_name = fns[i].node_name;
    }
    json_key(json, "last_error");
    if (error == NULL) {
        json_write_null(json);
        return;
    }
    json_object_begin(json);
    json_kv_i64(json, "code", json_integer_value(json_object_get(error, "code")));
    json_kv_text(json, "text", json_string_value(json_object_get(error, "text")));
    json_kv_text(json, "time", newest);
    json_kv_text(json, "node_name", node_name);
    json_object_end(json);
}

static double sum_of(json_t *rows, const char *key)
{
    const char *id;
    json_t *row;
    double sum = 0;

    json_object_foreach(rows, id, row)
    {
        sum += json_number_value(json_object_get(row, key));
    }
    return sum;
}

static void put_function(struct json *json,
                         const struct kith_function_info *fns,
                         size_t n,
                         const struct listing *listing)
{
    json_t *rows = json_object_get(listing->live, fns->name);

    json_object_begin(json);
    json_kv_text(json, "name", fns->name);
    json_kv_text(json, "version", fns->version);
    json_kv_text(json, "description", fns->description);
    json_kv_text(json, "signature", fns->signature);
    put_flags(json, fns->flags);
    if (listing->live != NULL) {
        json_kv_f64(json, "calls_per_s", rounded(sum_of(rows, "calls_per_s")));
        json_kv_f64(json, "errors_per_s", rounded(sum_of(rows, "errors_per_s")));
        put_newest_error(json, fns, n, rows);
    }
    json_key(json, "nodes");
    json_array_begin(json);
    for (size_t i = 0; i < n; i++)
        put_server(json, &fns[i], rows);
    json_array_end(json);
    json_object_end(json);
}

static void put_functions(struct listing *listing, const struct kith_function_list *list)
{
    struct control_request *request = listing->request;
    const char *only = control_text(request, "name");
    bool hidden = control_bool(request, "hidden", false);
    struct control_reply reply;

    control_reply_begin(&reply, request);
    json_key(&reply.json, "functions");
    json_array_begin(&reply.json);
    for (size_t i = 0, n; i < list->functions_n; i += n) {
        const struct kith_function_info *fn = &list->functions[i];
        for (n = 1; i + n < list->functions_n && strcmp(fn[n].name, fn->name) == 0; n++)
            continue;
        bool shown = only != NULL
                         ? strcmp(only, fn->name) == 0
                         : hidden || ((fn->flags & KITH_FN_HIDDEN) == 0 && fn->name[0] != '_');
        if (shown)
            put_function(&reply.json, fn, n, listing);
    }
    json_array_end(&reply.json);
    if (listing->live != NULL)
        json_kv_u64(&reply.json, "silent_nodes", listing->silent_n);
    control_reply_end(&reply, false, NULL, 0);
}

static void list_now(struct listing *listing)
{
    struct kith_function_list *list = NULL;
    int r = kith_functions(listing->request->node, &list);

    if (r != 0) {
        control_fail(listing->request, r, NULL);
        return;
    }
    put_functions(listing, list);
    kith_function_list_free(list);
}

static void on_times(void *user, const struct kith_node_id *id, const char *name, json_t *result)
{
    struct listing *listing = user;
    char digits[KITH_NODE_ID_DIGITS + 1];
    json_t *row;
    size_t i;

    (void)name;
    kith_node_id_text(id, digits);
    json_array_foreach(json_object_get(result, "functions"), i, row)
    {
        const char *fn = json_string_value(json_object_get(row, "name"));
        json_t *rows = fn != NULL ? json_object_get(listing->live, fn) : NULL;
        if (fn == NULL)
            continue;
        if (rows == NULL) {
            rows = json_object();
            (void)json_object_set_new(listing->live, fn, rows);
        }
        (void)json_object_set(rows, digits, row);
    }
}

static void on_all_times(void *user, size_t silent_n)
{
    struct listing *listing = user;

    listing->silent_n = silent_n;
    if (!listing->request->ended)
        list_now(listing);
    control_request_unref(listing->request);
    json_decref(listing->live);
    core_free(listing);
}

/* From the table that every node has; with "live" the nodes are asked for what only they know. */
static void functions(struct control_request *request)
{
    if (!control_bool(request, "live", false)) {
        struct listing listing = {.request = request};
        list_now(&listing);
        return;
    }
    struct listing *listing = core_calloc(1, sizeof(*listing));
    if (listing == NULL || (listing->live = json_object()) == NULL) {
        core_free(listing);
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    struct control_everywhere what = {.verb = "functions.times",
                                      .timeout_ms = CONTROL_LIVE_MS,
                                      .each = on_times,
                                      .done = on_all_times,
                                      .user = listing};
    listing->request = control_request_ref(request);
    int r = control_everywhere(request->node, &what);
    if (r != 0) {
        control_fail(request, r, NULL);
        control_request_unref(request);
        json_decref(listing->live);
        core_free(listing);
    }
}

const struct control_verb control_verbs_functions[] = {
    {.name = "functions", .run = functions},
    {.name = "functions.times", .run = functions_times, .forward = "node", .remote = true},
    {0},
};

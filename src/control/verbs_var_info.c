/*
 * The verb var.info: who has a variable. Each agent is asked for its own part: which one is the
 * home and knows the sharers, who caches it, who watches it.
 */
#include <string.h>

#include "control/everywhere.h"
#include "control/request.h"
#include "core/alloc.h"
#include "core/error.h"
#include "dvar/value.h"
#include "node/var_info.h"

/* ---- of this node ---- */

static void put_named(struct json *json, struct kith_node *node, const struct kith_node_id *id)
{
    const char *name = node_name_of(node, id);

    json_object_begin(json);
    json_kv_id(json, "id", id);
    json_kv_text(json, "name", name != NULL ? name : "");
    json_object_end(json);
}

static void
put_replicas(struct json *json, struct kith_node *node, const struct node_var_info *info)
{
    json_key(json, "replicas");
    json_array_begin(json);
    for (uint32_t i = 0; i < info->replicas_n; i++)
        put_named(json, node, &info->replicas[i]);
    json_array_end(json);
}

static const char *name_needed(struct control_request *request)
{
    const char *name = control_text_needed(request, "name");

    if (name != NULL && value_name_check(name, strlen(name), false) != 0) {
        control_fail(request, KITH_E_NAME, NULL);
        return NULL;
    }
    return name;
}

static void var_info_self(struct control_request *request)
{
    const char *name = name_needed(request);
    struct node_var_info info;
    struct control_reply reply;

    if (name == NULL)
        return;
    node_var_info(request->node, name, &info);
    control_reply_begin(&reply, request);
    json_kv_text(&reply.json, "role", info.role);
    json_kv_bool(&reply.json, "readable", info.readable);
    json_key(&reply.json, "version");
    json_u64_text(&reply.json, info.version);
    json_kv_u64(&reply.json, "sharers", info.sharers_n);
    json_kv_u64(&reply.json, "watches", info.watches_n);
    control_reply_end(&reply, false, NULL, 0);
}

/* ---- of all nodes ---- */

struct looking {
    struct control_request *request;
    json_t *rows;
    json_t *sharers; /* as the home says; NULL: it was not heard */
    json_int_t watches_n;
};

static void on_one(void *user, const struct kith_node_id *id, const char *name, json_t *result)
{
    struct looking *looking = user;
    const char *role = json_string_value(json_object_get(result, "role"));
    char digits[KITH_NODE_ID_DIGITS + 1];
    json_int_t watches = json_integer_value(json_object_get(result, "watches"));

    if (role == NULL)
        return;
    looking->watches_n += watches;
    if (strcmp(role, "home") == 0 && looking->sharers == NULL)
        looking->sharers = json_incref(json_object_get(result, "sharers"));
    if (strcmp(role, "none") == 0 && watches == 0)
        return;
    (void)json_array_append_new(
        looking->rows,
        json_pack("{s:s,s:s,s:s,s:O?,s:O?,s:I}", "id", kith_node_id_text(id, digits), "name", name,
                  "role", role, "readable", json_object_get(result, "readable"), "version",
                  json_object_get(result, "version"), "watches", watches));
}

static void put_json(struct json *json, const char *key, const json_t *value)
{
    char *text = value != NULL ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

    json_key(json, key);
    if (text != NULL)
        json_raw(json, text, strlen(text));
    else
        json_write_null(json);
    free(text);
}

static void looking_free(struct looking *looking)
{
    control_request_unref(looking->request);
    json_decref(looking->rows);
    json_decref(looking->sharers);
    core_free(looking);
}

static void put_table(struct json *json, const struct kith_var_info *known)
{
    json_kv_text(json, "type", kith_type_text(known->type));
    json_kv_text(json, "policy", kith_policy_text(known->policy));
    if (known->policy == KITH_POLICY_AVAILABLE)
        json_kv_text(json, "merge", kith_merge_text(known->merge));
    json_kv_u64(json, "bytes", known->bytes);
    json_key(json, "version");
    json_u64_text(json, known->version);
    json_kv_u64(json, "age_ms", known->age_ms);
    json_kv_text(json, "home", known->home_name);
}

/* What every node knows of it, from the table. */
static void put_known(struct json *json, struct kith_node *node, const char *name)
{
    struct kith_var_list *list = NULL;
    bool found = false;
    size_t n = 0;

    if (kith_var_list(node, name, &list) == 0)
        n = list->vars_n;
    for (size_t i = 0; !found && i < n; i++) {
        found = strcmp(list->vars[i].name, name) == 0;
        if (found)
            put_table(json, &list->vars[i]);
    }
    json_kv_bool(json, "found", found);
    kith_var_list_free(list);
}

static void on_all(void *user, size_t silent_n)
{
    struct looking *looking = user;
    struct control_request *request = looking->request;
    const char *name = control_text(request, "name");
    struct node_var_info info;
    struct control_reply reply;

    node_var_info(request->node, name, &info);
    control_reply_begin(&reply, request);
    json_kv_text(&reply.json, "name", name);
    put_known(&reply.json, request->node, name);
    put_replicas(&reply.json, request->node, &info);
    put_json(&reply.json, "sharers", looking->sharers);
    json_kv_i64(&reply.json, "watchers", looking->watches_n);
    put_json(&reply.json, "nodes", looking->rows);
    json_kv_u64(&reply.json, "silent_nodes", silent_n);
    control_reply_end(&reply, false, NULL, 0);
    looking_free(looking);
}

static void var_info(struct control_request *request)
{
    const char *name = name_needed(request);
    struct looking *looking = name != NULL ? core_calloc(1, sizeof(*looking)) : NULL;

    if (name == NULL)
        return;
    if (looking == NULL || (looking->rows = json_array()) == NULL) {
        core_free(looking);
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    struct control_everywhere what = {.verb = "var.info.self",
                                      .args = json_pack("{s:s}", "name", name),
                                      .timeout_ms = CONTROL_LIVE_MS,
                                      .each = on_one,
                                      .done = on_all,
                                      .user = looking};
    looking->request = control_request_ref(request);
    int r = control_everywhere(request->node, &what);
    if (r != 0) {
        control_fail(request, r, NULL);
        looking_free(looking);
    }
}

const struct control_verb control_verbs_var_info[] = {
    {.name = "var.info", .run = var_info},
    {.name = "var.info.self", .run = var_info_self, .remote = true},
    {0},
};

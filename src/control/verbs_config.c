/* Verbs of the configuration: what holds and where it comes from, and reading it again. */
#include <string.h>

#include "control/request.h"
#include "core/alloc.h"
#include "core/error.h"
#include "node/config.h"
#include "node/reload.h"

static void
put_values(struct json *json, const struct kith_config *config, const struct config_key *key)
{
    json_key(json, "values");
    json_array_begin(json);
    for (size_t i = 0; i < config_values_n(config, key); i++) {
        json_object_begin(json);
        json_kv_text(json, "value", config_value(config, key, i));
        json_kv_text(json, "origin", config_origin(config, key->name, i));
        json_object_end(json);
    }
    json_array_end(json);
}

/* As of `kith config show --json`, and what a reload changes. */
void control_put_config(struct json *json, struct kith_node *node)
{
    const struct kith_config *config = node_config_now(node);
    size_t keys_n;
    const struct config_key *keys = config_keys(&keys_n);
    char type[96];

    json_key(json, "keys");
    json_array_begin(json);
    for (size_t i = 0; i < keys_n; i++) {
        if ((keys[i].flags & (CONFIG_INTERNAL | CONFIG_SECRET)) != 0)
            continue;
        json_object_begin(json);
        json_kv_text(json, "key", keys[i].name);
        json_kv_text(json, "type", config_key_type_text(&keys[i], type, sizeof(type)));
        json_kv_text(json, "default", keys[i].value);
        json_kv_bool(json, "repeats", (keys[i].flags & CONFIG_REPEATS) != 0);
        json_kv_bool(json, "reloads", (keys[i].flags & CONFIG_RELOADS) != 0);
        json_kv_text(json, "help", keys[i].help);
        put_values(json, config, &keys[i]);
        json_object_end(json);
    }
    json_array_end(json);
}

static void config_show(struct control_request *request)
{
    struct kith_node_id self = kith_node_self(request->node);
    struct control_reply reply;

    control_reply_begin(&reply, request);
    json_kv_id(&reply.json, "node", &self);
    json_kv_text(&reply.json, "name", kith_node_name(request->node));
    control_put_config(&reply.json, request->node);
    control_reply_end(&reply, false, NULL, 0);
}

/* ---- reloading ---- */

struct reloading {
    struct node_reload_wait wait;
    struct control_request *request;
};

static void put_changes(struct json *json,
                        const char *name,
                        const struct node_reload_report *report,
                        bool applied)
{
    json_key(json, name);
    json_array_begin(json);
    for (size_t i = 0; i < report->n; i++) {
        if (report->changes[i].applied != applied)
            continue;
        json_object_begin(json);
        json_kv_text(json, "key", report->changes[i].key->name);
        put_values(json, report->fresh, report->changes[i].key);
        json_object_end(json);
    }
    json_array_end(json);
}

static void on_reloaded(struct node_reload_wait *wait,
                        int code,
                        const char *text,
                        const struct node_reload_report *report)
{
    struct reloading *reloading = container_of(wait, struct reloading, wait);
    struct control_request *request = reloading->request;

    if (report == NULL) {
        control_fail(request, code, text);
    } else {
        struct kith_node_id self = kith_node_self(request->node);
        struct control_reply reply;
        control_reply_begin(&reply, request);
        json_kv_id(&reply.json, "node", &self);
        json_kv_text(&reply.json, "name", kith_node_name(request->node));
        put_changes(&reply.json, "changed", report, true);
        put_changes(&reply.json, "restart", report, false);
        control_reply_end(&reply, false, NULL, 0);
    }
    control_request_unref(request);
    core_free(reloading);
}

static void config_reload(struct control_request *request)
{
    struct reloading *reloading = core_calloc(1, sizeof(*reloading));

    if (reloading == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
        return;
    }
    reloading->wait.done = on_reloaded;
    reloading->request = control_request_ref(request);
    int r = node_ask_reload(request->node, &reloading->wait);
    if (r == 0)
        return;
    control_fail(request, r, NULL);
    control_request_unref(request);
    core_free(reloading);
}

const struct control_verb control_verbs_config[] = {
    {.name = "config.show", .run = config_show, .forward = "node", .remote = true},
    {.name = "config.reload", .run = config_reload, .forward = "node", .remote = true},
    {0},
};

/* Verbs of what people say of nodes: tags, and that one is drained. */
#include <string.h>

#include "control/request.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/limits.h"
#include "member/member.h"

void control_put_labels(struct json *json, struct kith_node *node, const struct kith_node_id *id)
{
    const char *key, *value;

    json_kv_bool(json, "drained", node_is_drained(node, id));
    json_key(json, "tags");
    json_object_begin(json);
    for (size_t at = 0; node_tag_at(node, id, at, &key, &value); at++)
        json_kv_text(json, key, value);
    json_object_end(json);
}

static void put_node(struct json *json, struct kith_node *node, const struct kith_node_id *id)
{
    const char *name = node_name_of(node, id);

    json_kv_id(json, "node", id);
    json_kv_text(json, "name", name != NULL ? name : "");
    control_put_labels(json, node, id);
}

/* Writes under way for one request. */
struct labelling {
    struct control_request *request;
    struct kith_node_id id;
    size_t left_n;
    int code;
    char text[1024];
};

static void labelling_over(struct labelling *labelling)
{
    struct control_request *request = labelling->request;

    if (--labelling->left_n > 0)
        return;
    if (labelling->code != 0) {
        control_fail(request, labelling->code, labelling->text);
    } else {
        struct control_reply reply;
        control_reply_begin(&reply, request);
        put_node(&reply.json, request->node, &labelling->id);
        control_reply_end(&reply, false, NULL, 0);
    }
    control_request_unref(request);
    core_free(labelling);
}

static void labelling_fails(struct labelling *labelling, int code, const char *text)
{
    if (labelling->code != 0)
        return;
    labelling->code = code;
    snprintf(labelling->text, sizeof(labelling->text), "%s", text);
}

static void on_written(struct kith_node *node, const struct kith_value *value, void *user)
{
    struct labelling *labelling = user;

    (void)node;
    /* Taken back on another node meanwhile: as was wanted. */
    if (value->code != 0 && value->code != KITH_E_NOT_FOUND)
        labelling_fails(labelling, value->code, value->text);
    labelling_over(labelling);
}

/* The node meant by the argument, this one if there is none; NULL: the request has been failed. */
static struct labelling *labelling_new(struct control_request *request)
{
    const char *which = control_text(request, "node");
    struct kith_node_id id = kith_node_self(request->node);
    struct member *member;
    int r = which != NULL ? node_member_named(request->node, which, &member) : 0;
    struct labelling *labelling = r == 0 ? core_calloc(1, sizeof(*labelling)) : NULL;

    if (labelling == NULL) {
        control_fail(request, r != 0 ? r : KITH_E_MEMORY, NULL);
        return NULL;
    }
    labelling->request = control_request_ref(request);
    labelling->id = which != NULL ? member->id : id;
    labelling->left_n = 1;
    return labelling;
}

/* ---- tags ---- */

/* All are looked at before the first is written. 0 or a code with its sentence. */
static int check_tags(struct kith_node *node, const struct labelling *labelling, json_t *tags)
{
    size_t added_n = 0;
    const char *key;
    json_t *value;

    json_object_foreach(tags, key, value)
    {
        const char *text = json_string_value(value);
        bool there = node_tag(node, &labelling->id, key) != NULL;
        if (!json_is_string(value) && !json_is_null(value))
            return kith_fail_with(KITH_E_INVALID,
                                  "the value of tag %.80s is no text; write it as \"...\", or null "
                                  "to take the tag away",
                                  key);
        int r = node_tag_check(key, text);
        if (r != 0)
            return r;
        if (text == NULL && !there)
            return kith_fail_with(KITH_E_NOT_FOUND,
                                  "the node has no tag %s; kith tag ls shows them", key);
        added_n += text != NULL && !there;
    }
    if (added_n > 0 && node_tags_n(node, &labelling->id) + added_n > NODE_TAGS_MAX)
        return kith_fail_with(KITH_E_LIMIT, "a node has at most %d tags; remove some (kith tag rm)",
                              NODE_TAGS_MAX);
    return 0;
}

static void tag_set(struct control_request *request)
{
    json_t *tags = json_object_get(request->args, "tags"), *value;
    const char *key;

    if (json_object_size(tags) == 0) {
        control_fail(request, KITH_E_INVALID,
                     "tag.set needs the argument \"tags\": {\"key\": \"value\", or null to take it "
                     "away}");
        return;
    }
    struct labelling *labelling = labelling_new(request);
    if (labelling == NULL)
        return;
    int r = check_tags(request->node, labelling, tags);
    if (r != 0)
        labelling_fails(labelling, r, kith_errmsg());
    json_object_foreach(tags, key, value)
    {
        if (labelling->code != 0)
            break;
        labelling->left_n++;
        r = node_tag_set(request->node, &labelling->id, key, json_string_value(value), on_written,
                         labelling);
        if (r != 0) {
            labelling->left_n--;
            labelling_fails(labelling, r, kith_strerror(r));
        }
    }
    labelling_over(labelling);
}

static void tag_ls(struct control_request *request)
{
    const char *which = control_text(request, "node");
    struct member *member = NULL;
    struct control_reply reply;
    size_t at = 0;
    int r = which != NULL ? node_member_named(request->node, which, &member) : 0;

    if (r != 0) {
        control_fail(request, r, NULL);
        return;
    }
    control_reply_begin(&reply, request);
    json_key(&reply.json, "nodes");
    json_array_begin(&reply.json);
    while (which != NULL || (member = member_next(node_members(request->node), &at)) != NULL) {
        if (which != NULL || node_tags_n(request->node, &member->id) > 0 ||
            node_is_drained(request->node, &member->id)) {
            json_object_begin(&reply.json);
            put_node(&reply.json, request->node, &member->id);
            json_object_end(&reply.json);
        }
        if (which != NULL)
            break;
    }
    json_array_end(&reply.json);
    control_reply_end(&reply, false, NULL, 0);
}

/* ---- draining ---- */

static void set_drained(struct control_request *request, bool drained)
{
    if (control_text_needed(request, "node") == NULL)
        return;
    struct labelling *labelling = labelling_new(request);
    if (labelling == NULL)
        return;
    if (node_is_drained(request->node, &labelling->id) != drained) {
        labelling->left_n++;
        int r = node_set_drained(request->node, &labelling->id, drained, on_written, labelling);
        if (r != 0) {
            labelling->left_n--;
            labelling_fails(labelling, r, kith_strerror(r));
        }
    }
    labelling_over(labelling);
}

static void drain(struct control_request *request)
{
    set_drained(request, true);
}

static void undrain(struct control_request *request)
{
    set_drained(request, false);
}

const struct control_verb control_verbs_label[] = {
    {.name = "tag.set", .run = tag_set},
    {.name = "tag.ls", .run = tag_ls},
    {.name = "drain", .run = drain},
    {.name = "undrain", .run = undrain},
    {0},
};

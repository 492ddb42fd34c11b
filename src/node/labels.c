/*
 * What people say of nodes: tags, and that one is drained. Each is an available variable whose name
 * no program can write, so it can be said on any node, about any node, on both sides of a cut, and
 * outlives the node that said it:
 *
 *     \1tag/ID/KEY   text, the later one stands: the value
 *     \1drain/ID     text, the later one stands: the node at which it was asked for
 *
 * A table by node is kept beside them, since a name is looked for in every call that has a choice
 * and variables are many. What follows from a change (the core of calls is told, maps look again)
 * waits for the next request, as a change may come in the middle of a step.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "node/internal.h"

#define TAG_PREFIX   "\1tag/"
#define DRAIN_PREFIX "\1drain/" /* octal: the d would belong to a hexadecimal one */
/* Both sides of a cut may reach the limit. */
#define TAGS_KEPT_MAX (2 * NODE_TAGS_MAX)

struct tag {
    char *key; /* the value stands behind it */
    const char *value;
};

struct node_label {
    struct kith_node_id id;
    bool drained;
    bool told; /* to the core of calls */
    char by[KITH_NAME_BYTES_MAX + 1];
    struct tag *tags; /* by key */
    size_t tags_n, tags_cap;
};

/* ---- names ---- */

/* The id in a name behind @prefix, and what follows it. */
static bool
parse(const char *name, const char *prefix, struct kith_node_id *id_out, const char **rest_out)
{
    char digits[KITH_NODE_ID_DIGITS + 1];
    size_t len = strlen(prefix);

    if (strncmp(name, prefix, len) != 0 || strlen(name + len) < KITH_NODE_ID_DIGITS)
        return false;
    memcpy(digits, name + len, KITH_NODE_ID_DIGITS);
    digits[KITH_NODE_ID_DIGITS] = '\0';
    *rest_out = name + len + KITH_NODE_ID_DIGITS;
    return kith_node_id_parse(digits, id_out) == 0;
}

static void name_of(const char *prefix,
                    const struct kith_node_id *id,
                    const char *key,
                    char out[KITH_NAME_BYTES_MAX + 1])
{
    char digits[KITH_NODE_ID_DIGITS + 1];

    kith_node_id_text(id, digits);
    snprintf(out, KITH_NAME_BYTES_MAX + 1, "%s%s%s%s", prefix, digits, key[0] != '\0' ? "/" : "",
             key);
}

/* ---- the table ---- */

static struct node_label *label_get(struct kith_node *node, const struct kith_node_id *id)
{
    struct node_label *label = mapid_find(&node->labels, id);

    if (label != NULL)
        return label;
    if (node->labels.n >= NODE_LABELS_MAX || (label = core_calloc(1, sizeof(*label))) == NULL)
        return NULL;
    label->id = *id;
    if (mapid_set(&node->labels, id, label) != 0) {
        core_free(label);
        return NULL;
    }
    return label;
}

static void label_free(struct node_label *label)
{
    for (size_t i = 0; i < label->tags_n; i++)
        core_free(label->tags[i].key);
    core_free(label->tags);
    core_free(label);
}

/* Of one of whom nothing is said any more, nothing is kept. */
static void label_release(struct kith_node *node, struct node_label *label)
{
    if (label->tags_n > 0 || label->drained || label->told)
        return;
    mapid_remove(&node->labels, &label->id);
    label_free(label);
}

/* Where @key is, or belongs. */
static size_t tag_at(const struct node_label *label, const char *key)
{
    size_t at = 0;
    while (at < label->tags_n && strcmp(label->tags[at].key, key) < 0)
        at++;
    return at;
}

static bool tag_is(const struct node_label *label, size_t at, const char *key)
{
    return at < label->tags_n && strcmp(label->tags[at].key, key) == 0;
}

static void tag_drop(struct node_label *label, size_t at)
{
    core_free(label->tags[at].key);
    label->tags_n--;
    memmove(&label->tags[at], &label->tags[at + 1], (label->tags_n - at) * sizeof(label->tags[0]));
}

static bool tags_room(struct node_label *label)
{
    if (label->tags_n < label->tags_cap)
        return true;
    size_t cap = label->tags_cap == 0 ? 4 : label->tags_cap * 2;
    struct tag *tags = cap <= TAGS_KEPT_MAX ? core_realloc(label->tags, cap * sizeof(*tags)) : NULL;
    if (tags == NULL)
        return false;
    label->tags = tags;
    label->tags_cap = cap;
    return true;
}

static void tag_put(struct node_label *label, const char *key, struct kith_bytes value)
{
    size_t at = tag_at(label, key), key_bytes = strlen(key) + 1;
    char *text = core_malloc(key_bytes + value.len + 1);

    if (text == NULL)
        return;
    if (tag_is(label, at, key))
        tag_drop(label, at);
    if (!tags_room(label)) {
        core_free(text);
        return;
    }
    memcpy(text, key, key_bytes);
    if (value.len > 0)
        memcpy(text + key_bytes, value.data, value.len);
    text[key_bytes + value.len] = '\0';
    memmove(&label->tags[at + 1], &label->tags[at], (label->tags_n - at) * sizeof(label->tags[0]));
    label->tags[at] = (struct tag){.key = text, .value = text + key_bytes};
    label->tags_n++;
}

/* ---- changes ---- */

/* The cores that choose nodes hear of who is drained now, and has which tags. */
static void labels_tell(struct kith_node *node, struct node_request *request)
{
    struct node_label *label;
    bool any = node->tags_changed;

    (void)request;
    node->labels_pushed = node->tags_changed = false;
    for (size_t at = 0; (label = mapid_next(&node->labels, &at)) != NULL;) {
        if (label->told == label->drained)
            continue;
        label->told = label->drained;
        any = true;
        struct rpc_event event = {.type = RPC_DRAIN,
                                  .u.drain = {.id = label->id, .drained = label->drained}};
        node_rpc_step(node, &event);
    }
    if (any)
        node_maps_refresh(node);
    for (size_t at = 0; (label = mapid_next(&node->labels, &at)) != NULL;) {
        if (label->tags_n > 0 || label->drained)
            continue;
        label_release(node, label);
        at = 0;
    }
}

static void labels_push(struct kith_node *node)
{
    if (node->labels_pushed)
        return;
    node->labels_pushed = true;
    node->labels_request.run = labels_tell;
    node_push(node, &node->labels_request);
}

static void drain_changed(struct kith_node *node, struct node_label *label, struct kith_bytes by)
{
    bool drained = by.data != NULL;
    const char *name = node_name_of(node, &label->id);
    size_t len = by.len < sizeof(label->by) ? by.len : sizeof(label->by) - 1;

    if (drained && len > 0)
        memcpy(label->by, by.data, len);
    label->by[drained ? len : 0] = '\0';
    if (label->drained == drained)
        return;
    label->drained = drained;
    if (name != NULL)
        node_event_note(node, drained ? "drained" : "undrained", &label->id, name, "",
                        drained && len > 0 ? label->by : "");
    log_info(&node->log.log, "node", drained ? "a node is drained" : "a node is drained no more",
             "name", name != NULL ? name : "", "asked_at", label->by, NULL);
    labels_push(node);
}

void node_label_changed(struct kith_node *node, const char *name)
{
    struct kith_node_id id;
    const char *rest;
    bool tag = parse(name, TAG_PREFIX, &id, &rest);

    if (!tag && (!parse(name, DRAIN_PREFIX, &id, &rest) || rest[0] != '\0'))
        return;
    if (tag && (rest[0] != '/' || !node_tag_key_is(rest + 1)))
        return;
    struct kith_bytes value = avail_peek(node->state.avail, name, NULL);
    struct node_label *label = label_get(node, &id);
    if (label == NULL)
        return;
    if (tag && !list_empty(&node->maps)) { /* one may choose by it */
        node->tags_changed = true;
        labels_push(node);
    }
    if (!tag) {
        drain_changed(node, label, value);
    } else if (value.data != NULL) {
        tag_put(label, rest + 1, value);
    } else {
        size_t at = tag_at(label, rest + 1);
        if (tag_is(label, at, rest + 1))
            tag_drop(label, at);
        label_release(node, label);
    }
}

/* What the store remembers of them comes without changes. */
void node_labels_first(struct kith_node *node)
{
    const char *name;

    for (size_t at = 0; (name = avail_next(node->state.avail, &at)) != NULL;)
        node_label_changed(node, name);
}

void node_labels_deinit(struct kith_node *node)
{
    struct node_label *label;

    for (size_t at = 0; (label = mapid_next(&node->labels, &at)) != NULL;)
        label_free(label);
    mapid_deinit(&node->labels);
}

/* ---- looking ---- */

bool node_tag_key_is(const char *key)
{
    return strlen(key) <= NODE_TAG_KEY_BYTES_MAX && text_is_node_name(key);
}

bool node_is_drained(const struct kith_node *node, const struct kith_node_id *id)
{
    const struct node_label *label = mapid_find(&node->labels, id);
    return label != NULL && label->drained;
}

const char *node_drained_by(const struct kith_node *node, const struct kith_node_id *id)
{
    const struct node_label *label = mapid_find(&node->labels, id);
    return label != NULL ? label->by : "";
}

bool node_tag_at(const struct kith_node *node,
                 const struct kith_node_id *id,
                 size_t at,
                 const char **key_out,
                 const char **value_out)
{
    const struct node_label *label = mapid_find(&node->labels, id);

    if (label == NULL || at >= label->tags_n)
        return false;
    *key_out = label->tags[at].key;
    *value_out = label->tags[at].value;
    return true;
}

const char *node_tag(const struct kith_node *node, const struct kith_node_id *id, const char *key)
{
    const struct node_label *label = mapid_find(&node->labels, id);
    size_t at = label != NULL ? tag_at(label, key) : 0;

    return label != NULL && tag_is(label, at, key) ? label->tags[at].value : NULL;
}

bool node_has_tags(const struct kith_node *node,
                   const struct kith_node_id *id,
                   const char *const *tags,
                   size_t tags_n)
{
    char key[NODE_TAG_KEY_BYTES_MAX + 1];

    for (size_t i = 0; i < tags_n; i++) {
        size_t len = strcspn(tags[i], "=");
        if (len >= sizeof(key))
            return false;
        memcpy(key, tags[i], len);
        key[len] = '\0';
        const char *value = node_tag(node, id, key);
        if (value == NULL || (tags[i][len] == '=' && strcmp(value, tags[i] + len + 1) != 0))
            return false;
    }
    return true;
}

/* ---- saying ---- */

static int write_text(
    struct kith_node *node, const char *name, const char *value, kith_value_cb cb, void *user)
{
    struct value_op op = {.kind = value != NULL ? VALUE_OP_SET : VALUE_OP_DELETE,
                          .type = VALUE_TEXT,
                          .policy = KITH_POLICY_AVAILABLE,
                          .data = (const uint8_t *)value,
                          .data_len = value != NULL ? strlen(value) : 0};
    return node_var_begin(node, name, &op, cb, user);
}

int node_tag_check(const char *key, const char *value)
{
    if (!node_tag_key_is(key))
        return kith_fail_with(KITH_E_NAME,
                              "'%.80s' is no key of a tag: use 1 to %d of a-z A-Z 0-9 - _ .", key,
                              NODE_TAG_KEY_BYTES_MAX);
    if (value == NULL)
        return 0;
    if (strlen(value) > NODE_TAG_VALUE_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE,
                              "the value of tag %s has %zu bytes and may have %d; shorten it", key,
                              strlen(value), NODE_TAG_VALUE_BYTES_MAX);
    if (!text_is_utf8(value, strlen(value)))
        return kith_fail_with(KITH_E_INVALID, "the value of tag %s is not UTF-8; write it in UTF-8",
                              key);
    for (const char *c = value; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return kith_fail_with(KITH_E_INVALID,
                                  "the value of tag %s has a control character; leave it out", key);
    }
    return 0;
}

int node_tag_set(struct kith_node *node,
                 const struct kith_node_id *id,
                 const char *key,
                 const char *value,
                 kith_value_cb cb,
                 void *user)
{
    char name[KITH_NAME_BYTES_MAX + 1];

    name_of(TAG_PREFIX, id, key, name);
    return write_text(node, name, value, cb, user);
}

size_t node_tags_n(const struct kith_node *node, const struct kith_node_id *id)
{
    const struct node_label *label = mapid_find(&node->labels, id);
    return label != NULL ? label->tags_n : 0;
}

int node_set_drained(struct kith_node *node,
                     const struct kith_node_id *id,
                     bool drained,
                     kith_value_cb cb,
                     void *user)
{
    char name[KITH_NAME_BYTES_MAX + 1];

    name_of(DRAIN_PREFIX, id, "", name);
    return write_text(node, name, drained ? node->name : NULL, cb, user);
}

static void on_dropped(struct kith_node *node, const struct kith_value *value, void *user)
{
    (void)node;
    (void)value;
    (void)user;
}

void node_labels_forget(struct kith_node *node, const struct kith_node_id *id)
{
    const struct node_label *label = mapid_find(&node->labels, id);

    if (label == NULL)
        return;
    /* Each is dropped from here when its variable is gone, in requests to come. */
    for (size_t at = 0; at < label->tags_n; at++)
        (void)node_tag_set(node, id, label->tags[at].key, NULL, on_dropped, NULL);
    if (label->drained)
        (void)node_set_drained(node, id, false, on_dropped, NULL);
}

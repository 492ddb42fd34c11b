/*
 * Verbs about names of nodes and functions. They are listed by asking every node for those it is
 * the home of.
 */
#include <stdlib.h>
#include <string.h>

#include "control/control.h"
#include "control/request.h"
#include "core/alloc.h"
#include "core/error.h"

#define LIST_TIMEOUT_MS 5000

static void put_name(struct json *json, const char *name, const struct kith_name *what)
{
    json_kv_text(json, "name", name);
    json_kv_text(json, "kind", what->kind == KITH_NAME_FUNCTION ? "function" : "node");
    json_kv_id(json, "node", &what->node);
    json_kv_text(json, "node_name", what->node_name);
    json_kv_u64(json, "boot", what->boot_no);
    json_kv_text(json, "function", what->function);
}

struct doing {
    struct control_request *request;
    char name[KITH_NAME_BYTES_MAX + 1];
};

static void on_done(
    struct kith_node *node, int code, const struct kith_name *what, const char *text, void *user)
{
    struct doing *doing = user;
    struct control_reply reply;

    (void)node;
    if (code != 0) {
        control_fail(doing->request, code, text);
    } else {
        control_reply_begin(&reply, doing->request);
        put_name(&reply.json, doing->name, what);
        control_reply_end(&reply, false, NULL, 0);
    }
    control_request_unref(doing->request);
    core_free(doing);
}

static struct doing *doing_new(struct control_request *request)
{
    const char *name = control_text_needed(request, "name");
    struct doing *doing;

    if (name == NULL)
        return NULL;
    doing = core_calloc(1, sizeof(*doing));
    if (doing == NULL) {
        control_fail(request, KITH_E_MEMORY, NULL);
        return NULL;
    }
    doing->request = control_request_ref(request);
    snprintf(doing->name, sizeof(doing->name), "%s", name);
    return doing;
}

static void begun(struct control_request *request, struct doing *doing, int r)
{
    if (r == 0)
        return;
    control_fail(request, r, NULL);
    control_request_unref(request);
    core_free(doing);
}

static void name_register(struct control_request *request)
{
    struct doing *doing = doing_new(request);

    if (doing != NULL)
        begun(request, doing,
              node_name_register(request->node, control_text(request, "name"),
                                 control_text(request, "target"), on_done, doing));
}

static void name_resolve(struct control_request *request)
{
    struct doing *doing = doing_new(request);

    if (doing != NULL)
        begun(request, doing,
              node_name_resolve(request->node, control_text(request, "name"), on_done, doing));
}

static void name_rm(struct control_request *request)
{
    struct doing *doing = doing_new(request);

    if (doing != NULL)
        begun(request, doing,
              node_name_remove(request->node, control_text(request, "name"), on_done, doing));
}

/* ---- the list ---- */

struct listed {
    uint64_t version;
    struct kith_name what;
    char name[KITH_NAME_BYTES_MAX + 1];
};

struct listing {
    struct control_request *request;
    struct buf found; /* struct listed */
    size_t silent_n;  /* nodes that did not answer */
};

static void add_one(void *user, const char *name, uint64_t version, const struct kith_name *what)
{
    struct listing *listing = user;
    struct listed one = {.version = version, .what = *what};

    snprintf(one.name, sizeof(one.name), "%s", name);
    (void)buf_append(&listing->found, &one, sizeof(one));
}

static void on_list(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct listing *listing = user;

    if (result->outcome == KITH_OUTCOME_OK)
        node_names_parse(node, result->data, result->len, add_one, listing);
    else
        listing->silent_n++;
}

/* By name; of one that two homes told of (a slot that moves), the newer first. */
static int by_name(const void *a, const void *b)
{
    const struct listed *one = a, *other = b;
    int order = strcmp(one->name, other->name);

    if (order != 0)
        return order;
    return one->version > other->version ? -1 : one->version < other->version;
}

static void on_list_done(struct kith_node *node, size_t ok_n, size_t asked_n, void *user)
{
    struct listing *listing = user;
    struct listed *found = (struct listed *)(void *)listing->found.data;
    size_t n = listing->found.len / sizeof(*found);
    struct control_reply reply;

    (void)node;
    (void)ok_n;
    (void)asked_n;
    if (n > 0)
        qsort(found, n, sizeof(*found), by_name);
    control_reply_begin(&reply, listing->request);
    json_key(&reply.json, "names");
    json_array_begin(&reply.json);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && strcmp(found[i - 1].name, found[i].name) == 0)
            continue;
        json_object_begin(&reply.json);
        put_name(&reply.json, found[i].name, &found[i].what);
        json_object_end(&reply.json);
    }
    json_array_end(&reply.json);
    json_kv_u64(&reply.json, "silent_nodes", listing->silent_n);
    control_reply_end(&reply, false, NULL, 0);
    control_request_unref(listing->request);
    buf_deinit(&listing->found);
    core_free(listing);
}

static void name_ls(struct control_request *request)
{
    struct kith_call_options options = {.timeout_ms = LIST_TIMEOUT_MS};
    struct listing *listing = core_calloc(1, sizeof(*listing));
    int r = KITH_E_MEMORY;

    if (listing != NULL) {
        listing->request = control_request_ref(request);
        r = kith_multicall_async(request->node, "sys.names", NULL, 0, NULL, 0, &options, on_list,
                                 on_list_done, listing, NULL);
        if (r >= 0)
            return;
        control_request_unref(request);
        core_free(listing);
    }
    control_fail(request, r, NULL);
}

const struct control_verb control_verbs_name[] = {
    {.name = "name.register", .run = name_register, .forward = "node", .remote = true},
    {.name = "name.resolve", .run = name_resolve},
    {.name = "name.ls", .run = name_ls},
    {.name = "name.rm", .run = name_rm},
    {0},
};

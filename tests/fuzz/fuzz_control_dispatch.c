/*
 * The dispatcher, by whatever door: the first line is a verb, the second its arguments (anything
 * that is no JSON object counts as none), the rest the bytes beside them. Each request ends once,
 * by itself or when it is cancelled, and all that it answers is JSON.
 */
#include <assert.h>
#include <string.h>

#include "control/request.h"
#include "core/alloc.h"
#include "core/bytes.h"
#include "fuzz/node.h"
#include "node/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* They reach beyond this process: end it, load code into it, call up strangers, ask other nodes. */
static const char *const spared[] = {"leave", "kill", "module.load", "connect", "reach"};

struct input {
    const uint8_t *data;
    size_t size;
};

static unsigned ends, lasts;

static void on_answer(struct control_request *request,
                      bool ok,
                      bool more,
                      const struct buf *json,
                      const void *data,
                      size_t len)
{
    json_t *doc = json_loadb((const char *)json->data, json->len, JSON_REJECT_DUPLICATES, NULL);

    assert(json_is_object(doc));
    assert(ok ? json_is_string(json_object_get(doc, "schema"))
              : json_is_string(json_object_get(doc, "code")));
    assert(data != NULL || len == 0);
    assert(!request->ended && !(more && !ok));
    if (!more)
        lasts++;
    json_decref(doc);
}

static void on_ended(struct control_request *request)
{
    ends++;
    control_request_unref(request);
}

static const struct control_door door = {.answer = on_answer, .ended = on_ended};

static void run(struct kith_node *node, void *arg)
{
    const struct input *input = arg;
    const uint8_t *line = memchr(input->data, '\n', input->size);
    size_t verb_len = line != NULL ? (size_t)(line - input->data) : input->size;
    char verb[64];

    if (verb_len >= sizeof(verb))
        return;
    memcpy(verb, input->data, verb_len);
    verb[verb_len] = '\0';
    for (size_t i = 0; i < sizeof(spared) / sizeof(spared[0]); i++) {
        if (strcmp(verb, spared[i]) == 0)
            return;
    }
    const uint8_t *rest = line != NULL ? line + 1 : input->data + input->size;
    size_t rest_len = (size_t)(input->data + input->size - rest);
    const uint8_t *end = rest_len > 0 ? memchr(rest, '\n', rest_len) : NULL;
    size_t args_len = end != NULL ? (size_t)(end - rest) : rest_len;
    json_t *args = json_loadb((const char *)rest, args_len, JSON_REJECT_DUPLICATES, NULL);

    if (!json_is_object(args)) {
        json_decref(args);
        args = json_object();
    }
    struct control_request *request = control_request_new(node, &door, NULL, NULL, args);
    assert(request != NULL);
    if (end != NULL && rest_len > args_len + 1) {
        request->data_len = rest_len - args_len - 1;
        request->data = request->data_owned = core_malloc(request->data_len);
        assert(request->data != NULL);
        memcpy(request->data_owned, end + 1, request->data_len);
    }
    ends = lasts = 0;
    control_request_ref(request);
    control_dispatch(request, verb);
    if (!request->ended)
        control_cancel(request, KITH_E_CANCELED);
    assert(request->ended && ends == 1 && lasts == 1);
    control_request_unref(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {.data = data, .size = size};

    assert(node_run(fuzz_node(), run, &input) == 0);
    return 0;
}

#include "control/everywhere.h"

#include <string.h>

#include "control/forward.h"
#include "core/alloc.h"
#include "core/error.h"

struct asking {
    struct control_everywhere what;
    size_t silent_n;
};

static void on_one(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct asking *asking = user;
    json_t *message =
        result->outcome == KITH_OUTCOME_OK ? json_loadb(result->data, result->len, 0, NULL) : NULL;
    json_t *said = json_object_get(message, "result");

    (void)node;
    asking->silent_n += !json_is_object(said);
    asking->what.each(asking->what.user, &result->node, result->node_name,
                      json_is_object(said) ? said : NULL);
    json_decref(message);
}

static void on_done(struct kith_node *node, size_t ok_n, size_t asked_n, void *user)
{
    struct asking *asking = user;

    (void)node;
    (void)ok_n;
    (void)asked_n;
    asking->what.done(asking->what.user, asking->silent_n);
    core_free(asking);
}

int control_everywhere(struct kith_node *node, const struct control_everywhere *what)
{
    struct kith_call_options options = {.timeout_ms = what->timeout_ms, .no_retry = true};
    struct asking *asking = core_calloc(1, sizeof(*asking));
    json_t *message = json_pack("{s:s,s:o}", "verb", what->verb, "args",
                                what->args != NULL ? what->args : json_object());
    char *line = message != NULL ? json_dumps(message, JSON_COMPACT) : NULL;
    int r = KITH_E_MEMORY;

    json_decref(message);
    if (asking != NULL && line != NULL) {
        asking->what = *what;
        asking->what.args = NULL;
        r = kith_multicall_async(node, CONTROL_FUNCTION, line, strlen(line), NULL, 0, &options,
                                 on_one, on_done, asking, NULL);
    }
    free(line);
    if (r >= 0)
        return 0;
    core_free(asking);
    return r;
}

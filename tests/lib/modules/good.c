/* A module of the tests: exports a function; what else it does, the build says. */
#include <kith.h>
#include <stdlib.h>

static int answer(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    (void)arg;
    (void)len;
    (void)user;
#ifdef MODULE_ABORTS
    abort();
#endif
    return kith_reply(ctx, "42", 2);
}

static int start(struct kith_node *node)
{
    struct kith_export fn = {.name = MODULE_FUNCTION, .fn = answer};
    int r = kith_export(node, &fn);
    return r != 0 ? r : MODULE_RETURNS;
}

static void stop(struct kith_node *node)
{
    kith_log(node, KITH_LOG_DEBUG, "stopped");
}

KITH_MODULE = {MODULE_ABI, "test", "1.0", "a module of the tests", start, stop};

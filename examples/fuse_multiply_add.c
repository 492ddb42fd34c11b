/*
 * A function with several typed parameters, a * x[i] + b for every element of x. The signature
 * travels with the call: who packed something else is refused before anything runs.
 *
 *     ./fuse_multiply_add 2 0.5 1 2 3 4
 *     2.5 4.5 6.5 8.5
 */
#include <kith.h>
#include <stdio.h>
#include <stdlib.h>

#define SIGNATURE "fma(f64 a, f64[] x, f64 b) -> f64[]"
#define X_MAX     64

static int fma_all(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    double a, b, out[X_MAX];
    const double *x; /* points into arg */
    size_t n;
    void *packed;

    (void)user;
    if (kith_unpack(arg, len, SIGNATURE, &a, &x, &n, &b) != 0 || n > X_MAX)
        return kith_fail(ctx, 1, "a, b and at most 64 numbers x were expected");
    for (size_t i = 0; i < n; i++)
        out[i] = a * x[i] + b;
    if (kith_pack_result(&packed, &len, SIGNATURE, out, n) != 0)
        return kith_fail(ctx, 1, kith_errmsg());
    return kith_reply_take(ctx, packed, len); /* no copy; packed is kith's from here on */
}

int main(int argc, char **argv)
{
    struct kith_export fn = {.name = "example.fma", .signature = SIGNATURE, .fn = fma_all};
    struct kith_call_options options = {.signature = SIGNATURE};
    struct kith_config *config = kith_config_new();
    struct kith_node *node = NULL;
    struct kith_reply *reply = NULL;
    double x[X_MAX], a = argc > 1 ? strtod(argv[1], NULL) : 1,
                     b = argc > 2 ? strtod(argv[2], NULL) : 0;
    const double *y;
    void *arg = NULL;
    size_t len, n = 0;

    for (int i = 3; i < argc && n < X_MAX; i++)
        x[n++] = strtod(argv[i], NULL);
    if (kith_config_from_agent(config, NULL) != 0 || kith_node_start(config, &node) != 0 ||
        kith_export(node, &fn) != 0 || kith_pack(&arg, &len, SIGNATURE, a, x, n, b) != 0 ||
        kith_call(node, "example.fma", arg, len, &options, &reply) != 0 ||
        kith_unpack_result(reply->result.data, reply->result.len, SIGNATURE, &y, &n) != 0)
        return fprintf(stderr, "fuse_multiply_add: %s\n", kith_errmsg()), 1;
    for (size_t i = 0; i < n; i++)
        printf("%g%c", y[i], i + 1 < n ? ' ' : '\n');
    kith_free(arg);
    kith_reply_free(reply);
    kith_node_stop(node);
    kith_config_free(config);
}

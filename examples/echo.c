/*
 * The smallest program: joins the cluster of the agent on this machine as a peer. Without an
 * argument it offers a function until it is stopped; with one it calls the function, wherever that
 * is.
 *
 *     cc echo.c $(pkg-config --cflags --libs kith) -o echo
 *     ./echo & ./echo hello
 */
#include <kith.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Runs on the node's loop thread (KITH_FN_INLINE), which is right for something so short. */
static int echo(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    (void)user;
    return kith_reply(ctx, arg, len);
}

static int serve(struct kith_node *node, const sigset_t *stop)
{
    struct kith_export fn = {.name = "example.echo", .flags = KITH_FN_INLINE, .fn = echo};
    int signal_no, r = kith_export(node, &fn);

    return r == 0 ? sigwait(stop, &signal_no) : r;
}

static int call(struct kith_node *node, const char *text)
{
    struct kith_call_options options = {.timeout_ms = 10000, .wait_for_function = true};
    struct kith_reply *reply;
    int r = kith_call(node, "example.echo", text, strlen(text), &options, &reply);

    if (r == 0)
        printf("%s: %.*s\n", reply->result.node_name, (int)reply->result.len,
               (const char *)reply->result.data);
    kith_reply_free(reply);
    return r;
}

int main(int argc, char **argv)
{
    struct kith_config *config = kith_config_new();
    struct kith_node *node = NULL;
    sigset_t stop;

    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL); /* before the node's threads start, which inherit it */
    if (kith_config_from_agent(config, NULL) != 0 || kith_node_start(config, &node) != 0 ||
        (argc > 1 ? call(node, argv[1]) : serve(node, &stop)) != 0)
        return fprintf(stderr, "echo: %s\n", kith_errmsg()), 1;
    kith_node_stop(node); /* leaves the cluster */
    kith_config_free(config);
}

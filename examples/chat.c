/*
 * A chat: every line that one types appears at all others.
 *
 *     ./chat ana          (and ./chat ben in another terminal, or on another machine)
 */
#include <kith.h>
#include <stdio.h>
#include <string.h>

/* On the loop thread, so that lines do not mix. */
static int say(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    struct kith_node_id self = kith_node_self(kith_ctx_node(ctx));
    struct kith_node_id caller = kith_ctx_caller(ctx);

    (void)user;
    if (!kith_node_id_equal(&self, &caller)) {
        printf("%.*s\n", (int)len, (const char *)arg);
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "somebody";
    struct kith_export fn = {.name = "chat.say", .flags = KITH_FN_INLINE, .fn = say};
    struct kith_call_options options = {.timeout_ms = 5000};
    struct kith_config *config = kith_config_new();
    struct kith_node *node = NULL;
    char line[1000], text[1100];

    if (kith_config_from_agent(config, NULL) != 0 || kith_node_start(config, &node) != 0 ||
        kith_export(node, &fn) != 0)
        return fprintf(stderr, "chat: %s\n", kith_errmsg()), 1;
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        int len = snprintf(text, sizeof(text), "%s: %s", name, line);
        /* All that have the function, this one included; the number of those that took it. */
        int heard = kith_multicall(node, "chat.say", text, (size_t)len, NULL, 0, &options, NULL);
        if (heard < 0)
            fprintf(stderr, "chat: %s\n", kith_errmsg());
        else
            fprintf(stderr, "(heard by %d)\n", heard - 1);
    }
    kith_node_stop(node);
    kith_config_free(config);
}

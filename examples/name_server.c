/*
 * A name server: keeps what it is told under a name and gives it back to whoever asks.
 *
 *     ./name_server &
 *     kith call store 'printer 10.0.0.9'
 *     kith call lookup printer
 */
#include <kith.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Both functions are inline: they run on the loop thread, one at a time, and need no lock. */
static struct {
    char name[64], value[192];
} entries[1000];
static size_t entries_n;

static int store(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    char text[256] = "", name[64], value[192];
    size_t i = 0;

    (void)user;
    memcpy(text, arg, len < sizeof(text) ? len : sizeof(text) - 1);
    if (sscanf(text, "%63s %191[^\n]", name, value) != 2)
        return kith_fail(ctx, 1, "write: NAME VALUE");
    while (i < entries_n && strcmp(entries[i].name, name) != 0)
        i++;
    if (i == sizeof(entries) / sizeof(entries[0]))
        return kith_fail(ctx, 2, "no room for more names");
    entries_n += i == entries_n;
    memcpy(entries[i].name, name, sizeof(name));
    memcpy(entries[i].value, value, sizeof(value));
    return 0; /* an empty reply */
}

static int lookup(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    (void)user;
    for (size_t i = 0; i < entries_n; i++)
        if (strlen(entries[i].name) == len && memcmp(entries[i].name, arg, len) == 0)
            return kith_reply(ctx, entries[i].value, strlen(entries[i].value));
    return kith_fail(ctx, 3, "no such name");
}

int main(void)
{
    struct kith_export fns[] = {{.name = "store", .flags = KITH_FN_INLINE, .fn = store},
                                {.name = "lookup", .flags = KITH_FN_INLINE, .fn = lookup}};
    struct kith_config *config = kith_config_new();
    struct kith_node *node = NULL;

    if (kith_config_from_agent(config, NULL) != 0 || kith_node_start(config, &node) != 0 ||
        kith_export(node, &fns[0]) != 0 || kith_export(node, &fns[1]) != 0)
        return fprintf(stderr, "name_server: %s\n", kith_errmsg()), 1;
    pause(); /* until it is killed */
}

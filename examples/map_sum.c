/*
 * A map with aggregation: the sum of the squares from 1 to N, in parts on which all nodes that
 * offer the function work. Start it without N on as many machines as you have, then once with it.
 *
 *     ./map_sum & ./map_sum & ./map_sum 1000000
 */
#include <kith.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PARTS 100

static int part(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    unsigned long long first, last, sum = 0;
    char text[64], *rest;

    (void)user;
    snprintf(text, sizeof(text), "%.*s", (int)len, (const char *)arg);
    first = strtoull(text, &rest, 10), last = strtoull(rest, &rest, 10);
    if (len == 0 || *rest != '\0')
        return kith_fail(ctx, 1, "write: FIRST LAST");
    for (; first <= last; first++)
        sum += first * first;
    return kith_reply(ctx, text, (size_t)snprintf(text, sizeof(text), "%llu", sum));
}

/* Callbacks run on the loop thread, one at a time: the total needs no lock. */
static void add(struct kith_map *map, uint64_t index, const struct kith_result *result, void *user)
{
    char text[64];

    (void)map, (void)index;
    snprintf(text, sizeof(text), "%.*s", (int)result->len, (const char *)result->data);
    *(unsigned long long *)user += strtoull(text, NULL, 10);
}

int main(int argc, char **argv)
{
    unsigned long long total = 0, n = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    struct kith_export fn = {.name = "example.squares", .fn = part};
    struct kith_map_options options = {.on_result = add, .user = &total};
    struct kith_config *config = kith_config_new();
    struct kith_node *node = NULL;
    struct kith_bytes items[PARTS];
    char text[PARTS][48];

    for (unsigned i = 0; i < PARTS; i++)
        items[i] = (struct kith_bytes){
            text[i], (size_t)sprintf(text[i], "%llu %llu", n * i / PARTS + 1, n * (i + 1) / PARTS)};
    if (kith_config_from_agent(config, NULL) != 0 || kith_node_start(config, &node) != 0 ||
        kith_export(node, &fn) != 0 || (n == 0 && pause()) ||
        kith_map_run(node, fn.name, items, PARTS, &options) != 0)
        return fprintf(stderr, "map_sum: %s\n", kith_errmsg()), 1;
    printf("%llu\n", total);
    kith_node_stop(node);
    kith_config_free(config);
}

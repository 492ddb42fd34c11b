/*
 * Says who joins, is suspected, fails and leaves, and what work a lost node held. To have work at
 * risk it maps sys.sleep over all nodes: kill one meanwhile (kith dev kill 2) and see its items
 * move.
 *
 *     ./failure_callback ITEMS TIME        such as 60 500ms
 */
#include <kith.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS_MAX 10000

static void on_event(struct kith_node *node, const struct kith_event *event, void *user)
{
    static const char *const types[] = {"?", "joined", "suspect", "failed", "left"};

    (void)node;
    (void)user;
    printf("%s %s (%s): %s", types[event->type], event->name, event->address, event->reason);
    if (event->items_n > 0)
        printf("; items it held:");
    for (size_t i = 0; i < event->items_n; i++)
        printf(" %llu", (unsigned long long)event->items[i].item_index);
    printf("\n");
    fflush(stdout);
}

static void on_done(struct kith_map *map, const struct kith_map_progress *progress, void *user)
{
    (void)map;
    (void)user;
    printf("%llu done, %llu lost and done again\n", (unsigned long long)progress->done_n,
           (unsigned long long)progress->lost_n);
}

static struct kith_bytes items[ITEMS_MAX];

int main(int argc, char **argv)
{
    size_t items_n = argc > 1 ? strtoul(argv[1], NULL, 10) : 60;
    const char *each = argc > 2 ? argv[2] : "500ms";
    struct kith_map_options options = {.on_done = on_done, .local_excluded = true};
    struct kith_config *config = kith_config_new();
    struct kith_node *node = NULL;

    items_n = items_n < ITEMS_MAX ? items_n : ITEMS_MAX;
    for (size_t i = 0; i < items_n; i++)
        items[i] = (struct kith_bytes){each, strlen(each)};
    if (kith_config_from_agent(config, NULL) != 0 || kith_node_start(config, &node) != 0 ||
        kith_on_event(node, on_event, NULL) != 0 ||
        kith_map_run(node, "sys.sleep", items, items_n, &options) < 0)
        return fprintf(stderr, "failure_callback: %s\n", kith_errmsg()), 1;
    kith_node_stop(node);
    kith_config_free(config);
}

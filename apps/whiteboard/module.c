/*
 * The module of a node (docs/protocols/board.md, Between page and node): its functions, and a place
 * for each node of the process that has loaded it.
 */
#include "module.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "place.h"

/* Nodes have a loop thread each. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct wb *places;

#define BACK (KITH_FN_DEFERRED | KITH_FN_HIDDEN)

static const struct kith_export exports[] = {
    {.name = "board.list",
     .version = KITH_VERSION,
     .description = "the boards there are, as JSON",
     .flags = KITH_FN_DEFERRED | KITH_FN_IDEMPOTENT,
     .fn = wb_fn_list},
    {.name = "board.files",
     .version = KITH_VERSION,
     .description = "NAME: the logs of a board, as JSON",
     .flags = KITH_FN_DEFERRED | KITH_FN_IDEMPOTENT,
     .fn = wb_fn_files},
    {.name = "board.logs",
     .version = KITH_VERSION,
     .description = "NAME [AFTER]: the logs of a board themselves",
     .flags = KITH_FN_DEFERRED | KITH_FN_IDEMPOTENT,
     .fn = wb_fn_logs},
    {.name = "board.log",
     .version = KITH_VERSION,
     .description = "NAME FILE FROM: a log from an offset on",
     .flags = KITH_FN_DEFERRED | KITH_FN_IDEMPOTENT,
     .fn = wb_fn_log},
    {.name = "board.append",
     .version = KITH_VERSION,
     .description = "NAME, a line end and operations: ends when they are durable",
     .flags = KITH_FN_DEFERRED | KITH_FN_IDEMPOTENT,
     .fn = wb_fn_append},
    {.name = "board.image",
     .version = KITH_VERSION,
     .description = "NAME HASH: an image",
     .flags = KITH_FN_DEFERRED | KITH_FN_IDEMPOTENT,
     .fn = wb_fn_image_get},
    {.name = "board.image.put",
     .version = KITH_VERSION,
     .description = "NAME HASH, a line end and the image",
     .flags = KITH_FN_DEFERRED | KITH_FN_IDEMPOTENT,
     .fn = wb_fn_image_put},
    {.name = "board.follow",
     .version = KITH_VERSION,
     .description = "NAME TOKEN: what happens on a board from now on, as partial results",
     .flags = BACK,
     .fn = wb_fn_follow},
    {.name = "board.say",
     .version = KITH_VERSION,
     .description = "NAME TOKEN, a line end and a live message",
     .flags = KITH_FN_INLINE | KITH_FN_HIDDEN,
     .fn = wb_fn_say},
    {.name = "board.heard",
     .version = KITH_VERSION,
     .description = "between nodes: NAME, a line end and a live message",
     .flags = KITH_FN_INLINE | KITH_FN_HIDDEN,
     .fn = wb_fn_heard},
    {.name = "board.told",
     .version = KITH_VERSION,
     .description = "between nodes: NAME FILE FROM, a line end and what was appended",
     .flags = KITH_FN_INLINE | KITH_FN_HIDDEN,
     .fn = wb_fn_told},
};
#define EXPORTS_N (sizeof(exports) / sizeof(exports[0]))

void wb_hold(struct wb *wb, struct wb_board *board)
{
    wb->under_way++;
    if (board != NULL)
        board->busy++;
}

static void place_free(struct wb *wb)
{
    wb_boards_close(wb);
    wb_presence_close(wb);
    wb_told_close(wb);
    free(wb);
}

void wb_let_go(struct wb *wb, struct wb_board *board)
{
    if (board != NULL)
        board->busy--;
    if (--wb->under_way == 0 && wb->stopping)
        place_free(wb);
}

struct wb *wb_of(const struct kith_node *node)
{
    struct wb *wb;

    (void)pthread_mutex_lock(&lock);
    for (wb = places; wb != NULL && wb->node != node; wb = wb->next)
        continue;
    (void)pthread_mutex_unlock(&lock);
    return wb;
}

static int start(struct wb *wb)
{
    int r = wb_boards_watch(wb);

    if (r == 0)
        r = wb_presence_watch(wb);
    for (size_t i = 0; r == 0 && i < EXPORTS_N; i++) {
        struct kith_export one = exports[i];
        one.user = wb;
        r = kith_export(wb->node, &one);
    }
    return r;
}

int wb_start(struct kith_node *node)
{
    struct wb *wb = calloc(1, sizeof(*wb));

    if (wb == NULL)
        return KITH_E_MEMORY;
    wb->node = node;
    wb->self = kith_node_self(node);
    wb->told_end = &wb->told;
    (void)kith_node_id_text(&wb->self, wb->self_text);
    (void)pthread_mutex_lock(&lock);
    wb->next = places;
    places = wb;
    (void)pthread_mutex_unlock(&lock);
    int r = start(wb);
    if (r != 0) /* the node goes on without it; what was begun still points here */
        wb->stopping = true;
    return r;
}

/* Pages hear the end of their calls; what is under way comes back to what stays so long. */
void wb_stop(struct kith_node *node)
{
    struct wb **at = &places, *wb;

    (void)pthread_mutex_lock(&lock);
    while (*at != NULL && (*at)->node != node)
        at = &(*at)->next;
    wb = *at;
    if (wb != NULL)
        *at = wb->next;
    (void)pthread_mutex_unlock(&lock);
    if (wb == NULL)
        return;
    wb->stopping = true;
    for (struct wb_board *board = wb->boards; board != NULL; board = board->next)
        wb_pages_close(board);
    if (wb->under_way == 0)
        place_free(wb);
}

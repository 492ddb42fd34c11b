/*
 * The whole distribution is one map: the tiles are its items, the cluster its workers. Tiles of a
 * node that is lost come back to the map's queue by themselves, with the rows that were finished.
 */
#include "cluster.h"

#include "module.h"
#include "tile_state.h"

#include <kith.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long to wait for news of who offers the function, and how often to look. */
#define SERVERS_WAIT_NS 3000000000ull
#define SERVERS_LOOK_NS 20000000L
#define TICK_NS         50000000L
/* How often to see whether anybody is left to draw. */
#define WAITING_LOOK_NS 1000000000ull

struct cluster {
    struct picture *picture;
    struct report *report;
    struct kith_node *node;
    uint8_t (*arguments)[MANDEL_ARGUMENT_BYTES]; /* in the order of picture->order */
    struct kith_bytes *items;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct kith_map *map; /* NULL once it is over */
    int error;
    char *why;
};

static void fail(struct cluster *cluster, int code, const char *why)
{
    if (cluster->error)
        return; /* the first one is the cause */
    cluster->error = code;
    (void)snprintf(cluster->why, CLUSTER_WHY_BYTES, "%s", why);
}

static uint16_t
node_number(struct cluster *cluster, const struct kith_node_id *id, const char *name)
{
    char text[KITH_NODE_ID_DIGITS + 1];

    return report_node(cluster->report, kith_node_id_text(id, text), name);
}

static void
on_result(struct kith_map *map, uint64_t index, const struct kith_result *result, void *user)
{
    struct cluster *cluster = user;
    struct picture *picture = cluster->picture;
    uint32_t no = picture->order[index];
    struct mandel_rect rect = picture_rect(picture, no);
    uint32_t draw_us = 0;
    char why[CLUSTER_WHY_BYTES] = "";

    if (result->outcome != KITH_OUTCOME_OK) {
        if (result->code == KITH_E_CANCELED)
            return;
        (void)snprintf(why, sizeof(why), "node %s could not draw tile %u: %s",
                       *result->node_name ? result->node_name : "(none)", no,
                       result->outcome == KITH_OUTCOME_APP_ERROR && result->len ? ""
                                                                                : result->text);
        if (result->outcome == KITH_OUTCOME_APP_ERROR && result->len)
            (void)strncat(why, result->data, result->len < 512 ? result->len : 512);
    } else if (!mandel_reply_decode(result->data, result->len, rect.width, rect.height,
                                    picture_at(picture, no), picture->view.width, &draw_us)) {
        (void)snprintf(why, sizeof(why),
                       "what node %s drew cannot be read; use the same release everywhere",
                       result->node_name);
    } else {
        picture->owner[no] = node_number(cluster, &result->node, result->node_name);
        report_tile(cluster->report, picture->owner[no], picture->cost[no], draw_us);
        return;
    }
    (void)pthread_mutex_lock(&cluster->lock);
    fail(cluster, result->outcome == KITH_OUTCOME_OK ? KITH_E_CORRUPT : KITH_E_APP, why);
    (void)pthread_mutex_unlock(&cluster->lock);
    kith_map_cancel(map);
}

static void on_lost(struct kith_map *map,
                    uint64_t index,
                    const struct kith_node_id *node,
                    const char *node_name,
                    void *user)
{
    struct cluster *cluster = user;

    (void)map;
    (void)index;
    report_lost(cluster->report, node_number(cluster, node, node_name));
}

static enum kith_resume
on_resume(struct kith_map *map, uint64_t index, const void *state, size_t len, void *user)
{
    struct cluster *cluster = user;

    (void)map;
    (void)index;
    report_resumed(cluster->report, mandel_state_rows(state, len));
    return KITH_RESUME_STATE;
}

static void on_done(struct kith_map *map, const struct kith_map_progress *progress, void *user)
{
    struct cluster *cluster = user;

    (void)map;
    (void)pthread_mutex_lock(&cluster->lock);
    if (progress->done_n < progress->items_n)
        fail(cluster, KITH_E_CANCELED, "not all tiles were drawn");
    cluster->map = NULL;
    (void)pthread_cond_signal(&cluster->changed);
    (void)pthread_mutex_unlock(&cluster->lock);
}

/* How many nodes offer the function, as far as is known here. */
static size_t servers_n(struct kith_node *node)
{
    struct kith_function_list *list = NULL;
    size_t n = 0;

    if (kith_functions(node, &list))
        return 0;
    for (size_t i = 0; i < list->functions_n; i++)
        n += !strcmp(list->functions[i].name, MANDEL_FUNCTION);
    kith_function_list_free(list);
    return n;
}

/* Waits until somebody offers the function, or offers it itself. */
static int find_servers(struct kith_node *node, const volatile sig_atomic_t *stop)
{
    const struct timespec look = {.tv_nsec = SERVERS_LOOK_NS};
    uint64_t start_ns = report_now_ns();

    while (servers_n(node) == 0 && !*stop) {
        if (report_now_ns() - start_ns > SERVERS_WAIT_NS) {
            (void)fprintf(
                stderr, "no node offers %s (kith load mandelbrot makes one do so): drawing here\n",
                MANDEL_FUNCTION);
            return mandel_export(node);
        }
        (void)nanosleep(&look, NULL);
    }
    return 0;
}

static int prepare(struct cluster *cluster)
{
    const struct picture *picture = cluster->picture;

    cluster->arguments = malloc(picture->tiles_n * sizeof(*cluster->arguments));
    cluster->items = malloc(picture->tiles_n * sizeof(*cluster->items));
    if (!cluster->arguments || !cluster->items)
        return KITH_E_MEMORY;
    for (uint32_t i = 0; i < picture->tiles_n; i++) {
        struct mandel_rect rect = picture_rect(picture, picture->order[i]);
        mandel_argument_pack(&picture->view, &rect, cluster->arguments[i]);
        cluster->items[i] = (struct kith_bytes){cluster->arguments[i], MANDEL_ARGUMENT_BYTES};
    }
    return 0;
}

/* Shows how it goes until the map is over. */
static void watch(struct cluster *cluster, const volatile sig_atomic_t *stop)
{
    uint64_t looked_ns = report_now_ns();
    bool cancelled = false;
    bool waiting = false;

    (void)pthread_mutex_lock(&cluster->lock);
    while (cluster->map) {
        struct timespec until;
        if (*stop && !cancelled) {
            cancelled = true;
            fail(cluster, KITH_E_CANCELED, "interrupted");
            kith_map_cancel(cluster->map);
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&cluster->changed, &cluster->lock, &until);
        if (!cluster->map)
            break;
        (void)pthread_mutex_unlock(&cluster->lock);
        if (report_now_ns() - looked_ns > WAITING_LOOK_NS) {
            waiting = servers_n(cluster->node) == 0;
            looked_ns = report_now_ns();
        }
        report_show(cluster->report, cluster->picture, waiting);
        (void)pthread_mutex_lock(&cluster->lock);
    }
    (void)pthread_mutex_unlock(&cluster->lock);
    report_show_end(cluster->report, cluster->picture);
}

static int run(struct cluster *cluster, const volatile sig_atomic_t *stop)
{
    const struct kith_map_options map_options = {
        .on_result = on_result,
        .on_lost = on_lost,
        .on_done = on_done,
        .on_resume = on_resume,
        .user = cluster,
    };
    struct kith_map *map = NULL;

    int r = find_servers(cluster->node, stop);
    if (!r)
        r = prepare(cluster);
    if (r)
        return r;
    /* on_done may come before kith_map_start() returns; the lock makes it wait for `map` */
    (void)pthread_mutex_lock(&cluster->lock);
    cluster->report->start_ns = report_now_ns();
    r = kith_map_start(cluster->node, MANDEL_FUNCTION, cluster->items, cluster->picture->tiles_n,
                       &map_options, &map);
    cluster->map = r ? NULL : map;
    (void)pthread_mutex_unlock(&cluster->lock);
    if (!r)
        watch(cluster, stop);
    return r;
}

static int configure(struct kith_config *config, const struct options *options)
{
    int r = kith_config_from_agent(config, options->agent);

    /* Between two tiles lie milliseconds: to poll for the next would only take time from who draws.
     */
    if (!r)
        r = kith_config_set(config, "loop.spin_us", "0");
    /* What happens is told by the report; the log would write into the bar. */
    if (!r)
        r = kith_config_set(config, "log.level", "error");
    return r;
}

static void init_sync(struct cluster *cluster)
{
    pthread_condattr_t attributes;

    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&cluster->lock, NULL);
    (void)pthread_cond_init(&cluster->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

int cluster_draw(const struct options *options,
                 struct picture *picture,
                 struct report *report,
                 const volatile sig_atomic_t *stop,
                 char why[CLUSTER_WHY_BYTES])
{
    struct cluster cluster = {.picture = picture, .report = report, .why = why};
    struct kith_config *config = kith_config_new();
    int r = config ? configure(config, options) : KITH_E_MEMORY;

    why[0] = '\0';
    init_sync(&cluster);
    if (!r)
        r = kith_node_start(config, &cluster.node);
    kith_config_free(config);
    if (!r)
        r = run(&cluster, stop);
    if (r && !why[0])
        (void)snprintf(why, CLUSTER_WHY_BYTES, "%s",
                       *kith_errmsg() ? kith_errmsg() : kith_strerror(r));
    kith_node_stop(cluster.node);
    free(cluster.arguments);
    free(cluster.items);
    (void)pthread_cond_destroy(&cluster.changed);
    (void)pthread_mutex_destroy(&cluster.lock);
    return r ? r : cluster.error;
}

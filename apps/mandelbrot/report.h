/*
 * Who drew what: collected while a picture is drawn, shown as it grows, and told at the end.
 * One lock inside; any thread.
 */
#ifndef MANDELBROT_REPORT_H
#define MANDELBROT_REPORT_H

#include "options.h"
#include "picture.h"

#include <pthread.h>
#include <stdio.h>

#define REPORT_NAME_BYTES 256
#define REPORT_ID_BYTES   40

struct report_node {
    char name[REPORT_NAME_BYTES];
    char id[REPORT_ID_BYTES]; /* "" for this machine without a cluster */
    uint32_t tiles;
    uint32_t lost;     /* tiles that it had and that went back to the queue */
    uint32_t lost_new; /* of these, not yet told */
    uint64_t draw_us;
    uint32_t tiles_shown; /* at shown_ns, for the rate */
    double rate;          /* tiles per second, smoothed */
    bool failed;
};

struct report {
    pthread_mutex_t lock;
    struct report_node *nodes;
    uint32_t nodes_n;
    uint32_t tiles;
    uint64_t cost;
    uint32_t lost;
    uint32_t resumed;   /* lost tiles that went on from their finished rows ... */
    uint32_t rows_kept; /* ... which were so many in all */
    uint64_t start_ns;  /* first dispatch */
    uint64_t end_ns;    /* last tile */
    uint64_t shown_ns;
    bool bar_shown;
    FILE *progress; /* takes lines of JSON; NULL: nobody wants them */
    uint64_t progress_ns;
};

uint64_t report_now_ns(void);

void report_init(struct report *report);

/*
 * From now on writes progress to the file @path, an object of schema kith.mandelbrot.progress/1 a
 * line: {"tiles","of","part"} twenty times a second, with "failed" (a name) and "lost" (tiles) when
 * a node was lost. Returns 0 or KITH_E_IO (errno says why).
 */
int report_progress_open(struct report *report, const char *path);

void report_deinit(struct report *report);

/*
 * The number of the node with @id and @name, entered if it is new; PICTURE_NOBODY if memory or
 * MANDEL_NODES_MAX is short.
 */
uint16_t report_node(struct report *report, const char *id, const char *name);

/* Node @node drew a tile that was estimated at @cost in @draw_us. */
void report_tile(struct report *report, uint16_t node, uint32_t cost, uint64_t draw_us);

/* A tile of @node went back to the queue. */
void report_lost(struct report *report, uint16_t node);
/* A lost tile goes on elsewhere with @rows finished. */
void report_resumed(struct report *report, uint32_t rows);

/*
 * Says on stderr what happened to nodes since the last call and how far it is; @waiting: no node
 * is left and tiles wait. Draws a bar on a terminal, at most five times a second, otherwise a line
 * now and then.
 */
void report_show(struct report *report, const struct picture *picture, bool waiting);

/* Says what was not said yet and ends the bar. */
void report_show_end(struct report *report, const struct picture *picture);

/* The closing table on stderr, or with options->json the document on stdout. */
void report_print(struct report *report,
                  const struct options *options,
                  const struct picture *picture,
                  const char *kernel,
                  uint64_t hash,
                  double write_s);

#endif

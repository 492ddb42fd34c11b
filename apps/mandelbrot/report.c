#include "report.h"

#include <kith/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BAR_NS      200000000ull  /* between two bars on a terminal */
#define LINE_NS     5000000000ull /* between two lines elsewhere */
#define PROGRESS_NS 50000000ull   /* between two lines of JSON */
#define BAR_CELLS   24
#define RATES_MAX   6 /* nodes whose rate is shown beside the bar */
#define LINE_BYTES  512

uint64_t report_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void report_init(struct report *report)
{
    *report = (struct report){.lock = PTHREAD_MUTEX_INITIALIZER};
    report->start_ns = report->end_ns = report->shown_ns = report_now_ns();
}

int report_progress_open(struct report *report, const char *path)
{
    report->progress = fopen(path, "we");
    return report->progress ? 0 : KITH_E_IO;
}

void report_deinit(struct report *report)
{
    if (report->progress)
        (void)fclose(report->progress);
    report->progress = NULL;
    free(report->nodes);
    report->nodes = NULL;
    (void)pthread_mutex_destroy(&report->lock);
}

uint16_t report_node(struct report *report, const char *id, const char *name)
{
    uint32_t no;

    (void)pthread_mutex_lock(&report->lock);
    for (no = 0; no < report->nodes_n; no++) {
        if (!strcmp(report->nodes[no].id, id) && !strcmp(report->nodes[no].name, name))
            break;
    }
    if (no == report->nodes_n) {
        struct report_node *nodes = NULL;
        if (no < MANDEL_NODES_MAX)
            nodes = realloc(report->nodes, (no + 1) * sizeof(*nodes));
        if (nodes) {
            nodes[no] = (struct report_node){0};
            (void)snprintf(nodes[no].id, sizeof(nodes[no].id), "%s", id);
            (void)snprintf(nodes[no].name, sizeof(nodes[no].name), "%s", name);
            report->nodes = nodes;
            report->nodes_n++;
        } else {
            no = PICTURE_NOBODY;
        }
    }
    (void)pthread_mutex_unlock(&report->lock);
    return (uint16_t)no;
}

void report_tile(struct report *report, uint16_t node, uint32_t cost, uint64_t draw_us)
{
    (void)pthread_mutex_lock(&report->lock);
    report->tiles++;
    report->cost += cost;
    report->end_ns = report_now_ns();
    if (node < report->nodes_n) {
        report->nodes[node].tiles++;
        report->nodes[node].draw_us += draw_us;
    }
    (void)pthread_mutex_unlock(&report->lock);
}

void report_lost(struct report *report, uint16_t node)
{
    (void)pthread_mutex_lock(&report->lock);
    report->lost++;
    if (node < report->nodes_n) {
        report->nodes[node].lost++;
        report->nodes[node].lost_new++;
        report->nodes[node].failed = true;
    }
    (void)pthread_mutex_unlock(&report->lock);
}

void report_resumed(struct report *report, uint32_t rows)
{
    (void)pthread_mutex_lock(&report->lock);
    report->resumed++;
    report->rows_kept += rows;
    (void)pthread_mutex_unlock(&report->lock);
}

static void json_string(FILE *out, const char *text)
{
    (void)fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            (void)fprintf(out, "\\%c", *c);
        else if (*c < 0x20)
            (void)fprintf(out, "\\u%04x", *c);
        else
            (void)fputc(*c, out);
    }
    (void)fputc('"', out);
}

/* A line for programs; @lost is the node that was lost, or NULL. */
static void
put_progress(struct report *report, const struct picture *picture, const struct report_node *lost)
{
    if (!report->progress)
        return;
    (void)fprintf(report->progress,
                  "{\"schema\":\"kith.mandelbrot.progress/1\",\"tiles\":%u,\"of\":%u,\"part\":%.4f",
                  report->tiles, picture->tiles_n,
                  (double)report->cost / (double)picture->cost_all);
    if (lost) {
        (void)fprintf(report->progress, ",\"failed\":");
        json_string(report->progress, lost->name);
        (void)fprintf(report->progress, ",\"lost\":%u", lost->lost_new);
    }
    (void)fprintf(report->progress, "}\n");
    if (fflush(report->progress)) { /* the reader is gone: nobody wants them any more */
        (void)fclose(report->progress);
        report->progress = NULL;
    }
}

static void clear_bar(struct report *report)
{
    if (report->bar_shown)
        (void)fputs("\r\033[K", stderr);
    report->bar_shown = false;
}

static void tell_lost(struct report *report, const struct picture *picture)
{
    for (uint32_t no = 0; no < report->nodes_n; no++) {
        struct report_node *node = &report->nodes[no];
        if (!node->lost_new)
            continue;
        clear_bar(report);
        put_progress(report, picture, node);
        (void)fprintf(stderr, "node %s failed: %u tile%s back to the queue\n", node->name,
                      node->lost_new, node->lost_new == 1 ? " goes" : "s go");
        node->lost_new = 0;
    }
}

/* Seconds until the end if the rest costs as was estimated; negative if nothing can be said yet. */
static double
seconds_left(const struct report *report, const struct picture *picture, uint64_t now_ns)
{
    double passed = (double)(now_ns - report->start_ns) / 1e9;

    if (!report->cost || passed < 0.3)
        return -1;
    return passed * ((double)(picture->cost_all - report->cost) / (double)report->cost);
}

static size_t append(char *line, size_t at, const char *text)
{
    int n = snprintf(line + at, LINE_BYTES - at, "%s", text);

    return n < 0 || (size_t)n >= LINE_BYTES - at ? LINE_BYTES - 1 : at + (size_t)n;
}

static size_t append_rates(struct report *report, double seconds, char *line, size_t at)
{
    char text[REPORT_NAME_BYTES + 32];
    uint32_t shown = 0;

    for (uint32_t no = 0; no < report->nodes_n; no++) {
        struct report_node *node = &report->nodes[no];
        double now = seconds > 0 ? (node->tiles - node->tiles_shown) / seconds : 0;
        node->rate = node->rate > 0 ? 0.7 * node->rate + 0.3 * now : now;
        node->tiles_shown = node->tiles;
        if (shown++ >= RATES_MAX)
            continue;
        (void)snprintf(text, sizeof(text), "  %.20s %.0f/s", node->name, node->rate);
        at = append(line, at, text);
    }
    if (shown > RATES_MAX) {
        (void)snprintf(text, sizeof(text), "  and %u more", shown - RATES_MAX);
        at = append(line, at, text);
    }
    return at;
}

static void
show_bar(struct report *report, const struct picture *picture, bool waiting, uint64_t now_ns)
{
    char line[LINE_BYTES];
    char text[64];
    struct winsize size = {.ws_col = 80};
    double part = (double)report->cost / (double)picture->cost_all;
    double left = seconds_left(report, picture, now_ns);
    size_t at = 0;

    line[at++] = '[';
    for (int cell = 0; cell < BAR_CELLS; cell++)
        line[at++] = cell < (int)(part * BAR_CELLS + 0.5) ? '#' : '.';
    (void)snprintf(text, sizeof(text), "] %3.0f %%  %u/%u tiles", part * 100, report->tiles,
                   picture->tiles_n);
    at = append(line, at, text);
    if (waiting) {
        at = append(line, at, "  no node left, the rest waits for one");
    } else if (left >= 0) {
        (void)snprintf(text, sizeof(text), "  ETA %.0f s", left);
        at = append(line, at, text);
    }
    at = append_rates(report, (double)(now_ns - report->shown_ns) / 1e9, line, at);
    (void)ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
    if (size.ws_col > 1 && at > (size_t)size.ws_col - 1)
        at = (size_t)size.ws_col - 1;
    (void)fprintf(stderr, "\r\033[K%.*s", (int)at, line);
    (void)fflush(stderr);
    report->bar_shown = true;
}

static void
show_line(const struct report *report, const struct picture *picture, bool waiting, uint64_t now_ns)
{
    double left = seconds_left(report, picture, now_ns);

    (void)fprintf(stderr, "%u of %u tiles drawn", report->tiles, picture->tiles_n);
    if (waiting)
        (void)fprintf(stderr, ", no node left, the rest waits for one");
    else if (left >= 0)
        (void)fprintf(stderr, ", about %.0f s left", left);
    (void)fputc('\n', stderr);
}

void report_show(struct report *report, const struct picture *picture, bool waiting)
{
    uint64_t now_ns = report_now_ns();
    bool terminal = isatty(STDERR_FILENO);

    (void)pthread_mutex_lock(&report->lock);
    tell_lost(report, picture);
    if (now_ns - report->progress_ns >= PROGRESS_NS) {
        put_progress(report, picture, NULL);
        report->progress_ns = now_ns;
    }
    if (now_ns - report->shown_ns >= (terminal ? BAR_NS : LINE_NS)) {
        if (terminal)
            show_bar(report, picture, waiting, now_ns);
        else
            show_line(report, picture, waiting, now_ns);
        report->shown_ns = now_ns;
    }
    (void)pthread_mutex_unlock(&report->lock);
}

void report_show_end(struct report *report, const struct picture *picture)
{
    (void)pthread_mutex_lock(&report->lock);
    tell_lost(report, picture);
    put_progress(report, picture, NULL);
    clear_bar(report);
    (void)pthread_mutex_unlock(&report->lock);
}

static int name_width(const struct report *report)
{
    size_t width = strlen("node");

    for (uint32_t no = 0; no < report->nodes_n; no++) {
        size_t len = strlen(report->nodes[no].name);
        width = len > width ? len : width;
    }
    return (int)width;
}

static void
print_table(const struct report *report, const struct options *options, double elapsed_s)
{
    int width = name_width(report);

    (void)printf("%-*s  %8s  %8s  %6s\n", width, "node", "tiles", "seconds", "share");
    for (uint32_t no = 0; no < report->nodes_n; no++) {
        const struct report_node *node = &report->nodes[no];
        (void)printf("%-*s  %8u  %8.2f  %5.1f%%", width, node->name, node->tiles,
                     (double)node->draw_us / 1e6,
                     report->tiles ? 100.0 * node->tiles / report->tiles : 0.0);
        if (node->lost)
            (void)printf("  failed, %u drawn by others", node->lost);
        (void)putchar('\n');
    }
    (void)printf("%u tiles in %.2f s; %s\n", report->tiles, elapsed_s, options->out);
}

static void print_json_nodes(const struct report *report)
{
    (void)printf("\"nodes\":[");
    for (uint32_t no = 0; no < report->nodes_n; no++) {
        const struct report_node *node = &report->nodes[no];
        (void)printf("%s{\"id\":", no ? "," : "");
        json_string(stdout, node->id);
        (void)printf(",\"name\":");
        json_string(stdout, node->name);
        (void)printf(",\"tiles\":%u,\"seconds\":%.6f,\"share\":%.6f,\"lost\":%u,\"failed\":%s}",
                     node->tiles, (double)node->draw_us / 1e6,
                     report->tiles ? (double)node->tiles / report->tiles : 0.0, node->lost,
                     node->failed ? "true" : "false");
    }
    (void)printf("]");
}

void report_print(struct report *report,
                  const struct options *options,
                  const struct picture *picture,
                  const char *kernel,
                  uint64_t hash,
                  double write_s)
{
    const struct mandel_view *view = &picture->view;
    double elapsed_s = (double)(report->end_ns - report->start_ns) / 1e9;

    if (!options->json) {
        print_table(report, options, elapsed_s);
        return;
    }
    (void)printf("{\"schema\":\"kith.mandelbrot/1\",\"out\":");
    json_string(stdout, options->out);
    (void)printf(
        ",\"width\":%u,\"height\":%u,\"center\":[%.17g,%.17g],\"span\":%.17g,\"iterations\":%u,"
        "\"shortcuts\":%s,\"tint\":%s,\"serial\":%s,\"kernel\":",
        view->width, view->height, view->re, view->im, view->span, view->iterations,
        view->shortcuts ? "true" : "false", options->tint ? "true" : "false",
        options->serial ? "true" : "false");
    if (kernel)
        json_string(stdout, kernel);
    else
        (void)printf("null"); /* each node takes its best */
    (void)printf(",\"tile\":%u,\"tiles\":%u,\"lost\":%u,\"resumed\":%u,\"rows_kept\":%u,"
                 "\"elapsed_s\":%.6f,\"write_s\":%.6f,"
                 "\"picture\":\"fnv1a64:%016llx\",",
                 picture->tile, report->tiles, report->lost, report->resumed, report->rows_kept,
                 elapsed_s, write_s, (unsigned long long)hash);
    print_json_nodes(report);
    (void)printf("}\n");
}

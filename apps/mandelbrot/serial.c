#include "serial.h"

#include <assert.h>
#include <kith/error.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct serial {
    struct picture *picture;
    struct report *report;
    const struct mandel_kernel *kernel;
    const volatile sig_atomic_t *stop;
    atomic_uint next; /* position in picture->order */
    atomic_uint running;
    atomic_int error;
};

struct serial_thread {
    struct serial *serial;
    pthread_t thread;
    char name[32];
};

static bool stopped(void *user)
{
    struct serial *serial = user;

    return *serial->stop || atomic_load_explicit(&serial->error, memory_order_relaxed);
}

static int draw_tile(struct serial *serial, uint32_t no, uint16_t node, uint16_t *shades)
{
    struct picture *picture = serial->picture;
    struct mandel_rect rect = picture_rect(picture, no);
    uint64_t start_ns = report_now_ns();
    int r = mandel_draw(serial->kernel, &picture->view, &rect, stopped, serial, shades);

    if (r)
        return r;
    uint16_t *at = picture_at(picture, no);
    for (uint32_t y = 0; y < rect.height; y++)
        memcpy(at + (size_t)y * picture->view.width, shades + (size_t)y * rect.width,
               rect.width * sizeof(*shades));
    picture->owner[no] = node;
    report_tile(serial->report, node, picture->cost[no], (report_now_ns() - start_ns) / 1000);
    return 0;
}

static void *thread_main(void *user)
{
    struct serial_thread *self = user;
    struct serial *serial = self->serial;
    struct picture *picture = serial->picture;
    uint16_t node = report_node(serial->report, "", self->name);
    uint16_t *shades = malloc((size_t)picture->tile * picture->tile * sizeof(*shades));
    int r = shades ? 0 : KITH_E_MEMORY;

    while (!r) {
        unsigned at = atomic_fetch_add(&serial->next, 1);
        if (at >= picture->tiles_n)
            break;
        r = draw_tile(serial, picture->order[at], node, shades);
    }
    free(shades);
    if (r)
        atomic_store(&serial->error, r);
    atomic_fetch_sub(&serial->running, 1);
    return NULL;
}

int serial_draw(const struct options *options,
                struct picture *picture,
                struct report *report,
                const volatile sig_atomic_t *stop)
{
    const struct timespec tick = {.tv_nsec = 20000000};
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t threads_n = options->threads ? options->threads : cpus > 0 ? (uint32_t)cpus : 1;
    struct serial serial = {.picture = picture, .report = report, .stop = stop};
    struct serial_thread *threads;
    uint32_t started = 0;

    serial.kernel = options->kernel ? mandel_kernel_find(options->kernel) : mandel_kernel_best();
    if (threads_n > MANDEL_THREADS_MAX)
        threads_n = MANDEL_THREADS_MAX;
    if (threads_n > picture->tiles_n)
        threads_n = picture->tiles_n;
    assert(threads_n > 0);
    threads = calloc(threads_n, sizeof(*threads));
    if (!threads)
        return KITH_E_MEMORY;
    atomic_store(&serial.running, threads_n);
    report->start_ns = report_now_ns();
    for (; started < threads_n; started++) {
        threads[started].serial = &serial;
        (void)snprintf(threads[started].name, sizeof(threads[started].name), "thread-%u",
                       started + 1);
        if (pthread_create(&threads[started].thread, NULL, thread_main, &threads[started]))
            break;
    }
    atomic_fetch_sub(&serial.running, threads_n - started);
    while (atomic_load(&serial.running) > 0) {
        report_show(report, picture, false);
        (void)nanosleep(&tick, NULL);
    }
    for (uint32_t i = 0; i < started; i++)
        (void)pthread_join(threads[i].thread, NULL);
    free(threads);
    report_show_end(report, picture);
    return started ? atomic_load(&serial.error) : KITH_E_LIMIT;
}

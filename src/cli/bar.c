/* See bar.h. */
#include "cli/bar.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/text.h"

#define SHOW_MS 200
#define RATE_MS 1000
#define CELLS   20

void bar_begin(struct bar *bar, const struct cli *cli, const char *what)
{
    uint64_t now_ms = cli_now_ms();

    *bar = (struct bar){.what = what,
                        .on = !cli->quiet && !cli->json && isatty(STDERR_FILENO),
                        .began_ms = now_ms,
                        .rate_ms = now_ms};
}

static void rate_of(struct bar *bar, uint64_t now_ms, uint64_t done_bytes)
{
    uint64_t ms = now_ms - bar->rate_ms;

    if (ms < RATE_MS && bar->rate != 0)
        return;
    double rate = ms == 0 ? 0 : (double)(done_bytes - bar->rate_bytes) * 1000 / (double)ms;
    bar->rate = bar->rate == 0 ? rate : 0.5 * bar->rate + 0.5 * rate;
    bar->rate_ms = now_ms;
    bar->rate_bytes = done_bytes;
}

static void cells(uint64_t done_bytes, uint64_t all_bytes, char out[CELLS + 1])
{
    size_t full = all_bytes == 0 ? CELLS : (size_t)(done_bytes * CELLS / all_bytes);

    memset(out, '.', CELLS);
    memset(out, '#', full < CELLS ? full : CELLS);
    out[CELLS] = '\0';
}

void bar_show(struct bar *bar, uint64_t done_bytes, uint64_t all_bytes, const char *text)
{
    uint64_t now_ms = cli_now_ms();
    char done[32], all[32], rate[32], left[32] = "", line[CELLS + 1], clean[200];

    if (!bar->on || now_ms - bar->shown_ms < SHOW_MS)
        return;
    rate_of(bar, now_ms, done_bytes);
    bar->shown_ms = now_ms;
    bar->shown = true;
    text_size(done_bytes, done, sizeof(done));
    text_size((uint64_t)bar->rate, rate, sizeof(rate));
    if (all_bytes == UINT64_MAX) {
        fprintf(stderr, "\r\033[K%s  %s  %s/s", bar->what, done, rate);
        return;
    }
    if (bar->rate > 0 && all_bytes >= done_bytes)
        text_duration((uint64_t)((double)(all_bytes - done_bytes) / bar->rate) * 1000, left,
                      sizeof(left));
    cells(done_bytes, all_bytes, line);
    fprintf(stderr, "\r\033[K%s  [%s] %s of %s  %s/s%s%s%s%s", bar->what, line, done,
            text_size(all_bytes, all, sizeof(all)), rate, left[0] != '\0' ? "  " : "", left,
            left[0] != '\0' ? " left" : "", text != NULL && text[0] != '\0' ? "  " : "");
    if (text != NULL)
        fputs(cli_clean(text, clean, sizeof(clean)), stderr);
}

void bar_end(struct bar *bar)
{
    if (bar->shown)
        fputs("\r\033[K", stderr);
    bar->shown = false;
}

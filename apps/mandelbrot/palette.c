#include "palette.h"

#include <stdbool.h>
#include <stddef.h>

/* One round of colours takes this many shades, 3 doublings of the escape time. */
#define ROUND_SHADES 6144
/* The shade where the first round starts, so that what lies far out is deep blue. */
#define ROUND_START 4300

struct stop {
    double at; /* 0 to 1 on the round */
    double rgb[3];
};

static const struct stop stops[] = {
    {0.00, {9, 12, 46}},     /* midnight */
    {0.16, {22, 58, 138}},   /* royal blue */
    {0.34, {70, 158, 210}},  /* sky */
    {0.48, {246, 248, 228}}, /* ivory */
    {0.62, {252, 184, 60}},  /* amber */
    {0.76, {186, 66, 32}},   /* rust */
    {0.89, {60, 14, 52}},    /* plum */
};
#define STOPS_N (sizeof(stops) / sizeof(stops[0]))

/* Catmull-Rom through four colours, the middle two of which lie around @t. */
static double curve(double a, double b, double c, double d, double t)
{
    double m = (c - a) * 0.5;
    double n = (d - b) * 0.5;
    double t2 = t * t;
    double t3 = t2 * t;

    return ((2.0 * t3 - 3.0 * t2) + 1.0) * b + ((t3 - 2.0 * t2) + t) * m +
           (3.0 * t2 - 2.0 * t3) * c + (t3 - t2) * n;
}

static uint8_t channel(double value)
{
    /* never 0 in all three channels: 2 is as dark as it gets */
    return value < 2.0 ? 2 : value > 255.0 ? 255 : (uint8_t)((int)(value * 2.0 + 1.0) / 2);
}

static void round_colour(double at, uint8_t rgb_out[3])
{
    size_t i = STOPS_N - 1;

    while (stops[i].at > at)
        i--;
    size_t before = (i + STOPS_N - 1) % STOPS_N;
    size_t next = (i + 1) % STOPS_N;
    size_t after = (i + 2) % STOPS_N;
    double end = next ? stops[next].at : 1.0;
    double t = (at - stops[i].at) / (end - stops[i].at);
    for (int k = 0; k < 3; k++)
        rgb_out[k] = channel(curve(stops[before].rgb[k], stops[i].rgb[k], stops[next].rgb[k],
                                   stops[after].rgb[k], t));
}

void palette_init(struct palette *palette)
{
    palette->rgb[0][0] = palette->rgb[0][1] = palette->rgb[0][2] = 0;
    for (int shade = 1; shade < PALETTE_SHADES; shade++) {
        int on_round = (shade - ROUND_START) % ROUND_SHADES;
        if (shade < ROUND_START)
            on_round = 0; /* beyond the first band all is midnight */
        round_colour((double)on_round / ROUND_SHADES, palette->rgb[shade]);
    }
}

void palette_node_colour(uint32_t node, uint8_t rgb_out[3])
{
    /* Hues a golden angle apart: any first few are well apart. 0 to 1535 goes round the wheel. */
    uint32_t hue = (uint32_t)((200 + (uint64_t)node * 587) % 1536);
    uint32_t rise = hue % 256;
    static const uint8_t sector[6][3] = {{2, 1, 0}, {3, 2, 0}, {0, 2, 1}, {0, 3, 2},
                                         {1, 0, 2}, {2, 0, 3}}; /* 0 low 1 up 2 high 3 down */
    uint32_t levels[4] = {48, 48 + rise * 207 / 255, 255, 255 - rise * 207 / 255};

    for (int k = 0; k < 3; k++)
        rgb_out[k] = (uint8_t)levels[sector[hue / 256][k]];
}

void palette_tint(const uint8_t rgb[3], const uint8_t tint[3], uint8_t rgb_out[3])
{
    uint32_t light = (uint32_t)(rgb[0] * 77 + rgb[1] * 150 + rgb[2] * 29) >> 8;
    bool black = !rgb[0] && !rgb[1] && !rgb[2];

    for (int k = 0; k < 3; k++) {
        uint32_t mixed = (rgb[k] * 5u + (light * 3 / 4 + 64) * tint[k] / 255 * 6u) / 11;
        rgb_out[k] = black ? 0 : (uint8_t)(mixed < 2 ? 2 : mixed > 255 ? 255 : mixed);
    }
}

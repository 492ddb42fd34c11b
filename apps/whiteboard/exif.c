#include "exif.h"

#include <stdbool.h>
#include <string.h>

static unsigned take(const uint8_t *at, unsigned n, bool big)
{
    unsigned value = 0;

    for (unsigned i = 0; i < n; i++)
        value |= (unsigned)at[big ? n - 1 - i : i] << (8 * i);
    return value;
}

unsigned exif_orientation(const uint8_t *data, size_t len)
{
    if (len < 14 || memcmp(data, "Exif\0\0", 6) != 0)
        return 1;
    const uint8_t *tiff = data + 6;
    size_t left = len - 6;
    bool big = memcmp(tiff, "MM\0*", 4) == 0;
    if (!big && memcmp(tiff, "II*\0", 4) != 0)
        return 1;
    size_t at = take(tiff + 4, 4, big);
    if (at > left || left - at < 2)
        return 1;
    unsigned entries = take(tiff + at, 2, big);
    at += 2;
    for (unsigned i = 0; i < entries && left - at >= 12; i++, at += 12) {
        if (take(tiff + at, 2, big) != 0x112)
            continue;
        unsigned way = take(tiff + at + 8, 2, big);
        return way >= 1 && way <= 8 ? way : 1;
    }
    return 1;
}

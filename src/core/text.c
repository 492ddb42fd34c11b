/*
 * Reading and writing what people write: numbers with units, names, addresses, times.
 */
#include "core/text.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kith/error.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ---- numbers ---- */

/* A decimal number without sign: whole + part / 10^9. Moves *@at behind it. */
struct decimal {
    uint64_t whole;
    uint64_t part;
};

static int read_decimal(const char **at, struct decimal *out)
{
    const char *p = *at;
    *out = (struct decimal){0};
    if (!is_digit(*p))
        return KITH_E_PARSE;
    for (; is_digit(*p); p++)
        if (__builtin_mul_overflow(out->whole, 10u, &out->whole) ||
            __builtin_add_overflow(out->whole, (uint64_t)(*p - '0'), &out->whole))
            return KITH_E_PARSE;
    if (*p == '.') {
        p++;
        if (!is_digit(*p))
            return KITH_E_PARSE;
        uint64_t weight = 100000000;
        for (; is_digit(*p); p++, weight /= 10)
            out->part += weight * (uint64_t)(*p - '0');
    }
    *at = p;
    return 0;
}

/* *@sum += @d * @unit, rounded down. */
static int add_units(uint64_t *sum, const struct decimal *d, uint64_t unit)
{
    __extension__ unsigned __int128 part = (unsigned __int128)d->part * unit / 1000000000u;
    uint64_t whole;
    if (__builtin_mul_overflow(d->whole, unit, &whole) ||
        __builtin_add_overflow(*sum, whole, sum) ||
        __builtin_add_overflow(*sum, (uint64_t)part, sum))
        return KITH_E_PARSE;
    return 0;
}

/* Moves *@at behind a unit of time; its milliseconds, or 0 if there is none. */
static uint64_t read_time_unit(const char **at)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t len = strspn(*at, "abcdefghijklmnopqrstuvwxyz");
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strlen(units[i].name) == len && memcmp(*at, units[i].name, len) == 0) {
            *at += len;
            return units[i].ms;
        }
    }
    return 0;
}

int text_parse_duration_ms(const char *text, uint64_t *ms_out)
{
    if (text == NULL)
        return KITH_E_PARSE;
    const char *at = text;
    uint64_t ms = 0;
    uint64_t unit_before = UINT64_MAX;
    do {
        struct decimal d;
        if (read_decimal(&at, &d) != 0)
            return KITH_E_PARSE;
        bool alone = *at == '\0' && unit_before == UINT64_MAX;
        uint64_t unit = alone ? 1000 : read_time_unit(&at);
        /* "1h30m", but not "30m1h" or "1m1m": those are more likely typing errors. */
        if (unit == 0 || unit >= unit_before || add_units(&ms, &d, unit) != 0)
            return KITH_E_PARSE;
        unit_before = unit;
    } while (*at != '\0');
    *ms_out = ms;
    return 0;
}

int text_parse_size(const char *text, uint64_t *bytes_out)
{
    struct decimal d;
    const char *at = text;
    if (text == NULL || read_decimal(&at, &d) != 0)
        return KITH_E_PARSE;
    uint64_t unit = 1;
    static const char letters[] = "KMGTP";
    const char *letter = *at == '\0' ? NULL : strchr(letters, *at & ~0x20);
    if (letter != NULL) {
        unit <<= 10 * (letter - letters + 1);
        at++;
        if (at[0] == 'i' && at[1] == 'B')
            at++;
    }
    if (*at == 'B' || *at == 'b')
        at++;
    if (*at != '\0' || (unit == 1 && d.part != 0))
        return KITH_E_PARSE;
    uint64_t bytes = 0;
    if (add_units(&bytes, &d, unit) != 0)
        return KITH_E_PARSE;
    *bytes_out = bytes;
    return 0;
}

int text_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *value_out)
{
    struct decimal d;
    const char *at = text;
    if (text == NULL || text[strspn(text, "0123456789")] != '\0' || read_decimal(&at, &d) != 0)
        return KITH_E_PARSE;
    if (d.whole < min || d.whole > max)
        return KITH_E_PARSE;
    *value_out = d.whole;
    return 0;
}

int text_parse_f64(const char *text, double *value_out)
{
    /* strtod() wants the locale's decimal point and takes blanks, hex, "inf" and "nan", which we do
     * not. */
    char copy[128];
    if (text == NULL || text[strspn(text, "0123456789.eE+-")] != '\0')
        return KITH_E_PARSE;
    const char *dot = strchr(text, '.');
    int head = dot != NULL ? (int)(dot - text) : (int)strnlen(text, sizeof(copy));
    int n = snprintf(copy, sizeof(copy), "%.*s%s%s", head, text,
                     dot != NULL ? localeconv()->decimal_point : "", dot != NULL ? dot + 1 : "");
    if (n <= 0 || (size_t)n >= sizeof(copy))
        return KITH_E_PARSE;
    char *end;
    double value = strtod(copy, &end);
    if (end == copy || *end != '\0' || !isfinite(value))
        return KITH_E_PARSE;
    *value_out = value;
    return 0;
}

int text_parse_bool(const char *text, bool *value_out)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (size_t i = 0; text != NULL && i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *value_out = i % 2 == 1;
            return 0;
        }
    }
    return KITH_E_PARSE;
}

/* ---- for people ---- */

char *text_size(uint64_t bytes, char *out, size_t out_bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        (void)snprintf(out, out_bytes, "%u B", (unsigned)bytes);
        return out;
    }
    double value = (double)bytes;
    size_t unit = 0;
    /* 1,023.95 would be printed as 1024.0. */
    while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(out, out_bytes, "%.1f %s", value, units[unit]);
    return out;
}

char *text_duration(uint64_t ms, char *out, size_t out_bytes)
{
    static const struct {
        uint64_t s;
        char name;
        char next;
    } units[] = {{86400, 'd', 'h'}, {3600, 'h', 'm'}, {60, 'm', 's'}};
    uint64_t s = ms / 1000;
    unsigned tenth = (unsigned)(ms % 1000 / 100);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (s < units[i].s)
            continue;
        unsigned long long large = s / units[i].s;
        uint64_t small_s = i + 1 < sizeof(units) / sizeof(units[0]) ? units[i + 1].s : 1;
        unsigned small = (unsigned)(s % units[i].s / small_s);
        if (small == 0)
            (void)snprintf(out, out_bytes, "%llu%c", large, units[i].name);
        else
            (void)snprintf(out, out_bytes, "%llu%c%u%c", large, units[i].name, small,
                           units[i].next);
        return out;
    }
    if (s == 0)
        (void)snprintf(out, out_bytes, "%ums", (unsigned)ms);
    else if (tenth == 0)
        (void)snprintf(out, out_bytes, "%us", (unsigned)s);
    else
        (void)snprintf(out, out_bytes, "%u.%us", (unsigned)s, tenth);
    return out;
}

/* Days since 1970-01-01 to a date of the Gregorian calendar; years count from March. */
static void civil(uint64_t days, uint64_t *year_out, unsigned *month_out, unsigned *day_out)
{
    uint64_t z = days + 719468;
    uint64_t era = z / 146097;
    uint64_t of_era = z % 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = (unsigned)(of_era - (365 * year + year / 4 - year / 100));
    unsigned month = (5 * of_year + 2) / 153;
    *day_out = of_year - (153 * month + 2) / 5 + 1;
    *month_out = month < 10 ? month + 3 : month - 9;
    *year_out = year + era * 400 + (*month_out <= 2 ? 1 : 0);
}

char *text_time_ms(uint64_t unix_ms, char out[32])
{
    uint64_t year;
    unsigned month;
    unsigned day;
    uint64_t s = unix_ms / 1000;
    civil(s / 86400, &year, &month, &day);
    /* The format has four digits for the year; a clock beyond that shows its last moment. */
    if (year > 9999) {
        memcpy(out, "9999-12-31T23:59:59.999Z", sizeof("9999-12-31T23:59:59.999Z"));
        return out;
    }
    unsigned of_day = (unsigned)(s % 86400);
    (void)snprintf(out, 32, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)year % 10000,
                   month % 100, day % 100, of_day / 3600 % 100, of_day / 60 % 60, of_day % 60,
                   (unsigned)(unix_ms % 1000));
    return out;
}

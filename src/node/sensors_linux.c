/* Sensors of a Linux host: see sensors.h. Text of drivers is not trusted to be printable. */
#include "node/sensors.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 512
/* What lies outside is the answer of a sensor that is not connected. */
#define LEAST_MILLI (-100 * 1000)
#define MOST_MILLI  (200 * 1000)

/* The first line of what @fd has, without what a terminal would act on. False if there is none. */
static bool read_line(int fd, char *out, size_t bytes)
{
    ssize_t n = fd >= 0 ? pread(fd, out, bytes - 1, 0) : -1;

    if (n <= 0)
        return false;
    out[n] = '\0';
    out[strcspn(out, "\n")] = '\0';
    for (char *at = out; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || (unsigned char)*at >= 0x7f)
            *at = '?';
    return out[0] != '\0';
}

static bool read_path(const char *path, char *out, size_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool read = read_line(fd, out, bytes);

    if (fd >= 0)
        (void)close(fd);
    return read;
}

static bool milli_of(const char *text, int32_t *out)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (end == text || value < LEAST_MILLI || value > MOST_MILLI)
        return false;
    *out = (int32_t)value;
    return true;
}

static void add(struct sensors *sensors,
                const char *path,
                const char *name,
                const char *label,
                int32_t critical)
{
    int fd = sensors->n < SENSORS_MAX ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    struct sensor *sensor = &sensors->all[sensors->n++];
    *sensor = (struct sensor){.fd = fd, .critical = critical};
    (void)snprintf(sensor->name, sizeof(sensor->name), "%.31s%s%.31s", name,
                   label[0] != '\0' ? " " : "", label);
}

/* "temp12_input" -> 12; 0 if it is none. */
static unsigned long input_no(const char *name)
{
    char *end;

    if (strncmp(name, "temp", 4) != 0)
        return 0;
    unsigned long no = strtoul(name + 4, &end, 10);
    return strcmp(end, "_input") == 0 ? no : 0;
}

/* One chip of hwmon: its name and each temperature, with its label if it has one. */
static void look_at_chip(struct sensors *sensors, const char *folder)
{
    char path[PATH_BYTES], chip[32], label[32], text[32];
    DIR *dir = opendir(folder);

    (void)snprintf(path, sizeof(path), "%s/name", folder);
    if (!read_path(path, chip, sizeof(chip)))
        (void)snprintf(chip, sizeof(chip), "chip");
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        unsigned long no = input_no(entry->d_name);
        int32_t critical = 0;
        if (no == 0)
            continue;
        (void)snprintf(path, sizeof(path), "%s/temp%lu_crit", folder, no);
        if (!read_path(path, text, sizeof(text)) || !milli_of(text, &critical) || critical < 0)
            critical = 0;
        (void)snprintf(path, sizeof(path), "%s/temp%lu_label", folder, no);
        if (!read_path(path, label, sizeof(label)))
            (void)snprintf(label, sizeof(label), "%lu", no);
        (void)snprintf(path, sizeof(path), "%s/temp%lu_input", folder, no);
        add(sensors, path, chip, label, critical);
    }
    if (dir != NULL)
        (void)closedir(dir);
}

static void look_at_zone(struct sensors *sensors, const char *folder)
{
    char path[PATH_BYTES], type[32];

    (void)snprintf(path, sizeof(path), "%s/type", folder);
    if (!read_path(path, type, sizeof(type)))
        (void)snprintf(type, sizeof(type), "zone");
    (void)snprintf(path, sizeof(path), "%s/temp", folder);
    add(sensors, path, type, "", 0);
}

static void each_of(struct sensors *sensors,
                    const char *sys,
                    const char *class,
                    const char *prefix,
                    void (*look)(struct sensors *sensors, const char *folder))
{
    char folder[PATH_BYTES];

    (void)snprintf(folder, sizeof(folder), "%.200s/class/%s", sys, class);
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        (void)snprintf(folder, sizeof(folder), "%.200s/class/%s/%.60s", sys, class, entry->d_name);
        look(sensors, folder);
    }
    if (dir != NULL)
        (void)closedir(dir);
}

static int by_name(const void *a, const void *b)
{
    return strverscmp(((const struct sensor *)a)->name, ((const struct sensor *)b)->name);
}

/* Thermal zones are mostly the same sensors under vaguer names: only where hwmon has none. */
static void look(struct sensors *sensors, const char *sys)
{
    sensors->looked = true;
    each_of(sensors, sys, "hwmon", "hwmon", look_at_chip);
    if (sensors->n == 0)
        each_of(sensors, sys, "thermal", "thermal_zone", look_at_zone);
    qsort(sensors->all, sensors->n, sizeof(sensors->all[0]), by_name);
}

size_t
sensors_read(struct sensors *sensors, const char *sys, struct sensor_reading *out, size_t max)
{
    size_t n = 0;
    char text[32];
    int32_t milli;

    if (!sensors->looked)
        look(sensors, sys);
    for (size_t i = 0; i < sensors->n && n < max; i++) {
        const struct sensor *sensor = &sensors->all[i];

        if (read_line(sensor->fd, text, sizeof(text)) && milli_of(text, &milli))
            out[n++] = (struct sensor_reading){.name = sensor->name,
                                               .celsius = milli / 1000.0,
                                               .critical_celsius = sensor->critical / 1000.0};
    }
    return n;
}

void sensors_close(struct sensors *sensors)
{
    for (size_t i = 0; i < sensors->n; i++)
        (void)close(sensors->all[i].fd);
    *sensors = (struct sensors){0};
}

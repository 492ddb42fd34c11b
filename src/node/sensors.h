/*
 * Temperatures of this machine, where its drivers tell them (sensors_linux.c: hwmon, else thermal
 * zones, of /sys). Most virtual machines have none. They are looked for once; their files stay open
 * and are read with pread. What cannot be read at the time is left out.
 */
#ifndef NODE_SENSORS_H
#define NODE_SENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SENSORS_MAX       32 /* more are left out; a server with all its memory and disks has some 30 */
#define SENSOR_NAME_BYTES 64

struct sensor {
    int fd;
    int32_t critical; /* thousandths of a degree Celsius; 0: not told */
    char name[SENSOR_NAME_BYTES];
};

/* Zeroed is valid: it looks for sensors at the first reading. One thread at a time. */
struct sensors {
    bool looked;
    size_t n;
    struct sensor all[SENSORS_MAX];
};

struct sensor_reading {
    const char *name; /* "coretemp Package id 0"; borrowed until the next reading */
    double celsius;
    double critical_celsius; /* from here on the machine protects itself; 0: not told */
};

/* What the sensors below @sys ("/sys") say now, by name, up to @max; returns how many. */
size_t
sensors_read(struct sensors *sensors, const char *sys, struct sensor_reading *out, size_t max);
void sensors_close(struct sensors *sensors); /* zeroed is fine, twice too */

#endif

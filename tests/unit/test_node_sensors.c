/* Temperatures: from folders that look like /sys/class. */
#include "node/sensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/test.h"

static char root[64];

static void put(const char *path, const char *text)
{
    char whole[256];

    snprintf(whole, sizeof(whole), "%s/%s", root, path);
    for (char *slash = strchr(whole + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/kith-sensors-XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_root(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command);
}

static void no_sensors_are_no_error(void **state)
{
    struct sensors sensors = {0};
    struct sensor_reading reading[4];

    (void)state;
    assert_int_equal(sensors_read(&sensors, root, reading, 4), 0);
    assert_int_equal(sensors_read(&sensors, root, reading, 4), 0);
    sensors_close(&sensors);
    sensors_close(&sensors);
}

static void chips_tell_by_name_and_label(void **state)
{
    struct sensors sensors = {0};
    struct sensor_reading reading[SENSORS_MAX];

    (void)state;
    put("class/hwmon/hwmon1/name", "coretemp\n");
    put("class/hwmon/hwmon1/temp1_input", "47125\n");
    put("class/hwmon/hwmon1/temp1_label", "Package id 0\n");
    put("class/hwmon/hwmon1/temp1_crit", "100000\n");
    put("class/hwmon/hwmon1/temp10_input", "46000\n");
    put("class/hwmon/hwmon1/temp10_label", "Core 8\n");
    put("class/hwmon/hwmon1/temp2_input", "-500\n");
    put("class/hwmon/hwmon1/temp2_label", "Core\033[31m 0\n");
    put("class/hwmon/hwmon1/in0_input", "1200\n");
    put("class/hwmon/hwmon0/name", "acpitz\n");
    put("class/hwmon/hwmon0/temp1_input", "30000\n");
    put("class/hwmon/hwmon2/name", "nct6775\n");
    put("class/hwmon/hwmon2/temp3_input", "-128000\n"); /* not connected */
    put("class/hwmon/hwmon2/temp4_input", "no number\n");
    put("class/thermal/thermal_zone0/type", "x86_pkg_temp\n");
    put("class/thermal/thermal_zone0/temp", "47000\n");
    assert_int_equal(sensors_read(&sensors, root, reading, SENSORS_MAX), 4);
    assert_string_equal(reading[0].name, "acpitz 1");
    assert_true(reading[0].celsius == 30 && reading[0].critical_celsius == 0);
    assert_string_equal(reading[1].name, "coretemp Core 8");
    assert_string_equal(reading[2].name, "coretemp Core?[31m 0");
    assert_true(reading[2].celsius == -0.5);
    assert_string_equal(reading[3].name, "coretemp Package id 0");
    assert_true(reading[3].celsius == 47.125 && reading[3].critical_celsius == 100);
    put("class/hwmon/hwmon0/temp1_input", "31000\n"); /* the same file */
    assert_int_equal(sensors_read(&sensors, root, reading, 1), 1);
    assert_true(reading[0].celsius == 31);
    sensors_close(&sensors);
}

static void zones_are_asked_where_no_chip_tells(void **state)
{
    struct sensors sensors = {0};
    struct sensor_reading reading[4];

    (void)state;
    put("class/hwmon/hwmon0/name", "fans only\n");
    put("class/thermal/thermal_zone0/type", "cpu-thermal\n");
    put("class/thermal/thermal_zone0/temp", "51234\n");
    put("class/thermal/cooling_device0/type", "Processor\n");
    assert_int_equal(sensors_read(&sensors, root, reading, 4), 1);
    assert_string_equal(reading[0].name, "cpu-thermal");
    assert_true(reading[0].celsius > 51.2 && reading[0].celsius < 51.3);
    sensors_close(&sensors);
}

static void more_than_the_limit_are_left_out(void **state)
{
    struct sensors sensors = {0};
    struct sensor_reading reading[SENSORS_MAX + 8];
    char path[128];

    (void)state;
    put("class/hwmon/hwmon0/name", "many\n");
    for (int i = 1; i <= SENSORS_MAX + 3; i++) {
        snprintf(path, sizeof(path), "class/hwmon/hwmon0/temp%d_input", i);
        put(path, "20000\n");
    }
    assert_int_equal(sensors_read(&sensors, root, reading, SENSORS_MAX + 8), SENSORS_MAX);
    sensors_close(&sensors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_sensors_are_no_error, make_root, remove_root),
        cmocka_unit_test_setup_teardown(chips_tell_by_name_and_label, make_root, remove_root),
        cmocka_unit_test_setup_teardown(zones_are_asked_where_no_chip_tells, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(more_than_the_limit_are_left_out, make_root, remove_root),
    };
    return cmocka_run_group_tests_name("node_sensors", tests, NULL, NULL);
}

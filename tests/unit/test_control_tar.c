/* A tar file in memory: field by field as POSIX has it (the integration test unpacks one). */
#include "control/tar.h"

#include <stdlib.h>
#include <string.h>

#include "lib/test.h"

static unsigned sum_of(const uint8_t *head)
{
    unsigned sum = 0;
    for (size_t i = 0; i < 512; i++)
        sum += i >= 148 && i < 156 ? ' ' : head[i];
    return sum;
}

static void header_is_that_of_the_standard(void **state)
{
    struct buf tar = {0};
    char name[TAR_NAME_BYTES_MAX + 1];

    (void)state;
    memset(name, 'n', sizeof(name));
    name[TAR_NAME_BYTES_MAX] = '\0';
    assert_int_equal(tar_add(&tar, name, 1700000000123ull, "hello", 5), 0);
    assert_int_equal(tar.len, 1024);
    const char *head = (const char *)tar.data;
    assert_string_equal(head, name);
    assert_string_equal(head + 100, "0000600");
    assert_string_equal(head + 124, "00000000005");
    assert_int_equal(strtoull(head + 136, NULL, 8), 1700000000);
    assert_int_equal(strtoul(head + 148, NULL, 8), sum_of(tar.data));
    assert_int_equal(head[156], '0');
    assert_memory_equal(head + 257, "ustar\00000", 8);
    assert_memory_equal(head + 512, "hello\0\0\0", 8);
    buf_deinit(&tar);
}

static void files_are_whole_blocks(void **state)
{
    static const uint8_t data[1025];
    struct buf tar = {0};

    (void)state;
    assert_int_equal(tar_add(&tar, "empty", 0, NULL, 0), 0);
    assert_int_equal(tar.len, 512);
    assert_int_equal(tar_add(&tar, "block", 0, data, 512), 0);
    assert_int_equal(tar.len, 512 + 1024);
    assert_int_equal(tar_add(&tar, "more", 0, data, 1025), 0);
    assert_int_equal(tar.len, 512 + 1024 + 512 + 1536);
    size_t before = tar.len;
    assert_int_equal(tar_end(&tar), 0);
    assert_int_equal(tar.len, before + 1024);
    for (size_t i = before; i < tar.len; i++)
        assert_int_equal(tar.data[i], 0);
    buf_deinit(&tar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_is_that_of_the_standard),
        cmocka_unit_test(files_are_whole_blocks),
    };
    return cmocka_run_group_tests_name("control_tar", tests, NULL, NULL);
}

#include "core/error.h"
#include "fs/version.h"
#include "lib/test.h"

static struct fs_version version(uint8_t disk, uint64_t counter)
{
    struct fs_version v = {.kind = FS_FILE, .mode = 0644, .mtime_ns = -5, .moment = 77 << 16};
    v.content = (struct content){.size = 9, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = 17};
    v.content.root[3] = disk;
    v.author.disk.bytes[0] = disk;
    v.author.node.bytes[0] = disk;
    v.author.key[0] = disk;
    v.signature[63] = disk;
    (void)fs_vector_advance(&v.vector, &v.author.disk, counter);
    return v;
}

static struct fs_version next(const struct fs_version *of, uint8_t disk, uint64_t unix_ms)
{
    struct fs_version v = version(disk, unix_ms);
    v.vector.n = 0;
    fs_vector_join(&v.vector, &of->vector, NULL);
    (void)fs_vector_advance(&v.vector, &v.author.disk, unix_ms);
    return v;
}

static void who_has_seen_a_change_replaces_it(void **state)
{
    (void)state;
    struct fs_version a = version(1, 100);
    struct fs_version b = next(&a, 2, 50);
    struct fs_version c = next(&a, 3, 50);
    assert_true(fs_version_replaces(&b, &a));
    assert_false(fs_version_replaces(&a, &b));
    assert_false(fs_version_before(&b, &c) || fs_version_before(&c, &b));
    struct fs_version d = next(&b, 1, 40);
    assert_int_equal(fs_vector_of(&d.vector, &d.author.disk), 101); /* above the clock */
    assert_true(fs_version_replaces(&d, &b) && fs_version_replaces(&d, &a));
    assert_false(fs_version_replaces(&d, &c));
    /* One counter of one author twice: neither replaces the other. */
    struct fs_version twin = a;
    twin.content.root[0] = 9;
    assert_false(fs_version_replaces(&twin, &a) || fs_version_replaces(&a, &twin));
}

static void what_is_shown_first(void **state)
{
    (void)state;
    struct fs_version a = version(1, 100);
    struct fs_version b = version(2, 100);
    assert_true(fs_version_order(&b, &a) < 0); /* the greater author, moments being the same */
    a.moment++;
    assert_true(fs_version_order(&a, &b) < 0);
    a.kind = FS_DELETED;
    assert_true(fs_version_order(&b, &a) < 0);
    assert_int_equal(fs_version_order(&a, &a), 0);
}

static void a_version_is_the_same_behind_its_bytes(void **state)
{
    struct fs_version v = version(1, 100);
    struct fs_version r;
    struct buf bytes = {0};
    struct buf again = {0};
    (void)state;
    for (unsigned kind = FS_FILE; kind <= FS_DELETED; kind++) {
        v.kind = (uint8_t)kind;
        v.target = kind == FS_SYMLINK ? "../x" : NULL;
        v.target_len = kind == FS_SYMLINK ? 4 : 0;
        bytes.len = again.len = 0;
        assert_int_equal(fs_version_encode(&v, &bytes), 0);
        struct reader reader = reader_of(bytes.data, bytes.len);
        assert_int_equal(fs_version_decode(&reader, &r), 0);
        assert_true(reader_done(&reader));
        assert_true(fs_version_same(&v, &r));
        assert_int_equal(fs_version_encode(&r, &again), 0);
        assert_int_equal(bytes.len, again.len);
        assert_memory_equal(bytes.data, again.data, bytes.len);
        for (size_t cut = 0; cut < bytes.len; cut++) {
            reader = reader_of(bytes.data, cut);
            assert_int_equal(fs_version_decode(&reader, &r), KITH_E_CORRUPT);
        }
    }
    buf_deinit(&bytes);
    buf_deinit(&again);
}

static void what_is_signed_is_all_of_it(void **state)
{
    struct fs_version v = version(1, 100);
    struct buf one = {0};
    (void)state;
    assert_int_equal(fs_version_signed("s", 1, "a", 1, &v, &one), 0);
    uint64_t id = fs_version_id(one.data, one.len);
    for (unsigned i = 0; i < 9; i++) {
        struct fs_version other = v;
        const char *share = i == 0 ? "t" : "s";
        const char *path = i == 1 ? "b" : "a";
        other.mode += i == 2;
        other.mtime_ns += i == 3;
        other.moment += i == 4;
        other.content.size += i == 5;
        other.content.root[31] = i == 6;
        other.vector.counters[0].counter += i == 7;
        other.replicas = i == 8;
        one.len = 0;
        assert_int_equal(fs_version_signed(share, 1, path, 1, &other, &one), 0);
        assert_int_not_equal(fs_version_id(one.data, one.len), id);
    }
    buf_deinit(&one);
}

static void bad_vectors_are_refused(void **state)
{
    struct fs_version v = version(1, 100);
    (void)state;
    assert_true(fs_version_fits(&v));
    v.vector.counters[0].counter = 0;
    assert_false(fs_version_fits(&v));
    v.vector.counters[0].counter = UINT64_MAX;
    assert_false(fs_version_fits(&v));
    v = version(1, 100);
    v.author.disk.bytes[0] = 2; /* its author has no counter */
    assert_false(fs_version_fits(&v));
    v = version(1, 100);
    v.vector.counters[1] = v.vector.counters[0];
    v.vector.n = 2;
    assert_false(fs_version_fits(&v)); /* twice */
    v = version(0, 100);
    assert_false(fs_version_fits(&v)); /* the disk of zeros */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_seen_a_change_replaces_it),
        cmocka_unit_test(what_is_shown_first),
        cmocka_unit_test(a_version_is_the_same_behind_its_bytes),
        cmocka_unit_test(what_is_signed_is_all_of_it),
        cmocka_unit_test(bad_vectors_are_refused),
    };
    return cmocka_run_group_tests_name("fs_version", tests, NULL, NULL);
}

/*
 * The table of contents that catalogue and folders have together (src/fs/contents.h).
 */
#include "core/alloc.h"
#include "fs/contents.h"
#include "lib/test.h"

static struct slab slab;
static struct fs_contents contents;

static int setup(void **state)
{
    (void)state;
    slab_init(&slab);
    fs_contents_init(&contents, &slab);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    core_alloc_fail_at(0);
    fs_contents_deinit(&contents);
    slab_deinit(&slab);
    return 0;
}

static struct content content_of(uint64_t size, unsigned root)
{
    struct content content = {.size = size, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = 17};
    put_le32(content.root, root);
    content.root[31] = 1;
    return content;
}

static void what_files_have_is_one_and_goes_with_the_last(void **state)
{
    struct content a = content_of(5, 1), b = content_of(5, 2);
    (void)state;
    struct fs_blob_link first = fs_contents_hold(&contents, &a);
    struct fs_blob_link second = fs_contents_hold(&contents, &a);
    struct fs_blob_link other = fs_contents_hold(&contents, &b);
    assert_int_not_equal(first.at, 0);
    assert_int_equal(first.at, second.at);
    assert_int_not_equal(first.at, other.at);
    assert_int_equal(contents.n, 2);
    struct content is = fs_blob_content(fs_contents_blob(&contents, first));
    assert_true(content_equal(&is, &a));
    fs_contents_release(&contents, first);
    assert_int_equal(contents.n, 2);
    fs_contents_release(&contents, second);
    assert_int_equal(contents.n, 1);
    fs_contents_release(&contents, other);
    fs_contents_release(&contents, (struct fs_blob_link){0});
    assert_int_equal(contents.n, 0);
    assert_int_equal(contents.bytes, contents.buckets_n * sizeof(*contents.buckets));
}

/* As a hundred thousand empty files are one content: more than the blob itself counts. */
static void as_many_files_as_there_are_have_it(void **state)
{
    enum { MANY = 3 * FS_BLOB_FILES_MAX };
    struct content content = content_of(0, 1);
    struct fs_blob_link link = {0};
    (void)state;
    for (unsigned i = 1; i <= MANY; i++) {
        link = fs_contents_hold(&contents, &content);
        assert_int_equal(fs_contents_files(&contents, fs_contents_blob(&contents, link)), i);
    }
    assert_int_equal(contents.n, 1);
    for (unsigned i = MANY; i > 0; i--) {
        assert_int_equal(contents.n, 1);
        assert_int_equal(fs_contents_files(&contents, fs_contents_blob(&contents, link)), i);
        fs_contents_release(&contents, link);
    }
    assert_int_equal(contents.n, 0);
    assert_int_equal(contents.more.n, 0);
}

/* What only files of folders have is not there for the catalogue. */
static void what_no_version_names_is_not_found(void **state)
{
    struct content lie = content_of(6, 1), content = content_of(5, 1);
    (void)state;
    struct fs_blob_link held = fs_contents_hold(&contents, &content);
    assert_null(fs_contents_find(&contents, content.root));
    struct fs_blob *blob = fs_contents_get(&contents, &content);
    assert_int_equal(fs_blob_link(blob).at, held.at);
    blob->versions_n++;
    /* One of the same root that came later stands before it. */
    struct fs_blob_link other = fs_contents_hold(&contents, &lie);
    assert_int_not_equal(other.at, held.at);
    assert_ptr_equal(fs_contents_find(&contents, content.root), blob);
    fs_contents_release(&contents, held);
    assert_ptr_equal(fs_contents_find(&contents, content.root), blob);
    blob->versions_n--;
    fs_contents_drop(&contents, blob);
    assert_null(fs_contents_find(&contents, content.root));
    assert_int_equal(contents.n, 1);
    fs_contents_release(&contents, other);
}

static void they_are_found_however_many_there_are(void **state)
{
    enum { MANY = 5000 };
    static struct fs_blob_link links[MANY];
    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        struct content content = content_of(i, i);
        links[i] = fs_contents_hold(&contents, &content);
        assert_int_not_equal(links[i].at, 0);
    }
    assert_int_equal(contents.n, MANY);
    assert_true(contents.buckets_n >= MANY / 4); /* chains stay short */
    for (unsigned i = 0; i < MANY; i++) {
        struct content content = content_of(i, i);
        struct content is = fs_blob_content(fs_contents_blob(&contents, links[i]));
        assert_true(content_equal(&is, &content));
        assert_int_equal(fs_blob_link(fs_contents_get(&contents, &content)).at, links[i].at);
        if (i % 3 != 0)
            fs_contents_release(&contents, links[i]);
    }
    assert_int_equal(contents.n, (MANY + 2) / 3);
    for (unsigned i = 0; i < MANY; i += 3)
        fs_contents_release(&contents, links[i]);
    assert_int_equal(contents.n, 0);
}

static void short_memory_leaves_it_as_it_was(void **state)
{
    struct content content = content_of(5, 1);
    struct fs_blob_link links[FS_BLOB_FILES_MAX];
    (void)state;
    for (uint64_t at = 1; at <= 2; at++) { /* buckets, and the slab's chunk */
        core_alloc_fail_at(at);
        assert_int_equal(fs_contents_hold(&contents, &content).at, 0);
        core_alloc_fail_at(0);
        assert_int_equal(contents.n, 0);
    }
    for (unsigned i = 0; i < FS_BLOB_FILES_MAX; i++)
        links[i] = fs_contents_hold(&contents, &content);
    core_alloc_fail_at(1); /* what counts further ones */
    assert_int_equal(fs_contents_hold(&contents, &content).at, 0);
    core_alloc_fail_at(0);
    for (unsigned i = 0; i < FS_BLOB_FILES_MAX; i++)
        fs_contents_release(&contents, links[i]);
    assert_int_equal(contents.n, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_files_have_is_one_and_goes_with_the_last),
        CASE(as_many_files_as_there_are_have_it),
        CASE(what_no_version_names_is_not_found),
        CASE(they_are_found_however_many_there_are),
        CASE(short_memory_leaves_it_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

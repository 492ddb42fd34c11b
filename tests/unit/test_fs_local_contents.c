/*
 * The machine of a folder, with contents that it has together with a catalogue (fs/contents.h), and
 * without.
 */
#include "fs/local.h"

#include "core/alloc.h"
#include "fs/contents.h"
#include "kith/error.h"
#include "lib/test.h"

static const struct fs_root_id root_id = {.device = 1, .inode = 2, .born_ns = 3};
static const int64_t wall_ns = 1700000000000000000;
static struct slab slab;
static struct fs_contents contents;
static struct local_core *core;
/* The last of each kind of action, and how many there were. */
static struct {
    unsigned n;
    uint64_t token;
    struct fs_stat stat;
    struct content content;
} did[LOCAL_PROBLEM + 1];

static int step(struct local_event event)
{
    struct local_output out;
    event.now_ms = 100000;
    event.wall_ns = wall_ns;
    event.began_wall_ns = wall_ns;
    event.root = root_id;
    int r = local_step(core, &event, &out);
    core_alloc_fail_at(0);
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct local_action *action = &out.actions[i];
        did[action->type].n++;
        did[action->type].token = action->token;
        did[action->type].stat = action->stat;
        did[action->type].content = action->content;
    }
    local_check(core);
    return r;
}

static void begin(struct fs_contents *with)
{
    struct local_config config = {.folder = 7, .share = "s", .contents = with};
    memset(did, 0, sizeof(did));
    slab_init(&slab);
    fs_contents_init(&contents, &slab);
    assert_int_equal(local_new(&core, &config), 0);
    assert_int_equal(step((struct local_event){.type = LOCAL_START}), 0);
    assert_int_equal(did[LOCAL_SCAN].n, 1);
}

static void end(void)
{
    local_free(core);
    assert_int_equal(contents.n, 0);
    fs_contents_deinit(&contents);
    slab_deinit(&slab);
}

static struct fs_stat stat_of(uint64_t inode, uint64_t size)
{
    const int64_t long_ago_ns = wall_ns - 3600ll * 1000000000;
    return (struct fs_stat){.kind = FS_FILE,
                            .mode = 0644,
                            .links = 1,
                            .inode = inode,
                            .size = size,
                            .mtime_ns = long_ago_ns,
                            .ctime_ns = long_ago_ns,
                            .born_ns = long_ago_ns};
}

static struct content content_of(uint64_t size, uint8_t byte)
{
    struct content content = {.size = size, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = 17};
    memset(content.root, byte, sizeof(content.root));
    return content;
}

/* This node wrote it there. @byte 0: it deleted it. */
static int wrote(const char *name, uint64_t inode, uint8_t byte)
{
    struct local_event event = {.type = LOCAL_WRITTEN, .name = name, .name_len = strlen(name)};
    if (byte != 0) {
        event.before = stat_of(inode, 5);
        event.content = content_of(5, byte);
    }
    return step(event);
}

static void has(const char *name, uint8_t byte)
{
    struct content content = content_of(5, byte);
    struct local_file file;
    assert_int_equal(local_find(core, name, strlen(name), &file), 0);
    assert_true(content_equal(&file.content, &content));
    assert_int_equal(file.stat.size, 5);
}

static void what_others_have_too_is_there_once(void **state)
{
    (void)state;
    begin(&contents);
    assert_int_equal(wrote("a", 10, 1), 0);
    assert_int_equal(wrote("b", 11, 1), 0);
    assert_int_equal(wrote("d/c", 12, 2), 0);
    assert_int_equal(contents.n, 2);
    has("a", 1);
    has("b", 1);
    has("d/c", 2);
    /* Another one takes its place, and a deletion leaves none. */
    assert_int_equal(wrote("d/c", 13, 1), 0);
    assert_int_equal(contents.n, 1);
    has("d/c", 1);
    assert_int_equal(wrote("a", 0, 0), 0);
    assert_int_equal(wrote("b", 0, 0), 0);
    assert_int_equal(contents.n, 1);
    assert_int_equal(wrote("d/c", 0, 0), 0);
    assert_int_equal(contents.n, 0);
    assert_int_equal(wrote("a", 10, 1), 0); /* what is there at the end goes with the folder */
    end();
}

/* SEEN by the scan; what has to be read is read, and published. */
static void scan_reads(const char *name, struct fs_stat stat, uint8_t byte)
{
    struct local_seen seen = {.name = name, .name_len = strlen(name), .stat = stat};
    unsigned read_n = did[LOCAL_HASH].n, published_n = did[LOCAL_PUBLISH].n;
    assert_int_equal(
        step((struct local_event){
            .type = LOCAL_SEEN, .token = did[LOCAL_SCAN].token, .seen = &seen, .n = 1}),
        0);
    assert_int_equal(did[LOCAL_HASH].n, read_n + 1);
    assert_int_equal(step((struct local_event){.type = LOCAL_HASHED,
                                               .token = did[LOCAL_HASH].token,
                                               .before = stat,
                                               .after = stat,
                                               .content = content_of(stat.size, byte)}),
                     0);
    assert_int_equal(did[LOCAL_PUBLISH].n, published_n + 1);
    assert_int_equal(
        step((struct local_event){.type = LOCAL_PUBLISHED, .token = did[LOCAL_PUBLISH].token}), 0);
}

/* Each allocation of a step fails once; one of them is of what is said of the content. */
static void a_file_for_whose_content_memory_is_short_is_read_again(void **state)
{
    struct content content = content_of(5, 1);
    struct fs_blob_link others[FS_BLOB_FILES_MAX];
    unsigned without_n = 0;

    (void)state;
    begin(&contents);
    for (unsigned i = 0; i < FS_BLOB_FILES_MAX; i++) /* one more needs memory */
        others[i] = fs_contents_hold(&contents, &content);
    for (uint64_t n = 1; n < 12; n++) {
        struct local_file file;
        char name[16];
        (void)snprintf(name, sizeof(name), "f%u", (unsigned)n);
        core_alloc_fail_at(n);
        int r = wrote(name, 10 + n, 1);
        if (local_find(core, name, strlen(name), &file) != 0 || file.content.hash != 0)
            continue;
        assert_int_equal(r, KITH_E_MEMORY);
        without_n++;
        scan_reads(name, stat_of(10 + n, 5), 1);
        has(name, 1);
    }
    assert_true(without_n > 0);
    for (unsigned i = 0; i < FS_BLOB_FILES_MAX; i++)
        fs_contents_release(&contents, others[i]);
    end();
}

/* 67 bytes and its name, which is in two tables, and where nobody has it too its content. */
static void an_entry_takes_little_memory(void **state)
{
    (void)state;
    for (int shared = 0; shared <= 1; shared++) {
        struct local_stats stats;
        begin(shared ? &contents : NULL);
        for (unsigned i = 0; i < 200; i++) { /* of more, local_check() walks for too long */
            char name[64];
            (void)snprintf(name, sizeof(name), "document-%05u.txt", i);
            assert_int_equal(wrote(name, 1000 + i, (uint8_t)(1 + i)), 0);
        }
        local_stats(core, &stats);
        assert_int_equal(stats.entries, 200);
        assert_true(stats.memory_bytes / stats.entries < (shared ? 100 : 140));
        has("document-00007.txt", 8);
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_others_have_too_is_there_once),
        cmocka_unit_test(a_file_for_whose_content_memory_is_short_is_read_again),
        cmocka_unit_test(an_entry_takes_little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Rules of the machine of a folder, one by one: what it asks for and publishes after what it was
 * told. The world beside it (test_fs_local_world.c) shows that they hold together.
 */
#include "fs/local.h"

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/mutant.h"
#include "kith/error.h"
#include "lib/test.h"

#define KEPT_MAX 64

static struct local_core *core;
static struct local_config config;
static uint64_t now_ms;
static const int64_t wall_base_ns = 1700000000000000000;
static struct fs_root_id root_id = {.device = 1, .inode = 2, .born_ns = 3};

/* The last of each kind of action, and how many there were since they were last forgotten. */
static struct {
    unsigned n;
    uint64_t token;
    char name[300], path[1100], from[300], text[300];
    uint8_t change, state;
    struct fs_stat stat;
    bool idle;
} did[LOCAL_PROBLEM + 1];
/* All looks since then, where there are several. */
static struct {
    uint64_t token;
    char name[300];
} looks[8];
static unsigned looks_n;
static struct {
    uint8_t key[LOCAL_KEY_BYTES];
    struct buf data;
} kept[KEPT_MAX];
static unsigned kept_n;

/* ---- steps ---- */

static void keep(const struct local_action *action)
{
    assert_int_equal(action->key.len, LOCAL_KEY_BYTES);
    unsigned i = 0;
    while (i < kept_n && memcmp(kept[i].key, action->key.data, LOCAL_KEY_BYTES) != 0)
        i++;
    if (action->data.data == NULL) {
        if (i < kept_n) {
            buf_deinit(&kept[i].data);
            kept[i] = kept[--kept_n];
        }
        return;
    }
    if (i == kept_n) {
        assert_true(kept_n < KEPT_MAX);
        memset(&kept[kept_n++], 0, sizeof(kept[0]));
    }
    memcpy(kept[i].key, action->key.data, LOCAL_KEY_BYTES);
    kept[i].data.len = 0;
    assert_int_equal(buf_append(&kept[i].data, action->data.data, action->data.len), 0);
}

static void note(const struct local_action *action)
{
    did[action->type].n++;
    did[action->type].token = action->token;
    did[action->type].change = action->change;
    did[action->type].state = action->state;
    did[action->type].stat = action->stat;
    did[action->type].idle = action->idle;
    (void)snprintf(did[action->type].name, 300, "%s", action->name != NULL ? action->name : "");
    (void)snprintf(did[action->type].path, 1100, "%s", action->path != NULL ? action->path : "");
    (void)snprintf(did[action->type].from, 300, "%s", action->from != NULL ? action->from : "");
    (void)snprintf(did[action->type].text, 300, "%s", action->text != NULL ? action->text : "");
    if (action->type == LOCAL_PERSIST)
        keep(action);
    if (action->type == LOCAL_LOOK && looks_n < 8) {
        looks[looks_n].token = action->token;
        (void)snprintf(looks[looks_n++].name, 300, "%s", action->name);
    }
}

static int step(struct local_event event)
{
    struct local_output out;
    event.now_ms = now_ms;
    event.wall_ns = wall_base_ns + (int64_t)now_ms * 1000000;
    event.root = event.root.inode == 0 && event.code == 0 ? root_id : event.root;
    int r = local_step(core, &event, &out);
    for (size_t i = 0; i < out.actions_n; i++)
        note(&out.actions[i]);
    local_check(core);
    return r;
}

static void forget(void)
{
    memset(did, 0, sizeof(did));
    looks_n = 0;
}

/* Lets time pass, with ticks when they are due. */
static void pass(uint64_t ms)
{
    uint64_t end_ms = now_ms + ms;
    while (now_ms < end_ms) {
        uint64_t due_ms = local_deadline_ms(core);
        now_ms = due_ms > now_ms && due_ms < end_ms ? due_ms
                 : due_ms <= now_ms                 ? now_ms + 1
                                                    : end_ms;
        if (local_deadline_ms(core) <= now_ms)
            assert_int_equal(step((struct local_event){.type = LOCAL_TICK}), 0);
    }
}

static void touch(const char *name, unsigned what)
{
    assert_int_equal(
        step((struct local_event){
            .type = LOCAL_TOUCHED, .name = name, .name_len = strlen(name), .touch = what}),
        0);
}

static struct fs_stat file_stat(uint64_t inode, uint64_t size, int64_t changed_ms)
{
    int64_t ns = wall_base_ns + changed_ms * 1000000 + 1;
    return (struct fs_stat){.kind = FS_FILE,
                            .mode = 0644,
                            .links = 1,
                            .inode = inode,
                            .size = size,
                            .mtime_ns = ns,
                            .ctime_ns = ns,
                            .born_ns = wall_base_ns - (int64_t)inode};
}

/* Answers the LOOK under way; kind 0: it is not there, @empty: nor is anything else. */
static void looked_as(struct fs_stat stat, bool empty)
{
    assert_true(did[LOCAL_LOOK].n > 0);
    struct local_seen seen = {.name = did[LOCAL_LOOK].name,
                              .name_len = strlen(did[LOCAL_LOOK].name),
                              .found = stat.kind == 0 ? LOCAL_ABSENT : LOCAL_FOUND,
                              .stat = stat};
    assert_int_equal(step((struct local_event){.type = LOCAL_LOOKED,
                                               .token = did[LOCAL_LOOK].token,
                                               .seen = &seen,
                                               .n = 1,
                                               .root_empty = empty}),
                     0);
}

static void looked(struct fs_stat stat)
{
    looked_as(stat, false);
}

static struct content content_of(uint64_t size, uint8_t byte)
{
    struct content content = {.size = size, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = 17};
    memset(content.root, byte, sizeof(content.root));
    return content;
}

static void hashed_at(int code, uint8_t byte, int64_t began_wall_ns)
{
    assert_true(did[LOCAL_HASH].n > 0);
    assert_int_equal(
        step((struct local_event){.type = LOCAL_HASHED,
                                  .token = did[LOCAL_HASH].token,
                                  .code = code,
                                  .text = "it is broken",
                                  .before = did[LOCAL_HASH].stat,
                                  .after = did[LOCAL_HASH].stat,
                                  .began_wall_ns = began_wall_ns,
                                  .content = content_of(did[LOCAL_HASH].stat.size, byte)}),
        0);
}

static void hashed(int code, uint8_t byte)
{
    hashed_at(code, byte, wall_base_ns + (int64_t)now_ms * 1000000);
}

static void published(int code)
{
    assert_true(did[LOCAL_PUBLISH].n > 0);
    assert_int_equal(step((struct local_event){.type = LOCAL_PUBLISHED,
                                               .token = did[LOCAL_PUBLISH].token,
                                               .code = code,
                                               .text = "the disk is full"}),
                     0);
}

static int seen_as(const char *name, enum local_found found, struct fs_stat stat)
{
    struct local_seen seen = {.name = name,
                              .name_len = strlen(name),
                              .found = (uint8_t)found,
                              .stat = stat,
                              .text = "cannot be shared"};
    return step((struct local_event){
        .type = LOCAL_SEEN, .token = did[LOCAL_SCAN].token, .seen = &seen, .n = 1});
}

static void scanned(bool empty)
{
    assert_int_equal(step((struct local_event){.type = LOCAL_SCANNED,
                                               .token = did[LOCAL_SCAN].token,
                                               .root_empty = empty}),
                     0);
}

static void scan_failed(int code)
{
    assert_int_equal(step((struct local_event){.type = LOCAL_SCANNED,
                                               .token = did[LOCAL_SCAN].token,
                                               .code = code,
                                               .text = "it failed"}),
                     0);
}

/* A file that is there from the beginning, published. */
static void has_file(const char *name, uint64_t inode, uint8_t byte)
{
    assert_int_equal(seen_as(name, LOCAL_FOUND, file_stat(inode, 5, 0)), 0);
    hashed(0, byte);
    published(0);
}

static void begin_core(void)
{
    config.folder = 7;
    config.share = "share";
    assert_int_equal(local_new(&core, &config), 0);
}

static int setup_with(struct local_config with)
{
    config = with;
    begin_core();
    now_ms = 100000;
    forget();
    assert_int_equal(step((struct local_event){.type = LOCAL_START}), 0);
    assert_int_equal(did[LOCAL_SCAN].n, 1);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return setup_with((struct local_config){0});
}

static int setup_tracking(void **state)
{
    (void)state;
    return setup_with((struct local_config){.tracks = true});
}

static int setup_one_level(void **state)
{
    (void)state;
    return setup_with((struct local_config){.tracks = true, .one_level = true});
}

static int teardown(void **state)
{
    (void)state;
    local_free(core);
    for (unsigned i = 0; i < kept_n; i++)
        buf_deinit(&kept[i].data);
    kept_n = 0;
    return 0;
}

static struct local_stats stats(void)
{
    struct local_stats s;
    local_stats(core, &s);
    return s;
}

/* ---- settling ---- */

static void a_known_file_that_is_closed_is_read_at_once(void **state)
{
    (void)state;
    has_file("a", 10, 1);
    scanned(false);
    pass(2000);
    forget();
    touch("a", LOCAL_TOUCH_ANY);
    touch("a", LOCAL_TOUCH_CLOSED);
    pass(LOCAL_CLOSED_MS);
    assert_int_equal(did[LOCAL_LOOK].n, 1);
    looked(file_stat(10, 6, (int64_t)now_ms - 40));
    hashed(0, 2);
    assert_int_equal(did[LOCAL_PUBLISH].change, LOCAL_MODIFIED);
    published(0);
    /* The next one, a moment later, waits for quiet: it may be one of many. */
    forget();
    touch("a", LOCAL_TOUCH_CLOSED);
    pass(LOCAL_SETTLE_MS - 1);
    assert_int_equal(did[LOCAL_LOOK].n, 0);
    pass(1);
    assert_int_equal(did[LOCAL_LOOK].n, 1);
}

static void a_growing_file_waits_but_not_for_ever(void **state)
{
    (void)state;
    scanned(false);
    forget();
    for (unsigned i = 0; i < 2 * LOCAL_SETTLE_MAX_MS / 100 && did[LOCAL_LOOK].n == 0; i++) {
        touch("log", LOCAL_TOUCH_ANY);
        pass(100);
    }
    assert_int_equal(did[LOCAL_LOOK].n, 1);
    assert_in_range(now_ms - 100000, LOCAL_SETTLE_MAX_MS - 100, LOCAL_SETTLE_MAX_MS + 100);
    /* It changes while it is read: longer and longer waits, and that is listed. */
    uint64_t wait_ms = 0;
    for (unsigned i = 0; i < 6; i++) {
        uint64_t began_ms = now_ms;
        looked(file_stat(10, 100 + i, (int64_t)now_ms - 100));
        hashed(KITH_E_AGAIN, 0);
        forget();
        while (did[LOCAL_LOOK].n == 0)
            pass(1);
        assert_true(now_ms - began_ms >= wait_ms);
        wait_ms = now_ms - began_ms;
    }
    assert_true(wait_ms > 5 * LOCAL_SETTLE_MS && wait_ms <= LOCAL_SETTLE_MAX_MS);
    assert_int_equal(stats().problems, 1);
    looked(file_stat(10, 200, (int64_t)now_ms - 100));
    hashed(0, 9);
    published(0);
    assert_int_equal(stats().problems, 0);
}

static void lost_events_are_scanned_for(void **state)
{
    (void)state;
    scanned(false);
    forget();
    assert_int_equal(step((struct local_event){.type = LOCAL_OVERFLOW}), 0);
    assert_int_equal(did[LOCAL_SCAN].n, 1);
    assert_string_equal(did[LOCAL_SCAN].name, "");
}

/* ---- renames, attributes ---- */

static void a_rename_is_one(void **state)
{
    struct fs_stat stat = file_stat(10, 5, 0);

    (void)state;
    has_file("a", 10, 1);
    scanned(false);
    pass(2000);
    forget();
    touch("b", LOCAL_TOUCH_CLOSED);
    pass(LOCAL_SETTLE_MS);
    assert_string_equal(did[LOCAL_LOOK].name, "b");
    stat.ctime_ns++; /* as a rename does: so it is read before anything is said */
    looked(stat);
    assert_int_equal(did[LOCAL_HASH].n, 1);
    hashed(0, 1);
    assert_int_equal(did[LOCAL_PUBLISH].n, 0); /* is the old name still there? */
    assert_int_equal(did[LOCAL_LOOK].n, 2);
    assert_string_equal(did[LOCAL_LOOK].name, "a");
    looked((struct fs_stat){0});
    assert_int_equal(did[LOCAL_PUBLISH].n, 1);
    assert_int_equal(did[LOCAL_PUBLISH].change, LOCAL_RENAMED);
    assert_string_equal(did[LOCAL_PUBLISH].path, "b");
    assert_string_equal(did[LOCAL_PUBLISH].from, "a");
    published(0);
    assert_int_equal(stats().entries, 1);
    assert_int_equal(stats().deletions, 0);
}

static void what_moves_with_its_directory_is_not_read(void **state)
{
    (void)state;
    has_file("d/a", 10, 1);
    scanned(false);
    pass(2000);
    forget();
    touch("d", LOCAL_TOUCH_GONE | LOCAL_TOUCH_DIR);
    touch("e", LOCAL_TOUCH_CLOSED | LOCAL_TOUCH_DIR);
    assert_int_equal(did[LOCAL_SCAN].n, 1);
    assert_string_equal(did[LOCAL_SCAN].name, "e");
    assert_int_equal(seen_as("e/a", LOCAL_FOUND, file_stat(10, 5, 0)), 0);
    assert_int_equal(did[LOCAL_HASH].n, 0);
    looked((struct fs_stat){0}); /* d/a */
    assert_int_equal(did[LOCAL_PUBLISH].change, LOCAL_RENAMED);
    published(0);
}

static void a_chmod_is_told_at_once_and_read_later(void **state)
{
    struct fs_stat stat = file_stat(10, 5, 0);

    (void)state;
    has_file("a", 10, 1);
    scanned(false);
    pass(2000);
    forget();
    touch("a", LOCAL_TOUCH_ANY);
    pass(LOCAL_SETTLE_MS);
    stat.mode = 0600;
    stat.ctime_ns += 1000000;
    looked(stat);
    assert_int_equal(did[LOCAL_HASH].n, 0);
    assert_int_equal(did[LOCAL_PUBLISH].change, LOCAL_ATTRIBUTES);
    published(0);
    assert_int_equal(did[LOCAL_HASH].n, 1);
    assert_true(did[LOCAL_HASH].idle);
    forget();
}

/* ---- missing ---- */

static void make_many(unsigned n)
{
    char name[16];
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(name, sizeof(name), "f%u", i);
        has_file(name, 100 + i, (uint8_t)i);
    }
    scanned(false);
    pass(2000);
    forget();
}

/* All files from @from on to @to go, one after the other. */
static void remove_some(unsigned from, unsigned to)
{
    char name[16];
    for (unsigned i = from; i < to; i++) {
        (void)snprintf(name, sizeof(name), "f%u", i);
        touch(name, LOCAL_TOUCH_GONE);
        pass(LOCAL_SETTLE_MS);
        looked((struct fs_stat){0});
        if (did[LOCAL_PUBLISH].n > 0)
            published(0);
        forget();
    }
}

static void deletions_are_published_up_to_the_guard(void **state)
{
    (void)state;
    make_many(40);
    remove_some(0, LOCAL_GONE_MIN - 1);
    assert_int_equal(stats().deletions, LOCAL_GONE_MIN - 1);
    remove_some(LOCAL_GONE_MIN - 1, LOCAL_GONE_MIN + 3);
    assert_int_equal(stats().deletions, LOCAL_GONE_MIN - 1);
    assert_int_equal(stats().state, LOCAL_HELD);
    assert_int_equal(stats().gone, 4);
    assert_non_null(strstr(stats().state_text, "kith share confirm share"));
    /* Confirmed: looked at once more, then deleted. */
    assert_int_equal(step((struct local_event){.type = LOCAL_CONFIRM}), 0);
    assert_int_equal(did[LOCAL_LOOK].n, 4);
    for (unsigned i = 0; i < 4; i++) {
        did[LOCAL_LOOK].token -= i > 0 ? 1 : 0;
        looked((struct fs_stat){0});
    }
    assert_int_equal(did[LOCAL_PUBLISH].n, 4);
    assert_int_equal(stats().state, LOCAL_WATCHED);
}

static void another_directory_is_not_the_folder(void **state)
{
    (void)state;
    has_file("a", 10, 1);
    scanned(false);
    forget();
    pass(LOCAL_RESCAN_MS);
    assert_int_equal(did[LOCAL_SCAN].n, 1);
    struct fs_root_id own = root_id;
    root_id.inode = 99;
    scanned(false);
    assert_int_equal(stats().state, LOCAL_AWAY);
    assert_int_equal(step((struct local_event){.type = LOCAL_CONFIRM}), 0);
    pass(1);
    /* Confirmed: it is the folder from now on, and what is not in it is deleted. */
    scanned(false);
    assert_int_equal(stats().state, LOCAL_WATCHED);
    forget();
    pass(LOCAL_SETTLE_MS);
    looked((struct fs_stat){0});
    assert_int_equal(did[LOCAL_PUBLISH].change, LOCAL_DELETED);
    root_id = own;
}

static void a_missing_folder_cannot_be_confirmed(void **state)
{
    (void)state;
    has_file("a", 10, 1);
    scanned(false);
    pass(LOCAL_RESCAN_MS);
    scan_failed(KITH_E_NOT_FOUND);
    assert_int_equal(stats().state, LOCAL_AWAY);
    assert_int_equal(step((struct local_event){.type = LOCAL_CONFIRM}), KITH_E_NOT_FOUND);
    assert_non_null(strstr(kith_errmsg(), "share share"));
}

/* ---- tracking ---- */

static void every_deletion_of_what_is_tracked_is_told(void **state)
{
    (void)state;
    make_many(2 * LOCAL_GONE_MIN);
    remove_some(0, 2 * LOCAL_GONE_MIN - 1);
    assert_int_equal(stats().deletions, 2 * LOCAL_GONE_MIN - 1);
    assert_int_equal(stats().state, LOCAL_WATCHED);
}

static void the_last_file_of_what_is_tracked_is_told_to_go(void **state)
{
    (void)state;
    has_file("a", 10, 1);
    scanned(false);
    pass(2000);
    forget();
    touch("a", LOCAL_TOUCH_GONE);
    pass(LOCAL_SETTLE_MS);
    looked_as((struct fs_stat){0}, true);
    assert_int_equal(did[LOCAL_PUBLISH].n, 1);
    assert_int_equal(did[LOCAL_PUBLISH].change, LOCAL_DELETED);
    published(0);
    assert_int_equal(stats().state, LOCAL_WATCHED);
}

static void a_missing_root_is_tracked_as_an_empty_one(void **state)
{
    struct fs_root_id own = root_id;

    (void)state;
    has_file("a", 10, 1);
    scanned(false);
    pass(2000);
    forget();
    touch("", LOCAL_TOUCH_ANY);
    assert_int_equal(did[LOCAL_SCAN].n, 1);
    scan_failed(KITH_E_NOT_FOUND);
    assert_int_equal(stats().state, LOCAL_AWAY);
    pass(LOCAL_SETTLE_MS);
    assert_string_equal(did[LOCAL_LOOK].name, "a");
    root_id = (struct fs_root_id){0};
    looked((struct fs_stat){0});
    assert_int_equal(did[LOCAL_PUBLISH].change, LOCAL_DELETED);
    published(0);
    assert_int_equal(stats().state, LOCAL_AWAY);
    /* Another directory has its name: that is what is tracked now. */
    forget();
    pass(LOCAL_AWAY_MS);
    assert_int_equal(did[LOCAL_SCAN].n, 1);
    root_id = own;
    root_id.inode++;
    assert_int_equal(seen_as("b", LOCAL_FOUND, file_stat(11, 5, 0)), 0);
    assert_int_equal(stats().state, LOCAL_WATCHED);
    hashed(0, 1);
    assert_string_equal(did[LOCAL_PUBLISH].path, "b");
    assert_int_equal(did[LOCAL_PUBLISH].change, LOCAL_CREATED);
    published(0);
    scanned(false);
    root_id = own;
}

/* What cannot be looked into is not known to be empty. */
static void a_root_that_cannot_be_read_is_not_missing(void **state)
{
    (void)state;
    has_file("a", 10, 1);
    scanned(false);
    pass(2000);
    forget();
    touch("", LOCAL_TOUCH_ANY);
    scan_failed(KITH_E_PERMISSION);
    pass(LOCAL_SETTLE_MS);
    assert_int_equal(did[LOCAL_LOOK].n, 0);
    assert_int_equal(stats().state, LOCAL_WATCHED);
    pass(LOCAL_RETRY_MS);
    assert_int_equal(did[LOCAL_SCAN].n, 2);
}

static void a_root_that_cannot_be_read_at_first_is_tried_again(void **state)
{
    (void)state;
    scan_failed(KITH_E_PERMISSION);
    assert_int_equal(stats().state, LOCAL_WATCHED);
    pass(LOCAL_RETRY_MS);
    assert_int_equal(did[LOCAL_SCAN].n, 2);
    has_file("a", 10, 1);
    scanned(false);
    assert_int_equal(stats().state, LOCAL_WATCHED);
}

static void nothing_that_is_tracked_is_ignored(void **state)
{
    (void)state;
    has_file("b~", 10, 1);
    has_file(".git/HEAD", 11, 1);
    assert_int_equal(
        step((struct local_event){
            .type = LOCAL_RULES, .token = did[LOCAL_SCAN].token, .name = "", .data = {"*\n", 2}}),
        0);
    has_file("c", 12, 1);
    scanned(false);
    pass(2000);
    assert_int_equal(stats().entries, 3);
    forget();
    touch(".#lock", LOCAL_TOUCH_CLOSED);
    pass(LOCAL_SETTLE_MS);
    assert_string_equal(did[LOCAL_LOOK].name, ".#lock");
    looked(file_stat(13, 5, (int64_t)now_ms - 400));
    hashed(0, 2);
    assert_int_equal(did[LOCAL_PUBLISH].change, LOCAL_CREATED);
    published(0);
}

static void a_name_that_is_tracked_is_told_as_it_is(void **state)
{
    (void)state;
    has_file("cafe\xcc\x81", 10, 1);
    assert_string_equal(did[LOCAL_PUBLISH].path, "cafe\xcc\x81");
    scanned(false);
}

static void of_one_level_directories_are_entries(void **state)
{
    struct fs_stat dir = {.kind = FS_DIRECTORY, .mode = 0755, .inode = 20, .born_ns = 1};

    (void)state;
    scanned(false);
    pass(2000);
    forget();
    touch("d", LOCAL_TOUCH_DIR);
    touch("d/a", LOCAL_TOUCH_CLOSED);
    pass(LOCAL_SETTLE_MS);
    assert_int_equal(did[LOCAL_LOOK].n, 1);
    assert_string_equal(did[LOCAL_LOOK].name, "d");
    looked(dir);
    assert_int_equal(did[LOCAL_PUBLISH].change, LOCAL_CREATED);
    published(0);
    pass(2000);
    assert_int_equal(did[LOCAL_SCAN].n, 0);
    assert_int_equal(did[LOCAL_LOOK].n, 1);
}

/* What was written a moment ago, and is touched while the first scan runs, is no change. */
static void what_is_there_at_first_does_not_settle(void **state)
{
    (void)state;
    touch("b", LOCAL_TOUCH_ANY);
    assert_int_equal(seen_as("a", LOCAL_FOUND, file_stat(10, 5, (int64_t)now_ms - 10)), 0);
    assert_int_equal(did[LOCAL_HASH].n, 1);
    hashed_at(0, 1, INT64_MAX);
    published(0);
    assert_int_equal(seen_as("b", LOCAL_FOUND, file_stat(11, 5, (int64_t)now_ms - 10)), 0);
    assert_int_equal(did[LOCAL_HASH].n, 2);
    hashed_at(0, 1, INT64_MAX);
    published(0);
    scanned(false);
    assert_int_equal(stats().entries, 2);
}

static void a_directory_that_is_renamed_is_one_rename(void **state)
{
    struct fs_stat dir = {.kind = FS_DIRECTORY, .mode = 0755, .inode = 20, .born_ns = 1};

    (void)state;
    assert_int_equal(seen_as("d", LOCAL_FOUND, dir), 0);
    published(0);
    has_file("d/a", 10, 1);
    scanned(false);
    pass(2000);
    forget();
    touch("d", LOCAL_TOUCH_GONE | LOCAL_TOUCH_DIR);
    touch("e", LOCAL_TOUCH_CLOSED | LOCAL_TOUCH_DIR);
    assert_string_equal(did[LOCAL_SCAN].name, "e");
    assert_int_equal(seen_as("e/a", LOCAL_FOUND, file_stat(10, 5, 0)), 0);
    assert_string_equal(did[LOCAL_LOOK].name, "d/a");
    looked((struct fs_stat){0});
    assert_int_equal(did[LOCAL_PUBLISH].change, LOCAL_RENAMED);
    assert_string_equal(did[LOCAL_PUBLISH].path, "e/a");
    published(0);
    scanned(false);
    /* Both have settled: whichever is looked at first, it is one rename. */
    forget();
    pass(LOCAL_SETTLE_MS);
    for (unsigned i = 0; i < looks_n && did[LOCAL_PUBLISH].n == 0; i++) {
        did[LOCAL_LOOK].token = looks[i].token;
        (void)strcpy(did[LOCAL_LOOK].name, looks[i].name);
        looked(strcmp(looks[i].name, "e") == 0 ? dir : (struct fs_stat){0});
    }
    assert_int_equal(did[LOCAL_PUBLISH].n, 1);
    assert_int_equal(did[LOCAL_PUBLISH].change, LOCAL_RENAMED);
    assert_string_equal(did[LOCAL_PUBLISH].path, "e");
    assert_string_equal(did[LOCAL_PUBLISH].from, "d");
    published(0);
    assert_int_equal(stats().entries, 2);
    assert_int_equal(stats().deletions, 0);
}

/* ---- names ---- */

static void names_are_published_in_nfc_and_looked_up_as_they_are(void **state)
{
    struct buf name = {0};

    (void)state;
    has_file("cafe\xcc\x81", 10, 1);
    assert_string_equal(did[LOCAL_PUBLISH].path, "caf\xc3\xa9");
    assert_int_equal(local_name_of(core, "caf\xc3\xa9", 5, &name), 0);
    assert_string_equal((char *)name.data, "cafe\xcc\x81");
    buf_deinit(&name);
    /* The same name once more, in the other form. */
    forget();
    did[LOCAL_SCAN].token = 1;
    assert_int_equal(seen_as("caf\xc3\xa9", LOCAL_FOUND, file_stat(11, 5, 0)), 0);
    assert_int_equal(did[LOCAL_HASH].n, 0);
    assert_int_equal(stats().problems, 1);
    /* What can never be shared. */
    assert_int_equal(seen_as("a\nb", LOCAL_FOUND, file_stat(12, 5, 0)), 0);
    assert_int_equal(seen_as("\xff", LOCAL_FOUND, file_stat(13, 5, 0)), 0);
    assert_int_equal(seen_as("pipe", LOCAL_REFUSED, (struct fs_stat){0}), 0);
    assert_int_equal(stats().problems, 4);
    assert_int_equal(did[LOCAL_HASH].n, 0);
    scanned(false);
    assert_int_equal(stats().problems, 4);
}

static void problems_are_listed_up_to_a_limit(void **state)
{
    char name[32];
    struct local_problem problem;

    (void)state;
    for (unsigned i = 0; i < FS_PROBLEMS_MAX + 10; i++) {
        (void)snprintf(name, sizeof(name), "bad\n%u", i);
        assert_int_equal(seen_as(name, LOCAL_FOUND, file_stat(20 + i, 5, 0)), 0);
    }
    assert_int_equal(stats().problems, FS_PROBLEMS_MAX + 10);
    assert_true(local_problem(core, FS_PROBLEMS_MAX - 1, &problem));
    assert_false(local_problem(core, FS_PROBLEMS_MAX, &problem));
}

/* ---- failures ---- */

static void what_could_not_be_published_is_tried_again(void **state)
{
    (void)state;
    assert_int_equal(seen_as("a", LOCAL_FOUND, file_stat(10, 5, 0)), 0);
    hashed(0, 1);
    published(KITH_E_LIMIT);
    assert_int_equal(stats().problems, 1);
    assert_int_equal(stats().entries, 0);
    forget();
    pass(LOCAL_RETRY_MS);
    looked(file_stat(10, 5, 0));
    hashed(0, 1);
    published(0);
    assert_int_equal(stats().entries, 1);
    assert_int_equal(stats().problems, 0);
}

static void a_restart_reads_only_what_changed(void **state)
{
    (void)state;
    has_file("a", 10, 1);
    has_file("d/b", 11, 2);
    scanned(false);
    local_free(core);
    begin_core();
    for (unsigned i = 0; i < kept_n; i++)
        assert_int_equal(step((struct local_event){.type = LOCAL_RECALL,
                                                   .key = {kept[i].key, LOCAL_KEY_BYTES},
                                                   .data = {kept[i].data.data, kept[i].data.len}}),
                         0);
    const char *const names[] = {"a", "d/b"};
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(step((struct local_event){.type = LOCAL_OWNED,
                                                   .name = names[i],
                                                   .name_len = strlen(names[i]),
                                                   .before = file_stat(10 + i, 5, 0),
                                                   .content = content_of(5, (uint8_t)(1 + i))}),
                         0);
    forget();
    assert_int_equal(step((struct local_event){.type = LOCAL_START}), 0);
    assert_int_equal(seen_as("a", LOCAL_FOUND, file_stat(10, 5, 0)), 0);
    assert_int_equal(did[LOCAL_HASH].n, 0);
    assert_int_equal(seen_as("d/b", LOCAL_FOUND, file_stat(11, 5, 1)), 0);
    assert_int_equal(did[LOCAL_HASH].n, 1);
    assert_string_equal(did[LOCAL_HASH].name, "d/b");
    scanned(false);
}

static void damaged_entries_are_refused(void **state)
{
    struct rng rng = test_rng();

    (void)state;
    has_file("a", 10, 1);
    scanned(false);
    local_free(core);
    begin_core();
    for (unsigned run = 0; run < 3000; run++) {
        unsigned i = (unsigned)rng_below(&rng, kept_n);
        uint8_t data[512];
        size_t len = kept[i].data.len;
        assert_true(len < sizeof(data));
        memcpy(data, kept[i].data.data, len);
        if (rng_below(&rng, 2) == 0)
            len = rng_below(&rng, len);
        else
            data[rng_below(&rng, len)] ^= (uint8_t)(1 + rng_below(&rng, 255));
        struct local_event event = {
            .type = LOCAL_RECALL, .key = {kept[i].key, LOCAL_KEY_BYTES}, .data = {data, len}};
        int r = step(event);
        assert_true(r == 0 || r == KITH_E_CORRUPT); /* some bytes may be any */
    }
}

/* Keys are found again from paths alone, or what is dropped would come back at the next start. */
static void
entries_under_other_keys_are_refused_and_those_of_a_directory_stand_together(void **state)
{
    uint8_t keys[4][LOCAL_KEY_BYTES];

    (void)state;
    has_file("d/a", 10, 1);
    has_file("d/b", 11, 2);
    has_file("e/a", 12, 3);
    scanned(false);
    unsigned n = 0;
    for (unsigned i = 0; i < kept_n; i++) {
        struct local_event event = {.type = LOCAL_RECALL,
                                    .key = {kept[i].key, LOCAL_KEY_BYTES},
                                    .data = {kept[i].data.data, kept[i].data.len}};
        if (kept[i].data.len < 60) /* of the folder */
            continue;
        local_free(core);
        begin_core();
        assert_int_equal(step(event), 0);
        for (unsigned at = 10; at < LOCAL_KEY_BYTES; at++) {
            memcpy(keys[n], kept[i].key, LOCAL_KEY_BYTES);
            keys[n][at] ^= 1;
            event.key.data = keys[n];
            assert_int_equal(step(event), KITH_E_CORRUPT);
        }
        memcpy(keys[n++], kept[i].key, LOCAL_KEY_BYTES);
    }
    assert_int_equal(n, 3);
    unsigned together = 0;
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = 0; j < i; j++)
            together += memcmp(keys[i], keys[j], 14) == 0;
    assert_int_equal(together, 1);
}

static void short_memory_is_made_up_for(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 40; n++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "f%u", (unsigned)n);
        core_alloc_fail_at(n);
        int r = seen_as(name, LOCAL_FOUND, file_stat(10 + n, 5, 0));
        core_alloc_fail_at(0);
        assert_true(r == 0 || r == KITH_E_MEMORY);
    }
    scanned(false);
    pass(1000);
    assert_true(did[LOCAL_SCAN].n >= 2); /* what was missed is looked for */
}

static void an_entry_takes_little_memory(void **state)
{
    char name[64];

    (void)state;
    for (unsigned i = 0; i < 200; i++) { /* of more, local_check() walks for too long */
        (void)snprintf(name, sizeof(name), "some/ordinary/place-%u/document-%05u.txt", i / 100, i);
        assert_int_equal(step((struct local_event){.type = LOCAL_WRITTEN,
                                                   .name = name,
                                                   .name_len = strlen(name),
                                                   .before = file_stat(1000 + i, 5, 0),
                                                   .content = content_of(5, 1),
                                                   .began_wall_ns = wall_base_ns + 1000000000000}),
                         0);
        buf_deinit(&kept[--kept_n].data); /* not needed here */
    }
    assert_int_equal(stats().entries, 200);
    assert_true(stats().memory_bytes / stats().entries < 400);
}

#define CASE(name)     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TRACKING(name) cmocka_unit_test_setup_teardown(name, setup_tracking, teardown)
static const struct CMUnitTest tests[] = {
    CASE(a_known_file_that_is_closed_is_read_at_once),
    CASE(a_growing_file_waits_but_not_for_ever),
    CASE(lost_events_are_scanned_for),
    CASE(a_rename_is_one),
    CASE(what_moves_with_its_directory_is_not_read),
    CASE(a_chmod_is_told_at_once_and_read_later),
    CASE(deletions_are_published_up_to_the_guard),
    CASE(another_directory_is_not_the_folder),
    CASE(a_missing_folder_cannot_be_confirmed),
    TRACKING(every_deletion_of_what_is_tracked_is_told),
    TRACKING(the_last_file_of_what_is_tracked_is_told_to_go),
    TRACKING(a_missing_root_is_tracked_as_an_empty_one),
    TRACKING(a_root_that_cannot_be_read_is_not_missing),
    TRACKING(a_root_that_cannot_be_read_at_first_is_tried_again),
    TRACKING(nothing_that_is_tracked_is_ignored),
    TRACKING(a_name_that_is_tracked_is_told_as_it_is),
    cmocka_unit_test_setup_teardown(
        of_one_level_directories_are_entries, setup_one_level, teardown),
    TRACKING(what_is_there_at_first_does_not_settle),
    TRACKING(a_directory_that_is_renamed_is_one_rename),
    CASE(names_are_published_in_nfc_and_looked_up_as_they_are),
    CASE(problems_are_listed_up_to_a_limit),
    CASE(what_could_not_be_published_is_tried_again),
    CASE(a_restart_reads_only_what_changed),
    CASE(damaged_entries_are_refused),
    CASE(entries_under_other_keys_are_refused_and_those_of_a_directory_stand_together),
    CASE(short_memory_is_made_up_for),
    CASE(an_entry_takes_little_memory),
};

#ifndef KITH_MUTANTS
int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
#include "unit/left_out.h"
int main(void)
{
    const struct left_out rules[] = {
        {MUTANT_LOCAL_NO_OVERFLOW, CASE(lost_events_are_scanned_for)},
        {MUTANT_LOCAL_NO_GUARD, CASE(deletions_are_published_up_to_the_guard)},
        {MUTANT_LOCAL_ANY_ROOT, CASE(another_directory_is_not_the_folder)},
        {MUTANT_LOCAL_NO_CTIME, CASE(a_chmod_is_told_at_once_and_read_later)},
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0 ||
           left_out_all(rules, sizeof(rules) / sizeof(rules[0])) != 0;
}
#endif

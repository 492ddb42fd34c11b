/*
 * The machine of a folder in a world in memory: several editors at once change a made-up disk in
 * every way that editors have; the watcher's events are late, doubled, out of order and lost; scans
 * and reads take time while the disk changes; publications fail; the process crashes; the folder
 * goes away, is another, is empty, cannot be looked into.
 *
 * At every moment: what is published of a path is what that file had in it at some moment, and a
 * deletion is only published of what was deleted indeed; not too many at once. Afterwards all is
 * quiet, and what is published must be exactly what is on the disk. Folders that are tracked are
 * run likewise: nothing is ignored, and what is missing with the folder is told as deleted.
 *
 * Built twice: plain, and with the switches of core/mutant.h, where the same runs must fail.
 */
#include "unit/fs_editors.h"

#include "core/bytes.h"
#include "core/mutant.h"
#include "fs/contents.h"
#include "fs/ignore.h"
#include "kith/error.h"
#include "lib/test.h"

#define JOBS_MAX     8192
#define FAULTS_MS    40000
#define QUIET_MS     90000
#define RESCAN_MS    15000
#define KEPT_MAX     4096
#define DELETES_KEPT 1024
#define UNDO_MAX     16
#define GARBAGE      0xdead0000dead0000u

enum mode { SHARED = 0, TRACKED, ONE_LEVEL };
enum away { HERE = 0, MISSING, OTHER, EMPTY };

/* What the catalogue has of a path, durably. */
struct shown {
    uint8_t kind; /* 0: nothing */
    uint32_t mode;
    int64_t mtime_ns;
    uint64_t bytes, size;
};

enum job_type { JOB_EVENT, JOB_LOOK, JOB_HASH_BEGIN, JOB_HASH_END, JOB_DURABLE, JOB_WRITTEN };
struct job {
    uint64_t at_ms, order, boot;
    enum job_type type;
    struct local_event event;
    struct local_seen seen[8];
    char names[8][256];
    char name[256];
    char from[256];
    char text[64]; /* of the rules, or a target */
    uint8_t change;
    struct shown shown;
    struct fs_stat expect;
    uint64_t inode_changes, duration_ms;
    const struct inode *inode;
};

struct kept {
    uint8_t key[LOCAL_KEY_BYTES];
    struct buf data;
};

static struct {
    struct rng rng;
    struct disk disk;
    struct local_core *core;
    struct slab slab;
    struct fs_contents contents; /* of the catalogue, where it is shared */
    uint64_t boot, now_ms, order;
    struct job *jobs;
    struct kept kept[KEPT_MAX];
    struct kept undo[UNDO_MAX];
    unsigned jobs_n, kept_n, undo_n;
    bool undoing;
    struct shown *shown; /* by the index of the disk's name */
    unsigned shown_n;
    bool faults, blind;
    enum mode mode;
    enum away away;
    uint64_t away_until_ms, confirmed_ms;
    uint64_t deletes[DELETES_KEPT];
    unsigned deletes_n;
    /* of the scan under way */
    uint64_t scan_token;
    char stack[256][256];
    unsigned stack_n, at_entry;
    uint64_t scan_next_ms, scan_last_ms;
    struct fs_ignore *scan_ignore;
    uint64_t scan_boot;
    const char *wrong;
    char wrong_text[400];
} w;

static void step(const struct local_event *event);

static bool mutant_is_off(void)
{
#ifdef KITH_MUTANTS
    return mutant_on == MUTANT_NONE;
#else
    return true;
#endif
}

static void wrong(const char *what, const char *path)
{
    if (w.wrong != NULL)
        return;
    (void)snprintf(w.wrong_text, sizeof(w.wrong_text), "at %llu ms: %s: %s",
                   (unsigned long long)w.now_ms, what, path);
    w.wrong = w.wrong_text;
}

static bool one_in(uint64_t n)
{
    return rng_below(&w.rng, n) == 0;
}

static bool fault(uint64_t one_of)
{
    return w.faults && one_in(one_of);
}

/* ---- jobs ---- */

static struct job *job_new(enum job_type type, uint64_t delay_ms)
{
    assert_true(w.jobs_n < JOBS_MAX);
    struct job *job = &w.jobs[w.jobs_n++];
    *job = (struct job){
        .at_ms = w.now_ms + delay_ms, .order = w.order++, .boot = w.boot, .type = type};
    return job;
}

static struct fs_root_id root_now(void)
{
    struct fs_root_id id = {.device = 1, .inode = w.disk.root->number};
    if (w.away == MISSING)
        return (struct fs_root_id){0};
    if (w.away == OTHER)
        return (struct fs_root_id){.device = 2, .inode = 77};
    return id;
}

/* A directory on the way that cannot be looked into. */
static bool is_locked(const char *path)
{
    char above[256];
    for (size_t i = 0; path[i] != '\0'; i++) {
        if (path[i] != '/')
            continue;
        memcpy(above, path, i);
        above[i] = '\0';
        const struct inode *inode = disk_find(&w.disk, above);
        if (inode != NULL && inode->locked)
            return true;
    }
    return false;
}

static void fill_seen(struct local_seen *seen, const char *path, char text[64])
{
    const struct inode *inode = w.away == HERE ? disk_find(&w.disk, path) : NULL;

    *seen = (struct local_seen){.name = path, .name_len = strlen(path)};
    if (w.away == HERE && is_locked(path)) {
        seen->found = LOCAL_UNREADABLE;
        seen->text = "may not be read";
    } else if (w.away == OTHER && w.mode == SHARED && strcmp(path, "d0/a") == 0) {
        seen->found = LOCAL_FOUND; /* the other directory has such a file as well */
        seen->stat = (struct fs_stat){.kind = FS_FILE, .inode = 7, .mode = 0600, .mtime_ns = 1};
    } else if (inode == NULL) {
        seen->found = LOCAL_ABSENT;
    } else {
        disk_stat(&w.disk, inode, &seen->stat);
        (void)snprintf(text, 64, "%016llx", (unsigned long long)inode->bytes);
        seen->target = text;
        seen->target_len = 16;
    }
}

static void content_for(const struct shown *shown, uint64_t size, struct content *content_out)
{
    *content_out = (struct content){.size = size, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = 17};
    put_le64(content_out->root, shown->bytes);
}

/* ---- the watcher ---- */

static void touched(void *user, const char *path, unsigned touch)
{
    (void)user;
    if (w.blind || w.core == NULL || fault(15))
        return;
    for (unsigned n = fault(10) ? 2 : 1; n > 0; n--) {
        struct job *job = job_new(JOB_EVENT, rng_below(&w.rng, fault(10) ? 500 : 3));
        (void)snprintf(job->name, sizeof(job->name), "%s", path);
        job->event = (struct local_event){.type = LOCAL_TOUCHED, .touch = touch};
    }
    if (!fault(150))
        return;
    /* The queue runs over: what is in it is lost. */
    for (unsigned i = 0; i < w.jobs_n; i++)
        if (w.jobs[i].type == JOB_EVENT && w.jobs[i].event.type == LOCAL_TOUCHED)
            w.jobs[i].boot = 0;
    job_new(JOB_EVENT, 1)->event.type = LOCAL_OVERFLOW;
}

/* ---- the scanner ---- */

static const char *rules_text(uint64_t bytes)
{
    static const char *const texts[] = {"*.o\n", "a*\n!ab\n", "/d1/\n", "b\n"};
    return bytes == 0 ? "" : texts[bytes % 4];
}

static struct job *scan_job(enum local_event_type type)
{
    uint64_t at_ms = w.now_ms + rng_below(&w.rng, 5);
    struct job *job = job_new(JOB_EVENT, 0);

    if (at_ms < w.scan_last_ms)
        at_ms = w.scan_last_ms;
    w.scan_last_ms = at_ms;
    job->at_ms = at_ms;
    job->event = (struct local_event){.type = type, .token = w.scan_token, .root = root_now()};
    return job;
}

static void push(const char *path)
{
    assert_true(w.stack_n < 256);
    (void)snprintf(w.stack[w.stack_n++], 256, "%s", path);
}

static void scan_begin(const struct local_action *action)
{
    w.scan_token = action->token;
    w.scan_boot = w.boot;
    w.stack_n = 0;
    w.at_entry = 0;
    push(action->name);
    w.scan_next_ms = w.now_ms + rng_below(&w.rng, 20);
    w.scan_last_ms = w.now_ms;
}

static void scan_end(int code)
{
    struct job *job = scan_job(LOCAL_SCANNED);
    job->event.code = code;
    job->event.root_empty = w.away == EMPTY || w.disk.root->entries_n == 0;
    w.scan_token = 0;
}

/* A file of rules is told before what is beside it. */
static void scan_rules(const char *dir)
{
    char path[300];
    if (w.mode != SHARED)
        return;
    (void)snprintf(path, sizeof(path), "%s%s" FS_IGNORE_FILE, dir, dir[0] != '\0' ? "/" : "");
    const struct inode *inode = disk_find(&w.disk, path);
    const char *text = inode != NULL && inode->kind == FS_FILE ? rules_text(inode->bytes) : "";
    assert_int_equal(fs_ignore_set(w.scan_ignore, dir, text, strlen(text)), 0);
    struct job *job = scan_job(LOCAL_RULES);
    (void)snprintf(job->name, sizeof(job->name), "%s", dir);
    (void)snprintf(job->text, sizeof(job->text), "%s", text);
}

static void scan_entry(const char *dir, const struct entry *entry)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%.200s%s%s", dir, dir[0] != '\0' ? "/" : "", entry->name);
    if (fs_ignore_has_here(w.scan_ignore, path, entry->inode->kind == FS_DIRECTORY))
        return;
    struct job *job = scan_job(LOCAL_SEEN);
    (void)snprintf(job->names[0], sizeof(job->names[0]), "%s", path);
    fill_seen(&job->seen[0], job->names[0], job->text);
    if (job->seen[0].found == LOCAL_ABSENT) {
        w.jobs_n--;
        return;
    }
    job->event.n = 1;
    if (entry->inode->kind == FS_DIRECTORY && w.mode != ONE_LEVEL)
        push(path);
}

/* One portion of one directory. */
static void scan_some(void)
{
    struct inode *dir;
    char path[256];

    if (w.stack_n == 0) {
        scan_end(0);
        return;
    }
    (void)snprintf(path, sizeof(path), "%s", w.stack[w.stack_n - 1]);
    dir = w.away == HERE ? disk_find(&w.disk, path) : NULL;
    if (w.away != HERE || dir == NULL || dir->kind != FS_DIRECTORY) {
        bool first = w.stack_n == 1 && w.at_entry == 0;
        if (w.away == OTHER && w.mode == SHARED && first) {
            struct job *job = scan_job(LOCAL_SEEN);
            (void)snprintf(job->names[0], sizeof(job->names[0]), "d0/a");
            fill_seen(&job->seen[0], job->names[0], job->text);
            job->event.n = 1;
        }
        w.stack_n--;
        w.at_entry = 0;
        if (first && w.away != OTHER && (w.away != EMPTY || path[0] != '\0'))
            scan_end(KITH_E_NOT_FOUND);
        return;
    }
    if (dir->locked || is_locked(path)) {
        struct job *job = scan_job(LOCAL_SEEN);
        (void)snprintf(job->names[0], sizeof(job->names[0]), "%s", path);
        job->seen[0] = (struct local_seen){
            .name_len = strlen(path), .found = LOCAL_UNREADABLE, .text = "may not be read"};
        job->event.n = 1;
        w.stack_n--;
        return;
    }
    if (w.at_entry == 0) {
        dir->watched = !w.blind;
        scan_rules(path);
    }
    unsigned end = w.at_entry + 1 + (unsigned)rng_below(&w.rng, 5);
    for (; w.at_entry < end && w.at_entry < dir->entries_n; w.at_entry++) {
        unsigned depth = w.stack_n;
        scan_entry(path, &dir->entries[w.at_entry]);
        if (w.stack_n > depth) { /* what is found goes beneath what is being read */
            char found[256];
            memcpy(found, w.stack[w.stack_n - 1], 256);
            memmove(w.stack[1], w.stack[0], (size_t)(w.stack_n - 1) * 256);
            memcpy(w.stack[0], found, 256);
        }
    }
    if (w.at_entry >= dir->entries_n) {
        w.stack_n--;
        w.at_entry = 0;
    }
}

/* ---- what the machine wants ---- */

static struct shown *shown_of(const char *path)
{
    return &w.shown[disk_name(&w.disk, path) - w.disk.names];
}

static void check_deletion(const char *path, bool renamed)
{
    const struct disk_name *name = disk_name(&w.disk, path);
    unsigned lately = 0;

    if (w.mode != SHARED && (w.away != HERE || w.away_until_ms + 12000 > w.now_ms))
        return; /* it was not there, as far as anybody could see */
    if (name->present && name->absent_ms + 200 < name->published_ms)
        wrong("deleted, though it was there all the time", path);
    if (renamed || w.mode != SHARED)
        return;
    w.deletes[w.deletes_n++ % DELETES_KEPT] = w.now_ms;
    for (unsigned i = 0; i < w.deletes_n && i < DELETES_KEPT; i++)
        lately += w.deletes[i] + 1000 > w.now_ms;
    if (lately >= LOCAL_GONE_MIN && lately * 100 > (w.shown_n + lately) * 60 &&
        w.confirmed_ms + 30000 < w.now_ms)
        wrong("too many deletions at once", path);
}

static void publish(const struct local_action *action)
{
    struct job *job = job_new(JOB_DURABLE, rng_below(&w.rng, 50));

    (void)snprintf(job->name, sizeof(job->name), "%s", action->path);
    (void)snprintf(job->from, sizeof(job->from), "%s", action->from != NULL ? action->from : "");
    job->change = action->change;
    job->event.token = action->token;
    if (w.mode == ONE_LEVEL && strchr(action->path, '/') != NULL)
        wrong("told, though it lies in a directory", action->path);
    if (action->change == LOCAL_DELETED)
        check_deletion(action->path, false);
    if (action->change == LOCAL_RENAMED)
        check_deletion(action->from, true);
    if (action->change >= LOCAL_DELETED)
        return;
    job->shown = (struct shown){.kind = action->stat.kind,
                                .mode = action->stat.mode,
                                .mtime_ns = action->stat.mtime_ns,
                                .bytes = get_le64(action->content.root),
                                .size = action->content.size};
    if (action->stat.kind == FS_SYMLINK)
        job->shown.bytes = strtoull(action->target, NULL, 16);
    if (action->stat.kind == FS_FILE && !disk_had(&w.disk, action->path, job->shown.bytes))
        wrong("published what it never had in it", action->path);
    disk_name(&w.disk, action->path)->published_ms = w.now_ms;
}

static void durable(struct job *job)
{
    struct local_event event = {.type = LOCAL_PUBLISHED, .token = job->event.token};

    if (fault(20)) {
        event.code = KITH_E_LIMIT;
        event.text = "the disk is full";
    } else {
        w.undo_n = 0; /* what was kept before is as durable as this */
        struct shown *shown = shown_of(job->name);
        w.shown_n -= shown->kind != 0;
        *shown = job->shown;
        w.shown_n += shown->kind != 0;
        if (job->from[0] != '\0') {
            w.shown_n -= shown_of(job->from)->kind != 0;
            *shown_of(job->from) = (struct shown){0};
        }
    }
    struct job *answer = job_new(JOB_EVENT, rng_below(&w.rng, 20));
    answer->event = event;
}

/* What a crash may take back: it was not synced. */
static void undo_note(const struct local_action *action, const struct kept *kept)
{
    struct kept *undo = &w.undo[w.undo_n++ % UNDO_MAX];

    buf_deinit(&undo->data);
    memcpy(undo->key, action->key.data, LOCAL_KEY_BYTES);
    if (kept != NULL)
        assert_int_equal(buf_append(&undo->data, kept->data.data, kept->data.len), 0);
}

static void keep(const struct local_action *action)
{
    struct kept *kept = NULL;

    for (unsigned i = 0; i < w.kept_n && kept == NULL; i++)
        if (memcmp(w.kept[i].key, action->key.data, LOCAL_KEY_BYTES) == 0)
            kept = &w.kept[i];
    if (!w.undoing)
        undo_note(action, kept);
    if (action->data.data == NULL) {
        if (kept != NULL) {
            buf_deinit(&kept->data);
            *kept = w.kept[--w.kept_n];
        }
        return;
    }
    if (kept == NULL) {
        assert_true(w.kept_n < KEPT_MAX);
        kept = &w.kept[w.kept_n++];
        *kept = (struct kept){0};
        memcpy(kept->key, action->key.data, LOCAL_KEY_BYTES);
    }
    kept->data.len = 0;
    assert_int_equal(buf_append(&kept->data, action->data.data, action->data.len), 0);
}

static void hash_begin(struct job *job)
{
    const struct inode *inode = w.away == HERE ? disk_find(&w.disk, job->name) : NULL;
    uint64_t duration_ms = fault(3) ? rng_below(&w.rng, 300) : rng_below(&w.rng, 10);
    struct job *end = job_new(JOB_HASH_END, duration_ms);

    (void)snprintf(end->name, sizeof(end->name), "%s", job->name);
    end->event = (struct local_event){
        .type = LOCAL_HASHED, .token = job->event.token, .began_wall_ns = w.disk.wall_ns};
    if (inode == NULL || inode->kind != FS_FILE || is_locked(job->name)) {
        end->event.code = inode == NULL ? KITH_E_NOT_FOUND : KITH_E_IO;
        end->event.text = "may not be read";
        return;
    }
    if (fault(30)) {
        end->event.code = KITH_E_IO;
        end->event.text = "the disk is broken";
        return;
    }
    disk_stat(&w.disk, inode, &end->event.before);
    end->event.after = end->event.before;
    if (!fs_stat_same(&end->event.before, &job->expect)) {
        end->event.code = KITH_E_AGAIN;
        return;
    }
    end->inode = inode;
    end->inode_changes = inode->changes;
    end->shown.bytes = inode->bytes;
}

static void hash_end(struct job *job)
{
    const struct inode *inode = disk_find(&w.disk, job->name);

    if (job->inode != NULL && (inode == NULL || inode != job->inode)) {
        job->event.code = KITH_E_AGAIN; /* its links have changed, so has ctime */
        job->event.after.ctime_ns++;
        job->shown.bytes = GARBAGE;
    } else if (job->inode != NULL) {
        disk_stat(&w.disk, inode, &job->event.after);
        if (inode->changes != job->inode_changes)
            job->shown.bytes = GARBAGE;
        if (!fs_stat_same(&job->event.before, &job->event.after))
            job->event.code = KITH_E_AGAIN;
    }
    if (job->inode != NULL)
        content_for(&job->shown, job->event.before.size, &job->event.content);
    struct local_event event = job->event;
    step(&event);
}

static void do_action(const struct local_action *action)
{
    struct job *job;

    switch (action->type) {
    case LOCAL_SCAN:
        scan_begin(action);
        break;
    case LOCAL_LOOK:
        job = job_new(JOB_LOOK, rng_below(&w.rng, fault(5) ? 100 : 5));
        (void)snprintf(job->name, sizeof(job->name), "%s", action->name);
        job->event.token = action->token;
        break;
    case LOCAL_HASH:
        job = job_new(JOB_HASH_BEGIN, rng_below(&w.rng, 10));
        (void)snprintf(job->name, sizeof(job->name), "%s", action->name);
        job->event.token = action->token;
        job->expect = action->stat;
        break;
    case LOCAL_PUBLISH:
        publish(action);
        break;
    case LOCAL_PERSIST:
        keep(action);
        break;
    default:
        break;
    }
}

static void step(const struct local_event *event)
{
    struct local_event timed = *event;
    struct local_output out;

    timed.now_ms = w.now_ms;
    timed.wall_ns = w.disk.wall_ns;
    int r = local_step(w.core, &timed, &out);
    assert_true(r == 0 || r == KITH_E_NOT_FOUND);
    for (size_t i = 0; i < out.actions_n; i++)
        do_action(&out.actions[i]);
    if (mutant_is_off())
        local_check(w.core);
}

/* ---- the driver ---- */

static void look(struct job *job)
{
    struct job *answer = job_new(JOB_EVENT, rng_below(&w.rng, 5));

    (void)snprintf(answer->names[0], sizeof(answer->names[0]), "%s", job->name);
    answer->event = (struct local_event){
        .type = LOCAL_LOOKED, .token = job->event.token, .n = 1, .root = root_now()};
    fill_seen(&answer->seen[0], answer->names[0], answer->text);
    answer->event.root_empty =
        answer->seen[0].found == LOCAL_ABSENT && (w.away == EMPTY || w.disk.root->entries_n == 0);
}

static void deliver(struct job *job)
{
    struct local_event event = job->event;

    for (size_t i = 0; i < event.n; i++) {
        job->seen[i].name = job->names[i];
        job->seen[i].target = job->text;
    }
    event.seen = job->seen;
    event.name = job->name;
    event.name_len = strlen(job->name);
    event.data = (struct kith_bytes){job->text, strlen(job->text)};
    step(&event);
}

static void do_job(struct job *job)
{
    if (job->boot != w.boot || w.core == NULL)
        return;
    switch (job->type) {
    case JOB_LOOK:
        look(job);
        break;
    case JOB_HASH_BEGIN:
        hash_begin(job);
        break;
    case JOB_HASH_END:
        hash_end(job);
        break;
    case JOB_DURABLE:
        durable(job);
        break;
    default:
        deliver(job);
        break;
    }
}

static void start(void)
{
    struct local_config config = {.folder = 5,
                                  .share = "s",
                                  .rescan_ms = RESCAN_MS,
                                  .away_ms = 500,
                                  .retry_ms = 1000,
                                  .blind = w.blind,
                                  .tracks = w.mode != SHARED,
                                  .one_level = w.mode == ONE_LEVEL,
                                  .hashes_max = 4,
                                  .looks_max = 8,
                                  .publishing_max = 8,
                                  .contents = w.mode == SHARED ? &w.contents : NULL};
    w.boot++;
    assert_int_equal(local_new(&w.core, &config), 0);
    fs_ignore_free(w.scan_ignore);
    assert_int_equal(fs_ignore_new(&w.scan_ignore, w.mode != SHARED), 0);
    w.scan_token = 0;
    for (unsigned i = 0; i < w.kept_n; i++) {
        struct local_event event = {.type = LOCAL_RECALL,
                                    .key = {w.kept[i].key, LOCAL_KEY_BYTES},
                                    .data = {w.kept[i].data.data, w.kept[i].data.len}};
        step(&event);
    }
    for (unsigned i = 0; i < w.disk.names_n; i++) {
        const struct shown *shown = &w.shown[i];
        struct local_event event = {
            .type = LOCAL_OWNED,
            .name = w.disk.names[i].path,
            .name_len = strlen(w.disk.names[i].path),
            .before = {.kind = shown->kind, .mode = shown->mode, .mtime_ns = shown->mtime_ns}};
        if (shown->kind == FS_FILE)
            content_for(shown, shown->size, &event.content);
        if (shown->kind != 0)
            step(&event);
    }
    struct local_event event = {.type = LOCAL_START};
    step(&event);
}

static void unwatch_all(struct inode *inode)
{
    inode->watched = false;
    for (unsigned i = 0; i < inode->entries_n; i++)
        unwatch_all(inode->entries[i].inode);
}

static void end(void)
{
    local_free(w.core);
    w.core = NULL;
    assert_int_equal(w.contents.n, 0);
}

static void crash(void)
{
    end();
    unwatch_all(w.disk.root);
    w.jobs_n = 0;
    w.deletes_n = 0; /* what was deleted before is not remembered */
    w.undoing = true;
    for (uint64_t n = rng_below(&w.rng, UNDO_MAX); n > 0 && w.undo_n > 0; n--) {
        const struct kept *undo = &w.undo[--w.undo_n % UNDO_MAX];
        struct local_action action = {.key = {undo->key, LOCAL_KEY_BYTES},
                                      .data = {undo->data.data, undo->data.len}};
        keep(&action);
    }
    w.undo_n = 0;
    w.undoing = false;
}

/* What the node does with a version of another's (--sync). */
static void sync_write(const char *path, const char *temp)
{
    struct local_file file;
    struct fs_stat stat;
    const struct inode *inode = disk_find(&w.disk, path);

    if (w.mode != SHARED || w.core == NULL || w.away != HERE || is_locked(path) ||
        path[0] == '\0' || local_ignores(w.core, path, strlen(path), false) ||
        local_can_write(w.core, path, strlen(path), &file) != 0)
        return;
    if ((inode == NULL) != (file.stat.kind == 0) || (inode != NULL && inode->kind != FS_FILE))
        return;
    if (inode != NULL) {
        disk_stat(&w.disk, inode, &stat);
        if (!fs_stat_same(&stat, &file.stat))
            return;
    }
    if (!disk_make(&w.disk, temp, FS_FILE, 0))
        return;
    (void)disk_write(&w.disk, temp, editors_size(), false);
    if (!disk_rename(&w.disk, temp, path)) {
        (void)disk_remove(&w.disk, temp);
        return;
    }
    inode = disk_find(&w.disk, path);
    struct job *job = job_new(JOB_EVENT, rng_below(&w.rng, 50));
    job->event.type = LOCAL_WRITTEN;
    job->event.began_wall_ns = w.disk.wall_ns;
    (void)snprintf(job->name, sizeof(job->name), "%s", path);
    disk_stat(&w.disk, inode, &job->event.before);
    struct shown *shown = shown_of(path);
    w.shown_n += shown->kind == 0;
    *shown = (struct shown){.kind = FS_FILE,
                            .mode = inode->mode,
                            .mtime_ns = inode->mtime_ns,
                            .bytes = inode->bytes,
                            .size = inode->size};
    content_for(shown, inode->size, &job->event.content);
    disk_name(&w.disk, path)->published_ms = w.now_ms;
}

static void unlock_all(struct inode *inode)
{
    inode->locked = false;
    for (unsigned i = 0; i < inode->entries_n; i++)
        unlock_all(inode->entries[i].inode);
}

/* ---- the run ---- */

static void faults(void)
{
    if (w.away != HERE && w.now_ms >= w.away_until_ms)
        w.away = HERE;
    else if (w.away == HERE && one_in(6000)) {
        w.away = (enum away)(1 + rng_below(&w.rng, 3));
        w.away_until_ms = w.now_ms + rng_below(&w.rng, 8000);
    }
    if (w.mode == SHARED && one_in(8000)) {
        crash();
        start();
    }
    if (one_in(10000))
        w.disk.wall_ns += ((int64_t)rng_below(&w.rng, 7200) - 3600) * 1000000000;
}

static void confirm(void)
{
    struct local_stats stats;
    local_stats(w.core, &stats);
    /* Nobody confirms another directory: it is not the folder. */
    bool held = stats.state == LOCAL_HELD ||
                (strstr(stats.state_text, "is empty") != NULL && w.disk.root->entries_n == 0);
    if (!held || w.away != HERE || w.confirmed_ms + 5000 > w.now_ms || (w.faults && !one_in(3000)))
        return;
    struct local_event event = {.type = LOCAL_CONFIRM};
    w.confirmed_ms = w.now_ms;
    step(&event);
}

/* All that is due, in order. */
static void deliver_due(void)
{
    for (;;) {
        struct job *first = NULL;
        for (unsigned i = 0; i < w.jobs_n; i++)
            if (w.jobs[i].at_ms <= w.now_ms &&
                (first == NULL || w.jobs[i].at_ms < first->at_ms ||
                 (w.jobs[i].at_ms == first->at_ms && w.jobs[i].order < first->order)))
                first = &w.jobs[i];
        if (first == NULL)
            return;
        static struct job job; /* a step makes new ones */
        job = *first;
        *first = w.jobs[--w.jobs_n];
        do_job(&job);
    }
}

static void one_ms(void)
{
    w.now_ms++;
    w.disk.now_ms = w.now_ms;
    w.disk.wall_ns += 1000000;
    if (w.away == HERE) /* who edits sees the folder: nobody works in one that is away */
        editors_step(w.now_ms, w.faults);
    if (w.faults)
        faults();
    if (w.scan_token != 0 && w.scan_boot == w.boot && w.now_ms >= w.scan_next_ms) {
        scan_some();
        w.scan_next_ms = w.now_ms + rng_below(&w.rng, 4);
    }
    deliver_due();
    if (local_deadline_ms(w.core) <= w.now_ms) {
        struct local_event event = {.type = LOCAL_TICK};
        step(&event);
    }
    confirm();
}

static struct fs_ignore *true_rules;

static bool read_rules(void *user, const char *path, const struct inode *inode)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    char dir[256];
    (void)user;
    (void)snprintf(dir, sizeof(dir), "%.*s", slash != NULL ? (int)(slash - path) : 0, path);
    if (w.mode == SHARED && strcmp(name, FS_IGNORE_FILE) == 0 && inode->kind == FS_FILE) {
        const char *text = rules_text(inode->bytes);
        assert_int_equal(fs_ignore_set(true_rules, dir, text, strlen(text)), 0);
    }
    return true;
}

static bool compare_one(void *user, const char *path, const struct inode *inode)
{
    unsigned *n = user;
    const struct shown *shown = shown_of(path);
    if (fs_ignore_has(true_rules, path, inode->kind == FS_DIRECTORY) ||
        (w.mode == ONE_LEVEL && strchr(path, '/') != NULL))
        return true;
    (*n)++;
    if (shown->kind != inode->kind)
        wrong(shown->kind == 0 ? "not published" : "published as another kind", path);
    else if (inode->kind != FS_DIRECTORY && shown->bytes != inode->bytes)
        wrong("published with other bytes", path);
    else if (inode->kind != FS_SYMLINK && shown->mode != inode->mode)
        wrong("published with another mode", path);
    else if (inode->kind == FS_FILE && shown->mtime_ns != inode->mtime_ns)
        wrong("published with another time", path);
    return true;
}

static void compare(void)
{
    unsigned n = 0;
    assert_int_equal(fs_ignore_new(&true_rules, w.mode != SHARED), 0);
    disk_walk(&w.disk, read_rules, NULL);
    disk_walk(&w.disk, compare_one, &n);
    for (unsigned i = 0; i < w.disk.names_n; i++) {
        const struct inode *inode = disk_find(&w.disk, w.disk.names[i].path);
        bool ignored = inode != NULL &&
                       fs_ignore_has(true_rules, w.disk.names[i].path, inode->kind == FS_DIRECTORY);
        if (w.shown[i].kind != 0 && (inode == NULL || ignored))
            wrong("published, though it is not there", w.disk.names[i].path);
    }
    fs_ignore_free(true_rules);
}

static void populate(void)
{
    static const char *const dirs[] = {"d0", "d1", "d2", "d0/e", "d2/f", "d2/f/g"};
    char path[256];
    for (unsigned i = 0; i < 6; i++) {
        (void)disk_make(&w.disk, dirs[i], FS_DIRECTORY, 0);
        for (unsigned k = 0; k < 10; k++) {
            (void)snprintf(path, sizeof(path), "%s/%c", dirs[i], (char)('a' + k));
            (void)disk_make(&w.disk, path, FS_FILE, 0);
            (void)disk_write(&w.disk, path, editors_size(), false);
        }
    }
}

/* False, and why in w.wrong, if something was not as it must be. */
static bool run(uint64_t seed, enum mode mode)
{
    static const int64_t ticks_ns[] = {1000000, 4000000, 10000000, 1000000000, 2000000000};

    memset(&w, 0, sizeof(w));
    w.mode = mode;
    slab_init(&w.slab);
    fs_contents_init(&w.contents, &w.slab);
    rng_init(&w.rng, seed);
    disk_init(&w.disk, &w.rng, ticks_ns[rng_below(&w.rng, 5)], one_in(2));
    w.disk.wall_ns = 1700000000000000000;
    w.disk.touched = touched;
    editors_begin(&w.disk, &w.rng, 2000, sync_write);
    w.jobs = calloc(JOBS_MAX, sizeof(*w.jobs));
    w.shown = calloc(DISK_NAMES_MAX, sizeof(*w.shown));
    assert_true(w.jobs != NULL && w.shown != NULL);
    w.blind = one_in(6);
    populate();
    w.now_ms = 1000;
    start();
    w.faults = true;
    while (w.now_ms < FAULTS_MS && w.wrong == NULL)
        one_ms();
    w.faults = false;
    w.away = HERE;
    while (w.now_ms < FAULTS_MS + QUIET_MS && w.wrong == NULL) {
        one_ms();
        if (w.now_ms == FAULTS_MS + 22000)
            unlock_all(w.disk.root); /* those that were renamed while they were locked */
    }
    if (w.wrong == NULL)
        compare();
    struct local_stats stats;
    local_stats(w.core, &stats);
    if (stats.state != LOCAL_WATCHED || stats.gone != 0)
        wrong("does not end", stats.state_text);
    end();
    fs_contents_deinit(&w.contents);
    slab_deinit(&w.slab);
    disk_deinit(&w.disk);
    fs_ignore_free(w.scan_ignore);
    for (unsigned i = 0; i < w.kept_n; i++)
        buf_deinit(&w.kept[i].data);
    for (unsigned i = 0; i < UNDO_MAX; i++)
        buf_deinit(&w.undo[i].data);
    free(w.jobs);
    free(w.shown);
    return w.wrong == NULL;
}

#ifndef KITH_MUTANTS
static void run_all(enum mode mode, uint64_t default_n)
{
    const char *runs = getenv("KITH_TEST_RUNS");
    uint64_t n = runs != NULL ? strtoull(runs, NULL, 10) : default_n, seed = test_seed();

    for (uint64_t i = 0; i < n; i++)
        if (!run(seed + i, mode))
            fail_msg("seed %llu: %s", (unsigned long long)(seed + i), w.wrong);
}

static void what_is_published_is_what_is_there(void **state)
{
    (void)state;
    run_all(SHARED, 60);
}

static void what_is_told_of_a_tracked_folder_is_what_is_there(void **state)
{
    (void)state;
    run_all(TRACKED, 20);
}

static void what_is_told_of_one_level_is_what_is_there(void **state)
{
    (void)state;
    run_all(ONE_LEVEL, 10);
}
#define CASES                                                                                      \
    cmocka_unit_test(what_is_published_is_what_is_there),                                          \
        cmocka_unit_test(what_is_told_of_a_tracked_folder_is_what_is_there),                       \
        cmocka_unit_test(what_is_told_of_one_level_is_what_is_there)
#else
#define RUNS_MAX 400

/* The same runs fail without the rule @mutant, and do not with it. */
static void is_noticed(unsigned mutant)
{
    uint64_t seed = 1;

    for (; seed <= RUNS_MAX; seed++) {
        mutant_on = mutant;
        bool passes = run(seed, SHARED);
        mutant_on = MUTANT_NONE;
        if (!passes)
            break;
    }
    if (seed > RUNS_MAX)
        fail_msg("%s: not noticed", mutant_names[mutant]);
    print_message("# %s: seed %llu: %s\n", mutant_names[mutant], (unsigned long long)seed, w.wrong);
    if (!run(seed, SHARED))
        fail_msg("%s: seed %llu fails with the rule: %s", mutant_names[mutant],
                 (unsigned long long)seed, w.wrong);
}

#define NOTICED(name)                                                                              \
    static void name##_is_noticed(void **state)                                                    \
    {                                                                                              \
        (void)state;                                                                               \
        is_noticed(MUTANT_LOCAL_##name);                                                           \
    }
NOTICED(NO_CTIME)
NOTICED(TORN)
NOTICED(NO_RACY)
NOTICED(NO_OWNED)
NOTICED(ANY_ROOT)
NOTICED(NO_GUARD)
NOTICED(EMPTY_COUNTS)
NOTICED(UNREAD_IS_GONE)
NOTICED(SCAN_IS_PROOF)
#define CASES                                                                                      \
    cmocka_unit_test(NO_CTIME_is_noticed), cmocka_unit_test(TORN_is_noticed),                      \
        cmocka_unit_test(NO_RACY_is_noticed), cmocka_unit_test(NO_OWNED_is_noticed),               \
        cmocka_unit_test(ANY_ROOT_is_noticed), cmocka_unit_test(NO_GUARD_is_noticed),              \
        cmocka_unit_test(EMPTY_COUNTS_is_noticed), cmocka_unit_test(UNREAD_IS_GONE_is_noticed),    \
        cmocka_unit_test(SCAN_IS_PROOF_is_noticed)
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {CASES};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * PIN, UNPIN, EVICT, CACHE and VERIFY: what is done to all contents under a path, one after the
 * other.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_keep.h"
#include "node/fs_pins.h"
#include "node/fs_walk.h"
#include "node/internal.h"

/* The contents under a path, with what becomes of them. */
struct each {
    struct fs_op *op; /* NULL: given up; what is under way ends it */
    struct content *contents;
    bool fresh; /* PIN: it was not pinned before */
    size_t n, cap, next;
    struct fs_copy copy;
    struct fs_job job;
    struct fs_where where;
    bool copying, repairing;
    uint64_t all_bytes, done_bytes, read_bytes;
    uint64_t began_ms, told_ms;
    uint64_t counted_n, damaged_n, repaired_n;
    int code;
    char text[2600]; /* a path, and a sentence */
};

static void each_free(struct each *each)
{
    fs_where_deinit(&each->where);
    core_free(each->contents);
    core_free(each);
}

static int
each_add(void *user, struct kith_bytes share, struct kith_bytes path, const struct content *content)
{
    struct each *each = user;

    (void)share;
    (void)path;
    if (each->n == each->cap) {
        size_t cap = each->cap == 0 ? 64 : 2 * each->cap;
        struct content *contents = core_realloc(each->contents, cap * sizeof(*contents));
        if (contents == NULL)
            return KITH_E_MEMORY;
        each->contents = contents;
        each->cap = cap;
    }
    each->contents[each->n++] = *content;
    each->all_bytes += content->size;
    return 0;
}

static struct each *each_new(struct node_fs *fs, struct fs_op *op, void (*stop)(struct fs_op *))
{
    struct each *each = core_calloc(1, sizeof(*each));
    struct fs_entry entry;
    struct fs_ref ref;
    int r = each == NULL ? KITH_E_MEMORY : 0;

    if (r == 0 && op->op.path[0] == '\0') {
        r = fs_each_file(fs, (struct kith_bytes){"", 0}, (struct kith_bytes){"", 0}, each_add,
                         each);
    } else if (r == 0) {
        r = fs_find(fs, op->op.path, &ref, NULL, &entry);
        if (r == 0 && entry.has_content)
            r = each_add(each, ref.share, ref.path, &entry.content);
        else if (r == 0 && entry.kind == FS_DIRECTORY)
            r = fs_each_file(fs, ref.share, ref.path, each_add, each);
    }
    if (r != 0) {
        if (each != NULL)
            each_free(each);
        fs_op_fail(op, r, NULL);
        return NULL;
    }
    each->op = op;
    each->began_ms = node_now_ms();
    op->state = each;
    op->stop = stop;
    return each;
}

static void each_end(struct each *each)
{
    struct fs_op *op = each->op;

    if (op != NULL) {
        struct fs_box *box = each->code == 0 ? fs_box_new() : NULL;
        op->stop = NULL;
        if (box != NULL) {
            box->result.counted_n = each->counted_n;
            box->result.bytes = each->done_bytes;
            box->result.damaged_n = each->damaged_n;
            box->result.repaired_n = each->repaired_n;
            fs_op_done(op, box);
        } else {
            fs_op_fail(op, each->code != 0 ? each->code : KITH_E_MEMORY, each->text);
        }
    }
    each_free(each);
}

/* ---- PIN ---- */

/* What a pin is of: a path, whatever is there. */
static int pin_names(struct node_fs *fs, const char *text, struct fs_ref *ref)
{
    struct kith_node_id node, none = {{0}};
    struct fs_entry entry;

    *ref = (struct fs_ref){.share = {"", 0}, .path = {"", 0}};
    if (text[0] == '\0')
        return 0;
    int r = fs_find(fs, text, ref, &node, &entry);
    if (r == 0 && (entry.is_conflict || !kith_node_id_equal(&node, &none)))
        r = kith_fail_with(KITH_E_INVALID,
                           "%s names one version, and a pin is of a path, whatever is there: pin "
                           "the path without %s, or get the version (kith fs get)",
                           text, entry.is_conflict ? ".conflict-..." : "@NODE");
    return r;
}

static void pin_next(struct node_fs *fs, struct each *each);

static void on_pinned(struct node_fs *fs, struct fs_copy *copy, int code, const char *text)
{
    struct each *each = container_of(copy, struct each, copy);

    each->copying = false;
    if (code != 0) {
        each->code = code;
        snprintf(
            each->text, sizeof(each->text),
            "%s: %.*s; the pin stands, what is missing is fetched as soon as that can be (kith "
            "fs pin --remove ends it)",
            each->op->op.path, (int)(sizeof(each->text) / 2), text);
        each_end(each);
        return;
    }
    each->counted_n++;
    each->done_bytes += copy->content.size;
    pin_next(fs, each);
}

static void on_progress(struct node_fs *fs, struct fs_copy *copy)
{
    struct each *each = container_of(copy, struct each, copy);

    (void)fs;
    fs_op_progress(each->op, copy, each->done_bytes + copy->done_bytes, each->all_bytes,
                   each->began_ms, &each->told_ms);
}

static void pin_next(struct node_fs *fs, struct each *each)
{
    while (each->next < each->n) {
        const struct content *content = &each->contents[each->next++];
        if (fs_is_here(fs, content)) {
            each->counted_n++;
            each->done_bytes += content->size;
            continue;
        }
        each->copy = (struct fs_copy){.content = *content,
                                      .priority = FETCH_ORDINARY,
                                      .progress = on_progress,
                                      .waits = each->op->op.timeout_ms != 0,
                                      .done = on_pinned};
        each->copying = true;
        fs_keep_give_way(fs, content->root);
        fs_copy_start(fs, &each->copy);
        return;
    }
    each_end(each);
}

static void pin_stop(struct fs_op *op)
{
    struct each *each = op->state;
    struct node_fs *fs = op->node->fs;
    struct fs_ref ref;

    if (each->copying)
        (void)fs_copy_cancel(fs, &each->copy);
    if (each->fresh && !fs->stopping && pin_names(fs, op->op.path, &ref) == 0)
        (void)fs_pins_unpin(fs, ref.share, ref.path);
    each_free(each);
}

static void op_pin(struct node_fs *fs, struct fs_op *op)
{
    struct fs_ref ref;
    int r = pin_names(fs, op->op.path, &ref);
    struct each *each = NULL;

    if (r != 0)
        fs_op_fail(op, r, NULL);
    else
        each = each_new(fs, op, pin_stop);
    if (each == NULL)
        return;
    r = fs_pins_pin(fs, ref.share, ref.path, &each->fresh);
    if (r == 0) {
        pin_next(fs, each);
        return;
    }
    each->code = r;
    snprintf(each->text, sizeof(each->text), "%s: %s", op->op.path, kith_errmsg());
    each_end(each);
}

static void op_unpin(struct node_fs *fs, struct fs_op *op)
{
    struct fs_ref ref = {.share = {"", 0}, .whole = {"", 0}};
    struct fs_box *box = fs_box_new();
    int r = box == NULL ? KITH_E_MEMORY : 0;

    /* What is pinned need not be known now. */
    if (r == 0 && op->op.path[0] != '\0')
        r = fs_ref_parse(op->op.path, &ref);
    if (r == 0)
        r = fs_pins_unpin_all(fs, ref.share, ref.whole, &box->result.counted_n);
    if (r == 0) {
        fs_op_done(op, box);
        return;
    }
    fs_box_free(box);
    fs_op_fail(op, r, r == KITH_E_MEMORY ? kith_strerror(r) : NULL);
}

void fs_op_pin(struct node_fs *fs, struct fs_op *op)
{
    if (op->op.kind == KITH_FS_PIN)
        op_pin(fs, op);
    else
        op_unpin(fs, op);
}

/* ---- EVICT, CACHE ---- */

void fs_op_evict(struct node_fs *fs, struct fs_op *op)
{
    struct each *each = each_new(fs, op, NULL);

    if (each == NULL)
        return;
    for (size_t i = 0; i < each->n; i++) {
        struct cache_event event = {.type = CACHE_FORGET};
        uint64_t bytes = cache_bytes_of(fs->move->cache, each->contents[i].root);
        if (bytes == 0)
            continue;
        memcpy(event.root, each->contents[i].root, sizeof(event.root));
        fs_cache_event(fs, &event, NULL);
        each->counted_n++;
        each->done_bytes += bytes;
    }
    if (op->op.path[0] == '\0') /* also what nothing names any more */
        fs_cache_event(fs, &(struct cache_event){.type = CACHE_EMPTY}, NULL);
    each_end(each);
}

uint64_t node_fs_cached_bytes(const struct kith_node *node)
{
    struct cache_stats cache;

    if (node->fs == NULL || node->fs->move == NULL)
        return 0;
    cache_stats(node->fs->move->cache, &cache);
    return cache.memory_bytes + cache.disk_bytes;
}

void fs_op_cache(struct node_fs *fs, struct fs_op *op)
{
    struct fs_box *box = fs_box_new();
    struct kith_fs_cache_info *info = box != NULL ? arena_alloc(&box->arena, sizeof(*info)) : NULL;
    struct cache_stats cache;
    struct fetch_stats fetch;
    struct fs_pins_stats pins;

    if (info == NULL) {
        fs_box_free(box);
        fs_op_fail(op, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        return;
    }
    cache_stats(fs->move->cache, &cache);
    fetch_stats(fs->move->fetch, &fetch);
    fs_pins_stats(fs->pins, &pins);
    *info = (struct kith_fs_cache_info){
        .memory_bytes = cache.memory_bytes,
        .memory_bytes_max = cache.memory_bytes_max,
        .disk_bytes = cache.disk_bytes,
        .disk_bytes_max = cache.disk_bytes_max,
        .keep_bytes = fs->move->keep_bytes,
        .pinned_bytes = pins.bytes,
        .pins_n = pins.paths_n,
        .pinned_missing_bytes = pins.missing_bytes,
        .memory_hits = cache.memory_hits,
        .disk_hits = cache.disk_hits,
        .misses = cache.gets - cache.memory_hits - cache.disk_hits,
        .memory_used_percent = fs->move->memory_percent,
        .memory_mark_percent = config_u64(fs->node->config, "fs.memory_mark"),
        .fetching_n = fetch.contents,
        .fetching_bytes = fetch.bytes_held,
        .fetched_bytes = fetch.bytes_in,
        .reused_bytes = fs->move->reused_bytes,
    };
    box->result.cache = info;
    fs_op_done(op, box);
}

/* ---- VERIFY ---- */

static void verify_next(struct node_fs *fs, struct each *each);

static void on_repaired(struct node_fs *fs, struct fs_copy *copy, int code, const char *text)
{
    struct each *each = container_of(copy, struct each, copy);

    (void)text;
    each->copying = false;
    each->repaired_n += code == 0;
    verify_next(fs, each);
}

/* The record says that it is gone; then it is fetched from another. */
static void on_set_aside(struct node_fs *fs, void *user, const struct content *content, int code)
{
    struct each *each = user;

    if (each->op == NULL || code != 0 || fs->stopping) {
        each->repairing = false;
        if (each->op == NULL)
            each_free(each);
        else
            verify_next(fs, each);
        return;
    }
    each->repairing = false;
    each->copy = (struct fs_copy){
        .content = *content, .priority = FETCH_ORDINARY, .repairs = true, .done = on_repaired};
    each->copying = true;
    fs_keep_give_way(fs, content->root);
    fs_copy_start(fs, &each->copy);
}

static void verify_work(struct fs_job *job)
{
    struct each *each = container_of(job, struct each, job);

    each->code = fs_verify_where(job->fs, &each->where, &each->contents[each->next - 1], NULL,
                                 &each->read_bytes);
}

static void verify_done(struct node_fs *fs, struct fs_job *job)
{
    struct each *each = container_of(job, struct each, job);
    const struct content *content = &each->contents[each->next - 1];
    bool keep = each->where.keep;
    int code = each->code;

    fs_where_deinit(&each->where);
    each->code = 0;
    each->done_bytes += each->read_bytes;
    each->read_bytes = 0;
    if (each->op == NULL) {
        each_free(each);
        return;
    }
    each->counted_n++;
    if (code == KITH_E_AGAIN || code == KITH_E_CANCELED) { /* it is changing: no damage */
        verify_next(fs, each);
        return;
    }
    if (code != 0) {
        struct buf path = {0};
        fs_content_path(fs, content->root, &path);
        log_warn(&fs->node->log.log, "files", "a file on this node's disk is damaged", "path",
                 path.data != NULL ? (const char *)path.data : "?", "reason", kith_strerror(code),
                 NULL);
        buf_deinit(&path);
        each->damaged_n++;
        if (keep) {
            each->repairing = true;
            fs_keep_set_aside(fs, content, on_set_aside, each);
            return;
        }
    }
    verify_next(fs, each);
}

static void verify_next(struct node_fs *fs, struct each *each)
{
    fs_op_progress(each->op, NULL, each->done_bytes, each->all_bytes, each->began_ms,
                   &each->told_ms);
    while (each->next < each->n) {
        const struct content *content = &each->contents[each->next++];
        if (content->size == 0 || !fs_where_is(fs, content, &each->where))
            continue;
        each->job.work = verify_work;
        each->job.done = verify_done;
        fs_job_start(fs, &each->job);
        return;
    }
    each_end(each);
}

static void verify_stop(struct fs_op *op)
{
    struct each *each = op->state;

    each->op = NULL;
    if (each->copying) {
        (void)fs_copy_cancel(op->node->fs, &each->copy);
        each_free(each);
    }
    /* Else a thread or a publication is under way, and ends it. */
}

void fs_op_verify(struct node_fs *fs, struct fs_op *op)
{
    struct each *each = each_new(fs, op, verify_stop);

    if (each != NULL)
        verify_next(fs, each);
}

/*
 * Verbs about files and shares (kith/fs.h). Content travels as data beside the JSON; what is large
 * is asked for piece by piece (fs.read) or brought so (verbs_fs_stream.c), so that nobody has to
 * hold a whole file.
 */
#include "control/verbs_fs.h"

#include <string.h>

#include "control/control.h"
#include "control/request.h"
#include "core/alloc.h"
#include "core/error.h"

/* ---- entries and the like as JSON ---- */

void control_fs_put_entry(struct json *json, const struct kith_fs_entry *entry)
{
    json_object_begin(json);
    json_kv_text(json, "path", entry->path);
    json_kv_text(json, "kind", kith_fs_kind_text(entry->kind));
    json_kv_u64(json, "size", entry->size);
    json_kv_text(json, "hash", entry->hash);
    if (entry->modified_unix_ns > 0) { /* a share has no such time, nor has a folder in one */
        json_key(json, "modified");
        json_time_ms(json, entry->modified_unix_ns / 1000000);
    } else {
        json_kv_text(json, "modified", "");
    }
    json_key(json, "changed");
    json_time_ms(json, entry->changed_unix_ms);
    json_kv_u64(json, "mode", entry->mode);
    if (entry->kind == KITH_FS_SYMLINK)
        json_kv_text(json, "target", entry->target);
    if (entry->author_name[0] != '\0') {
        json_kv_text(json, "author", entry->author_name);
        json_kv_id(json, "author_id", &entry->author);
    }
    if (entry->author_address[0] != '\0')
        json_kv_text(json, "author_address", entry->author_address);
    json_key(json, "holders");
    json_array_begin(json);
    for (size_t i = 0; i < entry->holders_n; i++)
        json_text(json, entry->holders[i].name);
    json_array_end(json);
    json_key(json, "holders_alive");
    uint64_t alive_n = 0;
    for (size_t i = 0; i < entry->holders_n; i++)
        alive_n += entry->holders[i].alive;
    json_u64(json, alive_n);
    json_kv_bool(json, "here", entry->here);
    json_kv_bool(json, "cached", entry->cached);
    json_kv_bool(json, "pinned", entry->pinned);
    json_kv_u64(json, "conflicts", entry->conflicts_n);
    if (entry->conflict_of[0] != '\0')
        json_kv_text(json, "conflict_of", entry->conflict_of);
    json_object_end(json);
}

static void put_share(struct json *json, const struct kith_share_info *share)
{
    json_object_begin(json);
    json_kv_text(json, "name", share->name);
    json_kv_text(json, "folder", share->folder);
    if (share->folder[0] != '\0') {
        json_kv_text(json, "mode", kith_share_mode_text(share->mode));
        json_kv_text(json, "state", kith_share_state_text(share->state));
        json_kv_text(json, "state_text", share->state_text);
        json_kv_u64(json, "scanned", share->scanned_n);
    }
    json_kv_u64(json, "replicas", share->replicas);
    json_kv_u64(json, "entries", share->entries_n);
    json_kv_u64(json, "bytes", share->bytes);
    json_key(json, "nodes");
    json_array_begin(json);
    for (size_t i = 0; i < share->nodes_n; i++)
        json_text(json, share->nodes[i]);
    json_array_end(json);
    json_kv_u64(json, "problems_all", share->problems_all_n);
    json_key(json, "problems");
    json_array_begin(json);
    for (size_t i = 0; i < share->problems_n; i++) {
        json_object_begin(json);
        json_kv_text(json, "path", share->problems[i].path);
        json_kv_text(json, "text", share->problems[i].text);
        json_object_end(json);
    }
    json_array_end(json);
    json_object_end(json);
}

static void put_cache(struct json *json, const struct kith_fs_cache_info *cache)
{
    json_kv_u64(json, "memory_bytes", cache->memory_bytes);
    json_kv_u64(json, "memory_bytes_max", cache->memory_bytes_max);
    json_kv_u64(json, "disk_bytes", cache->disk_bytes);
    json_kv_u64(json, "disk_bytes_max", cache->disk_bytes_max);
    json_kv_u64(json, "keep_bytes", cache->keep_bytes);
    json_kv_u64(json, "pinned_bytes", cache->pinned_bytes);
    json_kv_u64(json, "pinned_missing_bytes", cache->pinned_missing_bytes);
    json_kv_u64(json, "pins", cache->pins_n);
    json_kv_u64(json, "memory_hits", cache->memory_hits);
    json_kv_u64(json, "disk_hits", cache->disk_hits);
    json_kv_u64(json, "misses", cache->misses);
    json_kv_u64(json, "memory_used_percent", cache->memory_used_percent);
    json_kv_u64(json, "memory_mark_percent", cache->memory_mark_percent);
    json_kv_u64(json, "fetching", cache->fetching_n);
    json_kv_u64(json, "fetching_bytes", cache->fetching_bytes);
    json_kv_u64(json, "fetched_bytes", cache->fetched_bytes);
    json_kv_u64(json, "reused_bytes", cache->reused_bytes);
}

/* Nodes that content came from. */
static void put_from(struct json *json, const struct kith_fs_source *from, size_t n)
{
    char digits[KITH_NODE_ID_DIGITS + 1];

    json_key(json, "from");
    json_array_begin(json);
    for (size_t i = 0; i < n; i++) {
        json_object_begin(json);
        json_kv_text(json, "id", kith_node_id_text(&from[i].node, digits));
        json_kv_text(json, "name", from[i].name);
        json_kv_u64(json, "bytes", from[i].bytes);
        json_kv_u64(json, "bytes_per_s", from[i].bytes_per_s);
        json_object_end(json);
    }
    json_array_end(json);
}

/* What a kind's result has beside its code. */
static void put_result(struct json *json, enum kith_fs_op_kind kind, const struct kith_fs_result *r)
{
    bool list = kind == KITH_FS_LIST || kind == KITH_FS_FIND || kind == KITH_FS_CONFLICTS;

    if (list) {
        json_key(json, "entries");
        json_array_begin(json);
        for (size_t i = 0; i < r->entries_n; i++)
            control_fs_put_entry(json, &r->entries[i]);
        json_array_end(json);
        if (r->next[0] != '\0')
            json_kv_text(json, "next", r->next);
    } else if (r->entries_n > 0) {
        json_key(json, "entry");
        control_fs_put_entry(json, &r->entries[0]);
    }
    if (r->ignored)
        json_kv_bool(json, "ignored", true);
    if (kind == KITH_FS_READ)
        json_kv_u64(json, "size", r->size);
    if (kind == KITH_FS_READ && r->from_n > 0)
        put_from(json, r->from, r->from_n);
    if (kind == KITH_FS_REMOVE || kind == KITH_FS_RESTORE || kind == KITH_FS_RESOLVE ||
        kind == KITH_FS_PIN || kind == KITH_FS_UNPIN || kind == KITH_FS_EVICT ||
        kind == KITH_FS_VERIFY)
        json_kv_u64(json, "count", r->counted_n);
    if (kind == KITH_FS_PIN || kind == KITH_FS_EVICT || kind == KITH_FS_VERIFY)
        json_kv_u64(json, "bytes", r->bytes);
    if (kind == KITH_FS_VERIFY) {
        json_kv_u64(json, "damaged", r->damaged_n);
        json_kv_u64(json, "repaired", r->repaired_n);
    }
    if (r->cache != NULL)
        put_cache(json, r->cache);
    if (kind != KITH_FS_SHARE_LIST)
        return;
    json_key(json, "shares");
    json_array_begin(json);
    for (size_t i = 0; i < r->shares_n; i++)
        put_share(json, &r->shares[i]);
    json_array_end(json);
}

/* ---- doing ---- */

struct doing {
    struct control_request *request;
    enum kith_fs_op_kind kind;
    uint64_t id;
};

void control_fs_reply(struct control_request *request,
                      enum kith_fs_op_kind kind,
                      const struct kith_fs_result *result)
{
    struct control_reply reply;

    if (result->code != 0) {
        control_fail(request, result->code, result->text);
        return;
    }
    control_reply_begin(&reply, request);
    put_result(&reply.json, kind, result);
    control_reply_end(&reply, false, result->data, result->len);
}

static void on_done(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct doing *doing = user;
    struct control_request *request = doing->request;

    (void)node;
    request->cancel = NULL;
    control_fs_reply(request, doing->kind, result);
    control_request_unref(request);
    core_free(doing);
}

static void on_progress(struct kith_node *node, const struct kith_fs_progress *progress, void *user)
{
    const struct doing *doing = user;
    struct control_reply reply;

    (void)node;
    if (doing->request->ended)
        return;
    control_reply_begin(&reply, doing->request);
    json_kv_u64(&reply.json, "done_bytes", progress->done_bytes);
    json_kv_u64(&reply.json, "all_bytes", progress->all_bytes);
    json_kv_u64(&reply.json, "bytes_per_s", progress->bytes_per_s);
    if (progress->left_ms != UINT64_MAX)
        json_kv_u64(&reply.json, "left_ms", progress->left_ms);
    json_kv_u64(&reply.json, "holders", progress->holders_n);
    put_from(&reply.json, progress->holders, progress->holders_n);
    json_kv_text(&reply.json, "text", progress->text);
    control_reply_end(&reply, true, NULL, 0);
}

static void on_cancel(struct control_request *request)
{
    const struct doing *doing = request->state;
    kith_fs_cancel(request->node, doing->id);
}

static void do_op(struct control_request *request, const struct kith_fs_op *op)
{
    struct doing *doing = core_calloc(1, sizeof(*doing));
    int r = doing != NULL ? 0 : KITH_E_MEMORY;

    if (r == 0) {
        doing->request = control_request_ref(request);
        doing->kind = op->kind;
        request->state = doing;
        request->cancel = on_cancel;
        r = kith_fs_do_async(request->node, op, on_done, doing, &doing->id);
        if (r != 0) {
            request->cancel = NULL;
            control_request_unref(request);
        }
    }
    if (r != 0) {
        core_free(doing);
        control_fail(request, r, NULL);
    }
}

/* What a page of a list comes to before its last entries: with them it is a line of the socket. */
#define PAGE_BYTES_MAX (64 * 1024)

struct kith_fs_op control_fs_op(struct control_request *request, enum kith_fs_op_kind kind)
{
    bool list = kind == KITH_FS_LIST || kind == KITH_FS_FIND || kind == KITH_FS_CONFLICTS;

    return (struct kith_fs_op){
        .kind = kind,
        .path = control_text(request, "path"),
        .pattern = control_text(request, "pattern"),
        .hash = control_text(request, "hash"),
        .after = control_text(request, "after"),
        .max = (uint32_t)control_u64(request, "max", 0),
        .data = request->data,
        .len = request->data_len,
        .offset = control_u64(request, "offset", 0),
        .count = list ? PAGE_BYTES_MAX : (size_t)control_u64(request, "count", 0),
        .recursive = control_bool(request, "recursive", false),
        .deleted = control_bool(request, "deleted", false),
        .trash = control_bool(request, "trash", false),
        .create_only = control_bool(request, "create_only", false),
        .many = control_bool(request, "many", false),
        .both = control_bool(request, "both", false),
        .any_case = control_bool(request, "any_case", false),
        .mode = (uint32_t)control_u64(request, "mode", 0),
        .modified_unix_ns = control_u64(request, "modified_ns", 0),
        .timeout_ms = control_u64(request, "timeout_ms", 0),
        .on_progress = control_bool(request, "progress", false) ? on_progress : NULL,
    };
}

/* ---- verbs ---- */

#define VERB(name, kind)                                                                           \
    static void name(struct control_request *request)                                              \
    {                                                                                              \
        struct kith_fs_op op = control_fs_op(request, kind);                                       \
        do_op(request, &op);                                                                       \
    }

VERB(fs_ls, KITH_FS_LIST)
VERB(fs_stat, KITH_FS_STAT)
VERB(fs_find, KITH_FS_FIND)
VERB(fs_read, KITH_FS_READ)
VERB(fs_write, KITH_FS_WRITE)
VERB(fs_append, KITH_FS_APPEND)
VERB(fs_rm, KITH_FS_REMOVE)
VERB(fs_restore, KITH_FS_RESTORE)
VERB(fs_conflicts, KITH_FS_CONFLICTS)
VERB(fs_keep, KITH_FS_RESOLVE)
VERB(fs_pin, KITH_FS_PIN)
VERB(fs_unpin, KITH_FS_UNPIN)
VERB(fs_evict, KITH_FS_EVICT)
VERB(fs_cache, KITH_FS_CACHE)
VERB(fs_verify, KITH_FS_VERIFY)

static void share_op(struct control_request *request, enum kith_fs_op_kind kind)
{
    static const char *const modes[] = {"plain", "read-only", "sync"};
    const char *mode = control_text(request, "mode");
    struct kith_fs_op op = {.kind = kind,
                            .path = control_text(request, "name"),
                            .local = control_text(request, "folder"),
                            .share.replicas = (uint32_t)control_u64(request, "replicas", 0)};
    size_t at = 0;

    while (mode != NULL && at < 3 && strcmp(mode, modes[at]) != 0)
        at++;
    if (at == 3) {
        control_fail(request, KITH_E_INVALID, "a share's mode is plain, read-only or sync");
        return;
    }
    op.share.mode = (enum kith_share_mode)at;
    do_op(request, &op);
}

static void share_add(struct control_request *request)
{
    if (control_text(request, "folder") == NULL) {
        control_fail(request, KITH_E_INVALID, "\"folder\" is the absolute path that is shared");
        return;
    }
    share_op(request, KITH_FS_SHARE_ADD);
}

static void share_rm(struct control_request *request)
{
    share_op(request, KITH_FS_SHARE_RM);
}

static void share_ls(struct control_request *request)
{
    share_op(request, KITH_FS_SHARE_LIST);
}

static void share_confirm(struct control_request *request)
{
    share_op(request, KITH_FS_SHARE_CONFIRM);
}

const struct control_verb control_verbs_fs[] = {
    {.name = "share.add", .run = share_add},
    {.name = "share.rm", .run = share_rm},
    {.name = "share.ls", .run = share_ls},
    {.name = "share.confirm", .run = share_confirm},
    {.name = "fs.ls", .run = fs_ls},
    {.name = "fs.stat", .run = fs_stat},
    {.name = "fs.find", .run = fs_find},
    {.name = "fs.read", .run = fs_read},
    {.name = "fs.write", .run = fs_write},
    {.name = "fs.append", .run = fs_append},
    {.name = "fs.rm", .run = fs_rm},
    {.name = "fs.restore", .run = fs_restore},
    {.name = "fs.conflicts", .run = fs_conflicts},
    {.name = "fs.keep", .run = fs_keep},
    {.name = "fs.pin", .run = fs_pin},
    {.name = "fs.unpin", .run = fs_unpin},
    {.name = "fs.evict", .run = fs_evict},
    {.name = "fs.cache", .run = fs_cache},
    {.name = "fs.verify", .run = fs_verify},
    {0},
};

/*
 * Files for programs (kith/fs.h): from the public functions, on any thread, to an operation on the
 * loop and back to a callback.
 */
#include "node/fs.h"

#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/internal.h"
#include "node/uv_fs.h"

/* ---- words ---- */

static const char *word(const char *const *words, size_t n, unsigned at)
{
    return at < n && words[at] != NULL ? words[at] : "unknown";
}
#define WORD(words, at) word(words, sizeof(words) / sizeof((words)[0]), (unsigned)(at))

const char *kith_fs_kind_text(enum kith_fs_kind kind)
{
    static const char *const words[] = {NULL, "file", "directory", "symlink", "deleted", "share"};
    return WORD(words, kind);
}

const char *kith_share_mode_text(enum kith_share_mode mode)
{
    static const char *const words[] = {"plain", "read-only", "sync"};
    return WORD(words, mode);
}

const char *kith_share_state_text(enum kith_share_state state)
{
    static const char *const words[] = {NULL, "scanning", "watched", "away", "held"};
    return WORD(words, state);
}

const char *kith_fs_change_text(enum kith_fs_change_type type)
{
    static const char *const words[] = {NULL,         "created", "modified", "renamed",
                                        "attributes", "deleted", "conflict", "resolved"};
    return WORD(words, type);
}

/* ---- results ---- */

struct fs_box *fs_box_new(void)
{
    struct fs_box *box = core_calloc(1, sizeof(*box));

    if (box != NULL) {
        box->result.text = "";
        box->result.next = "";
    }
    return box;
}

void fs_box_free(struct fs_box *box)
{
    if (box == NULL)
        return;
    arena_deinit(&box->arena);
    core_free(box);
}

const char *fs_box_text(struct fs_box *box, const char *text)
{
    size_t len = text != NULL ? strlen(text) : 0;
    char *copy = arena_alloc(&box->arena, len + 1);

    if (copy != NULL)
        memcpy(copy, text != NULL ? text : "", len + 1);
    return copy;
}

void kith_fs_result_free(struct kith_fs_result *result)
{
    if (result != NULL)
        fs_box_free(container_of(result, struct fs_box, result));
}

static void op_tell(struct fs_op *op, const struct kith_fs_result *result)
{
    struct kith_node *node = op->node;
    uint64_t began_ns = node_callback_begin(node);

    if (list_linked(&op->link)) {
        list_remove(&op->link);
        map64_remove(&node->fs->ops, op->id);
    }
    op->cb(node, result, op->user);
    node_callback_end(node, began_ns, "file", op->op.path);
    core_free(op);
}

static void on_waited(struct kith_node *node, const struct kith_fs_result *result, void *user);

void fs_op_done(struct fs_op *op, struct fs_box *box)
{
    /* Who waits frees it, perhaps before op_tell() is back. */
    bool is_taken = op->cb == on_waited;

    op_tell(op, &box->result);
    if (!is_taken)
        fs_box_free(box);
}

void fs_op_fail(struct fs_op *op, int code, const char *text)
{
    char copy[1024];

    if (text == NULL)
        text = kith_errmsg()[0] != '\0' ? kith_errmsg() : kith_strerror(code);
    snprintf(copy, sizeof(copy), "%.1000s", text);
    op_tell(op, &(struct kith_fs_result){.code = code, .text = copy, .next = ""});
}

/* ---- operations ---- */

static bool is_absolute(const char *path)
{
    return path != NULL && path[0] == '/';
}

static int lacks(const char *what)
{
    return kith_fail_with(KITH_E_INVALID, "this operation on files needs %s", what);
}

/* What a kind needs beside its path. */
static int check_kind(const struct kith_fs_op *op)
{
    bool local = op->kind == KITH_FS_GET || op->kind == KITH_FS_PUT ||
                 (op->kind == KITH_FS_SHARE_ADD && op->local != NULL);
    bool pathless = op->kind == KITH_FS_LIST || op->kind == KITH_FS_FIND ||
                    op->kind == KITH_FS_CONFLICTS || op->kind == KITH_FS_CACHE ||
                    op->kind == KITH_FS_VERIFY || op->kind == KITH_FS_EVICT ||
                    op->kind == KITH_FS_SHARE_LIST;

    if (op->kind < KITH_FS_LIST || op->kind > KITH_FS_SHARE_CONFIRM)
        return kith_fail_with(KITH_E_INVALID, "%d is no operation on files", (int)op->kind);
    if (!pathless && (op->path == NULL || op->path[0] == '\0'))
        return lacks("a path");
    if (local && !is_absolute(op->local))
        return lacks("an absolute path of this machine");
    if (op->kind == KITH_FS_FIND && (op->pattern == NULL || op->pattern[0] == '\0'))
        return lacks("a pattern");
    if (op->hash != NULL && strlen(op->hash) != KITH_FS_HASH_DIGITS)
        return lacks("a hash of 64 hex digits");
    if (op->len > KITH_FS_DATA_BYTES_MAX || op->count > KITH_FS_DATA_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE,
                              "%s: 16 MiB at a time are the limit; read or write it in pieces",
                              op->path);
    return op->share.mode > KITH_SHARE_SYNC || op->share.replicas > FS_COPIES_MAX
               ? kith_fail_with(KITH_E_INVALID, "a share has 1 to %d replicas", FS_COPIES_MAX)
               : 0;
}

int node_fs_check_op(const struct kith_fs_op *op)
{
    /* A share's name, the path, "@" and a node; and a conflict's part. */
    size_t path_max = KITH_FS_PATH_BYTES_MAX + 3 * (KITH_NAME_BYTES_MAX + 1);

    if (op->path != NULL && strlen(op->path) > path_max)
        return kith_fail_with(KITH_E_NAME, "a path of %zu bytes: 1,024 are the limit",
                              strlen(op->path));
    return check_kind(op);
}

static size_t text_bytes(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

static const char *text_copy(char **at, const char *text)
{
    size_t bytes = text_bytes(text);
    char *copy = *at;

    if (text == NULL)
        return NULL;
    memcpy(copy, text, bytes);
    *at += bytes;
    return copy;
}

int fs_op_new(struct kith_node *node,
              const struct kith_fs_op *from,
              kith_fs_cb cb,
              void *user,
              struct fs_op **op_out)
{
    size_t bytes = text_bytes(from->path != NULL ? from->path : "") + text_bytes(from->local) +
                   text_bytes(from->pattern) + text_bytes(from->hash) + text_bytes(from->after) +
                   from->len;
    struct fs_op *op = core_calloc(1, sizeof(*op) + bytes);
    char *at;

    if (op == NULL)
        return KITH_E_MEMORY;
    at = op->bytes;
    op->node = node;
    op->op = *from;
    op->op.path = text_copy(&at, from->path != NULL ? from->path : "");
    op->op.local = text_copy(&at, from->local);
    op->op.pattern = text_copy(&at, from->pattern);
    op->op.hash = text_copy(&at, from->hash);
    op->op.after = text_copy(&at, from->after);
    if (from->len > 0)
        op->op.data = memcpy(at, from->data, from->len);
    op->id = atomic_fetch_add(&node->fs->next_id, 1) + 1;
    op->cb = cb;
    op->user = user;
    *op_out = op;
    return 0;
}

int fs_op_enlist(struct node_fs *fs, struct fs_op *op)
{
    op->deadline_ms = op->op.timeout_ms != 0 ? node_now_ms() + op->op.timeout_ms : UINT64_MAX;
    if (map64_set(&fs->ops, op->id, op) != 0)
        return KITH_E_MEMORY;
    list_append(&fs->running, &op->link);
    return 0;
}

static void op_run(struct kith_node *node, struct node_request *request)
{
    struct fs_op *op = container_of(request, struct fs_op, request);

    kith_errmsg_clear();
    if (node->ending)
        fs_op_fail(op, KITH_E_STOPPED, "the node stops");
    else if (fs_op_enlist(node->fs, op) != 0)
        fs_op_fail(op, KITH_E_MEMORY, NULL);
    else
        node_fs_op_run(node, op);
}

int kith_fs_do_async(struct kith_node *node,
                     const struct kith_fs_op *op,
                     kith_fs_cb cb,
                     void *user,
                     uint64_t *id_out)
{
    struct fs_op *copy;
    int r = node->fs == NULL ? node_fs_absent() : node_fs_check_op(op);

    if (r == 0)
        r = fs_op_new(node, op, cb, user, &copy);
    if (r != 0)
        return r;
    if (!node_enter(node)) {
        core_free(copy);
        return KITH_E_STOPPED;
    }
    copy->request.run = op_run;
    if (id_out != NULL)
        *id_out = copy->id;
    node_push(node, &copy->request);
    node_exit(node);
    return 0;
}

/* A second is near enough: what takes long is told by its progress. */
void fs_ops_tick(struct node_fs *fs)
{
    uint64_t now_ms = node_now_ms();

    struct list *it = fs->running.next;

    while (it != &fs->running) {
        struct fs_op *op = container_of(it, struct fs_op, link);
        char text[1400];
        it = it->next;
        if (op->deadline_ms > now_ms)
            continue;
        snprintf(text, sizeof(text),
                 "%s: its time is over; what was fetched so far is kept, ask again", op->op.path);
        if (op->stop != NULL)
            op->stop(op);
        fs_op_fail(op, KITH_E_TIMEOUT, text);
        it = fs->running.next; /* its callback may have ended others */
    }
}

/* ---- giving up ---- */

static void cancel_run(struct kith_node *node, void *arg)
{
    uint64_t *id = arg;
    struct fs_op *op = map64_find(&node->fs->ops, *id);

    core_free(id);
    if (op == NULL)
        return;
    if (op->stop != NULL)
        op->stop(op);
    fs_op_fail(op, KITH_E_CANCELED, "cancelled");
}

void kith_fs_cancel(struct kith_node *node, uint64_t id)
{
    uint64_t *copy = node->fs != NULL ? core_malloc(sizeof(*copy)) : NULL;

    if (copy == NULL)
        return;
    *copy = id;
    if (node_post(node, cancel_run, copy) != 0)
        core_free(copy);
}

/* ---- waiting ---- */

struct waiting {
    sem_t done;
    struct fs_box *box;
    int code;
    char text[1024];
};

static void on_waited(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct waiting *waiting = user;

    (void)node;
    waiting->code = result->code;
    if (result->code != 0) {
        snprintf(waiting->text, sizeof(waiting->text), "%s", result->text);
    } else {
        /* Results without a code are always in a box of ours. */
        waiting->box =
            container_of((struct kith_fs_result *)(uintptr_t)result, struct fs_box, result);
    }
    sem_post(&waiting->done);
}

int kith_fs_do(struct kith_node *node,
               const struct kith_fs_op *op,
               struct kith_fs_result **result_out)
{
    struct waiting waiting = {.code = 0};

    if (node_on_loop(node))
        return node_fail_would_deadlock("kith_fs_do");
    sem_init(&waiting.done, 0, 0);
    int r = kith_fs_do_async(node, op, on_waited, &waiting, NULL);
    if (r == 0)
        node_sem_wait(&waiting.done);
    sem_destroy(&waiting.done);
    if (r != 0 || waiting.code != 0)
        return r != 0 ? r : kith_fail_with(waiting.code, "%s", waiting.text);
    if (result_out != NULL)
        *result_out = &waiting.box->result;
    else
        fs_box_free(waiting.box);
    return 0;
}

int kith_fs_list(struct kith_node *node, const char *path, struct kith_fs_result **result_out)
{
    return kith_fs_do(node, &(struct kith_fs_op){.kind = KITH_FS_LIST, .path = path}, result_out);
}

int kith_fs_stat(struct kith_node *node, const char *path, struct kith_fs_result **result_out)
{
    return kith_fs_do(node, &(struct kith_fs_op){.kind = KITH_FS_STAT, .path = path}, result_out);
}

int kith_fs_get(struct kith_node *node, const char *path, const char *file)
{
    struct kith_fs_op op = {.kind = KITH_FS_GET, .path = path, .local = file};
    return kith_fs_do(node, &op, NULL);
}

int kith_fs_put(struct kith_node *node, const char *file, const char *path)
{
    struct kith_fs_op op = {.kind = KITH_FS_PUT, .path = path, .local = file};
    return kith_fs_do(node, &op, NULL);
}

int kith_fs_append(struct kith_node *node, const char *path, const void *data, size_t len)
{
    struct kith_fs_op op = {.kind = KITH_FS_APPEND, .path = path, .data = data, .len = len};
    return kith_fs_do(node, &op, NULL);
}

int kith_fs_remove(struct kith_node *node, const char *path)
{
    return kith_fs_do(node, &(struct kith_fs_op){.kind = KITH_FS_REMOVE, .path = path}, NULL);
}

int kith_fs_read(struct kith_node *node,
                 const char *path,
                 const char *hash,
                 uint64_t offset,
                 void *buffer,
                 size_t bytes,
                 size_t *len_out)
{
    struct kith_fs_op op = {
        .kind = KITH_FS_READ, .path = path, .hash = hash, .offset = offset, .count = bytes};
    struct kith_fs_result *result;
    int r = kith_fs_do(node, &op, &result);

    if (r != 0)
        return r;
    if (result->len > 0)
        memcpy(buffer, result->data, result->len);
    *len_out = result->len;
    kith_fs_result_free(result);
    return 0;
}

/*
 * Telling programs of changes of the catalogue (kith_fs_watch).
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/internal.h"
#include "node/uv_fs.h"

struct fs_watch {
    struct list link;
    struct node_request request;
    int64_t no;
    kith_fs_change_cb cb;
    void *user;
    struct fs_tracked *tracked; /* of kith_fs_track */
    size_t path_len;
    char path[]; /* SHARE/dir, or "" */
};

/* ---- beginning and end ---- */

static void begin_run(struct kith_node *node, struct node_request *request)
{
    struct fs_watch *watch = container_of(request, struct fs_watch, request);

    if (node->ending) {
        core_free(watch);
        return;
    }
    list_append(&node->fs->watches, &watch->link);
}

/* A trailing '/' is dropped, and each name looked at. */
static int check_path(const char *path, size_t *len_out)
{
    struct fs_ref ref;
    size_t len = strlen(path);

    while (len > 0 && path[len - 1] == '/')
        len--;
    *len_out = len;
    return len == 0 ? 0 : fs_ref_parse(path, &ref);
}

int64_t kith_fs_watch(struct kith_node *node, const char *path, kith_fs_change_cb cb, void *user)
{
    size_t len = 0;
    int r = node->fs == NULL ? node_fs_absent() : check_path(path != NULL ? path : "", &len);

    if (r != 0)
        return r;
    if (atomic_fetch_add(&node->fs->watches_n, 1) >= FS_WATCHES_MAX) {
        atomic_fetch_sub(&node->fs->watches_n, 1);
        return kith_fail_with(KITH_E_LIMIT, "%d watches of files are the limit of a node; end some",
                              FS_WATCHES_MAX);
    }
    struct fs_watch *watch = core_calloc(1, sizeof(*watch) + len + 1);
    if (watch == NULL || !node_enter(node)) {
        r = watch == NULL ? KITH_E_MEMORY : KITH_E_STOPPED;
        atomic_fetch_sub(&node->fs->watches_n, 1);
        core_free(watch);
        return r;
    }
    int64_t no = atomic_fetch_add(&node->fs->next_watch, 1) + 1;
    watch->no = no;
    watch->cb = cb;
    watch->user = user;
    watch->path_len = len;
    if (len > 0)
        memcpy(watch->path, path, len);
    watch->request.run = begin_run;
    node_push(node, &watch->request);
    node_exit(node);
    return no;
}

struct unwatch {
    struct node_request request;
    int64_t no;
};

static void end_now(struct node_fs *fs, int64_t no)
{
    fs_track_end(fs, no);
    list_for_each_safe (it, &fs->watches) {
        struct fs_watch *watch = container_of(it, struct fs_watch, link);
        if (watch->no != no)
            continue;
        if (fs->watch_next == it) /* inside a callback */
            fs->watch_next = it->next;
        list_remove(it);
        core_free(watch);
        atomic_fetch_sub(&fs->watches_n, 1);
    }
}

static void end_run(struct kith_node *node, struct node_request *request)
{
    struct unwatch *unwatch = container_of(request, struct unwatch, request);

    end_now(node->fs, unwatch->no);
    core_free(unwatch);
}

void kith_fs_unwatch(struct kith_node *node, int64_t watch_no)
{
    if (node->fs == NULL)
        return;
    if (node_on_loop(node)) {
        end_now(node->fs, watch_no);
        /* One that has not begun yet is behind us in the queue. */
    }
    struct unwatch *unwatch = core_calloc(1, sizeof(*unwatch));
    if (unwatch == NULL)
        return;
    unwatch->no = watch_no;
    unwatch->request.run = end_run;
    if (!node_enter(node)) {
        core_free(unwatch);
        return;
    }
    node_push(node, &unwatch->request);
    node_exit(node);
}

void fs_watches_deinit(struct node_fs *fs)
{
    struct list *first;

    while ((first = list_first(&fs->watches)) != NULL) {
        list_remove(first);
        core_free(container_of(first, struct fs_watch, link));
    }
}

/* ---- telling ---- */

static bool is_below(const struct fs_watch *watch, const char *path, size_t len)
{
    return watch->path_len == 0 ||
           (len >= watch->path_len && memcmp(path, watch->path, watch->path_len) == 0 &&
            (path[watch->path_len] == '\0' || path[watch->path_len] == '/'));
}

static enum kith_fs_change_type type_of(enum catalogue_what what)
{
    switch (what) {
    case FS_CREATED:
        return KITH_FS_CREATED;
    case FS_ATTRIBUTES:
        return KITH_FS_ATTRIBUTES;
    case FS_RENAMED:
        return KITH_FS_RENAMED;
    case FS_REMOVED:
        return KITH_FS_DELETED_NOW;
    case FS_CONFLICTED:
        return KITH_FS_CONFLICTED;
    case FS_RESOLVED:
        return KITH_FS_RESOLVED;
    default:
        return KITH_FS_MODIFIED;
    }
}

/* What all watchers of a change are told; made once, when the first of them is found. */
struct telling {
    struct fs_box *box;
    struct kith_fs_change change;
    char path[FS_SHARE_BYTES_MAX + FS_PATH_BYTES_MAX + 2];
    char from[FS_SHARE_BYTES_MAX + FS_PATH_BYTES_MAX + 2];
};

static bool make(struct node_fs *fs, const struct catalogue_change *change, struct telling *telling)
{
    struct kith_bytes share = {change->share, strlen(change->share)};
    struct kith_bytes path = {change->path, strlen(change->path)};
    struct kith_fs_entry *out;
    struct fs_entry entry;
    char digits[KITH_NODE_ID_DIGITS + 1];

    telling->box = fs_box_new();
    out = telling->box != NULL ? arena_alloc(&telling->box->arena, sizeof(*out)) : NULL;
    if (out == NULL)
        return false;
    telling->change = (struct kith_fs_change){.type = type_of(change->what),
                                              .path = telling->path,
                                              .from = telling->from,
                                              .author_name = ""};
    if (fs_catalogue_stat(fs->catalogue, share, path, &entry) == 0 && change->what != FS_REMOVED &&
        fs_entry_fill(fs, telling->box, share, path, &entry, true, out) == 0)
        telling->change.entry = out;
    if (change->after != NULL) {
        struct fs_version version;
        fs_known_version(fs->catalogue, change->after, &version);
        telling->change.author = version.author.node;
        telling->change.author_name =
            fs_box_text(telling->box, fs_node_name(fs, &version.author.node, digits));
        if (telling->change.author_name == NULL)
            return false;
    }
    return true;
}

void fs_watch_tell(struct node_fs *fs, const struct catalogue_change *change)
{
    struct telling telling = {.box = NULL};
    size_t len, from_len;

    if (list_empty(&fs->watches))
        return;
    len = (size_t)snprintf(telling.path, sizeof(telling.path), "%s%s%s", change->share,
                           change->path[0] != '\0' ? "/" : "", change->path);
    from_len = change->from_path == NULL
                   ? 0
                   : (size_t)snprintf(telling.from, sizeof(telling.from), "%s/%s", change->share,
                                      change->from_path);
    for (struct list *it = fs->watches.next; it != &fs->watches; it = fs->watch_next) {
        struct fs_watch *watch = container_of(it, struct fs_watch, link);
        fs->watch_next = it->next;
        if (!is_below(watch, telling.path, len) &&
            (from_len == 0 || !is_below(watch, telling.from, from_len)))
            continue;
        if (telling.box == NULL && !make(fs, change, &telling))
            break;
        uint64_t began_ns = node_callback_begin(fs->node);
        watch->cb(fs->node, &telling.change, watch->user);
        node_callback_end(fs->node, began_ns, "watch of files", telling.path);
    }
    fs_box_free(telling.box);
}

/*
 * The tree of what is known: found by directory and name, by inode, and in order.
 */
#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "fs/local_internal.h"
#include "fs/name.h"
#include "kith/error.h"

/* ---- by directory and name ---- */

static size_t
bucket_of(const struct local_core *core, uint32_t serial, const char *name, size_t len)
{
    return hash_bytes(name, len, serial) & (core->buckets_n - 1);
}

struct node *
tree_child(const struct local_core *core, const struct node *dir, const char *name, size_t len)
{
    struct node *node;

    if (core->buckets_n == 0)
        return NULL;
    node = core->buckets[bucket_of(core, dir->serial, name, len)];
    while (node != NULL &&
           (node->parent != dir || node->name_len != len || memcmp(node->name, name, len) != 0))
        node = node->in_bucket;
    return node;
}

/* ---- by inode ---- */

static struct node **inodes_of(const struct local_core *core, uint64_t inode)
{
    return &core->inodes[map64_hash(inode) & (core->buckets_n - 1)];
}

struct node *tree_of_inode(const struct local_core *core, uint64_t inode, const struct node *behind)
{
    struct node *node = behind != NULL         ? behind->next_inode
                        : core->buckets_n != 0 ? *inodes_of(core, inode)
                                               : NULL;

    while (node != NULL && node->inode != inode)
        node = node->next_inode;
    return node;
}

static void forget_inode(struct local_core *core, struct node *node)
{
    struct node **at;

    if (node->inode == 0 || core->buckets_n == 0)
        return;
    at = inodes_of(core, node->inode);
    while (*at != NULL && *at != node)
        at = &(*at)->next_inode;
    if (*at == node)
        *at = node->next_inode;
    node->next_inode = NULL;
}

static void learn_inode(struct local_core *core, struct node *node)
{
    struct node **at;

    if (node->inode == 0 || core->buckets_n == 0)
        return;
    at = inodes_of(core, node->inode);
    node->next_inode = *at;
    *at = node;
}

/* ---- their number ---- */

static void move_all(struct local_core *core, struct node **old, struct node **old_inodes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (struct node *node = old[i], *next; node != NULL; node = next) {
            struct node **bucket =
                &core->buckets[bucket_of(core, node->parent->serial, node->name, node->name_len)];
            next = node->in_bucket;
            node->in_bucket = *bucket;
            *bucket = node;
        }
        for (struct node *node = old_inodes[i], *next; node != NULL; node = next) {
            next = node->next_inode;
            learn_inode(core, node);
        }
    }
}

/* Twice as many buckets; where there is no memory for them, chains get longer. */
static void grow(struct local_core *core)
{
    size_t old_n = core->buckets_n, n = old_n == 0 ? 64 : old_n * 2;
    struct node **old = core->buckets, **old_inodes = core->inodes;
    struct node **buckets, **inodes;

    if (core->nodes_n < old_n)
        return;
    buckets = core_calloc(n, sizeof(struct node *));
    inodes = core_calloc(n, sizeof(struct node *));
    if (buckets == NULL || inodes == NULL) {
        core_free(buckets);
        core_free(inodes);
        return;
    }
    core->buckets = buckets;
    core->inodes = inodes;
    core->buckets_n = n;
    core->memory_bytes += 2 * (n - old_n) * sizeof(struct node *);
    move_all(core, old, old_inodes, old_n);
    core_free(old);
    core_free(old_inodes);
}

static struct node *make(struct local_core *core, struct node *dir, const char *name, size_t len)
{
    struct node *node;
    struct node **bucket;

    if (core->nodes_n >= core->config.entries_max)
        return NULL;
    grow(core);
    if (core->buckets_n == 0)
        return NULL;
    node = core_malloc(sizeof(*node) + len + 1);
    if (node == NULL)
        return NULL;
    memset(node, 0, sizeof(*node));
    memcpy(node->name, name, len);
    node->name[len] = '\0';
    node->name_len = (uint8_t)len;
    node->serial = ++core->serials;
    node->parent = dir;
    node->next = dir->first;
    if (dir->first != NULL)
        dir->first->prev = node;
    dir->first = node;
    bucket = &core->buckets[bucket_of(core, dir->serial, name, len)];
    node->in_bucket = *bucket;
    *bucket = node;
    core->nodes_n++;
    core->memory_bytes += sizeof(*node) + len + 1;
    return node;
}

static void unmake(struct local_core *core, struct node *node)
{
    struct node *dir = node->parent;
    struct node **at = &core->buckets[bucket_of(core, dir->serial, node->name, node->name_len)];

    while (*at != node)
        at = &(*at)->in_bucket;
    *at = node->in_bucket;
    if (node->prev != NULL)
        node->prev->next = node->next;
    else
        dir->first = node->next;
    if (node->next != NULL)
        node->next->prev = node->prev;
    if (core->last_node == node)
        core->last_node = NULL;
    core->nodes_n--;
    core->memory_bytes -= sizeof(*node) + node->name_len + 1u;
    if (node->raw != NULL)
        core->memory_bytes -= strlen(node->raw) + 1;
    core_free(node->raw);
    core_free(node);
}

void tree_prune(struct local_core *core, struct node *node)
{
    while (node != core->top && node->work == NULL && node->first == NULL &&
           (node->flags & NODE_PUBLISHED) == 0) {
        struct node *dir = node->parent;
        unmake(core, node);
        node = dir;
    }
}

void tree_free(struct local_core *core)
{
    for (size_t i = 0; i < core->buckets_n; i++) {
        for (struct node *node = core->buckets[i], *next; node != NULL; node = next) {
            next = node->in_bucket;
            if (node->work != NULL) {
                core_free(node->work->target);
                core_free(node->work);
            }
            core_free(node->raw);
            core_free(node);
        }
    }
    core_free(core->buckets);
    core_free(core->top);
    core_free(core->inodes);
}

struct node *tree_next(const struct node *top, struct node *node, bool skip)
{
    if (!skip && node->first != NULL)
        return node->first;
    while (node != top && node->next == NULL)
        node = node->parent;
    return node == top ? NULL : node->next;
}

bool tree_is_above(const struct node *above, const struct node *node)
{
    while (node != NULL && node != above)
        node = node->parent;
    return node != NULL;
}

/* ---- by name ---- */

static const char *raw_of(const struct node *node)
{
    return node->raw != NULL ? node->raw : node->name;
}

/*
 * What the part @part of the file system is called here; *@name_out points into @part or @room.
 */
static enum resolved part_name(const char *part,
                               size_t len,
                               struct buf *room,
                               struct kith_bytes *name_out,
                               const char **why_out)
{
    enum fs_name_problem problem = fs_part_problem(part, len);

    *name_out = (struct kith_bytes){part, len};
    if (problem == FS_NAME_NOT_NFC) {
        room->len = 0;
        if (fs_name_nfc(part, len, room) != 0)
            return RESOLVED_FAILED;
        *name_out = (struct kith_bytes){room->data, room->len};
        problem = fs_part_problem((const char *)room->data, room->len);
    }
    if (problem == FS_NAME_FINE)
        return RESOLVED;
    *why_out = fs_name_problem_text(problem);
    return RESOLVED_REFUSED;
}

/* @node is what the file system calls @part: or is it another one that is called the same here? */
static enum resolved
raw_is(struct local_core *core, struct node *node, const char *part, size_t len)
{
    const char *raw = raw_of(node);
    char *copy = NULL;

    if (strlen(raw) == len && memcmp(raw, part, len) == 0)
        return RESOLVED;
    if (node->work != NULL || node->first != NULL || (node->flags & NODE_PUBLISHED) != 0) {
        node->flags |= NODE_COLLIDED;
        return RESOLVED_COLLIDED;
    }
    if (node->name_len != len || memcmp(node->name, part, len) != 0) {
        copy = core_strndup(part, len);
        if (copy == NULL)
            return RESOLVED_FAILED;
        core->memory_bytes += len + 1;
    }
    if (node->raw != NULL)
        core->memory_bytes -= strlen(node->raw) + 1;
    core_free(node->raw);
    node->raw = copy;
    return RESOLVED;
}

/* One step down, from *@node to its entry @part. */
static enum resolved step_down(struct local_core *core,
                               struct node **node,
                               struct kith_bytes part,
                               bool raw,
                               bool may_make,
                               const char **why_out)
{
    struct buf room = {0};
    struct kith_bytes name = part;
    enum resolved r = RESOLVED;
    struct node *child;

    if (raw)
        r = part_name(part.data, part.len, &room, &name, why_out);
    if (r == RESOLVED) {
        child = tree_child(core, *node, name.data, name.len);
        if (child == NULL && may_make) {
            child = make(core, *node, name.data, name.len);
            r = child == NULL ? RESOLVED_FAILED : RESOLVED;
        } else if (child == NULL) {
            r = RESOLVED_NONE;
        }
        if (r == RESOLVED && raw)
            r = raw_is(core, child, part.data, part.len);
        if (r == RESOLVED || r == RESOLVED_COLLIDED)
            *node = child;
    }
    buf_deinit(&room);
    return r;
}

enum resolved tree_below(struct local_core *core,
                         struct node *dir,
                         const char *part,
                         size_t len,
                         bool may_make,
                         struct node **node_out,
                         const char **why_out)
{
    enum resolved r;

    *node_out = dir;
    *why_out = "";
    if (len == 0)
        return RESOLVED;
    r = step_down(core, node_out, (struct kith_bytes){part, len}, true, may_make, why_out);
    return r;
}

enum resolved tree_resolve(struct local_core *core,
                           const char *name,
                           size_t len,
                           bool raw,
                           bool may_make,
                           struct node **node_out,
                           const char **why_out)
{
    struct node *node = core->top;
    size_t at = 0;
    enum resolved r = RESOLVED;

    *node_out = node;
    *why_out = "";
    if (len > FS_PATH_BYTES_MAX) {
        *why_out = fs_name_problem_text(FS_NAME_LONG);
        return RESOLVED_REFUSED;
    }
    while (at < len) {
        const char *end = memchr(name + at, '/', len - at);
        size_t part_len = end != NULL ? (size_t)(end - name) - at : len - at;

        r = step_down(core, &node, (struct kith_bytes){name + at, part_len}, raw, may_make,
                      why_out);
        if (r != RESOLVED)
            break;
        at += part_len + 1;
    }
    *node_out = node;
    /* What was made on the way to something that cannot be. */
    if (r == RESOLVED_REFUSED || r == RESOLVED_FAILED)
        tree_prune(core, node);
    return r;
}

/* Appends from the top on: parts, divided by slashes. */
int tree_append(const struct node *node, bool raw, struct buf *buf)
{
    size_t len = 0, at;

    for (const struct node *n = node; n->parent != NULL; n = n->parent)
        len += (raw ? strlen(raw_of(n)) : n->name_len) + (n->parent->parent != NULL);
    if (buf_reserve(buf, len + 1) != 0)
        return KITH_E_MEMORY;
    at = buf->len + len;
    buf->data[at] = '\0';
    for (const struct node *n = node; n->parent != NULL; n = n->parent) {
        const char *part = raw ? raw_of(n) : n->name;
        size_t part_len = raw ? strlen(part) : n->name_len;
        at -= part_len;
        memcpy(buf->data + at, part, part_len);
        if (n->parent->parent != NULL)
            buf->data[--at] = '/';
    }
    buf->len += len;
    return 0;
}

static const char *
in_arena(struct local_core *core, const struct node *node, bool raw, size_t *len_out)
{
    struct buf buf = {0};
    const char *text = NULL;

    if (tree_append(node, raw, &buf) == 0)
        text = out_copy(core, buf.data, buf.len);
    else
        local_failed(core);
    *len_out = buf.len;
    buf_deinit(&buf);
    return text;
}

const char *tree_path(struct local_core *core, const struct node *node, size_t *len_out)
{
    return in_arena(core, node, false, len_out);
}

const char *tree_name(struct local_core *core, const struct node *node, size_t *len_out)
{
    return in_arena(core, node, true, len_out);
}

/* ---- what is known ---- */

void tree_stat(const struct node *node, struct fs_stat *stat_out)
{
    *stat_out = (struct fs_stat){.kind = node->kind,
                                 .mode = node->mode,
                                 .inode = node->inode,
                                 .size = node->size,
                                 .mtime_ns = node->mtime_ns,
                                 .ctime_ns = node->ctime_ns,
                                 .born_ns = node->born_ns};
}

void tree_content(const struct node *node, struct content *content_out)
{
    *content_out = (struct content){0};
    if (node->kind != FS_FILE)
        return;
    content_out->size = node->size;
    content_out->hash = node->hash;
    content_out->chunk_log2 = node->chunk_log2;
    memcpy(content_out->root, node->root, sizeof(node->root));
}

void tree_know(struct local_core *core,
               struct node *node,
               const struct fs_stat *stat,
               const struct content *content)
{
    if ((node->flags & NODE_PUBLISHED) != 0) {
        forget_inode(core, node);
        core->published_n--;
        core->files_n -= node->kind == FS_FILE;
        core->bytes -= node->kind == FS_FILE ? node->size : 0;
    }
    node->flags &= (uint8_t) ~(NODE_PUBLISHED | NODE_RACY | NODE_VERIFY | NODE_UNSURE);
    if (stat == NULL) {
        node->kind = 0;
        return;
    }
    node->kind = stat->kind;
    node->mode = (uint16_t)stat->mode;
    node->inode = stat->inode;
    node->size = stat->size;
    node->mtime_ns = stat->mtime_ns;
    node->ctime_ns = stat->ctime_ns;
    node->born_ns = stat->born_ns;
    node->hash = content->hash;
    node->chunk_log2 = content->chunk_log2;
    memcpy(node->root, content->root, sizeof(node->root));
    node->flags |= NODE_PUBLISHED;
    core->published_n++;
    core->files_n += node->kind == FS_FILE;
    core->bytes += node->kind == FS_FILE ? node->size : 0;
    learn_inode(core, node);
}

struct node *
tree_twin(const struct local_core *core, const struct node *node, const struct fs_stat *stat)
{
    struct node *twin = NULL;

    while ((twin = tree_of_inode(core, stat->inode, twin)) != NULL) {
        struct fs_stat known;
        tree_stat(twin, &known);
        if (twin == node || (twin->flags & NODE_RACY) != 0)
            continue;
        if (stat->kind == FS_DIRECTORY ? fs_stat_same_inode(&known, stat)
                                       : fs_stat_same_bytes(&known, stat))
            return twin;
    }
    return NULL;
}

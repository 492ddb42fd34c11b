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

/* A link is given again, but not while something is in what had it. */
static struct node_link *
bucket_of(const struct local_core *core, struct node_link dir, const char *name, size_t len)
{
    return &core->buckets[hash_bytes(name, len, dir.at) & (core->buckets_n - 1)];
}

struct node *
tree_child(const struct local_core *core, const struct node *dir, const char *name, size_t len)
{
    const struct node_link of = {slab_link(dir)};
    struct node *node;

    if (core->buckets_n == 0)
        return NULL;
    node = tree_at(core, *bucket_of(core, of, name, len));
    while (node != NULL && (node->parent.at != of.at || node->name_len != len ||
                            memcmp(node->name, name, len) != 0))
        node = tree_at(core, node->in_bucket);
    return node;
}

/* ---- by inode ---- */

static struct node_link *inodes_of(const struct local_core *core, uint64_t inode)
{
    return &core->inodes[map64_hash(inode) & (core->buckets_n - 1)];
}

struct node *tree_of_inode(const struct local_core *core, uint64_t inode, const struct node *behind)
{
    struct node_link none = {0};
    struct node *node = tree_at(core, behind != NULL         ? behind->next_inode
                                      : core->buckets_n != 0 ? *inodes_of(core, inode)
                                                             : none);

    while (node != NULL && node->inode != inode)
        node = tree_at(core, node->next_inode);
    return node;
}

static void forget_inode(struct local_core *core, struct node *node)
{
    struct node *before;

    if (node->inode == 0 || core->buckets_n == 0)
        return;
    struct node_link *at = inodes_of(core, node->inode);
    while ((before = tree_at(core, *at)) != NULL && before != node)
        at = &before->next_inode;
    if (before == node)
        *at = node->next_inode;
    node->next_inode = (struct node_link){0};
}

static void learn_inode(struct local_core *core, struct node *node)
{
    if (node->inode == 0 || core->buckets_n == 0)
        return;
    struct node_link *at = inodes_of(core, node->inode);
    node->next_inode = *at;
    *at = (struct node_link){slab_link(node)};
}

/* ---- their number ---- */

static void into_bucket(struct local_core *core, struct node *node)
{
    struct node_link *bucket = bucket_of(core, node->parent, node->name, node->name_len);

    node->in_bucket = *bucket;
    *bucket = (struct node_link){slab_link(node)};
}

static void move_all(struct local_core *core,
                     const struct node_link *old,
                     const struct node_link *old_inodes,
                     size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (struct node *node = tree_at(core, old[i]), *next; node != NULL; node = next) {
            next = tree_at(core, node->in_bucket);
            into_bucket(core, node);
        }
        for (struct node *node = tree_at(core, old_inodes[i]), *next; node != NULL; node = next) {
            next = tree_at(core, node->next_inode);
            learn_inode(core, node);
        }
    }
}

#define CHAIN_AIM 2 /* nodes of a bucket, before there are more buckets */

/* Twice as many buckets; where there is no memory for them, chains get longer. */
static void grow(struct local_core *core)
{
    size_t old_n = core->buckets_n, n = old_n == 0 ? 64 : old_n * 2;
    struct node_link *old = core->buckets, *old_inodes = core->inodes;
    struct node_link *buckets, *inodes;

    if (core->nodes_n < CHAIN_AIM * old_n)
        return;
    buckets = core_calloc(n, sizeof(struct node_link));
    inodes = core_calloc(n, sizeof(struct node_link));
    if (buckets == NULL || inodes == NULL) {
        core_free(buckets);
        core_free(inodes);
        return;
    }
    core->buckets = buckets;
    core->inodes = inodes;
    core->buckets_n = n;
    core->memory_bytes += 2 * (n - old_n) * sizeof(struct node_link);
    move_all(core, old, old_inodes, old_n);
    core_free(old);
    core_free(old_inodes);
}

static size_t node_bytes(size_t name_len)
{
    return offsetof(struct node, name) + name_len + 1;
}

static struct node *make(struct local_core *core, struct node *dir, const char *name, size_t len)
{
    struct node *node, *first;

    if (core->nodes_n >= core->config.entries_max)
        return NULL;
    grow(core);
    if (core->buckets_n == 0)
        return NULL;
    node = slab_alloc(&core->slab, node_bytes(len));
    if (node == NULL)
        return NULL;
    memcpy(node->name, name, len);
    node->name_len = (uint8_t)len;
    node->parent.at = slab_link(dir);
    node->next = dir->first;
    dir->first.at = slab_link(node);
    first = tree_at(core, node->next);
    if (first != NULL)
        first->prev = dir->first;
    into_bucket(core, node);
    core->nodes_n++;
    core->memory_bytes += node_bytes(len);
    return node;
}

static void unmake(struct local_core *core, struct node *node)
{
    struct node *prev = tree_at(core, node->prev), *next = tree_at(core, node->next);
    struct node_link *at = bucket_of(core, node->parent, node->name, node->name_len);

    for (struct node *before; (before = tree_at(core, *at)) != node;)
        at = &before->in_bucket;
    *at = node->in_bucket;
    if (prev != NULL)
        prev->next = node->next;
    else
        tree_parent(core, node)->first = node->next;
    if (next != NULL)
        next->prev = node->prev;
    if (core->last_node == node)
        core->last_node = NULL;
    core->nodes_n--;
    core->memory_bytes -= node_bytes(node->name_len);
    (void)tree_set_raw(core, node, NULL, 0);
    slab_free(&core->slab, node, node_bytes(node->name_len));
}

void tree_prune(struct local_core *core, struct node *node)
{
    while (node != core->top && (node->has & NODE_HAS_WORK) == 0 && node->first.at == 0 &&
           (node->flags & NODE_PUBLISHED) == 0) {
        struct node *dir = tree_parent(core, node);
        unmake(core, node);
        node = dir;
    }
}

void tree_free(struct local_core *core)
{
    struct node *node = core->top;
    struct work *work;
    char *raw;
    size_t at = 0;

    if (core->config.contents != NULL && node != NULL)
        while ((node = tree_next(core, core->top, node, false)) != NULL)
            if (node->kind == FS_FILE)
                fs_contents_release(core->config.contents, node->of.content);

    while ((work = map64_next(&core->works, &at)) != NULL) {
        core_free(work->target);
        core_free(work);
    }
    at = 0;
    while ((raw = map64_next(&core->raws, &at)) != NULL)
        core_free(raw);
    map64_deinit(&core->works);
    map64_deinit(&core->raws);
    core_free(core->buckets);
    core_free(core->inodes);
    slab_deinit(&core->slab);
}

struct node *
tree_next(const struct local_core *core, const struct node *top, struct node *node, bool skip)
{
    if (!skip && node->first.at != 0)
        return tree_at(core, node->first);
    while (node != top && node->next.at == 0)
        node = tree_parent(core, node);
    return node == top ? NULL : tree_at(core, node->next);
}

bool tree_is_above(const struct local_core *core, const struct node *above, const struct node *node)
{
    while (node != NULL && node != above)
        node = tree_parent(core, node);
    return node != NULL;
}

/* ---- by name ---- */

#define WORKS_KEPT 1024 /* room for so many is kept while there are none */

static void node_has(struct node *node, unsigned what, bool on)
{
    unsigned has = on ? node->has | what : node->has & ~what;

    node->has = has & 0xf;
}

int tree_set_work(struct local_core *core, struct node *node, struct work *work)
{
    int r = 0;

    if (work == NULL)
        (void)map64_remove(&core->works, slab_link(node));
    else
        r = map64_set(&core->works, slab_link(node), work);
    if (r == 0)
        node_has(node, NODE_HAS_WORK, work != NULL);
    /* The first scan has thousands under way at once, and nothing afterwards comes near to it. */
    if (core->works.n == 0 && core->works.cap > WORKS_KEPT)
        map64_deinit(&core->works);
    return r;
}

int tree_set_raw(struct local_core *core, struct node *node, const char *raw, size_t len)
{
    const uint64_t key = slab_link(node);
    char *copy = NULL, *old = (node->has & NODE_HAS_RAW) != 0 ? map64_find(&core->raws, key) : NULL;

    if (raw != NULL) {
        copy = core_strndup(raw, len);
        if (copy == NULL || map64_set(&core->raws, key, copy) != 0) {
            core_free(copy);
            return KITH_E_MEMORY;
        }
        core->memory_bytes += len + 1;
        node_has(node, NODE_HAS_RAW, true);
    } else if (old != NULL) {
        (void)map64_remove(&core->raws, key);
        node_has(node, NODE_HAS_RAW, false);
    }
    if (old != NULL)
        core->memory_bytes -= strlen(old) + 1;
    core_free(old);
    return 0;
}

static const char *raw_of(const struct local_core *core, const struct node *node)
{
    const char *raw = tree_raw(core, node);

    return raw != NULL ? raw : node->name;
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
    const char *raw = raw_of(core, node);

    if (strlen(raw) == len && memcmp(raw, part, len) == 0)
        return RESOLVED;
    if ((node->has & NODE_HAS_WORK) != 0 || node->first.at != 0 ||
        (node->flags & NODE_PUBLISHED) != 0) {
        node->flags |= NODE_COLLIDED;
        return RESOLVED_COLLIDED;
    }
    if (node->name_len == len && memcmp(node->name, part, len) == 0)
        part = NULL;
    return tree_set_raw(core, node, part, len) == 0 ? RESOLVED : RESOLVED_FAILED;
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
int tree_append(const struct local_core *core, const struct node *node, bool raw, struct buf *buf)
{
    size_t len = 0, at;

    for (const struct node *n = node; n != core->top; n = tree_parent(core, n))
        len += (raw ? strlen(raw_of(core, n)) : n->name_len) + (tree_parent(core, n) != core->top);
    if (buf_reserve(buf, len + 1) != 0)
        return KITH_E_MEMORY;
    at = buf->len + len;
    buf->data[at] = '\0';
    for (const struct node *n = node; n != core->top; n = tree_parent(core, n)) {
        const char *part = raw ? raw_of(core, n) : n->name;
        size_t part_len = raw ? strlen(part) : n->name_len;
        at -= part_len;
        memcpy(buf->data + at, part, part_len);
        if (tree_parent(core, n) != core->top)
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

    if (tree_append(core, node, raw, &buf) == 0)
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

static struct fs_blob_link hold(struct local_core *core, const struct content *content)
{
    struct node_content *own;

    if (core->config.contents != NULL)
        return fs_contents_hold(core->config.contents, content);
    own = slab_alloc(&core->slab, sizeof(*own));
    if (own == NULL)
        return (struct fs_blob_link){0};
    own->size = content->size & ((1ull << 48) - 1);
    own->hash = content->hash;
    own->chunk_log2 = content->chunk_log2;
    memcpy(own->root, content->root, sizeof(own->root));
    core->memory_bytes += sizeof(*own);
    return (struct fs_blob_link){slab_link(own)};
}

static void release(struct local_core *core, struct fs_blob_link link)
{
    if (core->config.contents != NULL) {
        fs_contents_release(core->config.contents, link);
    } else if (link.at != 0) {
        slab_free(&core->slab, slab_at(&core->slab, link.at), sizeof(struct node_content));
        core->memory_bytes -= sizeof(struct node_content);
    }
}

/* NULL: it has none. */
static const struct fs_blob *shared_content(const struct local_core *core, const struct node *node)
{
    bool shared = node->kind == FS_FILE && core->config.contents != NULL;
    return shared ? fs_contents_blob(core->config.contents, node->of.content) : NULL;
}

static const struct node_content *own_content(const struct local_core *core,
                                              const struct node *node)
{
    bool own = node->kind == FS_FILE && core->config.contents == NULL;
    return own ? slab_at(&core->slab, node->of.content.at) : NULL;
}

void tree_content(const struct local_core *core,
                  const struct node *node,
                  struct content *content_out)
{
    const struct fs_blob *blob = shared_content(core, node);
    const struct node_content *own = own_content(core, node);

    *content_out = blob != NULL ? fs_blob_content(blob) : (struct content){0};
    if (own == NULL)
        return;
    content_out->size = own->size;
    content_out->hash = own->hash;
    content_out->chunk_log2 = own->chunk_log2;
    memcpy(content_out->root, own->root, sizeof(own->root));
}

uint64_t tree_size(const struct local_core *core, const struct node *node)
{
    const struct fs_blob *blob = shared_content(core, node);
    const struct node_content *own = own_content(core, node);

    if (node->kind != FS_FILE)
        return node->of.size;
    return blob != NULL ? blob->size : own != NULL ? own->size : 0;
}

void tree_stat(const struct local_core *core, const struct node *node, struct fs_stat *stat_out)
{
    *stat_out = (struct fs_stat){.kind = node->kind,
                                 .mode = node->mode,
                                 .inode = node->inode,
                                 .size = tree_size(core, node),
                                 .mtime_ns = node->mtime_ns,
                                 .ctime_ns = node->ctime_ns,
                                 .born_ns = node->born_ns};
}

/* What the node has of its kind, in place of what it had. */
static void set_of(struct local_core *core,
                   struct node *node,
                   const struct fs_stat *stat,
                   const struct content *content)
{
    struct fs_blob_link had = {node->kind == FS_FILE ? node->of.content.at : 0};

    node->of.size = 0;
    node->kind = stat->kind & 0xfu;
    if (node->kind == FS_FILE) {
        struct content held = *content;
        held.size = stat->size;
        node->of.content = hold(core, &held);
        if (node->of.content.at == 0) {
            node->flags |= NODE_RACY;
            local_failed(core);
        }
    } else {
        node->of.size = stat->size < UINT32_MAX ? (uint32_t)stat->size : UINT32_MAX;
    }
    release(core, had);
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
        core->bytes -= node->kind == FS_FILE ? tree_size(core, node) : 0;
    }
    node->flags &= (uint8_t) ~(NODE_PUBLISHED | NODE_RACY | NODE_VERIFY | NODE_UNSURE);
    if (stat == NULL) {
        set_of(core, node, &(struct fs_stat){0}, NULL);
        return;
    }
    set_of(core, node, stat, content);
    node->mode = stat->mode & 0xffff;
    node->inode = stat->inode;
    node->mtime_ns = stat->mtime_ns;
    node->ctime_ns = stat->ctime_ns;
    node->born_ns = stat->born_ns;
    node->flags |= NODE_PUBLISHED;
    core->published_n++;
    core->files_n += node->kind == FS_FILE;
    core->bytes += node->kind == FS_FILE ? tree_size(core, node) : 0;
    learn_inode(core, node);
}

struct node *
tree_twin(const struct local_core *core, const struct node *node, const struct fs_stat *stat)
{
    struct node *twin = NULL;

    while ((twin = tree_of_inode(core, stat->inode, twin)) != NULL) {
        struct fs_stat known;
        tree_stat(core, twin, &known);
        if (twin == node || (twin->flags & NODE_RACY) != 0)
            continue;
        if (stat->kind == FS_DIRECTORY ? fs_stat_same_inode(&known, stat)
                                       : fs_stat_same_bytes(&known, stat))
            return twin;
    }
    return NULL;
}

/*
 * Paths. A node for each part that something is known of, in a treap of its folder: ordered by the
 * bytes of names, balanced by priorities out of the seed and the name, which nobody outside can
 * choose.
 */
#include "fs/catalogue_internal.h"

static int name_compare(const char *name, size_t len, const struct fs_node *node)
{
    size_t n = len < node->name_len ? len : node->name_len;
    int r = memcmp(name, node->name, n);
    return r != 0 ? r : (len > node->name_len) - (len < node->name_len);
}

/* Never changes, and is not kept: it takes less to make it than there are nodes. */
static uint32_t priority(const struct fs_catalogue *core, const struct fs_node *node)
{
    return (uint32_t)(hash_bytes(node->name, node->name_len, core->config.seed) >> 32);
}

bool fsc_stands_above(const struct fs_catalogue *core,
                      const struct fs_node *above,
                      const struct fs_node *node)
{
    return priority(core, above) >= priority(core, node);
}

struct fs_node *fsc_child(const struct fs_catalogue *core,
                          const struct fs_folder *folder,
                          const char *name,
                          size_t len)
{
    struct fs_node *at = fsc_node(core, folder->root);
    while (at != NULL) {
        int r = name_compare(name, len, at);
        if (r == 0)
            return at;
        at = fsc_node(core, r < 0 ? at->left : at->right);
    }
    return NULL;
}

struct fs_node *fsc_child_after(const struct fs_catalogue *core,
                                const struct fs_folder *folder,
                                const char *name,
                                size_t len,
                                bool with)
{
    struct fs_node *at = fsc_node(core, folder->root);
    struct fs_node *found = NULL;
    while (at != NULL) {
        int r = name_compare(name, len, at);
        if (r < 0 || (r == 0 && with)) {
            found = at;
            at = fsc_left(core, at);
        } else {
            at = fsc_right(core, at);
        }
    }
    return found;
}

/* All beneath @from that are less than @node to its left, the others to its right. */
static void split(struct fs_catalogue *core, struct fs_node_link from, struct fs_node *node)
{
    struct fs_node_link *low = &node->left;
    struct fs_node_link *high = &node->right;
    struct fs_node *at;
    for (; (at = fsc_node(core, from)) != NULL;) {
        if (name_compare(node->name, node->name_len, at) > 0) {
            *low = from;
            low = &at->right;
            from = at->right;
        } else {
            *high = from;
            high = &at->left;
            from = at->left;
        }
    }
    *low = (struct fs_node_link){0};
    *high = (struct fs_node_link){0};
}

static struct fs_node_link *way_down(struct fs_node *at, const struct fs_node *to)
{
    return name_compare(to->name, to->name_len, at) < 0 ? &at->left : &at->right;
}

static void insert(struct fs_catalogue *core, struct fs_folder *folder, struct fs_node *node)
{
    struct fs_node_link *at = &folder->root;
    const uint32_t own = priority(core, node);
    struct fs_node *above;
    while ((above = fsc_node(core, *at)) != NULL && priority(core, above) >= own)
        at = way_down(above, node);
    split(core, *at, node);
    *at = fsc_node_link(node);
    folder->children_n++;
}

static void take_out(struct fs_catalogue *core, struct fs_folder *folder, struct fs_node *node)
{
    struct fs_node_link *at = &folder->root;
    for (struct fs_node *above; (above = fsc_node(core, *at)) != node;)
        at = way_down(above, node);
    struct fs_node *low = fsc_left(core, node);
    struct fs_node *high = fsc_right(core, node);
    while (low != NULL && high != NULL) {
        if (fsc_stands_above(core, low, high)) {
            *at = fsc_node_link(low);
            at = &low->right;
            low = fsc_right(core, low);
        } else {
            *at = fsc_node_link(high);
            at = &high->left;
            high = fsc_left(core, high);
        }
    }
    *at = fsc_node_link(low != NULL ? low : high);
    folder->children_n--;
}

static struct fs_folder *folder_of(struct fs_catalogue *core, struct fs_node *parent)
{
    return parent != NULL ? fsc_folder(core, parent) : &core->shares;
}

static size_t node_bytes(const struct fs_node *node)
{
    return offsetof(struct fs_node, name) + node->name_len + 1;
}

static struct fs_folder *folder_make(struct fs_catalogue *core, struct fs_node *parent)
{
    if (parent == NULL || parent->folder.at != 0)
        return folder_of(core, parent);
    struct fs_folder *folder = slab_alloc(&core->slab, sizeof(*folder));
    parent->folder.at = slab_link(folder);
    core->bytes += folder != NULL ? sizeof(*folder) : 0;
    return folder;
}

static struct fs_node *
child_make(struct fs_catalogue *core, struct fs_node *parent, const char *name, size_t len)
{
    struct fs_folder *folder = folder_make(core, parent);
    if (folder == NULL)
        return NULL;
    struct fs_node *node = fsc_child(core, folder, name, len);
    if (node != NULL)
        return node;
    node = slab_alloc(&core->slab, offsetof(struct fs_node, name) + len + 1);
    if (node == NULL)
        return NULL;
    node->parent = fsc_node_link(parent);
    node->name_len = (uint8_t)len;
    memcpy(node->name, name, len);
    insert(core, folder, node);
    core->nodes_n++;
    core->bytes += node_bytes(node);
    fsc_prune_later(core, node);
    return node;
}

struct fs_node *fsc_make(struct fs_catalogue *core, struct kith_bytes share, struct kith_bytes path)
{
    struct fs_node *node = child_make(core, NULL, share.data, share.len);
    const char *text = path.data;
    for (size_t at = 0; node != NULL && at < path.len;) {
        const char *slash = memchr(text + at, '/', path.len - at);
        size_t len = slash != NULL ? (size_t)(slash - text) - at : path.len - at;
        node = child_make(core, node, text + at, len);
        at += len + 1;
    }
    if (node == NULL)
        core->error = KITH_E_MEMORY;
    return node;
}

struct fs_node *
fsc_find(const struct fs_catalogue *core, struct kith_bytes share, struct kith_bytes path)
{
    struct fs_node *node = fsc_child(core, &core->shares, share.data, share.len);
    const char *text = path.data;
    for (size_t at = 0; node != NULL && at < path.len;) {
        const char *slash = memchr(text + at, '/', path.len - at);
        size_t len = slash != NULL ? (size_t)(slash - text) - at : path.len - at;
        node =
            node->folder.at != 0 ? fsc_child(core, fsc_folder(core, node), text + at, len) : NULL;
        at += len + 1;
    }
    return node;
}

/* ---- going ---- */

void fsc_prune_later(struct fs_catalogue *core, struct fs_node *node)
{
    if ((node->flags & FS_NODE_PRUNE) != 0 ||
        !fsc_grow(core, &core->prune, &core->prune_cap, core->prune_n, sizeof(*core->prune)))
        return; /* without memory it stays, empty, until it is touched again */
    node->flags |= FS_NODE_PRUNE;
    core->prune[core->prune_n++] = node;
}

static void node_free(struct fs_catalogue *core, struct fs_node *node)
{
    core->nodes_n--;
    core->bytes -= node_bytes(node);
    if (node->folder.at != 0) {
        core->bytes -= sizeof(struct fs_folder);
        slab_free(&core->slab, fsc_folder(core, node), sizeof(struct fs_folder));
    }
    slab_free(&core->slab, node, node_bytes(node));
}

static bool node_is_empty(const struct fs_catalogue *core, const struct fs_node *node)
{
    return node->versions.at == 0 && node->records == 0 && node->pins == 0 &&
           (node->flags & (FS_NODE_DIRTY | FS_NODE_TIDY | FS_NODE_BUSY)) == 0 &&
           (node->folder.at == 0 || fsc_folder(core, node)->children_n == 0);
}

void fsc_prune(struct fs_catalogue *core)
{
    while (core->prune_n > 0) {
        struct fs_node *node = core->prune[--core->prune_n];
        node->flags &= (uint8_t)~FS_NODE_PRUNE;
        if (!node_is_empty(core, node))
            continue;
        struct fs_node *parent = fsc_parent(core, node);
        take_out(core, folder_of(core, parent), node);
        node_free(core, node);
        if (parent != NULL)
            fsc_prune_later(core, parent); /* there is room: one was just taken */
    }
}

/* ---- counting ---- */

void fsc_count(struct fs_catalogue *core,
               struct fs_node *node,
               const struct fs_counted *is,
               uint64_t was_bytes)
{
    bool was_shown = (node->flags & FS_NODE_SHOWN) != 0;
    bool was_file = (node->flags & FS_NODE_FILE) != 0;
    bool was_conflicted = (node->flags & FS_NODE_CONFLICTED) != 0;
    if (is->shown == was_shown && is->file == was_file && is->bytes == was_bytes &&
        is->conflicted == was_conflicted)
        return;
    struct fs_node *at = node;
    do {
        at = fsc_parent(core, at);
        struct fs_folder *folder = folder_of(core, at);
        folder->shown_n += (uint64_t)is->shown - (uint64_t)was_shown;
        folder->files_n += (uint64_t)is->file - (uint64_t)was_file;
        folder->bytes += is->bytes - was_bytes;
        folder->conflicted_n += (uint32_t)is->conflicted - (uint32_t)was_conflicted;
    } while (at != NULL);
    unsigned flags = node->flags & ~(unsigned)(FS_NODE_SHOWN | FS_NODE_FILE | FS_NODE_CONFLICTED);
    flags |= is->shown ? FS_NODE_SHOWN : 0u;
    flags |= is->file ? FS_NODE_FILE : 0u;
    flags |= is->conflicted ? FS_NODE_CONFLICTED : 0u;
    node->flags = (uint8_t)flags;
}

/* ---- names ---- */

const struct fs_node *fsc_share(const struct fs_catalogue *core, const struct fs_node *node)
{
    while (node->parent.at != 0)
        node = fsc_parent(core, node);
    return node;
}

size_t fsc_path(const struct fs_catalogue *core, const struct fs_node *node, char *out)
{
    size_t len = 0;
    for (const struct fs_node *at = node; at->parent.at != 0; at = fsc_parent(core, at))
        len += (size_t)at->name_len + (fsc_parent(core, at)->parent.at != 0);
    size_t end = len;
    out[len] = '\0';
    for (const struct fs_node *at = node; at->parent.at != 0; at = fsc_parent(core, at)) {
        end -= at->name_len;
        memcpy(out + end, at->name, at->name_len);
        if (fsc_parent(core, at)->parent.at != 0)
            out[--end] = '/';
    }
    return len;
}

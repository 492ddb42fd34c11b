/*
 * From the catalogue to what programs see: finding what a text names, and an entry with its
 * holders.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/internal.h"
#include "node/uv_fs.h"

#define CONFLICT_MARK ".conflict-"

const char *fs_node_name(struct node_fs *fs, const struct kith_node_id *id, char digits[33])
{
    const char *name = kith_node_id_equal(id, &fs->node->identity.id) ? fs->node->name
                                                                      : node_name_of(fs->node, id);
    return name != NULL ? name : kith_node_id_text(id, digits);
}

bool fs_node_alive(struct node_fs *fs, const struct kith_node_id *id)
{
    if (kith_node_id_equal(id, &fs->node->identity.id))
        return true;
    const struct member *member = member_find(fs->node->members, id);
    return member != NULL &&
           (member->status == KITH_STATUS_ALIVE || member->status == KITH_STATUS_SUSPECT);
}

static int not_there(const char *text)
{
    return kith_fail_with(KITH_E_NOT_FOUND, "there is no %s; kith fs ls shows what there is", text);
}

int fs_find(struct node_fs *fs,
            const char *text,
            struct fs_ref *ref_out,
            struct kith_node_id *node_out,
            struct fs_entry *entry_out)
{
    struct member *member;
    int r = fs_ref_parse(text, ref_out);

    if (node_out != NULL)
        memset(node_out, 0, sizeof(*node_out));
    if (r != 0)
        return r;
    if (fs_catalogue_stat(fs->catalogue, ref_out->share, ref_out->whole, entry_out) == 0) {
        ref_out->path = ref_out->whole;
        return 0;
    }
    if (ref_out->node.len == 0)
        return not_there(text);
    r = node_member_named(fs->node, ref_out->node.data, &member); /* it ends the text */
    if (r != 0)
        return r;
    if (node_out != NULL)
        *node_out = member->id;
    if (fs_catalogue_stat_at(fs->catalogue, ref_out->share, ref_out->path, &member->id,
                             entry_out) != 0)
        return kith_fail_with(KITH_E_NOT_FOUND, "%s has nothing at %.*s", member->shown_name,
                              (int)((const char *)ref_out->node.data - text) - 1, text);
    return 0;
}

/* ---- entries ---- */

static const char *path_text(struct fs_box *box, struct kith_bytes share, struct kith_bytes path)
{
    char *text = arena_alloc(&box->arena, share.len + path.len + 2);

    if (text == NULL)
        return NULL;
    memcpy(text, share.data, share.len);
    text[share.len] = '\0';
    if (path.len == 0)
        return text;
    text[share.len] = '/';
    memcpy(text + share.len + 1, path.data, path.len);
    text[share.len + 1 + path.len] = '\0';
    return text;
}

static int compare_holders(const void *a, const void *b)
{
    const struct kith_fs_holder *x = a, *y = b;

    if (x->alive != y->alive)
        return x->alive ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int put_holder(struct node_fs *fs,
                      struct fs_box *box,
                      const struct kith_node_id *id,
                      struct kith_fs_holder *out)
{
    char digits[KITH_NODE_ID_DIGITS + 1];

    *out = (struct kith_fs_holder){.node = *id,
                                   .name = fs_box_text(box, fs_node_name(fs, id, digits)),
                                   .alive = fs_node_alive(fs, id)};
    return out->name != NULL ? 0 : KITH_E_MEMORY;
}

static int put_holders(struct node_fs *fs,
                       struct fs_box *box,
                       const struct fs_entry *entry,
                       struct kith_fs_entry *out)
{
    struct kith_node_id ids[FS_KEEP_HOLDERS_MAX];
    struct fs_content_facts facts;
    struct kith_fs_holder *holders;
    size_t n = 0;
    int r = 0;

    if (!entry->has_content ||
        fs_known_content(fs->catalogue, entry->known, &facts, ids, FS_KEEP_HOLDERS_MAX) != 0)
        return 0;
    out->here = facts.own != FS_NOWHERE;
    size_t others_n = facts.holders_n < FS_KEEP_HOLDERS_MAX ? facts.holders_n : FS_KEEP_HOLDERS_MAX;
    holders = arena_alloc(&box->arena, (others_n + 1) * sizeof(*holders));
    if (holders == NULL)
        return KITH_E_MEMORY;
    if (out->here)
        r = put_holder(fs, box, &fs->node->identity.id, &holders[n++]);
    for (size_t i = 0; i < others_n && r == 0; i++)
        r = put_holder(fs, box, &ids[i], &holders[n++]);
    qsort(holders, n, sizeof(*holders), compare_holders);
    out->holders = holders;
    out->holders_n = n;
    out->cached = fs_move_cached(fs, &entry->content);
    return r;
}

static int put_version(struct node_fs *fs,
                       struct fs_box *box,
                       const struct fs_entry *entry,
                       struct kith_fs_entry *out)
{
    struct fs_version version;
    char digits[KITH_NODE_ID_DIGITS + 1];

    fs_known_version(fs->catalogue, entry->known, &version);
    out->author = version.author.node;
    out->author_name = fs_box_text(box, fs_node_name(fs, &version.author.node, digits));
    const struct member *member = member_find(fs->node->members, &out->author);
    out->author_address =
        fs_box_text(box, member != NULL ? node_member_address(fs->node, member) : "");
    if (out->author_name == NULL || out->author_address == NULL)
        return KITH_E_MEMORY;
    if (version.kind == FS_SYMLINK) {
        char *target = arena_alloc(&box->arena, version.target_len + 1);
        if (target == NULL)
            return KITH_E_MEMORY;
        memcpy(target, version.target, version.target_len);
        target[version.target_len] = '\0';
        out->target = target;
    }
    return 0;
}

/* "SHARE/dir/name" of "SHARE/dir/name.conflict-20261130T023000Z-dev-2". */
static const char *conflict_of(struct fs_box *box, const char *path)
{
    const char *mark = NULL;
    struct buf copy = {0};
    const char *kept;

    for (const char *at = strstr(path, CONFLICT_MARK); at != NULL;
         at = strstr(at + 1, CONFLICT_MARK))
        mark = at;
    if (mark == NULL)
        return fs_box_text(box, path);
    if (buf_append(&copy, path, (size_t)(mark - path)) != 0 || buf_append_u8(&copy, 0) != 0)
        return NULL;
    kept = fs_box_text(box, (const char *)copy.data);
    buf_deinit(&copy);
    return kept;
}

static enum kith_fs_kind kind_of(const struct fs_entry *entry, bool root)
{
    static const enum kith_fs_kind kinds[] = {
        [FS_FILE] = KITH_FS_FILE,
        [FS_DIRECTORY] = KITH_FS_DIRECTORY,
        [FS_SYMLINK] = KITH_FS_SYMLINK,
        [FS_DELETED] = KITH_FS_DELETED,
    };
    return root ? KITH_FS_SHARE : kinds[entry->kind];
}

/* What is shown under a pinned path, or beneath one; not a conflict, or what a node has. */
static bool is_pinned(struct node_fs *fs,
                      struct kith_bytes share,
                      struct kith_bytes path,
                      const struct fs_entry *entry)
{
    return !entry->is_conflict && entry->kind != FS_DELETED &&
           fs_pins_of(fs->pins, share, path, NULL) != NULL &&
           (!entry->has_content || fs_pins_has(fs->pins, entry->content.root));
}

int fs_entry_fill(struct node_fs *fs,
                  struct fs_box *box,
                  struct kith_bytes share,
                  struct kith_bytes path,
                  const struct fs_entry *entry,
                  bool whole,
                  struct kith_fs_entry *out)
{
    char *hash = NULL;

    *out = (struct kith_fs_entry){
        .path = path_text(box, share, path),
        .kind = kind_of(entry, path.len == 0),
        .size = entry->size,
        .mode = entry->mode,
        .modified_unix_ns = entry->mtime_ns > 0 ? (uint64_t)entry->mtime_ns : 0,
        .changed_unix_ms = fs_moment_ms(entry->moment),
        .hash = "",
        .target = "",
        .author_name = "",
        .author_address = "",
        .conflicts_n = entry->conflicts_n,
        .conflict_of = "",
    };
    if (out->path == NULL)
        return KITH_E_MEMORY;
    if (entry->has_content) {
        hash = arena_alloc(&box->arena, KITH_FS_HASH_DIGITS + 1);
        if (hash == NULL)
            return KITH_E_MEMORY;
        hex_encode(entry->content.root, FS_ROOT_BYTES, hash);
        out->hash = hash;
    }
    if (entry->is_conflict)
        out->conflict_of = conflict_of(box, out->path);
    out->pinned = is_pinned(fs, share, path, entry);
    int r = put_holders(fs, box, entry, out);
    if (r == 0 && entry->known != NULL && (whole || entry->kind == FS_SYMLINK))
        r = put_version(fs, box, entry, out);
    return out->conflict_of == NULL ? KITH_E_MEMORY : r;
}

int fs_box_of(struct node_fs *fs, const char *text, struct fs_box **box_out)
{
    struct fs_ref ref;
    struct fs_entry entry;
    int r = fs_find(fs, text, &ref, NULL, &entry);
    struct fs_box *box = r == 0 ? fs_box_new() : NULL;
    struct kith_fs_entry *out = box != NULL ? arena_alloc(&box->arena, sizeof(*out)) : NULL;

    if (r == 0)
        r = out == NULL ? KITH_E_MEMORY
                        : fs_entry_fill(fs, box, ref.share, ref.path, &entry, true, out);
    if (r != 0) {
        fs_box_free(box);
        return r;
    }
    box->result.entries = out;
    box->result.entries_n = 1;
    *box_out = box;
    return 0;
}

/*
 * What is known of each name, as it is kept on disk: one entry a name, under hashes of its
 * directory and its path, so that keys are short, and what is seen together is written together.
 */
#include <string.h>

#include <sodium/crypto_generichash.h>

#include "core/alloc.h"

#include "fs/local_internal.h"
#include "fs/name.h"
#include "kith/error.h"

#define FORMAT 1

enum kept_flags {
    KEPT_RACY = 1 << 0,
    KEPT_VERIFY = 1 << 1,
    KEPT_RAW = 1 << 2, /* the name in the file system follows */
};

/* The prefix, the folder, 4 bytes of a hash of the directory, and 12 of one of the path; of the
 * folder itself zeros. */
static void key_of(const struct local_core *core, const char *path, size_t len, uint8_t *key_out)
{
    for (size_t i = 0; i < LOCAL_KEY_PREFIX_LEN; i++)
        key_out[i] = (uint8_t)LOCAL_KEY_PREFIX[i];
    put_le64(key_out + LOCAL_KEY_PREFIX_LEN, core->config.folder);
    memset(key_out + 10, 0, 16);
    if (path == NULL)
        return;
    const char *slash = memrchr(path, '/', len);
    size_t dir_len = slash != NULL ? (size_t)(slash - path) : 0;
    (void)crypto_generichash(key_out + 10, 16, (const uint8_t *)path, len, NULL, 0);
    put_le32(key_out + 10, (uint32_t)hash_bytes(path, dir_len, 0));
}

static void persist(struct local_core *core, const char *path, size_t len, const struct buf *data)
{
    uint8_t key[LOCAL_KEY_BYTES];
    struct local_action *action = out_action(core, LOCAL_PERSIST);

    if (action == NULL)
        return; /* it will be read again after a restart */
    key_of(core, path, len, key);
    action->key = (struct kith_bytes){out_copy(core, key, sizeof(key)), sizeof(key)};
    if (data != NULL)
        action->data = (struct kith_bytes){out_copy(core, data->data, data->len), data->len};
    if (action->key.data == NULL || (data != NULL && action->data.data == NULL))
        core->actions_n--;
}

static int put64(struct buf *buf, uint64_t value)
{
    uint8_t bytes[8];

    put_le64(bytes, value);
    return buf_append(buf, bytes, sizeof(bytes));
}

static int put_text(struct buf *buf, const char *text, size_t len)
{
    uint8_t bytes[2];
    int r;

    put_le16(bytes, (uint16_t)len);
    r = buf_append(buf, bytes, sizeof(bytes));
    return r != 0 ? r : buf_append(buf, text, len);
}

void kept_set(struct local_core *core, struct node *node)
{
    struct buf buf = {0};
    size_t len;
    const char *path = tree_path(core, node, &len), *raw = tree_raw(core, node);
    struct content content;
    int r = path == NULL ? KITH_E_MEMORY : 0;

    tree_content(core, node, &content);
    uint8_t head[6] = {FORMAT, node->kind, 0, 0, content.hash, content.chunk_log2};
    head[2] = (uint8_t)(((node->flags & NODE_RACY) != 0 ? KEPT_RACY : 0) |
                        ((node->flags & NODE_VERIFY) != 0 ? KEPT_VERIFY : 0) |
                        (raw != NULL ? KEPT_RAW : 0));
    if (r == 0)
        r = buf_append(&buf, head, sizeof(head));
    const uint64_t numbers[] = {node->mode,
                                node->inode,
                                tree_size(core, node),
                                (uint64_t)node->mtime_ns,
                                (uint64_t)node->ctime_ns,
                                (uint64_t)node->born_ns};
    for (size_t i = 0; r == 0 && i < sizeof(numbers) / sizeof(numbers[0]); i++)
        r = put64(&buf, numbers[i]);
    if (r == 0 && node->kind == FS_FILE)
        r = buf_append(&buf, content.root, sizeof(content.root));
    if (r == 0)
        r = put_text(&buf, path, len);
    if (r == 0 && raw != NULL)
        r = put_text(&buf, raw, strlen(raw));
    if (r == 0)
        persist(core, path, len, &buf);
    buf_deinit(&buf);
}

void kept_drop(struct local_core *core, const char *path, size_t len)
{
    persist(core, path, len, NULL);
}

void kept_root(struct local_core *core)
{
    struct buf buf = {0};
    uint8_t format = FORMAT;
    int r = buf_append(&buf, &format, 1);

    if (r == 0)
        r = put64(&buf, core->root.device);
    if (r == 0)
        r = put64(&buf, core->root.inode);
    if (r == 0)
        r = put64(&buf, core->root.filesystem);
    if (r == 0)
        r = put64(&buf, (uint64_t)core->root.born_ns);
    if (r == 0)
        persist(core, NULL, 0, &buf);
    buf_deinit(&buf);
}

/* ---- back ---- */

static int recall_root(struct local_core *core, struct reader *r)
{
    struct fs_root_id root;

    root.device = read_le64(r);
    root.inode = read_le64(r);
    root.filesystem = read_le64(r);
    root.born_ns = (int64_t)read_le64(r);
    if (!reader_done(r))
        return KITH_E_CORRUPT;
    core->root = root;
    core->root_known = true;
    return 0;
}

static bool read_stat(struct reader *r, uint8_t kind, struct fs_stat *stat_out)
{
    uint64_t mode = read_le64(r);

    *stat_out = (struct fs_stat){.kind = kind, .mode = (uint32_t)mode};
    stat_out->inode = read_le64(r);
    stat_out->size = read_le64(r);
    stat_out->mtime_ns = (int64_t)read_le64(r);
    stat_out->ctime_ns = (int64_t)read_le64(r);
    stat_out->born_ns = (int64_t)read_le64(r);
    return !r->bad && mode <= 07777 && kind >= FS_FILE && kind <= FS_SYMLINK;
}

/* The file system's name of @node, where it is another one. */
static int recall_raw(struct local_core *core, struct node *node, const void *raw, size_t len)
{
    if (len == 0 || memchr(raw, '/', len) != NULL || memchr(raw, '\0', len) != NULL)
        return KITH_E_CORRUPT;
    return tree_set_raw(core, node, raw, len);
}

/* @head: kind, flags, nothing, kind of hash, chunk size. */
static int
recall_node(struct local_core *core, struct reader *r, const uint8_t *head, struct kith_bytes key)
{
    uint8_t expect[LOCAL_KEY_BYTES];
    struct content content = {.hash = head[3], .chunk_log2 = head[4]};
    struct fs_stat stat;
    struct node *node;
    const uint8_t *root = NULL, *path, *raw = NULL;
    const char *why;
    size_t len, raw_len = 0;
    int code = 0;

    if (!read_stat(r, head[0], &stat))
        return KITH_E_CORRUPT;
    content.size = stat.size;
    if (stat.kind == FS_FILE)
        root = read_bytes(r, sizeof(content.root));
    len = read_le16(r);
    path = read_bytes(r, len);
    if ((head[1] & KEPT_RAW) != 0) {
        raw_len = read_le16(r);
        raw = read_bytes(r, raw_len);
    }
    if (!reader_done(r) || path == NULL || len == 0 ||
        fs_path_problem((const char *)path, len) != FS_NAME_FINE)
        return KITH_E_CORRUPT;
    key_of(core, (const char *)path, len, expect);
    if (memcmp(expect, key.data, sizeof(expect)) != 0)
        return KITH_E_CORRUPT; /* of a version that made other keys: the file is read again */
    if (root != NULL)
        memcpy(content.root, root, sizeof(content.root));
    if (stat.kind == FS_FILE && !content_valid(&content))
        return KITH_E_CORRUPT;
    if (tree_resolve(core, (const char *)path, len, false, true, &node, &why) != RESOLVED)
        return KITH_E_MEMORY;
    if (raw != NULL && tree_raw(core, node) == NULL)
        code = recall_raw(core, node, raw, raw_len);
    if (code != 0) {
        tree_prune(core, node);
        return code;
    }
    tree_know(core, node, &stat, &content);
    node->flags |= (head[1] & KEPT_RACY) != 0 ? NODE_RACY : 0;
    node->flags |= (head[1] & KEPT_VERIFY) != 0 ? NODE_VERIFY : 0;
    return 0;
}

int kept_recall(struct local_core *core, struct kith_bytes key, struct kith_bytes data)
{
    static const uint8_t zeros[16];
    struct reader r = reader_of(data.data, data.len);
    const uint8_t *bytes = key.data;
    uint8_t head[5];

    if (key.len != LOCAL_KEY_BYTES || memcmp(bytes, LOCAL_KEY_PREFIX, LOCAL_KEY_PREFIX_LEN) != 0 ||
        get_le64(bytes + LOCAL_KEY_PREFIX_LEN) != core->config.folder || read_u8(&r) != FORMAT)
        return KITH_E_CORRUPT;
    if (memcmp(bytes + 10, zeros, sizeof(zeros)) == 0)
        return recall_root(core, &r);
    for (size_t i = 0; i < sizeof(head); i++)
        head[i] = read_u8(&r);
    if (r.bad)
        return KITH_E_CORRUPT;
    return recall_node(core, &r, head, key);
}

/*
 * Reading again what this node holds (kith fs verify, and the round through the keep), and
 * comparing it with its hashes.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_keep.h"
#include "node/fs_lists.h"
#include "node/internal.h"

#define PIECE_BYTES (1u * 1024 * 1024)

int fs_verify_where(struct node_fs *fs,
                    const struct fs_where *where,
                    const struct content *content,
                    struct buf *list_out,
                    uint64_t *bytes_out)
{
    struct content_builder builder;
    struct kith_bytes list;
    struct content made;
    uint8_t *piece = core_malloc(PIECE_BYTES);
    int r = piece == NULL ? KITH_E_MEMORY
                          : content_builder_init(&builder, content->hash, content->size);

    if (r != 0) {
        core_free(piece);
        return r;
    }
    for (uint64_t at = 0; r == 0 && at < content->size; at += PIECE_BYTES) {
        size_t n = content->size - at < PIECE_BYTES ? (size_t)(content->size - at) : PIECE_BYTES;
        r = atomic_load(&fs->cancel) ? KITH_E_CANCELED
                                     : fs_where_read(fs->move->files, where, content, at, piece, n);
        if (r == 0)
            r = content_builder_update(&builder, piece, n);
        if (r == 0)
            *bytes_out += n;
    }
    if (r == 0)
        r = content_builder_end(&builder, &made, &list);
    if (r == 0 && !content_equal(&made, content))
        r = KITH_E_CORRUPT;
    if (r == 0 && list_out != NULL) {
        r = buf_append(list_out, list.data, list.len);
        fs_list_keep(fs, content, list);
    }
    content_builder_deinit(&builder);
    core_free(piece);
    return r;
}

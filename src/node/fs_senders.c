/* Which node sent how much of what an operation asked for. See fs_move.h. */
#include <string.h>

#include "node/fs_move.h"
#include "node/internal.h"

void fs_sources_add(struct fs_sources *sources, const struct fs_chunk *chunk, uint64_t bytes)
{
    uint32_t i = 0;

    while (i < sources->n && !kith_node_id_equal(&sources->nodes[i], &chunk->from))
        i++;
    if (!chunk->from_node || i == FS_FETCH_HOLDERS_MAX)
        return;
    if (i == sources->n) {
        sources->nodes[i] = chunk->from;
        sources->bytes[i] = 0;
        sources->n++;
    }
    sources->bytes[i] += bytes;
}

uint32_t fs_sources_tell(struct node_fs *fs,
                         const struct fs_sources *sources,
                         uint64_t ms,
                         struct kith_fs_source *out,
                         char (*names)[KITH_NODE_ID_DIGITS + 1])
{
    for (uint32_t i = 0; i < sources->n; i++) {
        out[i] = (struct kith_fs_source){.node = sources->nodes[i],
                                         .bytes = sources->bytes[i],
                                         .bytes_per_s = sources->bytes[i] * 1000 / (ms + 1)};
        out[i].name = fs_node_name(fs, &sources->nodes[i], names[i]);
    }
    return sources->n;
}

void fs_box_sources(struct node_fs *fs,
                    struct fs_box *box,
                    const struct fs_sources *sources,
                    uint64_t ms)
{
    char names[FS_FETCH_HOLDERS_MAX][KITH_NODE_ID_DIGITS + 1];
    struct kith_fs_source *out = arena_alloc(&box->arena, sources->n * sizeof(*out));

    if (out == NULL || sources->n == 0)
        return;
    uint32_t n = fs_sources_tell(fs, sources, ms, out, names);
    for (uint32_t i = 0; i < n; i++) {
        out[i].name = fs_box_text(box, out[i].name);
        if (out[i].name == NULL)
            return;
    }
    box->result.from = out;
    box->result.from_n = n;
}

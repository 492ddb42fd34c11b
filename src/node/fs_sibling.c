/* See fs_sibling.h. */
#include "node/fs_sibling.h"

#include <stdatomic.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_lists.h"
#include "node/internal.h"

/* What one call of fs_sibling_take() reads. */
#define TAKE_BYTES (64u * 1024 * 1024)

bool fs_sibling_find(struct node_fs *fs,
                     const struct content *content,
                     struct fs_sibling *sibling_out)
{
    *sibling_out = (struct fs_sibling){.content = *content};
    return fs_catalogue_content_before(fs->catalogue, content, &sibling_out->before) &&
           sibling_out->before.size > 0 &&
           fs_where_is(fs, &sibling_out->before, &sibling_out->where);
}

void fs_sibling_deinit(struct fs_sibling *sibling)
{
    fs_where_deinit(&sibling->where);
    buf_deinit(&sibling->list);
    buf_deinit(&sibling->list_before);
}

static uint64_t shared_bytes(const struct fs_sibling *sibling)
{
    return sibling->before.size < sibling->content.size ? sibling->before.size
                                                        : sibling->content.size;
}

uint32_t fs_sibling_first(const struct fs_sibling *sibling)
{
    uint32_t no = (uint32_t)(shared_bytes(sibling) >> sibling->content.chunk_log2);
    uint32_t last = content_chunks(&sibling->content) - 1;

    return no < last ? no : last;
}

/* ---- by their lists ---- */

static const uint8_t *list_of(const struct buf *list)
{
    return list->len > 0 ? list->data : NULL;
}

static bool is_equal(const struct fs_sibling *sibling, uint32_t no)
{
    return no < content_chunks(&sibling->before) &&
           memcmp(content_chunk_hash(&sibling->content, list_of(&sibling->list), no),
                  content_chunk_hash(&sibling->before, list_of(&sibling->list_before), no),
                  CONTENT_ROOT_BYTES) == 0;
}

/* One may be the beginning of the other: all whole chunks that both have are equal. */
static bool begins_alike(const struct fs_sibling *sibling)
{
    uint32_t whole = (uint32_t)(shared_bytes(sibling) >> sibling->content.chunk_log2);

    for (uint32_t i = 0; i < whole; i++)
        if (!is_equal(sibling, i))
            return false;
    return true;
}

/* False: one of them is not to be had, and so nothing is known of what they share. */
static bool read_lists(struct node_fs *fs, struct fs_sibling *sibling)
{
    return (sibling->list.len > 0 || fs_list_read(fs, &sibling->content, &sibling->list) == 0) &&
           fs_list_read(fs, &sibling->before, &sibling->list_before) == 0;
}

static void begin(struct node_fs *fs, struct fs_sibling *sibling, uint8_t *have)
{
    sibling->listed = true;
    if (!read_lists(fs, sibling)) {
        sibling->at = content_chunks(&sibling->content);
        return;
    }
    if (!sibling->may_grow || !begins_alike(sibling))
        return;
    sibling->grows = true;
    sibling->at = (uint32_t)(shared_bytes(sibling) >> sibling->content.chunk_log2);
    sibling->from = content_chunk_offset(&sibling->content, sibling->at);
    for (uint32_t i = 0; i < sibling->at; i++) {
        if (have[i] != FS_HAVE_NOT)
            continue;
        have[i] = FS_HAVE_BEFORE;
        sibling->taken_bytes += content_chunk_bytes(&sibling->content, i);
    }
}

/* ---- chunks ---- */

static void take_one(struct node_fs *fs,
                     struct fs_sibling *sibling,
                     uint32_t no,
                     uint8_t *room,
                     int fd,
                     uint8_t *have)
{
    const struct content *content = &sibling->content;
    uint64_t offset = content_chunk_offset(content, no);
    uint32_t len = content_chunk_bytes(content, no);

    /* The file of what grew may have more behind the end of the sibling. */
    if (fs_where_read(fs->move->files, &sibling->where, &sibling->before, offset, room, len) != 0 ||
        content_chunk_check(content, content_chunk_hash(content, list_of(&sibling->list), no), no,
                            room, len) != 0)
        return;
    if (!sibling->holes || !bytes_are_zero(room, len))
        sibling->code = fs_write_all(fd, room, len, offset);
    if (sibling->code != 0) {
        snprintf(sibling->text, sizeof(sibling->text), "%s", kith_errmsg());
        return;
    }
    have[no] = FS_HAVE_HERE;
    sibling->taken_bytes += len;
}

bool fs_sibling_take(struct node_fs *fs, struct fs_sibling *sibling, uint8_t *have, int fd)
{
    uint32_t chunks = content_chunks(&sibling->content);
    uint64_t left = TAKE_BYTES;
    uint8_t *room;

    sibling->taken_bytes = 0;
    if (!sibling->listed)
        begin(fs, sibling, have);
    room = sibling->at < chunks ? core_malloc((size_t)1 << sibling->content.chunk_log2) : NULL;
    if (room == NULL)
        return false;
    for (; sibling->at < chunks && sibling->code == 0 && !atomic_load(&fs->cancel); sibling->at++) {
        uint32_t len = content_chunk_bytes(&sibling->content, sibling->at);
        if (have[sibling->at] != FS_HAVE_NOT ||
            (!sibling->grows && !is_equal(sibling, sibling->at)))
            continue;
        if (len > left)
            break;
        left -= len;
        take_one(fs, sibling, sibling->at, room, fd, have);
    }
    core_free(room);
    return sibling->at < chunks && sibling->code == 0 && !atomic_load(&fs->cancel);
}

void fs_sibling_again(struct fs_sibling *sibling, uint8_t *have)
{
    sibling->grows = false;
    sibling->at = 0;
    for (uint32_t i = 0; i < content_chunks(&sibling->content); i++)
        if (have[i] == FS_HAVE_BEFORE)
            have[i] = FS_HAVE_NOT;
}

#include "fs_items.h"

#include <stdlib.h>
#include <string.h>

#include "queue.h"

#define SMALL_BYTES_MAX 2000
#define CHUNK_BYTES     131072u

void fi_deinit(struct fi_items *items)
{
    for (unsigned i = 1; i <= items->n; i++) {
        free(items->items[i].bytes);
        buf_deinit(&items->items[i].list);
    }
    map64_deinit(&items->by_root);
    items->n = 0;
}

unsigned fi_of(const struct fi_items *items, const uint8_t root[CONTENT_ROOT_BYTES])
{
    const struct fi_item *item = map64_find(&items->by_root, get_le64(root));
    bool is = item != NULL && memcmp(item->content.root, root, CONTENT_ROOT_BYTES) == 0;

    return is ? (unsigned)(item - items->items) : 0;
}

const uint8_t *fi_chunk(const struct fi_items *items, unsigned item, uint32_t chunk)
{
    const struct fi_item *it = &items->items[item];

    return it->bytes + content_chunk_offset(&it->content, chunk);
}

/* Takes @bytes over. The number of what it is, which may be one that there is already. */
static unsigned add(struct fi_items *items, uint8_t *bytes, size_t len)
{
    struct content_builder builder;
    struct kith_bytes list;
    struct fi_item *item = &items->items[items->n + 1];

    memset(item, 0, sizeof(*item));
    if (content_builder_init(&builder, CONTENT_BLAKE2B_256, len) != 0 ||
        content_builder_update(&builder, bytes, len) != 0 ||
        content_builder_end(&builder, &item->content, &list) != 0 ||
        buf_append(&item->list, list.data, list.len) != 0)
        abort();
    content_builder_deinit(&builder);
    unsigned old = fi_of(items, item->content.root);
    if (old != 0) {
        buf_deinit(&item->list);
        free(bytes);
        return old;
    }
    item->bytes = bytes;
    items->n++;
    if (map64_set(&items->by_root, get_le64(item->content.root), item) != 0)
        abort();
    return items->n;
}

static void fill(uint8_t *bytes, size_t len, struct rng *rng)
{
    for (size_t at = 0; at < len; at += 8) {
        uint8_t word[8];

        put_le64(word, rng_u64(rng));
        memcpy(bytes + at, word, len - at < 8 ? len - at : 8);
    }
}

static unsigned full(const struct fi_items *items, struct rng *rng)
{
    return 1 + (unsigned)rng_below(rng, items->n);
}

unsigned fi_make(struct fi_items *items, struct rng *rng)
{
    uint64_t kind = rng_below(rng, 16);
    size_t len = 1 + (size_t)rng_below(rng, SMALL_BYTES_MAX);

    if (items->n == FI_ITEMS_MAX)
        return full(items, rng);
    if (kind == 0)
        len = 0;
    else if (kind < 4) /* whole chunks and what is left over; now and then nothing is */
        len = CHUNK_BYTES * (1 + rng_below(rng, FI_CHUNKS_MAX - 1)) + (kind == 1 ? 0 : len);
    uint8_t *bytes = sim_realloc(NULL, len + 1, 1);
    fill(bytes, len, rng);
    for (size_t at = 0; at + CHUNK_BYTES <= len; at += CHUNK_BYTES)
        if (rng_below(rng, 6) == 0)
            memset(bytes + at, 0, CHUNK_BYTES);
    return add(items, bytes, len);
}

unsigned fi_append(struct fi_items *items, unsigned base, struct rng *rng)
{
    size_t old = (size_t)fi_content(items, base)->size;
    size_t more = 1 + (size_t)rng_below(rng, SMALL_BYTES_MAX);

    if (old + more > FI_BYTES_MAX)
        return 0;
    if (items->n == FI_ITEMS_MAX)
        return full(items, rng);
    uint8_t *bytes = sim_realloc(NULL, old + more, 1);
    memcpy(bytes, items->items[base].bytes, old);
    fill(bytes + old, more, rng);
    return add(items, bytes, old + more);
}

#include "disk.h"

#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "queue.h"

#define SYNC_NS_MIN  UINT64_C(30000)
#define SYNC_NS_SPAN UINT64_C(2000000) /* a good disk, now and then a slow moment */
#define SYNC_NS_SLOW UINT64_C(50000000)

struct disk_batch {
    struct disk_batch *next;
    uint64_t at_ns; /* of the world: safe from then on */
    uint64_t token;
    uint8_t tag;
    bool applied;
    struct disk_put *puts;
    size_t puts_n;
    uint8_t *bytes; /* keys and values */
};

/* ---- entries ---- */

static int compare(const struct disk_entry *entry, const uint8_t *key, size_t key_len)
{
    size_t len = entry->key_len < key_len ? entry->key_len : key_len;
    int order = memcmp(entry->key, key, len);

    return order != 0 ? order : (entry->key_len > key_len) - (entry->key_len < key_len);
}

/* The place of @key; *found_out: it is there. */
static size_t
place(const struct disk_image *image, const uint8_t *key, size_t key_len, bool *found_out)
{
    size_t low = 0;
    size_t high = image->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare(&image->entries[middle], key, key_len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found_out = low < image->n && compare(&image->entries[low], key, key_len) == 0;
    return low;
}

static void image_put(struct disk_image *image, const struct disk_put *put)
{
    bool found;
    size_t at = place(image, put->key, put->key_len, &found);

    if (put->data == NULL) {
        if (!found)
            return;
        free(image->entries[at].key);
        memmove(&image->entries[at], &image->entries[at + 1],
                (image->n - at - 1) * sizeof(*image->entries));
        image->n--;
        return;
    }
    if (!found) {
        if (image->n == image->cap) {
            image->cap = image->cap > 0 ? 2 * image->cap : 64;
            image->entries = sim_realloc(image->entries, image->cap, sizeof(*image->entries));
        }
        memmove(&image->entries[at + 1], &image->entries[at],
                (image->n - at) * sizeof(*image->entries));
        memset(&image->entries[at], 0, sizeof(*image->entries));
        image->n++;
    }
    struct disk_entry *entry = &image->entries[at];
    if (!found || entry->len != put->len)
        entry->key = sim_realloc(entry->key, put->key_len + put->len + 1, 1);
    memcpy(entry->key, put->key, put->key_len);
    memcpy(entry->key + put->key_len, put->data, put->len);
    entry->key_len = put->key_len;
    entry->len = put->len;
    entry->corrupt = false;
}

static void image_clear(struct disk_image *image)
{
    for (size_t i = 0; i < image->n; i++)
        free(image->entries[i].key);
    free(image->entries);
    memset(image, 0, sizeof(*image));
}

static void image_copy(struct disk_image *to, const struct disk_image *from)
{
    image_clear(to);
    for (size_t i = 0; i < from->n; i++) {
        const struct disk_entry *entry = &from->entries[i];

        image_put(to, &(struct disk_put){.key = entry->key,
                                         .key_len = entry->key_len,
                                         .data = disk_value(entry),
                                         .len = entry->len});
        to->entries[i].corrupt = entry->corrupt;
    }
}

/* ---- life ---- */

static void new_id(struct disk *disk)
{
    /* Not of the random numbers: a disk's id is the same whatever happened before. */
    memset(disk->id, 0, sizeof(disk->id));
    disk->lives++;
    disk->id[0] = 0xd1;
    for (size_t i = 0; i < 4; i++) {
        disk->id[4 + i] = (uint8_t)(disk->index >> (8 * i));
        disk->id[8 + i] = (uint8_t)(disk->lives >> (8 * i));
    }
}

void disk_init(struct disk *disk, struct sim_world *world, size_t index)
{
    memset(disk, 0, sizeof(*disk));
    disk->world = world;
    disk->index = index;
    new_id(disk);
}

static void drop_batch(struct disk *disk)
{
    struct disk_batch *batch = disk->first;

    disk->first = batch->next;
    if (disk->first == NULL)
        disk->last = NULL;
    free(batch->puts);
    free(batch->bytes);
    free(batch);
}

void disk_deinit(struct disk *disk)
{
    while (disk->first != NULL)
        drop_batch(disk);
    image_clear(&disk->now);
    image_clear(&disk->older);
}

/* ---- writing ---- */

static uint64_t sync_ns(struct disk *disk)
{
    struct rng *rng = sim_rng(disk->world);

    if (rng_below(rng, 64) == 0)
        return SYNC_NS_MIN + rng_below(rng, SYNC_NS_SLOW);
    return SYNC_NS_MIN + rng_below(rng, SYNC_NS_SPAN);
}

void disk_write(
    struct disk *disk, uint8_t tag, uint64_t token, const struct disk_put *puts, size_t puts_n)
{
    struct disk_batch *batch = sim_realloc(NULL, 1, sizeof(*batch));
    uint64_t now_ns = sim_world_ns(disk->world);
    size_t bytes = 0;
    uint8_t *at;

    memset(batch, 0, sizeof(*batch));
    for (size_t i = 0; i < puts_n; i++)
        bytes += puts[i].key_len + puts[i].len;
    batch->bytes = sim_realloc(NULL, bytes + 1, 1);
    batch->puts = sim_realloc(NULL, puts_n + 1, sizeof(*puts));
    batch->puts_n = puts_n;
    batch->tag = tag;
    batch->token = token;
    at = batch->bytes;
    for (size_t i = 0; i < puts_n; i++) {
        batch->puts[i] = puts[i];
        memcpy(at, puts[i].key, puts[i].key_len);
        batch->puts[i].key = at;
        at += puts[i].key_len;
        if (puts[i].data == NULL)
            continue;
        if (puts[i].len > 0)
            memcpy(at, puts[i].data, puts[i].len);
        batch->puts[i].data = at;
        at += puts[i].len;
    }
    /* One writer that commits what has come in while it was busy: batches queue. */
    uint64_t start_ns = now_ns > disk->stalled_until_ns ? now_ns : disk->stalled_until_ns;
    batch->at_ns = start_ns + sync_ns(disk);
    if (batch->at_ns < disk->busy_until_ns)
        batch->at_ns = disk->busy_until_ns;
    disk->busy_until_ns = batch->at_ns;
    if (disk->last != NULL)
        disk->last->next = batch;
    else
        disk->first = batch;
    disk->last = batch;
    sim_wake_ns(sim_node_at(disk->world, disk->index), batch->at_ns);
}

static void apply(struct disk *disk, struct disk_batch *batch)
{
    if (batch->applied)
        return;
    batch->applied = true;
    disk->syncs_n++;
    for (size_t i = 0; i < batch->puts_n; i++)
        image_put(&disk->now, &batch->puts[i]);
}

bool disk_next_done(struct disk *disk, uint8_t *tag_out, uint64_t *token_out)
{
    if (disk->first == NULL || disk->first->at_ns > sim_world_ns(disk->world))
        return false;
    apply(disk, disk->first);
    *tag_out = disk->first->tag;
    *token_out = disk->first->token;
    drop_batch(disk);
    return true;
}

void disk_crash(struct disk *disk)
{
    struct rng *rng = sim_rng(disk->world);
    bool keeps = true;

    while (disk->first != NULL) {
        /* What was safe stays; of the rest some first ones may have made it. */
        if (disk->first->at_ns > sim_world_ns(disk->world))
            keeps = keeps && rng_below(rng, 3) == 0;
        if (keeps)
            apply(disk, disk->first);
        drop_batch(disk);
    }
    disk->busy_until_ns = 0;
}

/* ---- faults ---- */

void disk_stall(struct disk *disk, uint64_t for_ms)
{
    sim_note(disk->world, "disk of %zu stalls for %llu ms", disk->index,
             (unsigned long long)for_ms);
    disk->stalled_until_ns = sim_world_ns(disk->world) + for_ms * 1000000;
}

void disk_stall_ends(struct disk *disk)
{
    uint64_t now_ns = sim_world_ns(disk->world);
    bool stalled = disk->stalled_until_ns > now_ns;

    disk->stalled_until_ns = 0;
    if (!stalled)
        return;
    disk->busy_until_ns = now_ns;
    for (struct disk_batch *batch = disk->first; batch != NULL; batch = batch->next) {
        if (batch->at_ns <= now_ns)
            continue;
        batch->at_ns = now_ns + sync_ns(disk);
        if (batch->at_ns < disk->busy_until_ns)
            batch->at_ns = disk->busy_until_ns;
        disk->busy_until_ns = batch->at_ns;
        sim_wake_ns(sim_node_at(disk->world, disk->index), batch->at_ns);
    }
}

bool disk_rot(struct disk *disk)
{
    size_t at;

    if (disk->now.n == 0)
        return false;
    at = (size_t)rng_below(sim_rng(disk->world), disk->now.n);
    disk->now.entries[at].corrupt = true;
    sim_note(disk->world, "disk of %zu: entry %zu of %zu goes bad", disk->index, at, disk->now.n);
    return true;
}

bool disk_is_corrupt(const struct disk *disk)
{
    for (size_t i = 0; i < disk->now.n; i++) {
        if (disk->now.entries[i].corrupt)
            return true;
    }
    return false;
}

void disk_snapshot(struct disk *disk)
{
    sim_note(disk->world, "disk of %zu: snapshot", disk->index);
    image_copy(&disk->older, &disk->now);
    disk->has_older = true;
}

bool disk_restore(struct disk *disk)
{
    if (!disk->has_older)
        return false;
    sim_note(disk->world, "disk of %zu is set back to its snapshot", disk->index);
    image_copy(&disk->now, &disk->older);
    return true;
}

void disk_wipe(struct disk *disk)
{
    sim_note(disk->world, "disk of %zu is replaced", disk->index);
    image_clear(&disk->now);
    image_clear(&disk->older);
    disk->has_older = false;
    new_id(disk);
}

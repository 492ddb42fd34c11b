/*
 * Segmented LRU in two places. A chunk begins in the first segment and comes to the second when it
 * is used again; the second has at most PROTECTED_PERCENT of a place's bytes, its last ones fall
 * back to the front of the first. Who must go is the last of the first segment.
 */
#include "fs/cache.h"

#include <assert.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/list.h"
#include "core/map.h"
#include "kith/error.h"

#define PROTECTED_PERCENT 80
/* Moved out of memory each time that the use is told and is over the mark. */
#define MOVED_CHUNKS 256
#define MOVED_BYTES  (64u << 20)

enum segment { ONCE = 0, AGAIN = 1, SEGMENTS_N };
#define PLACES_N 2

struct file { /* a content of which something is here, or which is pinned */
    struct file *next_same;
    uint8_t root[CONTENT_ROOT_BYTES];
    uint64_t bytes;
    bool pinned;
    struct list entries;
};

struct entry { /* a chunk */
    struct entry *next_same;
    struct file *file;
    uint32_t chunk;
    uint32_t bytes;
    uint8_t place, segment;
    struct list lru; /* newest first; not that of what is pinned on the disk */
    struct list of_file;
};

struct place {
    uint64_t bytes;
    uint64_t again_bytes; /* in the second segment */
    struct list lru[SEGMENTS_N];
};

struct cache_core {
    struct cache_config config;
    struct place places[PLACES_N]; /* by enum cache_place less one */
    struct map64 files;            /* by root; chained */
    struct map64 entries;          /* by root and chunk; chained */
    uint64_t chunks;
    uint64_t pins;
    uint64_t pinned_bytes; /* wherever they are */
    uint64_t disk_pinned;  /* of them on the disk */
    bool over;
    struct cache_stats stats;
    struct cache_action *actions;
    size_t actions_n, actions_cap;
    int error;
};

/* ---- output ---- */

static void act(struct cache_core *core,
                enum cache_action_type type,
                const struct entry *entry,
                enum cache_place from,
                enum cache_place to)
{
    if (core->actions_n == core->actions_cap) {
        size_t cap = core->actions_cap * 2 + 64;
        struct cache_action *more = core_realloc(core->actions, cap * sizeof(*more));
        if (more == NULL) {
            core->error = KITH_E_MEMORY;
            return;
        }
        core->actions = more;
        core->actions_cap = cap;
    }
    struct cache_action *action = &core->actions[core->actions_n++];
    *action = (struct cache_action){
        .type = type, .chunk = entry->chunk, .bytes = entry->bytes, .from = from, .to = to};
    memcpy(action->root, entry->file->root, sizeof(action->root));
}

/* ---- finding ---- */

static uint64_t file_key(const uint8_t root[CONTENT_ROOT_BYTES])
{
    return get_le64(root);
}

static uint64_t entry_key(const uint8_t root[CONTENT_ROOT_BYTES], uint32_t chunk)
{
    return get_le64(root + 8) + chunk * 0x9e3779b97f4a7c15u;
}

static struct file *file_find(const struct cache_core *core, const uint8_t *root)
{
    struct file *file = map64_find(&core->files, file_key(root));
    while (file != NULL && memcmp(file->root, root, CONTENT_ROOT_BYTES) != 0)
        file = file->next_same;
    return file;
}

static struct entry *entry_find(const struct cache_core *core, const uint8_t *root, uint32_t chunk)
{
    struct entry *entry = map64_find(&core->entries, entry_key(root, chunk));
    while (entry != NULL &&
           (entry->chunk != chunk || memcmp(entry->file->root, root, CONTENT_ROOT_BYTES) != 0))
        entry = entry->next_same;
    return entry;
}

static struct file *file_get(struct cache_core *core, const uint8_t *root)
{
    struct file *file = file_find(core, root);
    if (file != NULL)
        return file;
    file = core_calloc(1, sizeof(*file));
    if (file == NULL) {
        core->error = KITH_E_MEMORY;
        return NULL;
    }
    memcpy(file->root, root, sizeof(file->root));
    list_init(&file->entries);
    file->next_same = map64_find(&core->files, file_key(root));
    if (map64_set(&core->files, file_key(root), file) != 0) {
        core->error = KITH_E_MEMORY;
        core_free(file);
        return NULL;
    }
    return file;
}

static void file_free_if_empty(struct cache_core *core, struct file *file)
{
    if (file->pinned || !list_empty(&file->entries))
        return;
    struct file *first = map64_find(&core->files, file_key(file->root));
    if (first != file) {
        while (first->next_same != file)
            first = first->next_same;
        first->next_same = file->next_same;
    } else if (file->next_same != NULL) { /* replaces, which cannot fail */
        (void)map64_set(&core->files, file_key(file->root), file->next_same);
    } else {
        (void)map64_remove(&core->files, file_key(file->root));
    }
    core_free(file);
}

/* ---- places ---- */

static struct place *place_of(struct cache_core *core, enum cache_place place)
{
    return &core->places[place - CACHE_MEMORY];
}

static uint64_t max_of(const struct cache_core *core, enum cache_place place)
{
    return place == CACHE_MEMORY ? core->config.memory_bytes_max : core->config.disk_bytes_max;
}

static void leave(struct cache_core *core, struct entry *entry)
{
    struct place *place = place_of(core, entry->place);
    place->bytes -= entry->bytes;
    if (entry->segment == AGAIN)
        place->again_bytes -= entry->bytes;
    if (entry->place == CACHE_DISK && entry->file->pinned)
        core->disk_pinned -= entry->bytes;
    list_remove(&entry->lru);
}

/* Linked as what was used last of its segment. */
static void enter(struct cache_core *core, struct entry *entry, enum cache_place to)
{
    struct place *place = place_of(core, to);
    entry->place = (uint8_t)to;
    place->bytes += entry->bytes;
    if (entry->segment == AGAIN)
        place->again_bytes += entry->bytes;
    if (to == CACHE_DISK && entry->file->pinned) {
        core->disk_pinned += entry->bytes;
        return;
    }
    list_prepend(&place->lru[entry->segment], &entry->lru);
}

/* The second segment keeps to its share. */
static void fall_back(struct cache_core *core, enum cache_place at)
{
    struct place *place = place_of(core, at);
    while (place->again_bytes > max_of(core, at) / 100 * PROTECTED_PERCENT &&
           !list_empty(&place->lru[AGAIN])) {
        struct entry *last = container_of(place->lru[AGAIN].prev, struct entry, lru);
        leave(core, last);
        last->segment = ONCE;
        enter(core, last, at);
    }
}

static void entry_free(struct cache_core *core, struct entry *entry)
{
    struct file *file = entry->file;
    uint64_t key = entry_key(file->root, entry->chunk);
    leave(core, entry);
    struct entry *first = map64_find(&core->entries, key);
    if (first != entry) {
        while (first->next_same != entry)
            first = first->next_same;
        first->next_same = entry->next_same;
    } else if (entry->next_same != NULL) {
        (void)map64_set(&core->entries, key, entry->next_same);
    } else {
        (void)map64_remove(&core->entries, key);
    }
    list_remove(&entry->of_file);
    file->bytes -= entry->bytes;
    if (file->pinned)
        core->pinned_bytes -= entry->bytes;
    core->chunks--;
    core_free(entry);
    file_free_if_empty(core, file);
}

static void drop(struct cache_core *core, struct entry *entry)
{
    core->stats.dropped++;
    act(core, CACHE_DROP, entry, entry->place, CACHE_NONE);
    entry_free(core, entry);
}

/* Who goes next from there; not @spared. NULL: nobody can. */
static struct entry *
last_of(struct cache_core *core, enum cache_place at, const struct entry *spared)
{
    struct place *place = place_of(core, at);
    for (unsigned segment = ONCE; segment < SEGMENTS_N; segment++) {
        for (struct list *it = place->lru[segment].prev; it != &place->lru[segment];
             it = it->prev) {
            struct entry *entry = container_of(it, struct entry, lru);
            if (entry != spared)
                return entry;
        }
    }
    return NULL;
}

static void make_disk_room(struct cache_core *core, uint64_t bytes, const struct entry *spared)
{
    struct entry *last;
    while (place_of(core, CACHE_DISK)->bytes + bytes > core->config.disk_bytes_max &&
           (last = last_of(core, CACHE_DISK, spared)) != NULL)
        drop(core, last);
}

/* Out of memory, to the disk if that has room for it. False: it was dropped. */
static bool to_disk(struct cache_core *core, struct entry *entry)
{
    make_disk_room(core, entry->bytes, NULL);
    if (place_of(core, CACHE_DISK)->bytes + entry->bytes > core->config.disk_bytes_max) {
        drop(core, entry);
        return false;
    }
    leave(core, entry);
    core->stats.to_disk++;
    act(core, CACHE_MOVE, entry, CACHE_MEMORY, CACHE_DISK);
    enter(core, entry, CACHE_DISK);
    fall_back(core, CACHE_DISK);
    return true;
}

static void make_memory_room(struct cache_core *core, uint64_t bytes, const struct entry *spared)
{
    struct entry *last;
    while (place_of(core, CACHE_MEMORY)->bytes + bytes > core->config.memory_bytes_max &&
           (last = last_of(core, CACHE_MEMORY, spared)) != NULL)
        (void)to_disk(core, last);
}

/* Who goes for the number of chunks. NULL: all are pinned. */
static struct entry *one_less(struct cache_core *core, const struct entry *spared)
{
    struct entry *last = last_of(core, CACHE_DISK, spared);
    for (unsigned segment = ONCE; segment < SEGMENTS_N && last == NULL; segment++) {
        const struct list *head = &place_of(core, CACHE_MEMORY)->lru[segment];
        for (struct list *it = head->prev; it != head && last == NULL; it = it->prev) {
            struct entry *entry = container_of(it, struct entry, lru);
            if (entry != spared && !entry->file->pinned)
                last = entry;
        }
    }
    return last;
}

static void make_chunk_room(struct cache_core *core, const struct entry *spared)
{
    struct entry *last;
    while (core->chunks > core->config.chunks_max && (last = one_less(core, spared)) != NULL)
        drop(core, last);
}

/* ---- events ---- */

static uint64_t pinned_max(const struct cache_core *core)
{
    return core->config.disk_bytes_max -
           core->config.disk_bytes_max / 100 * (100 - CACHE_PINNED_PERCENT);
}

static int all_pinned(const struct cache_core *core)
{
    return kith_fail_with(KITH_E_LIMIT,
                          "%llu of the disk cache's %llu bytes are pinned, which leaves no room; "
                          "unpin something or raise fs.cache_disk_max",
                          (unsigned long long)core->pinned_bytes,
                          (unsigned long long)core->config.disk_bytes_max);
}

/* Of a chunk that is not here. CACHE_NONE: nowhere. */
static enum cache_place place_for(struct cache_core *core, const struct file *file, uint32_t n)
{
    bool pinned = file != NULL && file->pinned;
    if (pinned && core->pinned_bytes + n > pinned_max(core))
        return CACHE_NONE;
    if (core->chunks >= core->config.chunks_max && one_less(core, NULL) == NULL)
        return CACHE_NONE;
    if (!core->over && n <= core->config.memory_bytes_max)
        return CACHE_MEMORY;
    return core->disk_pinned + n <= core->config.disk_bytes_max ? CACHE_DISK : CACHE_NONE;
}

static struct entry *
entry_new(struct cache_core *core, const struct cache_event *event, enum cache_place place)
{
    uint64_t key = entry_key(event->root, event->chunk);
    struct file *file = file_get(core, event->root);
    struct entry *entry = file != NULL ? core_calloc(1, sizeof(*entry)) : NULL;
    if (entry != NULL) {
        entry->next_same = map64_find(&core->entries, key);
        if (map64_set(&core->entries, key, entry) == 0) {
            entry->file = file;
            entry->chunk = event->chunk;
            entry->bytes = event->bytes;
            list_append(&file->entries, &entry->of_file);
            file->bytes += entry->bytes;
            if (file->pinned)
                core->pinned_bytes += entry->bytes;
            core->chunks++;
            enter(core, entry, place);
            return entry;
        }
        core_free(entry);
    }
    core->error = KITH_E_MEMORY;
    if (file != NULL)
        file_free_if_empty(core, file);
    return NULL;
}

static void refuse(struct cache_core *core, const struct cache_event *event)
{
    struct file file = {0};
    struct entry entry = {.file = &file, .chunk = event->chunk, .bytes = event->bytes};
    memcpy(file.root, event->root, sizeof(file.root));
    act(core, CACHE_DROP, &entry, CACHE_NONE, CACHE_NONE);
}

static void use(struct cache_core *core, struct entry *entry)
{
    enum cache_place place = entry->place;
    if (place == CACHE_DISK && entry->file->pinned)
        return; /* it needs no order */
    leave(core, entry);
    entry->segment = AGAIN;
    enter(core, entry, place);
    fall_back(core, place);
}

static int add(struct cache_core *core, const struct cache_event *event, bool found)
{
    struct entry *entry = entry_find(core, event->root, event->chunk);
    if (entry != NULL) { /* it came twice */
        use(core, entry);
        if (!found)
            refuse(core, event);
        return 0;
    }
    enum cache_place place = place_for(core, file_find(core, event->root), event->bytes);
    if (found && place != CACHE_NONE)
        place = core->disk_pinned + event->bytes <= core->config.disk_bytes_max ? CACHE_DISK
                                                                                : CACHE_NONE;
    entry = place != CACHE_NONE ? entry_new(core, event, place) : NULL;
    if (entry == NULL) {
        refuse(core, event);
        if (found && core->actions_n > 0)
            core->actions[core->actions_n - 1].from = CACHE_DISK;
        return core->error == 0 ? all_pinned(core) : core->error;
    }
    if (!found)
        act(core, CACHE_KEEP, entry, CACHE_NONE, place);
    if (place == CACHE_MEMORY)
        make_memory_room(core, 0, entry);
    else
        make_disk_room(core, 0, entry);
    make_chunk_room(core, entry);
    return 0;
}

static void get(struct cache_core *core, const struct cache_event *event, struct cache_output *out)
{
    struct entry *entry = entry_find(core, event->root, event->chunk);
    core->stats.gets++;
    if (entry == NULL)
        return;
    out->place = entry->place;
    core->stats.memory_hits += entry->place == CACHE_MEMORY;
    core->stats.disk_hits += entry->place == CACHE_DISK;
    use(core, entry);
    if (entry->place == CACHE_MEMORY || core->over || entry->bytes > core->config.memory_bytes_max)
        return;
    leave(core, entry);
    entry->segment = AGAIN;
    act(core, CACHE_MOVE, entry, CACHE_DISK, CACHE_MEMORY);
    core->stats.to_memory++;
    enter(core, entry, CACHE_MEMORY);
    make_memory_room(core, 0, entry);
    fall_back(core, CACHE_MEMORY);
}

static int pin(struct cache_core *core, const uint8_t *root)
{
    struct file *file = file_get(core, root);
    if (file == NULL)
        return KITH_E_MEMORY;
    if (file->pinned)
        return 0;
    int r = 0;
    if (core->pinned_bytes + file->bytes > pinned_max(core))
        r = all_pinned(core);
    else if (core->pins >= FS_CACHE_PINS_MAX)
        r = kith_fail_with(KITH_E_LIMIT, "%llu contents are pinned; unpin some",
                           (unsigned long long)core->pins);
    if (r != 0) {
        file_free_if_empty(core, file);
        return r;
    }
    list_for_each (it, &file->entries) {
        struct entry *entry = container_of(it, struct entry, of_file);
        if (entry->place != CACHE_DISK)
            continue;
        list_remove(&entry->lru);
        core->disk_pinned += entry->bytes;
    }
    file->pinned = true;
    core->pins++;
    core->pinned_bytes += file->bytes;
    return 0;
}

static void unpin(struct cache_core *core, struct file *file)
{
    if (file == NULL || !file->pinned)
        return;
    file->pinned = false;
    core->pins--;
    core->pinned_bytes -= file->bytes;
    list_for_each (it, &file->entries) {
        struct entry *entry = container_of(it, struct entry, of_file);
        if (entry->place != CACHE_DISK)
            continue;
        core->disk_pinned -= entry->bytes;
        list_prepend(&core->places[1].lru[entry->segment], &entry->lru);
    }
    fall_back(core, CACHE_DISK);
    file_free_if_empty(core, file);
}

static void forget(struct cache_core *core, const uint8_t *root)
{
    struct file *file = file_find(core, root);
    if (file == NULL)
        return;
    bool empty = list_empty(&file->entries);
    unpin(core, file);
    while (!empty) {
        struct entry *entry = container_of(file->entries.next, struct entry, of_file);
        empty = entry->of_file.next == &file->entries;
        drop(core, entry); /* with the last the file goes */
    }
}

static void empty(struct cache_core *core)
{
    for (unsigned place = CACHE_MEMORY; place <= CACHE_DISK; place++) {
        for (unsigned segment = ONCE; segment < SEGMENTS_N; segment++) {
            list_for_each_safe (it, &place_of(core, place)->lru[segment]) {
                struct entry *entry = container_of(it, struct entry, lru);
                if (!entry->file->pinned)
                    drop(core, entry);
            }
        }
    }
}

static void memory_use(struct cache_core *core, uint8_t percent)
{
    if (percent >= core->config.memory_mark)
        core->over = true;
    else if (percent + CACHE_MARK_GAP <= core->config.memory_mark)
        core->over = false;
    uint64_t bytes = 0;
    struct entry *last;
    for (unsigned n = 0; core->over && n < MOVED_CHUNKS && bytes < MOVED_BYTES &&
                         (last = last_of(core, CACHE_MEMORY, NULL)) != NULL;
         n++) {
        bytes += last->bytes;
        (void)to_disk(core, last);
    }
}

/* ---- steps ---- */

int cache_step(struct cache_core *core, const struct cache_event *event, struct cache_output *out)
{
    int r = 0;
    struct entry *entry;
    core->actions_n = 0;
    core->error = 0;
    *out = (struct cache_output){.place = CACHE_NONE};
    switch (event->type) {
    case CACHE_ADD:
        r = add(core, event, false);
        break;
    case CACHE_FOUND:
        r = add(core, event, true);
        break;
    case CACHE_GET:
        get(core, event, out);
        break;
    case CACHE_PIN:
        r = pin(core, event->root);
        break;
    case CACHE_UNPIN:
        unpin(core, file_find(core, event->root));
        break;
    case CACHE_FORGET:
        forget(core, event->root);
        break;
    case CACHE_USE:
        memory_use(core, event->percent);
        break;
    case CACHE_FAILED:
        entry = entry_find(core, event->root, event->chunk);
        if (entry != NULL)
            entry_free(core, entry);
        break;
    case CACHE_EMPTY:
        empty(core);
        break;
    }
    out->actions = core->actions;
    out->actions_n = core->actions_n;
    return r != 0 ? r : core->error;
}

int cache_new(struct cache_core **core_out, const struct cache_config *config)
{
    struct cache_core *core = core_calloc(1, sizeof(*core));
    if (core == NULL)
        return KITH_E_MEMORY;
    core->config = *config;
    struct cache_config *c = &core->config;
    c->memory_bytes_max =
        c->memory_bytes_max != 0 ? c->memory_bytes_max : FS_CACHE_MEMORY_BYTES_MAX;
    c->disk_bytes_max = c->disk_bytes_max != 0 ? c->disk_bytes_max : FS_CACHE_DISK_BYTES_MAX;
    c->chunks_max = c->chunks_max != 0 ? c->chunks_max : FS_CACHE_CHUNKS_MAX;
    c->memory_mark = c->memory_mark != 0 ? c->memory_mark : 80;
    for (unsigned i = 0; i < PLACES_N; i++)
        for (unsigned k = 0; k < SEGMENTS_N; k++)
            list_init(&core->places[i].lru[k]);
    *core_out = core;
    return 0;
}

void cache_free(struct cache_core *core)
{
    if (core == NULL)
        return;
    size_t at = 0;
    struct file *file;
    while ((file = map64_next(&core->files, &at)) != NULL) {
        while (file != NULL) {
            struct file *next = file->next_same;
            list_for_each_safe (it, &file->entries)
                core_free(container_of(it, struct entry, of_file));
            core_free(file);
            file = next;
        }
    }
    map64_deinit(&core->files);
    map64_deinit(&core->entries);
    core_free(core->actions);
    core_free(core);
}

/* ---- questions ---- */

enum cache_place
cache_find(const struct cache_core *core, const uint8_t root[CONTENT_ROOT_BYTES], uint32_t chunk)
{
    const struct entry *entry = entry_find(core, root, chunk);
    return entry != NULL ? (enum cache_place)entry->place : CACHE_NONE;
}

bool cache_pinned(const struct cache_core *core, const uint8_t root[CONTENT_ROOT_BYTES])
{
    const struct file *file = file_find(core, root);
    return file != NULL && file->pinned;
}

uint64_t cache_bytes_of(const struct cache_core *core, const uint8_t root[CONTENT_ROOT_BYTES])
{
    const struct file *file = file_find(core, root);
    return file != NULL ? file->bytes : 0;
}

void cache_stats(const struct cache_core *core, struct cache_stats *stats_out)
{
    *stats_out = core->stats;
    stats_out->memory_bytes = core->places[0].bytes;
    stats_out->disk_bytes = core->places[1].bytes;
    stats_out->pinned_bytes = core->pinned_bytes;
    stats_out->chunks = core->chunks;
    stats_out->pins = core->pins;
    stats_out->memory_bytes_max = core->config.memory_bytes_max;
    stats_out->disk_bytes_max = core->config.disk_bytes_max;
    stats_out->over_mark = core->over;
}

struct sums {
    uint64_t bytes[PLACES_N], again[PLACES_N];
    uint64_t pinned, disk_pinned, chunks;
};

static void check_file(const struct cache_core *core, const struct file *file, struct sums *sums)
{
    assert(file->pinned || !list_empty(&file->entries));
    list_for_each (it, &file->entries) {
        const struct entry *entry = container_of(it, struct entry, of_file);
        bool off = file->pinned && entry->place == CACHE_DISK;
        sums->bytes[entry->place - 1] += entry->bytes;
        sums->again[entry->place - 1] += entry->segment == AGAIN ? entry->bytes : 0;
        sums->pinned += file->pinned ? entry->bytes : 0;
        sums->disk_pinned += off ? entry->bytes : 0;
        sums->chunks++;
        assert(off != list_linked(&entry->lru));
        assert(entry_find(core, file->root, entry->chunk) == entry);
    }
    (void)core;
}

void cache_check(const struct cache_core *core)
{
    struct sums sums = {0};
    size_t at = 0;
    const struct file *file;
    while ((file = map64_next(&core->files, &at)) != NULL)
        for (; file != NULL; file = file->next_same)
            check_file(core, file, &sums);
    for (unsigned i = 0; i < PLACES_N; i++) {
        assert(sums.bytes[i] == core->places[i].bytes);
        assert(sums.again[i] == core->places[i].again_bytes);
        assert(sums.bytes[i] <= max_of(core, i + 1));
    }
    assert(sums.pinned == core->pinned_bytes && sums.disk_pinned == core->disk_pinned);
    assert(sums.chunks == core->chunks && sums.chunks <= core->config.chunks_max);
    assert(sums.pinned <= pinned_max(core));
}

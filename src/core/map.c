/*
 * The three maps are one algorithm over three kinds of key. It is written once, as a macro that is
 * given how to hash and compare; the look-ups that run for every call stand inline in the header.
 */
#include "core/map.h"

#include <assert.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "kith/error.h"

#define CAP_MIN 16

/* At most 5/8 full: about 1.8 probes for a hit and 4 for a miss with linear probing. */
static bool is_full(size_t n, size_t cap)
{
    return (n + 1) * 8 > cap * 5;
}

/*
 * HASH(slot) gives the hash of the slot's key; SAME(slot, other) compares two keys by slot.
 * Everything below works on whole slots.
 */
#define DEFINE_MAP(NAME, HASH, SAME)                                                               \
    static size_t NAME##_probe(const struct NAME *map, const struct NAME##_slot *want)             \
    {                                                                                              \
        size_t mask = map->cap - 1;                                                                \
        size_t i = (size_t)HASH(want) & mask;                                                      \
        while (map->slots[i].value != NULL && !SAME(&map->slots[i], want))                         \
            i = (i + 1) & mask;                                                                    \
        return i;                                                                                  \
    }                                                                                              \
                                                                                                   \
    static int NAME##_grow(struct NAME *map)                                                       \
    {                                                                                              \
        struct NAME bigger = {.n = map->n, .cap = map->cap == 0 ? CAP_MIN : map->cap * 2};         \
        bigger.slots = core_calloc(bigger.cap, sizeof(*bigger.slots));                             \
        if (bigger.slots == NULL)                                                                  \
            return KITH_E_MEMORY;                                                                  \
        for (size_t i = 0; i < map->cap; i++)                                                      \
            if (map->slots[i].value != NULL)                                                       \
                bigger.slots[NAME##_probe(&bigger, &map->slots[i])] = map->slots[i];               \
        core_free(map->slots);                                                                     \
        *map = bigger;                                                                             \
        return 0;                                                                                  \
    }                                                                                              \
                                                                                                   \
    static int NAME##_set_slot(struct NAME *map, const struct NAME##_slot *slot)                   \
    {                                                                                              \
        assert(slot->value != NULL);                                                               \
        if (map->n > 0) {                                                                          \
            size_t i = NAME##_probe(map, slot);                                                    \
            if (map->slots[i].value != NULL) {                                                     \
                map->slots[i] = *slot;                                                             \
                return 0;                                                                          \
            }                                                                                      \
        }                                                                                          \
        if (is_full(map->n, map->cap)) {                                                           \
            int r = NAME##_grow(map);                                                              \
            if (r != 0)                                                                            \
                return r;                                                                          \
        }                                                                                          \
        map->slots[NAME##_probe(map, slot)] = *slot;                                               \
        map->n++;                                                                                  \
        return 0;                                                                                  \
    }                                                                                              \
                                                                                                   \
    /* Closes the gap at @gap: whatever was pushed past it by its presence moves back. */          \
    static void NAME##_close_gap(struct NAME *map, size_t gap)                                     \
    {                                                                                              \
        size_t mask = map->cap - 1;                                                                \
        for (size_t i = (gap + 1) & mask; map->slots[i].value != NULL; i = (i + 1) & mask) {       \
            size_t home = (size_t)HASH(&map->slots[i]) & mask;                                     \
            if (((i - home) & mask) >= ((i - gap) & mask)) {                                       \
                map->slots[gap] = map->slots[i];                                                   \
                gap = i;                                                                           \
            }                                                                                      \
        }                                                                                          \
        map->slots[gap].value = NULL;                                                              \
        map->n--;                                                                                  \
    }                                                                                              \
                                                                                                   \
    static void *NAME##_remove_slot(struct NAME *map, const struct NAME##_slot *want)              \
    {                                                                                              \
        if (map->n == 0)                                                                           \
            return NULL;                                                                           \
        size_t i = NAME##_probe(map, want);                                                        \
        void *value = map->slots[i].value;                                                         \
        if (value != NULL)                                                                         \
            NAME##_close_gap(map, i);                                                              \
        return value;                                                                              \
    }                                                                                              \
                                                                                                   \
    void NAME##_deinit(struct NAME *map)                                                           \
    {                                                                                              \
        core_free(map->slots);                                                                     \
        *map = (struct NAME){0};                                                                   \
    }                                                                                              \
                                                                                                   \
    void *NAME##_next(const struct NAME *map, size_t *at)                                          \
    {                                                                                              \
        while (*at < map->cap) {                                                                   \
            void *value = map->slots[(*at)++].value;                                               \
            if (value != NULL)                                                                     \
                return value;                                                                      \
        }                                                                                          \
        return NULL;                                                                               \
    }

#define HASH_64(slot)   map64_hash((slot)->key)
#define SAME_64(a, b)   ((a)->key == (b)->key)
#define HASH_ID(slot)   mapid_hash(&(slot)->key)
#define SAME_ID(a, b)   (memcmp(&(a)->key, &(b)->key, sizeof((a)->key)) == 0)
#define HASH_TEXT(slot) ((slot)->hash)
#define SAME_TEXT(a, b) ((a)->hash == (b)->hash && strcmp((a)->key, (b)->key) == 0)

DEFINE_MAP(map64, HASH_64, SAME_64)
DEFINE_MAP(mapid, HASH_ID, SAME_ID)
DEFINE_MAP(maptext, HASH_TEXT, SAME_TEXT)

int map64_set(struct map64 *map, uint64_t key, void *value)
{
    return map64_set_slot(map, &(struct map64_slot){.key = key, .value = value});
}

void *map64_remove(struct map64 *map, uint64_t key)
{
    return map64_remove_slot(map, &(struct map64_slot){.key = key});
}

int mapid_set(struct mapid *map, const struct kith_node_id *key, void *value)
{
    return mapid_set_slot(map, &(struct mapid_slot){.key = *key, .value = value});
}

void *mapid_remove(struct mapid *map, const struct kith_node_id *key)
{
    return mapid_remove_slot(map, &(struct mapid_slot){.key = *key});
}

static struct maptext_slot text_slot(const char *key, void *value)
{
    return (struct maptext_slot){
        .key = key, .value = value, .hash = hash_bytes(key, strlen(key), 0)};
}

void *maptext_find(const struct maptext *map, const char *key)
{
    if (map->n == 0)
        return NULL;
    struct maptext_slot want = text_slot(key, NULL);
    return map->slots[maptext_probe(map, &want)].value;
}

int maptext_set(struct maptext *map, const char *key, void *value)
{
    struct maptext_slot slot = text_slot(key, value);
    return maptext_set_slot(map, &slot);
}

void *maptext_remove(struct maptext *map, const char *key)
{
    struct maptext_slot want = text_slot(key, NULL);
    return maptext_remove_slot(map, &want);
}

/* The two halves of a 128-bit product, folded: every input bit reaches every output bit. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t hash_bytes(const void *data, size_t len, uint64_t seed)
{
    const uint8_t *p = data;
    uint64_t h = seed ^ 0xa0761d6478bd642fu;
    size_t left = len;
    for (; left >= 16; left -= 16, p += 16)
        h = fold(get_le64(p) ^ 0xe7037ed1a0b428dbu, get_le64(p + 8) ^ h);
    uint64_t a = 0;
    uint64_t b = 0;
    if (left >= 8) {
        a = get_le64(p);
        b = get_le64(p + left - 8);
    } else if (left >= 4) {
        a = get_le32(p);
        b = get_le32(p + left - 4);
    } else if (left > 0) {
        a = (uint64_t)p[0] << 16 | (uint64_t)p[left / 2] << 8 | p[left - 1];
    }
    h = fold(a ^ 0x8ebc6af09c88c6e3u, b ^ h);
    return fold(h ^ 0x589965cc75374cc3u, (uint64_t)len ^ 0x1d8e4e27c47d124fu);
}

/*
 * Open-addressing hash maps from a fixed-size key to a pointer: linear probing, deletion by
 * shifting back, so that there are no tombstones and look-ups stay short. {0} is empty and valid.
 *
 * Iteration order depends on the history only, so it is the same on every compiler. A map never
 * shrinks: adding again what was removed does not allocate.
 */
#ifndef CORE_MAP_H
#define CORE_MAP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kith/api.h"

/* ---- key: u64 ---- */

struct map64_slot {
    uint64_t key;
    void *value; /* NULL: free */
};
struct map64 {
    struct map64_slot *slots;
    size_t n;
    size_t cap; /* power of two, or 0 */
};

/* Spreads what counters and addresses leave in the low bits; the high half of a product is the good
 * one. */
static inline uint64_t map64_hash(uint64_t key)
{
    uint64_t h = key * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

void map64_deinit(struct map64 *map);
/* The value, or NULL if absent. */
static inline void *map64_find(const struct map64 *map, uint64_t key)
{
    if (map->n == 0)
        return NULL;
    size_t mask = map->cap - 1;
    for (size_t i = map64_hash(key) & mask;; i = (i + 1) & mask) {
        const struct map64_slot *slot = &map->slots[i];
        if (slot->key == key || slot->value == NULL)
            return slot->value; /* free slots have a NULL value, whatever their key */
    }
}
/* Sets @key to @value (not NULL), replacing. 0 or KITH_E_MEMORY (unchanged). */
int map64_set(struct map64 *map, uint64_t key, void *value);
void *map64_remove(struct map64 *map, uint64_t key); /* the value, or NULL */
/* `size_t at = 0; while ((v = map64_next(m, &at)) != NULL)`; no changes meanwhile. */
void *map64_next(const struct map64 *map, size_t *at);

/* ---- key: node id ---- */

struct mapid_slot {
    struct kith_node_id key;
    void *value;
};
struct mapid {
    struct mapid_slot *slots;
    size_t n;
    size_t cap;
};

/* An id is a hash already, but a test's or a program's may be small numbers: both halves are mixed.
 */
static inline uint64_t mapid_hash(const struct kith_node_id *key)
{
    uint64_t half[2];
    memcpy(half, key->bytes, sizeof(half));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    half[0] = __builtin_bswap64(half[0]);
    half[1] = __builtin_bswap64(half[1]);
#endif
    uint64_t h = (half[0] ^ (half[1] << 31 | half[1] >> 33)) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

void mapid_deinit(struct mapid *map);
static inline void *mapid_find(const struct mapid *map, const struct kith_node_id *key)
{
    if (map->n == 0)
        return NULL;
    size_t mask = map->cap - 1;
    for (size_t i = mapid_hash(key) & mask;; i = (i + 1) & mask) {
        const struct mapid_slot *slot = &map->slots[i];
        if (slot->value == NULL || memcmp(&slot->key, key, sizeof(*key)) == 0)
            return slot->value;
    }
}
int mapid_set(struct mapid *map, const struct kith_node_id *key, void *value);
void *mapid_remove(struct mapid *map, const struct kith_node_id *key);
void *mapid_next(const struct mapid *map, size_t *at);

/* ---- key: text (borrowed from the value for as long as it is in the map) ---- */

struct maptext_slot {
    const char *key;
    void *value;
    uint64_t hash; /* most strangers are told apart, and the map grows, without reading keys */
};
struct maptext {
    struct maptext_slot *slots;
    size_t n;
    size_t cap;
};

void maptext_deinit(struct maptext *map);
void *maptext_find(const struct maptext *map, const char *key);
/* As above; when it replaces, the old key is let go too. */
int maptext_set(struct maptext *map, const char *key, void *value);
void *maptext_remove(struct maptext *map, const char *key);
void *maptext_next(const struct maptext *map, size_t *at);

/* 64-bit mix of @len bytes; not cryptographic, the same on every machine. */
uint64_t hash_bytes(const void *data, size_t len, uint64_t seed);

#endif

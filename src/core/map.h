/*
 * Open-addressing hash maps from a fixed-size key to a pointer. {0} is not valid: init first.
 *
 * Iteration order depends on the seed and the history only, so it is the same on every compiler.
 */
#ifndef CORE_MAP_H
#define CORE_MAP_H

#include <stddef.h>
#include <stdint.h>

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

void map64_deinit(struct map64 *map);
void *map64_find(const struct map64 *map, uint64_t key); /* NULL if absent */
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

void mapid_deinit(struct mapid *map);
void *mapid_find(const struct mapid *map, const struct kith_node_id *key);
int mapid_set(struct mapid *map, const struct kith_node_id *key, void *value);
void *mapid_remove(struct mapid *map, const struct kith_node_id *key);
void *mapid_next(const struct mapid *map, size_t *at);

/* ---- key: text (borrowed from the value for as long as it is in the map) ---- */

struct maptext_slot {
    const char *key;
    void *value;
};
struct maptext {
    struct maptext_slot *slots;
    size_t n;
    size_t cap;
};

void maptext_deinit(struct maptext *map);
void *maptext_find(const struct maptext *map, const char *key);
int maptext_set(struct maptext *map, const char *key, void *value);
void *maptext_remove(struct maptext *map, const char *key);
void *maptext_next(const struct maptext *map, size_t *at);

/* 64-bit mix of @len bytes; not cryptographic, the same on every machine. */
uint64_t hash_bytes(const void *data, size_t len, uint64_t seed);

#endif

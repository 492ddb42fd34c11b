/*
 * What a core's PERSIST action carries, and what a disk takes: the store of src/store, and the one
 * that the simulator makes up. Keys and values are bytes; the first byte of a key says whose it is.
 */
#ifndef STORE_BATCH_H
#define STORE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kith/api.h"

/* First bytes of keys. */
#define STORE_KEY_STORE 's' /* the store's own: schema, disk id; nobody else may write it */
#define STORE_KEY_VIEW  'v'
#define STORE_KEY_DVAR  'd'
#define STORE_KEY_MUTEX 'm'
#define STORE_KEY_FS    'f'

/* One entry to write, or with @erase to remove; removing what is not there is fine. */
struct store_put {
    struct kith_bytes key;   /* 1 to STORE_KEY_BYTES_MAX bytes */
    struct kith_bytes value; /* at most STORE_VALUE_BYTES_MAX bytes; nothing with @erase */
    bool erase;
};

/* Entries that become durable together or not at all; of one key the last one counts. */
struct store_batch {
    const struct store_put *puts;
    size_t puts_n; /* 1 to STORE_BATCH_PUTS_MAX */
};

/* An entry as it comes back at a start. */
struct store_entry {
    struct kith_bytes key;
    struct kith_bytes value; /* empty if corrupt */
    bool corrupt; /* its checksum is wrong: the value is lost, the key may be wrong too */
};

/*
 * Votes and what else the view writes are small, and without them nodes cannot agree on anything;
 * so on a full disk they are still written, from a reserve, when variables are not.
 */
static inline bool store_put_essential(const struct store_put *put)
{
    return put->key.len > 0 && *(const uint8_t *)put->key.data == STORE_KEY_VIEW;
}

#endif

/*
 * A version: what a path was made to be by one disk at one time. Never changed; signed by its
 * author's node (Ed25519 over fs_version_signed()).
 *
 * A disk's versions of one path are a line: each has seen the one before it. Of two versions of a
 * path that one is history which the other has seen (fs_version_before()). Versions of which
 * neither is are concurrent; fs_version_order() says which is shown first. docs/protocols/fs.md has
 * the whole.
 */
#ifndef FS_VERSION_H
#define FS_VERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/limits.h"
#include "fs/content.h"
#include "kith/api.h"

#define FS_ROOT_BYTES      CONTENT_ROOT_BYTES
#define FS_DISK_BYTES      16
#define FS_KEY_BYTES       32
#define FS_SIGNATURE_BYTES 64

/* On the wire and on disk; numbers are never reused. */
enum fs_kind {
    FS_FILE = 1,
    FS_DIRECTORY = 2,
    FS_SYMLINK = 3,
    FS_DELETED = 4,
};

/* A disk (one data directory); a fresh one has another id, whatever the node's key. */
struct fs_disk_id {
    uint8_t bytes[FS_DISK_BYTES];
};
static inline bool fs_disk_equal(const struct fs_disk_id *a, const struct fs_disk_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
/* Counters that were folded (FS_VECTOR_MAX) stand under the id of zeros. */
extern const struct fs_disk_id fs_disk_folded;

/* ---- vectors ---- */

struct fs_counter {
    struct fs_disk_id disk;
    uint64_t counter; /* never 0 */
};
/* Ascending by disk id, each once. Counters that were folded, because there were too many, are one
 * of them: under the id of zeros, with their maximum. */
struct fs_vector {
    uint32_t n;
    struct fs_counter counters[FS_VECTOR_MAX];
};

/* 0 if it is not there. */
uint64_t fs_vector_of(const struct fs_vector *vector, const struct fs_disk_id *disk);
/* @into becomes the least that has seen both. Folds the lowest where it would be too long, but
 * never
 * @keep's (may be NULL). */
void fs_vector_join(struct fs_vector *into,
                    const struct fs_vector *other,
                    const struct fs_disk_id *keep);
/*
 * The counter of @disk becomes max(old + 1, @unix_ms): a wiped or restored disk cannot look like an
 * ancestor of what it once wrote (hole 32). Milliseconds, as no path changes more often than that,
 * so counters do not run ahead of the clock. Folds another if there is no room. Gives the counter.
 */
uint64_t
fs_vector_advance(struct fs_vector *vector, const struct fs_disk_id *disk, uint64_t unix_ms);

/* ---- versions ---- */

/* @key is the node's public key, whose BLAKE2b-128 is @node: a version can be checked by whoever
 * has never heard of its author. */
struct fs_author {
    struct fs_disk_id disk;
    struct kith_node_id node;
    uint8_t key[FS_KEY_BYTES];
};

/* Decoded; @target borrows. */
struct fs_version {
    uint8_t kind;     /* enum fs_kind */
    uint8_t replicas; /* of a share's root (FS_DIRECTORY at ""): copies wanted; 0: the default */
    uint32_t mode;    /* permission bits, 07777 */
    int64_t mtime_ns; /* since 1970 */
    struct content content; /* FS_FILE; else zeros */
    const char *target;     /* FS_SYMLINK: its text */
    uint32_t target_len;
    uint64_t moment; /* wall ms << 16 | count */
    struct fs_author author;
    struct fs_vector vector;
    uint8_t signature[FS_SIGNATURE_BYTES];
};

static inline uint64_t fs_moment_ms(uint64_t moment)
{
    return moment >> 16;
}

/*
 * Whether @a is history of @b: @b has seen the change that made @a (its author's counter), and all
 * that @a had seen. Of the latter a counter that is absent from @b counts as seen if it may have
 * been folded there; of the former never, so a fold makes a conflict out of what is none, at worst,
 * and never hides one. Two versions with the same counter of one author (a restored disk under a
 * wrong clock) are before each other: what differs then is concurrent, fs_version_replaces() says
 * false.
 */
bool fs_version_before(const struct fs_version *a, const struct fs_version *b);
/* @b stands for @a too: @a is before @b and not the other way round. */
static inline bool fs_version_replaces(const struct fs_version *b, const struct fs_version *a)
{
    return fs_version_before(a, b) && !fs_version_before(b, a);
}

/* Whether two versions say the same of the path: kind, content, target. Such versions count as one.
 */
bool fs_version_same(const struct fs_version *a, const struct fs_version *b);
/*
 * Of concurrent versions of a path, which is shown first: what is there before what is deleted,
 * then the greater moment, then the greater author. Less than 0: @a is shown before @b. 0 for
 * copies of one version only.
 */
int fs_version_order(const struct fs_version *a, const struct fs_version *b);
/* Appends what the author signs: share, path and all of the version but the signature and key. 0 or
 * KITH_E_MEMORY. */
int fs_version_signed(const char *share,
                      size_t share_len,
                      const char *path,
                      size_t path_len,
                      const struct fs_version *version,
                      struct buf *out);

/* 64 bits over what is signed: tells versions apart, in one path and over all. Never 0. */
uint64_t fs_version_id(const void *signed_bytes, size_t len);

/* By itself, as it is kept on disk and handed to others than the catalogue. 0 or KITH_E_MEMORY. */
int fs_version_encode(const struct fs_version *version, struct buf *out);
/* Reads one; everything is bounded and in its order. 0, or KITH_E_CORRUPT and @r is bad. The target
 * points into @r's bytes. */
int fs_version_decode(struct reader *r, struct fs_version *version_out);

/* ---- for the wire of the catalogue, which names disks by number ---- */

/* Up to the target. False if it is no good. */
bool fs_version_front_read(struct reader *r, struct fs_version *version);
int fs_version_front_append(const struct fs_version *version, struct buf *out);
/* Whether vector and author are in their order and bounds. */
bool fs_version_fits(const struct fs_version *version);

#endif

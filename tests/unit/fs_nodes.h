/*
 * Catalogues side by side where all goes well: frames arrive in their order at once, signatures are
 * made and checked at once, what is written is durable. For tests of single rules.
 */
#ifndef TESTS_UNIT_FS_NODES_H
#define TESTS_UNIT_FS_NODES_H

#include "core/bytes.h"
#include "fs/catalogue.h"
#include "lib/test.h"

#define NODES_MAX 8

struct nodes_change {
    enum catalogue_what what;
    char path[64];
    char from[64];
    uint64_t before, after; /* version ids */
};

struct nodes_kept { /* on the disk */
    uint8_t key[CATALOGUE_KEY_BYTES_MAX];
    size_t key_len;
    struct buf data;
};

struct nodes_node {
    struct fs_catalogue *core;
    struct fs_author author;
    struct nodes_change changes[64];
    size_t changes_n;
    uint64_t contents_n; /* CONTENT actions */
    int code;            /* of the last PUBLISHED */
    uint64_t published_id, published_version;
    uint64_t published_n;
    bool keeps; /* what is persisted is kept in `kept` */
    struct nodes_kept *kept;
    size_t kept_n, kept_cap;
    bool holds_sync; /* STORED does not come by itself */
    uint64_t held_token;
    unsigned forged_n, renewed_n;
    uint64_t verified_n, signed_n, sent_bytes;
    bool lies; /* its signatures are wrong */
};

struct nodes {
    struct nodes_node node[NODES_MAX];
    bool linked[NODES_MAX][NODES_MAX];
    uint64_t now_ms, wall_ms;
    struct catalogue_config config; /* but for self */
};
extern struct nodes ns;

void nodes_begin(unsigned n);
void nodes_end(void);
/* A step, and all that follows from it at other nodes. Gives what it gave. */
int nodes_step(unsigned i, struct catalogue_event *event);
void nodes_link(unsigned a, unsigned b, bool up);
void nodes_wait(uint64_t ms); /* time goes by, ticks come */
void nodes_stop(unsigned i);
void nodes_start(unsigned i); /* again, from what is kept */
struct content nodes_content(unsigned content);
/* A file of share "s" (a content above 0); 0 deletes. Gives the code. */
int nodes_put(unsigned i, const char *path, unsigned content, uint8_t basis);
struct fs_publication nodes_publication(uint8_t change, uint8_t basis, const char *path);
int nodes_publish(unsigned i, const struct fs_publication *publication);
int nodes_hold(unsigned i, unsigned content, bool held);
/* The size of what is shown, which is its content; 0: nothing. */
unsigned nodes_shows(unsigned i, const char *path);
struct fs_entry nodes_stat(unsigned i, const char *path);
/* NULL: there was none since the last call of nodes_forget_changes(). */
const struct nodes_change *nodes_change(unsigned i, enum catalogue_what what, const char *path);
void nodes_forget_changes(void);

#endif

/*
 * The catalogue from inside:
 *
 *     catalogue.c          life, output, the table of events, timers
 *     catalogue_memory.c   records, of which there are most
 *     catalogue_tree.c     paths: nodes and folders
 *     catalogue_known.c    disks, authors, versions, contents
 *     catalogue_tally.c    who holds what many paths have
 *     catalogue_records.c  records of disks, what nobody names any more
 *     catalogue_current.c  what is current, and what changed
 *     catalogue_own.c      the own index: batches that are signed, stored, announced
 *     catalogue_publish.c  what publications come to
 *     catalogue_wire.c     records as bytes
 *     catalogue_disks.c    which disks count
 *     catalogue_spread.c   heads, hashes, pulls
 *     catalogue_receive.c  records that come in
 *     catalogue_store.c    what is kept on disk
 *     catalogue_read.c     look-ups and lists
 *     catalogue_check.c    invariants
 *     contents.c           contents by their root
 *
 * What it is made of is in catalogue_types.h.
 */
#ifndef FS_CATALOGUE_INTERNAL_H
#define FS_CATALOGUE_INTERNAL_H

#include "core/alloc.h"
#include "core/error.h"
#include "core/mutant.h"
#include "fs/catalogue_types.h"

/* ---- catalogue.c ---- */

/* Grows an array to @n + 1 elements of @size. False if memory is short (core->error is set). */
bool fsc_grow(struct fs_catalogue *core, void *array, size_t *cap, size_t n, size_t size);
/* NULL if memory is short (core->error is set). Zeroed but for the type. */
struct catalogue_action *fsc_act(struct fs_catalogue *core, enum catalogue_action_type type);
/* A copy that lives for this step; NULL if memory is short. */
void *fsc_keep(struct fs_catalogue *core, const void *data, size_t len);
void fsc_send(struct fs_catalogue *core,
              const struct kith_node_id *peer,
              const void *data,
              size_t len);
void fsc_send_kept(struct fs_catalogue *core,
                   const struct kith_node_id *peer,
                   const void *data,
                   size_t len);
static inline uint64_t fsc_unix_s(const struct fs_catalogue *core)
{
    return core->wall_ms / 1000;
}
static inline struct kith_node_id fsc_node_of(const struct fs_catalogue *core, uint32_t disk)
{
    return core->writers[core->disks[disk]->writer].node;
}

/* ---- catalogue_memory.c ---- */

/* What links lead to. */
static inline struct fs_node *fsc_node(const struct fs_catalogue *core, struct fs_node_link link)
{
    return slab_at(&core->slab, link.at);
}
static inline struct fs_known *fsc_known(const struct fs_catalogue *core, struct fs_known_link link)
{
    return slab_at(&core->slab, link.at);
}
static inline struct fs_blob *fsc_blob(const struct fs_catalogue *core, struct fs_blob_link link)
{
    return fs_contents_blob(&core->contents, link);
}
static inline struct fs_node_link fsc_node_link(const struct fs_node *node)
{
    return (struct fs_node_link){slab_link(node)};
}
static inline struct fs_known_link fsc_known_link(const struct fs_known *known)
{
    return (struct fs_known_link){slab_link(known)};
}

static inline struct fs_node *fsc_parent(const struct fs_catalogue *core,
                                         const struct fs_node *node)
{
    return fsc_node(core, node->parent);
}
static inline struct fs_folder *fsc_folder(const struct fs_catalogue *core,
                                           const struct fs_node *node)
{
    return slab_at(&core->slab, node->folder.at);
}
static inline struct fs_node *fsc_left(const struct fs_catalogue *core, const struct fs_node *node)
{
    return fsc_node(core, node->left);
}
static inline struct fs_node *fsc_right(const struct fs_catalogue *core, const struct fs_node *node)
{
    return fsc_node(core, node->right);
}
/* Through the versions of a path, in the order of their list. */
static inline struct fs_known *fsc_versions(const struct fs_catalogue *core,
                                            const struct fs_node *node)
{
    return fsc_known(core, node->versions);
}
static inline struct fs_known *fsc_older(const struct fs_catalogue *core,
                                         const struct fs_known *known)
{
    return fsc_known(core, known->next);
}
static inline struct fs_node *fsc_known_node(const struct fs_catalogue *core,
                                             const struct fs_known *known)
{
    return fsc_node(core, known->node);
}
static inline struct fs_blob *fsc_blob_of(const struct fs_catalogue *core,
                                          const struct fs_known *known)
{
    return fsc_blob(core, known->blob);
}
static inline struct fs_tally *fsc_tally(const struct fs_catalogue *core,
                                         const struct fs_blob *blob)
{
    return slab_at(&core->slab, blob->of.tally.at);
}
/* Through the versions of a content. */
static inline struct fs_known *fsc_blob_first(const struct fs_catalogue *core,
                                              const struct fs_blob *blob)
{
    bool tallied = (blob->flags & FS_BLOB_TALLIED) != 0;
    return fsc_known(core, tallied ? fsc_tally(core, blob)->first : blob->of.first);
}
static inline struct fs_known *fsc_next_of_blob(const struct fs_catalogue *core,
                                                const struct fs_known *known)
{
    return fsc_known(core, known->of_blob);
}
/* The version that a record names, which is not GONE. */
static inline struct fs_known *fsc_named(const struct fs_catalogue *core,
                                         const struct fs_record *record)
{
    return fsc_known(core, record->of.known);
}

/* A record that is all zeros; 0 if memory is short or there are too many. */
uint32_t fsc_record_alloc(struct fs_catalogue *core);
void fsc_record_free(struct fs_catalogue *core, uint32_t ref);
/* @ref is not 0. */
static inline struct fs_record *fsc_at(const struct fs_catalogue *core, uint32_t ref)
{
    return &core->record_blocks[ref / FS_RECORDS_BLOCK][ref % FS_RECORDS_BLOCK];
}
/* NULL for 0. */
static inline struct fs_record *fsc_record(const struct fs_catalogue *core, uint32_t ref)
{
    return ref != 0 ? fsc_at(core, ref) : NULL;
}
/* Through the records of a path. */
static inline struct fs_record *fsc_first(const struct fs_catalogue *core,
                                          const struct fs_node *node)
{
    return fsc_record(core, node->records);
}
static inline struct fs_record *fsc_next(const struct fs_catalogue *core,
                                         const struct fs_record *record)
{
    return fsc_record(core, record->next);
}

/* ---- catalogue_tree.c ---- */

struct fs_node *fsc_child(const struct fs_catalogue *core,
                          const struct fs_folder *folder,
                          const char *name,
                          size_t len);
/* The first child that is greater than @name, or, if @with, not less. */
struct fs_node *fsc_child_after(const struct fs_catalogue *core,
                                const struct fs_folder *folder,
                                const char *name,
                                size_t len,
                                bool with);
/* In the treap of a folder. */
bool fsc_stands_above(const struct fs_catalogue *core,
                      const struct fs_node *above,
                      const struct fs_node *node);
/* NULL if there is none. */
struct fs_node *
fsc_find(const struct fs_catalogue *core, struct kith_bytes share, struct kith_bytes path);
/* Makes it and the folders above it. NULL: memory. What stays empty goes at the next step. */
struct fs_node *
fsc_make(struct fs_catalogue *core, struct kith_bytes share, struct kith_bytes path);
void fsc_prune_later(struct fs_catalogue *core, struct fs_node *node);
void fsc_prune(struct fs_catalogue *core);
/* What it is counted as in all folders above. */
struct fs_counted {
    bool shown, file, conflicted;
    uint64_t bytes;
};
void fsc_count(struct fs_catalogue *core,
               struct fs_node *node,
               const struct fs_counted *is,
               uint64_t was_bytes);
/* Writes the path within the share, with a NUL; gives its length. @out has FS_PATH_BYTES_MAX + 1.
 */
size_t fsc_path(const struct fs_catalogue *core, const struct fs_node *node, char *out);
const struct fs_node *fsc_share(const struct fs_catalogue *core, const struct fs_node *node);

/* ---- catalogue_known.c ---- */

/* NULL: the limit, or memory. */
struct fs_disk *fsc_disk(struct fs_catalogue *core, const struct fs_disk_id *id);
struct fs_disk *fsc_disk_find(const struct fs_catalogue *core, const struct fs_disk_id *id);
/* 0: the limit, or memory. */
uint32_t fsc_writer(struct fs_catalogue *core, const struct fs_author *author);
/* Whether the key is the node's. */
bool fsc_author_fits(const struct fs_author *author);
struct fs_known *
fsc_known_find(const struct fs_catalogue *core, const struct fs_node *node, uint64_t id);
/* A new one, which nothing points to yet and that is not in its node's list. NULL: memory or limit.
 */
struct fs_known *fsc_known_new(struct fs_catalogue *core,
                               struct fs_node *node,
                               const struct fs_version *version,
                               uint64_t id);
void fsc_known_list(struct fs_catalogue *core, struct fs_known *known);
/* No version of its path any more, until a record names it again; its node is dirty. */
void fsc_known_unlist(struct fs_catalogue *core, struct fs_known *known);
void fsc_known_unref(struct fs_catalogue *core, struct fs_known *known);
/* Frees what nothing points to any more. */
void fsc_dead_free(struct fs_catalogue *core);
void fsc_known_expand(const struct fs_catalogue *core,
                      const struct fs_known *known,
                      struct fs_version *version_out);
/* As those of version.h. */
bool fsc_before(const struct fs_catalogue *core,
                const struct fs_known *a,
                const struct fs_known *b);
bool fsc_same(const struct fs_known *a, const struct fs_known *b);
int fsc_order(const struct fs_catalogue *core, const struct fs_known *a, const struct fs_known *b);
uint64_t fsc_counter_of(const struct fs_known *known, uint32_t disk);
/* The id of @version; its signed bytes are in core->scratch. 0: memory. */
uint64_t
fsc_id_of(struct fs_catalogue *core, const struct fs_node *node, const struct fs_version *version);
static inline struct fs_blob *fsc_blob_find(const struct fs_catalogue *core,
                                            const uint8_t root[FS_ROOT_BYTES])
{
    return fs_contents_find(&core->contents, root);
}
void fsc_blob_dirty(struct fs_catalogue *core, struct fs_blob *blob);

/* ---- catalogue_tally.c ---- */

/* A version of the content has come or gone: counts begin with the 17th and end with the 7th. */
void fsc_tally_fit(struct fs_catalogue *core, struct fs_blob *blob);
void fsc_tally_free(struct fs_catalogue *core, struct fs_blob *blob);
/* A record that is not LOST names the version, or does not any more. */
void fsc_tally_record(struct fs_catalogue *core,
                      const struct fs_known *known,
                      const struct fs_record *record,
                      bool there);
/* The version is one of its path and no history, or not any more. */
void fsc_tally_live(struct fs_catalogue *core, const struct fs_known *known, bool live);
/* Asserts that they are what the versions say. */
void fsc_tally_check(const struct fs_catalogue *core, const struct fs_blob *blob);

/* ---- catalogue_records.c ---- */

static inline struct fs_node *fsc_record_node(const struct fs_catalogue *core,
                                              const struct fs_record *record)
{
    bool gone = (record->flags & FS_RECORD_GONE) != 0;
    return fsc_node(core, gone ? record->of.node : fsc_named(core, record)->node);
}
/* The record of a line; LOST ones are none. 0: there is none. */
uint32_t fsc_record_find(const struct fs_catalogue *core,
                         const struct fs_node *node,
                         uint32_t disk,
                         uint8_t line);
/* As the newest of the disk (@number above all); replaces what is there of the line. @known NULL:
 * GONE. False: memory or limit, nothing is changed. */
bool fsc_record_put(struct fs_catalogue *core,
                    struct fs_disk *disk,
                    struct fs_node *node,
                    struct fs_known *known,
                    uint64_t number,
                    uint8_t flags,
                    uint8_t line);
/* Makes all records of the disk stale: a new pass begins. */
bool fsc_pass_begin(struct fs_catalogue *core, struct fs_disk *disk);
/* What is stale by now is of no index any more. */
void fsc_pass_end(struct fs_catalogue *core, struct fs_disk *disk);
struct fs_wire_record;
/* Of RECALL: a record that is in no index yet. @known NULL: GONE. */
bool fsc_record_aside(struct fs_catalogue *core,
                      struct fs_disk *disk,
                      struct fs_node *node,
                      struct fs_known *known,
                      const struct fs_wire_record *wire,
                      uint32_t pass);
/* Such a one goes to where it belongs, or as if it had never been. In the order of their numbers.
 */
bool fsc_record_settle(struct fs_catalogue *core,
                       struct fs_disk *disk,
                       uint32_t ref,
                       uint32_t pass);
void fsc_record_forget(struct fs_catalogue *core, uint32_t ref);
void fsc_lost_drop(struct fs_catalogue *core, uint32_t ref);
uint64_t fsc_record_sum(const struct fs_catalogue *core, const struct fs_record *record);
void fsc_touch(struct fs_catalogue *core, struct fs_node *node);
/* Finds out anew what is current in all that was touched, and tells what changed. */
void fsc_refresh(struct fs_catalogue *core);
void fsc_tidy_later(struct fs_catalogue *core, struct fs_node *node);
bool fsc_deleted_long_ago(const struct fs_catalogue *core,
                          const struct fs_known *known,
                          uint64_t less_ms);
/* Old GONE records, old deletions. */
void fsc_sweep(struct fs_catalogue *core);
static inline struct fs_known *fsc_current(const struct fs_catalogue *core,
                                           const struct fs_node *node)
{
    struct fs_known *first = fsc_versions(core, node);
    bool shown = first != NULL && (first->flags & FS_KNOWN_SHOWN) != 0;
    return shown && first->kind != FS_DELETED ? first : NULL;
}

/* ---- catalogue_own.c ---- */

bool fsc_own_add(struct fs_catalogue *core, const struct fs_own *op);
/* What the step has gathered goes to be signed or stored. */
void fsc_own_submit(struct fs_catalogue *core);
void fsc_own_signed(struct fs_catalogue *core, const struct catalogue_event *event);
void fsc_own_stored(struct fs_catalogue *core, const struct catalogue_event *event);
void fsc_own_start(struct fs_catalogue *core);
void fsc_own_free(struct fs_catalogue *core);
/* Others have an index of this disk that this is not the continuation of. */
void fsc_renew(struct fs_catalogue *core, uint64_t index_id, uint64_t highest);
void fsc_published(struct fs_catalogue *core, uint64_t id, int code, uint64_t version_id);
/* What the own records of a path should be, beside what was published. */
void fsc_tidy(struct fs_catalogue *core, struct fs_node *node, struct fs_ticket *ticket);
void fsc_tidy_all(struct fs_catalogue *core);
void fsc_ticket_done(struct fs_catalogue *core, struct fs_ticket *ticket, int code);

/* ---- catalogue_publish.c ---- */

void fsc_publish(struct fs_catalogue *core, const struct fs_publication *publication);
void fsc_hold(struct fs_catalogue *core, const struct fs_holding *holding);
/* Begins what waited for nodes that are not busy any more. */
void fsc_waiting_run(struct fs_catalogue *core);
bool fsc_wait(struct fs_catalogue *core,
              struct fs_node *node,
              const struct fs_publication *publication,
              struct fs_ticket *ticket);

/* ---- catalogue_wire.c ---- */

enum fs_message {
    FS_MSG_HEADS = 1,
    FS_MSG_HASH = 2,
    FS_MSG_PULL = 3,
    FS_MSG_RECORDS = 4,
    FS_MSG_NONE = 5,
};
#define FS_MESSAGE_FILL_BYTES (48 * 1024)

/* Records are gathered in core->body with the tables of disks and writers that they name. */
struct fs_pack {
    struct fs_catalogue *core;
    struct buf *body;
    uint32_t *disks; /* by number in this pack */
    uint32_t disks_n, disks_cap;
    uint32_t *writers;
    uint32_t writers_n, writers_cap;
    int error;
};
void fsc_pack_begin(struct fs_catalogue *core, struct fs_pack *pack);
void fsc_pack_record(struct fs_pack *pack, const struct fs_record *record);
size_t fsc_pack_bytes(const struct fs_pack *pack);
/* Appends tables and records. 0 or KITH_E_MEMORY. */
int fsc_pack_end(struct fs_pack *pack, struct buf *out);

struct fs_unpack {
    struct reader *r;
    const uint8_t *ids;
    uint32_t ids_n;
    const uint8_t *writers;
    uint32_t writers_n;
};
struct fs_wire_record {
    uint64_t number;
    uint8_t flags;
    uint8_t line;
    struct kith_bytes share, path;
    struct fs_version version; /* unless GONE */
};
bool fsc_unpack_begin(struct fs_unpack *unpack, struct reader *r);
/* False at the end, and if it is no good (r->bad). */
bool fsc_unpack_record(struct fs_unpack *unpack, struct fs_wire_record *record_out);

int fsc_head_append(struct buf *out, const struct fs_head *head);
bool fsc_head_read(struct reader *r, struct fs_head *head_out);
struct fs_head fsc_head_of(const struct fs_catalogue *core, const struct fs_disk *disk);
int fsc_append_le(struct buf *out, uint64_t value, size_t bytes);

/* ---- catalogue_spread.c ---- */

int fsc_receive(struct fs_catalogue *core, const struct kith_node_id *peer, struct kith_bytes data);
void fsc_link_up(struct fs_catalogue *core, const struct kith_node_id *peer);
void fsc_link_down(struct fs_catalogue *core, const struct kith_node_id *peer);
/* The own index has grown from @from on. */
void fsc_push_own(struct fs_catalogue *core, uint64_t from);
void fsc_announce(struct fs_catalogue *core, struct fs_disk *disk);
void fsc_flush(struct fs_catalogue *core);
void fsc_hash_next(struct fs_catalogue *core);
void fsc_pulls_run(struct fs_catalogue *core);
uint64_t fsc_hash(const struct fs_catalogue *core);
void fsc_own_head(struct fs_catalogue *core,
                  const struct fs_head *head,
                  const struct kith_node_id *peer);
/* NULL: *code_out, or the limit. */
struct fs_disk *
fsc_disk_of_head(struct fs_catalogue *core, const struct fs_head *head, int *code_out);
/* It was forgotten, and this is nothing new of it. */
bool fsc_is_barred(const struct fs_catalogue *core,
                   const struct fs_disk *disk,
                   const struct fs_head *head,
                   const struct kith_node_id *peer);
bool fsc_is_beyond(uint64_t index_id, uint64_t highest, const struct fs_disk *disk);
bool fsc_is_of(const struct fs_catalogue *core,
               const struct fs_disk *disk,
               const struct kith_node_id *peer);
bool fsc_gives_way(const struct fs_catalogue *core,
                   const struct fs_disk *disk,
                   const struct fs_head *head,
                   const struct kith_node_id *peer);
void fsc_want(struct fs_catalogue *core,
              struct fs_disk *disk,
              const struct kith_node_id *peer,
              const struct fs_head *head);
void fsc_repull(struct fs_catalogue *core,
                struct fs_disk *disk,
                const struct kith_node_id *peer,
                const struct fs_head *head);
void fsc_send_head(struct fs_catalogue *core,
                   const struct kith_node_id *peer,
                   const struct fs_disk *disk);
void fsc_pull_end(struct fs_catalogue *core, struct fs_disk *disk);
void fsc_source_remove(struct fs_catalogue *core,
                       struct fs_disk *disk,
                       const struct kith_node_id *peer);

/* ---- catalogue_disks.c ---- */

void fsc_forget(struct fs_catalogue *core, const struct kith_node_id *node);
/* The node that the head names has a later disk. */
bool fsc_is_superseded(struct fs_catalogue *core, struct fs_disk *disk, const struct fs_head *head);
/* All of the disk's index is here: it is its node's, or the later one is. */
void fsc_supersede(struct fs_catalogue *core, struct fs_disk *disk);

/* ---- catalogue_receive.c ---- */

enum fs_records_flags {
    FS_RECORDS_LAST = 1, /* of the answer to a PULL */
};
int fsc_on_records(struct fs_catalogue *core,
                   const struct kith_node_id *peer,
                   struct kith_bytes data);
void fsc_verified(struct fs_catalogue *core, const struct catalogue_event *event);
void fsc_parked_free(struct fs_catalogue *core);

/* ---- catalogue_store.c ---- */

void fsc_persist_record(struct fs_catalogue *core, const struct fs_record *record, uint32_t pass);
void fsc_persist_drop(struct fs_catalogue *core, uint32_t disk, uint32_t pass, uint64_t number);
void fsc_persist_head(struct fs_catalogue *core, const struct fs_disk *disk, uint64_t highest);
int fsc_recall(struct fs_catalogue *core, struct kith_bytes key, struct kith_bytes data);
void fsc_recall_end(struct fs_catalogue *core);

#endif

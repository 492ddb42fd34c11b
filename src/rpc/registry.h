/*
 * Who has which function. Each node's list is its own, versioned, and dies with its boot; changes
 * are pushed to all while nodes are few and pulled when a newer version is heard of
 * (protocols 5.6).
 */
#ifndef RPC_REGISTRY_H
#define RPC_REGISTRY_H

#include "rpc/state.h"

struct entry_texts {
    const char *name;
    const char *version;
    const char *description;
    const char *signature;
};

/* ---- one entry ---- */

/* Copies the texts (NULL is ""). 0 or KITH_E_MEMORY. */
int entry_set_texts(struct entry *entry, const struct entry_texts *texts);
/* Makes it findable by name. 0; KITH_E_MEMORY; KITH_E_EXISTS if another name has the same hash. */
int entry_link(struct rpc_core *core, struct entry *entry, uint64_t hash);
void entry_unlink(struct rpc_core *core, struct entry *entry);

/* ---- by name ---- */

static inline struct fn *fn_find(const struct rpc_core *core, uint64_t hash)
{
    return map64_find(&core->fns, hash);
}
/* Finds or makes it, and takes a reference. 0; KITH_E_NAME; KITH_E_MEMORY. */
int fn_get(struct rpc_core *core, uint64_t hash, const char *name, struct fn **fn_out);
void fn_unref(struct rpc_core *core, struct fn *fn);
/* The entry of @peer (NULL: this node), or NULL. */
struct entry *fn_entry_of(const struct fn *fn, const struct rpc_peer *peer);
void fns_deinit(struct rpc_core *core);

/* ---- ours ---- */

/* A function was added, or the name @removed withdrawn: a new version, told to all soon. */
void registry_changed(struct rpc_core *core, struct rpc_export *added, const char *removed);
void registry_push(struct rpc_core *core);
/* Functions have run: the others hear how often, every 30 s at most and while nodes are few. */
void registry_note_run(struct rpc_core *core);
void registry_tell_counters(struct rpc_core *core);
/* @peer is new here: asks for its list while nodes are few. */
void registry_greet(struct rpc_core *core, struct rpc_peer *peer);

/* ---- of peers ---- */

/* Drops all entries of @peer. True if it had any. */
bool registry_clear(struct rpc_core *core, struct rpc_peer *peer);
/* A version of @peer was heard of. */
void registry_heard(struct rpc_core *core, struct rpc_peer *peer, uint64_t version);
/* An entry of @peer proved wrong: asks for the list again. */
void registry_distrust(struct rpc_core *core, struct rpc_peer *peer);
void registry_on_pull_timer(struct rpc_core *core, struct rpc_peer *peer);
int registry_on_update(struct rpc_core *core,
                       struct rpc_peer *peer,
                       const uint8_t *body,
                       size_t len);
int registry_on_pull(struct rpc_core *core, struct rpc_peer *peer, const uint8_t *body, size_t len);

/* ---- registry_wire.c ---- */

struct registry_update {
    uint64_t boot_no;
    uint64_t base_version;
    uint64_t version;
    uint32_t part;
    uint32_t parts;
    struct entry **entries; /* not linked; the caller's to free with entry_free() */
    size_t entries_n;
    char **removed;
    size_t removed_n;
};
/* Decodes and checks every limit. 0; KITH_E_CORRUPT; KITH_E_MEMORY. */
int registry_update_decode(const uint8_t *body, size_t len, struct registry_update *update_out);
void registry_update_deinit(struct registry_update *update);
void entry_free(struct entry *entry);

/*
 * Encodes what changed after @base_version (0: everything) as FRAME_REGISTRY frames, each given to
 * @each; their memory lasts for the step. 0 or KITH_E_MEMORY.
 */
int registry_encode(struct rpc_core *core,
                    uint64_t base_version,
                    void (*each)(struct rpc_core *core, const uint8_t *data, size_t len, void *arg),
                    void *arg);

/* Encodes the counters of the functions that ran since they were told: see apply_counters(). */
int registry_encode_counters(
    struct rpc_core *core,
    void (*each)(struct rpc_core *core, const uint8_t *data, size_t len, void *arg),
    void *arg);

/* ---- signatures by hash, for texts ---- */

void signature_remember(struct rpc_core *core, uint64_t hash, const char *text);
/* Its text, or the hash in hexadecimal. */
const char *signature_name(struct rpc_core *core, uint64_t hash);
void signatures_deinit(struct rpc_core *core);

#endif

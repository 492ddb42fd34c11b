/*
 * What both sides of watches share: the node that watches (watch.c) and the home (push.c).
 */
#ifndef DVAR_WATCH_H
#define DVAR_WATCH_H

#include "dvar/internal.h"
#include "dvar/wire.h"

#define PATTERNS_BYTES_MAX (48 * 1024)
#define PUSH_RESEND_MS     500
#define PATTERN_BYTES      6  /* u8 prefix, u8 length, u32 number */
#define SLOT_BYTES         12 /* u64 since, u32 told */
#define MARK_HEAD_BYTES    4  /* u32 newest watch, of all slots that follow */
#define MARK_BYTES         22 /* u16 slot, u64 from, u64 mark, u32 told */

bool watch_matches(bool prefix, const char *pattern, size_t pattern_len, const struct var *var);
/* Is there a watch of it newer than @after? */
bool watcher_wants(const struct watcher *watcher, const struct var *var, uint32_t after);
bool watch_exists(const struct var *var);
/* Up to where all changes of a slot are done, but for @write, which is being told of; 0: it is not
 * served here. */
uint64_t watch_done_up_to(const struct dvar_core *core, uint32_t slot, const struct write *write);
/* Tells this node's own watches of a change that is done here. */
void watch_tell_change(struct dvar_core *core, struct var *var, const struct write *done);
/* Likewise, of one whose home does not tell of it yet, in its @stream of pushes. */
void watch_tell_ahead(struct dvar_core *core, struct var *var, uint32_t folded, uint64_t stream);
/* Likewise, of a slot that it serves. */
void watch_tell_slot(struct dvar_core *core, uint32_t slot);

/* What is here without a lease may be over: another home may have been written to since. */
static inline bool may_tell_exists(const struct dvar_core *core)
{
    return lease_ok(core) || MUTANT(DVAR_UNLEASED_EXISTS);
}

#endif

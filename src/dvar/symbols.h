/*
 * The table of symbols: which consistent variables there are, on every node. It is told on creation
 * and deletion only, never for a write; what it says of a version is what was last seen here, with
 * its age. Who wants to be sure asks the home.
 *
 * It spreads as available variables do (avail.h, which it stands on): a symbol is a register whose
 * moment is the variable's own version, so that of what homes said, before and after a change of
 * home, the later stands. Homes that say the same again cause no messages. Available variables are
 * not in it: every node has those itself.
 *
 * A pure machine. Names in order are kept in a skip list.
 */
#ifndef DVAR_SYMBOLS_H
#define DVAR_SYMBOLS_H

#include "dvar/avail.h"

struct symbols_core;

struct symbols_config {
    struct boot_id self;
    uint64_t seed;
    uint32_t sync_interval_ms; /* 30,000 */
    uint64_t tombstone_ms;     /* 24 h */
    uint32_t variables_max;    /* DVAR_VARIABLES_MAX */
};

/* What is known of a variable. The name is borrowed until the next step. */
struct symbol {
    const char *name;
    uint8_t type;             /* value.h */
    uint8_t policy;           /* volatile or durable */
    uint8_t flags;            /* enum value_flags: constant, guarded */
    uint32_t size;            /* bytes of data, when it was seen last */
    uint64_t created_ms;      /* wall clock of its home */
    struct kith_node_id home; /* who kept it when it was created */
    uint64_t version;         /* last seen */
    uint64_t seen_ms;         /* when that was, or was heard of; CLOCK_BOOTTIME of this node */
};

enum symbols_event_type {
    SYMBOLS_START,
    SYMBOLS_TICK,
    SYMBOLS_LINK_UP,   /* peer */
    SYMBOLS_LINK_DOWN, /* peer */
    SYMBOLS_RECV,      /* peer, data: the body of a FRAME_DVAR_SYMBOLS */
    /* This node is the home and created it (or found it when it became the home): symbol, but for
     * its age. Its version is that of the creation. Internal names are left out. */
    SYMBOLS_CREATED,
    SYMBOLS_GONE, /* this node is the home and deleted it: name, version */
    SYMBOLS_SEEN, /* name, version, size: passed through here; costs no message */
    /*
     * What was in memory only of this slot is lost (its generation grew; this node is the home
     * now): slot, version (the least of the new slot epoch). All of its volatile variables are
     * gone.
     */
    SYMBOLS_SLOT_LOST,
};

struct symbols_event {
    enum symbols_event_type type;
    uint64_t now_ms;
    uint64_t wall_ms;
    struct kith_node_id peer;
    struct kith_bytes data;
    const struct symbol *symbol;
    const char *name; /* NUL-terminated */
    uint64_t version;
    uint32_t size;
    uint32_t slot;
};

enum symbols_action_type {
    SYMBOLS_SEND,    /* peer, data */
    SYMBOLS_CHANGED, /* name, gone: created or deleted, wherever */
};

struct symbols_action {
    enum symbols_action_type type;
    struct kith_node_id peer;
    struct kith_bytes data;
    const char *name;
    bool gone;
};

/* Borrowed until the next step. */
struct symbols_output {
    const struct symbols_action *actions;
    size_t actions_n;
};

int symbols_new(struct symbols_core **core_out, const struct symbols_config *config);
void symbols_free(struct symbols_core *core); /* NULL is fine */
/* 0; KITH_E_CORRUPT for a message that does not decode; KITH_E_LIMIT for what is one variable too
 * many (it is not listed, and works all the same); KITH_E_MEMORY. @out is valid in any case. */
int symbols_step(struct symbols_core *core,
                 const struct symbols_event *event,
                 struct symbols_output *out);
uint64_t symbols_deadline_ms(const struct symbols_core *core);

/* The same as a step of SYMBOLS_SEEN, for every operation that ends. */
void symbols_seen(
    struct symbols_core *core, const char *name, uint64_t version, uint32_t size, uint64_t now_ms);
/* 0 or KITH_E_NOT_FOUND. */
int symbols_find(const struct symbols_core *core, const char *name, struct symbol *symbol_out);
/*
 * The next one behind the name @after ("" begins) among those that begin with @prefix, in order of
 * bytes. False at the end. Costs O(log n), so that a long list can be read in parts.
 */
bool symbols_next(const struct symbols_core *core,
                  const char *prefix,
                  const char *after,
                  struct symbol *symbol_out);
size_t symbols_n(const struct symbols_core *core);
uint64_t symbols_digest(const struct symbols_core *core); /* as avail_digest() */
void symbols_stats(const struct symbols_core *core, struct avail_stats *stats_out);
void symbols_check(const struct symbols_core *core);

#endif

/*
 * Record of a symbol: u8 type, u8 policy, u8 flags, u8 0, u32 size, u64 wall ms, home.
 */
#include "dvar/symbols.h"

#include <assert.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/map.h"
#include "core/placement.h"
#include "core/rng.h"
#include "dvar/value.h"

#define RECORD_BYTES (16 + KITH_NODE_ID_BYTES)
/* A million names: each level has a quarter of the one below. */
#define LEVELS_MAX 10
#define RECENT_N   1024

struct place {
    const char *name; /* of the register in the table of available variables */
    uint64_t version;
    uint64_t seen_ms;
    uint32_t size;
    uint8_t levels;
    struct place *next[];
};

struct symbols_core {
    struct avail_core *avail;
    struct rng rng;
    uint64_t now_ms;
    size_t n;
    bool incomplete; /* memory was short: a name may be missing */
    struct place *first[LEVELS_MAX];
    struct place *recent[RECENT_N]; /* seen last of those with this hash; NULL: none */
    struct symbols_action *actions;
    size_t actions_n;
    size_t actions_cap;
};

/* ---- names in order ---- */

/* In @before the links that lead to the first place not below @name (or, if @behind, above it). */
static struct place *
seek(const struct symbols_core *core, const char *name, bool behind, struct place *const **before)
{
    struct place *const *links = core->first;
    struct place *at = NULL;
    for (int level = LEVELS_MAX - 1; level >= 0; level--) {
        for (;;) {
            at = links[level];
            int order = at != NULL ? strcmp(at->name, name) : 1;
            if (order > 0 || (order == 0 && !behind))
                break;
            links = at->next;
        }
        if (before != NULL)
            before[level] = &links[level];
    }
    return at;
}

static struct place *place_find(const struct symbols_core *core, const char *name)
{
    struct place *at = seek(core, name, false, NULL);
    return at != NULL && strcmp(at->name, name) == 0 ? at : NULL;
}

static struct place **recent_of(struct symbols_core *core, const char *name)
{
    return &core->recent[hash_bytes(name, strlen(name), 0) % RECENT_N];
}

/* The links of a core that may be written. */
static struct place **link_of(struct place *const *link)
{
    struct place **writable;
    memcpy(&writable, &link, sizeof(writable));
    return writable;
}

static struct place *place_add(struct symbols_core *core, const char *name)
{
    struct place *const *before[LEVELS_MAX];
    uint8_t levels = 1;
    while (levels < LEVELS_MAX && rng_below(&core->rng, 4) == 0)
        levels++;
    struct place *place = core_calloc(1, sizeof(*place) + levels * sizeof(place->next[0]));
    if (place == NULL)
        return NULL;
    place->name = name;
    place->levels = levels;
    (void)seek(core, name, false, before);
    for (uint8_t level = 0; level < levels; level++) {
        place->next[level] = *before[level];
        *link_of(before[level]) = place;
    }
    core->n++;
    return place;
}

static void place_remove(struct symbols_core *core, const char *name)
{
    struct place *const *before[LEVELS_MAX];
    struct place *place = seek(core, name, false, before);
    if (place == NULL || strcmp(place->name, name) != 0)
        return;
    for (uint8_t level = 0; level < place->levels; level++) {
        assert(*before[level] == place);
        *link_of(before[level]) = place->next[level];
    }
    struct place **recent = recent_of(core, name);
    if (*recent == place)
        *recent = NULL;
    core_free(place);
    core->n--;
}

/* ---- records ---- */

static void record_put(uint8_t record[RECORD_BYTES], const struct symbol *symbol)
{
    record[0] = symbol->type;
    record[1] = symbol->policy;
    record[2] = symbol->flags;
    record[3] = 0;
    put_le32(record + 4, symbol->size);
    put_le64(record + 8, symbol->created_ms);
    memcpy(record + 16, symbol->home.bytes, KITH_NODE_ID_BYTES);
}

/* The record of @name, or NULL: it is gone, or what came is no record (of a later version of kith).
 */
static const uint8_t *record_of(const struct symbols_core *core, const char *name)
{
    struct kith_bytes record = avail_peek(core->avail, name, NULL);
    const uint8_t *p = record.data;
    return record.len == RECORD_BYTES && value_type_is_known(p[0]) && p[1] < VALUE_AVAILABLE ? p
                                                                                             : NULL;
}

static bool fill(const struct symbols_core *core, const struct place *place, struct symbol *out)
{
    const uint8_t *record = record_of(core, place->name);
    if (record == NULL)
        return false;
    *out = (struct symbol){.name = place->name,
                           .type = record[0],
                           .policy = record[1],
                           .flags = record[2],
                           .size = place->size,
                           .created_ms = get_le64(record + 8),
                           .version = place->version,
                           .seen_ms = place->seen_ms};
    memcpy(out->home.bytes, record + 16, KITH_NODE_ID_BYTES);
    return true;
}

/* ---- output ---- */

static struct symbols_action *act(struct symbols_core *core, enum symbols_action_type type)
{
    if (core->actions_n == core->actions_cap) {
        size_t cap = core->actions_cap * 2 + 16;
        struct symbols_action *more = core_realloc(core->actions, cap * sizeof(*more));
        if (more == NULL)
            return NULL;
        core->actions = more;
        core->actions_cap = cap;
    }
    struct symbols_action *action = &core->actions[core->actions_n++];
    *action = (struct symbols_action){.type = type};
    return action;
}

/* A register has changed: the list of names follows. */
static int follow(struct symbols_core *core, const char *name)
{
    uint64_t version = 0;
    (void)avail_peek(core->avail, name, &version);
    const uint8_t *record = record_of(core, name);
    struct place *place = place_find(core, name);
    if (record == NULL && place == NULL)
        return 0;
    if (record == NULL) {
        place_remove(core, name);
    } else {
        if (place == NULL)
            place = place_add(core, name);
        if (place == NULL)
            return KITH_E_MEMORY;
        if (version >= place->version) {
            place->version = version;
            place->size = get_le32(record + 4);
            place->seen_ms = core->now_ms;
        }
    }
    struct symbols_action *action = act(core, SYMBOLS_CHANGED);
    if (action == NULL)
        return KITH_E_MEMORY;
    action->name = name;
    action->gone = record == NULL;
    return 0;
}

static int on_changed(struct symbols_core *core, const char *name)
{
    int r = follow(core, name);
    core->incomplete = core->incomplete || r != 0;
    return r;
}

/* Adds what is missing in the list of names. */
static void complete(struct symbols_core *core)
{
    const char *name;
    core->incomplete = false;
    for (size_t at = 0; (name = avail_next(core->avail, &at)) != NULL;)
        if (place_find(core, name) == NULL)
            (void)on_changed(core, name);
}

static int pass(struct symbols_core *core, const struct avail_event *event)
{
    struct avail_output out;
    int r = avail_step(core->avail, event, &out);
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct avail_action *from = &out.actions[i];
        struct symbols_action *action;
        int code = 0;
        switch (from->type) {
        case AVAIL_SEND:
            action = act(core, SYMBOLS_SEND);
            if (action != NULL) {
                action->peer = from->peer;
                action->data = from->data;
            }
            break;
        case AVAIL_CHANGED:
            code = on_changed(core, from->name);
            break;
        case AVAIL_DONE:
            code = from->code;
            break;
        case AVAIL_PERSIST:
        case AVAIL_ACKED:
        case AVAIL_QUARANTINED:
            break;
        }
        r = r != 0 ? r : code;
    }
    return r;
}

/* ---- events ---- */

static int say(struct symbols_core *core,
               struct avail_event *event,
               const char *name,
               const uint8_t *record,
               uint64_t version)
{
    struct buf state = {0};
    struct kith_bytes data = {.data = record, .len = record != NULL ? RECORD_BYTES : 0};
    struct avail_op op = {.kind = AVAIL_OP_JOIN, .name = name};
    if (value_name_check(name, strlen(name), false) != 0)
        return 0; /* the runtime's own */
    int r = state_register(VALUE_BYTES, version, record != NULL ? &data : NULL, &state);
    op.data = (struct kith_bytes){.data = state.data, .len = state.len};
    event->type = AVAIL_OP;
    event->op = &op;
    if (r == 0)
        r = pass(core, event);
    event->op = NULL;
    buf_deinit(&state);
    return r;
}

void symbols_seen(
    struct symbols_core *core, const char *name, uint64_t version, uint32_t size, uint64_t now_ms)
{
    struct place **recent = recent_of(core, name);
    struct place *place = *recent;
    if (place == NULL || strcmp(place->name, name) != 0)
        place = place_find(core, name);
    if (place == NULL || version < place->version)
        return;
    *recent = place;
    place->version = version;
    place->size = size;
    place->seen_ms = now_ms;
}

static bool is_lost(const struct symbols_core *core, const struct place *place, uint32_t slot)
{
    const uint8_t *record = record_of(core, place->name);
    return record != NULL && record[1] == VALUE_VOLATILE &&
           placement_slot_of(place->name, strlen(place->name)) == slot;
}

/* In one step: each would take back the output of the one before. */
static int on_slot_lost(struct symbols_core *core,
                        const struct symbols_event *event,
                        struct avail_event *avail)
{
    struct buf state = {0};
    size_t n = 0;
    for (struct place *at = core->first[0]; at != NULL; at = at->next[0])
        n += is_lost(core, at, event->slot);
    struct avail_op *ops = n > 0 ? core_calloc(n, sizeof(*ops)) : NULL;
    int r = n > 0 && ops == NULL ? KITH_E_MEMORY : 0;
    if (r == 0)
        r = state_register(VALUE_BYTES, event->version, NULL, &state);
    size_t i = 0;
    for (struct place *at = core->first[0]; r == 0 && at != NULL && i < n; at = at->next[0]) {
        if (is_lost(core, at, event->slot))
            ops[i++] = (struct avail_op){.kind = AVAIL_OP_JOIN,
                                         .name = at->name,
                                         .data = {.data = state.data, .len = state.len}};
    }
    if (r == 0 && n > 0) {
        avail->type = AVAIL_OP;
        avail->op = ops;
        avail->ops_n = n;
        r = pass(core, avail);
    }
    core_free(ops);
    buf_deinit(&state);
    return r;
}

int symbols_step(struct symbols_core *core,
                 const struct symbols_event *event,
                 struct symbols_output *out)
{
    struct avail_event avail = {.now_ms = event->now_ms,
                                .wall_ms = event->wall_ms,
                                .peer = event->peer,
                                .data = event->data};
    uint8_t record[RECORD_BYTES];
    int r = 0;
    core->actions_n = 0;
    if (event->now_ms > core->now_ms)
        core->now_ms = event->now_ms;
    switch (event->type) {
    case SYMBOLS_START:
        avail.type = AVAIL_START;
        r = pass(core, &avail);
        break;
    case SYMBOLS_TICK:
        avail.type = AVAIL_TICK;
        r = pass(core, &avail);
        break;
    case SYMBOLS_LINK_UP:
        avail.type = AVAIL_LINK_UP;
        r = pass(core, &avail);
        break;
    case SYMBOLS_LINK_DOWN:
        avail.type = AVAIL_LINK_DOWN;
        r = pass(core, &avail);
        break;
    case SYMBOLS_RECV:
        avail.type = AVAIL_RECV;
        r = pass(core, &avail);
        break;
    case SYMBOLS_CREATED:
        record_put(record, event->symbol);
        r = say(core, &avail, event->symbol->name, record, event->symbol->version);
        break;
    case SYMBOLS_GONE:
        r = say(core, &avail, event->name, NULL, event->version);
        break;
    case SYMBOLS_SEEN:
        symbols_seen(core, event->name, event->version, event->size, core->now_ms);
        break;
    case SYMBOLS_SLOT_LOST:
        r = on_slot_lost(core, event, &avail);
        break;
    }
    if (core->incomplete && r != KITH_E_MEMORY)
        complete(core);
    *out = (struct symbols_output){.actions = core->actions, .actions_n = core->actions_n};
    return r;
}

uint64_t symbols_deadline_ms(const struct symbols_core *core)
{
    return avail_deadline_ms(core->avail);
}

/* ---- life ---- */

int symbols_new(struct symbols_core **core_out, const struct symbols_config *config)
{
    struct avail_config avail = {
        .self = config->self,
        .seed = config->seed,
        .moments_given = true,
        .sync_interval_ms = config->sync_interval_ms != 0 ? config->sync_interval_ms : 30000,
        .tombstone_ms = config->tombstone_ms,
        .variables_max = config->variables_max};
    struct symbols_core *core = core_calloc(1, sizeof(*core));
    if (core == NULL)
        return KITH_E_MEMORY;
    int r = avail_new(&core->avail, &avail);
    if (r != 0) {
        core_free(core);
        return r;
    }
    rng_init(&core->rng, config->seed);
    *core_out = core;
    return 0;
}

void symbols_free(struct symbols_core *core)
{
    if (core == NULL)
        return;
    for (struct place *at = core->first[0], *next; at != NULL; at = next) {
        next = at->next[0];
        core_free(at);
    }
    avail_free(core->avail);
    core_free(core->actions);
    core_free(core);
}

/* ---- reading ---- */

int symbols_find(const struct symbols_core *core, const char *name, struct symbol *symbol_out)
{
    const struct place *place = place_find(core, name);
    if (place != NULL && fill(core, place, symbol_out))
        return 0;
    return kith_fail_with(KITH_E_NOT_FOUND, "there is no variable %s here; create or set it first",
                          name);
}

bool symbols_next(const struct symbols_core *core,
                  const char *prefix,
                  const char *after,
                  struct symbol *symbol_out)
{
    /* Whatever begins with the prefix stands at it or behind. */
    bool behind = strcmp(after, prefix) >= 0 && after[0] != '\0';
    const struct place *at = seek(core, behind ? after : prefix, behind, NULL);
    for (; at != NULL && strncmp(at->name, prefix, strlen(prefix)) == 0; at = at->next[0])
        if (fill(core, at, symbol_out))
            return true;
    return false;
}

size_t symbols_n(const struct symbols_core *core)
{
    return core->n;
}

uint64_t symbols_digest(const struct symbols_core *core)
{
    return avail_digest(core->avail);
}

void symbols_stats(const struct symbols_core *core, struct avail_stats *stats_out)
{
    avail_stats(core->avail, stats_out);
}

void symbols_check(const struct symbols_core *core)
{
    size_t n = 0;
    struct symbol symbol;
    for (const struct place *at = core->first[0]; at != NULL; at = at->next[0]) {
        assert(fill(core, at, &symbol));
        assert(at->next[0] == NULL || strcmp(at->name, at->next[0]->name) < 0);
        n++;
    }
    assert(n == core->n);
    avail_check(core->avail);
}

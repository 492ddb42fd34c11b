/*
 * The search: is there an order of the operations on one variable, each between its start and its
 * end, in which a single copy would have answered as was seen?
 *
 * Walks through time and keeps every *configuration* that is still possible: the value of the
 * variable, and which of the operations that are open have taken place already. When an operation
 * ends that must have taken place by now, each configuration in which it has not is continued by
 * all orders of open operations that end with it; configurations without a continuation die; when
 * the last one dies the history is impossible. Nothing is tried before it must be ("just in time"),
 * so a history without concurrency has one configuration throughout.
 *
 * Versions, where they are known, leave one order of the operations that have them: a write is
 * above all before it, and who reads is not below.
 *
 * Operations of unknown outcome stay open for ever and may never take place. Two things keep them
 * from multiplying: equal ones are taken in order, and a configuration that used up more of them
 * than another one that is otherwise the same can do nothing that the other cannot.
 */
#include <stdio.h>
#include <stdlib.h>

#include "history_internal.h"

#define SLOTS_WORDS 8
#define SLOTS_MAX   (SLOTS_WORDS * 64)
#define CONFIGS_MAX 4096

struct mask {
    uint64_t words[SLOTS_WORDS];
};

struct config {
    uint32_t value;
    uint32_t blind;   /* a write of unknown outcome came last: only who looks at it may follow */
    uint64_t version; /* the highest of writes that have taken place */
    struct mask done; /* of the open ones */
};

/* Configurations met on the way to one end: a hash set. */
struct visited {
    struct config *slots;
    uint32_t *used; /* round in which the slot was filled */
    size_t cap, n;
    uint32_t round;
};
#define VISITED_MIN ((size_t)1 << 8)
#define VISITED_MAX ((size_t)1 << 18)

struct configs {
    struct config *at;
    size_t n, cap;
};

struct search {
    struct history *history;
    uint64_t steps, steps_max;
    size_t open[SLOTS_MAX]; /* entry + 1; 0: free */
    size_t open_n;          /* slots in use are below it */
    struct mask in_use;
    struct mask known;        /* slots whose outcome is known */
    struct mask reads;        /* those of them that change nothing */
    uint16_t ends[SLOTS_MAX]; /* those, by their end, the last one first */
    size_t ends_n;
    uint16_t twins[SLOTS_MAX]; /* of an unknown one: the slot of the equal one before + 1, or 0 */
    uint32_t born[SLOTS_MAX];  /* order in which they began */
    uint32_t born_n;
    struct configs now, next, stack;
    struct visited visited;
    bool gave_up;
};

static inline bool mask_has(const struct mask *mask, size_t slot)
{
    return (mask->words[slot / 64] >> (slot % 64) & 1) != 0;
}
static inline void mask_set(struct mask *mask, size_t slot, bool on)
{
    uint64_t bit = UINT64_C(1) << (slot % 64);

    if (on)
        mask->words[slot / 64] |= bit;
    else
        mask->words[slot / 64] &= ~bit;
}

/* Can @a do whatever @b can: same value, same known writes done, no fewer reads, no more of those
 * of unknown outcome? */
static bool covers(const struct search *s, const struct config *a, const struct config *b)
{
    if (a->value != b->value || a->version > b->version)
        return false;
    for (size_t i = 0; i < SLOTS_WORDS; i++) {
        uint64_t x = a->done.words[i];
        uint64_t y = b->done.words[i];
        uint64_t known = s->known.words[i];
        uint64_t reads = s->reads.words[i];

        if (((x ^ y) & known & ~reads) != 0 || (x & ~y & ~known) != 0 || (y & ~x & reads) != 0)
            return false;
    }
    return true;
}

/* False if another one covers it. */
static bool add(struct search *s, struct configs *set, const struct config *config)
{
    s->steps += set->n + 1;
    for (size_t i = 0; i < set->n; i++) {
        if (covers(s, &set->at[i], config))
            return false;
    }
    for (size_t i = 0; i < set->n;) {
        if (covers(s, config, &set->at[i]))
            set->at[i] = set->at[--set->n];
        else
            i++;
    }
    if (set->n == CONFIGS_MAX || s->steps > s->steps_max ||
        !history_grow(&set->at, &set->cap, set->n, sizeof(*set->at))) {
        s->gave_up = true;
        return false;
    }
    set->at[set->n++] = *config;
    return true;
}

static bool number_of(const struct history *history, uint32_t text, int64_t *out)
{
    if (text == HISTORY_ABSENT)
        return false;
    *out = history->texts[text].number;
    return history->texts[text].is_number;
}

/* What a single copy with @value would do with @e. False: not what was seen. */
static bool apply(struct search *s, const struct history_entry *e, uint32_t value, uint32_t *after)
{
    bool known = e->outcome == HISTORY_OK;
    int64_t old = 0;
    int64_t delta;

    *after = value;
    switch ((enum history_op)e->op) {
    case HISTORY_GET:
        return !e->valued || e->value == value;
    case HISTORY_SET:
        *after = e->arg;
        return true;
    case HISTORY_CAS:
        if (known && e->lost)
            return value != e->expect && (!e->valued || e->value == value);
        *after = e->arg;
        return value == e->expect;
    case HISTORY_INCR:
        if ((value != HISTORY_ABSENT && !number_of(s->history, value, &old)) ||
            !number_of(s->history, e->arg, &delta) || __builtin_add_overflow(old, delta, &old))
            return false;
        *after = history_number(s->history, old);
        return !known || !e->valued || e->value == *after;
    case HISTORY_DEL:
        *after = HISTORY_ABSENT;
        return true;
    default:
        return true;
    }
}

/* The first slot of @among from @slot on that is not done in @from; SLOTS_MAX: none. */
static size_t next_of(const struct mask *among, const struct config *from, size_t slot)
{
    for (size_t i = slot / 64; i < SLOTS_WORDS; i++) {
        uint64_t word = among->words[i] & ~from->done.words[i];

        if (i == slot / 64)
            word &= UINT64_MAX << slot % 64;
        if (word != 0)
            return 64 * i + (size_t)__builtin_ctzll(word);
    }
    return SLOTS_MAX;
}

/* Equal operations of unknown outcome take place in the order in which they began, as nothing tells
 * them apart from then on: is there one before @slot that has not? Those before that one have, if
 * it has. */
static bool has_older_twin(const struct search *s, const struct config *config, size_t slot)
{
    return s->twins[slot] != 0 && !mask_has(&config->done, s->twins[slot] - 1u);
}

/* Where twins end: the one that began last; 0: none. All stay open for ever. */
static uint16_t last_twin(const struct search *s, const struct history_entry *e)
{
    uint16_t last = 0;
    uint32_t born = 0;

    for (size_t i = 0; i < s->open_n; i++) {
        if (s->open[i] == 0 || mask_has(&s->known, i))
            continue;
        const struct history_entry *o = &s->history->entries[s->open[i] - 1];
        if (o->op == e->op && o->arg == e->arg && o->expect == e->expect && s->born[i] >= born) {
            born = s->born[i];
            last = (uint16_t)(i + 1);
        }
    }
    return last;
}

/* False if it was there already; there is room. */
static bool visited_add(struct visited *v, const struct config *config)
{
    for (size_t i = hash_bytes(config, sizeof(*config), 0) & (v->cap - 1);;
         i = (i + 1) & (v->cap - 1)) {
        if (v->used[i] != v->round) {
            v->used[i] = v->round;
            v->slots[i] = *config;
            v->n++;
            return true;
        }
        if (memcmp(&v->slots[i], config, sizeof(*config)) == 0)
            return false;
    }
}

/* Most rounds are short: the table begins small, so that it stays in the processor's cache. */
static bool visited_grow(struct visited *v)
{
    struct visited old = *v;

    v->cap = old.cap == 0 ? VISITED_MIN : 4 * old.cap;
    v->slots = malloc(v->cap * sizeof(*v->slots));
    v->used = calloc(v->cap, sizeof(*v->used));
    if (v->slots == NULL || v->used == NULL) {
        free(v->slots);
        free(v->used);
        *v = old;
        return false;
    }
    v->n = 0;
    for (size_t i = 0; i < old.cap; i++) {
        if (old.used[i] == v->round)
            visited_add(v, &old.slots[i]);
    }
    free(old.slots);
    free(old.used);
    return true;
}

/* True if @config is new in this round. */
static bool visit(struct search *s, const struct config *config)
{
    struct visited *v = &s->visited;

    if (v->n >= v->cap / 2 && (v->cap >= VISITED_MAX || !visited_grow(v))) {
        s->gave_up = true;
        return false;
    }
    return visited_add(v, config);
}

static bool looks(const struct history_entry *e)
{
    return e->op == HISTORY_GET || e->op == HISTORY_CAS || e->op == HISTORY_INCR;
}

static bool writes(const struct history_entry *e)
{
    return e->op != HISTORY_GET && !(e->op == HISTORY_CAS && e->lost);
}

static const struct history_entry *entry_of(const struct search *s, size_t slot)
{
    return &s->history->entries[s->open[slot] - 1];
}

/* Reads that find what they saw take place. True: there was one. */
static bool let_read(struct search *s, struct config *config)
{
    bool any = false;
    uint32_t value;

    for (size_t slot = next_of(&s->reads, config, 0); slot < SLOTS_MAX;
         slot = next_of(&s->reads, config, slot + 1)) {
        const struct history_entry *e = entry_of(s, slot);

        if ((e->version != 0 && e->version < config->version) ||
            !apply(s, e, config->value, &value))
            continue;
        mask_set(&config->done, slot, true);
        any = true;
    }
    return any;
}

/* Is it a write's turn by its version: is none below it open, and none above it done? */
static bool
in_turn(const struct search *s, const struct config *from, const struct history_entry *e)
{
    if (e->version == 0)
        return true;
    if (e->version <= from->version)
        return false;
    for (size_t slot = next_of(&s->known, from, 0); slot < SLOTS_MAX;
         slot = next_of(&s->known, from, slot + 1)) {
        const struct history_entry *o = entry_of(s, slot);

        if (o->version != 0 && o->version < e->version && writes(o))
            return false;
    }
    return true;
}

/* What @from becomes if the operation in @slot, open and not done, takes place next. False: it
 * cannot, or need not. */
static bool follow(struct search *s, const struct config *from, size_t slot, struct config *to)
{
    const struct history_entry *e = entry_of(s, slot);
    bool known = mask_has(&s->known, slot);
    uint32_t value;

    s->steps++;
    if ((from->blind && !looks(e)) || (!known && has_older_twin(s, from, slot)) ||
        (known && !in_turn(s, from, e)) || !apply(s, e, from->value, &value) ||
        (!known && value == from->value))
        return false;
    *to = *from;
    to->value = value;
    mask_set(&to->done, slot, true);
    if (known && e->version > to->version)
        to->version = e->version;
    to->blind = !let_read(s, to) && !known && !looks(e);
    return true;
}

/* All orders of open operations from @config that end with @last. */
static void continue_from(struct search *s, const struct config *config, size_t last)
{
    struct configs *stack = &s->stack;

    s->visited.round++;
    s->visited.n = 0;
    stack->n = 0;
    if (!history_grow(&stack->at, &stack->cap, 0, sizeof(*stack->at)))
        s->gave_up = true;
    else
        stack->at[stack->n++] = *config;
    while (stack->n > 0 && !s->gave_up) {
        struct config from = stack->at[--stack->n];
        struct config to;

        for (size_t slot = next_of(&s->in_use, &from, 0); slot < SLOTS_MAX && !s->gave_up;
             slot = next_of(&s->in_use, &from, slot + 1)) {
            if (mask_has(&s->reads, slot) || !follow(s, &from, slot, &to))
                continue;
            if (mask_has(&to.done, last)) {
                mask_set(&to.done, last, false); /* it is open no more */
                add(s, &s->next, &to);
            } else if (visit(s, &to)) {
                if (!history_grow(&stack->at, &stack->cap, stack->n, sizeof(*stack->at)))
                    s->gave_up = true;
                else
                    stack->at[stack->n++] = to;
            }
        }
        s->gave_up = s->gave_up || s->steps > s->steps_max;
    }
}

static void end_of(struct search *s, size_t slot)
{
    struct configs swap;

    s->next.n = 0;
    for (size_t i = 0; i < s->now.n && !s->gave_up; i++) {
        struct config config = s->now.at[i];

        if (mask_has(&config.done, slot)) {
            mask_set(&config.done, slot, false);
            add(s, &s->next, &config);
        } else {
            continue_from(s, &config, slot);
        }
    }
    swap = s->now;
    s->now = s->next;
    s->next = swap;
    s->open[slot] = 0;
    mask_set(&s->in_use, slot, false);
    mask_set(&s->known, slot, false);
    mask_set(&s->reads, slot, false);
}

static int64_t end_ns_of(const struct search *s, size_t slot)
{
    return s->history->entries[s->open[slot] - 1].end_ns;
}

/* A handful at most: as many as there are clients. Of equal ends the lower slot goes first. */
static void ends_insert(struct search *s, size_t slot)
{
    int64_t end_ns = end_ns_of(s, slot);
    size_t at = s->ends_n++;

    while (at > 0) {
        int64_t other_ns = end_ns_of(s, s->ends[at - 1]);

        if (other_ns > end_ns || (other_ns == end_ns && s->ends[at - 1] > slot))
            break;
        s->ends[at] = s->ends[at - 1];
        at--;
    }
    s->ends[at] = (uint16_t)slot;
}

static void begin_of(struct search *s, size_t entry)
{
    const struct history_entry *e = &s->history->entries[entry];
    size_t slot = 0;

    while (slot < SLOTS_MAX && s->open[slot] != 0)
        slot++;
    if (slot == SLOTS_MAX) {
        s->gave_up = true;
        return;
    }
    s->born[slot] = s->born_n++;
    s->twins[slot] = e->outcome != HISTORY_OK ? last_twin(s, e) : 0;
    s->open[slot] = entry + 1;
    mask_set(&s->in_use, slot, true);
    s->open_n = slot >= s->open_n ? slot + 1 : s->open_n;
    if (e->outcome != HISTORY_OK)
        return;
    mask_set(&s->known, slot, true);
    ends_insert(s, slot);
    if (writes(e))
        return;
    mask_set(&s->reads, slot, true);
    for (size_t i = 0; i < s->now.n; i++)
        (void)let_read(s, &s->now.at[i]);
}

static bool takes_part(const struct history_entry *e)
{
    return e->outcome == HISTORY_OK || (e->outcome == HISTORY_UNKNOWN && e->op != HISTORY_GET);
}

static void impossible(struct search *s, size_t entry, struct history_finding *out)
{
    const struct history_entry *e = &s->history->entries[entry];

    out->verdict = HISTORY_VIOLATED;
    snprintf(out->text, sizeof(out->text),
             "%s: no order of the operations explains what the first of these saw",
             history_text_of(s->history, e->name));
    history_blame(out, entry);
    for (size_t i = 0; i < s->open_n; i++) {
        if (s->open[i] != 0)
            history_blame(out, s->open[i] - 1);
    }
}

static void end_until(struct search *s, int64_t limit_ns, struct history_finding *out)
{
    while (!s->gave_up && s->ends_n > 0 && end_ns_of(s, s->ends[s->ends_n - 1]) < limit_ns) {
        size_t slot = s->ends[--s->ends_n];
        size_t entry = s->open[slot] - 1;

        end_of(s, slot);
        if (s->now.n == 0 && !s->gave_up) {
            impossible(s, entry, out);
            return;
        }
    }
}

/* One variable, its operations by start. */
static void search_of(struct search *s, const size_t *at, size_t n, struct history_finding *out)
{
    memset(s->open, 0, sizeof(s->open));
    memset(&s->in_use, 0, sizeof(s->in_use));
    memset(&s->known, 0, sizeof(s->known));
    memset(&s->reads, 0, sizeof(s->reads));
    s->open_n = 0;
    s->ends_n = 0;
    s->born_n = 0;
    s->steps = 0;
    s->gave_up = false;
    s->now.n = 0;
    add(s, &s->now, &(struct config){.value = HISTORY_ABSENT});
    for (size_t i = 0; i < n && !s->gave_up && out->verdict != HISTORY_VIOLATED; i++) {
        if (!takes_part(&s->history->entries[at[i]]))
            continue;
        end_until(s, s->history->entries[at[i]].start_ns, out);
        if (out->verdict != HISTORY_VIOLATED)
            begin_of(s, at[i]);
    }
    if (out->verdict != HISTORY_VIOLATED)
        end_until(s, HISTORY_NEVER, out);
    if (s->gave_up && out->verdict == HISTORY_HOLDS) {
        out->verdict = HISTORY_UNDECIDED;
        snprintf(out->text, sizeof(out->text), "%s: too many orders are possible to try them all",
                 history_text_of(s->history, s->history->entries[at[0]].name));
    }
}

void history_search(struct history *history, uint64_t steps_max, struct history_finding *out)
{
    struct search *s = calloc(1, sizeof(*s));
    size_t n = 0;
    size_t *order = history_by_name(history, &n);

    if (s == NULL || order == NULL) {
        out->verdict = HISTORY_UNDECIDED;
        snprintf(out->text, sizeof(out->text), "there is not enough memory for the search");
        free(s);
        free(order);
        return;
    }
    s->history = history;
    s->steps_max = steps_max;
    for (size_t i = 0, end; i < n && out->verdict != HISTORY_VIOLATED; i = end) {
        for (end = i + 1;
             end < n && history->entries[order[end]].name == history->entries[order[i]].name;)
            end++;
        search_of(s, order + i, end - i, out);
    }
    free(s->now.at);
    free(s->next.at);
    free(s->stack.at);
    free(s->visited.slots);
    free(s->visited.used);
    free(s);
    free(order);
}

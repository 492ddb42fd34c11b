#include "history_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/alloc.h"
#include "history_internal.h"

const char *const history_op_names[HISTORY_OPS_N] = {"get", "set",  "cas",   "incr",
                                                     "del", "lock", "unlock"};
const char *const history_outcome_names[3] = {"ok", "failed", "unknown"};

/* ---- the history ---- */

void history_deinit(struct history *history)
{
    for (uint32_t i = 1; i < history->texts_n; i++)
        free(history->texts[i].text);
    free(history->texts);
    free(history->entries);
    maptext_deinit(&history->by_text);
    memset(history, 0, sizeof(*history));
}

static bool parse_number(const char *text, int64_t *out)
{
    char again[32];
    char *end;
    long long number = strtoll(text, &end, 10);

    if (end == text || *end != '\0')
        return false;
    snprintf(again, sizeof(again), "%lld", number); /* " 1", "+1" and "01" are texts */
    *out = number;
    return strcmp(again, text) == 0;
}

bool history_grow(void *array, size_t *cap, size_t n, size_t size)
{
    void **memory = array;
    size_t more = *cap > 0 ? 2 * *cap : 64;
    void *grown;

    if (n < *cap)
        return true;
    grown = realloc(*memory, more * size);
    if (grown == NULL)
        return false;
    *memory = grown;
    *cap = more;
    return true;
}

uint32_t history_text(struct history *history, const char *text)
{
    if (text == NULL)
        return HISTORY_ABSENT;
    void *found = maptext_find(&history->by_text, text);
    if (found != NULL)
        return (uint32_t)(uintptr_t)found;
    size_t cap = history->texts_cap;
    uint32_t at = history->texts_n > 0 ? history->texts_n : 1;
    if (!history_grow(&history->texts, &cap, at, sizeof(*history->texts))) {
        history->broken = true;
        return HISTORY_ABSENT;
    }
    history->texts_cap = (uint32_t)cap;
    struct history_text *entry = &history->texts[at];
    memset(entry, 0, sizeof(*entry));
    entry->text = strdup(text);
    if (entry->text == NULL ||
        maptext_set(&history->by_text, entry->text, (void *)(uintptr_t)at) < 0) {
        free(entry->text);
        history->broken = true;
        return HISTORY_ABSENT;
    }
    entry->is_number = parse_number(text, &entry->number);
    history->texts_n = at + 1;
    return at;
}

uint32_t history_number(struct history *history, int64_t number)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRId64, number);
    return history_text(history, text);
}

const char *history_text_of(const struct history *history, uint32_t text)
{
    return text == HISTORY_ABSENT || text >= history->texts_n ? "null" : history->texts[text].text;
}

size_t history_add(struct history *history, const struct history_entry *entry)
{
    if (!history_grow(&history->entries, &history->cap, history->n, sizeof(*entry))) {
        history->broken = true;
        return 0;
    }
    history->entries[history->n] = *entry;
    return history->n++;
}

void history_print(const struct history *history, size_t index, char *out, size_t out_bytes)
{
    const struct history_entry *e = &history->entries[index];
    struct buf text = {0};

    buf_printf(&text, "line %" PRIu32 ": client %" PRIu32 " %s %s", e->line, e->client,
               history_op_names[e->op], history_text_of(history, e->name));
    if (e->op == HISTORY_SET || e->op == HISTORY_CAS || e->op == HISTORY_INCR)
        buf_printf(&text, " arg %s", history_text_of(history, e->arg));
    if (e->op == HISTORY_CAS)
        buf_printf(&text, " expect %s", history_text_of(history, e->expect));
    buf_printf(&text, ": %s%s", history_outcome_names[e->outcome], e->lost ? " (lost)" : "");
    if (e->valued)
        buf_printf(&text, ", value %s", history_text_of(history, e->value));
    if (e->version != 0)
        buf_printf(&text, ", version %" PRIu64, e->version);
    if (e->fence != 0)
        buf_printf(&text, ", fence %" PRIu64, e->fence);
    buf_printf(&text, ", from %" PRId64, e->start_ns);
    if (e->end_ns != HISTORY_NEVER)
        buf_printf(&text, " to %" PRId64, e->end_ns);
    snprintf(out, out_bytes, "%.*s", (int)text.len, text.data != NULL ? (char *)text.data : "");
    buf_deinit(&text);
}

/* ---- findings ---- */

void history_blame(struct history_finding *out, size_t index)
{
    if (index != SIZE_MAX && out->guilty_n < HISTORY_GUILTY_MAX)
        out->guilty[out->guilty_n++] = index;
}

static void
violated(struct history_finding *out, const char *text, const char *name, size_t a, size_t b)
{
    out->verdict = HISTORY_VIOLATED;
    snprintf(out->text, sizeof(out->text), "%s: %s", name, text);
    history_blame(out, a);
    history_blame(out, b);
}

/* ---- order ---- */

void history_line_deinit(struct history_line *line)
{
    struct history_key *key;
    size_t at = 0;

    while ((key = map64_next(&line->keys, &at)) != NULL) {
        free(key->marks);
        free(key);
    }
    map64_deinit(&line->keys);
    map64_deinit(&line->values);
}

/* The last mark that ended before @start_ns; NULL if there is none. */
static const struct history_mark *mark_before(const struct history_key *key, int64_t start_ns)
{
    size_t low = 0;
    size_t high = key->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (key->marks[middle].end_ns < start_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &key->marks[low - 1] : NULL;
}

static bool one_value(struct history_line *line, const struct history_entry *entry)
{
    uint64_t both[2] = {entry->name, entry->version};
    uint64_t hash = hash_bytes(both, sizeof(both), 0);
    uintptr_t value = (uintptr_t)entry->value + 1;
    uintptr_t known;

    if (!entry->valued)
        return true;
    known = (uintptr_t)map64_find(&line->values, hash);
    if (known == 0)
        return map64_set(&line->values, hash, (void *)value) == 0;
    return known == value;
}

bool history_line_add(struct history_line *line,
                      const struct history_entry *entry,
                      size_t index,
                      size_t *against_out)
{
    const struct history_mark *mark;
    struct history_key *key;

    *against_out = SIZE_MAX;
    if (entry->outcome != HISTORY_OK || entry->version == 0 || history_on_lock(entry))
        return true;
    key = map64_find(&line->keys, entry->name);
    if (key == NULL) {
        key = calloc(1, sizeof(*key));
        if (key == NULL || map64_set(&line->keys, entry->name, key) < 0) {
            free(key);
            return true;
        }
    }
    mark = mark_before(key, entry->start_ns);
    if (mark != NULL && (entry->version < mark->version ||
                         (entry->version == mark->version && history_wrote(entry)))) {
        *against_out = mark->entry;
        return false;
    }
    if (!one_value(line, entry))
        return false;
    if ((key->n == 0 || entry->version > key->marks[key->n - 1].version) &&
        history_grow(&key->marks, &key->cap, key->n, sizeof(*key->marks)))
        key->marks[key->n++] = (struct history_mark){
            .end_ns = entry->end_ns, .version = entry->version, .entry = index};
    return true;
}

/* qsort has no argument, and the library is one thread's. */
static const struct history_entry *sorted_entries;

static int by_end(const void *a, const void *b)
{
    const struct history_entry *x = &sorted_entries[*(const size_t *)a];
    const struct history_entry *y = &sorted_entries[*(const size_t *)b];

    if (x->end_ns != y->end_ns)
        return x->end_ns < y->end_ns ? -1 : 1;
    return x < y ? -1 : 1;
}

static int by_name_and_start(const void *a, const void *b)
{
    const struct history_entry *x = &sorted_entries[*(const size_t *)a];
    const struct history_entry *y = &sorted_entries[*(const size_t *)b];

    if (x->name != y->name)
        return x->name < y->name ? -1 : 1;
    if (x->start_ns != y->start_ns)
        return x->start_ns < y->start_ns ? -1 : 1;
    return x < y ? -1 : 1;
}

static int by_name_and_version(const void *a, const void *b)
{
    const struct history_entry *x = &sorted_entries[*(const size_t *)a];
    const struct history_entry *y = &sorted_entries[*(const size_t *)b];

    if (x->name != y->name)
        return x->name < y->name ? -1 : 1;
    if (x->version != y->version)
        return x->version < y->version ? -1 : 1;
    return x < y ? -1 : 1;
}

static int by_name_and_fence(const void *a, const void *b)
{
    const struct history_entry *x = &sorted_entries[*(const size_t *)a];
    const struct history_entry *y = &sorted_entries[*(const size_t *)b];

    if (x->name != y->name)
        return x->name < y->name ? -1 : 1;
    if (x->fence != y->fence)
        return x->fence < y->fence ? -1 : 1;
    return x < y ? -1 : 1;
}

/* Indices of the entries that @wanted, in the order of @compare. To be freed; NULL: none. */
static size_t *sorted(const struct history *history,
                      bool (*wanted)(const struct history_entry *),
                      int (*compare)(const void *, const void *),
                      size_t *n_out)
{
    size_t *order = calloc(history->n + 1, sizeof(*order));
    size_t n = 0;

    for (size_t i = 0; order != NULL && i < history->n; i++) {
        if (wanted(&history->entries[i]))
            order[n++] = i;
    }
    sorted_entries = history->entries;
    if (n > 1)
        qsort(order, n, sizeof(*order), compare);
    *n_out = n;
    return order;
}

static bool is_done_variable(const struct history_entry *entry)
{
    return !history_on_lock(entry) && entry->outcome == HISTORY_OK;
}

size_t *history_by_name(const struct history *history, size_t *n_out)
{
    return sorted(history, history_is_variable, by_name_and_start, n_out);
}

void history_order(const struct history *history, struct history_finding *out)
{
    struct history_line line = {0};
    size_t n;
    size_t *order = sorted(history, is_done_variable, by_end, &n);
    size_t against;

    for (size_t i = 0; i < n; i++) {
        const struct history_entry *entry = &history->entries[order[i]];

        if (history_line_add(&line, entry, order[i], &against))
            continue;
        violated(out,
                 against == SIZE_MAX ? "one version has two values"
                                     : "a version goes back, or is written twice",
                 history_text_of(history, entry->name), order[i], against);
        for (size_t j = 0; against == SIZE_MAX && j < i; j++) {
            const struct history_entry *other = &history->entries[order[j]];

            if (other->name == entry->name && other->version == entry->version && other->valued &&
                other->value != entry->value) {
                history_blame(out, order[j]);
                break;
            }
        }
        break;
    }
    history_line_deinit(&line);
    free(order);
}

/* ---- presence ---- */

bool history_is_variable(const struct history_entry *entry)
{
    return !history_on_lock(entry);
}

/* Of one variable, sorted by start: was every value read written by somebody? */
static void
presence_of(const struct history *history, const size_t *at, size_t n, struct history_finding *out)
{
    bool counted = false;
    bool deleted = false;
    size_t acked = SIZE_MAX;    /* the write that was acknowledged first */
    struct map64 written = {0}; /* value -> 1: by a write that counts, 2: by a failed one only */

    for (size_t i = 0; i < n; i++) {
        const struct history_entry *e = &history->entries[at[i]];

        counted = counted || e->op == HISTORY_INCR;
        if (e->outcome != HISTORY_FAILED) {
            deleted = deleted || e->op == HISTORY_DEL ||
                      ((e->op == HISTORY_SET || e->op == HISTORY_CAS) && e->arg == HISTORY_ABSENT);
        }
        if ((e->op == HISTORY_SET || e->op == HISTORY_CAS) && e->arg != HISTORY_ABSENT &&
            (e->outcome != HISTORY_FAILED || map64_find(&written, e->arg) == NULL) &&
            map64_set(&written, e->arg, (void *)(uintptr_t)(e->outcome == HISTORY_FAILED ? 2 : 1)) <
                0)
            break;
        if (e->outcome == HISTORY_OK && history_wrote(e) &&
            (acked == SIZE_MAX || e->end_ns < history->entries[acked].end_ns))
            acked = at[i];
    }
    for (size_t i = 0; i < n && out->verdict == HISTORY_HOLDS; i++) {
        const struct history_entry *e = &history->entries[at[i]];
        bool reads = e->outcome == HISTORY_OK && e->valued &&
                     (e->op == HISTORY_GET || (e->op == HISTORY_CAS && e->lost));

        if (!reads)
            continue;
        if (e->value == HISTORY_ABSENT) {
            if (!deleted && acked != SIZE_MAX && history->entries[acked].end_ns < e->start_ns)
                violated(out, "an acknowledged write is gone", history_text_of(history, e->name),
                         acked, at[i]);
        } else if (!counted && (uintptr_t)map64_find(&written, e->value) != 1) {
            violated(out, "a value is read that nobody wrote", history_text_of(history, e->name),
                     at[i], SIZE_MAX);
        }
    }
    map64_deinit(&written);
}

void history_presence(const struct history *history, struct history_finding *out)
{
    size_t n;
    size_t *order = history_by_name(history, &n);

    for (size_t i = 0, end; i < n && out->verdict == HISTORY_HOLDS; i = end) {
        for (end = i + 1;
             end < n && history->entries[order[end]].name == history->entries[order[i]].name;)
            end++;
        presence_of(history, order + i, end - i, out);
    }
    free(order);
}

/* ---- locks ---- */

static bool is_acquired(const struct history_entry *entry)
{
    return entry->op == HISTORY_LOCK && entry->outcome == HISTORY_OK && entry->fence != 0;
}

static bool is_released(const struct history_entry *entry)
{
    return entry->op == HISTORY_UNLOCK && entry->outcome == HISTORY_OK && entry->fence != 0;
}

/*
 * Acquisitions of one lock by fence. Surely inside from the end of the acquisition until the
 * beginning of a release that was accepted; without one (the lease may have ended while the answer
 * was on its way), at some moment since the beginning of the acquisition.
 */
static void locks_of(const struct history *history,
                     const size_t *at,
                     size_t n,
                     const struct map64 *releases,
                     struct history_finding *out)
{
    const struct history_entry *first = &history->entries[at[0]];
    const char *name = history_text_of(history, first->name);
    size_t last = at[0]; /* of those before: who was inside last */
    int64_t last_until = INT64_MIN;

    for (size_t i = 0; i < n; i++) {
        const struct history_entry *e = &history->entries[at[i]];
        uint64_t both[2] = {e->name, e->fence};
        size_t release = (size_t)(uintptr_t)map64_find(releases, hash_bytes(both, sizeof(both), 1));
        int64_t until = release != 0 ? history->entries[release - 1].start_ns : e->start_ns;

        if (i > 0 && e->fence == history->entries[at[i - 1]].fence) {
            violated(out, "two are given the same fence", name, at[i - 1], at[i]);
            return;
        }
        /* Whoever has a lower fence was inside before; so it was not still inside after. */
        if (i > 0 && last_until > e->end_ns) {
            violated(out, "two are inside at once, or fences do not grow", name, last, at[i]);
            return;
        }
        if (until > last_until) {
            last_until = until;
            last = at[i];
        }
    }
}

void history_locks(const struct history *history, struct history_finding *out)
{
    struct map64 releases = {0};
    size_t n;
    size_t *order = sorted(history, is_released, by_name_and_fence, &n);

    for (size_t i = 0; i < n; i++) {
        const struct history_entry *e = &history->entries[order[i]];
        uint64_t both[2] = {e->name, e->fence};

        if (map64_set(&releases, hash_bytes(both, sizeof(both), 1),
                      (void *)(uintptr_t)(order[i] + 1)) < 0)
            break;
    }
    free(order);
    order = sorted(history, is_acquired, by_name_and_fence, &n);
    for (size_t i = 0, end; i < n && out->verdict == HISTORY_HOLDS; i = end) {
        for (end = i + 1;
             end < n && history->entries[order[end]].name == history->entries[order[i]].name;)
            end++;
        locks_of(history, order + i, end - i, &releases, out);
    }
    map64_deinit(&releases);
    free(order);
}

static bool is_guarded(const struct history_entry *entry)
{
    return is_done_variable(entry) && history_wrote(entry) && entry->fence != 0 &&
           entry->version != 0;
}

void history_guards(const struct history *history, struct history_finding *out)
{
    size_t n;
    size_t *order = sorted(history, is_guarded, by_name_and_version, &n);

    for (size_t i = 1; i < n; i++) {
        const struct history_entry *a = &history->entries[order[i - 1]];
        const struct history_entry *b = &history->entries[order[i]];

        if (a->name == b->name && b->fence < a->fence) {
            violated(out, "a guarded write under a lower fence than the one before it",
                     history_text_of(history, b->name), order[i - 1], order[i]);
            break;
        }
    }
    free(order);
}

void history_judge(struct history *history, uint64_t steps_max, struct history_finding *out)
{
    memset(out, 0, sizeof(*out));
    history_order(history, out);
    if (out->verdict == HISTORY_HOLDS)
        history_presence(history, out);
    if (out->verdict == HISTORY_HOLDS)
        history_locks(history, out);
    if (out->verdict == HISTORY_HOLDS)
        history_guards(history, out);
    if (out->verdict == HISTORY_HOLDS)
        history_search(history, steps_max, out);
}

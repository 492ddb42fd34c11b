/*
 * Sets that two sides may change at once. Local changes are joins, too: what is added or taken away
 * is put into a small body of its own and joined with what is there.
 */
#include "dvar/avail_items.h"

#include <stdlib.h>

#include "core/alloc.h"
#include "core/error.h"
#include "dvar/value.h"

#define ITEM_HEAD_BYTES 8

/* ---- reading ---- */

struct table {
    const uint8_t *dots; /* id and number, by id */
    uint32_t n;
};

struct item {
    const uint8_t *data;
    uint32_t len;
    const uint8_t *dots;
    uint32_t dots_n;
};

static struct table table_of(const uint8_t *body, size_t len)
{
    return len >= 4 ? (struct table){.dots = body + 4, .n = get_le32(body)} : (struct table){0};
}

static size_t table_bytes(const struct table *table)
{
    return 4 + (size_t)table->n * STATE_DOT_BYTES;
}

/* The number that stands for the id at @dot; 0 if there is none. */
static uint64_t table_number(const struct table *table, const uint8_t *dot)
{
    uint32_t low = 0;
    uint32_t high = table->n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        const uint8_t *at = table->dots + (size_t)mid * STATE_DOT_BYTES;
        int order = state_id_order(at, dot);
        if (order == 0)
            return get_le64(at + STATE_ID_BYTES);
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return 0;
}

static bool covers(const struct table *table, const uint8_t *dot)
{
    return get_le64(dot + STATE_ID_BYTES) <= table_number(table, dot);
}

/* The item at @at, which is moved on; false at the end or where it is cut off (@at is behind then).
 */
static bool next_item(const uint8_t *body, size_t len, size_t *at, struct item *item)
{
    if (*at >= len)
        return false;
    size_t left = len - *at;
    if (left < ITEM_HEAD_BYTES) {
        *at = len + 1;
        return false;
    }
    const uint8_t *p = body + *at;
    item->len = get_le32(p);
    item->dots_n = get_le32(p + 4);
    uint64_t bytes = ITEM_HEAD_BYTES + (uint64_t)item->dots_n * STATE_DOT_BYTES + item->len;
    if (bytes > left) {
        *at = len + 1;
        return false;
    }
    item->dots = p + ITEM_HEAD_BYTES;
    item->data = item->dots + (size_t)item->dots_n * STATE_DOT_BYTES;
    *at += bytes;
    return true;
}

static int data_order(const void *a, size_t a_len, const void *b, size_t b_len)
{
    size_t len = a_len < b_len ? a_len : b_len;
    int order = len > 0 ? memcmp(a, b, len) : 0;
    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int item_order(const struct item *a, const struct item *b)
{
    return data_order(a->data, a->len, b->data, b->len);
}

/* ---- checking ---- */

static const char *table_problem(const struct table *table)
{
    for (uint32_t i = 0; i < table->n; i++) {
        const uint8_t *dot = table->dots + (size_t)i * STATE_DOT_BYTES;
        if (i > 0 && state_id_order(dot - STATE_DOT_BYTES, dot) >= 0)
            return "its boots are out of order";
        if (get_le64(dot + STATE_ID_BYTES) == 0)
            return "a boot has no number";
    }
    return NULL;
}

bool state_context_check(const void *context, size_t len)
{
    if (len == 0)
        return true;
    if (len < 4 || (len - 4) / STATE_DOT_BYTES > AVAIL_PARTS_JOINED_MAX)
        return false;
    struct table table = table_of(context, len);
    return (len - 4) % STATE_DOT_BYTES == 0 && (len - 4) / STATE_DOT_BYTES == table.n &&
           table_problem(&table) == NULL;
}

static const char *
item_problem(const struct state *s, const struct table *table, const struct item *item)
{
    uint8_t type = s->merge == AVAIL_SET ? s->type & (uint8_t)~VALUE_ARRAY : s->type;
    if (value_data_check("it", type, item->data, item->len) != 0)
        return "an item is not of its type";
    if (item->dots_n == 0)
        return "an item has no dot";
    for (uint32_t i = 0; i < item->dots_n; i++) {
        const uint8_t *dot = item->dots + (size_t)i * STATE_DOT_BYTES;
        if (i > 0 && state_id_order(dot - STATE_DOT_BYTES, dot) >= 0)
            return "the dots of an item are out of order";
        if (get_le64(dot + STATE_ID_BYTES) == 0 || !covers(table, dot))
            return "a dot is not of its boots";
    }
    return NULL;
}

const char *items_problem(const struct state *s)
{
    if (s->len < 4)
        return "it has no table of boots";
    struct table table = table_of(s->body, s->len);
    if (table.n > AVAIL_PARTS_JOINED_MAX || table_bytes(&table) > s->len)
        return "its table of boots is cut off or too large";
    const char *problem = table_problem(&table);
    size_t at = table_bytes(&table);
    struct item item;
    struct item before = {0};
    while (problem == NULL && next_item(s->body, s->len, &at, &item)) {
        problem = item_problem(s, &table, &item);
        if (before.dots != NULL && item_order(&before, &item) >= 0)
            problem = "its items are out of order";
        before = item;
    }
    return problem == NULL && at != s->len ? "an item is cut off" : problem;
}

/* ---- join ---- */

static int tables_join(const struct table *a, const struct table *b, struct buf *out)
{
    size_t start = out->len;
    int r = buf_reserve(out, 4 + ((size_t)a->n + b->n) * STATE_DOT_BYTES);
    if (r != 0)
        return r;
    uint8_t *to = out->data + start + 4;
    uint32_t i = 0;
    uint32_t k = 0;
    uint32_t n = 0;
    while (i < a->n || k < b->n) {
        const uint8_t *of_a = a->dots + (size_t)i * STATE_DOT_BYTES;
        const uint8_t *of_b = b->dots + (size_t)k * STATE_DOT_BYTES;
        int order = i == a->n ? 1 : k == b->n ? -1 : state_id_order(of_a, of_b);
        bool take_b = order > 0 || (order == 0 && get_le64(of_b + STATE_ID_BYTES) >
                                                      get_le64(of_a + STATE_ID_BYTES));
        memcpy(to + (size_t)n * STATE_DOT_BYTES, take_b ? of_b : of_a, STATE_DOT_BYTES);
        i += order <= 0;
        k += order >= 0;
        n++;
    }
    put_le32(out->data + start, n);
    out->len += 4 + (size_t)n * STATE_DOT_BYTES;
    return 0;
}

/*
 * Appends the item with those dots that both have, and those that one has and the other never saw
 * (else the other saw it removed). No dot left: nothing is appended.
 */
static int item_join(const struct item *a,
                     const struct table *of_a,
                     const struct item *b,
                     const struct table *of_b,
                     struct buf *out)
{
    const struct item *data = a != NULL ? a : b;
    uint32_t a_n = a != NULL ? a->dots_n : 0;
    uint32_t b_n = b != NULL ? b->dots_n : 0;
    size_t start = out->len;
    int r = buf_reserve(out, ITEM_HEAD_BYTES + ((size_t)a_n + b_n) * STATE_DOT_BYTES + data->len);
    if (r != 0)
        return r;
    uint8_t *dots = out->data + start + ITEM_HEAD_BYTES;
    uint32_t i = 0;
    uint32_t k = 0;
    uint32_t n = 0;
    while (i < a_n || k < b_n) {
        const uint8_t *p = i < a_n ? a->dots + (size_t)i * STATE_DOT_BYTES : NULL;
        const uint8_t *q = k < b_n ? b->dots + (size_t)k * STATE_DOT_BYTES : NULL;
        int order = p == NULL ? 1 : q == NULL ? -1 : state_id_order(p, q);
        i += order <= 0;
        k += order >= 0;
        const uint8_t *stays = NULL;
        if (order == 0 && get_le64(p + STATE_ID_BYTES) == get_le64(q + STATE_ID_BYTES))
            stays = p;
        else if (order <= 0 && !covers(of_b, p))
            stays = p;
        else if (order >= 0 && !covers(of_a, q))
            stays = q;
        if (stays != NULL)
            memcpy(dots + (size_t)n++ * STATE_DOT_BYTES, stays, STATE_DOT_BYTES);
    }
    if (n == 0)
        return 0;
    put_le32(out->data + start, data->len);
    put_le32(out->data + start + 4, n);
    if (data->len > 0)
        memcpy(dots + (size_t)n * STATE_DOT_BYTES, data->data, data->len);
    out->len += ITEM_HEAD_BYTES + (size_t)n * STATE_DOT_BYTES + data->len;
    return 0;
}

int items_join(const struct state *a, const struct state *b, struct buf *out)
{
    struct table of_a = table_of(a->body, a->len);
    struct table of_b = table_of(b->body, b->len);
    size_t a_at = table_bytes(&of_a);
    size_t b_at = table_bytes(&of_b);
    struct item of_a_item;
    struct item of_b_item;
    int r = tables_join(&of_a, &of_b, out);
    bool a_has = next_item(a->body, a->len, &a_at, &of_a_item);
    bool b_has = next_item(b->body, b->len, &b_at, &of_b_item);
    while (r == 0 && (a_has || b_has)) {
        int order = !a_has ? 1 : !b_has ? -1 : item_order(&of_a_item, &of_b_item);
        r = item_join(order <= 0 ? &of_a_item : NULL, &of_a, order >= 0 ? &of_b_item : NULL, &of_b,
                      out);
        if (order <= 0)
            a_has = next_item(a->body, a->len, &a_at, &of_a_item);
        if (order >= 0)
            b_has = next_item(b->body, b->len, &b_at, &of_b_item);
    }
    return r;
}

/* ---- local changes ---- */

static int by_data(const void *a, const void *b)
{
    const struct kith_bytes *x = a;
    const struct kith_bytes *y = b;
    return data_order(x->data, x->len, y->data, y->len);
}

static bool among(const struct kith_bytes *sorted, size_t n, const struct item *item)
{
    struct kith_bytes key = {.data = item->data, .len = item->len};
    return n > 0 && bsearch(&key, sorted, n, sizeof(key), by_data) != NULL;
}

/* A sorted copy without duplicates; NULL if memory is short or there is nothing. */
static struct kith_bytes *sorted(const struct kith_bytes *items, size_t *n)
{
    if (*n == 0)
        return NULL;
    struct kith_bytes *copy = core_malloc(*n * sizeof(*copy));
    if (copy == NULL)
        return NULL;
    memcpy(copy, items, *n * sizeof(*copy));
    qsort(copy, *n, sizeof(*copy), by_data);
    size_t kept = 1;
    for (size_t i = 1; i < *n; i++)
        if (by_data(&copy[kept - 1], &copy[i]) != 0)
            copy[kept++] = copy[i];
    *n = kept;
    return copy;
}

/* Does an edit take all dots of @item away? */
static bool is_dropped(const struct item *item,
                       const struct state_items *edit,
                       const struct table *context,
                       const struct kith_bytes *drop,
                       size_t drop_n)
{
    if (among(drop, drop_n, item))
        return true;
    if (!edit->drop_covered)
        return false;
    for (uint32_t i = 0; i < item->dots_n && edit->context.len > 0; i++)
        if (!covers(context, item->dots + (size_t)i * STATE_DOT_BYTES))
            return false;
    return true;
}

/* The body as it is after the removals, with @self's next number in the table. */
static int keep_rest(const struct state *now,
                     const struct state_items *edit,
                     const uint8_t *dot,
                     const struct kith_bytes *drop,
                     size_t drop_n,
                     struct buf *out)
{
    struct table table = table_of(now->body, now->len);
    struct table own = {.dots = dot, .n = edit->add_n > 0 ? 1 : 0};
    struct table context = table_of(edit->context.data, edit->context.len);
    size_t at = table_bytes(&table);
    struct item item;
    int r = tables_join(&table, &own, out);
    while (r == 0 && next_item(now->body, now->len, &at, &item))
        if (!is_dropped(&item, edit, &context, drop, drop_n))
            r = buf_append(out, item.data - item.dots_n * (size_t)STATE_DOT_BYTES - ITEM_HEAD_BYTES,
                           ITEM_HEAD_BYTES + item.dots_n * (size_t)STATE_DOT_BYTES + item.len);
    return r;
}

/* Puts the added items, each with the one new dot, among those that stay. */
static int put_added(const struct buf *rest,
                     const struct kith_bytes *add,
                     size_t add_n,
                     const uint8_t *dot,
                     struct buf *out)
{
    struct table table = table_of(rest->data, rest->len);
    size_t at = table_bytes(&table);
    struct item old;
    int r = buf_append(out, rest->data, at);
    bool has = next_item(rest->data, rest->len, &at, &old);
    for (size_t i = 0; r == 0 && (i < add_n || has);) {
        int order = i == add_n ? -1
                    : !has     ? 1
                               : data_order(old.data, old.len, add[i].data, add[i].len);
        if (order >= 0) {
            uint8_t head[ITEM_HEAD_BYTES];
            put_le32(head, (uint32_t)add[i].len);
            put_le32(head + 4, 1);
            r = buf_append(out, head, sizeof(head));
            if (r == 0)
                r = buf_append(out, dot, STATE_DOT_BYTES);
            if (r == 0)
                r = buf_append(out, add[i].data, add[i].len);
            i++;
        } else {
            r = buf_append(out, old.dots - ITEM_HEAD_BYTES,
                           ITEM_HEAD_BYTES + old.dots_n * (size_t)STATE_DOT_BYTES + old.len);
        }
        if (order <= 0) /* an item that was there has the new dot only: this adds it anew */
            has = next_item(rest->data, rest->len, &at, &old);
    }
    return r;
}

int state_edit(const struct state *now,
               const struct state_items *edit,
               const struct state_who *who,
               struct buf *out)
{
    size_t add_n = edit->add_n;
    size_t drop_n = edit->drop_n;
    struct kith_bytes *add = sorted(edit->add, &add_n);
    struct kith_bytes *drop = sorted(edit->drop, &drop_n);
    struct table table = table_of(now->body, now->len);
    struct buf rest = {0};
    struct buf body = {0};
    uint8_t dot[STATE_DOT_BYTES];
    state_put_id(dot, who->self);
    put_le64(dot + STATE_ID_BYTES, table_number(&table, dot) + 1);

    int r = (add == NULL && add_n > 0) || (drop == NULL && drop_n > 0) ? KITH_E_MEMORY : 0;
    if (r == 0)
        r = keep_rest(now, edit, dot, drop, drop_n, &rest);
    if (r == 0)
        r = put_added(&rest, add, add_n, dot, &body);
    if (r == 0)
        r = state_with_body(now, body.data, body.len, out);
    buf_deinit(&rest);
    buf_deinit(&body);
    core_free(add);
    core_free(drop);
    return r;
}

/* ---- reading ---- */

struct kith_bytes state_context(const struct state *s)
{
    struct table table = table_of(s->body, s->len);
    return (struct kith_bytes){.data = s->body, .len = s->len >= 4 ? table_bytes(&table) : 0};
}

bool state_item(const struct state *s, size_t *at, struct kith_bytes *item_out)
{
    struct table table = table_of(s->body, s->len);
    struct item item;
    if (*at == 0)
        *at = table_bytes(&table);
    if (!next_item(s->body, s->len, at, &item))
        return false;
    *item_out = (struct kith_bytes){.data = item.data, .len = item.len};
    return true;
}

/*
 * Heads of states, moments, and the kinds whose body is one value or one number a boot. Sets stand
 * in avail_items.c.
 */
#include "dvar/avail_state.h"

#include <assert.h>

#include "core/error.h"
#include "core/mutant.h"
#include "dvar/avail_items.h"
#include "dvar/value.h"

#define STATE_FORMAT     1
#define STATE_HEAD_BYTES 4
#define COUNTER_BYTES    (STATE_ID_BYTES + 16)

/* ---- names ---- */

static const char *const merge_names[AVAIL_MERGES_N] = {"lww",     "max", "min",
                                                        "counter", "set", "keep-both"};

const char *avail_merge_name(uint8_t merge)
{
    return merge < AVAIL_MERGES_N ? merge_names[merge] : "unknown";
}

int avail_merge_parse(const char *text, uint8_t *merge_out)
{
    for (uint8_t i = 0; text != NULL && i < AVAIL_MERGES_N; i++) {
        if (strcmp(text, merge_names[i]) == 0) {
            *merge_out = i;
            return 0;
        }
    }
    return kith_fail_with(KITH_E_PARSE,
                          "\"%.40s\" is no merge kind; they are lww, max, min, counter, set and "
                          "keep-both",
                          text != NULL ? text : "");
}

static bool type_fits(uint8_t merge, uint8_t type)
{
    switch (merge) {
    case AVAIL_LWW:
    case AVAIL_KEEP_BOTH:
        return value_type_is_known(type);
    case AVAIL_MAX:
    case AVAIL_MIN:
        return type == VALUE_I64 || type == VALUE_F64;
    case AVAIL_COUNTER:
        return type == VALUE_I64;
    case AVAIL_SET:
        return type == (VALUE_ARRAY | VALUE_TEXT) || type == (VALUE_ARRAY | VALUE_BYTES);
    default:
        return false;
    }
}

int avail_merge_check(const char *name, uint8_t merge, uint8_t type)
{
    if (type_fits(merge, type))
        return 0;
    return kith_fail_with(
        KITH_E_INVALID,
        "%s cannot be %s with merge kind %s; max and min take i64 and f64, counter "
        "i64, set text[] and bytes[]",
        name, value_type_name(type), avail_merge_name(merge));
}

/* ---- moments ---- */

int avail_moment_compare(const struct avail_moment *a, const struct avail_moment *b)
{
    if (a->ms != b->ms)
        return a->ms < b->ms ? -1 : 1;
    if (a->logical != b->logical)
        return a->logical < b->logical ? -1 : 1;
    return boot_id_compare(&a->by, &b->by);
}

struct avail_moment
avail_moment_next(const struct avail_moment *after, uint64_t wall_ms, const struct boot_id *by)
{
    struct avail_moment next = {.ms = wall_ms, .by = *by};
    /* Hole 29: counting writes would let the side with more of them win, not the later one. */
    if (MUTANT(AVAIL_BY_COUNT))
        next.ms = after->ms + 1;
    if (next.ms <= after->ms) {
        next.ms = after->ms;
        next.logical = after->logical + 1;
        if (next.logical == 0)
            next.ms++;
    }
    return next;
}

static void put_moment(uint8_t *p, const struct avail_moment *m)
{
    put_le64(p, m->ms);
    put_le32(p + 8, m->logical);
    state_put_id(p + 12, &m->by);
}

static struct avail_moment get_moment(const uint8_t *p)
{
    return (struct avail_moment){
        .ms = get_le64(p), .logical = get_le32(p + 8), .by = state_get_id(p + 12)};
}

/* ---- heads ---- */

struct state state_view(const void *bytes, size_t len)
{
    struct state s = {0};
    const uint8_t *p = bytes;
    if (len == 0)
        return s;
    s.merge = p[1];
    s.type = p[2];
    s.flags = p[3];
    size_t head = STATE_HEAD_BYTES;
    if ((s.flags & STATE_LIFE) != 0) {
        s.life = get_moment(p + head);
        head += STATE_MOMENT_BYTES;
    }
    s.body = p + head;
    s.len = len - head;
    return s;
}

/* Appends the head of @s and room for @len bytes of body. NULL if memory is short. */
static uint8_t *begin(const struct state *s, size_t len, struct buf *out)
{
    size_t head = STATE_HEAD_BYTES + ((s->flags & STATE_LIFE) != 0 ? STATE_MOMENT_BYTES : 0);
    if (buf_reserve(out, head + len) != 0)
        return NULL;
    uint8_t *p = out->data + out->len;
    p[0] = STATE_FORMAT;
    p[1] = s->merge;
    p[2] = s->type;
    p[3] = s->flags;
    if ((s->flags & STATE_LIFE) != 0)
        put_moment(p + STATE_HEAD_BYTES, &s->life);
    out->len += head + len;
    return p + head;
}

static int append(const struct state *s, const void *body, size_t len, struct buf *out)
{
    uint8_t *to = begin(s, len, out);
    if (to == NULL)
        return KITH_E_MEMORY;
    if (len > 0)
        memcpy(to, body, len);
    return 0;
}

int state_with_body(const struct state *s, const void *body, size_t len, struct buf *out)
{
    struct state next = *s;
    next.flags = (uint8_t)((s->flags & STATE_LIFE) | STATE_ALIVE);
    return append(&next, body, len, out);
}

static const char *counter_problem(const struct state *s)
{
    if (s->len % COUNTER_BYTES != 0 || s->len / COUNTER_BYTES > AVAIL_PARTS_JOINED_MAX)
        return "its parts are cut off or too many";
    for (size_t at = 0; at < s->len; at += COUNTER_BYTES) {
        const uint8_t *p = s->body + at;
        if (at > 0 && state_id_order(p - COUNTER_BYTES, p) >= 0)
            return "its parts are out of order";
        if (get_le64(p + STATE_ID_BYTES) > INT64_MAX ||
            get_le64(p + STATE_ID_BYTES + 8) > INT64_MAX)
            return "a part is too large";
    }
    return NULL;
}

static const char *body_problem(const struct state *s)
{
    bool alive = state_is_alive(s);
    if (s->merge == AVAIL_LWW) {
        size_t data = s->len - STATE_MOMENT_BYTES;
        if (alive && (s->flags & STATE_WRITTEN) != 0)
            return "it is alive and deleted";
        if (!alive && (s->flags & STATE_WRITTEN) == 0)
            return s->len == 0 ? NULL : "it is absent and has data";
        if (s->len < STATE_MOMENT_BYTES || (!alive && data != 0))
            return "its moment is cut off";
        return alive && value_data_check("it", s->type, s->body + STATE_MOMENT_BYTES, data) != 0
                   ? "its data is not of its type"
                   : NULL;
    }
    if ((s->flags & STATE_WRITTEN) != 0)
        return "it has flags of another kind";
    if (!alive)
        return s->len == 0 ? NULL : "it is absent and has data";
    if (s->merge == AVAIL_COUNTER)
        return counter_problem(s);
    if (s->merge == AVAIL_MAX || s->merge == AVAIL_MIN)
        return s->len == 0 || s->len == 8 ? NULL : "it is no number";
    return items_problem(s);
}

int state_decode(const void *bytes, size_t len, struct state *state_out)
{
    const uint8_t *p = bytes;
    const char *problem = NULL;
    struct state s = {0};
    if (len < STATE_HEAD_BYTES || len > AVAIL_STATE_BYTES_MAX || p[0] != STATE_FORMAT ||
        (p[3] & ~(STATE_ALIVE | STATE_LIFE | STATE_WRITTEN)) != 0 || !type_fits(p[1], p[2]) ||
        ((p[3] & STATE_LIFE) != 0 && len < STATE_HEAD_BYTES + STATE_MOMENT_BYTES)) {
        problem = "its head is damaged";
    } else {
        s = state_view(bytes, len);
        bool never = (s.flags & STATE_LIFE) != 0 && boot_id_is_none(&s.life.by);
        problem = never ? "its life began never" : body_problem(&s);
    }
    if (problem != NULL)
        return kith_fail_with(KITH_E_CORRUPT,
                              "a state of an available variable is damaged: %s; it is not used",
                              problem);
    *state_out = s;
    return 0;
}

static bool has_moment(const struct state *s)
{
    return s->merge == AVAIL_LWW && (s->flags & (STATE_ALIVE | STATE_WRITTEN)) != 0;
}

struct avail_moment state_latest(const struct state *s)
{
    if (!has_moment(s))
        return s->life;
    struct avail_moment written = get_moment(s->body);
    return avail_moment_compare(&written, &s->life) > 0 ? written : s->life;
}

size_t state_parts(const struct state *s)
{
    if (s->merge == AVAIL_COUNTER)
        return s->len / COUNTER_BYTES;
    bool items = s->merge == AVAIL_SET || s->merge == AVAIL_KEEP_BOTH;
    return items && s->len >= 4 ? get_le32(s->body) : 0;
}

/* ---- numbers ---- */

static double f64_of(const uint8_t *p)
{
    double value;
    uint64_t bits = get_le64(p);
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/*
 * Which of two numbers is greater, as a total order, so that the join is the same in any order:
 * what is no number is below all, and of equal ones (0 and -0) the bits decide.
 */
static int number_order(uint8_t type, const uint8_t *a, const uint8_t *b)
{
    uint64_t x = get_le64(a);
    uint64_t y = get_le64(b);
    if (type == VALUE_I64)
        return ((int64_t)x > (int64_t)y) - ((int64_t)x < (int64_t)y);
    double u = f64_of(a);
    double v = f64_of(b);
    if ((u != u) != (v != v))
        return u != u ? -1 : 1;
    if (u < v || u > v)
        return u < v ? -1 : 1;
    return (x < y) - (x > y); /* the sign bit makes -0 the larger word */
}

/* True if @b stands against @a. What is no number never does. */
static bool is_further(const struct state *s, const uint8_t *a, const uint8_t *b)
{
    bool a_none = s->type == VALUE_F64 && f64_of(a) != f64_of(a);
    bool b_none = s->type == VALUE_F64 && f64_of(b) != f64_of(b);
    if (a_none != b_none)
        return a_none;
    int order = number_order(s->type, a, b);
    return s->merge == AVAIL_MAX ? order < 0 : order > 0;
}

static void counter_join_part(uint8_t *to, const uint8_t *a, const uint8_t *b)
{
    memcpy(to, a, COUNTER_BYTES);
    for (size_t at = STATE_ID_BYTES; at < COUNTER_BYTES; at += 8)
        if (get_le64(b + at) > get_le64(a + at))
            memcpy(to + at, b + at, 8);
}

static int counter_join(const struct state *a, const struct state *b, struct buf *out)
{
    uint8_t *to = begin(a, a->len + b->len, out);
    if (to == NULL)
        return KITH_E_MEMORY;
    size_t i = 0;
    size_t k = 0;
    uint8_t *at = to;
    while (i < a->len || k < b->len) {
        int order = i == a->len ? 1 : k == b->len ? -1 : state_id_order(a->body + i, b->body + k);
        if (order == 0)
            counter_join_part(at, a->body + i, b->body + k);
        else
            memcpy(at, order < 0 ? a->body + i : b->body + k, COUNTER_BYTES);
        i += order <= 0 ? COUNTER_BYTES : 0;
        k += order >= 0 ? COUNTER_BYTES : 0;
        at += COUNTER_BYTES;
    }
    out->len -= a->len + b->len - (size_t)(at - to);
    return 0;
}

/* ---- join ---- */

static int whole(const struct state *s, struct buf *out)
{
    return append(s, s->body, s->len, out);
}

/* The same life, kind and type. */
static int body_join(const struct state *a, const struct state *b, struct buf *out)
{
    switch (a->merge) {
    case AVAIL_LWW: {
        if (!has_moment(a) || !has_moment(b))
            return whole(has_moment(a) ? a : b, out);
        struct avail_moment of_a = get_moment(a->body);
        struct avail_moment of_b = get_moment(b->body);
        int order = avail_moment_compare(&of_a, &of_b);
        if (order == 0) /* one write, unless a node lies: still the same everywhere */
            order = a->flags != b->flags ? a->flags - b->flags
                    : a->len != b->len   ? (a->len > b->len) - (a->len < b->len)
                                         : memcmp(a->body, b->body, a->len);
        return whole(order >= 0 ? a : b, out);
    }
    case AVAIL_MAX:
    case AVAIL_MIN:
        if (a->len == 0 || b->len == 0)
            return whole(a->len != 0 ? a : b, out);
        return whole(is_further(a, a->body, b->body) ? b : a, out);
    case AVAIL_COUNTER:
        return counter_join(a, b, out);
    default: {
        struct buf body = {0};
        int r = items_join(a, b, &body);
        if (r == 0)
            r = append(a, body.data, body.len, out);
        buf_deinit(&body);
        return r;
    }
    }
}

int state_join(
    const void *a_bytes, size_t a_len, const void *b_bytes, size_t b_len, struct buf *out)
{
    if (a_len == 0 || b_len == 0)
        return a_len != 0 ? buf_append(out, a_bytes, a_len) : buf_append(out, b_bytes, b_len);
    struct state a = state_view(a_bytes, a_len);
    struct state b = state_view(b_bytes, b_len);
    int order = avail_moment_compare(&a.life, &b.life);
    if (order == 0)
        order = a.merge != b.merge ? a.merge - b.merge : a.type - b.type;
    if (order != 0)
        return whole(order > 0 ? &a : &b, out);
    /* Who has seen it come to life knows more. */
    if (a.merge != AVAIL_LWW && !(state_is_alive(&a) && state_is_alive(&b)))
        return whole(state_is_alive(&a) ? &a : &b, out);
    return body_join(&a, &b, out);
}

/* ---- changes ---- */

static struct state reborn(const struct state *now, const struct state_who *who)
{
    struct avail_moment latest = state_latest(now);
    return (struct state){.merge = now->merge,
                          .type = now->type,
                          .flags = STATE_LIFE,
                          .life = avail_moment_next(&latest, who->wall_ms, who->self)};
}

int state_create(const struct state *now,
                 uint8_t merge,
                 uint8_t type,
                 const struct state_who *who,
                 struct buf *out)
{
    assert(!state_is_alive(now));
    struct state next = *now;
    bool known = now->len != 0 || now->flags != 0;
    bool other = known && (now->merge != merge || now->type != type);
    if (other)
        next = reborn(now, who);
    next.merge = merge;
    next.type = type;
    next.flags = (uint8_t)((next.flags & STATE_LIFE) | STATE_ALIVE);
    if (merge == AVAIL_LWW) {
        struct kith_bytes data = value_data_default(type);
        next.flags = other ? STATE_LIFE : now->flags; /* the write that deleted it comes before */
        return state_write(&next, &data, who, out);
    }
    if (merge == AVAIL_SET || merge == AVAIL_KEEP_BOTH) {
        static const uint8_t nothing[4];
        return append(&next, nothing, sizeof(nothing), out);
    }
    return append(&next, NULL, 0, out);
}

int state_delete(const struct state *now, const struct state_who *who, struct buf *out)
{
    struct state next = reborn(now, who);
    if (now->merge != AVAIL_LWW)
        return append(&next, NULL, 0, out);
    uint8_t moment[STATE_MOMENT_BYTES];
    put_moment(moment, &next.life);
    next = *now;
    next.flags = (uint8_t)((now->flags & STATE_LIFE) | STATE_WRITTEN);
    return append(&next, moment, sizeof(moment), out);
}

int state_write(const struct state *now,
                const struct kith_bytes *data,
                const struct state_who *who,
                struct buf *out)
{
    struct state next = *now;
    next.flags = (uint8_t)((now->flags & STATE_LIFE) | STATE_ALIVE);
    if (now->merge != AVAIL_LWW) {
        bool stays = now->len == 8 && !is_further(now, now->body, data->data);
        return stays ? whole(now, out) : append(&next, data->data, data->len, out);
    }
    uint8_t *to = begin(&next, STATE_MOMENT_BYTES + data->len, out);
    if (to == NULL)
        return KITH_E_MEMORY;
    struct avail_moment latest = state_latest(now);
    struct avail_moment moment = avail_moment_next(&latest, who->wall_ms, who->self);
    put_moment(to, &moment);
    if (data->len > 0)
        memcpy(to + STATE_MOMENT_BYTES, data->data, data->len);
    return 0;
}

int state_register(uint8_t type, uint64_t ms, const struct kith_bytes *data, struct buf *out)
{
    struct state s = {
        .merge = AVAIL_LWW, .type = type, .flags = data != NULL ? STATE_ALIVE : STATE_WRITTEN};
    size_t len = data != NULL ? data->len : 0;
    struct avail_moment moment = {.ms = ms};
    uint8_t *to = begin(&s, STATE_MOMENT_BYTES + len, out);
    if (to == NULL)
        return KITH_E_MEMORY;
    put_moment(to, &moment);
    if (len > 0)
        memcpy(to + STATE_MOMENT_BYTES, data->data, len);
    return 0;
}

int state_add(const struct state *now, int64_t delta, const struct state_who *who, struct buf *out)
{
    uint8_t part[COUNTER_BYTES] = {0};
    state_put_id(part, who->self);
    for (size_t at = 0; at < now->len; at += COUNTER_BYTES)
        if (state_id_order(now->body + at, part) == 0)
            memcpy(part, now->body + at, COUNTER_BYTES);
    uint64_t more = delta < 0 ? 0 - (uint64_t)delta : (uint64_t)delta;
    uint8_t *side = part + STATE_ID_BYTES + (delta < 0 ? 8 : 0);
    int64_t sum;
    uint64_t total = get_le64(side) + more;
    if (total > INT64_MAX || __builtin_add_overflow(state_sum(now), delta, &sum))
        return kith_fail_with(KITH_E_LIMIT,
                              "the sum does not fit i64; delete the counter and begin "
                              "anew");
    put_le64(side, total);
    struct state mine = *now;
    mine.body = part;
    mine.len = sizeof(part);
    return counter_join(now, &mine, out);
}

/* ---- reading ---- */

struct kith_bytes state_data(const struct state *s)
{
    if (s->merge == AVAIL_LWW)
        return state_is_alive(s) ? (struct kith_bytes){.data = s->body + STATE_MOMENT_BYTES,
                                                       .len = s->len - STATE_MOMENT_BYTES}
                                 : (struct kith_bytes){0};
    return (struct kith_bytes){.data = s->len == 8 ? s->body : NULL, .len = s->len};
}

int64_t state_sum(const struct state *s)
{
    __extension__ __int128 sum = 0;
    for (size_t at = 0; at < s->len; at += COUNTER_BYTES) {
        sum += get_le64(s->body + at + STATE_ID_BYTES);
        sum -= get_le64(s->body + at + STATE_ID_BYTES + 8);
    }
    if (sum > INT64_MAX)
        return INT64_MAX;
    return sum < INT64_MIN ? INT64_MIN : (int64_t)sum;
}

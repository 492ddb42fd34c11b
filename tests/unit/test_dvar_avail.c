/*
 * The core of available variables by hand: two or three nodes whose frames the test carries.
 */
#include "dvar/avail.h"

#include "core/alloc.h"
#include "core/error.h"
#include "dvar/value.h"
#include "lib/test.h"

#define NODES 3

struct node {
    struct avail_core *core;
    struct kith_node_id id;
};
static struct node nodes[NODES];
static uint64_t now_ms;
static const uint64_t wall_base_ms = 1700000000000;
static int64_t wall_off_ms[NODES];
static bool linked[NODES][NODES];
static struct {
    int code;
    uint64_t version;
    unsigned acked_n, changed_n, quarantined_n, persisted_n, dropped_n;
    uint64_t acked_version;
    char text[512];
} seen[NODES];

static void step(unsigned i, struct avail_event *event, int want);

static void carry(unsigned from, const struct avail_output *out)
{
    /* The output goes with the node's next step, and what is sent may cause one. */
    struct avail_action *actions = malloc(out->actions_n * sizeof(*actions) + 1);
    uint8_t **data = malloc(out->actions_n * sizeof(*data) + 1);
    if (out->actions_n > 0)
        memcpy(actions, out->actions, out->actions_n * sizeof(*actions));
    for (size_t k = 0; k < out->actions_n; k++) {
        data[k] = malloc(actions[k].data.len + 1);
        if (actions[k].data.len > 0)
            memcpy(data[k], actions[k].data.data, actions[k].data.len);
        switch (actions[k].type) {
        case AVAIL_DONE:
            seen[from].code = actions[k].code;
            seen[from].version = actions[k].version;
            (void)snprintf(seen[from].text, sizeof(seen[from].text), "%s", actions[k].text);
            break;
        case AVAIL_ACKED:
            seen[from].acked_n++;
            seen[from].acked_version = actions[k].version;
            break;
        case AVAIL_CHANGED:
            seen[from].changed_n++;
            break;
        case AVAIL_QUARANTINED:
            seen[from].quarantined_n++;
            break;
        case AVAIL_PERSIST:
            seen[from].persisted_n += actions[k].data.data != NULL;
            seen[from].dropped_n += actions[k].data.data == NULL;
            break;
        case AVAIL_SEND:
            break;
        }
    }
    for (size_t k = 0; k < out->actions_n; k++) {
        for (unsigned to = 0; actions[k].type == AVAIL_SEND && to < NODES; to++) {
            struct avail_event event = {.type = AVAIL_RECV, .peer = nodes[from].id};
            event.data = (struct kith_bytes){data[k], actions[k].data.len};
            if (kith_node_id_equal(&nodes[to].id, &actions[k].peer) && linked[from][to])
                step(to, &event, 0);
        }
    }
    for (size_t k = 0; k < out->actions_n; k++)
        free(data[k]);
    free(data);
    free(actions);
}

static void step(unsigned i, struct avail_event *event, int want)
{
    struct avail_output out;
    event->now_ms = now_ms;
    event->wall_ms = (uint64_t)((int64_t)(wall_base_ms + now_ms) + wall_off_ms[i]);
    assert_int_equal(avail_step(nodes[i].core, event, &out), want);
    carry(i, &out);
    static unsigned steps; /* the check looks at all there is */
    if (++steps % 64 == 0)
        avail_check(nodes[i].core);
}

static void advance(uint64_t ms)
{
    uint64_t end_ms = now_ms + ms;
    for (;;) {
        uint64_t least = end_ms;
        for (unsigned i = 0; i < NODES; i++)
            if (nodes[i].core != NULL && avail_deadline_ms(nodes[i].core) < least)
                least = avail_deadline_ms(nodes[i].core);
        if (least > now_ms)
            now_ms = least;
        bool due = false;
        for (unsigned i = 0; i < NODES; i++) {
            if (nodes[i].core == NULL || avail_deadline_ms(nodes[i].core) > now_ms)
                continue;
            struct avail_event event = {.type = AVAIL_TICK};
            due = true;
            step(i, &event, 0);
            assert_true(avail_deadline_ms(nodes[i].core) > now_ms);
        }
        if (!due && now_ms >= end_ms)
            return;
    }
}

static void start(unsigned i, struct avail_config config)
{
    struct avail_event event = {.type = AVAIL_START};
    nodes[i].id.bytes[0] = (uint8_t)(i + 1);
    config.self.node = nodes[i].id;
    config.self.boot_no = config.self.boot_no != 0 ? config.self.boot_no : 1;
    config.seed = i + 1;
    assert_int_equal(avail_new(&nodes[i].core, &config), 0);
    step(i, &event, 0);
}

static void set_link(unsigned a, unsigned b, bool up)
{
    struct avail_event event = {.type = up ? AVAIL_LINK_UP : AVAIL_LINK_DOWN};
    linked[a][b] = up;
    linked[b][a] = up;
    unsigned first = a < b ? b : a; /* the other compares at once, and is heard */
    unsigned second = a < b ? a : b;
    event.peer = nodes[second].id;
    step(first, &event, 0);
    event.peer = nodes[first].id;
    step(second, &event, 0);
}

static void start_all(unsigned n, struct avail_config config)
{
    memset(nodes, 0, sizeof(nodes));
    memset(linked, 0, sizeof(linked));
    memset(seen, 0, sizeof(seen));
    memset(wall_off_ms, 0, sizeof(wall_off_ms));
    now_ms = 1000;
    for (unsigned i = 0; i < n; i++)
        start(i, config);
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < i; k++)
            set_link(k, i, true);
}

static void stop_all(void)
{
    for (unsigned i = 0; i < NODES; i++)
        avail_free(nodes[i].core);
}

static int run(unsigned i, struct avail_op op)
{
    struct avail_event event = {.type = AVAIL_OP, .op = &op};
    seen[i].code = 1;
    step(i, &event, 0);
    return seen[i].code;
}

static int add(unsigned i, const char *name, int64_t delta)
{
    return run(i, (struct avail_op){.kind = AVAIL_OP_ADD, .name = name, .delta = delta});
}

static int set_text(unsigned i, const char *name, const char *text)
{
    return run(i, (struct avail_op){.kind = AVAIL_OP_SET,
                                    .name = name,
                                    .merge = AVAIL_LWW,
                                    .type = VALUE_TEXT,
                                    .data = {text, strlen(text)}});
}

static int insert(unsigned i, const char *name, const char *item, uint8_t kind)
{
    struct kith_bytes items = {item, strlen(item)};
    return run(i, (struct avail_op){.kind = kind,
                                    .name = name,
                                    .type = VALUE_ARRAY | VALUE_TEXT,
                                    .items = &items,
                                    .items_n = 1});
}

static void is_i64(unsigned i, const char *name, int64_t want)
{
    struct avail_value value = {0};
    assert_int_equal(avail_get(nodes[i].core, name, &value), 0);
    assert_int_equal(value.data.len, 8);
    assert_int_equal((int64_t)get_le64(value.data.data), want);
    avail_value_deinit(&value);
}

static void prints(unsigned i, const char *name, const char *want)
{
    struct avail_value value = {0};
    struct buf text = {0};
    assert_int_equal(avail_get(nodes[i].core, name, &value), 0);
    uint8_t type = value.merge == AVAIL_KEEP_BOTH ? VALUE_ARRAY | VALUE_TEXT : value.type;
    assert_int_equal(value_print(type, value.data.data, value.data.len, &text), 0);
    assert_int_equal(buf_append_u8(&text, 0), 0);
    assert_string_equal((char *)text.data, want);
    buf_deinit(&text);
    avail_value_deinit(&value);
}

static void is_absent(unsigned i, const char *name)
{
    struct avail_value value = {0};
    assert_int_equal(avail_get(nodes[i].core, name, &value), KITH_E_NOT_FOUND);
}

static void same_everywhere(unsigned n)
{
    for (unsigned i = 1; i < n; i++)
        assert_true(avail_digest(nodes[i].core) == avail_digest(nodes[0].core));
}

static const struct avail_config plain = {.persist = false};

static void a_write_is_here_at_once_and_there_within_milliseconds(void **state)
{
    (void)state;
    start_all(3, plain);
    assert_int_equal(add(0, "n", 4), 0);
    assert_true(seen[0].version > 0);
    is_i64(0, "n", 4);
    assert_int_equal(set_text(0, "t", "hello"), 0);
    assert_int_equal(insert(1, "s", "x", AVAIL_OP_INSERT), 0);
    advance(2 * AVAIL_FLUSH_MS);
    for (unsigned i = 0; i < 3; i++) {
        is_i64(i, "n", 4);
        prints(i, "t", "hello");
        prints(i, "s", "[\"x\"]");
        assert_true(seen[i].changed_n >= 3);
    }
    same_everywhere(3);
    size_t at = 0;
    unsigned n = 0;
    while (avail_next(nodes[2].core, &at) != NULL)
        n++;
    assert_int_equal(n, 3);
    stop_all();
}

static void both_sides_of_a_cut_go_on_and_merge(void **state)
{
    struct kith_bytes left = {"left", 4};
    struct kith_bytes right = {"right", 5};
    struct avail_op keep = {
        .kind = AVAIL_OP_SET, .name = "k", .merge = AVAIL_KEEP_BOTH, .type = VALUE_TEXT};
    (void)state;
    start_all(3, plain);
    set_link(0, 2, false);
    set_link(1, 2, false);
    assert_int_equal(add(0, "n", 1), 0);
    assert_int_equal(add(1, "n", 2), 0);
    assert_int_equal(add(2, "n", 4), 0);
    assert_int_equal(set_text(0, "t", "early"), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(set_text(0, "t", "often"), 0);
    advance(20);
    assert_int_equal(set_text(2, "t", "late"), 0);
    keep.data = left;
    assert_int_equal(run(0, keep), 0);
    keep.data = right;
    assert_int_equal(run(2, keep), 0);
    advance(5000);
    is_i64(0, "n", 3);
    is_i64(2, "n", 4);
    set_link(1, 2, true); /* 0 and 2 stay cut off from each other: 1 passes it on */
    advance(1000);
    for (unsigned i = 0; i < 3; i++) {
        is_i64(i, "n", 7);
        prints(i, "t", "late");
        prints(i, "k", "[\"left\", \"right\"]");
    }
    same_everywhere(3);
    stop_all();
}

static void compare_and_set_is_refused_with_the_reason(void **state)
{
    (void)state;
    start_all(1, plain);
    assert_int_equal(run(0, (struct avail_op){.kind = AVAIL_OP_CAS, .name = "x"}),
                     KITH_E_UNSUPPORTED);
    assert_non_null(strstr(seen[0].text, "x is available"));
    assert_int_equal(run(0, (struct avail_op){.kind = 77, .name = "x"}), KITH_E_UNSUPPORTED);
    assert_int_equal(add(0, "n", 1), 0);
    assert_int_equal(set_text(0, "n", "x"), KITH_E_TYPE);
    assert_non_null(strstr(seen[0].text, "i64"));
    assert_non_null(strstr(seen[0].text, "text"));
    assert_non_null(strstr(seen[0].text, "counter"));
    assert_int_equal(insert(0, "n", "x", AVAIL_OP_INSERT), KITH_E_TYPE);
    assert_int_equal(insert(0, "none", "x", AVAIL_OP_REMOVE), KITH_E_NOT_FOUND);
    assert_int_equal(run(0, (struct avail_op){.kind = AVAIL_OP_DELETE, .name = "none"}),
                     KITH_E_NOT_FOUND);
    struct avail_op create = {
        .kind = AVAIL_OP_CREATE, .name = "n", .merge = AVAIL_COUNTER, .type = VALUE_I64};
    assert_int_equal(run(0, create), 0);
    is_i64(0, "n", 1);
    create.flags = AVAIL_OP_IF_ABSENT;
    assert_int_equal(run(0, create), KITH_E_EXISTS);
    create.kind = AVAIL_OP_SET;
    create.data = (struct kith_bytes){"12345678", 8};
    assert_int_equal(run(0, create), KITH_E_UNSUPPORTED);
    create.type = VALUE_TEXT;
    create.name = "new";
    assert_int_equal(run(0, create), KITH_E_INVALID);
    create.merge = AVAIL_KEEP_BOTH;
    create.context = (struct kith_bytes){"damaged", 7};
    assert_int_equal(run(0, create), KITH_E_INVALID);
    assert_int_equal(set_text(0, "t", "\xff"), KITH_E_INVALID);
    assert_int_equal(add(0, "n", INT64_MAX), KITH_E_LIMIT);
    is_i64(0, "n", 1);
    stop_all();
}

static void an_ack_comes_when_another_node_has_it(void **state)
{
    (void)state;
    start_all(2, plain);
    set_link(0, 1, false);
    struct avail_op op = {.kind = AVAIL_OP_ADD, .name = "n", .delta = 1, .flags = AVAIL_OP_ACK};
    assert_int_equal(run(0, op), 0);
    uint64_t first = seen[0].version;
    advance(5000);
    assert_int_equal(seen[0].acked_n, 0);
    assert_int_equal(run(0, op), 0);
    set_link(0, 1, true);
    advance(1000); /* the frames of the first try are gone; it is sent again until it is acked */
    assert_true(seen[0].acked_n >= 1);
    assert_true(seen[0].acked_version == seen[0].version);
    assert_true(seen[0].version > first);
    is_i64(1, "n", 2);
    unsigned acked_n = seen[0].acked_n;
    advance(20000);
    assert_int_equal(seen[0].acked_n, acked_n); /* nothing is owed any more */
    stop_all();
}

/* Hole 30. */
static void a_moment_from_the_future_is_refused(void **state)
{
    struct avail_stats stats;
    (void)state;
    start_all(3, plain);
    wall_off_ms[0] = 365ll * 24 * 3600 * 1000;
    assert_int_equal(set_text(0, "t", "poison"), 0);
    assert_int_equal(add(0, "n", 1), 0); /* a counter has no moment, and is taken */
    advance(100);
    is_absent(1, "t");
    is_i64(1, "n", 1);
    /* The sender is not at fault alone: who sees its own state ahead keeps it back. */
    wall_off_ms[0] = 0;
    assert_int_equal(set_text(1, "t", "honest"), 0);
    advance(60000);
    prints(1, "t", "honest");
    prints(2, "t", "honest");
    avail_stats(nodes[1].core, &stats);
    assert_true(stats.refused_ahead >= 1);
    assert_int_equal(seen[1].quarantined_n, 0);
    stop_all();
}

static void who_sends_ten_of_them_is_not_heard_for_a_while(void **state)
{
    struct avail_stats stats;
    char name[16];
    (void)state;
    start_all(2, plain);
    wall_off_ms[0] = 1000;
    for (unsigned i = 0; i < AVAIL_AHEAD_MAX - 1; i++) {
        (void)snprintf(name, sizeof(name), "t%u", i);
        assert_int_equal(set_text(0, name, "x"), 0);
    }
    advance(20);
    assert_int_equal(seen[1].quarantined_n, 0);
    assert_int_equal(set_text(0, "t", "x"), 0);
    advance(20);
    assert_int_equal(seen[1].quarantined_n, 1);
    assert_int_equal(add(0, "n", 1), 0);
    advance(20);
    is_absent(1, "n");
    avail_stats(nodes[1].core, &stats);
    assert_true(stats.refused_quarantine >= 1);
    wall_off_ms[0] = 0;
    advance(80000); /* it ends, and nothing was lost */
    is_i64(1, "n", 1);
    prints(1, "t", "x");
    same_everywhere(2);
    stop_all();
    /* Half a second is what clocks may differ. */
    start_all(2, plain);
    wall_off_ms[0] = AVAIL_AHEAD_MAX_MS;
    assert_int_equal(set_text(0, "t", "x"), 0);
    advance(20);
    prints(1, "t", "x");
    stop_all();
}

static void a_deletion_reaches_all_and_is_forgotten_after_a_day(void **state)
{
    struct avail_stats stats;
    const struct avail_config config = {.persist = true};
    (void)state;
    start_all(3, config);
    assert_int_equal(add(0, "n", 1), 0);
    advance(100);
    set_link(0, 2, false);
    set_link(1, 2, false);
    assert_int_equal(run(0, (struct avail_op){.kind = AVAIL_OP_DELETE, .name = "n"}), 0);
    is_absent(0, "n");
    advance(3600 * 1000);
    is_i64(2, "n", 1); /* not told yet */
    set_link(1, 2, true);
    set_link(0, 2, true);
    advance(1000);
    is_absent(2, "n");
    same_everywhere(3);
    advance(25ull * 3600 * 1000);
    for (unsigned i = 0; i < 3; i++) {
        avail_stats(nodes[i].core, &stats);
        assert_int_equal(stats.tombstones, 0);
        assert_int_equal(stats.bytes, 0);
        assert_int_equal(seen[i].dropped_n, 1);
        assert_true(seen[i].persisted_n >= 2);
    }
    stop_all();
}

static void what_was_kept_is_there_after_a_restart(void **state)
{
    struct avail_config config = {.persist = true, .self.boot_no = 1};
    struct avail_output out;
    uint8_t key[16];
    uint8_t data[256];
    size_t data_len = 0;
    (void)state;
    start_all(1, config);
    struct avail_op op = {.kind = AVAIL_OP_ADD, .name = "\x01n", .delta = 5};
    struct avail_event event = {
        .type = AVAIL_OP, .now_ms = now_ms, .wall_ms = wall_base_ms, .op = &op};
    assert_int_equal(avail_step(nodes[0].core, &event, &out), 0);
    for (size_t i = 0; i < out.actions_n; i++) {
        if (out.actions[i].type != AVAIL_PERSIST)
            continue;
        assert_int_equal(out.actions[i].key.len, 4);
        memcpy(key, out.actions[i].key.data, 4);
        data_len = out.actions[i].data.len;
        memcpy(data, out.actions[i].data.data, data_len);
    }
    assert_memory_equal(key, "da\x01n", 4);
    assert_true(data_len > 0);
    avail_free(nodes[0].core);
    config.self = (struct boot_id){.node = nodes[0].id, .boot_no = 2};
    assert_int_equal(avail_new(&nodes[0].core, &config), 0);
    event = (struct avail_event){.type = AVAIL_RECALL, .key = {key, 4}, .data = {data, data_len}};
    step(0, &event, 0);
    event.key.len = 2;
    step(0, &event, KITH_E_CORRUPT);
    event.key.len = 4;
    event.data.len--;
    step(0, &event, KITH_E_CORRUPT);
    event = (struct avail_event){.type = AVAIL_START};
    step(0, &event, 0);
    is_i64(0, "\x01n", 5);
    assert_int_equal(add(0, "\x01n", 1), 0); /* in a part of its own: the boot is another */
    is_i64(0, "\x01n", 6);
    stop_all();
}

/* The runtime keeps its own in them, too; the driver keeps users away from such names. */
static void internal_names_travel(void **state)
{
    static const char name[] = "\x01name/a";
    (void)state;
    start_all(2, plain);
    assert_int_equal(set_text(0, name, "b"), 0);
    advance(2 * AVAIL_FLUSH_MS);
    prints(1, name, "b");
    stop_all();
}

static void thousands_of_variables_reach_a_newcomer(void **state)
{
    char name[32];
    static char text[2000];
    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    start_all(3, plain);
    set_link(0, 2, false);
    set_link(1, 2, false);
    for (unsigned i = 0; i < test_rounds(6000); i++) {
        (void)snprintf(name, sizeof(name), "many/%u", i);
        struct avail_op op = {.kind = AVAIL_OP_SET,
                              .name = name,
                              .type = VALUE_TEXT,
                              .data = {text, sizeof(text) - 1}};
        struct avail_event event = {
            .type = AVAIL_OP, .now_ms = now_ms, .wall_ms = wall_base_ms + now_ms, .op = &op};
        struct avail_output out;
        assert_int_equal(avail_step(nodes[0].core, &event, &out), 0);
    }
    set_link(0, 2, true);
    advance(3000); /* 12 MB, three exchanges one behind the other */
    same_everywhere(1);
    assert_true(avail_digest(nodes[0].core) == avail_digest(nodes[2].core));
    stop_all();
}

/* ---- limits ---- */

static void limits_are_refused_with_their_sentence(void **state)
{
    struct avail_config config = {.variables_max = 3, .bytes_max = 4096};
    static char big[DVAR_DATA_BYTES_MAX + 1];
    (void)state;
    memset(big, 'x', sizeof(big));
    start_all(2, config);
    assert_int_equal(add(0, "a", 1), 0);
    assert_int_equal(add(0, "b", 1), 0);
    assert_int_equal(add(0, "c", 1), 0);
    assert_int_equal(add(0, "d", 1), KITH_E_LIMIT);
    assert_non_null(strstr(seen[0].text, "d cannot be made"));
    assert_int_equal(add(0, "c", 1), 0);
    struct avail_op op = {
        .kind = AVAIL_OP_SET, .name = "a", .merge = AVAIL_LWW, .type = VALUE_BYTES};
    assert_int_equal(run(0, (struct avail_op){.kind = AVAIL_OP_DELETE, .name = "a"}), 0);
    op.data = (struct kith_bytes){big, 4000};
    assert_int_equal(run(0, op), KITH_E_LIMIT);
    assert_non_null(strstr(seen[0].text, "cannot grow"));
    is_absent(0, "a");
    op.data = (struct kith_bytes){big, 3000};
    assert_int_equal(run(0, op), 0);
    stop_all();

    start_all(1, plain);
    op.data.len = DVAR_DATA_BYTES_MAX;
    assert_int_equal(run(0, op), 0);
    op.data.len++;
    assert_int_equal(run(0, op), KITH_E_TOO_LARGE);
    /* A set: two items of 700 KiB are more than 1 MiB at once, fewer than 2 MiB in all. */
    struct kith_bytes items[3] = {{big, 700 * 1024}, {big, 700 * 1024 - 1}, {big, 700 * 1024 - 2}};
    op = (struct avail_op){.kind = AVAIL_OP_INSERT,
                           .name = "s",
                           .type = VALUE_ARRAY | VALUE_BYTES,
                           .items = items,
                           .items_n = 2};
    assert_int_equal(run(0, op), KITH_E_TOO_LARGE);
    op.items_n = 1;
    assert_int_equal(run(0, op), 0);
    op.items = items + 1;
    assert_int_equal(run(0, op), 0);
    op.items = items + 2;
    assert_int_equal(run(0, op), KITH_E_TOO_LARGE);
    assert_non_null(strstr(seen[0].text, "2097152"));
    op.kind = AVAIL_OP_REMOVE;
    op.items = items;
    assert_int_equal(run(0, op), 0);
    op.kind = AVAIL_OP_INSERT;
    op.items = items + 2;
    assert_int_equal(run(0, op), 0);
    /* Each boot is a part; too many, and only those that have one go on. */
    struct avail_event event = {.type = AVAIL_BOOT};
    for (event.boot_no = 2; event.boot_no < 2 + AVAIL_PARTS_MAX; event.boot_no++) {
        step(0, &event, 0);
        assert_int_equal(add(0, "n", 1), 0);
    }
    event.boot_no = 100000;
    step(0, &event, 0);
    assert_int_equal(add(0, "n", 1), KITH_E_LIMIT);
    assert_non_null(strstr(seen[0].text, "4096"));
    event.boot_no = 2;
    step(0, &event, 0);
    assert_int_equal(add(0, "n", 1), 0);
    is_i64(0, "n", AVAIL_PARTS_MAX + 1);
    stop_all();
}

static void damaged_messages_are_dropped(void **state)
{
    static const char *const bad[] = {"",          "\7",
                                      "\1\1",      "\1\1\0\4\0\0\0aXXXX",
                                      "\2\1a\1",   "\3short",
                                      "\4\1short", "\5\1\0\xff\xff\xff\xff",
                                      "\6\1\0",    "\6\xff\xff________"};
    static const size_t lens[] = {0, 1, 3, 12, 4, 6, 7, 7, 3, 11};
    (void)state;
    start_all(2, plain);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct avail_event event = {.type = AVAIL_RECV, .peer = nodes[1].id};
        event.data = (struct kith_bytes){bad[i], lens[i]};
        step(0, &event, KITH_E_CORRUPT);
    }
    struct avail_event event = {.type = AVAIL_RECV, .peer = {{99}}, .data = {"\7", 1}};
    step(0, &event, 0); /* of nobody that is linked */
    stop_all();
}

static void memory_that_is_short_loses_nothing_that_was_told(void **state)
{
    (void)state;
    start_all(2, plain);
    assert_int_equal(add(0, "n", 1), 0);
    advance(200);
    for (uint64_t n = 1; n < 40; n++) {
        struct avail_op op = {.kind = AVAIL_OP_ADD, .name = n % 2 == 0 ? "n" : "m", .delta = 1};
        struct avail_event event = {
            .type = AVAIL_OP, .now_ms = now_ms, .wall_ms = wall_base_ms + now_ms, .op = &op};
        struct avail_output out;
        struct avail_value before = {0};
        struct avail_value after = {0};
        int64_t was = 0;
        if (avail_get(nodes[0].core, op.name, &before) == 0)
            was = (int64_t)get_le64(before.data.data);
        core_alloc_fail_at(n);
        (void)avail_step(nodes[0].core, &event, &out);
        core_alloc_fail_at(0);
        int code = 1;
        for (size_t i = 0; i < out.actions_n; i++)
            if (out.actions[i].type == AVAIL_DONE)
                code = out.actions[i].code;
        int64_t is = 0;
        if (avail_get(nodes[0].core, op.name, &after) == 0)
            is = (int64_t)get_le64(after.data.data);
        if (code == 0)
            assert_int_equal(is, was + 1);
        else if (code < 0)
            assert_int_equal(is, was);
        avail_check(nodes[0].core);
        avail_value_deinit(&before);
        avail_value_deinit(&after);
        now_ms += 20;
    }
    advance(60000);
    same_everywhere(2);
    stop_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_here_at_once_and_there_within_milliseconds),
        cmocka_unit_test(both_sides_of_a_cut_go_on_and_merge),
        cmocka_unit_test(compare_and_set_is_refused_with_the_reason),
        cmocka_unit_test(an_ack_comes_when_another_node_has_it),
        cmocka_unit_test(a_moment_from_the_future_is_refused),
        cmocka_unit_test(who_sends_ten_of_them_is_not_heard_for_a_while),
        cmocka_unit_test(a_deletion_reaches_all_and_is_forgotten_after_a_day),
        cmocka_unit_test(what_was_kept_is_there_after_a_restart),
        cmocka_unit_test(internal_names_travel),
        cmocka_unit_test(thousands_of_variables_reach_a_newcomer),
        cmocka_unit_test(limits_are_refused_with_their_sentence),
        cmocka_unit_test(damaged_messages_are_dropped),
        cmocka_unit_test(memory_that_is_short_loses_nothing_that_was_told),
    };
    return cmocka_run_group_tests_name("dvar_avail", tests, NULL, NULL);
}

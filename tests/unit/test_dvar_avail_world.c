/*
 * Available variables in a world in memory: frames are lost, doubled, overtaken; links break;
 * clocks jump by an hour and run apart; nodes crash and restart, with their disks and without.
 * Afterwards all is healed, and every node must have the same, in which nothing is missing that was
 * told to be safe: what a node wrote that never crashed, and what another had acknowledged.
 *
 * Built twice: plain, and with the switches of core/mutant.h, where the same runs must fail.
 */
#include "core/bytes.h"
#include "core/mutant.h"
#include "dvar/avail.h"
#include "dvar/value.h"
#include "lib/test.h"

#define NODES      4
#define DISK_KEYS  16
#define FRAMES_MAX 4096
#define ITEMS_MAX  4000
#define FAULTS_MS  40000
/* An ack is firm when the node that gave it has had the time to keep it on its disk. */
#define FIRM_MS 30

struct disk_entry {
    char key[64];
    size_t key_len;
    struct buf data;
};

struct promise { /* of a counter: what of a boot must be there in the end */
    int64_t done;
    int64_t firm;
};

struct node {
    struct avail_core *core;
    struct boot_id id;
    bool up;
    bool loses_disk;
    int64_t wall_off_ms;
    struct disk_entry disk[DISK_KEYS];
    /* of this boot */
    int64_t counted;
    struct {
        uint64_t version;
        int64_t counted;
    } counts[512];
    unsigned counts_n;
    struct {
        uint64_t at_ms;
        unsigned by;
        uint64_t by_boot;
        int64_t counted;
    } acks[512];
    unsigned acks_n;
};

struct frame {
    uint64_t at_ms;
    uint64_t order;
    unsigned from, to;
    uint64_t from_boot, to_boot;
    struct buf data;
};

struct item {
    bool firm;    /* added by a boot that never crashed */
    bool removed; /* by a boot that never crashed (so far), which had it */
    unsigned node;
    uint64_t boot_no;
    unsigned removed_by;
    uint64_t removed_boot;
};

static struct {
    struct rng rng;
    uint64_t now_ms;
    struct node nodes[NODES];
    bool linked[NODES][NODES];
    struct frame frames[FRAMES_MAX];
    unsigned frames_n;
    uint64_t order;
    bool faults;
    bool boots_repeat; /* what must never be, to see that it would be noticed (hole 32) */
    struct item items[ITEMS_MAX];
    unsigned items_n;
    int64_t count_least; /* of boots that are over: what must be there, and what may be */
    int64_t count_most;
    int64_t highest_firm;
    int64_t highest;
} w;

static const uint64_t wall_base_ms = 1700000000000;

/* ---- world ---- */

static unsigned node_of(const struct kith_node_id *id)
{
    return id->bytes[0] - 1u;
}

static void keep_on_disk(struct node *node, const struct avail_action *action)
{
    struct disk_entry *empty = NULL;
    for (unsigned i = 0; i < DISK_KEYS; i++) {
        struct disk_entry *entry = &node->disk[i];
        if (entry->key_len == 0) {
            empty = entry;
        } else if (entry->key_len == action->key.len &&
                   memcmp(entry->key, action->key.data, entry->key_len) == 0) {
            empty = entry;
            break;
        }
    }
    assert_non_null(empty);
    memcpy(empty->key, action->key.data, action->key.len);
    empty->key_len = action->data.data != NULL ? action->key.len : 0;
    empty->data.len = 0;
    assert_int_equal(buf_append(&empty->data, action->data.data, action->data.len), 0);
}

static void post(unsigned from, const struct avail_action *action)
{
    unsigned to = node_of(&action->peer);
    unsigned copies = 1;
    if (w.faults)
        copies = (unsigned)(rng_below(&w.rng, 100) >= 20) + (unsigned)(rng_below(&w.rng, 10) == 0);
    for (unsigned i = 0; i < copies && w.frames_n < FRAMES_MAX; i++) {
        struct frame *frame = &w.frames[w.frames_n++];
        uint64_t delay_ms = rng_below(&w.rng, 20);
        if (w.faults && rng_below(&w.rng, 20) == 0)
            delay_ms = rng_below(&w.rng, 2000);
        *frame = (struct frame){.at_ms = w.now_ms + delay_ms,
                                .order = w.order++,
                                .from = from,
                                .to = to,
                                .from_boot = w.nodes[from].id.boot_no,
                                .to_boot = w.nodes[to].id.boot_no};
        assert_int_equal(buf_append(&frame->data, action->data.data, action->data.len), 0);
    }
}

static void on_ack(struct node *node, const struct avail_action *action)
{
    if (strcmp(action->name, "count") != 0)
        return;
    int64_t counted = 0;
    for (unsigned i = 0; i < node->counts_n; i++)
        if (node->counts[i].version <= action->version)
            counted = node->counts[i].counted;
    unsigned by = node_of(&action->peer);
    if (node->acks_n == 512)
        return;
    node->acks[node->acks_n].at_ms = w.now_ms;
    node->acks[node->acks_n].by = by;
    node->acks[node->acks_n].by_boot = w.nodes[by].id.boot_no;
    node->acks[node->acks_n++].counted = counted;
}

static const struct avail_action *step(unsigned i, struct avail_event *event)
{
    static struct avail_action done;
    struct node *node = &w.nodes[i];
    struct avail_output out;
    event->now_ms = w.now_ms;
    event->wall_ms = (uint64_t)((int64_t)(wall_base_ms + w.now_ms) + node->wall_off_ms);
    done = (struct avail_action){.code = 1};
    assert_int_equal(avail_step(node->core, event, &out), 0);
    for (size_t k = 0; k < out.actions_n; k++) {
        const struct avail_action *action = &out.actions[k];
        if (action->type == AVAIL_SEND)
            post(i, action);
        else if (action->type == AVAIL_PERSIST)
            keep_on_disk(node, action);
        else if (action->type == AVAIL_ACKED)
            on_ack(node, action);
        else if (action->type == AVAIL_DONE)
            done = *action;
    }
    static unsigned steps;
    if (++steps % 16 == 0)
        avail_check(node->core);
    return &done;
}

static void set_link(unsigned a, unsigned b, bool up)
{
    struct avail_event event = {.type = up ? AVAIL_LINK_UP : AVAIL_LINK_DOWN};
    if (w.linked[a][b] == up || !w.nodes[a].up || !w.nodes[b].up)
        return;
    w.linked[a][b] = up;
    w.linked[b][a] = up;
    event.peer = w.nodes[b].id.node;
    (void)step(a, &event);
    event.peer = w.nodes[a].id.node;
    (void)step(b, &event);
}

static void start(unsigned i)
{
    struct node *node = &w.nodes[i];
    struct avail_config config = {.self = node->id, .seed = rng_u64(&w.rng), .persist = true};
    struct avail_event event = {.type = AVAIL_RECALL};
    assert_int_equal(avail_new(&node->core, &config), 0);
    node->up = true;
    node->counted = 0;
    node->counts_n = 0;
    node->acks_n = 0;
    for (unsigned k = 0; k < DISK_KEYS; k++) {
        event.key = (struct kith_bytes){node->disk[k].key, node->disk[k].key_len};
        event.data = (struct kith_bytes){node->disk[k].data.data, node->disk[k].data.len};
        if (event.key.len > 0)
            (void)step(i, &event);
    }
    event = (struct avail_event){.type = AVAIL_START};
    (void)step(i, &event);
    for (unsigned k = 0; k < NODES; k++)
        set_link(i, k, true);
}

static void crash(unsigned i)
{
    struct node *node = &w.nodes[i];
    int64_t firm = 0;
    for (unsigned k = 0; k < node->acks_n; k++) {
        const struct node *by = &w.nodes[node->acks[k].by];
        bool lives = by->up && by->id.boot_no == node->acks[k].by_boot;
        if (lives && !by->loses_disk && node->acks[k].at_ms + FIRM_MS < w.now_ms &&
            node->acks[k].counted > firm)
            firm = node->acks[k].counted;
    }
    w.count_least += firm;
    w.count_most += node->counted;
    for (unsigned k = 0; k < w.items_n; k++) {
        if (w.items[k].node == i && w.items[k].boot_no == node->id.boot_no)
            w.items[k].firm = false;
        if (w.items[k].removed_by == i && w.items[k].removed_boot == node->id.boot_no)
            w.items[k].removed = false;
    }
    for (unsigned k = 0; k < NODES; k++)
        set_link(i, k, false);
    avail_free(node->core);
    node->core = NULL;
    node->up = false;
    for (unsigned k = 0; k < DISK_KEYS && node->loses_disk; k++)
        node->disk[k].key_len = 0;
    if (!w.boots_repeat)
        node->id.boot_no++;
}

/* ---- operations ---- */

static void count(unsigned i)
{
    struct node *node = &w.nodes[i];
    struct avail_op op = {.kind = AVAIL_OP_ADD, .name = "count", .flags = AVAIL_OP_ACK};
    struct avail_event event = {.type = AVAIL_OP, .op = &op};
    op.delta = 1 + (int64_t)rng_below(&w.rng, 5);
    if (node->counts_n == 512)
        return;
    const struct avail_action *done = step(i, &event);
    assert_int_equal(done->code, 0);
    node->counted += op.delta;
    node->counts[node->counts_n].version = done->version;
    node->counts[node->counts_n++].counted = node->counted;
}

static void set_change(unsigned i)
{
    char text[16];
    bool add = w.items_n == 0 || rng_below(&w.rng, 3) > 0;
    unsigned no = add ? w.items_n : (unsigned)rng_below(&w.rng, w.items_n);
    if (add && w.items_n == ITEMS_MAX)
        return;
    (void)snprintf(text, sizeof(text), "item%u", no);
    struct kith_bytes item = {text, strlen(text)};
    struct avail_op op = {.kind = add ? AVAIL_OP_INSERT : AVAIL_OP_REMOVE,
                          .name = "set",
                          .type = VALUE_ARRAY | VALUE_TEXT,
                          .items = &item,
                          .items_n = 1};
    struct avail_event event = {.type = AVAIL_OP, .op = &op};
    struct avail_value before = {0};
    bool has = false;
    if (!add && avail_get(w.nodes[i].core, "set", &before) == 0) {
        uint32_t n = value_data_count(before.type, before.data.data, before.data.len);
        for (uint32_t k = 0; k < n; k++) {
            struct kith_bytes e =
                value_data_element(before.type, before.data.data, before.data.len, k);
            has = has || (e.len == item.len && memcmp(e.data, text, e.len) == 0);
        }
    }
    avail_value_deinit(&before);
    (void)step(i, &event);
    if (add)
        w.items[w.items_n++] =
            (struct item){.firm = true, .node = i, .boot_no = w.nodes[i].id.boot_no};
    else if (has && !w.items[no].removed)
        w.items[no] = (struct item){.firm = w.items[no].firm,
                                    .node = w.items[no].node,
                                    .boot_no = w.items[no].boot_no,
                                    .removed = true,
                                    .removed_by = i,
                                    .removed_boot = w.nodes[i].id.boot_no};
    if (!add && has)
        w.items[no].firm = false; /* it may be gone, or, if the remover crashes, not */
}

static void write_one(unsigned i, const char *name, uint8_t merge, int64_t value)
{
    uint8_t data[8];
    put_le64(data, (uint64_t)value);
    struct avail_op op = {.kind = AVAIL_OP_SET,
                          .name = name,
                          .merge = merge,
                          .type = VALUE_I64,
                          .data = {data, sizeof(data)}};
    struct avail_event event = {.type = AVAIL_OP, .op = &op};
    assert_int_equal(step(i, &event)->code, 0);
}

static void operate(void)
{
    unsigned i = (unsigned)rng_below(&w.rng, NODES);
    struct avail_op delete = {.kind = AVAIL_OP_DELETE, .name = "gone"};
    struct avail_event event = {.type = AVAIL_OP, .op = &delete};
    int64_t value = (int64_t)rng_below(&w.rng, 1000000);
    if (!w.nodes[i].up)
        return;
    switch (rng_below(&w.rng, 8)) {
    case 0:
    case 1:
        count(i);
        return;
    case 2:
    case 3:
        set_change(i);
        return;
    case 4:
        write_one(i, "last", AVAIL_LWW, value);
        return;
    case 5:
        write_one(i, "high", AVAIL_MAX, value);
        w.highest = value > w.highest ? value : w.highest;
        return;
    case 6:
        write_one(i, "both", AVAIL_KEEP_BOTH, value);
        return;
    default:
        if (rng_below(&w.rng, 3) == 0)
            (void)step(i, &event);
        else
            write_one(i, "gone", rng_below(&w.rng, 2) == 0 ? AVAIL_LWW : AVAIL_LWW, value);
    }
}

static void fault(void)
{
    unsigned i = (unsigned)rng_below(&w.rng, NODES);
    unsigned k = (unsigned)rng_below(&w.rng, NODES);
    switch (rng_below(&w.rng, 6)) {
    case 0:
    case 1:
        if (i != k)
            set_link(i, k, false);
        return;
    case 2:
    case 3:
        if (i != k)
            set_link(i, k, true);
        return;
    case 4:
        w.nodes[i].wall_off_ms = ((int64_t)rng_below(&w.rng, 3) - 1) * 3600 * 1000;
        return;
    default:
        if (w.nodes[i].up)
            crash(i);
        else
            start(i);
    }
}

/* ---- time ---- */

static void deliver(unsigned n)
{
    struct frame frame = w.frames[n];
    w.frames[n] = w.frames[--w.frames_n];
    struct avail_event event = {.type = AVAIL_RECV,
                                .peer = w.nodes[frame.from].id.node,
                                .data = {frame.data.data, frame.data.len}};
    if (w.nodes[frame.to].up && w.nodes[frame.to].id.boot_no == frame.to_boot &&
        w.linked[frame.from][frame.to] && w.nodes[frame.from].id.boot_no == frame.from_boot)
        (void)step(frame.to, &event);
    buf_deinit(&frame.data);
}

/* The next thing that is due up to @end_ms, or false. */
static bool one(uint64_t end_ms)
{
    uint64_t least = end_ms + 1;
    unsigned frame = FRAMES_MAX;
    unsigned node = NODES;
    uint64_t order = 0;
    for (unsigned i = 0; i < w.frames_n; i++) {
        const struct frame *f = &w.frames[i];
        if (f->at_ms < least || (f->at_ms == least && frame < FRAMES_MAX && f->order < order)) {
            least = f->at_ms;
            order = f->order;
            frame = i;
        }
    }
    for (unsigned i = 0; i < NODES; i++) {
        if (w.nodes[i].up && avail_deadline_ms(w.nodes[i].core) < least) {
            least = avail_deadline_ms(w.nodes[i].core);
            node = i;
        }
    }
    if (least > end_ms)
        return false;
    w.now_ms = least > w.now_ms ? least : w.now_ms;
    if (node < NODES) {
        struct avail_event event = {.type = AVAIL_TICK};
        (void)step(node, &event);
    } else {
        deliver(frame);
    }
    return true;
}

static void until(uint64_t end_ms)
{
    while (one(end_ms))
        continue;
    w.now_ms = end_ms;
}

/* ---- judging ---- */

static const char *wrong_count(void)
{
    struct avail_value value = {0};
    int64_t is = 0;
    if (avail_get(w.nodes[0].core, "count", &value) == 0)
        is = (int64_t)get_le64(value.data.data);
    avail_value_deinit(&value);
    int64_t least = w.count_least;
    int64_t most = w.count_most;
    for (unsigned i = 0; i < NODES; i++) {
        least += w.nodes[i].counted;
        most += w.nodes[i].counted;
    }
    if (is < least)
        return "an increment is lost";
    return is > most ? "an increment is counted twice" : NULL;
}

static const char *wrong_set(void)
{
    static bool there[ITEMS_MAX];
    struct avail_value value = {0};
    memset(there, 0, sizeof(there));
    if (avail_get(w.nodes[0].core, "set", &value) == 0) {
        uint32_t n = value_data_count(value.type, value.data.data, value.data.len);
        for (uint32_t k = 0; k < n; k++) {
            struct kith_bytes e =
                value_data_element(value.type, value.data.data, value.data.len, k);
            char text[16] = "";
            memcpy(text, e.data, e.len < 15 ? e.len : 15);
            there[strtoul(text + 4, NULL, 10)] = true;
        }
    }
    avail_value_deinit(&value);
    for (unsigned k = 0; k < w.items_n; k++) {
        if (w.items[k].firm && !there[k])
            return "an item is lost";
        if (w.items[k].removed && there[k])
            return "an item that was removed is back";
    }
    return NULL;
}

static const char *wrong(void)
{
    for (unsigned i = 1; i < NODES; i++)
        if (avail_digest(w.nodes[i].core) != avail_digest(w.nodes[0].core))
            return "two nodes differ";
    const char *problem = wrong_count();
    return problem != NULL ? problem : wrong_set();
}

static bool boots_repeat;

static void world_begin(uint64_t seed)
{
    memset(&w, 0, sizeof(w));
    w.boots_repeat = boots_repeat;
    rng_init(&w.rng, seed);
    w.now_ms = 1000;
    w.faults = true;
    for (unsigned i = 0; i < NODES; i++) {
        w.nodes[i].id.node.bytes[0] = (uint8_t)(i + 1);
        w.nodes[i].id.boot_no = 1;
    }
    w.nodes[NODES - 1].loses_disk = true;
    for (unsigned i = 0; i < NODES; i++)
        start(i);
}

static void world_end(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        avail_free(w.nodes[i].core);
        for (unsigned k = 0; k < DISK_KEYS; k++)
            buf_deinit(&w.nodes[i].disk[k].data);
    }
    for (unsigned i = 0; i < w.frames_n; i++)
        buf_deinit(&w.frames[i].data);
}

static void heal(void)
{
    w.faults = false;
    for (unsigned i = 0; i < NODES; i++) {
        w.nodes[i].wall_off_ms = 0;
        if (!w.nodes[i].up)
            start(i);
    }
    for (unsigned i = 0; i < NODES; i++)
        for (unsigned k = 0; k < i; k++)
            set_link(k, i, true);
}

static const char *run_chaos(uint64_t seed)
{
    world_begin(seed);
    uint64_t op_ms = 1 + rng_below(&w.rng, 100);
    uint64_t fault_ms = 100 + rng_below(&w.rng, 3000);
    uint64_t next_op_ms = w.now_ms;
    uint64_t next_fault_ms = w.now_ms + fault_ms;
    while (w.now_ms < FAULTS_MS) {
        until(next_op_ms < next_fault_ms ? next_op_ms : next_fault_ms);
        if (w.now_ms >= next_op_ms) {
            operate();
            next_op_ms = w.now_ms + 1 + rng_below(&w.rng, 2 * op_ms);
        }
        if (w.now_ms >= next_fault_ms) {
            fault();
            next_fault_ms = w.now_ms + 1 + rng_below(&w.rng, 2 * fault_ms);
        }
    }
    heal();
    until(w.now_ms + 3600 * 1000 +
          60000); /* until clocks have reached what was said ahead of them */
    const char *problem = wrong();
    world_end();
    return problem;
}

static int64_t last_of(unsigned i)
{
    struct avail_value value = {0};
    int64_t is = -1;
    if (avail_get(w.nodes[i].core, "last", &value) == 0)
        is = (int64_t)get_le64(value.data.data);
    avail_value_deinit(&value);
    return is;
}

/* Hole 29: one side writes often, the other side later. */
static const char *run_cut(uint64_t seed)
{
    world_begin(seed);
    w.faults = false;
    until(w.now_ms + 20000);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned k = 2; k < NODES; k++)
            set_link(i, k, false);
    unsigned writes = 2 + (unsigned)rng_below(&w.rng, 50);
    for (unsigned i = 0; i < writes; i++) {
        write_one(0, "last", AVAIL_LWW, (int64_t)i);
        until(w.now_ms + 20);
    }
    write_one(2, "last", AVAIL_LWW, 4711);
    until(w.now_ms + 1000);
    heal();
    until(w.now_ms + 20000);
    const char *problem = wrong();
    for (unsigned i = 0; i < NODES && problem == NULL; i++)
        if (last_of(i) != 4711)
            problem = "the later write lost";
    world_end();
    return problem;
}

/* Hole 30: a clock that is a year ahead for a while. */
static const char *run_poison(uint64_t seed)
{
    world_begin(seed);
    w.faults = false;
    until(w.now_ms + 1000);
    w.nodes[1].wall_off_ms = 365ll * 24 * 3600 * 1000;
    write_one(1, "last", AVAIL_LWW, 666);
    until(w.now_ms + 1000);
    w.nodes[1].wall_off_ms = 0;
    until(w.now_ms + 1000);
    write_one(0, "last", AVAIL_LWW, 1);
    until(w.now_ms + 1000);
    write_one(2, "last", AVAIL_LWW, 2);
    crash(1); /* what is ahead is known to it alone; it gets a disk */
    until(w.now_ms + 30000);
    const char *problem = NULL;
    for (unsigned i = 0; i < NODES && problem == NULL; i++)
        if (i != 1 && last_of(i) != 2)
            problem = "a moment from the future won";
    /* Not one of the others carries it: a write there is stamped by now. */
    struct avail_value value = {0};
    if (problem == NULL && avail_get(w.nodes[2].core, "last", &value) == 0 &&
        value.time_ms > wall_base_ms + w.now_ms + AVAIL_AHEAD_MAX_MS)
        problem = "a moment from the future spread";
    avail_value_deinit(&value);
    world_end();
    return problem;
}

#ifndef KITH_MUTANTS

static void all_pass(const char *(*run)(uint64_t seed), uint64_t seeds_n)
{
    uint64_t first = test_seed();
    for (uint64_t seed = first; seed < first + seeds_n; seed++) {
        const char *problem = run(seed);
        if (problem != NULL)
            fail_msg("seed %llu: %s", (unsigned long long)seed, problem);
    }
}

static void whatever_happens_all_agree_and_nothing_promised_is_lost(void **state)
{
    (void)state;
    all_pass(run_chaos, test_rounds(20));
}

static void the_later_write_wins_over_the_more_frequent(void **state)
{
    (void)state;
    all_pass(run_cut, test_rounds(10));
}

static void a_clock_a_year_ahead_wins_nothing(void **state)
{
    (void)state;
    all_pass(run_poison, test_rounds(10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_happens_all_agree_and_nothing_promised_is_lost),
        cmocka_unit_test(the_later_write_wins_over_the_more_frequent),
        cmocka_unit_test(a_clock_a_year_ahead_wins_nothing),
    };
    return cmocka_run_group_tests_name("dvar_avail_world", tests, NULL, NULL);
}

#else

static void caught(enum mutant mutant, const char *(*run)(uint64_t seed), uint64_t seeds_n)
{
    uint64_t seed = 1;
    for (mutant_on = MUTANT_NONE; seed <= 3; seed++)
        assert_null(run(seed));
    mutant_on = mutant;
    for (seed = 1; seed <= seeds_n && run(seed) == NULL;)
        seed++;
    mutant_on = MUTANT_NONE;
    print_message("%s: seed %llu\n", mutant_names[mutant], (unsigned long long)seed);
    assert_true(seed <= seeds_n);
}

static void a_boot_that_runs_twice_is_caught(void **state)
{
    uint64_t seed = 1;
    const char *problem = NULL;
    (void)state;
    assert_null(run_chaos(seed));
    boots_repeat = true;
    while (problem == NULL && seed <= 20)
        problem = run_chaos(seed++);
    boots_repeat = false;
    print_message("boots repeat: %s, seed %llu\n", problem, (unsigned long long)seed - 1);
    assert_non_null(problem);
}

static void counting_writes_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_AVAIL_BY_COUNT, run_cut, 5);
}

static void taking_moments_from_the_future_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_AVAIL_FUTURE_CLOCK, run_poison, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_boot_that_runs_twice_is_caught),
        cmocka_unit_test(counting_writes_is_caught),
        cmocka_unit_test(taking_moments_from_the_future_is_caught),
    };
    return cmocka_run_group_tests_name("dvar_avail_mutants", tests, NULL, NULL);
}

#endif

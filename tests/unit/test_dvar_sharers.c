/*
 * What a home lets others cache, and the home that comes after it: four cores, messages that arrive
 * at once or not at all, and a placement that the case decides.
 */
#include "core/error.h"
#include "core/lease.h"
#include "dvar/dvar.h"
#include "dvar/wire.h"
#include "lib/test.h"
#include "unit/left_out.h"

enum { HOME, COPY, OTHER, EDGE, NODES };
#define SESSION_MS 2000
#define WATCH_ID   77

struct message {
    int from, to;
    size_t len;
    uint8_t data[4096];
};

static struct dvar_core *cores[NODES];
static uint64_t boots[NODES];
static struct placement placement;
static struct message queue[256];
static size_t queue_n;
static uint64_t now_ms;
static bool cut[NODES];
static uint8_t lost_type; /* messages of it do not arrive */
static uint64_t ready[NODES];
static struct dvar_result result;
static bool done;
static uint64_t told[NODES]; /* newest version that the watches of each were told in order, */
static int told_n;           /* and how often anything was told */
static int told_other_n;     /* likewise, to watches that watch() did not begin */
static int only_to;          /* @lost_type and @held_type are of what goes to it; -1: to anybody */
static uint8_t held_type;    /* the first frame with it arrives when the case says so */
static struct message held;
static const char *name; /* of the variable that operations are about */

static struct boot_id boot_of(int n)
{
    struct boot_id boot = {.boot_no = boots[n]};
    boot.node.bytes[0] = (uint8_t)(n + 1);
    return boot;
}

static bool has(const struct dvar_action *action, uint8_t type)
{
    for (size_t at = 0; type != 0 && at < action->len;
         at += WIRE_HEAD_BYTES + get_le32(action->data + at + 4)) {
        if (action->data[at] == type)
            return true;
    }
    return false;
}

static void step(int n, struct dvar_event event)
{
    struct dvar_output out;
    event.now_ms = now_ms;
    assert_int_equal(dvar_step(cores[n], &event, &out), 0);
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct dvar_action *action = &out.actions[i];
        if (action->type == DVAR_SLOT_READY && action->slot == placement_slot_of("x", 1))
            ready[n] = action->slot_epoch;
        if (action->type == DVAR_DONE) {
            done = true;
            result = action->result;
            result.number = action->result.len == 1 ? action->result.data[0] : 0;
        }
        if (action->type == DVAR_CHANGED && action->id != WATCH_ID) {
            told_other_n++;
        } else if (action->type == DVAR_CHANGED) {
            assert_true(action->change.version > told[n]);
            told[n] = action->change.version;
            told_n++;
        }
        int to = action->to.bytes[0] - 1;
        if (action->type != DVAR_SEND || to < 0 || to >= NODES || cut[n] || cut[to])
            continue;
        assert_true(queue_n < 256 && action->len <= sizeof(queue[0].data));
        bool meant = only_to < 0 || to == only_to;
        bool hold = meant && has(action, held_type);
        struct message *m = hold ? &held : &queue[queue_n++];
        held_type = hold ? 0 : held_type;
        *m = (struct message){.from = n, .to = to};
        for (size_t at = 0, len; at < action->len; at += len) {
            len = WIRE_HEAD_BYTES + get_le32(action->data + at + 4);
            if (meant && lost_type != 0 && action->data[at] == lost_type)
                continue;
            memcpy(m->data + m->len, action->data + at, len);
            m->len += len;
        }
    }
    dvar_check(cores[n]);
}

static void arrive(const struct message *m)
{
    if (cores[m->to] != NULL)
        step(m->to,
             (struct dvar_event){
                 .type = DVAR_RECV, .from = boot_of(m->from), .data = m->data, .len = m->len});
}

static void deliver(void)
{
    for (size_t i = 0; i < queue_n; i++) {
        const struct message m = queue[i];
        arrive(&m);
    }
    queue_n = 0;
}

static void decide(void)
{
    placement.epoch++;
    for (int n = 0; n < NODES; n++) {
        if (cores[n] != NULL && !cut[n])
            step(n, (struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
    }
    deliver();
}

static void lease(int n)
{
    step(n, (struct dvar_event){.type = DVAR_LEASE, .until_ms = now_ms + 3000});
}

static void pass(uint64_t ms)
{
    for (uint64_t end = now_ms + ms; now_ms < end;) {
        now_ms += 5;
        for (int n = 0; n < NODES; n++) {
            if (cores[n] != NULL && now_ms % 1000 == 0 && n != EDGE)
                lease(n);
            if (cores[n] != NULL && dvar_deadline_ms(cores[n]) <= now_ms)
                step(n, (struct dvar_event){.type = DVAR_TICK});
        }
        deliver();
    }
}

static void op(int n, struct value_op what)
{
    static uint64_t id;
    done = false;
    step(n, (struct dvar_event){.type = DVAR_OP,
                                .id = ++id,
                                .name = name,
                                .name_len = 1,
                                .op = &what,
                                .deadline_ms = now_ms + 10000});
    deliver();
}

static void set(int n, uint8_t value)
{
    op(n,
       (struct value_op){.kind = VALUE_OP_SET, .type = VALUE_BYTES, .data = &value, .data_len = 1});
}

static void get(int n)
{
    op(n, (struct value_op){.kind = VALUE_OP_GET});
}

/* Does @n answer it alone? */
static bool reads_alone(int n)
{
    cut[n] = true;
    get(n);
    cut[n] = false;
    return done;
}

/* A home with one copy, and x = 1; OTHER keeps nothing yet. */
static void begin(void)
{
    now_ms = 1000;
    name = "x";
    queue_n = 0;
    lost_type = held_type = 0;
    only_to = -1;
    told_n = told_other_n = 0;
    memset(told, 0, sizeof(told));
    memset(ready, 0, sizeof(ready));
    memset(cut, 0, sizeof(cut));
    memset(&placement, 0, sizeof(placement));
    placement.keepers_n = EDGE;
    for (int n = 0; n < NODES; n++) {
        boots[n] = 1;
        struct dvar_config config = {.self = boot_of(n)};
        assert_int_equal(dvar_new(&cores[n], &config), 0);
        step(n, (struct dvar_event){.type = DVAR_START});
        if (n < EDGE)
            placement.keepers[n] = (struct placement_keeper){
                .member_id = (uint32_t)n + 1, .boot = boot_of(n), .state = KEEPER_ACTIVE};
    }
    for (int i = 0; i < PLACEMENT_SLOTS; i++)
        placement.slots[i].active =
            (struct placement_config){.slot_epoch = 1, .replicas = {1, 2}, .replicas_n = 2};
    decide();
    for (int n = 0; n < EDGE; n++)
        lease(n);
    set(HOME, 1);
    assert_true(done && result.code == 0);
}

static void end(void)
{
    for (int n = 0; n < NODES; n++) {
        dvar_free(cores[n]);
        cores[n] = NULL;
    }
}

/* Of all slots, by everybody who can hear. */
static void choose(uint64_t slot_epoch, uint32_t home, uint32_t copy)
{
    for (int i = 0; i < PLACEMENT_SLOTS; i++)
        placement.slots[i].chosen = (struct placement_config){
            .slot_epoch = slot_epoch, .replicas = {home, copy}, .replicas_n = 2};
    decide();
}

/* The home is gone, and @to is chosen. */
static void lose_home(enum keeper_state state, uint32_t to)
{
    dvar_free(cores[HOME]);
    cores[HOME] = NULL;
    placement.keepers[HOME].state = state;
    for (int i = 0; i < PLACEMENT_SLOTS; i++)
        placement.slots[i].chosen =
            (struct placement_config){.slot_epoch = 2, .replicas = {to}, .replicas_n = 1};
    cut[EDGE] = true; /* it hears of nothing */
    decide();
    pass(20);
    cut[EDGE] = false;
}

static void an_answer_is_cached_when_all_copies_know_that_some_are(void **state)
{
    (void)state;
    begin();
    lost_type = WIRE_SHARE;
    get(EDGE);
    assert_true(done && result.number == 1 && !reads_alone(EDGE));
    pass(300);
    assert_false(reads_alone(EDGE));
    lost_type = 0;
    pass(300);
    get(EDGE); /* the copy is told */
    get(EDGE);
    assert_true(done && reads_alone(EDGE) && result.number == 1);
    end();
}

static void what_a_dead_home_let_others_cache_is_waited_for(void **state)
{
    (void)state;
    begin();
    get(EDGE);
    get(EDGE);
    uint64_t dead_ms = now_ms;
    lose_home(KEEPER_DIED, 2);
    assert_true(reads_alone(EDGE) && result.number == 1);
    while (ready[COPY] != 2) {
        pass(5);
        assert_true(now_ms < dead_ms + 2 * SESSION_MS);
    }
    assert_true(now_ms >= lease_lessor_until_ms(dead_ms, SESSION_MS));
    assert_false(reads_alone(EDGE));
    end();
}

static void a_dead_home_that_shared_nothing_is_not_waited_for(void **state)
{
    (void)state;
    begin();
    lose_home(KEEPER_DIED, 2);
    assert_int_equal(ready[COPY], 2);
    end();
}

/* Its end was awaited, and sessions lie within it. */
static void a_home_whose_lease_has_ended_is_not_waited_for(void **state)
{
    (void)state;
    begin();
    get(EDGE);
    get(EDGE);
    lose_home(KEEPER_ENDED, 2);
    assert_int_equal(ready[COPY], 2);
    end();
}

/* From disks: who was cached is known to nobody. */
static void without_a_copy_that_knows_a_dead_home_is_waited_for(void **state)
{
    (void)state;
    begin();
    placement.keepers[COPY].state = KEEPER_DIED;
    lose_home(KEEPER_DIED, 3);
    assert_int_equal(ready[OTHER], 0);
    pass(2 * SESSION_MS);
    assert_int_equal(ready[OTHER], 2);
    end();
}

/* A leader that resigns gives its lease back before its end, and may have another one at once. */
static void a_lease_given_back_ends_nothing_that_was_granted_under_it(void **state)
{
    (void)state;
    begin();
    get(EDGE);
    get(EDGE);
    assert_true(reads_alone(EDGE) && result.number == 1);
    step(HOME, (struct dvar_event){.type = DVAR_LEASE, .until_ms = 0});
    lease(HOME);
    cut[EDGE] = true;
    set(HOME, 2);
    assert_false(done); /* it has not dropped it */
    cut[EDGE] = false;
    assert_true(reads_alone(EDGE) && result.number == 1);
    pass(300);
    get(EDGE);
    assert_true(done && result.number == 2);
    end();
}

/* state-swarm 18657: its good-bye is proof that its boot is over, and its threads still read. */
static void who_is_about_to_leave_caches_nothing_any_more(void **state)
{
    (void)state;
    begin();
    set(HOME, 1);
    get(EDGE);
    get(EDGE); /* cached */
    assert_true(reads_alone(EDGE));
    step(EDGE, (struct dvar_event){.type = DVAR_STOP});
    step(HOME, (struct dvar_event){.type = DVAR_PEER_DOWN, .from = boot_of(EDGE), .left = true});
    set(HOME, 2);
    assert_true(done);
    assert_false(reads_alone(EDGE));
    deliver();
    for (int i = 0; i < 3; i++) {
        get(EDGE);
        assert_false(reads_alone(EDGE));
        deliver();
    }
    end();
}

static void note_settled(void *arg, const struct dvar_change *variable)
{
    int *settled = arg;
    *settled = variable->settled;
}

/* state-swarm 15312: a mutex took a record for true that its home had not yet written everywhere,
 * and the next home knew nothing of it. */
static void what_is_being_written_is_not_settled(void **state)
{
    (void)state;
    int settled = -1;
    begin();
    set(HOME, 1);
    dvar_each_home(cores[HOME], note_settled, &settled);
    assert_int_equal(settled, 1);
    cut[COPY] = true;
    set(HOME, 2);
    assert_false(done);
    dvar_each_home(cores[HOME], note_settled, &settled);
    assert_int_equal(settled, 0);
    cut[COPY] = false;
    pass(300);
    assert_true(done);
    dvar_each_home(cores[HOME], note_settled, &settled);
    assert_int_equal(settled, 1);
    end();
}

/* Numbers of writes count in each slot, and the places of writes are used again. */
static void what_was_dropped_of_another_slot_says_nothing_of_this_one(void **state)
{
    (void)state;
    assert_int_not_equal(placement_slot_of("x", 1), placement_slot_of("a", 1));
    begin();
    name = "a";
    set(HOME, 1);
    for (int i = 0; i < 4; i++) {
        name = i < 2 ? "x" : "a";
        get(EDGE); /* the second one is cached */
    }
    name = "x";
    held_type = WIRE_SACK;
    set(HOME, 2);
    pass(300); /* asked again, as the first answer is late */
    assert_true(done && held.len > 0);
    name = "a";
    lost_type = WIRE_SINV;
    set(HOME, 2);
    arrive(&held);
    assert_false(done);
    assert_true(reads_alone(EDGE) && result.number == 1);
    lost_type = 0;
    pass(300);
    get(EDGE);
    assert_true(done && result.number == 2);
    end();
}

/* The view may have heard of its end before the next home has, and take that one's word. */
static void a_home_that_holds_its_slot_is_waited_for_until_its_end_is_known(void **state)
{
    (void)state;
    begin();
    get(EDGE);
    get(EDGE);
    cut[HOME] = true;
    choose(2, 2, 3);
    pass(1000);
    assert_int_equal(ready[COPY], 0);
    uint64_t dead_ms = now_ms;
    placement.keepers[HOME].state = KEEPER_DIED;
    decide();
    while (ready[COPY] != 2) {
        pass(5);
        assert_true(now_ms < dead_ms + 2 * SESSION_MS);
    }
    assert_true(now_ms >= lease_lessor_until_ms(dead_ms, SESSION_MS));
    end();
    begin();
    cut[HOME] = true;
    choose(2, 2, 3);
    pass(1000);
    placement.keepers[HOME].state = KEEPER_ENDED;
    decide(); /* and said at once then */
    assert_int_equal(ready[COPY], 2);
    end();
}

/* @home and one more are chosen, and active once it is ready. */
static void move(uint64_t slot_epoch, uint32_t home, uint32_t copy)
{
    choose(slot_epoch, home, copy);
    for (int i = 0; i < 20 && ready[home - 1] != slot_epoch; i++)
        pass(100);
    assert_int_equal(ready[home - 1], slot_epoch);
    for (int i = 0; i < PLACEMENT_SLOTS; i++) {
        placement.slots[i].active = placement.slots[i].chosen;
        placement.slots[i].chosen = (struct placement_config){0};
    }
    decide();
}

/*
 * A home answers a read, moves on and has its asker drop what it caches, and comes back. What it
 * answered first is under the same session still, and arrives last.
 */
static void an_answer_of_before_a_home_moved_on_is_not_cached_when_it_is_home_again(void **state)
{
    (void)state;
    begin();
    get(EDGE);
    get(EDGE);
    set(COPY, 2); /* the edge drops it, and goes on with its session */
    assert_false(reads_alone(EDGE));
    pass(300); /* it asked in vain, and asks again */
    assert_true(done);
    set(COPY, 3);
    held_type = WIRE_RES;
    get(EDGE);
    assert_true(!done && held.to == EDGE && held.from == HOME);
    lost_type = WIRE_RES; /* nothing else is answered for now */
    move(2, 2, 1);
    move(3, 1, 2);
    set(HOME, 4);
    assert_true(done && result.code == 0);
    done = false;
    arrive(&held);
    lost_type = 0;
    assert_true(done && result.number == 3); /* it was asked for when that was so */
    get(EDGE);
    assert_true(done && result.number == 4);
    end();
}

static void watch(int n)
{
    step(n, (struct dvar_event){.type = DVAR_WATCH, .id = WATCH_ID, .name = "x", .name_len = 1});
    deliver();
}

/* Even if how far the slot is (MARK) comes first, as it does. */
/*
 * A placement that proves a new boot ends the session that a write waits for, and moves the slot.
 * What waits behind that write is not done here under the epoch of the next home.
 */
static void a_write_that_ends_as_its_slot_moves_begins_none_in_the_next_epoch(void **state)
{
    (void)state;
    struct dvar_info info;
    begin();
    get(OTHER);
    get(OTHER);
    assert_true(reads_alone(OTHER));
    cut[OTHER] = true;
    set(HOME, 2);
    assert_false(done);
    set(HOME, 3); /* waits behind it */
    assert_false(done);
    boots[OTHER]++;
    placement.keepers[OTHER].member_id = EDGE + 1;
    placement.keepers[OTHER].boot = boot_of(OTHER);
    placement.slots[placement_slot_of("x", 1)].active =
        (struct placement_config){.slot_epoch = 2, .replicas = {EDGE + 1, 1, 2}, .replicas_n = 3};
    decide();
    assert_true(done && result.code == 0); /* the first: all copies have it */
    for (int n = HOME; n <= COPY; n++) {
        /* The next home did not commit it again in this case. */
        dvar_info(cores[n], "x", 1, now_ms, &info);
        assert_int_equal(info.version, 0);
    }
    end();
}

static void what_exists_is_told_to_a_watch_of_another_node(void **state)
{
    (void)state;
    begin();
    watch(EDGE);
    assert_int_equal(told_n, 1);
    assert_true(told[EDGE] != 0);
    pass(3000);
    assert_int_equal(told_n, 1);
    end();
}

static void put_message(struct message *m, uint8_t type, uint8_t flags, size_t len)
{
    uint8_t *p = m->data;
    m->len = WIRE_HEAD_BYTES + len;
    memset(p, 0, m->len);
    p[0] = type;
    p[1] = flags;
    put_le16(p + 2, (uint16_t)placement_slot_of("x", 1));
    put_le32(p + 4, (uint32_t)len);
}

/* The home told all that exists, and so the watching node told nobody of this one as a change. */
static void mark(int to, uint64_t version, uint32_t no)
{
    struct message m = {.from = HOME, .to = to};
    put_message(&m, WIRE_MARK, 0, 26);
    uint8_t *p = m.data + WIRE_HEAD_BYTES;
    put_le32(p, no);
    put_le16(p + 4, (uint16_t)placement_slot_of("x", 1));
    put_le64(p + 6, version);
    put_le64(p + 14, version);
    put_le32(p + 22, no);
    arrive(&m);
}

/*
 * The next home does not know yet that the watch was told what exists, and so tells it again, a
 * change with it; then it tells the change.
 */
static void a_change_that_comes_as_what_exists_is_told_once(void **state)
{
    (void)state;
    begin();
    watch(EDGE);
    pass(1500); /* it knows that it was told */
    assert_int_equal(told_n, 1);
    for (uint64_t no = 1; no <= 2; no++) {
        struct message m = {.from = COPY, .to = EDGE};
        put_message(&m, WIRE_PUSH, no == 1 ? WIRE_INITIAL : 0, WIRE_PUSH_BYTES + 1);
        uint8_t *p = m.data + WIRE_HEAD_BYTES;
        put_le64(p, no);
        put_le64(p + 8, 2ull << DVAR_SEQ_BITS | 5);
        put_le64(p + 16, 1);
        put_le32(p + 44, 1);
        p[WIRE_PUSH_BYTES] = 'x';
        arrive(&m);
        assert_int_equal(told_n, 2);
    }
    assert_true(told[EDGE] == (2ull << DVAR_SEQ_BITS | 5));
    end();
}

/* What says that the watches of a former boot were told reaches the next one. */
static void a_watch_is_not_told_by_what_its_former_boot_heard(void **state)
{
    (void)state;
    begin();
    boots[EDGE] = 2;
    struct dvar_config config = {.self = boot_of(EDGE)};
    dvar_free(cores[EDGE]);
    assert_int_equal(dvar_new(&cores[EDGE], &config), 0);
    step(EDGE, (struct dvar_event){.type = DVAR_START});
    watch(EDGE); /* it knows of no home yet */
    mark(EDGE, 1ull << DVAR_SEQ_BITS | 1, 1);
    decide();
    pass(1500);
    assert_int_equal(told_n, 1);
    end();
}

/*
 * A watch of @first, and when the copy, which is home of another slot, has heard of that one only,
 * a watch of x, which the home tells what exists. What the copy is told again of the first watch is
 * held back. Then the copy is home of x, too.
 */
static void watch_what_the_next_home_does_not_know(const char *first)
{
    begin();
    placement.slots[placement_slot_of("a", 1)].active =
        (struct placement_config){.slot_epoch = 2, .replicas = {2}, .replicas_n = 1};
    decide();
    step(EDGE, (struct dvar_event){.type = DVAR_WATCH, .id = 76, .name = first, .name_len = 1});
    deliver();
    held = (struct message){0};
    held_type = WIRE_WATCH;
    only_to = COPY;
    pass(1000);
    assert_true(held.from == EDGE && held.to == COPY);
    lost_type = WIRE_WATCH;
    watch(EDGE);
    pass(1500); /* it knows that it was told */
    assert_int_equal(told_n, 1);
    move(3, 2, 1);
}

/* The newest of x, once; and everything else. */
static void hears_all_in_the_end(int others_n)
{
    struct dvar_info info;
    lost_type = 0;
    pass(1500);
    dvar_info(cores[COPY], "x", 1, now_ms, &info);
    assert_int_equal(told_n, 2);
    assert_true(told[EDGE] == info.version);
    assert_int_equal(told_other_n, others_n);
    end();
}

static void a_watch_hears_what_changed_before_its_next_home_knew_of_it(void **state)
{
    (void)state;
    watch_what_the_next_home_does_not_know("a");
    set(COPY, 2);
    assert_true(done && told_n == 1);
    hears_all_in_the_end(0);
}

/* state-swarm 36945: a home's word of how far a slot was told was taken for a watch that it did not
 * know. */
static void a_mark_is_of_the_watches_that_its_home_knew(void **state)
{
    (void)state;
    watch_what_the_next_home_does_not_know("a");
    set(COPY, 2);
    arrive(&held); /* it says how far all slots are, x with them */
    deliver();
    assert_true(done && told_n == 1);
    hears_all_in_the_end(0);
}

/* A change that is told says so, too. */
static void a_change_told_to_one_watch_is_no_mark_for_a_later_one(void **state)
{
    (void)state;
    assert_int_equal(placement_slot_of("y", 1), placement_slot_of("x", 1));
    watch_what_the_next_home_does_not_know("y");
    arrive(&held);
    deliver();
    set(COPY, 2);
    name = "y";
    set(COPY, 3);
    assert_true(done && told_n == 1);
    assert_int_equal(told_other_n, 1);
    hears_all_in_the_end(1);
}

/*
 * What exists is behind a write of another node that is under way as the watch begins; then the
 * slot moves, its asker is gone, and nobody has heard of the write.
 */
static void what_exists_behind_a_write_that_came_to_nothing_is_told(void **state)
{
    (void)state;
    struct dvar_info info;
    begin();
    lost_type = WIRE_INV;
    only_to = COPY;
    set(EDGE, 2);
    assert_false(done);
    cut[EDGE] = true;
    watch(HOME);
    assert_int_equal(told_n, 0);
    move(2, 2, 3);
    pass(3000);
    dvar_info(cores[COPY], "x", 1, now_ms, &info);
    assert_int_equal(told_n, 1);
    assert_true(told[HOME] == info.version);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_cached_when_all_copies_know_that_some_are),
        cmocka_unit_test(what_a_dead_home_let_others_cache_is_waited_for),
        cmocka_unit_test(a_dead_home_that_shared_nothing_is_not_waited_for),
        cmocka_unit_test(a_home_whose_lease_has_ended_is_not_waited_for),
        cmocka_unit_test(without_a_copy_that_knows_a_dead_home_is_waited_for),
        cmocka_unit_test(a_lease_given_back_ends_nothing_that_was_granted_under_it),
        cmocka_unit_test(what_was_dropped_of_another_slot_says_nothing_of_this_one),
        cmocka_unit_test(a_home_that_holds_its_slot_is_waited_for_until_its_end_is_known),
        cmocka_unit_test(an_answer_of_before_a_home_moved_on_is_not_cached_when_it_is_home_again),
        cmocka_unit_test(a_write_that_ends_as_its_slot_moves_begins_none_in_the_next_epoch),
        cmocka_unit_test(what_exists_is_told_to_a_watch_of_another_node),
        cmocka_unit_test(a_change_that_comes_as_what_exists_is_told_once),
        cmocka_unit_test(a_watch_is_not_told_by_what_its_former_boot_heard),
        cmocka_unit_test(what_exists_behind_a_write_that_came_to_nothing_is_told),
        cmocka_unit_test(a_watch_hears_what_changed_before_its_next_home_knew_of_it),
        cmocka_unit_test(a_mark_is_of_the_watches_that_its_home_knew),
        cmocka_unit_test(a_change_told_to_one_watch_is_no_mark_for_a_later_one),
        cmocka_unit_test(who_is_about_to_leave_caches_nothing_any_more),
        cmocka_unit_test(what_is_being_written_is_not_settled),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
#ifdef KITH_MUTANTS
    static const struct left_out rules[] = {
        {MUTANT_DVAR_NO_SHARE_WAIT,
         cmocka_unit_test(what_a_dead_home_let_others_cache_is_waited_for)},
        {MUTANT_DVAR_NO_RELEASE,
         cmocka_unit_test(a_home_that_holds_its_slot_is_waited_for_until_its_end_is_known)},
        {MUTANT_DVAR_LEAVES_CACHING,
         cmocka_unit_test(who_is_about_to_leave_caches_nothing_any_more)},
        {MUTANT_DVAR_UNSETTLED_TOLD, cmocka_unit_test(what_is_being_written_is_not_settled)},
        {MUTANT_DVAR_ANY_WATCH,
         cmocka_unit_test(a_watch_hears_what_changed_before_its_next_home_knew_of_it)},
        {MUTANT_DVAR_UNDONE_EXISTS,
         cmocka_unit_test(what_exists_behind_a_write_that_came_to_nothing_is_told)},
        {MUTANT_DVAR_ANY_WATCH, cmocka_unit_test(a_mark_is_of_the_watches_that_its_home_knew)},
        {MUTANT_DVAR_ANY_WATCH,
         cmocka_unit_test(a_change_told_to_one_watch_is_no_mark_for_a_later_one)},
        {MUTANT_DVAR_NO_POISON,
         cmocka_unit_test(an_answer_of_before_a_home_moved_on_is_not_cached_when_it_is_home_again)},
    };
    failed += left_out_all(rules, sizeof(rules) / sizeof(rules[0]));
#endif
    return failed;
}

/*
 * Requests of other nodes at a home, and answers of homes at an asker, message by message: what is
 * remembered, what comes late, and the limits of what others can make a home hold.
 */
#include "core/error.h"
#include "dvar/dvar.h"
#include "dvar/wire.h"
#include "lib/test.h"
#include "unit/left_out.h"

static struct dvar_core *core;
static struct placement placement;
static struct dvar_output out;
static uint64_t now_ms;
static uint8_t frame[1024];

static struct boot_id boot_of(uint32_t n)
{
    struct boot_id boot = {.boot_no = 1};
    put_le32(boot.node.bytes, n);
    return boot;
}

static void step(struct dvar_event event)
{
    event.now_ms = now_ms;
    event.wall_ms = 1700000000000;
    assert_int_equal(dvar_step(core, &event, &out), 0);
}

static void place(uint64_t slot_epoch, uint8_t home, uint8_t replicas_n)
{
    placement.epoch = placement.epoch < slot_epoch ? slot_epoch : placement.epoch + 1;
    placement.keepers_n = 3;
    for (uint32_t i = 0; i < 3; i++)
        placement.keepers[i] =
            (struct placement_keeper){.member_id = i + 1, .boot = boot_of(i + 1)};
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++)
        placement.slots[i].active = (struct placement_config){
            .slot_epoch = slot_epoch, .replicas = {home, 3}, .replicas_n = replicas_n};
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
}

static void begin(uint8_t home, uint8_t replicas_n)
{
    struct dvar_config config = {.self = boot_of(1), .min_copies = 1};
    now_ms = 1000;
    memset(&placement, 0, sizeof(placement));
    assert_int_equal(dvar_new(&core, &config), 0);
    step((struct dvar_event){.type = DVAR_START});
    place(1, home, replicas_n);
    step((struct dvar_event){.type = DVAR_LEASE, .until_ms = now_ms + 1000000});
}

static void end(void)
{
    dvar_check(core);
    dvar_free(core);
}

static struct dvar_result op_at(const char *name, struct value_op what)
{
    static uint64_t id;
    step((struct dvar_event){.type = DVAR_OP,
                             .id = ++id,
                             .name = name,
                             .name_len = strlen(name),
                             .op = &what,
                             .deadline_ms = now_ms + 60000});
    for (size_t i = 0; i < out.actions_n; i++) {
        if (out.actions[i].type == DVAR_DONE)
            return out.actions[i].result;
    }
    return (struct dvar_result){.code = 1};
}

static void receive(uint32_t from, uint8_t type, const char *name, size_t len)
{
    frame[0] = type;
    frame[1] = 0;
    put_le16(frame + 2, name != NULL ? (uint16_t)placement_slot_of(name, strlen(name)) : 0);
    put_le32(frame + 4, (uint32_t)len);
    step((struct dvar_event){
        .type = DVAR_RECV, .from = boot_of(from), .data = frame, .len = WIRE_HEAD_BYTES + len});
}

static void
ask(uint32_t from, uint64_t no, uint64_t low_water, const char *name, struct value_op op)
{
    struct buf bytes = {0};
    assert_int_equal(value_op_encode(&op, &bytes), 0);
    uint8_t *p = frame + WIRE_HEAD_BYTES;
    size_t name_len = strlen(name);
    put_le64(p, no);
    put_le64(p + 8, low_water);
    put_le64(p + 16, 0);
    put_le64(p + 24, 1);
    put_le32(p + 32, 60000);
    put_le32(p + 36, (uint32_t)bytes.len);
    put_le32(p + 40, (uint32_t)name_len);
    memcpy(p + WIRE_REQ_BYTES, name, name_len);
    memcpy(p + WIRE_REQ_BYTES + name_len, bytes.data, bytes.len);
    size_t len = WIRE_REQ_BYTES + name_len + bytes.len;
    buf_deinit(&bytes);
    receive(from, WIRE_REQ, name, len);
}

struct answer {
    bool came, busy, applied;
    int code;
    uint64_t version;
    size_t len;
    const uint8_t *data;
};

/* The first message of @type to @to, from its body on. */
static const uint8_t *sent(uint32_t to, uint8_t type)
{
    struct kith_node_id id = boot_of(to).node;
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct dvar_action *action = &out.actions[i];
        if (action->type != DVAR_SEND || memcmp(&action->to, &id, sizeof(id)) != 0)
            continue;
        for (size_t at = 0; at < action->len;
             at += WIRE_HEAD_BYTES + get_le32(action->data + at + 4)) {
            if (action->data[at] == type)
                return action->data + at + WIRE_HEAD_BYTES;
        }
    }
    return NULL;
}

static struct answer answer_to(uint32_t to)
{
    const uint8_t *p = sent(to, WIRE_RES);
    if (p == NULL)
        return (struct answer){0};
    uint8_t flags = p[-WIRE_HEAD_BYTES + 1];
    return (struct answer){.came = true,
                           .busy = (flags & WIRE_BUSY) != 0,
                           .applied = (flags & WIRE_APPLIED) != 0,
                           .code = (int)get_le32(p + 32),
                           .version = get_le64(p + 16),
                           .len = get_le32(p + 36),
                           .data = p + WIRE_RES_BYTES};
}

static const struct value_op get = {.kind = VALUE_OP_GET};
static const struct value_op add = {.kind = VALUE_OP_ADD, .type = VALUE_I64, .delta = 1};
static const struct value_op delete = {.kind = VALUE_OP_DELETE};

static struct value_op set_to(const char *text)
{
    return (struct value_op){.kind = VALUE_OP_SET,
                             .type = VALUE_TEXT,
                             .data = (const uint8_t *)text,
                             .data_len = strlen(text)};
}
static struct value_op if_absent(const char *text)
{
    struct value_op op = set_to(text);
    op.kind = VALUE_OP_CAS_VERSION;
    return op;
}
static struct value_op guarded(struct value_op what, uint64_t fence)
{
    what.flags |= VALUE_OP_FENCE;
    what.mutex = "m";
    what.mutex_len = 1;
    what.fence = fence;
    return what;
}
static struct dvar_stats stats(void)
{
    struct dvar_stats s;
    dvar_stats(core, &s);
    return s;
}

/* ---- at the home ---- */

static void a_late_copy_of_what_was_refused_is_not_done(void **state)
{
    (void)state;
    begin(1, 1);
    op_at("x", set_to("first"));
    ask(9, 1, 1, "x", if_absent("second"));
    struct answer first = answer_to(9);
    assert_true(first.came && !first.applied && first.code == 0 && first.len == 5);
    ask(9, 2, 1, "y", delete);
    assert_int_equal(answer_to(9).code, KITH_E_NOT_FOUND);
    op_at("x", delete);
    op_at("y", set_to("new"));
    ask(9, 1, 1, "x", if_absent("second"));
    struct answer again = answer_to(9);
    assert_true(!again.applied && again.version == first.version && again.len == 5);
    assert_memory_equal(again.data, "first", 5);
    assert_int_equal(op_at("x", get).code, KITH_E_NOT_FOUND);
    ask(9, 2, 1, "y", delete);
    assert_int_equal(answer_to(9).code, KITH_E_NOT_FOUND);
    assert_int_equal(op_at("y", get).code, 0);
    assert_int_equal(stats().answers, 2);
    /* It says that it has the answers: they are forgotten, and a copy is not answered at all. */
    ask(9, 3, 3, "y", get);
    assert_int_equal(stats().answers, 0);
    assert_int_equal(stats().answer_bytes, 0);
    ask(9, 1, 1, "x", if_absent("second"));
    assert_false(answer_to(9).came);
    assert_int_equal(op_at("x", get).code, KITH_E_NOT_FOUND);
    end();
}

static void a_copy_that_waited_in_the_queue_is_not_done_either(void **state)
{
    (void)state;
    begin(1, 2);
    op_at("x", set_to("first"));
    const uint8_t *inv = sent(3, WIRE_INV);
    assert_non_null(inv);
    uint64_t ts = get_le64(inv);
    uint32_t wid = get_le32(inv + 24);
    ask(9, 1, 1, "x", if_absent("second"));
    ask(8, 1, 1, "x", delete);
    ask(9, 1, 1, "x", if_absent("second"));
    for (int i = 0; i < 3; i++) {
        put_le64(frame + WIRE_HEAD_BYTES, ts);
        put_le32(frame + WIRE_HEAD_BYTES + 8, wid);
        receive(3, WIRE_ACK, "x", 12);
        inv = sent(3, WIRE_INV);
        if (inv == NULL)
            break;
        ts = get_le64(inv);
        wid = get_le32(inv + 24);
    }
    assert_int_equal(op_at("x", get).code, KITH_E_NOT_FOUND);
    end();
}

static void answers_are_forgotten_with_their_asker(void **state)
{
    (void)state;
    begin(1, 1);
    ask(9, 1, 1, "x", delete);
    ask(8, 1, 1, "x", delete);
    assert_int_equal(stats().answers, 2);
    step((struct dvar_event){.type = DVAR_PEER_DOWN, .from = boot_of(9), .left = true});
    assert_int_equal(stats().answers, 1);
    now_ms += 2 * DVAR_OP_MS_MAX;
    step((struct dvar_event){.type = DVAR_TICK});
    assert_int_equal(stats().answers, 0);
    end();
}

static void a_repeated_read_under_a_fence_gives_the_value_again(void **state)
{
    (void)state;
    begin(1, 1);
    op_at("x", set_to("abc"));
    ask(9, 1, 1, "x", guarded(get, 5));
    struct answer first = answer_to(9);
    struct value value;
    assert_int_equal(value_decode(first.data, first.len, &value), 0);
    assert_int_equal(value.len, 3);
    ask(9, 1, 1, "x", guarded(get, 5));
    struct answer again = answer_to(9);
    assert_true(again.version == first.version && again.len == first.len);
    end();
}

/* ---- limits at the home ---- */

static void answers_without_room_are_asked_for_again(void **state)
{
    (void)state;
    begin(1, 1);
    for (uint64_t no = 1; no <= DVAR_ANSWERS_MAX; no++) {
        ask(9, no, 1, "x", delete);
        assert_false(answer_to(9).busy);
    }
    ask(9, DVAR_ANSWERS_MAX + 1, 1, "x", delete);
    assert_true(answer_to(9).busy);
    ask(9, DVAR_ANSWERS_MAX + 1, 2, "x", delete);
    assert_int_equal(answer_to(9).code, KITH_E_NOT_FOUND);
    end();
}

static void a_variable_with_too_many_askers_is_busy(void **state)
{
    (void)state;
    begin(1, 1);
    for (uint32_t n = 0; n < DVAR_RECORDS_MAX; n++) {
        ask(100 + n, 1, 1, "n", add);
        assert_true(answer_to(100 + n).applied);
    }
    ask(9, 1, 1, "n", add);
    assert_true(answer_to(9).busy);
    ask(100, 2, 2, "n", add); /* one of them has its answer */
    assert_true(answer_to(100).applied);
    end();
}

static void requests_beyond_the_queue_are_busy(void **state)
{
    (void)state;
    begin(1, 2);
    op_at("x", set_to("under way"));
    for (uint64_t no = 1; no <= DVAR_QUEUE_MAX; no++) {
        ask(9, no, 1, "x", get);
        assert_false(answer_to(9).came);
    }
    ask(9, DVAR_QUEUE_MAX + 1, 1, "x", get);
    assert_true(answer_to(9).busy);
    end();
}

static void writes_beyond_those_under_way_are_busy(void **state)
{
    (void)state;
    begin(1, 2);
    char name[16];
    for (uint32_t i = 0; i < DVAR_WRITES_MAX; i++) {
        snprintf(name, sizeof(name), "%u", i);
        ask(9, i + 1, 1, name, add);
        assert_false(answer_to(9).came);
    }
    ask(9, DVAR_WRITES_MAX + 1, 1, "more", add);
    assert_true(answer_to(9).busy);
    assert_int_equal(stats().writes_pending, DVAR_WRITES_MAX);
    end();
}

static void sessions_beyond_the_limit_are_not_granted(void **state)
{
    (void)state;
    begin(1, 1);
    for (uint32_t n = 0; n <= DVAR_SESSIONS_MAX; n++) {
        put_le64(frame + WIRE_HEAD_BYTES, 1);
        put_le64(frame + WIRE_HEAD_BYTES + 8, 1);
        receive(100 + n, WIRE_RENEW, NULL, 16);
        assert_true((sent(100 + n, WIRE_GRANT) != NULL) == (n < DVAR_SESSIONS_MAX));
    }
    end();
}

static void a_session_ends_before_the_lease_of_its_home(void **state)
{
    (void)state;
    begin(1, 1);
    step((struct dvar_event){.type = DVAR_LEASE, .until_ms = now_ms + 500});
    put_le64(frame + WIRE_HEAD_BYTES, 1);
    put_le64(frame + WIRE_HEAD_BYTES + 8, 1);
    receive(9, WIRE_RENEW, NULL, 16);
    const uint8_t *grant = sent(9, WIRE_GRANT);
    assert_non_null(grant);
    assert_true(get_le64(grant + 16) > 0 && get_le64(grant + 16) <= 500);
    end();
}

static void changes_beyond_the_limit_are_only_counted(void **state)
{
    (void)state;
    begin(1, 1);
    uint8_t *p = frame + WIRE_HEAD_BYTES;
    memset(p, 0, 8 + 12 * PLACEMENT_SLOTS);
    put_le16(p, 1);
    p[2] = 1; /* every name */
    put_le32(p + 4, 1);
    receive(9, WIRE_WATCH, NULL, 8 + 12 * PLACEMENT_SLOTS);
    char name[16];
    for (uint32_t i = 0; i < 256 + DVAR_PUSHES_MAX; i++) { /* a window, and what waits behind it */
        snprintf(name, sizeof(name), "%u", i);
        op_at(name, add);
    }
    assert_int_equal(stats().pushes_missed, 0);
    op_at("more", add);
    assert_int_equal(stats().pushes_missed, 1);
    assert_int_equal(stats().pushes, 256);
    end();
}

/* Node 9 watches "s/" with watch @no, and says that it was told what exists up to watch @told. */
static void watch(uint32_t no, uint32_t told)
{
    uint8_t *p = frame + WIRE_HEAD_BYTES;
    memset(p, 0, 10 + 12 * PLACEMENT_SLOTS);
    put_le16(p, 1);
    p[2] = 1;
    p[3] = 2;
    put_le32(p + 4, no);
    memcpy(p + 8, "s/", 2);
    for (size_t s = 0; s < PLACEMENT_SLOTS; s++)
        put_le32(p + 10 + 12 * s + 8, told);
    receive(9, WIRE_WATCH, NULL, 10 + 12 * PLACEMENT_SLOTS);
}

static void what_exists_is_told_once_to_each_new_watch(void **state)
{
    (void)state;
    begin(1, 1);
    op_at("s/a", add);
    op_at("other", add);
    watch(1, 0);
    const uint8_t *push = sent(9, WIRE_PUSH);
    assert_non_null(push);
    assert_int_equal(stats().pushes, 1);
    uint64_t no = get_le64(push), stream = get_le64(push + 16);
    /* Not yet told: it has not been acknowledged. */
    assert_int_equal(get_le32(sent(9, WIRE_MARK) + 22), 0);
    watch(1, 0);
    assert_int_equal(stats().pushes, 1);
    uint8_t *p = frame + WIRE_HEAD_BYTES;
    put_le64(p, no);
    put_le64(p + 8, stream);
    receive(9, WIRE_PUSH_ACK, NULL, 16);
    watch(1, 0);
    assert_int_equal(stats().pushes, 1);
    assert_int_equal(get_le32(sent(9, WIRE_MARK) + 22), 1);
    watch(2, 1); /* another one */
    assert_int_equal(stats().pushes, 2);
    end();
}

static void next_home_does_not_tell_again_what_exists(void **state)
{
    (void)state;
    begin(1, 1);
    op_at("s/a", add);
    watch(7, 7);
    assert_int_equal(stats().pushes, 0);
    op_at("s/b", add);
    assert_int_equal(stats().pushes, 1);
    end();
}

/* ---- the first durable variable of a slot ---- */

static bool asks_for_durable(void)
{
    for (size_t i = 0; i < out.actions_n; i++) {
        if (out.actions[i].type == DVAR_SLOT_DURABLE)
            return true;
    }
    return false;
}

static uint64_t asks_for_disk(void)
{
    for (size_t i = 0; i < out.actions_n; i++) {
        if (out.actions[i].type == DVAR_PERSIST)
            return out.actions[i].token;
    }
    return 0;
}

/* A leader that was asked may lead no more. */
static void a_durable_slot_is_asked_for_until_it_is_decided(void **state)
{
    struct value_op durable = set_to("v");
    (void)state;
    durable.policy = VALUE_DURABLE;
    begin(1, 1);
    assert_int_equal(op_at("s/a", durable).code, 1);
    assert_true(asks_for_durable());
    for (int again = 0; again < 3; again++) {
        uint64_t end_ms = now_ms + 5000;
        do {
            assert_true(dvar_deadline_ms(core) < end_ms);
            now_ms = dvar_deadline_ms(core);
            step((struct dvar_event){.type = DVAR_TICK});
        } while (!asks_for_durable());
    }
    step((struct dvar_event){.type = DVAR_SLOT_DECIDED,
                             .slot = placement_slot_of("s/a", strlen("s/a"))});
    assert_true(asks_for_disk() != 0);
    step((struct dvar_event){.type = DVAR_PERSISTED, .token = asks_for_disk()});
    assert_int_equal(op_at("s/a", get).code, 0);
    end();
}

/* ---- what may never be done is told to nobody ---- */

/* Node 3 has what it was sent last. */
static void acknowledge(void)
{
    const uint8_t *inv = sent(3, WIRE_INV);
    uint8_t *p = frame + WIRE_HEAD_BYTES;
    assert_non_null(inv);
    memcpy(p, inv, 8);
    memcpy(p + 8, inv + 24, 4);
    receive(3, WIRE_ACK, "s/a", 12);
}

/* Node 3 is to be the home, and this node a copy: what is under way ends without being done. */
static void choose_another_home(void)
{
    placement.epoch++;
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++)
        placement.slots[i].chosen =
            (struct placement_config){.slot_epoch = 2, .replicas = {3, 1}, .replicas_n = 2};
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
}

/* It comes back, alone, with what it has. */
static void become_home_again(void)
{
    placement.epoch++;
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++)
        placement.slots[i].chosen =
            (struct placement_config){.slot_epoch = 3, .replicas = {1}, .replicas_n = 1};
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
    place(3, 1, 1);
}

/* The version that watches of this node were told last; 0: none. */
static uint64_t told(void)
{
    uint64_t version = 0;
    for (size_t i = 0; i < out.actions_n; i++) {
        if (out.actions[i].type == DVAR_CHANGED)
            version = out.actions[i].change.version;
    }
    return version;
}

/* All that node 9 can be told from now on, whatever it says: does it hear of @version? */
static bool hears(uint64_t version)
{
    for (int i = 0; i < 10; i++) {
        now_ms += 250;
        step((struct dvar_event){.type = DVAR_TICK});
        const uint8_t *push = sent(9, WIRE_PUSH);
        if (push == NULL) {
            watch(1, 0);
            push = sent(9, WIRE_PUSH);
        }
        if (push != NULL && (push[-WIRE_HEAD_BYTES + 1] & WIRE_VOID) == 0 &&
            get_le64(push + 8) == version)
            return true;
    }
    return false;
}

static void a_new_watch_hears_of_a_write_when_it_is_done(void **state)
{
    (void)state;
    begin(1, 2);
    op_at("s/a", add);
    acknowledge();
    op_at("s/a", add);
    uint64_t under_way = get_le64(sent(3, WIRE_INV));
    step((struct dvar_event){
        .type = DVAR_WATCH, .id = 77, .name = "s/", .name_len = 2, .prefix = true});
    assert_int_equal(told(), 0);
    now_ms += 500;
    step((struct dvar_event){.type = DVAR_TICK});
    acknowledge();
    assert_int_equal(told(), under_way);
    end();
}

static void a_write_that_its_home_gave_up_is_not_told_instead_of_one_before(void **state)
{
    (void)state;
    begin(1, 2);
    op_at("s/a", add);
    watch(1, 0);
    now_ms += 500;
    step((struct dvar_event){.type = DVAR_TICK});
    uint64_t first = get_le64(sent(3, WIRE_INV));
    acknowledge();
    assert_non_null(sent(9, WIRE_PUSH)); /* which it does not acknowledge */
    assert_int_equal(get_le64(sent(9, WIRE_PUSH) + 8), first);
    op_at("s/a", add);
    uint64_t second = get_le64(sent(3, WIRE_INV));
    assert_true(second > first);
    choose_another_home();
    assert_false(hears(second));
    end();
}

static void a_write_that_its_home_gave_up_is_not_told_as_what_exists(void **state)
{
    (void)state;
    begin(1, 2);
    op_at("s/a", add);
    uint64_t version = get_le64(sent(3, WIRE_INV));
    watch(1, 0);
    assert_null(sent(9, WIRE_PUSH)); /* not yet */
    choose_another_home();
    assert_false(hears(version));
    become_home_again(); /* then it is done, and exists */
    assert_true(hears(version));
    end();
}

static void what_moved_to_another_home_is_not_told_as_gone(void **state)
{
    (void)state;
    begin(1, 1);
    watch(1, 0);
    op_at("s/a", add);
    assert_non_null(sent(9, WIRE_PUSH));
    place(2, 3, 1);
    assert_false(hears(0));
    end();
}

/* ---- at a replica ---- */

static const struct dvar_action *persisting(void)
{
    static const struct dvar_action nothing;
    for (size_t i = 0; i < out.actions_n; i++) {
        if (out.actions[i].type == DVAR_PERSIST)
            return &out.actions[i];
    }
    fail_msg("nothing goes to the disk");
    return &nothing;
}

/* Home 2 orders @value, which is encoded. */
static void order(uint64_t ts, const char *name, const uint8_t *value, size_t len)
{
    uint8_t *p = frame + WIRE_HEAD_BYTES;
    size_t name_len = strlen(name);
    memset(p, 0, WIRE_INV_BYTES);
    put_le64(p, ts);
    put_le64(p + 16, ts);
    p[30] = (uint8_t)name_len;
    memcpy(p + WIRE_INV_BYTES, name, name_len);
    memcpy(p + WIRE_INV_BYTES + name_len, value, len);
    receive(2, WIRE_INV, name, WIRE_INV_BYTES + name_len + len);
}

/* A write of this node as home that came to nothing must not count among what is on its way. */
static void a_copy_on_disk_is_acknowledged_as_often_as_it_is_asked_for(void **state)
{
    (void)state;
    uint8_t value[256];
    begin(1, 2);
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++)
        step((struct dvar_event){.type = DVAR_SLOT_DECIDED, .slot = i});
    struct value_op create = {.kind = VALUE_OP_CREATE, .type = VALUE_I64, .policy = VALUE_DURABLE};
    assert_int_equal(op_at("d", create).code, 1);
    const struct dvar_action *persist = persisting();
    size_t records = 56 * get_le32(persist->puts[0].data + 16);
    size_t len = persist->puts[0].len - 20 - records;
    memcpy(value, persist->puts[0].data + 20 + records, len);
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) /* it is a replica from now on */
        placement.slots[i].active =
            (struct placement_config){.slot_epoch = 2, .replicas = {2, 1}, .replicas_n = 2};
    placement.epoch = 2;
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
    uint64_t ts = (uint64_t)2 << DVAR_SEQ_BITS | 1;
    order(ts, "d", value, len);
    assert_null(sent(2, WIRE_ACK));
    persist = persisting();
    uint64_t token = persist->token;
    order(ts, "d", value, len); /* not yet */
    assert_null(sent(2, WIRE_ACK));
    step((struct dvar_event){.type = DVAR_PERSISTED, .token = token});
    assert_non_null(sent(2, WIRE_ACK));
    order(ts, "d", value, len); /* that was lost */
    assert_non_null(sent(2, WIRE_ACK));
    /* That it is gone has to be on disk just so. */
    order(++ts, "d", value, 0);
    order(ts, "d", value, 0);
    assert_null(sent(2, WIRE_ACK));
    step((struct dvar_event){.type = DVAR_PERSISTED, .token = token + 1});
    assert_non_null(sent(2, WIRE_ACK));
    end();
}

/* ---- at the asker ---- */

static void operations_beyond_the_limit_are_busy(void **state)
{
    (void)state;
    begin(2, 1);
    for (uint32_t i = 0; i < DVAR_OPS_MAX; i++)
        assert_int_equal(op_at("x", add).code, 1);
    assert_int_equal(op_at("x", add).code, KITH_E_BUSY);
    end();
}

static void result(uint32_t from, uint64_t no, uint64_t se)
{
    uint8_t *p = frame + WIRE_HEAD_BYTES;
    memset(p, 0, WIRE_RES_BYTES);
    put_le64(p, no);
    put_le64(p + 48, se);
    receive(from, WIRE_RES, "x", WIRE_RES_BYTES);
}

static bool is_done(void)
{
    for (size_t i = 0; i < out.actions_n; i++) {
        if (out.actions[i].type == DVAR_DONE)
            return true;
    }
    return false;
}

/* The home that it was sent to since knows nothing of the answer, and may do it. */
static void an_answer_counts_from_the_home_asked_last(void **state)
{
    (void)state;
    begin(2, 1);
    op_at("x", if_absent("mine"));
    const uint8_t *request = sent(2, WIRE_REQ);
    assert_non_null(request);
    uint64_t no = get_le64(request);
    place(2, 3, 1);
    assert_non_null(sent(3, WIRE_REQ));
    result(2, no, 1);
    assert_false(is_done());
    result(3, no, 1);
    assert_false(is_done());
    result(3, no, 2);
    assert_true(is_done());
    end();
}

/* ---- a turn of the loop ---- */

/* An operation on a variable of its own, with more to come in this turn. */
static void more(uint32_t i, struct value_op what)
{
    char name[16];
    snprintf(name, sizeof(name), "m-%u", i);
    step((struct dvar_event){.type = DVAR_OP,
                             .more = true,
                             .id = 1000000 + i,
                             .name = name,
                             .name_len = strlen(name),
                             .op = &what,
                             .deadline_ms = now_ms + 60000});
}

/* The orders to node 3 in what the last step said; @frames_out: in how many frames. */
static uint32_t orders(uint32_t *frames_out)
{
    struct kith_node_id id = boot_of(3).node;
    uint32_t n = 0;
    *frames_out = 0;
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct dvar_action *action = &out.actions[i];
        if (action->type != DVAR_SEND || memcmp(&action->to, &id, sizeof(id)) != 0)
            continue;
        ++*frames_out;
        for (size_t at = 0; at < action->len;
             at += WIRE_HEAD_BYTES + get_le32(action->data + at + 4))
            n += action->data[at] == WIRE_INV;
    }
    return n;
}

static bool leaves(enum dvar_action_type type)
{
    for (size_t i = 0; i < out.actions_n; i++) {
        if (out.actions[i].type == type)
            return true;
    }
    return false;
}

static void what_a_turn_says_is_one_frame_and_one_batch(void **state)
{
    (void)state;
    uint32_t frames;
    begin(1, 2);
    for (uint32_t slot = 0; slot < PLACEMENT_SLOTS; slot++)
        step((struct dvar_event){.type = DVAR_SLOT_DECIDED, .slot = slot});
    for (uint32_t i = 0; i < 8; i++) {
        more(i, (struct value_op){
                    .kind = VALUE_OP_CREATE, .type = VALUE_I64, .policy = VALUE_DURABLE});
        assert_false(leaves(DVAR_SEND) || leaves(DVAR_PERSIST));
        assert_int_equal(dvar_deadline_ms(core), now_ms);
    }
    step((struct dvar_event){.type = DVAR_TICK});
    assert_int_equal(orders(&frames), 8);
    assert_int_equal(frames, 1);
    assert_int_equal(persisting()->puts_n, 8);
    assert_true(dvar_deadline_ms(core) > now_ms);
    step((struct dvar_event){.type = DVAR_TICK});
    assert_false(leaves(DVAR_SEND) || leaves(DVAR_PERSIST));
    /* Whatever comes without `more` takes with it what waits. */
    more(8, add);
    assert_int_equal(orders(&frames), 0);
    assert_int_equal(op_at("last", add).code, 1);
    assert_int_equal(orders(&frames), 2);
    assert_int_equal(frames, 1);
    more(9, add);
    end(); /* a core that is freed takes it along */
}

static void a_full_frame_does_not_wait_for_the_end_of_the_turn(void **state)
{
    (void)state;
    char text[1001] = {0};
    uint32_t early = 0, early_frames = 0, frames;
    memset(text, 'x', sizeof(text) - 1);
    begin(1, 2);
    for (uint32_t i = 0; i < 200; i++) {
        more(i, set_to(text));
        early += orders(&frames);
        early_frames += frames;
    }
    assert_true(early_frames >= 3 && early_frames < 8);
    step((struct dvar_event){.type = DVAR_TICK});
    assert_int_equal(early + orders(&frames), 200);
    assert_true(frames <= 1);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_late_copy_of_what_was_refused_is_not_done),
        cmocka_unit_test(a_copy_that_waited_in_the_queue_is_not_done_either),
        cmocka_unit_test(answers_are_forgotten_with_their_asker),
        cmocka_unit_test(a_repeated_read_under_a_fence_gives_the_value_again),
        cmocka_unit_test(answers_without_room_are_asked_for_again),
        cmocka_unit_test(a_variable_with_too_many_askers_is_busy),
        cmocka_unit_test(requests_beyond_the_queue_are_busy),
        cmocka_unit_test(writes_beyond_those_under_way_are_busy),
        cmocka_unit_test(sessions_beyond_the_limit_are_not_granted),
        cmocka_unit_test(a_session_ends_before_the_lease_of_its_home),
        cmocka_unit_test(changes_beyond_the_limit_are_only_counted),
        cmocka_unit_test(what_exists_is_told_once_to_each_new_watch),
        cmocka_unit_test(a_durable_slot_is_asked_for_until_it_is_decided),
        cmocka_unit_test(a_new_watch_hears_of_a_write_when_it_is_done),
        cmocka_unit_test(a_write_that_its_home_gave_up_is_not_told_instead_of_one_before),
        cmocka_unit_test(a_write_that_its_home_gave_up_is_not_told_as_what_exists),
        cmocka_unit_test(what_moved_to_another_home_is_not_told_as_gone),
        cmocka_unit_test(next_home_does_not_tell_again_what_exists),
        cmocka_unit_test(operations_beyond_the_limit_are_busy),
        cmocka_unit_test(a_copy_on_disk_is_acknowledged_as_often_as_it_is_asked_for),
        cmocka_unit_test(an_answer_counts_from_the_home_asked_last),
        cmocka_unit_test(what_a_turn_says_is_one_frame_and_one_batch),
        cmocka_unit_test(a_full_frame_does_not_wait_for_the_end_of_the_turn),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
#ifdef KITH_MUTANTS
    static const struct left_out rules[] = {
        {MUTANT_DVAR_ANY_ANSWER, cmocka_unit_test(an_answer_counts_from_the_home_asked_last)},
        {MUTANT_DVAR_NO_NESTED_LEASE,
         cmocka_unit_test(a_session_ends_before_the_lease_of_its_home)},
    };
    failed += left_out_all(rules, sizeof(rules) / sizeof(rules[0]));
#endif
    return failed;
}

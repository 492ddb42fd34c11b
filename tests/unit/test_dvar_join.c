/* Additions of one node that travel as one: what each of them is told. */
#include "core/error.h"
#include "dvar/dvar.h"
#include "dvar/wire.h"
#include "lib/test.h"

static struct dvar_core *core;
static struct placement placement;
static struct dvar_output out;
static uint64_t now_ms;

#define DONE_MAX (2 * DVAR_JOINED_MAX)
static struct dvar_result done[DONE_MAX + 1]; /* by id */
static unsigned done_n;
static uint64_t last_id;
static bool in_order;
static uint8_t sent[4096]; /* the last message but its head */
static size_t sent_len;

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
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct dvar_action *action = &out.actions[i];
        if (action->type == DVAR_SEND) {
            sent_len = action->len - WIRE_HEAD_BYTES;
            memcpy(sent, action->data + WIRE_HEAD_BYTES,
                   sent_len < sizeof(sent) ? sent_len : sizeof(sent));
        }
        if (action->type != DVAR_DONE)
            continue;
        assert_in_range(action->id, 1, DONE_MAX);
        in_order = in_order && action->id > last_id;
        last_id = action->id;
        done[action->id] = action->result;
        done_n++;
    }
    dvar_check(core);
}

static void begin(uint8_t home)
{
    struct dvar_config config = {.self = boot_of(1), .min_copies = 1};
    now_ms = 1000;
    done_n = 0;
    last_id = 0;
    in_order = true;
    memset(done, 0, sizeof(done));
    memset(&placement, 0, sizeof(placement));
    placement.epoch = 1;
    placement.keepers_n = 3;
    for (uint32_t i = 0; i < 3; i++)
        placement.keepers[i] =
            (struct placement_keeper){.member_id = i + 1, .boot = boot_of(i + 1)};
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++)
        placement.slots[i].active =
            (struct placement_config){.slot_epoch = 1, .replicas = {home}, .replicas_n = 1};
    assert_int_equal(dvar_new(&core, &config), 0);
    step((struct dvar_event){.type = DVAR_START});
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
    step((struct dvar_event){.type = DVAR_LEASE, .until_ms = now_ms + 1000000});
}

static void end(void)
{
    dvar_free(core);
}

static void op_until(uint64_t id, struct value_op what, uint64_t deadline_ms)
{
    step((struct dvar_event){.type = DVAR_OP,
                             .more = true,
                             .id = id,
                             .name = "n",
                             .name_len = 1,
                             .op = &what,
                             .deadline_ms = deadline_ms});
}

static void add(uint64_t id, int64_t delta)
{
    struct value_op what = {.kind = VALUE_OP_ADD, .type = VALUE_I64, .delta = delta};
    op_until(id, what, now_ms + 5000);
}

static void tick(void)
{
    assert_true(dvar_deadline_ms(core) <= now_ms);
    step((struct dvar_event){.type = DVAR_TICK});
}

static uint64_t joined_n(void)
{
    struct dvar_stats stats;
    dvar_stats(core, &stats);
    return stats.ops_joined;
}

static void additions_of_a_turn_are_one_write_with_a_version_each(void **state)
{
    (void)state;
    begin(1);
    for (uint64_t id = 1; id <= 5; id++)
        add(id, (int64_t)id * 10);
    assert_int_equal(done_n, 0);
    tick();
    assert_int_equal(done_n, 5);
    assert_true(in_order);
    assert_int_equal(joined_n(), 4);
    int64_t sum = 0;
    for (uint64_t id = 1; id <= 5; id++) {
        sum += (int64_t)id * 10;
        assert_int_equal(done[id].code, 0);
        assert_true(done[id].applied);
        assert_int_equal(done[id].number, sum);
        assert_int_equal(done[id].version, done[1].version + id - 1);
    }
    struct dvar_info info;
    dvar_info(core, "n", 1, now_ms, &info);
    assert_int_equal(info.version, done[5].version);
    end();
}

static void what_does_not_fit_together_is_tried_alone(void **state)
{
    (void)state;
    begin(1);
    add(1, INT64_MAX - 2);
    tick();
    for (uint64_t id = 2; id <= 5; id++)
        add(id, 1);
    tick();
    while (dvar_deadline_ms(core) <= now_ms)
        tick();
    assert_int_equal(done_n, 5);
    assert_int_equal(done[2].code, 0);
    assert_int_equal(done[2].number, INT64_MAX - 1);
    assert_int_equal(done[3].code, 0);
    assert_int_equal(done[3].number, INT64_MAX);
    assert_int_equal(done[4].code, KITH_E_LIMIT);
    assert_int_equal(done[5].code, KITH_E_LIMIT);
    end();
}

static void only_what_goes_the_same_way_joins(void **state)
{
    (void)state;
    begin(1);
    struct value_op f64 = {.kind = VALUE_OP_ADD, .type = VALUE_F64, .delta_f64 = 1};
    struct value_op strict = {
        .kind = VALUE_OP_ADD, .type = VALUE_I64, .delta = 1, .flags = VALUE_OP_NO_CREATE};
    struct value_op get = {.kind = VALUE_OP_GET};
    add(1, 1);
    add(2, -1);
    op_until(6, get, now_ms + 5000);
    op_until(3, f64, now_ms + 5000);
    op_until(4, strict, now_ms + 5000);
    struct value_op late = {.kind = VALUE_OP_ADD, .type = VALUE_I64, .delta = 1};
    op_until(5, late, now_ms + 9000);
    tick();
    assert_int_equal(done_n, 6);
    assert_int_equal(joined_n(), 0);
    assert_int_equal(done[6].version, done[2].version); /* in the order of the calls */
    assert_int_equal(done[3].code, KITH_E_TYPE);
    end();
}

static void beyond_the_limit_another_request_begins(void **state)
{
    (void)state;
    begin(1);
    for (uint64_t id = 1; id <= DVAR_JOINED_MAX + 1; id++)
        add(id, 1);
    tick();
    assert_int_equal(done_n, DVAR_JOINED_MAX + 1);
    assert_int_equal(joined_n(), DVAR_JOINED_MAX - 1);
    for (uint64_t id = 1; id <= DVAR_JOINED_MAX + 1; id++)
        assert_int_equal(done[id].number, id);
    struct value_op more = {.kind = VALUE_OP_ADD, .type = VALUE_I64, .count = DVAR_JOINED_MAX};
    assert_int_equal(value_op_check("n", &more), 0);
    more.count++;
    assert_int_equal(value_op_check("n", &more), KITH_E_INVALID);
    end();
}

static void one_that_is_canceled_is_unknown_and_the_others_are_done(void **state)
{
    (void)state;
    begin(1);
    for (uint64_t id = 1; id <= 3; id++)
        add(id, 1);
    step((struct dvar_event){.type = DVAR_CANCEL, .more = true, .id = 2});
    assert_int_equal(done_n, 1);
    assert_int_equal(done[2].code, KITH_E_UNKNOWN_OUTCOME);
    step((struct dvar_event){.type = DVAR_CANCEL, .more = true, .id = 1});
    assert_int_equal(done[1].code, KITH_E_UNKNOWN_OUTCOME);
    tick();
    assert_int_equal(done_n, 3);
    assert_int_equal(done[3].code, 0);
    assert_int_equal(done[3].number, 3);
    end();
}

static void the_answer_of_another_home_is_taken_apart(void **state)
{
    (void)state;
    begin(2);
    for (uint64_t id = 1; id <= 3; id++)
        add(id, 7);
    tick();
    struct value_op what;
    uint64_t no = get_le64(sent);
    assert_int_equal(
        value_op_decode(sent + WIRE_REQ_BYTES + 1, sent_len - WIRE_REQ_BYTES - 1, &what), 0);
    assert_int_equal(what.count, 3);
    assert_int_equal(what.delta, 21);
    add(4, 7); /* what has left is not joined any more */
    assert_int_equal(joined_n(), 2);
    uint8_t frame[WIRE_HEAD_BYTES + WIRE_RES_BYTES] = {WIRE_RES, WIRE_APPLIED};
    put_le16(frame + 2, (uint16_t)placement_slot_of("n", 1));
    put_le32(frame + 4, WIRE_RES_BYTES);
    uint8_t *p = frame + WIRE_HEAD_BYTES;
    put_le64(p, no);
    put_le64(p + 8, 1ull << DVAR_SEQ_BITS | 9);
    put_le64(p + 16, 1ull << DVAR_SEQ_BITS | 9);
    put_le64(p + 24, 121);
    put_le64(p + 48, 1);
    step((struct dvar_event){
        .type = DVAR_RECV, .from = boot_of(2), .data = frame, .len = sizeof(frame)});
    assert_int_equal(done_n, 3);
    for (uint64_t id = 1; id <= 3; id++) {
        assert_int_equal(done[id].number, 100 + 7 * id);
        assert_int_equal(done[id].version, (1ull << DVAR_SEQ_BITS) + 6 + id);
    }
    end();
}

static void a_deadline_ends_all_that_joined(void **state)
{
    (void)state;
    begin(2);
    for (uint64_t id = 1; id <= 3; id++)
        add(id, 1);
    tick();
    now_ms += 5001;
    step((struct dvar_event){.type = DVAR_TICK});
    assert_int_equal(done_n, 3);
    for (uint64_t id = 1; id <= 3; id++)
        assert_int_equal(done[id].code, KITH_E_UNKNOWN_OUTCOME);
    end();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(additions_of_a_turn_are_one_write_with_a_version_each),
        cmocka_unit_test(what_does_not_fit_together_is_tried_alone),
        cmocka_unit_test(only_what_goes_the_same_way_joins),
        cmocka_unit_test(beyond_the_limit_another_request_begins),
        cmocka_unit_test(one_that_is_canceled_is_unknown_and_the_others_are_done),
        cmocka_unit_test(the_answer_of_another_home_is_taken_apart),
        cmocka_unit_test(a_deadline_ends_all_that_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Rules of the core one by one, on a keeper that is alone, and on one whose other copy is silent.
 */
#include "core/error.h"
#include "dvar/dvar.h"
#include "lib/test.h"
#include "unit/left_out.h"

static struct dvar_core *core;
static struct placement placement;
static struct dvar_output out;
static uint64_t now_ms;
static uint8_t bytes[DVAR_DATA_BYTES_MAX];

static struct boot_id boot_of(uint8_t n)
{
    struct boot_id boot = {.boot_no = 1};
    boot.node.bytes[0] = n;
    return boot;
}

static int step(struct dvar_event event)
{
    event.now_ms = now_ms;
    event.wall_ms = 1700000000000;
    int r = dvar_step(core, &event, &out);
    dvar_check(core);
    return r;
}

static const struct dvar_action *found(enum dvar_action_type type)
{
    for (size_t i = 0; i < out.actions_n; i++) {
        if (out.actions[i].type == type)
            return &out.actions[i];
    }
    return NULL;
}

static const struct dvar_action *the(enum dvar_action_type type)
{
    static const struct dvar_action nothing;
    const struct dvar_action *action = found(type);
    assert_non_null(action);
    return action != NULL ? action : &nothing;
}

static void begin(const struct dvar_config *settings, uint8_t replicas_n)
{
    struct dvar_config config = *settings;
    config.self = boot_of(1);
    now_ms = 1000;
    assert_int_equal(dvar_new(&core, &config), 0);
    memset(&placement, 0, sizeof(placement));
    placement.epoch = 1;
    placement.keepers_n = replicas_n;
    for (uint32_t i = 0; i < replicas_n; i++)
        placement.keepers[i] =
            (struct placement_keeper){.member_id = i + 1, .boot = boot_of((uint8_t)(i + 1))};
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++)
        placement.slots[i].active = (struct placement_config){
            .slot_epoch = 1, .replicas = {1, 2, 3}, .replicas_n = replicas_n};
    step((struct dvar_event){.type = DVAR_START});
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
    step((struct dvar_event){.type = DVAR_LEASE, .until_ms = now_ms + 3000});
}

static struct dvar_result op(const char *name, struct value_op what)
{
    static uint64_t id;
    step((struct dvar_event){.type = DVAR_OP,
                             .id = ++id,
                             .name = name,
                             .name_len = strlen(name),
                             .op = &what,
                             .deadline_ms = now_ms + 1000});
    const struct dvar_action *done = found(DVAR_DONE);
    return done != NULL ? done->result : (struct dvar_result){.code = 1};
}

static struct value_op set(const void *data, size_t len)
{
    return (struct value_op){
        .kind = VALUE_OP_SET, .type = VALUE_BYTES, .data = data, .data_len = len};
}
static const struct value_op get = {.kind = VALUE_OP_GET};
static const struct value_op add = {.kind = VALUE_OP_ADD, .type = VALUE_I64, .delta = 1};

static void a_lone_home_answers_at_once(void **state)
{
    (void)state;
    begin(&(struct dvar_config){0}, 1);
    assert_int_equal(op("x", get).code, KITH_E_NOT_FOUND);
    struct dvar_result r = op("x", set("abc", 3));
    assert_int_equal(r.code, 0);
    assert_true(r.applied && r.version == ((uint64_t)1 << DVAR_SEQ_BITS | 1));
    r = op("x", get);
    assert_int_equal(r.len, 3);
    assert_memory_equal(r.data, "abc", 3);
    assert_int_equal(op("n", add).number, 1);
    assert_int_equal(op("n", add).number, 2);
    assert_int_equal(op("x", add).code, KITH_E_TYPE);
    assert_int_equal(op("x", (struct value_op){.kind = VALUE_OP_DELETE}).code, 0);
    assert_int_equal(op("x", get).code, KITH_E_NOT_FOUND);
    r = op("x", set("d", 1));
    assert_true(r.version == ((uint64_t)1 << DVAR_SEQ_BITS | 3)); /* goes on where it was */
    dvar_free(core);
}

static struct value_op guarded(struct value_op what, uint64_t fence)
{
    what.flags |= VALUE_OP_FENCE;
    what.mutex = "m";
    what.mutex_len = 1;
    what.fence = fence;
    return what;
}

/* Such a read is a write to the protocol; its caller wants what it read all the same. */
static void a_read_that_raises_the_fence_gives_the_value(void **state)
{
    (void)state;
    begin(&(struct dvar_config){0}, 1);
    struct dvar_result r = op("x", guarded(get, 4));
    assert_int_equal(r.code, KITH_E_NOT_FOUND);
    assert_non_null(r.text);
    assert_true(r.version == 0 && r.type == VALUE_NONE && !r.applied);
    op("x", guarded(set("abc", 3), 4));
    r = op("x", guarded(get, 5));
    assert_int_equal(r.code, 0);
    assert_true(r.applied && r.type == VALUE_BYTES && r.len == 3 && r.value_len > 3);
    assert_memory_equal(r.data, "abc", 3);
    uint64_t version = r.version;
    assert_true(version == ((uint64_t)1 << DVAR_SEQ_BITS | 3));
    r = op("x", guarded(get, 5)); /* raises nothing: a plain read */
    assert_true(r.version == version && r.len == 3 && r.applied);
    assert_int_equal(op("x", guarded(get, 4)).code, KITH_E_FENCE);
    struct value_op slice = {.kind = VALUE_OP_SLICE_GET, .index = 1, .count = 2};
    r = op("x", guarded(slice, 6));
    assert_int_equal(r.len, 2);
    assert_memory_equal(r.data, "bc", 2);
    /* What only looked, and did nothing else, shows what it found. */
    struct value_op cas = set("new", 3);
    cas.kind = VALUE_OP_CAS_VERSION;
    r = op("x", guarded(cas, 7));
    assert_true(r.code == 0 && !r.applied && r.type == VALUE_BYTES && r.len == 3);
    assert_memory_equal(r.data, "abc", 3);
    cas.expect_version = 1;
    r = op("y", guarded(cas, 7));
    assert_true(r.code == 0 && !r.applied && r.type == VALUE_NONE && r.version == 0);
    struct value_op create = {.kind = VALUE_OP_CREATE, .type = VALUE_BYTES};
    r = op("x", guarded(create, 8));
    assert_true(r.code == 0 && !r.applied && r.len == 3);
    dvar_free(core);
}

/* What a section's last operation leaves behind is read where it is, under the next fence. */
static void the_next_holder_reads_without_a_write(void **state)
{
    struct dvar_stats stats;
    (void)state;
    begin(&(struct dvar_config){0}, 1);
    struct value_op last = guarded(set("abc", 3), 4);
    last.flags |= VALUE_OP_LAST;
    uint64_t version = op("x", last).version;
    dvar_stats(core, &stats);
    uint64_t reads = stats.ops_local_reads;
    struct dvar_result r = op("x", guarded(get, 5));
    assert_int_equal(r.code, 0);
    assert_true(r.version == version && r.len == 3 && r.type == VALUE_BYTES);
    dvar_stats(core, &stats);
    assert_true(stats.ops_local_reads == reads + 1);
    assert_int_equal(op("x", guarded(get, 4)).code, KITH_E_FENCE);
    assert_int_equal(op("x", guarded(set("late", 4), 4)).code, KITH_E_FENCE);
    r = op("x", guarded(get, 6)); /* somebody was in between and did not touch it */
    assert_true(r.code == 0 && r.version > version && r.len == 3);
    dvar_free(core);
}

static void without_a_lease_nothing_is_read_here(void **state)
{
    (void)state;
    begin(&(struct dvar_config){0}, 1);
    assert_int_equal(op("x", set("abc", 3)).code, 0);
    now_ms += 3000;
    assert_int_equal(op("x", get).code, 1);
    step((struct dvar_event){.type = DVAR_LEASE, .until_ms = now_ms + 3000});
    assert_non_null(found(DVAR_DONE));
    dvar_free(core);
}

static void a_write_is_answered_when_all_copies_have_it(void **state)
{
    (void)state;
    begin(&(struct dvar_config){0}, 2);
    assert_int_equal(op("x", set("abc", 3)).code, 1);
    assert_non_null(found(DVAR_SEND));
    assert_int_equal(op("x", get).code, 1); /* waits behind it */
    for (int i = 0; i < 6; i++) {
        now_ms = dvar_deadline_ms(core);
        if (now_ms >= 2000)
            break;
        step((struct dvar_event){.type = DVAR_TICK});
        assert_null(found(DVAR_DONE));
    }
    now_ms = 2000;
    step((struct dvar_event){.type = DVAR_TICK});
    assert_int_equal(the(DVAR_DONE)->result.code, KITH_E_UNKNOWN_OUTCOME);
    dvar_free(core);
}

static void a_silent_copy_is_complained_of(void **state)
{
    (void)state;
    begin(&(struct dvar_config){0}, 2);
    op("x", set("abc", 3));
    uint32_t member = 0;
    for (; member == 0 && now_ms < 4000; now_ms += 100) {
        step((struct dvar_event){.type = DVAR_TICK});
        member = found(DVAR_COMPLAIN) != NULL ? found(DVAR_COMPLAIN)->member_id : 0;
    }
    assert_int_equal(member, 2);
    dvar_free(core);
}

static void one_copy_of_three(void)
{
    begin(&(struct dvar_config){0}, 3);
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++)
        placement.slots[i].active =
            (struct placement_config){.slot_epoch = 2, .replicas = {1}, .replicas_n = 1};
    placement.epoch = 2;
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
}

static void a_write_waits_for_copies_until_its_deadline(void **state)
{
    (void)state;
    one_copy_of_three();
    assert_int_equal(op("x", set("abc", 3)).code, 1);
    now_ms += 1000;
    step((struct dvar_event){.type = DVAR_TICK});
    assert_int_equal(the(DVAR_DONE)->result.code, KITH_E_NO_QUORUM);
    assert_int_equal(op("x", get).code, KITH_E_NOT_FOUND);
    /* That there is no quorum says that waiting is in vain. */
    assert_int_equal(op("x", set("abc", 3)).code, 1);
    step((struct dvar_event){.type = DVAR_QUORUM, .have = false});
    assert_int_equal(the(DVAR_DONE)->result.code, KITH_E_NO_QUORUM);
    assert_int_equal(op("x", set("abc", 3)).code, KITH_E_NO_QUORUM);
    dvar_free(core);
}

static void a_write_that_waited_is_done_when_there_are_copies(void **state)
{
    (void)state;
    one_copy_of_three();
    assert_int_equal(op("x", set("abc", 3)).code, 1);
    /* The other keepers are excluded: one copy is all that there may be. */
    placement.keepers[2].state = KEEPER_EXCLUDED;
    placement.epoch = 3;
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
    assert_int_equal(the(DVAR_DONE)->result.code, 0);
    dvar_free(core);
    one_copy_of_three();
    assert_int_equal(op("x", set("abc", 3)).code, 1);
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) /* another node is home, with two copies */
        placement.slots[i].active =
            (struct placement_config){.slot_epoch = 3, .replicas = {2, 3}, .replicas_n = 2};
    placement.epoch = 3;
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
    assert_int_equal(the(DVAR_SEND)->to.bytes[0], 2);
    dvar_free(core);
}

static void a_durable_write_waits_for_the_decision_and_the_disk(void **state)
{
    (void)state;
    begin(&(struct dvar_config){0}, 1);
    struct value_op create = {.kind = VALUE_OP_CREATE, .type = VALUE_I64, .policy = VALUE_DURABLE};
    assert_int_equal(op("d", create).code, 1);
    const struct dvar_action *ask = the(DVAR_SLOT_DURABLE);
    step((struct dvar_event){.type = DVAR_SLOT_DECIDED, .slot = ask->slot});
    assert_null(found(DVAR_DONE));
    const struct dvar_action *persist = the(DVAR_PERSIST);
    /* Another boot recalls it. */
    uint8_t key[DVAR_KEY_BYTES_MAX], value[256];
    size_t key_len = persist->puts[0].key_len, len = persist->puts[0].len;
    memcpy(key, persist->puts[0].key, key_len);
    memcpy(value, persist->puts[0].data, len);
    step((struct dvar_event){.type = DVAR_PERSISTED, .token = persist->token});
    assert_int_equal(the(DVAR_DONE)->result.code, 0);
    step((struct dvar_event){.type = DVAR_DISK_FULL, .full = true});
    assert_int_equal(op("d", add).code, KITH_E_LIMIT);
    dvar_free(core);
    struct dvar_config config = {.self = boot_of(1)};
    assert_int_equal(dvar_new(&core, &config), 0);
    assert_int_equal(
        step((struct dvar_event){
            .type = DVAR_RECALL, .key = key, .key_len = key_len, .data = value, .len = len}),
        0);
    struct dvar_info info;
    dvar_info(core, "d", 1, now_ms, &info);
    assert_true(info.version == ((uint64_t)1 << DVAR_SEQ_BITS | 1) && !info.valid);
    assert_int_equal(
        step((struct dvar_event){
            .type = DVAR_RECALL, .key = key, .key_len = key_len, .data = value, .len = len - 1}),
        KITH_E_CORRUPT);
    dvar_free(core);
}

static uint64_t version_of(const char *name)
{
    struct dvar_info info;
    dvar_info(core, name, strlen(name), now_ms, &info);
    return info.version;
}

/* What was chosen becomes active before the leader knows that one of them has started again. */
static void what_a_chosen_copy_has_on_disk_counts_after_its_restart(void **state)
{
    (void)state;
    begin(&(struct dvar_config){0}, 1);
    struct value_op create = {.kind = VALUE_OP_CREATE, .type = VALUE_I64, .policy = VALUE_DURABLE};
    op("d", create);
    step((struct dvar_event){.type = DVAR_SLOT_DECIDED, .slot = the(DVAR_SLOT_DURABLE)->slot});
    const struct dvar_put *put = &the(DVAR_PERSIST)->puts[0];
    uint8_t key[DVAR_KEY_BYTES_MAX], value[256];
    size_t key_len = put->key_len, len = put->len;
    memcpy(key, put->key, key_len);
    memcpy(value, put->data, len);
    dvar_free(core);

    struct dvar_config config = {.self = {.node = boot_of(1).node, .boot_no = 2}};
    assert_int_equal(dvar_new(&core, &config), 0);
    step((struct dvar_event){
        .type = DVAR_RECALL, .key = key, .key_len = key_len, .data = value, .len = len});
    step((struct dvar_event){.type = DVAR_START});
    placement.keepers_n = 2;
    placement.keepers[1] = (struct placement_keeper){.member_id = 2, .boot = boot_of(2)};
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        placement.slots[i].active =
            (struct placement_config){.slot_epoch = 1, .replicas = {2}, .replicas_n = 1};
        placement.slots[i].chosen =
            (struct placement_config){.slot_epoch = 2, .replicas = {2, 1}, .replicas_n = 2};
    }
    placement.epoch = 2;
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
    assert_null(found(DVAR_PERSIST));
    assert_int_not_equal(version_of("d"), 0);
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        placement.slots[i].active = placement.slots[i].chosen;
        placement.slots[i].chosen = (struct placement_config){0};
    }
    placement.epoch = 3;
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
    assert_null(found(DVAR_PERSIST));
    assert_int_not_equal(version_of("d"), 0);
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) /* it is in none any more */
        placement.slots[i].active =
            (struct placement_config){.slot_epoch = 3, .replicas = {2}, .replicas_n = 1};
    placement.epoch = 4;
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
    assert_int_equal(the(DVAR_PERSIST)->puts[0].len, 0);
    assert_int_equal(version_of("d"), 0);
    dvar_free(core);
}

static void a_watch_hears_of_each_change(void **state)
{
    (void)state;
    begin(&(struct dvar_config){0}, 1);
    step((struct dvar_event){
        .type = DVAR_WATCH, .id = 900, .name = "sensor/", .name_len = 7, .prefix = true});
    op("sensor/a", set("1", 1));
    assert_int_equal(the(DVAR_CHANGED)->id, 900);
    assert_int_equal(the(DVAR_CHANGED)->change.name_len, 8);
    assert_non_null(found(DVAR_SYMBOL));
    op("other", set("1", 1));
    assert_null(found(DVAR_CHANGED));
    step((struct dvar_event){.type = DVAR_UNWATCH, .id = 900});
    op("sensor/a", set("2", 1));
    assert_null(found(DVAR_CHANGED));
    dvar_free(core);
}

static void a_watch_is_told_first_what_exists_and_nobody_else_again(void **state)
{
    (void)state;
    begin(&(struct dvar_config){0}, 1);
    op("x", set("1", 1));
    op("y", set("1", 1));
    op("y", (struct value_op){.kind = VALUE_OP_DELETE});
    step((struct dvar_event){.type = DVAR_WATCH, .id = 900, .prefix = true, .name = ""});
    assert_int_equal(the(DVAR_CHANGED)->id, 900);
    assert_memory_equal(the(DVAR_CHANGED)->change.name, "x", 1);
    step((struct dvar_event){.type = DVAR_WATCH, .id = 901, .name = "x", .name_len = 1});
    assert_int_equal(the(DVAR_CHANGED)->id, 901);
    dvar_free(core);
}

static void what_was_lost_with_its_nodes_is_told(void **state)
{
    (void)state;
    begin(&(struct dvar_config){0}, 1);
    step((struct dvar_event){.type = DVAR_WATCH, .id = 900, .name = "x", .name_len = 1});
    placement.epoch = 2;
    uint32_t slot = placement_slot_of("x", 1);
    placement.slots[slot].generation = 1;
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
    assert_non_null(found(DVAR_LOST));
    struct dvar_result r = op("x", get);
    assert_int_equal(r.code, KITH_E_NOT_FOUND);
    assert_non_null(strstr(r.text, "lost"));
    dvar_free(core);
}

/* Its record is lost with the value: asked for again, it would be done a second time. */
static void a_write_that_may_have_been_lost_is_not_asked_for_again(void **state)
{
    (void)state;
    begin(&(struct dvar_config){0}, 2);
    assert_int_equal(op("x", add).code, 1); /* under way */
    placement.epoch = 2;
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        placement.slots[i].active =
            (struct placement_config){.slot_epoch = 2, .replicas = {2}, .replicas_n = 1};
        placement.slots[i].generation = 1;
    }
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
    assert_int_equal(the(DVAR_DONE)->result.code, KITH_E_UNKNOWN_OUTCOME);
    assert_null(found(DVAR_SEND));
    /* What begins after the loss is asked for at the new home. */
    assert_int_equal(op("x", add).code, 1);
    assert_int_equal(the(DVAR_SEND)->to.bytes[0], 2);
    dvar_free(core);
}

static void choose(uint64_t slot_epoch, uint8_t replicas_n)
{
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++)
        placement.slots[i].chosen = (struct placement_config){
            .slot_epoch = slot_epoch, .replicas = {1, 2, 3}, .replicas_n = replicas_n};
    placement.epoch++;
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
}

static void a_home_whose_membership_ended_stops_to_fill_its_slots(void **state)
{
    (void)state;
    begin(&(struct dvar_config){0}, 2);
    op("x", set("abc", 3)); /* under way */
    choose(2, 1);
    assert_non_null(found(DVAR_SLOT_READY));
    placement.keepers[0].state = KEEPER_ENDED;
    placement.epoch++;
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
    now_ms += 600;
    step((struct dvar_event){.type = DVAR_TICK});
    assert_null(found(DVAR_SLOT_READY));
    dvar_free(core);
    /* And one that nobody chooses any more. */
    begin(&(struct dvar_config){0}, 2);
    choose(2, 2);
    choose(0, 0);
    now_ms += 600;
    step((struct dvar_event){.type = DVAR_TICK});
    assert_null(found(DVAR_SEND));
    dvar_free(core);
}

static uint64_t clock_zero(void)
{
    return 0;
}

static void a_cell_follows_its_variable(void **state)
{
    (void)state;
    uint8_t value[256];
    uint64_t version;
    begin(&(struct dvar_config){0}, 1);
    step((struct dvar_event){.type = DVAR_OPEN, .id = 5, .name = "x", .name_len = 1});
    struct dvar_cell *cell = the(DVAR_OPENED)->cell;
    assert_true(cell_read(cell, value, sizeof(value), &version, clock_zero) == SIZE_MAX);
    op("x", set("abc", 3));
    size_t len = cell_read(cell, value, sizeof(value), &version, clock_zero);
    struct value seen;
    assert_int_equal(value_decode(value, len, &seen), 0);
    assert_memory_equal(seen.data, "abc", 3);
    step((struct dvar_event){.type = DVAR_CLOSE, .cell = cell});
    dvar_free(core);
}

/* x = 1 in a cell of this node, which then slept; @returns the cell. */
static struct dvar_cell *cell_of_a_home_that_slept(void)
{
    begin(&(struct dvar_config){0}, 1);
    step((struct dvar_event){.type = DVAR_OPEN, .id = 5, .name = "x", .name_len = 1});
    struct dvar_cell *cell = the(DVAR_OPENED)->cell;
    op("x", set("1", 1));
    now_ms += 30000;
    placement.keepers_n = 2;
    placement.keepers[1] = (struct placement_keeper){.member_id = 2, .boot = boot_of(2)};
    return cell;
}

static bool is_readable(struct dvar_cell *cell)
{
    uint8_t value[256];
    uint64_t version;
    return cell_read(cell, value, sizeof(value), &version, clock_zero) != SIZE_MAX;
}

/* Hears of what was decided meanwhile, and has a lease again. */
static void wake(void)
{
    placement.epoch = 9;
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
    step((struct dvar_event){.type = DVAR_LEASE, .until_ms = now_ms + 3000});
}

/* state-swarm 27224: its slots had another home for a while, and it was chosen to keep them again.
 * What it has is for the next SYNC; its threads must not read it. */
static void a_copy_of_a_slot_that_went_elsewhere_is_not_read(void **state)
{
    (void)state;
    struct dvar_cell *cell = cell_of_a_home_that_slept();
    assert_true(is_readable(cell));
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        placement.slots[i].active =
            (struct placement_config){.slot_epoch = 5, .replicas = {2}, .replicas_n = 1};
        placement.slots[i].chosen =
            (struct placement_config){.slot_epoch = 6, .replicas = {2, 1}, .replicas_n = 2};
    }
    wake();
    assert_false(is_readable(cell));
    step((struct dvar_event){.type = DVAR_CLOSE, .cell = cell});
    dvar_free(core);
}

/* The same boot, as another member: nothing else was decided of the slots that it had. */
static void a_copy_of_a_membership_that_ended_is_not_read(void **state)
{
    (void)state;
    struct dvar_cell *cell = cell_of_a_home_that_slept();
    placement.keepers[0].state = KEEPER_ENDED;
    placement.keepers[2] = (struct placement_keeper){.member_id = 3, .boot = boot_of(1)};
    placement.keepers_n = 3;
    wake();
    assert_false(is_readable(cell));
    step((struct dvar_event){.type = DVAR_CLOSE, .cell = cell});
    dvar_free(core);
}

static void limits_refuse_with_their_error(void **state)
{
    (void)state;
    begin(&(struct dvar_config){.variables_max = 2}, 1);
    assert_int_equal(op("a", set("1", 1)).code, 0);
    assert_int_equal(op("b", set("1", 1)).code, 0);
    assert_int_equal(op("c", set("1", 1)).code, KITH_E_LIMIT);
    assert_int_equal(op("a", set(bytes, sizeof(bytes))).code, 0);
    dvar_free(core);
    begin(&(struct dvar_config){.held_bytes_max = 1000}, 2);
    int code = 1;
    for (int i = 0; i < 100 && code == 1; i++)
        code = op("a", add).code;
    assert_int_equal(code, KITH_E_BUSY);
    step((struct dvar_event){.type = DVAR_QUORUM, .have = false});
    dvar_free(core);
    begin(&(struct dvar_config){0}, 1);
    for (uint64_t i = 0; i < DVAR_WATCHES_MAX; i++) {
        step((struct dvar_event){.type = DVAR_WATCH, .id = 10000 + i, .name = "w", .name_len = 1});
        assert_null(found(DVAR_DONE));
    }
    step((struct dvar_event){.type = DVAR_WATCH, .id = 9999, .name = "w", .name_len = 1});
    assert_int_equal(the(DVAR_DONE)->result.code, KITH_E_LIMIT);
    dvar_free(core);
}

static void without_a_quorum_operations_end_at_once(void **state)
{
    (void)state;
    begin(&(struct dvar_config){0}, 1);
    step((struct dvar_event){.type = DVAR_LEASE, .until_ms = 0});
    step((struct dvar_event){.type = DVAR_QUORUM, .have = false});
    assert_int_equal(op("x", set("1", 1)).code, KITH_E_NO_QUORUM);
    dvar_free(core);
}

/* What a former boot of it kept is forgotten. */
static void a_former_boot_is_not_this_one(void **state)
{
    (void)state;
    struct dvar_config config = {.self = boot_of(1)};
    begin(&config, 1);
    dvar_free(core);
    config.self.boot_no = 2;
    assert_int_equal(dvar_new(&core, &config), 0);
    step((struct dvar_event){.type = DVAR_START});
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
    step((struct dvar_event){.type = DVAR_LEASE, .until_ms = now_ms + 3000});
    assert_int_equal(op("x", get).code, 1);
    dvar_free(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lone_home_answers_at_once),
        cmocka_unit_test(a_read_that_raises_the_fence_gives_the_value),
        cmocka_unit_test(the_next_holder_reads_without_a_write),
        cmocka_unit_test(without_a_lease_nothing_is_read_here),
        cmocka_unit_test(a_write_is_answered_when_all_copies_have_it),
        cmocka_unit_test(a_silent_copy_is_complained_of),
        cmocka_unit_test(a_write_waits_for_copies_until_its_deadline),
        cmocka_unit_test(a_write_that_waited_is_done_when_there_are_copies),
        cmocka_unit_test(a_durable_write_waits_for_the_decision_and_the_disk),
        cmocka_unit_test(what_a_chosen_copy_has_on_disk_counts_after_its_restart),
        cmocka_unit_test(a_watch_hears_of_each_change),
        cmocka_unit_test(a_watch_is_told_first_what_exists_and_nobody_else_again),
        cmocka_unit_test(a_former_boot_is_not_this_one),
        cmocka_unit_test(what_was_lost_with_its_nodes_is_told),
        cmocka_unit_test(a_write_that_may_have_been_lost_is_not_asked_for_again),
        cmocka_unit_test(a_home_whose_membership_ended_stops_to_fill_its_slots),
        cmocka_unit_test(a_cell_follows_its_variable),
        cmocka_unit_test(a_copy_of_a_slot_that_went_elsewhere_is_not_read),
        cmocka_unit_test(a_copy_of_a_membership_that_ended_is_not_read),
        cmocka_unit_test(limits_refuse_with_their_error),
        cmocka_unit_test(without_a_quorum_operations_end_at_once),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
#ifdef KITH_MUTANTS
    static const struct left_out rules[] = {
        {MUTANT_DVAR_ANY_BOOT, cmocka_unit_test(a_former_boot_is_not_this_one)},
        {MUTANT_DVAR_SILENT_LOSS, cmocka_unit_test(what_was_lost_with_its_nodes_is_told)},
        {MUTANT_DVAR_CHOSEN_FORGETS,
         cmocka_unit_test(what_a_chosen_copy_has_on_disk_counts_after_its_restart)},
        {MUTANT_DVAR_ASK_AFTER_LOSS,
         cmocka_unit_test(a_write_that_may_have_been_lost_is_not_asked_for_again)},
        {MUTANT_DVAR_READS_ON, cmocka_unit_test(a_copy_of_a_slot_that_went_elsewhere_is_not_read)},
        {MUTANT_DVAR_READS_ON, cmocka_unit_test(a_copy_of_a_membership_that_ended_is_not_read)},
    };
    failed += left_out_all(rules, sizeof(rules) / sizeof(rules[0]));
#endif
    return failed;
}

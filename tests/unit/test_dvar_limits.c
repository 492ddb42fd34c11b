/*
 * The limits of variables: what comes one too many is refused with its reason, or dropped and
 * counted.
 */
#include "core/error.h"
#include "dvar/dvar.h"
#include "dvar/watch.h"
#include "dvar/wire.h"
#include "lib/test.h"

static struct dvar_core *core;
static struct placement placement;
static struct dvar_output out;
static uint64_t now_ms;
static uint8_t frame[64 * 1024];

static struct boot_id boot_of(uint32_t n)
{
    struct boot_id boot = {.boot_no = 1};
    put_le32(boot.node.bytes, n);
    return boot;
}

static int stepped(struct dvar_event event)
{
    event.now_ms = now_ms;
    event.wall_ms = 1700000000000;
    return dvar_step(core, &event, &out);
}

static void step(struct dvar_event event)
{
    assert_int_equal(stepped(event), 0);
}

static void place(uint64_t slot_epoch, uint8_t home)
{
    placement.epoch = slot_epoch;
    placement.keepers_n = 3;
    for (uint32_t i = 0; i < 3; i++)
        placement.keepers[i] =
            (struct placement_keeper){.member_id = i + 1, .boot = boot_of(i + 1)};
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++)
        placement.slots[i].active = (struct placement_config){
            .slot_epoch = slot_epoch, .replicas = {home}, .replicas_n = 1};
    step((struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
}

/* Node 1; node @home has the only copies. */
static void begin(uint8_t home)
{
    struct dvar_config config = {.self = boot_of(1), .min_copies = 1};
    now_ms = 1000;
    memset(&placement, 0, sizeof(placement));
    assert_int_equal(dvar_new(&core, &config), 0);
    step((struct dvar_event){.type = DVAR_START});
    place(1, home);
    step((struct dvar_event){.type = DVAR_LEASE, .until_ms = now_ms + 1000000});
}

static void end(void)
{
    dvar_check(core);
    dvar_free(core);
}

static const struct dvar_action *found(enum dvar_action_type type)
{
    for (size_t i = 0; i < out.actions_n; i++) {
        if (out.actions[i].type == type)
            return &out.actions[i];
    }
    return NULL;
}

/* What the last step ended, which must have been something. */
static const struct dvar_result *ended(void)
{
    const struct dvar_action *done = found(DVAR_DONE);
    if (done == NULL) {
        fail_msg("nothing has ended");
        abort();
    }
    return &done->result;
}

/* The result, which must be here at once. */
static struct dvar_result add_to(const char *name)
{
    static const struct value_op add = {.kind = VALUE_OP_ADD, .type = VALUE_I64, .delta = 1};
    static uint64_t id;
    step((struct dvar_event){.type = DVAR_OP,
                             .id = ++id,
                             .name = name,
                             .name_len = strlen(name),
                             .op = &add,
                             .deadline_ms = now_ms + 60000});
    return *ended();
}

static int receive(uint32_t from, uint8_t type, uint32_t slot, size_t len)
{
    frame[0] = type;
    frame[1] = 0;
    put_le16(frame + 2, (uint16_t)slot);
    put_le32(frame + 4, (uint32_t)len);
    return stepped((struct dvar_event){
        .type = DVAR_RECV, .from = boot_of(from), .data = frame, .len = WIRE_HEAD_BYTES + len});
}

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

static struct dvar_stats stats(void)
{
    struct dvar_stats s;
    dvar_stats(core, &s);
    return s;
}

/* ---- at a home ---- */

static void a_million_variables_and_no_more(void **state)
{
    (void)state;
    char name[16];
    begin(1);
    for (uint32_t i = 0; i < DVAR_VARIABLES_MAX; i++) {
        snprintf(name, sizeof(name), "v/%u", i);
        if (add_to(name).code != 0)
            fail_msg("%s was refused", name);
    }
    assert_int_equal(stats().variables, DVAR_VARIABLES_MAX);
    struct dvar_result result = add_to("one more");
    assert_int_equal(result.code, KITH_E_LIMIT);
    assert_string_equal(result.text,
                        "one more: this node holds 1000000 variables, its limit; delete some");
    assert_int_equal(stats().table_full, 1);
    step((struct dvar_event){.type = DVAR_OPEN, .id = 7, .name = "handle", .name_len = 6});
    assert_int_equal(ended()->code, KITH_E_LIMIT);
    assert_non_null(strstr(ended()->text, "handle: "));
    assert_int_equal(add_to("v/999999").number, 2); /* what exists goes on */
    dvar_free(core);
}

/* Node @from asks for "x" to cache it under its session @session. True: it may. */
static bool fetched(uint32_t from, uint64_t session)
{
    static const struct value_op get = {.kind = VALUE_OP_GET};
    struct buf bytes = {0};
    assert_int_equal(value_op_encode(&get, &bytes), 0);
    uint8_t *p = frame + WIRE_HEAD_BYTES;
    put_le64(p, 1);
    put_le64(p + 8, 1);
    put_le64(p + 16, session);
    put_le64(p + 24, 1);
    put_le32(p + 32, 60000);
    put_le32(p + 36, (uint32_t)bytes.len);
    put_le32(p + 40, 1);
    p[WIRE_REQ_BYTES] = 'x';
    memcpy(p + WIRE_REQ_BYTES + 1, bytes.data, bytes.len);
    frame[0] = WIRE_REQ;
    frame[1] = WIRE_FETCH;
    put_le16(frame + 2, (uint16_t)placement_slot_of("x", 1));
    size_t len = WIRE_REQ_BYTES + 1 + bytes.len;
    put_le32(frame + 4, (uint32_t)len);
    buf_deinit(&bytes);
    step((struct dvar_event){
        .type = DVAR_RECV, .from = boot_of(from), .data = frame, .len = WIRE_HEAD_BYTES + len});
    const uint8_t *answer = sent(from, WIRE_RES);
    assert_non_null(answer);
    assert_int_equal(get_le32(answer + 32), 0);
    return (answer[1 - WIRE_HEAD_BYTES] & WIRE_CACHE) != 0;
}

static void so_many_nodes_cache_a_variable_and_others_read_through(void **state)
{
    (void)state;
    struct dvar_info info;
    begin(1);
    assert_int_equal(add_to("x").code, 0);
    for (uint32_t n = 0; n < DVAR_SESSIONS_MAX + 2; n++) {
        put_le64(frame + WIRE_HEAD_BYTES, 1);
        put_le64(frame + WIRE_HEAD_BYTES + 8, 1);
        assert_int_equal(receive(100 + n, WIRE_RENEW, 0, 16), 0);
        assert_true(fetched(100 + n, 1) == (n < DVAR_SESSIONS_MAX));
    }
    dvar_info(core, "x", 1, now_ms, &info);
    assert_int_equal(info.sharers_n, DVAR_SESSIONS_MAX);
    assert_int_equal(stats().sessions, DVAR_SESSIONS_MAX);
    end();
}

/* They are not answered, and nothing of them is kept: they ask again. */
static void so_many_askers_are_known_and_no_more(void **state)
{
    (void)state;
    begin(1);
    for (uint32_t n = 0; n <= DVAR_CLIENTS_MAX; n++) {
        put_le64(frame + WIRE_HEAD_BYTES, 1);
        put_le64(frame + WIRE_HEAD_BYTES + 8, 1);
        int r = receive(100 + n, WIRE_RENEW, 0, 16);
        assert_int_equal(r, n < DVAR_CLIENTS_MAX ? 0 : KITH_E_MEMORY);
    }
    assert_null(sent(100 + DVAR_CLIENTS_MAX, WIRE_GRANT));
    end();
}

/* ---- at a node that watches ---- */

static void watch(uint64_t id, const char *name, size_t len, bool prefix)
{
    step((struct dvar_event){
        .type = DVAR_WATCH, .id = id, .name = name, .name_len = len, .prefix = prefix});
}

static void a_watch_too_many_is_refused_by_name(void **state)
{
    (void)state;
    char name[KITH_NAME_BYTES_MAX];
    size_t names_n = PATTERNS_BYTES_MAX / (sizeof(name) + 6);
    begin(1);
    for (uint64_t i = 0; i < DVAR_WATCHES_MAX; i++) {
        watch(i + 1, "w", 1, false);
        assert_null(found(DVAR_DONE));
    }
    watch(DVAR_WATCHES_MAX + 1, "sensor", 6, true);
    assert_int_equal(ended()->code, KITH_E_LIMIT);
    assert_non_null(strstr(ended()->text, "watch of sensor: "));
    assert_non_null(strstr(ended()->text, "end some"));
    step((struct dvar_event){.type = DVAR_UNWATCH, .id = 1});
    watch(DVAR_WATCHES_MAX + 1, "sensor", 6, true);
    assert_null(found(DVAR_DONE));
    end();
    /* And so many bytes of names: all go in one message. */
    begin(1);
    memset(name, 'n', sizeof(name));
    for (size_t i = 0; i < names_n; i++) {
        watch(i + 1, name, sizeof(name), false);
        assert_null(found(DVAR_DONE));
    }
    watch(names_n + 1, name, sizeof(name), false);
    assert_int_equal(ended()->code, KITH_E_LIMIT);
    end();
}

/* Home @from pushes the @no'th change, of "n<at>", version @at + 1000 of slot epoch 1. True: it is
 * told to the watch. */
static bool pushed(uint32_t from, uint64_t no, uint32_t at)
{
    struct value value = {.type = VALUE_TEXT, .data = (const uint8_t *)"v", .len = 1};
    struct buf bytes = {0};
    char name[16];
    uint8_t *p = frame + WIRE_HEAD_BYTES;
    int name_len = snprintf(name, sizeof(name), "n%u", at);
    assert_int_equal(value_encode(&value, &bytes), 0);
    put_le64(p, no);
    put_le64(p + 8, (UINT64_C(1) << DVAR_SEQ_BITS) + 1000 + at);
    put_le64(p + 16, from); /* its stream */
    put_le64(p + 24, 0);
    put_le64(p + 32, 0); /* nothing is known to be told all: each name is remembered */
    put_le32(p + 40, 0);
    put_le32(p + 44, (uint32_t)name_len);
    put_le32(p + 48, 0);
    memcpy(p + WIRE_PUSH_BYTES, name, (size_t)name_len);
    memcpy(p + WIRE_PUSH_BYTES + name_len, bytes.data, bytes.len);
    size_t len = WIRE_PUSH_BYTES + (size_t)name_len + bytes.len;
    buf_deinit(&bytes);
    assert_int_equal(receive(from, WIRE_PUSH, placement_slot_of(name, (size_t)name_len), len), 0);
    assert_non_null(sent(from, WIRE_PUSH_ACK));
    return found(DVAR_CHANGED) != NULL;
}

/* Beyond the limit the one told longest ago is forgotten, and told again by the next home. */
static void of_so_many_names_it_is_known_what_was_told(void **state)
{
    (void)state;
    begin(2);
    watch(1, "n", 1, true);
    for (uint32_t i = 0; i <= DVAR_TOLD_MAX; i++)
        assert_true(pushed(2, i + 1, i));
    place(2, 3);
    assert_false(pushed(3, 1, 1));
    assert_false(pushed(3, 2, DVAR_TOLD_MAX));
    assert_true(pushed(3, 3, 0));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_variables_and_no_more),
        cmocka_unit_test(so_many_nodes_cache_a_variable_and_others_read_through),
        cmocka_unit_test(so_many_askers_are_known_and_no_more),
        cmocka_unit_test(a_watch_too_many_is_refused_by_name),
        cmocka_unit_test(of_so_many_names_it_is_known_what_was_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

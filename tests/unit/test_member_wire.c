/*
 * Records and datagrams: what is encoded is decoded, what is damaged is refused, at each limit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "test_member_world.h"

#define ABOUT(t)                                                                                   \
    {                                                                                              \
        .type = (t), .id = world_id(5), .boot_no = 7, .n = 300, .value = 70000                     \
    }

static void every_message_comes_back_as_it_was(void **state)
{
    (void)state;
    uint8_t record[MEMBER_RECORD_BYTES_MAX];
    struct world *world = world_new(1, 1, NULL);
    size_t record_len = world_record(world, 0, 3, 9, false, record);
    struct msg msgs[] = {
        {.type = MSG_PING, .seq = 0xfffffffe},
        {.type = MSG_ACK, .seq = 1},
        {.type = MSG_ACK_LOAD,
         .seq = 2,
         .value = 1234,
         .u.load = {.memory_available_bytes = UINT64_C(1) << 40,
                    .load_milli = 1500,
                    .cpu_permille = 999,
                    .queue_len = 7}},
        {.type = MSG_PING_REQ, .seq = 3, .id = world_id(4), .value = 720},
        {.type = MSG_NACK, .seq = 4},
        {.type = MSG_RELAY_ACK, .seq = 5},
        ABOUT(MSG_ALIVE),
        ABOUT(MSG_SUSPECT),
        ABOUT(MSG_FAILED),
        {.type = MSG_FACTS, .n = 12, .value = 34, .u.record = {.data = record, .len = record_len}},
        ABOUT(MSG_REGISTRY),
        ABOUT(MSG_FORGOTTEN),
    };
    const size_t n = sizeof(msgs) / sizeof(msgs[0]);
    msgs[7].accusers_n = MEMBER_ACCUSERS_MAX;
    for (uint64_t i = 0; i < MEMBER_ACCUSERS_MAX; i++)
        msgs[7].accusers[i] = i << 56 | i;
    msgs[8].accusers[0] = 77;
    uint8_t data[4096];
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += wire_encode(data + len, &msgs[i]);
    struct msg back[MEMBER_MESSAGES_MAX];
    assert_int_equal(wire_decode(back, data, len), (int)n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(back[i].type, msgs[i].type);
    assert_int_equal(back[0].seq, 0xfffffffe);
    assert_int_equal(back[2].value, 1234);
    assert_memory_equal(&back[2].u.load, &msgs[2].u.load, sizeof(msgs[2].u.load));
    assert_int_equal(back[3].value, 720);
    assert_int_equal(back[7].n, 300);
    assert_int_equal(back[7].boot_no, 7);
    assert_memory_equal(back[7].accusers, msgs[7].accusers, sizeof(msgs[7].accusers));
    assert_int_equal(back[8].accusers[0], 77);
    assert_int_equal(back[9].n, 12);
    assert_int_equal(back[9].value, 34);
    assert_int_equal(back[9].u.record.boot_no, 3);
    assert_int_equal(back[9].u.record.version, 9);
    struct facts_record whole;
    assert_int_equal(facts_decode(&whole, back[9].u.record.data, back[9].u.record.len), 0);
    assert_string_equal(whole.name, "node-0");
    assert_int_equal(back[10].value, 70000);
    assert_int_equal(back[11].value, 70000);
    /* Cut anywhere, it is one of the shorter whole ones or nothing. */
    for (size_t cut = 0; cut < len; cut++) {
        int got = wire_decode(back, data, cut);
        assert_true(got == KITH_E_CORRUPT || (got > 0 && got < (int)n));
    }
    world_free(world);
}

static void too_many_messages_are_damage(void **state)
{
    (void)state;
    uint8_t data[5 * (MEMBER_MESSAGES_MAX + 1)];
    struct msg msgs[MEMBER_MESSAGES_MAX];
    struct msg ping = {.type = MSG_PING};
    for (size_t i = 0; i <= MEMBER_MESSAGES_MAX; i++)
        wire_encode(data + 5 * i, &ping);
    assert_int_equal(wire_decode(msgs, data, 5 * MEMBER_MESSAGES_MAX), MEMBER_MESSAGES_MAX);
    assert_int_equal(wire_decode(msgs, data, sizeof(data)), KITH_E_CORRUPT);
    assert_int_equal(wire_decode(msgs, data, 0), KITH_E_CORRUPT);
}

static void numbers_out_of_range_are_damage(void **state)
{
    (void)state;
    uint8_t data[256];
    struct msg msgs[MEMBER_MESSAGES_MAX];
    /* An n that nothing could refute. */
    struct msg alive = ABOUT(MSG_ALIVE);
    alive.n = UINT64_MAX - 2;
    assert_int_equal(wire_decode(msgs, data, wire_encode(data, &alive)), 1);
    alive.n = UINT64_MAX - 1;
    assert_int_equal(wire_decode(msgs, data, wire_encode(data, &alive)), KITH_E_CORRUPT);
    /* One accuser too many. */
    struct msg suspect = ABOUT(MSG_SUSPECT);
    suspect.accusers_n = MEMBER_ACCUSERS_MAX;
    size_t len = wire_encode(data, &suspect);
    data[len - 8 * MEMBER_ACCUSERS_MAX - 1] = MEMBER_ACCUSERS_MAX + 1;
    memset(data + len, 0, 8);
    assert_int_equal(wire_decode(msgs, data, len + 8), KITH_E_CORRUPT);
    /* No such type; a varint of eleven bytes; one above 64 bits. */
    data[0] = MSG_FORGOTTEN + 1;
    assert_int_equal(wire_decode(msgs, data, 1), KITH_E_CORRUPT);
    struct reader r;
    uint8_t varint[11] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01};
    r = reader_of(varint, 11);
    wire_read_varint(&r);
    assert_true(r.bad);
    varint[9] = 0x02;
    r = reader_of(varint, 11);
    wire_read_varint(&r);
    assert_true(r.bad);
    varint[9] = 0x01;
    r = reader_of(varint, 11);
    assert_true(wire_read_varint(&r) == UINT64_C(1) << 63);
    assert_false(r.bad);
}

static size_t
encode_facts(const struct member_facts *facts, uint8_t *out, struct facts_record *record)
{
    struct world *world = world_new(1, 1, NULL);
    size_t len = facts_encode(out, &world->nodes[0].config, facts, UINT64_MAX, UINT64_MAX, true);
    world_free(world);
    assert_true(len <= MEMBER_RECORD_BYTES_MAX);
    assert_int_equal(facts_decode(record, out, len), 0);
    return len;
}

static void longest_facts_fit_and_addresses_give_way(void **state)
{
    (void)state;
    struct member_facts facts = world_facts(0);
    memset(facts.name, 'n', MEMBER_NAME_BYTES_MAX);
    facts.name[MEMBER_NAME_BYTES_MAX] = '\0';
    memset(facts.version, 'v', MEMBER_VERSION_BYTES_MAX);
    facts.addresses_n = MEMBER_ADDRESSES_MAX;
    for (int i = 0; i < MEMBER_ADDRESSES_MAX; i++) {
        memset(facts.addresses[i], 'a' + i, KITH_ADDRESS_TEXT_MAX);
        facts.addresses[i][KITH_ADDRESS_TEXT_MAX] = '\0';
    }
    facts.cpus = facts.cores = UINT32_MAX;
    facts.memory_bytes = facts.born_unix_ms = UINT64_MAX;
    assert_int_equal(facts_check(&facts), 0);
    uint8_t bytes[MEMBER_RECORD_BYTES_MAX];
    struct facts_record record;
    encode_facts(&facts, bytes, &record);
    assert_true(record.addresses_n >= 4);
    assert_true(record.addresses_n < MEMBER_ADDRESSES_MAX);
    assert_string_equal(record.addresses, facts.addresses[0]);
    assert_string_equal(record.name, facts.name);
    assert_int_equal(record.cores, UINT32_MAX);
    assert_true((record.flags & FACTS_LEFT) != 0);
    assert_true((record.flags & FACTS_GPU) == 0);
}

static void facts_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct member_facts facts = world_facts(0);
    memset(facts.name, 'n', sizeof(facts.name));
    assert_int_equal(facts_check(&facts), KITH_E_NAME);
    facts = world_facts(0);
    strcpy(facts.name, "two words");
    assert_int_equal(facts_check(&facts), KITH_E_NAME);
    facts.name[0] = '\0';
    assert_int_equal(facts_check(&facts), KITH_E_NAME);
    facts = world_facts(0);
    facts.addresses_n = MEMBER_ADDRESSES_MAX + 1;
    assert_int_equal(facts_check(&facts), KITH_E_INVALID);
    facts = world_facts(0);
    facts.addresses[0][0] = '\0';
    assert_int_equal(facts_check(&facts), KITH_E_INVALID);
    facts = world_facts(0);
    memset(facts.version, 'v', sizeof(facts.version));
    assert_int_equal(facts_check(&facts), KITH_E_INVALID);
    facts = world_facts(0);
    facts.role = 0;
    assert_int_equal(facts_check(&facts), KITH_E_INVALID);
}

static void changed_record_does_not_verify(void **state)
{
    (void)state;
    struct member_facts facts = world_facts(0);
    uint8_t bytes[MEMBER_RECORD_BYTES_MAX];
    struct facts_record record;
    struct member_crypto crypto = world_crypto(NULL);
    size_t len = encode_facts(&facts, bytes, &record);
    assert_true(facts_verify(&record, &crypto));
    for (size_t i = 0; i < len; i++) {
        bytes[i] ^= 1;
        bool holds = facts_decode(&record, bytes, len) == 0 && facts_verify(&record, &crypto);
        assert_false(holds);
        bytes[i] ^= 1;
    }
    for (size_t cut = 0; cut < len; cut++)
        assert_true(facts_decode(&record, bytes, cut) != 0 || !facts_verify(&record, &crypto));
}

static void timing_that_does_not_fit_together_is_refused(void **state)
{
    (void)state;
    struct world *world = world_new(1, 1, NULL);
    struct member_config good = world->nodes[0].config;
    struct member_core *core;
    good.boot_no = 1;
    struct member_config bad[8];
    for (int i = 0; i < 8; i++)
        bad[i] = good;
    bad[0].probe_timeout_max_ms = 1000;
    bad[1].probe_timeout_min_ms = 600;
    bad[2].suspicion_alpha = 1;
    bad[3].suspicion_alpha = MEMBER_ACCUSERS_MAX + 2;
    bad[4].datagram_bytes_max = MEMBER_DATAGRAM_BYTES_MIN - 1;
    bad[5].boot_no = 0;
    bad[6].profile = (enum member_profile)9;
    bad[7].push_pull_interval_ms = 3600 * 1000 + 1;
    for (int i = 0; i < 8; i++)
        assert_int_equal(member_new(&core, &bad[i]), KITH_E_INVALID);
    bad[0] = good;
    bad[0].facts.name[0] = '!';
    assert_int_equal(member_new(&core, &bad[0]), KITH_E_NAME);
    for (enum member_profile profile = MEMBER_LAN; profile <= MEMBER_WAN; profile++) {
        good.profile = profile;
        assert_int_equal(member_new(&core, &good), 0);
        member_check(core);
        member_free(core);
    }
    world_free(world);
}

static void formulas_are_those_of_the_document(void **state)
{
    (void)state;
    struct member_core core = {
        .config = {.suspicion_alpha = 4, .suspicion_beta = 6, .probe_interval_ms = 1000}};
    static const struct {
        size_t n;
        uint64_t min_ms, max_ms;
        uint32_t k;
    } rows[] = {
        {2, 12000, 12000, 0}, {3, 12000, 12000, 0},  {4, 4000, 24000, 2},
        {10, 4000, 24000, 2}, {100, 8000, 48000, 2}, {1000, 12000, 72000, 2},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t min_ms;
        uint64_t max_ms;
        uint32_t k;
        core.here_n = rows[i].n - 1;
        params_suspicion(&core, &min_ms, &max_ms, &k);
        /* log2 is taken to 1/65,536: half a part in ten thousand. */
        assert_in_range(min_ms, rows[i].min_ms - 2, rows[i].min_ms + 2);
        assert_in_range(max_ms, rows[i].max_ms - 12, rows[i].max_ms + 12);
        assert_int_equal(k, rows[i].k);
    }
    /* max - (max - min) * log(c + 1) / log(k + 1) */
    assert_int_equal(params_suspicion_ms(8000, 48000, 2, 0), 48000);
    assert_in_range(params_suspicion_ms(8000, 48000, 2, 1), 22760, 22764);
    assert_int_equal(params_suspicion_ms(8000, 48000, 2, 2), 8000);
    assert_int_equal(params_suspicion_ms(8000, 48000, 2, 9), 8000);
    assert_int_equal(params_retransmits(1), 4);
    assert_int_equal(params_retransmits(9), 4);
    assert_int_equal(params_retransmits(10), 8);
    assert_int_equal(params_retransmits(99), 8);
    assert_int_equal(params_retransmits(100), 12);
    assert_int_equal(params_retransmits(MEMBER_NODES_MAX), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back_as_it_was),
        cmocka_unit_test(too_many_messages_are_damage),
        cmocka_unit_test(numbers_out_of_range_are_damage),
        cmocka_unit_test(longest_facts_fit_and_addresses_give_way),
        cmocka_unit_test(facts_that_cannot_be_are_refused),
        cmocka_unit_test(changed_record_does_not_verify),
        cmocka_unit_test(timing_that_does_not_fit_together_is_refused),
        cmocka_unit_test(formulas_are_those_of_the_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

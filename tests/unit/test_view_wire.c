/*
 * Records and messages as bytes.
 */
#include "view/internal.h"

#include "lib/test.h"

/* The largest there can be. */
static void fill(struct view_record *record)
{
    struct placement *p = &record->placement;
    memset(record, 0, sizeof(*record));
    p->epoch = 5;
    record->next_member_id = 1000;
    record->voters_n = VIEW_VOTERS_MAX;
    for (uint32_t i = 0; i < VIEW_VOTERS_MAX; i++)
        record->voters[i].node.bytes[0] = (uint8_t)i;
    p->keepers_n = PLACEMENT_MEMBERS_MAX;
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        p->keepers[i].member_id = 10 + i;
        p->keepers[i].boot.boot_no = i + 1;
        p->keepers[i].state = (enum keeper_state)(i % 4);
    }
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        p->slots[i].active = (struct placement_config){7, {10, 11, 12 + i % 50}, 3};
        p->slots[i].chosen = (struct placement_config){8, {11, 10, 13}, 3};
        p->slots[i].generation = i;
    }
}

static void largest_record_fits_and_comes_back(void **state)
{
    struct view_record record;
    struct view_record again;
    uint8_t bytes[VIEW_RECORD_BYTES_MAX];
    uint8_t twice[VIEW_RECORD_BYTES_MAX];
    (void)state;
    fill(&record);
    size_t len = view_record_encode(&record, bytes);
    assert_true(len <= VIEW_RECORD_BYTES_MAX);
    assert_int_equal(view_record_decode(&again, bytes, len), 0);
    assert_int_equal(view_record_encode(&again, twice), len);
    assert_memory_equal(bytes, twice, len);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(view_record_decode(&again, bytes, cut), KITH_E_CORRUPT);
}

static int decoded(struct view_record *record)
{
    struct view_record again;
    uint8_t bytes[VIEW_RECORD_BYTES_MAX];
    size_t len = view_record_encode(record, bytes);
    int r = view_record_decode(&again, bytes, len);
    fill(record);
    return r;
}

static void record_that_contradicts_itself_is_damaged(void **state)
{
    struct view_record record;
    (void)state;
    fill(&record);
    assert_int_equal(decoded(&record), 0);
    record.voters_n = 2;
    assert_int_equal(decoded(&record), KITH_E_CORRUPT);
    record.voters[1] = record.voters[0];
    assert_int_equal(decoded(&record), KITH_E_CORRUPT);
    record.placement.keepers[3].member_id = 2;
    assert_int_equal(decoded(&record), KITH_E_CORRUPT);
    record.placement.keepers[63].member_id = 1000; /* not minted yet */
    assert_int_equal(decoded(&record), KITH_E_CORRUPT);
    record.placement.slots[9].active.replicas[1] = 999; /* nobody */
    assert_int_equal(decoded(&record), KITH_E_CORRUPT);
    record.placement.slots[9].active.replicas[1] = 10; /* twice */
    assert_int_equal(decoded(&record), KITH_E_CORRUPT);
    record.placement.slots[9].chosen.slot_epoch = 7;
    assert_int_equal(decoded(&record), KITH_E_CORRUPT);
    record.placement.epoch = 0;
    assert_int_equal(decoded(&record), KITH_E_CORRUPT);
}

static void every_message_comes_back(void **state)
{
    uint8_t bytes[VIEW_MSG_BYTES_MAX];
    uint8_t twice[VIEW_MSG_BYTES_MAX];
    (void)state;
    for (int type = 1; type <= VMSG_LAST; type++) {
        static const uint8_t body[] = {1, 2, 3};
        struct view_msg again;
        struct view_msg msg = {.type = (enum view_msg_type)type,
                               .flags = 3,
                               .epoch = 4,
                               .ballot = {5, {{6}}},
                               .accepted = {7, {{8}}},
                               .t = 9,
                               .boot = 10,
                               .slot_epoch = 11,
                               .number = 12,
                               .expect = 13,
                               .ids_n = VIEW_IDS_MAX,
                               .record = body,
                               .record_len = sizeof(body)};
        size_t len = view_msg_encode(&msg, bytes);
        assert_int_equal(view_msg_decode(&again, bytes, len), 0);
        assert_int_equal(again.type, type);
        assert_int_equal(view_msg_encode(&again, twice), len);
        assert_memory_equal(bytes, twice, len);
        if (again.record == NULL)
            assert_int_equal(view_msg_decode(&again, bytes, len - 1), KITH_E_CORRUPT);
    }
    bytes[1] = VMSG_LAST + 1;
    struct view_msg msg;
    assert_int_equal(view_msg_decode(&msg, bytes, 200), KITH_E_CORRUPT);
}

static void ballots_are_ordered_by_round_then_node(void **state)
{
    struct view_ballot a = {2, {{1}}};
    struct view_ballot b = {2, {{2}}};
    struct view_ballot c = {3, {{0}}};
    (void)state;
    assert_true(view_ballot_compare(&a, &b) < 0);
    assert_true(view_ballot_compare(&c, &b) > 0);
    assert_int_equal(view_ballot_compare(&a, &a), 0);
}

/* Writes what a message of each type looks like, for the corpus. */
static void corpus(void)
{
    const char *dir = getenv("KITH_CORPUS_OUT");
    static struct view_record record;
    static uint8_t record_bytes[VIEW_RECORD_BYTES_MAX];
    static uint8_t bytes[VIEW_MSG_BYTES_MAX];
    char path[512];
    if (dir == NULL)
        return;
    memset(&record, 0, sizeof(record));
    record.placement.epoch = 1;
    record.next_member_id = 2;
    record.voters_n = 1;
    record.placement.keepers_n = 1;
    record.placement.keepers[0].member_id = 1;
    record.placement.keepers[0].boot.boot_no = 1;
    plan_first_slots(&record.placement);
    size_t record_len = view_record_encode(&record, record_bytes);
    for (int type = 0; type <= VMSG_LAST; type++) {
        struct view_msg msg = {.type = (enum view_msg_type)type,
                               .epoch = 4,
                               .ids_n = 2,
                               .record = record_bytes,
                               .record_len = record_len};
        size_t len = type > 0 ? view_msg_encode(&msg, bytes) : record_len;
        (void)snprintf(path, sizeof(path), "%s/%02d", dir, type);
        FILE *file = fopen(path, "wb");
        if (file == NULL)
            return;
        (void)fwrite(type > 0 ? bytes : record_bytes, 1, len, file);
        (void)fclose(file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(largest_record_fits_and_comes_back),
        cmocka_unit_test(record_that_contradicts_itself_is_damaged),
        cmocka_unit_test(every_message_comes_back),
        cmocka_unit_test(ballots_are_ordered_by_round_then_node),
    };
    corpus();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

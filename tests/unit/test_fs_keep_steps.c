/*
 * One core of copies by itself, step by step: what is asked of it by hand (pins) and by those who
 * were sent damage, when it fetches, drops and reads again, and its limits.
 */
#include "core/bytes.h"
#include "fs/keep.h"
#include "kith/error.h"
#include "lib/test.h"

#define MINUTE 60000ull
#define HOUR   (60 * MINUTE)

static struct keep_core *core;
static struct keep_output out;
static const uint64_t wall_ms = 1700000000000;

static void tell(enum keep_event_type type, uint64_t now_ms, uint8_t peer)
{
    struct keep_event event = {
        .type = type, .now_ms = now_ms, .wall_ms = wall_ms + now_ms, .peer = {{peer}}};
    assert_int_equal(keep_step(core, &event, &out), 0);
    keep_check(core);
}

static void show(const struct keep_facts *facts, uint64_t now_ms)
{
    struct keep_event event = {
        .type = KEEP_LOOK, .now_ms = now_ms, .wall_ms = wall_ms + now_ms, .facts = facts};
    assert_int_equal(keep_step(core, &event, &out), 0);
    keep_check(core);
}

/* After a node ended in the middle of a pin: at once, though enough others hold it. */
static void what_is_pinned_is_fetched_from_whoever_is_there(void **state)
{
    (void)state;
    struct keep_config config = {.self = {{1}}};
    struct kith_node_id holder = {{2}};
    struct keep_facts facts = {.content = {.size = 5, .hash = 1, .chunk_log2 = 17},
                               .copies = 1,
                               .live = true,
                               .pinned = true,
                               .holders = &holder,
                               .holders_n = 1};
    assert_int_equal(keep_new(&core, &config), 0);
    tell(KEEP_START, 0, 0);
    show(&facts, 1000);
    assert_true(out.actions_n == 1 && out.actions[0].type == KEEP_SCARCE);
    tell(KEEP_NODE_UP, 1000, 2);
    facts.coming = true; /* by hand: not twice */
    show(&facts, 2000);
    assert_int_equal(out.actions_n, 0);
    facts.coming = false;
    show(&facts, 3000);
    assert_true(out.actions_n == 1 && out.actions[0].type == KEEP_FETCH);
    show(&facts, 4000);
    assert_int_equal(out.actions_n, 0);
    struct keep_event event = {
        .type = KEEP_FETCHED, .now_ms = 5000, .content = facts.content, .code = KITH_E_UNREACHABLE};
    assert_int_equal(keep_step(core, &event, &out), 0);
    show(&facts, 5000 + MINUTE - 1);
    assert_int_equal(out.actions_n, 0);
    show(&facts, 5000 + MINUTE);
    assert_true(out.actions_n == 1 && out.actions[0].type == KEEP_FETCH);
    keep_free(core);
}

/* When a pinned path has another version: what it had goes as any other. */
static void what_no_version_names_goes_though_it_was_pinned(void **state)
{
    (void)state;
    struct keep_config config = {.self = {{1}}};
    struct keep_facts facts = {.content = {.size = 5, .hash = 1, .chunk_log2 = 17},
                               .place = KEEP_KEEP,
                               .pinned = true,
                               .scrubbed_wall_ms = wall_ms + HOUR};
    assert_int_equal(keep_new(&core, &config), 0);
    tell(KEEP_START, 0, 0);
    show(&facts, HOUR);
    assert_true(out.actions_n == 1 && out.actions[0].type == KEEP_NOTE);
    facts.unreferenced_wall_ms = out.actions[0].wall_ms;
    facts.scrubbed_wall_ms = wall_ms + 24 * HOUR;
    show(&facts, 25 * HOUR - 1);
    assert_int_equal(out.actions_n, 0);
    show(&facts, 25 * HOUR);
    assert_true(out.actions_n == 1 && out.actions[0].type == KEEP_DROP);
    keep_free(core);
}

static size_t doubt(uint8_t no, uint64_t now_ms)
{
    uint8_t frame[KEEP_DOUBT_BYTES], root[CONTENT_ROOT_BYTES] = {no};
    struct keep_event event = {.type = KEEP_RECV,
                               .now_ms = now_ms,
                               .wall_ms = wall_ms + now_ms,
                               .peer = {{2}},
                               .data = {frame, sizeof(frame)}};
    keep_doubt_encode(root, 7, frame);
    assert_int_equal(keep_step(core, &event, &out), 0);
    if (out.actions_n > 0) {
        assert_int_equal(out.actions[0].type, KEEP_DOUBT);
        assert_memory_equal(out.actions[0].root, root, sizeof(root));
    }
    return out.actions_n;
}

/* Whoever says that it was sent damage has this node read its copy, once in ten minutes, and what
 * it reads decides. */
static void what_others_had_damaged_is_read_again(void **state)
{
    (void)state;
    struct keep_config config = {.self = {{1}}};
    struct keep_facts facts = {.content = {.size = 5, .hash = 1, .chunk_log2 = 17, .root = {3}},
                               .place = KEEP_KEEP,
                               .copies = 1,
                               .live = true,
                               .scrubbed_wall_ms = wall_ms + HOUR};
    struct keep_event read = {
        .type = KEEP_SCRUBBED, .now_ms = HOUR, .wall_ms = wall_ms + HOUR, .content = facts.content};
    assert_int_equal(keep_new(&core, &config), 0);
    tell(KEEP_START, 0, 0);
    show(&facts, HOUR);
    assert_int_equal(out.actions_n, 0);
    assert_int_equal(doubt(3, HOUR), 1);
    assert_int_equal(doubt(3, HOUR), 0);
    show(&facts, HOUR);
    assert_true(out.actions_n == 1 && out.actions[0].type == KEEP_SCRUB);
    assert_int_equal(keep_step(core, &read, &out), 0); /* it is good: it stays */
    assert_int_equal(out.actions_n, 0);
    show(&facts, HOUR);
    assert_int_equal(out.actions_n, 0);
    /* Of a copy in a folder likewise; of what is not here nothing is read. */
    facts.place = KEEP_FOLDER;
    assert_int_equal(doubt(3, HOUR + FS_KEEP_DOUBT_MS - 1), 0);
    assert_int_equal(doubt(3, HOUR + FS_KEEP_DOUBT_MS), 1);
    show(&facts, HOUR + FS_KEEP_DOUBT_MS);
    assert_true(out.actions_n == 1 && out.actions[0].type == KEEP_SCRUB);
    read.code = KITH_E_CORRUPT;
    read.now_ms = HOUR + FS_KEEP_DOUBT_MS;
    assert_int_equal(keep_step(core, &read, &out), 0);
    assert_true(out.actions_n == 1 && out.actions[0].type == KEEP_DAMAGE);
    /* So many in all. */
    for (unsigned i = 0; i < FS_KEEP_DOUBTS_MAX + 10; i++)
        assert_int_equal(doubt((uint8_t)(100 + i), 3 * HOUR), i < FS_KEEP_DOUBTS_MAX);
    assert_int_equal(doubt(200, 4 * HOUR), 1);
    keep_check(core);
    keep_free(core);
}

static void a_node_fetches_nothing_before_it_and_others_have_been_up_for_ten_minutes(void **state)
{
    (void)state;
    struct keep_config config = {.self = {{1}}};
    struct kith_node_id holder = {{2}};
    struct keep_facts facts = {.content = {.size = 5, .hash = 1, .chunk_log2 = 17},
                               .copies = 2,
                               .live = true,
                               .holders = &holder,
                               .holders_n = 1};
    assert_int_equal(keep_new(&core, &config), 0);
    tell(KEEP_START, 1000, 0);
    tell(KEEP_NODE_UP, 1000, 2);
    show(&facts, 1000 + 10 * MINUTE - 1);
    assert_int_equal(out.actions_n, 0);
    show(&facts, 1000 + 10 * MINUTE);
    assert_int_equal(out.actions_n, 1);
    assert_int_equal(out.actions[0].type, KEEP_FETCH);
    assert_int_equal(out.actions[0].holders_n, 1);
    show(&facts, 1000 + 11 * MINUTE); /* once */
    assert_int_equal(out.actions_n, 0);
    keep_free(core);
}

static void a_full_keep_leaves_it_to_the_next(void **state)
{
    (void)state;
    struct keep_config config = {.self = {{1}}, .bytes_max = 100};
    struct kith_node_id holder = {{2}};
    struct keep_facts facts = {.content = {.size = 50, .hash = 1, .chunk_log2 = 17},
                               .copies = 2,
                               .live = true,
                               .holders = &holder,
                               .holders_n = 1};
    struct keep_event used = {.type = KEEP_USED, .bytes = 51};
    assert_int_equal(keep_new(&core, &config), 0);
    tell(KEEP_START, 1000, 0);
    tell(KEEP_NODE_UP, 1000, 2);
    assert_int_equal(keep_step(core, &used, &out), 0);
    show(&facts, HOUR);
    assert_int_equal(out.actions_n, 0);
    used.bytes = 50;
    assert_int_equal(keep_step(core, &used, &out), 0);
    show(&facts, HOUR);
    assert_int_equal(out.actions_n, 1);
    keep_free(core);
}

static void unreferenced_content_goes_after_a_day_of_which_an_hour_was_seen(void **state)
{
    (void)state;
    struct keep_config config = {.self = {{1}}};
    struct keep_facts facts = {.content = {.size = 5, .hash = 1, .chunk_log2 = 17},
                               .place = KEEP_KEEP,
                               .scrubbed_wall_ms = wall_ms};
    assert_int_equal(keep_new(&core, &config), 0);
    tell(KEEP_START, 1000, 0);
    show(&facts, 1000);
    assert_int_equal(out.actions_n, 1);
    assert_int_equal(out.actions[0].type, KEEP_NOTE);
    facts.unreferenced_wall_ms = out.actions[0].wall_ms;
    show(&facts, 1000 + 24 * HOUR - 1);
    assert_int_equal(out.actions_n, 0);
    show(&facts, 1000 + 24 * HOUR);
    assert_int_equal(out.actions_n, 1);
    assert_int_equal(out.actions[0].type, KEEP_DROP);
    keep_free(core);
    /* The next boot, with a clock that jumped a year ahead: not before an hour. */
    assert_int_equal(keep_new(&core, &config), 0);
    tell(KEEP_START, 1000, 0);
    facts.unreferenced_wall_ms = wall_ms - 365 * 24 * HOUR;
    show(&facts, 1000);
    assert_int_equal(out.actions_n, 0);
    facts.live = true; /* named again */
    facts.copies = 1;
    show(&facts, HOUR);
    assert_int_equal(out.actions_n, 1);
    assert_int_equal(out.actions[0].type, KEEP_NOTE);
    assert_int_equal(out.actions[0].wall_ms, 0);
    facts.live = false;
    facts.unreferenced_wall_ms = wall_ms - 365 * 24 * HOUR;
    show(&facts, 2 * HOUR);
    assert_int_equal(out.actions_n, 0);
    show(&facts, 3 * HOUR);
    assert_int_equal(out.actions_n, 1);
    keep_free(core);
}

static void a_hundredth_is_read_again_each_day(void **state)
{
    (void)state;
    struct keep_config config = {.self = {{1}}};
    unsigned days[101] = {0};
    uint64_t scrubbed_ms[2000];
    assert_int_equal(keep_new(&core, &config), 0);
    for (unsigned i = 0; i < 2000; i++)
        scrubbed_ms[i] = wall_ms;
    tell(KEEP_START, 0, 0);
    for (uint64_t hour = 0; hour < 101 * 24; hour++) {
        for (unsigned i = 0; i < 2000; i++) {
            struct keep_facts facts = {.content = {.size = 5, .hash = 1, .chunk_log2 = 17},
                                       .place = KEEP_KEEP,
                                       .copies = 1,
                                       .live = true,
                                       .scrubbed_wall_ms = scrubbed_ms[i]};
            put_le32(facts.content.root, i);
            show(&facts, hour * HOUR);
            if (out.actions_n == 0)
                continue;
            assert_int_equal(out.actions[0].type, KEEP_SCRUB);
            scrubbed_ms[i] = wall_ms + hour * HOUR;
            days[hour / 24]++;
            struct keep_event event = {.type = KEEP_SCRUBBED,
                                       .now_ms = hour * HOUR,
                                       .wall_ms = wall_ms + hour * HOUR,
                                       .content = facts.content};
            assert_int_equal(keep_step(core, &event, &out), 0);
        }
    }
    unsigned all = 0;
    for (unsigned day = 0; day < 101; day++) {
        all += days[day];
        assert_true(days[day] < 50); /* of 20 on average */
    }
    assert_in_range(all, 1960, 2040);
    keep_free(core);
}

/* By a clock that was a year ahead, and was set back. */
static void what_was_read_in_the_future_is_read_again(void **state)
{
    (void)state;
    struct keep_config config = {.self = {{1}}};
    struct keep_facts facts = {.content = {.size = 5, .hash = 1, .chunk_log2 = 17},
                               .place = KEEP_KEEP,
                               .copies = 1,
                               .live = true,
                               .scrubbed_wall_ms = wall_ms + 365 * 24 * HOUR};
    assert_int_equal(keep_new(&core, &config), 0);
    tell(KEEP_START, 0, 0);
    show(&facts, HOUR);
    assert_int_equal(out.actions_n, 1);
    assert_int_equal(out.actions[0].type, KEEP_SCRUB);
    facts.scrubbed_wall_ms = wall_ms + HOUR; /* once */
    struct keep_event event = {
        .type = KEEP_SCRUBBED, .now_ms = HOUR, .wall_ms = wall_ms + HOUR, .content = facts.content};
    assert_int_equal(keep_step(core, &event, &out), 0);
    show(&facts, HOUR + 1);
    assert_int_equal(out.actions_n, 0);
    keep_free(core);
}

static uint64_t lacking_after(struct keep_facts *facts, uint8_t place, bool live)
{
    struct keep_stats stats;

    facts->place = place;
    facts->live = live;
    show(facts, HOUR);
    keep_stats(core, &stats);
    return stats.lacking;
}

static void missing_copies_are_remembered_where_one_could_be_made(void **state)
{
    struct keep_config config = {.self = {{1}}, .pending_max = 10, .fetches_max = 4};
    struct kith_node_id holder = {{2}};
    struct keep_facts facts = {.content = {.size = 5, .hash = 1, .chunk_log2 = 17},
                               .copies = 3,
                               .holders = &holder,
                               .holders_n = 1};

    (void)state;
    assert_int_equal(keep_new(&core, &config), 0);
    tell(KEEP_START, 0, 0);
    tell(KEEP_NODE_UP, 0, 2);
    assert_int_equal(lacking_after(&facts, KEEP_FOLDER, true), 0);
    assert_int_equal(lacking_after(&facts, KEEP_NOWHERE, true), 1);
    assert_int_equal(lacking_after(&facts, KEEP_KEEP, true), 0);
    assert_int_equal(lacking_after(&facts, KEEP_NOWHERE, true), 1);
    assert_int_equal(lacking_after(&facts, KEEP_NOWHERE, false), 0);
    assert_int_equal(lacking_after(&facts, KEEP_NOWHERE, true), 1);
    facts.copies = 1;
    assert_int_equal(lacking_after(&facts, KEEP_NOWHERE, true), 0);
    keep_free(core);
}

static void limits_hold_and_damage_is_refused(void **state)
{
    (void)state;
    struct keep_config config = {.self = {{1}}, .pending_max = 10, .fetches_max = 4};
    struct kith_node_id holder = {{2}};
    struct keep_stats stats;
    assert_int_equal(keep_new(&core, &config), 0);
    tell(KEEP_START, 0, 0);
    tell(KEEP_NODE_UP, 0, 2);
    for (unsigned i = 0; i < 20; i++) {
        struct keep_facts facts = {.content = {.size = 5, .hash = 1, .chunk_log2 = 17},
                                   .copies = 2,
                                   .live = true,
                                   .holders = &holder,
                                   .holders_n = 1};
        facts.content.root[0] = (uint8_t)i;
        show(&facts, HOUR);
        assert_int_equal(out.actions_n, i < 4);
    }
    keep_stats(core, &stats);
    assert_true(stats.lacking == 10 && stats.pending == 4);
    assert_true(stats.fetches == 4 && stats.full == 10);
    /* Questions: so many are looked into at once. */
    uint8_t frame[41 * (FS_KEEP_QUESTIONS_MAX + 1)];
    memset(frame, 1, sizeof(frame));
    struct keep_event event = {.type = KEEP_RECV, .peer = {{2}}, .data = {frame, sizeof(frame)}};
    assert_int_equal(keep_step(core, &event, &out), KITH_E_CORRUPT);
    event.data.len = 41 * FS_KEEP_QUESTIONS_MAX;
    assert_int_equal(keep_step(core, &event, &out), 0);
    assert_int_equal(out.actions_n, FS_KEEP_QUESTIONS_MAX);
    event.data.len = 41;
    assert_int_equal(keep_step(core, &event, &out), 0);
    assert_int_equal(out.actions_n, 0);
    keep_check(core);
    for (size_t len = 0; len < 41; len++) {
        event.data.len = len;
        assert_int_equal(keep_step(core, &event, &out), KITH_E_CORRUPT);
    }
    event.data.len = 41;
    frame[0] = 6;
    assert_int_equal(keep_step(core, &event, &out), KITH_E_CORRUPT);
    keep_free(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_pinned_is_fetched_from_whoever_is_there),
        cmocka_unit_test(what_no_version_names_goes_though_it_was_pinned),
        cmocka_unit_test(what_others_had_damaged_is_read_again),
        cmocka_unit_test(a_node_fetches_nothing_before_it_and_others_have_been_up_for_ten_minutes),
        cmocka_unit_test(a_full_keep_leaves_it_to_the_next),
        cmocka_unit_test(unreferenced_content_goes_after_a_day_of_which_an_hour_was_seen),
        cmocka_unit_test(a_hundredth_is_read_again_each_day),
        cmocka_unit_test(what_was_read_in_the_future_is_read_again),
        cmocka_unit_test(missing_copies_are_remembered_where_one_could_be_made),
        cmocka_unit_test(limits_hold_and_damage_is_refused),
    };
    return cmocka_run_group_tests_name("fs_keep_steps", tests, NULL, NULL);
}

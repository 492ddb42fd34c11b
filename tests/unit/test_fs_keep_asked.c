/*
 * Copies of which something is asked: by hand (pins), and by those who were sent damage.
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_pinned_is_fetched_from_whoever_is_there),
        cmocka_unit_test(what_others_had_damaged_is_read_again),
    };
    return cmocka_run_group_tests_name("fs_keep_asked", tests, NULL, NULL);
}

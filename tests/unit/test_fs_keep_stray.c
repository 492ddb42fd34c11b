/* Copies: a file of the keep of which no record tells; and who of several makes a copy. */
#include "core/bytes.h"
#include "fs/keep.h"
#include "kith/error.h"
#include "lib/test.h"

#define MINUTE 60000ull
#define HOUR   (60 * MINUTE)

static struct keep_core *core;
static struct keep_output out;
static const uint64_t wall_ms = 1700000000000;

static void step(struct keep_event *event, uint64_t now_ms)
{
    event->now_ms = now_ms;
    event->wall_ms = wall_ms + now_ms;
    assert_int_equal(keep_step(core, event, &out), 0);
    keep_check(core);
}

static void tell(enum keep_event_type type, uint64_t now_ms, uint8_t peer)
{
    step(&(struct keep_event){.type = type, .peer = {{peer}}}, now_ms);
}

static void show(const struct keep_facts *facts, uint64_t now_ms)
{
    step(&(struct keep_event){.type = KEEP_LOOK, .facts = facts}, now_ms);
}

static void adopted(const struct content *content, uint64_t now_ms, int code)
{
    step(&(struct keep_event){.type = KEEP_ADOPTED, .content = *content, .code = code}, now_ms);
}

/* A file of the keep of which no record tells: nobody may count on it, and it does not go. */
static void a_stray_waits_for_a_version_and_is_taken_in(void **state)
{
    (void)state;
    struct keep_config config = {.self = {{1}}};
    struct kith_node_id holder = {{2}};
    struct keep_facts facts = {.content = {.size = 5, .hash = 1, .chunk_log2 = 17},
                               .place = KEEP_STRAY};
    struct keep_facts other = facts;
    uint8_t ask[41] = {1};
    struct keep_stats stats;

    other.content.root[0] = 1;
    assert_int_equal(keep_new(&core, &config), 0);
    tell(KEEP_START, 1000, 0);
    tell(KEEP_NODE_UP, 1000, 2);
    show(&facts, 1000);
    assert_int_equal(out.actions_n, 1);
    assert_int_equal(out.actions[0].type, KEEP_NOTE);
    facts.unreferenced_wall_ms = out.actions[0].wall_ms;
    show(&facts, 23 * HOUR);
    assert_int_equal(out.actions_n, 0);
    /* Its version comes in time. It is read before it counts, and nothing is fetched. */
    facts.live = true;
    facts.copies = 2;
    facts.holders = &holder;
    facts.holders_n = 1;
    show(&facts, 24 * HOUR);
    assert_int_equal(out.actions_n, 2);
    assert_int_equal(out.actions[0].type, KEEP_NOTE);
    assert_int_equal(out.actions[0].wall_ms, 0);
    assert_int_equal(out.actions[1].type, KEEP_ADOPT);
    facts.unreferenced_wall_ms = 0;
    show(&facts, 24 * HOUR + 1);
    assert_int_equal(out.actions_n, 0);
    other.live = true;
    other.copies = 1;
    show(&other, 24 * HOUR + 1); /* one at a time */
    assert_int_equal(out.actions_n, 0);
    /* Who asks meanwhile is told that it is not here. */
    struct keep_event event = {.type = KEEP_RECV, .now_ms = 24 * HOUR + 1, .peer = holder};
    event.data = (struct kith_bytes){ask, sizeof(ask)};
    assert_int_equal(keep_step(core, &event, &out), 0);
    assert_int_equal(out.actions[0].type, KEEP_CHECK);
    event = (struct keep_event){.type = KEEP_CHECKED,
                                .now_ms = 24 * HOUR + 1,
                                .token = out.actions[0].token,
                                .place = KEEP_STRAY};
    assert_int_equal(keep_step(core, &event, &out), 0);
    assert_int_equal(((const uint8_t *)out.actions[0].data.data)[0], 4);
    adopted(&facts.content, 24 * HOUR + 2, 0);
    keep_stats(core, &stats);
    assert_int_equal(stats.adopted, 1);
    /* The next one; what comes to nothing is tried again a minute later. */
    show(&other, 24 * HOUR + 3);
    assert_int_equal(out.actions_n, 1);
    assert_int_equal(out.actions[0].type, KEEP_ADOPT);
    adopted(&other.content, 24 * HOUR + 4, KITH_E_AGAIN);
    show(&other, 24 * HOUR + 3 + MINUTE);
    assert_int_equal(out.actions_n, 0);
    show(&other, 24 * HOUR + 4 + MINUTE);
    assert_int_equal(out.actions_n, 1);
    keep_free(core);
}

/* A root for which node 1 is the first, or the last, of 1, 3 and 4. */
static void rank_self(struct content *content, bool first)
{
    const struct kith_node_id self = {{1}}, three = {{3}}, four = {{4}};
    for (uint8_t i = 0; i < UINT8_MAX; i++) {
        content->root[0] = i;
        uint64_t own = keep_rank(content->root, &self);
        if ((own > keep_rank(content->root, &three)) == first &&
            (own > keep_rank(content->root, &four)) == first)
            return;
    }
    fail();
}

static bool fetches(const struct keep_facts *facts)
{
    struct keep_config config = {.self = {{1}}};
    assert_int_equal(keep_new(&core, &config), 0);
    tell(KEEP_START, 1000, 0);
    for (uint8_t i = 2; i <= 4; i++)
        tell(KEEP_NODE_UP, 1000, i);
    show(facts, 1000 + 10 * MINUTE);
    bool does = out.actions_n == 1 && out.actions[0].type == KEEP_FETCH;
    assert_int_equal(out.actions_n, does);
    keep_free(core);
    return does;
}

static void who_has_another_version_of_it_comes_first(void **state)
{
    (void)state;
    struct kith_node_id holder = {{2}}, near[] = {{{3}}, {{4}}};
    struct keep_facts facts = {.content = {.size = 5, .hash = 1, .chunk_log2 = 17},
                               .copies = 2,
                               .live = true,
                               .holders = &holder,
                               .holders_n = 1,
                               .near = near};
    rank_self(&facts.content, true);
    assert_true(fetches(&facts));
    facts.near_n = 1;
    assert_false(fetches(&facts));
    facts.near_self = true; /* both have one: by rank */
    assert_true(fetches(&facts));
    rank_self(&facts.content, false);
    assert_false(fetches(&facts));
    facts.near_n = 0;
    assert_true(fetches(&facts));
    facts.near_self = false;
    assert_false(fetches(&facts));
    facts.near_n = 2;
    facts.copies = 4; /* there is room for three more */
    assert_true(fetches(&facts));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stray_waits_for_a_version_and_is_taken_in),
        cmocka_unit_test(who_has_another_version_of_it_comes_first),
    };
    return cmocka_run_group_tests_name("fs_keep_stray", tests, NULL, NULL);
}

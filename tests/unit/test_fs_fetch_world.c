/*
 * Fetching and serving in a world in memory (fs_fetch_world.h): holders go, lie, damage, send more
 * than they should and say nothing; links break; disks fill up and forget; nodes crash and go on
 * where they were. At every step the bounds of memory hold, nothing wrong is written, nobody honest
 * is blamed; in the end everything that was wanted is there, byte for byte.
 *
 * Built twice: plain, and with the switches of core/mutant.h, where the same runs must fail.
 */
#include "core/mutant.h"
#include "fs_fetch_world.h"
#ifdef KITH_MUTANTS
#include "unit/caught.h"
#endif

#define KIB    1024ull
#define MIB    (1024 * KIB)
#define SECOND 1000000ull

/* ---- faults ---- */

static void random_items(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        static const uint64_t sizes[] = {0, 1, 1000, 128 * 1024, 128 * 1024 + 1};
        uint64_t kind = rng_below(&w.rng, 8);
        uint64_t size = kind < 5 ? sizes[kind] : rng_below(&w.rng, 3 * MIB);
        size_t item = world_item(size, kind == 6 ? 3 : 0);
        w.nodes[0].has[item] = true;
        for (unsigned k = 1; k < w.nodes_n; k++)
            w.nodes[k].has[item] = w.nodes[k].kind != HONEST || rng_below(&w.rng, 3) == 0;
    }
}

static void fault(void)
{
    unsigned i = (unsigned)rng_below(&w.rng, w.nodes_n);
    unsigned k = (unsigned)rng_below(&w.rng, w.nodes_n);
    switch (rng_below(&w.rng, 7)) {
    case 0:
        w.cut[i][k] = w.cut[k][i] = true;
        world_link(i, k, false);
        return;
    case 1:
    case 2:
        w.cut[i][k] = w.cut[k][i] = false;
        world_link(i, k, rng_below(&w.rng, 2) == 0);
        return;
    case 3:
        w.nodes[i].disk_full = !w.nodes[i].disk_full;
        return;
    case 4:
        if (w.nodes[i].up)
            world_node_crash(i);
        else
            world_node_start(i);
        return;
    default:
        if (!w.nodes[i].up)
            world_node_start(i);
    }
}

static void operate(void)
{
    unsigned i = (unsigned)rng_below(&w.rng, w.nodes_n);
    size_t item = rng_below(&w.rng, w.items_n);
    struct fetching *f = &w.nodes[i].fetchings[item];
    uint64_t size = w.items[item].content.size;
    if (!w.nodes[i].up || (w.nodes[i].has[item] && f->id == 0))
        return;
    if (f->id != 0) {
        if (rng_below(&w.rng, 6) == 0)
            world_cancel(i, item);
        else if (rng_below(&w.rng, 3) == 0)
            world_tell_holders(i, item);
        return;
    }
    uint64_t offset = rng_below(&w.rng, 3) == 0 && size > 0 ? rng_below(&w.rng, size) : 0;
    uint64_t len = offset > 0 ? 1 + rng_below(&w.rng, size - offset) : 0;
    uint8_t priority = (uint8_t)rng_below(&w.rng, FETCH_PRIORITIES);
    world_fetch(i, item, offset, len, priority, rng_below(&w.rng, 3) > 0 ? FETCH_WAIT : 0);
}

static void heal(void)
{
    w.refusals = false;
    memset(w.cut, 0, sizeof(w.cut));
    for (unsigned i = 0; i < w.nodes_n; i++) {
        w.nodes[i].disk_full = false;
        if (!w.nodes[i].up)
            world_node_start(i);
    }
    for (unsigned i = 0; i < w.nodes_n; i++)
        for (unsigned k = 0; k < i; k++)
            world_link(i, k, true);
}

static const char *run_chaos(uint64_t seed)
{
    world_begin(seed, 5, MIB);
    w.refusals = true;
    w.lists_bytes_max = 1000; /* one of the larger lists, or a few of the others */
    for (unsigned i = 2; i < w.nodes_n; i++)
        w.nodes[i].kind = (enum holder_kind)rng_below(&w.rng, SAYS_NO + 1);
    random_items(8);
    for (unsigned i = 0; i < w.nodes_n; i++)
        world_node_start(i);
    for (unsigned turn = 0; turn < 300 && w.problem == NULL; turn++) {
        operate();
        if (rng_below(&w.rng, 8) == 0)
            fault();
        world_until(w.now_us + rng_below(&w.rng, SECOND / 5));
    }
    heal();
    if (w.problem == NULL && !world_settle(w.now_us + 600 * SECOND) && w.problem == NULL)
        world_fail("not all that is wanted came within ten minutes after the faults");
    const char *problem = w.problem;
    world_end();
    return problem;
}

/* A node that crashes in the middle, whose disk forgets what was not synced, and its next life. */
static const char *run_resume(uint64_t seed)
{
    world_begin(seed, 3, 8 * MIB);
    size_t item = world_item(12 * MIB + 77, 0);
    w.nodes[1].has[item] = w.nodes[2].has[item] = true;
    for (unsigned i = 0; i < 3; i++)
        world_node_start(i);
    world_fetch(0, item, 0, 0, FETCH_ORDINARY, FETCH_WAIT);
    world_until(w.now_us + SECOND * 45 / 100);
    uint64_t before = w.nodes[0].got[1] + w.nodes[0].got[2];
    if (w.problem == NULL) {
        world_node_crash(0);
        world_node_start(0);
        (void)world_settle(w.now_us + 60 * SECOND);
    }
    uint64_t all = w.nodes[0].got[1] + w.nodes[0].got[2];
    if (w.problem == NULL && !w.nodes[0].has[item])
        world_fail("it did not come");
    if (w.problem == NULL && (before < 4 * MIB || all > 12 * MIB + before * 3 / 4))
        world_fail("of %llu bytes that were there before the crash too few were used (%llu came)",
                   (unsigned long long)before, (unsigned long long)all);
    const char *problem = w.problem;
    world_end();
    return problem;
}

#ifndef KITH_MUTANTS

static void all_pass(const char *(*run)(uint64_t seed), uint64_t seeds_n)
{
    uint64_t first = test_seed();
    for (uint64_t seed = first; seed < first + seeds_n; seed++) {
        const char *problem = run(seed);
        if (problem != NULL)
            fail_msg("seed %llu: %s", (unsigned long long)seed, problem);
    }
}

static void whatever_happens_everything_comes_as_it_was(void **state)
{
    (void)state;
    all_pass(run_chaos, 30);
}

static void a_fetch_goes_on_after_a_crash(void **state)
{
    (void)state;
    all_pass(run_resume, 5);
}

/* ---- figures, in virtual time ---- */

static uint64_t time_of(unsigned holders, uint64_t size, uint64_t rate, uint64_t latency_us)
{
    world_begin(1, holders + 1, 64 * MIB);
    w.latency_us = latency_us;
    w.checks = false;
    size_t item = world_item(size, 0);
    for (unsigned i = 0; i <= holders; i++) {
        w.nodes[i].rate = rate;
        w.nodes[i].has[item] = i > 0;
    }
    for (unsigned i = 0; i <= holders; i++)
        world_node_start(i);
    uint64_t begin_us = w.now_us;
    world_fetch(0, item, 0, 0, FETCH_ORDINARY, 0);
    while (w.nodes[0].fetchings[item].id != 0 && world_one(UINT64_MAX - 1))
        continue;
    assert_null(w.problem);
    assert_true(w.nodes[0].has[item]);
    uint64_t took_us = w.nodes[0].fetchings[item].done_us - begin_us;
    world_end();
    return took_us;
}

static void compare(uint64_t size, uint64_t latency_us)
{
    uint64_t one = time_of(1, size, 12500, latency_us); /* 100 Mbit/s */
    uint64_t two = time_of(2, size, 12500, latency_us);
    uint64_t three = time_of(3, size, 12500, latency_us);
    print_message(
        "%3llu MiB, %2llu ms: one holder %llu ms (the link: %llu), two %.2f x, three %.2f "
        "x\n",
        (unsigned long long)(size / MIB), (unsigned long long)(latency_us / 1000),
        (unsigned long long)one / 1000, (unsigned long long)size / 12500, (double)one / (double)two,
        (double)one / (double)three);
    /* Of little over a long way the way is the limit. */
    assert_true(two * 3 <= one * 2 || size < 8 * MIB);
    assert_true(three < two);
}

static void two_holders_are_faster_than_one(void **state)
{
    (void)state;
    compare(4 * MIB, 1000);
    compare(4 * MIB, 50000);
    compare(24 * MIB, 1000);
    compare(24 * MIB, 50000);
    compare(64 * MIB, 50000);
}

/* Three holders, one of which is forty times slower: it must not keep the others waiting. */
static void a_slow_holder_does_not_slow_the_others(void **state)
{
    (void)state;
    uint64_t took[2];
    for (unsigned slow = 0; slow < 2; slow++) {
        world_begin(1, 4, 64 * MIB);
        size_t item = world_item(24 * MIB, 0);
        for (unsigned i = 0; i < 4; i++) {
            w.nodes[i].rate = i == 3 ? 300 : 12500;
            w.nodes[i].has[item] = i > 0 && (slow == 1 || i < 3);
        }
        for (unsigned i = 0; i < 4; i++)
            world_node_start(i);
        uint64_t begin_us = w.now_us;
        world_fetch(0, item, 0, 0, FETCH_ORDINARY, 0);
        assert_true(world_settle(w.now_us + 60 * SECOND));
        took[slow] = w.nodes[0].fetchings[item].done_us - begin_us;
        world_end();
    }
    print_message("24 MiB of two holders: %llu ms; with a slow third: %llu ms\n",
                  (unsigned long long)took[0] / 1000, (unsigned long long)took[1] / 1000);
    assert_true(took[1] < took[0] * 13 / 10);
}

static void a_hundred_thousand_small_files_cost_no_round_trip_each(void **state)
{
    (void)state;
    const size_t files = 100000;
    world_begin(1, 3, 64 * MIB);
    w.latency_us = 25000;
    w.small = true;
    for (size_t i = 0; i < files; i++)
        (void)world_item(KIB, 0);
    w.checks = false;
    for (unsigned i = 0; i < 3; i++)
        w.nodes[i].rate = 12500;
    for (unsigned i = 1; i < 3; i++)
        memset(w.nodes[i].has, 1, files);
    for (unsigned i = 0; i < 3; i++)
        world_node_start(i);
    uint64_t begin_us = w.now_us;
    size_t next = 0;
    size_t first = 0; /* all below are there */
    while (w.problem == NULL && first < files) {
        struct fetch_stats stats;
        fetch_stats(w.nodes[0].fetch, &stats);
        while (next < files && stats.contents < 8192) {
            world_fetch(0, next++, 0, 0, FETCH_ORDINARY, 0);
            fetch_stats(w.nodes[0].fetch, &stats);
        }
        if (!world_one(w.now_us + 60 * SECOND))
            world_fail("it stopped");
        while (first < files && w.nodes[0].has[first])
            first++;
    }
    assert_null(w.problem);
    uint64_t took_us = w.now_us - begin_us;
    print_message("100,000 files of 1 KiB over 2 x 100 Mbit/s and 50 ms there and back: %llu ms "
                  "(their bytes alone: %llu)\n",
                  (unsigned long long)took_us / 1000, (unsigned long long)(files * KIB / 25000));
    assert_true(took_us < 12 * SECOND); /* 5,000 s, if each cost a round trip */
    world_end();
}

static void askers_share_a_holder_and_who_reads_comes_first(void **state)
{
    (void)state;
    world_begin(1, 4, 64 * MIB);
    size_t big = world_item(40 * MIB, 0);
    size_t other = world_item(40 * MIB, 0);
    size_t small = world_item(200 * KIB, 0);
    for (unsigned i = 0; i < 4; i++)
        w.nodes[i].rate = 10000;
    w.nodes[0].has[big] = w.nodes[0].has[other] = w.nodes[0].has[small] = true;
    for (unsigned i = 0; i < 4; i++)
        world_node_start(i);
    /* One asks for two large ones at once, one for one, one a little later for little. */
    world_fetch(1, big, 0, 0, FETCH_BACKGROUND, 0);
    world_fetch(1, other, 0, 0, FETCH_BACKGROUND, 0);
    world_fetch(2, big, 0, 0, FETCH_ORDINARY, 0);
    world_until(w.now_us + 2 * SECOND);
    double share = (double)w.nodes[1].got[0] / (double)w.nodes[2].got[0];
    print_message("two askers, one of which asks for twice as much: %.2f\n", share);
    assert_true(share > 0.8 && share < 1.25);
    uint64_t begin_us = w.now_us;
    world_fetch(1, small, 0, 0, FETCH_READ, 0); /* on a busy way */
    while (w.nodes[1].fetchings[small].id != 0 && world_one(begin_us + 60 * SECOND))
        continue;
    uint64_t took_us = w.nodes[1].fetchings[small].done_us - begin_us;
    print_message("a read of 200 KiB beside a background fetch: %llu ms\n",
                  (unsigned long long)took_us / 1000);
    assert_true(w.nodes[1].has[small] && took_us < SECOND);
    assert_null(w.problem);
    world_end();
}

/* ---- single situations ---- */

static void without_a_holder_it_ends_or_waits_as_it_was_told(void **state)
{
    (void)state;
    world_begin(1, 3, MIB);
    size_t nobody = world_item(1000, 0);
    size_t away = world_item(1000, 0);
    size_t waits = world_item(1000, 0);
    w.nodes[1].has[away] = w.nodes[1].has[waits] = true;
    world_node_start(0);
    world_node_start(2);
    uint64_t begin_us = w.now_us;
    world_fetch(0, nobody, 0, 0, FETCH_ORDINARY, 0);
    assert_int_equal(w.nodes[0].fetchings[nobody].code, KITH_E_NOT_FOUND);
    world_fetch(0, away, 0, 0, FETCH_ORDINARY, 0);
    world_fetch(0, waits, 0, 0, FETCH_ORDINARY, FETCH_WAIT);
    world_until(begin_us + 20 * SECOND);
    assert_int_equal(w.nodes[0].fetchings[away].id, 0);
    assert_int_equal(w.nodes[0].fetchings[away].code, KITH_E_UNREACHABLE);
    assert_true(w.nodes[0].fetchings[away].done_us >= begin_us + 9 * SECOND);
    assert_int_not_equal(w.nodes[0].fetchings[waits].id, 0);
    world_node_start(1);
    world_until(w.now_us + 2 * SECOND);
    assert_true(w.nodes[0].has[waits]);
    w.nodes[2].kind = SAYS_NO; /* it is said to have it */
    world_fetch(0, nobody, 0, 0, FETCH_ORDINARY, 0);
    world_until(w.now_us + 3 * SECOND);
    assert_int_equal(w.nodes[0].fetchings[nobody].code, KITH_E_NOT_FOUND);
    assert_null(w.problem);
    world_end();
}

static void damage_everywhere_is_said_and_nothing_is_there(void **state)
{
    (void)state;
    world_begin(1, 3, MIB);
    size_t item = world_item(40 * 128 * KIB, 0);
    w.nodes[1].kind = w.nodes[2].kind = DAMAGES;
    w.nodes[1].has[item] = w.nodes[2].has[item] = true;
    for (unsigned i = 0; i < 3; i++)
        world_node_start(i);
    world_fetch(0, item, 0, 0, FETCH_ORDINARY, 0);
    while (w.nodes[0].fetchings[item].id != 0 && world_one(w.now_us + 60 * SECOND))
        continue;
    assert_int_equal(w.nodes[0].fetchings[item].code, KITH_E_CORRUPT);
    assert_true(w.damaged_n >= 2 && !w.nodes[0].has[item]);
    assert_int_equal(w.nodes[0].fetchings[item].damaged_n, 2);
    assert_null(w.problem);
    world_end();
    /* One of them is away, which may have it whole: who did answer is told apart. */
    world_begin(1, 3, MIB);
    item = world_item(40 * 128 * KIB, 0);
    w.nodes[1].kind = DAMAGES;
    w.nodes[1].has[item] = w.nodes[2].has[item] = true;
    world_node_start(0);
    world_node_start(1);
    world_fetch(0, item, 0, 0, FETCH_ORDINARY, 0);
    while (w.nodes[0].fetchings[item].id != 0 && world_one(w.now_us + 60 * SECOND))
        continue;
    assert_int_equal(w.nodes[0].fetchings[item].code, KITH_E_UNREACHABLE);
    assert_int_equal(w.nodes[0].fetchings[item].damaged_n, 1);
    assert_null(w.problem);
    world_end();
}

static void a_hole_is_not_sent(void **state)
{
    (void)state;
    world_begin(1, 2, 64 * MIB);
    size_t item = world_item(0, 0);
    /* 20 GB of holes with one chunk of something: only that comes. */
    struct item *big = &w.items[item];
    struct content_builder builder;
    struct kith_bytes list;
    uint64_t size = 20ull * 1000 * MIB;
    uint8_t something[1000];
    memset(something, 7, sizeof(something));
    w.small = true; /* without its bytes */
    assert_int_equal(content_builder_init(&builder, CONTENT_BLAKE2B_256, size), 0);
    assert_int_equal(content_builder_zeros(&builder, size - sizeof(something)), 0);
    assert_int_equal(content_builder_update(&builder, something, sizeof(something)), 0);
    assert_int_equal(content_builder_end(&builder, &big->content, &list), 0);
    struct fetch_core *core;
    struct fetch_config config = {0};
    struct fetch_output out;
    assert_int_equal(fetch_new(&core, &config), 0);
    struct fetch_event event = {.type = FETCH_PEER_UP, .peer = w.nodes[1].id};
    assert_int_equal(fetch_step(core, &event, &out), 0);
    event = (struct fetch_event){.type = FETCH_START,
                                 .id = 1,
                                 .content = big->content,
                                 .holders = &w.nodes[1].id,
                                 .holders_n = 1,
                                 .list = list};
    assert_int_equal(fetch_step(core, &event, &out), 0);
    assert_int_equal(out.actions_n, 1);
    assert_int_equal(out.actions[0].type, FETCH_VERIFY);
    event = (struct fetch_event){.type = FETCH_VERIFIED, .token = out.actions[0].token};
    assert_int_equal(fetch_step(core, &event, &out), 0);
    uint32_t chunks = content_chunks(&big->content);
    assert_int_equal(out.actions_n, 2);
    assert_int_equal(out.actions[0].type, FETCH_ZEROS);
    assert_int_equal(out.actions[0].chunks_n, chunks - 1);
    assert_int_equal(out.actions[1].type, FETCH_SEND);
    assert_int_equal(out.actions[1].data.len, FETCH_ASK_BYTES);
    struct fetch_progress progress;
    assert_int_equal(fetch_progress(core, 1, &progress), 0);
    assert_int_equal(progress.bytes - progress.bytes_done,
                     content_chunk_bytes(&big->content, chunks - 1));
    /* Nobody is asked for a hole that is read later. */
    event = (struct fetch_event){
        .type = FETCH_START, .id = 2, .content = big->content, .len = 1, .flags = FETCH_ANEW};
    assert_int_equal(fetch_step(core, &event, &out), 0);
    assert_int_equal(out.actions_n, 2);
    assert_int_equal(out.actions[0].type, FETCH_ZEROS);
    assert_int_equal(out.actions[0].chunk, 0);
    assert_int_equal(out.actions[0].chunks_n, 1);
    assert_int_equal(out.actions[1].type, FETCH_DONE);
    assert_int_equal(out.actions[1].code, 0);
    content_builder_deinit(&builder);
    fetch_free(core);
    world_end();
}

static void limits_refuse_what_is_above_them(void **state)
{
    (void)state;
    struct fetch_core *core;
    struct fetch_config config = {.contents_max = 3};
    struct fetch_output out;
    struct content content = {.size = 1, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = 17};
    assert_int_equal(fetch_new(&core, &config), 0);
    for (uint64_t i = 1; i <= 4; i++) {
        content.root[0] = (uint8_t)i;
        struct fetch_event event = {
            .type = FETCH_START, .id = i, .content = content, .flags = FETCH_WAIT};
        assert_int_equal(fetch_step(core, &event, &out), 0);
        assert_int_equal(out.actions_n, i == 4);
    }
    assert_int_equal(out.actions[0].code, KITH_E_LIMIT);
    assert_true(strstr(out.actions[0].text, "3 contents") != NULL);
    content.root[0] = 1;
    for (uint64_t i = 0; i < FS_FETCH_WANTS_MAX; i++) {
        struct fetch_event event = {
            .type = FETCH_START, .id = 10 + i, .content = content, .flags = FETCH_WAIT};
        assert_int_equal(fetch_step(core, &event, &out), 0);
        assert_int_equal(out.actions_n, i == FS_FETCH_WANTS_MAX - 1);
    }
    assert_int_equal(out.actions[0].code, KITH_E_LIMIT);
    content.chunk_log2 = 30;
    struct fetch_event event = {.type = FETCH_START, .id = 5, .content = content};
    assert_int_equal(fetch_step(core, &event, &out), 0);
    assert_int_equal(out.actions[0].code, KITH_E_INVALID);
    content.chunk_log2 = 17;
    event = (struct fetch_event){
        .type = FETCH_START, .id = 5, .content = content, .offset = 1, .len = 1};
    assert_int_equal(fetch_step(core, &event, &out), 0);
    assert_int_equal(out.actions[0].code, KITH_E_INVALID);
    fetch_check(core);
    fetch_free(core);
}

static void an_asker_that_asks_for_too_much_hears_no(void **state)
{
    (void)state;
    struct serve_core *core;
    struct serve_config config = {.asks_max = 10};
    struct serve_output out;
    struct buf asks = {0};
    struct kith_node_id asker = {{7}};
    assert_int_equal(fs_serve_new(&core, &config), 0);
    struct fetch_ask ask = {.content = {.size = 9, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = 17}};
    for (ask.request = 1; ask.request <= 12; ask.request++)
        assert_int_equal(fetch_ask_append(&asks, &ask), 0);
    struct serve_event event = {.type = SERVE_PEER_UP, .peer = asker}; /* no room yet */
    assert_int_equal(fs_serve_step(core, &event, &out), 0);
    event.type = SERVE_RECV;
    event.data = (struct kith_bytes){asks.data, asks.len};
    assert_int_equal(fs_serve_step(core, &event, &out), 0);
    assert_int_equal(out.actions_n, 2); /* two are too many, and none is read without room */
    struct fetch_data no;
    assert_int_equal(fetch_data_decode(out.actions[1].head.data, out.actions[1].head.len, &no), 0);
    assert_true(no.no && no.reason == FETCH_NO_BUSY && no.request == 12);
    /* The same number again is damage. */
    event.data = (struct kith_bytes){asks.data, FETCH_ASK_BYTES};
    assert_int_equal(fs_serve_step(core, &event, &out), KITH_E_CORRUPT);
    event = (struct serve_event){.type = SERVE_ROOM, .peer = asker, .room = 20};
    assert_int_equal(fs_serve_step(core, &event, &out), 0);
    assert_int_equal(out.actions_n, 3); /* until what is read fills the room */
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(out.actions[i].type, SERVE_READ);
    fs_serve_check(core);
    /* One who goes takes all that he asked for with him. */
    uint64_t token = out.actions[0].token;
    event = (struct serve_event){.type = SERVE_PEER_DOWN, .peer = asker};
    assert_int_equal(fs_serve_step(core, &event, &out), 0);
    event = (struct serve_event){.type = SERVE_READ_DONE, .token = token, .data = {"123456789", 9}};
    assert_int_equal(fs_serve_step(core, &event, &out), 0);
    assert_int_equal(out.actions_n, 0);
    fs_serve_check(core);
    fs_serve_free(core);
    buf_deinit(&asks);
}

/* Of more holders than are asked the first ones are. */
static void no_more_holders_are_asked_than_there_may_be(void **state)
{
    (void)state;
    struct fetch_core *core;
    struct fetch_config config = {0};
    struct fetch_output out;
    struct fetch_progress progress;
    struct kith_node_id holders[FS_FETCH_HOLDERS_MAX + 2] = {0};
    for (unsigned i = 0; i < FS_FETCH_HOLDERS_MAX + 2; i++)
        holders[i].bytes[0] = (uint8_t)(i + 1);
    assert_int_equal(fetch_new(&core, &config), 0);
    struct fetch_event event = {
        .type = FETCH_START,
        .id = 1,
        .content = {.size = 1000 << 17, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = 17},
        .holders = holders,
        .holders_n = FS_FETCH_HOLDERS_MAX + 2,
        .flags = FETCH_WAIT};
    assert_int_equal(fetch_step(core, &event, &out), 0);
    assert_int_equal(out.actions_n, FS_FETCH_HOLDERS_MAX); /* all are wanted for a large one */
    for (unsigned i = 0; i < FS_FETCH_HOLDERS_MAX; i++) {
        assert_int_equal(out.actions[i].type, FETCH_CONNECT);
        assert_true(kith_node_id_equal(&out.actions[i].peer, &holders[i]));
    }
    assert_int_equal(fetch_progress(core, 1, &progress), 0);
    assert_int_equal(progress.from_n, FS_FETCH_HOLDERS_MAX);
    assert_true(progress.eta_ms == UINT64_MAX);
    /* One that goes makes room for another. */
    event = (struct fetch_event){.type = FETCH_HOLDERS,
                                 .content = event.content,
                                 .holders = holders + 1,
                                 .holders_n = FS_FETCH_HOLDERS_MAX + 1};
    event.now_ms = 20000;
    assert_int_equal(fetch_step(core, &event, &out), 0);
    assert_int_equal(fetch_step(core, &event, &out), 0);
    assert_int_equal(fetch_progress(core, 1, &progress), 0);
    assert_int_equal(progress.from_n, FS_FETCH_HOLDERS_MAX);
    assert_false(kith_node_id_equal(&progress.from[0].node, &holders[0]));
    fetch_check(core);
    fetch_free(core);
}

/* The first node has 10 MiB from the second, which is slow, and has fetched for a second. */
static size_t begin_slow_fetch(void)
{
    world_begin(1, 2, 8 * MIB);
    size_t item = world_item(10 * MIB, 0);
    w.nodes[1].has[item] = true;
    w.nodes[1].rate = 1000;
    world_node_start(0);
    world_node_start(1);
    world_fetch(0, item, 0, 0, FETCH_ORDINARY, 0);
    world_until(w.now_us + SECOND);
    return item;
}

/* Readers of parts join a fetch of the whole; each hears when its part is there. */
static void readers_of_parts_join_a_fetch_of_the_whole(void **state)
{
    (void)state;
    size_t item = begin_slow_fetch();
    struct fetch_event event = {.type = FETCH_START,
                                .id = 1000,
                                .content = w.items[item].content,
                                .holders = &w.nodes[1].id,
                                .holders_n = 1,
                                .offset = 9 * MIB,
                                .len = 1000,
                                .priority = FETCH_READ};
    struct fetch_output out;
    event.now_ms = w.now_us / 1000;
    uint32_t chunk = (uint32_t)(9 * MIB >> 17);
    assert_false(fetch_has(w.nodes[0].fetch, &w.items[item].content, chunk));
    assert_int_equal(fetch_step(w.nodes[0].fetch, &event, &out), 0);
    for (size_t i = 0; i < out.actions_n; i++)
        assert_int_not_equal(out.actions[i].type, FETCH_DONE);
    /* It comes before the rest: with the next chunk that is asked for. The world does not know this
     * fetch, so it is given up before it ends. */
    uint64_t before_us = w.now_us;
    struct fetch_progress progress;
    assert_int_equal(fetch_progress(w.nodes[0].fetch, 1000, &progress), 0);
    assert_int_equal(progress.bytes, 128 * KIB);
    event = (struct fetch_event){.type = FETCH_CANCEL, .id = 1000, .now_ms = w.now_us / 1000};
    assert_int_equal(fetch_step(w.nodes[0].fetch, &event, &out), 0);
    assert_int_equal(fetch_progress(w.nodes[0].fetch, 1000, &progress), KITH_E_NOT_FOUND);
    assert_true(world_settle(before_us + 60 * SECOND));
    assert_null(w.problem);
    world_end();
}

/* What was written is not kept for whoever comes later: it is fetched for them once more. */
static void what_was_written_before_comes_anew_for_who_has_it_no_more(void **state)
{
    (void)state;
    size_t item = begin_slow_fetch();
    const struct content *content = &w.items[item].content;
    struct fetch_core *core = w.nodes[0].fetch;
    struct fetch_event event = {.type = FETCH_START,
                                .id = 1000,
                                .content = *content,
                                .len = 128 * KIB,
                                .now_ms = w.now_us / 1000};
    struct fetch_progress whole, progress;
    struct fetch_output out;
    assert_true(fetch_has(core, content, 0));
    assert_int_equal(fetch_step(core, &event, &out), 0);
    assert_int_equal(out.actions_n, 1);
    assert_int_equal(out.actions[0].type, FETCH_DONE);
    uint64_t id = w.nodes[0].fetchings[item].id;
    assert_int_equal(fetch_progress(core, id, &whole), 0);
    uint64_t bytes_done = whole.bytes_done;
    event.id = 1001;
    event.flags = FETCH_ANEW;
    assert_int_equal(fetch_step(core, &event, &out), 0);
    for (size_t i = 0; i < out.actions_n; i++)
        assert_int_not_equal(out.actions[i].type, FETCH_DONE);
    assert_false(fetch_has(core, content, 0));
    assert_int_equal(fetch_progress(core, 1001, &progress), 0);
    assert_int_equal(progress.bytes_done, 0);
    assert_int_equal(fetch_progress(core, id, &whole), 0);
    assert_int_equal(whole.bytes_done, bytes_done - 128 * KIB);
    event = (struct fetch_event){.type = FETCH_CANCEL, .id = 1001, .now_ms = w.now_us / 1000};
    assert_int_equal(fetch_step(core, &event, &out), 0);
    assert_true(world_settle(w.now_us + 60 * SECOND));
    assert_null(w.problem);
    world_end();
}

/* Every allocation fails once: nothing is lost but time. */
static void when_memory_is_short_it_only_takes_longer(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 120; n += 120 / test_rounds(120)) {
        world_begin(n, 2, MIB);
        size_t item = world_item(5 * 128 * KIB, 0);
        w.nodes[1].has[item] = true;
        world_node_start(0);
        world_node_start(1);
        world_fetch(0, item, 0, 0, FETCH_ORDINARY, FETCH_WAIT);
        for (unsigned k = 0; k < n; k++)
            (void)world_one(w.now_us + SECOND);
        struct fetch_event event = {.type = FETCH_TICK, .now_ms = w.now_us / 1000};
        struct fetch_output out;
        core_alloc_fail_at(1 + n % 3);
        (void)fetch_step(w.nodes[0].fetch, &event, &out);
        core_alloc_fail_at(0);
        fetch_check(w.nodes[0].fetch);
        assert_true(world_settle(w.now_us + 120 * SECOND));
        assert_null(w.problem);
        world_end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_happens_everything_comes_as_it_was),
        cmocka_unit_test(a_fetch_goes_on_after_a_crash),
        cmocka_unit_test(two_holders_are_faster_than_one),
        cmocka_unit_test(a_slow_holder_does_not_slow_the_others),
        cmocka_unit_test(a_hundred_thousand_small_files_cost_no_round_trip_each),
        cmocka_unit_test(askers_share_a_holder_and_who_reads_comes_first),
        cmocka_unit_test(without_a_holder_it_ends_or_waits_as_it_was_told),
        cmocka_unit_test(damage_everywhere_is_said_and_nothing_is_there),
        cmocka_unit_test(a_hole_is_not_sent),
        cmocka_unit_test(limits_refuse_what_is_above_them),
        cmocka_unit_test(an_asker_that_asks_for_too_much_hears_no),
        cmocka_unit_test(no_more_holders_are_asked_than_there_may_be),
        cmocka_unit_test(readers_of_parts_join_a_fetch_of_the_whole),
        cmocka_unit_test(what_was_written_before_comes_anew_for_who_has_it_no_more),
        cmocka_unit_test(when_memory_is_short_it_only_takes_longer),
    };
    return cmocka_run_group_tests_name("fs_fetch_world", tests, NULL, NULL);
}

#else

static void using_a_chunk_unverified_is_caught(void **state)
{
    (void)state;
    assert_caught(MUTANT_FS_UNVERIFIED, run_chaos, 20);
}

static void asking_for_everything_at_once_is_caught(void **state)
{
    (void)state;
    assert_caught(MUTANT_FS_NO_WINDOW, run_resume, 3);
}

static void trusting_a_former_life_is_caught(void **state)
{
    (void)state;
    assert_caught(MUTANT_FS_RESUME_TRUSTS, run_resume, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(using_a_chunk_unverified_is_caught),
        cmocka_unit_test(asking_for_everything_at_once_is_caught),
        cmocka_unit_test(trusting_a_former_life_is_caught),
    };
    return cmocka_run_group_tests_name("fs_fetch_mutants", tests, NULL, NULL);
}

#endif

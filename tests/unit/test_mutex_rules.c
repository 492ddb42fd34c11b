/*
 * One case for each rule of the core of mutexes, with a few cores and a network that delivers at
 * once and in order. What faults do to the rules is in test_mutex_random.c.
 */
#include "test_mutex_lab.h"

/* ---- one node ---- */

static void one_node_alone_enters_without_waiting(void **state)
{
    struct lab *lab = LAB(1, 0);
    (void)state;
    const struct got *got = acquire(lab, 0, of(1, "a"));
    assert_true(got->any && got->last == MUTEX_GRANTED && got->fence != 0);
    assert_int_equal(lab->messages_n, 0);
    assert_int_equal(release(lab, 0, 1), 0);
    lab_free(lab);
}

static void acquire_and_release_by_the_holder_cost_no_message_and_no_allocation(void **state)
{
    struct lab *lab = LAB(3, 0);
    (void)state;
    (void)acquire(lab, 0, of(1, "a"));
    (void)release(lab, 0, 1);
    uint32_t messages = lab->messages_n, records = lab->records_asked_n;
    uint64_t fence = lab->got[0][1].fence;
    core_alloc_fail_at(1); /* the first one from here would fail */
    for (int i = 0; i < 1000; i++) {
        const struct got *got = acquire(lab, 0, of(2, "a"));
        assert_int_equal(got->last, MUTEX_GRANTED);
        assert_true(got->fence == fence + 1);
        fence = got->fence;
        assert_int_equal(release(lab, 0, 2), 0);
    }
    core_alloc_fail_at(0);
    assert_int_equal(lab->messages_n, messages);
    assert_int_equal(lab->records_asked_n, records);
    lab_free(lab);
}

static void an_owner_cannot_acquire_twice(void **state)
{
    struct lab *lab = LAB(1, 0);
    (void)state;
    struct mutex_acquire a = of(1, "a"), b = of(2, "a");
    b.owner = a.owner;
    (void)acquire(lab, 0, a);
    const struct got *got = acquire(lab, 0, b);
    assert_int_equal(got->code, KITH_E_EXISTS);
    assert_non_null(strstr(got->text, "not recursive"));
    assert_true(holds(lab, 0, 1));
    lab_free(lab);
}

static void owner_zero_is_an_owner_of_its_own(void **state)
{
    struct lab *lab = LAB(1, 0);
    (void)state;
    struct mutex_acquire a = of(1, "a"), b = of(2, "a");
    a.owner = b.owner = 0;
    (void)acquire(lab, 0, a);
    assert_false(acquire(lab, 0, b)->any);
    assert_int_equal(release(lab, 0, 1), 0);
    assert_true(holds(lab, 0, 2));
    lab_free(lab);
}

static void what_is_not_held_cannot_be_released(void **state)
{
    struct lab *lab = LAB(1, 0);
    (void)state;
    assert_int_equal(release(lab, 0, 7), KITH_E_NOT_FOUND);
    (void)acquire(lab, 0, of(1, "a"));
    (void)acquire(lab, 0, of(2, "a"));
    assert_int_equal(release(lab, 0, 2), KITH_E_NOT_FOUND); /* waits */
    assert_int_equal(release(lab, 0, 1), 0);
    assert_int_equal(release(lab, 0, 1), KITH_E_NOT_FOUND);
    lab_free(lab);
}

static void a_wait_ends_with_its_deadline_and_says_who_holds_it(void **state)
{
    struct lab *lab = LAB(1, 0);
    (void)state;
    (void)acquire(lab, 0, of(1, "a"));
    struct mutex_acquire b = of(2, "a");
    b.deadline_ms = lab->now + 100;
    const struct got *got = acquire(lab, 0, b);
    pass(lab, 90);
    assert_false(got->any);
    pass(lab, 30);
    assert_int_equal(got->code, KITH_E_TIMEOUT);
    assert_non_null(strstr(got->text, "builder (pid 4711) on n0"));
    lab_free(lab);
}

static void a_wait_that_is_cancelled_ends(void **state)
{
    struct lab *lab = LAB(1, 0);
    (void)state;
    (void)acquire(lab, 0, of(1, "a"));
    const struct got *got = acquire(lab, 0, of(2, "a"));
    (void)step(lab, 0, (struct mutex_event){.type = MUTEX_CANCEL, .u.waiter = 2});
    assert_int_equal(got->code, KITH_E_CANCELED);
    lab_free(lab);
}

static void an_owner_that_is_gone_frees_all_it_had(void **state)
{
    struct lab *lab = LAB(1, 0);
    (void)state;
    struct mutex_acquire b = of(2, "b"), c = of(3, "c");
    b.owner = c.owner = 1;
    (void)acquire(lab, 0, of(1, "a"));
    (void)acquire(lab, 0, b);
    (void)acquire(lab, 0, of(4, "c"));
    (void)acquire(lab, 0, c);          /* waits */
    (void)acquire(lab, 0, of(5, "a")); /* waits for owner 1 */
    (void)step(lab, 0, (struct mutex_event){.type = MUTEX_OWNER_GONE, .u.owner = 1});
    assert_false(lab->got[0][3].any); /* silently */
    assert_true(holds(lab, 0, 5));
    assert_int_equal(acquire(lab, 0, of(6, "b"))->last, MUTEX_GRANTED);
    struct mutex_stats stats;
    mutex_stats(lab->nodes[0], &stats);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(stats.holding, 3);
    lab_free(lab);
}

static void try_fails_where_it_is_held_and_names_the_holder(void **state)
{
    struct lab *lab = LAB(2, 0);
    (void)state;
    struct mutex_acquire b = of(2, "a");
    b.try_only = true;
    (void)acquire(lab, 0, of(1, "a"));
    assert_int_equal(acquire(lab, 0, b)->code, KITH_E_AGAIN);
    assert_int_equal(acquire(lab, 1, b)->code,
                     KITH_E_AGAIN); /* from another node, in one exchange */
    assert_non_null(strstr(lab->got[1][2].text, "on n0"));
    (void)release(lab, 0, 1);
    assert_int_equal(acquire(lab, 1, b)->last, MUTEX_GRANTED);
    lab_free(lab);
}

static void names_are_checked(void **state)
{
    struct lab *lab = LAB(1, 0);
    char longest[MUTEX_NAME_BYTES_MAX + 2];
    (void)state;
    memset(longest, 'x', sizeof(longest));
    longest[MUTEX_NAME_BYTES_MAX + 1] = '\0';
    assert_int_equal(acquire(lab, 0, of(1, longest))->code, KITH_E_NAME);
    longest[MUTEX_NAME_BYTES_MAX] = '\0';
    assert_int_equal(acquire(lab, 0, of(2, longest))->last, MUTEX_GRANTED);
    assert_int_equal(acquire(lab, 0, of(3, ""))->code, KITH_E_NAME);
    assert_int_equal(acquire(lab, 0, of(4, "a\x01"))->code, KITH_E_NAME);
    assert_int_equal(acquire(lab, 0, of(5, "a\xff"))->code, KITH_E_NAME);
    lab_free(lab);
}

static void limits_refuse_one_too_many(void **state)
{
    struct lab *lab = lab_new(
        3, 0, (struct mutex_config){.names_max = 2, .waiters_max = 2, .participants_max = 2});
    (void)state;
    (void)acquire(lab, 0, of(1, "a"));
    (void)acquire(lab, 0, of(2, "b"));
    assert_int_equal(acquire(lab, 0, of(3, "c"))->code, KITH_E_LIMIT);
    assert_non_null(strstr(lab->got[0][3].text, "2 mutexes"));
    assert_false(acquire(lab, 0, of(4, "a"))->any);
    assert_int_equal(acquire(lab, 0, of(5, "a"))->code, KITH_E_LIMIT);
    (void)acquire(lab, 1, of(1, "a"));
    assert_int_equal(acquire(lab, 2, of(1, "a"))->code, KITH_E_LIMIT); /* a third participant */
    lab_free(lab);
}

/* A message of node @from to node 0, beside the lab's network; true if it was answered by @type. */
static bool
say(struct lab *lab, struct boot_id from, struct mutex_msg msg, uint8_t type, uint8_t flags)
{
    struct buf bytes = {0};
    struct mutex_output out;
    bool answered = false;
    assert_int_equal(mutex_msg_head(&bytes, &msg) | mutex_msg_parts(&bytes, 0) |
                         mutex_msg_u16(&bytes, 0) | mutex_msg_u16(&bytes, 0) |
                         mutex_msg_text(&bytes, NULL, 0),
                     0);
    struct mutex_event event = {.type = MUTEX_RECV,
                                .now_ms = lab->now,
                                .u.recv = {.from = from, .data = bytes.data, .len = bytes.len}};
    assert_int_equal(mutex_step(lab->nodes[0], &event, &out), 0);
    for (size_t i = 0; i < out.actions_n; i++) {
        struct mutex_msg back;
        const struct mutex_action *a = &out.actions[i];
        if (a->type == MUTEX_SEND && mutex_msg_decode(&back, a->data, a->len) == 0)
            answered = answered || (back.type == type && (back.flags & flags) == flags);
    }
    buf_deinit(&bytes);
    return answered;
}

static void a_home_grants_so_many_sessions_and_no_more(void **state)
{
    struct lab *lab = LAB(1, 0);
    struct mutex_stats stats;
    (void)state;
    for (uint32_t i = 0; i <= MUTEX_SESSIONS_MAX; i++) {
        struct boot_id edge = {.boot_no = 1};
        put_le32(edge.node.bytes + 4, i + 1);
        bool granted = say(lab, edge, (struct mutex_msg){.type = MSG_LEASE, .a = 1}, MSG_LEASED, 0);
        assert_true(granted == (i < MUTEX_SESSIONS_MAX));
    }
    mutex_stats(lab->nodes[0], &stats);
    assert_int_equal(stats.sessions, MUTEX_SESSIONS_MAX);
    assert_int_equal(stats.sessions_refused, 1);
    lab_free(lab);
}

static void a_queue_has_so_many_places_and_no_more(void **state)
{
    struct lab *lab = LAB(2, 0);
    struct mutex_acquire a = of(1, "a");
    struct mutex_info info;
    size_t at = 0;
    (void)state;
    a.shared = true;
    (void)acquire(lab, 0, a);
    pass(lab, 3000);
    assert_true(holds(lab, 0, 1));
    assert_true(mutex_next(lab->nodes[0], &at, lab->now, &info) && info.queue);
    struct mutex_msg msg = {.type = MSG_QREQ,
                            .name = "a",
                            .name_len = 1,
                            .gen = info.gen,
                            .joined = 100,
                            .member_id = 2,
                            .epoch = 1};
    for (msg.a = 1; msg.a < MUTEX_QUEUE_MAX; msg.a++) /* and the one that holds it */
        assert_false(say(lab, boot_of(1), msg, MSG_QACK, MSG_BUSY));
    assert_true(say(lab, boot_of(1), msg, MSG_QACK, MSG_BUSY));
    lab_free(lab);
}

static void a_try_that_came_while_the_queue_began_hears_that_it_is_not_free(void **state)
{
    struct lab *lab = LAB(2, 0);
    struct mutex_acquire a = of(1, "a");
    struct mutex_info info;
    size_t at = 0;
    (void)state;
    a.shared = true;
    (void)acquire(lab, 0, a);
    pass(lab, 3000);
    assert_true(mutex_next(lab->nodes[0], &at, lab->now, &info) && info.queue);
    struct mutex_msg msg = {.type = MSG_QREQ,
                            .name = "a",
                            .name_len = 1,
                            .gen = info.gen,
                            .joined = 100,
                            .member_id = 2,
                            .epoch = 1,
                            .a = 1};
    /* What stands in the queue of a home that asked when the try came. */
    assert_false(say(lab, boot_of(1), msg, MSG_QACK, MSG_BUSY));
    msg.flags = MSG_TRY | MSG_AGAIN;
    assert_true(say(lab, boot_of(1), msg, MSG_QACK, MSG_BUSY));
    /* And it stands in nobody's way. */
    assert_int_equal(release(lab, 0, 1), 0);
    const struct got *got = acquire(lab, 0, of(2, "a"));
    assert_true(got->any && got->last == MUTEX_GRANTED);
    lab_free(lab);
}

static void so_many_questions_at_once_and_no_more(void **state)
{
    struct lab *lab = LAB(2, 0);
    (void)state;
    (void)acquire(lab, 1, of(1, "a"));
    lab->cut[1] = true; /* nobody answers */
    for (uint64_t ask = 1; ask <= MUTEX_ASKS_MAX; ask++) {
        (void)step(lab, 0,
                   (struct mutex_event){.type = MUTEX_QUERY, .u.ask = {.ask = ask, .name = "a"}});
        assert_int_equal(lab->info_code, 0);
    }
    (void)step(lab, 0,
               (struct mutex_event){.type = MUTEX_QUERY, .u.ask = {.ask = 1000, .name = "a"}});
    assert_int_equal(lab->info_code, KITH_E_BUSY);
    lab_free(lab);
}

/* ---- several nodes ---- */

/* Node @i is excluded, and a little later its lease is over. */
static void end_keeper(struct lab *lab, uint32_t i, uint64_t after_ms)
{
    lab->placement.keepers[i].state = KEEPER_EXCLUDED;
    lab->placement.epoch++;
    for (uint32_t k = 0; k < lab->n; k++) {
        if (!lab->cut[k])
            (void)step(
                lab, k,
                (struct mutex_event){.type = MUTEX_PLACEMENT, .u.placement = &lab->placement});
    }
    pass(lab, after_ms);
    lab->placement.keepers[i].state = KEEPER_ENDED;
    lab->placement.epoch++;
    for (uint32_t k = 0; k < lab->n; k++) {
        if (!lab->cut[k])
            (void)step(
                lab, k,
                (struct mutex_event){.type = MUTEX_PLACEMENT, .u.placement = &lab->placement});
    }
}

static void
a_holder_that_is_gone_is_followed_with_a_higher_fence_once_its_lease_is_over(void **state)
{
    struct lab *lab = LAB(3, 0);
    (void)state;
    (void)acquire(lab, 2, of(1, "a"));
    const struct got *got = acquire(lab, 1, of(1, "a"));
    uint64_t old = lab->got[2][1].fence;
    lab->cut[2] = true;
    pass(lab, 1000);
    end_keeper(lab, 2, 3700);
    assert_false(got->any); /* not while its lease may run */
    pass(lab, 1000);
    assert_int_equal(got->last, MUTEX_GRANTED);
    assert_true(got->fence >> 32 > old >> 32);
    assert_int_equal(lab->got[2][1].last, MUTEX_LOCK_LOST); /* and the paused one was told */
    lab_free(lab);
}

static void a_holder_is_warned_before_its_lease_ends_and_told_when_it_has(void **state)
{
    struct lab *lab = LAB(1, 0);
    (void)state;
    (void)acquire(lab, 0, of(1, "a"));
    lab->cut[0] = true; /* no renewals */
    pass(lab, 1900);
    assert_int_equal(lab->got[0][1].warnings, 0);
    pass(lab, 200);
    assert_int_equal(lab->got[0][1].warnings, 1);
    pass(lab, 1000);
    assert_int_equal(lab->got[0][1].last, MUTEX_LOCK_LOST);
    assert_int_equal(lab->got[0][1].warnings, 1);
    assert_false(holds(lab, 0, 1));
    lab_free(lab);
}

static void an_edge_holds_by_its_session_and_is_followed_when_that_is_over(void **state)
{
    struct lab *lab = LAB(2, 1);
    (void)state;
    (void)acquire(lab, 2, of(1, "a"));
    pass(lab, 300);
    assert_true(holds(lab, 2, 1));
    pass(lab, 5000); /* renewed */
    assert_true(holds(lab, 2, 1));
    const struct got *got = acquire(lab, 1, of(1, "a"));
    lab->cut[2] = true;
    pass(lab, 1400);
    assert_false(got->any);
    pass(lab, 2500);
    assert_int_equal(got->last, MUTEX_GRANTED);
    assert_int_equal(lab->got[2][1].last, MUTEX_LOCK_LOST);
    lab_free(lab);
}

static void a_newer_boot_of_an_edge_proves_that_the_older_is_over(void **state)
{
    struct lab *lab = LAB(2, 1);
    struct boot_id newer = boot_of(2);
    (void)state;
    (void)acquire(lab, 2, of(1, "a"));
    pass(lab, 3000); /* past the grace of a fresh home too */
    const struct got *got = acquire(lab, 1, of(1, "a"));
    mutex_free(lab->nodes[2]);
    lab->nodes[2] = NULL;
    pass(lab, 510); /* the home has heard that somebody waits */
    newer.boot_no++;
    for (uint32_t i = 0; i < 2; i++)
        (void)step(lab, i, (struct mutex_event){.type = MUTEX_PEER_UP, .u.peer.boot = newer});
    pass(lab, 400);
    assert_int_equal(got->last, MUTEX_GRANTED);
    lab_free(lab);
}

static void readers_share_and_writers_do_not(void **state)
{
    struct lab *lab = LAB(3, 0);
    (void)state;
    struct mutex_acquire r = of(1, "a");
    r.shared = true;
    for (uint32_t i = 0; i < 3; i++)
        (void)acquire(lab, i, r);
    pass(lab, 3000);
    for (uint32_t i = 0; i < 3; i++)
        assert_true(holds(lab, i, 1));
    const struct got *writer = acquire(lab, 0, of(2, "a"));
    r = of(3, "a");
    r.shared = true;
    const struct got *late = acquire(lab, 1, r); /* not past the writer */
    pass(lab, 100);
    assert_false(writer->any || late->any);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(release(lab, i, 1), 0);
    assert_int_equal(writer->last, MUTEX_GRANTED);
    assert_true(writer->any && !late->any);
    (void)release(lab, 0, 2);
    assert_int_equal(late->last, MUTEX_GRANTED);
    lab_free(lab);
}

static void permits_let_so_many_in_and_all_must_agree(void **state)
{
    struct lab *lab = LAB(2, 0);
    uint32_t in = 0;
    (void)state;
    for (uint64_t w = 1; w <= 5; w++) {
        struct mutex_acquire a = of(w, "a");
        a.permits = 3;
        (void)acquire(lab, w % 2, a);
    }
    pass(lab, 3000);
    for (uint64_t w = 1; w <= 5; w++)
        in += holds(lab, w % 2, w);
    assert_int_equal(in, 3);
    struct mutex_acquire a = of(9, "a");
    a.permits = 2;
    assert_int_equal(acquire(lab, 0, a)->code, KITH_E_INVALID);
    assert_non_null(strstr(lab->got[0][9].text, "3 permits, not 2"));
    lab_free(lab);
}

static void force_takes_it_from_the_holder(void **state)
{
    struct lab *lab = LAB(3, 0);
    (void)state;
    (void)acquire(lab, 2, of(1, "a"));
    const struct got *got = acquire(lab, 1, of(1, "a"));
    (void)step(
        lab, 1,
        (struct mutex_event){.type = MUTEX_BREAK,
                             .u.ask = {.ask = 5, .name = "a", .deadline_ms = lab->now + 5000}});
    deliver(lab);
    pass(lab, 1000);
    assert_int_equal(lab->broken, 1);
    assert_int_equal(lab->got[2][1].last, MUTEX_LOCK_LOST);
    assert_int_equal(got->last, MUTEX_GRANTED);
    assert_true(got->fence >> 32 > lab->got[2][1].fence >> 32);
    lab_free(lab);
}

static void a_query_names_holder_and_waiters_everywhere(void **state)
{
    struct lab *lab = LAB(3, 0);
    struct mutex_event query = {.type = MUTEX_QUERY, .u.ask = {.ask = 5, .name = "a"}};
    (void)state;
    (void)step(lab, 0, query);
    assert_int_equal(lab->info_code, KITH_E_NOT_FOUND);
    (void)acquire(lab, 2, of(1, "a"));
    (void)acquire(lab, 1, of(1, "a"));
    (void)step(lab, 0, query);
    deliver(lab);
    pass(lab, 600);
    assert_int_equal(lab->info_code, 0);
    assert_int_equal(lab->info_n, 2);
    assert_string_equal(lab->info_text, "n2:builder:4711:holds;n1:builder:4711:waits;");
    lab_free(lab);
}

static void a_cycle_of_waits_is_found_and_named(void **state)
{
    struct lab *lab = LAB(3, 0);
    (void)state;
    const char *names[] = {"a", "b", "c"};
    for (uint32_t i = 0; i < 3; i++) {
        struct mutex_acquire mine = of(1, names[i]);
        mine.owner = 7;
        (void)acquire(lab, i, mine);
    }
    for (uint32_t i = 0; i < 3; i++) {
        struct mutex_acquire next = of(2, names[(i + 1) % 3]);
        next.owner = 7;
        next.detect = i == 2;
        (void)acquire(lab, i, next);
    }
    pass(lab, 2000);
    assert_false(lab->got[0][2].any); /* did not ask for it */
    assert_int_equal(lab->got[2][2].code, KITH_E_WOULD_DEADLOCK);
    assert_non_null(strstr(lab->got[2][2].text, "'a'"));
    assert_non_null(strstr(lab->got[2][2].text, "'b'"));
    assert_non_null(strstr(lab->got[2][2].text, "'c'"));
    lab_free(lab);
}

/* A command under a mutex runs one under another: owners of their own, one goes on with the other.
 */
static void a_cycle_is_found_through_what_runs_within(void **state)
{
    struct lab *lab = LAB(3, 0);
    (void)state;
    const char *names[] = {"a", "b", "c"};
    for (uint32_t i = 0; i < 3; i++)
        (void)acquire(lab, i, of(1, names[i]));
    for (uint32_t i = 0; i < 3; i++) {
        struct mutex_acquire next = of(2, names[(i + 1) % 3]);
        uint64_t within[] = {99, 1};
        next.within = within;
        next.within_n = 2;
        next.detect = i == 2;
        (void)acquire(lab, i, next);
    }
    pass(lab, 2000);
    assert_false(lab->got[0][2].any);
    assert_int_equal(lab->got[2][2].code, KITH_E_WOULD_DEADLOCK);
    assert_non_null(strstr(lab->got[2][2].text, "'b'"));
    lab_free(lab);
}

static void siblings_under_one_mutex_wait_for_each_other(void **state)
{
    struct lab *lab = LAB(2, 0);
    uint64_t within[MUTEX_WITHIN_MAX + 4] = {1};
    struct mutex_acquire one = of(2, "b"), two = of(3, "b"), again = of(4, "a");
    (void)state;
    (void)acquire(lab, 0, of(1, "a"));
    one.within = two.within = again.within = within;
    one.within_n = two.within_n = 1;
    two.detect = true;
    (void)acquire(lab, 0, one);
    const struct got *waits = acquire(lab, 0, two);
    pass(lab, 2000);
    assert_false(waits->any);              /* the other one will release it */
    again.within_n = MUTEX_WITHIN_MAX + 4; /* more than count: the first do */
    assert_int_equal(acquire(lab, 0, again)->code, KITH_E_EXISTS);
    assert_non_null(strstr(lab->got[0][4].text, "not recursive"));
    memset(within, 0, sizeof(within));
    within[MUTEX_WITHIN_MAX] = 1;
    assert_false(acquire(lab, 0, again)->any);
    (void)release(lab, 0, 2);
    assert_int_equal(waits->last, MUTEX_GRANTED);
    lab_free(lab);
}

static void a_long_wait_without_a_cycle_is_not_taken_for_one(void **state)
{
    struct lab *lab = LAB(2, 0);
    (void)state;
    struct mutex_acquire b = of(2, "b"), c = of(1, "b");
    (void)acquire(lab, 0, of(1, "a"));
    (void)acquire(lab, 1, c);
    b.owner = 1;
    b.detect = true;
    const struct got *got = acquire(lab, 0, b);
    pass(lab, 3000);
    assert_false(got->any);
    lab_free(lab);
}

static void without_a_majority_waits_end_and_what_is_here_goes_on(void **state)
{
    struct lab *lab = LAB(2, 0);
    (void)state;
    (void)acquire(lab, 0, of(1, "here"));
    (void)release(lab, 0, 1);
    lab->record_code = KITH_E_NO_QUORUM;
    assert_int_equal(acquire(lab, 0, of(2, "new"))->code, KITH_E_NO_QUORUM);
    (void)step(lab, 0, (struct mutex_event){.type = MUTEX_QUORUM, .u.quorum = false});
    assert_int_equal(acquire(lab, 0, of(3, "other"))->code, KITH_E_NO_QUORUM);
    assert_int_equal(acquire(lab, 0, of(4, "here"))->last, MUTEX_GRANTED); /* by its lease */
    lab_free(lab);
}

static void what_is_idle_is_forgotten_and_its_record_goes(void **state)
{
    struct lab *lab = lab_new(2, 0, (struct mutex_config){.idle_ms = 1000});
    struct mutex_stats stats;
    (void)state;
    (void)acquire(lab, 0, of(1, "a"));
    uint64_t fence = lab->got[0][1].fence;
    (void)release(lab, 0, 1);
    pass(lab, 4000);
    for (uint32_t r = 0; r < lab->records_n; r++) {
        if (strstr(lab->records[r].name, "gen/") == NULL)
            assert_int_equal(lab->records[r].version, 0);
    }
    mutex_stats(lab->nodes[0], &stats);
    assert_int_equal(stats.names, 0);
    (void)acquire(lab, 1, of(1, "a")); /* and a later life of it continues above */
    assert_true(lab->got[1][1].fence > fence);
    lab_free(lab);
}

static void a_node_that_stops_passes_the_token_on(void **state)
{
    struct lab *lab = LAB(2, 0);
    (void)state;
    (void)acquire(lab, 0, of(1, "a"));
    const struct got *got = acquire(lab, 1, of(1, "a"));
    (void)step(lab, 0, (struct mutex_event){.type = MUTEX_STOP});
    deliver(lab);
    assert_int_equal(lab->got[0][1].last, MUTEX_LOCK_LOST);
    assert_int_equal(got->last, MUTEX_GRANTED);
    lab_free(lab);
}

/* ---- the wire ---- */

static void a_message_comes_back_as_it_went_and_cut_ones_are_refused(void **state)
{
    struct buf out = {0};
    struct mutex_msg msg = {.type = MSG_TOK, .name = "abc", .name_len = 3, .gen = 7, .a = 9}, back;
    struct mutex_msg_part part = {.boot = boot_of(1), .joined = 4, .ln = 2}, got;
    uint32_t queued;
    (void)state;
    assert_int_equal(mutex_msg_head(&out, &msg) | mutex_msg_parts(&out, 1) |
                         mutex_msg_part(&out, &part) | mutex_msg_u16(&out, 1) |
                         mutex_msg_u32(&out, 4) | mutex_msg_u16(&out, 0) |
                         mutex_msg_text(&out, "t", 1),
                     0);
    assert_int_equal(mutex_msg_decode(&back, out.data, out.len), 0);
    assert_int_equal(back.gen, 7);
    assert_true(mutex_msg_next_part(&back, &got) && got.joined == 4 && got.ln == 2);
    assert_false(mutex_msg_next_part(&back, &got));
    assert_true(mutex_msg_next_queued(&back, &queued) && queued == 4);
    for (size_t len = 0; len < out.len; len++)
        assert_int_equal(mutex_msg_decode(&back, out.data, len), KITH_E_CORRUPT);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_node_alone_enters_without_waiting),
        cmocka_unit_test(acquire_and_release_by_the_holder_cost_no_message_and_no_allocation),
        cmocka_unit_test(an_owner_cannot_acquire_twice),
        cmocka_unit_test(owner_zero_is_an_owner_of_its_own),
        cmocka_unit_test(what_is_not_held_cannot_be_released),
        cmocka_unit_test(a_wait_ends_with_its_deadline_and_says_who_holds_it),
        cmocka_unit_test(a_wait_that_is_cancelled_ends),
        cmocka_unit_test(an_owner_that_is_gone_frees_all_it_had),
        cmocka_unit_test(try_fails_where_it_is_held_and_names_the_holder),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(limits_refuse_one_too_many),
        cmocka_unit_test(a_home_grants_so_many_sessions_and_no_more),
        cmocka_unit_test(a_queue_has_so_many_places_and_no_more),
        cmocka_unit_test(a_try_that_came_while_the_queue_began_hears_that_it_is_not_free),
        cmocka_unit_test(so_many_questions_at_once_and_no_more),
        cmocka_unit_test(
            a_holder_that_is_gone_is_followed_with_a_higher_fence_once_its_lease_is_over),
        cmocka_unit_test(a_holder_is_warned_before_its_lease_ends_and_told_when_it_has),
        cmocka_unit_test(an_edge_holds_by_its_session_and_is_followed_when_that_is_over),
        cmocka_unit_test(a_newer_boot_of_an_edge_proves_that_the_older_is_over),
        cmocka_unit_test(readers_share_and_writers_do_not),
        cmocka_unit_test(permits_let_so_many_in_and_all_must_agree),
        cmocka_unit_test(force_takes_it_from_the_holder),
        cmocka_unit_test(a_query_names_holder_and_waiters_everywhere),
        cmocka_unit_test(a_cycle_of_waits_is_found_and_named),
        cmocka_unit_test(a_cycle_is_found_through_what_runs_within),
        cmocka_unit_test(siblings_under_one_mutex_wait_for_each_other),
        cmocka_unit_test(a_long_wait_without_a_cycle_is_not_taken_for_one),
        cmocka_unit_test(without_a_majority_waits_end_and_what_is_here_goes_on),
        cmocka_unit_test(what_is_idle_is_forgotten_and_its_record_goes),
        cmocka_unit_test(a_node_that_stops_passes_the_token_on),
        cmocka_unit_test(a_message_comes_back_as_it_went_and_cut_ones_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

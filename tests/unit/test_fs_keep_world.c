/*
 * Who keeps copies, in a world in memory: nodes that are cut off, crash, come back, lose their
 * disks, or the store beside a keep; copies that rot; users that change and delete files; and a
 * catalogue that every node knows late. At every drop others hold the content; in the end each live
 * content has as many copies as it wants and no more, none is damaged, and what nothing names is
 * gone.
 *
 * Built twice: plain, and with the switches of core/mutant.h, where the same runs must fail.
 */
#include "core/alloc.h"
#include "core/bytes.h"
#include "core/heap.h"
#include "core/list.h"
#include "core/mutant.h"
#include "fs/keep.h"
#include "kith/error.h"
#include "lib/test.h"
#ifdef KITH_MUTANTS
#include "unit/caught.h"
#endif

#define NODES    6u
#define CONTENTS 24u
#define MINUTE   60000ull
#define HOUR     (60 * MINUTE)
#define DAY_MS   (20 * MINUTE) /* of the scrub: a hundred of them are a day and a half */
/* A node that lost its disk so lately may have answered before. */
#define JUST_MS (2 * MINUTE)

enum task_kind {
    TASK_FETCHED,
    TASK_DROPPED,
    TASK_SCRUBBED,
    TASK_ADOPTED,
    TASK_CHECKED,
    TASK_RECV,
};

struct task {
    struct heap_node at;
    enum task_kind kind;
    unsigned node, from;
    uint32_t life;
    unsigned content;
    uint64_t token;
    struct buf data;
};

struct node {
    struct keep_core *core;
    struct kith_node_id id;
    bool up;
    uint32_t life;
    uint64_t wiped_ms;
    uint8_t place[CONTENTS]; /* what is on its disk */
    bool damaged[CONTENTS];
    uint64_t scrubbed_ms[CONTENTS];
    uint64_t noted_ms[CONTENTS];
    /* What it knows: of others' copies, and what lives. */
    bool known[NODES][CONTENTS];
    bool known_live[CONTENTS];
};

static struct {
    struct rng rng;
    uint64_t now_ms;
    bool faults;
    struct node nodes[NODES];
    bool cut[NODES][NODES];
    struct content contents[CONTENTS];
    uint8_t copies[CONTENTS];
    bool live[CONTENTS], lost[CONTENTS];
    struct heap tasks;
    uint64_t drops, drops_live, fetches, repairs, adopted;
    const char *problem;
    char text[200];
} w;

static void fail_with(const char *text, unsigned node, unsigned content)
{
    if (w.problem != NULL)
        return;
    (void)snprintf(w.text, sizeof(w.text), "%s (node %u, content %u, minute %llu)", text, node,
                   content, (unsigned long long)(w.now_ms / MINUTE));
    w.problem = w.text;
}

static unsigned content_of(const uint8_t *root)
{
    return root[0];
}
static unsigned node_of(const struct kith_node_id *id)
{
    return id->bytes[0] - 1u;
}
static bool linked(unsigned i, unsigned k)
{
    return i != k && w.nodes[i].up && w.nodes[k].up && !w.cut[i][k];
}

/* A record says that it has it. */
static bool has(unsigned i, unsigned c)
{
    return w.nodes[i].place[c] == KEEP_FOLDER || w.nodes[i].place[c] == KEEP_KEEP;
}

/* Others that have it; damaged ones only if @any. */
static unsigned others_of(unsigned i, unsigned c, bool any)
{
    unsigned n = 0;
    for (unsigned k = 0; k < NODES; k++)
        if (k != i && has(k, c) && (any || !w.nodes[k].damaged[c]))
            n++;
    return n;
}

static struct task *post(enum task_kind kind, unsigned node, uint64_t at_ms)
{
    struct task *task = calloc(1, sizeof(*task));
    assert_non_null(task);
    task->kind = kind;
    task->node = node;
    task->life = w.nodes[node].life;
    assert_int_equal(heap_set(&w.tasks, &task->at, at_ms), 0);
    return task;
}

/* ---- carrying out ---- */

static void step(unsigned i, struct keep_event *event);

/* Some have another version, and of a fifth of all contents they see that differently. */
static bool is_near(unsigned viewer, unsigned i, unsigned c)
{
    return (c * 7 + i * 3 + (c % 5 == 0 ? viewer : 0)) % 4 == 0;
}

static void look(unsigned i, unsigned c)
{
    struct node *node = &w.nodes[i];
    struct kith_node_id holders[NODES], near[NODES];
    struct keep_facts facts = {.content = w.contents[c],
                               .copies = node->known_live[c] ? w.copies[c] : 0,
                               .live = node->known_live[c],
                               .place = node->place[c],
                               .holders = holders,
                               .near = near,
                               .near_self = is_near(i, i, c),
                               .scrubbed_wall_ms = node->scrubbed_ms[c],
                               .unreferenced_wall_ms = node->noted_ms[c]};
    struct keep_event event = {.type = KEEP_LOOK, .facts = &facts};
    for (unsigned k = 0; k < NODES; k++)
        if (k != i && node->known[k][c])
            holders[facts.holders_n++] = w.nodes[k].id;
    for (unsigned k = 0; k < NODES; k++)
        if (k != i && is_near(i, k, c))
            near[facts.near_n++] = w.nodes[k].id;
    if (node->up)
        step(i, &event);
}

static void on_fetch(unsigned i, const struct keep_action *action)
{
    unsigned c = content_of(action->content.root);
    struct task *task = post(TASK_FETCHED, i, w.now_ms + 10000);
    task->content = c;
    task->from = NODES;
    w.repairs += action->repair;
    for (size_t k = 0; k < action->holders_n; k++) {
        unsigned from = node_of(&action->holders[k]);
        if (linked(i, from) && has(from, c) && !w.nodes[from].damaged[c])
            task->from = from;
    }
    if (task->from < NODES)
        assert_int_equal(
            heap_set(&w.tasks, &task->at, w.now_ms + MINUTE + rng_below(&w.rng, 4 * MINUTE)), 0);
}

static void on_action(unsigned i, const struct keep_action *action)
{
    struct node *node = &w.nodes[i];
    unsigned c = content_of(action->content.root);
    struct task *task;
    switch (action->type) {
    case KEEP_SEND:
        if (!linked(i, node_of(&action->peer)) || (w.faults && rng_below(&w.rng, 20) == 0))
            break;
        task = post(TASK_RECV, node_of(&action->peer), w.now_ms + 50 + rng_below(&w.rng, 2000));
        task->from = i;
        assert_int_equal(buf_append(&task->data, action->data.data, action->data.len), 0);
        break;
    case KEEP_FETCH:
        on_fetch(i, action);
        break;
    case KEEP_DROP:
        task = post(TASK_DROPPED, i, w.now_ms + rng_below(&w.rng, MINUTE));
        task->content = c;
        break;
    case KEEP_NOTE:
        node->noted_ms[c] = action->wall_ms;
        break;
    case KEEP_SCRUB:
        task = post(TASK_SCRUBBED, i, w.now_ms + 10000);
        task->content = c;
        break;
    case KEEP_ADOPT:
        task = post(TASK_ADOPTED, i, w.now_ms + rng_below(&w.rng, MINUTE));
        task->content = c;
        break;
    case KEEP_DAMAGE:
        assert_true(node->damaged[c]);
        node->damaged[c] = false;
        node->place[c] = KEEP_NOWHERE;
        break;
    case KEEP_CHECK:
        task = post(TASK_CHECKED, i, w.now_ms + 10);
        task->content = content_of(action->root);
        task->token = action->token;
        break;
    case KEEP_DOUBT:
    case KEEP_SCARCE:
        break;
    }
}

static void step(unsigned i, struct keep_event *event)
{
    struct keep_output out;
    event->now_ms = w.now_ms;
    event->wall_ms = w.now_ms + 1000 * 24 * HOUR;
    assert_int_equal(keep_step(w.nodes[i].core, event, &out), 0);
    for (size_t k = 0; k < out.actions_n; k++)
        on_action(i, &out.actions[k]);
    keep_check(w.nodes[i].core);
}

static void dropped(unsigned i, unsigned c)
{
    struct node *node = &w.nodes[i];
    if (node->place[c] != KEEP_KEEP && node->place[c] != KEEP_STRAY)
        return;
    w.drops++;
    w.drops_live += w.live[c];
    unsigned others = others_of(i, c, false);
    for (unsigned k = 0; k < NODES; k++)
        others += k != i && w.nodes[k].wiped_ms != 0 && w.now_ms < w.nodes[k].wiped_ms + JUST_MS;
    if (w.live[c] && others == 0 && !w.lost[c])
        fail_with("the last copy of a live content is dropped", i, c);
    node->place[c] = KEEP_NOWHERE;
    node->damaged[c] = false;
    node->noted_ms[c] = 0;
    if (w.live[c] && others_of(i, c, false) == 0)
        w.lost[c] = true;
}

static void carry_out(struct task *task)
{
    unsigned i = task->node;
    unsigned c = task->content;
    struct node *node = &w.nodes[i];
    struct keep_event event = {.content = w.contents[c]};
    if (!node->up || task->life != node->life)
        return;
    switch (task->kind) {
    case TASK_FETCHED:
        event.type = KEEP_FETCHED;
        event.code = KITH_E_UNREACHABLE;
        if (task->from < NODES && linked(i, task->from) && has(task->from, c) &&
            !w.nodes[task->from].damaged[c]) {
            event.code = 0;
            w.fetches++;
            if (node->place[c] == KEEP_NOWHERE)
                node->place[c] = KEEP_KEEP;
            node->scrubbed_ms[c] = w.now_ms + 1000 * 24 * HOUR;
        }
        break;
    case TASK_DROPPED:
        event.type = KEEP_DROPPED;
        dropped(i, c);
        break;
    case TASK_SCRUBBED:
        event.type = KEEP_SCRUBBED;
        event.code = node->damaged[c] ? KITH_E_CORRUPT : 0;
        node->scrubbed_ms[c] = w.now_ms + 1000 * 24 * HOUR;
        break;
    case TASK_ADOPTED:
        event.type = KEEP_ADOPTED;
        event.code = node->damaged[c] ? KITH_E_CORRUPT : 0;
        if (node->place[c] != KEEP_STRAY)
            break; /* somebody put it there meanwhile */
        w.adopted += !node->damaged[c];
        node->place[c] = node->damaged[c] ? KEEP_NOWHERE : KEEP_KEEP;
        node->damaged[c] = false;
        node->scrubbed_ms[c] = w.now_ms + 1000 * 24 * HOUR;
        break;
    case TASK_CHECKED:
        event.type = KEEP_CHECKED;
        event.token = task->token;
        event.place = node->known_live[c] ? node->place[c] : KEEP_NOWHERE;
        break;
    case TASK_RECV:
        event.type = KEEP_RECV;
        event.peer = w.nodes[task->from].id;
        event.data = (struct kith_bytes){task->data.data, task->data.len};
        break;
    }
    step(i, &event);
    if (task->kind != TASK_RECV && task->kind != TASK_CHECKED)
        look(i, c);
}

/* ---- nodes ---- */

static void tell_links(unsigned i)
{
    for (unsigned k = 0; k < NODES; k++) {
        struct keep_event event = {.type = linked(i, k) ? KEEP_NODE_UP : KEEP_NODE_DOWN,
                                   .peer = w.nodes[k].id};
        if (k == i)
            continue;
        if (w.nodes[i].up)
            step(i, &event);
        event.peer = w.nodes[i].id;
        if (w.nodes[k].up)
            step(k, &event);
    }
}

static void start(unsigned i)
{
    struct node *node = &w.nodes[i];
    struct keep_config config = {.self = node->id, .day_ms = DAY_MS};
    struct keep_event event = {.type = KEEP_START};
    assert_int_equal(keep_new(&node->core, &config), 0);
    node->up = true;
    node->life++;
    step(i, &event);
    tell_links(i);
}

static void crash(unsigned i)
{
    keep_free(w.nodes[i].core);
    w.nodes[i].core = NULL;
    w.nodes[i].up = false;
    w.nodes[i].life++;
    tell_links(i);
}

/* ---- faults and users ---- */

static void wipe(unsigned i)
{
    struct node *node = &w.nodes[i];
    for (unsigned k = 0; k < NODES; k++)
        if (w.nodes[k].wiped_ms != 0 && w.now_ms < w.nodes[k].wiped_ms + HOUR)
            return;
    for (unsigned c = 0; c < CONTENTS; c++)
        if (w.live[c] && node->place[c] != KEEP_NOWHERE && others_of(i, c, false) == 0)
            return; /* that would be the last copy, which no rule brings back */
    node->wiped_ms = w.now_ms;
    memset(node->place, 0, sizeof(node->place));
    memset(node->damaged, 0, sizeof(node->damaged));
    memset(node->noted_ms, 0, sizeof(node->noted_ms));
    memset(node->known, 0, sizeof(node->known));
    memset(node->known_live, 0, sizeof(node->known_live));
}

/* What said what is in the keep is gone, and the files are there. */
static void lose_store(unsigned i)
{
    struct node *node = &w.nodes[i];
    for (unsigned k = 0; k < NODES; k++)
        if (w.nodes[k].wiped_ms != 0 && w.now_ms < w.nodes[k].wiped_ms + HOUR)
            return;
    node->wiped_ms = w.now_ms;
    for (unsigned c = 0; c < CONTENTS; c++)
        if (node->place[c] == KEEP_KEEP)
            node->place[c] = KEEP_STRAY;
    memset(node->noted_ms, 0, sizeof(node->noted_ms));
    memset(node->known, 0, sizeof(node->known));
    memset(node->known_live, 0, sizeof(node->known_live));
}

static void rot(unsigned i, unsigned c)
{
    bool any = false;
    for (unsigned k = 0; k < NODES; k++)
        any = any || w.nodes[k].damaged[c];
    /* One copy at a time, and others are left when the scrub takes it out. */
    if (!any && w.copies[c] >= 2 && w.nodes[i].place[c] == KEEP_KEEP && others_of(i, c, false) >= 2)
        w.nodes[i].damaged[c] = true;
}

static void user(unsigned i, unsigned c)
{
    struct node *node = &w.nodes[i];
    if (!node->up)
        return;
    switch (rng_below(&w.rng, 5)) {
    case 0: /* a new file with this content, in a folder or put */
        if (w.live[c])
            return;
        w.live[c] = true;
        w.lost[c] = false;
        node->place[c] = rng_below(&w.rng, 2) == 0 ? KEEP_FOLDER : KEEP_KEEP;
        node->damaged[c] = false;
        node->noted_ms[c] = 0;
        node->scrubbed_ms[c] = w.now_ms + 1000 * 24 * HOUR;
        node->known_live[c] = true;
        return;
    case 1: /* somebody has it in a folder too */
        if (w.live[c] && node->place[c] == KEEP_NOWHERE && others_of(i, c, false) > 0 &&
            rng_below(&w.rng, 4) == 0)
            node->place[c] = KEEP_FOLDER;
        return;
    case 2: /* a folder loses it */
        if (node->place[c] == KEEP_FOLDER && others_of(i, c, false) > 1)
            node->place[c] = KEEP_NOWHERE;
        return;
    case 3: /* deleted everywhere */
        if (w.live[c] && node->known_live[c] && rng_below(&w.rng, 6) == 0) {
            w.live[c] = false;
            node->known_live[c] = false;
            for (unsigned k = 0; k < NODES; k++)
                if (w.nodes[k].place[c] == KEEP_FOLDER)
                    w.nodes[k].place[c] = KEEP_NOWHERE;
        }
        return;
    default:
        rot(i, c);
    }
}

static void fault(void)
{
    unsigned i = (unsigned)rng_below(&w.rng, NODES);
    unsigned k = (unsigned)rng_below(&w.rng, NODES);
    switch (rng_below(&w.rng, 6)) {
    case 0:
        if (w.nodes[i].up)
            crash(i);
        return;
    case 1:
    case 2:
        if (!w.nodes[i].up)
            start(i);
        return;
    case 3:
        w.cut[i][k] = w.cut[k][i] = i != k && rng_below(&w.rng, 2) == 0;
        tell_links(i);
        return;
    case 4:
        if (w.nodes[i].up && rng_below(&w.rng, 3) == 0) {
            crash(i);
            if (rng_below(&w.rng, 2) == 0)
                wipe(i);
            else
                lose_store(i);
            start(i);
        }
        return;
    default:
        memset(w.cut, 0, sizeof(w.cut));
        for (unsigned n = 0; n < NODES; n++)
            tell_links(n);
    }
}

/* What nodes know of each other comes late, and not over cuts. */
static void spread(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        for (unsigned k = 0; k < NODES; k++) {
            if (!linked(i, k) || (w.faults && rng_below(&w.rng, 4) > 0))
                continue;
            for (unsigned c = 0; c < CONTENTS; c++) {
                bool holds = has(k, c);
                bool live =
                    w.live[c] == w.nodes[k].known_live[c] ? w.live[c] : w.nodes[i].known_live[c];
                bool fresh = holds != w.nodes[i].known[k][c] || live != w.nodes[i].known_live[c];
                w.nodes[i].known[k][c] = holds;
                w.nodes[i].known_live[c] = live;
                if (fresh && rng_below(&w.rng, 2) == 0)
                    look(i, c);
            }
        }
    }
}

static void until(uint64_t end_ms)
{
    struct heap_node *first;
    for (;;) {
        uint64_t least_ms = end_ms + 1;
        unsigned tick = NODES;
        for (unsigned i = 0; i < NODES; i++) {
            if (w.nodes[i].up && keep_deadline_ms(w.nodes[i].core) < least_ms) {
                least_ms = keep_deadline_ms(w.nodes[i].core);
                tick = i;
            }
        }
        first = heap_first(&w.tasks);
        if (first != NULL && first->key <= least_ms && first->key <= end_ms) {
            struct task *task = container_of(first, struct task, at);
            w.now_ms = first->key > w.now_ms ? first->key : w.now_ms;
            heap_remove(&w.tasks, first);
            carry_out(task);
            buf_deinit(&task->data);
            free(task);
        } else if (tick < NODES) {
            struct keep_event event = {.type = KEEP_TICK};
            w.now_ms = least_ms > w.now_ms ? least_ms : w.now_ms;
            step(tick, &event);
        } else {
            break;
        }
    }
    w.now_ms = end_ms;
}

static void minute(void)
{
    if (w.faults && rng_below(&w.rng, 8) == 0)
        fault();
    for (unsigned n = 0; n < 2 && w.faults; n++) {
        unsigned i = (unsigned)rng_below(&w.rng, NODES); /* in one order with every compiler */
        user(i, (unsigned)rng_below(&w.rng, CONTENTS));
    }
    spread();
    for (unsigned i = 0; i < NODES; i++)
        if ((w.now_ms / MINUTE + i) % 10 == 0)
            for (unsigned c = 0; c < CONTENTS; c++)
                look(i, c);
    until(w.now_ms + MINUTE);
}

/* ---- judging ---- */

static void judge(void)
{
    for (unsigned c = 0; c < CONTENTS; c++) {
        unsigned keeps = 0;
        unsigned folders = 0;
        for (unsigned i = 0; i < NODES; i++) {
            keeps += w.nodes[i].place[c] == KEEP_KEEP || w.nodes[i].place[c] == KEEP_STRAY;
            folders += w.nodes[i].place[c] == KEEP_FOLDER;
            if (w.nodes[i].damaged[c])
                fail_with("a damaged copy is left", i, c);
        }
        unsigned want = w.copies[c] > folders ? w.copies[c] : folders;
        if (w.lost[c])
            continue;
        if (w.live[c] && keeps + folders < want)
            fail_with("a live content has too few copies", keeps + folders, c);
        if (w.live[c] && keeps + folders > want)
            fail_with("a live content has too many copies", keeps + folders, c);
        if (!w.live[c] && keeps > 0)
            fail_with("what nothing names is kept", keeps, c);
    }
}

static void begin(uint64_t seed)
{
    memset(&w, 0, sizeof(w));
    rng_init(&w.rng, seed);
    w.now_ms = 1000 * MINUTE;
    for (unsigned c = 0; c < CONTENTS; c++) {
        w.contents[c] = (struct content){.size = 1000, .hash = 1, .chunk_log2 = 17};
        w.contents[c].root[0] = (uint8_t)c;
        w.contents[c].root[9] = (uint8_t)rng_below(&w.rng, 256);
        w.copies[c] = (uint8_t)(1 + rng_below(&w.rng, 3));
    }
    for (unsigned i = 0; i < NODES; i++) {
        w.nodes[i].id.bytes[0] = (uint8_t)(i + 1);
        w.nodes[i].id.bytes[5] = (uint8_t)rng_below(&w.rng, 256);
    }
    for (unsigned i = 0; i < NODES; i++)
        start(i);
}

static void end(void)
{
    struct heap_node *first;
    while ((first = heap_first(&w.tasks)) != NULL) {
        struct task *task = container_of(first, struct task, at);
        heap_remove(&w.tasks, first);
        buf_deinit(&task->data);
        free(task);
    }
    heap_deinit(&w.tasks);
    for (unsigned i = 0; i < NODES; i++)
        keep_free(w.nodes[i].core);
}

static const char *run_chaos(uint64_t seed)
{
    begin(seed);
    w.faults = true;
    while (w.now_ms < 4000 * MINUTE && w.problem == NULL)
        minute();
    w.faults = false;
    memset(w.cut, 0, sizeof(w.cut));
    for (unsigned i = 0; i < NODES; i++)
        if (!w.nodes[i].up)
            start(i);
    for (unsigned i = 0; i < NODES; i++)
        tell_links(i);
    /* Twice a hundred days of the scrub, and more than what is unreferenced is kept. */
    while (w.now_ms < 8200 * MINUTE && w.problem == NULL)
        minute();
    if (w.problem == NULL)
        judge();
    end();
    return w.problem;
}

/* Two that hold a copy too many at the same time, each of which sees the other. */
static const char *run_two(uint64_t seed)
{
    begin(seed);
    unsigned a = (unsigned)rng_below(&w.rng, NODES);
    unsigned b = (a + 1 + (unsigned)rng_below(&w.rng, NODES - 1)) % NODES;
    w.copies[0] = 1;
    w.live[0] = true;
    w.nodes[a].place[0] = w.nodes[b].place[0] = KEEP_KEEP;
    for (unsigned i = 0; i < NODES; i++) {
        w.nodes[i].known_live[0] = true;
        w.nodes[i].known[a][0] = w.nodes[i].known[b][0] = true;
    }
    while (w.now_ms < 1300 * MINUTE && w.problem == NULL) {
        look(a, 0); /* at the same time */
        look(b, 0);
        minute();
    }
    if (w.problem == NULL)
        judge();
    end();
    return w.problem;
}

#ifndef KITH_MUTANTS

static void all_pass(const char *(*run)(uint64_t seed), uint64_t seeds_n)
{
    uint64_t first = test_seed();
    uint64_t drops = 0;
    uint64_t fetches = 0;
    uint64_t repairs = 0;
    uint64_t adopted = 0;
    for (uint64_t seed = first; seed < first + seeds_n; seed++) {
        const char *problem = run(seed);
        if (problem != NULL)
            fail_msg("seed %llu: %s", (unsigned long long)seed, problem);
        drops += w.drops_live;
        fetches += w.fetches;
        repairs += w.repairs;
        adopted += w.adopted;
    }
    print_message("%llu copies fetched, %llu of them for damage; %llu taken in; %llu of live "
                  "contents dropped\n",
                  (unsigned long long)fetches, (unsigned long long)repairs,
                  (unsigned long long)adopted, (unsigned long long)drops);
    assert_true((fetches > 0 && adopted > 0) || run == run_two);
    assert_true(drops > 0);
}

static void whatever_happens_no_last_copy_goes_and_all_have_theirs(void **state)
{
    (void)state;
    all_pass(run_chaos, 15);
}

static void of_two_that_see_each_other_one_stays(void **state)
{
    (void)state;
    all_pass(run_two, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_happens_no_last_copy_goes_and_all_have_theirs),
        cmocka_unit_test(of_two_that_see_each_other_one_stays),
    };
    return cmocka_run_group_tests_name("fs_keep_world", tests, NULL, NULL);
}

#else

static void dropping_without_a_question_is_caught(void **state)
{
    (void)state;
    assert_caught(MUTANT_FS_DROP_LAST, run_chaos, 10);
}

static void two_that_drop_because_of_each_other_are_caught(void **state)
{
    (void)state;
    assert_caught(MUTANT_FS_DROP_MUTUAL, run_two, 10);
}

static void a_stray_that_goes_at_once_is_caught(void **state)
{
    (void)state;
    assert_caught(MUTANT_FS_STRAYS_GO, run_chaos, 20);
}

static void a_scrub_without_repair_is_caught(void **state)
{
    (void)state;
    assert_caught(MUTANT_FS_NO_REPAIR, run_chaos, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dropping_without_a_question_is_caught),
        cmocka_unit_test(two_that_drop_because_of_each_other_are_caught),
        cmocka_unit_test(a_stray_that_goes_at_once_is_caught),
        cmocka_unit_test(a_scrub_without_repair_is_caught),
    };
    return cmocka_run_group_tests_name("fs_keep_mutants", tests, NULL, NULL);
}

#endif

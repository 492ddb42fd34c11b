/*
 * The catalogue in a world of faults: frames are lost, doubled, overtaken; links break; clocks
 * jump; nodes crash with what was not synced, come back with an empty disk, or with an old image of
 * theirs; files are changed, deleted and renamed on several sides at once. Afterwards all is
 * healed, and:
 *
 * - all nodes show the same: versions, conflicts and their names, holders;
 * - what was acknowledged is there, or a version that has seen it, unless every disk that had it is
 *   gone;
 * - nothing is there that nobody published, and no counter was used for two versions;
 * - what is shown is what the rules say of the versions that there are.
 *
 * Built twice: plain, and with the switches of core/mutant.h, where the same runs must fail.
 */
#include "core/mutant.h"
#include "fs_world.h"

#define FAULTS_MS 30000
#define HEALED_MS 60000

static const struct kith_bytes share = {"s", 1};

static void fault(void)
{
    unsigned i = (unsigned)rng_below(&fw.rng, FS_WORLD_NODES);
    unsigned k = (unsigned)rng_below(&fw.rng, FS_WORLD_NODES);
    struct world_node *node = &fw.nodes[i];
    switch (rng_below(&fw.rng, 9)) {
    case 0:
    case 1:
        fs_world_set_link(i, k, false);
        return;
    case 2:
    case 3:
        fs_world_set_link(i, k, true);
        return;
    case 4:
        if (!node->steady)
            node->wall_off_ms = ((int64_t)rng_below(&fw.rng, 3) - 1) * 3600 * 1000;
        return;
    case 5:
    case 6:
        if (node->up && node->steady)
            fs_world_image(i);
        return;
    default:
        if (node->up) {
            fs_world_crash(i);
            return;
        }
        if (node->steady && rng_below(&fw.rng, 4) > 0)
            fs_world_change_disk(i, WORLD_RESTORED);
        else if (rng_below(&fw.rng, 4) == 0)
            fs_world_change_disk(i, WORLD_WIPED);
        fs_world_start(i);
    }
}

/* ---- judging ---- */

/* All that a node shows, as text. */
static void describe(unsigned i, struct buf *out)
{
    struct fs_catalogue *core = fw.nodes[i].core;
    for (unsigned p = 0; p < FS_WORLD_PATHS; p++) {
        struct fs_entry entries[64];
        struct kith_bytes path = {fs_world_path(p), strlen(fs_world_path(p))};
        size_t n = fs_catalogue_versions(core, share, path, entries, 64);
        for (size_t k = 0; k < n && k < 64; k++)
            assert_int_equal(buf_printf(out, "%s: %016llx kind %u holders %u %s%s\n",
                                        fs_world_path(p), (unsigned long long)entries[k].version_id,
                                        entries[k].kind, entries[k].holders_n,
                                        entries[k].is_conflict ? "conflict" : "",
                                        entries[k].is_history ? "history" : ""),
                             0);
    }
    struct fs_listing at = {0};
    struct fs_entry entries[16];
    size_t n;
    struct kith_bytes root = {"", 0};
    while (!at.ended && fs_catalogue_list(core, share, root, &at, entries, 3, &n) == 0)
        for (size_t k = 0; k < n; k++)
            assert_int_equal(buf_printf(out, "- %s %u %llu\n", entries[k].name, entries[k].kind,
                                        (unsigned long long)entries[k].below_n),
                             0);
    for (unsigned c = 1; c <= fw.contents; c++) {
        struct fs_content_facts facts = {0};
        struct content content = fs_world_content(c);
        struct kith_node_id holders[FS_WORLD_NODES];
        if (fs_catalogue_content(core, content.root, &facts, holders, FS_WORLD_NODES) == 0)
            assert_int_equal(buf_printf(out, "content %u: live %u copies %u holders %zu\n", c,
                                        facts.live, facts.copies,
                                        facts.holders_n + (facts.own != 0)),
                             0);
    }
}

static void judge_agreement(void)
{
    struct buf first = {0};
    describe(0, &first);
    for (unsigned i = 1; i < FS_WORLD_NODES; i++) {
        struct buf other = {0};
        describe(i, &other);
        if (other.len != first.len || memcmp(other.data, first.data, first.len) != 0) {
            fs_world_wrong("nodes 0 and %u show different things", i);
            if (getenv("FS_WORLD_PRINT") != NULL)
                (void)fprintf(stderr, "--- 0\n%.*s--- %u\n%.*s", (int)first.len, first.data, i,
                              (int)other.len, other.data);
        }
        if (fs_catalogue_digest(fw.nodes[i].core) != fs_catalogue_digest(fw.nodes[0].core))
            fs_world_wrong("nodes 0 and %u have different digests", i);
        buf_deinit(&other);
    }
    buf_deinit(&first);
}

static void judge_promises(void)
{
    for (size_t k = 0; k < fw.versions_n; k++) {
        const struct world_version *v = &fw.versions[k];
        if (v->acked && !v->excused && !fs_world_knows(0, v))
            fs_world_wrong("%s: an acknowledged version (%llx of node %u) is lost",
                           fs_world_path(v->path), (unsigned long long)v->id, v->node);
    }
}

static bool was_made(uint64_t id, uint8_t kind)
{
    for (size_t k = 0; k < fw.versions_n; k++)
        if (fw.versions[k].id == id)
            return fw.versions[k].version.kind == kind && fw.versions[k].durable;
    return false;
}

/* The rules again, by version.h, on what node 0 has of a path. */
static void judge_path(unsigned p)
{
    static struct fs_version versions[64];
    struct fs_entry entries[64];
    struct kith_bytes path = {fs_world_path(p), strlen(fs_world_path(p))};
    struct fs_entry shown;
    size_t n = fs_catalogue_versions(fw.nodes[0].core, share, path, entries, 64);
    size_t best = SIZE_MAX;
    assert_true(n <= 64);
    for (size_t k = 0; k < n; k++) {
        fs_known_version(fw.nodes[0].core, entries[k].known, &versions[k]);
        if (!was_made(entries[k].version_id, entries[k].kind))
            fs_world_wrong("%s: a version that nobody published", fs_world_path(p));
    }
    for (size_t k = 0; k < n; k++) {
        bool history = false;
        for (size_t o = 0; o < n; o++)
            history = history || (o != k && fs_version_replaces(&versions[o], &versions[k]));
        if (history != entries[k].is_history)
            fs_world_wrong("%s: a version is taken for history, or is not", fs_world_path(p));
        if (!history && (best == SIZE_MAX || fs_version_order(&versions[k], &versions[best]) < 0))
            best = k;
    }
    bool has = fs_catalogue_stat(fw.nodes[0].core, share, path, &shown) == 0 && shown.known != NULL;
    bool should = best != SIZE_MAX && versions[best].kind != FS_DELETED;
    if (has != should)
        fs_world_wrong("%s: is %s, and should be otherwise", fs_world_path(p),
                       has ? "shown" : "deleted");
    else if (has && shown.version_id != entries[best].version_id)
        fs_world_wrong("%s: another version should be shown", fs_world_path(p));
}

static void judge(void)
{
    for (unsigned i = 0; i < FS_WORLD_NODES; i++) {
        struct catalogue_stats stats;
        fs_catalogue_stats(fw.nodes[i].core, &stats);
        fs_catalogue_check(fw.nodes[i].core);
        if (stats.waiting != 0)
            fs_world_wrong("node %u: %llu publications have not ended", i,
                           (unsigned long long)stats.waiting);
        if (stats.lost != 0)
            fs_world_wrong("node %u: %llu versions are named by nobody", i,
                           (unsigned long long)stats.lost);
    }
    judge_agreement();
    judge_promises();
    for (unsigned p = 0; p < FS_WORLD_PATHS; p++)
        judge_path(p);
}

/* ---- runs ---- */

static const char *run_chaos(uint64_t seed)
{
    fs_world_begin(seed);
    uint64_t op_ms = 5 + rng_below(&fw.rng, 100);
    uint64_t fault_ms = 100 + rng_below(&fw.rng, 2000);
    uint64_t next_op_ms = fw.now_ms;
    uint64_t next_fault_ms = fw.now_ms + fault_ms;
    while (fw.now_ms < FAULTS_MS && fw.problem == NULL) {
        fs_world_until(next_op_ms < next_fault_ms ? next_op_ms : next_fault_ms);
        if (fw.now_ms >= next_op_ms) {
            fs_world_operate();
            next_op_ms = fw.now_ms + 1 + rng_below(&fw.rng, 2 * op_ms);
        }
        if (fw.now_ms >= next_fault_ms) {
            fault();
            next_fault_ms = fw.now_ms + 1 + rng_below(&fw.rng, 2 * fault_ms);
        }
    }
    fs_world_heal();
    if (fw.problem == NULL)
        fs_world_until(fw.now_ms + HEALED_MS);
    if (fw.problem == NULL)
        judge();
    const char *problem = fw.problem;
    if (getenv("FS_WORLD_PRINT") != NULL)
        (void)fprintf(
            stderr,
            "# seed %llu: %llu steps, %llu acknowledged, %zu versions, %llu restored, %llu "
            "wiped, %llu renewed: %s\n",
            (unsigned long long)seed, (unsigned long long)fw.steps_n,
            (unsigned long long)fw.acked_n, fw.versions_n, (unsigned long long)fw.restored_n,
            (unsigned long long)fw.wiped_n, (unsigned long long)fw.renewed_n,
            problem != NULL ? problem : "fine");
    fs_world_end();
    return problem;
}

#ifndef KITH_MUTANTS

static void whatever_happens_all_agree_and_nothing_promised_is_lost(void **state)
{
    uint64_t first = test_seed();
    const char *n = getenv("FS_WORLD_SEEDS");
    uint64_t seeds_n = n != NULL ? strtoull(n, NULL, 10) : 20;
    (void)state;
    for (uint64_t seed = first; seed < first + seeds_n; seed++) {
        const char *problem = run_chaos(seed);
        if (problem != NULL)
            fail_msg("seed %llu: %s", (unsigned long long)seed, problem);
    }
}

/* Its disk was restored when the others had a part of its newer index, and nobody all of it: three
 * of six waited for the rest for ever. */
static void an_owner_hears_of_an_index_of_its_own_that_nobody_has_whole(void **state)
{
    (void)state;
    const char *problem = run_chaos(12);
    if (problem != NULL)
        fail_msg("%s", problem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_happens_all_agree_and_nothing_promised_is_lost),
        cmocka_unit_test(an_owner_hears_of_an_index_of_its_own_that_nobody_has_whole),
    };
    return cmocka_run_group_tests_name("fs_world", tests, NULL, NULL);
}

#else

#define SEEDS_MAX 20

static void caught(enum mutant mutant)
{
    uint64_t seed = 1;
    const char *problem = NULL;
    mutant_on = mutant;
    while (problem == NULL && seed <= SEEDS_MAX)
        problem = run_chaos(seed++);
    mutant_on = MUTANT_NONE;
    print_message("%s: seed %llu: %s\n", mutant_names[mutant], (unsigned long long)seed - 1,
                  problem != NULL ? problem : "not noticed");
    assert_non_null(problem);
}

static void the_same_runs_pass_with_all_rules(void **state)
{
    (void)state;
    mutant_on = MUTANT_NONE;
    for (uint64_t seed = 1; seed <= SEEDS_MAX; seed++) {
        const char *problem = run_chaos(seed);
        if (problem != NULL)
            fail_msg("seed %llu: %s", (unsigned long long)seed, problem);
    }
}

static void a_counter_without_the_clock_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_FS_NO_CLOCK_FLOOR);
}
static void an_index_that_goes_on_after_a_restore_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_FS_NO_RENEWAL);
}
static void forgetting_what_only_an_old_index_named_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_FS_ORPHANS_DROPPED);
}
static void a_deletion_that_wins_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_FS_DELETE_WINS);
}
static void showing_what_came_first_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_FS_ARRIVAL_WINS);
}
static void announcing_before_it_is_stored_is_caught(void **state)
{
    (void)state;
    caught(MUTANT_FS_ANNOUNCED_EARLY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_runs_pass_with_all_rules),
        cmocka_unit_test(a_counter_without_the_clock_is_caught),
        cmocka_unit_test(an_index_that_goes_on_after_a_restore_is_caught),
        cmocka_unit_test(forgetting_what_only_an_old_index_named_is_caught),
        cmocka_unit_test(a_deletion_that_wins_is_caught),
        cmocka_unit_test(showing_what_came_first_is_caught),
        cmocka_unit_test(announcing_before_it_is_stored_is_caught),
    };
    return cmocka_run_group_tests_name("fs_mutants", tests, NULL, NULL);
}

#endif

/*
 * Many paths with one content: a hundred thousand empty files. What is asked about the content
 * whenever one of them comes or goes must not cost what all of them cost.
 */
#include "core/error.h"
#include "fs_nodes.h"

#define FILES   100000
#define AT_ONCE 100
/* What an answer may cost: the few that are looked at before they are counted, or the disks and
 * shares that there are. */
#define LOOKED_MAX 40

static uint64_t looked_most;

static struct fs_content_facts ask(unsigned node, struct kith_node_id *holders, size_t max)
{
    struct fs_content_facts facts = {0};
    struct content content = nodes_content(7);
    int r = fs_catalogue_content(ns.node[node].core, content.root, &facts, holders, max);
    assert_true(r == 0 || r == KITH_E_NOT_FOUND);
    looked_most = facts.looked_n > looked_most ? facts.looked_n : looked_most;
    return facts;
}

/* Some equal files, from @first on, come (@change FS_PUT) or go. */
static void change(unsigned node, uint8_t change, unsigned first)
{
    static struct fs_publication p[AT_ONCE];
    static char paths[AT_ONCE][48];
    for (unsigned i = 0; i < AT_ONCE; i++) {
        (void)snprintf(paths[i], sizeof(paths[i]), "d%u/%u", (first + i) / 1000, first + i);
        p[i] = nodes_publication(change, FS_ON_OWN, paths[i]);
        p[i].content = nodes_content(7);
    }
    struct catalogue_event event = {.type = CATALOGUE_PUBLISH, .publications = p, .n = AT_ONCE};
    (void)nodes_step(node, &event);
    assert_int_equal(ns.node[node].code, 0);
}

static void publish_root(const char *share, uint8_t replicas)
{
    struct fs_publication p = nodes_publication(FS_PUT, FS_ON_OWN, "");
    p.share = share;
    p.kind = FS_DIRECTORY;
    p.replicas = replicas;
    assert_int_equal(nodes_publish(0, &p), 0);
}

static void a_change_among_many_equal_files_costs_what_it_costs_among_few(void **state)
{
    struct kith_node_id holders[4];
    (void)state;
    looked_most = 0;
    nodes_begin(3);
    nodes_link(0, 1, true);
    nodes_link(1, 2, true);
    for (unsigned i = 0; i < FILES; i += AT_ONCE) {
        change(0, FS_PUT, i);
        struct fs_content_facts facts = ask(0, holders, 4);
        assert_true(facts.live && facts.own == FS_IN_FOLDER && facts.holders_n == 0);
        facts = ask(1, holders, 4);
        assert_true(facts.live && facts.own == FS_NOWHERE && facts.holders_n == 1);
        assert_true(kith_node_id_equal(&holders[0], &ns.node[0].author.node));
    }
    assert_true(looked_most <= LOOKED_MAX);
    print_message("looked at for an answer among %u: at most %llu\n", FILES,
                  (unsigned long long)looked_most);

    /* One other holder, which has all of them at once; what one more share wants. */
    assert_int_equal(nodes_hold(1, 7, true), 0);
    nodes_wait(1000);
    assert_int_equal(ask(2, holders, 4).holders_n, 2);
    assert_int_equal(ask(1, holders, 4).own, FS_IN_KEEP);
    assert_int_equal(ask(1, holders, 4).copies, 3);
    publish_root("t", 5);
    struct fs_publication p = nodes_publication(FS_PUT, FS_ON_OWN, "one");
    p.share = "t";
    p.content = nodes_content(7);
    assert_int_equal(nodes_publish(0, &p), 0);
    nodes_wait(1000);
    assert_int_equal(ask(2, holders, 4).copies, 5);
    publish_root("t", 2);
    nodes_wait(1000);
    assert_int_equal(ask(2, holders, 4).copies, 3);

    /* Nearly all go; the answers are those of the few that are left, then none is. */
    for (unsigned i = AT_ONCE; i < FILES; i += AT_ONCE) {
        change(0, FS_DELETE, i);
        assert_int_equal(ask(0, holders, 4).own, FS_IN_FOLDER);
    }
    for (unsigned i = 0; i < 3; i++)
        fs_catalogue_check(ns.node[i].core);
    change(0, FS_DELETE, 0);
    nodes_wait(1000);
    assert_int_equal(ask(2, holders, 4).copies, 2); /* that of the other share */
    p = nodes_publication(FS_DELETE, FS_ON_OWN, "one");
    p.share = "t";
    assert_int_equal(nodes_publish(0, &p), 0);
    nodes_wait(1000);
    assert_false(ask(2, holders, 4).live);
    assert_int_equal(ask(2, holders, 4).holders_n, 1);
    assert_int_equal(nodes_hold(1, 7, false), 0);
    nodes_wait(1000);
    assert_int_equal(ask(2, holders, 4).holders_n, 0);
    assert_true(looked_most <= LOOKED_MAX);
    nodes_end(); /* looks at all invariants */
}

/* Both ways of answering, at the border between them, give the same. */
static void counted_or_looked_at_the_answer_is_the_same(void **state)
{
    char path[8];
    (void)state;
    nodes_begin(2);
    nodes_link(0, 1, true);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 1; i <= 40; i++) {
            (void)snprintf(path, sizeof(path), "f%u", i);
            assert_int_equal(nodes_put(i % 2, path, 7, FS_ON_OWN), 0);
            fs_catalogue_check(ns.node[0].core);
            assert_int_equal(ask(0, NULL, 0).holders_n, 1);
            assert_int_equal(ask(1, NULL, 0).holders_n, i > 1 || round > 0);
            assert_true(ask(0, NULL, 0).live);
        }
        for (unsigned i = 40; i > 2; i--) {
            (void)snprintf(path, sizeof(path), "f%u", i);
            assert_int_equal(nodes_put(i % 2, path, round == 1 ? 8 : 0, FS_ON_OWN), 0);
            fs_catalogue_check(ns.node[1].core);
            assert_int_equal(ask(0, NULL, 0).holders_n, 1);
            assert_int_equal(ask(1, NULL, 0).own, FS_IN_FOLDER);
        }
    }
    nodes_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_among_many_equal_files_costs_what_it_costs_among_few),
        cmocka_unit_test(counted_or_looked_at_the_answer_is_the_same),
    };
    return cmocka_run_group_tests_name("fs_equal", tests, NULL, NULL);
}

/*
 * Rules of the catalogue, one by one.
 */
#include <malloc.h>

#include "core/error.h"
#include "fs/contents.h"
#include "fs_nodes.h"

static const struct kith_bytes share = {"s", 1};

static void a_file_is_shown_when_it_is_stored_and_not_before(void **state)
{
    (void)state;
    nodes_begin(2);
    nodes_link(0, 1, true);
    ns.node[0].holds_sync = true;
    struct fs_publication p = nodes_publication(FS_PUT, FS_ON_OWN, "a");
    p.content = nodes_content(7);
    assert_int_equal(nodes_publish(0, &p), 1); /* nothing yet */
    assert_int_equal(nodes_shows(0, "a"), 0);
    assert_int_equal(nodes_shows(1, "a"), 0);
    struct catalogue_event stored = {.type = CATALOGUE_STORED, .token = ns.node[0].held_token};
    (void)nodes_step(0, &stored);
    assert_int_equal(ns.node[0].code, 0);
    assert_int_equal(ns.node[0].published_id, p.id);
    assert_int_equal(nodes_shows(0, "a"), 7);
    assert_int_equal(nodes_shows(1, "a"), 7);
    struct fs_entry entry = nodes_stat(1, "a");
    assert_int_equal(entry.holders_n, 1);
    assert_int_equal(entry.version_id, ns.node[0].published_version);
    assert_int_equal(ns.node[1].verified_n, 0); /* it came from its author */
    nodes_end();
}

static void what_cannot_be_stored_is_not_there(void **state)
{
    (void)state;
    nodes_begin(1);
    ns.node[0].holds_sync = true;
    (void)nodes_put(0, "a", 7, FS_ON_OWN);
    struct catalogue_event stored = {
        .type = CATALOGUE_STORED, .token = ns.node[0].held_token, .code = KITH_E_IO};
    (void)nodes_step(0, &stored);
    assert_int_equal(ns.node[0].code, KITH_E_IO);
    assert_int_equal(nodes_shows(0, "a"), 0);
    ns.node[0].holds_sync = false;
    assert_int_equal(nodes_put(0, "a", 8, FS_ON_OWN), 0);
    assert_int_equal(nodes_shows(0, "a"), 8);
    nodes_end();
}

static void changes_are_told_as_what_they_are(void **state)
{
    (void)state;
    nodes_begin(2);
    nodes_link(0, 1, true);
    assert_int_equal(nodes_put(0, "d/a", 7, FS_ON_OWN), 0);
    assert_int_equal(nodes_change(1, FS_CREATED, "d/a")->after, 7);
    nodes_forget_changes();
    assert_int_equal(nodes_put(0, "d/a", 8, FS_ON_OWN), 0);
    assert_int_equal(nodes_change(1, FS_MODIFIED, "d/a")->before, 7);
    assert_int_equal(nodes_change(1, FS_MODIFIED, "d/a")->after, 8);
    struct fs_publication p = nodes_publication(FS_PUT, FS_ON_OWN, "d/a");
    p.content = nodes_content(8);
    p.mode = 0755;
    assert_int_equal(nodes_publish(0, &p), 0);
    assert_non_null(nodes_change(1, FS_ATTRIBUTES, "d/a"));
    nodes_forget_changes();
    struct fs_publication both[2] = {nodes_publication(FS_PUT, FS_ON_OWN, "d/b"),
                                     nodes_publication(FS_DELETE, FS_ON_OWN, "d/a")};
    both[0].content = nodes_content(8);
    both[0].mode = 0755;
    struct catalogue_event event = {.type = CATALOGUE_PUBLISH, .publications = both, .n = 2};
    (void)nodes_step(0, &event);
    for (unsigned i = 0; i < 2; i++) {
        assert_string_equal(nodes_change(i, FS_RENAMED, "d/b")->from, "d/a");
        assert_int_equal(ns.node[i].changes_n, 1);
    }
    nodes_forget_changes();
    assert_int_equal(nodes_put(0, "d/b", 0, FS_ON_OWN), 0);
    assert_int_equal(nodes_change(1, FS_REMOVED, "d/b")->before, 8);
    nodes_end();
}

static void the_same_again_makes_no_version(void **state)
{
    (void)state;
    nodes_begin(2);
    nodes_link(0, 1, true);
    assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
    uint64_t version = ns.node[0].published_version;
    assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
    assert_int_equal(ns.node[0].published_version, version);
    assert_int_equal(ns.node[0].signed_n, 1);
    /* Another node with the same file takes the version that there is. */
    assert_int_equal(nodes_put(1, "a", 7, FS_ON_OWN), 0);
    assert_int_equal(ns.node[1].published_version, version);
    assert_int_equal(ns.node[1].signed_n, 0);
    assert_int_equal(nodes_stat(0, "a").holders_n, 2);
    assert_int_equal(nodes_put(1, "a", 9, FS_ON_OWN), 0);
    assert_int_equal(nodes_shows(0, "a"), 9);
    assert_int_equal(nodes_stat(0, "a").conflicts_n, 0); /* it was made on the other */
    nodes_end();
}

static void two_sides_of_a_cut_become_a_conflict_and_one_choice_ends_it(void **state)
{
    (void)state;
    nodes_begin(2);
    nodes_link(0, 1, true);
    assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
    nodes_link(0, 1, false);
    assert_int_equal(nodes_put(0, "a", 8, FS_ON_CURRENT), 0);
    ns.wall_ms += 5000;
    assert_int_equal(nodes_put(1, "a", 9, FS_ON_CURRENT), 0);
    nodes_forget_changes();
    nodes_link(0, 1, true);
    struct fs_entry entries[4];
    struct fs_entry first[4];
    struct kith_bytes path = {"a", 1};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(nodes_shows(i, "a"), 9); /* the later one */
        assert_int_equal(nodes_stat(i, "a").conflicts_n, 1);
        struct fs_listing at = {0};
        size_t n;
        assert_int_equal(fs_catalogue_list(ns.node[i].core, share, (struct kith_bytes){"", 0}, &at,
                                           entries, 4, &n),
                         0);
        assert_int_equal(n, 2);
        assert_true(entries[1].is_conflict);
        assert_int_equal(entries[1].size, 8);
        assert_non_null(strstr(entries[1].name, "a.conflict-20231114T221320.000Z-"));
        assert_int_equal(nodes_shows(i, entries[1].name), 8); /* found by that name */
        first[i] = entries[1];
    }
    assert_int_equal(first[0].version_id, first[1].version_id);
    assert_non_null(nodes_change(1, FS_CONFLICTED, "a"));
    struct fs_publication p = nodes_publication(FS_RESOLVE, FS_ON_ALL, "a");
    p.version_id = first[0].version_id;
    nodes_forget_changes();
    assert_int_equal(nodes_publish(1, &p), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(nodes_shows(i, "a"), 8);
        assert_int_equal(nodes_stat(i, "a").conflicts_n, 0);
        assert_int_equal(fs_catalogue_versions(ns.node[i].core, share, path, entries, 4),
                         3 /* and what the folder of 0 has, and what was put there */);
    }
    assert_non_null(nodes_change(0, FS_MODIFIED, "a"));
    nodes_end();
}

static void a_change_beside_a_deletion_stands(void **state)
{
    (void)state;
    nodes_begin(2);
    nodes_link(0, 1, true);
    assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
    assert_int_equal(nodes_put(1, "a", 7, FS_ON_OWN), 0);
    nodes_link(0, 1, false);
    assert_int_equal(nodes_put(0, "a", 8, FS_ON_OWN), 0);
    ns.wall_ms += 5000;
    assert_int_equal(nodes_put(1, "a", 0, FS_ON_OWN), 0);
    nodes_link(0, 1, true);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(nodes_shows(i, "a"), 8);
        assert_int_equal(nodes_stat(i, "a").conflicts_n, 0);
    }
    nodes_end();
}

static void a_folder_that_has_not_seen_a_change_does_not_replace_it(void **state)
{
    (void)state;
    nodes_begin(2);
    nodes_link(0, 1, true);
    assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
    assert_int_equal(nodes_put(1, "a", 8, FS_ON_CURRENT), 0);
    assert_int_equal(nodes_shows(0, "a"), 8);
    assert_int_equal(nodes_stat(0, "a").conflicts_n, 0);
    /* The plain folder of 0 still has 7; its user edits that. */
    assert_int_equal(nodes_put(0, "a", 9, FS_ON_OWN), 0);
    assert_int_equal(nodes_stat(1, "a").conflicts_n, 1);
    /* And what was changed at 0 by name is not its folder's. */
    assert_int_equal(nodes_put(0, "b", 7, FS_ON_OWN), 0);
    assert_int_equal(nodes_put(0, "b", 8, FS_ON_CURRENT), 0);
    assert_int_equal(nodes_put(0, "b", 9, FS_ON_OWN), 0);
    assert_int_equal(nodes_stat(1, "b").conflicts_n, 1);
    nodes_end();
}

/* What is put by name into the folder itself the folder has seen: a change there follows it, and
 * what was put is held there no longer. */
static void a_folder_goes_on_from_what_was_put_into_it(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 2; first++) {
        struct fs_content_facts facts;
        nodes_begin(2);
        nodes_link(0, 1, true);
        if (first == 1)
            assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
        struct fs_publication p = nodes_publication(FS_PUT, FS_ON_CURRENT, "a");
        p.content = nodes_content(8);
        p.place = FS_IN_FOLDER;
        assert_int_equal(nodes_publish(0, &p), 0);
        assert_int_equal(nodes_stat(1, "a").holders_n, 1);
        assert_int_equal(nodes_put(0, "a", 9, FS_ON_OWN), 0);
        nodes_wait(10000);
        assert_int_equal(nodes_shows(1, "a"), 9);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(nodes_stat(i, "a").conflicts_n, 0);
            int r = fs_catalogue_content(ns.node[i].core, nodes_content(8).root, &facts, NULL, 0);
            assert_true(r == KITH_E_NOT_FOUND || (facts.own == 0 && facts.holders_n == 0));
        }
        assert_int_equal(nodes_put(0, "a", 0, FS_ON_OWN), 0);
        assert_int_equal(nodes_shows(1, "a"), 0);
        nodes_end();
    }
}

/* Two share the same file before they know each other: that is one file, also once it changes. */
static void equal_files_of_two_folders_are_one_when_one_of_them_changes(void **state)
{
    (void)state;
    for (unsigned content = 0; content < 10; content += 9) {
        nodes_begin(3);
        assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
        ns.wall_ms += 5000;
        assert_int_equal(nodes_put(1, "a", 7, FS_ON_OWN), 0);
        assert_int_equal(nodes_put(2, "a", 8, FS_ON_OWN), 0); /* another is another */
        nodes_link(0, 1, true);
        assert_int_equal(nodes_stat(0, "a").conflicts_n, 0);
        assert_int_equal(nodes_stat(0, "a").holders_n, 2);
        assert_int_equal(nodes_put(0, "a", content, FS_ON_OWN), 0);
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(nodes_shows(i, "a"), content);
            assert_int_equal(nodes_stat(i, "a").conflicts_n, 0);
        }
        nodes_link(1, 2, true);
        nodes_wait(1000);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(nodes_stat(i, "a").conflicts_n, content == 0 ? 0 : 1);
        nodes_end();
    }
}

static void what_a_node_has_is_told_by_its_name(void **state)
{
    (void)state;
    nodes_begin(2);
    nodes_link(0, 1, true);
    struct fs_entry entry;
    assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
    assert_int_equal(nodes_put(1, "a", 8, FS_ON_CURRENT), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(fs_catalogue_stat_at(ns.node[i].core, share, (struct kith_bytes){"a", 1},
                                              &ns.node[0].author.node, &entry),
                         0);
        assert_int_equal(entry.size, 7);
        assert_int_equal(fs_catalogue_stat_at(ns.node[i].core, share, (struct kith_bytes){"a", 1},
                                              &ns.node[1].author.node, &entry),
                         0);
        assert_int_equal(entry.size, 8);
    }
    nodes_end();
}

static void only_if_it_is_what_was_seen(void **state)
{
    (void)state;
    nodes_begin(1);
    struct fs_publication p = nodes_publication(FS_PUT, FS_ON_CURRENT, "a");
    p.content = nodes_content(7);
    p.only_if = FS_ONLY_IF_ABSENT;
    assert_int_equal(nodes_publish(0, &p), 0);
    p.content = nodes_content(8);
    assert_int_equal(nodes_publish(0, &p), KITH_E_FENCE);
    p.only_if = nodes_stat(0, "a").version_id;
    assert_int_equal(nodes_publish(0, &p), 0);
    assert_int_equal(nodes_publish(0, &p), KITH_E_FENCE);
    assert_int_equal(nodes_shows(0, "a"), 8);
    nodes_end();
}

static void names_that_cannot_be_are_refused(void **state)
{
    (void)state;
    nodes_begin(1);
    assert_int_equal(nodes_put(0, "../a", 7, FS_ON_OWN), KITH_E_NAME);
    assert_int_equal(nodes_put(0, "a//b", 7, FS_ON_OWN), KITH_E_NAME);
    assert_int_equal(nodes_put(0, "", 7, FS_ON_OWN), KITH_E_INVALID);
    assert_int_equal(nodes_put(0, "a", 0, FS_ON_OWN), KITH_E_NOT_FOUND);
    assert_int_equal(nodes_put(0, "a", 0, FS_ON_CURRENT), KITH_E_NOT_FOUND);
    nodes_end();
}

static void a_forged_version_is_not_taken(void **state)
{
    (void)state;
    nodes_begin(3);
    nodes_link(0, 1, true);
    ns.node[0].lies = true;
    assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
    assert_int_equal(nodes_shows(1, "a"), 7); /* from the author itself, by its channel */
    nodes_link(1, 2, true);
    nodes_wait(100);
    assert_int_equal(nodes_shows(2, "a"), 0);
    assert_true(ns.node[2].forged_n > 0);
    nodes_end();
}

static void news_travel_through_others_and_are_checked_once(void **state)
{
    (void)state;
    nodes_begin(4);
    for (unsigned i = 0; i < 3; i++)
        nodes_link(i, i + 1, true);
    assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
    nodes_wait(100);
    assert_int_equal(nodes_shows(3, "a"), 7);
    assert_int_equal(ns.node[1].verified_n, 0);
    assert_int_equal(ns.node[3].verified_n, 1);
    for (unsigned i = 1; i < 4; i++)
        assert_int_equal(fs_catalogue_digest(ns.node[i].core),
                         fs_catalogue_digest(ns.node[0].core));
    /* Who comes later asks for what is missing. */
    nodes_link(2, 3, false);
    assert_int_equal(nodes_put(0, "b", 8, FS_ON_OWN), 0);
    uint64_t before = ns.node[2].sent_bytes;
    nodes_link(2, 3, true);
    nodes_wait(100);
    assert_int_equal(nodes_shows(3, "b"), 8);
    assert_true(ns.node[2].sent_bytes - before < 4000);
    nodes_end();
}

static void a_restart_knows_all_again(void **state)
{
    (void)state;
    nodes_begin(2);
    ns.node[0].keeps = true;
    ns.node[1].keeps = true;
    nodes_stop(0);
    nodes_stop(1);
    nodes_start(0);
    nodes_start(1);
    nodes_link(0, 1, true);
    for (unsigned i = 0; i < 50; i++) {
        char path[16];
        (void)snprintf(path, sizeof(path), "d%u/f%u", i % 5, i);
        assert_int_equal(nodes_put(0, path, i + 1, FS_ON_OWN), 0);
    }
    assert_int_equal(nodes_put(0, "d0/f0", 0, FS_ON_OWN), 0);
    assert_int_equal(nodes_put(0, "d1/f1", 99, FS_ON_OWN), 0);
    nodes_stop(1);
    nodes_start(1);
    assert_int_equal(nodes_shows(1, "d0/f0"), 0);
    assert_int_equal(nodes_shows(1, "d1/f1"), 99);
    assert_int_equal(nodes_shows(1, "d4/f49"), 50);
    nodes_stop(0);
    nodes_start(0);
    assert_int_equal(nodes_shows(0, "d4/f49"), 50);
    nodes_link(0, 1, true);
    nodes_wait(100);
    assert_int_equal(fs_catalogue_digest(ns.node[1].core), fs_catalogue_digest(ns.node[0].core));
    struct catalogue_stats stats;
    fs_catalogue_stats(ns.node[1].core, &stats);
    assert_int_equal(stats.pulls_whole, 0);
    nodes_end();
}

static void what_a_forgotten_node_alone_named_stays_known(void **state)
{
    (void)state;
    nodes_begin(3);
    nodes_stop(0);
    ns.node[0].keeps = true;
    nodes_start(0);
    nodes_link(0, 1, true);
    nodes_link(1, 2, true);
    assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
    nodes_wait(100);
    nodes_stop(0);
    for (unsigned i = 1; i < 3; i++) {
        struct catalogue_event event = {.type = CATALOGUE_FORGET, .peer = ns.node[0].author.node};
        (void)nodes_step(i, &event);
        assert_int_equal(nodes_shows(i, "a"), 7);
        assert_int_equal(nodes_stat(i, "a").holders_n, 0);
    }
    nodes_wait(20000);
    struct catalogue_stats stats;
    for (unsigned i = 1; i < 3; i++) {
        fs_catalogue_stats(ns.node[i].core, &stats);
        assert_int_equal(stats.lost, 0);
        assert_int_equal(nodes_shows(i, "a"), 7);
    }
    /* It is back, with the same disk. */
    nodes_start(0);
    nodes_link(0, 1, true);
    nodes_wait(20000);
    assert_int_equal(nodes_stat(2, "a").holders_n, 1);
    nodes_end();
}

static void a_node_with_a_new_disk_has_no_old_one(void **state)
{
    (void)state;
    nodes_begin(2);
    nodes_link(0, 1, true);
    assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
    nodes_stop(0);
    assert_int_equal(nodes_stat(1, "a").holders_n, 1);
    ns.node[0].author.disk.bytes[0] = 200;
    ns.wall_ms += 5000;
    nodes_start(0);
    nodes_link(0, 1, true);
    nodes_wait(20000);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(nodes_shows(i, "a"), 7);
        assert_int_equal(nodes_stat(i, "a").holders_n, 0);
    }
    assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
    assert_int_equal(nodes_stat(1, "a").holders_n, 1);
    nodes_end();
}

static void copies_are_held_and_let_go(void **state)
{
    (void)state;
    nodes_begin(3);
    nodes_link(0, 1, true);
    nodes_link(1, 2, true);
    struct fs_publication root = nodes_publication(FS_PUT, FS_ON_OWN, "");
    root.kind = FS_DIRECTORY;
    root.mode = 0755;
    root.replicas = 2;
    assert_int_equal(nodes_publish(0, &root), 0);
    assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
    nodes_wait(100);
    assert_int_equal(nodes_hold(2, 99, true), KITH_E_NOT_FOUND);
    assert_int_equal(nodes_hold(2, 7, true), 0);
    nodes_wait(100);
    struct content content = nodes_content(7);
    struct fs_content_facts facts;
    struct kith_node_id holders[4];
    assert_int_equal(fs_catalogue_content(ns.node[1].core, content.root, &facts, holders, 4), 0);
    assert_int_equal(facts.holders_n, 2);
    assert_int_equal(facts.copies, 2);
    assert_true(facts.live && facts.own == FS_NOWHERE);
    assert_int_equal(nodes_stat(1, "a").holders_n, 2);
    /* A file that is renamed needs no second copy. */
    struct fs_publication both[2] = {nodes_publication(FS_PUT, FS_ON_OWN, "b"),
                                     nodes_publication(FS_DELETE, FS_ON_OWN, "a")};
    both[0].content = content;
    struct catalogue_event event = {.type = CATALOGUE_PUBLISH, .publications = both, .n = 2};
    (void)nodes_step(0, &event);
    nodes_wait(100);
    assert_int_equal(nodes_stat(1, "b").holders_n, 2);
    assert_int_equal(nodes_hold(2, 7, false), 0);
    nodes_wait(100);
    assert_int_equal(nodes_stat(1, "b").holders_n, 1);
    uint64_t at = 0;
    struct content some;
    assert_true(fs_catalogue_content_next(ns.node[1].core, &at, &some));
    assert_int_equal(some.size, 7);
    assert_false(fs_catalogue_content_next(ns.node[1].core, &at, &some));
    nodes_end();
}

/* What no version names is nowhere, though a folder of this node has it still. */
static void what_only_a_folder_still_has_is_not_known(void **state)
{
    (void)state;
    struct content content = nodes_content(7);
    struct fs_content_facts facts;
    struct catalogue_stats stats;
    nodes_begin(1);
    struct fs_catalogue *core = ns.node[0].core;
    struct fs_blob_link had = fs_contents_hold(fs_catalogue_contents(core), &content);
    assert_int_not_equal(had.at, 0);
    assert_int_equal(fs_catalogue_content(core, content.root, &facts, NULL, 0), KITH_E_NOT_FOUND);
    assert_int_equal(nodes_hold(0, 7, true), KITH_E_NOT_FOUND);
    assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
    assert_int_equal(nodes_hold(0, 7, true), 0);
    assert_int_equal(nodes_stat(0, "a").own, FS_IN_FOLDER | FS_IN_KEEP);
    fs_catalogue_stats(core, &stats);
    assert_int_equal(stats.contents, 1);
    /* Another content takes its place; its last version goes with what the keep had. */
    assert_int_equal(nodes_hold(0, 7, false), 0);
    assert_int_equal(nodes_put(0, "a", 8, FS_ON_OWN), 0);
    assert_int_equal(nodes_put(0, "c", 8, FS_ON_OWN), 0); /* frees what nothing points to */
    assert_int_equal(fs_catalogue_content(core, content.root, &facts, NULL, 0), KITH_E_NOT_FOUND);
    fs_catalogue_stats(core, &stats);
    assert_int_equal(stats.contents, 1);
    uint64_t at = 0;
    struct content some;
    assert_true(fs_catalogue_content_next(core, &at, &some));
    assert_int_equal(some.size, 8);
    assert_false(fs_catalogue_content_next(core, &at, &some));
    /* And it is the same one when it comes back. */
    assert_int_equal(nodes_put(0, "b", 7, FS_ON_OWN), 0);
    assert_int_equal(fs_catalogue_content(core, content.root, &facts, NULL, 0), 0);
    assert_int_equal(facts.own, FS_IN_FOLDER);
    fs_catalogue_check(core);
    fs_contents_release(fs_catalogue_contents(core), had);
    assert_int_equal(fs_catalogue_content(core, content.root, &facts, NULL, 0), 0);
    nodes_end();
}

/* A copy of what changed is made of it. */
static void what_is_held_of_a_path_in_another_version_is_known(void **state)
{
    struct content before, seven = nodes_content(7), eight = nodes_content(8);

    (void)state;
    nodes_begin(3);
    nodes_link(0, 1, true);
    nodes_link(1, 2, true);
    assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
    nodes_wait(100);
    assert_int_equal(nodes_hold(2, 7, true), 0);
    nodes_wait(100);
    assert_false(fs_catalogue_content_before(ns.node[2].core, &seven, &before));
    assert_int_equal(nodes_put(0, "a", 8, FS_ON_OWN), 0);
    assert_int_equal(nodes_put(0, "b", 9, FS_ON_OWN), 0);
    nodes_wait(100);
    assert_true(fs_catalogue_content_before(ns.node[2].core, &eight, &before));
    assert_true(content_equal(&before, &seven));
    assert_false(fs_catalogue_content_before(ns.node[1].core, &eight, &before));
    assert_false(fs_catalogue_content_before(ns.node[0].core, &eight, &before));
    /* Everybody knows who has it. */
    for (unsigned i = 0; i < 3; i++) {
        struct kith_node_id near[2];
        size_t near_n = 9;
        bool self;
        assert_int_equal(
            fs_catalogue_content_near(ns.node[i].core, &eight, near, 2, &near_n, &self), 0);
        assert_int_equal(self, i == 2);
        assert_int_equal(near_n, i != 2);
        if (i != 2)
            assert_memory_equal(&near[0], &ns.node[2].author.node, sizeof(near[0]));
    }
    struct content nine = nodes_content(9), ten = nodes_content(10);
    assert_false(fs_catalogue_content_before(ns.node[2].core, &nine, &before));
    assert_false(fs_catalogue_content_before(ns.node[2].core, &ten, &before));
    /* The latest of them; and none whose chunks are of another size. */
    assert_int_equal(nodes_hold(2, 8, true), 0);
    assert_int_equal(nodes_put(0, "a", 10, FS_ON_OWN), 0);
    nodes_wait(100);
    assert_true(fs_catalogue_content_before(ns.node[2].core, &ten, &before));
    assert_true(content_equal(&before, &eight));
    ten.chunk_log2++;
    assert_false(fs_catalogue_content_before(ns.node[2].core, &ten, &before));
    nodes_end();
}

static void each_holder_is_told_once_however_many_there_are(void **state)
{
    struct content content = nodes_content(7);
    struct fs_content_facts facts, same;
    struct kith_node_id holders[NODES_MAX], again[NODES_MAX];
    (void)state;
    nodes_begin(NODES_MAX);
    for (unsigned i = 1; i < NODES_MAX; i++)
        nodes_link(0, i, true);
    for (unsigned i = 0; i < NODES_MAX; i++) {
        assert_int_equal(nodes_put(i, "a", 7, FS_ON_OWN), 0);
        assert_int_equal(nodes_put(i, "b", 7, FS_ON_OWN), 0);
    }
    nodes_wait(1000);
    for (unsigned i = 0; i < NODES_MAX; i++) {
        struct fs_entry entry = nodes_stat(i, "a");
        assert_int_equal(
            fs_catalogue_content(ns.node[i].core, content.root, &facts, holders, NODES_MAX), 0);
        assert_int_equal(facts.own, FS_IN_FOLDER);
        assert_int_equal(facts.holders_n, NODES_MAX - 1);
        for (unsigned j = 0; j < NODES_MAX; j++) {
            unsigned told = 0;
            for (unsigned k = 0; k < NODES_MAX - 1; k++)
                told += kith_node_id_equal(&holders[k], &ns.node[j].author.node);
            assert_int_equal(told, i != j);
        }
        assert_int_equal(fs_known_content(ns.node[i].core, entry.known, &same, again, NODES_MAX),
                         0);
        assert_int_equal(same.holders_n, facts.holders_n);
        assert_int_equal(same.looked_n, facts.looked_n);
        assert_memory_equal(again, holders, (NODES_MAX - 1) * sizeof(holders[0]));
    }
    nodes_end();
}

/* Or nobody could bring it back, and its file in the keep would belong to nothing. */
static void what_was_put_here_and_is_deleted_stays_held_until_the_keep_lets_go(void **state)
{
    (void)state;
    nodes_begin(2);
    nodes_link(0, 1, true);
    struct content content = nodes_content(7);
    struct fs_publication p = nodes_publication(FS_PUT, FS_ON_CURRENT, "a");
    p.content = content;
    p.place = FS_IN_KEEP;
    assert_int_equal(nodes_publish(0, &p), 0);
    struct fs_publication gone = nodes_publication(FS_DELETE, FS_ON_CURRENT, "a");
    assert_int_equal(nodes_publish(0, &gone), 0);
    nodes_wait(100);
    for (unsigned i = 0; i < 2; i++) {
        struct fs_content_facts facts;
        struct kith_node_id holders[4];
        assert_int_equal(nodes_shows(i, "a"), 0);
        assert_int_equal(fs_catalogue_content(ns.node[i].core, content.root, &facts, holders, 4),
                         0);
        assert_false(facts.live);
        assert_int_equal(facts.own, i == 0 ? FS_IN_KEEP : FS_NOWHERE);
        assert_int_equal(facts.holders_n, i == 0 ? 0 : 1);
    }
    assert_int_equal(nodes_hold(0, 7, false), 0);
    nodes_wait(100);
    for (unsigned i = 0; i < 2; i++) {
        struct fs_content_facts facts;
        assert_int_equal(fs_catalogue_content(ns.node[i].core, content.root, &facts, NULL, 0),
                         KITH_E_NOT_FOUND);
    }
    nodes_end();
}

static void a_share_that_goes_leaves_its_files_known(void **state)
{
    (void)state;
    nodes_begin(2);
    nodes_link(0, 1, true);
    assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
    struct fs_publication p = nodes_publication(FS_RELEASE, FS_ON_OWN, "a");
    assert_int_equal(nodes_publish(0, &p), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct catalogue_stats stats;
        assert_int_equal(nodes_shows(i, "a"), 7);
        assert_int_equal(nodes_stat(i, "a").holders_n, 0);
        fs_catalogue_stats(ns.node[i].core, &stats);
        assert_int_equal(stats.lost, 0);
    }
    nodes_end();
}

static void old_deletions_go_and_bring_nothing_back(void **state)
{
    (void)state;
    ns.config = (struct catalogue_config){.deleted_ms = 10ull * 24 * 3600 * 1000};
    nodes_begin(2);
    nodes_link(0, 1, true);
    assert_int_equal(nodes_put(0, "a", 7, FS_ON_OWN), 0);
    assert_int_equal(nodes_put(0, "a", 0, FS_ON_OWN), 0);
    struct fs_entry entries[2];
    struct kith_bytes path = {"a", 1};
    nodes_wait(9ull * 24 * 3600 * 1000);
    assert_int_equal(fs_catalogue_versions(ns.node[1].core, share, path, entries, 2), 1);
    nodes_wait(2ull * 24 * 3600 * 1000);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(fs_catalogue_versions(ns.node[i].core, share, path, entries, 2), 0);
    ns.config = (struct catalogue_config){0};
    nodes_end();
}

static void lists_come_in_pages_and_in_order(void **state)
{
    (void)state;
    nodes_begin(1);
    for (unsigned i = 0; i < 100; i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "d/%03u", i * 7 % 100);
        assert_int_equal(nodes_put(0, path, i + 1, FS_ON_OWN), 0);
    }
    assert_int_equal(nodes_put(0, "d/050/x", 5, FS_ON_OWN), 0);
    assert_int_equal(nodes_put(0, "d.txt", 5, FS_ON_OWN), 0);
    struct fs_listing at = {0};
    struct fs_entry entries[7];
    unsigned seen = 0;
    size_t n;
    char before[8] = "";
    while (!at.ended) {
        assert_int_equal(fs_catalogue_list(ns.node[0].core, share, (struct kith_bytes){"d", 1}, &at,
                                           entries, 7, &n),
                         0);
        for (size_t k = 0; k < n; k++, seen++) {
            assert_true(strcmp(before, entries[k].name) < 0);
            (void)snprintf(before, sizeof(before), "%s", entries[k].name);
        }
        if (seen == 49) /* what was the last of a page goes meanwhile */
            assert_int_equal(nodes_put(0, "d/048", 0, FS_ON_OWN), 0);
    }
    assert_int_equal(seen, 100);
    struct fs_walked walked[9];
    struct fs_walk walk = {.share = share, .pattern = "*5*"};
    at = (struct fs_listing){0};
    seen = 0;
    while (!at.ended) {
        assert_int_equal(fs_catalogue_walk(ns.node[0].core, &walk, &at, walked, 9, &n), 0);
        for (size_t k = 0; k < n; k++, seen++)
            assert_non_null(strchr(walked[k].path, '5'));
    }
    assert_int_equal(seen, 19);
    /* Names are compared as they are, or without their case. */
    assert_int_equal(nodes_put(0,
                               "d/Stra\xc3\x9f"
                               "e.JPG",
                               1, FS_ON_OWN),
                     0);
    walk = (struct fs_walk){.share = share, .pattern = "strasse.*"};
    for (unsigned flags = 0; flags <= FS_WALK_ANY_CASE; flags += FS_WALK_ANY_CASE) {
        walk.flags = flags;
        at = (struct fs_listing){0};
        for (seen = 0; !at.ended; seen += (unsigned)n)
            assert_int_equal(fs_catalogue_walk(ns.node[0].core, &walk, &at, walked, 9, &n), 0);
        assert_int_equal(seen, flags != 0);
    }
    walk = (struct fs_walk){.share = {"", 0}};
    at = (struct fs_listing){0};
    assert_int_equal(fs_catalogue_walk(ns.node[0].core, &walk, &at, walked, 9, &n), 0);
    assert_string_equal(walked[0].path, "");
    assert_string_equal(walked[0].share, "s");
    assert_string_equal(walked[1].path, "d");
    assert_string_equal(walked[2].path, "d/000");
    struct fs_entry d = nodes_stat(0, "d");
    assert_int_equal(d.kind, FS_DIRECTORY);
    assert_int_equal(d.below_n, 101);
    nodes_end();
}

/* ---- limits ---- */

static void a_full_catalogue_refuses(void **state)
{
    (void)state;
    ns.config = (struct catalogue_config){.records_max = 3};
    nodes_begin(2);
    nodes_link(0, 1, true);
    assert_int_equal(nodes_put(0, "a", 1, FS_ON_OWN), 0);
    assert_int_equal(nodes_put(0, "b", 2, FS_ON_OWN), 0);
    assert_int_equal(nodes_put(1, "c", 3, FS_ON_OWN), 0);
    assert_int_equal(nodes_put(0, "d", 4, FS_ON_OWN), KITH_E_LIMIT);
    assert_int_equal(nodes_shows(0, "d"), 0);
    assert_int_equal(nodes_shows(1, "b"), 2);
    ns.config = (struct catalogue_config){0};
    nodes_end();
}

static void changes_that_wait_for_one_before_them_are_bounded(void **state)
{
    (void)state;
    nodes_begin(1);
    ns.node[0].holds_sync = true;
    struct fs_publication p = nodes_publication(FS_PUT, FS_ON_CURRENT, "a");
    for (unsigned i = 0; i <= FS_PUBLICATIONS_MAX; i++) {
        p.content = nodes_content(i + 1);
        assert_int_equal(nodes_publish(0, &p), 1); /* one is being stored, the others wait */
    }
    assert_int_equal(nodes_publish(0, &p), KITH_E_BUSY);
    p.path = "b";
    assert_int_equal(nodes_publish(0, &p), 1); /* this one waits for nobody */
    struct catalogue_stats stats;
    fs_catalogue_stats(ns.node[0].core, &stats);
    assert_int_equal(stats.waiting, FS_PUBLICATIONS_MAX + 2);
    nodes_end();
}

static void disks_beyond_the_limit_are_not_heard(void **state)
{
    (void)state;
    ns.config = (struct catalogue_config){.disks_max = 5}; /* the folded one, two hands, two more */
    nodes_begin(4);
    for (unsigned i = 1; i < 4; i++)
        assert_int_equal(nodes_put(i, "a", i, FS_ON_OWN), 0);
    for (unsigned i = 1; i < 4; i++)
        nodes_link(0, i, true);
    struct catalogue_stats stats;
    fs_catalogue_stats(ns.node[0].core, &stats);
    assert_true(stats.refused_limit > 0);
    assert_int_equal(stats.disks, 3);
    ns.config = (struct catalogue_config){0};
    nodes_end();
}

static void more_disks_than_a_vector_names_make_no_false_history(void **state)
{
    struct fs_version a = {.kind = FS_FILE};
    struct fs_version b;
    (void)state;
    a.author.disk.bytes[0] = 1;
    (void)fs_vector_advance(&a.vector, &a.author.disk, 100);
    b = a;
    for (unsigned i = 2; i < 100; i++) {
        struct fs_version next = b;
        memset(next.author.disk.bytes, 0, FS_DISK_BYTES);
        next.author.disk.bytes[0] = (uint8_t)i;
        (void)fs_vector_advance(&next.vector, &next.author.disk, 100 + i);
        assert_true(next.vector.n <= FS_VECTOR_MAX);
        assert_true(fs_version_replaces(&next, &b));
        assert_false(fs_version_before(&next, &b));
        b = next;
    }
    assert_false(fs_version_before(&a, &b)); /* folded: a conflict at worst */
    struct fs_version other = {.kind = FS_FILE};
    other.author.disk.bytes[0] = 200;
    (void)fs_vector_advance(&other.vector, &other.author.disk, 50);
    assert_false(fs_version_before(&other, &b));
}

/* ---- memory and time ---- */

static void fill(unsigned node, unsigned n)
{
    enum { AT_ONCE = 1000 };
    static struct fs_publication p[AT_ONCE];
    static char paths[AT_ONCE][48];
    for (unsigned i = 0; i < n; i += AT_ONCE) {
        for (unsigned k = 0; k < AT_ONCE; k++) {
            (void)snprintf(paths[k], sizeof(paths[k]), "photos/2024-%02u/holiday/IMG_%08u.jpeg",
                           (i + k) / 1000 % 12, i + k);
            p[k] = nodes_publication(FS_PUT, FS_ON_OWN, paths[k]);
            p[k].content = nodes_content(i + k + 1);
        }
        struct catalogue_event event = {.type = CATALOGUE_PUBLISH, .publications = p, .n = AT_ONCE};
        (void)nodes_step(node, &event);
        assert_int_equal(ns.node[node].code, 0);
    }
}

static double ms_since(const struct timespec *start)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)(now.tv_sec - start->tv_sec) * 1e3 +
           (double)(now.tv_nsec - start->tv_nsec) / 1e6;
}

static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void an_entry_that_three_nodes_hold_takes_at_most_400_bytes(void **state)
{
    const unsigned many = 1000 * test_rounds(100);
    struct timespec start;
    struct catalogue_stats stats;
    (void)state;
    nodes_begin(4);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    fill(0, many);
    print_message("%u publications: %.1f us each\n", many, ms_since(&start) * 1e3 / many);
    size_t before = heap_bytes();
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    nodes_link(3, 0, true);
    nodes_wait(1000);
    print_message("learnt by another node: %.1f us each\n", ms_since(&start) * 1e3 / many);
    fs_catalogue_stats(ns.node[3].core, &stats);
    assert_int_equal(stats.paths, many);
    double one = (double)(heap_bytes() - before) / many;
    print_message("memory of an entry that one node holds: %.0f bytes (by count %.0f)\n", one,
                  (double)stats.bytes / many);
    nodes_link(1, 0, true);
    nodes_link(2, 0, true);
    nodes_wait(1000);
    before = heap_bytes();
    fill(1, many);
    fill(2, many);
    nodes_wait(1000);
    double more = (double)(heap_bytes() - before) / many / 4; /* at four nodes */
    print_message("that three nodes hold: %.0f bytes\n", one + more);
    fs_catalogue_stats(ns.node[3].core, &stats);
    assert_int_equal(stats.records, 3 * many);
    if (many == 100000) /* fewer do not make up for what each table has to spare */
        assert_true(one + more <= 400);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    static struct fs_walked walked[1000];
    struct fs_listing at = {0};
    struct fs_walk walk = {.share = share};
    size_t n;
    size_t seen = 0;
    while (!at.ended) {
        assert_int_equal(fs_catalogue_walk(ns.node[3].core, &walk, &at, walked, 1000, &n), 0);
        seen += n;
    }
    print_message("%zu entries listed in %.1f ms\n", seen, ms_since(&start));
    nodes_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_shown_when_it_is_stored_and_not_before),
        cmocka_unit_test(what_cannot_be_stored_is_not_there),
        cmocka_unit_test(changes_are_told_as_what_they_are),
        cmocka_unit_test(the_same_again_makes_no_version),
        cmocka_unit_test(two_sides_of_a_cut_become_a_conflict_and_one_choice_ends_it),
        cmocka_unit_test(a_change_beside_a_deletion_stands),
        cmocka_unit_test(a_folder_that_has_not_seen_a_change_does_not_replace_it),
        cmocka_unit_test(a_folder_goes_on_from_what_was_put_into_it),
        cmocka_unit_test(equal_files_of_two_folders_are_one_when_one_of_them_changes),
        cmocka_unit_test(what_a_node_has_is_told_by_its_name),
        cmocka_unit_test(only_if_it_is_what_was_seen),
        cmocka_unit_test(names_that_cannot_be_are_refused),
        cmocka_unit_test(a_forged_version_is_not_taken),
        cmocka_unit_test(news_travel_through_others_and_are_checked_once),
        cmocka_unit_test(a_restart_knows_all_again),
        cmocka_unit_test(what_a_forgotten_node_alone_named_stays_known),
        cmocka_unit_test(a_node_with_a_new_disk_has_no_old_one),
        cmocka_unit_test(copies_are_held_and_let_go),
        cmocka_unit_test(what_only_a_folder_still_has_is_not_known),
        cmocka_unit_test(what_is_held_of_a_path_in_another_version_is_known),
        cmocka_unit_test(each_holder_is_told_once_however_many_there_are),
        cmocka_unit_test(what_was_put_here_and_is_deleted_stays_held_until_the_keep_lets_go),
        cmocka_unit_test(a_share_that_goes_leaves_its_files_known),
        cmocka_unit_test(old_deletions_go_and_bring_nothing_back),
        cmocka_unit_test(lists_come_in_pages_and_in_order),
        cmocka_unit_test(a_full_catalogue_refuses),
        cmocka_unit_test(changes_that_wait_for_one_before_them_are_bounded),
        cmocka_unit_test(disks_beyond_the_limit_are_not_heard),
        cmocka_unit_test(more_disks_than_a_vector_names_make_no_false_history),
        cmocka_unit_test(an_entry_that_three_nodes_hold_takes_at_most_400_bytes),
    };
    return cmocka_run_group_tests_name("fs_catalogue", tests, NULL, NULL);
}

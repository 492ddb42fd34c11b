/*
 * What nodes keep: a store of an earlier version, which had a flag at each content that was pinned
 * and nothing of paths; what waits for the second to end; and who sent damage.
 */
#include <kith.h>

#include "fs/content.h"
#include "kith/fs.h"
#include "lib/node_lab.h"
#include "lib/test.h"
#include "node/fs_keep.h"
#include "node/internal.h"
#include "store/store.h"

static struct kith_node *node;

static void ok(int r)
{
    if (r != 0)
        fail_msg("%s: %s", kith_error_name(r), kith_errmsg());
}

static void put(const char *path, const char *text)
{
    struct kith_fs_op op = {.kind = KITH_FS_WRITE, .path = path, .data = text, .len = strlen(text)};
    ok(kith_fs_do(node, &op, NULL));
}

static bool is_pinned(const char *path)
{
    struct kith_fs_result *result = NULL;
    ok(kith_fs_stat(node, path, &result));
    bool pinned = result->entries[0].pinned;
    kith_fs_result_free(result);
    return pinned;
}

static uint64_t pins_n(void)
{
    struct kith_fs_op op = {.kind = KITH_FS_CACHE};
    struct kith_fs_result *result = NULL;
    ok(kith_fs_do(node, &op, &result));
    uint64_t n = result->cache->pins_n;
    kith_fs_result_free(result);
    return n;
}

/* ---- the store of before ---- */

struct old {
    uint8_t keys[8][64], values[8][128];
    struct store_put puts[8];
    size_t n;
};

static int mark(void *user, const struct store_entry *entry)
{
    struct old *old = user;
    size_t n = old->n;
    if (((const char *)entry->key.data)[1] != 'k')
        return 0;
    assert_true(n < 8 && entry->key.len <= 64 && entry->value.len <= 128);
    memcpy(old->keys[n], entry->key.data, entry->key.len);
    memcpy(old->values[n], entry->value.data, entry->value.len);
    assert_int_equal(old->values[n][entry->value.len - 1], 0);
    old->values[n][entry->value.len - 1] = 1;
    old->puts[n] = (struct store_put){.key = {old->keys[n], entry->key.len},
                                      .value = {old->values[n], entry->value.len}};
    old->n++;
    return 0;
}

/* All that the keep has was pinned. */
static size_t make_old(void)
{
    static struct old old;
    struct store_options options = {.fatal = NULL};
    struct store *store;
    ok(store_open(lab_agent_dir(0), &options, &store));
    old.n = 0;
    ok(store_recall(store, STORE_KEY_FS, mark, &old));
    struct store_batch batch = {.puts = old.puts, .puts_n = old.n};
    ok(store_put(store, &batch, 1));
    store_close(store);
    return old.n;
}

static void what_an_earlier_version_pinned_is_pinned_by_its_path(void **state)
{
    struct kith_fs_op share = {.kind = KITH_FS_SHARE_ADD, .path = "s"};
    struct kith_fs_op unpin = {.kind = KITH_FS_UNPIN, .path = "s"};
    (void)state;
    lab_agents_start(&node, 1);
    ok(kith_fs_do(node, &share, NULL));
    put("s/x", "x\n");
    put("s/d/y", "y\n");
    put("s/d/same", "y\n");
    assert_false(is_pinned("s/x"));
    kith_node_stop(node);
    assert_int_equal(make_old(), 2);
    for (unsigned life = 0; life < 2; life++) {
        node = lab_agent_again();
        assert_true(is_pinned("s/x") && is_pinned("s/d/y") && is_pinned("s/d/same"));
        assert_false(is_pinned("s/d"));
        assert_int_equal(pins_n(), 3);
        kith_node_stop(node);
    }
    node = lab_agent_again();
    put("s/x", "another\n");
    assert_true(is_pinned("s/x"));
    ok(kith_fs_do(node, &unpin, NULL));
    assert_int_equal(pins_n(), 0);
    kith_node_stop(node);
    node = lab_agent_again();
    assert_false(is_pinned("s/x"));
    lab_agents_stop(&node, 1);
}

/* ---- what waits for the second ---- */

struct version {
    const char *hash; /* NULL: any */
    char seen[KITH_FS_HASH_DIGITS + 1];
    unsigned holders_n;
    struct kith_node *at;
    int code;
    unsigned waiting_n[4];
};

static bool is_version(void *arg)
{
    struct version *version = arg;
    struct kith_fs_result *result = NULL;
    bool is = kith_fs_stat(version->at, "s/x", &result) == 0 &&
              result->entries[0].holders_n == version->holders_n &&
              (version->hash == NULL || strcmp(version->hash, result->entries[0].hash) != 0);
    if (is)
        (void)snprintf(version->seen, sizeof(version->seen), "%s", result->entries[0].hash);
    kith_fs_result_free(result);
    return is;
}

/* On the loop, so that no second ends meanwhile; what is seen there is judged elsewhere. */
static void look_at_many(struct kith_node *at, void *arg)
{
    struct node_fs *fs = at->fs;
    struct version *version = arg;
    struct fs_content_facts facts;
    uint8_t root[FS_ROOT_BYTES];
    version->code = hex_decode(version->seen, root, sizeof(root));
    if (version->code == 0)
        version->code = fs_catalogue_content(fs->catalogue, root, &facts, NULL, 0);
    if (version->code != 0)
        return;
    fs_keep_rest_tick(fs);
    fs_enter(fs);
    for (unsigned i = 0; i < FS_RESTLESS_MAX; i++)
        fs_keep_content(fs, &facts.content);
    fs_leave(fs);
    version->waiting_n[0] = fs->restless_n;
    fs_enter(fs);
    fs_keep_content(fs, &facts.content);
    fs_leave(fs);
    version->waiting_n[1] = fs->restless_n;
    fs_keep_rest_tick(fs);
    version->waiting_n[2] = fs->restless_n;
    fs_enter(fs);
    fs_keep_content(fs, &facts.content); /* it is let go of when the node ends */
    fs_leave(fs);
    version->waiting_n[3] = fs->restless_n;
}

static void beyond_the_limit_nothing_waits_for_the_second_to_end(void **state)
{
    struct kith_node *nodes[2];
    struct kith_fs_op share = {.kind = KITH_FS_SHARE_ADD, .path = "s", .share = {.replicas = 1}};
    struct kith_fs_op pin = {.kind = KITH_FS_PIN, .path = "s/x"};
    struct kith_fs_op unpin = {.kind = KITH_FS_UNPIN, .path = "s/x"};
    (void)state;
    lab_agents_start(nodes, 2);
    node = nodes[0];
    ok(kith_fs_do(node, &share, NULL));
    put("s/x", "first\n");
    struct version version = {.at = nodes[1], .holders_n = 1};
    assert_true(lab_wait(is_version, &version));
    ok(kith_fs_do(nodes[1], &pin, NULL));
    ok(kith_fs_do(nodes[1], &unpin, NULL));
    version = (struct version){.at = nodes[0], .holders_n = 2};
    assert_true(lab_wait(is_version, &version));
    char first[KITH_FS_HASH_DIGITS + 1];
    (void)snprintf(first, sizeof(first), "%s", version.seen);
    put("s/x", "second\n"); /* of which the other node holds the first */
    version = (struct version){.at = nodes[0], .holders_n = 1, .hash = first};
    assert_true(lab_wait(is_version, &version));
    node_run(nodes[0], look_at_many, &version);
    assert_int_equal(version.code, 0);
    assert_int_equal(version.waiting_n[0], FS_RESTLESS_MAX);
    assert_int_equal(version.waiting_n[1], FS_RESTLESS_MAX);
    assert_int_equal(version.waiting_n[2], 0);
    assert_int_equal(version.waiting_n[3], 1);
    lab_agents_stop(nodes, 2);
}

/* ---- who sent damage ---- */

struct counted {
    unsigned nodes_n, events_n;
    uint64_t chunks_n, others_n;
};

static void count_one(void *user, const char *name, uint64_t n)
{
    struct counted *counted = user;
    (void)name;
    counted->nodes_n++;
    counted->chunks_n += n;
}

static void send_damage(struct kith_node *at, void *arg)
{
    struct counted *counted = arg;
    struct node_event_record records[FS_DAMAGERS_MAX + 16];
    for (unsigned i = 0; i < FS_DAMAGERS_MAX + 3; i++) {
        struct kith_node_id peer = {{1, (uint8_t)i}};
        fs_damages_add(at->fs, &peer, "s/x");
        fs_damages_add(at->fs, &peer, "s/y");
    }
    counted->others_n = node_fs_damages_each(at, count_one, counted);
    size_t n = node_events_since(at, 0, records, FS_DAMAGERS_MAX + 16);
    for (size_t i = 0; i < n; i++)
        counted->events_n += strcmp(records[i].type, "damaged") == 0;
}

static void beyond_the_limit_who_sent_damage_is_counted_together(void **state)
{
    struct counted counted = {0};
    (void)state;
    lab_agents_start(&node, 1);
    node_run(node, send_damage, &counted);
    assert_int_equal(counted.nodes_n, FS_DAMAGERS_MAX);
    assert_int_equal(counted.chunks_n, 2 * FS_DAMAGERS_MAX);
    assert_int_equal(counted.others_n, 6);
    assert_int_equal(counted.events_n, FS_DAMAGERS_MAX); /* one a minute of each */
    lab_agents_stop(&node, 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(beyond_the_limit_who_sent_damage_is_counted_together),
        cmocka_unit_test(beyond_the_limit_nothing_waits_for_the_second_to_end),
        cmocka_unit_test(what_an_earlier_version_pinned_is_pinned_by_its_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

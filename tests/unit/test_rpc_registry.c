/* Who has which function: how it spreads, what bounds it, and watching completions. */
#include "test_rpc_lib.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc.pb-c.h"

/* protobuf-c wants char *, and does not write. */
static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

static size_t who(struct desk_node *node, const char *name)
{
    struct kith_node_id ids[DESK_NODES_MAX];
    return rpc_who_has(node->core, rpc_name_hash(name), ids, DESK_NODES_MAX);
}

static size_t count_functions(struct desk_node *node)
{
    struct rpc_function function;
    size_t at = 0;
    size_t n = 0;
    while (rpc_function_next(node->core, &at, &function))
        n++;
    return n;
}

static void export_is_known_everywhere(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(3, NULL);
    struct kith_export fn = {.name = "f",
                             .version = "1.2",
                             .description = "does f",
                             .signature = "f(i32 x) -> bytes",
                             .flags = KITH_FN_IDEMPOTENT | KITH_FN_HIDDEN};
    assert_int_equal(desk_export(&desk->nodes[1], &fn), 0);
    assert_int_equal(desk->nodes[1].registry_changed_n, 1);
    assert_true(desk->nodes[1].out.registry_version > 1);
    desk_settle(desk);
    for (size_t i = 0; i < 3; i++) {
        struct rpc_function function;
        size_t at = 0;
        assert_int_equal(who(&desk->nodes[i], "f"), 1);
        assert_true(rpc_function_next(desk->nodes[i].core, &at, &function));
        assert_string_equal(function.name, "f");
        assert_string_equal(function.version, "1.2");
        assert_string_equal(function.description, "does f");
        assert_string_equal(function.signature, "f(i32 x) -> bytes");
        assert_int_equal(function.flags, KITH_FN_IDEMPOTENT | KITH_FN_HIDDEN);
        assert_true(kith_node_id_equal(&function.node, &desk->nodes[1].id));
        assert_int_equal(function.name_hash, rpc_name_hash("f"));
        assert_false(rpc_function_next(desk->nodes[i].core, &at, &function));
    }
    assert_true(desk->nodes[0].functions_changed_n >= 1);
    desk_free(desk);
}

static void withdrawal_is_known_everywhere(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(3, NULL);
    desk_offer(&desk->nodes[1], "f", 0, 0);
    desk_offer(&desk->nodes[1], "g", 0, 0);
    desk_offer(&desk->nodes[2], "f", 0, 0);
    desk_pass(desk, 100);
    assert_int_equal(who(&desk->nodes[0], "f"), 2);
    desk_unexport(&desk->nodes[1], "f");
    desk_pass(desk, 100);
    assert_int_equal(who(&desk->nodes[0], "f"), 1);
    assert_int_equal(who(&desk->nodes[0], "g"), 1);
    /* Withdrawn and offered anew between two pushes. */
    desk_unexport(&desk->nodes[1], "g");
    desk_offer(&desk->nodes[1], "g", 0, 0);
    desk_unexport(&desk->nodes[1], "g");
    desk_offer(&desk->nodes[1], "h", 0, 0);
    desk_pass(desk, 100);
    assert_int_equal(who(&desk->nodes[0], "g"), 0);
    assert_int_equal(who(&desk->nodes[0], "h"), 1);
    desk_free(desk);
}

static void changes_close_together_go_out_together(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(2, NULL);
    desk_pass(desk, 100);
    size_t sends = desk->nodes[0].sends_n;
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        desk_offer(&desk->nodes[0], name, 0, 0);
    }
    desk_pass(desk, 100);
    assert_true(desk->nodes[0].sends_n <= sends + 3);
    assert_int_equal(count_functions(&desk->nodes[1]), 100);
    desk_free(desk);
}

static void newcomer_learns_everything(void **state)
{
    (void)state;
    struct desk *desk = desk_new(2, NULL);
    for (int i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        desk_offer(&desk->nodes[0], name, 0, 0);
    }
    desk_peer_up(desk, 1, 0); /* it asks before the other has seen it */
    desk_settle(desk);
    assert_int_equal(count_functions(&desk->nodes[1]), 50);
    desk_free(desk);
}

static void largest_registry_comes_in_parts_below_the_frame_bound(void **state)
{
    (void)state;
    struct desk *desk = desk_new(2, NULL);
    desk->check = false;
    char version[RPC_VERSION_BYTES_MAX + 1];
    char description[RPC_DESCRIPTION_BYTES_MAX + 1];
    memset(version, 'v', sizeof(version) - 1);
    memset(description, 'd', sizeof(description) - 1);
    version[sizeof(version) - 1] = '\0';
    description[sizeof(description) - 1] = '\0';
    for (int i = 0; i < RPC_FUNCTIONS_NODE_MAX; i++) {
        char name[KITH_NAME_BYTES_MAX + 1];
        memset(name, 'n', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        name[snprintf(name, sizeof(name), "%d", i)] = '-';
        struct kith_export fn = {.name = name, .version = version, .description = description};
        assert_int_equal(desk_export(&desk->nodes[0], &fn), 0);
    }
    desk_peer_up(desk, 1, 0);
    assert_true(desk_deliver(desk)); /* the pull */
    assert_true(desk->frames_n > 30);
    for (struct desk_frame *frame = desk->first; frame != NULL; frame = frame->next) {
        assert_int_equal(frame->type, FRAME_REGISTRY);
        assert_int_equal(frame->net_class, NET_CONTROL);
        assert_true(frame->body.len <= NET_CONTROL_FRAME_BYTES_MAX);
    }
    desk_settle(desk);
    assert_int_equal(count_functions(&desk->nodes[1]), RPC_FUNCTIONS_NODE_MAX);
    rpc_check(desk->nodes[1].core);
    desk_free(desk);
}

static void lost_part_is_asked_for_again(void **state)
{
    (void)state;
    struct desk *desk = desk_new(2, NULL);
    desk->check = false;
    for (int i = 0; i < 3000; i++) {
        char name[128];
        snprintf(name, sizeof(name),
                 "a-function-with-a-rather-long-name-so-that-parts-are-needed-%d", i);
        desk_offer(&desk->nodes[0], name, 0, 0);
    }
    desk_peer_up(desk, 1, 0);
    desk_deliver(desk);
    desk_drop(desk_take(desk, 1));
    desk_settle(desk);
    assert_int_equal(count_functions(&desk->nodes[1]), 0);
    desk_pass(desk, 1500);
    assert_int_equal(count_functions(&desk->nodes[1]), 3000);
    desk_free(desk);
}

static void lost_change_is_noticed_by_the_next(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(2, NULL);
    desk_pass(desk, 50);
    desk_offer(&desk->nodes[0], "f", 0, 0);
    desk_drop_all(desk);
    desk->now_ns += 50 * 1000000ull;
    desk_offer(&desk->nodes[0], "g", 0, 0);
    desk_settle(desk);
    assert_int_equal(who(&desk->nodes[1], "f"), 1);
    assert_int_equal(who(&desk->nodes[1], "g"), 1);
    desk_free(desk);
}

static void newer_version_heard_of_is_pulled(void **state)
{
    (void)state;
    struct rpc_config config = {.registry_push_max = 1}; /* two other nodes are many */
    struct desk *desk = desk_new_cluster(3, &config);
    desk_pass(desk, 50);
    desk_offer(&desk->nodes[0], "f", 0, 0);
    uint64_t version = desk->nodes[0].out.registry_version;
    desk_pass(desk, 50);
    assert_int_equal(who(&desk->nodes[1], "f"), 0);
    struct rpc_event event = {.type = RPC_PEER_REGISTRY};
    event.u.registry.id = desk->nodes[0].id;
    event.u.registry.boot_no = 1;
    event.u.registry.version = version;
    desk_step(&desk->nodes[1], &event);
    desk_step(&desk->nodes[1], &event);
    assert_int_equal(desk->frames_n, 1); /* asked once */
    desk_settle(desk);
    assert_int_equal(who(&desk->nodes[1], "f"), 1);
    event.u.registry.version = version; /* nothing new */
    desk_step(&desk->nodes[1], &event);
    assert_int_equal(desk->frames_n, 0);
    event.u.registry.boot_no = 7; /* of another boot */
    event.u.registry.version = version + 100;
    desk_step(&desk->nodes[1], &event);
    assert_int_equal(desk->frames_n, 0);
    desk_free(desk);
}

static void unanswered_pull_is_repeated_ever_more_slowly(void **state)
{
    (void)state;
    struct desk *desk = desk_new(2, NULL);
    desk_peer_up(desk, 0, 1);
    size_t pulls = 1;
    desk_drop_all(desk);
    for (int s = 0; s < 120; s++) {
        desk->now_ns += 1000 * 1000000ull;
        desk_tick(&desk->nodes[0]);
        pulls += desk->frames_n;
        desk_drop_all(desk);
    }
    assert_true(pulls >= 6);
    assert_true(pulls <= 10);
    desk_free(desk);
}

static void functions_of_a_failed_node_are_gone_and_come_back_with_it(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(2, NULL);
    desk_offer(&desk->nodes[1], "f", 0, 0);
    desk_settle(desk);
    desk_peer_down(desk, 0, 1, false);
    assert_int_equal(who(&desk->nodes[0], "f"), 0);
    assert_int_equal(count_functions(&desk->nodes[0]), 0);
    desk_peer_up(desk, 0, 1);
    desk_settle(desk);
    assert_int_equal(who(&desk->nodes[0], "f"), 1);
    desk_free(desk);
}

static void counters_are_heard_of_in_time(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(3, NULL);
    struct desk_node *b = &desk->nodes[1];
    struct rpc_function function;
    desk_offer(b, "f", 0, 0);
    desk_offer(b, "g", 0, 0);
    desk_pass(desk, 50);
    for (int i = 0; i < 5; i++) {
        desk_call_name(b, "f", "");
        desk_done(b, b->running[0], i < 2 ? KITH_OUTCOME_APP_ERROR : KITH_OUTCOME_OK, 1, "", 0);
    }
    size_t changes = desk->nodes[0].functions_changed_n;
    desk_pass(desk, 31000);
    size_t at = 0;
    for (int i = 0; i < 2; i++) {
        assert_true(rpc_function_next(desk->nodes[0].core, &at, &function));
        assert_int_equal(function.calls_n, function.name[0] == 'f' ? 5 : 0);
        assert_int_equal(function.errors_n, function.name[0] == 'f' ? 2 : 0);
    }
    assert_int_equal(desk->nodes[0].functions_changed_n, changes);
    /* Nothing runs: nothing is sent. */
    size_t sends = b->sends_n;
    desk_pass(desk, 300000);
    assert_int_equal(b->sends_n, sends);
    desk_free(desk);
}

static void functions_are_listed_in_a_stable_order(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(4, NULL);
    const char *names[] = {"m", "c", "x", "a"};
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 4; k++)
            desk_offer(&desk->nodes[i], names[k], 0, 0);
    }
    desk_pass(desk, 50);
    struct rpc_function function;
    char first[1000] = "";
    char second[1000] = "";
    for (int i = 0; i < 2; i++) {
        size_t at = 0;
        while (rpc_function_next(desk->nodes[0].core, &at, &function))
            strcat(i == 0 ? first : second, function.name);
    }
    assert_int_equal(strlen(first), 16);
    assert_string_equal(first, second);
    desk_free(desk);
}

/* ---- what a peer may not do ---- */

static int inject_update(struct desk_node *node, Kith__Rpc__RegistryUpdate *update)
{
    static uint8_t data[200000];
    size_t len = kith__rpc__registry_update__pack(update, data);
    assert_true(len <= sizeof(data));
    return desk_inject(node, node->desk->nodes[1].id, 1, FRAME_REGISTRY, data, len);
}

static void update_beyond_a_limit_is_refused_whole(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(2, NULL);
    struct desk_node *a = &desk->nodes[0];
    char name[KITH_NAME_BYTES_MAX + 2];
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    char version[RPC_VERSION_BYTES_MAX + 2];
    memset(version, 'v', sizeof(version));
    version[sizeof(version) - 1] = '\0';
    static Kith__Rpc__RegistryEntry entries[RPC_FUNCTIONS_NODE_MAX + 1];
    static Kith__Rpc__RegistryEntry *pointers[RPC_FUNCTIONS_NODE_MAX + 1];
    for (size_t i = 0; i <= RPC_FUNCTIONS_NODE_MAX; i++) {
        kith__rpc__registry_entry__init(&entries[i]);
        entries[i].name = text("f");
        pointers[i] = &entries[i];
    }
    Kith__Rpc__RegistryUpdate update;
    kith__rpc__registry_update__init(&update);
    update.boot_no = 1;
    update.version = 10;
    update.parts = 1;
    update.entries = pointers;
    update.n_entries = 1;
    assert_int_equal(inject_update(a, &update), 0);
    assert_int_equal(who(a, "f"), 1);

    update.version = 11;
    entries[0].name = name;
    assert_int_equal(inject_update(a, &update), KITH_E_CORRUPT);
    entries[0].name = text("with space");
    assert_int_equal(inject_update(a, &update), KITH_E_CORRUPT);
    entries[0].name = text("g");
    entries[0].version = version;
    assert_int_equal(inject_update(a, &update), KITH_E_CORRUPT);
    entries[0].version = text("\xff\xfe");
    assert_int_equal(inject_update(a, &update), KITH_E_CORRUPT);
    entries[0].version = text("");
    entries[0].signature = text("not a signature");
    assert_int_equal(inject_update(a, &update), KITH_E_CORRUPT);
    entries[0].signature = text("");
    update.parts = 0;
    assert_int_equal(inject_update(a, &update), KITH_E_CORRUPT);
    update.parts = RPC_REGISTRY_PARTS_MAX + 1;
    assert_int_equal(inject_update(a, &update), KITH_E_CORRUPT);
    update.parts = 2;
    update.part = 2;
    assert_int_equal(inject_update(a, &update), KITH_E_CORRUPT);
    update.part = 0;
    update.parts = 1;
    update.n_entries = RPC_FUNCTIONS_NODE_MAX + 1;
    assert_int_equal(inject_update(a, &update), KITH_E_CORRUPT);
    update.n_entries = 1;
    update.base_version = 12; /* a change to what comes after it */
    assert_int_equal(inject_update(a, &update), KITH_E_CORRUPT);
    assert_int_equal(who(a, "f"), 1);
    assert_int_equal(who(a, "g"), 0);
    desk_drop_all(desk);

    /* Too many over several parts. */
    update.base_version = 0;
    update.version = 12;
    update.parts = 3;
    update.n_entries = RPC_FUNCTIONS_NODE_MAX / 2;
    for (size_t i = 0; i <= RPC_FUNCTIONS_NODE_MAX; i++)
        entries[i].name = text("h");
    assert_int_equal(inject_update(a, &update), 0);
    update.part = 1;
    assert_int_equal(inject_update(a, &update), 0);
    update.part = 2;
    assert_int_equal(inject_update(a, &update), KITH_E_CORRUPT);
    assert_int_equal(who(a, "f"), 1);
    desk_free(desk);
}

static void entries_of_all_nodes_together_are_bounded(void **state)
{
    (void)state;
    struct desk *desk = desk_new(1, NULL);
    struct desk_node *node = &desk->nodes[0];
    desk->check = false;
    enum { EACH = 2048 };
    static Kith__Rpc__RegistryEntry entries[EACH];
    static Kith__Rpc__RegistryEntry *pointers[EACH];
    static char names[EACH][8];
    for (size_t i = 0; i < EACH; i++) {
        kith__rpc__registry_entry__init(&entries[i]);
        snprintf(names[i], sizeof(names[i]), "f%zu", i);
        entries[i].name = names[i];
        pointers[i] = &entries[i];
    }
    static uint8_t data[65536];
    Kith__Rpc__RegistryUpdate update;
    kith__rpc__registry_update__init(&update);
    update.boot_no = 1;
    update.version = 2;
    update.parts = 2;
    update.entries = pointers;
    update.n_entries = EACH;
    for (size_t peer = 0; peer < RPC_ENTRIES_MAX / (2 * EACH) + 2; peer++) {
        struct rpc_event up = {.type = RPC_PEER_UP};
        up.u.peer.id = desk_id(100 + peer);
        up.u.peer.boot_no = 1;
        desk_step(node, &up);
        for (uint32_t part = 0; part < 2; part++) {
            update.part = part;
            for (size_t i = 0; i < EACH; i++)
                names[i][0] = part == 0 ? 'f' : 'g';
            size_t len = kith__rpc__registry_update__pack(&update, data);
            desk_inject(node, desk_id(100 + peer), 1, FRAME_REGISTRY, data, len);
        }
    }
    assert_int_equal(count_functions(node), RPC_ENTRIES_MAX);
    rpc_check(node->core);
    desk_free(desk);
}

/* ---- completions ---- */

static void watch(struct desk_node *node, const char *name, bool on)
{
    struct rpc_event event = {.type = on ? RPC_WATCH_ON : RPC_WATCH_OFF, .u.name = name};
    desk_step(node, &event);
}

static void watched_completions_come_from_every_node(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(3, NULL);
    struct desk_node *a = &desk->nodes[0];
    desk_offer(&desk->nodes[1], "f", 0, 0);
    desk_settle(desk);
    watch(a, "f", true);
    desk_offer(&desk->nodes[2], "f", 0, 0); /* also those that come later */
    desk_offer(a, "f", 0, 0);
    desk_pass(desk, 50);
    for (size_t i = 0; i < 3; i++) {
        struct desk_node *node = &desk->nodes[i];
        size_t before = a->completions_n;
        desk_call(&desk->nodes[1], (struct rpc_call){.fn = "f",
                                                     .arg = {.data = "arg", .len = 3},
                                                     .to_node = true,
                                                     .node = node->id});
        desk_settle(desk);
        desk->now_ns += 3 * 1000000ull;
        desk_done(node, node->running[0], KITH_OUTCOME_APP_ERROR, 3, "", 0);
        desk_pass(desk, 50);
        assert_int_equal(a->completions_n, before + 1);
        assert_int_equal(a->completion.outcome, KITH_OUTCOME_APP_ERROR);
        assert_true(kith_node_id_equal(&a->completion.node, &node->id));
        assert_true(kith_node_id_equal(&a->completion.caller, &desk->nodes[1].id));
        assert_int_equal(a->completion.elapsed_ns, 3 * 1000000ull);
        assert_int_equal(a->completion.time_unix_ms, 1700000000000ull);
        uint8_t zeros[16] = {0};
        assert_memory_not_equal(a->completion.argument_digest, zeros, 16);
    }
    assert_int_equal(desk->nodes[1].completions_n, 0); /* off unless asked for */
    watch(a, "f", false);
    desk_settle(desk);
    size_t sends = desk->nodes[1].sends_n;
    desk_call_name(&desk->nodes[1], "f", "");
    desk_settle(desk);
    for (size_t i = 0; i < 3; i++) {
        while (desk->nodes[i].running_n > 0)
            desk_done_first(&desk->nodes[i], "");
    }
    desk_pass(desk, 100);
    assert_int_equal(a->completions_n, 3);
    assert_true(desk->nodes[1].sends_n <= sends + 2); /* the call, and no reports */
    desk_free(desk);
}

static void slow_watcher_misses_some_and_is_told_how_many(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(2, NULL);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    desk->check = false;
    desk_offer(b, "f", 0, 0);
    desk_settle(desk);
    watch(a, "f", true);
    desk_settle(desk);
    const size_t calls = RPC_COMPLETIONS_QUEUE_MAX + 500;
    for (size_t i = 0; i < calls; i++) {
        desk_call_name(b, "f", "");
        desk_done_first(b, "");
    }
    desk_pass(desk, 200);
    assert_int_equal(a->completions_n, RPC_COMPLETIONS_QUEUE_MAX);
    assert_int_equal(a->completions_missed_n, 500);
    desk_free(desk);
}

static void watch_ends_where_it_is_not_said_again(void **state)
{
    (void)state;
    struct desk *desk = desk_new_cluster(2, NULL);
    struct desk_node *a = &desk->nodes[0];
    struct desk_node *b = &desk->nodes[1];
    desk_offer(b, "f", 0, 0);
    desk_settle(desk);
    watch(a, "f", true);
    desk_pass(desk, 300000); /* it is said again every 30 s */
    desk_call_name(b, "f", "");
    desk_done_first(b, "");
    desk_pass(desk, 100);
    assert_int_equal(a->completions_n, 1);
    for (int i = 0; i < 200; i++) { /* the watcher is gone without a word */
        desk->now_ns += 1000 * 1000000ull;
        desk_tick(b);
    }
    size_t sends = b->sends_n;
    desk_call_name(b, "f", "");
    desk_done_first(b, "");
    desk->now_ns += 1000 * 1000000ull;
    desk_tick(b);
    assert_int_equal(b->sends_n, sends);
    desk_free(desk);
}

static void one_watch_too_many_is_refused(void **state)
{
    (void)state;
    struct desk *desk = desk_new(1, NULL);
    struct desk_node *node = &desk->nodes[0];
    char name[16];
    for (int i = 0; i < RPC_WATCHES_MAX; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        watch(node, name, true);
        assert_int_equal(node->out.code, 0);
    }
    watch(node, "more", true);
    assert_int_equal(node->out.code, KITH_E_LIMIT);
    watch(node, "f3", false);
    watch(node, "more", true);
    assert_int_equal(node->out.code, 0);
    watch(node, "never", false);
    assert_int_equal(node->out.code, KITH_E_NOT_FOUND);
    /* And watchers of one function. */
    desk_offer(node, "f", 0, 0);
    uint8_t data[64];
    Kith__Rpc__Watch message;
    kith__rpc__watch__init(&message);
    message.fn = text("f");
    message.on = true;
    size_t len = kith__rpc__watch__pack(&message, data);
    for (size_t i = 0; i < RPC_WATCHES_MAX + 10; i++)
        assert_int_equal(desk_inject(node, desk_id(100 + i), 1, FRAME_WATCH, data, len), 0);
    desk_free(desk);
}

static void nearest_name_is_found(void **state)
{
    (void)state;
    struct desk *desk = desk_new(1, NULL);
    struct desk_node *node = &desk->nodes[0];
    assert_null(rpc_nearest_name(node->core, "anything"));
    desk_offer(node, "image.resize", 0, 0);
    desk_offer(node, "image.rotate", 0, 0);
    assert_string_equal(rpc_nearest_name(node->core, "image.rsize"), "image.resize");
    assert_string_equal(rpc_nearest_name(node->core, "image.rotat"), "image.rotate");
    assert_null(rpc_nearest_name(node->core, "sum"));
    desk_free(desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(export_is_known_everywhere),
        cmocka_unit_test(withdrawal_is_known_everywhere),
        cmocka_unit_test(changes_close_together_go_out_together),
        cmocka_unit_test(newcomer_learns_everything),
        cmocka_unit_test(largest_registry_comes_in_parts_below_the_frame_bound),
        cmocka_unit_test(lost_part_is_asked_for_again),
        cmocka_unit_test(lost_change_is_noticed_by_the_next),
        cmocka_unit_test(newer_version_heard_of_is_pulled),
        cmocka_unit_test(unanswered_pull_is_repeated_ever_more_slowly),
        cmocka_unit_test(functions_of_a_failed_node_are_gone_and_come_back_with_it),
        cmocka_unit_test(counters_are_heard_of_in_time),
        cmocka_unit_test(functions_are_listed_in_a_stable_order),
        cmocka_unit_test(update_beyond_a_limit_is_refused_whole),
        cmocka_unit_test(entries_of_all_nodes_together_are_bounded),
        cmocka_unit_test(watched_completions_come_from_every_node),
        cmocka_unit_test(slow_watcher_misses_some_and_is_told_how_many),
        cmocka_unit_test(watch_ends_where_it_is_not_said_again),
        cmocka_unit_test(one_watch_too_many_is_refused),
        cmocka_unit_test(nearest_name_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

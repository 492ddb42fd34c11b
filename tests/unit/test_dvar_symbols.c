/*
 * The table of symbols: three nodes whose frames the test carries, and one with very many names.
 */
#include "dvar/symbols.h"

#include "core/alloc.h"
#include "core/error.h"
#include "core/placement.h"
#include "dvar/value.h"
#include "lib/test.h"

#define NODES 3

static struct {
    struct symbols_core *core;
    struct kith_node_id id;
    unsigned changed_n, gone_n, sent_n;
} nodes[NODES];
static bool linked[NODES][NODES];
static uint64_t now_ms;

static void step(unsigned i, struct symbols_event *event, int want);

static void carry(unsigned from, const struct symbols_output *out)
{
    struct symbols_action *actions = malloc(out->actions_n * sizeof(*actions) + 1);
    size_t n = 0;
    for (size_t k = 0; k < out->actions_n; k++) {
        const struct symbols_action *action = &out->actions[k];
        nodes[from].changed_n += action->type == SYMBOLS_CHANGED;
        nodes[from].gone_n += action->type == SYMBOLS_CHANGED && action->gone;
        if (action->type != SYMBOLS_SEND)
            continue;
        nodes[from].sent_n++;
        uint8_t *data = malloc(action->data.len);
        memcpy(data, action->data.data, action->data.len);
        actions[n] = *action;
        actions[n++].data.data = data;
    }
    for (size_t k = 0; k < n; k++) {
        unsigned to = actions[k].peer.bytes[0] - 1u;
        struct symbols_event event = {
            .type = SYMBOLS_RECV, .peer = nodes[from].id, .data = actions[k].data};
        if (linked[from][to])
            step(to, &event, 0);
        void *data;
        memcpy(&data, &actions[k].data.data, sizeof(data));
        free(data);
    }
    free(actions);
}

static void step(unsigned i, struct symbols_event *event, int want)
{
    struct symbols_output out;
    event->now_ms = now_ms;
    event->wall_ms = 1000;
    assert_int_equal(symbols_step(nodes[i].core, event, &out), want);
    carry(i, &out);
}

static void advance(uint64_t ms)
{
    uint64_t end_ms = now_ms + ms;
    for (;;) {
        uint64_t least = end_ms + 1;
        unsigned node = NODES;
        for (unsigned i = 0; i < NODES; i++) {
            if (nodes[i].core != NULL && symbols_deadline_ms(nodes[i].core) < least) {
                least = symbols_deadline_ms(nodes[i].core);
                node = i;
            }
        }
        if (node == NODES)
            break;
        now_ms = least > now_ms ? least : now_ms;
        struct symbols_event event = {.type = SYMBOLS_TICK};
        step(node, &event, 0);
    }
    now_ms = end_ms;
    for (unsigned i = 0; i < NODES; i++)
        if (nodes[i].core != NULL)
            symbols_check(nodes[i].core);
}

static void set_link(unsigned a, unsigned b, bool up)
{
    struct symbols_event event = {.type = up ? SYMBOLS_LINK_UP : SYMBOLS_LINK_DOWN};
    linked[a][b] = up;
    linked[b][a] = up;
    event.peer = nodes[a < b ? a : b].id;
    step(a < b ? b : a, &event, 0);
    event.peer = nodes[a < b ? b : a].id;
    step(a < b ? a : b, &event, 0);
}

static void start_all(unsigned n, uint32_t variables_max)
{
    memset(nodes, 0, sizeof(nodes));
    memset(linked, 0, sizeof(linked));
    now_ms = 1000;
    for (unsigned i = 0; i < n; i++) {
        struct symbols_event event = {.type = SYMBOLS_START};
        nodes[i].id.bytes[0] = (uint8_t)(i + 1);
        struct symbols_config config = {
            .self = {.node = nodes[i].id, .boot_no = 1}, .seed = i, .variables_max = variables_max};
        assert_int_equal(symbols_new(&nodes[i].core, &config), 0);
        step(i, &event, 0);
    }
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < i; k++)
            set_link(k, i, true);
}

static void stop_all(void)
{
    for (unsigned i = 0; i < NODES; i++)
        symbols_free(nodes[i].core);
}

static int created(unsigned i, const char *name, uint8_t type, uint8_t policy, uint64_t version)
{
    struct symbol symbol = {.name = name,
                            .type = type,
                            .policy = policy,
                            .size = 8,
                            .created_ms = 77,
                            .home = nodes[i].id,
                            .version = version};
    struct symbols_event event = {.type = SYMBOLS_CREATED, .symbol = &symbol};
    step(i, &event, 0);
    return 0;
}

static void gone(unsigned i, const char *name, uint64_t version)
{
    struct symbols_event event = {.type = SYMBOLS_GONE, .name = name, .version = version};
    step(i, &event, 0);
}

static void lists(unsigned i, const char *prefix, const char *want)
{
    char text[256] = "";
    char after[KITH_NAME_BYTES_MAX + 1] = "";
    struct symbol symbol;
    while (symbols_next(nodes[i].core, prefix, after, &symbol)) {
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ", symbol.name);
        (void)snprintf(after, sizeof(after), "%s", symbol.name);
    }
    assert_string_equal(text, want);
}

static void every_node_knows_what_was_created(void **state)
{
    struct symbol symbol;
    (void)state;
    start_all(3, 0);
    created(0, "b/2", VALUE_I64, VALUE_DURABLE, 5);
    created(1, "b/1", VALUE_TEXT, VALUE_VOLATILE, 6);
    created(2, "a", VALUE_ARRAY | VALUE_F64, VALUE_VOLATILE, 7);
    created(2, "b", VALUE_BOOL, VALUE_VOLATILE, 8);
    created(0, "\x01mutex/m", VALUE_BYTES, VALUE_DURABLE, 9); /* the runtime's own */
    advance(500);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(symbols_n(nodes[i].core), 4);
        lists(i, "", "a b b/1 b/2 ");
        lists(i, "b/", "b/1 b/2 ");
        lists(i, "b", "b b/1 b/2 ");
        lists(i, "c", "");
        assert_int_equal(symbols_find(nodes[i].core, "b/2", &symbol), 0);
        assert_int_equal(symbol.type, VALUE_I64);
        assert_int_equal(symbol.policy, VALUE_DURABLE);
        assert_int_equal(symbol.version, 5);
        assert_int_equal(symbol.size, 8);
        assert_int_equal(symbol.created_ms, 77);
        assert_int_equal(symbol.home.bytes[0], 1);
        assert_int_equal(nodes[i].changed_n, 4);
    }
    assert_int_equal(symbols_find(nodes[0].core, "none", &symbol), KITH_E_NOT_FOUND);
    stop_all();
}

static void a_version_that_is_seen_costs_no_message(void **state)
{
    struct symbol symbol;
    (void)state;
    start_all(3, 0);
    created(0, "x", VALUE_I64, VALUE_VOLATILE, 5);
    advance(500);
    unsigned sent_n = nodes[1].sent_n;
    struct symbols_event event = {.type = SYMBOLS_SEEN, .name = "x", .version = 900, .size = 4000};
    step(1, &event, 0);
    advance(200);
    assert_int_equal(nodes[1].sent_n, sent_n);
    assert_int_equal(symbols_find(nodes[1].core, "x", &symbol), 0);
    assert_int_equal(symbol.version, 900);
    assert_int_equal(symbol.size, 4000);
    assert_int_equal(symbol.seen_ms, now_ms - 200);
    assert_int_equal(symbols_find(nodes[2].core, "x", &symbol), 0);
    assert_int_equal(symbol.version, 5);
    event.version = 899; /* older news */
    step(1, &event, 0);
    event.name = "none";
    step(1, &event, 0);
    assert_int_equal(symbols_find(nodes[1].core, "x", &symbol), 0);
    assert_int_equal(symbol.version, 900);
    /* A home that says the same again, after a change of homes, is not passed on. */
    unsigned changed_n = nodes[2].changed_n;
    created(0, "x", VALUE_I64, VALUE_VOLATILE, 5);
    advance(200);
    assert_int_equal(nodes[2].changed_n, changed_n);
    stop_all();
}

static void of_what_homes_said_the_later_version_stands(void **state)
{
    (void)state;
    start_all(3, 0);
    created(0, "x", VALUE_I64, VALUE_VOLATILE, 5);
    advance(500);
    set_link(0, 2, false);
    set_link(1, 2, false);
    gone(1, "x", 20);
    created(2, "x", VALUE_TEXT, VALUE_VOLATILE, 10); /* a home that was one before 1 */
    advance(500);
    lists(1, "", "");
    lists(2, "", "x ");
    set_link(1, 2, true);
    advance(500);
    for (unsigned i = 0; i < 3; i++)
        lists(i, "", "");
    assert_true(symbols_digest(nodes[0].core) == symbols_digest(nodes[2].core));
    created(2, "x", VALUE_BOOL, VALUE_VOLATILE, 21);
    gone(0, "x", 19);
    set_link(0, 2, true);
    advance(60000);
    for (unsigned i = 0; i < 3; i++)
        lists(i, "", "x ");
    stop_all();
}

static void a_slot_that_is_lost_takes_its_volatile_variables_with_it(void **state)
{
    char name[32];
    unsigned in_slot = 0;
    (void)state;
    start_all(2, 0);
    uint32_t slot = placement_slot_of("v0", 2);
    for (unsigned i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof(name), "v%u", i);
        in_slot += placement_slot_of(name, strlen(name)) == slot;
        created(0, name, VALUE_I64, i % 2 == 0 ? VALUE_VOLATILE : VALUE_DURABLE, 5);
    }
    advance(500);
    struct symbols_event event = {.type = SYMBOLS_SLOT_LOST, .slot = slot, .version = 1000};
    step(0, &event, 0);
    advance(500);
    assert_true(nodes[1].gone_n >= 1);
    assert_true(nodes[1].gone_n <= in_slot);
    for (unsigned i = 0; i < 200; i++) {
        struct symbol symbol;
        (void)snprintf(name, sizeof(name), "v%u", i);
        bool lost = i % 2 == 0 && placement_slot_of(name, strlen(name)) == slot;
        assert_int_equal(symbols_find(nodes[1].core, name, &symbol), lost ? KITH_E_NOT_FOUND : 0);
    }
    stop_all();
}

static void a_newcomer_gets_all_and_order_holds_at_a_hundred_thousand(void **state)
{
    const unsigned n = 100000;
    char name[32];
    char after[KITH_NAME_BYTES_MAX + 1] = "";
    struct symbol symbol;
    struct avail_stats stats;
    (void)state;
    start_all(2, n);
    set_link(0, 1, false);
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(name, sizeof(name), "name/%06u", i * 7919 % n);
        created(0, name, VALUE_I64, VALUE_VOLATILE, i + 1);
    }
    symbol = (struct symbol){.name = "more", .type = VALUE_I64, .version = 1};
    struct symbols_event event = {.type = SYMBOLS_CREATED, .symbol = &symbol};
    step(0, &event, KITH_E_LIMIT);
    assert_non_null(strstr(kith_errmsg(), "100000"));
    set_link(0, 1, true);
    advance(10000);
    assert_int_equal(symbols_n(nodes[1].core), n);
    assert_true(symbols_digest(nodes[0].core) == symbols_digest(nodes[1].core));
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(name, sizeof(name), "name/%06u", i);
        assert_true(symbols_next(nodes[1].core, "name/", after, &symbol));
        assert_string_equal(symbol.name, name);
        (void)snprintf(after, sizeof(after), "%s", name);
    }
    assert_false(symbols_next(nodes[1].core, "name/", after, &symbol));
    symbols_stats(nodes[1].core, &stats);
    assert_int_equal(stats.variables, n);
    stop_all();
}

static void memory_that_is_short_leaves_the_table_whole(void **state)
{
    (void)state;
    start_all(2, 0);
    for (uint64_t n = 1; n < 40; n++) {
        char name[8];
        struct symbols_output out;
        (void)snprintf(name, sizeof(name), "n%llu", (unsigned long long)n);
        struct symbol symbol = {.name = name, .type = VALUE_I64, .version = 1};
        struct symbols_event event = {
            .type = SYMBOLS_CREATED, .now_ms = now_ms, .wall_ms = 1000, .symbol = &symbol};
        core_alloc_fail_at(n);
        int r = symbols_step(nodes[0].core, &event, &out);
        core_alloc_fail_at(0);
        assert_true(r == 0 || r == KITH_E_MEMORY);
        symbols_check(nodes[0].core);
        now_ms += 20;
    }
    advance(60000); /* a name that found no place has one now */
    struct avail_stats stats;
    symbols_stats(nodes[0].core, &stats);
    assert_true(stats.variables > 0);
    assert_int_equal(symbols_n(nodes[0].core), stats.variables);
    assert_int_equal(symbols_n(nodes[1].core), stats.variables);
    stop_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_node_knows_what_was_created),
        cmocka_unit_test(a_version_that_is_seen_costs_no_message),
        cmocka_unit_test(of_what_homes_said_the_later_version_stands),
        cmocka_unit_test(a_slot_that_is_lost_takes_its_volatile_variables_with_it),
        cmocka_unit_test(a_newcomer_gets_all_and_order_holds_at_a_hundred_thousand),
        cmocka_unit_test(memory_that_is_short_leaves_the_table_whole),
    };
    return cmocka_run_group_tests_name("dvar_symbols", tests, NULL, NULL);
}

/*
 * The world of test_member_world.h.
 */
#include "test_member_world.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- stand-in crypto ---- */

static void stamp(const uint8_t pk[32], const uint8_t *data, size_t len, uint8_t out[64])
{
    for (unsigned i = 0; i < 8; i++)
        put_le64(out + 8 * i, hash_bytes(data, len, hash_bytes(pk, 32, i)));
}

static void sign(void *user, const uint8_t *data, size_t len, uint8_t signature_out[64])
{
    (void)user;
    /* The key stands in the record itself, behind the context, form, flags, role and id. */
    stamp(data + sizeof(FACTS_CONTEXT) + 3 + KITH_NODE_ID_BYTES, data, len, signature_out);
}

static bool verify(
    void *user, const uint8_t pk[32], const uint8_t *data, size_t len, const uint8_t signature[64])
{
    struct world *world = user;
    uint8_t right[64];
    if (world != NULL)
        world->verifies++;
    stamp(pk, data, len, right);
    return memcmp(right, signature, 64) == 0;
}

static bool key_is_of(void *user, const uint8_t pk[32], const struct kith_node_id *id)
{
    (void)user;
    return memcmp(pk, id->bytes, KITH_NODE_ID_BYTES) == 0;
}

struct member_crypto world_crypto(struct world *world)
{
    return (struct member_crypto){
        .user = world, .sign = sign, .verify = verify, .key_is_of = key_is_of};
}

void world_key_of(const struct kith_node_id *id, uint8_t sign_pk[32])
{
    memcpy(sign_pk, id->bytes, KITH_NODE_ID_BYTES);
    memset(sign_pk + KITH_NODE_ID_BYTES, 0x5a, 32 - KITH_NODE_ID_BYTES);
}

struct kith_node_id world_id(size_t i)
{
    struct kith_node_id id;
    put_le64(id.bytes, hash_bytes(&i, sizeof(i), 1));
    put_le64(id.bytes + 8, i);
    return id;
}

struct member_facts world_facts(size_t i)
{
    struct member_facts facts = {
        .version = "0.1.0",
        .role = KITH_ROLE_NODE,
        .cpus = 8,
        .cores = 4,
        .memory_bytes = UINT64_C(16) << 30,
        .born_unix_ms = 1000 + i,
        .addresses_n = 1,
    };
    snprintf(facts.name, sizeof(facts.name), "node-%zu", i);
    snprintf(facts.addresses[0], sizeof(facts.addresses[0]), "t:%zu", i);
    return facts;
}

/* ---- the network ---- */

static struct world_event *post(struct world *world, size_t len, uint64_t delay_ms)
{
    struct world_event *event = calloc(1, sizeof(*event) + len);
    assert(event != NULL);
    int r = heap_set(&world->events, &event->at, world->now_ms + delay_ms);
    assert(r == 0);
    (void)r;
    event->len = len;
    return event;
}

static uint64_t delay(struct world *world)
{
    return world->delay_ms + rng_below(&world->rng, world->delay_spread_ms + 1);
}

static size_t index_of(const struct world *world, const struct kith_node_id *id)
{
    size_t i = (size_t)get_le64(id->bytes + 8);
    assert(i < world->nodes_n);
    return i;
}

static bool reachable(const struct world *world, size_t a, size_t b)
{
    return world->nodes[a].core != NULL && world->nodes[b].core != NULL && !world->cut[a][b] &&
           !world->cut[b][a];
}

static struct world_event *
link_event(struct world *world, size_t from, size_t to, enum world_event_type type)
{
    struct world_event *event = post(world, 0, delay(world));
    event->type = type;
    event->from = from;
    event->to = to;
    event->boot_no = world->nodes[from].boot_no;
    event->to_boot = world->nodes[to].boot_no;
    return event;
}

static bool open_link(struct world *world, size_t from, size_t to, const char *text)
{
    if (from == to || !reachable(world, from, to))
        return false;
    bool was = world->link[from][to];
    world->link[from][to] = world->link[to][from] = true;
    if (!was || text != NULL) {
        struct world_event *event = link_event(world, to, from, WORLD_LINK_UP);
        snprintf(event->text, sizeof(event->text), "%s", text == NULL ? "" : text);
        if (!was)
            link_event(world, from, to, WORLD_LINK_UP);
    }
    return true;
}

static void close_link(struct world *world, size_t a, size_t b)
{
    if (!world->link[a][b])
        return;
    world->link[a][b] = world->link[b][a] = false;
    if (world->nodes[a].core != NULL)
        link_event(world, b, a, WORLD_LINK_DOWN);
    if (world->nodes[b].core != NULL)
        link_event(world, a, b, WORLD_LINK_DOWN);
}

static void send_datagram(struct world *world, size_t from, const struct member_action *action)
{
    size_t to = index_of(world, &action->id);
    struct world_node *node = &world->nodes[from];
    assert(action->len > 0 && action->len <= node->config.datagram_bytes_max);
    node->datagrams++;
    node->bytes += action->len;
    if (world->cut[from][to] || rng_unit(&world->rng) < world->loss ||
        rng_unit(&world->rng) < world->nodes[to].ingress_loss)
        return;
    struct world_event *event = post(world, action->len, delay(world));
    event->type = WORLD_DATAGRAM;
    event->from = from;
    event->to = to;
    event->boot_no = node->boot_no;
    event->to_boot = world->nodes[to].boot_no;
    memcpy(event->data, action->data, action->len);
}

static void send_frame(struct world *world, size_t from, const struct member_action *action)
{
    size_t to = index_of(world, &action->id);
    assert(action->len <= NET_CONTROL_FRAME_BYTES_MAX);
    world->nodes[from].bytes += action->len;
    if (!open_link(world, from, to, NULL))
        return;
    struct world_event *event = post(world, action->len, delay(world) + world->delay_spread_ms);
    event->type = WORLD_FRAME;
    event->from = from;
    event->to = to;
    event->boot_no = world->nodes[from].boot_no;
    event->to_boot = world->nodes[to].boot_no;
    event->frame_type = action->frame_type;
    memcpy(event->data, action->data, action->len);
}

static void dial(struct world *world, size_t from, const char *address)
{
    size_t to = strncmp(address, "t:", 2) == 0 ? strtoul(address + 2, NULL, 10) : WORLD_NODES_MAX;
    world->nodes[from].dials++;
    if (to < world->nodes_n && open_link(world, from, to, address))
        return;
    struct world_event *event = post(world, 0, 10);
    event->type = WORLD_DIAL_FAILED;
    event->to = from;
    event->to_boot = world->nodes[from].boot_no;
    snprintf(event->text, sizeof(event->text), "%s", address);
}

/* ---- steps ---- */

static void note_change(struct world *world, size_t seer, const struct member_action *action)
{
    if (world->changes_n == world->changes_cap) {
        world->changes_cap = world->changes_cap == 0 ? 256 : world->changes_cap * 2;
        world->changes = realloc(world->changes, world->changes_cap * sizeof(*world->changes));
        assert(world->changes != NULL);
    }
    assert(action->text != NULL && action->text[0] != '\0');
    world->changes[world->changes_n++] = (struct world_change){
        .at_ms = world->now_ms,
        .seer = seer,
        .about = index_of(world, &action->member->id),
        .change = action->change,
    };
}

static void carry_out(struct world *world, size_t i, const struct member_action *action)
{
    switch (action->type) {
    case MEMBER_SEND_DATAGRAM:
        send_datagram(world, i, action);
        return;
    case MEMBER_SEND_FRAME:
        send_frame(world, i, action);
        return;
    case MEMBER_DIAL:
        dial(world, i, action->text);
        return;
    case MEMBER_CONNECT:
        world->nodes[i].connects++;
        open_link(world, i, index_of(world, &action->id), NULL);
        return;
    case MEMBER_CHANGED:
        note_change(world, i, action);
        return;
    case MEMBER_FORGOTTEN:
        world->nodes[i].forgotten++;
        return;
    case MEMBER_NAME_CLASH:
        assert(action->member != NULL && action->other != NULL);
        world->nodes[i].clashes++;
        return;
    case MEMBER_TOLD_LEAVE:
        world->nodes[i].told_leave++;
        return;
    case MEMBER_CLONED:
        world->nodes[i].clones++;
        return;
    case MEMBER_LEARNED:
        assert(action->member->sign_pk[0] == action->member->id.bytes[0]);
        return;
    case MEMBER_FACTS_CHANGED:
    case MEMBER_CACHE_DIRTY:
        return;
    }
}

int world_step(struct world *world, size_t i, struct member_event *event)
{
    struct world_node *node = &world->nodes[i];
    struct member_output out;
    event->now_ms = world->now_ms;
    world->steps++;
    int r = member_step(node->core, event, &out);
    if (world->check_each_step)
        member_check(node->core);
    for (size_t a = 0; a < out.actions_n; a++)
        carry_out(world, i, &out.actions[a]);
    return r;
}

static void deliver(struct world *world, struct world_event *from)
{
    struct world_node *node = &world->nodes[from->to];
    if (node->core == NULL || node->boot_no != from->to_boot)
        return;
    uint8_t pk[32];
    struct member_event event = {.id = world->nodes[from->from].id,
                                 .boot_no = from->boot_no,
                                 .data = from->data,
                                 .len = from->len,
                                 .frame_type = from->frame_type,
                                 .text = from->text};
    world_key_of(&event.id, pk);
    event.sign_pk = pk;
    switch (from->type) {
    case WORLD_DATAGRAM:
        event.type = MEMBER_DATAGRAM;
        break;
    case WORLD_FRAME:
        if (!world->link[from->from][from->to])
            return;
        event.type = MEMBER_FRAME;
        break;
    case WORLD_LINK_UP:
        event.type = MEMBER_LINK_UP;
        break;
    case WORLD_LINK_DOWN:
        event.type = MEMBER_LINK_DOWN;
        break;
    case WORLD_DIAL_FAILED:
        event.type = MEMBER_DIAL_FAILED;
        event.id = (struct kith_node_id){0};
        event.code = KITH_E_UNREACHABLE;
        break;
    }
    int r = world_step(world, from->to, &event);
    assert(r == 0);
    (void)r;
}

/* The next node whose timer is due, and when. */
static size_t next_timer(const struct world *world, uint64_t *at_ms)
{
    size_t found = WORLD_NODES_MAX;
    *at_ms = UINT64_MAX;
    for (size_t i = 0; i < world->nodes_n; i++) {
        const struct world_node *node = &world->nodes[i];
        if (node->core == NULL)
            continue;
        uint64_t due = member_deadline_ms(node->core);
        if (due < node->paused_until_ms)
            due = node->paused_until_ms;
        if (due < *at_ms) {
            *at_ms = due;
            found = i;
        }
    }
    return found;
}

bool world_run_until(struct world *world,
                     bool (*done)(struct world *world, void *arg),
                     void *arg,
                     uint64_t for_ms)
{
    uint64_t end_ms = world->now_ms + for_ms;
    for (;;) {
        if (done != NULL && done(world, arg))
            return true;
        uint64_t timer_ms;
        size_t due = next_timer(world, &timer_ms);
        struct heap_node *first = heap_first(&world->events);
        uint64_t event_ms = first == NULL ? UINT64_MAX : first->key;
        uint64_t next_ms = timer_ms < event_ms ? timer_ms : event_ms;
        if (next_ms > end_ms) {
            world->now_ms = end_ms;
            return false;
        }
        if (next_ms > world->now_ms)
            world->now_ms = next_ms;
        /* Timers first: of a node that slept, the harder order. */
        if (timer_ms <= event_ms) {
            struct member_event tick = {.type = MEMBER_TICK};
            world_step(world, due, &tick);
            continue;
        }
        struct world_event *event = container_of(first, struct world_event, at);
        heap_remove(&world->events, first);
        uint64_t paused_ms = world->nodes[event->to].paused_until_ms;
        if (paused_ms > world->now_ms) {
            int r = heap_set(&world->events, first, paused_ms); /* waits in the socket */
            assert(r == 0);
            (void)r;
            continue;
        }
        deliver(world, event);
        free(event);
    }
}

void world_run(struct world *world, uint64_t for_ms)
{
    world_run_until(world, NULL, NULL, for_ms);
}

/* ---- nodes ---- */

struct world *world_new(size_t n, uint64_t seed, const struct member_config *profile)
{
    struct world *world = calloc(1, sizeof(*world));
    assert(world != NULL && n <= WORLD_NODES_MAX);
    world->nodes_n = n;
    world->now_ms = 1000;
    world->delay_ms = 1;
    world->check_each_step = true;
    rng_init(&world->rng, seed);
    for (size_t i = 0; i < n; i++) {
        struct world_node *node = &world->nodes[i];
        if (profile != NULL)
            node->config = *profile;
        node->id = world_id(i);
        node->config.self = node->id;
        world_key_of(&node->id, node->config.sign_pk);
        node->config.crypto = world_crypto(world);
        node->config.facts = world_facts(i);
        if (node->config.datagram_bytes_max == 0)
            node->config.datagram_bytes_max = 1126;
    }
    return world;
}

void world_free(struct world *world)
{
    struct heap_node *first;
    while ((first = heap_first(&world->events)) != NULL) {
        heap_remove(&world->events, first);
        free(container_of(first, struct world_event, at));
    }
    heap_deinit(&world->events);
    for (size_t i = 0; i < world->nodes_n; i++)
        member_free(world->nodes[i].core);
    free(world->changes);
    free(world);
}

void world_boot(struct world *world, size_t i)
{
    struct world_node *node = &world->nodes[i];
    assert(node->core == NULL);
    node->boot_no++;
    node->config.boot_no = node->boot_no;
    node->config.seed = rng_u64(&world->rng);
    int r = member_new(&node->core, &node->config);
    assert(r == 0);
    (void)r;
    struct member_event start = {.type = MEMBER_START};
    world_step(world, i, &start);
}

void world_seed(struct world *world, size_t i, const char *address)
{
    struct member_event seed = {.type = MEMBER_SEED, .text = address};
    int r = world_step(world, i, &seed);
    assert(r == 0);
    (void)r;
}

void world_link(struct world *world, size_t from, size_t to)
{
    bool open = open_link(world, from, to, NULL);
    assert(open);
    (void)open;
}

void world_boot_all_joined(struct world *world)
{
    for (size_t i = 0; i < world->nodes_n; i++) {
        world_boot(world, i);
        if (i > 0)
            world_seed(world, i, "t:0");
    }
    bool joined = world_run_until(world, world_all_alive, NULL, 60 * 1000);
    assert(joined);
    (void)joined;
}

void world_crash(struct world *world, size_t i, bool reset_links)
{
    member_free(world->nodes[i].core);
    world->nodes[i].core = NULL;
    world->nodes[i].paused_until_ms = 0;
    for (size_t j = 0; j < world->nodes_n; j++) {
        if (reset_links)
            close_link(world, i, j);
        world->link[i][j] = world->link[j][i] = false;
    }
}

void world_pause(struct world *world, size_t i, uint64_t for_ms)
{
    world->nodes[i].paused_until_ms = world->now_ms + for_ms;
}

void world_cut_from(struct world *world, size_t from, size_t to, bool cut)
{
    world->cut[from][to] = cut;
    if (cut)
        close_link(world, from, to);
}

void world_cut(struct world *world, size_t a, size_t b, bool cut)
{
    world_cut_from(world, a, b, cut);
    world_cut_from(world, b, a, cut);
}

void world_partition(struct world *world, size_t first_of_second)
{
    for (size_t a = 0; a < first_of_second; a++)
        for (size_t b = first_of_second; b < world->nodes_n; b++)
            world_cut(world, a, b, true);
}

void world_heal(struct world *world)
{
    memset(world->cut, 0, sizeof(world->cut));
    for (size_t i = 0; i < world->nodes_n; i++)
        world->nodes[i].ingress_loss = 0;
    world->loss = 0;
}

/* ---- looking ---- */

struct mnode *world_mnode(const struct world *world, size_t i, size_t j)
{
    return table_find(world->nodes[i].core, &world->nodes[j].id);
}

enum kith_status world_sees(const struct world *world, size_t i, size_t j)
{
    const struct mnode *node = world_mnode(world, i, j);
    return node == NULL ? (enum kith_status)0 : node->pub.status;
}

bool world_all_alive(struct world *world, void *arg)
{
    (void)arg;
    size_t running = 0;
    for (size_t i = 0; i < world->nodes_n; i++)
        running += world->nodes[i].core != NULL;
    for (size_t i = 0; i < world->nodes_n; i++)
        if (world->nodes[i].core != NULL &&
            (member_alive_n(world->nodes[i].core, true) != running ||
             core_n(world->nodes[i].core) != running))
            return false;
    for (size_t i = 0; i < world->nodes_n; i++)
        for (size_t j = 0; world->nodes[i].core != NULL && j < world->nodes_n; j++)
            if (world->nodes[j].core != NULL && world_sees(world, i, j) != KITH_STATUS_ALIVE)
                return false;
    return true;
}

bool world_all_failed(struct world *world, void *arg)
{
    size_t which = *(size_t *)arg;
    for (size_t i = 0; i < world->nodes_n; i++)
        if (i != which && world->nodes[i].core != NULL &&
            world_sees(world, i, which) != KITH_STATUS_FAILED)
            return false;
    return true;
}

size_t
world_changes(const struct world *world, size_t seer, size_t about, enum member_change change)
{
    size_t n = 0;
    for (size_t i = 0; i < world->changes_n; i++)
        n += world->changes[i].seer == seer && world->changes[i].about == about &&
             world->changes[i].change == change;
    return n;
}

size_t world_count(const struct world *world, enum member_change change)
{
    size_t n = 0;
    for (size_t i = 0; i < world->changes_n; i++)
        n += world->changes[i].change == change;
    return n;
}

size_t world_record(
    struct world *world, size_t j, uint64_t boot_no, uint64_t version, bool left, uint8_t *out)
{
    const struct member_config *config = &world->nodes[j].config;
    return facts_encode(out, config, &config->facts, boot_no, version, left);
}

int world_hear(struct world *world,
               size_t i,
               size_t from,
               uint64_t boot_no,
               const struct msg *msgs,
               size_t n,
               struct member_output *out)
{
    uint8_t data[8192];
    size_t len = 0;
    for (size_t m = 0; m < n; m++)
        len += wire_encode(data + len, &msgs[m]);
    struct member_event event = {.type = MEMBER_DATAGRAM,
                                 .now_ms = world->now_ms,
                                 .id = world->nodes[from].id,
                                 .boot_no = boot_no,
                                 .data = data,
                                 .len = len};
    int r = member_step(world->nodes[i].core, &event, out);
    member_check(world->nodes[i].core);
    return r;
}

int world_meet(struct world *world, size_t i, size_t j, uint64_t boot_no, struct member_output *out)
{
    uint8_t bytes[MEMBER_RECORD_BYTES_MAX];
    struct msg msg = {.type = MSG_FACTS};
    msg.u.record.data = bytes;
    msg.u.record.len = world_record(world, j, boot_no, 1, false, bytes);
    return world_hear(world, i, j, boot_no, &msg, 1, out);
}

const struct member_action *world_action(const struct member_output *out,
                                         enum member_action_type type)
{
    for (size_t i = 0; i < out->actions_n; i++)
        if (out->actions[i].type == type)
            return &out->actions[i];
    return NULL;
}

size_t world_actions(const struct member_output *out, enum member_action_type type)
{
    size_t n = 0;
    for (size_t i = 0; i < out->actions_n; i++)
        n += out->actions[i].type == type;
    return n;
}

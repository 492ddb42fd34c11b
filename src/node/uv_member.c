/*
 * The driver of membership: datagrams, frames, links and time in; messages, dials and changes out.
 * Here "failed" leaves one core as an action and enters the next as an event.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "net/peer_cache.h"
#include "node/internal.h"
#include "node/uv_fs.h"

#define CACHE_DELAY_MS 1000

/* ---- the peer cache ---- */

struct cache_write {
    uv_work_t work;
    struct kith_node *node;
    struct buf file;
    int code;
    char text[256];
};

static void cache_work(uv_work_t *work)
{
    struct cache_write *write = work->data;
    write->code = data_dir_set_peers(&write->node->dir, &write->file);
    snprintf(write->text, sizeof(write->text), "%s", kith_errmsg());
}

static void cache_done(uv_work_t *work, int status)
{
    struct cache_write *write = work->data;
    struct kith_node *node = write->node;
    if (status == 0 && write->code != 0)
        log_warn(&node->log.log, "node", "the peer cache is not written", "reason", write->text,
                 NULL);
    node->cache_writing = false;
    buf_deinit(&write->file);
    core_free(write);
}

static void entry_of(struct kith_node *node, const struct member *member, struct peer_entry *entry)
{
    struct uv_peer *peer = uv_net_find(node->net, &member->id);
    const char *addresses[NET_ADDRESSES_PER_PEER_MAX];
    size_t n = peer != NULL ? uv_peer_addresses(peer, addresses, NET_ADDRESSES_PER_PEER_MAX) : 0;

    memset(entry, 0, sizeof(*entry));
    entry->id = member->id;
    memcpy(entry->sign_pk, member->sign_pk, sizeof(entry->sign_pk));
    entry->boot_no = member->boot_no;
    entry->last_seen_unix_ms = node_unix_ms();
    entry->role = (uint8_t)member->facts.role;
    snprintf(entry->name, sizeof(entry->name), "%s", member->facts.name);
    for (size_t i = 0; i < n; i++)
        snprintf(entry->addresses[entry->addresses_n++], sizeof(entry->addresses[0]), "%s",
                 addresses[i]);
}

static int cache_encode(struct kith_node *node, struct buf *file)
{
    struct peer_cache_writer writer;
    struct peer_entry entry;
    struct member *member;
    size_t at = 0;
    int r = peer_cache_begin(&writer, file);

    while (r == 0 && (member = member_next(node->members, &at)) != NULL) {
        if (kith_node_id_equal(&member->id, &node->identity.id) ||
            member->facts.role == KITH_ROLE_PROGRAM)
            continue;
        entry_of(node, member, &entry);
        r = peer_cache_add(&writer, &entry);
    }
    return r == 0 ? peer_cache_end(&writer) : r;
}

static void on_cache_timer(uv_timer_t *timer)
{
    struct kith_node *node = timer->data;
    if (node->cache_writing) {
        uv_timer_start(timer, on_cache_timer, CACHE_DELAY_MS, 0);
        return;
    }
    struct cache_write *write = core_calloc(1, sizeof(*write));
    if (write == NULL || cache_encode(node, &write->file) != 0) {
        core_free(write);
        return;
    }
    write->node = node;
    write->work.data = write;
    node->cache_writing = true;
    uv_queue_work(&node->loop, &write->work, cache_work, cache_done);
}

static void cache_dirty(struct kith_node *node)
{
    if (node->dir.path != NULL && !node->ending && !uv_is_active((uv_handle_t *)&node->cache_timer))
        uv_timer_start(&node->cache_timer, on_cache_timer, CACHE_DELAY_MS, 0);
}

/* Written once more, on this thread, when the node ends. */
void node_member_save(struct kith_node *node)
{
    struct buf file = {0};
    if (node->dir.path != NULL && cache_encode(node, &file) == 0)
        (void)data_dir_set_peers(&node->dir, &file);
    buf_deinit(&file);
}

static void remember(struct kith_node *node, const struct peer_entry *entry)
{
    const char *addresses[NET_ADDRESSES_PER_PEER_MAX];
    struct uv_peer *peer;

    if (kith_node_id_equal(&entry->id, &node->identity.id))
        return;
    for (size_t i = 0; i < entry->addresses_n; i++)
        addresses[i] = entry->addresses[i];
    if (uv_net_learn(node->net, &entry->id, entry->sign_pk, addresses, entry->addresses_n, &peer) !=
        0)
        return;
    uv_net_seen_boot(node->net, peer, entry->boot_no);
    struct member known = {.id = entry->id,
                           .boot_no = entry->boot_no,
                           .facts = {.name = entry->name,
                                     .version = "",
                                     .addresses = addresses,
                                     .addresses_n = (uint32_t)entry->addresses_n,
                                     .role = entry->role != 0 ? entry->role : KITH_ROLE_NODE}};
    memcpy(known.sign_pk, entry->sign_pk, sizeof(known.sign_pk));
    struct member_event event = {.type = MEMBER_REMEMBER, .peer = &known};
    node_member_step(node, &event);
}

void node_member_recall(struct kith_node *node)
{
    struct buf file = {0};
    struct peer_cache_reader reader;
    struct peer_entry entry;

    if (node->dir.path == NULL)
        return;
    int r = data_dir_peers(&node->dir, &file);
    if (r != 0 && r != KITH_E_NOT_FOUND)
        log_warn(&node->log.log, "node", "no peers are remembered", "reason", kith_errmsg(), NULL);
    if (r == 0 && peer_cache_open(&reader, file.data, file.len) == 0) {
        while (peer_cache_next(&reader, &entry) == 1)
            remember(node, &entry);
    }
    buf_deinit(&file);
}

/* ---- changes ---- */

const char *node_member_address(struct kith_node *node, const struct member *member)
{
    struct uv_peer *peer = uv_net_find(node->net, &member->id);
    if (peer != NULL && uv_peer_address(peer)[0] != '\0')
        return uv_peer_address(peer);
    return member->facts.addresses_n > 0 ? member->facts.addresses[0] : "";
}

static void rpc_peer_event(struct kith_node *node,
                           enum rpc_event_type type,
                           const struct member *member,
                           bool left)
{
    struct rpc_event event = {.type = type,
                              .u.peer = {.id = member->id,
                                         .boot_no = member->boot_no,
                                         .name = member->shown_name,
                                         .left = left,
                                         .program = member->facts.role == KITH_ROLE_PROGRAM,
                                         .drained = node_is_drained(node, &member->id),
                                         .user = uv_net_find(node->net, &member->id)}};
    node_rpc_step(node, &event);
}

static void changed(struct kith_node *node, const struct member_action *action)
{
    const struct member *member = action->member;
    struct kith_work_item *items = NULL;
    size_t items_n = 0;

    switch (action->change) {
    case MEMBER_JOINED:
        rpc_peer_event(node, RPC_PEER_UP, member, false);
        node_state_peer(node, member, true, false);
        node_fs_member(node, &member->id, true);
        break;
    case MEMBER_FAILED:
    case MEMBER_LEFT:
        /* Gathered first: the calls end, and the items go elsewhere, in the step behind it. */
        items_n = node_maps_items_of(node, &member->id, &items);
        rpc_peer_event(node, RPC_PEER_DOWN, member, action->change == MEMBER_LEFT);
        node_state_peer(node, member, false, action->change == MEMBER_LEFT);
        node_fs_member(node, &member->id, false);
        break;
    case MEMBER_SUSPECT:
    case MEMBER_REFUTED:
        break;
    }
    node_event_member(node, member, action->change, action->text != NULL ? action->text : "", items,
                      items_n);
    core_free(items);
    node->waits_stale = true;
}

static void facts_changed(struct kith_node *node, const struct member *member)
{
    if (kith_node_id_equal(&member->id, &node->identity.id))
        return;
    struct rpc_event event = {.type = RPC_PEER_REGISTRY,
                              .u.registry = {.id = member->id,
                                             .boot_no = member->boot_no,
                                             .version = member->facts.registry_version}};
    node_rpc_step(node, &event);
}

static void learned(struct kith_node *node, const struct member *member)
{
    struct uv_peer *peer;

    if (kith_node_id_equal(&member->id, &node->identity.id))
        return;
    if (uv_net_learn(node->net, &member->id, member->sign_pk, member->facts.addresses,
                     member->facts.addresses_n, &peer) != 0)
        log_warn(&node->log.log, "member", "a node cannot be reached", "name", member->shown_name,
                 "reason", kith_errmsg(), NULL);
}

static void forgotten(struct kith_node *node, const struct member_action *action)
{
    struct uv_peer *peer = uv_net_find(node->net, &action->id);

    node_fs_forget(node, &action->id);
    if (action->member != NULL) {
        rpc_peer_event(node, RPC_PEER_DOWN, action->member, true);
        if (action->member->facts.role != KITH_ROLE_PROGRAM)
            node_event_note(node, "forgotten", &action->id, action->member->shown_name, "",
                            "forgotten");
    }
    if (peer != NULL)
        uv_net_forget(node->net, peer);
}

static void name_clash(struct kith_node *node, const struct member_action *action)
{
    const char *a = node_member_address(node, action->member);
    const char *b = node_member_address(node, action->other);
    char reason[160];

    snprintf(reason, sizeof(reason), "two nodes are named %s: %s (%s) and %s (%s); rename one",
             action->member->facts.name, action->member->shown_name, a, action->other->shown_name,
             b);
    node_event_note(node, "name-clash", &action->member->id, action->member->shown_name, a, reason);
    log_warn(&node->log.log, "member", "name clash", "reason", reason, NULL);
}

/* ---- dials of addresses ---- */

struct dial {
    struct kith_node *node;
    char address[];
};

static void on_dialled(void *user, int status, struct uv_peer *peer)
{
    struct dial *dial = user;
    struct member_event event = {.type = MEMBER_DIAL_FAILED, .text = dial->address, .code = status};
    /* The name that led there: a seed that is here need not be dialled again. */
    if (status == 0)
        event.id = *uv_peer_id(peer);
    node_member_step(dial->node, &event);
    core_free(dial);
}

static void do_dial(struct kith_node *node, const char *address)
{
    size_t bytes = strlen(address) + 1;
    struct dial *dial = core_malloc(sizeof(*dial) + bytes);
    if (dial == NULL)
        return;
    dial->node = node;
    memcpy(dial->address, address, bytes);
    int r = uv_net_dial(node->net, address, on_dialled, dial);
    if (r != 0) {
        struct member_event event = {.type = MEMBER_DIAL_FAILED, .text = dial->address, .code = r};
        node_member_step(node, &event);
        core_free(dial);
    }
}

/* ---- steps ---- */

static void do_action(struct kith_node *node, const struct member_action *action)
{
    struct uv_peer *peer;
    struct kith_bytes data = {.data = action->data, .len = action->len};

    switch (action->type) {
    case MEMBER_SEND_DATAGRAM:
        peer = uv_net_find(node->net, &action->id);
        if (peer != NULL)
            (void)uv_net_send_datagram(node->net, peer, action->data, action->len);
        break;
    case MEMBER_SEND_FRAME:
        peer = uv_net_find(node->net, &action->id);
        if (peer != NULL)
            (void)uv_net_send(node->net, peer, NET_CONTROL, action->frame_type, &data, 1);
        break;
    case MEMBER_DIAL:
        do_dial(node, action->text);
        break;
    case MEMBER_CONNECT:
        peer = uv_net_find(node->net, &action->id);
        if (peer != NULL)
            (void)uv_net_connect(node->net, peer, NET_CONTROL);
        break;
    case MEMBER_LEARNED:
        learned(node, action->member);
        break;
    case MEMBER_CHANGED:
        changed(node, action);
        break;
    case MEMBER_FACTS_CHANGED:
        facts_changed(node, action->member);
        break;
    case MEMBER_FORGOTTEN:
        forgotten(node, action);
        break;
    case MEMBER_NAME_CLASH:
        name_clash(node, action);
        break;
    case MEMBER_CLONED:
        node_event_note(node, "cloned", &action->member->id, action->member->shown_name,
                        node_member_address(node, action->member),
                        "two processes run with the key of this node; give one a data directory "
                        "of its own");
        log_error(&node->log.log, "member",
                  "two processes run with the same key; give one a data directory of its own",
                  "name", action->member->shown_name, NULL);
        break;
    case MEMBER_TOLD_LEAVE:
        node_left(node);
        break;
    case MEMBER_CACHE_DIRTY:
        cache_dirty(node);
        break;
    }
}

struct member_later {
    struct node_request request;
    struct member_event event;
    uint8_t sign_pk[NET_PUBLIC_KEY_BYTES];
    char text[]; /* a seed may be a long name: cut, it would not be recognised as that seed */
};

static void member_later_run(struct kith_node *node, struct node_request *request)
{
    struct member_later *later = container_of(request, struct member_later, request);
    node_member_step(node, &later->event);
    core_free(later);
}

/* Inside a step only links come up, go down or fail to (the channel says so while it is asked). */
static void step_later(struct kith_node *node, const struct member_event *event)
{
    size_t text_bytes = event->text != NULL ? strlen(event->text) + 1 : 0;
    struct member_later *later = core_malloc(sizeof(*later) + text_bytes);
    assert(event->data == NULL);
    assert(event->facts == NULL);
    assert(event->load == NULL);
    assert(event->peer == NULL);
    if (later == NULL)
        return;
    later->request.run = member_later_run;
    later->event = *event;
    if (event->sign_pk != NULL)
        later->event.sign_pk = memcpy(later->sign_pk, event->sign_pk, sizeof(later->sign_pk));
    if (event->text != NULL)
        later->event.text = memcpy(later->text, event->text, text_bytes);
    node_push(node, &later->request);
}

int node_member_step(struct kith_node *node, struct member_event *event)
{
    struct member_output out;

    if (node->member_stepping) {
        step_later(node, event);
        return 0;
    }
    uint64_t now_ns = node_now_ns();
    event->now_ms = now_ns / 1000000;
    event->now_us = now_ns / 1000;
    node->member_stepping = true;
    int r = member_step(node->members, event, &out);
    for (size_t i = 0; i < out.actions_n; i++)
        do_action(node, &out.actions[i]);
    node->member_stepping = false;
    if (r == KITH_E_MEMORY)
        log_error(&node->log.log, "member", "memory is short: a step was lost", NULL);
    if (node->waits_stale) {
        node->waits_stale = false;
        node_member_waits(node);
    }
    return r;
}

void node_member_tick(struct kith_node *node, uint64_t due_ms)
{
    uint64_t now_ms = node_now_ms();
    if (now_ms > due_ms + NODE_LAG_MS) {
        struct member_event lag = {.type = MEMBER_LAG, .lag_ms = now_ms - due_ms};
        node_member_step(node, &lag);
    }
    struct member_event event = {.type = MEMBER_TICK};
    node_member_step(node, &event);
}

void node_member_facts(struct kith_node *node)
{
    struct member_event event = {.type = MEMBER_FACTS, .facts = &node->facts};
    node->facts_dirty = false;
    node_member_step(node, &event);
}

/* ---- waiting for a state of membership ---- */

static void on_wait_timer(uv_timer_t *timer)
{
    node_member_waits(timer->data);
}

void node_member_waits(struct kith_node *node)
{
    uint64_t now_ms = node_now_ms();
    uint64_t first_ms = UINT64_MAX;

    list_for_each_safe (it, &node->member_waits) {
        struct node_member_wait *wait = container_of(it, struct node_member_wait, link);
        bool ready = wait->ready(node, wait);
        if (ready || now_ms >= wait->deadline_ms || node->ending) {
            list_remove(it);
            wait->done(node, wait, ready ? 0 : node->ending ? KITH_E_STOPPED : KITH_E_TIMEOUT);
        } else if (wait->deadline_ms < first_ms) {
            first_ms = wait->deadline_ms;
        }
    }
    if (node->ending)
        return;
    if (first_ms == UINT64_MAX)
        uv_timer_stop(&node->wait_timer);
    else
        uv_timer_start(&node->wait_timer, on_wait_timer, first_ms - now_ms + 1, 0);
}

void node_member_wait(struct kith_node *node, struct node_member_wait *wait)
{
    list_append(&node->member_waits, &wait->link);
    node_member_waits(node);
}

/* ---- life ---- */

static void sign(void *user, const uint8_t *data, size_t len, uint8_t signature_out[64])
{
    const struct net_identity *identity = user;
    crypto_sign_detached(signature_out, NULL, data, len, identity->sign_sk);
}

static bool verify(void *user,
                   const uint8_t sign_pk[32],
                   const uint8_t *data,
                   size_t len,
                   const uint8_t signature[64])
{
    (void)user;
    return crypto_sign_verify_detached(signature, data, len, sign_pk) == 0;
}

static bool key_is_of(void *user, const uint8_t sign_pk[32], const struct kith_node_id *id)
{
    struct kith_node_id of = net_node_id_of(sign_pk);
    (void)user;
    return kith_node_id_equal(&of, id);
}

/* Fills the facts that rarely change. The channel is open: it knows the addresses. */
static void facts_fill(struct kith_node *node)
{
    struct member_facts *facts = &node->facts;
    struct facts_rare rare;

    facts_rare(&node->facts_host, &rare);
    snprintf(facts->name, sizeof(facts->name), "%s", node->name);
    snprintf(facts->version, sizeof(facts->version), "%s", KITH_VERSION);
    facts->addresses_n =
        (uint32_t)uv_net_addresses(node->net, facts->addresses, MEMBER_ADDRESSES_MAX);
    facts->role = node->program ? KITH_ROLE_PROGRAM : KITH_ROLE_NODE;
    facts->cpus = rare.cpus;
    facts->cores = rare.cores;
    facts->memory_bytes = rare.memory_bytes;
    facts->gpu = rare.gpu;
    facts->born_unix_ms = node->born_unix_ms;
}

int node_member_open(struct kith_node *node)
{
    struct member_config config = {
        .self = node->identity.id,
        .boot_no = node->boot_no,
        .seed = node_seed(),
        .crypto = {.user = &node->identity, .sign = sign, .verify = verify, .key_is_of = key_is_of},
        .profile = (enum member_profile)config_choice(node->config, "member.profile"),
        .detector_echo = config_choice(node->config, "member.detector") == CONFIG_DETECTOR_ECHO,
        .echo_interval_ms = (uint32_t)config_duration_ms(node->config, "member.echo_interval"),
        .echo_limit_ms = (uint32_t)config_duration_ms(node->config, "member.echo_limit"),
        .datagram_bytes_max = uv_net_datagram_bytes_max(),
    };
    memcpy(config.sign_pk, node->identity.sign_pk, sizeof(config.sign_pk));
    facts_fill(node);
    config.facts = node->facts;
    return member_new(&node->members, &config);
}

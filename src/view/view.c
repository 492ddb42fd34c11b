/*
 * Life of the core, one step, output, what goes to disk.
 *
 * A message that promises something waits in `held` until what it promises is on disk; so does what
 * a node says to itself as a voter, which takes the same way as what it says to others.
 */
#include "view/view.h"

#include "view/internal.h"

#define ARENA_CHUNK_BYTES 16384

/* ---- output ---- */

static void arena_reset(struct view_core *core)
{
    struct vchunk *chunk = core->arena;
    while (chunk != NULL && chunk->next != NULL) {
        struct vchunk *next = chunk->next;
        core_free(chunk);
        chunk = next;
    }
    core->arena = chunk;
    if (chunk != NULL)
        chunk->len = 0;
}

void *view_arena(struct view_core *core, size_t len)
{
    len = (len + 15) & ~(size_t)15;
    struct vchunk *chunk = core->arena;
    if (chunk == NULL || chunk->cap - chunk->len < len) {
        size_t cap = len > ARENA_CHUNK_BYTES ? len : ARENA_CHUNK_BYTES;
        chunk = core_malloc(sizeof(*chunk) + cap);
        if (chunk == NULL) {
            core->error = KITH_E_MEMORY;
            return NULL;
        }
        chunk->cap = cap;
        chunk->len = 0;
        chunk->next = core->arena;
        core->arena = chunk;
    }
    void *memory = chunk->data + chunk->len;
    chunk->len += len;
    return memory;
}

/* What cannot be told for want of memory is dropped: the caller gets a place that nobody reads. */
struct view_action *view_act(struct view_core *core, enum view_action_type type)
{
    static _Thread_local struct view_action nowhere;
    if (core->actions_n == core->actions_cap) {
        size_t cap = core->actions_cap == 0 ? 32 : core->actions_cap * 2;
        struct view_action *actions = core_realloc(core->actions, cap * sizeof(*actions));
        if (actions == NULL) {
            core->error = KITH_E_MEMORY;
            return &nowhere;
        }
        core->actions = actions;
        core->actions_cap = cap;
    }
    struct view_action *action = &core->actions[core->actions_n++];
    *action = (struct view_action){.type = type};
    return action;
}

/* A promise that cannot be put on disk must never be given: without memory for it the core is dead,
 * says nothing more, and whoever it held leases with sees it as crashed. */
void view_put(struct view_core *core, const void *key, size_t key_len, const void *data, size_t len)
{
    if (!core->config.eligible)
        return; /* an edge has no store */
    if (core->puts_n == core->puts_cap) {
        size_t cap = core->puts_cap == 0 ? 8 : core->puts_cap * 2;
        struct view_put *puts = core_realloc(core->puts, cap * sizeof(*puts));
        if (puts == NULL) {
            core->error = KITH_E_MEMORY;
            core->dead = true;
            return;
        }
        core->puts = puts;
        core->puts_cap = cap;
    }
    struct view_put *put = &core->puts[core->puts_n];
    assert(key_len <= sizeof(put->key));
    memcpy(put->key, key, key_len);
    put->key_len = (uint8_t)key_len;
    put->data = NULL;
    put->len = len;
    if (data != NULL) {
        uint8_t *copy = view_arena(core, len);
        if (copy == NULL) {
            core->dead = true;
            return;
        }
        memcpy(copy, data, len);
        put->data = copy;
    }
    core->puts_n++;
}

uint64_t view_token(const struct view_core *core)
{
    return core->token + (core->puts_n > 0 ? 1 : 0);
}

static void flush_puts(struct view_core *core)
{
    if (core->puts_n == 0)
        return;
    core->token++;
    struct view_put *puts = view_arena(core, core->puts_n * sizeof(*puts));
    if (puts == NULL) {
        core->dead = true;
        return;
    }
    memcpy(puts, core->puts, core->puts_n * sizeof(*puts));
    struct view_action *action = view_act(core, VIEW_PERSIST);
    action->token = core->token;
    action->puts = puts;
    action->puts_n = core->puts_n;
    core->puts_n = 0;
    if (core->error != 0) /* perhaps this very action found no room */
        core->dead = true;
}

/* ---- sending ---- */

struct view_msg *view_msg_new(struct view_core *core, enum view_msg_type type)
{
    struct view_msg *msg = &core->out;
    memset(msg, 0, sizeof(*msg));
    msg->type = type;
    memcpy(msg->cluster_id, core->config.cluster_id, VIEW_CLUSTER_BYTES);
    if (view_has(core))
        memcpy(msg->chain, core->decided.chain, VIEW_CLUSTER_BYTES);
    return msg;
}

static void
send_bytes(struct view_core *core, const struct kith_node_id *to, const uint8_t *data, size_t len)
{
    uint8_t *copy = view_arena(core, len);
    if (copy == NULL)
        return;
    memcpy(copy, data, len);
    struct view_action *action = view_act(core, VIEW_SEND);
    action->to = *to;
    action->data = copy;
    action->len = len;
    core->stats.messages_out++;
    core->stats.bytes_out += len;
}

static void hold(struct view_core *core,
                 const struct kith_node_id *to,
                 uint64_t token,
                 const uint8_t *data,
                 size_t len)
{
    if (core->held_n >= VIEW_HELD_MAX)
        return; /* the disk hangs; what was not said is asked again */
    struct vheld *held = core_malloc(sizeof(*held) + len);
    if (held == NULL) {
        core->error = KITH_E_MEMORY;
        return;
    }
    held->next = NULL;
    held->token = token;
    held->to = *to;
    held->len = len;
    memcpy(held->data, data, len);
    *core->held_last = held;
    core->held_last = &held->next;
    core->held_n++;
}

static void send_after(struct view_core *core, const struct kith_node_id *to, uint64_t token)
{
    uint8_t data[VIEW_MSG_BYTES_MAX];
    if (core->dead)
        return;
    size_t len = view_msg_encode(&core->out, data);
    if (token > core->persisted || view_is_self(core, to))
        hold(core, to, token, data, len);
    else
        send_bytes(core, to, data, len);
}

void view_send(struct view_core *core, const struct kith_node_id *to)
{
    send_after(core, to, 0);
}

void view_send_durable(struct view_core *core, const struct kith_node_id *to)
{
    send_after(core, to, core->config.eligible ? view_token(core) : 0);
}

bool view_is_self(const struct view_core *core, const struct kith_node_id *node)
{
    return memcmp(node, &core->config.self.node, sizeof(*node)) == 0;
}

bool view_has(const struct view_core *core)
{
    return core->decided.placement.epoch != 0;
}

uint64_t view_random_ms(struct view_core *core, uint64_t min_ms, uint64_t max_ms)
{
    return min_ms + rng_below(&core->rng, max_ms - min_ms + 1);
}

/* ---- messages in ---- */

static void dispatch_keeper(struct view_core *core,
                            const struct boot_id *from,
                            struct vpeer *peer,
                            const struct view_msg *m)
{
    switch (m->type) {
    case VMSG_ASK:
        if (peer != NULL)
            grant_on_ask(core, peer, m);
        return;
    case VMSG_GRANT:
        grant_on_grant(core, from, m);
        return;
    case VMSG_BEAT:
        learn_on_beat(core, m);
        return;
    case VMSG_READY: {
        uint32_t slot = m->number;
        if (slot >= PLACEMENT_SLOTS || core->role != VIEW_LEADER)
            return;
        if (m->flags & VFLAG_DURABLE) {
            core->durable_asked |= UINT64_C(1) << slot;
            return;
        }
        const struct placement_config *chosen = &core->decided.placement.slots[slot].chosen;
        const struct placement_keeper *home = keeper_active_of(&core->decided.placement, from);
        if (chosen->slot_epoch != m->slot_epoch || home == NULL || chosen->slot_epoch == 0 ||
            home->member_id != chosen->replicas[0])
            return;
        struct vready *ready = &core->ready[slot];
        ready->slot_epoch = m->slot_epoch;
        ready->released_n = m->ids_n < PLACEMENT_REPLICAS_MAX ? m->ids_n : PLACEMENT_REPLICAS_MAX;
        memcpy(ready->released, m->ids, ready->released_n * sizeof(m->ids[0]));
        return;
    }
    default:
        return;
    }
}

static void dispatch(struct view_core *core,
                     const struct boot_id *from,
                     struct vpeer *peer,
                     const struct view_msg *m)
{
    switch (m->type) {
    case VMSG_HELLO:
        if (peer != NULL)
            peer_on_hello(core, peer, m);
        return;
    case VMSG_REFUSE:
        peer_on_refuse(core, m);
        return;
    case VMSG_MINT_ASK:
        if (peer != NULL)
            mint_on_ask(core, peer, m);
        return;
    case VMSG_MINT_OK:
        if (peer != NULL)
            mint_on_ok(core, peer, m);
        return;
    case VMSG_PREPARE:
        voter_on_prepare(core, from, m);
        return;
    case VMSG_PROMISE:
        lead_on_promise(core, from, m);
        return;
    case VMSG_NACK:
        lead_on_nack(core, from, m);
        return;
    case VMSG_ACCEPT:
        voter_on_accept(core, from, m);
        return;
    case VMSG_ACCEPTED:
        lead_on_accepted(core, from, m);
        return;
    case VMSG_DECIDED:
        learn_on_decided(core, from, m);
        return;
    case VMSG_DECIDED_ACK:
        lead_on_decided_ack(core, from, m);
        return;
    case VMSG_FETCH:
        learn_on_fetch(core, from, m);
        return;
    case VMSG_HB:
        voter_on_hb(core, from, m);
        return;
    case VMSG_HB_ACK:
        lead_on_hb_ack(core, from, m);
        return;
    case VMSG_RESIGN:
        voter_on_resign(core, from, m);
        return;
    default:
        dispatch_keeper(core, from, peer, m);
    }
}

static int
receive(struct view_core *core, const struct boot_id *from, const uint8_t *data, size_t len)
{
    struct view_msg m;
    int r = view_msg_decode(&m, data, len);
    if (r != 0) {
        core->stats.bad_messages++;
        return r;
    }
    bool self = view_is_self(core, &from->node);
    struct vpeer *peer = NULL;
    if (!self) {
        core->stats.messages_in++;
        core->stats.bytes_in += len;
        if (memcmp(m.cluster_id, core->config.cluster_id, VIEW_CLUSTER_BYTES) != 0) {
            core->stats.other_chain++;
            return 0;
        }
        peer = peer_find(core, &from->node);
        if (peer != NULL && from->boot_no < peer->boot.boot_no)
            return 0; /* of a boot that is no more */
        if (peer != NULL || m.type == VMSG_HELLO)
            peer = view_peer_get(core, from);
        if (peer != NULL)
            peer->heard_ms = core->now_ms;
        if (!learn_same_chain(core, m.chain)) {
            core->stats.other_chain++;
            struct view_action *action = view_act(core, VIEW_REFUSED);
            action->to = from->node;
            action->text = "belongs to another chain of views, which is never merged with ours; "
                           "start it with an empty data directory to have it join";
            return 0;
        }
    }
    dispatch(core, from, peer, &m);
    return 0;
}

/* What waited for the disk goes out; what we said to ourselves is heard. */
static void release_held(struct view_core *core)
{
    for (unsigned turns = 0; core->held_first != NULL && turns < 4 * VIEW_HELD_MAX; turns++) {
        struct vheld **at = &core->held_first;
        while (*at != NULL && (*at)->token > core->persisted)
            at = &(*at)->next;
        struct vheld *held = *at;
        if (held == NULL || core->dead)
            return;
        *at = held->next;
        if (held->next == NULL)
            core->held_last = at;
        core->held_n--;
        if (view_is_self(core, &held->to))
            (void)receive(core, &core->config.self, held->data, held->len);
        else
            send_bytes(core, &held->to, held->data, held->len);
        core_free(held);
    }
}

/* ---- life ---- */

static void defaults(struct view_config *config)
{
    struct {
        uint32_t *at;
        uint32_t value;
    } fields[] = {
        {&config->settle_ms, 3000},      {&config->grow_ms, 60000},
        {&config->replace_ms, 600000},   {&config->disks_wait_ms, 30000},
        {&config->slot_lost_ms, 60000},  {&config->beat_ms, 250},
        {&config->beat_missed_ms, 1500}, {&config->moves_max, 2},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (*fields[i].at == 0)
            *fields[i].at = fields[i].value;
    }
}

int view_new(struct view_core **core_out, const struct view_config *config)
{
    if (config->self.boot_no == 0)
        return kith_fail_with(KITH_E_INVALID, "a node without boot number has no view");
    struct view_core *core = core_calloc(1, sizeof(*core));
    if (core == NULL)
        return KITH_E_MEMORY;
    core->config = *config;
    defaults(&core->config);
    memcpy(core->disk_id, config->disk_id, sizeof(core->disk_id));
    rng_init(&core->rng, config->seed);
    core->held_last = &core->held_first;
    core->role = VIEW_FOLLOWER;
    core->attempt = 1;
    *core_out = core;
    return 0;
}

void view_free(struct view_core *core)
{
    if (core == NULL)
        return;
    while (core->held_first != NULL) {
        struct vheld *next = core->held_first->next;
        core_free(core->held_first);
        core->held_first = next;
    }
    while (core->arena != NULL) {
        struct vchunk *next = core->arena->next;
        core_free(core->arena);
        core->arena = next;
    }
    core_free(core->puts);
    core_free(core->actions);
    core_free(core);
}

/* ---- what was on disk ---- */

static int recall_corrupt(const char *what)
{
    return kith_fail_with(KITH_E_CORRUPT,
                          "the stored %s of the view is damaged; start with an empty store, and "
                          "this node joins again as a fresh one",
                          what);
}

static int recall(struct view_core *core, const struct view_event *event)
{
    struct reader r = reader_of(event->data, event->len);
    if (event->key_len < 2 || event->key[0] != 'v')
        return recall_corrupt("key");
    switch (event->key[1]) {
    case 'r':
        if (event->len > VIEW_RECORD_BYTES_MAX ||
            view_record_decode(&core->decided, event->data, event->len) != 0)
            return recall_corrupt("record");
        memcpy(core->decided_bytes, event->data, event->len);
        core->decided_len = event->len;
        core->decided_checked = false;
        view_record_hash(event->data, event->len, core->decided_hash);
        return 0;
    case 'p': {
        core->promised.round = read_le64(&r);
        const uint8_t *node = read_bytes(&r, KITH_NODE_ID_BYTES);
        if (!reader_done(&r))
            return recall_corrupt("promise");
        memcpy(core->promised.node.bytes, node, KITH_NODE_ID_BYTES);
        return 0;
    }
    case 'a': {
        struct view_record record;
        core->accepted_epoch = read_le64(&r);
        core->accepted.round = read_le64(&r);
        const uint8_t *node = read_bytes(&r, KITH_NODE_ID_BYTES);
        if (r.bad || view_record_decode(&record, r.data + r.at, r.len - r.at) != 0)
            return recall_corrupt("vote");
        memcpy(core->accepted.node.bytes, node, KITH_NODE_ID_BYTES);
        core->accepted_len = r.len - r.at;
        memcpy(core->accepted_bytes, r.data + r.at, core->accepted_len);
        return 0;
    }
    case 's': {
        core->prev_boot = read_le64(&r);
        core->stale = read_u8(&r) != 0;
        const uint8_t *disk = read_bytes(&r, PLACEMENT_DISK_BYTES);
        if (!reader_done(&r))
            return recall_corrupt("start");
        if (core->stale)
            memcpy(core->disk_id, disk, PLACEMENT_DISK_BYTES);
        return 0;
    }
    case 'c': {
        const uint8_t *node = read_bytes(&r, KITH_NODE_ID_BYTES);
        core->minter_boot = read_le64(&r);
        core->minter_attempt = read_le32(&r);
        if (!reader_done(&r))
            return recall_corrupt("consent");
        memcpy(core->minter.bytes, node, KITH_NODE_ID_BYTES);
        return 0;
    }
    case 'w':
        return peer_recall(core, event) == 0 ? 0 : recall_corrupt("number of a peer's boot");
    default:
        return recall_corrupt("key");
    }
}

static void put_start(struct view_core *core)
{
    uint8_t data[9 + PLACEMENT_DISK_BYTES];
    put_le64(data, core->config.self.boot_no);
    data[8] = core->stale;
    memcpy(data + 9, core->disk_id, PLACEMENT_DISK_BYTES);
    view_put(core, "vs", 2, data, sizeof(data));
}

static void start(struct view_core *core)
{
    core->started = true;
    core->start_ms = core->now_ms;
    put_start(core);
    if (core->accepted_epoch <= core->decided.placement.epoch)
        core->accepted_epoch = 0;
    if (view_has(core)) {
        view_act(core, VIEW_CHANGED)->placement = &core->decided.placement;
        peer_of_record(core);
        voter_start(core);
    }
    core->hello_at_ms = core->fetch_at_ms = core->beat_at_ms = core->now_ms;
}

/* Peers have seen a higher boot of this key than this disk knew: what is on it is old. */
void peer_new_disk(struct view_core *core)
{
    uint8_t seed[PLACEMENT_DISK_BYTES + 8];
    uint8_t hash[VIEW_HASH_BYTES];
    memcpy(seed, core->disk_id, PLACEMENT_DISK_BYTES);
    put_le64(seed + PLACEMENT_DISK_BYTES, core->config.self.boot_no);
    view_record_hash(seed, sizeof(seed), hash);
    memcpy(core->disk_id, hash, PLACEMENT_DISK_BYTES);
    core->stale = true;
    core->accepted_epoch = 0;
    view_put(core, "va", 2, NULL, 0);
    lead_step_down(core);
    put_start(core);
    for (size_t i = 0; i < core->peers_n; i++)
        core->peers[i].hello_sent_ms = 0; /* tell all */
    core->hello_at_ms = core->now_ms;
}

/* ---- events ---- */

static void on_peer_up(struct view_core *core, const struct view_event *event)
{
    struct vpeer *peer = peer_find(core, &event->from.node);
    if (view_is_self(core, &event->from.node) || (peer == NULL && !event->eligible))
        return;
    peer = view_peer_get(core, &event->from);
    if (peer == NULL)
        return;
    peer->up = true;
    peer->eligible = event->eligible;
    if (event->name != NULL) {
        size_t len = strlen(event->name);
        if (len > MEMBER_NAME_BYTES_MAX)
            len = MEMBER_NAME_BYTES_MAX;
        memcpy(peer->name, event->name, len);
        peer->name[len] = '\0';
    }
}

static void on_peer_down(struct view_core *core, const struct view_event *event)
{
    struct vpeer *peer = peer_find(core, &event->from.node);
    if (peer == NULL || event->from.boot_no < peer->boot.boot_no)
        return;
    peer->up = false;
    if (event->left && event->from.boot_no > peer->left_boot)
        peer->left_boot = event->from.boot_no;
}

static void on_link(struct view_core *core, const struct view_event *event, bool up)
{
    struct vpeer *peer =
        up ? view_peer_get(core, &event->from) : peer_find(core, &event->from.node);
    if (peer == NULL)
        return;
    peer->linked = up;
    if (up && core->config.eligible)
        peer_hello_send(core, &event->from.node, !peer->hello);
    if (up && !core->config.eligible)
        core->fetch_at_ms = core->now_ms;
}

static void on_slot_event(struct view_core *core, const struct view_event *event)
{
    if (core->leader.round == 0 || event->slot >= PLACEMENT_SLOTS || !core->config.eligible)
        return;
    struct view_msg *m = view_msg_new(core, VMSG_READY);
    m->number = event->slot;
    m->slot_epoch = event->slot_epoch;
    if (event->type == VIEW_SLOT_DURABLE)
        m->flags = VFLAG_DURABLE;
    m->ids_n = event->released_n < VIEW_IDS_MAX ? event->released_n : VIEW_IDS_MAX;
    if (m->ids_n > 0)
        memcpy(m->ids, event->released, m->ids_n * sizeof(m->ids[0]));
    view_send(core, &core->leader.node);
}

static int do_event(struct view_core *core, const struct view_event *event)
{
    switch (event->type) {
    case VIEW_RECALL:
        assert(!core->started);
        return recall(core, event);
    case VIEW_START:
        assert(!core->started);
        start(core);
        return 0;
    case VIEW_TICK:
        return 0;
    case VIEW_RECV:
        return receive(core, &event->from, event->data, event->len);
    case VIEW_PERSISTED:
        assert(event->token <= core->token);
        if (event->token > core->persisted)
            core->persisted = event->token;
        return 0;
    case VIEW_PEER_UP:
        on_peer_up(core, event);
        return 0;
    case VIEW_PEER_DOWN:
        on_peer_down(core, event);
        return 0;
    case VIEW_LINK_UP:
    case VIEW_LINK_DOWN:
        on_link(core, event, event->type == VIEW_LINK_UP);
        return 0;
    case VIEW_BOOTSTRAP:
        return mint_bootstrap(core, event->expect);
    case VIEW_SLOT_READY:
    case VIEW_SLOT_DURABLE:
        on_slot_event(core, event);
        return 0;
    case VIEW_COMPLAIN:
        watch_complain(core, event->member_id);
        return 0;
    case VIEW_LEAVE:
        core->leaving = true;
        core->ask_at_ms = core->now_ms;
        return 0;
    case VIEW_FORCE:
        return mint_force(core);
    case VIEW_BOOT:
        core->config.self.boot_no = event->boot_no;
        core->lease_until_ms = 0;
        if (!MUTANT(VIEW_ROLLED_BACK_VOTER))
            peer_new_disk(core);
        return 0;
    case VIEW_DISK_FULL:
        core->disk_full = event->full;
        return 0;
    }
    return KITH_E_INVALID;
}

/* To whom an agreed record says nothing more: the node may go. */
static void run_leave(struct view_core *core)
{
    if (!core->leaving || core->left)
        return;
    const struct placement *p = &core->decided.placement;
    bool needed = false;
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        if (view_is_self(core, &p->keepers[i].boot.node) && !placement_keeper_over(&p->keepers[i]))
            needed = true;
    }
    bool alone = true;
    for (uint32_t i = 0; i < p->keepers_n; i++) {
        if (p->keepers[i].state == KEEPER_ACTIVE && !view_is_self(core, &p->keepers[i].boot.node))
            alone = false;
    }
    bool votes = voter_place(&core->decided, &core->config.self.node) >= 0;
    if (view_has(core) && (needed || votes) && !alone)
        return;
    core->left = true;
    view_act(core, VIEW_LEFT);
}

static void run(struct view_core *core)
{
    if (!core->started || core->dead)
        return;
    release_held(core);
    learn_persisted(core);
    peer_run(core);
    mint_run(core);
    watch_run(core);
    lead_run(core);
    release_held(core);
    learn_persisted(core);
    grant_run(core);
    learn_run(core);
    run_leave(core);
    release_held(core);
    bool leading = core->role == VIEW_LEADER;
    if (leading != core->was_leading)
        view_act(core, VIEW_LEADING)->leading = leading;
    core->was_leading = leading;
}

int view_step(struct view_core *core, const struct view_event *event, struct view_output *out)
{
    arena_reset(core);
    core->actions_n = 0;
    core->error = 0;
    uint64_t due_ms = view_deadline_ms(core);
    if (event->now_ms > core->now_ms)
        core->now_ms = event->now_ms;
    if (core->started && core->now_ms > due_ms && core->now_ms - due_ms > LAG_MS)
        watch_lag(core, core->now_ms - due_ms);
    int r = core->dead ? KITH_E_MEMORY : do_event(core, event);
    run(core);
    flush_puts(core);
    if (core->dead)
        core->actions_n = 0;
    *out = (struct view_output){.actions = core->actions, .actions_n = core->actions_n};
    return core->error != 0 ? core->error : r;
}

static void earlier(uint64_t *at, uint64_t other)
{
    if (other < *at)
        *at = other;
}

uint64_t view_deadline_ms(const struct view_core *core)
{
    if (!core->started)
        return UINT64_MAX;
    if (core->dead)
        return UINT64_MAX;
    uint64_t at = core->fetch_at_ms;
    earlier(&at, core->hello_at_ms);
    if (core->config.eligible && view_has(core)) {
        earlier(&at, core->beat_at_ms);
        earlier(&at, core->ask_at_ms);
        if (core->role == VIEW_LEADER) {
            earlier(&at, core->now_ms + PROPOSE_MS);
            earlier(&at, core->hb_at_ms);
        }
        if (core->role != VIEW_LEADER && voter_self(core, &core->decided))
            earlier(&at, core->candidate_at_ms);
    }
    return at > core->now_ms ? at : core->now_ms + 1;
}

const struct placement *view_placement(const struct view_core *core)
{
    return &core->decided.placement;
}

bool view_slot_durable(const struct view_core *core, uint32_t slot)
{
    return slot < PLACEMENT_SLOTS && (core->decided.durable_slots >> slot & 1) != 0;
}

void view_stats(const struct view_core *core, struct view_stats *stats_out)
{
    *stats_out = core->stats;
}

/*
 * The world of variables: nodes, messages, disks, faults and who decides who keeps what.
 */
#include "dvar_world.h"

const char *const names[NAMES] = {"counter", "x", "sensor/y", "cas", "guarded", "kept"};

static struct kith_node_id id_of(int n)
{
    struct kith_node_id id = {{0}};
    id.bytes[0] = (uint8_t)(n + 1);
    return id;
}

static void post(struct world *w, int from, const struct dvar_action *action)
{
    int to = action->to.bytes[0] - 1;
    if (to < 0 || to >= NODES)
        return;
    int copies = 1;
    if (!w->healed) {
        if (rng_below(&w->rng, 100) < w->loss)
            copies = 0;
        else if (rng_below(&w->rng, 100) < 8)
            copies = 2;
    }
    for (; copies > 0 && w->net_n < MESSAGES; copies--) {
        struct message *m = &w->net[w->net_n++];
        uint64_t delay = rng_below(&w->rng, 20);
        if (!w->healed && rng_below(&w->rng, 100) < 4)
            delay = rng_below(&w->rng, 3000);
        *m = (struct message){
            .at_ms = w->now_ms + delay, .to = to, .from = w->nodes[from].boot, .len = action->len};
        m->data = malloc(action->len + 1);
        memcpy(m->data, action->data, action->len);
    }
}

/* It was told what is there, as a read is. */
static void take_found(struct world *w, struct entry *e, const struct dvar_result *result)
{
    e->write = false;
    e->ok = true;
    e->version = result->version;
    e->value = result->len == 8 ? (int64_t)get_le64(result->data) : 0;
    if (result->code == 0 && result->type != VALUE_NONE && result->len != 8)
        w->problem = "what was found is not shown";
    w->reads++;
}

static void
take_result(struct world *w, struct wnode *node, struct entry *e, const struct dvar_result *result)
{
    int code = result->code;
    if (node->section_get == NULL && e->kind == VALUE_OP_GET && e->fence == node->fence &&
        e->fence != 0 && (code == 0 || code == KITH_E_NOT_FOUND))
        node->section_get = e;
    else if (e->fence != 0 && e->fence == node->fence)
        node->fence = 0;
    if (code == KITH_E_UNKNOWN_OUTCOME)
        return;
    e->refused = e->write && (code != 0 || !result->applied);
    w->refused += e->refused;
    if (code == KITH_E_TIMEOUT || code == KITH_E_NO_QUORUM || code == KITH_E_BUSY)
        return;
    if (code != 0 && code != KITH_E_NOT_FOUND && code != KITH_E_FENCE && code != KITH_E_EXISTS)
        w->problem = "an operation failed";
    if (code == KITH_E_FENCE || code == KITH_E_EXISTS)
        return;
    e->ended = true;
    e->end = ++w->tick;
    if (e->name == CAS_AT)
        node->seen_version = result->version;
    if (!e->write || e->refused) {
        take_found(w, e, result);
        return;
    }
    e->ok = true;
    e->version = result->version;
    if (e->name == 0)
        e->value = (int64_t)result->number;
    w->acked++;
}

static void on_done(struct world *w, int n, const struct dvar_action *action)
{
    struct wnode *node = &w->nodes[n];
    struct entry *e = &w->history[action->id - 1];
    for (int i = 0; i < 8; i++) {
        if (node->ops[i] == e) {
            node->ops[i] = NULL;
            node->outstanding--;
        }
    }
    take_result(w, node, e, &action->result);
}

static void decide_active(struct world *w, const struct dvar_action *action);

static uint64_t clock_of(const struct world *w, const struct wnode *node)
{
    return w->now_ms * node->rate / 1000;
}

static void take_puts(struct world *w, struct wnode *node, const struct dvar_action *action)
{
    uint64_t at_ms = w->now_ms + rng_below(&w->rng, 60);
    for (size_t i = 0; i < action->puts_n; i++) {
        const struct dvar_put *from = &action->puts[i];
        assert_true(node->unsynced_n < PUTS && from->len <= sizeof(node->disk[0].data));
        struct put *put = &node->unsynced[node->unsynced_n++];
        *put = (struct put){.key_len = from->key_len,
                            .len = from->len,
                            .there = from->data != NULL,
                            .at_ms = at_ms,
                            .token = action->token};
        memcpy(put->key, from->key, from->key_len);
        if (from->data != NULL)
            memcpy(put->data, from->data, from->len);
    }
}

static struct put *on_disk(struct wnode *node, const struct put *put)
{
    int at = 0;
    while (at < NAMES - 1 && node->disk[at].key_len != 0 &&
           (node->disk[at].key_len != put->key_len ||
            memcmp(node->disk[at].key, put->key, put->key_len) != 0))
        at++;
    return &node->disk[at];
}

static void on_changed(struct world *w, struct wnode *node, const struct dvar_action *action)
{
    struct heard *heard = &node->heard[action->id - WATCH_ID];
    const struct dvar_change *change = &action->change;
    if (change->version <= heard->version)
        w->problem = "a change was told twice, or after a later one";
    struct value value = value_view(change->value, change->value_len);
    heard->version = change->version;
    heard->value = value.len == 8 ? (int64_t)get_le64(value.data) : 0;
    heard->changes += change->missed + 1;
    uint64_t *newest = &w->told_version[action->id - WATCH_ID];
    *newest = change->version > *newest ? change->version : *newest;
    w->told++;
    w->missed += change->missed;
}

static void step(struct world *w, int n, struct dvar_event *event)
{
    struct wnode *node = &w->nodes[n];
    struct dvar_output out;
    event->now_ms = clock_of(w, node);
    event->wall_ms = w->now_ms;
    dvar_step(node->core, event, &out);
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct dvar_action *action = &out.actions[i];
        if (action->type == DVAR_SEND)
            post(w, n, action);
        else if (action->type == DVAR_DONE)
            on_done(w, n, action);
        else if (action->type == DVAR_SLOT_READY)
            decide_active(w, action);
        else if (action->type == DVAR_PERSIST)
            take_puts(w, node, action);
        else if (action->type == DVAR_CHANGED)
            on_changed(w, node, action);
        else if (action->type == DVAR_SLOT_DURABLE)
            w->durable = true;
    }
    if (!MUTANT(DVAR_NO_ACTIVATION)) /* which breaks them: the world is to see what comes of it */
        dvar_check(node->core);
}

/* ---- the oracle that decides ---- */

static struct placement_keeper *keeper_of(struct world *w, uint32_t member_id)
{
    for (uint32_t i = 0; i < w->placement.keepers_n; i++) {
        if (w->placement.keepers[i].member_id == member_id)
            return &w->placement.keepers[i];
    }
    return NULL;
}

static bool is_over(struct world *w, uint32_t member_id)
{
    const struct placement_keeper *keeper = keeper_of(w, member_id);
    return keeper == NULL || placement_keeper_over(keeper);
}

static void decide_active(struct world *w, const struct dvar_action *action)
{
    struct placement_slot *slot = &w->placement.slots[action->slot];
    if (slot->chosen.slot_epoch != action->slot_epoch)
        return;
    for (int i = 0; i < slot->active.replicas_n; i++) {
        uint32_t id = slot->active.replicas[i];
        bool released = placement_config_has(&slot->chosen, id) || is_over(w, id);
        for (uint32_t j = 0; j < action->released_n; j++)
            released |= action->released[j] == id;
        if (!released)
            return;
    }
    slot->active = slot->chosen;
    slot->chosen = (struct placement_config){0};
    for (int k = 0; k < NAMES && w->lost[action->slot]; k++) {
        if (k != KEPT_AT && placement_slot_of(names[k], strlen(names[k])) == action->slot)
            w->lost_from[k] = slot->active.slot_epoch << DVAR_SEQ_BITS;
    }
    slot->generation += w->lost[action->slot];
    w->lost[action->slot] = false;
    w->placement.epoch++;
    w->activations++;
}

static void join(struct world *w, int n)
{
    struct wnode *node = &w->nodes[n];
    if (w->placement.keepers_n == PLACEMENT_MEMBERS_MAX)
        return;
    node->member_id = ++w->next_member;
    struct placement_keeper *keeper = &w->placement.keepers[w->placement.keepers_n++];
    *keeper = (struct placement_keeper){
        .member_id = node->member_id, .boot = node->boot, .state = KEEPER_ACTIVE};
    w->placement.epoch++;
}

static void exclude(struct world *w, uint32_t member_id)
{
    struct placement_keeper *keeper = keeper_of(w, member_id);
    if (keeper == NULL || keeper->state != KEEPER_ACTIVE)
        return;
    keeper->state = KEEPER_EXCLUDED;
    w->placement.epoch++;
}

static bool is_up(struct world *w, uint32_t member_id)
{
    for (int i = 0; i < KEEPERS; i++) {
        const struct placement_keeper *keeper = keeper_of(w, member_id);
        if (w->nodes[i].member_id == member_id)
            return w->nodes[i].alive && keeper != NULL && keeper->state == KEEPER_ACTIVE;
    }
    return false;
}

/* Nobody is left who was active: those who have their disks, when all are back. */
static void choose_disks(struct world *w, uint32_t at)
{
    struct placement_slot *slot = &w->placement.slots[at];
    struct placement_config c = {0};
    uint64_t last = slot->chosen.slot_epoch;
    c.slot_epoch = (last > slot->active.slot_epoch ? last : slot->active.slot_epoch) + 1;
    for (int i = 0; i < slot->active.replicas_n; i++) {
        const struct placement_keeper *keeper = keeper_of(w, slot->active.replicas[i]);
        if (keeper == NULL || !placement_keeper_over(keeper))
            return;
        uint32_t id = w->nodes[keeper->boot.node.bytes[0] - 1].member_id;
        if (!is_up(w, id))
            return;
        if (!placement_config_has(&c, id))
            c.replicas[c.replicas_n++] = id;
    }
    slot->chosen = c;
    w->lost[at] = true;
    w->placement.epoch++;
    w->changes++;
}

/* Chooses up to three replicas, one of which was active and lives. */
static void choose(struct world *w, uint32_t at)
{
    struct placement_slot *slot = &w->placement.slots[at];
    uint32_t base[3], base_n = 0, pool[KEEPERS], pool_n = 0;
    for (int i = 0; i < slot->active.replicas_n; i++) {
        if (is_up(w, slot->active.replicas[i]))
            base[base_n++] = slot->active.replicas[i];
    }
    if (base_n == 0) {
        choose_disks(w, at);
        return;
    }
    for (int i = 0; i < KEEPERS; i++) {
        if (is_up(w, w->nodes[i].member_id))
            pool[pool_n++] = w->nodes[i].member_id;
    }
    struct placement_config c = {0};
    uint64_t last = slot->chosen.slot_epoch > slot->active.slot_epoch ? slot->chosen.slot_epoch
                                                                      : slot->active.slot_epoch;
    c.slot_epoch = last + 1;
    uint32_t n = pool_n < 3 ? pool_n : 2 + (uint32_t)rng_below(&w->rng, 2);
    while (c.replicas_n < n && pool_n > 0) {
        uint64_t k = rng_below(&w->rng, pool_n);
        c.replicas[c.replicas_n++] = pool[k];
        pool[k] = pool[--pool_n];
    }
    bool has = false;
    for (uint32_t i = 0; i < base_n; i++)
        has |= placement_config_has(&c, base[i]);
    if (!has)
        c.replicas[rng_below(&w->rng, c.replicas_n)] = base[rng_below(&w->rng, base_n)];
    slot->chosen = c;
    w->placement.epoch++;
    w->changes++;
}

static void govern(struct world *w)
{
    for (uint32_t i = 0; i < w->placement.keepers_n; i++) {
        struct placement_keeper *keeper = &w->placement.keepers[i];
        if (keeper->state == KEEPER_EXCLUDED && w->now_ms > w->ended_at_ms[keeper->member_id]) {
            keeper->state = KEEPER_ENDED;
            w->placement.epoch++;
        }
    }
    for (uint32_t i = 0; i < w->placement.keepers_n; i++) { /* forget who is named nowhere */
        struct placement_keeper *keeper = &w->placement.keepers[i];
        bool named = !placement_keeper_over(keeper);
        for (int k = 0; k < NAMES; k++) {
            const struct placement_slot *slot =
                &w->placement.slots[placement_slot_of(names[k], strlen(names[k]))];
            named |= placement_config_has(&slot->active, keeper->member_id) ||
                     placement_config_has(&slot->chosen, keeper->member_id);
        }
        if (!named) {
            memmove(keeper, keeper + 1, (--w->placement.keepers_n - i) * sizeof(*keeper));
            w->placement.epoch++;
            i--;
        }
    }
    for (int k = 0; k < NAMES; k++) {
        uint32_t at = placement_slot_of(names[k], strlen(names[k]));
        struct placement_slot *slot = &w->placement.slots[at];
        const struct placement_config *c =
            slot->chosen.slot_epoch != 0 ? &slot->chosen : &slot->active;
        bool bad = c->replicas_n < 2;
        for (int i = 0; i < c->replicas_n; i++)
            bad |= !is_up(w, c->replicas[i]);
        if ((bad && rng_below(&w->rng, 10) < 5) || (!w->healed && rng_below(&w->rng, 400) == 0))
            choose(w, at);
    }
}

/* A slot that is served needs one live copy. */
static bool may_go(struct world *w, int n)
{
    for (int k = 0; k < NAMES; k++) {
        const struct placement_slot *slot =
            &w->placement.slots[placement_slot_of(names[k], strlen(names[k]))];
        bool other = false;
        for (int i = 0; i < slot->active.replicas_n; i++)
            other |= slot->active.replicas[i] != w->nodes[n].member_id &&
                     is_up(w, slot->active.replicas[i]);
        if (!other)
            return false;
    }
    return true;
}

static void boot(struct world *w, int n)
{
    struct wnode *node = &w->nodes[n];
    node->boot = (struct boot_id){id_of(n), node->boot.boot_no + 1};
    node->alive = true;
    node->epoch = 0;
    node->lease_until_ms = 0;
    node->up_ms = w->now_ms;
    node->member_id = 0;
    struct dvar_config config = {.self = node->boot, .seed = 7, .min_copies = 1};
    assert_int_equal(dvar_new(&node->core, &config), 0);
    struct dvar_event event;
    for (int i = 0; i < NAMES; i++) {
        const struct put *put = &node->disk[i];
        event = (struct dvar_event){.type = DVAR_RECALL,
                                    .key = put->key,
                                    .key_len = put->key_len,
                                    .data = put->data,
                                    .len = put->len};
        if (put->there)
            step(w, n, &event);
    }
    event = (struct dvar_event){.type = DVAR_START};
    step(w, n, &event);
    memset(node->heard, 0, sizeof(node->heard));
    for (uint64_t i = 0; i < NAMES; i++) { /* some by the name, some by how it begins */
        event = (struct dvar_event){.type = DVAR_WATCH,
                                    .id = WATCH_ID + i,
                                    .name = names[i],
                                    .name_len =
                                        i % 2 == 0 ? strlen(names[i]) : strlen(names[i]) / 2 + 1,
                                    .prefix = i % 2 != 0};
        step(w, n, &event);
    }
}

static void free_core(struct world *w, int n)
{
    struct dvar_stats stats = {0};
    if (w->nodes[n].core == NULL)
        return;
    dvar_stats(w->nodes[n].core, &stats);
    w->joined += stats.ops_joined;
    dvar_free(w->nodes[n].core);
    w->nodes[n].core = NULL;
}

static void crash(struct world *w, int n)
{
    struct wnode *node = &w->nodes[n];
    free_core(w, n);
    node->alive = false;
    node->outstanding = 0;
    memset(node->ops, 0, sizeof(node->ops));
    node->fence = 0;
    node->section_get = NULL;
    node->unsynced_n = 0; /* what was not on the disk yet is lost */
    node->decided = false;
}

/*
 * All keepers at once: what is in memory only is lost. An edge may still read what it caches, until
 * its lease ends; versions ascend across the loss, values do not.
 */
static void outage(struct world *w)
{
    w->outage = true;
    w->losses++;
    w->outage_tick = ++w->tick;
    for (int i = 0; i < NODES; i++) {
        w->nodes[i].fence = 0;
        w->nodes[i].section_get = NULL;
    }
    for (int i = 0; i < KEEPERS; i++) {
        struct placement_keeper *keeper = keeper_of(w, w->nodes[i].member_id);
        if (keeper != NULL)
            keeper->state = KEEPER_DIED;
        if (w->nodes[i].alive)
            crash(w, i);
    }
    w->placement.epoch++;
}

/* ---- what happens ---- */

static struct value_op set_to(uint8_t kind, int64_t value)
{
    static uint8_t data[8];
    put_le64(data, (uint64_t)value);
    return (struct value_op){.kind = kind, .type = VALUE_I64, .data = data, .data_len = 8};
}

/* Of names[CAS_AT]: what is lost most of the time, on what comes and goes. */
static struct value_op conditional(struct world *w, const struct wnode *node, int64_t value)
{
    uint64_t dice = rng_below(&w->rng, 10);
    if (dice < 3)
        return (struct value_op){.kind = VALUE_OP_DELETE};
    if (dice == 3) {
        struct value_op op = set_to(VALUE_OP_CREATE, value);
        op.flags = VALUE_OP_IF_ABSENT;
        return op;
    }
    if (dice == 4)
        return set_to(VALUE_OP_CAS_VALUE, value); /* expects it absent */
    struct value_op op = set_to(VALUE_OP_CAS_VERSION, value);
    op.expect_version = dice < 8 ? 0 : node->seen_version;
    return op;
}

/* Of names[GUARD_AT]: one reads under a new fence, then writes one more than it read. */
static struct value_op section(struct world *w, struct wnode *node, struct entry *e)
{
    struct value_op op = {.kind = VALUE_OP_GET};
    if (node->fence == 0) {
        node->fence = ++w->fence;
        node->section_get = NULL;
    } else if (node->section_get != NULL) {
        e->value = node->section_get->value + 1;
        op = set_to(VALUE_OP_SET, e->value);
    }
    e->fence = node->fence;
    if (op.kind == VALUE_OP_SET)
        node->fence = 0;
    op.flags = VALUE_OP_FENCE;
    if (op.kind == VALUE_OP_SET && e->fence % 2 == 0)
        op.flags |= VALUE_OP_LAST;
    op.mutex = "m";
    op.mutex_len = 1;
    op.fence = e->fence;
    return op;
}

static struct value_op draw(struct world *w, struct wnode *node, struct entry *e)
{
    int64_t value = (int64_t)w->history_n;
    if (e->name == GUARD_AT)
        return section(w, node, e);
    if (rng_below(&w->rng, 100) >= (e->name == CAS_AT ? 70 : 35))
        return (struct value_op){.kind = VALUE_OP_GET};
    if (e->name == 0)
        return (struct value_op){.kind = VALUE_OP_ADD, .type = VALUE_I64, .delta = 1};
    struct value_op op = set_to(VALUE_OP_SET, value);
    if (e->name == CAS_AT)
        op = conditional(w, node, value);
    else if (rng_below(&w->rng, 8) == 0)
        op = (struct value_op){.kind = VALUE_OP_DELETE};
    if (op.kind != VALUE_OP_DELETE)
        e->value = e->wanted = value;
    op.policy = e->name == KEPT_AT ? VALUE_DURABLE : VALUE_VOLATILE;
    return op;
}

static void
begin_op(struct world *w, int n, struct entry *e, const struct value_op *op, uint64_t ms)
{
    struct wnode *node = &w->nodes[n];
    e->kind = op->kind;
    e->write = op->kind != VALUE_OP_GET;
    e->start = ++w->tick;
    e->floor = w->told_version[e->name];
    for (int i = 0; i < 8; i++) {
        if (node->ops[i] == NULL) {
            node->ops[i] = e;
            break;
        }
    }
    node->outstanding++;
    struct dvar_event event = {.type = DVAR_OP,
                               .id = w->history_n,
                               .name = names[e->name],
                               .name_len = strlen(names[e->name]),
                               .op = op,
                               .more = w->bursts && e->start % 3 != 0,
                               .deadline_ms = clock_of(w, node) + ms};
    step(w, n, &event);
}

static void issue(struct world *w, int n)
{
    struct wnode *node = &w->nodes[n];
    if (node->outstanding >= 4 || w->history_n == HISTORY)
        return;
    struct entry *e = &w->history[w->history_n++];
    e->name = (int)rng_below(&w->rng, NAMES);
    struct value_op op = draw(w, node, e);
    uint64_t ms = 4000 + rng_below(&w->rng, 8000);
    begin_op(w, n, e, &op, ms);
    /* Some meet before any of them has left. */
    while (w->bursts && e->name == 0 && e->write && e->start % 3 != 0 && node->outstanding < 4 &&
           w->history_n < HISTORY) {
        e = &w->history[w->history_n++];
        begin_op(w, n, e, &op, ms + rng_below(&w->rng, 12));
    }
}

static bool runs(const struct world *w, int n)
{
    return w->nodes[n].alive && w->now_ms >= w->nodes[n].paused_until_ms;
}

static void sync_disk(struct world *w, int n)
{
    struct wnode *node = &w->nodes[n];
    uint64_t token = 0;
    size_t done = 0;
    while (done < node->unsynced_n && node->unsynced[done].at_ms <= w->now_ms) {
        const struct put *put = &node->unsynced[done++];
        *on_disk(node, put) = *put;
        token = put->token;
    }
    node->unsynced_n -= done;
    memmove(node->unsynced, node->unsynced + done, node->unsynced_n * sizeof(struct put));
    struct dvar_event event = {.type = DVAR_PERSISTED, .token = token};
    if (token != 0)
        step(w, n, &event);
}

static void upkeep(struct world *w, int n)
{
    struct wnode *node = &w->nodes[n];
    struct dvar_event event = {.type = DVAR_PLACEMENT, .placement = &w->placement};
    if (node->epoch < w->placement.epoch && (w->healed || rng_below(&w->rng, 10) == 0)) {
        node->epoch = w->placement.epoch;
        step(w, n, &event);
    }
    /* A lease is for what is decided now, and known there. */
    const struct placement_keeper *keeper = keeper_of(w, node->member_id);
    if (keeper != NULL && keeper->state == KEEPER_ACTIVE && w->now_ms >= node->renewed_ms + 750 &&
        node->epoch == w->placement.epoch && (w->healed || rng_below(&w->rng, 10) < 5)) {
        node->renewed_ms = w->now_ms;
        node->lease_until_ms = clock_of(w, node) + LEASE_MS;
        w->ended_at_ms[node->member_id] = w->now_ms + LEASE_MS + LEASE_MS / 4;
        event = (struct dvar_event){.type = DVAR_LEASE, .until_ms = node->lease_until_ms};
        step(w, n, &event);
    }
    if (w->durable && !node->decided) {
        node->decided = true;
        for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
            event = (struct dvar_event){.type = DVAR_SLOT_DECIDED, .slot = i};
            step(w, n, &event);
        }
    }
    sync_disk(w, n);
    if (dvar_deadline_ms(node->core) <= clock_of(w, node)) {
        event = (struct dvar_event){.type = DVAR_TICK};
        step(w, n, &event);
    }
}

static void deliver(struct world *w)
{
    for (size_t i = 0; i < w->net_n;) {
        struct message m = w->net[i];
        if (m.at_ms > w->now_ms || (w->nodes[m.to].alive && !runs(w, m.to))) {
            i++;
            continue;
        }
        w->net[i] = w->net[--w->net_n];
        if (w->nodes[m.to].alive) {
            struct dvar_event event = {
                .type = DVAR_RECV, .from = m.from, .data = m.data, .len = m.len};
            step(w, m.to, &event);
        }
        free(m.data);
    }
}

static void fault(struct world *w)
{
    uint64_t dice = rng_below(&w->rng, 2000);
    int n = (int)rng_below(&w->rng, KEEPERS);
    struct wnode *node = &w->nodes[n];
    if (dice == 7 && node->alive && may_go(w, n)) {
        struct placement_keeper *keeper = keeper_of(w, node->member_id);
        crash(w, n);
        boot(w, n);
        if (keeper != NULL)
            keeper->state = KEEPER_DIED;
        w->placement.epoch++;
    } else if (dice == 0 && node->alive && may_go(w, n)) {
        exclude(w, node->member_id);
        crash(w, n);
    } else if (dice < 3 && node->alive && may_go(w, n)) {
        exclude(w, node->member_id); /* it lives on, and does not know */
    } else if (dice < 6 && node->alive) {
        node->paused_until_ms = w->now_ms + rng_below(&w->rng, 6000);
        if (may_go(w, n))
            exclude(w, node->member_id);
    }
}

static void come_back(struct world *w, int n)
{
    struct wnode *node = &w->nodes[n];
    if (!node->alive && (w->healed || rng_below(&w->rng, 300) == 0))
        boot(w, n);
    const struct placement_keeper *keeper = keeper_of(w, node->member_id);
    if (node->alive && keeper != NULL && keeper->state == KEEPER_ACTIVE)
        return;
    /* Excluded, its lease over: it comes back as another member, or in another boot. */
    if (node->alive && is_over(w, node->member_id) && (w->healed || rng_below(&w->rng, 100) == 0))
        join(w, n);
}

/* When all is well: what is there at last. */
static void read_last(struct world *w, int n, int name)
{
    struct wnode *node = &w->nodes[n];
    if (w->history_n == HISTORY)
        return;
    struct entry *e = &w->history[w->history_n++];
    *e = (struct entry){.name = name, .start = ++w->tick};
    node->ops[name] = e;
    node->outstanding++;
    struct value_op op = {.kind = VALUE_OP_GET};
    struct dvar_event event = {.type = DVAR_OP,
                               .id = w->history_n,
                               .name = names[name],
                               .name_len = strlen(names[name]),
                               .op = &op,
                               .deadline_ms = clock_of(w, node) + 10000};
    step(w, n, &event);
}

const char *world_run(uint64_t seed, struct world *w)
{
    memset(w, 0, sizeof(*w));
    rng_init(&w->rng, seed);
    w->bursts = seed >= WORLD_BURSTS;
    w->begin_ms = seed % 2 == 0 ? 1000 : 10000000; /* some have been up for long */
    w->now_ms = w->begin_ms;
    w->loss = rng_below(&w->rng, 3) == 0 ? 20 : 5;
    for (int i = 0; i < NODES; i++) {
        w->nodes[i].rate = 950 + rng_below(&w->rng, 100);
        boot(w, i);
    }
    for (int i = 0; i < KEEPERS; i++)
        join(w, i);
    for (int k = 0; k < NAMES; k++) {
        struct placement_slot *slot =
            &w->placement.slots[placement_slot_of(names[k], strlen(names[k]))];
        slot->active =
            (struct placement_config){.slot_epoch = 1, .replicas = {1, 2, 3}, .replicas_n = 3};
    }
    for (; w->now_ms < w->begin_ms + END_MS && w->problem == NULL; w->now_ms += 5) {
        w->healed = w->now_ms > w->begin_ms + FAULTS_MS;
        if (w->now_ms % 50 == 0)
            govern(w);
        deliver(w);
        if (!w->healed)
            fault(w);
        if (seed % 3 == 0 && !w->outage && w->now_ms > w->begin_ms + FAULTS_MS / 2)
            outage(w);
        for (int i = 0; i < NODES; i++) {
            if (w->healed)
                w->nodes[i].paused_until_ms = 0;
            if (i < KEEPERS)
                come_back(w, i);
            if (!runs(w, i))
                continue;
            upkeep(w, i);
            if (!w->healed && rng_below(&w->rng, 30) == 0)
                issue(w, i);
        }
        bool pending = !w->healed;
        for (int i = 0; i < NODES; i++)
            pending |= w->nodes[i].outstanding > 0;
        if (!pending && w->now_ms > w->begin_ms + FAULTS_MS + 10000)
            break;
    }
    const char *problem = w->problem;
    for (int i = 0; i < NODES && problem == NULL; i++) {
        if (w->nodes[i].outstanding > 0)
            problem = "an operation never ended";
    }
    /* Everybody reads the counter: every acknowledged addition is in it once. */
    size_t last_at = w->history_n;
    for (int i = 0; i < NODES && problem == NULL; i++)
        read_last(w, i, 0);
    for (int k = 1; k < NAMES && problem == NULL; k++)
        read_last(w, NODES - 1, k);
    for (uint64_t end = w->now_ms + 10000; w->now_ms < end; w->now_ms += 5) {
        if (w->now_ms % 50 == 0)
            govern(w);
        deliver(w);
        for (int i = 0; i < NODES; i++)
            upkeep(w, i);
    }
    int64_t adds = 0, unknown = 0;
    for (size_t i = 0; i < last_at; i++) {
        const struct entry *e = &w->history[i];
        if (e->name == 0 && e->write) {
            bool sure = e->ended && e->ok && !was_lost(w, e);
            adds += sure;
            unknown += !sure && !e->refused;
        }
    }
    for (size_t i = last_at; i < w->history_n && problem == NULL; i++) {
        const struct entry *e = &w->history[i];
        if (problem == NULL)
            problem = heard_last(w, e);
        if (!e->ended)
            problem = "a read at the end did not end";
        else if (e->name != 0)
            continue;
        else if (e->value < adds)
            problem = "acknowledged additions are missing";
        else if (e->value > adds + unknown)
            problem = "an addition was applied twice";
    }
    if (problem == NULL)
        problem = judge(w);
    for (size_t i = 0; i < w->net_n; i++)
        free(w->net[i].data);
    for (int i = 0; i < NODES; i++)
        free_core(w, i);
    return problem;
}

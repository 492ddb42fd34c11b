/*
 * The core of consistent variables: what comes in goes to the file that knows of it.
 */
#include "dvar/internal.h"
#include "dvar/wire.h"

#define SLOW_MS 50 /* slots, sessions and watches are looked at so long after something changed */

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

int dvar_new(struct dvar_core **core_out, const struct dvar_config *config)
{
    struct dvar_core *core = core_calloc(1, sizeof(*core));
    *core_out = core;
    if (core == NULL)
        return kith_fail_with(KITH_E_MEMORY, "memory is short for variables; free some");
    core->config = *config;
    struct dvar_config *c = &core->config;
    c->min_copies = or_default(c->min_copies, 2);
    c->variables_max = or_default(c->variables_max, DVAR_VARIABLES_MAX);
    c->session_ms = or_default(c->session_ms, 2000);
    c->renew_ms = or_default(c->renew_ms, 500);
    c->resend_ms = or_default(c->resend_ms, 200);
    c->doubt_ms = or_default(c->doubt_ms, 1000);
    c->val_delay_ms = or_default(c->val_delay_ms, 1);
    if (c->held_bytes_max == 0)
        c->held_bytes_max = DVAR_HELD_BYTES_MAX;
    list_init(&core->outs);
    list_init(&core->vals);
    list_init(&core->watchers);
    list_init(&core->ops);
    list_init(&core->resends);
    list_init(&core->gathered);
    list_init(&core->writes);
    list_init(&core->persisting);
    list_init(&core->watches);
    list_init(&core->told);
    core->quorum = true;
    /* No answer to a former boot is taken for one to this. */
    core->next_no = config->self.boot_no << 32;
    core->session_no = config->self.boot_no << 32;
    core->watch_no = ((uint32_t)config->self.boot_no & 0x7fff) << 16;
    core->next_token = 1;
    core->slow_at_ms = UINT64_MAX;
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        list_init(&core->slots[i].vars);
        list_init(&core->slots[i].under_way);
        core->slots[i].active.self = -1;
        core->slots[i].chosen.self = -1;
    }
    return 0;
}

static void free_lists(struct dvar_core *core)
{
    while (!list_empty(&core->persisting)) {
        struct persisting *p = container_of(list_first(&core->persisting), struct persisting, link);
        list_remove(&p->link);
        core_free(p);
    }
    while (!list_empty(&core->watches)) {
        struct watch *watch = container_of(list_first(&core->watches), struct watch, link);
        list_remove(&watch->link);
        core_free(watch);
    }
    while (core->free_ops != NULL) {
        struct op *op = core->free_ops;
        core->free_ops = op->next;
        core_free(op);
    }
    while (core->free_writes != NULL) {
        struct write *write = core->free_writes;
        core->free_writes = (struct write *)(void *)write->ops;
        buf_deinit(&write->delta);
        core_free(write);
    }
}

static void drop_requests(struct dvar_core *core)
{
    for (size_t i = 0; i < core->buckets_n; i++) {
        for (struct var *var = core->buckets[i]; var != NULL; var = var->hash_next) {
            var->pins++;
            home_abort(core, var);
        }
    }
    while (!list_empty(&core->ops))
        op_free(core, container_of(list_first(&core->ops), struct op, link));
}

void dvar_free(struct dvar_core *core)
{
    if (core == NULL)
        return;
    out_begin(core);
    drop_requests(core);
    for (uint32_t i = 0; i < core->nodes_n; i++) {
        struct node *node = core->nodes[i];
        watcher_free(core, node);
        answers_forget(core, node, UINT64_MAX);
        buf_deinit(&node->out);
        buf_deinit(&node->vals);
        core_free(node->session_word);
    }
    watch_deinit(core);
    out_deinit(core);
    vars_deinit(core);
    free_lists(core);
    for (uint32_t i = 0; i < core->nodes_n; i++)
        core_free(core->nodes[i]);
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++)
        core_free(core->slots[i].sync);
    core_free(core->nodes);
    core_free(core->write_at);
    core_free(core->write_free);
    mapid_deinit(&core->by_id);
    map64_deinit(&core->by_no);
    heap_deinit(&core->deadlines);
    value_outcome_deinit(&core->outcomes[0]);
    value_outcome_deinit(&core->outcomes[1]);
    buf_deinit(&core->scratch);
    buf_deinit(&core->records);
    core_free(core);
}

/* ---- nodes ---- */

struct node *node_get(struct dvar_core *core, const struct kith_node_id *id)
{
    struct node *node = mapid_find(&core->by_id, id);
    if (node != NULL)
        return node;
    if (core->nodes_n >= DVAR_CLIENTS_MAX)
        return NULL;
    if (core->nodes_n == core->nodes_cap) {
        uint32_t cap = core->nodes_cap == 0 ? 16 : 2 * core->nodes_cap;
        struct node **nodes = core_realloc(core->nodes, cap * sizeof(struct node *));
        if (nodes == NULL)
            return NULL;
        core->nodes = nodes;
        core->nodes_cap = cap;
    }
    node = core_calloc(1, sizeof(*node));
    if (node == NULL || mapid_set(&core->by_id, id, node) != 0) {
        core_free(node);
        core->short_of_memory = true;
        return NULL;
    }
    node->id = *id;
    node->at = core->nodes_n;
    list_init(&node->cached);
    struct kith_node_id nobody = {{0}};
    node->nobody = memcmp(id, &nobody, sizeof(nobody)) == 0;
    core->nodes[core->nodes_n++] = node;
    return node;
}

static void slow_soon(struct dvar_core *core)
{
    if (core->now_ms + SLOW_MS < core->slow_at_ms)
        core->slow_at_ms = core->now_ms + SLOW_MS;
}

/* A boot that is proven: what the one before asked for and held is over. */
void node_boot(struct dvar_core *core, struct node *node, uint64_t boot_no)
{
    if (boot_no <= node->boot_no)
        return;
    bool had = node->share_until_ms != 0;
    node->boot_no = boot_no;
    node->over = false;
    node->low_water = 0;
    answers_forget(core, node, UINT64_MAX);
    share_end(core, node);
    node->share_id = 0;
    if (node->session_id != 0) /* the one that granted it knows of nothing that is cached */
        session_end(core, node);
    watcher_free(core, node);
    if (had) {
        writes_sessions(core);
        slot_drained(core);
    }
}

/* ---- messages ---- */

static int message(struct dvar_core *core,
                   struct node *from,
                   uint64_t boot,
                   uint8_t type,
                   uint8_t flags,
                   uint32_t slot,
                   struct reader *r);

static int
on_relay(struct dvar_core *core, struct node *from, uint64_t boot, uint32_t slot, struct reader *r)
{
    struct kith_node_id id;
    const uint8_t *to = read_bytes(r, 16);
    size_t len = r->bad ? 0 : r->len - r->at;
    const uint8_t *body = read_bytes(r, len);
    if (r->bad || len < WIRE_HEAD_BYTES)
        return KITH_E_CORRUPT;
    memcpy(id.bytes, to, 16);
    struct node *node = mapid_find(&core->by_id, &id);
    if (node == NULL || core->via != NULL)
        return 0;
    uint8_t *p = message_add(core, node, WIRE_RELAYED, 0, slot, 24 + len);
    if (p == NULL)
        return 0;
    memcpy(p, from->id.bytes, 16);
    put_le64(p + 16, boot);
    memcpy(p + 24, body, len);
    return 0;
}

static int on_relayed(struct dvar_core *core, struct node *via, struct reader *r)
{
    struct kith_node_id id;
    const uint8_t *origin = read_bytes(r, 16);
    uint64_t boot = read_le64(r);
    uint8_t type = read_u8(r);
    uint8_t flags = read_u8(r);
    uint32_t slot = read_le16(r);
    uint32_t len = read_le32(r);
    const uint8_t *body = read_bytes(r, len);
    if (r->bad || slot >= PLACEMENT_SLOTS || type >= WIRE_RELAY)
        return KITH_E_CORRUPT;
    memcpy(id.bytes, origin, 16);
    struct node *from = mapid_find(&core->by_id, &id);
    if (from == NULL || from == via || boot < from->boot_no)
        return 0;
    struct reader inner = reader_of(body, len);
    core->via = via;
    int rc = message(core, from, boot, type, flags, slot, &inner);
    core->via = NULL;
    return rc;
}

static int message(struct dvar_core *core,
                   struct node *from,
                   uint64_t boot,
                   uint8_t type,
                   uint8_t flags,
                   uint32_t slot,
                   struct reader *r)
{
    switch (type) {
    case WIRE_REQ:
        return on_request(core, from, boot, flags, slot, r);
    case WIRE_RES:
        return on_result(core, from, flags, r);
    case WIRE_INV:
        return on_inv(core, from, boot, flags, slot, r);
    case WIRE_ACK:
        return on_ack(core, from, flags, slot, r);
    case WIRE_HAVE:
        return on_have(core, from, boot, slot, r);
    case WIRE_VAL:
        return on_val(core, from, boot, slot, r);
    case WIRE_ASK:
        return on_ask(core, from, slot, r);
    case WIRE_SACK:
        return on_sack(core, from, slot, r);
    case WIRE_SINV:
        return on_sinv(core, from, slot, r);
    case WIRE_PUSH:
        return on_push(core, from, flags, slot, r);
    case WIRE_PUSH_ACK:
        return on_push_ack(core, from, r);
    default:
        break;
    }
    slow_soon(core);
    switch (type) {
    case WIRE_PULL:
        return on_pull(core, from, boot, slot, r);
    case WIRE_STATE:
        return on_state(core, from, boot, slot, flags, r);
    case WIRE_RELEASE:
        return on_release(core, from, slot, r);
    case WIRE_RELEASED:
        return on_released(core, from, boot, slot, r);
    case WIRE_VALALL:
        return on_valall(core, from, boot, slot, r);
    case WIRE_RENEW:
        return on_renew(core, from, boot, r);
    case WIRE_GRANT:
        return on_grant(core, from, r);
    case WIRE_SDROP:
        return on_sdrop(core, from, slot, r);
    case WIRE_SDROPPED:
        return on_sdropped(core, from, slot, r);
    case WIRE_WATCH:
        return on_watch(core, from, r);
    case WIRE_MARK:
        return on_mark(core, from, r);
    case WIRE_RELAY:
        return on_relay(core, from, boot, slot, r);
    case WIRE_RELAYED:
        return on_relayed(core, from, r);
    case WIRE_SHARE:
        return on_share(core, from, boot, slot, r);
    case WIRE_SHARED:
        return on_shared(core, from, boot, slot, r);
    default:
        return 0; /* of a later version */
    }
}

static int on_frame(struct dvar_core *core, const struct dvar_event *event)
{
    struct node *from = node_get(core, &event->from.node);
    if (from == NULL || from->nobody)
        return KITH_E_MEMORY;
    node_boot(core, from, event->from.boot_no);
    core->stats.bytes_in += event->len;
    struct reader r = reader_of(event->data, event->len);
    int rc = 0;
    while (rc == 0 && r.at < r.len) {
        uint8_t type = read_u8(&r);
        uint8_t flags = read_u8(&r);
        uint32_t slot = read_le16(&r);
        uint32_t len = read_le32(&r);
        const uint8_t *body = read_bytes(&r, len);
        if (r.bad || slot >= PLACEMENT_SLOTS) {
            rc = KITH_E_CORRUPT;
            break;
        }
        core->stats.messages_in++;
        struct reader inner = reader_of(body, len);
        if (event->from.boot_no == from->boot_no)
            rc = message(core, from, event->from.boot_no, type, flags, slot, &inner);
    }
    if (rc == KITH_E_CORRUPT)
        core->stats.bad_messages++;
    return rc;
}

/* ---- cells ---- */

static void on_open(struct dvar_core *core, const struct dvar_event *event)
{
    struct var *var = var_get(core, event->name, event->name_len, -1);
    if (var != NULL && var->cell == NULL) {
        var->cell = cell_new();
        if (var->cell != NULL)
            var->cell->owner = var;
        else
            var_settle(core, var), var = NULL;
    }
    if (var == NULL) {
        int code = var_refused(core, event->name, event->name_len);
        op_done(core, event->id, code, kith_errmsg());
        return;
    }
    struct dvar_action *action = dvar_action_add(core, DVAR_OPENED);
    if (action == NULL)
        return;
    action->id = event->id;
    var->cell->opens++;
    action->cell = var->cell;
    if (var->block != NULL)
        var_publish(core, var);
}

static void on_close(struct dvar_core *core, struct dvar_cell *cell)
{
    struct var *var = cell->owner;
    if (--cell->opens > 0)
        return;
    cell_take_back(cell);
    core->closing = cell;
    var->cell = NULL;
    var_settle(core, var);
}

/* ---- steps ---- */

static void on_tick(struct dvar_core *core)
{
    while (!list_empty(&core->vals)) {
        struct node *node = container_of(list_first(&core->vals), struct node, val_link);
        if (core->now_ms < node->vals_at_ms)
            break;
        vals_flush(core, node);
    }
    client_tick(core);
    writes_tick(core);
    if (core->now_ms < core->slow_at_ms)
        return;
    slots_tick(core);
    session_tick(core);
    watch_tick(core);
    uint64_t at = slots_deadline(core);
    uint64_t session = session_deadline(core);
    uint64_t watch = watch_deadline(core);
    at = session < at ? session : at;
    at = watch < at ? watch : at;
    core->slow_at_ms = at > core->now_ms ? at : core->now_ms + 1;
}

static void on_peer(struct dvar_core *core, const struct dvar_event *event)
{
    struct node *node = node_get(core, &event->from.node);
    if (node == NULL)
        return;
    node_boot(core, node, event->from.boot_no);
    if (event->type != DVAR_PEER_DOWN || !event->left || event->from.boot_no != node->boot_no)
        return;
    node->over = true;
    answers_forget(core, node, UINT64_MAX);
    share_end(core, node);
    watcher_free(core, node);
    writes_sessions(core);
    slot_drained(core);
}

static void on_decided(struct dvar_core *core, uint32_t slot_no)
{
    struct slot *slot = &core->slots[slot_no];
    slot->durable_known = true;
    if (slot->durable_asked_ms == 0)
        return;
    slot->durable_asked_ms = 0;
    home_retry(core, 1ull << slot_no);
}

static void on_quorum(struct dvar_core *core, bool have)
{
    core->quorum = have;
    if (have)
        return;
    client_quorum(core);
    home_retry_waiting(core);
}

static int handle(struct dvar_core *core, const struct dvar_event *event)
{
    switch (event->type) {
    case DVAR_RECALL:
        return replica_recall(core, event);
    case DVAR_START:
        core->started = true;
        return 0;
    case DVAR_TICK:
        on_tick(core);
        return 0;
    case DVAR_RECV:
        return on_frame(core, event);
    case DVAR_PERSISTED:
        if (event->token > core->persisted)
            core->persisted = event->token;
        replica_persisted(core, event->token);
        home_persisted(core, event->token);
        return 0;
    case DVAR_OP:
        client_op(core, event);
        return 0;
    default:
        break;
    }
    slow_soon(core);
    switch (event->type) {
    case DVAR_PEER_UP:
    case DVAR_PEER_DOWN:
        on_peer(core, event);
        return 0;
    case DVAR_LINK_UP:
        client_route_all(core, mapid_find(&core->by_id, &event->from.node));
        return 0;
    case DVAR_PLACEMENT:
        slots_placement(core, event->placement);
        return 0;
    case DVAR_LEASE:
        slots_lease(core, event->until_ms);
        return 0;
    case DVAR_QUORUM:
        on_quorum(core, event->have);
        return 0;
    case DVAR_SLOT_DECIDED:
        on_decided(core, event->slot);
        return 0;
    case DVAR_DISK_FULL:
        core->disk_full = event->full;
        return 0;
    case DVAR_CANCEL:
        client_cancel(core, event->id);
        return 0;
    case DVAR_OPEN:
        on_open(core, event);
        return 0;
    case DVAR_CLOSE:
        on_close(core, event->cell);
        return 0;
    case DVAR_WATCH:
        watch_add(core, event);
        return 0;
    case DVAR_UNWATCH:
        watch_remove(core, event->id);
        return 0;
    case DVAR_STOP:
        sessions_stop(core);
        return 0;
    default:
        return 0;
    }
}

int dvar_step(struct dvar_core *core, const struct dvar_event *event, struct dvar_output *out)
{
    core->now_ms = event->now_ms;
    core->wall_ms = event->wall_ms;
    core->short_of_memory = false;
    core->more = event->more;
    out_begin(core);
    int rc = handle(core, event);
    bool hold = out_may_hold(core);
    if (!hold)
        join_route(core);
    out_end(core, hold, out);
    return rc == 0 && core->short_of_memory ? KITH_E_MEMORY : rc;
}

uint64_t dvar_deadline_ms(const struct dvar_core *core)
{
    if (core->held)
        return core->now_ms;
    uint64_t at = core->slow_at_ms;
    uint64_t client = client_deadline(core);
    uint64_t writes = writes_deadline(core);
    at = client < at ? client : at;
    at = writes < at ? writes : at;
    struct list *vals = list_first(&core->vals);
    if (vals != NULL) {
        uint64_t next = container_of(vals, struct node, val_link)->vals_at_ms;
        at = next < at ? next : at;
    }
    return at;
}

/* ---- queries ---- */

void dvar_info(struct dvar_core *core,
               const char *name,
               size_t name_len,
               uint64_t now_ms,
               struct dvar_info *info_out)
{
    const struct var *var = var_find(core, name, name_len);
    uint32_t slot_no = var != NULL ? var->slot : placement_slot_of(name, name_len);
    const struct slot *slot = &core->slots[slot_no];
    *info_out = (struct dvar_info){.slot = slot_no,
                                   .slot_epoch = slot->active.se,
                                   .generation = slot->generation,
                                   .serving = slot->serving && now_ms < core->lease_until_ms};
    if (slot->active.self >= 0)
        info_out->role = slot->active.self == 0 ? DVAR_ROLE_HOME : DVAR_ROLE_REPLICA;
    for (uint32_t i = 0; i < slot->active.n; i++) {
        info_out->holders[i] =
            slot->active.nodes[i] != NULL ? slot->active.nodes[i]->id : core->config.self.node;
        info_out->holders_n++;
    }
    if (var == NULL || var->block == NULL)
        return;
    core->now_ms = now_ms;
    info_out->valid = var_readable(core, var);
    info_out->cached = var->state == VAR_CACHED;
    info_out->version = var->block->version;
    info_out->value = block_value(var->block);
    info_out->value_len = var->block->len;
    for (uint32_t i = 0; var->sharers != NULL && i < var->sharers->n; i++) {
        const struct sharer *sharer = &var->sharers->at[i];
        info_out->sharers_n += share_live(core, core->nodes[sharer->node_at], sharer->session);
    }
}

void dvar_each_home(struct dvar_core *core,
                    void (*each)(void *arg, const struct dvar_change *variable),
                    void *arg)
{
    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        if (!core->slots[i].serving)
            continue;
        list_for_each (it, &core->slots[i].vars) {
            const struct var *var = container_of(it, struct var, link);
            struct dvar_change change = {.name = var->name,
                                         .name_len = var->name_len,
                                         .version = var->block->version,
                                         .value = block_value(var->block),
                                         .value_len = var->block->len,
                                         .settled = var_readable(core, var)};
            if (MUTANT(DVAR_UNSETTLED_TOLD))
                change.settled = true;
            if (value_view(change.value, change.value_len).type != VALUE_NONE)
                each(arg, &change);
        }
    }
}

uint32_t dvar_writes_pending(const struct dvar_core *core)
{
    return core->writes_n;
}

void dvar_stats(const struct dvar_core *core, struct dvar_stats *stats_out)
{
    *stats_out = core->stats;
    stats_out->variables = (uint32_t)core->vars_n;
    stats_out->writes_pending = core->writes_n;
    stats_out->watches = core->watches_n;
}

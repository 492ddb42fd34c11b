/*
 * Sessions: what a node caches stands under a lease that the home of the slot grants, shorter than
 * what is left of the home's own (nested leases, protocols 5.2). Who does not say that it dropped
 * an entry is waited for until its lease has ended, and then forgotten.
 */
#include "dvar/internal.h"
#include "dvar/wire.h"

/* ---- the side that caches ---- */

bool session_live(const struct dvar_core *core, const struct node *home)
{
    return home->session_id != 0 && core->now_ms < home->session_until_ms;
}

static void send_renew(struct dvar_core *core, struct node *home)
{
    home->session_sent_ms = core->now_ms;
    uint8_t *p = message_add(core, home, WIRE_RENEW, 0, 0, 16);
    if (p == NULL)
        return;
    put_le64(p, home->session_id);
    put_le64(p + 8, core->now_ms);
}

void session_want(struct dvar_core *core, struct node *home)
{
    if (core->stopping)
        return;
    if (home->session_word == NULL) {
        home->session_word = core_calloc(1, sizeof(*home->session_word));
        if (home->session_word == NULL)
            return;
    }
    if (home->session_id != 0 && home->session_until_ms != 0 && !session_live(core, home))
        session_end(core, home);
    if (home->session_id == 0) {
        home->session_id = ++core->session_no;
        home->session_until_ms = 0;
        send_renew(core, home);
    } else if (core->now_ms >= home->session_sent_ms + core->config.renew_ms) {
        send_renew(core, home);
    }
}

/* Drops an entry; the caller settles or uses the variable. */
void cache_drop(struct dvar_core *core, struct var *var)
{
    assert(var->state == VAR_CACHED);
    var_drop_value(core, var);
}

void session_end(struct dvar_core *core, struct node *home)
{
    if (home->session_word != NULL)
        atomic_store_explicit(home->session_word, 0, memory_order_release);
    while (!list_empty(&home->cached)) {
        struct var *var = container_of(list_first(&home->cached), struct var, link);
        cache_drop(core, var);
        var_settle(core, var);
    }
    home->session_id = 0;
    home->session_until_ms = 0;
}

void sessions_stop(struct dvar_core *core)
{
    if (MUTANT(DVAR_LEAVES_CACHING))
        return;
    core->stopping = true;
    for (size_t i = 0; i < core->nodes_n; i++) {
        if (core->nodes[i]->session_id != 0)
            session_end(core, core->nodes[i]);
    }
}

int on_grant(struct dvar_core *core, struct node *from, struct reader *r)
{
    uint64_t id = read_le64(r);
    uint64_t sent_ms = read_le64(r);
    uint64_t duration_ms = read_le64(r);
    if (r->bad || duration_ms > 60000 || sent_ms > core->now_ms)
        return KITH_E_CORRUPT;
    if (from->session_id != id)
        return 0;
    if (from->session_until_ms != 0 && !session_live(core, from)) {
        session_end(core, from); /* it may have been forgotten in between */
        return 0;
    }
    uint64_t until = lease_lessee_until_ms(sent_ms, duration_ms);
    if (until > from->session_until_ms) {
        from->session_until_ms = until;
        atomic_store_explicit(from->session_word, until * 1000000, memory_order_release);
    }
    return 0;
}

static void send_sack(struct dvar_core *core,
                      struct node *to,
                      uint32_t slot,
                      uint64_t ts,
                      uint64_t session,
                      uint32_t wid)
{
    uint8_t *p = message_add(core, to, WIRE_SACK, 0, slot, 20);
    if (p == NULL)
        return;
    put_le64(p, ts);
    put_le64(p + 8, session);
    put_le32(p + 16, wid);
}

/* An entry goes, and the answer to a read that is under way must not become one (hole 6). */
static void invalidate(struct dvar_core *core, struct var *var, uint64_t ts)
{
    if (var->fetch != NULL && var->fetch->floor < ts)
        var->fetch->floor = ts;
    if (var->state == VAR_CACHED && var->ts < ts) {
        cache_drop(core, var);
        var_settle(core, var);
    }
}

int on_sinv(struct dvar_core *core, struct node *from, uint32_t slot, struct reader *r)
{
    uint64_t ts = read_le64(r);
    uint64_t session = read_le64(r);
    uint32_t wid = read_le32(r);
    uint8_t name_len = read_u8(r);
    const char *name = (const char *)read_bytes(r, name_len);
    if (r->bad || name_len == 0)
        return KITH_E_CORRUPT;
    struct var *var = var_find(core, name, name_len);
    if (var != NULL)
        invalidate(core, var, ts);
    send_sack(core, from, slot, ts, session, wid);
    return 0;
}

int on_sdrop(struct dvar_core *core, struct node *from, uint32_t slot, struct reader *r)
{
    uint64_t se = read_le64(r);
    uint64_t session = read_le64(r);
    if (r->bad)
        return KITH_E_CORRUPT;
    list_for_each_safe (it, &core->ops) {
        struct op *op = container_of(it, struct op, link);
        if (op->fetching && op->var->slot == slot && op->floor < TS(se, 0))
            op->floor = TS(se, 0);
    }
    list_for_each_safe (it, &from->cached) {
        struct var *var = container_of(it, struct var, link);
        if (var->slot == slot && TS_SE(var->ts) < se) {
            cache_drop(core, var);
            var_settle(core, var);
        }
    }
    uint8_t *p = message_add(core, from, WIRE_SDROPPED, 0, slot, 16);
    if (p != NULL) {
        put_le64(p, se);
        put_le64(p + 8, session);
    }
    return 0;
}

/* ---- the home's side ---- */

bool share_live(const struct dvar_core *core, const struct node *node, uint64_t session)
{
    return session != 0 && node->share_id == session && core->now_ms < node->share_until_ms &&
           !node->over;
}

void share_end(struct dvar_core *core, struct node *node)
{
    if (node->share_until_ms != 0)
        core->stats.sessions--;
    node->share_until_ms = 0;
    node->share_slots = 0;
    node->share_drain = 0;
}

int on_renew(struct dvar_core *core, struct node *from, uint64_t boot, struct reader *r)
{
    uint64_t id = read_le64(r);
    uint64_t sent_ms = read_le64(r);
    if (r->bad || id == 0)
        return KITH_E_CORRUPT;
    if (boot != from->boot_no || from->over || id < from->share_id || !lease_ok(core))
        return 0;
    bool ended = false;
    if (id > from->share_id) {
        if (core->stats.sessions >= DVAR_SESSIONS_MAX)
            return 0; /* it reads through */
        ended = from->share_until_ms != 0;
        share_end(core, from);
        from->share_id = id;
        core->stats.sessions++;
    } else if (!share_live(core, from, id)) {
        return 0; /* ended: it begins another one */
    }
    uint64_t duration = core->config.session_ms;
    uint64_t nested = lease_nested_ms(core->lease_until_ms, core->now_ms);
    if (nested < duration && !MUTANT(DVAR_NO_NESTED_LEASE))
        duration = nested;
    uint64_t until = lease_lessor_until_ms(core->now_ms, duration);
    if (until > from->share_until_ms)
        from->share_until_ms = until;
    uint8_t *p = message_add(core, from, WIRE_GRANT, 0, 0, 24);
    if (p != NULL) {
        put_le64(p, id);
        put_le64(p + 8, sent_ms);
        put_le64(p + 16, duration);
    }
    if (ended) {
        writes_sessions(core);
        slot_drained(core);
    }
    return 0;
}

bool share_add(struct dvar_core *core, struct var *var, struct node *node, uint64_t session)
{
    struct sharers *sharers = var->sharers;
    uint32_t kept = 0;
    for (uint32_t i = 0; sharers != NULL && i < sharers->n; i++) {
        if (sharers->at[i].node_at == node->at || sharers->n < sharers->cap)
            continue;
        if (share_live(core, core->nodes[sharers->at[i].node_at], sharers->at[i].session))
            sharers->at[kept++] = sharers->at[i];
    }
    if (sharers != NULL && sharers->n == sharers->cap)
        sharers->n = kept;
    for (uint32_t i = 0; sharers != NULL && i < sharers->n; i++) {
        if (sharers->at[i].node_at == node->at) {
            sharers->at[i].session = session;
            node->share_slots |= 1ull << var->slot;
            return true;
        }
    }
    if (sharers == NULL || sharers->n == sharers->cap) {
        uint32_t cap = sharers == NULL ? 2 : 2 * sharers->cap;
        struct sharers *more = core_realloc(sharers, sizeof(*more) + cap * sizeof(struct sharer));
        if (more == NULL)
            return false;
        if (sharers == NULL)
            more->n = 0;
        more->cap = cap;
        var->sharers = sharers = more;
    }
    sharers->at[sharers->n++] = (struct sharer){.node_at = node->at, .session = session};
    node->share_slots |= 1ull << var->slot;
    return true;
}

/*
 * May anybody cache of @slot? Only when each replica knows that somebody does: the home that comes
 * after one that died waits for what that one granted, unless one of them says that it was nothing.
 */
bool share_allowed(struct dvar_core *core, uint32_t slot_no)
{
    struct slot *slot = &core->slots[slot_no];
    const struct config *active = &slot->active;
    if (slot->told_se != active->se) {
        slot->told_se = active->se;
        slot->told_ms = 0;
        slot->told = 1; /* this node */
    }
    uint32_t all = (1u << active->n) - 1;
    if (slot->told == all || MUTANT(DVAR_NO_SHARE_WAIT))
        return true;
    if (slot->told_ms != 0 && core->now_ms < slot->told_ms + core->config.resend_ms)
        return false;
    slot->told_ms = core->now_ms;
    for (uint32_t i = 1; i < active->n; i++) {
        uint8_t *p = (slot->told & 1u << i) != 0 || active->nodes[i] == NULL
                         ? NULL
                         : message_add(core, active->nodes[i], WIRE_SHARE, 0, slot_no, 8);
        if (p != NULL)
            put_le64(p, active->se);
    }
    return false;
}

int on_share(
    struct dvar_core *core, struct node *from, uint64_t boot, uint32_t slot_no, struct reader *r)
{
    uint64_t se = read_le64(r);
    if (r->bad)
        return KITH_E_CORRUPT;
    struct slot *slot = &core->slots[slot_no];
    /* Who knows of a later epoch may have said already what it knows. */
    if (slot->active.se != se || slot->joined_se != se || slot->active.self <= 0 ||
        slot->active.nodes[0] != from || slot->active.boots[0] != boot)
        return 0;
    slot->shared_se = se;
    uint8_t *p = message_add(core, from, WIRE_SHARED, 0, slot_no, 8);
    if (p != NULL)
        put_le64(p, se);
    return 0;
}

int on_shared(
    struct dvar_core *core, struct node *from, uint64_t boot, uint32_t slot_no, struct reader *r)
{
    uint64_t se = read_le64(r);
    if (r->bad)
        return KITH_E_CORRUPT;
    struct slot *slot = &core->slots[slot_no];
    for (uint32_t i = 1; i < slot->active.n; i++) {
        if (se == slot->active.se && se == slot->told_se && slot->active.nodes[i] == from &&
            slot->active.boots[i] == boot)
            slot->told |= 1u << i;
    }
    return 0;
}

bool slot_unshared(const struct slot *slot)
{
    return slot->active.self > 0 && slot->shared_se != slot->active.se;
}

static void send_sdrop(struct dvar_core *core, struct node *node, uint32_t slot)
{
    uint8_t *p = message_add(core, node, WIRE_SDROP, 0, slot, 16);
    if (p == NULL)
        return;
    put_le64(p, core->slots[slot].joined_se);
    put_le64(p + 8, node->share_id);
}

/* The slot goes to another epoch: whoever caches of it must have dropped it before anything of that
 * epoch is acknowledged here. */
void share_drain(struct dvar_core *core, uint32_t slot)
{
    for (uint32_t i = 0; i < core->nodes_n; i++) {
        struct node *node = core->nodes[i];
        if ((node->share_slots & 1ull << slot) == 0 || !share_live(core, node, node->share_id))
            continue;
        node->share_drain |= 1ull << slot;
        send_sdrop(core, node, slot);
    }
    list_for_each (it, &core->slots[slot].vars) {
        struct var *var = container_of(it, struct var, link);
        core_free(var->sharers);
        var->sharers = NULL;
    }
}

bool slot_is_drained(const struct dvar_core *core, uint32_t slot)
{
    for (uint32_t i = 0; i < core->nodes_n; i++) {
        const struct node *node = core->nodes[i];
        if ((node->share_drain & 1ull << slot) != 0 && share_live(core, node, node->share_id))
            return false;
    }
    return true;
}

int on_sdropped(struct dvar_core *core, struct node *from, uint32_t slot, struct reader *r)
{
    uint64_t se = read_le64(r);
    uint64_t session = read_le64(r);
    if (r->bad)
        return KITH_E_CORRUPT;
    if (session != from->share_id || se != core->slots[slot].joined_se ||
        (from->share_drain & 1ull << slot) == 0)
        return 0; /* a late copy says nothing of what was cached since */
    from->share_drain &= ~(1ull << slot);
    from->share_slots &= ~(1ull << slot);
    slot_drained(core);
    return 0;
}

/* ---- time ---- */

void session_tick(struct dvar_core *core)
{
    bool ended = false;
    for (uint32_t i = 0; i < core->nodes_n; i++) {
        struct node *node = core->nodes[i];
        if (node->session_id != 0) {
            if (node->session_until_ms != 0 && !session_live(core, node))
                session_end(core, node);
            else if (node->cached_n > 0 &&
                     core->now_ms >= node->session_sent_ms + core->config.renew_ms)
                send_renew(core, node);
        }
        if (node->share_until_ms != 0 && !share_live(core, node, node->share_id)) {
            share_end(core, node);
            ended = true;
        }
        if (node->answers != NULL && core->now_ms >= node->heard_ms + ASKED_MS)
            answers_forget(core, node, UINT64_MAX);
        for (uint32_t slot = 0; node->share_drain != 0 && slot < PLACEMENT_SLOTS; slot++) {
            if ((node->share_drain & 1ull << slot) != 0)
                send_sdrop(core, node, slot);
        }
    }
    if (ended) {
        writes_sessions(core);
        slot_drained(core);
    }
}

uint64_t session_deadline(const struct dvar_core *core)
{
    uint64_t at = UINT64_MAX;
    for (uint32_t i = 0; i < core->nodes_n; i++) {
        const struct node *node = core->nodes[i];
        uint64_t next = UINT64_MAX;
        if (node->session_id != 0) {
            next = node->session_until_ms != 0 ? node->session_until_ms : UINT64_MAX;
            if (node->cached_n > 0 && node->session_sent_ms + core->config.renew_ms < next)
                next = node->session_sent_ms + core->config.renew_ms;
        }
        if (node->share_until_ms != 0 && node->share_until_ms < next)
            next = node->share_until_ms;
        if (node->answers != NULL && node->heard_ms + ASKED_MS < next)
            next = node->heard_ms + ASKED_MS;
        if (node->share_drain != 0 && core->now_ms + core->config.resend_ms < next)
            next = core->now_ms + core->config.resend_ms;
        if (next < at)
            at = next;
    }
    return at;
}

#include "test_mutex_world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/lease.h"
#include "core/rng.h"
#include "kith/error.h"
#include "mutex/mutex.h"

#define NODES_MAX   12
#define OWNERS_MAX  4
#define NAMES_MAX   4
#define RECORDS_MAX 128
#define KEEPER_MS   3000
#define RENEW_MS    750
#define LIVENESS_MS 60000

enum what { EV_MSG, EV_RECORD, EV_ANSWER, EV_TICK, EV_OWNER, EV_PLACEMENT, EV_RENEW, EV_FAULT };

struct ev {
    uint64_t at, seq;
    enum what what;
    uint32_t node;
    uint64_t life; /* of the node it was meant for */
    uint64_t from; /* MSG: node; ANSWER: code */
    uint64_t from_boot;
    uint64_t ask, version;
    bool cas;
    char name[300];
    uint8_t *data;
    size_t len;
};

struct record {
    char name[300];
    uint64_t version; /* 0: absent */
    uint64_t last;    /* versions grow over lives */
    uint8_t data[8192];
    size_t len;
};

struct owner {
    enum { IDLE, WAITS, HOLDS } state;
    uint64_t waiter, fence, since;
    uint32_t name;
    bool shared, forever;
};

struct node {
    struct mutex_core *core;
    uint64_t life; /* grows with each start */
    struct boot_id boot;
    bool alive, keeper;
    uint64_t paused_until;
    double rate;
    uint64_t offset;
    uint32_t member_id;      /* as the view has it; 0: none */
    uint64_t lease_real_ms;  /* until when the view must take its lease for alive */
    uint64_t placement_seen; /* epoch */
    uint64_t tick_at;
    uint64_t next_waiter;
    uint64_t last_local;
    struct owner owners[OWNERS_MAX];
};

struct world {
    struct world_options o;
    struct world_result *result;
    struct rng rng;
    uint64_t now, seq;
    bool faults;
    struct ev *heap;
    size_t heap_n, heap_cap;
    struct node nodes[NODES_MAX];
    uint32_t nodes_n;
    bool cut[NODES_MAX][NODES_MAX];
    struct placement placement;
    uint32_t next_member;
    uint64_t moving_epoch; /* a planned move: active once everybody has seen it */
    struct record records[RECORDS_MAX];
    uint32_t records_n;
    uint64_t fence_alone[NAMES_MAX], fence_any[NAMES_MAX]; /* highest granted: exclusive, any */
    uint64_t resource[NAMES_MAX];
    double loss, twice, slow;
};

static uint64_t below(struct world *w, uint64_t n)
{
    return rng_below(&w->rng, n);
}

static bool chance(struct world *w, double p)
{
    return rng_unit(&w->rng) < p;
}

static void fail(struct world *w, const char *what, uint32_t name, uint32_t node)
{
    if (w->result->failure[0] == '\0')
        (void)snprintf(w->result->failure, sizeof(w->result->failure),
                       "%s: mutex %u, node %u, at %llu ms", what, name, node,
                       (unsigned long long)w->now);
}

/* ---- the queue of events ---- */

static bool before(const struct ev *a, const struct ev *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void push(struct world *w, struct ev ev)
{
    ev.seq = w->seq++;
    if (w->heap_n == w->heap_cap) {
        w->heap_cap = w->heap_cap == 0 ? 256 : w->heap_cap * 2;
        w->heap = realloc(w->heap, w->heap_cap * sizeof(*w->heap));
        assert(w->heap != NULL);
    }
    size_t i = w->heap_n++;
    while (i > 0 && before(&ev, &w->heap[(i - 1) / 2])) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = ev;
}

static struct ev pop(struct world *w)
{
    struct ev first = w->heap[0];
    struct ev last = w->heap[--w->heap_n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= w->heap_n)
            break;
        if (child + 1 < w->heap_n && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    if (w->heap_n > 0)
        w->heap[i] = last;
    return first;
}

/* ---- clocks ---- */

static uint64_t local(const struct world *w, const struct node *n)
{
    return n->offset + (uint64_t)((double)w->now * n->rate);
}

static uint64_t real_of(const struct world *w, const struct node *n, uint64_t local_ms)
{
    if (local_ms >= UINT64_MAX / 4)
        return UINT64_MAX;
    if (local_ms <= n->offset)
        return w->now;
    uint64_t at = (uint64_t)((double)(local_ms - n->offset) / n->rate) + 1;
    return at < w->now ? w->now : at;
}

/* ---- oracles ---- */

static void check_holders(struct world *w)
{
    for (uint32_t name = 0; name < w->o.names_n; name++) {
        uint32_t alone = 0, together = 0, last = 0;
        for (uint32_t i = 0; i < w->nodes_n; i++) {
            struct node *n = &w->nodes[i];
            for (uint32_t k = 0; n->alive && k < w->o.owners_n; k++) {
                const struct owner *o = &n->owners[k];
                if (o->state != HOLDS || o->name != name ||
                    mutex_holds(n->core, o->waiter, local(w, n)) == 0)
                    continue;
                alone += !o->shared;
                together += o->shared;
                last = i;
            }
        }
        if (w->o.permits ? alone > 3 : alone > 1)
            fail(w, "two holders", name, last);
        if (alone > 0 && together > 0)
            fail(w, "a reader beside a writer", name, last);
    }
}

static void check_fence(struct world *w, const struct owner *o, uint32_t node)
{
    uint64_t *any = &w->fence_any[o->name], *alone = &w->fence_alone[o->name];
    if (o->fence == 0)
        fail(w, "no fence", o->name, node);
    if (w->o.permits) {
        /* Places are granted in order and heard of in any. */
    } else if (o->shared ? o->fence <= *alone : o->fence <= *any) {
        char what[100];
        (void)snprintf(what, sizeof(what), "a fence that does not grow (%llx after %llx)",
                       (unsigned long long)o->fence, (unsigned long long)*any);
        fail(w, what, o->name, node);
    }
    if (o->fence > *any)
        *any = o->fence;
    if (!o->shared && o->fence > *alone)
        *alone = o->fence;
}

/* ---- steps ---- */

static void act(struct world *w, uint32_t i, const struct mutex_output *out);

static int step(struct world *w, uint32_t i, struct mutex_event *event)
{
    struct node *n = &w->nodes[i];
    struct mutex_output out;
    uint64_t now = local(w, n);
    event->now_ms = now > n->last_local ? now : n->last_local;
    n->last_local = event->now_ms;
    int code = mutex_step(n->core, event, &out);
    w->result->steps++;
    act(w, i, &out);
    mutex_check(n->core);
    check_holders(w);
    if (event->type == MUTEX_RELEASE || event->type == MUTEX_CANCEL)
        code = out.code;
    uint64_t due = real_of(w, n, mutex_deadline_ms(n->core));
    if (due != UINT64_MAX && (n->tick_at == 0 || due < n->tick_at || n->tick_at <= w->now)) {
        n->tick_at = due > w->now ? due : w->now + 1;
        push(w, (struct ev){.at = n->tick_at, .what = EV_TICK, .node = i, .life = n->life});
    }
    return code;
}

static uint64_t delay(struct world *w)
{
    if (w->faults && chance(w, w->slow))
        return below(w, 3000);
    return 1 + below(w, 8);
}

static void transmit(struct world *w, uint32_t from, const struct mutex_action *a)
{
    uint32_t to = a->to.bytes[0] - 1u;
    w->result->messages++;
    if (to >= w->nodes_n || to == from) {
        fail(w, "a message to nobody", 0, from);
        return;
    }
    if (w->faults && (w->cut[from][to] || chance(w, w->loss)))
        return;
    for (int copies = w->faults && chance(w, w->twice) ? 2 : 1; copies > 0; copies--) {
        struct ev ev = {.at = w->now + delay(w),
                        .what = EV_MSG,
                        .node = to,
                        .from = from,
                        .from_boot = w->nodes[from].boot.boot_no,
                        .data = malloc(a->len),
                        .len = a->len};
        memcpy(ev.data, a->data, a->len);
        push(w, ev);
    }
}

static struct owner *owner_of(struct node *n, uint64_t waiter)
{
    for (uint32_t k = 0; k < OWNERS_MAX; k++) {
        if (n->owners[k].state != IDLE && n->owners[k].waiter == waiter)
            return &n->owners[k];
    }
    return NULL;
}

static void owner_later(struct world *w, uint32_t i, uint32_t k, uint64_t ms)
{
    push(w, (struct ev){.at = w->now + 1 + ms,
                        .what = EV_OWNER,
                        .node = i,
                        .life = w->nodes[i].life,
                        .ask = k});
}

static void granted(struct world *w, uint32_t i, const struct mutex_action *a)
{
    struct node *n = &w->nodes[i];
    struct owner *o = owner_of(n, a->waiter);
    if (o == NULL || o->state != WAITS) {
        fail(w, "granted what does not wait", 0, i);
        return;
    }
    o->state = HOLDS;
    o->fence = a->fence;
    o->since = w->now;
    w->result->grants++;
    check_fence(w, o, i);
    if (o->fence > w->resource[o->name]) /* the guarded thing */
        w->resource[o->name] = o->fence;
    owner_later(w, i, (uint32_t)(o - n->owners),
                below(w, w->faults && chance(w, 0.05) ? 4000 : 60));
}

static void act(struct world *w, uint32_t i, const struct mutex_output *out)
{
    struct node *n = &w->nodes[i];
    for (size_t k = 0; k < out->actions_n; k++) {
        const struct mutex_action *a = &out->actions[k];
        struct owner *o;
        switch (a->type) {
        case MUTEX_SEND:
            transmit(w, i, a);
            break;
        case MUTEX_RECORD_READ:
        case MUTEX_RECORD_CAS: {
            struct ev ev = {.at = w->now + delay(w),
                            .what = EV_RECORD,
                            .node = i,
                            .life = n->life,
                            .ask = a->ask,
                            .version = a->version,
                            .cas = a->type == MUTEX_RECORD_CAS};
            (void)snprintf(ev.name, sizeof(ev.name), "%s", a->name);
            if (a->len > 0) {
                ev.data = malloc(a->len);
                memcpy(ev.data, a->data, a->len);
                ev.len = a->len;
            }
            push(w, ev);
            break;
        }
        case MUTEX_GRANTED:
            granted(w, i, a);
            break;
        case MUTEX_ENDED:
        case MUTEX_LOCK_LOST:
            o = owner_of(n, a->waiter);
            if (o == NULL || (a->type == MUTEX_LOCK_LOST && o->state != HOLDS)) {
                fail(w, "an end of what is not there", 0, i);
                break;
            }
            if (a->text == NULL || a->code == 0)
                fail(w, "an end without a reason", o->name, i);
            w->result->ended++;
            w->result->lost += a->type == MUTEX_LOCK_LOST;
            o->state = IDLE;
            owner_later(w, i, (uint32_t)(o - n->owners), below(w, 500));
            break;
        default:
            break;
        }
    }
}

/* ---- records: one atomic copy ---- */

static struct record *record_of(struct world *w, const char *name)
{
    for (uint32_t i = 0; i < w->records_n; i++) {
        if (strcmp(w->records[i].name, name) == 0)
            return &w->records[i];
    }
    assert(w->records_n < RECORDS_MAX);
    struct record *r = &w->records[w->records_n++];
    (void)snprintf(r->name, sizeof(r->name), "%s", name);
    return r;
}

static void do_record(struct world *w, struct ev *ev)
{
    struct record *r = record_of(w, ev->name);
    struct ev answer = {.at = w->now + delay(w),
                        .what = EV_ANSWER,
                        .node = ev->node,
                        .life = ev->life,
                        .ask = ev->ask};
    int code = 0;

    if (w->faults && chance(w, 0.03)) { /* never got there */
        code = KITH_E_UNKNOWN_OUTCOME;
    } else if (ev->cas && r->version != ev->version) {
        code = KITH_E_AGAIN;
    } else if (ev->cas) {
        r->version = ev->len > 0 ? ++r->last : 0;
        r->len = ev->len;
        assert(ev->len <= sizeof(r->data));
        if (ev->len > 0)
            memcpy(r->data, ev->data, ev->len);
    } else if (r->version == 0) {
        code = KITH_E_NOT_FOUND;
    }
    if (w->faults && ev->cas && chance(w, 0.05))
        code = KITH_E_UNKNOWN_OUTCOME; /* whatever came of it */
    answer.from = (uint64_t)(int64_t)code;
    answer.version = r->version;
    if (code == 0 && !ev->cas) {
        answer.data = malloc(r->len + 1);
        memcpy(answer.data, r->data, r->len);
        answer.len = r->len;
    }
    free(ev->data);
    push(w, answer);
}

/* ---- the view ---- */

static struct placement_keeper *keeper_at(struct world *w, uint32_t member_id)
{
    for (uint32_t i = 0; i < w->placement.keepers_n; i++) {
        if (w->placement.keepers[i].member_id == member_id)
            return &w->placement.keepers[i];
    }
    return NULL;
}

static uint32_t actives(struct world *w, uint32_t *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->placement.keepers_n; i++) {
        if (w->placement.keepers[i].state == KEEPER_ACTIVE)
            out[n++] = w->placement.keepers[i].member_id;
    }
    return n;
}

/* A decided record: everybody hears of it some time. */
static void decide(struct world *w)
{
    w->placement.epoch++;
    for (uint32_t i = 0; i < w->nodes_n; i++)
        push(w, (struct ev){.at = w->now + delay(w), .what = EV_PLACEMENT, .node = i});
}

static void admit(struct world *w, uint32_t i)
{
    struct placement *p = &w->placement;
    if (p->keepers_n == PLACEMENT_MEMBERS_MAX) { /* the ended ones that nobody needs */
        memmove(&p->keepers[0], &p->keepers[1], (p->keepers_n - 1) * sizeof(p->keepers[0]));
        p->keepers_n--;
    }
    w->nodes[i].member_id = ++w->next_member;
    w->nodes[i].lease_real_ms = 0;
    p->keepers[p->keepers_n++] = (struct placement_keeper){
        .member_id = w->nodes[i].member_id, .boot = w->nodes[i].boot, .state = KEEPER_ACTIVE};
}

/* Slots whose home may go: another one is chosen. */
static void choose_homes(struct world *w)
{
    uint32_t members[PLACEMENT_MEMBERS_MAX], n = actives(w, members);
    for (uint32_t s = 0; s < PLACEMENT_SLOTS && n > 0; s++) {
        struct placement_slot *slot = &w->placement.slots[s];
        uint32_t home =
            slot->chosen.slot_epoch != 0 ? slot->chosen.replicas[0] : slot->active.replicas[0];
        const struct placement_keeper *k = keeper_at(w, home);
        if (k != NULL && k->state == KEEPER_ACTIVE)
            continue;
        slot->chosen =
            (struct placement_config){.slot_epoch = slot->active.slot_epoch + 1, .replicas_n = 1};
        slot->chosen.replicas[0] = members[(s + w->placement.epoch) % n];
    }
}

static void activate_homes(struct world *w)
{
    bool changed = false;
    for (uint32_t s = 0; s < PLACEMENT_SLOTS; s++) {
        struct placement_slot *slot = &w->placement.slots[s];
        if (slot->chosen.slot_epoch == 0)
            continue;
        const struct placement_keeper *old = keeper_at(w, slot->active.replicas[0]);
        const struct placement_keeper *fresh = keeper_at(w, slot->chosen.replicas[0]);
        if (fresh == NULL || fresh->state != KEEPER_ACTIVE)
            continue;
        /* A living home must know that another one is chosen: it answers PULL or RELEASE. */
        if (old != NULL && old->state != KEEPER_ENDED) {
            uint32_t i = old->boot.node.bytes[0] - 1u;
            if (!w->nodes[i].alive || w->nodes[i].placement_seen < w->placement.epoch ||
                old->state == KEEPER_EXCLUDED)
                continue;
        }
        slot->active = slot->chosen;
        slot->active.slot_epoch = slot->chosen.slot_epoch;
        slot->chosen = (struct placement_config){0};
        changed = true;
    }
    if (changed)
        decide(w);
}

static void end_lease(struct world *w, struct placement_keeper *k)
{
    k->state = KEEPER_ENDED;
    uint32_t i = k->boot.node.bytes[0] - 1u;
    if (w->nodes[i].member_id == k->member_id)
        w->nodes[i].member_id = 0;
    choose_homes(w);
    decide(w);
}

/* The leader's look at its keepers, each 50 ms. */
static void view_look(struct world *w)
{
    for (uint32_t i = 0; i < w->placement.keepers_n; i++) {
        struct placement_keeper *k = &w->placement.keepers[i];
        struct node *n = &w->nodes[k->boot.node.bytes[0] - 1u];
        if (k->state == KEEPER_ACTIVE && (!n->alive || n->boot.boot_no != k->boot.boot_no) &&
            chance(w, 0.05)) {
            k->state = KEEPER_EXCLUDED;
            choose_homes(w);
            decide(w);
        }
        bool proven = n->boot.boot_no > k->boot.boot_no && n->alive;
        if (k->state != KEEPER_ENDED && proven && chance(w, 0.1))
            end_lease(w, k);
        else if (k->state == KEEPER_EXCLUDED && w->now >= n->lease_real_ms)
            end_lease(w, k);
        else if (k->state == KEEPER_ENDED && chance(w, 0.01) && i + 1 < w->placement.keepers_n) {
            memmove(k, k + 1, (w->placement.keepers_n - i - 1) * sizeof(*k));
            w->placement.keepers_n--;
            decide(w);
        }
    }
    for (uint32_t i = 0; i < w->nodes_n; i++) {
        struct node *n = &w->nodes[i];
        if (n->alive && n->keeper && n->member_id == 0 && chance(w, w->faults ? 0.02 : 0.2)) {
            admit(w, i);
            choose_homes(w);
            decide(w);
        }
    }
    activate_homes(w);
}

/* ---- lives ---- */

static void start(struct world *w, uint32_t i)
{
    struct node *n = &w->nodes[i];
    char name[16];
    (void)snprintf(name, sizeof(name), "n%u", i);
    n->boot.boot_no++;
    n->life++;
    n->alive = true;
    n->paused_until = 0;
    n->tick_at = 0;
    n->placement_seen = 0;
    struct mutex_config config = {.self = n->boot,
                                  .self_name = name,
                                  .seed = rng_u64(&w->rng),
                                  .participants_token_max = w->o.token_max,
                                  .idle_ms = (uint32_t)w->o.idle_ms};
    config.pass_at_tick = (config.seed & 1) != 0;
    assert(mutex_new(&n->core, &config) == 0);
    n->last_local = local(w, n);
    memset(n->owners, 0, sizeof(n->owners));
    push(w, (struct ev){.at = w->now + delay(w), .what = EV_PLACEMENT, .node = i});
    push(w, (struct ev){
                .at = w->now + below(w, RENEW_MS), .what = EV_RENEW, .node = i, .life = n->life});
    for (uint32_t k = 0; k < w->o.owners_n; k++)
        owner_later(w, i, k, below(w, 300));
    for (uint32_t k = 0; k < w->nodes_n; k++) { /* the newer boot is proof of the older one's end */
        if (k != i && w->nodes[k].alive)
            (void)step(w, k,
                       &(struct mutex_event){.type = MUTEX_PEER_UP, .u.peer = {.boot = n->boot}});
    }
}

static void crash(struct world *w, uint32_t i)
{
    struct node *n = &w->nodes[i];
    mutex_free(n->core);
    n->core = NULL;
    n->alive = false;
    n->member_id = n->keeper ? n->member_id : 0;
}

static void fault(struct world *w)
{
    uint32_t i = (uint32_t)below(w, w->nodes_n), k = (uint32_t)below(w, w->nodes_n);
    struct node *n = &w->nodes[i];
    uint32_t members[PLACEMENT_MEMBERS_MAX];
    switch (below(w, 8)) {
    case 0:
        if (n->alive && (!n->keeper || actives(w, members) > 1))
            crash(w, i);
        break;
    case 1:
    case 2:
        if (!n->alive && n->paused_until <= w->now)
            start(w, i);
        break;
    case 3:
        if (n->alive)
            n->paused_until = w->now + below(w, chance(w, 0.2) ? 20000 : 3000);
        break;
    case 4: /* excluded, though it may be well */
        if (n->keeper && n->member_id != 0 && actives(w, members) > 1) {
            struct placement_keeper *m = keeper_at(w, n->member_id);
            if (m != NULL && m->state == KEEPER_ACTIVE) {
                m->state = KEEPER_EXCLUDED;
                choose_homes(w);
                decide(w);
            }
        }
        break;
    case 5: /* a planned move of a home */
        for (uint32_t s = 0; s < PLACEMENT_SLOTS; s++) {
            struct placement_slot *slot = &w->placement.slots[s];
            uint32_t m = actives(w, members);
            if (m < 2 || slot->chosen.slot_epoch != 0 || !chance(w, 0.3))
                continue;
            slot->chosen = (struct placement_config){.slot_epoch = slot->active.slot_epoch + 1,
                                                     .replicas_n = 1};
            slot->chosen.replicas[0] = members[below(w, m)];
        }
        decide(w);
        break;
    case 6:
        w->cut[i][k] = i != k;
        break;
    default:
        w->cut[i][k] = false;
        memset(w->cut[k], 0, sizeof(w->cut[k]));
        break;
    }
}

static void heal(struct world *w)
{
    w->faults = false;
    memset(w->cut, 0, sizeof(w->cut));
    for (uint32_t i = 0; i < w->nodes_n; i++) {
        w->nodes[i].paused_until = 0;
        if (!w->nodes[i].alive)
            start(w, i);
    }
}

/* ---- owners ---- */

static void owner_turn(struct world *w, uint32_t i, uint32_t k)
{
    struct node *n = &w->nodes[i];
    struct owner *o = &n->owners[k];
    if (o->state == WAITS) {
        if (w->faults && chance(w, 0.3))
            (void)step(w, i, &(struct mutex_event){.type = MUTEX_CANCEL, .u.waiter = o->waiter});
        return;
    }
    if (o->state == HOLDS) {
        /* Guarded: a write with a fence below one that was seen is refused, so nothing to check but
         * that who has a running lease is never the refused one. */
        if (!o->shared && !w->o.permits && o->fence < w->resource[o->name] &&
            mutex_holds(n->core, o->waiter, local(w, n)) != 0)
            fail(w, "a holder's write is refused", o->name, i);
        if (w->faults && chance(w, 0.05)) {
            (void)step(w, i, &(struct mutex_event){.type = MUTEX_OWNER_GONE, .u.owner = k + 1});
        } else {
            int code =
                step(w, i, &(struct mutex_event){.type = MUTEX_RELEASE, .u.waiter = o->waiter});
            if ((code != 0) != (o->state == IDLE)) /* only what was lost in this very moment */
                fail(w, "a release of what is held is refused", o->name, i);
        }
        o->state = IDLE;
        owner_later(w, i, k, below(w, 200));
        return;
    }
    if (w->now > w->o.faults_ms + LIVENESS_MS / 2)
        return; /* enough: the rest must come to an end */
    o->state = WAITS;
    o->waiter = n->next_waiter++;
    o->name = (uint32_t)below(w, w->o.names_n);
    o->shared = w->o.shared && chance(w, 0.5);
    o->since = w->now;
    char name[16];
    (void)snprintf(name, sizeof(name), "m%u", o->name);
    struct mutex_event event = {.type = MUTEX_ACQUIRE,
                                .u.acquire = {.waiter = o->waiter,
                                              .name = name,
                                              .owner = k + 1,
                                              .owner_text = "owner",
                                              .deadline_ms = w->faults && chance(w, 0.2)
                                                                 ? local(w, n) + below(w, 3000)
                                                                 : UINT64_MAX,
                                              .try_only = w->faults && chance(w, 0.1),
                                              .shared = o->shared,
                                              .permits = w->o.permits ? 3 : 1}};
    (void)step(w, i, &event);
    if (w->faults && chance(w, 0.05))
        owner_later(w, i, k, below(w, 1500));
}

/* ---- running ---- */

static void renew(struct world *w, uint32_t i)
{
    struct node *n = &w->nodes[i];
    push(w, (struct ev){.at = w->now + RENEW_MS, .what = EV_RENEW, .node = i, .life = n->life});
    const struct placement_keeper *k = n->member_id != 0 ? keeper_at(w, n->member_id) : NULL;
    if (k == NULL || k->state != KEEPER_ACTIVE || k->boot.boot_no != n->boot.boot_no ||
        (w->faults && chance(w, 0.1)))
        return;
    /* It knows the record that made it a keeper before it is granted a lease under it. */
    if (n->placement_seen < w->placement.epoch) {
        n->placement_seen = w->placement.epoch;
        (void)step(w, i,
                   &(struct mutex_event){.type = MUTEX_PLACEMENT, .u.placement = &w->placement});
    }
    n->lease_real_ms = lease_lessor_until_ms(w->now, KEEPER_MS);
    (void)step(
        w, i,
        &(struct mutex_event){.type = MUTEX_LEASE, .u.lease_until_ms = local(w, n) + KEEPER_MS});
}

static void deliver(struct world *w, struct ev *ev)
{
    struct node *n = &w->nodes[ev->node];
    bool same = n->alive && (ev->what == EV_MSG || ev->what == EV_PLACEMENT || ev->life == n->life);
    if (!same) {
        free(ev->data);
        return;
    }
    if (n->paused_until > w->now) { /* it comes when the node wakes */
        ev->at = n->paused_until;
        push(w, *ev);
        return;
    }
    switch (ev->what) {
    case EV_MSG: {
        struct boot_id from = w->nodes[ev->from].boot;
        from.boot_no = ev->from_boot;
        if (step(w, ev->node,
                 &(struct mutex_event){
                     .type = MUTEX_RECV,
                     .u.recv = {.from = from, .data = ev->data, .len = ev->len}}) != 0)
            fail(w, "a message that does not decode", 0, ev->node);
        break;
    }
    case EV_ANSWER:
        (void)step(w, ev->node,
                   &(struct mutex_event){.type = MUTEX_RECORD,
                                         .u.record = {.ask = ev->ask,
                                                      .code = (int)(int64_t)ev->from,
                                                      .version = ev->version,
                                                      .data = ev->data,
                                                      .len = ev->len}});
        break;
    case EV_TICK:
        if (n->tick_at == ev->at || n->tick_at <= w->now)
            n->tick_at = 0;
        (void)step(w, ev->node, &(struct mutex_event){.type = MUTEX_TICK});
        break;
    case EV_OWNER:
        owner_turn(w, ev->node, (uint32_t)ev->ask);
        break;
    case EV_PLACEMENT:
        n->placement_seen = w->placement.epoch;
        (void)step(w, ev->node,
                   &(struct mutex_event){.type = MUTEX_PLACEMENT, .u.placement = &w->placement});
        break;
    default:
        renew(w, ev->node);
        break;
    }
    free(ev->data);
}

static void begin(struct world *w)
{
    const struct world_options *o = &w->o;
    uint32_t keepers = o->keepers_n + o->edges_n > 0 ? o->keepers_n : 1 + (uint32_t)below(w, 5);
    uint32_t edges = o->keepers_n + o->edges_n > 0 ? o->edges_n : (uint32_t)below(w, 4);
    w->nodes_n = keepers + edges;
    assert(w->nodes_n <= NODES_MAX);
    if (w->o.names_n == 0)
        w->o.names_n = 1 + (uint32_t)below(w, 2);
    if (w->o.owners_n == 0)
        w->o.owners_n = 1 + (uint32_t)below(w, 3);
    if (w->o.idle_ms == 0)
        w->o.idle_ms = chance(w, 0.5) ? 60000 : 300 + below(w, 2000);
    w->faults = !o->calm;
    w->loss = chance(w, 0.7) ? 0.2 * rng_unit(&w->rng) : 0;
    w->twice = chance(w, 0.7) ? 0.3 * rng_unit(&w->rng) : 0;
    w->slow = chance(w, 0.5) ? 0.05 : 0;
    w->placement.epoch = 1;
    for (uint32_t i = 0; i < w->nodes_n; i++) {
        struct node *n = &w->nodes[i];
        n->boot.node.bytes[0] = (uint8_t)(i + 1);
        n->boot.boot_no = 1 + below(w, 3);
        n->keeper = i < keepers;
        n->rate = 0.9 + 0.2 * rng_unit(&w->rng);
        n->offset = 1000 + below(w, 1000000);
        n->next_waiter = 1;
    }
    for (uint32_t i = 0; i < w->nodes_n; i++) {
        start(w, i);
        if (w->nodes[i].keeper)
            admit(w, i);
    }
    for (uint32_t s = 0; s < PLACEMENT_SLOTS; s++) {
        struct placement_config *c = &w->placement.slots[s].active;
        *c = (struct placement_config){.slot_epoch = 1, .replicas_n = 1};
        c->replicas[0] = w->placement.keepers[s % keepers].member_id;
    }
    decide(w);
    push(w, (struct ev){.at = 50, .what = EV_FAULT});
}

void world_run(uint64_t seed, const struct world_options *options, struct world_result *result)
{
    struct world *w = calloc(1, sizeof(*w));
    uint64_t end = options->faults_ms + LIVENESS_MS;
    assert(w != NULL);
    memset(result, 0, sizeof(*result));
    w->o = *options;
    w->result = result;
    rng_init(&w->rng, seed * 2654435761u + 17);
    begin(w);
    while (w->heap_n > 0 && result->failure[0] == '\0') {
        struct ev ev = pop(w);
        if (ev.at > end) {
            free(ev.data);
            break;
        }
        if (ev.at > w->now)
            w->now = ev.at;
        if (w->faults && w->now >= options->faults_ms)
            heal(w);
        if (ev.what == EV_FAULT) {
            if (w->faults && chance(w, 0.12))
                fault(w);
            view_look(w);
            push(w, (struct ev){.at = w->now + 50, .what = EV_FAULT});
        } else if (ev.what == EV_RECORD) {
            do_record(w, &ev);
        } else {
            deliver(w, &ev);
        }
    }
    for (uint32_t i = 0; i < w->nodes_n; i++) {
        struct node *n = &w->nodes[i];
        struct mutex_stats stats;
        if (!n->alive)
            continue;
        mutex_stats(n->core, &stats);
        result->recoveries += stats.recoveries;
        result->passed += stats.tokens_passed;
        for (uint32_t k = 0; k < w->o.owners_n && result->failure[0] == '\0'; k++) {
            if (n->owners[k].state == WAITS)
                fail(w, "somebody never gets in", n->owners[k].name, i);
        }
        mutex_free(n->core);
    }
    while (w->heap_n > 0) {
        struct ev ev = pop(w);
        free(ev.data);
    }
    free(w->heap);
    free(w);
}

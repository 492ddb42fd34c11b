#include "rpc/session.h"

#include <string.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/mutant.h"
#include "net/frame.h"
#include "rpc/actions.h"
#include "rpc/export.h"
#include "rpc/item.h"
#include "rpc/names.h"
#include "rpc/peer.h"
#include "rpc/registry.h"
#include "rpc/serve.h"

/* Idle sessions looked at, from the least recently used on, before a new caller is refused. */
#define EVICT_LOOK 64

/* ---- the table ---- */

static struct session *session_new(struct rpc_core *core, struct rpc_peer *peer)
{
    if (core->sessions_n >= RPC_SESSIONS_MAX) {
        struct session *victim = NULL;
        struct list *node = core->sessions.prev;
        for (int i = 0; i < EVICT_LOOK && node != &core->sessions; i++, node = node->prev) {
            struct session *session = container_of(node, struct session, lru);
            if (session->live_n == 0) {
                victim = session;
                break;
            }
        }
        if (victim == NULL)
            return NULL;
        core->sessions_evicted++;
        session_free(core, victim);
    }
    struct session *session = core_calloc(1, sizeof(*session));
    if (session == NULL)
        return NULL;
    session->peer = peer;
    session->boot_no = peer->boot_no;
    session->partial = core->sessions_evicted > 0;
    list_init(&session->live);
    list_init(&session->kept);
    list_prepend(&core->sessions, &session->lru);
    core->sessions_n++;
    peer->session = session;
    return session;
}

static struct session *session_get(struct rpc_core *core, struct rpc_peer *peer)
{
    struct session *session = peer->session;
    if (session == NULL)
        return session_new(core, peer);
    if (core->sessions.next != &session->lru) {
        list_remove(&session->lru);
        list_prepend(&core->sessions, &session->lru);
    }
    return session;
}

/* The slot that @serve came in. */
static struct serve_slot *slot_of(const struct rpc_serve *serve)
{
    assert(serve->session != NULL);
    struct serve_slot *chunk = serve->session->chunks[serve->slot / SLOT_CHUNK];
    assert(chunk != NULL);
    return &chunk[serve->slot % SLOT_CHUNK];
}

static struct serve_slot *slot_get(struct session *session, uint16_t slot)
{
    struct serve_slot **chunk = &session->chunks[slot / SLOT_CHUNK];
    if (*chunk == NULL) {
        *chunk = core_calloc(SLOT_CHUNK, sizeof(**chunk));
        if (*chunk == NULL)
            return NULL;
    }
    return &(*chunk)[slot % SLOT_CHUNK];
}

/* ---- results kept for duplicates ---- */

static size_t kept_cost(const struct rpc_serve *serve)
{
    return sizeof(*serve) + (serve->reply_block != NULL ? serve->reply_len : 0);
}

void session_drop_kept(struct rpc_core *core, struct rpc_serve *serve)
{
    struct session *session = serve->session;
    assert(serve->state == SERVE_DONE);
    if (list_linked(&serve->kept)) {
        session->kept_bytes -= kept_cost(serve);
        core->kept_bytes -= kept_cost(serve);
        list_remove(&serve->kept);
        list_remove(&serve->aged);
    } else {
        core->oversize_bytes -= serve->reply_len;
        list_remove(&serve->link);
    }
    list_remove(&serve->unsent);
    struct serve_slot *slot = slot_of(serve);
    assert(slot->serve == serve);
    slot->serve = NULL;
    serve->in_slot = false;
    serve_retire(core, serve);
}

static void keep(struct rpc_core *core, struct rpc_serve *serve)
{
    struct session *session = serve->session;
    size_t cost = kept_cost(serve);
    if (cost > RPC_RESULTS_KEPT_SESSION_BYTES_MAX) {
        core->oversize_bytes += serve->reply_len;
        list_append(&core->oversize, &serve->link);
        return;
    }
    session->kept_bytes += cost;
    core->kept_bytes += cost;
    list_append(&session->kept, &serve->kept);
    list_append(&core->kept, &serve->aged);
    while (session->kept_bytes > RPC_RESULTS_KEPT_SESSION_BYTES_MAX)
        session_drop_kept(core, container_of(list_first(&session->kept), struct rpc_serve, kept));
    while (core->kept_bytes > RPC_RESULTS_KEPT_BYTES_MAX)
        session_drop_kept(core, container_of(list_first(&core->kept), struct rpc_serve, aged));
}

static uint64_t aged_out_ns(const struct rpc_serve *serve)
{
    return serve->done_ns + RPC_RESULT_KEPT_MS * NS_PER_MS;
}

void sessions_drop_oversize(struct rpc_core *core)
{
    list_for_each_safe (node, &core->oversize) {
        struct rpc_serve *serve = container_of(node, struct rpc_serve, link);
        bool refused = list_linked(&serve->unsent) && aged_out_ns(serve) > core->now_ns;
        if (!refused || core->oversize_bytes > RPC_RESULTS_KEPT_BYTES_MAX)
            session_drop_kept(core, serve);
    }
}

/* The caller has finished with every call below: their results are needed no more. */
static void note_low_water(struct rpc_core *core, struct session *session, uint64_t low_water)
{
    struct list *node;
    while ((node = list_first(&session->kept)) != NULL) {
        struct rpc_serve *serve = container_of(node, struct rpc_serve, kept);
        if (serve->no >= low_water)
            return;
        session_drop_kept(core, serve);
    }
}

void sessions_age(struct rpc_core *core)
{
    struct list *node;
    while ((node = list_first(&core->kept)) != NULL) {
        struct rpc_serve *serve = container_of(node, struct rpc_serve, aged);
        if (aged_out_ns(serve) > core->now_ns)
            return;
        session_drop_kept(core, serve);
    }
}

uint64_t sessions_age_deadline_ms(const struct rpc_core *core)
{
    struct list *node = list_first(&core->kept);
    if (node == NULL)
        return UINT64_MAX;
    return (aged_out_ns(container_of(node, struct rpc_serve, aged)) + NS_PER_MS - 1) / NS_PER_MS;
}

/* ---- answers ---- */

static void encode_result(const struct rpc_core *core, const struct rpc_serve *serve, uint8_t *head)
{
    struct wire_result result = {
        .no = serve->no,
        .load = serve_load(core),
        .code = serve->code,
        .boot = (uint32_t)serve->session->boot_no,
        .slot = serve->slot,
        .outcome = serve->outcome,
    };
    wire_result_encode(&result, head);
}

static void arm_unsent(struct rpc_core *core)
{
    if (!core->unsent_timer.set && !core->unsent_timer.due)
        timer_set(core, &core->unsent_timer, core->now_ms + backoff_ms(core, core->unsent_tries++));
}

static void note_unsent(struct rpc_core *core, struct rpc_serve *serve)
{
    if (list_linked(&serve->unsent))
        return;
    list_append(&core->unsent, &serve->unsent);
    arm_unsent(core);
}

static void send_result(struct rpc_core *core, struct rpc_serve *serve)
{
    encode_result(core, serve, serve->head);
    struct rpc_action *action =
        action_send(core, serve->session->peer, FRAME_RESULT, serve->head, sizeof(serve->head));
    if (action == NULL) {
        note_unsent(core, serve);
        return;
    }
    action_body(action, serve->reply, serve->reply_len, serve->reply_block);
    action->serve = serve;
}

void session_note_send_failed(struct rpc_core *core, struct rpc_serve *serve)
{
    if (serve->state == SERVE_DONE && serve->session != NULL)
        note_unsent(core, serve);
}

/* An answer that is made up on the spot: the call did not run, or its fate is not known. */
static void answer(struct rpc_core *core,
                   struct rpc_peer *peer,
                   const struct wire_result *result,
                   const char *text)
{
    uint8_t *head = arena_alloc(&core->arena, WIRE_RESULT_BYTES);
    if (head == NULL)
        return; /* the caller's deadline ends it */
    wire_result_encode(result, head);
    struct rpc_action *action = action_send(core, peer, FRAME_RESULT, head, WIRE_RESULT_BYTES);
    if (action != NULL)
        action_body(action, text, strlen(text), NULL);
}

static struct wire_result
answer_to(const struct rpc_core *core, const struct rpc_peer *peer, uint64_t no, uint16_t slot)
{
    return (struct wire_result){
        .no = no,
        .slot = slot,
        .load = serve_load(core),
        .boot = (uint32_t)peer->boot_no,
        .outcome = KITH_OUTCOME_NOT_EXECUTED,
    };
}

static void answer_refused(struct rpc_core *core,
                           struct rpc_peer *peer,
                           uint64_t no,
                           uint16_t slot,
                           int code,
                           const char *text)
{
    struct wire_result result = answer_to(core, peer, no, slot);
    result.code = code;
    answer(core, peer, &result, text);
}

static void answer_unknown(struct rpc_core *core, struct rpc_peer *peer, uint64_t no, uint16_t slot)
{
    struct wire_result result = answer_to(core, peer, no, slot);
    result.outcome = KITH_OUTCOME_UNKNOWN;
    result.code = KITH_E_UNKNOWN_OUTCOME;
    answer(
        core, peer, &result,
        "the call came once before and its result is not kept any more; look before you call again "
        "unless it is idempotent");
}

static const char refused_text[] = "the call was refused before; nothing ran; call again";

void session_note_answer_failed(struct rpc_core *core, const struct rpc_action *action)
{
    struct wire_result result;
    if (wire_result_decode(&result, action->head.data, action->head.len) != 0 ||
        core->owed_n == RPC_ANSWERS_OWED_MAX)
        return; /* the caller's deadline ends it */
    if (core->owed_n == core->owed_cap) {
        size_t cap = core->owed_cap == 0 ? 16 : core->owed_cap * 2;
        struct owed_answer *owed = core_realloc(core->owed, cap * sizeof(*owed));
        if (owed == NULL)
            return;
        core->owed = owed;
        core->owed_cap = cap;
    }
    core->owed[core->owed_n++] =
        (struct owed_answer){.peer = action->to, .no = result.no, .slot = result.slot};
    arm_unsent(core);
}

static void send_owed(struct rpc_core *core)
{
    /* Those refused once more are noted when the actions are done, behind this step. */
    size_t n = core->owed_n;
    core->owed_n = 0;
    for (size_t i = 0; i < n; i++) {
        const struct owed_answer *owed = &core->owed[i];
        struct rpc_peer *peer = mapid_find(&core->peers_by_id, &owed->peer);
        struct serve_slot *slot =
            peer != NULL && peer->session != NULL ? slot_get(peer->session, owed->slot) : NULL;
        if (slot == NULL || slot->no != owed->no || slot->serve != NULL)
            continue; /* the caller has gone on */
        if (slot->refused != 0)
            answer_refused(core, peer, owed->no, owed->slot, slot->refused, refused_text);
        else
            answer_unknown(core, peer, owed->no, owed->slot);
    }
}

void sessions_send_unsent(struct rpc_core *core)
{
    struct list taken;
    list_init(&taken);
    list_splice(&taken, &core->unsent);
    if (list_empty(&taken) && core->owed_n == 0)
        core->unsent_tries = 0;
    send_owed(core);
    struct list *node;
    while ((node = list_first(&taken)) != NULL) {
        struct rpc_serve *serve = container_of(node, struct rpc_serve, unsent);
        list_remove(node);
        send_result(core, serve);
    }
    /* Once more without any: then the back-off starts anew. */
    if (core->unsent_tries > 0 && !core->unsent_timer.set)
        timer_set(core, &core->unsent_timer, core->now_ms + backoff_ms(core, core->unsent_tries));
}

static void answer_ack(struct rpc_core *core, const struct rpc_serve *serve)
{
    uint8_t *head = arena_alloc(&core->arena, WIRE_ACK_BYTES);
    if (head == NULL)
        return;
    struct wire_ack ack = {
        .no = serve->no,
        .load = serve_load(core),
        .boot = (uint32_t)serve->session->boot_no,
        .slot = serve->slot,
        .state = serve->state == SERVE_RUNNING ? WIRE_ACK_RUNNING : WIRE_ACK_QUEUED,
    };
    wire_ack_encode(&ack, head);
    action_send(core, serve->session->peer, FRAME_CALL_ACK, head, WIRE_ACK_BYTES);
}

/* ---- the end of a call ---- */

/* Nothing of it is left but its number. */
static void forget(struct rpc_core *core, struct rpc_serve *serve)
{
    if (serve->in_slot) {
        slot_of(serve)->serve = NULL;
        serve->in_slot = false;
    }
    serve_retire(core, serve);
}

void session_result(struct rpc_core *core, struct rpc_serve *serve)
{
    if (serve->session == NULL || serve->dropped || serve->cast) {
        forget(core, serve);
        return;
    }
    if (serve->outcome == KITH_OUTCOME_NOT_EXECUTED && slot_of(serve)->ran) {
        serve->outcome = KITH_OUTCOME_UNKNOWN;
        serve->code = KITH_E_UNKNOWN_OUTCOME;
    }
    if (serve->outcome == KITH_OUTCOME_NOT_EXECUTED)
        slot_of(serve)->refused = serve->code < 0 ? serve->code : KITH_E_NOT_EXECUTED;
    send_result(core, serve);
    if ((serve->exported->desc.flags & KITH_FN_IDEMPOTENT) != 0) {
        /* Decided at the next step, when it is known whether the channel took it. */
        list_append(&core->sent, &serve->aged);
        return;
    }
    keep(core, serve);
}

/*
 * Results of idempotent functions are not kept: a copy of the call may run it again. They would be
 * the largest part of the memory that a call touches.
 */
void sessions_settle_sent(struct rpc_core *core)
{
    struct list *node;
    while ((node = list_first(&core->sent)) != NULL) {
        struct rpc_serve *serve = container_of(node, struct rpc_serve, aged);
        list_remove(node);
        if (list_linked(&serve->unsent)) {
            keep(core, serve);
            continue;
        }
        slot_of(serve)->again = true;
        forget(core, serve);
    }
}

void session_refuse(struct rpc_core *core, struct rpc_serve *serve, int code, const char *text)
{
    if (serve->session != NULL && serve->in_slot) {
        struct serve_slot *slot = slot_of(serve);
        struct rpc_peer *peer = serve->session->peer;
        bool wanted = !serve->cast && !serve->dropped;
        if (!slot->ran)
            slot->refused = code;
        if (wanted && slot->ran)
            answer_unknown(core, peer, serve->no, serve->slot);
        else if (wanted)
            answer_refused(core, peer, serve->no, serve->slot, code, text);
    }
    forget(core, serve);
}

/* A newer call has its slot, or its session ends. */
static void let_go(struct rpc_core *core, struct rpc_serve *serve)
{
    if (serve->state == SERVE_DONE) {
        session_drop_kept(core, serve);
        return;
    }
    slot_of(serve)->serve = NULL;
    serve->in_slot = false;
    if (!serve->cast)
        serve_abandon(core, serve);
}

void session_caller_gone(struct rpc_core *core, struct session *session)
{
    list_for_each_safe (node, &session->live) {
        struct rpc_serve *serve = container_of(node, struct rpc_serve, live);
        if (serve->cast)
            continue;
        /* Its number stays: if the caller is back and asks again, it is told that nothing ran. */
        if (serve->state == SERVE_QUEUED && serve->in_slot) {
            struct serve_slot *slot = slot_of(serve);
            if (!slot->ran)
                slot->refused = KITH_E_CANCELED;
            slot->serve = NULL;
            serve->in_slot = false;
            serve_abandon(core, serve);
        } else if (serve->state == SERVE_QUEUED) {
            serve_abandon(core, serve);
        } else {
            /* A result may still find its caller: it was perhaps only cut off. */
            bool dropped = serve->dropped;
            serve_abandon(core, serve);
            serve->dropped = dropped;
        }
    }
}

void session_free(struct rpc_core *core, struct session *session)
{
    struct list *node;
    while ((node = list_first(&session->kept)) != NULL)
        session_drop_kept(core, container_of(node, struct rpc_serve, kept));
    list_for_each_safe (large, &core->oversize) {
        struct rpc_serve *serve = container_of(large, struct rpc_serve, link);
        if (serve->session == session)
            session_drop_kept(core, serve);
    }
    list_for_each_safe (at, &session->live) {
        struct rpc_serve *serve = container_of(at, struct rpc_serve, live);
        serve->in_slot = false;
        if (!serve->cast)
            serve_abandon(core, serve);
        if (serve->state == SERVE_RETIRED)
            continue;
        /* It runs on, for nobody. */
        session->args_bytes -= serve->arg_len;
        session->live_n--;
        list_remove(&serve->live);
        list_append(&core->live, &serve->live);
        serve->session = NULL;
    }
    assert(session->live_n == 0);
    for (size_t i = 0; i < SLOT_CHUNKS_N; i++)
        core_free(session->chunks[i]);
    list_remove(&session->lru);
    core->sessions_n--;
    session->peer->session = NULL;
    peer_release(core, session->peer);
    core_free(session);
}

/* ---- frames ---- */

static void on_duplicate(struct rpc_core *core,
                         struct rpc_peer *peer,
                         const struct wire_call *head,
                         const struct serve_slot *slot)
{
    struct rpc_serve *serve = slot->serve;
    core->stats.duplicates++;
    if ((head->flags & WIRE_CALL_CAST) != 0)
        return;
    if (slot->refused != 0)
        answer_refused(core, peer, head->no, head->slot, slot->refused, refused_text);
    else if (serve == NULL)
        answer_unknown(core, peer, head->no, head->slot);
    else if (serve->state == SERVE_DONE)
        send_result(core, serve);
    else
        answer_ack(core, serve);
}

/*
 * It will not run this time. Where a copy that came before has run, NOT_EXECUTED would be a lie.
 */
static void refuse_new(struct rpc_core *core,
                       struct rpc_peer *peer,
                       const struct wire_call *head,
                       struct serve_slot *slot,
                       int code,
                       const char *text)
{
    if (!slot->ran)
        slot->refused = code;
    if ((head->flags & WIRE_CALL_CAST) != 0)
        return;
    if (slot->ran)
        answer_unknown(core, peer, head->no, head->slot);
    else
        answer_refused(core, peer, head->no, head->slot, code, text);
}

/* May it run? 0, or the code and text of the refusal. */
static int check_new(struct rpc_core *core,
                     const struct session *session,
                     const struct wire_call *head,
                     size_t arg_len,
                     struct rpc_export **fn_out,
                     uint64_t *deadline_ns_out,
                     const char **text_out)
{
    struct rpc_export *fn = export_find(core, head->fn_hash);
    if (fn == NULL) {
        *text_out =
            "this node does not offer the function; nothing ran; `kith fn ls` shows who does";
        return KITH_E_NO_FUNCTION;
    }
    if (head->signature != 0 && head->signature != fn->entry.signature_hash) {
        *text_out =
            arena_text(core,
                       "the call was made for the signature %s, but '%s' has %s; nothing "
                       "ran; pack the arguments for that one",
                       signature_name(core, head->signature), fn->desc.name,
                       fn->entry.signature[0] != '\0' ? fn->entry.signature : "none (plain bytes)");
        return KITH_E_SIGNATURE;
    }
    if (arg_len > core->config.body_bytes_max +
                      ((head->flags & WIRE_CALL_ITEM) != 0 ? RPC_ITEM_HEAD_BYTES : 0)) {
        *text_out = arena_text(core,
                               "the argument has %zu bytes and this node takes %u; nothing ran; "
                               "pass a reference to the data",
                               arg_len, core->config.body_bytes_max);
        return KITH_E_TOO_LARGE;
    }
    *fn_out = fn;
    *deadline_ns_out = head->remaining_ms == WIRE_NO_DEADLINE
                           ? UINT64_MAX
                           : core->now_ns + head->remaining_ms * NS_PER_MS;
    return serve_admit(core, fn, session, arg_len, *deadline_ns_out, text_out);
}

/* Copies a small argument; takes the frame's block over, or copies, for a large one. */
static int take_arg(struct rpc_core *core,
                    struct rpc_serve *serve,
                    const struct rpc_event *event,
                    const uint8_t *arg,
                    size_t len)
{
    serve->arg_len = len;
    if (len <= RPC_INLINE_BYTES) {
        copy_small(serve->data, arg, len);
        serve->arg = serve->data;
        return 0;
    }
    uint8_t *data = event->u.frame.owned;
    /* Typed values are used in place: they must lie as malloc would lay them. */
    if (((uintptr_t)arg & 7) != 0 && serve->exported->entry.signature_hash != 0)
        data = NULL;
    serve->arg = arg;
    if (data == NULL) {
        data = core_malloc(len);
        if (data == NULL)
            return KITH_E_MEMORY;
        memcpy(data, arg, len);
        serve->arg = data;
        serve->arg_block = block_new(core, data, len);
    } else {
        /* The block holds the whole frame; it is ours from here on, whatever comes. */
        core->out->owned_taken = true;
        serve->arg_block = block_new(core, data, len + (size_t)(arg - data));
    }
    return serve->arg_block != NULL ? 0 : KITH_E_MEMORY;
}

static void serve_call(struct rpc_core *core,
                       struct session *session,
                       const struct wire_call *head,
                       struct serve_slot *slot,
                       const struct rpc_event *event)
{
    const uint8_t *arg = event->u.frame.body + WIRE_CALL_BYTES;
    size_t arg_len = event->u.frame.len - WIRE_CALL_BYTES;
    struct rpc_peer *peer = session->peer;
    struct rpc_export *fn = NULL;
    uint64_t deadline_ns = UINT64_MAX;
    const char *text = "";
    int r = check_new(core, session, head, arg_len, &fn, &deadline_ns, &text);
    if (r != 0) {
        refuse_new(core, peer, head, slot, r, text);
        return;
    }
    struct rpc_serve *serve = serve_arrived(core, fn);
    if (serve != NULL)
        r = take_arg(core, serve, event, arg, arg_len);
    if (serve == NULL || r != 0) {
        if (serve != NULL)
            pool_give(&core->serves, serve);
        refuse_new(core, peer, head, slot, KITH_E_MEMORY,
                   "memory is short on the node; nothing ran; call another node");
        return;
    }
    serve->session = session;
    serve->caller = peer->id;
    serve->no = head->no;
    serve->slot = head->slot;
    serve->deadline_ns = deadline_ns;
    serve->cast = (head->flags & WIRE_CALL_CAST) != 0;
    serve->partials = (head->flags & WIRE_CALL_PARTIALS) != 0;
    serve->item = (head->flags & WIRE_CALL_ITEM) != 0;
    serve->in_slot = true;
    slot->serve = serve;
    serve_start(core, serve);
    if (serve->state == SERVE_QUEUED && !serve->cast)
        answer_ack(core, serve);
}

int session_on_call(struct rpc_core *core, struct rpc_peer *peer, const struct rpc_event *event)
{
    struct wire_call head;
    int r = wire_call_decode(&head, event->u.frame.body, event->u.frame.len);
    if (r != 0)
        return r;
    struct rpc_item item;
    if ((head.flags & WIRE_CALL_ITEM) != 0 &&
        !rpc_item_decode(&item, event->u.frame.body + WIRE_CALL_BYTES,
                         event->u.frame.len - WIRE_CALL_BYTES))
        return KITH_E_CORRUPT;
    if (head.target_boot != core->config.boot_no && !MUTANT(RPC_NO_TARGET_BOOT)) {
        struct wire_result result = answer_to(core, peer, head.no, head.slot);
        result.flags = WIRE_RESULT_OTHER_BOOT;
        result.code = KITH_E_NO_NODE;
        if ((head.flags & WIRE_CALL_CAST) == 0)
            answer(core, peer, &result, "the node was restarted since; call again");
        return 0;
    }
    struct session *session = session_get(core, peer);
    struct serve_slot *slot = session != NULL ? slot_get(session, head.slot) : NULL;
    if (slot == NULL) {
        /* Without a table nothing can be remembered, so a copy that came before must not be denied.
         */
        core->stats.busy++;
        if ((head.flags & WIRE_CALL_CAST) != 0)
            return 0;
        if ((head.flags & WIRE_CALL_RESEND) != 0)
            answer_unknown(core, peer, head.no, head.slot);
        else
            answer_refused(core, peer, head.no, head.slot, KITH_E_BUSY,
                           "the node has too many callers; nothing ran; call again later");
        return 0;
    }
    if (head.no < slot->no) {
        core->stats.duplicates++;
        return 0;
    }
    bool forgotten = slot->serve == NULL && slot->refused == 0 && MUTANT(RPC_FORGOTTEN_RUNS);
    if (head.no == slot->no && (forgotten || MUTANT(RPC_NO_DEDUPE))) {
        if (slot->serve != NULL)
            let_go(core, slot->serve);
        slot->again = true;
    }
    if (head.no == slot->no) {
        if (slot->again) {
            core->stats.duplicates++;
            slot->again = false;
            slot->ran = true;
            serve_call(core, session, &head, slot, event);
        } else {
            on_duplicate(core, peer, &head, slot);
        }
        return 0;
    }
    bool history_lost = slot->no == 0 && session->partial && (head.flags & WIRE_CALL_RESEND) != 0;
    if (slot->serve != NULL)
        let_go(core, slot->serve);
    note_low_water(core, session, head.low_water);
    *slot = (struct serve_slot){.no = head.no};
    if (history_lost)
        on_duplicate(core, peer, &head, slot);
    else
        serve_call(core, session, &head, slot, event);
    return 0;
}

int session_on_cancel(struct rpc_core *core, struct rpc_peer *peer, const uint8_t *body, size_t len)
{
    struct wire_cancel cancel;
    int r = wire_cancel_decode(&cancel, body, len);
    if (r != 0)
        return r;
    if (cancel.target_boot != core->config.boot_no)
        return 0;
    struct session *session = session_get(core, peer);
    struct serve_slot *slot = session != NULL ? slot_get(session, cancel.slot) : NULL;
    if (slot == NULL || cancel.no < slot->no)
        return 0;
    if (slot->serve != NULL)
        let_go(core, slot->serve);
    /* Also if the call itself is still on its way: it then comes as a duplicate and does not run.
     */
    if (cancel.no > slot->no)
        *slot = (struct serve_slot){.no = cancel.no};
    slot->again = false;
    return 0;
}

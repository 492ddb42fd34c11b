/*
 * What becomes of a call whose try failed: another try, a wait, or the end (protocols 5.6).
 *
 *   NOT_EXECUTED  by name    another node that has it: at once, or after a back-off if all are busy
 *                 named node only BUSY, after a back-off
 *   UNKNOWN                  only if the function is idempotent, after a back-off
 *   APP_ERROR                never
 *
 * Never for a cast or a call with no_retry, never past the deadline, and never more than one retry
 * for ten calls (a token bucket), so that retries cannot feed an overload.
 */
#include <stdio.h>
#include <string.h>

#include "core/mutant.h"
#include "rpc/actions.h"
#include "rpc/calls.h"
#include "rpc/names.h"
#include "rpc/peer.h"
#include "rpc/registry.h"
#include "rpc/select.h"

#define RETRY_COST_TENTHS 10

void call_note_tried(struct call *call, const struct kith_node_id *id)
{
    call->tried[call->tried_n++ % CALL_TRIED_MAX] = *id;
}

bool call_has_tried(const struct call *call, const struct kith_node_id *id)
{
    uint32_t n = call->tried_n < CALL_TRIED_MAX ? call->tried_n : CALL_TRIED_MAX;
    for (uint32_t i = 0; i < n; i++) {
        if (kith_node_id_equal(&call->tried[i], id))
            return true;
    }
    return false;
}

static bool budget_take(struct rpc_core *core)
{
    if (core->retry_tenths < RETRY_COST_TENTHS)
        return false;
    core->retry_tenths -= RETRY_COST_TENTHS;
    return true;
}

static bool is_idempotent(const struct call *call)
{
    if (call->idempotent)
        return true;
    for (size_t i = 0; i < call->fn->providers_n; i++) {
        if ((call->fn->providers[i]->flags & KITH_FN_IDEMPOTENT) != 0)
            return true;
    }
    return false;
}

/* Reasons that lie with the node that was asked, so that another may do better. */
static bool is_of_the_node(int code)
{
    switch (code) {
    case KITH_E_BUSY:
    case KITH_E_NO_FUNCTION:
    case KITH_E_NO_NODE:
    case KITH_E_UNREACHABLE:
    case KITH_E_STOPPED:
        return true;
    default:
        return false;
    }
}

enum verdict { RETRY_NOT, RETRY_AT_ONCE, RETRY_LATER };

static enum verdict
judge(struct rpc_core *core, const struct call *call, enum kith_outcome outcome, int code)
{
    if (call->no_retry || call->cast || core->stopped)
        return RETRY_NOT;
    if (outcome == KITH_OUTCOME_UNKNOWN) {
        bool given_up = code == KITH_E_TIMEOUT || code == KITH_E_CANCELED;
        if (given_up || (!is_idempotent(call) && !MUTANT(RPC_RETRY_UNKNOWN)))
            return RETRY_NOT;
        return call->to_node && code == KITH_E_NO_NODE ? RETRY_NOT : RETRY_LATER;
    }
    if (outcome != KITH_OUTCOME_NOT_EXECUTED || !is_of_the_node(code))
        return RETRY_NOT;
    if (call->to_node)
        return code == KITH_E_BUSY ? RETRY_LATER : RETRY_NOT;
    if (code == KITH_E_BUSY)
        return RETRY_LATER;
    return select_has_untried(core, call) ? RETRY_AT_ONCE : RETRY_NOT;
}

/* Names of the nodes asked, for a text. */
static const char *asked_names(struct rpc_core *core, const struct call *call)
{
    char text[512] = "";
    size_t at = 0;
    uint32_t n = call->tried_n < CALL_TRIED_MAX ? call->tried_n : CALL_TRIED_MAX;
    for (uint32_t i = 0; i < n; i++) {
        const struct rpc_peer *peer = mapid_find(&core->peers_by_id, &call->tried[i]);
        char digits[KITH_NODE_ID_DIGITS + 1];
        kith_node_id_text(&call->tried[i], digits);
        digits[8] = '\0';
        bool self = kith_node_id_equal(&call->tried[i], &core->config.self);
        const char *name = self                                    ? "this node"
                           : peer != NULL && peer->name[0] != '\0' ? peer->name
                                                                   : digits;
        int len = snprintf(text + at, sizeof(text) - at, "%s%s", i > 0 ? ", " : "", name);
        if (len < 0 || (size_t)len >= sizeof(text) - at)
            break;
        at += (size_t)len;
    }
    return arena_text(core, "%s", text);
}

static const char *advice(int code, enum kith_outcome outcome)
{
    if (outcome == KITH_OUTCOME_UNKNOWN)
        return "look before you call again unless it is idempotent";
    switch (code) {
    case KITH_E_BUSY:
        return "call again later, or start it on more nodes";
    case KITH_E_NO_NODE:
    case KITH_E_UNREACHABLE:
        return "`kith nodes` shows who is here";
    default:
        return "call again";
    }
}

static const char *final_text(struct rpc_core *core,
                              const struct call *call,
                              enum kith_outcome outcome,
                              int code,
                              const char *text)
{
    if (code == KITH_E_NO_FUNCTION)
        return arena_text(core, "call of '%s': no node asked offers it (asked: %s); %s",
                          call->fn->name, asked_names(core, call),
                          names_advice(core, call->fn->name));
    if (text == NULL)
        text = kith_strerror(code);
    /* Texts of nodes come whole; what we say ourselves gets its next step here. */
    const char *name = call->peer != NULL ? peer_name(core, call->peer) : "this node";
    if (strchr(text, ';') != NULL)
        return arena_text(core, "call of '%s' on %s: %s", call->fn->name, name, text);
    return arena_text(core, "call of '%s' on %s: %s; %s", call->fn->name, name, text,
                      advice(code, outcome));
}

void calls_try_failed(
    struct rpc_core *core, struct call *call, enum kith_outcome outcome, int code, const char *text)
{
    bool missing = outcome == KITH_OUTCOME_NOT_EXECUTED &&
                   (code == KITH_E_NO_FUNCTION || code == KITH_E_NO_NODE);
    enum verdict verdict = judge(core, call, outcome, code);
    if (verdict == RETRY_NOT && missing && call->wait_for_function && !core->stopped) {
        call_detach(core, call);
        call_wait_fn(core, call);
        return;
    }
    uint64_t at_ms = core->now_ms;
    if (verdict == RETRY_LATER)
        at_ms += backoff_ms(core, call->retries);
    bool in_time = call->deadline_ms == UINT64_MAX || at_ms < call->deadline_ms;
    if (verdict == RETRY_NOT || !in_time || !budget_take(core)) {
        call_end(core, call, outcome, code, (struct kith_bytes){0},
                 final_text(core, call, outcome, code, text));
        return;
    }
    if (outcome == KITH_OUTCOME_UNKNOWN)
        call->maybe_ran = true;
    call->retries++;
    core->stats.retries++;
    call_detach(core, call);
    if (verdict == RETRY_AT_ONCE) {
        call_arm(core, call);
        call_start(core, call);
    } else {
        timer_set(core, &call->timer, at_ms);
    }
}

/* ---- what happens to a node ---- */

static void
end_list(struct rpc_core *core, struct list *list, int code, const char *why, bool unsent)
{
    struct list taken;
    list_init(&taken);
    list_splice(&taken, list);
    struct list *node;
    while ((node = list_first(&taken)) != NULL) {
        struct call *call = container_of(node, struct call, link);
        /* Without link events, what met no address was given in a SEND and did not leave all the
         * same. */
        bool left = call->sends > 0;
        if (unsent && !core->config.link_events)
            left = call->link_broke;
        list_remove(node);
        list_append(list, node);
        if (unsent && left)
            continue;
        if (call->state == CALL_WAIT_SLOT)
            call_note_tried(call, &call->peer->id);
        if (left)
            calls_try_failed(
                core, call, KITH_OUTCOME_UNKNOWN, code,
                arena_text(core, "%s while the call was under way, so it may have run", why));
        else
            calls_try_failed(core, call, KITH_OUTCOME_NOT_EXECUTED, code,
                             arena_text(core,
                                        unsent ? "%s, so the call never left and nothing ran"
                                               : "%s before the call left, so nothing ran",
                                        why));
    }
}

void calls_end_peer(struct rpc_core *core, struct rpc_peer *peer, int code, const char *why)
{
    end_list(core, &peer->waiting, code, why, false);
    end_list(core, &peer->pending, code, why, false);
}

void calls_end_unsent(struct rpc_core *core, struct rpc_peer *peer, int code, const char *why)
{
    end_list(core, &peer->waiting, code, why, true);
    end_list(core, &peer->pending, code, why, true);
}

/* ---- refused by the channel ---- */

void call_note_send_failed(struct rpc_core *core, struct call *call)
{
    if (call->state != CALL_SENT || call->send_failed)
        return;
    call->send_failed = true;
    list_append(&core->send_failed, &call->failed_link);
    core->again = true;
}

void calls_on_send_failed(struct rpc_core *core)
{
    struct list *node;
    while ((node = list_first(&core->send_failed)) != NULL) {
        struct call *call = container_of(node, struct call, failed_link);
        struct rpc_peer *peer = call->peer;
        list_remove(node);
        call->send_failed = false;
        if (call->state != CALL_SENT)
            continue;
        if (--call->sends == 0) {
            calls_try_failed(core, call, KITH_OUTCOME_NOT_EXECUTED, KITH_E_BUSY,
                             "the queue of unsent bytes to it is full, so the call did not leave");
            continue;
        }
        /* An earlier copy may have arrived: this one is sent a little later. */
        call->state = CALL_WAIT_LINK;
        if (!peer->connect_timer.set && !peer->connect_timer.due)
            timer_set(core, &peer->connect_timer,
                      core->now_ms + backoff_ms(core, peer->connects_n++));
    }
}

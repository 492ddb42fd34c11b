/*
 * Invariants of a core, asserted by tests after each step. Slow on purpose: it recounts everything.
 */
#include <string.h>

#include "rpc/slots.h"
#include "rpc/state.h"

static size_t list_count(const struct list *list)
{
    size_t n = 0;
    list_for_each (node, list) {
        assert(node->next->prev == node);
        n++;
    }
    return n;
}

static void check_pending(const struct rpc_core *core, const struct rpc_peer *peer)
{
    uint64_t last = 0;
    uint32_t n = 0;
    list_for_each (node, &peer->pending) {
        const struct call *call = container_of(node, struct call, link);
        assert(call->state == CALL_SENT || call->state == CALL_WAIT_LINK);
        assert(call->peer == peer);
        assert(call->no > last); /* so that the first is the low water */
        assert(call->no <= core->call_no);
        assert(slot_call(peer, call->slot) == call);
        if (call->state == CALL_SENT)
            assert(call->sends > 0);
        last = call->no;
        n++;
    }
    assert(n == peer->in_flight);
    if (peer->slots != NULL)
        assert(peer->slots->used_n - peer->slots->free_n == n);
    if (!list_empty(&peer->waiting))
        assert(n == RPC_WINDOW_CALLS_MAX || list_linked(&peer->refill));
    list_for_each (node, &peer->waiting) {
        assert(container_of(node, struct call, link)->state == CALL_WAIT_SLOT);
    }
}

static void check_session(const struct rpc_core *core, const struct session *session)
{
    size_t kept_bytes = 0;
    size_t args_bytes = 0;
    list_for_each (node, &session->kept) {
        const struct rpc_serve *serve = container_of(node, struct rpc_serve, kept);
        assert(serve->state == SERVE_DONE);
        assert(serve->session == session);
        assert(serve->in_slot);
        assert(list_linked(&serve->aged));
        kept_bytes += sizeof(*serve) + (serve->reply_block != NULL ? serve->reply_len : 0);
    }
    assert(kept_bytes == session->kept_bytes);
    assert(kept_bytes <= RPC_RESULTS_KEPT_SESSION_BYTES_MAX);
    uint32_t live_n = 0;
    list_for_each (node, &session->live) {
        const struct rpc_serve *serve = container_of(node, struct rpc_serve, live);
        assert(serve->state == SERVE_QUEUED || serve->state == SERVE_RUNNING);
        assert(serve->session == session);
        args_bytes += serve->arg_len;
        live_n++;
    }
    assert(live_n == session->live_n);
    assert(args_bytes == session->args_bytes);
    for (size_t i = 0; i < RPC_WINDOW_CALLS_MAX; i++) {
        const struct serve_slot *chunk = session->chunks[i / SLOT_CHUNK];
        if (chunk == NULL || chunk[i % SLOT_CHUNK].serve == NULL)
            continue;
        const struct serve_slot *slot = &chunk[i % SLOT_CHUNK];
        assert(slot->serve->no == slot->no); /* one number a slot: it cannot run twice */
        assert(slot->serve->slot == i);
        assert(slot->serve->in_slot);
        assert(slot->refused == 0 || slot->serve->outcome == KITH_OUTCOME_NOT_EXECUTED);
    }
    (void)core;
}

static void check_exports(const struct rpc_core *core)
{
    size_t exports_n = 0;
    uint32_t queued_n = 0;
    const struct list *lists[2] = {&core->export_list, &core->withdrawn};
    for (int i = 0; i < 2; i++) {
        list_for_each (node, lists[i]) {
            const struct rpc_export *fn = container_of(node, struct rpc_export, link);
            assert(fn->withdrawn == (i == 1));
            assert(list_count(&fn->queue) == fn->queued);
            queued_n += fn->queued;
            if (!fn->withdrawn)
                exports_n++;
        }
    }
    assert(exports_n == core->exports_n);
    assert(queued_n == core->queued_n);
    assert(core->pooled_n <= core->config.workers);
    assert(core->pooled_n <= core->running_n);
}

static void check_tokens(const struct rpc_core *core)
{
    size_t n = 0;
    for (size_t i = 0; i < core->tokens_cap; i++) {
        for (const struct call *call = core->tokens[i]; call != NULL; call = call->token_next) {
            assert(call->state != CALL_FREE && call->state != CALL_ENDED &&
                   call->state != CALL_ENDING);
            /* Nothing waits for ever: a deadline, or asked to have none. */
            if (call->deadline_ms != UINT64_MAX)
                assert(call->timer.set || call->timer.due);
            n++;
        }
    }
    assert(n == core->calls_n);
    assert(n <= core->config.calls_pending_max);
}

void rpc_check(const struct rpc_core *core)
{
    size_t up_n = 0;
    size_t sessions_n = 0;
    size_t entries_n = 0;
    size_t args_bytes = 0;
    for (size_t i = 0; i < core->peers_n; i++) {
        const struct rpc_peer *peer = core->peers[i];
        assert(peer->at == i);
        up_n += peer->up;
        entries_n += peer->registry.entries_n;
        check_pending(core, peer);
        if (peer->session != NULL) {
            assert(peer->session->peer == peer);
            assert(peer->session->boot_no == peer->boot_no);
            check_session(core, peer->session);
            args_bytes += peer->session->args_bytes;
            sessions_n++;
        }
    }
    list_for_each (node, &core->live) {
        args_bytes += container_of(node, struct rpc_serve, live)->arg_len;
    }
    assert(args_bytes == core->args_bytes);
    assert(args_bytes <= RPC_ARGS_HELD_BYTES_MAX);
    assert(up_n == core->peers_up_n);
    assert(entries_n == core->entries_n);
    assert(sessions_n == core->sessions_n);
    assert(sessions_n <= RPC_SESSIONS_MAX);
    assert(core->kept_bytes <= RPC_RESULTS_KEPT_BYTES_MAX);
    check_exports(core);
    check_tokens(core);
    size_t at = 0;
    const struct fn *fn;
    while ((fn = map64_next(&core->fns, &at)) != NULL) {
        for (size_t i = 0; i < fn->providers_n; i++) {
            assert(fn->providers[i]->provider_at == i);
            assert(fn->providers[i]->fn == fn);
        }
    }
}

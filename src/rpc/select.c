#include "rpc/select.h"

#include <inttypes.h>
#include <string.h>

#include "rpc/actions.h"
#include "rpc/calls.h"
#include "rpc/export.h"
#include "rpc/names.h"
#include "rpc/peer.h"
#include "rpc/registry.h"

/* What was heard longer ago says nothing about now. */
#define LOAD_FRESH_NS (5000 * NS_PER_MS)
/* With more providers, two are drawn rather than all looked at. */
#define DRAW_ABOVE 16
#define DRAWS_MAX  16

static uint64_t load_of(const struct rpc_core *core, const struct rpc_peer *peer)
{
    if (peer == NULL)
        return (uint64_t)core->queued_n + core->running_n;
    uint64_t load = peer->in_flight;
    if (core->now_ns - peer->load_at_ns < LOAD_FRESH_NS)
        load += peer->load;
    return load;
}

static bool signature_fits(const struct call *call, const struct entry *entry)
{
    return call->signature == 0 || call->signature == entry->signature_hash;
}

/* Its owner wants it empty: it is not chosen, though it may be named. */
static bool is_drained(const struct rpc_core *core, const struct entry *entry)
{
    return entry->peer != NULL ? entry->peer->drained : core->drained;
}

static bool is_candidate(const struct rpc_core *core,
                         const struct call *call,
                         const struct entry *entry,
                         bool untried)
{
    if (entry->stale || !signature_fits(call, entry))
        return false;
    if (entry->peer != NULL && !entry->peer->up)
        return false;
    if (is_drained(core, entry))
        return false;
    if (!untried || call->tried_n == 0)
        return true;
    return !call_has_tried(call, entry->peer != NULL ? &entry->peer->id : &core->config.self);
}

/* Up to two different candidates, at random. */
static size_t
draw_two(struct rpc_core *core, const struct call *call, bool untried, struct entry *two[2])
{
    const struct fn *fn = call->fn;
    if (fn->providers_n > DRAW_ABOVE) {
        size_t n = 0;
        for (int i = 0; i < DRAWS_MAX && n < 2; i++) {
            struct entry *entry = fn->providers[rng_below(&core->rng, fn->providers_n)];
            if (is_candidate(core, call, entry, untried) && (n == 0 || two[0] != entry))
                two[n++] = entry;
        }
        if (n > 0)
            return n;
    }
    /* All of them: a reservoir of two. */
    size_t seen = 0;
    for (size_t i = 0; i < fn->providers_n; i++) {
        struct entry *entry = fn->providers[i];
        if (!is_candidate(core, call, entry, untried))
            continue;
        size_t at = seen < 2 ? seen : rng_below(&core->rng, seen + 1);
        if (at < 2)
            two[at] = entry;
        seen++;
    }
    if (seen > 1 && (rng_u64(&core->rng) & 1) != 0) {
        struct entry *first = two[0];
        two[0] = two[1];
        two[1] = first;
    }
    return seen < 2 ? seen : 2;
}

static bool choose(struct rpc_core *core, const struct call *call, bool untried, struct choice *out)
{
    struct entry *two[2];
    size_t n = draw_two(core, call, untried, two);
    if (n == 0)
        return false;
    struct entry *entry = two[0];
    if (n == 2 && load_of(core, two[1]->peer) < load_of(core, entry->peer))
        entry = two[1];
    *out = (struct choice){.peer = entry->peer, .exported = entry->exported};
    return true;
}

static int select_named(struct rpc_core *core,
                        const struct call *call,
                        struct rpc_peer *peer,
                        struct choice *out)
{
    *out = (struct choice){0};
    if (call->to_self) {
        const struct entry *own = fn_entry_of(call->fn, NULL);
        if (own == NULL)
            return KITH_E_NO_FUNCTION;
        out->exported = own->exported;
        return signature_fits(call, own) ? 0 : KITH_E_SIGNATURE;
    }
    if (peer == NULL)
        peer = mapid_find(&core->peers_by_id, &call->node);
    if (peer == NULL || !peer->up)
        return KITH_E_NO_NODE;
    out->peer = peer;
    /* Without an entry the registry may just be late: the node itself knows best. */
    if (call->signature == 0 && !call->wait_for_function)
        return 0;
    const struct entry *entry = fn_entry_of(call->fn, peer);
    if (entry == NULL || entry->stale)
        return call->wait_for_function ? KITH_E_NO_FUNCTION : 0;
    return signature_fits(call, entry) ? 0 : KITH_E_SIGNATURE;
}

int select_node(struct rpc_core *core,
                const struct call *call,
                struct rpc_peer *hint,
                struct choice *choice_out)
{
    if (call->to_node)
        return select_named(core, call, hint, choice_out);
    const struct fn *fn = call->fn;
    if (call->local_first) {
        const struct entry *own = fn_entry_of(fn, NULL);
        if (own != NULL && is_candidate(core, call, own, true)) {
            *choice_out = (struct choice){.exported = own->exported};
            return 0;
        }
    }
    if (fn->providers_n == 1 && is_candidate(core, call, fn->providers[0], false)) {
        *choice_out =
            (struct choice){.peer = fn->providers[0]->peer, .exported = fn->providers[0]->exported};
        return 0;
    }
    if (choose(core, call, true, choice_out) || choose(core, call, false, choice_out))
        return 0;
    for (size_t i = 0; i < fn->providers_n; i++) {
        if (!fn->providers[i]->stale && !signature_fits(call, fn->providers[i]))
            return KITH_E_SIGNATURE;
    }
    return KITH_E_NO_FUNCTION;
}

bool select_has_untried(struct rpc_core *core, const struct call *call)
{
    for (size_t i = 0; i < call->fn->providers_n; i++) {
        if (is_candidate(core, call, call->fn->providers[i], true))
            return true;
    }
    return false;
}

static const struct entry *drained_one(const struct rpc_core *core, const struct call *call)
{
    for (size_t i = 0; i < call->fn->providers_n; i++) {
        const struct entry *entry = call->fn->providers[i];
        if (!entry->stale && (entry->peer == NULL || entry->peer->up) && is_drained(core, entry))
            return entry;
    }
    return NULL;
}

static const char *signature_text(struct rpc_core *core, const struct call *call)
{
    const char *wanted = NULL;
    for (size_t i = 0; i < call->fn->providers_n && wanted == NULL; i++) {
        const struct entry *entry = call->fn->providers[i];
        if (!signature_fits(call, entry))
            wanted = entry->signature;
    }
    return arena_text(core,
                      "call of '%s': it was made for the signature %s, but the function has %s; "
                      "nothing ran; pack the arguments for that one",
                      call->fn->name, signature_name(core, call->signature),
                      wanted != NULL && wanted[0] != '\0' ? wanted : "none (plain bytes)");
}

const char *select_text(struct rpc_core *core, const struct call *call, int code)
{
    const char *name = call->fn->name;
    if (code == KITH_E_SIGNATURE)
        return signature_text(core, call);
    if (code == KITH_E_NO_NODE) {
        const struct rpc_peer *peer = mapid_find(&core->peers_by_id, &call->node);
        char digits[KITH_NODE_ID_DIGITS + 1];
        kith_node_id_text(&call->node, digits);
        return arena_text(core,
                          "call of '%s' on %s: the node is not alive; nothing ran; `kith nodes` "
                          "shows who is here",
                          name, peer != NULL ? peer_name(core, peer) : digits);
    }
    if (call->to_node)
        return arena_text(core, "call of '%s': this node does not have it; %s", name,
                          names_advice(core, name));
    const struct entry *drained = drained_one(core, call);
    if (drained != NULL)
        return arena_text(core,
                          "call of '%s': only nodes that are drained have it, such as %s; nothing "
                          "ran; `kith undrain` takes one back, or name the node that is to run it",
                          name,
                          drained->peer != NULL ? peer_name(core, drained->peer) : "this one");
    return arena_text(core, "call of '%s': no node has it (asked: the registry of %zu nodes); %s",
                      name, core->peers_up_n + 1, names_advice(core, name));
}

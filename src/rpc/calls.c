#include "rpc/calls.h"

#include <string.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/error.h"
#include "net/frame.h"
#include "rpc/actions.h"
#include "rpc/export.h"
#include "rpc/names.h"
#include "rpc/peer.h"
#include "rpc/registry.h"
#include "rpc/select.h"
#include "rpc/serve.h"
#include "rpc/slots.h"

#define TOKENS_MIN 256
/* Retry budget: each call earns a tenth of a retry; so many may be saved up. */
#define BUDGET_START_TENTHS (32 * 10)
#define BUDGET_MAX_TENTHS   (1024 * 10)

/* ---- tokens: chained hash, so that a call costs no allocation ---- */

int calls_init(struct rpc_core *core)
{
    pool_init(&core->calls, sizeof(struct call));
    pool_init(&core->blocks, sizeof(struct block));
    list_init(&core->ending);
    list_init(&core->ended);
    list_init(&core->send_failed);
    core->retry_tenths = BUDGET_START_TENTHS;
    core->tokens = core_calloc(TOKENS_MIN, sizeof(struct call *));
    if (core->tokens == NULL)
        return KITH_E_MEMORY;
    core->tokens_cap = TOKENS_MIN;
    return 0;
}

static size_t token_at(const struct rpc_core *core, uint64_t token)
{
    return (size_t)((token * 0x9e3779b97f4a7c15ull) >> 32) & (core->tokens_cap - 1);
}

static void grow_tokens(struct rpc_core *core)
{
    size_t cap_old = core->tokens_cap;
    struct call **old = core->tokens;
    struct call **tokens = core_calloc(cap_old * 2, sizeof(struct call *));
    if (tokens == NULL)
        return; /* chains get longer, that is all */
    core->tokens = tokens;
    core->tokens_cap = cap_old * 2;
    for (size_t i = 0; i < cap_old; i++) {
        while (old[i] != NULL) {
            struct call *call = old[i];
            old[i] = call->token_next;
            size_t at = token_at(core, call->token);
            call->token_next = tokens[at];
            tokens[at] = call;
        }
    }
    core_free(old);
}

static void token_add(struct rpc_core *core, struct call *call)
{
    if (core->calls_n >= core->tokens_cap)
        grow_tokens(core);
    size_t at = token_at(core, call->token);
    call->token_next = core->tokens[at];
    core->tokens[at] = call;
}

static struct call *token_find(const struct rpc_core *core, uint64_t token)
{
    struct call *call = core->tokens[token_at(core, token)];
    while (call != NULL && call->token != token)
        call = call->token_next;
    return call;
}

static void token_remove(struct rpc_core *core, struct call *call)
{
    struct call **at = &core->tokens[token_at(core, call->token)];
    while (*at != call)
        at = &(*at)->token_next;
    *at = call->token_next;
}

/* ---- the life of a call ---- */

static void call_free(struct rpc_core *core, struct call *call)
{
    if (call->send_failed)
        list_remove(&call->failed_link);
    block_unref(core, call->arg_block);
    call->state = CALL_FREE;
    pool_give(&core->calls, call);
}

void calls_recycle(struct rpc_core *core)
{
    struct list *node;
    while ((node = list_first(&core->ended)) != NULL) {
        list_remove(node);
        call_free(core, container_of(node, struct call, link));
    }
}

static void free_list(struct rpc_core *core, struct list *list)
{
    struct list *node;
    while ((node = list_first(list)) != NULL) {
        list_remove(node);
        call_free(core, container_of(node, struct call, link));
    }
}

void calls_deinit(struct rpc_core *core)
{
    if (core->tokens == NULL)
        return;
    for (size_t i = 0; i < core->tokens_cap; i++) {
        while (core->tokens[i] != NULL) {
            struct call *call = core->tokens[i];
            core->tokens[i] = call->token_next;
            call_detach(core, call);
            fn_unref(core, call->fn);
            call_free(core, call);
        }
    }
    free_list(core, &core->ending);
    free_list(core, &core->ended);
    core_free(core->tokens);
    core->tokens = NULL;
    pool_deinit(&core->calls);
}

void call_arm(struct rpc_core *core, struct call *call)
{
    if (call->deadline_ms != UINT64_MAX)
        timer_set(core, &call->timer, call->deadline_ms);
    else
        timer_cancel(core, &call->timer);
}

/* Slots came free: the calls that waited longest take them. Not from call_end(): casts would nest.
 */
void calls_refill(struct rpc_core *core)
{
    struct list *node;
    while ((node = list_first(&core->refill)) != NULL) {
        struct rpc_peer *peer = container_of(node, struct rpc_peer, refill);
        list_remove(node);
        while ((node = list_first(&peer->waiting)) != NULL && slot_is_free(peer)) {
            struct call *call = container_of(node, struct call, link);
            list_remove(node);
            call->state = CALL_BACKOFF;
            call->peer = NULL;
            call_start(core, call);
        }
    }
}

void call_detach(struct rpc_core *core, struct call *call)
{
    struct rpc_peer *peer = call->peer;
    switch (call->state) {
    case CALL_WAIT_LINK:
    case CALL_SENT:
        assert(peer != NULL);
        slot_give(peer, call);
        peer->in_flight--;
        list_remove(&call->link);
        if (!list_empty(&peer->waiting) && !list_linked(&peer->refill))
            list_append(&core->refill, &peer->refill);
        break;
    case CALL_WAIT_SLOT:
    case CALL_WAIT_FN:
        list_remove(&call->link);
        break;
    case CALL_LOCAL:
        if (call->serve != NULL)
            serve_abandon(core, call->serve);
        call->serve = NULL;
        break;
    default:
        break;
    }
    timer_cancel(core, &call->timer);
    call->state = CALL_BACKOFF;
    call->peer = NULL;
    if (peer != NULL && !peer->up)
        peer_release(core, peer);
}

static void give_complete(struct rpc_core *core, struct call *call)
{
    struct rpc_action *action = action_add(core, RPC_COMPLETE);
    if (action == NULL) {
        /* Given with the next step; what its texts point to is gone by then. */
        call->result.text = call->result.code < 0 ? kith_strerror(call->result.code) : "";
        call->result.node_name = "";
        call->state = CALL_ENDING;
        list_append(&core->ending, &call->link);
        return;
    }
    action->token = call->token;
    action->result = &call->result;
    call->state = CALL_ENDED;
    list_append(&core->ended, &call->link);
}

void calls_flush(struct rpc_core *core)
{
    struct list *node;
    while ((node = list_first(&core->ending)) != NULL && action_room(core)) {
        list_remove(node);
        give_complete(core, container_of(node, struct call, link));
    }
}

static void count_outcome(struct rpc_core *core, enum kith_outcome outcome)
{
    switch (outcome) {
    case KITH_OUTCOME_OK:
        core->stats.calls_ok++;
        break;
    case KITH_OUTCOME_APP_ERROR:
        core->stats.calls_app_error++;
        break;
    case KITH_OUTCOME_NOT_EXECUTED:
        core->stats.calls_not_executed++;
        break;
    case KITH_OUTCOME_UNKNOWN:
        core->stats.calls_unknown++;
        break;
    }
}

void call_end(struct rpc_core *core,
              struct call *call,
              enum kith_outcome outcome,
              int code,
              struct kith_bytes data,
              const char *text)
{
    struct rpc_peer *peer = call->peer;
    struct kith_result *result = &call->result;
    /* A try that certainly did not run does not undo an earlier one that may have. */
    if (outcome == KITH_OUTCOME_NOT_EXECUTED && call->maybe_ran)
        outcome = KITH_OUTCOME_UNKNOWN;
    *result = (struct kith_result){
        .outcome = outcome,
        .code = code,
        .data = data.data,
        .len = data.len,
        .text = text,
        .node_name = "",
        .elapsed_ns = core->now_ns - call->started_ns,
    };
    if (peer != NULL) {
        result->node = peer->id;
        result->node_name = peer_name(core, peer);
    } else if (call->state == CALL_LOCAL) {
        result->node = core->config.self;
        if (core->config.self_name != NULL)
            result->node_name = core->config.self_name;
    } else if (call->tried_n > 0) {
        result->node = call->tried[(call->tried_n - 1) % CALL_TRIED_MAX];
        struct rpc_peer *last = mapid_find(&core->peers_by_id, &result->node);
        if (last != NULL)
            result->node_name = peer_name(core, last);
    }
    call_detach(core, call);
    token_remove(core, call);
    fn_unref(core, call->fn);
    call->fn = NULL;
    core->calls_n--;
    count_outcome(core, outcome);
    give_complete(core, call);
}

/* ---- sending ---- */

static uint32_t remaining_ms(const struct rpc_core *core, const struct call *call)
{
    if (call->deadline_ms == UINT64_MAX)
        return WIRE_NO_DEADLINE;
    if (call->deadline_ms <= core->now_ms)
        return 0;
    uint64_t ms = call->deadline_ms - core->now_ms;
    return ms < WIRE_NO_DEADLINE ? (uint32_t)ms : WIRE_NO_DEADLINE - 1;
}

/* False if the output has no room: it then waits for the next step. */
static bool call_send(struct rpc_core *core, struct call *call)
{
    struct rpc_peer *peer = call->peer;
    if (!action_room(core)) {
        peer->want_send = true;
        return false;
    }
    const struct call *oldest = container_of(peer->pending.next, struct call, link);
    struct wire_call head = {
        .no = call->no,
        .low_water = oldest->no,
        .target_boot = peer->boot_no,
        .fn_hash = call->fn->hash,
        .signature = call->signature,
        .remaining_ms = remaining_ms(core, call),
        .slot = call->slot,
        .flags =
            (uint8_t)((call->cast ? WIRE_CALL_CAST : 0) |
                      (call->partials ? WIRE_CALL_PARTIALS : 0) |
                      (call->item ? WIRE_CALL_ITEM : 0) | (call->sends > 0 ? WIRE_CALL_RESEND : 0)),
    };
    wire_call_encode(&head, call->head);
    struct rpc_action *action = action_send(core, peer, FRAME_CALL, call->head, sizeof(call->head));
    action_body(action, call->arg, call->arg_len, call->arg_block);
    action->call = call;
    call->state = CALL_SENT;
    call->sends++;
    if (call->cast)
        call_end(core, call, KITH_OUTCOME_OK, 0, (struct kith_bytes){0}, "");
    return true;
}

void calls_send_pending(struct rpc_core *core, struct rpc_peer *peer)
{
    peer->want_send = false;
    list_for_each_safe (node, &peer->pending) {
        struct call *call = container_of(node, struct call, link);
        if (call->state == CALL_WAIT_LINK && !call_send(core, call))
            return;
    }
}

void calls_resume(struct rpc_core *core)
{
    for (size_t i = 0; i < core->peers_n; i++) {
        struct rpc_peer *peer = core->peers[i];
        if (peer->want_send && peer_can_send(core, peer))
            calls_send_pending(core, peer);
    }
}

void calls_link_lost(struct rpc_peer *peer, bool was_open)
{
    list_for_each (node, &peer->pending) {
        struct call *call = container_of(node, struct call, link);
        if (was_open && call->sends > 0)
            call->link_broke = true;
        call->state = CALL_WAIT_LINK;
    }
}

/* ---- choosing whom to ask ---- */

static void ask_peer(struct rpc_core *core, struct call *call, struct rpc_peer *peer)
{
    call->peer = peer;
    int r = slot_take(peer, call);
    if (r == KITH_E_LIMIT) {
        call->state = CALL_WAIT_SLOT;
        list_append(&peer->waiting, &call->link);
        return;
    }
    if (r != 0) {
        call->peer = NULL;
        calls_try_failed(core, call, KITH_OUTCOME_NOT_EXECUTED, r, NULL);
        return;
    }
    call_note_tried(call, &peer->id);
    call->no = ++core->call_no;
    call->sends = 0;
    call->link_broke = false;
    call->state = CALL_WAIT_LINK;
    peer->in_flight++;
    list_append(&peer->pending, &call->link);
    if (peer_can_send(core, peer))
        call_send(core, call);
    else
        peer_connect(core, peer);
}

static void ask_self(struct rpc_core *core, struct call *call, struct rpc_export *fn)
{
    call_note_tried(call, &core->config.self);
    call->peer = NULL;
    call->state = CALL_LOCAL;
    const char *text = NULL;
    int r = serve_local(core, call, fn, &text);
    if (r != 0)
        calls_try_failed(core, call, KITH_OUTCOME_NOT_EXECUTED, r, text);
}

static void ask(struct rpc_core *core, struct call *call, const struct choice *choice)
{
    if (choice->peer != NULL)
        ask_peer(core, call, choice->peer);
    else
        ask_self(core, call, choice->exported);
}

/* Chooses a node and asks it; or ends the call, or lets it wait for its function. */
void call_start(struct rpc_core *core, struct call *call)
{
    struct choice choice;
    struct rpc_peer *hint = call->peer;
    call->peer = NULL;
    int r = select_node(core, call, hint, &choice);
    if (r == 0) {
        ask(core, call, &choice);
        return;
    }
    if (call->wait_for_function && (r == KITH_E_NO_FUNCTION || r == KITH_E_NO_NODE)) {
        call_wait_fn(core, call);
        return;
    }
    call_end(core, call, KITH_OUTCOME_NOT_EXECUTED, r, (struct kith_bytes){0},
             select_text(core, call, r));
}

void call_wait_fn(struct rpc_core *core, struct call *call)
{
    call->state = CALL_WAIT_FN;
    call->peer = NULL;
    call->tried_n = 0;
    list_append(&call->fn->waiters, &call->link);
    call_arm(core, call);
}

void calls_wake(struct rpc_core *core, struct fn *fn)
{
    struct list waiters;
    list_init(&waiters);
    list_splice(&waiters, &fn->waiters);
    struct list *node;
    fn->refs++;
    while ((node = list_first(&waiters)) != NULL) {
        struct call *call = container_of(node, struct call, link);
        list_remove(node);
        call->state = CALL_BACKOFF;
        call_start(core, call);
    }
    fn_unref(core, fn);
}

void calls_wake_node(struct rpc_core *core, const struct rpc_peer *peer)
{
    for (size_t i = 0; i < peer->registry.entries_n; i++)
        calls_wake(core, peer->registry.entries[i]->fn);
}

/* ---- events ---- */

static int take_arg(struct rpc_core *core, struct call *call, const struct rpc_call *spec)
{
    call->arg_len = spec->arg.len;
    call->arg_block = NULL;
    if (spec->arg.len <= RPC_INLINE_BYTES) {
        if (spec->arg.len > 0)
            copy_small(call->data, spec->arg.data, spec->arg.len);
        call->arg = call->data;
        core_free(spec->arg_owned);
        return 0;
    }
    uint8_t *data = spec->arg_owned;
    if (data == NULL) {
        data = core_malloc(spec->arg.len);
        if (data == NULL)
            return KITH_E_MEMORY;
        memcpy(data, spec->arg.data, spec->arg.len);
        call->arg = data;
    } else {
        call->arg = spec->arg.data;
    }
    call->arg_block = block_new(core, data, spec->arg.len);
    return call->arg_block != NULL ? 0 : KITH_E_MEMORY;
}

static int check_call(struct rpc_core *core, const struct rpc_call *spec)
{
    if (core->stopped)
        return kith_fail_with(KITH_E_STOPPED, "call of '%s': this node is stopping; start it again",
                              spec->fn);
    if (spec->arg.len > core->config.body_bytes_max + (spec->item ? RPC_ITEM_HEAD_BYTES : 0))
        return kith_fail_with(
            KITH_E_TOO_LARGE,
            "call of '%s': the argument has %zu bytes and the limit is %u; pass a "
            "reference to the data, or raise rpc.body_bytes_max on all nodes",
            spec->fn, spec->arg.len, core->config.body_bytes_max);
    if (core->calls_n >= core->config.calls_pending_max)
        return kith_fail_with(KITH_E_LIMIT,
                              "call of '%s': %zu calls are under way, which is the limit; wait for "
                              "some to end",
                              spec->fn, core->calls_n);
    return 0;
}

int calls_on_call(struct rpc_core *core, const struct rpc_call *spec)
{
    assert(spec->token != 0);
    int r = check_call(core, spec);
    struct fn *fn = NULL;
    struct call *call = NULL;
    if (r == 0)
        r = fn_get(core, spec->fn_hash != 0 ? spec->fn_hash : rpc_name_hash(spec->fn), spec->fn,
                   &fn);
    if (r == 0 && (call = pool_take(&core->calls)) == NULL) {
        fn_unref(core, fn);
        r = KITH_E_MEMORY;
    }
    if (r != 0) {
        core_free(spec->arg_owned);
        return r;
    }
    zero_fast(call, offsetof(struct call, tried));
    r = take_arg(core, call, spec);
    if (r != 0) {
        fn_unref(core, fn);
        pool_give(&core->calls, call);
        return r;
    }
    call->fn = fn;
    call->timer.kind = TIMER_CALL;
    call->token = spec->token;
    call->started_ns = core->now_ns;
    uint64_t timeout_ms = spec->timeout_ms == 0 ? RPC_TIMEOUT_DEFAULT_MS : spec->timeout_ms;
    call->deadline_ms =
        timeout_ms > UINT64_MAX - 1 - core->now_ms ? UINT64_MAX : core->now_ms + timeout_ms;
    call->signature = spec->signature;
    call->to_node = spec->to_node;
    call->node = spec->node;
    call->to_self = spec->to_node && kith_node_id_equal(&spec->node, &core->config.self);
    call->idempotent = spec->idempotent;
    call->no_retry = spec->no_retry || spec->cast;
    call->cast = spec->cast;
    call->wait_for_function = spec->wait_for_function;
    call->partials = spec->partials;
    call->item = spec->item;
    call->local_first = spec->select == KITH_SELECT_LOCAL_FIRST;
    call->state = CALL_BACKOFF;
    if (spec->signature != 0)
        signature_remember(core, spec->signature, spec->signature_text);
    token_add(core, call);
    core->calls_n++;
    core->stats.calls_made++;
    if (core->retry_tenths < BUDGET_MAX_TENTHS)
        core->retry_tenths++;
    call_arm(core, call);
    call->peer = spec->to_node && spec->peer != NULL && spec->peer->up ? spec->peer : NULL;
    call_start(core, call);
    return 0;
}

static void send_cancel(struct rpc_core *core, const struct call *call)
{
    if (call->state != CALL_SENT || call->cast)
        return;
    assert(call->peer != NULL);
    if (!peer_can_send(core, call->peer))
        return;
    uint8_t *head = arena_alloc(&core->arena, WIRE_CANCEL_BYTES);
    if (head == NULL)
        return; /* advisory */
    struct wire_cancel cancel = {
        .no = call->no, .target_boot = call->peer->boot_no, .slot = call->slot};
    wire_cancel_encode(&cancel, head);
    action_send(core, call->peer, FRAME_CANCEL, head, WIRE_CANCEL_BYTES);
}

/* Gives up: what this try comes to is what is known without an answer. */
static void give_up(struct rpc_core *core, struct call *call, int code, const char *what)
{
    bool ran;
    if (call->state == CALL_LOCAL)
        ran = call->serve != NULL && call->serve->state == SERVE_RUNNING;
    else
        ran = (call->state == CALL_SENT || call->state == CALL_WAIT_LINK) && call->sends > 0;
    const char *name = call->peer != NULL ? peer_name(core, call->peer) : NULL;
    const char *text;
    if (ran || call->maybe_ran)
        text =
            arena_text(core,
                       "call of '%s'%s%s: %s, and it may have run there; look before you "
                       "call again unless it is idempotent",
                       call->fn->name, name != NULL ? " on " : "", name != NULL ? name : "", what);
    else if (call->state == CALL_WAIT_FN)
        text = arena_text(core,
                          "call of '%s': %s while it waited for %s; nothing ran; start a node "
                          "that has it, or wait longer",
                          call->fn->name, what,
                          call->to_node ? "the node to have it" : "a node that has it");
    else
        text =
            arena_text(core,
                       "call of '%s'%s%s: %s before it could start; nothing ran; call again "
                       "with more time",
                       call->fn->name, name != NULL ? " on " : "", name != NULL ? name : "", what);
    send_cancel(core, call);
    call_end(core, call, ran ? KITH_OUTCOME_UNKNOWN : KITH_OUTCOME_NOT_EXECUTED, code,
             (struct kith_bytes){0}, text);
}

void calls_on_cancel(struct rpc_core *core, uint64_t token)
{
    struct call *call = token_find(core, token);
    if (call != NULL)
        give_up(core, call, KITH_E_CANCELED, "it was cancelled");
}

void calls_on_timer(struct rpc_core *core, struct call *call)
{
    if (call->deadline_ms <= core->now_ms) {
        give_up(core, call, KITH_E_TIMEOUT, "the deadline passed");
        return;
    }
    assert(call->state == CALL_BACKOFF);
    call_arm(core, call);
    call_start(core, call);
}

void calls_hurry(struct rpc_core *core, const struct kith_node_id *id)
{
    for (size_t i = 0; i < core->tokens_cap; i++) {
        for (struct call *call = core->tokens[i], *next; call != NULL; call = next) {
            next = call->token_next;
            if (call->state != CALL_BACKOFF || !call->to_node ||
                !kith_node_id_equal(&call->node, id))
                continue;
            timer_cancel(core, &call->timer);
            calls_on_timer(core, call);
        }
    }
}

void calls_on_stop(struct rpc_core *core)
{
    for (size_t i = 0; i < core->tokens_cap; i++) {
        while (core->tokens[i] != NULL)
            give_up(core, core->tokens[i], KITH_E_STOPPED, "this node is stopping");
    }
}

/* ---- answers ---- */

static const char *body_text(struct rpc_core *core, const uint8_t *data, size_t len)
{
    if (len >= RPC_ERROR_TEXT_BYTES_MAX)
        len = RPC_ERROR_TEXT_BYTES_MAX - 1;
    char *text = arena_alloc(&core->arena, len + 1);
    if (text == NULL)
        return kith_strerror(KITH_E_MEMORY);
    if (len > 0)
        memcpy(text, data, len);
    text[len] = '\0';
    for (size_t i = strlen(text); i < len; i += strlen(text + i))
        text[i] = ' ';
    return text;
}

static void on_refused(struct rpc_core *core,
                       struct call *call,
                       const struct wire_result *result,
                       const char *text)
{
    struct rpc_peer *peer = call->peer;
    enum kith_outcome outcome = (enum kith_outcome)result->outcome;
    int code = result->code;
    if ((result->flags & WIRE_RESULT_OTHER_BOOT) != 0) {
        code = KITH_E_NO_NODE;
        /* This copy did not run; another one, on an earlier link, may have met the boot it named.
         */
        outcome = call->sends > 1 ? KITH_OUTCOME_UNKNOWN : KITH_OUTCOME_NOT_EXECUTED;
    } else if (code >= 0) {
        code = outcome == KITH_OUTCOME_UNKNOWN ? KITH_E_UNKNOWN_OUTCOME : KITH_E_NOT_EXECUTED;
    }
    if (code == KITH_E_NO_FUNCTION) {
        struct entry *entry = fn_entry_of(call->fn, peer);
        if (entry != NULL)
            entry->stale = true;
        registry_distrust(core, peer);
    }
    calls_try_failed(core, call, outcome, code, text);
}

/* Typed values are used in place: they must lie as malloc would lay them. */
static struct kith_bytes aligned(struct rpc_core *core, struct call *call, struct kith_bytes data)
{
    if (((uintptr_t)data.data & 7) == 0)
        return data;
    uint8_t *copy = data.len <= RPC_INLINE_BYTES ? call->data : arena_alloc(&core->arena, data.len);
    if (copy == NULL)
        return data; /* kith_unpack() then says so */
    memcpy(copy, data.data, data.len);
    return (struct kith_bytes){.data = copy, .len = data.len};
}

int calls_on_result(struct rpc_core *core, struct rpc_peer *peer, const uint8_t *body, size_t len)
{
    struct wire_result result;
    int r = wire_result_decode(&result, body, len);
    if (r != 0)
        return r;
    peer->load = result.load;
    peer->load_at_ns = core->now_ns;
    struct call *call = slot_call(peer, result.slot);
    if (call == NULL || call->no != result.no || result.boot != (uint32_t)core->config.boot_no)
        return 0; /* given up meanwhile, or a duplicate */
    if (call->sends == 0)
        return KITH_E_CORRUPT; /* an answer to what was never asked */
    peer->connects_n = 0;
    struct kith_bytes data = {.data = body + WIRE_RESULT_BYTES, .len = len - WIRE_RESULT_BYTES};
    if (result.outcome == KITH_OUTCOME_OK) {
        if (call->signature != 0)
            data = aligned(core, call, data);
        call_end(core, call, KITH_OUTCOME_OK, 0, data, "");
        return 0;
    }
    const char *text = body_text(core, data.data, data.len);
    if (result.outcome == KITH_OUTCOME_APP_ERROR) {
        call_end(core, call, KITH_OUTCOME_APP_ERROR, result.code, data, text);
    } else {
        on_refused(core, call, &result, text);
    }
    return 0;
}

int calls_on_ack(struct rpc_core *core, struct rpc_peer *peer, const uint8_t *body, size_t len)
{
    struct wire_ack ack;
    int r = wire_ack_decode(&ack, body, len);
    if (r != 0)
        return r;
    peer->load = ack.load;
    peer->load_at_ns = core->now_ns;
    peer->connects_n = 0;
    return 0;
}

int calls_on_partial(struct rpc_core *core, struct rpc_peer *peer, const uint8_t *body, size_t len)
{
    struct wire_partial partial;
    int r = wire_partial_decode(&partial, body, len);
    if (r != 0)
        return r;
    struct call *call = slot_call(peer, partial.slot);
    if (call == NULL || call->no != partial.no || partial.boot != (uint32_t)core->config.boot_no ||
        !call->partials)
        return 0;
    struct rpc_action *action = action_add(core, RPC_PARTIAL_IN);
    if (action != NULL) {
        action->token = call->token;
        action->body =
            (struct kith_bytes){.data = body + WIRE_PARTIAL_BYTES, .len = len - WIRE_PARTIAL_BYTES};
    }
    return 0;
}

void calls_local_done(struct rpc_core *core,
                      struct call *call,
                      enum kith_outcome outcome,
                      int code,
                      struct kith_bytes reply)
{
    call->serve = NULL;
    if (outcome == KITH_OUTCOME_OK) {
        call_end(core, call, outcome, 0, reply, "");
        return;
    }
    const char *text = body_text(core, reply.data, reply.len);
    if (outcome == KITH_OUTCOME_APP_ERROR)
        call_end(core, call, outcome, code, reply, text);
    else
        calls_try_failed(core, call, outcome, code, text);
}

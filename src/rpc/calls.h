/*
 * The calls this node makes: from the request to exactly one COMPLETE.
 *
 * A call makes tries. A try asks one node, under a number of its own and in a slot of that node's
 * window. What a try comes to is certain (answered; never left) or UNKNOWN; a certain "not run" may
 * be tried again elsewhere, an UNKNOWN only if the function is idempotent (calls_retry.c).
 */
#ifndef RPC_CALLS_H
#define RPC_CALLS_H

#include "rpc/state.h"

int calls_init(struct rpc_core *core);
void calls_deinit(struct rpc_core *core);
/* Gives the calls that ended in the last step back. */
void calls_recycle(struct rpc_core *core);
/* Lets calls that wait for a slot have those that came free. */
void calls_refill(struct rpc_core *core);
/* Gives COMPLETE for those that did not fit the output before. */
void calls_flush(struct rpc_core *core);

/* ---- events ---- */

int calls_on_call(struct rpc_core *core, const struct rpc_call *spec);
void calls_on_cancel(struct rpc_core *core, uint64_t token);
int calls_on_result(struct rpc_core *core, struct rpc_peer *peer, const uint8_t *body, size_t len);
int calls_on_ack(struct rpc_core *core, struct rpc_peer *peer, const uint8_t *body, size_t len);
int calls_on_partial(struct rpc_core *core, struct rpc_peer *peer, const uint8_t *body, size_t len);
void calls_on_timer(struct rpc_core *core, struct call *call);
void calls_on_stop(struct rpc_core *core);
/* The channel refused its SEND: taken up by calls_on_send_failed() in the next step. */
void call_note_send_failed(struct rpc_core *core, struct call *call);
void calls_on_send_failed(struct rpc_core *core);

/* ---- what happens to a node ---- */

/* Every call of @peer ends: NOT_EXECUTED if it never left, else UNKNOWN. @why: "it has failed". */
void calls_end_peer(struct rpc_core *core, struct rpc_peer *peer, int code, const char *why);
/* Those that never left end as NOT_EXECUTED. */
/* Calls to this node that wait for their next try need not wait: it is gone. */
void calls_hurry(struct rpc_core *core, const struct kith_node_id *id);
void calls_end_unsent(struct rpc_core *core, struct rpc_peer *peer, int code, const char *why);
/* What was sent has to be sent again. @was_open: there was a link, so it may have arrived. */
void calls_link_lost(struct rpc_peer *peer, bool was_open);
void calls_send_pending(struct rpc_core *core, struct rpc_peer *peer);
/* Goes on with what did not fit the output before. */
void calls_resume(struct rpc_core *core);
/* Calls that wait for a function, or for this node, look again. */
void calls_wake(struct rpc_core *core, struct fn *fn);
void calls_wake_node(struct rpc_core *core, const struct rpc_peer *peer);

/* ---- what happens to a local call; may start its next try ---- */

void calls_local_done(struct rpc_core *core,
                      struct call *call,
                      enum kith_outcome outcome,
                      int code,
                      struct kith_bytes reply);
/* The try ended without an answer of the function. */
void calls_try_failed(struct rpc_core *core,
                      struct call *call,
                      enum kith_outcome outcome,
                      int code,
                      const char *text);

/* ---- between calls.c and calls_retry.c ---- */

void call_start(struct rpc_core *core, struct call *call);
void call_end(struct rpc_core *core,
              struct call *call,
              enum kith_outcome outcome,
              int code,
              struct kith_bytes data,
              const char *text);
/* Takes it out of whatever list it waits in and gives its slot back. */
void call_detach(struct rpc_core *core, struct call *call);
/* Its deadline, as the only thing its timer waits for. */
void call_arm(struct rpc_core *core, struct call *call);
/* Waits for its function in fn->waiters. */
void call_wait_fn(struct rpc_core *core, struct call *call);
void call_note_tried(struct call *call, const struct kith_node_id *id);
bool call_has_tried(const struct call *call, const struct kith_node_id *id);

#endif

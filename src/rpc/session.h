/*
 * What the calls of one boot of one peer have come to: the dedupe table (protocols 5.6).
 *
 * A slot knows the newest number it has seen. A smaller one is stale: its caller has finished with
 * it. An equal one is a duplicate and is answered from the table; if the result was dropped it is
 * answered UNKNOWN. Only a greater one runs. So no number runs twice, whatever the network does.
 */
#ifndef RPC_SESSION_H
#define RPC_SESSION_H

#include "rpc/state.h"

int session_on_call(struct rpc_core *core, struct rpc_peer *peer, const struct rpc_event *event);
int session_on_cancel(struct rpc_core *core,
                      struct rpc_peer *peer,
                      const uint8_t *body,
                      size_t len);

/* What was sent in the last step is let go of, or kept if the channel refused it. */
void sessions_settle_sent(struct rpc_core *core);
/* The result of @serve is set: sends it and keeps it for duplicates. */
void session_result(struct rpc_core *core, struct rpc_serve *serve);
/* @serve was queued and will not run. */
void session_refuse(struct rpc_core *core, struct rpc_serve *serve, int code, const char *text);
/* Takes a DONE one out of the tables. A duplicate is then answered UNKNOWN. */
void session_drop_kept(struct rpc_core *core, struct rpc_serve *serve);
/* The caller has failed or left: what waits will not run, what runs is told. */
void session_caller_gone(struct rpc_core *core, struct session *session);
void session_free(struct rpc_core *core, struct session *session);
/* Results older than RPC_RESULT_KEPT_MS go. */
void sessions_age(struct rpc_core *core);
uint64_t sessions_age_deadline_ms(const struct rpc_core *core);
/* Results too large to keep go with the next step, unless the channel has refused them. */
void sessions_drop_oversize(struct rpc_core *core);
/* The channel refused the SEND of a result. */
void session_note_send_failed(struct rpc_core *core, struct rpc_serve *serve);
/* Likewise of an answer that has none: a refusal, or UNKNOWN. */
void session_note_answer_failed(struct rpc_core *core, const struct rpc_action *action);
void sessions_send_unsent(struct rpc_core *core);

#endif

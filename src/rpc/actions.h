/*
 * The output of a step: actions, and the memory their texts and bodies live in until the next one.
 */
#ifndef RPC_ACTIONS_H
#define RPC_ACTIONS_H

#include "rpc/state.h"

/* Actions that always fit, without growing: what one ordinary event can cause. */
#define ACTIONS_RESERVED 64

/* The next action, zeroed but for its type; NULL if memory is short (core->again is then set). */
struct rpc_action *action_add(struct rpc_core *core, enum rpc_action_type type);
/* True if one more action fits for certain. */
bool action_room(struct rpc_core *core);
/* A SEND to @peer. */
struct rpc_action *action_send(struct rpc_core *core,
                               struct rpc_peer *peer,
                               uint8_t frame_type,
                               const void *head,
                               size_t head_len);
/* A frame of the control class whose whole body is @data (of this step). */
bool action_send_control(
    struct rpc_core *core, struct rpc_peer *peer, uint8_t frame_type, const void *data, size_t len);
/* Sets the body: @block (one more reference is taken) or else borrowed bytes. */
void action_body(struct rpc_action *action, const void *data, size_t len, struct block *block);

/* A formatted text until the next step; a static one if memory is short. */
const char *arena_text(struct rpc_core *core, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Takes @data (malloc'ed) over; NULL if memory is short, @data is then freed. */
struct block *block_new(struct rpc_core *core, uint8_t *data, size_t len);
void block_unref(struct rpc_core *core, struct block *block); /* NULL is fine */

/* ---- timers ---- */

void timer_set(struct rpc_core *core, struct timer *timer, uint64_t at_ms);
void timer_cancel(struct rpc_core *core, struct timer *timer);

#endif

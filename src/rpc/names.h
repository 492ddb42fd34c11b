/*
 * Function names: their hash and the nearest known one.
 */
#ifndef RPC_NAMES_H
#define RPC_NAMES_H

#include "rpc/state.h"

/* "; did you mean 'x'?" or the advice to list them, for the end of a text about an unknown name. */
const char *names_advice(struct rpc_core *core, const char *name);

#endif

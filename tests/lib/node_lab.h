/*
 * Programs of one cluster in this process, with keys in memory and ports given by the kernel: what
 * the tests of the public functions start from.
 */
#ifndef TESTS_LIB_NODE_LAB_H
#define TESTS_LIB_NODE_LAB_H

#include <stdatomic.h>

#include "kith.h"
#include "lib/test.h"

#define LAB_WAIT_MS 20000

/* A configuration of the lab's cluster. The caller frees it. */
struct kith_config *lab_config(const char *name);
/* Starts a node that joins @first (NULL: the first one) and waits until both see each other. */
struct kith_node *lab_start(const char *name, struct kith_node *first);
/*
 * Agents of the lab's cluster, which vote and keep variables, in directories of their own:
 * @n of them (7 at most) that make the first view together. Waits until all see one another and can
 * write a variable. lab_agents_stop() removes the directories, too.
 */
void lab_agents_start(struct kith_node **nodes, unsigned n);
void lab_agents_stop(struct kith_node **nodes, unsigned n);
/* The data directory of agent @i, from 0. Static. */
const char *lab_agent_dir(unsigned i);
/* Starts the only one of them again, which was stopped. */
struct kith_node *lab_agent_again(void);
/* "127.0.0.1:port" of @node. */
void lab_address(struct kith_node *node, char *out, size_t bytes);

/* Asks every few milliseconds, for LAB_WAIT_MS at most. */
bool lab_wait(bool (*ready)(void *arg), void *arg);
/* Waits until *@counter is @wanted or more. */
bool lab_wait_count(_Atomic unsigned *counter, unsigned wanted);
void lab_nap(void); /* between two looks at something */

/* kith_export(); fails the test with the sentence if it does not return 0. */
void lab_offer(struct kith_node *node, const char *name, kith_fn fn, uint32_t flags, void *user);
/* Waits until @node knows that @n nodes have @fn. */
void lab_wait_function(struct kith_node *node, const char *fn, size_t n);
/* Options that wait for the function, LAB_WAIT_MS at most. */
struct kith_call_options lab_soon(void);

/* Replies with its argument. */
int lab_echo(struct kith_ctx *ctx, const void *arg, size_t len, void *user);
/* Runs until it is cancelled; counts itself in the _Atomic unsigned at @user, if not NULL. */
int lab_until_cancelled(struct kith_ctx *ctx, const void *arg, size_t len, void *user);

#endif

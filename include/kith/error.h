/*
 * Error codes and their texts.
 *
 * Codes are negative and lie outside libuv's ranges, so that the library can pass both along. Each
 * has a name ("KITH_E_TIMEOUT") and a one-line text; the sentence with the thing, the cause and
 * the next step is kith_errmsg().
 */
#ifndef KITH_ERROR_H
#define KITH_ERROR_H

#include <kith/api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* XX(NAME, number, text) */
#define KITH_ERROR_MAP(XX)                                                                         \
    XX(MEMORY, 1, "out of memory")                                                                 \
    XX(INVALID, 2, "invalid argument")                                                             \
    XX(NAME, 3, "not a valid name")                                                                \
    XX(TOO_LARGE, 4, "larger than its limit")                                                      \
    XX(LIMIT, 5, "a limit of this node is reached")                                                \
    XX(BUSY, 6, "the queue is full, nothing was executed")                                         \
    XX(TIMEOUT, 7, "timed out")                                                                    \
    XX(CANCELED, 8, "cancelled")                                                                   \
    XX(NOT_FOUND, 9, "no such thing")                                                              \
    XX(EXISTS, 10, "exists already")                                                               \
    XX(NO_FUNCTION, 11, "no node offers this function")                                            \
    XX(NO_NODE, 12, "no such node, or it is not alive")                                            \
    XX(SIGNATURE, 13, "the function has another signature")                                        \
    XX(NOT_EXECUTED, 14, "the call was certainly not executed")                                    \
    XX(UNKNOWN_OUTCOME, 15, "the call may or may not have been executed")                          \
    XX(APP, 16, "the function reported an error")                                                  \
    XX(WOULD_DEADLOCK, 17, "a synchronous call on the loop thread would deadlock")                 \
    XX(STOPPED, 18, "the node is stopped or stopping")                                             \
    XX(IN_USE, 19, "in use by another process")                                                    \
    XX(PERMISSION, 20, "not allowed")                                                              \
    XX(NO_CLUSTER, 21, "no cluster in this data directory")                                        \
    XX(OTHER_CLUSTER, 22, "the peer belongs to another cluster")                                   \
    XX(SECRET, 23, "the peer has another cluster secret")                                          \
    XX(VERSION, 24, "the peer speaks an incompatible protocol version")                            \
    XX(IO, 25, "input or output failed")                                                           \
    XX(CORRUPT, 26, "damaged data")                                                                \
    XX(PARSE, 27, "cannot be parsed")                                                              \
    XX(UNSUPPORTED, 28, "not supported")                                                           \
    XX(MODULE, 29, "the module cannot be loaded")                                                  \
    XX(NO_AGENT, 30, "no agent answers")                                                           \
    XX(UNREACHABLE, 31, "no address of the node answers")                                          \
    XX(AGAIN, 32, "not now, try again")                                                            \
    XX(NO_QUORUM, 33, "not enough nodes reachable")                                                \
    XX(INTERNAL, 34, "internal error")                                                             \
    XX(TYPE, 35, "the variable has another type")                                                  \
    XX(FENCE, 36, "a later holder of the mutex has been here")

#define KITH_ERROR_BASE 10000

enum kith_error {
#define XX(name, number, text) KITH_E_##name = -(KITH_ERROR_BASE + (number)),
    KITH_ERROR_MAP(XX)
#undef XX
};

/* One-line text of @code; for libuv's codes libuv's text. Never NULL; static or thread-local. */
KITH_API const char *kith_strerror(int code);

/* Symbolic name of @code, such as "KITH_E_TIMEOUT". Never NULL; static. */
KITH_API const char *kith_error_name(int code);

/*
 * What the last failing call on this thread had to say: the thing, the cause and the next step.
 * Never NULL, empty if nothing failed yet. Valid until the next kith call on this thread.
 */
KITH_API const char *kith_errmsg(void);

#ifdef __cplusplus
}
#endif

#endif

/*
 * kith: a peer-to-peer distributed runtime.
 *
 * This header includes the whole public API. Nothing outside include/kith is public.
 * C11 and C++11 can include it; it pulls in no header of another library.
 *
 * Conventions that hold everywhere:
 *  - Functions return 0 or a positive count on success and a negative KITH_E_* code on failure;
 *    kith_strerror() names a code, kith_errmsg() gives the sentence (what, why, what to do next)
 *    of the last failure on the calling thread.
 *  - `const` pointers are borrowed for the duration of the call and copied where they are needed
 *    longer, unless the contract of the function says otherwise.
 *  - Any function may be called from any thread unless its contract says otherwise.
 *  - Callbacks run on the node's loop thread and must not block (debug builds warn after 10 ms).
 *    From inside a callback every asynchronous function may be called; synchronous ones return
 *    KITH_E_WOULD_DEADLOCK.
 */
#ifndef KITH_H
#define KITH_H

#include <kith/api.h>
#include <kith/dvar.h>
#include <kith/error.h>
#include <kith/fs.h>
#include <kith/module.h>
#include <kith/mutex.h>
#include <kith/name.h>
#include <kith/node.h>
#include <kith/rpc.h>

#endif

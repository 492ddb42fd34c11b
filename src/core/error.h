/*
 * The error sentence of the current thread.
 */
#ifndef CORE_ERROR_H
#define CORE_ERROR_H

#include "kith/error.h"

/*
 * Sets the sentence that kith_errmsg() gives on this thread (cut at 1,023 bytes) and returns @code.
 * Write: the thing, the cause, the next step.
 * The arguments may hold kith_errmsg() itself.
 */
int kith_fail_with(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * What to do about @errnum of a file or directory, as the end of a sentence ("; free some space
 * there ..."); "" where there is nothing to say. Static.
 */
const char *core_errno_advice(int errnum);

/*
 * Who names the codes between 0 and -KITH_ERROR_BASE (libuv's): the core knows no libuv, so the
 * room that does sets uv_strerror here. NULL turns it off.
 */
void core_set_foreign_strerror(const char *(*text_of)(int code));

/* Clears it. */
void kith_errmsg_clear(void);

#endif

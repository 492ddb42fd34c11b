/*
 * The error sentence of the current thread and the trail of file and line.
 */
#ifndef CORE_ERROR_H
#define CORE_ERROR_H

#include "kith/error.h"

/*
 * Sets the sentence that kith_errmsg() gives on this thread (cut at 1,023 bytes) and returns @code.
 * Write: the thing, the cause, the next step.
 */
int kith_fail_with(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Clears it. */
void kith_errmsg_clear(void);

#endif

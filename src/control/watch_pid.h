/*
 * Is told when another process ends. watch_pid_linux.c is Linux'. Loop thread only.
 */
#ifndef CONTROL_WATCH_PID_H
#define CONTROL_WATCH_PID_H

#include <stdint.h>
#include <uv.h>

struct watch_pid;

/*
 * Calls @ended once, on the loop, when the process @pid has ended, unless the watch is closed
 * before. 0; KITH_E_NOT_FOUND (no such process); KITH_E_UNSUPPORTED; KITH_E_MEMORY.
 */
int watch_pid_open(uv_loop_t *loop,
                   int64_t pid,
                   void (*ended)(void *user),
                   void *user,
                   struct watch_pid **watch_out);
/* Frees it in its own time. NULL is fine. May be called from @ended. */
void watch_pid_close(struct watch_pid *watch);

#endif

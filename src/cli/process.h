/* What differs between systems about processes; process_linux.c is Linux'. */
#ifndef CLI_PROCESS_H
#define CLI_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* In a child after fork(): it is killed when the process @parent, that forked it, dies, however
 * that dies. */
void process_die_with_parent(pid_t parent);

/*
 * The process that listens on the Unix socket at @path, found without asking it, so that a stopped
 * one is found too. 0 or -1 (nobody listens).
 */
int process_of_socket(const char *path, pid_t *pid_out);

/* A handle that a reused pid cannot fool. -1 and errno if there is no such process. */
int process_open(pid_t pid);
/* 0 or -1 and errno (ESRCH: gone). */
int process_signal(int process, int signal_no);
/* Waits until it has ended, reaped or not. True if it has. */
bool process_wait_gone(int process, uint64_t timeout_ms);

#endif

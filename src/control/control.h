/*
 * The control socket of a node (docs/protocols/control.md). Its verbs are in one dispatcher
 * (control/request.h), which other doors may use as well.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "kith.h"

/*
 * Opens the socket at @socket_path (mode 0600) and offers sys.control, by which other nodes ask
 * for what only this node knows. A stale socket is removed: the caller holds the lock of the data
 * directory. It closes with the node. Any thread but the loop's.
 *
 * Returns 0; KITH_E_TOO_LARGE (a path over 107 bytes; says what to do); KITH_E_IO; KITH_E_MEMORY.
 */
int control_open(struct kith_node *node, const char *socket_path);

/* Exit code of the command for an error code (the table in control.md). */
int control_exit_of(int code);

#endif

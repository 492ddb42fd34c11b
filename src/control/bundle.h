/* All that a node knows of itself, in one file, for who looks into a trouble. */
#ifndef CONTROL_BUNDLE_H
#define CONTROL_BUNDLE_H

#include "core/bytes.h"
#include "node/node.h"

/*
 * Appends a tar file to @tar: what verbs answer that ask nobody else, the log, and a README that
 * lists them. No secret, token or password is in it; names, addresses and paths are. @name_out
 * gets the name of its folder, "kith-NODE-TIME". Loop thread.
 *
 * 0; KITH_E_MEMORY; KITH_E_TOO_LARGE (above CONTROL_DATA_BYTES_MAX).
 */
#define CONTROL_BUNDLE_NAME_BYTES 100
int control_bundle(struct kith_node *node,
                   struct buf *tar,
                   char name_out[CONTROL_BUNDLE_NAME_BYTES]);

#endif

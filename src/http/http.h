/*
 * The node's API over HTTP and WebSocket, and its pages (docs/protocols/http.md): the dispatcher
 * of src/control behind another door.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "kith.h"

/*
 * Serves @node where its configuration says (web.listen): sets node_web() to the address. It ends
 * with the node. Where nothing was said and no port is free the node runs without, and its log says
 * so. Any thread but the loop's, after control_open().
 *
 * Returns 0 (also with "off"); KITH_E_IN_USE, KITH_E_IO (certificate), KITH_E_INVALID,
 * KITH_E_MEMORY, KITH_E_UNSUPPORTED (this build has no pages).
 */
int http_open(struct kith_node *node);

#endif

/* Outcomes of calls as the agent tells them (docs/protocols/control.md, call). */
#ifndef CLI_REPLY_H
#define CLI_REPLY_H

#include <jansson.h>
#include <stdbool.h>

/* Adds the reply's bytes: "data" if they are UTF-8, else "data_base64". 0 or -1 (memory). */
int reply_add_data(json_t *doc, const void *data, size_t len);
bool reply_is_ok(json_t *result);
/* Exit code of a call with this outcome. */
int reply_exit(json_t *result);

#endif

/* Verbs of this room, for the command: web.info, web.link, web.token, user.*. */
#ifndef HTTP_VERBS_H
#define HTTP_VERBS_H

#include "control/request.h"

extern const struct control_verb http_verbs[];

#endif

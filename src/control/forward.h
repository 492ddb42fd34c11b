/*
 * Asking another node: a verb with a target is sent there as a call of sys.control, whose argument
 * and results are lines of the control protocol.
 */
#ifndef CONTROL_FORWARD_H
#define CONTROL_FORWARD_H

#include "control/request.h"

struct control_server;

#define CONTROL_FUNCTION "sys.control"

/* Passes @request on to @target. False if @target is this node: then it is done here. */
bool control_forward(struct control_request *request, const char *target);
/* Offers sys.control. As kith_export(). */
int control_export(struct control_server *server);
/* Ends what other nodes have asked. */
void control_forward_stop(struct control_server *server);

#endif

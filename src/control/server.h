/* What the files of the control socket share. Loop thread only. */
#ifndef CONTROL_SERVER_H
#define CONTROL_SERVER_H

#include <uv.h>

#include "control/request.h"
#include "core/limits.h"
#include "node/node.h"

struct control_server {
    struct node_service service;
    uv_pipe_t pipe;
    char *path;
    struct list clients;
    unsigned clients_n;
    struct list asked_here; /* requests of other nodes under way */
    uv_timer_t stop_timer;  /* for clients that do not read their last answer */
    unsigned handles_n;
    struct list served; /* functions that clients serve (verbs_serve.c) */
    struct list puts;   /* files that clients bring piece by piece (verbs_fs_stream.c) */
    uint64_t puts_no;
    bool stopping;
};

/* The control server of @node: there is one while requests run. */
struct control_server *control_server_of(struct kith_node *node);

#endif

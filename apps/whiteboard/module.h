/* The module of boards: one place for each node that has loaded it. */
#ifndef WHITEBOARD_MODULE_H
#define WHITEBOARD_MODULE_H

struct kith_node;

/* As a module's start and stop (kith/module.h). */
int wb_start(struct kith_node *node);
void wb_stop(struct kith_node *node);

#endif

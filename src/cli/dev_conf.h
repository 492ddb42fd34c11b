/* The configuration file that kith dev writes for a node. */
#ifndef CLI_DEV_CONF_H
#define CLI_DEV_CONF_H

#include <stdbool.h>
#include <stddef.h>

struct cli;
struct dev_node;

/* True if the module @name is beside the command, or where modules are installed. */
bool dev_has_module(const char *name);

/*
 * Writes DIR/K/kith.conf unless it is there (it may have been edited), or when settings were given.
 * @nodes_n: how many nodes begin together. 0 or an exit code.
 */
int dev_conf_write(struct cli *cli, const struct dev_node *node, size_t nodes_n);

#endif

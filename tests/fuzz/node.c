#include "fuzz/node.h"

#include <stdlib.h>

#include "control/control.h"
#include "lib/node_lab.h"
#include "node/node.h"

static struct kith_node *node;

static void stop(void)
{
    lab_agents_stop(&node, 1);
}

struct kith_node *fuzz_node(void)
{
    if (node == NULL) {
        char path[256];
        lab_agents_start(&node, 1);
        (void)snprintf(path, sizeof(path), "%s/kith.sock",
                       kith_config_get(node_config(node), "node.data_dir"));
        assert_int_equal(control_open(node, path), 0);
        (void)atexit(stop);
    }
    return node;
}

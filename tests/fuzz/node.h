/*
 * A node for fuzz targets that need a whole one: an agent alone in its cluster, started with the
 * first input, stopped at the end.
 */
#ifndef TESTS_FUZZ_NODE_H
#define TESTS_FUZZ_NODE_H

#include "kith.h"

struct kith_node *fuzz_node(void);

#endif

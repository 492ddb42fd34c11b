/*
 * The inside of the view core.
 */
#ifndef VIEW_INTERNAL_H
#define VIEW_INTERNAL_H

#include <assert.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/error.h"
#include "core/lease.h"
#include "core/mutant.h"
#include "core/rng.h"
#include "view/view.h"

struct view_core {
    struct view_config config;
    uint64_t now_ms;
    bool started;
    struct view_action *actions;
    size_t actions_n, actions_cap;
    struct placement placement;
    struct view_stats stats;
};

#endif

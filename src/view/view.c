/*
 * Life of the core, one step, its timers.
 */
#include "view/internal.h"

int view_new(struct view_core **core_out, const struct view_config *config)
{
    if (config->self.boot_no == 0)
        return kith_fail_with(KITH_E_INVALID, "a node without boot number has no view");
    struct view_core *core = core_calloc(1, sizeof(*core));
    if (core == NULL)
        return KITH_E_MEMORY;
    core->config = *config;
    *core_out = core;
    return 0;
}

void view_free(struct view_core *core)
{
    if (core == NULL)
        return;
    core_free(core->actions);
    core_free(core);
}

int view_step(struct view_core *core, const struct view_event *event, struct view_output *out)
{
    core->now_ms = event->now_ms;
    core->actions_n = 0;
    if (event->type == VIEW_START)
        core->started = true;
    *out = (struct view_output){.actions = core->actions, .actions_n = core->actions_n};
    return 0;
}

uint64_t view_deadline_ms(const struct view_core *core)
{
    return core->started ? core->now_ms + 1000 : UINT64_MAX;
}

const struct placement *view_placement(const struct view_core *core)
{
    return &core->placement;
}

void view_check(const struct view_core *core)
{
    assert(core->placement.keepers_n <= PLACEMENT_MEMBERS_MAX);
}

void view_stats(const struct view_core *core, struct view_stats *stats_out)
{
    *stats_out = core->stats;
}

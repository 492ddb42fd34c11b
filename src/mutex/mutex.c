#include "mutex/mutex.h"

#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "kith/error.h"

struct mutex_core {
    struct mutex_config config;
    struct mutex_stats stats;
    struct mutex_action action;
};

int mutex_new(struct mutex_core **core_out, const struct mutex_config *config)
{
    if (boot_id_is_none(&config->self))
        return KITH_E_INVALID;
    struct mutex_core *core = core_calloc(1, sizeof(*core));
    if (core == NULL)
        return KITH_E_MEMORY;
    core->config = *config;
    *core_out = core;
    return 0;
}

void mutex_free(struct mutex_core *core)
{
    core_free(core);
}

int mutex_step(struct mutex_core *core, const struct mutex_event *event, struct mutex_output *out)
{
    *out = (struct mutex_output){.actions = &core->action};
    if (event->type == MUTEX_ACQUIRE) {
        core->action = (struct mutex_action){.type = MUTEX_ENDED,
                                             .waiter = event->u.acquire.waiter,
                                             .code = KITH_E_NO_QUORUM,
                                             .text = "no record of the mutex can be read yet"};
        out->actions_n = 1;
    } else if (event->type == MUTEX_RELEASE || event->type == MUTEX_CANCEL) {
        out->code = KITH_E_NOT_FOUND;
        out->text = "nothing is held";
    }
    return 0;
}

uint64_t mutex_deadline_ms(const struct mutex_core *core)
{
    (void)core;
    return UINT64_MAX;
}

void mutex_check(const struct mutex_core *core)
{
    assert(!boot_id_is_none(&core->config.self));
}

uint64_t mutex_holds(const struct mutex_core *core, uint64_t waiter, uint64_t now_ms)
{
    (void)core;
    (void)waiter;
    (void)now_ms;
    return 0;
}

bool mutex_next(struct mutex_core *core, size_t *at, uint64_t now_ms, struct mutex_info *info_out)
{
    (void)core;
    (void)at;
    (void)now_ms;
    (void)info_out;
    return false;
}

void mutex_stats(const struct mutex_core *core, struct mutex_stats *stats_out)
{
    *stats_out = core->stats;
}

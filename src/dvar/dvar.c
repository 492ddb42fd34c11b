#include "dvar/dvar.h"

#include "core/alloc.h"
#include "core/error.h"

struct dvar_core {
    struct dvar_config config;
};

int dvar_new(struct dvar_core **core_out, const struct dvar_config *config)
{
    struct dvar_core *core = core_calloc(1, sizeof(*core));
    *core_out = core;
    if (core == NULL)
        return kith_fail_with(KITH_E_MEMORY, "memory is short for variables; free some");
    core->config = *config;
    return 0;
}

void dvar_free(struct dvar_core *core)
{
    core_free(core);
}

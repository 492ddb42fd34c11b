#include "rpc/names.h"

#include <sodium.h>
#include <string.h>

#include "core/bytes.h"
#include "core/text.h"
#include "rpc/actions.h"

uint64_t rpc_name_hash(const char *name)
{
    uint8_t digest[16];
    crypto_generichash(digest, sizeof(digest), (const uint8_t *)name, strlen(name), NULL, 0);
    uint64_t hash = get_le64(digest);
    return hash != 0 ? hash : 1;
}

const char *rpc_nearest_name(const struct rpc_core *core, const char *name)
{
    /* As near as text_nearest() wants it, without an array of all names. */
    size_t len = strlen(name);
    unsigned best = len / 3 > 0 ? (unsigned)(len / 3) : 1;
    const char *nearest = NULL;
    size_t at = 0;
    const struct fn *fn;
    while ((fn = map64_next(&core->fns, &at)) != NULL) {
        if (fn->providers_n == 0 || strcmp(fn->name, name) == 0)
            continue;
        unsigned distance = text_distance(name, fn->name);
        bool better = nearest == NULL
                          ? distance <= best
                          : distance < best || (distance == best && strcmp(fn->name, nearest) < 0);
        if (better) {
            best = distance;
            nearest = fn->name;
        }
    }
    return nearest;
}

const char *names_advice(struct rpc_core *core, const char *name)
{
    const char *nearest = rpc_nearest_name(core, name);
    if (nearest != NULL)
        return arena_text(core, "did you mean '%s'?", nearest);
    return "`kith fn ls` lists all functions";
}

const char *kith_outcome_text(enum kith_outcome outcome)
{
    switch (outcome) {
    case KITH_OUTCOME_OK:
        return "OK";
    case KITH_OUTCOME_APP_ERROR:
        return "APP_ERROR";
    case KITH_OUTCOME_NOT_EXECUTED:
        return "NOT_EXECUTED";
    case KITH_OUTCOME_UNKNOWN:
        return "UNKNOWN";
    }
    return "?";
}

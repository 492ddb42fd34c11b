#include "core/placement.h"

#include <sodium.h>

#include "core/bytes.h"

uint32_t placement_slot_of(const char *name, size_t len)
{
    uint8_t hash[crypto_generichash_BYTES_MIN];

    crypto_generichash(hash, sizeof(hash), (const uint8_t *)name, len, NULL, 0);
    uint32_t hash_slot = get_le32(hash) % PLACEMENT_HASH_SLOTS;
    return hash_slot / (PLACEMENT_HASH_SLOTS / PLACEMENT_SLOTS);
}

const struct placement_keeper *placement_keeper_find(const struct placement *placement,
                                                     uint32_t member_id)
{
    for (uint32_t i = 0; i < placement->keepers_n; i++) {
        if (placement->keepers[i].member_id == member_id)
            return &placement->keepers[i];
    }
    return NULL;
}

const struct placement_keeper *placement_keeper_of(const struct placement *placement,
                                                   const struct boot_id *boot)
{
    for (uint32_t i = placement->keepers_n; i > 0; i--) {
        if (boot_id_equal(&placement->keepers[i - 1].boot, boot))
            return &placement->keepers[i - 1];
    }
    return NULL;
}

bool placement_config_has(const struct placement_config *config, uint32_t member_id)
{
    for (uint8_t i = 0; i < config->replicas_n; i++) {
        if (config->replicas[i] == member_id)
            return true;
    }
    return false;
}

const struct placement_keeper *placement_home(const struct placement *placement, uint32_t slot)
{
    const struct placement_config *active = &placement->slots[slot].active;

    if (active->slot_epoch == 0 || active->replicas_n == 0)
        return NULL;
    const struct placement_keeper *home = placement_keeper_find(placement, active->replicas[0]);
    return home != NULL && !placement_keeper_over(home) ? home : NULL;
}

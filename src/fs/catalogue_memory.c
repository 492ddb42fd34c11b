/*
 * Records: in blocks, by number.
 */
#include "fs/catalogue_internal.h"

static bool records_more(struct fs_catalogue *core)
{
    size_t cap = core->record_blocks_cap;
    uint32_t first = core->record_blocks_n * FS_RECORDS_BLOCK;
    if (first + FS_RECORDS_BLOCK > 1u << FS_RECORD_REF_BITS)
        return false;
    bool room = fsc_grow(core, &core->record_blocks, &cap, core->record_blocks_n,
                         sizeof(struct fs_record *));
    core->record_blocks_cap = (uint32_t)cap;
    struct fs_record *block =
        room ? slab_alloc(&core->slab, sizeof(*block) * FS_RECORDS_BLOCK) : NULL;
    if (block == NULL)
        return false;
    core->record_blocks[core->record_blocks_n++] = block;
    for (uint32_t i = FS_RECORDS_BLOCK; i-- > 0;)
        if (first + i != 0)
            fsc_record_free(core, first + i);
    return true;
}

uint32_t fsc_record_alloc(struct fs_catalogue *core)
{
    if (core->record_free == 0 && !records_more(core)) {
        core->error = KITH_E_MEMORY;
        return 0;
    }
    uint32_t ref = core->record_free;
    struct fs_record *record = fsc_at(core, ref);
    core->record_free = record->next;
    record->next = 0;
    return ref;
}

void fsc_record_free(struct fs_catalogue *core, uint32_t ref)
{
    struct fs_record *record = fsc_at(core, ref);
    *record = (struct fs_record){.next = core->record_free & ((1u << FS_RECORD_REF_BITS) - 1)};
    core->record_free = ref;
}

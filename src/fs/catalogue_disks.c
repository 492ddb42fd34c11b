/*
 * Which disks count. A node has one: of several that were its, over time, the one whose index was
 * begun last; what the others said is as if they were forgotten. The node itself knows that it is
 * the living one, and begins a new index if a former one of its seems later (a clock that was
 * ahead).
 */
#include "fs/catalogue_internal.h"

static void forget(struct fs_catalogue *core, struct fs_disk *disk)
{
    uint64_t highest = disk->highest;
    if (!fsc_pass_begin(core, disk))
        return;
    disk->highest = highest;
    disk->forgotten = true;
    fsc_pull_end(core, disk);
    disk->sources_n = 0;
    list_remove(&disk->wanting);
    fsc_pass_end(core, disk);
    fsc_persist_head(core, disk, highest);
}

void fsc_forget(struct fs_catalogue *core, const struct kith_node_id *node)
{
    for (uint32_t i = 1; i < core->disks_n; i++) {
        struct fs_disk *disk = core->disks[i];
        if (disk != core->own && disk->known && !disk->forgotten && fsc_is_of(core, disk, node))
            forget(core, disk);
    }
}

static bool is_later(const struct fs_disk *a, uint64_t index_id, const struct fs_disk *b)
{
    if (index_id != b->index_id)
        return index_id > b->index_id;
    return memcmp(a->id.bytes, b->id.bytes, FS_DISK_BYTES) > 0;
}

bool fsc_is_superseded(struct fs_catalogue *core, struct fs_disk *disk, const struct fs_head *head)
{
    bool of_self = kith_node_id_equal(&head->node, &core->config.self.node);
    struct fs_disk *last = of_self ? core->own : mapid_find(&core->node_map, &head->node);
    if (last == NULL || last == disk || last->forgotten)
        return false;
    bool later = is_later(disk, head->index_id, last);
    if (of_self && later && last->whole)
        fsc_renew(core, head->index_id, 0);
    if (later && !of_self)
        return false;
    if (disk->known && !disk->forgotten)
        forget(core, disk);
    return true;
}

void fsc_supersede(struct fs_catalogue *core, struct fs_disk *disk)
{
    struct kith_node_id node = fsc_node_of(core, disk->no);
    struct fs_disk *last = mapid_find(&core->node_map, &node);
    if (last == disk)
        return;
    if (last != NULL && !last->forgotten && !is_later(disk, disk->index_id, last)) {
        forget(core, disk);
        return;
    }
    for (uint32_t i = 1; i < core->disks_n; i++) {
        struct fs_disk *other = core->disks[i];
        if (other != disk && other->known && !other->forgotten && fsc_is_of(core, other, &node))
            forget(core, other); /* what is here of it may be less than all */
    }
    if (mapid_set(&core->node_map, &node, disk) != 0)
        core->error = KITH_E_MEMORY;
}

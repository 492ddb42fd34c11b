/*
 * What an earlier boot left on disk, and what every boot writes there about itself.
 */
#include "view/internal.h"

static int recall_corrupt(const char *what)
{
    return kith_fail_with(KITH_E_CORRUPT,
                          "the stored %s of the view is damaged; start with an empty store, and "
                          "this node joins again as a fresh one",
                          what);
}

int view_recall(struct view_core *core, const struct view_event *event)
{
    struct reader r = reader_of(event->data, event->len);
    if (event->key_len < 2 || event->key[0] != 'v')
        return recall_corrupt("key");
    switch (event->key[1]) {
    case 'r':
        if (event->len > VIEW_RECORD_BYTES_MAX ||
            view_record_decode(&core->decided, event->data, event->len) != 0)
            return recall_corrupt("record");
        memcpy(core->decided_bytes, event->data, event->len);
        core->decided_len = event->len;
        core->decided_checked = false;
        view_record_hash(event->data, event->len, core->decided_hash);
        return 0;
    case 'p': {
        core->promised.round = read_le64(&r);
        const uint8_t *node = read_bytes(&r, KITH_NODE_ID_BYTES);
        core->promised_boot = read_le64(&r);
        if (!reader_done(&r))
            return recall_corrupt("promise");
        memcpy(core->promised.node.bytes, node, KITH_NODE_ID_BYTES);
        return 0;
    }
    case 'a': {
        struct view_record record;
        core->accepted_epoch = read_le64(&r);
        core->accepted.round = read_le64(&r);
        const uint8_t *node = read_bytes(&r, KITH_NODE_ID_BYTES);
        if (r.bad || view_record_decode(&record, r.data + r.at, r.len - r.at) != 0)
            return recall_corrupt("vote");
        memcpy(core->accepted.node.bytes, node, KITH_NODE_ID_BYTES);
        core->accepted_len = r.len - r.at;
        memcpy(core->accepted_bytes, r.data + r.at, core->accepted_len);
        return 0;
    }
    case 's': {
        core->prev_boot = read_le64(&r);
        core->stale = read_u8(&r) != 0;
        const uint8_t *disk = read_bytes(&r, PLACEMENT_DISK_BYTES);
        if (!reader_done(&r))
            return recall_corrupt("start");
        if (core->stale)
            memcpy(core->disk_id, disk, PLACEMENT_DISK_BYTES);
        return 0;
    }
    case 'c': {
        const uint8_t *node = read_bytes(&r, KITH_NODE_ID_BYTES);
        core->minter_boot = read_le64(&r);
        core->minter_attempt = read_le32(&r);
        if (!reader_done(&r))
            return recall_corrupt("consent");
        memcpy(core->minter.bytes, node, KITH_NODE_ID_BYTES);
        return 0;
    }
    case 'w':
        return peer_recall(core, event) == 0 ? 0 : recall_corrupt("number of a peer's boot");
    default:
        return recall_corrupt("key");
    }
}

void view_put_start(struct view_core *core)
{
    uint8_t data[9 + PLACEMENT_DISK_BYTES];
    put_le64(data, core->config.self.boot_no);
    data[8] = core->stale;
    memcpy(data + 9, core->disk_id, PLACEMENT_DISK_BYTES);
    view_put(core, "vs", 2, data, sizeof(data));
}

/* Peers have seen a higher boot of this key than this disk knew: what is on it is old. */
void peer_new_disk(struct view_core *core)
{
    uint8_t seed[PLACEMENT_DISK_BYTES + 8];
    uint8_t hash[VIEW_HASH_BYTES];
    memcpy(seed, core->disk_id, PLACEMENT_DISK_BYTES);
    put_le64(seed + PLACEMENT_DISK_BYTES, core->config.self.boot_no);
    view_record_hash(seed, sizeof(seed), hash);
    memcpy(core->disk_id, hash, PLACEMENT_DISK_BYTES);
    core->stale = true;
    core->accepted_epoch = 0;
    view_put(core, "va", 2, NULL, 0);
    lead_step_down(core);
    view_put_start(core);
    for (size_t i = 0; i < core->peers_n; i++)
        core->peers[i].hello_sent_ms = 0; /* tell all */
    core->hello_at_ms = core->now_ms;
}

/* ---- events ---- */

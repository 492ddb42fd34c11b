/*
 * Two neighbours find out in what they differ, by a tree of sums over the hashes of names and
 * states:
 *
 *     SUMS    u8 3, 64 * u64: sums of the groups          asks
 *     GROUPS  u8 4, then each: u8 group, 64 * u64 leaves  answers with the groups that differ
 *     LEAVES  u8 5, then each: u16 leaf, u32 n, n * (u64 name, u64 state)
 *     WANT    u8 6, then each: u16 leaf, u64 name         answers, beside STATES that differ
 *
 * What does not fit one exchange is left to the next, which follows soon.
 */
#include "dvar/avail_internal.h"

/* Bytes of leaves, and of states, that one exchange may cost. */
#define LEAVES_BYTES_MAX (512 * 1024)
#define STATES_BYTES_MAX (4 * 1024 * 1024)
#define SOON_MS          50

uint64_t avail_leaf_sum(const struct avail_entry *entry)
{
    uint8_t both[16];
    put_le64(both, entry->name_hash);
    put_le64(both + 8, entry->state_hash);
    return hash_bytes(both, sizeof(both), 2);
}

static uint64_t group_sum(const struct avail_core *core, uint32_t group)
{
    uint8_t bytes[GROUP_LEAVES * 8]; /* the same on machines of either byte order */
    for (uint32_t i = 0; i < GROUP_LEAVES; i++)
        put_le64(bytes + 8 * (size_t)i, core->sums[group * GROUP_LEAVES + i]);
    return hash_bytes(bytes, sizeof(bytes), 3);
}

static int append_u64(struct buf *buf, uint64_t value)
{
    uint8_t bytes[8];
    put_le64(bytes, value);
    return buf_append(buf, bytes, sizeof(bytes));
}

static int append_u16(struct buf *buf, uint32_t value)
{
    uint8_t bytes[2];
    put_le16(bytes, (uint16_t)value);
    return buf_append(buf, bytes, sizeof(bytes));
}

/* Sends @buf if it is more than its first byte; frees it. @r: what building it came to. */
static void finish(struct avail_core *core, const struct kith_node_id *to, struct buf *buf, int r)
{
    if (r != 0)
        core->error = r;
    else if (buf->len > 1)
        avail_send(core, to, buf);
    buf_deinit(buf);
}

void avail_sync_start(struct avail_core *core, struct avail_peer *peer)
{
    struct buf buf = {0};
    peer->sync_at_ms = UINT64_MAX;
    core->stats.syncs++;
    int r = buf_append_u8(&buf, AVAIL_MSG_SUMS);
    for (uint32_t group = 0; r == 0 && group < GROUPS_N; group++)
        r = append_u64(&buf, group_sum(core, group));
    finish(core, &peer->id, &buf, r);
}

static void soon(struct avail_core *core, struct avail_peer *peer)
{
    peer->sync_at_ms = core->now_ms + SOON_MS;
}

int avail_on_sums(struct avail_core *core, struct avail_peer *from, struct reader *r)
{
    struct buf buf = {0};
    if (r->len - r->at != GROUPS_N * sizeof(uint64_t))
        return KITH_E_CORRUPT;
    int code = buf_append_u8(&buf, AVAIL_MSG_GROUPS);
    for (uint32_t group = 0; group < GROUPS_N; group++) {
        if (read_le64(r) == group_sum(core, group))
            continue;
        if (code == 0)
            code = buf_append_u8(&buf, (uint8_t)group);
        for (uint32_t i = 0; code == 0 && i < GROUP_LEAVES; i++)
            code = append_u64(&buf, core->sums[group * GROUP_LEAVES + i]);
    }
    finish(core, &from->id, &buf, code);
    return 0;
}

static int append_leaf(const struct avail_core *core, struct buf *buf, uint32_t leaf)
{
    uint32_t n = 0;
    int r = append_u16(buf, leaf);
    size_t count_at = buf->len;
    if (r == 0)
        r = buf_append(buf, "\0\0\0\0", 4);
    list_for_each (it, &core->leaves[leaf]) {
        const struct avail_entry *entry = container_of(it, struct avail_entry, leaf);
        if (entry->faded)
            continue;
        if (r == 0)
            r = append_u64(buf, entry->name_hash);
        if (r == 0)
            r = append_u64(buf, entry->state_hash);
        n++;
    }
    if (r == 0)
        put_le32(buf->data + count_at, n);
    return r;
}

int avail_on_groups(struct avail_core *core, struct avail_peer *from, struct reader *r)
{
    struct buf buf = {0};
    size_t bytes = 0;
    int code = 0;
    if ((r->len - r->at) % (1 + GROUP_LEAVES * sizeof(uint64_t)) != 0)
        return KITH_E_CORRUPT;
    while (r->at < r->len) {
        uint32_t group = read_u8(r);
        if (group >= GROUPS_N) {
            buf_deinit(&buf);
            return KITH_E_CORRUPT;
        }
        for (uint32_t i = 0; i < GROUP_LEAVES; i++) {
            uint32_t leaf = group * GROUP_LEAVES + i;
            if (read_le64(r) == core->sums[leaf])
                continue;
            if (bytes + buf.len > LEAVES_BYTES_MAX) {
                soon(core, from);
                continue;
            }
            if (buf.len > MESSAGE_FILL_BYTES) {
                bytes += buf.len;
                finish(core, &from->id, &buf, code);
            }
            if (buf.len == 0 && code == 0)
                code = buf_append_u8(&buf, AVAIL_MSG_LEAVES);
            if (code == 0)
                code = append_leaf(core, &buf, leaf);
        }
    }
    finish(core, &from->id, &buf, code);
    return 0;
}

/* What the other said of one leaf: pairs of name and state. */
struct leaf {
    uint32_t no;
    uint32_t n;
    const uint8_t *pairs;
};

static const uint8_t *pair_of(const struct leaf *leaf, uint64_t name_hash)
{
    for (uint32_t i = 0; i < leaf->n; i++)
        if (get_le64(leaf->pairs + 16 * (size_t)i) == name_hash)
            return leaf->pairs + 16 * (size_t)i;
    return NULL;
}

static struct avail_entry *entry_of(struct avail_core *core, uint32_t leaf, uint64_t name_hash)
{
    list_for_each (it, &core->leaves[leaf]) {
        struct avail_entry *entry = container_of(it, struct avail_entry, leaf);
        if (entry->name_hash == name_hash)
            return entry;
    }
    return NULL;
}

/* Sends what the other lacks; false if that is enough for now. */
static bool
send_lacking(struct avail_core *core, struct avail_packet *packet, const struct leaf *leaf)
{
    list_for_each (it, &core->leaves[leaf->no]) {
        const struct avail_entry *entry = container_of(it, struct avail_entry, leaf);
        const uint8_t *pair = pair_of(leaf, entry->name_hash);
        if (pair != NULL && get_le64(pair + 8) == entry->state_hash)
            continue;
        if (packet->sent_bytes > STATES_BYTES_MAX || !avail_packet_state(core, packet, entry))
            return false;
    }
    return true;
}

static int want_lacking(struct avail_core *core, struct buf *want, const struct leaf *leaf)
{
    int r = 0;
    for (uint32_t i = 0; i < leaf->n && r == 0; i++) {
        const uint8_t *pair = leaf->pairs + 16 * (size_t)i;
        const struct avail_entry *entry = entry_of(core, leaf->no, get_le64(pair));
        if (entry != NULL && entry->state_hash == get_le64(pair + 8))
            continue;
        if (want->len == 0)
            r = buf_append_u8(want, AVAIL_MSG_WANT);
        if (r == 0)
            r = append_u16(want, leaf->no);
        if (r == 0)
            r = append_u64(want, get_le64(pair));
    }
    return r;
}

int avail_on_leaves(struct avail_core *core, struct avail_peer *from, struct reader *r)
{
    struct avail_packet packet = {.to = from->id};
    struct buf want = {0};
    int code = 0;
    int memory = 0;
    while (r->at < r->len) {
        struct leaf leaf = {.no = read_le16(r), .n = read_le32(r)};
        bool fits = !r->bad && leaf.no < LEAVES_N && leaf.n <= (r->len - r->at) / 16;
        leaf.pairs = fits ? read_bytes(r, 16 * (size_t)leaf.n) : NULL;
        if (leaf.pairs == NULL) {
            code = KITH_E_CORRUPT;
            break;
        }
        if (!send_lacking(core, &packet, &leaf))
            soon(core, from);
        if (memory == 0)
            memory = want_lacking(core, &want, &leaf);
    }
    avail_packet_send(core, &packet);
    finish(core, &from->id, &want, memory);
    return code;
}

int avail_on_want(struct avail_core *core, struct avail_peer *from, struct reader *r)
{
    struct avail_packet packet = {.to = from->id};
    int code = 0;
    while (r->at < r->len) {
        uint32_t leaf = read_le16(r);
        uint64_t name_hash = read_le64(r);
        if (r->bad || leaf >= LEAVES_N) {
            code = KITH_E_CORRUPT;
            break;
        }
        const struct avail_entry *entry = entry_of(core, leaf, name_hash);
        if (entry == NULL)
            continue;
        if (packet.sent_bytes > STATES_BYTES_MAX || !avail_packet_state(core, &packet, entry)) {
            soon(core, from);
            break;
        }
    }
    avail_packet_send(core, &packet);
    return code;
}

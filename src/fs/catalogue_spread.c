/*
 * How indexes spread:
 *
 *     HEADS    u8 1, u8 flags, n * head          what I have, whole; ALL, ASK: give me yours
 *     HASH     u8 2, u64                         over all heads
 *     PULL     u8 3, disk, u64 index, u64 from, u32 budget
 *     RECORDS  u8 4, u8 flags, head, u64 from, u64 to, pack     LAST: of this answer
 *     NONE     u8 5, disk                        answers a PULL that cannot be served
 *
 * RECORDS with from and to make an index that is complete up to `from` complete up to `to`; the
 * head is where their sender stands. Who has all of it compares the sum over its records with the
 * head's: what one disk says is the same at all nodes that have the same head, or it is found out,
 * and pulled whole from the beginning. An index is passed on when it is whole only.
 *
 * Versions by another author than the sender are checked on a worker first; the message and what
 * comes behind it for the same disk wait until that is done.
 */
#include "fs/catalogue_internal.h"

enum heads_flags {
    HEADS_ASK = 1, /* all are given: answer with all */
};

#define HEADS_FRAME_MAX 500
#define PULLS_MAX       64
#define PUSH_BYTES_MAX  (2 * FS_MESSAGE_FILL_BYTES)
#define MANY_LINKS      16
#define FEW_LINKS       4

/* ---- links ---- */

static struct fs_link *link_find(struct fs_catalogue *core, const struct kith_node_id *peer)
{
    for (uint32_t i = 0; i < core->links_n; i++)
        if (kith_node_id_equal(&core->links[i].id, peer))
            return &core->links[i];
    return NULL;
}

static void send_hash(struct fs_catalogue *core, const struct kith_node_id *peer)
{
    uint8_t message[9] = {FS_MSG_HASH};
    put_le64(message + 1, fsc_hash(core));
    fsc_send(core, peer, message, sizeof(message));
}

void fsc_link_up(struct fs_catalogue *core, const struct kith_node_id *peer)
{
    if (link_find(core, peer) != NULL || core->links_n == FS_LINKS_MAX)
        return;
    core->links[core->links_n++].id = *peer;
    if (core->hash_at_ms == UINT64_MAX)
        core->hash_at_ms = core->now_ms + core->config.hash_ms;
    send_hash(core, peer);
}

void fsc_pull_end(struct fs_catalogue *core, struct fs_disk *disk)
{
    if (disk->pulling)
        core->pulls_n--;
    disk->pulling = false;
}

void fsc_source_remove(struct fs_catalogue *core,
                       struct fs_disk *disk,
                       const struct kith_node_id *peer)
{
    for (uint8_t i = 0; i < disk->sources_n; i++) {
        if (!kith_node_id_equal(&disk->sources[i].peer, peer))
            continue;
        memmove(&disk->sources[i], &disk->sources[i + 1],
                (size_t)(disk->sources_n - i - 1) * sizeof(disk->sources[0]));
        disk->sources_n--;
        break;
    }
    if (disk->pulling && kith_node_id_equal(&disk->pull_peer, peer)) {
        fsc_pull_end(core, disk);
        core->pull_at_ms = core->now_ms;
    }
}

void fsc_link_down(struct fs_catalogue *core, const struct kith_node_id *peer)
{
    struct fs_link *link = link_find(core, peer);
    if (link == NULL)
        return;
    *link = core->links[--core->links_n];
    list_for_each_safe (it, &core->wanting)
        fsc_source_remove(core, container_of(it, struct fs_disk, wanting), peer);
}

/* The next few links in turn, or all. */
static uint32_t turn(struct fs_catalogue *core)
{
    uint32_t n = core->links_n > MANY_LINKS ? FEW_LINKS : core->links_n;
    core->link_next = core->links_n > 0 ? (core->link_next + n) % core->links_n : 0;
    return n;
}

/* ---- heads ---- */

static bool is_told(const struct fs_disk *disk)
{
    return disk->known && disk->whole && !disk->forgotten;
}

static uint64_t head_hash(const struct fs_disk *disk)
{
    uint8_t bytes[FS_DISK_BYTES + 32];
    memcpy(bytes, disk->id.bytes, FS_DISK_BYTES);
    put_le64(bytes + FS_DISK_BYTES, disk->index_id);
    put_le64(bytes + FS_DISK_BYTES + 8, disk->highest);
    put_le64(bytes + FS_DISK_BYTES + 16, disk->records_n);
    put_le64(bytes + FS_DISK_BYTES + 24, disk->sum);
    return hash_bytes(bytes, sizeof(bytes), 13);
}

uint64_t fsc_hash(const struct fs_catalogue *core)
{
    uint64_t sum = 0;
    for (uint32_t i = 1; i < core->disks_n; i++)
        if (is_told(core->disks[i]))
            sum += head_hash(core->disks[i]);
    return sum;
}

uint64_t fs_catalogue_digest(const struct fs_catalogue *core)
{
    return fsc_hash(core);
}

static int heads_begin(struct buf *out, uint8_t flags)
{
    uint8_t front[2] = {FS_MSG_HEADS, flags};
    out->len = 0;
    return buf_append(out, front, sizeof(front));
}

static void send_heads(struct fs_catalogue *core, const struct kith_node_id *peer, uint8_t flags)
{
    struct buf *out = &core->body;
    uint32_t n = 0;
    int r = heads_begin(out, flags);
    for (uint32_t i = 1; r == 0 && i < core->disks_n; i++) {
        if (!is_told(core->disks[i]))
            continue;
        if (n == HEADS_FRAME_MAX) {
            fsc_send(core, peer, out->data, out->len);
            r = heads_begin(out, 0);
            n = 0;
        }
        struct fs_head head = fsc_head_of(core, core->disks[i]);
        if (r == 0)
            r = fsc_head_append(out, &head);
        n++;
    }
    if (r == 0)
        fsc_send(core, peer, out->data, out->len);
    else
        core->error = r;
}

void fsc_send_head(struct fs_catalogue *core,
                   const struct kith_node_id *peer,
                   const struct fs_disk *disk)
{
    struct buf *out = &core->body;
    struct fs_head head = fsc_head_of(core, disk);
    bool to_owner = disk->known && !disk->forgotten && fsc_is_of(core, disk, peer);
    if (!is_told(disk) && !to_owner)
        return;
    int r = heads_begin(out, 0);
    if (r == 0)
        r = fsc_head_append(out, &head);
    if (r == 0)
        fsc_send(core, peer, out->data, out->len);
    else
        core->error = r;
}

void fsc_announce(struct fs_catalogue *core, struct fs_disk *disk)
{
    if (!list_linked(&disk->announce))
        list_append(&core->announce, &disk->announce);
    if (core->flush_at_ms == UINT64_MAX)
        core->flush_at_ms = core->now_ms + core->config.flush_ms;
}

void fsc_flush(struct fs_catalogue *core)
{
    struct buf *out = &core->body;
    uint32_t first = core->link_next;
    uint32_t links = turn(core);
    core->flush_at_ms = UINT64_MAX;
    while (!list_empty(&core->announce)) {
        int r = heads_begin(out, 0);
        for (uint32_t n = 0; r == 0 && n < HEADS_FRAME_MAX && !list_empty(&core->announce);) {
            struct list *it = list_first(&core->announce);
            const struct fs_disk *disk = container_of(it, struct fs_disk, announce);
            list_remove(it);
            struct fs_head head = fsc_head_of(core, disk);
            if (is_told(disk)) {
                r = fsc_head_append(out, &head);
                n++;
            }
        }
        if (r != 0) {
            core->error = r;
            return;
        }
        const void *kept = out->len > 2 ? fsc_keep(core, out->data, out->len) : NULL;
        for (uint32_t i = 0; kept != NULL && i < links; i++)
            fsc_send_kept(core, &core->links[(first + i) % core->links_n].id, kept, out->len);
    }
}

void fsc_hash_next(struct fs_catalogue *core)
{
    core->hash_at_ms = core->links_n > 0 ? core->now_ms + core->config.hash_ms : UINT64_MAX;
    if (core->links_n == 0)
        return;
    core->link_next = (core->link_next + 1) % core->links_n;
    send_hash(core, &core->links[core->link_next].id);
}

/* ---- wanting ---- */

bool fsc_is_of(const struct fs_catalogue *core,
               const struct fs_disk *disk,
               const struct kith_node_id *peer)
{
    return disk->writer != 0 && kith_node_id_equal(&core->writers[disk->writer].node, peer);
}

bool fsc_is_beyond(uint64_t index_id, uint64_t highest, const struct fs_disk *disk)
{
    if (!disk->known || index_id != disk->index_id)
        return !disk->known || index_id > disk->index_id;
    return highest > disk->highest || (highest == disk->highest && !disk->whole);
}

/* Two have the same head but for what it counts: the owner is right, else who has the greater sum.
 * What the owner cannot know of, it ends by a new index. */
bool fsc_gives_way(const struct fs_catalogue *core,
                   const struct fs_disk *disk,
                   const struct fs_head *head,
                   const struct kith_node_id *peer)
{
    if (!disk->whole || head->index_id != disk->index_id || head->highest != disk->highest ||
        (head->records_n == disk->records_n && head->sum == disk->sum))
        return false;
    return fsc_is_of(core, disk, peer) ||
           (!fsc_is_of(core, disk, &core->config.self.node) && head->sum > disk->sum);
}

void fsc_want(struct fs_catalogue *core,
              struct fs_disk *disk,
              const struct kith_node_id *peer,
              const struct fs_head *head)
{
    struct fs_source *source = NULL;
    for (uint8_t i = 0; i < disk->sources_n; i++)
        if (kith_node_id_equal(&disk->sources[i].peer, peer))
            source = &disk->sources[i];
    if (source == NULL) {
        if (disk->sources_n == FS_SOURCES_MAX)
            return;
        source = &disk->sources[disk->sources_n++];
    }
    *source =
        (struct fs_source){.peer = *peer, .index_id = head->index_id, .highest = head->highest};
    if (!list_linked(&disk->wanting))
        list_append(&core->wanting, &disk->wanting);
    if (!disk->pulling)
        core->pull_at_ms = core->now_ms;
}

static bool
send_pull(struct fs_catalogue *core, struct fs_disk *disk, const struct fs_source *source)
{
    uint8_t message[1 + FS_DISK_BYTES + 20] = {FS_MSG_PULL};
    bool goes_on =
        source->index_id == disk->index_id && !disk->repull && disk->known && !disk->forgotten;
    memcpy(message + 1, disk->id.bytes, FS_DISK_BYTES);
    put_le64(message + 1 + FS_DISK_BYTES, source->index_id);
    put_le64(message + 9 + FS_DISK_BYTES, goes_on ? disk->highest : 0);
    put_le32(message + 17 + FS_DISK_BYTES, FS_PULL_BYTES_MAX);
    fsc_send(core, &source->peer, message, sizeof(message));
    core->stats.pulls++;
    core->stats.pulls_whole += !goes_on;
    disk->pulling = true;
    disk->pull_peer = source->peer;
    disk->pull_until_ms = core->now_ms + core->config.pull_ms;
    core->pulls_n++;
    return true;
}

/* The source that has most; those that have nothing more go. NULL: none is left. */
static const struct fs_source *best_source(struct fs_disk *disk)
{
    struct fs_source *best = NULL;
    uint8_t n = 0;
    for (uint8_t i = 0; i < disk->sources_n; i++) {
        struct fs_source source = disk->sources[i];
        if (!disk->repull && !disk->forgotten &&
            !fsc_is_beyond(source.index_id, source.highest, disk))
            continue;
        disk->sources[n] = source;
        if (best == NULL || source.index_id > best->index_id ||
            (source.index_id == best->index_id && source.highest > best->highest))
            best = &disk->sources[n];
        n++;
    }
    disk->sources_n = n;
    return best;
}

void fsc_pulls_run(struct fs_catalogue *core)
{
    core->pull_at_ms = UINT64_MAX;
    list_for_each_safe (it, &core->wanting) {
        struct fs_disk *disk = container_of(it, struct fs_disk, wanting);
        if (disk->pulling && core->now_ms >= disk->pull_until_ms) {
            struct kith_node_id peer = disk->pull_peer;
            fsc_source_remove(core, disk, &peer);
        }
        const struct fs_source *source = disk->pulling ? NULL : best_source(disk);
        if (!disk->pulling && source == NULL)
            list_remove(&disk->wanting);
        else if (!disk->pulling && core->pulls_n < PULLS_MAX)
            (void)send_pull(core, disk, source);
        if (disk->pulling && disk->pull_until_ms < core->pull_at_ms)
            core->pull_at_ms = disk->pull_until_ms;
    }
}

/* The whole of an index is asked for anew, but not all the time. */
void fsc_repull(struct fs_catalogue *core,
                struct fs_disk *disk,
                const struct kith_node_id *peer,
                const struct fs_head *head)
{
    if (core->now_ms < disk->again_at_ms)
        return;
    disk->again_at_ms = core->now_ms + core->config.again_ms;
    disk->repull = true;
    fsc_want(core, disk, peer, head);
}

void fsc_own_head(struct fs_catalogue *core,
                  const struct fs_head *head,
                  const struct kith_node_id *peer)
{
    const struct fs_disk *own = core->own;
    bool same = head->index_id == own->index_id && head->highest == own->highest;
    if (!own->whole)
        return;
    if (fsc_is_beyond(head->index_id, head->highest, own) ||
        (same && (head->records_n != own->records_n || head->sum != own->sum)))
        fsc_renew(core, head->index_id, head->highest);
    else if (!same)
        fsc_send_head(core, peer, own);
}

struct fs_disk *
fsc_disk_of_head(struct fs_catalogue *core, const struct fs_head *head, int *code_out)
{
    struct fs_author author = {.disk = head->disk, .node = head->node};
    struct fs_disk *disk = fsc_disk_find(core, &head->disk);
    memcpy(author.key, head->key, FS_KEY_BYTES);
    *code_out = 0;
    if (disk != NULL && disk->writer != 0)
        return disk;
    if (!fsc_author_fits(&author)) {
        *code_out = KITH_E_CORRUPT;
        return NULL;
    }
    disk = fsc_disk(core, &head->disk);
    uint32_t writer = disk != NULL ? fsc_writer(core, &author) : 0;
    if (writer == 0)
        return NULL;
    disk->writer = writer;
    return disk;
}

bool fsc_is_barred(const struct fs_catalogue *core,
                   const struct fs_disk *disk,
                   const struct fs_head *head,
                   const struct kith_node_id *peer)
{
    bool new = head->index_id > disk->index_id ||
               (head->index_id == disk->index_id && head->highest > disk->highest);
    return disk->forgotten && !new && !fsc_is_of(core, disk, peer);
}

static bool is_behind(const struct fs_head *head, const struct fs_disk *disk)
{
    return head->index_id < disk->index_id ||
           (head->index_id == disk->index_id && head->highest < disk->highest);
}

static int
take_head(struct fs_catalogue *core, const struct kith_node_id *peer, const struct fs_head *head)
{
    int code;
    if (fs_disk_equal(&head->disk, &core->own->id)) {
        fsc_own_head(core, head, peer);
        return 0;
    }
    struct fs_disk *disk = fsc_disk_of_head(core, head, &code);
    if (disk == NULL || fsc_is_superseded(core, disk, head) ||
        fsc_is_barred(core, disk, head, peer))
        return code;
    if (disk->forgotten || fsc_is_beyond(head->index_id, head->highest, disk))
        fsc_want(core, disk, peer, head);
    else if (fsc_gives_way(core, disk, head, peer))
        fsc_repull(core, disk, peer, head);
    else if (is_behind(head, disk) && fsc_is_of(core, disk, peer))
        fsc_send_head(core, peer, disk);
    return 0;
}

static int on_heads(struct fs_catalogue *core, const struct kith_node_id *peer, struct reader *r)
{
    unsigned flags = read_u8(r);
    while (r->at < r->len) {
        struct fs_head head;
        int code = fsc_head_read(r, &head) ? take_head(core, peer, &head) : KITH_E_CORRUPT;
        if (code != 0)
            return code;
    }
    if (r->bad)
        return KITH_E_CORRUPT;
    if ((flags & HEADS_ASK) != 0)
        send_heads(core, peer, 0);
    return 0;
}

static int on_hash(struct fs_catalogue *core, const struct kith_node_id *peer, struct reader *r)
{
    uint64_t hash = read_le64(r);
    if (!reader_done(r))
        return KITH_E_CORRUPT;
    if (hash != fsc_hash(core))
        send_heads(core, peer, HEADS_ASK);
    return 0;
}

/* ---- giving ---- */

struct giving {
    const struct kith_node_id *peer; /* NULL: the links whose turn it is */
    uint32_t first, links;
    uint64_t from;
};

static void give(struct fs_catalogue *core, const struct giving *giving, const struct buf *message)
{
    if (giving->peer != NULL) {
        fsc_send(core, giving->peer, message->data, message->len);
        return;
    }
    const void *kept = fsc_keep(core, message->data, message->len);
    for (uint32_t i = 0; kept != NULL && i < giving->links; i++)
        fsc_send_kept(core, &core->links[(giving->first + i) % core->links_n].id, kept,
                      message->len);
}

/* The first slot with a greater number. */
static uint32_t
slot_after(const struct fs_catalogue *core, const struct fs_disk *disk, uint64_t number)
{
    uint32_t low = 0;
    uint32_t high = disk->slots_n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint32_t at = middle;
        while (at < high && disk->slots[at] == 0)
            at++;
        if (at == high)
            high = middle;
        else if (fsc_at(core, disk->slots[at])->number > number)
            high = middle;
        else
            low = at + 1;
    }
    return low;
}

/* One message from slot *@at on; moves it. False: memory. */
static bool give_some(struct fs_catalogue *core,
                      const struct fs_disk *disk,
                      struct giving *giving,
                      uint32_t *at,
                      size_t *budget)
{
    struct fs_pack pack;
    struct buf *out = &core->scratch;
    struct fs_head head = fsc_head_of(core, disk);
    uint64_t to = giving->from;
    fsc_pack_begin(core, &pack);
    while (*at < disk->slots_n && fsc_pack_bytes(&pack) < FS_MESSAGE_FILL_BYTES &&
           fsc_pack_bytes(&pack) < *budget) {
        const struct fs_record *record = fsc_record(core, disk->slots[(*at)++]);
        if (record == NULL)
            continue;
        fsc_pack_record(&pack, record);
        to = record->number;
    }
    while (*at < disk->slots_n && disk->slots[*at] == 0)
        (*at)++;
    bool end = *at == disk->slots_n;
    size_t bytes = fsc_pack_bytes(&pack);
    *budget -= bytes < *budget ? bytes : *budget;
    out->len = 0;
    bool last = end || *budget == 0;
    uint8_t front[2] = {FS_MSG_RECORDS, last ? FS_RECORDS_LAST : 0};
    int r = buf_append(out, front, sizeof(front));
    if (r == 0)
        r = fsc_head_append(out, &head);
    if (r == 0)
        r = fsc_append_le(out, giving->from, 8);
    if (r == 0)
        r = fsc_append_le(out, end ? disk->highest : to, 8);
    int packed = fsc_pack_end(&pack, out);
    if (r != 0 || packed != 0) {
        core->error = KITH_E_MEMORY;
        return false;
    }
    give(core, giving, out);
    giving->from = to;
    return !last;
}

void fsc_push_own(struct fs_catalogue *core, uint64_t from)
{
    const struct fs_disk *own = core->own;
    if (core->links_n == 0 || !own->whole)
        return;
    struct giving giving = {.first = core->link_next, .from = from};
    giving.links = turn(core);
    uint32_t at = slot_after(core, own, from);
    size_t budget = PUSH_BYTES_MAX;
    while (give_some(core, own, &giving, &at, &budget))
        continue;
    if (core->links_n > MANY_LINKS || at < own->slots_n)
        fsc_announce(core, core->own);
}

static int on_pull(struct fs_catalogue *core, const struct kith_node_id *peer, struct reader *r)
{
    struct fs_disk_id id;
    const uint8_t *bytes = read_bytes(r, FS_DISK_BYTES);
    uint64_t index_id = read_le64(r);
    struct giving giving = {.peer = peer, .from = read_le64(r)};
    size_t budget = read_le32(r);
    if (!reader_done(r))
        return KITH_E_CORRUPT;
    memcpy(id.bytes, bytes, FS_DISK_BYTES);
    const struct fs_disk *disk = fsc_disk_find(core, &id);
    if (disk == NULL || !is_told(disk) || index_id > disk->index_id ||
        (index_id == disk->index_id && giving.from > disk->highest)) {
        uint8_t none[1 + FS_DISK_BYTES] = {FS_MSG_NONE};
        memcpy(none + 1, id.bytes, FS_DISK_BYTES);
        fsc_send(core, peer, none, sizeof(none));
        return 0;
    }
    if (index_id < disk->index_id)
        giving.from = 0;
    budget = budget < FS_PULL_BYTES_MAX ? budget : FS_PULL_BYTES_MAX;
    uint32_t at = slot_after(core, disk, giving.from);
    while (give_some(core, disk, &giving, &at, &budget))
        continue;
    return 0;
}

static int on_none(struct fs_catalogue *core, const struct kith_node_id *peer, struct reader *r)
{
    struct fs_disk_id id;
    const uint8_t *bytes = read_bytes(r, FS_DISK_BYTES);
    if (!reader_done(r))
        return KITH_E_CORRUPT;
    memcpy(id.bytes, bytes, FS_DISK_BYTES);
    struct fs_disk *disk = fsc_disk_find(core, &id);
    if (disk != NULL && list_linked(&disk->wanting))
        fsc_source_remove(core, disk, peer);
    return 0;
}

int fsc_receive(struct fs_catalogue *core, const struct kith_node_id *peer, struct kith_bytes data)
{
    struct reader r = reader_of(data.data, data.len);
    if (link_find(core, peer) == NULL)
        return 0;
    core->stats.messages_in++;
    core->stats.bytes_in += data.len;
    switch ((enum fs_message)read_u8(&r)) {
    case FS_MSG_HEADS:
        return on_heads(core, peer, &r);
    case FS_MSG_HASH:
        return on_hash(core, peer, &r);
    case FS_MSG_PULL:
        return on_pull(core, peer, &r);
    case FS_MSG_RECORDS:
        return fsc_on_records(core, peer, data);
    case FS_MSG_NONE:
        return on_none(core, peer, &r);
    }
    return KITH_E_CORRUPT;
}

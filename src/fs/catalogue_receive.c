/*
 * Records that come in: checked, then put into the index of their disk.
 */
#include "fs/catalogue_internal.h"

struct incoming {
    struct kith_node_id peer;
    struct fs_disk *disk;
    unsigned flags;
    struct fs_head head;
    uint64_t from, to;
    struct reader r; /* at the pack */
    bool verified;
    /* signatures to be checked */
    struct catalogue_check *checks;
    size_t checks_n, checks_cap;
};

enum outcome {
    TAKEN, /* or of no use */
    DAMAGED,
    TO_CHECK, /* in->checks */
};

static bool read_front(struct incoming *in, struct kith_bytes data)
{
    in->r = reader_of(data.data, data.len);
    (void)read_u8(&in->r);
    in->flags = read_u8(&in->r);
    bool fine = fsc_head_read(&in->r, &in->head);
    in->from = read_le64(&in->r);
    in->to = read_le64(&in->r);
    return fine && !in->r.bad && in->from <= in->to && in->to <= in->head.highest;
}

/* ---- signatures ---- */

static struct fs_known *find_known(struct fs_catalogue *core, const struct fs_wire_record *wire)
{
    const struct fs_node *node = fsc_find(core, wire->share, wire->path);
    if (node == NULL)
        return NULL;
    struct fs_known *known = fsc_known_find(core, node, fsc_id_of(core, node, &wire->version));
    bool same =
        known != NULL && memcmp(known->signature, wire->version.signature, FS_SIGNATURE_BYTES) == 0;
    return same ? known : NULL;
}

static bool
add_check(struct fs_catalogue *core, struct incoming *in, const struct fs_wire_record *wire)
{
    core->scratch.len = 0;
    int r = fs_version_signed(wire->share.data, wire->share.len, wire->path.data, wire->path.len,
                              &wire->version, &core->scratch);
    uint8_t *signature = fsc_keep(core, wire->version.signature, FS_SIGNATURE_BYTES);
    uint8_t *key = fsc_keep(core, wire->version.author.key, FS_KEY_BYTES);
    void *data = r == 0 ? fsc_keep(core, core->scratch.data, core->scratch.len) : NULL;
    if (signature == NULL || key == NULL || data == NULL ||
        !fsc_grow(core, &in->checks, &in->checks_cap, in->checks_n, sizeof(*in->checks)))
        return false;
    in->checks[in->checks_n++] = (struct catalogue_check){
        .data = {data, core->scratch.len}, .signature = signature, .key = key};
    return true;
}

/* Numbers in order and within what the message says; what must be checked is gathered. */
static enum outcome look_through(struct fs_catalogue *core, struct incoming *in)
{
    struct reader r = in->r;
    struct fs_unpack unpack;
    struct fs_wire_record wire;
    uint64_t number = in->from;
    if (!fsc_unpack_begin(&unpack, &r))
        return DAMAGED;
    while (fsc_unpack_record(&unpack, &wire)) {
        if (wire.number <= number || wire.number > in->to)
            return DAMAGED;
        number = wire.number;
        if (in->verified || (wire.flags & FS_RECORD_GONE) != 0 ||
            kith_node_id_equal(&wire.version.author.node, &in->peer) ||
            find_known(core, &wire) != NULL)
            continue;
        if (!add_check(core, in, &wire))
            return TAKEN; /* without memory; it comes again */
    }
    if (r.bad)
        return DAMAGED;
    return in->checks_n > 0 ? TO_CHECK : TAKEN;
}

/* ---- taking ---- */

static bool
take_record(struct fs_catalogue *core, struct fs_disk *disk, const struct fs_wire_record *wire)
{
    struct fs_node *node = fsc_make(core, wire->share, wire->path);
    struct fs_known *known = NULL;
    if (node == NULL)
        return false;
    if ((wire->flags & FS_RECORD_GONE) == 0) {
        uint64_t id = fsc_id_of(core, node, &wire->version);
        known = fsc_known_find(core, node, id);
        if (known == NULL)
            known = fsc_known_new(core, node, &wire->version, id);
        if (known == NULL)
            return false;
        core->stats.records_new += known->refs == 0;
        known->refs++;
    }
    bool fine = fsc_record_put(core, disk, node, known, wire->number, wire->flags & FS_RECORD_PLACE,
                               wire->line);
    if (fine)
        fsc_persist_record(core, fsc_at(core, disk->slots[disk->slots_n - 1]), disk->pass);
    if (known != NULL)
        fsc_known_unref(core, known);
    core->stats.records_in++;
    return fine;
}

/* All of the index is here: the counts say whether it is the same as the sender's. */
static void judge_whole(struct fs_catalogue *core, const struct incoming *in)
{
    struct fs_disk *disk = in->disk;
    disk->whole = disk->records_n == in->head.records_n && disk->sum == in->head.sum;
    if (!disk->whole) {
        fsc_repull(core, disk, &in->peer, &in->head);
        return;
    }
    fsc_pass_end(core, disk);
    fsc_announce(core, disk);
    fsc_supersede(core, disk);
}

static void take_records(struct fs_catalogue *core, struct incoming *in, bool begins)
{
    struct fs_disk *disk = in->disk;
    struct fs_author author = {.disk = in->head.disk, .node = in->head.node};
    struct fs_unpack unpack;
    struct fs_wire_record wire;
    memcpy(author.key, in->head.key, FS_KEY_BYTES);
    uint32_t writer = fsc_author_fits(&author) ? fsc_writer(core, &author) : 0;
    bool fine = writer != 0 && (!begins || fsc_pass_begin(core, disk));
    if (fine) {
        disk->writer = writer;
        disk->known = true;
        disk->forgotten = false;
        disk->index_id = in->head.index_id;
        fine = fsc_unpack_begin(&unpack, &in->r);
    }
    while (fine && fsc_unpack_record(&unpack, &wire))
        fine = wire.number <= disk->highest || take_record(core, disk, &wire);
    if (!fine) {
        /* No room: what is here is not complete up to any number. */
        disk->whole = false;
        disk->repull = true;
        disk->refused_until_ms = core->now_ms + core->config.again_ms;
        return;
    }
    disk->highest = in->to;
    disk->whole = false;
    if (in->to == in->head.highest)
        judge_whole(core, in);
    fsc_persist_head(core, disk, disk->highest);
}

static void went_on(struct fs_catalogue *core, const struct incoming *in)
{
    struct fs_disk *disk = in->disk;
    if (disk->pulling && kith_node_id_equal(&disk->pull_peer, &in->peer)) {
        disk->pull_until_ms = core->now_ms + core->config.pull_ms;
        if ((in->flags & FS_RECORDS_LAST) != 0) {
            fsc_pull_end(core, disk);
            core->pull_at_ms = core->now_ms;
        }
    }
    if (!disk->pulling && fsc_is_beyond(in->head.index_id, in->head.highest, disk))
        fsc_want(core, disk, &in->peer, &in->head);
}

static enum outcome process(struct fs_catalogue *core, struct incoming *in)
{
    struct fs_disk *disk = in->disk;
    const struct fs_head *head = &in->head;
    if (fsc_is_superseded(core, disk, head) || fsc_is_barred(core, disk, head, &in->peer) ||
        core->now_ms < disk->refused_until_ms)
        return TAKEN;
    bool replaces =
        !disk->known || disk->forgotten || disk->repull || head->index_id > disk->index_id;
    bool begins = in->from == 0 && replaces && (!disk->known || head->index_id >= disk->index_id);
    if (disk->known && !disk->forgotten && head->index_id < disk->index_id) {
        if (fsc_is_of(core, disk, &in->peer))
            fsc_send_head(core, &in->peer, disk);
        return TAKEN;
    }
    if (!begins && (replaces || in->from > disk->highest)) {
        fsc_want(core, disk, &in->peer, head);
        return TAKEN;
    }
    if (!begins && (in->to < disk->highest || (in->to == disk->highest && disk->whole))) {
        /* Nothing new; its owner may have to hear that others know more of it, or something else.
         */
        if (fsc_gives_way(core, disk, head, &in->peer))
            fsc_repull(core, disk, &in->peer, head);
        else if (head->highest < disk->highest && fsc_is_of(core, disk, &in->peer))
            fsc_send_head(core, &in->peer, disk);
        went_on(core, in);
        return TAKEN;
    }
    enum outcome outcome = look_through(core, in);
    if (outcome != TAKEN || core->error != 0)
        return outcome;
    take_records(core, in, begins);
    went_on(core, in);
    return TAKEN;
}

/* ---- waiting for checks ---- */

static bool
is_parked(const struct fs_catalogue *core, uint32_t disk, const struct fs_parked *before)
{
    list_for_each (it, &core->parked) {
        const struct fs_parked *parked = container_of(it, struct fs_parked, link);
        if (parked == before)
            return false;
        if (parked->disk == disk)
            return true;
    }
    return false;
}

static void ask_check(struct fs_catalogue *core, struct incoming *in, struct fs_parked *parked)
{
    struct catalogue_check *checks = fsc_keep(core, in->checks, in->checks_n * sizeof(*checks));
    struct catalogue_action *action = checks != NULL ? fsc_act(core, CATALOGUE_VERIFY) : NULL;
    parked->token = ++core->token;
    if (action == NULL)
        return; /* memory: it stays until its link... the next START; counted in parked_bytes */
    action->token = parked->token;
    action->checks = checks;
    action->n = in->checks_n;
    action->peer = in->peer;
}

static struct fs_parked *
park(struct fs_catalogue *core, const struct incoming *in, struct kith_bytes data)
{
    if (core->parked_bytes + data.len > FS_CHECKING_BYTES_MAX) {
        core->stats.refused_limit++;
        return NULL;
    }
    struct fs_parked *parked = core_malloc(sizeof(*parked) + data.len);
    if (parked == NULL) {
        core->error = KITH_E_MEMORY;
        return NULL;
    }
    *parked = (struct fs_parked){.peer = in->peer, .disk = in->disk->no, .len = data.len};
    memcpy(parked->data, data.data, data.len);
    core->parked_bytes += data.len;
    list_append(&core->parked, &parked->link);
    return parked;
}

static void unpark(struct fs_catalogue *core, struct fs_parked *parked)
{
    core->parked_bytes -= parked->len;
    list_remove(&parked->link);
    core_free(parked);
}

int fsc_on_records(struct fs_catalogue *core,
                   const struct kith_node_id *peer,
                   struct kith_bytes data)
{
    struct incoming in = {.peer = *peer};
    int code = 0;
    if (!read_front(&in, data))
        return KITH_E_CORRUPT;
    if (fs_disk_equal(&in.head.disk, &core->own->id)) {
        fsc_own_head(core, &in.head, peer);
        return 0;
    }
    in.disk = fsc_disk_of_head(core, &in.head, &code);
    if (in.disk == NULL)
        return code;
    if (is_parked(core, in.disk->no, NULL)) {
        (void)park(core, &in, data);
        return 0;
    }
    enum outcome outcome = process(core, &in);
    if (outcome == TO_CHECK) {
        struct fs_parked *parked = park(core, &in, data);
        if (parked != NULL)
            ask_check(core, &in, parked);
    }
    core_free(in.checks);
    return outcome == DAMAGED ? KITH_E_CORRUPT : 0;
}

/* Whatever stands first of its disk goes on. */
static void parked_run(struct fs_catalogue *core)
{
    list_for_each_safe (it, &core->parked) {
        struct fs_parked *parked = container_of(it, struct fs_parked, link);
        struct incoming in = {.peer = parked->peer, .verified = parked->verified};
        if ((parked->token != 0 && !parked->verified) || is_parked(core, parked->disk, parked))
            continue;
        in.disk = core->disks[parked->disk];
        (void)read_front(&in, (struct kith_bytes){parked->data, parked->len});
        enum outcome outcome = process(core, &in);
        if (outcome == TO_CHECK)
            ask_check(core, &in, parked);
        else
            unpark(core, parked);
        core->stats.bad_messages += outcome == DAMAGED;
        core_free(in.checks);
    }
}

void fsc_verified(struct fs_catalogue *core, const struct catalogue_event *event)
{
    struct fs_parked *found = NULL;
    list_for_each (it, &core->parked) {
        struct fs_parked *parked = container_of(it, struct fs_parked, link);
        if (parked->token == event->token && !parked->verified)
            found = parked;
    }
    if (found == NULL)
        return;
    found->verified = event->code == 0;
    if (event->code != 0) {
        struct fs_disk *disk = core->disks[found->disk];
        struct catalogue_action *action = fsc_act(core, CATALOGUE_FORGED);
        if (action != NULL) {
            action->peer = found->peer;
            action->disk = disk->id;
        }
        core->stats.forged++;
        fsc_source_remove(core, disk, &found->peer);
        unpark(core, found);
    }
    parked_run(core);
}

void fsc_parked_free(struct fs_catalogue *core)
{
    list_for_each_safe (it, &core->parked)
        unpark(core, container_of(it, struct fs_parked, link));
}

/*
 * The own index. What a step changes in it is one batch: its versions are signed, its records get
 * numbers and are stored; only then they are in the catalogue, announced, and acknowledged.
 *
 * A node (path) with a change under way is busy; what comes meanwhile waits (catalogue_publish.c),
 * so that each version is made on what was before it.
 */
#include "fs/catalogue_internal.h"

void fsc_published(struct fs_catalogue *core, uint64_t id, int code, uint64_t version_id)
{
    struct catalogue_action *action = fsc_act(core, CATALOGUE_PUBLISHED);
    if (action == NULL)
        return;
    action->id = id;
    action->code = code;
    action->version_id = version_id;
    if (code != 0) {
        const char *text = kith_errmsg();
        const char *kept = fsc_keep(core, text, strlen(text) + 1);
        action->text = kept != NULL ? kept : "";
    }
}

void fsc_ticket_done(struct fs_catalogue *core, struct fs_ticket *ticket, int code)
{
    if (ticket == NULL)
        return;
    if (code != 0)
        ticket->code = code;
    if (--ticket->left > 0)
        return;
    fsc_published(core, ticket->id, ticket->code, 0);
    core_free(ticket);
}

/* ---- batches ---- */

static struct fs_batch *batch_new(struct fs_catalogue *core)
{
    struct fs_batch *batch = core_calloc(1, sizeof(*batch));
    if (batch == NULL) {
        core->error = KITH_E_MEMORY;
        return NULL;
    }
    batch->token = ++core->token;
    list_append(&core->batches, &batch->link);
    return batch;
}

bool fsc_own_add(struct fs_catalogue *core, const struct fs_own *op)
{
    if (core->open == NULL)
        core->open = batch_new(core);
    struct fs_batch *batch = core->open;
    if (batch == NULL ||
        !fsc_grow(core, &batch->ops, &batch->ops_cap, batch->ops_n, sizeof(*batch->ops)))
        return false;
    batch->ops[batch->ops_n++] = *op;
    op->node->flags |= FS_NODE_BUSY;
    op->node->pins++;
    if (op->known != NULL)
        op->known->refs++;
    if (op->ticket != NULL)
        op->ticket->left++;
    return true;
}

static void op_end(struct fs_catalogue *core, const struct fs_own *op, int code)
{
    if (op->acked)
        fsc_published(core, op->id, code, op->known != NULL ? op->known->id : 0);
    fsc_ticket_done(core, op->ticket, code);
    op->node->flags &= (uint8_t)~FS_NODE_BUSY;
    core->waiting_due = true;
    op->node->pins--;
    fsc_prune_later(core, op->node);
    if (op->known != NULL)
        fsc_known_unref(core, op->known);
}

static void batch_free(struct fs_batch *batch)
{
    list_remove(&batch->link);
    core_free(batch->ops);
    core_free(batch);
}

static void batch_fail(struct fs_catalogue *core, struct fs_batch *batch, int code)
{
    for (size_t i = 0; i < batch->ops_n; i++)
        op_end(core, &batch->ops[i], code);
    batch_free(batch);
}

static void sync_batch(struct fs_catalogue *core, struct fs_batch *batch)
{
    struct catalogue_action *action = fsc_act(core, CATALOGUE_SYNC);
    batch->state = FS_BATCH_STORING;
    batch->token = ++core->token;
    list_remove(&batch->link); /* those that are being stored stand in the order of their numbers */
    list_append(&core->batches, &batch->link);
    core->storing_n++;
    if (action != NULL)
        action->token = batch->token;
}

static void batch_apply(struct fs_catalogue *core, struct fs_batch *batch);

static void store_end(struct fs_catalogue *core, struct fs_batch *batch)
{
    batch->highest = core->assigned;
    fsc_persist_head(core, core->own, batch->highest);
    sync_batch(core, batch);
    if (MUTANT(FS_ANNOUNCED_EARLY)) {
        core->storing_n--;
        batch_apply(core, batch);
    }
}

static void batch_store(struct fs_catalogue *core, struct fs_batch *batch)
{
    batch->state = FS_BATCH_READY;
    if (core->renewing || core->renew_index != 0)
        return;
    for (size_t i = 0; i < batch->ops_n; i++) {
        struct fs_own *op = &batch->ops[i];
        op->number = ++core->assigned;
        struct fs_record record = {.number = op->number & FS_NUMBER_MAX,
                                   .disk = core->own->no & 0xffff,
                                   .flags = op->flags & FS_RECORD_PLACE,
                                   .line = op->line & 0x3fu};
        if (op->known != NULL) {
            record.of.known = fsc_known_link(op->known);
        } else {
            record.of.node = fsc_node_link(op->node);
            fsc_flags_set(&record, FS_RECORD_GONE);
        }
        fsc_persist_record(core, &record, core->own->pass);
    }
    store_end(core, batch);
}

static void batch_sign(struct fs_catalogue *core, struct fs_batch *batch, size_t minted_n)
{
    struct catalogue_check *checks = arena_alloc(&core->arena, minted_n * sizeof(*checks));
    struct catalogue_action *action = checks != NULL ? fsc_act(core, CATALOGUE_SIGN) : NULL;
    if (action == NULL) {
        batch_fail(core, batch, KITH_E_MEMORY);
        return;
    }
    size_t n = 0;
    for (size_t i = 0; i < batch->ops_n; i++)
        if (batch->ops[i].minted)
            checks[n++] = (struct catalogue_check){.data = batch->ops[i].to_sign};
    action->token = batch->token;
    action->checks = checks;
    action->n = n;
    batch->state = FS_BATCH_SIGNING;
}

void fsc_own_submit(struct fs_catalogue *core)
{
    struct fs_batch *batch = core->open;
    size_t minted_n = 0;
    if (batch == NULL)
        return;
    core->open = NULL;
    for (size_t i = 0; i < batch->ops_n; i++)
        minted_n += batch->ops[i].minted;
    if (minted_n > 0)
        batch_sign(core, batch, minted_n);
    else
        batch_store(core, batch);
}

void fsc_own_signed(struct fs_catalogue *core, const struct catalogue_event *event)
{
    struct fs_batch *batch = NULL;
    list_for_each (it, &core->batches) {
        struct fs_batch *candidate = container_of(it, struct fs_batch, link);
        if (candidate->token == event->token && candidate->state == FS_BATCH_SIGNING)
            batch = candidate;
    }
    if (batch == NULL)
        return;
    size_t n = 0;
    for (size_t i = 0; i < batch->ops_n; i++)
        n += batch->ops[i].minted;
    int code = event->code;
    if (code == 0 && event->data.len != n * FS_SIGNATURE_BYTES)
        code = kith_fail_with(KITH_E_INTERNAL, "%zu signatures were asked for; %zu bytes came", n,
                              event->data.len);
    if (code != 0) {
        batch_fail(core, batch, code);
        return;
    }
    const uint8_t *signature = event->data.data;
    for (size_t i = 0; i < batch->ops_n; i++) {
        if (!batch->ops[i].minted)
            continue;
        memcpy(batch->ops[i].known->signature, signature, FS_SIGNATURE_BYTES);
        signature += FS_SIGNATURE_BYTES;
    }
    batch_store(core, batch);
}

/* ---- stored ---- */

static void batch_apply(struct fs_catalogue *core, struct fs_batch *batch)
{
    struct fs_disk *own = core->own;
    uint64_t from = own->highest;
    for (size_t i = 0; i < batch->ops_n; i++) {
        struct fs_own *op = &batch->ops[i];
        bool keeps = op->known != NULL && op->known->blob.at != 0 && (op->flags & FS_IN_KEEP) != 0;
        if (!fsc_record_put(core, own, op->node, op->known, op->number, op->flags, op->line))
            op->number = 0;
        else if (keeps)
            fs_blob_flag(fsc_blob_of(core, op->known), FS_BLOB_KEPT, true);
    }
    own->highest = batch->highest;
    if (batch->renewal) {
        own->whole = true;
        core->renewing = false;
        fsc_announce(core, own);
    } else {
        fsc_push_own(core, from);
    }
    for (size_t i = 0; i < batch->ops_n; i++) {
        const struct fs_own *op = &batch->ops[i];
        int code = 0;
        if (op->number == 0)
            code = kith_fail_with(KITH_E_LIMIT, "the catalogue of this node is full (%u records)",
                                  core->config.records_max);
        core->stats.published += op->acked && code == 0;
        op_end(core, op, code);
    }
    batch_free(batch);
}

static void renew_run(struct fs_catalogue *core);

static void store_ready(struct fs_catalogue *core)
{
    if (core->storing_n == 0 && core->renew_index != 0)
        renew_run(core);
    list_for_each_safe (it, &core->batches) {
        struct fs_batch *batch = container_of(it, struct fs_batch, link);
        if (batch->state == FS_BATCH_READY)
            batch_store(core, batch);
    }
}

void fsc_own_stored(struct fs_catalogue *core, const struct catalogue_event *event)
{
    list_for_each_safe (it, &core->batches) {
        struct fs_batch *batch = container_of(it, struct fs_batch, link);
        if (batch->token > event->token || batch->state != FS_BATCH_STORING)
            continue;
        core->storing_n--;
        if (event->code != 0 && !batch->renewal)
            batch_fail(core, batch, event->code);
        else
            batch_apply(core, batch);
    }
    store_ready(core);
}

/* ---- life ---- */

void fsc_own_start(struct fs_catalogue *core)
{
    struct fs_disk *own = core->own;
    own->known = true;
    own->whole = true;
    if (own->index_id == 0)
        own->index_id = fsc_unix_s(core) > 0 ? fsc_unix_s(core) : 1;
    /* A number a start, so that who forgot this disk hears of it again. */
    core->assigned = own->highest + 1;
    struct fs_batch *batch = batch_new(core);
    if (batch != NULL)
        store_end(core, batch);
}

/* All records get numbers above any that others may know, in an index of its own. */
static void renew_run(struct fs_catalogue *core)
{
    struct fs_disk *own = core->own;
    struct fs_batch *batch = batch_new(core);
    uint64_t *old = core_malloc((own->slots_n + (size_t)1) * sizeof(*old));
    if (batch == NULL || old == NULL) {
        core_free(old);
        if (batch != NULL)
            batch_free(batch);
        core->error = KITH_E_MEMORY;
        return;
    }
    uint64_t index_id = core->renew_index > own->index_id ? core->renew_index : own->index_id;
    index_id = index_id + 1 > fsc_unix_s(core) ? index_id + 1 : fsc_unix_s(core);
    if (core->assigned < core->renew_highest)
        core->assigned = core->renew_highest;
    own->sum = 0;
    for (uint32_t i = 0; i < own->slots_n; i++) {
        struct fs_record *record = fsc_record(core, own->slots[i]);
        if (record == NULL)
            continue;
        old[i] = record->number;
        record->number = ++core->assigned & FS_NUMBER_MAX;
        if ((record->flags & FS_RECORD_GONE) == 0)
            own->sum += fsc_record_sum(core, record);
        fsc_persist_record(core, record, own->pass + 1);
    }
    uint32_t pass = own->pass++;
    own->index_id = index_id;
    own->highest = ++core->assigned;
    fsc_persist_head(core, own, own->highest);
    for (uint32_t i = 0; i < own->slots_n; i++)
        if (own->slots[i] != 0)
            fsc_persist_drop(core, own->no, pass, old[i]);
    core_free(old);
    own->whole = false;
    batch->renewal = true;
    batch->highest = own->highest;
    core->renewing = true;
    core->renew_index = 0;
    core->renew_highest = 0;
    core->renewed_at_ms = core->now_ms;
    core->stats.renewals++;
    (void)fsc_act(core, CATALOGUE_RENEWED);
    sync_batch(core, batch);
}

void fsc_renew(struct fs_catalogue *core, uint64_t index_id, uint64_t highest)
{
    bool soon =
        core->stats.renewals > 0 && core->now_ms < core->renewed_at_ms + core->config.again_ms;
    if (MUTANT(FS_NO_RENEWAL) || core->renewing ||
        (soon && index_id <= core->own->index_id && highest <= core->own->highest))
        return;
    core->renew_index = index_id > core->renew_index ? index_id : core->renew_index;
    if (core->renew_index < core->own->index_id)
        core->renew_index = core->own->index_id;
    core->renew_highest = highest > core->renew_highest ? highest : core->renew_highest;
    if (core->storing_n == 0)
        renew_run(core);
}

void fsc_own_free(struct fs_catalogue *core)
{
    list_for_each_safe (it, &core->batches) {
        struct fs_batch *batch = container_of(it, struct fs_batch, link);
        for (size_t i = 0; i < batch->ops_n; i++) {
            const struct fs_own *op = &batch->ops[i];
            if (op->ticket != NULL && --op->ticket->left == 0)
                core_free(op->ticket);
            op->node->pins--;
            if (op->known != NULL)
                fsc_known_unref(core, op->known);
        }
        batch_free(batch);
    }
    list_for_each_safe (it, &core->waiting) {
        struct fs_waiting *waiting = container_of(it, struct fs_waiting, link);
        if (waiting->ticket != NULL && --waiting->ticket->left == 0)
            core_free(waiting->ticket);
        list_remove(it);
        core_free(waiting);
    }
}

/* ---- tidying ---- */

struct tidy {
    struct fs_node *node;
    struct fs_ticket *ticket;
    uint64_t lines; /* in use, a bit each */
};

static_assert(FS_LINES_N <= 64, "a bit for each line");

static void tidy_put(struct fs_catalogue *core,
                     struct tidy *tidy,
                     struct fs_known *known,
                     uint8_t place,
                     uint8_t line)
{
    struct fs_own op = {
        .node = tidy->node, .known = known, .ticket = tidy->ticket, .flags = place, .line = line};
    tidy->lines |= 1ull << line;
    (void)fsc_own_add(core, &op);
}

/* Of the own extra lines the one with the oldest version that is history: a copy that stays only
 * for a while. 0: there is none. */
static uint8_t line_of_oldest(const struct fs_catalogue *core, const struct fs_node *node)
{
    const struct fs_record *oldest = NULL;
    for (const struct fs_record *r = fsc_first(core, node); r != NULL; r = fsc_next(core, r)) {
        if (r->disk != core->own->no || r->line < FS_LINE_EXTRA ||
            (r->flags & (FS_RECORD_GONE | FS_RECORD_LOST)) != 0 ||
            (fsc_named(core, r)->flags & FS_KNOWN_MAXIMAL) != 0)
            continue;
        if (oldest == NULL || fsc_named(core, r)->moment < fsc_named(core, oldest)->moment)
            oldest = r;
    }
    return oldest != NULL ? oldest->line : 0;
}

static void
tidy_extra(struct fs_catalogue *core, struct tidy *tidy, struct fs_known *known, uint8_t place)
{
    for (unsigned line = FS_LINE_EXTRA; line < FS_LINES_N; line++) {
        if ((tidy->lines >> line & 1) != 0)
            continue;
        tidy_put(core, tidy, known, place, (uint8_t)line);
        return;
    }
    uint8_t line = line_of_oldest(core, tidy->node);
    if (line != 0)
        tidy_put(core, tidy, known, place, line);
    else
        core->stats.refused_limit++;
}

/* Another disk has it in a way that need not give way to this one's mere knowledge. Of two such
 * disks the greater gives way; should both do so at once, the version is LOST everywhere and taken
 * again. */
static bool named_above(const struct fs_catalogue *core, const struct fs_known *known)
{
    for (const struct fs_record *r = fsc_first(core, fsc_known_node(core, known)); r != NULL;
         r = fsc_next(core, r)) {
        if ((r->flags & (FS_RECORD_GONE | FS_RECORD_LOST | FS_RECORD_STALE)) != 0 ||
            fsc_named(core, r) != known || r->disk == core->own->no)
            continue;
        if (r->line < FS_LINE_EXTRA || (r->flags & FS_RECORD_PLACE) != 0 ||
            memcmp(core->disks[r->disk]->id.bytes, core->own->id.bytes, FS_DISK_BYTES) < 0)
            return true;
    }
    return false;
}

static void
tidy_record(struct fs_catalogue *core, struct tidy *tidy, const struct fs_record *record)
{
    struct fs_known *known = fsc_named(core, record);
    uint8_t place = record->flags & FS_RECORD_PLACE;
    bool kept = known->blob.at != 0 && (fsc_blob_of(core, known)->flags & FS_BLOB_KEPT) != 0;
    /* Only its own line knows of a file what the folder has. */
    bool folder = record->line == FS_LINE_FOLDER || known->kind != FS_FILE;
    uint8_t now = (uint8_t)((folder ? place & FS_IN_FOLDER : 0) | (kept ? FS_IN_KEEP : 0));
    bool history = (known->flags & FS_KNOWN_MAXIMAL) == 0;
    bool over = fsc_deleted_long_ago(core, known, 0);
    if (record->line == FS_LINE_FOLDER)
        over = over || (history && known->kind == FS_DELETED);
    else if (now == FS_NOWHERE)
        over = over || history || (record->line >= FS_LINE_EXTRA && named_above(core, known));
    if (over)
        tidy_put(core, tidy, NULL, 0, record->line);
    else if (now != place)
        tidy_put(core, tidy, known, now, record->line);
}

static bool has_own(const struct fs_catalogue *core, const struct fs_known *known)
{
    for (const struct fs_record *r = fsc_first(core, fsc_known_node(core, known)); r != NULL;
         r = fsc_next(core, r))
        if (r->disk == core->own->no && (r->flags & (FS_RECORD_GONE | FS_RECORD_LOST)) == 0 &&
            fsc_named(core, r) == known)
            return true;
    return false;
}

void fsc_tidy(struct fs_catalogue *core, struct fs_node *node, struct fs_ticket *ticket)
{
    struct tidy tidy = {.node = node, .ticket = ticket};
    if ((node->flags & FS_NODE_BUSY) != 0) {
        (void)fsc_wait(core, node, NULL, ticket);
        return;
    }
    for (const struct fs_record *r = fsc_first(core, node); r != NULL; r = fsc_next(core, r))
        if (r->disk == core->own->no && (r->flags & (FS_RECORD_GONE | FS_RECORD_LOST)) == 0)
            tidy.lines |= 1ull << r->line;
    for (const struct fs_record *r = fsc_first(core, node); r != NULL; r = fsc_next(core, r))
        if (r->disk == core->own->no && (r->flags & (FS_RECORD_GONE | FS_RECORD_LOST)) == 0)
            tidy_record(core, &tidy, r);
    for (struct fs_known *known = fsc_versions(core, node); known != NULL;
         known = fsc_older(core, known)) {
        bool kept = known->blob.at != 0 && (fsc_blob_of(core, known)->flags & FS_BLOB_KEPT) != 0;
        if (kept && (known->flags & FS_KNOWN_MAXIMAL) != 0 && !has_own(core, known))
            tidy_extra(core, &tidy, known, FS_IN_KEEP);
    }
    for (const struct fs_record *r = fsc_first(core, node); r != NULL; r = fsc_next(core, r)) {
        if ((r->flags & FS_RECORD_LOST) == 0 || fsc_named(core, r)->live_n > 0)
            continue;
        struct fs_aside *aside = &core->lost.items[r->slot];
        bool kept = fsc_named(core, r)->blob.at != 0 &&
                    (fsc_blob_of(core, fsc_named(core, r))->flags & FS_BLOB_KEPT) != 0;
        if (aside->due_ms > core->now_ms || kept)
            continue;
        aside->due_ms =
            core->now_ms + 2 * core->config.adopt_ms; /* should it not come to be stored */
        tidy_extra(core, &tidy, fsc_named(core, r), FS_NOWHERE);
        core->stats.adopted++;
    }
}

void fsc_tidy_all(struct fs_catalogue *core)
{
    for (size_t i = 0; i < core->tidy_n; i++) {
        struct fs_node *node = core->tidy[i];
        node->flags &= (uint8_t)~FS_NODE_TIDY;
        fsc_tidy(core, node, NULL);
        fsc_prune_later(core, node);
    }
    core->tidy_n = 0;
}

/*
 * Life of the core, its output, its timers.
 */
#include "fs/catalogue.h"

#include "fs/catalogue_internal.h"

#define SWEEP_MS (60 * 60 * 1000)
/* Arrays of a step that grew beyond this are given back. */
#define KEPT_MAX 4096

/* ---- memory of a step ---- */

bool fsc_grow(struct fs_catalogue *core, void *array, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return true;
    void *old;
    size_t more = *cap + *cap / 2 + 16;
    memcpy(&old, array, sizeof(old)); /* whatever it points to */
    void *new = core_realloc(old, more * size);
    if (new == NULL) {
        core->error = KITH_E_MEMORY;
        return false;
    }
    memcpy(array, &new, sizeof(new));
    *cap = more;
    return true;
}

struct catalogue_action *fsc_act(struct fs_catalogue *core, enum catalogue_action_type type)
{
    if (!fsc_grow(core, &core->actions, &core->actions_cap, core->actions_n,
                  sizeof(*core->actions)))
        return NULL;
    struct catalogue_action *action = &core->actions[core->actions_n++];
    *action = (struct catalogue_action){.type = type, .text = ""};
    return action;
}

void *fsc_keep(struct fs_catalogue *core, const void *data, size_t len)
{
    void *kept = arena_alloc(&core->arena, len);
    if (kept == NULL)
        core->error = KITH_E_MEMORY;
    else if (len > 0)
        memcpy(kept, data, len);
    return kept;
}

void fsc_send_kept(struct fs_catalogue *core,
                   const struct kith_node_id *peer,
                   const void *data,
                   size_t len)
{
    struct catalogue_action *action = fsc_act(core, CATALOGUE_SEND);
    if (action == NULL)
        return;
    action->peer = *peer;
    action->data = (struct kith_bytes){data, len};
    core->stats.messages_out++;
    core->stats.bytes_out += len;
}

void fsc_send(struct fs_catalogue *core,
              const struct kith_node_id *peer,
              const void *data,
              size_t len)
{
    const void *kept = fsc_keep(core, data, len);
    if (kept != NULL)
        fsc_send_kept(core, peer, kept, len);
}

/* ---- life ---- */

static void set_defaults(struct catalogue_config *config)
{
    const struct catalogue_config d = {
        .flush_ms = 10,
        .hash_ms = 10000,
        .pull_ms = 3000,
        .adopt_ms = 5000,
        .deleted_ms = 180ull * 24 * 3600 * 1000,
        .gone_ms = 30ull * 24 * 3600 * 1000,
        .again_ms = 60000,
        .records_max = FS_RECORDS_MAX,
        .disks_max = FS_DISKS_MAX,
        .replicas = 3,
    };
    config->flush_ms = config->flush_ms != 0 ? config->flush_ms : d.flush_ms;
    config->hash_ms = config->hash_ms != 0 ? config->hash_ms : d.hash_ms;
    config->pull_ms = config->pull_ms != 0 ? config->pull_ms : d.pull_ms;
    config->adopt_ms = config->adopt_ms != 0 ? config->adopt_ms : d.adopt_ms;
    config->deleted_ms = config->deleted_ms != 0 ? config->deleted_ms : d.deleted_ms;
    config->gone_ms = config->gone_ms != 0 ? config->gone_ms : d.gone_ms;
    config->again_ms = config->again_ms != 0 ? config->again_ms : d.again_ms;
    config->records_max = config->records_max != 0 ? config->records_max : d.records_max;
    config->disks_max = config->disks_max != 0 ? config->disks_max : d.disks_max;
    config->replicas = config->replicas != 0 ? config->replicas : d.replicas;
}

/* The folded one has number 0, the two hands of this disk 1 and 2. */
static bool first_disks(struct fs_catalogue *core)
{
    struct fs_author self = core->config.self;
    bool fine = fsc_disk(core, &fs_disk_folded) != NULL;
    size_t cap = 0;
    fine = fine && fsc_grow(core, &core->writers, &cap, 0, sizeof(*core->writers));
    core->writers_cap = (uint32_t)cap;
    if (!fine)
        return false;
    core->writers[0] = (struct fs_writer){0};
    core->writers_n = 1;
    uint32_t writer = fsc_writer(core, &self);
    self.disk.bytes[FS_DISK_BYTES - 1] ^= 1;
    uint32_t hand = fsc_writer(core, &self);
    if (writer == 0 || hand == 0)
        return false;
    core->own = core->disks[core->writers[writer].disk];
    core->own->writer = writer;
    core->hand = core->writers[hand].disk;
    return true;
}

int fs_catalogue_new(struct fs_catalogue **core_out, const struct catalogue_config *config)
{
    struct fs_catalogue *core = core_calloc(1, sizeof(*core));
    if (core == NULL)
        return KITH_E_MEMORY;
    core->config = *config;
    slab_init(&core->slab);
    fs_contents_init(&core->contents, &core->slab);
    set_defaults(&core->config);
    assert(core->config.disks_max <= FS_DISKS_MAX); /* numbers of disks have 16 bits */
    rng_init(&core->rng, config->seed);
    core->config.seed = rng_u64(&core->rng);
    list_init(&core->batches);
    list_init(&core->waiting);
    list_init(&core->wanting);
    list_init(&core->announce);
    list_init(&core->parked);
    core->flush_at_ms = UINT64_MAX;
    core->hash_at_ms = UINT64_MAX;
    core->pull_at_ms = UINT64_MAX;
    core->adopt_at_ms = UINT64_MAX;
    core->sweep_at_ms = UINT64_MAX;
    if (!first_disks(core)) {
        fs_catalogue_free(core);
        return KITH_E_MEMORY;
    }
    *core_out = core;
    return 0;
}

static void disk_free(struct fs_disk *disk)
{
    core_free(disk->slots);
    core_free(disk->stale.items);
    core_free(disk);
}

void fs_catalogue_free(struct fs_catalogue *core)
{
    if (core == NULL)
        return;
    fsc_parked_free(core);
    fsc_own_free(core);
    for (uint32_t i = 0; i < core->disks_n; i++)
        disk_free(core->disks[i]);
    core_free(core->lost.items);
    for (size_t i = 0; i < core->contents.buckets_n; i++)
        for (struct fs_blob *blob = fsc_blob(core, core->contents.buckets[i]); blob != NULL;
             blob = fsc_blob(core, blob->next))
            fsc_tally_free(core, blob);
    fs_contents_deinit(&core->contents);
    core_free(core->record_blocks);
    slab_deinit(&core->slab);
    map64_deinit(&core->removed);
    mapid_deinit(&core->disk_map);
    mapid_deinit(&core->node_map);
    arena_deinit(&core->arena);
    buf_deinit(&core->scratch);
    buf_deinit(&core->body);
    buf_deinit(&core->names);
    buf_deinit(&core->folded);
    core_free(core->disks);
    core_free(core->writers);
    core_free(core->dirty);
    core_free(core->tidy);
    core_free(core->prune);
    core_free(core->blobs_dirty);
    core_free(core->sort);
    core_free(core->actions);
    core_free(core->number_of);
    core_free(core->stamp_of);
    core_free(core);
}

struct fs_contents *fs_catalogue_contents(struct fs_catalogue *core)
{
    return &core->contents;
}

/* ---- steps ---- */

static void start(struct fs_catalogue *core)
{
    fsc_recall_end(core);
    fsc_refresh(core); /* what is shown at the beginning is no change */
    core->started = true;
    core->sweep_at_ms = core->now_ms + SWEEP_MS;
    for (uint32_t i = 0; i < core->own->slots_n; i++) {
        const struct fs_record *record = fsc_record(core, core->own->slots[i]);
        if (record != NULL && record->line != FS_LINE_FOLDER)
            fsc_tidy_later(core, fsc_record_node(core, record));
    }
    fsc_own_start(core);
}

static void adopt_due(struct fs_catalogue *core)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < core->lost.n; i++) {
        const struct fs_aside *aside = &core->lost.items[i];
        if (aside->due_ms <= core->now_ms)
            fsc_tidy_later(core, fsc_record_node(core, fsc_at(core, aside->record)));
        else if (aside->due_ms < next)
            next = aside->due_ms;
    }
    uint64_t later = core->now_ms + core->config.adopt_ms;
    if (core->lost.n > 0 && later < next)
        next = later;
    core->adopt_at_ms = next;
}

static void tick(struct fs_catalogue *core)
{
    if (core->now_ms >= core->flush_at_ms)
        fsc_flush(core);
    if (core->now_ms >= core->hash_at_ms)
        fsc_hash_next(core);
    if (core->now_ms >= core->adopt_at_ms)
        adopt_due(core);
    if (core->now_ms >= core->sweep_at_ms) {
        core->sweep_at_ms = core->now_ms + SWEEP_MS;
        fsc_sweep(core);
    }
}

static int handle(struct fs_catalogue *core, const struct catalogue_event *event)
{
    switch (event->type) {
    case CATALOGUE_RECALL:
        assert(!core->started);
        return fsc_recall(core, event->key, event->data);
    case CATALOGUE_START:
        start(core);
        return 0;
    case CATALOGUE_TICK:
        tick(core);
        return 0;
    case CATALOGUE_PUBLISH:
        for (size_t i = 0; i < event->n; i++)
            fsc_publish(core, &event->publications[i]);
        return 0;
    case CATALOGUE_HOLD:
        for (size_t i = 0; i < event->n; i++)
            fsc_hold(core, &event->holdings[i]);
        return 0;
    case CATALOGUE_LINK_UP:
        fsc_link_up(core, &event->peer);
        return 0;
    case CATALOGUE_LINK_DOWN:
        fsc_link_down(core, &event->peer);
        return 0;
    case CATALOGUE_RECV:
        return fsc_receive(core, &event->peer, event->data);
    case CATALOGUE_SIGNED:
        fsc_own_signed(core, event);
        return 0;
    case CATALOGUE_VERIFIED:
        fsc_verified(core, event);
        return 0;
    case CATALOGUE_STORED:
        fsc_own_stored(core, event);
        return 0;
    case CATALOGUE_FORGET:
        fsc_forget(core, &event->peer);
        return 0;
    }
    return KITH_E_INVALID;
}

static void shrink(void *array, size_t *cap)
{
    void *old;
    if (*cap <= KEPT_MAX)
        return;
    memcpy(&old, array, sizeof(old));
    core_free(old);
    old = NULL;
    memcpy(array, &old, sizeof(old));
    *cap = 0;
}

static void step_begin(struct fs_catalogue *core, const struct catalogue_event *event)
{
    arena_reset(&core->arena);
    core->actions_n = 0;
    core->error = 0;
    core->now_ms = event->now_ms > core->now_ms ? event->now_ms : core->now_ms;
    core->wall_ms = event->wall_ms;
    fsc_dead_free(core);
    fsc_prune(core);
    shrink(&core->actions, &core->actions_cap);
}

static void step_end(struct fs_catalogue *core)
{
    do {
        fsc_refresh(core);
        fsc_tidy_all(core);
        fsc_waiting_run(core);
        fsc_own_submit(core);
    } while (core->dirty_n > 0 || core->tidy_n > 0);
    if (core->now_ms >= core->pull_at_ms)
        fsc_pulls_run(core);
    shrink(&core->dirty, &core->dirty_cap);
    shrink(&core->tidy, &core->tidy_cap);
    shrink(&core->blobs_dirty, &core->blobs_dirty_cap);
}

int fs_catalogue_step(struct fs_catalogue *core,
                      const struct catalogue_event *event,
                      struct catalogue_output *out)
{
    step_begin(core, event);
    int code = handle(core, event);
    core->stats.bad_messages += code == KITH_E_CORRUPT;
    if (core->started)
        step_end(core);
    *out = (struct catalogue_output){.actions = core->actions, .actions_n = core->actions_n};
    return code != 0 ? code : core->error;
}

uint64_t fs_catalogue_deadline_ms(const struct fs_catalogue *core)
{
    const uint64_t times[] = {core->flush_at_ms, core->hash_at_ms, core->pull_at_ms,
                              core->adopt_at_ms, core->sweep_at_ms};
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; core->started && i < sizeof(times) / sizeof(times[0]); i++)
        least = times[i] < least ? times[i] : least;
    return least;
}

void fs_catalogue_stats(const struct fs_catalogue *core, struct catalogue_stats *stats_out)
{
    struct catalogue_stats *s = stats_out;
    *s = core->stats;
    s->paths = core->shares.shown_n;
    s->versions = core->versions_n;
    s->records = core->records_n;
    s->contents = core->blobs_n;
    s->conflicts = core->shares.conflicted_n;
    s->lost = core->lost.n;
    s->own_highest = core->own->highest;
    s->own_index = core->own->index_id;
    s->bytes = core->bytes + core->contents.bytes + sizeof(*core);
    s->waiting = core->waiting_n;
    list_for_each (it, &core->batches)
        s->waiting += container_of(it, struct fs_batch, link)->ops_n;
    s->disks = 0;
    for (uint32_t i = 1; i < core->disks_n; i++)
        s->disks += core->disks[i]->known && !core->disks[i]->forgotten;
}

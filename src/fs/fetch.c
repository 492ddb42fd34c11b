/*
 * Life of the fetch core: events, time, output, progress.
 */
#include "fs/fetch.h"

#include <assert.h>

#include "core/error.h"
#include "fs/fetch_internal.h"

/* ---- output ---- */

struct fetch_action *fetch_act(struct fetch_core *core, enum fetch_action_type type)
{
    if (core->actions_n == core->actions_cap) {
        size_t cap = core->actions_cap * 2 + 64;
        struct fetch_action *more = core_realloc(core->actions, cap * sizeof(*more));
        if (more == NULL) {
            core->error = KITH_E_MEMORY;
            return NULL;
        }
        core->actions = more;
        core->actions_cap = cap;
    }
    struct fetch_action *action = &core->actions[core->actions_n++];
    *action = (struct fetch_action){.type = type, .text = ""};
    return action;
}

struct kith_bytes fetch_keep(struct fetch_core *core, const void *data, size_t len)
{
    void *copy = arena_alloc(&core->arena, len);
    if (copy == NULL) {
        core->error = KITH_E_MEMORY;
        return (struct kith_bytes){0};
    }
    memcpy(copy, data, len);
    return (struct kith_bytes){.data = copy, .len = len};
}

/* ---- life ---- */

int fetch_new(struct fetch_core **core_out, const struct fetch_config *config)
{
    struct fetch_core *core = core_calloc(1, sizeof(*core));
    if (core == NULL)
        return KITH_E_MEMORY;
    core->config = *config;
    struct fetch_config *c = &core->config;
    c->bytes_max = c->bytes_max != 0 ? c->bytes_max : FS_FETCH_BYTES_MAX;
    c->lists_bytes_max = c->lists_bytes_max != 0 ? c->lists_bytes_max : FS_FETCH_LISTS_BYTES_MAX;
    c->contents_max = c->contents_max != 0 ? c->contents_max : FS_FETCH_CONTENTS_MAX;
    c->stall_ms = c->stall_ms != 0 ? c->stall_ms : FS_FETCH_STALL_MS;
    c->aside_ms = c->aside_ms != 0 ? c->aside_ms : FS_FETCH_ASIDE_MS;
    c->reach_ms = c->reach_ms != 0 ? c->reach_ms : FS_FETCH_REACH_MS;
    core->tick_ms = UINT64_MAX;
    core->slow_ms = UINT64_MAX;
    list_init(&core->dirty);
    list_init(&core->busy);
    list_init(&core->hungry);
    list_init(&core->outs);
    list_init(&core->watch);
    list_init(&core->doubting);
    list_init(&core->untold);
    list_init(&core->list_waiting);
    *core_out = core;
    return 0;
}

void fetch_free(struct fetch_core *core)
{
    if (core == NULL)
        return;
    size_t at = 0;
    struct fetch_file *file;
    while ((file = map64_next(&core->files, &at)) != NULL) {
        fetch_file_free(core, file);
        at = 0;
    }
    at = 0;
    struct fetch_job *job;
    while ((job = map64_next(&core->jobs, &at)) != NULL) {
        core_free(job->data);
        core_free(job);
    }
    at = 0;
    struct fetch_peer *peer;
    while ((peer = mapid_next(&core->peers, &at)) != NULL)
        fetch_peer_free(peer);
    fetch_spares_free(core);
    map64_deinit(&core->files);
    map64_deinit(&core->wants);
    map64_deinit(&core->jobs);
    mapid_deinit(&core->peers);
    arena_deinit(&core->arena);
    core_free(core->actions);
    core_free(core->from);
    core_free(core);
}

/* ---- time ---- */

static void tick(struct fetch_core *core)
{
    if (core->now_ms >= core->tick_ms) {
        core->tick_ms = UINT64_MAX;
        fetch_jobs_tick(core);
    }
    if (core->now_ms < core->slow_ms)
        return;
    core->slow_ms = UINT64_MAX;
    /* Judging may free the file itself, never another one. */
    struct list due;
    list_init(&due);
    list_splice(&due, &core->watch);
    struct list *first;
    while ((first = list_first(&due)) != NULL) {
        struct fetch_file *file = container_of(first, struct fetch_file, watch);
        list_remove(first);
        list_append(&core->watch, first);
        fetch_file_judge(core, file);
    }
}

static void arm(struct fetch_core *core)
{
    if (list_empty(&core->busy) && list_empty(&core->untold) && core->spares_n == 0)
        core->tick_ms = UINT64_MAX;
    else if (core->tick_ms == UINT64_MAX)
        core->tick_ms = core->now_ms + FETCH_TICK_MS;
    if (list_empty(&core->watch))
        core->slow_ms = UINT64_MAX;
    else if (core->slow_ms == UINT64_MAX)
        core->slow_ms = core->now_ms + FETCH_SLOW_MS;
}

uint64_t fetch_deadline_ms(const struct fetch_core *core)
{
    return core->tick_ms < core->slow_ms ? core->tick_ms : core->slow_ms;
}

int fetch_step(struct fetch_core *core, const struct fetch_event *event, struct fetch_output *out)
{
    int r = 0;
    arena_reset(&core->arena);
    core->actions_n = 0;
    core->error = 0;
    if (event->now_ms > core->now_ms)
        core->now_ms = event->now_ms;
    fetch_jobs_retell(core);
    switch (event->type) {
    case FETCH_START:
        fetch_start(core, event);
        break;
    case FETCH_CANCEL:
        fetch_cancel(core, event->id);
        break;
    case FETCH_HOLDERS: {
        struct fetch_file *file = fetch_file_find(core, &event->content);
        if (file != NULL)
            fetch_holders(core, file, event->holders, event->holders_n);
        break;
    }
    case FETCH_PEER_UP:
        fetch_peer_up(core, &event->peer);
        break;
    case FETCH_PEER_DOWN:
        fetch_peer_down(core, &event->peer);
        break;
    case FETCH_RECV:
        r = fetch_recv(core, &event->peer, event->data);
        break;
    case FETCH_VERIFIED:
        fetch_verified(core, event->token, event->code);
        break;
    case FETCH_WRITTEN:
        fetch_written(core, event->token, event->code, event->text);
        break;
    case FETCH_TICK:
        break;
    }
    tick(core);
    fetch_pump(core);
    fetch_flush(core);
    arm(core);
    *out = (struct fetch_output){.actions = core->actions, .actions_n = core->actions_n};
    return r != 0 ? r : core->error;
}

void *fetch_take(struct fetch_core *core, uint64_t token)
{
    struct fetch_job *job = map64_find(&core->jobs, token);
    if (job == NULL || job->state != FETCH_WRITING)
        return NULL;
    void *data = job->data;
    job->data = NULL;
    return data;
}

/* ---- questions ---- */

int fetch_progress(struct fetch_core *core, uint64_t id, struct fetch_progress *progress_out)
{
    struct fetch_want *want = map64_find(&core->wants, id);
    *progress_out = (struct fetch_progress){.eta_ms = UINT64_MAX};
    if (want == NULL)
        return KITH_E_NOT_FOUND;
    struct fetch_file *file = want->file;
    if (core->from == NULL)
        core->from = core_malloc(FS_FETCH_HOLDERS_MAX * sizeof(*core->from));
    progress_out->bytes = want->bytes;
    progress_out->bytes_done = want->bytes_done;
    bool fresh = file->slice_ms != 0 && core->now_ms < file->slice_ms + 5000;
    progress_out->rate = fresh ? file->rate : 0;
    if (progress_out->rate > 0)
        progress_out->eta_ms = (want->bytes - want->bytes_done) * 1000 / progress_out->rate;
    for (uint32_t i = 0; core->from != NULL && i < file->sources_n; i++) {
        const struct fetch_source *source = file->sources[i];
        core->from[i] = (struct fetch_from){.node = source->peer->id,
                                            .bytes = source->bytes,
                                            .rate = source->peer->rate,
                                            .asked = source->asked,
                                            .up = source->peer->up,
                                            .aside = source->aside_until_ms > core->now_ms};
    }
    progress_out->from = core->from;
    progress_out->from_n = core->from != NULL ? file->sources_n : 0;
    return 0;
}

bool fetch_has(const struct fetch_core *core, const struct content *content, uint32_t chunk)
{
    const struct fetch_file *file = fetch_file_find(core, content);
    return file != NULL && chunk < file->chunks && fetch_bit(file, FETCH_HAVE, chunk);
}

void fetch_stats(const struct fetch_core *core, struct fetch_stats *stats_out)
{
    *stats_out = core->stats;
    stats_out->fetches = core->wants.n;
    stats_out->bytes_held = core->bytes_held;
}

/* ---- invariants ---- */

static void check_file(const struct fetch_file *file)
{
    uint32_t have = 0;
    for (uint32_t i = 0; i < file->chunks; i++) {
        have += fetch_bit(file, FETCH_HAVE, i);
        assert(!(fetch_bit(file, FETCH_HAVE, i) && fetch_bit(file, FETCH_BUSY, i)));
    }
    assert(have == file->have_n);
    assert(!list_empty(&file->wants));
    list_for_each (it, &file->wants) {
        const struct fetch_want *want = container_of(it, struct fetch_want, of_file);
        uint32_t left = 0;
        for (uint32_t i = want->first; i < want->end; i++) {
            left += !fetch_bit(file, FETCH_HAVE, i);
            assert(i >= want->at || fetch_bit(file, FETCH_HAVE, i) ||
                   fetch_bit(file, FETCH_BUSY, i) || fetch_bit(file, FETCH_DOUBT, i));
        }
        assert(left == want->left && left > 0);
    }
    list_for_each (it, &file->asks) {
        const struct fetch_job *job = container_of(it, struct fetch_job, of_file);
        assert(job->file == file);
        assert(job->chunk == FETCH_LIST ? file->list_state == FETCH_LIST_ASKED
                                        : fetch_bit(file, FETCH_BUSY, job->chunk));
    }
    (void)have;
}

void fetch_check(const struct fetch_core *core)
{
    uint64_t held = 0;
    size_t at = 0;
    const struct fetch_job *job;
    while ((job = map64_next(&core->jobs, &at)) != NULL) {
        held += job->chunk == FETCH_LIST ? 0 : job->size;
        assert(job->got <= job->size);
        assert((job->peer != NULL) == (job->state == FETCH_ASKED));
    }
    assert(held == core->bytes_held);
    assert(core->spare_bytes <= FS_FETCH_SPARE_BYTES_MAX);
    at = 0;
    uint64_t asked = 0;
    const struct fetch_peer *peer;
    while ((peer = mapid_next(&core->peers, &at)) != NULL) {
        uint64_t bytes = 0;
        uint32_t n = 0;
        list_for_each (it, &peer->asks) {
            job = container_of(it, struct fetch_job, of_peer);
            assert(job->peer == peer && job->file != NULL);
            bytes += job->size - job->got;
            n++;
        }
        assert(bytes == peer->bytes_asked && n == peer->asks_n);
        assert(peer->up || n == 0);
        (void)bytes;
        asked += n;
    }
    assert(asked == core->stats.asked);
    (void)asked;
    at = 0;
    uint64_t files = 0;
    const struct fetch_file *file;
    while ((file = map64_next(&core->files, &at)) != NULL) {
        for (; file != NULL; file = file->next_same, files++)
            check_file(file);
    }
    assert(files == core->stats.contents);
    (void)held;
    (void)files;
}

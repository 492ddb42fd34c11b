/*
 * One chunk on its way: asked for, received, verified, written.
 */
#include <assert.h>

#include "core/error.h"
#include "fs/fetch_internal.h"

#define REST_BUSY_MS  8000
#define REST_STALL_MS 60000
#define SLICE_MS      100
/* Smaller ones are cheap to allocate. */
#define SPARE_BYTES_LEAST (64 * 1024)
/* Of the oldest asks of a peer, looked at for a second asking. */
#define TWICE_LOOKED_AT 64

/* ---- memory ---- */

static uint8_t *bytes_new(struct fetch_core *core, uint32_t size)
{
    for (uint32_t i = 0; i < core->spares_n; i++) {
        if (core->spares[i].size != size)
            continue;
        uint8_t *data = core->spares[i].data;
        core->spares[i] = core->spares[--core->spares_n];
        core->spare_bytes -= size;
        return data;
    }
    return core_malloc(size);
}

static void bytes_free(struct fetch_core *core, uint8_t *data, uint32_t size)
{
    if (data == NULL || size < SPARE_BYTES_LEAST || core->spares_n == FETCH_SPARES_MAX ||
        core->spare_bytes + size > FS_FETCH_SPARE_BYTES_MAX) {
        core_free(data);
        return;
    }
    core->spare_bytes += size;
    core->spares[core->spares_n++] = (struct fetch_spare){.data = data, .size = size};
}

void fetch_spares_free(struct fetch_core *core)
{
    while (core->spares_n > 0)
        core_free(core->spares[--core->spares_n].data);
    core->spare_bytes = 0;
}

/* ---- life ---- */

static struct fetch_job *job_new(struct fetch_core *core, struct fetch_file *file, uint32_t chunk)
{
    struct fetch_job *job = core_calloc(1, sizeof(*job));
    uint64_t number = core->next_number + 1;
    if (job == NULL || map64_set(&core->jobs, number, job) != 0) {
        core_free(job);
        core->error = KITH_E_MEMORY;
        return NULL;
    }
    core->next_number = number;
    job->number = number;
    job->file = file;
    job->chunk = chunk;
    job->asked_ms = core->now_ms;
    job->heard_ms = core->now_ms;
    if (chunk == FETCH_LIST) {
        job->size = content_list_bytes(&file->content);
        memcpy(job->hash, file->content.root, sizeof(job->hash));
    } else {
        job->size = content_chunk_bytes(&file->content, chunk);
        memcpy(job->hash, content_chunk_hash(&file->content, file->list, chunk), sizeof(job->hash));
        core->bytes_held += job->size;
        if (core->bytes_held > core->stats.bytes_held_most)
            core->stats.bytes_held_most = core->bytes_held;
    }
    list_append(&file->asks, &job->of_file);
    return job;
}

static void job_free(struct fetch_core *core, struct fetch_job *job)
{
    assert(job->peer == NULL);
    if (job->chunk != FETCH_LIST)
        core->bytes_held -= job->size;
    list_remove(&job->of_file);
    (void)map64_remove(&core->jobs, job->number);
    bytes_free(core, job->data, job->size);
    core_free(job);
    while (!list_empty(&core->hungry)) { /* there is room again */
        struct fetch_peer *peer =
            container_of(list_first(&core->hungry), struct fetch_peer, hungry);
        list_remove(&peer->hungry);
        fetch_peer_dirty(core, peer);
    }
}

/* Nothing more is expected of its peer. */
static void leave_peer(struct fetch_core *core, struct fetch_job *job)
{
    struct fetch_peer *peer = job->peer;
    peer->bytes_asked -= job->size - job->got;
    peer->asks_n--;
    core->stats.asked--;
    job->source->asked--;
    list_remove(&job->of_peer);
    job->peer = NULL;
    job->source = NULL;
    fetch_peer_dirty(core, peer);
}

void fetch_job_drop(struct fetch_core *core, struct fetch_job *job, bool tell)
{
    if (list_linked(&job->of_peer) && job->state != FETCH_ASKED) { /* nobody heard of it */
        list_remove(&job->of_peer);
        job_free(core, job);
        return;
    }
    if (job->state != FETCH_ASKED) { /* somebody works with its bytes */
        list_remove(&job->of_file);
        job->file = NULL;
        return;
    }
    struct fetch_peer *peer = job->peer;
    struct fetch_ask cancel = {.cancel = true, .request = job->number};
    core->stats.bytes_wasted += job->got;
    leave_peer(core, job);
    if (tell && peer->up)
        fetch_say(core, peer, &cancel);
    job_free(core, job);
}

/* Another ask of the same chunk. */
static struct fetch_job *twin_of(const struct fetch_job *job)
{
    if (!job->twice)
        return NULL;
    list_for_each (it, &job->file->asks) {
        struct fetch_job *other = container_of(it, struct fetch_job, of_file);
        if (other != job && other->chunk == job->chunk)
            return other;
    }
    return NULL;
}

void fetch_job_again(struct fetch_core *core, struct fetch_job *job, bool tell)
{
    struct fetch_file *file = job->file;
    uint32_t chunk = job->chunk;
    bool other = twin_of(job) != NULL;
    core->stats.asks_again++;
    fetch_job_drop(core, job, tell);
    if (!other)
        fetch_file_reopen(core, file, chunk);
}

/* ---- asking ---- */

bool fetch_ask(struct fetch_core *core,
               struct fetch_source *source,
               uint32_t chunk,
               uint8_t priority,
               bool twice)
{
    struct fetch_file *file = source->file;
    struct fetch_peer *peer = source->peer;
    struct fetch_job *job = job_new(core, file, chunk);
    if (job == NULL)
        return false;
    if (peer->asks_n == 0) {
        peer->heard_ms = core->now_ms;
        peer->slice_ms = 0; /* its rate is taken from the first byte on */
        peer->slice_bytes = 0;
    }
    job->state = FETCH_ASKED;
    job->source = source;
    job->peer = peer;
    job->from = peer->id;
    job->from_peer = true;
    job->twice = twice;
    source->asked++;
    peer->asks_n++;
    core->stats.asked++;
    peer->bytes_asked += job->size;
    list_append(&peer->asks, &job->of_peer);
    if (!list_linked(&peer->busy))
        list_append(&core->busy, &peer->busy);
    if (chunk == FETCH_LIST)
        file->list_state = FETCH_LIST_ASKED;
    else
        fetch_bit_set(file, FETCH_BUSY, chunk, true);
    core->stats.asks++;
    struct fetch_ask ask = {
        .request = job->number, .priority = priority, .content = file->content, .chunk = chunk};
    fetch_say(core, peer, &ask);
    return true;
}

/* VERIFY or WRITE, by its state. */
static void tell(struct fetch_core *core, struct fetch_job *job)
{
    bool write = job->state == FETCH_WRITING;
    struct fetch_action *action = fetch_act(core, write ? FETCH_WRITE : FETCH_VERIFY);
    if (action == NULL) { /* without an answer its chunk would be busy for ever */
        list_append(&core->untold, &job->of_peer);
        return;
    }
    action->token = job->number;
    action->content = job->file->content;
    action->chunk = job->chunk;
    action->hash = job->hash;
    action->peer = job->from;
    action->from_peer = job->from_peer;
    if (job->chunk != FETCH_LIST)
        action->offset = content_chunk_offset(&job->file->content, job->chunk);
    if (job->data != NULL)
        action->data = (struct kith_bytes){.data = job->data, .len = job->size};
}

static void verify(struct fetch_core *core, struct fetch_job *job)
{
    job->state = FETCH_VERIFYING;
    tell(core, job);
}

static void write_it(struct fetch_core *core, struct fetch_job *job)
{
    job->state = FETCH_WRITING;
    tell(core, job);
}

void fetch_jobs_retell(struct fetch_core *core)
{
    struct list *first;
    while ((first = list_first(&core->untold)) != NULL && core->error == 0) {
        list_remove(first);
        tell(core, container_of(first, struct fetch_job, of_peer));
    }
}

bool fetch_verify_here(struct fetch_core *core,
                       struct fetch_file *file,
                       uint32_t chunk,
                       const void *data)
{
    struct fetch_job *job = job_new(core, file, chunk);
    if (job == NULL)
        return false;
    job->got = job->size;
    if (data != NULL) {
        job->data = core_malloc(job->size);
        if (job->data == NULL) {
            core->error = KITH_E_MEMORY;
            job_free(core, job);
            return false;
        }
        memcpy(job->data, data, job->size);
    }
    verify(core, job);
    return true;
}

/* ---- what comes ---- */

static void damaged(struct fetch_core *core,
                    struct fetch_file *file,
                    const struct kith_node_id *from,
                    uint32_t chunk,
                    const char *text)
{
    struct fetch_source *source = fetch_source_of(file, from);
    struct fetch_action *action = fetch_act(core, FETCH_DAMAGED);
    core->stats.damaged++;
    if (action != NULL) {
        action->peer = *from;
        action->content = file->content;
        action->chunk = chunk;
        action->text = text;
    }
    if (source == NULL)
        return; /* it is no holder any more */
    source->damaged = true;
    struct fetch_peer *peer = source->peer;
    /* Who damages one content after the other is asked less and less. */
    peer->damages = (uint8_t)(peer->damages + (peer->damages < UINT8_MAX));
    if (peer->damages > 3)
        fetch_peer_rest(core, peer, REST_STALL_MS);
    fetch_source_aside(core, source, core->now_ms + core->config.aside_ms);
}

static void on_no(struct fetch_core *core, struct fetch_job *job, uint8_t reason)
{
    struct fetch_source *source = job->source;
    core->stats.refused++;
    source->peer->heard_ms = core->now_ms;
    if (reason == FETCH_NO_BUSY)
        fetch_peer_rest(core, source->peer, REST_BUSY_MS);
    fetch_job_again(core, job, false);
    if (reason == FETCH_NO_UNKNOWN)
        fetch_source_aside(core, source, UINT64_MAX);
    else if (reason == FETCH_NO_UNREADABLE)
        fetch_source_aside(core, source, core->now_ms + core->config.aside_ms);
}

/* Rates are taken in slices of some length, so that one record does not swing them. */
static void
rate_add(uint64_t now_ms, size_t len, uint64_t *bytes, uint64_t *since_ms, uint64_t *rate)
{
    *bytes += len;
    if (now_ms < *since_ms + SLICE_MS)
        return;
    uint64_t fresh = *bytes * 1000 / (now_ms - *since_ms);
    *rate = *rate != 0 ? (*rate * 3 + fresh) / 4 : fresh;
    *bytes = 0;
    *since_ms = now_ms;
}

static void count(struct fetch_core *core, struct fetch_job *job, size_t len)
{
    struct fetch_peer *peer = job->peer;
    struct fetch_file *file = job->file;
    if (job->got == 0) {
        uint64_t took_ms = core->now_ms - job->asked_ms;
        if (took_ms < peer->rtt_ms)
            peer->rtt_ms = (uint32_t)took_ms;
    }
    if (peer->slice_ms == 0)
        peer->slice_ms = core->now_ms;
    rate_add(core->now_ms, len, &peer->slice_bytes, &peer->slice_ms, &peer->rate);
    if (file->slice_ms == 0)
        file->slice_ms = core->now_ms;
    rate_add(core->now_ms, len, &file->slice_bytes, &file->slice_ms, &file->rate);
    peer->heard_ms = core->now_ms;
    peer->bytes_asked -= len;
    if (peer->grown < FS_FETCH_WINDOW_BYTES_MAX)
        peer->grown += len;
    if (peer->strikes > 0) {
        peer->strikes = 0;
        list_for_each (it, &peer->sources)
            fetch_file_lost(core, container_of(it, struct fetch_source, of_peer)->file);
    }
    job->heard_ms = core->now_ms;
    job->got += (uint32_t)len;
    job->source->bytes += len;
    file->bytes_in += len;
    core->stats.bytes_in += len;
    fetch_peer_dirty(core, peer);
}

static void on_bytes(struct fetch_core *core, struct fetch_job *job, const struct fetch_data *data)
{
    if (data->offset > job->got && data->offset < job->size) {
        /* A piece is missing, which its stream did not take: that proves nothing. */
        core->stats.bytes_wasted += data->bytes.len;
        core->stats.gaps++;
        fetch_peer_rest(core, job->peer, REST_BUSY_MS);
        fetch_job_again(core, job, true);
        return;
    }
    if (data->offset != job->got || data->bytes.len > job->size - job->got) {
        core->stats.bytes_wasted += data->bytes.len;
        damaged(core, job->file, &job->from, job->chunk,
                "it sent other bytes than those that were asked for");
        return; /* with its others, this one was asked for again */
    }
    if (job->data == NULL)
        job->data = bytes_new(core, job->size);
    if (job->data == NULL) {
        core->error = KITH_E_MEMORY;
        fetch_peer_rest(core, job->peer, REST_BUSY_MS);
        fetch_job_again(core, job, true);
        return;
    }
    memcpy(job->data + job->got, data->bytes.data, data->bytes.len);
    count(core, job, data->bytes.len);
    if (job->got < job->size)
        return;
    leave_peer(core, job);
    verify(core, job);
}

int fetch_recv(struct fetch_core *core, const struct kith_node_id *from, struct kith_bytes data)
{
    struct fetch_data got;
    if (fetch_data_decode(data.data, data.len, &got) != 0) {
        core->stats.bad_frames++;
        return KITH_E_CORRUPT;
    }
    struct fetch_job *job = map64_find(&core->jobs, got.request);
    if (job == NULL || job->state != FETCH_ASKED || !kith_node_id_equal(&job->from, from)) {
        core->stats.unexpected++; /* cancelled meanwhile, or made up */
        core->stats.bytes_wasted += got.bytes.len;
        return 0;
    }
    if (got.no)
        on_no(core, job, got.reason);
    else
        on_bytes(core, job, &got);
    return 0;
}

/* ---- what workers say ---- */

static void list_verified(struct fetch_core *core, struct fetch_job *job, int code)
{
    struct fetch_file *file = job->file;
    struct kith_node_id from = job->from;
    bool from_peer = job->from_peer;
    struct fetch_job *twin = twin_of(job);
    if (code == 0) {
        if (twin != NULL)
            fetch_job_drop(core, twin, true);
        file->list = job->data;
        job->data = NULL;
        job_free(core, job);
        fetch_file_listed(core, file);
        return;
    }
    file->list_known = false;
    job_free(core, job);
    if (twin == NULL)
        fetch_file_reopen(core, file, FETCH_LIST);
    if (from_peer && code == KITH_E_CORRUPT)
        damaged(core, file, &from, FETCH_LIST, "its list of chunks does not fit the file's hash");
}

/* A chunk of a former life. */
static void rechecked(struct fetch_core *core, struct fetch_job *job, int code)
{
    struct fetch_file *file = job->file;
    uint32_t chunk = job->chunk;
    file->rechecks_n--;
    job_free(core, job);
    if (code == 0)
        fetch_file_written(core, file, chunk);
    else
        fetch_file_reopen(core, file, chunk);
}

void fetch_verified(struct fetch_core *core, uint64_t token, int code)
{
    struct fetch_job *job = map64_find(&core->jobs, token);
    if (job == NULL || job->state != FETCH_VERIFYING)
        return;
    struct fetch_file *file = job->file;
    uint32_t chunk = job->chunk;
    if (MUTANT(FS_UNVERIFIED) && chunk != FETCH_LIST && job->from_peer)
        code = 0;
    if (file == NULL) {
        core->stats.bytes_wasted += job->from_peer ? job->got : 0;
        job_free(core, job);
    } else if (chunk == FETCH_LIST) {
        list_verified(core, job, code);
    } else if (!job->from_peer) {
        rechecked(core, job, code);
    } else if (code == 0) {
        struct fetch_job *twin;
        while ((twin = twin_of(job)) != NULL)
            fetch_job_drop(core, twin, true);
        job->twice = false;
        struct fetch_peer *peer = fetch_peer_find(core, &job->from);
        if (peer != NULL) {
            peer->damages = (uint8_t)(peer->damages - (peer->damages > 0));
            peer->rest_ms = 0;
        }
        write_it(core, job);
    } else {
        struct kith_node_id from = job->from;
        bool other = twin_of(job) != NULL;
        core->stats.bytes_wasted += job->got;
        job_free(core, job);
        if (!other)
            fetch_file_reopen(core, file, chunk);
        if (code == KITH_E_CORRUPT)
            damaged(core, file, &from, chunk, "a chunk that it sent does not fit its hash");
    }
}

void fetch_written(struct fetch_core *core, uint64_t token, int code, const char *text)
{
    struct fetch_job *job = map64_find(&core->jobs, token);
    if (job == NULL || job->state != FETCH_WRITING)
        return;
    struct fetch_file *file = job->file;
    uint32_t chunk = job->chunk;
    uint32_t size = job->size;
    job_free(core, job);
    if (file == NULL)
        return;
    if (code != 0) {
        fetch_file_fail(core, file, code, text);
        return;
    }
    core->stats.bytes_written += size;
    fetch_file_written(core, file, chunk);
}

/* ---- time ---- */

/* Who can be expected to send it much sooner than in @this_ms. */
static struct fetch_source *
sooner(struct fetch_core *core, const struct fetch_job *job, uint64_t this_ms)
{
    struct fetch_source *best = NULL;
    uint64_t best_ms = UINT64_MAX;
    for (uint32_t i = 0; i < job->file->sources_n; i++) {
        struct fetch_source *source = job->file->sources[i];
        const struct fetch_peer *peer = source->peer;
        if (peer == job->peer || !fetch_source_usable(core, source) || peer->strikes > 0 ||
            peer->rest_until_ms > core->now_ms || peer->bytes_asked >= fetch_peer_window(peer) ||
            peer->asks_n >= FS_FETCH_ASKS_MAX)
            continue;
        uint64_t ms = fetch_peer_eta_ms(peer, job->size);
        if (ms < best_ms) {
            best_ms = ms;
            best = source;
        }
    }
    return best != NULL && best_ms + best_ms / 2 + FETCH_TICK_MS < this_ms ? best : NULL;
}

/* The last chunks: is one of the oldest asks of @peer better had elsewhere? */
static void ask_twice(struct fetch_core *core, struct fetch_peer *peer)
{
    uint64_t ahead = 0;
    uint64_t silent_ms = core->now_ms - peer->heard_ms;
    unsigned looked = 0;
    list_for_each (it, &peer->asks) {
        struct fetch_job *job = container_of(it, struct fetch_job, of_peer);
        uint32_t chunk;
        uint8_t priority;
        if (++looked > TWICE_LOOKED_AT)
            return;
        ahead += job->size - job->got;
        if (job->twice || fetch_file_next(job->file, &chunk, &priority))
            continue;
        uint64_t this_ms = peer->rate > 0 ? ahead * 1000 / peer->rate : 0;
        if (silent_ms > 1000 && this_ms < 4 * silent_ms)
            this_ms = 4 * silent_ms;
        struct fetch_source *source = sooner(core, job, this_ms);
        priority = container_of(job->file->wants.next, struct fetch_want, of_file)->priority;
        if (source == NULL || (job->chunk != FETCH_LIST && !fetch_room(core, job->size, priority)))
            continue;
        job->twice = fetch_ask(core, source, job->chunk, priority, true);
        core->stats.asks_twice += job->twice;
    }
}

static void stalled(struct fetch_core *core, struct fetch_peer *peer)
{
    struct list *it;
    core->stats.stalled++;
    peer->strikes = (uint8_t)(peer->strikes + (peer->strikes < UINT8_MAX));
    fetch_peer_rest(core, peer, REST_STALL_MS);
    while ((it = list_first(&peer->asks)) != NULL)
        fetch_job_again(core, container_of(it, struct fetch_job, of_peer), true);
    list_for_each (source, &peer->sources)
        fetch_file_lost(core, container_of(source, struct fetch_source, of_peer)->file);
}

/* It sends others, but never this one. */
static void stuck(struct fetch_core *core, struct fetch_peer *peer)
{
    struct list *first = list_first(&peer->asks);
    if (first == NULL)
        return;
    struct fetch_job *job = container_of(first, struct fetch_job, of_peer);
    if (core->now_ms < job->heard_ms + 4ull * core->config.stall_ms)
        return;
    struct fetch_source *source = job->source;
    core->stats.stalled++;
    fetch_source_aside(core, source, core->now_ms + core->config.aside_ms);
}

void fetch_jobs_tick(struct fetch_core *core)
{
    if (core->jobs.n == 0)
        fetch_spares_free(core);
    list_for_each_safe (it, &core->busy) {
        struct fetch_peer *peer = container_of(it, struct fetch_peer, busy);
        if (peer->asks_n > 0 && core->now_ms >= peer->heard_ms + core->config.stall_ms)
            stalled(core, peer);
        else
            stuck(core, peer);
        if (peer->up && peer->asks_n > 0)
            ask_twice(core, peer);
        if (peer->rest_until_ms <= core->now_ms) {
            fetch_peer_dirty(core, peer);
            if (peer->asks_n == 0)
                list_remove(&peer->busy);
        }
    }
}

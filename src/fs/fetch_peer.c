/*
 * Holders: windows, turns, who is asked next.
 */
#include <assert.h>

#include "fs/fetch_internal.h"

/* Between two CONNECTs to a peer. */
#define CONNECT_MS    10000
#define REST_MS_LEAST 500
/*
 * Asked of a holder ahead of its rate: more than what waits in its streams for all its askers. With
 * less, their windows would decide on their shares, and keep whatever shares there are.
 */
#define AHEAD_MS 1000
/* Shares of the priorities, of 16. */
static const uint8_t weights[FETCH_PRIORITIES] = {16, 4, 1};
/* Of the memory, in quarters. */
static const uint8_t quarters[FETCH_PRIORITIES] = {4, 3, 2};

/* ---- life ---- */

struct fetch_peer *fetch_peer_find(const struct fetch_core *core, const struct kith_node_id *id)
{
    return mapid_find(&core->peers, id);
}

struct fetch_peer *fetch_peer_get(struct fetch_core *core, const struct kith_node_id *id)
{
    struct fetch_peer *peer = fetch_peer_find(core, id);
    if (peer != NULL || core->peers.n >= FS_FETCH_PEERS_MAX)
        return peer;
    peer = core_calloc(1, sizeof(*peer));
    if (peer == NULL || mapid_set(&core->peers, id, peer) != 0) {
        core_free(peer);
        core->error = KITH_E_MEMORY;
        return NULL;
    }
    peer->id = *id;
    peer->rtt_ms = UINT32_MAX;
    peer->grown = FS_FETCH_WINDOW_BYTES_START;
    list_init(&peer->sources);
    list_init(&peer->asks);
    for (unsigned i = 0; i < FETCH_PRIORITIES; i++)
        list_init(&peer->ready[i]);
    return peer;
}

void fetch_peer_free(struct fetch_peer *peer)
{
    buf_deinit(&peer->out);
    list_remove(&peer->dirty);
    list_remove(&peer->busy);
    list_remove(&peer->hungry);
    list_remove(&peer->outs);
    core_free(peer);
}

void fetch_peer_forget_if_idle(struct fetch_core *core, struct fetch_peer *peer)
{
    if (peer->up || !list_empty(&peer->sources) || peer->asks_n > 0)
        return;
    (void)mapid_remove(&core->peers, &peer->id);
    fetch_peer_free(peer);
}

void fetch_peer_dirty(struct fetch_core *core, struct fetch_peer *peer)
{
    if (peer->up && !list_linked(&peer->dirty))
        list_append(&core->dirty, &peer->dirty);
}

/* All that was asked of it is asked anew; the stream that it was asked on is gone. */
static void forget_asks(struct fetch_core *core, struct fetch_peer *peer)
{
    struct list *it;
    while ((it = list_first(&peer->asks)) != NULL)
        fetch_job_again(core, container_of(it, struct fetch_job, of_peer), false);
    peer->out.len = 0;
    list_remove(&peer->outs);
}

void fetch_peer_down(struct fetch_core *core, const struct kith_node_id *id)
{
    struct fetch_peer *peer = fetch_peer_find(core, id);
    if (peer == NULL || !peer->up)
        return;
    peer->up = false;
    list_remove(&peer->dirty);
    list_remove(&peer->hungry);
    forget_asks(core, peer);
    list_for_each (it, &peer->sources)
        fetch_file_lost(core, container_of(it, struct fetch_source, of_peer)->file);
    fetch_peer_forget_if_idle(core, peer);
}

void fetch_peer_up(struct fetch_core *core, const struct kith_node_id *id)
{
    struct fetch_peer *peer = fetch_peer_get(core, id);
    if (peer == NULL)
        return;
    if (peer->up)
        forget_asks(core, peer);
    peer->up = true;
    peer->strikes = 0;
    peer->rest_until_ms = 0;
    peer->rest_ms = 0;
    peer->rtt_ms = UINT32_MAX; /* it may be another way */
    peer->rate = 0;
    peer->grown = FS_FETCH_WINDOW_BYTES_START;
    list_for_each (it, &peer->sources) {
        struct fetch_file *file = container_of(it, struct fetch_source, of_peer)->file;
        fetch_file_lost(core, file);
        fetch_file_ready(core, file);
    }
}

void fetch_peer_rest(struct fetch_core *core, struct fetch_peer *peer, uint32_t ms_max)
{
    uint32_t ms = peer->rest_ms * 2;
    ms = ms < REST_MS_LEAST ? REST_MS_LEAST : ms;
    peer->rest_ms = ms < ms_max ? ms : ms_max;
    peer->rest_until_ms = core->now_ms + peer->rest_ms;
    if (!list_linked(&peer->busy))
        list_append(&core->busy, &peer->busy);
}

/* ---- sources ---- */

bool fetch_source_usable(const struct fetch_core *core, const struct fetch_source *source)
{
    return source->peer->up && source->aside_until_ms <= core->now_ms &&
           source->peer->strikes < FETCH_STRIKES;
}

struct fetch_source *fetch_source_of(const struct fetch_file *file, const struct kith_node_id *id)
{
    for (uint32_t i = 0; i < file->sources_n; i++)
        if (kith_node_id_equal(&file->sources[i]->peer->id, id))
            return file->sources[i];
    return NULL;
}

void fetch_source_ready(struct fetch_core *core, struct fetch_source *source, uint8_t priority)
{
    struct fetch_peer *peer = source->peer;
    uint64_t least = UINT64_MAX;
    (void)core;
    list_remove(&source->ready);
    /* Who had nothing to ask for a while has saved nothing up. */
    for (unsigned i = 0; i < FETCH_PRIORITIES && list_empty(&peer->ready[priority]); i++)
        if (!list_empty(&peer->ready[i]) && peer->vtime[i] < least)
            least = peer->vtime[i];
    if (least != UINT64_MAX && peer->vtime[priority] < least)
        peer->vtime[priority] = least;
    list_append(&peer->ready[priority], &source->ready);
}

/* What was asked of it for this content is asked elsewhere. */
static void source_asks_again(struct fetch_core *core, struct fetch_source *source)
{
    list_for_each_safe (it, &source->file->asks) {
        struct fetch_job *job = container_of(it, struct fetch_job, of_file);
        if (job->source == source)
            fetch_job_again(core, job, true);
    }
}

void fetch_source_aside(struct fetch_core *core, struct fetch_source *source, uint64_t until_ms)
{
    source->aside_until_ms = until_ms;
    source_asks_again(core, source);
    list_remove(&source->ready);
    fetch_file_lost(core, source->file);
}

static void
source_new(struct fetch_core *core, struct fetch_file *file, const struct kith_node_id *id)
{
    struct fetch_peer *peer = fetch_peer_get(core, id);
    struct fetch_source *source = peer != NULL ? core_calloc(1, sizeof(*source)) : NULL;
    if (source == NULL) {
        core->error = peer != NULL ? KITH_E_MEMORY : core->error;
        return;
    }
    source->file = file;
    source->peer = peer;
    source->named = true;
    list_append(&peer->sources, &source->of_peer);
    file->sources[file->sources_n++] = source;
}

void fetch_source_free(struct fetch_core *core, struct fetch_file *file, uint32_t at)
{
    struct fetch_source *source = file->sources[at];
    file->sources[at] = file->sources[--file->sources_n];
    source_asks_again(core, source);
    list_remove(&source->ready);
    list_remove(&source->of_peer);
    fetch_peer_forget_if_idle(core, source->peer);
    core_free(source);
}

void fetch_holders(struct fetch_core *core,
                   struct fetch_file *file,
                   const struct kith_node_id *holders,
                   size_t holders_n)
{
    for (uint32_t i = 0; i < file->sources_n; i++)
        file->sources[i]->named = false;
    for (size_t i = 0; i < holders_n; i++) {
        struct fetch_source *source = fetch_source_of(file, &holders[i]);
        if (source != NULL) {
            source->named = true;
            if (source->aside_until_ms == UINT64_MAX)
                source->aside_until_ms = 0;
        } else if (file->sources_n < FS_FETCH_HOLDERS_MAX) {
            source_new(core, file, &holders[i]);
        }
    }
    for (uint32_t i = file->sources_n; i-- > 0;)
        if (!file->sources[i]->named)
            fetch_source_free(core, file, i);
    fetch_file_lost(core, file);
    fetch_file_ready(core, file);
    fetch_connect(core, file);
}

void fetch_connect(struct fetch_core *core, struct fetch_file *file)
{
    uint32_t usable = 0;
    uint32_t aim = 2 + file->chunks / 8;
    for (uint32_t i = 0; i < file->sources_n; i++)
        usable += fetch_source_usable(core, file->sources[i]);
    for (uint32_t i = 0; i < file->sources_n && usable < aim; i++) {
        struct fetch_peer *peer = file->sources[i]->peer;
        if (peer->up || file->sources[i]->aside_until_ms > core->now_ms)
            continue;
        usable++;
        if (peer->connect_ms != 0 && core->now_ms < peer->connect_ms + CONNECT_MS)
            continue;
        peer->connect_ms = core->now_ms != 0 ? core->now_ms : 1;
        struct fetch_action *action = fetch_act(core, FETCH_CONNECT);
        if (action != NULL)
            action->peer = peer->id;
    }
}

/* ---- windows ---- */

uint64_t fetch_peer_window(const struct fetch_peer *peer)
{
    uint64_t rtt_ms = peer->rtt_ms != UINT32_MAX ? peer->rtt_ms : 0;
    uint64_t window = peer->rate * (2 * rtt_ms + AHEAD_MS) / 1000;
    if (MUTANT(FS_NO_WINDOW))
        return UINT64_MAX;
    if (peer->rate == 0 || window > FS_FETCH_WINDOW_BYTES_MAX)
        window = FS_FETCH_WINDOW_BYTES_MAX;
    if (window > peer->grown)
        window = peer->grown;
    return window > FS_FETCH_WINDOW_BYTES_MIN ? window : FS_FETCH_WINDOW_BYTES_MIN;
}

uint64_t fetch_peer_eta_ms(const struct fetch_peer *peer, uint64_t bytes)
{
    uint64_t rate = peer->rate > 0 ? peer->rate : FETCH_RATE_GUESS;
    uint64_t rtt_ms = peer->rtt_ms != UINT32_MAX ? peer->rtt_ms : 0;
    return rtt_ms + (peer->bytes_asked + bytes) * 1000 / rate;
}

bool fetch_room(const struct fetch_core *core, uint32_t bytes, uint8_t priority)
{
    if (MUTANT(FS_NO_WINDOW))
        return true;
    return core->bytes_held == 0 ||
           core->bytes_held + bytes <= core->config.bytes_max / 4 * quarters[priority];
}

/* ---- asking ---- */

static void send_out(struct fetch_core *core, struct fetch_peer *peer)
{
    struct kith_bytes kept = fetch_keep(core, peer->out.data, peer->out.len);
    peer->out.len = 0;
    struct fetch_action *action = kept.data != NULL ? fetch_act(core, FETCH_SEND) : NULL;
    if (action == NULL)
        return;
    action->peer = peer->id;
    action->data = kept;
    core->stats.frames_out++;
}

void fetch_say(struct fetch_core *core, struct fetch_peer *peer, const struct fetch_ask *ask)
{
    if (peer->out.len + FETCH_ASK_BYTES > FS_ASK_FRAME_BYTES_MAX)
        send_out(core, peer);
    if (fetch_ask_append(&peer->out, ask) != 0)
        core->error = KITH_E_MEMORY;
    if (!list_linked(&peer->outs))
        list_append(&core->outs, &peer->outs);
}

void fetch_flush(struct fetch_core *core)
{
    struct list *it;
    while ((it = list_first(&core->outs)) != NULL) {
        struct fetch_peer *peer = container_of(it, struct fetch_peer, outs);
        list_remove(it);
        if (peer->out.len > 0 && peer->up)
            send_out(core, peer);
    }
}

/* Of those that have something to ask and are not @blocked. */
static int pick(const struct fetch_peer *peer, unsigned blocked)
{
    int best = -1;
    for (int i = 0; i < FETCH_PRIORITIES; i++)
        if (!list_empty(&peer->ready[i]) && (blocked >> i & 1) == 0 &&
            (best < 0 || peer->vtime[i] < peer->vtime[best]))
            best = i;
    return best;
}

/* Asks for the next of @source, which is the first of its list. False: not now, for memory. */
static bool ask_next(struct fetch_core *core, struct fetch_source *source, uint8_t of)
{
    struct fetch_file *file = source->file;
    uint32_t chunk;
    uint8_t priority;
    if (source->aside_until_ms > core->now_ms || !fetch_file_next(file, &chunk, &priority)) {
        list_remove(&source->ready);
        return true;
    }
    if (priority != of) {
        fetch_source_ready(core, source, priority);
        return true;
    }
    uint32_t bytes = chunk == FETCH_LIST ? content_list_bytes(&file->content)
                                         : content_chunk_bytes(&file->content, chunk);
    if (chunk == FETCH_LIST ? !fetch_list_room(core, file) : false) {
        list_remove(&source->ready);
        return true;
    }
    if (chunk != FETCH_LIST && !fetch_room(core, bytes, priority))
        return false;
    list_remove(&source->ready);
    list_append(&source->peer->ready[priority], &source->ready);
    source->peer->vtime[priority] += (uint64_t)bytes * 16 / weights[priority] + 1;
    return fetch_ask(core, source, chunk, priority, false);
}

/* One ask, if windows, memory and turns allow it. */
static bool pump_peer(struct fetch_core *core, struct fetch_peer *peer)
{
    unsigned blocked = 0;
    bool asked = false;
    while (!asked && peer->up && peer->rest_until_ms <= core->now_ms &&
           peer->asks_n < FS_FETCH_ASKS_MAX && peer->bytes_asked < fetch_peer_window(peer)) {
        int priority = pick(peer, blocked);
        struct list *first = priority >= 0 ? list_first(&peer->ready[priority]) : NULL;
        if (first == NULL)
            break;
        uint32_t asks_n = peer->asks_n;
        if (!ask_next(core, container_of(first, struct fetch_source, ready), (uint8_t)priority))
            blocked |= 1u << priority;
        asked = peer->asks_n > asks_n;
    }
    if (blocked != 0 && !list_linked(&peer->hungry))
        list_append(&core->hungry, &peer->hungry);
    return asked;
}

void fetch_pump(struct fetch_core *core)
{
    list_for_each_safe (it, &core->doubting)
        fetch_file_recheck(core, container_of(it, struct fetch_file, doubting));
    /* By turns: a content of few chunks is shared by its holders too. */
    struct list *it;
    while ((it = list_first(&core->dirty)) != NULL) {
        struct fetch_peer *peer = container_of(it, struct fetch_peer, dirty);
        list_remove(it);
        if (pump_peer(core, peer))
            list_append(&core->dirty, it);
    }
}

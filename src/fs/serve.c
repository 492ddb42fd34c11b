/*
 * The answering side: queues of askers, turns by bytes, reads under way.
 */
#include "fs/serve.h"

#include <assert.h>

#include "core/alloc.h"
#include "core/arena.h"
#include "core/list.h"
#include "core/map.h"
#include "fs/fetch.h"
#include "fs/fetch_wire.h"
#include "kith/error.h"

/* What an ask costs beside its bytes: else small ones would be for nothing. */
#define ASK_COST_BYTES 512

struct peer {
    struct kith_node_id id;
    uint64_t room;     /* of its stream, as last told, less what was sent since */
    uint64_t reserved; /* bytes of reads under way for it */
    int64_t deficit;
    bool in_turn; /* its turn has begun: it got its share already */
    uint64_t bytes_out;
    struct map64 asks;                    /* by request */
    struct list queues[FETCH_PRIORITIES]; /* of asks that are not being read */
    struct list turn;                     /* core->turns: may have something to read */
    struct list reads;                    /* for it */
};

struct ask {
    struct peer *peer;
    uint64_t request;
    struct content content;
    uint32_t chunk;
    uint32_t size, at; /* sent up to there */
    uint8_t priority;
    struct list queue;
};

struct read {
    struct peer *peer; /* NULL: it is gone */
    struct ask *ask;   /* NULL: cancelled */
    uint64_t token;
    uint32_t len;
    struct list of_peer;
};

struct serve_core {
    struct serve_config config;
    struct mapid peers;
    struct map64 reads;
    struct list turns;
    uint64_t next_token;
    struct serve_stats stats;
    struct serve_action *actions;
    size_t actions_n, actions_cap;
    struct arena arena;
    int error;
};

/* ---- output ---- */

static struct serve_action *act(struct serve_core *core, enum serve_action_type type)
{
    if (core->actions_n == core->actions_cap) {
        size_t cap = core->actions_cap * 2 + 64;
        struct serve_action *more = core_realloc(core->actions, cap * sizeof(*more));
        if (more == NULL) {
            core->error = KITH_E_MEMORY;
            return NULL;
        }
        core->actions = more;
        core->actions_cap = cap;
    }
    struct serve_action *action = &core->actions[core->actions_n++];
    *action = (struct serve_action){.type = type};
    return action;
}

static void say_no(struct serve_core *core, struct peer *peer, uint64_t request, uint8_t reason)
{
    uint8_t *head = arena_alloc(&core->arena, FETCH_NO_BYTES);
    struct serve_action *action = head != NULL ? act(core, SERVE_SEND) : NULL;
    if (action == NULL) { /* the asker finds out by its own time */
        core->error = KITH_E_MEMORY;
        return;
    }
    fetch_no_encode(request, reason, head);
    action->peer = peer->id;
    action->head = (struct kith_bytes){.data = head, .len = FETCH_NO_BYTES};
}

/* ---- life ---- */

int fs_serve_new(struct serve_core **core_out, const struct serve_config *config)
{
    struct serve_core *core = core_calloc(1, sizeof(*core));
    if (core == NULL)
        return KITH_E_MEMORY;
    core->config = *config;
    struct serve_config *c = &core->config;
    c->reads_max = c->reads_max != 0 ? c->reads_max : FS_SERVE_READS_MAX;
    c->read_bytes_max = c->read_bytes_max != 0 ? c->read_bytes_max : FS_SERVE_READ_BYTES_MAX;
    c->asks_max = c->asks_max != 0 ? c->asks_max : FS_SERVE_ASKS_MAX;
    c->block_bytes = c->block_bytes != 0 ? c->block_bytes : FS_SERVE_BLOCK_BYTES;
    list_init(&core->turns);
    *core_out = core;
    return 0;
}

static void ask_free(struct serve_core *core, struct ask *ask)
{
    list_remove(&ask->queue);
    (void)map64_remove(&ask->peer->asks, ask->request);
    core->stats.asks--;
    core_free(ask);
}

static void peer_free(struct serve_core *core, struct peer *peer)
{
    size_t at = 0;
    struct ask *ask;
    list_for_each_safe (it, &peer->reads) {
        struct read *read = container_of(it, struct read, of_peer);
        list_remove(it);
        read->peer = NULL;
        read->ask = NULL;
    }
    while ((ask = map64_next(&peer->asks, &at)) != NULL) {
        ask_free(core, ask);
        at = 0;
    }
    map64_deinit(&peer->asks);
    list_remove(&peer->turn);
    (void)mapid_remove(&core->peers, &peer->id);
    core_free(peer);
    core->stats.peers--;
}

void fs_serve_free(struct serve_core *core)
{
    if (core == NULL)
        return;
    size_t at = 0;
    struct peer *peer;
    while ((peer = mapid_next(&core->peers, &at)) != NULL) {
        peer_free(core, peer);
        at = 0;
    }
    at = 0;
    struct read *read;
    while ((read = map64_next(&core->reads, &at)) != NULL)
        core_free(read);
    mapid_deinit(&core->peers);
    map64_deinit(&core->reads);
    arena_deinit(&core->arena);
    core_free(core->actions);
    core_free(core);
}

static void peer_up(struct serve_core *core, const struct kith_node_id *id, uint64_t room)
{
    struct peer *peer = mapid_find(&core->peers, id);
    if (peer != NULL)
        peer_free(core, peer); /* its stream is another one */
    if (core->peers.n >= FS_SERVE_PEERS_MAX)
        return;
    peer = core_calloc(1, sizeof(*peer));
    if (peer == NULL || mapid_set(&core->peers, id, peer) != 0) {
        core_free(peer);
        core->error = KITH_E_MEMORY;
        return;
    }
    peer->id = *id;
    peer->room = room;
    list_init(&peer->reads);
    for (unsigned i = 0; i < FETCH_PRIORITIES; i++)
        list_init(&peer->queues[i]);
    core->stats.peers++;
}

/* ---- turns ---- */

static struct ask *next_ask(const struct peer *peer)
{
    for (unsigned i = 0; i < FETCH_PRIORITIES; i++) {
        struct list *first = list_first(&peer->queues[i]);
        if (first != NULL)
            return container_of(first, struct ask, queue);
    }
    return NULL;
}

/* What to read for it next, and whether its stream takes it. Two blocks ahead keep a stream busy.
 */
static struct ask *wants(const struct serve_core *core, const struct peer *peer)
{
    uint64_t ahead = 2ull * core->config.block_bytes;
    ahead = peer->room < ahead ? peer->room : ahead;
    return peer->reserved < ahead ? next_ask(peer) : NULL;
}

static void queue_for_turn(struct serve_core *core, struct peer *peer)
{
    if (!list_linked(&peer->turn) && wants(core, peer) != NULL)
        list_append(&core->turns, &peer->turn);
}

static bool read_one(struct serve_core *core, struct peer *peer, struct ask *ask)
{
    struct read *read = core_calloc(1, sizeof(*read));
    uint64_t token = core->next_token + 1;
    if (read == NULL || map64_set(&core->reads, token, read) != 0) {
        core_free(read);
        core->error = KITH_E_MEMORY;
        return false;
    }
    struct serve_action *action = act(core, SERVE_READ);
    if (action == NULL) {
        (void)map64_remove(&core->reads, token);
        core_free(read);
        return false;
    }
    uint32_t left = ask->size - ask->at;
    core->next_token = token;
    *read = (struct read){.peer = peer, .ask = ask, .token = token};
    read->len = left < core->config.block_bytes ? left : core->config.block_bytes;
    list_append(&peer->reads, &read->of_peer);
    list_remove(&ask->queue);
    peer->reserved += read->len;
    core->stats.reads++;
    core->stats.read_bytes += read->len;
    if (core->stats.read_bytes > core->stats.read_bytes_most)
        core->stats.read_bytes_most = core->stats.read_bytes;
    action->peer = peer->id;
    action->token = token;
    action->content = ask->content;
    action->chunk = ask->chunk;
    action->offset = ask->at;
    action->len = read->len;
    action->priority = ask->priority;
    peer->deficit -= read->len + ASK_COST_BYTES;
    return true;
}

static bool may_read(const struct serve_core *core, const struct ask *ask)
{
    uint32_t left = ask->size - ask->at;
    uint32_t len = left < core->config.block_bytes ? left : core->config.block_bytes;
    return core->stats.reads < core->config.reads_max &&
           (core->stats.reads == 0 || core->stats.read_bytes + len <= core->config.read_bytes_max);
}

static void pump(struct serve_core *core)
{
    struct list *first;
    while ((first = list_first(&core->turns)) != NULL) {
        struct peer *peer = container_of(first, struct peer, turn);
        struct ask *ask;
        if (!peer->in_turn)
            peer->deficit += core->config.block_bytes;
        peer->in_turn = true;
        while ((ask = wants(core, peer)) != NULL && peer->deficit > 0) {
            if (!may_read(core, ask) || !read_one(core, peer, ask))
                return; /* its turn goes on when a read has ended */
        }
        peer->in_turn = false;
        list_remove(&peer->turn);
        if (ask != NULL)
            list_append(&core->turns, &peer->turn);
        else if (next_ask(peer) == NULL && peer->deficit > 0)
            peer->deficit = 0; /* nothing is saved up */
    }
}

/* ---- what comes ---- */

static bool on_ask(struct serve_core *core, struct peer *peer, const struct fetch_ask *ask)
{
    if (map64_find(&peer->asks, ask->request) != NULL)
        return false; /* a number is used once */
    core->stats.asks_in++;
    if (peer->asks.n >= core->config.asks_max) {
        core->stats.refused_busy++;
        say_no(core, peer, ask->request, FETCH_NO_BUSY);
        return true;
    }
    struct ask *fresh = core_calloc(1, sizeof(*fresh));
    if (fresh == NULL || map64_set(&peer->asks, ask->request, fresh) != 0) {
        core_free(fresh);
        core->stats.refused_busy++;
        say_no(core, peer, ask->request, FETCH_NO_BUSY);
        return true;
    }
    *fresh = (struct ask){.peer = peer,
                          .request = ask->request,
                          .content = ask->content,
                          .chunk = ask->chunk,
                          .size = fetch_ask_bytes(ask),
                          .priority = ask->priority};
    list_append(&peer->queues[ask->priority], &fresh->queue);
    core->stats.asks++;
    return true;
}

static void on_cancel(struct serve_core *core, struct peer *peer, uint64_t request)
{
    struct ask *ask = map64_find(&peer->asks, request);
    core->stats.cancels_in++;
    if (ask == NULL)
        return; /* answered already */
    list_for_each (it, &peer->reads) {
        struct read *read = container_of(it, struct read, of_peer);
        if (read->ask == ask)
            read->ask = NULL;
    }
    ask_free(core, ask);
}

static int recv_asks(struct serve_core *core, const struct kith_node_id *id, struct kith_bytes data)
{
    struct peer *peer = mapid_find(&core->peers, id);
    struct reader reader = reader_of(data.data, data.len);
    if (peer == NULL)
        return 0; /* its stream has ended meanwhile */
    while (reader.at < reader.len) {
        struct fetch_ask ask;
        fetch_ask_read(&reader, &ask);
        if (reader.bad || (!ask.cancel && !on_ask(core, peer, &ask))) {
            core->stats.bad_frames++;
            queue_for_turn(core, peer);
            return KITH_E_CORRUPT;
        }
        if (ask.cancel)
            on_cancel(core, peer, ask.request);
    }
    queue_for_turn(core, peer);
    return 0;
}

/* ---- what was read ---- */

static void send_block(struct serve_core *core, struct ask *ask, const uint8_t *data, uint32_t len)
{
    struct peer *peer = ask->peer;
    for (uint32_t at = 0; at < len;) {
        uint32_t n = len - at < FS_PIECE_BYTES_MAX ? len - at : FS_PIECE_BYTES_MAX;
        uint8_t *head = arena_alloc(&core->arena, FETCH_DATA_HEAD_BYTES);
        struct serve_action *action = head != NULL ? act(core, SERVE_SEND) : NULL;
        if (action == NULL) { /* what was not sent is read again */
            core->error = KITH_E_MEMORY;
            return;
        }
        fetch_data_head(ask->request, ask->at, head);
        action->peer = peer->id;
        action->head = (struct kith_bytes){.data = head, .len = FETCH_DATA_HEAD_BYTES};
        action->data = (struct kith_bytes){.data = data + at, .len = n};
        uint64_t wire = n + FETCH_DATA_HEAD_BYTES;
        peer->room -= peer->room < wire ? peer->room : wire;
        peer->bytes_out += n;
        core->stats.bytes_out += n;
        ask->at += n;
        at += n;
    }
}

static void read_done(struct serve_core *core, uint64_t token, int code, struct kith_bytes data)
{
    struct read *read = map64_remove(&core->reads, token);
    if (read == NULL)
        return;
    struct peer *peer = read->peer;
    struct ask *ask = read->ask;
    core->stats.reads--;
    core->stats.read_bytes -= read->len;
    list_remove(&read->of_peer);
    if (peer != NULL)
        peer->reserved -= read->len;
    if (code == 0 && data.len != read->len)
        code = KITH_E_IO;
    if (ask != NULL && code == 0) {
        send_block(core, ask, (const uint8_t *)data.data, read->len);
        if (ask->at < ask->size) {
            list_prepend(&peer->queues[ask->priority], &ask->queue);
        } else {
            core->stats.chunks_out++;
            ask_free(core, ask);
        }
    } else if (ask != NULL) {
        bool unknown = code == KITH_E_NOT_FOUND;
        core->stats.refused_unknown += unknown;
        core->stats.refused_unreadable += !unknown;
        say_no(core, peer, ask->request, unknown ? FETCH_NO_UNKNOWN : FETCH_NO_UNREADABLE);
        ask_free(core, ask);
    }
    core_free(read);
    if (peer != NULL)
        queue_for_turn(core, peer);
}

/* ---- steps ---- */

int fs_serve_step(struct serve_core *core,
                  const struct serve_event *event,
                  struct serve_output *out)
{
    int r = 0;
    struct peer *peer = mapid_find(&core->peers, &event->peer);
    arena_reset(&core->arena);
    core->actions_n = 0;
    core->error = 0;
    switch (event->type) {
    case SERVE_PEER_UP:
        peer_up(core, &event->peer, event->room);
        break;
    case SERVE_PEER_DOWN:
        if (peer != NULL)
            peer_free(core, peer);
        break;
    case SERVE_ROOM:
        if (peer != NULL) {
            peer->room = event->room;
            queue_for_turn(core, peer);
        }
        break;
    case SERVE_RECV:
        r = recv_asks(core, &event->peer, event->data);
        break;
    case SERVE_READ_DONE:
        read_done(core, event->token, event->code, event->data);
        break;
    }
    pump(core);
    *out = (struct serve_output){.actions = core->actions, .actions_n = core->actions_n};
    return r != 0 ? r : core->error;
}

void fs_serve_stats(const struct serve_core *core, struct serve_stats *stats_out)
{
    *stats_out = core->stats;
}

uint64_t fs_serve_bytes_to(const struct serve_core *core, const struct kith_node_id *peer)
{
    const struct peer *found = mapid_find(&core->peers, peer);
    return found != NULL ? found->bytes_out : 0;
}

void fs_serve_check(const struct serve_core *core)
{
    uint64_t bytes = 0;
    uint64_t asks = 0;
    size_t at = 0;
    const struct read *read;
    while ((read = map64_next(&core->reads, &at)) != NULL) {
        bytes += read->len;
        assert(read->ask == NULL || read->ask->peer == read->peer);
    }
    assert(bytes == core->stats.read_bytes && core->reads.n == core->stats.reads);
    assert(core->stats.reads <= core->config.reads_max);
    at = 0;
    const struct peer *peer;
    while ((peer = mapid_next(&core->peers, &at)) != NULL) {
        uint64_t reserved = 0;
        list_for_each (it, &peer->reads)
            reserved += container_of(it, struct read, of_peer)->len;
        assert(reserved == peer->reserved);
        assert(peer->asks.n <= core->config.asks_max);
        asks += peer->asks.n;
        /* Nobody is forgotten. */
        assert(wants(core, peer) == NULL || list_linked(&peer->turn));
        (void)reserved;
    }
    assert(asks == core->stats.asks && core->peers.n == core->stats.peers);
    (void)bytes;
    (void)asks;
}

/*
 * Copies: nodes, contents about which something is to be done, questions of others.
 */
#include "fs/keep.h"

#include <assert.h>

#include "fs/keep_internal.h"

#define ENTRY_BYTES (1 + 8 + CONTENT_ROOT_BYTES)
#define RETRY_MS    60000 /* after a fetch that failed */

/* ---- output ---- */

struct keep_action *keep_act(struct keep_core *core, enum keep_action_type type)
{
    if (core->actions_n == core->actions_cap) {
        size_t cap = core->actions_cap * 2 + 64;
        struct keep_action *more = core_realloc(core->actions, cap * sizeof(*more));
        if (more == NULL) {
            core->error = KITH_E_MEMORY;
            return NULL;
        }
        core->actions = more;
        core->actions_cap = cap;
    }
    struct keep_action *action = &core->actions[core->actions_n++];
    *action = (struct keep_action){.type = type, .text = ""};
    return action;
}

bool keep_act_on(struct keep_core *core,
                 enum keep_action_type type,
                 const struct content *content,
                 const char *text)
{
    struct keep_action *action = keep_act(core, type);
    if (action == NULL)
        return false;
    action->content = *content;
    action->text = text;
    return true;
}

void keep_say(struct keep_core *core,
              const struct kith_node_id *to,
              enum keep_entry kind,
              uint64_t question,
              const uint8_t root[CONTENT_ROOT_BYTES])
{
    uint8_t *data = arena_alloc(&core->arena, ENTRY_BYTES);
    struct keep_action *action = data != NULL ? keep_act(core, KEEP_SEND) : NULL;
    if (action == NULL) {
        core->error = KITH_E_MEMORY;
        return;
    }
    data[0] = (uint8_t)kind;
    put_le64(data + 1, question);
    memcpy(data + 9, root, CONTENT_ROOT_BYTES);
    action->peer = *to;
    action->data = (struct kith_bytes){.data = data, .len = ENTRY_BYTES};
}

/* ---- nodes ---- */

uint64_t keep_rank(const uint8_t root[CONTENT_ROOT_BYTES], const struct kith_node_id *node)
{
    uint8_t both[CONTENT_ROOT_BYTES + KITH_NODE_ID_BYTES];
    memcpy(both, root, CONTENT_ROOT_BYTES);
    memcpy(both + CONTENT_ROOT_BYTES, node->bytes, KITH_NODE_ID_BYTES);
    return hash_bytes(both, sizeof(both), 0x6b656570);
}

/* A total order: equal ranks by id. */
bool keep_ranks_above(const uint8_t root[CONTENT_ROOT_BYTES],
                      const struct kith_node_id *a,
                      const struct kith_node_id *b)
{
    uint64_t of_a = keep_rank(root, a);
    uint64_t of_b = keep_rank(root, b);
    return of_a != of_b ? of_a > of_b : memcmp(a->bytes, b->bytes, sizeof(a->bytes)) > 0;
}

static void node_is(struct keep_core *core, const struct kith_node_id *id, bool up)
{
    struct keep_node *node = mapid_find(&core->nodes, id);
    if (node == NULL && core->nodes.n < FS_KEEP_NODES_MAX) {
        node = core_calloc(1, sizeof(*node));
        if (node == NULL || mapid_set(&core->nodes, id, node) != 0) {
            core_free(node);
            core->error = KITH_E_MEMORY;
            return;
        }
        node->id = *id;
        node->since_ms = core->now_ms;
    }
    if (node == NULL || node->up == up)
        return;
    node->up = up;
    node->since_ms = core->now_ms;
    if (up)
        core->stats.nodes_up++;
    else
        core->stats.nodes_up--;
}

static void node_gone(struct keep_core *core, const struct kith_node_id *id)
{
    struct keep_node *node = mapid_remove(&core->nodes, id);
    if (node == NULL)
        return;
    core->stats.nodes_up -= node->up;
    core_free(node);
}

bool keep_node_up(const struct keep_core *core, const struct kith_node_id *id)
{
    const struct keep_node *node = mapid_find(&core->nodes, id);
    return node != NULL && node->up;
}

/* Its copy counts still. */
bool keep_node_counts(const struct keep_core *core, const struct kith_node_id *id)
{
    const struct keep_node *node = mapid_find(&core->nodes, id);
    if (node != NULL && node->up)
        return true;
    uint64_t since_ms = node != NULL ? node->since_ms : core->started_ms;
    return core->now_ms < since_ms + core->config.gone_ms;
}

/* ---- contents about which something is to be done ---- */

struct keep_pend *keep_pend_find(const struct keep_core *core, const uint8_t *root)
{
    struct keep_pend *pend = map64_find(&core->pends, get_le64(root));
    while (pend != NULL && memcmp(pend->content.root, root, CONTENT_ROOT_BYTES) != 0)
        pend = pend->next_same;
    return pend;
}

/* NULL: too many, or memory is short; it comes up again in the next round. */
struct keep_pend *keep_pend_get(struct keep_core *core, const struct content *content)
{
    struct keep_pend *pend = keep_pend_find(core, content->root);
    if (pend != NULL)
        return pend;
    if (core->stats.pending >= core->config.pending_max) {
        core->stats.full++;
        return NULL;
    }
    pend = core_calloc(1, sizeof(*pend));
    if (pend == NULL) {
        core->error = KITH_E_MEMORY;
        return NULL;
    }
    pend->content = *content;
    pend->next_same = map64_find(&core->pends, get_le64(content->root));
    if (map64_set(&core->pends, get_le64(content->root), pend) != 0) {
        core->error = KITH_E_MEMORY;
        core_free(pend);
        return NULL;
    }
    core->stats.pending++;
    return pend;
}

uint64_t keep_lacks(struct keep_core *core, const uint8_t *root)
{
    uint64_t key = get_le64(root);
    uint64_t since_ms = (uintptr_t)map64_find(&core->lacking, key);
    if (since_ms != 0)
        return since_ms;
    if (core->lacking.n >= core->config.pending_max) {
        core->stats.full++;
        return 0;
    }
    since_ms = core->now_ms + (core->now_ms == 0);
    if (map64_set(&core->lacking, key, (void *)(uintptr_t)since_ms) != 0) {
        core->error = KITH_E_MEMORY;
        return 0;
    }
    core->stats.lacking++;
    return since_ms;
}

void keep_lacks_none(struct keep_core *core, const uint8_t *root)
{
    if (map64_remove(&core->lacking, get_le64(root)) != NULL)
        core->stats.lacking--;
}

void keep_pend_scarce(struct keep_core *core, struct keep_pend *pend, bool scarce)
{
    core->stats.scarce += scarce && !pend->scarce;
    core->stats.scarce -= !scarce && pend->scarce;
    pend->scarce = scarce;
}

void keep_pend_ask_no_more(struct keep_pend *pend)
{
    if (pend->vote == NULL)
        return;
    list_remove(&pend->vote->link);
    core_free(pend->vote);
    pend->vote = NULL;
    pend->drop = KEEP_DROP_NONE;
}

static void pend_free(struct keep_core *core, struct keep_pend *pend)
{
    uint64_t key = get_le64(pend->content.root);
    struct keep_pend *first = map64_find(&core->pends, key);
    keep_pend_scarce(core, pend, false);
    keep_pend_ask_no_more(pend);
    if (first != pend) {
        while (first->next_same != pend)
            first = first->next_same;
        first->next_same = pend->next_same;
    } else if (pend->next_same != NULL) {
        (void)map64_set(&core->pends, key, pend->next_same);
    } else {
        (void)map64_remove(&core->pends, key);
    }
    core->stats.pending--;
    core_free(pend);
}

void keep_pend_free_if_idle(struct keep_core *core, struct keep_pend *pend)
{
    if (pend != NULL && !pend->scarce && pend->surplus_ms == 0 && pend->unreferenced_ms == 0 &&
        pend->drop == KEEP_DROP_NONE && !pend->fetching && !pend->scrubbing && !pend->adopting &&
        pend->retry_ms <= core->now_ms && !pend->repair)
        pend_free(core, pend);
}

static void on_fetched(struct keep_core *core, const struct content *content, int code)
{
    struct keep_pend *pend = keep_pend_find(core, content->root);
    if (pend == NULL || !pend->fetching)
        return;
    pend->fetching = false;
    core->stats.fetches--;
    if (code == 0) {
        core->stats.fetched++;
        core->stats.repaired += pend->repair;
        pend->repair = false;
    } else {
        core->stats.fetch_failed++;
        core->full = core->full || code == KITH_E_LIMIT;
        pend->retry_ms = core->now_ms + RETRY_MS;
    }
    keep_pend_free_if_idle(core, pend);
}

static void on_dropped(struct keep_core *core, const struct content *content, int code)
{
    struct keep_pend *pend = keep_pend_find(core, content->root);
    if (pend == NULL || pend->drop != KEEP_DROP_UNDER_WAY)
        return;
    pend->drop = KEEP_DROP_NONE;
    core->stats.drops--;
    core->stats.dropped += code == 0;
    pend->unreferenced_ms = 0;
    pend->surplus_ms = 0;
    keep_pend_free_if_idle(core, pend);
}

/* ---- questions ---- */

static void on_ask(struct keep_core *core,
                   const struct kith_node_id *peer,
                   uint64_t question,
                   const uint8_t *root)
{
    const struct keep_pend *pend = keep_pend_find(core, root);
    if (pend != NULL && pend->drop == KEEP_DROP_UNDER_WAY) {
        keep_say(core, peer, KEEP_ENTRY_NOT, question, root);
        return;
    }
    if (core->checks.n >= FS_KEEP_QUESTIONS_MAX)
        return; /* it asks again in its time */
    struct keep_asked *check = core_calloc(1, sizeof(*check));
    uint64_t token = core->next_number + 1;
    if (check == NULL || map64_set(&core->checks, token, check) != 0) {
        core_free(check);
        core->error = KITH_E_MEMORY;
        return;
    }
    core->next_number = token;
    *check = (struct keep_asked){.peer = *peer, .question = question};
    memcpy(check->root, root, sizeof(check->root));
    struct keep_action *action = keep_act(core, KEEP_CHECK);
    if (action == NULL) {
        (void)map64_remove(&core->checks, token);
        core_free(check);
        return;
    }
    action->token = token;
    memcpy(action->root, root, sizeof(action->root));
}

static void on_checked(struct keep_core *core, uint64_t token, uint8_t place)
{
    struct keep_asked *check = map64_remove(&core->checks, token);
    if (check == NULL)
        return;
    const struct keep_pend *pend = keep_pend_find(core, check->root);
    bool going = pend != NULL && pend->drop == KEEP_DROP_UNDER_WAY;
    enum keep_entry kind = place == KEEP_FOLDER           ? KEEP_ENTRY_FOLDER
                           : place == KEEP_KEEP && !going ? KEEP_ENTRY_KEEP
                                                          : KEEP_ENTRY_NOT;
    keep_say(core, &check->peer, kind, check->question, check->root);
    core_free(check);
}

/* ---- doubts ---- */

void keep_doubt_encode(const uint8_t root[CONTENT_ROOT_BYTES],
                       uint32_t chunk,
                       uint8_t out[KEEP_DOUBT_BYTES])
{
    out[0] = KEEP_ENTRY_DOUBT;
    put_le64(out + 1, chunk);
    memcpy(out + 9, root, CONTENT_ROOT_BYTES);
}

/* Bounded in time, so that one who lies costs some reading of this disk and nothing else. */
static void on_doubt(struct keep_core *core, const struct kith_node_id *peer, const uint8_t *root)
{
    struct keep_doubt *room = NULL;
    for (size_t i = 0; i < FS_KEEP_DOUBTS_MAX; i++) {
        struct keep_doubt *doubt = &core->doubts[i];
        bool over = doubt->told_ms == 0 || core->now_ms >= doubt->told_ms + FS_KEEP_DOUBT_MS;
        if (!over && memcmp(doubt->root, root, CONTENT_ROOT_BYTES) == 0)
            return;
        if (over)
            room = doubt;
    }
    struct keep_action *action = room != NULL ? keep_act(core, KEEP_DOUBT) : NULL;
    if (action == NULL)
        return;
    action->peer = *peer;
    memcpy(action->root, root, sizeof(action->root));
    room->told_ms = core->now_ms + (core->now_ms == 0);
    room->waits = true;
    memcpy(room->root, root, sizeof(room->root));
    core->stats.doubts++;
}

static int on_recv(struct keep_core *core, const struct kith_node_id *peer, struct kith_bytes data)
{
    const uint8_t *p = (const uint8_t *)data.data;
    if (data.len == 0 || data.len % ENTRY_BYTES != 0 ||
        data.len / ENTRY_BYTES > FS_KEEP_QUESTIONS_MAX) {
        core->stats.bad_frames++;
        return KITH_E_CORRUPT;
    }
    for (size_t at = 0; at < data.len; at += ENTRY_BYTES) {
        uint8_t kind = p[at];
        uint64_t question = get_le64(p + at + 1);
        const uint8_t *root = p + at + 9;
        if (kind == KEEP_ENTRY_ASK) {
            on_ask(core, peer, question, root);
            continue;
        }
        if (kind == KEEP_ENTRY_DOUBT) {
            on_doubt(core, peer, root);
            continue;
        }
        if (kind < KEEP_ENTRY_FOLDER || kind > KEEP_ENTRY_NOT) {
            core->stats.bad_frames++;
            return KITH_E_CORRUPT;
        }
        struct keep_pend *pend = keep_pend_find(core, root);
        if (pend != NULL && pend->vote != NULL && pend->vote->question == question)
            keep_on_answer(core, pend, peer, kind);
    }
    return 0;
}

static void end_questions(struct keep_core *core)
{
    struct list *first;
    while ((first = list_first(&core->asking)) != NULL) {
        const struct keep_vote *vote = container_of(first, struct keep_vote, link);
        struct keep_pend *pend = vote->pend;
        if (core->now_ms <= vote->asked_ms + core->config.answer_ms)
            return;
        core->stats.drop_refused++;
        keep_pend_ask_no_more(pend);
        pend->surplus_ms = core->now_ms; /* not before it has been too many again for a while */
    }
}

/* ---- steps ---- */

int keep_step(struct keep_core *core, const struct keep_event *event, struct keep_output *out)
{
    int r = 0;
    arena_reset(&core->arena);
    core->actions_n = 0;
    core->error = 0;
    if (event->now_ms > core->now_ms)
        core->now_ms = event->now_ms;
    core->wall_ms = event->wall_ms;
    end_questions(core);
    switch (event->type) {
    case KEEP_START:
        core->started_ms = core->now_ms;
        break;
    case KEEP_NODE_UP:
        node_is(core, &event->peer, true);
        break;
    case KEEP_NODE_DOWN:
        node_is(core, &event->peer, false);
        break;
    case KEEP_NODE_GONE:
        node_gone(core, &event->peer);
        break;
    case KEEP_LOOK:
        keep_look(core, event->facts);
        break;
    case KEEP_FETCHED:
        on_fetched(core, &event->content, event->code);
        break;
    case KEEP_DROPPED:
        on_dropped(core, &event->content, event->code);
        break;
    case KEEP_ADOPTED:
        keep_on_adopted(core, &event->content, event->code);
        break;
    case KEEP_SCRUBBED:
        keep_on_scrubbed(core, &event->content, event->code);
        break;
    case KEEP_CHECKED:
        on_checked(core, event->token, event->place);
        break;
    case KEEP_RECV:
        r = on_recv(core, &event->peer, event->data);
        break;
    case KEEP_USED:
        core->bytes = event->bytes;
        core->full = event->full;
        break;
    case KEEP_TICK:
        break;
    }
    *out = (struct keep_output){.actions = core->actions, .actions_n = core->actions_n};
    return r != 0 ? r : core->error;
}

uint64_t keep_deadline_ms(const struct keep_core *core)
{
    struct list *first = list_first(&core->asking);
    if (first == NULL)
        return UINT64_MAX;
    return container_of(first, struct keep_vote, link)->asked_ms + core->config.answer_ms + 1;
}

int keep_new(struct keep_core **core_out, const struct keep_config *config)
{
    struct keep_core *core = core_calloc(1, sizeof(*core));
    if (core == NULL)
        return KITH_E_MEMORY;
    core->config = *config;
    struct keep_config *c = &core->config;
    c->bytes_max = c->bytes_max != 0 ? c->bytes_max : UINT64_MAX;
    c->stable_ms = c->stable_ms != 0 ? c->stable_ms : 10 * 60 * 1000;
    c->gone_ms = c->gone_ms != 0 ? c->gone_ms : 10 * 60 * 1000;
    c->surplus_ms = c->surplus_ms != 0 ? c->surplus_ms : 60 * 60 * 1000;
    c->answer_ms = c->answer_ms != 0 ? c->answer_ms : 10 * 1000;
    c->unreferenced_ms = c->unreferenced_ms != 0 ? c->unreferenced_ms : 24ull * 3600 * 1000;
    c->seen_ms = c->seen_ms != 0 ? c->seen_ms : 3600ull * 1000;
    c->fetches_max = c->fetches_max != 0 ? c->fetches_max : FS_KEEP_FETCHES_MAX;
    c->pending_max = c->pending_max != 0 ? c->pending_max : FS_KEEP_PENDING_MAX;
    c->day_ms = c->day_ms != 0 ? c->day_ms : 24ull * 3600 * 1000;
    list_init(&core->asking);
    *core_out = core;
    return 0;
}

void keep_free(struct keep_core *core)
{
    if (core == NULL)
        return;
    size_t at = 0;
    struct keep_pend *pend;
    while ((pend = map64_next(&core->pends, &at)) != NULL) {
        while (pend != NULL) {
            struct keep_pend *next = pend->next_same;
            keep_pend_ask_no_more(pend);
            core_free(pend);
            pend = next;
        }
    }
    at = 0;
    struct keep_node *node;
    while ((node = mapid_next(&core->nodes, &at)) != NULL)
        core_free(node);
    at = 0;
    struct keep_asked *check;
    while ((check = map64_next(&core->checks, &at)) != NULL)
        core_free(check);
    map64_deinit(&core->pends);
    map64_deinit(&core->lacking);
    map64_deinit(&core->checks);
    mapid_deinit(&core->nodes);
    arena_deinit(&core->arena);
    core_free(core->actions);
    core_free(core);
}

void keep_stats(const struct keep_core *core, struct keep_stats *stats_out)
{
    *stats_out = core->stats;
}

void keep_check(const struct keep_core *core)
{
    uint64_t pending = 0;
    uint64_t fetches = 0;
    uint64_t drops = 0;
    uint64_t scarce = 0;
    unsigned scrubs = 0;
    unsigned adopts = 0;
    size_t at = 0;
    const struct keep_pend *pend;
    while ((pend = map64_next(&core->pends, &at)) != NULL) {
        for (; pend != NULL; pend = pend->next_same) {
            pending++;
            fetches += pend->fetching;
            drops += pend->drop == KEEP_DROP_UNDER_WAY;
            scarce += pend->scarce;
            scrubs += pend->scrubbing;
            adopts += pend->adopting;
            assert(!pend->adopting || (!pend->fetching && pend->drop == KEEP_DROP_NONE));
            assert((pend->vote != NULL) == (pend->drop == KEEP_DROP_ASKING));
            assert(pend->vote == NULL || pend->vote->above_n <= FS_COPIES_MAX);
        }
    }
    assert(pending == core->stats.pending && pending <= core->config.pending_max);
    assert(core->lacking.n == core->stats.lacking && fetches == core->stats.fetches);
    assert(core->lacking.n <= core->config.pending_max);
    assert(drops == core->stats.drops && scarce == core->stats.scarce);
    assert(fetches <= core->config.fetches_max);
    assert(scrubs == core->scrubbing && adopts == core->adopting);
    assert(core->checks.n <= FS_KEEP_QUESTIONS_MAX);
    (void)pending;
    (void)fetches;
    (void)drops;
    (void)scarce;
    (void)scrubs;
}

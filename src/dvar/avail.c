/*
 * Life of the core, its table, timers and reading.
 */
#include "dvar/avail.h"

#include "dvar/avail_internal.h"
#include "dvar/value.h"

/* A dead variable fades when this much of its time is over: it is forgotten by all at about the
 * same time then, and nobody brings it back to who forgot it first. */
#define FADE_NUM 23
#define FADE_DEN 24

/* ---- output ---- */

struct avail_action *avail_act(struct avail_core *core, enum avail_action_type type)
{
    if (core->actions_n == core->actions_cap) {
        size_t cap = core->actions_cap * 2 + 16;
        struct avail_action *more = core_realloc(core->actions, cap * sizeof(*more));
        if (more == NULL) {
            core->error = KITH_E_MEMORY;
            return NULL;
        }
        core->actions = more;
        core->actions_cap = cap;
    }
    struct avail_action *action = &core->actions[core->actions_n++];
    *action = (struct avail_action){.type = type, .text = ""};
    return action;
}

bool avail_keep(struct avail_core *core, struct buf *buf, struct kith_bytes *bytes_out)
{
    if (core->blocks_n == core->blocks_cap) {
        size_t cap = core->blocks_cap * 2 + 16;
        uint8_t **more = core_realloc(core->blocks, cap * sizeof(*more));
        if (more == NULL) {
            core->error = KITH_E_MEMORY;
            buf_deinit(buf);
            return false;
        }
        core->blocks = more;
        core->blocks_cap = cap;
    }
    core->blocks[core->blocks_n++] = buf->data;
    *bytes_out = (struct kith_bytes){.data = buf->data, .len = buf->len};
    *buf = (struct buf){0};
    return true;
}

static void reset_output(struct avail_core *core)
{
    for (size_t i = 0; i < core->blocks_n; i++)
        core_free(core->blocks[i]);
    core->blocks_n = 0;
    core->actions_n = 0;
    core->error = 0;
}

/* ---- table ---- */

struct avail_entry *avail_find(const struct avail_core *core, const char *name)
{
    return maptext_find(&core->entries, name);
}

static uint32_t leaf_of(const struct avail_entry *entry)
{
    return (uint32_t)(entry->name_hash % LEAVES_N);
}

/* Takes the entry out of its digest, or puts it in: the same operation. */
static void toggle_sum(struct avail_core *core, const struct avail_entry *entry)
{
    if (!entry->faded && entry->len > 0)
        core->sums[leaf_of(entry)] ^= avail_leaf_sum(entry);
}

uint64_t avail_fade_ms(const struct avail_core *core)
{
    return core->config.tombstone_ms / FADE_DEN * FADE_NUM;
}

uint64_t avail_age_ms(const struct avail_core *core, const struct avail_entry *entry)
{
    uint64_t left_ms = entry->fade.key > core->now_ms ? entry->fade.key - core->now_ms : 0;
    return heap_contains(&entry->fade) ? avail_fade_ms(core) - left_ms : 0;
}

static struct avail_entry *entry_new(struct avail_core *core, const char *name)
{
    size_t len = strlen(name);
    if (core->entries.n >= core->config.variables_max) {
        core->stats.refused_limit++;
        (void)kith_fail_with(
            KITH_E_LIMIT,
            "%s cannot be made: this node has %zu available variables and takes no "
            "more; delete some",
            name, core->entries.n);
        return NULL;
    }
    struct avail_entry *entry = core_calloc(1, sizeof(*entry) + len + 1);
    if (entry == NULL) {
        core->error = KITH_E_MEMORY;
        return NULL;
    }
    memcpy(entry->name, name, len + 1);
    entry->name_hash = hash_bytes(name, len, 0);
    if (maptext_set(&core->entries, entry->name, entry) != 0) {
        core->error = KITH_E_MEMORY;
        core_free(entry);
        return NULL;
    }
    list_append(&core->leaves[leaf_of(entry)], &entry->leaf);
    return entry;
}

static void entry_free(struct avail_core *core, struct avail_entry *entry)
{
    toggle_sum(core, entry);
    core->stats.bytes -= entry->len;
    core->stats.tombstones -= entry->dead;
    heap_remove(&core->fading, &entry->fade);
    list_remove(&entry->leaf);
    list_remove(&entry->fresh);
    list_remove(&entry->relay);
    list_remove(&entry->ack);
    (void)maptext_remove(&core->entries, entry->name);
    core_free(entry->state);
    core_free(entry);
}

static void set_dead(struct avail_core *core, struct avail_entry *entry, bool dead, uint64_t age_ms)
{
    core->stats.tombstones += dead;
    core->stats.tombstones -= entry->dead;
    entry->dead = dead;
    entry->faded = false;
    heap_remove(&core->fading, &entry->fade);
    if (!dead)
        return;
    uint64_t left_ms = avail_fade_ms(core) > age_ms ? avail_fade_ms(core) - age_ms : 0;
    if (heap_set(&core->fading, &entry->fade, core->now_ms + left_ms) != 0)
        core->error = KITH_E_MEMORY; /* it stays until it is written again: only memory is lost */
}

struct avail_entry *avail_put(struct avail_core *core,
                              struct avail_entry *entry,
                              const char *name,
                              const void *state,
                              size_t len,
                              uint64_t age_ms)
{
    if (core->stats.bytes + len > core->config.bytes_max && (entry == NULL || len > entry->len)) {
        core->stats.refused_limit++;
        (void)kith_fail_with(KITH_E_LIMIT,
                             "%s cannot grow: available variables of this node have %llu bytes and "
                             "take no more; delete some",
                             name, (unsigned long long)core->stats.bytes);
        return NULL;
    }
    uint8_t *copy = core_malloc(len);
    if (copy == NULL) {
        core->error = KITH_E_MEMORY;
        return NULL;
    }
    memcpy(copy, state, len);
    if (entry == NULL)
        entry = entry_new(core, name);
    if (entry == NULL) {
        core_free(copy);
        return NULL;
    }
    toggle_sum(core, entry);
    core->stats.bytes += len;
    core->stats.bytes -= entry->len;
    core_free(entry->state);
    entry->state = copy;
    entry->len = len;
    entry->version = ++core->versions;
    entry->state_hash = hash_bytes(copy, len, 1);
    entry->unsaved = true;
    struct state now = avail_view(entry);
    set_dead(core, entry, !state_is_alive(&now), age_ms);
    toggle_sum(core, entry);
    return entry;
}

void avail_mark_fresh(struct avail_core *core, struct avail_entry *entry, bool to_all)
{
    entry->to_all = entry->to_all || to_all;
    if (!list_linked(&entry->fresh))
        list_append(&core->fresh, &entry->fresh);
    if (core->flush_at_ms == UINT64_MAX) {
        uint64_t next_ms = core->flushed_ms + AVAIL_FLUSH_MS;
        core->flush_at_ms =
            core->flushed_ms == 0 || next_ms < core->now_ms ? core->now_ms : next_ms;
    }
}

void avail_mark_relay(struct avail_core *core, struct avail_entry *entry)
{
    if (!list_linked(&entry->relay))
        list_append(&core->relay, &entry->relay);
    if (core->relay_at_ms == UINT64_MAX)
        core->relay_at_ms = core->now_ms + RELAY_MS;
}

/* ---- peers ---- */

struct avail_peer *avail_peer_find(struct avail_core *core, const struct kith_node_id *id)
{
    for (uint32_t i = 0; i < core->peers_n; i++)
        if (kith_node_id_equal(&core->peers[i].id, id))
            return &core->peers[i];
    return NULL;
}

static void on_link_up(struct avail_core *core, const struct kith_node_id *id)
{
    struct avail_peer *peer = avail_peer_find(core, id);
    if (peer == NULL) {
        if (core->peers_n == AVAIL_PEERS_MAX) {
            core->stats.refused_limit++;
            return;
        }
        peer = &core->peers[core->peers_n++];
    }
    *peer = (struct avail_peer){.id = *id, .sync_at_ms = UINT64_MAX};
    /* One of the two compares at once, the other in its turn. */
    if (memcmp(core->config.self.node.bytes, id->bytes, sizeof(id->bytes)) < 0)
        avail_sync_start(core, peer);
}

static void on_link_down(struct avail_core *core, const struct kith_node_id *id)
{
    struct avail_peer *peer = avail_peer_find(core, id);
    if (peer != NULL)
        *peer = core->peers[--core->peers_n];
}

/* ---- timers ---- */

static void on_ack_retry(struct avail_core *core)
{
    list_for_each (it, &core->acks)
        avail_mark_fresh(core, container_of(it, struct avail_entry, ack), true);
    core->ack_at_ms =
        list_empty(&core->acks) ? UINT64_MAX : core->now_ms + core->config.ack_retry_ms;
}

static void persist_drop(struct avail_core *core, const struct avail_entry *entry)
{
    struct buf key = {0};
    struct kith_bytes kept;
    if (!core->config.persist)
        return;
    if (buf_append_text(&key, AVAIL_KEY_PREFIX) != 0 || buf_append_text(&key, entry->name) != 0) {
        buf_deinit(&key);
        core->error = KITH_E_MEMORY;
        return;
    }
    if (!avail_keep(core, &key, &kept))
        return;
    struct avail_action *action = avail_act(core, AVAIL_PERSIST);
    if (action != NULL)
        action->key = kept;
}

static void on_fading(struct avail_core *core)
{
    struct heap_node *first;
    while ((first = heap_first(&core->fading)) != NULL && first->key <= core->now_ms) {
        struct avail_entry *entry = container_of(first, struct avail_entry, fade);
        if (entry->faded) {
            persist_drop(core, entry);
            entry_free(core, entry);
            continue;
        }
        toggle_sum(core, entry);
        entry->faded = true;
        (void)heap_set(&core->fading, first,
                       core->now_ms + core->config.tombstone_ms - avail_fade_ms(core));
    }
}

static void on_sync(struct avail_core *core)
{
    for (uint32_t i = 0; i < core->peers_n; i++) {
        struct avail_peer *peer = &core->peers[i];
        if (peer->sync_at_ms <= core->now_ms)
            avail_sync_start(core, peer);
    }
    if (core->now_ms < core->sync_at_ms)
        return;
    if (core->peers_n > 0) {
        core->peer_next = (core->peer_next + 1) % core->peers_n;
        avail_sync_start(core, &core->peers[core->peer_next]);
    }
    /* Not all nodes at the same time. */
    uint64_t interval_ms = core->config.sync_interval_ms;
    core->sync_at_ms = core->now_ms + interval_ms / 2 + rng_below(&core->rng, interval_ms / 2 + 1);
}

static void timers(struct avail_core *core)
{
    on_fading(core);
    if (core->now_ms >= core->ack_at_ms)
        on_ack_retry(core);
    if (core->now_ms >= core->flush_at_ms)
        avail_flush(core);
    if (core->now_ms >= core->relay_at_ms)
        avail_relay(core);
    on_sync(core);
}

uint64_t avail_deadline_ms(const struct avail_core *core)
{
    if (!core->started)
        return UINT64_MAX;
    const struct heap_node *fade = heap_first(&core->fading);
    uint64_t times[] = {core->sync_at_ms, core->flush_at_ms, core->relay_at_ms, core->ack_at_ms,
                        fade != NULL ? fade->key : UINT64_MAX};
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        least = times[i] < least ? times[i] : least;
    for (uint32_t i = 0; i < core->peers_n; i++)
        least = core->peers[i].sync_at_ms < least ? core->peers[i].sync_at_ms : least;
    return least;
}

/* ---- step ---- */

static int on_recall(struct avail_core *core, const struct avail_event *event)
{
    char name[KITH_NAME_BYTES_MAX + 1];
    const char *key = event->key.data;
    size_t len = event->key.len;
    struct state state;
    if (len <= AVAIL_KEY_PREFIX_LEN ||
        value_name_check(key + AVAIL_KEY_PREFIX_LEN, len - AVAIL_KEY_PREFIX_LEN, true) != 0 ||
        state_decode(event->data.data, event->data.len, &state) != 0) {
        core->stats.bad_messages++;
        return kith_fail_with(
            KITH_E_CORRUPT, "a stored available variable is damaged; its copies elsewhere bring it "
                            "back");
    }
    len -= AVAIL_KEY_PREFIX_LEN;
    memcpy(name, key + AVAIL_KEY_PREFIX_LEN, len);
    name[len] = '\0';
    struct avail_entry *entry = avail_find(core, name);
    struct buf joined = {0};
    int r = state_join(entry != NULL ? entry->state : NULL, entry != NULL ? entry->len : 0,
                       event->data.data, event->data.len, &joined);
    if (r == 0 && avail_put(core, entry, name, joined.data, joined.len, 0) == NULL)
        r = core->error != 0 ? core->error : KITH_E_LIMIT;
    buf_deinit(&joined);
    return r;
}

static int on_recv(struct avail_core *core, const struct avail_event *event)
{
    struct avail_peer *from = avail_peer_find(core, &event->peer);
    struct reader r = reader_of(event->data.data, event->data.len);
    int code = KITH_E_CORRUPT;
    core->stats.messages_in++;
    core->stats.bytes_in += event->data.len;
    if (from == NULL)
        return 0; /* overtaken by the end of its link; it is compared again when it is back */
    switch (read_u8(&r)) {
    case AVAIL_MSG_STATES:
        code = avail_on_states(core, from, &r);
        break;
    case AVAIL_MSG_ACKS:
        code = avail_on_acks(core, from, &r);
        break;
    case AVAIL_MSG_SUMS:
        code = avail_on_sums(core, from, &r);
        break;
    case AVAIL_MSG_GROUPS:
        code = avail_on_groups(core, from, &r);
        break;
    case AVAIL_MSG_LEAVES:
        code = avail_on_leaves(core, from, &r);
        break;
    case AVAIL_MSG_WANT:
        code = avail_on_want(core, from, &r);
        break;
    }
    if (code == KITH_E_CORRUPT) {
        core->stats.bad_messages++;
        return kith_fail_with(code,
                              "a message of available variables does not decode; it is dropped");
    }
    return code;
}

int avail_step(struct avail_core *core, const struct avail_event *event, struct avail_output *out)
{
    int r = 0;
    reset_output(core);
    if (event->now_ms > core->now_ms)
        core->now_ms = event->now_ms;
    core->wall_ms = event->wall_ms;
    switch (event->type) {
    case AVAIL_RECALL:
        r = on_recall(core, event);
        break;
    case AVAIL_START:
        core->started = true;
        core->sync_at_ms = core->now_ms + rng_below(&core->rng, core->config.sync_interval_ms);
        break;
    case AVAIL_OP:
        for (size_t i = 0; i < event->ops_n + (event->ops_n == 0); i++)
            avail_on_op(core, &event->op[i]);
        break;
    case AVAIL_LINK_UP:
        on_link_up(core, &event->peer);
        break;
    case AVAIL_LINK_DOWN:
        on_link_down(core, &event->peer);
        break;
    case AVAIL_RECV:
        r = on_recv(core, event);
        break;
    case AVAIL_BOOT:
        core->config.self.boot_no = event->boot_no;
        break;
    case AVAIL_TICK:
        break;
    }
    if (core->started)
        timers(core);
    *out = (struct avail_output){.actions = core->actions, .actions_n = core->actions_n};
    return r != 0 ? r : core->error;
}

/* ---- life ---- */

int avail_new(struct avail_core **core_out, const struct avail_config *config)
{
    struct avail_core *core = core_calloc(1, sizeof(*core));
    if (core == NULL)
        return KITH_E_MEMORY;
    core->config = *config;
    struct avail_config *c = &core->config;
    c->sync_interval_ms = c->sync_interval_ms != 0 ? c->sync_interval_ms : 10000;
    c->tombstone_ms = c->tombstone_ms != 0 ? c->tombstone_ms : 24ull * 3600 * 1000;
    c->ack_retry_ms = c->ack_retry_ms != 0 ? c->ack_retry_ms : 300;
    c->quarantine_ms = c->quarantine_ms != 0 ? c->quarantine_ms : 60000;
    c->variables_max = c->variables_max != 0 ? c->variables_max : DVAR_VARIABLES_MAX;
    c->bytes_max = c->bytes_max != 0 ? c->bytes_max : AVAIL_BYTES_MAX;
    rng_init(&core->rng, config->seed);
    for (size_t i = 0; i < LEAVES_N; i++)
        list_init(&core->leaves[i]);
    list_init(&core->fresh);
    list_init(&core->relay);
    list_init(&core->acks);
    core->flush_at_ms = UINT64_MAX;
    core->relay_at_ms = UINT64_MAX;
    core->ack_at_ms = UINT64_MAX;
    *core_out = core;
    return 0;
}

void avail_free(struct avail_core *core)
{
    if (core == NULL)
        return;
    for (size_t i = 0; i < LEAVES_N; i++)
        list_for_each_safe (it, &core->leaves[i])
            entry_free(core, container_of(it, struct avail_entry, leaf));
    reset_output(core);
    maptext_deinit(&core->entries);
    heap_deinit(&core->fading);
    buf_deinit(&core->scratch);
    core_free(core->actions);
    core_free(core->blocks);
    core_free(core);
}

/* ---- reading ---- */

void avail_value_deinit(struct avail_value *value)
{
    buf_deinit(&value->data);
    buf_deinit(&value->context);
}

/* The items of a set or siblings as data of an array, which may be larger than one that is written:
 * both sides of a cut are in it. */
static int read_items(const struct state *s, struct buf *out)
{
    struct kith_bytes item;
    uint8_t word[4];
    uint32_t n = 0;
    uint32_t end = 0;
    for (size_t at = 0; state_item(s, &at, &item);)
        n++;
    put_le32(word, n);
    int r = buf_append(out, word, sizeof(word));
    for (size_t at = 0; r == 0 && state_item(s, &at, &item);) {
        end += (uint32_t)item.len;
        put_le32(word, end);
        r = buf_append(out, word, sizeof(word));
    }
    for (size_t at = 0; r == 0 && state_item(s, &at, &item);)
        r = buf_append(out, item.data, item.len);
    return r;
}

bool avail_has(const struct avail_core *core, const char *name)
{
    if (core->entries.n == 0)
        return false;
    struct state s = avail_view(avail_find(core, name));
    return state_is_alive(&s);
}

int avail_get(const struct avail_core *core, const char *name, struct avail_value *value_out)
{
    const struct avail_entry *entry = avail_find(core, name);
    struct state s = avail_view(entry);
    if (!state_is_alive(&s))
        return kith_fail_with(KITH_E_NOT_FOUND, "there is no variable %s; create or set it first",
                              name);
    value_out->merge = s.merge;
    value_out->type = s.type;
    value_out->version = entry->version;
    value_out->time_ms = s.merge == AVAIL_LWW ? state_latest(&s).ms : 0;
    value_out->data.len = 0;
    value_out->context.len = 0;
    if (s.merge == AVAIL_COUNTER) {
        uint8_t sum[8];
        put_le64(sum, (uint64_t)state_sum(&s));
        return buf_append(&value_out->data, sum, sizeof(sum));
    }
    if (s.merge == AVAIL_SET || s.merge == AVAIL_KEEP_BOTH) {
        struct kith_bytes context = state_context(&s);
        int r = read_items(&s, &value_out->data);
        if (r == 0 && s.merge == AVAIL_KEEP_BOTH)
            r = buf_append(&value_out->context, context.data, context.len);
        return r;
    }
    struct kith_bytes data = state_data(&s);
    return data.len > 0 ? buf_append(&value_out->data, data.data, data.len) : 0;
}

struct kith_bytes
avail_peek(const struct avail_core *core, const char *name, uint64_t *moment_ms_out)
{
    struct state s = avail_view(avail_find(core, name));
    if (s.merge != AVAIL_LWW || !state_is_alive(&s))
        return (struct kith_bytes){0};
    if (moment_ms_out != NULL)
        *moment_ms_out = state_latest(&s).ms;
    return state_data(&s);
}

const char *avail_next(const struct avail_core *core, size_t *at)
{
    const struct avail_entry *entry;
    while ((entry = maptext_next(&core->entries, at)) != NULL)
        if (!entry->dead)
            return entry->name;
    return NULL;
}

void avail_stats(const struct avail_core *core, struct avail_stats *stats_out)
{
    *stats_out = core->stats;
    stats_out->variables = core->entries.n - core->stats.tombstones;
}

uint64_t avail_digest(const struct avail_core *core)
{
    return hash_bytes(core->sums, sizeof(core->sums), 0);
}

void avail_check(const struct avail_core *core)
{
    uint64_t bytes = 0;
    uint64_t dead = 0;
    size_t n = 0;
    for (size_t i = 0; i < LEAVES_N; i++) {
        uint64_t sum = 0;
        list_for_each (it, &core->leaves[i]) {
            const struct avail_entry *entry = container_of(it, struct avail_entry, leaf);
            struct state state;
            assert(state_decode(entry->state, entry->len, &state) == 0);
            assert(state_is_alive(&state) == !entry->dead);
            assert(entry->version > 0);
            assert(!entry->faded || entry->dead);
            assert((entry->ack_version != 0) == list_linked(&entry->ack));
            sum ^= entry->faded ? 0 : avail_leaf_sum(entry);
            bytes += entry->len;
            dead += entry->dead;
            n++;
        }
        assert(sum == core->sums[i]);
    }
    assert(n == core->entries.n);
    assert(bytes == core->stats.bytes);
    assert(dead == core->stats.tombstones);
    assert(list_empty(&core->fresh) || core->flush_at_ms != UINT64_MAX);
    assert(list_empty(&core->relay) || core->relay_at_ms != UINT64_MAX);
    assert(list_empty(&core->acks) || core->ack_at_ms != UINT64_MAX);
}

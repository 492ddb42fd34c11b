/*
 * States and acks.
 *
 *     STATES  u8 1, then each: u8 bytes of the name, u8 flags, with STATES_ACK u64 version,
 *             with STATES_DEAD u32 age in seconds, u32 bytes of the state, name, state
 *     ACKS    u8 2, then each: u8 bytes of the name, name, u64 version
 */
#include "dvar/avail_internal.h"
#include "dvar/value.h"

enum { STATES_ACK = 1, STATES_DEAD = 2 };

/* A local write goes to all of so few neighbours, to so many of more; who gets it passes it on. */
#define DIRECT_MAX 16
#define FANOUT     4
/* Neighbours that news is passed on to. */
#define RELAY_FANOUT 2

void avail_send(struct avail_core *core, const struct kith_node_id *to, struct buf *buf)
{
    struct kith_bytes bytes;
    if (!avail_keep(core, buf, &bytes))
        return;
    struct avail_action *action = avail_act(core, AVAIL_SEND);
    if (action == NULL)
        return;
    action->peer = *to;
    action->data = bytes;
    core->stats.messages_out++;
    core->stats.bytes_out += bytes.len;
}

/* A moment that others would not take yet (or we from others). */
static bool is_ahead(const struct avail_core *core, const struct state *state)
{
    if (core->config.moments_given || MUTANT(AVAIL_FUTURE_CLOCK))
        return false;
    return state_latest(state).ms > core->wall_ms + AVAIL_AHEAD_MAX_MS;
}

void avail_packet_send(struct avail_core *core, struct avail_packet *packet)
{
    if (packet->buf.len > 1)
        avail_send(core, &packet->to, &packet->buf);
    buf_deinit(&packet->buf);
}

static int
append_state(const struct avail_core *core, struct buf *buf, const struct avail_entry *entry)
{
    size_t name_len = strlen(entry->name);
    bool ack = entry->ack_version != 0;
    int r = buf_reserve(buf, 3 + 16 + name_len + entry->len);
    if (r != 0)
        return r;
    uint8_t *p = buf->data + buf->len;
    *p++ = (uint8_t)name_len;
    *p++ = (uint8_t)((ack ? STATES_ACK : 0) | (entry->dead ? STATES_DEAD : 0));
    if (ack) {
        put_le64(p, entry->version);
        p += 8;
    }
    if (entry->dead) {
        put_le32(p, (uint32_t)(avail_age_ms(core, entry) / 1000));
        p += 4;
    }
    put_le32(p, (uint32_t)entry->len);
    memcpy(p + 4, entry->name, name_len);
    memcpy(p + 4 + name_len, entry->state, entry->len);
    buf->len = (size_t)(p - buf->data) + 4 + name_len + entry->len;
    return 0;
}

bool avail_packet_state(struct avail_core *core,
                        struct avail_packet *packet,
                        const struct avail_entry *entry)
{
    struct state state = state_view(entry->state, entry->len);
    if (entry->faded || is_ahead(core, &state))
        return true;
    if (packet->buf.len > 1 && packet->buf.len + entry->len > MESSAGE_FILL_BYTES)
        avail_packet_send(core, packet);
    if (packet->buf.len == 0 && buf_append_u8(&packet->buf, AVAIL_MSG_STATES) != 0) {
        core->error = KITH_E_MEMORY;
        return false;
    }
    if (append_state(core, &packet->buf, entry) != 0) {
        core->error = KITH_E_MEMORY;
        return false;
    }
    packet->sent_bytes += entry->len;
    return true;
}

/* ---- sending ---- */

static void persist(struct avail_core *core, struct avail_entry *entry)
{
    struct buf key = {0};
    struct kith_bytes kept;
    if (!core->config.persist || !entry->unsaved)
        return;
    if (buf_append_text(&key, AVAIL_KEY_PREFIX) != 0 || buf_append_text(&key, entry->name) != 0) {
        buf_deinit(&key);
        core->error = KITH_E_MEMORY;
        return;
    }
    if (!avail_keep(core, &key, &kept))
        return;
    struct avail_action *action = avail_act(core, AVAIL_PERSIST);
    if (action == NULL)
        return;
    action->key = kept;
    action->data = (struct kith_bytes){.data = entry->state, .len = entry->len};
    entry->unsaved = false;
}

/* @n neighbours in turn, from @first on. */
static struct avail_peer *neighbour(struct avail_core *core, uint32_t first, uint32_t i)
{
    return &core->peers[(first + i) % core->peers_n];
}

static uint32_t next_turn(struct avail_core *core, uint32_t n)
{
    uint32_t first = core->peer_next;
    if (core->peers_n > 0)
        core->peer_next = (core->peer_next + n) % core->peers_n;
    return first;
}

void avail_flush(struct avail_core *core)
{
    uint32_t n = core->peers_n <= DIRECT_MAX ? core->peers_n : FANOUT;
    uint32_t first = next_turn(core, n);
    for (uint32_t i = 0; i < n; i++) {
        struct avail_packet packet = {.to = neighbour(core, first, i)->id};
        list_for_each (it, &core->fresh) {
            struct avail_entry *entry = container_of(it, struct avail_entry, fresh);
            if (entry->to_all && !avail_packet_state(core, &packet, entry))
                break;
        }
        avail_packet_send(core, &packet);
    }
    list_for_each_safe (it, &core->fresh) {
        struct avail_entry *entry = container_of(it, struct avail_entry, fresh);
        persist(core, entry);
        entry->to_all = false;
        list_remove(&entry->fresh);
    }
    core->flush_at_ms = UINT64_MAX;
    core->flushed_ms = core->now_ms;
}

void avail_relay(struct avail_core *core)
{
    uint32_t n = core->peers_n < RELAY_FANOUT ? core->peers_n : RELAY_FANOUT;
    uint32_t first = next_turn(core, n);
    for (uint32_t i = 0; i < n; i++) {
        struct avail_packet packet = {.to = neighbour(core, first, i)->id};
        list_for_each (it, &core->relay) {
            struct avail_entry *entry = container_of(it, struct avail_entry, relay);
            bool knows = entry->from == avail_peer_hash(&packet.to);
            if (!knows && !avail_packet_state(core, &packet, entry))
                break;
        }
        avail_packet_send(core, &packet);
    }
    list_for_each_safe (it, &core->relay)
        list_remove(it);
    core->relay_at_ms = UINT64_MAX;
}

/* ---- receiving ---- */

/* Hole 30. True if the state must not be taken. */
static bool
refuse_ahead(struct avail_core *core, struct avail_peer *from, const struct state *state)
{
    if (!is_ahead(core, state))
        return false;
    core->stats.refused_ahead++;
    if (core->now_ms - from->ahead_since_ms > core->config.quarantine_ms) {
        from->ahead_since_ms = core->now_ms;
        from->ahead_n = 0;
    }
    if (++from->ahead_n == AVAIL_AHEAD_MAX) {
        from->ahead_n = 0;
        from->quarantined_until_ms = core->now_ms + core->config.quarantine_ms;
        struct avail_action *action = avail_act(core, AVAIL_QUARANTINED);
        if (action != NULL)
            action->peer = from->id;
    }
    return true;
}

struct incoming {
    const char *name;
    uint8_t name_len;
    uint8_t flags;
    uint64_t ack_version;
    uint64_t age_ms;
    const uint8_t *bytes;
    size_t len;
};

static bool read_state(struct reader *r, struct incoming *in)
{
    in->name_len = read_u8(r);
    in->flags = read_u8(r);
    in->ack_version = (in->flags & STATES_ACK) != 0 ? read_le64(r) : 0;
    in->age_ms = (in->flags & STATES_DEAD) != 0 ? read_le32(r) * UINT64_C(1000) : 0;
    in->len = read_le32(r);
    in->name = (const char *)read_bytes(r, in->name_len);
    in->bytes = read_bytes(r, in->len);
    return !r->bad && value_name_check(in->name, in->name_len, true) == 0;
}

/* Joins @in with what is here. False if it could not be taken (and must not be acked). */
static bool take(struct avail_core *core,
                 const struct avail_peer *from,
                 const char *name,
                 const struct incoming *in)
{
    struct avail_entry *entry = avail_find(core, name);
    struct buf *joined = &core->scratch;
    struct state state = state_view(in->bytes, in->len);
    core->stats.joins++;
    /* It is about to be forgotten everywhere; who forgot it already must not learn it again. */
    bool old = !state_is_alive(&state) && in->age_ms >= avail_fade_ms(core);
    if (old && (entry == NULL || entry->dead))
        return true;
    joined->len = 0;
    if (state_join(entry != NULL ? entry->state : NULL, entry != NULL ? entry->len : 0, in->bytes,
                   in->len, joined) != 0) {
        core->error = KITH_E_MEMORY;
        return false;
    }
    if (joined->len > AVAIL_STATE_BYTES_MAX) {
        core->stats.refused_limit++;
        return false;
    }
    if (entry != NULL && joined->len == entry->len &&
        memcmp(joined->data, entry->state, entry->len) == 0)
        return true;
    entry = avail_put(core, entry, name, joined->data, joined->len, in->age_ms);
    if (entry == NULL)
        return false;
    core->stats.joins_new++;
    entry->from = list_linked(&entry->relay) ? 0 : avail_peer_hash(&from->id);
    avail_mark_fresh(core, entry, false);
    avail_mark_relay(core, entry);
    struct avail_action *action = avail_act(core, AVAIL_CHANGED);
    if (action != NULL) {
        action->name = entry->name;
        action->version = entry->version;
    }
    return true;
}

static void add_ack(struct avail_core *core, struct buf *acks, const struct incoming *in)
{
    uint8_t version[8];
    put_le64(version, in->ack_version);
    if ((acks->len == 0 && buf_append_u8(acks, AVAIL_MSG_ACKS) != 0) ||
        buf_append_u8(acks, in->name_len) != 0 || buf_append(acks, in->name, in->name_len) != 0 ||
        buf_append(acks, version, sizeof(version)) != 0) {
        core->error = KITH_E_MEMORY;
        buf_deinit(acks); /* they are asked for again */
    }
}

int avail_on_states(struct avail_core *core, struct avail_peer *from, struct reader *r)
{
    struct buf acks = {0};
    struct kith_node_id peer = from->id;
    char name[KITH_NAME_BYTES_MAX + 1];
    int code = 0;
    while (r->at < r->len) {
        struct incoming in;
        struct state state;
        if (core->now_ms < from->quarantined_until_ms) {
            core->stats.refused_quarantine++;
            break;
        }
        if (!read_state(r, &in) || state_decode(in.bytes, in.len, &state) != 0) {
            code = KITH_E_CORRUPT;
            break;
        }
        memcpy(name, in.name, in.name_len);
        name[in.name_len] = '\0';
        if (refuse_ahead(core, from, &state))
            continue;
        if (take(core, from, name, &in) && in.ack_version != 0)
            add_ack(core, &acks, &in);
    }
    if (acks.len > 0)
        avail_send(core, &peer, &acks);
    return code;
}

int avail_on_acks(struct avail_core *core, struct avail_peer *from, struct reader *r)
{
    char name[KITH_NAME_BYTES_MAX + 1];
    while (r->at < r->len) {
        uint8_t len = read_u8(r);
        const uint8_t *bytes = read_bytes(r, len);
        uint64_t version = read_le64(r);
        if (r->bad || len == 0)
            return KITH_E_CORRUPT;
        memcpy(name, bytes, len);
        name[len] = '\0';
        struct avail_entry *entry = avail_find(core, name);
        if (entry == NULL || entry->ack_version == 0 || version > entry->version)
            continue;
        struct avail_action *action = avail_act(core, AVAIL_ACKED);
        if (action == NULL)
            return 0;
        action->name = entry->name;
        action->version = version;
        action->peer = from->id;
        if (version >= entry->ack_version) {
            entry->ack_version = 0;
            list_remove(&entry->ack);
        }
    }
    return 0;
}

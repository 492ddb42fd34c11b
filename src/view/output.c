/*
 * What a step says: actions, entries for the disk, messages.
 *
 * A message that promises something waits in `held` until what it promises is on disk; so does what
 * a node says to itself as a voter, which takes the same way as what it says to others.
 */
#include "view/internal.h"

/* ---- output ---- */

void *view_arena(struct view_core *core, size_t len)
{
    void *memory = arena_alloc(&core->arena, len);
    if (memory == NULL)
        core->error = KITH_E_MEMORY;
    return memory;
}

/* What cannot be told for want of memory is dropped: the caller gets a place that nobody reads. */
struct view_action *view_act(struct view_core *core, enum view_action_type type)
{
    static _Thread_local struct view_action nowhere;
    if (core->actions_n == core->actions_cap) {
        size_t cap = core->actions_cap == 0 ? 32 : core->actions_cap * 2;
        struct view_action *actions = core_realloc(core->actions, cap * sizeof(*actions));
        if (actions == NULL) {
            core->error = KITH_E_MEMORY;
            return &nowhere;
        }
        core->actions = actions;
        core->actions_cap = cap;
    }
    struct view_action *action = &core->actions[core->actions_n++];
    *action = (struct view_action){.type = type};
    return action;
}

/* A promise that cannot be put on disk must never be given: without memory for it the core is dead,
 * says nothing more, and whoever it held leases with sees it as crashed. */
void view_put(struct view_core *core, const void *key, size_t key_len, const void *data, size_t len)
{
    if (!core->config.eligible)
        return; /* an edge has no store */
    if (core->puts_n == core->puts_cap) {
        size_t cap = core->puts_cap == 0 ? 8 : core->puts_cap * 2;
        struct view_put *puts = core_realloc(core->puts, cap * sizeof(*puts));
        if (puts == NULL) {
            core->error = KITH_E_MEMORY;
            core->dead = true;
            return;
        }
        core->puts = puts;
        core->puts_cap = cap;
    }
    struct view_put *put = &core->puts[core->puts_n];
    assert(key_len <= sizeof(put->key));
    memcpy(put->key, key, key_len);
    put->key_len = (uint8_t)key_len;
    put->data = NULL;
    put->len = len;
    if (data != NULL) {
        uint8_t *copy = view_arena(core, len);
        if (copy == NULL) {
            core->dead = true;
            return;
        }
        memcpy(copy, data, len);
        put->data = copy;
    }
    core->puts_n++;
}

uint64_t view_token(const struct view_core *core)
{
    return core->token + (core->puts_n > 0 ? 1 : 0);
}

void view_flush_puts(struct view_core *core)
{
    if (core->puts_n == 0)
        return;
    core->token++;
    struct view_put *puts = view_arena(core, core->puts_n * sizeof(*puts));
    if (puts == NULL) {
        core->dead = true;
        return;
    }
    memcpy(puts, core->puts, core->puts_n * sizeof(*puts));
    struct view_action *action = view_act(core, VIEW_PERSIST);
    action->token = core->token;
    action->puts = puts;
    action->puts_n = core->puts_n;
    core->puts_n = 0;
    if (core->error != 0) /* perhaps this very action found no room */
        core->dead = true;
}

/* ---- sending ---- */

struct view_msg *view_msg_new(struct view_core *core, enum view_msg_type type)
{
    struct view_msg *msg = &core->out;
    memset(msg, 0, sizeof(*msg));
    msg->type = type;
    memcpy(msg->cluster_id, core->config.cluster_id, VIEW_CLUSTER_BYTES);
    if (view_has(core))
        memcpy(msg->chain, core->decided.chain, VIEW_CLUSTER_BYTES);
    return msg;
}

static void
send_bytes(struct view_core *core, const struct kith_node_id *to, const uint8_t *data, size_t len)
{
    uint8_t *copy = view_arena(core, len);
    if (copy == NULL)
        return;
    memcpy(copy, data, len);
    struct view_action *action = view_act(core, VIEW_SEND);
    action->to = *to;
    action->data = copy;
    action->len = len;
    struct vpeer *peer = peer_find(core, to);
    if (peer != NULL)
        peer->said_ms = core->now_ms;
    core->stats.messages_out++;
    core->stats.bytes_out += len;
}

static void hold(struct view_core *core,
                 const struct kith_node_id *to,
                 uint64_t token,
                 const uint8_t *data,
                 size_t len)
{
    if (core->held_n >= VIEW_HELD_MAX)
        return; /* the disk hangs; what was not said is asked again */
    struct vheld *held = core_malloc(sizeof(*held) + len);
    if (held == NULL) {
        core->error = KITH_E_MEMORY;
        return;
    }
    held->next = NULL;
    held->token = token;
    held->to = *to;
    held->len = len;
    memcpy(held->data, data, len);
    *core->held_last = held;
    core->held_last = &held->next;
    core->held_n++;
}

static void send_after(struct view_core *core, const struct kith_node_id *to, uint64_t token)
{
    uint8_t data[VIEW_MSG_BYTES_MAX];
    if (core->dead)
        return;
    size_t len = view_msg_encode(&core->out, data);
    if (token > core->persisted || view_is_self(core, to))
        hold(core, to, token, data, len);
    else
        send_bytes(core, to, data, len);
}

void view_send(struct view_core *core, const struct kith_node_id *to)
{
    send_after(core, to, 0);
}

void view_send_durable(struct view_core *core, const struct kith_node_id *to)
{
    send_after(core, to, core->config.eligible ? view_token(core) : 0);
}

/* What waited for the disk goes out; what we said to ourselves is heard. */
void view_release_held(struct view_core *core)
{
    for (unsigned turns = 0; core->held_first != NULL && turns < 4 * VIEW_HELD_MAX; turns++) {
        struct vheld **at = &core->held_first;
        while (*at != NULL && (*at)->token > core->persisted)
            at = &(*at)->next;
        struct vheld *held = *at;
        if (held == NULL || core->dead)
            return;
        *at = held->next;
        if (held->next == NULL)
            core->held_last = at;
        core->held_n--;
        if (view_is_self(core, &held->to))
            (void)view_receive(core, &core->config.self, held->data, held->len);
        else
            send_bytes(core, &held->to, held->data, held->len);
        core_free(held);
    }
}

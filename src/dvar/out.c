/*
 * The output of a step: actions, the memory they point into until the next one, and one outbox per
 * node, so that what a step says to one node is one frame.
 */
#include "dvar/internal.h"
#include "dvar/wire.h"

struct dvar_action *dvar_action_add(struct dvar_core *core, enum dvar_action_type type)
{
    if (core->actions_n == core->actions_cap) {
        size_t cap = core->actions_cap == 0 ? 64 : 2 * core->actions_cap;
        struct dvar_action *actions = core_realloc(core->actions, cap * sizeof(*actions));
        if (actions == NULL) {
            core->short_of_memory = true;
            return NULL;
        }
        core->actions = actions;
        core->actions_cap = cap;
    }
    struct dvar_action *action = &core->actions[core->actions_n++];
    memset(action, 0, sizeof(*action));
    action->type = type;
    return action;
}

void *dvar_arena_alloc(struct dvar_core *core, size_t size)
{
    void *memory = arena_alloc(&core->arena, size);
    if (memory == NULL)
        core->short_of_memory = true;
    return memory;
}

const uint8_t *arena_copy(struct dvar_core *core, const void *data, size_t len)
{
    uint8_t *copy = dvar_arena_alloc(core, len + 1);
    if (copy == NULL)
        return NULL;
    if (len > 0)
        copy_small(copy, data, len);
    copy[len] = 0;
    return copy;
}

void block_keep(struct dvar_core *core, struct block *block)
{
    struct kept *kept = &core->kept;
    if (kept->n == kept->cap) {
        size_t cap = kept->cap == 0 ? 16 : 2 * kept->cap;
        struct block **at = core_realloc(kept->at, cap * sizeof(struct block *));
        if (at == NULL) {
            core->short_of_memory = true;
            return;
        }
        kept->at = at;
        kept->cap = cap;
    }
    block->refs++;
    kept->at[kept->n++] = block;
}

static void send_copy(struct dvar_core *core, struct node *to, bool large)
{
    const uint8_t *copy = arena_copy(core, to->out.data, to->out.len);
    struct dvar_action *action = copy != NULL ? dvar_action_add(core, DVAR_SEND) : NULL;
    if (action != NULL) {
        action->to = to->id;
        action->data = copy;
        action->len = to->out.len;
        action->large = large;
        core->stats.bytes_out += action->len;
    }
    to->out.len = 0;
}

static uint8_t *message_head(uint8_t *p, uint8_t type, uint8_t flags, uint32_t slot, size_t len)
{
    p[0] = type;
    p[1] = flags;
    put_le16(p + 2, (uint16_t)slot);
    put_le32(p + 4, (uint32_t)len);
    return p + WIRE_HEAD_BYTES;
}

/* A message that answers one which came through somebody goes back the same way, too. */
static size_t relay_bytes(const struct dvar_core *core, const struct node *to)
{
    return core->via != NULL && core->via != to ? 16 + WIRE_HEAD_BYTES : 0;
}

uint8_t *message_add(
    struct dvar_core *core, struct node *to, uint8_t type, uint8_t flags, uint32_t slot, size_t len)
{
    if (to == NULL || to->nobody)
        return NULL;
    size_t wrap = relay_bytes(core, to);
    struct node *hop = wrap > 0 ? core->via : to;
    size_t all = wrap + WIRE_HEAD_BYTES + len;
    if (hop->vals.len > 0 && type != WIRE_VAL)
        vals_flush(core, hop);
    if (hop->out.len > 0 && hop->out.len + all > FRAME_BYTES)
        send_copy(core, hop, hop->out.len > FRAME_BYTES);
    if (buf_reserve(&hop->out, all) != 0) {
        core->short_of_memory = true;
        return NULL;
    }
    uint8_t *p = hop->out.data + hop->out.len;
    hop->out.len += all;
    if (!list_linked(&hop->out_link))
        list_append(&core->outs, &hop->out_link);
    core->stats.messages_out++;
    if (wrap > 0) {
        p = message_head(p, WIRE_RELAY, 0, slot, 16 + WIRE_HEAD_BYTES + len);
        memcpy(p, to->id.bytes, 16);
        p += 16;
    }
    return message_head(p, type, flags, slot, len);
}

void val_add(struct dvar_core *core, struct node *to, const struct var *var)
{
    uint8_t *p;
    size_t len = 9 + (size_t)var->name_len;
    if (buf_reserve(&to->vals, WIRE_HEAD_BYTES + len) != 0)
        return; /* a VAL is a hint: who misses it asks */
    p = message_head(to->vals.data + to->vals.len, WIRE_VAL, 0, var->slot, len);
    put_le64(p, var->ts);
    p[8] = var->name_len;
    copy_small(p + 9, var->name, var->name_len);
    to->vals.len += WIRE_HEAD_BYTES + len;
    core->stats.messages_out++;
    if (!list_linked(&to->val_link)) {
        list_append(&core->vals, &to->val_link);
        to->vals_at_ms = core->now_ms + core->config.val_delay_ms;
    }
    if (to->vals.len > 8192)
        vals_flush(core, to);
}

void vals_flush(struct dvar_core *core, struct node *to)
{
    list_remove(&to->val_link);
    if (to->out.len + to->vals.len > FRAME_BYTES)
        send_copy(core, to, to->out.len > FRAME_BYTES);
    if (buf_append(&to->out, to->vals.data, to->vals.len) == 0 && !list_linked(&to->out_link))
        list_append(&core->outs, &to->out_link);
    to->vals.len = 0;
}

/* ---- disk: key 'd' 'v' name; value: ts, version, records, bytes ---- */

static struct dvar_put *put_add(struct dvar_core *core, const struct var *var)
{
    if (core->puts_n == core->puts_cap) {
        size_t cap = core->puts_cap == 0 ? 16 : 2 * core->puts_cap;
        struct dvar_put *puts = core_realloc(core->puts, cap * sizeof(*puts));
        if (puts == NULL) {
            core->short_of_memory = true;
            return NULL;
        }
        core->puts = puts;
        core->puts_cap = cap;
    }
    struct dvar_put *put = &core->puts[core->puts_n];
    put->key[0] = 'd';
    put->key[1] = 'v';
    memcpy(put->key + 2, var->name, var->name_len);
    put->key_len = (uint16_t)(2 + var->name_len);
    return put;
}

uint64_t persist(struct dvar_core *core, struct var *var)
{
    size_t body = (size_t)var->block->records_n * RECORD_BYTES + var->block->len;
    uint8_t *data = dvar_arena_alloc(core, 20 + body);
    struct dvar_put *put = data != NULL ? put_add(core, var) : NULL;
    if (put == NULL)
        return 0;
    put_le64(data, var->ts);
    put_le64(data + 8, var->block->version);
    put_le32(data + 16, var->block->records_n);
    memcpy(data + 20, var->block->bytes, body);
    put->data = data;
    put->len = 20 + body;
    core->puts_n++;
    var->disk_token = core->next_token;
    return core->next_token;
}

void persist_delete(struct dvar_core *core, const struct var *var)
{
    struct dvar_put *put = put_add(core, var);
    if (put == NULL)
        return; /* it comes back at a restart, and is dropped by its timestamp */
    put->data = NULL;
    put->len = 0;
    core->puts_n++;
}

/* ---- begin and end of a step ---- */

void out_begin(struct dvar_core *core)
{
    core->actions_n = 0;
    if (core->closing != NULL) {
        cell_free(core->closing);
        core->closing = NULL;
    }
    if (core->held)
        return; /* what waits points into all of it */
    core->puts_n = 0;
    arena_reset(&core->arena);
    while (core->kept.n > 0)
        dvar_block_unref(core, core->kept.at[--core->kept.n]);
    while (!list_empty(&core->outs)) {
        struct node *node = container_of(list_first(&core->outs), struct node, out_link);
        list_remove(&node->out_link);
        node->out.len = 0;
        if (node->out.cap > 4 * FRAME_BYTES)
            buf_deinit(&node->out);
    }
}

/* Something waits, and not too much of it: more than one chunk leaves with the step. */
bool out_may_hold(const struct dvar_core *core)
{
    bool waits = core->puts_n > 0 || !list_empty(&core->outs) || !list_empty(&core->gathered);
    return core->more && waits && !arena_is_spread(&core->arena);
}

void out_end(struct dvar_core *core, bool hold, struct dvar_output *out)
{
    out->actions = core->actions;
    out->actions_n = core->actions_n;
    core->held = hold;
    core->held_n += core->stats.messages_out != core->held_messages;
    core->held_messages = core->stats.messages_out;
    if (!hold)
        core->held_n = 0;
    out->held_n = core->held_n;
    if (hold)
        return;
    if (core->puts_n > 0) {
        struct dvar_action *action = dvar_action_add(core, DVAR_PERSIST);
        if (action != NULL) {
            action->token = core->next_token++;
            action->puts = core->puts;
            action->puts_n = core->puts_n;
        }
    }
    list_for_each (it, &core->outs) {
        struct node *node = container_of(it, struct node, out_link);
        struct dvar_action *action = node->out.len > 0 ? dvar_action_add(core, DVAR_SEND) : NULL;
        if (action == NULL)
            continue;
        action->to = node->id;
        action->data = node->out.data;
        action->len = node->out.len;
        action->large = node->out.len > FRAME_BYTES;
        core->stats.bytes_out += action->len;
    }
    out->actions = core->actions;
    out->actions_n = core->actions_n;
}

void out_deinit(struct dvar_core *core)
{
    core->held = false;
    out_begin(core);
    arena_deinit(&core->arena);
    core_free(core->actions);
    core_free(core->puts);
    core_free(core->kept.at);
}

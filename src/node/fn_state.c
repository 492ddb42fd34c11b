/*
 * States of items of maps: available variables of their own table (dvar/avail.h), in memory only,
 * whose tombstones are forgotten soon.
 *
 * Each attempt at an item writes a variable of its own, so each has one writer, and a register
 * whose moment is the number of the save needs no clock. A node that was thought dead and writes on
 * changes its own attempt's only. The caller of the map decides: it reads the newest attempt, gives
 * it to whoever runs the item next along with the call (rpc/item.h), and drops all when the item
 * has ended, which is a register at a moment that no save reaches. Names:
 *
 *     CALLER.BOOT/MAP/INDEX/ATTEMPT
 *
 * What it leaves out: differences; a state travels whole.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/internal.h"
#include "node/records.h"

#define DROPPED_MS     (1ull << 62)
#define UNACKED_MAX    32
#define ATTEMPTS_TRIED 64 /* newest attempts looked at for a state */

/* Saves of a running item, by the name of its variable. */
struct item_saves {
    struct node_item *item;
    struct {
        uint64_t version, save_no;
    } unacked[UNACKED_MAX];
    unsigned unacked_n;
    char name[ITEM_NAME_MAX];
};

static struct item_name
own_name(struct kith_node *node, uint64_t map_no, uint64_t index, uint32_t attempt)
{
    return (struct item_name){.caller = node->identity.id,
                              .boot_no = node->boot_no,
                              .map_no = map_no,
                              .index = index,
                              .attempt = attempt};
}

static bool is_own(struct kith_node *node, const struct item_name *name)
{
    return name->boot_no == node->boot_no && kith_node_id_equal(&name->caller, &node->identity.id);
}

/* ---- steps ---- */

static void on_acked(struct kith_node *node, const struct avail_action *action)
{
    struct item_saves *saves = maptext_find(&node->state.item_saves, action->name);
    unsigned kept = 0;

    for (unsigned i = 0; saves != NULL && i < saves->unacked_n; i++) {
        uint64_t save_no = saves->unacked[i].save_no;
        if (saves->unacked[i].version > action->version)
            saves->unacked[kept++] = saves->unacked[i];
        else if (save_no > atomic_load(&saves->item->acked_n))
            atomic_store(&saves->item->acked_n, save_no);
    }
    if (saves != NULL)
        saves->unacked_n = kept;
}

static bool is_there(struct kith_node *node, const char *name)
{
    uint64_t moment = 0;

    (void)avail_peek(node->state.items, name, &moment);
    return moment != 0;
}

/* A state of an item of ours that has ended came late. */
static bool is_late(struct kith_node *node, const char *text)
{
    struct item_name name;
    uint32_t attempt;

    return is_there(node, text) && item_name_parse(text, &name) && is_own(node, &name) &&
           (!node_map_item(node, name.map_no, name.index, &attempt) || name.attempt > attempt);
}

/* Runs one event; names to be dropped behind it are appended to @late, with their NULs. */
static int
step(struct kith_node *node, struct avail_event *event, struct buf *late, uint64_t *version_out)
{
    struct avail_output out;

    event->now_ms = node_boot_ms();
    event->wall_ms = node_unix_ms();
    int r = avail_step(node->state.items, event, &out);
    if (r == KITH_E_MEMORY)
        log_error(&node->log.log, "items", "memory is short: a state was lost", NULL);
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct avail_action *action = &out.actions[i];
        if (action->type == AVAIL_SEND)
            node_state_send(node, &action->peer, FRAME_DVAR_ITEMS, action->data.data,
                            action->data.len);
        else if (action->type == AVAIL_DONE && version_out != NULL)
            *version_out = action->code == 0 ? action->version : 0;
        else if (action->type == AVAIL_CHANGED && is_late(node, action->name))
            (void)buf_append(late, action->name, strlen(action->name) + 1);
        else if (action->type == AVAIL_ACKED)
            on_acked(node, action);
    }
    return r;
}

/* Writes a register: @data at the moment @no, or nothing for ever. Returns its version, or 0. */
static uint64_t
put(struct kith_node *node, const char *name, const struct kith_bytes *data, uint64_t no)
{
    struct avail_op op = {.id = 1,
                          .kind = AVAIL_OP_JOIN,
                          .flags = data != NULL ? AVAIL_OP_ACK : 0,
                          .type = VALUE_BYTES,
                          .name = name};
    struct avail_event event = {.type = AVAIL_OP, .op = &op};
    struct buf state = {0}, late = {0};
    uint64_t version = 0;

    if (state_register(VALUE_BYTES, no, data, &state) == 0) {
        op.data = (struct kith_bytes){.data = state.data, .len = state.len};
        (void)step(node, &event, &late, &version);
    }
    buf_deinit(&state);
    buf_deinit(&late);
    node_state_pump(node);
    return version;
}

static void drop(struct kith_node *node, const char *name)
{
    if (is_there(node, name))
        (void)put(node, name, NULL, DROPPED_MS);
}

static void drop_all(struct kith_node *node, struct buf *names)
{
    for (size_t at = 0; at < names->len; at += strlen((char *)names->data + at) + 1)
        drop(node, (char *)names->data + at);
    buf_deinit(names);
}

int node_items_step(struct kith_node *node, struct avail_event *event)
{
    struct buf late = {0};
    int r = step(node, event, &late, NULL);

    drop_all(node, &late);
    return r;
}

/* ---- at the caller ---- */

static bool any(struct kith_node *node)
{
    struct avail_stats stats;

    avail_stats(node->state.items, &stats);
    return stats.variables > 0;
}

/* The newest of attempts from @attempt down. */
static bool find_newest(struct kith_node *node,
                        struct item_name name,
                        uint32_t attempt,
                        struct rpc_item *found_out,
                        struct kith_bytes *state_out)
{
    char text[ITEM_NAME_MAX];
    uint32_t tried = 0;

    for (name.attempt = attempt; any(node) && tried < ATTEMPTS_TRIED; name.attempt--, tried++) {
        uint64_t moment = 0;
        item_name_print(&name, text);
        *state_out = avail_peek(node->state.items, text, &moment);
        if (moment != 0) {
            *found_out = (struct rpc_item){.save_no = moment,
                                           .state_attempt = name.attempt,
                                           .state_bytes = (uint32_t)state_out->len};
            return true;
        }
        if (name.attempt == 0)
            break;
    }
    *state_out = (struct kith_bytes){0};
    return false;
}

bool node_items_find(struct kith_node *node,
                     uint64_t map_no,
                     uint64_t index,
                     uint32_t attempt,
                     struct rpc_item *found_out,
                     struct kith_bytes *state_out)
{
    return find_newest(node, own_name(node, map_no, index, 0), attempt, found_out, state_out);
}

void node_items_drop(struct kith_node *node, uint64_t map_no, uint64_t index, uint32_t attempt)
{
    char text[ITEM_NAME_MAX];

    if (!any(node))
        return;
    for (uint64_t at = 0; at <= attempt; at++) {
        struct item_name name = own_name(node, map_no, index, (uint32_t)at);
        item_name_print(&name, text);
        drop(node, text);
    }
}

/* Appends the names of all states that @pick picks. */
static void
collect(struct kith_node *node,
        bool (*pick)(struct kith_node *node, const struct item_name *name, uint64_t arg),
        uint64_t arg,
        struct buf *out)
{
    struct item_name name;
    const char *text;

    for (size_t at = 0; (text = avail_next(node->state.items, &at)) != NULL;) {
        if (item_name_parse(text, &name) && pick(node, &name, arg))
            (void)buf_append(out, text, strlen(text) + 1);
    }
}

static bool is_of_map(struct kith_node *node, const struct item_name *name, uint64_t map_no)
{
    return name->map_no == map_no && is_own(node, name);
}

void node_items_drop_map(struct kith_node *node, uint64_t map_no)
{
    struct buf names = {0};

    collect(node, is_of_map, map_no, &names);
    drop_all(node, &names);
}

/* A caller that is not known (yet) is believed to be there. */
static bool is_orphan(struct kith_node *node, const struct item_name *name, uint64_t arg)
{
    const struct member *member = member_find(node->members, &name->caller);

    (void)arg;
    if (kith_node_id_equal(&name->caller, &node->identity.id))
        return name->boot_no < node->boot_no;
    if (member == NULL)
        return false;
    return member->boot_no > name->boot_no || member->status == KITH_STATUS_FAILED ||
           member->status == KITH_STATUS_LEFT;
}

/* One node does it for all: the agent with the least id. */
static bool sweeps(struct kith_node *node)
{
    const struct member *member;

    for (size_t at = 0; (member = member_next(node->members, &at)) != NULL;) {
        if (member->status == KITH_STATUS_ALIVE && member->facts.role != KITH_ROLE_PROGRAM &&
            memcmp(member->id.bytes, node->identity.id.bytes, KITH_NODE_ID_BYTES) < 0)
            return false;
    }
    return true;
}

void node_items_sweep(struct kith_node *node)
{
    struct buf names = {0};

    if (!any(node) || !sweeps(node))
        return;
    collect(node, is_orphan, 0, &names);
    drop_all(node, &names);
}

/* ---- where the item runs ---- */

void node_item_begin(struct kith_node *node,
                     struct node_item *item,
                     const struct kith_node_id *caller,
                     const void *state)
{
    struct item_name name = {.caller = *caller,
                             .boot_no = item->caller_boot,
                             .map_no = item->head.map_no,
                             .index = item->head.index};
    struct rpc_item found;
    struct kith_bytes own;

    item->resume_no = item->head.save_no;
    item->resume = state;
    item->resume_len = item->head.state_bytes;
    if (item->head.attempt == 0 || !find_newest(node, name, item->head.attempt - 1, &found, &own))
        return;
    if (found.state_attempt < item->head.state_attempt ||
        (item->resume_no != 0 && found.state_attempt == item->head.state_attempt &&
         found.save_no <= item->head.save_no))
        return;
    item->resume_owned = core_malloc(own.len + 1);
    if (item->resume_owned == NULL)
        return;
    if (own.len > 0)
        memcpy(item->resume_owned, own.data, own.len);
    item->resume_no = found.save_no;
    item->resume = item->resume_owned;
    item->resume_len = own.len;
}

void node_item_end(struct kith_node *node, struct node_item *item)
{
    if (item->saves != NULL)
        (void)maptext_remove(&node->state.item_saves, item->saves->name);
    core_free(item->saves);
    core_free(item->resume_owned);
    item->saves = NULL;
    item->resume_owned = NULL;
}

struct save {
    struct node_request request;
    struct kith_ctx *ctx;
    uint64_t no;
    size_t len;
    uint8_t data[];
};

static struct item_saves *
saves_of(struct kith_node *node, struct kith_ctx *ctx, struct node_item *item)
{
    struct item_name name = {.caller = kith_ctx_caller(ctx),
                             .boot_no = item->caller_boot,
                             .map_no = item->head.map_no,
                             .index = item->head.index,
                             .attempt = item->head.attempt};
    struct item_saves *saves = item->saves;

    if (saves != NULL)
        return saves;
    saves = core_calloc(1, sizeof(*saves));
    if (saves == NULL)
        return NULL;
    saves->item = item;
    item_name_print(&name, saves->name);
    if (maptext_set(&node->state.item_saves, saves->name, saves) != 0) {
        core_free(saves);
        return NULL;
    }
    item->saves = saves;
    return saves;
}

static void save_run(struct kith_node *node, struct node_request *request)
{
    struct save *save = container_of(request, struct save, request);
    struct kith_bytes data = {.data = save->data, .len = save->len};
    struct item_saves *saves = saves_of(node, save->ctx, node_ctx_item(save->ctx));

    if (saves == NULL) {
        log_error(&node->log.log, "items", "memory is short: a state was lost", NULL);
        core_free(save);
        return;
    }
    uint64_t version = put(node, saves->name, &data, save->no);
    /* The oldest may go: the ack of a later one is its own too. */
    if (version != 0 && saves->unacked_n == UNACKED_MAX)
        memmove(&saves->unacked[0], &saves->unacked[1],
                --saves->unacked_n * sizeof(saves->unacked[0]));
    if (version != 0) {
        saves->unacked[saves->unacked_n].version = version;
        saves->unacked[saves->unacked_n++].save_no = save->no;
    }
    core_free(save);
}

static int no_item(void)
{
    return kith_fail_with(KITH_E_UNSUPPORTED,
                          "this call is no item of a map, and only those have a state; call the "
                          "function by kith_map_start()");
}

int64_t kith_state_save(struct kith_ctx *ctx, const void *data, size_t len)
{
    struct node_item *item = node_ctx_item(ctx);

    if (item == NULL)
        return no_item();
    if (len > DVAR_DATA_BYTES_MAX)
        return kith_fail_with(KITH_E_TOO_LARGE,
                              "the state has %zu bytes, the limit is %d; save a reference to the "
                              "data, or give the map smaller items",
                              len, DVAR_DATA_BYTES_MAX);
    if (kith_ctx_cancelled(ctx))
        return kith_fail_with(KITH_E_CANCELED, "nobody waits for this item here any more: end it");
    struct save *save = core_malloc(sizeof(*save) + len);
    if (save == NULL)
        return KITH_E_MEMORY;
    save->request.run = save_run;
    save->ctx = ctx;
    save->len = len;
    if (len > 0)
        memcpy(save->data, data, len);
    uint64_t no = save->no = atomic_fetch_add(&item->saves_n, 1) + 1;
    if (!node_ctx_push(ctx, &save->request)) {
        core_free(save);
        return kith_fail_with(KITH_E_EXISTS, "this call has been replied to already");
    }
    return (int64_t)no;
}

int64_t kith_state_acked(struct kith_ctx *ctx)
{
    struct node_item *item = node_ctx_item(ctx);
    return item != NULL ? (int64_t)atomic_load(&item->acked_n) : 0;
}

int kith_state_resume(struct kith_ctx *ctx, const void **data_out, size_t *len_out)
{
    const struct node_item *item = node_ctx_item(ctx);

    *data_out = NULL;
    *len_out = 0;
    if (item == NULL)
        return no_item();
    if (item->resume_no == 0)
        return KITH_E_NOT_FOUND;
    *data_out = item->resume;
    *len_out = item->resume_len;
    return 0;
}

/* ---- reading ---- */

struct state_read {
    const struct kith_node_id *caller;
    uint64_t map_no, index;
    void *data;
    size_t len;
    int code;
};

/* The attempt of the newest state that @caller's item has here. */
static bool newest_attempt(struct kith_node *node, const struct state_read *read, uint32_t *out)
{
    struct item_name name, best = {0};
    const char *text;
    bool found = false;

    for (size_t at = 0; (text = avail_next(node->state.items, &at)) != NULL;) {
        if (!item_name_parse(text, &name) || name.map_no != read->map_no ||
            name.index != read->index || !kith_node_id_equal(&name.caller, read->caller))
            continue;
        if (!found || name.boot_no > best.boot_no ||
            (name.boot_no == best.boot_no && name.attempt > best.attempt))
            best = name;
        found = true;
    }
    *out = best.attempt;
    return found;
}

static void read_run(struct kith_node *node, void *arg)
{
    struct state_read *read = arg;
    struct item_name name = own_name(node, read->map_no, read->index, 0);
    struct rpc_item found;
    struct kith_bytes state;
    uint32_t attempt = 0;

    if (read->caller == NULL)
        read->caller = &node->identity.id;
    read->code = KITH_E_NOT_FOUND;
    if (!newest_attempt(node, read, &attempt))
        return;
    if (!kith_node_id_equal(read->caller, &node->identity.id)) {
        const struct member *member = member_find(node->members, read->caller);
        name.caller = *read->caller;
        name.boot_no = member != NULL ? member->boot_no : 0;
    }
    if (!find_newest(node, name, attempt, &found, &state))
        return;
    read->data = core_malloc(state.len + 1);
    read->code = read->data != NULL ? 0 : KITH_E_MEMORY;
    if (read->code != 0)
        return;
    if (state.len > 0)
        memcpy(read->data, state.data, state.len);
    read->len = state.len;
}

int kith_state_read(struct kith_node *node,
                    const struct kith_node_id *caller,
                    uint64_t map_no,
                    uint64_t index,
                    void **data_out,
                    size_t *len_out)
{
    struct state_read read = {.caller = caller, .map_no = map_no, .index = index};

    *data_out = NULL;
    *len_out = 0;
    int r = node_run(node, read_run, &read);
    if (r != 0)
        return r;
    *data_out = read.data;
    *len_out = read.len;
    if (read.code == KITH_E_NOT_FOUND)
        return kith_fail_with(KITH_E_NOT_FOUND,
                              "item %" PRIu64 " of map %" PRIu64 " has no state here", index,
                              map_no);
    return read.code;
}

/* ---- life ---- */

int node_items_open(struct kith_node *node)
{
    struct avail_config config = {
        .self = {.node = node->identity.id, .boot_no = node->boot_no},
        .seed = node_seed(),
        .moments_given = true,
        .tombstone_ms = STATE_ITEMS_TOMBSTONE_MS,
        .bytes_max = STATE_ITEMS_BYTES_MAX,
    };
    return avail_new(&node->state.items, &config);
}

void node_items_deinit(struct kith_node *node)
{
    avail_free(node->state.items);
    maptext_deinit(&node->state.item_saves);
}

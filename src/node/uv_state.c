/*
 * The driver of the cores of shared state: frames, durable batches and time in, actions out; and
 * what the cores tell one another.
 *
 * A step runs only while no other core's actions are being done. What comes up meanwhile waits in
 * `todo` and runs, in order, when they are. Callbacks of programs run inside actions; what they ask
 * for goes through the queue of the node, so that they cannot step a core from inside.
 */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/internal.h"
#include "node/uv_fs.h"

/* Bodies above travel on the class rpc (net/frame.h). */
#define CONTROL_BODY_BYTES_MAX (60 * 1024)
/* How often a home looks whether records of mutexes name participants that are gone. */
#define SWEEP_MS 10000
/* An answer that a mutex waits for from a variable comes within this, or it asks again. */
#define RECORD_MS 10000
/* A mutex that was asked for so lately may come at any moment. */
#define LOCK_SOON_NS 5000000u
/* Steps of variables in a turn before what they say leaves. */
#define AHEAD_STEPS 32
/* A node that has just started may not have heard of the view yet. */
#define FIRST_VIEW_MS 10000

uint64_t node_boot_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t node_boot_ms(void)
{
    return node_boot_ns() / 1000000;
}

uint64_t node_state_ms(struct kith_node *node)
{
    if (!node->state.in_batch)
        return node_boot_ms();
    if (node->state.batch_ms == 0)
        node->state.batch_ms = node_boot_ms();
    return node->state.batch_ms;
}

/* Between sections a mutex comes within a millisecond. Who waits longer waits for somebody's work.
 */
static bool awaits_lock(const struct kith_node *node)
{
    return node->state.lock_waits_n > 0 && node_now_ns() - node->state.lock_asked_ns < LOCK_SOON_NS;
}

bool node_state_awaits(const struct kith_node *node)
{
    return awaits_lock(node) || node->state.ops.free_n < node->state.ops.cap ||
           (node->state.started && dvar_writes_pending(node->state.dvar) > 0);
}

_Noreturn void node_state_end_process(struct kith_node *node, const char *why)
{
    log_error(&node->log.log, "state", "the node ends", "reason", why, NULL);
    fprintf(stderr, "kith: %s\n", why);
    _exit(1);
}

/* ---- things to do when the actions at hand are done ---- */

enum todo_type {
    TODO_PLACEMENT,
    TODO_LEASE,
    TODO_QUORUM,
    TODO_VIEW, /* an event, with copies behind it of what it points to */
    TODO_DVAR,
    TODO_MUTEX,
};

struct todo {
    struct list link;
    enum todo_type type;
    union {
        struct view_event view;
        struct dvar_event dvar;
        struct mutex_event mutex;
        uint64_t lease_until_ms;
    } u;
    struct value_op op;                 /* of a dvar event */
    _Alignas(uint64_t) uint8_t bytes[]; /* copies */
};

static void step_view(struct kith_node *node, struct view_event *event);
static void step_dvar(struct kith_node *node, struct dvar_event *event);
static void step_mutex(struct kith_node *node, struct mutex_event *event);

static struct todo *todo_add(struct kith_node *node, enum todo_type type, size_t bytes)
{
    struct todo *todo = core_calloc(1, sizeof(*todo) + bytes);

    if (todo == NULL) {
        log_error(&node->log.log, "state", "memory is short: a step was lost", NULL);
        return NULL;
    }
    todo->type = type;
    list_append(&node->state.todo, &todo->link);
    return todo;
}

/* Slots of which this node is home now and whose content in memory is lost. */
static void tell_lost_slots(struct kith_node *node, const struct placement *placement)
{
    for (uint32_t slot = 0; slot < PLACEMENT_SLOTS; slot++) {
        const struct placement_keeper *home = placement_home(placement, slot);
        uint32_t generation = placement->slots[slot].generation;
        bool grew = generation > node->state.generations[slot];
        node->state.generations[slot] = generation;
        if (grew && home != NULL && kith_node_id_equal(&home->boot.node, &node->identity.id))
            node_symbols_step(
                node, &(struct symbols_event){.type = SYMBOLS_SLOT_LOST,
                                              .slot = slot,
                                              .version = placement->slots[slot].active.slot_epoch
                                                         << DVAR_SEQ_BITS});
    }
}

/* mutex.h says why the mutexes hear of a placement before the variables do. */
void node_state_tell_placement(struct kith_node *node)
{
    const struct placement *placement = view_placement(node->state.view);
    struct mutex_event mutex = {.type = MUTEX_PLACEMENT, .u.placement = placement};
    struct dvar_event dvar = {.type = DVAR_PLACEMENT, .placement = placement};

    step_mutex(node, &mutex);
    step_dvar(node, &dvar);
    tell_lost_slots(node, placement);
    if (node->state.expects && placement->epoch > 0) {
        node->state.expects = false;
        if (data_dir_set_expect(&node->dir, 0) != 0)
            log_error(&node->log.log, "state", "view.expect cannot be removed", "reason",
                      kith_errmsg(), NULL);
    }
}

static void tell_lease(struct kith_node *node, uint64_t until_ms)
{
    struct mutex_event mutex = {.type = MUTEX_LEASE, .u.lease_until_ms = until_ms};
    struct dvar_event dvar = {.type = DVAR_LEASE, .until_ms = until_ms};

    step_mutex(node, &mutex);
    step_dvar(node, &dvar);
}

/* What waits for changes hears of none meanwhile, so whoever looks must be able to see why. */
static void note_quorum(struct kith_node *node)
{
    char missing[160];
    const char *reason = node->state.quorum ? "shared state can be used again"
                                            : node_quorum_reason(node, missing, sizeof(missing));

    node_event_note(node, node->state.quorum ? "quorum" : "no-quorum", &node->identity.id,
                    node->name, "", reason);
    if (node->state.quorum)
        log_info(&node->log.log, "state", reason, NULL);
    else
        log_warn(&node->log.log, "state", "shared state cannot be used", "reason", reason, NULL);
}

static void tell_quorum(struct kith_node *node)
{
    struct mutex_event mutex = {.type = MUTEX_QUORUM, .u.quorum = node->state.quorum};
    struct dvar_event dvar = {.type = DVAR_QUORUM, .have = node->state.quorum};

    step_mutex(node, &mutex);
    step_dvar(node, &dvar);
    note_quorum(node);
}

static void todo_run(struct kith_node *node, struct todo *todo)
{
    switch (todo->type) {
    case TODO_PLACEMENT:
        node_state_tell_placement(node);
        break;
    case TODO_LEASE:
        tell_lease(node, todo->u.lease_until_ms);
        break;
    case TODO_QUORUM:
        tell_quorum(node);
        break;
    case TODO_VIEW:
        step_view(node, &todo->u.view);
        break;
    case TODO_DVAR:
        step_dvar(node, &todo->u.dvar);
        break;
    case TODO_MUTEX:
        step_mutex(node, &todo->u.mutex);
        break;
    }
    core_free(todo);
}

static void on_timer(uv_timer_t *timer);

/* One timer for all cores. It is moved forward only: a tick too early does no harm. */
static void arm(struct kith_node *node)
{
    struct node_state *state = &node->state;
    uint64_t due_ms = view_deadline_ms(state->view);
    uint64_t dvar_ms = dvar_deadline_ms(state->dvar);
    uint64_t mutex_ms = mutex_deadline_ms(state->mutex);

    due_ms = dvar_ms < due_ms ? dvar_ms : due_ms;
    uint64_t symbols_ms = symbols_deadline_ms(state->symbols);
    uint64_t avail_ms = avail_deadline_ms(state->avail);
    uint64_t items_ms = avail_deadline_ms(state->items);

    due_ms = mutex_ms < due_ms ? mutex_ms : due_ms;
    due_ms = symbols_ms < due_ms ? symbols_ms : due_ms;
    due_ms = avail_ms < due_ms ? avail_ms : due_ms;
    due_ms = items_ms < due_ms ? items_ms : due_ms;
    if (due_ms >= state->due_ms || node->finished)
        return;
    uint64_t now_ms = node_boot_ms();
    uint64_t lag_ms = (uv_hrtime() / 1000000) - uv_now(&node->loop); /* its time is of the turn */
    state->due_ms = due_ms;
    uv_timer_start(&state->timer, on_timer, (due_ms > now_ms ? due_ms - now_ms : 0) + lag_ms, 0);
}

/* Runs what waits, unless somebody further up does. */
static void pump(struct kith_node *node)
{
    struct list *first;

    if (node->state.stepping || node->state.pumping)
        return;
    node->state.pumping = true;
    while ((first = list_first(&node->state.todo)) != NULL) {
        list_remove(first);
        todo_run(node, container_of(first, struct todo, link));
    }
    node->state.pumping = false;
    node->state.stepped = true;
    node_loop_again(node); /* the end of this turn may be behind */
}

/* What the core of variables holds back leaves. */
static void let_go(struct kith_node *node)
{
    uint64_t due_ms = dvar_deadline_ms(node->state.dvar);

    node->state.held_n = 0;
    if (due_ms > node->state.step_ms && due_ms > node_boot_ms())
        return; /* what is held back is due when it was said */
    step_dvar(node, &(struct dvar_event){.type = DVAR_TICK});
    pump(node);
}

void node_state_turn(struct kith_node *node)
{
    if (node->state.released)
        node_state_release(node);
    if (!node->state.stepped)
        return;
    let_go(node);
}

void node_state_arm(struct kith_node *node)
{
    if (!node->state.stepped)
        return;
    node->state.stepped = false;
    arm(node);
}

void node_state_pump(struct kith_node *node)
{
    if (node->state.started)
        pump(node);
}

void node_state_release(struct kith_node *node)
{
    node->state.released = false;
    if (node->state.started)
        node_mutex_step(node, &(struct mutex_event){.type = MUTEX_TICK});
}

void node_state_forget_todo(struct kith_node *node)
{
    struct list *first;

    while (node->state.todo.next != NULL && (first = list_first(&node->state.todo)) != NULL) {
        list_remove(first);
        core_free(container_of(first, struct todo, link));
    }
}

/* ---- what the cores want ---- */

void node_state_send(struct kith_node *node,
                     const struct kith_node_id *to,
                     uint8_t type,
                     const void *data,
                     size_t len)
{
    struct uv_peer *peer = uv_net_find(node->net, to);
    struct kith_bytes part = {.data = data, .len = len};

    /* What a full or broken channel does not take is sent again by the protocols. */
    if (peer != NULL)
        (void)uv_net_send(node->net, peer, len > CONTROL_BODY_BYTES_MAX ? NET_RPC : NET_CONTROL,
                          type, &part, 1);
}

void node_state_keep(struct kith_node *node, struct kith_bytes key, struct kith_bytes data)
{
    struct store_put put = {.key = key, .value = data, .erase = data.data == NULL};

    if (node->state.store != NULL)
        node_store_put(node, &put, 1, 0);
}

static void view_persist(struct kith_node *node, const struct view_action *action)
{
    struct store_put *puts = core_calloc(action->puts_n, sizeof(*puts));

    if (puts == NULL)
        return;
    for (size_t i = 0; i < action->puts_n; i++) {
        const struct view_put *put = &action->puts[i];
        puts[i] = (struct store_put){.key = {put->key, put->key_len},
                                     .value = {put->data, put->len},
                                     .erase = put->data == NULL};
    }
    node_store_put(node, puts, action->puts_n, NODE_TOKEN_VIEW | action->token);
    core_free(puts);
}

static void dvar_persist(struct kith_node *node, const struct dvar_action *action)
{
    struct store_put *puts = core_calloc(action->puts_n, sizeof(*puts));

    if (puts == NULL)
        return;
    for (size_t i = 0; i < action->puts_n; i++) {
        const struct dvar_put *put = &action->puts[i];
        puts[i] = (struct store_put){.key = {put->key, put->key_len},
                                     .value = {put->data, put->len},
                                     .erase = put->data == NULL};
    }
    node_store_put(node, puts, action->puts_n, NODE_TOKEN_DVAR | action->token);
    core_free(puts);
}

static const char *name_of(struct kith_node *node, const struct kith_node_id *id)
{
    const char *name = node_name_of(node, id);
    return name != NULL ? name : "?";
}

static void view_action(struct kith_node *node, const struct view_action *action)
{
    struct todo *todo;

    switch (action->type) {
    case VIEW_SEND:
        node_state_send(node, &action->to, FRAME_VIEW, action->data, action->len);
        break;
    case VIEW_PERSIST:
        view_persist(node, action);
        break;
    case VIEW_CHANGED:
        (void)todo_add(node, TODO_PLACEMENT, 0);
        break;
    case VIEW_LEASE:
        todo = todo_add(node, TODO_LEASE, 0);
        if (todo != NULL)
            todo->u.lease_until_ms = action->until_ms;
        break;
    case VIEW_LEFT:
        if (node->state.view_left != NULL)
            node->state.view_left(node);
        break;
    case VIEW_REFUSED:
        log_warn(&node->log.log, "view", "a node was refused", "node", name_of(node, &action->to),
                 "reason", action->text, NULL);
        break;
    case VIEW_LEADING:
        log_info(&node->log.log, "view", action->leading ? "leads the view" : "leads no more",
                 NULL);
        break;
    }
}

/* Has the view decided what the variables wait for? */
static void tell_slots(struct kith_node *node)
{
    for (uint32_t slot = 0; node->state.slots_asked != 0 && slot < PLACEMENT_SLOTS; slot++) {
        if ((node->state.slots_asked >> slot & 1) == 0 ||
            !view_slot_durable(node->state.view, slot))
            continue;
        node->state.slots_asked &= ~(1ull << slot);
        struct todo *todo = todo_add(node, TODO_DVAR, 0);
        if (todo != NULL)
            todo->u.dvar = (struct dvar_event){.type = DVAR_SLOT_DECIDED, .slot = slot};
    }
}

/*
 * Whether operations may wait. They end at once where waiting is in vain: a majority of the voters
 * is not heard, or no view came for a while. While a leader is chosen they wait.
 */
static bool may_wait(struct kith_node *node, const struct view_quorum *quorum)
{
    if (quorum->epoch == 0)
        return node_uptime_ms(node) < FIRST_VIEW_MS;
    return quorum->have || quorum->voters_n - quorum->missing_n > quorum->voters_n / 2;
}

static void look_at_quorum(struct kith_node *node)
{
    struct view_quorum quorum;

    node_view_quorum(node, &quorum);
    bool have = may_wait(node, &quorum);
    if (have == node->state.quorum)
        return;
    node->state.quorum = have;
    (void)todo_add(node, TODO_QUORUM, 0);
}

static void step_view(struct kith_node *node, struct view_event *event)
{
    struct view_output out;

    event->now_ms = node_boot_ms();
    node->state.stepping = true;
    int r = view_step(node->state.view, event, &out);
    for (size_t i = 0; i < out.actions_n; i++)
        view_action(node, &out.actions[i]);
    node->state.stepping = false;
    /* What could not be put on disk must not be followed by anything (view.h). */
    if (r == KITH_E_MEMORY)
        node_state_end_process(
            node, "memory is short: the node cannot keep what it promised; start it again");
    tell_slots(node);
    look_at_quorum(node);
}

static void tell_view(struct kith_node *node, const struct view_event *event)
{
    size_t bytes = event->released_n * sizeof(*event->released);
    struct todo *todo = todo_add(node, TODO_VIEW, bytes);

    if (todo == NULL)
        return;
    todo->u.view = *event;
    if (bytes > 0)
        todo->u.view.released = memcpy(todo->bytes, event->released, bytes);
}

/* The answer to what the mutex core asked of a record. */
static void record_done(struct kith_node *node, const struct dvar_action *action)
{
    const struct dvar_result *result = &action->result;
    struct todo *todo = todo_add(node, TODO_MUTEX, result->len);
    int code = result->code;

    if (todo == NULL)
        return;
    bool cas = (action->id & NODE_VAR_ID_OF_CAS) != 0;
    if (code == 0 && cas && !result->applied)
        code = KITH_E_AGAIN; /* somebody else was first */
    if (code == 0 && !cas && result->type == VALUE_NONE)
        code = KITH_E_NOT_FOUND;
    todo->u.mutex.type = MUTEX_RECORD;
    todo->u.mutex.u.record.ask = action->id & ~(NODE_VAR_ID_OF_MUTEX | NODE_VAR_ID_OF_CAS);
    todo->u.mutex.u.record.version = result->version;
    if (result->len > 0)
        todo->u.mutex.u.record.data = memcpy(todo->bytes, result->data, result->len);
    todo->u.mutex.u.record.len = result->len;
    todo->u.mutex.u.record.code = code;
}

static void dvar_action(struct kith_node *node, const struct dvar_action *action)
{
    switch (action->type) {
    case DVAR_SEND:
        node_state_send(node, &action->to, FRAME_DVAR, action->data, action->len);
        break;
    case DVAR_PERSIST:
        dvar_persist(node, action);
        break;
    case DVAR_DONE:
        if ((action->id & NODE_VAR_ID_OF_MUTEX) != 0)
            record_done(node, action);
        else
            node_var_action(node, action);
        break;
    case DVAR_OPENED:
    case DVAR_CHANGED:
    case DVAR_LOST:
        node_var_action(node, action);
        break;
    case DVAR_SLOT_READY:
        tell_view(node, &(struct view_event){.type = VIEW_SLOT_READY,
                                             .slot = action->slot,
                                             .slot_epoch = action->slot_epoch,
                                             .released = action->released,
                                             .released_n = action->released_n});
        break;
    case DVAR_SLOT_DURABLE:
        node->state.slots_asked |= 1ull << action->slot;
        tell_view(node, &(struct view_event){.type = VIEW_SLOT_DURABLE, .slot = action->slot});
        break;
    case DVAR_COMPLAIN:
        tell_view(node, &(struct view_event){.type = VIEW_COMPLAIN,
                                             .member_id = action->member_id,
                                             .age_ms = action->age_ms});
        break;
    case DVAR_SYMBOL:
        node_symbol_changed(node, &action->change);
        break;
    }
}

static void step_dvar(struct kith_node *node, struct dvar_event *event)
{
    struct dvar_output out;

    event->now_ms = node_state_ms(node);
    event->wall_ms = node_turn_unix_ms(node);
    node->state.step_ms = event->now_ms;
    node->state.stepping = true;
    int r = dvar_step(node->state.dvar, event, &out);
    node->state.held_n = out.held_n;
    for (size_t i = 0; i < out.actions_n; i++)
        dvar_action(node, &out.actions[i]);
    node->state.stepping = false;
    if (r == KITH_E_MEMORY)
        log_error(&node->log.log, "dvar", "memory is short: a step was lost", NULL);
}

/* A record is a durable variable of bytes that no user can name. */
static void record_op(struct kith_node *node, const struct mutex_action *action)
{
    size_t name_len = strlen(action->name);
    struct todo *todo = todo_add(node, TODO_DVAR, name_len + action->len);

    if (todo == NULL)
        return;
    todo->op = (struct value_op){.kind = VALUE_OP_GET};
    if (action->type == MUTEX_RECORD_CAS) {
        todo->op = (struct value_op){.kind = VALUE_OP_CAS_VERSION,
                                     .type = action->len > 0 ? VALUE_BYTES : VALUE_NONE,
                                     .policy = VALUE_DURABLE,
                                     .expect_version = action->version,
                                     .data = todo->bytes + name_len,
                                     .data_len = action->len};
        memcpy(todo->bytes + name_len, action->data, action->len);
    }
    memcpy(todo->bytes, action->name, name_len);
    todo->u.dvar =
        (struct dvar_event){.type = DVAR_OP,
                            .id = action->ask | NODE_VAR_ID_OF_MUTEX |
                                  (action->type == MUTEX_RECORD_CAS ? NODE_VAR_ID_OF_CAS : 0),
                            .name = (const char *)todo->bytes,
                            .name_len = name_len,
                            .op = &todo->op,
                            .deadline_ms = node_boot_ms() + RECORD_MS};
}

static void mutex_action(struct kith_node *node, const struct mutex_action *action)
{
    switch (action->type) {
    case MUTEX_SEND:
        node_state_send(node, &action->to, FRAME_MUTEX, action->data, action->len);
        break;
    case MUTEX_RECORD_READ:
    case MUTEX_RECORD_CAS:
        record_op(node, action);
        break;
    case MUTEX_GRANTED:
    case MUTEX_ENDED:
    case MUTEX_LOCK_LOST:
    case MUTEX_WARN_LEASE:
    case MUTEX_BROKEN:
    case MUTEX_INFO:
        node_lock_action(node, action);
        break;
    }
}

static void step_mutex(struct kith_node *node, struct mutex_event *event)
{
    struct mutex_output out;

    event->now_ms = node_state_ms(node);
    node->state.stepping = true;
    (void)mutex_step(node->state.mutex, event, &out);
    for (size_t i = 0; i < out.actions_n; i++)
        mutex_action(node, &out.actions[i]);
    node->state.stepping = false;
}

/* ---- events from outside ---- */

static bool busy(const struct kith_node *node)
{
    return node->state.stepping || node->state.pumping;
}

/* Only what carries no pointers comes while a step runs. */
void node_view_step(struct kith_node *node, struct view_event *event)
{
    if (!node->state.started)
        return;
    if (busy(node)) {
        assert(event->data == NULL);
        tell_view(node, event);
        return;
    }
    step_view(node, event);
    pump(node);
}

void node_dvar_step(struct kith_node *node, struct dvar_event *event)
{
    if (busy(node)) {
        assert(event->data == NULL && event->op == NULL && event->name == NULL);
        struct todo *todo = todo_add(node, TODO_DVAR, 0);
        if (todo != NULL)
            todo->u.dvar = *event;
        return;
    }
    event->more =
        event->type == DVAR_OP || event->type == DVAR_CANCEL || event->type == DVAR_PERSISTED;
    step_dvar(node, event);
    pump(node);
    if (event->more && node->state.held_n >= AHEAD_STEPS) {
        /* A long turn: the others begin while this node makes the rest. */
        let_go(node);
        uv_net_flush(node->net);
        node_store_write(node);
    }
}

void node_mutex_step(struct kith_node *node, struct mutex_event *event)
{
    if (busy(node)) {
        struct todo *todo = todo_add(node, TODO_MUTEX, 0);
        assert(event->type != MUTEX_RECV);
        if (todo != NULL)
            todo->u.mutex = *event;
        return;
    }
    step_mutex(node, event);
    pump(node);
}

static void on_timer(uv_timer_t *timer)
{
    struct kith_node *node = timer->data;
    struct node_state *state = &node->state;
    uint64_t now_ms = node_boot_ms();

    state->due_ms = UINT64_MAX;
    if (view_deadline_ms(state->view) <= now_ms)
        step_view(node, &(struct view_event){.type = VIEW_TICK});
    if (dvar_deadline_ms(state->dvar) <= now_ms)
        step_dvar(node, &(struct dvar_event){.type = DVAR_TICK});
    if (mutex_deadline_ms(state->mutex) <= now_ms)
        step_mutex(node, &(struct mutex_event){.type = MUTEX_TICK});
    if (symbols_deadline_ms(state->symbols) <= now_ms)
        node_symbols_step(node, &(struct symbols_event){.type = SYMBOLS_TICK});
    if (avail_deadline_ms(state->avail) <= now_ms)
        (void)node_avail_step(node, &(struct avail_event){.type = AVAIL_TICK});
    if (avail_deadline_ms(state->items) <= now_ms)
        (void)node_items_step(node, &(struct avail_event){.type = AVAIL_TICK});
    pump(node);
}

void node_state_frame(struct kith_node *node,
                      const struct kith_node_id *from,
                      uint64_t boot_no,
                      uint8_t type,
                      const uint8_t *data,
                      size_t len)
{
    struct boot_id boot = {.node = *from, .boot_no = boot_no};

    assert(!busy(node));
    if (!node->state.started)
        return;
    switch (type) {
    case FRAME_FS:
    case FRAME_FS_ASK:
    case FRAME_FS_DATA:
    case FRAME_FS_KEEP:
        node_fs_frame(node, from, type, data, len);
        return;
    case FRAME_VIEW:
        step_view(node,
                  &(struct view_event){.type = VIEW_RECV, .from = boot, .data = data, .len = len});
        break;
    case FRAME_DVAR:
        step_dvar(node,
                  &(struct dvar_event){
                      .type = DVAR_RECV, .more = true, .from = boot, .data = data, .len = len});
        break;
    case FRAME_DVAR_SYMBOLS:
        node_symbols_step(node, &(struct symbols_event){
                                    .type = SYMBOLS_RECV, .peer = *from, .data = {data, len}});
        break;
    case FRAME_DVAR_AVAILABLE:
        (void)node_avail_step(
            node, &(struct avail_event){.type = AVAIL_RECV, .peer = *from, .data = {data, len}});
        break;
    case FRAME_DVAR_ITEMS:
        (void)node_items_step(
            node, &(struct avail_event){.type = AVAIL_RECV, .peer = *from, .data = {data, len}});
        break;
    case FRAME_MUTEX:
        step_mutex(node, &(struct mutex_event){.type = MUTEX_RECV,
                                               .u.recv = {.from = boot, .data = data, .len = len}});
        break;
    default: /* of a later version */
        return;
    }
    pump(node);
}

void node_state_peer(struct kith_node *node, const struct member *member, bool up, bool left)
{
    struct boot_id boot = {.node = member->id, .boot_no = member->boot_no};

    if (!node->state.started || kith_node_id_equal(&member->id, &node->identity.id))
        return;
    /* The name is copied by the core, and events are borrowed for the step: not while one runs. */
    struct view_event view = {.type = up ? VIEW_PEER_UP : VIEW_PEER_DOWN,
                              .from = boot,
                              .left = left,
                              .eligible = member->facts.role != KITH_ROLE_PROGRAM,
                              .name = busy(node) ? NULL : member->shown_name};
    struct dvar_event dvar = {
        .type = up ? DVAR_PEER_UP : DVAR_PEER_DOWN, .from = boot, .left = left};
    struct mutex_event mutex = {.type = up ? MUTEX_PEER_UP : MUTEX_PEER_DOWN,
                                .u.peer = {.boot = boot, .left = left}};
    node_view_step(node, &view);
    node_dvar_step(node, &dvar);
    node_mutex_step(node, &mutex);
}

void node_state_link(struct kith_node *node,
                     const struct kith_node_id *id,
                     uint64_t boot_no,
                     bool up)
{
    struct boot_id boot = {.node = *id, .boot_no = boot_no};

    if (!node->state.started)
        return;
    node_symbols_step(node, &(struct symbols_event){
                                .type = up ? SYMBOLS_LINK_UP : SYMBOLS_LINK_DOWN, .peer = *id});
    (void)node_avail_step(
        node, &(struct avail_event){.type = up ? AVAIL_LINK_UP : AVAIL_LINK_DOWN, .peer = *id});
    (void)node_items_step(
        node, &(struct avail_event){.type = up ? AVAIL_LINK_UP : AVAIL_LINK_DOWN, .peer = *id});
    node_view_step(node,
                   &(struct view_event){.type = up ? VIEW_LINK_UP : VIEW_LINK_DOWN, .from = boot});
    node_fs_link(node, id, up);
    if (!up)
        return;
    node_dvar_step(node, &(struct dvar_event){.type = DVAR_LINK_UP, .from = boot});
    node_mutex_step(node, &(struct mutex_event){.type = MUTEX_LINK_UP, .u.peer = {.boot = boot}});
}

/* ---- once a second, and at the end ---- */

static void sweep_one(void *arg, const struct dvar_change *variable)
{
    struct kith_node *node = arg;
    static const char prefix[] = MUTEX_RECORD_PREFIX;
    struct value value = value_view(variable->value, variable->value_len);

    node_symbol_sweep(node, variable);
    if (!variable->settled || variable->name_len < sizeof(prefix) - 1 ||
        memcmp(variable->name, prefix, sizeof(prefix) - 1) != 0)
        return;
    struct todo *todo = todo_add(node, TODO_MUTEX, variable->name_len + 1 + value.len);
    if (todo == NULL)
        return;
    memcpy(todo->bytes, variable->name, variable->name_len);
    if (value.len > 0)
        memcpy(todo->bytes + variable->name_len + 1, value.data, value.len);
    todo->u.mutex.type = MUTEX_RECORD_SEEN;
    todo->u.mutex.u.record.version = variable->version;
    todo->u.mutex.u.record.name = (const char *)todo->bytes;
    todo->u.mutex.u.record.data = todo->bytes + variable->name_len + 1;
    todo->u.mutex.u.record.len = value.len;
}

void node_state_sample(struct kith_node *node)
{
    uint64_t now_ms = node_boot_ms();

    if (!node->state.started || node->ending)
        return;
    node_fs_sample(node);
    look_at_quorum(node);
    if (now_ms - node->state.swept_ms >= SWEEP_MS) {
        node->state.swept_ms = now_ms;
        dvar_each_home(node->state.dvar, sweep_one, node);
        node_items_sweep(node);
    }
    pump(node);
}

bool node_state_leave(struct kith_node *node, void (*left)(struct kith_node *node))
{
    if (!node->state.started || node->program)
        return false;
    node->state.view_left = left;
    node_view_step(node, &(struct view_event){.type = VIEW_LEAVE});
    return true;
}

void node_state_goodbye(struct kith_node *node)
{
    if (node->state.started) {
        node_mutex_step(node, &(struct mutex_event){.type = MUTEX_STOP});
        node_dvar_step(node, &(struct dvar_event){.type = DVAR_STOP});
    }
    node_view_step(node, &(struct view_event){.type = VIEW_STOP});
}

void node_state_stop(struct kith_node *node)
{
    if (!node->state.started)
        return;
    node_fs_stop(node);
    node_mutex_step(node, &(struct mutex_event){.type = MUTEX_STOP});
    node_vars_stop(node);
    pump(node);
}

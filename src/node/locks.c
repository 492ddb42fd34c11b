/*
 * Mutexes for programs: from the public functions, on any thread, to a step of the mutex core and
 * back to a callback.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "dvar/value.h"
#include "node/internal.h"

#define WHY_BYTES 1024

/* ---- acquire ---- */

static void lock_free(struct node_lock *lock)
{
    core_free(lock);
}

/* The end of a wait, or its beginning failed: the callback hears of it once. */
static void
tell(struct kith_node *node, struct node_lock *lock, int code, uint64_t fence, const char *text)
{
    kith_lock_cb cb = lock->cb;
    struct kith_lock told = {
        .id = {.no = lock->no}, .code = code, .fence = fence, .text = text != NULL ? text : ""};

    lock->cb = NULL;
    if (cb == NULL)
        return;
    node->state.lock_waits_n--;
    uint64_t began_ns = node_callback_begin(node);
    cb(node, &told, lock->user);
    node_callback_end(node, began_ns, "lock", lock->name);
    node->state.batch_ms = 0; /* it may have taken long */
}

static void acquire_run(struct kith_node *node, struct node_request *request)
{
    struct node_lock *lock = container_of(request, struct node_lock, request);
    uint64_t now_ms = node_state_ms(node);
    struct mutex_event event = {
        .type = MUTEX_ACQUIRE,
        .u.acquire = {.waiter = lock->no,
                      .name = lock->name,
                      .owner = lock->options.owner,
                      .within = lock->within,
                      .within_n = lock->options.within_n,
                      .owner_text = lock->owner_text,
                      .pid = lock->options.pid,
                      .deadline_ms = lock->options.timeout_ms == 0
                                         ? UINT64_MAX
                                         : now_ms + lock->options.timeout_ms,
                      .try_only = lock->options.try_only,
                      .detect = lock->options.detect,
                      .shared = lock->options.shared,
                      .permits = lock->options.permits}};

    node->state.lock_waits_n++;
    node->state.lock_asked_ns = node_turn_ns(node);
    if (node->ending || map64_set(&node->state.locks, lock->no, lock) != 0) {
        tell(node, lock, node->ending ? KITH_E_STOPPED : KITH_E_MEMORY, 0,
             node->ending ? "the node is stopping" : "memory is short");
        lock_free(lock);
        return;
    }
    node_mutex_step(node, &event);
}

static struct node_lock *lock_new(const struct kith_node *node,
                                  const char *name,
                                  const struct kith_lock_options *options,
                                  kith_lock_cb cb,
                                  void *user)
{
    size_t name_bytes = strlen(name) + 1;
    size_t owner_bytes = options->owner_text != NULL ? strlen(options->owner_text) + 1 : 0;
    struct node_lock *lock = core_malloc(sizeof(*lock) + name_bytes + owner_bytes);

    if (lock == NULL)
        return NULL;
    *lock =
        (struct node_lock){.request.run = acquire_run, .cb = cb, .user = user, .options = *options};
    /* The nearest ones. */
    uint32_t n = options->within != NULL ? options->within_n : 0;
    uint32_t cut = n > MUTEX_WITHIN_MAX ? n - MUTEX_WITHIN_MAX : 0;
    lock->options.within_n = n - cut;
    for (uint32_t i = cut; i < n; i++)
        lock->within[i - cut] = options->within[i];
    memcpy(lock->name, name, name_bytes);
    if (owner_bytes > 0)
        lock->owner_text = memcpy(lock->name + name_bytes, options->owner_text, owner_bytes);
    if (lock->options.pid == 0)
        lock->options.pid = node->state.pid;
    return lock;
}

int kith_lock_async(struct kith_node *node,
                    const char *name,
                    const struct kith_lock_options *options,
                    kith_lock_cb cb,
                    void *user,
                    struct kith_lock_id *id_out)
{
    static const struct kith_lock_options none;

    if (node == NULL || name == NULL || cb == NULL)
        return kith_fail_with(KITH_E_INVALID, "a lock needs a node, a name and a callback");
    int r = value_name_check(name, strlen(name), false);
    if (r == 0 && strlen(name) > MUTEX_NAME_BYTES_MAX)
        r = kith_fail_with(KITH_E_NAME, "the name of a mutex has at most %d bytes, this one %zu",
                           MUTEX_NAME_BYTES_MAX, strlen(name));
    if (r != 0)
        return r;
    struct node_lock *lock = lock_new(node, name, options != NULL ? options : &none, cb, user);
    if (lock == NULL)
        return KITH_E_MEMORY;
    if (!node_enter(node)) {
        lock_free(lock);
        return KITH_E_STOPPED;
    }
    lock->no = atomic_fetch_add(&node->state.next_lock_no, 1) + 1;
    if (id_out != NULL)
        id_out->no = lock->no;
    node_push(node, &lock->request);
    node_exit(node);
    return 0;
}

/* ---- release ---- */

struct unlock {
    struct node_request request;
    uint64_t no;
};

static void unlock_run(struct kith_node *node, struct node_request *request)
{
    struct unlock *unlock = container_of(request, struct unlock, request);
    struct node_lock *lock = map64_find(&node->state.locks, unlock->no);
    struct mutex_event event = {.type = MUTEX_CANCEL, .u.waiter = unlock->no};

    core_free(unlock);
    if (lock == NULL)
        return; /* released before, or lost meanwhile */
    bool held = lock->cb == NULL;
    if (held) {
        /* Nothing is told of it any more. */
        map64_remove(&node->state.locks, lock->no);
        lock_free(lock);
    }
    node->state.released = true;
    node_mutex_step(node, &event);
}

int kith_unlock(struct kith_node *node, struct kith_lock_id id)
{
    if (node == NULL || id.no == 0)
        return kith_fail_with(KITH_E_INVALID, "what is released needs a node and the id of a lock");
    struct unlock *unlock = core_malloc(sizeof(*unlock));
    if (unlock == NULL)
        return KITH_E_MEMORY;
    *unlock = (struct unlock){.request.run = unlock_run, .no = id.no};
    if (!node_enter(node)) {
        core_free(unlock);
        return KITH_E_STOPPED;
    }
    node_push(node, &unlock->request);
    node_exit(node);
    return 0;
}

/* ---- what the core says ---- */

static void
on_lost(struct kith_node *node, struct node_lock *lock, const struct mutex_action *action)
{
    struct kith_lock_event event = {.type = KITH_LOCK_LOST,
                                    .id = {.no = lock->no},
                                    .name = lock->name,
                                    .fence = action->fence,
                                    .code = action->code,
                                    .text = action->text};

    map64_remove(&node->state.locks, lock->no);
    if (lock->options.on_event != NULL) {
        uint64_t began_ns = node_callback_begin(node);
        lock->options.on_event(node, &event, lock->options.user);
        node_callback_end(node, began_ns, "loss of lock", lock->name);
    }
    lock_free(lock);
}

/* Why it ended: if no quorum can be reached, with the names of those who are missing. */
static const char *
why(struct kith_node *node, const char *name, int code, const char *text, char out[WHY_BYTES])
{
    char who[WHY_BYTES / 2];

    if (code != KITH_E_NO_QUORUM || node->state.quorum)
        return text;
    (void)node_quorum_text(node, who, sizeof(who));
    if (name != NULL)
        snprintf(out, WHY_BYTES, "the mutex '%s': %s", name, who);
    else
        snprintf(out, WHY_BYTES, "%s", who);
    return out;
}

static void
on_warn(struct kith_node *node, struct node_lock *lock, const struct mutex_action *action)
{
    struct kith_lock_event event = {.type = KITH_LOCK_LEASE_ENDS,
                                    .id = {.no = lock->no},
                                    .name = lock->name,
                                    .fence = lock->fence,
                                    .left_ms = action->left_ms,
                                    .text = "the lease of this node is about to end"};

    if (lock->options.on_event != NULL)
        lock->options.on_event(node, &event, lock->options.user);
}

static void node_lock_answer(struct kith_node *node, const struct mutex_action *action);

void node_lock_action(struct kith_node *node, const struct mutex_action *action)
{
    struct node_lock *lock;
    char text[WHY_BYTES];

    if (action->type == MUTEX_BROKEN || action->type == MUTEX_INFO) {
        node_lock_answer(node, action);
        return;
    }
    lock = map64_find(&node->state.locks, action->waiter);
    if (lock == NULL)
        return; /* released a moment ago */
    switch (action->type) {
    case MUTEX_GRANTED:
        lock->fence = action->fence;
        tell(node, lock, 0, action->fence, "");
        break;
    case MUTEX_ENDED:
        map64_remove(&node->state.locks, lock->no);
        tell(node, lock, action->code, 0, why(node, lock->name, action->code, action->text, text));
        lock_free(lock);
        break;
    case MUTEX_LOCK_LOST:
        on_lost(node, lock, action);
        break;
    case MUTEX_WARN_LEASE:
        on_warn(node, lock, action);
        break;
    default:
        assert(false);
    }
}

/* ---- synchronous ---- */

struct lock_sync {
    sem_t done;
    struct kith_lock lock;
    char text[1024];
};

static void on_sync(struct kith_node *node, const struct kith_lock *lock, void *user)
{
    struct lock_sync *sync = user;

    (void)node;
    sync->lock = *lock;
    snprintf(sync->text, sizeof(sync->text), "%s", lock->text);
    sem_post(&sync->done);
}

int kith_lock(struct kith_node *node,
              const char *name,
              const struct kith_lock_options *options,
              struct kith_lock *lock_out)
{
    struct lock_sync sync = {0};

    if (node != NULL && node_on_loop(node))
        return node_fail_would_deadlock("kith_lock");
    sem_init(&sync.done, 0, 0);
    int r = kith_lock_async(node, name, options, on_sync, &sync, NULL);
    if (r == 0) {
        node_sem_wait(&sync.done);
        r = sync.lock.code;
        if (r != 0)
            (void)kith_fail_with(r, "%s", sync.text);
    }
    sem_destroy(&sync.done);
    if (r == 0 && lock_out != NULL) {
        *lock_out = sync.lock;
        lock_out->text = "";
    }
    return r;
}

struct fence_of {
    uint64_t no, fence;
};

static void fence_run(struct kith_node *node, void *arg)
{
    struct fence_of *of = arg;
    of->fence = mutex_holds(node->state.mutex, of->no, node_boot_ms());
}

uint64_t kith_lock_fence(struct kith_node *node, struct kith_lock_id id)
{
    struct fence_of of = {.no = id.no};

    return node_run(node, fence_run, &of) == 0 ? of.fence : 0;
}

/* ---- who holds what ---- */

/* What the core knows as programs see it; @parties_out is freed by the caller. */
static int info_of(const struct mutex_info *from,
                   struct kith_lock_info *info,
                   struct kith_lock_party **parties_out)
{
    struct kith_lock_party *parties = core_calloc(from->list_n + 1, sizeof(*parties));

    *parties_out = parties;
    if (parties == NULL)
        return KITH_E_MEMORY;
    for (uint32_t i = 0; i < from->list_n; i++) {
        const struct mutex_holder *party = &from->list[i];
        parties[i] = (struct kith_lock_party){
            .node = party->boot.node,
            .node_name = party->node != NULL ? party->node : "",
            .owner_text = party->owner_text != NULL ? party->owner_text : "",
            .pid = party->pid,
            .holds = party->holds,
            .shared = party->shared,
            .fence = party->fence,
            .age_ms = party->age_ms,
            .lease_left_ms = party->lease_left_ms,
            .cycle = party->cycle != NULL ? party->cycle : "",
        };
    }
    *info = (struct kith_lock_info){
        .name = from->name,
        .permits = from->permits,
        .queue = from->queue,
        .participants_n = from->participants_n,
        .waiters_n = from->waiters_n,
        .parties = parties,
        .parties_n = from->list_n,
    };
    return 0;
}

static void node_lock_answer(struct kith_node *node, const struct mutex_action *action)
{
    struct node_lock_ask *ask = map64_remove(&node->state.lock_asks, action->ask);
    struct kith_lock_party *parties = NULL;
    struct kith_lock_info info;
    char text[WHY_BYTES];

    if (ask == NULL)
        return;
    if (action->type == MUTEX_BROKEN) {
        if (action->code != 0)
            (void)kith_fail_with(action->code, "%s",
                                 why(node, NULL, action->code, action->text, text));
        ask->on_broken(node, action->code, ask->user);
    } else {
        int code = action->info->code;
        if (code == 0)
            code = info_of(action->info, &info, &parties);
        else if (action->text != NULL)
            (void)kith_fail_with(code, "%s", why(node, NULL, code, action->text, text));
        ask->on_info(node, code, code == 0 ? &info : NULL, ask->user);
    }
    core_free(parties);
    core_free(ask);
}

static int ask_begin(struct kith_node *node,
                     enum mutex_event_type type,
                     const char *name,
                     uint64_t timeout_ms,
                     const struct node_lock_ask *from)
{
    struct node_lock_ask *ask = core_malloc(sizeof(*ask));
    int r = value_name_check(name, strlen(name), false);

    if (r != 0 || ask == NULL) {
        core_free(ask);
        return r != 0 ? r : KITH_E_MEMORY;
    }
    *ask = *from;
    uint64_t no = ++node->state.next_ask;
    if (map64_set(&node->state.lock_asks, no, ask) != 0) {
        core_free(ask);
        return KITH_E_MEMORY;
    }
    struct mutex_event event = {
        .type = type,
        .u.ask = {.ask = no, .name = name, .deadline_ms = node_boot_ms() + timeout_ms}};
    node_mutex_step(node, &event);
    return 0;
}

int node_lock_info(
    struct kith_node *node,
    const char *name,
    void (*done)(struct kith_node *node, int code, const struct kith_lock_info *info, void *user),
    void *user)
{
    struct node_lock_ask ask = {.on_info = done, .user = user};
    return ask_begin(node, MUTEX_QUERY, name, 0, &ask);
}

int node_lock_break(struct kith_node *node,
                    const char *name,
                    uint64_t timeout_ms,
                    void (*done)(struct kith_node *node, int code, void *user),
                    void *user)
{
    struct node_lock_ask ask = {.on_broken = done, .user = user};
    return ask_begin(node, MUTEX_BREAK, name, timeout_ms, &ask);
}

void node_locks_each(struct kith_node *node,
                     void (*fn)(struct kith_node *node,
                                const struct kith_lock_info *info,
                                void *user),
                     void *user)
{
    struct mutex_info from;
    size_t at = 0;
    uint64_t now_ms = node_boot_ms();

    while (mutex_next(node->state.mutex, &at, now_ms, &from)) {
        struct kith_lock_party *parties;
        struct kith_lock_info info;
        if (info_of(&from, &info, &parties) == 0)
            fn(node, &info, user);
        core_free(parties);
    }
}

/* ---- the same, synchronous ---- */

struct ask_sync {
    const char *name;
    uint64_t timeout_ms;
    struct kith_lock_info *copy;
    int code;
    char text[1024];
    sem_t done;
};

static size_t party_bytes(const struct kith_lock_party *party)
{
    return strlen(party->node_name) + strlen(party->owner_text) + strlen(party->cycle) + 3;
}

static const char *put(char **at, const char *text)
{
    size_t bytes = strlen(text) + 1;
    const char *copy = memcpy(*at, text, bytes);
    *at += bytes;
    return copy;
}

/* In one block. */
static struct kith_lock_info *info_copy(const struct kith_lock_info *info)
{
    size_t bytes =
        sizeof(*info) + info->parties_n * sizeof(*info->parties) + strlen(info->name) + 1;

    for (size_t i = 0; i < info->parties_n; i++)
        bytes += party_bytes(&info->parties[i]);
    struct kith_lock_info *copy = core_malloc(bytes);
    if (copy == NULL)
        return NULL;
    struct kith_lock_party *parties = (struct kith_lock_party *)(void *)(copy + 1);
    char *text = (char *)(parties + info->parties_n);
    *copy = *info;
    copy->name = put(&text, info->name);
    copy->parties = parties;
    for (size_t i = 0; i < info->parties_n; i++) {
        parties[i] = info->parties[i];
        parties[i].node_name = put(&text, info->parties[i].node_name);
        parties[i].owner_text = put(&text, info->parties[i].owner_text);
        parties[i].cycle = put(&text, info->parties[i].cycle);
    }
    return copy;
}

static void ask_end(struct ask_sync *sync, int code)
{
    sync->code = code;
    snprintf(sync->text, sizeof(sync->text), "%s", code != 0 ? kith_errmsg() : "");
    sem_post(&sync->done);
}

static void
on_info_sync(struct kith_node *node, int code, const struct kith_lock_info *info, void *user)
{
    struct ask_sync *sync = user;

    (void)node;
    if (code == 0) {
        sync->copy = info_copy(info);
        code = sync->copy == NULL ? KITH_E_MEMORY : 0;
    }
    ask_end(sync, code);
}

static void info_run(struct kith_node *node, void *arg)
{
    struct ask_sync *sync = arg;
    int r = node_lock_info(node, sync->name, on_info_sync, sync);
    if (r != 0)
        ask_end(sync, r);
}

static void on_broken_sync(struct kith_node *node, int code, void *user)
{
    (void)node;
    ask_end(user, code);
}

static void break_run(struct kith_node *node, void *arg)
{
    struct ask_sync *sync = arg;
    int r = node_lock_break(node, sync->name, sync->timeout_ms, on_broken_sync, sync);
    if (r != 0)
        ask_end(sync, r);
}

static int ask_wait(struct kith_node *node,
                    const char *function,
                    void (*run)(struct kith_node *node, void *arg),
                    struct ask_sync *sync)
{
    if (node == NULL || sync->name == NULL)
        return kith_fail_with(KITH_E_INVALID, "%s needs a node and a name", function);
    if (node_on_loop(node))
        return node_fail_would_deadlock(function);
    sem_init(&sync->done, 0, 0);
    int r = node_post(node, run, sync);
    if (r == 0) {
        node_sem_wait(&sync->done);
        r = sync->code;
        if (r != 0)
            (void)kith_fail_with(r, "%s", sync->text);
    }
    sem_destroy(&sync->done);
    return r;
}

int kith_lock_info(struct kith_node *node, const char *name, struct kith_lock_info **info_out)
{
    struct ask_sync sync = {.name = name};
    int r = ask_wait(node, "kith_lock_info", info_run, &sync);

    *info_out = sync.copy;
    return r;
}

void kith_lock_info_free(struct kith_lock_info *info)
{
    core_free(info);
}

int kith_lock_break(struct kith_node *node, const char *name, uint64_t timeout_ms)
{
    struct ask_sync sync = {.name = name, .timeout_ms = timeout_ms};
    return ask_wait(node, "kith_lock_break", break_run, &sync);
}

void node_locks_deinit(struct kith_node *node)
{
    void *value;

    for (size_t at = 0; (value = map64_next(&node->state.locks, &at)) != NULL;)
        lock_free(value);
    /* Whoever asked what is under way still frees what it asked with. */
    for (size_t at = 0; (value = map64_next(&node->state.lock_asks, &at)) != NULL;) {
        struct node_lock_ask *ask = value;
        if (ask->on_broken != NULL)
            ask->on_broken(node, KITH_E_STOPPED, ask->user);
        else
            ask->on_info(node, KITH_E_STOPPED, NULL, ask->user);
        core_free(ask);
    }
    map64_deinit(&node->state.locks);
    map64_deinit(&node->state.lock_asks);
}

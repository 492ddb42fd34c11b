/*
 * The driver of the catalogue of files: frames, publications, durable batches and time in, actions
 * out; and the life of all that has to do with files. See uv_fs.h for the rule of steps.
 */
#include "node/uv_fs.h"

#include <string.h>
#include <time.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_keep.h"
#include "node/fs_pins.h"
#include "node/internal.h"

/* Publications that one step takes. */
#define PUBLISH_AT_ONCE 256

int node_fs_absent(void)
{
    return kith_fail_with(KITH_E_UNSUPPORTED,
                          "files belong to nodes, and this program has none of its own: ask the "
                          "agent's socket (docs/protocols/control.md), or write a module");
}

int64_t fs_wall_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- later ---- */

void fs_enter(struct node_fs *fs)
{
    fs->stepping++;
}

void fs_later(struct node_fs *fs, struct fs_todo *todo)
{
    list_append(&fs->todos, &todo->link);
}

void fs_leave(struct node_fs *fs)
{
    struct list *first;

    if (fs->stepping > 1) {
        fs->stepping--;
        return;
    }
    /* What runs here steps cores, whose ends come here again: one loop does it all. */
    while ((first = list_first(&fs->todos)) != NULL) {
        struct fs_todo *todo = container_of(first, struct fs_todo, link);
        list_remove(first);
        todo->run(fs, todo);
    }
    fs_put_flush(fs);
    fs->stepping--;
    if (fs->started)
        fs_arm(fs);
}

/* ---- signatures ---- */

struct sign_job {
    struct fs_job job;
    bool verify;
    uint64_t token;
    int code;
    size_t n;
    struct buf data;       /* what is signed, one behind the other */
    struct buf signatures; /* of each */
    struct buf keys;       /* of each, if they are verified */
    size_t *ends;          /* of each in data */
};

static void sign_work(struct fs_job *job)
{
    struct sign_job *sign = container_of(job, struct sign_job, job);
    const uint8_t *sk = job->fs->node->identity.sign_sk;
    size_t at = 0;

    for (size_t i = 0; i < sign->n && sign->code == 0; i++) {
        uint8_t *signature = sign->signatures.data + i * FS_SIGNATURE_BYTES;
        const uint8_t *data = sign->data.data + at;
        size_t len = sign->ends[i] - at;
        at = sign->ends[i];
        if (!sign->verify)
            crypto_sign_detached(signature, NULL, data, len, sk);
        else if (crypto_sign_verify_detached(signature, data, len,
                                             sign->keys.data + i * FS_KEY_BYTES) != 0)
            sign->code = KITH_E_CORRUPT;
    }
}

static void sign_free(struct sign_job *sign)
{
    if (sign == NULL)
        return;
    buf_deinit(&sign->data);
    buf_deinit(&sign->signatures);
    buf_deinit(&sign->keys);
    core_free(sign->ends);
    core_free(sign);
}

static void sign_done(struct node_fs *fs, struct fs_job *job)
{
    struct sign_job *sign = container_of(job, struct sign_job, job);
    struct catalogue_event event = {
        .type = sign->verify ? CATALOGUE_VERIFIED : CATALOGUE_SIGNED,
        .token = sign->token,
        .code = sign->code,
        .data = {sign->signatures.data, sign->n * FS_SIGNATURE_BYTES},
    };

    fs_catalogue_do(fs, &event);
    sign_free(sign);
}

static int sign_fill(struct sign_job *sign, const struct catalogue_action *action)
{
    static const uint8_t none[FS_SIGNATURE_BYTES];
    int r = 0;

    for (size_t i = 0; i < action->n && r == 0; i++) {
        const struct catalogue_check *check = &action->checks[i];
        r = buf_append(&sign->data, check->data.data, check->data.len);
        sign->ends[i] = sign->data.len;
        if (r == 0)
            r = buf_append(&sign->signatures, sign->verify ? check->signature : none,
                           FS_SIGNATURE_BYTES);
        if (r == 0 && sign->verify)
            r = buf_append(&sign->keys, check->key, FS_KEY_BYTES);
    }
    return r;
}

struct sign_failed {
    struct fs_todo todo;
    struct catalogue_event event;
};

static void sign_failed_run(struct node_fs *fs, struct fs_todo *todo)
{
    struct sign_failed *failed = container_of(todo, struct sign_failed, todo);

    fs_catalogue_do(fs, &failed->event);
    core_free(failed);
}

static void sign_start(struct node_fs *fs, const struct catalogue_action *action)
{
    struct sign_job *sign = core_calloc(1, sizeof(*sign));
    bool verify = action->type == CATALOGUE_VERIFY;

    if (sign != NULL) {
        sign->verify = verify;
        sign->token = action->token;
        sign->n = action->n;
        sign->ends = core_calloc(action->n + 1, sizeof(*sign->ends));
        if (sign->ends != NULL && sign_fill(sign, action) == 0) {
            sign->job.work = sign_work;
            sign->job.done = sign_done;
            fs_job_start(fs, &sign->job);
            return;
        }
    }
    sign_free(sign);
    struct sign_failed *failed = core_calloc(1, sizeof(*failed));
    if (failed == NULL)
        node_state_end_process(fs->node, "memory is short: start the node again");
    failed->todo.run = sign_failed_run;
    failed->event = (struct catalogue_event){.type = verify ? CATALOGUE_VERIFIED : CATALOGUE_SIGNED,
                                             .token = action->token,
                                             .code = KITH_E_MEMORY};
    fs_later(fs, &failed->todo);
}

/* ---- what the catalogue wants ---- */

static void published(struct node_fs *fs, const struct catalogue_action *action)
{
    struct fs_publishing *publishing = map64_remove(&fs->published, action->id);

    if (publishing != NULL)
        publishing->done(fs, publishing, action->code, action->text, action->version_id);
}

static void do_action(struct node_fs *fs, const struct catalogue_action *action)
{
    struct kith_node *node = fs->node;

    switch (action->type) {
    case CATALOGUE_SEND:
        node_state_send(node, &action->peer, FRAME_FS, action->data.data, action->data.len);
        break;
    case CATALOGUE_PERSIST:
        fs_put(fs, action->key, action->data);
        break;
    case CATALOGUE_SYNC:
        fs_put_sync(fs, action->token | NODE_TOKEN_FS);
        break;
    case CATALOGUE_SIGN:
    case CATALOGUE_VERIFY:
        sign_start(fs, action);
        break;
    case CATALOGUE_PUBLISHED:
        published(fs, action);
        break;
    case CATALOGUE_CHANGED:
        fs_pins_tell(fs, &action->change);
        fs_watch_tell(fs, &action->change);
        fs_local_changed(fs, &action->change);
        break;
    case CATALOGUE_CONTENT:
        fs_move_content(fs, &action->content);
        break;
    case CATALOGUE_FORGED:
        log_warn(&node->log.log, "files",
                 "a node passes on entries with wrong signatures; they are not taken", "node",
                 fs_node_name(fs, &action->peer, (char[33]){""}), NULL);
        break;
    case CATALOGUE_RENEWED:
        log_warn(&node->log.log, "files",
                 "others know more of this disk's files than it does (a restored backup?): a new "
                 "index is begun",
                 NULL);
        break;
    }
}

void fs_catalogue_do(struct node_fs *fs, struct catalogue_event *event)
{
    struct catalogue_output out;

    event->now_ms = node_boot_ms();
    event->wall_ms = node_turn_unix_ms(fs->node);
    fs_enter(fs);
    int r = fs_catalogue_step(fs->catalogue, event, &out);
    for (size_t i = 0; i < out.actions_n; i++)
        do_action(fs, &out.actions[i]);
    if (r == KITH_E_MEMORY)
        log_error(&fs->node->log.log, "files", "memory is short: a step was lost", NULL);
    fs_leave(fs);
}

/* ---- publications ---- */

/* As many as wait and are of one kind, in one step: their signatures and their sync are shared. */
static void publish_run(struct node_fs *fs, struct fs_todo *todo)
{
    struct fs_publication publications[PUBLISH_AT_ONCE];
    struct fs_holding holdings[PUBLISH_AT_ONCE];
    struct catalogue_event event = {.publications = publications, .holdings = holdings};
    struct list *first;

    (void)todo;
    while (event.n < PUBLISH_AT_ONCE && (first = list_first(&fs->publishing)) != NULL) {
        struct fs_publishing *one = container_of(first, struct fs_publishing, link);
        enum catalogue_event_type type = one->is_holding ? CATALOGUE_HOLD : CATALOGUE_PUBLISH;
        if (event.n > 0 && event.type != type)
            break;
        event.type = type;
        list_remove(first);
        if (one->is_holding)
            holdings[event.n++] = one->holding;
        else
            publications[event.n++] = one->publication;
    }
    if (!list_empty(&fs->publishing))
        fs_later(fs, &fs->publish_todo);
    fs_catalogue_do(fs, &event);
}

int fs_publish(struct node_fs *fs, struct fs_publishing *publishing)
{
    publishing->id = ++fs->next_publication;
    if (publishing->is_holding)
        publishing->holding.id = publishing->id;
    else
        publishing->publication.id = publishing->id;
    if (map64_set(&fs->published, publishing->id, publishing) != 0)
        return KITH_E_MEMORY;
    fs_enter(fs);
    list_append(&fs->publishing, &publishing->link);
    if (!list_linked(&fs->publish_todo.link)) {
        fs->publish_todo.run = publish_run;
        fs_later(fs, &fs->publish_todo);
    }
    fs_leave(fs);
    return 0;
}

/* Nothing is published any more: whoever waits is told so. */
static void publish_stop(struct node_fs *fs)
{
    struct fs_publishing *one;
    size_t at;

    while (at = 0, (one = map64_next(&fs->published, &at)) != NULL) {
        map64_remove(&fs->published, one->id);
        list_remove(&one->link);
        one->done(fs, one, KITH_E_STOPPED, "the node stops", 0);
    }
}

/* ---- time ---- */

static void on_timer(uv_timer_t *timer)
{
    struct kith_node *node = timer->data;
    struct node_fs *fs = node->fs;
    uint64_t now_ms = node_boot_ms();

    fs->due_ms = UINT64_MAX;
    fs_enter(fs);
    if (fs_catalogue_deadline_ms(fs->catalogue) <= now_ms)
        fs_catalogue_do(fs, &(struct catalogue_event){.type = CATALOGUE_TICK});
    fs_move_tick(fs, now_ms);
    fs_leave(fs);
}

void fs_arm(struct node_fs *fs)
{
    uint64_t due_ms = fs_catalogue_deadline_ms(fs->catalogue);
    uint64_t move_ms = fs_move_deadline_ms(fs);

    due_ms = move_ms < due_ms ? move_ms : due_ms;
    if (due_ms >= fs->due_ms || fs->node->finished || uv_is_closing((uv_handle_t *)&fs->timer))
        return;
    uint64_t now_ms = node_boot_ms();
    uint64_t lag_ms = (uv_hrtime() / 1000000) - uv_now(&fs->node->loop);
    fs->due_ms = due_ms;
    uv_timer_start(&fs->timer, on_timer, (due_ms > now_ms ? due_ms - now_ms : 0) + lag_ms, 0);
}

/* ---- events from outside ---- */

void node_fs_frame(struct kith_node *node,
                   const struct kith_node_id *from,
                   uint8_t type,
                   const uint8_t *data,
                   size_t len)
{
    struct node_fs *fs = node->fs;

    if (fs == NULL || !fs->started || fs->stopping)
        return;
    if (type == FRAME_FS)
        fs_catalogue_do(fs, &(struct catalogue_event){
                                .type = CATALOGUE_RECV, .peer = *from, .data = {data, len}});
    else
        fs_move_frame(fs, from, type, (struct kith_bytes){data, len});
}

/* Programs have no files and are told nothing of them. */
static bool is_program(struct kith_node *node, const struct kith_node_id *id)
{
    const struct member *member = member_find(node->members, id);
    return member != NULL && member->facts.role == KITH_ROLE_PROGRAM;
}

void node_fs_link(struct kith_node *node, const struct kith_node_id *id, bool up)
{
    struct node_fs *fs = node->fs;

    if (fs == NULL || !fs->started || fs->stopping || (up && is_program(node, id)))
        return;
    fs_enter(fs);
    fs_move_link(fs, id, up);
    fs_catalogue_do(fs, &(struct catalogue_event){
                            .type = up ? CATALOGUE_LINK_UP : CATALOGUE_LINK_DOWN, .peer = *id});
    fs_leave(fs);
}

void node_fs_member(struct kith_node *node, const struct kith_node_id *id, bool up)
{
    struct node_fs *fs = node->fs;

    if (fs == NULL || !fs->started || fs->stopping || is_program(node, id))
        return;
    fs_move_member(fs, id, up);
}

void node_fs_stored(struct kith_node *node, uint64_t token)
{
    struct node_fs *fs = node->fs;

    if (fs == NULL || !fs->started)
        return;
    token &= ~NODE_TOKEN_FS;
    fs_catalogue_do(fs, &(struct catalogue_event){.type = CATALOGUE_STORED, .token = token});
}

void node_fs_store_ready(struct kith_node *node)
{
    if (node->fs != NULL)
        fs_put_again(node->fs);
}

void node_fs_forget(struct kith_node *node, const struct kith_node_id *id)
{
    struct node_fs *fs = node->fs;

    if (fs == NULL || !fs->started || fs->stopping)
        return;
    fs_enter(fs);
    fs_keep_forget(fs, id);
    fs_catalogue_do(fs, &(struct catalogue_event){.type = CATALOGUE_FORGET, .peer = *id});
    fs_leave(fs);
}

/* ---- life ---- */

static int recall_one(void *user, const struct store_entry *entry)
{
    struct node_fs *fs = user;
    struct catalogue_output out;
    const char *key = entry->key.data;

    if (entry->corrupt) {
        log_error(&fs->node->log.log, "files",
                  "an entry of the catalogue on disk is damaged and is taken from other nodes, if "
                  "it is theirs",
                  NULL);
        return 0;
    }
    if (entry->key.len < CATALOGUE_KEY_PREFIX_LEN ||
        memcmp(key, CATALOGUE_KEY_PREFIX, CATALOGUE_KEY_PREFIX_LEN) != 0)
        return fs_local_recall(fs, entry);
    struct catalogue_event event = {.type = CATALOGUE_RECALL,
                                    .now_ms = node_boot_ms(),
                                    .wall_ms = node_unix_ms(),
                                    .key = entry->key,
                                    .data = entry->value};
    int r = fs_catalogue_step(fs->catalogue, &event, &out);
    return r == KITH_E_MEMORY ? r : 0;
}

int node_fs_recall(struct kith_node *node)
{
    return node->fs != NULL ? store_recall(node->state.store, STORE_KEY_FS, recall_one, node->fs)
                            : 0;
}

static int open_all(struct kith_node *node, struct node_fs *fs)
{
    struct catalogue_config config = {.self.node = node->identity.id, .seed = node_seed()};
    size_t bytes = strlen(node->dir.path) + sizeof("/files");

    memcpy(fs->disk.bytes, store_disk_id(node->state.store), sizeof(fs->disk.bytes));
    config.self.disk = fs->disk;
    memcpy(config.self.key, node->identity.sign_pk, sizeof(config.self.key));
    fs->dir = core_malloc(bytes);
    if (fs->dir == NULL)
        return KITH_E_MEMORY;
    snprintf(fs->dir, bytes, "%s/files", node->dir.path);
    int r = fs_catalogue_new(&fs->catalogue, &config);
    if (r == 0)
        r = fs_pins_open(fs);
    if (r == 0)
        r = fs_local_open(fs);
    return r == 0 ? fs_move_open(fs) : r;
}

int node_fs_open(struct kith_node *node)
{
    static_assert(STORE_DISK_ID_BYTES == FS_DISK_BYTES, "a disk's id is the store's");
    struct node_fs *fs;

    if (node->state.store == NULL)
        return 0;
    fs = core_calloc(1, sizeof(*fs));
    if (fs == NULL)
        return KITH_E_MEMORY;
    node->fs = fs;
    fs->node = node;
    list_init(&fs->todos);
    list_init(&fs->batches);
    list_init(&fs->running);
    list_init(&fs->puts);
    list_init(&fs->publishing);
    list_init(&fs->watches);
    fs->due_ms = UINT64_MAX;
    fs->workers_n = (uint32_t)config_u64(node->config, "fs.workers");
    uv_timer_init(&node->loop, &fs->timer);
    fs->timer.data = node;
    return open_all(node, fs);
}

void node_fs_first(struct kith_node *node)
{
    struct node_fs *fs = node->fs;

    if (fs == NULL)
        return;
    fs->started = true;
    fs_enter(fs);
    fs_catalogue_do(fs, &(struct catalogue_event){.type = CATALOGUE_START});
    fs_pins_first(fs);
    fs_move_first(fs);
    fs_local_first(fs);
    fs_leave(fs);
}

void node_fs_stop(struct kith_node *node)
{
    struct node_fs *fs = node->fs;

    if (fs == NULL)
        return;
    fs->stopping = true;
    atomic_store(&fs->cancel, true);
    fs_local_stop(fs);
    fs_move_stop(fs);
    for (struct list *first; (first = list_first(&fs->running)) != NULL;) {
        struct fs_op *op = container_of(first, struct fs_op, link);
        if (op->stop != NULL)
            op->stop(op);
        fs_op_fail(op, KITH_E_STOPPED, "the node stops");
    }
    publish_stop(fs);
    fs_watches_deinit(fs);
}

void node_fs_sample(struct kith_node *node)
{
    struct node_fs *fs = node->fs;

    if (fs == NULL || !fs->started || fs->stopping)
        return;
    fs_ops_tick(fs);
    fs_cache_use(fs);
    fs_local_sample(fs);
    fs_keep_sample(fs);
}

bool node_fs_idle(const struct kith_node *node)
{
    return node->fs == NULL || node->fs->jobs_n == 0;
}

void node_fs_close(struct kith_node *node)
{
    if (node->fs == NULL)
        return;
    workers_stop(node->fs->workers);
    node->fs->workers = NULL;
}

void node_fs_deinit(struct kith_node *node)
{
    struct node_fs *fs = node->fs;

    if (fs == NULL)
        return;
    fs_put_deinit(fs);
    fs_puts_deinit(fs);
    fs_local_deinit(fs);
    fs_move_deinit(fs);
    fs_watches_deinit(fs);
    fs_pins_deinit(fs);
    fs_catalogue_free(fs->catalogue);
    map64_deinit(&fs->ops);
    map64_deinit(&fs->published);
    core_free(fs->dir);
    core_free(fs);
    node->fs = NULL;
}

/*
 * Events in, actions out: the outside of the machine of a folder.
 */
#include "fs/local.h"

#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "core/mutant.h"
#include "fs/local_internal.h"
#include "kith/error.h"

#define ACTIONS_MIN 64

/* ---- output ---- */

struct local_action *out_action(struct local_core *core, enum local_action_type type)
{
    if (core->actions_n == core->actions_cap) {
        size_t cap = core->actions_cap == 0 ? ACTIONS_MIN : core->actions_cap * 2;
        struct local_action *bigger = core_realloc(core->actions, cap * sizeof(*bigger));
        if (bigger == NULL) {
            local_failed(core);
            return NULL;
        }
        core->actions = bigger;
        core->actions_cap = cap;
    }
    core->actions[core->actions_n] = (struct local_action){.type = type};
    return &core->actions[core->actions_n++];
}

char *out_copy(struct local_core *core, const void *data, size_t len)
{
    char *copy = arena_alloc(&core->arena, len + 1);

    if (copy == NULL) {
        local_failed(core);
        return NULL;
    }
    if (len > 0)
        memcpy(copy, data, len);
    copy[len] = '\0';
    return copy;
}

void local_failed(struct local_core *core)
{
    core->failed = true;
    core->scan_all = true;
}

/* ---- events ---- */

static bool is_owned_as_kept(const struct local_core *core,
                             const struct node *node,
                             const struct local_event *event)
{
    const struct fs_stat *stat = &event->before;
    struct content content;

    if (node->kind != stat->kind)
        return false;
    if (node->kind == FS_SYMLINK)
        return true;
    tree_content(core, node, &content);
    return node->mode == stat->mode &&
           (node->kind == FS_DIRECTORY ||
            (node->mtime_ns == stat->mtime_ns && content_equal(&content, &event->content)));
}

/* What the catalogue has, and nothing was kept of (a crash came between). */
static int on_owned(struct local_core *core, const struct local_event *event)
{
    struct fs_stat stat = {.kind = event->before.kind};
    struct node *node;
    const char *why;

    if (event->name_len == 0)
        return 0;
    if (tree_resolve(core, event->name, event->name_len, false, true, &node, &why) != RESOLVED)
        return KITH_E_MEMORY;
    if ((node->flags & NODE_PUBLISHED) == 0)
        tree_know(core, node, &stat, &(struct content){0});
    if (is_owned_as_kept(core, node, event))
        node->flags |= NODE_OWNED;
    return 0;
}

/* What was kept, and the catalogue has not. */
static void compare_owned(struct local_core *core)
{
    struct node *node = core->top;

    while ((node = tree_next(core, core->top, node, false)) != NULL) {
        if ((node->flags & (NODE_PUBLISHED | NODE_OWNED)) == NODE_PUBLISHED)
            node->flags |= NODE_UNSURE;
        node->flags &= (uint8_t)~NODE_OWNED;
    }
}

static void on_start(struct local_core *core)
{
    if (!MUTANT(LOCAL_NO_OWNED))
        compare_owned(core);
    core->started = true;
    core->scan_all = true;
    core->window_ms = core->now_ms;
    core->rescan_due_ms = core->now_ms + core->config.rescan_ms;
    gone_state(core, LOCAL_SCANNING, "reads what is in the folder");
}

static const char *base_name(const char *name, size_t len, size_t *len_out)
{
    const char *slash = memrchr(name, '/', len);
    const char *base = slash != NULL ? slash + 1 : name;

    *len_out = len - (size_t)(base - name);
    return base;
}

/* The directory of the rules that @event is about is scanned: the scanner reads them. */
static void rules_touched(struct local_core *core, const struct local_event *event, size_t base_len)
{
    size_t dir_len = event->name_len - base_len;
    struct node *dir;
    const char *why;

    if (tree_resolve(core, event->name, dir_len > 0 ? dir_len - 1 : 0, true, false, &dir, &why) ==
        RESOLVED)
        scan_wish(core, dir);
}

/* What is ignored whatever it is, and was never published: nothing is made for it. */
static bool is_nothing(struct local_core *core, const struct local_event *event)
{
    struct node *node;
    const char *why;

    if (tree_resolve(core, event->name, event->name_len, true, false, &node, &why) != RESOLVED_NONE)
        return false;
    if ((event->touch & LOCAL_TOUCH_GONE) != 0) {
        problem_clear(core, event->name, event->name_len);
        return true;
    }
    return local_ignores(core, event->name, event->name_len, false) &&
           local_ignores(core, event->name, event->name_len, true);
}

static void on_touched(struct local_core *core, const struct local_event *event)
{
    bool gone = (event->touch & LOCAL_TOUCH_GONE) != 0;
    struct node *node;
    const char *why;
    size_t base_len;
    const char *base = base_name(event->name, event->name_len, &base_len);

    core->count.touches++;
    if (event->name_len == 0) {
        scan_wish(core, NULL); /* the folder itself */
        return;
    }
    if (core->config.one_level && base_len < event->name_len)
        return;
    if (base_len == strlen(FS_IGNORE_FILE) && !core->config.tracks &&
        memcmp(base, FS_IGNORE_FILE, base_len) == 0)
        rules_touched(core, event, base_len);
    if (is_nothing(core, event))
        return;
    switch (tree_resolve(core, event->name, event->name_len, true, true, &node, &why)) {
    case RESOLVED:
        if ((event->touch & LOCAL_TOUCH_DIR) != 0 && !gone)
            scan_wish(core, node);
        work_touch(core, node, event->touch);
        if (tree_work(core, node) == NULL)
            tree_prune(core, node);
        break;
    case RESOLVED_REFUSED:
        if (gone)
            problem_clear(core, event->name, event->name_len);
        else
            problem_set(core, event->name, event->name_len, false, why);
        break;
    case RESOLVED_COLLIDED:
        work_touch(core, node, LOCAL_TOUCH_ANY); /* is the one that is known still there? */
        break;
    default:
        local_failed(core);
        break;
    }
}

static struct work *taken(struct local_core *core, uint64_t token, uint8_t state)
{
    struct work *work = map64_find(&core->tokens, token);

    return work != NULL && work->state == state ? work : NULL;
}

static void on_looked(struct local_core *core, const struct local_event *event)
{
    struct work *work = taken(core, event->token, WORK_LOOKING);
    const struct local_seen *seen = event->seen;
    const char *name;
    size_t len;

    if (work == NULL || event->n != 1)
        return;
    if (!gone_root(core, event)) {
        work_set(core, work, WORK_LOOK); /* again, when the folder is back */
        return;
    }
    if (seen->found == LOCAL_FOUND) {
        work_consider(core, work, seen);
        return;
    }
    if (seen->found == LOCAL_ABSENT) {
        core->root_empty = event->root_empty && !core->config.tracks;
        core->gone_dirty = true;
        if (work->again) {
            work->again = false;
            work_settle(core, work, core->now_ms + core->config.settle_ms);
        } else {
            gone_absent(core, work);
        }
        return;
    }
    name = tree_name(core, work->node, &len);
    if (name != NULL)
        problem_set(core, name, len, false, seen->text);
    if (work->heir != NULL)
        work_paired(core, work->heir, false);
    if (seen->found == LOCAL_REFUSED || MUTANT(LOCAL_UNREAD_IS_GONE))
        gone_absent(core, work); /* a pipe, say, instead of a file */
    else if (work->again)
        work_settle(core, work, core->now_ms + core->config.settle_ms);
    else
        work_end(core, work);
}

/* Somebody may have changed it in the tick in which it was written. */
static void
recheck_written(struct local_core *core, struct node *node, const struct local_event *event)
{
    const struct fs_stat *stat = &event->before;
    uint32_t tick_ms = fs_stat_tick_ms(stat);
    struct work *work;

    if (stat->kind != FS_FILE || fs_stat_racy(stat, event->began_wall_ns) == FS_NOT_RACY ||
        (stat->size >= LOCAL_TRUST_BYTES && tick_ms < 1000) || MUTANT(LOCAL_NO_RACY))
        return;
    node->flags |= NODE_RACY;
    work = work_of(core, node);
    if (work != NULL && work->state == 0)
        work_settle(core, work, core->now_ms + tick_ms + 1);
}

static void on_written(struct local_core *core, const struct local_event *event)
{
    struct node *node;
    const char *why;

    if (tree_resolve(core, event->name, event->name_len, false, event->before.kind != 0, &node,
                     &why) != RESOLVED ||
        node == core->top)
        return;
    if (event->before.kind != 0) {
        tree_know(core, node, &event->before, &event->content);
        recheck_written(core, node, event);
        kept_set(core, node);
    } else if ((node->flags & NODE_PUBLISHED) != 0) {
        tree_know(core, node, NULL, NULL);
        kept_drop(core, event->name, event->name_len);
    }
    struct work *work = tree_work(core, node);
    if (work != NULL && work->state == WORK_GONE)
        work_set(core, work, WORK_LOOK);
    tree_prune(core, node);
}

static void on_tick(struct local_core *core)
{
    struct heap_node *first;

    while ((first = heap_first(&core->due)) != NULL && first->key <= core->now_ms) {
        struct work *work = container_of(first, struct work, due);
        work_due(core, work);
    }
}

static int dispatch(struct local_core *core, const struct local_event *event)
{
    struct work *work;

    switch (event->type) {
    case LOCAL_RECALL:
        return kept_recall(core, event->key, event->data);
    case LOCAL_OWNED:
        return MUTANT(LOCAL_NO_OWNED) ? 0 : on_owned(core, event);
    case LOCAL_START:
        on_start(core);
        break;
    case LOCAL_TICK:
        break;
    case LOCAL_TOUCHED:
        on_touched(core, event);
        break;
    case LOCAL_OVERFLOW:
        if (!MUTANT(LOCAL_NO_OVERFLOW))
            scan_wish(core, NULL);
        break;
    case LOCAL_BLIND:
        core->config.blind = event->blind;
        core->config.rescan_ms = event->blind ? LOCAL_RESCAN_BLIND_MS : core->rescan_ms;
        if (core->rescan_due_ms > core->now_ms + core->config.rescan_ms)
            core->rescan_due_ms = core->now_ms + core->config.rescan_ms;
        break;
    case LOCAL_SEEN:
        scan_seen(core, event);
        break;
    case LOCAL_RULES:
        scan_rules(core, event);
        break;
    case LOCAL_SCANNED:
        scan_done(core, event);
        break;
    case LOCAL_LOOKED:
        on_looked(core, event);
        break;
    case LOCAL_HASHED:
        work = taken(core, event->token, WORK_HASHING);
        if (work != NULL)
            work_hashed(core, work, event);
        break;
    case LOCAL_PUBLISHED:
        work = taken(core, event->token, WORK_PUBLISHING);
        if (work != NULL)
            work_published(core, work, event);
        break;
    case LOCAL_WRITTEN:
        on_written(core, event);
        break;
    case LOCAL_CONFIRM:
        return gone_confirm(core);
    }
    return 0;
}

int local_step(struct local_core *core, const struct local_event *event, struct local_output *out)
{
    int r;

    arena_reset(&core->arena);
    core->actions_n = 0;
    core->failed = false;
    core->problems_changed = false;
    core->now_ms = event->now_ms;
    core->wall_ns = event->wall_ns;
    if (core->started)
        on_tick(core);
    r = dispatch(core, event);
    if (core->started) {
        gone_judge(core);
        scan_pump(core);
        work_pump(core);
    }
    if (core->problems_changed)
        (void)out_action(core, LOCAL_PROBLEM);
    *out = (struct local_output){core->actions, core->actions_n};
    return r == 0 && core->failed ? KITH_E_MEMORY : r;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Queues that have room, and yet have something in them: only after memory was short. */
static bool is_behind(const struct local_core *core)
{
    const struct local_config *config = &core->config;

    if (core->lost)
        return false;
    return (!list_empty(&core->looks) && core->looks_n < config->looks_max) ||
           (!list_empty(&core->hashes) && core->hashes_n < config->hashes_max) ||
           (!list_empty(&core->publishes) && core->publishing_n < config->publishing_max);
}

uint64_t local_deadline_ms(const struct local_core *core)
{
    const struct heap_node *first = heap_first(&core->due);
    uint64_t due_ms = core->rescan_due_ms;

    if (!core->started)
        return UINT64_MAX;
    if (first != NULL)
        due_ms = least(due_ms, first->key);
    if (core->scan_token == 0 && (core->scan_all || core->wishes_n > 0)) {
        uint64_t scan_ms = core->scan_retry_ms;
        if (core->lost && core->away_due_ms > scan_ms)
            scan_ms = core->away_due_ms;
        due_ms = least(due_ms, scan_ms);
    }
    if (is_behind(core))
        due_ms = least(due_ms, core->now_ms + 10);
    return least(due_ms, gone_deadline_ms(core));
}

/* ---- life ---- */

static void defaults(struct local_config *config)
{
#define DEFAULT(field, value)                                                                      \
    if (config->field == 0)                                                                        \
    config->field = (value)
    DEFAULT(settle_ms, LOCAL_SETTLE_MS);
    DEFAULT(closed_ms, LOCAL_CLOSED_MS);
    DEFAULT(settle_max_ms, LOCAL_SETTLE_MAX_MS);
    DEFAULT(rescan_ms, config->blind ? LOCAL_RESCAN_BLIND_MS : LOCAL_RESCAN_MS);
    DEFAULT(away_ms, LOCAL_AWAY_MS);
    DEFAULT(retry_ms, LOCAL_RETRY_MS);
    DEFAULT(hashes_max, FS_LOCAL_HASHES_MAX);
    DEFAULT(looks_max, FS_LOCAL_LOOKS_MAX);
    DEFAULT(publishing_max, FS_LOCAL_PUBLISHING_MAX);
    DEFAULT(entries_max, FS_LOCAL_ENTRIES_MAX);
#undef DEFAULT
}

int local_new(struct local_core **core_out, const struct local_config *config)
{
    struct local_core *core = core_calloc(1, sizeof(*core));

    if (core == NULL)
        return KITH_E_MEMORY;
    slab_init(&core->slab);
    core->config = *config;
    core->rescan_ms = config->rescan_ms != 0 ? config->rescan_ms : LOCAL_RESCAN_MS;
    defaults(&core->config);
    list_init(&core->looks);
    list_init(&core->hashes);
    list_init(&core->idle_hashes);
    list_init(&core->publishes);
    list_init(&core->gone);
    core->share = core_strndup(config->share, strlen(config->share));
    core->top = slab_alloc(&core->slab, sizeof(*core->top) + 1);
    if (core->share == NULL || core->top == NULL ||
        fs_ignore_new(&core->ignore, config->tracks) != 0) {
        local_free(core);
        return KITH_E_MEMORY;
    }
    *core_out = core;
    return 0;
}

void local_free(struct local_core *core)
{
    if (core == NULL)
        return;
    heap_deinit(&core->due); /* its nodes are in what the tree has */
    tree_free(core);
    problem_free(core);
    for (size_t i = 0; i < core->wishes_n; i++)
        core_free(core->wishes[i].name);
    map64_deinit(&core->tokens);
    fs_ignore_free(core->ignore);
    arena_deinit(&core->arena);
    core_free(core->actions);
    core_free(core->scan_name);
    core_free(core->last_dir);
    core_free(core->share);
    core_free(core);
}

/*
 * What is under way for one name: from a touch to what is published of it.
 *
 *     touch -> SETTLING -> LOOK -> LOOKING -> HASH -> HASHING -> PUBLISH -> PUBLISHING -> COOLING
 *
 * What turns out to be as it was ends on the way. What is not there goes to GONE, where it is
 * judged together with all else that is missing (local_gone.c).
 */
#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "core/mutant.h"
#include "fs/local_internal.h"
#include "kith/error.h"

#define COOL_MS     1000
#define TRIES_MAX   8
#define TRIES_TELL  5
#define IDLE_HASHES 2  /* under way; what somebody waits for comes first */
#define RACY_AGAIN  11 /* doublings of the time until what is racy later is read again: 40 s */

/* ---- states ---- */

static void leave(struct local_core *core, struct work *work)
{
    switch ((enum work_state)work->state) {
    case WORK_LOOK:
    case WORK_HASH:
    case WORK_PUBLISH:
        core->waiting_n -= !work->idle;
        break;
    case WORK_LOOKING:
        core->looks_n--;
        break;
    case WORK_HASHING:
        core->hashes_n--;
        break;
    case WORK_PUBLISHING:
        core->publishing_n--;
        break;
    case WORK_GONE:
        core->gone_n--;
        core->gone_dirty = true;
        break;
    case WORK_SETTLING:
    case WORK_PAIRING:
    case WORK_MOVED:
    case WORK_COOLING:
        break;
    }
    heap_remove(&core->due, &work->due);
    list_remove(&work->link);
    if (work->token != 0)
        (void)map64_remove(&core->tokens, work->token);
    work->token = 0;
    core->fresh_n -= work->fresh;
    work->fresh = false;
    work->state = 0;
}

static void enter(struct local_core *core, struct work *work, uint8_t state)
{
    work->state = state;
    /* What may turn out to be new, or gone: deletions are judged when none of it is left. */
    work->fresh = ((work->node->flags & NODE_PUBLISHED) == 0 && state <= WORK_PUBLISHING) ||
                  ((work->going || work->unseen) && state <= WORK_LOOKING);
    core->fresh_n += work->fresh;
}

void work_set(struct local_core *core, struct work *work, uint8_t state)
{
    leave(core, work);
    enter(core, work, state);
    if (state != WORK_HASH)
        work->idle = false;
    switch ((enum work_state)state) {
    case WORK_LOOK:
        list_append(&core->looks, &work->link);
        core->waiting_n++;
        break;
    case WORK_HASH:
        list_append(work->idle ? &core->idle_hashes : &core->hashes, &work->link);
        core->waiting_n += !work->idle;
        break;
    case WORK_PUBLISH:
        list_append(&core->publishes, &work->link);
        core->waiting_n++;
        break;
    case WORK_GONE:
        list_append(&core->gone, &work->link);
        if (core->gone_n++ == 0)
            core->gone_since_ms = core->now_ms;
        core->gone_dirty = true;
        break;
    default:
        break;
    }
}

void work_wait(struct local_core *core, struct work *work, uint8_t state, uint64_t due_ms)
{
    leave(core, work);
    work->idle = false;
    enter(core, work, state);
    if (heap_set(&core->due, &work->due, due_ms) == 0)
        return;
    local_failed(core);
    work_set(core, work, WORK_LOOK); /* too early is better than never */
}

void work_settle(struct local_core *core, struct work *work, uint64_t due_ms)
{
    work->first_ms = core->now_ms;
    work_wait(core, work, WORK_SETTLING, due_ms);
}

struct work *work_of(struct local_core *core, struct node *node)
{
    struct work *work = tree_work(core, node);

    if (work != NULL)
        return work;
    work = core_calloc(1, sizeof(*work));
    if (work == NULL || tree_set_work(core, node, work) != 0) {
        core_free(work);
        local_failed(core);
        return NULL;
    }
    work->node = node;
    core->memory_bytes += sizeof(*work);
    return work;
}

/* What was renamed to @work is not, after all: or nobody knows any more. */
static void let_go_of_source(struct local_core *core, struct work *work)
{
    struct work *from = work->from;

    if (from == NULL)
        return;
    work->from = NULL;
    from->heir = NULL;
    if (from->state == WORK_MOVED)
        work_set(core, from, WORK_LOOK);
}

void work_end(struct local_core *core, struct work *work)
{
    struct node *node = work->node;
    struct work *heir = work->heir;

    let_go_of_source(core, work);
    if (heir != NULL) {
        work->heir = NULL;
        heir->from = NULL;
        if (heir->state == WORK_PAIRING || heir->state == WORK_PUBLISH)
            work_set(core, heir, WORK_LOOK);
    }
    leave(core, work);
    core->memory_bytes -= sizeof(*work);
    core_free(work->target);
    core_free(work);
    (void)tree_set_work(core, node, NULL);
    tree_prune(core, node);
}

/* ---- touches ---- */

/* For how long it must be quiet. */
static uint64_t quiet_ms(const struct local_core *core, const struct work *work)
{
    const struct local_config *config = &core->config;
    /* A new name may be a temporary one; of one that is known only the bytes are in question. */
    bool soon = work->closed && !work->hot && (work->node->flags & NODE_PUBLISHED) != 0;
    uint64_t ms = soon ? config->closed_ms : config->settle_ms;

    ms <<= work->tries;
    return ms < config->settle_max_ms ? ms : config->settle_max_ms;
}

static void settle(struct local_core *core, struct work *work)
{
    uint64_t due_ms = core->now_ms + quiet_ms(core, work);
    uint64_t last_ms = work->first_ms + core->config.settle_max_ms;

    work_wait(core, work, WORK_SETTLING, due_ms < last_ms ? due_ms : last_ms);
}

void work_touch(struct local_core *core, struct node *node, unsigned touch)
{
    struct work *work = work_of(core, node);

    if (work == NULL)
        return;
    work->closed = (touch & LOCAL_TOUCH_CLOSED) != 0;
    work->going = (touch & LOCAL_TOUCH_GONE) != 0;
    work->live = true;
    switch (work->state) {
    case WORK_SETTLING:
        settle(core, work);
        break;
    case WORK_COOLING:
        work->hot = true;
        work->first_ms = core->now_ms;
        settle(core, work);
        break;
    case WORK_HASH:
        if (!work->idle) {
            work->again = true;
            break;
        }
        work->first_ms = core->now_ms;
        settle(core, work);
        break;
    case 0:
    case WORK_GONE:
        work->first_ms = core->now_ms;
        settle(core, work);
        break;
    default:
        work->again = true;
        break;
    }
}

void work_look_now(struct local_core *core, struct work *work)
{
    if (work->state == 0 || work->state == WORK_SETTLING || work->state == WORK_COOLING ||
        work->state == WORK_GONE)
        work_set(core, work, WORK_LOOK);
}

void work_due(struct local_core *core, struct work *work)
{
    switch (work->state) {
    case WORK_SETTLING:
        work_set(core, work, WORK_LOOK);
        break;
    case WORK_PAIRING:
        work_paired(core, work, false);
        break;
    default:
        work_end(core, work);
        break;
    }
}

/* ---- what was seen ---- */

static bool is_rules(const struct local_core *core, const struct node *node)
{
    return !core->config.tracks && strcmp(node->name, FS_IGNORE_FILE) == 0;
}

void work_release(struct local_core *core, struct node *node)
{
    for (struct node *at = node, *next; at != NULL; at = next) {
        struct work *work =
            (at->flags & NODE_PUBLISHED) != 0 ? work_of(core, at) : tree_work(core, at);

        next = tree_next(core, node, at, false);
        if (work == NULL)
            continue;
        if (work->state == WORK_PUBLISHING) {
            work->again = true;
        } else if ((at->flags & NODE_PUBLISHED) != 0) {
            let_go_of_source(core, work);
            work_publish(core, work, LOCAL_RELEASED);
        } else {
            work_end(core, work); /* prunes at most @at and empty ones above, behind us */
        }
    }
}

static uint8_t change_of(const struct local_core *core, const struct work *work)
{
    const struct node *node = work->node;
    struct content known;
    struct fs_stat stat;

    if ((node->flags & (NODE_PUBLISHED | NODE_UNSURE)) != NODE_PUBLISHED)
        return LOCAL_CREATED;
    tree_stat(core, node, &stat);
    tree_content(core, node, &known);
    if (stat.kind != work->stat.kind)
        return LOCAL_MODIFIED;
    if (stat.kind == FS_SYMLINK)
        return fs_stat_same(&stat, &work->stat) ? 0 : LOCAL_MODIFIED;
    if (stat.kind == FS_FILE && !content_equal(&known, &work->content))
        return LOCAL_MODIFIED;
    if (stat.mode != work->stat.mode)
        return LOCAL_ATTRIBUTES;
    return stat.kind == FS_FILE && stat.mtime_ns != work->stat.mtime_ns ? LOCAL_ATTRIBUTES : 0;
}

/* What is published is as @work has it, from here on. */
static void known_now(struct local_core *core, struct work *work)
{
    struct node *node = work->node;

    if (core->problems_n > 0) {
        size_t len;
        const char *name = tree_name(core, node, &len);
        if (name != NULL)
            problem_clear(core, name, len);
    }
    tree_know(core, node, &work->stat, &work->content);
    if (work->racy)
        node->flags |= NODE_RACY;
    if (work->verify)
        node->flags |= NODE_VERIFY;
    kept_set(core, node);
}

/* It is known, and nothing is under way: what comes next for it? */
static void settled(struct local_core *core, struct work *work)
{
    const struct node *node = work->node;
    bool again = work->again;

    work->again = false;
    work->tries = 0;
    if (again) {
        work->hot = true;
        work->first_ms = core->now_ms;
        settle(core, work);
    } else if ((node->flags & NODE_RACY) != 0) {
        work_settle(core, work,
                    core->now_ms + ((uint64_t)fs_stat_tick_ms(&work->stat) << work->racy_tries));
        work->racy_tries = work->racy_tries < RACY_AGAIN ? work->racy_tries + 1 : RACY_AGAIN;
    } else if ((node->flags & NODE_VERIFY) != 0) {
        leave(core, work);
        work->idle = true;
        work_set(core, work, WORK_HASH);
    } else if (work->live) {
        work_wait(core, work, WORK_COOLING, core->now_ms + COOL_MS);
    } else {
        work_end(core, work);
    }
}

/* Publishes what is other than before; else notes what was seen. */
static void publish_change(struct local_core *core, struct work *work)
{
    uint8_t change = change_of(core, work);

    if (change != 0) {
        work_publish(core, work, change);
        return;
    }
    known_now(core, work);
    settled(core, work);
}

void work_publish(struct local_core *core, struct work *work, uint8_t change)
{
    work->change = change;
    work_set(core, work, WORK_PUBLISH);
}

void work_paired(struct local_core *core, struct work *work, bool gone)
{
    struct work *from = work->from;

    if (!gone) {
        if (from != NULL)
            from->heir = NULL;
        work->from = NULL;
        publish_change(core, work);
        return;
    }
    work_set(core, from, WORK_MOVED);
    work_publish(core, work, LOCAL_RENAMED);
}

/* @twin is the same inode under another name: is it the former one of a rename? */
static void pair(struct local_core *core, struct work *work, struct node *twin)
{
    struct work *source = work_of(core, twin);

    if (source == NULL || source->heir != NULL || source->from != NULL) {
        publish_change(core, work);
        return;
    }
    switch (source->state) {
    case WORK_GONE: /* it may be back */
    case 0:
    case WORK_SETTLING:
    case WORK_COOLING:
    case WORK_LOOK:
    case WORK_LOOKING:
        work->from = source;
        source->heir = work;
        work_look_now(core, source);
        work_wait(core, work, WORK_PAIRING, core->now_ms + core->config.settle_max_ms);
        break;
    default:
        publish_change(core, work);
        break;
    }
}

static void consider_directory(struct local_core *core, struct work *work, bool unseen)
{
    struct node *node = work->node, *twin = NULL;
    struct fs_stat known;
    bool published = (node->flags & NODE_PUBLISHED) != 0;

    tree_stat(core, node, &known);
    if (published && fs_stat_same_inode(&known, &work->stat)) {
        if (unseen)
            scan_wish(core, node);
    } else {
        if (!core->in_scan)
            scan_wish(core, node);
        if (!published)
            twin = tree_twin(core, node, &work->stat);
    }
    work->content = (struct content){0};
    if (twin != NULL)
        pair(core, work, twin);
    else
        publish_change(core, work);
}

static void consider_symlink(struct local_core *core, struct work *work)
{
    struct node *twin = NULL;

    work->content = (struct content){0};
    if ((work->node->flags & NODE_PUBLISHED) == 0)
        twin = tree_twin(core, work->node, &work->stat);
    if (twin != NULL)
        pair(core, work, twin);
    else
        publish_change(core, work);
}

static bool is_trusted(const struct work *work)
{
    return work->stat.size >= LOCAL_TRUST_BYTES || MUTANT(LOCAL_NO_CTIME);
}

static void consider_file(struct local_core *core, struct work *work)
{
    struct node *node = work->node, *twin;
    struct fs_stat known;
    bool published = (node->flags & NODE_PUBLISHED) != 0;

    tree_stat(core, node, &known);
    if (published && (node->flags & NODE_RACY) == 0 && fs_stat_same_bytes(&known, &work->stat)) {
        /* Only ctime can tell that its bytes are other ones; what else it may be is told now. */
        tree_content(core, node, &work->content);
        work->verify = (node->flags & NODE_VERIFY) != 0 || known.ctime_ns != work->stat.ctime_ns;
        work->verify = work->verify && !MUTANT(LOCAL_NO_CTIME);
        publish_change(core, work);
        return;
    }
    /* A rename moves the ctime of what is renamed, not of what is in it. A large file is believed
     * to be the same and read when there is time. */
    twin = tree_twin(core, node, &work->stat);
    if (twin != NULL) {
        bool other = (twin->flags & NODE_VERIFY) != 0 || twin->ctime_ns != work->stat.ctime_ns;
        if (!other || is_trusted(work)) {
            tree_content(core, twin, &work->content);
            work->verify = other;
            pair(core, work, twin);
            return;
        }
    }
    work_set(core, work, WORK_HASH);
}

static bool copy_target(struct local_core *core, struct work *work, const struct local_seen *seen)
{
    core_free(work->target);
    work->target = NULL;
    work->target_len = 0;
    if (seen->stat.kind != FS_SYMLINK)
        return true;
    work->target = core_strndup(seen->target, seen->target_len);
    if (work->target == NULL) {
        local_failed(core);
        return false;
    }
    work->target_len = seen->target_len;
    return true;
}

void work_consider(struct local_core *core, struct work *work, const struct local_seen *seen)
{
    struct node *node = work->node;
    bool unseen = work->unseen;

    core->root_empty = false;
    work->unseen = false;
    work->going = false;
    work->confirmed = false;
    if (work->heir != NULL)
        work_paired(core, work->heir, false);
    let_go_of_source(core, work);
    if (scan_ignores(core, node, seen->stat.kind == FS_DIRECTORY)) {
        if ((node->flags & NODE_PUBLISHED) != 0 || node->first.at != 0)
            work_release(core, node);
        else
            work_end(core, work);
        return;
    }
    if (!copy_target(core, work, seen)) {
        work_end(core, work);
        return;
    }
    work->stat = seen->stat;
    work->racy = false;
    work->verify = false;
    if (is_rules(core, node) && !core->in_scan)
        scan_wish(core, tree_parent(core, node));
    if (seen->stat.kind != FS_DIRECTORY)
        for (struct node *child = tree_at(core, node->first); child != NULL;
             child = tree_at(core, child->next))
            work_touch(core, child, LOCAL_TOUCH_ANY);
    if (seen->stat.kind == FS_DIRECTORY)
        consider_directory(core, work, unseen);
    else if (seen->stat.kind == FS_SYMLINK)
        consider_symlink(core, work);
    else
        consider_file(core, work);
}

/* ---- what came back ---- */

static void read_failed(struct local_core *core, struct work *work, const char *text)
{
    size_t len;
    const char *name = tree_name(core, work->node, &len);

    if (name != NULL)
        problem_set(core, name, len, true, text);
}

/* Other names of an inode have the new bytes too, and no watcher says so. */
static void touch_links(struct local_core *core, const struct work *work)
{
    struct node *other = NULL;

    while ((other = tree_of_inode(core, work->stat.inode, other)) != NULL)
        if (other != work->node && (other->has & NODE_HAS_WORK) == 0)
            work_touch(core, other, LOCAL_TOUCH_CLOSED);
}

static void busy(struct local_core *core, struct work *work)
{
    core->count.hashed_again++;
    work->again = false;
    if (work->tries < TRIES_MAX)
        work->tries++;
    if (work->tries == TRIES_TELL)
        read_failed(core, work, "changes all the time; it is shared when it has been quiet");
    work_settle(core, work, core->now_ms + quiet_ms(core, work));
}

static void was_read(struct local_core *core, struct work *work, const struct local_event *event)
{
    enum fs_racy racy = fs_stat_racy(&event->before, event->began_wall_ns);
    struct node *twin;

    if (racy == FS_RACY_NOW && !MUTANT(LOCAL_NO_RACY)) {
        core->count.hashed_again++;
        work->again = false;
        work_settle(core, work, core->now_ms + fs_stat_tick_ms(&event->before) + 1);
        return;
    }
    work->stat = event->before;
    work->content = event->content;
    work->verify = false;
    work->racy = racy == FS_RACY_LATER;
    if (work->stat.links > 1 && change_of(core, work) == LOCAL_MODIFIED)
        touch_links(core, work);
    twin = tree_twin(core, work->node, &work->stat);
    if (twin != NULL) {
        struct content content;
        tree_content(core, twin, &content);
        if (content_equal(&content, &work->content)) {
            pair(core, work, twin);
            return;
        }
    }
    publish_change(core, work);
}

void work_hashed(struct local_core *core, struct work *work, const struct local_event *event)
{
    int code = event->code;

    if (MUTANT(LOCAL_TORN) && code == KITH_E_AGAIN && event->content.hash != 0)
        code = 0;
    switch (code) {
    case 0:
        was_read(core, work, event);
        break;
    case KITH_E_AGAIN:
        busy(core, work);
        break;
    case KITH_E_NOT_FOUND:
        work_set(core, work, WORK_LOOK);
        break;
    case KITH_E_CANCELED:
    case KITH_E_MEMORY:
        work_settle(core, work, core->now_ms + core->config.retry_ms);
        break;
    default:
        read_failed(core, work, event->text);
        if (work->again) {
            work->again = false;
            work_settle(core, work, core->now_ms + quiet_ms(core, work));
        } else {
            work_end(core, work);
        }
        break;
    }
}

/* Nothing is known of @work's name any more. */
static void forgotten(struct local_core *core, struct work *work)
{
    struct node *node = work->node;
    size_t len;
    const char *path = tree_path(core, node, &len);

    if (path != NULL && node->kind == FS_DIRECTORY)
        fs_ignore_drop(core->ignore, path);
    tree_know(core, node, NULL, NULL);
    if (path != NULL)
        kept_drop(core, path, len);
    if ((node->flags & NODE_COLLIDED) != 0) {
        node->flags &= (uint8_t)~NODE_COLLIDED;
        scan_wish(core, tree_parent(core, node)); /* the other one has the name now */
    }
    if (is_rules(core, node))
        scan_wish(core, tree_parent(core, node));
    if (work->again) {
        work->again = false;
        work_settle(core, work, core->now_ms + quiet_ms(core, work));
    } else {
        work_end(core, work);
    }
}

void work_published(struct local_core *core, struct work *work, const struct local_event *event)
{
    bool away = work->change == LOCAL_DELETED || work->change == LOCAL_RELEASED;
    struct work *from = work->from;

    if (event->code != 0 && !(away && event->code == KITH_E_NOT_FOUND)) {
        read_failed(core, work, event->text);
        let_go_of_source(core, work);
        work_settle(core, work, core->now_ms + core->config.retry_ms);
        return;
    }
    core->count.published++;
    core->count.deletions += work->change == LOCAL_DELETED;
    core->count.renames += work->change == LOCAL_RENAMED;
    if (away) {
        forgotten(core, work);
        return;
    }
    if (from != NULL) {
        work->from = NULL;
        from->heir = NULL;
        forgotten(core, from);
    }
    known_now(core, work);
    settled(core, work);
}

/* ---- under way ---- */

/* A token, and the action; NULL if there is no memory: it stays queued. */
static struct local_action *
begin(struct local_core *core, struct work *work, enum local_action_type type, uint8_t state)
{
    uint64_t token = core->tokens_n + 1;
    size_t len;
    const char *name = tree_name(core, work->node, &len);
    struct local_action *action = name != NULL ? out_action(core, type) : NULL;

    if (action == NULL)
        return NULL;
    if (map64_set(&core->tokens, token, work) != 0) {
        core->actions_n--;
        local_failed(core);
        return NULL;
    }
    core->tokens_n = token;
    work_set(core, work, state);
    work->token = token;
    action->token = token;
    action->name = name;
    action->name_len = len;
    action->stat = work->stat;
    return action;
}

static bool begin_look(struct local_core *core)
{
    struct list *first = list_first(&core->looks);

    if (first == NULL || core->looks_n >= core->config.looks_max)
        return false;
    struct work *work = container_of(first, struct work, link);
    if (begin(core, work, LOCAL_LOOK, WORK_LOOKING) == NULL)
        return false;
    work->again = false;
    core->looks_n++;
    core->count.looks++;
    return true;
}

static bool begin_hash(struct local_core *core)
{
    struct list *first = list_first(&core->hashes);
    bool idle = first == NULL;
    struct local_action *action;

    if (idle) {
        if (!list_empty(&core->looks) || core->hashes_n >= IDLE_HASHES)
            return false;
        first = list_first(&core->idle_hashes);
    }
    if (first == NULL || core->hashes_n >= core->config.hashes_max)
        return false;
    struct work *work = container_of(first, struct work, link);
    action = begin(core, work, LOCAL_HASH, WORK_HASHING);
    if (action == NULL)
        return false;
    action->idle = idle;
    core->hashes_n++;
    core->count.hashes++;
    return true;
}

/* Under which name it is published, or told. */
static const char *name_for(struct local_core *core, const struct work *work, size_t *len_out)
{
    return core->config.tracks ? tree_name(core, work->node, len_out)
                               : tree_path(core, work->node, len_out);
}

static bool begin_publish(struct local_core *core)
{
    struct list *first = list_first(&core->publishes);
    struct local_action *action;
    const char *path, *from = NULL;
    size_t len, from_len = 0;

    if (first == NULL || core->publishing_n >= core->config.publishing_max)
        return false;
    struct work *work = container_of(first, struct work, link);
    path = name_for(core, work, &len);
    if (work->from != NULL)
        from = name_for(core, work->from, &from_len);
    if (path == NULL || (work->from != NULL && from == NULL))
        return false;
    action = begin(core, work, LOCAL_PUBLISH, WORK_PUBLISHING);
    if (action == NULL)
        return false;
    core->publishing_n++;
    if (work->stat.kind == FS_DIRECTORY) { /* these move with whatever happens in it */
        action->stat.mtime_ns = 0;
        action->stat.size = 0;
    }
    action->change = work->change;
    action->path = path;
    action->path_len = len;
    action->from = from;
    action->from_len = from_len;
    action->content = work->content;
    action->target = work->target;
    action->target_len = work->target_len;
    return true;
}

void work_pump(struct local_core *core)
{
    if (core->lost)
        return;
    while (begin_look(core)) {
    }
    while (begin_hash(core)) {
    }
    while (begin_publish(core)) {
    }
}

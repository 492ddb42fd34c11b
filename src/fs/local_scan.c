/*
 * Scans: which are wanted, what the one under way sees, and what it did not see.
 */
#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "core/mutant.h"
#include "fs/local_internal.h"
#include "kith/error.h"

/* ---- wishes ---- */

/* Is @name @above, or beneath it? */
static bool lies_in(const char *name, size_t len, const char *above, size_t above_len)
{
    if (above_len == 0)
        return true;
    return len >= above_len && memcmp(name, above, above_len) == 0 &&
           (len == above_len || name[above_len] == '/');
}

static void drop_wishes(struct local_core *core)
{
    for (size_t i = 0; i < core->wishes_n; i++)
        core_free(core->wishes[i].name);
    core->wishes_n = 0;
}

void scan_wish(struct local_core *core, const struct node *node)
{
    size_t len;
    const char *name;

    if (core->scan_all || (core->config.one_level && node != NULL && node != core->top))
        return;
    if (node == NULL || node == core->top || core->wishes_n == FS_LOCAL_SCANS_MAX) {
        drop_wishes(core);
        core->scan_all = true;
        return;
    }
    name = tree_name(core, node, &len);
    if (name == NULL)
        return; /* memory: all is scanned */
    for (size_t i = 0; i < core->wishes_n; i++)
        if (lies_in(name, len, core->wishes[i].name, core->wishes[i].len))
            return;
    core->wishes[core->wishes_n] = (struct scan_wish){core_strndup(name, len), len};
    if (core->wishes[core->wishes_n].name == NULL) {
        local_failed(core);
        return;
    }
    core->wishes_n++;
}

static void forget_scan(struct local_core *core)
{
    core_free(core->scan_name);
    core->scan_name = NULL;
    core->scan_len = 0;
    core->scan_token = 0;
    core->last_node = NULL;
}

void scan_void(struct local_core *core)
{
    if (core->scan_token != 0)
        core->scan_confirms = core->scan_confirms || core->scan_confirming;
    forget_scan(core);
}

static bool may_scan(const struct local_core *core)
{
    if (!core->started || core->scan_token != 0 || core->now_ms < core->scan_retry_ms)
        return false;
    return !core->lost || core->now_ms >= core->away_due_ms;
}

void scan_pump(struct local_core *core)
{
    struct scan_wish wish = {0};
    struct local_action *action;

    if (core->now_ms >= core->rescan_due_ms)
        scan_wish(core, NULL);
    if (!may_scan(core) || (!core->scan_all && core->wishes_n == 0))
        return;
    action = out_action(core, LOCAL_SCAN);
    if (action == NULL)
        return;
    if (!core->scan_all) {
        wish = core->wishes[0];
        core->wishes_n--;
        memmove(core->wishes, core->wishes + 1, core->wishes_n * sizeof(wish));
    } else {
        drop_wishes(core);
        wish.name = core_strndup("", 0);
        core->rescan_due_ms = core->now_ms + core->config.rescan_ms;
    }
    if (wish.name == NULL) {
        core->actions_n--;
        local_failed(core);
        return;
    }
    core->scan_confirming = core->scan_all && core->scan_confirms;
    core->scan_confirms = core->scan_confirms && !core->scan_all;
    core->scan_all = false;
    core->scan_name = wish.name;
    core->scan_len = wish.len;
    core->scan_token = ++core->tokens_n;
    core->scan_no++;
    core->scanned_n = 0;
    core->count.scans++;
    core->away_due_ms = core->now_ms + core->config.away_ms;
    action->token = core->scan_token;
    action->name = out_copy(core, wish.name, wish.len);
    action->name_len = wish.len;
    if (action->name == NULL) {
        core->actions_n--;
        forget_scan(core);
    }
}

/* ---- what it sees ---- */

bool scan_ignores(struct local_core *core, const struct node *node, bool is_dir)
{
    size_t len;
    const char *path = tree_path(core, node, &len);

    /* Without memory it is not shared. */
    return path == NULL || fs_ignore_has(core->ignore, path, is_dir);
}

/* As tree_resolve(), which is not asked for the directory of the last name once more. */
static enum resolved find(struct local_core *core,
                          const struct local_seen *seen,
                          bool make,
                          struct node **node_out,
                          const char **why_out)
{
    const char *slash = memrchr(seen->name, '/', seen->name_len);
    size_t dir_len = slash != NULL ? (size_t)(slash - seen->name) : 0;
    enum resolved r;

    if (core->last_node == NULL || core->last_dir_len != dir_len ||
        memcmp(core->last_dir, seen->name, dir_len) != 0) {
        char *copy;
        core->last_node = NULL;
        r = tree_resolve(core, seen->name, dir_len, true, make, node_out, why_out);
        if (r != RESOLVED)
            return r;
        copy = core_realloc(core->last_dir, dir_len + 1);
        if (copy == NULL)
            return tree_resolve(core, seen->name, seen->name_len, true, make, node_out, why_out);
        memcpy(copy, seen->name, dir_len);
        core->last_dir = copy;
        core->last_dir_len = dir_len;
        core->last_node = *node_out;
    }
    return tree_below(core, core->last_node, seen->name + dir_len + (slash != NULL),
                      seen->name_len - dir_len - (slash != NULL), make, node_out, why_out);
}

static bool
is_as_known(const struct local_core *core, const struct node *node, const struct fs_stat *stat)
{
    struct fs_stat known;

    if ((node->flags & (NODE_PUBLISHED | NODE_RACY | NODE_VERIFY | NODE_UNSURE)) != NODE_PUBLISHED)
        return false;
    tree_stat(core, node, &known);
    if (known.kind == FS_DIRECTORY)
        return fs_stat_same_inode(&known, stat) && known.mode == stat->mode;
    return fs_stat_same(&known, stat);
}

/* Long enough ago that nobody is still writing it. */
static bool is_quiet(const struct local_core *core, const struct fs_stat *stat)
{
    int64_t settle_ns = (int64_t)core->config.settle_ms * 1000000;

    if (stat->kind != FS_FILE)
        return true;
    if (stat->mtime_ns <= core->wall_ns && stat->mtime_ns > core->wall_ns - settle_ns)
        return false;
    return stat->ctime_ns <= core->wall_ns - settle_ns;
}

static void see_found(struct local_core *core, struct node *node, const struct local_seen *seen)
{
    struct work *work = tree_work(core, node);
    bool is_first = core->config.tracks && !core->scanned_once;

    core->root_empty = false;
    if (work != NULL && work->state != WORK_GONE && (work->state != WORK_SETTLING || !is_first)) {
        work->again = work->again || !is_as_known(core, node, &seen->stat);
        return;
    }
    if (work == NULL && is_as_known(core, node, &seen->stat))
        return;
    work = work_of(core, node);
    if (work == NULL) {
        tree_prune(core, node);
        return;
    }
    if (!is_first && !is_quiet(core, &seen->stat)) {
        work_touch(core, node, LOCAL_TOUCH_ANY);
        work->live = false;
        return;
    }
    work_set(core, work, WORK_LOOKING);
    core->looks_n++; /* as if it had been looked at by itself */
    work->confirmed = false;
    work_consider(core, work, seen);
}

static void see(struct local_core *core, const struct local_seen *seen)
{
    struct node *node;
    const char *why;
    enum resolved r;

    r = find(core, seen, seen->found == LOCAL_FOUND, &node, &why);
    if (r == RESOLVED_FAILED) {
        local_failed(core);
        return;
    }
    if (r == RESOLVED_REFUSED || seen->found != LOCAL_FOUND) {
        problem_set(core, seen->name, seen->name_len, false,
                    r == RESOLVED_REFUSED ? why : seen->text);
        if (r == RESOLVED && seen->found == LOCAL_UNREADABLE && !MUTANT(LOCAL_UNREAD_IS_GONE)) {
            node->scan = core->scan_no;
            node->flags |= NODE_FROZEN;
        }
        return;
    }
    if (r == RESOLVED_COLLIDED) {
        problem_set(core, seen->name, seen->name_len, false,
                    "another name here is the same but for its normal form; rename one of them");
        return;
    }
    node->scan = core->scan_no;
    node->flags &= (uint8_t)~NODE_FROZEN;
    see_found(core, node, seen);
}

void scan_seen(struct local_core *core, const struct local_event *event)
{
    if (event->token == 0 || event->token != core->scan_token || !gone_root(core, event))
        return;
    core->in_scan = true;
    for (size_t i = 0; i < event->n; i++) {
        core->scanned_n += event->seen[i].found == LOCAL_FOUND;
        see(core, &event->seen[i]);
    }
    core->in_scan = false;
}

void scan_rules(struct local_core *core, const struct local_event *event)
{
    struct node *node;
    const char *why, *path;
    size_t len;
    int r;

    if (event->token == 0 || event->token != core->scan_token || !gone_root(core, event) ||
        core->config.tracks)
        return;
    if (tree_resolve(core, event->name, event->name_len, true, true, &node, &why) != RESOLVED)
        return;
    path = tree_path(core, node, &len);
    r = path == NULL ? KITH_E_MEMORY
                     : fs_ignore_set(core->ignore, path, event->data.data, event->data.len);
    if (r == KITH_E_MEMORY)
        local_failed(core);
    else if (r != 0)
        problem_set(core, event->name, event->name_len, false, kith_errmsg());
    tree_prune(core, node);
}

/* ---- what it did not see ---- */

static void missed(struct local_core *core, struct node *node)
{
    struct work *work = tree_work(core, node);

    if (work != NULL && work->state == WORK_GONE) {
        work->confirmed = work->confirmed || core->scan_confirming;
        return;
    }
    work = work_of(core, node);
    if (work == NULL)
        return;
    work->unseen = true;
    work_touch(core, node, LOCAL_TOUCH_ANY);
    work->confirmed = core->scan_confirming;
    if (MUTANT(LOCAL_SCAN_IS_PROOF))
        gone_absent(core, work);
}

static void sweep(struct local_core *core, struct node *scope)
{
    bool skip = false;

    for (struct node *node = tree_next(core, scope, scope, false), *next; node != NULL;
         node = next) {
        bool seen = node->scan == core->scan_no;

        skip = !seen || (node->flags & NODE_FROZEN) != 0;
        next = tree_next(core, scope, node, skip);
        if (seen || ((node->flags & NODE_PUBLISHED) == 0 && node->first.at == 0))
            continue;
        if (scan_ignores(core, node, node->kind == FS_DIRECTORY || node->first.at != 0))
            work_release(core, node);
        else
            missed(core, node);
    }
}

void scan_done(struct local_core *core, const struct local_event *event)
{
    struct node *scope;
    const char *why;
    bool whole = core->scan_len == 0;
    bool done;

    if (event->token == 0 || event->token != core->scan_token || !gone_root(core, event))
        return;
    /* A folder that is tracked and missing is an empty one. */
    done = event->code == 0 || (event->code == KITH_E_NOT_FOUND && whole && core->missing);
    if (tree_resolve(core, core->scan_name, core->scan_len, true, false, &scope, &why) != RESOLVED)
        scope = NULL;
    if (done && scope != NULL) {
        if (whole)
            core->root_empty = event->root_empty && !core->config.tracks;
        if (scope->scan != core->scan_no || (scope->flags & NODE_FROZEN) == 0)
            sweep(core, scope);
        problem_sweep(core, core->scan_name, core->scan_len);
    } else if (event->code == KITH_E_NOT_FOUND && !whole) {
        if (scope != NULL)
            work_touch(core, scope, LOCAL_TOUCH_ANY);
    } else if (!done) {
        core->scan_retry_ms = core->now_ms + core->config.retry_ms;
        core->scan_confirms = core->scan_confirms || core->scan_confirming;
        scan_wish(core, whole ? NULL : scope);
    }
    if (whole && done && !core->scanned_once) {
        core->scanned_once = true;
        if (core->state == LOCAL_SCANNING)
            gone_state(core, LOCAL_WATCHED, "%s", "");
    }
    core->gone_dirty = core->gone_dirty || core->gone_n > 0;
    forget_scan(core);
}

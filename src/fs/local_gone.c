/*
 * What is missing. Nothing that is missing is a deletion before it is certain that it is the folder
 * that was looked into, that the folder was not emptied as a whole, and that it is not so much that
 * somebody should be asked. Judged when all scans are over and what is new has been looked at, as
 * it may turn out to be what is missing, renamed.
 * Of a folder that is only tracked nothing is published, so nobody has to be asked (follow_root()).
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/error.h"
#include "core/mutant.h"
#include "fs/local_internal.h"

void gone_state(struct local_core *core, uint8_t state, const char *format, ...)
{
    char text[sizeof(core->state_text)];
    struct local_action *action;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (core->state == state && strcmp(core->state_text, text) == 0)
        return;
    core->state = state;
    memcpy(core->state_text, text, sizeof(text));
    action = out_action(core, LOCAL_STATE);
    if (action != NULL) {
        action->state = state;
        action->text = core->state_text;
    }
}

static void at_work(struct local_core *core)
{
    if (core->missing) /* and tracked: what was in it is told */
        gone_state(core, LOCAL_AWAY, "the folder is missing; it is looked for");
    else if (core->scanned_once)
        gone_state(core, LOCAL_WATCHED, "%s", "");
    else
        gone_state(core, LOCAL_SCANNING, "reads what is in the folder");
}

/* ---- the folder ---- */

static void lose(struct local_core *core)
{
    if (!core->lost) {
        core->lost = true;
        core->away_due_ms = core->now_ms + core->config.away_ms;
    }
    scan_void(core);
    core->scan_all = true;
    if (core->missing)
        gone_state(core, LOCAL_AWAY,
                   "the folder is missing; nothing counts as deleted. Bring it back (mount it), or "
                   "run: kith share rm %s",
                   core->share);
    else
        gone_state(core, LOCAL_AWAY,
                   "another directory is where the folder was (is its disk mounted?); nothing "
                   "counts as deleted. If this one is the folder from now on, run: kith share "
                   "confirm %s",
                   core->share);
}

static bool is_nowhere(const struct fs_root_id *root)
{
    return root->inode == 0 && root->device == 0;
}

/* It may be there, and nobody could see. */
static bool is_unread(const struct local_event *event)
{
    if (event->type == LOCAL_LOOKED)
        return event->seen->found == LOCAL_UNREADABLE;
    return event->code != 0 && event->code != KITH_E_NOT_FOUND;
}

/* Whatever is at the path of a folder that is tracked is the folder; nothing is an empty one. */
static void follow_root(struct local_core *core, const struct local_event *event)
{
    const struct fs_root_id *root = &event->root;
    bool missing = is_nowhere(root);
    bool other = missing != core->missing ||
                 (!missing && core->root_known && !fs_root_same(&core->root, root));

    if (missing && is_unread(event)) {
        if (core->state == LOCAL_SCANNING) /* nobody waits for what may never come */
            gone_state(core, LOCAL_WATCHED, "the folder cannot be read; it is tried again");
        return;
    }
    core->missing = missing;
    if (other && (core->scan_token == 0 || core->scan_len != 0))
        scan_wish(core, NULL);
    if (missing && core->rescan_due_ms > core->now_ms + core->config.away_ms)
        core->rescan_due_ms = core->now_ms + core->config.away_ms;
    if (!missing) {
        core->root = *root;
        core->root_known = true;
    }
    if (missing || core->state == LOCAL_AWAY)
        at_work(core);
}

bool gone_root(struct local_core *core, const struct local_event *event)
{
    const struct fs_root_id *root = &event->root;

    if (core->config.tracks) {
        follow_root(core, event);
        return true;
    }
    core->missing = is_nowhere(root);
    if (core->missing) {
        lose(core);
        return false;
    }
    if (core->root_known && !fs_root_same(&core->root, root) && !MUTANT(LOCAL_ANY_ROOT)) {
        if (!core->root_adopts || core->scan_token == 0 || core->scan_len != 0) {
            lose(core);
            return false;
        }
        core->scan_confirming = true; /* what the scan under way does not see was confirmed, too */
    }
    core->root_adopts = false;
    if (!core->root_known || memcmp(&core->root, root, sizeof(*root)) != 0) {
        core->root = *root;
        core->root_known = true;
        kept_root(core);
    }
    if (core->lost) {
        core->lost = false;
        if (core->scan_token == 0 || core->scan_len != 0)
            core->scan_all = true;
        at_work(core);
    }
    return true;
}

/* ---- what is missing ---- */

static void absent(struct local_core *core, struct node *node, bool going, bool confirmed)
{
    bool published = (node->flags & NODE_PUBLISHED) != 0;
    struct work *work = published ? work_of(core, node) : tree_work(core, node);

    if (work == NULL)
        return;
    work->going = work->going || going;
    work->confirmed = work->confirmed || confirmed;
    switch (work->state) {
    case WORK_HASH:
        if (!work->idle) {
            work->again = true;
            return;
        }
        break;
    case WORK_HASHING:
    case WORK_PAIRING:
    case WORK_PUBLISH:
    case WORK_PUBLISHING:
    case WORK_MOVED:
        work->again = true; /* their own way leads to a look */
        return;
    case WORK_GONE:
        return;
    default:
        break;
    }
    if (!published) {
        work_end(core, work);
        return;
    }
    work->emptied = core->root_empty;
    work_set(core, work, WORK_GONE);
    if (work->heir != NULL) /* of an empty folder nothing is believed */
        work_paired(core, work->heir, !core->root_empty);
}

void gone_absent(struct local_core *core, struct work *work)
{
    struct node *top = work->node;
    bool going = work->going, confirmed = work->confirmed;

    /* What is pruned is behind us, as the next one is taken before. */
    for (struct node *node = tree_next(core, top, top, false), *next; node != NULL; node = next) {
        next = tree_next(core, top, node, false);
        absent(core, node, going, confirmed);
    }
    absent(core, top, going, confirmed);
}

/* ---- judgement ---- */

/* Missing, without that somebody has confirmed it. */
static uint64_t count_unconfirmed(const struct local_core *core)
{
    uint64_t n = 0;

    list_for_each (it, &core->gone) {
        n += !container_of(it, struct work, link)->confirmed;
    }
    return n;
}

/* New names may be what is missing, under another name. They are waited for, but not for ever. */
static bool is_quiet(const struct local_core *core)
{
    if (core->scan_token != 0 || core->scan_all || core->wishes_n > 0)
        return false;
    if (!list_empty(&core->looks) || core->looks_n > 0)
        return false;
    return core->fresh_n == 0 || core->now_ms >= core->gone_since_ms + core->config.settle_max_ms;
}

static bool too_many(const struct local_core *core, uint64_t n)
{
    uint64_t lately = core->window_gone + core->window_before, all = n + lately;

    if (n == 0 || core->config.tracks || MUTANT(LOCAL_NO_GUARD))
        return false;
    return all >= LOCAL_GONE_MIN && all * 100 > (core->published_n + lately) * LOCAL_GONE_PERCENT;
}

/* Nothing at all is in the folder: a disk that was wiped or is not mounted looks like that. */
static bool was_emptied(const struct local_core *core, uint64_t n)
{
    return core->root_empty && n > 0 && !MUTANT(LOCAL_EMPTY_COUNTS);
}

static void hold(struct local_core *core, uint64_t n, bool emptied)
{
    core->count.held += core->state != LOCAL_HELD && core->state != LOCAL_AWAY;
    if (emptied) {
        gone_state(core, LOCAL_AWAY,
                   "the folder is empty; nothing counts as deleted. If all of it was deleted "
                   "indeed, run: kith share confirm %s",
                   core->share);
        return;
    }
    gone_state(core, LOCAL_HELD,
               "%llu of %llu entries vanished at once and are not deleted elsewhere. If they were "
               "deleted indeed, run: kith share confirm %s",
               (unsigned long long)n, (unsigned long long)core->published_n, core->share);
}

/* What was missing when the folder was empty, which it is not any more, is looked at once more. */
static bool look_again(struct local_core *core)
{
    bool any = false;

    if (core->root_empty || MUTANT(LOCAL_EMPTY_COUNTS))
        return false;
    list_for_each_safe (it, &core->gone) {
        struct work *work = container_of(it, struct work, link);
        if (!work->emptied)
            continue;
        work_set(core, work, WORK_LOOK);
        any = true;
    }
    return any;
}

/* Those of the window before count too, or twice as many could go where one follows the other. */
static void next_window(struct local_core *core)
{
    if (core->now_ms >= core->window_ms + LOCAL_GONE_WINDOW_MS) {
        bool adjoins = core->now_ms < core->window_ms + 2 * LOCAL_GONE_WINDOW_MS;
        core->window_before = adjoins ? core->window_gone : 0;
        core->window_ms = core->now_ms;
        core->window_gone = 0;
    }
}

void gone_judge(struct local_core *core)
{
    uint64_t unconfirmed;

    if (core->lost || !core->started || !core->gone_dirty || !is_quiet(core) || look_again(core))
        return;
    core->gone_dirty = false;
    next_window(core);
    unconfirmed = count_unconfirmed(core);
    if (was_emptied(core, unconfirmed) || too_many(core, unconfirmed)) {
        hold(core, unconfirmed, core->root_empty);
        return;
    }
    core->window_gone += unconfirmed;
    while (!list_empty(&core->gone)) {
        struct work *work = container_of(list_first(&core->gone), struct work, link);
        work->confirmed = false;
        work_publish(core, work, LOCAL_DELETED);
    }
    core->gone_dirty = false;
    at_work(core);
}

uint64_t gone_deadline_ms(const struct local_core *core)
{
    if (core->lost || !core->gone_dirty)
        return UINT64_MAX;
    if (is_quiet(core))
        return core->now_ms;
    return core->fresh_n > 0 ? core->gone_since_ms + core->config.settle_max_ms : UINT64_MAX;
}

int gone_confirm(struct local_core *core)
{
    if (core->lost && core->missing)
        return kith_fail_with(KITH_E_NOT_FOUND,
                              "share %s: its folder is missing, so there is nothing to confirm; "
                              "bring it back, or run: kith share rm %s",
                              core->share, core->share);
    if (core->lost) {
        core->root_adopts = true; /* what the next scan finds there */
        core->away_due_ms = core->now_ms;
        return 0;
    }
    /* Looked at once more: what is still missing then is deleted. */
    list_for_each_safe (it, &core->gone) {
        struct work *work = container_of(it, struct work, link);
        if (work->confirmed)
            continue;
        work->confirmed = true;
        work_set(core, work, WORK_LOOK);
    }
    core->gone_dirty = true;
    return 0;
}

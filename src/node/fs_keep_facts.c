/*
 * What the core of copies (fs/keep.h) is told of a content. See fs_keep.h.
 */
#include <string.h>

#include "node/fs_keep.h"
#include "node/internal.h"

static size_t at_most(size_t n, size_t max)
{
    return n < max ? n : max;
}

/* Who has another version of it matters where somebody is to fetch it, and then alone. */
static void find_near(struct node_fs *fs, struct fs_keep_facts *known)
{
    struct keep_facts *facts = &known->facts;
    size_t n = 0;

    facts->near = known->near;
    if (facts->place != KEEP_NOWHERE || facts->holders_n >= facts->copies ||
        fs_catalogue_content_near(fs->catalogue, &facts->content, known->near, FS_KEEP_HOLDERS_MAX,
                                  &n, &facts->near_self) != 0)
        return;
    facts->near_n = at_most(n, FS_KEEP_HOLDERS_MAX);
}

static void from_catalogue(struct node_fs *fs, struct fs_keep_facts *known, uint8_t *own_out)
{
    struct keep_facts *facts = &known->facts;
    struct fs_content_facts of;

    if (fs_catalogue_content(fs->catalogue, facts->content.root, &of, known->holders,
                             FS_KEEP_HOLDERS_MAX) != 0)
        return;
    *own_out = of.own;
    facts->content = of.content;
    facts->copies = of.copies;
    facts->live = of.live;
    facts->place = (of.own & FS_IN_FOLDER) != 0 ? KEEP_FOLDER
                   : (of.own & FS_IN_KEEP) != 0 ? KEEP_KEEP
                                                : KEEP_NOWHERE;
    facts->holders_n = at_most(of.holders_n, FS_KEEP_HOLDERS_MAX);
    find_near(fs, known);
}

void fs_keep_facts(struct node_fs *fs, const struct content *content, struct fs_keep_facts *known)
{
    const struct fs_kept *kept = fs_kept_find(fs, content->root);
    struct keep_facts *facts = &known->facts;
    uint8_t own = FS_NOWHERE;

    *facts = (struct keep_facts){.content = *content, .holders = known->holders};
    from_catalogue(fs, known, &own);
    if (fs_stray_is(fs, content->root)) {
        if ((own & FS_IN_KEEP) != 0)
            fs_stray_forget(fs, content->root);
        else
            facts->place = KEEP_STRAY;
    }
    facts->pinned = fs_pins_has(fs->pins, content->root);
    /* One that is set aside comes again when its file is out of the way. */
    facts->coming = (kept != NULL || facts->pinned) &&
                    (fs_copy_runs(fs, content->root) || fs_keep_is_aside(fs, content->root));
    if (kept != NULL) {
        facts->scrubbed_wall_ms = kept->scrubbed_wall_ms;
        facts->unreferenced_wall_ms = kept->unreferenced_wall_ms;
    }
}

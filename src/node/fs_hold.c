/*
 * Announcing that the keep has a content, or has it no more. See fs_keep.h.
 */
#include <string.h>

#include "core/alloc.h"
#include "node/fs_keep.h"
#include "node/internal.h"

struct fs_holding_change {
    struct fs_publishing publishing;
    void (*done)(struct node_fs *fs, void *user, int code, const char *text);
    void *user;
};

static void on_published(struct node_fs *fs,
                         struct fs_publishing *publishing,
                         int code,
                         const char *text,
                         uint64_t version_id)
{
    struct fs_holding_change *change =
        container_of(publishing, struct fs_holding_change, publishing);
    void (*done)(struct node_fs *, void *, int, const char *) = change->done;
    void *user = change->user;
    char copy[256];

    (void)version_id;
    snprintf(copy, sizeof(copy), "%s", text);
    core_free(change);
    if (done != NULL)
        done(fs, user, code, copy);
}

void fs_hold(struct node_fs *fs,
             const struct content *content,
             bool held,
             void (*done)(struct node_fs *fs, void *user, int code, const char *text),
             void *user)
{
    struct fs_holding_change *change = core_calloc(1, sizeof(*change));

    if (change == NULL)
        node_state_end_process(fs->node, "memory is short: start the node again");
    change->done = done;
    change->user = user;
    change->publishing.is_holding = true;
    change->publishing.done = on_published;
    change->publishing.holding.held = held;
    memcpy(change->publishing.holding.root, content->root, FS_ROOT_BYTES);
    if (fs_publish(fs, &change->publishing) != 0)
        node_state_end_process(fs->node, "memory is short: start the node again");
}

/*
 * From what a folder's machine publishes to publications of the catalogue. A rename is two of them,
 * which the catalogue tells as one change.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_folder.h"
#include "node/internal.h"

struct change {
    struct fs_here *here;
    uint64_t token;
    unsigned parts_n; /* under way */
    int code;
    char text[256];
    struct fs_publishing first, second;
    char bytes[]; /* path, former path, target: each with a NUL */
};

static void change_done(struct change *change)
{
    struct fs_here *here = change->here;
    struct local_event event = {.type = LOCAL_PUBLISHED,
                                .token = change->token,
                                .code = change->code,
                                .text = change->text};

    fs_here_step(here, &event);
    core_free(change);
    fs_here_idle(here);
}

static void part_done(struct change *change, int code, const char *text)
{
    /* Nothing to be deleted: somebody was faster. */
    if (code != 0 && code != KITH_E_NOT_FOUND && change->code == 0) {
        change->code = code;
        snprintf(change->text, sizeof(change->text), "%s", text);
    }
    if (--change->parts_n == 0)
        change_done(change);
}

static void on_first(struct node_fs *fs,
                     struct fs_publishing *publishing,
                     int code,
                     const char *text,
                     uint64_t version_id)
{
    (void)fs;
    (void)version_id;
    part_done(container_of(publishing, struct change, first), code, text);
}

static void on_second(struct node_fs *fs,
                      struct fs_publishing *publishing,
                      int code,
                      const char *text,
                      uint64_t version_id)
{
    (void)fs;
    (void)version_id;
    part_done(container_of(publishing, struct change, second), code, text);
}

static uint8_t change_of(uint8_t local)
{
    switch (local) {
    case LOCAL_DELETED:
        return FS_DELETE;
    case LOCAL_RELEASED:
        return FS_RELEASE;
    default:
        return FS_PUT;
    }
}

static void fill(struct change *change, const struct local_action *action)
{
    struct fs_publication *publication = &change->first.publication;
    char *path = change->bytes, *from = path + action->path_len + 1;
    char *target = from + action->from_len + 1;

    memcpy(path, action->path, action->path_len);
    if (action->from_len > 0)
        memcpy(from, action->from, action->from_len);
    if (action->target_len > 0)
        memcpy(target, action->target, action->target_len);
    *publication = (struct fs_publication){.change = change_of(action->change),
                                           .basis = FS_ON_OWN,
                                           .place = FS_IN_FOLDER,
                                           .kind = action->stat.kind,
                                           .share = change->here->name,
                                           .share_len = (uint32_t)strlen(change->here->name),
                                           .path = path,
                                           .path_len = (uint32_t)action->path_len,
                                           .mode = action->stat.mode,
                                           .mtime_ns = action->stat.mtime_ns,
                                           .target = target,
                                           .target_len = (uint32_t)action->target_len};
    if (action->stat.kind == FS_FILE)
        publication->content = action->content;
    change->first.done = on_first;
    if (action->change != LOCAL_RENAMED)
        return;
    change->second.publication = (struct fs_publication){.change = FS_DELETE,
                                                         .basis = FS_ON_OWN,
                                                         .share = publication->share,
                                                         .share_len = publication->share_len,
                                                         .path = from,
                                                         .path_len = (uint32_t)action->from_len};
    change->second.done = on_second;
}

void fs_here_publish(struct fs_here *here, const struct local_action *action)
{
    bool rename = action->change == LOCAL_RENAMED;
    struct change *change = core_calloc(1, sizeof(*change) + action->path_len + action->from_len +
                                               action->target_len + 3);

    if (change == NULL)
        node_state_end_process(here->fs->node, "memory is short: start the node again");
    change->here = here;
    change->token = action->token;
    fill(change, action);
    fs_here_busy(here);
    change->parts_n = rename ? 2 : 1;
    if (fs_publish(here->fs, &change->first) != 0 ||
        (rename && fs_publish(here->fs, &change->second) != 0))
        node_state_end_process(here->fs->node, "memory is short: start the node again");
}

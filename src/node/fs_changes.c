/* See fs_changes.h. */
#include "node/fs_changes.h"

#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_folder.h"
#include "node/internal.h"

#define WINDOW 256 /* publications of one operation under way */

void changes_free(struct changes *changes)
{
    for (size_t i = 0; i < changes->n; i++) {
        core_free(changes->all[i]->target);
        core_free(changes->all[i]);
    }
    core_free(changes->all);
    core_free(changes);
}

static void changes_stop(struct fs_op *op)
{
    struct changes *changes = op->state;

    changes->op = NULL; /* what is under way frees it when it comes back */
}

struct changes *changes_new(struct fs_op *op, void (*end)(struct node_fs *, struct changes *))
{
    struct changes *changes = core_calloc(1, sizeof(*changes));

    if (changes == NULL)
        return NULL;
    changes->op = op;
    changes->end = end;
    op->state = changes;
    op->stop = changes_stop;
    return changes;
}

struct change_one *changes_add(struct changes *changes,
                               struct kith_bytes share,
                               struct kith_bytes path,
                               uint8_t change)
{
    struct change_one *one = core_calloc(1, sizeof(*one) + path.len + 1);

    if (changes->n == changes->cap) {
        size_t cap = changes->cap == 0 ? 16 : changes->cap * 2;
        struct change_one **all = core_realloc(changes->all, cap * sizeof(*all));
        if (all == NULL) {
            core_free(one);
            return NULL;
        }
        changes->all = all;
        changes->cap = cap;
    }
    if (one == NULL)
        return NULL;
    memcpy(one->share, share.data, share.len);
    memcpy(one->path, path.data, path.len);
    one->changes = changes;
    one->publishing.publication = (struct fs_publication){.change = change,
                                                          .basis = FS_ON_CURRENT,
                                                          .share = one->share,
                                                          .share_len = (uint32_t)share.len,
                                                          .path = one->path,
                                                          .path_len = (uint32_t)path.len};
    changes->all[changes->n++] = one;
    return one;
}

static void changes_go(struct node_fs *fs, struct changes *changes);

static void on_published(struct node_fs *fs,
                         struct fs_publishing *publishing,
                         int code,
                         const char *text,
                         uint64_t version_id)
{
    struct changes *changes = container_of(publishing, struct change_one, publishing)->changes;

    (void)version_id;
    changes->under_way--;
    if (code == 0) {
        const struct fs_publication *done = &publishing->publication;
        struct fs_here *here = fs_here_find(fs, done->share, done->share_len);
        changes->done_n++;
        if (here != NULL) /* this node's own folder follows what this node was asked for */
            fs_sync_path(here, done->path, done->path_len);
    } else if (code != KITH_E_NOT_FOUND && changes->code == 0) { /* somebody was faster: fine */
        changes->code = code;
        snprintf(changes->text, sizeof(changes->text), "%s", text);
    }
    changes_go(fs, changes);
}

static void changes_go(struct node_fs *fs, struct changes *changes)
{
    fs_enter(fs);
    while (changes->op != NULL && changes->code == 0 && changes->next < changes->n &&
           changes->under_way < WINDOW) {
        struct change_one *one = changes->all[changes->next++];
        one->publishing.done = on_published;
        changes->under_way++;
        if (fs_publish(fs, &one->publishing) != 0) {
            changes->under_way--;
            changes->code = KITH_E_MEMORY;
        }
    }
    fs_leave(fs);
    if (changes->under_way > 0)
        return;
    if (changes->op != NULL && (changes->code != 0 || changes->next == changes->n)) {
        struct fs_op *op = changes->op;
        op->stop = NULL;
        if (changes->code != 0)
            fs_op_fail(op, changes->code, changes->text[0] != '\0' ? changes->text : NULL);
        else
            changes->end(fs, changes);
        changes->op = NULL;
    }
    changes_free(changes);
}

int changes_check_folder(struct node_fs *fs, struct kith_bytes share)
{
    const struct fs_here *here = fs_here_find(fs, share.data, share.len);

    if (here == NULL || here->mode != KITH_SHARE_READ_ONLY)
        return 0;
    return kith_fail_with(KITH_E_PERMISSION,
                          "this node shares %s read-only: change it on another node, or share it "
                          "without --read-only",
                          here->name);
}

void changes_begin(struct node_fs *fs, struct fs_op *op, struct changes *changes, int r)
{
    if (r == 0) {
        changes_go(fs, changes);
        return;
    }
    op->stop = NULL;
    if (changes != NULL)
        changes_free(changes);
    fs_op_fail(op, r, r == KITH_E_MEMORY ? kith_strerror(r) : NULL);
}

void changes_end_with_count(struct node_fs *fs, struct changes *changes)
{
    struct fs_box *box = fs_box_new();

    (void)fs;
    if (box == NULL) {
        fs_op_fail(changes->op, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY));
        return;
    }
    box->result.counted_n = changes->done_n;
    fs_op_done(changes->op, box);
}

/* The last place of @mark in @text, or NULL. */
static const char *last_of(const char *text, const char *mark)
{
    const char *last = NULL;

    for (const char *at = strstr(text, mark); at != NULL; at = strstr(at + 1, mark))
        last = at;
    return last;
}

void changes_end_with_entry(struct node_fs *fs, struct changes *changes)
{
    struct fs_box *box;
    const char *path = changes->op->op.path;
    const char *mark = last_of(path, ".conflict-");
    int r = fs_box_of(fs, path, &box);

    if (r != 0 && mark != NULL) { /* its name is gone with the conflict: what is shown now */
        char *shown = core_strndup(path, (size_t)(mark - path));
        r = shown != NULL ? fs_box_of(fs, shown, &box) : KITH_E_MEMORY;
        core_free(shown);
    }
    if (r != 0) {
        changes_end_with_count(fs, changes);
        return;
    }
    box->result.counted_n = changes->done_n;
    fs_op_done(changes->op, box);
}

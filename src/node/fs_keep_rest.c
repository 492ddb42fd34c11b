/*
 * Contents that the core of copies is to look at, because something of them has changed. What is
 * new is looked at at once. What replaced something of which there are copies is looked at with the
 * next second: a log that grows twenty times in that is copied once, as what it was before then is
 * named by nothing any more, and each second as long as it grows.
 */
#include "core/alloc.h"
#include "node/fs_keep.h"
#include "node/internal.h"

struct look {
    struct fs_todo todo; /* its link is in fs->restless while it waits */
    struct content content;
};

static bool replaces_copies(struct node_fs *fs, const struct content *content)
{
    struct kith_node_id near[1];
    size_t near_n;
    bool self;

    return fs_catalogue_content_near(fs->catalogue, content, near, 1, &near_n, &self) == 0 &&
           (near_n > 0 || self);
}

static void look_run(struct node_fs *fs, struct fs_todo *todo)
{
    struct look *look = container_of(todo, struct look, todo);

    if (fs->restless_n < FS_RESTLESS_MAX && replaces_copies(fs, &look->content)) {
        fs_sweep_look(fs, &look->content); /* what was replaced is served for a while from now on */
        list_append(&fs->restless, &todo->link);
        fs->restless_n++;
        return;
    }
    fs_keep_look(fs, &look->content);
    core_free(look);
}

/* Called inside a step of the catalogue. */
void fs_keep_content(struct node_fs *fs, const struct content *content)
{
    struct look *look = core_calloc(1, sizeof(*look));

    if (look == NULL)
        return; /* the round comes by */
    look->content = *content;
    look->todo.run = look_run;
    fs_later(fs, &look->todo);
}

void fs_keep_rest_tick(struct node_fs *fs)
{
    struct list *first;

    while ((first = list_first(&fs->restless)) != NULL) {
        struct look *look = container_of(first, struct look, todo.link);
        list_remove(first);
        fs->restless_n--;
        fs_keep_look(fs, &look->content);
        core_free(look);
    }
}

void fs_keep_rest_deinit(struct node_fs *fs)
{
    struct list *first;

    while ((first = list_first(&fs->restless)) != NULL) {
        list_remove(first);
        core_free(container_of(first, struct look, todo.link));
    }
}

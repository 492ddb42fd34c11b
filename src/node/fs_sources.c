/* From which nodes what is being fetched comes, for people. See node.h. */
#include <string.h>

#include "node/fs_move.h"
#include "node/internal.h"
#include "node/node.h"

struct sources {
    struct node_fs_source *all;
    size_t n, max;
};

static void source_add(struct sources *sources, const struct fetch_from *from)
{
    size_t i = 0;

    if (from->asked == 0) /* it may have been of use before; now it is not */
        return;
    while (i < sources->n && !kith_node_id_equal(&sources->all[i].node, &from->node))
        i++;
    if (i == sources->max)
        return;
    if (i == sources->n)
        sources->all[sources->n++] = (struct node_fs_source){.node = from->node};
    sources->all[i].bytes_per_s = from->rate; /* of all that it sends us */
}

size_t node_fs_sources(struct kith_node *node,
                       const char *path,
                       struct node_fs_source *sources_out,
                       size_t max)
{
    struct sources sources = {.all = sources_out, .max = max};
    struct node_fs *fs = node->fs;
    struct fs_entry entry;
    struct fs_ref ref;
    struct fs_want *want;
    size_t at = 0;

    if (fs == NULL || fs->move == NULL || fs_find(fs, path, &ref, NULL, &entry) != 0)
        return 0;
    while ((want = map64_next(&fs->move->fetches, &at)) != NULL) {
        struct fetch_progress progress;
        if (entry.has_content && !content_equal(&want->content, &entry.content))
            continue;
        if (fetch_progress(fs->move->fetch, want->id, &progress) != 0)
            continue;
        for (size_t i = 0; i < progress.from_n; i++)
            source_add(&sources, &progress.from[i]);
    }
    return sources.n;
}

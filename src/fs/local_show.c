/*
 * What can be asked of a folder: files, problems, numbers; and its invariants.
 */
#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "fs/local_internal.h"
#include "kith/error.h"

/* ---- problems ---- */

static struct problem *problem_find(struct local_core *core, const char *name, size_t len)
{
    for (size_t i = 0; i < core->problems_n; i++) {
        struct problem *problem = &core->problems[i];
        if (problem->name_len == len && memcmp(problem->name, name, len) == 0)
            return problem;
    }
    return NULL;
}

static void problem_remove(struct local_core *core, struct problem *problem)
{
    core_free(problem->name);
    core_free(problem->text);
    *problem = core->problems[--core->problems_n];
    core->problems_changed = true;
}

void problem_set(struct local_core *core, const char *name, size_t len, bool read, const char *text)
{
    struct problem *problem = problem_find(core, name, len);
    char *copy;

    if (text == NULL)
        text = "cannot be read";
    if (problem == NULL && core->problems_n == FS_PROBLEMS_MAX) {
        core->problems_more++;
        return;
    }
    if (problem != NULL && strcmp(problem->text, text) == 0) {
        problem->scan = core->scan_no;
        return;
    }
    copy = core_strndup(text, strlen(text));
    if (copy == NULL)
        return; /* one more that is not listed */
    if (problem == NULL) {
        problem = &core->problems[core->problems_n];
        *problem = (struct problem){.name = core_strndup(name, len), .name_len = len};
        if (problem->name == NULL) {
            core_free(copy);
            return;
        }
        core->problems_n++;
    }
    core_free(problem->text);
    problem->text = copy;
    problem->read = read;
    problem->scan = core->scan_no;
    core->problems_changed = true;
}

void problem_clear(struct local_core *core, const char *name, size_t len)
{
    struct problem *problem = problem_find(core, name, len);

    if (problem != NULL)
        problem_remove(core, problem);
}

void problem_sweep(struct local_core *core, const char *scope, size_t len)
{
    for (size_t i = core->problems_n; i-- > 0;) {
        struct problem *problem = &core->problems[i];
        bool inside =
            len == 0 || (problem->name_len >= len && memcmp(problem->name, scope, len) == 0 &&
                         (problem->name_len == len || problem->name[len] == '/'));
        if (inside && !problem->read && problem->scan != core->scan_no)
            problem_remove(core, problem);
    }
}

void problem_free(struct local_core *core)
{
    while (core->problems_n > 0)
        problem_remove(core, &core->problems[core->problems_n - 1]);
}

bool local_problem(const struct local_core *core, size_t i, struct local_problem *problem_out)
{
    if (i >= core->problems_n)
        return false;
    *problem_out = (struct local_problem){.name = core->problems[i].name,
                                          .name_len = core->problems[i].name_len,
                                          .text = core->problems[i].text};
    return true;
}

/* ---- files ---- */

/* As deep as it goes; @rest_out: what of the path is behind. */
static struct node *
find_path(const struct local_core *core, const char *path, size_t len, size_t *rest_out)
{
    struct node *node = core->top;
    size_t at = 0;

    while (at < len) {
        const char *end = memchr(path + at, '/', len - at);
        size_t part_len = end != NULL ? (size_t)(end - path) - at : len - at;
        struct node *child = tree_child(core, node, path + at, part_len);
        if (child == NULL)
            break;
        node = child;
        at += part_len + (end != NULL);
    }
    *rest_out = at;
    return node;
}

static bool is_settled(const struct local_core *core, const struct node *node)
{
    const struct work *work = tree_work(core, node);

    return work == NULL || work->state == WORK_COOLING || (work->state == WORK_HASH && work->idle);
}

static void
file_of(const struct local_core *core, const struct node *node, struct local_file *file_out)
{
    tree_stat(core, node, &file_out->stat);
    tree_content(core, node, &file_out->content);
    file_out->settled = is_settled(core, node);
}

int local_find(const struct local_core *core,
               const char *path,
               size_t len,
               struct local_file *file_out)
{
    size_t rest;
    const struct node *node = find_path(core, path, len, &rest);

    if (rest < len || (node->flags & NODE_PUBLISHED) == 0)
        return KITH_E_NOT_FOUND;
    file_of(core, node, file_out);
    return 0;
}

int local_name_of(const struct local_core *core, const char *path, size_t len, struct buf *out)
{
    size_t rest;
    const struct node *node = find_path(core, path, len, &rest);
    int r = tree_append(core, node, true, out);

    if (r == 0 && rest < len && node != core->top)
        r = buf_append_u8(out, '/');
    if (r == 0 && rest < len)
        r = buf_append(out, path + rest, len - rest);
    if (r == 0)
        r = buf_reserve(out, 1);
    if (r == 0)
        out->data[out->len] = '\0';
    return r;
}

int local_can_write(const struct local_core *core,
                    const char *path,
                    size_t len,
                    struct local_file *file_out)
{
    size_t rest;
    const struct node *node = find_path(core, path, len, &rest);

    if (core->state != LOCAL_WATCHED || core->lost)
        return KITH_E_AGAIN;
    for (const struct node *at = node; at != core->top; at = tree_parent(core, at))
        if (!is_settled(core, at) || (at->flags & (NODE_PUBLISHED | NODE_RACY)) != NODE_PUBLISHED)
            return KITH_E_AGAIN;
    *file_out = (struct local_file){.settled = true};
    if (rest >= len && node != core->top)
        file_of(core, node, file_out);
    return 0;
}

bool local_ignores(const struct local_core *core, const char *path, size_t len, bool is_dir)
{
    char text[FS_PATH_BYTES_MAX + 1];

    if (len == 0 || len > FS_PATH_BYTES_MAX)
        return len != 0;
    memcpy(text, path, len);
    text[len] = '\0';
    return fs_ignore_has(core->ignore, text, is_dir);
}

bool local_next(const struct local_core *core,
                uint64_t *at,
                struct buf *path_out,
                struct local_file *file_out)
{
    /* A bucket, and how many of it have been given. */
    uint64_t bucket = *at >> 16, skip = *at & 0xffff;

    for (; bucket < core->buckets_n; bucket++, skip = 0) {
        const struct node *node = tree_at(core, core->buckets[bucket]);
        for (uint64_t i = 0; node != NULL; i++, node = tree_at(core, node->in_bucket)) {
            if (i < skip || (node->flags & NODE_PUBLISHED) == 0)
                continue;
            *at = bucket << 16 | (i + 1);
            path_out->len = 0;
            file_of(core, node, file_out);
            return tree_append(core, node, false, path_out) == 0;
        }
    }
    return false;
}

bool local_is_full(const struct local_core *core)
{
    return core->waiting_n >= FS_LOCAL_WAITING_MAX;
}

void local_stats(const struct local_core *core, struct local_stats *stats_out)
{
    *stats_out = (struct local_stats){
        .state = core->state,
        .state_text = core->state_text,
        .entries = core->published_n - core->gone_n,
        .files = core->files_n,
        .bytes = core->bytes,
        .settling = core->due.n,
        .looking = core->looks_n,
        .hashing = core->hashes_n,
        .publishing = core->publishing_n,
        .waiting = core->waiting_n,
        .gone = core->gone_n,
        .problems = core->problems_n + core->problems_more,
        .scanned = core->scanned_n,
        .memory_bytes = core->memory_bytes,
        .touches = core->count.touches,
        .scans = core->count.scans,
        .looks = core->count.looks,
        .hashes = core->count.hashes,
        .hashed_again = core->count.hashed_again,
        .published = core->count.published,
        .renames = core->count.renames,
        .deletions = core->count.deletions,
        .held = core->count.held,
    };
}

/* ---- invariants ---- */

static void check_work(const struct local_core *core, const struct work *work)
{
    bool queued = list_linked(&work->link), timed = heap_contains(&work->due);

    assert(tree_work(core, work->node) == work);
    assert(work->from == NULL || work->from->heir == work);
    assert(work->heir == NULL || work->heir->from == work);
    assert((work->token != 0) == (work->state == WORK_LOOKING || work->state == WORK_HASHING ||
                                  work->state == WORK_PUBLISHING));
    assert(work->token == 0 || map64_find(&core->tokens, work->token) == work);
    assert(timed == (work->state == WORK_SETTLING || work->state == WORK_PAIRING ||
                     work->state == WORK_COOLING));
    assert(queued == (work->state == WORK_LOOK || work->state == WORK_HASH ||
                      work->state == WORK_PUBLISH || work->state == WORK_GONE));
    assert(work->state != WORK_GONE || (work->node->flags & NODE_PUBLISHED) != 0);
    assert(work->state != WORK_MOVED || work->heir != NULL);
}

static void check_content(const struct local_core *core, const struct node *node)
{
    const struct fs_contents *contents = core->config.contents;

    if (node->kind != FS_FILE || node->of.content.at == 0 || contents == NULL)
        return;
    assert(fs_contents_files(contents, fs_contents_blob(contents, node->of.content)) > 0);
}

void local_check(const struct local_core *core)
{
    uint64_t published = 0, files = 0, bytes = 0;
    size_t nodes = 0, gone = 0, fresh = 0, under_way = 0, works = 0;

    for (struct node *node = tree_next(core, core->top, core->top, false); node != NULL;
         node = tree_next(core, core->top, node, false)) {
        const struct work *work = tree_work(core, node);
        bool known = (node->flags & NODE_PUBLISHED) != 0;
        nodes++;
        assert((work != NULL) == ((node->has & NODE_HAS_WORK) != 0));
        assert(known || work != NULL || node->first.at != 0);
        assert(tree_child(core, tree_parent(core, node), node->name, node->name_len) == node);
        assert(known || node->kind == 0);
        check_content(core, node);
        published += known;
        files += known && node->kind == FS_FILE;
        bytes += known && node->kind == FS_FILE ? tree_size(core, node) : 0;
        if (work == NULL)
            continue;
        works++;
        check_work(core, work);
        gone += work->state == WORK_GONE;
        fresh += work->fresh;
        under_way += work->token != 0;
    }
    assert(nodes == core->nodes_n && works == core->works.n);
    assert(published == core->published_n && files == core->files_n && bytes == core->bytes);
    assert(gone == core->gone_n && fresh == core->fresh_n);
    assert(under_way == core->tokens.n);
    assert(under_way == core->looks_n + core->hashes_n + core->publishing_n);
}

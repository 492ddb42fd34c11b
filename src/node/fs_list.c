/*
 * Operations that look: LIST, STAT, FIND, CONFLICTS. They end at once; long lists come page by
 * page, so that no page holds the loop up.
 */
#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "node/internal.h"
#include "node/uv_fs.h"

#define CONFLICTS_MAX 64  /* of one file that a list gives */
#define ENTRY_BYTES   400 /* as JSON, beside its texts */
#define AT_ONCE       8   /* that the core is asked for: to find the place again is most of it */
#define WALKS_MAX     8   /* in vain, for one page: a pattern may fit next to nothing */

struct page {
    struct node_fs *fs;
    const struct kith_fs_op *op;
    struct fs_box *box;
    struct kith_fs_entry *entries;
    size_t n, max, cap;
    size_t bytes, bytes_max; /* as JSON, about; SIZE_MAX: any */
    struct fs_listing at;
    unsigned flags; /* enum fs_walk_flags */
    const char *pattern;
};

/* Where a list stands, as text: "CONFLICT|AFTER". */
static int cursor_parse(const char *text, struct fs_listing *at)
{
    const char *bar = text != NULL ? strchr(text, '|') : NULL;
    char number[12];
    uint64_t conflict;

    if (text == NULL || text[0] == '\0')
        return 0;
    snprintf(number, sizeof(number), "%.*s", bar != NULL && bar - text < 11 ? (int)(bar - text) : 0,
             text);
    if (bar == NULL || strlen(bar + 1) >= sizeof(at->after) ||
        text_parse_u64(number, 0, UINT32_MAX, &conflict) != 0)
        return kith_fail_with(KITH_E_INVALID, "\"after\" is what a list gave as \"next\"");
    at->after_len = (uint32_t)strlen(bar + 1);
    memcpy(at->after, bar + 1, at->after_len + 1);
    at->conflict = (uint32_t)conflict;
    at->begun = true;
    return 0;
}

static int cursor_print(struct page *page)
{
    char text[sizeof(page->at.after) + 16];

    snprintf(text, sizeof(text), "%u|%.*s", page->at.conflict, (int)page->at.after_len,
             page->at.after);
    page->box->result.next = fs_box_text(page->box, text);
    return page->box->result.next != NULL ? 0 : KITH_E_MEMORY;
}

/* A text may come to be twice as long, as JSON. */
static size_t entry_bytes(const struct kith_fs_entry *entry)
{
    size_t texts = strlen(entry->path) + strlen(entry->target) + strlen(entry->conflict_of) +
                   strlen(entry->author_name) + strlen(entry->author_address);

    for (size_t i = 0; i < entry->holders_n; i++)
        texts += strlen(entry->holders[i].name) + 2;
    return ENTRY_BYTES + 2 * texts;
}

static int page_add(struct page *page,
                    struct kith_bytes share,
                    struct kith_bytes path,
                    const struct fs_entry *entry)
{
    assert(page->n < page->cap);
    struct kith_fs_entry *out = &page->entries[page->n++];
    bool whole = page->op->kind == KITH_FS_CONFLICTS; /* few, and whose they are matters */
    int r = fs_entry_fill(page->fs, page->box, share, path, entry, whole, out);

    if (r == 0)
        page->bytes += entry_bytes(out);
    return r;
}

static bool page_goes_on(const struct page *page)
{
    return !page->at.ended && page->n < page->max && page->bytes < page->bytes_max;
}

/* So many more may come without another look: one where bytes count, as the conflicts of one entry
 * may come to more than the rest of the page. */
static size_t at_once(const struct page *page)
{
    size_t left = page->max - page->n;

    return page->bytes_max != SIZE_MAX ? 1 : left < AT_ONCE ? left : AT_ONCE;
}

/* ---- one folder ---- */

static int add_listed(struct page *page,
                      struct kith_bytes share,
                      struct kith_bytes folder,
                      const struct fs_entry *entry)
{
    char path[FS_PATH_BYTES_MAX + FS_PART_BYTES_MAX + 64];
    struct kith_bytes name = {entry->name, entry->name_len};
    size_t at = folder.len;

    if (share.len == 0) /* the shares themselves */
        return page_add(page, name, (struct kith_bytes){"", 0}, entry);
    assert(folder.len + 1 + name.len <= sizeof(path));
    memcpy(path, folder.data, folder.len);
    if (at > 0)
        path[at++] = '/';
    memcpy(path + at, name.data, name.len);
    return page_add(page, share, (struct kith_bytes){path, at + name.len}, entry);
}

static int list_folder(struct page *page, struct kith_bytes share, struct kith_bytes folder)
{
    struct fs_entry entries[AT_ONCE];
    int r = 0;

    while (r == 0 && page_goes_on(page)) {
        size_t n = 0;
        r = fs_catalogue_list(page->fs->catalogue, share, folder, &page->at, entries, at_once(page),
                              &n);
        for (size_t i = 0; i < n && r == 0; i++)
            r = add_listed(page, share, folder, &entries[i]);
    }
    return r;
}

/* ---- beneath a folder ---- */

/* The versions that stand beside the one that is shown: in the list of its folder they come behind
 * it, with the names that are made for them. */
static int add_conflicts(struct page *page, struct kith_bytes share, struct kith_bytes path)
{
    const char *slash = memrchr(path.data, '/', path.len);
    const char *name = slash != NULL ? slash + 1 : path.data;
    size_t name_len = path.len - (size_t)(name - (const char *)path.data);
    struct kith_bytes folder = {path.data, slash != NULL ? path.len - name_len - 1 : 0};
    struct fs_entry *found = core_calloc(CONFLICTS_MAX, sizeof(*found));
    struct fs_listing at = {.begun = true, .after_len = (uint32_t)name_len};
    char text[2 * FS_PATH_BYTES_MAX];
    size_t n = 0;
    int r = found == NULL ? KITH_E_MEMORY : 0;

    memcpy(at.after, name, name_len);
    if (r == 0)
        r = fs_catalogue_list(page->fs->catalogue, share, folder, &at, found, CONFLICTS_MAX, &n);
    for (size_t i = 0; i < n && r == 0 && found[i].is_conflict; i++) {
        int len =
            snprintf(text, sizeof(text), "%.*s%s%.*s", (int)folder.len, (const char *)folder.data,
                     folder.len > 0 ? "/" : "", (int)found[i].name_len, found[i].name);
        r = page_add(page, share, (struct kith_bytes){text, (size_t)len}, &found[i]);
    }
    core_free(found);
    return r;
}

struct walked {
    struct fs_walked found;
    char path[FS_PATH_BYTES_MAX + 1];
};

static int add_walked(struct page *page,
                      const struct walked *walked,
                      struct kith_bytes share,
                      struct kith_bytes folder)
{
    struct kith_bytes in = {walked->found.share, strlen(walked->found.share)};
    struct kith_bytes path = {walked->path, walked->found.path_len};
    bool itself = share.len > 0 && path.len == folder.len;

    if (itself || (path.len == 0 && page->op->kind != KITH_FS_LIST))
        return 0;
    int r = page_add(page, in, path, &walked->found.entry);
    return r == 0 && walked->found.entry.conflicts_n > 0 ? add_conflicts(page, in, path) : r;
}

/* Conflicts come along with their entry, so there is room for those of each at once. */
static int walk(struct page *page, struct kith_bytes share, struct kith_bytes folder)
{
    struct fs_walk asked = {
        .share = share, .path = folder, .pattern = page->pattern, .flags = page->flags};
    struct fs_walked found[AT_ONCE];
    struct walked *walked = arena_alloc(&page->box->arena, AT_ONCE * sizeof(*walked));
    unsigned in_vain = 0;
    int r = walked == NULL ? KITH_E_MEMORY : 0;

    while (r == 0 && page_goes_on(page) && in_vain < WALKS_MAX) {
        size_t n = 0;
        r = fs_catalogue_walk(page->fs->catalogue, &asked, &page->at, found, at_once(page), &n);
        in_vain += n == 0;
        /* The core's room for names is used again by what is asked of it meanwhile. */
        for (size_t i = 0; i < n; i++) {
            walked[i].found = found[i];
            memcpy(walked[i].path, found[i].path, found[i].path_len);
        }
        for (size_t i = 0; i < n && r == 0; i++)
            r = add_walked(page, &walked[i], share, folder);
    }
    return r;
}

/* ---- the operations ---- */

static int fill(struct page *page)
{
    const char *path = page->op->path;
    struct fs_ref ref = {.share = {"", 0}, .path = {"", 0}};
    struct fs_entry entry;
    bool walks = page->op->kind != KITH_FS_LIST || page->op->recursive || page->op->deleted ||
                 page->op->trash;
    int r = cursor_parse(page->op->after, &page->at);

    if (r == 0 && path[0] != '\0')
        r = fs_find(page->fs, path, &ref, NULL, &entry);
    if (r != 0)
        return r;
    if (path[0] != '\0' && entry.kind != FS_DIRECTORY) { /* a file alone, as ls does */
        page->at.ended = true;
        return page_add(page, ref.share, ref.path, &entry);
    }
    return walks ? walk(page, ref.share, ref.path) : list_folder(page, ref.share, ref.path);
}

/* What the last parts of paths are to fit; NULL: all do. */
static int pattern_of(const struct page *page, const char **pattern_out)
{
    const char *pattern = page->op->kind == KITH_FS_FIND ? page->op->pattern : NULL;
    struct buf folded = {0};
    int r = 0;

    if (pattern != NULL && page->op->any_case) {
        r = fs_name_fold(pattern, strlen(pattern), &folded);
        r = r == 0 ? buf_append_u8(&folded, '\0') : r;
        pattern = r == 0 ? fs_box_text(page->box, (const char *)folded.data) : NULL;
        r = r == 0 && pattern == NULL ? KITH_E_MEMORY : r;
    }
    buf_deinit(&folded);
    *pattern_out = pattern;
    return r;
}

void fs_op_list(struct node_fs *fs, struct fs_op *op)
{
    uint32_t max = op->op.max != 0 && op->op.max < KITH_FS_PAGE_MAX ? op->op.max : KITH_FS_PAGE_MAX;
    struct page page = {.fs = fs, .op = &op->op, .max = max, .box = fs_box_new()};

    page.flags = (op->op.kind == KITH_FS_CONFLICTS ? FS_WALK_CONFLICTED : 0u) |
                 (op->op.deleted ? FS_WALK_DELETED : 0u) | (op->op.trash ? FS_WALK_GONE : 0u) |
                 (op->op.any_case ? FS_WALK_ANY_CASE : 0u);
    page.cap = (size_t)max + (size_t)AT_ONCE * CONFLICTS_MAX; /* the last ones may have some */
    page.bytes_max = op->op.count != 0 ? op->op.count : SIZE_MAX;
    if (page.box != NULL)
        page.entries = arena_alloc(&page.box->arena, page.cap * sizeof(*page.entries));
    int r = page.entries == NULL ? KITH_E_MEMORY : pattern_of(&page, &page.pattern);
    if (r == 0)
        r = fill(&page);
    if (r == 0 && !page.at.ended)
        r = cursor_print(&page);
    if (r != 0) {
        fs_box_free(page.box);
        fs_op_fail(op, r, r == KITH_E_MEMORY ? kith_strerror(r) : NULL);
        return;
    }
    page.box->result.entries = page.entries;
    page.box->result.entries_n = page.n;
    fs_op_done(op, page.box);
}

void fs_op_stat(struct node_fs *fs, struct fs_op *op)
{
    struct fs_box *box;
    int r = fs_box_of(fs, op->op.path, &box);

    if (r == 0)
        fs_op_done(op, box);
    else
        fs_op_fail(op, r, NULL);
}

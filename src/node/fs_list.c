/*
 * Operations that look: LIST, STAT, FIND, CONFLICTS. They end at once; long lists come page by
 * page, so that no page holds the loop up.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "node/internal.h"
#include "node/uv_fs.h"

#define CONFLICTS_MAX 64 /* of one file that a list gives */

struct page {
    struct node_fs *fs;
    const struct kith_fs_op *op;
    struct fs_box *box;
    struct kith_fs_entry *entries;
    size_t n, max, cap;
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

static int page_add(struct page *page,
                    struct kith_bytes share,
                    struct kith_bytes path,
                    const struct fs_entry *entry)
{
    return page->n < page->cap ? fs_entry_fill(page->fs, page->box, share, path, entry, false,
                                               &page->entries[page->n++])
                               : 0;
}

/* ---- one folder ---- */

static int list_folder(struct page *page, struct kith_bytes share, struct kith_bytes folder)
{
    char path[FS_PATH_BYTES_MAX + FS_PART_BYTES_MAX + 64];
    struct fs_entry *entries = core_calloc(page->max, sizeof(*entries));
    size_t n = 0;
    int r = entries == NULL ? KITH_E_MEMORY
                            : fs_catalogue_list(page->fs->catalogue, share, folder, &page->at,
                                                entries, page->max, &n);

    for (size_t i = 0; i < n && r == 0; i++) {
        struct kith_bytes name = {entries[i].name, entries[i].name_len};
        if (share.len == 0) { /* the shares themselves */
            r = page_add(page, name, (struct kith_bytes){"", 0}, &entries[i]);
            continue;
        }
        int len =
            snprintf(path, sizeof(path), "%.*s%s%.*s", (int)folder.len, (const char *)folder.data,
                     folder.len > 0 ? "/" : "", (int)name.len, (const char *)name.data);
        r = page_add(page, share, (struct kith_bytes){path, (size_t)len}, &entries[i]);
    }
    core_free(entries);
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

/* What was walked, one after the other. The core's room for names is used again by what is asked of
 * it meanwhile, so they are copied first. */
static int add_walked(struct page *page,
                      const struct fs_walked *walked,
                      size_t n,
                      struct kith_bytes share,
                      struct kith_bytes folder)
{
    struct buf names = {0};
    size_t at = 0;
    int r = 0;

    for (size_t i = 0; i < n && r == 0; i++)
        r = buf_append(&names, walked[i].path, walked[i].path_len);
    for (size_t i = 0; i < n && r == 0; i++) {
        struct kith_bytes in = {walked[i].share, strlen(walked[i].share)};
        struct kith_bytes path = {names.data + at, walked[i].path_len};
        bool itself = share.len > 0 && path.len == folder.len;
        at += walked[i].path_len;
        if (itself || (path.len == 0 && page->op->kind != KITH_FS_LIST))
            continue;
        r = page_add(page, in, path, &walked[i].entry);
        if (r == 0 && walked[i].entry.conflicts_n > 0)
            r = add_conflicts(page, in, path);
    }
    buf_deinit(&names);
    return r;
}

/* A page may be longer than asked for by the conflicts of its last entries. */
static int walk(struct page *page, struct kith_bytes share, struct kith_bytes folder)
{
    struct fs_walk asked = {
        .share = share, .path = folder, .pattern = page->pattern, .flags = page->flags};
    struct fs_walked *walked = core_calloc(page->max, sizeof(*walked));
    int r = walked == NULL ? KITH_E_MEMORY : 0;
    size_t found_n = 0;

    while (r == 0 && found_n < page->max && !page->at.ended) {
        size_t n = 0;
        r = fs_catalogue_walk(page->fs->catalogue, &asked, &page->at, walked, page->max - found_n,
                              &n);
        found_n += n;
        if (r == 0)
            r = add_walked(page, walked, n, share, folder);
    }
    core_free(walked);
    return r;
}

/* ---- the operations ---- */

static int fill(struct page *page)
{
    const char *path = page->op->path;
    struct fs_ref ref = {.share = {"", 0}, .path = {"", 0}};
    struct fs_entry entry;
    bool walks = page->op->kind != KITH_FS_LIST || page->op->recursive || page->op->deleted;
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

void fs_op_list(struct node_fs *fs, struct fs_op *op)
{
    uint32_t max = op->op.max != 0 && op->op.max < KITH_FS_PAGE_MAX ? op->op.max : KITH_FS_PAGE_MAX;
    struct page page = {.fs = fs, .op = &op->op, .max = max, .box = fs_box_new()};

    page.pattern = op->op.kind == KITH_FS_FIND ? op->op.pattern : NULL;
    page.flags = (op->op.kind == KITH_FS_CONFLICTS ? FS_WALK_CONFLICTED : 0u) |
                 (op->op.deleted ? FS_WALK_DELETED : 0u);
    page.cap = 2 * (size_t)max + CONFLICTS_MAX;
    if (page.box != NULL)
        page.entries = arena_alloc(&page.box->arena, page.cap * sizeof(*page.entries));
    int r = page.entries == NULL ? KITH_E_MEMORY : fill(&page);
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

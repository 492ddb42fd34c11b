/*
 * See fs_pins.h. STORE_KEY_FS 'p' HASH -> u8 format, text of the pin. Which contents that makes
 * stay is counted anew at each start.
 *
 * Stores of before had a flag at each content that was pinned, and nothing of paths. Those contents
 * are pinned by the paths that show them, and what no path shows any more is not.
 */
#include "node/fs_pins.h"

#include <sodium/crypto_generichash.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_keep.h"
#include "node/fs_walk.h"
#include "node/internal.h"

#define FORMAT       1
#define HASH_BYTES   16
#define KEY_BYTES    (2 + HASH_BYTES)
#define LOOKED_MAX   64 /* missing contents that are shown to the core at a time */
#define FORMER_PATHS 64 /* of a content that was pinned before paths were */

static struct kith_bytes text_bytes(const char *text)
{
    return (struct kith_bytes){text, strlen(text)};
}

/* ---- the store ---- */

static void store(struct node_fs *fs, const struct fs_pin *pin, bool there)
{
    uint8_t key[KEY_BYTES] = {STORE_KEY_FS, 'p'}, value[1 + FS_PIN_TEXT_BYTES] = {FORMAT};

    (void)crypto_generichash(key + 2, HASH_BYTES, (const uint8_t *)pin->text, pin->len, NULL, 0);
    memcpy(value + 1, pin->text, pin->len);
    fs_put(fs, (struct kith_bytes){key, sizeof(key)},
           (struct kith_bytes){there ? value : NULL, there ? 1 + pin->len : 0});
}

static bool is_pin(const char *text, size_t len)
{
    const char *slash = memchr(text, '/', len);
    size_t share_len = slash != NULL ? (size_t)(slash - text) : len;

    return len == 0 || (fs_share_check(text, share_len) == 0 &&
                        (slash == NULL || fs_path_problem(slash + 1, len - share_len - 1) == 0));
}

int fs_pins_recall(struct node_fs *fs, const struct store_entry *entry)
{
    const char *value = entry->value.data;
    size_t len = entry->value.len;

    if (entry->key.len != KEY_BYTES || len == 0 || value[0] != FORMAT ||
        !is_pin(value + 1, len - 1))
        return 0; /* of a later version */
    int r = buf_append(&fs->pins_recalled, value + 1, len - 1);
    return r == 0 ? buf_append_u8(&fs->pins_recalled, 0) : r;
}

/* ---- pinning ---- */

static _Noreturn void short_of_memory(struct node_fs *fs)
{
    node_state_end_process(fs->node, "memory is short: start the node again");
}

/* The files that one pin covers and no other does. */
struct alone {
    struct node_fs *fs;
    const struct fs_pin *except;
    struct buf contents; /* struct content */
};

static int add_alone(void *user,
                     struct kith_bytes share,
                     struct kith_bytes path,
                     const struct content *content)
{
    struct alone *alone = user;

    if (fs_pins_of(alone->fs->pins, share, path, alone->except) != NULL)
        return 0;
    return buf_append(&alone->contents, content, sizeof(*content));
}

static size_t alone_find(struct alone *alone, struct kith_bytes share, struct kith_bytes path)
{
    int r = fs_each_file(alone->fs, share, path, add_alone, alone);

    if (r == KITH_E_MEMORY)
        short_of_memory(alone->fs);
    return alone->contents.len / sizeof(struct content);
}

static struct content alone_at(const struct alone *alone, size_t i)
{
    struct content content;

    memcpy(&content, alone->contents.data + i * sizeof(content), sizeof(content));
    return content;
}

static int pin_path(struct node_fs *fs,
                    struct kith_bytes share,
                    struct kith_bytes path,
                    struct fs_pin **pin_out)
{
    struct alone alone = {.fs = fs};
    size_t n;
    int r = fs_pins_add(fs->pins, share, path, pin_out);

    if (r != 0)
        return r;
    alone.except = *pin_out;
    n = alone_find(&alone, share, path);
    for (size_t i = 0; i < n; i++) {
        struct content content = alone_at(&alone, i);
        bool turned;
        if (fs_pins_count(fs->pins, &content, true, &turned) != 0)
            short_of_memory(fs);
        if (turned)
            fs_pins_here(fs->pins, content.root, fs_is_here(fs, &content));
    }
    buf_deinit(&alone.contents);
    return 0;
}

/* It is pinned no more: a fetch that was for that alone ends, and what is here may go. */
static void let_go(struct node_fs *fs, const struct content *content)
{
    if (!fs_is_here(fs, content))
        fs_keep_give_way(fs, content->root);
    fs_keep_content(fs, content);
}

static uint64_t unpin_path(struct node_fs *fs, struct fs_pin *pin)
{
    struct alone alone = {.fs = fs, .except = pin};
    struct kith_bytes share, path;
    size_t n;

    fs_pin_names(pin, &share, &path);
    n = alone_find(&alone, share, path);
    store(fs, pin, false);
    fs_pins_remove(fs->pins, pin);
    fs_enter(fs);
    for (size_t i = 0; i < n; i++) {
        struct content content = alone_at(&alone, i);
        bool turned;
        (void)fs_pins_count(fs->pins, &content, false, &turned);
        if (turned)
            let_go(fs, &content);
    }
    fs_leave(fs);
    buf_deinit(&alone.contents);
    return n;
}

int fs_pins_pin(struct node_fs *fs,
                struct kith_bytes share,
                struct kith_bytes path,
                bool *fresh_out)
{
    struct fs_pin *pin;
    int r = pin_path(fs, share, path, &pin);

    *fresh_out = r == 0;
    if (r == 0) {
        store(fs, pin, true);
        fs_put_flush(fs);
    }
    return r == KITH_E_EXISTS ? 0 : r;
}

uint64_t fs_pins_unpin(struct node_fs *fs, struct kith_bytes share, struct kith_bytes path)
{
    struct fs_pin *pin = fs_pins_find(fs->pins, share, path);

    return pin != NULL ? unpin_path(fs, pin) : 0;
}

int fs_pins_unpin_all(struct node_fs *fs,
                      struct kith_bytes share,
                      struct kith_bytes path,
                      uint64_t *files_n_out)
{
    struct fs_pin *pin = fs_pins_next(fs->pins, NULL), *next;
    bool any = false;

    *files_n_out = 0;
    fs_enter(fs); /* nothing else removes pins meanwhile */
    for (; pin != NULL; pin = next) {
        next = fs_pins_next(fs->pins, pin);
        if (!fs_pin_beneath(pin, share, path))
            continue;
        any = true;
        *files_n_out += unpin_path(fs, pin);
    }
    fs_leave(fs);
    pin = fs_pins_of(fs->pins, share, path, NULL);
    if (any || pin == NULL)
        return 0;
    return kith_fail_with(KITH_E_INVALID,
                          "%.*s%s%.*s is pinned as a part of %s: unpin that (kith fs pin %s "
                          "--remove), and pin what is to stay",
                          (int)share.len, (const char *)share.data, path.len > 0 ? "/" : "",
                          (int)path.len, (const char *)path.data,
                          pin->len > 0 ? pin->text : "everything", pin->len > 0 ? pin->text : "''");
}

/* ---- what the catalogue tells ---- */

struct doubt {
    struct fs_todo todo;
};

/* When the step is over, and all of it has been told: a pin of a path that was deleted goes. */
static void doubt_run(struct node_fs *fs, struct fs_todo *todo)
{
    struct fs_pin *pin;

    core_free(container_of(todo, struct doubt, todo));
    while ((pin = fs_pins_doubted(fs->pins)) != NULL) {
        struct kith_bytes share, path;
        struct fs_entry entry;
        fs_pin_names(pin, &share, &path);
        if (fs_catalogue_stat(fs->catalogue, share, path, &entry) != 0)
            (void)unpin_path(fs, pin);
    }
}

static void doubt_later(struct node_fs *fs)
{
    struct doubt *doubt = core_calloc(1, sizeof(*doubt));

    if (doubt == NULL)
        short_of_memory(fs);
    doubt->todo.run = doubt_run;
    fs_later(fs, &doubt->todo);
}

void fs_pins_tell(struct node_fs *fs, const struct catalogue_change *change)
{
    struct fs_pins_turn turn;

    if (fs_pins_changed(fs->pins, fs->catalogue, change, &turn) != 0)
        short_of_memory(fs);
    if (turn.is_pinned) {
        fs_pins_here(fs->pins, turn.pinned.root, fs_is_here(fs, &turn.pinned));
        fs_keep_content(fs, &turn.pinned);
    }
    if (turn.is_let_go)
        fs_keep_content(fs, &turn.let_go);
    if (turn.doubted)
        doubt_later(fs);
}

void fs_pins_look(struct node_fs *fs)
{
    struct fs_pins_stats pins;
    struct keep_stats keep;
    struct content content;

    fs_pins_stats(fs->pins, &pins);
    for (uint64_t n = 0; n < pins.missing_n && n < LOOKED_MAX; n++) {
        keep_stats(fs->move->keep, &keep);
        if (keep.fetches >= FS_KEEP_FETCHES_MAX || !fs_pins_missing(fs->pins, &content))
            return;
        fs_keep_look(fs, &content);
    }
}

/* ---- life ---- */

int fs_pins_open(struct node_fs *fs)
{
    return fs_pins_new(&fs->pins);
}

/* It was deleted, and the node ended before the pin went. What is not known at all may be known
 * again. */
static bool was_deleted(struct node_fs *fs, struct kith_bytes share, struct kith_bytes path)
{
    struct fs_entry entry;

    return share.len > 0 && fs_catalogue_stat(fs->catalogue, share, path, &entry) != 0 &&
           fs_catalogue_versions(fs->catalogue, share, path, &entry, 1) > 0 &&
           entry.kind == FS_DELETED;
}

static void recall_pin(struct node_fs *fs, const char *text)
{
    const char *slash = strchr(text, '/');
    size_t share_len = slash != NULL ? (size_t)(slash - text) : strlen(text);
    struct kith_bytes share = {text, share_len};
    struct kith_bytes path = text_bytes(slash != NULL ? slash + 1 : "");
    struct fs_pin *pin;
    bool gone = was_deleted(fs, share, path);
    int r = pin_path(fs, share, path, &pin);

    if (r == KITH_E_MEMORY)
        short_of_memory(fs);
    if (r == 0 && gone)
        (void)unpin_path(fs, pin);
}

/* False: the catalogue does not know it (yet), or there is no room for its pin. */
static bool pin_former(struct node_fs *fs, const struct content *content)
{
    struct fs_content_facts facts;
    bool fresh, full = false;

    if (fs_catalogue_content(fs->catalogue, content->root, &facts, NULL, 0) != 0)
        return false;
    for (size_t i = 0; i < FORMER_PATHS && !full; i++) {
        struct buf share = {0}, path = {0};
        bool more = fs_catalogue_content_shown(fs->catalogue, content->root, i, &share, &path);
        if (more)
            full = fs_pins_pin(fs, text_bytes((const char *)share.data),
                               text_bytes((const char *)path.data), &fresh) != 0;
        buf_deinit(&share);
        buf_deinit(&path);
        if (!more)
            break;
    }
    return !full;
}

static void pin_formers(struct node_fs *fs)
{
    struct fs_kept *kept;
    uint64_t left_n = 0;

    for (size_t at = 0; (kept = fs_kept_next(fs, &at)) != NULL;) {
        if (!kept->was_pinned)
            continue;
        kept->was_pinned = !pin_former(fs, &kept->content);
        left_n += kept->was_pinned;
        if (!kept->was_pinned)
            fs_kept_store(fs, kept);
    }
    if (left_n > 0)
        log_warn(&fs->node->log.log, "files",
                 "files that an earlier version pinned are not pinned any more: too many paths "
                 "are, or nothing is known of them; pin their folders",
                 NULL);
}

void fs_pins_first(struct node_fs *fs)
{
    const struct buf *recalled = &fs->pins_recalled;

    for (size_t at = 0; at < recalled->len;) {
        const char *text = (const char *)recalled->data + at;
        recall_pin(fs, text);
        at += strlen(text) + 1;
    }
    buf_deinit(&fs->pins_recalled);
    pin_formers(fs);
}

void fs_pins_deinit(struct node_fs *fs)
{
    buf_deinit(&fs->pins_recalled);
    fs_pins_free(fs->pins);
}

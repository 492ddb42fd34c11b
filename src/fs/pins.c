/* See pins.h. */
#include "fs/pins.h"

#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/map.h"

struct pinned {
    struct pinned *next_same; /* of the first 8 bytes of the root */
    struct list missing;      /* linked: it is not here */
    struct content content;
    uint64_t paths_n; /* pinned ones that show it */
};

struct fs_pins {
    struct maptext paths; /* struct fs_pin by its text */
    struct list all;
    struct map64 contents; /* struct pinned by the first 8 bytes of the root */
    struct list missing;
    size_t doubted_n;
    struct fs_pins_stats stats;
};

/* ---- paths ---- */

static size_t text_of(struct kith_bytes share, struct kith_bytes path, char *out)
{
    size_t len = share.len;
    assert(share.len <= FS_SHARE_BYTES_MAX && path.len <= FS_PATH_BYTES_MAX);
    if (share.len > 0)
        memcpy(out, share.data, share.len);
    if (share.len > 0 && path.len > 0) {
        out[len++] = '/';
        memcpy(out + len, path.data, path.len);
        len += path.len;
    }
    out[len] = '\0';
    return len;
}

int fs_pins_add(struct fs_pins *pins,
                struct kith_bytes share,
                struct kith_bytes path,
                struct fs_pin **pin_out)
{
    char text[FS_PIN_TEXT_BYTES];
    size_t len = text_of(share, path, text);
    if (maptext_find(&pins->paths, text) != NULL)
        return KITH_E_EXISTS;
    if (pins->stats.paths_n >= FS_PINS_MAX)
        return kith_fail_with(KITH_E_LIMIT,
                              "%llu paths are pinned at this node already: unpin some (kith fs pin "
                              "--remove), or pin a folder instead of what is in it",
                              (unsigned long long)pins->stats.paths_n);
    struct fs_pin *pin = core_calloc(1, sizeof(*pin) + len + 1);
    if (pin == NULL)
        return KITH_E_MEMORY;
    pin->len = len;
    memcpy(pin->text, text, len + 1);
    if (maptext_set(&pins->paths, pin->text, pin) != 0) {
        core_free(pin);
        return KITH_E_MEMORY;
    }
    list_append(&pins->all, &pin->link);
    pins->stats.paths_n++;
    *pin_out = pin;
    return 0;
}

void fs_pins_remove(struct fs_pins *pins, struct fs_pin *pin)
{
    (void)maptext_remove(&pins->paths, pin->text);
    list_remove(&pin->link);
    pins->stats.paths_n--;
    pins->doubted_n -= pin->doubted;
    core_free(pin);
}

struct fs_pin *
fs_pins_find(const struct fs_pins *pins, struct kith_bytes share, struct kith_bytes path)
{
    char text[FS_PIN_TEXT_BYTES];
    (void)text_of(share, path, text);
    return maptext_find(&pins->paths, text);
}

struct fs_pin *fs_pins_of(const struct fs_pins *pins,
                          struct kith_bytes share,
                          struct kith_bytes path,
                          const struct fs_pin *except)
{
    char text[FS_PIN_TEXT_BYTES];
    if (pins->stats.paths_n == 0)
        return NULL;
    size_t len = text_of(share, path, text);
    for (;;) {
        struct fs_pin *pin = maptext_find(&pins->paths, text);
        if ((pin != NULL && pin != except) || len == 0)
            return pin != except ? pin : NULL;
        while (len > 0 && text[--len] != '/')
            ;
        text[len] = '\0';
    }
}

struct fs_pin *fs_pins_next(const struct fs_pins *pins, const struct fs_pin *pin)
{
    struct list *next = pin != NULL ? pin->link.next : pins->all.next;
    return next != &pins->all ? container_of(next, struct fs_pin, link) : NULL;
}

bool fs_pin_beneath(const struct fs_pin *pin, struct kith_bytes share, struct kith_bytes path)
{
    char text[FS_PIN_TEXT_BYTES];
    size_t len = text_of(share, path, text);
    return len == 0 || (pin->len >= len && memcmp(pin->text, text, len) == 0 &&
                        (pin->len == len || pin->text[len] == '/'));
}

void fs_pin_names(const struct fs_pin *pin, struct kith_bytes *share, struct kith_bytes *path)
{
    const char *slash = memchr(pin->text, '/', pin->len);
    size_t share_len = slash != NULL ? (size_t)(slash - pin->text) : pin->len;
    *share = (struct kith_bytes){pin->text, share_len};
    *path = slash != NULL ? (struct kith_bytes){slash + 1, pin->len - share_len - 1}
                          : (struct kith_bytes){"", 0};
}

/* ---- contents ---- */

static struct pinned *pinned_find(const struct fs_pins *pins, const uint8_t *root)
{
    struct pinned *pinned = map64_find(&pins->contents, get_le64(root));
    while (pinned != NULL && memcmp(pinned->content.root, root, FS_ROOT_BYTES) != 0)
        pinned = pinned->next_same;
    return pinned;
}

bool fs_pins_has(const struct fs_pins *pins, const uint8_t root[FS_ROOT_BYTES])
{
    return pins->contents.n > 0 && pinned_find(pins, root) != NULL;
}

static void set_missing(struct fs_pins *pins, struct pinned *pinned, bool missing)
{
    if (list_linked(&pinned->missing) == missing)
        return;
    if (missing) {
        list_append(&pins->missing, &pinned->missing);
        pins->stats.missing_n++;
        pins->stats.missing_bytes += pinned->content.size;
    } else {
        list_remove(&pinned->missing);
        pins->stats.missing_n--;
        pins->stats.missing_bytes -= pinned->content.size;
    }
}

static struct pinned *pinned_new(struct fs_pins *pins, const struct content *content)
{
    struct pinned *pinned = core_calloc(1, sizeof(*pinned));
    uint64_t key = get_le64(content->root);
    if (pinned == NULL)
        return NULL;
    pinned->content = *content;
    pinned->next_same = map64_find(&pins->contents, key);
    if (map64_set(&pins->contents, key, pinned) != 0) {
        core_free(pinned);
        return NULL;
    }
    pins->stats.contents_n++;
    pins->stats.bytes += content->size;
    set_missing(pins, pinned, true); /* until somebody looks */
    return pinned;
}

static void pinned_free(struct fs_pins *pins, struct pinned *pinned)
{
    uint64_t key = get_le64(pinned->content.root);
    struct pinned *first = map64_find(&pins->contents, key);
    set_missing(pins, pinned, false);
    pins->stats.contents_n--;
    pins->stats.bytes -= pinned->content.size;
    if (first != pinned) {
        while (first->next_same != pinned)
            first = first->next_same;
        first->next_same = pinned->next_same;
    } else if (pinned->next_same != NULL) {
        (void)map64_set(&pins->contents, key, pinned->next_same);
    } else {
        (void)map64_remove(&pins->contents, key);
    }
    core_free(pinned);
}

int fs_pins_count(struct fs_pins *pins, const struct content *content, bool more, bool *turned_out)
{
    struct pinned *pinned = pinned_find(pins, content->root);
    *turned_out = false;
    if (more) {
        *turned_out = pinned == NULL;
        if (pinned == NULL && (pinned = pinned_new(pins, content)) == NULL)
            return KITH_E_MEMORY;
        pinned->paths_n++;
        return 0;
    }
    assert(pinned != NULL);
    *turned_out = --pinned->paths_n == 0;
    if (*turned_out)
        pinned_free(pins, pinned);
    return 0;
}

/* Something under the path went; the pins at it and above it may have nothing any more. A share
 * stays, and so does everything. */
static bool doubt(struct fs_pins *pins, struct kith_bytes share, struct kith_bytes path)
{
    size_t before_n = pins->doubted_n;
    while (path.len > 0) {
        struct fs_pin *pin = fs_pins_find(pins, share, path);
        if (pin != NULL && !pin->doubted) {
            pin->doubted = true;
            pins->doubted_n++;
        }
        while (path.len > 0 && ((const char *)path.data)[--path.len] != '/')
            ;
    }
    return pins->doubted_n > before_n;
}

int fs_pins_changed(struct fs_pins *pins,
                    const struct fs_catalogue *core,
                    const struct catalogue_change *change,
                    struct fs_pins_turn *turn_out)
{
    struct kith_bytes share = {change->share, strlen(change->share)};
    struct kith_bytes path = {change->path, strlen(change->path)};
    struct kith_bytes from = path;
    bool is_renamed = change->what == FS_RENAMED, is_gone = change->what == FS_REMOVED;
    int r = 0;
    *turn_out = (struct fs_pins_turn){.is_pinned = false};
    if (pins->stats.paths_n == 0 ||
        (change->what != FS_CREATED && change->what != FS_MODIFIED && !is_renamed && !is_gone))
        return 0;
    if (is_renamed)
        from = (struct kith_bytes){change->from_path, strlen(change->from_path)};
    /* The new one first, so that what both have is pinned all the time. */
    if (!is_gone && fs_known_has(core, change->after, &turn_out->pinned) &&
        fs_pins_of(pins, share, path, NULL) != NULL)
        r = fs_pins_count(pins, &turn_out->pinned, true, &turn_out->is_pinned);
    if (r == 0 && change->what != FS_CREATED &&
        fs_known_has(core, change->before, &turn_out->let_go) &&
        fs_pins_of(pins, share, from, NULL) != NULL)
        r = fs_pins_count(pins, &turn_out->let_go, false, &turn_out->is_let_go);
    if (is_renamed || is_gone)
        turn_out->doubted = doubt(pins, share, from);
    return r;
}

struct fs_pin *fs_pins_doubted(struct fs_pins *pins)
{
    struct fs_pin *pin = NULL;
    while (pins->doubted_n > 0 && (pin = fs_pins_next(pins, pin)) != NULL) {
        if (!pin->doubted)
            continue;
        pin->doubted = false;
        pins->doubted_n--;
        return pin;
    }
    return NULL;
}

/* ---- what is missing ---- */

void fs_pins_here(struct fs_pins *pins, const uint8_t root[FS_ROOT_BYTES], bool here)
{
    struct pinned *pinned = pins->contents.n > 0 ? pinned_find(pins, root) : NULL;
    if (pinned != NULL)
        set_missing(pins, pinned, !here);
}

bool fs_pins_missing(struct fs_pins *pins, struct content *content_out)
{
    struct list *first = list_first(&pins->missing);
    if (first == NULL)
        return false;
    list_remove(first);
    list_append(&pins->missing, first);
    *content_out = container_of(first, struct pinned, missing)->content;
    return true;
}

/* ---- life ---- */

void fs_pins_stats(const struct fs_pins *pins, struct fs_pins_stats *stats_out)
{
    *stats_out = pins->stats;
}

void fs_pins_check(const struct fs_pins *pins)
{
    uint64_t contents_n = 0, bytes = 0, missing_n = 0, doubted_n = 0, paths_n = 0;
    const struct pinned *pinned;
    for (size_t at = 0; (pinned = map64_next(&pins->contents, &at)) != NULL;) {
        for (; pinned != NULL; pinned = pinned->next_same) {
            assert(pinned->paths_n > 0);
            contents_n++;
            bytes += pinned->content.size;
            missing_n += list_linked(&pinned->missing);
        }
    }
    for (const struct fs_pin *pin = NULL; (pin = fs_pins_next(pins, pin)) != NULL; paths_n++)
        doubted_n += pin->doubted;
    assert(contents_n == pins->stats.contents_n && bytes == pins->stats.bytes);
    assert(missing_n == pins->stats.missing_n && doubted_n == pins->doubted_n);
    assert(paths_n == pins->stats.paths_n && paths_n == pins->paths.n && paths_n <= FS_PINS_MAX);
    (void)contents_n;
    (void)bytes;
    (void)missing_n;
    (void)doubted_n;
    (void)paths_n;
}

int fs_pins_new(struct fs_pins **pins_out)
{
    struct fs_pins *pins = core_calloc(1, sizeof(*pins));
    if (pins == NULL)
        return KITH_E_MEMORY;
    list_init(&pins->all);
    list_init(&pins->missing);
    *pins_out = pins;
    return 0;
}

void fs_pins_free(struct fs_pins *pins)
{
    struct pinned *pinned;
    struct list *first;
    if (pins == NULL)
        return;
    for (size_t at = 0; (pinned = map64_next(&pins->contents, &at)) != NULL;) {
        while (pinned != NULL) {
            struct pinned *next = pinned->next_same;
            core_free(pinned);
            pinned = next;
        }
    }
    while ((first = list_first(&pins->all)) != NULL)
        fs_pins_remove(pins, container_of(first, struct fs_pin, link));
    map64_deinit(&pins->contents);
    maptext_deinit(&pins->paths);
    core_free(pins);
}

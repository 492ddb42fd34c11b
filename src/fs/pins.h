/*
 * Which paths are pinned here, and so which contents are to stay here: those that are shown under a
 * pinned path, or anywhere beneath one. A pin is of a path and not of what the path has just now:
 * when that changes, the new content is pinned and the old one is not any more.
 *
 * Pure. The driver says which paths are pinned, shows what is beneath them when that changes, and
 * passes on each change of what the catalogue shows; here it is counted by how many pinned paths a
 * content is shown.
 *
 * A conflict beside a path is no part of it, nor is what one node has (`PATH@NODE`).
 */
#ifndef FS_PINS_H
#define FS_PINS_H

#include "core/list.h"
#include "fs/catalogue.h"

/* "SHARE/dir/file", "SHARE"; "": everything. */
#define FS_PIN_TEXT_BYTES (FS_SHARE_BYTES_MAX + 1 + FS_PATH_BYTES_MAX + 1)

struct fs_pin {
    struct list link; /* of all */
    bool doubted;     /* its path may be gone: fs_pins_doubted() */
    size_t len;
    char text[];
};

struct fs_pins;

int fs_pins_new(struct fs_pins **pins_out);
void fs_pins_free(struct fs_pins *pins); /* NULL is fine */

/* ---- paths ---- */

/* KITH_E_EXISTS; KITH_E_LIMIT (FS_PINS_MAX, with a sentence); KITH_E_MEMORY. */
int fs_pins_add(struct fs_pins *pins,
                struct kith_bytes share,
                struct kith_bytes path,
                struct fs_pin **pin_out);
void fs_pins_remove(struct fs_pins *pins, struct fs_pin *pin); /* it is gone from here on */
struct fs_pin *
fs_pins_find(const struct fs_pins *pins, struct kith_bytes share, struct kith_bytes path);
/* One that covers the path, the nearest, @except it; NULL: none does. */
struct fs_pin *fs_pins_of(const struct fs_pins *pins,
                          struct kith_bytes share,
                          struct kith_bytes path,
                          const struct fs_pin *except);
/* All: `struct fs_pin *pin = NULL; while ((pin = fs_pins_next(pins, pin)) != NULL)`. */
struct fs_pin *fs_pins_next(const struct fs_pins *pins, const struct fs_pin *pin);
/* @pin is at the path or beneath it. */
bool fs_pin_beneath(const struct fs_pin *pin, struct kith_bytes share, struct kith_bytes path);
/* What it names, within its text. */
void fs_pin_names(const struct fs_pin *pin, struct kith_bytes *share, struct kith_bytes *path);

/* ---- contents ---- */

/* One more, or one less, of the pinned paths shows @content. *@turned_out: it is pinned from now
 * on, or from now on it is not. 0; KITH_E_MEMORY. */
int fs_pins_count(struct fs_pins *pins, const struct content *content, bool more, bool *turned_out);
bool fs_pins_has(const struct fs_pins *pins, const uint8_t root[FS_ROOT_BYTES]);

struct fs_pins_turn {
    struct content pinned, let_go;
    bool is_pinned, is_let_go;
    bool doubted; /* a pinned path may be gone: ask fs_pins_doubted() when the step is over */
};
/* What the catalogue @core shows has changed. 0; KITH_E_MEMORY. */
int fs_pins_changed(struct fs_pins *pins,
                    const struct fs_catalogue *core,
                    const struct catalogue_change *change,
                    struct fs_pins_turn *turn_out);
/* The next pin under which something went: if nothing is shown at its path it is to be removed. */
struct fs_pin *fs_pins_doubted(struct fs_pins *pins);

/* ---- what is missing ---- */

/* A pinned content is here, or is not. */
void fs_pins_here(struct fs_pins *pins, const uint8_t root[FS_ROOT_BYTES], bool here);
/* Those that are not here, by turns: the first becomes the last. False: there is none. */
bool fs_pins_missing(struct fs_pins *pins, struct content *content_out);

struct fs_pins_stats {
    uint64_t paths_n, contents_n, bytes, missing_n, missing_bytes;
};
void fs_pins_stats(const struct fs_pins *pins, struct fs_pins_stats *stats_out);
void fs_pins_check(const struct fs_pins *pins);

#endif

/*
 * Names in the file catalogue: shares, paths within them, and the text by which people ask for one
 * (`SHARE/dir/file`, `SHARE/dir/file@NODE`).
 *
 * A path is UTF-8 in NFC, parts divided by one '/', none of them empty, "." or "..", without
 * control characters (C0, DEL, C1); "" is the share's root. A path is bytes and a length here; what
 * gives one out ends it with a NUL as well.
 */
#ifndef FS_NAME_H
#define FS_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/limits.h"
#include "kith/api.h"

/* Temporary files by which folders are written begin so: nobody may put anything under such names.
 */
#define FS_OWN_BEFORE ".kith-"

/* What is wrong with a name; in the order in which it is looked for. */
enum fs_name_problem {
    FS_NAME_FINE = 0,
    FS_NAME_EMPTY,     /* nothing, or an empty part ("a//b", "/a", "a/") */
    FS_NAME_LONG,      /* a path above FS_PATH_BYTES_MAX */
    FS_NAME_PART_LONG, /* a part above FS_PART_BYTES_MAX */
    FS_NAME_DOTS,      /* a part that is "." or ".." */
    FS_NAME_CONTROL,   /* NUL or another control character */
    FS_NAME_NOT_UTF8,
    FS_NAME_NOT_NFC, /* fs_name_nfc() gives the one that is */
};
/* "holds a control character; rename it": what it is and the next step. Static, never NULL. */
const char *fs_name_problem_text(enum fs_name_problem problem);

/* Of one part (the name of a file in its folder), and of a whole path; the root "" is fine as a
 * path. Purely of the bytes: the answer is the same on every node. */
enum fs_name_problem fs_part_problem(const char *name, size_t len);
enum fs_name_problem fs_path_problem(const char *path, size_t len);
/* 0, or KITH_E_NAME with a sentence that names @path and the reason. */
int fs_path_check(const char *path, size_t len);

/* The name of a share: 1 to FS_SHARE_BYTES_MAX bytes of a-z A-Z 0-9 - _ . , not beginning with '.'
 * 0 or KITH_E_NAME with a sentence. */
int fs_share_check(const char *share, size_t len);

/* Appends @text (well-formed UTF-8) in NFC. 0, KITH_E_NAME (not UTF-8), KITH_E_MEMORY. */
int fs_name_nfc(const char *text, size_t len, struct buf *out);
/* Appends what is equal for names that differ in case or normal form only. As fs_name_nfc(). */
int fs_name_fold(const char *text, size_t len, struct buf *out);

/*
 * The order of paths in the catalogue: by parts, each by its bytes, so that what lies beneath a
 * folder stands together behind it. As memcmp.
 */
int fs_path_compare(const char *a, size_t a_len, const char *b, size_t b_len);

/* Whether one part fits a shell pattern: *, ?, [a-z], [!a-z], \x. By characters of UTF-8. */
bool fs_name_match(const char *pattern, size_t pattern_len, const char *name, size_t len);

/*
 * A text that names something in the catalogue, taken apart. "SHARE", "SHARE/", "SHARE/dir/file". A
 * trailing '/' is dropped. @node is what stands behind the last '@' of the last part, if anything
 * does; since '@' may be in names, who looks up tries the whole path first (@path with @node and
 * the
 * '@' is @whole).
 */
struct fs_ref {
    struct kith_bytes share;
    struct kith_bytes path;  /* without "@NODE" */
    struct kith_bytes whole; /* with it; the same as @path if there is none */
    struct kith_bytes node;  /* len 0: none */
};
/* Points into @text. 0, or KITH_E_NAME with a sentence (no share, a path that is none). */
int fs_ref_parse(const char *text, struct fs_ref *ref_out);

#endif

/*
 * What of a folder is not shared: `.kithignore` files, in the syntax of gitignore(5), at any level.
 *
 * The last pattern that fits decides, where files deeper in the tree stand behind those above them
 * and the default patterns stand before all: `.git`, editors' temporary and backup names. What is
 * in an ignored directory is ignored, whatever patterns say of it. As in git, names are compared
 * byte by byte, so `?` is one byte.
 *
 * A `.kithignore` may come from another node (--sync), so no pattern costs more than the product of
 * its length and the name's: there is no backtracking beyond the last star.
 */
#ifndef FS_IGNORE_H
#define FS_IGNORE_H

#include <stdbool.h>
#include <stddef.h>

#define FS_IGNORE_FILE ".kithignore"

struct fs_ignore;

/* 0 or KITH_E_MEMORY. With the default patterns, unless @bare. */
int fs_ignore_new(struct fs_ignore **ignore_out, bool bare);
void fs_ignore_free(struct fs_ignore *ignore); /* NULL is fine */

/*
 * The rules of @dir ("" is the root, else "a/b") are now those in @text, which is copied; @len 0:
 * it has none any more. 0 or KITH_E_MEMORY (nothing changed). KITH_E_TOO_LARGE or KITH_E_LIMIT
 * (FS_IGNORE_*): from now on everything in @dir is ignored, as nobody can say what was meant to be
 * kept from others.
 */
int fs_ignore_set(struct fs_ignore *ignore, const char *dir, const void *text, size_t len);

/* Drops all rules of @dir and of what lies beneath it. */
void fs_ignore_drop(struct fs_ignore *ignore, const char *dir);

/* Has @dir rules of its own? */
bool fs_ignore_knows(const struct fs_ignore *ignore, const char *dir);

/* Is @path, not empty, ignored, for itself or for one of the directories that it is in? */
bool fs_ignore_has(const struct fs_ignore *ignore, const char *path, bool is_dir);

/* The same, when the directory of @path is known not to be ignored: what a walk asks. */
bool fs_ignore_has_here(const struct fs_ignore *ignore, const char *path, bool is_dir);

#endif

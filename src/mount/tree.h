/*
 * The catalogue as a tree of files: paths and entries into what a kernel asks for. Also holds the
 * directories that were made or emptied here, until they are removed: the catalogue knows a folder
 * by what is in it.
 */
#ifndef MOUNT_TREE_H
#define MOUNT_TREE_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "mount/agent.h"

struct tree;

struct tree *tree_new(struct agent *agent, bool read_only); /* NULL: no memory */
void tree_free(struct tree *tree);

/* An entry of fs.ls or fs.stat as @st. */
void tree_stat_of(const struct tree *tree, json_t *entry, struct stat *st);

/* What @path ("" is the root) is: 0 with @st filled, or a negative errno. */
int tree_stat(struct tree *tree, const char *path, struct stat *st);
/* Its entry, for the caller to json_decref(). */
int tree_entry(struct tree *tree, const char *path, json_t **entry_out);
/* Calls @each for all that is in the directory @path. */
int tree_list(struct tree *tree,
              const char *path,
              void (*each)(void *user, const char *name, const struct stat *st),
              void *user);

int tree_mkdir(struct tree *tree, const char *path);
int tree_rmdir(struct tree *tree, const char *path);
/* The directory of @path, and those above it, stay although @path goes: as one expects of a disk.
 */
void tree_keep_dirs_of(struct tree *tree, const char *path);

#endif

/* See tree.h. */
#include "mount/tree.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/text.h"

#define BLOCK 512

struct made_dir {
    struct made_dir *next;
    char *path;
};

struct tree {
    struct agent *agent;
    bool read_only;
    struct timespec mounted;
    pthread_mutex_t lock; /* of the list */
    struct made_dir *made;
};

struct tree *tree_new(struct agent *agent, bool read_only)
{
    struct tree *tree = core_calloc(1, sizeof(*tree));

    if (tree == NULL)
        return NULL;
    tree->agent = agent;
    tree->read_only = read_only;
    (void)clock_gettime(CLOCK_REALTIME, &tree->mounted);
    (void)pthread_mutex_init(&tree->lock, NULL);
    return tree;
}

/* Takes @path out of the list; false if it is not in it. The lock is held. */
static bool drop(struct tree *tree, const char *path)
{
    for (struct made_dir **at = &tree->made; *at != NULL; at = &(*at)->next) {
        struct made_dir *dir = *at;
        if (strcmp(dir->path, path) != 0)
            continue;
        *at = dir->next;
        core_free(dir->path);
        core_free(dir);
        return true;
    }
    return false;
}

void tree_free(struct tree *tree)
{
    while (tree->made != NULL)
        (void)drop(tree, tree->made->path);
    (void)pthread_mutex_destroy(&tree->lock);
    core_free(tree);
}

/* ---- entries ---- */

static const char *text_of(json_t *entry, const char *key)
{
    const char *text = json_string_value(json_object_get(entry, key));

    return text != NULL ? text : "";
}

/* "2026-11-30T06:10:00.123Z"; what is none is @otherwise. */
static struct timespec time_of(const char *text, struct timespec otherwise)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    double part = 0;

    if (rest == NULL)
        return otherwise;
    char digits[16] = "0";
    size_t len = strcspn(rest, "Z");
    if (*rest == '.' && len < sizeof(digits) - 1) {
        memcpy(digits + 1, rest, len);
        digits[len + 1] = '\0';
        if (text_parse_f64(digits, &part) != 0)
            part = 0;
    }
    return (struct timespec){.tv_sec = timegm(&tm), .tv_nsec = (long)(part * 1e9)};
}

static void as_directory(const struct tree *tree, struct stat *st)
{
    st->st_mode = S_IFDIR | (tree->read_only ? 0555 : 0755);
    st->st_nlink = 2;
}

static void begin_stat(const struct tree *tree, struct stat *st)
{
    *st =
        (struct stat){.st_uid = getuid(), .st_gid = getgid(), .st_nlink = 1, .st_blksize = 1 << 20};
    st->st_mtim = st->st_ctim = st->st_atim = tree->mounted;
}

void tree_stat_of(const struct tree *tree, json_t *entry, struct stat *st)
{
    const char *kind = text_of(entry, "kind");
    mode_t mode = (mode_t)json_integer_value(json_object_get(entry, "mode")) & 0777;

    begin_stat(tree, st);
    st->st_mtim = time_of(text_of(entry, "modified"), tree->mounted);
    st->st_ctim = st->st_atim = st->st_mtim;
    if (strcmp(kind, "file") == 0) {
        st->st_mode = S_IFREG | (tree->read_only ? mode & 0555 : mode);
        st->st_size = (off_t)json_integer_value(json_object_get(entry, "size"));
        st->st_blocks = (st->st_size + BLOCK - 1) / BLOCK;
    } else if (strcmp(kind, "symlink") == 0) {
        st->st_mode = S_IFLNK | 0777;
        st->st_size = (off_t)strlen(text_of(entry, "target"));
    } else {
        as_directory(tree, st);
    }
}

int tree_entry(struct tree *tree, const char *path, json_t **entry_out)
{
    struct answer answer;
    int r = agent_ask(tree->agent, "fs.stat", json_pack("{s:s}", "path", path), NULL, 0, &answer);

    *entry_out = NULL;
    if (r == 0)
        *entry_out = json_incref(json_object_get(answer.result, "entry"));
    answer_done(&answer);
    return r == 0 && *entry_out == NULL ? -ENOENT : r;
}

/* The lock is held. */
static bool is_made(const struct tree *tree, const char *path)
{
    for (const struct made_dir *dir = tree->made; dir != NULL; dir = dir->next) {
        if (strcmp(dir->path, path) == 0)
            return true;
    }
    return false;
}

static bool made_here(struct tree *tree, const char *path)
{
    (void)pthread_mutex_lock(&tree->lock);
    bool made = is_made(tree, path);
    (void)pthread_mutex_unlock(&tree->lock);
    return made;
}

int tree_stat(struct tree *tree, const char *path, struct stat *st)
{
    json_t *entry;

    if (path[0] == '\0' || made_here(tree, path)) {
        begin_stat(tree, st);
        as_directory(tree, st);
        return 0;
    }
    int r = tree_entry(tree, path, &entry);
    if (r == 0)
        tree_stat_of(tree, entry, st);
    json_decref(entry);
    return r;
}

/* ---- lists ---- */

typedef void each_fn(void *user, const char *name, const struct stat *st);

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

struct listing {
    const char *path;
    each_fn *each; /* may be NULL */
    void *user;
    size_t n;
    json_t *directories; /* those that the catalogue has, as an object */
};

static void tell(struct listing *list, const char *name, const struct stat *st)
{
    list->n++;
    if (list->each != NULL)
        list->each(list->user, name, st);
}

static int list_page(struct tree *tree, struct listing *list, json_t **after)
{
    struct answer answer;
    json_t *entry;
    size_t at;
    int r =
        agent_ask(tree->agent, "fs.ls",
                  json_pack("{s:s,s:o*}", "path", list->path, "after", *after), NULL, 0, &answer);

    *after = NULL;
    if (r != 0)
        return r;
    json_array_foreach(json_object_get(answer.result, "entries"), at, entry)
    {
        const char *name = last_part(text_of(entry, "path"));
        struct stat st;
        tree_stat_of(tree, entry, &st);
        if (S_ISDIR(st.st_mode))
            (void)json_object_set_new(list->directories, name, json_true());
        tell(list, name, &st);
    }
    *after = json_incref(json_object_get(answer.result, "next"));
    answer_done(&answer);
    return 0;
}

/* Directories that only this mount knows; the lock is held. */
static void list_made(const struct tree *tree, struct listing *list)
{
    size_t len = strlen(list->path);
    struct stat st;

    begin_stat(tree, &st);
    as_directory(tree, &st);
    for (const struct made_dir *dir = tree->made; dir != NULL; dir = dir->next) {
        const char *name = dir->path + len + 1;
        if (strncmp(dir->path, list->path, len) == 0 && dir->path[len] == '/' &&
            strchr(name, '/') == NULL && json_object_get(list->directories, name) == NULL)
            tell(list, name, &st);
    }
}

static int list_all(struct tree *tree, struct listing *list)
{
    json_t *after = NULL;
    int r;

    list->directories = json_object();
    do {
        r = list_page(tree, list, &after);
    } while (r == 0 && after != NULL);
    json_decref(after);
    (void)pthread_mutex_lock(&tree->lock);
    if (r == -ENOENT && is_made(tree, list->path))
        r = 0;
    if (r == 0 && list->path[0] != '\0')
        list_made(tree, list);
    (void)pthread_mutex_unlock(&tree->lock);
    json_decref(list->directories);
    return r;
}

int tree_list(struct tree *tree, const char *path, each_fn *each, void *user)
{
    struct listing list = {.path = path, .each = each, .user = user};

    return list_all(tree, &list);
}

/* ---- directories ---- */

static int keep(struct tree *tree, const char *path)
{
    struct made_dir *dir = core_calloc(1, sizeof(*dir));
    char *copy = core_strndup(path, strlen(path));

    if (dir == NULL || copy == NULL) {
        core_free(dir);
        core_free(copy);
        return -ENOMEM;
    }
    dir->path = copy;
    (void)pthread_mutex_lock(&tree->lock);
    (void)drop(tree, path);
    dir->next = tree->made;
    tree->made = dir;
    (void)pthread_mutex_unlock(&tree->lock);
    return 0;
}

int tree_mkdir(struct tree *tree, const char *path)
{
    struct stat st;
    int r = tree_stat(tree, path, &st);

    if (r == 0)
        return -EEXIST;
    return r == -ENOENT ? keep(tree, path) : r;
}

int tree_rmdir(struct tree *tree, const char *path)
{
    struct listing list = {.path = path};
    struct answer answer;
    int r = list_all(tree, &list);

    if (r != 0)
        return r;
    if (list.n > 0)
        return -ENOTEMPTY;
    (void)pthread_mutex_lock(&tree->lock);
    bool made = drop(tree, path);
    (void)pthread_mutex_unlock(&tree->lock);
    /* a folder of somebody's disk, which is empty */
    r = agent_ask(tree->agent, "fs.rm", json_pack("{s:s,s:b}", "path", path, "recursive", 1), NULL,
                  0, &answer);
    answer_done(&answer);
    return made ? 0 : r;
}

void tree_keep_dirs_of(struct tree *tree, const char *path)
{
    char *dir = core_strndup(path, strlen(path));
    char *slash;

    while (dir != NULL && (slash = strrchr(dir, '/')) != NULL && strchr(dir, '/') != slash) {
        *slash = '\0';
        (void)keep(tree, dir);
    }
    core_free(dir);
}

/* See draft.h. */
#include "mount/draft.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/alloc.h"

#define PIECE (4 * 1024 * 1024)

struct drafts {
    struct agent *agent;
    pthread_mutex_t lock; /* of the list, and of all fields; never held while the node is asked */
    struct draft *first;
};

struct drafts *drafts_new(struct agent *agent)
{
    struct drafts *drafts = core_calloc(1, sizeof(*drafts));

    if (drafts == NULL)
        return NULL;
    drafts->agent = agent;
    (void)pthread_mutex_init(&drafts->lock, NULL);
    return drafts;
}

static void forget(struct drafts *drafts, struct draft *draft)
{
    struct draft **at = &drafts->first;

    while (*at != NULL && *at != draft)
        at = &(*at)->next;
    if (*at == draft)
        *at = draft->next;
    if (draft->fd >= 0)
        (void)close(draft->fd);
    (void)pthread_mutex_destroy(&draft->io);
    core_free(draft->path);
    core_free(draft);
}

void drafts_free(struct drafts *drafts)
{
    while (drafts->first != NULL)
        forget(drafts, drafts->first);
    (void)pthread_mutex_destroy(&drafts->lock);
    core_free(drafts);
}

static struct draft *find(struct drafts *drafts, const char *path)
{
    for (struct draft *draft = drafts->first; draft != NULL; draft = draft->next) {
        if (!draft->removed && strcmp(draft->path, path) == 0)
            return draft;
    }
    return NULL;
}

/* A file without a name: on disk where that can be, since it may be large. */
static int nameless(void)
{
    const char *dir = getenv("TMPDIR");
    int fd = open(dir != NULL ? dir : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0)
        fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : memfd_create("kith-mount", MFD_CLOEXEC);
}

static int write_all(int fd, const uint8_t *data, size_t len, off_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static int load(struct drafts *drafts, struct draft *draft, json_t *entry)
{
    json_int_t size = json_integer_value(json_object_get(entry, "size"));
    json_t *hash = json_object_get(entry, "hash");
    int r = 0;

    for (json_int_t at = 0; at < size && r == 0;) {
        struct answer answer;
        r = agent_ask(drafts->agent, "fs.read",
                      json_pack("{s:s,s:O,s:I,s:i}", "path", draft->path, "hash", hash, "offset",
                                at, "count", PIECE),
                      NULL, 0, &answer);
        if (r != 0)
            break;
        r = answer.len == 0 ? -EIO : write_all(draft->fd, answer.data, answer.len, at);
        at += (json_int_t)answer.len;
        answer_done(&answer);
    }
    return r;
}

/* What the catalogue has of it: 0 with it in *@entry_out (NULL: nothing), or a negative errno. */
static int ask_entry(struct drafts *drafts, const char *path, json_t **entry_out)
{
    struct answer answer;
    int r = agent_ask(drafts->agent, "fs.stat", json_pack("{s:s}", "path", path), NULL, 0, &answer);

    *entry_out = NULL;
    if (r == -ENOENT)
        return 0;
    if (r == 0)
        *entry_out = json_incref(json_object_get(answer.result, "entry"));
    answer_done(&answer);
    return r;
}

static int begin(struct drafts *drafts, struct draft *draft, bool loaded, bool create_only)
{
    json_t *entry;
    int r = ask_entry(drafts, draft->path, &entry);

    if (r != 0)
        return r;
    const char *kind = json_string_value(json_object_get(entry, "kind"));
    draft->fresh = entry == NULL;
    draft->dirty = draft->fresh || !loaded;
    if (kind != NULL && strcmp(kind, "file") != 0)
        r = strcmp(kind, "symlink") == 0 ? -ELOOP : -EISDIR;
    else if (create_only && entry != NULL)
        r = -EEXIST;
    if (r == 0 && entry != NULL)
        draft->mode = (uint32_t)json_integer_value(json_object_get(entry, "mode")) & 0777;
    draft->fd = r == 0 ? nameless() : -1;
    if (r == 0 && draft->fd < 0)
        r = -errno;
    if (r == 0 && loaded && entry != NULL)
        r = load(drafts, draft, entry);
    json_decref(entry);
    return r;
}

static struct draft *make(const char *path, uint32_t mode)
{
    struct draft *draft = core_calloc(1, sizeof(*draft));
    char *copy = core_strndup(path, strlen(path));

    if (draft == NULL || copy == NULL) {
        core_free(draft);
        core_free(copy);
        return NULL;
    }
    *draft = (struct draft){.path = copy,
                            .fd = -1,
                            .refs = 1,
                            .mode = mode & 0777,
                            .modified = {.tv_nsec = UTIME_OMIT}};
    (void)pthread_mutex_init(&draft->io, NULL);
    return draft;
}

/* One that is there: waits until it has begun. */
static int join(struct drafts *drafts, struct draft *draft, bool loaded)
{
    (void)pthread_mutex_lock(&draft->io);
    int r = draft->failed;
    if (r == 0 && !loaded) {
        if (ftruncate(draft->fd, 0) != 0)
            r = -errno;
        else
            draft_touched(drafts, draft);
    }
    (void)pthread_mutex_unlock(&draft->io);
    return r;
}

int draft_open(struct drafts *drafts,
               const char *path,
               uint32_t mode,
               bool loaded,
               bool create_only,
               struct draft **out)
{
    int r = 0;

    *out = NULL;
    (void)pthread_mutex_lock(&drafts->lock);
    struct draft *draft = find(drafts, path);
    bool known = draft != NULL;
    if (known && create_only) {
        (void)pthread_mutex_unlock(&drafts->lock);
        return -EEXIST;
    }
    if (known) {
        draft->refs++;
    } else {
        draft = make(path, mode);
        if (draft != NULL) {
            (void)pthread_mutex_lock(&draft->io);
            draft->next = drafts->first;
            drafts->first = draft;
        }
    }
    (void)pthread_mutex_unlock(&drafts->lock);
    if (draft == NULL)
        return -ENOMEM;
    if (known) {
        r = join(drafts, draft, loaded);
    } else {
        r = begin(drafts, draft, loaded, create_only);
        (void)pthread_mutex_lock(&drafts->lock);
        draft->failed = r;
        draft->ready = r == 0;
        draft->removed = r != 0;
        (void)pthread_mutex_unlock(&drafts->lock);
        (void)pthread_mutex_unlock(&draft->io);
    }
    if (r != 0)
        draft_close(drafts, draft);
    else
        *out = draft;
    return r;
}

int draft_put(struct drafts *drafts, struct draft *draft)
{
    json_t *args = NULL;
    char *path = NULL;
    int r = 0;

    (void)pthread_mutex_lock(&draft->io);
    (void)pthread_mutex_lock(&drafts->lock);
    if (draft->dirty && !draft->removed) {
        args = json_pack("{s:I,s:b}", "mode", (json_int_t)draft->mode, "create_only",
                         (int)draft->fresh);
        if (draft->modified.tv_nsec != UTIME_OMIT) {
            char ns[32];
            (void)snprintf(ns, sizeof(ns), "%lld",
                           (long long)draft->modified.tv_sec * 1000000000 +
                               draft->modified.tv_nsec);
            (void)json_object_set_new(args, "modified_ns", json_string(ns));
        }
        path = core_strndup(draft->path, strlen(draft->path)); /* it may be renamed meanwhile */
        draft->dirty = false; /* what is written from here on is put by the next one */
    }
    (void)pthread_mutex_unlock(&drafts->lock);
    if (args != NULL) {
        r = path != NULL ? agent_put(drafts->agent, path, args, draft->fd) : -ENOMEM;
        core_free(path);
        (void)pthread_mutex_lock(&drafts->lock);
        draft->dirty = draft->dirty || r != 0;
        draft->fresh = draft->fresh && r != 0;
        (void)pthread_mutex_unlock(&drafts->lock);
    }
    (void)pthread_mutex_unlock(&draft->io);
    return r;
}

void draft_close(struct drafts *drafts, struct draft *draft)
{
    (void)pthread_mutex_lock(&drafts->lock);
    if (--draft->refs == 0)
        forget(drafts, draft);
    (void)pthread_mutex_unlock(&drafts->lock);
}

void draft_touched(struct drafts *drafts, struct draft *draft)
{
    (void)pthread_mutex_lock(&drafts->lock);
    draft->dirty = true;
    draft->modified.tv_nsec = UTIME_OMIT;
    (void)pthread_mutex_unlock(&drafts->lock);
}

void draft_set(struct drafts *drafts,
               struct draft *draft,
               const mode_t *mode,
               const struct timespec *modified)
{
    (void)pthread_mutex_lock(&drafts->lock);
    draft->dirty = true;
    if (mode != NULL)
        draft->mode = *mode & 0777;
    if (modified != NULL)
        draft->modified = *modified;
    (void)pthread_mutex_unlock(&drafts->lock);
}

static void fill(const struct draft *draft, struct stat *st)
{
    struct stat own;

    if (fstat(draft->fd, &own) != 0)
        return;
    st->st_size = own.st_size;
    st->st_blocks = own.st_blocks;
    st->st_mode = S_IFREG | draft->mode;
    st->st_mtim = own.st_mtim;
    if (draft->modified.tv_nsec != UTIME_OMIT)
        st->st_mtim = draft->modified;
    st->st_ctim = st->st_atim = st->st_mtim;
}

bool draft_stat(struct drafts *drafts, const char *path, struct stat *st)
{
    (void)pthread_mutex_lock(&drafts->lock);
    const struct draft *draft = find(drafts, path);
    bool there = draft != NULL && draft->ready;
    if (there)
        fill(draft, st);
    (void)pthread_mutex_unlock(&drafts->lock);
    return there;
}

void draft_removed(struct drafts *drafts, const char *path)
{
    (void)pthread_mutex_lock(&drafts->lock);
    struct draft *draft = find(drafts, path);
    if (draft != NULL)
        draft->removed = true;
    (void)pthread_mutex_unlock(&drafts->lock);
}

bool draft_is_new(struct drafts *drafts, const struct draft *draft)
{
    (void)pthread_mutex_lock(&drafts->lock);
    bool is_new = draft->fresh && draft->refs == 1;
    (void)pthread_mutex_unlock(&drafts->lock);
    return is_new;
}

bool draft_has_time(struct drafts *drafts, const struct draft *draft)
{
    (void)pthread_mutex_lock(&drafts->lock);
    bool has = draft->modified.tv_nsec != UTIME_OMIT;
    (void)pthread_mutex_unlock(&drafts->lock);
    return has;
}

int draft_rename(struct drafts *drafts, struct draft *draft, const char *path)
{
    char *copy = core_strndup(path, strlen(path));

    if (copy == NULL)
        return -ENOMEM;
    (void)pthread_mutex_lock(&drafts->lock);
    struct draft *other = find(drafts, path);
    if (other != NULL && other != draft)
        other->removed = true;
    core_free(draft->path);
    draft->path = copy;
    draft->dirty = true;
    draft->fresh = false;
    (void)pthread_mutex_unlock(&drafts->lock);
    return 0;
}

void draft_list(struct drafts *drafts,
                const char *dir,
                void (*each)(void *user, const char *name, const struct stat *st),
                void *user)
{
    size_t len = strlen(dir);

    (void)pthread_mutex_lock(&drafts->lock);
    for (const struct draft *draft = drafts->first; draft != NULL; draft = draft->next) {
        struct stat st = {0};
        if (!draft->ready || draft->removed || !draft->fresh ||
            strncmp(draft->path, dir, len) != 0 || draft->path[len] != '/' ||
            strchr(draft->path + len + 1, '/') != NULL)
            continue;
        fill(draft, &st);
        each(user, draft->path + len + 1, &st);
    }
    (void)pthread_mutex_unlock(&drafts->lock);
}

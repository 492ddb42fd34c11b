/*
 * What the tests of the store share: a folder of their own, batches in a line, a wait with a bound.
 */
#ifndef TESTS_UNIT_STORE_TESTING_H
#define TESTS_UNIT_STORE_TESTING_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "core/limits.h"
#include "lib/test.h"
#include "store/store.h"

#define WAIT_MS_MAX 20000

static char root[256];

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline int begin(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    (void)snprintf(root, sizeof root, "%s/kith-store-XXXXXX", tmp != NULL ? tmp : "/tmp");
    return mkdtemp(root) == NULL ? -1 : 0;
}

static inline int end(void **state)
{
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline const char *in_root(const char *name)
{
    static char path[512];

    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static inline struct store_put put_of(const char *key, const char *value)
{
    return (struct store_put){.key = {key, strlen(key)},
                              .value = {value, value != NULL ? strlen(value) : 0},
                              .erase = value == NULL};
}

/* One entry (NULL: removes it) as a batch. */
static inline int put_one(struct store *store, const char *key, const char *value, uint64_t token)
{
    struct store_put put = put_of(key, value);

    return store_put(store, &(struct store_batch){&put, 1}, token);
}

/* @bytes of the byte @fill as the value of @key. */
static inline int
put_bytes(struct store *store, const char *key, size_t bytes, int fill, uint64_t token)
{
    char *value = malloc(bytes + 1);
    int r;

    assert_non_null(value);
    memset(value, fill, bytes);
    struct store_put put = {.key = {key, strlen(key)}, .value = {value, bytes}};
    r = store_put(store, &(struct store_batch){&put, 1}, token);
    free(value);
    return r;
}

/* True once @done(user) is; false after WAIT_MS_MAX. */
static inline bool wait_until(bool (*done)(void *user), void *user)
{
    for (int ms = 0; ms < WAIT_MS_MAX; ms++) {
        if (done(user))
            return true;
        (void)usleep(1000);
    }
    return false;
}

/* Takes @n tokens, which must come within the bound. */
static inline void take_tokens(struct store *store, uint64_t *tokens, size_t n)
{
    size_t have = 0;

    for (int ms = 0; have < n && ms < WAIT_MS_MAX; ms++) {
        have += store_completed(store, tokens + have, n - have);
        if (have < n)
            (void)usleep(1000);
    }
    assert_int_equal(have, n);
}

static inline void wait_token(struct store *store, uint64_t token)
{
    uint64_t got;

    take_tokens(store, &got, 1);
    assert_int_equal(got, token);
}

/* ---- what comes back, as text ---- */

struct recalled {
    char text[4096];
    size_t n, corrupt_n;
};

static inline int recall_one(void *user, const struct store_entry *entry)
{
    struct recalled *all = user;
    size_t at = strlen(all->text);

    all->n++;
    all->corrupt_n += entry->corrupt;
    (void)snprintf(all->text + at, sizeof all->text - at, "%.*s=%.*s ", (int)entry->key.len,
                   (const char *)entry->key.data, entry->corrupt ? 1 : (int)entry->value.len,
                   entry->corrupt ? "?" : (const char *)entry->value.data);
    return 0;
}

static inline struct recalled recall(struct store *store, char first)
{
    struct recalled all = {.n = 0};

    assert_int_equal(store_recall(store, (uint8_t)first, recall_one, &all), 0);
    return all;
}

static inline struct store *open_store(const struct store_options *options)
{
    struct store *store = NULL;
    int r = store_open(root, options, &store);

    if (r != 0)
        print_error("%s\n", kith_errmsg());
    assert_int_equal(r, 0);
    return store;
}

#endif

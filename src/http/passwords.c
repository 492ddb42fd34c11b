#include "http/passwords.h"

#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/limits.h"
#include "http/thread.h"
#include "node/workers.h"

/* 19 MiB and two passes: what OWASP asks of Argon2id, some 20 ms. */
#define PWHASH_OPS   2
#define PWHASH_BYTES (19u * 1024 * 1024)

static_assert(HTTP_USER_HASH_BYTES == crypto_pwhash_STRBYTES, "a hash fits");

struct job {
    struct list link;
    struct worker_job work;
    struct http_passwords *passwords;
    char password[HTTP_PASSWORD_BYTES_MAX + 1];
    char hash[HTTP_USER_HASH_BYTES];
    bool makes, known;
    int code;
    atomic_bool ended; /* by the worker */
    http_password_cb done;
    void *arg;
};

/* ---- the thread ---- */

static void work(struct worker_job *work)
{
    struct job *job = container_of(work, struct job, work);
    struct http_passwords *passwords = job->passwords;
    size_t len = strlen(job->password);

    http_thread_yields();
    if (job->makes)
        job->code = crypto_pwhash_str_alg(job->hash, job->password, len, PWHASH_OPS, PWHASH_BYTES,
                                          crypto_pwhash_ALG_ARGON2ID13) == 0
                        ? 0
                        : KITH_E_MEMORY;
    else
        job->code = crypto_pwhash_str_verify(job->hash, job->password, len) == 0 && job->known
                        ? 0
                        : KITH_E_PERMISSION;
    atomic_store(&job->ended, true);
    uv_async_send(&passwords->done); /* the loop does not free it before it has heard this */
}

/* ---- the loop ---- */

static void job_end(struct job *job, int code)
{
    list_remove(&job->link);
    job->passwords->n--;
    job->done(job->arg, code, job->hash);
    sodium_memzero(job, sizeof(*job));
    core_free(job);
}

static void go_on(struct http_passwords *passwords)
{
    struct list *first;

    while (!passwords->working && (first = list_first(&passwords->jobs)) != NULL) {
        struct job *job = container_of(first, struct job, link);
        int r =
            passwords->workers != NULL ? 0 : workers_start(&passwords->workers, 1, "kith-password");
        if (r != 0) {
            job_end(job, r);
            continue;
        }
        passwords->working = true;
        job->work.run = work;
        workers_push(passwords->workers, &job->work);
    }
}

static void close_now(struct http_passwords *passwords)
{
    workers_stop(passwords->workers);
    passwords->workers = NULL;
    uv_close((uv_handle_t *)&passwords->done, passwords->closed);
}

static void on_done(uv_async_t *async)
{
    struct http_passwords *passwords = container_of(async, struct http_passwords, done);
    struct list *first = list_first(&passwords->jobs);
    struct job *job = first != NULL ? container_of(first, struct job, link) : NULL;

    if (!passwords->working || job == NULL || !atomic_load(&job->ended))
        return;
    passwords->working = false;
    job_end(job, job->code);
    if (passwords->closing)
        close_now(passwords);
    else
        go_on(passwords);
}

static void ask(struct http_passwords *passwords,
                const struct job *what,
                const char *password,
                const char *hash)
{
    struct job *job = NULL;
    int code = passwords->closing                             ? KITH_E_STOPPED
               : passwords->n > HTTP_PASSWORDS_WAITING_MAX    ? KITH_E_BUSY
               : strlen(password) > HTTP_PASSWORD_BYTES_MAX   ? KITH_E_TOO_LARGE
               : (job = core_calloc(1, sizeof(*job))) == NULL ? KITH_E_MEMORY
                                                              : 0;

    if (code != 0) {
        what->done(what->arg, code, "");
        return;
    }
    *job = *what;
    job->passwords = passwords;
    memcpy(job->password, password, strlen(password));
    if (hash != NULL)
        memcpy(job->hash, hash, strnlen(hash, sizeof(job->hash) - 1));
    list_append(&passwords->jobs, &job->link);
    passwords->n++;
    go_on(passwords);
}

void http_password_make(struct http_passwords *passwords,
                        const char *password,
                        http_password_cb done,
                        void *arg)
{
    ask(passwords, &(struct job){.makes = true, .done = done, .arg = arg}, password, NULL);
}

void http_password_check(struct http_passwords *passwords,
                         const char *hash,
                         const char *password,
                         http_password_cb done,
                         void *arg)
{
    /* Of no password, with the same cost: whether there is such a user is not to be told by time.
     */
    static const char nobody[] = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
                                 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    ask(passwords, &(struct job){.known = hash != NULL, .done = done, .arg = arg}, password,
        hash != NULL ? hash : nobody);
}

void http_passwords_init(struct http_passwords *passwords, uv_loop_t *loop)
{
    *passwords = (struct http_passwords){0};
    list_init(&passwords->jobs);
    uv_async_init(loop, &passwords->done, on_done);
}

void http_passwords_close(struct http_passwords *passwords, uv_close_cb closed, void *data)
{
    passwords->closing = true;
    passwords->closed = closed;
    passwords->done.data = data;
    list_for_each_safe (it, &passwords->jobs) {
        struct job *job = container_of(it, struct job, link);
        if (!passwords->working || it != list_first(&passwords->jobs))
            job_end(job, KITH_E_STOPPED);
    }
    if (!passwords->working)
        close_now(passwords);
}

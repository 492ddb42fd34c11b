/*
 * Passwords are made and checked (Argon2id, 19 MiB and some 20 ms of a core each) one at a time, by
 * a thread of their own with a low priority: neither the loop, nor functions, nor the pool that
 * names are resolved on waits for them. Loop thread only.
 */
#ifndef HTTP_PASSWORDS_H
#define HTTP_PASSWORDS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/list.h"

struct workers;

#define HTTP_USER_HASH_BYTES 128 /* crypto_pwhash_STRBYTES */

struct http_passwords {
    struct list jobs; /* the first is at work */
    unsigned n;
    bool working, closing;
    struct workers *workers; /* from the first password on */
    uv_async_t done;
    uv_close_cb closed;
};

/*
 * Once, later, or before the asking function returns if it cannot be done: 0; KITH_E_PERMISSION
 * (another password); KITH_E_BUSY (HTTP_PASSWORDS_WAITING_MAX wait); KITH_E_TOO_LARGE;
 * KITH_E_MEMORY; KITH_E_LIMIT (no thread); KITH_E_STOPPED. @hash: of a new one; else of no use.
 */
typedef void (*http_password_cb)(void *arg, int code, const char *hash);

void http_passwords_init(struct http_passwords *passwords, uv_loop_t *loop);
void http_password_make(struct http_passwords *passwords,
                        const char *password,
                        http_password_cb done,
                        void *arg);
/* @hash NULL: there is no such user. It takes as long, and is refused. */
void http_password_check(struct http_passwords *passwords,
                         const char *hash,
                         const char *password,
                         http_password_cb done,
                         void *arg);
/* What waits ends with KITH_E_STOPPED; @closed once, when the one at work has ended too, of a
 * handle whose data is @data. */
void http_passwords_close(struct http_passwords *passwords, uv_close_cb closed, void *data);

#endif

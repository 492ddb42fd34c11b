#include "http/session.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"

static_assert(((32 * 4) + 2) / 3 == SESSION_TOKEN_CHARS, "32 bytes in base64 without padding");

struct login_link {
    struct list link;
    char token[SESSION_TOKEN_CHARS + 1];
    uint64_t until_ms;
};

static void token_make(char out[SESSION_TOKEN_CHARS + 1])
{
    uint8_t bytes[32];

    randombytes_buf(bytes, sizeof(bytes));
    sodium_bin2base64(out, SESSION_TOKEN_CHARS + 1, bytes, sizeof(bytes),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(bytes, sizeof(bytes));
}

/* 48 of its 256 bits find it; the others are compared in constant time. */
static uint64_t key_of(const char *token)
{
    uint64_t key;
    memcpy(&key, token, sizeof(key));
    return key;
}

void http_sessions_init(struct http_sessions *sessions,
                        const char *cluster_secret,
                        void (*ended)(struct http_session *session, void *user),
                        void *user)
{
    static const char what[] = "kith pages: handover";

    *sessions = (struct http_sessions){.ended = ended, .user = user};
    list_init(&sessions->all);
    list_init(&sessions->links);
    randombytes_buf(&sessions->run, sizeof(sessions->run));
    crypto_generichash(sessions->handover_key, sizeof(sessions->handover_key),
                       (const uint8_t *)what, sizeof(what), (const uint8_t *)cluster_secret,
                       strlen(cluster_secret));
}

void http_sessions_deinit(struct http_sessions *sessions)
{
    struct list *link;

    while ((link = list_first(&sessions->all)) != NULL)
        http_session_end(sessions, container_of(link, struct http_session, link));
    while ((link = list_first(&sessions->links)) != NULL) {
        list_remove(link);
        core_free(container_of(link, struct login_link, link));
    }
    map64_deinit(&sessions->by_token);
    sodium_memzero(sessions->handover_key, sizeof(sessions->handover_key));
}

/* ---- sessions ---- */

struct http_session *http_session_new(struct http_sessions *sessions,
                                      const struct session_options *options,
                                      uint64_t now_ms)
{
    struct list *oldest = list_first(&sessions->all);

    if (sessions->n >= HTTP_SESSIONS_MAX && oldest != NULL)
        http_session_end(sessions, container_of(oldest, struct http_session, link));
    struct http_session *session = core_calloc(1, sizeof(*session));
    if (session == NULL)
        return NULL;
    token_make(session->token);
    snprintf(session->user, sizeof(session->user), "%s", options->user);
    session->role = options->role;
    session->bearer = options->bearer;
    session->idle_ms = options->idle_ms;
    session->used_ms = now_ms;
    session->expires_ms = options->expires_in_ms != 0 ? now_ms + options->expires_in_ms : 0;
    list_init(&session->locks);
    list_init(&session->sockets);
    if (map64_set(&sessions->by_token, key_of(session->token), session) != 0) {
        core_free(session);
        return NULL;
    }
    list_append(&sessions->all, &session->link);
    sessions->n++;
    return session;
}

static bool is_over(const struct http_session *session, uint64_t now_ms)
{
    return now_ms >= session->used_ms + session->idle_ms ||
           (session->expires_ms != 0 && now_ms >= session->expires_ms);
}

struct http_session *
http_session_find(struct http_sessions *sessions, const char *token, size_t len, uint64_t now_ms)
{
    struct http_session *session =
        len == SESSION_TOKEN_CHARS ? map64_find(&sessions->by_token, key_of(token)) : NULL;

    if (session == NULL || sodium_memcmp(session->token, token, SESSION_TOKEN_CHARS) != 0)
        return NULL;
    if (is_over(session, now_ms)) {
        http_session_end(sessions, session);
        return NULL;
    }
    if (session->used_ms != now_ms) {
        session->used_ms = now_ms;
        list_remove(&session->link);
        list_append(&sessions->all, &session->link);
    }
    return session;
}

void http_session_end(struct http_sessions *sessions, struct http_session *session)
{
    sessions->ended(session, sessions->user);
    map64_remove(&sessions->by_token, key_of(session->token));
    list_remove(&session->link);
    sessions->n--;
    sodium_memzero(session->token, sizeof(session->token));
    core_free(session);
}

void http_sessions_end_user(struct http_sessions *sessions,
                            const char *user,
                            const struct http_session *spared)
{
    list_for_each_safe (it, &sessions->all) {
        struct http_session *session = container_of(it, struct http_session, link);
        if (session != spared && strcmp(session->user, user) == 0)
            http_session_end(sessions, session);
    }
}

void http_sessions_tick(struct http_sessions *sessions, uint64_t now_ms)
{
    list_for_each_safe (it, &sessions->all) {
        struct http_session *session = container_of(it, struct http_session, link);
        /* A page that is open uses its session. */
        if (!list_empty(&session->sockets))
            session->used_ms = now_ms;
        if (is_over(session, now_ms))
            http_session_end(sessions, session);
    }
}

/* ---- links ---- */

int http_link_new(struct http_sessions *sessions, uint64_t now_ms, char *out)
{
    struct login_link *link = core_calloc(1, sizeof(*link));

    if (link == NULL)
        return KITH_E_MEMORY;
    struct list *oldest = list_first(&sessions->links);
    if (sessions->links_n >= HTTP_LINKS_MAX && oldest != NULL) {
        list_remove(oldest);
        core_free(container_of(oldest, struct login_link, link));
        sessions->links_n--;
    }
    token_make(link->token);
    link->until_ms = now_ms + HTTP_LINK_MS;
    list_append(&sessions->links, &link->link);
    sessions->links_n++;
    memcpy(out, link->token, sizeof(link->token));
    return 0;
}

bool http_link_take(struct http_sessions *sessions, const char *text, uint64_t now_ms)
{
    bool good = false;

    if (strlen(text) != SESSION_TOKEN_CHARS)
        return false;
    list_for_each_safe (it, &sessions->links) {
        struct login_link *link = container_of(it, struct login_link, link);
        bool same = sodium_memcmp(link->token, text, SESSION_TOKEN_CHARS) == 0;
        if (!same && now_ms < link->until_ms)
            continue;
        good |= same && now_ms < link->until_ms;
        list_remove(it);
        sessions->links_n--;
        core_free(link);
    }
    return good;
}

/* ---- handing over ---- */

#define MAC_BYTES 32

/* Over @text and, after a NUL, @hash. */
static void mac_make(const struct http_sessions *sessions,
                     const char *text,
                     const char *hash,
                     uint8_t out[MAC_BYTES])
{
    crypto_generichash_state state;

    crypto_generichash_init(&state, sessions->handover_key, sizeof(sessions->handover_key),
                            MAC_BYTES);
    crypto_generichash_update(&state, (const uint8_t *)text, strlen(text) + 1);
    crypto_generichash_update(&state, (const uint8_t *)hash, strlen(hash));
    crypto_generichash_final(&state, out, MAC_BYTES);
}

/* "ROLE UNTIL RUN USER", then its MAC over it, both in base64url with a point between. */
void http_handover_make(const struct http_sessions *sessions,
                        const struct http_session *session,
                        const char *hash,
                        uint64_t unix_ms,
                        char out[HANDOVER_CHARS_MAX])
{
    char text[128];
    uint8_t mac[MAC_BYTES];

    snprintf(text, sizeof(text), "%d %llu %llu %s", (int)session->role,
             (unsigned long long)unix_ms + HTTP_HANDOVER_MS, (unsigned long long)sessions->run,
             session->user);
    mac_make(sessions, text, hash, mac);
    sodium_bin2base64(out, HANDOVER_CHARS_MAX, (const uint8_t *)text, strlen(text),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    size_t at = strlen(out);
    out[at++] = '.';
    sodium_bin2base64(out + at, HANDOVER_CHARS_MAX - at, mac, sizeof(mac),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

bool http_handover_read(const struct http_sessions *sessions,
                        const char *token,
                        uint64_t unix_ms,
                        http_hash_of hash_of,
                        void *arg,
                        char user_out[USER_NAME_BYTES_MAX + 1],
                        enum http_role *role_out)
{
    char text[128], whole[128];
    uint8_t mac[MAC_BYTES], want[MAC_BYTES];
    size_t text_len, mac_len;
    const char *point = strchr(token, '.'), *hash;
    uint64_t role, until, run;

    if (point == NULL ||
        sodium_base642bin((uint8_t *)text, sizeof(text) - 1, token, (size_t)(point - token), NULL,
                          &text_len, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        sodium_base642bin(mac, sizeof(mac), point + 1, strlen(point + 1), NULL, &mac_len, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        mac_len != sizeof(mac))
        return false;
    text[text_len] = '\0';
    memcpy(whole, text, text_len + 1);
    /* Not believed yet, but whose password it depends on stands in it. */
    char *until_text = strchr(text, ' ');
    char *run_text = until_text != NULL ? strchr(until_text + 1, ' ') : NULL;
    char *user = run_text != NULL ? strchr(run_text + 1, ' ') : NULL;
    if (user == NULL)
        return false;
    *until_text++ = '\0';
    *run_text++ = '\0';
    *user++ = '\0';
    if (text_parse_u64(text, HTTP_VIEWER, HTTP_ADMIN, &role) != 0 ||
        text_parse_u64(until_text, unix_ms + 1, unix_ms + 2 * HTTP_HANDOVER_MS, &until) != 0 ||
        text_parse_u64(run_text, 0, UINT64_MAX, &run) != 0 || run == sessions->run ||
        strlen(user) > USER_NAME_BYTES_MAX || strlen(whole) != text_len ||
        (hash = user[0] != '\0' ? hash_of(arg, user) : "") == NULL)
        return false;
    mac_make(sessions, whole, hash, want);
    if (sodium_memcmp(mac, want, sizeof(mac)) != 0)
        return false;
    snprintf(user_out, USER_NAME_BYTES_MAX + 1, "%s", user);
    *role_out = (enum http_role)role;
    return true;
}

/* src/http/session.c: who is logged in, for how long, and who may take it over. */
#include "http/session.h"

#include <sodium.h>
#include <string.h>

#include "lib/test.h"

#define UNIX_MS 1790000000000ull

static char password[] = "$argon2id$of the password"; /* hashes */
static char another[] = "$argon2id$of another";
static char none[] = "";
static unsigned ended_n;
static char ended_user[USER_NAME_BYTES_MAX + 1];

static void on_ended(struct http_session *session, void *user)
{
    (void)user;
    ended_n++;
    snprintf(ended_user, sizeof(ended_user), "%s", session->user);
}

static void begin(struct http_sessions *sessions, const char *secret)
{
    ended_n = 0;
    http_sessions_init(sessions, secret, on_ended, NULL);
}

static struct http_session *
made(struct http_sessions *sessions, const char *user, enum http_role role, uint64_t now_ms)
{
    struct session_options options = {.user = user, .role = role, .idle_ms = 60000};
    struct http_session *session = http_session_new(sessions, &options, now_ms);

    assert_non_null(session);
    return session;
}

static bool alive(struct http_sessions *sessions, const char *token, uint64_t now_ms)
{
    return http_session_find(sessions, token, strlen(token), now_ms) != NULL;
}

static void a_session_ends_when_it_was_not_used(void **state)
{
    struct http_sessions sessions;
    char token[SESSION_TOKEN_CHARS + 1], other[SESSION_TOKEN_CHARS + 1];

    (void)state;
    begin(&sessions, "secret");
    memcpy(token, made(&sessions, "ana", HTTP_ADMIN, 1000)->token, sizeof(token));
    assert_true(alive(&sessions, token, 60999)); /* used: a minute more */
    assert_true(alive(&sessions, token, 120998));
    memcpy(other, token, sizeof(other));
    other[SESSION_TOKEN_CHARS - 1] = other[SESSION_TOKEN_CHARS - 1] == 'A' ? 'B' : 'A';
    assert_false(alive(&sessions, other, 120998)); /* found by its beginning, it is not the same */
    assert_null(http_session_find(&sessions, token, SESSION_TOKEN_CHARS - 1, 120998));
    assert_false(alive(&sessions, token, 180998));
    assert_int_equal(ended_n, 1);
    assert_int_equal(sessions.n, 0);
    http_sessions_deinit(&sessions);
}

static void a_session_with_an_end_does_not_outlive_it(void **state)
{
    struct http_sessions sessions;
    struct session_options options = {
        .user = "", .role = HTTP_ADMIN, .idle_ms = 60000, .expires_in_ms = 90000};
    char token[SESSION_TOKEN_CHARS + 1];

    (void)state;
    begin(&sessions, "secret");
    memcpy(token, http_session_new(&sessions, &options, 0)->token, sizeof(token));
    assert_true(alive(&sessions, token, 50000));
    http_sessions_tick(&sessions, 89999);
    assert_int_equal(ended_n, 0);
    http_sessions_tick(&sessions, 90000);
    assert_int_equal(ended_n, 1);
    assert_false(alive(&sessions, token, 90000));
    http_sessions_deinit(&sessions);
}

static void at_the_limit_the_one_unused_longest_ends(void **state)
{
    struct http_sessions sessions;
    char first[SESSION_TOKEN_CHARS + 1];

    (void)state;
    begin(&sessions, "secret");
    memcpy(first, made(&sessions, "first", HTTP_VIEWER, 0)->token, sizeof(first));
    made(&sessions, "second", HTTP_VIEWER, 0);
    for (size_t i = 2; i < HTTP_SESSIONS_MAX; i++)
        made(&sessions, "more", HTTP_VIEWER, 0);
    assert_true(alive(&sessions, first, 1));
    assert_int_equal(ended_n, 0);
    made(&sessions, "last", HTTP_VIEWER, 2);
    assert_int_equal(ended_n, 1);
    assert_string_equal(ended_user, "second");
    assert_int_equal(sessions.n, HTTP_SESSIONS_MAX);
    http_sessions_deinit(&sessions);
    assert_int_equal(ended_n, 1 + HTTP_SESSIONS_MAX);
}

static void the_sessions_of_a_user_end_but_for_one(void **state)
{
    struct http_sessions sessions;

    (void)state;
    begin(&sessions, "secret");
    struct http_session *spared = made(&sessions, "ana", HTTP_ADMIN, 0);
    made(&sessions, "ana", HTTP_ADMIN, 0);
    made(&sessions, "anab", HTTP_ADMIN, 0);
    http_sessions_end_user(&sessions, "ana", spared);
    assert_int_equal(ended_n, 1);
    http_sessions_end_user(&sessions, "ana", NULL);
    assert_int_equal(ended_n, 2);
    assert_int_equal(sessions.n, 1);
    http_sessions_deinit(&sessions);
}

static void a_link_is_good_once_and_for_a_while(void **state)
{
    struct http_sessions sessions;
    char links[3][SESSION_TOKEN_CHARS + 1];

    (void)state;
    begin(&sessions, "secret");
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(http_link_new(&sessions, i, links[i]), 0);
    assert_false(http_link_take(&sessions, "no link", 0));
    assert_true(http_link_take(&sessions, links[1], HTTP_LINK_MS - 1));
    assert_false(http_link_take(&sessions, links[1], HTTP_LINK_MS - 1));
    assert_false(http_link_take(&sessions, links[0], HTTP_LINK_MS));
    assert_true(http_link_take(&sessions, links[2], HTTP_LINK_MS + 1));
    assert_int_equal(sessions.links_n, 0);
    http_sessions_deinit(&sessions);
}

static void at_the_limit_the_oldest_link_goes(void **state)
{
    struct http_sessions sessions;
    char first[SESSION_TOKEN_CHARS + 1], second[SESSION_TOKEN_CHARS + 1];
    char more[SESSION_TOKEN_CHARS + 1];

    (void)state;
    begin(&sessions, "secret");
    assert_int_equal(http_link_new(&sessions, 0, first), 0);
    assert_int_equal(http_link_new(&sessions, 0, second), 0);
    for (size_t i = 2; i <= HTTP_LINKS_MAX; i++)
        assert_int_equal(http_link_new(&sessions, 0, more), 0);
    assert_int_equal(sessions.links_n, HTTP_LINKS_MAX);
    assert_false(http_link_take(&sessions, first, 1));
    assert_true(http_link_take(&sessions, second, 1));
    http_sessions_deinit(&sessions);
}

/* ---- handing over ---- */

static const char *hash_of(void *arg, const char *user)
{
    (void)user;
    return arg;
}

/* The same node, started again: its sessions are gone. */
static void started_again(struct http_sessions *sessions)
{
    sessions->run++;
}

static void a_member_takes_over_who_was_logged_in_as_long_as_the_token_is_fresh(void **state)
{
    struct http_sessions here, there;
    char token[HANDOVER_CHARS_MAX], user[USER_NAME_BYTES_MAX + 1];
    enum http_role role = HTTP_ADMIN;

    (void)state;
    begin(&here, "secret");
    begin(&there, "secret");
    http_handover_make(&here, made(&here, "ben li", HTTP_OPERATOR, 0), password, UNIX_MS, token);
    assert_true(http_handover_read(&there, token, UNIX_MS + HTTP_HANDOVER_MS - 1, hash_of, password,
                                   user, &role));
    assert_string_equal(user, "ben li");
    assert_int_equal(role, HTTP_OPERATOR);
    assert_false(http_handover_read(&there, token, UNIX_MS + HTTP_HANDOVER_MS, hash_of, password,
                                    user, &role));
    /* The clocks of two machines may differ by as much as it is good for, not by more. */
    assert_true(http_handover_read(&there, token, UNIX_MS - HTTP_HANDOVER_MS, hash_of, password,
                                   user, &role));
    assert_false(http_handover_read(&there, token, UNIX_MS - HTTP_HANDOVER_MS - 1, hash_of,
                                    password, user, &role));
    http_sessions_deinit(&here);
    http_sessions_deinit(&there);
}

static void the_longest_name_is_handed_over_whole(void **state)
{
    struct http_sessions sessions;
    char name[USER_NAME_BYTES_MAX + 1], token[HANDOVER_CHARS_MAX], user[USER_NAME_BYTES_MAX + 1];
    enum http_role role;

    (void)state;
    memset(name, 'n', USER_NAME_BYTES_MAX);
    name[USER_NAME_BYTES_MAX] = '\0';
    begin(&sessions, "secret");
    http_handover_make(&sessions, made(&sessions, name, HTTP_VIEWER, 0), password, UNIX_MS, token);
    started_again(&sessions);
    assert_true(http_handover_read(&sessions, token, UNIX_MS, hash_of, password, user, &role));
    assert_string_equal(user, name);
    http_sessions_deinit(&sessions);
}

static void no_token_but_that_of_a_member_is_taken(void **state)
{
    struct http_sessions here, stranger;
    char token[HANDOVER_CHARS_MAX], changed[HANDOVER_CHARS_MAX], user[USER_NAME_BYTES_MAX + 1];
    enum http_role role;

    (void)state;
    begin(&here, "secret");
    begin(&stranger, "another secret");
    http_handover_make(&here, made(&here, "ben", HTTP_VIEWER, 0), password, UNIX_MS, token);
    /* Who logged out here, or was logged out, does not come back by it. */
    assert_false(http_handover_read(&here, token, UNIX_MS, hash_of, password, user, &role));
    started_again(&here);
    assert_true(http_handover_read(&here, token, UNIX_MS, hash_of, password, user, &role));
    assert_false(http_handover_read(&stranger, token, UNIX_MS, hash_of, password, user, &role));
    for (size_t i = 0; i < strlen(token); i++) {
        memcpy(changed, token, sizeof(changed));
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        assert_false(http_handover_read(&here, changed, UNIX_MS, hash_of, password, user, &role));
        changed[i] = '\0';
        assert_false(http_handover_read(&here, changed, UNIX_MS, hash_of, password, user, &role));
    }
    assert_false(http_handover_read(&here, "", UNIX_MS, hash_of, password, user, &role));
    assert_false(http_handover_read(&here, ".", UNIX_MS, hash_of, password, user, &role));
    http_sessions_deinit(&here);
    http_sessions_deinit(&stranger);
}

static void a_token_ends_with_the_password_or_the_user(void **state)
{
    struct http_sessions sessions;
    char token[HANDOVER_CHARS_MAX], user[USER_NAME_BYTES_MAX + 1];
    enum http_role role;

    (void)state;
    begin(&sessions, "secret");
    http_handover_make(&sessions, made(&sessions, "ben", HTTP_VIEWER, 0), password, UNIX_MS, token);
    started_again(&sessions);
    assert_true(http_handover_read(&sessions, token, UNIX_MS, hash_of, password, user, &role));
    assert_false(http_handover_read(&sessions, token, UNIX_MS, hash_of, another, user, &role));
    assert_false(http_handover_read(&sessions, token, UNIX_MS, hash_of, none, user, &role));
    assert_false(http_handover_read(&sessions, token, UNIX_MS, hash_of, NULL, user, &role));
    /* Without a user there is no password, and nobody is asked for one. */
    http_handover_make(&sessions, made(&sessions, "", HTTP_ADMIN, 0), "", UNIX_MS, token);
    started_again(&sessions);
    assert_true(http_handover_read(&sessions, token, UNIX_MS, NULL, NULL, user, &role));
    assert_string_equal(user, "");
    assert_int_equal(role, HTTP_ADMIN);
    http_sessions_deinit(&sessions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_ends_when_it_was_not_used),
        cmocka_unit_test(a_session_with_an_end_does_not_outlive_it),
        cmocka_unit_test(at_the_limit_the_one_unused_longest_ends),
        cmocka_unit_test(the_sessions_of_a_user_end_but_for_one),
        cmocka_unit_test(a_link_is_good_once_and_for_a_while),
        cmocka_unit_test(at_the_limit_the_oldest_link_goes),
        cmocka_unit_test(a_member_takes_over_who_was_logged_in_as_long_as_the_token_is_fresh),
        cmocka_unit_test(the_longest_name_is_handed_over_whole),
        cmocka_unit_test(a_token_ends_with_the_password_or_the_user),
        cmocka_unit_test(no_token_but_that_of_a_member_is_taken),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}

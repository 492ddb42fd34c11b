/* src/http/passwords.c: one at a time, some wait, and the loop goes on. */
#include "http/passwords.h"

#include <sodium.h>
#include <string.h>
#include <sys/resource.h>

#include "core/error.h"
#include "core/limits.h"
#include "lib/test.h"

struct lab {
    uv_loop_t loop;
    struct http_passwords passwords;
    unsigned turns; /* of the loop, while passwords were under way */
    uv_idle_t idle;
};

struct asked {
    unsigned calls;
    int code;
    char hash[HTTP_USER_HASH_BYTES];
    unsigned *order, place;
};

static void on_answer(void *arg, int code, const char *hash)
{
    struct asked *asked = arg;

    asked->calls++;
    asked->code = code;
    snprintf(asked->hash, sizeof(asked->hash), "%s", hash);
    if (asked->order != NULL)
        asked->place = ++*asked->order;
}

static void on_idle(uv_idle_t *idle)
{
    ((struct lab *)idle->data)->turns++;
}

static void on_closed(uv_handle_t *handle)
{
    (*(unsigned *)handle->data)++;
}

static void lab_open(struct lab *lab)
{
    assert_true(sodium_init() >= 0);
    memset(lab, 0, sizeof(*lab));
    assert_int_equal(uv_loop_init(&lab->loop), 0);
    http_passwords_init(&lab->passwords, &lab->loop);
}

static void lab_close(struct lab *lab)
{
    unsigned closed = 0;

    http_passwords_close(&lab->passwords, on_closed, &closed);
    uv_run(&lab->loop, UV_RUN_DEFAULT);
    assert_int_equal(closed, 1);
    assert_int_equal(uv_loop_close(&lab->loop), 0);
}

static void run_until(struct lab *lab, const struct asked *asked)
{
    while (asked->calls == 0)
        uv_run(&lab->loop, UV_RUN_ONCE);
}

static void what_was_made_is_found_right_and_nothing_else(void **state)
{
    struct lab lab;
    struct asked made = {0}, right = {0}, wrong = {0}, nobody = {0};

    (void)state;
    lab_open(&lab);
    http_password_make(&lab.passwords, "correct horse", on_answer, &made);
    assert_int_equal(made.calls, 0); /* never on this thread */
    run_until(&lab, &made);
    assert_int_equal(made.code, 0);
    assert_memory_equal(made.hash, "$argon2id$", 10);
    http_password_check(&lab.passwords, made.hash, "correct horse", on_answer, &right);
    http_password_check(&lab.passwords, made.hash, "correct horsf", on_answer, &wrong);
    http_password_check(&lab.passwords, NULL, "correct horse", on_answer, &nobody);
    run_until(&lab, &nobody);
    assert_int_equal(right.code, 0);
    assert_int_equal(wrong.code, KITH_E_PERMISSION);
    assert_int_equal(nobody.code, KITH_E_PERMISSION);
    lab_close(&lab);
}

static void a_burst_waits_in_order_up_to_the_limit(void **state)
{
    enum { N = HTTP_PASSWORDS_WAITING_MAX + 1, MORE = 5 };
    struct lab lab;
    struct asked asked[N + MORE] = {0}, later = {0};
    unsigned order = 0;

    (void)state;
    lab_open(&lab);
    for (unsigned i = 0; i < N + MORE; i++) {
        asked[i].order = &order;
        http_password_check(&lab.passwords, NULL, "guess", on_answer, &asked[i]);
        assert_int_equal(asked[i].calls, i >= N); /* what is too much hears it at once */
    }
    lab.idle.data = &lab;
    uv_idle_init(&lab.loop, &lab.idle);
    uv_idle_start(&lab.idle, on_idle);
    run_until(&lab, &asked[N - 1]);
    uv_close((uv_handle_t *)&lab.idle, NULL);
    assert_true(lab.turns > N); /* nine hashes took all that time, and the loop none of it */
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(asked[i].code, KITH_E_PERMISSION);
        assert_int_equal(asked[i].place, MORE + i + 1);
    }
    for (unsigned i = N; i < N + MORE; i++)
        assert_int_equal(asked[i].code, KITH_E_BUSY);
    http_password_check(&lab.passwords, NULL, "guess", on_answer, &later);
    run_until(&lab, &later);
    assert_int_equal(later.code, KITH_E_PERMISSION);
    lab_close(&lab);
}

static void a_password_that_is_too_long_is_refused(void **state)
{
    struct lab lab;
    char text[HTTP_PASSWORD_BYTES_MAX + 2];
    struct asked longest = {0}, longer = {0};

    (void)state;
    lab_open(&lab);
    memset(text, 'x', sizeof(text));
    text[HTTP_PASSWORD_BYTES_MAX + 1] = '\0';
    http_password_make(&lab.passwords, text, on_answer, &longer);
    assert_int_equal(longer.code, KITH_E_TOO_LARGE);
    text[HTTP_PASSWORD_BYTES_MAX] = '\0';
    http_password_make(&lab.passwords, text, on_answer, &longest);
    run_until(&lab, &longest);
    assert_int_equal(longest.code, 0);
    lab_close(&lab);
}

static void closing_ends_what_waits_and_waits_for_what_is_at_work(void **state)
{
    struct lab lab;
    struct asked first = {0}, second = {0}, third = {0};

    (void)state;
    lab_open(&lab);
    http_password_make(&lab.passwords, "at work", on_answer, &first);
    http_password_make(&lab.passwords, "waits", on_answer, &second);
    lab_close(&lab);
    assert_int_equal(first.calls, 1);
    assert_int_equal(first.code, 0);
    assert_int_equal(second.calls, 1);
    assert_int_equal(second.code, KITH_E_STOPPED);
    lab_open(&lab);
    lab.passwords.closing = true;
    http_password_make(&lab.passwords, "too late", on_answer, &third);
    assert_int_equal(third.code, KITH_E_STOPPED);
    lab_close(&lab);
}

static void this_thread_keeps_its_priority(void **state)
{
    struct lab lab;
    struct asked asked = {0};
    int before = getpriority(PRIO_PROCESS, 0);

    (void)state;
    lab_open(&lab);
    http_password_make(&lab.passwords, "correct horse", on_answer, &asked);
    run_until(&lab, &asked);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
    lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_made_is_found_right_and_nothing_else),
        cmocka_unit_test(a_burst_waits_in_order_up_to_the_limit),
        cmocka_unit_test(a_password_that_is_too_long_is_refused),
        cmocka_unit_test(closing_ends_what_waits_and_waits_for_what_is_at_work),
        cmocka_unit_test(this_thread_keeps_its_priority),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Join tokens: what goes in comes out, and what is wrong with one is said. */
#include "node/token.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "kith/error.h"
#include "lib/test.h"

static void assert_says(const char *part)
{
    if (strstr(kith_errmsg(), part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", kith_errmsg(), part);
}

static struct token sample(void)
{
    struct token token = {.cluster_name = "garden-fox", .addresses_n = 2};
    for (size_t i = 0; i < NET_CLUSTER_ID_BYTES; i++)
        token.cluster.id.bytes[i] = (uint8_t)(i + 1);
    for (size_t i = 0; i < NET_SECRET_BYTES; i++)
        token.cluster.secret[i] = (uint8_t)(255 - i);
    strcpy(token.addresses[0], "10.0.0.5:7117");
    strcpy(token.addresses[1], "[fd00::5]:7117");
    return token;
}

static void assert_same(const struct token *a, const struct token *b)
{
    assert_memory_equal(&a->cluster, &b->cluster, sizeof(a->cluster));
    assert_string_equal(a->cluster_name, b->cluster_name);
    assert_int_equal(a->addresses_n, b->addresses_n);
    for (uint32_t i = 0; i < a->addresses_n; i++)
        assert_string_equal(a->addresses[i], b->addresses[i]);
}

static void a_token_comes_back_as_it_was(void **state)
{
    struct token token = sample(), back;
    char text[TOKEN_TEXT_MAX + 1];
    (void)state;
    assert_int_equal(token_encode(&token, text), 0);
    assert_memory_equal(text, "kith1-", 6);
    assert_int_equal(
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"),
        strlen(text));
    assert_int_equal(token_decode(text, strlen(text), &back), 0);
    assert_same(&token, &back);
}

static void the_largest_token_fits(void **state)
{
    struct token token = sample(), back;
    char text[TOKEN_TEXT_MAX + 1];
    (void)state;
    memset(token.cluster_name, 'n', TOKEN_CLUSTER_NAME_MAX);
    token.addresses_n = TOKEN_ADDRESSES_MAX;
    for (uint32_t i = 0; i < TOKEN_ADDRESSES_MAX; i++) {
        memset(token.addresses[i], 'h', KITH_ADDRESS_TEXT_MAX - 5);
        strcpy(token.addresses[i] + KITH_ADDRESS_TEXT_MAX - 5, ":7117");
    }
    assert_int_equal(token_encode(&token, text), 0);
    assert_true(strlen(text) <= TOKEN_TEXT_MAX);
    assert_int_equal(token_decode(text, strlen(text), &back), 0);
    assert_same(&token, &back);
    token.addresses_n = TOKEN_ADDRESSES_MAX + 1;
    assert_int_equal(token_encode(&token, text), KITH_E_INVALID);
}

static void white_space_of_a_mail_is_dropped(void **state)
{
    struct token token = sample(), back;
    char text[TOKEN_TEXT_MAX + 1], broken[TOKEN_TEXT_MAX + 100];
    (void)state;
    assert_int_equal(token_encode(&token, text), 0);
    snprintf(broken, sizeof(broken), "  %.20s\r\n\t%s \n", text, text + 20);
    assert_int_equal(token_decode(broken, strlen(broken), &back), 0);
    assert_same(&token, &back);
}

static void every_single_typo_is_found(void **state)
{
    struct token token = sample(), back;
    char text[TOKEN_TEXT_MAX + 1];
    (void)state;
    assert_int_equal(token_encode(&token, text), 0);
    size_t len = strlen(text);
    for (size_t i = 6; i < len; i++) {
        char kept = text[i];
        text[i] = kept == 'A' ? 'B' : 'A';
        assert_int_equal(token_decode(text, len, &back), KITH_E_CORRUPT);
        assert_says("typo");
        assert_int_equal(back.addresses_n, 0);
        text[i] = kept;
    }
    for (size_t cut = 7; cut < len; cut++)
        assert_int_equal(token_decode(text, cut, &back), KITH_E_CORRUPT);
    text[len] = 'A';
    assert_int_equal(token_decode(text, len + 1, &back), KITH_E_CORRUPT);
}

static void what_is_no_token_is_told_from_a_damaged_one(void **state)
{
    struct token back;
    char large[TOKEN_TEXT_MAX + 10];
    (void)state;
    assert_int_equal(token_decode("", 0, &back), KITH_E_PARSE);
    assert_says("kith invite");
    assert_int_equal(token_decode("hello", 5, &back), KITH_E_PARSE);
    assert_int_equal(token_decode("kith", 4, &back), KITH_E_PARSE);
    assert_int_equal(token_decode("kith2-AAAA", 10, &back), KITH_E_VERSION);
    assert_says("newer");
    assert_int_equal(token_decode("kith1-", 6, &back), KITH_E_CORRUPT);
    assert_int_equal(token_decode("kith1-!!!!", 10, &back), KITH_E_CORRUPT);
    memset(large, 'A', sizeof(large));
    memcpy(large, "kith1-", 6);
    assert_int_equal(token_decode(large, sizeof(large), &back), KITH_E_PARSE);
}

static void a_token_with_a_right_checksum_is_still_checked(void **state)
{
    struct token token = sample();
    char text[TOKEN_TEXT_MAX + 1];
    (void)state;
    strcpy(token.cluster_name, "");
    assert_int_equal(token_encode(&token, text), KITH_E_INVALID);
    token = sample();
    strcpy(token.cluster_name, "a b");
    assert_int_equal(token_encode(&token, text), KITH_E_INVALID);
    token = sample();
    strcpy(token.addresses[1], "h:99999");
    assert_int_equal(token_encode(&token, text), KITH_E_INVALID);
    assert_says("h:99999");
}

/* ---- secret files ---- */

static char path[64];

static void write_secret(const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    (void)close(fd);
}

static int make_path(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "/tmp/kith-test-secret-%ld", (long)getpid());
    return 0;
}

static int remove_path(void **state)
{
    (void)state;
    (void)unlink(path);
    return 0;
}

static void a_secret_file_holds_a_token_or_hex_digits(void **state)
{
    static const char hex[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
    struct token token = sample(), back, again;
    char text[TOKEN_TEXT_MAX + 2];
    (void)state;
    assert_int_equal(token_encode(&token, text), 0);
    strcat(text, "\n");
    write_secret(text, 0600);
    assert_int_equal(token_read_secret_file(path, &back), 0);
    assert_same(&token, &back);
    write_secret(hex, 0400);
    (void)unlink(path);
    write_secret(hex, 0400);
    assert_int_equal(token_read_secret_file(path, &back), 0);
    assert_int_equal(back.cluster.secret[31], 0x1f);
    assert_int_equal(back.addresses_n, 0);
    /* All that have the secret agree on the cluster's id. */
    assert_int_equal(token_read_secret_file(path, &again), 0);
    assert_memory_equal(&back.cluster, &again.cluster, sizeof(back.cluster));
    assert_false(sodium_is_zero(back.cluster.id.bytes, NET_CLUSTER_ID_BYTES));
}

static void a_secret_that_others_may_read_is_refused(void **state)
{
    struct token back;
    (void)state;
    (void)unlink(path);
    write_secret("kith1-AAAA", 0640);
    assert_int_equal(token_read_secret_file(path, &back), KITH_E_PERMISSION);
    assert_says("chmod");
}

static void a_file_that_is_no_secret_is_refused(void **state)
{
    struct token back;
    (void)state;
    (void)unlink(path);
    assert_int_equal(token_read_secret_file(path, &back), KITH_E_NOT_FOUND);
    write_secret("just a password", 0600);
    assert_int_equal(token_read_secret_file(path, &back), KITH_E_PARSE);
    assert_says("kith invite");
    write_secret("zz0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 0600);
    assert_int_equal(token_read_secret_file(path, &back), KITH_E_PARSE);
    assert_says("hex");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_comes_back_as_it_was),
        cmocka_unit_test(the_largest_token_fits),
        cmocka_unit_test(white_space_of_a_mail_is_dropped),
        cmocka_unit_test(every_single_typo_is_found),
        cmocka_unit_test(what_is_no_token_is_told_from_a_damaged_one),
        cmocka_unit_test(a_token_with_a_right_checksum_is_still_checked),
        cmocka_unit_test(a_secret_file_holds_a_token_or_hex_digits),
        cmocka_unit_test(a_secret_that_others_may_read_is_refused),
        cmocka_unit_test(a_file_that_is_no_secret_is_refused),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, make_path, remove_path);
}

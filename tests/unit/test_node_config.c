/* The configuration: keys, values, files and where each value came from. */
#include "node/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "kith/error.h"
#include "lib/test.h"

static void assert_says(const char *part)
{
    if (strstr(kith_errmsg(), part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", kith_errmsg(), part);
}

static int load(struct kith_config *config, const char *text)
{
    return config_load_text(config, "test.conf", text, strlen(text));
}

static void every_key_has_a_default_that_is_valid(void **state)
{
    size_t n;
    const struct config_key *keys = config_keys(&n);
    struct kith_config *config = kith_config_new();
    char type[96];
    (void)state;
    assert_non_null(config);
    for (size_t i = 0; i < n; i++) {
        assert_ptr_equal(config_key_find(keys[i].name), &keys[i]);
        assert_non_null(keys[i].help);
        assert_true(config_key_type_text(&keys[i], type, sizeof(type))[0] != '\0');
        if (keys[i].value != NULL) {
            assert_string_equal(kith_config_get(config, keys[i].name), keys[i].value);
            assert_int_equal(kith_config_set(config, keys[i].name, keys[i].value), 0);
        } else {
            assert_null(kith_config_get(config, keys[i].name));
        }
    }
    assert_int_equal(config_u64(config, "loop.spin_us"), 50);
    assert_int_equal(config_size(config, "rpc.reply_bytes_max"), 16 * 1024 * 1024);
    assert_int_equal(config_duration_ms(config, "member.echo_interval"), 20000);
    assert_int_equal(config_duration_ms(config, "member.echo_limit"), 10000);
    assert_int_equal(config_choice(config, "member.detector"), CONFIG_DETECTOR_SWIM);
    assert_int_equal(config_choice(config, "log.level"), KITH_LOG_INFO - 1);
    assert_false(config_bool(config, "log.access"));
    kith_config_free(config);
}

static void values_are_checked_when_they_are_set(void **state)
{
    struct kith_config *config = kith_config_new();
    (void)state;
    assert_int_equal(kith_config_set(config, "rpc.workers", "4"), 0);
    assert_int_equal(config_u64(config, "rpc.workers"), 4);
    assert_int_equal(kith_config_set(config, "rpc.workers", "four"), KITH_E_PARSE);
    assert_int_equal(kith_config_set(config, "rpc.workers", "1025"), KITH_E_PARSE);
    assert_says("out of range");
    assert_int_equal(kith_config_set(config, "rpc.reply_bytes_max", "8G"), KITH_E_PARSE);
    assert_int_equal(kith_config_set(config, "rpc.reply_bytes_max", "1M"), 0);
    assert_int_equal(config_size(config, "rpc.reply_bytes_max"), 1024 * 1024);
    assert_int_equal(kith_config_set(config, "member.profile", "slow"), KITH_E_PARSE);
    assert_says("lan | fast | wan");
    assert_int_equal(kith_config_set(config, "node.name", "no spaces"), KITH_E_PARSE);
    assert_int_equal(kith_config_set(config, "net.listen", "host:99999"), KITH_E_PARSE);
    assert_int_equal(kith_config_set(config, "log.access", "maybe"), KITH_E_PARSE);
    /* A refused value changes nothing. */
    assert_int_equal(config_u64(config, "rpc.workers"), 4);
    kith_config_free(config);
}

static void an_unknown_key_is_answered_with_the_nearest(void **state)
{
    struct kith_config *config = kith_config_new();
    (void)state;
    assert_int_equal(kith_config_set(config, "net.lisen", "x"), KITH_E_NOT_FOUND);
    assert_says("did you mean net.listen?");
    assert_int_equal(kith_config_set(config, "quite.different", "x"), KITH_E_NOT_FOUND);
    assert_says("kith config show");
    assert_null(kith_config_get(config, "quite.different"));
    kith_config_free(config);
}

static void a_repeated_key_keeps_all_and_an_empty_value_clears(void **state)
{
    struct kith_config *config = kith_config_new();
    (void)state;
    assert_int_equal(kith_config_set(config, "net.seed", "a:1"), 0);
    assert_int_equal(load(config, "[net]\nseed = b:2\nseed = [fd00::5]:7117\n"), 0);
    assert_int_equal(config_repeat_n(config, "net.seed"), 3);
    assert_string_equal(config_repeat(config, "net.seed", 2), "[fd00::5]:7117");
    assert_string_equal(config_origin(config, "net.seed", 0), "program");
    assert_string_equal(config_origin(config, "net.seed", 2), "test.conf:3");
    assert_int_equal(load(config, "[net]\nseed =\nseed = c\n"), 0);
    assert_int_equal(config_repeat_n(config, "net.seed"), 1);
    assert_string_equal(kith_config_get(config, "net.seed"), "c");
    kith_config_free(config);
}

static void the_limit_of_repeats_is_an_error(void **state)
{
    struct kith_config *config = kith_config_new();
    (void)state;
    for (int i = 0; i < CONFIG_REPEATS_MAX; i++)
        assert_int_equal(kith_config_set(config, "net.seed", "a:1"), 0);
    assert_int_equal(kith_config_set(config, "net.seed", "a:1"), KITH_E_LIMIT);
    assert_int_equal(config_repeat_n(config, "net.seed"), CONFIG_REPEATS_MAX);
    kith_config_free(config);
}

static void later_files_override_earlier_ones(void **state)
{
    struct kith_config *config = kith_config_new();
    (void)state;
    assert_int_equal(load(config, "# first\n[log]\nlevel = warn\nformat=json\n"), 0);
    assert_int_equal(load(config, "[log]\n  level : debug ; loud\n"), 0);
    assert_string_equal(kith_config_get(config, "log.level"), "debug");
    assert_string_equal(kith_config_get(config, "log.format"), "json");
    assert_string_equal(config_origin(config, "log.level", 0), "test.conf:2");
    assert_string_equal(config_origin(config, "log.target", 0), "default");
    assert_true(config_is_set(config, "log.level"));
    assert_false(config_is_set(config, "log.target"));
    kith_config_free(config);
}

static void files_of_many_hands_are_read(void **state)
{
    struct kith_config *config = kith_config_new();
    (void)state;
    /* Byte order mark, line ends of another system, indentation, comments of both kinds, no last
     * newline. */
    assert_int_equal(load(config,
                          "\xef\xbb\xbf[node]\r\n\tname = lab-01 # mine\r\n\r\n; old\r\n[net]\r\n"
                          "    listen = 0.0.0.0:7117\r\n    seed=lab-02"),
                     0);
    assert_string_equal(kith_config_get(config, "node.name"), "lab-01");
    assert_string_equal(kith_config_get(config, "net.listen"), "0.0.0.0:7117");
    assert_string_equal(kith_config_get(config, "net.seed"), "lab-02");
    kith_config_free(config);
}

static void mistakes_are_named_with_file_and_line(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"[net]\nlisten = h:99999\n", "test.conf:2: net.listen"},
        {"[net]\n\nlisen = x\n",
         "test.conf:3: there is no key net.lisen: did you mean net.listen?"},
        {"name = x\n", "test.conf:1: a key before the first [section]"},
        {"[node]\nname\n", "test.conf:2: neither [section] nor key = value"},
        {"[node\nname = x\n", "test.conf:1: neither"},
        {"[program]\nsecret = 00\n", "test.conf:2: this key cannot be set in a file"},
        {"[node]\nrole = program\n", "test.conf:2: this key cannot"},
        {"[node]\nname = a b\n", "test.conf:2: node.name"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct kith_config *config = kith_config_new();
        assert_int_equal(load(config, bad[i].text), KITH_E_PARSE);
        assert_says(bad[i].says);
        kith_config_free(config);
    }
}

static void a_bad_file_changes_nothing(void **state)
{
    struct kith_config *config = kith_config_new();
    (void)state;
    assert_int_equal(kith_config_set(config, "log.level", "warn"), 0);
    assert_int_equal(load(config, "[log]\nlevel = debug\n[net]\nseed = a\nnonsense = 1\n"),
                     KITH_E_PARSE);
    assert_string_equal(kith_config_get(config, "log.level"), "warn");
    assert_int_equal(config_repeat_n(config, "net.seed"), 0);
    kith_config_free(config);
}

static void a_long_line_is_refused_and_not_cut(void **state)
{
    char text[600];
    struct kith_config *config = kith_config_new();
    (void)state;
    /* "[node]\nload = xxx...": the longest that is possible, and one byte more. */
    int n = snprintf(text, sizeof(text), "[node]\nload = ");
    memset(text + n, 'x', 400);
    text[7 + CONFIG_LINE_BYTES_MAX] = '\n';
    assert_int_equal(config_load_text(config, "test.conf", text, 7 + CONFIG_LINE_BYTES_MAX + 1), 0);
    assert_int_equal(strlen(kith_config_get(config, "node.load")),
                     CONFIG_LINE_BYTES_MAX - strlen("load = "));
    text[7 + CONFIG_LINE_BYTES_MAX] = 'x';
    text[7 + CONFIG_LINE_BYTES_MAX + 1] = '\n';
    assert_int_equal(config_load_text(config, "test.conf", text, 7 + CONFIG_LINE_BYTES_MAX + 2),
                     KITH_E_PARSE);
    assert_says("test.conf:2: the line has 199 bytes, 198 are possible");
    assert_int_equal(config_load_text(config, "test.conf", "[node]\nname = a\0b\n", 18),
                     KITH_E_PARSE);
    assert_says("zero byte");
    kith_config_free(config);
}

static void a_missing_file_is_not_found(void **state)
{
    struct kith_config *config = kith_config_new();
    (void)state;
    assert_int_equal(kith_config_load(config, "/nonexistent/kith.conf"), KITH_E_NOT_FOUND);
    assert_says("/nonexistent/kith.conf");
    assert_int_equal(kith_config_load(config, "/"), KITH_E_IO);
    kith_config_free(config);
}

static void a_huge_file_is_refused(void **state)
{
    char path[] = "/tmp/kith-test-config-XXXXXX";
    struct kith_config *config = kith_config_new();
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, CONFIG_FILE_BYTES_MAX + 1), 0);
    (void)close(fd);
    assert_int_equal(kith_config_load(config, path), KITH_E_PARSE);
    assert_says("larger than");
    (void)unlink(path);
    kith_config_free(config);
}

static void seeds_of_a_token_are_added_once(void **state)
{
    char dir[] = "/tmp/kith-test-seeds-XXXXXX";
    char path[64];
    struct kith_config *config = kith_config_new();
    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(config_add_seeds(config, dir), 0); /* no file: no seeds */
    snprintf(path, sizeof(path), "%s/seeds", dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("# of a token\n10.0.0.5:7117\n\n[fd00::5]:7117\n", file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(kith_config_set(config, "net.seed", "10.0.0.5:7117"), 0);
    assert_int_equal(config_add_seeds(config, dir), 0);
    assert_int_equal(config_add_seeds(config, dir), 0);
    assert_int_equal(config_repeat_n(config, "net.seed"), 2);
    assert_string_equal(config_repeat(config, "net.seed", 1), "[fd00::5]:7117");
    (void)unlink(path);
    (void)rmdir(dir);
    kith_config_free(config);
}

static void a_copy_shares_nothing(void **state)
{
    struct kith_config *config = kith_config_new(), *copy;
    (void)state;
    assert_int_equal(kith_config_set(config, "node.name", "a"), 0);
    copy = config_copy(config);
    assert_non_null(copy);
    assert_int_equal(kith_config_set(config, "node.name", "b"), 0);
    assert_string_equal(kith_config_get(copy, "node.name"), "a");
    config_unset(copy, "node.name");
    assert_null(kith_config_get(copy, "node.name"));
    kith_config_free(config);
    kith_config_free(copy);
}

static void a_path_may_start_at_home(void **state)
{
    struct kith_config *config = kith_config_new();
    (void)state;
    assert_int_equal(setenv("HOME", "/home/ana", 1), 0);
    assert_int_equal(kith_config_set(config, "node.data_dir", "~/kith"), 0);
    assert_string_equal(kith_config_get(config, "node.data_dir"), "/home/ana/kith");
    kith_config_free(config);
}

static void memory_may_be_short_anywhere(void **state)
{
    (void)state;
    for (uint64_t at = 1; at < 60; at++) {
        struct kith_config *config = kith_config_new();
        assert_non_null(config);
        assert_int_equal(kith_config_set(config, "net.seed", "z:9"), 0);
        core_alloc_fail_at(at);
        int r = load(config, "[net]\nseed = a:1\nseed = b:2\n[node]\nname = x\n");
        core_alloc_fail_at(0);
        assert_true(r == 0 || r == KITH_E_MEMORY);
        assert_int_equal(config_repeat_n(config, "net.seed"), r == 0 ? 3 : 1);
        kith_config_free(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_has_a_default_that_is_valid),
        cmocka_unit_test(values_are_checked_when_they_are_set),
        cmocka_unit_test(an_unknown_key_is_answered_with_the_nearest),
        cmocka_unit_test(a_repeated_key_keeps_all_and_an_empty_value_clears),
        cmocka_unit_test(the_limit_of_repeats_is_an_error),
        cmocka_unit_test(later_files_override_earlier_ones),
        cmocka_unit_test(files_of_many_hands_are_read),
        cmocka_unit_test(mistakes_are_named_with_file_and_line),
        cmocka_unit_test(a_bad_file_changes_nothing),
        cmocka_unit_test(a_long_line_is_refused_and_not_cut),
        cmocka_unit_test(a_missing_file_is_not_found),
        cmocka_unit_test(a_huge_file_is_refused),
        cmocka_unit_test(seeds_of_a_token_are_added_once),
        cmocka_unit_test(a_copy_shares_nothing),
        cmocka_unit_test(a_path_may_start_at_home),
        cmocka_unit_test(memory_may_be_short_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The node's logs: form of a line, escapes, secrets, folding, levels, taps, files, full pipes,
 * threads.
 */
#include "node/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "kith/error.h"
#include "lib/test.h"
#include "node/log_line.h"

/* ---- lines ---- */

static struct log_line line;

static const char *format(const struct log_record *record, bool json)
{
    log_line_format(&line, record, json);
    assert_int_equal(strlen(line.text), line.len);
    return line.text;
}

static const char *value_as(const char *value, bool json)
{
    const char *pairs[] = {"k", value};
    struct log_record record = {.unix_ms = 1000,
                                .level = KITH_LOG_WARN,
                                .area = "net",
                                .message = "m",
                                .pairs = pairs,
                                .pairs_n = 1};
    const char *text = format(&record, json);
    const char *at = strstr(text, json ? "\"k\":" : "k=");
    assert_non_null(at);
    return at + (json ? 4 : 2);
}

static void line_has_time_level_area_message_and_pairs(void **state)
{
    (void)state;
    const char *pairs[] = {"peer", "lab-02", "reason", "another cluster"};
    struct log_record record = {.unix_ms = 1700000000123u,
                                .level = KITH_LOG_WARN,
                                .area = "net",
                                .message = "peer refused",
                                .pairs = pairs,
                                .pairs_n = 2};
    assert_string_equal(format(&record, false),
                        "time=2023-11-14T22:13:20.123Z level=warn area=net msg=\"peer refused\" "
                        "peer=lab-02 reason=\"another cluster\"");
    assert_string_equal(
        format(&record, true),
        "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"warn\",\"area\":\"net\","
        "\"msg\":\"peer refused\",\"peer\":\"lab-02\",\"reason\":\"another cluster\"}");
    record.log = "app";
    record.pairs_n = 0;
    record.message = "hi";
    assert_string_equal(format(&record, false),
                        "time=2023-11-14T22:13:20.123Z level=warn log=app area=net msg=hi");
    log_line_repeat(&line, 1700000001000u, 132, false);
    assert_string_equal(line.text,
                        "time=2023-11-14T22:13:21.000Z level=warn log=app area=net msg=hi "
                        "repeated=132");
    (void)format(&record, true);
    log_line_repeat(&line, 1700000001000u, 132, true);
    assert_string_equal(line.text,
                        "{\"time\":\"2023-11-14T22:13:21.000Z\",\"level\":\"warn\",\"log\":\"app\","
                        "\"area\":\"net\",\"msg\":\"hi\",\"repeated\":132}");
}

static void values_are_quoted_and_escaped_as_needed(void **state)
{
    (void)state;
    assert_string_equal(value_as("plain/1.2:3", false), "plain/1.2:3");
    assert_string_equal(value_as("", false), "\"\"");
    assert_string_equal(value_as("a b", false), "\"a b\"");
    assert_string_equal(value_as("a=b", false), "\"a=b\"");
    assert_string_equal(value_as("say \"x\\\"", false), "\"say \\\"x\\\\\\\"\"");
    assert_string_equal(value_as("l1\nl2\r\t", false), "\"l1\\nl2\\r\\t\"");
    assert_string_equal(value_as("\x1b[31m\x7f", false), "\"\\u001b[31m\\u007f\"");
    assert_string_equal(value_as("\xc2\x9b"
                                 "31m",
                                 false),
                        "\"\\u009b31m\""); /* CSI of one character */
    assert_string_equal(value_as("gr\xc3\xbc\xc3\x9f", false), "\"gr\xc3\xbc\xc3\x9f\"");
    assert_string_equal(value_as("\xff\xc3", false), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_string_equal(value_as("plain", true), "\"plain\"}");
    assert_string_equal(value_as("a\"\n", true), "\"a\\\"\\n\"}");
}

static void secrets_are_hidden(void **state)
{
    (void)state;
    static const char *const keys[] = {"secret", "token", "psk", "password"};
    for (size_t i = 0; i < 4; i++) {
        const char *pairs[] = {keys[i], "hunter2-hunter2"};
        struct log_record record = {.area = "a", .message = "m", .pairs = pairs, .pairs_n = 1};
        assert_null(strstr(format(&record, false), "hunter2"));
        assert_non_null(strstr(line.text, "(hidden)"));
        assert_null(strstr(format(&record, true), "hunter2"));
    }
    assert_string_equal(value_as("kith1-AbCdEf0123456789_-", false), "\"(hidden)\"");
    assert_string_equal(value_as("see kith1-AbCdEf0123456789_- now", true),
                        "\"see (hidden) now\"}");
    assert_string_equal(value_as("kith1-", false), "kith1-");
    assert_string_equal(value_as("kith", false), "kith");
}

static void what_does_not_fit_is_cut_and_the_line_stays_whole(void **state)
{
    (void)state;
    char huge[NODE_LOG_LINE_BYTES_MAX * 2];
    const char *pairs[2 * LOG_PAIRS_MAX];
    static const char fill[] = {'x', '"', '\n', '\xff', '\x01'};
    for (size_t f = 0; f < sizeof(fill); f++) {
        memset(huge, fill[f], sizeof(huge) - 1);
        huge[sizeof(huge) - 1] = '\0';
        for (size_t cut = 3900; cut < 4010; cut++) {
            char text[4100];
            memcpy(text, huge, cut);
            text[cut] = '\0';
            for (size_t i = 0; i < LOG_PAIRS_MAX; i++) {
                pairs[2 * i] = "key";
                pairs[2 * i + 1] = i % 2 == 0 ? text : "v";
            }
            struct log_record record = {.area = "a", .message = "m", .pairs = pairs, .pairs_n = 16};
            const char *json = format(&record, true);
            assert_true(line.len <= NODE_LOG_LINE_BYTES_MAX);
            assert_string_equal(json + line.len - 2, "\"}");
            log_line_repeat(&line, UINT64_MAX, UINT64_MAX, true);
            assert_true(line.len + 1 < sizeof(line.text));
            (void)format(&record, false);
            assert_true(line.len <= NODE_LOG_LINE_BYTES_MAX);
        }
    }
    struct log_record record = {.area = "a", .message = huge};
    memset(huge, 'm', sizeof(huge) - 1);
    (void)format(&record, false);
    assert_string_equal(line.text + line.len - 5, "m...\"");
}

/* ---- the sink ---- */

static char dir[] = "/tmp/kith-log-XXXXXX";
static char path[64];
static char moved[64];

static char *read_file(const char *name)
{
    static char text[1 << 20];
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof(text) - 1, file);
    assert_int_equal(fclose(file), 0);
    text[n] = '\0';
    return text;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

static struct node_log logs;

static void open_logs(struct node_log_options options)
{
    if (options.target == NULL)
        options.target = path;
    if (options.level == 0)
        options.level = KITH_LOG_INFO;
    assert_int_equal(node_log_open(&logs, &options), 0);
}

static int setup(void **state)
{
    (void)state;
    (void)unlink(path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    node_log_close(&logs);
    core_alloc_fail_at(0);
    return 0;
}

static void three_logs_share_a_file_and_levels_change_live(void **state)
{
    (void)state;
    open_logs((struct node_log_options){.level = KITH_LOG_WARN});
    log_info(&logs.log, "net", "too fine", NULL);
    log_warn(&logs.log, "net", "system line", NULL);
    log_error(&logs.app, "app", "application line", NULL);
    log_info(&logs.access, "rpc", "access is off", NULL);
    node_log_set_access(&logs, true);
    log_info(&logs.access, "rpc", "access line", "fn", "sys.echo", NULL);
    node_log_set_level(&logs, KITH_LOG_DEBUG);
    assert_int_equal(node_log_level(&logs), KITH_LOG_DEBUG);
    log_debug(&logs.log, "net", "fine line", NULL);
    node_log_close(&logs);
    const char *text = read_file(path);
    assert_int_equal(count(text, "\n"), 4);
    assert_null(strstr(text, "too fine"));
    assert_null(strstr(text, "access is off"));
    assert_non_null(strstr(text, "level=warn area=net msg=\"system line\"\n"));
    assert_non_null(strstr(text, "level=error log=app area=app msg=\"application line\"\n"));
    assert_non_null(
        strstr(text, "level=info log=access area=rpc msg=\"access line\" fn=sys.echo\n"));
    assert_non_null(strstr(text, "level=debug area=net msg=\"fine line\"\n"));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07, 0);
}

static void identical_lines_are_counted(void **state)
{
    (void)state;
    open_logs((struct node_log_options){.format = NODE_LOG_LOGFMT});
    for (unsigned i = 0; i < 133; i++) {
        log_warn(&logs.log, "net", "refused", "peer", "a", NULL);
        /* One in between does not end the count of another. */
        log_warn(&logs.log, "net", "refused", "peer", "b", NULL);
    }
    log_info(&logs.log, "net", "refused", "peer", "a", NULL); /* another level: another line */
    node_log_close(&logs);
    const char *text = read_file(path);
    assert_int_equal(count(text, "\n"), 5);
    assert_int_equal(count(text, "repeated="), 2);
    assert_non_null(strstr(text, "peer=a repeated=132\n"));
    assert_non_null(strstr(text, "peer=b repeated=132\n"));
}

static void more_kinds_of_lines_than_places_lose_no_count(void **state)
{
    (void)state;
    open_logs((struct node_log_options){.format = NODE_LOG_JSON});
    unsigned written = 0;
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 40; i++) {
            char name[16];
            (void)snprintf(name, sizeof(name), "n%u", i);
            for (unsigned k = 0; k <= i % 3; k++, written++)
                log_warn(&logs.log, "net", "refused", "peer", name, NULL);
        }
    }
    node_log_close(&logs);
    unsigned told = 0;
    for (char *at = read_file(path); *at != '\0'; at = strchr(at, '\n') + 1) {
        char *repeated = strstr(at, "\"repeated\":");
        if (repeated != NULL && repeated < strchr(at, '\n'))
            told += (unsigned)strtoul(repeated + 11, NULL, 10);
        else
            told++;
    }
    assert_int_equal(told, written);
}

static void repeats_without_memory_are_written_as_they_are(void **state)
{
    (void)state;
    open_logs((struct node_log_options){.access = false});
    log_warn(&logs.log, "net", "refused", NULL);
    core_alloc_fail_at(1);
    log_warn(&logs.log, "net", "refused", NULL);
    core_alloc_fail_at(0);
    log_warn(&logs.log, "net", "refused", NULL);
    node_log_close(&logs);
    const char *text = read_file(path);
    assert_int_equal(count(text, "\n"), 3);
    assert_int_equal(count(text, "repeated=1\n"), 1);
}

static char tapped[4096];
static size_t tapped_n;

static void on_tap(void *user, enum kith_log_level level, const char *text)
{
    assert_ptr_equal(user, &tapped_n);
    assert_in_range(level, KITH_LOG_ERROR, KITH_LOG_DEBUG);
    (void)snprintf(tapped, sizeof(tapped), "%s", text);
    tapped_n++;
}

static void tap_sees_finer_lines_than_the_file(void **state)
{
    (void)state;
    tapped_n = 0;
    open_logs((struct node_log_options){
        .level = KITH_LOG_WARN, .format = NODE_LOG_JSON, .tap = on_tap, .tap_user = &tapped_n});
    log_warn(&logs.log, "net", "before", NULL);
    assert_int_equal(tapped_n, 0);
    node_log_set_tap(&logs, KITH_LOG_DEBUG);
    log_debug(&logs.log, "net", "fine", "k", "v", NULL);
    assert_int_equal(tapped_n, 1);
    assert_non_null(strstr(tapped, " level=debug area=net msg=fine k=v"));
    log_info(&logs.access, "rpc", "call", NULL);
    assert_int_equal(tapped_n, 2);
    node_log_set_tap(&logs, KITH_LOG_INFO);
    log_info(&logs.access, "rpc", "call again", NULL); /* not written anywhere: for debug only */
    log_debug(&logs.log, "net", "fine again", NULL);
    assert_int_equal(tapped_n, 2);
    log_info(&logs.app, "app", "seen", NULL);
    log_info(&logs.app, "app", "seen", NULL);
    assert_int_equal(tapped_n, 3);
    node_log_close(&logs);
    assert_int_equal(tapped_n, 4);
    assert_non_null(strstr(tapped, "msg=seen repeated=1"));
    assert_int_equal(count(read_file(path), "\n"), 1);
}

static void file_is_reopened_after_it_was_moved_away(void **state)
{
    (void)state;
    open_logs((struct node_log_options){.access = false});
    log_info(&logs.log, "net", "first", NULL);
    assert_int_equal(rename(path, moved), 0);
    log_info(&logs.log, "net", "second", NULL);
    assert_int_equal(node_log_reopen_file(&logs), 0);
    log_info(&logs.log, "net", "third", NULL);
    assert_int_equal(count(read_file(moved), "\n"), 2);
    assert_int_equal(count(read_file(path), "third"), 1);
    assert_int_equal(unlink(moved), 0);
}

static void unopenable_file_is_an_error_that_names_it(void **state)
{
    (void)state;
    struct node_log_options options = {.level = KITH_LOG_INFO, .target = "/nonexistent/x.log"};
    assert_int_equal(node_log_open(&logs, &options), KITH_E_NOT_FOUND);
    assert_non_null(strstr(kith_errmsg(), "/nonexistent/x.log"));
    log_error(&logs.log, "x", "nowhere", NULL);
    options.target = path;
    for (uint64_t n = 1; n <= 2; n++) {
        core_alloc_fail_at(n);
        assert_int_equal(node_log_open(&logs, &options), KITH_E_MEMORY);
        core_alloc_fail_at(0);
    }
}

static void journal_lines_have_a_priority_and_no_time(void **state)
{
    (void)state;
    int saved = dup(STDERR_FILENO);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    struct stat st = {0};
    char stream[64];
    assert_true(saved >= 0 && file >= 0 && dup2(file, STDERR_FILENO) >= 0 && fstat(file, &st) == 0);
    (void)snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
                   (unsigned long long)st.st_ino);
    assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
    open_logs((struct node_log_options){.target = "stderr", .level = KITH_LOG_DEBUG});
    log_error(&logs.log, "a", "e", NULL);
    log_warn(&logs.log, "a", "w", NULL);
    log_info(&logs.log, "a", "i", NULL);
    log_debug(&logs.log, "a", "d", NULL);
    node_log_close(&logs);
    /* The variable is inherited, but stderr may have been sent elsewhere. */
    assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
    open_logs((struct node_log_options){.target = "stderr"});
    log_info(&logs.log, "a", "elsewhere", NULL);
    node_log_close(&logs);
    assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    (void)close(file);
    const char *text = read_file(path);
    assert_int_equal(strncmp(text,
                             "<3>level=error area=a msg=e\n<4>level=warn area=a msg=w\n"
                             "<6>level=info area=a msg=i\n<7>level=debug area=a msg=d\ntime=",
                             strlen("<3>level=error area=a msg=e\n<4>level=warn area=a msg=w\n"
                                    "<6>level=info area=a msg=i\n<7>level=debug area=a msg=d\n"
                                    "time=")),
                     0);
}

static void full_pipe_loses_lines_and_tells_how_many(void **state)
{
    (void)state;
    int saved = dup(STDERR_FILENO);
    int ends[2];
    static char text[1 << 20];
    assert_true(saved >= 0 && pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    open_logs((struct node_log_options){.target = "stderr"});
    for (unsigned i = 0; i < 3000; i++) {
        char no[16];
        (void)snprintf(no, sizeof(no), "%u", i);
        log_info(&logs.log, "net", "a line that nobody reads", "no", no, NULL);
    }
    ssize_t n = read(ends[0], text, sizeof(text) - 1);
    log_info(&logs.log, "net", "after", NULL);
    assert_true(n > 0);
    ssize_t more = read(ends[0], text + n, sizeof(text) - 1 - (size_t)n);
    node_log_close(&logs);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_true(more > 0);
    text[n + more] = '\0';
    const char *lost = strstr(text, " lost=");
    assert_non_null(lost);
    assert_int_equal(count(text, "nobody reads") + strtoul(lost + 6, NULL, 10), 3000);
    assert_int_equal(count(text, "msg=after"), 1);
}

#define THREADS_N 4
#define LINES_N   500

static void *log_from_thread(void *arg)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "%u", *(unsigned *)arg);
    for (unsigned i = 0; i < LINES_N; i++) {
        char no[16];
        (void)snprintf(no, sizeof(no), "%u", i);
        log_info(&logs.log, "net", "own", "thread", name, "no", no, NULL);
        log_info(&logs.app, "app", "shared", NULL);
        if (i % 50 == 0)
            node_log_set_level(&logs, i % 100 == 0 ? KITH_LOG_DEBUG : KITH_LOG_INFO);
        if (i % 50 == 25)
            node_log_set_tap(&logs, i % 100 == 25 ? KITH_LOG_DEBUG : (enum kith_log_level)0);
        if (i % 100 == 99)
            assert(node_log_reopen_file(&logs) == 0);
        if (i % 20 == 0)
            node_log_tick(&logs);
    }
    return NULL;
}

static void threads_write_whole_lines(void **state)
{
    (void)state;
    pthread_t threads[THREADS_N];
    unsigned numbers[THREADS_N];
    open_logs((struct node_log_options){.tap = on_tap, .tap_user = &tapped_n});
    for (unsigned i = 0; i < THREADS_N; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, log_from_thread, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS_N; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    node_log_close(&logs);
    unsigned own = 0;
    unsigned shared = 0;
    for (char *at = read_file(path), *end; *at != '\0'; at = end + 1) {
        end = strchr(at, '\n');
        assert_non_null(end);
        *end = '\0';
        assert_int_equal(strncmp(at, "time=", 5), 0);
        assert_null(strstr(at + 5, "time="));
        char *repeated = strstr(at, "repeated=");
        own += strstr(at, "msg=own") != NULL;
        if (strstr(at, "msg=shared") != NULL)
            shared += repeated != NULL ? (unsigned)strtoul(repeated + 9, NULL, 10) : 1;
    }
    assert_int_equal(own, THREADS_N * LINES_N);
    assert_int_equal(shared, THREADS_N * LINES_N);
}

static void level_names_go_both_ways(void **state)
{
    (void)state;
    for (unsigned level = KITH_LOG_ERROR; level <= KITH_LOG_DEBUG; level++) {
        enum kith_log_level back = KITH_LOG_ERROR;
        const char *text = node_log_level_text((enum kith_log_level)level);
        assert_int_equal(node_log_level_parse(text, &back), 0);
        assert_int_equal(back, level);
    }
    enum kith_log_level back;
    assert_int_equal(node_log_level_parse("loud", &back), KITH_E_PARSE);
    assert_int_equal(node_log_level_parse("off", &back), KITH_E_PARSE);
    assert_int_equal(node_log_level_parse(NULL, &back), KITH_E_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_has_time_level_area_message_and_pairs),
        cmocka_unit_test(values_are_quoted_and_escaped_as_needed),
        cmocka_unit_test(secrets_are_hidden),
        cmocka_unit_test(what_does_not_fit_is_cut_and_the_line_stays_whole),
        cmocka_unit_test_setup_teardown(three_logs_share_a_file_and_levels_change_live, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(identical_lines_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(more_kinds_of_lines_than_places_lose_no_count, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(repeats_without_memory_are_written_as_they_are, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(tap_sees_finer_lines_than_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(file_is_reopened_after_it_was_moved_away, setup, teardown),
        cmocka_unit_test_setup_teardown(unopenable_file_is_an_error_that_names_it, setup, teardown),
        cmocka_unit_test_setup_teardown(journal_lines_have_a_priority_and_no_time, setup, teardown),
        cmocka_unit_test_setup_teardown(full_pipe_loses_lines_and_tells_how_many, setup, teardown),
        cmocka_unit_test_setup_teardown(threads_write_whole_lines, setup, teardown),
        cmocka_unit_test(level_names_go_both_ways),
    };
    if (mkdtemp(dir) == NULL)
        return 1;
    (void)snprintf(path, sizeof(path), "%s/log", dir);
    (void)snprintf(moved, sizeof(moved), "%s/log.1", dir);
    int failed = cmocka_run_group_tests_name("node_log", tests, NULL, NULL);
    (void)unlink(path);
    (void)rmdir(dir);
    return failed;
}

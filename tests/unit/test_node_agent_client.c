/* The client of the control socket against a server made here: what it takes, and what it refuses.
 */
#include "node/agent_client.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/limits.h"
#include "kith/error.h"
#include "kith/node.h"
#include "lib/test.h"
#include "node/config.h"

#define LONG_MS 20000

static char dir[64], path[100];
static int listener = -1, server = -1;
static struct agent_client *client;

static int make_listener(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/kith-test-client-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/kith.sock", dir);
    memcpy(address.sun_path, path, strlen(path) + 1);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
                   listen(listener, 4) != 0
               ? -1
               : 0;
}

static int remove_listener(void **state)
{
    (void)state;
    (void)close(listener);
    (void)unlink(path);
    (void)rmdir(dir);
    return 0;
}

static int connect_both(void **state)
{
    (void)state;
    if (agent_client_open(&client, path) != 0)
        return -1;
    server = accept(listener, NULL, NULL);
    return server < 0 ? -1 : 0;
}

static int close_both(void **state)
{
    (void)state;
    agent_client_close(client);
    client = NULL;
    if (server >= 0)
        (void)close(server);
    server = -1;
    return 0;
}

static void serve_bytes(const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(server, at, len);
        assert_true(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

static void serve_text(const char *text)
{
    serve_bytes(text, strlen(text));
}

static void messages_behind_one_another_come_one_by_one(void **state)
{
    struct agent_message message;
    (void)state;
    serve_text("{\"id\":1,\"ok\":true}\n{\"id\":2,\"data_bytes\":5}\nhello{\"id\":3}\n");
    assert_int_equal(agent_client_receive(client, LONG_MS, &message), 0);
    assert_string_equal(message.line, "{\"id\":1,\"ok\":true}");
    assert_int_equal(message.data_len, 0);
    assert_true(agent_client_pending(client));
    assert_int_equal(agent_client_receive(client, 0, &message), 0);
    assert_int_equal(json_integer_value(json_object_get(message.json, "id")), 2);
    assert_int_equal(message.data_len, 5);
    assert_memory_equal(message.data, "hello", 5);
    assert_int_equal(agent_client_receive(client, 0, &message), 0);
    assert_string_equal(message.line, "{\"id\":3}");
    assert_false(agent_client_pending(client));
    assert_int_equal(agent_client_receive(client, 0, &message), KITH_E_TIMEOUT);
}

static void a_message_in_pieces_is_put_together(void **state)
{
    static const char text[] = "{\"id\":\"x\",\"data_bytes\":4}\nab\n\n";
    struct agent_message message;
    (void)state;
    for (size_t i = 0; i + 1 < sizeof(text) - 1; i++) {
        serve_bytes(text + i, 1);
        assert_int_equal(agent_client_receive(client, 0, &message), KITH_E_TIMEOUT);
    }
    serve_bytes(text + sizeof(text) - 2, 1);
    assert_int_equal(agent_client_receive(client, LONG_MS, &message), 0);
    assert_memory_equal(message.data, "ab\n\n", 4);
}

static void the_largest_line_and_data_pass(void **state)
{
    (void)state;
    char *line = malloc(CONTROL_LINE_BYTES_MAX + 2);
    assert_non_null(line);
    memset(line, ' ', CONTROL_LINE_BYTES_MAX);
    memcpy(line, "{\"id\":1}", 8);
    line[CONTROL_LINE_BYTES_MAX] = '\n';
    /* More than a socket's buffer holds: written by a child while we read. */
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        serve_bytes(line, CONTROL_LINE_BYTES_MAX + 1);
        serve_text("{\"id\":2,\"data_bytes\":16777216}\n");
        for (size_t i = 0; i < CONTROL_DATA_BYTES_MAX; i += 64 * 1024) {
            static char zeros[64 * 1024];
            serve_bytes(zeros, sizeof(zeros));
        }
        _exit(0);
    }
    struct agent_message message;
    assert_int_equal(agent_client_receive(client, LONG_MS, &message), 0);
    assert_int_equal(message.line_len, CONTROL_LINE_BYTES_MAX);
    assert_int_equal(agent_client_receive(client, LONG_MS, &message), 0);
    assert_int_equal(message.data_len, CONTROL_DATA_BYTES_MAX);
    free(line);
}

static void assert_refused(const char *text, size_t len)
{
    struct agent_message message;
    assert_int_equal(connect_both(NULL), 0);
    (void)shutdown(server, SHUT_RD);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGPIPE, SIG_IGN);
        (void)!write(server, text, len);
        _exit(0);
    }
    assert_int_equal(agent_client_receive(client, LONG_MS, &message), KITH_E_CORRUPT);
    /* And from then on: the stream cannot be followed. */
    assert_int_equal(agent_client_receive(client, LONG_MS, &message), KITH_E_CORRUPT);
    close_both(NULL);
}

static void what_is_not_the_protocol_is_refused(void **state)
{
    (void)state;
    close_both(NULL);
    assert_refused("220 mail ready\n", 15);
    assert_refused("[1,2]\n", 6);
    assert_refused("\n", 1);
    assert_refused("{\"id\":1}garbage\n", 16);
    assert_refused("{\"id\":1,\"data_bytes\":-1}\n", 25);
    assert_refused("{\"id\":1,\"data_bytes\":16777217}\n", 31);
    char *line = malloc(CONTROL_LINE_BYTES_MAX + 100);
    assert_non_null(line);
    memset(line, 'x', CONTROL_LINE_BYTES_MAX + 100);
    assert_refused(line, CONTROL_LINE_BYTES_MAX + 2);
    line[CONTROL_LINE_BYTES_MAX + 1] = '\n';
    assert_refused(line, CONTROL_LINE_BYTES_MAX + 2);
    free(line);
}

static void an_agent_that_goes_away_is_told(void **state)
{
    struct agent_message message;
    (void)state;
    serve_text("{\"id\":1}\n{\"id\":2,\"data");
    (void)close(server);
    server = -1;
    assert_int_equal(agent_client_receive(client, LONG_MS, &message), 0);
    assert_int_equal(agent_client_receive(client, LONG_MS, &message), KITH_E_NO_AGENT);
    assert_non_null(strstr(kith_errmsg(), path));
    assert_int_equal(agent_client_send(client, "{}", NULL, 0), KITH_E_NO_AGENT);
}

static void what_is_too_large_is_not_sent(void **state)
{
    (void)state;
    char *line = calloc(1, CONTROL_LINE_BYTES_MAX + 2);
    assert_non_null(line);
    memset(line, 'x', CONTROL_LINE_BYTES_MAX + 1);
    assert_int_equal(agent_client_send(client, line, NULL, 0), KITH_E_TOO_LARGE);
    assert_int_equal(agent_client_send(client, "{}", line, (size_t)CONTROL_DATA_BYTES_MAX + 1),
                     KITH_E_TOO_LARGE);
    free(line);
}

/* A server that sends everything before it reads anything: a client that did not read while it
 * sends would hang. */
static void *chatter(void *arg)
{
    static char data[64 * 1024];
    size_t got = 0;
    (void)arg;
    for (int i = 0; i < 100; i++) {
        serve_text("{\"id\":1,\"data_bytes\":65536}\n");
        serve_bytes(data, sizeof(data));
    }
    while (got < 8 * 1024 * 1024) {
        ssize_t n = read(server, data, sizeof(data));
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    return NULL;
}

static void two_that_both_send_do_not_wait_for_each_other(void **state)
{
    struct agent_message message;
    pthread_t thread;
    (void)state;
    char *data = calloc(1, 8 * 1024 * 1024);
    assert_non_null(data);
    assert_int_equal(pthread_create(&thread, NULL, chatter, NULL), 0);
    assert_int_equal(
        agent_client_send(client, "{\"id\":9,\"data_bytes\":8388608}", data, 8 * 1024 * 1024), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(agent_client_receive(client, LONG_MS, &message), 0);
        assert_int_equal(message.data_len, 65536);
    }
    (void)shutdown(server, SHUT_RDWR);
    assert_int_equal(pthread_join(thread, NULL), 0);
    free(data);
}

static volatile int interrupted;

static void on_alarm(int signal_no)
{
    interrupted = signal_no;
}

static void a_signal_ends_a_wait_that_is_asked_to(void **state)
{
    const struct sigaction action = {.sa_handler = on_alarm};
    struct agent_message message;
    (void)state;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    agent_client_interrupt_on(client, &interrupted);
    (void)alarm(1);
    assert_int_equal(agent_client_receive(client, LONG_MS, &message), KITH_E_CANCELED);
    agent_client_interrupt_on(client, NULL);
}

/* ---- which socket ---- */

static void a_directory_means_its_socket(void **state)
{
    char found[AGENT_SOCKET_PATH_MAX + 1];
    (void)state;
    assert_int_equal(agent_socket_find(dir, found, sizeof(found)), 0);
    assert_string_equal(found, path);
    assert_int_equal(agent_socket_find(path, found, sizeof(found)), 0);
    assert_string_equal(found, path);
    assert_int_equal(setenv("KITH_SOCKET", dir, 1), 0);
    assert_int_equal(agent_socket_find(NULL, found, sizeof(found)), 0);
    assert_string_equal(found, path);
    assert_int_equal(unsetenv("KITH_SOCKET"), 0);
}

static void a_path_too_long_for_a_socket_is_said(void **state)
{
    char found[AGENT_SOCKET_PATH_MAX + 1], large[200];
    struct agent_client *other;
    (void)state;
    memset(large, 'x', sizeof(large) - 1);
    large[0] = '/';
    large[AGENT_SOCKET_PATH_MAX] = '\0';
    assert_int_equal(agent_socket_find(large, found, sizeof(found)), 0);
    large[AGENT_SOCKET_PATH_MAX] = 'x';
    large[AGENT_SOCKET_PATH_MAX + 1] = '\0';
    assert_int_equal(agent_socket_find(large, found, sizeof(found)), KITH_E_TOO_LARGE);
    assert_int_equal(agent_client_open(&other, large), KITH_E_TOO_LARGE);
    assert_non_null(strstr(kith_errmsg(), "107"));
}

static void the_default_agent_goes_before_dev_nodes(void **state)
{
    char found[AGENT_SOCKET_PATH_MAX + 1], dev[100], node[110], dev_socket[130];
    (void)state;
    assert_int_equal(setenv("XDG_STATE_HOME", dir, 1), 0);
    assert_int_equal(agent_socket_find(NULL, found, sizeof(found)), KITH_E_NO_AGENT);
    assert_non_null(strstr(kith_errmsg(), "kith dev 3"));
    snprintf(dev, sizeof(dev), "%s/kith-dev", dir);
    snprintf(node, sizeof(node), "%s/7", dev);
    snprintf(dev_socket, sizeof(dev_socket), "%s/kith.sock", node);
    assert_int_equal(mkdir(dev, 0700), 0);
    assert_int_equal(mkdir(node, 0700), 0);
    assert_int_equal(link(path, dev_socket), 0);
    assert_int_equal(agent_dev_first(dev), 7);
    assert_int_equal(agent_socket_find(NULL, found, sizeof(found)), 0);
    assert_string_equal(found, dev_socket);
    (void)unlink(dev_socket);
    (void)rmdir(node);
    (void)rmdir(dev);
}

/* ---- a program's configuration ---- */

static const char *answer;

static void *answer_once(void *arg)
{
    char request[256];
    (void)arg;
    int peer = accept(listener, NULL, NULL);
    if (peer >= 0 && read(peer, request, sizeof(request)) > 0)
        (void)!write(peer, answer, strlen(answer));
    (void)close(peer);
    return NULL;
}

static int from_agent(struct kith_config *config, const char *text)
{
    pthread_t thread;
    answer = text;
    assert_int_equal(pthread_create(&thread, NULL, answer_once, NULL), 0);
    int r = kith_config_from_agent(config, dir);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return r;
}

static void a_program_takes_its_cluster_from_the_agent(void **state)
{
    struct kith_config *config = kith_config_new();
    (void)state;
    assert_int_equal(
        from_agent(config,
                   "{\"id\":1,\"ok\":true,\"result\":{\"cluster_id\":\"00ff\",\"cluster\":\"lab\","
                   "\"secret\":\"5ec\",\"addresses\":[\"10.0.0.5:7117\",\"[fd00::5]:7117\"]}}\n"),
        0);
    assert_int_equal(config_choice(config, "node.role"), CONFIG_ROLE_PROGRAM);
    assert_string_equal(config_text(config, "program.cluster"), "lab");
    assert_string_equal(config_text(config, "program.secret"), "5ec");
    assert_string_equal(config_text(config, "program.agent"), path);
    assert_int_equal(config_repeat_n(config, "net.seed"), 2);
    assert_string_equal(config_text(config, "net.listen"), "[::]:0");
    kith_config_free(config);
}

static void an_agent_that_refuses_changes_nothing(void **state)
{
    struct kith_config *config = kith_config_new();
    (void)state;
    assert_int_equal(
        from_agent(config, "{\"id\":1,\"ok\":false,\"error\":{\"message\":\"not today\"}}\n"),
        KITH_E_NO_AGENT);
    assert_non_null(strstr(kith_errmsg(), "not today"));
    assert_int_equal(
        from_agent(config, "{\"id\":1,\"ok\":true,\"result\":{\"cluster\":\"lab\"}}\n"),
        KITH_E_CORRUPT);
    assert_int_equal(from_agent(config, "hello\n"), KITH_E_NO_AGENT);
    assert_int_equal(config_choice(config, "node.role"), CONFIG_ROLE_NODE);
    assert_int_equal(config_repeat_n(config, "net.seed"), 0);
    kith_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_behind_one_another_come_one_by_one, connect_both,
                                        close_both),
        cmocka_unit_test_setup_teardown(a_message_in_pieces_is_put_together, connect_both,
                                        close_both),
        cmocka_unit_test_setup_teardown(the_largest_line_and_data_pass, connect_both, close_both),
        cmocka_unit_test_setup_teardown(what_is_not_the_protocol_is_refused, connect_both,
                                        close_both),
        cmocka_unit_test_setup_teardown(an_agent_that_goes_away_is_told, connect_both, close_both),
        cmocka_unit_test_setup_teardown(what_is_too_large_is_not_sent, connect_both, close_both),
        cmocka_unit_test_setup_teardown(two_that_both_send_do_not_wait_for_each_other, connect_both,
                                        close_both),
        cmocka_unit_test_setup_teardown(a_signal_ends_a_wait_that_is_asked_to, connect_both,
                                        close_both),
        cmocka_unit_test(a_directory_means_its_socket),
        cmocka_unit_test(a_path_too_long_for_a_socket_is_said),
        cmocka_unit_test(a_program_takes_its_cluster_from_the_agent),
        cmocka_unit_test(an_agent_that_refuses_changes_nothing),
        cmocka_unit_test(the_default_agent_goes_before_dev_nodes),
    };
    return cmocka_run_group_tests(tests, make_listener, remove_listener);
}

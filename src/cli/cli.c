/* See cli.h: what is said, and where. */
#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "core/error.h"
#include "core/text.h"
#include "kith.h"

#ifndef KITH_LIBEXEC_DIR
#define KITH_LIBEXEC_DIR "/usr/libexec/kith"
#endif

const char *cli_arg(const struct cli *cli, size_t i)
{
    return i < cli->args.pos_n ? cli->args.pos[i] : NULL;
}

/* ---- what went wrong
 * ------------------------------------------------------------------------------ */

int cli_exit_of(int code)
{
    switch (code) {
    case 0:
        return EXIT_OK;
    case KITH_E_INVALID:
    case KITH_E_PARSE:
    case KITH_E_NAME:
        return EXIT_USAGE;
    case KITH_E_NO_AGENT:
    case KITH_E_STOPPED:
        return EXIT_NO_AGENT;
    case KITH_E_NOT_FOUND:
    case KITH_E_NO_FUNCTION:
    case KITH_E_NO_NODE:
    case KITH_E_NO_CLUSTER:
        return EXIT_NOT_FOUND;
    case KITH_E_PERMISSION:
    case KITH_E_SECRET:
    case KITH_E_OTHER_CLUSTER:
        return EXIT_NOT_ALLOWED;
    case KITH_E_TIMEOUT:
        return EXIT_TIMED_OUT;
    case KITH_E_EXISTS:
    case KITH_E_IN_USE:
    case KITH_E_BUSY:
    case KITH_E_TYPE:
    case KITH_E_FENCE:
    case KITH_E_AGAIN:
        return EXIT_CONFLICT;
    case KITH_E_NO_QUORUM:
        return EXIT_TOO_FEW;
    default:
        return EXIT_FAILED;
    }
}

static void
say_error(struct cli *cli, int exit_code, const char *code, const char *what, const char *hint)
{
    fflush(stdout);
    fprintf(stderr, "kith: %s\n", what);
    if (hint != NULL && hint[0] != '\0')
        fprintf(stderr, "  try: %s\n", hint);
    if (!cli->json)
        return;
    json_t *doc = json_pack("{s:s,s:s,s:i,s:s,s:s*}", "schema", "kith.error/1", "code", code,
                            "exit", exit_code, "message", what, "hint", hint);
    if (doc != NULL)
        (void)cli_print_json_line(cli, doc);
    json_decref(doc);
}

static const char *code_of_exit(int exit_code)
{
    static const int codes[] = {0,
                                KITH_E_INTERNAL,
                                KITH_E_INVALID,
                                KITH_E_NO_AGENT,
                                KITH_E_NOT_FOUND,
                                KITH_E_PERMISSION,
                                KITH_E_TIMEOUT,
                                KITH_E_EXISTS};

    if (exit_code >= 2 && exit_code <= 7)
        return kith_error_name(codes[exit_code]);
    return "KITH_E_FAILED";
}

int cli_fail(struct cli *cli, int exit_code, const char *hint, const char *format, ...)
{
    char what[1200];
    va_list list;

    va_start(list, format);
    (void)vsnprintf(what, sizeof(what), format, list);
    va_end(list);
    say_error(cli, exit_code, code_of_exit(exit_code), what, hint);
    return exit_code;
}

int cli_fail_errno(struct cli *cli, const char *what, const char *path)
{
    int failed = errno;

    return cli_fail(cli, failed == EACCES || failed == EPERM ? EXIT_NOT_ALLOWED : EXIT_FAILED, NULL,
                    "%s %s: %s%s", path, what, strerror(failed), core_errno_advice(failed));
}

int cli_fail_code(struct cli *cli, int code)
{
    const char *why = kith_errmsg();

    say_error(cli, cli_exit_of(code), kith_error_name(code),
              why[0] != '\0' ? why : kith_strerror(code), NULL);
    return cli_exit_of(code);
}

void cli_say(const struct cli *cli, const char *format, ...)
{
    va_list list;

    if (cli->quiet)
        return;
    va_start(list, format);
    (void)vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

/* ---- stdout
 * --------------------------------------------------------------------------------------- */

int cli_print_json(struct cli *cli, json_t *doc, const char *schema)
{
    size_t flags = JSON_REAL_PRECISION(15);

    if (doc == NULL)
        return cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
    if (json_object_get(doc, "schema") == NULL) {
        json_t *tagged = json_pack("{s:s}", "schema", schema);
        if (tagged == NULL || json_object_update(tagged, doc) != 0) {
            json_decref(tagged);
            json_decref(doc);
            return cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
        }
        json_decref(doc);
        doc = tagged;
    }
    if (isatty(STDOUT_FILENO))
        flags |= JSON_INDENT(2);
    else
        flags |= JSON_COMPACT;
    (void)json_dumpf(doc, stdout, flags);
    fputc('\n', stdout);
    json_decref(doc);
    return EXIT_OK;
}

int cli_print_json_line(struct cli *cli, const json_t *doc)
{
    (void)cli;
    (void)json_dumpf(doc, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
    fputc('\n', stdout);
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

int cli_write(struct cli *cli, const void *data, size_t len)
{
    if (len == 0 || fwrite(data, 1, len, stdout) == len)
        return EXIT_OK;
    return cli_fail(cli, EXIT_FAILED, NULL, "stdout cannot be written: %s", strerror(errno));
}

int cli_flush(struct cli *cli)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_OK;
    return cli_fail(cli, EXIT_FAILED, NULL, "stdout cannot be written: %s", strerror(errno));
}

char *cli_clean(const char *text, char *out, size_t out_bytes)
{
    size_t n = 0;

    for (; text[n] != '\0' && n + 1 < out_bytes; n++) {
        unsigned char c = (unsigned char)text[n];
        bool c1 = n > 0 && (unsigned char)text[n - 1] == 0xc2 && c < 0xa0; /* U+0080 to U+009F */
        out[n] = text[n];
        if (c < 0x20 || c == 0x7f || c1)
            out[n] = '?';
    }
    out[n] = '\0';
    return out;
}

/* ---- results
 * -------------------------------------------------------------------------------------- */

const char *cli_json_text(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

double cli_json_number(json_t *object, const char *key, double if_absent)
{
    json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : if_absent;
}

uint64_t cli_json_u64(json_t *object, const char *key, uint64_t if_absent)
{
    json_t *value = json_object_get(object, key);
    uint64_t number;

    if (json_is_string(value) &&
        text_parse_u64(json_string_value(value), 0, UINT64_MAX, &number) == 0)
        return number;
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        return (uint64_t)json_integer_value(value);
    if (json_is_real(value) && json_real_value(value) >= 0)
        return (uint64_t)json_real_value(value);
    return if_absent;
}

/* ---- other programs
 * --------------------------------------------------------------------------------- */

const char *cli_self_path(void)
{
    static char path[4096];
    size_t size = sizeof(path);

    if (path[0] == '\0' && uv_exepath(path, &size) != 0)
        path[0] = '\0';
    return path;
}

int cli_find_program(struct cli *cli, const char *name, char *path_out, size_t path_bytes)
{
    const char *self = cli_self_path();
    const char *slash = strrchr(self, '/');
    /* Beside this program, as installed and in a build tree; then where helpers are installed. */
    const char *const beside[] = {"", "bench/"};

    for (size_t i = 0; slash != NULL && i < sizeof(beside) / sizeof(beside[0]); i++) {
        snprintf(path_out, path_bytes, "%.*s/%s%s", (int)(slash - self), self, beside[i], name);
        if (access(path_out, X_OK) == 0)
            return EXIT_OK;
    }
    snprintf(path_out, path_bytes, "%s/%s", KITH_LIBEXEC_DIR, name);
    if (access(path_out, X_OK) == 0)
        return EXIT_OK;
    return cli_fail(cli, EXIT_NOT_FOUND, "make build, or install the whole package",
                    "%s is neither beside %s nor in %s", name, self, KITH_LIBEXEC_DIR);
}

uint64_t cli_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

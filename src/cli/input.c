/* See input.h. */
#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/error.h"

#define CHUNK (64 * 1024)

static int cannot_read(struct cli *cli, const char *name)
{
    int failed = errno;
    return cli_fail(cli,
                    failed == ENOENT   ? EXIT_NOT_FOUND
                    : failed == EACCES ? EXIT_NOT_ALLOWED
                                       : EXIT_FAILED,
                    NULL, "%s cannot be read: %s%s", name, strerror(failed),
                    core_errno_advice(failed));
}

static int open_input(struct cli *cli, const char *path, int *fd_out)
{
    if (path == NULL || strcmp(path, "-") == 0) {
        *fd_out = STDIN_FILENO;
        return EXIT_OK;
    }
    *fd_out = open(path, O_RDONLY | O_CLOEXEC);
    return *fd_out >= 0 ? EXIT_OK : cannot_read(cli, path);
}

static void close_input(int fd)
{
    if (fd > STDIN_FILENO)
        (void)close(fd);
}

/* Appends what one read gives; *@end_out at the end of the file. */
static int read_more(struct cli *cli, int fd, const char *name, struct buf *buf, bool *end_out)
{
    if (buf_reserve(buf, CHUNK) != 0)
        return cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
    for (;;) {
        ssize_t n = read(fd, buf->data + buf->len, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cannot_read(cli, name);
        buf->len += (size_t)n;
        *end_out = n == 0;
        return EXIT_OK;
    }
}

int input_argument(struct cli *cli, const char *text, size_t bytes_max, struct buf *out)
{
    bool end = false;
    int fd = -1;

    if (text == NULL)
        return EXIT_OK;
    if (strcmp(text, "-") != 0 && text[0] != '@')
        return buf_append(out, text, strlen(text)) == 0
                   ? EXIT_OK
                   : cli_fail(cli, EXIT_FAILED, NULL, "out of memory");
    const char *name = text[0] == '@' ? text + 1 : "stdin";
    int x = open_input(cli, text[0] == '@' ? name : "-", &fd);
    while (x == EXIT_OK && !end) {
        x = read_more(cli, fd, name, out, &end);
        if (x == EXIT_OK && out->len > bytes_max)
            x = cli_fail(cli, EXIT_USAGE, NULL,
                         "%s has more than %zu bytes, the most an argument can have", name,
                         bytes_max);
    }
    close_input(fd);
    return x;
}

int input_lines_open(struct cli *cli, struct input_lines *lines, const char *path, size_t bytes_max)
{
    *lines = (struct input_lines){.fd = -1, .bytes_max = bytes_max};
    lines->name = path == NULL || strcmp(path, "-") == 0 ? "stdin" : path;
    return open_input(cli, path, &lines->fd);
}

void input_lines_close(struct input_lines *lines)
{
    close_input(lines->fd);
    buf_deinit(&lines->buf);
    *lines = (struct input_lines){.fd = -1};
}

bool input_lines_ready(const struct input_lines *lines)
{
    struct pollfd fd = {.fd = lines->fd, .events = POLLIN};
    size_t len = lines->buf.len - lines->at;

    if (lines->end || (len > 0 && memchr(lines->buf.data + lines->at, '\n', len) != NULL))
        return true;
    return poll(&fd, 1, 0) > 0;
}

int input_lines_next(struct cli *cli,
                     struct input_lines *lines,
                     const char **text_out,
                     size_t *len_out)
{
    size_t seen = 0; /* bytes behind `at` known to hold no newline */

    for (;;) {
        const char *start = lines->buf.len > 0 ? (const char *)lines->buf.data + lines->at : "";
        size_t len = lines->buf.len - lines->at;
        const char *nl = len > seen ? memchr(start + seen, '\n', len - seen) : NULL;
        size_t line_len = nl != NULL ? (size_t)(nl - start) : len;
        if (line_len > lines->bytes_max)
            return cli_fail(cli, EXIT_USAGE, NULL,
                            "%s:%llu: the line has more than %zu bytes, the most an item can have",
                            lines->name, (unsigned long long)lines->line + 1, lines->bytes_max);
        if (nl != NULL || (lines->end && len > 0)) {
            *text_out = start;
            *len_out = line_len;
            lines->at += line_len + (nl != NULL);
            lines->line++;
            return EXIT_OK;
        }
        if (lines->end) {
            *text_out = NULL;
            *len_out = 0;
            return EXIT_OK;
        }
        seen = len;
        buf_consume(&lines->buf, lines->at);
        lines->at = 0;
        int x = read_more(cli, lines->fd, lines->name, &lines->buf, &lines->end);
        if (x != EXIT_OK)
            return x;
    }
}

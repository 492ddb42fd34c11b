/* kith debug bundle: all that a node knows of itself, in one file. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "core/text.h"

static int write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* A file of its own, which must not be there yet. The exit code. */
static int save(struct cli *cli, const char *path, const uint8_t *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int why = fd < 0 ? errno : write_all(fd, data, len);

    if (fd >= 0 && close(fd) != 0 && why == 0)
        why = errno;
    if (why == 0)
        return EXIT_OK;
    if (fd >= 0)
        (void)unlink(path);
    return cli_fail(cli, why == EEXIST ? EXIT_CONFLICT : EXIT_FAILED,
                    why == EEXIST ? "kith debug bundle --out OTHER" : NULL,
                    "%s cannot be written: %s", path, strerror(why));
}

int cmd_debug_bundle(struct cli *cli)
{
    const char *out = args_text(&cli->args, "out");
    char path[300], size[32];
    struct cli_reply reply;
    int x = cli_ask(cli, "debug.bundle", NULL, CLI_ANSWER_MS, &reply);

    if (x != EXIT_OK)
        return x;
    if (out != NULL && strcmp(out, "-") == 0) {
        int why = write_all(STDOUT_FILENO, reply.data, reply.data_len);
        return why == 0 ? EXIT_OK
                        : cli_fail(cli, EXIT_FAILED, NULL, "stdout cannot be written: %s",
                                   strerror(why));
    }
    if (out == NULL) {
        snprintf(path, sizeof(path), "%s.tar", cli_json_text(reply.result, "name"));
        out = path;
    }
    x = save(cli, out, reply.data, reply.data_len);
    if (x != EXIT_OK)
        return x;
    if (cli->json)
        return cli_print_json(cli,
                              json_pack("{s:s,s:s,s:I}", "schema", "kith.debug.bundle/1", "file",
                                        out, "bytes", (json_int_t)reply.data_len),
                              "kith.debug.bundle/1");
    cli_say(cli, "%s (%s): no secrets are in it; names, addresses and paths are", out,
            text_size(reply.data_len, size, sizeof(size)));
    return EXIT_OK;
}

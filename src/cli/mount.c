/* kith fs mount: checks what can be checked, and becomes the parent of kith-mount. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"

#define DEVICE "/dev/fuse"

/* Whether this machine can mount at all. */
static int check_device(struct cli *cli)
{
    int fd = open(DEVICE, O_RDWR | O_CLOEXEC);
    int why = errno;

    if (fd >= 0) {
        (void)close(fd);
        return EXIT_OK;
    }
    if (why == ENOENT || why == ENODEV || why == ENXIO)
        return cli_fail(cli, EXIT_FAILED, "modprobe fuse; a container needs --device " DEVICE,
                        "this machine has no " DEVICE
                        ", without which nothing can be mounted here");
    return cli_fail(cli, EXIT_NOT_ALLOWED,
                    "as root; a container needs --device " DEVICE " and --cap-add SYS_ADMIN",
                    DEVICE " cannot be used: %s", strerror(why));
}

static int check_mountpoint(struct cli *cli, const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return errno == ENOTCONN
                   ? cli_fail(cli, EXIT_CONFLICT, "umount the directory first",
                              "%s is what is left of a mount whose program has ended", path)
                   : cli_fail(cli, EXIT_NOT_FOUND, "mkdir the directory first",
                              "%s cannot be mounted on: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return cli_fail(cli, EXIT_USAGE, NULL, "%s is no directory", path);
    return EXIT_OK;
}

static int run(struct cli *cli, const char *program, const char *const *args)
{
    /* exec's prototype is older than const; it does not write to them. */
    union {
        const char *const *in;
        char *const *out;
    } argv = {.in = args};
    int status = 0;

    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        (void)execv(program, argv.out);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            pid = -1;
    if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) == 127)
        return cli_fail(cli, EXIT_FAILED, NULL, "%s cannot be run, or was ended by a signal",
                        program);
    return WEXITSTATUS(status) == 0
               ? EXIT_OK
               : cli_fail(cli, EXIT_FAILED, NULL, "nothing is mounted, for the reason above");
}

int cmd_fs_mount(struct cli *cli)
{
    const char *where = cli_arg(cli, 0);
    bool foreground = args_flag(&cli->args, "foreground");
    char program[4200];
    int x = cli_connect(cli); /* an agent that does not answer is said now */

    if (x == EXIT_OK)
        x = check_mountpoint(cli, where);
    if (x == EXIT_OK)
        x = check_device(cli);
    if (x == EXIT_OK)
        x = cli_find_program(cli, "kith-mount", program, sizeof(program));
    if (x != EXIT_OK)
        return x;
    const char *args[8] = {"kith-mount", "--socket", cli->socket_path};
    size_t n = 3;
    if (foreground)
        args[n++] = "--foreground";
    if (args_flag(&cli->args, "read-only"))
        args[n++] = "--read-only";
    args[n++] = "--";
    args[n] = where;
    if (foreground)
        cli_say(cli, "%s: all shares; Ctrl-C ends it", where);
    x = run(cli, program, args);
    if (x == EXIT_OK && !foreground)
        cli_say(cli, "%s: all shares; umount %s ends it", where, where);
    return x;
}

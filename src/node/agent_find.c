/* Which agent a command or a program talks to (see agent_client.h). */
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "core/limits.h"
#include "core/text.h"
#include "net/data_dir.h"
#include "node/agent_client.h"

/* "@dir/@file", or @dir alone if @file is NULL. */
static int put_path(char *out, size_t out_bytes, const char *dir, const char *file)
{
    size_t len = strlen(dir) + (file != NULL ? 1 + strlen(file) : 0);

    if (len > AGENT_SOCKET_PATH_MAX || len >= out_bytes)
        return kith_fail_with(KITH_E_TOO_LARGE,
                              "the socket path %.200s... has %zu bytes, %d are possible: choose a "
                              "shorter data directory",
                              dir, len, AGENT_SOCKET_PATH_MAX);
    snprintf(out, out_bytes, "%s%s%s", dir, file != NULL ? "/" : "", file != NULL ? file : "");
    return 0;
}

int agent_dev_dir_default(char *out, size_t out_bytes)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int n;

    if (state != NULL && state[0] == '/') {
        n = snprintf(out, out_bytes, "%s/kith-dev", state);
    } else {
        if (home == NULL || home[0] != '/') {
            const struct passwd *user = getpwuid(getuid());
            home = user != NULL ? user->pw_dir : NULL;
        }
        if (home == NULL)
            return kith_fail_with(KITH_E_NOT_FOUND,
                                  "there is no home directory for dev nodes: give --dir DIR");
        n = snprintf(out, out_bytes, "%s/.local/state/kith-dev", home);
    }
    if (n < 0 || (size_t)n >= out_bytes)
        return kith_fail_with(KITH_E_TOO_LARGE,
                              "the path of the dev nodes is too long: give --dir DIR");
    return 0;
}

static bool answers(const char *path)
{
    struct agent_client *client = NULL;

    if (agent_client_open(&client, path) != 0)
        return false;
    agent_client_close(client);
    return true;
}

unsigned agent_dev_first(const char *dir)
{
    char path[4400];
    unsigned first = 0;
    uint64_t k;
    DIR *list = opendir(dir);

    if (list == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(list)) != NULL;) {
        if (text_parse_u64(entry->d_name, 1, 100000, &k) != 0 || (first != 0 && k > first))
            continue;
        snprintf(path, sizeof(path), "%s/%llu/" AGENT_SOCKET_NAME, dir, (unsigned long long)k);
        if (answers(path))
            first = (unsigned)k;
    }
    (void)closedir(list);
    return first;
}

static int find_dev(char *path_out, size_t path_bytes)
{
    char dir[4096];
    char name[48];

    if (agent_dev_dir_default(dir, sizeof(dir)) != 0)
        return KITH_E_NO_AGENT;
    unsigned first = agent_dev_first(dir);
    if (first == 0)
        return KITH_E_NO_AGENT;
    snprintf(name, sizeof(name), "%u/" AGENT_SOCKET_NAME, first);
    return put_path(path_out, path_bytes, dir, name);
}

int agent_socket_find(const char *choice, char *path_out, size_t path_bytes)
{
    char dir[4096];
    struct stat st;

    if (choice == NULL || choice[0] == '\0') {
        choice = getenv("KITH_SOCKET");
        if (choice != NULL && choice[0] == '\0')
            choice = NULL;
    }
    if (choice != NULL) {
        if (stat(choice, &st) == 0 && S_ISDIR(st.st_mode))
            return put_path(path_out, path_bytes, choice, AGENT_SOCKET_NAME);
        return put_path(path_out, path_bytes, choice, NULL);
    }
    int r = data_dir_default(dir, sizeof(dir));
    if (r == 0)
        r = put_path(path_out, path_bytes, dir, AGENT_SOCKET_NAME);
    if (r == 0 && answers(path_out))
        return 0;
    if (find_dev(path_out, path_bytes) == 0)
        return 0;
    if (r != 0)
        return r;
    return kith_fail_with(KITH_E_NO_AGENT,
                          "no agent runs here: start one with kith agent (after kith init or kith "
                          "join), or try kith dev 3; --data-dir and --socket choose another");
}

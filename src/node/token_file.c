/* Reading a secret file (see token.h): the only part of tokens that touches a disk. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/error.h"
#include "net/data_dir.h"
#include "node/token.h"

#define SECRET_HEX_DIGITS (2 * NET_SECRET_BYTES)

/* All nodes with the same secret must agree on the cluster id, so it follows from the secret. */
static void token_from_secret(struct token *token)
{
    static const uint8_t label[] = "kith cluster id of a shared secret";

    crypto_generichash(token->cluster.id.bytes, NET_CLUSTER_ID_BYTES, token->cluster.secret,
                       NET_SECRET_BYTES, label, sizeof(label) - 1);
    memcpy(token->cluster_name, "cluster", sizeof("cluster"));
    token->addresses_n = 0;
}

/* A cluster.key is read by the room that writes it, which goes by the name of the file. */
static int token_from_key_file(const char *path, struct token *token)
{
    char parent[4096];
    char name[64];
    struct data_dir dir = {.lock_fd = -1};

    if (strlen(path) >= sizeof(parent))
        return kith_fail_with(KITH_E_TOO_LARGE, "the path %.60s... is too long", path);
    memcpy(parent, path, strlen(path) + 1);
    dir.path = dirname(parent);
    int r = data_dir_cluster(&dir, &token->cluster, name);
    if (r != 0)
        return r;
    memcpy(token->cluster_name, name, sizeof(name));
    token->addresses_n = 0;
    return 0;
}

static bool is_key_file(const char *path)
{
    const char *slash = strrchr(path, '/');

    return strcmp(slash != NULL ? slash + 1 : path, "cluster.key") == 0;
}

static int read_text(const char *path, char *out, size_t out_bytes, size_t *len_out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t at = 0;

    if (fd < 0) {
        int code = errno == ENOENT   ? KITH_E_NOT_FOUND
                   : errno == EACCES ? KITH_E_PERMISSION
                                     : KITH_E_IO;
        return kith_fail_with(code, "the secret file %s cannot be read: %s%s", path,
                              strerror(errno), core_errno_advice(errno));
    }
    while (at < out_bytes) {
        ssize_t n = read(fd, out + at, out_bytes - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int code = kith_fail_with(KITH_E_IO, "%s cannot be read: %s%s", path, strerror(errno),
                                      core_errno_advice(errno));
            (void)close(fd);
            return code;
        }
        if (n == 0)
            break;
        at += (size_t)n;
    }
    (void)close(fd);
    *len_out = at;
    return 0;
}

int token_read_secret_file(const char *path, struct token *token_out)
{
    char text[TOKEN_TEXT_MAX + 256];
    char digits[SECRET_HEX_DIGITS + 1];
    size_t len = 0;
    int r;

    *token_out = (struct token){0};
    if (access(path, F_OK) == 0) {
        r = data_dir_check_private(path);
        if (r != 0)
            return r;
    }
    if (is_key_file(path))
        return token_from_key_file(path, token_out);
    r = read_text(path, text, sizeof(text), &len);
    if (r != 0)
        return r;
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == ' '))
        len--;
    if (len == SECRET_HEX_DIGITS) {
        memcpy(digits, text, len);
        digits[len] = '\0';
        r = hex_decode(digits, token_out->cluster.secret, NET_SECRET_BYTES);
        sodium_memzero(digits, sizeof(digits));
        if (r == 0)
            token_from_secret(token_out);
        else
            r = kith_fail_with(KITH_E_PARSE, "%s holds 64 characters that are not hex digits",
                               path);
    } else if (len >= 4 && memcmp(text, "kith", 4) == 0) {
        r = token_decode(text, len, token_out);
    } else {
        r = kith_fail_with(KITH_E_PARSE,
                           "%s holds no cluster secret: put a join token (kith invite), 64 hex "
                           "digits, or a copy of a node's cluster.key under that name there",
                           path);
    }
    sodium_memzero(text, sizeof(text));
    return r;
}

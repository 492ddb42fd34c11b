/*
 * The data directory on POSIX systems.
 *
 * Key files are short texts of "name = value" lines, so that people can see what they hold; each
 * has a field that proves the others undamaged. A file is replaced as a whole: temporary file,
 * fsync, rename, fsync of the directory; after a power cut it is the old one or the new one. An
 * fsync that failed is never tried again: the caller stops (protocols 5.9).
 */
#include "net/data_dir.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "net/peer_cache.h"

#define KEY_FILE_BYTES_MAX  4096
#define NUMBER_BYTES_MAX    64
#define CLUSTER_CHECK_BYTES 16

static const char key_file[] = "node.key";
static const char cluster_file[] = "cluster.key";
static const char boot_file[] = "boot_no";
static const char port_file[] = "port";
static const char expect_file[] = "view.expect";
static const char peers_file[] = "peers";
static const char lock_file[] = "lock";

/* ---- paths ---- */

/* PATH/PREFIXnameSUFFIX in @out of PATH_MAX bytes. */
static int path_of(const struct data_dir *dir,
                   const char *prefix,
                   const char *name,
                   const char *suffix,
                   char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%s/%s%s%s", dir->path, prefix, name, suffix);

    assert(strchr(name, '/') == NULL);
    if (n < 0 || n >= PATH_MAX)
        return kith_fail_with(KITH_E_INVALID, "data directory %s: the path is too long", dir->path);
    return 0;
}

/* KITH_E_* of an errno about @path. */
static int io_failed(const char *what, const char *path)
{
    int code = KITH_E_IO;

    if (errno == ENOENT)
        code = KITH_E_NOT_FOUND;
    else if (errno == EACCES || errno == EPERM)
        code = KITH_E_PERMISSION;
    return kith_fail_with(code, "%s %s: %s%s", what, path, strerror(errno),
                          core_errno_advice(errno));
}

/* As mkdir -p, private. */
static int make_dirs(const char *path)
{
    core_autofree char *copy = core_strndup(path, strlen(path));

    if (copy == NULL)
        return KITH_E_MEMORY;
    for (char *slash = copy + 1;; slash++) {
        char c;

        slash += strcspn(slash, "/");
        c = *slash;
        *slash = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            return io_failed("cannot make directory", copy);
        if (c == '\0')
            return 0;
        *slash = c;
    }
}

int data_dir_default(char *out, size_t out_bytes)
{
    const char *dir =
        getenv("STATE_DIRECTORY"); /* systemd gives our own; several are set apart by ':' */
    const char *xdg = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int n;

    if (dir != NULL && dir[0] == '/')
        n = snprintf(out, out_bytes, "%.*s", (int)strcspn(dir, ":"), dir);
    else if (xdg != NULL && xdg[0] == '/')
        n = snprintf(out, out_bytes, "%s/kith", xdg);
    else if (geteuid() == 0)
        n = snprintf(out, out_bytes, "/var/lib/kith");
    else if (home != NULL && home[0] == '/')
        n = snprintf(out, out_bytes, "%s/.local/state/kith", home);
    else
        return kith_fail_with(
            KITH_E_NOT_FOUND,
            "data directory: neither XDG_STATE_HOME nor HOME is set; give --data-dir");
    if (n < 0 || (size_t)n >= out_bytes)
        return kith_fail_with(KITH_E_INVALID,
                              "data directory: its path is too long; give --data-dir");
    return 0;
}

int data_dir_check_private(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return io_failed("cannot read", path);
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return kith_fail_with(KITH_E_PERMISSION,
                              "%s: others may use it (mode %04o); run: chmod 0600 %s", path,
                              (unsigned)(st.st_mode & 07777), path);
    return 0;
}

/* ---- the lock ---- */

static int in_use(const char *path, int fd)
{
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return kith_fail_with(
        KITH_E_IN_USE,
        "data directory %s: in use by process %s; stop it or give another --data-dir", path,
        text[0] != '\0' ? text : "(unknown)");
}

static int take_lock(struct data_dir *dir)
{
    char path[PATH_MAX];
    char text[32];
    int fd, n, r;

    r = path_of(dir, "", lock_file, "", path);
    if (r != 0)
        return r;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return io_failed("cannot open", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        r = errno == EWOULDBLOCK ? in_use(dir->path, fd) : io_failed("cannot lock", path);
        close(fd);
        return r;
    }
    /* The pid is only for the sentence above; the lock itself is what counts. */
    n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
        r = io_failed("cannot write", path);
        close(fd);
        return r;
    }
    dir->lock_fd = fd;
    return 0;
}

int data_dir_open(struct data_dir *dir, const char *path, bool create)
{
    struct stat st;
    int r = 0;

    *dir = (struct data_dir){.lock_fd = -1};
    if (create)
        r = make_dirs(path);
    if (r != 0)
        return r;
    if (stat(path, &st) != 0)
        return io_failed("data directory", path);
    if (!S_ISDIR(st.st_mode))
        return kith_fail_with(KITH_E_INVALID, "data directory %s: it is not a directory", path);
    dir->path = core_strndup(path, strlen(path));
    if (dir->path == NULL)
        return KITH_E_MEMORY;
    r = take_lock(dir);
    if (r != 0)
        data_dir_close(dir);
    return r;
}

void data_dir_close(struct data_dir *dir)
{
    if (dir->path == NULL)
        return;
    if (dir->lock_fd >= 0) {
        (void)!ftruncate(dir->lock_fd, 0);
        close(dir->lock_fd); /* and with it the lock; the file stays, or two could each lock their
                                own */
    }
    core_free(dir->path);
    *dir = (struct data_dir){.lock_fd = -1};
}

/* ---- whole files ---- */

static int sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = 0;

    if (fd < 0)
        return io_failed("cannot open", path);
    if (fsync(fd) != 0)
        r = kith_fail_with(KITH_E_IO, "cannot sync %s: %s%s", path, strerror(errno),
                           core_errno_advice(errno));
    close(fd);
    return r;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Writes and syncs a fresh private file at @path. */
static int write_file(const char *path, const uint8_t *data, size_t len)
{
    int fd, r = 0;

    (void)unlink(path); /* a left-over of a crash */
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return io_failed("cannot write", path);
    if (write_all(fd, data, len) != 0 || fsync(fd) != 0)
        r = kith_fail_with(KITH_E_IO, "cannot write %s: %s%s", path, strerror(errno),
                           core_errno_advice(errno));
    if (close(fd) != 0 && r == 0)
        r = kith_fail_with(KITH_E_IO, "cannot write %s: %s%s", path, strerror(errno),
                           core_errno_advice(errno));
    return r;
}

int data_dir_write(const struct data_dir *dir, const char *name, const void *data, size_t len)
{
    char temp[PATH_MAX], path[PATH_MAX];
    int r;

    r = path_of(dir, ".", name, ".tmp", temp);
    if (r == 0)
        r = path_of(dir, "", name, "", path);
    if (r != 0)
        return r;
    r = write_file(temp, (const uint8_t *)data, len);
    if (r == 0 && rename(temp, path) != 0)
        r = kith_fail_with(KITH_E_IO, "cannot replace %s: %s%s", path, strerror(errno),
                           core_errno_advice(errno));
    if (r != 0) {
        (void)unlink(temp);
        return r;
    }
    return sync_dir(dir->path);
}

int data_dir_remove(const struct data_dir *dir, const char *name)
{
    char path[PATH_MAX];
    int r = path_of(dir, "", name, "", path);

    if (r != 0)
        return r;
    if (unlink(path) != 0)
        return errno == ENOENT ? 0
                               : kith_fail_with(KITH_E_IO, "cannot remove %s: %s%s", path,
                                                strerror(errno), core_errno_advice(errno));
    return sync_dir(dir->path);
}

/* Reads up to @bytes_max, and one more to see that there is no more. */
static int read_all(int fd, const char *path, size_t bytes_max, struct buf *out)
{
    int r;

    out->len = 0;
    for (;;) {
        ssize_t n;

        r = buf_reserve(out, 4096);
        if (r != 0)
            return r;
        n = read(fd, out->data + out->len, out->cap - out->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return kith_fail_with(KITH_E_IO, "cannot read %s: %s%s", path, strerror(errno),
                                  core_errno_advice(errno));
        if (n == 0)
            return 0;
        out->len += (size_t)n;
        if (out->len > bytes_max)
            return kith_fail_with(KITH_E_TOO_LARGE, "%s: larger than %zu bytes", path, bytes_max);
    }
}

int data_dir_read(const struct data_dir *dir, const char *name, size_t bytes_max, struct buf *out)
{
    char path[PATH_MAX];
    int fd, r;

    r = path_of(dir, "", name, "", path);
    if (r != 0)
        return r;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return io_failed("cannot read", path);
    r = read_all(fd, path, bytes_max, out);
    close(fd);
    return r;
}

/* ---- "name = value" ---- */

/*
 * The value of line @name in the text @file, in @out. False if there is none, or it does not fit.
 */
static bool value_of(const struct buf *file, const char *name, char *out, size_t out_bytes)
{
    const char *at = (const char *)file->data;
    const char *end = at + file->len;
    size_t name_len = strlen(name);

    while (at < end) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((eol != NULL ? eol : end) - at);

        if (len >= name_len + 3 && memcmp(at, name, name_len) == 0 &&
            memcmp(at + name_len, " = ", 3) == 0) {
            len -= name_len + 3;
            if (len >= out_bytes || memchr(at, '\0', name_len + 3 + len) != NULL)
                return false;
            memcpy(out, at + name_len + 3, len);
            out[len] = '\0';
            return true;
        }
        if (eol == NULL)
            return false;
        at = eol + 1;
    }
    return false;
}

static bool hex_value_of(const struct buf *file, const char *name, uint8_t *out, size_t len)
{
    char text[2 * 64 + 1];
    bool found;

    assert(2 * len < sizeof text);
    found = value_of(file, name, text, sizeof text) && hex_decode(text, out, len) == 0;
    sodium_memzero(text, sizeof text);
    return found;
}

/* Reads a private file; refuses it if others may read it. */
static int read_private(const struct data_dir *dir, const char *name, struct buf *out)
{
    char path[PATH_MAX];
    int r;

    r = path_of(dir, "", name, "", path);
    if (r != 0)
        return r;
    r = data_dir_check_private(path);
    return r != 0 ? r : data_dir_read(dir, name, KEY_FILE_BYTES_MAX, out);
}

static void wipe_buf(struct buf *buf)
{
    if (buf->data != NULL)
        sodium_memzero(buf->data, buf->cap);
    buf_deinit(buf);
}

/* ---- the node's key ---- */

static int parse_identity(const struct data_dir *dir,
                          const struct buf *file,
                          struct net_identity *identity_out)
{
    uint8_t seed[NET_SEED_BYTES];
    struct kith_node_id id;
    int r = KITH_E_CORRUPT;

    if (hex_value_of(file, "seed", seed, sizeof seed) &&
        hex_value_of(file, "id", id.bytes, sizeof id.bytes))
        r = net_identity_from_seed(identity_out, seed);
    sodium_memzero(seed, sizeof seed);
    if (r == 0 && memcmp(id.bytes, identity_out->id.bytes, sizeof id.bytes) == 0)
        return 0;
    net_identity_wipe(identity_out);
    return kith_fail_with(
        KITH_E_CORRUPT,
        "%s/%s: the key file is damaged; restore it, or remove it to become a new node", dir->path,
        key_file);
}

static int make_identity(const struct data_dir *dir, struct net_identity *identity_out)
{
    uint8_t seed[NET_SEED_BYTES];
    char id[KITH_NODE_ID_DIGITS + 1], seed_text[2 * NET_SEED_BYTES + 1];
    struct buf file = {0};
    int r;

    randombytes_buf(seed, sizeof seed);
    r = net_identity_from_seed(identity_out, seed);
    hex_encode(seed, sizeof seed, seed_text);
    sodium_memzero(seed, sizeof seed);
    if (r == 0)
        r = buf_printf(
            &file,
            "# Key of a kith node. Whoever has it is this node: keep it to this machine.\n"
            "id = %s\nseed = %s\n",
            kith_node_id_text(&identity_out->id, id), seed_text);
    sodium_memzero(seed_text, sizeof seed_text);
    if (r == 0)
        r = data_dir_write(dir, key_file, file.data, file.len);
    wipe_buf(&file);
    if (r != 0)
        net_identity_wipe(identity_out);
    return r;
}

int data_dir_identity(const struct data_dir *dir, bool create, struct net_identity *identity_out)
{
    struct buf file = {0};
    int r = read_private(dir, key_file, &file);

    if (r == 0)
        r = parse_identity(dir, &file, identity_out);
    else if (r == KITH_E_NOT_FOUND && create)
        r = make_identity(dir, identity_out);
    else if (r == KITH_E_TOO_LARGE)
        r = KITH_E_CORRUPT;
    wipe_buf(&file);
    return r;
}

/* ---- the cluster ---- */

static void cluster_check(const struct net_cluster *cluster,
                          const char *name,
                          char out[2 * CLUSTER_CHECK_BYTES + 1])
{
    crypto_generichash_blake2b_state state;
    uint8_t sum[CLUSTER_CHECK_BYTES];

    crypto_generichash_blake2b_init(&state, cluster->secret, sizeof cluster->secret,
                                    CLUSTER_CHECK_BYTES);
    crypto_generichash_blake2b_update(&state, cluster->id.bytes, sizeof cluster->id.bytes);
    crypto_generichash_blake2b_update(&state, (const uint8_t *)name, strlen(name));
    crypto_generichash_blake2b_final(&state, sum, sizeof sum);
    hex_encode(sum, sizeof sum, out);
}

static bool is_cluster_name(const char *name)
{
    return strlen(name) < DATA_DIR_CLUSTER_NAME_BYTES && text_is_node_name(name);
}

int data_dir_cluster(const struct data_dir *dir,
                     struct net_cluster *cluster_out,
                     char name_out[DATA_DIR_CLUSTER_NAME_BYTES])
{
    char check[2 * CLUSTER_CHECK_BYTES + 1], right[2 * CLUSTER_CHECK_BYTES + 1];
    struct buf file = {0};
    int r = read_private(dir, cluster_file, &file);

    if (r == KITH_E_NOT_FOUND)
        return kith_fail_with(KITH_E_NO_CLUSTER,
                              "data directory %s: no cluster yet; run `kith init` for a new one or "
                              "`kith join TOKEN` for an existing one",
                              dir->path);
    if (r != 0 && r != KITH_E_TOO_LARGE) {
        wipe_buf(&file);
        return r;
    }
    if (r == 0 && hex_value_of(&file, "id", cluster_out->id.bytes, NET_CLUSTER_ID_BYTES) &&
        hex_value_of(&file, "secret", cluster_out->secret, NET_SECRET_BYTES) &&
        value_of(&file, "name", name_out, DATA_DIR_CLUSTER_NAME_BYTES) &&
        value_of(&file, "check", check, sizeof check)) {
        cluster_check(cluster_out, name_out, right);
        r = strcmp(check, right) == 0 ? 0 : KITH_E_CORRUPT;
    } else {
        r = KITH_E_CORRUPT;
    }
    wipe_buf(&file);
    if (r == 0)
        return 0;
    net_cluster_wipe(cluster_out);
    return kith_fail_with(r,
                          "%s/%s: the file is damaged; run `kith join TOKEN` with a token from a "
                          "node of the cluster",
                          dir->path, cluster_file);
}

int data_dir_set_cluster(const struct data_dir *dir,
                         const struct net_cluster *cluster,
                         const char *name)
{
    char id[2 * NET_CLUSTER_ID_BYTES + 1], secret[2 * NET_SECRET_BYTES + 1];
    char check[2 * CLUSTER_CHECK_BYTES + 1];
    struct buf file = {0};
    int r;

    if (!is_cluster_name(name))
        return kith_fail_with(KITH_E_NAME, "cluster name: use 1 to %d of a-z A-Z 0-9 - _ .",
                              DATA_DIR_CLUSTER_NAME_BYTES - 1);
    hex_encode(cluster->id.bytes, sizeof cluster->id.bytes, id);
    hex_encode(cluster->secret, sizeof cluster->secret, secret);
    cluster_check(cluster, name, check);
    r = buf_printf(&file,
                   "# A kith cluster. Whoever has the secret may join: keep it to its members.\n"
                   "name = %s\nid = %s\nsecret = %s\ncheck = %s\n",
                   name, id, secret, check);
    sodium_memzero(secret, sizeof secret);
    if (r == 0)
        r = data_dir_write(dir, cluster_file, file.data, file.len);
    wipe_buf(&file);
    return r;
}

/* ---- numbers ---- */

/* A file of one decimal number; 0 if there is none. */
static int read_number(const struct data_dir *dir, const char *name, uint64_t max, uint64_t *out)
{
    struct buf file = {0};
    int r = data_dir_read(dir, name, NUMBER_BYTES_MAX, &file);

    *out = 0;
    if (r == KITH_E_NOT_FOUND) {
        buf_deinit(&file);
        return 0;
    }
    if (r == 0 && file.len > 0 && file.data[file.len - 1] == '\n')
        file.len--;
    if (r == 0)
        r = buf_append_u8(&file, 0);
    if (r == 0 && (strlen((char *)file.data) != file.len - 1 ||
                   text_parse_u64((char *)file.data, 0, max, out) != 0))
        r = KITH_E_CORRUPT;
    if (r == KITH_E_TOO_LARGE || r == KITH_E_CORRUPT)
        r = kith_fail_with(KITH_E_CORRUPT, "%s/%s: it holds no number; remove it", dir->path, name);
    buf_deinit(&file);
    return r;
}

static int write_number(const struct data_dir *dir, const char *name, uint64_t value)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%llu\n", (unsigned long long)value);

    return data_dir_write(dir, name, text, (size_t)n);
}

int data_dir_next_boot(const struct data_dir *dir, uint64_t above, uint64_t *boot_no_out)
{
    uint64_t boot_no;
    int r = read_number(dir, boot_file, UINT64_MAX, &boot_no);

    if (r != 0)
        return r;
    if (boot_no < above)
        boot_no = above;
    if (boot_no == UINT64_MAX)
        return kith_fail_with(KITH_E_LIMIT,
                              "%s/%s: boot numbers are used up; remove %s to become a new node",
                              dir->path, boot_file, key_file);
    boot_no++;
    r = write_number(dir, boot_file, boot_no);
    if (r == 0)
        *boot_no_out = boot_no;
    return r;
}

int data_dir_port(const struct data_dir *dir, uint16_t *port_out)
{
    uint64_t port;
    int r = read_number(dir, port_file, UINT16_MAX, &port);

    *port_out = (uint16_t)port;
    return r;
}

int data_dir_set_port(const struct data_dir *dir, uint16_t port)
{
    return write_number(dir, port_file, port);
}

int data_dir_expect(const struct data_dir *dir, uint32_t *nodes_n_out)
{
    uint64_t nodes_n;
    int r = read_number(dir, expect_file, UINT32_MAX, &nodes_n);

    *nodes_n_out = (uint32_t)nodes_n;
    return r;
}

int data_dir_set_expect(const struct data_dir *dir, uint32_t nodes_n)
{
    if (nodes_n > 0)
        return write_number(dir, expect_file, nodes_n);
    int r = data_dir_remove(dir, expect_file);
    return r == KITH_E_NOT_FOUND ? 0 : r;
}

/* ---- peers ---- */

static int check_peers(const struct buf *file)
{
    struct peer_cache_reader reader;
    struct peer_entry entry;
    int r = peer_cache_open(&reader, file->data, file->len);

    while (r == 0) {
        r = peer_cache_next(&reader, &entry);
        if (r == 0)
            return 0;
        if (r == 1)
            r = 0;
    }
    return r;
}

int data_dir_peers(const struct data_dir *dir, struct buf *out)
{
    char path[PATH_MAX], bad[PATH_MAX];
    int r = data_dir_read(dir, peers_file, PEER_CACHE_BYTES_MAX, out);

    if (r == 0)
        r = check_peers(out);
    if (r != KITH_E_CORRUPT && r != KITH_E_LIMIT && r != KITH_E_TOO_LARGE)
        return r;
    out->len = 0;
    if (path_of(dir, "", peers_file, "", path) != 0 ||
        path_of(dir, "", peers_file, ".bad", bad) != 0 || rename(path, bad) != 0)
        return kith_fail_with(KITH_E_CORRUPT, "%s/%s: damaged; starting without it", dir->path,
                              peers_file);
    return kith_fail_with(
        KITH_E_CORRUPT,
        "%s: damaged; kept as %s.bad; this node starts without known peers and needs "
        "a --seed, or a peer that calls it",
        path, peers_file);
}

int data_dir_set_peers(const struct data_dir *dir, const struct buf *file)
{
    return data_dir_write(dir, peers_file, file->data, file->len);
}

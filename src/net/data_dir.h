/*
 * The files of a data directory (posix; data_dir_posix.c): node.key, boot_no, cluster.key, port,
 * peers, lock. Every write is temp, fsync, rename, fsync of the directory (protocols 5.9). All
 * blocking: called before the loop runs, or for the peer cache from a worker.
 */
#ifndef NET_DATA_DIR_H
#define NET_DATA_DIR_H

#include "core/bytes.h"
#include "net/identity.h"

struct data_dir {
    char *path;
    int lock_fd; /* -1: not locked */
};

#define DATA_DIR_CLUSTER_NAME_BYTES 64 /* with its NUL */

/*
 * Opens (and with @create makes, mode 0700) the directory and takes its lock file.
 * 0; KITH_E_IN_USE (names the pid that holds it); KITH_E_NOT_FOUND; KITH_E_PERMISSION; KITH_E_IO.
 */
int data_dir_open(struct data_dir *dir, const char *path, bool create);
void data_dir_close(struct data_dir *dir);

/* Atomically replaces NAME in the directory with @data, mode 0600. 0 or KITH_E_IO. */
int data_dir_write(const struct data_dir *dir, const char *name, const void *data, size_t len);
/* Removes NAME, durably; fine if it is not there. 0 or KITH_E_IO. */
int data_dir_remove(const struct data_dir *dir, const char *name);
/* Reads NAME (at most @bytes_max). 0, KITH_E_NOT_FOUND, KITH_E_TOO_LARGE, KITH_E_IO. */
int data_dir_read(const struct data_dir *dir, const char *name, size_t bytes_max, struct buf *out);

/*
 * The node's key: read, or made with @create. KITH_E_PERMISSION if group or others may read it; the
 * sentence prints the chmod. KITH_E_CORRUPT, KITH_E_NOT_FOUND.
 */
int data_dir_identity(const struct data_dir *dir, bool create, struct net_identity *identity_out);

/* Cluster id and secret. KITH_E_NO_CLUSTER if there is none; KITH_E_PERMISSION as above. */
int data_dir_cluster(const struct data_dir *dir,
                     struct net_cluster *cluster_out,
                     char name_out[DATA_DIR_CLUSTER_NAME_BYTES]);
int data_dir_set_cluster(const struct data_dir *dir,
                         const struct net_cluster *cluster,
                         const char *name);

/* Adds one to boot_no, at least @above + 1, durably, and gives the new one. */
int data_dir_next_boot(const struct data_dir *dir, uint64_t above, uint64_t *boot_no_out);

/* The port the kernel once chose; 0 if none is kept. */
int data_dir_port(const struct data_dir *dir, uint16_t *port_out);
int data_dir_set_port(const struct data_dir *dir, uint16_t port);

/*
 * How many nodes make the first view of the cluster together: 1 for the node that `kith init` made,
 * 0 for all others and once there is a view. Setting 0 removes the file.
 */
int data_dir_expect(const struct data_dir *dir, uint32_t *nodes_n_out);
int data_dir_set_expect(const struct data_dir *dir, uint32_t nodes_n);

/*
 * The peers file: its bytes, for peer_cache_open(), which will succeed. KITH_E_NOT_FOUND if there
 * is none. KITH_E_CORRUPT: it is damaged and was put aside as peers.bad; kith_errmsg() says so for
 * the log; go on with no peers. KITH_E_IO.
 */
int data_dir_peers(const struct data_dir *dir, struct buf *out);
/* Replaces it with what peer_cache_end() finished. 0 or KITH_E_IO. May run on a worker. */
int data_dir_set_peers(const struct data_dir *dir, const struct buf *file);

/* 0 if the mode of @path gives nothing to group and others, else KITH_E_PERMISSION and its chmod.
 */
int data_dir_check_private(const char *path);

/* $XDG_STATE_HOME/kith, /var/lib/kith for root, $STATE_DIRECTORY under systemd. @out >= 4096. */
int data_dir_default(char *out, size_t out_bytes);

#endif

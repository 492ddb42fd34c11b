/* What kith-bench file compares with: programs that may not be there (file_peers.c). */
#ifndef BENCH_FILE_H
#define BENCH_FILE_H

#include <stdbool.h>
#include <sys/stat.h>

/* Between two changes of a file: longer than it counts as one that is being written. */
#define FILE_CHANGE_MS 1400

struct file_peers {
    char dir[96];
    int rsync_pid, sshd_pid; /* 0: it is not there */
    int rsync_port, sshd_port;
};

/* Starts an rsync daemon that serves what is in @dir, and an sshd, on loopback. Says on stderr what
 * is not there. */
void file_peers_start(struct file_peers *peers, const char *dir);
/* Bytes a second of copying @from to the file @to; NAN if that cannot be done here. */
double file_peers_scp(struct file_peers *peers, const char *from, const char *to, double bytes);
double file_peers_rsync(struct file_peers *peers, const char *from, const char *to, double bytes);
void file_peers_stop(struct file_peers *peers);

#endif

/* Inside the power cut of one process (unsynced.c). All with the mutex. */
#ifndef TESTS_UNSYNCED_H
#define TESTS_UNSYNCED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SHOWN __attribute__((visibility("default")))

struct file { /* a regular one below the directories, of which something is not on the disk */
    dev_t dev;
    ino_t ino;
    int fd; /* our own, for reading and writing */
    off_t synced_size;
    size_t undos_n; /* bytes that go back */
    size_t names_n; /* changes of names that would give it one back */
};

void unsynced_lock(void);
void unsynced_unlock(void);
_Noreturn void unsynced_give_up(const char *why);
/* Whether @path is one of the directories, or below one. */
bool unsynced_below(const char *path);
/* The path behind @fd. */
bool unsynced_path(int fd, char *out, size_t bytes);
/* The file behind @fd if it is a regular one below the directories, else NULL. */
struct file *unsynced_file_of(int fd);
/* If nothing of it is to go back it is forgotten. */
void unsynced_file_free_if_clean(struct file *file);
uint64_t unsynced_seed(void);

/* ---- unsynced_names.c ---- */
/* A sync of the directory behind @fd. False: it is none of ours. */
bool unsynced_names_synced(int fd);
void unsynced_names_put_back(void);

#endif

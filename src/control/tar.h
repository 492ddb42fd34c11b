/* A tar file (POSIX ustar) in memory. Pure. */
#ifndef CONTROL_TAR_H
#define CONTROL_TAR_H

#include "core/bytes.h"

#define TAR_NAME_BYTES_MAX 99

/* Appends a file of mode 0600. @name: 1 to TAR_NAME_BYTES_MAX bytes. 0 or KITH_E_MEMORY. */
int tar_add(struct buf *tar, const char *name, uint64_t unix_ms, const void *data, size_t len);
/* The end of the file: nothing is added afterwards. 0 or KITH_E_MEMORY. */
int tar_end(struct buf *tar);

#endif

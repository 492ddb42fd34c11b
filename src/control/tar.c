#include "control/tar.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define BLOCK 512

/* Where the fields of a header are. */
enum {
    AT_MODE = 100,
    AT_OWNER = 108,
    AT_GROUP = 116,
    AT_SIZE = 124,
    AT_TIME = 136,
    AT_SUM = 148,
    AT_TYPE = 156,
    AT_MAGIC = 257,
};

static void put_octal(uint8_t *at, unsigned digits, uint64_t value)
{
    for (unsigned i = digits; i-- > 0; value >>= 3)
        at[i] = (uint8_t)('0' + (value & 7));
}

static int pad(struct buf *tar, size_t len)
{
    static const uint8_t zeros[BLOCK];
    size_t over = len % BLOCK;
    return over == 0 ? 0 : buf_append(tar, zeros, BLOCK - over);
}

int tar_add(struct buf *tar, const char *name, uint64_t unix_ms, const void *data, size_t len)
{
    uint8_t head[BLOCK] = {0};
    size_t name_len = strlen(name);
    unsigned sum = 0;

    assert(name_len > 0 && name_len <= TAR_NAME_BYTES_MAX);
    memcpy(head, name, name_len);
    put_octal(head + AT_MODE, 7, 0600);
    put_octal(head + AT_OWNER, 7, 0);
    put_octal(head + AT_GROUP, 7, 0);
    put_octal(head + AT_SIZE, 11, len);
    put_octal(head + AT_TIME, 11, unix_ms / 1000);
    head[AT_TYPE] = '0';
    memcpy(head + AT_MAGIC, "ustar\00000", 8);
    memset(head + AT_SUM, ' ', 8); /* as if it were blank */
    for (size_t i = 0; i < BLOCK; i++)
        sum += head[i];
    put_octal(head + AT_SUM, 6, sum);
    head[AT_SUM + 6] = '\0';
    int r = buf_append(tar, head, sizeof(head));
    if (r == 0 && len > 0)
        r = buf_append(tar, data, len);
    return r == 0 ? pad(tar, len) : r;
}

int tar_end(struct buf *tar)
{
    static const uint8_t zeros[2 * BLOCK];
    return buf_append(tar, zeros, sizeof(zeros));
}

/* Where boards lie in the catalogue. */
#include "paths.h"

#include <stdio.h>
#include <string.h>

#include "log.h"

#define LOGS       "/log/"
#define LOGS_LEN   (sizeof(LOGS) - 1)
#define CONFLICT   ".conflict-"
#define WRITER_LEN 32
#define NUMBER_LEN 8

static char *hex(char *out, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
    return out;
}

static char *begin(char *out, const char *board, const char *then)
{
    int n = snprintf(out, WB_PATH_BYTES, WB_SHARE "/%.*s%s", BOARD_NAME_BYTES_MAX, board, then);

    return out + n;
}

char *wb_path_board(char out[WB_PATH_BYTES], const char *board)
{
    (void)begin(out, board, "");
    return out;
}

char *wb_path_logs(char out[WB_PATH_BYTES], const char *board)
{
    (void)begin(out, board, "/log");
    return out;
}

char *wb_path_log(char out[WB_PATH_BYTES], const char *board, const struct wb_log_name *name)
{
    char *to = begin(out, board, LOGS);

    to = hex(to, name->writer, BOARD_WRITER_BYTES);
    *to++ = '-';
    to = hex(to, name->node.bytes, KITH_NODE_ID_BYTES);
    (void)snprintf(to, (size_t)(out + WB_PATH_BYTES - to), "-%08x", (unsigned)name->number);
    return out;
}

char *wb_path_images(char out[WB_PATH_BYTES], const char *board)
{
    (void)begin(out, board, "/image");
    return out;
}

char *
wb_path_image(char out[WB_PATH_BYTES], const char *board, const uint8_t hash[BOARD_HASH_BYTES])
{
    (void)hex(begin(out, board, "/image/"), hash, BOARD_HASH_BYTES);
    return out;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unhex(const char *text, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int high = digit(text[2 * i]), low = high < 0 ? -1 : digit(text[2 * i + 1]);
        if (low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool wb_path_parse(const char *path,
                   char board_out[BOARD_NAME_BYTES_MAX + 1],
                   struct wb_log_name *name_out)
{
    uint8_t number[NUMBER_LEN / 2];
    size_t len;

    if (strncmp(path, WB_SHARE "/", sizeof(WB_SHARE)) != 0)
        return false;
    path += sizeof(WB_SHARE);
    len = strcspn(path, "/");
    if (!board_name_good(path, len) || strncmp(path + len, LOGS, LOGS_LEN) != 0)
        return false;
    memcpy(board_out, path, len);
    board_out[len] = '\0';
    path += len + LOGS_LEN;
    len = strlen(path);
    if (len < WRITER_LEN + 1 + KITH_NODE_ID_DIGITS + 1 + NUMBER_LEN || path[WRITER_LEN] != '-' ||
        path[WRITER_LEN + 1 + KITH_NODE_ID_DIGITS] != '-')
        return false;
    if (!unhex(path, name_out->writer, BOARD_WRITER_BYTES) ||
        !unhex(path + WRITER_LEN + 1, name_out->node.bytes, KITH_NODE_ID_BYTES) ||
        !unhex(path + WRITER_LEN + 1 + KITH_NODE_ID_DIGITS + 1, number, sizeof(number)))
        return false;
    name_out->number = (uint32_t)number[0] << 24 | (uint32_t)number[1] << 16 |
                       (uint32_t)number[2] << 8 | number[3];
    path += WRITER_LEN + 1 + KITH_NODE_ID_DIGITS + 1 + NUMBER_LEN;
    return *path == '\0' || strncmp(path, CONFLICT, sizeof(CONFLICT) - 1) == 0;
}

/* See the header. */
#include "node/records.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"

#define NAME_FORMAT 1

size_t name_record_encode(const struct kith_name *name, uint8_t *out)
{
    size_t fn_len = strlen(name->function);

    out[0] = NAME_FORMAT;
    out[1] = (uint8_t)name->kind;
    memcpy(out + 2, name->node.bytes, KITH_NODE_ID_BYTES);
    put_le64(out + 18, name->boot_no);
    memcpy(out + NAME_RECORD_HEAD_BYTES, name->function, fn_len);
    return NAME_RECORD_HEAD_BYTES + fn_len;
}

bool name_record_decode(const uint8_t *data, size_t len, struct kith_name *name_out)
{
    if (len < NAME_RECORD_HEAD_BYTES || len > NAME_RECORD_BYTES_MAX || data[0] != NAME_FORMAT ||
        (data[1] != KITH_NAME_NODE && data[1] != KITH_NAME_FUNCTION))
        return false;
    size_t fn_len = len - NAME_RECORD_HEAD_BYTES;
    if ((data[1] == KITH_NAME_NODE) != (fn_len == 0) ||
        memchr(data + NAME_RECORD_HEAD_BYTES, '\0', fn_len) != NULL)
        return false;
    memset(name_out, 0, sizeof(*name_out));
    name_out->kind = (enum kith_name_kind)data[1];
    memcpy(name_out->node.bytes, data + 2, KITH_NODE_ID_BYTES);
    name_out->boot_no = get_le64(data + 18);
    memcpy(name_out->function, data + NAME_RECORD_HEAD_BYTES, fn_len);
    return true;
}

void item_name_print(const struct item_name *name, char out[ITEM_NAME_MAX])
{
    char id[KITH_NODE_ID_DIGITS + 1];

    snprintf(out, ITEM_NAME_MAX, "%s.%" PRIu64 "/%" PRIu64 "/%" PRIu64 "/%" PRIu32,
             kith_node_id_text(&name->caller, id), name->boot_no, name->map_no, name->index,
             name->attempt);
}

/* Reads @mark and a number, and moves on behind them. */
static bool number_behind(const char **at, char mark, uint64_t *number_out)
{
    char *end;

    if (**at != mark)
        return false;
    errno = 0;
    *number_out = strtoull(*at + 1, &end, 10);
    bool good = errno == 0 && end != *at + 1;
    *at = end;
    return good;
}

bool item_name_parse(const char *text, struct item_name *name_out)
{
    char id[KITH_NODE_ID_DIGITS + 1] = "", again[ITEM_NAME_MAX];

    if (strlen(text) >= ITEM_NAME_MAX || strlen(text) <= KITH_NODE_ID_DIGITS)
        return false;
    memcpy(id, text, KITH_NODE_ID_DIGITS);
    const char *at = text + KITH_NODE_ID_DIGITS;
    uint64_t attempt;
    if (kith_node_id_parse(id, &name_out->caller) != 0 ||
        !number_behind(&at, '.', &name_out->boot_no) ||
        !number_behind(&at, '/', &name_out->map_no) || !number_behind(&at, '/', &name_out->index) ||
        !number_behind(&at, '/', &attempt) || attempt > UINT32_MAX)
        return false;
    name_out->attempt = (uint32_t)attempt;
    item_name_print(name_out, again);
    return strcmp(again, text) == 0;
}

/*
 * What other nodes write of names and of states of items: refused, or read so that writing it again
 * gives the same bytes. The first byte chooses: a name's record, the name of a state's variable, or
 * the head that travels with an item (rpc/item.h).
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/limits.h"
#include "node/records.h"
#include "rpc/item.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void name_record(const uint8_t *data, size_t size)
{
    uint8_t again[NAME_RECORD_BYTES_MAX];
    struct kith_name name;

    if (!name_record_decode(data, size, &name))
        return;
    assert(strlen(name.function) <= KITH_NAME_BYTES_MAX);
    assert((name.kind == KITH_NAME_NODE) == (name.function[0] == '\0'));
    assert(name_record_encode(&name, again) == size && memcmp(again, data, size) == 0);
}

static void state_name(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), again[ITEM_NAME_MAX];
    struct item_name name;

    assert(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    if (item_name_parse(text, &name)) {
        item_name_print(&name, again);
        assert(strcmp(again, text) == 0);
    }
    free(text);
}

static void item_head(const uint8_t *data, size_t size)
{
    uint8_t again[RPC_ITEM_HEAD_BYTES];
    struct rpc_item item;

    if (!rpc_item_decode(&item, data, size))
        return;
    assert(rpc_item_bytes(item.state_bytes) <= size && item.state_bytes <= DVAR_DATA_BYTES_MAX);
    rpc_item_encode(&item, again);
    assert(memcmp(again, data, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    switch (data[0] % 3) {
    case 0:
        name_record(data + 1, size - 1);
        break;
    case 1:
        state_name(data + 1, size - 1);
        break;
    default:
        item_head(data + 1, size - 1);
        break;
    }
    return 0;
}

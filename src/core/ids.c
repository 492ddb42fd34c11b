/*
 * Node ids: comparison and their text form.
 */
#include <string.h>

#include "core/bytes.h"
#include "kith/api.h"
#include "kith/error.h"

bool kith_node_id_equal(const struct kith_node_id *a, const struct kith_node_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

char *kith_node_id_text(const struct kith_node_id *id, char text_out[KITH_NODE_ID_DIGITS + 1])
{
    hex_encode(id->bytes, sizeof(id->bytes), text_out);
    return text_out;
}

int kith_node_id_parse(const char *text, struct kith_node_id *id_out)
{
    struct kith_node_id id;
    if (text == NULL || hex_decode(text, id.bytes, sizeof(id.bytes)) != 0)
        return KITH_E_INVALID;
    *id_out = id;
    return 0;
}

/*
 * Fields of protobuf-c messages.
 */
#include "net/field.h"

#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"

static void *heap_alloc(void *user, size_t size)
{
    (void)user;
    return core_malloc(size);
}

static void heap_free(void *user, void *memory)
{
    (void)user;
    core_free(memory);
}

ProtobufCAllocator *field_allocator(void)
{
    static ProtobufCAllocator allocator = {.alloc = heap_alloc, .free = heap_free};

    return &allocator;
}

ProtobufCBinaryData field_bytes(const uint8_t *data, size_t len)
{
    union {
        const uint8_t *in;
        uint8_t *out;
    } cast = {.in = data};

    return (ProtobufCBinaryData){.data = cast.out, .len = len};
}

char *field_text(const char *text)
{
    union {
        const char *in;
        char *out;
    } cast = {.in = text};

    return cast.out;
}

int field_take_text(const char *text, char *out, size_t out_bytes)
{
    size_t len = strlen(text);

    if (len >= out_bytes)
        return KITH_E_PARSE;
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return KITH_E_PARSE;
    memcpy(out, text, len + 1);
    return 0;
}

int field_take_name(const char *text, char *out, size_t out_bytes)
{
    if (text[0] != '\0' && !text_is_node_name(text))
        return KITH_E_PARSE;
    return field_take_text(text, out, out_bytes);
}

int field_take_address(const char *text, char out[KITH_ADDRESS_TEXT_MAX + 1])
{
    char host[KITH_ADDRESS_TEXT_MAX + 1];
    uint16_t port;

    if (field_take_text(text, out, KITH_ADDRESS_TEXT_MAX + 1) != 0)
        return KITH_E_PARSE;
    if (text_split_address(text, host, sizeof host, 0, &port) != 0 || host[0] == '\0' || port == 0)
        return KITH_E_PARSE;
    return 0;
}

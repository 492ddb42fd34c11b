#include "rpc/proto_alloc.h"

#include "core/alloc.h"

static void *proto_malloc(void *data, size_t size)
{
    (void)data;
    return core_malloc(size);
}

static void proto_free(void *data, void *memory)
{
    (void)data;
    core_free(memory);
}

ProtobufCAllocator rpc_proto_allocator = {.alloc = proto_malloc, .free = proto_free};

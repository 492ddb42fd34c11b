/*
 * protobuf-c allocates through the project's hook, so that tests can make it fail.
 */
#ifndef RPC_PROTO_ALLOC_H
#define RPC_PROTO_ALLOC_H

#include <protobuf-c/protobuf-c.h>

extern ProtobufCAllocator rpc_proto_allocator;

#endif

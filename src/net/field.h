/*
 * What Hello and the peers file share: fields of protobuf-c messages, checked against their limits.
 */
#ifndef NET_FIELD_H
#define NET_FIELD_H

#include <protobuf-c/protobuf-c.h>

#include "kith/api.h"

/* protobuf-c's allocator on core_malloc(). Static. */
ProtobufCAllocator *field_allocator(void);

/* For packing only: protobuf-c's fields are not const. */
ProtobufCBinaryData field_bytes(const uint8_t *data, size_t len);
char *field_text(const char *text);

/* Copies to @out with a NUL. 0, or KITH_E_PARSE if it does not fit or has bytes that are not
 * printable ASCII. */
int field_take_text(const char *text, char *out, size_t out_bytes);
/* Likewise a node name (text_is_node_name()), or "". */
int field_take_name(const char *text, char *out, size_t out_bytes);
/* Likewise a whole "address:port" with a port from 1. */
int field_take_address(const char *text, char out[KITH_ADDRESS_TEXT_MAX + 1]);

#endif

/*
 * Frame types and classes. A frame on the wire is an 8-byte head (u32 body length, u8 type, u8 flags,
 * u16 fragment id, all little-endian) and its body.
 */
#ifndef NET_FRAME_H
#define NET_FRAME_H

#include <stdint.h>

#include "core/limits.h"

enum net_class {
    NET_CONTROL = 0, /* membership, registry, and later leases, views, mutexes */
    NET_RPC = 1,     /* calls and replies */
    NET_BULK = 2,    /* file chunks; credit window */
};

#define FRAME_HEAD_BYTES 8

/* Types below 16 belong to the channel itself and never reach the rooms above. */
enum frame_type {
    FRAME_HELLO = 1,  /* first frame of the responder (net.proto Hello) */
    FRAME_REKEY = 2,  /* last of its record */
    FRAME_CREDIT = 3, /* bulk window */
    FRAME_CLOSE = 4,  /* orderly end: u8 reason */
    FRAME_PING = 5,   /* keep-alive and address check */
    FRAME_PONG = 6,
    FRAME_CHANNEL_LAST = 15,

    FRAME_MEMBER_PUSH_PULL = 16, /* control: member.proto PushPull */
    FRAME_MEMBER_PUSH_PULL_REPLY = 17,
    FRAME_MEMBER_LAST = 31,

    FRAME_REGISTRY = 32,      /* control: rpc.proto RegistryUpdate */
    FRAME_REGISTRY_PULL = 33, /* control: rpc.proto RegistryPull */
    FRAME_WATCH = 34,         /* control: rpc.proto Watch */
    FRAME_COMPLETIONS = 35,   /* control: rpc.proto Completions */
    FRAME_REGISTRY_LAST = 47,

    FRAME_CALL = 48, /* rpc: rpc/wire.h */
    FRAME_CALL_ACK = 49,
    FRAME_RESULT = 50,
    FRAME_CANCEL = 51,
    FRAME_PARTIAL = 52,
    FRAME_CALL_LAST = 63,
};

enum frame_flags {
    FRAME_FIRST = 1 << 0, /* first fragment: body starts with u32 total length */
    FRAME_MORE = 1 << 1,  /* more fragments of this id follow */
};

/* Longest whole frame of @class (fragments put together). */
uint32_t frame_bytes_max(enum net_class net_class);

#endif

/*
 * What the fuzz targets of src/member share: a node that knows a few others, a crypto that an input
 * can satisfy, and what must hold after whatever came.
 */
#ifndef TESTS_FUZZ_FUZZ_MEMBER_H
#define TESTS_FUZZ_FUZZ_MEMBER_H

#include <stdio.h>
#include <stdlib.h>

#include "member/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* As assert(), in every build. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

#define FUZZ_NODES 5 /* 0 is the node itself */

static inline struct kith_node_id fuzz_id(uint8_t number)
{
    struct kith_node_id id;
    memset(id.bytes, 0x11 * number, sizeof(id.bytes));
    return id;
}

/* A signature holds if it ends with 0: half a chance for a mutation, and none for a random change.
 */
static inline void fuzz_sign(void *user, const uint8_t *data, size_t len, uint8_t signature[64])
{
    (void)user;
    (void)data;
    (void)len;
    memset(signature, 0, 64);
}
static inline bool
fuzz_verify(void *user, const uint8_t pk[32], const uint8_t *data, size_t len, const uint8_t s[64])
{
    (void)user;
    (void)pk;
    (void)data;
    (void)len;
    return s[63] == 0;
}
static inline bool fuzz_key_is_of(void *user, const uint8_t pk[32], const struct kith_node_id *id)
{
    (void)user;
    return pk[0] == id->bytes[0];
}

static inline struct member_config fuzz_config(uint8_t number)
{
    struct member_config config = {
        .self = fuzz_id(number), .boot_no = 2, .seed = 1, .datagram_bytes_max = 1126};
    memset(config.sign_pk, 0x11 * number, sizeof(config.sign_pk));
    config.crypto = (struct member_crypto){NULL, fuzz_sign, fuzz_verify, fuzz_key_is_of};
    snprintf(config.facts.name, sizeof(config.facts.name), "n%d", number % 3);
    snprintf(config.facts.addresses[0], sizeof(config.facts.addresses[0]), "10.0.0.%d:7117",
             number);
    config.facts.addresses_n = 1;
    config.facts.role = number == 4 ? KITH_ROLE_PROGRAM : KITH_ROLE_NODE;
    return config;
}

static inline int
fuzz_step(struct member_core *core, struct member_event *event, struct member_output *out)
{
    int r = member_step(core, event, out);
    member_check(core);
    must(member_deadline_ms(core) > event->now_ms);
    for (size_t i = 0; i < out->actions_n; i++) {
        struct msg msgs[MEMBER_MESSAGES_MAX];
        const struct member_action *action = &out->actions[i];
        if (action->type == MEMBER_SEND_DATAGRAM)
            must(action->len <= 1126 && wire_decode(msgs, action->data, action->len) > 0);
        if (action->type == MEMBER_SEND_FRAME)
            must(action->len <= NET_CONTROL_FRAME_BYTES_MAX);
        if (action->type == MEMBER_CHANGED)
            must(action->member != NULL && action->text != NULL &&
                 action->member != member_self(core));
    }
    return r;
}

/* Node 0, that knows the others: 2 as suspect, 3 as failed. */
static inline struct member_core *fuzz_core(bool detector_echo)
{
    struct member_core *core;
    struct member_config config = fuzz_config(0);
    struct member_output out;
    config.detector_echo = detector_echo;
    must(member_new(&core, &config) == 0);
    fuzz_step(core, &(struct member_event){.type = MEMBER_START, .now_ms = 1000}, &out);
    for (uint8_t i = 1; i < FUZZ_NODES; i++) {
        uint8_t record[MEMBER_RECORD_BYTES_MAX];
        uint8_t data[1126];
        struct member_config other = fuzz_config(i);
        struct msg msg = {.type = MSG_FACTS, .n = 1};
        msg.u.record.data = record;
        msg.u.record.len = facts_encode(record, &other, &other.facts, 2, 3, false);
        struct member_event event = {
            .type = MEMBER_DATAGRAM, .now_ms = 1000, .id = other.self, .boot_no = 2, .data = data};
        event.len = wire_encode(data, &msg);
        struct msg said = {.type = i == 2 ? MSG_SUSPECT : MSG_FAILED,
                           .id = other.self,
                           .boot_no = 2,
                           .n = 1,
                           .accusers_n = 1};
        said.accusers[0] = 9;
        must(fuzz_step(core, &event, &out) == 0);
        event.id = fuzz_id(1);
        event.len = wire_encode(data, &said);
        if (i == 2 || i == 3)
            must(fuzz_step(core, &event, &out) == 0);
    }
    return core;
}

/* A heap copy of just @len bytes, so that a read beyond them is seen. Free it. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    must(copy != NULL);
    if (len > 0)
        memcpy(copy, data, len);
    return copy;
}

#endif

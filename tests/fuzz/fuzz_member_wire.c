/*
 * Datagrams and records alone: what decodes encodes to something that decodes to the same.
 */
#include "fuzz_member.h"

static void same(const struct msg *a, const struct msg *b)
{
    must(a->type == b->type);
    switch (a->type) {
    case MSG_PING:
    case MSG_ACK:
    case MSG_NACK:
    case MSG_RELAY_ACK:
        must(a->seq == b->seq);
        return;
    case MSG_ACK_LOAD:
        must(a->seq == b->seq && a->value == b->value &&
             a->u.load.queue_len == b->u.load.queue_len);
        return;
    case MSG_PING_REQ:
        must(a->seq == b->seq && a->value == b->value && id_equal(&a->id, &b->id));
        return;
    case MSG_ALIVE:
    case MSG_SUSPECT:
    case MSG_FAILED:
    case MSG_FORGOTTEN:
        must(a->boot_no == b->boot_no && a->n == b->n && id_equal(&a->id, &b->id));
        return;
    case MSG_REGISTRY:
        must(a->boot_no == b->boot_no && a->value == b->value);
        return;
    case MSG_FACTS:
        must(a->u.record.len == b->u.record.len && a->u.record.version == b->u.record.version);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct msg msgs[MEMBER_MESSAGES_MAX];
    static struct msg again[MEMBER_MESSAGES_MAX];
    static uint8_t out[MEMBER_MESSAGES_MAX * (WIRE_SMALL_BYTES_MAX + MEMBER_RECORD_BYTES_MAX)];
    uint8_t *copy = fuzz_copy(data, len);
    struct facts_record record;
    int n = wire_decode(msgs, copy, len);

    must(n == KITH_E_CORRUPT || (n > 0 && n <= MEMBER_MESSAGES_MAX));
    if (n > 0) {
        size_t at = 0;
        for (int i = 0; i < n; i++)
            at += wire_encode(out + at, &msgs[i]);
        must(at <= len); /* numbers are written as short as can be */
        must(wire_decode(again, out, at) == n);
        for (int i = 0; i < n; i++)
            same(&msgs[i], &again[i]);
    }
    if (facts_decode(&record, copy, len) == 0) {
        must(strlen(record.name) <= MEMBER_NAME_BYTES_MAX);
        must(record.addresses_n <= MEMBER_ADDRESSES_MAX);
        must(facts_peek(&record, copy, len) == 0);
    }
    free(copy);
    return 0;
}

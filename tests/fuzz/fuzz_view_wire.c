/*
 * Messages and records of views: what decodes encodes to the same bytes again.
 */
#include <stdlib.h>

#include "core/error.h"
#include "view/wire.h"

static void must(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct view_record record;
    static struct view_msg msg;
    static uint8_t out[VIEW_MSG_BYTES_MAX];

    /* A record stands alone in the store, and behind the head of a message. */
    int r = view_record_decode(&record, data, len);
    must(r == 0 || r == KITH_E_CORRUPT);
    if (r == 0) {
        must(view_record_encode(&record, out) == len);
        must(memcmp(out, data, len) == 0);
        must(record.voters_n % 2 == 1 && record.voters_n <= VIEW_VOTERS_MAX);
    }
    r = view_msg_decode(&msg, data, len);
    must(r == 0 || r == KITH_E_CORRUPT);
    if (r != 0)
        return 0;
    must(view_msg_encode(&msg, out) == len);
    must(memcmp(out, data, len) == 0);
    if (msg.record != NULL && view_record_decode(&record, msg.record, msg.record_len) == 0)
        must(view_record_encode(&record, out) == msg.record_len);
    return 0;
}

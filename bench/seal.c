/* One pass of the record cipher, as the channel uses it for bulk: 60 KiB a record. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "core/limits.h"
#include "net/record.h"

#define SEAL_NS 30000000u

double bench_seal_bytes_per_s(void)
{
    static uint8_t plain[NET_RECORD_FILL_BYTES], wire[RECORD_WIRE_BYTES_MAX];
    uint8_t key[CIPHER_KEY_BYTES] = {1};
    struct record_out out;
    uint64_t begun_ns, bytes = 0;
    size_t len;

    if (record_out_init(&out, CIPHER_AUTO, key, 0) != 0)
        abort();
    begun_ns = bench_now_ns();
    while (bench_now_ns() - begun_ns < SEAL_NS) {
        struct kith_bytes part = {.data = plain, .len = sizeof(plain)};
        if (record_seal(&out, &part, 1, wire, sizeof(wire), &len) != 0)
            abort();
        bytes += sizeof(plain);
    }
    double seconds = (double)(bench_now_ns() - begun_ns) / 1e9;
    record_out_deinit(&out);
    return (double)bytes / seconds;
}

/* Records that follow each other, as a stream brings them: sealed beforehand, not counted. */
double bench_open_bytes_per_s(void)
{
    enum { N = 64 };
    static uint8_t plain[NET_RECORD_FILL_BYTES], wires[N][RECORD_WIRE_BYTES_MAX];
    uint8_t key[CIPHER_KEY_BYTES] = {1};
    struct record_out out;
    struct record_in in;
    uint64_t spent_ns = 0, bytes = 0;
    size_t len = 0;

    if (record_out_init(&out, CIPHER_AUTO, key, 0) != 0 ||
        record_in_init(&in, CIPHER_AUTO, key) != 0)
        abort();
    while (spent_ns < SEAL_NS) {
        for (unsigned i = 0; i < N; i++) {
            struct kith_bytes part = {.data = plain, .len = sizeof(plain)};
            if (record_seal(&out, &part, 1, wires[i], sizeof(wires[i]), &len) != 0)
                abort();
        }
        uint64_t begun_ns = bench_now_ns();
        for (unsigned i = 0; i < N; i++) {
            if (record_open(&in, wires[i], len, plain) != 0)
                abort();
            bytes += sizeof(plain);
        }
        spent_ns += bench_now_ns() - begun_ns;
    }
    record_out_deinit(&out);
    record_in_deinit(&in);
    return (double)bytes / ((double)spent_ns / 1e9);
}

/*
 * The frame reader. Two readers get the same plaintext, one in pieces of a size the first byte
 * tells, one sealed into real records of another size (so that the straight way is taken too): they
 * must see the same frames and the same end, and hold no more than their budget.
 */
#include "fuzz_net.h"
#include "kith/error.h"
#include "net/frame.h"

#define ASSEMBLY_BYTES_MAX (256 * 1024)

struct seen {
    crypto_generichash_blake2b_state hash;
    size_t frames;
    int end;
};

static void note(struct seen *seen, const struct net_frame *frame)
{
    uint8_t head[5];

    must(frame->len <= NET_RPC_FRAME_BYTES_MAX);
    put_le32(head, (uint32_t)frame->len);
    head[4] = frame->type;
    crypto_generichash_blake2b_update(&seen->hash, head, sizeof head);
    crypto_generichash_blake2b_update(&seen->hash, frame->body, frame->len);
    seen->frames++;
}

/* All frames of the current record. False once it failed. */
static bool drain(struct frame_reader *reader, const struct frame_budget *budget, struct seen *seen)
{
    struct net_frame frame;
    int r;

    while ((r = frame_reader_next(reader, &frame)) == 1) {
        note(seen, &frame);
        net_frame_done(&frame);
        must(budget->used <= budget->max);
    }
    seen->end = r;
    return r == 0;
}

static void in_pieces(
    enum net_class net_class, const uint8_t *data, size_t len, size_t piece, struct seen *seen)
{
    struct frame_budget budget = {.max = ASSEMBLY_BYTES_MAX};
    struct frame_reader reader;
    bool good = true;

    frame_reader_init(&reader, net_class, 0, &budget);
    while (len > 0 && good) {
        size_t n = len < piece ? len : piece;
        uint8_t *copy = fuzz_copy(data, n);

        frame_reader_feed(&reader, copy, n);
        good = drain(&reader, &budget, seen);
        free(copy);
        data += n;
        len -= n;
    }
    frame_reader_deinit(&reader);
    must(budget.used == 0);
}

static void in_records(
    enum net_class net_class, const uint8_t *data, size_t len, size_t piece, struct seen *seen)
{
    static const uint8_t key[32] = {1};
    static uint8_t wire[RECORD_WIRE_BYTES_MAX];
    struct frame_budget budget = {.max = ASSEMBLY_BYTES_MAX};
    struct frame_reader reader;
    struct record_out out;
    struct record_in in;
    bool good = true;

    frame_reader_init(&reader, net_class, 0, &budget);
    must(record_out_init(&out, CIPHER_AUTO, key, 0) == 0);
    must(record_in_init(&in, CIPHER_AUTO, key) == 0);
    while (len > 0 && good) {
        struct kith_bytes part = {data, len < piece ? len : piece};
        size_t wire_len;

        must(record_seal(&out, &part, 1, wire, sizeof wire, &wire_len) == 0);
        must(frame_reader_open(&reader, &in, wire, wire_len) != KITH_E_CORRUPT);
        good = drain(&reader, &budget, seen);
        data += part.len;
        len -= part.len;
        if (memcmp(in.cipher.key, out.cipher.key, sizeof in.cipher.key) != 0)
            record_out_rekey(&out, 0); /* a FRAME_REKEY was read */
    }
    frame_reader_deinit(&reader);
    record_out_deinit(&out);
    record_in_deinit(&in);
    must(budget.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const enum net_class classes[] = {NET_RPC, NET_RPC, NET_CONTROL, NET_BULK};
    struct seen pieces = {.frames = 0}, records = {.frames = 0};
    uint8_t a[32], b[32];
    enum net_class net_class;
    size_t piece;

    if (len < 3)
        return 0;
    net_class = classes[data[0] % 4];
    piece = 1 + (size_t)get_le16(data + 1) % NET_RECORD_PLAIN_BYTES_MAX;
    data += 3;
    len -= 3;
    crypto_generichash_blake2b_init(&pieces.hash, NULL, 0, sizeof a);
    crypto_generichash_blake2b_init(&records.hash, NULL, 0, sizeof b);
    in_pieces(net_class, data, len, piece, &pieces);
    in_records(net_class, data, len, piece, &records);
    crypto_generichash_blake2b_final(&pieces.hash, a, sizeof a);
    crypto_generichash_blake2b_final(&records.hash, b, sizeof b);
    must(pieces.frames == records.frames);
    must(pieces.end == records.end);
    must(memcmp(a, b, sizeof a) == 0);
    return 0;
}

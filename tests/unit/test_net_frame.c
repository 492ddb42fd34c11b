/*
 * Frames: what the writer packs the reader finds, through real records and by random schedules
 * against a model; and each rule of net/frame.h broken once.
 */
#include "net/frame.h"

#include "core/alloc.h"
#include "net_testing.h"

/* ---- a stream: writer, records, reader ---- */

struct stream {
    struct frame_pool pool;
    struct frame_budget queue, assembly;
    struct frame_writer writer;
    struct frame_reader reader;
    struct record_out out;
    struct record_in in;
    uint64_t now_ms;
    uint8_t wire[NET_RECORD_WIRE_BYTES_MAX];
};

static void stream_init(struct stream *s, enum net_class net_class, enum cipher_kind kind)
{
    const uint8_t key[32] = {7};

    memset(s, 0, sizeof *s);
    frame_pool_init(&s->pool, 4);
    s->queue.max = NET_PEER_QUEUE_BYTES_MAX;
    s->assembly.max = NET_PEER_ASSEMBLY_BYTES_MAX;
    frame_writer_init(&s->writer, net_class, 0, &s->pool, &s->queue);
    frame_reader_init(&s->reader, net_class, 0, &s->assembly);
    assert_int_equal(record_out_init(&s->out, kind, key, 0), 0);
    assert_int_equal(record_in_init(&s->in, kind, key), 0);
}

static void stream_deinit(struct stream *s)
{
    frame_writer_deinit(&s->writer);
    frame_writer_deinit(&s->writer);
    frame_reader_deinit(&s->reader);
    frame_reader_deinit(&s->reader);
    record_out_deinit(&s->out);
    record_in_deinit(&s->in);
    frame_pool_deinit(&s->pool);
    assert_int_equal(s->queue.used, 0);
    assert_int_equal(s->assembly.used, 0);
}

/* Seals one record and opens it at the reader. False if there is nothing to send. */
static bool carry(struct stream *s)
{
    size_t len, wire_len;

    assert_int_equal(frame_writer_seal(&s->writer, &s->out, s->now_ms, s->wire, &len), 0);
    if (len == 0) {
        assert_false(frame_writer_pending(&s->writer));
        return false;
    }
    assert_int_equal(record_wire_len(s->wire, len, &wire_len), 0);
    assert_int_equal(wire_len, len);
    assert_int_equal(frame_reader_open(&s->reader, &s->in, s->wire, len), 0);
    return true;
}

/* The next frame, sealing more records as need be. */
static bool next(struct stream *s, struct net_frame *frame)
{
    for (;;) {
        int r = frame_reader_next(&s->reader, frame);

        assert_true(r >= 0);
        if (r == 1)
            return true;
        if (!carry(s))
            return false;
    }
}

static int add(struct stream *s, uint8_t type, const void *data, size_t len)
{
    struct kith_bytes part = {data, len};

    return frame_writer_add(&s->writer, type, &part, 1);
}

/* ---- plain cases ---- */

static void frames_of_one_turn_share_a_record(void **state)
{
    static struct stream s;
    struct net_frame frame;

    (void)state;
    stream_init(&s, NET_RPC, CIPHER_AUTO);
    for (uint8_t i = 0; i < 100; i++) {
        const struct kith_bytes parts[3] = {{&i, 1}, {NULL, 0}, {"body", 4}};

        assert_int_equal(frame_writer_add(&s.writer, FRAME_CALL, parts, 3), 0);
    }
    for (uint8_t i = 0; i < 100; i++) {
        assert_true(next(&s, &frame));
        assert_int_equal(frame.type, FRAME_CALL);
        assert_int_equal(frame.net_class, NET_RPC);
        assert_int_equal(frame.len, 5);
        assert_int_equal(frame.body[0], i);
        assert_memory_equal(frame.body + 1, "body", 4);
        assert_null(net_frame_take(&frame));
        /* Given where it lies in the received bytes. */
        assert_true(frame.body > s.wire && frame.body < s.wire + sizeof s.wire);
    }
    assert_int_equal(s.out.counter, 1);
    assert_false(next(&s, &frame));
    stream_deinit(&s);
}

static void whole_frames_of_every_size_arrive(void **state)
{
    static const size_t sizes[] = {
        0, 1, 7, 8, 61423, 61424, 61425, 61431, 61432, 61433, 65519, 65520, FRAME_WHOLE_BYTES_MAX};
    static uint8_t body[FRAME_WHOLE_BYTES_MAX];
    static struct stream s;
    struct rng rng = test_rng();
    struct net_frame frame;

    (void)state;
    random_bytes(&rng, body, sizeof body);
    stream_init(&s, NET_RPC, CIPHER_SODIUM);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_int_equal(add(&s, FRAME_RESULT, body, sizes[i]), 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_true(next(&s, &frame));
        assert_int_equal(frame.len, sizes[i]);
        assert_memory_equal(frame.body, body, sizes[i]);
        assert_null(frame.owned);
    }
    assert_false(next(&s, &frame));
    assert_int_equal(s.reader.pending.cap, 0); /* a large pending buffer is not kept */
    stream_deinit(&s);
}

static void count_release(void *arg)
{
    ++*(int *)arg;
}

static void large_frame_is_fragmented_and_given_in_a_block(void **state)
{
    static uint8_t body[1024 * 1024];
    static struct stream s;
    struct rng rng = test_rng();
    struct net_frame frame;
    uint8_t *block;
    int released = 0;

    (void)state;
    random_bytes(&rng, body, sizeof body);
    stream_init(&s, NET_RPC, CIPHER_AUTO);
    assert_int_equal(
        frame_writer_add_take(&s.writer, FRAME_RESULT, (struct kith_bytes){"head of it", 10},
                              (struct kith_bytes){body, sizeof body}, count_release, &released),
        0);
    assert_int_equal(released, 0);
    assert_true(next(&s, &frame));
    assert_int_equal(released, 1);
    assert_int_equal(frame.type, FRAME_RESULT);
    assert_int_equal(frame.len, sizeof body + 10);
    assert_memory_equal(frame.body, "head of it", 10);
    assert_memory_equal(frame.body + 10, body, sizeof body);
    assert_int_equal(s.assembly.used, 0); /* from here on it is the application's */
    block = net_frame_take(&frame);
    assert_ptr_equal(block, frame.body);
    net_frame_done(&frame);
    assert_memory_equal(block + 10, body, sizeof body);
    free(block);
    assert_false(next(&s, &frame));
    stream_deinit(&s);
}

static void small_bodies_are_copied_and_released_at_once(void **state)
{
    static uint8_t body[FRAME_WHOLE_BYTES_MAX];
    static struct stream s;
    struct net_frame frame;
    int released = 0;

    (void)state;
    stream_init(&s, NET_RPC, CIPHER_AUTO);
    assert_int_equal(frame_writer_add_take(&s.writer, FRAME_RESULT, (struct kith_bytes){"h", 1},
                                           (struct kith_bytes){body, sizeof body - 1},
                                           count_release, &released),
                     0);
    assert_int_equal(released, 1);
    assert_true(next(&s, &frame));
    assert_int_equal(frame.len, sizeof body);
    assert_null(frame.owned);
    stream_deinit(&s);
}

static void release_runs_once_whatever_happens(void **state)
{
    static uint8_t body[NET_RPC_FRAME_BYTES_MAX + 1];
    const struct kith_bytes none = {0};
    static struct stream s;
    int released = 0;

    (void)state;
    stream_init(&s, NET_RPC, CIPHER_AUTO);
    assert_int_equal(frame_writer_add_take(&s.writer, FRAME_RESULT, none,
                                           (struct kith_bytes){body, sizeof body}, count_release,
                                           &released),
                     KITH_E_TOO_LARGE);
    assert_int_equal(released, 1);
    s.queue.max = 100000;
    assert_int_equal(frame_writer_add_take(&s.writer, FRAME_RESULT, none,
                                           (struct kith_bytes){body, 100001}, count_release,
                                           &released),
                     KITH_E_BUSY);
    assert_int_equal(released, 2);
    core_alloc_fail_at(1);
    assert_int_equal(frame_writer_add_take(&s.writer, FRAME_RESULT, none,
                                           (struct kith_bytes){body, 90000}, count_release,
                                           &released),
                     KITH_E_MEMORY);
    core_alloc_fail_at(0);
    assert_int_equal(released, 3);
    assert_int_equal(frame_writer_add_take(&s.writer, FRAME_RESULT, none,
                                           (struct kith_bytes){body, 90000}, count_release,
                                           &released),
                     0);
    assert_true(carry(&s)); /* it has begun */
    assert_int_equal(released, 3);
    stream_deinit(&s);
    assert_int_equal(released, 4);
}

struct again {
    struct stream *stream;
    int runs;
};

static void queue_another(void *arg)
{
    struct again *again = arg;

    again->runs++;
    assert_int_equal(add(again->stream, FRAME_CALL, "from within", 11), 0);
}

static void release_may_queue_more(void **state)
{
    static uint8_t body[100000];
    static struct stream s;
    struct again again = {&s, 0};
    struct net_frame frame;

    (void)state;
    stream_init(&s, NET_RPC, CIPHER_AUTO);
    assert_int_equal(frame_writer_add_take(&s.writer, FRAME_RESULT, (struct kith_bytes){0},
                                           (struct kith_bytes){body, sizeof body}, queue_another,
                                           &again),
                     0);
    assert_true(next(&s, &frame));
    assert_int_equal(frame.len, sizeof body);
    net_frame_done(&frame);
    assert_int_equal(again.runs, 1);
    assert_true(next(&s, &frame));
    assert_memory_equal(frame.body, "from within", 11);
    stream_deinit(&s);
}

/* ---- bounds ---- */

static void queue_bound_refuses_and_drains(void **state)
{
    static struct stream s;
    static uint8_t body[1000];
    struct net_frame frame;
    unsigned n = 0;

    (void)state;
    stream_init(&s, NET_CONTROL, CIPHER_SODIUM);
    s.queue.max = 10 * 1008;
    while (add(&s, FRAME_REGISTRY, body, sizeof body) == 0)
        n++;
    assert_int_equal(n, 10);
    assert_int_equal(add(&s, FRAME_REGISTRY, body, 0), KITH_E_BUSY);
    while (next(&s, &frame))
        n--;
    assert_int_equal(n, 0);
    assert_int_equal(s.queue.used, 0);
    assert_int_equal(add(&s, FRAME_REGISTRY, body, sizeof body), 0);
    stream_deinit(&s);
}

static void frame_beyond_its_class_is_refused_by_the_sender(void **state)
{
    static uint8_t body[NET_CONTROL_FRAME_BYTES_MAX + 1];
    static struct stream s;

    (void)state;
    stream_init(&s, NET_CONTROL, CIPHER_SODIUM);
    assert_int_equal(add(&s, FRAME_REGISTRY, body, sizeof body), KITH_E_TOO_LARGE);
    assert_int_equal(add(&s, FRAME_REGISTRY, body, sizeof body - 1), 0);
    stream_deinit(&s);
}

static void sender_begins_no_more_than_the_receiver_assembles(void **state)
{
    enum { N = NET_FRAGMENTS_OPEN_MAX + 40 };
    static uint8_t body[FRAME_WHOLE_BYTES_MAX + 1];
    static uint8_t large[NET_RPC_FRAME_BYTES_MAX];
    static struct stream s;
    struct net_frame frame;
    unsigned got = 0;

    (void)state;
    stream_init(&s, NET_RPC, CIPHER_AUTO);
    for (int i = 0; i < N; i++)
        assert_int_equal(frame_writer_add_take(&s.writer, FRAME_RESULT, (struct kith_bytes){0},
                                               (struct kith_bytes){body, sizeof body}, NULL, NULL),
                         0);
    s.queue.max = SIZE_MAX;
    for (int i = 0; i < 6; i++) /* together above NET_PEER_ASSEMBLY_BYTES_MAX */
        assert_int_equal(frame_writer_add_take(&s.writer, FRAME_RESULT, (struct kith_bytes){0},
                                               (struct kith_bytes){large, sizeof large}, NULL,
                                               NULL),
                         0);
    while (next(&s, &frame)) {
        net_frame_done(&frame);
        got++;
    }
    assert_int_equal(got, N + 6);
    stream_deinit(&s);
}

static void small_frames_pass_large_ones(void **state)
{
    static uint8_t body[4 * 1024 * 1024];
    static struct stream s;
    struct net_frame frame;
    uint64_t records;

    (void)state;
    stream_init(&s, NET_RPC, CIPHER_AUTO);
    for (int i = 0; i < 3; i++)
        assert_int_equal(frame_writer_add_take(&s.writer, FRAME_RESULT, (struct kith_bytes){0},
                                               (struct kith_bytes){body, sizeof body}, NULL, NULL),
                         0);
    for (int i = 0; i < 20; i++) {
        assert_true(carry(&s)); /* large ones are under way */
        while (frame_reader_next(&s.reader, &frame) == 1)
            fail();
        records = s.out.counter;
        assert_int_equal(add(&s, FRAME_CALL_ACK, "echo", 4), 0);
        assert_true(next(&s, &frame));
        assert_int_equal(frame.type, FRAME_CALL_ACK);
        assert_int_equal(s.out.counter, records + 1); /* in the very next record */
    }
    stream_deinit(&s);
}

static void flood_of_small_frames_does_not_starve_a_large_one(void **state)
{
    static uint8_t body[200 * 1024], small[3000];
    static struct stream s;
    struct net_frame frame;
    bool done = false;

    (void)state;
    stream_init(&s, NET_RPC, CIPHER_AUTO);
    assert_int_equal(frame_writer_add_take(&s.writer, FRAME_RESULT, (struct kith_bytes){0},
                                           (struct kith_bytes){body, sizeof body}, NULL, NULL),
                     0);
    for (int turn = 0; turn < 12 && !done; turn++) {
        for (int i = 0; i < 100; i++)
            assert_int_equal(add(&s, FRAME_CALL, small, sizeof small), 0);
        assert_true(carry(&s));
        while (frame_reader_next(&s.reader, &frame) == 1) {
            done = done || frame.type == FRAME_RESULT;
            net_frame_done(&frame);
        }
    }
    assert_true(done);
    stream_deinit(&s);
}

/* ---- random schedules against a model ---- */

#define KINDS_N   8
#define ORDER_MAX 4096

/* A body says who it is: u32 number, then bytes that follow from it. */
static void body_fill(uint8_t *body, size_t len, uint32_t number)
{
    uint8_t bytes[4];

    put_le32(bytes, number);
    for (size_t i = 0; i < len; i++)
        body[i] = i < 4 ? bytes[i] : (uint8_t)(number * 31 + i * 7 + i / 251);
}

static size_t random_size(struct rng *rng)
{
    switch (rng_below(rng, 8)) {
    case 0:
        return FRAME_WHOLE_BYTES_MAX - 2000 + rng_below(rng, 4000);
    case 1:
        return 4 + rng_below(rng, 400000);
    case 2:
        return 4 + rng_below(rng, 70000);
    default:
        return 4 + rng_below(rng, 600);
    }
}

/* The receiver of a new stream: nothing of the old one is left. */
static void reader_anew(struct stream *s)
{
    const uint8_t key[32] = {7};

    frame_reader_deinit(&s->reader);
    record_out_deinit(&s->out);
    record_in_deinit(&s->in);
    frame_reader_init(&s->reader, NET_RPC, 0, &s->assembly);
    assert_int_equal(record_out_init(&s->out, CIPHER_AUTO, key, 0), 0);
    assert_int_equal(record_in_init(&s->in, CIPHER_AUTO, key), 0);
}

static void large_frames_that_have_begun_begin_anew_on_the_next_stream(void **state)
{
    enum { LARGE_N = 6, BYTES = 25 * NET_FRAGMENT_BYTES + 100 };
    static uint8_t body[BYTES];
    static struct stream s;
    static bool seen[LARGE_N];
    struct net_frame frame;
    unsigned got = 0;

    (void)state;
    stream_init(&s, NET_RPC, CIPHER_AUTO);
    memset(seen, 0, sizeof seen);
    for (uint32_t i = 0; i < LARGE_N; i++) {
        body_fill(body, BYTES, i);
        assert_int_equal(add(&s, FRAME_CALL, body, BYTES), 0);
    }
    /* A turn is 20 fragments, so several have begun when the stream goes. */
    for (int cut = 1; cut < 64; cut += 9) {
        size_t queued = s.queue.used;
        for (int i = 0; i < cut; i++) {
            assert_true(carry(&s));
            while (frame_reader_next(&s.reader, &frame) == 1) {
                queued -= frame.len;
                assert_false(seen[get_le32(frame.body)]);
                seen[get_le32(frame.body)] = true;
                got++;
                net_frame_done(&frame);
            }
        }
        frame_writer_restart(&s.writer);
        assert_int_equal(s.queue.used, queued); /* all that did not arrive is to be sent again */
        assert_int_equal(s.writer.open_n, 0);
        reader_anew(&s);
        assert_int_equal(s.assembly.used, 0);
    }
    while (next(&s, &frame)) {
        uint32_t number = get_le32(frame.body);
        assert_false(seen[number]);
        seen[number] = true;
        got++;
        body_fill(body, BYTES, number);
        assert_int_equal(frame.len, BYTES);
        assert_memory_equal(frame.body, body, BYTES);
        net_frame_done(&frame);
    }
    assert_int_equal(got, LARGE_N);
    stream_deinit(&s);
}

static void random_schedule(uint64_t seed, enum cipher_kind kind)
{
    static struct stream s;
    static uint32_t lens[ORDER_MAX];
    static bool got[ORDER_MAX];
    uint8_t *scratch = malloc(500000);
    uint32_t sent = 0, received = 0, whole_next = 0;
    struct rng rng;

    rng_init(&rng, seed);
    memset(got, 0, sizeof got);
    stream_init(&s, NET_RPC, kind);
    for (int step = 0; step < 600 || received < sent; step++) {
        struct net_frame frame;

        for (uint64_t n = step < 600 ? rng_below(&rng, 8) : 0; n > 0 && sent < ORDER_MAX; n--) {
            size_t len = random_size(&rng);
            uint8_t *body = malloc(len);
            size_t head = rng_below(&rng, 257);

            if (head > len)
                head = len;
            body_fill(body, len, sent);
            lens[sent++] = (uint32_t)len;
            if (rng_below(&rng, 2) == 0) {
                const struct kith_bytes parts[2] = {{body, head}, {body + head, len - head}};

                assert_int_equal(frame_writer_add(&s.writer, FRAME_CALL, parts, 2), 0);
                free(body);
            } else { /* the head is copied, the rest must stay until released */
                assert_int_equal(
                    frame_writer_add_take(&s.writer, FRAME_CALL, (struct kith_bytes){body, head},
                                          (struct kith_bytes){body + head, len - head}, free, body),
                    0);
            }
        }
        if (rng_below(&rng, 50) == 0)
            s.now_ms += NET_REKEY_MS;
        for (uint64_t n = rng_below(&rng, 6); n > 0; n--) {
            if (!carry(&s))
                break;
            while (frame_reader_next(&s.reader, &frame) == 1) {
                uint32_t number = get_le32(frame.body);

                assert_true(number < sent);
                assert_false(got[number]);
                got[number] = true;
                received++;
                assert_int_equal(frame.len, lens[number]);
                body_fill(scratch, frame.len, number);
                assert_memory_equal(frame.body, scratch, frame.len);
                if (frame.len <= FRAME_WHOLE_BYTES_MAX) { /* whole frames keep their order */
                    assert_true(number >= whole_next);
                    whole_next = number;
                }
                net_frame_done(&frame);
            }
            assert_int_equal(s.reader.failed, 0);
        }
    }
    assert_int_equal(received, sent);
    assert_false(frame_writer_pending(&s.writer));
    assert_true(s.out.key_since_ms > 0); /* it did rekey on the way */
    stream_deinit(&s);
    free(scratch);
}

static void random_schedules_deliver_everything_once(void **state)
{
    uint64_t seed = test_seed();

    (void)state;
    random_schedule(seed, CIPHER_AUTO);
    random_schedule(seed + 1, CIPHER_SODIUM);
    random_schedule(seed + 2, cipher_has(CIPHER_OPENSSL) ? CIPHER_OPENSSL : CIPHER_AUTO);
}

/* ---- rekeying ---- */

static void rekey_frame_ends_its_record_and_both_sides_go_on(void **state)
{
    static struct stream s;
    struct net_frame frame;
    uint8_t key[32];

    (void)state;
    stream_init(&s, NET_RPC, CIPHER_AUTO);
    memcpy(key, s.out.cipher.key, 32);
    for (int i = 0; i < 10; i++) {
        s.now_ms += NET_REKEY_MS;
        assert_int_equal(add(&s, FRAME_CALL, "call", 4), 0);
        assert_true(next(&s, &frame));
        assert_memory_equal(frame.body, "call", 4);
        assert_int_equal(frame_reader_next(&s.reader, &frame), 0); /* FRAME_REKEY is not given */
        assert_memory_not_equal(s.out.cipher.key, key, 32);
        assert_memory_equal(s.out.cipher.key, s.in.cipher.key, 32);
        memcpy(key, s.out.cipher.key, 32);
    }
    s.out.key_bytes = NET_REKEY_BYTES;
    assert_int_equal(add(&s, FRAME_CALL, "call", 4), 0);
    assert_true(next(&s, &frame));
    assert_false(next(&s, &frame));
    assert_memory_not_equal(s.out.cipher.key, key, 32);
    stream_deinit(&s);
}

static void rekey_waits_for_the_end_of_a_cut_frame(void **state)
{
    static uint8_t body[FRAME_WHOLE_BYTES_MAX];
    static struct stream s;
    struct net_frame frame;
    uint8_t key[32];

    (void)state;
    stream_init(&s, NET_RPC, CIPHER_AUTO);
    memcpy(key, s.out.cipher.key, 32);
    assert_int_equal(add(&s, FRAME_CALL, body, sizeof body), 0);
    s.now_ms = NET_REKEY_MS;
    assert_true(carry(&s));
    assert_int_equal(frame_reader_next(&s.reader, &frame), 0);
    assert_memory_equal(s.out.cipher.key, key, 32);
    assert_true(next(&s, &frame));
    assert_int_equal(frame.len, sizeof body);
    assert_memory_not_equal(s.out.cipher.key, key, 32);
    stream_deinit(&s);
}

/* ---- straight opening ---- */

static void fragments_are_opened_straight_into_their_block(void **state)
{
    static uint8_t body[300 * 1024];
    static struct stream s;
    struct rng rng = test_rng();
    struct net_frame frame;
    int n = 0;

    (void)state;
    random_bytes(&rng, body, sizeof body);
    stream_init(&s, NET_RPC, CIPHER_AUTO);
    assert_int_equal(frame_writer_add_take(&s.writer, FRAME_RESULT, (struct kith_bytes){0},
                                           (struct kith_bytes){body, sizeof body}, NULL, NULL),
                     0);
    for (; carry(&s); n++) {
        /* After the first, nothing of the plaintext passes through the receive buffer. */
        bool through_buffer = s.reader.data == s.wire + RECORD_HEAD_BYTES;

        assert_int_equal(through_buffer, n == 0);
        if (frame_reader_next(&s.reader, &frame) == 1) {
            assert_memory_equal(frame.body, body, sizeof body);
            net_frame_done(&frame);
        }
    }
    assert_int_equal(n, 6);
    stream_deinit(&s);
}

static void changed_record_on_the_straight_way_ends_the_stream(void **state)
{
    static uint8_t body[300 * 1024];
    static struct stream s;
    struct rng rng = test_rng();
    struct net_frame frame;

    (void)state;
    for (int i = 0; i < 64; i++) {
        size_t len;

        stream_init(&s, NET_RPC, CIPHER_AUTO);
        assert_int_equal(frame_writer_add_take(&s.writer, FRAME_RESULT, (struct kith_bytes){0},
                                               (struct kith_bytes){body, sizeof body}, NULL, NULL),
                         0);
        assert_true(carry(&s));
        assert_int_equal(frame_reader_next(&s.reader, &frame), 0);
        assert_int_equal(frame_writer_seal(&s.writer, &s.out, 0, s.wire, &len), 0);
        /* The head, bit for bit (id, length, flags), and then anywhere. */
        s.wire[RECORD_HEAD_BYTES + (i < 60 ? i / 8 : (int)rng_below(&rng, 50000))] ^=
            (uint8_t)(1 << i % 8);
        assert_int_equal(frame_reader_open(&s.reader, &s.in, s.wire, len), KITH_E_CORRUPT);
        assert_int_equal(frame_reader_next(&s.reader, &frame), KITH_E_CORRUPT);
        stream_deinit(&s);
    }
}

/* ---- broken rules ---- */

struct bytes {
    uint8_t data[NET_RECORD_PLAIN_BYTES_MAX];
    size_t len;
};

static struct bytes plain;

static void put(uint32_t len, uint8_t type, uint8_t flags, uint16_t id, size_t body)
{
    const struct frame_head head = {len, type, flags, id};

    frame_head_encode(&head, plain.data + plain.len);
    memset(plain.data + plain.len + FRAME_HEAD_BYTES, 1, body);
    plain.len += FRAME_HEAD_BYTES + body;
}

static void put_first(uint32_t len, uint8_t flags, uint16_t id, uint32_t total)
{
    put(len, FRAME_CALL, flags, id, len);
    if (len >= 4)
        put_le32(plain.data + plain.len - len, total);
}

/* What the reader says of all that was put; frames before the failure are dropped. */
static int verdict(enum net_class net_class, size_t assembly_max)
{
    struct frame_budget budget = {.max = assembly_max};
    struct frame_reader reader;
    struct net_frame frame;
    int r;

    frame_reader_init(&reader, net_class, 0, &budget);
    frame_reader_feed(&reader, plain.data, plain.len);
    while ((r = frame_reader_next(&reader, &frame)) == 1)
        net_frame_done(&frame);
    if (r < 0)
        assert_int_equal(frame_reader_next(&reader, &frame), r); /* and it stays so */
    frame_reader_deinit(&reader);
    assert_int_equal(budget.used, 0);
    plain.len = 0;
    return r;
}

#define MIB ((size_t)1024 * 1024)

static void each_broken_rule_ends_the_stream(void **state)
{
    (void)state;
    /* Types. */
    put(0, 0, 0, 0, 0);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put(0, FRAME_CALL, 0, 0, 0);
    assert_int_equal(verdict(NET_CONTROL, MIB), KITH_E_PARSE);
    put(0, FRAME_MEMBER_PUSH_PULL, 0, 0, 0);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put(0, FRAME_REGISTRY, 0, 0, 0);
    assert_int_equal(verdict(NET_BULK, MIB), KITH_E_PARSE);
    put(0, 200, 0, 0, 0); /* of a later version */
    assert_int_equal(verdict(NET_BULK, MIB), 0);
    /* Lengths, told from the head alone. */
    put(FRAME_WHOLE_BYTES_MAX + 1, FRAME_CALL, 0, 0, 0);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_TOO_LARGE);
    put(FRAME_WHOLE_BYTES_MAX, FRAME_CALL, 0, 0, 0);
    assert_int_equal(verdict(NET_RPC, MIB), 0);
    put(NET_CONTROL_FRAME_BYTES_MAX + 1, FRAME_REGISTRY, 0, 0, 0);
    assert_int_equal(verdict(NET_CONTROL, MIB), KITH_E_TOO_LARGE);
    put(NET_CONTROL_FRAME_BYTES_MAX, FRAME_REGISTRY, 0, 0, 0);
    assert_int_equal(verdict(NET_CONTROL, MIB), 0);
    put(4097, FRAME_HELLO, 0, 0, 0);
    assert_int_equal(verdict(NET_CONTROL, MIB), KITH_E_TOO_LARGE);
    put(UINT32_MAX, FRAME_CALL, 0, 0, 0);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_TOO_LARGE);
    put(UINT32_MAX, FRAME_CALL, FRAME_MORE, 1, 0);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_TOO_LARGE);
    /* Flags and ids. */
    put(8, FRAME_CALL, FRAME_FIRST, 1, 8);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put(8, FRAME_CALL, 4, 1, 8);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put(8, FRAME_CALL, 0x80, 0, 8);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put(8, FRAME_CALL, FRAME_MORE, 0, 8);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put(8, FRAME_REGISTRY, FRAME_FIRST | FRAME_MORE, 1, 8);
    assert_int_equal(verdict(NET_CONTROL, MIB), KITH_E_PARSE);
    put(8, FRAME_HELLO, FRAME_FIRST | FRAME_MORE, 1, 8);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    /* Rekey. */
    put(0, FRAME_REKEY, 0, 0, 0);
    assert_int_equal(verdict(NET_RPC, MIB), 0);
    put(1, FRAME_REKEY, 0, 0, 1);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put(0, FRAME_REKEY, 0, 0, 0);
    put(0, FRAME_PING, 0, 0, 0);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
}

static void each_broken_rule_of_fragments_ends_the_stream(void **state)
{
    const uint8_t first = FRAME_FIRST | FRAME_MORE;

    (void)state;
    put_first(3, first, 1, 0); /* no room for the total */
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put_first(4, first, 1, 100); /* nothing of the frame */
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put_first(14, first, 1, 0);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put_first(14, first, 1, 10); /* all of it, but more is said to follow */
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put_first(14, first, 1, 9);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put_first(14, first, 1, NET_RPC_FRAME_BYTES_MAX + 1);
    assert_int_equal(verdict(NET_RPC, 64 * MIB), KITH_E_TOO_LARGE);
    put_first(14, first, 1, NET_RPC_FRAME_BYTES_MAX);
    assert_int_equal(verdict(NET_RPC, 64 * MIB), 0);
    put_first(NET_FRAGMENT_BYTES + 5, first, 1, MIB);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_TOO_LARGE);
    put_first(NET_FRAGMENT_BYTES + 4, first, 1, MIB);
    assert_int_equal(verdict(NET_RPC, MIB), 0);
    put_first(14, first, 1, 100); /* begun twice */
    put_first(14, first, 1, 100);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put(5, FRAME_CALL, FRAME_MORE, 1, 5); /* never begun */
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put(5, FRAME_CALL, 0, 1, 5);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put_first(14, first, 1, 100); /* empty in the middle */
    put(0, FRAME_CALL, FRAME_MORE, 1, 0);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put_first(14, first, 1, 100); /* another type */
    put(5, FRAME_RESULT, FRAME_MORE, 1, 5);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put_first(14, first, 1, 20); /* too much */
    put(11, FRAME_CALL, 0, 1, 11);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put_first(14, first, 1, 20); /* too little */
    put(9, FRAME_CALL, 0, 1, 9);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put_first(14, first, 1, 20); /* all, and more said to follow */
    put(10, FRAME_CALL, FRAME_MORE, 1, 10);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_PARSE);
    put_first(14, first, 1, 20); /* right */
    put(10, FRAME_CALL, 0, 1, 10);
    assert_int_equal(verdict(NET_RPC, MIB), 0);
}

static void what_is_assembled_is_bounded_before_it_is_allocated(void **state)
{
    const uint8_t first = FRAME_FIRST | FRAME_MORE;

    (void)state;
    for (uint16_t id = 1; id <= NET_FRAGMENTS_OPEN_MAX; id++)
        put_first(5, first, id, 100);
    assert_int_equal(verdict(NET_RPC, MIB), 0);
    for (uint16_t id = 1; id <= NET_FRAGMENTS_OPEN_MAX + 1; id++)
        put_first(5, first, id, 100);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_LIMIT);
    put_first(5, first, 1, 600000);
    put_first(5, first, 2, (uint32_t)MIB - 600000);
    assert_int_equal(verdict(NET_RPC, MIB), 0);
    put_first(5, first, 1, 600000);
    put_first(5, first, 2, (uint32_t)MIB - 600000 + 1);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_LIMIT);

    put_first(5, first, 1, 1000);
    core_alloc_fail_at(2); /* the frame's block */
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_MEMORY);
    core_alloc_fail_at(0);
    put(5, FRAME_CALL, 0, 0, 2); /* runs over the record: pending */
    core_alloc_fail_at(1);
    assert_int_equal(verdict(NET_RPC, MIB), KITH_E_MEMORY);
    core_alloc_fail_at(0);
}

/* The same plaintext cut into records at every pair of places gives the same frames. */
static void frames_run_over_records_wherever_they_are_cut(void **state)
{
    const uint8_t first = FRAME_FIRST | FRAME_MORE;
    size_t len;

    (void)state;
    put(3, FRAME_CALL, 0, 0, 3);
    put_first(10, first, 9, 11);
    put(0, FRAME_PING, 0, 0, 0);
    put(5, FRAME_CALL, 0, 9, 5);
    put(12, FRAME_RESULT, 0, 0, 12);
    len = plain.len;
    plain.len = 0;
    for (size_t a = 0; a <= len; a++) {
        for (size_t b = a; b <= len; b++) {
            const size_t ends[3] = {a, b, len};
            struct frame_budget budget = {.max = MIB};
            struct frame_reader reader;
            struct net_frame frame;
            uint8_t types[8];
            size_t n = 0, at = 0;

            frame_reader_init(&reader, NET_RPC, 0, &budget);
            for (int i = 0; i < 3; i++) {
                /* A copy that is gone afterwards, so that a stale pointer is seen. */
                uint8_t *piece = malloc(ends[i] - at + 1);

                memcpy(piece + 1, plain.data + at, ends[i] - at);
                frame_reader_feed(&reader, piece + 1, ends[i] - at);
                at = ends[i];
                while (frame_reader_next(&reader, &frame) == 1) {
                    assert_true(n < 8);
                    types[n++] = frame.type;
                    for (size_t k = 0; k < frame.len; k++)
                        assert_int_equal(frame.body[k], 1);
                    net_frame_done(&frame);
                }
                assert_int_equal(reader.failed, 0);
                free(piece);
            }
            assert_int_equal(n, 4);
            assert_memory_equal(types,
                                ((uint8_t[]){FRAME_CALL, FRAME_PING, FRAME_CALL, FRAME_RESULT}), 4);
            frame_reader_deinit(&reader);
        }
    }
}

static void short_memory_in_the_writer_queues_nothing(void **state)
{
    static uint8_t body[FRAME_WHOLE_BYTES_MAX];
    static struct stream s;

    (void)state;
    stream_init(&s, NET_RPC, CIPHER_SODIUM);
    core_alloc_fail_at(1);
    assert_int_equal(add(&s, FRAME_CALL, body, 10), KITH_E_MEMORY);
    core_alloc_fail_at(2); /* the second of two chunks */
    assert_int_equal(add(&s, FRAME_CALL, body, sizeof body), KITH_E_MEMORY);
    core_alloc_fail_at(0);
    assert_false(frame_writer_pending(&s.writer));
    assert_int_equal(s.queue.used, 0);
    stream_deinit(&s);
}

/* ---- small things ---- */

static void limits_by_class(void **state)
{
    (void)state;
    assert_int_equal(frame_bytes_max(NET_CONTROL), 64 * 1024);
    assert_int_equal(frame_bytes_max(NET_RPC), NET_RPC_FRAME_BYTES_MAX);
    assert_int_equal(frame_bytes_max(NET_BULK), 64 * 1024);
    assert_int_equal(frame_bytes_max((enum net_class)3), 0);
}

static void close_and_credit_bodies_are_checked(void **state)
{
    uint8_t close[FRAME_CLOSE_BYTES + 1], credit[FRAME_CREDIT_BYTES + 1];
    enum frame_close_reason reason;
    uint64_t arg;
    uint32_t bytes;

    (void)state;
    for (unsigned i = 0; i <= FRAME_CLOSE_REASON_LAST; i++) {
        frame_close_encode((enum frame_close_reason)i, 42 + i, close);
        assert_int_equal(frame_close_decode(close, FRAME_CLOSE_BYTES, &reason, &arg), 0);
        assert_int_equal(reason, i);
        assert_int_equal(arg, 42 + i);
        assert_true(strlen(frame_close_text(reason)) > 0);
    }
    close[0] = 250;
    assert_int_equal(frame_close_decode(close, FRAME_CLOSE_BYTES, &reason, &arg), 0);
    assert_int_equal(reason, FRAME_CLOSE_NORMAL);
    assert_int_equal(frame_close_decode(close, FRAME_CLOSE_BYTES - 1, &reason, &arg), KITH_E_PARSE);
    assert_int_equal(frame_close_decode(close, FRAME_CLOSE_BYTES + 1, &reason, &arg), KITH_E_PARSE);
    frame_credit_encode(123456, credit);
    assert_int_equal(frame_credit_decode(credit, FRAME_CREDIT_BYTES, &bytes), 0);
    assert_int_equal(bytes, 123456);
    assert_int_equal(frame_credit_decode(credit, 3, &bytes), KITH_E_PARSE);
    assert_int_equal(frame_credit_decode(credit, 5, &bytes), KITH_E_PARSE);
}

static void pool_keeps_only_so_many_chunks(void **state)
{
    struct frame_pool pool;
    struct frame_chunk *chunks[5];

    (void)state;
    frame_pool_init(&pool, 3);
    for (int i = 0; i < 5; i++)
        assert_non_null(chunks[i] = frame_pool_get(&pool));
    for (int i = 0; i < 5; i++)
        frame_pool_put(&pool, chunks[i]);
    frame_pool_put(&pool, NULL);
    assert_int_equal(pool.free_n, 3);
    core_alloc_fail_at(1); /* the stock serves without the heap */
    chunks[0] = frame_pool_get(&pool);
    assert_non_null(chunks[0]);
    core_alloc_fail_at(0);
    frame_pool_put(&pool, chunks[0]);
    frame_pool_deinit(&pool);
    assert_int_equal(pool.free_n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_of_one_turn_share_a_record),
        cmocka_unit_test(whole_frames_of_every_size_arrive),
        cmocka_unit_test(large_frame_is_fragmented_and_given_in_a_block),
        cmocka_unit_test(small_bodies_are_copied_and_released_at_once),
        cmocka_unit_test(release_runs_once_whatever_happens),
        cmocka_unit_test(release_may_queue_more),
        cmocka_unit_test(queue_bound_refuses_and_drains),
        cmocka_unit_test(frame_beyond_its_class_is_refused_by_the_sender),
        cmocka_unit_test(sender_begins_no_more_than_the_receiver_assembles),
        cmocka_unit_test(small_frames_pass_large_ones),
        cmocka_unit_test(flood_of_small_frames_does_not_starve_a_large_one),
        cmocka_unit_test(large_frames_that_have_begun_begin_anew_on_the_next_stream),
        cmocka_unit_test(random_schedules_deliver_everything_once),
        cmocka_unit_test(rekey_frame_ends_its_record_and_both_sides_go_on),
        cmocka_unit_test(rekey_waits_for_the_end_of_a_cut_frame),
        cmocka_unit_test(fragments_are_opened_straight_into_their_block),
        cmocka_unit_test(changed_record_on_the_straight_way_ends_the_stream),
        cmocka_unit_test(each_broken_rule_ends_the_stream),
        cmocka_unit_test(each_broken_rule_of_fragments_ends_the_stream),
        cmocka_unit_test(what_is_assembled_is_bounded_before_it_is_allocated),
        cmocka_unit_test(frames_run_over_records_wherever_they_are_cut),
        cmocka_unit_test(short_memory_in_the_writer_queues_nothing),
        cmocka_unit_test(limits_by_class),
        cmocka_unit_test(close_and_credit_bodies_are_checked),
        cmocka_unit_test(pool_keeps_only_so_many_chunks),
    };
    return run_net_tests("net_frame", tests);
}

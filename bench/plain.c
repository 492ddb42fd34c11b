/*
 * The baseline: a plain libuv TCP echo in the clear. Frames are a length, a small head and the
 * payload, as small as they can be; one write per read event; no dispatch, no table, no copy beyond
 * the frame. Server and client each have one loop.
 *
 * For shared state the server is also the least that one can be: a relay from a publisher to
 * subscribers, and a lock with a counter in its memory, taken by asking until one gets it.
 */
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "bench.h"

#define HEAD     12 /* u32 length of what follows, u32 operation, u32 number */
#define OP_ECHO  1
#define OP_BULK  2
#define OP_TRY   3 /* one byte: is it yours now? */
#define OP_FREE  4
#define OP_GET   5 /* the counter */
#define OP_SET   6
#define OP_SUB   7 /* from now on, what is published */
#define OP_PUB   8
#define BEAT_MS  1 /* between two that are published */
#define IN_BYTES (256u * 1024)

struct end {
    uv_tcp_t tcp;
    uint8_t *in, *out;
    size_t in_len, in_cap, out_len, out_cap;
};

static uint8_t bulk_payload[BENCH_BULK_BYTES];

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct end *end = handle->data;
    (void)suggested;
    if (end->in_cap - end->in_len < IN_BYTES) {
        end->in_cap = end->in_len + 2 * BENCH_BULK_BYTES;
        end->in = realloc(end->in, end->in_cap);
    }
    *buf = uv_buf_init((char *)end->in + end->in_len, (unsigned)(end->in_cap - end->in_len));
}

static uint8_t *out_room(struct end *end, size_t bytes)
{
    if (end->out_len + bytes > end->out_cap) {
        end->out_cap = (end->out_len + bytes) * 2;
        end->out = realloc(end->out, end->out_cap);
    }
    uint8_t *at = end->out + end->out_len;
    end->out_len += bytes;
    return at;
}

static void put_frame(struct end *end, uint32_t op, uint32_t no, const void *data, uint32_t len)
{
    uint32_t head[3] = {8 + len, op, no};
    uint8_t *at = out_room(end, HEAD + len);
    memcpy(at, head, HEAD);
    memcpy(at + HEAD, data, len);
}

struct rest {
    uv_write_t write;
    uint8_t *data;
};

static void on_rest(uv_write_t *write, int status)
{
    struct rest *rest = (struct rest *)write;
    (void)status;
    free(rest->data);
    free(rest);
}

static void flush(struct end *end)
{
    if (end->out_len == 0)
        return;
    uv_buf_t buf = uv_buf_init((char *)end->out, (unsigned)end->out_len);
    int n = uv_try_write((uv_stream_t *)&end->tcp, &buf, 1);
    size_t done = n > 0 ? (size_t)n : 0;
    if (done < end->out_len) {
        struct rest *rest = calloc(1, sizeof(*rest));
        rest->data = end->out; /* handed over */
        uv_buf_t left = uv_buf_init((char *)end->out + done, (unsigned)(end->out_len - done));
        uv_write(&rest->write, (uv_stream_t *)&end->tcp, &left, 1, on_rest);
        end->out = NULL;
        end->out_cap = 0;
    }
    end->out_len = 0;
}

/* Calls @handle for each whole frame. */
static void parse(struct end *end, void (*handle)(struct end *, uint32_t *, uint8_t *, uint32_t))
{
    size_t at = 0;
    while (end->in_len - at >= HEAD) {
        uint32_t head[3];
        memcpy(head, end->in + at, HEAD);
        if (end->in_len - at < 4 + (size_t)head[0])
            break;
        handle(end, head, end->in + at + HEAD, head[0] - 8);
        at += 4 + (size_t)head[0];
    }
    end->in_len -= at;
    if (at > 0 && end->in_len > 0)
        memmove(end->in, end->in + at, end->in_len);
}

/* ---- server ---- */

static void on_bulk(uv_write_t *write, int status)
{
    (void)status;
    free(write);
}

struct bulk_write {
    uv_write_t write;
    uint32_t head[3];
};

static struct {
    uint8_t held;
    uint64_t counter;
    struct end *subscribers[4];
    unsigned subscribers_n;
} shared;

static void serve_shared(struct end *end, uint32_t op, const uint8_t *data, uint32_t len)
{
    uint8_t got = !shared.held;

    switch (op) {
    case OP_TRY:
        shared.held = 1;
        put_frame(end, op, 0, &got, 1);
        break;
    case OP_FREE:
        shared.held = 0;
        put_frame(end, op, 0, &got, 1);
        break;
    case OP_GET:
        put_frame(end, op, 0, &shared.counter, sizeof(shared.counter));
        break;
    case OP_SET:
        memcpy(&shared.counter, data, sizeof(shared.counter));
        put_frame(end, op, 0, &got, 1);
        break;
    case OP_SUB:
        if (shared.subscribers_n < sizeof(shared.subscribers) / sizeof(shared.subscribers[0]))
            shared.subscribers[shared.subscribers_n++] = end;
        put_frame(end, op, 0, &got, 1);
        break;
    case OP_PUB:
        for (unsigned i = 0; i < shared.subscribers_n; i++) {
            put_frame(shared.subscribers[i], OP_PUB, 0, data, len);
            flush(shared.subscribers[i]);
        }
        break;
    }
}

static void serve(struct end *end, uint32_t *head, uint8_t *data, uint32_t len)
{
    if (head[1] == OP_ECHO) {
        put_frame(end, OP_ECHO, head[2], data, len);
        return;
    }
    if (head[1] != OP_BULK) {
        serve_shared(end, head[1], data, len);
        return;
    }
    /* From where it lies, without a copy. */
    flush(end);
    struct bulk_write *bulk = calloc(1, sizeof(*bulk));
    bulk->head[0] = 8 + BENCH_BULK_BYTES;
    bulk->head[1] = OP_BULK;
    bulk->head[2] = head[2];
    uv_buf_t bufs[2] = {uv_buf_init((char *)bulk->head, HEAD),
                        uv_buf_init((char *)bulk_payload, BENCH_BULK_BYTES)};
    uv_write(&bulk->write, (uv_stream_t *)&end->tcp, bufs, 2, on_bulk);
}

static void on_served(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct end *end = stream->data;
    (void)buf;
    if (n < 0) {
        uv_close((uv_handle_t *)stream, NULL);
        return;
    }
    end->in_len += (size_t)n;
    parse(end, serve);
    flush(end);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct end *end = calloc(1, sizeof(*end));
    (void)status;
    uv_tcp_init(server->loop, &end->tcp);
    end->tcp.data = end;
    uv_accept(server, (uv_stream_t *)&end->tcp);
    uv_tcp_nodelay(&end->tcp, 1);
    uv_read_start((uv_stream_t *)&end->tcp, on_alloc, on_served);
}

static void on_stdin(uv_poll_t *poll, int status, int events)
{
    char byte;
    (void)status;
    (void)events;
    if (fread(&byte, 1, 1, stdin) == 0)
        uv_stop(poll->loop);
}

int bench_plain_server(const char *arg)
{
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t server;
    uv_poll_t input;
    struct sockaddr_in address;
    int len = sizeof(address);

    (void)arg;
    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(loop, &server);
    if (uv_tcp_bind(&server, (const struct sockaddr *)&address, 0) != 0 ||
        uv_listen((uv_stream_t *)&server, 16, on_connection) != 0)
        return 1;
    uv_tcp_getsockname(&server, (struct sockaddr *)&address, &len);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    uv_poll_init(loop, &input, 0);
    uv_poll_start(&input, UV_READABLE, on_stdin);
    uv_run(loop, UV_RUN_DEFAULT);
    return 0;
}

/* ---- client ---- */

static struct {
    struct end end;
    uint32_t op;
    uint8_t argument[BENCH_ECHO_BYTES];
    uint64_t begun_ns, until_ns, ended_ns;
    uint64_t measured_from_ns, sent_ns;
    uint64_t count;
    unsigned outstanding;
    bool measure_each;
    bool counts; /* what the lock guards is the server's counter */
    struct bench_samples samples;
} client;

/* One step of: ask for the lock until one has it, perhaps count, give it back. */
static void on_lock_reply(struct end *end, uint32_t op, const uint8_t *data)
{
    uint64_t counter = 0, now_ns;

    switch (op) {
    case OP_TRY:
        if (data[0] == 0 && bench_now_ns() >= client.until_ns)
            client.outstanding = 0;
        else
            put_frame(end, data[0] == 0 ? OP_TRY : client.counts ? OP_GET : OP_FREE, 0, "", 1);
        break;
    case OP_GET:
        memcpy(&counter, data, sizeof(counter));
        counter++;
        put_frame(end, OP_SET, 0, &counter, sizeof(counter));
        break;
    case OP_SET:
        put_frame(end, OP_FREE, 0, "", 1);
        break;
    case OP_FREE:
        now_ns = bench_now_ns();
        if (now_ns >= client.measured_from_ns)
            bench_add(&client.samples, (double)(now_ns - client.sent_ns) / 1000);
        client.count++;
        client.sent_ns = now_ns;
        if (now_ns >= client.until_ns)
            client.outstanding = 0;
        else
            put_frame(end, OP_TRY, 0, "", 1);
        break;
    }
}

static void on_published(const uint8_t *data)
{
    uint64_t sent_ns;

    memcpy(&sent_ns, data, sizeof(sent_ns));
    bench_add(&client.samples, (double)(bench_now_ns() - sent_ns) / 1000);
}

static void on_reply(struct end *end, uint32_t *head, uint8_t *data, uint32_t len)
{
    uint64_t now_ns = 0;
    (void)len;
    if (head[1] >= OP_TRY) {
        if (head[1] == OP_PUB)
            on_published(data);
        else if (head[1] < OP_SUB)
            on_lock_reply(end, head[1], data);
        return;
    }
    client.outstanding--;
    if (client.measure_each || (client.count & 63) == 0)
        now_ns = bench_now_ns();
    if (client.measure_each && now_ns >= client.measured_from_ns)
        bench_add(&client.samples, (double)(now_ns - client.sent_ns) / 1000);
    client.count++;
    if (now_ns >= client.until_ns)
        client.until_ns = 0; /* no more */
    if (client.until_ns == 0)
        return;
    client.sent_ns = now_ns;
    client.outstanding++;
    put_frame(end, client.op, 0, client.argument, sizeof(client.argument));
}

static void on_replies(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct end *end = stream->data;
    (void)buf;
    if (n < 0)
        exit(1);
    end->in_len += (size_t)n;
    parse(end, on_reply);
    flush(end);
    if (client.outstanding == 0)
        uv_stop(stream->loop);
}

static void on_connect(uv_connect_t *connect, int status)
{
    if (status != 0)
        exit(1);
    uv_tcp_nodelay(&client.end.tcp, 1);
    uv_read_start((uv_stream_t *)&client.end.tcp, on_alloc, on_replies);
    uv_stop(connect->handle->loop);
}

/* One step: @n outstanding for @ms. Prints median, p99 (us) and replies a second. */
static void step(uint32_t op, unsigned n, unsigned ms, bool each)
{
    client.op = op;
    client.measure_each = each;
    client.samples.n = 0;
    client.count = 0;
    client.outstanding = n;
    client.begun_ns = bench_now_ns();
    client.sent_ns = client.begun_ns;
    client.measured_from_ns = client.begun_ns + BENCH_WARM_MS * 1000000u;
    client.until_ns = client.begun_ns + (uint64_t)(ms + BENCH_WARM_MS) * 1000000u;
    for (unsigned i = 0; i < n; i++)
        put_frame(&client.end, op, 0, client.argument, sizeof(client.argument));
    flush(&client.end);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    double seconds = (double)(bench_now_ns() - client.begun_ns) / 1e9;
    printf("%f %f %f\n", bench_percentile(&client.samples, 50),
           bench_percentile(&client.samples, 99), (double)client.count / seconds);
    fflush(stdout);
}

static void on_over(uv_timer_t *timer)
{
    client.outstanding = 0;
    uv_stop(timer->loop);
}

static void on_beat(uv_timer_t *timer)
{
    uint8_t data[BENCH_ECHO_BYTES] = {0};
    uint64_t now_ns = bench_now_ns();

    (void)timer;
    memcpy(data, &now_ns, sizeof(now_ns));
    put_frame(&client.end, OP_PUB, 0, data, sizeof(data));
    flush(&client.end);
}

/* For @ms: publishes (@op OP_PUB) or hears (OP_SUB). Prints median, p99 and how many. */
static void relay_step(uint32_t op, unsigned ms)
{
    uv_timer_t over, beat;

    client.samples.n = 0;
    client.outstanding = 1;
    uv_timer_init(uv_default_loop(), &over);
    uv_timer_init(uv_default_loop(), &beat);
    uv_update_time(uv_default_loop());
    uv_timer_start(&over, on_over, ms, 0);
    if (op == OP_PUB)
        uv_timer_start(&beat, on_beat, BEAT_MS, BEAT_MS);
    else
        put_frame(&client.end, OP_SUB, 0, "", 1);
    flush(&client.end);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&over, NULL);
    uv_close((uv_handle_t *)&beat, NULL);
    uv_run(uv_default_loop(), UV_RUN_NOWAIT);
    printf("%f %f %zu\n", bench_percentile(&client.samples, 50),
           bench_percentile(&client.samples, 99), client.samples.n);
    fflush(stdout);
}

int bench_plain_client(const char *arg)
{
    uv_loop_t *loop = uv_default_loop();
    uv_connect_t connect;
    struct sockaddr_in address;
    char line[128];
    unsigned n, ms;

    uv_ip4_addr("127.0.0.1", atoi(arg), &address);
    uv_tcp_init(loop, &client.end.tcp);
    client.end.tcp.data = &client.end;
    uv_tcp_connect(&connect, &client.end.tcp, (const struct sockaddr *)&address, on_connect);
    uv_run(loop, UV_RUN_DEFAULT);
    printf("0\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (sscanf(line, "latency %u", &ms) == 1)
            step(OP_ECHO, 1, ms, true);
        else if (sscanf(line, "rate %u %u", &n, &ms) == 2)
            step(OP_ECHO, n, ms, false);
        else if (sscanf(line, "bulk %u %u", &n, &ms) == 2)
            step(OP_BULK, n, ms, false);
        else if (sscanf(line, "publish %u", &ms) == 1)
            relay_step(OP_PUB, ms);
        else if (sscanf(line, "hear %u", &ms) == 1)
            relay_step(OP_SUB, ms);
        else if (sscanf(line, "lock %u %u", &n, &ms) == 2) {
            client.counts = n != 0;
            step(OP_TRY, 1, ms, true);
        }
    }
    return 0;
}

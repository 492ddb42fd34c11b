#include "net_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/map.h"
#include "kith/error.h"

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

void lab_open(struct lab *lab)
{
    memset(lab, 0, sizeof(*lab));
    assert_int_equal(uv_loop_init(&lab->loop), 0);
    uv_timer_init(&lab->loop, &lab->tick);
    uv_timer_start(&lab->tick, on_tick, 5, 5); /* so that waits look at their bound */
}

void lab_turn(struct lab *lab, uint64_t until_ns, const char *what, const char *file, int line)
{
    uv_run(&lab->loop, UV_RUN_ONCE);
    if (uv_hrtime() > until_ns) {
        for (int i = 0; i < LAB_NODES_MAX; i++)
            if (lab->nodes[i].log_text[0] != '\0')
                print_message("node %d:\n%s", i, lab->nodes[i].log_text);
        print_message("waited too long for: %s\n", what);
        _fail(file, line);
    }
}

/* ---- events ---- */

static void
on_stream_open(void *user, struct uv_peer *peer, uint64_t boot_no, enum net_class net_class)
{
    struct lab_node *node = user;
    node->opened++;
    node->opened_by_class[net_class]++;
    node->last_peer = peer;
    node->last_boot_no = boot_no;
}

static void
on_stream_closed(void *user, struct uv_peer *peer, enum net_class net_class, const char *reason)
{
    struct lab_node *node = user;
    (void)peer;
    (void)net_class;
    node->closed++;
    (void)snprintf(node->close_reason, sizeof(node->close_reason), "%s", reason);
}

static void on_frame(void *user, struct uv_peer *peer, uint64_t boot_no, struct net_frame *frame)
{
    struct lab_node *node = user;
    node->last_boot_no = boot_no;
    if (node->on_frame != NULL) {
        node->on_frame(node, peer, frame);
        return;
    }
    if (node->frames_n < LAB_FRAMES_MAX) {
        struct lab_frame *kept = &node->frames[node->frames_n];
        kept->peer = peer;
        kept->net_class = frame->net_class;
        kept->type = frame->type;
        kept->len = frame->len;
        kept->number = frame->len >= 4 ? get_le32(frame->body) : 0;
        kept->hash = hash_bytes(frame->body, frame->len, 1);
    }
    node->frames_n++;
}

static void
on_datagram(void *user, struct uv_peer *peer, uint64_t boot_no, const uint8_t *data, size_t len)
{
    struct lab_node *node = user;
    node->last_peer = peer;
    node->last_boot_no = boot_no;
    node->datagrams++;
    memcpy(node->datagram, data, len);
    node->datagram_len = len;
}

static void
on_unreachable(void *user, struct uv_peer *peer, enum net_class net_class, const char *reason)
{
    struct lab_node *node = user;
    (void)peer;
    (void)net_class;
    node->unreachable++;
    (void)snprintf(node->unreachable_reason, sizeof(node->unreachable_reason), "%s", reason);
}

static void on_given_up(void *user, struct uv_peer *peer, enum net_class net_class)
{
    struct lab_node *node = user;
    (void)peer;
    (void)net_class;
    node->given_up++;
}

static uint64_t on_stale_boot(void *user, uint64_t seen)
{
    struct lab_node *node = user;
    node->stale_boots++;
    if (node->refuse_stale)
        return 0;
    node->boot_no = seen + 1;
    return node->boot_no;
}

static void on_drained(void *user, struct uv_peer *peer, enum net_class net_class)
{
    struct lab_node *node = user;
    (void)peer;
    (void)net_class;
    node->drained++;
}

static void on_log(struct log *log,
                   enum kith_log_level level,
                   const char *area,
                   const char *message,
                   const char *const *pairs,
                   size_t pairs_n)
{
    struct lab_node *node = log->user;
    size_t len = strlen(node->log_text);
    char line[2048];
    int n = snprintf(line, sizeof(line), "%s: %s", area, message);
    (void)level;
    for (size_t i = 0; i < pairs_n && (size_t)n < sizeof(line); i++)
        n += snprintf(line + n, sizeof(line) - (size_t)n, " %s=\"%s\"", pairs[2 * i],
                      pairs[2 * i + 1]);
    (void)snprintf(node->log_text + len, sizeof(node->log_text) - len, "%s\n", line);
    node->logs++;
}

/* ---- nodes ---- */

struct lab_node *lab_node(struct lab *lab, int index, int cluster)
{
    struct lab_node *node = &lab->nodes[index];
    uint8_t seed[NET_SEED_BYTES];
    memset(node, 0, sizeof(*node));
    node->lab = lab;
    node->index = index;
    memset(seed, 0x40 + index, sizeof(seed));
    assert_int_equal(net_identity_from_seed(&node->identity, seed), 0);
    memset(node->cluster.id.bytes, cluster, sizeof(node->cluster.id.bytes));
    memset(node->cluster.secret, 0x80 + cluster, sizeof(node->cluster.secret));
    node->boot_no = 1;
    node->log = (struct log){.level = KITH_LOG_DEBUG, .sink = on_log, .user = node};
    return node;
}

void lab_config(struct lab_node *node, struct uv_net_config *config)
{
    *config = (struct uv_net_config){
        .loop = &node->lab->loop,
        .log = &node->log,
        .identity = &node->identity,
        .cluster = &node->cluster,
        .boot_no = node->boot_no,
        .role = KITH_ROLE_NODE,
        .listen = "127.0.0.1:0",
        .events =
            {
                .stream_open = on_stream_open,
                .stream_closed = on_stream_closed,
                .frame = on_frame,
                .datagram = on_datagram,
                .unreachable = on_unreachable,
                .given_up = on_given_up,
                .stale_boot = on_stale_boot,
                .drained = on_drained,
            },
        .user = node,
    };
}

void lab_listen(struct lab_node *node)
{
    struct uv_net_config config;
    lab_config(node, &config);
    assert_int_equal(uv_net_open(&node->net, &config), 0);
    (void)snprintf(node->address, sizeof(node->address), "127.0.0.1:%u",
                   (unsigned)uv_net_port(node->net));
    node->is_closed = false;
}

struct lab_node *lab_start(struct lab *lab, int index)
{
    struct lab_node *node = lab_node(lab, index, 1);
    lab_listen(node);
    return node;
}

static void on_net_closed(void *user)
{
    struct lab_node *node = user;
    node->is_closed = true;
    node->net = NULL;
}

void lab_stop(struct lab_node *node)
{
    uv_net_close(node->net, on_net_closed, node);
    LAB_WAIT(node->lab, node->is_closed);
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void lab_close(struct lab *lab)
{
    for (int i = 0; i < LAB_NODES_MAX; i++)
        if (lab->nodes[i].net != NULL)
            uv_net_close(lab->nodes[i].net, on_net_closed, &lab->nodes[i]);
    for (int i = 0; i < LAB_NODES_MAX; i++)
        LAB_WAIT(lab, lab->nodes[i].net == NULL);
    /* A case that failed may have left handles of its own. */
    uv_walk(&lab->loop, close_handle, NULL);
    uv_run(&lab->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&lab->loop), 0);
}

static void on_dialled(void *user, int status, struct uv_peer *peer)
{
    struct lab_node *node = user;
    node->dials_done++;
    node->dial_status = status;
    node->dial_peer = peer;
}

void lab_dial(struct lab_node *from, const char *address)
{
    assert_int_equal(uv_net_dial(from->net, address, on_dialled, from), 0);
}

struct uv_peer *lab_learn(struct lab_node *from, const struct lab_node *to, const char *address)
{
    struct uv_peer *peer = NULL;
    const char *addresses[1] = {address != NULL ? address : to->address};
    assert_int_equal(
        uv_net_learn(from->net, &to->identity.id, to->identity.sign_pk, addresses, 1, &peer), 0);
    return peer;
}

struct uv_peer *lab_peer(struct lab_node *from, const struct lab_node *to)
{
    return uv_net_find(from->net, &to->identity.id);
}

/* ---- frames ---- */

uint8_t lab_type(enum net_class net_class)
{
    return net_class == NET_CONTROL ? FRAME_MEMBER_PUSH_PULL
           : net_class == NET_RPC   ? FRAME_CALL
                                    : FRAME_CALL_LAST + 1;
}

static uint8_t *body_new(uint32_t number, size_t len)
{
    uint8_t *body = malloc(len + 8);
    assert_non_null(body);
    for (size_t i = 0; i < len; i++)
        body[i] = (uint8_t)(number * 31 + i * 7 + (i >> 9));
    put_le32(body, number);
    return body;
}

uint64_t lab_hash(uint32_t number, size_t len)
{
    uint8_t *body = body_new(number, len);
    uint64_t hash = hash_bytes(body, len, 1);
    free(body);
    return hash;
}

int lab_send(struct lab_node *from,
             struct uv_peer *peer,
             enum net_class net_class,
             uint32_t number,
             size_t len)
{
    uint8_t *body = body_new(number, len);
    struct kith_bytes part = {body, len};
    int r = uv_net_send(from->net, peer, net_class, lab_type(net_class), &part, 1);
    free(body);
    return r;
}

/*
 * Push-pull over the control stream: two nodes make their tables equal. Few nodes: whole tables.
 * Many: a digest a bucket, and only the nodes of buckets that differ travel.
 *
 *     asker    PUSH_PULL TABLE (all its nodes)     other   REPLY (what differs)
 *     asker    PUSH_PULL DIGEST                    other   REPLY (its nodes of differing buckets,
 * wanted) asker    REPLY (its nodes of the wanted buckets)
 *
 * When a link comes up the lower id asks, if the other is not known to be alive. The higher one
 * may be the one that does not know: it says HELLO, and the lower one asks after all.
 */
#include "core/error.h"
#include "member.pb-c.h"
#include "member/internal.h"
#include "net/frame.h"

#define FRAME_BYTES_TARGET (56 * 1024)
#define BUCKETS_MIN        16
#define NODES_PER_BUCKET   8
/* Tombstones of one push-pull, the latest. */
#define FORGOTTEN_MAX 256
/* A long table comes in several frames. */
#define FRESH_MS 2000
/* First pause between push-pulls of a node that just met others. */
#define YOUNG_MS 1000

static_assert(FRAME_BYTES_TARGET + MEMBER_RECORD_BYTES_MAX + FORGOTTEN_MAX * 64 <
                  NET_CONTROL_FRAME_BYTES_MAX + FORGOTTEN_MAX * 64,
              "a reply fits a control frame");
static_assert(MEMBER_BUCKETS_MAX * 8 < FRAME_BYTES_TARGET, "a digest fits a control frame");

static void *pb_alloc(void *user, size_t size)
{
    (void)user;
    return core_malloc(size);
}
static void pb_free(void *user, void *memory)
{
    (void)user;
    core_free(memory);
}
static ProtobufCAllocator pb_allocator = {pb_alloc, pb_free, NULL};

/* What can be passed on: remembered nodes have no signed record, restarted ones not yet the new
 * one. */
static bool can_push(const struct mnode *node)
{
    return node->record != NULL && node->record_current && !node->remembered;
}

static size_t pushable_n(const struct member_core *core)
{
    size_t n = 0;
    for (size_t i = 0; i < core->all_n; i++)
        n += can_push(core->all[i]);
    return n;
}

/* ---- digests ---- */

static unsigned status_class(enum kith_status status)
{
    return status == KITH_STATUS_FAILED ? 1 : status == KITH_STATUS_LEFT ? 2 : 0;
}

/* Suspicion passes by itself and is not compared. */
static uint64_t node_digest(const struct mnode *node)
{
    uint8_t bytes[KITH_NODE_ID_BYTES + 4 * 8 + 1];
    memcpy(bytes, node->pub.id.bytes, KITH_NODE_ID_BYTES);
    put_le64(bytes + 16, node->pub.boot_no);
    put_le64(bytes + 24, node->pub.status == KITH_STATUS_LEFT ? 0 : node->pub.incarnation);
    put_le64(bytes + 32, node->pub.facts_version);
    put_le64(bytes + 40, node->pub.facts.registry_version);
    bytes[48] = (uint8_t)status_class(node->pub.status);
    return hash_bytes(bytes, sizeof(bytes), 0);
}

static uint32_t bucket_of(const struct mnode *node, size_t buckets_n)
{
    return (uint32_t)(id_token(&node->pub.id) & (buckets_n - 1));
}

static uint64_t *digests_of(struct member_core *core, size_t buckets_n)
{
    uint64_t *digests = core_arena(core, buckets_n * sizeof(*digests));
    if (digests == NULL)
        return NULL;
    memset(digests, 0, buckets_n * sizeof(*digests));
    for (size_t i = 0; i < core->all_n; i++)
        if (can_push(core->all[i]))
            digests[bucket_of(core->all[i], buckets_n)] ^= node_digest(core->all[i]);
    return digests;
}

/* ---- sending ---- */

static void send_frame(struct member_core *core,
                       const struct kith_node_id *to,
                       uint8_t type,
                       const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *data = core_arena(core, len > 0 ? len : 1);
    if (data == NULL)
        return;
    protobuf_c_message_pack(message, data);
    struct member_action *action = core_act(core, MEMBER_SEND_FRAME);
    action->id = *to;
    action->frame_type = type;
    action->data = data;
    action->len = len;
    core->stats.frames_out++;
    core->stats.bytes_out += len;
}

static void
fill_node(const struct member_core *core, Kith__Member__Node *out, const struct mnode *node)
{
    kith__member__node__init(out);
    out->record.data = (uint8_t *)(uintptr_t)node->record;
    out->record.len = node->record_len;
    out->incarnation = node->pub.incarnation;
    out->status = (uint32_t)node->pub.status;
    out->status_age_ms = core->now_ms - node->pub.status_since_ms;
    out->registry_version = node->pub.facts.registry_version;
}

/* A vector of nodes in the arena, as protobuf-c wants it. */
struct node_list {
    Kith__Member__Node **items;
    Kith__Member__Node *nodes;
    size_t n;
    size_t cap;
    size_t bytes;
};

static bool list_begin(struct member_core *core, struct node_list *list, size_t cap)
{
    *list = (struct node_list){.cap = cap};
    list->items = core_arena(core, cap * sizeof(Kith__Member__Node *) + 1);
    list->nodes = core_arena(core, cap * sizeof(*list->nodes) + 1);
    return list->items != NULL && list->nodes != NULL;
}

static void
list_add(const struct member_core *core, struct node_list *list, const struct mnode *node)
{
    assert(list->n < list->cap);
    fill_node(core, &list->nodes[list->n], node);
    list->items[list->n] = &list->nodes[list->n];
    list->n++;
    list->bytes += node->record_len + 48;
}

static Kith__Member__Forgotten **forgotten(struct member_core *core, size_t *n_out)
{
    size_t n = core->tombs.n < FORGOTTEN_MAX ? core->tombs.n : FORGOTTEN_MAX;
    Kith__Member__Forgotten **items = core_arena(core, (n + 1) * sizeof(Kith__Member__Forgotten *));
    Kith__Member__Forgotten *tombs = core_arena(core, (n + 1) * sizeof(*tombs));
    *n_out = 0;
    if (items == NULL || tombs == NULL)
        return NULL;
    struct list *at = core->tombs_by_age.prev;
    for (size_t i = 0; i < n; i++, at = at->prev) {
        struct tomb *tomb = container_of(at, struct tomb, link);
        kith__member__forgotten__init(&tombs[i]);
        tombs[i].id.data = tomb->id.bytes;
        tombs[i].id.len = KITH_NODE_ID_BYTES;
        tombs[i].boot_no = tomb->boot_no;
        tombs[i].incarnation = tomb->n;
        tombs[i].remaining_ms = tomb->until_ms > core->now_ms ? tomb->until_ms - core->now_ms : 0;
        items[i] = &tombs[i];
    }
    *n_out = n;
    return items;
}

static void send_hello(struct member_core *core, const struct kith_node_id *to)
{
    struct node_list list;
    if (!list_begin(core, &list, 1))
        return;
    list_add(core, &list, core->self);
    Kith__Member__PushPull message = KITH__MEMBER__PUSH_PULL__INIT;
    message.kind = KITH__MEMBER__PUSH_PULL__KIND__HELLO;
    message.nodes = list.items;
    message.n_nodes = list.n;
    send_frame(core, to, FRAME_MEMBER_PUSH_PULL, &message.base);
}

void sync_ask(struct member_core *core, const struct kith_node_id *to)
{
    Kith__Member__PushPull message = KITH__MEMBER__PUSH_PULL__INIT;
    struct node_list list;
    size_t n = pushable_n(core);
    bool whole = n <= SYNC_WHOLE_MAX;
    if (!list_begin(core, &list, whole ? n : 1))
        return;
    if (whole) {
        message.kind = KITH__MEMBER__PUSH_PULL__KIND__TABLE;
        for (size_t i = 0; i < core->all_n; i++)
            if (can_push(core->all[i]))
                list_add(core, &list, core->all[i]);
    } else {
        size_t buckets_n = BUCKETS_MIN;
        while (buckets_n < MEMBER_BUCKETS_MAX && buckets_n * NODES_PER_BUCKET < n)
            buckets_n *= 2;
        message.kind = KITH__MEMBER__PUSH_PULL__KIND__DIGEST;
        list_add(core, &list, core->self);
        message.digests = digests_of(core, buckets_n);
        if (message.digests == NULL)
            return;
        message.n_digests = buckets_n;
    }
    message.nodes = list.items;
    message.n_nodes = list.n;
    message.forgotten = forgotten(core, &message.n_forgotten);
    send_frame(core, to, FRAME_MEMBER_PUSH_PULL, &message.base);
}

static void send_reply(struct member_core *core,
                       const struct kith_node_id *to,
                       struct node_list *list,
                       Kith__Member__PushPullReply *message)
{
    message->nodes = list->items;
    message->n_nodes = list->n;
    send_frame(core, to, FRAME_MEMBER_PUSH_PULL_REPLY, &message->base);
    list->items += list->n;
    list->nodes += list->n;
    list->cap -= list->n;
    list->n = 0;
    list->bytes = 0;
}

/*
 * Our nodes (of the @wanted buckets if there are any) that the other does not have the same, in as
 * many frames as it takes; the last one carries @buckets_n and what we want in turn.
 */
static void answer(struct member_core *core,
                   const struct kith_node_id *to,
                   const uint8_t *wanted,
                   size_t buckets_n,
                   bool want_back)
{
    struct node_list list;
    if (!list_begin(core, &list, core->all_n))
        return;
    for (size_t i = 0; i < core->all_n; i++) {
        const struct mnode *node = core->all[i];
        if (!can_push(node) || node->sync_mark == core->sync_no ||
            (wanted != NULL && !wanted[bucket_of(node, buckets_n)]))
            continue;
        if (list.bytes + node->record_len + 48 > FRAME_BYTES_TARGET / 2) {
            Kith__Member__PushPullReply part = KITH__MEMBER__PUSH_PULL_REPLY__INIT;
            send_reply(core, to, &list, &part);
        }
        list_add(core, &list, node);
    }
    Kith__Member__PushPullReply last = KITH__MEMBER__PUSH_PULL_REPLY__INIT;
    if (want_back && wanted != NULL) {
        last.wanted = core_arena(core, buckets_n * sizeof(*last.wanted));
        if (last.wanted == NULL)
            return;
        last.buckets_n = (uint32_t)buckets_n;
        for (uint32_t i = 0; i < buckets_n; i++)
            if (wanted[i])
                last.wanted[last.n_wanted++] = i;
    }
    last.forgotten = want_back ? forgotten(core, &last.n_forgotten) : NULL;
    if (list.n > 0 || last.n_wanted > 0 || last.n_forgotten > 0)
        send_reply(core, to, &list, &last);
}

/* ---- receiving ---- */

static int
decode_node(const Kith__Member__Node *in, struct facts_record *record, struct claim *claim)
{
    if (facts_decode(record, in->record.data, in->record.len) != 0 ||
        in->incarnation >= UINT64_MAX - 1 || in->status < KITH_STATUS_ALIVE ||
        in->status > KITH_STATUS_LEFT)
        return KITH_E_CORRUPT;
    *claim = (struct claim){
        .record = record,
        .n = in->incarnation,
        .registry_version = in->registry_version,
        .status = (enum kith_status)in->status,
        .age_ms = in->status_age_ms,
    };
    return 0;
}

/* Decodes and verifies all nodes before the first is acted on. */
static int decode_nodes(struct member_core *core,
                        Kith__Member__Node **nodes,
                        size_t n,
                        struct claim **claims_out)
{
    struct facts_record *records = core_arena(core, (n + 1) * sizeof(*records));
    struct claim *claims = core_arena(core, (n + 1) * sizeof(*claims));
    if (records == NULL || claims == NULL)
        return KITH_E_MEMORY;
    for (size_t i = 0; i < n; i++)
        if (decode_node(nodes[i], &records[i], &claims[i]) != 0)
            return KITH_E_CORRUPT;
    for (size_t i = 0; i < n; i++) {
        if (id_equal(&records[i].id, &core->config.self) ||
            !news_is_new(core, &records[i], claims[i].n))
            continue;
        if (!facts_verify(&records[i], &core->config.crypto)) {
            core->stats.bad_signatures++;
            return KITH_E_CORRUPT;
        }
        records[i].verified = true;
    }
    *claims_out = claims;
    return 0;
}

static bool forgotten_is_sound(Kith__Member__Forgotten **items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (items[i]->id.len != KITH_NODE_ID_BYTES || items[i]->incarnation >= UINT64_MAX - 1)
            return false;
    return n <= FORGOTTEN_MAX;
}

static enum news_origin origin_of(struct member_core *core, const struct kith_node_id *from)
{
    if (core_alone(core)) {
        core->fresh_from = *from;
        core->fresh_until_ms = core->now_ms + FRESH_MS;
    }
    return core->now_ms < core->fresh_until_ms && id_equal(&core->fresh_from, from)
               ? NEWS_SYNC_FRESH
               : NEWS_SYNC;
}

/* Same on both sides now? Then it need not travel back. */
static void mark(struct member_core *core, const struct claim *claim)
{
    struct mnode *node = table_find(core, &claim->record->id);
    if (node != NULL && node->pub.boot_no == claim->record->boot_no &&
        node->pub.facts_version == claim->record->version && node->pub.incarnation == claim->n &&
        status_class(node->pub.status) == status_class(claim->status) &&
        node->pub.facts.registry_version == claim->registry_version)
        node->sync_mark = core->sync_no;
}

static int apply(struct member_core *core,
                 const struct kith_node_id *from,
                 Kith__Member__Node **nodes,
                 size_t nodes_n,
                 Kith__Member__Forgotten **dead,
                 size_t dead_n)
{
    struct claim *claims;
    if (!forgotten_is_sound(dead, dead_n))
        return KITH_E_CORRUPT;
    int r = decode_nodes(core, nodes, nodes_n, &claims);
    if (r != 0)
        return r;
    enum news_origin origin = origin_of(core, from);
    core->sync_no++;
    for (size_t i = 0; i < dead_n; i++) {
        struct kith_node_id id;
        memcpy(id.bytes, dead[i]->id.data, KITH_NODE_ID_BYTES);
        news_forgotten(core, &id, dead[i]->boot_no, dead[i]->incarnation, dead[i]->remaining_ms);
    }
    for (size_t i = 0; i < nodes_n; i++) {
        news_facts(core, &claims[i], origin);
        mark(core, &claims[i]);
    }
    struct mnode *node = table_find(core, from);
    if (node != NULL)
        node->pub.link_up = true;
    return 0;
}

static int on_digest(struct member_core *core,
                     const struct kith_node_id *from,
                     const Kith__Member__PushPull *message)
{
    size_t n = message->n_digests;
    const uint64_t *own = digests_of(core, n);
    uint8_t *wanted = core_arena(core, n);
    if (own == NULL || wanted == NULL)
        return KITH_E_MEMORY;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        wanted[i] = own[i] != message->digests[i];
        any = any || wanted[i];
    }
    if (any)
        answer(core, from, wanted, n, true);
    return 0;
}

static bool buckets_are_sound(size_t n)
{
    return n > 0 && n <= MEMBER_BUCKETS_MAX && (n & (n - 1)) == 0;
}

static int on_push_pull(struct member_core *core, const struct member_event *event)
{
    Kith__Member__PushPull *message =
        kith__member__push_pull__unpack(&pb_allocator, event->len, event->data);
    if (message == NULL)
        return KITH_E_CORRUPT;
    int r = KITH_E_CORRUPT;
    bool digest = message->kind == KITH__MEMBER__PUSH_PULL__KIND__DIGEST;
    bool known_kind = digest || message->kind == KITH__MEMBER__PUSH_PULL__KIND__HELLO ||
                      message->kind == KITH__MEMBER__PUSH_PULL__KIND__TABLE;
    if (known_kind && (!digest || buckets_are_sound(message->n_digests)))
        r = apply(core, &event->id, message->nodes, message->n_nodes, message->forgotten,
                  message->n_forgotten);
    if (r == 0 && digest) {
        r = on_digest(core, &event->id, message);
    } else if (r == 0 && message->kind == KITH__MEMBER__PUSH_PULL__KIND__TABLE) {
        answer(core, &event->id, NULL, 0, true);
    } else if (r == 0) {
        struct mnode *node = table_find(core, &event->id);
        if (node != NULL && node->sync_owed) {
            node->sync_owed = false;
            sync_ask(core, &event->id);
        }
    }
    kith__member__push_pull__free_unpacked(message, &pb_allocator);
    return r;
}

static int on_reply(struct member_core *core, const struct member_event *event)
{
    Kith__Member__PushPullReply *message =
        kith__member__push_pull_reply__unpack(&pb_allocator, event->len, event->data);
    if (message == NULL)
        return KITH_E_CORRUPT;
    int r = 0;
    size_t n = message->buckets_n;
    uint8_t *wanted = NULL;
    if (n != 0 && !buckets_are_sound(n))
        r = KITH_E_CORRUPT;
    if (r == 0 && n != 0) {
        wanted = core_arena(core, n);
        r = wanted == NULL ? KITH_E_MEMORY : 0;
    }
    if (wanted != NULL) {
        memset(wanted, 0, n);
        for (size_t i = 0; i < message->n_wanted; i++) {
            if (message->wanted[i] >= n)
                r = KITH_E_CORRUPT;
            else
                wanted[message->wanted[i]] = 1;
        }
    }
    if (r == 0)
        r = apply(core, &event->id, message->nodes, message->n_nodes, message->forgotten,
                  message->n_forgotten);
    if (r == 0 && wanted != NULL)
        answer(core, &event->id, wanted, n, false);
    kith__member__push_pull_reply__free_unpacked(message, &pb_allocator);
    return r;
}

int sync_frame_in(struct member_core *core, const struct member_event *event)
{
    struct mnode *node;
    core->stats.frames_in++;
    core->stats.bytes_in += event->len;
    if (id_equal(&event->id, &core->config.self) ||
        !news_contact(core, &event->id, event->boot_no, &node))
        return 0;
    int r = KITH_E_CORRUPT;
    if (event->frame_type == FRAME_MEMBER_PUSH_PULL)
        r = on_push_pull(core, event);
    else if (event->frame_type == FRAME_MEMBER_PUSH_PULL_REPLY)
        r = on_reply(core, event);
    if (r == KITH_E_CORRUPT)
        core->stats.bad_messages++;
    return r;
}

/* ---- when ---- */

/*
 * Young in a cluster, or just met a part of it that was cut off: soon, and then after 2, 4, 8 ...
 * s. Gossip alone leaves a few gaps when many come at once.
 */
static void arm(struct member_core *core)
{
    uint64_t every_ms = params_push_pull_ms(core);
    if (core->sync_turn < 16 && (uint64_t)YOUNG_MS << core->sync_turn < every_ms)
        every_ms = (uint64_t)YOUNG_MS << core->sync_turn;
    uint64_t wait_ms = every_ms - every_ms / 4 + rng_below(&core->rng, every_ms / 2 + 1);
    core_timer_set(core, &core->push_pull_timer, core->now_ms + wait_ms);
}

void sync_link_up(struct member_core *core, const struct kith_node_id *id, uint64_t boot_no)
{
    if (id_equal(id, &core->config.self))
        return;
    struct mnode *node = table_find(core, id);
    bool strange =
        node == NULL || node->remembered || node->here_at == 0 || node->pub.boot_no != boot_no;
    if (!news_contact(core, id, boot_no, &node))
        return;
    if (node != NULL) {
        node->pub.link_up = true;
        node->sync_owed = !strange;
    }
    if (core->leaving || !strange)
        return;
    core->sync_turn = 0;
    if (core->started)
        arm(core);
    if (memcmp(core->config.self.bytes, id->bytes, KITH_NODE_ID_BYTES) < 0)
        sync_ask(core, id);
    else
        send_hello(core, id);
}

void sync_start(struct member_core *core)
{
    arm(core);
}

void sync_timer(struct member_core *core)
{
    struct mnode *peer = core_alone(core) ? NULL : table_random(core, NULL, NULL, false);
    if (peer != NULL) {
        sync_ask(core, &peer->pub.id);
        if (core->sync_turn < 16)
            core->sync_turn++;
    }
    arm(core);
}

/*
 * What a claim about a node changes. The order of claims is (boot_no, n): a higher boot always
 * wins, within a boot the higher n; at equal n FAILED beats SUSPECT beats ALIVE; LEFT, signed by
 * the node itself, beats everything of its boot.
 */
#include "core/mutant.h"
#include "member/internal.h"

void news_told(struct member_core *core,
               struct mnode *node,
               enum member_change change,
               const char *reason)
{
    struct member_action *action = core_act(core, MEMBER_CHANGED);
    action->member = &node->pub;
    action->id = node->pub.id;
    action->change = change;
    action->text = reason;
    core->cache_dirty = true;
}

void news_refute(struct member_core *core, uint64_t n)
{
    struct mnode *self = core->self;
    if (core->leaving || MUTANT(MEMBER_NO_REFUTE))
        return;
    if (n >= self->pub.incarnation) {
        self->pub.incarnation = n + 1;
        core->stats.refutations++;
        if (!core->config.lifeguard_off)
            health_add(core, 1);
    }
    gossip_queue(core, self, GOSSIP_STATUS);
}

/* A claim with our own id and a higher boot, or facts we never made: somebody has our key. */
static void own_claim(struct member_core *core, uint64_t boot_no, uint64_t version)
{
    struct mnode *self = core->self;
    bool clone = boot_no > self->pub.boot_no ||
                 (boot_no == self->pub.boot_no && version > core->facts_version);
    if (!clone || core->clone_told)
        return;
    core->clone_told = true;
    core_act(core, MEMBER_CLONED)->member = &self->pub;
}

bool news_is_new(const struct member_core *core, const struct facts_record *record, uint64_t n)
{
    const struct tomb *tomb = tomb_find(core, &record->id);
    if (tomb != NULL && tomb_covers(tomb, record->boot_no, n))
        return false;
    const struct mnode *node = table_find(core, &record->id);
    if (node == NULL)
        return true;
    if (record->boot_no != node->pub.boot_no)
        return record->boot_no > node->pub.boot_no;
    return record->version > node->pub.facts_version;
}

/* ---- changes of one node ---- */

static void joined(struct member_core *core, struct mnode *node, const char *reason)
{
    node->remembered = false;
    table_set_status(core, node, KITH_STATUS_ALIVE);
    news_told(core, node, MEMBER_JOINED, reason);
    core_act(core, MEMBER_FACTS_CHANGED)->member = &node->pub;
}

static void became_left(struct member_core *core, struct mnode *node, bool tell)
{
    if (node->pub.status == KITH_STATUS_LEFT)
        return;
    table_set_status(core, node, KITH_STATUS_LEFT);
    if (tell)
        news_told(core, node, MEMBER_LEFT, "it said good-bye");
}

/* Its record is in the table already. */
static void
set_gone_silently(struct member_core *core, struct mnode *node, const struct claim *claim)
{
    bool left = (node->record_flags & FACTS_LEFT) != 0;
    table_set_status(core, node, left ? KITH_STATUS_LEFT : KITH_STATUS_FAILED);
    node->pub.status_since_ms = core->now_ms > claim->age_ms ? core->now_ms - claim->age_ms : 0;
    uint64_t keep_ms = table_keep_ms(core, node->pub.facts.role, node->pub.status);
    if (keep_ms != UINT64_MAX)
        core_timer_set(core, &node->timer, node->pub.status_since_ms + keep_ms);
}

/* First heard of. */
static void stranger(struct member_core *core, const struct claim *claim, enum news_origin origin)
{
    const struct facts_record *record = claim->record;
    bool gone = (record->flags & FACTS_LEFT) != 0 || claim->status == KITH_STATUS_FAILED ||
                claim->status == KITH_STATUS_LEFT;
    if (gone) {
        /* In passing it does not matter; of a push-pull it is kept as long as the others do. */
        enum kith_status status =
            (record->flags & FACTS_LEFT) != 0 ? KITH_STATUS_LEFT : KITH_STATUS_FAILED;
        if (origin == NEWS_GOSSIP ||
            claim->age_ms >= table_keep_ms(core, (enum kith_role)record->role, status))
            return;
    }
    struct mnode *node = table_add(core, &record->id);
    if (node == NULL)
        return;
    node->pub.boot_no = record->boot_no;
    node->pub.incarnation = claim->n;
    if (!table_set_record(core, node, record)) {
        table_set_status(core, node, KITH_STATUS_FAILED);
        table_remove(core, node);
        return;
    }
    node->pub.facts.registry_version = claim->registry_version;
    core_act(core, MEMBER_LEARNED)->member = &node->pub;
    if (gone) {
        set_gone_silently(core, node, claim);
        return;
    }
    joined(core, node, "first seen");
    if (origin != NEWS_SYNC_FRESH)
        gossip_queue(core, node, GOSSIP_FACTS);
}

/* Newer facts of a node we know: a restart, or a change within its boot. */
static void newer_record(struct member_core *core,
                         struct mnode *node,
                         const struct claim *claim,
                         enum news_origin origin)
{
    const struct facts_record *record = claim->record;
    bool was_remembered = node->remembered;
    bool restarted = record->boot_no > node->pub.boot_no || was_remembered;
    bool left = (record->flags & FACTS_LEFT) != 0;
    bool same_addresses = node->pub.facts.addresses_n == record->addresses_n;
    const char *address = record->addresses;
    for (uint32_t i = 0; same_addresses && i < record->addresses_n; i++) {
        same_addresses = strcmp(node->pub.facts.addresses[i], address) == 0;
        address += strlen(address) + 1;
    }
    if (restarted) {
        node->remembered = false;
        node->pub.boot_no = record->boot_no;
        node->pub.incarnation = claim->n;
        node->pub.facts.registry_version = 0;
    }
    if (!table_set_record(core, node, record))
        return;
    if (restarted)
        node->pub.facts.registry_version = claim->registry_version;
    if (restarted || !same_addresses)
        core_act(core, MEMBER_LEARNED)->member = &node->pub;
    if (origin != NEWS_SYNC_FRESH)
        gossip_queue(core, node, GOSSIP_FACTS);
    if (left) {
        became_left(core, node, !was_remembered);
    } else if (restarted && claim->status == KITH_STATUS_FAILED && node->here_at == 0) {
        set_gone_silently(core, node, claim); /* it came and failed again while we were away */
    } else if (restarted) {
        joined(core, node, "it started again");
    } else {
        core_act(core, MEMBER_FACTS_CHANGED)->member = &node->pub;
    }
}

static void alive(struct member_core *core, struct mnode *node, uint64_t n, bool spread)
{
    struct member *pub = &node->pub;
    if (pub->status == KITH_STATUS_LEFT || n <= pub->incarnation)
        return;
    pub->incarnation = n;
    switch (pub->status) {
    case KITH_STATUS_SUSPECT:
        table_set_status(core, node, KITH_STATUS_ALIVE);
        news_told(core, node, MEMBER_REFUTED, "it answered the suspicion");
        break;
    case KITH_STATUS_FAILED:
        joined(core, node, "it is back");
        break;
    case KITH_STATUS_ALIVE:
    case KITH_STATUS_LEFT:
        break;
    }
    if (spread)
        gossip_queue(core, node, GOSSIP_STATUS);
}

/* The status that came with a node of a push-pull; its record is dealt with. */
static void sync_status(struct member_core *core, struct mnode *node, const struct claim *claim)
{
    if (claim->record->boot_no != node->pub.boot_no)
        return;
    if (claim->status == KITH_STATUS_ALIVE) {
        alive(core, node, claim->n, true);
        return;
    }
    if (claim->status == KITH_STATUS_LEFT)
        return; /* only its own word counts, and that is in the record */
    /*
     * FAILED of a push-pull is SUSPECT (protocols 5.3): the other side of a healed partition must
     * not fail our half at a stroke. The node itself is told at once, so that it can refute.
     */
    bool here = node->here_at != 0;
    if (!here || claim->n < node->pub.incarnation)
        return;
    if (core->config.detector_echo)
        echo_now(core, node);
    else
        suspect_claim(core, node, claim->n, NULL, 0);
    struct packet packet;
    struct msg msg = {
        .type = MSG_SUSPECT, .id = node->pub.id, .boot_no = node->pub.boot_no, .n = claim->n};
    if (claim->status == KITH_STATUS_FAILED && packet_begin(core, &packet, &node->pub.id) &&
        packet_put(core, &packet, &msg))
        packet_send(core, &packet);
}

/* ---- claims ---- */

/*
 * Once per (node, boot, version). Mostly it is done before the first message of a datagram is acted
 * on; but one of them may have made this one news.
 */
static bool is_genuine(struct member_core *core, struct facts_record *record)
{
    if (facts_decode(record, record->data, record->len) == 0 &&
        facts_verify(record, &core->config.crypto)) {
        record->verified = true;
        return true;
    }
    core->stats.bad_signatures++;
    return false;
}

void news_facts(struct member_core *core, const struct claim *claim, enum news_origin origin)
{
    struct facts_record *record = claim->record;
    if (id_equal(&record->id, &core->config.self)) {
        own_claim(core, record->boot_no, record->version);
        if (record->boot_no == core->self->pub.boot_no && claim->n >= core->self->pub.incarnation &&
            (claim->status == KITH_STATUS_SUSPECT || claim->status == KITH_STATUS_FAILED))
            news_refute(core, claim->n);
        return;
    }
    struct tomb *tomb = tomb_find(core, &record->id);
    if (tomb != NULL && tomb_covers(tomb, record->boot_no, claim->n))
        return;
    bool is_new = news_is_new(core, record, claim->n);
    if (is_new && !record->verified && !is_genuine(core, record))
        return;
    if (tomb != NULL)
        tomb_remove(core, tomb);
    struct mnode *node = table_find(core, &record->id);
    if (node == NULL) {
        stranger(core, claim, origin);
        return;
    }
    if (is_new)
        newer_record(core, node, claim, origin);
    if (record->boot_no != node->pub.boot_no)
        return;
    if (origin == NEWS_GOSSIP)
        alive(core, node, claim->n, true);
    else
        sync_status(core, node, claim);
    news_registry(core, &record->id, record->boot_no, claim->registry_version);
}

void news_alive(struct member_core *core,
                const struct kith_node_id *id,
                uint64_t boot_no,
                uint64_t n)
{
    struct mnode *node = table_find(core, id);
    /* Of a stranger or of a new boot its signed facts must come first. */
    if (node == NULL || node == core->self || node->pub.boot_no != boot_no)
        return;
    if (node->remembered)
        return;
    alive(core, node, n, true);
}

void news_registry(struct member_core *core,
                   const struct kith_node_id *id,
                   uint64_t boot_no,
                   uint64_t version)
{
    struct mnode *node = table_find(core, id);
    if (node == NULL || node == core->self || node->pub.boot_no != boot_no ||
        version <= node->pub.facts.registry_version)
        return;
    node->pub.facts.registry_version = version;
    if (node->here_at == 0)
        return;
    gossip_queue(core, node, GOSSIP_REGISTRY);
    core_act(core, MEMBER_FACTS_CHANGED)->member = &node->pub;
}

void news_forgotten(struct member_core *core,
                    const struct kith_node_id *id,
                    uint64_t boot_no,
                    uint64_t n,
                    uint64_t remaining_ms)
{
    if (id_equal(id, &core->config.self)) {
        /* The others dropped our record: they need it again, with an n above the tombstone. */
        if (boot_no == core->self->pub.boot_no && n >= core->self->pub.incarnation) {
            news_refute(core, n);
            gossip_queue(core, core->self, GOSSIP_FACTS);
        }
        return;
    }
    if (remaining_ms > core->config.tombstone_ms)
        remaining_ms = core->config.tombstone_ms;
    struct mnode *node = table_find(core, id);
    /* Who is here is not forgotten on somebody's word; if it is gone its failure shows first. */
    if (node != NULL &&
        (node->here_at != 0 || node->pub.boot_no > boot_no ||
         (node->pub.boot_no == boot_no && node->pub.incarnation > n && !node->remembered)))
        return;
    struct tomb *tomb = tomb_find(core, id);
    if (tomb != NULL && tomb_covers(tomb, boot_no, n))
        return;
    if (remaining_ms == 0)
        return;
    tomb = tomb_set(core, id, boot_no, n, remaining_ms);
    if (tomb == NULL)
        return;
    gossip_queue_tomb(core, tomb);
    if (node != NULL)
        table_remove(core, node);
}

bool news_contact(struct member_core *core,
                  const struct kith_node_id *id,
                  uint64_t boot_no,
                  struct mnode **node_out)
{
    struct mnode *node = table_find(core, id);
    *node_out = node;
    if (node == NULL)
        return true;
    if (boot_no < node->pub.boot_no)
        return false;
    if (boot_no == node->pub.boot_no || node->remembered)
        return true;
    /* It restarted; its new facts are on their way. What we hold is of its last life. */
    node->pub.boot_no = boot_no;
    node->pub.incarnation = 0;
    node->pub.facts_version = 0;
    node->pub.facts.registry_version = 0;
    node->record_current = false;
    for (int slot = 0; slot < GOSSIP_SLOTS; slot++)
        if (node->gossip[slot] != NULL)
            gossip_drop_item(core, node->gossip[slot]);
    core_act(core, MEMBER_LEARNED)->member = &node->pub;
    joined(core, node, "it started again");
    return true;
}

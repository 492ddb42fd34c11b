/*
 * member_check(): the invariants of docs/protocols/member.md, over the whole table. Tests and the
 * simulator run it after each step; the shipped step asserts the cheap ones (check_step()).
 */
#include "member/internal.h"

static void check_node(const struct member_core *core, const struct mnode *node)
{
    bool self = node == core->self;
    bool here = node->pub.status == KITH_STATUS_ALIVE || node->pub.status == KITH_STATUS_SUSPECT;
    assert(node->pub.status >= KITH_STATUS_ALIVE);
    assert(node->pub.status <= KITH_STATUS_LEFT);
    assert(core->all[node->all_at] == node);
    assert(table_find(core, &node->pub.id) == node);
    assert((node->here_at != 0) == (here && !self));
    assert(node->here_at == 0 || core->here[node->here_at - 1] == node);
    /* A suspicion exists exactly while suspect, and has a deadline. */
    assert((node->suspicion != NULL) == (node->pub.status == KITH_STATUS_SUSPECT));
    assert(node->suspicion == NULL || core->error != 0 || heap_contains(&node->timer.at));
    assert(node->suspicion == NULL || node->suspicion->node == node);
    assert(!(self && node->suspicion != NULL));
    /* Gone nodes stand in exactly one list. */
    assert(list_linked(&node->gone_link) == !here);
    assert(node->pub.shown_name != NULL);
    assert(node->record == NULL || node->pub.facts.name != NULL);
    assert(!node->remembered || node->pub.status == KITH_STATUS_FAILED);
    for (int slot = 0; slot < GOSSIP_SLOTS; slot++)
        assert(node->gossip[slot] == NULL || node->gossip[slot]->node == node);
    /* No node is both known and forgotten at the same (boot_no, n). */
    const struct tomb *tomb = tomb_find(core, &node->pub.id);
    assert(tomb == NULL || !tomb_covers(tomb, node->pub.boot_no, node->pub.incarnation));
}

static void check_gossip(const struct member_core *core)
{
    uint32_t n = 0;
    for (size_t sends = 0; sends <= GOSSIP_SENDS_MAX; sends++) {
        list_for_each (it, &core->by_sends[sends]) {
            const struct gossip_item *item = container_of(it, struct gossip_item, link);
            assert(item->sends == sends);
            assert((item->node != NULL) != (item->tomb != NULL));
            n++;
        }
    }
    assert(n == core->gossip_n);
    /* News that waits has a timer. */
    assert(n == 0 || core->error != 0 || heap_contains(&core->gossip_timer.at));
}

/* Shown names follow the order of each group. */
static void check_names(const struct member_core *core)
{
    size_t at = 0;
    struct name_group *group;
    while ((group = maptext_next(&core->by_name, &at)) != NULL) {
        assert(group->first != NULL);
        uint32_t last = 0;
        for (const struct mnode *node = group->first; node != NULL; node = node->name_next) {
            assert(strcmp(node->pub.facts.name, group->name) == 0);
            assert(node->name_no > last);
            assert((last == 0) == (node->name_no == 1));
            assert(node->own_shown == NULL || node->name_no > 1);
            last = node->name_no;
        }
    }
}

void member_check(const struct member_core *core)
{
    size_t here_n = 0;
    size_t alive_n = 0;
    size_t programs_n = 0;
    size_t suspects_n = 0;
    for (size_t i = 0; i < core->all_n; i++) {
        const struct mnode *node = core->all[i];
        check_node(core, node);
        here_n += node->here_at != 0;
        bool alive = node->pub.status == KITH_STATUS_ALIVE;
        alive_n += alive;
        programs_n += alive && node->pub.facts.role == KITH_ROLE_PROGRAM;
        suspects_n += node->suspicion != NULL;
    }
    assert(here_n == core->here_n);
    assert(alive_n == core->alive_n);
    assert(programs_n == core->alive_programs_n);
    assert(core->all_n <= MEMBER_NODES_MAX);
    assert(core->here_cursor <= core->here_n);
    assert(core->by_id.n == core->all_n);
    assert(core->tombs.n <= MEMBER_TOMBSTONES_MAX);
    list_for_each (it, &core->suspects)
        suspects_n--;
    assert(suspects_n == 0);
    assert(core->health <= core->config.health_max);
    /* Somebody is always watched while somebody is here. */
    assert(core->here_n == 0 || !core->started || core->leaving || core->config.detector_echo ||
           core->error != 0 || heap_contains(&core->probe_timer.at));
    assert(core->probe.phase == PROBE_IDLE || core->probe.target->here_at != 0);
    check_gossip(core);
    check_names(core);
}

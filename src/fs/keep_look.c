/*
 * What to do about one content: fetch it, drop it, read it again.
 */
#include <assert.h>

#include "fs/keep_internal.h"

#define SCRUB_DAYS     100
#define ADOPT_AGAIN_MS 60000 /* after one that came to nothing */

/* ---- fetching ---- */

static bool is_among(const struct kith_node_id *ids, size_t n, const struct kith_node_id *id)
{
    for (size_t i = 0; i < n && i < FS_KEEP_HOLDERS_MAX; i++)
        if (kith_node_id_equal(&ids[i], id))
            return true;
    return false;
}

static bool comes_before_self(const struct keep_core *core,
                              const struct keep_facts *facts,
                              const struct kith_node_id *id)
{
    bool near = is_among(facts->near, facts->near_n, id);
    if (near != facts->near_self)
        return near;
    return keep_ranks_above(facts->content.root, id, &core->config.self);
}

/* Whether less than @turns of those that could fetch it come before this node. */
static bool
is_turn_of_self(const struct keep_core *core, const struct keep_facts *facts, uint64_t turns)
{
    size_t at = 0;
    const struct keep_node *node;
    while (turns > 0 && (node = mapid_next(&core->nodes, &at)) != NULL) {
        if (node->up && core->now_ms >= node->since_ms + core->config.stable_ms &&
            comes_before_self(core, facts, &node->id) &&
            !is_among(facts->holders, facts->holders_n, &node->id))
            turns--;
    }
    return turns > 0;
}

static void
start_fetch(struct keep_core *core, struct keep_pend *pend, const struct keep_facts *facts)
{
    struct kith_node_id *up =
        arena_alloc(&core->arena, FS_KEEP_HOLDERS_MAX * sizeof(struct kith_node_id));
    size_t up_n = 0;
    if (up == NULL) {
        core->error = KITH_E_MEMORY;
        return;
    }
    for (size_t i = 0; i < facts->holders_n && i < FS_KEEP_HOLDERS_MAX; i++)
        if (keep_node_up(core, &facts->holders[i]))
            up[up_n++] = facts->holders[i];
    if (up_n == 0) {
        bool told = pend->scarce;
        keep_pend_scarce(core, pend, true);
        if (!told && keep_act_on(core, KEEP_SCARCE, &facts->content,
                                 "no holder of this content is within reach"))
            core->actions[core->actions_n - 1].holders_n = facts->holders_n;
        return;
    }
    keep_pend_scarce(core, pend, false);
    if (core->full || facts->content.size > core->config.bytes_max ||
        core->bytes > core->config.bytes_max - facts->content.size) {
        core->stats.full++;
        return; /* the next in rank takes it after a while */
    }
    if (core->stats.fetches >= core->config.fetches_max)
        return;
    if (!keep_act_on(core, KEEP_FETCH, &facts->content,
                     pend->repair ? "the copy here was damaged" : "too few nodes hold it"))
        return;
    struct keep_action *action = &core->actions[core->actions_n - 1];
    action->holders = up;
    action->holders_n = up_n;
    action->repair = pend->repair;
    pend->fetching = true;
    core->stats.fetches++;
}

static bool can_fetch(const struct keep_core *core,
                      const struct keep_pend *pend,
                      const struct keep_facts *facts)
{
    return facts->place == KEEP_NOWHERE && !facts->coming &&
           (pend == NULL || (!pend->fetching && !pend->adopting && pend->drop == KEEP_DROP_NONE &&
                             core->now_ms >= pend->retry_ms));
}

/* @alive holders are left of a live content. Who has it can do nothing about copies that are
 * missing. */
static void look_lacking(struct keep_core *core, const struct keep_facts *facts, uint32_t alive)
{
    const uint8_t *root = facts->content.root;
    struct keep_pend *pend = keep_pend_find(core, root);
    bool here = facts->place == KEEP_FOLDER || facts->place == KEEP_KEEP;
    if (alive >= facts->copies || here) {
        keep_lacks_none(core, root);
        if (pend != NULL) {
            keep_pend_scarce(core, pend, false);
            pend->repair = pend->repair && (pend->fetching || alive < facts->copies);
        }
        return;
    }
    uint64_t since_ms = keep_lacks(core, root);
    if (since_ms == 0 || !can_fetch(core, pend, facts) ||
        core->now_ms < core->started_ms + core->config.stable_ms)
        return;
    uint64_t waits = (core->now_ms - since_ms) / core->config.gone_ms;
    uint64_t turns = facts->copies - alive + waits;
    bool repair = pend != NULL && pend->repair;
    if (!repair && !is_turn_of_self(core, facts, turns))
        return;
    pend = keep_pend_get(core, &facts->content);
    if (pend != NULL)
        start_fetch(core, pend, facts);
}

/* What a pinned path has, and is not here yet. */
static void look_pinned(struct keep_core *core, const struct keep_facts *facts)
{
    struct keep_pend *pend = keep_pend_find(core, facts->content.root);
    if (!facts->pinned || !can_fetch(core, pend, facts))
        return;
    pend = pend != NULL ? pend : keep_pend_get(core, &facts->content);
    if (pend != NULL)
        start_fetch(core, pend, facts);
}

/* ---- dropping ---- */

static void start_drop(struct keep_core *core, struct keep_pend *pend, const char *why)
{
    if (!keep_act_on(core, KEEP_DROP, &pend->content, why))
        return;
    keep_pend_ask_no_more(pend);
    pend->drop = KEEP_DROP_UNDER_WAY;
    core->stats.drops++;
}

static void ask_all(struct keep_core *core, struct keep_pend *pend, const struct keep_facts *facts)
{
    struct keep_vote *vote = core_calloc(1, sizeof(*vote));
    if (vote == NULL) {
        core->error = KITH_E_MEMORY;
        return;
    }
    vote->pend = pend;
    vote->question = ++core->next_number;
    vote->asked_ms = core->now_ms;
    list_append(&core->asking, &vote->link);
    pend->vote = vote;
    pend->drop = KEEP_DROP_ASKING;
    for (size_t i = 0; i < facts->holders_n && i < FS_KEEP_HOLDERS_MAX; i++) {
        if (!keep_node_up(core, &facts->holders[i]))
            continue;
        core->stats.questions++;
        keep_say(core, &facts->holders[i], KEEP_ENTRY_ASK, vote->question, pend->content.root);
    }
}

static void look_surplus(struct keep_core *core, const struct keep_facts *facts)
{
    struct keep_pend *pend = keep_pend_find(core, facts->content.root);
    uint32_t others = 0;
    for (size_t i = 0; i < facts->holders_n && i < FS_KEEP_HOLDERS_MAX; i++)
        others += MUTANT(FS_DROP_LAST) || keep_node_up(core, &facts->holders[i]);
    bool surplus =
        facts->place == KEEP_KEEP && !facts->pinned && facts->copies > 0 && others >= facts->copies;
    if (!surplus) {
        if (pend != NULL && pend->drop != KEEP_DROP_UNDER_WAY) {
            pend->surplus_ms = 0;
            keep_pend_ask_no_more(pend);
        }
        return;
    }
    pend = keep_pend_get(core, &facts->content);
    if (pend == NULL)
        return;
    if (pend->surplus_ms == 0)
        pend->surplus_ms = core->now_ms + (core->now_ms == 0);
    if (pend->drop != KEEP_DROP_NONE || pend->scrubbing || pend->adopting ||
        core->now_ms < pend->surplus_ms + core->config.surplus_ms)
        return;
    if (MUTANT(FS_DROP_LAST))
        start_drop(core, pend, "enough others are said to hold it");
    else
        ask_all(core, pend, facts);
}

/* @peer says that it holds what this node would like to drop. */
void keep_on_answer(struct keep_core *core,
                    struct keep_pend *pend,
                    const struct kith_node_id *peer,
                    uint8_t kind)
{
    bool above = kind == KEEP_ENTRY_FOLDER ||
                 (kind == KEEP_ENTRY_KEEP &&
                  (MUTANT(FS_DROP_MUTUAL) ||
                   keep_ranks_above(pend->content.root, peer, &core->config.self)));
    struct keep_vote *vote = pend->vote;
    core->stats.answers++;
    if (!above || core->now_ms > vote->asked_ms + core->config.answer_ms)
        return;
    for (uint8_t i = 0; i < vote->above_n; i++)
        if (kith_node_id_equal(&vote->above[i], peer))
            return;
    if (vote->above_n < FS_COPIES_MAX)
        vote->above[vote->above_n++] = *peer;
    if (vote->above_n >= pend->copies)
        start_drop(core, pend, "enough others hold it");
}

/* ---- unreferenced ---- */

static void note(struct keep_core *core, const struct content *content, uint64_t wall_ms)
{
    if (keep_act_on(core, KEEP_NOTE, content, ""))
        core->actions[core->actions_n - 1].wall_ms = wall_ms;
}

/* No live version names it. */
static void look_unreferenced(struct keep_core *core, const struct keep_facts *facts)
{
    struct keep_pend *pend = keep_pend_find(core, facts->content.root);
    keep_lacks_none(core, facts->content.root);
    if (pend != NULL) {
        keep_pend_scarce(core, pend, false);
        pend->surplus_ms = 0;
        pend->repair = false;
        keep_pend_ask_no_more(pend);
    }
    if (facts->place != KEEP_KEEP && facts->place != KEEP_STRAY) {
        if (pend != NULL)
            pend->unreferenced_ms = 0;
        return;
    }
    pend = keep_pend_get(core, &facts->content);
    if (pend == NULL)
        return;
    if (pend->unreferenced_ms == 0)
        pend->unreferenced_ms = core->now_ms + (core->now_ms == 0);
    if (facts->unreferenced_wall_ms == 0 || facts->unreferenced_wall_ms > core->wall_ms) {
        note(core, &facts->content, core->wall_ms); /* a clock that was set back begins anew */
        return;
    }
    if (pend->drop == KEEP_DROP_NONE && !pend->scrubbing && !pend->fetching && !pend->adopting &&
        core->wall_ms - facts->unreferenced_wall_ms >= core->config.unreferenced_ms &&
        core->now_ms - pend->unreferenced_ms >= core->config.seen_ms)
        start_drop(core, pend, "no version names it any more");
}

/* ---- strays ---- */

/* A live version names what is here and was never told of, or not any more. */
static void look_stray(struct keep_core *core, const struct keep_facts *facts)
{
    if (facts->place != KEEP_STRAY || core->adopting)
        return;
    struct keep_pend *pend = keep_pend_get(core, &facts->content);
    if (pend == NULL || pend->drop != KEEP_DROP_NONE || pend->fetching ||
        core->now_ms < pend->retry_ms)
        return;
    if (!keep_act_on(core, KEEP_ADOPT, &facts->content, "no record tells of it"))
        return;
    pend->adopting = true;
    core->adopting = true;
}

void keep_on_adopted(struct keep_core *core, const struct content *content, int code)
{
    struct keep_pend *pend = keep_pend_find(core, content->root);
    if (pend == NULL || !pend->adopting)
        return;
    pend->adopting = false;
    core->adopting = false;
    if (code == 0)
        core->stats.adopted++;
    else
        pend->retry_ms = core->now_ms + ADOPT_AGAIN_MS;
    keep_pend_free_if_idle(core, pend);
}

/* ---- scrub ---- */

static struct keep_doubt *doubt_of(struct keep_core *core, const uint8_t *root)
{
    for (size_t i = 0; i < FS_KEEP_DOUBTS_MAX; i++)
        if (core->doubts[i].waits && memcmp(core->doubts[i].root, root, CONTENT_ROOT_BYTES) == 0)
            return &core->doubts[i];
    return NULL;
}

static bool is_day(const struct keep_core *core, const struct keep_facts *facts)
{
    uint64_t day = core->wall_ms / core->config.day_ms;
    uint64_t own = keep_rank(facts->content.root, &core->config.self) % SCRUB_DAYS;
    uint64_t ago = (day % SCRUB_DAYS + SCRUB_DAYS - own) % SCRUB_DAYS;
    /* What was read under a clock that was ahead would not be read again until it is that late. */
    uint64_t read_ms = facts->scrubbed_wall_ms <= core->wall_ms ? facts->scrubbed_wall_ms : 0;
    return day >= ago && read_ms / core->config.day_ms < day - ago;
}

static void look_scrub(struct keep_core *core, const struct keep_facts *facts)
{
    struct keep_doubt *doubt = doubt_of(core, facts->content.root);
    bool is_read = facts->place == KEEP_KEEP || (facts->place == KEEP_FOLDER && doubt != NULL);
    if (!is_read || core->scrubbing || (doubt == NULL && !is_day(core, facts)))
        return;
    struct keep_pend *pend = keep_pend_get(core, &facts->content);
    if (pend == NULL || pend->drop != KEEP_DROP_NONE || pend->fetching)
        return;
    if (!keep_act_on(core, KEEP_SCRUB, &facts->content, "")) {
        keep_pend_free_if_idle(core, pend);
        return;
    }
    pend->scrubbing = true;
    core->scrubbing = true;
    if (doubt != NULL)
        doubt->waits = false;
}

void keep_on_scrubbed(struct keep_core *core, const struct content *content, int code)
{
    struct keep_pend *pend = keep_pend_find(core, content->root);
    core->scrubbing = false;
    core->stats.scrubbed++;
    if (pend != NULL)
        pend->scrubbing = false;
    if (code != 0)
        core->stats.damaged++;
    if (code != 0 && !MUTANT(FS_NO_REPAIR) && keep_act_on(core, KEEP_DAMAGE, content, "") &&
        pend != NULL)
        pend->repair = true;
    if (pend != NULL)
        keep_pend_free_if_idle(core, pend);
}

/* ---- looking ---- */

void keep_look(struct keep_core *core, const struct keep_facts *seen)
{
    struct keep_facts facts = *seen;
    uint32_t alive = facts.place == KEEP_FOLDER || facts.place == KEEP_KEEP;
    if (facts.copies > FS_COPIES_MAX)
        facts.copies = FS_COPIES_MAX;
    struct keep_pend *pend = keep_pend_find(core, facts.content.root);
    if (pend != NULL)
        pend->copies = facts.copies;
    if (MUTANT(FS_STRAYS_GO) && facts.place == KEEP_STRAY &&
        (pend = keep_pend_get(core, &facts.content)) != NULL && pend->drop == KEEP_DROP_NONE)
        start_drop(core, pend, "no record tells of it");
    if (!facts.live) {
        look_unreferenced(core, &facts);
    } else {
        if (facts.unreferenced_wall_ms != 0)
            note(core, &facts.content, 0);
        if (pend != NULL)
            pend->unreferenced_ms = 0;
        for (size_t i = 0; i < facts.holders_n && i < FS_KEEP_HOLDERS_MAX; i++)
            alive += keep_node_counts(core, &facts.holders[i]);
        look_stray(core, &facts);
        look_lacking(core, &facts, alive);
        look_pinned(core, &facts);
        look_surplus(core, &facts);
    }
    look_scrub(core, &facts);
    pend = keep_pend_find(core, facts.content.root);
    if (pend != NULL)
        pend->copies = facts.copies;
    keep_pend_free_if_idle(core, pend);
}

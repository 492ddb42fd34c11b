/*
 * Finding others: seeds, and nodes that were here once. Both for ever.
 *
 * A seed is dialled unless the node that answered there is here: at once, then after 1, 2, 4 ... s
 * up to reconnect_interval. Nodes that failed (and remembered ones, after a power cut) are tried
 * one each reconnect_interval; while we are alone, in batches, with growing pauses between passes.
 * Every pause is jittered, so that a cluster that comes up at once does not knock in step.
 */
#include "core/error.h"
#include "core/mutant.h"
#include "member/internal.h"

#define FIRST_PAUSE_MS 1000
/* While alone: nodes tried at once, and the pause to the next ones. */
#define BATCH          8
#define BATCH_PAUSE_MS 250
/* Addresses of one node dialled in one attempt. */
#define ADDRESSES_AT_ONCE 4

/* @base doubled @times times, at most reconnect_interval, and 25 % more or less. */
static uint64_t pause_ms(struct member_core *core, uint32_t times)
{
    uint64_t most_ms = core->config.reconnect_interval_ms;
    uint64_t wait_ms = times < 20 ? (uint64_t)FIRST_PAUSE_MS << times : most_ms;
    if (wait_ms > most_ms)
        wait_ms = most_ms;
    uint64_t least_ms = wait_ms - wait_ms / 4;
    /* The cap holds with the jitter too. */
    uint64_t spread_ms = wait_ms == most_ms ? wait_ms / 4 : wait_ms / 2;
    return least_ms + rng_below(&core->rng, spread_ms + 1);
}

static void dial(struct member_core *core, const char *address)
{
    size_t len = strlen(address) + 1;
    char *text = core_arena(core, len);
    if (text == NULL)
        return;
    memcpy(text, address, len);
    core_act(core, MEMBER_DIAL)->text = text;
}

/* ---- seeds ---- */

static bool is_here(const struct member_core *core, const struct kith_node_id *id)
{
    const struct mnode *node = table_find(core, id);
    return id_equal(id, &core->config.self) || (node != NULL && node->here_at != 0);
}

/* Does a node that is here say that this is its address? A scan, once a pause and seed. */
static bool address_is_here(const struct member_core *core, const char *text)
{
    for (size_t i = 0; i < core->here_n; i++) {
        const struct member_known_facts *facts = &core->here[i]->pub.facts;
        for (uint32_t a = 0; a < facts->addresses_n; a++)
            if (strcmp(facts->addresses[a], text) == 0)
                return true;
    }
    return false;
}

int dial_add_seed(struct member_core *core, const char *text)
{
    size_t len = text == NULL ? 0 : strnlen(text, KITH_ADDRESS_TEXT_MAX + 1);
    if (len == 0 || len > KITH_ADDRESS_TEXT_MAX)
        return kith_fail_with(KITH_E_INVALID, "a seed is an address of 1 to %d bytes",
                              KITH_ADDRESS_TEXT_MAX);
    for (size_t i = 0; i < core->seeds_n; i++)
        if (strcmp(core->seeds[i]->text, text) == 0)
            return 0;
    if (core->seeds_n == NET_SEEDS_MAX)
        return kith_fail_with(KITH_E_LIMIT, "more than %d seeds: '%s' is not tried", NET_SEEDS_MAX,
                              text);
    struct seed *seed = core_calloc(1, sizeof(*seed));
    if (seed == NULL)
        return KITH_E_MEMORY;
    memcpy(seed->text, text, len + 1);
    seed->timer.kind = TIMER_SEED;
    core->seeds[core->seeds_n++] = seed;
    core_timer_set(core, &seed->timer, core->now_ms);
    return 0;
}

void dial_seed_timer(struct member_core *core, struct seed *seed)
{
    if (core->leaving)
        return;
    bool here = seed->id_known ? is_here(core, &seed->id) : address_is_here(core, seed->text);
    if (here) {
        seed->tries = 0;
        core_timer_set(core, &seed->timer, core->now_ms + core->config.reconnect_interval_ms);
        return;
    }
    dial(core, seed->text);
    /* Should nobody tell us how it ended, it is tried again all the same. */
    core_timer_set(core, &seed->timer, core->now_ms + core->config.reconnect_interval_ms);
}

static struct seed *seed_find(const struct member_core *core, const char *text)
{
    for (size_t i = 0; text != NULL && i < core->seeds_n; i++)
        if (strcmp(core->seeds[i]->text, text) == 0)
            return core->seeds[i];
    return NULL;
}

void dial_failed(struct member_core *core, const char *text)
{
    struct seed *seed = seed_find(core, text);
    if (seed == NULL || core->leaving)
        return;
    seed->id_known = false;
    core_timer_set(core, &seed->timer, core->now_ms + pause_ms(core, seed->tries));
    if (seed->tries < UINT32_MAX)
        seed->tries++;
}

void dial_link_up(struct member_core *core, const struct kith_node_id *id, const char *text)
{
    struct seed *seed = seed_find(core, text);
    if (seed == NULL)
        return;
    seed->id = *id;
    seed->id_known = true;
    seed->tries = 0;
}

/* ---- nodes that were here ---- */

/* By its id, where the channel knows which address worked; every other time whoever is there now.
 */
static void try_again(struct member_core *core, struct mnode *node)
{
    const struct member_known_facts *facts = &node->pub.facts;
    uint32_t attempt = node->dials++;
    if (attempt % 2 == 0 || facts->addresses_n == 0) {
        struct member_action *action = core_act(core, MEMBER_CONNECT);
        action->id = node->pub.id;
        action->member = &node->pub;
        return;
    }
    uint32_t from = attempt / 2 * ADDRESSES_AT_ONCE;
    for (uint32_t i = 0; i < ADDRESSES_AT_ONCE && i < facts->addresses_n; i++)
        dial(core, facts->addresses[(from + i) % facts->addresses_n]);
}

static bool try_next(struct member_core *core)
{
    struct list *link = list_first(&core->failed);
    if (link == NULL || MUTANT(MEMBER_NO_RETRY))
        return false;
    list_remove(link);
    list_append(&core->failed, link);
    try_again(core, container_of(link, struct mnode, gone_link));
    return true;
}

void dial_start(struct member_core *core)
{
    core_timer_set(core, &core->dial_timer, core->now_ms);
}

void dial_soon(struct member_core *core)
{
    if (!core->started || core->leaving || !core_alone(core) || list_empty(&core->failed))
        return;
    core->dial_passes = 0;
    core->dial_left = 0;
    core_timer_set(core, &core->dial_timer, core->now_ms + rng_below(&core->rng, BATCH_PAUSE_MS));
}

/* Alone: all of them, a batch at a time, and then again after a longer pause. */
static uint64_t alone_turn(struct member_core *core)
{
    if (core->dial_left == 0)
        list_for_each (it, &core->failed)
            core->dial_left++;
    for (int i = 0; i < BATCH && core->dial_left > 0; i++) {
        core->dial_left--;
        if (!try_next(core))
            core->dial_left = 0;
    }
    if (core->dial_left > 0)
        return BATCH_PAUSE_MS;
    uint64_t wait_ms = pause_ms(core, core->dial_passes);
    if (core->dial_passes < UINT32_MAX)
        core->dial_passes++;
    return wait_ms;
}

void dial_timer(struct member_core *core)
{
    uint64_t wait_ms;
    if (core_alone(core)) {
        wait_ms = alone_turn(core);
    } else {
        core->dial_left = 0;
        core->dial_passes = 0;
        try_next(core);
        wait_ms = pause_ms(core, UINT32_MAX);
    }
    core_timer_set(core, &core->dial_timer, core->now_ms + wait_ms);
}

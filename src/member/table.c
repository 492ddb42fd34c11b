/*
 * The table of nodes: who is known, in which state, under which name; and tombstones of those that
 * were forgotten on purpose.
 */
#include <stdio.h>

#include "member/internal.h"

struct mnode *table_find(const struct member_core *core, const struct kith_node_id *id)
{
    return mapid_find(&core->by_id, id);
}

/* ---- names ----
 *
 * Nodes of one name stand in a group. Who has the plain name is the same on every node that knows
 * the same members: those that left (or are only remembered) come last, then the one born first,
 * then the lower id.
 */

static bool name_before(const struct mnode *a, const struct mnode *b)
{
    bool a_left = a->pub.status == KITH_STATUS_LEFT || a->remembered;
    bool b_left = b->pub.status == KITH_STATUS_LEFT || b->remembered;
    if (a_left != b_left)
        return b_left;
    if (a->pub.facts.born_unix_ms != b->pub.facts.born_unix_ms)
        return a->pub.facts.born_unix_ms < b->pub.facts.born_unix_ms;
    return memcmp(a->pub.id.bytes, b->pub.id.bytes, KITH_NODE_ID_BYTES) < 0;
}

static void name_show(struct member_core *core, struct mnode *node, unsigned number)
{
    if (number == 1) {
        core_free(node->own_shown);
        node->own_shown = NULL;
        node->pub.shown_name = node->pub.facts.name;
        return;
    }
    size_t bytes = strlen(node->pub.facts.name) + 8;
    char *shown = core_malloc(bytes);
    if (shown == NULL) {
        core->error = KITH_E_MEMORY;
        core_free(node->own_shown);
        node->own_shown = NULL;
        node->pub.shown_name = node->pub.facts.name;
        return;
    }
    snprintf(shown, bytes, "%s-%u", node->pub.facts.name, number % 100000);
    core_free(node->own_shown);
    node->own_shown = shown;
    node->pub.shown_name = shown;
}

/* Is there a node that is really called "pi-2"? It keeps its name: the second "pi" is "pi-3" then.
 */
static bool number_is_taken(const struct member_core *core, const char *name, unsigned number)
{
    char shown[MEMBER_NAME_BYTES_MAX + 16];
    snprintf(shown, sizeof(shown), "%s-%u", name, number);
    return strlen(shown) <= MEMBER_NAME_BYTES_MAX && maptext_find(&core->by_name, shown) != NULL;
}

/* Numbers the group from @from on (NULL: all of it); those before keep theirs. */
static void
name_number(struct member_core *core, struct name_group *group, const struct mnode *from)
{
    unsigned number = 1;
    bool keep = from != NULL;
    for (struct mnode *node = group->first; node != NULL; node = node->name_next) {
        keep = keep && node != from;
        if (keep) {
            number = node->name_no + 1;
            continue;
        }
        while (number > 1 && number_is_taken(core, group->name, number))
            number++;
        name_show(core, node, number);
        node->name_no = number++;
    }
}

/* "pi-2" came or went: the numbers of the group "pi" may have to step aside. */
static void name_renumber_base(struct member_core *core, const char *name)
{
    const char *dash = strrchr(name, '-');
    if (dash == NULL || dash == name || dash[1] < '1' || dash[1] > '9')
        return;
    char base[MEMBER_NAME_BYTES_MAX + 1];
    memcpy(base, name, (size_t)(dash - name));
    base[dash - name] = '\0';
    struct name_group *group = maptext_find(&core->by_name, base);
    if (group != NULL && group->first->name_next != NULL)
        name_number(core, group, NULL);
}

static void name_insert(struct name_group *group, struct mnode *node)
{
    struct mnode **at = &group->first;
    while (*at != NULL && name_before(*at, node))
        at = &(*at)->name_next;
    node->name_next = *at;
    *at = node;
}

static void name_unlink(struct name_group *group, struct mnode *node)
{
    struct mnode **at = &group->first;
    while (*at != NULL && *at != node)
        at = &(*at)->name_next;
    if (*at != NULL)
        *at = node->name_next;
    node->name_next = NULL;
}

static void name_join(struct member_core *core, struct mnode *node)
{
    struct name_group *group = maptext_find(&core->by_name, node->pub.facts.name);
    node->pub.shown_name = node->pub.facts.name;
    if (group == NULL) {
        group = core_calloc(1, sizeof(*group));
        if (group == NULL) {
            core->error = KITH_E_MEMORY;
            return;
        }
        snprintf(group->name, sizeof(group->name), "%s", node->pub.facts.name);
        if (maptext_set(&core->by_name, group->name, group) != 0) {
            core_free(group);
            core->error = KITH_E_MEMORY;
            return;
        }
        group->first = node;
        node->name_no = 1;
        name_renumber_base(core, group->name);
        return;
    }
    struct mnode *holder = group->first;
    name_insert(group, node);
    name_number(core, group, node);
    if (holder->pub.status != KITH_STATUS_LEFT && !holder->remembered && !node->remembered) {
        struct member_action *action = core_act(core, MEMBER_NAME_CLASH);
        action->member = node == group->first ? &holder->pub : &node->pub;
        action->other = &group->first->pub;
    }
}

/* Out of its group, while facts.name still is the old one. Fine if it is in none. */
static void name_part(struct member_core *core, struct mnode *node)
{
    if (node->pub.facts.name == NULL)
        return;
    struct name_group *group = maptext_find(&core->by_name, node->pub.facts.name);
    struct mnode *in_group = group == NULL ? NULL : group->first;
    while (in_group != NULL && in_group != node)
        in_group = in_group->name_next;
    if (in_group != NULL) {
        const struct mnode *behind = node->name_next;
        name_unlink(group, node);
        if (group->first != NULL) {
            if (behind != NULL)
                name_number(core, group, behind);
        } else {
            maptext_remove(&core->by_name, group->name);
            name_renumber_base(core, group->name);
            core_free(group);
        }
    }
    core_free(node->own_shown);
    node->own_shown = NULL;
    node->pub.shown_name = node->pub.facts.name;
}

/* Leaving and returning change who has the plain name. */
static void name_reorder(struct member_core *core, struct mnode *node)
{
    if (node->pub.facts.name == NULL)
        return;
    struct name_group *group = maptext_find(&core->by_name, node->pub.facts.name);
    if (group == NULL || group->first->name_next == NULL)
        return;
    name_unlink(group, node);
    name_insert(group, node);
    name_number(core, group, NULL);
}

/* ---- facts ---- */

/*
 * A block: pointers to the addresses, then @bytes copied. Texts of @facts that lie in @bytes are
 * moved along by the caller.
 */
static uint8_t *block_new(struct member_core *core,
                          const void *bytes,
                          size_t len,
                          const char *addresses,
                          size_t addresses_n)
{
    size_t head = addresses_n * sizeof(char *);
    uint8_t *block = core_malloc(head + len);
    if (block == NULL) {
        core->error = KITH_E_MEMORY;
        return NULL;
    }
    memcpy(block + head, bytes, len);
    const char **pointers = (const char **)(void *)block;
    const char *at = (const char *)block + head + (addresses - (const char *)bytes);
    for (size_t i = 0; i < addresses_n; i++) {
        pointers[i] = at;
        at += strlen(at) + 1;
    }
    return block;
}

bool table_set_record(struct member_core *core,
                      struct mnode *node,
                      const struct facts_record *record)
{
    uint8_t *block =
        block_new(core, record->data, record->len, record->addresses, record->addresses_n);
    if (block == NULL)
        return false;
    struct member_known_facts *facts = &node->pub.facts;
    const uint8_t *copy = block + record->addresses_n * sizeof(char *);
    bool renamed = node->record == NULL || strcmp(facts->name, record->name) != 0 ||
                   facts->born_unix_ms != record->born_unix_ms;
    if (renamed)
        name_part(core, node);
    if (node->pub.status == KITH_STATUS_ALIVE) {
        core->alive_programs_n -= facts->role == KITH_ROLE_PROGRAM;
        core->alive_programs_n += record->role == KITH_ROLE_PROGRAM;
    }
    uint8_t *old = node->block;
    node->block = block;
    node->record = copy;
    node->record_len = (uint32_t)record->len;
    node->record_flags = record->flags;
    node->record_current = record->boot_no == node->pub.boot_no;
    *facts = (struct member_known_facts){
        .name = (const char *)copy + (record->name - (const char *)record->data),
        .version = (const char *)copy + (record->version_text - (const char *)record->data),
        .addresses = (const char *const *)(const void *)block,
        .addresses_n = record->addresses_n,
        .role = (enum kith_role)record->role,
        .cpus = record->cpus,
        .cores = record->cores,
        .gpu = (record->flags & FACTS_GPU) != 0,
        .memory_bytes = record->memory_bytes,
        .registry_version = facts->registry_version,
        .born_unix_ms = record->born_unix_ms,
    };
    memcpy(node->pub.sign_pk, record->sign_pk, sizeof(node->pub.sign_pk));
    node->pub.facts_version = record->version;
    if (renamed)
        name_join(core, node);
    else if (node->own_shown == NULL)
        node->pub.shown_name = facts->name;
    core_free(old);
    return true;
}

bool table_set_unsigned(struct member_core *core, struct mnode *node, const struct member *peer)
{
    char texts[MEMBER_NAME_BYTES_MAX + 1 + MEMBER_ADDRESSES_MAX * (KITH_ADDRESS_TEXT_MAX + 1)];
    const struct member_known_facts *from = &peer->facts;
    const char *name = from->name == NULL ? "" : from->name;
    size_t at = strnlen(name, MEMBER_NAME_BYTES_MAX);
    memcpy(texts, name, at);
    texts[at++] = '\0';
    size_t addresses_at = at;
    uint32_t n = 0;
    for (uint32_t i = 0; i < from->addresses_n && n < MEMBER_ADDRESSES_MAX; i++) {
        size_t len = strlen(from->addresses[i]);
        if (len == 0 || len > KITH_ADDRESS_TEXT_MAX)
            continue;
        memcpy(texts + at, from->addresses[i], len + 1);
        at += len + 1;
        n++;
    }
    uint8_t *block = block_new(core, texts, at, texts + addresses_at, n);
    if (block == NULL)
        return false;
    node->block = block;
    node->pub.facts = (struct member_known_facts){
        .name = (const char *)block + n * sizeof(char *),
        .version = "",
        .addresses = (const char *const *)(const void *)block,
        .addresses_n = n,
        .role = from->role == 0 ? KITH_ROLE_NODE : from->role,
        .born_unix_ms = from->born_unix_ms,
    };
    memcpy(node->pub.sign_pk, peer->sign_pk, sizeof(node->pub.sign_pk));
    name_join(core, node);
    return true;
}

/* ---- the order of probing ---- */

static void here_swap(struct member_core *core, size_t a, size_t b)
{
    struct mnode *node = core->here[a];
    core->here[a] = core->here[b];
    core->here[b] = node;
    core->here[a]->here_at = (uint32_t)a + 1;
    core->here[b]->here_at = (uint32_t)b + 1;
}

/* At a random place: a node that joins is probed within one round, and by all at other times. */
static void here_insert(struct member_core *core, struct mnode *node)
{
    assert(node->here_at == 0);
    assert(core->here_n < core->here_cap);
    core->here[core->here_n++] = node;
    node->here_at = (uint32_t)core->here_n;
    here_swap(core, core->here_n - 1, (size_t)rng_below(&core->rng, core->here_n));
}

static void here_remove(struct member_core *core, struct mnode *node)
{
    assert(node->here_at != 0);
    size_t at = node->here_at - 1;
    /* Keep the done before the cursor and the others behind it. */
    if (at < core->here_cursor) {
        core->here_cursor--;
        here_swap(core, at, core->here_cursor);
        at = core->here_cursor;
    }
    here_swap(core, at, core->here_n - 1);
    core->here_n--;
    node->here_at = 0;
}

void table_probe_next(struct member_core *core, struct mnode *node)
{
    if (node->here_at == 0)
        return;
    size_t at = node->here_at - 1;
    /* One of the done comes back before the cursor; so does any at the end of a round. */
    if (at < core->here_cursor)
        core->here_cursor--;
    here_swap(core, at, core->here_cursor);
}

struct mnode *table_random(struct member_core *core,
                           const struct mnode *not1,
                           const struct mnode *not2,
                           bool suspects_too)
{
    struct mnode *node;
    return table_random_n(core, &node, 1, not1, not2, suspects_too) == 1 ? node : NULL;
}

static bool eligible(const struct mnode *node,
                     const struct mnode *not1,
                     const struct mnode *not2,
                     bool suspects_too)
{
    return node != not1 && node != not2 && (suspects_too || node->pub.status == KITH_STATUS_ALIVE);
}

size_t table_random_n(struct member_core *core,
                      struct mnode **out,
                      size_t max,
                      const struct mnode *not1,
                      const struct mnode *not2,
                      bool suspects_too)
{
    size_t n = 0;
    if (core->here_n <= 4 * max + 4) {
        /* Few: go round once from a random place, so that all are found. */
        size_t from = (size_t)rng_below(&core->rng, core->here_n);
        for (size_t i = 0; i < core->here_n && n < max; i++) {
            struct mnode *node = core->here[(from + i) % core->here_n];
            if (eligible(node, not1, not2, suspects_too))
                out[n++] = node;
        }
        return n;
    }
    for (size_t tries = 0; tries < 8 * max + 8 && n < max; tries++) {
        struct mnode *node = core->here[rng_below(&core->rng, core->here_n)];
        bool taken = false;
        for (size_t i = 0; i < n; i++)
            taken = taken || out[i] == node;
        if (!taken && eligible(node, not1, not2, suspects_too))
            out[n++] = node;
    }
    return n;
}

/* ---- status ---- */

/* The last two columns of the table in docs/protocols/member.md: when it goes by itself. */
uint64_t table_keep_ms(const struct member_core *core, enum kith_role role, enum kith_status status)
{
    if (role == KITH_ROLE_PROGRAM)
        return PROGRAM_TOMBSTONE_MS;
    return status == KITH_STATUS_LEFT ? core->config.tombstone_ms : UINT64_MAX;
}

static void status_leave(struct member_core *core, struct mnode *node)
{
    bool program = node->pub.facts.role == KITH_ROLE_PROGRAM;
    core_timer_stop(core, &node->timer);
    switch (node->pub.status) {
    case KITH_STATUS_ALIVE:
        core->alive_n--;
        core->alive_programs_n -= program;
        node->echo_sent_ms = 0;
        break;
    case KITH_STATUS_SUSPECT:
        suspect_end(core, node);
        break;
    case KITH_STATUS_FAILED:
    case KITH_STATUS_LEFT:
        list_remove(&node->gone_link);
        break;
    }
}

static void status_enter(struct member_core *core, struct mnode *node)
{
    bool program = node->pub.facts.role == KITH_ROLE_PROGRAM;
    uint64_t keep_ms;
    switch (node->pub.status) {
    case KITH_STATUS_ALIVE:
        core->alive_n++;
        core->alive_programs_n += program;
        break;
    case KITH_STATUS_SUSPECT:
        break;
    case KITH_STATUS_FAILED:
    case KITH_STATUS_LEFT:
        /* Programs come and go; nobody looks for one that failed. */
        list_append(node->pub.status == KITH_STATUS_FAILED && !program ? &core->failed
                                                                       : &core->left,
                    &node->gone_link);
        keep_ms = table_keep_ms(core, node->pub.facts.role, node->pub.status);
        if (keep_ms != UINT64_MAX)
            core_timer_set(core, &node->timer, node->pub.status_since_ms + keep_ms);
        break;
    }
}

void table_set_status(struct member_core *core, struct mnode *node, enum kith_status status)
{
    bool was_left = node->pub.status == KITH_STATUS_LEFT;
    status_leave(core, node);
    node->pub.status = status;
    node->pub.status_since_ms = core->now_ms;
    status_enter(core, node);
    bool here = status == KITH_STATUS_ALIVE || status == KITH_STATUS_SUSPECT;
    if (here && node->here_at == 0 && !id_equal(&node->pub.id, &core->config.self)) {
        here_insert(core, node);
        if (core->here_n == 1)
            probe_start(core);
    } else if (!here && node->here_at != 0) {
        here_remove(core, node);
        probe_forget(core, node);
    }
    if (status == KITH_STATUS_ALIVE && core->config.detector_echo && node->here_at != 0)
        echo_add(core, node);
    if (was_left != (status == KITH_STATUS_LEFT))
        name_reorder(core, node);
    if (core_alone(core)) {
        /* Nobody is left to tell or to be measured by. */
        for (size_t i = 0; i <= GOSSIP_SENDS_MAX; i++)
            while (!list_empty(&core->by_sends[i]))
                gossip_drop_item(core,
                                 container_of(core->by_sends[i].next, struct gossip_item, link));
        core->health = 0;
        dial_soon(core);
    }
}

/* ---- coming and going ---- */

static bool grow(struct member_core *core, struct mnode ***array, size_t *cap, size_t need)
{
    if (need <= *cap)
        return true;
    size_t bigger = *cap == 0 ? 16 : *cap * 2;
    struct mnode **moved = core_realloc(*array, bigger * sizeof(*moved));
    if (moved == NULL) {
        core->error = KITH_E_MEMORY;
        return false;
    }
    *array = moved;
    *cap = bigger;
    return true;
}

/* Full: the one that left or failed first makes room. False if all are here. */
static bool make_room(struct member_core *core)
{
    struct list *oldest = list_first(&core->left);
    if (oldest == NULL)
        oldest = list_first(&core->failed);
    if (oldest == NULL) {
        core->stats.table_full++;
        return false;
    }
    table_remove(core, container_of(oldest, struct mnode, gone_link));
    return true;
}

struct mnode *table_add(struct member_core *core, const struct kith_node_id *id)
{
    if (core->all_n >= MEMBER_NODES_MAX && !make_room(core))
        return NULL;
    /* Room for it everywhere first, so that nothing below can fail half way. */
    if (!grow(core, &core->all, &core->all_cap, core->all_n + 1) ||
        !grow(core, &core->here, &core->here_cap, core->all_n + 1))
        return NULL;
    struct mnode *node = core_calloc(1, sizeof(*node));
    if (node == NULL || mapid_set(&core->by_id, id, node) != 0) {
        core_free(node);
        core->error = KITH_E_MEMORY;
        return NULL;
    }
    node->pub.id = *id;
    node->pub.rtt_us = UINT32_MAX;
    node->pub.shown_name = "";
    node->timer.kind = TIMER_NODE;
    node->all_at = (uint32_t)core->all_n;
    core->all[core->all_n++] = node;
    core->cache_dirty = true;
    return node;
}

void table_remove(struct member_core *core, struct mnode *node)
{
    name_part(core, node);
    status_leave(core, node);
    if (node->here_at != 0) {
        here_remove(core, node);
        probe_forget(core, node);
    }
    gossip_drop_node(core, node);
    mapid_remove(&core->by_id, &node->pub.id);
    core->all_n--;
    core->all[node->all_at] = core->all[core->all_n];
    core->all[node->all_at]->all_at = node->all_at;
    node->name_next = core->graveyard;
    core->graveyard = node;
    core->cache_dirty = true;
    if (node != core->self) {
        struct member_action *action = core_act(core, MEMBER_FORGOTTEN);
        action->id = node->pub.id;
        action->member = &node->pub;
    }
}

void table_bury(struct member_core *core)
{
    while (core->graveyard != NULL) {
        struct mnode *node = core->graveyard;
        core->graveyard = node->name_next;
        core_free(node->block);
        core_free(node->own_shown);
        core_free(node);
    }
}

/* ---- tombstones ---- */

struct tomb *tomb_find(const struct member_core *core, const struct kith_node_id *id)
{
    return mapid_find(&core->tombs, id);
}

struct tomb *tomb_set(struct member_core *core,
                      const struct kith_node_id *id,
                      uint64_t boot_no,
                      uint64_t n,
                      uint64_t for_ms)
{
    struct tomb *tomb = tomb_find(core, id);
    if (tomb == NULL) {
        if (core->tombs.n >= MEMBER_TOMBSTONES_MAX)
            tomb_remove(core, container_of(list_first(&core->tombs_by_age), struct tomb, link));
        tomb = core_calloc(1, sizeof(*tomb));
        if (tomb == NULL || mapid_set(&core->tombs, id, tomb) != 0) {
            core_free(tomb);
            core->error = KITH_E_MEMORY;
            return NULL;
        }
        tomb->id = *id;
        tomb->timer.kind = TIMER_TOMB;
        list_append(&core->tombs_by_age, &tomb->link);
    }
    tomb->boot_no = boot_no;
    tomb->n = n;
    if (core->now_ms + for_ms > tomb->until_ms)
        tomb->until_ms = core->now_ms + for_ms;
    core_timer_set(core, &tomb->timer, tomb->until_ms);
    return tomb;
}

void tomb_remove(struct member_core *core, struct tomb *tomb)
{
    core_timer_stop(core, &tomb->timer);
    if (tomb->gossip != NULL)
        gossip_drop_item(core, tomb->gossip);
    list_remove(&tomb->link);
    mapid_remove(&core->tombs, &tomb->id);
    core_free(tomb);
}

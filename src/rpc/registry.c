#include "rpc/registry.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/text.h"
#include "net/frame.h"
#include "rpc.pb-c.h"
#include "rpc/actions.h"
#include "rpc/calls.h"
#include "rpc/peer.h"
#include "rpc/proto_alloc.h"
#include "rpc/watch.h"

/* Changes within so many milliseconds go out together; the first one at once. */
#define PUSH_EVERY_MS     10
#define COUNTERS_EVERY_MS (30 * 1000)
/* A pull without an answer is repeated after this, doubled each time, at most PULL_MAX_MS. */
#define PULL_MIN_MS 1000
#define PULL_MAX_MS 30000

/* ---- entries ---- */

int entry_set_texts(struct entry *entry, const struct entry_texts *texts)
{
    const char *all[4] = {texts->name, texts->version, texts->description, texts->signature};
    size_t total = 0;
    for (int i = 0; i < 4; i++) {
        if (all[i] == NULL)
            all[i] = "";
        total += strlen(all[i]) + 1;
    }
    char *text = core_malloc(total);
    if (text == NULL)
        return KITH_E_MEMORY;
    entry->text = text;
    const char **fields[4] = {&entry->name, &entry->version, &entry->description,
                              &entry->signature};
    for (int i = 0; i < 4; i++) {
        size_t len = strlen(all[i]) + 1;
        memcpy(text, all[i], len);
        *fields[i] = text;
        text += len;
    }
    return 0;
}

void entry_free(struct entry *entry)
{
    if (entry == NULL)
        return;
    core_free(entry->text);
    core_free(entry);
}

static void fn_free_if_unused(struct rpc_core *core, struct fn *fn)
{
    if (fn->refs > 0 || fn->providers_n > 0 || fn->watched || !list_empty(&fn->waiters))
        return;
    map64_remove(&core->fns, fn->hash);
    core_free(fn->providers);
    core_free(fn->name);
    core_free(fn);
}

static int fn_make(struct rpc_core *core, uint64_t hash, const char *name, struct fn **fn_out)
{
    struct fn *fn = core_calloc(1, sizeof(*fn));
    if (fn == NULL)
        return KITH_E_MEMORY;
    fn->hash = hash;
    fn->name = core_strndup(name, strlen(name));
    list_init(&fn->waiters);
    if (fn->name == NULL || map64_set(&core->fns, hash, fn) != 0) {
        core_free(fn->name);
        core_free(fn);
        return KITH_E_MEMORY;
    }
    *fn_out = fn;
    return 0;
}

int fn_get(struct rpc_core *core, uint64_t hash, const char *name, struct fn **fn_out)
{
    struct fn *fn = fn_find(core, hash);
    if (fn == NULL) {
        if (name == NULL || !text_is_function_name(name))
            return KITH_E_NAME;
        int r = fn_make(core, hash, name, &fn);
        if (r != 0)
            return r;
    }
    fn->refs++;
    *fn_out = fn;
    return 0;
}

void fn_unref(struct rpc_core *core, struct fn *fn)
{
    assert(fn->refs > 0);
    if (--fn->refs == 0)
        fn_free_if_unused(core, fn);
}

int entry_link(struct rpc_core *core, struct entry *entry, uint64_t hash)
{
    struct fn *fn;
    int r = fn_get(core, hash, entry->name, &fn);
    if (r != 0)
        return r;
    if (strcmp(fn->name, entry->name) != 0) {
        fn_unref(core, fn);
        return KITH_E_EXISTS;
    }
    if (fn->providers_n == fn->providers_cap) {
        size_t cap = fn->providers_cap == 0 ? 4 : fn->providers_cap * 2;
        struct entry **providers = core_realloc(fn->providers, cap * sizeof(struct entry *));
        if (providers == NULL) {
            fn_unref(core, fn);
            return KITH_E_MEMORY;
        }
        fn->providers = providers;
        fn->providers_cap = cap;
    }
    entry->fn = fn;
    entry->provider_at = fn->providers_n;
    fn->providers[fn->providers_n++] = entry;
    fn_unref(core, fn);
    return 0;
}

void entry_unlink(struct rpc_core *core, struct entry *entry)
{
    struct fn *fn = entry->fn;
    if (fn == NULL)
        return;
    struct entry *last = fn->providers[--fn->providers_n];
    fn->providers[entry->provider_at] = last;
    last->provider_at = entry->provider_at;
    entry->fn = NULL;
    fn_free_if_unused(core, fn);
}

struct entry *fn_entry_of(const struct fn *fn, const struct rpc_peer *peer)
{
    for (size_t i = 0; i < fn->providers_n; i++) {
        if (fn->providers[i]->peer == peer)
            return fn->providers[i];
    }
    return NULL;
}

void fns_deinit(struct rpc_core *core)
{
    size_t at = 0;
    struct fn *fn;
    while ((fn = map64_next(&core->fns, &at)) != NULL) {
        core_free(fn->providers);
        core_free(fn->name);
        core_free(fn);
    }
    map64_deinit(&core->fns);
}

/* ---- signatures ---- */

void signature_remember(struct rpc_core *core, uint64_t hash, const char *text)
{
    if (text == NULL || core->signatures.n >= RPC_SIGNATURES_KNOWN_MAX ||
        map64_find(&core->signatures, hash) != NULL)
        return;
    size_t len = strlen(text);
    char *copy = core_strndup(text, len < RPC_SIGNATURE_BYTES_MAX ? len : RPC_SIGNATURE_BYTES_MAX);
    if (copy != NULL && map64_set(&core->signatures, hash, copy) != 0)
        core_free(copy);
}

const char *signature_name(struct rpc_core *core, uint64_t hash)
{
    const char *text = map64_find(&core->signatures, hash);
    if (text != NULL)
        return text;
    size_t at = 0;
    struct fn *fn;
    while ((fn = map64_next(&core->fns, &at)) != NULL) {
        for (size_t i = 0; i < fn->providers_n; i++) {
            if (fn->providers[i]->signature_hash == hash)
                return fn->providers[i]->signature;
        }
    }
    return arena_text(core, "with the hash %016" PRIx64, hash);
}

void signatures_deinit(struct rpc_core *core)
{
    size_t at = 0;
    char *text;
    while ((text = map64_next(&core->signatures, &at)) != NULL)
        core_free(text);
    map64_deinit(&core->signatures);
}

/* ---- ours ---- */

static void note_removed(struct rpc_core *core, const char *name)
{
    if (core->removed_n == REMOVED_NAMES_MAX) {
        core->removed_floor = core->removed[0].version;
        core_free(core->removed[0].name);
        memmove(core->removed, core->removed + 1,
                (REMOVED_NAMES_MAX - 1) * sizeof(core->removed[0]));
        core->removed_n--;
    }
    char *copy = core_strndup(name, strlen(name));
    if (copy == NULL) {
        /* Whoever is behind gets everything. */
        core->removed_floor = core->version;
        return;
    }
    core->removed[core->removed_n++] =
        (struct removed_name){.version = core->version, .name = copy};
}

static void note_functions_changed(struct rpc_core *core, struct rpc_peer *peer)
{
    struct rpc_action *action = action_add(core, RPC_FUNCTIONS_CHANGED);
    if (action != NULL)
        action->peer = peer;
}

void registry_changed(struct rpc_core *core, struct rpc_export *added, const char *removed)
{
    core->version++;
    if (added != NULL)
        added->changed_version = core->version;
    if (removed != NULL)
        note_removed(core, removed);
    action_add(core, RPC_REGISTRY_CHANGED);
    note_functions_changed(core, NULL);
    if (core->now_ms >= core->pushed_ms + PUSH_EVERY_MS && !core->push_timer.set)
        registry_push(core);
    else if (!core->push_timer.set && !core->push_timer.due)
        timer_set(core, &core->push_timer, core->pushed_ms + PUSH_EVERY_MS);
}

static void push_to_all(struct rpc_core *core, const uint8_t *data, size_t len, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < core->peers_n; i++) {
        if (core->peers[i]->up)
            action_send_control(core, core->peers[i], FRAME_REGISTRY, data, len);
    }
}

void registry_push(struct rpc_core *core)
{
    if (core->pushed_version == core->version)
        return;
    uint64_t base = core->pushed_version;
    core->pushed_ms = core->now_ms;
    core->pushed_version = core->version;
    if (core->peers_up_n == 0 || core->peers_up_n > core->config.registry_push_max)
        return; /* they hear of the version and pull */
    /* Whoever misses this one notices by the base version, or hears of the version. */
    (void)registry_encode(core, base, push_to_all, NULL);
}

void registry_note_run(struct rpc_core *core)
{
    if (!core->counters_timer.set && !core->counters_timer.due && core->peers_up_n > 0)
        timer_set(core, &core->counters_timer, core->now_ms + COUNTERS_EVERY_MS);
}

void registry_tell_counters(struct rpc_core *core)
{
    if (core->peers_up_n > 0 && core->peers_up_n <= core->config.registry_push_max)
        (void)registry_encode_counters(core, push_to_all, NULL); /* the next ones make up for it */
}

static void push_to_one(struct rpc_core *core, const uint8_t *data, size_t len, void *arg)
{
    action_send_control(core, arg, FRAME_REGISTRY, data, len);
}

int registry_on_pull(struct rpc_core *core, struct rpc_peer *peer, const uint8_t *body, size_t len)
{
    Kith__Rpc__RegistryPull *pull =
        kith__rpc__registry_pull__unpack(&rpc_proto_allocator, len, body);
    if (pull == NULL)
        return KITH_E_CORRUPT;
    uint64_t have = pull->boot_no == core->config.boot_no ? pull->have_version : 0;
    kith__rpc__registry_pull__free_unpacked(pull, &rpc_proto_allocator);
    if (have > core->version || have < core->removed_floor)
        have = 0;
    return registry_encode(core, have, push_to_one, peer);
}

/* ---- of peers ---- */

static void free_entries(struct entry **entries, size_t n)
{
    for (size_t i = 0; i < n; i++)
        entry_free(entries[i]);
    core_free(entries);
}

static void drop_staged(struct registry *registry)
{
    free_entries(registry->staged, registry->staged_n);
    registry->staged = NULL;
    registry->staged_n = 0;
    registry->staged_cap = 0;
    registry->parts_n = 0;
    registry->parts_next = 0;
}

static void drop_entries(struct rpc_core *core, struct registry *registry)
{
    core->entries_n -= registry->entries_n;
    for (size_t i = 0; i < registry->entries_n; i++)
        entry_unlink(core, registry->entries[i]);
    free_entries(registry->entries, registry->entries_n);
    registry->entries = NULL;
    registry->entries_n = 0;
    registry->entries_cap = 0;
}

bool registry_clear(struct rpc_core *core, struct rpc_peer *peer)
{
    struct registry *registry = &peer->registry;
    bool had = registry->entries_n > 0;
    timer_cancel(core, &registry->pull_timer);
    drop_entries(core, registry);
    drop_staged(registry);
    registry->version = 0;
    registry->wanted = 0;
    registry->pulls_n = 0;
    return had;
}

static void pull(struct rpc_core *core, struct rpc_peer *peer)
{
    struct registry *registry = &peer->registry;
    Kith__Rpc__RegistryPull message = KITH__RPC__REGISTRY_PULL__INIT;
    message.boot_no = peer->boot_no;
    message.have_version = registry->version;
    uint8_t *data =
        arena_alloc(&core->arena, kith__rpc__registry_pull__get_packed_size(&message) + 1);
    if (data != NULL)
        action_send_control(core, peer, FRAME_REGISTRY_PULL, data,
                            kith__rpc__registry_pull__pack(&message, data));
    uint64_t wait_ms = PULL_MAX_MS;
    if (registry->pulls_n < 5)
        wait_ms = (uint64_t)PULL_MIN_MS << registry->pulls_n;
    registry->pulls_n++;
    timer_set(core, &registry->pull_timer, core->now_ms + wait_ms);
}

void registry_greet(struct rpc_core *core, struct rpc_peer *peer)
{
    /* Asked for rather than told: the other side may not have seen us up yet. */
    if (core->peers_up_n <= core->config.registry_push_max)
        pull(core, peer);
}

void registry_heard(struct rpc_core *core, struct rpc_peer *peer, uint64_t version)
{
    struct registry *registry = &peer->registry;
    if (version > registry->wanted)
        registry->wanted = version;
    if (registry->wanted > registry->version && !registry->pull_timer.set && peer->up)
        pull(core, peer);
}

void registry_distrust(struct rpc_core *core, struct rpc_peer *peer)
{
    if (!peer->up || peer->registry.pull_timer.set)
        return;
    pull(core, peer);
}

void registry_on_pull_timer(struct rpc_core *core, struct rpc_peer *peer)
{
    if (peer->up && (peer->registry.version == 0 || peer->registry.wanted > peer->registry.version))
        pull(core, peer);
    else
        peer->registry.pulls_n = 0;
}

/* Takes the entries of @update over, to the end of a growing array. */
static int
append_entries(struct entry ***array, size_t *n, size_t *cap, struct registry_update *update)
{
    size_t need = *n + update->entries_n;
    if (need > RPC_FUNCTIONS_NODE_MAX)
        return KITH_E_CORRUPT;
    if (need > *cap) {
        struct entry **grown = core_realloc(*array, need * sizeof(struct entry *));
        if (grown == NULL)
            return KITH_E_MEMORY;
        *array = grown;
        *cap = need;
    }
    if (update->entries_n > 0)
        memcpy(*array + *n, update->entries, update->entries_n * sizeof(struct entry *));
    *n = need;
    update->entries_n = 0;
    return 0;
}

static size_t find_entry(const struct registry *registry, const char *name)
{
    for (size_t i = 0; i < registry->entries_n; i++) {
        if (strcmp(registry->entries[i]->name, name) == 0)
            return i;
    }
    return SIZE_MAX;
}

static void remove_entry(struct rpc_core *core, struct registry *registry, size_t at)
{
    entry_unlink(core, registry->entries[at]);
    entry_free(registry->entries[at]);
    registry->entries[at] = registry->entries[--registry->entries_n];
    core->entries_n--;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(struct entry *const *)a)->name, (*(struct entry *const *)b)->name);
}

/* Links those from @from on; drops the ones that cannot be linked. */
static int link_entries(struct rpc_core *core, struct rpc_peer *peer, size_t from)
{
    struct registry *registry = &peer->registry;
    int result = 0;
    size_t kept = from;
    for (size_t i = from; i < registry->entries_n; i++) {
        struct entry *entry = registry->entries[i];
        entry->peer = peer;
        int r = core->entries_n < RPC_ENTRIES_MAX
                    ? entry_link(core, entry, rpc_name_hash(entry->name))
                    : KITH_E_LIMIT;
        if (r != 0) {
            entry_free(entry);
            if (r == KITH_E_MEMORY)
                result = r;
            continue;
        }
        core->entries_n++;
        registry->entries[kept++] = entry;
    }
    registry->entries_n = kept;
    if (registry->entries_n > 1)
        qsort(registry->entries, registry->entries_n, sizeof(struct entry *), compare_names);
    return result;
}

static void updated(struct rpc_core *core, struct rpc_peer *peer, uint64_t version)
{
    struct registry *registry = &peer->registry;
    registry->version = version;
    if (registry->wanted < version)
        registry->wanted = version;
    registry->pulls_n = 0;
    timer_cancel(core, &registry->pull_timer);
    note_functions_changed(core, peer);
    watch_greet(core, peer);
    for (size_t i = 0; i < registry->entries_n; i++) {
        struct fn *fn = registry->entries[i]->fn;
        if (!list_empty(&fn->waiters))
            calls_wake(core, fn);
    }
    if (registry->wanted > registry->version)
        pull(core, peer);
}

static int
apply_snapshot(struct rpc_core *core, struct rpc_peer *peer, struct registry_update *update)
{
    struct registry *registry = &peer->registry;
    if (update->part == 0) {
        drop_staged(registry);
        registry->parts_version = update->version;
        registry->parts_n = update->parts;
    }
    if (update->version != registry->parts_version || update->part != registry->parts_next ||
        update->parts != registry->parts_n)
        return 0; /* a part of something else; the pull timer asks again */
    int r = append_entries(&registry->staged, &registry->staged_n, &registry->staged_cap, update);
    if (r != 0) {
        drop_staged(registry);
        return r;
    }
    registry->parts_next++;
    if (registry->parts_next < registry->parts_n)
        return 0;
    /* Whole: takes the place of what was there. */
    drop_entries(core, registry);
    registry->entries = registry->staged;
    registry->entries_n = registry->staged_n;
    registry->entries_cap = registry->staged_cap;
    registry->staged = NULL;
    registry->staged_n = 0;
    drop_staged(registry);
    r = link_entries(core, peer, 0);
    /* Short of memory: what is there is used, and the rest asked for again. */
    updated(core, peer, r == 0 ? update->version : 0);
    return r;
}

static int
apply_change(struct rpc_core *core, struct rpc_peer *peer, struct registry_update *update)
{
    struct registry *registry = &peer->registry;
    if (update->parts != 1)
        return KITH_E_CORRUPT;
    if (registry->version != update->base_version) {
        registry_heard(core, peer, update->version);
        return 0;
    }
    for (size_t i = 0; i < update->removed_n; i++) {
        size_t at = find_entry(registry, update->removed[i]);
        if (at != SIZE_MAX)
            remove_entry(core, registry, at);
    }
    for (size_t i = 0; i < update->entries_n; i++) {
        size_t at = find_entry(registry, update->entries[i]->name);
        if (at != SIZE_MAX)
            remove_entry(core, registry, at);
    }
    size_t from = registry->entries_n;
    int r =
        append_entries(&registry->entries, &registry->entries_n, &registry->entries_cap, update);
    if (r == 0)
        r = link_entries(core, peer, from);
    updated(core, peer, r == 0 ? update->version : 0);
    return r;
}

/* A change from a version to itself: nothing but how often the functions have run. */
static void
apply_counters(struct rpc_core *core, struct rpc_peer *peer, const struct registry_update *update)
{
    for (size_t i = 0; i < update->entries_n; i++) {
        const struct entry *told = update->entries[i];
        struct fn *fn = fn_find(core, rpc_name_hash(told->name));
        struct entry *entry = fn != NULL ? fn_entry_of(fn, peer) : NULL;
        if (entry == NULL)
            continue;
        entry->calls_n = told->calls_n;
        entry->errors_n = told->errors_n;
    }
}

int registry_on_update(struct rpc_core *core,
                       struct rpc_peer *peer,
                       const uint8_t *body,
                       size_t len)
{
    struct registry_update update;
    int r = registry_update_decode(body, len, &update);
    if (r != 0)
        return r;
    bool old = update.boot_no != peer->boot_no || update.version < peer->registry.version;
    if (old || !peer->up)
        r = 0;
    else if (update.base_version == 0)
        r = apply_snapshot(core, peer, &update);
    else if (update.version == update.base_version)
        apply_counters(core, peer, &update);
    else if (update.version > peer->registry.version)
        r = apply_change(core, peer, &update);
    registry_update_deinit(&update);
    return r;
}

/* ---- for the driver ---- */

static void
describe(const struct rpc_core *core, const struct entry *entry, struct rpc_function *out)
{
    *out = (struct rpc_function){
        .name = entry->name,
        .version = entry->version,
        .description = entry->description,
        .signature = entry->signature,
        .name_hash = entry->fn->hash,
        .signature_hash = entry->signature_hash,
        .flags = entry->flags,
        .node = entry->peer != NULL ? entry->peer->id : core->config.self,
        .calls_n = entry->calls_n,
        .errors_n = entry->errors_n,
    };
}

/* *at counts our own first, then those of each peer: entry + 1 in the low bits, peer + 1 above. */
#define AT_BITS 13
static_assert(RPC_FUNCTIONS_NODE_MAX < 1 << AT_BITS, "an index of an entry fits");

bool rpc_function_next(const struct rpc_core *core, size_t *at, struct rpc_function *out)
{
    size_t node = *at >> AT_BITS;
    size_t index = *at & ((1u << AT_BITS) - 1);
    if (node == 0) {
        size_t i = 0;
        list_for_each (link, &core->export_list) {
            if (i++ < index)
                continue;
            const struct rpc_export *fn = container_of(link, struct rpc_export, link);
            describe(core, &fn->entry, out);
            out->times = &fn->times;
            out->recent = &fn->recent;
            (*at)++;
            return true;
        }
        node = 1;
        index = 0;
    }
    for (; node <= core->peers_n; node++, index = 0) {
        const struct rpc_peer *peer = core->peers[node - 1];
        if (!peer->up || index >= peer->registry.entries_n)
            continue;
        describe(core, peer->registry.entries[index], out);
        *at = node << AT_BITS | (index + 1);
        return true;
    }
    *at = node << AT_BITS;
    return false;
}

size_t
rpc_who_has(const struct rpc_core *core, uint64_t name_hash, struct kith_node_id *out, size_t max)
{
    const struct fn *fn = fn_find(core, name_hash);
    size_t n = 0;
    for (size_t i = 0; fn != NULL && i < fn->providers_n; i++) {
        const struct entry *entry = fn->providers[i];
        if (entry->stale || (entry->peer != NULL && !entry->peer->up))
            continue;
        if (n < max)
            out[n] = entry->peer != NULL ? entry->peer->id : core->config.self;
        n++;
    }
    return n;
}

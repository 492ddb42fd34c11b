/*
 * Registry updates in bytes (proto/rpc.proto), cut into frames below the bound of the control
 * class.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/text.h"
#include "rpc.pb-c.h"
#include "rpc/actions.h"
#include "rpc/proto_alloc.h"
#include "rpc/registry.h"

/* Room for the fields of an update beside its entries. */
#define UPDATE_HEAD_BYTES 64
#define UPDATE_BYTES_MAX  (60 * 1024)
static_assert(UPDATE_BYTES_MAX <= NET_CONTROL_FRAME_BYTES_MAX, "a part fits a frame");

/* ---- decoding ---- */

static bool text_fits(const char *text, size_t max)
{
    size_t len = strlen(text);
    return len <= max && text_is_utf8(text, len);
}

static struct entry *entry_decode(const Kith__Rpc__RegistryEntry *message, int *result)
{
    *result = KITH_E_CORRUPT;
    if (!text_is_function_name(message->name) ||
        !text_fits(message->version, RPC_VERSION_BYTES_MAX) ||
        !text_fits(message->description, RPC_DESCRIPTION_BYTES_MAX) ||
        !text_fits(message->signature, RPC_SIGNATURE_BYTES_MAX))
        return NULL;
    uint64_t signature_hash;
    if (rpc_signature_hash(message->signature, &signature_hash) != 0)
        return NULL;
    *result = KITH_E_MEMORY;
    struct entry *entry = core_calloc(1, sizeof(*entry));
    if (entry == NULL)
        return NULL;
    struct entry_texts texts = {.name = message->name,
                                .version = message->version,
                                .description = message->description,
                                .signature = message->signature};
    if (entry_set_texts(entry, &texts) != 0) {
        core_free(entry);
        return NULL;
    }
    entry->signature_hash = signature_hash;
    entry->flags = message->flags;
    entry->calls_n = message->calls_n;
    entry->errors_n = message->errors_n;
    *result = 0;
    return entry;
}

void registry_update_deinit(struct registry_update *update)
{
    for (size_t i = 0; i < update->entries_n; i++)
        entry_free(update->entries[i]);
    core_free(update->entries);
    for (size_t i = 0; i < update->removed_n; i++)
        core_free(update->removed[i]);
    core_free(update->removed);
    *update = (struct registry_update){0};
}

static int take_entries(struct registry_update *update, const Kith__Rpc__RegistryUpdate *message)
{
    if (message->n_entries > 0) {
        update->entries = core_calloc(message->n_entries, sizeof(struct entry *));
        if (update->entries == NULL)
            return KITH_E_MEMORY;
    }
    for (size_t i = 0; i < message->n_entries; i++) {
        int r;
        struct entry *entry = entry_decode(message->entries[i], &r);
        if (entry == NULL)
            return r;
        update->entries[update->entries_n++] = entry;
    }
    if (message->n_removed > 0) {
        update->removed = core_calloc(message->n_removed, sizeof(char *));
        if (update->removed == NULL)
            return KITH_E_MEMORY;
    }
    for (size_t i = 0; i < message->n_removed; i++) {
        if (!text_is_function_name(message->removed[i]))
            return KITH_E_CORRUPT;
        char *copy = core_strndup(message->removed[i], strlen(message->removed[i]));
        if (copy == NULL)
            return KITH_E_MEMORY;
        update->removed[update->removed_n++] = copy;
    }
    return 0;
}

int registry_update_decode(const uint8_t *body, size_t len, struct registry_update *update_out)
{
    *update_out = (struct registry_update){0};
    if (len > NET_CONTROL_FRAME_BYTES_MAX)
        return KITH_E_CORRUPT;
    Kith__Rpc__RegistryUpdate *message =
        kith__rpc__registry_update__unpack(&rpc_proto_allocator, len, body);
    if (message == NULL)
        return KITH_E_CORRUPT;
    int r = KITH_E_CORRUPT;
    bool fits = message->parts >= 1 && message->parts <= RPC_REGISTRY_PARTS_MAX &&
                message->part < message->parts && message->n_entries <= RPC_FUNCTIONS_NODE_MAX &&
                message->n_removed <= REMOVED_NAMES_MAX && message->version > 0 &&
                message->version >= message->base_version; /* equal: a pull found nothing new */
    if (fits) {
        *update_out = (struct registry_update){
            .boot_no = message->boot_no,
            .base_version = message->base_version,
            .version = message->version,
            .part = message->part,
            .parts = message->parts,
        };
        r = take_entries(update_out, message);
    }
    kith__rpc__registry_update__free_unpacked(message, &rpc_proto_allocator);
    if (r != 0)
        registry_update_deinit(update_out);
    return r;
}

/* ---- encoding ---- */

static void fill_entry(Kith__Rpc__RegistryEntry *message, const struct rpc_export *fn)
{
    kith__rpc__registry_entry__init(message);
    /* protobuf-c wants char *, and does not write. */
    message->name = (char *)(uintptr_t)fn->entry.name;
    message->version = (char *)(uintptr_t)fn->entry.version;
    message->description = (char *)(uintptr_t)fn->entry.description;
    message->signature = (char *)(uintptr_t)fn->entry.signature;
    message->flags = fn->entry.flags;
    message->calls_n = fn->entry.calls_n;
    message->errors_n = fn->entry.errors_n;
}

/* Bytes of an entry inside an update: its own, a tag and a length. */
static size_t entry_bytes(const Kith__Rpc__RegistryEntry *message)
{
    return kith__rpc__registry_entry__get_packed_size(message) + 4;
}

struct encoder {
    struct rpc_core *core;
    Kith__Rpc__RegistryUpdate update;
    Kith__Rpc__RegistryEntry *entries;
    Kith__Rpc__RegistryEntry **pointers;
    size_t n;
    char *removed[REMOVED_NAMES_MAX];
};

/* Room for an entry of each function, and one more so that there is some. */
static int make_room(struct encoder *encoder)
{
    struct rpc_core *core = encoder->core;
    size_t max = core->exports_n + 1;
    encoder->entries = arena_alloc(&core->arena, max * sizeof(*encoder->entries));
    encoder->pointers = arena_alloc(&core->arena, max * sizeof(*encoder->pointers));
    if (encoder->entries == NULL || encoder->pointers == NULL)
        return KITH_E_MEMORY;
    for (size_t i = 0; i < max; i++)
        encoder->pointers[i] = &encoder->entries[i];
    return 0;
}

static int gather(struct encoder *encoder, uint64_t base_version)
{
    struct rpc_core *core = encoder->core;
    int r = make_room(encoder);
    if (r != 0)
        return r;
    list_for_each (node, &core->export_list) {
        const struct rpc_export *fn = container_of(node, struct rpc_export, link);
        if (fn->changed_version <= base_version)
            continue;
        fill_entry(encoder->pointers[encoder->n++], fn);
    }
    return 0;
}

/* Hands the update as it stands to @each. */
static int give(struct encoder *encoder,
                void (*each)(struct rpc_core *core, const uint8_t *data, size_t len, void *arg),
                void *arg)
{
    size_t len = kith__rpc__registry_update__get_packed_size(&encoder->update);
    uint8_t *data = arena_alloc(&encoder->core->arena, len + 1);
    if (data == NULL)
        return KITH_E_MEMORY;
    each(encoder->core, data, kith__rpc__registry_update__pack(&encoder->update, data), arg);
    return 0;
}

/* How many entries from @from on fit one frame. */
static size_t fill_of(const struct encoder *encoder, size_t from)
{
    size_t bytes = UPDATE_HEAD_BYTES;
    size_t n = 0;
    while (from + n < encoder->n) {
        bytes += entry_bytes(encoder->pointers[from + n]);
        if (bytes > UPDATE_BYTES_MAX && n > 0)
            break;
        n++;
    }
    return n;
}

static uint32_t parts_of(const struct encoder *encoder)
{
    uint32_t parts = 0;
    size_t from = 0;
    do {
        from += fill_of(encoder, from);
        parts++;
    } while (from < encoder->n);
    return parts;
}

static void add_removed(struct encoder *encoder, uint64_t base_version)
{
    const struct rpc_core *core = encoder->core;
    encoder->update.removed = encoder->removed;
    for (size_t i = 0; i < core->removed_n; i++) {
        if (core->removed[i].version > base_version)
            encoder->removed[encoder->update.n_removed++] = core->removed[i].name;
    }
}

int registry_encode_counters(
    struct rpc_core *core,
    void (*each)(struct rpc_core *core, const uint8_t *data, size_t len, void *arg),
    void *arg)
{
    struct encoder encoder = {.core = core};
    int r = make_room(&encoder);
    if (r != 0)
        return r;
    list_for_each (node, &core->export_list) {
        struct rpc_export *fn = container_of(node, struct rpc_export, link);
        if (fn->entry.calls_n == fn->calls_told_n)
            continue;
        fn->calls_told_n = fn->entry.calls_n;
        Kith__Rpc__RegistryEntry *entry = encoder.pointers[encoder.n++];
        kith__rpc__registry_entry__init(entry);
        entry->name = (char *)(uintptr_t)fn->entry.name; /* not written */
        entry->calls_n = fn->entry.calls_n;
        entry->errors_n = fn->entry.errors_n;
    }
    kith__rpc__registry_update__init(&encoder.update);
    encoder.update.boot_no = core->config.boot_no;
    encoder.update.base_version = core->version;
    encoder.update.version = core->version;
    encoder.update.parts = 1;
    for (size_t from = 0; from < encoder.n && r == 0; from += encoder.update.n_entries) {
        encoder.update.entries = encoder.pointers + from;
        encoder.update.n_entries = fill_of(&encoder, from);
        r = give(&encoder, each, arg);
    }
    return r;
}

int registry_encode(struct rpc_core *core,
                    uint64_t base_version,
                    void (*each)(struct rpc_core *core, const uint8_t *data, size_t len, void *arg),
                    void *arg)
{
    struct encoder encoder = {.core = core};
    kith__rpc__registry_update__init(&encoder.update);
    int r = gather(&encoder, base_version);
    if (r != 0)
        return r;
    uint32_t parts = parts_of(&encoder);
    if (base_version > 0 && (parts > 1 || base_version < core->removed_floor)) {
        /* A change has one part: everything instead. */
        return registry_encode(core, 0, each, arg);
    }
    if (base_version > 0)
        add_removed(&encoder, base_version);
    encoder.update.boot_no = core->config.boot_no;
    encoder.update.base_version = base_version;
    encoder.update.version = core->version;
    encoder.update.parts = parts;
    if (base_version > 0) {
        encoder.update.entries = encoder.pointers;
        encoder.update.n_entries = encoder.n;
        if (kith__rpc__registry_update__get_packed_size(&encoder.update) >
            NET_CONTROL_FRAME_BYTES_MAX)
            return registry_encode(core, 0, each, arg);
    }
    size_t from = 0;
    for (uint32_t part = 0; part < parts; part++) {
        encoder.update.part = part;
        encoder.update.entries = encoder.pointers + from;
        encoder.update.n_entries = fill_of(&encoder, from);
        from += encoder.update.n_entries;
        r = give(&encoder, each, arg);
        if (r != 0)
            return r;
    }
    return 0;
}

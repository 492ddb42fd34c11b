/*
 * Users and programs of simulated nodes with files: what they do, and what comes of it.
 */
#include <string.h>

#include "fs_world.h"
#include "kith/error.h"
#include "queue.h"

static struct fw_world *world_of(struct hf *hf)
{
    return (struct fw_world *)(void *)hf->hw;
}

static struct rng *rng_of(const struct fw_world *fw)
{
    return sim_rng(fw->hf.world);
}

/* ---- uses ---- */

static uint64_t use_new(struct fw_world *fw, enum fw_what what, size_t node, unsigned path)
{
    size_t at = 0;

    while (at < fw->uses_n && fw->uses[at].what != FW_NOTHING)
        at++;
    if (at == fw->uses_n) {
        if (fw->uses_n == fw->uses_cap) {
            fw->uses_cap = fw->uses_cap > 0 ? 2 * fw->uses_cap : 64;
            fw->uses = sim_realloc(fw->uses, fw->uses_cap, sizeof(*fw->uses));
        }
        fw->uses_n++;
    }
    fw->uses[at] = (struct fw_use){.what = what, .node = node, .path = path};
    sim_op(fw->hf.world);
    return at + 1;
}

static struct fw_use *use_of(struct fw_world *fw, uint64_t user)
{
    return &fw->uses[user - 1];
}

static void use_end(struct fw_world *fw, uint64_t user)
{
    struct fw_use *use = use_of(fw, user);

    if (use->what == FW_REMOVE)
        fw->removes[use->node][use->path]--;
    if (use->what == FW_READ_ALL)
        fw->reads_open--;
    use->what = FW_NOTHING;
}

void fw_users_gone(struct fw_world *fw, size_t node)
{
    for (size_t i = 0; i < fw->uses_n; i++)
        if (fw->uses[i].what != FW_NOTHING && fw->uses[i].node == node)
            use_end(fw, i + 1);
}

/* ---- publications ---- */

static struct fs_publication publication(uint8_t change, uint8_t basis, unsigned path)
{
    const char *text = hf_path(path);

    return (struct fs_publication){
        .change = change, .basis = basis, .path = text, .path_len = (uint32_t)strlen(text)};
}

static void publish_put(
    struct hf *hf, unsigned path, unsigned item, uint8_t basis, uint64_t only_if, uint64_t user)
{
    struct fs_publication p = publication(FS_PUT, basis, path);

    p.kind = FS_FILE;
    p.mode = 0644;
    p.mtime_ns = 1;
    p.place = basis == FS_ON_OWN ? FS_IN_FOLDER : FS_IN_KEEP;
    p.content = *fi_content(&hf->hw->items, item);
    p.only_if = only_if;
    hf_publish(hf, &p, user);
}

/* A put is acknowledged: its bytes are promised from now on. */
static void told(struct hf *hf, unsigned item)
{
    if (!hf->files->file[item].whole && !hf_in_folder(hf, item))
        sim_violation(hf->hw->world, "node %zu: a put is acknowledged, and its bytes are gone",
                      hf->index);
    fw_written_anew(world_of(hf), item);
}

void fw_published(struct hf *hf, uint64_t user, int code, uint64_t version_id)
{
    struct fw_world *fw = world_of(hf);

    if (code != 0 && code != KITH_E_NOT_FOUND && code != KITH_E_FENCE)
        sim_violation(hf->hw->world, "node %zu: a publication ends with %s", hf->index,
                      kith_error_name(code));
    if (code == 0 && version_id != 0) {
        fw->acked_n++;
        fw_acked(fw, hf->index, version_id);
    }
    if (user == 0)
        return;
    sim_note(hf->hw->world, "%zu: %d of %s, content %u, gives %d", hf->index,
             use_of(fw, user)->what, hf_path(use_of(fw, user)->path), use_of(fw, user)->item, code);
    if (use_of(fw, user)->what == FW_PUT || use_of(fw, user)->what == FW_APPEND) {
        hf_put_over(hf, use_of(fw, user)->item);
        if (code == 0)
            told(hf, use_of(fw, user)->item);
    }
    if (code != 0 && use_of(fw, user)->what == FW_TAKE) {
        /* It is another by now: what the folder has is found by the next look at it. */
        hf_scan(hf);
    }
    fw->deleted_n += code == 0 && use_of(fw, user)->what == FW_REMOVE;
    fw->appended_n += code == 0 && use_of(fw, user)->what == FW_APPEND;
    use_end(fw, user);
}

/* ---- in folders ---- */

static void write_file(struct hf *hf, unsigned path, unsigned item, uint64_t user)
{
    struct fw_world *fw = world_of(hf);
    unsigned old = hf->files->folder[path];

    hf->files->folder[path] = (uint16_t)item;
    hf->files->released[path] = false;
    fw_written_anew(fw, item);
    if (old != 0)
        fw_reduced(fw, old);
    publish_put(hf, path, item, FS_ON_OWN, 0, user);
}

static void delete_file(struct hf *hf, unsigned path)
{
    struct fw_world *fw = world_of(hf);
    struct fs_publication p = publication(FS_DELETE, FS_ON_OWN, path);
    unsigned old = hf->files->folder[path];

    if (old == 0)
        return;
    fw->deletes[hf->index][path] = true;
    hf->files->released[path] = false;
    hf->files->folder[path] = 0;
    fw_reduced(fw, old);
    hf_publish(hf, &p, use_new(fw, FW_DELETE, hf->index, path));
}

static void rename_file(struct hf *hf, unsigned from, unsigned to)
{
    unsigned item = hf->files->folder[from];

    if (item == 0 || from == to)
        return;
    write_file(hf, to, item, use_new(world_of(hf), FW_WRITE, hf->index, to));
    delete_file(hf, from);
}

static void release(struct hf *hf, unsigned path)
{
    struct fw_world *fw = world_of(hf);
    struct fs_publication p = publication(FS_RELEASE, FS_ON_OWN, path);
    unsigned old = hf->files->folder[path];

    hf->files->folder[path] = 0;
    hf->files->released[path] = true;
    if (old != 0)
        fw_reduced(fw, old);
    hf_publish(hf, &p, use_new(fw, FW_RELEASE, hf->index, path));
}

/* ---- by name ---- */

static bool shown(const struct hf *hf, unsigned path, struct fs_entry *entry_out)
{
    const char *text = hf_path(path);

    return fs_catalogue_stat(hf->catalogue, (struct kith_bytes){"s", 1},
                             (struct kith_bytes){text, strlen(text)}, entry_out) == 0 &&
           entry_out->has_content;
}

static void put(struct hf *hf, unsigned path, unsigned item)
{
    struct fw_world *fw = world_of(hf);
    uint64_t user = use_new(fw, FW_PUT, hf->index, path);

    use_of(fw, user)->item = item;
    hf_put(hf, item, user);
}

/* Chance alone would hardly ever put what goes just now. */
void fw_going(struct hf *hf, unsigned item)
{
    struct fw_world *fw = world_of(hf);

    if (fw->users_on && rng_below(rng_of(fw), 4) == 0)
        put(hf, (unsigned)rng_below(rng_of(fw), HF_PATHS), item);
}

static void remove_file(struct hf *hf, unsigned path)
{
    struct fw_world *fw = world_of(hf);
    struct fs_publication p = publication(FS_DELETE, FS_ON_CURRENT, path);

    fw->removes[hf->index][path]++;
    hf_publish(hf, &p, use_new(fw, FW_REMOVE, hf->index, path));
}

static void resolve(struct hf *hf, unsigned path)
{
    struct fs_entry entries[8];
    const char *text = hf_path(path);
    struct fs_publication p = publication(FS_RESOLVE, FS_ON_ALL, path);
    size_t n = fs_catalogue_versions(hf->catalogue, (struct kith_bytes){"s", 1},
                                     (struct kith_bytes){text, strlen(text)}, entries, 8);

    if (n < 2)
        return;
    p.version_id = entries[rng_below(rng_of(world_of(hf)), n < 8 ? n : 8)].version_id;
    /* Which may be a deletion that somebody meant. */
    world_of(hf)->removes[hf->index][path]++;
    uint64_t user = use_new(world_of(hf), FW_REMOVE, hf->index, path);
    hf_publish(hf, &p, user);
}

/* Reads what is shown first, for FW_APPEND and FW_TAKE. */
static void read_first(struct hf *hf, enum fw_what what, unsigned path)
{
    struct fw_world *fw = world_of(hf);
    struct fs_entry entry;

    if (!shown(hf, path, &entry))
        return;
    uint64_t user = use_new(fw, what, hf->index, path);
    use_of(fw, user)->version = entry.version_id;
    use_of(fw, user)->item = fi_of(&fw->hf.items, entry.content.root);
    hf_read(hf, use_of(fw, user)->item, user, FETCH_ORDINARY, rng_below(rng_of(fw), 2) == 0);
}

static void take(struct hf *hf, const struct fw_use *use, uint64_t user)
{
    struct fs_publication p = publication(FS_TAKE, FS_ON_OWN, use->path);
    unsigned old = hf->files->folder[use->path];

    hf->files->folder[use->path] = (uint16_t)use->item;
    hf->files->released[use->path] = false;
    fw_written_anew(world_of(hf), use->item);
    if (old != 0)
        fw_reduced(world_of(hf), old);
    p.place = FS_IN_FOLDER;
    p.version_id = use->version;
    hf_publish(hf, &p, user);
}

void fw_read(struct fw_world *fw, enum fw_what what, size_t node, unsigned item, bool waits)
{
    uint64_t user = use_new(fw, what, node, 0);

    use_of(fw, user)->item = item;
    fw->reads_open += what == FW_READ_ALL;
    hf_read(hf_at(&fw->hf, node), item, user, FETCH_READ, waits);
}

void fw_read_done(struct hf *hf, uint64_t user, int code)
{
    struct fw_world *fw = world_of(hf);
    struct fw_use use = *use_of(fw, user);

    fw->read_n += code == 0;
    fw->read_failed_n += code != 0;
    fw->last_failed_n += code != 0 && use.what == FW_READ_ALL;
    if (code != 0 && code != KITH_E_UNREACHABLE && code != KITH_E_NOT_FOUND &&
        code != KITH_E_CORRUPT && code != KITH_E_LIMIT && code != KITH_E_IO)
        sim_violation(hf->hw->world, "node %zu: a fetch ends with %s", hf->index,
                      kith_error_name(code));
    if (code != 0 || use.what == FW_READ || use.what == FW_READ_ALL) {
        use_end(fw, user);
        return;
    }
    if (use.what == FW_TAKE) {
        take(hf, &use, user);
        return;
    }
    unsigned longer = fi_append(&fw->hf.items, use.item, rng_of(fw));
    if (longer == 0) {
        use_end(fw, user);
        return;
    }
    use_of(fw, user)->item = longer;
    hf_put(hf, longer, user);
}

void fw_written(struct hf *hf, uint64_t user, int code)
{
    struct fw_world *fw = world_of(hf);
    const struct fw_use use = *use_of(fw, user);

    if (code != 0) {
        use_end(fw, user);
        return;
    }
    publish_put(hf, use.path, use.item, FS_ON_CURRENT, use.what == FW_APPEND ? use.version : 0,
                user);
}

/* ---- what they do ---- */

static void cache_event(struct hf *hf, unsigned item)
{
    static const enum cache_event_type types[] = {CACHE_PIN, CACHE_UNPIN, CACHE_UNPIN, CACHE_FORGET,
                                                  CACHE_EMPTY};
    struct cache_event event = {
        .type = types[rng_below(rng_of(world_of(hf)), sizeof(types) / sizeof(types[0]))]};

    memcpy(event.root, fi_content(&hf->hw->items, item)->root, sizeof(event.root));
    hf_cache_do(hf, &event);
}

static void read_something(struct hf *hf, unsigned path)
{
    struct fs_entry entry;

    if (shown(hf, path, &entry))
        fw_read(world_of(hf), FW_READ, hf->index, fi_of(&hf->hw->items, entry.content.root),
                rng_below(rng_of(world_of(hf)), 4) == 0);
}

static void operate(struct hf *hf)
{
    struct fw_world *fw = world_of(hf);
    struct rng *rng = rng_of(fw);
    unsigned path = (unsigned)rng_below(rng, HF_PATHS);
    unsigned what = (unsigned)rng_below(rng, 24);
    bool again = rng_below(rng, 4) == 0 && fw->hf.items.n > 0;
    unsigned item = 0;

    if (what <= 8) /* those that need one */
        item = again ? 1 + (unsigned)rng_below(rng, fw->hf.items.n) : fi_make(&fw->hf.items, rng);
    if (what <= 4)
        write_file(hf, path, item, use_new(fw, FW_WRITE, hf->index, path));
    else if (what <= 8)
        put(hf, path, item);
    else if (what <= 10)
        delete_file(hf, path);
    else if (what == 11)
        rename_file(hf, path, (unsigned)rng_below(rng, HF_PATHS));
    else if (what <= 13)
        remove_file(hf, path);
    else if (what == 14)
        resolve(hf, path);
    else if (what <= 16)
        read_first(hf, FW_APPEND, path);
    else if (what <= 18)
        read_first(hf, FW_TAKE, path);
    else if (what == 19)
        release(hf, path);
    else if (what <= 22)
        read_something(hf, path);
    else if (fw->hf.items.n > 0)
        cache_event(hf, 1 + (unsigned)rng_below(rng, fw->hf.items.n));
}

static void tick(struct sim_world *world, void *arg)
{
    struct fw_world *fw = arg;
    size_t node = (size_t)rng_below(rng_of(fw), fw->hf.nodes_n);

    if (!fw->users_on)
        return;
    if (sim_node_running(sim_node_at(world, node))) {
        operate(hf_at(&fw->hf, node));
        hf_pump(hf_at(&fw->hf, node));
    }
    sim_at(world, sim_world_ms(world) + 1 + rng_below(rng_of(fw), 2 * fw->period_ms), tick, fw);
}

void fw_users_start(struct fw_world *fw)
{
    fw->users_on = true;
    tick(fw->hf.world, fw);
}

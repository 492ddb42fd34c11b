/*
 * Disks and writers, which are numbered once and stay; versions, and the contents that they share.
 */
#include <sodium/crypto_generichash_blake2b.h>

#include "fs/catalogue_internal.h"

/* ---- disks and writers ---- */

static struct kith_node_id as_key(const struct fs_disk_id *id)
{
    struct kith_node_id key;
    static_assert(sizeof(key.bytes) == FS_DISK_BYTES, "a disk's id is as long as a node's");
    memcpy(key.bytes, id->bytes, sizeof(key.bytes));
    return key;
}

struct fs_disk *fsc_disk_find(const struct fs_catalogue *core, const struct fs_disk_id *id)
{
    struct kith_node_id key = as_key(id);
    return mapid_find(&core->disk_map, &key);
}

struct fs_disk *fsc_disk(struct fs_catalogue *core, const struct fs_disk_id *id)
{
    struct kith_node_id key = as_key(id);
    struct fs_disk *disk = mapid_find(&core->disk_map, &key);
    if (disk != NULL)
        return disk;
    if (core->disks_n >= core->config.disks_max) {
        core->stats.refused_limit++;
        return NULL;
    }
    size_t cap = core->disks_cap;
    bool room = fsc_grow(core, &core->disks, &cap, core->disks_n, sizeof(struct fs_disk *));
    core->disks_cap = (uint32_t)cap;
    disk = room ? core_calloc(1, sizeof(*disk)) : NULL;
    if (disk == NULL || mapid_set(&core->disk_map, &key, disk) != 0) {
        core_free(disk);
        core->error = KITH_E_MEMORY;
        return NULL;
    }
    disk->id = *id;
    disk->no = core->disks_n;
    core->disks[core->disks_n++] = disk;
    core->bytes += sizeof(*disk) + sizeof(disk);
    return disk;
}

bool fsc_author_fits(const struct fs_author *author)
{
    struct kith_node_id node;
    if (crypto_generichash_blake2b(node.bytes, sizeof(node.bytes), author->key, FS_KEY_BYTES, NULL,
                                   0) != 0)
        return false;
    return kith_node_id_equal(&node, &author->node);
}

uint32_t fsc_writer(struct fs_catalogue *core, const struct fs_author *author)
{
    struct fs_disk *disk = fsc_disk(core, &author->disk);
    if (disk == NULL)
        return 0;
    for (uint32_t at = disk->writers; at != 0; at = core->writers[at].next)
        if (memcmp(core->writers[at].key, author->key, FS_KEY_BYTES) == 0)
            return at;
    if (core->writers_n >= 2 * core->config.disks_max) {
        core->stats.refused_limit++;
        return 0;
    }
    size_t cap = core->writers_cap;
    bool room = fsc_grow(core, &core->writers, &cap, core->writers_n, sizeof(struct fs_writer));
    core->writers_cap = (uint32_t)cap;
    if (!room)
        return 0;
    struct fs_writer *writer = &core->writers[core->writers_n];
    *writer = (struct fs_writer){.disk = disk->no, .next = disk->writers, .node = author->node};
    memcpy(writer->key, author->key, FS_KEY_BYTES);
    disk->writers = core->writers_n;
    core->bytes += sizeof(*writer);
    return core->writers_n++;
}

/* ---- contents ---- */

/* One more version of it. */
static struct fs_blob *blob_ref(struct fs_catalogue *core, const struct content *content)
{
    struct fs_blob *blob = fs_contents_get(&core->contents, content);
    if (blob == NULL || blob->versions_n >= FS_BLOB_VERSIONS_MAX)
        return NULL;
    core->blobs_n += blob->versions_n == 0;
    blob->versions_n++;
    fsc_tally_fit(core, blob);
    return blob;
}

static void
blob_add_version(struct fs_catalogue *core, struct fs_blob *blob, struct fs_known *known)
{
    bool tallied = (blob->flags & FS_BLOB_TALLIED) != 0;
    struct fs_known_link *first = tallied ? &fsc_tally(core, blob)->first : &blob->of.first;
    known->of_blob = *first;
    known->of_blob_at = slab_link(first);
    if (first->at != 0)
        fsc_known(core, *first)->of_blob_at = slab_link(&known->of_blob);
    *first = fsc_known_link(known);
}

static void blob_remove_version(struct fs_catalogue *core, struct fs_known *known)
{
    struct fs_known_link *at = slab_at(&core->slab, known->of_blob_at);
    *at = known->of_blob;
    if (known->of_blob.at != 0)
        fsc_next_of_blob(core, known)->of_blob_at = known->of_blob_at;
}

static void blob_unref(struct fs_catalogue *core, struct fs_blob *blob)
{
    blob->versions_n--;
    fsc_tally_fit(core, blob);
    if (blob->versions_n > 0)
        return;
    core->blobs_n--;
    blob->flags = 0; /* a file of a folder may still have it */
    fs_contents_drop(&core->contents, blob);
}

void fsc_blob_dirty(struct fs_catalogue *core, struct fs_blob *blob)
{
    if (blob == NULL || (blob->flags & FS_BLOB_DIRTY) != 0 || !core->started)
        return;
    if (!fsc_grow(core, &core->blobs_dirty, &core->blobs_dirty_cap, core->blobs_dirty_n,
                  sizeof(struct fs_blob *)))
        return;
    fs_blob_flag(blob, FS_BLOB_DIRTY, true);
    core->blobs_dirty[core->blobs_dirty_n++] = blob;
}

/* ---- versions ---- */

static size_t known_bytes(const struct fs_known *known)
{
    return offsetof(struct fs_known, vector) + known->vector_n * sizeof(struct fs_pair) +
           known->target_len;
}

struct fs_known *
fsc_known_find(const struct fs_catalogue *core, const struct fs_node *node, uint64_t id)
{
    struct fs_known *known = fsc_versions(core, node);
    while (known != NULL && known->id != id)
        known = fsc_older(core, known);
    return known;
}

uint64_t
fsc_id_of(struct fs_catalogue *core, const struct fs_node *node, const struct fs_version *version)
{
    char path[FS_PATH_BYTES_MAX + 1];
    const struct fs_node *share = fsc_share(core, node);
    size_t len = fsc_path(core, node, path);
    core->scratch.len = 0;
    if (fs_version_signed(share->name, share->name_len, path, len, version, &core->scratch) != 0) {
        core->error = KITH_E_MEMORY;
        return 0;
    }
    return fs_version_id(core->scratch.data, core->scratch.len);
}

/* The counters by number of their disk. */
static bool set_vector(struct fs_catalogue *core, struct fs_known *known, const struct fs_vector *v)
{
    for (uint32_t i = 0; i < v->n; i++) {
        const struct fs_disk *disk = fsc_disk(core, &v->counters[i].disk);
        if (disk == NULL)
            return false;
        uint32_t at = i;
        for (; at > 0 && known->vector[at - 1].disk > disk->no; at--)
            known->vector[at] = known->vector[at - 1];
        known->vector[at] = (struct fs_pair){.disk = disk->no & 0xffff,
                                             .counter = v->counters[i].counter & FS_COUNTER_MAX};
    }
    return true;
}

struct fs_known *fsc_known_new(struct fs_catalogue *core,
                               struct fs_node *node,
                               const struct fs_version *version,
                               uint64_t id)
{
    uint32_t author = fsc_writer(core, &version->author);
    size_t bytes =
        sizeof(struct fs_known) + version->vector.n * sizeof(struct fs_pair) + version->target_len;
    struct fs_known *known = author != 0 ? slab_alloc(&core->slab, bytes) : NULL;
    if (known == NULL)
        return NULL;
    known->node = fsc_node_link(node);
    known->id = id;
    known->mtime_ns = version->mtime_ns;
    known->moment = version->moment;
    known->author = (uint16_t)author;
    known->mode = (uint16_t)version->mode;
    known->target_len = version->target_len & 0xfff;
    known->kind = version->kind & 0xfu;
    known->replicas = version->replicas;
    known->vector_n = (uint8_t)version->vector.n;
    memcpy(known->signature, version->signature, FS_SIGNATURE_BYTES);
    bool fine = set_vector(core, known, &version->vector);
    if (fine && version->target_len > 0)
        memcpy(&known->vector[known->vector_n], version->target, version->target_len);
    if (fine && version->kind == FS_FILE) {
        known->blob = fs_blob_link(blob_ref(core, &version->content));
        fine = known->blob.at != 0;
    }
    if (!fine) {
        slab_free(&core->slab, known, bytes);
        return NULL;
    }
    if (known->blob.at != 0)
        blob_add_version(core, fsc_blob_of(core, known), known);
    node->pins++; /* a version's own */
    core->versions_n++;
    core->bytes += known_bytes(known);
    return known;
}

void fsc_known_list(struct fs_catalogue *core, struct fs_known *known)
{
    if ((known->flags & FS_KNOWN_LINKED) != 0)
        return;
    struct fs_known_link *at = &fsc_known_node(core, known)->versions;
    for (struct fs_known *before; (before = fsc_known(core, *at)) != NULL;)
        at = &before->next;
    *at = fsc_known_link(known);
    known->next = (struct fs_known_link){0};
    known->flags |= FS_KNOWN_LINKED;
    if ((known->flags & FS_KNOWN_MAXIMAL) != 0)
        fsc_tally_live(core, known, true);
}

void fsc_known_unlist(struct fs_catalogue *core, struct fs_known *known)
{
    if ((known->flags & FS_KNOWN_LINKED) == 0)
        return;
    if ((known->flags & FS_KNOWN_MAXIMAL) != 0)
        fsc_tally_live(core, known, false);
    struct fs_known_link *at = &fsc_known_node(core, known)->versions;
    for (struct fs_known *before; (before = fsc_known(core, *at)) != known;)
        at = &before->next;
    *at = known->next;
    known->flags &= (uint8_t)~FS_KNOWN_LINKED;
}

void fsc_known_unref(struct fs_catalogue *core, struct fs_known *known)
{
    assert(known->refs > 0);
    if (--known->refs > 0)
        return;
    fsc_known_unlist(core, known);
    known->next = fsc_known_link(core->dead);
    core->dead = known;
}

void fsc_dead_free(struct fs_catalogue *core)
{
    while (core->dead != NULL) {
        struct fs_known *known = core->dead;
        core->dead = fsc_older(core, known);
        assert(known->refs == 0);
        if (known->blob.at != 0) {
            blob_remove_version(core, known);
            blob_unref(core, fsc_blob_of(core, known));
        }
        fsc_known_node(core, known)->pins--;
        fsc_prune_later(core, fsc_known_node(core, known));
        core->versions_n--;
        core->bytes -= known_bytes(known);
        slab_free(&core->slab, known, known_bytes(known));
    }
}

void fsc_known_expand(const struct fs_catalogue *core,
                      const struct fs_known *known,
                      struct fs_version *version_out)
{
    struct fs_version *v = version_out;
    const struct fs_writer *writer = &core->writers[known->author];
    *v = (struct fs_version){.kind = known->kind,
                             .replicas = known->replicas,
                             .mode = known->mode,
                             .mtime_ns = known->mtime_ns,
                             .moment = known->moment,
                             .target_len = known->target_len};
    v->target = known->target_len > 0 ? fs_known_target(known) : NULL;
    if (known->blob.at != 0)
        v->content = fs_blob_content(fsc_blob_of(core, known));
    v->author.disk = core->disks[writer->disk]->id;
    v->author.node = writer->node;
    memcpy(v->author.key, writer->key, FS_KEY_BYTES);
    memcpy(v->signature, known->signature, FS_SIGNATURE_BYTES);
    for (uint32_t i = 0; i < known->vector_n; i++) {
        const struct fs_disk_id *id = &core->disks[known->vector[i].disk]->id;
        uint32_t at = i;
        for (;
             at > 0 && memcmp(v->vector.counters[at - 1].disk.bytes, id->bytes, FS_DISK_BYTES) > 0;
             at--)
            v->vector.counters[at] = v->vector.counters[at - 1];
        v->vector.counters[at] =
            (struct fs_counter){.disk = *id, .counter = known->vector[i].counter};
    }
    v->vector.n = known->vector_n;
}

void fs_known_version(const struct fs_catalogue *core,
                      const struct fs_known *known,
                      struct fs_version *version_out)
{
    fsc_known_expand(core, known, version_out);
}

/* ---- comparing ---- */

uint64_t fsc_counter_of(const struct fs_known *known, uint32_t disk)
{
    for (uint32_t i = 0; i < known->vector_n && known->vector[i].disk <= disk; i++)
        if (known->vector[i].disk == disk)
            return known->vector[i].counter;
    return 0;
}

/* fs_version_before() on what is held; disk 0 is the folded one. */
bool fsc_before(const struct fs_catalogue *core, const struct fs_known *a, const struct fs_known *b)
{
    uint64_t folded = fsc_counter_of(b, 0);
    uint32_t author = core->writers[a->author].disk;
    uint32_t at = 0;
    for (uint32_t i = 0; i < a->vector_n; i++) {
        const struct fs_pair *pair = &a->vector[i];
        if (pair->disk == 0)
            continue;
        while (at < b->vector_n && b->vector[at].disk < pair->disk)
            at++;
        bool there = at < b->vector_n && b->vector[at].disk == pair->disk;
        uint64_t seen = there ? b->vector[at].counter : 0;
        if (seen == 0 && pair->disk != author && pair->counter <= folded)
            continue;
        if (seen < pair->counter)
            return false;
    }
    return true;
}

bool fsc_same(const struct fs_known *a, const struct fs_known *b)
{
    if (a->kind != b->kind || a->blob.at != b->blob.at)
        return false;
    return a->target_len == b->target_len &&
           memcmp(fs_known_target(a), fs_known_target(b), a->target_len) == 0;
}

int fsc_order(const struct fs_catalogue *core, const struct fs_known *a, const struct fs_known *b)
{
    bool a_gone = a->kind == FS_DELETED;
    bool b_gone = b->kind == FS_DELETED;
    if (a_gone != b_gone)
        return a_gone != (bool)MUTANT(FS_DELETE_WINS) ? 1 : -1;
    if (MUTANT(FS_ARRIVAL_WINS))
        return 0;
    if (a->moment != b->moment)
        return a->moment > b->moment ? -1 : 1;
    const struct fs_disk_id *of_a = &core->disks[core->writers[a->author].disk]->id;
    const struct fs_disk_id *of_b = &core->disks[core->writers[b->author].disk]->id;
    int r = memcmp(of_b->bytes, of_a->bytes, FS_DISK_BYTES);
    return r != 0 ? r : memcmp(b->signature, a->signature, FS_SIGNATURE_BYTES);
}

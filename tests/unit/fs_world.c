#include "fs_world.h"

#include <sodium/crypto_generichash_blake2b.h>

#include "core/error.h"
#include "core/mutant.h"

#define LAZY_MS 100 /* what nobody waits for is durable after that */
/* Who has learnt something so long ago has it on its disk. */
#define WALL_BASE_MS 1700000000000ull

struct world_frame {
    uint64_t at_ms, order;
    unsigned from, to;
    uint64_t from_boot, to_boot;
    uint8_t *data;
    size_t len;
};

struct world fw;

void fs_world_wrong(const char *format, ...)
{
    va_list args;
    if (fw.problem != NULL)
        return;
    va_start(args, format);
    (void)vsnprintf(fw.text, sizeof(fw.text), format, args);
    va_end(args);
    fw.problem = fw.text;
}

static void *grown(void *array, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return array;
    *cap = *cap * 2 + 16;
    array = realloc(array, *cap * size);
    assert_non_null(array);
    return array;
}

static uint8_t *copied(const void *data, size_t len)
{
    uint8_t *copy = malloc(len + 1);
    assert_non_null(copy);
    memcpy(copy, data, len);
    return copy;
}

static unsigned node_of(const struct kith_node_id *id)
{
    for (unsigned i = 0; i < FS_WORLD_NODES; i++)
        if (kith_node_id_equal(&fw.nodes[i].author.node, id))
            return i;
    fail_msg("a frame to nobody");
    return 0;
}

/* ---- disks ---- */

static void disk_apply(struct world_disk *disk, const struct world_put *put)
{
    size_t at = 0;
    while (at < disk->n && (disk->entries[at].key_len != put->key_len ||
                            memcmp(disk->entries[at].key, put->key, put->key_len) != 0))
        at++;
    if (at < disk->n) {
        free(disk->entries[at].data);
        disk->entries[at] = disk->entries[--disk->n];
    }
    if (put->data == NULL)
        return;
    disk->entries = grown(disk->entries, &disk->cap, disk->n, sizeof(*disk->entries));
    disk->entries[disk->n] = *put;
    disk->entries[disk->n++].data = copied(put->data, put->len);
}

static void disk_clear(struct world_disk *disk)
{
    for (size_t i = 0; i < disk->n; i++)
        free(disk->entries[i].data);
    free(disk->entries);
    *disk = (struct world_disk){0};
}

static void disk_copy(struct world_disk *to, const struct world_disk *from)
{
    disk_clear(to);
    for (size_t i = 0; i < from->n; i++)
        disk_apply(to, &from->entries[i]);
}

static void pending_add(struct world_node *node, const struct world_put *put)
{
    node->pending = grown(node->pending, &node->pending_cap, node->pending_n, sizeof(*put));
    node->pending[node->pending_n++] = *put;
}

/* The first @n of what is written are durable. */
static void pending_apply(struct world_node *node, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (node->pending[i].sync == 0)
            disk_apply(&node->disk, &node->pending[i]);
        free(node->pending[i].data);
    }
    node->pending_n -= n;
    memmove(node->pending, node->pending + n, node->pending_n * sizeof(*node->pending));
}

/* ---- signatures ---- */

static void sign(const uint8_t *key, struct kith_bytes data, uint8_t out[FS_SIGNATURE_BYTES])
{
    assert_int_equal(
        crypto_generichash_blake2b(out, FS_SIGNATURE_BYTES, data.data, data.len, key, FS_KEY_BYTES),
        0);
}

static unsigned path_no(const char *path, size_t len)
{
    for (unsigned i = 0; i < FS_WORLD_PATHS; i++)
        if (strlen(fs_world_path(i)) == len && memcmp(fs_world_path(i), path, len) == 0)
            return i;
    fail_msg("a path that nobody made: %.*s", (int)len, path);
    return 0;
}

/* What is signed is taken down: it is all that may ever be seen. */
static void note_version(unsigned node, struct kith_bytes data)
{
    struct reader r = reader_of(data.data, data.len);
    struct world_version v = {.node = node};
    struct fs_version *version = &v.version;
    (void)read_bytes(&r, 18);
    (void)read_bytes(&r, read_u8(&r));
    size_t len = read_le16(&r);
    v.path = path_no((const char *)read_bytes(&r, len), len);
    assert_true(fs_version_front_read(&r, version));
    memcpy(version->author.disk.bytes, read_bytes(&r, FS_DISK_BYTES), FS_DISK_BYTES);
    memcpy(version->author.node.bytes, read_bytes(&r, 16), 16);
    version->vector.n = read_u8(&r);
    for (uint32_t i = 0; i < version->vector.n; i++) {
        memcpy(version->vector.counters[i].disk.bytes, read_bytes(&r, FS_DISK_BYTES), 16);
        version->vector.counters[i].counter = read_le64(&r);
    }
    assert_true(reader_done(&r));
    assert_true(fs_version_fits(version));
    v.id = fs_version_id(data.data, data.len);
    for (size_t i = 0; i < fw.versions_n; i++) {
        const struct world_version *old = &fw.versions[i];
        const struct fs_disk_id *disk = &version->author.disk;
        bool seen = old->durable || !old->excused; /* else lost by a crash, before anybody saw it */
        if (seen && old->path == v.path && fs_disk_equal(&old->version.author.disk, disk) &&
            fs_vector_of(&old->version.vector, disk) == fs_vector_of(&version->vector, disk))
            fs_world_wrong("node %u: %s: one counter for two versions", node,
                           fs_world_path(v.path));
    }
    fw.versions = grown(fw.versions, &fw.versions_cap, fw.versions_n, sizeof(v));
    fw.versions[fw.versions_n++] = v;
}

static void add_job(struct world_node *node, const struct catalogue_action *action, bool signs)
{
    struct world_job job = {
        .at_ms = fw.now_ms + rng_below(&fw.rng, 20), .token = action->token, .sign = signs};
    for (size_t i = 0; i < action->n; i++) {
        const struct catalogue_check *check = &action->checks[i];
        uint8_t signature[FS_SIGNATURE_BYTES];
        sign(signs ? node->author.key : check->key, check->data, signature);
        if (signs) {
            note_version((unsigned)(node - fw.nodes), check->data);
            assert_int_equal(buf_append(&job.signatures, signature, sizeof(signature)), 0);
        } else if (memcmp(signature, check->signature, sizeof(signature)) != 0) {
            job.code = KITH_E_CORRUPT;
        }
    }
    node->jobs = grown(node->jobs, &node->jobs_cap, node->jobs_n, sizeof(job));
    node->jobs[node->jobs_n++] = job;
}

/* ---- steps ---- */

static void post(unsigned from, const struct catalogue_action *action)
{
    unsigned to = node_of(&action->peer);
    unsigned copies = 1;
    if (fw.faults)
        copies =
            (unsigned)(rng_below(&fw.rng, 100) >= 10) + (unsigned)(rng_below(&fw.rng, 10) == 0);
    for (unsigned i = 0; i < copies; i++) {
        uint64_t delay_ms = 1 + rng_below(&fw.rng, 10);
        if (fw.faults && rng_below(&fw.rng, 20) == 0)
            delay_ms = rng_below(&fw.rng, 2000);
        fw.frames = grown(fw.frames, &fw.frames_cap, fw.frames_n, sizeof(*fw.frames));
        fw.frames[fw.frames_n++] =
            (struct world_frame){.at_ms = fw.now_ms + delay_ms,
                                 .order = fw.order++,
                                 .from = from,
                                 .to = to,
                                 .from_boot = fw.nodes[from].boot,
                                 .to_boot = fw.nodes[to].boot,
                                 .data = copied(action->data.data, action->data.len),
                                 .len = action->data.len};
    }
}

static void on_published(const struct catalogue_action *action)
{
    if (action->code != 0) {
        assert_true(action->code == KITH_E_NOT_FOUND || action->code == KITH_E_FENCE);
        return;
    }
    fw.acked_n++;
    for (size_t i = 0; i < fw.versions_n; i++)
        if (fw.versions[i].id == action->version_id)
            fw.versions[i].acked = true;
}

static void act(unsigned i, const struct catalogue_action *action)
{
    struct world_node *node = &fw.nodes[i];
    struct world_put put = {.at_ms = fw.now_ms + LAZY_MS};
    switch (action->type) {
    case CATALOGUE_SEND:
        post(i, action);
        return;
    case CATALOGUE_PERSIST:
        assert_true(action->key.len <= CATALOGUE_KEY_BYTES_MAX);
        memcpy(put.key, action->key.data, action->key.len);
        put.key_len = action->key.len;
        put.len = action->data.len;
        put.data = action->data.data != NULL ? copied(action->data.data, put.len) : NULL;
        pending_add(node, &put);
        return;
    case CATALOGUE_SYNC:
        put.sync = action->token;
        put.at_ms = fw.now_ms + 1 + rng_below(&fw.rng, fw.faults ? 60 : 5);
        pending_add(node, &put);
        return;
    case CATALOGUE_SIGN:
    case CATALOGUE_VERIFY:
        add_job(node, action, action->type == CATALOGUE_SIGN);
        return;
    case CATALOGUE_PUBLISHED:
        on_published(action);
        return;
    case CATALOGUE_FORGED:
        fw.forged_n++;
        fs_world_wrong("node %u says that node %u forged something", i, node_of(&action->peer));
        return;
    case CATALOGUE_RENEWED:
        fw.renewed_n++;
        return;
    case CATALOGUE_CHANGED:
        fs_world_pins_tell(i, &action->change);
        return;
    case CATALOGUE_CONTENT:
        return;
    }
}

/* The machine of the folder refers to what is in one path of it by now. */
static void folder_knows(struct world_node *node, unsigned path)
{
    struct fs_contents *contents = fs_catalogue_contents(node->core);
    fs_contents_release(contents, node->has[path]);
    node->has[path].at = 0;
    if (node->folder[path] == 0)
        return;
    struct content content = fs_world_content(node->folder[path]);
    node->has[path] = fs_contents_hold(contents, &content);
}

void fs_world_step(unsigned i, struct catalogue_event *event)
{
    struct world_node *node = &fw.nodes[i];
    struct catalogue_output out;
    event->now_ms = fw.now_ms;
    event->wall_ms = (uint64_t)((int64_t)(WALL_BASE_MS + fw.now_ms) + node->wall_off_ms);
    int r = fs_catalogue_step(node->core, event, &out);
    if (r != 0)
        fs_world_wrong("node %u: a step gives %s", i, kith_error_name(r));
    for (size_t k = 0; k < out.actions_n; k++)
        act(i, &out.actions[k]);
    fs_world_pins_stepped(i);
    folder_knows(node, (unsigned)(fw.steps_n % FS_WORLD_PATHS));
    if (++fw.steps_n % 64 == 0 && event->type != CATALOGUE_RECALL)
        fs_catalogue_check(node->core);
}

void fs_world_set_link(unsigned a, unsigned b, bool up)
{
    struct catalogue_event event = {.type = up ? CATALOGUE_LINK_UP : CATALOGUE_LINK_DOWN};
    if (a == b || fw.linked[a][b] == up || !fw.nodes[a].up || !fw.nodes[b].up ||
        (up && !fw.may_link[a][b]))
        return;
    fw.linked[a][b] = up;
    fw.linked[b][a] = up;
    event.peer = fw.nodes[b].author.node;
    fs_world_step(a, &event);
    event.peer = fw.nodes[a].author.node;
    fs_world_step(b, &event);
}

void fs_world_start(unsigned i)
{
    struct world_node *node = &fw.nodes[i];
    struct catalogue_config config = {.self = node->author,
                                      .seed = rng_u64(&fw.rng),
                                      .hash_ms = 1000,
                                      .pull_ms = 500,
                                      .adopt_ms = 500,
                                      .again_ms = 2000};
    struct catalogue_event event = {.type = CATALOGUE_RECALL};
    assert_int_equal(fs_catalogue_new(&node->core, &config), 0);
    memset(node->has, 0, sizeof(node->has));
    node->up = true;
    node->boot++;
    for (size_t k = 0; k < node->disk.n; k++) {
        event.key = (struct kith_bytes){node->disk.entries[k].key, node->disk.entries[k].key_len};
        event.data = (struct kith_bytes){node->disk.entries[k].data, node->disk.entries[k].len};
        fs_world_step(i, &event);
    }
    event = (struct catalogue_event){.type = CATALOGUE_START};
    fs_world_step(i, &event);
    fs_world_pins_start(i);
    for (unsigned k = 0; k < FS_WORLD_NODES; k++)
        fs_world_set_link(i, k, true);
    fs_world_scan(i);
}

/* What this node's crash has certainly lost must be nowhere else. */
static void nobody_else_has_it(unsigned i)
{
    for (size_t k = 0; k < fw.versions_n; k++) {
        struct world_version *v = &fw.versions[k];
        struct fs_entry entries[64];
        if (v->node != i || v->durable || v->excused)
            continue;
        v->excused = !v->acked;
        if (v->acked)
            fs_world_wrong("node %u: %s: acknowledged, and lost by a crash", i,
                           fs_world_path(v->path));
        for (unsigned n = 0; n < FS_WORLD_NODES; n++) {
            const char *path = fs_world_path(v->path);
            if (n == i || !fw.nodes[n].up)
                continue;
            size_t found =
                fs_catalogue_versions(fw.nodes[n].core, (struct kith_bytes){"s", 1},
                                      (struct kith_bytes){path, strlen(path)}, entries, 64);
            for (size_t e = 0; e < found && e < 64; e++)
                if (entries[e].version_id == v->id)
                    fs_world_wrong("node %u knows a version of %s that its author never stored", n,
                                   path);
        }
    }
}

static bool on_disk(const struct world_disk *disk, const struct world_version *v)
{
    struct buf bytes = {0};
    bool found = false;
    uint8_t moment[8];
    put_le64(moment, v->version.moment);
    const char *path = fs_world_path(v->path);
    assert_int_equal(buf_append(&bytes, moment, 8), 0);
    for (size_t i = 0; i < disk->n && !found; i++)
        found = memmem(disk->entries[i].data, disk->entries[i].len, moment, 8) != NULL &&
                memmem(disk->entries[i].data, disk->entries[i].len, path, strlen(path)) != NULL;
    buf_deinit(&bytes);
    return found;
}

static void note_durable(unsigned i)
{
    for (size_t k = 0; k < fw.versions_n; k++)
        if (fw.versions[k].node == i && !fw.versions[k].durable &&
            on_disk(&fw.nodes[i].disk, &fw.versions[k])) {
            fw.versions[k].durable = true;
            fw.versions[k].at_author = true;
        }
}

void fs_world_crash(unsigned i)
{
    struct world_node *node = &fw.nodes[i];
    pending_apply(node, (size_t)rng_below(&fw.rng, node->pending_n + 1));
    for (size_t k = 0; k < node->pending_n; k++)
        free(node->pending[k].data);
    node->pending_n = 0;
    note_durable(i);
    nobody_else_has_it(i);
    for (unsigned k = 0; k < FS_WORLD_NODES; k++)
        fs_world_set_link(i, k, false);
    for (size_t k = 0; k < node->jobs_n; k++)
        buf_deinit(&node->jobs[k].signatures);
    node->jobs_n = 0;
    fs_pins_free(node->pins);
    node->pins = NULL;
    fs_catalogue_free(node->core);
    node->core = NULL;
    node->up = false;
}

bool fs_world_knows(unsigned i, const struct world_version *version)
{
    struct fs_entry entries[64];
    const char *path = fs_world_path(version->path);
    size_t n = fs_catalogue_versions(fw.nodes[i].core, (struct kith_bytes){"s", 1},
                                     (struct kith_bytes){path, strlen(path)}, entries, 64);
    for (size_t k = 0; k < n && k < 64; k++) {
        struct fs_version known;
        if (entries[k].version_id == version->id)
            return true;
        fs_known_version(fw.nodes[i].core, entries[k].known, &known);
        if (fs_version_replaces(&known, &version->version))
            return true;
    }
    return false;
}

/* Whoever is up and had time to store what it knows. */
static void excuse(unsigned lost)
{
    for (size_t k = 0; k < fw.versions_n; k++) {
        struct world_version *v = &fw.versions[k];
        bool safe = v->node != lost && v->at_author;
        for (unsigned i = 0; i < FS_WORLD_NODES && !safe; i++)
            safe = i != lost && fw.nodes[i].up && fs_world_knows(i, v);
        v->excused = v->excused || !safe;
    }
}

void fs_world_change_disk(unsigned i, enum world_crash how)
{
    struct world_node *node = &fw.nodes[i];
    if (how == WORLD_RESTORED && node->has_image) {
        excuse(i);
        disk_copy(&node->disk, &node->image);
        for (size_t k = 0; k < fw.versions_n; k++)
            if (fw.versions[k].node == i && !on_disk(&node->disk, &fw.versions[k]))
                fw.versions[k].at_author = false;
        if (rng_below(&fw.rng, 2) == 0)
            memcpy(node->folder, node->folder_image, sizeof(node->folder));
        fw.restored_n++;
    } else if (how == WORLD_WIPED) {
        excuse(i);
        disk_clear(&node->disk);
        node->has_image = false;
        for (size_t k = 0; k < FS_DISK_BYTES; k++)
            node->author.disk.bytes[k] = (uint8_t)rng_u64(&fw.rng);
        for (size_t k = 0; k < fw.versions_n; k++)
            if (fw.versions[k].node == i) {
                fw.versions[k].node = FS_WORLD_NODES; /* of a disk that is no more */
                fw.versions[k].at_author = false;
            }
        fw.wiped_n++;
    }
}

void fs_world_image(unsigned i)
{
    struct world_node *node = &fw.nodes[i];
    disk_copy(&node->image, &node->disk);
    memcpy(node->folder_image, node->folder, sizeof(node->folder));
    node->has_image = true;
    node->image_ms = fw.now_ms;
}

/* ---- time ---- */

static void deliver(size_t n)
{
    struct world_frame frame = fw.frames[n];
    fw.frames[n] = fw.frames[--fw.frames_n];
    const struct world_node *from = &fw.nodes[frame.from];
    const struct world_node *to = &fw.nodes[frame.to];
    struct catalogue_event event = {
        .type = CATALOGUE_RECV, .peer = from->author.node, .data = {frame.data, frame.len}};
    if (to->up && to->boot == frame.to_boot && fw.linked[frame.from][frame.to] &&
        from->boot == frame.from_boot)
        fs_world_step(frame.to, &event);
    free(frame.data);
}

static void job_done(unsigned i, size_t n)
{
    struct world_node *node = &fw.nodes[i];
    struct world_job job = node->jobs[n];
    node->jobs[n] = node->jobs[--node->jobs_n];
    struct catalogue_event event = {.type = job.sign ? CATALOGUE_SIGNED : CATALOGUE_VERIFIED,
                                    .token = job.token,
                                    .code = job.code,
                                    .data = {job.signatures.data, job.signatures.len}};
    fs_world_step(i, &event);
    buf_deinit(&job.signatures);
}

/* All up to the first SYNC that is due, or lazily written part. */
static void write_back(unsigned i)
{
    struct world_node *node = &fw.nodes[i];
    size_t n = 0;
    uint64_t token = 0;
    while (n < node->pending_n && token == 0) {
        token = node->pending[n].sync;
        n++;
    }
    pending_apply(node, n);
    note_durable(i);
    if (token != 0) {
        struct catalogue_event event = {.type = CATALOGUE_STORED, .token = token};
        fs_world_step(i, &event);
    }
}

/* When the next SYNC is done, or the oldest lazy part; syncs are done in their order. */
static uint64_t write_at(const struct world_node *node)
{
    for (size_t i = 0; i < node->pending_n; i++)
        if (node->pending[i].sync != 0)
            return node->pending[i].at_ms;
    return node->pending_n > 0 ? node->pending[0].at_ms : UINT64_MAX;
}

enum due { DUE_NOTHING, DUE_FRAME, DUE_TICK, DUE_JOB, DUE_WRITE };
struct next {
    uint64_t at_ms, order;
    enum due what;
    unsigned node;
    size_t n;
};

static void sooner(struct next *next, uint64_t at_ms, enum due what, unsigned node, size_t n)
{
    if (at_ms < next->at_ms)
        *next = (struct next){.at_ms = at_ms, .what = what, .node = node, .n = n};
}

static bool one(uint64_t end_ms)
{
    struct next next = {.at_ms = end_ms + 1};
    for (size_t i = 0; i < fw.frames_n; i++) {
        const struct world_frame *f = &fw.frames[i];
        bool same = next.what == DUE_FRAME && f->at_ms == next.at_ms && f->order < next.order;
        if (f->at_ms < next.at_ms || same)
            next = (struct next){.at_ms = f->at_ms, .order = f->order, .what = DUE_FRAME, .n = i};
    }
    for (unsigned i = 0; i < FS_WORLD_NODES; i++) {
        const struct world_node *node = &fw.nodes[i];
        if (!node->up)
            continue;
        sooner(&next, fs_catalogue_deadline_ms(node->core), DUE_TICK, i, 0);
        sooner(&next, write_at(node), DUE_WRITE, i, 0);
        for (size_t k = 0; k < node->jobs_n; k++)
            sooner(&next, node->jobs[k].at_ms, DUE_JOB, i, k);
    }
    if (next.what == DUE_NOTHING)
        return false;
    fw.now_ms = next.at_ms > fw.now_ms ? next.at_ms : fw.now_ms;
    struct catalogue_event tick = {.type = CATALOGUE_TICK};
    if (next.what == DUE_FRAME)
        deliver(next.n);
    else if (next.what == DUE_TICK)
        fs_world_step(next.node, &tick);
    else if (next.what == DUE_JOB)
        job_done(next.node, next.n);
    else
        write_back(next.node);
    return true;
}

void fs_world_until(uint64_t end_ms)
{
    while (one(end_ms))
        continue;
    fw.now_ms = end_ms;
}

/* ---- operations ---- */

const char *fs_world_path(unsigned path)
{
    static const char *const paths[FS_WORLD_PATHS] = {
        "a",     "a.txt",  "b",      "dir/a",      "dir/b",     "dir/c",   "dir/deep/x",
        "dir-2", "dir2/a", "dir2/b", "\xc3\xa4/o", "z/1/2/3/4", "z/1/2/y", "z/9"};
    return paths[path];
}

struct content fs_world_content(unsigned content)
{
    struct content c = {.size = content, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = 17};
    for (size_t i = 0; i < CONTENT_ROOT_BYTES; i++)
        c.root[i] = (uint8_t)(content * 2654435761u >> (i % 4 * 8));
    return c;
}

static struct fs_publication publication(uint8_t change, uint8_t basis, unsigned path)
{
    const char *text = fs_world_path(path);
    return (struct fs_publication){.id = ++fw.publication,
                                   .change = change,
                                   .basis = basis,
                                   .share = "s",
                                   .share_len = 1,
                                   .path = text,
                                   .path_len = (uint32_t)strlen(text)};
}

static void publish(unsigned node, const struct fs_publication *p)
{
    struct catalogue_event event = {.type = CATALOGUE_PUBLISH, .publications = p, .n = 1};
    fs_world_step(node, &event);
}

static void put(unsigned node, unsigned path, unsigned content)
{
    struct fs_publication p = publication(FS_PUT, FS_ON_OWN, path);
    p.kind = FS_FILE;
    p.mode = 0644;
    p.place = FS_IN_FOLDER;
    p.mtime_ns = 1;
    p.content = fs_world_content(content);
    publish(node, &p);
}

/* By name, into the keep or into the folder of this node. */
static void put_by_name(unsigned node, unsigned path, unsigned content)
{
    struct fs_publication p = publication(FS_PUT, FS_ON_CURRENT, path);
    p.kind = FS_FILE;
    p.mode = 0644;
    p.mtime_ns = 1;
    p.content = fs_world_content(content);
    p.place = content % 2 == 0 ? FS_IN_KEEP : FS_IN_FOLDER;
    if (p.place == FS_IN_FOLDER)
        fw.nodes[node].folder[path] = content;
    publish(node, &p);
}

void fs_world_write(unsigned node, unsigned path, unsigned content)
{
    fw.nodes[node].folder[path] = content;
    put(node, path, content);
}

void fs_world_delete(unsigned node, unsigned path)
{
    struct fs_publication p = publication(FS_DELETE, FS_ON_OWN, path);
    fw.nodes[node].folder[path] = 0;
    publish(node, &p);
}

void fs_world_scan(unsigned node)
{
    struct fs_walked walked[FS_WORLD_PATHS];
    struct fs_listing at = {0};
    size_t n = 0;
    bool own[FS_WORLD_PATHS] = {false};
    struct fs_walk walk = {.share = {"s", 1}, .flags = FS_WALK_OWN};
    int r = fs_catalogue_walk(fw.nodes[node].core, &walk, &at, walked, FS_WORLD_PATHS, &n);
    assert_true(r == 0 || r == KITH_E_NOT_FOUND);
    for (size_t i = 0; i < n; i++)
        own[path_no(walked[i].path, walked[i].path_len)] = true;
    for (unsigned i = 0; i < FS_WORLD_PATHS; i++) {
        if (fw.nodes[node].folder[i] != 0)
            put(node, i, fw.nodes[node].folder[i]);
        else if (own[i])
            fs_world_delete(node, i);
    }
}

static void rename_one(unsigned node, unsigned from, unsigned to)
{
    unsigned content = fw.nodes[node].folder[from];
    if (content == 0 || from == to)
        return;
    fs_world_write(node, to, content);
    fs_world_delete(node, from);
}

/* A folder that is kept in step: it gets what is shown. */
static void take(unsigned node, unsigned path)
{
    const char *text = fs_world_path(path);
    struct fs_entry entry;
    struct fs_publication p = publication(FS_TAKE, FS_ON_OWN, path);
    if (fs_catalogue_stat(fw.nodes[node].core, (struct kith_bytes){"s", 1},
                          (struct kith_bytes){text, strlen(text)}, &entry) != 0 ||
        !entry.has_content)
        return;
    fw.nodes[node].folder[path] = (unsigned)entry.content.size;
    p.place = FS_IN_FOLDER;
    p.version_id = entry.version_id;
    publish(node, &p);
}

static void resolve(unsigned node, unsigned path)
{
    const char *text = fs_world_path(path);
    struct fs_entry entries[8];
    size_t n = fs_catalogue_versions(fw.nodes[node].core, (struct kith_bytes){"s", 1},
                                     (struct kith_bytes){text, strlen(text)}, entries, 8);
    struct fs_publication p = publication(FS_RESOLVE, FS_ON_ALL, path);
    if (n < 2)
        return;
    p.version_id = entries[rng_below(&fw.rng, n < 8 ? n : 8)].version_id;
    publish(node, &p);
}

static void hold(unsigned node, unsigned content, bool held)
{
    struct fs_holding holding = {.id = ++fw.publication, .held = held};
    struct content c = fs_world_content(content);
    memcpy(holding.root, c.root, sizeof(holding.root));
    struct catalogue_event event = {.type = CATALOGUE_HOLD, .holdings = &holding, .n = 1};
    fs_world_step(node, &event);
}

void fs_world_operate(void)
{
    unsigned node = (unsigned)rng_below(&fw.rng, FS_WORLD_NODES);
    unsigned path = (unsigned)rng_below(&fw.rng, FS_WORLD_PATHS);
    bool again = rng_below(&fw.rng, 4) == 0 && fw.contents > 0;
    unsigned content = again ? 1 + (unsigned)rng_below(&fw.rng, fw.contents) : ++fw.contents;
    struct fs_publication p;
    if (!fw.nodes[node].up)
        return;
    switch (rng_below(&fw.rng, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
        fs_world_write(node, path, content);
        return;
    case 5:
    case 6:
        fs_world_delete(node, path);
        return;
    case 7:
        rename_one(node, path, (unsigned)rng_below(&fw.rng, FS_WORLD_PATHS));
        return;
    case 8:
    case 9:
        put_by_name(node, path, content);
        return;
    case 10:
        p = publication(FS_DELETE, FS_ON_CURRENT, path);
        publish(node, &p);
        return;
    case 11:
        resolve(node, path);
        return;
    case 12:
        take(node, path);
        return;
    case 13:
        p = publication(FS_RELEASE, FS_ON_OWN, path);
        fw.nodes[node].folder[path] = 0;
        publish(node, &p);
        return;
    default:
        hold(node, content, rng_below(&fw.rng, 3) > 0);
    }
}

/* ---- life ---- */

void fs_world_begin(uint64_t seed)
{
    memset(&fw, 0, sizeof(fw));
    rng_init(&fw.rng, seed);
    fw.now_ms = 1000;
    fw.faults = true;
    bool line = rng_below(&fw.rng, 2) == 0;
    for (unsigned i = 0; i < FS_WORLD_NODES; i++) {
        struct world_node *node = &fw.nodes[i];
        for (size_t k = 0; k < FS_KEY_BYTES; k++)
            node->author.key[k] = (uint8_t)rng_u64(&fw.rng);
        for (size_t k = 0; k < FS_DISK_BYTES; k++)
            node->author.disk.bytes[k] = (uint8_t)rng_u64(&fw.rng);
        (void)crypto_generichash_blake2b(node->author.node.bytes, KITH_NODE_ID_BYTES,
                                         node->author.key, FS_KEY_BYTES, NULL, 0);
        node->steady = rng_below(&fw.rng, 2) == 0;
        for (unsigned k = 0; k < FS_WORLD_NODES; k++)
            fw.may_link[i][k] = i != k && (!line || i == k + 1 || k == i + 1);
    }
    for (unsigned i = 0; i < FS_WORLD_NODES; i++)
        fs_world_start(i);
}

void fs_world_end(void)
{
    for (unsigned i = 0; i < FS_WORLD_NODES; i++) {
        struct world_node *node = &fw.nodes[i];
        fs_pins_free(node->pins);
        node->pins = NULL;
        fs_catalogue_free(node->core);
        disk_clear(&node->disk);
        disk_clear(&node->image);
        for (size_t k = 0; k < node->pending_n; k++)
            free(node->pending[k].data);
        for (size_t k = 0; k < node->jobs_n; k++)
            buf_deinit(&node->jobs[k].signatures);
        free(node->pending);
        free(node->jobs);
    }
    for (size_t i = 0; i < fw.frames_n; i++)
        free(fw.frames[i].data);
    free(fw.frames);
    free(fw.versions);
}

void fs_world_heal(void)
{
    fw.faults = false;
    for (unsigned i = 0; i < FS_WORLD_NODES; i++) {
        fw.nodes[i].wall_off_ms = 0;
        if (!fw.nodes[i].up)
            fs_world_start(i);
    }
    for (unsigned i = 0; i < FS_WORLD_NODES; i++)
        for (unsigned k = 0; k < i; k++)
            fs_world_set_link(k, i, true);
}

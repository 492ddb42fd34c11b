/*
 * Life of a simulated node with files: it boots with what its disks have, hears, does what is due.
 * No core is stepped from inside another's actions: what comes up meanwhile waits in a queue.
 */
#include "host_fs.h"

#include <sodium/crypto_generichash_blake2b.h>

#include "host_fs_internal.h"

#define SAMPLE_MS    1000
#define WALL_BASE_MS 1700000000000ull

/* ---- the world ---- */

void hf_world_init(struct hf_world *hw, struct sim_world *world)
{
    hw->world = world;
    hw->nodes_n = sim_nodes_n(world);
    for (size_t i = 0; i < hw->nodes_n; i++) {
        struct fs_author *author = &hw->authors[i];

        for (size_t k = 0; k < FS_KEY_BYTES; k++)
            author->key[k] = (uint8_t)rng_u64(sim_rng(world));
        /* As in src/net: the id is a hash of the key, which goes with what is signed. */
        (void)crypto_generichash_blake2b(author->node.bytes, sizeof(author->node.bytes),
                                         author->key, FS_KEY_BYTES, NULL, 0);
        sim_set_node_id(world, i, &author->node);
        disk_init(&hw->disks[i], world, i);
    }
}

void hf_world_deinit(struct hf_world *hw)
{
    for (size_t i = 0; i < hw->nodes_n; i++)
        disk_deinit(&hw->disks[i]);
    fi_deinit(&hw->items);
}

struct hf *hf_at(struct hf_world *hw, size_t index)
{
    return sim_node_state(sim_node_at(hw->world, index));
}

uint64_t hf_now_ms(const struct hf *hf)
{
    return sim_now_ns(hf->node) / HF_MS;
}

/* A clock that never steps goes on where it was after a restart, too. */
uint64_t hf_wall_ms(const struct hf *hf)
{
    if (hf->hw->steady[hf->index])
        return WALL_BASE_MS + sim_world_ms(hf->hw->world);
    return sim_wall_ms(hf->node);
}

size_t hf_index_of(const struct hf_world *hw, const struct kith_node_id *id)
{
    size_t i = 0;

    while (i < hw->nodes_n && !kith_node_id_equal(&hw->authors[i].node, id))
        i++;
    assert(i < hw->nodes_n);
    return i;
}

static const char *const paths[HF_PATHS] = {
    "a",     "a.txt",  "b",      "dir/a",      "dir/b",     "dir/c",   "dir/deep/x",
    "dir-2", "dir2/a", "dir2/b", "\xc3\xa4/o", "z/1/2/3/4", "z/1/2/y", "z/9"};

const char *hf_path(unsigned path)
{
    return paths[path];
}

unsigned hf_path_no(const char *path, size_t len)
{
    unsigned i = 0;

    while (i < HF_PATHS && (strlen(paths[i]) != len || memcmp(paths[i], path, len) != 0))
        i++;
    return i;
}

static bool says_kept(const struct hf *hf, unsigned item)
{
    struct fs_content_facts facts;

    return fs_catalogue_content(hf->catalogue, fi_content(&hf->hw->items, item)->root, &facts, NULL,
                                0) == 0 &&
           (facts.own & FS_IN_KEEP) != 0;
}

void hf_note_told(struct hf *hf)
{
    for (unsigned i = 1; i <= hf->hw->items.n; i++)
        hf->files->file[i].told = says_kept(hf, i);
}

bool hf_has_intact(struct hf_world *hw, size_t index, unsigned item)
{
    const struct hf *hf = hf_at(hw, index);
    const struct hf_files *files = &hw->files[index];
    uint32_t chunks_n = content_chunks(fi_content(&hw->items, item));
    bool whole =
        files->file[item].whole && (hf != NULL ? says_kept(hf, item) : files->file[item].told);

    for (unsigned p = 0; p < HF_PATHS; p++)
        if (files->folder[p] == item)
            return true;
    for (uint32_t c = 0; c < chunks_n && whole; c++)
        whole = files->file[item].chunk[c] == HF_GOOD;
    return whole;
}

bool hf_has_bytes(const struct hf_world *hw, size_t index, unsigned item)
{
    const struct hf *hf = sim_node_state(sim_node_at(hw->world, index));
    const struct hf_files *files = &hw->files[index];
    bool has = files->file[item].whole && (hf == NULL || !hf->removing[item]);

    for (unsigned p = 0; p < HF_PATHS; p++)
        if (files->folder[p] == item)
            return true;
    for (uint32_t c = 0; c < content_chunks(fi_content(&hw->items, item)) && has; c++)
        has = files->file[item].chunk[c] == HF_GOOD;
    return has;
}

/* ---- later ---- */

struct hf_todo *hf_todo(struct hf *hf, enum hf_todo_type type)
{
    struct hf_todo *todo = pump_add(&hf->todo, sizeof(*todo));

    todo->type = type;
    return todo;
}

struct hf_todo *hf_job(struct hf *hf, enum hf_todo_type type, uint64_t us)
{
    if (hf->jobs_n == hf->jobs_cap) {
        hf->jobs_cap = hf->jobs_cap > 0 ? 2 * hf->jobs_cap : 32;
        hf->jobs = sim_realloc(hf->jobs, hf->jobs_cap, sizeof(*hf->jobs));
    }
    struct hf_todo *job = &hf->jobs[hf->jobs_n++];
    *job = (struct hf_todo){.type = type, .no = ++hf->next_no};
    job->at_ns = sim_world_ns(hf->hw->world) + 1000 * (1 + rng_below(hf_rng(hf), us + 1));
    sim_wake_ns(hf->node, job->at_ns);
    return job;
}

/* The first job that is done. */
static bool job_take(struct hf *hf, struct hf_todo *todo_out)
{
    uint64_t now_ns = sim_world_ns(hf->hw->world);
    size_t first = hf->jobs_n;

    for (size_t i = 0; i < hf->jobs_n; i++) {
        const struct hf_todo *job = &hf->jobs[i];
        if (job->at_ns <= now_ns &&
            (first == hf->jobs_n || job->at_ns < hf->jobs[first].at_ns ||
             (job->at_ns == hf->jobs[first].at_ns && job->no < hf->jobs[first].no)))
            first = i;
    }
    if (first == hf->jobs_n)
        return false;
    *todo_out = hf->jobs[first];
    hf->jobs[first] = hf->jobs[--hf->jobs_n];
    return true;
}

void hf_list_add(struct hf_list *list, const struct hf_under_way *one)
{
    if (list->n == list->cap) {
        list->cap = list->cap > 0 ? 2 * list->cap : 16;
        list->items = sim_realloc(list->items, list->cap, sizeof(*list->items));
    }
    list->items[list->n++] = *one;
}

bool hf_list_take(struct hf_list *list, uint64_t id, struct hf_under_way *one_out)
{
    size_t i = 0;

    while (i < list->n && list->items[i].id != id)
        i++;
    if (i == list->n)
        return false;
    *one_out = list->items[i];
    list->items[i] = list->items[--list->n];
    return true;
}

bool hf_send(struct hf *hf,
             const struct kith_node_id *to,
             uint8_t net_class,
             uint8_t type,
             struct kith_bytes head,
             struct kith_bytes data)
{
    if (hf->hw->busy && rng_below(hf_rng(hf), 64) == 0)
        return false;
    sim_send_frame(hf->node, to, net_class, type, head.data, head.len, data.data, data.len);
    return true;
}

/* ---- what is due ---- */

static void again(struct hf *hf, const struct kith_node_id *peer)
{
    struct fetch_event event = {.type = FETCH_PEER_DOWN, .peer = *peer};

    hf_fetch_do(hf, &event);
    event.type = FETCH_PEER_UP;
    if (hf->up[hf_index_of(hf->hw, peer)])
        hf_fetch_do(hf, &event);
}

static void run_moving(struct hf *hf, const struct hf_todo *todo)
{
    struct fetch_event fetch = {.token = todo->token, .code = todo->code};
    struct serve_event serve = {
        .token = todo->token, .code = todo->code, .data = {todo->bytes, todo->len}};

    switch (todo->type) {
    case HF_FETCH_VERIFIED:
        fetch.type = FETCH_VERIFIED;
        hf_fetch_do(hf, &fetch);
        return;
    case HF_FETCH_WRITTEN:
        hf_fetch_written(hf, todo);
        return;
    case HF_FETCH_AGAIN:
        again(hf, &todo->peer);
        return;
    case HF_FETCH_DONE:
        hf_fetch_done(hf, todo);
        return;
    case HF_SERVE_READ:
        serve.type = SERVE_READ_DONE;
        hf_serve_do(hf, &serve);
        return;
    case HF_SERVE_ROOM:
        hf_serve_room(hf, &todo->peer);
        return;
    default:
        return;
    }
}

static void put_file(struct hf *hf, const struct hf_todo *todo)
{
    struct hf_file *file = &hf->files->file[todo->item];

    if (hf->hw->disk_full[hf->index]) {
        hf->hw->observer.written(hf, todo->token, KITH_E_IO);
        return;
    }
    if (!hf_place_begin(hf, todo->item)) {
        hf_put(hf, todo->item, todo->token);
        return;
    }
    file->whole = true; /* synced, and renamed over whatever was there */
    memset(file->chunk, HF_GOOD, sizeof(file->chunk));
    hf_kept_now(hf, todo->item);
    hf->hw->observer.written(hf, todo->token, 0);
}

static void run(struct hf *hf, struct hf_todo *todo)
{
    struct catalogue_event catalogue = {
        .token = todo->token, .code = todo->code, .data = {todo->bytes, todo->len}};
    struct keep_event keep = {.type = todo->kind,
                              .content = todo->content,
                              .code = todo->code,
                              .token = todo->token,
                              .place = todo->place};

    switch (todo->type) {
    case HF_SIGNED:
    case HF_CHECKED_SIGNATURES:
        catalogue.type = todo->type == HF_SIGNED ? CATALOGUE_SIGNED : CATALOGUE_VERIFIED;
        hf_catalogue_do(hf, &catalogue);
        break;
    case HF_PUBLISHED:
        hf_published(hf, todo);
        break;
    case HF_CONTENT:
        hf_keep_look(hf, &todo->content);
        hf_fetch_holders(hf, &todo->content);
        break;
    case HF_KEEP:
        hf_keep_do(hf, &keep);
        break;
    case HF_KEEP_FILE:
        hf_keep_file(hf, todo->item);
        break;
    case HF_KEEP_REMOVE:
        hf_keep_remove(hf, todo->item, todo->code != 0);
        break;
    case HF_KEEP_ADOPT:
        hf_keep_adopt(hf, todo->item);
        break;
    case HF_PUT_FILE:
        put_file(hf, todo);
        break;
    case HF_CACHE_FAILED:
        hf_cache_failed(hf, todo->item, todo->chunk);
        break;
    case HF_READ_DONE:
        hf->hw->observer.read_done(hf, todo->token, todo->code);
        break;
    default:
        run_moving(hf, todo);
        break;
    }
    free(todo->bytes);
}

/* Who is to be linked, and is not. */
static void connect_all(struct hf *hf)
{
    for (size_t i = 0; i < hf->hw->nodes_n; i++)
        if (i != hf->index && hf->hw->calls[hf->index][i] && !hf->up[i])
            sim_connect(hf->node, &hf->hw->authors[i].node, NET_CONTROL);
}

static void sample(struct hf *hf)
{
    struct cache_event use = {.type = CACHE_USE, .percent = hf->memory_use};

    hf->sample_ms = hf_now_ms(hf) + SAMPLE_MS;
    if (hf->hw->swings && rng_below(hf_rng(hf), 4) == 0)
        hf->memory_use = (uint8_t)(50 + rng_below(hf_rng(hf), 50));
    hf_cache_do(hf, &use);
    hf_keep_sample(hf);
    connect_all(hf);
}

static bool due(struct hf *hf)
{
    uint64_t now_ms = hf_now_ms(hf);
    struct catalogue_event catalogue = {.type = CATALOGUE_TICK};
    struct fetch_event fetch = {.type = FETCH_TICK};
    struct keep_event keep = {.type = KEEP_TICK};

    if (fs_catalogue_deadline_ms(hf->catalogue) <= now_ms)
        hf_catalogue_do(hf, &catalogue);
    else if (fetch_deadline_ms(hf->fetch) <= now_ms)
        hf_fetch_do(hf, &fetch);
    else if (keep_deadline_ms(hf->keep) <= now_ms)
        hf_keep_do(hf, &keep);
    else if (hf->sample_ms <= now_ms)
        sample(hf);
    else
        return false;
    return true;
}

static bool one(void *state)
{
    struct hf *hf = state;
    struct hf_todo todo;
    uint8_t tag;
    uint64_t token;

    if (pump_take(&hf->todo, sizeof(todo), &todo)) {
        run(hf, &todo);
        return true;
    }
    if (disk_next_done(hf->disk, &tag, &token)) {
        struct catalogue_event event = {.type = CATALOGUE_STORED, .token = token};

        if (tag != 0)
            hf_catalogue_do(hf, &event);
        return true;
    }
    if (job_take(hf, &todo)) {
        run(hf, &todo);
        return true;
    }
    return due(hf);
}

void hf_pump(struct hf *hf)
{
    uint64_t at_ms = UINT64_MAX;

    pump_run(hf->node, one, hf);
    const uint64_t times[] = {fs_catalogue_deadline_ms(hf->catalogue), fetch_deadline_ms(hf->fetch),
                              keep_deadline_ms(hf->keep), hf->sample_ms};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        at_ms = times[i] < at_ms ? times[i] : at_ms;
    sim_set_timer(hf->node, at_ms);
    if (hf->hw->checks || ++hf->steps_n % 64 == 0)
        hf_check(hf);
}

void hf_check(struct hf *hf)
{
    struct fetch_stats fetch;
    struct serve_stats serve;

    fs_catalogue_check(hf->catalogue);
    fetch_check(hf->fetch);
    fs_serve_check(hf->serve);
    keep_check(hf->keep);
    cache_check(hf->cache);
    fetch_stats(hf->fetch, &fetch);
    fs_serve_stats(hf->serve, &serve);
    if (fetch.bytes_held > hf->hw->fetch.bytes_max)
        sim_violation(hf->hw->world, "node %zu: fetches hold %llu bytes, and may hold %llu",
                      hf->index, (unsigned long long)fetch.bytes_held,
                      (unsigned long long)hf->hw->fetch.bytes_max);
    if (serve.read_bytes > FS_SERVE_READ_BYTES_MAX)
        sim_violation(hf->hw->world, "node %zu: %llu bytes are read at once for others", hf->index,
                      (unsigned long long)serve.read_bytes);
}

/* ---- the host ---- */

static void recall(struct hf *hf)
{
    for (size_t i = 0; i < hf->disk->now.n; i++) {
        const struct disk_entry *entry = &hf->disk->now.entries[i];
        struct catalogue_event event = {.type = CATALOGUE_RECALL,
                                        .key = {entry->key, entry->key_len},
                                        .data = {disk_value(entry), entry->len}};

        if (!entry->corrupt && !hf_keep_recall(hf, entry))
            hf_catalogue_do(hf, &event);
    }
}

static void *host_boot(struct sim_world *world, struct sim_node *node, uint64_t boot_no)
{
    struct hf_world *hw = sim_user(world);
    struct hf *hf = sim_realloc(NULL, 1, sizeof(*hf));
    struct catalogue_event start = {.type = CATALOGUE_START};

    memset(hf, 0, sizeof(*hf));
    hf->node = node;
    hf->hw = hw;
    hf->index = sim_node_index(node);
    hf->boot_no = boot_no;
    hf->disk = &hw->disks[hf->index];
    hf->files = &hw->files[hf->index];
    hf->self = hw->authors[hf->index];
    memcpy(hf->self.disk.bytes, hf->disk->id, FS_DISK_BYTES);
    hf->memory_use = 50;
    hf_catalogue_boot(hf);
    hf_move_boot(hf);
    hf_keep_boot(hf);
    recall(hf);
    hf_catalogue_do(hf, &start);
    hf->sample_ms = hf_now_ms(hf);
    hf_keep_first(hf);
    hf_scan(hf);
    hf_pump(hf);
    return hf;
}

/* What is written and not synced; a file may have got its name and no record. */
static void crash_files(struct hf *hf)
{
    static const uint8_t left[] = {HF_NONE, HF_GOOD, HF_BAD};
    struct rng *rng = hf_rng(hf);

    for (size_t i = 0; i < hf->jobs_n; i++) {
        struct hf_file *file = &hf->files->file[hf->jobs[i].item];

        if (hf->jobs[i].type != HF_PUT_FILE || rng_below(rng, 2) == 0 ||
            hf->hw->disk_full[hf->index])
            continue;
        file->whole = true;
        memset(file->chunk, HF_GOOD, sizeof(file->chunk));
    }
    for (unsigned i = 1; i <= hf->hw->items.n; i++) {
        struct hf_file *file = &hf->files->file[i];

        for (size_t c = 0; c < FI_CHUNKS_MAX; c++) {
            if (file->parted[c] == HF_FRESH)
                file->parted[c] = left[rng_below(rng, 3)];
            if (file->cached[c] == HF_FRESH)
                file->cached[c] = left[rng_below(rng, 3)];
        }
    }
}

static void host_crash(void *state)
{
    struct hf *hf = state;
    struct hf_todo todo;

    hf_check(hf);
    hf_note_told(hf);
    disk_crash(hf->disk);
    crash_files(hf);
    hf->hw->observer.gone(hf);
    while (pump_take(&hf->todo, sizeof(todo), &todo))
        free(todo.bytes);
    free(hf->todo.items);
    for (size_t i = 0; i < hf->jobs_n; i++)
        free(hf->jobs[i].bytes);
    free(hf->jobs);
    fs_catalogue_free(hf->catalogue);
    fetch_free(hf->fetch);
    fs_serve_free(hf->serve);
    keep_free(hf->keep);
    cache_free(hf->cache);
    buf_deinit(&hf->put_bytes);
    free(hf->puts);
    free(hf->publications.items);
    free(hf->fetches.items);
    free(hf);
}

static void host_frame(void *state,
                       const struct kith_node_id *from,
                       uint64_t boot_no,
                       uint8_t net_class,
                       uint8_t type,
                       const uint8_t *data,
                       size_t len)
{
    struct hf *hf = state;
    struct kith_bytes body = {data, len};

    (void)boot_no;
    (void)net_class;
    if (type == FRAME_FS)
        hf_catalogue_do(
            hf, &(struct catalogue_event){.type = CATALOGUE_RECV, .peer = *from, .data = body});
    else if (type == FRAME_FS_ASK)
        hf_serve_do(hf, &(struct serve_event){.type = SERVE_RECV, .peer = *from, .data = body});
    else if (type == FRAME_FS_DATA)
        hf_fetch_do(hf, &(struct fetch_event){.type = FETCH_RECV, .peer = *from, .data = body});
    else if (type == FRAME_FS_KEEP)
        hf_keep_do(hf, &(struct keep_event){.type = KEEP_RECV, .peer = *from, .data = body});
    hf_pump(hf);
}

static void link_is(struct hf *hf, const struct kith_node_id *peer, bool up)
{
    struct catalogue_event event = {.type = up ? CATALOGUE_LINK_UP : CATALOGUE_LINK_DOWN,
                                    .peer = *peer};
    struct keep_event keep = {.type = up ? KEEP_NODE_UP : KEEP_NODE_DOWN, .peer = *peer};
    size_t index = hf_index_of(hf->hw, peer);

    if (hf->up[index] == up)
        return;
    hf->up[index] = up;
    hf_move_link(hf, peer, up);
    hf_keep_do(hf, &keep);
    hf_catalogue_do(hf, &event);
}

static void
host_link_up(void *state, const struct kith_node_id *peer, uint64_t boot_no, uint8_t net_class)
{
    struct hf *hf = state;

    (void)boot_no;
    if (net_class == NET_CONTROL)
        link_is(hf, peer, true);
    hf_pump(hf);
}

static void host_link_down(void *state, const struct kith_node_id *peer, uint8_t net_class)
{
    struct hf *hf = state;

    if (net_class == NET_CONTROL) {
        link_is(hf, peer, false);
    } else if (net_class == NET_BULK && hf->up[hf_index_of(hf->hw, peer)]) {
        hf_move_link(hf, peer, false);
        hf_move_link(hf, peer, true);
    }
    hf_pump(hf);
}

static void host_unreachable(void *state, const struct kith_node_id *peer, uint8_t net_class)
{
    if (net_class == NET_BULK)
        host_link_down(state, peer, net_class);
}

static void host_pump(void *state)
{
    hf_pump(state);
}

const struct sim_host hf_host = {
    .boot = host_boot,
    .crash = host_crash,
    .frame = host_frame,
    .link_up = host_link_up,
    .link_down = host_link_down,
    .unreachable = host_unreachable,
    .timer = host_pump,
    .wake = host_pump,
};

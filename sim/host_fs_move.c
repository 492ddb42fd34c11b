/*
 * Bytes of a simulated node: what it fetches for users and for its copies, what it reads for
 * others, and its cache. What is verified is what really comes; what is written are states of
 * chunks.
 */
#include "host_fs_internal.h"

#define BULK_ROOM_BYTES (1024 * 1024)
#define VERIFY_US       2000
#define WRITE_US        4000
#define READ_US         3000

static const struct kith_bytes nothing = {NULL, 0};

/* ---- the cache ---- */

static void cache_act(struct hf *hf, const struct cache_action *action)
{
    unsigned item = fi_of(&hf->hw->items, action->root);
    uint8_t *memory = &hf->memory[item][action->chunk];
    uint8_t *disk = &hf->files->file[item].cached[action->chunk];
    bool full = hf->hw->disk_full[hf->index];
    uint8_t was = action->from == CACHE_DISK ? *disk : HF_GOOD;

    if (action->from == CACHE_MEMORY)
        *memory = HF_NONE;
    else if (action->from == CACHE_DISK)
        *disk = HF_NONE;
    if (action->type == CACHE_DROP)
        return;
    if (action->to == CACHE_MEMORY)
        *memory = was;
    else
        *disk = full ? HF_BAD : HF_FRESH; /* nobody can read it before that is told */
    if (action->to != CACHE_DISK || !full)
        return;
    /* What the disk does not take is told when the step is over. */
    struct hf_todo *todo = hf_todo(hf, HF_CACHE_FAILED);
    todo->item = item;
    todo->chunk = action->chunk;
}

void hf_cache_do(struct hf *hf, struct cache_event *event)
{
    struct cache_output out;

    (void)cache_step(hf->cache, event, &out);
    for (size_t i = 0; i < out.actions_n; i++)
        cache_act(hf, &out.actions[i]);
}

void hf_cache_failed(struct hf *hf, unsigned item, uint32_t chunk)
{
    struct cache_event event = {.type = CACHE_FAILED, .chunk = chunk};

    memcpy(event.root, fi_content(&hf->hw->items, item)->root, sizeof(event.root));
    hf->memory[item][chunk] = HF_NONE;
    hf->files->file[item].cached[chunk] = HF_NONE;
    hf_cache_do(hf, &event);
}

static void cache_add(struct hf *hf, unsigned item, uint32_t chunk)
{
    const struct content *content = fi_content(&hf->hw->items, item);
    struct cache_event event = {
        .type = CACHE_ADD, .chunk = chunk, .bytes = content_chunk_bytes(content, chunk)};

    memcpy(event.root, content->root, sizeof(event.root));
    if (cache_find(hf->cache, content->root, chunk) == CACHE_NONE)
        hf_cache_do(hf, &event);
}

/* Whether the chunk can be had from the cache; one that does not verify is not there any more. */
static bool cache_has(struct hf *hf, unsigned item, uint32_t chunk)
{
    const struct content *content = fi_content(&hf->hw->items, item);
    struct cache_event event = {.type = CACHE_GET, .chunk = chunk};
    struct cache_output out;

    memcpy(event.root, content->root, sizeof(event.root));
    (void)cache_step(hf->cache, &event, &out);
    enum cache_place place = out.place;
    uint8_t state = place == CACHE_MEMORY ? hf->memory[item][chunk]
                    : place == CACHE_DISK ? hf->files->file[item].cached[chunk]
                                          : HF_NONE;
    for (size_t i = 0; i < out.actions_n; i++)
        cache_act(hf, &out.actions[i]);
    if (place != CACHE_NONE && state == HF_NONE)
        sim_violation(hf->hw->world, "node %zu: the cache says it has what it has not", hf->index);
    if (state == HF_BAD)
        hf_cache_failed(hf, item, chunk);
    return state == HF_FRESH || state == HF_GOOD;
}

static void cache_boot(struct hf *hf)
{
    if (cache_new(&hf->cache, &hf->hw->cache) != 0)
        abort();
    for (unsigned i = 1; i <= hf->hw->items.n; i++) {
        const struct content *content = fi_content(&hf->hw->items, i);

        for (uint32_t c = 0; c < content_chunks(content); c++) {
            struct cache_event event = {
                .type = CACHE_FOUND, .chunk = c, .bytes = content_chunk_bytes(content, c)};

            memcpy(event.root, content->root, sizeof(event.root));
            if (hf->files->file[i].cached[c] != HF_NONE)
                hf_cache_do(hf, &event);
        }
    }
}

/* ---- fetching ---- */

void hf_move_boot(struct hf *hf)
{
    struct fetch_config fetch = hf->hw->fetch;
    struct serve_config serve = {.reads_max = 0};

    fetch.seed = sim_node_seed(hf->node);
    if (fetch_new(&hf->fetch, &fetch) != 0 || fs_serve_new(&hf->serve, &serve) != 0)
        abort();
    cache_boot(hf);
}

/* A chunk of the part file, as it is read again. */
static int read_part(const struct hf *hf, unsigned item, uint32_t chunk)
{
    static const int codes[] = {
        [HF_NONE] = KITH_E_CORRUPT, [HF_FRESH] = 0, [HF_GOOD] = 0, [HF_BAD] = KITH_E_CORRUPT};

    return codes[hf->files->file[item].parted[chunk]];
}

static void on_verify(struct hf *hf, const struct fetch_action *action)
{
    struct hf_todo *job = hf_job(hf, HF_FETCH_VERIFIED, VERIFY_US);
    unsigned item = fi_of(&hf->hw->items, action->content.root);

    job->token = action->token;
    if (action->data.data == NULL) {
        job->code = read_part(hf, item, action->chunk);
        hf->hw->resumed_n += job->code == 0;
    } else if (action->chunk == FETCH_LIST) {
        job->code = content_list_check(&action->content, action->data.data, action->data.len);
    } else {
        job->code = content_chunk_check(&action->content, action->hash, action->chunk,
                                        action->data.data, action->data.len);
    }
}

static bool is_read(const struct hf *hf, unsigned item)
{
    for (size_t i = 0; i < hf->fetches.n; i++)
        if (hf->fetches.items[i].item == item && hf->fetches.items[i].purpose == HF_FOR_USER)
            return true;
    return false;
}

static void on_write(struct hf *hf, const struct fetch_action *action)
{
    unsigned item = fi_of(&hf->hw->items, action->content.root);
    struct hf_todo *todo;

    if (item == 0 || action->data.len != content_chunk_bytes(&action->content, action->chunk) ||
        memcmp(action->data.data, fi_chunk(&hf->hw->items, item, action->chunk),
               action->data.len) != 0) {
        sim_violation(hf->hw->world, "node %zu: a chunk with wrong bytes is handed out", hf->index);
        item = 0;
    }
    hf->hw->handed_n++;
    if (is_read(hf, item))
        cache_add(hf, item, action->chunk);
    if (hf->copying[item]) {
        todo = hf_job(hf, HF_FETCH_WRITTEN, WRITE_US);
        todo->item = item;
    } else {
        core_free(fetch_take(hf->fetch, action->token));
        todo = hf_todo(hf, HF_FETCH_WRITTEN);
    }
    todo->token = action->token;
    todo->chunk = action->chunk;
}

void hf_fetch_written(struct hf *hf, const struct hf_todo *todo)
{
    struct fetch_event event = {.type = FETCH_WRITTEN, .token = todo->token};

    if (todo->item != 0 && hf->copying[todo->item]) {
        if (hf->hw->disk_full[hf->index])
            event.code = KITH_E_IO;
        else
            hf->files->file[todo->item].parted[todo->chunk] = HF_FRESH;
    }
    hf_fetch_do(hf, &event);
}

static void on_zeros(struct hf *hf, const struct fetch_action *action)
{
    unsigned item = fi_of(&hf->hw->items, action->content.root);

    for (uint32_t i = 0; hf->copying[item] && i < action->chunks_n; i++)
        hf->files->file[item].parted[action->chunk + i] = HF_FRESH;
}

static void on_persist(struct hf *hf, const struct fetch_action *action)
{
    struct hf_file *file = &hf->files->file[fi_of(&hf->hw->items, action->content.root)];

    if (!file->part)
        return;
    file->has_list = file->has_list || action->list.len > 0;
    if (action->bitmap.len > 0 && action->bitmap.len <= sizeof(file->bitmap)) {
        memcpy(file->bitmap, action->bitmap.data, action->bitmap.len);
        file->bitmap_n = (uint8_t)action->bitmap.len;
    }
}

static void do_action(struct hf *hf, const struct fetch_action *action)
{
    uint8_t doubt[KEEP_DOUBT_BYTES];
    struct hf_todo *todo;

    switch (action->type) {
    case FETCH_SEND:
        if (!hf_send(hf, &action->peer, NET_CONTROL, FRAME_FS_ASK, action->data, nothing))
            hf_todo(hf, HF_FETCH_AGAIN)->peer = action->peer;
        break;
    case FETCH_CONNECT:
        sim_connect(hf->node, &action->peer, NET_CONTROL);
        break;
    case FETCH_VERIFY:
        on_verify(hf, action);
        break;
    case FETCH_WRITE:
        on_write(hf, action);
        break;
    case FETCH_ZEROS:
        on_zeros(hf, action);
        break;
    case FETCH_PERSIST:
        on_persist(hf, action);
        break;
    case FETCH_DAMAGED:
        sim_note(hf->hw->world, "node %zu had damaged data from node %zu", hf->index,
                 hf_index_of(hf->hw, &action->peer));
        keep_doubt_encode(action->content.root, action->chunk, doubt);
        (void)hf_send(hf, &action->peer, NET_CONTROL, FRAME_FS_KEEP,
                      (struct kith_bytes){doubt, sizeof(doubt)}, nothing);
        break;
    case FETCH_DONE:
        todo = hf_todo(hf, HF_FETCH_DONE);
        todo->token = action->id;
        todo->code = action->code;
        break;
    case FETCH_END:
        break;
    }
}

void hf_fetch_do(struct hf *hf, struct fetch_event *event)
{
    struct fetch_output out;

    event->now_ms = hf_now_ms(hf);
    int r = fetch_step(hf->fetch, event, &out);
    if (r != 0)
        sim_violation(hf->hw->world, "node %zu: a step of fetching gives %s", hf->index,
                      kith_error_name(r));
    for (size_t i = 0; i < out.actions_n; i++)
        do_action(hf, &out.actions[i]);
}

static size_t
holders_of(const struct hf *hf, const struct content *content, struct kith_node_id *out)
{
    struct fs_content_facts facts;

    if (fs_catalogue_content(hf->catalogue, content->root, &facts, out, FS_FETCH_HOLDERS_MAX) != 0)
        return 0;
    return facts.holders_n < FS_FETCH_HOLDERS_MAX ? facts.holders_n : FS_FETCH_HOLDERS_MAX;
}

void hf_fetch_start(struct hf *hf,
                    unsigned item,
                    enum hf_purpose purpose,
                    uint64_t user,
                    uint8_t priority,
                    bool waits)
{
    struct kith_node_id holders[FS_FETCH_HOLDERS_MAX];
    const struct hf_file *file = &hf->files->file[item];
    const struct buf *list = &hf->hw->items.items[item].list;
    struct fetch_event event = {.type = FETCH_START,
                                .id = ++hf->next_no,
                                .content = *fi_content(&hf->hw->items, item),
                                .holders = holders,
                                .priority = priority,
                                .flags = waits ? FETCH_WAIT : 0};
    struct hf_under_way one = {.id = event.id, .user = user, .item = item, .purpose = purpose};

    event.holders_n = holders_of(hf, &event.content, holders);
    if (purpose == HF_FOR_COPY && file->has_list)
        event.list = (struct kith_bytes){list->data, list->len};
    if (purpose == HF_FOR_COPY)
        event.bitmap = (struct kith_bytes){file->bitmap, file->bitmap_n};
    hf_list_add(&hf->fetches, &one);
    hf_fetch_do(hf, &event);
}

void hf_fetch_holders(struct hf *hf, const struct content *content)
{
    struct kith_node_id holders[FS_FETCH_HOLDERS_MAX];
    struct fetch_event event = {.type = FETCH_HOLDERS, .content = *content, .holders = holders};

    event.holders_n = holders_of(hf, content, holders);
    hf_fetch_do(hf, &event);
}

void hf_fetch_done(struct hf *hf, const struct hf_todo *todo)
{
    struct hf_under_way one;

    if (!hf_list_take(&hf->fetches, todo->token, &one)) {
        sim_violation(hf->hw->world, "node %zu: a fetch ends twice", hf->index);
        return;
    }
    hf->hw->fetched_n += todo->code == 0;
    if (one.purpose == HF_FOR_COPY)
        hf_keep_copied(hf, one.item, todo->code);
    else
        hf->hw->observer.read_done(hf, one.user, todo->code);
}

/* ---- reading ---- */

bool hf_in_folder(const struct hf *hf, unsigned item)
{
    for (unsigned p = 0; p < HF_PATHS; p++)
        if (hf->files->folder[p] == item)
            return true;
    return false;
}

/* What is here is verified as it is read. */
static bool is_here(struct hf *hf, unsigned item)
{
    const struct content *content = fi_content(&hf->hw->items, item);
    const struct hf_file *file = &hf->files->file[item];
    bool here = true;

    if (hf_in_folder(hf, item))
        return true;
    for (uint32_t c = 0; c < content_chunks(content); c++) {
        if (file->whole && file->chunk[c] == HF_BAD) {
            hf->hw->observer.damaged(hf, item);
            hf_keep_damage(hf, item);
            return false;
        }
        here = here && (file->whole || cache_has(hf, item, c));
    }
    return here;
}

void hf_read(struct hf *hf, unsigned item, uint64_t user, uint8_t priority, bool waits)
{
    if (!is_here(hf, item)) {
        hf_fetch_start(hf, item, HF_FOR_USER, user, priority, waits);
        return;
    }
    hf->hw->reads_local_n++;
    hf_job(hf, HF_READ_DONE, READ_US)->token = user;
}

/* ---- serving ---- */

static void on_read(struct hf *hf, const struct serve_action *action)
{
    unsigned item = fi_of(&hf->hw->items, action->content.root);
    const struct hf_file *file = &hf->files->file[item];
    bool folder = item != 0 && hf_in_folder(hf, item);
    struct hf_todo *job = hf_job(hf, HF_SERVE_READ, READ_US);

    job->token = action->token;
    job->code = KITH_E_NOT_FOUND;
    if (item == 0 || (!folder && !file->whole))
        return;
    job->code = 0;
    job->len = action->len;
    job->bytes = sim_realloc(NULL, action->len + 1, 1);
    if (action->chunk == FETCH_LIST) {
        memcpy(job->bytes, hf->hw->items.items[item].list.data + action->offset, action->len);
        return;
    }
    memcpy(job->bytes, fi_chunk(&hf->hw->items, item, action->chunk) + action->offset, action->len);
    if (folder || file->chunk[action->chunk] != HF_BAD)
        return;
    job->bytes[0] ^= 1;
    hf->hw->bad_served_n++;
}

void hf_serve_room(struct hf *hf, const struct kith_node_id *peer)
{
    struct serve_event event = {.type = SERVE_ROOM, .peer = *peer, .room = BULK_ROOM_BYTES};

    if (hf->up[hf_index_of(hf->hw, peer)])
        hf_serve_do(hf, &event);
}

void hf_serve_do(struct hf *hf, struct serve_event *event)
{
    struct serve_output out;
    bool sent[HF_NODES_MAX] = {false};
    int r = fs_serve_step(hf->serve, event, &out);

    if (r != 0)
        sim_violation(hf->hw->world, "node %zu: a step of serving gives %s", hf->index,
                      kith_error_name(r));
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct serve_action *action = &out.actions[i];

        if (action->type == SERVE_READ) {
            on_read(hf, action);
            continue;
        }
        (void)hf_send(hf, &action->peer, NET_BULK, FRAME_FS_DATA, action->head, action->data);
        size_t to = hf_index_of(hf->hw, &action->peer);
        if (!sent[to])
            hf_todo(hf, HF_SERVE_ROOM)->peer = action->peer;
        sent[to] = true;
    }
}

void hf_move_link(struct hf *hf, const struct kith_node_id *peer, bool up)
{
    struct serve_event serve = {
        .type = up ? SERVE_PEER_UP : SERVE_PEER_DOWN, .peer = *peer, .room = BULK_ROOM_BYTES};
    struct fetch_event fetch = {.type = up ? FETCH_PEER_UP : FETCH_PEER_DOWN, .peer = *peer};

    hf_serve_do(hf, &serve);
    hf_fetch_do(hf, &fetch);
}

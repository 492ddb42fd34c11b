/*
 * Copies of a simulated node, as uv_fs_keep.c and fs_copies.c of src/node make and drop them.
 */
#include "host_fs_internal.h"

#define FILE_US  30000 /* two syncs and a rename */
#define SCRUB_US 50000
#define CHECK_US 5000
#define ROUND_S  5 /* all contents are looked at in so many seconds */

static const uint8_t kept_key[] = {'f', 'k'};
#define KEPT_KEY_BYTES (sizeof(kept_key) + CONTENT_ROOT_BYTES)

void hf_keep_boot(struct hf *hf)
{
    struct keep_config config = hf->hw->keep;

    config.self = hf->self.node;
    if (keep_new(&hf->keep, &config) != 0)
        abort();
}

/* ---- what is remembered of each content ---- */

static void store_kept(struct hf *hf, unsigned item, bool erase)
{
    uint8_t key[KEPT_KEY_BYTES];
    uint8_t value[16];

    memcpy(key, kept_key, sizeof(kept_key));
    memcpy(key + sizeof(kept_key), fi_content(&hf->hw->items, item)->root, CONTENT_ROOT_BYTES);
    put_le64(value, hf->scrubbed_ms[item]);
    put_le64(value + 8, hf->unreferenced_ms[item]);
    hf_store(hf, key, sizeof(key), erase ? NULL : value, erase ? 0 : sizeof(value));
    hf_store_flush(hf, false, 0);
}

static void forget_kept(struct hf *hf, unsigned item)
{
    store_kept(hf, item, true);
    hf->scrubbed_ms[item] = 0;
    hf->unreferenced_ms[item] = 0;
}

bool hf_keep_recall(struct hf *hf, const struct disk_entry *entry)
{
    if (entry->key_len != KEPT_KEY_BYTES || memcmp(entry->key, kept_key, sizeof(kept_key)) != 0)
        return false;
    unsigned item = fi_of(&hf->hw->items, entry->key + sizeof(kept_key));
    hf->scrubbed_ms[item] = get_le64(disk_value(entry));
    hf->unreferenced_ms[item] = get_le64(disk_value(entry) + 8);
    return true;
}

void hf_kept_now(struct hf *hf, unsigned item)
{
    hf->scrubbed_ms[item] = hf_wall_ms(hf);
    store_kept(hf, item, false);
}

static bool is_bad(const struct hf *hf, unsigned item)
{
    const struct hf_file *file = &hf->files->file[item];

    for (uint32_t c = 0; c < content_chunks(fi_content(&hf->hw->items, item)); c++)
        if (file->chunk[c] == HF_BAD)
            return true;
    return false;
}

/* ---- looking ---- */

void hf_keep_look(struct hf *hf, const struct content *content)
{
    struct kith_node_id holders[FS_KEEP_HOLDERS_MAX], near[FS_KEEP_HOLDERS_MAX];
    unsigned item = fi_of(&hf->hw->items, content->root);
    struct fs_content_facts known;
    struct keep_facts facts = {.content = *content, .holders = holders, .near = near};
    struct keep_event event = {.type = KEEP_LOOK, .facts = &facts};

    known.own = FS_NOWHERE;
    if (fs_catalogue_content(hf->catalogue, content->root, &known, holders, FS_KEEP_HOLDERS_MAX) ==
        0) {
        facts.content = known.content;
        facts.copies = known.copies;
        facts.live = known.live;
        facts.place = (known.own & FS_IN_FOLDER) != 0 ? KEEP_FOLDER
                      : (known.own & FS_IN_KEEP) != 0 ? KEEP_KEEP
                                                      : KEEP_NOWHERE;
        facts.holders_n = known.holders_n;
        (void)fs_catalogue_content_near(hf->catalogue, content, near, FS_KEEP_HOLDERS_MAX,
                                        &facts.near_n, &facts.near_self);
    }
    if (hf->files->file[item].whole && (known.own & FS_IN_KEEP) == 0 && hf->placing[item] == 0 &&
        !hf->removing[item])
        facts.place = KEEP_STRAY;
    facts.scrubbed_wall_ms = hf->scrubbed_ms[item];
    facts.unreferenced_wall_ms = hf->unreferenced_ms[item];
    hf_keep_do(hf, &event);
}

void hf_keep_sample(struct hf *hf)
{
    struct keep_event used = {.type = KEEP_USED, .full = hf->hw->disk_full[hf->index]};
    struct catalogue_stats stats;
    struct content content;

    hf_keep_do(hf, &used);
    fs_catalogue_stats(hf->catalogue, &stats);
    for (unsigned n = hf->hw->items.n / ROUND_S + 1; n > 0; n--) {
        hf->kept_at = hf->kept_at < hf->hw->items.n ? hf->kept_at + 1 : 0;
        if (hf->kept_at != 0 && hf->files->file[hf->kept_at].whole)
            hf_keep_look(hf, fi_content(&hf->hw->items, hf->kept_at));
    }
    for (uint64_t n = stats.contents / ROUND_S + 1; n > 0; n--) {
        if (!fs_catalogue_content_next(hf->catalogue, &hf->round_at, &content)) {
            hf->round_at = 0;
            return;
        }
        hf_keep_look(hf, &content);
    }
}

/* ---- actions ---- */

static struct hf_todo *
later(struct hf *hf, struct hf_todo *todo, enum keep_event_type kind, unsigned item)
{
    todo->kind = (uint8_t)kind;
    if (item != 0)
        todo->content = *fi_content(&hf->hw->items, item);
    return todo;
}

static void on_fetch(struct hf *hf, unsigned item)
{
    struct hf_file *file = &hf->files->file[item];
    bool joins = false;

    for (size_t i = 0; i < hf->fetches.n; i++)
        joins = joins || hf->fetches.items[i].item == item;
    if (!file->part || joins) { /* what came before would be missing */
        memset(file->parted, HF_NONE, sizeof(file->parted));
        file->bitmap_n = 0;
        file->has_list = false;
    }
    file->part = true;
    hf->copying[item] = true;
    hf->joined[item] = joins;
    hf_fetch_start(hf, item, HF_FOR_COPY, 0, FETCH_BACKGROUND, false);
}

static bool part_is_whole(struct hf *hf, unsigned item)
{
    const struct hf_file *file = &hf->files->file[item];

    for (uint32_t c = 0; c < content_chunks(fi_content(&hf->hw->items, item)); c++)
        if (file->parted[c] != HF_FRESH && file->parted[c] != HF_GOOD)
            return false;
    return true;
}

static void copy_end(struct hf *hf, unsigned item, int code)
{
    hf->copying[item] = false;
    later(hf, hf_todo(hf, HF_KEEP), KEEP_FETCHED, item)->code = code;
}

void hf_keep_copied(struct hf *hf, unsigned item, int code)
{
    if (code != 0) {
        copy_end(hf, item, code);
        return;
    }
    if (!part_is_whole(hf, item)) {
        if (!hf->joined[item])
            sim_violation(hf->hw->world, "node %zu: a part is said to be whole, and is not",
                          hf->index);
        copy_end(hf, item, KITH_E_AGAIN);
        return;
    }
    hf_job(hf, HF_KEEP_FILE, FILE_US)->item = item;
}

void hf_keep_file(struct hf *hf, unsigned item)
{
    struct hf_file *file = &hf->files->file[item];

    if (hf->hw->disk_full[hf->index]) {
        copy_end(hf, item, KITH_E_IO);
        return;
    }
    if (!hf_place_begin(hf, item)) {
        copy_end(hf, item, KITH_E_AGAIN);
        return;
    }
    file->part = false;
    file->whole = true;
    memset(file->chunk, HF_GOOD, sizeof(file->chunk));
    hf_kept_now(hf, item);
    hf->hw->kept_n++;
    hf_hold(hf, item, true, HF_FOR_COPY);
}

/* A holding of the keep is stored and announced, or not. */
void hf_keep_held(struct hf *hf, const struct hf_under_way *one, int code)
{
    const struct content *content = fi_content(&hf->hw->items, one->item);
    struct fs_content_facts facts;

    sim_note(hf->hw->world, "%zu: a holding of content %u (%d) gives %d", hf->index, one->item,
             one->purpose, code);
    if (one->purpose == HF_FOR_STRAY) {
        hf_place_end(hf, one->item);
        if (code == 0 &&
            (fs_catalogue_content(hf->catalogue, content->root, &facts, NULL, 0) != 0 ||
             (facts.own & FS_IN_KEEP) == 0))
            code = KITH_E_AGAIN; /* it was named no more, or there is no room for a record */
        later(hf, hf_todo(hf, HF_KEEP), KEEP_ADOPTED, one->item)->code = code;
        return;
    }
    if (one->purpose == HF_FOR_COPY) {
        hf_place_end(hf, one->item);
        copy_end(hf, one->item, code);
        return;
    }
    bool again =
        code == 0 && fs_catalogue_content(hf->catalogue, content->root, &facts, NULL, 0) == 0 &&
        ((facts.own & FS_IN_KEEP) != 0 || /* it was put here meanwhile, or is named again */
         (one->purpose == HF_FOR_UNNAMED && facts.live));
    again = again || hf->placing[one->item] > 0; /* or is just being put */
    again = again || hf->removing[one->item];    /* or goes already: damage is found by many */
    if (code == 0 && !again) {
        hf->removing[one->item] = true;
        forget_kept(hf, one->item);
        hf->hw->observer.going(hf, one->item);
        struct hf_todo *job = hf_job(hf, HF_KEEP_REMOVE, FILE_US);
        job->item = one->item;
        job->code = one->purpose == HF_FOR_DAMAGE;
        return;
    }
    if (one->purpose != HF_FOR_DAMAGE)
        later(hf, hf_todo(hf, HF_KEEP), KEEP_DROPPED, one->item)->code =
            again ? KITH_E_EXISTS : code;
}

void hf_keep_remove(struct hf *hf, unsigned item, bool damage)
{
    struct hf_file *file = &hf->files->file[item];
    struct fs_content_facts facts;

    hf->removing[item] = false;
    if (fs_catalogue_content(hf->catalogue, fi_content(&hf->hw->items, item)->root, &facts, NULL,
                             0) == 0 &&
        (facts.own & FS_IN_KEEP) != 0)
        sim_violation(hf->hw->world, "node %zu: content %u is removed, and said to be kept",
                      hf->index, item);
    if (file->whole) {
        if (!damage)
            hf->hw->observer.dropping(hf, item);
        memset(file->chunk, HF_NONE, sizeof(file->chunk));
        file->whole = false;
        hf->hw->dropped_n += !damage;
    }
    if (!damage)
        later(hf, hf_todo(hf, HF_KEEP), KEEP_DROPPED, item);
}

void hf_keep_damage(struct hf *hf, unsigned item)
{
    hf_hold(hf, item, false, HF_FOR_DAMAGE);
}

/* ---- what no record tells of ---- */

static void on_adopt(struct hf *hf, unsigned item)
{
    if (!hf_place_begin(hf, item)) {
        later(hf, hf_todo(hf, HF_KEEP), KEEP_ADOPTED, item)->code = KITH_E_AGAIN;
        return;
    }
    hf_job(hf, HF_KEEP_ADOPT, SCRUB_US)->item = item;
}

/* It has been read. */
void hf_keep_adopt(struct hf *hf, unsigned item)
{
    if (hf->files->file[item].whole && !is_bad(hf, item)) {
        hf->hw->adopted_n++;
        hf_kept_now(hf, item);
        hf_hold(hf, item, true, HF_FOR_STRAY);
        return;
    }
    hf_place_end(hf, item);
    if (hf->files->file[item].whole)
        hf_keep_damage(hf, item);
    later(hf, hf_todo(hf, HF_KEEP), KEEP_ADOPTED, item)->code = KITH_E_CORRUPT;
}

static void on_scrub(struct hf *hf, unsigned item)
{
    const struct hf_file *file = &hf->files->file[item];
    struct hf_todo *job = later(hf, hf_job(hf, HF_KEEP, SCRUB_US), KEEP_SCRUBBED, item);

    /* What is in a folder is its user's. */
    job->code = file->whole || hf_in_folder(hf, item) ? 0 : KITH_E_NOT_FOUND;
    for (uint32_t c = 0; c < content_chunks(fi_content(&hf->hw->items, item)); c++)
        if (file->chunk[c] == HF_BAD)
            job->code = KITH_E_CORRUPT;
    hf->hw->scrub_damage_n += job->code == KITH_E_CORRUPT;
    if (job->code == 0)
        hf_kept_now(hf, item);
    else if (job->code == KITH_E_CORRUPT)
        hf->hw->observer.damaged(hf, item);
}

/* Where it is, really. */
static void on_check(struct hf *hf, const struct keep_action *action)
{
    struct hf_todo *job = hf_job(hf, HF_KEEP, CHECK_US);
    unsigned item = fi_of(&hf->hw->items, action->root);
    struct fs_content_facts facts;

    job->kind = KEEP_CHECKED;
    job->token = action->token;
    job->place = KEEP_NOWHERE;
    if (item == 0 || fs_catalogue_content(hf->catalogue, action->root, &facts, NULL, 0) != 0 ||
        !facts.live)
        return;
    if ((facts.own & FS_IN_FOLDER) != 0 && hf_in_folder(hf, item))
        job->place = KEEP_FOLDER;
    else if ((facts.own & FS_IN_KEEP) != 0 && hf->files->file[item].whole)
        job->place = KEEP_KEEP;
}

static bool is_live(const struct hf *hf, unsigned item)
{
    struct fs_content_facts facts;

    return fs_catalogue_content(hf->catalogue, fi_content(&hf->hw->items, item)->root, &facts, NULL,
                                0) == 0 &&
           facts.live;
}

static void do_action(struct hf *hf, const struct keep_action *action)
{
    unsigned item = fi_of(&hf->hw->items, action->content.root);
    unsigned doubted;

    switch (action->type) {
    case KEEP_SEND:
        (void)hf_send(hf, &action->peer, NET_CONTROL, FRAME_FS_KEEP, action->data,
                      (struct kith_bytes){NULL, 0});
        break;
    case KEEP_FETCH:
        on_fetch(hf, item);
        break;
    case KEEP_DROP:
        hf_hold(hf, item, false, is_live(hf, item) ? HF_FOR_DROP : HF_FOR_UNNAMED);
        break;
    case KEEP_ADOPT:
        on_adopt(hf, item);
        break;
    case KEEP_NOTE:
        hf->unreferenced_ms[item] = action->wall_ms;
        store_kept(hf, item, false);
        break;
    case KEEP_SCRUB:
        on_scrub(hf, item);
        break;
    case KEEP_DAMAGE:
        hf_keep_damage(hf, item);
        break;
    case KEEP_CHECK:
        on_check(hf, action);
        break;
    case KEEP_DOUBT:
        doubted = fi_of(&hf->hw->items, action->root);
        if (doubted != 0) /* behind this step */
            hf_todo(hf, HF_CONTENT)->content = *fi_content(&hf->hw->items, doubted);
        break;
    case KEEP_SCARCE:
        break;
    }
}

void hf_keep_do(struct hf *hf, struct keep_event *event)
{
    struct keep_output out;

    event->now_ms = hf_now_ms(hf);
    event->wall_ms = hf_wall_ms(hf);
    int r = keep_step(hf->keep, event, &out);
    if (r != 0)
        sim_violation(hf->hw->world, "node %zu: a step of copies gives %s", hf->index,
                      kith_error_name(r));
    for (size_t i = 0; i < out.actions_n; i++)
        do_action(hf, &out.actions[i]);
}

void hf_keep_first(struct hf *hf)
{
    hf_keep_do(hf, &(struct keep_event){.type = KEEP_START});
}

/* ---- one at a time: a file that is made is not removed, and the other way round ---- */

bool hf_place_begin(struct hf *hf, unsigned item)
{
    if (hf->removing[item] && !MUTANT(FS_REMOVE_RACES))
        return false;
    if (!MUTANT(FS_REMOVE_RACES))
        hf->placing[item]++;
    return true;
}

void hf_place_end(struct hf *hf, unsigned item)
{
    if (hf->placing[item] > 0)
        hf->placing[item]--;
}

void hf_put_over(struct hf *hf, unsigned item)
{
    hf_place_end(hf, item);
}

void hf_put(struct hf *hf, unsigned item, uint64_t user)
{
    struct hf_todo *job = hf_job(hf, HF_PUT_FILE, FILE_US);

    job->item = item;
    job->token = user;
}

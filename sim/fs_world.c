/*
 * Faults and oracles of simulated nodes with files.
 *
 * What is promised of bytes: no rule takes the last copy of what lives. Users may (a folder's file
 * is theirs), and so may disks that go bad: a content whose last copy they took is "lost" and asked
 * for no more, until somebody writes it anew. (A file of which no record tells is a copy, too: it
 * comes back when its version is known.) Answers about copies may be a few seconds old, so a
 * drop right behind such a loss is none of the rules' either.
 */
#include "fs_world.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kith/error.h"
#include "queue.h"

#define JUST_MS         15000 /* answers count for 5 s, and files take their time to go */
#define DAMAGE_AFTER_MS 20000 /* disks go bad one at a time */
#define AGREE_MS        120000
#define COPIES_MS       600000
#define READ_MS         60000
#define HASH_MS_SLOW    30000

static struct fw_world *world_of(struct hf *hf)
{
    return (struct fw_world *)(void *)hf->hw;
}

static void on_wrong(void *user, const char *text)
{
    struct fw_world *fw = user;

    sim_violation(fw->hf.world, "%s", text);
}

/* ---- contents ---- */

static unsigned intact_n(struct fw_world *fw, unsigned item, size_t but)
{
    unsigned n = 0;

    for (size_t i = 0; i < fw->hf.nodes_n; i++)
        n += i != but && hf_has_intact(&fw->hf, i, item);
    return n;
}

static bool is_anywhere(const struct fw_world *fw, unsigned item)
{
    for (size_t i = 0; i < fw->hf.nodes_n; i++)
        if (hf_has_bytes(&fw->hf, i, item))
            return true;
    return false;
}

void fw_reduced(struct fw_world *fw, unsigned item)
{
    fw->reduced_ms[item] = sim_world_ms(fw->hf.world);
    sim_note(fw->hf.world, "content %u has %u copies", item, intact_n(fw, item, SIZE_MAX));
    fw->lost[item] = fw->lost[item] || !is_anywhere(fw, item);
}

void fw_written_anew(struct fw_world *fw, unsigned item)
{
    fw->lost[item] = false;
}

static void all_reduced(struct fw_world *fw)
{
    for (unsigned i = 1; i <= fw->hf.items.n; i++)
        fw_reduced(fw, i);
}

/* Whether anybody who is up knows a version that lives and has the content. */
static bool is_live(struct fw_world *fw, unsigned item)
{
    for (size_t i = 0; i < fw->hf.nodes_n; i++) {
        const struct hf *hf = hf_at(&fw->hf, i);
        struct fs_content_facts facts;

        if (hf != NULL &&
            fs_catalogue_content(hf->catalogue, fi_content(&fw->hf.items, item)->root, &facts, NULL,
                                 0) == 0 &&
            facts.live)
            return true;
    }
    return false;
}

/* Another that says no more that it keeps it, as a user put something else there, has it for ten
 * seconds more. */
static bool still_has_bytes(struct fw_world *fw, unsigned item, size_t but)
{
    for (size_t i = 0; i < fw->hf.nodes_n; i++)
        if (i != but && hf_has_bytes(&fw->hf, i, item))
            return true;
    return false;
}

static void on_dropping(struct hf *hf, unsigned item)
{
    struct fw_world *fw = world_of(hf);
    uint64_t now_ms = sim_world_ms(fw->hf.world);

    if (intact_n(fw, item, hf->index) > 0 || hf_in_folder(hf, item) || fw->lost[item] ||
        !is_live(fw, item) || still_has_bytes(fw, item, hf->index))
        return;
    if (now_ms < fw->reduced_ms[item] + JUST_MS) {
        fw->lost[item] = true;
        return;
    }
    sim_violation(fw->hf.world, "node %zu: the last copy of content %u, which lives, is dropped",
                  hf->index, item);
}

static void on_damaged(struct hf *hf, unsigned item)
{
    fw_reduced(world_of(hf), item);
}

/* ---- versions ---- */

static void on_signing(struct hf *hf, struct kith_bytes data)
{
    struct fw_world *fw = world_of(hf);
    unsigned node = (unsigned)hf->index;
    const struct fs_note *note = fs_notes_sign(&fw->notes, node, data);

    if (note == NULL || note->version.kind != FS_DELETED)
        return;
    bool by_folder = fs_disk_equal(&note->version.author.disk, &hf->self.disk);
    bool meant = by_folder ? fw->deletes[node][note->path] : fw->removes[node][note->path] > 0;
    if (!meant)
        sim_violation(fw->hf.world,
                      "node %u: %s: a deletion that nobody asked for, %s (content %u)", node,
                      hf_path(note->path), by_folder ? "in the folder" : "by name",
                      hf->files->folder[note->path]);
}

static bool on_disk(const struct disk *disk, const struct fs_note *note)
{
    const char *path = hf_path(note->path);
    uint8_t moment[8];

    put_le64(moment, note->version.moment);
    for (size_t i = 0; i < disk->now.n; i++) {
        const struct disk_entry *entry = &disk->now.entries[i];

        if (!entry->corrupt && entry->len > 8 &&
            memmem(disk_value(entry), entry->len, moment, 8) != NULL &&
            memmem(disk_value(entry), entry->len, path, strlen(path)) != NULL)
            return true;
    }
    return false;
}

void fw_acked(struct fw_world *fw, size_t node, uint64_t version_id)
{
    for (size_t k = 0; k < fw->notes.n; k++) {
        struct fs_note *note = &fw->notes.items[k];

        if (note->id != version_id)
            continue;
        note->acked = true;
        if (note->node != node || note->durable)
            continue;
        note->durable = on_disk(&fw->hf.disks[node], note);
        note->at_author = note->durable;
        if (!note->durable)
            sim_violation(fw->hf.world, "node %zu: %s: acknowledged, and not stored", node,
                          hf_path(note->path));
    }
}

static void note_durable(struct fw_world *fw, size_t node)
{
    for (size_t k = 0; k < fw->notes.n; k++) {
        struct fs_note *note = &fw->notes.items[k];

        if (note->node == node && !note->durable && on_disk(&fw->hf.disks[node], note)) {
            note->durable = true;
            note->at_author = true;
        }
    }
}

/* A disk has it, or a version that has seen it. */
static bool is_stored(struct fw_world *fw, const struct fs_note *note)
{
    for (size_t k = 0; k < fw->notes.n; k++) {
        const struct fs_note *other = &fw->notes.items[k];

        if (other != note &&
            (other->path != note->path || !fs_version_replaces(&other->version, &note->version)))
            continue;
        for (size_t i = 0; i < fw->hf.nodes_n; i++)
            if (on_disk(&fw->hf.disks[i], other))
                return true;
    }
    return false;
}

/* What others tell is stored when there is time, as it can be told again. So what its author's disk
 * has lost may be in the memory of others alone, and goes with the last of them. */
static void excuse_forgotten(struct fw_world *fw, size_t gone)
{
    for (size_t k = 0; k < fw->notes.n; k++) {
        struct fs_note *note = &fw->notes.items[k];
        bool known = note->excused || note->at_author || !note->acked;

        for (size_t i = 0; i < fw->hf.nodes_n && !known; i++) {
            const struct hf *hf = hf_at(&fw->hf, i);

            known = i != gone && hf != NULL && fs_notes_knows(&fw->notes, hf->catalogue, note);
        }
        note->excused = note->excused || (!known && !is_stored(fw, note));
    }
}

/* What a crash has certainly lost must be nowhere else, and nobody must have been told of it. */
static void on_gone(struct fw_world *fw, size_t node)
{
    note_durable(fw, node);
    for (size_t k = 0; k < fw->notes.n; k++) {
        struct fs_note *note = &fw->notes.items[k];

        if (note->node != node || note->durable || note->excused)
            continue;
        note->excused = !note->acked;
        if (note->acked)
            sim_violation(fw->hf.world, "node %zu: %s: acknowledged, and lost by a crash", node,
                          hf_path(note->path));
        for (size_t i = 0; i < fw->hf.nodes_n; i++) {
            const struct hf *hf = hf_at(&fw->hf, i);

            if (i != node && hf != NULL && fs_notes_has(&fw->notes, hf->catalogue, note))
                sim_violation(fw->hf.world,
                              "node %zu knows a version of %s that its author never stored", i,
                              hf_path(note->path));
        }
    }
    excuse_forgotten(fw, node);
    fw_users_gone(fw, node);
    memset(fw->removes[node], 0, sizeof(fw->removes[node]));
}

static void host_gone(struct hf *hf)
{
    if (!world_of(hf)->over)
        on_gone(world_of(hf), hf->index);
}

/* The disk of @lost may have been the only one that had it. */
static void excuse(struct fw_world *fw, size_t lost)
{
    for (size_t k = 0; k < fw->notes.n; k++) {
        struct fs_note *note = &fw->notes.items[k];
        bool safe = note->node != lost && note->at_author;

        for (size_t i = 0; i < fw->hf.nodes_n && !safe; i++) {
            const struct hf *hf = hf_at(&fw->hf, i);

            safe = i != lost && hf != NULL && fs_notes_knows(&fw->notes, hf->catalogue, note);
        }
        note->excused = note->excused || !safe;
    }
}

static void not_at_author(struct fw_world *fw, size_t node, bool no_more)
{
    for (size_t k = 0; k < fw->notes.n; k++) {
        struct fs_note *note = &fw->notes.items[k];

        if (note->node != node || (!no_more && on_disk(&fw->hf.disks[node], note)))
            continue;
        note->at_author = false;
        if (no_more)
            note->node = FS_NOTES_NOBODY;
    }
}

/* ---- disks ---- */

/* The store is another than what told of the files beside it. */
static void untell(struct fw_world *fw, size_t node, const struct hf_files *told)
{
    for (unsigned i = 1; i <= fw->hf.items.n; i++)
        fw->hf.files[node].file[i].told = told != NULL && told->file[i].told;
}

static bool store_alone(struct fw_world *fw)
{
    bool alone = rng_below(sim_rng(fw->hf.world), 2) == 0;

    fw->stores_n += alone;
    return alone;
}

static void wipe(struct fw_world *fw, size_t node)
{
    excuse(fw, node);
    disk_wipe(&fw->hf.disks[node]);
    if (store_alone(fw))
        untell(fw, node, NULL);
    else
        memset(&fw->hf.files[node], 0, sizeof(fw->hf.files[node]));
    not_at_author(fw, node, true);
    fw->wiped_n++;
}

static bool restore(struct fw_world *fw, size_t node)
{
    if (!fw->hf.steady[node] || !fw->hf.disks[node].has_older)
        return false;
    excuse(fw, node);
    (void)disk_restore(&fw->hf.disks[node]);
    if (store_alone(fw))
        untell(fw, node, &fw->images[node]);
    else
        fw->hf.files[node] = fw->images[node];
    not_at_author(fw, node, false);
    fw->restored_n++;
    return true;
}

/* A chunk of a copy: one at a time, and others are left when it is found out. */
static bool rot_copy(struct fw_world *fw, size_t node)
{
    unsigned first = (unsigned)rng_below(sim_rng(fw->hf.world), fw->hf.items.n + 1);

    for (unsigned n = 0; n < fw->hf.items.n && fw->hf.catalogue.replicas > 1; n++) {
        unsigned item = 1 + (first + n) % fw->hf.items.n;
        struct hf_file *file = &fw->hf.files[node].file[item];
        uint32_t chunks_n = content_chunks(fi_content(&fw->hf.items, item));

        if (!file->whole || chunks_n == 0 || intact_n(fw, item, node) < 2)
            continue;
        file->chunk[rng_below(sim_rng(fw->hf.world), chunks_n)] = HF_BAD;
        fw->reduced_ms[item] = sim_world_ms(fw->hf.world);
        fw->rotten_n++;
        return true;
    }
    return false;
}

/* Who has forgotten what it counted counts on from its clock, as a restored disk does: a clock that
 * was set back may count a number twice, about which nothing can be done. */
static bool rot(struct fw_world *fw, size_t node)
{
    if (rng_below(sim_rng(fw->hf.world), 2) == 0 || !fw->hf.steady[node])
        return rot_copy(fw, node);
    excuse(fw, node);
    if (!disk_rot(&fw->hf.disks[node]))
        return false;
    not_at_author(fw, node, false);
    return true;
}

static void
on_disk_fault(struct chaos *chaos, enum chaos_state_class class, size_t node, uint64_t ms)
{
    struct fw_world *fw = chaos->user;
    uint64_t now_ms = sim_world_ms(fw->hf.world);
    bool changed = false;

    if (class == CHAOS_DISK_STALL) {
        disk_stall(&fw->hf.disks[node], ms);
        return;
    }
    if (class == CHAOS_DISK_FULL) {
        fw->hf.disk_full[node] = true;
        fw->full_until_ms[node] = now_ms + ms;
        return;
    }
    if (now_ms < fw->changed_ms + DAMAGE_AFTER_MS)
        return;
    if (class == CHAOS_DISK_WIPE) {
        wipe(fw, node);
        changed = true;
    } else if (class == CHAOS_DISK_RESTORE) {
        changed = restore(fw, node);
    } else {
        changed = rot(fw, node);
    }
    if (!changed)
        return;
    fw->changed_ms = now_ms;
    fw->changed_boot[node] = true;
    all_reduced(fw);
}

static void on_started(struct chaos *chaos, size_t node)
{
    struct fw_world *fw = chaos->user;

    fw->changed_boot[node] = false;
}

static void disk_tick(struct sim_world *world, void *arg)
{
    struct fw_world *fw = arg;
    size_t node = (size_t)rng_below(sim_rng(world), fw->hf.nodes_n);

    if (!fw->chaos.on)
        return;
    for (size_t i = 0; i < fw->hf.nodes_n; i++)
        if (fw->full_until_ms[i] <= sim_world_ms(world))
            fw->hf.disk_full[i] = false;
    if ((fw->chaos.classes & CHAOS_DISK_ROT) != 0 && rng_below(sim_rng(world), 8) == 0)
        (void)rot_copy(fw, node);
    if ((fw->chaos.classes & CHAOS_DISK_RESTORE) != 0 && rng_below(sim_rng(world), 8) == 0) {
        disk_snapshot(&fw->hf.disks[node]);
        if (hf_at(&fw->hf, node) != NULL)
            hf_note_told(hf_at(&fw->hf, node));
        fw->images[node] = fw->hf.files[node];
    }
    sim_at(world, sim_world_ms(world) + 500, disk_tick, fw);
}

/* ---- the world ---- */

static void set_timers(struct fw_world *fw, const struct fw_options *options)
{
    fw->hf.catalogue = (struct catalogue_config){
        .hash_ms = 1000, .pull_ms = 500, .adopt_ms = 500, .again_ms = 2000};
    if (options->slow)
        fw->hf.catalogue = (struct catalogue_config){.again_ms = HASH_MS_SLOW};
    fw->hf.catalogue.replicas = options->replicas;
    fw->hf.fetch = (struct fetch_config){.bytes_max = 512 * 1024, .aside_ms = 20000};
    fw->hf.keep = (struct keep_config){.bytes_max = UINT64_MAX,
                                       .stable_ms = 10000,
                                       .gone_ms = 10000,
                                       .surplus_ms = 15000,
                                       .answer_ms = 5000,
                                       .unreferenced_ms = 4 * fw->scn->options.time_ms,
                                       .seen_ms = 2 * fw->scn->options.time_ms,
                                       .day_ms = 1000};
    if (options->quick) {
        fw->hf.keep.stable_ms = 1000;
        fw->hf.keep.gone_ms = 2000;
        fw->hf.keep.surplus_ms = 2000;
    }
    fw->hf.cache =
        (struct cache_config){.memory_bytes_max = 300 * 1024, .disk_bytes_max = 600 * 1024};
}

void fw_init(struct fw_world *fw, struct scn *scn, uint64_t seed, const struct fw_options *options)
{
    memset(fw, 0, sizeof(*fw));
    fw->scn = scn;
    fw->period_ms = options->op_period_ms;
    fw->notes.paths_n = HF_PATHS;
    static const char *texts[HF_PATHS];
    for (unsigned p = 0; p < HF_PATHS; p++)
        texts[p] = hf_path(p);
    fw->notes.paths = texts;
    fw->notes.wrong = on_wrong;
    fw->notes.user = fw;
    struct sim_world *world = sim_new(&(struct sim_config){
        .seed = seed,
        .nodes_n = options->nodes_n,
        .faults = {.clock_rate_spread = (options->classes & CHAOS_CLOCK) != 0 ? 0.1 : 0},
        .host = &hf_host,
        .user = fw});
    sim_set_log(world, scn->options.log);
    hf_world_init(&fw->hf, world);
    set_timers(fw, options);
    fw->hf.checks = scn->options.check;
    fw->hf.busy = (options->classes & CHAOS_BUSY) != 0;
    fw->hf.swings = rng_below(sim_rng(world), 2) == 0;
    fw->hf.observer = (struct hf_observer){.signing = on_signing,
                                           .published = fw_published,
                                           .read_done = fw_read_done,
                                           .written = fw_written,
                                           .going = fw_going,
                                           .dropping = on_dropping,
                                           .damaged = on_damaged,
                                           .gone = host_gone};
    chaos_init(&fw->chaos, world, options->classes);
    fw->chaos.user = fw;
    fw->chaos.brief = true;
    fw->chaos.period_ms = options->period_ms;
    fw->chaos.disk = on_disk_fault;
    fw->chaos.started = on_started;
    for (size_t i = 0; i < options->nodes_n; i++) {
        fw->hf.steady[i] =
            (options->classes & CHAOS_WALL) == 0 || rng_below(sim_rng(world), 2) == 0;
        for (size_t k = 0; k < options->nodes_n; k++)
            fw->hf.calls[i][k] = !options->in_line || k + 1 == i || i + 1 == k;
    }
    for (size_t i = 0; i < options->nodes_n; i++)
        sim_start(world, i);
    struct sim_faults faults = chaos_faults(options->classes, sim_rng(world));
    sim_set_faults(world, &faults);
    fw_users_start(fw);
    chaos_start(&fw->chaos);
    disk_tick(world, fw);
}

void fw_deinit(struct fw_world *fw)
{
    struct sim_world *world = fw->hf.world;

    scn_take(fw->scn, world);
    scn_count(fw->scn, "acknowledged", (double)fw->acked_n);
    scn_count(fw->scn, "versions", (double)fw->notes.n);
    scn_count(fw->scn, "contents", fw->hf.items.n);
    scn_count(fw->scn, "appended", (double)fw->appended_n);
    scn_count(fw->scn, "read", (double)fw->read_n);
    scn_count(fw->scn, "not_read", (double)fw->read_failed_n);
    scn_count(fw->scn, "chunks_handed_out", (double)fw->hf.handed_n);
    scn_count(fw->scn, "chunks_resumed", (double)fw->hf.resumed_n);
    scn_count(fw->scn, "bad_blocks_served", (double)fw->hf.bad_served_n);
    scn_count(fw->scn, "copies_made", (double)fw->hf.kept_n);
    scn_count(fw->scn, "copies_dropped", (double)fw->hf.dropped_n);
    scn_count(fw->scn, "copies_rotten", (double)fw->rotten_n);
    scn_count(fw->scn, "copies_found_damaged", (double)fw->hf.scrub_damage_n);
    scn_count(fw->scn, "disks_wiped", (double)fw->wiped_n);
    scn_count(fw->scn, "disks_restored", (double)fw->restored_n);
    scn_count(fw->scn, "stores_alone", (double)fw->stores_n);
    scn_count(fw->scn, "strays_taken_in", (double)fw->hf.adopted_n);
    fw->over = true;
    for (size_t i = 0; i < fw->hf.nodes_n; i++)
        sim_power_off(world, i);
    hf_world_deinit(&fw->hf);
    fs_notes_deinit(&fw->notes);
    chaos_deinit(&fw->chaos);
    free(fw->uses);
    sim_free(world);
}

bool fw_run_for(struct fw_world *fw, uint64_t ms)
{
    return sim_run(fw->hf.world, sim_world_ms(fw->hf.world) + ms, NULL);
}

void fw_stop(struct fw_world *fw)
{
    struct sim_world *world = fw->hf.world;

    fw->users_on = false;
    fw->hf.busy = false;
    fw->hf.swings = false;
    chaos_stop(&fw->chaos);
    for (size_t i = 0; i < fw->hf.nodes_n; i++) {
        fw->hf.disk_full[i] = false;
        disk_stall_ends(&fw->hf.disks[i]);
        if (!sim_node_up(sim_node_at(world, i)))
            sim_start(world, i);
        fw->changed_boot[i] = false;
        for (size_t k = 0; k < fw->hf.nodes_n; k++)
            fw->hf.calls[i][k] = true;
    }
    sim_note(world, "faults are off");
}

/* ---- afterwards ---- */

static bool agree(struct fw_world *fw)
{
    for (size_t i = 0; i < fw->hf.nodes_n; i++) {
        const struct hf *hf = hf_at(&fw->hf, i);
        struct catalogue_stats stats;

        fs_catalogue_stats(hf->catalogue, &stats);
        if (stats.waiting != 0 || stats.lost != 0 ||
            fs_catalogue_digest(hf->catalogue) != fs_catalogue_digest(hf_at(&fw->hf, 0)->catalogue))
            return false;
    }
    return true;
}

static void judge_versions(struct fw_world *fw)
{
    static struct content contents[FI_ITEMS_MAX];
    struct fs_catalogue *cores[HF_NODES_MAX];

    for (size_t i = 0; i < fw->hf.nodes_n; i++) {
        cores[i] = hf_at(&fw->hf, i)->catalogue;
        note_durable(fw, i);
    }
    for (unsigned i = 1; i <= fw->hf.items.n; i++)
        contents[i - 1] = *fi_content(&fw->hf.items, i);
    fs_notes_judge(&fw->notes, cores, fw->hf.nodes_n, contents, fw->hf.items.n);
}

/* What is not as it should be of the copies of a content; NULL: all is well. */
static const char *copies_problem(struct fw_world *fw, unsigned item)
{
    const struct content *content = fi_content(&fw->hf.items, item);
    struct fs_content_facts facts;
    unsigned keeps = 0;
    unsigned folders = 0;
    unsigned bad = 0;

    if (fs_catalogue_content(hf_at(&fw->hf, 0)->catalogue, content->root, &facts, NULL, 0) != 0 ||
        !facts.live || fw->lost[item])
        return NULL;
    for (size_t i = 0; i < fw->hf.nodes_n; i++) {
        const struct hf *hf = hf_at(&fw->hf, i);
        bool intact = hf_has_intact(&fw->hf, i, item);

        (void)fs_catalogue_content(hf->catalogue, content->root, &facts, NULL, 0);
        folders += intact && (facts.own & FS_IN_FOLDER) != 0;
        keeps += intact && facts.own == FS_IN_KEEP;
        bad += !intact && facts.own != FS_NOWHERE;
    }
    unsigned want = facts.copies < fw->hf.nodes_n ? facts.copies : (unsigned)fw->hf.nodes_n;
    want = want > folders ? want : folders;
    if (bad > 0)
        return "a copy that is told of is damaged, or not there";
    if (keeps + folders < want)
        return keeps + folders == 0 ? "a content that lives is nowhere" : "it has too few copies";
    return keeps + folders > want ? "it has too many copies" : NULL;
}

/* For the log. */
static void note_copies(struct fw_world *fw, unsigned item)
{
    for (size_t i = 0; i < fw->hf.nodes_n; i++) {
        const struct hf *hf = hf_at(&fw->hf, i);
        struct fs_content_facts facts = {0};

        (void)fs_catalogue_content(hf->catalogue, fi_content(&fw->hf.items, item)->root, &facts,
                                   NULL, 0);
        sim_note(fw->hf.world,
                 "content %u at %zu: %s, its file %u%s; it says %u, %zu others do; wanted %u", item,
                 i, hf_in_folder(hf, item) ? "in the folder" : "in no folder",
                 hf->files->file[item].whole, hf_has_intact(&fw->hf, i, item) ? ", intact" : "",
                 facts.own, facts.holders_n, facts.copies);
    }
}

static bool copies_settle(struct fw_world *fw)
{
    for (uint64_t waited_ms = 0;; waited_ms += 5000) {
        const char *problem = NULL;
        unsigned item = 0;

        while (problem == NULL && item < fw->hf.items.n)
            problem = copies_problem(fw, ++item);
        if (problem == NULL) {
            scn_sample(fw->scn, "copies_settled_after_ms", "ms", (double)waited_ms);
            return true;
        }
        if (waited_ms >= COPIES_MS) {
            note_copies(fw, item);
            scn_fail(fw->scn, "content %u long after the faults: %s", item, problem);
            return false;
        }
        if (!fw_run_for(fw, 5000))
            return false;
    }
}

/* Each node reads all that it shows. What users waited for before, and what is lost by what they
 * or faults did, may end as it will. */
static bool all_is_read(struct fw_world *fw)
{
    for (size_t i = 0; i < fw->hf.nodes_n; i++) {
        struct hf *hf = hf_at(&fw->hf, i);

        for (unsigned item = 1; item <= fw->hf.items.n; item++) {
            struct fs_content_facts facts;

            if (!fw->lost[item] &&
                fs_catalogue_content(hf->catalogue, fi_content(&fw->hf.items, item)->root, &facts,
                                     NULL, 0) == 0 &&
                facts.live)
                fw_read(fw, FW_READ_ALL, i, item, false);
        }
        hf_pump(hf);
    }
    for (uint64_t waited_ms = 0; fw->reads_open > 0 && waited_ms < READ_MS; waited_ms += 100)
        if (!fw_run_for(fw, 100))
            return false;
    for (size_t i = 0; i < fw->uses_n; i++)
        if (fw->uses[i].what == FW_READ_ALL)
            sim_note(fw->hf.world, "node %zu still reads content %u (%u nodes have it)",
                     fw->uses[i].node, fw->uses[i].item, intact_n(fw, fw->uses[i].item, SIZE_MAX));
    if (fw->reads_open > 0 || fw->last_failed_n > 0) {
        scn_fail(fw->scn, "long after the faults %" PRIu32 " reads wait, and %" PRIu32 " failed",
                 fw->reads_open, fw->last_failed_n);
        return false;
    }
    return true;
}

bool fw_settles(struct fw_world *fw)
{
    uint64_t waited_ms = 0;

    while (!agree(fw)) {
        if (waited_ms >= AGREE_MS) {
            judge_versions(fw); /* says what differs */
            if (sim_violation_text(fw->hf.world) == NULL)
                scn_fail(fw->scn, "long after the faults nodes know different things");
            return false;
        }
        waited_ms += 250;
        if (!fw_run_for(fw, 250))
            return false;
    }
    scn_sample(fw->scn, "agreed_after_ms", "ms", (double)waited_ms);
    judge_versions(fw);
    if (sim_violation_text(fw->hf.world) != NULL || !copies_settle(fw))
        return false;
    if (!all_is_read(fw))
        return false;
    judge_versions(fw);
    return sim_violation_text(fw->hf.world) == NULL;
}

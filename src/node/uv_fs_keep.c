/*
 * The driver of copies (fs/keep.h): the catalogue's facts, nodes, frames and time in; fetches,
 * drops and readings of the keep out.
 */
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_folder.h"
#include "node/fs_keep.h"
#include "node/fs_pins.h"
#include "node/internal.h"

struct fs_keeping {
    uint64_t round_at; /* where the round through all contents stands */
    uint64_t round_ms; /* when it was last gone on with */
    bool stepping;
    struct list damaged; /* struct removal */
};

bool fs_move_cached(struct node_fs *fs, const struct content *content)
{
    return content->size > 0 && cache_bytes_of(fs->move->cache, content->root) == content->size;
}

/* ---- steps ---- */

static void keep_do(struct node_fs *fs, struct keep_event *event);

/* An event for when the step at hand is done. */
struct later {
    struct fs_todo todo;
    struct keep_event event;
};

static void later_run(struct node_fs *fs, struct fs_todo *todo)
{
    struct later *later = container_of(todo, struct later, todo);

    keep_do(fs, &later->event);
    if (later->event.type == KEEP_ADOPTED) { /* what it is now; and the next one */
        fs_keep_look(fs, &later->event.content);
        fs_strays_look(fs);
    }
    if (later->event.type == KEEP_FETCHED && !fs->stopping)
        fs_pins_look(fs); /* there is room for the next */
    core_free(later);
}

static void keep_later(struct node_fs *fs, const struct keep_event *event)
{
    struct later *later = core_calloc(1, sizeof(*later));

    if (later == NULL)
        node_state_end_process(fs->node, "memory is short: start the node again");
    later->event = *event;
    later->todo.run = later_run;
    fs_enter(fs);
    fs_later(fs, &later->todo);
    fs_leave(fs);
}

void fs_keep_look(struct node_fs *fs, const struct content *content)
{
    struct fs_keep_facts known;
    struct keep_event event = {.type = KEEP_LOOK, .facts = &known.facts};

    fs_keep_facts(fs, content, &known);
    fs_pins_here(fs->pins, content->root,
                 known.facts.place == KEEP_FOLDER || known.facts.place == KEEP_KEEP);
    keep_do(fs, &event);
    fs_sweep_look(fs, content);
}

/* ---- what it wants: copies ---- */

struct keep_copy {
    struct list link;
    struct fs_copy copy;
};

static void on_copied(struct node_fs *fs, struct fs_copy *copy, int code, const char *text)
{
    struct keep_copy *one = container_of(copy, struct keep_copy, copy);
    struct keep_event event = {.type = KEEP_FETCHED, .content = copy->content, .code = code};

    if (code != 0)
        log_debug(&fs->node->log.log, "files", "a copy is not made", "reason", text, NULL);
    list_remove(&one->link);
    core_free(one);
    keep_later(fs, &event);
}

static void fetch(struct node_fs *fs, const struct content *content, bool repairs)
{
    struct keep_copy *one = core_calloc(1, sizeof(*one));

    if (one == NULL) {
        keep_later(fs, &(struct keep_event){
                           .type = KEEP_FETCHED, .content = *content, .code = KITH_E_MEMORY});
        return;
    }
    one->copy.content = *content;
    one->copy.priority = FETCH_BACKGROUND;
    one->copy.repairs = repairs;
    one->copy.done = on_copied;
    list_append(&fs->copies, &one->link);
    fs_copy_start(fs, &one->copy);
}

void fs_keep_give_way(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES])
{
    list_for_each_safe (it, &fs->copies) {
        struct keep_copy *one = container_of(it, struct keep_copy, link);
        struct keep_event event = {
            .type = KEEP_FETCHED, .content = one->copy.content, .code = KITH_E_CANCELED};
        if (memcmp(one->copy.content.root, root, CONTENT_ROOT_BYTES) != 0)
            continue;
        list_remove(it);
        (void)fs_copy_cancel(fs, &one->copy);
        core_free(one);
        keep_later(fs, &event);
    }
}

/* ---- drops, damage ---- */

struct removal {
    struct fs_job job;
    struct list link; /* of those that are damaged */
    struct content content;
    bool damage, was_there;
    fs_aside_fn done; /* of one that is damaged */
    void *user;
    bool unnamed; /* that is why it goes */
    int code;
};

static void removal_over(struct node_fs *fs, struct removal *removal, int code)
{
    struct keep_event event = {.type = KEEP_DROPPED, .content = removal->content, .code = code};

    list_remove(&removal->link);
    if (!removal->damage)
        keep_later(fs, &event);
    else
        removal->done(fs, removal->user, &removal->content, code);
    core_free(removal);
}

static void remove_work(struct fs_job *job)
{
    struct removal *removal = container_of(job, struct removal, job);

    removal->code = removal->damage
                        ? fs_part_kept(job->fs, &removal->content, &removal->was_there)
                        : fs_remove_kept(job->fs, removal->content.root, &removal->was_there);
}

static void remove_done(struct node_fs *fs, struct fs_job *job)
{
    struct removal *removal = container_of(job, struct removal, job);

    fs_removed(fs);
    if (removal->code == 0)
        fs_stray_forget(fs, removal->content.root);
    if (removal->was_there && fs->move->keep_bytes >= removal->content.size)
        fs->move->keep_bytes -= removal->content.size;
    removal_over(fs, removal, removal->code);
}

/* The record that says so is stored and announced; the file follows. */
static void on_unheld(struct node_fs *fs, void *user, int code, const char *text)
{
    struct removal *removal = user;
    struct fs_content_facts facts;

    (void)text;
    if (code != 0 || fs->stopping) {
        removal_over(fs, removal, code);
        return;
    }
    if (fs_catalogue_content(fs->catalogue, removal->content.root, &facts, NULL, 0) == 0 &&
        ((facts.own & FS_IN_KEEP) != 0 || (removal->unnamed && facts.live))) {
        if ((facts.own & FS_IN_KEEP) == 0) /* it is named again; else it was put here meanwhile */
            fs_stray_found(fs, removal->content.root, removal->content.size);
        removal_over(fs, removal, KITH_E_EXISTS);
        return;
    }
    fs_kept_forget(fs, removal->content.root);
    fs_removing(fs);
    removal->job.work = remove_work;
    removal->job.done = remove_done;
    fs_job_start(fs, &removal->job);
}

static bool is_live(struct node_fs *fs, const struct content *content)
{
    struct fs_content_facts facts;

    return fs_catalogue_content(fs->catalogue, content->root, &facts, NULL, 0) == 0 && facts.live;
}

static struct removal *removal_new(struct node_fs *fs, const struct content *content)
{
    struct removal *removal = core_calloc(1, sizeof(*removal));

    if (removal == NULL)
        node_state_end_process(fs->node, "memory is short: start the node again");
    removal->content = *content;
    return removal;
}

static void drop(struct node_fs *fs, const struct content *content)
{
    struct removal *removal = removal_new(fs, content);

    removal->unnamed = !is_live(fs, content);
    fs_hold(fs, content, false, on_unheld, removal);
}

bool fs_keep_is_aside(const struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES])
{
    list_for_each (it, &fs->keeping->damaged) {
        const struct removal *removal = container_of(it, struct removal, link);
        if (memcmp(removal->content.root, root, CONTENT_ROOT_BYTES) == 0)
            return true;
    }
    return false;
}

void fs_keep_set_aside(struct node_fs *fs,
                       const struct content *content,
                       fs_aside_fn done,
                       void *user)
{
    struct removal *removal = removal_new(fs, content);

    removal->damage = true;
    removal->done = done;
    removal->user = user;
    list_append(&fs->keeping->damaged, &removal->link);
    fs_hold(fs, content, false, on_unheld, removal);
}

static void fetch_again(struct node_fs *fs, void *user, const struct content *content, int code)
{
    (void)user;
    if (code == 0 && !fs->stopping && is_live(fs, content))
        fetch(fs, content, true);
}

void fs_keep_damage(struct node_fs *fs, const struct content *content)
{
    struct buf path = {0};

    if (fs_keep_is_aside(fs, content->root))
        return;
    fs_content_path(fs, content->root, &path);
    log_warn(&fs->node->log.log, "files",
             "a copy that is kept here is damaged on disk; it is set aside, and fetched again from "
             "others if they have it",
             "path", path.data != NULL ? (const char *)path.data : "?", NULL);
    buf_deinit(&path);
    fs_keep_set_aside(fs, content, fetch_again, NULL);
}

/* ---- readings ---- */

struct scrub {
    struct fs_job job;
    struct content content;
    struct fs_where where;
    uint64_t bytes;
    int code;
};

static void scrub_work(struct fs_job *job)
{
    struct scrub *scrub = container_of(job, struct scrub, job);

    scrub->code = fs_verify_where(job->fs, &scrub->where, &scrub->content, NULL, &scrub->bytes);
}

/* What is in a folder is its user's: it is said, and left as it is. */
static void say_damaged(struct node_fs *fs, const struct content *content, int code)
{
    struct buf path = {0};

    fs_content_path(fs, content->root, &path);
    log_warn(&fs->node->log.log, "files",
             "a file in a folder of this node is not what it was when it was published, though its "
             "size and times are: others get it elsewhere; compare it, and save it anew",
             "path", path.data != NULL ? (const char *)path.data : "?", "reason",
             kith_strerror(code), NULL);
    buf_deinit(&path);
}

/* It says nothing of the copy. */
static bool was_not_read(int code)
{
    return code == KITH_E_AGAIN || code == KITH_E_CANCELED || code == KITH_E_MEMORY;
}

static void scrub_done(struct node_fs *fs, struct fs_job *job)
{
    struct scrub *scrub = container_of(job, struct scrub, job);
    struct fs_kept *kept = fs_kept_find(fs, scrub->content.root);
    struct keep_event event = {
        .type = KEEP_SCRUBBED, .content = scrub->content, .code = scrub->code};

    if (was_not_read(scrub->code)) {
        event.code = 0;
    } else if (!scrub->where.keep && scrub->code != 0) {
        if (scrub->code == KITH_E_CORRUPT)
            say_damaged(fs, &scrub->content, scrub->code);
        event.code = 0;
    }
    if (scrub->code == 0 && kept != NULL) {
        kept->scrubbed_wall_ms = node_turn_unix_ms(fs->node);
        fs_kept_store(fs, kept);
    }
    fs_where_deinit(&scrub->where);
    core_free(scrub);
    if (!fs->stopping)
        keep_later(fs, &event);
}

static void scrub(struct node_fs *fs, const struct keep_action *action)
{
    struct scrub *one = core_calloc(1, sizeof(*one));

    if (one == NULL)
        node_state_end_process(fs->node, "memory is short: start the node again");
    one->content = action->content;
    if (!fs_where_is(fs, &one->content, &one->where))
        one->where.keep = true; /* and if it is not there, that is found */
    one->job.work = scrub_work;
    one->job.done = scrub_done;
    fs_job_start(fs, &one->job);
}

/* ---- doubts ---- */

void fs_keep_doubt(struct node_fs *fs,
                   const struct kith_node_id *peer,
                   const struct content *content,
                   uint32_t chunk)
{
    uint8_t body[KEEP_DOUBT_BYTES];

    keep_doubt_encode(content->root, chunk, body);
    node_state_send(fs->node, peer, FRAME_FS_KEEP, body, sizeof(body));
}

static void doubted(struct node_fs *fs, const struct keep_action *action)
{
    struct fs_content_facts facts;
    char digits[KITH_NODE_ID_DIGITS + 1];
    struct buf path = {0};

    if (fs_catalogue_content(fs->catalogue, action->root, &facts, NULL, 0) != 0 ||
        facts.own == FS_NOWHERE)
        return;
    fs_content_path(fs, action->root, &path);
    log_warn(&fs->node->log.log, "files",
             "a node says that it was sent damaged data from here: the copy is read again", "node",
             fs_node_name(fs, &action->peer, digits), "path",
             path.data != NULL ? (const char *)path.data : "?", NULL);
    buf_deinit(&path);
    fs_keep_content(fs, &facts.content);
}

/* Where it is, really: on the disk. */
struct place_check {
    struct fs_job job;
    uint64_t token;
    struct content content;
    struct fs_where where;
    bool known;
    uint8_t place;
};

static void place_work(struct fs_job *job)
{
    struct place_check *check = container_of(job, struct place_check, job);
    uint8_t byte;
    uint64_t len = check->content.size > 0 ? 1 : 0;

    check->place = KEEP_NOWHERE;
    if (check->known && fs_where_read(job->fs->move->files, &check->where, &check->content,
                                      check->content.size - len, &byte, (size_t)len) == 0)
        check->place = check->where.keep ? KEEP_KEEP : KEEP_FOLDER;
}

static void place_done(struct node_fs *fs, struct fs_job *job)
{
    struct place_check *check = container_of(job, struct place_check, job);
    struct keep_event event = {.type = KEEP_CHECKED, .token = check->token, .place = check->place};

    fs_where_deinit(&check->where);
    core_free(check);
    if (!fs->stopping)
        keep_later(fs, &event);
}

static void check_place(struct node_fs *fs, const struct keep_action *action)
{
    struct place_check *check = core_calloc(1, sizeof(*check));
    struct fs_content_facts facts;

    if (check == NULL)
        node_state_end_process(fs->node, "memory is short: start the node again");
    check->token = action->token;
    if (fs_catalogue_content(fs->catalogue, action->root, &facts, NULL, 0) == 0) {
        check->content = facts.content;
        /* What no record tells of is not to be counted on, though it may be read for a while. */
        check->known =
            facts.live && facts.own != FS_NOWHERE && fs_where_is(fs, &facts.content, &check->where);
    }
    check->job.work = place_work;
    check->job.done = place_done;
    fs_job_start(fs, &check->job);
}

static void note(struct node_fs *fs, const struct keep_action *action)
{
    struct fs_kept *kept = fs_kept_get(fs, &action->content);

    if (kept == NULL)
        return;
    kept->unreferenced_wall_ms = action->wall_ms;
    fs_kept_store(fs, kept);
}

/* ---- the core ---- */

static void do_action(struct node_fs *fs, const struct keep_action *action)
{
    switch (action->type) {
    case KEEP_SEND:
        node_state_send(fs->node, &action->peer, FRAME_FS_KEEP, action->data.data,
                        action->data.len);
        break;
    case KEEP_FETCH:
        fetch(fs, &action->content, action->repair);
        break;
    case KEEP_DROP:
        drop(fs, &action->content);
        break;
    case KEEP_NOTE:
        note(fs, action);
        break;
    case KEEP_ADOPT:
        fs_stray_adopt(fs, &action->content);
        break;
    case KEEP_SCRUB:
        scrub(fs, action);
        break;
    case KEEP_DAMAGE:
        fs_keep_damage(fs, &action->content);
        break;
    case KEEP_CHECK:
        check_place(fs, action);
        break;
    case KEEP_DOUBT:
        doubted(fs, action);
        break;
    case KEEP_SCARCE:
        break; /* kith fs ls says of each file who has it */
    }
}

static void keep_do(struct node_fs *fs, struct keep_event *event)
{
    struct keep_output out;

    event->now_ms = node_boot_ms();
    event->wall_ms = node_turn_unix_ms(fs->node);
    fs_enter(fs);
    assert(!fs->keeping->stepping);
    fs->keeping->stepping = true;
    (void)keep_step(fs->move->keep, event, &out);
    for (size_t i = 0; i < out.actions_n; i++)
        do_action(fs, &out.actions[i]);
    fs->keeping->stepping = false;
    fs_leave(fs);
}

void fs_keep_link(struct node_fs *fs, const struct kith_node_id *id, bool up)
{
    keep_do(fs, &(struct keep_event){.type = up ? KEEP_NODE_UP : KEEP_NODE_DOWN, .peer = *id});
}

void fs_keep_forget(struct node_fs *fs, const struct kith_node_id *id)
{
    keep_do(fs, &(struct keep_event){.type = KEEP_NODE_GONE, .peer = *id});
}

void fs_keep_frame(struct node_fs *fs, const struct kith_node_id *from, struct kith_bytes data)
{
    keep_do(fs, &(struct keep_event){.type = KEEP_RECV, .peer = *from, .data = data});
}

void fs_keep_adopted(struct node_fs *fs, const struct content *content, int code)
{
    keep_later(fs, &(struct keep_event){.type = KEEP_ADOPTED, .content = *content, .code = code});
}

void fs_keep_tick(struct node_fs *fs, uint64_t now_ms)
{
    if (keep_deadline_ms(fs->move->keep) <= now_ms)
        keep_do(fs, &(struct keep_event){.type = KEEP_TICK});
}

uint64_t fs_keep_deadline_ms(struct node_fs *fs)
{
    return keep_deadline_ms(fs->move->keep);
}

/* Once a second: the next part of a round through all contents in KEEP_ROUND_MS. */
void fs_keep_sample(struct node_fs *fs)
{
    struct catalogue_stats stats;
    struct content content;

    fs_catalogue_stats(fs->catalogue, &stats);
    uint64_t n = stats.contents * 1000 / KEEP_ROUND_MS + 1;
    fs_enter(fs);
    keep_do(fs, &(struct keep_event){.type = KEEP_USED,
                                     .bytes = fs->move->keep_bytes,
                                     .full = fs->node->state.disk_full});
    for (uint64_t i = 0; i < n; i++) {
        if (!fs_catalogue_content_next(fs->catalogue, &fs->keeping->round_at, &content)) {
            fs->keeping->round_at = 0;
            break;
        }
        fs_keep_look(fs, &content);
    }
    fs_pins_look(fs);
    fs_keep_rest_tick(fs);
    fs_strays_look(fs);
    fs_sweep_tick(fs);
    fs_tidy_tick(fs);
    fs_leave(fs);
}

/* ---- life ---- */

static int
on_keep_file(void *user, const uint8_t root[FS_ROOT_BYTES], uint32_t chunk, uint64_t bytes)
{
    struct fs_move *move = user;

    (void)root;
    (void)chunk;
    move->keep_bytes += bytes;
    return 0;
}

int fs_keep_open(struct node_fs *fs)
{
    uint32_t heal_ms = (uint32_t)config_duration_ms(fs->node->config, "fs.heal_after");
    struct keep_config config = {.self = fs->node->identity.id,
                                 .stable_ms = heal_ms,
                                 .gone_ms = heal_ms,
                                 .bytes_max = UINT64_MAX,
                                 .unreferenced_ms = FS_TRASH_MS}; /* what is deleted comes back */

    list_init(&fs->copies);
    list_init(&fs->restless);
    fs->keeping = core_calloc(1, sizeof(*fs->keeping));
    if (fs->keeping == NULL)
        return KITH_E_MEMORY;
    list_init(&fs->keeping->damaged);
    int r = keep_new(&fs->move->keep, &config);
    if (r == 0)
        r = fs_sweep_open(fs);
    return r == 0 ? fs_content_each(fs->move->files, FS_ROOM_KEEP, on_keep_file, fs->move) : r;
}

/* A file of which no record tells: the process ended between the two, or the store is not the one
 * that was beside it. */
static int
on_kept_file(void *user, const uint8_t root[FS_ROOT_BYTES], uint32_t chunk, uint64_t bytes)
{
    struct node_fs *fs = user;
    struct fs_content_facts facts;

    (void)chunk;
    if (fs_catalogue_content(fs->catalogue, root, &facts, NULL, 0) != 0 ||
        (facts.own & FS_IN_KEEP) == 0)
        fs_stray_found(fs, root, bytes);
    return 0;
}

/* What was begun of a content that no version names any more: nobody goes on with it. */
static int
on_part_file(void *user, const uint8_t root[FS_ROOT_BYTES], uint32_t chunk, uint64_t bytes)
{
    struct node_fs *fs = user;
    struct fs_content_facts facts;

    (void)bytes;
    if (fs_catalogue_content(fs->catalogue, root, &facts, NULL, 0) != 0 || !facts.live)
        (void)fs_content_remove(fs->move->files, FS_ROOM_PART, root, chunk);
    return 0;
}

void fs_keep_first(struct node_fs *fs)
{
    (void)fs_content_each(fs->move->files, FS_ROOM_KEEP, on_kept_file, fs);
    (void)fs_content_each(fs->move->files, FS_ROOM_PART, on_part_file, fs);
    fs_tidy_first(fs);
    keep_do(fs, &(struct keep_event){.type = KEEP_START});
}

void fs_keep_stop(struct node_fs *fs)
{
    struct list *first;

    while ((first = list_first(&fs->copies)) != NULL) {
        struct keep_copy *one = container_of(first, struct keep_copy, link);
        list_remove(first);
        (void)fs_copy_cancel(fs, &one->copy);
        core_free(one);
    }
}

void fs_keep_deinit(struct node_fs *fs)
{
    fs_keep_rest_deinit(fs);
    fs_kept_deinit(fs);
    fs_strays_deinit(fs);
    fs_sweep_deinit(fs);
    core_free(fs->keeping);
    keep_free(fs->move->keep);
}

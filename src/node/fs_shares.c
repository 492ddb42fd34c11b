/*
 * Shares of this node: adding, ending, listing, confirming; and what the store remembers of them:
 * STORE_KEY_FS 'a' NAME -> u8 format, u8 mode, u8 replicas, u64 number of the folder, path.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_folder.h"
#include "node/fs_keep.h"
#include "node/fs_pins.h"
#include "node/internal.h"

#define FORMAT       1
#define HEAD_BYTES   11
#define WALK_AT_ONCE 256

/* ---- the store ---- */

static size_t key_of(const char *name, uint8_t key[2 + FS_SHARE_BYTES_MAX])
{
    size_t len = strlen(name);

    key[0] = STORE_KEY_FS;
    key[1] = 'a';
    for (size_t i = 0; i < len; i++)
        key[2 + i] = (uint8_t)name[i];
    return 2 + len;
}

static void share_store(struct node_fs *fs, const struct fs_here *here)
{
    uint8_t key[2 + FS_SHARE_BYTES_MAX],
        head[HEAD_BYTES] = {FORMAT, (uint8_t)here->mode, here->replicas};
    size_t key_len = key_of(here->name, key);
    struct buf value = {0};

    put_le64(head + 3, here->number);
    if (buf_append(&value, head, sizeof(head)) != 0 ||
        buf_append(&value, here->path, strlen(here->path)) != 0)
        node_state_end_process(fs->node, "memory is short: start the node again");
    fs_put(fs, (struct kith_bytes){key, key_len}, (struct kith_bytes){value.data, value.len});
    buf_deinit(&value);
}

static void share_unstore(struct node_fs *fs, const char *name)
{
    uint8_t key[2 + FS_SHARE_BYTES_MAX];
    size_t key_len = key_of(name, key);

    fs_put(fs, (struct kith_bytes){key, key_len}, (struct kith_bytes){NULL, 0});
}

static int recall_share(struct node_fs *fs, const struct store_entry *entry)
{
    const uint8_t *value = entry->value.data;
    char name[FS_SHARE_BYTES_MAX + 1] = "", path[PATH_MAX] = "";
    struct fs_here_config config = {.name = name, .path = path};
    struct fs_here *here;
    size_t name_len = entry->key.len - 2;

    if (name_len == 0 || name_len > FS_SHARE_BYTES_MAX || entry->value.len <= HEAD_BYTES ||
        entry->value.len - HEAD_BYTES >= sizeof(path) || value[0] != FORMAT ||
        value[1] > KITH_SHARE_SYNC)
        return 0; /* of a later version */
    memcpy(name, (const char *)entry->key.data + 2, name_len);
    memcpy(path, value + HEAD_BYTES, entry->value.len - HEAD_BYTES);
    config.mode = (enum kith_share_mode)value[1];
    config.replicas = value[2];
    config.number = get_le64(value + 3);
    return fs_here_new(fs, &config, &here);
}

int fs_local_recall(struct node_fs *fs, const struct store_entry *entry)
{
    const char *key = entry->key.data;

    if (entry->key.len < 3)
        return 0;
    switch (key[1]) {
    case 'a':
        return recall_share(fs, entry);
    case 'k':
        return fs_kept_recall(fs, entry);
    case 'l':
        return fs_local_recall_entry(fs, entry);
    case 'p':
        return fs_pins_recall(fs, entry);
    default:
        return 0;
    }
}

/* ---- adding ---- */

struct add {
    struct fs_op *op; /* NULL: given up; the share comes all the same */
    struct fs_job job;
    struct fs_publishing publishing;
    int code;
    char text[512];
    char name[FS_SHARE_BYTES_MAX + 1];
    char path[PATH_MAX]; /* resolved */
    enum kith_share_mode mode;
    uint8_t replicas;
    char data_dir[PATH_MAX];
};

static void add_fail(struct add *add, int code, const char *text)
{
    if (add->code == 0) {
        add->code = code;
        snprintf(add->text, sizeof(add->text), "%s", text);
    }
}

static bool is_within(const char *outer, const char *inner)
{
    size_t len = strlen(outer);

    return strncmp(outer, inner, len) == 0 &&
           (inner[len] == '\0' || inner[len] == '/' || strcmp(outer, "/") == 0);
}

/* On a thread: the folder must be there, and hold none of the node's own files, its keys least. */
static void add_work(struct fs_job *job)
{
    struct add *add = container_of(job, struct add, job);
    char own[PATH_MAX];
    struct fs_folder folder;
    char path[PATH_MAX];
    int r;

    if (realpath(add->path, path) == NULL) {
        char text[512];
        snprintf(text, sizeof(text), "%.400s cannot be shared: %s", add->path, strerror(errno));
        add_fail(add, errno == EACCES ? KITH_E_PERMISSION : KITH_E_NOT_FOUND, text);
        return;
    }
    memcpy(add->path, path, sizeof(path));
    r = fs_folder_open(&folder, path);
    if (r != 0) {
        add_fail(add, r, kith_errmsg());
        return;
    }
    fs_folder_close(&folder);
    if (realpath(add->data_dir, own) != NULL && (is_within(path, own) || is_within(own, path)))
        add_fail(add, KITH_E_PERMISSION,
                 "the data directory of this node, which has its keys, lies in that folder or "
                 "holds it: share another one");
}

static void add_end(struct add *add)
{
    struct fs_op *op = add->op;
    int code = add->code;
    char text[512];

    memcpy(text, add->text, sizeof(text));
    core_free(add);
    if (op == NULL)
        return;
    struct fs_box *box = code == 0 ? fs_box_new() : NULL;
    op->stop = NULL;
    if (box != NULL)
        fs_op_done(op, box);
    else
        fs_op_fail(op, code != 0 ? code : KITH_E_MEMORY, text[0] != '\0' ? text : NULL);
}

static void on_root(struct node_fs *fs,
                    struct fs_publishing *publishing,
                    int code,
                    const char *text,
                    uint64_t version_id)
{
    struct add *add = container_of(publishing, struct add, publishing);
    struct fs_here *here = fs_here_find(fs, add->name, strlen(add->name));

    (void)version_id;
    if (code != 0)
        add_fail(add, code, text);
    if (here != NULL && code == 0) {
        fs_here_start(here);
    } else if (here != NULL) {
        share_unstore(fs, here->name);
        fs_put_flush(fs);
        fs_here_close(here);
    }
    add_end(add);
}

static struct fs_here *shares_folder(struct node_fs *fs, const char *path, size_t *n_out)
{
    struct fs_here *same = NULL;

    *n_out = 0;
    list_for_each (it, &fs->local->folders) {
        struct fs_here *here = container_of(it, struct fs_here, link);
        if (here->closing)
            continue;
        (*n_out)++;
        if (strcmp(here->path, path) == 0)
            same = here;
    }
    return same;
}

static int add_check(struct node_fs *fs, const struct add *add)
{
    size_t n;
    const struct fs_here *same = shares_folder(fs, add->path, &n);
    const struct fs_here *other = fs_here_find(fs, add->name, strlen(add->name));

    if (other != NULL)
        return kith_fail_with(
            KITH_E_EXISTS,
            "this node shares %s under the name %s already; kith share rm %s ends "
            "that",
            other->path, other->name, other->name);
    if (same != NULL)
        return kith_fail_with(KITH_E_EXISTS, "%s is shared as %s already", add->path, same->name);
    if (n >= FS_FOLDERS_MAX)
        return kith_fail_with(
            KITH_E_LIMIT, "this node shares %d folders, which is the limit; share one above them",
            FS_FOLDERS_MAX);
    return 0;
}

/* The name of the folder is kept first, then the root of the share is published; when that is
 * durable both are, and the folder is looked at. */
static void add_done(struct node_fs *fs, struct fs_job *job)
{
    struct add *add = container_of(job, struct add, job);
    struct fs_here_config config = {
        .name = add->name, .path = add->path, .mode = add->mode, .replicas = add->replicas};
    struct fs_here *here;
    int r = add->code;

    if (r == 0 && fs->stopping)
        add_fail(add, r = KITH_E_STOPPED, "the node stops");
    if (r == 0) {
        r = add_check(fs, add);
        randombytes_buf(&config.number, sizeof(config.number));
        if (r == 0)
            r = fs_here_new(fs, &config, &here);
        if (r != 0)
            add_fail(add, r, kith_errmsg());
    }
    if (r != 0) {
        add_end(add);
        return;
    }
    share_store(fs, here);
    add->publishing.done = on_root;
    add->publishing.publication = (struct fs_publication){.change = FS_PUT,
                                                          .basis = FS_ON_CURRENT,
                                                          .place = FS_IN_FOLDER,
                                                          .kind = FS_DIRECTORY,
                                                          .replicas = add->replicas,
                                                          .share = here->name,
                                                          .share_len = (uint32_t)strlen(here->name),
                                                          .path = "",
                                                          .mode = 0755};
    if (fs_publish(fs, &add->publishing) != 0)
        node_state_end_process(fs->node, "memory is short: start the node again");
}

static void on_bare_root(struct node_fs *fs,
                         struct fs_publishing *publishing,
                         int code,
                         const char *text,
                         uint64_t version_id)
{
    struct add *add = container_of(publishing, struct add, publishing);

    (void)fs;
    (void)version_id;
    if (code != 0)
        add_fail(add, code, text);
    add_end(add);
}

/* A share without a folder: only its root is published, unless somebody has done so. */
static void add_bare(struct node_fs *fs, struct add *add)
{
    struct kith_bytes name = {add->name, strlen(add->name)};
    struct fs_entry entry;

    if (fs_catalogue_stat(fs->catalogue, name, (struct kith_bytes){"", 0}, &entry) == 0) {
        add_end(add);
        return;
    }
    add->publishing.done = on_bare_root;
    add->publishing.publication = (struct fs_publication){.change = FS_PUT,
                                                          .basis = FS_ON_CURRENT,
                                                          .place = FS_IN_KEEP,
                                                          .kind = FS_DIRECTORY,
                                                          .replicas = add->replicas,
                                                          .share = add->name,
                                                          .share_len = (uint32_t)name.len,
                                                          .path = "",
                                                          .mode = 0755};
    if (fs_publish(fs, &add->publishing) != 0)
        node_state_end_process(fs->node, "memory is short: start the node again");
}

static void add_stop(struct fs_op *op)
{
    ((struct add *)op->state)->op = NULL;
}

static void share_add(struct node_fs *fs, struct fs_op *op)
{
    struct add *add = core_calloc(1, sizeof(*add));
    const char *local = op->op.local != NULL ? op->op.local : "";
    int r = add == NULL ? KITH_E_MEMORY : fs_share_check(op->op.path, strlen(op->op.path));

    if (r == 0 && strlen(local) >= sizeof(add->path))
        r = kith_fail_with(KITH_E_TOO_LARGE, "%s is too long a path", local);
    if (r != 0) {
        core_free(add);
        fs_op_fail(op, r, NULL);
        return;
    }
    add->op = op;
    snprintf(add->name, sizeof(add->name), "%s", op->op.path);
    snprintf(add->path, sizeof(add->path), "%s", local);
    snprintf(add->data_dir, sizeof(add->data_dir), "%s", fs->node->dir.path);
    add->mode = op->op.share.mode;
    add->replicas = (uint8_t)op->op.share.replicas;
    add->job.work = add_work;
    add->job.done = add_done;
    op->state = add;
    op->stop = add_stop;
    if (op->op.local == NULL)
        add_bare(fs, add);
    else
        fs_job_start(fs, &add->job);
}

/* ---- ending ---- */

struct release {
    struct fs_publishing publishing;
    struct ending *ending;
    char path[FS_PATH_BYTES_MAX + 1];
};

/* All that this disk has of the share is released, some at a time. */
struct ending {
    struct fs_op *op;
    char name[FS_SHARE_BYTES_MAX + 1];
    struct fs_listing at;
    bool root_done, walked;
    uint32_t under_way;
    int code;
    char text[256];
};

static void ending_go(struct node_fs *fs, struct ending *ending);

static void on_released(struct node_fs *fs,
                        struct fs_publishing *publishing,
                        int code,
                        const char *text,
                        uint64_t version_id)
{
    struct release *release = container_of(publishing, struct release, publishing);
    struct ending *ending = release->ending;

    (void)version_id;
    if (code != 0 && code != KITH_E_NOT_FOUND && ending->code == 0) {
        ending->code = code;
        snprintf(ending->text, sizeof(ending->text), "%s", text);
    }
    core_free(release);
    if (--ending->under_way == 0)
        ending_go(fs, ending);
}

static void release_one(struct node_fs *fs, struct ending *ending, const char *path, size_t len)
{
    struct release *release = core_calloc(1, sizeof(*release));

    if (release == NULL)
        node_state_end_process(fs->node, "memory is short: start the node again");
    memcpy(release->path, path, len);
    release->ending = ending;
    release->publishing.done = on_released;
    release->publishing.publication =
        (struct fs_publication){.change = FS_RELEASE,
                                .share = ending->name,
                                .share_len = (uint32_t)strlen(ending->name),
                                .path = release->path,
                                .path_len = (uint32_t)len};
    ending->under_way++;
    if (fs_publish(fs, &release->publishing) != 0)
        node_state_end_process(fs->node, "memory is short: start the node again");
}

static void ending_end(struct ending *ending)
{
    struct fs_op *op = ending->op;

    if (op != NULL) {
        struct fs_box *box = ending->code == 0 ? fs_box_new() : NULL;
        op->stop = NULL;
        if (box != NULL)
            fs_op_done(op, box);
        else
            fs_op_fail(op, ending->code != 0 ? ending->code : KITH_E_MEMORY, ending->text);
    }
    core_free(ending);
}

static void release_page(struct node_fs *fs, struct ending *ending)
{
    struct fs_walk walk = {
        .share = {ending->name, strlen(ending->name)}, .path = {"", 0}, .flags = FS_WALK_OWN};
    struct fs_walked *walked = core_calloc(WALK_AT_ONCE, sizeof(*walked));
    size_t n = 0;

    while (walked != NULL && n == 0 && !ending->at.ended) {
        if (fs_catalogue_walk(fs->catalogue, &walk, &ending->at, walked, WALK_AT_ONCE, &n) != 0)
            break;
        for (size_t i = 0; i < n; i++) {
            if (walked[i].path_len > 0)
                release_one(fs, ending, walked[i].path, walked[i].path_len);
        }
    }
    ending->walked = walked == NULL || ending->at.ended || n == 0;
    core_free(walked);
}

static void ending_go(struct node_fs *fs, struct ending *ending)
{
    fs_enter(fs);
    ending->under_way++; /* ours, so that it is not over before this is */
    while (!ending->walked && ending->code == 0 && ending->under_way == 1)
        release_page(fs, ending);
    if (ending->walked && !ending->root_done && ending->under_way == 1) {
        ending->root_done = true;
        release_one(fs, ending, "", 0);
    }
    bool over = --ending->under_way == 0;
    if (over)
        ending_end(ending);
    fs_leave(fs);
}

static void ending_stop(struct fs_op *op)
{
    ((struct ending *)op->state)->op = NULL;
}

static int no_folder(const char *name)
{
    return kith_fail_with(KITH_E_NOT_FOUND,
                          "this node shares no folder as %s; kith share ls shows which it does",
                          name);
}

static void share_rm(struct node_fs *fs, struct fs_op *op)
{
    struct fs_here *here = fs_here_find(fs, op->op.path, strlen(op->op.path));
    struct ending *ending = here != NULL ? core_calloc(1, sizeof(*ending)) : NULL;

    if (ending == NULL) {
        fs_op_fail(op, here == NULL ? no_folder(op->op.path) : KITH_E_MEMORY, NULL);
        return;
    }
    ending->op = op;
    snprintf(ending->name, sizeof(ending->name), "%s", here->name);
    op->state = ending;
    op->stop = ending_stop;
    share_unstore(fs, here->name);
    /* What the store knows of its files goes when the node starts and finds no such folder. */
    fs_here_close(here);
    ending_go(fs, ending);
}

/* ---- confirming ---- */

static void share_confirm(struct node_fs *fs, struct fs_op *op)
{
    struct fs_here *here = fs_here_find(fs, op->op.path, strlen(op->op.path));
    struct fs_box *box;

    if (here == NULL) {
        fs_op_fail(op, no_folder(op->op.path), NULL);
        return;
    }
    kith_errmsg_clear();
    int r = fs_here_confirm(here);
    box = r == 0 ? fs_box_new() : NULL;
    if (box != NULL)
        fs_op_done(op, box);
    else
        fs_op_fail(op, r != 0 ? r : KITH_E_MEMORY, NULL);
}

/* ---- listing ---- */

struct listing {
    struct node_fs *fs;
    struct fs_box *box;
    struct kith_share_info *shares;
    size_t n, cap;
    const char *only; /* "": all */
};

static int put_nodes(struct listing *listing, struct kith_share_info *info)
{
    struct node_fs *fs = listing->fs;
    struct kith_bytes share = {info->name, strlen(info->name)};
    const char **names = arena_alloc(&listing->box->arena, FS_KEEP_HOLDERS_MAX * sizeof(*names));
    struct fs_entry entry;
    struct member *member;
    size_t at = 0;
    char digits[KITH_NODE_ID_DIGITS + 1];

    if (names == NULL)
        return KITH_E_MEMORY;
    while ((member = member_next(fs->node->members, &at)) != NULL &&
           info->nodes_n < FS_KEEP_HOLDERS_MAX) {
        if (member->facts.role == KITH_ROLE_PROGRAM ||
            fs_catalogue_stat_at(fs->catalogue, share, (struct kith_bytes){"", 0}, &member->id,
                                 &entry) != 0)
            continue;
        names[info->nodes_n] = fs_box_text(listing->box, fs_node_name(fs, &member->id, digits));
        if (names[info->nodes_n++] == NULL)
            return KITH_E_MEMORY;
    }
    info->nodes = names;
    return 0;
}

static const char *clean(struct fs_box *box, const char *name, size_t len)
{
    char *copy = arena_alloc(&box->arena, len + 1);

    for (size_t i = 0; copy != NULL && i < len; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            copy[i] = '?';
        else
            copy[i] = name[i];
    }
    if (copy != NULL)
        copy[len] = '\0';
    return copy;
}

static int put_problems(struct listing *listing, struct fs_here *here, struct kith_share_info *info)
{
    struct kith_share_problem *problems =
        arena_alloc(&listing->box->arena, FS_PROBLEMS_MAX * sizeof(*problems));
    struct local_problem problem;

    if (problems == NULL)
        return KITH_E_MEMORY;
    while (info->problems_n < FS_PROBLEMS_MAX &&
           local_problem(here->core, info->problems_n, &problem)) {
        struct kith_share_problem *out = &problems[info->problems_n++];
        out->path = clean(listing->box, problem.name, problem.name_len);
        out->text = fs_box_text(listing->box, problem.text);
        if (out->path == NULL || out->text == NULL)
            return KITH_E_MEMORY;
    }
    info->problems = problems;
    return 0;
}

static int put_folder(struct listing *listing, struct fs_here *here, struct kith_share_info *info)
{
    static const enum kith_share_state states[] = {
        [LOCAL_SCANNING] = KITH_SHARE_SCANNING,
        [LOCAL_WATCHED] = KITH_SHARE_WATCHED,
        [LOCAL_AWAY] = KITH_SHARE_AWAY,
        [LOCAL_HELD] = KITH_SHARE_HELD,
    };
    struct local_stats stats;

    local_stats(here->core, &stats);
    info->folder = fs_box_text(listing->box, here->path);
    info->mode = here->mode;
    info->state = stats.state != 0 ? states[stats.state] : KITH_SHARE_SCANNING;
    /* What is being read is not in the catalogue yet. */
    if (info->state == KITH_SHARE_WATCHED && stats.settling + stats.hashing + stats.publishing > 0)
        info->state = KITH_SHARE_SCANNING;
    info->state_text = fs_box_text(listing->box, stats.state_text);
    info->scanned_n = stats.scanned;
    info->problems_all_n = stats.problems;
    if (info->folder == NULL || info->state_text == NULL)
        return KITH_E_MEMORY;
    return put_problems(listing, here, info);
}

static int put_share(struct listing *listing, const struct fs_entry *entry)
{
    struct kith_share_info *info;
    struct fs_here *here;
    int r;

    if (listing->n == listing->cap) {
        size_t cap = listing->cap == 0 ? 16 : 2 * listing->cap;
        struct kith_share_info *shares = arena_alloc(&listing->box->arena, cap * sizeof(*shares));
        if (shares == NULL)
            return KITH_E_MEMORY;
        if (listing->n > 0)
            memcpy(shares, listing->shares, listing->n * sizeof(*shares));
        listing->shares = shares;
        listing->cap = cap;
    }
    info = &listing->shares[listing->n++];
    *info = (struct kith_share_info){.folder = "",
                                     .state_text = "",
                                     .replicas = FS_REPLICAS_DEFAULT,
                                     .entries_n = entry->below_n,
                                     .bytes = entry->size};
    info->name = clean(listing->box, entry->name, entry->name_len);
    if (info->name == NULL)
        return KITH_E_MEMORY;
    if (entry->known != NULL) {
        struct fs_version version;
        fs_known_version(listing->fs->catalogue, entry->known, &version);
        if (version.replicas != 0)
            info->replicas = version.replicas;
    }
    r = put_nodes(listing, info);
    here = fs_here_find(listing->fs, info->name, strlen(info->name));
    return r == 0 && here != NULL ? put_folder(listing, here, info) : r;
}

static int list_all(struct listing *listing)
{
    struct fs_listing at = {.begun = false};
    struct fs_entry entry;
    int r = 0;

    while (r == 0 && !at.ended) {
        size_t n = 0;
        r = fs_catalogue_list(listing->fs->catalogue, (struct kith_bytes){"", 0},
                              (struct kith_bytes){"", 0}, &at, &entry, 1, &n);
        if (r != 0 || n == 0)
            break;
        if (listing->only[0] == '\0' || (strlen(listing->only) == entry.name_len &&
                                         memcmp(listing->only, entry.name, entry.name_len) == 0))
            r = put_share(listing, &entry);
    }
    return r;
}

static void share_list(struct node_fs *fs, struct fs_op *op)
{
    struct listing listing = {.fs = fs, .box = fs_box_new(), .only = op->op.path};
    int r = listing.box == NULL ? KITH_E_MEMORY : list_all(&listing);

    if (r == 0 && op->op.path[0] != '\0' && listing.n == 0)
        r = kith_fail_with(KITH_E_NOT_FOUND, "there is no share %s", op->op.path);
    if (r != 0) {
        fs_box_free(listing.box);
        fs_op_fail(op, r, NULL);
        return;
    }
    listing.box->result.shares = listing.shares;
    listing.box->result.shares_n = listing.n;
    fs_op_done(op, listing.box);
}

void fs_op_share(struct node_fs *fs, struct fs_op *op)
{
    switch (op->op.kind) {
    case KITH_FS_SHARE_ADD:
        share_add(fs, op);
        break;
    case KITH_FS_SHARE_RM:
        share_rm(fs, op);
        break;
    case KITH_FS_SHARE_CONFIRM:
        share_confirm(fs, op);
        break;
    default:
        share_list(fs, op);
        break;
    }
}

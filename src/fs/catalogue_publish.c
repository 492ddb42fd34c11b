/*
 * Publications: which version of a path comes of what a folder shows, or a user says.
 *
 * A disk has two hands. What its folder shows is made under its own id; what is changed by name is
 * made under the id with its last bit turned. Each hand's versions of one path are a line. With one
 * hand for both, an edit in a folder that has not seen what was put by name would stand as its
 * successor.
 */
#include "fs/catalogue_internal.h"

/* What is seen of a version by who makes a new one, ahead of the own clock at most so far. */
#define AHEAD_MAX_MS AVAIL_AHEAD_MAX_MS
#define MODE_MAX     07777u

static int check(const struct fs_publication *p)
{
    int r = fs_share_check(p->share, p->share_len);
    if (r == 0)
        r = fs_path_check(p->path, p->path_len);
    if (r != 0 || p->change != FS_PUT)
        return r;
    bool fine = p->kind >= FS_FILE && p->kind <= FS_SYMLINK && p->mode <= MODE_MAX &&
                (p->path_len > 0 || p->kind == FS_DIRECTORY);
    if (p->kind == FS_FILE)
        fine = fine && content_valid(&p->content);
    if (p->kind == FS_SYMLINK)
        fine = fine && p->target_len > 0 && p->target_len <= FS_TARGET_BYTES_MAX &&
               memchr(p->target, '\0', p->target_len) == NULL;
    if (fine)
        return 0;
    return kith_fail_with(
        KITH_E_INVALID, "'%.*s' cannot be published as it is described; this is a bug of this node",
        (int)(p->path_len < 200 ? p->path_len : 200), p->path);
}

static int not_found(const struct fs_publication *p, const char *what)
{
    return kith_fail_with(KITH_E_NOT_FOUND, "%.*s/%.*s: %s", (int)p->share_len, p->share,
                          (int)(p->path_len < 200 ? p->path_len : 200), p->path, what);
}

/* ---- making a version ---- */

static void
see(const struct fs_catalogue *core, struct fs_vector *vector, const struct fs_known *known)
{
    struct fs_version version;
    fsc_known_expand(core, known, &version);
    fs_vector_join(vector, &version.vector, NULL);
}

static uint32_t hand_of(const struct fs_catalogue *core, const struct fs_publication *p)
{
    return p->basis == FS_ON_OWN ? core->own->no : core->hand;
}

/* A folder has seen what it had, and whatever of others is just that: two that shared equal files
 * before they knew each other have no conflict when one of them goes on. */
static bool is_seen(const struct fs_publication *p,
                    const struct fs_known *known,
                    const struct fs_known *mine,
                    const struct fs_known *current)
{
    if ((known->flags & FS_KNOWN_MAXIMAL) == 0)
        return false;
    if (p->basis == FS_ON_OWN)
        return mine != NULL && fsc_same(mine, known);
    return p->basis == FS_ON_ALL || known->kind == FS_DELETED ||
           (current != NULL && fsc_same(current, known));
}

/* What the new version has seen, and the moment that follows. */
static void set_vector(struct fs_catalogue *core,
                       const struct fs_publication *p,
                       const struct fs_node *node,
                       const struct fs_known *mine,
                       struct fs_version *v)
{
    uint32_t hand = hand_of(core, p);
    const struct fs_known *current = fsc_current(core, node);
    uint64_t counter = 0;
    uint64_t moment = core->wall_ms << 16;
    uint64_t most = (core->wall_ms + AHEAD_MAX_MS) << 16;
    for (const struct fs_known *known = fsc_versions(core, node); known != NULL;
         known = fsc_older(core, known)) {
        bool of_hand = core->writers[known->author].disk == hand;
        uint64_t at = fsc_counter_of(known, hand);
        counter = at > counter ? at : counter;
        if (!of_hand && known != mine && !is_seen(p, known, mine, current))
            continue;
        see(core, &v->vector, known);
        if (known->moment >= moment)
            moment = known->moment + 1 < most ? known->moment + 1 : most;
    }
    if (moment <= core->last_moment)
        moment = core->last_moment + 1;
    core->last_moment = moment;
    v->moment = moment;
    v->author = core->config.self;
    v->author.disk = core->disks[hand]->id;
    /* The counter goes on from all that is known of it, seen or not: none is used twice. */
    uint64_t least = MUTANT(FS_NO_CLOCK_FLOOR) ? 0 : core->wall_ms;
    least = counter + 1 > least ? counter + 1 : least;
    (void)fs_vector_advance(&v->vector, &v->author.disk, least);
}

static struct fs_record *
own_record(const struct fs_catalogue *core, const struct fs_node *node, uint8_t line)
{
    struct fs_record *record = fsc_record(core, fsc_record_find(core, node, core->own->no, line));
    return record != NULL && (record->flags & FS_RECORD_GONE) == 0 ? record : NULL;
}

static int add(struct fs_catalogue *core, const struct fs_own *op)
{
    return fsc_own_add(core, op) ? 0 : kith_fail_with(KITH_E_MEMORY, "out of memory");
}

static uint8_t free_extra_line(const struct fs_catalogue *core, const struct fs_node *node)
{
    uint8_t line = FS_LINE_EXTRA;
    while (line < FS_LINES_N - 1 && own_record(core, node, line) != NULL)
        line++;
    return line;
}

/* What is deleted by name and is in the keep of this disk stays with it until the keep lets it go:
 * without a record nobody could bring it back. */
static int keep_deleted(struct fs_catalogue *core, struct fs_node *node)
{
    const struct fs_record *record = own_record(core, node, FS_LINE_PUT);
    struct fs_known *known = record != NULL ? fsc_named(core, record) : NULL;
    if (known == NULL || known->blob.at == 0 ||
        (fsc_blob_of(core, known)->flags & FS_BLOB_KEPT) == 0)
        return 0;
    struct fs_own extra = {
        .node = node, .known = known, .flags = FS_IN_KEEP, .line = free_extra_line(core, node)};
    return add(core, &extra);
}

/* The record that says so. A file that is put by name into this disk's folder is what the folder
 * has: what is changed there afterwards follows it. */
static uint8_t line_of(const struct fs_publication *p)
{
    bool folder = p->basis == FS_ON_OWN ||
                  (p->kind == FS_FILE && p->change == FS_PUT && (p->place & FS_IN_FOLDER) != 0);
    return folder ? FS_LINE_FOLDER : FS_LINE_PUT;
}

static int mint(struct fs_catalogue *core,
                const struct fs_publication *p,
                struct fs_node *node,
                const struct fs_known *mine,
                struct fs_version *v)
{
    set_vector(core, p, node, mine, v);
    uint64_t id = fsc_id_of(core, node, v);
    struct fs_known *known = id != 0 ? fsc_known_new(core, node, v, id) : NULL;
    void *to_sign = known != NULL ? fsc_keep(core, core->scratch.data, core->scratch.len) : NULL;
    int r = KITH_E_MEMORY;
    if (known != NULL) {
        struct fs_own op = {.node = node,
                            .known = known,
                            .id = p->id,
                            .acked = true,
                            .minted = true,
                            .to_sign = {to_sign, core->scratch.len},
                            .flags = v->kind == FS_DELETED ? FS_NOWHERE : p->place,
                            .line = line_of(p)};
        known->refs++;
        if (to_sign != NULL)
            r = add(core, &op);
        fsc_known_unref(core, known);
    }
    return r == 0 ? 0 : kith_fail_with(KITH_E_LIMIT, "no room for another version of a file here");
}

/* This disk has an existing version now. */
static int take(struct fs_catalogue *core,
                const struct fs_publication *p,
                struct fs_node *node,
                struct fs_known *known,
                uint8_t line)
{
    const struct fs_record *mine = own_record(core, node, line);
    if (mine != NULL && fsc_named(core, mine) == known &&
        (mine->flags & FS_RECORD_PLACE) == p->place) {
        fsc_published(core, p->id, 0, known->id);
        return 0;
    }
    struct fs_own op = {
        .node = node, .known = known, .id = p->id, .acked = true, .flags = p->place, .line = line};
    return add(core, &op);
}

/* ---- what is asked for ---- */

static bool says_the_same(const struct fs_catalogue *core,
                          const struct fs_publication *p,
                          const struct fs_known *known)
{
    if (known->kind != p->kind || known->mode != p->mode || known->replicas != p->replicas)
        return false;
    if (p->kind == FS_FILE) {
        struct content content = fs_blob_content(fsc_blob_of(core, known));
        return content_equal(&content, &p->content);
    }
    return p->kind != FS_SYMLINK || (known->target_len == p->target_len &&
                                     memcmp(fs_known_target(known), p->target, p->target_len) == 0);
}

/* A version that is there already and is just this; what this disk has must not stand beside it. */
static struct fs_known *equal_version(const struct fs_catalogue *core,
                                      const struct fs_publication *p,
                                      const struct fs_node *node,
                                      const struct fs_known *mine)
{
    for (struct fs_known *known = fsc_versions(core, node); known != NULL;
         known = fsc_older(core, known)) {
        if ((known->flags & FS_KNOWN_MAXIMAL) == 0 || !says_the_same(core, p, known))
            continue;
        bool follows = p->basis != FS_ON_OWN ? known == fsc_current(core, node)
                                             : mine == NULL || fsc_before(core, mine, known);
        if (follows)
            return known;
    }
    return NULL;
}

static int put(struct fs_catalogue *core, const struct fs_publication *p, struct fs_node *node)
{
    uint8_t line = line_of(p);
    const struct fs_record *record = own_record(core, node, line);
    struct fs_known *mine = record != NULL ? fsc_named(core, record) : NULL;
    if (p->basis == FS_ON_OWN && mine != NULL && says_the_same(core, p, mine) &&
        (p->kind == FS_DIRECTORY || mine->mtime_ns == p->mtime_ns))
        return take(core, p, node, mine, line);
    struct fs_known *equal = p->basis != FS_ON_ALL ? equal_version(core, p, node, mine) : NULL;
    if (equal != NULL && equal != mine)
        return take(core, p, node, equal, line);
    struct fs_version v = {.kind = p->kind,
                           .replicas = p->replicas,
                           .mode = p->mode,
                           .mtime_ns = p->mtime_ns,
                           .content = p->content};
    if (p->kind != FS_FILE)
        v.content = (struct content){0};
    if (p->kind == FS_SYMLINK) {
        v.target = p->target;
        v.target_len = p->target_len;
    }
    return mint(core, p, node, mine, &v);
}

static int delete (struct fs_catalogue *core, const struct fs_publication *p, struct fs_node *node)
{
    const struct fs_record *record = own_record(core, node, FS_LINE_FOLDER);
    struct fs_known *mine =
        p->basis == FS_ON_OWN && record != NULL ? fsc_named(core, record) : NULL;
    const struct fs_known *there = p->basis == FS_ON_OWN ? mine : fsc_current(core, node);
    if (there == NULL || there->kind == FS_DELETED)
        return not_found(p, "there is nothing to delete; list its folder to see what is there");
    for (struct fs_known *known = fsc_versions(core, node); known != NULL && mine != NULL;
         known = fsc_older(core, known)) {
        bool done = known->kind == FS_DELETED && (known->flags & FS_KNOWN_MAXIMAL) != 0 &&
                    fsc_before(core, mine, known);
        struct fs_publication nowhere = *p;
        nowhere.place = FS_NOWHERE;
        if (done)
            return take(core, &nowhere, node, known, FS_LINE_FOLDER);
    }
    struct fs_version v = {.kind = FS_DELETED, .mtime_ns = (int64_t)(core->wall_ms * 1000000)};
    int r = p->basis == FS_ON_OWN ? 0 : keep_deleted(core, node);
    return r == 0 ? mint(core, p, node, mine, &v) : r;
}

/* What only this disk names stays with it as mere knowledge, before it says that its folder is
 * gone. */
static int release(struct fs_catalogue *core, const struct fs_publication *p, struct fs_node *node)
{
    struct fs_record *record = own_record(core, node, FS_LINE_FOLDER);
    if (record == NULL) {
        fsc_published(core, p->id, 0, 0);
        return 0;
    }
    struct fs_known *known = fsc_named(core, record);
    bool kept = known->blob.at != 0 && (fsc_blob_of(core, known)->flags & FS_BLOB_KEPT) != 0;
    int r = 0;
    if (kept || (known->live_n == 1 && (known->flags & FS_KNOWN_MAXIMAL) != 0)) {
        struct fs_own extra = {.node = node,
                               .known = known,
                               .flags = kept ? FS_IN_KEEP : FS_NOWHERE,
                               .line = free_extra_line(core, node)};
        r = add(core, &extra);
    }
    struct fs_own gone = {.node = node, .id = p->id, .acked = true, .line = FS_LINE_FOLDER};
    return r == 0 ? add(core, &gone) : r;
}

static int resolve(struct fs_catalogue *core, const struct fs_publication *p, struct fs_node *node)
{
    const struct fs_known *known = fsc_known_find(core, node, p->version_id);
    if (known == NULL)
        return not_found(p, "it has no such version (any more); list its conflicts");
    struct fs_version v;
    struct fs_publication all = *p;
    fsc_known_expand(core, known, &v);
    v.vector.n = 0;
    all.basis = FS_ON_ALL;
    all.place = v.kind == FS_FILE ? p->place : FS_NOWHERE;
    /* The text of a symlink is the version's: it must not move before the copy is made. */
    return mint(core, &all, node, NULL, &v);
}

static int begin(struct fs_catalogue *core, const struct fs_publication *p, struct fs_node *node)
{
    struct fs_known *known = NULL;
    switch ((enum fs_change)p->change) {
    case FS_PUT:
        return put(core, p, node);
    case FS_DELETE:
        return delete (core, p, node);
    case FS_TAKE:
        known = fsc_known_find(core, node, p->version_id);
        if (known == NULL)
            return not_found(p, "it has no such version (any more)");
        return take(core, p, node, known, FS_LINE_FOLDER);
    case FS_RELEASE:
        return release(core, p, node);
    case FS_RESOLVE:
        return resolve(core, p, node);
    }
    return kith_fail_with(KITH_E_INVALID, "%u is no change of a file; this is a bug of this node",
                          p->change);
}

static int
only_if(const struct fs_catalogue *core, const struct fs_publication *p, const struct fs_node *node)
{
    const struct fs_known *current = fsc_current(core, node);
    if (p->only_if == 0 || (current != NULL && current->id == p->only_if) ||
        (current == NULL && p->only_if == FS_ONLY_IF_ABSENT))
        return 0;
    return kith_fail_with(
        KITH_E_FENCE, "%.*s/%.*s has another version by now; look at it and try again",
        (int)p->share_len, p->share, (int)(p->path_len < 200 ? p->path_len : 200), p->path);
}

static void
begin_or_fail(struct fs_catalogue *core, const struct fs_publication *p, struct fs_node *node)
{
    int r = only_if(core, p, node);
    if (r == 0)
        r = begin(core, p, node);
    if (r != 0)
        fsc_published(core, p->id, r, 0);
}

void fsc_publish(struct fs_catalogue *core, const struct fs_publication *publication)
{
    const struct fs_publication *p = publication;
    struct kith_bytes share = {p->share, p->share_len};
    struct kith_bytes path = {p->path, p->path_len};
    int r = check(p);
    struct fs_node *node = r == 0 ? fsc_make(core, share, path) : NULL;
    if (r == 0 && node == NULL)
        r = kith_fail_with(KITH_E_MEMORY, "out of memory");
    if (r == 0 && core->records_n >= core->config.records_max)
        r = kith_fail_with(KITH_E_LIMIT, "the catalogue of this node is full (%u records)",
                           core->config.records_max);
    if (r == 0 && (node->flags & FS_NODE_BUSY) != 0) {
        if (fsc_wait(core, node, p, NULL))
            return;
        r = kith_fail_with(KITH_E_BUSY, "%u changes of files wait here already; try again later",
                           core->waiting_n);
    }
    if (r != 0)
        fsc_published(core, p->id, r, 0);
    else
        begin_or_fail(core, p, node);
}

void fsc_hold(struct fs_catalogue *core, const struct fs_holding *holding)
{
    struct fs_blob *blob = fsc_blob_find(core, holding->root);
    if (blob == NULL) {
        int code = holding->held ? kith_fail_with(KITH_E_NOT_FOUND,
                                                  "no file has the content that is to be kept")
                                 : 0;
        fsc_published(core, holding->id, code, 0);
        return;
    }
    struct fs_ticket *ticket = core_calloc(1, sizeof(*ticket));
    if (ticket == NULL) {
        core->error = KITH_E_MEMORY;
        fsc_published(core, holding->id, KITH_E_MEMORY, 0);
        return;
    }
    *ticket = (struct fs_ticket){.id = holding->id, .left = 1};
    fs_blob_flag(blob, FS_BLOB_KEPT, holding->held);
    for (const struct fs_known *known = fsc_blob_first(core, blob); known != NULL;
         known = fsc_next_of_blob(core, known)) {
        if ((known->flags & FS_KNOWN_LINKED) != 0)
            fsc_tidy(core, fsc_known_node(core, known), ticket);
    }
    fsc_ticket_done(core, ticket, 0);
}

/* ---- waiting ---- */

static char *copy_to(char **at, const char *text, size_t len)
{
    char *to = *at;
    if (len > 0)
        memcpy(to, text, len);
    *at += len;
    return to;
}

bool fsc_wait(struct fs_catalogue *core,
              struct fs_node *node,
              const struct fs_publication *publication,
              struct fs_ticket *ticket)
{
    const struct fs_publication *p = publication;
    size_t more = p != NULL ? (size_t)p->share_len + p->path_len + p->target_len : 0;
    if (p != NULL && core->waiting_n >= FS_PUBLICATIONS_MAX)
        return false;
    struct fs_waiting *waiting = core_calloc(1, sizeof(*waiting) + more);
    if (waiting == NULL) {
        core->error = KITH_E_MEMORY;
        return false;
    }
    waiting->node = node;
    waiting->ticket = ticket;
    waiting->tidy = p == NULL;
    if (p != NULL) {
        char *at = (char *)(waiting + 1);
        waiting->publication = *p;
        waiting->publication.share = copy_to(&at, p->share, p->share_len);
        waiting->publication.path = copy_to(&at, p->path, p->path_len);
        waiting->publication.target = copy_to(&at, p->target, p->target_len);
    }
    if (ticket != NULL)
        ticket->left++;
    node->pins++;
    core->waiting_n++;
    list_append(&core->waiting, &waiting->link);
    return true;
}

void fsc_waiting_run(struct fs_catalogue *core)
{
    if (!core->waiting_due)
        return;
    core->waiting_due = false;
    list_for_each_safe (it, &core->waiting) {
        struct fs_waiting *waiting = container_of(it, struct fs_waiting, link);
        struct fs_node *node = waiting->node;
        if ((node->flags & (FS_NODE_BUSY | FS_NODE_DIRTY)) != 0) {
            core->waiting_due = core->waiting_due || (node->flags & FS_NODE_BUSY) == 0;
            continue;
        }
        list_remove(&waiting->link);
        core->waiting_n--;
        node->pins--;
        fsc_prune_later(core, node);
        if (waiting->tidy)
            fsc_tidy(core, node, waiting->ticket);
        else
            begin_or_fail(core, &waiting->publication, node);
        fsc_ticket_done(core, waiting->ticket, 0);
        core_free(waiting);
    }
}

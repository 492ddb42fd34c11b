#include "fs_notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSIONS_MAX 64
#define HOLDERS_MAX  16

static const struct kith_bytes share = {"s", 1};

void fs_notes_deinit(struct fs_notes *notes)
{
    free(notes->items);
    notes->items = NULL;
    notes->n = 0;
    notes->cap = 0;
}

void fs_notes_wrong(const struct fs_notes *notes, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    notes->wrong(notes->user, text);
}

static struct kith_bytes path_of(const struct fs_notes *notes, unsigned path)
{
    return (struct kith_bytes){notes->paths[path], strlen(notes->paths[path])};
}

/* ---- taking down ---- */

static bool read_signed(const struct fs_notes *notes, struct kith_bytes data, struct fs_note *note)
{
    struct reader r = reader_of(data.data, data.len);
    struct fs_version *version = &note->version;

    (void)read_bytes(&r, 18);
    (void)read_bytes(&r, read_u8(&r));
    size_t len = read_le16(&r);
    const char *path = (const char *)read_bytes(&r, len);
    while (!r.bad && note->path < notes->paths_n &&
           (strlen(notes->paths[note->path]) != len ||
            memcmp(notes->paths[note->path], path, len) != 0))
        note->path++;
    if (r.bad || note->path == notes->paths_n || !fs_version_front_read(&r, version))
        return false;
    const uint8_t *disk = read_bytes(&r, FS_DISK_BYTES);
    const uint8_t *node = read_bytes(&r, KITH_NODE_ID_BYTES);
    version->vector.n = read_u8(&r);
    if (r.bad || version->vector.n > FS_VECTOR_MAX)
        return false;
    memcpy(version->author.disk.bytes, disk, FS_DISK_BYTES);
    memcpy(version->author.node.bytes, node, KITH_NODE_ID_BYTES);
    for (uint32_t i = 0; i < version->vector.n && !r.bad; i++) {
        const uint8_t *id = read_bytes(&r, FS_DISK_BYTES);
        if (id != NULL)
            memcpy(version->vector.counters[i].disk.bytes, id, FS_DISK_BYTES);
        version->vector.counters[i].counter = read_le64(&r);
    }
    version->target = NULL;
    return reader_done(&r) && fs_version_fits(version);
}

const struct fs_note *fs_notes_sign(struct fs_notes *notes, unsigned node, struct kith_bytes data)
{
    struct fs_note note = {.node = node, .id = fs_version_id(data.data, data.len)};
    const struct fs_disk_id *disk = &note.version.author.disk;

    if (!read_signed(notes, data, &note)) {
        fs_notes_wrong(notes, "node %u signs what is no version of a path", node);
        return NULL;
    }
    for (size_t i = 0; i < notes->n; i++) {
        const struct fs_note *old = &notes->items[i];
        bool seen = old->durable || !old->excused; /* else lost by a crash before anybody saw it */

        if (seen && old->path == note.path && fs_disk_equal(&old->version.author.disk, disk) &&
            fs_vector_of(&old->version.vector, disk) == fs_vector_of(&note.version.vector, disk))
            fs_notes_wrong(notes, "node %u: %s: one counter for two versions", node,
                           notes->paths[note.path]);
    }
    if (notes->n == notes->cap) {
        notes->cap = notes->cap * 2 + 64;
        notes->items = realloc(notes->items, notes->cap * sizeof(*notes->items));
        if (notes->items == NULL)
            abort();
    }
    notes->items[notes->n] = note;
    return &notes->items[notes->n++];
}

/* ---- who knows ---- */

bool fs_notes_has(const struct fs_notes *notes,
                  const struct fs_catalogue *core,
                  const struct fs_note *note)
{
    struct fs_entry entries[VERSIONS_MAX];
    size_t n =
        fs_catalogue_versions(core, share, path_of(notes, note->path), entries, VERSIONS_MAX);

    for (size_t k = 0; k < n && k < VERSIONS_MAX; k++)
        if (entries[k].version_id == note->id)
            return true;
    return false;
}

bool fs_notes_knows(const struct fs_notes *notes,
                    const struct fs_catalogue *core,
                    const struct fs_note *note)
{
    struct fs_entry entries[VERSIONS_MAX];
    size_t n =
        fs_catalogue_versions(core, share, path_of(notes, note->path), entries, VERSIONS_MAX);

    for (size_t k = 0; k < n && k < VERSIONS_MAX; k++) {
        struct fs_version known;

        if (entries[k].version_id == note->id)
            return true;
        fs_known_version(core, entries[k].known, &known);
        if (fs_version_replaces(&known, &note->version))
            return true;
    }
    return false;
}

/* ---- judging ---- */

static void describe_path(const struct fs_notes *notes,
                          const struct fs_catalogue *core,
                          unsigned path,
                          struct buf *out)
{
    struct fs_entry entries[VERSIONS_MAX];
    size_t n = fs_catalogue_versions(core, share, path_of(notes, path), entries, VERSIONS_MAX);

    for (size_t k = 0; k < n && k < VERSIONS_MAX; k++)
        (void)buf_printf(out, "%s: %016llx kind %u holders %u %s%s\n", notes->paths[path],
                         (unsigned long long)entries[k].version_id, entries[k].kind,
                         entries[k].holders_n, entries[k].is_conflict ? "conflict" : "",
                         entries[k].is_history ? "history" : "");
}

/* All that a node shows, as text. */
static void describe(const struct fs_notes *notes,
                     struct fs_catalogue *core,
                     const struct content *contents,
                     size_t contents_n,
                     struct buf *out)
{
    struct fs_listing at = {0};
    struct fs_entry entries[3];
    size_t n;

    for (unsigned p = 0; p < notes->paths_n; p++)
        describe_path(notes, core, p, out);
    while (!at.ended &&
           fs_catalogue_list(core, share, (struct kith_bytes){"", 0}, &at, entries, 3, &n) == 0)
        for (size_t k = 0; k < n; k++)
            (void)buf_printf(out, "- %s %u %llu\n", entries[k].name, entries[k].kind,
                             (unsigned long long)entries[k].below_n);
    for (size_t c = 0; c < contents_n; c++) {
        struct fs_content_facts facts = {0};
        struct kith_node_id holders[HOLDERS_MAX];

        if (fs_catalogue_content(core, contents[c].root, &facts, holders, HOLDERS_MAX) == 0 &&
            (facts.live || facts.holders_n > 0 || facts.own != 0))
            (void)buf_printf(out, "content %zu: live %u copies %u holders %zu\n", c, facts.live,
                             facts.copies, facts.holders_n + (facts.own != 0));
    }
}

/* The first line in which they differ. */
static void tell_difference(const struct fs_notes *notes,
                            size_t node,
                            const struct buf *first,
                            const struct buf *other)
{
    size_t line = 0;
    size_t i = 0;

    for (; i < first->len && i < other->len && first->data[i] == other->data[i]; i++)
        line = first->data[i] == '\n' ? i + 1 : line;
    const char *a = (const char *)first->data + line;
    const char *b = (const char *)other->data + line;
    size_t a_len = first->len - line;
    size_t b_len = other->len - line;
    const char *a_end = memchr(a, '\n', a_len);
    const char *b_end = memchr(b, '\n', b_len);

    fs_notes_wrong(notes, "nodes 0 and %zu show different things: \"%.*s\" and \"%.*s\"", node,
                   (int)(a_end != NULL ? (size_t)(a_end - a) : a_len), a,
                   (int)(b_end != NULL ? (size_t)(b_end - b) : b_len), b);
}

static void judge_agreement(const struct fs_notes *notes,
                            struct fs_catalogue *const *cores,
                            size_t n,
                            const struct content *contents,
                            size_t contents_n)
{
    struct buf first = {0};

    describe(notes, cores[0], contents, contents_n, &first);
    for (size_t i = 1; i < n; i++) {
        struct buf other = {0};

        describe(notes, cores[i], contents, contents_n, &other);
        if (other.len != first.len || memcmp(other.data, first.data, first.len) != 0)
            tell_difference(notes, i, &first, &other);
        if (fs_catalogue_digest(cores[i]) != fs_catalogue_digest(cores[0]))
            fs_notes_wrong(notes, "nodes 0 and %zu have different digests", i);
        buf_deinit(&other);
    }
    buf_deinit(&first);
}

/* NULL: nobody. */
static const struct fs_note *made(const struct fs_notes *notes, uint64_t id)
{
    for (size_t k = 0; k < notes->n; k++)
        if (notes->items[k].id == id)
            return &notes->items[k];
    return NULL;
}

/* The rules again, by version.h, on what a node has of a path. */
static void judge_path(const struct fs_notes *notes, struct fs_catalogue *core, unsigned path)
{
    static struct fs_version versions[VERSIONS_MAX];
    struct fs_entry entries[VERSIONS_MAX];
    const char *text = notes->paths[path];
    struct fs_entry shown;
    size_t n = fs_catalogue_versions(core, share, path_of(notes, path), entries, VERSIONS_MAX);
    size_t best = SIZE_MAX;

    n = n < VERSIONS_MAX ? n : VERSIONS_MAX;
    for (size_t k = 0; k < n; k++) {
        fs_known_version(core, entries[k].known, &versions[k]);
        const struct fs_note *note = made(notes, entries[k].version_id);
        if (note == NULL || note->version.kind != entries[k].kind)
            fs_notes_wrong(notes, "%s: a version that nobody published", text);
        else if (!note->durable)
            fs_notes_wrong(notes, "%s: a version of node %u (%llx) that it never stored%s%s", text,
                           note->node, (unsigned long long)note->id,
                           note->acked ? ", acknowledged" : "",
                           note->excused ? ", lost by a crash" : "");
    }
    for (size_t k = 0; k < n; k++) {
        bool history = false;

        for (size_t o = 0; o < n; o++)
            history = history || (o != k && fs_version_replaces(&versions[o], &versions[k]));
        if (history != entries[k].is_history)
            fs_notes_wrong(notes, "%s: a version is taken for history, or is not", text);
        if (!history && (best == SIZE_MAX || fs_version_order(&versions[k], &versions[best]) < 0))
            best = k;
    }
    bool has =
        fs_catalogue_stat(core, share, path_of(notes, path), &shown) == 0 && shown.known != NULL;
    bool should = best != SIZE_MAX && versions[best].kind != FS_DELETED;
    if (has != should)
        fs_notes_wrong(notes, "%s: is %s, and should be otherwise", text,
                       has ? "shown" : "deleted");
    else if (has && shown.version_id != entries[best].version_id)
        fs_notes_wrong(notes, "%s: another version should be shown", text);
}

static void judge_core(const struct fs_notes *notes, struct fs_catalogue *core, size_t i)
{
    struct catalogue_stats stats;

    fs_catalogue_stats(core, &stats);
    fs_catalogue_check(core);
    if (stats.waiting != 0)
        fs_notes_wrong(notes, "node %zu: %llu publications have not ended", i,
                       (unsigned long long)stats.waiting);
    if (stats.lost != 0)
        fs_notes_wrong(notes, "node %zu: %llu versions are named by nobody", i,
                       (unsigned long long)stats.lost);
}

void fs_notes_judge(const struct fs_notes *notes,
                    struct fs_catalogue *const *cores,
                    size_t n,
                    const struct content *contents,
                    size_t contents_n)
{
    for (size_t i = 0; i < n; i++)
        judge_core(notes, cores[i], i);
    judge_agreement(notes, cores, n, contents, contents_n);
    for (size_t k = 0; k < notes->n; k++) {
        const struct fs_note *note = &notes->items[k];

        if (note->acked && !note->excused && !fs_notes_knows(notes, cores[0], note))
            fs_notes_wrong(notes, "%s: an acknowledged version (%llx of node %u) is lost",
                           notes->paths[note->path], (unsigned long long)note->id, note->node);
    }
    for (unsigned p = 0; p < notes->paths_n; p++)
        judge_path(notes, cores[0], p);
}

/*
 * Counts for contents that many paths have: a hundred thousand empty files are one content, and
 * each of them that comes or goes makes somebody ask who holds it. So of a content with more than a
 * few versions it is counted how many records of each disk hold it, and how many versions of each
 * share want it; what that costs grows with disks and shares, not with files.
 *
 * Counts can always be made anew, so who lacks memory for them goes without.
 */
#include "fs/catalogue_internal.h"

#define TALLY_FROM 16 /* more versions are counted */
#define TALLY_TO   8  /* fewer are looked at again */

static void untally(struct fs_catalogue *core, struct fs_blob *blob)
{
    struct fs_tally *tally = fsc_tally(core, blob);
    fs_blob_flag(blob, FS_BLOB_TALLIED, false);
    blob->of.first = tally->first;
    if (tally->first.at != 0)
        fsc_known(core, tally->first)->of_blob_at = slab_link(&blob->of.first);
    core->bytes -= sizeof(*tally);
    core_free(tally->held);
    core_free(tally->wanted);
    slab_free(&core->slab, tally, sizeof(*tally));
}

void fsc_tally_free(struct fs_catalogue *core, struct fs_blob *blob)
{
    if ((blob->flags & FS_BLOB_TALLIED) != 0)
        untally(core, blob);
}

/* Its place, or where it belongs. */
static size_t held_at(const struct fs_tally *tally, uint32_t disk)
{
    size_t low = 0;
    size_t high = tally->held_n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tally->held[middle].disk < disk)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* NULL: no memory. */
static struct fs_held *held_of(struct fs_catalogue *core, struct fs_tally *tally, uint32_t disk)
{
    size_t at = held_at(tally, disk);
    if (at < tally->held_n && tally->held[at].disk == disk)
        return &tally->held[at];
    size_t cap = tally->held_cap;
    bool room = fsc_grow(core, &tally->held, &cap, tally->held_n, sizeof(*tally->held));
    tally->held_cap = (uint32_t)cap;
    if (!room)
        return NULL;
    memmove(&tally->held[at + 1], &tally->held[at], (tally->held_n - at) * sizeof(*tally->held));
    tally->held_n++;
    tally->held[at] = (struct fs_held){.disk = disk};
    return &tally->held[at];
}

static void held_drop_empty(struct fs_tally *tally, const struct fs_held *held)
{
    size_t at = (size_t)(held - tally->held);
    if (held->folder_n > 0 || held->keep_n > 0)
        return;
    tally->held_n--;
    memmove(&tally->held[at], &tally->held[at + 1], (tally->held_n - at) * sizeof(*tally->held));
}

static struct fs_wanted *
wanted_of(struct fs_catalogue *core, struct fs_tally *tally, const struct fs_node *share)
{
    for (size_t i = 0; i < tally->wanted_n; i++)
        if (tally->wanted[i].share == share)
            return &tally->wanted[i];
    size_t cap = tally->wanted_cap;
    bool room = fsc_grow(core, &tally->wanted, &cap, tally->wanted_n, sizeof(*tally->wanted));
    tally->wanted_cap = (uint32_t)cap;
    if (!room)
        return NULL;
    tally->wanted[tally->wanted_n] = (struct fs_wanted){.share = share};
    return &tally->wanted[tally->wanted_n++];
}

static bool count_record(struct fs_catalogue *core,
                         struct fs_tally *tally,
                         const struct fs_record *record,
                         bool there)
{
    if ((record->flags & FS_RECORD_PLACE) == 0)
        return true;
    struct fs_held *held = held_of(core, tally, record->disk);
    if (held == NULL)
        return false;
    uint32_t by = there ? 1 : UINT32_MAX;
    held->folder_n += (record->flags & FS_IN_FOLDER) != 0 ? by : 0;
    held->keep_n += (record->flags & FS_IN_KEEP) != 0 ? by : 0;
    held_drop_empty(tally, held);
    return true;
}

static bool count_live(struct fs_catalogue *core,
                       struct fs_tally *tally,
                       const struct fs_known *known,
                       bool live)
{
    const struct fs_node *share = fsc_share(core, fsc_known_node(core, known));
    struct fs_wanted *wanted = wanted_of(core, tally, share);
    if (wanted == NULL)
        return false;
    wanted->live_n += live ? 1 : UINT32_MAX;
    if (wanted->live_n == 0)
        *wanted = tally->wanted[--tally->wanted_n];
    return true;
}

static bool is_live(const struct fs_known *known)
{
    const unsigned both = FS_KNOWN_LINKED | FS_KNOWN_MAXIMAL;
    return (known->flags & both) == both;
}

static bool
count_version(struct fs_catalogue *core, struct fs_tally *tally, const struct fs_known *known)
{
    bool fine = !is_live(known) || count_live(core, tally, known, true);
    for (const struct fs_record *r = fsc_first(core, fsc_known_node(core, known));
         r != NULL && fine; r = fsc_next(core, r))
        if ((r->flags & (FS_RECORD_GONE | FS_RECORD_LOST)) == 0 && fsc_named(core, r) == known)
            fine = count_record(core, tally, r, true);
    return fine;
}

static void tally(struct fs_catalogue *core, struct fs_blob *blob)
{
    struct fs_tally *made = slab_alloc(&core->slab, sizeof(*made));
    if (made == NULL)
        return;
    made->first = blob->of.first;
    if (made->first.at != 0)
        fsc_known(core, made->first)->of_blob_at = slab_link(&made->first);
    blob->of.tally.at = slab_link(made);
    fs_blob_flag(blob, FS_BLOB_TALLIED, true);
    core->bytes += sizeof(*made);
    for (const struct fs_known *k = fsc_blob_first(core, blob); k != NULL;
         k = fsc_next_of_blob(core, k)) {
        if (!count_version(core, made, k)) {
            untally(core, blob);
            return;
        }
    }
}

void fsc_tally_fit(struct fs_catalogue *core, struct fs_blob *blob)
{
    bool tallied = (blob->flags & FS_BLOB_TALLIED) != 0;
    if (!tallied && blob->versions_n == TALLY_FROM + 1)
        tally(core, blob);
    else if (tallied && blob->versions_n < TALLY_TO)
        untally(core, blob);
}

void fsc_tally_record(struct fs_catalogue *core,
                      const struct fs_known *known,
                      const struct fs_record *record,
                      bool there)
{
    struct fs_blob *blob = fsc_blob_of(core, known);
    if (blob != NULL && (blob->flags & FS_BLOB_TALLIED) != 0 &&
        !count_record(core, fsc_tally(core, blob), record, there))
        untally(core, blob);
}

void fsc_tally_live(struct fs_catalogue *core, const struct fs_known *known, bool live)
{
    struct fs_blob *blob = fsc_blob_of(core, known);
    if (blob != NULL && (blob->flags & FS_BLOB_TALLIED) != 0 &&
        !count_live(core, fsc_tally(core, blob), known, live))
        untally(core, blob);
}

void fsc_tally_check(const struct fs_catalogue *core, const struct fs_blob *blob)
{
    uint64_t live_n = 0;
    uint64_t places_n = 0;
    if ((blob->flags & FS_BLOB_TALLIED) == 0)
        return;
    const struct fs_tally *t = fsc_tally(core, blob);
    for (const struct fs_known *k = fsc_blob_first(core, blob); k != NULL;
         k = fsc_next_of_blob(core, k)) {
        live_n += is_live(k);
        for (const struct fs_record *r = fsc_first(core, fsc_known_node(core, k)); r != NULL;
             r = fsc_next(core, r)) {
            if ((r->flags & (FS_RECORD_GONE | FS_RECORD_LOST)) != 0 || fsc_named(core, r) != k)
                continue;
            unsigned place = r->flags & FS_RECORD_PLACE;
            size_t at = held_at(t, r->disk);
            places_n += (place & FS_IN_FOLDER) != 0;
            places_n += (place & FS_IN_KEEP) != 0;
            assert(place == 0 || (at < t->held_n && t->held[at].disk == r->disk));
        }
    }
    for (size_t i = 0; i < t->held_n; i++) {
        assert(i == 0 || t->held[i - 1].disk < t->held[i].disk);
        places_n -= (uint64_t)t->held[i].folder_n + t->held[i].keep_n;
    }
    for (size_t i = 0; i < t->wanted_n; i++)
        live_n -= t->wanted[i].live_n;
    assert(live_n == 0 && places_n == 0);
}

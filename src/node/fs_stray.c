/*
 * Files of the keep of which no record tells: the process ended between file and record, the store
 * is older than the keep (a restored backup) or was lost, or a path had it a moment ago and another
 * version names it. Nobody counts on them, and they may be the last copy of what others know by
 * name only. So they stay as long as what no version names, and when a live version names one it is
 * read, verified, and held from then on (the rules are keep.h's).
 *
 * What a file of this name has is known by a version alone: a file that grew by an append is longer
 * than the content whose name it had first.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_keep.h"
#include "node/internal.h"

#define ROUND_AT_ONCE 64 /* looked at in a second */

struct stray {
    struct content content; /* as far as it can be known: of the file's size */
};

static uint64_t stray_key(const uint8_t root[CONTENT_ROOT_BYTES])
{
    return hash_bytes(root, CONTENT_ROOT_BYTES, 0);
}

static struct stray *stray_find(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES])
{
    struct stray *stray = map64_find(&fs->strays, stray_key(root));

    return stray != NULL && memcmp(stray->content.root, root, CONTENT_ROOT_BYTES) == 0 ? stray
                                                                                       : NULL;
}

bool fs_stray_is(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES])
{
    return stray_find(fs, root) != NULL;
}

void fs_stray_found(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES], uint64_t bytes)
{
    struct stray *stray;

    if (map64_find(&fs->strays, stray_key(root)) != NULL)
        return;
    stray = core_calloc(1, sizeof(*stray));
    if (stray == NULL || map64_set(&fs->strays, stray_key(root), stray) != 0) {
        core_free(stray);
        return; /* it stays where it is until the next start */
    }
    stray->content = (struct content){
        .size = bytes, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = content_chunk_log2(bytes)};
    memcpy(stray->content.root, root, CONTENT_ROOT_BYTES);
}

void fs_stray_forget(struct node_fs *fs, const uint8_t root[CONTENT_ROOT_BYTES])
{
    struct stray *stray = stray_find(fs, root);

    if (stray == NULL)
        return;
    map64_remove(&fs->strays, stray_key(root));
    core_free(stray);
}

/* ---- taking one in ---- */

struct adoption {
    struct fs_job job;
    struct content content;
    uint64_t bytes;
    int code;
};

static void adoption_over(struct node_fs *fs, struct adoption *adoption, int code)
{
    struct content content = adoption->content;

    core_free(adoption);
    if (!fs->stopping)
        fs_keep_adopted(fs, &content, code);
}

static void on_held(struct node_fs *fs, void *user, int code, const char *text)
{
    struct adoption *adoption = user;
    struct fs_content_facts facts;

    (void)text;
    fs_unguard(fs, adoption->content.root);
    if (code == 0 &&
        (fs_catalogue_content(fs->catalogue, adoption->content.root, &facts, NULL, 0) != 0 ||
         (facts.own & FS_IN_KEEP) == 0))
        code = KITH_E_AGAIN; /* it was named no more, or there is no room for a record */
    if (code == 0)
        fs_stray_forget(fs, adoption->content.root);
    adoption_over(fs, adoption, code);
}

static void verify_work(struct fs_job *job)
{
    struct adoption *adoption = container_of(job, struct adoption, job);
    struct fs_where where = {.keep = true};

    fs_guard(job->fs, adoption->content.root);
    adoption->code = fs_verify_where(job->fs, &where, &adoption->content, NULL, &adoption->bytes);
    if (adoption->code == 0) /* who put it there may have ended before it was on the disk */
        adoption->code = fs_keep_sync(job->fs->move->files, adoption->content.root);
}

static void verify_done(struct node_fs *fs, struct fs_job *job)
{
    struct adoption *adoption = container_of(job, struct adoption, job);
    struct fs_kept *kept;

    if (adoption->code == KITH_E_CANCELED || adoption->code == KITH_E_MEMORY || fs->stopping) {
        fs_unguard(fs, adoption->content.root);
        adoption_over(fs, adoption, KITH_E_AGAIN);
        return;
    }
    if (adoption->code == KITH_E_NOT_FOUND) {
        fs_unguard(fs, adoption->content.root);
        fs_stray_forget(fs, adoption->content.root);
        adoption_over(fs, adoption, adoption->code);
        return;
    }
    if (adoption->code != 0) { /* a record may have come meanwhile: as with any damaged copy */
        fs_unguard(fs, adoption->content.root);
        fs_keep_damage(fs, &adoption->content);
        adoption_over(fs, adoption, adoption->code);
        return;
    }
    kept = fs_kept_get(fs, &adoption->content);
    if (kept != NULL) {
        kept->content = adoption->content; /* what was noted of a stray is a guess */
        kept->scrubbed_wall_ms = node_turn_unix_ms(fs->node);
        kept->unreferenced_wall_ms = 0;
        fs_kept_store(fs, kept);
    }
    fs_hold(fs, &adoption->content, true, on_held, adoption);
}

void fs_stray_adopt(struct node_fs *fs, const struct content *content)
{
    struct adoption *adoption = core_calloc(1, sizeof(*adoption));

    if (adoption == NULL)
        node_state_end_process(fs->node, "memory is short: start the node again");
    adoption->content = *content;
    adoption->job.work = verify_work;
    adoption->job.done = verify_done;
    fs_job_start(fs, &adoption->job);
}

/* ---- looking ---- */

void fs_strays_look(struct node_fs *fs)
{
    for (uint32_t i = 0; i < ROUND_AT_ONCE; i++) {
        const struct stray *stray = map64_next(&fs->strays, &fs->stray_at);
        if (stray == NULL) {
            fs->stray_at = 0;
            return;
        }
        struct content content = stray->content; /* looking at it may end it */
        fs_keep_look(fs, &content);
    }
}

void fs_strays_deinit(struct node_fs *fs)
{
    struct stray *stray;

    for (size_t at = 0; (stray = map64_next(&fs->strays, &at)) != NULL;)
        core_free(stray);
    map64_deinit(&fs->strays);
}

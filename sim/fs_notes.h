/*
 * What was ever published in a world of catalogues, and what must be so of it in the end. Whatever
 * is signed is noted: nothing else may ever be seen. For the simulator and for the small world of
 * tests/unit.
 */
#ifndef SIM_FS_NOTES_H
#define SIM_FS_NOTES_H

#include "fs/catalogue.h"

#define FS_NOTES_NOBODY UINT32_MAX

/* A version that was handed out to be signed. */
struct fs_note {
    uint64_t id;
    unsigned node; /* whose disk made it; NOBODY: that is no more */
    unsigned path;
    struct fs_version version;
    bool durable;   /* was on its author's disk */
    bool at_author; /* and is, or what came after it */
    bool acked;
    bool excused; /* it may be lost: whoever had it lost its disk */
};

struct fs_notes {
    const char *const *paths; /* of the share "s" */
    unsigned paths_n;
    /* Something is wrong; the first counts. */
    void (*wrong)(void *user, const char *text);
    void *user;
    struct fs_note *items;
    size_t n, cap;
};

void fs_notes_deinit(struct fs_notes *notes);
void fs_notes_wrong(const struct fs_notes *notes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* @data is what @node signs. The note, borrowed; NULL if nobody can have meant it. */
const struct fs_note *fs_notes_sign(struct fs_notes *notes, unsigned node, struct kith_bytes data);
/* Whether the version, or one that replaces it, is known there. */
bool fs_notes_knows(const struct fs_notes *notes,
                    const struct fs_catalogue *core,
                    const struct fs_note *note);
/* Whether this very version is. */
bool fs_notes_has(const struct fs_notes *notes,
                  const struct fs_catalogue *core,
                  const struct fs_note *note);

/*
 * After all is healed: all @n catalogues show the same, what was acknowledged and is not excused is
 * known, nothing is there that nobody published, and what is shown is what the rules say, written a
 * second time. @items: contents whose holders are compared, too.
 */
void fs_notes_judge(const struct fs_notes *notes,
                    struct fs_catalogue *const *cores,
                    size_t n,
                    const struct content *contents,
                    size_t contents_n);

#endif

#include "fs/stat.h"

#define SECOND_NS 1000000000

/* A tick of a kernel with 100 of them a second, and as much again for a clock that reads late. */
#define TICK_NS 20000000

bool fs_root_same(const struct fs_root_id *was, const struct fs_root_id *now)
{
    if (was->inode != now->inode)
        return false;
    if (was->born_ns != 0 && now->born_ns != 0 && was->born_ns != now->born_ns)
        return false;
    if (was->filesystem != 0 && now->filesystem != 0 && was->filesystem != now->filesystem)
        return false;
    return was->device == now->device ||
           (was->filesystem != 0 && was->filesystem == now->filesystem) ||
           (was->born_ns != 0 && was->born_ns == now->born_ns);
}

bool fs_stat_same_inode(const struct fs_stat *a, const struct fs_stat *b)
{
    if (a->kind != b->kind || a->inode != b->inode)
        return false;
    if (a->born_ns != 0 && b->born_ns != 0)
        return a->born_ns == b->born_ns;
    return a->kind == FS_DIRECTORY || a->ctime_ns == b->ctime_ns;
}

bool fs_stat_same_bytes(const struct fs_stat *a, const struct fs_stat *b)
{
    return fs_stat_same_inode(a, b) && a->size == b->size && a->mtime_ns == b->mtime_ns;
}

bool fs_stat_same(const struct fs_stat *a, const struct fs_stat *b)
{
    return fs_stat_same_bytes(a, b) && a->ctime_ns == b->ctime_ns && a->mode == b->mode;
}

static bool is_whole(const struct fs_stat *stat)
{
    return stat->ctime_ns % SECOND_NS == 0 && stat->mtime_ns % SECOND_NS == 0;
}

uint32_t fs_stat_tick_ms(const struct fs_stat *stat)
{
    return is_whole(stat) ? 2000 : TICK_NS / 1000000;
}

enum fs_racy fs_stat_racy(const struct fs_stat *before, int64_t began_wall_ns)
{
    int64_t tick_ns = (int64_t)fs_stat_tick_ms(before) * 1000000;
    int64_t ended_ns = began_wall_ns - tick_ns;
    int64_t ahead_ns = began_wall_ns < INT64_MAX - tick_ns ? began_wall_ns + tick_ns : INT64_MAX;

    /* An mtime can be set to what one likes: what lies ahead says nothing. */
    if (before->mtime_ns <= began_wall_ns && before->mtime_ns > ended_ns)
        return FS_RACY_NOW;
    if (before->ctime_ns > ahead_ns)
        return FS_RACY_LATER;
    return before->ctime_ns > ended_ns ? FS_RACY_NOW : FS_NOT_RACY;
}

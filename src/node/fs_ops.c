/* Which function does which operation on files (kith/fs.h). */
#include "core/error.h"
#include "node/internal.h"
#include "node/uv_fs.h"

void node_fs_op_run(struct kith_node *node, struct fs_op *op)
{
    struct node_fs *fs = node->fs;

    switch (op->op.kind) {
    case KITH_FS_LIST:
    case KITH_FS_FIND:
    case KITH_FS_CONFLICTS:
        fs_op_list(fs, op);
        break;
    case KITH_FS_STAT:
        fs_op_stat(fs, op);
        break;
    case KITH_FS_REMOVE:
        fs_op_remove(fs, op);
        break;
    case KITH_FS_RESOLVE:
        fs_op_resolve(fs, op);
        break;
    case KITH_FS_RESTORE:
        fs_op_restore(fs, op);
        break;
    case KITH_FS_READ:
        fs_op_read(fs, op);
        break;
    case KITH_FS_GET:
        fs_op_get(fs, op);
        break;
    case KITH_FS_PUT:
        fs_op_put(fs, op);
        break;
    case KITH_FS_WRITE:
        fs_op_write(fs, op);
        break;
    case KITH_FS_APPEND:
        fs_op_append(fs, op);
        break;
    case KITH_FS_PIN:
    case KITH_FS_UNPIN:
        fs_op_pin(fs, op);
        break;
    case KITH_FS_EVICT:
        fs_op_evict(fs, op);
        break;
    case KITH_FS_CACHE:
        fs_op_cache(fs, op);
        break;
    case KITH_FS_VERIFY:
        fs_op_verify(fs, op);
        break;
    case KITH_FS_SHARE_ADD:
    case KITH_FS_SHARE_RM:
    case KITH_FS_SHARE_LIST:
    case KITH_FS_SHARE_CONFIRM:
        fs_op_share(fs, op);
        break;
    }
}

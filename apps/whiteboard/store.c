/*
 * Where a log is written: a file of the catalogue that this node alone writes. The first write of
 * all makes the share.
 */
#include <stdlib.h>
#include <string.h>

#include "place.h"

struct storing {
    struct wb *wb;
    struct wb_board *board;
    char path[WB_PATH_BYTES];
    bool create;
    wb_stored_cb cb;
    void *user;
    size_t len;
    uint8_t data[];
};

static void stored(struct storing *storing, int code, const char *text)
{
    struct wb_board *board = storing->board;
    wb_stored_cb cb = storing->cb;
    void *user = storing->user;

    free(storing);
    cb(user, code, text);
    wb_let_go(board->wb, board);
}

static void on_stored(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    (void)node;
    stored(user, result->code, result->text);
}

static void write_log(struct storing *storing)
{
    struct kith_fs_op op = {.kind = storing->create ? KITH_FS_WRITE : KITH_FS_APPEND,
                            .path = storing->path,
                            .create_only = storing->create,
                            .data = storing->data,
                            .len = storing->len};
    int r = kith_fs_do_async(storing->wb->node, &op, on_stored, storing, NULL);

    if (r != 0)
        stored(storing, r, kith_errmsg());
}

static void on_share(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct storing *storing = user;

    (void)node;
    if (result->code != 0) {
        stored(storing, result->code, result->text);
        return;
    }
    storing->wb->has_share = true;
    write_log(storing);
}

static void make_share(struct storing *storing)
{
    struct kith_fs_op op = {.kind = KITH_FS_SHARE_ADD, .path = WB_SHARE};
    int r = kith_fs_do_async(storing->wb->node, &op, on_share, storing, NULL);

    if (r != 0)
        stored(storing, r, kith_errmsg());
}

void wb_store(struct wb_writer *writer,
              bool create,
              const void *data,
              size_t len,
              wb_stored_cb cb,
              void *user)
{
    struct wb_board *board = writer->board;
    struct wb_log_name name = {.node = board->wb->self, .number = writer->number};
    struct storing *storing = malloc(sizeof(*storing) + len);

    wb_hold(board->wb, board);
    if (storing == NULL) {
        cb(user, KITH_E_MEMORY, "");
        wb_let_go(board->wb, board);
        return;
    }
    memcpy(name.writer, writer->id, sizeof(name.writer));
    *storing = (struct storing){
        .wb = board->wb, .board = board, .create = create, .cb = cb, .user = user, .len = len};
    (void)wb_path_log(storing->path, board->name, &name);
    memcpy(storing->data, data, len);
    if (board->wb->has_share)
        write_log(storing);
    else
        make_share(storing);
}

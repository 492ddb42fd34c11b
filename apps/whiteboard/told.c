/*
 * board.told: what was appended at another node.
 *
 * Nodes that have the board open hear it at once, for their pages; if there is none, one other node
 * hears it, so that nothing is at one node alone. They keep it in memory for a while, and append it
 * themselves when its node is lost before its log was copied: what stands in two logs counts once.
 */
#include <stdlib.h>
#include <string.h>

#include "place.h"

/* ---- telling ---- */

struct telling {
    const struct wb_bytes *message;
    unsigned n;
};

static void tell_node(struct wb *wb, const struct kith_node_id *id, const struct wb_bytes *message)
{
    char node[KITH_NODE_ID_DIGITS + 1];
    struct kith_call_options options = {.node = kith_node_id_text(id, node)};

    if (kith_cast(wb->node, "board.told", message->data, message->len, &options) != 0)
        return; /* it is seen in the catalogue */
}

static void tell_one(struct wb *wb, const struct wb_open *open, void *arg)
{
    struct telling *telling = arg;

    tell_node(wb, &open->node, telling->message);
    telling->n++;
}

/* The next node, by its id, that has the module: of each other node another one. */
static const struct kith_node_id *partner(struct wb *wb)
{
    static const struct kith_node_id nobody;
    struct kith_function_list *list;
    uint64_t now_ms = wb_now_ms();
    struct kith_node_id next = nobody, first = nobody;

    if (wb->partner_ms != 0 && now_ms < wb->partner_ms + WB_PARTNER_MS)
        return kith_node_id_equal(&wb->partner, &nobody) ? NULL : &wb->partner;
    wb->partner_ms = now_ms;
    if (kith_functions(wb->node, &list) != 0)
        return NULL;
    for (size_t i = 0; i < list->functions_n; i++) {
        const struct kith_node_id *id = &list->functions[i].node;
        if (strcmp(list->functions[i].name, "board.told") != 0 || kith_node_id_equal(id, &wb->self))
            continue;
        if (kith_node_id_equal(&first, &nobody) || memcmp(id, &first, sizeof(*id)) < 0)
            first = *id;
        if (memcmp(id, &wb->self, sizeof(*id)) > 0 &&
            (kith_node_id_equal(&next, &nobody) || memcmp(id, &next, sizeof(*id)) < 0))
            next = *id;
    }
    kith_function_list_free(list);
    wb->partner = kith_node_id_equal(&next, &nobody) ? first : next;
    return kith_node_id_equal(&wb->partner, &nobody) ? NULL : &wb->partner;
}

void wb_told_tell(
    struct wb_board *board, const char *file, uint64_t offset, const uint8_t *log, size_t len)
{
    struct wb_bytes message = {0};
    struct telling telling = {&message, 0};
    char head[BOARD_NAME_BYTES_MAX + WB_FILE_BYTES + 32];
    int n =
        snprintf(head, sizeof(head), "%s %s %llu\n", board->name, file, (unsigned long long)offset);
    const struct kith_node_id *other;

    if (wb_put(&message, head, (size_t)n) == 0 && wb_put(&message, log, len) == 0) {
        wb_presence_each(board->wb, board->name, tell_one, &telling);
        if (telling.n == 0 && (other = partner(board->wb)) != NULL)
            tell_node(board->wb, other, &message);
    }
    wb_drop(&message);
}

/* ---- hearing ---- */

static void drop_oldest(struct wb *wb)
{
    struct wb_told *told = wb->told;

    wb->told = told->next;
    if (wb->told == NULL)
        wb->told_end = &wb->told;
    wb->told_bytes -= sizeof(*told) + told->len;
    free(told);
}

static void keep(struct wb *wb, const struct wb_told *head, const void *log, size_t len)
{
    struct wb_told *told = malloc(sizeof(*told) + len);

    if (told == NULL)
        return;
    *told = *head;
    told->next = NULL;
    told->len = len;
    memcpy(told->log, log, len);
    *wb->told_end = told;
    wb->told_end = &told->next;
    wb->told_bytes += sizeof(*told) + len;
    while (wb->told_bytes > BOARD_TOLD_BYTES_MAX)
        drop_oldest(wb);
}

static void for_pages(struct wb_board *board,
                      const struct wb_told *told,
                      uint64_t offset,
                      const struct board_log *log,
                      const uint8_t *records,
                      size_t len)
{
    struct wb_file *file = board->listed ? wb_file_find(board, told->file, true) : NULL;

    wb_pages_tell_ops(board, log->writer, log->name, records, len);
    wb_writers_know(board, log);
    if (file != NULL && file->known >= offset)
        wb_file_known(board, file, told->end);
    else if (file != NULL)
        wb_file_wanted(board, file, told->end);
    wb_board_catch_up(board);
}

int wb_fn_told(struct kith_ctx *ctx, const void *arg, size_t len, void *user)
{
    struct wb *wb = user;
    struct wb_told head = {.node = kith_ctx_caller(ctx)};
    struct kith_bytes bytes = wb_rest(arg, len);
    char number[24], path[WB_PATH_BYTES + WB_FILE_BYTES], of[BOARD_NAME_BYTES_MAX + 1];
    struct wb_log_name name;
    struct wb_board *board;
    struct board_log log;

    if (!wb_name(ctx, arg, len, head.board) ||
        !wb_word(arg, len, 1, head.file, sizeof(head.file)) ||
        !wb_word(arg, len, 2, number, sizeof(number)))
        return 0;
    (void)wb_path_file(path, head.board, head.file);
    if (wb->stopping || !wb_path_parse(path, of, &name) ||
        !kith_node_id_equal(&name.node, &head.node) ||
        board_log_decode(&log, bytes.data, bytes.len) != 0)
        return 0;
    if (log.state == BOARD_LOG_WHOLE && log.ops_n > 0 && strcmp(log.board, head.board) == 0 &&
        memcmp(log.writer, name.writer, sizeof(name.writer)) == 0) {
        uint64_t offset = strtoull(number, NULL, 10);
        size_t begin =
            (size_t)(log.ops[0].body - (const uint8_t *)bytes.data) - BOARD_RECORD_HEAD_BYTES;
        head.end = offset + (offset == 0 ? bytes.len : bytes.len - begin);
        keep(wb, &head, bytes.data, bytes.len);
        board = wb_board_find(wb, head.board);
        if (board != NULL)
            for_pages(board, &head, offset, &log, (const uint8_t *)bytes.data + begin,
                      bytes.len - begin);
    }
    board_log_deinit(&log);
    return 0;
}

/* ---- a node is lost ---- */

struct looking {
    struct wb *wb;
    struct wb_told *told; /* ours now */
    struct kith_node_id lost;
};

static bool held_elsewhere(const struct looking *looking, const struct kith_fs_result *result)
{
    if (result->code != 0 || result->entries_n == 0)
        return false;
    const struct kith_fs_entry *entry = &result->entries[0];
    if (entry->size < looking->told->end)
        return false;
    for (size_t i = 0; i < entry->holders_n; i++)
        if (entry->holders[i].alive && !kith_node_id_equal(&entry->holders[i].node, &looking->lost))
            return true;
    return entry->here;
}

static void on_looked(struct kith_node *node, const struct kith_fs_result *result, void *user)
{
    struct looking *looking = user;
    struct wb *wb = looking->wb;

    (void)node;
    if (!wb->stopping && !held_elsewhere(looking, result))
        wb_adopt(wb, looking->told->board, looking->told->log, looking->told->len);
    free(looking->told);
    free(looking);
    wb_let_go(wb, NULL);
}

static void look(struct wb *wb, struct wb_told *told)
{
    struct looking *looking = malloc(sizeof(*looking));
    char path[WB_FILE_PATH_BYTES];
    struct kith_fs_op op = {.kind = KITH_FS_STAT, .path = path};

    (void)wb_path_file(path, told->board, told->file);
    if (looking != NULL) {
        *looking = (struct looking){.wb = wb, .told = told, .lost = told->node};
        if (kith_fs_do_async(wb->node, &op, on_looked, looking, NULL) == 0) {
            wb_hold(wb, NULL);
            return;
        }
    }
    free(looking);
    wb_adopt(wb, told->board, told->log, told->len);
    free(told);
}

void wb_told_lost(struct wb *wb, const struct kith_node_id *node)
{
    struct wb_told **at = &wb->told;

    while (*at != NULL) {
        struct wb_told *told = *at;
        if (!kith_node_id_equal(&told->node, node)) {
            at = &told->next;
            continue;
        }
        *at = told->next;
        wb->told_bytes -= sizeof(*told) + told->len;
        look(wb, told);
    }
    wb->told_end = at;
}

void wb_told_close(struct wb *wb)
{
    while (wb->told != NULL)
        drop_oldest(wb);
}

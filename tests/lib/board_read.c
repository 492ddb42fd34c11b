/*
 * Shows what the C side makes of logs of a board, for tests/web/board-cross.test.mjs:
 *
 *     board_read dump|svg LOG...   the merged board, as lines or as a picture
 *     board_read logs LOG...       a line a log: state, good bytes, operations
 *     board_read limits            NAME VALUE lines
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "whiteboard/dump.h"
#include "whiteboard/log.h"
#include "whiteboard/svg.h"

struct input {
    uint8_t *data;
    size_t len;
    struct board_log log;
    int result;
};

static void read_log(struct input *input, const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t chunk[65536];

    if (file == NULL) {
        perror(path);
        exit(2);
    }
    for (size_t n; (n = fread(chunk, 1, sizeof(chunk), file)) > 0; input->len += n) {
        uint8_t *grown = realloc(input->data, input->len + n);
        if (grown == NULL)
            exit(2);
        input->data = grown;
        memcpy(input->data + input->len, chunk, n);
    }
    (void)fclose(file);
    input->result = board_log_decode(&input->log, input->data, input->len);
}

static void show_limits(void)
{
#define SHOW(name) (void)printf(#name " %" PRIu64 "\n", (uint64_t)(name))
    SHOW(BOARD_NAME_BYTES_MAX);
    SHOW(BOARD_PERSON_BYTES_MAX);
    SHOW(BOARD_TITLE_BYTES_MAX);
    SHOW(BOARD_TEXT_BYTES_MAX);
    SHOW(BOARD_POINTS_MAX);
    SHOW(BOARD_RECORD_BYTES_MAX);
    SHOW(BOARD_COUNTER_MAX);
    SHOW(BOARD_ACTION_MAX);
    SHOW(BOARD_SET_WRITERS_MAX);
    SHOW(BOARD_SET_RANGES_MAX);
    SHOW(BOARD_WRITERS_MAX);
    SHOW(BOARD_LOG_BYTES_MAX);
    SHOW(BOARD_COORD_MAX);
    SHOW(BOARD_WIDTH_MAX);
    SHOW(BOARD_COLOURS_N);
    SHOW(BOARD_FACTOR_MAX);
    SHOW(BOARD_MATRIX_MAX);
    SHOW(BOARD_CLOCK_MAX);
#undef SHOW
}

static int show_board(const char *how, const struct input *inputs, size_t n)
{
    const struct board_op **ops;
    struct board board;
    struct board_out out = {0};
    size_t ops_n = 0;

    for (size_t i = 0; i < n; i++)
        ops_n += inputs[i].log.ops_n;
    ops = malloc((ops_n + 1) * sizeof(const struct board_op *));
    if (ops == NULL)
        return 2;
    ops_n = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < inputs[i].log.ops_n; k++)
            ops[ops_n++] = &inputs[i].log.ops[k];
    int result = board_merge(&board, ops, ops_n);
    if (result == 0 && strcmp(how, "svg") == 0)
        result = board_svg(&board, NULL, &out);
    else if (result == 0)
        board_dump(&board, &out);
    if (result == 0)
        (void)fwrite(out.data, 1, out.len, stdout);
    else
        (void)fprintf(stderr, "error %d\n", result);
    free(out.data);
    board_deinit(&board);
    free(ops);
    return result == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const char *const states[] = {"whole", "torn", "damaged"};
    int result = 0;

    if (argc == 2 && strcmp(argv[1], "limits") == 0) {
        show_limits();
        return 0;
    }
    if (argc < 3)
        return 2;
    size_t n = (size_t)argc - 2;
    struct input *inputs = calloc(n, sizeof(*inputs));
    if (inputs == NULL)
        return 2;
    for (size_t i = 0; i < n; i++)
        read_log(&inputs[i], argv[i + 2]);
    if (strcmp(argv[1], "logs") == 0)
        for (size_t i = 0; i < n; i++)
            if (inputs[i].result != 0)
                (void)printf("refused\n");
            else
                (void)printf("%s %zu %zu\n", states[inputs[i].log.state], inputs[i].log.good,
                             inputs[i].log.ops_n);
    else
        result = show_board(argv[1], inputs, n);
    for (size_t i = 0; i < n; i++) {
        board_log_deinit(&inputs[i].log);
        free(inputs[i].data);
    }
    free(inputs);
    return result;
}

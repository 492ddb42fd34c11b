/*
 * Whatever kith-board finds on its stdin: refused, or a board whose picture comes to an end. Behind
 * a byte 2 instead: the note of a camera in a JPEG.
 */
#include <assert.h>
#include <kith/error.h>
#include <stdio.h>
#include <stdlib.h>

#include "whiteboard/bundle.h"
#include "whiteboard/exif.h"
#include "whiteboard/limits.h"
#include "whiteboard/merge.h"
#include "whiteboard/svg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void draw(const struct board_bundle *bundle, uint64_t at)
{
    struct board_images images = board_bundle_images(bundle);
    const struct board_op **ops;
    struct board board;
    struct board_out out = {0};
    size_t n;

    assert(board_bundle_ops(bundle, at, &ops, &n) == 0);
    for (size_t i = 0; i < n; i++)
        assert(ops[i]->clock <= at);
    int result = board_merge(&board, ops, n);
    assert(result == 0 || result == KITH_E_LIMIT);
    if (result == 0)
        assert(board_svg(&board, &images, &out) == 0);
    free(out.data);
    board_deinit(&board);
    free(ops);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct board_bundle bundle;
    union {
        const uint8_t *in;
        void *out;
    } bytes = {.in = data};

    if (len > 0 && data[0] == 2) {
        unsigned way = exif_orientation(data + 1, len - 1);
        assert(way >= 1 && way <= 8);
        return 0;
    }
    FILE *file = len > 0 ? fmemopen(bytes.out, len, "rb") : NULL;
    if (file == NULL)
        return 0;
    int result = board_bundle_read(&bundle, file);
    assert(result == 0 || result == KITH_E_CORRUPT);
    (void)fclose(file);
    if (result == 0) {
        draw(&bundle, BOARD_CLOCK_MAX);
        draw(&bundle, 1764500000000000);
    }
    board_bundle_deinit(&bundle);
    return 0;
}

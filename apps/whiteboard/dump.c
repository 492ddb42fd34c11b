#include "dump.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void put_quoted(struct board_out *out, const char *text, size_t len)
{
    board_out_text(out, "\"");
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"' || text[i] == '\\')
            board_out_text(out, "\\");
        board_out_raw(out, text[i] == '\n' ? "\\n" : &text[i], text[i] == '\n' ? 2 : 1);
    }
    board_out_text(out, "\"");
}

static void put_element(struct board_out *out, const struct board_element *element)
{
    const struct board_op *op = element->op;
    char text[192];

    for (unsigned i = 0; i < BOARD_WRITER_BYTES; i++) {
        (void)snprintf(text, sizeof(text), "%02x", op->writer[i]);
        board_out_text(out, text);
    }
    (void)snprintf(text, sizeof(text),
                   " %" PRIu32 " %" PRIu64 " %u %u %" PRIu32 " %u %" PRId32 " %" PRId32,
                   op->counter, op->clock, op->kind, element->colour, element->width, element->fill,
                   element->w, element->h);
    board_out_text(out, text);
    for (unsigned i = 0; i < 6; i++) {
        double entry = element->m[i] + 0.0; /* no negative zero */
        uint64_t bits;
        memcpy(&bits, &entry, sizeof(bits));
        (void)snprintf(text, sizeof(text), " %016" PRIx64, bits);
        board_out_text(out, text);
    }
    board_out_text(out, " ");
    put_quoted(out, element->text, element->text_len);
    board_out_text(out, "\n");
}

void board_dump(const struct board *board, struct board_out *out)
{
    board_out_text(out, "title ");
    put_quoted(out, board->title, board->title_len);
    board_out_text(out, "\n");
    for (size_t i = 0; i < board->elements_n; i++)
        put_element(out, &board->elements[i]);
}

#include "bundle.h"

#include <errno.h>
#include <kith/error.h>
#include <stdlib.h>
#include <string.h>

struct line {
    char text[BOARD_BUNDLE_LINE_BYTES];
    size_t bytes; /* that follow */
    char *name;
};

/* The next line without its end. False at the end of the file; text is "" if it is none. */
static bool next_line(FILE *file, struct line *line)
{
    line->text[0] = '\0';
    if (fgets(line->text, sizeof(line->text), file) == NULL)
        return false;
    size_t len = strlen(line->text);
    if (len == 0 || line->text[len - 1] != '\n')
        len = 1;
    line->text[len - 1] = '\0';
    return true;
}

/* @kind, a number and a name. */
static bool parse(struct line *line, const char *kind)
{
    size_t len = strlen(kind);
    char *end;

    if (strncmp(line->text, kind, len) != 0 || line->text[len] != ' ' ||
        !(line->text[len + 1] >= '0' && line->text[len + 1] <= '9'))
        return false;
    errno = 0;
    line->bytes = strtoul(line->text + len + 1, &end, 10);
    line->name = end + 1;
    return errno == 0 && *end == ' ' && end[1] != '\0';
}

/* A file that is larger than any can be is left out, and what is behind it read. */
static int skip(FILE *file, size_t bytes)
{
    uint8_t piece[4096];

    while (bytes > 0) {
        size_t n = bytes < sizeof(piece) ? bytes : sizeof(piece);
        if (fread(piece, 1, n, file) != n)
            return KITH_E_CORRUPT;
        bytes -= n;
    }
    return 0;
}

static int read_into(FILE *file, const struct line *line, struct board_file **files, size_t *n)
{
    if ((*n & (*n - 1)) == 0) { /* a power of two: twice as many */
        struct board_file *grown = realloc(*files, (*n == 0 ? 1 : 2 * *n) * sizeof(*grown));
        if (grown == NULL)
            return KITH_E_MEMORY;
        *files = grown;
    }
    struct board_file *to = &(*files)[*n];
    *to = (struct board_file){.data = malloc(line->bytes + 1), .len = line->bytes};
    if (to->data == NULL)
        return KITH_E_MEMORY;
    memcpy(to->name, line->name, strlen(line->name) + 1);
    (*n)++;
    return fread(to->data, 1, to->len, file) == to->len ? 0 : KITH_E_CORRUPT;
}

static int decode(struct board_bundle *bundle, struct board_file *file)
{
    int result = board_log_decode(&file->log, file->data, file->len);

    if (result == KITH_E_MEMORY)
        return result;
    file->good = result == 0;
    if (file->good && strcmp(file->log.board, bundle->board) != 0) {
        board_log_deinit(&file->log);
        file->good = false;
    }
    bundle->refused_n += !file->good;
    bundle->damaged_n += file->good && file->log.state == BOARD_LOG_DAMAGED;
    return 0;
}

int board_bundle_read(struct board_bundle *bundle, FILE *file)
{
    struct line line;
    int result = 0;

    *bundle = (struct board_bundle){0};
    size_t magic_len = strlen(BOARD_BUNDLE_MAGIC);
    if (!next_line(file, &line) || strncmp(line.text, BOARD_BUNDLE_MAGIC, magic_len) != 0)
        return KITH_E_CORRUPT;
    const char *name = line.text + magic_len;
    size_t name_len = strlen(name);
    if (!board_name_good(name, name_len))
        return KITH_E_CORRUPT;
    memcpy(bundle->board, name, name_len + 1);
    while (result == 0 && next_line(file, &line)) {
        bool log = parse(&line, "log");
        if (!log && !parse(&line, "image"))
            return KITH_E_CORRUPT;
        if (line.bytes > (log ? BOARD_LOG_BYTES_MAX : BOARD_BUNDLE_IMAGE_BYTES_MAX)) {
            bundle->refused_n++;
            result = skip(file, line.bytes);
            continue;
        }
        result = log ? read_into(file, &line, &bundle->logs, &bundle->logs_n)
                     : read_into(file, &line, &bundle->images, &bundle->images_n);
        if (result == 0 && log)
            result = decode(bundle, &bundle->logs[bundle->logs_n - 1]);
    }
    return result;
}

void board_bundle_deinit(struct board_bundle *bundle)
{
    for (size_t i = 0; i < bundle->logs_n; i++) {
        if (bundle->logs[i].good)
            board_log_deinit(&bundle->logs[i].log);
        free(bundle->logs[i].data);
    }
    for (size_t i = 0; i < bundle->images_n; i++)
        free(bundle->images[i].data);
    free(bundle->logs);
    free(bundle->images);
    *bundle = (struct board_bundle){0};
}

int board_bundle_ops(const struct board_bundle *bundle,
                     uint64_t at,
                     const struct board_op ***ops_out,
                     size_t *n_out)
{
    size_t room = 1, n = 0;

    for (size_t i = 0; i < bundle->logs_n; i++)
        room += bundle->logs[i].good ? bundle->logs[i].log.ops_n : 0;
    const struct board_op **ops = malloc(room * sizeof(const struct board_op *));
    if (ops == NULL)
        return KITH_E_MEMORY;
    for (size_t i = 0; i < bundle->logs_n; i++) {
        const struct board_log *log = &bundle->logs[i].log;
        for (size_t k = 0; bundle->logs[i].good && k < log->ops_n; k++)
            if (log->ops[k].clock <= at)
                ops[n++] = &log->ops[k];
    }
    *ops_out = ops;
    *n_out = n;
    return 0;
}

static const uint8_t *get_image(void *user, const struct board_op *op, size_t *len_out)
{
    const struct board_bundle *bundle = user;
    char name[BOARD_IMAGE_NAME_BYTES];

    board_image_name(op, name);
    for (size_t i = 0; i < bundle->images_n; i++) {
        const struct board_file *image = &bundle->images[i];
        if (strncmp(image->name, name, 2 * (size_t)BOARD_HASH_BYTES) == 0) {
            *len_out = image->len;
            return image->data;
        }
    }
    return NULL;
}

struct board_images board_bundle_images(const struct board_bundle *bundle)
{
    /* get() takes what it is given as const */
    union {
        const struct board_bundle *in;
        void *out;
    } user = {.in = bundle};

    return (struct board_images){.get = get_image, .user = user.out};
}

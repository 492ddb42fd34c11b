/*
 * Runs a fuzz target without libFuzzer: over every file of its corpus, then over mutations of them
 * (of nothing, where there is no corpus) from a printed seed. A failure is a crash or a sanitizer's
 * report, as with libFuzzer.
 */
#include <dirent.h>

#include "core/bytes.h"
#include "core/rng.h"
#include "lib/test.h"

#define INPUTS_MAX      4096
#define INPUT_BYTES_MAX (1 << 16)
#define MUTATIONS       20000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct buf inputs[INPUTS_MAX];
static size_t inputs_n;

static bool load(const char *dir, const char *name)
{
    char path[4096];
    uint8_t chunk[4096];
    struct buf *input = &inputs[inputs_n];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    for (size_t n; (n = fread(chunk, 1, sizeof(chunk), file)) > 0;)
        if (buf_append(input, chunk, n) != 0)
            break;
    inputs_n++;
    return fclose(file) == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* In the order of names, so that the mutations are the same everywhere. */
static bool load_corpus(const char *dir)
{
    struct dirent **names;
    int n = scandir(dir, &names, NULL, by_name);
    bool good = true;
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.' && inputs_n < INPUTS_MAX)
            good = load(dir, names[i]->d_name) && good;
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return good;
}

/* Runs on a copy of just its size, so that reading past the end is seen. */
static void run(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    if (copy == NULL)
        abort();
    if (len > 0)
        memcpy(copy, data, len);
    (void)LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static size_t mutate(struct rng *rng, uint8_t *data, size_t len)
{
    static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x40};
    for (uint64_t changes = 1 + rng_below(rng, 6); changes > 0; changes--) {
        size_t at = len > 0 ? (size_t)rng_below(rng, len) : 0;
        switch (rng_below(rng, 6)) {
        case 0:
            if (len > 0)
                data[at] ^= (uint8_t)(1u << rng_below(rng, 8));
            break;
        case 1:
            if (len > 0)
                data[at] = edges[rng_below(rng, sizeof(edges))];
            break;
        case 2:
            if (len > 0)
                data[at] = (uint8_t)rng_u64(rng);
            break;
        case 3:
            len = at;
            break;
        case 4: {
            size_t more = (size_t)rng_below(rng, 64);
            if (len + more > INPUT_BYTES_MAX)
                break;
            memmove(data + at + more, data + at, len - at);
            for (size_t i = 0; i < more; i++)
                data[at + i] = (uint8_t)rng_u64(rng);
            len += more;
            break;
        }
        default: {
            size_t other = len > 0 ? (size_t)rng_below(rng, len) : 0;
            size_t n = len > 0 ? (size_t)rng_below(rng, len - (at > other ? at : other)) : 0;
            memmove(data + at, data + other, n);
            break;
        }
        }
    }
    return len;
}

int main(int argc, char **argv)
{
    static uint8_t data[INPUT_BYTES_MAX];
    (void)printf("1..2\n");
    if (argc != 2 || !load_corpus(argv[1])) {
        (void)printf("not ok 1 - corpus can be read\n");
        return 1;
    }
    for (size_t i = 0; i < inputs_n; i++)
        run(inputs[i].data, inputs[i].len);
    (void)printf("ok 1 - corpus of %zu inputs\n", inputs_n);
    (void)fflush(stdout);
    struct rng rng = test_rng();
    for (unsigned i = 0; i < MUTATIONS; i++) {
        size_t len = 0;
        if (inputs_n > 0) {
            const struct buf *input = &inputs[rng_below(&rng, inputs_n)];
            len = input->len < INPUT_BYTES_MAX ? input->len : INPUT_BYTES_MAX;
            if (len > 0)
                memcpy(data, input->data, len);
        }
        len = mutate(&rng, data, len);
        run(data, len);
    }
    (void)printf("ok 2 - %d mutations\n", MUTATIONS);
    for (size_t i = 0; i < inputs_n; i++)
        buf_deinit(&inputs[i]);
    return 0;
}

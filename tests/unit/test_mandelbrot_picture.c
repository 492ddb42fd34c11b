/* Pictures: their tiles, their colours, their file, and the options that ask for them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <png.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/test.h"
#include "mandelbrot/options.h"
#include "mandelbrot/picture.h"
#include "mandelbrot/png_file.h"

#include <kith/error.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/mandelXXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder); /* fails if a test left something behind */
}

static struct mandel_view view_of(uint32_t width, uint32_t height)
{
    return (struct mandel_view){.re = -0.75,
                                .span = 3.5,
                                .width = width,
                                .height = height,
                                .iterations = 200,
                                .shortcuts = true};
}

static void fill(struct picture *picture)
{
    uint16_t shades[64 * 64];

    for (uint32_t no = 0; no < picture->tiles_n; no++) {
        struct mandel_rect rect = picture_rect(picture, no);
        assert_int_equal(
            mandel_draw(mandel_kernel_best(), &picture->view, &rect, NULL, NULL, shades), 0);
        for (uint32_t y = 0; y < rect.height; y++)
            memcpy(picture_at(picture, no) + (size_t)y * picture->view.width,
                   &shades[y * rect.width], rect.width * 2);
        picture->owner[no] = (uint16_t)(no % 5);
    }
}

static void tiles_cover_a_picture_once(void **state)
{
    static const uint32_t sizes[][3] = {{100, 70, 16}, {16, 16, 16}, {17, 15, 16},
                                        {1, 1, 8},     {300, 1, 64}, {64, 64, 1024}};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct mandel_view view = view_of(sizes[i][0], sizes[i][1]);
        struct picture picture;
        assert_int_equal(picture_init(&picture, &view, sizes[i][2]), 0);
        for (uint32_t at = 0; at < picture.tiles_n; at++) {
            struct mandel_rect rect = picture_rect(&picture, picture.order[at]);
            assert_true(rect.width >= 1 && rect.height >= 1);
            for (uint32_t y = rect.y; y < rect.y + rect.height; y++)
                for (uint32_t x = rect.x; x < rect.x + rect.width; x++)
                    picture.shades[y * view.width + x]++;
        }
        for (uint32_t p = 0; p < view.width * view.height; p++)
            assert_int_equal(picture.shades[p], 1);
        picture_deinit(&picture);
    }
}

static void dear_tiles_come_first(void **state)
{
    struct mandel_view view = view_of(512, 512);
    struct picture picture;
    uint64_t cost_all = 0;

    (void)state;
    view.shortcuts = false;
    assert_int_equal(picture_init(&picture, &view, 32), 0);
    for (uint32_t at = 0; at < picture.tiles_n; at++) {
        assert_true(picture.cost[picture.order[at]] >= 1);
        cost_all += picture.cost[picture.order[at]];
        if (at)
            assert_true(picture.cost[picture.order[at]] <= picture.cost[picture.order[at - 1]]);
    }
    assert_int_equal(cost_all, picture.cost_all);
    /* the first lies inside the set, the last outside the circle of radius 2 */
    struct mandel_rect first = picture_rect(&picture, picture.order[0]);
    uint16_t shades[32 * 32];
    assert_int_equal(mandel_draw(mandel_kernel_best(), &view, &first, NULL, NULL, shades), 0);
    assert_int_equal(shades[16 * 32 + 16], 0);
    picture_deinit(&picture);
}

static void a_picture_of_too_many_tiles_is_refused(void **state)
{
    struct mandel_view view = view_of(16384, 16384);
    struct picture picture;

    (void)state;
    assert_int_equal(picture_init(&picture, &view, 8), KITH_E_LIMIT);
    picture_deinit(&picture);
    picture_deinit(&picture);
}

static void only_shade_zero_is_black(void **state)
{
    static struct palette palette;
    uint8_t tint[3], mixed[3];

    (void)state;
    palette_init(&palette);
    assert_memory_equal(palette.rgb[0], "\0\0\0", 3);
    for (uint32_t shade = 1; shade < PALETTE_SHADES; shade++) {
        assert_true(palette.rgb[shade][0] || palette.rgb[shade][1] || palette.rgb[shade][2]);
        palette_node_colour(shade % 37, tint);
        palette_tint(palette.rgb[shade], tint, mixed);
        assert_true(mixed[0] || mixed[1] || mixed[2]);
        if (shade > 1) /* smooth: no channel jumps between neighbours */
            for (int k = 0; k < 3; k++)
                assert_true(abs(palette.rgb[shade][k] - palette.rgb[shade - 1][k]) <= 2);
    }
    palette_tint(palette.rgb[0], tint, mixed);
    assert_memory_equal(mixed, "\0\0\0", 3);
}

static void colours_are_the_same_on_every_machine(void **state)
{
    static struct palette palette;
    uint64_t hash = UINT64_C(14695981039346656037);

    (void)state;
    palette_init(&palette);
    for (size_t i = 0; i < sizeof(palette.rgb); i++)
        hash = (hash ^ ((const uint8_t *)palette.rgb)[i]) * UINT64_C(1099511628211);
    assert_int_equal(hash, UINT64_C(0xf95630d443266c4e));
}

static void nodes_have_colours_that_differ(void **state)
{
    (void)state;
    for (uint32_t a = 0; a < 12; a++) {
        for (uint32_t b = 0; b < a; b++) {
            uint8_t x[3], y[3];
            palette_node_colour(a, x);
            palette_node_colour(b, y);
            assert_true(abs(x[0] - y[0]) + abs(x[1] - y[1]) + abs(x[2] - y[2]) > 30);
        }
    }
}

/* Reads @path back with libpng; returns width * height * 3 bytes. */
static uint8_t *read_png(const char *path, uint32_t width, uint32_t height)
{
    png_image image = {.version = PNG_IMAGE_VERSION};

    assert_true(png_image_begin_read_from_file(&image, path));
    assert_int_equal(image.format, PNG_FORMAT_RGB);
    assert_int_equal(image.width, width);
    assert_int_equal(image.height, height);
    uint8_t *pixels = malloc(PNG_IMAGE_SIZE(image));
    assert_non_null(pixels);
    assert_true(png_image_finish_read(&image, NULL, pixels, 0, NULL));
    return pixels;
}

static void a_file_holds_the_picture(void **state)
{
    struct mandel_view view = view_of(203, 101);
    struct picture picture;
    struct png_file file;
    char path[128], why[PNG_FILE_WHY_BYTES];
    static struct palette palette;

    (void)state;
    palette_init(&palette);
    (void)snprintf(path, sizeof(path), "%s/a.png", folder);
    assert_int_equal(picture_init(&picture, &view, 64), 0);
    fill(&picture);
    for (int tint = 0; tint < 2; tint++) {
        uint64_t hash, hash_want = UINT64_C(14695981039346656037);
        assert_true(png_file_open(&file, path, why));
        assert_true(png_file_write(&file, &picture, tint, &hash, why));
        png_file_close(&file);
        uint8_t *pixels = read_png(path, 203, 101);
        size_t black = 0, tinted = 0;
        for (size_t i = 0; i < 203 * 101; i++) {
            const uint8_t *rgb = &pixels[i * 3];
            bool is_black = !rgb[0] && !rgb[1] && !rgb[2];
            black += is_black;
            tinted += memcmp(rgb, palette.rgb[picture.shades[i]], 3) != 0;
            assert_int_equal(is_black, picture.shades[i] == 0);
        }
        for (size_t i = 0; i < 203 * 101 * 3; i++)
            hash_want = (hash_want ^ pixels[i]) * UINT64_C(1099511628211);
        assert_int_equal(hash, hash_want);
        assert_in_range(black, 1000, 10000);
        if (tint)
            assert_true(tinted > 10000);
        else
            assert_int_equal(tinted, 0);
        free(pixels);
    }
    picture_deinit(&picture);
    assert_int_equal(unlink(path), 0);
}

static void a_file_is_complete_or_as_it_was(void **state)
{
    struct mandel_view view = view_of(400, 300);
    struct picture picture;
    struct png_file file;
    struct rlimit limit, small;
    char path[128], why[PNG_FILE_WHY_BYTES], line[32] = "";
    uint64_t hash;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/b.png", folder);
    FILE *old = fopen(path, "w");
    assert_non_null(old);
    assert_true(fputs("the old one", old) >= 0);
    assert_int_equal(fclose(old), 0);
    assert_int_equal(picture_init(&picture, &view, 64), 0);
    fill(&picture);

    /* no room for it, as on a full disk */
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 10000;
    assert_true(png_file_open(&file, path, why));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool written = png_file_write(&file, &picture, false, &hash, why);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_false(written);
    assert_non_null(strstr(why, path));
    assert_non_null(strstr(why, strerror(EFBIG)));
    png_file_close(&file);

    /* given up before it was written */
    assert_true(png_file_open(&file, path, why));
    png_file_close(&file);
    png_file_close(&file);

    old = fopen(path, "r");
    assert_non_null(old);
    assert_non_null(fgets(line, sizeof(line), old));
    assert_int_equal(fclose(old), 0);
    assert_string_equal(line, "the old one");
    picture_deinit(&picture);
    assert_int_equal(unlink(path), 0); /* and remove_folder() finds nothing beside it */
}

static void a_path_that_cannot_be_written_is_named(void **state)
{
    struct png_file file;
    char path[128], why[PNG_FILE_WHY_BYTES];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/none/c.png", folder);
    assert_false(png_file_open(&file, path, why));
    assert_non_null(strstr(why, path));
    assert_non_null(strstr(why, strerror(ENOENT)));
    png_file_close(&file);
    assert_false(png_file_open(&file, folder, why));
    assert_non_null(strstr(why, "directory"));
    png_file_close(&file);
}

static int parse(struct options *options, const char *line)
{
    static char text[512];
    int null = open("/dev/null", O_WRONLY);
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    char *argv[32] = {NULL};
    char program[] = "kith-mandelbrot";
    int argc = 0;

    (void)snprintf(text, sizeof(text), "%s", line);
    argv[argc++] = program;
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    /* what it says is not looked at here */
    (void)fflush(stdout);
    assert_true(dup2(null, STDOUT_FILENO) >= 0 && dup2(null, STDERR_FILENO) >= 0);
    int code = options_parse(options, argc, argv);
    (void)fflush(stdout);
    assert_true(dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0);
    assert_int_equal(close(null) | close(out) | close(err), 0);
    return code;
}

static void options_have_defaults_and_take_values(void **state)
{
    struct options options;

    (void)state;
    assert_int_equal(parse(&options, "render --out a.png"), -1);
    assert_string_equal(options.out, "a.png");
    assert_int_equal(options.view.width, 1600);
    assert_int_equal(options.view.iterations, 1000);
    assert_int_equal(options.tile, 128);
    assert_true(options.view.shortcuts);
    assert_false(options.serial);
    assert_int_equal(
        parse(&options,
              "render --out=b.png --size 65535x2 --center -0.5,-1e-3 --span=2.5e-7 --iterations "
              "1000000000 --tile 8 --serial --threads 1024 --kernel scalar --no-shortcuts --tint "
              "--json"),
        -1);
    assert_string_equal(options.out, "b.png");
    assert_int_equal(options.view.width, 65535);
    assert_int_equal(options.view.height, 2);
    assert_true(options.view.re == -0.5 && options.view.im == -1e-3 && options.view.span == 2.5e-7);
    assert_int_equal(options.view.iterations, 1000000000);
    assert_int_equal(options.tile, 8);
    assert_int_equal(options.threads, 1024);
    assert_false(options.view.shortcuts);
    assert_true(options.serial && options.tint && options.json);
    assert_int_equal(parse(&options, "--help"), 0);
    assert_int_equal(parse(&options, "render --help"), 0);
    assert_int_equal(parse(&options, "--version"), 0);
}

static void wrong_options_are_usage_errors(void **state)
{
    static const char *const wrong[] = {
        "",
        "draw",
        "render",
        "render a.png",
        "render --out",
        "render --out a.png b.png",
        "render --out a.png --size 100",
        "render --out a.png --size 0x10",
        "render --out a.png --size 10x65536",
        "render --out a.png --size 65535x65535",
        "render --out a.png --size -1x5",
        "render --out a.png --size 10x10x10",
        "render --out a.png --center 1",
        "render --out a.png --center 1,2,3",
        "render --out a.png --center nan,0",
        "render --out a.png --center 1001,0",
        "render --out a.png --center 0,inf",
        "render --out a.png --span 0",
        "render --out a.png --span -1",
        "render --out a.png --span 1e-101",
        "render --out a.png --span 1001",
        "render --out a.png --span 3.5px",
        "render --out a.png --span nan",
        "render --out a.png --iterations 0",
        "render --out a.png --iterations 1000000001",
        "render --out a.png --iterations 99999999999999999999999",
        "render --out a.png --iterations 1e3",
        "render --out a.png --tile 7",
        "render --out a.png --tile 1025",
        "render --out a.png --serial --threads 0",
        "render --out a.png --serial --threads 1025",
        "render --out a.png --threads 2",
        "render --out a.png --serial --kernel abacus",
        "render --out a.png --kernel scalar",
        "render --out a.png --serial --agent x",
        "render --out a.png --serial=yes",
        "render --out a.png --itterations 5",
    };
    struct options options;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (parse(&options, wrong[i]) != 2)
            fail_msg("taken: %s", wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_cover_a_picture_once),
        cmocka_unit_test(dear_tiles_come_first),
        cmocka_unit_test(a_picture_of_too_many_tiles_is_refused),
        cmocka_unit_test(only_shade_zero_is_black),
        cmocka_unit_test(colours_are_the_same_on_every_machine),
        cmocka_unit_test(nodes_have_colours_that_differ),
        cmocka_unit_test(a_file_holds_the_picture),
        cmocka_unit_test(a_file_is_complete_or_as_it_was),
        cmocka_unit_test(a_path_that_cannot_be_written_is_named),
        cmocka_unit_test(options_have_defaults_and_take_values),
        cmocka_unit_test(wrong_options_are_usage_errors),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

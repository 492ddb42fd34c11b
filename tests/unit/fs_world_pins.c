/*
 * Some paths are pinned at each node of a world of catalogues: what its changes tell of them comes
 * to what it shows.
 */
#include "fs_world.h"
#include "kith/error.h"

/* Takes, or gives back, what is counted of each file that a pin covers. */
static void count_pinned(struct world_node *node, bool more)
{
    struct fs_walk walk = {.share = {"", 0}, .path = {"", 0}};
    struct fs_listing at = {.begun = false};
    while (!at.ended) {
        struct fs_walked walked[16];
        size_t n;
        bool turned;
        assert_int_equal(fs_catalogue_walk(node->core, &walk, &at, walked, 16, &n), 0);
        for (size_t k = 0; k < n; k++) {
            struct kith_bytes share = {walked[k].share, strlen(walked[k].share)};
            struct kith_bytes path = {walked[k].path, walked[k].path_len};
            struct content *content = &walked[k].entry.content;
            if (!walked[k].entry.has_content || fs_pins_of(node->pins, share, path, NULL) == NULL)
                continue;
            if (!more && !fs_pins_has(node->pins, content->root)) {
                fs_world_wrong("node %u: %s is pinned, and its content is not",
                               (unsigned)(node - fw.nodes), walked[k].path);
                return;
            }
            assert_int_equal(fs_pins_count(node->pins, content, more, &turned), 0);
        }
    }
}

/* What the catalogue told of changes and what it shows come to the same pinned contents; and what
 * was deleted is pinned no more. */
static void check_pins(unsigned i)
{
    struct world_node *node = &fw.nodes[i];
    struct fs_pins_stats stats;
    fs_pins_check(node->pins);
    count_pinned(node, false);
    fs_pins_stats(node->pins, &stats);
    if (stats.contents_n > 0)
        fs_world_wrong("node %u: %llu contents are pinned, and no pinned path has them", i,
                       (unsigned long long)stats.contents_n);
    if (fw.problem == NULL)
        count_pinned(node, true);
    for (const struct fs_pin *pin = NULL; (pin = fs_pins_next(node->pins, pin)) != NULL;) {
        struct kith_bytes share, path;
        struct fs_entry entry;
        fs_pin_names(pin, &share, &path);
        if (fs_catalogue_stat(node->core, share, path, &entry) != 0)
            fs_world_wrong("node %u: %s is deleted, and pinned", i, pin->text);
    }
}

/* Half of what is there, folders too. */
void fs_world_pins_start(unsigned i)
{
    struct world_node *node = &fw.nodes[i];
    struct rng rng; /* of its own: the worlds of before stay what they are */
    rng_init(&rng, fw.now_ms * FS_WORLD_NODES + i);
    assert_int_equal(fs_pins_new(&node->pins), 0);
    for (unsigned p = 0; p < FS_WORLD_PATHS; p++) {
        const char *text = fs_world_path(p), *slash = strrchr(text, '/');
        bool folder = slash != NULL && rng_below(&rng, 3) == 0;
        struct kith_bytes share = {"s", 1};
        struct kith_bytes path = {text, folder ? (size_t)(slash - text) : strlen(text)};
        struct fs_entry entry;
        struct fs_pin *pin;
        if (rng_below(&rng, 2) == 0 && fs_catalogue_stat(node->core, share, path, &entry) == 0)
            assert_true(fs_pins_add(node->pins, share, path, &pin) != KITH_E_MEMORY);
    }
    count_pinned(node, true);
}

void fs_world_pins_tell(unsigned i, const struct catalogue_change *change)
{
    struct world_node *node = &fw.nodes[i];
    struct fs_pins_turn turn;
    if (node->pins != NULL)
        assert_int_equal(fs_pins_changed(node->pins, node->core, change, &turn), 0);
}

/* A pin of what was deleted goes when the step is over. */
static void drop_pins(struct world_node *node)
{
    struct fs_pin *pin;
    while (node->pins != NULL && (pin = fs_pins_doubted(node->pins)) != NULL) {
        struct kith_bytes share, path;
        struct fs_entry entry;
        fs_pin_names(pin, &share, &path);
        if (fs_catalogue_stat(node->core, share, path, &entry) != 0)
            fs_pins_remove(node->pins, pin);
    }
}

void fs_world_pins_stepped(unsigned i)
{
    struct world_node *node = &fw.nodes[i];
    if (node->pins == NULL)
        return;
    drop_pins(node);
    if (fw.steps_n % 4 == 0)
        check_pins(i);
}

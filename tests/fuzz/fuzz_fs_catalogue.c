/*
 * The catalogue's bytes. The first one chooses: 0, a version by itself, which is the same again
 * behind its bytes; 1, an entry as it is read from the disk (u8 length of the key); else messages
 * to a core that has a file and a link to the node of many zeros, each u16 bytes and its bytes.
 */
#include "core/error.h"
#include "fs/catalogue.h"
#include "fuzz_net.h"

static void version(const uint8_t *data, size_t len)
{
    uint8_t *copy = fuzz_copy(data, len);
    struct reader r = reader_of(copy, len);
    struct fs_version v;
    struct fs_version again;
    struct buf bytes = {0};
    if (fs_version_decode(&r, &v) == 0) {
        must(fs_version_encode(&v, &bytes) == 0);
        must(bytes.len == r.at && memcmp(bytes.data, copy, bytes.len) == 0);
        struct reader r2 = reader_of(bytes.data, bytes.len);
        must(fs_version_decode(&r2, &again) == 0);
        must(fs_version_order(&v, &again) == 0 && fs_version_before(&v, &again));
        fs_vector_join(&again.vector, &v.vector, &v.author.disk);
        (void)fs_vector_advance(&again.vector, &v.author.disk, 0);
        must(fs_version_replaces(&again, &v));
    }
    buf_deinit(&bytes);
    free(copy);
}

/* All that is owed is given: signatures of zeros, checks that are good, a disk that takes all. */
static void step(struct fs_catalogue *core, struct catalogue_event *event)
{
    static const uint8_t zeros[64 * FS_SIGNATURE_BYTES];
    struct catalogue_output out;
    struct catalogue_event owed[64];
    size_t n = 0;
    event->wall_ms = 1700000000000;
    int r = fs_catalogue_step(core, event, &out);
    must(r == 0 || r == KITH_E_CORRUPT);
    for (size_t i = 0; i < out.actions_n && n < 64; i++) {
        const struct catalogue_action *action = &out.actions[i];
        if (action->type == CATALOGUE_SYNC)
            owed[n++] = (struct catalogue_event){.type = CATALOGUE_STORED, .token = action->token};
        else if (action->type == CATALOGUE_VERIFY)
            owed[n++] =
                (struct catalogue_event){.type = CATALOGUE_VERIFIED, .token = action->token};
        else if (action->type == CATALOGUE_SIGN && action->n <= 64)
            owed[n++] = (struct catalogue_event){.type = CATALOGUE_SIGNED,
                                                 .token = action->token,
                                                 .data = {zeros, action->n * FS_SIGNATURE_BYTES}};
    }
    for (size_t i = 0; i < n; i++)
        step(core, &owed[i]);
}

static struct fs_catalogue *core_new(void)
{
    struct catalogue_config config = {.self = {.disk = {{1}}}, .disks_max = 64};
    struct fs_catalogue *core;
    must(fs_catalogue_new(&core, &config) == 0);
    return core;
}

static void recall(const uint8_t *data, size_t len)
{
    struct fs_catalogue *core = core_new();
    size_t key_len = data[0] < len ? data[0] : len - 1;
    uint8_t *copy = fuzz_copy(data + 1, len - 1);
    struct catalogue_event event = {.type = CATALOGUE_RECALL,
                                    .key = {copy, key_len},
                                    .data = {copy + key_len, len - 1 - key_len}};
    step(core, &event);
    event = (struct catalogue_event){.type = CATALOGUE_START};
    step(core, &event);
    fs_catalogue_check(core);
    fs_catalogue_free(core);
    free(copy);
}

static void messages(const uint8_t *data, size_t len)
{
    struct fs_catalogue *core = core_new();
    struct catalogue_event event = {.type = CATALOGUE_START};
    struct fs_publication p = {.change = FS_PUT,
                               .kind = FS_FILE,
                               .place = FS_IN_FOLDER,
                               .share = "s",
                               .share_len = 1,
                               .path = "a",
                               .path_len = 1,
                               .content = {.size = 1, .hash = 1, .chunk_log2 = 17}};
    step(core, &event);
    event = (struct catalogue_event){.type = CATALOGUE_LINK_UP};
    step(core, &event);
    event = (struct catalogue_event){.type = CATALOGUE_PUBLISH, .publications = &p, .n = 1};
    step(core, &event);
    while (len >= 2) {
        size_t n = get_le16(data);
        n = n < len - 2 ? n : len - 2;
        uint8_t *copy = fuzz_copy(data + 2, n);
        event = (struct catalogue_event){.type = CATALOGUE_RECV, .data = {copy, n}};
        step(core, &event);
        fs_catalogue_check(core);
        free(copy);
        data += 2 + n;
        len -= 2 + n;
    }
    event = (struct catalogue_event){.type = CATALOGUE_TICK, .now_ms = 20000};
    step(core, &event);
    fs_catalogue_check(core);
    fs_catalogue_free(core);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2)
        return 0;
    if (data[0] == 0)
        version(data + 1, len - 1);
    else if (data[0] == 1)
        recall(data + 1, len - 1);
    else
        messages(data + 1, len - 1);
    return 0;
}

/*
 * What a folder's machine is told by others than itself: stored entries (the first byte is 0), and
 * patterns of a .kithignore with a name (1), which may come from another node.
 */
#include "core/error.h"
#include "fs/ignore.h"
#include "fs/local.h"
#include "fuzz_net.h"

static void recall(const uint8_t *data, size_t len)
{
    struct local_config config = {.folder = 1, .share = "s"};
    struct local_core *core;
    struct local_output out;
    uint8_t key[LOCAL_KEY_BYTES] = {'f', 'l', 1};

    must(local_new(&core, &config) == 0);
    while (len >= 3) {
        size_t n = get_le16(data + 1);
        key[LOCAL_KEY_BYTES - 1] = data[0]; /* 0: the folder's own entry */
        data += 3;
        len -= 3;
        if (n > len)
            break;
        uint8_t *copy = fuzz_copy(data, n);
        struct local_event event = {
            .type = LOCAL_RECALL, .key = {key, sizeof(key)}, .data = {copy, n}};
        int r = local_step(core, &event, &out);
        must(r == 0 || r == KITH_E_CORRUPT);
        local_check(core);
        free(copy);
        data += n;
        len -= n;
    }
    struct local_event event = {.type = LOCAL_START, .now_ms = 1};
    must(local_step(core, &event, &out) == 0);
    local_check(core);
    local_free(core);
}

static void patterns(const uint8_t *data, size_t len)
{
    const uint8_t *end = memchr(data, '\0', len);
    size_t path_len = end != NULL ? (size_t)(end - data) : 0;
    struct fs_ignore *ignore;
    char *path;
    int r;

    if (path_len == 0)
        return;
    path = (char *)fuzz_copy(data, path_len + 1);
    must(fs_ignore_new(&ignore, true) == 0);
    r = fs_ignore_set(ignore, "", end + 1, len - path_len - 1);
    must(r == 0 || r == KITH_E_TOO_LARGE || r == KITH_E_LIMIT);
    (void)fs_ignore_has(ignore, path, true);
    (void)fs_ignore_has(ignore, path, false);
    fs_ignore_free(ignore);
    free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    if (data[0] == 0)
        recall(data + 1, len - 1);
    else
        patterns(data + 1, len - 1);
    return 0;
}

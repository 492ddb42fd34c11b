/*
 * The catalogue of a simulated node: its actions carried out, its store, publications.
 */
#include <sodium/crypto_generichash_blake2b.h>

#include "host_fs_internal.h"

#define SIGN_US 20000

void hf_catalogue_boot(struct hf *hf)
{
    struct catalogue_config config = hf->hw->catalogue;

    config.self = hf->self;
    config.seed = sim_node_seed(hf->node);
    if (fs_catalogue_new(&hf->catalogue, &config) != 0)
        abort();
}

/* ---- the store ---- */

void hf_store(struct hf *hf, const void *key, size_t key_len, const void *data, size_t len)
{
    if (hf->puts_n == hf->puts_cap) {
        hf->puts_cap = hf->puts_cap > 0 ? 2 * hf->puts_cap : 64;
        hf->puts = sim_realloc(hf->puts, hf->puts_cap, sizeof(*hf->puts));
    }
    hf->puts[hf->puts_n++] = (struct hf_put){
        .key_at = hf->put_bytes.len, .key_len = key_len, .len = len, .erase = data == NULL};
    if (buf_append(&hf->put_bytes, key, key_len) != 0 ||
        (len > 0 && buf_append(&hf->put_bytes, data, len) != 0))
        abort();
}

void hf_store_flush(struct hf *hf, bool sync, uint64_t token)
{
    if (hf->puts_n == 0 && !sync)
        return;
    struct disk_put *puts = sim_realloc(NULL, hf->puts_n + 1, sizeof(*puts));
    for (size_t i = 0; i < hf->puts_n; i++) {
        const struct hf_put *put = &hf->puts[i];
        const uint8_t *key = hf->put_bytes.data + put->key_at;

        puts[i] = (struct disk_put){.key = key,
                                    .key_len = put->key_len,
                                    .data = put->erase ? NULL : key + put->key_len,
                                    .len = put->len};
    }
    disk_write(hf->disk, sync, token, puts, hf->puts_n);
    free(puts);
    hf->puts_n = 0;
    hf->put_bytes.len = 0;
}

/* ---- signatures: hashes with the key ---- */

static void signature_of(const uint8_t *key, struct kith_bytes data, uint8_t *out)
{
    (void)crypto_generichash_blake2b(out, FS_SIGNATURE_BYTES, data.data, data.len, key,
                                     FS_KEY_BYTES);
}

static void on_sign(struct hf *hf, const struct catalogue_action *action)
{
    struct hf_todo *job = hf_job(hf, HF_SIGNED, SIGN_US);

    job->token = action->token;
    job->len = action->n * FS_SIGNATURE_BYTES;
    job->bytes = sim_realloc(NULL, job->len, 1);
    for (size_t i = 0; i < action->n; i++) {
        hf->hw->observer.signing(hf, action->checks[i].data);
        signature_of(hf->self.key, action->checks[i].data, job->bytes + i * FS_SIGNATURE_BYTES);
    }
}

static void on_verify(struct hf *hf, const struct catalogue_action *action)
{
    struct hf_todo *job = hf_job(hf, HF_CHECKED_SIGNATURES, SIGN_US);

    job->token = action->token;
    for (size_t i = 0; i < action->n; i++) {
        const struct catalogue_check *check = &action->checks[i];
        uint8_t signature[FS_SIGNATURE_BYTES];

        signature_of(check->key, check->data, signature);
        if (memcmp(signature, check->signature, sizeof(signature)) != 0)
            job->code = KITH_E_CORRUPT;
    }
}

/* ---- steps ---- */

/* What is done about a copy when its holding is stored is none of the cores': at once, before
 * anything that follows from the change looks at it. */
static bool held_now(struct hf *hf, const struct catalogue_action *action)
{
    struct hf_under_way one = {0};

    for (size_t i = 0; i < hf->publications.n && one.id == 0; i++)
        if (hf->publications.items[i].id == action->id)
            one = hf->publications.items[i];
    if (one.id == 0 || one.purpose == HF_FOR_USER)
        return false;
    (void)hf_list_take(&hf->publications, action->id, &one);
    hf_keep_held(hf, &one, action->code);
    return true;
}

static void do_action(struct hf *hf, const struct catalogue_action *action)
{
    struct hf_todo *todo;

    switch (action->type) {
    case CATALOGUE_SEND:
        (void)hf_send(hf, &action->peer, NET_CONTROL, FRAME_FS, action->data,
                      (struct kith_bytes){NULL, 0});
        break;
    case CATALOGUE_PERSIST:
        hf_store(hf, action->key.data, action->key.len, action->data.data, action->data.len);
        break;
    case CATALOGUE_SYNC:
        hf_store_flush(hf, true, action->token);
        break;
    case CATALOGUE_SIGN:
        on_sign(hf, action);
        break;
    case CATALOGUE_VERIFY:
        on_verify(hf, action);
        break;
    case CATALOGUE_PUBLISHED:
        if (held_now(hf, action))
            break;
        todo = hf_todo(hf, HF_PUBLISHED);
        todo->token = action->id;
        todo->code = action->code;
        todo->version = action->version_id;
        break;
    case CATALOGUE_CHANGED:
        break;
    case CATALOGUE_CONTENT:
        hf_todo(hf, HF_CONTENT)->content = action->content;
        break;
    case CATALOGUE_FORGED:
        sim_violation(hf->hw->world, "node %zu says that node %zu forged something", hf->index,
                      hf_index_of(hf->hw, &action->peer));
        break;
    case CATALOGUE_RENEWED:
        sim_note(hf->hw->world, "node %zu begins a new index", hf->index);
        break;
    }
}

void hf_catalogue_do(struct hf *hf, struct catalogue_event *event)
{
    struct catalogue_output out;

    event->now_ms = hf_now_ms(hf);
    event->wall_ms = hf_wall_ms(hf);
    int r = fs_catalogue_step(hf->catalogue, event, &out);
    if (r != 0)
        sim_violation(hf->hw->world, "node %zu: a step of the catalogue gives %s", hf->index,
                      kith_error_name(r));
    for (size_t i = 0; i < out.actions_n; i++)
        do_action(hf, &out.actions[i]);
    hf_store_flush(hf, false, 0);
}

/* ---- publications ---- */

static void note(struct hf *hf, uint64_t id, enum hf_purpose purpose, unsigned item, uint64_t user)
{
    struct hf_under_way one = {.id = id, .user = user, .item = item, .purpose = purpose};

    hf_list_add(&hf->publications, &one);
}

void hf_publish(struct hf *hf, struct fs_publication *publication, uint64_t user)
{
    struct catalogue_event event = {.type = CATALOGUE_PUBLISH, .publications = publication, .n = 1};

    publication->id = ++hf->next_no;
    publication->share = "s";
    publication->share_len = 1;
    note(hf, publication->id, HF_FOR_USER, 0, user);
    hf_catalogue_do(hf, &event);
}

void hf_hold(struct hf *hf, unsigned item, bool held, enum hf_purpose purpose)
{
    struct fs_holding holding = {.id = ++hf->next_no, .held = held};
    struct catalogue_event event = {.type = CATALOGUE_HOLD, .holdings = &holding, .n = 1};

    memcpy(holding.root, fi_content(&hf->hw->items, item)->root, FS_ROOT_BYTES);
    note(hf, holding.id, purpose, item, 0);
    hf_catalogue_do(hf, &event);
}

void hf_published(struct hf *hf, const struct hf_todo *todo)
{
    struct hf_under_way one;

    if (!hf_list_take(&hf->publications, todo->token, &one)) {
        sim_violation(hf->hw->world, "node %zu: a publication ends twice", hf->index);
        return;
    }
    hf->hw->observer.published(hf, one.user, todo->code, todo->version);
}

/* ---- folders ---- */

static void scan_path(struct hf *hf, unsigned path, bool own)
{
    unsigned item = hf->files->folder[path];
    bool released = hf->files->released[path];
    struct fs_publication p = {.change = item != 0  ? FS_PUT
                                         : released ? FS_RELEASE
                                                    : FS_DELETE,
                               .basis = FS_ON_OWN,
                               .place = FS_IN_FOLDER,
                               .kind = FS_FILE,
                               .mode = 0644,
                               .mtime_ns = 1,
                               .path = hf_path(path),
                               .path_len = (uint32_t)strlen(hf_path(path))};

    if (item == 0 && !own)
        return;
    if (item != 0)
        p.content = *fi_content(&hf->hw->items, item);
    hf_publish(hf, &p, 0);
}

void hf_scan(struct hf *hf)
{
    static struct fs_walked walked[HF_PATHS + 4];
    const struct fs_walk walk = {.share = {"s", 1}, .flags = FS_WALK_OWN};
    struct fs_listing at = {0};
    bool own[HF_PATHS + 1] = {false};
    size_t n = 0;
    int r = fs_catalogue_walk(hf->catalogue, &walk, &at, walked, sizeof(walked) / sizeof(walked[0]),
                              &n);

    for (size_t i = 0; r == 0 && i < n; i++)
        own[hf_path_no(walked[i].path, walked[i].path_len)] = true;
    for (unsigned p = 0; p < HF_PATHS; p++)
        scan_path(hf, p, own[p]);
}

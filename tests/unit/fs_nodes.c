#include "fs_nodes.h"

#include <sodium/crypto_generichash_blake2b.h>

#include "core/error.h"
#include "core/map.h"

struct nodes ns;

struct frame {
    struct frame *next;
    unsigned from, to;
    size_t len;
    uint8_t data[];
};
static struct frame *first;
static struct frame **last = &first;

static unsigned node_of(const struct kith_node_id *id)
{
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (kith_node_id_equal(&ns.node[i].author.node, id))
            return i;
    fail_msg("a frame to nobody");
    return 0;
}

static void sign(const uint8_t *key, struct kith_bytes data, uint8_t out[FS_SIGNATURE_BYTES])
{
    (void)crypto_generichash_blake2b(out, FS_SIGNATURE_BYTES, data.data, data.len, key,
                                     FS_KEY_BYTES);
}

static void keep(struct nodes_node *node, const struct catalogue_action *action)
{
    size_t at = 0;
    if (!node->keeps)
        return;
    while (at < node->kept_n &&
           (node->kept[at].key_len != action->key.len ||
            memcmp(node->kept[at].key, action->key.data, action->key.len) != 0))
        at++;
    if (at < node->kept_n) {
        buf_deinit(&node->kept[at].data);
        node->kept[at] = node->kept[--node->kept_n];
    }
    if (action->data.data == NULL)
        return;
    if (node->kept_n == node->kept_cap) {
        node->kept_cap = node->kept_cap * 2 + 16;
        node->kept = realloc(node->kept, node->kept_cap * sizeof(*node->kept));
        assert_non_null(node->kept);
    }
    struct nodes_kept *kept = &node->kept[node->kept_n++];
    *kept = (struct nodes_kept){.key_len = action->key.len};
    memcpy(kept->key, action->key.data, action->key.len);
    assert_int_equal(buf_append(&kept->data, action->data.data, action->data.len), 0);
}

/* What a step wants of the world, done when its actions have been read. */
struct owed {
    enum catalogue_event_type type;
    uint64_t token;
    int code;
    struct buf data;
};

static void check(struct nodes_node *node, const struct catalogue_action *action, struct owed *owed)
{
    bool signs = action->type == CATALOGUE_SIGN;
    *owed = (struct owed){.type = signs ? CATALOGUE_SIGNED : CATALOGUE_VERIFIED,
                          .token = action->token};
    for (size_t i = 0; i < action->n; i++) {
        const struct catalogue_check *c = &action->checks[i];
        uint8_t signature[FS_SIGNATURE_BYTES];
        sign(signs ? node->author.key : c->key, c->data, signature);
        signature[0] ^= (uint8_t)(signs && node->lies);
        if (signs)
            assert_int_equal(buf_append(&owed->data, signature, sizeof(signature)), 0);
        else if (memcmp(signature, c->signature, sizeof(signature)) != 0)
            owed->code = KITH_E_CORRUPT;
    }
    node->signed_n += signs ? action->n : 0;
    node->verified_n += signs ? 0 : action->n;
}

static void post(unsigned from, const struct catalogue_action *action)
{
    struct frame *frame = malloc(sizeof(*frame) + action->data.len);
    assert_non_null(frame);
    *frame = (struct frame){.from = from, .to = node_of(&action->peer), .len = action->data.len};
    memcpy(frame->data, action->data.data, action->data.len);
    ns.node[from].sent_bytes += frame->len;
    *last = frame;
    last = &frame->next;
}

static void note_change(struct nodes_node *node, const struct catalogue_change *change)
{
    if (node->changes_n == sizeof(node->changes) / sizeof(node->changes[0]))
        return;
    struct nodes_change *to = &node->changes[node->changes_n++];
    struct fs_version version;
    *to = (struct nodes_change){.what = change->what};
    (void)snprintf(to->path, sizeof(to->path), "%s", change->path);
    (void)snprintf(to->from, sizeof(to->from), "%s",
                   change->from_path != NULL ? change->from_path : "");
    if (change->before != NULL) {
        fs_known_version(node->core, change->before, &version);
        to->before = version.content.size;
    }
    if (change->after != NULL) {
        fs_known_version(node->core, change->after, &version);
        to->after = version.content.size;
    }
}

static int step(unsigned i, struct catalogue_event *event);

static void settle(unsigned i, struct owed *owed, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        struct catalogue_event event = {.type = owed[k].type,
                                        .token = owed[k].token,
                                        .code = owed[k].code,
                                        .data = {owed[k].data.data, owed[k].data.len}};
        (void)step(i, &event);
        buf_deinit(&owed[k].data);
    }
}

static int step(unsigned i, struct catalogue_event *event)
{
    struct nodes_node *node = &ns.node[i];
    struct catalogue_output out;
    struct owed owed[16];
    size_t owed_n = 0;
    event->now_ms = ns.now_ms;
    event->wall_ms = ns.wall_ms;
    int r = fs_catalogue_step(node->core, event, &out);
    for (size_t k = 0; k < out.actions_n; k++) {
        const struct catalogue_action *action = &out.actions[k];
        assert_true(owed_n < 16);
        if (action->type == CATALOGUE_SEND) {
            post(i, action);
        } else if (action->type == CATALOGUE_PERSIST) {
            keep(node, action);
        } else if (action->type == CATALOGUE_SYNC) {
            node->held_token = action->token;
            if (!node->holds_sync)
                owed[owed_n++] = (struct owed){.type = CATALOGUE_STORED, .token = action->token};
        } else if (action->type == CATALOGUE_SIGN || action->type == CATALOGUE_VERIFY) {
            check(node, action, &owed[owed_n++]);
        } else if (action->type == CATALOGUE_CHANGED) {
            note_change(node, &action->change);
        } else if (action->type == CATALOGUE_PUBLISHED) {
            node->code = action->code;
            node->published_id = action->id;
            node->published_version = action->version_id;
            node->published_n++;
        }
        node->contents_n += action->type == CATALOGUE_CONTENT;
        node->forged_n += action->type == CATALOGUE_FORGED;
        node->renewed_n += action->type == CATALOGUE_RENEWED;
    }
    settle(i, owed, owed_n);
    return r;
}

static void deliver(void)
{
    while (first != NULL) {
        struct frame *frame = first;
        first = frame->next;
        if (first == NULL)
            last = &first;
        struct catalogue_event event = {.type = CATALOGUE_RECV,
                                        .peer = ns.node[frame->from].author.node,
                                        .data = {frame->data, frame->len}};
        if (ns.linked[frame->from][frame->to])
            assert_int_equal(step(frame->to, &event), 0);
        free(frame);
    }
}

int nodes_step(unsigned i, struct catalogue_event *event)
{
    int r = step(i, event);
    deliver();
    return r;
}

void nodes_link(unsigned a, unsigned b, bool up)
{
    struct catalogue_event event = {.type = up ? CATALOGUE_LINK_UP : CATALOGUE_LINK_DOWN};
    if (ns.linked[a][b] == up)
        return;
    ns.linked[a][b] = up;
    ns.linked[b][a] = up;
    event.peer = ns.node[b].author.node;
    (void)step(a, &event);
    event.peer = ns.node[a].author.node;
    (void)step(b, &event);
    deliver();
}

void nodes_wait(uint64_t ms)
{
    uint64_t end_ms = ns.now_ms + ms;
    for (;;) {
        uint64_t next = end_ms + 1;
        unsigned who = NODES_MAX;
        for (unsigned i = 0; i < NODES_MAX; i++) {
            if (ns.node[i].core != NULL && fs_catalogue_deadline_ms(ns.node[i].core) < next) {
                next = fs_catalogue_deadline_ms(ns.node[i].core);
                who = i;
            }
        }
        if (who == NODES_MAX)
            break;
        uint64_t at_ms = next > ns.now_ms ? next : ns.now_ms;
        struct catalogue_event event = {.type = CATALOGUE_TICK};
        ns.wall_ms += at_ms - ns.now_ms;
        ns.now_ms = at_ms;
        (void)nodes_step(who, &event);
    }
    ns.wall_ms += end_ms - ns.now_ms;
    ns.now_ms = end_ms;
}

void nodes_start(unsigned i)
{
    struct nodes_node *node = &ns.node[i];
    struct catalogue_config config = ns.config;
    config.self = node->author;
    config.seed = i + 1;
    assert_int_equal(fs_catalogue_new(&node->core, &config), 0);
    struct catalogue_event event = {.type = CATALOGUE_RECALL};
    for (size_t k = 0; k < node->kept_n; k++) {
        event.key = (struct kith_bytes){node->kept[k].key, node->kept[k].key_len};
        event.data = (struct kith_bytes){node->kept[k].data.data, node->kept[k].data.len};
        assert_int_equal(step(i, &event), 0);
    }
    event = (struct catalogue_event){.type = CATALOGUE_START};
    assert_int_equal(nodes_step(i, &event), 0);
}

void nodes_stop(unsigned i)
{
    for (unsigned k = 0; k < NODES_MAX; k++)
        if (ns.linked[i][k])
            nodes_link(i, k, false);
    fs_catalogue_free(ns.node[i].core);
    ns.node[i].core = NULL;
}

void nodes_begin(unsigned n)
{
    struct catalogue_config config = ns.config;
    memset(&ns, 0, sizeof(ns));
    ns.config = config;
    ns.now_ms = 1000;
    ns.wall_ms = 1700000000000;
    for (unsigned i = 0; i < NODES_MAX; i++) {
        struct fs_author *author = &ns.node[i].author;
        memset(author->key, (int)i + 65, FS_KEY_BYTES);
        memset(author->disk.bytes, (int)i + 1, FS_DISK_BYTES);
        author->disk.bytes[FS_DISK_BYTES - 1] = 0;
        (void)crypto_generichash_blake2b(author->node.bytes, KITH_NODE_ID_BYTES, author->key,
                                         FS_KEY_BYTES, NULL, 0);
    }
    for (unsigned i = 0; i < n; i++)
        nodes_start(i);
}

void nodes_end(void)
{
    for (unsigned i = 0; i < NODES_MAX; i++) {
        struct nodes_node *node = &ns.node[i];
        if (node->core != NULL)
            fs_catalogue_check(node->core);
        fs_catalogue_free(node->core);
        for (size_t k = 0; k < node->kept_n; k++)
            buf_deinit(&node->kept[k].data);
        free(node->kept);
    }
    memset(&ns, 0, sizeof(ns));
}

struct content nodes_content(unsigned content)
{
    struct content c = {.size = content, .hash = CONTENT_BLAKE2B_256, .chunk_log2 = 17};
    put_le64(c.root, hash_bytes(&content, sizeof(content), 1));
    put_le64(c.root + 8, content);
    return c;
}

struct fs_publication nodes_publication(uint8_t change, uint8_t basis, const char *path)
{
    static uint64_t id;
    return (struct fs_publication){.id = ++id,
                                   .change = change,
                                   .basis = basis,
                                   .place = basis == FS_ON_OWN ? FS_IN_FOLDER : FS_IN_KEEP,
                                   .kind = FS_FILE,
                                   .share = "s",
                                   .share_len = 1,
                                   .path = path,
                                   .path_len = (uint32_t)strlen(path),
                                   .mode = 0644};
}

int nodes_publish(unsigned i, const struct fs_publication *publication)
{
    struct catalogue_event event = {.type = CATALOGUE_PUBLISH, .publications = publication, .n = 1};
    ns.node[i].code = 1;
    (void)nodes_step(i, &event);
    return ns.node[i].code;
}

int nodes_put(unsigned i, const char *path, unsigned content, uint8_t basis)
{
    struct fs_publication p = nodes_publication(content != 0 ? FS_PUT : FS_DELETE, basis, path);
    p.content = nodes_content(content);
    return nodes_publish(i, &p);
}

int nodes_hold(unsigned i, unsigned content, bool held)
{
    struct fs_holding holding = {.id = 1, .held = held};
    struct content c = nodes_content(content);
    memcpy(holding.root, c.root, sizeof(holding.root));
    struct catalogue_event event = {.type = CATALOGUE_HOLD, .holdings = &holding, .n = 1};
    ns.node[i].code = 1;
    (void)nodes_step(i, &event);
    return ns.node[i].code;
}

struct fs_entry nodes_stat(unsigned i, const char *path)
{
    struct fs_entry entry = {0};
    (void)fs_catalogue_stat(ns.node[i].core, (struct kith_bytes){"s", 1},
                            (struct kith_bytes){path, strlen(path)}, &entry);
    return entry;
}

unsigned nodes_shows(unsigned i, const char *path)
{
    return (unsigned)nodes_stat(i, path).size;
}

const struct nodes_change *nodes_change(unsigned i, enum catalogue_what what, const char *path)
{
    for (size_t k = 0; k < ns.node[i].changes_n; k++)
        if (ns.node[i].changes[k].what == what && strcmp(ns.node[i].changes[k].path, path) == 0)
            return &ns.node[i].changes[k];
    return NULL;
}

void nodes_forget_changes(void)
{
    for (unsigned i = 0; i < NODES_MAX; i++)
        ns.node[i].changes_n = 0;
}

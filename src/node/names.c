/*
 * Names of nodes and functions: a durable variable each, whose name no program can write. Its value
 * says what the name stands for and whose it is:
 *
 *     u8 1  u8 enum kith_name_kind  16 bytes id of the owner  u64 its boot  name of the function
 *
 * It is only ever changed by compare-and-set on the version that was read, so that of two who take
 * a free name one gets it. A record whose owner is gone counts as absent, and the home of the
 * variable deletes it in the end. Whether an owner is gone is told by membership here; about one
 * that is not known (yet) the record is believed for NAME_SETTLE_MS.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/error.h"
#include "node/internal.h"
#include "node/records.h"
#include "rpc/names.h"

#define NAME_PREFIX       "\x01name/"
#define NAME_PREFIX_BYTES (sizeof(NAME_PREFIX) - 1)
/* News of a node or of a function that it offers is everywhere by then. */
#define NAME_SETTLE_MS 10000
/* Others took or freed the name meanwhile: read again, so often. */
#define NAME_TRIES_MAX 16
#define NAME_LIST_FN   "sys.names"

enum name_want { NAME_REGISTER, NAME_RESOLVE, NAME_REMOVE };

struct name_op {
    enum name_want want;
    struct kith_name name; /* REGISTER: what it is to stand for */
    unsigned tries_n;
    node_name_cb cb;
    void *user;
    char full[KITH_NAME_BYTES_MAX + 1]; /* of the variable */
};

static const char *shown(const struct name_op *op)
{
    return op->full + NAME_PREFIX_BYTES;
}

/* ---- records ---- */

/* False for what a later version wrote. */
static bool
record_decode(struct kith_node *node, const uint8_t *data, size_t len, struct kith_name *name_out)
{
    const char *known;

    if (!name_record_decode(data, len, name_out))
        return false;
    known = node_name_of(node, &name_out->node);
    snprintf(name_out->node_name, sizeof(name_out->node_name), "%s", known != NULL ? known : "");
    return true;
}

static bool offers(struct kith_node *node, const struct kith_node_id *id, const char *fn)
{
    size_t max = member_alive_n(node->members, true) + 1, n;
    struct kith_node_id *ids = core_calloc(max, sizeof(*ids));
    bool found = false;

    if (ids == NULL)
        return true; /* nobody loses a name for that */
    n = rpc_who_has(node->rpc, node_name_hash_of(node, fn), ids, max);
    found = n > max;
    for (size_t i = 0; i < n && i < max && !found; i++)
        found = kith_node_id_equal(&ids[i], id);
    core_free(ids);
    return found;
}

static bool
owner_is_gone(struct kith_node *node, const struct kith_name *name, uint64_t written_unix_ms)
{
    const struct member *member = member_find(node->members, &name->node);
    bool self = kith_node_id_equal(&name->node, &node->identity.id);
    bool settled = written_unix_ms + NAME_SETTLE_MS < node_unix_ms();
    uint64_t boot_no = self ? node->boot_no : member != NULL ? member->boot_no : 0;

    if (boot_no != 0 && boot_no != name->boot_no)
        return boot_no > name->boot_no; /* else it has started again and we have not heard yet */
    if (!self) {
        if (member == NULL)
            return settled;
        if (member->status == KITH_STATUS_FAILED || member->status == KITH_STATUS_LEFT)
            return true;
    }
    return name->kind == KITH_NAME_FUNCTION && (self || settled) &&
           !offers(node, &name->node, name->function);
}

/* ---- operations ---- */

static void op_end(struct kith_node *node, struct name_op *op, int code, const char *text)
{
    /* A sentence about the variable is one about the name. */
    if (strncmp(text, NAME_PREFIX, NAME_PREFIX_BYTES) == 0)
        text += NAME_PREFIX_BYTES;
    op->cb(node, code, &op->name, text, op->user);
    core_free(op);
}

static void op_fail(struct kith_node *node, struct name_op *op, int code)
{
    char text[1024];

    snprintf(text, sizeof(text), "%s", code == KITH_E_MEMORY ? "memory is short" : kith_errmsg());
    op_end(node, op, code, text);
}

static void op_read(struct kith_node *node, struct name_op *op);

static void on_written(struct kith_node *node, const struct kith_value *value, void *user)
{
    struct name_op *op = user;

    if (value->code != 0)
        op_end(node, op, value->code, value->text);
    else if (value->applied)
        op_end(node, op, 0, "");
    else if (++op->tries_n < NAME_TRIES_MAX)
        op_read(node, op);
    else
        op_fail(node, op,
                kith_fail_with(KITH_E_BUSY, "%s is changed by others all the time; try again",
                               shown(op)));
}

/* Writes the record (NULL: none) if nobody has changed it since. */
static void op_write(
    struct kith_node *node, struct name_op *op, uint64_t version, const uint8_t *record, size_t len)
{
    struct value_op write = {.kind = VALUE_OP_CAS_VERSION,
                             .type = record != NULL ? VALUE_BYTES : VALUE_NONE,
                             .policy = VALUE_DURABLE,
                             .expect_version = version,
                             .data = record,
                             .data_len = len};
    int r = node_var_begin(node, op->full, &write, on_written, op);

    if (r != 0)
        op_fail(node, op, r);
}

static bool same_owner(const struct kith_name *a, const struct kith_name *b)
{
    return a->kind == b->kind && a->boot_no == b->boot_no &&
           kith_node_id_equal(&a->node, &b->node) && strcmp(a->function, b->function) == 0;
}

static void op_taken(struct kith_node *node, struct name_op *op, const struct kith_name *has)
{
    char id[KITH_NODE_ID_DIGITS + 1];
    const char *who =
        has->node_name[0] != '\0' ? has->node_name : kith_node_id_text(&has->node, id);

    op->name = *has;
    if (has->kind == KITH_NAME_NODE)
        op_fail(node, op,
                kith_fail_with(KITH_E_EXISTS,
                               "%s is the name of node %s; take another, or kith name rm %s first",
                               shown(op), who, shown(op)));
    else
        op_fail(node, op,
                kith_fail_with(KITH_E_EXISTS,
                               "%s is the name of the function %s of node %s; take another, or "
                               "kith name rm %s first",
                               shown(op), has->function, who, shown(op)));
}

static void on_read(struct kith_node *node, const struct kith_value *value, void *user)
{
    struct name_op *op = user;
    struct kith_name has = {0};
    uint8_t record[NAME_RECORD_BYTES_MAX];

    if (value->code != 0 && value->code != KITH_E_NOT_FOUND) {
        op_end(node, op, value->code, value->text);
        return;
    }
    bool there = value->code == 0 && value->found && (uint8_t)value->type != VALUE_NONE;
    uint64_t version = there ? value->version : 0;
    if (there && !record_decode(node, value->data, value->len, &has)) {
        op_fail(node, op,
                kith_fail_with(KITH_E_CORRUPT,
                               "what %s stands for cannot be read here; use the same release on "
                               "all nodes, or kith name rm %s",
                               shown(op), shown(op)));
        return;
    }
    bool taken = there && !owner_is_gone(node, &has, value->time_unix_ms);
    if (op->want == NAME_REGISTER && !taken) {
        op_write(node, op, version, record, name_record_encode(&op->name, record));
    } else if (op->want == NAME_REGISTER) {
        if (same_owner(&has, &op->name))
            op_end(node, op, 0, "");
        else
            op_taken(node, op, &has);
    } else if (!taken) {
        op_fail(node, op,
                kith_fail_with(KITH_E_NOT_FOUND,
                               "nobody who is alive has the name %s; kith name register gives it",
                               shown(op)));
    } else {
        op->name = has;
        if (op->want == NAME_RESOLVE)
            op_end(node, op, 0, "");
        else
            op_write(node, op, version, NULL, 0);
    }
}

static void op_read(struct kith_node *node, struct name_op *op)
{
    struct value_op read = {.kind = VALUE_OP_GET};
    int r = node_var_begin(node, op->full, &read, on_read, op);

    if (r != 0)
        op_fail(node, op, r);
}

/* Checks, and begins. @cb runs later, unless this fails. */
static int begin(struct kith_node *node,
                 enum name_want want,
                 const char *name,
                 const struct kith_name *what,
                 node_name_cb cb,
                 void *user)
{
    struct value_op read = {.kind = VALUE_OP_GET};
    size_t len = strlen(name);
    int r = value_name_check(name, len, false);

    if (r != 0)
        return r;
    if (len > KITH_NAME_OF_NODE_BYTES_MAX)
        return kith_fail_with(KITH_E_NAME, "the name has %zu bytes; it may have %d at most", len,
                              KITH_NAME_OF_NODE_BYTES_MAX);
    if (node->ending)
        return node_fail_stopped();
    struct name_op *op = core_calloc(1, sizeof(*op));
    if (op == NULL)
        return KITH_E_MEMORY;
    op->want = want;
    op->cb = cb;
    op->user = user;
    if (what != NULL)
        op->name = *what;
    memcpy(op->full, NAME_PREFIX, NAME_PREFIX_BYTES);
    memcpy(op->full + NAME_PREFIX_BYTES, name, len);
    r = node_var_begin(node, op->full, &read, on_read, op);
    if (r != 0)
        core_free(op);
    return r;
}

/* What @target is, seen from here. */
static int target_of(struct kith_node *node, const char *target, struct kith_name *what)
{
    struct member *member = NULL;
    const char *known;

    what->kind = KITH_NAME_NODE;
    what->node = node->identity.id;
    what->boot_no = node->boot_no;
    if (target != NULL && node_member_named(node, target, &member) == 0) {
        if (member->status == KITH_STATUS_FAILED || member->status == KITH_STATUS_LEFT)
            return kith_fail_with(KITH_E_NO_NODE, "node %s is gone: name one that runs", target);
        what->node = member->id;
        if (!kith_node_id_equal(&member->id, &node->identity.id))
            what->boot_no = member->boot_no;
    } else if (target != NULL) {
        if (strlen(target) > KITH_NAME_BYTES_MAX || !offers(node, &node->identity.id, target))
            return kith_fail_with(KITH_E_NO_FUNCTION,
                                  "there is no node %.64s, and %s offers no such function; kith fn "
                                  "ls shows who does, --node asks that one",
                                  target, node->name);
        what->kind = KITH_NAME_FUNCTION;
        snprintf(what->function, sizeof(what->function), "%s", target);
    }
    known = node_name_of(node, &what->node);
    snprintf(what->node_name, sizeof(what->node_name), "%s", known != NULL ? known : node->name);
    return 0;
}

int node_name_register(
    struct kith_node *node, const char *name, const char *target, node_name_cb cb, void *user)
{
    struct kith_name what = {0};
    int r = target_of(node, target, &what);

    return r == 0 ? begin(node, NAME_REGISTER, name, &what, cb, user) : r;
}

int node_name_resolve(struct kith_node *node, const char *name, node_name_cb cb, void *user)
{
    return begin(node, NAME_RESOLVE, name, NULL, cb, user);
}

int node_name_remove(struct kith_node *node, const char *name, node_name_cb cb, void *user)
{
    return begin(node, NAME_REMOVE, name, NULL, cb, user);
}

/* ---- for other threads ---- */

struct name_sync {
    enum name_want want;
    const char *name;
    struct kith_name what;
    sem_t done;
    int code;
    char text[1024];
};

static void on_sync(
    struct kith_node *node, int code, const struct kith_name *name, const char *text, void *user)
{
    struct name_sync *sync = user;

    (void)node;
    sync->code = code;
    sync->what = *name;
    snprintf(sync->text, sizeof(sync->text), "%s", text);
    sem_post(&sync->done);
}

static void sync_run(struct kith_node *node, void *arg)
{
    struct name_sync *sync = arg;
    struct kith_name *what = &sync->what;

    kith_errmsg_clear();
    what->node = node->identity.id;
    what->boot_no = node->boot_no;
    if (sync->want == NAME_REGISTER && what->kind == KITH_NAME_FUNCTION &&
        !offers(node, &what->node, what->function))
        sync->code = kith_fail_with(KITH_E_NO_FUNCTION,
                                    "this node offers no function %s: kith_export() it first",
                                    what->function);
    else
        sync->code = begin(node, sync->want, sync->name, what, on_sync, sync);
    if (sync->code != 0) {
        snprintf(sync->text, sizeof(sync->text), "%s", kith_errmsg());
        sem_post(&sync->done);
    }
}

static int sync_do(struct kith_node *node, struct name_sync *sync, const char *function)
{
    if (node == NULL || sync->name == NULL)
        return kith_fail_with(KITH_E_INVALID, "node and name must not be NULL");
    if (node_on_loop(node))
        return node_fail_would_deadlock(function);
    sem_init(&sync->done, 0, 0);
    int r = node_run(node, sync_run, sync);
    if (r == 0) {
        node_sem_wait(&sync->done);
        r = sync->code != 0 ? kith_fail_with(sync->code, "%s", sync->text) : 0;
    }
    sem_destroy(&sync->done);
    return r;
}

int kith_name_register(struct kith_node *node, const char *name, const char *fn)
{
    struct name_sync sync = {.want = NAME_REGISTER, .name = name};

    if (fn != NULL && strlen(fn) > KITH_NAME_BYTES_MAX)
        return kith_fail_with(KITH_E_NAME, "\"%.64s...\" is no function name", fn);
    sync.what.kind = fn != NULL ? KITH_NAME_FUNCTION : KITH_NAME_NODE;
    snprintf(sync.what.function, sizeof(sync.what.function), "%s", fn != NULL ? fn : "");
    return sync_do(node, &sync, "kith_name_register");
}

int kith_name_resolve(struct kith_node *node, const char *name, struct kith_name *name_out)
{
    struct name_sync sync = {.want = NAME_RESOLVE, .name = name};
    int r = sync_do(node, &sync, "kith_name_resolve");

    if (r == 0)
        *name_out = sync.what;
    return r;
}

int kith_name_remove(struct kith_node *node, const char *name)
{
    struct name_sync sync = {.want = NAME_REMOVE, .name = name};

    return sync_do(node, &sync, "kith_name_remove");
}

/* ---- what names there are ---- */

static bool is_name(const struct dvar_change *variable)
{
    return variable->name_len > NAME_PREFIX_BYTES &&
           memcmp(variable->name, NAME_PREFIX, NAME_PREFIX_BYTES) == 0;
}

static void on_swept(struct kith_node *node, const struct kith_value *value, void *user)
{
    (void)node;
    (void)value; /* if it fails, the next sweep sees it again */
    (void)user;
}

void node_name_sweep(struct kith_node *node, const struct dvar_change *variable)
{
    struct value value = value_view(variable->value, variable->value_len);
    struct value_op remove = {.kind = VALUE_OP_CAS_VERSION,
                              .type = VALUE_NONE,
                              .policy = VALUE_DURABLE,
                              .expect_version = variable->version};
    char full[KITH_NAME_BYTES_MAX + 1];
    struct kith_name name;

    if (!is_name(variable) || value.type == VALUE_NONE ||
        !record_decode(node, value.data, value.len, &name) ||
        !owner_is_gone(node, &name, value.time_ms))
        return;
    memcpy(full, variable->name, variable->name_len);
    full[variable->name_len] = '\0';
    (void)node_var_begin(node, full, &remove, on_swept, NULL);
}

/* One entry of a list: u8 bytes of the name, u16 of the record, u64 version, u64 written at (Unix
 * ms), name, record. */
#define LIST_HEAD_BYTES 19

static void list_one(void *arg, const struct dvar_change *variable)
{
    struct buf *out = arg;
    struct value value = value_view(variable->value, variable->value_len);
    size_t name_len = variable->name_len - NAME_PREFIX_BYTES;
    uint8_t head[LIST_HEAD_BYTES];

    if (!is_name(variable) || value.type != VALUE_BYTES || value.len > UINT16_MAX ||
        out->len > RPC_BODY_BYTES_MAX / 2)
        return;
    head[0] = (uint8_t)name_len;
    put_le16(head + 1, (uint16_t)value.len);
    put_le64(head + 3, variable->version);
    put_le64(head + 11, value.time_ms);
    if (buf_reserve(out, sizeof(head) + name_len + value.len) != 0)
        return;
    (void)buf_append(out, head, sizeof(head));
    (void)buf_append(out, variable->name + NAME_PREFIX_BYTES, name_len);
    (void)buf_append(out, value.data, value.len);
}

static int sys_names(struct kith_ctx *ctx, const void *arg, size_t arg_len, void *user)
{
    struct kith_node *node = user;
    struct buf out = {0};

    (void)arg;
    (void)arg_len;
    dvar_each_home(node->state.dvar, list_one, &out);
    int r = kith_reply(ctx, out.data, out.len);
    buf_deinit(&out);
    return r == 0 ? 0 : kith_fail(ctx, 1, kith_errmsg());
}

int node_names_export(struct kith_node *node)
{
    struct kith_export export = {.name = NAME_LIST_FN,
                                 .version = KITH_VERSION,
                                 .description = "lists the names of nodes and functions kept here",
                                 .flags = KITH_FN_IDEMPOTENT | KITH_FN_INLINE | KITH_FN_HIDDEN,
                                 .fn = sys_names,
                                 .user = node};
    return kith_export(node, &export);
}

void node_names_parse(
    struct kith_node *node,
    const void *data,
    size_t len,
    void (*fn)(void *user, const char *name, uint64_t version, const struct kith_name *what),
    void *user)
{
    struct reader r = reader_of(data, len);
    char name[KITH_NAME_BYTES_MAX + 1];
    struct kith_name what;

    while (r.at < r.len) {
        uint8_t name_len = read_u8(&r);
        uint16_t record_len = read_le16(&r);
        uint64_t version = read_le64(&r), written_ms = read_le64(&r);
        const uint8_t *name_at = read_bytes(&r, name_len);
        const uint8_t *record = read_bytes(&r, record_len);
        if (r.bad)
            return;
        memcpy(name, name_at, name_len);
        name[name_len] = '\0';
        if (record_decode(node, record, record_len, &what) &&
            !owner_is_gone(node, &what, written_ms))
            fn(user, name, version, &what);
    }
}

#include "unit/whiteboard_node.h"

#include "whiteboard/module.h"

/* ---- calls ---- */

struct kith_node_id kith_node_self(const struct kith_node *node)
{
    return node->id;
}

int kith_export(struct kith_node *node, const struct kith_export *fn)
{
    assert_true(node->exports_n < sizeof(node->exports) / sizeof(node->exports[0]));
    node->exports[node->exports_n++] = *fn;
    return 0;
}

/* The argument is the function's until it has returned and the call has ended. */
static void arg_goes(struct kith_ctx *ctx)
{
    if (!ctx->running && ctx->replied) {
        free(ctx->arg);
        ctx->arg = NULL;
    }
}

int kith_reply(struct kith_ctx *ctx, const void *data, size_t len)
{
    assert_false(ctx->replied);
    if (len > 16 * 1024 * 1024)
        return KITH_E_TOO_LARGE; /* and the call has not ended */
    ctx->replied = true;
    ctx->reply = malloc(len + 1);
    assert_non_null(ctx->reply);
    if (len > 0)
        memcpy(ctx->reply, data, len);
    ctx->reply[len] = '\0';
    ctx->reply_len = len;
    arg_goes(ctx);
    return 0;
}

int kith_fail(struct kith_ctx *ctx, int code, const char *text)
{
    assert_false(ctx->replied);
    ctx->replied = true;
    ctx->code = -code;
    (void)snprintf(ctx->text, sizeof(ctx->text), "%s", text);
    arg_goes(ctx);
    return 0;
}

int kith_partial(struct kith_ctx *ctx, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    assert_false(ctx->replied);
    assert_in_range(len, 1, 64 * 1024);
    assert_in_range(bytes[0], WB_ANSWER_LIVE, WB_ANSWER_MISSED);
    ctx->said_n[bytes[0]]++;
    if (bytes[0] == WB_ANSWER_OPS)
        ctx->ops_bytes += len - 1;
    return 0;
}

void kith_ctx_on_cancel(struct kith_ctx *ctx,
                        void (*cb)(struct kith_ctx *ctx, void *user),
                        void *user)
{
    ctx->on_cancel = cb;
    ctx->on_cancel_user = user;
}

struct kith_node_id kith_ctx_caller(const struct kith_ctx *ctx)
{
    return ctx->caller;
}

int kith_cast(struct kith_node *node,
              const char *fn,
              const void *arg,
              size_t arg_len,
              const struct kith_call_options *options)
{
    struct made_cast *cast = &node->last_cast;

    node->casts_n++;
    (void)snprintf(cast->fn, sizeof(cast->fn), "%s", fn);
    (void)snprintf(cast->node, sizeof(cast->node), "%s", options->node);
    cast->arg.len = 0;
    made_put(&cast->arg, arg, arg_len);
    return 0;
}

static const struct kith_export *export_of(const struct kith_node *node, const char *fn)
{
    for (size_t i = 0; i < node->exports_n; i++)
        if (strcmp(node->exports[i].name, fn) == 0)
            return &node->exports[i];
    return NULL;
}

struct kith_ctx *node_call_from(struct kith_node *node,
                                const struct kith_node_id *caller,
                                const char *fn,
                                const char *words,
                                const struct wb_bytes *bytes)
{
    const struct kith_export *desc = export_of(node, fn);
    struct kith_ctx *ctx = calloc(1, sizeof(*ctx));
    struct wb_bytes arg = {0};

    assert_non_null(desc);
    assert_non_null(ctx);
    made_put(&arg, words, strlen(words));
    if (bytes != NULL) {
        made_put(&arg, "\n", 1);
        made_put(&arg, bytes->data, bytes->len);
    }
    ctx->arg = realloc(arg.data, arg.len); /* what is read behind it is seen */
    ctx->node = node;
    ctx->caller = *caller;
    ctx->next = node->calls;
    node->calls = ctx;
    ctx->running = true;
    int r = desc->fn(ctx, ctx->arg, arg.len, desc->user);
    ctx->running = false;
    if (r != KITH_PENDING && !ctx->replied) {
        ctx->replied = true;
        ctx->code = r;
    }
    arg_goes(ctx);
    return ctx;
}

struct kith_ctx *
node_call(struct kith_node *node, const char *fn, const char *words, const struct wb_bytes *bytes)
{
    return node_call_from(node, &node->id, fn, words, bytes);
}

void call_is(
    const struct kith_ctx *ctx, bool ended, int code, const char *text, const char *file, int line)
{
    if (ctx->replied == ended && ctx->code == code && strcmp(ctx->text, text) == 0)
        return;
    print_error("the call %s with %d \"%s\", and should %s with %d \"%s\"\n",
                ctx->replied ? "has ended" : "waits", ctx->code, ctx->text,
                ended ? "have ended" : "wait", code, text);
    _fail(file, line);
}

void node_cancel(struct kith_ctx *ctx)
{
    ctx->gone = true;
    if (ctx->on_cancel != NULL && !ctx->replied)
        ctx->on_cancel(ctx, ctx->on_cancel_user);
}

/* ---- who there is ---- */

int kith_nodes(struct kith_node *node, bool programs, struct kith_node_list **list_out)
{
    struct kith_node_list *list = calloc(1, sizeof(*list));

    (void)programs;
    assert_non_null(list);
    list->nodes = calloc(2, sizeof(*list->nodes));
    assert_non_null(list->nodes);
    list->nodes_n = 2;
    list->nodes[0].id = node->id;
    list->nodes[1].id = node->other;
    list->nodes[0].status = list->nodes[1].status = KITH_STATUS_ALIVE;
    *list_out = list;
    return 0;
}

void kith_node_list_free(struct kith_node_list *list)
{
    free(list->nodes);
    free(list);
}

int kith_functions(struct kith_node *node, struct kith_function_list **list_out)
{
    struct kith_function_list *list = calloc(1, sizeof(*list));

    assert_non_null(list);
    list->functions = calloc(1, sizeof(*list->functions));
    assert_non_null(list->functions);
    list->functions_n = 1;
    list->functions[0].name = "board.told";
    list->functions[0].node = node->other;
    *list_out = list;
    return 0;
}

void kith_function_list_free(struct kith_function_list *list)
{
    free(list->functions);
    free(list);
}

int kith_on_event(struct kith_node *node, kith_event_cb cb, void *user)
{
    struct kith_event event = {.type = KITH_EVENT_JOINED, .id = node->other};

    node->on_event = cb;
    node->on_event_user = user;
    cb(node, &event, user);
    return 0;
}

void node_other_fails(struct kith_node *node)
{
    struct kith_event event = {.type = KITH_EVENT_FAILED, .id = node->other};

    node->on_event(node, &event, node->on_event_user);
}

/* ---- variables ---- */

int64_t
kith_var_watch(struct kith_node *node, const char *pattern, kith_var_change_cb cb, void *user)
{
    assert_string_equal(pattern, WB_PATTERN);
    node->on_variable = cb;
    node->on_variable_user = user;
    return 1;
}

int kith_var_do_async(struct kith_node *node,
                      const char *name,
                      const struct kith_var_op *op,
                      const struct kith_var_options *options,
                      kith_value_cb cb,
                      void *user)
{
    assert_int_equal(options->policy, KITH_POLICY_AVAILABLE);
    assert_true(strncmp(name, WB_VAR, strlen(WB_VAR)) == 0);
    assert_true(op->len <= 64 * 1024);
    assert_true(node->vars_n < sizeof(node->vars) / sizeof(node->vars[0]));
    node->vars[node->vars_n].cb = cb;
    node->vars[node->vars_n++].user = user;
    return 0;
}

void node_other_opens(struct kith_node *node, const char *board, bool gone)
{
    char name[128], id[KITH_NODE_ID_DIGITS + 1];
    struct kith_value value = {.type = KITH_TYPE_BYTES};
    struct kith_var_change change = {.name = name, .gone = gone, .value = &value};

    (void)snprintf(name, sizeof(name), WB_VAR "%s/%s", board, kith_node_id_text(&node->other, id));
    node->on_variable(node, &change, node->on_variable_user);
}

/* ---- files ---- */

int64_t kith_fs_watch(struct kith_node *node, const char *path, kith_fs_change_cb cb, void *user)
{
    assert_string_equal(path, WB_SHARE);
    node->on_change = cb;
    node->on_change_user = user;
    return 1;
}

void node_changed(struct kith_node *node, const char *path)
{
    struct kith_fs_entry entry = {.path = path, .kind = KITH_FS_FILE, .conflict_of = ""};
    struct kith_fs_change change = {.path = path, .entry = &entry};

    entry.size = node_file(node, path, true)->bytes.len;
    node->on_change(node, &change, node->on_change_user);
}

int kith_fs_do_async(struct kith_node *node,
                     const struct kith_fs_op *op,
                     kith_fs_cb cb,
                     void *user,
                     uint64_t *id_out)
{
    struct made_op *made;

    if (node->refuse != 0)
        return node->refuse;
    if (op->len > KITH_FS_DATA_BYTES_MAX)
        return KITH_E_TOO_LARGE;
    if (id_out != NULL)
        *id_out = 1;
    made = calloc(1, sizeof(*made));
    assert_non_null(made);
    made->kind = op->kind;
    (void)snprintf(made->path, sizeof(made->path), "%s", op->path);
    (void)snprintf(made->after, sizeof(made->after), "%s", op->after != NULL ? op->after : "");
    made->create_only = op->create_only;
    made->offset = op->offset;
    made->count = op->count;
    made->len = op->len;
    if (op->len > 0) {
        made->data = malloc(op->len);
        assert_non_null(made->data);
        memcpy(made->data, op->data, op->len);
    }
    made->cb = cb;
    made->user = user;
    *node->ops_end = made;
    node->ops_end = &made->next;
    node->ops_n[op->kind]++;
    return 0;
}

static struct made_op *op_take(struct kith_node *node, struct made_op **at)
{
    struct made_op *op = *at;

    *at = op->next;
    if (node->ops_end == &op->next)
        node->ops_end = at;
    return op;
}

static void op_end(struct kith_node *node, struct made_op *op, const struct kith_fs_result *result)
{
    op->cb(node, result, op->user);
    free(op->data);
    free(op);
}

struct made_file *node_file(struct kith_node *node, const char *path, bool make)
{
    struct made_file **at = &node->files, *file;

    while (*at != NULL && strcmp((*at)->path, path) < 0)
        at = &(*at)->next;
    if ((*at != NULL && strcmp((*at)->path, path) == 0) || !make)
        return *at != NULL && strcmp((*at)->path, path) == 0 ? *at : NULL;
    file = calloc(1, sizeof(*file));
    assert_non_null(file);
    (void)snprintf(file->path, sizeof(file->path), "%s", path);
    file->next = *at;
    *at = file;
    return file;
}

/* What lies in the directory: files, and directories once each. */
static void op_list(struct kith_node *node, struct made_op *op)
{
    static char paths[4200][WB_FILE_PATH_BYTES];
    static struct kith_fs_entry entries[4200];
    struct kith_fs_result result = {.text = "", .next = "", .entries = entries};
    size_t len = strlen(op->path), n = 0;
    bool there = false;

    for (const struct made_file *file = node->files; file != NULL; file = file->next) {
        if (strncmp(file->path, op->path, len) != 0 || file->path[len] != '/')
            continue;
        size_t part = len + 1 + strcspn(file->path + len + 1, "/");
        bool directory = file->path[part] != '\0';
        there = true;
        if (n > 0 && directory && strncmp(paths[n - 1], file->path, part) == 0 &&
            paths[n - 1][part] == '\0')
            continue;
        (void)snprintf(paths[n], sizeof(paths[n]), "%.*s", (int)part, file->path);
        if (strcmp(paths[n], op->after) <= 0)
            continue;
        if (node->page_entries != 0 && n == node->page_entries) {
            result.next = paths[n - 1];
            break;
        }
        entries[n] = (struct kith_fs_entry){.path = paths[n],
                                            .kind = directory ? KITH_FS_DIRECTORY : KITH_FS_FILE,
                                            .size = directory ? 0 : file->bytes.len,
                                            .conflict_of = ""};
        n++;
    }
    result.entries_n = n;
    if (!there)
        result = (struct kith_fs_result){.code = KITH_E_NOT_FOUND, .text = "no such path"};
    op_end(node, op, &result);
}

static void op_stat(struct kith_node *node, struct made_op *op, struct kith_fs_result *result)
{
    const struct made_file *file = node_file(node, op->path, false);
    struct kith_fs_holder holder = {.node = {{0xee}}, .alive = true};
    struct kith_fs_entry entry = {.path = op->path, .kind = KITH_FS_FILE, .holders = &holder};

    if (file != NULL) {
        entry.size = file->bytes.len;
        entry.holders_n = file->held_elsewhere ? 1 : 0;
        result->entries = &entry;
        result->entries_n = 1;
    } else {
        result->code = KITH_E_NOT_FOUND;
        result->text = "no such path";
    }
    op_end(node, op, result);
}

static void op_write(struct kith_node *node, struct made_op *op, struct kith_fs_result *result)
{
    struct made_file *file = node_file(node, op->path, op->kind == KITH_FS_WRITE);

    if (file == NULL) {
        result->code = KITH_E_NOT_FOUND; /* an APPEND to what is not there: of no use to a log */
        result->text = "no such path";
    } else if (op->create_only && file->bytes.len > 0) {
        result->code = KITH_E_EXISTS;
        result->text = "it exists";
    } else {
        made_put(&file->bytes, op->data, op->len);
    }
    op_end(node, op, result);
}

static void op_read(struct kith_node *node, struct made_op *op, struct kith_fs_result *result)
{
    const struct made_file *file = node_file(node, op->path, false);

    if (file == NULL) {
        result->code = KITH_E_NOT_FOUND;
        result->text = "no such path";
    } else if (op->offset < file->bytes.len) {
        size_t left = file->bytes.len - op->offset;
        result->data = file->bytes.data + op->offset;
        result->len = left < op->count ? left : op->count;
    }
    op_end(node, op, result);
}

static void op_run(struct kith_node *node, struct made_op *op)
{
    struct kith_fs_result result = {.text = "", .next = ""};

    switch (op->kind) {
    case KITH_FS_LIST:
        op_list(node, op);
        break;
    case KITH_FS_STAT:
        op_stat(node, op, &result);
        break;
    case KITH_FS_READ:
        op_read(node, op, &result);
        break;
    case KITH_FS_WRITE:
    case KITH_FS_APPEND:
        op_write(node, op, &result);
        break;
    default:
        assert_int_equal(op->kind, KITH_FS_SHARE_ADD);
        op_end(node, op, &result);
    }
}

void node_op(struct kith_node *node)
{
    assert_non_null(node->ops);
    op_run(node, op_take(node, &node->ops));
}

void node_op_fails(struct kith_node *node, int code, const char *text)
{
    struct kith_fs_result result = {.code = code, .text = text, .next = ""};

    assert_non_null(node->ops);
    op_end(node, op_take(node, &node->ops), &result);
}

static void vars_end(struct kith_node *node)
{
    static const struct kith_value done = {.applied = true, .text = ""};

    while (node->vars_n > 0) {
        node->vars_n--;
        node->vars[node->vars_n].cb(node, &done, node->vars[node->vars_n].user);
    }
}

void node_ops(struct kith_node *node)
{
    while (node->ops != NULL)
        node_op(node);
    vars_end(node);
}

static bool is_write(const struct made_op *op)
{
    return op->kind == KITH_FS_WRITE || op->kind == KITH_FS_APPEND;
}

void node_ops_to_write(struct kith_node *node)
{
    for (struct made_op **at = &node->ops; *at != NULL;) {
        if (is_write(*at)) {
            at = &(*at)->next;
        } else {
            op_run(node, op_take(node, at));
            at = &node->ops;
        }
    }
}

unsigned node_writes(const struct kith_node *node)
{
    unsigned n = 0;

    for (const struct made_op *op = node->ops; op != NULL; op = op->next)
        n += is_write(op);
    return n;
}

/* ---- beginning and end ---- */

void node_begin(struct kith_node *node)
{
    *node = (struct kith_node){.id = {{0x20}}, .other = {{0x30}}, .ops_end = &node->ops};
    made_clock_forward(60 * 1000);
    assert_int_equal(made_held(), 0);
    assert_int_equal(wb_start(node), 0);
    made_peak_reset();
}

struct wb *node_wb(struct kith_node *node)
{
    const struct kith_export *list = export_of(node, "board.list");

    assert_non_null(list);
    return list != NULL ? list->user : NULL;
}

void node_stop(struct kith_node *node)
{
    wb_stop(node);
}

void node_end(struct kith_node *node)
{
    node_stop(node);
    node_ops(node);
    assert_int_equal(made_held(), 0);
    while (node->calls != NULL) {
        struct kith_ctx *ctx = node->calls;
        assert_true(ctx->replied);
        node->calls = ctx->next;
        free(ctx->reply);
        free(ctx);
    }
    while (node->files != NULL) {
        struct made_file *file = node->files;
        node->files = file->next;
        made_drop(&file->bytes);
        free(file);
    }
    made_drop(&node->last_cast.arg);
}

/*
 * One call on many nodes: a call for each, all begun in one go on the loop, so that what a
 * callback asks for (a cancel of the rest) comes after the last has begun.
 *
 * Their numbers follow one another, so the first and how many are name them all, and a cancel needs
 * nothing that might be gone by then.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/internal.h"

#define MULTICALL_NODES_MAX 4096

struct multicall;

/* One node asked. Its request says that the call could not even begin. */
struct asked {
    struct node_request request;
    struct multicall *multi;
    struct kith_node_id id;
    int code;
};

struct multicall {
    size_t asked_n, ended_n, ok_n;
    uint64_t first_no; /* 0: nobody wants to cancel */
    kith_call_cb on_result;
    kith_multicall_done_cb on_done;
    void *user;
    struct node_request none; /* on_done when nobody was asked */
    char text[512];           /* why the first that could not begin could not */
    struct asked asked[];
};

static void multicall_end(struct kith_node *node, struct multicall *multi)
{
    if (multi->on_done != NULL)
        multi->on_done(node, multi->ok_n, multi->asked_n, multi->user);
    core_free(multi);
}

static void on_one(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct multicall *multi = user;
    multi->ok_n += result->outcome == KITH_OUTCOME_OK;
    multi->ended_n++;
    if (multi->on_result != NULL)
        multi->on_result(node, result, multi->user);
    if (multi->ended_n == multi->asked_n)
        multicall_end(node, multi);
}

static void none_run(struct kith_node *node, struct node_request *request)
{
    multicall_end(node, container_of(request, struct multicall, none));
}

struct targets {
    const char *fn;
    const char *const *nodes;
    size_t nodes_n;
    struct kith_node_id ids[MULTICALL_NODES_MAX];
    size_t ids_n;
    int code;
    char text[512];
};

static void targets_find(struct kith_node *node, void *arg)
{
    struct targets *targets = arg;

    if (targets->nodes == NULL) {
        uint64_t hash = node_name_hash_of(node, targets->fn);
        targets->ids_n = rpc_who_has(node->rpc, hash, targets->ids, MULTICALL_NODES_MAX);
        return;
    }
    for (size_t i = 0; i < targets->nodes_n; i++) {
        struct member *member;
        targets->code = node_member_named(node, targets->nodes[i], &member);
        if (targets->code != 0) {
            snprintf(targets->text, sizeof(targets->text), "%s", kith_errmsg());
            return;
        }
        targets->ids[targets->ids_n++] = member->id;
    }
}

static int targets_of(struct kith_node *node,
                      const char *fn,
                      const char *const *nodes,
                      size_t nodes_n,
                      struct targets **targets_out)
{
    if (nodes_n > MULTICALL_NODES_MAX)
        return kith_fail_with(KITH_E_LIMIT, "at most %d nodes a call", MULTICALL_NODES_MAX);
    struct targets *targets = core_calloc(1, sizeof(*targets));
    if (targets == NULL)
        return KITH_E_MEMORY;
    targets->fn = fn;
    targets->nodes = nodes;
    targets->nodes_n = nodes_n;
    int r = node_run(node, targets_find, targets);
    if (r == 0 && targets->code != 0)
        r = kith_fail_with(targets->code, "%s", targets->text);
    if (targets->ids_n > MULTICALL_NODES_MAX)
        targets->ids_n = MULTICALL_NODES_MAX;
    if (r != 0) {
        core_free(targets);
        return r;
    }
    *targets_out = targets;
    return 0;
}

static void refused_run(struct kith_node *node, struct node_request *request)
{
    struct asked *asked = container_of(request, struct asked, request);
    struct multicall *multi = asked->multi;
    struct kith_result result = {.outcome = KITH_OUTCOME_NOT_EXECUTED,
                                 .code = asked->code,
                                 .text = multi->text,
                                 .node = asked->id,
                                 .node_name = ""};
    on_one(node, &result, multi);
}

/* On the loop, outside any step. One that cannot even begin ends later, as not executed. */
static void start_one(struct kith_node *node,
                      struct multicall *multi,
                      const struct node_call_spec *base,
                      struct asked *asked)
{
    struct node_call_spec spec = *base;
    spec.call.to_node = true;
    spec.call.node = asked->id;
    spec.cb = on_one;
    spec.user = multi;
    if (multi->first_no != 0)
        spec.no = multi->first_no + (uint64_t)(asked - multi->asked);
    kith_errmsg_clear();
    asked->code = node_call_begin(node, &spec, NULL);
    if (asked->code == 0)
        return;
    if (multi->text[0] == '\0') /* once: the loop may be reading it afterwards */
        snprintf(multi->text, sizeof(multi->text), "%s",
                 kith_errmsg()[0] != '\0' ? kith_errmsg() : kith_strerror(asked->code));
    asked->request.run = refused_run;
    node_push(node, &asked->request);
}

static void
start_all(struct kith_node *node, struct multicall *multi, const struct node_call_spec *spec)
{
    size_t n = multi->asked_n; /* the last one may end the whole while we are here */

    if (n == 0) {
        multi->none.run = none_run;
        node_push(node, &multi->none);
    }
    for (size_t i = 0; i < n; i++)
        start_one(node, multi, spec, &multi->asked[i]);
}

/* A multicall that begins in the queue: its spec, with copies of what that points to. */
struct starting {
    struct node_request request;
    struct multicall *multi;
    struct node_call_spec spec;
    char bytes[]; /* argument, function name */
};

static void starting_run(struct kith_node *node, struct node_request *request)
{
    struct starting *starting = container_of(request, struct starting, request);
    start_all(node, starting->multi, &starting->spec);
    core_free(starting);
}

static int
start_later(struct kith_node *node, struct multicall *multi, const struct node_call_spec *spec)
{
    size_t arg_bytes = spec->call.arg.len, fn_bytes = strlen(spec->call.fn) + 1;
    struct starting *starting = core_malloc(sizeof(*starting) + arg_bytes + fn_bytes);
    if (starting == NULL)
        return KITH_E_MEMORY;
    starting->request.run = starting_run;
    starting->multi = multi;
    starting->spec = *spec;
    if (arg_bytes > 0)
        memcpy(starting->bytes, spec->call.arg.data, arg_bytes);
    memcpy(starting->bytes + arg_bytes, spec->call.fn, fn_bytes);
    starting->spec.call.arg.data = starting->bytes;
    starting->spec.call.fn = starting->bytes + arg_bytes;
    node_push(node, &starting->request);
    return 0;
}

/* As many parameters as the public function has. NOLINTNEXTLINE(readability-function-size) */
int kith_multicall_async(struct kith_node *node,
                         const char *fn,
                         const void *arg,
                         size_t arg_len,
                         const char *const *nodes,
                         size_t nodes_n,
                         const struct kith_call_options *options,
                         kith_call_cb on_result,
                         kith_multicall_done_cb on_done,
                         void *user,
                         struct kith_multicall_id *multi_out)
{
    struct node_call_spec spec;
    struct targets *targets = NULL;
    if (multi_out != NULL)
        *multi_out = (struct kith_multicall_id){0};
    int r = node_call_spec_from(node, fn, arg, arg_len, options, &spec);
    if (r == 0)
        r = targets_of(node, fn, nodes, nodes_n, &targets);
    if (r != 0 || targets == NULL)
        return r;
    assert(node != NULL); /* or it was refused above */
    size_t n = targets->ids_n;
    struct multicall *multi = core_calloc(1, sizeof(*multi) + n * sizeof(struct asked));
    if (multi == NULL || !node_enter(node)) {
        r = multi == NULL ? KITH_E_MEMORY : KITH_E_STOPPED;
        core_free(multi);
        core_free(targets);
        return r;
    }
    *multi =
        (struct multicall){.asked_n = n, .on_result = on_result, .on_done = on_done, .user = user};
    for (size_t i = 0; i < n; i++) {
        multi->asked[i].multi = multi;
        multi->asked[i].id = targets->ids[i];
    }
    core_free(targets);
    if (multi_out != NULL && n > 0) {
        multi->first_no = atomic_fetch_add(&node->next_call_no, n) + 1;
        *multi_out = (struct kith_multicall_id){.no = multi->first_no, .calls_n = n};
    }
    if (node_on_loop(node) && node->rpc_stepping == 0)
        start_all(node, multi, &spec);
    else
        r = start_later(node, multi, &spec);
    if (r != 0) {
        core_free(multi);
        if (multi_out != NULL)
            *multi_out = (struct kith_multicall_id){0};
    }
    node_exit(node);
    return r != 0 ? r : (int)n;
}

struct cancelling {
    struct node_request request;
    struct kith_multicall_id multi;
};

static void cancelling_run(struct kith_node *node, struct node_request *request)
{
    struct cancelling *cancelling = container_of(request, struct cancelling, request);
    for (uint64_t i = 0; i < cancelling->multi.calls_n; i++)
        node_call_abort_no(node, cancelling->multi.no + i);
    core_free(cancelling);
}

void kith_multicall_cancel(struct kith_node *node, struct kith_multicall_id multi)
{
    if (multi.no == 0 || multi.calls_n == 0 || multi.calls_n > MULTICALL_NODES_MAX)
        return;
    struct cancelling *cancelling = core_malloc(sizeof(*cancelling));
    if (cancelling == NULL)
        return; /* the calls end at their deadline */
    *cancelling = (struct cancelling){.request.run = cancelling_run, .multi = multi};
    if (!node_enter(node)) {
        core_free(cancelling); /* they end with the node */
        return;
    }
    node_push(node, &cancelling->request);
    node_exit(node);
}

/* ---- and wait ---- */

struct multicall_sync {
    struct kith_reply **replies;
    size_t replies_n, cap;
    size_t ok_n;
    sem_t done;
};

static void sync_result(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct multicall_sync *sync = user;
    (void)node;
    if (sync->replies_n == sync->cap) {
        size_t cap = sync->cap == 0 ? 16 : sync->cap * 2;
        struct kith_reply **more = core_realloc(sync->replies, cap * sizeof(struct kith_reply *));
        if (more == NULL)
            return;
        sync->replies = more;
        sync->cap = cap;
    }
    struct kith_reply *copy = node_reply_copy(result);
    if (copy != NULL)
        sync->replies[sync->replies_n++] = copy;
}

static void sync_done(struct kith_node *node, size_t ok_n, size_t asked_n, void *user)
{
    struct multicall_sync *sync = user;
    (void)node;
    (void)asked_n;
    sync->ok_n = ok_n;
    sem_post(&sync->done);
}

/* The public list is an array of structs: the blocks behind them are kept in a tail. */
struct replies_block {
    struct kith_replies replies;
    struct kith_reply **blocks;
};

static struct kith_replies *replies_of(struct multicall_sync *sync)
{
    struct replies_block *block = core_calloc(1, sizeof(*block));
    struct kith_reply *flat =
        core_calloc(sync->replies_n > 0 ? sync->replies_n : 1, sizeof(struct kith_reply));
    if (block == NULL || flat == NULL) {
        core_free(block);
        core_free(flat);
        return NULL;
    }
    for (size_t i = 0; i < sync->replies_n; i++)
        flat[i] = *sync->replies[i];
    block->replies.replies = flat;
    block->replies.replies_n = sync->replies_n;
    block->blocks = sync->replies;
    return &block->replies;
}

static void blocks_free(struct kith_reply **blocks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        kith_reply_free(blocks[i]);
    core_free(blocks);
}

void kith_replies_free(struct kith_replies *replies)
{
    if (replies == NULL)
        return;
    struct replies_block *block = container_of(replies, struct replies_block, replies);
    blocks_free(block->blocks, replies->replies_n);
    core_free(replies->replies);
    core_free(block);
}

int kith_multicall(struct kith_node *node,
                   const char *fn,
                   const void *arg,
                   size_t arg_len,
                   const char *const *nodes,
                   size_t nodes_n,
                   const struct kith_call_options *options,
                   struct kith_replies **replies_out)
{
    struct multicall_sync sync = {0};

    if (replies_out != NULL)
        *replies_out = NULL;
    if (node != NULL && node_on_loop(node))
        return node_fail_would_deadlock("kith_multicall");
    sem_init(&sync.done, 0, 0);
    int r = kith_multicall_async(node, fn, arg, arg_len, nodes, nodes_n, options, sync_result,
                                 sync_done, &sync, NULL);
    if (r >= 0)
        node_sem_wait(&sync.done);
    sem_destroy(&sync.done);
    if (r < 0)
        return r;
    struct kith_replies *replies = replies_out != NULL ? replies_of(&sync) : NULL;
    if (replies != NULL)
        *replies_out = replies;
    else
        blocks_free(sync.replies, sync.replies_n);
    if (replies_out != NULL && replies == NULL)
        return KITH_E_MEMORY;
    return (int)sync.ok_n;
}

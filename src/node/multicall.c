/*
 * One call on many nodes.
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

/* One that cannot even begin ends later, as not executed. */
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
    asked->code = node_call_anywhere(node, &spec, NULL);
    if (asked->code == 0)
        return;
    if (multi->text[0] == '\0') /* once: the loop may be reading it afterwards */
        snprintf(multi->text, sizeof(multi->text), "%s", kith_errmsg());
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
                         void *user)
{
    struct node_call_spec spec;
    struct targets *targets = NULL;
    int r = node_call_spec_from(node, fn, arg, arg_len, options, &spec);
    if (r == 0)
        r = targets_of(node, fn, nodes, nodes_n, &targets);
    if (r != 0 || targets == NULL)
        return r;
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
    start_all(node, multi, &spec);
    node_exit(node);
    return (int)n;
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
                                 sync_done, &sync);
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

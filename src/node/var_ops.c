/*
 * Operations on variables that are under way: their memory, and the ids by which the core of
 * variables calls them.
 *
 * An id is a place in a table and a number that no other operation at that place had, so finding
 * one takes neither a hash nor a search. Blocks of the usual size are kept and used again: the
 * allocator's own cache holds seven, and a program has more operations under way than that.
 */
#include "core/alloc.h"
#include "node/internal.h"

/* Room for a name and a small value; what is larger is allocated for itself. */
#define BLOCK_BYTES 384
#define BLOCKS_KEPT 128
#define PLACES_MIN  64
/* The two highest bits of ids mean something (state.h). */
#define NUMBER_MASK 0x3fffffffu

struct node_var_op *node_var_op_new(struct kith_node *node, size_t bytes)
{
    struct node_var_ops *ops = &node->state.ops;
    struct node_var_op *op;

    bytes += sizeof(*op);
    if (bytes <= BLOCK_BYTES && node_on_loop(node) && ops->kept != NULL) {
        op = ops->kept;
        ops->kept = op->next_kept;
        ops->kept_n--;
    } else {
        op = core_malloc(bytes < BLOCK_BYTES ? BLOCK_BYTES : bytes);
        if (op == NULL)
            return NULL;
    }
    op->large = bytes > BLOCK_BYTES;
    return op;
}

void node_var_op_free(struct kith_node *node, struct node_var_op *op)
{
    struct node_var_ops *ops = &node->state.ops;

    if (op->large || ops->kept_n >= BLOCKS_KEPT || !node_on_loop(node)) {
        core_free(op);
        return;
    }
    op->next_kept = ops->kept;
    ops->kept = op;
    ops->kept_n++;
}

static int grow(struct node_var_ops *ops)
{
    uint32_t cap = ops->cap == 0 ? PLACES_MIN : 2 * ops->cap;
    struct node_var_op **at = core_realloc(ops->at, cap * sizeof(*at));

    if (at == NULL)
        return KITH_E_MEMORY;
    ops->at = at;
    uint32_t *places = core_realloc(ops->free, cap * sizeof(*places));
    if (places == NULL)
        return KITH_E_MEMORY;
    ops->free = places;
    while (ops->cap < cap) {
        at[ops->cap] = NULL;
        places[ops->free_n++] = ops->cap++;
    }
    return 0;
}

int node_var_op_enter(struct kith_node *node, struct node_var_op *op)
{
    struct node_var_ops *ops = &node->state.ops;

    if (ops->free_n == 0 && grow(ops) != 0)
        return KITH_E_MEMORY;
    uint32_t place = ops->free[--ops->free_n];
    ops->number = (ops->number + 1) & NUMBER_MASK;
    if (ops->number == 0)
        ops->number = 1;
    op->id = (uint64_t)ops->number << 32 | place;
    ops->at[place] = op;
    return 0;
}

struct node_var_op *node_var_op_leave(struct kith_node *node, uint64_t id)
{
    struct node_var_ops *ops = &node->state.ops;
    uint32_t place = (uint32_t)id;
    struct node_var_op *op = place < ops->cap ? ops->at[place] : NULL;

    if (op == NULL || op->id != id)
        return NULL;
    ops->at[place] = NULL;
    ops->free[ops->free_n++] = place;
    return op;
}

struct node_var_op *node_var_op_any(struct kith_node *node)
{
    struct node_var_ops *ops = &node->state.ops;

    for (uint32_t place = 0; place < ops->cap && ops->free_n < ops->cap; place++) {
        if (ops->at[place] != NULL)
            return ops->at[place];
    }
    return NULL;
}

void node_var_ops_deinit(struct kith_node *node)
{
    struct node_var_ops *ops = &node->state.ops;

    for (uint32_t place = 0; place < ops->cap; place++)
        core_free(ops->at[place]);
    while (ops->kept != NULL) {
        struct node_var_op *op = ops->kept;
        ops->kept = op->next_kept;
        core_free(op);
    }
    core_free(ops->at);
    core_free(ops->free);
    *ops = (struct node_var_ops){0};
}

/*
 * Answers to operations, of this node and of others.
 *
 * What had no effect leaves no record in the value, but it must not be done again either: a copy of
 * the request that comes late would find something else, and have an effect behind the back of its
 * asker. So the home remembers such answers until the asker says that it has them (its low-water
 * mark), and gives them again. They are in memory only: an asker takes an answer from that home and
 * epoch only to which it sent last, so a home that comes after has never been asked, or decides
 * itself.
 */
#include "dvar/internal.h"
#include "dvar/wire.h"

/* ---- what was answered and left no record ---- */

struct answer {
    struct heap_node by_no;
    uint64_t no, version, number;
    struct block *found; /* with the value that it is answered with */
    int32_t code;
    bool applied;
    bool reads; /* it shows the value, now as then: see answer_written() */
    uint32_t text_len;
    char text[];
};
struct answers {
    struct map64 by_no;
    struct heap order;
};

static void forget(struct dvar_core *core, struct answers *answers, struct answer *answer)
{
    map64_remove(&answers->by_no, answer->no);
    heap_remove(&answers->order, &answer->by_no);
    core->stats.answer_bytes -= sizeof(*answer) + answer->text_len;
    if (answer->found != NULL && --answer->found->answers == 0)
        core->stats.answer_bytes -= answer->found->cap;
    dvar_block_unref(core, answer->found);
    core_free(answer);
    core->stats.answers--;
}

void answers_forget(struct dvar_core *core, struct node *node, uint64_t low_water)
{
    struct answers *answers = node->answers;
    if (answers == NULL)
        return;
    struct heap_node *first;
    while ((first = heap_first(&answers->order)) != NULL && first->key < low_water)
        forget(core, answers, container_of(first, struct answer, by_no));
    if (first != NULL)
        return;
    map64_deinit(&answers->by_no);
    heap_deinit(&answers->order);
    core_free(answers);
    node->answers = NULL;
}

bool answer_keep(struct dvar_core *core, const struct op *op, int code, const char *text)
{
    if (op->client == NULL || op->read || MUTANT(DVAR_NO_ANSWERS))
        return true;
    struct node *node = op->client;
    if (node->answers == NULL)
        node->answers = core_calloc(1, sizeof(*node->answers));
    size_t text_len = code != 0 && text != NULL ? strlen(text) : 0;
    uint8_t kind = value_op_kind(op->bytes);
    bool reads = kind == VALUE_OP_GET || kind == VALUE_OP_SLICE_GET;
    struct block *found = code == 0 && !reads ? op->var->block : NULL;
    size_t bytes =
        sizeof(struct answer) + text_len + (found != NULL && found->answers == 0 ? found->cap : 0);
    struct answers *answers = node->answers;
    bool room = answers != NULL && answers->order.n < DVAR_ANSWERS_MAX &&
                core->stats.answer_bytes + bytes <= DVAR_ANSWER_BYTES_MAX;
    struct answer *answer = room ? core_malloc(sizeof(*answer) + text_len) : NULL;
    if (answer == NULL)
        return false;
    *answer = (struct answer){.no = op->no,
                              .version = op->version,
                              .number = op->number,
                              .found = found,
                              .code = code,
                              .applied = op->applied,
                              .reads = reads && code == 0,
                              .text_len = (uint32_t)text_len};
    if (text_len > 0)
        memcpy(answer->text, text, text_len);
    if (map64_set(&answers->by_no, op->no, answer) != 0) {
        core_free(answer);
        return false;
    }
    if (heap_set(&answers->order, &answer->by_no, op->no) != 0) {
        map64_remove(&answers->by_no, op->no);
        core_free(answer);
        return false;
    }
    if (found != NULL) {
        found->refs++;
        found->answers++;
    }
    core->stats.answer_bytes += bytes;
    core->stats.answers++;
    return true;
}

struct answer *answer_find(const struct op *op)
{
    if (op->client == NULL || op->client->answers == NULL)
        return NULL;
    return map64_find(&op->client->answers->by_no, op->no);
}

/* ---- giving them ---- */

struct dvar_result *op_done(struct dvar_core *core, uint64_t id, int code, const char *text)
{
    struct dvar_action *action = dvar_action_add(core, DVAR_DONE);
    if (action == NULL)
        return NULL;
    action->id = id;
    action->result.code = code;
    if (code != 0)
        action->result.text =
            text != NULL ? (const char *)arena_copy(core, text, strlen(text)) : kith_strerror(code);
    return &action->result;
}

static uint8_t *send_result(struct dvar_core *core,
                            const struct op *op,
                            uint8_t flags,
                            int code,
                            const char *text,
                            uint8_t type,
                            const void *data,
                            size_t len)
{
    size_t text_len = code != 0 && text != NULL ? strlen(text) : 0;
    if (text_len > 1023)
        text_len = 1023;
    uint8_t *p = message_add(core, op->client, WIRE_RES, flags, op->var->slot,
                             WIRE_RES_BYTES + len + text_len);
    if (p == NULL)
        return NULL;
    put_le64(p, op->no);
    put_le64(p + 8, op->var->ts);
    put_le64(p + 16, op->version);
    put_le64(p + 24, op->number);
    put_le32(p + 32, (uint32_t)code);
    put_le32(p + 36, (uint32_t)len);
    put_le32(p + 40, type);
    put_le32(p + 44, (uint32_t)text_len);
    put_le64(p + 48, core->slots[op->var->slot].active.se);
    if (len > 0)
        copy_small(p + WIRE_RES_BYTES, data, len);
    if (text_len > 0)
        copy_small(p + WIRE_RES_BYTES + len, text, text_len); /* its length stands before it */
    return p;
}

void op_answer(struct dvar_core *core, struct op *op, int code, const char *text)
{
    if (op->client == NULL) {
        struct dvar_result said = {.code = code,
                                   .text = text,
                                   .applied = op->applied,
                                   .version = op->version,
                                   .number = op->number};
        bool ends = join_share(core, op, &said);
        struct dvar_result *result = ends && op->id != 0 ? op_done(core, op->id, code, text) : NULL;
        if (result != NULL) {
            result->applied = said.applied;
            result->version = said.version;
            result->number = said.number;
        }
        if (ends)
            join_tell(core, op, &said);
    } else {
        uint8_t flags = op->applied ? WIRE_APPLIED : 0;
        send_result(core, op, code == KITH_E_BUSY ? WIRE_BUSY : flags, code, text, 0, NULL, 0);
    }
    op_free(core, op);
}

/* Bytes that an action may point at until the next step. */
static const uint8_t *
lend(struct dvar_core *core, const struct var *var, const uint8_t *data, size_t len)
{
    if (len <= 4096 || var->block == NULL || data < var->block->bytes ||
        data >= var->block->bytes + var->block->cap)
        return arena_copy(core, data, len);
    block_keep(core, var->block);
    return data;
}

void op_done_read(struct dvar_core *core, uint64_t id, struct var *var, bool whole)
{
    const struct value_outcome *outcome = &core->outcomes[0];
    struct dvar_result *result =
        op_done(core, id, outcome->code, outcome->code != 0 ? kith_errmsg() : NULL);
    if (result == NULL)
        return;
    result->applied = outcome->applied;
    result->version = var_version(var);
    result->type = outcome->type;
    result->len = outcome->data.len;
    if (whole && var->block != NULL && outcome->code == 0) {
        result->value_len = var->block->len;
        result->value = lend(core, var, block_value(var->block), var->block->len);
        if (result->value != NULL) {
            result->data = value_view(result->value, result->value_len).data;
            return;
        }
    }
    if (outcome->data.len > 0)
        result->data = lend(core, var, outcome->data.data, outcome->data.len);
}

/* Would caching it cost more than it saves? */
static bool reads_through(const struct var *var)
{
    uint32_t all = (uint32_t)var->reads + var->writes;
    return all >= 12 && (uint32_t)var->writes * 3 > all;
}

void op_answer_read(struct dvar_core *core, struct op *op, struct var *var)
{
    const struct value_outcome *outcome = &core->outcomes[0];
    bool whole = value_op_kind(op->bytes) == VALUE_OP_GET;
    if (op->client == NULL && op->joined_n > 0) {
        op_answer(core, op, outcome->code, outcome->code != 0 ? kith_errmsg() : NULL);
        return;
    }
    if (op->client == NULL) {
        if (op->id != 0)
            op_done_read(core, op->id, var, whole);
        op_free(core, op);
        return;
    }
    uint8_t flags = op->applied ? WIRE_APPLIED : 0;
    if (whole && outcome->code == 0 && var->block != NULL) {
        flags |= WIRE_WHOLE;
        if (share_live(core, op->client, op->session) && var->state == VAR_VALID &&
            TS_SE(var->ts) == core->slots[var->slot].active.se && !reads_through(var) &&
            share_allowed(core, var->slot) && share_add(core, var, op->client, op->session))
            flags |= WIRE_CACHE;
        op->number = op->session; /* good for caching under this one only */
        send_result(core, op, flags, 0, NULL, 0, block_value(var->block), var->block->len);
    } else {
        send_result(core, op, flags, outcome->code, kith_errmsg(), outcome->type,
                    outcome->data.data, outcome->code == 0 ? outcome->data.len : 0);
    }
    op_free(core, op);
}

void say_lost(const struct dvar_core *core, const struct var *var, const char *name)
{
    uint32_t generation = core->slots[var->slot].generation;
    if (generation == 0 || MUTANT(DVAR_SILENT_LOSS))
        return;
    kith_fail_with(KITH_E_NOT_FOUND,
                   "%s does not exist; if it was kept in memory only, it was lost with all "
                   "nodes that kept it (loss %u of its slot): create it again",
                   name, generation);
}

/*
 * The answer to what has its write, now or in a record of before. What only took a fence over shows
 * what it found: that is what is here (whoever else may have written since had that very fence, or
 * the asker has no answer yet and would have seen it, too).
 */
void answer_written(struct dvar_core *core, struct op *op)
{
    struct var *var = op->var;
    uint8_t kind = value_op_kind(op->bytes);
    bool reads = kind == VALUE_OP_GET || kind == VALUE_OP_SLICE_GET;
    if (!reads && (op->code != 0 || op->applied)) {
        op_answer(core, op, op->code, NULL);
        return;
    }
    struct value_op did;
    value_op_read(op->bytes, op->len, &did);
    char name[KITH_NAME_BYTES_MAX + 1];
    memcpy(name, var->name, var->name_len);
    name[var->name_len] = 0;
    struct value_op look = {.kind = did.kind == VALUE_OP_SLICE_GET ? did.kind : VALUE_OP_GET,
                            .index = did.index,
                            .count = did.count};
    struct value_current current = {0};
    if (var->block != NULL)
        current =
            (struct value_current){block_value(var->block), var->block->len, var->block->version};
    struct value_stamp stamp = {{{0}}, 0};
    struct value_outcome *outcome = &core->outcomes[0];
    op->code = value_apply(name, &current, &look, &stamp, outcome);
    if (op->code == KITH_E_NOT_FOUND)
        say_lost(core, var, name);
    if (!reads) {
        op->code = outcome->code = 0;
        outcome->applied = false;
    }
    op->applied = outcome->applied;
    op->version = var_version(var);
    op_answer_read(core, op, var);
}

void answer_again(struct dvar_core *core, struct op *op, const struct answer *answer)
{
    op->code = answer->code;
    op->applied = answer->applied;
    op->version = answer->version;
    op->number = answer->number;
    if (answer->reads) {
        answer_written(core, op);
        return;
    }
    if (answer->found == NULL) {
        char text[1024];
        size_t len = answer->text_len < sizeof(text) ? answer->text_len : sizeof(text) - 1;
        memcpy(text, answer->text, len);
        text[len] = 0;
        op_answer(core, op, op->code, len > 0 ? text : NULL);
        return;
    }
    struct value value = value_view(block_value(answer->found), answer->found->len);
    send_result(core, op, op->applied ? WIRE_APPLIED : 0, 0, NULL, value.type, value.data,
                value.len);
    op_free(core, op);
}

#include "rpc/signature.h"

#include <ctype.h>
#include <string.h>

#include "core/error.h"
#include "rpc/rpc.h"

static const struct {
    const char *name;
    size_t size;
} bases[VALUE_BASES_N] = {
    [VALUE_I32] = {"i32", 4},   [VALUE_I64] = {"i64", 8},   [VALUE_U32] = {"u32", 4},
    [VALUE_U64] = {"u64", 8},   [VALUE_F32] = {"f32", 4},   [VALUE_F64] = {"f64", 8},
    [VALUE_BOOL] = {"bool", 1}, [VALUE_TEXT] = {"text", 0}, [VALUE_BYTES] = {"bytes", 0},
};

size_t value_size(enum value_base base)
{
    return bases[base].size;
}

const char *value_name(enum value_base base)
{
    return bases[base].name;
}

/* ---- parsing ---- */

struct cursor {
    const char *text;
    const char *at;
};

static int fail(const struct cursor *cursor, const char *expected)
{
    return kith_fail_with(KITH_E_PARSE,
                          "signature '%s': %s expected at column %zu; write it like \"f(i32 index, "
                          "f64[] m) -> bytes\"",
                          cursor->text, expected, (size_t)(cursor->at - cursor->text) + 1);
}

static void skip_spaces(struct cursor *cursor)
{
    while (*cursor->at == ' ' || *cursor->at == '\t')
        cursor->at++;
}

static bool take(struct cursor *cursor, const char *token)
{
    skip_spaces(cursor);
    size_t len = strlen(token);
    if (strncmp(cursor->at, token, len) != 0)
        return false;
    cursor->at += len;
    return true;
}

/* A word of letters, digits, '_', '.', '-' and ':'; 0 if there is none. */
static size_t take_word(struct cursor *cursor, const char **word_out)
{
    skip_spaces(cursor);
    const char *start = cursor->at;
    while (isalnum((unsigned char)*cursor->at) || *cursor->at == '_' || *cursor->at == '.' ||
           *cursor->at == ':' || (*cursor->at == '-' && cursor->at[1] != '>'))
        cursor->at++;
    *word_out = start;
    return (size_t)(cursor->at - start);
}

static int take_type(struct cursor *cursor, struct value_type *type_out)
{
    const char *word;
    skip_spaces(cursor);
    const char *start = cursor->at;
    size_t len = take_word(cursor, &word);
    for (int base = 0; base < VALUE_BASES_N; base++) {
        if (strlen(bases[base].name) != len || strncmp(bases[base].name, word, len) != 0)
            continue;
        type_out->base = (enum value_base)base;
        type_out->array = take(cursor, "[");
        if (type_out->array && !take(cursor, "]"))
            return fail(cursor, "']'");
        return 0;
    }
    cursor->at = start;
    return fail(cursor, "one of the types i32 i64 u32 u64 f32 f64 bool text bytes");
}

static int take_params(struct cursor *cursor, struct signature *signature)
{
    if (take(cursor, ")"))
        return 0;
    for (;;) {
        if (signature->params_n == SIGNATURE_PARAMS_MAX)
            return fail(cursor, "at most 32 parameters");
        int r = take_type(cursor, &signature->params[signature->params_n]);
        if (r != 0)
            return r;
        signature->params_n++;
        const char *name;
        (void)take_word(cursor, &name);
        if (take(cursor, ")"))
            return 0;
        if (!take(cursor, ","))
            return fail(cursor, "',' or ')'");
    }
}

int signature_parse(const char *text, struct signature *signature_out)
{
    struct cursor cursor = {.text = text, .at = text};
    *signature_out = (struct signature){0};
    if (strlen(text) > RPC_SIGNATURE_BYTES_MAX)
        return kith_fail_with(KITH_E_PARSE, "signature: it has more than %d bytes; shorten it",
                              RPC_SIGNATURE_BYTES_MAX);
    const char *name;
    (void)take_word(&cursor, &name);
    if (!take(&cursor, "("))
        return fail(&cursor, "'('");
    int r = take_params(&cursor, signature_out);
    if (r != 0)
        return r;
    if (take(&cursor, "->")) {
        r = take_type(&cursor, &signature_out->result);
        if (r != 0)
            return r;
        signature_out->has_result = true;
    }
    skip_spaces(&cursor);
    if (*cursor.at != '\0')
        return fail(&cursor, signature_out->has_result ? "the end" : "'->' or the end");
    return 0;
}

static char *put_type(char *at, struct value_type type)
{
    at = stpcpy(at, bases[type.base].name);
    return type.array ? stpcpy(at, "[]") : at;
}

void signature_canonical(const struct signature *signature, char out[SIGNATURE_CANONICAL_BYTES])
{
    char *at = stpcpy(out, "(");
    for (size_t i = 0; i < signature->params_n; i++) {
        if (i > 0)
            at = stpcpy(at, ",");
        at = put_type(at, signature->params[i]);
    }
    at = stpcpy(at, ")");
    if (signature->has_result)
        put_type(stpcpy(at, "->"), signature->result);
}

int rpc_signature_hash(const char *signature, uint64_t *hash_out)
{
    if (signature == NULL || signature[0] == '\0') {
        *hash_out = 0;
        return 0;
    }
    struct signature parsed;
    int r = signature_parse(signature, &parsed);
    if (r != 0)
        return r;
    char canonical[SIGNATURE_CANONICAL_BYTES];
    signature_canonical(&parsed, canonical);
    *hash_out = rpc_name_hash(canonical);
    return 0;
}

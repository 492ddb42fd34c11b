/*
 * The signature of a function: "f(i32 index, f64[] m) -> bytes". Names do not matter; the canonical
 * form is "(i32,f64[])->bytes", and its hash is what calls carry.
 */
#ifndef RPC_SIGNATURE_H
#define RPC_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGNATURE_PARAMS_MAX 32

enum value_base {
    VALUE_I32,
    VALUE_I64,
    VALUE_U32,
    VALUE_U64,
    VALUE_F32,
    VALUE_F64,
    VALUE_BOOL,
    VALUE_TEXT,
    VALUE_BYTES,
    VALUE_BASES_N,
};

struct value_type {
    enum value_base base;
    bool array;
};

struct signature {
    struct value_type params[SIGNATURE_PARAMS_MAX];
    size_t params_n;
    struct value_type result;
    bool has_result;
};

/* Longest canonical form, with its NUL: each "bytes[]," and the rest. */
#define SIGNATURE_CANONICAL_BYTES (SIGNATURE_PARAMS_MAX * 8 + 16)

/* 0 or KITH_E_PARSE (kith_errmsg() says where). */
int signature_parse(const char *text, struct signature *signature_out);
void signature_canonical(const struct signature *signature, char out[SIGNATURE_CANONICAL_BYTES]);
/* Bytes of one element of a fixed size; 0 for text and bytes. */
size_t value_size(enum value_base base);
const char *value_name(enum value_base base);

#endif

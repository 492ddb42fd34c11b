/*
 * What the node itself keeps in variables, as bytes and text: names of nodes and functions
 * (kith/name.h), and names of the variables that hold states of items (kith/rpc.h). Both come from
 * other nodes: every length is checked, and what a later version wrote is nobody's.
 */
#ifndef NODE_RECORDS_H
#define NODE_RECORDS_H

#include "kith/name.h"

/* ---- a name's owner: u8 1, u8 enum kith_name_kind, 16 bytes id, u64 boot, name of the function
 * ---- */

#define NAME_RECORD_HEAD_BYTES 26
#define NAME_RECORD_BYTES_MAX  (NAME_RECORD_HEAD_BYTES + KITH_NAME_BYTES_MAX)

/* @out: NAME_RECORD_BYTES_MAX. The bytes written; node_name does not travel. */
size_t name_record_encode(const struct kith_name *name, uint8_t *out);
/* node_name_out is "". False if it is none. */
bool name_record_decode(const uint8_t *data, size_t len, struct kith_name *name_out);

/* ---- the state of an attempt at an item: CALLER.BOOT/MAP/INDEX/ATTEMPT ---- */

#define ITEM_NAME_MAX (KITH_NODE_ID_DIGITS + 4 + 3 * 20 + 10 + 1)

struct item_name {
    struct kith_node_id caller;
    uint64_t boot_no, map_no, index;
    uint32_t attempt;
};

void item_name_print(const struct item_name *name, char out[ITEM_NAME_MAX]);
/* False if @text is not what item_name_print() makes. */
bool item_name_parse(const char *text, struct item_name *name_out);

#endif

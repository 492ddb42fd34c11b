/*
 * One run of one node: what votes, holds copies, owns a lock and is granted leases. A node that
 * restarts is another one to all of these (protocols section 4, holes 2 and 3).
 */
#ifndef CORE_BOOT_ID_H
#define CORE_BOOT_ID_H

#include <stdint.h>
#include <string.h>

#include "kith/api.h"

struct boot_id {
    struct kith_node_id node;
    uint64_t boot_no; /* from 1; 0 with a zero node: nobody */
};

static inline bool boot_id_equal(const struct boot_id *a, const struct boot_id *b)
{
    return a->boot_no == b->boot_no && memcmp(&a->node, &b->node, sizeof(a->node)) == 0;
}

/* An order for tables that must be the same everywhere: by node, then by boot. */
static inline int boot_id_compare(const struct boot_id *a, const struct boot_id *b)
{
    int order = memcmp(&a->node, &b->node, sizeof(a->node));
    return order != 0 ? order : (a->boot_no > b->boot_no) - (a->boot_no < b->boot_no);
}

static inline bool boot_id_is_none(const struct boot_id *id)
{
    return id->boot_no == 0;
}

#endif

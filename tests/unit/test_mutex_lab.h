/*
 * A few cores of mutexes in memory, a network that delivers at once and in order, and records that
 * answer at once: what the tests of single rules stand on.
 */
#ifndef TEST_MUTEX_LAB_H
#define TEST_MUTEX_LAB_H

#include "core/alloc.h"
#include "core/lease.h"
#include "kith/error.h"
#include "lib/test.h"
#include "mutex/mutex.h"
#include "mutex/wire.h"

#define NODES_MAX 6
#define WAITERS   80
#define QUEUE_MAX 4096

struct got {
    enum mutex_action_type last; /* of the waiter */
    bool any;
    uint64_t fence;
    int code;
    char text[512];
    uint32_t warnings;
};

struct lab {
    struct mutex_core *nodes[NODES_MAX];
    uint32_t n, keepers;
    uint64_t now;
    struct placement placement;
    struct got got[NODES_MAX][WAITERS];
    struct {
        uint32_t from, to;
        uint8_t data[4096];
        size_t len;
    } queue[QUEUE_MAX];
    size_t head, tail;
    struct {
        char name[300];
        uint64_t version, last;
        uint8_t data[8192];
        size_t len;
    } records[48];
    uint32_t records_n;
    uint32_t messages_n, records_asked_n;
    bool cut[NODES_MAX]; /* hears and says nothing */
    int record_code;     /* not 0: all that comes of records */
    int broken;
    char info_text[1024];
    uint32_t info_n, info_holders, info_waiters;
    int info_code;
    struct mutex_config config;
};

struct boot_id boot_of(uint32_t i);
struct mutex_output step(struct lab *lab, uint32_t i, struct mutex_event event);
void deliver(struct lab *lab);
/* Time passes, leases are renewed and everything is delivered. */
void pass(struct lab *lab, uint64_t ms);
/* Of the cores' @config only self and self_name are set here. */
struct lab *lab_new(uint32_t keepers, uint32_t edges, struct mutex_config config);
void lab_free(struct lab *lab);
/* What @waiter of the owner of the same number asks for, without a deadline. */
struct mutex_acquire of(uint64_t waiter, const char *name);
/* What came of it stays in lab->got. */
struct got *acquire(struct lab *lab, uint32_t i, struct mutex_acquire a);
int release(struct lab *lab, uint32_t i, uint64_t waiter);
bool holds(struct lab *lab, uint32_t i, uint64_t waiter);

#define LAB(keepers, edges) lab_new(keepers, edges, (struct mutex_config){.idle_ms = 60000})

#endif

/*
 * Four cores of variables, messages that arrive at once, later or not at all, and a placement that
 * the case decides. begin() makes a home with copies, and x = 1.
 */
#ifndef TESTS_UNIT_DVAR_CORES_H
#define TESTS_UNIT_DVAR_CORES_H

#include "core/error.h"
#include "dvar/dvar.h"
#include "dvar/wire.h"
#include "lib/test.h"

enum { HOME, COPY, OTHER, EDGE, NODES };
#define SESSION_MS 2000
#define WATCH_ID   77

struct message {
    int from, to;
    size_t len;
    uint8_t data[4096];
};

extern struct dvar_core *cores[NODES];
extern uint64_t boots[NODES];
extern struct placement placement;
extern struct message queue[256];
extern size_t queue_n;
extern uint64_t now_ms;
extern bool cut[NODES];
extern uint8_t lost_type; /* messages of it do not arrive */
extern uint64_t ready[NODES];
extern struct dvar_result result;
extern bool done;
extern uint64_t told[NODES]; /* newest version that the watches of each were told in order, */
extern int told_n;           /* and how often anything was told */
extern uint32_t told_missed; /* changes that they were told they missed */
extern int told_other_n;     /* likewise, to watches that watch() did not begin */
extern int only_to;          /* @lost_type and @held_type are of what goes to it; -1: to anybody */
extern uint8_t held_type;    /* the first frame with it arrives when the case says so */
extern struct message held;
extern const char *name; /* of the variable that operations are about */

struct boot_id boot_of(int n);
void step(int n, struct dvar_event event);
void arrive(const struct message *m);
void deliver(void);
void decide(void);
void lease(int n);
/* Time passes, with leases and all that is due. */
void pass(uint64_t ms);
void op(int n, struct value_op what);
void set(int n, uint8_t value);
void get(int n);
/* Does @n answer it alone? */
bool reads_alone(int n);
/* A home with @copies - 1 others, and x = 1. */
void begin_with(uint32_t copies);
/* A home with one copy; OTHER keeps nothing yet. */
void begin(void);
void end(void);
/* Of all slots, by everybody who can hear. */
void choose(uint64_t slot_epoch, uint32_t home, uint32_t copy);
/* The home is gone, and @to is chosen. */
void lose_home(enum keeper_state state, uint32_t to);
/* @home and one more are chosen, and active once it is ready. */
void move(uint64_t slot_epoch, uint32_t home, uint32_t copy);
/* Of x, at node @n. */
void watch(int n);
/* @m is one message of slot x, with @len bytes of zeros. */
void put_message(struct message *m, uint8_t type, uint8_t flags, size_t len);

#endif

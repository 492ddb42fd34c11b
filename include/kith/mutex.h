/*
 * Mutexes of the whole cluster, by name: at most one holder, or as many as have permits.
 *
 * A holder has a *fence*: a number that grows with every grant of the mutex. A node that is paused
 * or cut off longer than its lease loses what it held, and may not know of it yet; so whatever a
 * mutex protects should refuse a lower fence than the highest it has seen. Variables of the cluster
 * do that by themselves if an operation carries the mutex and the fence (struct kith_var_guard,
 * kith/dvar.h).
 *
 * A mutex needs no creation: the first who asks for it makes it, and it goes when nobody has used
 * it for a while. Its fences go on growing all the same. Without a majority of the voters a new
 * grant is refused with KITH_E_NO_QUORUM. docs/protocols/mutex.md tells how it works.
 *
 * A mutex of a threading library guards the memory of one process in nanoseconds; this one guards
 * what several machines share, in microseconds where it was held last and in a round trip
 * elsewhere.
 */
#ifndef KITH_MUTEX_H
#define KITH_MUTEX_H

#include <kith/api.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kith_node;

/* One grant, or one wait for it. Never 0 once it was given. */
struct kith_lock_id {
    uint64_t no;
};

struct kith_lock {
    struct kith_lock_id id;
    /* 0 if granted; else why not: TIMEOUT, CANCELED, AGAIN (try), EXISTS (this owner holds it or
     * waits for it already), WOULD_DEADLOCK (detect; the text names the cycle), NO_QUORUM, LIMIT,
     * INVALID (other permits than the mutex has), STOPPED, MEMORY. */
    int code;
    uint64_t fence;   /* if granted */
    const char *text; /* for people; "" if granted */
};

enum kith_lock_event_type {
    KITH_LOCK_LEASE_ENDS =
        1,              /* left_ms from now it may be lost: finish, or stop what it protects */
    KITH_LOCK_LOST = 2, /* it is held no more; nothing needs to be released */
};

/* Borrowed for the callback. */
struct kith_lock_event {
    enum kith_lock_event_type type;
    struct kith_lock_id id;
    const char *name;
    uint64_t fence;
    uint64_t left_ms;
    int code;         /* LOST: why */
    const char *text; /* for people */
};

typedef void (*kith_lock_cb)(struct kith_node *node, const struct kith_lock *lock, void *user);
typedef void (*kith_lock_event_cb)(struct kith_node *node,
                                   const struct kith_lock_event *event,
                                   void *user);

/* Zeroed is the default. Borrowed for the call that takes it. */
struct kith_lock_options {
    uint64_t timeout_ms; /* give up after this time; 0: wait as long as it takes */
    bool try_only;       /* end with KITH_E_AGAIN instead of waiting */
    bool shared;         /* together with other shared holders, never with an exclusive one */
    uint32_t permits;    /* counting semaphore: so many holders; all who use the name must agree */
    bool detect;         /* end with KITH_E_WOULD_DEADLOCK if waiting would close a cycle */
    /*
     * Who holds it, a number of the program's choice: an owner that holds the mutex, or waits for
     * it, cannot ask again. 0: every request is an owner of its own.
     */
    uint64_t owner;
    /*
     * Owners of this node that release nothing before this request is over, the nearest last, say
     * those of the commands that run this one: a cycle of waits is seen through them, and what one
     * of them holds is refused with KITH_E_EXISTS. At most 8 count; NULL: none.
     */
    const uint64_t *within;
    uint32_t within_n;
    const char *owner_text;      /* shown to others; NULL: the node's name */
    uint64_t pid;                /* shown to others; 0: this process */
    kith_lock_event_cb on_event; /* on the loop thread; may be NULL */
    void *user;                  /* of on_event */
};

/*
 * Acquires @name (1 to KITH_NAME_BYTES_MAX bytes of UTF-8 without control characters). @cb runs
 * once on the loop thread, never before this returns, unless this fails. Any thread.
 *
 * Returns 0 and, if @id_out is not NULL, an id to cancel or release it by; KITH_E_NAME,
 * KITH_E_INVALID, KITH_E_MEMORY, KITH_E_STOPPED: then @cb does not run.
 */
KITH_API KITH_MUST_CHECK int kith_lock_async(struct kith_node *node,
                                             const char *name,
                                             const struct kith_lock_options *options,
                                             kith_lock_cb cb,
                                             void *user,
                                             struct kith_lock_id *id_out);

/*
 * The same and waits. Not on the loop thread (KITH_E_WOULD_DEADLOCK).
 *
 * Returns 0 with the grant in @lock_out (its text is ""), or what kith_lock.code says, with its
 * sentence in kith_errmsg().
 */
KITH_API KITH_MUST_CHECK int kith_lock(struct kith_node *node,
                                       const char *name,
                                       const struct kith_lock_options *options,
                                       struct kith_lock *lock_out);

/*
 * Gives up a wait (its callback comes with KITH_E_CANCELED) or releases what was granted. Any
 * thread.
 *
 * Returns 0 once it is asked for, also if it is neither waited for nor held any more;
 * KITH_E_INVALID, KITH_E_MEMORY, KITH_E_STOPPED. kith_lock_fence() before it tells whether it was
 * held to the end.
 */
KITH_API int kith_unlock(struct kith_node *node, struct kith_lock_id id);

/*
 * The fence of @id if it is held and its lease runs at this very moment, else 0. Any thread.
 */
KITH_API uint64_t kith_lock_fence(struct kith_node *node, struct kith_lock_id id);

/* ---- who holds what ------------------------------------------------------------------------ */

struct kith_lock_party { /* who holds it or waits for it */
    struct kith_node_id node;
    const char *node_name;
    const char *owner_text;
    uint64_t pid; /* 0: unknown */
    bool holds;
    bool shared;
    uint64_t fence;         /* of a holder */
    uint64_t age_ms;        /* since it was granted, or began to wait */
    uint64_t lease_left_ms; /* of a holder: what is left of its node's lease */
    const char *cycle;      /* of one who waits in a cycle of waits: the cycle; else "" */
};

struct kith_lock_info {
    const char *name;
    uint32_t permits;
    bool queue; /* works by a queue at the home instead of a token */
    uint32_t participants_n, waiters_n;
    const struct kith_lock_party *parties; /* holders first */
    size_t parties_n;
};

/*
 * Who holds @name and who waits. The caller frees it with kith_lock_info_free(). Not on the loop
 * thread.
 *
 * Returns 0; KITH_E_NOT_FOUND if nobody uses it; KITH_E_NO_QUORUM; KITH_E_TIMEOUT; KITH_E_STOPPED.
 */
KITH_API KITH_MUST_CHECK int
kith_lock_info(struct kith_node *node, const char *name, struct kith_lock_info **info_out);
KITH_API void kith_lock_info_free(struct kith_lock_info *info);

/*
 * Takes @name from whoever holds it: the holder is told that it lost it, and a higher generation of
 * fences begins. For an operator who knows that the holder will not come back. Not on the loop
 * thread.
 *
 * Returns 0; KITH_E_NOT_FOUND; KITH_E_NO_QUORUM; KITH_E_TIMEOUT; KITH_E_STOPPED.
 */
KITH_API KITH_MUST_CHECK int
kith_lock_break(struct kith_node *node, const char *name, uint64_t timeout_ms);

#ifdef __cplusplus
}
#endif

#endif

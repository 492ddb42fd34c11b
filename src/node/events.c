/*
 * The record of events and the callbacks of programs.
 */
#include <string.h>
#include <time.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/internal.h"

#define EVENTS_STEP 256 /* the ring grows by so many until NODE_EVENTS_KEPT */

uint64_t node_unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The ring begins small, since most nodes see few events. Returns the place for the next record. */
static struct node_event_record *next_record(struct kith_node *node)
{
    if (node->events_seq >= node->events_cap && node->events_cap < NODE_EVENTS_KEPT) {
        size_t cap = node->events_cap + EVENTS_STEP;
        struct node_event_record *events = core_realloc(node->events, cap * sizeof(*events));
        if (events != NULL) {
            node->events = events;
            node->events_cap = cap;
        }
    }
    if (node->events_cap == 0)
        return NULL;
    return &node->events[node->events_seq % node->events_cap];
}

void node_event_note(struct kith_node *node,
                     const char *type,
                     const struct kith_node_id *id,
                     const char *name,
                     const char *address,
                     const char *reason)
{
    struct node_event_record *record = next_record(node);
    if (record == NULL)
        return;
    *record = (struct node_event_record){
        .seq = ++node->events_seq, .time_unix_ms = node_unix_ms(), .id = *id};
    snprintf(record->type, sizeof(record->type), "%s", type);
    snprintf(record->name, sizeof(record->name), "%s", name);
    snprintf(record->address, sizeof(record->address), "%s", address);
    snprintf(record->reason, sizeof(record->reason), "%s", reason);

    struct node_event_record copy = *record; /* the ring may move under a watcher */
    struct node_event_watch *watch = node->event_watches;
    for (; watch != NULL; watch = node->event_next) {
        node->event_next = watch->next; /* node_event_watch_remove() keeps it right */
        watch->cb(watch, &copy);
    }
}

size_t node_events_since(struct kith_node *node,
                         uint64_t after_seq,
                         struct node_event_record *out,
                         size_t max)
{
    uint64_t oldest = node->events_seq > node->events_cap ? node->events_seq - node->events_cap : 0;
    uint64_t seq = after_seq > oldest ? after_seq : oldest;
    size_t n = 0;

    for (; seq < node->events_seq && n < max; seq++)
        out[n++] = node->events[seq % node->events_cap];
    return n;
}

void node_event_watch_add(struct kith_node *node, struct node_event_watch *watch)
{
    watch->next = node->event_watches;
    node->event_watches = watch;
}

void node_event_watch_remove(struct kith_node *node, struct node_event_watch *watch)
{
    if (node->event_next == watch)
        node->event_next = watch->next;
    for (struct node_event_watch **at = &node->event_watches; *at != NULL; at = &(*at)->next) {
        if (*at == watch) {
            *at = watch->next;
            return;
        }
    }
}

/* ---- callbacks of programs ---- */

static const char *const change_texts[] = {
    [MEMBER_JOINED] = "joined", [MEMBER_SUSPECT] = "suspect", [MEMBER_REFUTED] = "alive",
    [MEMBER_FAILED] = "failed", [MEMBER_LEFT] = "left",
};

static bool event_type_of(enum member_change change, enum kith_event_type *type_out)
{
    switch (change) {
    case MEMBER_JOINED:
        *type_out = KITH_EVENT_JOINED;
        return true;
    case MEMBER_SUSPECT:
        *type_out = KITH_EVENT_SUSPECT;
        return true;
    case MEMBER_FAILED:
        *type_out = KITH_EVENT_FAILED;
        return true;
    case MEMBER_LEFT:
        *type_out = KITH_EVENT_LEFT;
        return true;
    case MEMBER_REFUTED:
        break;
    }
    return false;
}

void node_event_member(struct kith_node *node,
                       const struct member *member,
                       enum member_change change,
                       const char *reason,
                       const struct kith_work_item *items,
                       size_t items_n)
{
    const char *address = node_member_address(node, member);
    struct kith_event event = {.id = member->id,
                               .boot_no = member->boot_no,
                               .name = member->shown_name,
                               .address = address,
                               .reason = reason,
                               .role = member->facts.role,
                               .items = items,
                               .items_n = items_n};

    if (member->facts.role != KITH_ROLE_PROGRAM)
        node_event_note(node, change_texts[change], &member->id, member->shown_name, address,
                        reason);
    log_info(&node->log.log, "member", change_texts[change], "name", member->shown_name, "address",
             address, "reason", reason, NULL);
    if (!event_type_of(change, &event.type))
        return;
    for (size_t i = 0; i < node->event_sinks_n; i++) {
        uint64_t began_ns = node_callback_begin(node);
        node->event_sinks[i].cb(node, &event, node->event_sinks[i].user);
        node_callback_end(node, began_ns, "event", change_texts[change]);
    }
}

#define CALLBACK_LINE_MS 1000 /* one line so often, with the number of those between */

void node_callback_long(struct kith_node *node, const char *kind, const char *name, uint64_t ns)
{
    char ms[24], more[24];
    uint64_t held;

    if (!log_limit_pass(&node->callback_limit, node_now_ms(), CALLBACK_LINE_MS, &held))
        return;
    snprintf(ms, sizeof(ms), "%.1f", (double)ns / 1e6);
    snprintf(more, sizeof(more), "%llu", (unsigned long long)held);
    log_warn(&node->log.log, "node",
             "a callback held the loop up: nothing else ran meanwhile; give long work to a thread",
             "callback", kind, "ms", ms, "held_back", more, "name", name, NULL);
}

struct sink_add {
    kith_event_cb cb;
    void *user;
    int code;
};

/* Who is here when a program begins to listen has joined as far as it is concerned. */
static void tell_present(struct kith_node *node, const struct node_event_sink *sink)
{
    struct member *member;
    size_t at = 0;

    while ((member = member_next(node->members, &at)) != NULL) {
        bool here = member->status == KITH_STATUS_ALIVE || member->status == KITH_STATUS_SUSPECT;
        if (!here || kith_node_id_equal(&member->id, &node->identity.id))
            continue;
        struct kith_event event = {.type = KITH_EVENT_JOINED,
                                   .id = member->id,
                                   .boot_no = member->boot_no,
                                   .name = member->shown_name,
                                   .address = node_member_address(node, member),
                                   .reason = "was here already",
                                   .role = member->facts.role};
        sink->cb(node, &event, sink->user);
    }
}

static void sink_add(struct kith_node *node, void *arg)
{
    struct sink_add *add = arg;
    if (node->event_sinks_n == NODE_EVENT_CBS_MAX) {
        add->code = KITH_E_LIMIT;
        return;
    }
    node->event_sinks[node->event_sinks_n++] =
        (struct node_event_sink){.cb = add->cb, .user = add->user};
    tell_present(node, &node->event_sinks[node->event_sinks_n - 1]);
}

int kith_on_event(struct kith_node *node, kith_event_cb cb, void *user)
{
    struct sink_add add = {.cb = cb, .user = user};
    if (node == NULL || cb == NULL)
        return kith_fail_with(KITH_E_INVALID, "node and callback must not be NULL");
    int r = node_run(node, sink_add, &add);
    if (r == 0 && add.code != 0)
        r = kith_fail_with(add.code,
                           "%d callbacks for events are set, which is the limit of a node; handle "
                           "several things in one",
                           NODE_EVENT_CBS_MAX);
    return r;
}

void node_events_deinit(struct kith_node *node)
{
    core_free(node->events);
    node->events = NULL;
    node->events_cap = 0;
}

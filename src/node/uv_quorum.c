/*
 * What the view can do now, as this node knows it: for operations, errors and `kith view`.
 */
#include <string.h>

#include "node/internal.h"

/* A node that keeps nothing hears no voter by itself: it goes by membership. */
static void quorum_of_edge(struct kith_node *node, struct view_quorum *quorum)
{
    quorum->missing_n = 0;
    for (uint32_t i = 0; i < quorum->voters_n; i++) {
        const struct member *voter = member_find(node->members, &quorum->voters[i].node);
        if (voter != NULL &&
            (voter->status == KITH_STATUS_ALIVE || voter->status == KITH_STATUS_SUSPECT))
            continue;
        struct view_peer_name *missing = &quorum->missing[quorum->missing_n++];
        missing->id = quorum->voters[i].node;
        snprintf(missing->name, sizeof(missing->name), "%s",
                 voter != NULL ? voter->shown_name : "");
    }
    uint32_t live = quorum->voters_n - quorum->missing_n, need = quorum->voters_n / 2 + 1;
    quorum->have = live >= need;
    quorum->failures_tolerated = live > need ? live - need : 0;
}

void node_view_quorum(struct kith_node *node, struct view_quorum *quorum_out)
{
    view_quorum(node->state.view, node_boot_ms(), quorum_out);
    if (quorum_out->epoch != 0 && view_role(node->state.view) == VIEW_EDGE)
        quorum_of_edge(node, quorum_out);
}

struct view_core *node_view(struct kith_node *node)
{
    return node->state.view;
}

int node_view_force(struct kith_node *node)
{
    struct view_event event = {.type = VIEW_FORCE, .now_ms = node_boot_ms()};
    struct view_force_loss loss;
    int r = view_force_loss(node->state.view, node_boot_ms(), &loss);

    if (r == 0)
        node_view_step(node, &event);
    return r;
}

/* How much of @out is written; less than @bytes. */
static size_t
put_missing(struct kith_node *node, const struct view_quorum *quorum, char *out, size_t bytes)
{
    size_t at = (size_t)snprintf(out, bytes, "not enough voters are reachable");

    for (uint32_t i = 0; i < quorum->missing_n && at < bytes; i++) {
        const struct view_peer_name *peer = &quorum->missing[i];
        const char *name = peer->name[0] != '\0' ? peer->name : node_name_of(node, &peer->id);
        at += (size_t)snprintf(out + at, bytes - at, "%s%s", i == 0 ? ", missing " : ", ",
                               name != NULL ? name : "?");
    }
    return at < bytes ? at : bytes - 1;
}

const char *node_quorum_reason(struct kith_node *node, char *out, size_t bytes)
{
    struct view_quorum quorum;

    node_view_quorum(node, &quorum);
    if (quorum.epoch == 0)
        snprintf(out, bytes, "no view of shared state is known here");
    else
        (void)put_missing(node, &quorum, out, bytes);
    return out;
}

const char *node_quorum_text(struct kith_node *node, char *out, size_t bytes)
{
    struct view_quorum quorum;

    node_view_quorum(node, &quorum);
    if (quorum.epoch == 0) {
        snprintf(out, bytes,
                 "no view of shared state is known here yet: connect this node to the others, or "
                 "create a cluster with kith init");
        return out;
    }
    size_t at = put_missing(node, &quorum, out, bytes);
    snprintf(out + at, bytes - at,
             ": start or reconnect them; calls and available variables work meanwhile");
    return out;
}

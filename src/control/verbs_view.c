/* Verbs about the view: who votes, who keeps what, how many failures are survived. */
#include <string.h>

#include "control/control.h"
#include "control/request.h"
#include "core/error.h"
#include "view/view.h"

static const char *role_text(enum view_role role)
{
    static const char *const texts[] = {"none",     "edge",      "sitout",
                                        "follower", "candidate", "leader"};
    return texts[role];
}

static const char *keeper_text(enum keeper_state state)
{
    static const char *const texts[] = {[KEEPER_ACTIVE] = "active",
                                        [KEEPER_EXCLUDED] = "excluded",
                                        [KEEPER_ENDED] = "ended",
                                        [KEEPER_DIED] = "died"};
    return texts[state];
}

static const char *name_of(struct control_request *request, const struct kith_node_id *id)
{
    const char *name = node_name_of(request->node, id);
    return name != NULL ? name : "";
}

static void put_named(struct json *json, const struct view_peer_name *peer)
{
    json_object_begin(json);
    json_kv_id(json, "id", &peer->id);
    json_kv_text(json, "name", peer->name);
    json_object_end(json);
}

static void
put_names(struct json *json, const char *key, const struct view_peer_name *peers, uint32_t n)
{
    json_key(json, key);
    json_array_begin(json);
    for (uint32_t i = 0; i < n; i++)
        put_named(json, &peers[i]);
    json_array_end(json);
}

static uint32_t slots_of(const struct placement *placement, uint32_t member_id, bool home)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < PLACEMENT_SLOTS; i++) {
        const struct placement_config *active = &placement->slots[i].active;
        n += home ? active->replicas_n > 0 && active->replicas[0] == member_id
                  : placement_config_has(active, member_id);
    }
    return n;
}

static void
put_keepers(struct control_request *request, struct json *json, const struct placement *placement)
{
    json_key(json, "keepers");
    json_array_begin(json);
    for (uint32_t i = 0; i < placement->keepers_n; i++) {
        const struct placement_keeper *keeper = &placement->keepers[i];
        json_object_begin(json);
        json_kv_id(json, "id", &keeper->boot.node);
        json_kv_text(json, "name", name_of(request, &keeper->boot.node));
        json_key(json, "boot_no");
        json_u64_text(json, keeper->boot.boot_no);
        json_kv_text(json, "state", keeper_text(keeper->state));
        json_kv_u64(json, "slots", slots_of(placement, keeper->member_id, false));
        json_kv_u64(json, "homes", slots_of(placement, keeper->member_id, true));
        json_object_end(json);
    }
    json_array_end(json);
}

static void view(struct control_request *request)
{
    const struct view_core *core = node_view(request->node);
    struct view_quorum quorum;
    struct control_reply reply;
    struct json *json = &reply.json;

    node_view_quorum(request->node, &quorum);
    control_reply_begin(&reply, request);
    json_key(json, "epoch");
    json_u64_text(json, quorum.epoch);
    json_kv_bool(json, "quorum",
                 quorum.epoch > 0 && quorum.voters_n - quorum.missing_n > quorum.voters_n / 2);
    json_kv_bool(json, "serving", quorum.have);
    json_kv_u64(json, "failures_tolerated", quorum.failures_tolerated);
    json_kv_text(json, "role", role_text(view_role(core)));
    json_key(json, "leader");
    if (quorum.leader_known)
        put_named(json, &quorum.leader);
    else
        json_write_null(json);
    json_key(json, "voters");
    json_array_begin(json);
    for (uint32_t i = 0; i < quorum.voters_n; i++) {
        json_object_begin(json);
        json_kv_id(json, "id", &quorum.voters[i].node);
        json_kv_text(json, "name", name_of(request, &quorum.voters[i].node));
        json_object_end(json);
    }
    json_array_end(json);
    put_names(json, "missing", quorum.missing, quorum.missing_n);
    put_keepers(request, json, view_placement(core));
    json_kv_u64(json, "slots", PLACEMENT_SLOTS);
    json_kv_u64(json, "slots_unavailable", quorum.slots_unavailable_n);
    json_kv_u64(json, "slots_moving", quorum.slots_moving_n);
    control_reply_end(&reply, false, NULL, 0);
}

static void view_force(struct control_request *request)
{
    struct view_force_loss loss;
    struct control_reply reply;
    bool confirmed = control_bool(request, "confirmed", false);
    int r = view_force_loss(node_view(request->node), node_boot_ms(), &loss);

    if (r == 0 && confirmed)
        r = node_view_force(request->node);
    if (r != 0) {
        control_fail(request, r, NULL);
        return;
    }
    control_reply_begin(&reply, request);
    json_kv_bool(&reply.json, "forced", confirmed);
    json_key(&reply.json, "epoch");
    json_u64_text(&reply.json, loss.epoch);
    put_names(&reply.json, "voters", loss.voters, loss.voters_n);
    put_names(&reply.json, "keepers", loss.keepers, loss.keepers_n);
    json_kv_u64(&reply.json, "slots_lost", loss.slots_lost_n);
    json_kv_u64(&reply.json, "slots_fewer", loss.slots_fewer_n);
    control_reply_end(&reply, false, NULL, 0);
}

const struct control_verb control_verbs_view[] = {
    {.name = "view", .run = view, .forward = "node", .remote = true},
    {.name = "view.force", .run = view_force},
    {0},
};

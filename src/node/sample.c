/* Measuring: this host for membership and for its curves, and the sum of all hosts. */
#include "core/limits.h"
#include "node/internal.h"

void node_sums(struct kith_node *node, struct node_sums *out)
{
    struct member *member;
    size_t at = 0;

    *out = (struct node_sums){0};
    while ((member = member_next(node->members, &at)) != NULL) {
        bool self = member == member_self(node->members);
        const struct member_load *load = self ? &node->load : &member->load;
        if (member->facts.role == KITH_ROLE_PROGRAM || member->status != KITH_STATUS_ALIVE ||
            (!self && !member->load_known))
            continue;
        uint64_t memory = member->facts.memory_bytes;
        uint64_t available = load->memory_available_bytes;
        out->nodes_n++;
        out->cpus += member->facts.cpus;
        out->memory_bytes += memory;
        out->memory_available_bytes += available < memory ? available : memory;
        out->load_milli += load->load_milli;
        out->cpu_permille += (uint64_t)load->cpu_permille * member->facts.cpus;
    }
}

/* For the curves of the pages; a program that embeds the library has none. */
static void history_sample_add(struct kith_node *node, const struct facts_load *host)
{
    double percent[HISTORY_CPUS_MAX];
    uint64_t now_ms = node_now_ms(), in, out;
    struct node_net_rate *rate = &node->net_rate;

    if (node->program)
        return;
    size_t n = facts_cpu_percent(&node->facts_host, percent, HISTORY_CPUS_MAX);
    if (now_ms >= rate->at_ms + NODE_NET_RATE_MS) {
        facts_net(&node->facts_host, &in, &out);
        uint64_t ms = now_ms - rate->at_ms;
        bool known = rate->at_ms != 0 && in >= rate->in && out >= rate->out;
        rate->in_per_s = known ? (in - rate->in) * 1000 / ms : 0;
        rate->out_per_s = known ? (out - rate->out) * 1000 / ms : 0;
        rate->in = in;
        rate->out = out;
        rate->at_ms = now_ms;
    }
    if (node->history.cores_n == 0 && node_history_init(&node->history, (uint32_t)n) != 0)
        return;
    uint64_t installed = node->facts.memory_bytes;
    struct history_sample sample = {
        .unix_ms = node_unix_ms(),
        .memory_used_bytes =
            installed > host->memory_available_bytes ? installed - host->memory_available_bytes : 0,
        .load_milli = host->load_milli,
        .net_in = rate->in_per_s > UINT32_MAX ? UINT32_MAX : (uint32_t)rate->in_per_s,
        .net_out = rate->out_per_s > UINT32_MAX ? UINT32_MAX : (uint32_t)rate->out_per_s,
        .cpu_permille = (uint16_t)host->cpu_permille,
        .nodes_n = 1};
    node_history_add(&node->history, now_ms, &sample, percent, n);
}

/*
 * All nodes together, as membership tells of them: where there are too many to be asked for their
 * own curves, this is what one has (control/verbs_overview.c). Costs no message.
 */
static void everywhere_sample_add(struct kith_node *node)
{
    struct node_sums sums;

    if (node->program ||
        (node->everywhere.rings[0].samples == NULL && node_history_init(&node->everywhere, 0) != 0))
        return;
    node_sums(node, &sums);
    struct history_sample sample = {
        .unix_ms = node_unix_ms(),
        .memory_used_bytes = sums.memory_bytes - sums.memory_available_bytes,
        .load_milli = sums.load_milli < UINT32_MAX ? (uint32_t)sums.load_milli : UINT32_MAX,
        .cpu_permille = sums.cpus > 0 ? (uint16_t)(sums.cpu_permille / sums.cpus) : 0,
        .nodes_n = (uint32_t)sums.nodes_n};
    node_history_add(&node->everywhere, node_now_ms(), &sample, NULL, 0);
}

void node_sample(struct kith_node *node)
{
    uint32_t busy, queued;

    struct facts_load host;
    facts_sample(&node->facts_host, &host);
    workers_count(node->workers, &busy, &queued);
    struct member_load load = {
        .memory_available_bytes = host.memory_available_bytes,
        .load_milli = host.load_milli,
        .cpu_permille = host.cpu_permille,
        .queue_len = queued + busy,
    };
    struct member_event event = {.type = MEMBER_LOAD, .load = &load};
    node->load = load;
    node_member_step(node, &event);
    history_sample_add(node, &host);
    everywhere_sample_add(node);
}

/*
 * Profiles and formulas of protocols 5.3. Integers only, so that a simulation is the same on every
 * machine and compiler.
 */
#include "core/error.h"
#include "member/internal.h"

static const struct member_config profiles[] = {
    [MEMBER_LAN] = {.probe_interval_ms = 1000,
                    .probe_timeout_min_ms = 100,
                    .probe_timeout_max_ms = 500,
                    .indirect_k = 3,
                    .suspicion_alpha = 4,
                    .suspicion_beta = 6,
                    .health_max = 8,
                    .gossip_interval_ms = 200,
                    .gossip_fanout = 3,
                    .push_pull_interval_ms = 30 * 1000},
    [MEMBER_FAST] = {.probe_interval_ms = 500,
                     .probe_timeout_min_ms = 100,
                     .probe_timeout_max_ms = 300,
                     .indirect_k = 3,
                     .suspicion_alpha = 4,
                     .suspicion_beta = 6,
                     .health_max = 8,
                     .gossip_interval_ms = 100,
                     .gossip_fanout = 3,
                     .push_pull_interval_ms = 15 * 1000},
    [MEMBER_WAN] = {.probe_interval_ms = 5000,
                    .probe_timeout_min_ms = 500,
                    .probe_timeout_max_ms = 3000,
                    .indirect_k = 3,
                    .suspicion_alpha = 6,
                    .suspicion_beta = 6,
                    .health_max = 8,
                    .gossip_interval_ms = 500,
                    .gossip_fanout = 4,
                    .push_pull_interval_ms = 60 * 1000},
};

#define RECONNECT_INTERVAL_MS (30 * 1000)
#define TOMBSTONE_MS          (24 * 3600 * 1000)
#define ECHO_INTERVAL_MS      (20 * 1000)
#define ECHO_LIMIT_MS         (10 * 1000)

/* Above an hour no interval makes sense, and sums of them stay far from overflow. */
#define INTERVAL_MS_MAX (3600 * 1000)

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value != 0 ? value : fallback;
}

static bool config_is_sound(const struct member_config *config)
{
    return config->probe_timeout_min_ms <= config->probe_timeout_max_ms &&
           config->probe_timeout_max_ms < config->probe_interval_ms &&
           config->probe_interval_ms <= INTERVAL_MS_MAX &&
           config->gossip_interval_ms <= INTERVAL_MS_MAX &&
           config->push_pull_interval_ms <= INTERVAL_MS_MAX &&
           config->reconnect_interval_ms <= INTERVAL_MS_MAX &&
           config->echo_interval_ms <= INTERVAL_MS_MAX &&
           config->echo_limit_ms <= INTERVAL_MS_MAX && config->suspicion_alpha >= 2 &&
           config->suspicion_alpha <= MEMBER_ACCUSERS_MAX + 1 && config->suspicion_beta <= 100 &&
           config->health_max <= 64 && config->indirect_k <= PROBE_RELAYS_MAX &&
           config->gossip_fanout <= 16;
}

int params_fill(struct member_config *config)
{
    if ((unsigned)config->profile > MEMBER_WAN)
        return kith_fail_with(KITH_E_INVALID, "membership profile %d is none of lan, fast, wan",
                              (int)config->profile);
    const struct member_config *profile = &profiles[config->profile];
#define FILL(field) config->field = or_default(config->field, profile->field)
    FILL(probe_interval_ms);
    FILL(probe_timeout_min_ms);
    FILL(probe_timeout_max_ms);
    FILL(indirect_k);
    FILL(suspicion_alpha);
    FILL(suspicion_beta);
    FILL(health_max);
    FILL(gossip_interval_ms);
    FILL(gossip_fanout);
    FILL(push_pull_interval_ms);
#undef FILL
    config->reconnect_interval_ms =
        or_default(config->reconnect_interval_ms, RECONNECT_INTERVAL_MS);
    config->tombstone_ms = or_default(config->tombstone_ms, TOMBSTONE_MS);
    config->echo_interval_ms = or_default(config->echo_interval_ms, ECHO_INTERVAL_MS);
    config->echo_limit_ms = or_default(config->echo_limit_ms, ECHO_LIMIT_MS);
    if (!config_is_sound(config))
        return kith_fail_with(KITH_E_INVALID,
                              "membership timing does not fit together: the probe timeout must be "
                              "below the probe interval, alpha 2 to %d, intervals at most an hour",
                              MEMBER_ACCUSERS_MAX + 1);
    if (config->datagram_bytes_max < MEMBER_DATAGRAM_BYTES_MIN)
        return kith_fail_with(KITH_E_INVALID, "datagrams of %zu bytes are too short: %d at least",
                              config->datagram_bytes_max, MEMBER_DATAGRAM_BYTES_MIN);
    if (config->boot_no == 0)
        return kith_fail_with(KITH_E_INVALID, "a node's boot_no starts at 1");
    return facts_check(&config->facts);
}

/* Digits: ceil(log10(n + 1)) for n of 1 and more. */
static uint32_t digits(size_t n)
{
    uint32_t d = 1;
    while (n >= 10) {
        n /= 10;
        d++;
    }
    return d;
}

uint32_t params_retransmits(size_t nodes_n)
{
    return 4 * digits(nodes_n);
}

/* log2(@x) in units of 1/65,536, for x of 1 and more. */
static uint64_t log2_q16(uint64_t x)
{
    uint64_t whole = 63 - (uint64_t)__builtin_clzll(x);
    uint64_t y = whole >= 31 ? x >> (whole - 31) : x << (31 - whole); /* 1 to 2 in units of 2^-31 */
    uint64_t part = 0;
    for (int bit = 15; bit >= 0; bit--) {
        y = y * y >> 31;
        if (y >= UINT64_C(1) << 32) {
            y >>= 1;
            part |= UINT64_C(1) << bit;
        }
    }
    return whole << 16 | part;
}

void params_suspicion(const struct member_core *core,
                      uint64_t *min_ms,
                      uint64_t *max_ms,
                      uint32_t *k)
{
    const struct member_config *config = &core->config;
    size_t n = core_n(core);
    uint64_t base = (uint64_t)config->suspicion_alpha * config->probe_interval_ms;
    /* alpha * max(1, log10 n) * interval */
    *min_ms = n <= 10 ? base : base * log2_q16(n) / log2_q16(10);
    *max_ms = *min_ms * config->suspicion_beta;
    *k = config->suspicion_alpha - 2;
    /* Only n - 2 others can confirm: all but the suspect and the first accuser. */
    if (n >= 2 && *k > n - 2)
        *k = (uint32_t)(n - 2);
    if (n <= 3) {
        /* No third opinion can come that soon: half of the longest, whatever is said. */
        *max_ms /= 2;
        *min_ms = *max_ms;
        *k = 0;
    } else if (config->lifeguard_off) {
        *max_ms = *min_ms;
        *k = 0;
    }
}

uint64_t params_suspicion_ms(uint64_t min_ms, uint64_t max_ms, uint32_t k, uint32_t confirmations)
{
    assert(max_ms >= min_ms);
    if (k == 0 || confirmations >= k)
        return min_ms;
    return max_ms - (max_ms - min_ms) * log2_q16(confirmations + 1) / log2_q16(k + 1);
}

/* As the table grows, each node does it more seldom: the load of one stays about the same. */
uint64_t params_push_pull_ms(const struct member_core *core)
{
    uint64_t interval = core->config.push_pull_interval_ms;
    size_t n = core_n(core);
    while (n > SYNC_WHOLE_MAX) {
        interval += core->config.push_pull_interval_ms;
        n = (n + 1) / 2;
    }
    return interval;
}

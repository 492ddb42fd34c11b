/* The stand-in of the channel: the rules it keeps, with and without real keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../sim/channel.h"

struct end {
    struct sim_node *node;
    struct channel channel;
    size_t bodies_n;
    char last[64];
};

struct setting {
    struct sim_world *world;
    struct sim_keys *keys;
};

static void *boot(struct sim_world *world, struct sim_node *node, uint64_t boot_no)
{
    struct end *end = calloc(1, sizeof(*end));
    struct setting *setting = sim_user(world);

    (void)boot_no;
    assert_non_null(end);
    end->node = node;
    channel_init(&end->channel, node, setting->keys);
    return end;
}

static void crash(void *state)
{
    struct end *end = state;

    channel_deinit(&end->channel);
    free(end);
}

static void datagram(
    void *state, const struct kith_node_id *from, uint64_t boot_no, const uint8_t *data, size_t len)
{
    struct end *end = state;
    struct kith_bytes body;

    if (!channel_receive(&end->channel, from, boot_no, data, len, &body))
        return;
    end->bodies_n++;
    assert_true(body.len < sizeof(end->last));
    memcpy(end->last, body.data, body.len);
    end->last[body.len] = '\0';
}

static const struct sim_host host = {.boot = boot, .crash = crash, .datagram = datagram};

static void begin(struct setting *setting, bool real_keys)
{
    memset(setting, 0, sizeof(*setting));
    setting->world =
        sim_new(&(struct sim_config){.seed = 1, .nodes_n = 2, .host = &host, .user = setting});
    if (real_keys)
        setting->keys = keys_new(setting->world, 1);
    sim_start(setting->world, 0);
    sim_start(setting->world, 1);
}

static void end(struct setting *setting)
{
    sim_power_off(setting->world, 0);
    sim_power_off(setting->world, 1);
    sim_free(setting->world);
    keys_free(setting->keys);
}

static struct end *end_at(struct setting *setting, size_t index)
{
    return sim_node_state(sim_node_at(setting->world, index));
}

static void learn(struct setting *setting, size_t from, size_t to, uint64_t boot_no)
{
    struct kith_node_id id = sim_node_id(sim_node_at(setting->world, to));

    channel_learn(&end_at(setting, from)->channel, &id, boot_no,
                  sim_node_address(sim_node_at(setting->world, to)));
}

static void send(struct setting *setting, size_t from, size_t to, const char *text)
{
    struct kith_node_id id = sim_node_id(sim_node_at(setting->world, to));

    channel_send(&end_at(setting, from)->channel, &id, (const uint8_t *)text, strlen(text));
    assert_true(sim_run(setting->world, sim_world_ms(setting->world) + 2, NULL));
}

static void strangers_are_not_heard(bool real_keys)
{
    struct setting setting;

    begin(&setting, real_keys);
    send(&setting, 0, 1, "a"); /* no key to send with */
    learn(&setting, 0, 1, 1);
    send(&setting, 0, 1, "b"); /* nor one to open it with */
    assert_int_equal(end_at(&setting, 1)->bodies_n, 0);
    learn(&setting, 1, 0, 1);
    send(&setting, 0, 1, "c");
    assert_string_equal(end_at(&setting, 1)->last, "c");
    end(&setting);
}

static void another_boot_is_answered_and_learned(bool real_keys)
{
    struct setting setting;

    begin(&setting, real_keys);
    learn(&setting, 0, 1, 1);
    learn(&setting, 1, 0, 1);
    send(&setting, 0, 1, "a");
    assert_int_equal(end_at(&setting, 1)->bodies_n, 1);
    sim_crash(setting.world, 1);
    sim_start(setting.world, 1);
    learn(&setting, 1, 0, 1);
    send(&setting, 0, 1, "b"); /* names boot 1: not delivered, answered by BOOT */
    assert_int_equal(end_at(&setting, 1)->bodies_n, 0);
    send(&setting, 0, 1, "c");
    assert_int_equal(end_at(&setting, 1)->bodies_n, 1);
    assert_string_equal(end_at(&setting, 1)->last, "c");
    end(&setting);
}

static void a_moved_node_is_found_once_it_speaks(bool real_keys)
{
    struct setting setting;

    begin(&setting, real_keys);
    learn(&setting, 0, 1, 1);
    sim_crash(setting.world, 1);
    sim_readdress(setting.world, 1);
    sim_start(setting.world, 1);
    learn(&setting, 1, 0, 1);
    send(&setting, 0, 1, "a");
    send(&setting, 0, 1, "b");
    assert_int_equal(end_at(&setting, 1)->bodies_n, 0);
    send(&setting, 1, 0, "here");
    assert_string_equal(end_at(&setting, 0)->last, "here");
    send(&setting, 0, 1, "c");
    assert_string_equal(end_at(&setting, 1)->last, "c");
    end(&setting);
}

static void an_earlier_boot_is_not_heard(void **state)
{
    (void)state;
    struct setting setting;
    struct kith_node_id id;
    struct kith_bytes body;
    uint8_t wire[CHANNEL_HEAD_BYTES + 1] = {1, 1};

    begin(&setting, false);
    id = sim_node_id(sim_node_at(setting.world, 0));
    learn(&setting, 1, 0, 5);
    assert_false(channel_receive(&end_at(&setting, 1)->channel, &id, 4, wire, sizeof(wire), &body));
    assert_true(channel_receive(&end_at(&setting, 1)->channel, &id, 5, wire, sizeof(wire), &body));
    end(&setting);
}

static void rules_hold_without_keys(void **state)
{
    (void)state;
    strangers_are_not_heard(false);
    another_boot_is_answered_and_learned(false);
    a_moved_node_is_found_once_it_speaks(false);
}

static void rules_hold_with_real_keys(void **state)
{
    (void)state;
    strangers_are_not_heard(true);
    another_boot_is_answered_and_learned(true);
    a_moved_node_is_found_once_it_speaks(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_earlier_boot_is_not_heard),
        cmocka_unit_test(rules_hold_without_keys),
        cmocka_unit_test(rules_hold_with_real_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

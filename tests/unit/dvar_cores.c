/*
 * Cores of variables that talk to each other as the case wants it.
 */
#include "dvar_cores.h"

struct dvar_core *cores[NODES];
uint64_t boots[NODES];
struct placement placement;
struct message queue[256];
size_t queue_n;
uint64_t now_ms;
bool cut[NODES];
uint8_t lost_type;
uint64_t ready[NODES];
struct dvar_result result;
bool done;
uint64_t told[NODES];
int told_n;
uint32_t told_missed;
int told_other_n;
int only_to;
uint8_t held_type;
struct message held;
const char *name;

struct boot_id boot_of(int n)
{
    struct boot_id boot = {.boot_no = boots[n]};
    boot.node.bytes[0] = (uint8_t)(n + 1);
    return boot;
}

static bool has(const struct dvar_action *action, uint8_t type)
{
    for (size_t at = 0; type != 0 && at < action->len;
         at += WIRE_HEAD_BYTES + get_le32(action->data + at + 4)) {
        if (action->data[at] == type)
            return true;
    }
    return false;
}

void step(int n, struct dvar_event event)
{
    struct dvar_output out;
    event.now_ms = now_ms;
    assert_int_equal(dvar_step(cores[n], &event, &out), 0);
    for (size_t i = 0; i < out.actions_n; i++) {
        const struct dvar_action *action = &out.actions[i];
        if (action->type == DVAR_SLOT_READY && action->slot == placement_slot_of("x", 1))
            ready[n] = action->slot_epoch;
        if (action->type == DVAR_DONE) {
            done = true;
            result = action->result;
            result.number = action->result.len == 1 ? action->result.data[0] : 0;
        }
        if (action->type == DVAR_CHANGED)
            told_missed += action->change.missed;
        if (action->type == DVAR_CHANGED && action->id != WATCH_ID) {
            told_other_n++;
        } else if (action->type == DVAR_CHANGED) {
            assert_true(action->change.version > told[n]);
            told[n] = action->change.version;
            told_n++;
        }
        int to = action->to.bytes[0] - 1;
        if (action->type != DVAR_SEND || to < 0 || to >= NODES || cut[n] || cut[to])
            continue;
        assert_true(queue_n < 256 && action->len <= sizeof(queue[0].data));
        bool meant = only_to < 0 || to == only_to;
        bool hold = meant && has(action, held_type);
        struct message *m = hold ? &held : &queue[queue_n++];
        held_type = hold ? 0 : held_type;
        *m = (struct message){.from = n, .to = to};
        for (size_t at = 0, len; at < action->len; at += len) {
            len = WIRE_HEAD_BYTES + get_le32(action->data + at + 4);
            if (meant && lost_type != 0 && action->data[at] == lost_type)
                continue;
            memcpy(m->data + m->len, action->data + at, len);
            m->len += len;
        }
    }
    dvar_check(cores[n]);
}

void arrive(const struct message *m)
{
    if (cores[m->to] != NULL)
        step(m->to,
             (struct dvar_event){
                 .type = DVAR_RECV, .from = boot_of(m->from), .data = m->data, .len = m->len});
}

void deliver(void)
{
    for (size_t i = 0; i < queue_n; i++) {
        const struct message m = queue[i];
        arrive(&m);
    }
    queue_n = 0;
}

void decide(void)
{
    placement.epoch++;
    for (int n = 0; n < NODES; n++) {
        if (cores[n] != NULL && !cut[n])
            step(n, (struct dvar_event){.type = DVAR_PLACEMENT, .placement = &placement});
    }
    deliver();
}

void lease(int n)
{
    step(n, (struct dvar_event){.type = DVAR_LEASE, .until_ms = now_ms + 3000});
}

void pass(uint64_t ms)
{
    for (uint64_t end = now_ms + ms; now_ms < end;) {
        now_ms += 5;
        for (int n = 0; n < NODES; n++) {
            if (cores[n] != NULL && now_ms % 1000 == 0 && n != EDGE)
                lease(n);
            if (cores[n] != NULL && dvar_deadline_ms(cores[n]) <= now_ms)
                step(n, (struct dvar_event){.type = DVAR_TICK});
        }
        deliver();
    }
}

void op(int n, struct value_op what)
{
    static uint64_t id;
    done = false;
    step(n, (struct dvar_event){.type = DVAR_OP,
                                .id = ++id,
                                .name = name,
                                .name_len = 1,
                                .op = &what,
                                .deadline_ms = now_ms + 10000});
    deliver();
}

void set(int n, uint8_t value)
{
    op(n,
       (struct value_op){.kind = VALUE_OP_SET, .type = VALUE_BYTES, .data = &value, .data_len = 1});
}

void get(int n)
{
    op(n, (struct value_op){.kind = VALUE_OP_GET});
}

bool reads_alone(int n)
{
    cut[n] = true;
    get(n);
    cut[n] = false;
    return done;
}

void begin_with(uint32_t copies)
{
    now_ms = 1000;
    name = "x";
    queue_n = 0;
    lost_type = held_type = 0;
    only_to = -1;
    told_n = told_other_n = 0;
    told_missed = 0;
    memset(told, 0, sizeof(told));
    memset(ready, 0, sizeof(ready));
    memset(cut, 0, sizeof(cut));
    memset(&placement, 0, sizeof(placement));
    placement.keepers_n = EDGE;
    for (int n = 0; n < NODES; n++) {
        boots[n] = 1;
        struct dvar_config config = {.self = boot_of(n)};
        assert_int_equal(dvar_new(&cores[n], &config), 0);
        step(n, (struct dvar_event){.type = DVAR_START});
        if (n < EDGE)
            placement.keepers[n] = (struct placement_keeper){
                .member_id = (uint32_t)n + 1, .boot = boot_of(n), .state = KEEPER_ACTIVE};
    }
    for (int i = 0; i < PLACEMENT_SLOTS; i++)
        placement.slots[i].active = (struct placement_config){
            .slot_epoch = 1, .replicas = {1, 2, 3}, .replicas_n = (uint8_t)copies};
    decide();
    for (int n = 0; n < EDGE; n++)
        lease(n);
    set(HOME, 1);
    assert_true(done && result.code == 0);
}

void begin(void)
{
    begin_with(2);
}

void end(void)
{
    for (int n = 0; n < NODES; n++) {
        dvar_free(cores[n]);
        cores[n] = NULL;
    }
}

void choose(uint64_t slot_epoch, uint32_t home, uint32_t copy)
{
    for (int i = 0; i < PLACEMENT_SLOTS; i++)
        placement.slots[i].chosen = (struct placement_config){
            .slot_epoch = slot_epoch, .replicas = {home, copy}, .replicas_n = 2};
    decide();
}

void lose_home(enum keeper_state state, uint32_t to)
{
    dvar_free(cores[HOME]);
    cores[HOME] = NULL;
    placement.keepers[HOME].state = state;
    for (int i = 0; i < PLACEMENT_SLOTS; i++)
        placement.slots[i].chosen =
            (struct placement_config){.slot_epoch = 2, .replicas = {to}, .replicas_n = 1};
    cut[EDGE] = true; /* it hears of nothing */
    decide();
    pass(20);
    cut[EDGE] = false;
}

void move(uint64_t slot_epoch, uint32_t home, uint32_t copy)
{
    choose(slot_epoch, home, copy);
    for (int i = 0; i < 20 && ready[home - 1] != slot_epoch; i++)
        pass(100);
    assert_int_equal(ready[home - 1], slot_epoch);
    for (int i = 0; i < PLACEMENT_SLOTS; i++) {
        placement.slots[i].active = placement.slots[i].chosen;
        placement.slots[i].chosen = (struct placement_config){0};
    }
    decide();
}

void watch(int n)
{
    step(n, (struct dvar_event){.type = DVAR_WATCH, .id = WATCH_ID, .name = "x", .name_len = 1});
    deliver();
}

void put_message(struct message *m, uint8_t type, uint8_t flags, size_t len)
{
    uint8_t *p = m->data;
    m->len = WIRE_HEAD_BYTES + len;
    memset(p, 0, m->len);
    p[0] = type;
    p[1] = flags;
    put_le16(p + 2, (uint16_t)placement_slot_of("x", 1));
    put_le32(p + 4, (uint32_t)len);
}

/* See test_mutex_lab.h. */
#include "test_mutex_lab.h"

struct boot_id boot_of(uint32_t i)
{
    struct boot_id b = {.boot_no = 1};
    b.node.bytes[0] = (uint8_t)(i + 1);
    return b;
}

static void act(struct lab *lab, uint32_t i, const struct mutex_output *out);

struct mutex_output step(struct lab *lab, uint32_t i, struct mutex_event event)
{
    struct mutex_output out;
    event.now_ms = lab->now;
    assert_int_equal(mutex_step(lab->nodes[i], &event, &out), 0);
    mutex_check(lab->nodes[i]);
    act(lab, i, &out);
    return out;
}

static void answer_record(struct lab *lab, uint32_t i, const struct mutex_action *a)
{
    uint32_t r = 0;
    lab->records_asked_n++;
    while (r < lab->records_n && strcmp(lab->records[r].name, a->name) != 0)
        r++;
    if (r == lab->records_n) {
        assert_true(r < sizeof(lab->records) / sizeof(lab->records[0]));
        (void)snprintf(lab->records[lab->records_n++].name, 300, "%s", a->name);
    }
    struct mutex_event event = {.type = MUTEX_RECORD, .u.record.ask = a->ask};
    if (lab->record_code != 0) {
        event.u.record.code = lab->record_code;
    } else if (a->type == MUTEX_RECORD_CAS) {
        if (lab->records[r].version != a->version) {
            event.u.record.code = KITH_E_AGAIN;
        } else {
            lab->records[r].version = a->len > 0 ? ++lab->records[r].last : 0;
            lab->records[r].len = a->len;
            if (a->len > 0)
                memcpy(lab->records[r].data, a->data, a->len);
        }
    } else if (lab->records[r].version == 0) {
        event.u.record.code = KITH_E_NOT_FOUND;
    } else {
        event.u.record.data = lab->records[r].data;
        event.u.record.len = lab->records[r].len;
    }
    event.u.record.version = lab->records[r].version;
    (void)step(lab, i, event);
}

static void note_info(struct lab *lab, const struct mutex_action *a)
{
    lab->info_code = a->code;
    lab->info_n = a->info->list_n;
    lab->info_waiters = a->info->waiters_n;
    lab->info_holders = 0;
    lab->info_text[0] = '\0';
    for (uint32_t k = 0; k < a->info->list_n; k++) {
        const struct mutex_holder *h = &a->info->list[k];
        size_t at = strlen(lab->info_text);
        lab->info_holders += h->holds;
        (void)snprintf(lab->info_text + at, sizeof(lab->info_text) - at, "%s:%s:%llu:%s%s%s;",
                       h->node, h->owner_text, (unsigned long long)h->pid,
                       h->holds ? "holds" : "waits", h->cycle != NULL ? " cycle " : "",
                       h->cycle != NULL ? h->cycle : "");
    }
}

/* Actions are good until the next step of the core: they are copied before anything is answered. */
static void act(struct lab *lab, uint32_t i, const struct mutex_output *out)
{
    static struct mutex_action asks[64];
    static uint8_t bytes[64][4096];
    static char names[64][300];
    struct mutex_action mine[16];
    uint32_t mine_n = 0;
    static uint32_t used;
    for (size_t k = 0; k < out->actions_n; k++) {
        const struct mutex_action *a = &out->actions[k];
        struct got *got = a->waiter < WAITERS ? &lab->got[i][a->waiter] : NULL;
        switch (a->type) {
        case MUTEX_SEND:
            lab->messages_n++;
            assert_true(a->len <= sizeof(lab->queue[0].data));
            lab->queue[lab->tail % QUEUE_MAX].from = i;
            lab->queue[lab->tail % QUEUE_MAX].to = a->to.bytes[0] - 1u;
            lab->queue[lab->tail % QUEUE_MAX].len = a->len;
            memcpy(lab->queue[lab->tail++ % QUEUE_MAX].data, a->data, a->len);
            assert_true(lab->tail - lab->head <= QUEUE_MAX);
            break;
        case MUTEX_RECORD_READ:
        case MUTEX_RECORD_CAS: {
            uint32_t u = used++ % 64;
            asks[u] = *a;
            (void)snprintf(names[u], sizeof(names[u]), "%s", a->name);
            if (a->len > 0)
                memcpy(bytes[u], a->data, a->len);
            asks[u].name = names[u];
            asks[u].data = bytes[u];
            assert_true(mine_n < 16);
            mine[mine_n++] = asks[u];
            break;
        }
        case MUTEX_GRANTED:
        case MUTEX_ENDED:
        case MUTEX_LOCK_LOST:
            assert_non_null(got);
            got->last = a->type;
            got->any = true;
            got->code = a->code;
            if (a->fence != 0)
                got->fence = a->fence;
            (void)snprintf(got->text, sizeof(got->text), "%s", a->text != NULL ? a->text : "");
            break;
        case MUTEX_WARN_LEASE:
            got->warnings++;
            break;
        case MUTEX_BROKEN:
            lab->broken = a->code == 0 ? 1 : a->code;
            break;
        case MUTEX_INFO:
            note_info(lab, a);
            break;
        }
    }
    for (uint32_t k = 0; k < mine_n; k++)
        answer_record(lab, i, &mine[k]);
}

void deliver(struct lab *lab)
{
    while (lab->head < lab->tail) {
        size_t at = lab->head++ % QUEUE_MAX;
        uint8_t data[4096];
        size_t len = lab->queue[at].len;
        uint32_t from = lab->queue[at].from, to = lab->queue[at].to;
        if (lab->cut[from] || lab->cut[to] || lab->nodes[to] == NULL)
            continue;
        memcpy(data, lab->queue[at].data, len);
        (void)step(
            lab, to,
            (struct mutex_event){.type = MUTEX_RECV,
                                 .u.recv = {.from = boot_of(from), .data = data, .len = len}});
    }
}

/* Time passes, leases are renewed and everything is delivered. */
void pass(struct lab *lab, uint64_t ms)
{
    for (uint64_t end = lab->now + ms; lab->now < end;) {
        lab->now += 5;
        for (uint32_t i = 0; i < lab->n; i++) {
            if (lab->nodes[i] == NULL)
                continue;
            if (i < lab->keepers && lab->now % 500 == 0 && !lab->cut[i])
                (void)step(
                    lab, i,
                    (struct mutex_event){.type = MUTEX_LEASE, .u.lease_until_ms = lab->now + 3000});
            if (mutex_deadline_ms(lab->nodes[i]) <= lab->now)
                (void)step(lab, i, (struct mutex_event){.type = MUTEX_TICK});
        }
        deliver(lab);
    }
}

struct lab *lab_new(uint32_t keepers, uint32_t edges, struct mutex_config config)
{
    struct lab *lab = calloc(1, sizeof(*lab));
    assert_non_null(lab);
    lab->n = keepers + edges;
    lab->keepers = keepers;
    lab->now = 100000;
    lab->config = config;
    lab->placement.epoch = 1;
    for (uint32_t i = 0; i < keepers; i++)
        lab->placement.keepers[lab->placement.keepers_n++] =
            (struct placement_keeper){.member_id = i + 1, .boot = boot_of(i)};
    for (uint32_t s = 0; s < PLACEMENT_SLOTS; s++)
        lab->placement.slots[s].active =
            (struct placement_config){.slot_epoch = 1, .replicas = {1}, .replicas_n = 1};
    for (uint32_t i = 0; i < lab->n; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "n%u", i);
        config.self = boot_of(i);
        config.self_name = name;
        assert_int_equal(mutex_new(&lab->nodes[i], &config), 0);
        (void)step(lab, i,
                   (struct mutex_event){.type = MUTEX_PLACEMENT, .u.placement = &lab->placement});
        if (i < keepers)
            (void)step(
                lab, i,
                (struct mutex_event){.type = MUTEX_LEASE, .u.lease_until_ms = lab->now + 3000});
    }
    return lab;
}

void lab_free(struct lab *lab)
{
    for (uint32_t i = 0; i < lab->n; i++)
        mutex_free(lab->nodes[i]);
    free(lab);
}

struct mutex_acquire of(uint64_t waiter, const char *name)
{
    return (struct mutex_acquire){.waiter = waiter,
                                  .name = name,
                                  .owner = waiter,
                                  .owner_text = "builder",
                                  .pid = 4711,
                                  .deadline_ms = UINT64_MAX};
}

struct got *acquire(struct lab *lab, uint32_t i, struct mutex_acquire a)
{
    memset(&lab->got[i][a.waiter], 0, sizeof(struct got));
    (void)step(lab, i, (struct mutex_event){.type = MUTEX_ACQUIRE, .u.acquire = a});
    deliver(lab);
    return &lab->got[i][a.waiter];
}

int release(struct lab *lab, uint32_t i, uint64_t waiter)
{
    struct mutex_output out =
        step(lab, i, (struct mutex_event){.type = MUTEX_RELEASE, .u.waiter = waiter});
    deliver(lab);
    return out.code;
}

bool holds(struct lab *lab, uint32_t i, uint64_t waiter)
{
    return mutex_holds(lab->nodes[i], waiter, lab->now) != 0;
}

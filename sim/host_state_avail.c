/*
 * The core of available variables on a simulated node. Every node has one, edges too; those with a
 * disk keep what they know there, lazily: nothing waits for it.
 */
#include <stdlib.h>
#include <string.h>

#include "host_state_internal.h"
#include "kith/error.h"
#include "net/frame.h"
#include "queue.h"

static void avail_says(struct hs *hs, const struct avail_action *action, int *code_out)
{
    struct disk_put put;

    switch (action->type) {
    case AVAIL_SEND:
        hs_send(hs, &action->peer, FRAME_DVAR_AVAILABLE, action->data.data, action->data.len);
        break;
    case AVAIL_PERSIST:
        put = (struct disk_put){.key = action->key.data,
                                .key_len = action->key.len,
                                .data = action->data.data,
                                .len = action->data.len};
        hs_write(hs, HS_TAG_AVAIL, 0, &put, 1);
        break;
    case AVAIL_DONE:
        if (code_out != NULL)
            *code_out = action->code;
        break;
    case AVAIL_CHANGED:
    case AVAIL_ACKED:
    case AVAIL_QUARANTINED:
        break;
    }
}

static void avail_do(struct hs *hs, struct avail_event *event, int *code_out)
{
    struct avail_output out = {0};
    int r;

    event->now_ms = hs_now_ms(hs);
    event->wall_ms = sim_wall_ms(hs->hm.node);
    r = avail_step(hs->avail, event, &out);
    hs->avail_at_ms = avail_deadline_ms(hs->avail);
    if (r == KITH_E_CORRUPT)
        sim_violation(hs_world_of(hs), "node %zu: avail_step of event %d: %s",
                      sim_node_index(hs->hm.node), (int)event->type, kith_errmsg());
    for (size_t i = 0; i < out.actions_n; i++)
        avail_says(hs, &out.actions[i], code_out);
}

void hs_avail_step(struct hs *hs, struct avail_event *event)
{
    avail_do(hs, event, NULL);
}

int hs_avail_op(struct hs *hs, const struct avail_op *op)
{
    int code = KITH_E_MEMORY; /* if the core says nothing */

    sim_op(hs_world_of(hs));
    avail_do(hs, &(struct avail_event){.type = AVAIL_OP, .op = op}, &code);
    return code;
}

bool hs_avail_key(const uint8_t *key, size_t key_len)
{
    return key_len >= AVAIL_KEY_PREFIX_LEN &&
           memcmp(key, AVAIL_KEY_PREFIX, AVAIL_KEY_PREFIX_LEN) == 0;
}

void hs_avail_boot(struct hs *hs)
{
    struct avail_config config = {
        .self = hs->self, .seed = sim_node_seed(hs->hm.node), .persist = hs->disk != NULL};

    if (avail_new(&hs->avail, &config) < 0)
        abort();
    for (size_t i = 0; hs->disk != NULL && i < hs->disk->now.n; i++) {
        const struct disk_entry *entry = &hs->disk->now.entries[i];

        if (hs_avail_key(entry->key, entry->key_len))
            hs_avail_step(hs, &(struct avail_event){.type = AVAIL_RECALL,
                                                    .key = {entry->key, entry->key_len},
                                                    .data = {disk_value(entry), entry->len}});
    }
    hs_avail_step(hs, &(struct avail_event){.type = AVAIL_START});
}

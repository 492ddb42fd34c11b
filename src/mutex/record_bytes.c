/*
 * The record of a mutex as bytes, and what follows from it for those who take part.
 *
 *   u8 version (1)  u8 flags (1: queue)  u16 parts
 *   u32 gen  u32 permits  u32 joins  16 node, u64 boot of the creator  u32 generation it made
 *   { 16 node  u64 boot  u32 joined  u32 member_id  u64 epoch } for each participant
 */
#include <stdio.h>

#include "mutex/internal.h"

#define RECORD_VERSION    1
#define RECORD_HEAD_BYTES 44u
#define RECORD_PART_BYTES 40u
#define RECORD_QUEUE      1u

/* ---- participants ---- */

struct part *part_find(struct mutex *m, uint32_t joined)
{
    for (uint32_t i = 0; i < m->parts_n; i++) {
        if (m->parts[i].joined == joined)
            return &m->parts[i];
    }
    return NULL;
}

static void part_remove(struct mutex *m, uint32_t at)
{
    m->parts_n--;
    memmove(&m->parts[at], &m->parts[at + 1], (m->parts_n - at) * sizeof(*m->parts));
}

static struct part *part_add(struct mutex *m, const struct part *part)
{
    if (m->parts_n == m->parts_cap) {
        uint32_t cap = m->parts_cap == 0 ? 4 : m->parts_cap * 2;
        struct part *parts = core_realloc(m->parts, cap * sizeof(*parts));
        if (parts == NULL)
            return NULL;
        m->parts = parts;
        m->parts_cap = cap;
    }
    uint32_t at = m->parts_n;
    while (at > 0 && m->parts[at - 1].joined > part->joined)
        at--;
    memmove(&m->parts[at + 1], &m->parts[at], (m->parts_n - at) * sizeof(*m->parts));
    m->parts[at] = *part;
    m->parts_n++;
    return &m->parts[at];
}

/* Somebody says of itself, or a token of it, that it takes part: the record may be newer than what
 * we have read. NULL if it is known to be gone. */
struct part *part_hear(struct mutex_core *core,
                       struct mutex *m,
                       const struct boot_id *boot,
                       const struct mutex_msg_part *of)
{
    struct part *part = part_find(m, of->joined);
    if (part != NULL)
        return boot_id_equal(&part->boot, boot) ? part : NULL;
    if (of->joined == 0 || (m->fresh && of->joined <= m->joins) ||
        m->parts_n >= core->config.participants_max + MUTEX_PARTICIPANTS_TOKEN_MAX)
        return NULL;
    for (uint32_t i = 0; i < m->parts_n; i++) { /* of one run of a node the last joining counts */
        if (!boot_id_equal(&m->parts[i].boot, boot))
            continue;
        if (m->parts[i].joined > of->joined)
            return NULL;
        if (!m->parts[i].listed) {
            part_remove(m, i);
            break;
        }
    }
    record_refresh(core, m);
    return part_add(m, &(struct part){.boot = *boot,
                                      .joined = of->joined,
                                      .member_id = of->member_id,
                                      .epoch = of->epoch,
                                      .ln = of->ln});
}

/* ---- bytes ---- */

int record_check(const uint8_t *data, size_t len)
{
    if (len < RECORD_HEAD_BYTES || data[0] != RECORD_VERSION)
        return KITH_E_CORRUPT;
    uint32_t n = get_le16(data + 2);
    if (n > MUTEX_PARTICIPANTS_MAX || len != RECORD_HEAD_BYTES + n * (size_t)RECORD_PART_BYTES)
        return KITH_E_CORRUPT;
    if (get_le32(data + 4) == 0 || get_le32(data + 8) == 0)
        return KITH_E_CORRUPT;
    uint32_t last = 0, joins = get_le32(data + 12);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t joined = get_le32(data + RECORD_HEAD_BYTES + i * RECORD_PART_BYTES + 24);
        if (joined <= last || joined > joins)
            return KITH_E_CORRUPT;
        last = joined;
    }
    return 0;
}

static void put_boot(uint8_t *at, const struct boot_id *boot)
{
    memcpy(at, &boot->node, 16);
    put_le64(at + 16, boot->boot_no);
}

static void get_boot(const uint8_t *at, struct boot_id *out)
{
    memcpy(&out->node, at, 16);
    out->boot_no = get_le64(at + 16);
}

/* The record to be written: as read, with another generation; participants follow. */
int record_begin(struct mutex *m, uint32_t gen, bool queue, uint32_t joins)
{
    uint8_t head[RECORD_HEAD_BYTES] = {RECORD_VERSION, queue ? RECORD_QUEUE : 0};

    put_le32(head + 4, gen);
    put_le32(head + 8, m->permits);
    put_le32(head + 12, joins);
    put_boot(head + 16, &m->creator);
    put_le32(head + 40, m->created_gen);
    m->cas.len = 0;
    return buf_append(&m->cas, head, sizeof(head));
}

int record_part(struct mutex *m, const struct part *part)
{
    uint8_t bytes[RECORD_PART_BYTES];

    put_boot(bytes, &part->boot);
    put_le32(bytes + 24, part->joined);
    put_le32(bytes + 28, part->member_id);
    put_le64(bytes + 32, part->epoch);
    if (buf_append(&m->cas, bytes, sizeof(bytes)) != 0)
        return KITH_E_MEMORY;
    put_le16(m->cas.data + 2, (uint16_t)(get_le16(m->cas.data + 2) + 1));
    return 0;
}

/* ---- taken in ---- */

static struct part *merge_part(struct mutex *m, struct part *fresh, struct part *old, uint32_t n)
{
    (void)m;
    for (uint32_t i = 0; i < n; i++) {
        if (old[i].joined == fresh->joined && boot_id_equal(&old[i].boot, &fresh->boot)) {
            struct part known = old[i];
            known.listed = true;
            known.member_id = fresh->member_id;
            known.epoch = fresh->epoch;
            *fresh = known;
            break;
        }
    }
    return fresh;
}

/* The record as it is now. What we are and have follows from it. */
int record_take(
    struct mutex_core *core, struct mutex *m, uint64_t version, const uint8_t *data, size_t len)
{
    if (record_check(data, len) != 0)
        return KITH_E_CORRUPT;
    uint32_t n = get_le16(data + 2), heard = 0;
    uint32_t joins = get_le32(data + 12);
    if (get_le32(data + 40) != m->created_gen)
        m->parts_n = 0; /* another life of the record: its numbers say nothing of this one's */
    for (uint32_t i = 0; i < m->parts_n; i++)
        heard += m->parts[i].joined > joins;
    struct part *parts = core_calloc(n + heard + 1, sizeof(*parts));
    if (parts == NULL)
        return KITH_E_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *at = data + RECORD_HEAD_BYTES + i * RECORD_PART_BYTES;
        struct part fresh = {.joined = get_le32(at + 24),
                             .member_id = get_le32(at + 28),
                             .epoch = get_le64(at + 32),
                             .listed = true};
        get_boot(at, &fresh.boot);
        parts[i] = *merge_part(m, &fresh, m->parts, m->parts_n);
    }
    for (uint32_t i = 0; i < m->parts_n; i++) {
        if (m->parts[i].joined <= joins)
            continue;
        parts[n] = m->parts[i];
        parts[n++].listed = false; /* heard of, and not in this record */
    }
    core_free(m->parts);
    m->parts = parts;
    m->parts_cap = get_le16(data + 2) + heard + 1;
    m->parts_n = n;
    uint32_t permits = get_le32(data + 8);
    if (permits != m->permits && m->state == OUT && m->waiting_n > 0) {
        char why[96];
        (void)snprintf(why, sizeof(why), "it has %u permits, not %u; ask for the same number",
                       permits, m->permits);
        local_end_all(core, m, KITH_E_INVALID, why);
    }
    m->version = version;
    m->rec_queue = (data[1] & RECORD_QUEUE) != 0;
    m->rec_gen = get_le32(data + 4);
    m->permits = permits;
    m->joins = joins;
    get_boot(data + 16, &m->creator);
    m->created_gen = get_le32(data + 40);
    m->read_ms = core->now_ms;
    m->fresh = true;
    if (m->home != NULL && m->home->gen != m->rec_gen) { /* somebody else has begun one */
        if (m->home->state == HOME_ASKS || m->home->state == HOME_GRANTS)
            m->home->state = HOME_IDLE;
        m->home->serves = false;
    }
    if (m->state != IN)
        return 0;
    const struct part *self = part_find(m, m->joined);
    if (self == NULL || !self->listed)
        record_out(core, m); /* our lease was over for the home */
    else if (m->rec_gen > m->gen)
        token_adopt(core, m, m->rec_gen, m->rec_queue, false);
    return 0;
}

#include "mutex/wire.h"

#include <string.h>

#include "core/text.h"
#include "kith/error.h"

#define WIRE_VERSION       1
#define PART_BYTES         44u
#define HOLD_BYTES         50u
#define PARTS_MAX          MUTEX_PARTICIPANTS_MAX
#define HOLDS_MAX          MUTEX_WAITERS_MAX
#define MSG_TEXT_BYTES_MAX 8192u

/* ---- writing ---- */

int mutex_msg_u16(struct buf *out, uint16_t n)
{
    uint8_t bytes[2];
    put_le16(bytes, n);
    return buf_append(out, bytes, sizeof(bytes));
}

int mutex_msg_u32(struct buf *out, uint32_t value)
{
    uint8_t bytes[4];
    put_le32(bytes, value);
    return buf_append(out, bytes, sizeof(bytes));
}

int mutex_msg_head(struct buf *out, const struct mutex_msg *msg)
{
    uint8_t head[4] = {WIRE_VERSION, msg->type, msg->flags, msg->name_len};
    uint8_t rest[48];

    put_le32(rest, msg->gen);
    put_le32(rest + 4, msg->joined);
    put_le32(rest + 8, msg->to_joined);
    put_le32(rest + 12, msg->member_id);
    put_le64(rest + 16, msg->epoch);
    put_le64(rest + 24, msg->a);
    put_le64(rest + 32, msg->b);
    put_le64(rest + 40, msg->c);
    if (buf_append(out, head, sizeof(head)) != 0 ||
        buf_append(out, msg->name, msg->name_len) != 0 || buf_append(out, rest, sizeof(rest)) != 0)
        return KITH_E_MEMORY;
    return 0;
}

int mutex_msg_parts(struct buf *out, uint16_t n)
{
    return mutex_msg_u16(out, n);
}

int mutex_msg_part(struct buf *out, const struct mutex_msg_part *part)
{
    uint8_t bytes[PART_BYTES];

    memcpy(bytes, &part->boot.node, 16);
    put_le64(bytes + 16, part->boot.boot_no);
    put_le32(bytes + 24, part->joined);
    put_le32(bytes + 28, part->member_id);
    put_le64(bytes + 32, part->epoch);
    put_le32(bytes + 40, part->ln);
    return buf_append(out, bytes, sizeof(bytes));
}

int mutex_msg_hold(struct buf *out, const struct mutex_msg_hold *hold)
{
    uint8_t bytes[HOLD_BYTES];

    put_le64(bytes, hold->rid);
    put_le64(bytes + 8, hold->fence);
    put_le64(bytes + 16, hold->owner);
    put_le64(bytes + 24, hold->pid);
    put_le64(bytes + 32, hold->age_ms);
    put_le64(bytes + 40, hold->left_ms);
    bytes[48] = hold->flags;
    bytes[49] = hold->text_len;
    if (buf_append(out, bytes, sizeof(bytes)) != 0)
        return KITH_E_MEMORY;
    return buf_append(out, hold->text, hold->text_len);
}

int mutex_msg_text(struct buf *out, const char *text, size_t len)
{
    if (len > MSG_TEXT_BYTES_MAX)
        len = MSG_TEXT_BYTES_MAX;
    if (mutex_msg_u16(out, (uint16_t)len) != 0)
        return KITH_E_MEMORY;
    return len == 0 ? 0 : buf_append(out, text, len);
}

/* ---- reading ---- */

static void read_boot(struct reader *r, struct boot_id *out)
{
    const uint8_t *node = read_bytes(r, 16);
    if (node != NULL)
        memcpy(&out->node, node, 16);
    out->boot_no = read_le64(r);
}

bool mutex_msg_next_part(struct mutex_msg *msg, struct mutex_msg_part *part_out)
{
    struct reader *r = &msg->parts;
    if (r->at >= r->len)
        return false;
    *part_out = (struct mutex_msg_part){0};
    read_boot(r, &part_out->boot);
    part_out->joined = read_le32(r);
    part_out->member_id = read_le32(r);
    part_out->epoch = read_le64(r);
    part_out->ln = read_le32(r);
    return !r->bad;
}

bool mutex_msg_next_queued(struct mutex_msg *msg, uint32_t *joined_out)
{
    struct reader *r = &msg->queue;
    if (r->at >= r->len)
        return false;
    *joined_out = read_le32(r);
    return !r->bad;
}

bool mutex_msg_next_hold(struct mutex_msg *msg, struct mutex_msg_hold *hold_out)
{
    struct reader *r = &msg->holds;
    if (r->at >= r->len)
        return false;
    hold_out->rid = read_le64(r);
    hold_out->fence = read_le64(r);
    hold_out->owner = read_le64(r);
    hold_out->pid = read_le64(r);
    hold_out->age_ms = read_le64(r);
    hold_out->left_ms = read_le64(r);
    hold_out->flags = read_u8(r);
    hold_out->text_len = read_u8(r);
    hold_out->text = (const char *)read_bytes(r, hold_out->text_len);
    return !r->bad;
}

bool mutex_name_fits(const char *name, size_t len)
{
    if (len == 0 || len > MUTEX_NAME_BYTES_MAX || !text_is_utf8(name, len))
        return false;
    for (size_t i = 0; i < len; i++) {
        if ((uint8_t)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    }
    return true;
}

/* A list of @n entries of @bytes each: a reader over it. */
static struct reader take_list(struct reader *r, size_t n, size_t bytes)
{
    const uint8_t *data = read_bytes(r, n * bytes);
    return reader_of(data, data == NULL ? 0 : n * bytes);
}

static struct reader take_holds(struct reader *r, size_t n)
{
    size_t from = r->at;
    for (size_t i = 0; i < n && !r->bad; i++) {
        (void)read_bytes(r, HOLD_BYTES - 1);
        (void)read_bytes(r, read_u8(r));
    }
    return r->bad ? reader_of(NULL, 0) : reader_of(r->data + from, r->at - from);
}

int mutex_msg_decode(struct mutex_msg *msg_out, const uint8_t *data, size_t len)
{
    struct reader r = reader_of(data, len);
    struct mutex_msg m = {0};

    uint8_t version = read_u8(&r);
    m.type = read_u8(&r);
    m.flags = read_u8(&r);
    m.name_len = read_u8(&r);
    m.name = (const char *)read_bytes(&r, m.name_len);
    m.gen = read_le32(&r);
    m.joined = read_le32(&r);
    m.to_joined = read_le32(&r);
    m.member_id = read_le32(&r);
    m.epoch = read_le64(&r);
    m.a = read_le64(&r);
    m.b = read_le64(&r);
    m.c = read_le64(&r);
    m.parts_n = read_le16(&r);
    if (m.parts_n > PARTS_MAX)
        return KITH_E_CORRUPT;
    m.parts = take_list(&r, m.parts_n, PART_BYTES);
    m.queue_n = read_le16(&r);
    if (m.queue_n > PARTS_MAX)
        return KITH_E_CORRUPT;
    m.queue = take_list(&r, m.queue_n, 4);
    m.holds_n = read_le16(&r);
    if (m.holds_n > HOLDS_MAX)
        return KITH_E_CORRUPT;
    m.holds = take_holds(&r, m.holds_n);
    m.text_len = read_le16(&r);
    if (m.text_len > MSG_TEXT_BYTES_MAX)
        return KITH_E_CORRUPT;
    m.text = (const char *)read_bytes(&r, m.text_len);
    if (!reader_done(&r) || version != WIRE_VERSION || m.type == 0 || m.type > MSG_LAST)
        return KITH_E_CORRUPT;
    bool nameless = m.type == MSG_LEASE || m.type == MSG_LEASED;
    if (nameless ? m.name_len != 0 : !mutex_name_fits(m.name, m.name_len))
        return KITH_E_CORRUPT;
    *msg_out = m;
    return 0;
}

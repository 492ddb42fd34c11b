/*
 * The peers file.
 */
#include "net/peer_cache.h"

#include <sodium.h>
#include <string.h>

#include "core/error.h"
#include "kith/node.h"
#include "net.pb-c.h"
#include "net/field.h"

#define MAGIC       "kithpc1\n"
#define MAGIC_BYTES 8
#define HEAD_BYTES  (MAGIC_BYTES + 4)
#define SUM_BYTES   32

static int damaged(const char *what)
{
    return kith_fail_with(KITH_E_CORRUPT, "peers file: %s; it will be made anew", what);
}

/* ---- writing ---- */

int peer_cache_begin(struct peer_cache_writer *writer, struct buf *out)
{
    const uint8_t none[4] = {0};
    int r;

    *writer = (struct peer_cache_writer){.out = out, .start = out->len};
    r = buf_append(out, MAGIC, MAGIC_BYTES);
    return r != 0 ? r : buf_append(out, none, sizeof none);
}

int peer_cache_add(struct peer_cache_writer *writer, const struct peer_entry *entry)
{
    Kith__Net__PeerEntry pb;
    char *addresses[NET_ADDRESSES_PER_PEER_MAX];
    struct buf *out = writer->out;
    size_t len;
    int r;

    if (writer->n >= NET_PEER_KEYS_MAX)
        return KITH_E_LIMIT;
    if (entry->addresses_n > NET_ADDRESSES_PER_PEER_MAX)
        return KITH_E_INVALID;
    for (size_t i = 0; i < entry->addresses_n; i++)
        addresses[i] = field_text(entry->addresses[i]);
    kith__net__peer_entry__init(&pb);
    pb.sign_pk = field_bytes(entry->sign_pk, sizeof entry->sign_pk);
    pb.boot_no = entry->boot_no;
    pb.last_seen_unix_ms = entry->last_seen_unix_ms;
    pb.role = entry->role;
    pb.name = field_text(entry->name);
    pb.n_addresses = entry->addresses_n;
    pb.addresses = addresses;

    len = kith__net__peer_entry__get_packed_size(&pb);
    if (len > PEER_CACHE_ENTRY_BYTES_MAX)
        return KITH_E_INVALID;
    r = buf_reserve(out, 4 + len);
    if (r != 0)
        return r;
    put_le32(out->data + out->len, (uint32_t)len);
    out->len += 4;
    out->len += kith__net__peer_entry__pack(&pb, out->data + out->len);
    writer->n++;
    return 0;
}

int peer_cache_end(struct peer_cache_writer *writer)
{
    struct buf *out = writer->out;
    uint8_t sum[SUM_BYTES];

    put_le32(out->data + writer->start + MAGIC_BYTES, writer->n);
    crypto_generichash_blake2b(sum, sizeof sum, out->data + writer->start, out->len - writer->start,
                               NULL, 0);
    return buf_append(out, sum, sizeof sum);
}

/* ---- reading ---- */

int peer_cache_open(struct peer_cache_reader *reader, const uint8_t *data, size_t len)
{
    uint8_t sum[SUM_BYTES];
    uint32_t n;

    if (len < HEAD_BYTES + SUM_BYTES)
        return damaged("it is too short");
    if (len > PEER_CACHE_BYTES_MAX)
        return kith_fail_with(KITH_E_LIMIT, "peers file: it is larger than %d bytes",
                              PEER_CACHE_BYTES_MAX);
    if (memcmp(data, MAGIC, MAGIC_BYTES) != 0)
        return damaged("it does not begin as one");
    crypto_generichash_blake2b(sum, sizeof sum, data, len - SUM_BYTES, NULL, 0);
    if (memcmp(sum, data + len - SUM_BYTES, SUM_BYTES) != 0)
        return damaged("its checksum is wrong");
    n = get_le32(data + MAGIC_BYTES);
    if (n > NET_PEER_KEYS_MAX)
        return kith_fail_with(KITH_E_LIMIT, "peers file: it holds more than %d peers",
                              NET_PEER_KEYS_MAX);
    reader->reader = reader_of(data + HEAD_BYTES, len - HEAD_BYTES - SUM_BYTES);
    reader->left = n;
    return 0;
}

static int take_entry(const Kith__Net__PeerEntry *pb, struct peer_entry *out)
{
    memset(out, 0, sizeof *out);
    if (pb->sign_pk.len != sizeof out->sign_pk)
        return damaged("an entry has no key");
    if (pb->role > KITH_ROLE_PROGRAM)
        return damaged("an entry has an unknown role");
    if (pb->n_addresses > NET_ADDRESSES_PER_PEER_MAX)
        return damaged("an entry has too many addresses");
    if (field_take_name(pb->name, out->name, sizeof out->name) != 0)
        return damaged("an entry has a bad name");
    for (size_t i = 0; i < pb->n_addresses; i++)
        if (field_take_address(pb->addresses[i], out->addresses[i]) != 0)
            return damaged("an entry has a bad address");
    memcpy(out->sign_pk, pb->sign_pk.data, sizeof out->sign_pk);
    out->id = net_node_id_of(out->sign_pk);
    out->boot_no = pb->boot_no;
    out->last_seen_unix_ms = pb->last_seen_unix_ms;
    out->role = (uint8_t)pb->role;
    out->addresses_n = pb->n_addresses;
    return 0;
}

int peer_cache_next(struct peer_cache_reader *reader, struct peer_entry *entry_out)
{
    ProtobufCAllocator *heap = field_allocator();
    Kith__Net__PeerEntry *pb;
    const uint8_t *data;
    uint32_t len;
    int r;

    if (reader->left == 0)
        return reader_done(&reader->reader) ? 0 : damaged("something follows the last entry");
    len = read_le32(&reader->reader);
    if (len > PEER_CACHE_ENTRY_BYTES_MAX)
        return damaged("an entry is too long");
    data = read_bytes(&reader->reader, len);
    if (data == NULL)
        return damaged("it ends within an entry");
    pb = kith__net__peer_entry__unpack(heap, len, data);
    if (pb == NULL)
        return damaged("an entry cannot be parsed");
    r = take_entry(pb, entry_out);
    kith__net__peer_entry__free_unpacked(pb, heap);
    reader->left--;
    return r != 0 ? r : 1;
}

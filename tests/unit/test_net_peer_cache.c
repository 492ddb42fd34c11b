/*
 * The peers file: what goes in comes out; any change is seen; limits hold.
 */
#include "net/peer_cache.h"

#include "core/alloc.h"
#include "kith/node.h"
#include "net.pb-c.h"
#include "net_testing.h"

static struct peer_entry random_entry(struct rng *rng, bool full)
{
    struct peer_entry entry = {
        .boot_no = rng_u64(rng),
        .last_seen_unix_ms = rng_u64(rng),
        .role = (uint8_t)rng_below(rng, KITH_ROLE_PROGRAM + 1),
    };

    random_bytes(rng, entry.sign_pk, 32);
    entry.id = net_node_id_of(entry.sign_pk);
    memset(entry.name, 'a' + (int)rng_below(rng, 26),
           full ? MEMBER_NAME_BYTES_MAX : rng_below(rng, 20));
    entry.addresses_n = full ? NET_ADDRESSES_PER_PEER_MAX : rng_below(rng, 4);
    for (size_t i = 0; i < entry.addresses_n; i++) {
        size_t len = full ? KITH_ADDRESS_TEXT_MAX - 6 : 1 + rng_below(rng, 30);

        memset(entry.addresses[i], 'h', len);
        (void)snprintf(entry.addresses[i] + len, 7, ":%d", full ? 65535 : 7117);
    }
    return entry;
}

static void assert_same(const struct peer_entry *a, const struct peer_entry *b)
{
    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_memory_equal(a->sign_pk, b->sign_pk, 32);
    assert_true(a->boot_no == b->boot_no);
    assert_true(a->last_seen_unix_ms == b->last_seen_unix_ms);
    assert_int_equal(a->role, b->role);
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->addresses_n, b->addresses_n);
    for (size_t i = 0; i < a->addresses_n; i++)
        assert_string_equal(a->addresses[i], b->addresses[i]);
}

static void make_file(struct buf *out, const struct peer_entry *entries, size_t n)
{
    struct peer_cache_writer writer;

    assert_int_equal(peer_cache_begin(&writer, out), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(peer_cache_add(&writer, &entries[i]), 0);
    assert_int_equal(peer_cache_end(&writer), 0);
}

/* Reads all of it; the count, or the first failure. */
static int read_file(const uint8_t *data, size_t len, struct peer_entry *entries, int entries_max)
{
    struct peer_cache_reader reader;
    struct peer_entry entry;
    int n = 0;
    int r = peer_cache_open(&reader, data, len);

    if (r != 0)
        return r;
    while ((r = peer_cache_next(&reader, &entry)) == 1) {
        if (n < entries_max)
            entries[n] = entry;
        n++;
    }
    return r < 0 ? r : n;
}

static void entries_come_back_as_they_were(void **state)
{
    struct rng rng = test_rng();
    struct peer_entry entries[20], back[20];
    struct buf file = {0};

    (void)state;
    for (size_t i = 0; i < 20; i++)
        entries[i] = random_entry(&rng, i % 3 == 0);
    assert_int_equal(buf_append(&file, "before", 6), 0); /* it may begin anywhere in a buf */
    make_file(&file, entries, 20);
    assert_int_equal(read_file(file.data + 6, file.len - 6, back, 20), 20);
    for (size_t i = 0; i < 20; i++)
        assert_same(&entries[i], &back[i]);
    file.len = 0;
    make_file(&file, NULL, 0);
    assert_int_equal(read_file(file.data, file.len, back, 20), 0);
    buf_deinit(&file);
}

static void as_many_as_the_limit_fit_and_no_more(void **state)
{
    struct rng rng = test_rng();
    struct peer_entry entry = random_entry(&rng, true), back;
    struct peer_cache_writer writer;
    struct buf file = {0};

    (void)state;
    assert_int_equal(peer_cache_begin(&writer, &file), 0);
    for (size_t i = 0; i < NET_PEER_KEYS_MAX; i++) {
        put_le64(entry.sign_pk, i);
        assert_int_equal(peer_cache_add(&writer, &entry), 0);
    }
    assert_int_equal(peer_cache_add(&writer, &entry), KITH_E_LIMIT);
    assert_int_equal(peer_cache_end(&writer), 0);
    assert_true(file.len <= PEER_CACHE_BYTES_MAX);
    assert_int_equal(read_file(file.data, file.len, &back, 1), NET_PEER_KEYS_MAX);
    buf_deinit(&file);
}

static void every_changed_or_missing_byte_is_seen(void **state)
{
    struct rng rng = test_rng();
    struct peer_entry entries[3], back[3];
    struct buf file = {0};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        entries[i] = random_entry(&rng, false);
    make_file(&file, entries, 3);
    for (size_t i = 0; i < file.len; i++) {
        uint8_t *cut = malloc(i + 1);

        file.data[i] ^= 0x40;
        assert_int_equal(read_file(file.data, file.len, back, 3), KITH_E_CORRUPT);
        file.data[i] ^= 0x40;
        memcpy(cut, file.data, i);
        assert_int_equal(read_file(cut, i, back, 3), KITH_E_CORRUPT);
        free(cut);
    }
    assert_int_equal(read_file(file.data, file.len, back, 3), 3);
    assert_int_equal(buf_append_u8(&file, 0), 0);
    assert_int_equal(read_file(file.data, file.len, back, 3), KITH_E_CORRUPT);
    buf_deinit(&file);
}

/* ---- a right checksum over wrong content ---- */

static void resum(struct buf *file)
{
    crypto_generichash_blake2b(file->data + file->len - 32, 32, file->data, file->len - 32, NULL,
                               0);
}

static int with_entry(const Kith__Net__PeerEntry *pb, uint32_t count, size_t extra)
{
    uint8_t packed[4096];
    uint8_t len[4];
    struct buf file = {0};
    struct peer_entry back;
    int r;

    put_le32(len, (uint32_t)kith__net__peer_entry__pack(pb, packed));
    make_file(&file, NULL, 0);
    file.len -= 32;
    assert_int_equal(buf_append(&file, len, 4), 0);
    assert_int_equal(buf_append(&file, packed, get_le32(len)), 0);
    while (extra-- > 0)
        assert_int_equal(buf_append_u8(&file, 0), 0);
    put_le32(file.data + 8, count);
    assert_int_equal(buf_append(&file, packed, 32), 0);
    resum(&file);
    r = read_file(file.data, file.len, &back, 1);
    buf_deinit(&file);
    return r;
}

static void fields_are_held_to_their_limits(void **state)
{
    static char text[1600];
    uint8_t pk[40] = {1};
    char *addresses[NET_ADDRESSES_PER_PEER_MAX + 1];
    char address[100] = "host:1", name[100] = "name";
    Kith__Net__PeerEntry good, pb;

    (void)state;
    for (size_t i = 0; i <= NET_ADDRESSES_PER_PEER_MAX; i++)
        addresses[i] = address;
    kith__net__peer_entry__init(&good);
    good.sign_pk = (ProtobufCBinaryData){32, pk};
    good.name = name;
    good.addresses = addresses;
    good.n_addresses = NET_ADDRESSES_PER_PEER_MAX;
    good.role = KITH_ROLE_PROGRAM;
    assert_int_equal(with_entry(&good, 1, 0), 1);
    assert_int_equal(with_entry(&good, 0, 0), KITH_E_CORRUPT); /* more than it says */
    assert_int_equal(with_entry(&good, 2, 0), KITH_E_CORRUPT);
    assert_int_equal(with_entry(&good, 1, 1), KITH_E_CORRUPT);
    assert_int_equal(with_entry(&good, NET_PEER_KEYS_MAX, 0), KITH_E_CORRUPT);
    assert_int_equal(with_entry(&good, NET_PEER_KEYS_MAX + 1, 0), KITH_E_LIMIT);
    pb = good;
    pb.sign_pk.len = 31;
    assert_int_equal(with_entry(&pb, 1, 0), KITH_E_CORRUPT);
    pb.sign_pk.len = 33;
    assert_int_equal(with_entry(&pb, 1, 0), KITH_E_CORRUPT);
    pb = good;
    pb.role = KITH_ROLE_PROGRAM + 1;
    assert_int_equal(with_entry(&pb, 1, 0), KITH_E_CORRUPT);
    pb = good;
    pb.n_addresses++;
    assert_int_equal(with_entry(&pb, 1, 0), KITH_E_CORRUPT);
    memset(name, 'n', MEMBER_NAME_BYTES_MAX);
    assert_int_equal(with_entry(&good, 1, 0), 1);
    name[MEMBER_NAME_BYTES_MAX] = 'n';
    assert_int_equal(with_entry(&good, 1, 0), KITH_E_CORRUPT);
    strcpy(name, "n");
    strcpy(address, "no-port");
    assert_int_equal(with_entry(&good, 1, 0), KITH_E_CORRUPT);
    strcpy(address, "host:1");
    memset(text, 'x', sizeof text - 1);
    good.name = text; /* an entry beyond PEER_CACHE_ENTRY_BYTES_MAX */
    assert_int_equal(with_entry(&good, 1, 0), KITH_E_CORRUPT);
}

static void file_beyond_its_limit_is_not_read(void **state)
{
    struct peer_cache_reader reader;
    const uint8_t few[64] = {0};

    (void)state;
    /* Only the length is looked at. */
    assert_int_equal(peer_cache_open(&reader, few, (size_t)PEER_CACHE_BYTES_MAX + 1), KITH_E_LIMIT);
}

static void short_memory_is_an_error(void **state)
{
    struct rng rng = test_rng();
    struct peer_entry entry = random_entry(&rng, true), back;
    struct peer_cache_writer writer;
    struct buf file = {0};
    int r = -1;

    (void)state;
    core_alloc_fail_at(1);
    assert_int_equal(peer_cache_begin(&writer, &file), KITH_E_MEMORY);
    core_alloc_fail_at(0);
    make_file(&file, &entry, 1);
    for (uint64_t n = 1; r != 1; n++) {
        assert_true(n < 200);
        core_alloc_fail_at(n);
        r = read_file(file.data, file.len, &back, 1);
        core_alloc_fail_at(0);
    }
    buf_deinit(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_back_as_they_were),
        cmocka_unit_test(as_many_as_the_limit_fit_and_no_more),
        cmocka_unit_test(every_changed_or_missing_byte_is_seen),
        cmocka_unit_test(fields_are_held_to_their_limits),
        cmocka_unit_test(file_beyond_its_limit_is_not_read),
        cmocka_unit_test(short_memory_is_an_error),
    };
    return run_net_tests("net_peer_cache", tests);
}

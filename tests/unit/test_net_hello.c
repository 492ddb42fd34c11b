/*
 * Hello: every field at its limit and one beyond, cut and mutated bytes, memory that runs out.
 */
#include "net/hello.h"

#include "core/alloc.h"
#include "kith/node.h"
#include "net.pb-c.h"
#include "net/preamble.h"
#include "net_testing.h"

static struct hello full_hello(struct rng *rng)
{
    struct net_identity identity = random_identity(rng);
    struct hello hello = {
        .boot_no = 12,
        .instance = rng_u64(rng),
        .version_min = 1,
        .version_max = 1,
        .net_class = NET_RPC,
        .role = KITH_ROLE_NODE,
        .stale_boot = 3,
        .software = "0.1.0",
        .observed = "[fe80::1%eth0]:7117",
    };

    memcpy(hello.sign_pk, identity.sign_pk, 32);
    hello.id = identity.id;
    random_bytes(rng, hello.cluster_id.bytes, sizeof hello.cluster_id.bytes);
    memset(hello.name, 'n', MEMBER_NAME_BYTES_MAX);
    hello.addresses_n = NET_ADDRESSES_PER_PEER_MAX;
    for (size_t i = 0; i < hello.addresses_n; i++) {
        memset(hello.addresses[i], 'h', KITH_ADDRESS_TEXT_MAX - 5);
        memcpy(hello.addresses[i] + KITH_ADDRESS_TEXT_MAX - 5, ":7117", 6);
    }
    return hello;
}

static void all_fields_arrive(void **state)
{
    struct rng rng = test_rng();
    struct hello hello = full_hello(&rng), back;
    struct buf out = {0};

    (void)state;
    assert_int_equal(hello_encode(&hello, &out), 0);
    assert_true(out.len <= HELLO_BYTES_MAX);
    memset(&back, 0xee, sizeof back);
    assert_int_equal(hello_decode(out.data, out.len, &back), 0);
    assert_memory_equal(back.sign_pk, hello.sign_pk, 32);
    assert_memory_equal(&back.id, &hello.id, sizeof hello.id);
    assert_int_equal(back.boot_no, 12);
    assert_true(back.instance == hello.instance);
    assert_memory_equal(&back.cluster_id, &hello.cluster_id, sizeof hello.cluster_id);
    assert_int_equal(back.version_min, 1);
    assert_int_equal(back.version_max, 1);
    assert_int_equal(back.net_class, NET_RPC);
    assert_int_equal(back.role, KITH_ROLE_NODE);
    assert_int_equal(back.stale_boot, 3);
    assert_string_equal(back.name, hello.name);
    assert_string_equal(back.software, hello.software);
    assert_string_equal(back.observed, hello.observed);
    assert_int_equal(back.addresses_n, NET_ADDRESSES_PER_PEER_MAX);
    for (size_t i = 0; i < back.addresses_n; i++)
        assert_string_equal(back.addresses[i], hello.addresses[i]);
    buf_deinit(&out);
}

/* ---- limits, by way of a message that need not keep them ---- */

struct loose {
    Kith__Net__Hello pb;
    uint8_t sign_pk[40], cluster_id[20];
    char name[100], software[100], observed[100];
    char address[100];
    char *addresses[NET_ADDRESSES_PER_PEER_MAX + 1];
};

static void loose_init(struct loose *loose)
{
    struct rng rng;
    struct net_identity identity;

    rng_init(&rng, 1);
    identity = random_identity(&rng);
    memset(loose, 0, sizeof *loose);
    kith__net__hello__init(&loose->pb);
    memcpy(loose->sign_pk, identity.sign_pk, 32);
    strcpy(loose->name, "name");
    strcpy(loose->software, "0.1");
    strcpy(loose->observed, "127.0.0.1:1");
    strcpy(loose->address, "10.0.0.1:7117");
    for (size_t i = 0; i <= NET_ADDRESSES_PER_PEER_MAX; i++)
        loose->addresses[i] = loose->address;
    loose->pb.sign_pk = (ProtobufCBinaryData){32, loose->sign_pk};
    loose->pb.cluster_id = (ProtobufCBinaryData){16, loose->cluster_id};
    loose->pb.boot_no = 1;
    loose->pb.version_min = 1;
    loose->pb.version_max = 1;
    loose->pb.role = KITH_ROLE_PROGRAM;
    loose->pb.name = loose->name;
    loose->pb.software = loose->software;
    loose->pb.observed = loose->observed;
    loose->pb.addresses = loose->addresses;
    loose->pb.n_addresses = 1;
}

static int loose_decode(const struct loose *loose)
{
    static uint8_t bytes[16384];
    struct hello hello;

    return hello_decode(bytes, kith__net__hello__pack(&loose->pb, bytes), &hello);
}

#define EXPECT(code, change)                                                                       \
    do {                                                                                           \
        loose_init(&loose);                                                                        \
        change;                                                                                    \
        assert_int_equal(loose_decode(&loose), code);                                              \
    } while (0)

static char *fill(char *text, size_t len, const char *tail)
{
    memset(text, 'a', len - strlen(tail));
    strcpy(text + len - strlen(tail), tail);
    return text;
}

static void each_field_is_held_to_its_limit(void **state)
{
    struct loose loose;

    (void)state;
    EXPECT(0, (void)0);
    EXPECT(KITH_E_PARSE, loose.pb.sign_pk.len = 31);
    EXPECT(KITH_E_PARSE, loose.pb.sign_pk.len = 33);
    EXPECT(KITH_E_PARSE, loose.pb.sign_pk.len = 0);
    EXPECT(KITH_E_PARSE, loose.pb.cluster_id.len = 15);
    EXPECT(KITH_E_PARSE, loose.pb.cluster_id.len = 17);
    EXPECT(KITH_E_PARSE, loose.pb.boot_no = 0);
    EXPECT(0, loose.pb.boot_no = UINT64_MAX);
    EXPECT(KITH_E_PARSE, loose.pb.version_min = 0);
    EXPECT(KITH_E_PARSE, loose.pb.version_min = 2);
    EXPECT(0, loose.pb.version_max = 255);
    EXPECT(KITH_E_PARSE, loose.pb.version_max = 256);
    EXPECT(0, loose.pb.stream_class = NET_CLASSES_N - 1);
    EXPECT(KITH_E_PARSE, loose.pb.stream_class = NET_CLASSES_N);
    EXPECT(KITH_E_PARSE, loose.pb.role = 0);
    EXPECT(KITH_E_PARSE, loose.pb.role = KITH_ROLE_PROGRAM + 1);
    EXPECT(0, loose.name[0] = '\0');
    EXPECT(0, fill(loose.name, MEMBER_NAME_BYTES_MAX, ""));
    EXPECT(KITH_E_PARSE, fill(loose.name, MEMBER_NAME_BYTES_MAX + 1, ""));
    EXPECT(KITH_E_PARSE, strcpy(loose.name, "with space"));
    EXPECT(KITH_E_PARSE, strcpy(loose.name, "line\nfeed"));
    EXPECT(0, fill(loose.software, MEMBER_VERSION_BYTES_MAX, ""));
    EXPECT(KITH_E_PARSE, fill(loose.software, MEMBER_VERSION_BYTES_MAX + 1, ""));
    EXPECT(KITH_E_PARSE, strcpy(loose.software, "\x1b[31m"));
    EXPECT(0, loose.observed[0] = '\0');
    EXPECT(0, fill(loose.observed, KITH_ADDRESS_TEXT_MAX, ":1"));
    EXPECT(KITH_E_PARSE, fill(loose.observed, KITH_ADDRESS_TEXT_MAX + 1, ":1"));
    EXPECT(KITH_E_PARSE, strcpy(loose.observed, "127.0.0.1"));
    EXPECT(0, loose.pb.n_addresses = 0);
    EXPECT(0, loose.pb.n_addresses = NET_ADDRESSES_PER_PEER_MAX);
    EXPECT(KITH_E_PARSE, loose.pb.n_addresses = NET_ADDRESSES_PER_PEER_MAX + 1);
    EXPECT(0, fill(loose.address, KITH_ADDRESS_TEXT_MAX, ":1"));
    EXPECT(KITH_E_PARSE, fill(loose.address, KITH_ADDRESS_TEXT_MAX + 1, ":1"));
    EXPECT(KITH_E_PARSE, loose.address[0] = '\0');
    EXPECT(KITH_E_PARSE, strcpy(loose.address, "host:0"));
    EXPECT(KITH_E_PARSE, strcpy(loose.address, "host:65536"));
    EXPECT(KITH_E_PARSE, strcpy(loose.address, ":80"));
}

static void longer_than_the_limit_is_not_looked_at(void **state)
{
    static uint8_t bytes[HELLO_BYTES_MAX + 1];
    struct hello hello;

    (void)state;
    assert_int_equal(hello_decode(bytes, HELLO_BYTES_MAX + 1, &hello), KITH_E_TOO_LARGE);
    assert_int_equal(hello_decode(bytes, HELLO_BYTES_MAX, &hello), KITH_E_PARSE);
}

static void cut_or_mutated_bytes_never_pass_a_limit(void **state)
{
    struct rng rng = test_rng();
    struct hello hello = full_hello(&rng), back;
    struct buf out = {0}, copy = {0};
    unsigned refused = 0;

    (void)state;
    assert_int_equal(hello_encode(&hello, &out), 0);
    for (size_t len = 0; len < out.len; len++) {
        /* A heap copy of just that length, so that a read beyond it is seen. */
        uint8_t *cut = malloc(len + 1);

        memcpy(cut + 1, out.data, len);
        refused += hello_decode(cut + 1, len, &back) != 0;
        free(cut);
    }
    assert_true(refused > out.len * 9 / 10); /* a cut between two fields may be a shorter Hello */
    for (int i = 0; i < 20000; i++) {
        copy.len = 0;
        assert_int_equal(buf_append(&copy, out.data, out.len), 0);
        for (int j = 0; j < 3; j++)
            copy.data[rng_below(&rng, copy.len)] = (uint8_t)rng_u64(&rng);
        if (hello_decode(copy.data, copy.len, &back) != 0)
            continue;
        assert_true(back.addresses_n <= NET_ADDRESSES_PER_PEER_MAX);
        assert_true(back.boot_no > 0);
        assert_true(strlen(back.name) <= MEMBER_NAME_BYTES_MAX);
    }
    buf_deinit(&out);
    buf_deinit(&copy);
}

static void short_memory_is_an_error_and_leaks_nothing(void **state)
{
    struct rng rng = test_rng();
    struct hello hello = full_hello(&rng), back;
    struct buf out = {0};
    int r = -1;

    (void)state;
    assert_int_equal(hello_encode(&hello, &out), 0);
    for (uint64_t n = 1; r != 0; n++) {
        assert_true(n < 1000);
        core_alloc_fail_at(n);
        r = hello_decode(out.data, out.len, &back);
        core_alloc_fail_at(0);
    }
    buf_deinit(&out);
    for (r = -1, out = (struct buf){0}; r != 0;) {
        core_alloc_fail_at(1);
        assert_int_equal(hello_encode(&hello, &out), KITH_E_MEMORY);
        core_alloc_fail_at(0);
        r = hello_encode(&hello, &out);
    }
    buf_deinit(&out);
}

/* ---- who it may be ---- */

static void key_cluster_version_and_self_are_checked(void **state)
{
    struct rng rng = test_rng();
    struct net_identity identity = random_identity(&rng), self = random_identity(&rng);
    struct net_cluster cluster = random_cluster(&rng);
    struct hello hello = full_hello(&rng), changed;

    (void)state;
    memcpy(hello.sign_pk, identity.sign_pk, 32);
    hello.id = identity.id;
    hello.cluster_id = cluster.id;
    assert_int_equal(hello_check(&hello, identity.dh_pk, &cluster, &self.id), 0);
    assert_int_equal(hello_check(&hello, self.dh_pk, &cluster, &self.id), KITH_E_CORRUPT);
    assert_int_equal(hello_check(&hello, identity.dh_pk, &cluster, &identity.id), KITH_E_EXISTS);

    changed = hello;
    memset(changed.sign_pk, 0, 32); /* a point of small order */
    assert_int_equal(hello_check(&changed, identity.dh_pk, &cluster, &self.id), KITH_E_CORRUPT);
    changed = hello;
    changed.cluster_id.bytes[15] ^= 1;
    assert_int_equal(hello_check(&changed, identity.dh_pk, &cluster, &self.id),
                     KITH_E_OTHER_CLUSTER);
    changed = hello;
    changed.version_min = NET_VERSION_MAX + 1;
    changed.version_max = NET_VERSION_MAX + 1;
    assert_int_equal(hello_check(&changed, identity.dh_pk, &cluster, &self.id), KITH_E_VERSION);
}

static void version_is_the_highest_common_one(void **state)
{
    struct hello hello = {.version_min = 1, .version_max = 200};

    (void)state;
    assert_int_equal(hello_version(&hello), NET_VERSION_MAX);
    hello.version_max = NET_VERSION_MIN;
    assert_int_equal(hello_version(&hello), NET_VERSION_MIN);
    hello.version_min = NET_VERSION_MAX + 1;
    hello.version_max = NET_VERSION_MAX + 3;
    assert_int_equal(hello_version(&hello), 0);
}

static void stale_boots_are_told(void **state)
{
    struct boot_seen seen = {0};

    (void)state;
    assert_true(boot_seen_take(&seen, 5, 111));
    assert_true(boot_seen_take(&seen, 5, 111));  /* a second stream of the same process */
    assert_false(boot_seen_take(&seen, 5, 222)); /* a copy of its disk */
    assert_false(boot_seen_take(&seen, 4, 333)); /* a restored snapshot */
    assert_int_equal(seen.boot_no, 5);
    assert_true(boot_seen_take(&seen, 6, 444));
    assert_false(boot_seen_take(&seen, 5, 111)); /* the old process, still about */
    seen = (struct boot_seen){.boot_no = 9};     /* read from disk: the instance is not known */
    assert_false(boot_seen_take(&seen, 8, 1));
    assert_true(boot_seen_take(&seen, 9, 1));
    assert_false(boot_seen_take(&seen, 9, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fields_arrive),
        cmocka_unit_test(each_field_is_held_to_its_limit),
        cmocka_unit_test(longer_than_the_limit_is_not_looked_at),
        cmocka_unit_test(cut_or_mutated_bytes_never_pass_a_limit),
        cmocka_unit_test(short_memory_is_an_error_and_leaks_nothing),
        cmocka_unit_test(key_cluster_version_and_self_are_checked),
        cmocka_unit_test(version_is_the_highest_common_one),
        cmocka_unit_test(stale_boots_are_told),
    };
    return run_net_tests("net_hello", tests);
}

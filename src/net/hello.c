/*
 * Hello: packing, unpacking, and every field against its limit.
 */
#include "net/hello.h"

#include <sodium.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "kith/node.h"
#include "net.pb-c.h"
#include "net/field.h"
#include "net/preamble.h"

static int refuse(int code, const char *field)
{
    return kith_fail_with(
        code, "hello of the peer: %s is not allowed; install the same release on both", field);
}

/* ---- encode ---- */

int hello_encode(const struct hello *hello, struct buf *out)
{
    Kith__Net__Hello pb;
    char *addresses[NET_ADDRESSES_PER_PEER_MAX];
    size_t len;
    int r;

    if (hello->addresses_n > NET_ADDRESSES_PER_PEER_MAX)
        return KITH_E_INVALID;
    for (size_t i = 0; i < hello->addresses_n; i++)
        addresses[i] = field_text(hello->addresses[i]);
    kith__net__hello__init(&pb);
    pb.sign_pk = field_bytes(hello->sign_pk, sizeof hello->sign_pk);
    pb.boot_no = hello->boot_no;
    pb.instance = hello->instance;
    pb.cluster_id = field_bytes(hello->cluster_id.bytes, sizeof hello->cluster_id.bytes);
    pb.version_min = hello->version_min;
    pb.version_max = hello->version_max;
    pb.stream_class = (uint32_t)hello->net_class;
    pb.role = hello->role;
    pb.name = field_text(hello->name);
    pb.software = field_text(hello->software);
    pb.n_addresses = hello->addresses_n;
    pb.addresses = addresses;
    pb.observed = field_text(hello->observed);
    pb.stale_boot = hello->stale_boot;

    len = kith__net__hello__get_packed_size(&pb);
    if (len > HELLO_BYTES_MAX)
        return KITH_E_INVALID;
    r = buf_reserve(out, len);
    if (r != 0)
        return r;
    out->len += kith__net__hello__pack(&pb, out->data + out->len);
    return 0;
}

/* ---- decode ---- */

static int take_numbers(const Kith__Net__Hello *pb, struct hello *out)
{
    if (pb->boot_no == 0)
        return refuse(KITH_E_PARSE, "boot number 0");
    if (pb->version_min == 0 || pb->version_min > pb->version_max || pb->version_max > UINT8_MAX)
        return refuse(KITH_E_PARSE, "its version range");
    if (pb->stream_class >= NET_CLASSES_N)
        return refuse(KITH_E_PARSE, "its stream class");
    if (pb->role != KITH_ROLE_NODE && pb->role != KITH_ROLE_PROGRAM)
        return refuse(KITH_E_PARSE, "its role");
    out->boot_no = pb->boot_no;
    out->instance = pb->instance;
    out->version_min = (uint8_t)pb->version_min;
    out->version_max = (uint8_t)pb->version_max;
    out->net_class = (enum net_class)pb->stream_class;
    out->role = (uint8_t)pb->role;
    out->stale_boot = pb->stale_boot;
    return 0;
}

static int take_texts(const Kith__Net__Hello *pb, struct hello *out)
{
    if (field_take_name(pb->name, out->name, sizeof out->name) != 0)
        return refuse(KITH_E_PARSE, "its name");
    if (field_take_text(pb->software, out->software, sizeof out->software) != 0)
        return refuse(KITH_E_PARSE, "its software version");
    if (pb->observed[0] != '\0' && field_take_address(pb->observed, out->observed) != 0)
        return refuse(KITH_E_PARSE, "the observed address");
    if (pb->n_addresses > NET_ADDRESSES_PER_PEER_MAX)
        return refuse(KITH_E_PARSE, "so many addresses");
    for (size_t i = 0; i < pb->n_addresses; i++)
        if (field_take_address(pb->addresses[i], out->addresses[i]) != 0)
            return refuse(KITH_E_PARSE, "one of its addresses");
    out->addresses_n = pb->n_addresses;
    return 0;
}

static int take_all(const Kith__Net__Hello *pb, struct hello *out)
{
    int r;

    memset(out, 0, sizeof *out);
    if (pb->sign_pk.len != sizeof out->sign_pk)
        return refuse(KITH_E_PARSE, "its key");
    if (pb->cluster_id.len != sizeof out->cluster_id.bytes)
        return refuse(KITH_E_PARSE, "its cluster id");
    memcpy(out->sign_pk, pb->sign_pk.data, sizeof out->sign_pk);
    memcpy(out->cluster_id.bytes, pb->cluster_id.data, sizeof out->cluster_id.bytes);
    out->id = net_node_id_of(out->sign_pk);
    r = take_numbers(pb, out);
    return r != 0 ? r : take_texts(pb, out);
}

int hello_decode(const uint8_t *data, size_t len, struct hello *hello_out)
{
    ProtobufCAllocator *heap = field_allocator();
    Kith__Net__Hello *pb;
    int r;

    if (len > HELLO_BYTES_MAX)
        return refuse(KITH_E_TOO_LARGE, "its length");
    pb = kith__net__hello__unpack(heap, len, data);
    if (pb == NULL)
        return refuse(KITH_E_PARSE, "its form");
    r = take_all(pb, hello_out);
    kith__net__hello__free_unpacked(pb, heap);
    return r;
}

/* ---- check ---- */

uint8_t hello_version(const struct hello *hello)
{
    uint8_t version = hello->version_max < NET_VERSION_MAX ? hello->version_max : NET_VERSION_MAX;

    return version >= hello->version_min && version >= NET_VERSION_MIN ? version : 0;
}

int hello_check(const struct hello *hello,
                const uint8_t remote_dh_pk[NET_PUBLIC_KEY_BYTES],
                const struct net_cluster *cluster,
                const struct kith_node_id *self_id)
{
    uint8_t dh_pk[NET_PUBLIC_KEY_BYTES];

    if (net_dh_pk_of(hello->sign_pk, dh_pk) != 0 ||
        sodium_memcmp(dh_pk, remote_dh_pk, sizeof dh_pk) != 0)
        return kith_fail_with(KITH_E_CORRUPT,
                              "peer claims a node key that is not the one of its handshake");
    if (sodium_memcmp(hello->cluster_id.bytes, cluster->id.bytes, NET_CLUSTER_ID_BYTES) != 0)
        return kith_fail_with(KITH_E_OTHER_CLUSTER,
                              "peer belongs to another cluster; join it with `kith join TOKEN`, "
                              "TOKEN from `kith invite` on a node of the wanted cluster");
    if (hello_version(hello) == 0)
        return kith_fail_with(KITH_E_VERSION,
                              "peer speaks protocol versions %u to %u, this node %u to %u; "
                              "install the same release on both",
                              hello->version_min, hello->version_max, NET_VERSION_MIN,
                              NET_VERSION_MAX);
    if (memcmp(hello->id.bytes, self_id->bytes, sizeof self_id->bytes) == 0)
        return kith_fail_with(KITH_E_EXISTS, "peer is this node itself");
    return 0;
}

bool boot_seen_take(struct boot_seen *seen, uint64_t boot_no, uint64_t instance)
{
    if (boot_no < seen->boot_no)
        return false;
    if (boot_no == seen->boot_no && seen->instance != 0 && seen->instance != instance)
        return false;
    seen->boot_no = boot_no;
    seen->instance = instance;
    return true;
}

/*
 * Hello: whatever is accepted keeps the limits and survives being written and read again.
 */
#include "fuzz_net.h"
#include "net/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct net_cluster cluster = fuzz_cluster();
    static struct net_identity identity;
    struct hello hello, again;
    struct buf out = {0};

    if (identity.id.bytes[0] == 0 && identity.id.bytes[1] == 0)
        identity = fuzz_identity(1);
    if (hello_decode(data, len, &hello) != 0)
        return 0;
    must(hello.addresses_n <= NET_ADDRESSES_PER_PEER_MAX);
    must(hello.boot_no > 0);
    must(hello.version_min > 0 && hello.version_min <= hello.version_max);
    must((unsigned)hello.net_class < NET_CLASSES_N);
    must(memchr(hello.name, '\0', sizeof hello.name) != NULL);
    must(hello_encode(&hello, &out) == 0);
    must(hello_decode(out.data, out.len, &again) == 0);
    must(memcmp(&hello, &again, sizeof hello) == 0);
    (void)hello_check(&hello, identity.dh_pk, &cluster, &identity.id);
    buf_deinit(&out);
    return 0;
}

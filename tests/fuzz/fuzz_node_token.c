/* Whatever is pasted as a token: refused, or read so that writing it again gives the same cluster.
 */
#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "kith/error.h"
#include "node/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct token token, back;
    char text[TOKEN_TEXT_MAX + 1];

    if (sodium_init() < 0)
        return 0;
    if (token_decode((const char *)data, size, &token) != 0)
        return 0;
    assert(token_encode(&token, text) == 0);
    assert(token_decode(text, strlen(text), &back) == 0);
    assert(memcmp(&token.cluster, &back.cluster, sizeof(token.cluster)) == 0);
    return 0;
}

/* Any bytes as a configuration file: refused with a sentence, or loaded. */
#include <assert.h>

#include "kith/error.h"
#include "node/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kith_config *config = kith_config_new();
    int r = config_load_text(config, "fuzz.conf", (const char *)data, size);

    assert(r == 0 || kith_errmsg()[0] != '\0');
    kith_config_free(config);
    return 0;
}

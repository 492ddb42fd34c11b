/* A build without pages (-Dhttp=disabled): the node runs, and says so if pages are asked for. */
#include <string.h>

#include "core/error.h"
#include "http/http.h"
#include "node/config.h"
#include "node/node.h"

int http_open(struct kith_node *node)
{
    const char *listen = config_text(node_config(node), "web.listen");

    if (!config_is_set(node_config(node), "web.listen") || strcmp(listen, "off") == 0)
        return 0;
    return kith_fail_with(KITH_E_UNSUPPORTED,
                          "web.listen = %s: this kith was built without pages (-Dhttp=disabled); "
                          "use --web off",
                          listen);
}

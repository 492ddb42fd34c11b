/* A build without pages (-Dhttp=disabled): the node runs, and says so if pages are asked for. */
#include <string.h>

#include "control/request.h"
#include "core/error.h"
#include "http/http.h"
#include "node/config.h"
#include "node/node.h"

static void refuse(struct control_request *request)
{
    control_fail(request, KITH_E_UNSUPPORTED,
                 "this kith was built without pages (-Dhttp=disabled); the pages of any "
                 "other node show the whole cluster");
}

static const struct control_verb verbs[] = {
    {.name = "web.link", .run = refuse},
    {.name = "web.token", .run = refuse},
    {.name = "user.add", .run = refuse},
    {.name = "user.set", .run = refuse},
    {.name = "user.rm", .run = refuse},
    {.name = "user.ls", .run = refuse},
    {0},
};

int http_open(struct kith_node *node)
{
    const char *listen = config_text(node_config(node), "web.listen");

    control_add_verbs(verbs);
    if (!config_is_set(node_config(node), "web.listen") || strcmp(listen, "off") == 0)
        return 0;
    return kith_fail_with(KITH_E_UNSUPPORTED,
                          "web.listen = %s: this kith was built without pages (-Dhttp=disabled); "
                          "use --web off",
                          listen);
}

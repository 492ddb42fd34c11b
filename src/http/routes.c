/* The table of routes (docs/protocols/http.md, docs/openapi.json: a test compares the three). */
#include "http/server.h"

#define JSON   HTTP_ROUTE_JSON
#define SOCKET HTTP_ROUTE_SOCKET

/* clang-format off */
const struct http_route http_routes[] = {
    {WEB_GET, "/v1/self", HTTP_VIEWER, 0, "info", NULL, NULL},
    {WEB_GET, "/v1/nodes", HTTP_VIEWER, 0, "nodes", NULL, NULL},
    {WEB_POST, "/v1/nodes", HTTP_OPERATOR, JSON, "connect", NULL, NULL},
    {WEB_DELETE, "/v1/nodes/*", HTTP_OPERATOR, 0, "disconnect", "node", NULL},
    {WEB_POST, "/v1/nodes/*/forget", HTTP_ADMIN, 0, "forget", "node", NULL},
    {WEB_POST, "/v1/nodes/*/drain", HTTP_OPERATOR, 0, "drain", "node", NULL},
    {WEB_POST, "/v1/nodes/*/undrain", HTTP_OPERATOR, 0, "undrain", "node", NULL},
    {WEB_POST, "/v1/nodes/*/tags", HTTP_OPERATOR, JSON, "tag.set", "node", NULL},
    {WEB_POST, "/v1/nodes/*/kill", HTTP_ADMIN, 0, "kill", "node", NULL},
    {WEB_GET, "/v1/overview", HTTP_VIEWER, 0, "overview", NULL, NULL},
    {WEB_GET, "/v1/overview/history", HTTP_VIEWER, 0, "overview.history", NULL, NULL},
    {WEB_GET, "/v1/resources", HTTP_VIEWER, 0, "resources", NULL, http_get_resources},
    {WEB_GET, "/v1/resources/history", HTTP_VIEWER, 0, "resources.history", NULL, NULL},
    {WEB_GET, "/v1/functions", HTTP_VIEWER, 0, "functions", NULL, NULL},
    {WEB_GET, "/v1/times", HTTP_VIEWER, 0, NULL, NULL, http_get_times},
    {WEB_GET, "/v1/rtt", HTTP_OPERATOR, 0, NULL, NULL, http_get_rtt},
    {WEB_POST, "/v1/call/*", HTTP_OPERATOR, 0, NULL, NULL, http_post_call},
    {WEB_GET, "/v1/vars", HTTP_VIEWER, 0, NULL, NULL, http_get_vars},
    {WEB_GET, "/v1/vars/*", HTTP_VIEWER, 0, NULL, NULL, http_get_var},
    {WEB_PUT, "/v1/vars/*", HTTP_OPERATOR, 0, NULL, NULL, http_put_var},
    {WEB_DELETE, "/v1/vars/*", HTTP_OPERATOR, 0, NULL, NULL, http_delete_var},
    {WEB_POST, "/v1/vars/*/incr", HTTP_OPERATOR, 0, NULL, NULL, http_post_incr},
    {WEB_GET, "/v1/locks", HTTP_VIEWER, 0, NULL, NULL, http_get_locks},
    {WEB_GET, "/v1/locks/*", HTTP_VIEWER, 0, "lock.info", "name", NULL},
    {WEB_POST, "/v1/locks/*", HTTP_OPERATOR, 0, NULL, NULL, http_post_lock},
    {WEB_DELETE, "/v1/locks/*", HTTP_OPERATOR, 0, NULL, NULL, http_delete_lock},
    {WEB_POST, "/v1/locks/*/break", HTTP_ADMIN, 0, "lock.break", "name", NULL},
    {WEB_GET, "/v1/events", HTTP_VIEWER, 0, NULL, NULL, http_get_events},
    {WEB_GET, "/v1/config", HTTP_OPERATOR, 0, "config.show", NULL, NULL},
    {WEB_POST, "/v1/config/reload", HTTP_ADMIN, 0, "config.reload", NULL, NULL},
    {WEB_GET, "/v1/logs", HTTP_OPERATOR, 0, "logs", NULL, NULL},
    {WEB_GET, "/v1/debug/bundle", HTTP_ADMIN, 0, NULL, NULL, http_get_bundle},
    {WEB_GET, "/v1/stats", HTTP_VIEWER, 0, "stats", NULL, NULL},
    {WEB_GET, "/v1/view", HTTP_VIEWER, 0, "view", NULL, NULL},
    {WEB_GET, "/v1/stream", HTTP_VIEWER, SOCKET, NULL, NULL, http_get_stream},
    {WEB_GET, "/v1/session", HTTP_NOBODY, 0, NULL, NULL, http_get_session},
    {WEB_POST, "/v1/login", HTTP_NOBODY, JSON, NULL, NULL, http_post_login},
    {WEB_POST, "/v1/logout", HTTP_NOBODY, 0, NULL, NULL, http_post_logout},
    {WEB_POST, "/v1/register", HTTP_NOBODY, JSON, NULL, NULL, http_post_register},
    {WEB_GET, "/v1/users", HTTP_ADMIN, 0, NULL, NULL, http_get_users},
    {WEB_POST, "/v1/users", HTTP_ADMIN, JSON, NULL, NULL, http_post_user},
    {WEB_PUT, "/v1/users/*", HTTP_VIEWER, JSON, NULL, NULL, http_put_user},
    {WEB_DELETE, "/v1/users/*", HTTP_ADMIN, 0, NULL, NULL, http_delete_user},
    {WEB_GET, "/healthz", HTTP_NOBODY, 0, NULL, NULL, http_get_health},
    {WEB_GET, "/readyz", HTTP_NOBODY, 0, NULL, NULL, http_get_ready},
    {WEB_GET, "/metrics", HTTP_VIEWER, 0, NULL, NULL, http_get_metrics},
    {WEB_GET, "/", HTTP_NOBODY, 0, NULL, NULL, http_get_asset},
    {WEB_GET, "/*", HTTP_NOBODY, 0, NULL, NULL, http_get_asset},
};
/* clang-format on */
const size_t http_routes_n = sizeof(http_routes) / sizeof(http_routes[0]);

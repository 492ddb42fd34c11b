#include "http/route.h"

#include <string.h>

bool http_route_fits(const char *pattern,
                     const char *path,
                     const char **name_out,
                     size_t *name_len_out)
{
    const char *star = strchr(pattern, '*');
    size_t path_len = strlen(path);

    *name_out = NULL;
    *name_len_out = 0;
    if (star == NULL)
        return strcmp(pattern, path) == 0;
    size_t before = (size_t)(star - pattern), after = strlen(star + 1);
    if (path_len <= before + after || memcmp(path, pattern, before) != 0 ||
        strcmp(path + path_len - after, star + 1) != 0)
        return false;
    *name_out = path + before;
    *name_len_out = path_len - before - after;
    return true;
}

const struct http_route *http_route_find(const struct http_route *table,
                                         size_t n,
                                         enum web_method method,
                                         const char *path,
                                         const char **name_out,
                                         size_t *name_len_out,
                                         unsigned *methods_out)
{
    const struct http_route *found = NULL;
    size_t found_len = 0;

    if (method == WEB_HEAD)
        method = WEB_GET;
    *methods_out = 0;
    for (size_t i = 0; i < n; i++) {
        const char *name;
        size_t name_len, len = strlen(table[i].pattern);
        if (!http_route_fits(table[i].pattern, path, &name, &name_len))
            continue;
        *methods_out |= 1u << table[i].method;
        if (table[i].method != method || (found != NULL && len <= found_len))
            continue;
        found = &table[i];
        found_len = len;
        *name_out = name;
        *name_len_out = name_len;
    }
    return found;
}

static const char *const roles[] = {"", "viewer", "operator", "admin"};

const char *http_role_text(enum http_role role)
{
    return roles[role];
}

enum http_role http_role_named(const char *text)
{
    for (enum http_role role = HTTP_VIEWER; role <= HTTP_ADMIN; role++) {
        if (text != NULL && strcmp(roles[role], text) == 0)
            return role;
    }
    return HTTP_NOBODY;
}

#include "http/origins.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/alloc.h"
#include "core/limits.h"

struct origin {
    struct list link;
    char text[HTTP_ORIGIN_BYTES_MAX + 1];
};

void http_origins_init(struct http_origins *origins)
{
    list_init(&origins->all);
    origins->n = 0;
}

static void drop(struct http_origins *origins, struct origin *origin)
{
    list_remove(&origin->link);
    origins->n--;
    core_free(origin);
}

void http_origins_deinit(struct http_origins *origins)
{
    struct list *link;

    while ((link = list_first(&origins->all)) != NULL)
        drop(origins, container_of(link, struct origin, link));
}

static struct origin *find(const struct http_origins *origins, const char *text)
{
    list_for_each (it, &origins->all) {
        struct origin *origin = container_of(it, struct origin, link);
        if (strcasecmp(origin->text, text) == 0)
            return origin;
    }
    return NULL;
}

void http_origins_keep(struct http_origins *origins, const char *text)
{
    struct list *oldest = list_first(&origins->all);
    struct origin *origin;

    if (text[0] == '\0')
        return;
    if ((origin = find(origins, text)) != NULL)
        drop(origins, origin); /* it is the newest now */
    else if (origins->n >= HTTP_ORIGINS_FORMER_MAX && oldest != NULL)
        drop(origins, container_of(oldest, struct origin, link));
    if ((origin = core_calloc(1, sizeof(*origin))) == NULL)
        return;
    (void)snprintf(origin->text, sizeof(origin->text), "%s", text);
    list_append(&origins->all, &origin->link);
    origins->n++;
}

void http_origins_each(const struct http_origins *origins,
                       void (*fn)(void *user, const char *text),
                       void *user)
{
    list_for_each (it, &origins->all) {
        fn(user, container_of(it, struct origin, link)->text);
    }
}

bool http_origins_has(const struct http_origins *origins, const char *text)
{
    return find(origins, text) != NULL;
}

bool http_origin_fits(const char *text)
{
    static const char host[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               ".:[]-_%";
    size_t scheme = strncmp(text, "https://", 8) == 0  ? 8
                    : strncmp(text, "http://", 7) == 0 ? 7
                                                       : 0;
    size_t len = strlen(text);

    return scheme != 0 && len > scheme && len <= HTTP_ORIGIN_BYTES_MAX &&
           strspn(text + scheme, host) == len - scheme;
}

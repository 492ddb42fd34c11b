/*
 * The pages, from memory. They hold no secret: who is not logged in gets them, and with them the
 * page that asks for a log-in. The policy allows them nothing but what is here, and to talk to
 * this node and the other members.
 */
#include "http/assets.h"

#include <string.h>

#include "core/error.h"
#include "http/server.h"

#define POLICY                                                                                     \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "        \
    "font-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action "       \
    "'none'; frame-ancestors 'none'; connect-src 'self'"

static const struct http_asset *asset_find(const char *path)
{
    size_t low = 0, high = http_assets_n;

    if (strcmp(path, "/") == 0)
        path = "/index.html";
    while (low < high) {
        size_t at = low + (high - low) / 2;
        int order = strcmp(path, http_assets[at].path);
        if (order == 0)
            return &http_assets[at];
        if (order < 0)
            high = at;
        else
            low = at + 1;
    }
    return NULL;
}

/*
 * The host of @url, "http://host:port", at every port, once: a policy holds for as long as the page
 * is open, and a node that begins anew may listen at another port, or not yet be known of. A policy
 * cannot name an IPv6 address: browsers say so in the console, and ignore it.
 */
static void put_host(struct buf *out, size_t from, const char *url)
{
    const char *host = strstr(url, "://") + 3;
    size_t scheme_len = (size_t)(host - url);
    size_t len = strcspn(host, ":/");
    char item[2 * HTTP_URL_BYTES_MAX];

    if (host[0] == '[' || len > 255)
        return;
    snprintf(item, sizeof(item), " %.*s%.*s:* ws%.*s%.*s:*", (int)scheme_len, url, (int)len, host,
             (int)(scheme_len - strlen("http")), url + strlen("http"), (int)len, host);
    if (buf_append(out, "", 1) != 0)
        return;
    out->len--; /* only so that it ends */
    if (strstr((const char *)out->data + from, item) == NULL)
        (void)buf_append(out, item, strlen(item));
}

/* A node by its http address is one by its ws address as well. */
static void put_origins(struct buf *out, struct http_server *server, const char *host)
{
    const char *s = server->tls ? "s" : "";
    size_t from = out->len;
    char own[HTTP_URL_BYTES_MAX];

    snprintf(own, sizeof(own), "http%s://%s", s, host);
    put_host(out, from, own);
    list_for_each (it, &server->members.all) {
        const char *url = container_of(it, struct http_member, link)->url;
        if (url[0] != '\0' && out->len < from + HTTP_POLICY_BYTES_MAX)
            put_host(out, from, url);
    }
}

static void answer_asset(struct http_exchange *x, const struct http_asset *asset, bool gzip)
{
    const char *match = web_header(x->web, WEB_IF_NONE_MATCH);
    const char *host = web_header(x->web, WEB_HOST);
    struct buf headers = {0};
    struct web_answer answer = {.status = 200,
                                .body = gzip ? asset->gzip : asset->plain,
                                .body_len = gzip ? asset->gzip_len : asset->plain_len,
                                .body_kept = true};

    if (match != NULL && strstr(match, asset->etag) != NULL) {
        answer.status = 304;
        answer.body_len = 0;
    }
    (void)buf_printf(&headers,
                     "Content-Type: %s\r\nETag: %s\r\nCache-Control: no-cache\r\nVary: "
                     "Accept-Encoding\r\n%sX-Content-Type-Options: nosniff\r\nX-Frame-Options: "
                     "DENY\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Opener-Policy: "
                     "same-origin\r\nCross-Origin-Resource-Policy: "
                     "same-origin\r\nContent-Security-Policy: " POLICY,
                     asset->type, asset->etag, gzip ? "Content-Encoding: gzip\r\n" : "");
    put_origins(&headers, x->server, host);
    (void)buf_append(&headers, "\r\n", 3); /* its NUL too */
    answer.headers = (const char *)headers.data;
    x->server->requests[answer.status / 100]++;
    web_answer(x->web, &answer);
    buf_deinit(&headers);
    http_exchange_free(x);
}

void http_get_asset(struct http_exchange *x)
{
    const struct http_asset *asset = asset_find(web_path(x->web));

    if (asset == NULL) {
        http_fail(x, 404, KITH_E_NOT_FOUND, "there is no such page",
                  "the pages begin at /, the API is under /v1/");
        return;
    }
    bool gzip = asset->gzip != NULL && (asset->plain == NULL || web_wants_gzip(x->web));
    answer_asset(x, asset, gzip);
}

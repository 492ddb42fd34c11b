/* The files of web/, made into a table by tools/embed_assets.py. */
#ifndef HTTP_ASSETS_H
#define HTTP_ASSETS_H

#include <stddef.h>
#include <stdint.h>

struct http_asset {
    const char *path; /* "/app.js" */
    const char *type;
    const char *etag;            /* with its quotes */
    const uint8_t *plain, *gzip; /* one of them may be NULL */
    size_t plain_len, gzip_len;
};

extern const struct http_asset http_assets[]; /* by path */
extern const size_t http_assets_n;

#endif

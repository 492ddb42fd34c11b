/* The certificate of the pages: the one configured, or one that is made and kept. */
#ifndef HTTP_CERTIFICATE_H
#define HTTP_CERTIFICATE_H

#include <stddef.h>

struct kith_node;

/*
 * Paths of certificate and key of @node to @cert_out and @key_out of @bytes each: web.cert_file and
 * web.key_file, else web-cert.pem and web-key.pem of the data directory, which are made if they
 * are not there. Says the certificate's fingerprint in the log.
 *
 * Returns 0; KITH_E_INVALID (one of two files), KITH_E_IO, KITH_E_UNSUPPORTED (a build that cannot
 * make one).
 */
int http_certificate(struct kith_node *node, char *cert_out, char *key_out, size_t bytes);
/* SHA-256 of the certificate in @path as "AB:CD:...", "" if it cannot be read. */
void http_fingerprint(const char *path, char *out, size_t out_bytes);
/* The first address of @node that others may use, without its port. */
void http_own_address(struct kith_node *node, char *out, size_t out_bytes);

#endif

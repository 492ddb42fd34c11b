/* See certificate.h: a self-signed certificate of P-256, good for ten years, made once. */
#include "http/certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "core/limits.h"
#include "net/uv_net.h"
#include "node/config.h"
#include "node/node.h"

#define YEARS_10_S (10L * 365 * 24 * 3600)

static int sign(X509 *cert, EVP_PKEY *key, const char *name, const char *alternatives)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    BIGNUM *serial = BN_new();
    bool good = serial != NULL && BN_rand(serial, 120, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert)) != NULL;

    BN_free(serial);
    good = good && X509_set_version(cert, 2) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -3600) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(cert), YEARS_10_S) != NULL &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const uint8_t *)name, -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(cert, subject) == 1 && X509_set_pubkey(cert, key) == 1;
    X509_EXTENSION *extension =
        good ? X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternatives) : NULL;
    good = extension != NULL && X509_add_ext(cert, extension, -1) == 1 &&
           X509_sign(cert, key, EVP_sha256()) > 0;
    X509_EXTENSION_free(extension);
    return good ? 0 : KITH_E_IO;
}

static FILE *create(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;

    if (fd >= 0 && file == NULL)
        (void)close(fd);
    return file;
}

static int
make(const char *name, const char *alternatives, const char *cert_path, const char *key_path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    FILE *file = NULL;
    int r = key != NULL && cert != NULL ? sign(cert, key, name, alternatives) : KITH_E_MEMORY;

    if (r == 0) {
        file = create(key_path);
        r = file != NULL && PEM_write_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1
                ? 0
                : KITH_E_IO;
        if (file != NULL && fclose(file) != 0)
            r = KITH_E_IO;
    }
    if (r == 0) {
        file = create(cert_path);
        r = file != NULL && PEM_write_X509(file, cert) == 1 ? 0 : KITH_E_IO;
        if (file != NULL && fclose(file) != 0)
            r = KITH_E_IO;
    }
    EVP_PKEY_free(key);
    X509_free(cert);
    if (r != 0)
        return kith_fail_with(r,
                              "the certificate of the pages cannot be made in %s: %s; check the "
                              "directory, or set web.cert_file and web.key_file",
                              cert_path, errno != 0 ? strerror(errno) : "OpenSSL failed");
    return 0;
}

void http_own_address(struct kith_node *node, char *out, size_t out_bytes)
{
    char addresses[NET_ADDRESSES_PER_PEER_MAX][KITH_ADDRESS_TEXT_MAX + 1];
    size_t n = uv_net_addresses(node_net(node), addresses, NET_ADDRESSES_PER_PEER_MAX);

    out[0] = '\0';
    if (n == 0)
        return;
    const char *from = addresses[0][0] == '[' ? addresses[0] + 1 : addresses[0];
    snprintf(out, out_bytes, "%.*s", (int)strcspn(from, addresses[0][0] == '[' ? "]" : ":"), from);
}

/* "DNS:name,DNS:localhost,IP:..." */
static void alternatives_of(struct kith_node *node, char *out, size_t out_bytes)
{
    char address[256], host[256];
    size_t at =
        (size_t)snprintf(out, out_bytes, "DNS:%s,DNS:localhost,IP:127.0.0.1", kith_node_name(node));

    http_own_address(node, address, sizeof(address));
    if (address[0] != '\0' && strchr(address, '%') == NULL && at < out_bytes)
        at += (size_t)snprintf(out + at, out_bytes - at, ",IP:%s", address);
    if (gethostname(host, sizeof(host)) == 0 && at < out_bytes)
        snprintf(out + at, out_bytes - at, ",DNS:%.200s", host);
}

void http_fingerprint(const char *path, char *out, size_t out_bytes)
{
    FILE *file = fopen(path, "re");
    X509 *cert = file != NULL ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    uint8_t digest[32];
    unsigned len = sizeof(digest);

    out[0] = '\0';
    if (cert != NULL && X509_digest(cert, EVP_sha256(), digest, &len) == 1 &&
        out_bytes >= sizeof(digest) * 3) {
        for (size_t i = 0; i < sizeof(digest); i++)
            snprintf(out + 3 * i, 4, "%02X%s", digest[i], i + 1 < sizeof(digest) ? ":" : "");
    }
    X509_free(cert);
    if (file != NULL)
        (void)fclose(file);
}

int http_certificate(struct kith_node *node, char *cert_out, char *key_out, size_t bytes)
{
    const struct kith_config *config = node_config(node);
    const char *cert = config_text(config, "web.cert_file");
    const char *key = config_text(config, "web.key_file");
    const char *dir = config_text(config, "node.data_dir");
    char alternatives[700], fingerprint[128];
    int r = 0;

    if ((cert == NULL) != (key == NULL))
        return kith_fail_with(KITH_E_INVALID, "web.cert_file and web.key_file go together: set "
                                              "both, or neither and one is made");
    if (cert != NULL) {
        snprintf(cert_out, bytes, "%s", cert);
        snprintf(key_out, bytes, "%s", key);
    } else {
        snprintf(cert_out, bytes, "%s/web-cert.pem", dir);
        snprintf(key_out, bytes, "%s/web-key.pem", dir);
        alternatives_of(node, alternatives, sizeof(alternatives));
        if (access(cert_out, R_OK) != 0 || access(key_out, R_OK) != 0)
            r = make(kith_node_name(node), alternatives, cert_out, key_out);
    }
    if (r != 0)
        return r;
    http_fingerprint(cert_out, fingerprint, sizeof(fingerprint));
    if (fingerprint[0] == '\0')
        return kith_fail_with(KITH_E_IO, "there is no certificate in %s: write one in PEM",
                              cert_out);
    log_info(node_log(node), "http", "certificate of the pages", "sha256", fingerprint, NULL);
    return 0;
}

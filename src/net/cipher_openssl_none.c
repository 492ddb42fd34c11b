/*
 * In place of cipher_openssl.c where libcrypto is not built in.
 */
#include "net/cipher.h"

const struct cipher_ops *cipher_openssl_ops(void)
{
    return NULL;
}

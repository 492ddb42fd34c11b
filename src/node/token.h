/*
 * The join token: everything a machine needs to enter a cluster, as one word that survives being
 * pasted into a chat.
 *
 *     kith1-BASE64URL( cluster id 16 | secret 32 | name | addresses | checksum 4 )
 *
 * name is a length byte and text, addresses a count byte and as many length bytes and texts. The
 * checksum tells a typo from a wrong token. Pure.
 */
#ifndef NODE_TOKEN_H
#define NODE_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"
#include "net/identity.h"

#define TOKEN_PREFIX           "kith1-"
#define TOKEN_TEXT_MAX         2048 /* characters, the prefix included */
#define TOKEN_ADDRESSES_MAX    NET_ADDRESSES_PER_PEER_MAX
#define TOKEN_CLUSTER_NAME_MAX 63

struct token {
    struct net_cluster cluster;
    char cluster_name[TOKEN_CLUSTER_NAME_MAX + 1];
    char addresses[TOKEN_ADDRESSES_MAX][KITH_ADDRESS_TEXT_MAX + 1];
    uint32_t addresses_n;
};

/* Writes the token and a NUL. 0; KITH_E_INVALID for a name or address that is none. */
int token_encode(const struct token *token, char text_out[TOKEN_TEXT_MAX + 1]);

/*
 * Reads a token; white space around it and line breaks inside are dropped. 0; KITH_E_PARSE (no
 * token), KITH_E_CORRUPT (a typo or a part is missing), KITH_E_VERSION (made by a newer kith). The
 * sentence says which.
 */
int token_decode(const char *text, size_t len, struct token *token_out);

/* Overwrites the secret. */
void token_wipe(struct token *token);

/*
 * Reads a file with a token, a copy of another node's cluster.key, or 64 hex digits that all nodes
 * share (then the cluster id follows from them). No addresses but in a token.
 * 0; KITH_E_NOT_FOUND; KITH_E_PERMISSION (others may read it; the sentence prints the chmod);
 * KITH_E_PARSE.
 */
int token_read_secret_file(const char *path, struct token *token_out);

#endif

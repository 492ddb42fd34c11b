/* Making and filling data directories, for init, join, dev and an agent with --secret-file. */
#ifndef CLI_SETUP_H
#define CLI_SETUP_H

#include "kith/api.h"
#include "node/token.h"

#define SETUP_CONF_FILE "kith.conf" /* of one data directory */

/* What a directory holds after setup_*(). */
struct setup_result {
    struct kith_node_id id;
    struct net_cluster_id cluster_id;
    char cluster_name[TOKEN_CLUSTER_NAME_MAX + 1];
};

/*
 * Makes a new cluster (its name: @cluster_name, or two random words) and an identity in @path. 0;
 * KITH_E_EXISTS if it is in a cluster already; what data_dir.h says; KITH_E_NAME.
 */
int setup_new(const char *path, const char *cluster_name, struct setup_result *result_out);
/*
 * Puts the token's cluster, its addresses as seeds and an identity into @path. 0, also if it is in
 * this cluster already (then only the seeds are added); KITH_E_EXISTS if it is in another.
 */
int setup_join(const char *path, const struct token *token, struct setup_result *result_out);
/* True if @path holds a cluster. */
bool setup_has_cluster(const char *path);

/* Writes DIR/kith.conf with this text. 0 or KITH_E_*. */
int setup_write_conf(const char *path, const char *text);
/* Sets node.name in DIR/kith.conf if @name is not NULL, keeping everything else there. */
int setup_set_name(const char *path, const char *name);

/* @given, or the default data directory, in @out of @out_bytes. 0 or KITH_E_*. */
int setup_data_dir(const char *given, char *out, size_t out_bytes);

#endif

/* The configuration of an agent: files, environment and flags, in the order in which they override.
 */
#ifndef CLI_SETTINGS_H
#define CLI_SETTINGS_H

#include "node/config.h"

struct cli;

/*
 * Builds the configuration that `kith agent` with this command line would have. Reads, each over
 * the one before: the usual files (or KITH_CONFIG, or --config), DIR/kith.conf and DIR/seeds of the
 * data directory, KITH_LOG, flags. node.data_dir is set in the result. 0 and the caller's
 * configuration, or an exit code.
 */
int settings_load(struct cli *cli, struct kith_config **config_out);

/* The same, but fails with KITH_E_* and a sentence instead of saying it (SIGHUP). */
int settings_reload(struct cli *cli, struct kith_config **config_out);

#endif

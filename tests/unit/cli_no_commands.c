/*
 * Stand-ins for what verbs do, for tests of the verb table itself: parsing, help, manual,
 * completion. Those link the table without a node behind it.
 */
#include "cli/commands.h"

#define COMMAND(name)                                                                              \
    int name(struct cli *cli)                                                                      \
    {                                                                                              \
        (void)cli;                                                                                 \
        return 99;                                                                                 \
    }

COMMAND(cmd_init)
COMMAND(cmd_invite)
COMMAND(cmd_join)
COMMAND(cmd_config_show)
COMMAND(cmd_config_check)
COMMAND(cmd_agent)
COMMAND(cmd_dev)
COMMAND(cmd_dev_ls)
COMMAND(cmd_dev_stop)
COMMAND(cmd_dev_kill)
COMMAND(cmd_dev_start)
COMMAND(cmd_nodes)
COMMAND(cmd_status)
COMMAND(cmd_reach)
COMMAND(cmd_info)
COMMAND(cmd_version)
COMMAND(cmd_ping)
COMMAND(cmd_connect)
COMMAND(cmd_disconnect)
COMMAND(cmd_leave)
COMMAND(cmd_forget)
COMMAND(cmd_events)
COMMAND(cmd_monitor)
COMMAND(cmd_loglevel)
COMMAND(cmd_fn_watch)
COMMAND(cmd_fn_ls)
COMMAND(cmd_fn_info)
COMMAND(cmd_load)
COMMAND(cmd_call)
COMMAND(cmd_map)
COMMAND(cmd_fn_serve)
COMMAND(cmd_help)
COMMAND(cmd_completion_bash)
COMMAND(cmd_completion_names)
COMMAND(cmd_bench_call)
COMMAND(cmd_var_ls)
COMMAND(cmd_var_get)
COMMAND(cmd_var_set)
COMMAND(cmd_var_cas)
COMMAND(cmd_var_incr)
COMMAND(cmd_var_rm)
COMMAND(cmd_var_watch)
COMMAND(cmd_var_info)
COMMAND(cmd_name_register)
COMMAND(cmd_name_resolve)
COMMAND(cmd_name_ls)
COMMAND(cmd_name_rm)
COMMAND(cmd_lock_ls)
COMMAND(cmd_lock_info)
COMMAND(cmd_lock_run)
COMMAND(cmd_lock_acquire)
COMMAND(cmd_lock_release)
COMMAND(cmd_lock_break)
COMMAND(cmd_view)
COMMAND(cmd_view_force)
COMMAND(cmd_mandel)

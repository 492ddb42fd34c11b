/* The functions behind the verbs. Each takes the parsed line from @cli and returns the exit code.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

struct cli;

/* setup.c */
int cmd_init(struct cli *cli);
int cmd_invite(struct cli *cli);
int cmd_join(struct cli *cli);
/* config.c */
int cmd_config_show(struct cli *cli);
int cmd_config_check(struct cli *cli);
int cmd_config_reload(struct cli *cli);
/* agent.c */
int cmd_agent(struct cli *cli);
/* dev.c */
int cmd_dev(struct cli *cli);
int cmd_dev_ls(struct cli *cli);
int cmd_dev_stop(struct cli *cli);
int cmd_dev_kill(struct cli *cli);
int cmd_dev_start(struct cli *cli);
/* nodes.c */
int cmd_nodes(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_reach(struct cli *cli);
/* info.c */
int cmd_info(struct cli *cli);
int cmd_version(struct cli *cli);
/* cluster.c */
int cmd_ping(struct cli *cli);
int cmd_connect(struct cli *cli);
int cmd_disconnect(struct cli *cli);
int cmd_leave(struct cli *cli);
int cmd_forget(struct cli *cli);
/* watch.c */
int cmd_events(struct cli *cli);
int cmd_monitor(struct cli *cli);
int cmd_logs(struct cli *cli);
int cmd_loglevel(struct cli *cli);
int cmd_fn_watch(struct cli *cli);
/* fn.c */
int cmd_fn_ls(struct cli *cli);
int cmd_fn_info(struct cli *cli);
int cmd_load(struct cli *cli);
/* call.c */
int cmd_call(struct cli *cli);
/* map.c */
int cmd_map(struct cli *cli);
/* serve.c */
int cmd_fn_serve(struct cli *cli);
/* var.c */
int cmd_var_ls(struct cli *cli);
int cmd_var_get(struct cli *cli);
int cmd_var_set(struct cli *cli);
int cmd_var_cas(struct cli *cli);
int cmd_var_incr(struct cli *cli);
int cmd_var_rm(struct cli *cli);
int cmd_var_watch(struct cli *cli);
int cmd_var_info(struct cli *cli);
/* debug.c */
int cmd_debug_bundle(struct cli *cli);
/* label.c */
int cmd_tag_set(struct cli *cli);
int cmd_tag_rm(struct cli *cli);
int cmd_tag_ls(struct cli *cli);
int cmd_drain(struct cli *cli);
int cmd_undrain(struct cli *cli);
/* name.c */
int cmd_name_register(struct cli *cli);
int cmd_name_resolve(struct cli *cli);
int cmd_name_ls(struct cli *cli);
int cmd_name_rm(struct cli *cli);
/* web.c */
int cmd_web(struct cli *cli);
int cmd_user_ls(struct cli *cli);
int cmd_user_add(struct cli *cli);
int cmd_user_passwd(struct cli *cli);
int cmd_user_rm(struct cli *cli);
/* lock.c */
int cmd_lock_ls(struct cli *cli);
int cmd_lock_info(struct cli *cli);
int cmd_lock_acquire(struct cli *cli);
int cmd_lock_release(struct cli *cli);
int cmd_lock_run(struct cli *cli);
int cmd_lock_break(struct cli *cli);
/* share.c */
int cmd_share_add(struct cli *cli);
int cmd_share_rm(struct cli *cli);
int cmd_share_ls(struct cli *cli);
int cmd_share_confirm(struct cli *cli);
/* fs.c */
int cmd_fs_ls(struct cli *cli);
int cmd_fs_tree(struct cli *cli);
int cmd_fs_stat(struct cli *cli);
int cmd_fs_find(struct cli *cli);
int cmd_fs_rm(struct cli *cli);
int cmd_fs_restore(struct cli *cli);
int cmd_fs_watch(struct cli *cli);
int cmd_fs_track(struct cli *cli);
int cmd_fs_conflicts(struct cli *cli);
int cmd_fs_evict(struct cli *cli);
int cmd_fs_cache(struct cli *cli);
/* fs_get.c */
int cmd_fs_get(struct cli *cli);
int cmd_fs_cat(struct cli *cli);
/* fs_data.c */
int cmd_fs_put(struct cli *cli);
int cmd_fs_append(struct cli *cli);
int cmd_fs_pin(struct cli *cli);
int cmd_fs_verify(struct cli *cli);
/* mount.c */
int cmd_fs_mount(struct cli *cli);
/* board.c */
int cmd_board_ls(struct cli *cli);
int cmd_board_open(struct cli *cli); /* web.c */
int cmd_board_export(struct cli *cli);
/* view.c */
int cmd_view(struct cli *cli);
int cmd_view_force(struct cli *cli);
/* other.c */
int cmd_help(struct cli *cli);
int cmd_completion_bash(struct cli *cli);
int cmd_completion_names(struct cli *cli);
int cmd_bench_call(struct cli *cli);
int cmd_bench_var(struct cli *cli);
int cmd_bench_lock(struct cli *cli);
int cmd_bench_file(struct cli *cli);
int cmd_bench_history(struct cli *cli);
int cmd_bench_http(struct cli *cli);
int cmd_mandel(struct cli *cli);

#endif

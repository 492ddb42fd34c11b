/* The verb table (see verb.h). Data only; looking things up is verb.c. */
#include "cli/verb.h"

#include <stdint.h>

#include "cli/commands.h"
#include "cli/verb_table.h"

/* clang-format off */

#define ANY SIZE_MAX

/* ---- options that several verbs have ------------------------------------------------------------ */

static const struct opt opt_data_dir_own = {"data-dir", 'd', OPT_TEXT, false, COMPLETE_DIR, "DIR",
    "directory of the node (default: $XDG_STATE_HOME/kith, /var/lib/kith for root)", {0}};
static const struct opt opt_name = {"name", 'n', OPT_TEXT, false, COMPLETE_NONE, "NODE",
    "name of the node (default: the host name)", {0}};
static const struct opt opt_node = {"node", 'n', OPT_TEXT, false, COMPLETE_NODE, "NODE",
    "node that is to act: a name, an id or a unique prefix of an id", {0}};
static const struct opt opt_lock_node = {"node", 'n', OPT_TEXT, false, COMPLETE_NODE, "NODE",
    "ask this node alone: a name, an id or a unique prefix of an id", {0}};
static const struct opt opt_timeout = {"timeout", 't', OPT_DURATION, false, COMPLETE_NONE, "TIME",
    "give up after this time, such as 500ms, 5s, 2m", {0}};
static const struct opt opt_config = {"config", 'c', OPT_TEXT, true, COMPLETE_FILE, "FILE",
    "read this configuration instead of the usual files; repeats, later ones override", {0}};
static const struct opt opt_set = {"set", 0, OPT_TEXT, true, COMPLETE_NONE, "KEY=VALUE",
    "set a configuration key (kith config show lists them); repeats", {0}};
static const struct opt opt_load = {"load", 'l', OPT_TEXT, true, COMPLETE_FILE, "MODULE",
    "load a module: a name, or a path with a slash; repeats", {0}};
static const struct opt opt_dir = {"dir", 0, OPT_TEXT, false, COMPLETE_DIR, "DIR",
    "directory of the dev nodes (default: $XDG_STATE_HOME/kith-dev)", {0}};
static const struct opt opt_quiet = {"quiet", 'q', OPT_FLAG, false, COMPLETE_NONE, NULL,
    "say nothing on stderr unless it fails", {0}};

/* ---- options of one verb ------------------------------------------------------------------------ */

static const struct opt opt_cluster = {"cluster", 0, OPT_TEXT, false, COMPLETE_NONE, "NAME",
    "name of the new cluster (default: two random words)", {0}};
static const struct opt opt_listen = {"listen", 0, OPT_ADDRESS, false, COMPLETE_NONE, "ADDR:PORT",
    "address and port for peers (default: [::]:7117); port 0 takes any free one", {0}};
static const struct opt opt_seed = {"seed", 's', OPT_ADDRESS, true, COMPLETE_NONE, "ADDR",
    "address of any node of the cluster; repeats, each is tried for ever", {0}};
static const struct opt opt_secret_file = {"secret-file", 0, OPT_TEXT, false, COMPLETE_FILE, "FILE",
    "join the cluster of this join token, cluster.key or secret if in none yet", {0}};
static const struct opt opt_expect = {"expect", 0, OPT_U64, false, COMPLETE_NONE, "N",
    "make the first view of shared state with N nodes that all say so (kith init: this node alone)", {0}};
static const struct opt opt_web = {"web", 0, OPT_TEXT, false, COMPLETE_NONE, "ADDR:PORT",
    "where the pages are (default: 127.0.0.1:7118, or the next free port), or off", {0}};
static const struct opt opt_verbose = {"verbose", 'v', OPT_FLAG, false, COMPLETE_NONE, NULL,
    "log at level debug", {0}};
static const struct opt opt_programs = {"programs", 'p', OPT_FLAG, false, COMPLETE_NONE, NULL,
    "show programs that joined as peers too", {0}};
static const struct opt opt_status = {"status", 0, OPT_CHOICE, false, COMPLETE_NONE, "STATUS",
    "only nodes with this status", {"alive", "suspect", "failed", "left"}};
static const struct opt opt_tag = {"tag", 0, OPT_TEXT, true, COMPLETE_NONE, "KEY[=VALUE]",
    "only nodes with this tag; repeats, all must be there", {0}};
static const struct opt opt_no_headers = {"no-headers", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "no line of headings and no summary", {0}};
static const struct opt opt_follow = {"follow", 'f', OPT_FLAG, false, COMPLETE_NONE, NULL,
    "wait for more until stopped", {0}};
static const struct opt opt_after = {"after", 0, OPT_U64, false, COMPLETE_NONE, "SEQ",
    "only events after this number", {0}};
static const struct opt opt_count = {"count", 'c', OPT_U64, false, COMPLETE_NONE, "N",
    "echoes to send (default: 4)", {0}};
static const struct opt opt_from = {"node", 'n', OPT_TEXT, false, COMPLETE_NODE, "NODE",
    "node that sends the echoes (default: the one asked)", {0}};
static const struct opt opt_level = {"level", 'l', OPT_CHOICE, false, COMPLETE_LEVEL, "LEVEL",
    "least important line that is shown (default: info)", {"error", "warn", "info", "debug"}};
static const struct opt opt_out = {"out", 'o', OPT_TEXT, false, COMPLETE_FILE, "FILE",
    "file to write (default: kith-NODE-TIME.tar); - is stdout", {0}};
static const struct opt opt_lines = {"lines", 'n', OPT_U64, false, COMPLETE_NONE, "N",
    "so many of the newest lines (default: 100)", {0}};
static const struct opt opt_log_level = {"level", 'l', OPT_CHOICE, false, COMPLETE_LEVEL, "LEVEL",
    "least important line that is shown (default: all)", {"error", "warn", "info", "debug"}};
static const struct opt opt_hidden = {"hidden", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "show functions whose name starts with _ too", {0}};
static const struct opt opt_all = {"all", 'a', OPT_FLAG, false, COMPLETE_NONE, NULL,
    "call it on every node that has it", {0}};
static const struct opt opt_any = {"any", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "call it on the less loaded of two nodes that have it (the default)", {0}};
static const struct opt opt_idempotent_call = {"idempotent", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "it may be run again if it is not known whether it ran", {0}};
static const struct opt opt_in = {"in", 'i', OPT_TEXT, false, COMPLETE_FILE, "FILE",
    "items, one a line; - is stdin (the default)", {0}};
static const struct opt opt_per_node = {"per-node", 0, OPT_U64, false, COMPLETE_NONE, "K",
    "items in flight per node (default: twice its CPUs)", {0}};
static const struct opt opt_progress = {"progress", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "show progress on stderr even if that is no terminal", {0}};
static const struct opt opt_attempts = {"attempts", 0, OPT_U64, false, COMPLETE_NONE, "N",
    "tries of an item whose node is lost (default: no limit)", {0}};
static const struct opt opt_idempotent = {"idempotent", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "running it twice does no harm: calls may be retried", {0}};
static const struct opt opt_parallel = {"parallel", 'P', OPT_U64, false, COMPLETE_NONE, "P",
    "commands at once (default: number of CPUs)", {0}};
static const struct opt opt_description = {"description", 0, OPT_TEXT, false, COMPLETE_NONE, "TEXT",
    "one line for kith fn ls", {0}};
static const struct opt opt_fn_version = {"fn-version", 0, OPT_TEXT, false, COMPLETE_NONE, "V",
    "version of the function (default: 1)", {0}};
static const struct opt opt_origin = {"origin", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "show where each value comes from", {0}};
static const struct opt opt_man = {"man", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "write the manual page kith(1) as troff", {0}};
static const struct opt opt_wait = {"wait", 'w', OPT_DURATION, false, COMPLETE_NONE, "TIME",
    "how long to wait until all see each other (default: 20s)", {0}};

static const struct opt opt_var_type = {"type", 0, OPT_CHOICE, false, COMPLETE_NONE, "TYPE",
    "type of the value (default: the variable's; text for a new one)",
    {"text", "bytes", "i64", "f64", "bool", "text[]", "bytes[]", "i64[]", "f64[]", "bool[]"}};
static const struct opt opt_policy = {"policy", 0, OPT_CHOICE, false, COMPLETE_NONE, "POLICY",
    "of a new variable: volatile (default), durable or available", {"volatile", "durable", "available"}};
static const struct opt opt_merge = {"merge", 0, OPT_CHOICE, false, COMPLETE_NONE, "KIND",
    "of a new available variable: how writes on two sides of a cut become one (default: lww)",
    {"lww", "max", "min", "counter", "set", "keep-both"}};
static const struct opt opt_index = {"index", 0, OPT_U64, false, COMPLETE_NONE, "I",
    "one element of an array, from 0", {0}};
static const struct opt opt_elements = {"count", 0, OPT_U64, false, COMPLETE_NONE, "N",
    "so many elements from --index on (default: 1)", {0}};
static const struct opt opt_changes = {"count", 'c', OPT_U64, false, COMPLETE_NONE, "N",
    "end after N changes (default: run until stopped)", {0}};
static const struct opt opt_once = {"once", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "make a constant; exits with 7 if there is one already", {0}};
static const struct opt opt_guarded = {"guarded", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "a new variable takes operations with --mutex and --fence only", {0}};
static const struct opt opt_mutex = {"mutex", 0, OPT_TEXT, false, COMPLETE_NONE, "NAME",
    "mutex that guards it; needs --fence", {0}};
static const struct opt opt_fence = {"fence", 0, OPT_TEXT, false, COMPLETE_NONE, "FENCE",
    "fence of the mutex, such as $KITH_FENCE; a lower one than seen before is refused", {0}};
static const struct opt opt_last = {"last", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "the last one on it under this fence: no other is taken, and the next section costs less", {0}};
static const struct opt opt_var_version = {"version", 0, OPT_TEXT, false, COMPLETE_NONE, "VERSION",
    "the version that is expected, instead of a value", {0}};
static const struct opt opt_absent = {"absent", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "expect that the variable does not exist", {0}};
static const struct opt opt_lock_wait = {"wait", 'w', OPT_DURATION, false, COMPLETE_NONE, "TIME",
    "give up after this time, with exit code 6 (default: wait as long as it takes)", {0}};
static const struct opt opt_try = {"try", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "do not wait: exits with 7 if another holds it", {0}};
static const struct opt opt_shared = {"shared", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "share it with other shared holders", {0}};
static const struct opt opt_permits = {"permits", 0, OPT_U64, false, COMPLETE_NONE, "N",
    "so many may hold it at once; all who use the name must agree", {0}};
static const struct opt opt_detect = {"detect", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "fail if waiting would close a cycle of waits, and name it", {0}};
static const struct opt opt_yes = {"yes", 'y', OPT_FLAG, false, COMPLETE_NONE, NULL,
    "do not ask", {0}};
static const struct opt opt_pid = {"pid", 0, OPT_U64, false, COMPLETE_NONE, "PID",
    "process that keeps it: it is released when that ends (default: the calling shell)", {0}};
static const struct opt opt_kept_fence = {"fence", 0, OPT_TEXT, false, COMPLETE_NONE, "FENCE",
    "the lock with this fence, whichever process keeps it", {0}};

static const struct opt opt_open = {"open", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "open it in the browser instead of printing it", {0}};
static const struct opt opt_token = {"token", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "print a bearer token for scripts instead, and nothing else", {0}};
static const struct opt opt_role = {"role", 0, OPT_CHOICE, false, COMPLETE_NONE, "ROLE",
    "what the bearer may do (default: admin)", {"viewer", "operator", "admin"}};
static const struct opt opt_expires = {"expires", 0, OPT_DURATION, false, COMPLETE_NONE, "TIME",
    "of a token (default: 12h, at most 30d)", {0}};
static const struct opt opt_user_role = {"role", 0, OPT_CHOICE, false, COMPLETE_NONE, "ROLE",
    "what the user may do (default: viewer)", {"viewer", "operator", "admin"}};
static const struct opt opt_set_role = {"role", 0, OPT_CHOICE, false, COMPLETE_NONE, "ROLE",
    "change what the user may do, and not the password", {"viewer", "operator", "admin"}};

static const struct opt opt_read_only = {"read-only", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "nothing is ever written to the folder, by this node neither", {0}};
static const struct opt opt_sync = {"sync", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "keep the folder in step: what others change is changed here too", {0}};
static const struct opt opt_replicas = {"replicas", 0, OPT_U64, false, COMPLETE_NONE, "N",
    "nodes that hold a copy of each content (default: 3)", {0}};
static const struct opt opt_problems = {"problems", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "list what in the folders is not shared, and why", {0}};
static const struct opt opt_recursive = {"recursive", 'r', OPT_FLAG, false, COMPLETE_NONE, NULL,
    "with everything beneath it", {0}};
static const struct opt opt_long = {"long", 'l', OPT_FLAG, false, COMPLETE_NONE, NULL,
    "with permissions", {0}};
static const struct opt opt_deleted = {"deleted", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "what was deleted too", {0}};
static const struct opt opt_ignore_case = {"ignore-case", 'i', OPT_FLAG, false, COMPLETE_NONE, NULL,
    "A fits a, and a fits A", {0}};
static const struct opt opt_fs_out = {"out", 'o', OPT_TEXT, false, COMPLETE_FILE, "FILE",
    "write to this file or directory (default: the file's own name, here); - is stdout", {0}};
static const struct opt opt_new = {"new", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "exit with 7 if it exists already", {0}};
static const struct opt opt_both = {"both", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "keep: the conflict becomes a file of its own instead", {0}};
static const struct opt opt_remove_pin = {"remove", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "end it", {0}};

static const struct opt opt_foreground = {"foreground", 'f', OPT_FLAG, false, COMPLETE_NONE, NULL,
    "stay, and say on stderr why something is refused", {0}};
static const struct opt opt_mount_read_only = {"read-only", 0, OPT_FLAG, false, COMPLETE_NONE, NULL,
    "nothing can be changed by way of it", {0}};
static const struct opt opt_format = {"format", 0, OPT_CHOICE, false, COMPLETE_NONE, "FORMAT",
    "kind of the picture (default: as --out ends, else png)", {"png", "svg"}};
static const struct opt opt_board_out = {"out", 'o', OPT_TEXT, false, COMPLETE_FILE, "FILE",
    "file to write (default: BOARD.png or BOARD.svg, here); - is stdout", {0}};
static const struct opt opt_scale = {"scale", 0, OPT_TEXT, false, COMPLETE_NONE, "N",
    "pixels of a PNG for each pixel at 100 % on the page (default: 2)", {0}};
static const struct opt opt_at = {"at", 0, OPT_TEXT, false, COMPLETE_NONE, "TIME",
    "as it was then: 2026-11-30T06:10:00Z, '2026-11-30 06:10' of this place, or how long ago: 10m", {0}};

#define OPTIONS(...) (const struct opt *const[]){__VA_ARGS__ __VA_OPT__(,) NULL}

#define PASSES "everything goes to another program, which has options of its own"

/* ---- the table ------------------------------------------------------------------------------------ */

const struct verb verb_table[] = {
    /* -- run a node -- */
    {"dev", NULL, "run nodes", "N", 1, 1, {0}, VERB_JSON,
     "start N nodes on this machine to try things out",
     "Brings up N nodes in the background that listen on loopback and form one cluster: data directories DIR/1 to "
     "DIR/N, names dev-1 to dev-N. Nodes that run already are left alone; one that ends meanwhile is started again. "
     "Waits until all see each other. Settings of node K stand in DIR/K/kith.conf, its log in DIR/K/log.",
     OPTIONS(&opt_dir, &opt_load, &opt_set, &opt_wait, &opt_quiet), NULL,
     {{"kith dev 3", "three nodes"},
      {"kith dev 5 --dir /tmp/k --set member.profile=fast", "five elsewhere that notice failures sooner"}},
     cmd_dev},
    {"dev ls", NULL, "run nodes", "", 0, 0, {0}, VERB_JSON,
     "list the dev nodes and whether they run", NULL,
     OPTIONS(&opt_dir), NULL,
     {{"kith dev ls", "the nodes in the default directory"}, {"kith dev ls --json", "the same for programs"}},
     cmd_dev_ls},
    {"dev stop", NULL, "run nodes", "[K...]", 0, ANY, {0}, VERB_JSON,
     "stop dev nodes, all or the given ones",
     "They leave the cluster gracefully; one that has not ended after 5 s is killed. Their directories stay.",
     OPTIONS(&opt_dir, &opt_quiet), NULL,
     {{"kith dev stop", "stop all"}, {"kith dev stop 2", "stop dev-2 only"}},
     cmd_dev_stop},
    {"dev kill", NULL, "run nodes", "K...", 1, ANY, {0}, VERB_JSON,
     "kill dev nodes at once (kill -9), as a crash would", NULL,
     OPTIONS(&opt_dir, &opt_quiet), NULL,
     {{"kith dev kill 2", "dev-2 crashes"}, {"kith dev kill 2 3 && kith events -f", "see how the others notice"}},
     cmd_dev_kill},
    {"dev start", NULL, "run nodes", "K...", 1, ANY, {0}, VERB_JSON,
     "start dev nodes again", NULL,
     OPTIONS(&opt_dir, &opt_quiet), NULL,
     {{"kith dev start 2", "dev-2 comes back"}, {"kith dev start 2 --dir /tmp/k", "of another directory"}},
     cmd_dev_start},
    {"init", NULL, "run nodes", "", 0, 0, {0}, VERB_JSON,
     "create a cluster and this node's identity",
     "Makes a key pair for the node and an id and a secret for the cluster in the data directory. Nothing runs "
     "afterwards: kith agent starts the node.",
     OPTIONS(&opt_name, &opt_cluster, &opt_data_dir_own, &opt_quiet), NULL,
     {{"kith init --cluster lab", "then: kith agent"},
      {"kith init --name left --data-dir /tmp/left", "a second node's own directory"}},
     cmd_init},
    {"agent", NULL, "run nodes", "", 0, 0, {0}, 0,
     "run a node in the foreground",
     "Needs a cluster in its data directory: from kith init, from kith join, or from --secret-file (then an empty "
     "directory joins by itself, with --seed to find the others). Flags override the environment (KITH_LOG for the "
     "log level), which overrides the data directory's kith.conf, which overrides the usual files: "
     "/etc/kith/kith.conf and /etc/kith/conf.d/*.conf for root, $XDG_CONFIG_HOME/kith/kith.conf and conf.d/*.conf "
     "for others; KITH_CONFIG or --config name another file instead of those.\n\n"
     "SIGTERM and SIGINT leave the cluster gracefully, a second one ends at once. SIGHUP reads the configuration "
     "again (log level, seeds) and reopens the log. SIGUSR1 writes the state to the log.",
     OPTIONS(&opt_name, &opt_data_dir_own, &opt_listen, &opt_seed, &opt_secret_file, &opt_expect, &opt_web, &opt_load, &opt_config,
             &opt_set,
             &opt_verbose),
     "it runs until stopped and prints only its log (--set log.format=json)",
     {{"kith agent", "the node in the default data directory"},
      {"kith agent --data-dir /tmp/a --listen 127.0.0.1:0 -v", "another one, any free port, much log"},
      {"kith agent --seed 10.0.0.5 --secret-file token", "join without kith join (for images and scripts)"}},
     cmd_agent},
    {"invite", NULL, "run nodes", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "print a token with which other machines join",
     "The token holds addresses of this cluster, its id and its secret, so treat it as a password. It does not "
     "expire at this stage. It is alone on stdout.",
     OPTIONS(&opt_quiet), NULL,
     {{"kith invite", "print the token"}, {"kith invite | ssh other kith join -", "and use it at once"}},
     cmd_invite},
    {"join", NULL, "run nodes", "TOKEN|-|@FILE", 1, 1, {COMPLETE_FILE}, VERB_JSON,
     "prepare this machine's node to join a cluster",
     "Puts the cluster of the token into the data directory. Nothing runs afterwards: kith agent starts the node, "
     "which finds the cluster by the addresses in the token. - reads the token from stdin, @FILE from a file, so "
     "that it does not stand in the shell's history.",
     OPTIONS(&opt_name, &opt_data_dir_own, &opt_quiet), NULL,
     {{"kith join kith1-AbC...", "then: kith agent"}, {"kith join @token --data-dir /tmp/b --name b", "elsewhere"}},
     cmd_join},
    {"config show", NULL, "run nodes", "", 0, 0, {0}, VERB_JSON,
     "show every setting a kith agent started now would have", NULL,
     OPTIONS(&opt_origin, &opt_config, &opt_data_dir_own, &opt_set), NULL,
     {{"kith config show", "all keys"}, {"kith config show --origin", "and where each value comes from"}},
     cmd_config_show},
    {"config check", NULL, "run nodes", "[FILE]", 0, 1, {COMPLETE_FILE}, VERB_JSON,
     "check a configuration file",
     "Names file and line of the first mistake and the nearest key. Without FILE the usual files are checked.",
     OPTIONS(&opt_data_dir_own), NULL,
     {{"kith config check", "the usual files"}, {"kith config check new.conf", "a file before it is used"}},
     cmd_config_check},
    {"config reload", NULL, "run nodes", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "let an agent read its configuration again",
     "As SIGHUP does: files, environment and flags, in their order, and the log file is opened anew. What a running agent can take "
     "over holds at once (kith config show --json says \"reloads\"); the other keys that differ are named, and the exit code is 8. A "
     "mistake in a file changes nothing.",
     OPTIONS(&opt_node), NULL,
     {{"kith config reload", "the node asked"}, {"kith config reload --node dev-2 --json", "another one, for programs"}},
     cmd_config_reload},

    /* -- look -- */
    {"nodes", "members", "look", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "list the nodes and their status",
     "The node asked is marked with *. A status is alive, suspect (does not answer, others are asked), failed or left.",
     OPTIONS(&opt_programs, &opt_status, &opt_tag, &opt_no_headers), NULL,
     {{"kith nodes", "everybody"}, {"kith nodes --tag zone=b --json", "those with a tag, for programs"}},
     cmd_nodes},
    {"status", NULL, "look", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "say in a sentence how the cluster is",
     "Exits with 0 if all nodes are alive, 8 if some are not, 9 if this node is alone but knows of others, or if shared "
     "state cannot be used.",
     NULL, NULL,
     {{"kith status", "how is it?"}, {"kith status || kith nodes", "and the list if something is wrong"}},
     cmd_status},
    {"info", NULL, "look", "[NODE]", 0, 1, {COMPLETE_NODE}, VERB_AGENT | VERB_JSON,
     "show everything about a node",
     NULL, OPTIONS(&opt_node, &opt_timeout), NULL,
     {{"kith info", "the node asked"}, {"kith info dev-2 --json", "another one, for programs"}},
     cmd_info},
    {"events", NULL, "look", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "show what happened: joins, failures, functions",
     "With --json one object a line.",
     OPTIONS(&opt_follow, &opt_after), NULL,
     {{"kith events", "so far"}, {"kith events -f --json", "from now on too, one JSON object a line"}},
     cmd_events},
    {"logs", NULL, "look", "[NODE]", 0, 1, {COMPLETE_NODE}, VERB_AGENT | VERB_JSON,
     "show the newest lines of a node's log, and follow it",
     "What the agent wrote to its log, whatever became of that: it keeps the newest 2,000 lines (256 KiB) in memory. With --json "
     "one object a line. kith monitor shows lines of a finer level than the log has.",
     OPTIONS(&opt_lines, &opt_follow, &opt_log_level), NULL,
     {{"kith logs", "the last 100 lines of the node asked"}, {"kith logs dev-2 -n 20 -f --level warn", "what goes wrong on another one"}},
     cmd_logs},
    {"debug bundle", NULL, "look", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "put all that the node knows of itself into one tar file",
     "Configuration with the origin of each value, facts, counters, nodes, view, functions, events, load and the newest lines of "
     "the log, for a report or to look at later. No secret, token or password is in it. The file must not exist yet.",
     OPTIONS(&opt_out), NULL,
     {{"kith debug bundle", "to kith-NODE-TIME.tar"}, {"kith debug bundle --dev 2 --out - | tar tv", "what is in that of dev-2"}},
     cmd_debug_bundle},
    {"monitor", NULL, "look", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "follow the log of a running node",
     "At any level, whatever the node itself writes.",
     OPTIONS(&opt_level, &opt_node), NULL,
     {{"kith monitor -l debug", "everything"}, {"kith monitor --node dev-2", "the log of another node"}},
     cmd_monitor},
    {"loglevel", NULL, "look", "error|warn|info|debug", 1, 1, {COMPLETE_LEVEL}, VERB_AGENT | VERB_JSON,
     "change the log level of a running node", NULL,
     OPTIONS(&opt_node), NULL,
     {{"kith loglevel debug", "log more from now on"}, {"kith loglevel info --node dev-2", "on another node"}},
     cmd_loglevel},
    {"ping", NULL, "look", "NODE", 1, 1, {COMPLETE_NODE}, VERB_AGENT | VERB_JSON,
     "echo a node and show the round trip",
     "Exits with 6 if no echo came back, 8 if only some did.",
     OPTIONS(&opt_count, &opt_timeout, &opt_from), NULL,
     {{"kith ping dev-2", "four echoes"}, {"kith ping dev-2 -c 1 --node dev-3", "one, sent by dev-3"}},
     cmd_ping},
    {"reach", NULL, "look", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "show which nodes can and cannot reach which",
     "Every node echoes every other. Exits with 8 if some cannot.",
     OPTIONS(&opt_timeout), NULL,
     {{"kith reach", "all pairs"}, {"kith reach --json", "the same for programs"}},
     cmd_reach},

    /* -- membership -- */
    {"connect", NULL, "change", "ADDR", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "connect to a node at an address",
     "Its cluster must be ours. What both know of others is merged.",
     OPTIONS(&opt_timeout), NULL,
     {{"kith connect 10.0.0.5:7117", "by address"}, {"kith connect lab-02", "by host name, port 7117"}},
     cmd_connect},
    {"disconnect", NULL, "change", "NODE", 1, 1, {COMPLETE_NODE}, VERB_AGENT | VERB_JSON,
     "close the connections to a node",
     "They are opened again when needed; the node stays a member.",
     NULL, NULL,
     {{"kith disconnect dev-2", "by name"}, {"kith disconnect 3fa9", "by the start of its id"}},
     cmd_disconnect},
    {"leave", NULL, "change", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "leave the cluster and end the agent", NULL,
     NULL, NULL,
     {{"kith leave", "the node asked"}, {"kith leave --dev 2", "dev-2"}},
     cmd_leave},
    {"forget", NULL, "change", "NODE", 1, 1, {COMPLETE_NODE}, VERB_AGENT | VERB_JSON,
     "remove a failed or left node from all lists",
     "Refused with exit code 7 while the node is alive.",
     NULL, NULL,
     {{"kith forget dev-2", "by name"}, {"kith forget 3fa9", "by the start of its id"}},
     cmd_forget},

    {"drain", NULL, "change", "NODE", 1, 1, {COMPLETE_NODE}, VERB_AGENT | VERB_JSON,
     "send a node nothing new, so that it can be taken out",
     "No node or program chooses it for a call or an item of a map any more; what it runs goes on, and a call that names it "
     "is served. All nodes remember it, restarts included, until kith undrain. It can be asked for at any node.",
     NULL, NULL,
     {{"kith drain dev-2", "then, when it is idle: kith leave --dev 2"}, {"kith drain 3fa9 --json", "by the start of its id"}},
     cmd_drain},
    {"undrain", NULL, "change", "NODE", 1, 1, {COMPLETE_NODE}, VERB_AGENT | VERB_JSON,
     "let a drained node be chosen again", NULL,
     NULL, NULL,
     {{"kith undrain dev-2", "it serves as before"}, {"kith undrain dev-2 --json", "the same for programs"}},
     cmd_undrain},
    {"tag set", NULL, "change", "KEY=VALUE...", 1, ANY, {0}, VERB_AGENT | VERB_JSON,
     "give a node tags: what it is, where it stands",
     "Of the node asked, or of --node. A key has 1 to 63 of a-z A-Z 0-9 - _ . and a value up to 255 bytes; a node has at most 32 "
     "tags. All nodes know them; they can be set on both sides of a cut, and the later value stands when they meet.",
     OPTIONS(&opt_node), NULL,
     {{"kith tag set zone=b rack=4", "of the node asked"}, {"kith tag set --node dev-2 gpu=a100", "of another one"}},
     cmd_tag_set},
    {"tag rm", NULL, "change", "KEY...", 1, ANY, {0}, VERB_AGENT | VERB_JSON,
     "take tags away from a node", NULL,
     OPTIONS(&opt_node), NULL,
     {{"kith tag rm rack", "of the node asked"}, {"kith tag rm zone rack --node dev-2", "two of another one"}},
     cmd_tag_rm},
    {"tag ls", NULL, "look", "[NODE]", 0, 1, {COMPLETE_NODE}, VERB_AGENT | VERB_JSON,
     "list the tags of all nodes, or of one", NULL,
     OPTIONS(&opt_no_headers), NULL,
     {{"kith tag ls", "of all"}, {"kith tag ls dev-2 --json", "of one, for programs"}},
     cmd_tag_ls},

    /* -- functions -- */
    {"fn ls", NULL, "functions", "[PREFIX]", 0, 1, {COMPLETE_FUNCTION}, VERB_AGENT | VERB_JSON,
     "list the functions, who offers them, and how often they run",
     "CALLS/S and ERRORS/S are of the last minute, of all nodes together. A node that does not answer within 1.5 s, and a "
     "program that serves by itself, are left out of them.",
     OPTIONS(&opt_hidden, &opt_no_headers), NULL,
     {{"kith fn ls", "all"}, {"kith fn ls sys.", "those whose name starts so"}},
     cmd_fn_ls},
    {"fn info", NULL, "functions", "FN", 1, 1, {COMPLETE_FUNCTION}, VERB_AGENT | VERB_JSON,
     "show a function: signature, nodes, calls, times, last error",
     "Calls and errors a second are of the last minute, P50 and P99 of its latest runs (of inline functions every 16th), on "
     "each node.",
     NULL, NULL,
     {{"kith fn info sys.echo", "who offers it"}, {"kith fn info sys.echo --json", "the same for programs"}},
     cmd_fn_info},
    {"fn serve", NULL, "functions", "NAME -- CMD...", 2, ANY, {COMPLETE_NONE, COMPLETE_COMMAND}, VERB_AGENT | VERB_COMMAND,
     "offer a command as a function while this runs",
     "For every call CMD runs with the argument on stdin; what it writes to stdout is the reply. If it exits with "
     "another code than 0 the call ends with that code and the end of its stderr. At most P run at once, each in its "
     "own process group; when the caller gives up or the deadline passes it gets SIGTERM, and SIGKILL after 2 s. "
     "KITH_FUNCTION and KITH_CALLER are set. When the agent goes away this waits for it to come back. Several "
     "servers of one name share the calls.",
     OPTIONS(&opt_idempotent, &opt_parallel, &opt_description, &opt_fn_version, &opt_quiet),
     "it runs until stopped and prints no data",
     {{"kith fn serve up -- tr a-z A-Z", "then, anywhere: echo hello | kith call up -"},
      {"kith fn serve thumb --idempotent -P 2 -- convert - -resize 128 png:-", "two at once, retried if a node dies"}},
     cmd_fn_serve},
    {"fn watch", NULL, "functions", "FN", 1, 1, {COMPLETE_FUNCTION}, VERB_AGENT | VERB_JSON,
     "show every completed call of a function, anywhere",
     "With --json one object a line. Runs until stopped.",
     NULL, NULL,
     {{"kith fn watch up", "who calls it and how it ends"}, {"kith fn watch up --json", "one JSON object a line"}},
     cmd_fn_watch},
    {"call", NULL, "functions", "FN [ARG|@FILE|-]", 1, 2, {COMPLETE_FUNCTION, COMPLETE_FILE}, VERB_AGENT | VERB_JSON,
     "call a function",
     "The reply's bytes go to stdout as they are. ARG is the argument itself, @FILE the content of a file, - stdin; "
     "without it the argument is empty. Exits with 0 if the function replied, 1 if it reported an error (its text "
     "is on stderr), 4 if nobody offers it, 6 when the time is up, 7 if its queue is full; with --all 8 if only "
     "some nodes replied.",
     OPTIONS(&opt_node, &opt_all, &opt_tag, &opt_any, &opt_timeout, &opt_idempotent_call), NULL,
     {{"kith call sys.uptime --all", "on every node"},
      {"echo hello | kith call up -", "the argument from stdin"},
      {"kith call render @scene --tag gpu", "on one of the nodes with a tag"},
      {"kith call sys.echo hello --node dev-2 --timeout 5s", "on one node, for at most 5 s"}},
     cmd_call},
    {"map", NULL, "functions", "FN", 1, 1, {COMPLETE_FUNCTION}, VERB_AGENT | VERB_JSON,
     "call a function once for each line of a file, on all nodes",
     "Replies are printed in the order of the items, one a line. Items of a node that is lost are run elsewhere, so "
     "the function should be idempotent. An item that fails gives an empty line and a line on stderr; then the exit "
     "code is 8, or 1 if all failed.",
     OPTIONS(&opt_in, &opt_per_node, &opt_attempts, &opt_tag, &opt_progress), NULL,
     {{"kith map up --in words.txt", "every line in capitals"},
      {"kith map render --in frames.txt --tag gpu", "on nodes with a tag only"},
      {"ls *.tif | kith map thumb --progress > list", "items from stdin"}},
     cmd_map},
    {"load", NULL, "functions", "MODULE", 1, 1, {COMPLETE_FILE}, VERB_AGENT | VERB_JSON,
     "load a module into a running agent",
     "A name is looked for in KITH_MODULE_PATH, beside the agent's binary, then where modules are installed.",
     NULL, NULL,
     {{"kith load mandelbrot", "by name"}, {"kith load ./greet.so --dev 2", "a file, into dev-2"}},
     cmd_load},

    /* -- shared state -- */
    {"view", NULL, "shared state", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "show who votes, who keeps state, how many failures are survived", NULL,
     OPTIONS(&opt_node), NULL,
     {{"kith view", "for people"}, {"kith view --json", "voters, failures_tolerated and more, for programs"}},
     cmd_view},
    {"view force", NULL, "shared state", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "go on without a majority that will never come back",
     "Prints what may be lost and asks. The nodes that are not reachable now must never run again with their present "
     "data directories. Exits with 5 if it was not confirmed.",
     OPTIONS(&opt_yes), NULL,
     {{"kith view force", "look, and be asked"}, {"kith view force --yes", "in a script that knows what it does"}},
     cmd_view_force},
    {"var ls", NULL, "shared state", "[PREFIX]", 0, 1, {0}, VERB_AGENT | VERB_JSON,
     "list variables",
     "From this node's own table, which hears of creations and deletions and works without a majority too.",
     NULL, NULL,
     {{"kith var ls", "all"}, {"kith var ls sensor/", "those whose name starts so"}},
     cmd_var_ls},
    {"var get", NULL, "shared state", "NAME", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "print the value of a variable",
     "A value of type bytes is printed as it is, all others with a newline. Exits with 4 if there is no such "
     "variable, 9 if too few nodes are reachable to know.",
     OPTIONS(&opt_index, &opt_elements, &opt_mutex, &opt_fence, &opt_last, &opt_timeout), NULL,
     {{"kith var get x", "the value"}, {"kith var get x --json", "with version, type and writer"},
      {"kith var get samples --index 10 --count 5", "five elements of an array"}},
     cmd_var_get},
    {"var set", NULL, "shared state", "NAME VALUE|@FILE|-", 2, 2, {COMPLETE_NONE, COMPLETE_FILE}, VERB_AGENT | VERB_JSON,
     "write a variable, which is created if need be",
     "The type is fixed when the variable is created. Arrays are written as JSON: [1, 2].",
     OPTIONS(&opt_var_type, &opt_policy, &opt_merge, &opt_index, &opt_elements, &opt_once, &opt_guarded, &opt_mutex,
             &opt_fence, &opt_last, &opt_timeout), NULL,
     {{"kith var set x 1", "a text"}, {"kith var set limit 2.5 --type f64 --policy durable", "survives a power cut"},
      {"kith var set logo @logo.png --type bytes", "the content of a file, up to 1 MiB"}},
     cmd_var_set},
    {"var cas", NULL, "shared state", "NAME [EXPECTED] NEW", 2, 3, {0}, VERB_AGENT | VERB_JSON,
     "write a variable if it has an expected value or version",
     "Exits with 7 if it has another one, which is then printed.",
     OPTIONS(&opt_var_version, &opt_absent, &opt_var_type, &opt_policy, &opt_mutex, &opt_fence, &opt_last, &opt_timeout), NULL,
     {{"kith var cas leader '' dev-1", "if it is empty"}, {"kith var cas x --version 4294967301 7", "by version"},
      {"kith var cas x --absent 7", "if it does not exist"}},
     cmd_var_cas},
    {"var incr", NULL, "shared state", "NAME [DELTA]", 1, 2, {0}, VERB_AGENT | VERB_JSON,
     "add to a number and print what it became",
     "Creates a whole number 0 first if there is no such variable. Exits with 7 if it is no number.",
     OPTIONS(&opt_policy, &opt_mutex, &opt_fence, &opt_last, &opt_timeout), NULL,
     {{"kith var incr n", "add 1"}, {"kith var incr n -5", "subtract 5"},
      {"kith var incr n --mutex l --fence $KITH_FENCE --last", "under a lock, and nothing more to n"}},
     cmd_var_incr},
    {"var rm", NULL, "shared state", "NAME", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "delete a variable", NULL,
     OPTIONS(&opt_mutex, &opt_fence, &opt_last, &opt_timeout), NULL,
     {{"kith var rm x", "gone"}, {"kith var rm x --json", "and what version that is"}},
     cmd_var_rm},
    {"var watch", NULL, "shared state", "NAME|PREFIX*", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "show every change of a variable, or of all with a prefix",
     "What exists is shown first. Who reads slowly gets the latest value and is told how many changes were left out. "
     "With --json one object a line.",
     OPTIONS(&opt_changes), NULL,
     {{"kith var watch 'sensor/*'", "until stopped"}, {"kith var watch x -c 1", "the present value"}},
     cmd_var_watch},
    {"var info", NULL, "shared state", "NAME", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "show what a variable is, who wrote it and who has it",
     "Replicas begin with the home. Sharers are the nodes and programs that cache it as the home knows them; watchers are watches on "
     "agents, of the name or of a prefix of it.",
     OPTIONS(&opt_timeout), NULL,
     {{"kith var info x", "for people"}, {"kith var info x --json", "for programs"}},
     cmd_var_info},
    {"share add", NULL, "files", "NAME FOLDER", 2, 2, {COMPLETE_NONE, COMPLETE_DIR}, VERB_AGENT | VERB_JSON,
     "share a folder under a name",
     "The folders that several nodes share under one name are one tree, which every node sees (kith fs ls NAME). "
     "Others read the files of this folder; only with --sync do their changes come into it. What .kithignore says, "
     "in the syntax of .gitignore, is left out. A folder that is missing or emptied is never taken for deletions.",
     OPTIONS(&opt_read_only, &opt_sync, &opt_replicas), NULL,
     {{"kith share add photos ~/Pictures", "others can read it"},
      {"kith share add notes ~/notes --sync", "kept in step with all who do so"}},
     cmd_share_add},
    {"share rm", NULL, "files", "NAME", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "share a folder no more",
     "The folder stays as it is, and what is in it is not deleted for others: copies that they hold remain.",
     NULL, NULL,
     {{"kith share rm photos", "this node shares it no more"}, {"kith share rm photos --json", "for programs"}},
     cmd_share_rm},
    {"share ls", NULL, "files", "[NAME]", 0, 1, {0}, VERB_AGENT | VERB_JSON,
     "list shares, who shares them, and how this node's folders are",
     NULL, OPTIONS(&opt_problems), NULL,
     {{"kith share ls", "all of them"}, {"kith share ls --problems", "files that are not shared, and why"}},
     cmd_share_ls},
    {"share confirm", NULL, "files", "NAME", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "confirm that what is gone from a folder was deleted",
     "When many files vanish at once, or the folder itself, nothing is deleted before you say so.",
     NULL, NULL,
     {{"kith share confirm photos", "they are deleted for all"}, {"kith share confirm photos --json", "for programs"}},
     cmd_share_confirm},
    {"fs ls", NULL, "files", "[PATH]", 0, 1, {0}, VERB_AGENT | VERB_JSON,
     "list shares, a folder or a file, and who holds it",
     "A path is SHARE/dir/file; SHARE/dir/file@NODE is what the folder of NODE has there. Listing needs no other node.",
     OPTIONS(&opt_recursive, &opt_long, &opt_deleted, &opt_no_headers), NULL,
     {{"kith fs ls", "the shares"}, {"kith fs ls photos/2026 -r", "everything beneath a folder"}},
     cmd_fs_ls},
    {"fs tree", NULL, "files", "[PATH]", 0, 1, {0}, VERB_AGENT | VERB_JSON,
     "show a folder as a tree", NULL,
     NULL, NULL,
     {{"kith fs tree photos", "one share"}, {"kith fs tree --json", "all of them, for programs"}},
     cmd_fs_tree},
    {"fs stat", NULL, "files", "PATH", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "show what is known of a file", NULL,
     NULL, NULL,
     {{"kith fs stat photos/a.jpg", "size, hash, author, holders"}, {"kith fs stat photos/a.jpg@lab-02", "as one node has it"}},
     cmd_fs_stat},
    {"fs find", NULL, "files", "PATTERN [PATH]", 1, 2, {0}, VERB_AGENT | VERB_JSON,
     "find files by name", "PATTERN fits the last part of the path: * ? [a-z].",
     OPTIONS(&opt_ignore_case, &opt_no_headers), NULL,
     {{"kith fs find -i '*.jpg'", "in all shares, IMG.JPG too"}, {"kith fs find '*.txt' notes/2026", "beneath a folder"}},
     cmd_fs_find},
    {"fs get", NULL, "files", "PATH", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "fetch a file",
     "From all nodes that hold it at once, each piece checked. The file appears whole or not at all; what was fetched stays "
     "in the cache of the node. Of a directory with --recursive, what cannot be had is said, the rest goes on, and it exits "
     "with 8; with --json one object a line.",
     OPTIONS(&opt_recursive, &opt_fs_out, &opt_quiet), NULL,
     {{"kith fs get photos/a.jpg", "into this directory"}, {"kith fs get photos/a.jpg -o /tmp/x.jpg", "under another name"},
      {"kith fs get -r photos/2026", "a directory with all beneath it"}},
     cmd_fs_get},
    {"fs cat", NULL, "files", "PATH", 1, 1, {0}, VERB_AGENT,
     "write a file to stdout", NULL,
     NULL, "stdout is the file itself",
     {{"kith fs cat notes/todo.txt", "read it"}, {"kith fs cat data/all.csv | wc -l", "into a command"}},
     cmd_fs_cat},
    {"fs put", NULL, "files", "FILE PATH", 2, 2, {COMPLETE_FILE, COMPLETE_NONE}, VERB_AGENT | VERB_JSON,
     "bring a file into a share",
     "What is there is replaced. It is durable on the node when the command ends. FILE - is stdin; a PATH that ends in / "
     "takes the file's own name. Of a directory with --recursive, all files beneath it: what cannot be put is said, the rest "
     "goes on, and it exits with 8; with --json one object a line. Links are left out.",
     OPTIONS(&opt_recursive, &opt_new, &opt_quiet), NULL,
     {{"kith fs put a.jpg photos/", "as photos/a.jpg"}, {"make report | kith fs put - docs/report.txt", "from a command"},
      {"kith fs put -r trip photos/", "a directory, as photos/trip"}},
     cmd_fs_put},
    {"fs append", NULL, "files", "PATH [TEXT|@FILE|-]", 1, 2, {COMPLETE_NONE, COMPLETE_FILE}, VERB_AGENT | VERB_JSON,
     "add to the end of a file", "At most 16 MiB at a time; without TEXT stdin is read. A file that is not there begins so.",
     OPTIONS(&opt_quiet), NULL,
     {{"date | kith fs append notes/log.txt", "a line"}, {"kith fs append notes/log.txt @more.txt", "a file"}},
     cmd_fs_append},
    {"fs rm", NULL, "files", "PATH", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "delete a file", "For all nodes. What is deleted from a folder of this node stays in its trash for 7 days (kith fs restore).",
     OPTIONS(&opt_recursive, &opt_yes, &opt_quiet), NULL,
     {{"kith fs rm notes/old.txt", "one"}, {"kith fs rm notes/2019 -r", "a folder"}},
     cmd_fs_rm},
    {"fs restore", NULL, "files", "PATH", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "bring back a file that was deleted",
     "From the trash of this node, or with the content that another node still has, whichever is newer.",
     OPTIONS(&opt_quiet), NULL,
     {{"kith fs restore notes/old.txt", "one"}, {"kith fs restore notes/2019", "a folder; kith fs ls notes --deleted lists what is gone"}},
     cmd_fs_restore},
    {"fs watch", NULL, "files", "[PATH]", 0, 1, {0}, VERB_AGENT | VERB_JSON,
     "show changes of files as they happen, whoever makes them", "With --json one object a line.",
     OPTIONS(&opt_changes, &opt_quiet), NULL,
     {{"kith fs watch photos", "until stopped"}, {"kith fs watch notes/todo.txt -c 1", "the next change"}},
     cmd_fs_watch},
    {"fs track", NULL, "files", "PATH", 1, 1, {COMPLETE_FILE, COMPLETE_NONE}, VERB_AGENT | VERB_JSON,
     "show changes of a file or folder of this machine",
     "It need not be shared, and is not published by it: no name is ignored, and every deletion is shown. Of a folder its "
     "own entries; with --recursive what is in its folders, too.",
     OPTIONS(&opt_recursive, &opt_changes, &opt_quiet), NULL,
     {{"kith fs track ~/inbox", "a folder"}, {"kith fs track ~/src -r --json", "with folders below it"}},
     cmd_fs_track},
    {"fs conflicts", NULL, "files", "[PATH] | keep PATH", 0, 2, {0}, VERB_AGENT | VERB_JSON,
     "list files with several versions, or choose one",
     "When a file was changed in two places at once both versions stay: one under its name, the other as "
     "NAME.conflict-TIME-NODE. keep PATH chooses the version that is shown under PATH.",
     OPTIONS(&opt_both, &opt_no_headers), NULL,
     {{"kith fs conflicts", "all of them"}, {"kith fs conflicts keep notes/todo.txt", "the one under the name stays"}},
     cmd_fs_conflicts},
    {"fs pin", NULL, "files", "PATH", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "keep a file or folder on this node",
     "It is fetched now and stays, also when nobody else has it any more. The path is pinned, not what it has now: each\n"
     "new version comes by itself, and so does what is put into a folder. A path that is deleted or renamed is not pinned\n"
     "any more. If something cannot be had now, the pin stands and it comes later.",
     OPTIONS(&opt_remove_pin, &opt_quiet), NULL,
     {{"kith fs pin photos/2026", "at hand without the others"}, {"kith fs pin photos/2026 --remove", "no longer"}},
     cmd_fs_pin},
    {"fs evict", NULL, "files", "[PATH]", 0, 1, {0}, VERB_AGENT | VERB_JSON,
     "drop fetched files from the cache of this node", "Copies that it keeps for others stay.",
     OPTIONS(&opt_quiet), NULL,
     {{"kith fs evict", "all"}, {"kith fs evict photos", "of a share"}},
     cmd_fs_evict},
    {"fs cache", NULL, "files", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "show what the cache of this node holds, and how often it helped", NULL,
     NULL, NULL,
     {{"kith fs cache", "for people"}, {"kith fs cache --json", "for programs"}},
     cmd_fs_cache},
    {"fs verify", NULL, "files", "[PATH]", 0, 1, {0}, VERB_AGENT | VERB_JSON,
     "read again what this node holds, and repair what is damaged",
     "Exits with 8 if something is damaged that could not be fetched from others.",
     OPTIONS(&opt_quiet), NULL,
     {{"kith fs verify", "all"}, {"kith fs verify photos", "one share"}},
     cmd_fs_verify},
    {"fs mount", NULL, "files", "MOUNTPOINT", 1, 1, {COMPLETE_DIR}, VERB_AGENT,
     "show all shares as a directory of this machine",
     "By FUSE, in the background until it is unmounted. What is read is fetched when it is asked for; a file that is "
     "written is put when it is closed, and close() says whether that was done. Nothing can be made beside the shares "
     "(kith share add makes those). Others' changes are seen within a second.",
     OPTIONS(&opt_foreground, &opt_mount_read_only, &opt_quiet), "it mounts, and prints nothing",
     {{"kith fs mount /mnt/kith", "then ls /mnt/kith; umount /mnt/kith ends it"},
      {"kith fs mount /mnt/kith --read-only", "to look only"}},
     cmd_fs_mount},
    {"board ls", NULL, "files", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "list boards of the whiteboard",
     "With what is on them, which is read from their logs. Exits with 8 if not all of these can be read.",
     OPTIONS(&opt_no_headers), NULL,
     {{"kith board ls", "names, titles, when they changed"}, {"kith board ls --json", "for programs"}},
     cmd_board_ls},
    {"board open", NULL, "files", "BOARD", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "print a link that logs in to the page of a board",
     "Once, within 10 minutes, as admin, as the link of kith web does. A board that is not there begins with its first "
     "stroke.",
     OPTIONS(&opt_open, &opt_quiet), NULL,
     {{"kith board open plan", "the link"}, {"kith board open plan --open", "in the browser"}},
     cmd_board_open},
    {"board export", NULL, "files", "BOARD", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "make a picture of a board",
     "The same as the page saves, on any node: what is on the board is read from the catalogue. Exits with 8 if parts of "
     "it cannot be read and are not in the picture; which is said.",
     OPTIONS(&opt_format, &opt_board_out, &opt_scale, &opt_at, &opt_quiet), NULL,
     {{"kith board export plan", "plan.png"}, {"kith board export plan -o plan.svg", "as vectors, images inside"},
      {"kith board export plan --at 1h --scale 1 -o - > before.png", "as it was an hour ago"}},
     cmd_board_export},
    {"web", NULL, "pages", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "print a link that logs in to the pages of this node",
     "Once, within 10 minutes, as admin: who can read the control socket owns the node. While there are no users that "
     "session may make the first one. A token is for scripts (Authorization: Bearer TOKEN); it ends with the agent.",
     OPTIONS(&opt_open, &opt_token, &opt_role, &opt_expires), NULL,
     {{"kith web", "a link to log in"},
      {"kith web --token --role viewer --expires 1h", "for a script that only looks"}},
     cmd_web},
    {"user ls", NULL, "pages", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "list who may log in to the pages", NULL,
     NULL, NULL,
     {{"kith user ls", "for people"}, {"kith user ls --json", "for programs"}},
     cmd_user_ls},
    {"user add", NULL, "pages", "NAME", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "add a user of the pages",
     "The password is asked for, or read from stdin. A viewer sees everything, an operator also changes things, an admin "
     "also users. Every node of the cluster knows the user.",
     OPTIONS(&opt_user_role), NULL,
     {{"kith user add ana --role operator", "asks for a password"}, {"kith user add ben", "a viewer"}},
     cmd_user_add},
    {"user passwd", NULL, "pages", "NAME", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "change the password or the role of a user",
     "The sessions of the user end on every node.",
     OPTIONS(&opt_set_role), NULL,
     {{"kith user passwd ana", "asks for a password"}, {"kith user passwd ana --role admin", "another role"}},
     cmd_user_passwd},
    {"user rm", NULL, "pages", "NAME", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "remove a user of the pages", "The sessions of the user end on every node.",
     NULL, NULL,
     {{"kith user rm ben", "may not log in any more"}, {"kith user rm ben --json", "the same for programs"}},
     cmd_user_rm},
    {"name register", NULL, "shared state", "NAME [NODE|FN]", 1, 2, {COMPLETE_NONE, COMPLETE_NODE},
     VERB_AGENT | VERB_JSON,
     "give a name to a node or function that nobody else has",
     "Without NODE or FN it stands for this node. FN is a function that this node offers (--node: that one); a node of "
     "that name goes first. The name is free again when its node ends. Exits with 7 if another has it.",
     OPTIONS(&opt_node), NULL,
     {{"kith name register printer", "this node is the printer"},
      {"kith name register render mandelbrot.tile", "a function of this node"}},
     cmd_name_register},
    {"name resolve", NULL, "shared state", "NAME", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "say which node or function has a name", "Exits with 4 if nobody who is alive has it.",
     NULL, NULL,
     {{"kith name resolve printer", "the node that has it"}, {"kith name resolve printer --json", "with id and kind"}},
     cmd_name_resolve},
    {"name ls", NULL, "shared state", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "list names of nodes and functions", "Every node is asked for those it keeps.",
     NULL, NULL,
     {{"kith name ls", "for people"}, {"kith name ls --json", "for programs"}},
     cmd_name_ls},
    {"name rm", NULL, "shared state", "NAME", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "take a name from whoever has it", NULL,
     NULL, NULL,
     {{"kith name rm printer", "it is free"}, {"kith name rm printer --json", "for programs"}},
     cmd_name_rm},
    {"lock ls", NULL, "shared state", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "list mutexes that are held or waited for, and cycles of waits",
     "Every node that is alive is asked for the mutexes it uses; with --node one alone.",
     OPTIONS(&opt_lock_node), NULL,
     {{"kith lock ls", "who holds and who waits"}, {"kith lock ls --node dev-2", "what dev-2 uses"}},
     cmd_lock_ls},
    {"lock info", NULL, "shared state", "NAME", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "show who holds a mutex and who waits, everywhere", NULL,
     NULL, NULL,
     {{"kith lock info build", "who has it?"}, {"kith lock info build --json", "for programs"}},
     cmd_lock_info},
    {"lock run", NULL, "shared state", "NAME -- CMD...", 2, ANY, {COMPLETE_NONE, COMPLETE_COMMAND},
     VERB_AGENT | VERB_COMMAND,
     "run a command while holding a mutex",
     "The command gets the fence in KITH_FENCE and the name in KITH_LOCK. It gets SIGTERM, and SIGKILL after 2 s, if "
     "the lease of the lock is about to end or the lock is lost. The lock is released when the command ends, however "
     "that happens. Exits with the command's own code, 128+N if signal N ended it, 126 or 127 if it cannot be run; 6 if "
     "--wait ran out, 7 if --try found it held or --detect a cycle, 9 if too few nodes are reachable.",
     OPTIONS(&opt_lock_wait, &opt_try, &opt_shared, &opt_permits, &opt_detect),
     "it prints what the command prints",
     {{"kith lock run build -- make", "one build at a time in the whole cluster"},
      {"kith lock run build --wait 10s -- sh -c 'echo $KITH_FENCE'", "for at most 10 s of waiting"}},
     cmd_lock_run},
    {"lock acquire", NULL, "shared state", "NAME", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "acquire a mutex for the calling shell and print its fence",
     "It is held until kith lock release, or until the process that keeps it (--pid, else the calling shell) ends.",
     OPTIONS(&opt_lock_wait, &opt_try, &opt_shared, &opt_permits, &opt_detect, &opt_pid), NULL,
     {{"fence=$(kith lock acquire build)", "in a script"}, {"kith lock acquire build --pid 4711", "for another process"}},
     cmd_lock_acquire},
    {"lock release", NULL, "shared state", "NAME", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "release what kith lock acquire acquired", NULL,
     OPTIONS(&opt_pid, &opt_kept_fence), NULL,
     {{"kith lock release build", "of the calling shell"}, {"kith lock release build --fence $fence", "by its fence"}},
     cmd_lock_release},
    {"lock break", NULL, "shared state", "NAME", 1, 1, {0}, VERB_AGENT | VERB_JSON,
     "take a mutex from whoever holds it",
     "For when its holder will not come back. The holder is told; what it guards refuses its old fence.",
     OPTIONS(&opt_timeout), NULL,
     {{"kith lock break build", "it is free afterwards"}, {"kith lock break build --timeout 5s", "or an error within 5 s"}},
     cmd_lock_break},

    /* -- other -- */
    {"bench call", NULL, "other", "[OPTIONS...]", 0, ANY, {0}, VERB_PASS,
     "measure calls on this machine beside plain TCP",
     "Starts what it needs by itself on loopback. kith bench call --rounds N, --json and more are the benchmark's own "
     "options.",
     NULL, PASSES,
     {{"kith bench call", "a few minutes, a table"}, {"kith bench call --json", "figures for programs"}},
     cmd_bench_call},
    {"bench var", NULL, "other", "[OPTIONS...]", 0, ANY, {0}, VERB_PASS,
     "measure variables on this machine beside plain TCP",
     "Starts what it needs by itself on loopback, with directories in /tmp. --rounds N, --step MS, --failover N (rounds "
     "of nodes that die; 0: none) and --json are the benchmark's own options.",
     NULL, PASSES,
     {{"kith bench var", "a few minutes, a table"}, {"kith bench var --rounds 0 --failover 10", "only what a death costs"}},
     cmd_bench_var},
    {"bench lock", NULL, "other", "[OPTIONS...]", 0, ANY, {0}, VERB_PASS,
     "measure mutexes on this machine beside plain TCP",
     "Starts what it needs by itself on loopback, with directories in /tmp. --rounds N, --step MS and --json are the "
     "benchmark's own options.",
     NULL, PASSES,
     {{"kith bench lock", "a minute or two, a table"}, {"kith bench lock --json", "figures for programs"}},
     cmd_bench_lock},
    {"bench file", NULL, "other", "[OPTIONS...]", 0, ANY, {0}, VERB_PASS,
     "measure files between two nodes of this machine",
     "One large file to another node beside hashing, opening and receiving it in series (and scp and rsync, where they "
     "are); many small ones beside find and b2sum. All in /dev/shm, or where --dir says. --quick, --rounds N, --files N, "
     "--mib N and --json are the benchmark's own options.",
     NULL, PASSES,
     {{"kith bench file", "1 GiB and 100,000 files, about two minutes"}, {"kith bench file --quick --json", "64 MiB and 2,000 files"}},
     cmd_bench_file},
    {"bench http", NULL, "other", "[OPTIONS...]", 0, ANY, {0}, VERB_PASS,
     "measure what open pages cost the node that serves them",
     "Starts a dev cluster of --nodes N (50) in /tmp; --clients N (500) WebSockets follow nodes and resources at its "
     "first node for --seconds S (20), are hidden for as long, and then --pages N (10) do all that an open overview "
     "does. --json is for programs.",
     NULL, PASSES,
     {{"kith bench http", "about two minutes, a table"}, {"kith bench http --nodes 3 --clients 50", "less"}},
     cmd_bench_http},
    {"bench history", NULL, "other", "--out FILE [OPTIONS...]", 0, ANY, {0}, VERB_PASS,
     "put load and faults on real nodes, and judge what clients saw",
     "Starts --nodes N agents of its own (3) and --clients C (6), and for --seconds S (30) kills, pauses and cuts nodes "
     "by --seed X: --faults kill,stop,cut (cutting needs root) or none. Every operation becomes a line of JSON in FILE "
     "(docs/protocols/history.md); then a checker judges it: exit 0 if nothing is wrong. With --socket PATH, once for "
     "each agent, the clients go to agents that run, and nothing is done to these.",
     NULL, PASSES,
     {{"kith bench history --out h.jsonl --seconds 60 --faults kill,stop", "agents of its own"},
      {"kith bench history --out h.jsonl --socket /var/lib/kith/kith.sock", "against a cluster that runs"}},
     cmd_bench_history},
    {"mandel", NULL, "other", "render|... [OPTIONS...]", 0, ANY, {0}, VERB_PASS,
     "draw the Mandelbrot set with the whole cluster",
     "Runs kith-mandelbrot; kith-mandelbrot --help lists its options.",
     NULL, PASSES,
     {{"kith mandel render --out m.png", "a picture"},
      {"kith mandel render --out m.png --size 4096x4096 --tint", "a large one, tinted by node"}},
     cmd_mandel},
    {"completion bash", NULL, "other", "", 0, 0, {0}, 0,
     "print the completion script for bash", NULL,
     NULL, "it prints a shell script",
     {{"source <(kith completion bash)", "for this shell"},
      {"kith completion bash > ~/.local/share/bash-completion/completions/kith", "for all later ones"}},
     cmd_completion_bash},
    {"completion names", NULL, "other", "nodes|functions|verbs", 1, 1, {0}, VERB_AGENT | VERB_HIDDEN,
     "print live names for the shell; empty after 200 ms", NULL,
     NULL, "it prints one name a line",
     {{"kith completion names nodes", "names of nodes"}, {"kith completion names functions", "of functions"}},
     cmd_completion_names},
    {"help", NULL, "other", "[VERB...]", 0, 2, {COMPLETE_VERB, COMPLETE_VERB}, 0,
     "show help, of everything or of a verb", NULL,
     OPTIONS(&opt_man), "it is text for people",
     {{"kith help", "all verbs"}, {"kith help fn serve", "one verb"}, {"kith help --man | man -l -", "the manual page"}},
     cmd_help},
    {"version", NULL, "other", "", 0, 0, {0}, VERB_AGENT | VERB_JSON,
     "show the version of the command and of the agent", NULL,
     NULL, NULL,
     {{"kith version", "both"}, {"kith version --json", "for programs"}},
     cmd_version},
};
const size_t verb_table_n = sizeof(verb_table) / sizeof(verb_table[0]);

/*
 * The mutation gate (protocols section 4): rules that have been shown to matter carry a switch that
 * removes them, in builds made for that and nothing else. The simulator must catch each removal.
 *
 * In every shipped build MUTANT() is the constant 0 and the switch is gone.
 */
#ifndef CORE_MUTANT_H
#define CORE_MUTANT_H

/* XX(NAME, name, what is missing without it) */
#define MUTANT_MAP(XX)                                                                             \
    XX(MEMBER_NO_REFUTE, "member-no-refute", "a suspect that lives does not say so")               \
    XX(MEMBER_NO_RETRY, "member-no-retry", "who failed is never looked for again")                 \
    XX(MEMBER_ANY_BOOT, "member-any-boot", "what is said of a former boot counts")                 \
    XX(MEMBER_SICK_JUDGES, "member-sick-judges", "a node that hears little confirms suspicions")   \
    XX(MEMBER_NO_LAG, "member-no-lag", "what ran out while it slept is held against others")       \
    XX(RPC_NO_DEDUPE, "rpc-no-dedupe", "a call that comes twice runs twice")                       \
    XX(RPC_NO_TARGET_BOOT, "rpc-no-target-boot", "a call is not bound to the boot it was for")     \
    XX(RPC_RETRY_UNKNOWN, "rpc-retry-unknown", "an unknown outcome is tried again regardless")     \
    XX(RPC_NO_END_AT_FAILURE, "rpc-no-end-at-failure", "calls to a failed node wait on")           \
    XX(RPC_FORGOTTEN_RUNS, "rpc-forgotten-runs", "a duplicate without a kept result runs again")   \
    XX(AVAIL_BY_COUNT, "avail-by-count",                                                           \
       "of two writes the more often written wins, not the later")                                 \
    XX(AVAIL_FUTURE_CLOCK, "avail-future-clock", "moments from the future are taken")              \
    XX(MAP_ANY_DONE, "map-any-done", "a result counts though its item runs elsewhere")             \
    XX(MAP_NO_ORDER, "map-no-order", "results of an ordered map go out as they come")              \
    XX(MUTEX_NO_FREEZE, "mutex-no-freeze", "who is inside passes on while a generation begins")    \
    XX(MUTEX_ANY_GENERATION, "mutex-any-generation", "tokens of any generation count")             \
    XX(MUTEX_NO_LEASE_WAIT, "mutex-no-lease-wait", "who is excluded is not waited for")            \
    XX(MUTEX_NO_TRANSFER_NO, "mutex-no-transfer-no", "a token that comes twice counts twice")      \
    XX(MUTEX_SOME_REPORTS, "mutex-some-reports", "a token is made before all have reported")       \
    XX(MUTEX_SHRINKING_SET, "mutex-shrinking-set", "who is excluded need not report")              \
    XX(MUTEX_HOME_CREATES, "mutex-home-creates",                                                   \
       "a home makes a token without having made the record")                                      \
    XX(MUTEX_NO_LEASE_CHECK, "mutex-no-lease-check", "who has no lease enters and stays inside")   \
    XX(MUTEX_NO_GRACE, "mutex-no-grace", "a fresh home does not wait for sessions of the former")  \
    XX(MUTEX_NO_REJOIN, "mutex-no-rejoin", "an edge whose session ended takes part as before")     \
    XX(MUTEX_NO_FLOOR, "mutex-no-floor", "a record that comes again begins with generation 1")     \
    XX(LOCAL_NO_CTIME, "local-no-ctime", "a change that hides behind an old mtime is not read")    \
    XX(LOCAL_TORN, "local-torn", "what changed while it was read is published")                    \
    XX(LOCAL_NO_RACY, "local-no-racy", "a change in the tick of the last read is not read")        \
    XX(LOCAL_NO_OWNED, "local-no-owned", "at the start the catalogue is not asked what it has")    \
    XX(LOCAL_ANY_ROOT, "local-any-root", "any directory may be the folder")                        \
    XX(LOCAL_NO_GUARD, "local-no-guard", "however much vanished at once is deleted")               \
    XX(LOCAL_EMPTY_COUNTS, "local-empty-counts", "an empty folder is deletions")                   \
    XX(LOCAL_UNREAD_IS_GONE, "local-unread-is-gone", "what cannot be looked into is gone")         \
    XX(LOCAL_SCAN_IS_PROOF, "local-scan-is-proof", "what a scan did not see is gone")              \
    XX(LOCAL_NO_OVERFLOW, "local-no-overflow", "lost events are not looked for")                   \
    XX(DVAR_LEAVES_CACHING, "dvar-leaves-caching", "who said good-bye reads what it cached")       \
    XX(DVAR_READS_ON, "dvar-reads-on", "a copy of a slot that went elsewhere is read")             \
    XX(DVAR_UNSETTLED_TOLD, "dvar-unsettled-told", "what is being written counts as settled")      \
    XX(DVAR_ANY_WATCH, "dvar-any-watch", "what fewer watches were told counts for all of a node")  \
    XX(DVAR_UNDONE_EXISTS, "dvar-undone-exists", "what is under way counts as told to who begins") \
    XX(DVAR_AHEAD_OF_COPIES, "dvar-ahead-of-copies", "a copy tells what the others may not have")  \
    XX(DVAR_AHEAD_OF_CACHES, "dvar-ahead-of-caches",                                               \
       "a copy tells of it while others read before")                                              \
    XX(DVAR_AHEAD_TWICE, "dvar-ahead-twice", "what a copy told ahead counts as missed, too")       \
    XX(DVAR_UNLEASED_EXISTS, "dvar-unleased-exists", "who has no lease tells what exists")         \
    XX(VIEW_NO_ACTIVATION_RECORD, "view-no-activation", "what is chosen serves at once")           \
    XX(VIEW_SAME_MEMBER_AFTER_RESTART, "view-same-member", "a new boot is the same member")        \
    XX(VIEW_NO_LEASE_WAIT, "view-no-lease-wait", "who is excluded counts as ended at once")        \
    XX(VIEW_MINT_ALONE, "view-mint-alone", "the first view needs nobody's consent")                \
    XX(VIEW_FORGET_PROMISE, "view-forget-promise", "promises and votes are not on disk")           \
    XX(VIEW_ROLLED_BACK_VOTER, "view-rolled-back", "an old copy of a disk votes on")               \
    XX(VIEW_NO_RELEASE, "view-no-release", "a planned move does not wait for the old holder")      \
    XX(VIEW_NO_JOINT_LEASE, "view-no-joint-lease", "only one set of voters counts in a change")    \
    XX(VIEW_NO_SITOUT, "view-no-sitout", "a voter promises at once after its boot")                \
    XX(VIEW_NO_EARLY, "view-no-early", "what a dead leader granted is not waited for")             \
    XX(VIEW_NO_PROMISE_HOLD, "view-no-hold", "an acknowledged lease forbids no promise")           \
    XX(VIEW_LEASE_FROM_REPLY, "view-lease-from-reply", "a lease begins when it is received")       \
    XX(VIEW_LEASE_OF_ANY_MEMBER, "view-any-member", "a lease counts for who the node was before")  \
    XX(VIEW_NO_NESTING, "view-no-nesting", "a keeper's lease may outlast the leader's")            \
    XX(VIEW_ONLY_VOTER_FORGETS_LEASES, "view-forgets-leases", "a restart forgets what it granted") \
    XX(VIEW_ONLY_VOTER_TRUSTS_DISK, "view-only-disk", "the only voter leads before it has heard")  \
    XX(VIEW_SILENT_VOTER, "view-silent-voter", "the only vote may go to a dead voter")             \
    XX(DVAR_NO_ACTIVATION, "dvar-no-activation", "a new home serves before that is decided")       \
    XX(DVAR_ANY_BOOT, "dvar-any-boot", "a copy is a node's, whatever its boot forgot")             \
    XX(DVAR_NO_DEDUPE_IN_VALUE, "dvar-no-dedupe-in-value", "records do not travel with the value") \
    XX(DVAR_NO_POISON, "dvar-no-poison", "an answer that was overtaken is cached")                 \
    XX(DVAR_NO_ANSWERS, "dvar-no-answers", "what had no effect is done again by a late copy")      \
    XX(DVAR_ANY_ANSWER, "dvar-any-answer", "an answer of a home counts that was asked before")     \
    XX(DVAR_NO_NESTED_LEASE, "dvar-no-nested-lease", "sessions outlive the lease of their home")   \
    XX(DVAR_NO_SHARE_WAIT, "dvar-no-share-wait", "what a dead home let others cache is forgotten") \
    XX(DVAR_CHOSEN_FORGETS, "dvar-chosen-forgets",                                                 \
       "a chosen copy that starts again forgets what it has on disk")                              \
    XX(DVAR_ASK_AFTER_LOSS, "dvar-ask-after-loss",                                                 \
       "a write is asked for again after its record is lost")                                      \
    XX(DVAR_OLD_EPOCH_READ, "dvar-old-epoch-read", "a copy of an older epoch is read")             \
    XX(DVAR_SEQ_RESET, "dvar-seq-reset", "a variable that is made again begins at the front")      \
    XX(DVAR_SILENT_LOSS, "dvar-silent-loss", "nobody hears that what was in memory is lost")       \
    XX(DVAR_NO_GUARD, "dvar-no-guard", "fences are not looked at")                                 \
    XX(DVAR_NO_RELEASE, "dvar-no-release", "a slot moves before its old holders let it go")        \
    XX(FS_NO_CLOCK_FLOOR, "fs-no-clock-floor",                                                     \
       "a restored disk counts on from where its image was (hole 32)")                             \
    XX(FS_NO_RENEWAL, "fs-no-renewal", "a restored disk goes on in the index it had")              \
    XX(FS_ORPHANS_DROPPED, "fs-orphans-dropped", "what only a replaced index named is forgotten")  \
    XX(FS_DELETE_WINS, "fs-delete-wins", "a deletion hides a change that it has not seen")         \
    XX(FS_ARRIVAL_WINS, "fs-arrival-wins", "of two versions that one is shown which came first")   \
    XX(FS_ANNOUNCED_EARLY, "fs-announced-early", "a record is announced before it is stored")      \
    XX(FS_UNVERIFIED, "fs-unverified", "a chunk is written before it is verified")                 \
    XX(FS_NO_WINDOW, "fs-no-window", "everything is asked for at once")                            \
    XX(FS_RESUME_TRUSTS, "fs-resume-trusts", "what a former life wrote is not read again")         \
    XX(FS_DROP_LAST, "fs-drop-last", "a copy goes by what is believed of others, unasked")         \
    XX(FS_DROP_MUTUAL, "fs-drop-mutual", "any others count for a drop, not those above")           \
    XX(FS_NO_REPAIR, "fs-no-repair", "what a scrub finds damaged stays as it is")                  \
    XX(FS_STRAYS_GO, "fs-strays-go", "a kept file that no record tells of goes at once")           \
    XX(FS_REMOVE_RACES, "fs-remove-races", "a file of the keep is removed while it is put again")

#ifdef KITH_MUTANTS
enum mutant {
    MUTANT_NONE,
#define XX(name, text, scenario) MUTANT_##name,
    MUTANT_MAP(XX)
#undef XX
        MUTANTS_N
};
extern unsigned mutant_on; /* one at a time; sim/mutant.c */
extern const char *const mutant_names[MUTANTS_N];
#define MUTANT(name) (mutant_on == MUTANT_##name)
#else
#define MUTANT(name) 0
#endif

#endif

/*
 * The mutation gate (protocols section 4): rules that have been shown to matter carry a switch that
 * removes them, in builds made for that and nothing else. The simulator must catch each removal.
 *
 * In every shipped build MUTANT() is the constant 0 and the switch is gone.
 */
#ifndef CORE_MUTANT_H
#define CORE_MUTANT_H

/* XX(NAME, name of the rule without it, the scenario that must catch it) */
#define MUTANT_MAP(XX)                                                                             \
    XX(MEMBER_NO_REFUTE, "member-no-refute", "swarm")                                              \
    XX(RPC_NO_DEDUPE, "rpc-no-dedupe", "rpc-faults")

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

#include "core/mutant.h"

#ifdef KITH_MUTANTS
unsigned mutant_on;

const char *const mutant_names[MUTANTS_N] = {"none",
#define XX(name, text, scenario) text,
                                             MUTANT_MAP(XX)
#undef XX
};
#endif

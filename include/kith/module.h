/*
 * Modules: shared objects that an agent loads (kith agent --load NAME|PATH) to export functions.
 *
 * A module defines one object named kith_module:
 *
 *     KITH_MODULE = {KITH_MODULE_ABI, "greet", "1.0", "says hello", start, stop};
 *
 * It is linked against nothing of kith: the symbols come from the process that loads it.
 */
#ifndef KITH_MODULE_H
#define KITH_MODULE_H

#include <kith/api.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kith_node;

/* Changes whenever a public struct or contract changes so that old modules would misbehave. */
#define KITH_MODULE_ABI 2u

struct kith_module {
    uint32_t abi; /* KITH_MODULE_ABI at the time the module was compiled */
    const char *name;
    const char *version;
    const char *description;
    /*
     * Runs once on the loop thread after the node listens. Exports functions and returns 0; any
     * other value refuses the load (the node goes on without the module).
     */
    int (*start)(struct kith_node *node);
    /* Runs once on the loop thread before the node ends; may be NULL. */
    void (*stop)(struct kith_node *node);
};

#ifdef __cplusplus /* where const alone would keep it inside its file */
#define KITH_MODULE                                                                                \
    extern "C" KITH_API const struct kith_module kith_module;                                      \
    const struct kith_module kith_module
#else
#define KITH_MODULE KITH_API const struct kith_module kith_module
#endif

/*
 * Loads a module: a name (looked for in KITH_MODULE_PATH, beside the running binary, then in
 * libdir/kith) or a path that contains a '/'.
 *
 * Returns 0; KITH_E_NOT_FOUND, KITH_E_MODULE (not a module, other ABI, its start refused),
 * KITH_E_EXISTS (loaded already). kith_errmsg() has the sentence.
 */
KITH_API KITH_MUST_CHECK int kith_module_load(struct kith_node *node, const char *name_or_path);

#ifdef __cplusplus
}
#endif

#endif

/*
 * A configuration that is read again while the node runs: what can change does (the keys with
 * CONFIG_RELOADS), and what cannot is named. The node's own configuration is read by any thread and
 * stays as it is; what holds now is a copy of the loop's (node_config_now()).
 */
#include "node/reload.h"

#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "node/internal.h"

const struct kith_config *node_config_now(const struct kith_node *node)
{
    return node->config_now != NULL ? node->config_now : node->config;
}

/* ---- values ---- */

size_t config_values_n(const struct kith_config *config, const struct config_key *key)
{
    if ((key->flags & CONFIG_REPEATS) != 0)
        return config_repeat_n(config, key->name);
    return kith_config_get(config, key->name) != NULL;
}

const char *config_value(const struct kith_config *config, const struct config_key *key, size_t i)
{
    return (key->flags & CONFIG_REPEATS) != 0 ? config_repeat(config, key->name, i)
                                              : kith_config_get(config, key->name);
}

static bool
same(const struct kith_config *a, const struct kith_config *b, const struct config_key *key)
{
    size_t n = config_values_n(a, key);

    if (n != config_values_n(b, key))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(config_value(a, key, i), config_value(b, key, i)) != 0)
            return false;
    }
    return true;
}

static int
take_over(struct kith_config *to, const struct kith_config *from, const struct config_key *key)
{
    int r = 0;

    config_unset(to, key->name);
    for (size_t i = 0; r == 0 && config_is_set(from, key->name) && i < config_values_n(from, key);
         i++)
        r = config_set_from(to, key->name, config_value(from, key, i),
                            config_origin(from, key->name, i));
    return r;
}

/* ---- what is new ---- */

/* The keys that differ, and what holds from now on: 0 or KITH_E_MEMORY. */
static int compare(struct kith_node *node,
                   const struct kith_config *fresh,
                   struct node_reload_report *report,
                   struct kith_config **next_out)
{
    size_t keys_n;
    const struct config_key *keys = config_keys(&keys_n);
    struct kith_config *next = config_copy(node_config_now(node));
    int r = next != NULL ? 0 : KITH_E_MEMORY;

    for (size_t i = 0; r == 0 && i < keys_n; i++) {
        bool applied = (keys[i].flags & CONFIG_RELOADS) != 0;
        if ((keys[i].flags & CONFIG_INTERNAL) != 0 ||
            same(node_config_now(node), fresh, &keys[i]) || report->n == NODE_RELOAD_KEYS_MAX)
            continue;
        report->changes[report->n++] = (struct node_config_change){&keys[i], applied};
        if (applied)
            r = take_over(next, fresh, &keys[i]);
    }
    if (r != 0)
        kith_config_free(next);
    else
        *next_out = next;
    return r;
}

static void apply(struct kith_node *node)
{
    const struct kith_config *now = node_config_now(node);

    node_logs_reload(node, now);
    node->spin.budget_ns = config_u64(now, "loop.spin_us") * 1000;
    for (size_t i = 0; i < config_repeat_n(now, "net.seed"); i++) {
        struct member_event seed = {.type = MEMBER_SEED, .text = config_repeat(now, "net.seed", i)};
        node_member_step(node, &seed);
    }
    for (struct node_service *service = node->services; service != NULL; service = service->next) {
        if (service->reloaded != NULL)
            service->reloaded(service);
    }
}

static const char *
names_of(const struct node_reload_report *report, bool applied, char *out, size_t out_bytes)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < report->n && len < out_bytes; i++) {
        if (report->changes[i].applied == applied)
            len += (size_t)snprintf(out + len, out_bytes - len, "%s%s", len > 0 ? " " : "",
                                    report->changes[i].key->name);
    }
    return out;
}

static void say(struct kith_node *node, const struct node_reload_report *report)
{
    char names[1024];

    log_info(&node->log.log, "node", "configuration reloaded", "changed",
             names_of(report, true, names, sizeof(names)), NULL);
    if (names_of(report, false, names, sizeof(names))[0] != '\0')
        log_warn(&node->log.log, "node", "these keys change when the agent is started again",
                 "keys", names, NULL);
}

/* ---- reloading ---- */

struct reload {
    const struct kith_config *fresh;
    int code;
    const char *text;
};

static void tell_waits(struct kith_node *node,
                       int code,
                       const char *text,
                       const struct node_reload_report *report)
{
    struct list *link;

    while ((link = list_first(&node->reload_waits)) != NULL) {
        struct node_reload_wait *wait = container_of(link, struct node_reload_wait, link);
        list_remove(link);
        wait->done(wait, code, text, report);
    }
}

static void reload_run(struct kith_node *node, void *arg)
{
    struct reload *reload = arg;
    struct node_reload_report report = {.fresh = reload->fresh};
    struct kith_config *next = NULL;

    reload->code = compare(node, reload->fresh, &report, &next);
    if (reload->code != 0) {
        tell_waits(node, reload->code, kith_strerror(reload->code), NULL);
        return;
    }
    kith_config_free(node->config_now);
    node->config_now = next;
    apply(node);
    say(node, &report);
    tell_waits(node, 0, NULL, &report);
}

int node_reload(struct kith_node *node, const struct kith_config *fresh)
{
    struct reload reload = {.fresh = fresh};
    int r = node_run(node, reload_run, &reload);

    return r != 0 ? r : reload.code;
}

static void failed_run(struct kith_node *node, void *arg)
{
    struct reload *reload = arg;
    tell_waits(node, reload->code, reload->text, NULL);
}

void node_reload_failed(struct kith_node *node, int code, const char *text)
{
    struct reload reload = {.code = code, .text = text};
    (void)node_run(node, failed_run, &reload);
}

void node_reload_stop(struct kith_node *node)
{
    tell_waits(node, KITH_E_STOPPED, "the agent ends", NULL);
}

/* ---- asking for it ---- */

void node_on_reload(struct kith_node *node, void (*ask)(void))
{
    node->ask_reload = ask;
}

int node_ask_reload(struct kith_node *node, struct node_reload_wait *wait)
{
    if (node->ending)
        return node_fail_stopped();
    if (node->ask_reload == NULL)
        return kith_fail_with(KITH_E_UNSUPPORTED,
                              "this node has no configuration files to be read again; only agents "
                              "have");
    list_append(&node->reload_waits, &wait->link);
    node->ask_reload();
    return 0;
}

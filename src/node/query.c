/*
 * Who is here, for programs and for people: lists, names, waiting, connecting, echoing.
 */
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/text.h"
#include "node/internal.h"

const char *kith_status_text(enum kith_status status)
{
    switch (status) {
    case KITH_STATUS_ALIVE:
        return "alive";
    case KITH_STATUS_SUSPECT:
        return "suspect";
    case KITH_STATUS_FAILED:
        return "failed";
    case KITH_STATUS_LEFT:
        return "left";
    }
    return "unknown";
}

/* ---- lists ---- */

struct nodes_copy {
    bool programs;
    struct kith_node_list *list;
    int code;
};

static bool is_self(const struct kith_node *node, const struct member *member)
{
    return kith_node_id_equal(&member->id, &node->identity.id);
}

static const char *put(char **at, const char *text)
{
    size_t bytes = strlen(text) + 1;
    const char *copy = memcpy(*at, text, bytes);
    *at += bytes;
    return copy;
}

void node_info_of(struct kith_node *node, const struct member *member, struct kith_node_info *info)
{
    uint64_t now_ms = node_now_ms();
    bool self = is_self(node, member);
    const struct member_load *load = self ? &node->load : &member->load;

    *info = (struct kith_node_info){
        .id = member->id,
        .boot_no = member->boot_no,
        .name = member->shown_name,
        .address = node_member_address(node, member),
        .version = member->facts.version,
        .status = member->status,
        .role = member->facts.role,
        .status_age_ms = self ? node_uptime_ms(node) : now_ms - member->status_since_ms,
        .cpus = member->facts.cpus,
        .cores = member->facts.cores,
        .memory_bytes = member->facts.memory_bytes,
        .gpu = member->facts.gpu,
        .facts_age_ms = UINT64_MAX,
        .rtt_ms = self ? 0.0 : -1.0,
    };
    if (self || member->load_known) {
        info->facts_age_ms = self ? 0 : now_ms - member->load_at_ms;
        info->memory_available_bytes = load->memory_available_bytes;
        info->load = load->load_milli / 1000.0;
        info->cpu_percent = load->cpu_permille / 10.0;
    }
    if (!self && member->rtt_us != UINT32_MAX)
        info->rtt_ms = member->rtt_us / 1000.0;
}

static int by_name(const void *a, const void *b)
{
    const struct kith_node_info *ia = a, *ib = b;
    int order = strcmp(ia->name, ib->name);
    return order != 0 ? order : memcmp(&ia->id, &ib->id, sizeof(ia->id));
}

/* By name, and this node first. */
static void sort_nodes(const struct kith_node *node, struct kith_node_list *list)
{
    qsort(list->nodes, list->nodes_n, sizeof(*list->nodes), by_name);
    for (size_t i = 0; i < list->nodes_n; i++) {
        struct kith_node_info self = list->nodes[i];
        if (!kith_node_id_equal(&self.id, &node->identity.id))
            continue;
        memmove(&list->nodes[1], &list->nodes[0], i * sizeof(self));
        list->nodes[0] = self;
        break;
    }
}

static void nodes_copy(struct kith_node *node, void *arg)
{
    struct nodes_copy *copy = arg;
    struct kith_node_info info;
    struct member *member;
    size_t n = 0, bytes = 0, at = 0;

    while ((member = member_next(node->members, &at)) != NULL) {
        node_info_of(node, member, &info);
        bytes += strlen(info.name) + strlen(info.address) + strlen(info.version) + 3;
        n++;
    }
    struct kith_node_list *list =
        core_malloc(sizeof(*list) + n * sizeof(struct kith_node_info) + bytes);
    if (list == NULL) {
        copy->code = KITH_E_MEMORY;
        return;
    }
    list->nodes = (struct kith_node_info *)(void *)(list + 1);
    list->nodes_n = 0;
    char *text = (char *)(list->nodes + n);
    for (at = 0; (member = member_next(node->members, &at)) != NULL;) {
        if (member->facts.role == KITH_ROLE_PROGRAM && !copy->programs && !is_self(node, member))
            continue;
        node_info_of(node, member, &info);
        info.name = put(&text, info.name);
        info.address = put(&text, info.address);
        info.version = put(&text, info.version);
        list->nodes[list->nodes_n++] = info;
    }
    sort_nodes(node, list);
    copy->list = list;
}

int kith_nodes(struct kith_node *node, bool programs, struct kith_node_list **list_out)
{
    struct nodes_copy copy = {.programs = programs};
    int r = node_run(node, nodes_copy, &copy);
    if (r == 0)
        r = copy.code;
    *list_out = copy.list;
    return r;
}

void kith_node_list_free(struct kith_node_list *list)
{
    core_free(list);
}

/* ---- names ---- */

const char *node_name_of(struct kith_node *node, const struct kith_node_id *id)
{
    const struct member *member = member_find(node->members, id);
    return member != NULL ? member->shown_name : NULL;
}

static bool id_has_prefix(const struct kith_node_id *id, const char *prefix, size_t len)
{
    char text[KITH_NODE_ID_DIGITS + 1];
    kith_node_id_text(id, text);
    return strncmp(text, prefix, len) == 0;
}

static int by_prefix(struct kith_node *node, const char *which, struct member **member_out)
{
    size_t len = strlen(which), at = 0;
    struct member *member, *found = NULL;

    if (len < 2 || len > KITH_NODE_ID_DIGITS || strspn(which, "0123456789abcdef") != len)
        return KITH_E_NO_NODE;
    while ((member = member_next(node->members, &at)) != NULL) {
        if (!id_has_prefix(&member->id, which, len))
            continue;
        if (found != NULL) {
            (void)kith_fail_with(KITH_E_EXISTS,
                                 "%s is the beginning of several node ids; give more digits (kith "
                                 "nodes --json shows them)",
                                 which);
            return KITH_E_EXISTS;
        }
        found = member;
    }
    *member_out = found;
    return found != NULL ? 0 : KITH_E_NO_NODE;
}

static void no_such_node(struct kith_node *node, const char *which)
{
    const char *names[256];
    struct member *member;
    size_t n = 0, at = 0;

    if (which[0] == '\0') {
        (void)kith_fail_with(KITH_E_NO_NODE,
                             "the name of a node is empty; kith nodes lists the names");
        return;
    }
    while (n < 256 && (member = member_next(node->members, &at)) != NULL)
        names[n++] = member->shown_name;
    const char *nearest = text_nearest(which, names, n);
    if (nearest != NULL)
        (void)kith_fail_with(KITH_E_NO_NODE, "no node is named %.64s here; did you mean %s?", which,
                             nearest);
    else
        (void)kith_fail_with(
            KITH_E_NO_NODE,
            "no node is named %.64s, and no id begins with it; kith nodes lists them", which);
}

/* A node that is here goes before one of the same name that failed or left. */
int node_member_named(struct kith_node *node, const char *which, struct member **member_out)
{
    struct member *member, *gone = NULL;
    size_t at = 0;

    while ((member = member_next(node->members, &at)) != NULL) {
        if (strcmp(member->shown_name, which) != 0)
            continue;
        if (member->status == KITH_STATUS_ALIVE || member->status == KITH_STATUS_SUSPECT) {
            *member_out = member;
            return 0;
        }
        gone = member;
    }
    if (gone != NULL) {
        *member_out = gone;
        return 0;
    }
    int r = by_prefix(node, which, member_out);
    if (r == KITH_E_NO_NODE) {
        no_such_node(node, which);
        return KITH_E_NO_NODE;
    }
    return r;
}

/* ---- waiting for nodes ---- */

/* Times far away must not wrap round to times gone by. */
static uint64_t deadline_of(uint64_t timeout_ms)
{
    uint64_t now_ms = node_now_ms();
    return timeout_ms < UINT64_MAX - 1 - now_ms ? now_ms + timeout_ms : UINT64_MAX - 1;
}

struct wait_for {
    struct node_member_wait wait;
    size_t nodes_n;
    int code;
    sem_t done;
};

static bool enough(struct kith_node *node, struct node_member_wait *wait)
{
    struct wait_for *wait_for = container_of(wait, struct wait_for, wait);
    return member_alive_n(node->members, false) >= wait_for->nodes_n;
}

static void wait_for_done(struct kith_node *node, struct node_member_wait *wait, int code)
{
    struct wait_for *wait_for = container_of(wait, struct wait_for, wait);
    (void)node;
    wait_for->code = code;
    sem_post(&wait_for->done);
}

static void wait_for_begin(struct kith_node *node, void *arg)
{
    struct wait_for *wait_for = arg;
    node_member_wait(node, &wait_for->wait);
}

int kith_node_wait_for(struct kith_node *node, size_t nodes_n, uint64_t timeout_ms)
{
    struct wait_for wait_for = {.wait = {.ready = enough, .done = wait_for_done},
                                .nodes_n = nodes_n};

    if (node_on_loop(node))
        return node_fail_would_deadlock("kith_node_wait_for");
    wait_for.wait.deadline_ms = deadline_of(timeout_ms);
    sem_init(&wait_for.done, 0, 0);
    int r = node_run(node, wait_for_begin, &wait_for);
    if (r == 0)
        node_sem_wait(&wait_for.done);
    sem_destroy(&wait_for.done);
    if (r == 0 && wait_for.code == KITH_E_TIMEOUT)
        return kith_fail_with(KITH_E_TIMEOUT,
                              "fewer than %zu nodes are alive after %llu ms; kith nodes shows who "
                              "is missing",
                              nodes_n, (unsigned long long)timeout_ms);
    if (r == 0 && wait_for.code == KITH_E_STOPPED)
        return node_fail_stopped();
    return r != 0 ? r : wait_for.code;
}

/* ---- connecting ---- */

/* Two things are under way: the dial, and the wait for the member, which has the deadline. */
struct connecting {
    struct node_member_wait wait;
    struct kith_node *node;
    struct kith_node_id id; /* all zero until the dial has said who is there */
    bool dialling;
    bool told; /* done has run */
    void (*done)(void *arg, int code, const struct kith_node_id *id);
    void *arg;
};

static bool is_member(struct kith_node *node, struct node_member_wait *wait)
{
    struct connecting *connecting = container_of(wait, struct connecting, wait);
    const struct member *member =
        connecting->dialling ? NULL : member_find(node->members, &connecting->id);
    return member != NULL && member->status == KITH_STATUS_ALIVE;
}

static void connecting_end(struct connecting *connecting, int code)
{
    connecting->told = true;
    connecting->done(connecting->arg, code, &connecting->id);
    if (!connecting->dialling)
        core_free(connecting);
}

static void is_member_done(struct kith_node *node, struct node_member_wait *wait, int code)
{
    struct connecting *connecting = container_of(wait, struct connecting, wait);

    (void)node;
    kith_errmsg_clear();
    if (code == KITH_E_STOPPED)
        (void)node_fail_stopped();
    else if (code != 0)
        (void)kith_fail_with(code, "%s",
                             connecting->dialling
                                 ? "nobody answered at the address in time; is an agent running "
                                   "there, and does a firewall let its port through?"
                                 : "the address answers, but the node did not become a member in "
                                   "time; its log may say why");
    connecting_end(connecting, code);
}

static void on_dialled(void *user, int status, struct uv_peer *peer)
{
    struct connecting *connecting = user;
    struct kith_node *node = connecting->node;

    connecting->dialling = false;
    if (connecting->told) {
        core_free(connecting);
        return;
    }
    if (status == KITH_E_EXISTS) /* ourselves */
        connecting->id = node->identity.id;
    else if (status == 0)
        connecting->id = *uv_peer_id(peer);
    if (status == 0 || status == KITH_E_EXISTS) {
        node_member_waits(node);
        return;
    }
    list_remove(&connecting->wait.link);
    if (status == KITH_E_UNREACHABLE) {
        char why[400];
        snprintf(why, sizeof(why), "%s", kith_errmsg());
        status = kith_fail_with(KITH_E_UNREACHABLE,
                                "%s; does an agent run there? `kith info` on its machine shows its "
                                "addresses",
                                why);
    }
    connecting_end(connecting, node->ending ? node_fail_stopped() : status);
}

int node_connect(struct kith_node *node,
                 const char *address,
                 uint64_t timeout_ms,
                 void (*done)(void *arg, int code, const struct kith_node_id *id),
                 void *arg)
{
    struct connecting *connecting = core_calloc(1, sizeof(*connecting));
    if (connecting == NULL)
        return KITH_E_MEMORY;
    connecting->node = node;
    connecting->done = done;
    connecting->arg = arg;
    connecting->dialling = true;
    connecting->wait = (struct node_member_wait){
        .ready = is_member, .done = is_member_done, .deadline_ms = deadline_of(timeout_ms)};
    int r = uv_net_dial(node->net, address, on_dialled, connecting);
    if (r != 0)
        core_free(connecting);
    else
        node_member_wait(node, &connecting->wait);
    return r;
}

struct connect_sync {
    const char *address;
    uint64_t timeout_ms;
    int code;
    char text[512];
    sem_t done;
};

static void connect_sync_done(void *arg, int code, const struct kith_node_id *id)
{
    struct connect_sync *sync = arg;
    (void)id;
    sync->code = code;
    snprintf(sync->text, sizeof(sync->text), "%s", code != 0 ? kith_errmsg() : "");
    sem_post(&sync->done);
}

static void connect_sync_begin(struct kith_node *node, void *arg)
{
    struct connect_sync *sync = arg;
    kith_errmsg_clear();
    int r = node_connect(node, sync->address, sync->timeout_ms, connect_sync_done, sync);
    if (r != 0)
        connect_sync_done(sync, r, NULL);
}

int kith_connect(struct kith_node *node, const char *address, uint64_t timeout_ms)
{
    struct connect_sync sync = {.address = address, .timeout_ms = timeout_ms};

    if (node == NULL || address == NULL)
        return kith_fail_with(KITH_E_INVALID, "node and address must not be NULL");
    if (node_on_loop(node))
        return node_fail_would_deadlock("kith_connect");
    sem_init(&sync.done, 0, 0);
    int r = node_run(node, connect_sync_begin, &sync);
    if (r == 0)
        node_sem_wait(&sync.done);
    sem_destroy(&sync.done);
    if (r == 0 && sync.code != 0)
        r = sync.text[0] != '\0' ? kith_fail_with(sync.code, "%s", sync.text) : sync.code;
    return r;
}

struct disconnect_sync {
    const char *which;
    int code;
    char text[256];
};

static void disconnect_find(struct kith_node *node, void *arg)
{
    struct disconnect_sync *sync = arg;
    unsigned open_n;
    sync->code = node_disconnect(node, sync->which, &open_n);
    snprintf(sync->text, sizeof(sync->text), "%s", kith_errmsg());
}

struct disconnect {
    struct node_request request;
    struct kith_node_id id;
};

static void disconnect_run(struct kith_node *node, struct node_request *request)
{
    struct disconnect *disconnect = container_of(request, struct disconnect, request);
    struct uv_peer *peer = uv_net_find(node->net, &disconnect->id);
    core_free(disconnect);
    if (peer != NULL)
        uv_net_disconnect(node->net, peer, "disconnected on request");
}

int node_disconnect(struct kith_node *node, const char *which, unsigned *open_n_out)
{
    struct member *member;
    *open_n_out = 0;
    int r = node_member_named(node, which, &member);
    if (r != 0)
        return r;
    if (is_self(node, member))
        return kith_fail_with(KITH_E_INVALID,
                              "%s is this node itself, to which it has no connection; name another "
                              "one (kith nodes lists them), or take this one out by kith leave",
                              member->shown_name);
    const struct uv_peer *peer = uv_net_find(node->net, &member->id);
    for (int i = 0; peer != NULL && i < NET_CLASSES_N; i++)
        *open_n_out += uv_peer_is_open(peer, (enum net_class)i);
    struct disconnect *disconnect = core_malloc(sizeof(*disconnect));
    if (disconnect == NULL)
        return KITH_E_MEMORY;
    *disconnect = (struct disconnect){.request.run = disconnect_run, .id = member->id};
    node_push(node, &disconnect->request); /* streams close outside of any step */
    return 0;
}

int kith_disconnect(struct kith_node *node, const char *which)
{
    struct disconnect_sync sync = {.which = which};
    if (node == NULL || which == NULL)
        return kith_fail_with(KITH_E_INVALID, "node and name must not be NULL");
    int r = node_run(node, disconnect_find, &sync);
    if (r == 0 && sync.code != 0)
        r = kith_fail_with(sync.code, "%s", sync.text);
    return r;
}

/* ---- forgetting, echoing ---- */

int node_forget(struct kith_node *node, const char *which)
{
    struct member *member;
    int r = node_member_named(node, which, &member);
    if (r != 0)
        return r;
    if (is_self(node, member))
        return kith_fail_with(
            KITH_E_EXISTS,
            "%s is this node itself, which cannot forget itself; kith leave takes "
            "it out of the cluster, and then another node can forget it",
            member->shown_name);
    if (member->status == KITH_STATUS_SUSPECT)
        return kith_fail_with(KITH_E_EXISTS,
                              "%s is suspect: it may be alive and come back; forget it once it is "
                              "seen as failed (kith nodes shows when)",
                              member->shown_name);
    if (member->status == KITH_STATUS_ALIVE)
        return kith_fail_with(KITH_E_EXISTS,
                              "%s is alive and would come back at once; stop its agent first, then "
                              "forget it",
                              member->shown_name);
    struct kith_node_id id = member->id;
    struct member_event event = {.type = MEMBER_FORGET, .id = id};
    r = node_member_step(node, &event);
    if (r == 0)
        node_labels_forget(node, &id);
    return r;
}

struct ping {
    void (*done)(void *arg, int code, uint64_t rtt_ns);
    void *arg;
};

static void on_pong(struct kith_node *node, const struct kith_result *result, void *user)
{
    struct ping *ping = user;
    (void)node;
    if (result->outcome != KITH_OUTCOME_OK)
        kith_fail_with(result->code, "%s", result->text);
    ping->done(ping->arg, result->outcome == KITH_OUTCOME_OK ? 0 : result->code,
               result->elapsed_ns);
    core_free(ping);
}

int node_ping(struct kith_node *node,
              const char *which,
              uint64_t timeout_ms,
              void (*done)(void *arg, int code, uint64_t rtt_ns),
              void *arg)
{
    struct kith_call_options options = {
        .node = which, .timeout_ms = timeout_ms, .no_retry = true, .idempotent = true};
    struct ping *ping = core_malloc(sizeof(*ping));
    if (ping == NULL)
        return KITH_E_MEMORY;
    *ping = (struct ping){.done = done, .arg = arg};
    int r = kith_call_async(node, "sys.echo", "echo", 4, &options, on_pong, ping, NULL);
    if (r != 0)
        core_free(ping);
    return r;
}

void node_set_web(struct kith_node *node, const char *url)
{
    core_free(node->web);
    node->web = core_strndup(url, strlen(url));
}

const char *node_web(const struct kith_node *node)
{
    return node->web != NULL ? node->web : "";
}

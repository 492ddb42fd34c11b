#include "http/members.h"

#include <string.h>

#include "core/alloc.h"
#include "http/server.h"
#include "member/member.h"

#define LOOK_MS      1000  /* after something happened; many nodes join at once */
#define RETRY_MS     15000 /* a node that gave no answer */
#define WAIT_MS      1000  /* a node that has no address yet; twice as long each time, up to */
#define WAIT_MOST_MS 900000
#define ASKING_MAX   8

static void on_timer(uv_timer_t *timer);

/* Of several reasons to look the first counts. UINT64_MAX: there is none. */
static void look_in(struct http_members *members, uint64_t delay_ms)
{
    if (delay_ms == UINT64_MAX || (uv_is_active((uv_handle_t *)&members->timer) &&
                                   uv_timer_get_due_in(&members->timer) <= delay_ms))
        return;
    uv_timer_start(&members->timer, on_timer, delay_ms, 0);
}

static struct http_member *find(const struct http_members *members, const struct kith_node_id *id)
{
    list_for_each (it, &members->all) {
        struct http_member *member = container_of(it, struct http_member, link);
        if (kith_node_id_equal(&member->id, id))
            return member;
    }
    return NULL;
}

struct asked {
    struct http_members *members;
    struct kith_node_id id;
};

/*
 * Who has no address may be about to open it, or never will: it is asked again ever less often.
 * Who began anew while it was asked is asked anew.
 */
static void answered(struct http_member *member, bool good, uint64_t now_ms)
{
    member->asked = false;
    if (member->again) {
        member->again = false;
        member->retry_ms = now_ms;
    } else if (!good) {
        member->retry_ms = now_ms + RETRY_MS;
    } else if (member->url[0] == '\0') {
        member->wait_ms = member->wait_ms == 0                  ? WAIT_MS
                          : member->wait_ms >= WAIT_MOST_MS / 2 ? WAIT_MOST_MS
                                                                : 2 * member->wait_ms;
        member->retry_ms = now_ms + member->wait_ms;
    } else {
        member->retry_ms = UINT64_MAX;
    }
}

/* What were members' before we were here: their pages may be open still. Ours come first. */
static void learn(struct http_members *members, const json_t *former)
{
    const json_t *each;
    size_t i;

    json_array_foreach(former, i, each)
    {
        const char *url = json_string_value(each);
        if (members->former.n < HTTP_ORIGINS_FORMER_MAX && url != NULL && http_origin_fits(url) &&
            !http_members_has(members, url))
            http_origins_keep(&members->former, url);
    }
}

static void on_asked(void *user, json_t *result, int code, const char *text)
{
    struct asked *asked = user;
    struct http_members *members = asked->members;
    struct http_member *member = find(members, &asked->id);
    const char *url = json_string_value(json_object_get(result, "web"));

    (void)code;
    (void)text;
    if (url == NULL || !http_origin_fits(url))
        url = "";
    members->asking_n--;
    if (member != NULL) {
        if (result != NULL && strcasecmp(member->url, url) != 0) {
            http_origins_keep(&members->former, member->url);
            snprintf(member->url, sizeof(member->url), "%s", url);
        }
        answered(member, result != NULL, http_now_ms());
        learn(members, json_object_get(result, "former"));
    }
    core_free(asked);
    /* Not here: we may have been called by look() itself. */
    if (!members->server->stopping)
        look_in(members, 1);
}

static void ask(struct http_members *members, struct http_member *member)
{
    struct asked *asked = core_calloc(1, sizeof(*asked));
    char id[KITH_NODE_ID_DIGITS + 1];

    if (asked == NULL)
        return;
    asked->members = members;
    asked->id = member->id;
    member->asked = true;
    members->asking_n++;
    http_ask(members->server, "web.info",
             json_pack("{s:s}", "node", kith_node_id_text(&member->id, id)), on_asked, asked);
}

static void note(struct http_members *members, const struct kith_node_info *info)
{
    struct http_member *member = find(members, &info->id);

    if (member == NULL) {
        member = core_calloc(1, sizeof(*member));
        if (member == NULL)
            return;
        member->id = info->id;
        list_append(&members->all, &member->link);
        members->n++;
    }
    member->seen = true;
    if (member->boot_no != info->boot_no) {
        member->boot_no = info->boot_no;
        member->retry_ms = member->wait_ms = 0;
        member->again = member->asked;
    }
}

/* Who is new is asked; who is gone is forgotten. A few at a time. */
static void look(struct http_members *members)
{
    struct kith_node *node = members->server->service.node;
    struct kith_node_id self = kith_node_self(node);
    struct kith_node_list *list = NULL;
    uint64_t now_ms = http_now_ms(), next_ms = UINT64_MAX;

    if (kith_nodes(node, false, &list) != 0)
        return;
    for (size_t i = 0; i < list->nodes_n; i++) {
        const struct kith_node_info *info = &list->nodes[i];
        /* Most who are suspect are not dead; if we die now, pages go on at them. */
        if ((info->status == KITH_STATUS_ALIVE || info->status == KITH_STATUS_SUSPECT) &&
            !kith_node_id_equal(&info->id, &self))
            note(members, info);
    }
    kith_node_list_free(list);
    list_for_each_safe (it, &members->all) {
        struct http_member *member = container_of(it, struct http_member, link);
        if (!member->seen && !member->asked) {
            http_origins_keep(&members->former, member->url);
            list_remove(it);
            members->n--;
            core_free(member);
            continue;
        }
        member->seen = false;
        if (member->asked)
            continue;
        if (now_ms < member->retry_ms) {
            next_ms = member->retry_ms < next_ms ? member->retry_ms : next_ms;
        } else if (members->asking_n < ASKING_MAX) { /* else the next answer looks again */
            member->retry_ms = UINT64_MAX;
            ask(members, member);
        }
    }
    look_in(members, next_ms != UINT64_MAX ? next_ms - now_ms : UINT64_MAX);
}

static void on_timer(uv_timer_t *timer)
{
    look(timer->data);
}

static void on_event(struct node_event_watch *watch, const struct node_event_record *record)
{
    struct http_members *members = container_of(watch, struct http_members, watch);

    (void)record;
    if (!uv_is_closing((uv_handle_t *)&members->timer))
        look_in(members, LOOK_MS);
}

void http_members_open(struct http_members *members, struct http_server *server)
{
    members->server = server;
    list_init(&members->all);
    http_origins_init(&members->former);
    uv_timer_init(node_loop(server->service.node), &members->timer);
    members->timer.data = members;
    members->watch.cb = on_event;
    node_event_watch_add(server->service.node, &members->watch);
    look_in(members, LOOK_MS);
}

void http_members_close(struct http_members *members, uv_close_cb closed)
{
    struct list *link;

    node_event_watch_remove(members->server->service.node, &members->watch);
    while ((link = list_first(&members->all)) != NULL) {
        list_remove(link);
        core_free(container_of(link, struct http_member, link));
    }
    http_origins_deinit(&members->former);
    members->timer.data = members->server;
    uv_close((uv_handle_t *)&members->timer, closed);
}

bool http_members_has(const struct http_members *members, const char *origin)
{
    list_for_each (it, &members->all) {
        const struct http_member *member = container_of(it, struct http_member, link);
        if (member->url[0] != '\0' && strcasecmp(member->url, origin) == 0)
            return true;
    }
    return http_origins_has(&members->former, origin);
}

static void put_origin(void *user, const char *text)
{
    json_text(user, text);
}

void http_members_put_former(const struct http_members *members, struct json *json)
{
    json_key(json, "former");
    json_array_begin(json);
    http_origins_each(&members->former, put_origin, json);
    json_array_end(json);
}

const char *http_members_url(const struct http_members *members, const struct kith_node_id *id)
{
    const struct http_member *member = find(members, id);
    return member != NULL ? member->url : "";
}

void http_members_mark(const struct http_members *members, json_t *doc)
{
    struct kith_node_id self = kith_node_self(members->server->service.node), id;
    json_t *each;
    size_t i;

    json_array_foreach(json_object_get(doc, "nodes"), i, each)
    {
        const char *text = json_string_value(json_object_get(each, "id")), *url = "";
        if (text != NULL && kith_node_id_parse(text, &id) == 0)
            url = kith_node_id_equal(&id, &self) ? node_web(members->server->service.node)
                                                 : http_members_url(members, &id);
        (void)json_object_set_new(each, "web", url[0] != '\0' ? json_string(url) : json_null());
    }
}

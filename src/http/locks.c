/*
 * Mutexes of a session: acquired by one request, released by another, and with the session at the
 * latest. Each is a request of the dispatcher that stays open, as one of a client of the socket.
 */
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "http/server.h"

struct http_lock {
    struct list link;             /* http_session.locks, once it is held */
    struct http_session *session; /* NULL: it has ended */
    struct http_server *server;
    struct http_exchange *x; /* waits for the grant; NULL: granted, or gone */
    struct control_request *control;
    char *name;
    char fence[24];
    uint64_t hold_ms;
    uv_timer_t timer; /* of hold_ms */
    bool timed, freed;
};

static void lock_free(struct http_lock *lock)
{
    core_free(lock->name);
    core_free(lock);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct http_lock *lock = handle->data;
    struct http_server *server = lock->server;

    lock_free(lock);
    server->handles_n--;
    http_server_closed_one(server);
}

/* It is nobody's any more; its request has ended. */
static void lock_over(struct http_lock *lock)
{
    if (lock->freed)
        return;
    lock->freed = true;
    if (list_linked(&lock->link)) {
        list_remove(&lock->link);
        if (lock->session != NULL)
            lock->session->locks_n--;
    }
    if (lock->timed)
        uv_close((uv_handle_t *)&lock->timer, on_timer_closed);
    else
        lock_free(lock);
}

static void lock_release(struct http_lock *lock)
{
    struct control_request *control = lock->control;

    lock->control = NULL;
    control->client = NULL;
    control_cancel(control, KITH_E_CANCELED);
    lock_over(lock);
}

static void on_hold_over(uv_timer_t *timer)
{
    lock_release(timer->data);
}

/* Those asked for together may be granted together. */
static const char too_many[] = "this session holds 64 mutexes, its limit; release some";

static void granted(struct http_lock *lock, const struct buf *json)
{
    struct http_exchange *x = lock->x;
    struct http_body body = {.status = 200, .data = json->data, .len = json->len};
    json_t *doc = json_loadb((const char *)json->data, json->len, 0, NULL);
    const char *fence = json_string_value(json_object_get(doc, "fence"));

    snprintf(lock->fence, sizeof(lock->fence), "%s", fence != NULL ? fence : "");
    json_decref(doc);
    lock->session = x->session;
    if (lock->session == NULL) { /* logged out meanwhile */
        lock->x = NULL;
        lock_release(lock);
        http_fail(x, 401, KITH_E_PERMISSION, "the session ended while it waited", NULL);
        return;
    }
    if (lock->session->locks_n >= HTTP_SESSION_LOCKS_MAX) {
        lock->x = NULL;
        lock->session = NULL;
        lock_release(lock);
        http_fail(x, 0, KITH_E_LIMIT, too_many, NULL);
        return;
    }
    list_append(&lock->session->locks, &lock->link);
    lock->session->locks_n++;
    lock->x = NULL;
    if (lock->hold_ms != 0) {
        uv_timer_init(node_loop(lock->server->service.node), &lock->timer);
        lock->timer.data = lock;
        lock->timed = true;
        lock->server->handles_n++;
        uv_timer_start(&lock->timer, on_hold_over, lock->hold_ms, 0);
    }
    http_answer(x, &body, NULL);
}

static void lock_answer(struct control_request *request,
                        bool ok,
                        bool more,
                        const struct buf *json,
                        const void *data,
                        size_t len)
{
    struct http_lock *lock = request->client;

    (void)data;
    (void)len;
    if (lock == NULL)
        return;
    if (ok && more) {
        if (lock->x != NULL)
            granted(lock, json);
        return; /* "ending": the lease may end soon; when it does, an error comes */
    }
    /* It was not granted, or it is lost. */
    request->client = NULL;
    lock->control = NULL;
    struct http_exchange *x = lock->x;
    lock->x = NULL;
    lock_over(lock);
    if (x == NULL)
        return;
    json_t *error = json_loadb((const char *)json->data, json->len, 0, NULL);
    http_fail(x, 0, request->code, json_string_value(json_object_get(error, "message")), NULL);
    json_decref(error);
}

static void lock_ended(struct control_request *request)
{
    request->client = NULL;
    control_request_unref(request);
}

static const struct control_door lock_door = {.answer = lock_answer, .ended = lock_ended};

static void lock_gone(struct http_exchange *x)
{
    struct http_lock *lock = x->state;

    lock->x = NULL;
    lock_release(lock);
    http_exchange_free(x);
}

static json_t *acquire_args(struct http_exchange *x)
{
    uint64_t wait_ms = http_query_u64(x, "timeout_ms", HTTP_LOCK_WAIT_MS);
    char owner[160];

    if (wait_ms > HTTP_LOCK_WAIT_MAX_MS)
        wait_ms = HTTP_LOCK_WAIT_MAX_MS;
    snprintf(owner, sizeof(owner), "http%s%s", x->session->user[0] != '\0' ? " user " : "",
             x->session->user);
    return json_pack("{s:s,s:s,s:b,s:b,s:I,s:I}", "name", x->name, "owner", owner, "try",
                     wait_ms == 0, "shared", http_query_bool(x, "shared", false), "wait_ms",
                     (json_int_t)wait_ms, "permits",
                     (json_int_t)(http_query_u64(x, "permits", 0) & UINT32_MAX));
}

void http_post_lock(struct http_exchange *x)
{
    if (x->session == NULL || x->session->locks_n >= HTTP_SESSION_LOCKS_MAX) {
        http_fail(x, 0, x->session == NULL ? KITH_E_PERMISSION : KITH_E_LIMIT,
                  x->session == NULL ? "the session is over" : too_many, NULL);
        return;
    }
    json_t *args = acquire_args(x);
    struct http_lock *lock = core_calloc(1, sizeof(*lock));
    struct control_request *control = NULL;
    if (lock != NULL && args != NULL && (lock->name = core_strndup(x->name, strlen(x->name))))
        control = control_request_new(x->server->service.node, &lock_door, lock, NULL, args);
    else
        json_decref(args);
    if (control == NULL) {
        if (lock != NULL)
            lock_free(lock);
        http_fail(x, 0, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY), NULL);
        return;
    }
    lock->server = x->server;
    lock->x = x;
    lock->control = control;
    lock->hold_ms = http_query_u64(x, "hold_ms", 0);
    x->state = lock;
    x->gone = lock_gone;
    control_dispatch(control, "lock.acquire");
}

void http_delete_lock(struct http_exchange *x)
{
    char fence[24];
    bool fenced = web_query(x->web, "fence", fence, sizeof(fence));

    if (x->session != NULL) {
        list_for_each (it, &x->session->locks) {
            struct http_lock *lock = container_of(it, struct http_lock, link);
            if (strcmp(lock->name, x->name) != 0 || (fenced && strcmp(lock->fence, fence) != 0))
                continue;
            json_t *doc = json_pack("{s:s,s:s,s:s,s:s}", "schema", "kith.lock.release/1", "name",
                                    x->name, "state", "released", "fence", lock->fence);
            lock_release(lock);
            http_answer_json(x, 200, doc, NULL);
            return;
        }
    }
    http_fail(x, 404, KITH_E_NOT_FOUND,
              "this session does not hold that mutex: it was released, or it is lost", NULL);
}

void http_locks_end(struct http_session *session)
{
    struct list *link;

    while ((link = list_first(&session->locks)) != NULL) {
        struct http_lock *lock = container_of(link, struct http_lock, link);
        lock_release(lock); /* leaves the list */
    }
}

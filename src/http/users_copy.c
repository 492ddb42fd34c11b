/*
 * The copy of the users in the data directory, for the time after a start without the others: one
 * file, replaced as a whole by a thread, so that a power cut leaves the old one or the new one and
 * the loop waits for no disk. One is written at a time; what changes meanwhile is in the next.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "http/server.h"
#include "http/users.h"
#include "node/config.h"

#define COPY_FILE "users"
#define COPY_MS   500 /* at most so often */
/* A name, a hash and their frame, many times over. */
#define COPY_BYTES_MAX (1024 * HTTP_USERS_MAX)

static char *copy_text(const struct http_users *users)
{
    json_t *doc = json_object();

    list_for_each (it, &users->all) {
        const struct http_user *user = container_of(it, struct http_user, link);
        (void)json_object_set_new(doc, user->name, http_user_doc(user));
    }
    char *text = doc != NULL ? json_dumps(doc, JSON_COMPACT) : NULL;
    json_decref(doc);
    return text;
}

/* On a thread, or on the loop when the node ends. */
static void copy_work(uv_work_t *work)
{
    struct http_users_copy *copy = container_of(work, struct http_users_copy, work);

    copy->code = data_dir_write(&copy->dir, COPY_FILE, copy->text, strlen(copy->text));
    if (copy->code != 0)
        snprintf(copy->error, sizeof(copy->error), "%s", kith_errmsg());
}

static void copy_over(struct http_users *users)
{
    struct http_users_copy *copy = &users->copy;

    sodium_memzero(copy->text, strlen(copy->text)); /* hashes */
    free(copy->text);
    copy->text = NULL;
    if (copy->code != 0)
        log_warn(node_log(users->server->service.node), "http", "the copy of the users is not kept",
                 "error", copy->error, NULL);
}

/* False: there is none to be written, or memory is short. */
static bool copy_begin(struct http_users *users)
{
    struct http_users_copy *copy = &users->copy;

    copy->dirty = false;
    copy->written_ms = http_now_ms();
    copy->text = copy->dir.path != NULL ? copy_text(users) : NULL;
    return copy->text != NULL;
}

/* With what changed since, on this thread: nothing else goes on here. */
static void close_now(struct http_users *users)
{
    users->copy.text = users->copy.last;
    if (users->copy.text != NULL) {
        copy_work(&users->copy.work);
        copy_over(users);
    }
    core_free(users->copy.dir.path);
    users->copy.dir.path = NULL;
    users->copy.timer.data = users->server;
    uv_close((uv_handle_t *)&users->copy.timer, users->copy.closed);
}

static void copy_done(uv_work_t *work, int status)
{
    struct http_users *users = container_of(work, struct http_users, copy.work);

    (void)status; /* it is never cancelled */
    copy_over(users);
    if (users->copy.closed != NULL)
        close_now(users);
    else if (users->copy.dirty)
        http_users_copy_soon(users);
}

static void copy_write(struct http_users *users)
{
    if (copy_begin(users))
        uv_queue_work(node_loop(users->server->service.node), &users->copy.work, copy_work,
                      copy_done);
}

static void on_timer(uv_timer_t *timer)
{
    struct http_users *users = timer->data;

    if (users->copy.dirty && users->copy.text == NULL)
        copy_write(users);
}

void http_users_copy_soon(struct http_users *users)
{
    struct http_users_copy *copy = &users->copy;

    copy->dirty = true;
    if (copy->text != NULL)
        return;
    if (http_now_ms() - copy->written_ms >= COPY_MS)
        copy_write(users);
    else if (!uv_is_active((uv_handle_t *)&copy->timer))
        uv_timer_start(&copy->timer, on_timer, COPY_MS, 0);
}

static void copy_read(struct http_users *users)
{
    struct buf text = {0};
    const char *name;
    json_t *user;

    if (data_dir_read(&users->copy.dir, COPY_FILE, COPY_BYTES_MAX, &text) == 0) {
        json_t *doc = json_loadb((const char *)text.data, text.len, 0, NULL);
        json_object_foreach(doc, name, user)
        {
            (void)http_user_note(users, name, user);
        }
        json_decref(doc);
    }
    buf_deinit(&text);
}

void http_users_copy_open(struct http_users *users)
{
    struct kith_node *node = users->server->service.node;
    const char *dir = kith_config_get(node_config(node), "node.data_dir");
    size_t bytes = strlen(dir) + 1;

    users->copy = (struct http_users_copy){.dir = {.path = core_malloc(bytes), .lock_fd = -1}};
    if (users->copy.dir.path != NULL)
        memcpy(users->copy.dir.path, dir, bytes);
    uv_timer_init(node_loop(node), &users->copy.timer);
    users->copy.timer.data = users;
    if (users->copy.dir.path != NULL)
        copy_read(users);
}

void http_users_copy_close(struct http_users *users, uv_close_cb closed)
{
    struct http_users_copy *copy = &users->copy;

    copy->closed = closed;
    /* The users are gone in a moment. */
    copy->last = copy->dirty && copy->dir.path != NULL ? copy_text(users) : NULL;
    copy->dirty = false;
    if (copy->text == NULL)
        close_now(users);
    /* Else behind what is being written. */
}

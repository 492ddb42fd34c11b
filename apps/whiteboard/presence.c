/*
 * Who has a board open: an available variable for each board and node, "board/NAME/NODE", with who
 * is there as they said it last. So both sides of a cut know it of themselves, and who comes knows
 * all at once.
 *
 * What is said while it happens goes to the nodes whose variable is there. A node that has died
 * leaves its own behind: it does not count while it is not alive, and it goes when the node begins
 * anew.
 */
#include <stdlib.h>
#include <string.h>

#include "place.h"

static void variable_of(const struct wb_board *board, char *out, size_t out_bytes)
{
    (void)snprintf(out, out_bytes, WB_VAR "%s/%s", board->name, board->wb->self_text);
}
#define VARIABLE_BYTES (sizeof(WB_VAR) + BOARD_NAME_BYTES_MAX + 1 + KITH_NODE_ID_DIGITS)

/* "board/NAME/NODE" */
static bool
variable_parse(const char *text, char board_out[BOARD_NAME_BYTES_MAX + 1], struct kith_node_id *id)
{
    const char *name = text + strlen(WB_VAR), *slash;

    if (strncmp(text, WB_VAR, strlen(WB_VAR)) != 0 || (slash = strchr(name, '/')) == NULL ||
        !board_name_good(name, (size_t)(slash - name)) || kith_node_id_parse(slash + 1, id) != 0)
        return false;
    memcpy(board_out, name, (size_t)(slash - name));
    board_out[slash - name] = '\0';
    return true;
}

/* ---- saying ---- */

static void on_said(struct kith_node *node, const struct kith_value *value, void *user)
{
    (void)node;
    (void)value; /* the next change says it again */
    wb_let_go(user, NULL);
}

static void put_person(struct wb_bytes *people, const uint8_t *live, size_t len)
{
    uint8_t head[2] = {(uint8_t)len, (uint8_t)(len >> 8)};

    if (len > 0 && wb_put(people, head, sizeof(head)) == 0)
        (void)wb_put(people, live, len);
}

static void write_variable(struct wb *wb, const char *name, const struct wb_bytes *people)
{
    struct kith_var_op op = {.kind = people != NULL ? KITH_VAR_SET : KITH_VAR_DELETE};
    struct kith_var_options options = {.type = KITH_TYPE_BYTES, .policy = KITH_POLICY_AVAILABLE};

    if (people != NULL) {
        op.data = people->data;
        op.len = people->len;
    }
    if (kith_var_do_async(wb->node, name, &op, &options, on_said, wb) == 0)
        wb_hold(wb, NULL);
}

void wb_presence_say(struct wb_board *board, bool now)
{
    struct wb_bytes people = {0};
    char name[VARIABLE_BYTES];
    uint64_t now_ms = wb_now_ms();

    if (!board->people_changed && board->said == (board->pages != NULL))
        return;
    if (!now && now_ms < board->said_ms + WB_PRESENCE_MS)
        return;
    board->people_changed = false;
    board->said_ms = now_ms;
    variable_of(board, name, sizeof(name));
    if (board->pages == NULL) {
        if (board->said)
            write_variable(board->wb, name, NULL);
        board->said = false;
        return;
    }
    for (const struct wb_page *page = board->pages; page != NULL; page = page->next) {
        put_person(&people, page->here, page->here_len);
        put_person(&people, page->cursor, page->cursor_len);
    }
    write_variable(board->wb, name, &people);
    board->said = true;
    wb_drop(&people);
}

/* ---- hearing ---- */

static struct wb_open **open_find(struct wb *wb, const char *board, const struct kith_node_id *node)
{
    struct wb_open **at = &wb->opens;

    while (*at != NULL &&
           !(kith_node_id_equal(&(*at)->node, node) && strcmp((*at)->board, board) == 0))
        at = &(*at)->next;
    return at;
}

static void open_drop(struct wb_open **at)
{
    struct wb_open *open = *at;

    *at = open->next;
    wb_drop(&open->people);
    free(open);
}

static bool is_alive(struct wb *wb, const struct kith_node_id *id)
{
    struct kith_node_list *list;
    bool alive = false;

    if (kith_nodes(wb->node, false, &list) != 0)
        return true;
    for (size_t i = 0; i < list->nodes_n; i++)
        if (kith_node_id_equal(&list->nodes[i].id, id))
            alive = list->nodes[i].status == KITH_STATUS_ALIVE ||
                    list->nodes[i].status == KITH_STATUS_SUSPECT;
    kith_node_list_free(list);
    return alive;
}

/* Runs @fn for each message in @people; true ends it. */
static bool people_each(const struct wb_bytes *people,
                        bool (*fn)(const uint8_t *live, size_t len, void *arg),
                        void *arg)
{
    size_t at = 0;

    while (at + 2 <= people->len) {
        size_t len = people->data[at] | (size_t)people->data[at + 1] << 8;
        at += 2;
        if (len < 1 + WB_FROM_BYTES || len > LIVE_BYTES_MAX || len > people->len - at)
            return false;
        if (fn(people->data + at, len, arg))
            return true;
        at += len;
    }
    return false;
}

struct news {
    struct wb_board *board;
    struct wb_bytes before;
    const uint8_t *live; /* that is looked for */
    size_t len;
};

static bool is_same(const uint8_t *live, size_t len, void *arg)
{
    const struct news *news = arg;

    return len == news->len && memcmp(live, news->live, len) == 0;
}

/* Who came while this node did not know yet that theirs has the board open, or the other way. */
static bool tell_news(const uint8_t *live, size_t len, void *arg)
{
    struct news *news = arg;

    news->live = live;
    news->len = len;
    if (live[0] == HERE && !people_each(&news->before, is_same, news))
        wb_pages_tell(news->board, WB_ANSWER_LIVE, live, len, NULL);
    return false;
}

static void on_variable(struct kith_node *node, const struct kith_var_change *change, void *user)
{
    struct wb *wb = wb_of(node);
    char board[BOARD_NAME_BYTES_MAX + 1];
    struct kith_node_id id;
    struct wb_open **at, *open;

    (void)user;
    if (wb == NULL || !variable_parse(change->name, board, &id))
        return;
    if (kith_node_id_equal(&id, &wb->self)) {
        struct wb_board *own = wb_board_find(wb, board);
        if (!change->gone && (own == NULL || !own->said) && !wb->stopping)
            write_variable(wb, change->name, NULL); /* of a former life */
        return;
    }
    at = open_find(wb, board, &id);
    if (change->gone) {
        if (*at != NULL)
            open_drop(at);
        return;
    }
    open = *at;
    if (open == NULL) {
        open = calloc(1, sizeof(*open));
        if (open == NULL)
            return;
        (void)snprintf(open->board, sizeof(open->board), "%s", board);
        open->node = id;
        open->alive = is_alive(wb, &id);
        open->next = wb->opens;
        wb->opens = open;
    }
    struct news news = {.board = wb_board_find(wb, board), .before = open->people};
    open->people = (struct wb_bytes){0};
    (void)wb_put(&open->people, change->value->data, change->value->len);
    if (news.board != NULL && news.board->pages != NULL)
        (void)people_each(&open->people, tell_news, &news);
    wb_drop(&news.before);
}

/* ---- asking ---- */

void wb_presence_each(struct wb *wb,
                      const char *board,
                      void (*fn)(struct wb *wb, const struct wb_open *open, void *arg),
                      void *arg)
{
    for (const struct wb_open *open = wb->opens; open != NULL; open = open->next)
        if (open->alive && strcmp(open->board, board) == 0)
            fn(wb, open, arg);
}

static bool is_from(const uint8_t *live, size_t len, void *arg)
{
    (void)len;
    return memcmp(live + 1, arg, WB_FROM_BYTES) == 0;
}

const struct wb_open *
wb_presence_of(struct wb *wb, const char *board, const uint8_t from[WB_FROM_BYTES])
{
    uint8_t copy[WB_FROM_BYTES];

    memcpy(copy, from, sizeof(copy));
    for (const struct wb_open *open = wb->opens; open != NULL; open = open->next)
        if (open->alive && strcmp(open->board, board) == 0 &&
            people_each(&open->people, is_from, copy))
            return open;
    return NULL;
}

static void page_hear(struct wb_page *page, const uint8_t *live, size_t len)
{
    uint8_t message[1 + LIVE_BYTES_MAX];

    message[0] = WB_ANSWER_LIVE;
    if (len > 0 && len <= LIVE_BYTES_MAX) {
        memcpy(message + 1, live, len);
        (void)kith_partial(page->ctx, message, 1 + len);
    }
}

static bool greet_one(const uint8_t *live, size_t len, void *arg)
{
    page_hear(arg, live, len);
    return false;
}

void wb_presence_greet(struct wb_page *page)
{
    const struct wb_board *board = page->board;

    for (const struct wb_open *open = board->wb->opens; open != NULL; open = open->next)
        if (open->alive && strcmp(open->board, board->name) == 0)
            (void)people_each(&open->people, greet_one, page);
    for (const struct wb_page *other = board->pages; other != NULL; other = other->next) {
        if (other != page) {
            page_hear(page, other->here, other->here_len);
            page_hear(page, other->cursor, other->cursor_len);
        }
    }
}

/* ---- members ---- */

static void on_event(struct kith_node *node, const struct kith_event *event, void *user)
{
    struct wb *wb = wb_of(node);
    bool lost = event->type == KITH_EVENT_FAILED || event->type == KITH_EVENT_LEFT;

    (void)user;
    if (wb == NULL || wb->stopping || event->type == KITH_EVENT_SUSPECT)
        return;
    wb->partner_ms = 0; /* chosen anew */
    for (struct wb_open *open = wb->opens; open != NULL; open = open->next)
        if (kith_node_id_equal(&open->node, &event->id))
            open->alive = !lost;
    if (lost)
        wb_told_lost(wb, &event->id);
}

int wb_presence_watch(struct wb *wb)
{
    int64_t no = kith_var_watch(wb->node, WB_PATTERN, on_variable, NULL);

    return no > 0 ? kith_on_event(wb->node, on_event, NULL) : (int)no;
}

void wb_presence_close(struct wb *wb)
{
    while (wb->opens != NULL)
        open_drop(&wb->opens);
}

#include "http/part.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/bytes.h"
#include "core/text.h"

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

/* Only ASCII has cases here: other letters are found as they are written. */
static bool has_word(const char *text, const char *word, size_t word_len)
{
    for (; *text != '\0'; text++) {
        size_t i = 0;
        while (i < word_len && text[i] != '\0' && lower(text[i]) == lower(word[i]))
            i++;
        if (i == word_len)
            return true;
    }
    return word_len == 0;
}

bool http_part_fits(const struct http_part *part, const char *name, const char *text)
{
    if (strncmp(name, part->prefix, strlen(part->prefix)) != 0)
        return false;
    for (const char *word = part->search; *word != '\0';) {
        size_t len = strcspn(word, " \t");
        if (!has_word(text, word, len))
            return false;
        word += len + strspn(word + len, " \t");
    }
    return true;
}

bool http_part_down(const struct http_part *part, const char **key_out)
{
    bool down = part->sort[0] == '-';

    *key_out = part->sort + down;
    return down;
}

/* ---- locks ---- */

struct row {
    json_t *lock;
    const char *name;
    const char *text; /* sorted by number, then by this, then by name */
    int64_t number;
    bool down;
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static const json_t *first_holder(const json_t *lock)
{
    const json_t *party;
    size_t i;

    json_array_foreach(json_object_get(lock, "parties"), i, party)
    {
        if (json_is_true(json_object_get(party, "holds")))
            return party;
    }
    return NULL;
}

static int64_t waiters_of(const json_t *lock)
{
    const json_t *party;
    int64_t n = 0;
    size_t i;

    json_array_foreach(json_object_get(lock, "parties"), i, party)
    {
        n += !json_is_true(json_object_get(party, "holds"));
    }
    return n;
}

/* A text of digits, as fences are; -1: none. */
static int64_t whole_of(const json_t *object, const char *key)
{
    uint64_t number;

    return text_parse_u64(text_of(object, key), 0, INT64_MAX, &number) == 0 ? (int64_t)number : -1;
}

static int64_t number_of(const json_t *object, const char *key)
{
    const json_t *number = json_object_get(object, key);
    return json_is_integer(number) ? (int64_t)json_integer_value(number) : -1;
}

static struct row row_of(json_t *lock, const struct http_part *part)
{
    const json_t *holder = first_holder(lock);
    struct row row = {.lock = lock, .name = text_of(lock, "name"), .text = ""};
    const char *key;

    row.down = http_part_down(part, &key);
    if (strcmp(key, "holder") == 0)
        row.text = text_of(holder, "owner");
    else if (strcmp(key, "mode") == 0)
        row.text = text_of(lock, "mode");
    else if (strcmp(key, "since") == 0)
        row.number = number_of(holder, "age_ms");
    else if (strcmp(key, "lease") == 0)
        row.number = number_of(holder, "lease_left_ms");
    else if (strcmp(key, "waiters") == 0)
        row.number = waiters_of(lock);
    else if (strcmp(key, "fence") == 0)
        row.number = whole_of(holder, "fence");
    else
        row.text = row.name;
    return row;
}

static int by_part(const void *a, const void *b)
{
    const struct row *one = a, *two = b;
    int order = (one->number > two->number) - (one->number < two->number);

    if (order == 0)
        order = strcmp(one->text, two->text);
    if (order != 0)
        return one->down ? -order : order;
    return strcmp(one->name, two->name);
}

/* What is said of a lock, to be searched in. False: memory is short. */
static bool put_words(struct buf *out, const json_t *lock)
{
    const json_t *party;
    size_t i;

    out->len = 0;
    (void)buf_append_text(out, text_of(lock, "name"));
    json_array_foreach(json_object_get(lock, "parties"), i, party)
    {
        (void)buf_printf(out, " %s on %s (pid %" PRId64 ")", text_of(party, "owner"),
                         text_of(party, "node_name"), number_of(party, "pid"));
    }
    return buf_append_u8(out, '\0') == 0;
}

void http_part_locks(json_t *doc, const struct http_part *part)
{
    json_t *locks = json_object_get(doc, "locks"), *page = json_array(), *lock;
    struct row *rows = core_calloc(json_array_size(locks) + 1, sizeof(*rows));
    struct buf words = {0};
    size_t i, n = 0;

    json_array_foreach(locks, i, lock)
    {
        if (rows != NULL && put_words(&words, lock) &&
            http_part_fits(part, text_of(lock, "name"), (const char *)words.data))
            rows[n++] = row_of(lock, part);
    }
    buf_deinit(&words);
    if (rows != NULL)
        qsort(rows, n, sizeof(*rows), by_part);
    for (i = part->offset; i < n && i - part->offset < part->limit; i++)
        (void)json_array_append(page, rows[i].lock);
    core_free(rows);
    (void)json_object_set_new(doc, "locks", page);
    (void)json_object_set_new(doc, "total", json_integer((json_int_t)n));
    (void)json_object_set_new(doc, "offset", json_integer((json_int_t)part->offset));
}

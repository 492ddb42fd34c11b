#include "http/delta.h"

#include <stdio.h>
#include <string.h>

/* +1: grows by a millisecond each, -1: shrinks; 0: is no age. */
static int age_of(const char *key)
{
    size_t len = strlen(key);

    if (strcmp(key, "lease_left_ms") == 0)
        return -1;
    if (strcmp(key, "age_ms") == 0 || strcmp(key, "uptime_ms") == 0)
        return 1;
    return len > 7 && strcmp(key + len - 7, "_age_ms") == 0;
}

static bool same(const json_t *old, const json_t *fresh, double elapsed_ms);

static bool age_ran(int way, const json_t *old, const json_t *fresh, double elapsed_ms)
{
    if (!json_is_number(old) || !json_is_number(fresh))
        return json_equal(old, fresh);
    double off = json_number_value(fresh) - (json_number_value(old) + way * elapsed_ms);
    return off < DELTA_AGE_JUMP_MS && off > -DELTA_AGE_JUMP_MS;
}

static bool same_object(const json_t *old, const json_t *fresh, double elapsed_ms)
{
    const char *key;
    json_t *value;

    if (json_object_size(old) != json_object_size(fresh))
        return false;
    json_object_foreach((json_t *)(uintptr_t)fresh, key, value)
    {
        const json_t *was = json_object_get(old, key);
        int way = age_of(key);
        if (was == NULL ||
            !(way != 0 ? age_ran(way, was, value, elapsed_ms) : same(was, value, elapsed_ms)))
            return false;
    }
    return true;
}

/* Documents are as deep as our verbs make them. */
static bool same(const json_t *old, const json_t *fresh, double elapsed_ms)
{
    if (json_is_object(old) && json_is_object(fresh))
        return same_object(old, fresh, elapsed_ms);
    if (!json_is_array(old) || !json_is_array(fresh))
        return json_equal(old, fresh);
    if (json_array_size(old) != json_array_size(fresh))
        return false;
    for (size_t i = 0; i < json_array_size(old); i++) {
        if (!same(json_array_get(old, i), json_array_get(fresh, i), elapsed_ms))
            return false;
    }
    return true;
}

static const char *key_text(const struct delta_shape *shape, const json_t *item, char number[24])
{
    const json_t *key = json_object_get(item, shape->key);

    if (json_is_string(key))
        return json_string_value(key);
    snprintf(number, 24, "%lld", (long long)json_integer_value(key));
    return number;
}

void delta_deinit(struct delta_state *state)
{
    json_decref(state->items);
    json_decref(state->bases);
    json_decref(state->rest);
    *state = (struct delta_state){0};
}

static json_t *rest_of(const struct delta_shape *shape, json_t *doc)
{
    json_t *rest = json_copy(doc);

    if (shape->array != NULL)
        (void)json_object_del(rest, shape->array);
    return rest;
}

static void remember(struct delta_state *state, const char *key, json_t *item, uint64_t now_ms)
{
    (void)json_object_set(state->items, key, item);
    (void)json_object_set_new(state->bases, key, json_integer((json_int_t)now_ms));
}

void delta_reset(struct delta_state *state,
                 const struct delta_shape *shape,
                 json_t *doc,
                 uint64_t now_ms)
{
    json_t *array = shape->array != NULL ? json_object_get(doc, shape->array) : NULL, *item;
    char number[24];
    size_t i;

    delta_deinit(state);
    state->items = json_object();
    state->bases = json_object();
    state->rest = rest_of(shape, doc);
    state->rest_ms = now_ms;
    json_array_foreach(array, i, item)
    {
        remember(state, key_text(shape, item, number), item, now_ms);
    }
}

/* The members of @fresh that are not as in @old; ages with them. NULL: there are none. */
static json_t *changed(const json_t *old, json_t *fresh, double elapsed_ms)
{
    json_t *out = NULL, *value;
    const char *key;

    if (same(old, fresh, elapsed_ms))
        return NULL;
    out = json_object();
    json_object_foreach(fresh, key, value)
    {
        const json_t *was = json_object_get(old, key);
        if (age_of(key) != 0 || was == NULL || !same(was, value, elapsed_ms))
            (void)json_object_set(out, key, value);
    }
    /* What is no longer there at all is null from now on. */
    json_object_foreach((json_t *)(uintptr_t)old, key, value)
    {
        if (json_object_get(fresh, key) == NULL)
            (void)json_object_set_new(out, key, json_null());
    }
    return out;
}

static double elapsed(const struct delta_state *state, const char *key, uint64_t now_ms)
{
    return (double)now_ms - (double)json_integer_value(json_object_get(state->bases, key));
}

static json_t *put_items(struct delta_state *state,
                         const struct delta_shape *shape,
                         const json_t *array,
                         uint64_t now_ms,
                         json_t *seen,
                         size_t *added_n_out)
{
    json_t *set = json_array(), *item;
    char number[24];
    size_t i;

    json_array_foreach(array, i, item)
    {
        const char *key = key_text(shape, item, number);
        json_t *old = json_object_get(state->items, key);
        json_t *change =
            old == NULL ? json_incref(item) : changed(old, item, elapsed(state, key, now_ms));
        (void)json_object_set_new(seen, key, json_true());
        *added_n_out += old == NULL;
        if (change == NULL)
            continue;
        if (old != NULL)
            (void)json_object_set(change, shape->key, json_object_get(item, shape->key));
        (void)json_array_append_new(set, change);
        remember(state, key, item, now_ms);
    }
    return set;
}

static json_t *
take_removed(struct delta_state *state, const struct delta_shape *shape, const json_t *seen)
{
    json_t *removed = json_array(), *item;
    const char *key;
    void *next;

    json_object_foreach_safe(state->items, next, key, item)
    {
        if (json_object_get(seen, key) != NULL)
            continue;
        (void)json_array_append(removed, json_object_get(item, shape->key));
        (void)json_object_del(state->bases, key);
        (void)json_object_del(state->items, key);
    }
    return removed;
}

static json_t *order_of(const struct delta_shape *shape, const json_t *array)
{
    json_t *order = json_array(), *item;
    size_t i;

    json_array_foreach(array, i, item)
    {
        (void)json_array_append(order, json_object_get(item, shape->key));
    }
    return order;
}

/* Takes @value over; empty ones are not said. */
static void say(json_t *delta, const char *name, json_t *value)
{
    bool empty = value == NULL || (json_is_array(value) && json_array_size(value) == 0) ||
                 (json_is_object(value) && json_object_size(value) == 0);

    if (empty)
        json_decref(value);
    else
        (void)json_object_set_new(delta, name, value);
}

static void say_array(struct delta_state *state,
                      const struct delta_shape *shape,
                      json_t *doc,
                      uint64_t now_ms,
                      json_t *delta)
{
    const json_t *array = json_object_get(doc, shape->array);
    json_t *seen = json_object();
    size_t added_n = 0;
    json_t *set = put_items(state, shape, array, now_ms, seen, &added_n);
    json_t *removed = take_removed(state, shape, seen);

    if (shape->ordered && (added_n > 0 || json_array_size(removed) > 0))
        say(delta, "order", order_of(shape, array));
    say(delta, "set", set);
    if (shape->keeps)
        json_decref(removed);
    else
        say(delta, "removed", removed);
    json_decref(seen);
}

json_t *
delta_step(struct delta_state *state, const struct delta_shape *shape, json_t *doc, uint64_t now_ms)
{
    json_t *delta = json_object();
    json_t *rest = rest_of(shape, doc);
    json_t *merge = changed(state->rest, rest, (double)now_ms - (double)state->rest_ms);

    if (merge != NULL) {
        json_decref(state->rest);
        state->rest = rest;
        state->rest_ms = now_ms;
    } else {
        json_decref(rest);
    }
    say(delta, "merge", merge);
    if (shape->array != NULL)
        say_array(state, shape, doc, now_ms, delta);
    if (json_object_size(delta) > 0)
        return delta;
    json_decref(delta);
    return NULL;
}

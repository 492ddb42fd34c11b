/*
 * What a request says: its path among routes, and JSON that becomes states of the stream. The first
 * line is a path (and a range, a list of ETags, a name of a file), the second a state, the third
 * the next one. A route that is found fits, a name is inside the path; what a delta says leads from
 * one state to the other.
 */
#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/delta.h"
#include "http/file_head.h"
#include "http/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_route table[] = {
    {.method = WEB_GET, .pattern = "/v1/vars"},
    {.method = WEB_GET, .pattern = "/v1/vars/*"},
    {.method = WEB_PUT, .pattern = "/v1/vars/*"},
    {.method = WEB_POST, .pattern = "/v1/vars/*/incr"},
    {.method = WEB_POST, .pattern = "/v1/nodes/*/forget"},
    {.method = WEB_GET, .pattern = "/*"},
    {.method = WEB_GET, .pattern = "/"},
};

static void route(const char *path)
{
    size_t path_len = strlen(path);

    for (unsigned method = WEB_GET; method <= WEB_OTHER; method++) {
        const char *name = NULL, *again;
        size_t len = 0, again_len;
        unsigned methods;
        const struct http_route *found =
            http_route_find(table, sizeof(table) / sizeof(table[0]), (enum web_method)method, path,
                            &name, &len, &methods);
        if (found == NULL)
            continue;
        assert(http_route_fits(found->pattern, path, &again, &again_len));
        assert(again == name && again_len == len);
        assert(name == NULL || (name >= path && name + len <= path + path_len && len > 0));
        assert(methods & 1u << found->method);
    }
}

/* A range is within the file; a name stays on its line. */
static void head_of_file(const char *text)
{
    static const uint64_t sizes[] = {0, 1, 10, 1ull << 40};
    char hash[65], line[FILE_DISPOSITION_BYTES];
    bool shown;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint64_t from, end;
        enum file_range range = file_range(text, sizes[i], &from, &end);
        assert(range == FILE_BEHIND || (from <= end && end <= sizes[i]));
        assert(range != FILE_PART || from < end);
    }
    if (file_etag_one(text, hash))
        assert(file_etag_listed(text, hash, false));
    assert(file_type(text, &shown) != NULL);
    file_disposition(text, shown, line);
    assert(strlen(line) < sizeof(line) && strpbrk(line, "\r\n") == NULL);
}

static void step(const char *before, const char *after)
{
    static const struct delta_shape shape = {.array = "a", .key = "k", .ordered = true};
    struct delta_state state = {0};
    json_t *old = json_loads(before, JSON_REJECT_DUPLICATES, NULL);
    json_t *fresh = json_loads(after, JSON_REJECT_DUPLICATES, NULL);

    if (json_is_object(old) && json_is_object(fresh)) {
        delta_reset(&state, &shape, old, 0);
        json_decref(delta_step(&state, &shape, fresh, 500));
        json_t *again = delta_step(&state, &shape, fresh, 500);
        /* Nothing changed since; a key that is there twice is each time another's. */
        bool keyed = json_object_size(state.items) == json_array_size(json_object_get(fresh, "a"));
        assert(again == NULL || !keyed);
        json_decref(again);
        json_decref(delta_step(&state, &shape, old, 1000));
        delta_deinit(&state);
    }
    json_decref(old);
    json_decref(fresh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *rest, *after;

    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    rest = strchr(text, '\n');
    if (rest != NULL)
        *rest++ = '\0';
    route(text);
    head_of_file(text);
    after = rest != NULL ? strchr(rest, '\n') : NULL;
    if (after != NULL) {
        *after++ = '\0';
        step(rest, after);
    }
    free(text);
    return 0;
}

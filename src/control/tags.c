#include "control/tags.h"

#include <sodium.h>
#include <string.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/limits.h"
#include "member/member.h"

int control_tags_of(const struct control_request *request, struct control_tags *out)
{
    json_t *tag, *tags = json_object_get(request->args, "tags");
    size_t i, n = json_array_size(tags);

    *out = (struct control_tags){0};
    if (tags == NULL || (json_is_array(tags) && n == 0))
        return 0;
    if (!json_is_array(tags) || n > NODE_TAGS_MAX)
        return kith_fail_with(KITH_E_INVALID,
                              "\"tags\" is an array of at most %d texts, such as \"zone=b\"",
                              NODE_TAGS_MAX);
    out->all = core_calloc(n, sizeof(*out->all));
    if (out->all == NULL)
        return KITH_E_MEMORY;
    json_array_foreach(tags, i, tag)
    {
        if (!json_is_string(tag)) {
            control_tags_free(out);
            return kith_fail_with(KITH_E_INVALID,
                                  "\"tags\" holds something that is no text: write \"KEY=VALUE\", "
                                  "or \"KEY\" for any value");
        }
        out->all[out->n++] = json_string_value(tag);
    }
    return 0;
}

void control_tags_free(struct control_tags *tags)
{
    core_free(tags->all);
    *tags = (struct control_tags){0};
}

int control_tagged(struct kith_node *node,
                   const char *fn,
                   const struct control_tags *tags,
                   struct kith_node_id **ids_out,
                   size_t *n_out)
{
    struct kith_function_list *list = NULL;
    int r = kith_functions(node, &list);

    *ids_out = NULL;
    *n_out = 0;
    if (r != 0)
        return r;
    struct kith_node_id *ids = core_calloc(list->functions_n + 1, sizeof(*ids));
    for (size_t i = 0; ids != NULL && i < list->functions_n; i++) {
        const struct kith_function_info *one = &list->functions[i];
        if (strcmp(one->name, fn) == 0 && node_has_tags(node, &one->node, tags->all, tags->n))
            ids[(*n_out)++] = one->node;
    }
    kith_function_list_free(list);
    if (ids == NULL)
        return KITH_E_MEMORY;
    if (*n_out > 0) {
        *ids_out = ids;
        return 0;
    }
    core_free(ids);
    return kith_fail_with(KITH_E_NO_FUNCTION,
                          "no node with these tags has the function %s; kith fn info %s shows who "
                          "has it, kith tag ls the tags",
                          fn, fn);
}

/* Calls that wait there, then how busy its processors are. */
static uint64_t load_of(struct kith_node *node, const struct kith_node_id *id)
{
    const struct member *member = member_find(node_members(node), id);

    return member == NULL ? UINT64_MAX
                          : (uint64_t)member->load.queue_len * 1000 + member->load.cpu_permille;
}

const struct kith_node_id *
control_tagged_pick(struct kith_node *node, const struct kith_node_id *ids, size_t n)
{
    const struct kith_node_id *two[2] = {NULL, NULL};
    uint32_t seen = 0;

    for (size_t i = 0; i < n; i++) { /* a reservoir of two */
        if (node_is_drained(node, &ids[i]))
            continue;
        uint32_t at = seen < 2 ? seen : randombytes_uniform(seen + 1);
        if (at < 2)
            two[at] = &ids[i];
        seen++;
    }
    if (two[1] == NULL)
        return two[0];
    uint64_t first = load_of(node, two[0]), second = load_of(node, two[1]);
    bool take_first = first == second ? randombytes_uniform(2) == 0 : first < second;
    return take_first ? two[0] : two[1];
}

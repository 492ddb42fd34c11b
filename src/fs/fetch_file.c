/*
 * Contents under way: which chunks are there, which are wanted by whom, when a fetch is over.
 */
#include <assert.h>

#include "core/error.h"
#include "fs/fetch_internal.h"

/* ---- finding ---- */

static uint64_t key_of(const struct content *content)
{
    return get_le64(content->root);
}

struct fetch_file *fetch_file_find(const struct fetch_core *core, const struct content *content)
{
    struct fetch_file *file = map64_find(&core->files, key_of(content));
    while (file != NULL && !content_equal(&file->content, content))
        file = file->next_same;
    return file;
}

static struct fetch_file *file_new(struct fetch_core *core, const struct content *content)
{
    uint32_t chunks = content_chunks(content);
    size_t bits = 3 * (size_t)((chunks + 7) / 8);
    struct fetch_file *file = core_calloc(1, sizeof(*file) + bits);
    if (file == NULL)
        return NULL;
    file->content = *content;
    file->chunks = chunks;
    file->bits = (uint8_t *)(file + 1);
    file->list_state = chunks == 1 ? FETCH_LIST_HERE : FETCH_LIST_NEEDED;
    file->lost_ms = UINT64_MAX;
    list_init(&file->wants);
    list_init(&file->asks);
    file->next_same = map64_find(&core->files, key_of(content));
    if (map64_set(&core->files, key_of(content), file) != 0) {
        core_free(file);
        return NULL;
    }
    core->stats.contents++;
    return file;
}

static void unlink_same(struct fetch_core *core, struct fetch_file *file)
{
    struct fetch_file *first = map64_find(&core->files, key_of(&file->content));
    if (first == file) {
        if (file->next_same == NULL)
            (void)map64_remove(&core->files, key_of(&file->content));
        else /* replaces, which cannot fail */
            (void)map64_set(&core->files, key_of(&file->content), file->next_same);
        return;
    }
    while (first->next_same != file)
        first = first->next_same;
    first->next_same = file->next_same;
}

void fetch_file_free(struct fetch_core *core, struct fetch_file *file)
{
    struct list *it;
    while ((it = list_first(&file->asks)) != NULL)
        fetch_job_drop(core, container_of(it, struct fetch_job, of_file), true);
    while (file->sources_n > 0)
        fetch_source_free(core, file, file->sources_n - 1);
    while ((it = list_first(&file->wants)) != NULL) {
        struct fetch_want *want = container_of(it, struct fetch_want, of_file);
        list_remove(it);
        (void)map64_remove(&core->wants, want->id);
        core_free(want);
    }
    list_remove(&file->watch);
    list_remove(&file->waiting);
    list_remove(&file->doubting);
    unlink_same(core, file);
    core->stats.contents--;
    fetch_list_drop(core, file);
    core_free(file);
}

/* ---- fetches ---- */

static struct fetch_action *done(struct fetch_core *core, uint64_t id, int code, const char *text)
{
    struct fetch_action *action = fetch_act(core, FETCH_DONE);
    if (action == NULL)
        return NULL;
    action->id = id;
    action->code = code;
    if (text != NULL && text[0] != '\0') {
        struct kith_bytes kept = fetch_keep(core, text, strlen(text) + 1);
        action = &core->actions[core->actions_n - 1];
        action->text = kept.data != NULL ? kept.data : "";
    }
    return action;
}

/* Who sent damaged data: whether these or those who are away are to blame is for people to know. */
static void
tell_damaged(struct fetch_core *core, const struct fetch_file *file, struct fetch_action *action)
{
    struct kith_node_id ids[FS_FETCH_HOLDERS_MAX];
    size_t n = 0;
    for (uint32_t i = 0; i < file->sources_n; i++) {
        if (file->sources[i]->damaged)
            ids[n++] = file->sources[i]->peer->id;
    }
    if (n == 0)
        return;
    action->damaged = fetch_keep(core, ids, n * sizeof(ids[0])).data;
    action->damaged_n = action->damaged != NULL ? n : 0;
}

static void want_end(struct fetch_core *core, struct fetch_want *want, int code, const char *text)
{
    struct fetch_action *action = done(core, want->id, code, text);
    if (code != 0 && action != NULL)
        tell_damaged(core, want->file, action);
    want->file->wants_n--;
    list_remove(&want->of_file);
    (void)map64_remove(&core->wants, want->id);
    core_free(want);
}

static void end_of(struct fetch_core *core, const struct content *content, int code)
{
    struct fetch_action *action = fetch_act(core, FETCH_END);
    if (action == NULL)
        return;
    action->content = *content;
    action->code = code;
}

/* Nobody wants it any more. */
static void file_end(struct fetch_core *core, struct fetch_file *file, int code)
{
    if (file->have_n == file->chunks)
        code = 0;
    else
        fetch_file_persist(core, file);
    end_of(core, &file->content, code);
    fetch_file_free(core, file);
}

void fetch_file_fail(struct fetch_core *core, struct fetch_file *file, int code, const char *text)
{
    struct list *it;
    while ((it = list_first(&file->wants)) != NULL)
        want_end(core, container_of(it, struct fetch_want, of_file), code, text);
    file_end(core, file, code);
}

void fetch_cancel(struct fetch_core *core, uint64_t id)
{
    struct fetch_want *want = map64_find(&core->wants, id);
    if (want == NULL)
        return;
    struct fetch_file *file = want->file;
    list_remove(&want->of_file);
    (void)map64_remove(&core->wants, id);
    core_free(want);
    if (--file->wants_n == 0)
        file_end(core, file, KITH_E_CANCELED);
}

static void want_add(struct fetch_file *file, struct fetch_want *want)
{
    struct list *before = &file->wants;
    list_for_each (it, &file->wants) {
        if (container_of(it, struct fetch_want, of_file)->priority > want->priority) {
            before = it;
            break;
        }
    }
    list_insert_before(before, &want->of_file);
    file->wants_n++;
    for (uint32_t i = want->first; i < want->end; i++) {
        bool have = fetch_bit(file, FETCH_HAVE, i);
        uint32_t bytes = content_chunk_bytes(&file->content, i);
        want->bytes += bytes;
        want->bytes_done += have ? bytes : 0;
        want->left += !have;
    }
}

static void
tell_zeros(struct fetch_core *core, const struct fetch_file *file, uint32_t first, uint32_t end)
{
    struct fetch_action *action = fetch_act(core, FETCH_ZEROS);
    if (action == NULL)
        return;
    action->content = file->content;
    action->chunk = first;
    action->chunks_n = end - first;
    action->offset = content_chunk_offset(&file->content, first);
}

/* @chunk is to come once more, for all who want it. */
static void forget(struct fetch_file *file, uint32_t chunk)
{
    uint32_t bytes = content_chunk_bytes(&file->content, chunk);
    fetch_bit_set(file, FETCH_HAVE, chunk, false);
    file->have_n--;
    list_for_each (it, &file->wants) {
        struct fetch_want *want = container_of(it, struct fetch_want, of_file);
        if (chunk < want->first || chunk >= want->end)
            continue;
        want->bytes_done -= bytes;
        want->left++;
        want->at = chunk < want->at ? chunk : want->at;
    }
}

/* What @want wants is not there any more, whoever wrote it before; zeros need nobody. */
static void begin_anew(struct fetch_core *core, struct fetch_want *want)
{
    struct fetch_file *file = want->file;
    for (uint32_t i = want->first; i < want->end; i++) {
        if (!fetch_bit(file, FETCH_HAVE, i))
            continue;
        if (file->list_state == FETCH_LIST_HERE &&
            content_chunk_is_zero(&file->content, i,
                                  content_chunk_hash(&file->content, file->list, i)))
            tell_zeros(core, file, i, i + 1);
        else
            forget(file, i);
    }
}

static struct fetch_want *want_new(struct fetch_core *core,
                                   struct fetch_file *file,
                                   const struct fetch_event *event,
                                   uint64_t len)
{
    struct fetch_want *want = core_calloc(1, sizeof(*want));
    if (want == NULL || map64_set(&core->wants, event->id, want) != 0) {
        core_free(want);
        return NULL;
    }
    want->file = file;
    want->id = event->id;
    want->priority =
        event->priority < FETCH_PRIORITIES ? event->priority : (uint8_t)FETCH_BACKGROUND;
    want->flags = event->flags;
    want->started_ms = core->now_ms;
    want->first = (uint32_t)(event->offset >> file->content.chunk_log2);
    want->end = (uint32_t)((event->offset + len - 1) >> file->content.chunk_log2) + 1;
    want->at = want->first;
    want_add(file, want);
    return want;
}

/* What a former life left. */
static void
take_up(struct fetch_core *core, struct fetch_file *file, const struct fetch_event *event)
{
    if (event->bitmap.len == fetch_bitmap_bytes(file))
        memcpy(fetch_bitmap_of(file, FETCH_DOUBT), event->bitmap.data, event->bitmap.len);
    if (file->chunks % 8 != 0) /* bits behind the last chunk say nothing */
        fetch_bitmap_of(file, FETCH_DOUBT)[fetch_bitmap_bytes(file) - 1] &=
            (uint8_t)((1u << (file->chunks % 8)) - 1);
    if (event->list.len == 0 || event->list.len != content_list_bytes(&file->content) ||
        !fetch_list_room(core, file))
        return;
    file->list_known = true;
    file->list_state = FETCH_LIST_ASKED;
    if (!fetch_verify_here(core, file, FETCH_LIST, event->list.data))
        file->list_state = FETCH_LIST_NEEDED;
}

/* 0 if there is something to fetch; 1 if it is all of nothing; negative. */
static int start_check(const struct fetch_event *event, uint64_t *len_out)
{
    const struct content *content = &event->content;
    if (!content_valid(content))
        return kith_fail_with(KITH_E_INVALID, "no such content can be: its size or kind of hash "
                                              "is unknown to this version");
    if (event->offset > content->size || event->len > content->size - event->offset)
        return kith_fail_with(KITH_E_INVALID,
                              "the range %llu+%llu lies beyond the %llu bytes of the file",
                              (unsigned long long)event->offset, (unsigned long long)event->len,
                              (unsigned long long)content->size);
    *len_out = event->len != 0 ? event->len : content->size - event->offset;
    if (*len_out > 0)
        return 0;
    uint8_t root[CONTENT_ROOT_BYTES];
    content_hash_bytes(content->hash, NULL, 0, root);
    if (content->size == 0 && memcmp(root, content->root, sizeof(root)) != 0)
        return kith_fail_with(KITH_E_CORRUPT, "an empty file cannot have this hash; the entry is "
                                              "damaged");
    return 1;
}

void fetch_start(struct fetch_core *core, const struct fetch_event *event)
{
    uint64_t len;
    assert(map64_find(&core->wants, event->id) == NULL);
    int r = start_check(event, &len);
    struct fetch_file *file = r == 0 ? fetch_file_find(core, &event->content) : NULL;
    bool fresh = file == NULL;
    if (r == 0 && fresh && core->stats.contents >= core->config.contents_max)
        r = kith_fail_with(KITH_E_LIMIT, "%llu contents are being fetched; wait for some of them",
                           (unsigned long long)core->stats.contents);
    if (r == 0 && !fresh && file->wants_n >= FS_FETCH_WANTS_MAX)
        r = kith_fail_with(KITH_E_LIMIT, "%u fetches of this file are under way; wait for some",
                           file->wants_n);
    if (r != 0) {
        (void)done(core, event->id, r > 0 ? 0 : r, r > 0 ? "" : kith_errmsg());
        if (r > 0 && event->content.size == 0)
            end_of(core, &event->content, 0);
        return;
    }
    if (fresh)
        file = file_new(core, &event->content);
    struct fetch_want *want = file != NULL ? want_new(core, file, event, len) : NULL;
    if (want == NULL) {
        (void)done(core, event->id, KITH_E_MEMORY, "");
        if (fresh && file != NULL)
            fetch_file_free(core, file);
        return;
    }
    if ((event->flags & FETCH_ANEW) != 0)
        begin_anew(core, want);
    if (want->left == 0) { /* parts of it are there already */
        want_end(core, want, 0, "");
        return;
    }
    if (fresh)
        take_up(core, file, event);
    if (fresh || event->holders_n > 0)
        fetch_holders(core, file, event->holders, event->holders_n);
    if (fresh && file->list_state == FETCH_LIST_HERE)
        fetch_file_listed(core, file);
    else
        fetch_file_ready(core, file);
    /* It may be over already: found out with the next look, at once if nobody has it. */
    file = fetch_file_find(core, &event->content);
    if (file != NULL)
        fetch_file_judge(core, file);
}

/* ---- chunks ---- */

bool fetch_file_next(struct fetch_file *file, uint32_t *chunk_out, uint8_t *priority_out)
{
    const uint8_t *have = fetch_bitmap_of(file, FETCH_HAVE);
    const uint8_t *busy = fetch_bitmap_of(file, FETCH_BUSY);
    const uint8_t *doubt = fetch_bitmap_of(file, FETCH_DOUBT);
    if (file->list_state != FETCH_LIST_HERE) {
        *chunk_out = FETCH_LIST;
        *priority_out = container_of(file->wants.next, struct fetch_want, of_file)->priority;
        return file->list_state == FETCH_LIST_NEEDED;
    }
    list_for_each (it, &file->wants) {
        struct fetch_want *want = container_of(it, struct fetch_want, of_file);
        while (want->at < want->end) {
            uint8_t taken = have[want->at / 8] | busy[want->at / 8] | doubt[want->at / 8];
            if ((taken >> (want->at % 8) & 1) == 0) {
                *chunk_out = want->at;
                *priority_out = want->priority;
                return true;
            }
            want->at += taken == 0xff ? 8 - want->at % 8 : 1;
        }
        want->at = want->end;
    }
    return false;
}

void fetch_file_ready(struct fetch_core *core, struct fetch_file *file)
{
    uint32_t chunk;
    uint8_t priority;
    if (!fetch_file_next(file, &chunk, &priority))
        return;
    for (uint32_t i = 0; i < file->sources_n; i++) {
        struct fetch_source *source = file->sources[i];
        if (!list_linked(&source->ready))
            fetch_source_ready(core, source, priority);
        fetch_peer_dirty(core, source->peer);
    }
}

void fetch_file_reopen(struct fetch_core *core, struct fetch_file *file, uint32_t chunk)
{
    if (chunk == FETCH_LIST) {
        fetch_list_drop(core, file);
        file->list_state = FETCH_LIST_NEEDED;
    } else {
        fetch_bit_set(file, FETCH_BUSY, chunk, false);
        fetch_bit_set(file, FETCH_DOUBT, chunk, false);
        list_for_each (it, &file->wants) {
            struct fetch_want *want = container_of(it, struct fetch_want, of_file);
            if (chunk >= want->first && chunk < want->at)
                want->at = chunk;
        }
    }
    fetch_file_ready(core, file);
}

/* @chunk is there. Fetches that have all they want end. */
static void have(struct fetch_core *core, struct fetch_file *file, uint32_t chunk)
{
    uint32_t bytes = content_chunk_bytes(&file->content, chunk);
    assert(!fetch_bit(file, FETCH_HAVE, chunk));
    fetch_bit_set(file, FETCH_HAVE, chunk, true);
    fetch_bit_set(file, FETCH_BUSY, chunk, false);
    fetch_bit_set(file, FETCH_DOUBT, chunk, false);
    file->have_n++;
    list_for_each_safe (it, &file->wants) {
        struct fetch_want *want = container_of(it, struct fetch_want, of_file);
        if (chunk < want->first || chunk >= want->end)
            continue;
        want->bytes_done += bytes;
        if (--want->left == 0)
            want_end(core, want, 0, "");
    }
}

void fetch_file_written(struct fetch_core *core, struct fetch_file *file, uint32_t chunk)
{
    have(core, file, chunk);
    if (file->wants_n == 0) {
        file_end(core, file, KITH_E_CANCELED);
        return;
    }
    if (file->chunks == 1)
        return;
    if (file->unsaved++ == 0)
        file->saved_ms = core->now_ms;
    if (file->unsaved >= FETCH_PERSIST_CHUNKS)
        fetch_file_persist(core, file);
    else if (!list_linked(&file->watch))
        list_append(&core->watch, &file->watch);
}

static void zeros(struct fetch_core *core, struct fetch_file *file)
{
    for (uint32_t i = 0; i < file->chunks;) {
        uint32_t end = i;
        while (end < file->chunks && !fetch_bit(file, FETCH_HAVE, end) &&
               content_chunk_is_zero(&file->content, end,
                                     content_chunk_hash(&file->content, file->list, end)))
            end++;
        if (end == i) {
            i++;
            continue;
        }
        tell_zeros(core, file, i, end);
        for (; i < end; i++) {
            core->stats.bytes_zero += content_chunk_bytes(&file->content, i);
            have(core, file, i);
        }
    }
}

void fetch_file_listed(struct fetch_core *core, struct fetch_file *file)
{
    file->list_state = FETCH_LIST_HERE;
    if (file->list != NULL && !file->list_known) {
        struct fetch_action *action = fetch_act(core, FETCH_PERSIST);
        if (action != NULL) {
            action->content = file->content;
            struct kith_bytes kept =
                fetch_keep(core, file->list, content_list_bytes(&file->content));
            core->actions[core->actions_n - 1].list = kept;
        }
        file->list_known = true;
    }
    zeros(core, file);
    if (file->wants_n == 0) {
        file_end(core, file, KITH_E_CANCELED);
        return;
    }
    if (MUTANT(FS_RESUME_TRUSTS)) {
        for (uint32_t i = 0; i < file->chunks && file->wants_n > 0; i++)
            if (fetch_bit(file, FETCH_DOUBT, i))
                have(core, file, i);
        if (file->wants_n == 0) {
            file_end(core, file, KITH_E_CANCELED);
            return;
        }
    }
    file->doubt_at = 0;
    if (!list_linked(&file->doubting))
        list_append(&core->doubting, &file->doubting);
    fetch_file_ready(core, file);
}

void fetch_file_recheck(struct fetch_core *core, struct fetch_file *file)
{
    uint8_t priority = container_of(file->wants.next, struct fetch_want, of_file)->priority;
    for (; file->doubt_at < file->chunks; file->doubt_at++) {
        uint32_t chunk = file->doubt_at;
        if (!fetch_bit(file, FETCH_DOUBT, chunk))
            continue;
        if (file->rechecks_n == FETCH_RECHECKS ||
            !fetch_room(core, content_chunk_bytes(&file->content, chunk), priority))
            return;
        fetch_bit_set(file, FETCH_DOUBT, chunk, false);
        if (fetch_verify_here(core, file, chunk, NULL)) {
            fetch_bit_set(file, FETCH_BUSY, chunk, true);
            file->rechecks_n++;
        } else { /* memory is short: fetching it is always right */
            fetch_file_reopen(core, file, chunk);
        }
    }
    list_remove(&file->doubting);
}

void fetch_file_persist(struct fetch_core *core, struct fetch_file *file)
{
    if (file->unsaved == 0)
        return;
    struct kith_bytes kept =
        fetch_keep(core, fetch_bitmap_of(file, FETCH_HAVE), fetch_bitmap_bytes(file));
    struct fetch_action *action = kept.data != NULL ? fetch_act(core, FETCH_PERSIST) : NULL;
    if (action == NULL)
        return;
    action->content = file->content;
    action->bitmap = kept;
    file->unsaved = 0;
}

/* ---- lists ---- */

static bool list_fits(const struct fetch_core *core, uint32_t bytes)
{
    return core->stats.lists_bytes == 0 ||
           core->stats.lists_bytes + bytes <= core->config.lists_bytes_max;
}

/* Those whose holders are away let theirs go; it comes again. */
static void list_evict(struct fetch_core *core, uint32_t bytes)
{
    list_for_each (it, &core->watch) {
        struct fetch_file *file = container_of(it, struct fetch_file, watch);
        if (list_fits(core, bytes))
            return;
        if (file->lost_ms == UINT64_MAX || file->list == NULL || !list_empty(&file->asks))
            continue;
        core->stats.lists_bytes -= content_list_bytes(&file->content);
        file->list_counted = false;
        core_free(file->list);
        file->list = NULL;
        file->list_state = FETCH_LIST_NEEDED;
    }
}

bool fetch_list_room(struct fetch_core *core, struct fetch_file *file)
{
    uint32_t bytes = content_list_bytes(&file->content);
    if (file->list_counted)
        return true;
    if (!list_fits(core, bytes))
        list_evict(core, bytes);
    if (!list_fits(core, bytes)) {
        if (!list_linked(&file->waiting))
            list_append(&core->list_waiting, &file->waiting);
        return false;
    }
    list_remove(&file->waiting);
    core->stats.lists_bytes += bytes;
    file->list_counted = true;
    return true;
}

void fetch_list_drop(struct fetch_core *core, struct fetch_file *file)
{
    core_free(file->list);
    file->list = NULL;
    if (!file->list_counted)
        return;
    file->list_counted = false;
    core->stats.lists_bytes -= content_list_bytes(&file->content);
    struct list *first = list_first(&core->list_waiting);
    if (first == NULL)
        return;
    struct fetch_file *next = container_of(first, struct fetch_file, waiting);
    list_remove(first);
    fetch_file_ready(core, next);
}

/* ---- whether anybody can be asked ---- */

void fetch_file_lost(struct fetch_core *core, struct fetch_file *file)
{
    for (uint32_t i = 0; i < file->sources_n; i++) {
        if (fetch_source_usable(core, file->sources[i])) {
            file->lost_ms = UINT64_MAX;
            return;
        }
    }
    if (file->lost_ms == UINT64_MAX)
        file->lost_ms = core->now_ms;
    if (!list_linked(&file->watch))
        list_append(&core->watch, &file->watch);
}

/* Why a fetch that does not wait ends now; 0 if it does not. */
static int verdict(const struct fetch_core *core, const struct fetch_file *file)
{
    bool damaged = false;
    if (!list_empty(&file->asks))
        return 0; /* what is here already is being verified or written */
    for (uint32_t i = 0; i < file->sources_n; i++) {
        const struct fetch_source *source = file->sources[i];
        damaged = damaged || source->damaged;
        if (source->aside_until_ms <= core->now_ms)
            return KITH_E_UNREACHABLE; /* it is down, perhaps not for long */
    }
    return damaged ? KITH_E_CORRUPT : KITH_E_NOT_FOUND;
}

static const char *verdict_text(int code)
{
    switch (code) {
    case KITH_E_UNREACHABLE:
        return "no node that has this content is within reach; bring one of them up or wait";
    case KITH_E_CORRUPT:
        return "all nodes within reach that have this content sent damaged data; see kith fs "
               "verify there";
    default:
        return "no node within reach has this content";
    }
}

void fetch_file_judge(struct fetch_core *core, struct fetch_file *file)
{
    if (file->unsaved > 0 && core->now_ms >= file->saved_ms + FETCH_SLOW_MS)
        fetch_file_persist(core, file);
    fetch_file_lost(core, file);
    if (file->lost_ms == UINT64_MAX) {
        if (file->unsaved == 0)
            list_remove(&file->watch);
        fetch_file_ready(core, file);
        return;
    }
    fetch_connect(core, file);
    int code = verdict(core, file);
    list_for_each_safe (it, &file->wants) {
        struct fetch_want *want = container_of(it, struct fetch_want, of_file);
        uint64_t from_ms = want->started_ms > file->lost_ms ? want->started_ms : file->lost_ms;
        if (code == 0 || (want->flags & FETCH_WAIT) != 0 ||
            (code == KITH_E_UNREACHABLE && core->now_ms < from_ms + core->config.reach_ms))
            continue;
        want_end(core, want, code, verdict_text(code));
    }
    if (file->wants_n == 0)
        file_end(core, file, KITH_E_CANCELED);
}

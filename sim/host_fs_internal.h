/*
 * The inside of a simulated node with files:
 *
 *     host_fs.c            life, links, time, what is due
 *     host_fs_catalogue.c  the catalogue and its store
 *     host_fs_move.c       fetching, serving, reading, the cache
 *     host_fs_keep.c       copies
 */
#ifndef SIM_HOST_FS_INTERNAL_H
#define SIM_HOST_FS_INTERNAL_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/mutant.h"
#include "host_fs.h"
#include "kith/error.h"
#include "net/frame.h"
#include "queue.h"

#define HF_MS 1000000ull

struct hf_put {
    size_t key_at, key_len, len;
    bool erase;
};

static inline struct rng *hf_rng(const struct hf *hf)
{
    return sim_rng(hf->hw->world);
}
/* Now, when what is being done is over. Zeroed but for the type. */
struct hf_todo *hf_todo(struct hf *hf, enum hf_todo_type type);
/* On a thread that needs up to @us for it. Borrowed until the next. */
struct hf_todo *hf_job(struct hf *hf, enum hf_todo_type type, uint64_t us);
/* False: the queue is full. */
bool hf_send(struct hf *hf,
             const struct kith_node_id *to,
             uint8_t net_class,
             uint8_t type,
             struct kith_bytes head,
             struct kith_bytes data);
void hf_list_add(struct hf_list *list, const struct hf_under_way *one);
/* False: there is none. */
bool hf_list_take(struct hf_list *list, uint64_t id, struct hf_under_way *one_out);

/* ---- host_fs_catalogue.c ---- */
void hf_catalogue_boot(struct hf *hf); /* with what its disk has */
void hf_catalogue_do(struct hf *hf, struct catalogue_event *event);
void hf_published(struct hf *hf, const struct hf_todo *todo);
void hf_hold(struct hf *hf, unsigned item, bool held, enum hf_purpose purpose);
/* An entry of the driver's own. */
void hf_store(struct hf *hf, const void *key, size_t key_len, const void *data, size_t len);
void hf_store_flush(struct hf *hf, bool sync, uint64_t token);

/* ---- host_fs_move.c ---- */
void hf_move_boot(struct hf *hf);
void hf_move_link(struct hf *hf, const struct kith_node_id *peer, bool up);
void hf_fetch_do(struct hf *hf, struct fetch_event *event);
void hf_serve_do(struct hf *hf, struct serve_event *event);
void hf_fetch_start(struct hf *hf,
                    unsigned item,
                    enum hf_purpose purpose,
                    uint64_t user,
                    uint8_t priority,
                    bool waits);
void hf_fetch_holders(struct hf *hf, const struct content *content);
void hf_fetch_done(struct hf *hf, const struct hf_todo *todo);
void hf_fetch_written(struct hf *hf, const struct hf_todo *todo);
void hf_serve_room(struct hf *hf, const struct kith_node_id *peer);
void hf_cache_failed(struct hf *hf, unsigned item, uint32_t chunk);

/* ---- host_fs_keep.c ---- */
void hf_keep_boot(struct hf *hf);
void hf_keep_first(struct hf *hf); /* behind the start of the catalogue */
bool hf_keep_recall(struct hf *hf, const struct disk_entry *entry); /* false: not of it */
void hf_keep_do(struct hf *hf, struct keep_event *event);
void hf_keep_look(struct hf *hf, const struct content *content);
void hf_keep_sample(struct hf *hf);
void hf_keep_copied(struct hf *hf, unsigned item, int code); /* its fetch has ended */
void hf_keep_held(struct hf *hf, const struct hf_under_way *one, int code);
void hf_keep_file(struct hf *hf, unsigned item);
void hf_keep_remove(struct hf *hf, unsigned item, bool damage);
void hf_keep_damage(struct hf *hf, unsigned item);
void hf_keep_adopt(struct hf *hf, unsigned item);
/* False: it is being removed; later. */
bool hf_place_begin(struct hf *hf, unsigned item);
void hf_place_end(struct hf *hf, unsigned item);
void hf_kept_now(struct hf *hf, unsigned item); /* written or read again now */

#endif

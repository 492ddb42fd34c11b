/*
 * How many damaged chunks and lists each node sent here. A disk or memory that goes bad shows as a
 * few of them, which are harmless one by one: others are asked. So they are counted by node for who
 * watches, and of each node an event says so, now and then.
 */
#include "core/alloc.h"
#include "core/error.h"
#include "node/fs_move.h"
#include "node/internal.h"

struct sender {
    uint64_t n;
    uint64_t told_ms; /* of the last event */
};

struct fs_damages {
    struct mapid senders; /* struct sender */
    uint64_t others_n;    /* of nodes for which there was no room */
};

static void tell(struct node_fs *fs,
                 const struct kith_node_id *peer,
                 const struct sender *sender,
                 const char *path)
{
    char digits[KITH_NODE_ID_DIGITS + 1], reason[160];

    (void)snprintf(reason, sizeof(reason),
                   "sent damaged data, %llu since this node began; lately of %.80s",
                   (unsigned long long)sender->n, path);
    node_event_note(fs->node, "damaged", peer, fs_node_name(fs, peer, digits), "", reason);
}

void fs_damages_add(struct node_fs *fs, const struct kith_node_id *peer, const char *path)
{
    struct fs_damages *damages = fs->move->damages;
    struct sender *sender = mapid_find(&damages->senders, peer);
    uint64_t now_ms = node_boot_ms();

    if (sender == NULL && damages->senders.n < FS_DAMAGERS_MAX)
        sender = core_calloc(1, sizeof(*sender));
    if (sender != NULL && sender->n == 0 && mapid_set(&damages->senders, peer, sender) != 0) {
        core_free(sender);
        sender = NULL;
    }
    if (sender == NULL) {
        damages->others_n++;
        return;
    }
    sender->n++;
    if (sender->n > 1 && now_ms < sender->told_ms + FS_DAMAGE_EVENT_MS)
        return;
    sender->told_ms = now_ms;
    tell(fs, peer, sender, path);
}

uint64_t node_fs_damages_each(struct kith_node *node,
                              void (*each)(void *user, const char *name, uint64_t n),
                              void *user)
{
    struct node_fs *fs = node->fs;
    char digits[KITH_NODE_ID_DIGITS + 1];

    if (fs == NULL || fs->move == NULL)
        return 0;
    const struct mapid *senders = &fs->move->damages->senders;
    for (size_t at = 0; at < senders->cap; at++) {
        const struct sender *sender = senders->slots[at].value;
        if (sender != NULL)
            each(user, fs_node_name(fs, &senders->slots[at].key, digits), sender->n);
    }
    return fs->move->damages->others_n;
}

int fs_damages_open(struct fs_move *move)
{
    move->damages = core_calloc(1, sizeof(*move->damages));
    return move->damages != NULL ? 0 : KITH_E_MEMORY;
}

void fs_damages_deinit(struct fs_move *move)
{
    struct sender *sender;

    if (move->damages == NULL)
        return;
    for (size_t at = 0; (sender = mapid_next(&move->damages->senders, &at)) != NULL;)
        core_free(sender);
    mapid_deinit(&move->damages->senders);
    core_free(move->damages);
}

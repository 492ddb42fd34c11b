/* Between the files of host_state.h. */
#ifndef SIM_HOST_STATE_INTERNAL_H
#define SIM_HOST_STATE_INTERNAL_H

#include "host_state.h"

/* First byte of what each core writes to the disk. */
#define HS_TAG_VIEW  'v'
#define HS_TAG_DVAR  'd'
#define HS_TAG_MUTEX 'm'
#define HS_TAG_AVAIL 'a' /* its keys are among those of 'd' */

#define HS_CONTROL_BYTES_MAX ((size_t)60 * 1024)

static inline struct sim_world *hs_world_of(const struct hs *hs)
{
    return sim_node_world(hs->hm.node);
}

struct hs_todo *hs_todo_add(struct hs *hs, enum hs_todo_type type);
struct hs_todo *hs_todo_view(struct hs *hs, enum view_event_type type);
int hs_view_step(struct hs *hs, struct view_event *event);
void hs_send(
    struct hs *hs, const struct kith_node_id *to, uint8_t type, const uint8_t *data, size_t len);

/* Hands puts to the disk; the arrays of the cores differ in the room for keys only. */
void hs_write(
    struct hs *hs, uint8_t tag, uint64_t token, const struct disk_put *puts, size_t puts_n);
/* Zeroed room for the puts of one batch; valid until the next call. */
struct disk_put *hs_puts(size_t n);

/* What membership says, and without membership: @index is up or not, as all who need it are told.
 */
void hs_on_member_action(struct hm *hm, const struct member_action *action);
void hs_tell_all(struct sim_world *world, size_t index, uint64_t boot_no, bool up);
void hs_learn_all(struct hs *hs);

/* host_state_life.c: the view needs this node no more, which wants to leave. */
void hs_view_left(struct hs *hs);

/* host_state_dvar.c */
void hs_dvar_boot(struct hs *hs); /* RECALL and START */
void hs_dvar_end(struct hs *hs);
struct hs_todo *hs_todo_dvar(struct hs *hs, enum dvar_event_type type);
int hs_dvar_step(struct hs *hs, struct dvar_event *event);
/* An operation of a mutex' record. */
void hs_dvar_record(struct hs *hs, const struct mutex_action *action);
/* What is due now and then. True if something was. */
bool hs_dvar_due(struct hs *hs);

/* host_state_avail.c */
void hs_avail_boot(struct hs *hs); /* RECALL and START */
void hs_avail_step(struct hs *hs, struct avail_event *event);
/* Is it of available variables, not of consistent ones? */
bool hs_avail_key(const uint8_t *key, size_t key_len);

/* host_state_mutex.c */
void hs_mutex_boot(struct hs *hs);
void hs_mutex_end(struct hs *hs);
struct hs_todo *hs_todo_mutex(struct hs *hs, enum mutex_event_type type);
int hs_mutex_step(struct hs *hs, struct mutex_event *event);
/* The answer to a read or CAS of a record. */
void hs_mutex_record(struct hs *hs, const struct hs_op *op, const struct dvar_result *result);

/* host_stand_in.c: what src/dvar does for the view, without variables. */
void hs_stand_in_placement(struct hs *hs, const struct placement *placement);
bool hs_stand_in_due(struct hs *hs); /* true if something was */
uint64_t hs_stand_in_deadline_ms(const struct hs *hs);
/* Records of mutexes in one place that all can reach while the home of their slot can serve. */
void hs_stand_in_record(struct hs *hs, const struct mutex_action *action);
void hs_stand_in_end(struct hs *hs);
void hs_stand_in_deinit(struct hs_world *hw);

#endif

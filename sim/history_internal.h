/* Between the files of history_check.h. */
#ifndef SIM_HISTORY_INTERNAL_H
#define SIM_HISTORY_INTERNAL_H

#include "history_check.h"

/* Room for one more behind @n of an array (pointer to its pointer). False: no memory. */
bool history_grow(void *array, size_t *cap, size_t n, size_t size);
void history_blame(struct history_finding *out, size_t index);
bool history_is_variable(const struct history_entry *entry);
/* Indices of all operations on variables, by name and start. To be freed; NULL without memory. */
size_t *history_by_name(const struct history *history, size_t *n_out);

#endif

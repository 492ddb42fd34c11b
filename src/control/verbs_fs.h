/* What the verbs about files share: verbs_fs.c, verbs_fs_stream.c. */
#ifndef CONTROL_VERBS_FS_H
#define CONTROL_VERBS_FS_H

#include "control/request.h"

/* The operation that the arguments of @request say; borrowed from it. */
struct kith_fs_op control_fs_op(struct control_request *request, enum kith_fs_op_kind kind);
/* Answers @request with @result, last. */
void control_fs_reply(struct control_request *request,
                      enum kith_fs_op_kind kind,
                      const struct kith_fs_result *result);
/* {"path", "kind", "size", ...} */
void control_fs_put_entry(struct json *json, const struct kith_fs_entry *entry);

#endif

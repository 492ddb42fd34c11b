/*
 * One request of whoever controls a node, and how a verb answers it. Loop thread only.
 *
 * A request is answered by any number of partial replies and one last reply or error. It is
 * counted: the door that made it and every operation under way hold a reference, so that an answer
 * that comes after a cancel finds `ended` set and is dropped.
 */
#ifndef CONTROL_REQUEST_H
#define CONTROL_REQUEST_H

#include <jansson.h>

#include "core/json.h"
#include "core/list.h"
#include "node/node.h"

struct control_request;

/* Whoever asks: a client of the socket, another node, a page. */
struct control_door {
    /* Writes one answer: the JSON after "ok", ready made, and raw bytes. Never fails visibly. */
    void (*answer)(struct control_request *request,
                   bool ok,
                   bool more,
                   const struct buf *json,
                   const void *data,
                   size_t len);
    /* The request has ended and is about to be freed. */
    void (*ended)(struct control_request *request);
};

struct control_verb {
    const char *name;
    void (*run)(struct control_request *request);
    /* May be asked of another node: by args.node, or by args.from where that is set. */
    const char *forward;
    bool remote; /* may be asked by other nodes at all */
};

struct control_request {
    struct list link; /* the door's */
    struct kith_node *node;
    const struct control_door *door;
    void *client; /* the door's: who asks; NULL if it cannot be asked back */
    json_t *id;   /* as given; may be NULL */
    json_t *args; /* an object */
    const uint8_t *data;
    size_t data_len;
    uint8_t *data_owned; /* malloc'ed block of data, or NULL */
    const struct control_verb *verb;
    const char *verb_name; /* for the schema; of the table */
    unsigned refs_n;
    bool ended;
    int code; /* of the error that ended it; set before the door is told */
    /* The verb's: called once if the request is cancelled while under way. May be NULL. */
    void (*cancel)(struct control_request *request);
    void *state;
};

/* Makes a request that holds one reference for its door. Takes @id, @args and @data_owned over. */
struct control_request *control_request_new(struct kith_node *node,
                                            const struct control_door *door,
                                            void *client,
                                            json_t *id,
                                            json_t *args);
struct control_request *control_request_ref(struct control_request *request);
void control_request_unref(struct control_request *request);

/*
 * Adds verbs of a room above (one table, for all nodes of the process; twice is once). Before any
 * request, or on the loop thread.
 */
void control_add_verbs(const struct control_verb *table);

/* Runs it: finds the verb, passes it on to another node if asked to, or does it. */
void control_dispatch(struct control_request *request, const char *name);
/* Ends it with KITH_E_CANCELED (or KITH_E_STOPPED), telling the verb. */
void control_cancel(struct control_request *request, int code);

/* ---- answering ---- */

/*
 * {"schema": "kith.VERB/1", ...}: begin opens the object, the verb adds keys, end closes it and
 * sends. After the last one (more false) the request has ended.
 */
struct control_reply {
    struct control_request *request;
    struct buf buf;
    struct json json;
};
void control_reply_begin(struct control_reply *reply, struct control_request *request);
void control_reply_end(struct control_reply *reply, bool more, const void *data, size_t len);
/* {"schema"} alone, last. */
void control_reply_empty(struct control_request *request);
/* An error ends the request. @text: what, why, what next; NULL: kith_errmsg(), or the code's. */
void control_fail(struct control_request *request, int code, const char *text);

/* The request has ended by an answer that its door has been given already. */
void control_request_end(struct control_request *request);
/* KITH_E_* of a name such as "KITH_E_TIMEOUT"; KITH_E_INTERNAL if unknown or NULL. */
int control_code_named(const char *name);
/* May other nodes ask for this verb? */
bool control_verb_is_remote(const char *name);

/* ---- arguments: of a wrong type they count as absent ---- */

const char *control_text(const struct control_request *request, const char *key); /* or NULL */
bool control_bool(const struct control_request *request, const char *key, bool absent);
uint64_t control_u64(const struct control_request *request, const char *key, uint64_t absent);
/* The text, or an error that ends the request and NULL. */
const char *control_text_needed(struct control_request *request, const char *key);

/* ---- verbs, by file ---- */

extern const struct control_verb control_verbs_node[];      /* verbs_node.c */
extern const struct control_verb control_verbs_calls[];     /* verbs_calls.c */
extern const struct control_verb control_verbs_functions[]; /* verbs_functions.c */
extern const struct control_verb control_verbs_map[];       /* verbs_map.c */
extern const struct control_verb control_verbs_serve[];     /* verbs_serve.c */
extern const struct control_verb control_verbs_watch[];     /* verbs_watch.c */
extern const struct control_verb control_verbs_info[];      /* verbs_info.c */
extern const struct control_verb control_verbs_reach[];     /* verbs_reach.c */
extern const struct control_verb control_verbs_var[];       /* verbs_var.c */
extern const struct control_verb control_verbs_label[];     /* verbs_label.c */
extern const struct control_verb control_verbs_lock[];      /* verbs_lock.c */
extern const struct control_verb control_verbs_lock_list[]; /* verbs_lock_list.c */
extern const struct control_verb control_verbs_log[];       /* verbs_log.c */
extern const struct control_verb control_verbs_config[];    /* verbs_config.c */
extern const struct control_verb control_verbs_overview[];  /* verbs_overview.c */
extern const struct control_verb control_verbs_bundle[];    /* bundle.c */
extern const struct control_verb control_verbs_var_info[];  /* verbs_var_info.c */
extern const struct control_verb control_verbs_view[];      /* verbs_view.c */
extern const struct control_verb control_verbs_name[];      /* verbs_name.c */
extern const struct control_verb control_verbs_fs[];        /* verbs_fs.c */
extern const struct control_verb control_verbs_fs_stream[]; /* verbs_fs_stream.c */
extern const struct control_verb control_verbs_host[];      /* verbs_host.c */
extern const struct control_verb control_verbs_dev[];       /* verbs_dev.c */

/* Milliseconds for people: to the microsecond. */
static inline double control_ms(uint64_t ns)
{
    uint64_t us = ns / 1000;
    return (double)us / 1000.0;
}
/* "keys" of the configuration that holds now, with the origin of each value. */
void control_put_config(struct json *json, struct kith_node *node);
/* "drained" and "tags" of a node. */
void control_put_labels(struct json *json, struct kith_node *node, const struct kith_node_id *id);
/* Keys of a call's result (docs/protocols/control.md, call). */
void control_put_result(struct json *json, const struct kith_result *result);

/* Is there still a client that can be asked? */
bool control_can_ask(const struct control_request *request);
/* Asks the client of @request itself (fn.run): sends a request of ours; NULL if it is gone. */
struct control_asked;
struct control_asked *
control_ask(struct control_request *request,
            const char *verb,
            const struct buf *args,
            const void *data,
            size_t len,
            void (*answered)(void *user, const json_t *message, const uint8_t *data, size_t len),
            void *user);
/* No answer is wanted any more: `answered` will not run. */
void control_asked_drop(struct control_asked *asked);
/* The id under which it was asked. */
uint64_t control_asked_no(const struct control_asked *asked);
/* A request of ours that gets no reply (fn.abort). */
void control_tell(struct control_request *request, const char *verb, const struct buf *args);

#endif

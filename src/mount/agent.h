/*
 * Asking the node from many threads: a connection for each question that is under way, kept for the
 * next one. When the agent has gone and come back, the next question finds it.
 */
#ifndef MOUNT_AGENT_H
#define MOUNT_AGENT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct agent_client;
struct agent;

/* @socket_path: borrowed for as long as it is used. NULL: no memory. */
struct agent *agent_new(const char *socket_path);
void agent_free(struct agent *agent);

/* An answer; whoever got one gives it back with answer_done(). */
struct answer {
    struct agent *agent;
    struct agent_client *client;
    json_t *result;
    const uint8_t *data; /* borrowed until answer_done() */
    size_t len;
};

/*
 * Asks, and waits for the answer; takes @args over. Returns 0, or the negative errno that fits why
 * it was refused, with the sentence on stderr where that is not plain from the number; then there
 * is no answer.
 */
int agent_ask(struct agent *agent,
              const char *verb,
              json_t *args,
              const void *data,
              size_t len,
              struct answer *out);
void answer_done(struct answer *answer);

/* The file @fd from its beginning becomes @path. @args: further fields of fs.put, taken over. */
int agent_put(struct agent *agent, const char *path, json_t *args, int fd);

/* What the code of a refusal ("KITH_E_NOT_FOUND") is as a negative errno. */
int errno_of(const char *code);

#endif

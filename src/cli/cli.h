/*
 * What every verb's function stands on: the parsed line, the connection to the agent, and how
 * things are said. stdout is data, stderr is talk.
 *
 * Functions that return an exit code (0 or an enum exit_code) have said what went wrong before they
 * return anything but 0.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <jansson.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/args.h"
#include "node/agent_client.h"

struct cli {
    struct args args;
    bool json;  /* --json was given */
    bool quiet; /* --quiet */
    struct agent_client *client;
    char socket_path[AGENT_SOCKET_PATH_MAX + 1]; /* once the client is open */
    uint64_t next_id;
};

/* The i-th argument, or NULL. */
const char *cli_arg(const struct cli *cli, size_t i);

/* ---- saying what went wrong ---- */

/*
 * "kith: @what" and, if not NULL, the next command; with --json also a kith.error/1 document on
 * stdout. Returns @exit_code.
 */
int cli_fail(struct cli *cli, int exit_code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* "@path @what: " and what errno says. Returns EXIT_NOT_ALLOWED or EXIT_FAILED. */
int cli_fail_errno(struct cli *cli, const char *what, const char *path);
/* The same from a negative code and its sentence (kith_errmsg()). Returns the code's exit code. */
int cli_fail_code(struct cli *cli, int code);
int cli_exit_of(int code);
/* Talk: a line on stderr unless --quiet. */
void cli_say(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- stdout ---- */

/* Prints @doc as the verb's --json document, adding "schema" = @schema if it has none. Takes @doc
 * over. */
int cli_print_json(struct cli *cli, json_t *doc, const char *schema);
/* One line a document, flushed: streams. Borrows. */
int cli_print_json_line(struct cli *cli, const json_t *doc);
/* Writes @len bytes as they are. */
int cli_write(struct cli *cli, const void *data, size_t len);
/* Flushes stdout; EXIT_FAILED if that fails (disk full). Called once at the end by main(). */
int cli_flush(struct cli *cli);
/* Text from elsewhere for a terminal: control characters become '?'. @out of @out_bytes; returns
 * @out. */
char *cli_clean(const char *text, char *out, size_t out_bytes);

/* ---- asking the agent ---- */

#define CLI_ANSWER_MS 10000 /* for what an agent answers at once */

/*
 * Chooses the agent by --socket, --data-dir, --dev, --dir, KITH_SOCKET or the default, into
 * cli->socket_path. 0 or an exit code.
 */
int cli_choose_agent(struct cli *cli);
/* The same and connects. */
int cli_connect(struct cli *cli);
/* Ends the connection, and with it what was asked for; the next request makes another. */
void cli_disconnect(struct cli *cli);

/*
 * Sends a request (connecting first if need be); takes @request_args over (NULL: none). *@id_out
 * may be NULL.
 */
int cli_send(struct cli *cli,
             const char *verb,
             json_t *request_args,
             const void *data,
             size_t data_len,
             uint64_t *id_out);

/* A reply that came. Borrowed until the next call. */
struct cli_reply {
    uint64_t id;
    json_t *result;
    bool more; /* a partial one; others follow */
    const uint8_t *data;
    size_t data_len;
};

/* The next reply to any of our requests. An error reply is said and gives its exit code. */
int cli_receive(struct cli *cli, uint64_t timeout_ms, struct cli_reply *reply_out);
/* cli_send() and cli_receive(). */
int cli_ask(struct cli *cli,
            const char *verb,
            json_t *request_args,
            uint64_t timeout_ms,
            struct cli_reply *reply_out);
/*
 * As cli_ask(), but that the agent refuses is no failure, and nothing is said of it:
 * reply_out->result is NULL then, and *@code_out (such as "KITH_E_NOT_FOUND") and *@text_out say
 * why; they are borrowed as the reply is.
 */
int cli_ask_softly(struct cli *cli,
                   const char *verb,
                   json_t *request_args,
                   uint64_t timeout_ms,
                   struct cli_reply *reply_out,
                   const char **code_out,
                   const char **text_out);
/*
 * For verbs that ask one thing: asks, prints the result as --json document or calls @show. Returns
 * the exit code.
 */
int cli_ask_and_show(struct cli *cli,
                     const char *verb,
                     json_t *request_args,
                     uint64_t timeout_ms,
                     int (*show)(struct cli *cli, json_t *result));

/* ---- reading results ---- */

const char *cli_json_text(json_t *object, const char *key); /* "" if absent or no text */
double cli_json_number(json_t *object, const char *key, double if_absent);
uint64_t
cli_json_u64(json_t *object, const char *key, uint64_t if_absent); /* number or text of digits */

/* The monotonic clock. */
uint64_t cli_now_ms(void);

/* The program's own path, "" if unknown. */
const char *cli_self_path(void);
/* A program beside this one, or where the helper programs are installed. 0 or EXIT_NOT_FOUND. */
int cli_find_program(struct cli *cli, const char *name, char *path_out, size_t path_bytes);

#endif

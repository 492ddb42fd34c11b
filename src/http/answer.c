/* Answers: a KITH_E_* as a status, errors as JSON, and the headers that every answer has. */
#include <string.h>

#include "control/control.h"
#include "core/alloc.h"
#include "core/error.h"
#include "http/server.h"

int http_status_of(int code)
{
    switch (code) {
    case 0:
        return 200;
    case KITH_E_INVALID:
    case KITH_E_PARSE:
    case KITH_E_NAME:
    case KITH_E_TYPE:
    case KITH_E_SIGNATURE:
        return 400;
    case KITH_E_PERMISSION:
    case KITH_E_SECRET:
    case KITH_E_OTHER_CLUSTER:
        return 403;
    case KITH_E_NOT_FOUND:
    case KITH_E_NO_FUNCTION:
    case KITH_E_NO_NODE:
    case KITH_E_NO_CLUSTER:
        return 404;
    case KITH_E_EXISTS:
    case KITH_E_IN_USE:
    case KITH_E_FENCE:
    case KITH_E_AGAIN:
        return 409;
    case KITH_E_TOO_LARGE:
        return 413;
    case KITH_E_UNSUPPORTED:
        return 501;
    case KITH_E_UNKNOWN_OUTCOME:
    case KITH_E_UNREACHABLE:
        return 502;
    case KITH_E_BUSY:
    case KITH_E_LIMIT:
    case KITH_E_NO_QUORUM:
    case KITH_E_STOPPED:
    case KITH_E_NOT_EXECUTED:
        return 503;
    case KITH_E_TIMEOUT:
        return 504;
    default:
        return 500;
    }
}

const char *http_reason_of(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {206, "Partial Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {416, "Range Not Satisfiable"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status)
            return reasons[i].text;
    }
    return "Internal Server Error";
}

#define COMMON "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"

void http_answer(struct http_exchange *x, const struct http_body *body, const char *headers)
{
    char text[3072];
    struct web_answer answer = {
        .status = body->status, .headers = text, .body = body->data, .body_len = body->len};
    const char *origin = x->origin;

    int n = snprintf(
        text, sizeof(text), "Content-Type: %s\r\n" COMMON "%s%s%s%s%s",
        body->type != NULL ? body->type : "application/json",
        origin != NULL ? "Access-Control-Allow-Origin: " : "", origin != NULL ? origin : "",
        origin != NULL ? "\r\nAccess-Control-Expose-Headers: *\r\nVary: Origin\r\n" : "",
        body->status == 503 ? "Retry-After: 1\r\n" : "", headers != NULL ? headers : "");
    if (n < 0 || (size_t)n >= sizeof(text))
        text[0] = '\0'; /* our own lines are short: this does not come to pass */
    if (x->server != NULL)
        x->server->requests[body->status / 100 % 6]++;
    if (x->web != NULL)
        web_answer(x->web, &answer);
    http_exchange_free(x);
}

void http_answer_json(struct http_exchange *x, int status, json_t *doc, const char *headers)
{
    char *text = doc != NULL ? json_dumps(doc, HTTP_DUMP) : NULL;

    json_decref(doc);
    if (text == NULL) {
        http_fail(x, 0, KITH_E_MEMORY, kith_strerror(KITH_E_MEMORY), NULL);
        return;
    }
    struct http_body body = {.status = status, .data = text, .len = strlen(text)};
    http_answer(x, &body, headers);
    free(text);
}

static int put_error(struct buf *buf, int code, const char *message, const char *hint)
{
    struct json json = json_begin(buf);

    json_object_begin(&json);
    json_kv_text(&json, "schema", "kith.error/1");
    json_kv_text(&json, "code", kith_error_name(code));
    json_kv_i64(&json, "exit", control_exit_of(code));
    json_kv_text(&json, "message", message);
    if (hint != NULL)
        json_kv_text(&json, "hint", hint);
    json_object_end(&json);
    return json_end(&json);
}

void http_fail_with(struct http_exchange *x,
                    int status,
                    int code,
                    const char *message,
                    const char *hint,
                    const char *headers)
{
    struct buf buf = {0};
    struct http_body body = {.status = status != 0 ? status : http_status_of(code)};

    if (message == NULL)
        message = kith_errmsg()[0] != '\0' ? kith_errmsg() : kith_strerror(code);
    if (put_error(&buf, code, message, hint) == 0) {
        body.data = buf.data;
        body.len = buf.len;
    }
    http_answer(x, &body, headers);
    buf_deinit(&buf);
}

void http_fail(struct http_exchange *x, int status, int code, const char *message, const char *hint)
{
    http_fail_with(x, status, code, message, hint, NULL);
}

void http_refuse(struct web_request *web,
                 int status,
                 int code,
                 const char *message,
                 const char *hint,
                 const char *headers)
{
    char text[768];
    struct buf buf = {0};
    struct web_answer answer = {.status = status, .headers = text};

    snprintf(text, sizeof(text), "Content-Type: application/json\r\n" COMMON "%s",
             headers != NULL ? headers : "");
    if (put_error(&buf, code, message, hint) == 0) {
        answer.body = buf.data;
        answer.body_len = buf.len;
    }
    web_answer(web, &answer);
    buf_deinit(&buf);
}

size_t
http_refusal_text(int status, int code, const char *message, char out[HTTP_REFUSAL_BYTES_MAX])
{
    struct buf buf = {0};
    int n = put_error(&buf, code, message, NULL);

    if (n == 0)
        n = snprintf(out, HTTP_REFUSAL_BYTES_MAX,
                     "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n" COMMON
                     "%sContent-Length: %zu\r\nConnection: close\r\n\r\n%.*s",
                     status, http_reason_of(status), status == 503 ? "Retry-After: 1\r\n" : "",
                     buf.len, (int)buf.len, (const char *)buf.data);
    buf_deinit(&buf);
    return n > 0 && n < HTTP_REFUSAL_BYTES_MAX ? (size_t)n : 0;
}

void web_refuse(struct web_request *request, int status, int code, const char *message)
{
    struct buf buf = {0};
    char lines[512], text[768];
    struct web_answer answer = {.status = status, .headers = text, .close = true};

    web_refusal_lines(request, lines, sizeof(lines));
    snprintf(text, sizeof(text), "Content-Type: application/json\r\n" COMMON "%s%s", lines,
             status == 503 ? "Retry-After: 1\r\n" : "");
    if (put_error(&buf, code, message, NULL) == 0) {
        answer.body = buf.data;
        answer.body_len = buf.len;
    }
    web_answer(request, &answer);
    buf_deinit(&buf);
}

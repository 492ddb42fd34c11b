/*
 * Codes to texts, and the sentence of the last failure on this thread.
 */
#include "core/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "kith/rpc.h" /* kith_free() is declared there */

static _Thread_local char sentence[1024];
static _Thread_local char unknown[48];
static const char *(*foreign_strerror)(int code);

const char *kith_error_name(int code)
{
    switch (code) {
    case 0:
        return "KITH_OK";
#define XX(name, number, text)                                                                     \
    case KITH_E_##name:                                                                            \
        return "KITH_E_" #name;
        KITH_ERROR_MAP(XX)
#undef XX
    default:
        return "KITH_E_UNKNOWN";
    }
}

const char *kith_strerror(int code)
{
    switch (code) {
    case 0:
        return "success";
#define XX(name, number, text)                                                                     \
    case KITH_E_##name:                                                                            \
        return text;
        KITH_ERROR_MAP(XX)
#undef XX
    default:
        break;
    }
    const char *(*foreign)(int) = __atomic_load_n(&foreign_strerror, __ATOMIC_ACQUIRE);
    const char *text =
        code < 0 && code > -KITH_ERROR_BASE && foreign != NULL ? foreign(code) : NULL;
    if (text != NULL)
        return text;
    (void)snprintf(unknown, sizeof(unknown), "unknown error %d", code);
    return unknown;
}

const char *core_errno_advice(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return "; free some space there, or choose another place";
    case EROFS:
        return "; mount it for writing, or choose another place";
    case EACCES:
    case EPERM:
        return "; run this as the user who owns it, or give that user the right";
    case EISDIR:
        return "; a directory stands in its place: move it away";
    case ENOTDIR:
        return "; a part of the path is a file: check the path";
    case EMFILE:
    case ENFILE:
        return "; raise the limit of open files (ulimit -n)";
    default:
        return "";
    }
}

void core_set_foreign_strerror(const char *(*text_of)(int code))
{
    __atomic_store_n(&foreign_strerror, text_of, __ATOMIC_RELEASE);
}

const char *kith_errmsg(void)
{
    return sentence;
}

void kith_errmsg_clear(void)
{
    sentence[0] = '\0';
}

int kith_fail_with(int code, const char *format, ...)
{
    /* Not straight into the sentence: the arguments may hold the old one, to which more is said. */
    char text[sizeof(sentence)];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n < 0)
        text[0] = '\0';
    memcpy(sentence, text, strlen(text) + 1);
    return code;
}

const char *kith_version(void)
{
    return KITH_VERSION;
}

void kith_free(void *memory)
{
    core_free(memory);
}

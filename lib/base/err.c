/* Errors as values: see err.h. */
#include "lib/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Ids and file names come from outside: what is shown to a person must not move a terminal's cursor. */
static void keep_printable(char *s) {
    for (; *s != '\0'; s++) {
        if (*s < 0x20 || *s > 0x7e) *s = '?';
    }
}

int err_set(struct err *e, int code, const char *field, const char *fmt, ...) {
    if (e == NULL) return code;
    struct err made = {.code = code}; /* apart from *e, whose own text may be among the arguments */
    if (field != NULL) {
        size_t n = strnlen(field, sizeof made.field - 1);
        memcpy(made.field, field, n);
    }
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(made.text, sizeof made.text, fmt, args) < 0) made.text[0] = '\0';
    va_end(args);
    keep_printable(made.field);
    keep_printable(made.text);
    *e = made;
    return code;
}

const char *err_name(int code) {
    switch (code) {
    case 0:
        return "ok";
    case ERR_NOMEM:
        return "nomem";
    case ERR_IO:
        return "io";
    case ERR_CORRUPT:
        return "corrupt";
    case ERR_FULL:
        return "full";
    case ERR_RANGE:
        return "range";
    case ERR_SYNTAX:
        return "syntax";
    case ERR_BUSY:
        return "busy";
    case ERR_MISMATCH:
        return "mismatch";
    case ERR_MISSING:
        return "missing";
    case ERR_AGAIN:
        return "again";
    case ERR_DENIED:
        return "denied";
    case ERR_STOPPED:
        return "stopped";
    default:
        return "unknown";
    }
}

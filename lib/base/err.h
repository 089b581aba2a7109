/* Errors as values: a negative code, the field at fault and one sentence for a person. */
#ifndef RANKD_BASE_ERR_H
#define RANKD_BASE_ERR_H

/* Every function of lib/ and proto/ that can fail returns 0 or one of these. Outputs are untouched on failure. */
enum err_code {
    ERR_NOMEM = -1,    /* memory was refused */
    ERR_IO = -2,       /* the operating system refused: disk, file, socket */
    ERR_CORRUPT = -3,  /* a checksum or a structure does not hold; the text names the place */
    ERR_FULL = -4,     /* a configured bound was reached */
    ERR_RANGE = -5,    /* a value outside its documented range */
    ERR_SYNTAX = -6,   /* input that does not follow its grammar */
    ERR_BUSY = -7,     /* owned by somebody else just now */
    ERR_MISMATCH = -8, /* made for another format, dimension, seed or configuration */
    ERR_MISSING = -9,  /* no such thing */
    ERR_AGAIN = -10,   /* nothing yet, or outcome unknown: ask again */
    ERR_DENIED = -11,  /* not allowed here */
    ERR_STOPPED = -12, /* left undone because the caller asked for it */
};

struct err {
    int code;       /* enum err_code, 0 when unset */
    char field[64]; /* the field, option or place at fault; may be empty */
    char text[448]; /* one sentence: what, the value, what is allowed */
};

#define ERR_MUST_CHECK __attribute__((warn_unused_result))

/* Fills *e (e may be NULL) and returns code, so that a failing function ends in `return err_set(...)`.
 * field may be NULL. Bytes outside printable ASCII in field and text are replaced by '?'; both are cut to their arrays.
 * The arguments may point into *e, so that an error can be wrapped in place. */
int err_set(struct err *e, int code, const char *field, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* A short lower-case name of a code ("corrupt"), for logs and JSON. Never NULL. */
const char *err_name(int code);

#endif

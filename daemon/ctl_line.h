/* One line of a log made an event for the intake: JSON taken as it is, columns put into JSON. */
#ifndef RANKD_DAEMON_CTL_LINE_H
#define RANKD_DAEMON_CTL_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

#define LINE_MAX_COLUMNS 64

/* --- JSON: ctl_line.c --- */

struct line_json { /* what a JSON object says at its top level; slices point into it */
    size_t open;   /* of '{' */
    bool empty;    /* no members */
    bool has_id, has_type;
    struct slice user; /* the value as written: a string with its quotes, or a number; empty when there is none */
};
/* Its members one by one, as they are written: names without their quotes, values with them. begin: ERR_SYNTAX, no
 * object. next: 1 a member, 0 the end; ERR_SYNTAX: its quotes and brackets are not in order, or something follows. */
struct line_cursor {
    struct slice line;
    size_t open, at; /* of '{', and of what comes next */
    bool empty, done;
};
int line_json_begin(struct slice line, struct line_cursor *c, struct err *e) ERR_MUST_CHECK;
int line_json_next(struct line_cursor *c, struct slice *name, struct slice *value, struct err *e) ERR_MUST_CHECK;

/* Looks through one line. ERR_SYNTAX: it is not one object with its quotes and brackets in order (what stands between
 * them is the intake's to judge). id, type and user are known by rankd's usual names. */
int line_json_scan(struct slice line, struct line_json *out, struct err *e) ERR_MUST_CHECK;
/* Appends the object with members id and type in front where it has none; type may be NULL. No newline. */
void line_json_write(struct slice line, const struct line_json *j, const char *id, const char *type, struct buf *out);
/* The text of a user value: a string without its quotes and escapes. False when it is neither string nor number. */
bool line_json_user(struct slice value, struct buf *out);

/* --- columns: ctl_columns.c --- */

enum column {
    COLUMN_SKIP,
    COLUMN_TS,
    COLUMN_USER,
    COLUMN_ITEM,
    COLUMN_TYPE,
    COLUMN_ID,
    COLUMN_QUANTITY,
    COLUMN_PRICE,
    COLUMN_VALUE,
    COLUMN_SESSION,
    COLUMN_REQUEST,
    COLUMN_KINDS
};

struct columns {
    enum column kind[LINE_MAX_COLUMNS];
    size_t n;
};
/* From "ts,user,item,type"; "-" or an empty name is a column not used, as is any name that is none of the above or
 * their aliases (user_id, item_id, timestamp, event_type, event_id). ERR_RANGE: too many, one twice, or no item. */
int columns_parse(struct slice names, char separator, struct columns *out, struct err *e) ERR_MUST_CHECK;

struct row { /* the fields of one record, by meaning; empty ones are absent */
    struct slice field[COLUMN_KINDS];
};
/* Takes a record apart; separator '\t' (as it stands) or ',' (RFC 4180; unquoted into scratch, which *out points into).
 * ERR_SYNTAX: more or fewer fields than columns, an empty ts, text behind a closing quote, or no UTF-8. */
int row_parse(const struct columns *c, char separator, struct slice record, struct buf *scratch, struct row *out,
              struct err *e) ERR_MUST_CHECK;
/* Writes what makes a moment of a user into out: rows with equal ones are one basket. From user, type, ts, session and
 * request. */
void row_moment(const struct row *row, struct buf *out);

/* The rows of one event: one, or those of one moment. Appends {"id":..,"ts":..,...} without newline. A ts in seconds
 * with at most 3 decimals becomes epoch milliseconds, other numbers keep their digits; a date or a date and time
 * without a zone (clock_parse_plain) is UTC and becomes RFC 3339, other text goes as it is, for the decoder to judge.
 */
void row_write(const struct row *rows, size_t n, const char *id, const char *type, struct buf *out);
/* "-12.5" and the like, as JSON writes numbers. */
bool row_is_number(struct slice s);

#endif

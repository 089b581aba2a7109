/* What is in a log file: JSON Lines, TSV or CSV, and which columns; as named, or by its name and its beginning. */
#ifndef RANKD_DAEMON_CTL_FORM_H
#define RANKD_DAEMON_CTL_FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/ctl_line.h"
#include "daemon/ctl_read.h"
#include "lib/base/err.h"

enum form_format { FORM_GUESS, FORM_JSONL, FORM_TSV, FORM_CSV };

struct form_wish { /* what is known beforehand */
    enum form_format format;
    const char *columns; /* "ts,user,item,type" or NULL */
    bool header;         /* the first line is a header even if it names nothing known */
};

struct form {
    enum form_format format; /* never FORM_GUESS */
    char separator;
    struct columns columns; /* of TSV and CSV; none for an empty file */
    bool header;            /* the first record is one, and no event */
};

/* "jsonl", "tsv" or "csv"; false when it is none of these. */
bool form_parse(const char *name, enum form_format *out);
/* The longest record a file of this name may have, in bytes. */
size_t form_longest(const char *path, const struct form_wish *w);
/* Looks at the beginning of the file and sets the reader's form. ERR_RANGE: the wish does not suit the file, or the
 * columns are not known; errors of reader_peek. The text names the file. */
int form_find(const char *path, struct reader *r, const struct form_wish *w, struct form *out,
              struct err *e) ERR_MUST_CHECK;

#endif

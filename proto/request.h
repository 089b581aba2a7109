/* The JSON body of POST /v1/recommend and POST /v1/score, decoded and checked.
 *
 * {"user":ID,"history":[ID,..],"cart":[ID,..],"exclude":[ID,..],"items":[ID,..],"k":N,"keep_used":BOOL,"explain":BOOL};
 * null stands for absent. An id is text of 1 to 256 bytes of strict UTF-8 without NUL, or an integer, taken as its
 * decimal text. Unknown and repeated names are refused. Thread-safe. */
#ifndef RANKD_PROTO_REQUEST_H
#define RANKD_PROTO_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

#define REQUEST_MAX_ID     256 /* bytes */
#define REQUEST_LIMIT_TEXT 32

enum request_kind {
    REQUEST_RECOMMEND, /* every field is optional */
    REQUEST_SCORE,     /* user, items (needed), history and cart */
};

struct request_limits {
    uint32_t max_k;
    size_t max_items; /* entries in each list */
};

struct request {
    struct slice user;                                    /* empty when absent */
    const struct slice *history, *cart, *exclude, *items; /* NULL when absent, not NULL when empty */
    size_t n_history, n_cart, n_exclude, n_items;
    uint32_t k; /* 0 when absent, else 1 to max_k */
    bool keep_used, explain;
    void *json, *memory; /* what the slices point into; private */
};

/* ERR_SYNTAX: no such object, or a field of the wrong kind; ERR_MISMATCH: an unknown field; ERR_RANGE: past a limit,
 * which is written to limit as text (empty otherwise); ERR_NOMEM. e->field names the field, empty for the whole body.
 */
int request_parse(struct slice body, enum request_kind kind, const struct request_limits *l, struct request *out,
                  char limit[REQUEST_LIMIT_TEXT], struct err *e) ERR_MUST_CHECK;
void request_free(struct request *r); /* a zeroed one is fine; twice too */

/* An id from elsewhere (a query), by the same rules. 0, ERR_RANGE (length), ERR_SYNTAX (bytes). */
int request_check_id(struct slice id, const char *field, struct err *e) ERR_MUST_CHECK;

#endif

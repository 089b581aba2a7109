/* A JSON text read as a tree: for programs that talk to rankd. Events and requests have decoders of their own. */
#ifndef RANKD_PROTO_JDOC_H
#define RANKD_PROTO_JDOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

struct jdoc; /* one parsed text; read-only, one thread */

struct jdoc_value { /* lives as long as its text; the zeroed one is "absent", which every function takes */
    const void *node;
};

enum jdoc_kind { JDOC_ABSENT, JDOC_NULL, JDOC_BOOL, JDOC_NUMBER, JDOC_STRING, JDOC_ARRAY, JDOC_OBJECT };

/* Any JSON value. ERR_SYNTAX with the place, ERR_NOMEM. */
int jdoc_parse(struct slice text, struct jdoc **out, struct err *e) ERR_MUST_CHECK;
void jdoc_free(struct jdoc *j); /* NULL is fine */
struct jdoc_value jdoc_root(const struct jdoc *j);

/* Follows member names and indexes: "sources[0].name"; "" is v itself. Absent when a step finds nothing, or when the
 * path is longer than 255 bytes. A member name with '.' or '[' in it cannot be written; iterate. */
struct jdoc_value jdoc_get(struct jdoc_value v, const char *path);
enum jdoc_kind jdoc_kind_of(struct jdoc_value v);

/* Each gives the value, or the fallback when v is of another kind or absent. */
struct slice jdoc_text(struct jdoc_value v, const char *fallback); /* terminated */
double jdoc_number(struct jdoc_value v, double fallback);
int64_t jdoc_integer(struct jdoc_value v, int64_t fallback); /* of a number without fraction within int64 */
bool jdoc_bool(struct jdoc_value v, bool fallback);

size_t jdoc_count(struct jdoc_value v); /* elements or members; 0 for anything else */
struct jdoc_value jdoc_at(struct jdoc_value v, size_t i);

struct jdoc_members { /* zero it, then ask until false; members come in their order in the text */
    void *at;
    struct slice name; /* terminated */
    struct jdoc_value value;
};
bool jdoc_next(struct jdoc_value object, struct jdoc_members *m);

#endif

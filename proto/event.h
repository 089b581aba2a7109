/* One event: what a log line, a Kafka record or an intake request says, decoded and checked. */
#ifndef RANKD_PROTO_EVENT_H
#define RANKD_PROTO_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

#define EVENT_MAX_ID       256 /* bytes of a user, item, event or session id */
#define EVENT_MAX_TYPES    16  /* configured behaviour types */
#define EVENT_MAX_SHOWN    8   /* names of types that are impressions, too */
#define EVENT_NO_TIME      INT64_MIN
#define EVENT_MAX_DEPTH    16  /* nesting of a JSON event */
#define EVENT_MAX_FEATURES 64  /* of one item */
#define EVENT_MAX_FEATURE  128 /* bytes of one */

enum event_kind {
    EVENT_BEHAVIOUR,  /* a configured type: learns */
    EVENT_IMPRESSION, /* what was shown: stored evidence; what of it was not taken may stand against what was */
    EVENT_ITEM,       /* describes an item */
    EVENT_USER,       /* describes a user */
    EVENT_DELETE,     /* erases a user or an item (exactly one of both is given) */
};

/* Why an event is bad. The name (event_reason_name) is the metric's label and stands in the bad-event ring. */
enum event_reason {
    EVENT_OK = 0,
    EVENT_NOT_JSON,      /* not one JSON object, or nested too deep */
    EVENT_NOT_UTF8,      /* not strict UTF-8, or a NUL */
    EVENT_DUPLICATE_KEY, /* the same key twice, or two names of one field */
    EVENT_TOO_LONG,      /* longer than max_event_bytes */
    EVENT_NO_TYPE,
    EVENT_UNKNOWN_TYPE,
    EVENT_TYPE_DENIED, /* this source may not send this type */
    EVENT_NO_USER,
    EVENT_NO_ITEM,
    EVENT_BAD_ID,         /* an id that is empty, too long, or neither text nor integer */
    EVENT_BAD_TIME,       /* ts in none of the three forms, or outside 1970 to 9999 */
    EVENT_NO_TIME_AT_ALL, /* no ts and the source has no time of its own */
    EVENT_BAD_NUMBER,     /* value, quantity or price that is not a finite number in range */
    EVENT_BAD_ITEMS,      /* items is not a list of 1 to max_basket ids or objects with one, or given beside item */
    EVENT_BAD_FIELD,      /* any other known field of the wrong kind (features, categories, available, expires, ...) */
    EVENT_RESERVED,       /* a field name that only rankd may write */
    EVENT_DUPLICATE,      /* an id seen before: given by the learner, not by the decoder */
    EVENT_ITEMS_FULL,     /* model.max_items reached: given by the learner */
    EVENT_NO_MEMORY, /* no verdict: memory was refused (e->code is ERR_NOMEM); the same record may be decoded again */
    EVENT_RULED_OUT, /* a reweighting rule gives it weight 0: given by the learner */
    EVENT_REASONS
};

/* Whether it says that something is wrong with the event. */
static inline bool event_reason_is_bad(enum event_reason r) {
    return r != EVENT_OK && r != EVENT_DUPLICATE && r != EVENT_RULED_OUT;
}

struct event_item {
    struct slice id;
    double quantity, price; /* NaN when absent */
};

struct event {
    enum event_kind kind;
    int type;          /* index into the rules' types for EVENT_BEHAVIOUR, else -1 */
    struct slice id;   /* empty when absent */
    struct slice user; /* empty for EVENT_ITEM, and for EVENT_DELETE of an item */
    struct slice session, request;
    int64_t ts_ms;            /* of ts, else arrival_ms, else the record's own */
    int64_t arrival_ms;       /* what intake wrote; EVENT_NO_TIME in a record that did not come through intake */
    double value, quantity;   /* NaN when absent */
    struct event_item *items; /* behaviour, impression: 1 or more; item, delete of an item: one; else none */
    size_t n_items;
    bool basket; /* items came as a list: one moment */
    /* EVENT_ITEM */
    int available;            /* 1, 0, or -1 when not said */
    int64_t expires_ms;       /* EVENT_NO_TIME when not said; -1 for null (never expires) */
    struct slice description; /* EVENT_ITEM, EVENT_USER: the whole event as it came (no _arrival), to be stored */
    /* EVENT_ITEM, EVENT_USER: what categories and features say, each string once, in the order categories, bands and
     * values, words:
     *   cat:a, cat:a/b        each prefix of a category path (levels parted by / or >)
     *   band:price=5          floor(log2 v) of a number above 0 whose name is among the rules' bands
     *   f:brand=Acme          any other text, number or truth value, as it came; each element of a list
     *   word:shoe             each word, in small letters, of a text whose name is among the rules' words
     * At most EVENT_MAX_FEATURES of at most EVENT_MAX_FEATURE bytes; n_left_out counts what was too much or too long.
     */
    const struct slice *features; /* (n_features) */
    size_t n_features, n_left_out;
};

/* What the decoder must know; made once from the configuration, read by any thread. */
struct event_rules {
    char types[EVENT_MAX_TYPES][33];
    size_t n_types;
    char shown[EVENT_MAX_SHOWN][33]; /* (n_shown) types that are impressions beside "impression" */
    size_t n_shown;
    /* names read as each field; [0..n) */
    struct event_names {
        char name[4][33];
        size_t n;
    } user, item, type, ts, id;
    struct event_names words, bands; /* names of features that are taken apart, or put into bands */
    size_t max_event_bytes, max_basket;
};

/* Which types one source may send: bit n = rules->types[n], then the four below. */
#define EVENT_ALLOW_IMPRESSION (1u << 16)
#define EVENT_ALLOW_ITEM       (1u << 17)
#define EVENT_ALLOW_USER       (1u << 18)
#define EVENT_ALLOW_DELETE     (1u << 19)
#define EVENT_TYPE_IMPRESSION  16 /* its bit */
/* From "behaviour" (every configured type and impression), "all", or a comma-separated list of type names, in which
 * these two words may stand too. ERR_SYNTAX. */
int event_allow_parse(const struct event_rules *rules, const char *text, uint32_t *allow, struct err *e) ERR_MUST_CHECK;
/* From comma-separated lists of names as in the options events.user ... events.id: 1 to 4 different names of 1 to 32
 * bytes of UTF-8, none that is a field of its own (value, items, ...). ERR_SYNTAX, ERR_RANGE. */
int event_names_parse(const char *text, struct event_names *out, struct err *e) ERR_MUST_CHECK;

/* What stands around one record. */
struct event_context {
    const struct event_rules *rules;
    uint32_t allow;
    int default_type;  /* for records without a type: index, EVENT_TYPE_IMPRESSION, or -1 */
    struct slice key;  /* the record's key: the user where the event names none (no delete); copied; may be empty */
    int64_t record_ms; /* the record's own time, used where ts is absent; EVENT_NO_TIME when it has none */
    bool own_log;      /* the reserved field "_arrival" (ms, first member) is read; elsewhere it is EVENT_RESERVED */
};

/* Memory for what a decoded event points to beyond the input bytes (unescaped text, items). Blocks never move. */
struct event_arena;
struct event_arena *event_arena_new(void);
void event_arena_reset(struct event_arena *a); /* everything decoded into it is gone; memory is kept up to 1 MiB */
size_t event_arena_bytes(const struct event_arena *a);
void event_arena_free(struct event_arena *a);

/* Decodes one JSON record. Returns EVENT_OK and fills *out (slices point into json or the arena), or the reason, with
 * *e naming the field, the value and the limit (e may be NULL). Refused memory gives EVENT_NO_MEMORY with e->code
 * ERR_NOMEM. json need not be terminated; white space around the object is fine. A line of the own log may be longer
 * than max_event_bytes by its _arrival. event_decode uses the fast scanner and falls back to jansson; the other two are
 * its halves: event_decode_fast returns -1 when the record is not in the flat common form (never a verdict of its own
 * on such). Both halves give the same verdict and the same event wherever the fast one answers. Thread-safe.
 * jansson is told to use lib/base/mem.h before main; the process leaves LC_NUMERIC at "C". */
enum event_reason event_decode(struct slice json, const struct event_context *c, struct event_arena *a,
                               struct event *out, struct err *e);
int event_decode_fast(struct slice json, const struct event_context *c, struct event_arena *a, struct event *out,
                      struct err *e);
enum event_reason event_decode_jansson(struct slice json, const struct event_context *c, struct event_arena *a,
                                       struct event *out, struct err *e);

const char *event_reason_name(enum event_reason r); /* "not_json", ... */
/* Index of a configured type, or -1. */
int event_type_index(const struct event_rules *rules, struct slice name);

/* Appends the line that intake writes to the own log for an accepted object: {"_arrival":MS, then the members as they
 * came, without line breaks outside strings (and none inside: they are escaped by JSON). No trailing newline. */
void event_write_line(struct slice json, int64_t arrival_ms, struct buf *out);

/* One body of POST /v1/events taken apart: an object, an array of objects, or JSON Lines. Calls each(arg, record) for
 * every record in order (record points into body), stops when each returns non-zero and returns that. A body that is
 * no such thing from its start gives ERR_SYNTAX with *e; a broken element is passed on as it stands for the decoder to
 * judge, and so is whatever follows an array; one that does not end gives an empty record more. */
int event_split(struct slice body, int (*each)(void *arg, struct slice record), void *arg,
                struct err *e) ERR_MUST_CHECK;

#endif

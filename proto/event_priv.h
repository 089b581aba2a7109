/* What the two halves of the event decoder share: raw members, their checks, the arena. Private to proto/event*. */
#ifndef RANKD_PROTO_EVENT_PRIV_H
#define RANKD_PROTO_EVENT_PRIV_H

#include "proto/event.h"

#define EVENT_MAX_AMOUNT 1e12 /* of a quantity and a price */

/* Known fields. Those of an item's or user's description count only there; elsewhere they are ignored as unknown. */
enum event_field {
    FIELD_ID,
    FIELD_TYPE,
    FIELD_USER,
    FIELD_ITEM,
    FIELD_TS,
    FIELD_VALUE,
    FIELD_QUANTITY,
    FIELD_SESSION,
    FIELD_REQUEST,
    FIELD_ITEMS,
    FIELD_CATEGORIES,
    FIELD_FEATURES,
    FIELD_AVAILABLE,
    FIELD_EXPIRES,
    FIELD_ARRIVAL,
    FIELD_UNKNOWN /* also the number of known ones */
};

enum raw_kind { RAW_TEXT, RAW_NUMBER, RAW_TRUE, RAW_FALSE, RAW_NULL, RAW_LIST, RAW_OBJECT };

/* One value. text: of a TEXT the unescaped bytes; of anything else the JSON as it came. A NUMBER is one by the JSON
 * grammar, finite as a double and followed by a byte that is not part of it. */
struct raw_value {
    struct slice text;
    enum raw_kind kind;
    bool shape_ok; /* LIST: holds ids only (as categories must). OBJECT: is as features must be */
};

/* One category, or one scalar of features: of a list each element. */
struct raw_feature {
    bool category;
    struct slice name; /* of a member of features; lives until event_check returns */
    struct raw_value value;
};
#define EVENT_RAW_FEATURES 256u /* most that are looked at */

/* One element of items. */
struct raw_element {
    bool has_id, has_quantity, has_price;
    struct raw_value id, quantity, price;
};

/* One object taken apart; values are set only where the bit 1 << field of present is. */
struct event_raw {
    struct slice object; /* without the white space around it */
    uint32_t present;
    bool arrival_first; /* _arrival is the first member */
    struct raw_value value[FIELD_UNKNOWN];
    const char *arrival_end;      /* just past the value of _arrival */
    struct raw_element *elements; /* of items, where that is a list of at most max_basket */
    size_t n_items;               /* members of items, where that is a list */
    size_t odd_item;              /* the first member of items that is no id and no object; n_items when none */
    struct raw_feature *features; /* (n_features) as they came */
    size_t n_features, n_more;    /* more of them than EVENT_RAW_FEATURES */
};

/* The known field that a top-level name stands for. */
enum event_field event_field_of(const struct event_rules *rules, struct slice name);
/* The same for the members of an element of items: FIELD_ITEM, FIELD_QUANTITY, FIELD_UNKNOWN, or FIELD_VALUE for the
 * price. */
enum event_field event_element_field(const struct event_rules *rules, struct slice name);
extern const char *const event_field_names[FIELD_UNKNOWN + 1];

/* Makes an event of the members: every check of meaning, for both halves. */
enum event_reason event_check(const struct event_raw *raw, const struct event_context *c, struct event_arena *a,
                              struct event *out, struct err *e);

/* Makes ev->features of the raw ones. EVENT_OK or EVENT_NO_MEMORY. */
enum event_reason event_make_features(const struct event_raw *raw, const struct event_rules *rules,
                                      struct event_arena *a, struct event *ev, struct err *e);

/* Fills *e with the field, the value (shortened) and what is allowed; returns why. */
enum event_reason event_refuse(struct err *e, enum event_reason why, const char *field, struct slice value,
                               const char *allowed, ...) __attribute__((format(printf, 5, 6)));
enum event_reason event_no_memory(struct err *e);
/* EVENT_OK, or EVENT_TOO_LONG with *e. */
enum event_reason event_check_length(struct slice json, const struct event_context *c, struct err *e);
struct slice event_trim(struct slice json); /* without JSON white space at both ends */

/* n bytes, aligned for anything; NULL when memory is refused. */
void *event_arena_take(struct event_arena *a, size_t n);

/* memcmp(a, b, n) == 0 without a call for short names. */
static inline bool event_same(const char *a, const char *b, size_t n) {
    if (n > 16) return memcmp(a, b, n) == 0;
    if (n >= 8) { /* two loads that may overlap */
        uint64_t x[2], y[2];
        memcpy(&x[0], a, 8), memcpy(&x[1], a + n - 8, 8);
        memcpy(&y[0], b, 8), memcpy(&y[1], b + n - 8, 8);
        return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
    }
    if (n >= 4) {
        uint32_t x[2], y[2];
        memcpy(&x[0], a, 4), memcpy(&x[1], a + n - 4, 4);
        memcpy(&y[0], b, 4), memcpy(&y[1], b + n - 4, 4);
        return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
    }
    return n == 0 || (a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1]);
}

/* Values from text. None depends on the locale. */
bool event_is_number(struct slice text);                 /* by the JSON grammar */
bool event_is_id(const struct raw_value *v);             /* text or integer that may be an id */
double event_number(struct slice number);                /* of a NUMBER; correctly rounded, never -0 */
bool event_time(const struct raw_value *v, int64_t *ms); /* in the three forms; *ms untouched when not */

#endif

/* What a log says, decoded once: who did what when, as numbers. What is judged is decided from this and never by a
 * model, so that it is the same for all of them. */
#ifndef RANKD_DAEMON_BACKTEST_TABLE_H
#define RANKD_DAEMON_BACKTEST_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/backtest_ids.h"
#include "daemon/backtest_log.h"
#include "lib/base/err.h"
#include "proto/event.h"

struct backtest_event { /* one for each record of the log, in its order */
    int64_t ts_ms;      /* of the event, else its arrival; EVENT_NO_TIME: neither */
    size_t items;       /* the first of its items in table.items */
    uint32_t n_items;   /* behaviour and impressions; one for an item's description or erasure, else 0 */
    uint32_t user;      /* BACKTEST_NO_ID: none */
    uint32_t moment;    /* behaviour: number of its moment, consecutive */
    uint8_t reason;     /* enum event_reason; everything else holds for EVENT_OK alone */
    uint8_t kind;       /* enum event_kind */
    uint8_t type;       /* behaviour: index in table.types */
};

struct backtest_type {
    char name[33];
    bool configured; /* the configuration names it */
    bool negative;   /* the user does not want the item */
    float weight;    /* of the learning step */
    uint64_t events; /* behaviour lines: items of events count each */
};

struct backtest_table {
    struct backtest_event *events; /* (n) */
    size_t n;                      /* log.n */
    uint32_t *items;               /* (n_items) numbers in item_ids */
    size_t n_items, cap_items;
    struct backtest_ids *user_ids, *item_ids;
    struct backtest_type types[EVENT_MAX_TYPES]; /* sorted by name */
    size_t n_types;
    int64_t begin_ms;                /* of the first event, where items or users are described before it */
    uint64_t lines;                  /* behaviour lines: items of behaviour events */
    uint64_t reasons[EVENT_REASONS]; /* records by verdict */
    uint64_t kinds[EVENT_DELETE + 1];
    uint64_t featured[EVENT_DELETE + 1]; /* of these kinds[], those with features */
    uint64_t types_full;                 /* records of an unknown type when there were EVENT_MAX_TYPES already */
};

/* Decodes the log under the configuration's rules, duplicates found as the engine finds them. Types that the
 * configuration does not name become types of weight 1, those that it took away stay unknown. moments: consecutive
 * behaviour of one user at one stamp is one moment; else each event is one of its own. in: for rejects. ERR_NOMEM;
 * ERR_RANGE as backtest_log_sources. */
int backtest_table_make(const struct backtest_log *l, const struct backtest_input *in, bool moments,
                        struct backtest_table *out, struct err *e) ERR_MUST_CHECK;
/* The events of the moment that begins at events[from] are those before the place returned: the same user and stamp,
 * with what could not be decoded between them. Anything else than behaviour stands alone. */
size_t backtest_moment_end(const struct backtest_table *t, size_t from);
static inline bool backtest_is_behaviour(const struct backtest_event *ev) {
    return ev->reason == EVENT_OK && ev->kind == EVENT_BEHAVIOUR;
}
/* The time of the record itself, where the event names none. */
static inline int64_t backtest_record_ms(const struct backtest_log *l, const struct backtest_table *t, size_t at) {
    return at < l->n_described ? t->begin_ms : l->records[at].record_ms;
}
/* Behaviour that tells what somebody wants: it counts and is remembered. */
static inline bool backtest_is_positive(const struct backtest_table *t, const struct backtest_event *ev) {
    return backtest_is_behaviour(ev) && !t->types[ev->type].negative;
}
/* Lines that are older by more than an hour than a line before them: of a log that is not in order, or late events. */
uint64_t backtest_late_lines(const struct backtest_table *t);
/* Lines of a user whose lines of the same stamp stand apart, those of others between them: their moment is not whole,
 * and is judged knowing a part of itself. The first part is not counted. ERR_NOMEM. */
int backtest_apart_lines(const struct backtest_table *t, uint64_t *lines, struct err *e) ERR_MUST_CHECK;
void backtest_table_free(struct backtest_table *t); /* of a zeroed one, too */

/* Adds the types of the table that c does not name to it. ERR_FULL. */
int backtest_table_add_types(const struct backtest_table *t, struct config *c, struct err *e) ERR_MUST_CHECK;

#endif

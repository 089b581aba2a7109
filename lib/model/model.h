/* The model: learns one event at a time, and answers from what was published.
 *
 * A function of (events in order, parameters, seed) to the bit. One learner thread calls everything here but
 * model_view and the reading side of its parts. */
#ifndef RANKD_MODEL_MODEL_H
#define RANKD_MODEL_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/draw.h"
#include "lib/base/epoch.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/slice.h"
#include "lib/model/blend.h"
#include "lib/model/drift.h"
#include "lib/model/item.h"
#include "lib/model/kernel.h"
#include "lib/model/neighbour.h"
#include "lib/model/params.h"
#include "lib/model/quality.h"
#include "lib/model/scan.h"
#include "lib/model/user.h"

struct ahead;
struct features;
struct segments;
struct recent;
struct dedup;
struct exposed;
struct judge;
struct used;

struct model_stats {          /* relaxed atomics, any thread */
    _Atomic uint64_t pairs;   /* (user, item) pairs that trained */
    _Atomic uint64_t steps;   /* pairwise steps: pairs times negatives found */
    _Atomic uint64_t repeats; /* items of events that refreshed the history alone */
    _Atomic uint64_t clipped; /* gradients shortened to params.clip */
    _Atomic uint64_t refused; /* rows that would have become non-finite and were left as they were */
    _Atomic uint64_t held_to_arrival, held_to_step; /* accepted ones that the guards of the clock moved back */
    _Atomic uint64_t late;                          /* events older than the model clock */
    _Atomic uint64_t forgotten;                     /* entries dropped from user rows at params.user_items */
    _Atomic uint64_t shown;                         /* items of impressions that were remembered */
    _Atomic uint64_t exposed;                       /* negatives that were shown and not taken */
    _Atomic uint64_t ids_forgotten;                 /* event ids that have left the dedup window, ever */
    _Atomic uint64_t items_full, items, live;
    _Atomic uint64_t features_left_out; /* of descriptions: too many, or too long */
};

struct model {
    struct model_params params;
    const struct kernel *kernel;
    struct epoch *epoch;
    struct items *items;
    struct users *users;
    struct neighbours *neighbours;
    struct features *features;
    struct segments *segments;
    struct scan *scan;
    struct recent *recent;
    struct dedup *dedup;
    struct blend blend;
    struct quality quality;
    struct drift drift;
    struct { /* decayed sum and number of the type weights of the pairs that trained */
        double sum, n;
    } weights;
    struct judge *judge;
    int64_t clock_ms; /* model clock; -1 before the first event. Learner */
    struct buf ops;   /* changes of id and text rows since the last checkpoint began, in order; see model_ops_next */
    struct model_stats stats;
    struct learn *learn;     /* scratch of the learning step */
    struct used *used;       /* what the user of the event under way has; learner */
    struct exposed *exposed; /* what was shown to him; learner */
    struct ahead *ahead;
    _Atomic int64_t published_clock_ms;
};

/* params are copied and checked (ERR_RANGE names the field). n_readers: serving threads and the store thread. */
int model_new(const struct model_params *p, const struct kernel *k, uint64_t user_cache_bytes,
              const struct user_backing *backing, unsigned n_readers, struct model **out, struct err *e) ERR_MUST_CHECK;
void model_free(struct model *m);

/* The time an event counts at, given the guards of the model clock. ts_ms: its own time; arrival_ms: when it arrived by
 * a trusted clock, or INT64_MIN. Changes nothing. */
int64_t model_event_time(const struct model *m, int64_t ts_ms, int64_t arrival_ms);
/* An event was accepted at t (from model_event_time): the clock is never behind it. Called by model_learn itself. */
void model_move_clock(struct model *m, int64_t t);

/* True when the id was accepted before within the window. */
bool model_seen(const struct model *m, struct hash128 id);
/* prepare: makes sure that one id can be remembered; before an event is learned, so that remembering it cannot fail. */
int model_prepare(struct model *m) ERR_MUST_CHECK;
void model_remember(struct model *m, struct hash128 id); /* of an accepted event */

struct model_treatment { /* what is said of an event beside its type */
    float weight;        /* > 0: multiplies what it teaches and counts */
    bool apart;          /* its items do not enter the user's history; he has them all the same */
};

struct model_event {
    struct draw_place place; /* index is set by the model */
    uint32_t type;           /* index into params.types */
    struct slice user;
    const struct slice *items;
    size_t n_items;
    int64_t ts_ms;                           /* from model_event_time */
    const struct model_treatment *treatment; /* NULL: weight 1, and it enters the history */
};
/* Learns one behaviour event: items in order, each judged from the state before the first. ERR_FULL in field "items"
 * (max_items): refused, nothing changed. ERR_FULL in field "users" (see users_touch), ERR_CORRUPT and ERR_NOMEM: not
 * learned, to be given again; the end is the same as without the error. */
int model_learn(struct model *m, const struct model_event *ev, struct err *e) ERR_MUST_CHECK;

#define MODEL_AHEAD 4u
/* A hint: ev (NULL = none) will be learned after MODEL_AHEAD other events. One call before each event that is learned,
 * so that the hints keep in step. Changes nothing but the time that learning takes; nothing of ev is kept. */
void model_expect(struct model *m, const struct model_event *ev);

int model_describe_item(struct model *m, struct slice id, int available, int64_t expires_ms, struct slice text,
                        struct err *e) ERR_MUST_CHECK;
/* After model_describe_item: what the item has in common with others, in place of what it had (lib/model/feature.h). */
int model_set_features(struct model *m, struct slice id, const struct slice *features, size_t n,
                       struct err *e) ERR_MUST_CHECK;
/* The text to be stored, and what the user has in common with others in place of what he had (n texts, each once): see
 * lib/model/segment.h. ERR_FULL in field "users", ERR_CORRUPT and ERR_NOMEM as of model_learn. */
int model_describe_user(struct model *m, struct slice id, struct slice text, const struct slice *features, size_t n,
                        struct err *e) ERR_MUST_CHECK;
int model_erase_user(struct model *m, struct slice id, struct err *e) ERR_MUST_CHECK;
int model_erase_item(struct model *m, struct slice id, struct err *e) ERR_MUST_CHECK;

/* Learner: the serving copy of the rows follows those changed since the last call or publish. */
void model_refresh_scan(struct model *m);
/* Learner, not within an event: rows of users, of neighbours and of pairs of features that readers missed come into the
 * caches, at most `most` of each (users_admit, neighbours_admit). model_publish does it for a few. */
void model_admit(struct model *m, uint32_t most);
/* Makes everything learned so far visible to readers. */
void model_publish(struct model *m);

/* After items, recent events and the dedup window were loaded: rebuilds the serving copy. Before other threads run. */
int model_load_end(struct model *m, int64_t clock_ms, struct err *e) ERR_MUST_CHECK;

enum model_op {
    MODEL_PUT_ID = 1,
    MODEL_PUT_ITEM_TEXT,
    MODEL_DEL_ITEM_TEXT,
    MODEL_PUT_USER_TEXT,
    MODEL_DEL_USER_TEXT,
    MODEL_DEL_NEIGHBOURS, /* of all kinds; before the rows of the checkpoint are written */
    MODEL_PUT_FEATURE,
    MODEL_DEL_SUCCESSION, /* as the one above */
    MODEL_PUT_ITEM_FEATURES,
    MODEL_DEL_ITEM_FEATURES
};
/* Walks a taken ops buffer: 1 and the next change (key: item or feature row as u32 big-endian, for texts the
 * id), 0 at the end. */
int model_ops_next(struct slice *rest, enum model_op *op, struct slice *key, struct slice *value);

#endif

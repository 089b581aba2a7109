/* What the model is a function of, besides the log: sizes, steps and half-lives. */
#ifndef RANKD_MODEL_PARAMS_H
#define RANKD_MODEL_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/model/loss.h"

#define MODEL_MAX_TYPES     16
#define MODEL_MAX_DIM       256
#define MODEL_MAX_NEGATIVES 512
#define MODEL_MAX_POOL      4096
#define MODEL_MAX_HISTORY   255
#define MODEL_MAX_EXPOSED   255
#define MODEL_TRENDS        3
#define MODEL_TERMS         (11 + MODEL_TRENDS) /* of a score */
#define MODEL_MAX_ID        256                 /* bytes of a user or item id */
#define MODEL_MAX_FEATURES  64                  /* of one item */
#define MODEL_MAX_FEATURE   128                 /* bytes of one */
#define SEGMENT_ROWS        16384u              /* of features of users: lib/model/segment.h */
#define FEATURE_TREND       1                   /* which of the trends' half-lives that of features has */

/* Raised whenever a change of the code changes the bits of the model; part of a journal epoch. */
#define MODEL_ARITHMETIC 6

struct model_type {
    float weight;                 /* of the learning step; 0 = counts, does not train */
    float history_weight;         /* of such an item in the user vector */
    bool repeats;                 /* an item the user has had trains again, with the whole weight */
    int64_t late_half_life_ms;    /* of the weight of late events; 0 = params.late_half_life_ms */
    int64_t history_half_life_ms; /* of history_weight, by the time since the item was used; 0 or less = none */
};

struct model_params {
    uint32_t dim; /* floats in an embedding: 16 to MODEL_MAX_DIM, a multiple of 16 */
    uint64_t seed;
    uint32_t max_items;
    uint32_t user_items; /* most items remembered of a user */
    uint32_t negatives;  /* 1 to MODEL_MAX_NEGATIVES */
    uint32_t recent_events;
    float recent_share, popular_share, hard_share, exposed_share; /* of the negatives; their sum is at most 1 */
    float popular_exponent;                                       /* 0 to 2 */
    uint32_t hard_pool;                                           /* up to MODEL_MAX_POOL */
    float hard_skip;                                              /* share of the pool's best left out, 0 to below 1 */
    uint32_t exposed_items; /* most items remembered of what was shown to a user, up to MODEL_MAX_EXPOSED */
    int64_t exposed_age_ms; /* what was shown longer ago is no negative */
    struct loss_params loss;
    float step, under_root;
    float
        unit_scale; /* > 0: q of length 1 and x of this length, so that x . q is a cosine times it; 0 = as they come */
    float l2_user, l2_item, l2_history; /* part of a row that a step of size 1 takes away; docs/losses.md */
    float history_dropout;              /* share of history items left out of a step, 0 to below 1 */
    float popularity_penalty;
    int64_t row_half_life_ms, sum_half_life_ms; /* of rows and AdaGrad sums between events; 0 = for ever */
    float start_item, start_user;               /* deviations of start values */
    float clip;                                 /* largest norm of a user vector's gradient */
    uint32_t history;                           /* items in the user vector, 0 to MODEL_MAX_HISTORY */
    float history_decay;
    int64_t late_half_life_ms, count_half_life_ms, trend_half_life_ms[MODEL_TRENDS];
    int64_t max_ahead_ms;       /* guard of the model clock with a trusted arrival time */
    int64_t max_clock_step_ms;  /* guard without one; -1 = none */
    uint64_t dedup_window;      /* accepted ids remembered */
    uint32_t neighbours;        /* most entries of a neighbour row, 1 to NEIGHBOUR_MAX */
    uint32_t neighbour_history; /* newest items of a user that have neighbour terms and are counted in pairs */
    float neighbour_decay;      /* kappa: of each older item of the history */
    float neighbour_scale, neighbour_shrink, neighbour_popularity; /* c, s and a of lib/model/terms.h */
    float basket_weight;                                           /* of a pair inside one basket */
    int64_t pair_half_life_ms, successor_half_life_ms, lately_half_life_ms;
    float segment_scale;                     /* c of segments in lib/model/terms.h */
    float lately_scale;                      /* c' of lib/model/terms.h */
    uint32_t lately_history;                 /* newest items of a user that are asked for what baskets had lately */
    uint32_t max_features;                   /* known at once */
    uint32_t item_features;                  /* most of one item, 0 (features are ignored) to MODEL_MAX_FEATURES */
    uint32_t user_features;                  /* most of one user, 0 (they are ignored) to MODEL_MAX_FEATURES */
    uint32_t affinity_history;               /* newest items of a user whose features he has an affinity to */
    uint32_t succession_history;             /* newest items whose features have successors, and are counted in pairs */
    uint32_t succession_features;            /* first features of an item that do */
    float feature_scale;                     /* c of lib/model/content.h */
    float blend_start[MODEL_TERMS];          /* weights of the terms before they learn; see lib/model/terms.h */
    uint32_t terms_off;                      /* bit f: term f keeps its start weight, which is 0 */
    float blend_step, blend_step_neighbours; /* 0 = the start weights stay */
    float drift_tolerance, drift_threshold;  /* of the detector, in standard deviations; a threshold of 0 = off */
    float drift_age;                         /* half-lives by which an alarm ages neighbour rows; 0 = none */
    float drift_sums;                        /* part of a row's AdaGrad sums that an alarm leaves; 1 = all */
    struct model_type types[MODEL_MAX_TYPES];
    uint32_t n_types;
    uint16_t negative_types; /* bit per type that says that the user does not want the item */
};

#endif

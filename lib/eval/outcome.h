/* What a backtest found out, before any figure is made of it: the cases, and each model's rank of every target.
 *
 * The cases are the same for all models, because the protocol and not the model decides what is judged. A run is one
 * model with one configuration and one seed on these cases. Case i of the set is entry i of every array of a run.
 *
 * One thread at a time. All strings are copied; a set and a run own what they point to. */
#ifndef RANKD_EVAL_OUTCOME_H
#define RANKD_EVAL_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

#define OUTCOME_MISS      UINT32_MAX /* the target was not among the candidates */
#define OUTCOME_NAME_MAX  255        /* bytes of a name, a key or a feature's value */
#define OUTCOME_TEXT_MAX  (1u << 20) /* bytes of a note's value or of a run's settings */
#define OUTCOME_TYPES_MAX 65535      /* types; values of the feature; notes */

enum outcome_flag {
    OUTCOME_SAME_MOMENT = 1, /* one more target of the moment (basket) of the case before: same user and stamp */
    OUTCOME_BASKET = 2,      /* its moment has several targets; set in each of them */
    OUTCOME_REPEAT = 4,      /* the user has had the item before */
    OUTCOME_RECENT = 8,      /* the user's event before this moment is at most 30 minutes old */
};

/* One target that was to be predicted: everything as it was before the moment it belongs to. */
struct outcome_case {
    int64_t ts_ms;        /* of the event */
    uint64_t user;        /* hash or number of the user: a cluster of the bootstrap */
    int64_t item_age_ms;  /* since the target's first event; -1: it had none */
    uint32_t item_events; /* events of the target so far; 0: never touched, the target is cold, otherwise warm */
    uint32_t history;     /* items in the user's history; 0: nothing was known of the user */
    uint16_t type;        /* index in outcome_set.types */
    uint16_t feature;     /* index in outcome_set.features; 0: none or not asked for */
    uint32_t flags;       /* enum outcome_flag */
};

struct outcome_type {
    char *name;
    uint64_t events; /* in the whole log, judged or not */
    bool configured; /* the configuration names it; others count as positive with weight 1 and are listed */
};

enum outcome_note_kind { OUTCOME_TEXT, OUTCOME_NUMBER, OUTCOME_BOOL };

struct outcome_note { /* a choice of the protocol, as it is printed */
    char *key;        /* the JSON key, such as "train_until" */
    char *value;      /* text; a JSON number; "true" or "false" */
    enum outcome_note_kind kind;
};

struct outcome_set {
    struct outcome_case *cases; /* (n), in the order of the log */
    size_t n, cap;
    size_t figures_from; /* cases below it are for choosing (grids, search), the others give the figures */
    struct outcome_type *types;
    size_t n_types;
    char *feature;   /* name of the feature that makes cohorts; "" when none was asked for */
    char **features; /* (n_features) its values; entry 0 stands for none */
    size_t n_features;
    struct outcome_note *notes; /* the protocol, in the order of the report */
    size_t n_notes;
};

enum outcome_role {
    OUTCOME_TESTED,    /* the model under test */
    OUTCOME_BASELINE,  /* with the configuration chosen on the first part */
    OUTCOME_ABLATION,  /* the model under test without a part of it */
    OUTCOME_VARIANT,   /* another configuration of the model under test */
    OUTCOME_HINDSIGHT, /* a baseline with the configuration that turned out best; compared with nothing */
    OUTCOME_TRIED,     /* another configuration of a baseline */
    OUTCOME_ROLES,
};

struct outcome_run {
    char *name;     /* "rankd", "item-knn"; runs of one name, role and settings differ by seed only */
    char *settings; /* the configuration, lines "section.key = value"; "" when there is none */
    enum outcome_role role;
    uint64_t seed;
    uint32_t *rank;  /* (n) place of the target among the candidates, 0 = first; OUTCOME_MISS */
    float *p_target; /* (n) probability given to the target; NaN: none. NULL until one was given */
    float *p_top;    /* (n) probability given to the item in the first place; as p_target */
    size_t n, cap;
    uint32_t *listed; /* (listed_cap) times each item (dense number) stood in a list of list_k items */
    size_t listed_cap;
    uint32_t list_k;
    uint64_t lists;
    uint64_t n_candidates; /* items that were candidates at any time: what coverage and Gini are over */
    double surprise_bits;  /* sum over all listed items of -log2(share of the item's events among all so far) */
    uint64_t events;       /* learned or, once learning has ended (--freeze), sent along; judged or not */
    uint64_t cpu_ns;       /* processor time for them */
    uint64_t wall_ns;
    uint64_t peak_bytes; /* most memory held; 0: not measured */
};

void outcome_set_init(struct outcome_set *s); /* empty; no allocation */
void outcome_set_free(struct outcome_set *s); /* back to empty */

/* ERR_NOMEM; ERR_RANGE: type or feature have no such entry, or OUTCOME_SAME_MOMENT without a case before. */
int outcome_set_add(struct outcome_set *s, const struct outcome_case *c, struct err *e) ERR_MUST_CHECK;
/* The index of the type of this name, made when absent with 0 events, not configured. ERR_NOMEM, ERR_RANGE (longer than
 * OUTCOME_NAME_MAX), ERR_FULL. */
int outcome_set_type(struct outcome_set *s, struct slice name, uint16_t *index, struct err *e) ERR_MUST_CHECK;
/* The index (from 1) of this value of the feature, made when absent; errors as above. Searches from the front: for a
 * feature with many values keep the index. */
int outcome_set_feature(struct outcome_set *s, struct slice value, uint16_t *index, struct err *e) ERR_MUST_CHECK;
int outcome_set_feature_name(struct outcome_set *s, struct slice name, struct err *e) ERR_MUST_CHECK;
/* Adds a line of the protocol, or gives its key a new value. ERR_RANGE: too long, or value is not of its kind. */
int outcome_set_note(struct outcome_set *s, const char *key, enum outcome_note_kind kind, const char *value,
                     struct err *e) ERR_MUST_CHECK;
/* The cases added so far are for choosing, those to come give the figures. */
static inline void outcome_set_figures_begin(struct outcome_set *s) { s->figures_from = s->n; }
/* A hash of all cases and of figures_from: runs with the same can be compared. */
uint64_t outcome_set_id(const struct outcome_set *s);

static inline bool outcome_cold(const struct outcome_case *c) { return c->item_events == 0; }

/* ERR_NOMEM; ERR_RANGE: name or settings too long. r is empty on failure and after outcome_run_free. */
int outcome_run_init(struct outcome_run *r, const char *name, enum outcome_role role, uint64_t seed,
                     const char *settings, struct err *e) ERR_MUST_CHECK;
void outcome_run_free(struct outcome_run *r);

/* The outcome of the next case. p_target and p_top are probabilities in [0, 1], or NaN where the model gives none.
 * ERR_NOMEM; ERR_RANGE: neither. */
int outcome_run_add(struct outcome_run *r, uint32_t rank, float p_target, float p_top, struct err *e) ERR_MUST_CHECK;
/* The list answered at one case (at one moment, for baskets): items (k), best first, as dense numbers; and of each how
 * many events it had so far, (k), out of total (an item without events counts as one with half an event). list_k
 * becomes the longest k. ERR_NOMEM; ERR_RANGE: k is 0, or total below an item's events or 1. */
int outcome_run_list(struct outcome_run *r, const uint32_t *items, const uint32_t *item_events, uint32_t k,
                     uint64_t total, struct err *e) ERR_MUST_CHECK;

/* Files of outcomes, for handing them from process to process and for going on after an interruption. A file is there
 * whole or not at all (written beside its place, made durable, renamed). Every block has its checksum: a damaged or
 * cut file is ERR_CORRUPT with file and offset, one of another version ERR_MISMATCH. ERR_IO, ERR_NOMEM, ERR_MISSING. */
int outcome_set_save(const struct outcome_set *s, const char *path, struct err *e) ERR_MUST_CHECK;
int outcome_set_load(const char *path, struct outcome_set *out,
                     struct err *e) ERR_MUST_CHECK; /* *out need not be init */
/* set_id is outcome_set_id of the cases the run is about; a file about others is refused with ERR_MISMATCH. */
int outcome_run_save(const struct outcome_run *r, uint64_t set_id, const char *path, struct err *e) ERR_MUST_CHECK;
int outcome_run_load(const char *path, uint64_t set_id, struct outcome_run *out, struct err *e) ERR_MUST_CHECK;

#endif

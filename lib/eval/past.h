/* What every baseline may know of the log so far: histories, used items, candidates, popularity.
 *
 * It is kept once and shared, so that all baselines see the same histories, refreshed by the same repeats, and fall
 * back on the same popularity. Users and items are dense numbers; by convention in the order of their first appearance,
 * which makes "the lower number first" a tie break that says nothing about quality.
 *
 * Order of work for one event: score and rank from the past before it, let each baseline learn it (still with the past
 * before it), then past_learn. One thread at a time; any number of readers while none writes. */
#ifndef RANKD_EVAL_PAST_H
#define RANKD_EVAL_PAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

#define PAST_HISTORY 64 /* the newest distinct items kept of a user */

/* One event: what a user took at one moment, a basket when n_items > 1. Stamps may run backwards. */
struct past_event {
    int64_t ts_ms;
    uint32_t user;         /* below n_users */
    const uint32_t *items; /* (n_items), each below the past's n_items; one given twice counts as a repeat */
    uint32_t n_items;      /* at least 1 */
    float weight; /* finite, at least 0: how much is counted. 0: histories and used items take it, nothing is counted */
};

struct past_use {
    int64_t ts_ms; /* of the newest event of this user with this item */
    uint32_t item;
};

/* Half-lives of the decayed popularities. */
enum past_popularity { PAST_6_HOURS, PAST_1_DAY, PAST_7_DAYS, PAST_30_DAYS, PAST_POPULARITIES };
const char *past_popularity_name(enum past_popularity which); /* "6h", "1d", "7d", "30d" */
int64_t past_popularity_ms(enum past_popularity which);       /* the half-life */

struct past;

/* Bounds n_users and n_items, at least 1 each; the arrays cost memory only as far as they are used: for each user 24
 * bytes, 16 for each of its newest PAST_HISTORY items and 20 to 40 for each (user, item) pair; for each item 37 bytes.
 * ERR_NOMEM. */
int past_new(uint32_t n_users, uint32_t n_items, struct past **out, struct err *e) ERR_MUST_CHECK;
void past_free(struct past *p); /* NULL is fine */

uint32_t past_n_users(const struct past *p); /* the bounds */
uint32_t past_n_items(const struct past *p);
size_t past_size_bytes(const struct past *p); /* in use, about */

/* Takes an event in. ERR_NOMEM leaves everything as it was. */
int past_learn(struct past *p, const struct past_event *ev, struct err *e) ERR_MUST_CHECK;
/* Makes an item a candidate before anybody touched it (it has a description, say). Its popularity stays -INFINITY. */
void past_describe(struct past *p, uint32_t item);

/* The newest distinct items of a user, the oldest use first, a repeat moved to the end; *n at most PAST_HISTORY. The
 * items of one event stand in its order. Valid until the next past_learn. */
const struct past_use *past_history(const struct past *p, uint32_t user, uint32_t *n);

bool past_used(const struct past *p, uint32_t user, uint32_t item);
/* All of them, in the order of first use; valid until the next past_learn. */
const uint32_t *past_used_items(const struct past *p, uint32_t user, uint32_t *n);

/* Items touched by an event or described, in the order in which they became so; and the same as flags (n_items). */
const uint32_t *past_candidates(const struct past *p, uint32_t *n);
const bool *past_is_candidate(const struct past *p);

/* Decayed popularity, for ordering: (n_items) log2 of the sum over the events of an item of
 * weight * 2^((ts - first ts of the log) / half-life), which orders items as the sum of weight * 2^-(age / half-life)
 * does at any moment. -INFINITY: no event of positive weight. Of candidates alone; others hold anything. */
const double *past_popularity(const struct past *p, enum past_popularity which);

#endif

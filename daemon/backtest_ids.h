/* Ids of a log as dense numbers, in the order of their first appearance. */
#ifndef RANKD_DAEMON_BACKTEST_IDS_H
#define RANKD_DAEMON_BACKTEST_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

#define BACKTEST_NO_ID UINT32_MAX

struct backtest_ids;

int backtest_ids_new(struct backtest_ids **out, struct err *e) ERR_MUST_CHECK;
void backtest_ids_free(struct backtest_ids *t); /* NULL is fine */
/* The number of an id, a new one when it has none. ERR_NOMEM; ERR_FULL past 2^32 - 2 of them. */
int backtest_ids_number(struct backtest_ids *t, struct slice id, uint32_t *out, struct err *e) ERR_MUST_CHECK;
/* BACKTEST_NO_ID when it has none. Any number of readers while nobody writes. */
uint32_t backtest_ids_find(const struct backtest_ids *t, struct slice id);
/* The id was erased: should it come again it is another one, with a number of its own. */
void backtest_ids_forget(struct backtest_ids *t, struct slice id);
struct slice backtest_ids_text(const struct backtest_ids *t, uint32_t number); /* valid until the next new one */
uint32_t backtest_ids_count(const struct backtest_ids *t);                     /* numbers given */

/* A set of pairs of numbers. */
struct backtest_pairs;
int backtest_pairs_new(struct backtest_pairs **out, struct err *e) ERR_MUST_CHECK;
void backtest_pairs_free(struct backtest_pairs *s); /* NULL is fine */
/* 1 when it was not there, 0 when it was; ERR_NOMEM. */
int backtest_pairs_add(struct backtest_pairs *s, uint32_t a, uint32_t b, struct err *e) ERR_MUST_CHECK;
bool backtest_pairs_has(const struct backtest_pairs *s, uint32_t a, uint32_t b);

#endif

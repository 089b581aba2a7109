/* The value that each item, or each user, has of one feature: for figures by cohort. */
#ifndef RANKD_DAEMON_BACKTEST_FEATURE_H
#define RANKD_DAEMON_BACKTEST_FEATURE_H

#include "daemon/backtest_log.h"
#include "daemon/backtest_table.h"
#include "lib/eval/outcome.h"

struct backtest_feature;

/* name: of a member of "features" in descriptions of items, or of the description itself ("categories"); "user.NAME":
 * of those of users. Values get their numbers in the set. ERR_NOMEM; ERR_RANGE: the name is too long. */
int backtest_feature_new(const char *name, const struct backtest_log *l, const struct backtest_table *t,
                         struct outcome_set *set, struct backtest_feature **out, struct err *e) ERR_MUST_CHECK;
void backtest_feature_free(struct backtest_feature *f); /* NULL is fine */
/* Takes a description in: a later one replaces it. Text and numbers count, of a list the first. ERR_NOMEM; ERR_FULL:
 * too many values. */
int backtest_feature_take(struct backtest_feature *f, size_t event, struct err *e) ERR_MUST_CHECK;
/* The number of the value in the set; 0: none. */
uint16_t backtest_feature_of(const struct backtest_feature *f, uint32_t user, uint32_t item);

#endif

/* The order of a log that was decoded: lines of one moment made one record, records of equal stamps shuffled. */
#ifndef RANKD_DAEMON_BACKTEST_ORDER_H
#define RANKD_DAEMON_BACKTEST_ORDER_H

#include "daemon/backtest_log.h"
#include "daemon/backtest_table.h"

/* Foreign JSON Lines: adjacent lines of one user and stamp that differ in item, quantity, price, value and id alone
 * become one event with items, those of another kind in between aside. Lines with items of their own stay. 1 when
 * anything was changed: the table is to be made again. ERR_NOMEM. */
int backtest_order_baskets(struct backtest_log *l, const struct backtest_input *in, const struct backtest_table *t,
                           struct err *e) ERR_MUST_CHECK;

/* Shuffles moments among equal stamps, each moved whole; descriptions in front stay. Records get new places. 1 when
 * anything was changed. ERR_NOMEM. */
int backtest_order_shuffle(struct backtest_log *l, const struct backtest_table *t, uint64_t seed,
                           struct err *e) ERR_MUST_CHECK;

#endif

/* The learner thread: source -> decode -> learn -> publish, and the checkpoints beside it. */
#ifndef RANKD_DAEMON_LEARNER_H
#define RANKD_DAEMON_LEARNER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/batch.h"
#include "daemon/checkpoint.h"
#include "daemon/config.h"
#include "daemon/engine.h"
#include "daemon/histogram.h"
#include "daemon/storer.h"

struct learner_stats { /* relaxed atomics, any thread */
    _Atomic uint64_t batches, publishes, checkpoints, checkpoint_failures, checkpoint_bytes, checkpoint_forced,
        budget_overrun;
    _Atomic uint64_t last_checkpoint_ns, last_checkpoint_bytes, last_checkpoint_users, last_checkpoint_blocks,
        last_checkpoint_neighbours, last_pause_ns, longest_pause_ns;
    _Atomic uint64_t waits_for_checkpoint; /* learning paused because the user cache held nothing durable */
    _Atomic uint64_t learn_errors;         /* records that had to be given again */
    _Atomic uint64_t busy_ns;              /* time spent on batches */
    _Atomic int64_t last_record_wall_ms;   /* wall clock when a record was last applied; 0 = never */
    _Atomic int64_t unsaved_since_ns;      /* steady clock of the first record that is not durable; 0 = all are */
    struct histogram freshness;            /* from a record in the source's hand to visible, ns */
    struct histogram checkpoint_seconds;   /* ns */
};

struct learner;

struct learner_options {
    const struct config *config;
    struct engine *engine;
    struct inbox *inbox;
    struct store *store;
    unsigned reader;            /* epoch reader number of the store thread */
    void (*begun)(void *arg);   /* learner thread, when a checkpoint begins: it holds the engine as it stands */
    void (*durable)(void *arg); /* learner thread, when the one begun last has become durable */
    void *arg;
};
int learner_start(const struct learner_options *o, struct learner **out, struct err *e) ERR_MUST_CHECK;

/* Any thread. */
void learner_pause(struct learner *l, bool paused);
bool learner_paused(const struct learner *l);
uint64_t learner_request_checkpoint(struct learner *l); /* a ticket: done once learner_checkpoint_done(ticket) */
/* 1: a checkpoint begun after the ticket was drawn is durable; 0: not yet; negative: it failed (*e). */
int learner_checkpoint_done(struct learner *l, uint64_t ticket, struct err *e);
void learner_set_budget(struct learner *l, const struct config *c); /* reload: write_budget and intervals */
/* Reload: rules that hold from the next record on; the learner owns them. Those of an earlier call that the learner did
 * not come to are dropped. */
void learner_set_rules(struct learner *l, struct reweight *w);
bool learner_has_new_rules(const struct learner *l); /* handed over and not in force yet */
const struct learner_stats *learner_stats(const struct learner *l);

/* Applies what the inbox holds up to limit_ms, checkpoints (unless the limit has passed) and ends the thread. 0, or the
 * error of the last checkpoint. */
int learner_stop(struct learner *l, int64_t limit_ms, struct err *e);

#endif

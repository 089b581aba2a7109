/* Reweighting rules in force: what events of a season, a promotion or a broken tracker weigh.
 *
 * A set is made from the configuration (sections [rule.NAME]) and never changes but for its counters. What it says of
 * an event follows from the event's text, type, source and own time alone. The learner puts a set in force between two
 * records (engine_set_rules), which begins an epoch of the journal. */
#ifndef RANKD_DAEMON_REWEIGHT_H
#define RANKD_DAEMON_REWEIGHT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/config.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/model/model.h"
#include "proto/event.h"
#include "proto/event_match.h"

#define REWEIGHT_MOST  1000.0 /* of a product of weights */
#define REWEIGHT_LEAST 1e-6   /* less is 0 */

struct reweight_rule {
    char name[33];
    char *types, *sources, *from, *until, *attributes; /* as configured, for people */
    uint32_t allow; /* types by bit, as in EVENT_ALLOW_*; all of them when none are named */
    int64_t from_ms, until_ms;
    struct event_match *match; /* NULL: whatever stands in it */
    float weight;
    bool apart;
    _Atomic uint64_t matched; /* relaxed: events since the start of the process that it fitted */
};

struct reweight {
    struct reweight_rule rules[CONFIG_MAX_RULES]; /* (n) by name */
    size_t n;
    uint64_t since;   /* sequence of the first record that it holds for */
    char *epoch_text; /* the learning configuration with these rules, and the arithmetic */
    uint64_t epoch_hash[2];
};

/* The rules of c; types: those that the engine knows by bit. ERR_NOMEM; errors of event_match_parse. */
int reweight_new(const struct config *c, const struct event_rules *types, struct reweight **out,
                 struct err *e) ERR_MUST_CHECK;
void reweight_free(void *w); /* NULL is fine */

/* What the rules say of a behaviour event or an impression: weight 0 = passed over. source: its source's name; ts_ms:
 * its own time, before the guards of the clock. The return value has a bit for each rule that fits. */
uint64_t reweight_event(const struct reweight *w, const struct event *ev, const char *source, int64_t ts_ms,
                        struct slice raw, struct model_treatment *out);
void reweight_count(struct reweight *w, uint64_t fits); /* once the event was applied */
/* Rules of the same name go on counting. */
void reweight_carry(struct reweight *w, const struct reweight *before);

#endif

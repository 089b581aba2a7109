/* The canonical digest of a stored state, and its verification.
 *
 * SHA-256 over the SHA-256 of each (table, hash range of the key), in order: two stores that learned the same log in
 * the same order under the same configuration and seed give the same digest, whatever their batches, caches,
 * checkpoints and threads. In: ids, rows as stored at their last touch, descriptions, statistics, deduplication window,
 * model clock, positions, sequence, generation and configuration epoch. Out: run boundaries of the journal, layout of
 * blocks, bad events, display times. */
#ifndef RANKD_DAEMON_DIGEST_H
#define RANKD_DAEMON_DIGEST_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/store/store.h"

struct digest {
    char hex[65];
    uint64_t sequence, generation;
};

/* From one point in time of the store; any thread that may hold a read transaction for a second or two. ERR_MISSING
 * when the store is empty; ERR_CORRUPT names table and key. */
int digest_compute(struct store *s, struct digest *out, struct err *e) ERR_MUST_CHECK;

/* Reads and checks every row. Calls bad for each damaged one; returns how many there were, or an error. */
struct verify_counts {
    uint64_t rows[STORE_TABLES], bytes, damaged;
};
int digest_verify(struct store *s, struct verify_counts *counts, void (*bad)(void *arg, const struct err *e), void *arg,
                  struct err *e) ERR_MUST_CHECK;

#endif

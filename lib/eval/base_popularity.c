/* Decayed popularity: the same list for everybody, by the sum over an item's events of weight * 2^-(age / half-life).
 *
 * It scores nothing itself: its order is the fall-back of all baselines, for which the past keeps the sums. Memory: its
 * own structure. */
#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/eval/baseline_priv.h"

static void popularity_free(struct baseline *b) { mem_free(b); }

static void popularity_describe(uint32_t config, char text[BASELINE_TEXT]) {
    snprintf(text, BASELINE_TEXT, "half_life=%s", past_popularity_name((enum past_popularity)config));
}

static int popularity_make(uint32_t config, const struct past *past, uint64_t seed, struct baseline **out,
                           struct err *e) {
    (void)seed;
    struct baseline *b = mem_zalloc(sizeof *b);
    if (!b) return err_set(e, ERR_NOMEM, NULL, "no memory");
    *b = (struct baseline){.kind = &base_popularity, .past = past, .fallback = (enum past_popularity)config};
    *out = b;
    return 0;
}

static void popularity_score(struct baseline *b, uint32_t user, int64_t ts_ms, struct scores *out) {
    (void)b, (void)user, (void)ts_ms, (void)out;
}

static int popularity_learn(struct baseline *b, const struct past_event *ev, struct err *e) {
    (void)b, (void)ev, (void)e;
    return 0;
}

static size_t popularity_size_bytes(const struct baseline *b) { return sizeof *b; }

const struct baseline_kind base_popularity = {
    .name = "popularity",
    .paper = "decayed counts; no paper",
    .n_configs = PAST_POPULARITIES,
    .make = popularity_make,
    .free = popularity_free,
    .describe = popularity_describe,
    .score = popularity_score,
    .learn = popularity_learn,
    .size_bytes = popularity_size_bytes,
};

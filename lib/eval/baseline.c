/* The table of baselines. */
#include "lib/eval/baseline.h"

#include <string.h>

#include "lib/base/check.h"
#include "lib/eval/baseline_priv.h"

const struct baseline_kind *const baseline_kinds[] = {
    &base_popularity, &base_itemknn, &base_rules, &base_vsknn, &base_stan, &base_vstan, &base_bpr,
};
const uint32_t baseline_n_kinds = sizeof baseline_kinds / sizeof *baseline_kinds;

const struct baseline_kind *baseline_find(const char *name) {
    for (uint32_t k = 0; k < baseline_n_kinds; k++) {
        if (strcmp(baseline_kinds[k]->name, name) == 0) return baseline_kinds[k];
    }
    return NULL;
}

void baseline_describe(const struct baseline_kind *kind, uint32_t config, char text[BASELINE_TEXT]) {
    CHECK(config < kind->n_configs);
    kind->describe(config, text);
}

int baseline_new(const struct baseline_kind *kind, uint32_t config, const struct past *past, uint64_t seed,
                 struct baseline **out, struct err *e) {
    CHECK(config < kind->n_configs);
    return kind->make(config, past, seed, out, e);
}

void baseline_free(struct baseline *b) {
    if (b) b->kind->free(b);
}

void baseline_score(struct baseline *b, uint32_t user, int64_t ts_ms, struct scores *out) {
    CHECK(out->n == 0 && user < past_n_users(b->past));
    b->kind->score(b, user, ts_ms, out);
}

const double *baseline_fallback(const struct baseline *b) { return past_popularity(b->past, b->fallback); }

int baseline_learn(struct baseline *b, const struct past_event *ev, struct err *e) { return b->kind->learn(b, ev, e); }

size_t baseline_size_bytes(const struct baseline *b) { return b->kind->size_bytes(b); }

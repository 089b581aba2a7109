/* A set of row numbers that is read in ascending order: one bit a row, and one a word of those. One thread. */
#ifndef RANKD_MODEL_MARKS_H
#define RANKD_MODEL_MARKS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/mem.h"

struct marks {
    uint64_t *rows;   /* (n_words) */
    uint64_t *groups; /* (n_groups) bit w of group g: rows[64 g + w] is not 0 */
    uint32_t n_groups;
    uint32_t n; /* rows in the set */
};

static inline void marks_free(struct marks *m) {
    mem_unmap(m->rows, (size_t)m->n_groups * 64 * sizeof *m->rows);
    mem_unmap(m->groups, (size_t)m->n_groups * sizeof *m->groups);
    *m = (struct marks){0};
}

/* For rows below n > 0; false when memory is refused. */
static inline bool marks_new(struct marks *m, uint32_t n) {
    *m = (struct marks){.n_groups = (n - 1) / 4096 + 1};
    m->rows = mem_map((size_t)m->n_groups * 64 * sizeof *m->rows);
    m->groups = mem_map((size_t)m->n_groups * sizeof *m->groups);
    if (m->rows && m->groups) return true;
    marks_free(m);
    return false;
}

static inline bool marks_has(const struct marks *m, uint32_t row) { return m->rows[row / 64] >> row % 64 & 1; }

/* True when the row was not in the set. */
static inline bool marks_put(struct marks *m, uint32_t row) {
    uint64_t *word = &m->rows[row / 64], bit = UINT64_C(1) << row % 64;
    if (*word & bit) return false;
    *word |= bit;
    m->groups[row / 4096] |= UINT64_C(1) << row / 64 % 64;
    m->n++;
    return true;
}

static inline void marks_drop(struct marks *m, uint32_t row) {
    uint64_t *word = &m->rows[row / 64];
    if (!marks_has(m, row)) return;
    *word &= ~(UINT64_C(1) << row % 64);
    if (!*word) m->groups[row / 4096] &= ~(UINT64_C(1) << row / 64 % 64);
    m->n--;
}

/* The lowest row of the set; UINT32_MAX when it is empty. */
static inline uint32_t marks_lowest(const struct marks *m) {
    for (uint32_t g = 0; m->n > 0 && g < m->n_groups; g++) {
        if (!m->groups[g]) continue;
        uint32_t word = g * 64 + (uint32_t)__builtin_ctzll(m->groups[g]);
        return word * 64 + (uint32_t)__builtin_ctzll(m->rows[word]);
    }
    return UINT32_MAX;
}

/* Takes rows out of the set, lowest first, as many as fit into out (most >= 64); their number, 0 when the set is empty.
 * *at: 0 before the first call, then as it was left; nothing may be put between the calls. */
static inline uint32_t marks_take(struct marks *m, uint32_t *at, uint32_t *out, uint32_t most) {
    uint32_t n = 0;
    for (; *at < m->n_groups; ++*at) {
        uint64_t *group = &m->groups[*at];
        for (; *group; *group &= *group - 1) {
            if (n + 64 > most) return n;
            uint32_t word = *at * 64 + (uint32_t)__builtin_ctzll(*group);
            for (uint64_t w = m->rows[word]; w; w &= w - 1) out[n++] = word * 64 + (uint32_t)__builtin_ctzll(w);
            m->n -= (uint32_t)__builtin_popcountll(m->rows[word]);
            m->rows[word] = 0;
        }
    }
    return n;
}

static inline void marks_clear(struct marks *m) {
    uint32_t at = 0, out[64];
    while (marks_take(m, &at, out, 64) > 0) {
    }
}

#endif

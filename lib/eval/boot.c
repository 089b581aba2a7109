/* Cluster bootstrap. */
#include "lib/eval/boot.h"

#include <stdbool.h>

#include "lib/base/check.h"
#include "lib/base/draw.h"
#include "lib/base/mem.h"

#define DAY_MS INT64_C(86400000)

#define TABLE     (4 * BOOT_CLUSTERS_MOST) /* slots, a power of two */
#define NO_NUMBER UINT32_MAX
#define GROUPED   UINT64_C(0x75736572) /* key of the groups: "user" */

/* Numbers for 64-bit names, in the order of their first appearance. */
struct names {
    uint64_t name[TABLE];
    uint32_t number[TABLE];
    uint32_t n;
};

/* NO_NUMBER when it would be one too many. */
static uint32_t number_of(struct names *t, uint64_t name) {
    size_t at = draw_mix(name) & (TABLE - 1);
    while (t->number[at] != NO_NUMBER && t->name[at] != name) at = (at + 1) & (TABLE - 1);
    if (t->number[at] != NO_NUMBER || t->n == BOOT_CLUSTERS_MOST) return t->number[at];
    t->name[at] = name;
    t->number[at] = t->n;
    return t->n++;
}

/* What makes cases belong together. */
enum by { BY_USER, BY_GROUP, BY_DAY };

static uint64_t name_of(const struct outcome_case *c, enum by by) {
    switch (by) {
    case BY_USER:
        return c->user;
    case BY_GROUP:
        return draw_mix(c->user ^ GROUPED) % BOOT_CLUSTERS_MOST;
    default:
        return (uint64_t)((c->ts_ms - (c->ts_ms < 0 ? DAY_MS - 1 : 0)) / DAY_MS); /* rounded down */
    }
}

/* Gives each case the number of its cluster; false when there are too many. */
static bool number_all(const struct outcome_set *s, size_t from, size_t to, enum by by, struct names *t,
                       struct boot_clusters *c) {
    t->n = 0;
    for (size_t i = 0; i < TABLE; i++) t->number[i] = NO_NUMBER;
    for (size_t i = from; i < to; i++) {
        c->of[i - from] = number_of(t, name_of(&s->cases[i], by));
        if (c->of[i - from] == NO_NUMBER) return false;
    }
    c->n = t->n;
    return true;
}

static int begin(size_t n, struct boot_clusters *c, struct names **names, struct err *e) {
    *c = (struct boot_clusters){.of = mem_alloc((n > 0 ? n : 1) * sizeof *c->of)};
    *names = c->of ? mem_alloc(sizeof **names) : NULL;
    if (*names) return 0;
    boot_clusters_free(c);
    return err_set(e, ERR_NOMEM, "", "no memory for the clusters of %zu cases", n);
}

int boot_by_user(const struct outcome_set *s, size_t from, size_t to, struct boot_clusters *out, struct err *e) {
    CHECK(from <= to && to <= s->n);
    struct names *names;
    struct boot_clusters c;
    int rc = begin(to - from, &c, &names, e);
    if (rc) return rc;
    if (!number_all(s, from, to, BY_USER, names, &c)) CHECK(number_all(s, from, to, BY_GROUP, names, &c));
    mem_free(names);
    *out = c;
    return 0;
}

/* Case i of n gets block i * blocks / n, of the first case of its moment; numbers that no case has are left out. */
static void number_blocks(const struct outcome_set *s, size_t from, size_t to, struct boot_clusters *c) {
    size_t n = to - from, blocks = n / BOOT_CASES_A_BLOCK;
    blocks = blocks < BOOT_BLOCKS ? blocks : BOOT_BLOCKS;
    uint64_t last = 0;
    c->n = n > 0;
    for (size_t i = 0; i < n; i++) {
        bool joined = i > 0 && (s->cases[from + i].flags & OUTCOME_SAME_MOMENT) != 0;
        uint64_t block = (uint64_t)i * blocks / n;
        if (!joined && block != last) {
            last = block;
            c->n++;
        }
        c->of[i] = c->n - 1;
    }
}

int boot_by_time(const struct outcome_set *s, size_t from, size_t to, struct boot_clusters *out, struct err *e) {
    CHECK(from <= to && to <= s->n);
    struct names *names;
    struct boot_clusters c;
    int rc = begin(to - from, &c, &names, e);
    if (rc) return rc;
    if (!number_all(s, from, to, BY_DAY, names, &c) || c.n < BOOT_DAYS_LEAST) number_blocks(s, from, to, &c);
    mem_free(names);
    *out = c;
    return 0;
}

void boot_clusters_free(struct boot_clusters *c) {
    mem_free(c->of);
    *c = (struct boot_clusters){.n = 0};
}

int boot_draw(const double *sums, uint32_t n, size_t n_columns, unsigned draws, uint64_t seed, double *out,
              struct err *e) {
    CHECK(n >= 2);
    double *times = mem_alloc(n * sizeof *times); /* each cluster was drawn */
    if (!times) return err_set(e, ERR_NOMEM, "", "no memory for draws of %u clusters", n);
    for (unsigned d = 0; d < draws; d++) {
        uint64_t key = draw_mix(draw_mix(seed) + d);
        double *row = out + (size_t)d * n_columns;
        for (uint32_t i = 0; i < n; i++) times[i] = 0;
        for (uint32_t i = 0; i + 1 < n; i++) times[draw_below(draw_bits(key, i), n)]++;
        for (size_t k = 0; k < n_columns; k++) row[k] = 0;
        for (uint32_t i = 0; i < n; i++) {
            const double *cluster = sums + (size_t)i * n_columns;
            if (times[i] == 0) continue;
            for (size_t k = 0; k < n_columns; k++) row[k] += times[i] * cluster[k];
        }
    }
    mem_free(times);
    return 0;
}

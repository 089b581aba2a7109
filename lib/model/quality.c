/* Decayed sums of figures, and what they say. */
#include "lib/model/quality.h"

#include <math.h>
#include <sched.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/fmath.h"

#define FEW 30.0 /* cases below which no band is given: the normal approximation would flatter */

const char *quality_figure_name(enum quality_figure f) {
    static const char *const names[QUALITY_FIGURES] = {"ndcg", "recall", "mrr"};
    return names[f];
}

void quality_init(struct quality *q) { memset(q, 0, sizeof *q); }

static void add_rank(double *of, uint32_t rank, double gain) {
    if (rank >= QUALITY_CUT) return;
    of[QUALITY_NDCG] += gain;
    of[QUALITY_RECALL] += 1;
    of[QUALITY_MRR] += 1.0 / (rank + 1);
}

void quality_case(struct quality_event *ev, uint32_t model_rank, double model_gain, uint32_t popular_rank,
                  double popular_gain) {
    ev->cases++;
    add_rank(ev->model, model_rank, model_gain);
    add_rank(ev->popular, popular_rank, popular_gain);
}

static void fold(double *sum, double fade, double v) { *sum = fade * *sum + v; }

static void note(struct quality *q, uint32_t cohort, const struct quality_event *ev) {
    struct quality_cohort *c = &q->cohort[cohort];
    const double once = QUALITY_FADE, twice = QUALITY_FADE * QUALITY_FADE, n = ev->cases;
    fold(&c->cases, once, n);
    fold(&c->cc, twice, n * n);
    for (int f = 0; f < QUALITY_FIGURES; f++) {
        double m = ev->model[f], p = ev->popular[f];
        struct quality_sums *s = &c->of[f];
        fold(&s->model, once, m);
        fold(&s->popular, once, p);
        fold(&s->mm, twice, m * m);
        fold(&s->pp, twice, p * p);
        fold(&s->mp, twice, m * p);
        fold(&s->mc, twice, m * n);
        fold(&s->pc, twice, p * n);
    }
    q->changed |= UINT32_C(1) << cohort;
}

void quality_note(struct quality *q, const struct quality_event *ev, uint32_t length, uint32_t type) {
    CHECK(length < QUALITY_LENGTHS && type < MODEL_MAX_TYPES);
    if (ev->cases == 0) return;
    q->cases += ev->cases;
    q->events++;
    note(q, QUALITY_ALL, ev);
    note(q, length > 0 ? QUALITY_PERSONAL : QUALITY_POPULAR, ev);
    note(q, QUALITY_LENGTH + length, ev);
    note(q, QUALITY_TYPE + type, ev);
}

void quality_publish(struct quality *q) {
    if (!q->changed) return;
    uint32_t seq = atomic_load_explicit(&q->seq, memory_order_relaxed);
    atomic_store_explicit(&q->seq, seq + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (uint32_t k = 0; k < QUALITY_COHORTS; k++) {
        double values[QUALITY_NUMBERS];
        if (!(q->changed >> k & 1)) continue;
        memcpy(values, &q->cohort[k], sizeof values);
        for (size_t v = 0; v < QUALITY_NUMBERS; v++)
            atomic_store_explicit(&q->published[k][v], values[v], memory_order_relaxed);
    }
    atomic_store_explicit(&q->seq, seq + 2, memory_order_release);
    atomic_store_explicit(&q->published_cases, q->cases, memory_order_relaxed);
    atomic_store_explicit(&q->published_events, q->events, memory_order_relaxed);
    q->changed = 0;
}

static void copy_published(const struct quality *q, uint32_t cohort, struct quality_cohort *out) {
    double values[QUALITY_NUMBERS];
    for (unsigned tries = 1;; tries++) {
        uint32_t before = atomic_load_explicit(&q->seq, memory_order_acquire);
        if (!(before & 1u)) {
            for (size_t v = 0; v < QUALITY_NUMBERS; v++)
                values[v] = atomic_load_explicit(&q->published[cohort][v], memory_order_relaxed);
            atomic_thread_fence(memory_order_acquire);
            if (atomic_load_explicit(&q->seq, memory_order_relaxed) == before) break;
        }
        if (tries % 64 == 0) sched_yield();
    }
    memcpy(out, values, sizeof values);
}

/* sum: of w S; ss, sc: of w^2 S^2 and w^2 S c. */
static struct quality_mean mean_of(const struct quality_cohort *c, double sum, double ss, double sc) {
    struct quality_mean m = {NAN, NAN};
    if (c->cases <= 0) return m;
    m.value = sum / c->cases;
    double square = ss - 2 * m.value * sc + m.value * m.value * c->cc;
    if (c->cases >= FEW) m.band = 1.96 * fm_sqrt(square > 0 ? square : 0) / c->cases;
    return m;
}

void quality_read(const struct quality *q, uint32_t cohort, struct quality_view *out) {
    struct quality_cohort c;
    CHECK(cohort < QUALITY_COHORTS);
    copy_published(q, cohort, &c);
    out->cases = c.cases;
    for (int f = 0; f < QUALITY_FIGURES; f++) {
        const struct quality_sums *s = &c.of[f];
        out->of[f].model = mean_of(&c, s->model, s->mm, s->mc);
        out->of[f].popular = mean_of(&c, s->popular, s->pp, s->pc);
        out->of[f].difference = mean_of(&c, s->model - s->popular, s->mm - 2 * s->mp + s->pp, s->mc - s->pc);
    }
}

uint64_t quality_cases(const struct quality *q) {
    return atomic_load_explicit(&q->published_cases, memory_order_relaxed);
}

uint64_t quality_events(const struct quality *q) {
    return atomic_load_explicit(&q->published_events, memory_order_relaxed);
}

void quality_encode(const struct quality *q, struct buf *out) {
    buf_put_u8(out, QUALITY_COHORTS);
    buf_put_u64(out, q->cases);
    buf_put_u64(out, q->events);
    for (uint32_t k = 0; k < QUALITY_COHORTS; k++) {
        double values[QUALITY_NUMBERS];
        memcpy(values, &q->cohort[k], sizeof values);
        for (size_t v = 0; v < QUALITY_NUMBERS; v++) buf_put_f64(out, values[v]);
    }
}

int quality_decode(struct quality *q, struct slice bytes, struct err *e) {
    struct cursor c = {(const uint8_t *)bytes.p, bytes.n, false};
    if (cursor_u8(&c) != QUALITY_COHORTS)
        return err_set(e, ERR_CORRUPT, "quality", "not of %d cohorts", (int)QUALITY_COHORTS);
    q->cases = cursor_u64(&c);
    q->events = cursor_u64(&c);
    for (uint32_t k = 0; k < QUALITY_COHORTS; k++) {
        double values[QUALITY_NUMBERS];
        for (size_t v = 0; v < QUALITY_NUMBERS; v++) values[v] = cursor_f64(&c);
        memcpy(&q->cohort[k], values, sizeof values);
    }
    if (c.failed || c.n != 0)
        return err_set(e, ERR_CORRUPT, "quality", "%zu bytes are not what %d cohorts need", bytes.n,
                       (int)QUALITY_COHORTS);
    q->changed = (uint32_t)((UINT64_C(1) << QUALITY_COHORTS) - 1);
    return 0;
}

/* The Page-Hinkley test by the hour of the day. */
#include "lib/model/drift.h"

#include <sched.h>
#include <string.h>

#include "lib/base/fmath.h"
#include "lib/model/neighbour.h"

#define HOUR_MS    3600000
#define FADE_HOUR  0.999   /* of the sums of an hour, per moment of that hour: some 1000 moments */
#define FADE_ALL   0.99995 /* of the sums of all moments and of squares */
#define FADE_LATE  0.99    /* of the sums that tell how much is left */
#define WARM       200     /* moments after an alarm without one, so that something can be expected */
#define DAYS_KNOWN 2
#define AGED_MOST  (INT64_MAX / 4)

_Static_assert(DRIFT_KINDS == NEIGHBOUR_KINDS, "drift.h counts the kinds");
_Static_assert(sizeof(struct drift_view) == DRIFT_VIEW * sizeof(uint64_t), "published word by word");

void drift_init(struct drift *d, const struct model_params *p) {
    memset(d, 0, sizeof *d);
    d->params = p;
    d->forget_before_ms = d->now.alarm_ms = DRIFT_NEVER;
    d->changed = true;
    drift_publish(d);
}

static void add(struct drift_sum *s, double v, double fade) {
    s->sum = fade * s->sum + v;
    s->n = fade * s->n + 1;
}

/* The place in the day, in hours, from 0 to below 24. */
static double time_of_day(int64_t clock_ms) {
    const int64_t day = (int64_t)DRIFT_HOURS * HOUR_MS;
    return (double)((clock_ms % day + day) % day) / HOUR_MS;
}

/* Between the middles of two hours, each by its evidence, and the mean of all. */
static double expected_at(const struct drift *d, double hours) {
    double from = hours + DRIFT_HOURS - 0.5;
    uint32_t low = (uint32_t)from;
    double part = from - low;
    const struct drift_sum *a = &d->hour[low % DRIFT_HOURS], *b = &d->hour[(low + 1) % DRIFT_HOURS];
    return ((1 - part) * a->sum + part * b->sum + DRIFT_SHRINK * d->all.sum / d->all.n) /
           ((1 - part) * a->n + part * b->n + DRIFT_SHRINK);
}

static void forget(struct drift *d, int64_t clock_ms) {
    const struct model_params *p = d->params;
    d->now.forgot++;
    d->forget_before_ms = clock_ms + 1; /* stamps can be coarse: rows of this one forget with their next */
    for (int k = 0; k < DRIFT_KINDS; k++) {
        int64_t half_life_ms = neighbour_half_life_ms(p, (enum neighbour_kind)k);
        if (d->aged_ms[k] < AGED_MOST) d->aged_ms[k] += (int64_t)((double)half_life_ms * (double)p->drift_age);
    }
}

static void forget_evidence(struct drift *d) {
    d->evidence = d->expected = 0;
    d->lately = (struct drift_sum){0, 0};
}

static void raise_alarm(struct drift *d, int64_t clock_ms) {
    d->now.alarms++;
    d->now.alarm_ms = clock_ms;
    d->now.expected = d->expected / d->lately.n;
    d->now.found = d->lately.sum / d->lately.n;
    for (uint32_t h = 0; h < DRIFT_HOURS; h++) { /* the shape of the day stays, at the new level, with little weight */
        double n = d->hour[h].n < DRIFT_SHRINK ? d->hour[h].n : DRIFT_SHRINK;
        if (n > 0) d->hour[h].sum = n * (d->hour[h].sum / d->hour[h].n + d->now.found - d->now.expected);
        d->hour[h].n = n;
    }
    bool acts = d->params->drift_age > 0 || d->params->drift_sums < 1;
    if (acts && d->now.found < DRIFT_KEEPS * d->now.expected) forget(d, clock_ms);
    d->all = (struct drift_sum){0, 0};
    d->since = 0;
    forget_evidence(d);
}

/* Twice as much is needed until each hour was seen twice: so far little is known of the day. */
static double threshold_at(const struct drift *d, int64_t clock_ms) {
    bool known = clock_ms - d->since_ms >= DAYS_KNOWN * (int64_t)DRIFT_HOURS * HOUR_MS;
    return (known ? 1 : 2) * (double)d->params->drift_threshold;
}

/* One moment against what was expected. */
static bool gather(struct drift *d, double v, double expected, double sigma, int64_t clock_ms) {
    d->evidence += (expected - v) / sigma - (double)d->params->drift_tolerance;
    d->expected = FADE_LATE * d->expected + expected;
    add(&d->lately, v, FADE_LATE);
    if (d->evidence <= 0) forget_evidence(d);
    return d->evidence > threshold_at(d, clock_ms);
}

/* A whole moment. */
static bool test(struct drift *d, double v, int64_t clock_ms) {
    bool alarm = false;
    double hours = time_of_day(clock_ms);
    d->now.moments++;
    if (d->since == 0) {
        d->since_ms = clock_ms;
    } else {
        double expected = expected_at(d, hours);
        add(&d->square, (expected - v) * (expected - v), FADE_ALL);
        double sigma = fm_sqrt(d->square.sum / d->square.n);
        if (d->since >= WARM && sigma > 0 && d->params->drift_threshold > 0)
            alarm = gather(d, v, expected, sigma, clock_ms);
    }
    add(&d->hour[(uint32_t)hours], v, FADE_HOUR);
    add(&d->all, v, FADE_ALL);
    d->since++;
    if (alarm) raise_alarm(d, clock_ms);
    return alarm;
}

bool drift_note(struct drift *d, uint64_t user, int64_t clock_ms, double sum, uint32_t n) {
    bool alarm = false;
    if (d->open.d.n > 0 && d->open.user != user) {
        alarm = test(d, d->open.d.sum / d->open.d.n, d->open.clock_ms);
        d->open.d = (struct drift_sum){0, 0};
    }
    d->open.user = user;
    d->open.clock_ms = clock_ms;
    d->open.d.sum += sum;
    d->open.d.n += n;
    d->changed = true;
    return alarm;
}

void drift_publish(struct drift *d) {
    uint64_t values[DRIFT_VIEW];
    if (!d->changed) return;
    d->changed = false;
    d->now.evidence = d->params->drift_threshold > 0 ? d->evidence / threshold_at(d, d->open.clock_ms) : 0;
    memcpy(values, &d->now, sizeof values);
    uint32_t seq = atomic_load_explicit(&d->seq, memory_order_relaxed);
    atomic_store_explicit(&d->seq, seq + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (size_t k = 0; k < DRIFT_VIEW; k++) atomic_store_explicit(&d->published[k], values[k], memory_order_relaxed);
    atomic_store_explicit(&d->seq, seq + 2, memory_order_release);
    atomic_store_explicit(&d->published_from_ms, drift_history_from(d), memory_order_relaxed);
}

int64_t drift_history_from_read(const struct drift *d) {
    return atomic_load_explicit(&d->published_from_ms, memory_order_relaxed);
}

struct drift_view drift_read(const struct drift *d) {
    uint64_t values[DRIFT_VIEW];
    struct drift_view view;
    for (unsigned tries = 1;; tries++) {
        uint32_t before = atomic_load_explicit(&d->seq, memory_order_acquire);
        if (!(before & 1u)) {
            for (size_t k = 0; k < DRIFT_VIEW; k++)
                values[k] = atomic_load_explicit(&d->published[k], memory_order_relaxed);
            atomic_thread_fence(memory_order_acquire);
            if (atomic_load_explicit(&d->seq, memory_order_relaxed) == before) break;
        }
        if (tries % 64 == 0) sched_yield();
    }
    memcpy(&view, values, sizeof view);
    return view;
}

static void put_sum(struct buf *out, const struct drift_sum *s) {
    buf_put_f64(out, s->sum);
    buf_put_f64(out, s->n);
}

static struct drift_sum get_sum(struct cursor *c) {
    double sum = cursor_f64(c);
    return (struct drift_sum){sum, cursor_f64(c)};
}

void drift_encode(const struct drift *d, struct buf *out) {
    for (uint32_t h = 0; h < DRIFT_HOURS; h++) put_sum(out, &d->hour[h]);
    put_sum(out, &d->all);
    put_sum(out, &d->square);
    put_sum(out, &d->lately);
    put_sum(out, &d->open.d);
    buf_put_f64(out, d->expected);
    buf_put_f64(out, d->evidence);
    buf_put_u64(out, d->since);
    buf_put_u64(out, (uint64_t)d->since_ms);
    buf_put_u64(out, d->open.user);
    buf_put_u64(out, (uint64_t)d->open.clock_ms);
    for (int k = 0; k < DRIFT_KINDS; k++) buf_put_u64(out, (uint64_t)d->aged_ms[k]);
    buf_put_u64(out, (uint64_t)d->forget_before_ms);
    buf_put_u64(out, d->now.moments);
    buf_put_u64(out, d->now.alarms);
    buf_put_u64(out, d->now.forgot);
    buf_put_u64(out, (uint64_t)d->now.alarm_ms);
    buf_put_f64(out, d->now.expected);
    buf_put_f64(out, d->now.found);
}

int drift_decode(struct drift *d, struct slice bytes, struct err *e) {
    struct cursor c = {(const uint8_t *)bytes.p, bytes.n, false};
    for (uint32_t h = 0; h < DRIFT_HOURS; h++) d->hour[h] = get_sum(&c);
    d->all = get_sum(&c);
    d->square = get_sum(&c);
    d->lately = get_sum(&c);
    d->open.d = get_sum(&c);
    d->expected = cursor_f64(&c);
    d->evidence = cursor_f64(&c);
    d->since = cursor_u64(&c);
    d->since_ms = (int64_t)cursor_u64(&c);
    d->open.user = cursor_u64(&c);
    d->open.clock_ms = (int64_t)cursor_u64(&c);
    for (int k = 0; k < DRIFT_KINDS; k++) d->aged_ms[k] = (int64_t)cursor_u64(&c);
    d->forget_before_ms = (int64_t)cursor_u64(&c);
    d->now.moments = cursor_u64(&c);
    d->now.alarms = cursor_u64(&c);
    d->now.forgot = cursor_u64(&c);
    d->now.alarm_ms = (int64_t)cursor_u64(&c);
    d->now.expected = cursor_f64(&c);
    d->now.found = cursor_f64(&c);
    d->changed = true;
    if (c.failed || c.n != 0)
        return err_set(e, ERR_CORRUPT, "drift", "%zu bytes are not what the detector's state needs", bytes.n);
    return 0;
}

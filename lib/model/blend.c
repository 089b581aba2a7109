/* Learning of the weights of the terms, and the guard that keeps it safe. */
#include "lib/model/blend.h"

#include <sched.h>
#include <string.h>

#include "lib/base/fmath.h"

#define FADE_LOG2   (-0.0028882811) /* log2(0.998): of the guard's sums, per ranking */
#define GUARD_AFTER 200             /* rankings */
#define GUARD_BELOW 0.97            /* of the start weights' NDCG: start anew */
#define START_SUM   0.1f
#define NARROWEST   1e-6f
#define LARGEST     1e4f

static void start_anew(struct blend *b, struct blend_bucket *k) {
    memcpy(k->weight, b->params->blend_start, sizeof k->weight);
    for (int f = 0; f < TERMS; f++) k->sum[f] = START_SUM;
}

void blend_init(struct blend *b, const struct model_params *p) {
    memset(b, 0, sizeof *b);
    b->params = p;
    for (uint32_t r = 0; r < BLEND_CUT; r++) b->gain[r] = (float)(1 / fm_log2(r + 2));
    for (uint32_t k = 0; k < BLEND_BUCKETS; k++) {
        start_anew(b, &b->bucket[k]);
        b->bucket[k].step = 1;
    }
    b->changed = true;
    blend_publish(b);
}

uint32_t blend_bucket(uint32_t n_history, int64_t since_ms) {
    uint32_t length = n_history <= 2 ? n_history : n_history <= 4 ? 3 : n_history <= 10 ? 4 : 5;
    return length + (n_history && since_ms > BLEND_AWAY_MS ? BLEND_USERS / 2 : 0);
}

const float *blend_weights(const struct blend *b, uint32_t bucket) {
    const struct blend_bucket *k = &b->bucket[bucket];
    return k->learned >= k->start ? k->weight : b->params->blend_start;
}

void blend_publish(struct blend *b) {
    if (!b->changed) return;
    b->changed = false;
    uint32_t seq = atomic_load_explicit(&b->seq, memory_order_relaxed);
    atomic_store_explicit(&b->seq, seq + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (uint32_t k = 0; k < BLEND_BUCKETS; k++)
        for (int f = 0; f < TERMS; f++)
            atomic_store_explicit(&b->served[k][f], blend_weights(b, k)[f], memory_order_relaxed);
    atomic_store_explicit(&b->seq, seq + 2, memory_order_release);
}

void blend_read(const struct blend *b, uint32_t bucket, float *weight) {
    for (unsigned tries = 1;; tries++) {
        uint32_t before = atomic_load_explicit(&b->seq, memory_order_acquire);
        if (!(before & 1u)) {
            for (int f = 0; f < TERMS; f++)
                weight[f] = atomic_load_explicit(&b->served[bucket][f], memory_order_relaxed);
            atomic_thread_fence(memory_order_acquire);
            if (atomic_load_explicit(&b->seq, memory_order_relaxed) == before) return;
        }
        if (tries % 64 == 0) sched_yield();
    }
}

static bool is_finite(float v) { return v - v == 0; }

/* The difference of scores that matters in a ranking. */
static float width_of(const struct blend_example *others, uint32_t n) {
    float spread = n > 0 ? others[0].score - others[n - 1].score : 0;
    float width = BLEND_WIDTH * spread;
    return width > NARROWEST ? width : NARROWEST;
}

void blend_learn(struct blend *b, uint32_t bucket, uint32_t rank, const struct blend_example *target,
                 const struct blend_example *others, uint32_t n) {
    struct blend_bucket *k = &b->bucket[bucket];
    const struct model_params *p = b->params;
    float gradient[TERMS] = {0}, of_target = (float)blend_gain(b, rank);
    float sharp = 1 / width_of(others, n);
    for (uint32_t o = 0; o < n; o++) {
        float swap = (float)blend_gain(b, o < rank ? o : o + 1) - of_target;
        float ahead = fm_sigmoidf((others[o].score - target->score) * sharp);
        float lambda = (swap < 0 ? -swap : swap) * ahead * (1 - ahead);
        for (int f = 0; f < TERMS; f++) gradient[f] += lambda * (target->term[f] - others[o].term[f]);
    }
    for (int f = 0; f < TERMS; f++) {
        if (p->terms_off >> f & 1u) continue;
        float sum = k->sum[f] + gradient[f] * gradient[f];
        float step = k->step * (f < TERMS_SPARSE ? p->blend_step_neighbours : p->blend_step);
        float weight = k->weight[f] + step * gradient[f] / fm_sqrtf(sum);
        bool positive = f <= TERM_EMBEDDING || f == TERM_AFFINITY || f == TERM_SUCCESSION;
        if (positive && weight < 0) weight = 0;
        if (!is_finite(sum) || !(weight <= LARGEST && weight >= -LARGEST)) continue;
        k->sum[f] = sum;
        k->weight[f] = weight;
    }
    b->changed = true;
}

void blend_judge(struct blend *b, uint32_t bucket, uint32_t n, double learned, double start) {
    struct blend_bucket *k = &b->bucket[bucket];
    double fade = fm_exp2(n * FADE_LOG2), ahead = learned - start;
    k->learned = fade * k->learned + learned;
    k->start = fade * k->start + start;
    k->rankings = fade * k->rankings + n;
    k->squares = fade * fade * k->squares + ahead * ahead;
    b->changed = true;
    double behind = k->start - k->learned;
    if (k->rankings <= GUARD_AFTER || k->learned >= GUARD_BELOW * k->start) return;
    if (behind * behind < BLEND_SURE * BLEND_SURE * k->squares) return;
    start_anew(b, k);
    k->step /= 2;
    k->restarts++;
    k->learned = k->start;
    k->squares = 0;
}

void blend_encode(const struct blend *b, struct buf *out) {
    buf_put_u8(out, BLEND_BUCKETS);
    buf_put_u8(out, TERMS);
    for (uint32_t k = 0; k < BLEND_BUCKETS; k++) {
        const struct blend_bucket *from = &b->bucket[k];
        for (int f = 0; f < TERMS; f++) buf_put_f32(out, from->weight[f]);
        for (int f = 0; f < TERMS; f++) buf_put_f32(out, from->sum[f]);
        buf_put_f32(out, from->step);
        buf_put_u32(out, from->restarts);
        buf_put_f64(out, from->learned);
        buf_put_f64(out, from->start);
        buf_put_f64(out, from->rankings);
        buf_put_f64(out, from->squares);
    }
}

int blend_decode(struct blend *b, struct slice bytes, struct err *e) {
    struct cursor c = {(const uint8_t *)bytes.p, bytes.n, false};
    if (cursor_u8(&c) != BLEND_BUCKETS || cursor_u8(&c) != TERMS)
        return err_set(e, ERR_CORRUPT, "blend", "not %u sets of %d weights", BLEND_BUCKETS, TERMS);
    for (uint32_t k = 0; k < BLEND_BUCKETS; k++) {
        struct blend_bucket *to = &b->bucket[k];
        for (int f = 0; f < TERMS; f++) to->weight[f] = cursor_f32(&c);
        for (int f = 0; f < TERMS; f++) to->sum[f] = cursor_f32(&c);
        to->step = cursor_f32(&c);
        to->restarts = cursor_u32(&c);
        to->learned = cursor_f64(&c);
        to->start = cursor_f64(&c);
        to->rankings = cursor_f64(&c);
        to->squares = cursor_f64(&c);
    }
    if (c.failed || c.n != 0)
        return err_set(e, ERR_CORRUPT, "blend", "%zu bytes are not what %u sets of %d weights need", bytes.n,
                       BLEND_BUCKETS, TERMS);
    b->changed = true;
    return 0;
}

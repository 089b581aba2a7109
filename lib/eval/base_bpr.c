/* Matrix factorisation by Bayesian personalised ranking, in one pass of plain stochastic steps.
 *
 * (Rendle, Freudenthaler, Gantner and Schmidt-Thieme 2009: criterion BPR-Opt, algorithm LearnBPR, on matrix
 * factorisation; with a bias for each item.) For each first use of item i by user u, of weight w, and each of NEGATIVES
 * items j drawn uniformly from those learned before that u has not used:
 *
 *     x_uij = p_u . (q_i - q_j) + b_i - b_j,    g = w sigmoid(-x_uij)
 *     p_u += rate (g (q_i - q_j) - reg p_u),   q_i += rate (g p_u - reg q_i),   q_j += rate (-g p_u - reg q_j)
 *     b_i += rate (g - reg b_i),               b_j += rate (-g - reg b_j)          all from the values before
 *
 *     score(i) = p_u . q_i + b_i for every item learned
 *
 * A user without history is left to the fall-back. Start values come from (seed, row), draws from (seed, number of the
 * event, place in it). Memory: 256 bytes for each user who came, 261 for each item. */
#include <stdio.h>
#include <string.h>

#include "lib/base/draw.h"
#include "lib/base/fmath.h"
#include "lib/base/mem.h"
#include "lib/eval/baseline_priv.h"
#include "lib/model/kernel.h"

#define DIM       64
#define NEGATIVES 8
#define DEVIATION 0.05f /* of start values */
#define TRIES     10    /* draws for one negative before it is left out */

struct bpr {
    struct baseline base;
    struct bpr_config c;
    uint64_t seed, n_events;
    const struct kernel *kernel;
    float *p;              /* (n_users, DIM) */
    float *q;              /* (n_items, DIM) */
    float *bias;           /* (n_items) */
    bool *learned;         /* (n_items) the item was learned */
    uint32_t users, items; /* rows before these have their start values */
    uint32_t n_users, n_items;
};

static const struct bpr_config grid[] = {
    {0.02f, 0.01f, PAST_7_DAYS},  {0.05f, 0.003f, PAST_7_DAYS}, {0.05f, 0.02f, PAST_7_DAYS},
    {0.1f, 0.01f, PAST_1_DAY},    {0.2f, 0.003f, PAST_6_HOURS}, {0.2f, 0.02f, PAST_6_HOURS},
    {0.4f, 0.003f, PAST_6_HOURS}, {0.4f, 0.02f, PAST_6_HOURS},
};

static void bpr_free(struct baseline *b) {
    struct bpr *m = (struct bpr *)b;
    mem_unmap(m->p, (size_t)m->n_users * DIM * sizeof *m->p);
    mem_unmap(m->q, (size_t)m->n_items * DIM * sizeof *m->q);
    mem_unmap(m->bias, (size_t)m->n_items * sizeof *m->bias);
    mem_unmap(m->learned, (size_t)m->n_items * sizeof *m->learned);
    mem_free(m);
}

static void bpr_describe(uint32_t config, char text[BASELINE_TEXT]) {
    const struct bpr_config *c = &grid[config];
    snprintf(text, BASELINE_TEXT, "dim=%d negatives=%d rate=%g reg=%g fallback=%s", DIM, NEGATIVES, (double)c->rate,
             (double)c->reg, past_popularity_name(c->fallback));
}

int base_bpr_new(const struct bpr_config *c, const struct past *past, uint64_t seed, struct baseline **out,
                 struct err *e) {
    struct bpr *m = mem_zalloc(sizeof *m);
    if (!m) return err_set(e, ERR_NOMEM, NULL, "no memory");
    *m = (struct bpr){.base = {&base_bpr, past, c->fallback}, .c = *c, .seed = seed, .kernel = kernel_pick("auto")};
    m->n_users = past_n_users(past);
    m->n_items = past_n_items(past);
    m->p = mem_map((size_t)m->n_users * DIM * sizeof *m->p);
    m->q = mem_map((size_t)m->n_items * DIM * sizeof *m->q);
    m->bias = mem_map((size_t)m->n_items * sizeof *m->bias);
    m->learned = mem_map((size_t)m->n_items * sizeof *m->learned);
    if (!m->p || !m->q || !m->bias || !m->learned) {
        bpr_free(&m->base);
        return err_set(e, ERR_NOMEM, NULL, "no memory for %u users and %u items", past_n_users(past),
                       past_n_items(past));
    }
    *out = &m->base;
    return 0;
}

static int bpr_make(uint32_t config, const struct past *past, uint64_t seed, struct baseline **out, struct err *e) {
    return base_bpr_new(&grid[config], past, seed, out, e);
}

/* Start values of the rows up to `row` that have none; *begun counts those that have. */
static void start_rows(const struct bpr *m, float *rows, enum draw_purpose purpose, uint32_t *begun, uint32_t row) {
    for (; *begun <= row; ++*begun) {
        struct slice id = {(const char *)begun, sizeof *begun};
        draw_start_row(m->seed, purpose, id, DEVIATION, rows + (size_t)*begun * DIM, DIM);
    }
}

static void bpr_score(struct baseline *b, uint32_t user, int64_t ts_ms, struct scores *out) {
    (void)ts_ms;
    struct bpr *m = (struct bpr *)b;
    uint32_t n_history, n;
    past_history(b->past, user, &n_history);
    if (n_history == 0) return;
    const uint32_t *candidates = past_candidates(b->past, &n);
    const float *p = m->p + (size_t)user * DIM;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t item = candidates[k];
        if (m->learned[item]) scores_set(out, item, m->kernel->dot(p, m->q + (size_t)item * DIM, DIM) + m->bias[item]);
    }
}

static void step(struct bpr *m, float *p, uint32_t i, uint32_t j, float weight) {
    float *qi = m->q + (size_t)i * DIM, *qj = m->q + (size_t)j * DIM, *bi = &m->bias[i], *bj = &m->bias[j];
    float x = m->kernel->dot(p, qi, DIM) - m->kernel->dot(p, qj, DIM) + *bi - *bj;
    float rate = m->c.rate, reg = m->c.reg, g = weight * fm_sigmoidf(-x);
    for (uint32_t k = 0; k < DIM; k++) {
        float was = p[k];
        p[k] += rate * (g * (qi[k] - qj[k]) - reg * was);
        qi[k] += rate * (g * was - reg * qi[k]);
        qj[k] += rate * (-g * was - reg * qj[k]);
    }
    *bi += rate * (g - reg * *bi);
    *bj += rate * (-g - reg * *bj);
}

static void learn_item(struct bpr *m, const struct past_event *ev, uint32_t place, uint64_t number) {
    uint32_t n, item = ev->items[place];
    const uint32_t *candidates = past_candidates(m->base.past, &n);
    struct draw_place at = {.offset = number, .index = place};
    uint64_t key = draw_key(m->seed, &at, DRAW_NEGATIVES);
    for (uint32_t k = 0; k < NEGATIVES && n > 0; k++) {
        for (uint32_t try = 0; try < TRIES; try++) {
            uint32_t j = candidates[draw_below(draw_bits(key, k * TRIES + try), n)];
            if (!m->learned[j] || j == item || past_used(m->base.past, ev->user, j)) continue;
            step(m, m->p + (size_t)ev->user * DIM, item, j, ev->weight);
            break;
        }
    }
}

static int bpr_learn(struct baseline *b, const struct past_event *ev, struct err *e) {
    (void)e;
    struct bpr *m = (struct bpr *)b;
    uint64_t number = m->n_events++;
    if (ev->weight == 0) return 0;
    start_rows(m, m->p, DRAW_START_USER, &m->users, ev->user);
    for (uint32_t k = 0; k < ev->n_items; k++) {
        uint32_t item = ev->items[k];
        start_rows(m, m->q, DRAW_START_ITEM, &m->items, item);
        if (!past_used(b->past, ev->user, item) && !base_is_again(ev, k)) learn_item(m, ev, k, number);
        m->learned[item] = true;
    }
    return 0;
}

static size_t bpr_size_bytes(const struct baseline *b) {
    const struct bpr *m = (const struct bpr *)b;
    return sizeof *m + (size_t)m->users * DIM * sizeof *m->p +
           (size_t)m->items * ((DIM + 1) * sizeof *m->q + sizeof *m->learned);
}

const struct baseline_kind base_bpr = {
    .name = "bpr",
    .paper = "Rendle, Freudenthaler, Gantner, Schmidt-Thieme 2009",
    .n_configs = sizeof grid / sizeof *grid,
    .make = bpr_make,
    .free = bpr_free,
    .describe = bpr_describe,
    .score = bpr_score,
    .learn = bpr_learn,
    .size_bytes = bpr_size_bytes,
};

/* Shares of terms and of history items in the scores of an answer. */
#include "lib/model/explain.h"

#include <string.h>

#include "lib/base/mem.h"

struct explain {
    float (*term)[TERMS]; /* (n, TERMS) shares */
    float *part;          /* (n, n_parts) shares of the items of history and cart */
    size_t n, n_parts, cap;
    uint32_t *rows; /* (n_parts) of the history, then of the cart */
};

struct explain *explain_new(void) {
    return mem_zalloc(sizeof(struct explain));
}

void explain_free(struct explain *x) {
    if (!x) return;
    mem_free(x->term);
    mem_free(x->part);
    mem_free(x->rows);
    mem_free(x);
}

static int room(struct explain *x, size_t n, size_t n_parts, struct err *e) {
    x->n = n;
    x->n_parts = n_parts;
    size_t cap = (n + 1) * (n_parts + 1);
    if (cap <= x->cap) return 0;
    void *term = mem_realloc(x->term, cap * sizeof *x->term);
    if (term) x->term = term;
    void *part = mem_realloc(x->part, cap * sizeof *x->part);
    if (part) x->part = part;
    uint32_t *rows = mem_realloc(x->rows, cap * sizeof *x->rows);
    if (rows) x->rows = rows;
    if (!term || !part || !rows) return err_set(e, ERR_NOMEM, NULL, "no memory to explain %zu items", n);
    x->cap = cap;
    return 0;
}

/* Terms of one hit, and what each item of the history adds to the embedding product and to the affinity. */
static void explain_dense(struct explain *x, const struct explain_moment *at, size_t i, uint32_t row) {
    const struct items *t = at->model->items;
    const struct kernel *kernel = at->model->kernel;
    const struct terms_row *sparse = terms_find(at->terms, row);
    struct item_head head;
    float q[MODEL_MAX_DIM], y[MODEL_MAX_DIM], *term = x->term[i];
    item_read(t, row, &head, q, NULL);
    memset(term, 0, sizeof x->term[i]);
    for (int f = 0; sparse && f < TERMS_SPARSE; f++) term[f] = at->weight[f] * sparse->value[f];
    bool learned = head.q_sum > 0;
    if (learned) term[TERM_EMBEDDING] = at->weight[TERM_EMBEDDING] * (kernel->dot(at->query->x, q, t->dim) + head.bias);
    for (int h = 0; h < MODEL_TRENDS; h++) {
        double trend = head.trend[h] - (double)at->query->clock_ms / (double)t->params->trend_half_life_ms[h];
        term[TERM_TREND + h] =
            at->weight[TERM_TREND + h] * (float)(trend < TOPK_TREND_FLOOR ? TOPK_TREND_FLOOR : trend);
    }
    struct content_terms c = {{0}, {0}};
    if (at->query->content) (void)content_terms(at->query->content, row, &c);
    for (int f = 0; f < CONTENT_TERMS; f++) term[TERM_CONTENT + f] = at->weight[TERM_CONTENT + f] * c.term[f];
    for (int h = 0; h < MODEL_TRENDS; h++) term[TERM_TREND + h] += at->weight[TERM_TREND + h] * c.lift[h];
    for (size_t k = 0; k < x->n_parts; k++) {
        float *part = &x->part[i * x->n_parts + k];
        *part = 0;
        if (k >= at->history->n || !learned) continue;
        item_read(t, x->rows[k], &head, NULL, y);
        *part = at->weight[TERM_EMBEDDING] * at->history->parts[k].weight * kernel->dot(y, q, t->dim);
    }
    if (at->query->content)
        content_affinity_parts(at->query->content, at->history, row, at->weight[TERM_AFFINITY],
                               &x->part[i * x->n_parts]);
}

/* What one neighbour row, that of part k, adds to the hits that are in it. */
static int explain_list(struct explain *x, const struct explain_moment *at, enum neighbour_kind kind, uint32_t k,
                        float near, const struct topk_hit *hits, struct err *e) {
    struct terms *s = at->terms;
    /* Rows that were changed since the ranking name other items, for which there may be no more room. */
    if (s->n > s->cap) return 0;
    int rc = neighbours_read(at->model->neighbours, at->reader, kind, x->rows[k], &s->list, e);
    if (rc < 0) return rc;
    terms_measure(s, at->model->items, kind, &s->list, x->rows[k], near);
    for (uint32_t entry = 0; entry < s->list.n; entry++)
        for (size_t i = 0; i < x->n; i++)
            if (hits[i].row == s->list.row[entry]) x->part[i * x->n_parts + k] += at->weight[kind] * s->numbers[entry];
    return 0;
}

int explain_rows(struct explain *x, const struct explain_moment *at, const struct topk_hit *hits, size_t n,
                 struct err *e) {
    size_t n_history = at->history->n_known, n_cart = at->n_cart;
    int rc = room(x, n, n_history + n_cart, e);
    if (rc < 0) return rc;
    for (size_t k = 0; k < n_history; k++) x->rows[k] = at->history->parts[k].row;
    for (size_t k = 0; k < n_cart; k++) x->rows[n_history + k] = at->cart[k];
    for (size_t i = 0; i < n; i++) explain_dense(x, at, i, hits[i].row);
    for (uint32_t k = 0; k < terms_n_asks(at->history) && rc == 0; k++) {
        struct terms_ask ask = terms_ask(at->history, k);
        rc = explain_list(x, at, ask.kind, ask.part, ask.near, hits, e);
    }
    for (int kind = TERMS_OF_CART; kind < TERMS_SPARSE; kind++)
        for (uint32_t k = 0; k < n_cart && rc == 0; k++)
            rc = explain_list(x, at, (enum neighbour_kind)kind, (uint32_t)n_history + k, 1, hits, e);
    return rc;
}

void explain_name(const struct explain *x, const struct items *t, size_t i, struct recommend_reason *out) {
    const float *part = &x->part[i * x->n_parts];
    memcpy(out->share, x->term[i], sizeof out->share);
    out->n = 0;
    for (size_t k = 0; k < x->n_parts; k++) {
        struct slice id = items_id(t, x->rows[k]);
        if (id.n == 0 || !(part[k] > 0)) continue;
        uint32_t at = out->n;
        for (; at > 0 && part[k] > out->because[at - 1].share; at--)
            if (at < RECOMMEND_REASONS) out->because[at] = out->because[at - 1];
        if (at == RECOMMEND_REASONS) continue;
        out->because[at].item = id;
        out->because[at].share = part[k];
        if (out->n < RECOMMEND_REASONS) out->n++;
    }
}

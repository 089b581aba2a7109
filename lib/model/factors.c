/* Extremes of every dimension in one pass over the items. */
#include "lib/model/factors.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/fmath.h"
#include "lib/base/mem.h"

void factors_free(struct factors *f) {
    mem_free(f->factor);
    mem_free(f->extremes);
    memset(f, 0, sizeof *f);
}

static int room(struct factors *f, uint32_t dim, uint32_t k, struct err *e) {
    *f = (struct factors){.dim = dim};
    f->factor = mem_zalloc(dim * sizeof *f->factor);
    f->extremes = mem_zalloc((size_t)dim * 2 * k * sizeof *f->extremes);
    if (!f->factor || !f->extremes) {
        factors_free(f);
        return err_set(e, ERR_NOMEM, NULL, "no memory for the extremes of %u dimensions", dim);
    }
    for (uint32_t d = 0; d < dim; d++)
        f->factor[d] = (struct factor){.dimension = d,
                                       .highest = f->extremes + (size_t)d * 2 * k,
                                       .lowest = f->extremes + ((size_t)d * 2 + 1) * k};
    return 0;
}

/* Into a list of the n furthest out so far, furthest first, of which k are kept; of equals the first to come stays
 * before. sign: +1 for the highest, -1 for the lowest. */
static void insert(struct factor_item *list, uint32_t n, uint32_t k, float sign, struct factor_item item) {
    uint32_t at = n < k ? n : k;
    if (at == k && !(sign * item.value > sign * list[k - 1].value)) return;
    at -= at == k;
    for (; at > 0 && sign * item.value > sign * list[at - 1].value; at--) list[at] = list[at - 1];
    list[at] = item;
}

static void add_item(struct factors *f, struct slice id, const float *q, uint32_t k) {
    f->n_items++;
    for (uint32_t d = 0; d < f->dim; d++) {
        struct factor *one = &f->factor[d];
        double step = (double)q[d] - one->mean; /* Welford 1962 */
        one->mean += step / f->n_items;
        one->deviation += step * ((double)q[d] - one->mean);
        insert(one->highest, one->n, k, 1, (struct factor_item){id, q[d]});
        insert(one->lowest, one->n, k, -1, (struct factor_item){id, q[d]});
        one->n += one->n < k;
    }
}

static int widest_first(const void *a, const void *b) {
    const struct factor *x = a, *y = b;
    if (x->deviation != y->deviation) return x->deviation > y->deviation ? -1 : 1;
    return x->dimension < y->dimension ? -1 : 1;
}

int factors_find(const struct items *t, const struct recommend_answer *a, uint32_t k, struct factors *out,
                 struct err *e) {
    if (k < 1 || k > FACTORS_MAX) return err_set(e, ERR_RANGE, "k", "k is %u, allowed are 1 to %d", k, FACTORS_MAX);
    int rc = room(out, t->dim, k, e);
    if (rc < 0) return rc;
    for (size_t i = 0; i < a->n; i++) {
        struct item_head head;
        float q[MODEL_MAX_DIM];
        item_read(t, a->hits[i].row, &head, q, NULL);
        if (head.q_sum > 0) add_item(out, a->hits[i].id, q, k);
    }
    for (uint32_t d = 0; d < out->dim && out->n_items > 0; d++)
        out->factor[d].deviation = fm_sqrt(out->factor[d].deviation / out->n_items);
    qsort(out->factor, out->dim, sizeof *out->factor, widest_first);
    return 0;
}

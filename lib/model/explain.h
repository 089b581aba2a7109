/* Why an item stands in an answer: the share of each term, and the items of the history that contributed most. */
#ifndef RANKD_MODEL_EXPLAIN_H
#define RANKD_MODEL_EXPLAIN_H

#include "lib/model/history.h"
#include "lib/model/recommend.h"
#include "lib/model/terms.h"
#include "lib/model/topk.h"

struct explain;                    /* scratch of one serving thread */
struct explain *explain_new(void); /* NULL when memory is refused */
void explain_free(struct explain *x);

struct explain_moment { /* what the answer was made from */
    struct model *model;
    unsigned reader;
    const struct history *history;
    struct terms *terms; /* as the query used them; its lists are scratch */
    const struct topk_query *query;
    const float *weight;  /* (TERMS) */
    const uint32_t *cart; /* (n_cart) rows of the request's cart that count, TERMS_CART at most */
    size_t n_cart;
};

/* Inside the epoch section, which is left while a neighbour row is read from the backing: ids found before are gone
 * then. The rows are read again: while learning goes on a share may be newer than the score, or missing. ERR_NOMEM,
 * errors of neighbours_read. */
int explain_rows(struct explain *x, const struct explain_moment *at, const struct topk_hit *hits, size_t n,
                 struct err *e) ERR_MUST_CHECK;
/* Hit number i of the last explain_rows with the ids of now. */
void explain_name(const struct explain *x, const struct items *t, size_t i, struct recommend_reason *out);

#endif

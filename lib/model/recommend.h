/* From a user and a request to a ranked list: the reading side of the model.
 *
 * A struct recommend is the scratch of one serving thread. Every call runs inside one epoch section of that thread's
 * reader number; the answer points to ids that live until recommend_done. */
#ifndef RANKD_MODEL_RECOMMEND_H
#define RANKD_MODEL_RECOMMEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/model/model.h"
#include "lib/model/topk.h"

enum recommend_basis {
    RECOMMEND_PERSONAL,  /* the user has done something */
    RECOMMEND_HISTORY,   /* the request says what he did */
    RECOMMEND_DESCRIBED, /* neither; his features are known */
    RECOMMEND_POPULAR,
};

struct recommend_request {
    struct slice user; /* empty = nobody known */
    /* Item ids the request carries, oldest first; used when the user has no history of his own, with the largest
     * history weight of the types. An id given twice counts where it is newest. */
    const struct slice *history;
    size_t n_history;
    /* Item ids the visitor is about to buy together, in any order: what baskets had beside the first TERMS_CART known
     * ones is ranked by a term of its own, and they are asked for what baskets had lately in place of the history; all
     * with weights of their own. None is answered. Without any history they are one too, oldest first. */
    const struct slice *cart;
    size_t n_cart;
    const struct slice *exclude; /* item ids never answered; unknown ones are ignored */
    size_t n_exclude;
    const struct slice *only; /* rank these ids alone; unknown ones are left out and counted */
    size_t n_only;
    bool explain;   /* recommend_rank: with reasons */
    bool keep_used; /* default false: items the user (or the history) has used are left out */
    uint32_t k;
    int64_t wall_ms;
    int64_t at_ms; /* the moment of the ranking, for trends and pauses; 0 = the model clock */
};

struct recommend_hit {
    struct slice id;
    float score;
    uint32_t row;        /* of the item; ITEM_NONE for an unknown one */
    uint32_t generation; /* of the row */
};

#define RECOMMEND_REASONS 3

struct recommend_reason { /* why a hit stands where it does */
    float share[TERMS];   /* weight * value of each term: they add up to the score */
    struct {
        struct slice item; /* of the history or the cart */
        float share;       /* of the score: its part of the user vector, of the neighbour terms and of affinity */
    } because[RECOMMEND_REASONS]; /* (n) those that contributed most, above 0 */
    uint32_t n;
};

struct recommend_answer {
    enum recommend_basis basis;
    const struct recommend_hit *hits;       /* (n), best first */
    const struct recommend_reason *reasons; /* (n) when asked for, else NULL */
    size_t n;
    size_t n_unknown; /* ids of only, history or cart that name no item */
    struct topk_work work;
};

struct recommend;
int recommend_new(struct model *m, unsigned reader, struct recommend **out, struct err *e) ERR_MUST_CHECK;
void recommend_free(struct recommend *r);

/* The score is that of lib/model/topk.h with the weights of lib/model/blend.h for the length of the history and the
 * time since the user's last event. The user vector is x = p + z * sum_j w_j y_j over the newest params.history items
 * j, w_j = history_weight * history_decay^rank, z = 1 / sqrt(sum_j w_j); the neighbour terms are those of
 * lib/model/terms.h. A known user has p and a history of his own (basis personal); a request's history alone gives p =
 * 0 (basis history); of a user who was described and has neither there are his segments (basis described); else biases
 * and trends are left (basis popular). ERR_RANGE for k; ERR_NOMEM; what reading a
 * user's or a neighbour row from the backing gave, but ERR_MISSING: such a user is unknown. On an error the section is
 * left already. */
int recommend_rank(struct recommend *r, const struct recommend_request *q, struct recommend_answer *a,
                   struct err *e) ERR_MUST_CHECK;

/* Scores of the items of q->only, in the order given, whether live, used, available or not; unknown items, among them
 * those erased during the call, get NaN and are counted. Ids are the request's own slices; k, exclude and wall_ms do
 * not matter. */
int recommend_score(struct recommend *r, const struct recommend_request *q, struct recommend_answer *a,
                    struct err *e) ERR_MUST_CHECK;

/* Items whose q is nearest by cosine to that of id; id itself left out. ERR_MISSING when id names no item, or one that
 * is erased during the call. Rows with a zero or unlearned vector score 0. */
int recommend_similar(struct recommend *r, struct slice id, uint32_t k, int64_t wall_ms, struct recommend_answer *a,
                      struct err *e) ERR_MUST_CHECK;

/* By the trends alone: trend_0 + 2^-10 trend_1 + 2^-16 trend_2, so that the slower ones decide between equals. */
int recommend_popular(struct recommend *r, uint32_t k, int64_t wall_ms, struct recommend_answer *a,
                      struct err *e) ERR_MUST_CHECK;

void recommend_done(struct recommend *r); /* leaves the epoch section, if inside; the answer is gone. Once per answer */

#endif

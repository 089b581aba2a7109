/* From a user and a request to a ranked list: user vector, exclusions, top-k, ids. */
#include "lib/model/recommend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"
#include "lib/model/explain.h"
#include "lib/model/history.h"
#include "lib/model/rows.h"
#include "lib/model/segment.h"
#include "lib/model/terms.h"

static const uint32_t AHEAD[] = {4, 1}; /* rows from the one being read to those whose head or entries are asked for */

struct recommend {
    struct model *model;
    unsigned reader;
    bool inside; /* the epoch section */
    struct topk *topk;
    struct topk_hit *ranked;    /* (TOPK_MAX) */
    struct recommend_hit *hits; /* (cap_hits) */
    size_t cap_hits;
    struct recommend_reason *reasons; /* (TOPK_MAX) once asked for */
    struct explain *explain;
    struct rows excluded, only, cart;
    struct history history;
    struct terms *terms;
    struct content *content;
    float x[MODEL_MAX_DIM];
};

/* What a request makes of its user. */
struct taste {
    enum recommend_basis basis;
    int64_t clock_ms; /* the moment of the ranking */
    float weight[TERMS];
    size_t n_unknown;
};

int recommend_new(struct model *m, unsigned reader, struct recommend **out, struct err *e) {
    struct recommend *r = mem_zalloc(sizeof *r);
    if (!r) return err_set(e, ERR_NOMEM, NULL, "no memory for a serving thread");
    r->model = m;
    r->reader = reader;
    r->topk = topk_new(&m->params);
    r->terms = terms_new(&m->params);
    r->content = content_new(&m->params);
    r->ranked = mem_alloc(TOPK_MAX * sizeof *r->ranked);
    r->hits = mem_alloc(TOPK_MAX * sizeof *r->hits);
    r->cap_hits = TOPK_MAX;
    if (r->topk && r->terms && r->content && r->ranked && r->hits) {
        *out = r;
        return 0;
    }
    recommend_free(r);
    return err_set(e, ERR_NOMEM, NULL, "no memory for a serving thread");
}

void recommend_free(struct recommend *r) {
    if (!r) return;
    topk_free(r->topk);
    terms_free(r->terms);
    content_free(r->content);
    mem_free(r->ranked);
    mem_free(r->hits);
    mem_free(r->reasons);
    explain_free(r->explain);
    rows_free(&r->excluded);
    rows_free(&r->only);
    rows_free(&r->cart);
    mem_free(r);
}

static void enter(struct recommend *r) {
    CHECK(!r->inside);
    epoch_enter(r->model->epoch, r->reader);
    r->inside = true;
    r->excluded.n = r->only.n = r->cart.n = 0;
}

void recommend_done(struct recommend *r) {
    if (r->inside) epoch_leave(r->model->epoch, r->reader);
    r->inside = false;
}

static uint16_t generation_of(const struct items *t, uint32_t row) { return (uint16_t)item_generation(t, row); }

/* Ids as entries of a history, oldest first; of ids given twice the newest counts. */
static uint32_t history_entries(const struct items *t, const struct slice *ids, size_t n_ids, int64_t at_ms,
                                struct user_entry *entries) {
    const struct model_params *p = t->params;
    uint32_t n = 0, most = history_most(t);
    for (size_t i = n_ids; i-- > 0 && n < most;) {
        uint32_t row = items_find(t, ids[i]), seen = 0;
        if (row == ITEM_NONE) continue;
        while (seen < n && entries[most - 1 - seen].row != row) seen++;
        if (seen < n) continue;
        n++;
        entries[most - n] = (struct user_entry){.row = row & USER_ROW_BITS,
                                                .generation = generation_of(t, row),
                                                .types = (uint16_t)~p->negative_types,
                                                .time_ms = (uint64_t)at_ms & ((UINT64_C(1) << 48) - 1)};
    }
    memmove(entries, entries + most - n, n * sizeof *entries);
    return n;
}

static int64_t moment_of(const struct model *m, int64_t at_ms) {
    return at_ms > 0 ? at_ms : atomic_load_explicit(&m->published_clock_ms, memory_order_acquire);
}

/* The published or stored row of the request's user; NULL when there is no such user. *loaded is to be freed. Nothing
 * read in the section so far may be in use: it is left while the backing is asked, which may be a slow disk. */
static int find_user(struct recommend *r, struct slice id, const struct user_row **out, struct user_row **loaded,
                     struct err *e) {
    const struct model *m = r->model;
    const struct user_row *row = NULL;
    *loaded = NULL;
    if (id.n > 0) {
        row = users_find(m->users, id);
        if (!row) {
            struct err why = {0};
            epoch_leave(m->epoch, r->reader);
            int rc = users_load(m->users, id, loaded, &why);
            epoch_enter(m->epoch, r->reader);
            if (rc < 0 && rc != ERR_MISSING) {
                if (e) *e = why;
                return rc;
            }
            if (rc == 0) users_want(m->users, id);
            row = *loaded;
        }
    }
    bool described = row && row->n_features > 0 && m->params.user_features > 0;
    *out = row && !row->erased && (row->n > 0 || described) ? row : NULL; /* else he was shown something at most */
    return 0;
}

static int add_terms(struct recommend *r, enum neighbour_kind kind, uint32_t row, float near, struct err *e) {
    const struct model *m = r->model;
    int rc = neighbours_read(m->neighbours, r->reader, kind, row, &r->terms->list, e);
    if (rc == 0) terms_add_list(r->terms, m->items, kind, &r->terms->list, row, near);
    return rc;
}

/* Neighbour terms of the newest items of the history, weighed. Rows outside the cache are read from the backing: the
 * epoch section is left and entered meanwhile. */
static int fill_terms(struct recommend *r, const struct taste *taste, struct err *e) {
    const struct model *m = r->model;
    const struct history *h = &r->history;
    uint32_t n = terms_n_asks(h);
    int rc = 0;
    terms_begin(r->terms, taste->clock_ms);
    for (uint32_t k = 0; k < n && rc == 0; k++) {
        struct terms_ask ask = terms_ask(h, k);
        for (uint32_t station = 0; station < 2 && k + AHEAD[station] < n; station++) {
            struct terms_ask later = terms_ask(h, k + AHEAD[station]);
            neighbours_prefetch_read(m->neighbours, later.kind, h->parts[later.part].row, (int)station);
        }
        if (taste->weight[ask.kind] == 0) continue;
        rc = add_terms(r, ask.kind, h->parts[ask.part].row, ask.near, e);
    }
    if (rc == 0 && taste->weight[TERM_SEGMENT] != 0) rc = segments_fill(r->terms, m, h, r->reader, e);
    for (int kind = TERMS_OF_CART; kind < TERMS_SPARSE && rc == 0; kind++)
        for (size_t k = 0; k < r->cart.n && taste->weight[kind] != 0 && rc == 0; k++)
            rc = add_terms(r, (enum neighbour_kind)kind, r->cart.row[k], 1, e);
    terms_weigh(r->terms, taste->weight);
    return rc;
}

/* The rows of the cart, all of them among the excluded ones. The order of those that count says nothing. */
static int cart_rows(struct recommend *r, const struct recommend_request *q, size_t *n_unknown, struct err *e) {
    struct rows *cart = &r->cart, *used = &r->excluded;
    int rc = rows_add_ids(cart, r->model->items, q->cart, q->n_cart, n_unknown, e);
    if (rc < 0 || cart->n == 0) return rc;
    rc = rows_room(used, cart->n, e);
    if (rc < 0) return rc;
    memcpy(used->row + used->n, cart->row, cart->n * sizeof *cart->row);
    used->n += cart->n;
    rows_keep_first(cart, TERMS_CART);
    rows_sort(cart);
    return 0;
}

/* What the answer rests on. A segment of which nothing is known yet is no reason. */
static enum recommend_basis basis_of(const struct model *m, const struct history *h, const struct user_row *user) {
    if (user && user->n > 0) return RECOMMEND_PERSONAL;
    if (h->n_known > 0) return RECOMMEND_HISTORY;
    for (uint32_t k = 0; k < h->n_segments; k++)
        if (segment_log_count(m->segments, h->segments[k]) > ITEM_NO_COUNT) return RECOMMEND_DESCRIBED;
    return RECOMMEND_POPULAR;
}

/* The user vector, the weights of the terms, and what was used among the excluded rows. */
static int taste_of(struct recommend *r, const struct recommend_request *q, struct taste *taste, struct err *e) {
    const struct model *m = r->model;
    const struct items *t = m->items;
    const struct user_row *user;
    struct user_row *loaded;
    struct user_entry given[MODEL_MAX_HISTORY];
    struct rows *used = &r->excluded;
    int64_t last_ms = INT64_MAX;
    uint32_t n_used = 0, n_history = 0;
    *taste = (struct taste){.basis = RECOMMEND_POPULAR, .clock_ms = moment_of(m, q->at_ms)};
    int rc = find_user(r, q->user, &user, &loaded, e);
    if (rc < 0) return rc;

    history_clear(&r->history);
    if (user) {
        const struct user_entry *own = user_entries(user, t->dim);
        rc = rows_room(used, user->n, e);
        if (rc < 0) goto out;
        for (uint32_t i = 0; i < user->n; i++) { /* what he does not want is never answered */
            if (own[i].generation != generation_of(t, own[i].row)) continue;
            n_used++;
            if (!q->keep_used || (own[i].types & m->params.negative_types)) used->row[used->n++] = own[i].row;
        }
        n_history = user_entries_since(own, user->n, drift_history_from_read(&m->drift));
        history_of(&r->history, t, own + (user->n - n_history), n_history, taste->clock_ms);
        last_ms = user->last_ms;
    }
    if (n_used == 0) {
        n_history = history_entries(t, q->history, q->n_history, taste->clock_ms, given);
        if (n_history == 0) n_history = history_entries(t, q->cart, q->n_cart, taste->clock_ms, given);
        history_of(&r->history, t, given, n_history, taste->clock_ms);
        last_ms = taste->clock_ms;
    }
    if (user) history_add_segments(&r->history, &m->params, user);
    size_t own_used = used->n;
    rc = rows_add_ids(used, t, q->history, q->n_history, &taste->n_unknown, e);
    if (rc < 0) goto out;
    if (q->keep_used) used->n = own_used;
    rc = cart_rows(r, q, &taste->n_unknown, e);
    if (rc < 0) goto out;
    if (r->cart.n > 0) r->history.n_lately = 0; /* the cart is asked in its place */
    taste->basis = basis_of(m, &r->history, user);
    float factor = history_vector(&r->history, t, m->kernel, user && user->n > 0 ? user->p : NULL, true, r->x);
    for (size_t k = 0; k < r->history.n; k++) r->history.parts[k].weight *= factor; /* as they stand in x: explained */
    uint32_t bucket = r->cart.n > 0 ? BLEND_CART : blend_bucket(n_history, taste->clock_ms - last_ms);
    blend_read(&m->blend, bucket, taste->weight);
    rc = fill_terms(r, taste, e);
    if (rc == 0) rc = content_fill(r->content, r->model, &r->history, taste->clock_ms, r->reader, e);
    content_weigh(r->content, taste->weight, atomic_load_explicit(&t->n_rows, memory_order_relaxed));
out:
    mem_free(loaded);
    return rc;
}

/* The slower trends order what the short one has forgotten: after a quiet spell all items stand at its floor. */
static struct topk_query popular_query(const struct model *m) {
    return (struct topk_query){.mu = {1, 0x1p-10f, 0x1p-16f}, .clock_ms = moment_of(m, 0)};
}

static struct topk_query query_of(const struct recommend *r, const struct taste *taste) {
    struct topk_query q = {
        .x = r->x, .terms = r->terms, .tau = taste->weight[TERM_EMBEDDING], .clock_ms = taste->clock_ms};
    memcpy(q.mu, taste->weight + TERM_TREND, sizeof q.mu);
    if (r->content->of) q.content = r->content;
    return q;
}

static int explain_hits(struct recommend *r, const struct topk_query *q, const struct taste *taste, size_t n,
                        struct err *e) {
    if (!r->reasons) r->reasons = mem_alloc(TOPK_MAX * sizeof *r->reasons);
    if (!r->explain) r->explain = explain_new();
    if (!r->reasons || !r->explain) return err_set(e, ERR_NOMEM, NULL, "no memory to explain an answer");
    struct explain_moment at = {r->model, r->reader, &r->history, r->terms, q, taste->weight, r->cart.row, r->cart.n};
    return explain_rows(r->explain, &at, r->ranked, n, e);
}

/* Not those of an item that had the row before, when the terms were collected. */
static bool has_own_terms(const struct terms *s, const struct topk_hit *hit) {
    const struct terms_row *of = terms_find(s, hit->row);
    return !of || of->generation == (uint16_t)hit->generation;
}

/* Ranks, and names the hits. */
static int answer(struct recommend *r, const struct topk_query *q, const struct taste *why, struct recommend_answer *a,
                  struct err *e) {
    const struct items *t = r->model->items;
    size_t n, named = 0;
    int rc = topk_rank(r->topk, t, r->model->scan, q, r->ranked, &n, e);
    if (rc == 0 && why) rc = explain_hits(r, q, why, n, e);
    if (rc < 0) return rc;
    for (size_t i = 0; i < n; i++) {
        const struct topk_hit *hit = &r->ranked[i];
        struct slice id = items_id(t, hit->row);
        /* Erased just now; the row may have another item since, which may have been scored in its old row as well. */
        if (id.n == 0 || item_generation(t, hit->row) != hit->generation) continue;
        if (q->terms && !has_own_terms(q->terms, hit)) continue;
        if (why) explain_name(r->explain, t, i, &r->reasons[named]);
        r->hits[named++] = (struct recommend_hit){id, hit->score, hit->row, hit->generation};
    }
    a->hits = r->hits;
    a->reasons = why ? r->reasons : NULL;
    a->n = named;
    a->work = topk_last(r->topk);
    return 0;
}

static void drop_row(struct recommend *r, struct recommend_answer *a, uint32_t row) {
    size_t kept = 0;
    for (size_t i = 0; i < a->n; i++) {
        if (r->hits[i].row == row) continue;
        r->hits[kept] = r->hits[i];
        if (a->reasons) r->reasons[kept] = r->reasons[i];
        kept++;
    }
    a->n = kept;
}

/* Items that nobody knew, or that had another row, when the rows of the request were looked up may have come among the
 * candidates since: they are as excluded as the others. r->excluded is sorted. */
static void drop_newcomers(struct recommend *r, const struct slice *ids, size_t n, struct recommend_answer *a) {
    const struct rows *known = &r->excluded;
    for (size_t i = 0; i < n; i++) {
        uint32_t row = items_find(r->model->items, ids[i]);
        if (row == ITEM_NONE) continue;
        if (rows_have(known, row)) continue;
        drop_row(r, a, row);
    }
}

/* Ends a call: the section is kept for the answer, not for an error. */
static int finish(struct recommend *r, int rc, const struct recommend_answer *made, struct recommend_answer *out) {
    if (rc < 0)
        recommend_done(r);
    else
        *out = *made;
    return rc;
}

int recommend_rank(struct recommend *r, const struct recommend_request *q, struct recommend_answer *a, struct err *e) {
    const struct items *t = r->model->items;
    struct recommend_answer made = {0};
    struct taste taste;
    size_t ignored = 0;
    enter(r);
    int rc = taste_of(r, q, &taste, e);
    if (rc == 0) rc = rows_add_ids(&r->excluded, t, q->exclude, q->n_exclude, &ignored, e);
    if (rc == 0 && q->only) {
        rc = rows_room(&r->only, 1, e); /* a list of unknown ids is not the same as none */
        if (rc == 0) rc = rows_add_ids(&r->only, t, q->only, q->n_only, &taste.n_unknown, e);
    }
    if (rc == 0) {
        struct topk_query query = query_of(r, &taste);
        rows_sort(&r->excluded);
        rows_sort(&r->only);
        query.k = q->k;
        query.wall_ms = q->wall_ms;
        query.excluded = r->excluded.row;
        query.n_excluded = r->excluded.n;
        query.only = q->only ? r->only.row : NULL;
        query.n_only = r->only.n;
        made.basis = taste.basis;
        made.n_unknown = taste.n_unknown;
        rc = answer(r, &query, q->explain ? &taste : NULL, &made, e);
    }
    if (rc == 0) {
        drop_newcomers(r, q->exclude, q->n_exclude, &made);
        drop_newcomers(r, q->cart, q->n_cart, &made);
        if (!q->keep_used) drop_newcomers(r, q->history, q->n_history, &made);
    }
    return finish(r, rc, &made, a);
}

static int hits_room(struct recommend *r, size_t n, struct err *e) {
    if (n <= r->cap_hits) return 0;
    struct recommend_hit *hits = mem_realloc(r->hits, n * sizeof *hits);
    if (!hits) return err_set(e, ERR_NOMEM, NULL, "no memory for %zu scores", n);
    r->hits = hits;
    r->cap_hits = n;
    return 0;
}

/* Where the items to be scored stand before anything is read of them; row ITEM_NONE: unknown. */
static int find_only(struct recommend *r, const struct recommend_request *q, struct err *e) {
    const struct items *t = r->model->items;
    int rc = hits_room(r, q->n_only, e);
    for (size_t i = 0; rc == 0 && i < q->n_only; i++) {
        uint32_t row = items_find(t, q->only[i]);
        r->hits[i] = (struct recommend_hit){q->only[i], NAN, row, row == ITEM_NONE ? 0 : item_generation(t, row)};
    }
    return rc;
}

/* The item's score if it had the row from find_only to now; else it was erased in between, and is unknown. */
static bool score_hit(struct recommend *r, const struct topk_query *query, struct recommend_hit *hit) {
    const struct items *t = r->model->items;
    if (hit->row == ITEM_NONE) return false;
    struct topk_hit got = topk_hit(t, r->model->kernel, query, hit->row);
    bool known = got.generation == hit->generation && items_still(t, hit->row, got.generation, hit->id);
    hit->score = known ? got.score : NAN;
    if (!known) hit->row = ITEM_NONE;
    return known;
}

int recommend_score(struct recommend *r, const struct recommend_request *q, struct recommend_answer *a, struct err *e) {
    struct recommend_answer made = {0};
    struct taste taste;
    enter(r);
    int rc = find_only(r, q, e);
    if (rc == 0) rc = taste_of(r, q, &taste, e);
    if (rc == 0) {
        struct topk_query query = query_of(r, &taste);
        for (size_t i = 0; i < q->n_only; i++) {
            bool known = score_hit(r, &query, &r->hits[i]);
            taste.n_unknown += !known;
            made.work.rescored += known;
        }
        made.basis = taste.basis;
        made.n_unknown = taste.n_unknown;
        made.hits = r->hits;
        made.n = q->n_only;
    }
    return finish(r, rc, &made, a);
}

int recommend_similar(struct recommend *r, struct slice id, uint32_t k, int64_t wall_ms, struct recommend_answer *a,
                      struct err *e) {
    const struct items *t = r->model->items;
    struct recommend_answer made = {.basis = RECOMMEND_POPULAR};
    int rc = 0;
    enter(r);
    struct item_head head;
    uint32_t row = items_find(t, id);
    if (row == ITEM_NONE || !item_read_of(t, row, id, &head, r->x)) {
        rc = err_set(e, ERR_MISSING, "item", "no item of that name");
    } else {
        if (!(head.q_sum > 0)) memset(r->x, 0, sizeof r->x);
        struct topk_query query = {
            .x = r->x, .cosine = true, .k = k, .wall_ms = wall_ms, .excluded = &row, .n_excluded = 1};
        rc = answer(r, &query, NULL, &made, e);
    }
    return finish(r, rc, &made, a);
}

int recommend_popular(struct recommend *r, uint32_t k, int64_t wall_ms, struct recommend_answer *a, struct err *e) {
    struct recommend_answer made = {.basis = RECOMMEND_POPULAR};
    enter(r);
    struct topk_query query = popular_query(r->model);
    query.k = k;
    query.wall_ms = wall_ms;
    return finish(r, answer(r, &query, NULL, &made, e), &made, a);
}

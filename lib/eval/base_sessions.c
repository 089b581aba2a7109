/* Session neighbours: what came in the sessions most like the user's recent history. V-SKNN, STAN and VSTAN.
 *
 * V-SKNN (Ludewig and Jannach 2018), STAN (Garg, Gupta, Malhotra, Vig and Shroff 2019) and VSTAN (Ludewig, Mauro,
 * Latifi and Jannach 2019) differ in which of these factors they use. The query is the newest `query` items h_0, h_1,
 * ... of the user's history, newest first, L of them. Of the sessions S that hold any of them, the user's own newest
 * one left out:
 *
 *     sim(S)   = sum over h_r in S of w_r [idf(h_r)]  * [1 / sqrt(|S|)] * [2^-(age(S) / half-life)]
 *     w_r      = query_decay^r, or (L - r) / L
 *     idf(i)   = ln((sessions + 2) / (sessions that took i + 1))
 *     score(i) = sum over the `neighbours` most similar S that hold i of
 *                sim(S) * match_r * [place_decay^|place of i in S - place of h_r in S|] * [idf(i)]
 *     match_r  = match_decay^r, or 1 / (r + 1);  h_r the newest item of the query that is in S
 *
 * | | w_r | idf | 1 / sqrt(|S|) | age | place | match |
 * | V-SKNN | linear or decay | mostly | some | no | no | 1 / (r + 1) or 1 |
 * | STAN | decay | no | some | yes | yes | 1 |
 * | VSTAN | decay | yes | some | yes | yes | decay |
 *
 * STAN's exponentials e^-(x / lambda) are written as decay^x and half-lives. Two things are ours, for a log without end
 * in which people come back: the query crosses sessions, and S is sought among the last SESSIONS_RECENT sessions of
 * each query item. The grids hold both kinds of sessions: cut by 30 minutes of inactivity, and a user's last
 * SESSION_ITEMS items. Events of weight 0 are not learned; other weights do not matter.
 *
 * Memory: that of lib/eval/sessions.h, and 20 bytes for each session kept. */
#include <stdio.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/fmath.h"
#include "lib/base/mem.h"
#include "lib/eval/baseline_priv.h"
#include "lib/eval/sessions.h"

#define DAY INT64_C(86400000)
#define GAP INT64_C(1800000) /* 30 minutes */

struct neighbour {
    float sim;
    uint32_t number;
    uint32_t rank; /* of the newest item of the query that it holds */
};

struct near {
    struct baseline base;
    struct sessions_config c;
    struct sessions *sessions;
    uint32_t *place;  /* (SESSIONS_MOST) by slot: place in found, when round says so */
    uint32_t *rounds; /* (SESSIONS_MOST) question in which a slot was met */
    uint32_t round;
    struct neighbour *found; /* (n_found) */
    uint32_t n_found;
};

static const struct sessions_config vsknn_grid[] = {
    {GAP, 20, 0, 0, false, false, 1, 0, 500, PAST_6_HOURS},   {GAP, 20, 0, 0, false, true, 1, 0, 500, PAST_6_HOURS},
    {GAP, 20, 0, 0, true, true, 1, 0, 500, PAST_6_HOURS},     {0, 20, 0, 0, true, true, 1, 0, 500, PAST_6_HOURS},
    {GAP, 20, 0.5f, 0, false, true, 1, 0, 200, PAST_6_HOURS}, {0, 20, 0.5f, 0, false, true, 1, 0, 200, PAST_6_HOURS},
    {GAP, 50, 1, 0, true, true, 1, 1, 500, PAST_7_DAYS},      {0, 50, 1, 0, true, true, 1, 1, 500, PAST_7_DAYS},
};
static const struct sessions_config stan_grid[] = {
    {GAP, 20, 0.2f, 7 * DAY, false, false, 0.7f, 1, 200, PAST_6_HOURS},
    {GAP, 20, 0.2f, 90 * DAY, false, false, 0.8f, 1, 200, PAST_6_HOURS},
    {GAP, 20, 0.2f, 90 * DAY, true, false, 0.8f, 1, 200, PAST_6_HOURS},
    {0, 20, 0.2f, 90 * DAY, false, false, 0.8f, 1, 200, PAST_6_HOURS},
    {GAP, 20, 0.4f, 90 * DAY, false, false, 0.8f, 1, 200, PAST_6_HOURS},
    {GAP, 20, 0.6f, 30 * DAY, true, false, 0.8f, 1, 200, PAST_1_DAY},
    {GAP, 50, 1, 7 * DAY, true, false, 1, 1, 500, PAST_7_DAYS},
    {0, 50, 1, 7 * DAY, true, false, 1, 1, 500, PAST_7_DAYS},
};
static const struct sessions_config vstan_grid[] = {
    {GAP, 20, 0.5f, 7 * DAY, false, true, 0.8f, 0.4f, 200, PAST_6_HOURS},
    {GAP, 20, 0.5f, 90 * DAY, false, true, 0.8f, 0.4f, 200, PAST_6_HOURS},
    {GAP, 20, 0.5f, 90 * DAY, true, true, 0.8f, 0.4f, 200, PAST_6_HOURS},
    {0, 20, 0.5f, 90 * DAY, false, true, 0.8f, 0.4f, 200, PAST_6_HOURS},
    {GAP, 20, 0.7f, 90 * DAY, false, true, 0.8f, 0.6f, 200, PAST_6_HOURS},
    {GAP, 20, 0.8f, 30 * DAY, true, true, 0.9f, 0.8f, 200, PAST_1_DAY},
    {GAP, 50, 1, 7 * DAY, true, true, 1, 1, 500, PAST_7_DAYS},
    {0, 50, 1, 7 * DAY, true, true, 1, 1, 500, PAST_7_DAYS},
    {GAP, 50, 1, 30 * DAY, true, true, 1, 1, 500, PAST_7_DAYS},
};

static void near_free(struct baseline *b) {
    struct near *m = (struct near *)b;
    sessions_free(m->sessions);
    mem_unmap(m->place, SESSIONS_MOST * sizeof *m->place);
    mem_unmap(m->rounds, SESSIONS_MOST * sizeof *m->rounds);
    mem_unmap(m->found, SESSIONS_MOST * sizeof *m->found);
    mem_free(m);
}

int base_sessions_new(const struct baseline_kind *kind, const struct sessions_config *c, const struct past *past,
                      struct baseline **out, struct err *e) {
    struct near *m = mem_zalloc(sizeof *m);
    if (!m) return err_set(e, ERR_NOMEM, NULL, "no memory");
    *m = (struct near){.base = {kind, past, c->fallback}, .c = *c};
    m->place = mem_map(SESSIONS_MOST * sizeof *m->place);
    m->rounds = mem_map(SESSIONS_MOST * sizeof *m->rounds);
    m->found = mem_map(SESSIONS_MOST * sizeof *m->found);
    int rc = m->place && m->rounds && m->found ? 0 : err_set(e, ERR_NOMEM, NULL, "no memory for session neighbours");
    if (rc == 0) rc = sessions_new(past_n_users(past), past_n_items(past), c->gap_ms, &m->sessions, e);
    if (rc != 0) {
        near_free(&m->base);
        return rc;
    }
    *out = &m->base;
    return 0;
}

static float idf(const struct near *m, uint32_t item) {
    float all = (float)sessions_count(m->sessions), with = (float)sessions_count_with(m->sessions, item);
    return m->c.idf ? fm_logf((all + 2) / (with + 1)) : 1;
}

/* Adds weight to the similarity of each session with an item of the query; items come newest first. */
static void meet(struct near *m, uint32_t item, uint32_t rank, float weight, uint32_t own) {
    uint32_t n;
    const uint32_t *numbers = sessions_with(m->sessions, item, &n);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t slot = sessions_slot(numbers[k]);
        if (numbers[k] == own || !sessions_find(m->sessions, numbers[k])) continue;
        if (m->rounds[slot] != m->round) {
            m->rounds[slot] = m->round;
            m->place[slot] = m->n_found;
            m->found[m->n_found++] = (struct neighbour){.number = numbers[k], .rank = rank};
        }
        m->found[m->place[slot]].sim += weight;
    }
}

static void finish_similarity(struct near *m, int64_t ts_ms) {
    for (uint32_t k = 0; k < m->n_found; k++) {
        const struct session *s = sessions_find(m->sessions, m->found[k].number);
        float *sim = &m->found[k].sim;
        if (m->c.normalise) *sim /= fm_sqrtf((float)s->n);
        if (m->c.age_half_life_ms > 0 && ts_ms > s->ts_ms)
            *sim *= (float)fm_exp2(-(double)(ts_ms - s->ts_ms) / (double)m->c.age_half_life_ms);
    }
}

static bool is_nearer(const struct neighbour *a, const struct neighbour *b) {
    return a->sim != b->sim ? a->sim > b->sim : a->number > b->number;
}

static void swap(struct neighbour *a, struct neighbour *b) {
    struct neighbour was = *a;
    *a = *b;
    *b = was;
}

/* Brings the k nearest to the front, in an order that depends on the input alone (Hoare 1961, quickselect). */
static void select_nearest(struct neighbour *all, uint32_t n, uint32_t k) {
    while (k < n && n > 1) {
        swap(&all[0], &all[n / 2]);
        uint32_t last = 0;
        for (uint32_t at = 1; at < n; at++) {
            if (is_nearer(&all[at], &all[0])) swap(&all[++last], &all[at]);
        }
        swap(&all[0], &all[last]); /* all before last are nearer than it */
        if (k <= last) {
            n = last;
        } else {
            all += last + 1;
            n -= last + 1;
            k -= last + 1;
        }
    }
}

static float match_weight(const struct near *m, uint32_t rank) {
    if (m->c.match_decay == 0) return 1.0f / (float)(rank + 1);
    float weight = 1;
    for (uint32_t r = 0; r < rank; r++) weight *= m->c.match_decay;
    return weight;
}

/* Scores the items of one neighbour, outwards from the item that it shares with the query. */
static void score_neighbour(const struct near *m, const struct neighbour *s, uint32_t shared, struct scores *out) {
    const struct session *at = sessions_find(m->sessions, s->number);
    uint32_t place = 0;
    while (place < at->n && at->items[place] != shared) place++;
    float near = s->sim * match_weight(m, s->rank), weight = near;
    for (uint32_t q = place + 1; q < at->n; q++) {
        weight *= m->c.place_decay;
        scores_add(out, at->items[q], weight * idf(m, at->items[q]));
    }
    weight = near;
    for (uint32_t q = place; q-- > 0;) {
        weight *= m->c.place_decay;
        scores_add(out, at->items[q], weight * idf(m, at->items[q]));
    }
}

static void near_score(struct baseline *b, uint32_t user, int64_t ts_ms, struct scores *out) {
    struct near *m = (struct near *)b;
    uint32_t n, own = sessions_last_of(m->sessions, user);
    const struct past_use *history = past_history(b->past, user, &n);
    uint32_t length = n < m->c.query ? n : m->c.query;
    if (++m->round == 0) {
        memset(m->rounds, 0, SESSIONS_MOST * sizeof *m->rounds);
        m->round = 1;
    }
    m->n_found = 0;
    float decayed = 1;
    for (uint32_t rank = 0; rank < length; rank++, decayed *= m->c.query_decay) {
        uint32_t item = history[n - 1 - rank].item;
        float weight = m->c.query_decay > 0 ? decayed : (float)(length - rank) / (float)length;
        meet(m, item, rank, weight * idf(m, item), own);
    }
    finish_similarity(m, ts_ms);
    select_nearest(m->found, m->n_found, m->c.neighbours);
    for (uint32_t k = 0; k < m->n_found && k < m->c.neighbours; k++)
        score_neighbour(m, &m->found[k], history[n - 1 - m->found[k].rank].item, out);
}

static int near_learn(struct baseline *b, const struct past_event *ev, struct err *e) {
    return ev->weight > 0 ? sessions_learn(((struct near *)b)->sessions, ev, e) : 0;
}

static size_t near_size_bytes(const struct baseline *b) {
    const struct near *m = (const struct near *)b;
    uint32_t kept = sessions_count(m->sessions);
    if (kept > SESSIONS_MOST) kept = SESSIONS_MOST;
    return sizeof *m + sessions_size_bytes(m->sessions) +
           kept * (sizeof *m->place + sizeof *m->rounds + sizeof *m->found);
}

static void describe(const struct sessions_config *c, char text[BASELINE_TEXT]) {
    char age[24] = "-", query[24] = "linear", match[24] = "1/rank";
    if (c->age_half_life_ms > 0) snprintf(age, sizeof age, "%dd", (int)(c->age_half_life_ms / DAY));
    if (c->query_decay > 0) snprintf(query, sizeof query, "%g", (double)c->query_decay);
    if (c->match_decay > 0) snprintf(match, sizeof match, "%g", (double)c->match_decay);
    snprintf(text, BASELINE_TEXT,
             "sessions=%s neighbours=%u query=%u query_decay=%s half_life=%s norm=%s idf=%s place_decay=%g match=%s "
             "fallback=%s",
             c->gap_ms > 0 ? "30min" : "user", c->neighbours, c->query, query, age, c->normalise ? "yes" : "no",
             c->idf ? "yes" : "no", (double)c->place_decay, match, past_popularity_name(c->fallback));
}

#define KIND(what, its_name, its_paper)                                                                                \
    static int what##_make(uint32_t config, const struct past *past, uint64_t seed, struct baseline **out,             \
                           struct err *e) {                                                                            \
        (void)seed;                                                                                                    \
        return base_sessions_new(&base_##what, &what##_grid[config], past, out, e);                                    \
    }                                                                                                                  \
    static void what##_describe(uint32_t config, char text[BASELINE_TEXT]) { describe(&what##_grid[config], text); }   \
    const struct baseline_kind base_##what = {                                                                         \
        .name = (its_name),                                                                                            \
        .paper = (its_paper),                                                                                          \
        .n_configs = sizeof what##_grid / sizeof *what##_grid,                                                         \
        .make = what##_make,                                                                                           \
        .free = near_free,                                                                                             \
        .describe = what##_describe,                                                                                   \
        .score = near_score,                                                                                           \
        .learn = near_learn,                                                                                           \
        .size_bytes = near_size_bytes,                                                                                 \
    }

KIND(vsknn, "v-sknn", "Ludewig, Jannach 2018");
KIND(stan, "stan", "Garg, Gupta, Malhotra, Vig, Shroff 2019");
KIND(vstan, "vstan", "Ludewig, Mauro, Latifi, Jannach 2019");

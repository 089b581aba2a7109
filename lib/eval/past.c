/* The past. Pairs (user, item) stand twice: in the list of their user, and in one hash set that answers "used?". */
#include "lib/eval/past.h"

#include <math.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/draw.h"
#include "lib/base/fmath.h"
#include "lib/base/mem.h"

struct past_user {
    struct past_use *history; /* (n_history), room for room_history */
    uint32_t *used;           /* (n_used), room for 2^log_used when that is not 0 */
    uint32_t n_used;
    uint8_t n_history, room_history, log_used;
};

struct past {
    uint32_t n_users, n_items;
    struct past_user *users; /* (n_users) */
    uint32_t top_user;       /* users from here on have nothing */

    uint64_t *pairs;  /* (mask + 1) (user << 32 | item) + 1, open addressing; 0 = empty */
    uint64_t n_pairs; /* at most half of the slots */
    uint64_t mask;

    uint32_t *candidates; /* (n_candidates) */
    bool *is_candidate;   /* (n_items) */
    uint32_t n_candidates;

    double *popularity[PAST_POPULARITIES]; /* (n_items) */
    int64_t first_ms;                      /* stamp of the first event */
    bool begun;

    size_t size_bytes; /* of lists and table */
};

static const struct {
    const char *name;
    int64_t ms;
} half_lives[PAST_POPULARITIES] = {
    [PAST_6_HOURS] = {"6h", INT64_C(21600000)},
    [PAST_1_DAY] = {"1d", INT64_C(86400000)},
    [PAST_7_DAYS] = {"7d", INT64_C(604800000)},
    [PAST_30_DAYS] = {"30d", INT64_C(2592000000)},
};

const char *past_popularity_name(enum past_popularity which) { return half_lives[which].name; }
int64_t past_popularity_ms(enum past_popularity which) { return half_lives[which].ms; }

int past_new(uint32_t n_users, uint32_t n_items, struct past **out, struct err *e) {
    CHECK(n_users > 0 && n_items > 0);
    struct past *p = mem_zalloc(sizeof *p);
    if (!p) return err_set(e, ERR_NOMEM, NULL, "no memory");
    p->n_users = n_users;
    p->n_items = n_items;
    p->mask = 1023;
    p->users = mem_map((size_t)n_users * sizeof *p->users);
    p->pairs = mem_zalloc((p->mask + 1) * sizeof *p->pairs);
    p->candidates = mem_map((size_t)n_items * sizeof *p->candidates);
    p->is_candidate = mem_map((size_t)n_items * sizeof *p->is_candidate);
    bool all = p->users && p->pairs && p->candidates && p->is_candidate;
    for (int k = 0; k < PAST_POPULARITIES; k++) {
        p->popularity[k] = mem_map((size_t)n_items * sizeof *p->popularity[k]);
        all = all && p->popularity[k];
    }
    if (!all) {
        past_free(p);
        return err_set(e, ERR_NOMEM, NULL, "no memory for %u users and %u items", n_users, n_items);
    }
    p->size_bytes = (p->mask + 1) * sizeof *p->pairs;
    *out = p;
    return 0;
}

void past_free(struct past *p) {
    if (!p) return;
    for (uint32_t u = 0; p->users && u < p->top_user; u++) {
        mem_free(p->users[u].history);
        mem_free(p->users[u].used);
    }
    mem_unmap(p->users, (size_t)p->n_users * sizeof *p->users);
    mem_free(p->pairs);
    mem_unmap(p->candidates, (size_t)p->n_items * sizeof *p->candidates);
    mem_unmap(p->is_candidate, (size_t)p->n_items * sizeof *p->is_candidate);
    for (int k = 0; k < PAST_POPULARITIES; k++)
        mem_unmap(p->popularity[k], (size_t)p->n_items * sizeof *p->popularity[k]);
    mem_free(p);
}

uint32_t past_n_users(const struct past *p) { return p->n_users; }
uint32_t past_n_items(const struct past *p) { return p->n_items; }

size_t past_size_bytes(const struct past *p) {
    size_t item = sizeof *p->candidates + sizeof *p->is_candidate + PAST_POPULARITIES * sizeof *p->popularity[0];
    return sizeof *p + p->size_bytes + p->top_user * sizeof *p->users + p->n_candidates * item;
}

static uint64_t pair_of(uint32_t user, uint32_t item) { return ((uint64_t)user << 32 | item) + 1; }

/* The slot that holds pair, or the empty one where it would go. */
static uint64_t slot_of(const uint64_t *pairs, uint64_t mask, uint64_t pair) {
    uint64_t at = draw_mix(pair) & mask;
    while (pairs[at] && pairs[at] != pair) at = (at + 1) & mask;
    return at;
}

static bool reserve_pairs(struct past *p, uint64_t more) {
    uint64_t slots = p->mask + 1;
    while (slots < 2 * (p->n_pairs + more)) slots *= 2;
    if (slots == p->mask + 1) return true;
    uint64_t *pairs = mem_zalloc(slots * sizeof *pairs);
    if (!pairs) return false;
    for (uint64_t at = 0; at <= p->mask; at++) {
        if (p->pairs[at]) pairs[slot_of(pairs, slots - 1, p->pairs[at])] = p->pairs[at];
    }
    mem_free(p->pairs);
    p->size_bytes += (slots - (p->mask + 1)) * sizeof *pairs;
    p->pairs = pairs;
    p->mask = slots - 1;
    return true;
}

static bool reserve_used(struct past *p, struct past_user *u, uint32_t more) {
    uint8_t log_room = u->log_used ? u->log_used : 2;
    while ((UINT64_C(1) << log_room) < (uint64_t)u->n_used + more) log_room++;
    if (log_room == u->log_used) return true;
    size_t room = (size_t)1 << log_room, before = u->log_used ? (size_t)1 << u->log_used : 0;
    uint32_t *used = mem_realloc(u->used, room * sizeof *used);
    if (!used) return false;
    u->used = used;
    u->log_used = log_room;
    p->size_bytes += (room - before) * sizeof *used;
    return true;
}

static bool reserve_history(struct past *p, struct past_user *u, uint32_t more) {
    uint32_t room = u->room_history ? u->room_history : 4;
    while (room < PAST_HISTORY && room < u->n_history + more) room *= 2;
    if (room == u->room_history) return true;
    struct past_use *history = mem_realloc(u->history, room * sizeof *history);
    if (!history) return false;
    p->size_bytes += (room - u->room_history) * sizeof *history;
    u->history = history;
    u->room_history = (uint8_t)room;
    return true;
}

/* The items of an event that are new to its user: an upper bound, as one may stand in it twice. */
static uint32_t count_new(const struct past *p, const struct past_event *ev) {
    uint32_t n = 0;
    for (uint32_t k = 0; k < ev->n_items; k++) n += !past_used(p, ev->user, ev->items[k]);
    return n;
}

static void refresh_history(struct past_user *u, uint32_t item, int64_t ts_ms) {
    uint32_t at = 0, n = u->n_history;
    while (at < n && u->history[at].item != item) at++;
    if (at == n && n == PAST_HISTORY) at = 0; /* the oldest makes place */
    if (at < n) {
        memmove(u->history + at, u->history + at + 1, (n - at - 1) * sizeof *u->history);
        n--;
    }
    u->history[n] = (struct past_use){.ts_ms = ts_ms, .item = item};
    u->n_history = (uint8_t)(n + 1);
}

static void count_popularity(struct past *p, uint32_t item, int64_t ts_ms, float weight) {
    if (!(weight > 0)) return;
    for (int k = 0; k < PAST_POPULARITIES; k++) {
        double shift = (double)(ts_ms - p->first_ms) / (double)half_lives[k].ms, *sum = &p->popularity[k][item];
        double before = *sum - shift;
        /* what came long before, or long after, is lost in rounding: fm_exp2 must not overflow */
        *sum = before > 1000 ? *sum : fm_log2(fm_exp2(before) + (double)weight) + shift;
    }
}

void past_describe(struct past *p, uint32_t item) {
    CHECK(item < p->n_items);
    if (p->is_candidate[item]) return;
    p->is_candidate[item] = true;
    p->candidates[p->n_candidates++] = item;
    for (int k = 0; k < PAST_POPULARITIES; k++) p->popularity[k][item] = -INFINITY;
}

int past_learn(struct past *p, const struct past_event *ev, struct err *e) {
    CHECK(ev->user < p->n_users && ev->n_items > 0 && isfinite(ev->weight) && ev->weight >= 0);
    struct past_user *u = &p->users[ev->user];
    uint32_t fresh = count_new(p, ev);
    uint32_t uses = fresh < PAST_HISTORY ? fresh : PAST_HISTORY;
    if (p->top_user <= ev->user) p->top_user = ev->user + 1;
    if (!reserve_pairs(p, fresh) || !reserve_used(p, u, fresh) || !reserve_history(p, u, uses))
        return err_set(e, ERR_NOMEM, NULL, "no memory for the history of a user");
    if (!p->begun) p->first_ms = ev->ts_ms;
    p->begun = true;
    for (uint32_t k = 0; k < ev->n_items; k++) {
        uint32_t item = ev->items[k];
        past_describe(p, item);
        uint64_t pair = pair_of(ev->user, item), at = slot_of(p->pairs, p->mask, pair);
        if (!p->pairs[at]) {
            p->pairs[at] = pair;
            p->n_pairs++;
            u->used[u->n_used++] = item;
        }
        refresh_history(u, item, ev->ts_ms);
        count_popularity(p, item, ev->ts_ms, ev->weight);
    }
    return 0;
}

const struct past_use *past_history(const struct past *p, uint32_t user, uint32_t *n) {
    CHECK(user < p->n_users);
    *n = p->users[user].n_history;
    return p->users[user].history;
}

bool past_used(const struct past *p, uint32_t user, uint32_t item) {
    return p->pairs[slot_of(p->pairs, p->mask, pair_of(user, item))] != 0;
}

const uint32_t *past_used_items(const struct past *p, uint32_t user, uint32_t *n) {
    CHECK(user < p->n_users);
    *n = p->users[user].n_used;
    return p->users[user].used;
}

const uint32_t *past_candidates(const struct past *p, uint32_t *n) {
    *n = p->n_candidates;
    return p->candidates;
}

const bool *past_is_candidate(const struct past *p) { return p->is_candidate; }

const double *past_popularity(const struct past *p, enum past_popularity which) { return p->popularity[which]; }

/* Tables with open addressing, at most half full. */
#include "daemon/backtest_ids.h"

#include "lib/base/draw.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"

#define SLOTS_FIRST 1024u
#define TOO_MANY    UINT32_MAX

struct backtest_ids {
    char *texts; /* (used) one after the other */
    size_t used, room;
    size_t *start;   /* (cap + 1) where each begins; start[n] is the end of the last */
    uint32_t *slots; /* (n_slots) 1 + number; 0 = empty */
    bool *forgotten; /* (cap) */
    size_t n, cap, n_slots;
};

int backtest_ids_new(struct backtest_ids **out, struct err *e) {
    struct backtest_ids *t = mem_zalloc(sizeof *t);
    if (!t) return err_set(e, ERR_NOMEM, "ids", "no memory");
    *out = t;
    return 0;
}

void backtest_ids_free(struct backtest_ids *t) {
    if (!t) return;
    mem_free(t->texts);
    mem_free(t->start);
    mem_free(t->slots);
    mem_free(t->forgotten);
    mem_free(t);
}

struct slice backtest_ids_text(const struct backtest_ids *t, uint32_t number) {
    return slice_of(t->texts + t->start[number], t->start[number + 1] - t->start[number]);
}

uint32_t backtest_ids_count(const struct backtest_ids *t) { return (uint32_t)t->n; }

/* The slot of the id, or the empty one where it would stand. */
static size_t slot_of(const struct backtest_ids *t, struct slice id) {
    size_t at = hash_slice(id) & (t->n_slots - 1);
    for (; t->slots[at]; at = (at + 1) & (t->n_slots - 1)) {
        uint32_t number = t->slots[at] - 1;
        if (!t->forgotten[number] && slice_equal(backtest_ids_text(t, number), id)) break;
    }
    return at;
}

uint32_t backtest_ids_find(const struct backtest_ids *t, struct slice id) {
    if (t->n_slots == 0) return BACKTEST_NO_ID;
    uint32_t found = t->slots[slot_of(t, id)];
    return found ? found - 1 : BACKTEST_NO_ID;
}

static bool grow(void *array, size_t size, size_t *cap, size_t need) {
    if (need <= *cap) return true;
    size_t more = 2 * *cap > need ? 2 * *cap : need + 1024;
    void *p = mem_realloc(*(void **)array, more * size);
    if (!p) return false;
    *(void **)array = p;
    *cap = more;
    return true;
}

/* Twice as many slots; the forgotten keep theirs, which costs nothing but room. */
static bool more_slots(struct backtest_ids *t) {
    size_t n = t->n_slots ? 2 * t->n_slots : SLOTS_FIRST;
    uint32_t *slots = mem_zalloc(n * sizeof *slots);
    if (!slots) return false;
    for (size_t k = 0; k < t->n; k++) {
        size_t at = hash_slice(backtest_ids_text(t, (uint32_t)k)) & (n - 1);
        while (slots[at]) at = (at + 1) & (n - 1);
        slots[at] = (uint32_t)k + 1;
    }
    mem_free(t->slots);
    t->slots = slots;
    t->n_slots = n;
    return true;
}

static bool make_room(struct backtest_ids *t, size_t bytes) {
    size_t starts = t->cap ? t->cap + 1 : 0, flags = t->cap;
    if (2 * (t->n + 1) > t->n_slots && !more_slots(t)) return false;
    if (!grow(&t->texts, 1, &t->room, t->used + bytes)) return false;
    if (t->n < t->cap) return true;
    if (!grow(&t->forgotten, sizeof *t->forgotten, &flags, t->n + 1)) return false;
    if (!grow(&t->start, sizeof *t->start, &starts, flags + 1)) return false;
    if (t->cap == 0) t->start[0] = 0;
    t->cap = flags;
    return true;
}

int backtest_ids_number(struct backtest_ids *t, struct slice id, uint32_t *out, struct err *e) {
    uint32_t found = backtest_ids_find(t, id);
    if (found != BACKTEST_NO_ID) {
        *out = found;
        return 0;
    }
    if (t->n + 1 >= TOO_MANY) return err_set(e, ERR_FULL, "ids", "more than %zu different ids", t->n);
    if (!make_room(t, id.n)) return err_set(e, ERR_NOMEM, "ids", "no memory for %zu different ids", t->n + 1);
    if (id.n) memcpy(t->texts + t->used, id.p, id.n);
    t->used += id.n;
    t->forgotten[t->n] = false;
    t->slots[slot_of(t, id)] = (uint32_t)t->n + 1;
    *out = (uint32_t)t->n++;
    t->start[t->n] = t->used;
    return 0;
}

void backtest_ids_forget(struct backtest_ids *t, struct slice id) {
    uint32_t found = backtest_ids_find(t, id);
    if (found != BACKTEST_NO_ID) t->forgotten[found] = true;
}

/* --- pairs --- */

struct backtest_pairs {
    uint64_t *slots; /* (n_slots) the pair; EMPTY */
    size_t n, n_slots;
};
#define EMPTY UINT64_MAX /* no pair: numbers end below it */

int backtest_pairs_new(struct backtest_pairs **out, struct err *e) {
    struct backtest_pairs *s = mem_zalloc(sizeof *s);
    if (!s) return err_set(e, ERR_NOMEM, "pairs", "no memory");
    *out = s;
    return 0;
}

void backtest_pairs_free(struct backtest_pairs *s) {
    if (!s) return;
    mem_free(s->slots);
    mem_free(s);
}

static size_t pair_slot(const uint64_t *slots, size_t n, uint64_t pair) {
    size_t at = draw_mix(pair) & (n - 1);
    while (slots[at] != EMPTY && slots[at] != pair) at = (at + 1) & (n - 1);
    return at;
}

static bool more_pairs(struct backtest_pairs *s) {
    size_t n = s->n_slots ? 2 * s->n_slots : SLOTS_FIRST;
    uint64_t *slots = mem_alloc(n * sizeof *slots);
    if (!slots) return false;
    memset(slots, 0xff, n * sizeof *slots);
    for (size_t k = 0; k < s->n_slots; k++)
        if (s->slots[k] != EMPTY) slots[pair_slot(slots, n, s->slots[k])] = s->slots[k];
    mem_free(s->slots);
    s->slots = slots;
    s->n_slots = n;
    return true;
}

int backtest_pairs_add(struct backtest_pairs *s, uint32_t a, uint32_t b, struct err *e) {
    if (2 * (s->n + 1) > s->n_slots && !more_pairs(s))
        return err_set(e, ERR_NOMEM, "pairs", "no memory for %zu pairs of user and item", s->n + 1);
    uint64_t pair = (uint64_t)a << 32 | b;
    size_t at = pair_slot(s->slots, s->n_slots, pair);
    if (s->slots[at] == pair) return 0;
    s->slots[at] = pair;
    s->n++;
    return 1;
}

bool backtest_pairs_has(const struct backtest_pairs *s, uint32_t a, uint32_t b) {
    uint64_t pair = (uint64_t)a << 32 | b;
    return s->n_slots && s->slots[pair_slot(s->slots, s->n_slots, pair)] == pair;
}

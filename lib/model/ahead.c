/* Four stations: tables of hashes; what they point to; the user's row; item rows. In the end the places of the first
 * tries serve the event itself, if they would be the same now. */
#include "lib/model/ahead.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/model/item_ids.h"
#include "lib/model/negatives.h"
#include "lib/model/recent.h"

#define RING    8u  /* events, a power of two */
#define HISTORY 32u /* newest items of a user whose rows are brought */

_Static_assert(RING > MODEL_AHEAD, "the ring holds the event that is learned as well");

struct coming {
    bool some;                                   /* an event that may train */
    uint64_t user, item;                         /* hashes of the ids */
    uint64_t key;                                /* of the negatives' draws */
    uint32_t n, n_live, n_recent;                /* the last two: when the places were found */
    const uint32_t *places[MODEL_MAX_NEGATIVES]; /* (n) see negatives_places */
};

struct ahead {
    struct coming ring[RING];
    uint32_t newest;
    uint32_t n, done; /* negatives of the next event, and those brought already */
    const uint32_t *const *places;
};

struct ahead *ahead_new(void) {
    return mem_zalloc(sizeof(struct ahead));
}
void ahead_free(struct ahead *a) { mem_free(a); }

static void begin(struct coming *c, const struct model *m, const struct model_event *ev) {
    c->some = ev && m->params.types[ev->type].weight > 0;
    if (!c->some) return;
    struct draw_place place = ev->place;
    place.index = 0;
    c->user = hash_slice(ev->user);
    c->item = hash_slice(ev->items[0]);
    c->key = draw_key(m->params.seed, &place, DRAW_NEGATIVES);
}

static void find_places(struct coming *c, const struct model *m) {
    c->n_live = m->items->n_live;
    c->n_recent = recent_size(m->recent);
    c->n = negatives_places(m, c->key, c->places);
    for (uint32_t k = 0; k < c->n; k++)
        if (c->places[k]) __builtin_prefetch(c->places[k]);
}

static void bring_history(const struct coming *c, const struct model *m) {
    const struct user_row *r = users_coming(m->users, c->user);
    if (!r) return;
    __builtin_prefetch(user_id(r, m->params.dim).p);
    const struct user_entry *entries = user_entries(r, m->params.dim);
    uint32_t most = m->params.history < HISTORY ? m->params.history : HISTORY, n = r->n < most ? r->n : most;
    for (uint32_t k = r->n - n; k < r->n; k++) item_prefetch_history(m->items, entries[k].row);
}

void ahead_expect(struct ahead *a, const struct model *m, const struct model_event *ev) {
    a->n = a->done = 0;
    begin(&a->ring[++a->newest % RING], m, ev);
    for (uint32_t age = 0; age < MODEL_AHEAD; age++) {
        struct coming *c = &a->ring[(a->newest - age) % RING];
        if (!c->some) continue;
        users_prefetch(m->users, c->user, age);
        items_prefetch(m->items, c->item, age);
        if (age == 2) find_places(c, m);
        if (age == 3) {
            bring_history(c, m);
            a->places = c->places;
            a->n = c->n;
        }
    }
}

void ahead_bring(struct ahead *a, const struct model *m) {
    uint32_t end = a->n - a->done < AHEAD_ROWS ? a->n : a->done + AHEAD_ROWS;
    for (; a->done < end; a->done++) {
        if (!a->places[a->done]) continue;
        uint32_t row = *a->places[a->done];
        item_prefetch(m->items, row);
        __builtin_prefetch(&m->recent->often[row]);
    }
}

const uint32_t *const *ahead_places(const struct ahead *a, const struct model *m, uint64_t key) {
    const struct coming *c = &a->ring[(a->newest - MODEL_AHEAD) % RING];
    bool same = c->some && c->key == key && c->n_live == m->items->n_live && c->n_recent == recent_size(m->recent);
    return same ? c->places : NULL;
}

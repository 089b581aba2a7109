/* Four stations: tables of hashes; what they point to; the user's row; item rows. */
#include "lib/model/ahead.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/model/item_ids.h"
#include "lib/model/negatives.h"
#include "lib/model/recent.h"

_Static_assert((MODEL_AHEAD & (MODEL_AHEAD - 1)) == 0, "positions in the ring are found by a mask");

struct coming {
    bool some;           /* an event that may train */
    uint64_t user, item; /* hashes of the ids */
    uint64_t key;        /* of the negatives' draws */
    uint32_t n;
    const uint32_t *places[MODEL_MAX_NEGATIVES]; /* (n) see negatives_places */
};

struct ahead {
    struct coming ring[MODEL_AHEAD];
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

void ahead_expect(struct ahead *a, const struct model *m, const struct model_event *ev) {
    a->n = a->done = 0;
    begin(&a->ring[++a->newest % MODEL_AHEAD], m, ev);
    for (uint32_t age = 0; age < MODEL_AHEAD; age++) {
        struct coming *c = &a->ring[(a->newest - age) % MODEL_AHEAD];
        if (!c->some) continue;
        users_prefetch(m->users, c->user, age);
        items_prefetch(m->items, c->item, age);
        if (age == 2) {
            c->n = negatives_places(m, c->key, c->places);
            for (uint32_t k = 0; k < c->n; k++) __builtin_prefetch(c->places[k]);
        }
        if (age == 3) {
            a->places = c->places;
            a->n = c->n;
        }
    }
}

void ahead_bring(struct ahead *a, const struct model *m) {
    uint32_t end = a->n - a->done < AHEAD_ROWS ? a->n : a->done + AHEAD_ROWS;
    for (; a->done < end; a->done++) {
        uint32_t row = *a->places[a->done];
        item_prefetch(m->items, row);
        __builtin_prefetch(&m->recent->often[row]);
    }
}

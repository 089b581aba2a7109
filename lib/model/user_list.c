/* Point-in-time lists of changed users. */
#include "lib/base/check.h"
#include "lib/base/mem.h"
#include "lib/model/user_priv.h"

#define RELEASE_AT_ONCE 4096

struct user_list *users_list_new(void) {
    return mem_zalloc(sizeof(struct user_list));
}

void users_list_free(struct user_list *l) {
    if (!l) return;
    mem_free(l->slots);
    mem_free(l);
}

bool users_list_room(struct user_list *l, size_t n) {
    if (l->n + n <= l->cap) return true;
    size_t cap = 2 * l->cap > l->n + n ? 2 * l->cap : l->n + n + 256;
    void *p = mem_realloc(l->slots, cap * sizeof *l->slots);
    if (!p) return false;
    l->slots = p;
    l->cap = cap;
    return true;
}

struct user_list *users_checkpoint_begin(struct users *u, uint64_t *n) {
    CHECK(u->in_flight_interval == 0 && u->n_touched == 0);
    struct user_list *next = users_list_new(), *l = u->list;
    if (!next) return NULL;
    l->interval = u->interval;
    u->in_flight_interval = u->interval;
    u->in_flight = l;
    u->interval++;
    u->list = next;
    u->dirty_in_flight += u->dirty_now;
    u->dirty_now = 0;
    *n = l->n;
    return l;
}

const struct user_row *users_list_next(struct users *u, struct user_list *l) {
    (void)u;
    if (l->at == l->n) {
        atomic_store_explicit(&l->read, true, memory_order_release);
        return NULL;
    }
    const struct user_row *r = atomic_load_explicit(&l->slots[l->at++]->row, memory_order_acquire);
    while (r->interval > l->interval) r = r->before;
    return r;
}

static void list_again(struct users *u, struct user_slot *s) {
    if (s->listed_in == u->interval) return; /* it has changed since */
    const struct user_row *r = atomic_load_explicit(&s->row, memory_order_relaxed);
    u->list->slots[u->list->n++] = s;
    s->listed_in = u->interval;
    u->dirty_now += user_row_size(r, u->params->dim);
}

void users_checkpoint_end(struct users *u, struct user_list *l, bool durable) {
    CHECK(u->in_flight_interval == l->interval);
    u->in_flight_interval = 0;
    u->in_flight = NULL;
    u->superseded_done = u->n_superseded;
    u->dirty_in_flight = 0;
    if (durable) {
        u->durable_interval = l->interval;
    } else {
        /* Without them rows would never be written; the room of what is touched now stays. */
        CHECK(users_list_room(u->list, l->n + u->n_touched));
        for (size_t k = 0; k < l->n; k++) list_again(u, l->slots[k]);
    }
    users_list_free(l);
}

bool users_in_flight(const struct users *u) {
    return u->in_flight && !atomic_load_explicit(&u->in_flight->read, memory_order_acquire);
}

void users_supersede(struct users *u, struct user_row *r) {
    u->superseded[u->n_superseded++] = r;
    atomic_fetch_add_explicit(&u->stats.superseded_bytes, user_row_size(r, u->params->dim), memory_order_relaxed);
}

void users_release_superseded(struct users *u) {
    uint32_t dim = u->params->dim;
    if (!users_in_flight(u)) u->superseded_done = u->n_superseded;
    for (int k = 0; k < RELEASE_AT_ONCE && u->superseded_at < u->superseded_done; k++) {
        struct user_row *r = u->superseded[u->superseded_at++];
        size_t size = user_row_size(r, dim);
        atomic_fetch_sub_explicit(&u->stats.superseded_bytes, size, memory_order_relaxed);
        epoch_retire(u->epoch, r, size, mem_free);
    }
    if (u->superseded_at == u->n_superseded) u->superseded_at = u->superseded_done = u->n_superseded = 0;
}

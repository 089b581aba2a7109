/* The user cache: chained buckets of slots, each pointing to the published row and, while the learner is at it, to a
 * private one. Slots stand in one of two lists from most to least recently touched or admitted. */
#include "lib/model/user.h"

#include <string.h>

#include "lib/base/check.h"
#include "lib/base/draw.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/model/user_priv.h"

#define LIKELY_ENTRIES 16u /* of a row that is sent for before its size is known */

size_t user_row_bytes(uint32_t dim, uint32_t cap, size_t id_bytes, uint32_t n_features) {
    return sizeof(struct user_row) + sizeof(float) * dim + sizeof(struct user_entry) * cap + id_bytes +
           sizeof(uint16_t) * n_features;
}

static size_t row_size(const struct users *u, const struct user_row *r) { return user_row_size(r, u->params->dim); }

int users_new(const struct model_params *p, uint64_t cache_bytes, const struct user_backing *backing,
              struct epoch *epoch, struct users **out, struct err *e) {
    struct users *u = mem_zalloc(sizeof *u);
    if (!u) return err_set(e, ERR_NOMEM, "users", "no memory for the user cache");
    u->params = p;
    u->cache_bytes = cache_bytes;
    u->backing = *backing;
    u->epoch = epoch;
    u->interval = 1;
    u->n_buckets = 256;
    while (u->n_buckets < cache_bytes / 512 && u->n_buckets < (1u << 28)) u->n_buckets *= 2;
    u->buckets = mem_map_dense(u->n_buckets * sizeof *u->buckets);
    u->list = users_list_new();
    u->wanted = user_wanted_new();
    if (u->buckets && u->list && u->wanted) {
        *out = u;
        return 0;
    }
    users_free(u);
    return err_set(e, ERR_NOMEM, "learner.user_cache", "no memory for a cache of %llu bytes",
                   (unsigned long long)cache_bytes);
}

static void free_slots(struct user_slot *newest) {
    for (struct user_slot *s = newest, *next; s; s = next) {
        next = s->older;
        mem_free(s->work);
        mem_free(atomic_load_explicit(&s->row, memory_order_relaxed));
        mem_free(s);
    }
}

void users_free(struct users *u) {
    if (!u) return;
    free_slots(u->used.newest);
    free_slots(u->admitted.newest);
    user_wanted_free(u->wanted);
    for (size_t k = u->superseded_at; k < u->n_superseded; k++) mem_free(u->superseded[k]);
    mem_free(u->superseded);
    mem_free(u->touched);
    users_list_free(u->list);
    mem_unmap(u->buckets, u->n_buckets * sizeof *u->buckets);
    mem_free(u);
}

static _Atomic(struct user_slot *) *bucket_of(const struct users *u, uint64_t hash) {
    return &u->buckets[hash & (u->n_buckets - 1)];
}

static bool slot_is(const struct users *u, const struct user_slot *s, uint64_t hash, struct slice id) {
    if (s->hash != hash) return false;
    const struct user_row *r = atomic_load_explicit(&s->row, memory_order_acquire);
    return r && slice_equal(user_id(r, u->params->dim), id);
}

static struct user_slot *slot_find(const struct users *u, uint64_t hash, struct slice id) {
    struct user_slot *s = atomic_load_explicit(bucket_of(u, hash), memory_order_acquire);
    while (s && !slot_is(u, s, hash, id)) s = atomic_load_explicit(&s->next, memory_order_acquire);
    return s;
}

const struct user_row *users_find(const struct users *u, struct slice id) {
    const struct user_slot *s = slot_find(u, hash_slice(id), id);
    return s ? atomic_load_explicit(&s->row, memory_order_acquire) : NULL;
}

static const struct user_slot *slot_coming(const struct users *u, uint64_t hash) {
    const struct user_slot *s = atomic_load_explicit(bucket_of(u, hash), memory_order_relaxed);
    while (s && s->hash != hash) s = atomic_load_explicit(&s->next, memory_order_relaxed);
    return s;
}

static const struct user_row *row_coming(const struct user_slot *s) {
    return s->work ? s->work : atomic_load_explicit(&s->row, memory_order_relaxed);
}

const struct user_row *users_coming(const struct users *u, uint64_t hash) {
    const struct user_slot *s = slot_coming(u, hash);
    return s ? row_coming(s) : NULL;
}

/* Bucket; slot; row and the slot's neighbours in the list of recency. */
void users_prefetch(const struct users *u, uint64_t hash, uint32_t station) {
    if (station == 0) {
        __builtin_prefetch((const void *)bucket_of(u, hash));
    } else if (station == 1) {
        __builtin_prefetch(atomic_load_explicit(bucket_of(u, hash), memory_order_relaxed));
    } else if (station == 2) {
        const struct user_slot *s = slot_coming(u, hash);
        if (!s) return;
        __builtin_prefetch(s->newer, 1);
        __builtin_prefetch(s->older, 1);
        const char *row = (const char *)row_coming(s);
        size_t bytes = user_row_bytes(u->params->dim, LIKELY_ENTRIES, 0, 0);
        for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(row + at);
    }
}

/* The row of an admitted slot does not change while it is one. */
static uint64_t admitted_bytes(const struct users *u, const struct user_slot *s) {
    return row_size(u, atomic_load_explicit(&s->row, memory_order_relaxed)) + sizeof *s;
}

/* The lists of recency. */
static void unlist(struct users *u, struct user_slot *s) {
    struct user_recency *l = s->listed_in == USER_ADMITTED ? &u->admitted : &u->used;
    if (l == &u->admitted) u->admitted_bytes -= admitted_bytes(u, s);
    if (s->newer)
        s->newer->older = s->older;
    else
        l->newest = s->older;
    if (s->older)
        s->older->newer = s->newer;
    else
        l->oldest = s->newer;
}

static void list_newest(struct users *u, struct user_slot *s) {
    struct user_recency *l = s->listed_in == USER_ADMITTED ? &u->admitted : &u->used;
    if (l == &u->admitted) u->admitted_bytes += admitted_bytes(u, s);
    s->newer = NULL;
    s->older = l->newest;
    if (l->newest)
        l->newest->newer = s;
    else
        l->oldest = s;
    l->newest = s;
}

static void account(struct users *u, int64_t bytes) {
    atomic_fetch_add_explicit(&u->stats.cached_bytes, (uint64_t)bytes, memory_order_relaxed);
}

/* What the bound counts: the rows that the checkpoint under way holds on to as well. */
static uint64_t held_bytes(const struct users *u) {
    uint64_t cached = atomic_load_explicit(&u->stats.cached_bytes, memory_order_relaxed);
    return users_in_flight(u) ? cached + atomic_load_explicit(&u->stats.superseded_bytes, memory_order_relaxed)
                              : cached;
}

static bool is_durable(const struct users *u, const struct user_slot *s) {
    return !s->work && atomic_load_explicit(&s->row, memory_order_relaxed)->interval <= u->durable_interval;
}

static void evict(struct users *u, struct user_slot *s) {
    _Atomic(struct user_slot *) *at = bucket_of(u, s->hash);
    for (struct user_slot *k; (k = atomic_load_explicit(at, memory_order_relaxed)) != s;) at = &k->next;
    atomic_store_explicit(at, atomic_load_explicit(&s->next, memory_order_relaxed), memory_order_release);
    unlist(u, s);
    struct user_row *r = atomic_load_explicit(&s->row, memory_order_relaxed);
    account(u, -(int64_t)(row_size(u, r) + sizeof *s));
    atomic_fetch_sub_explicit(&u->stats.cached, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&u->stats.evicted, 1, memory_order_relaxed);
    epoch_retire(u->epoch, r, row_size(u, r), mem_free);
    epoch_retire(u->epoch, s, sizeof *s, mem_free);
}

static bool fits(const struct users *u, uint64_t bytes) { return held_bytes(u) + bytes <= u->cache_bytes; }
static uint64_t admitted_share(const struct users *u) { return u->cache_bytes / USER_ADMITTED_SHARE; }

/* Makes room for a row; false when everything left is not durable yet. Admitted rows go first, beyond their share and
 * before learning would wait. Looks at a bounded number of the oldest; keep, which may be NULL, stays. */
static bool make_room(struct users *u, size_t bytes, const struct user_slot *keep) {
    struct user_slot *s = u->used.oldest;
    for (unsigned looked = 0; looked < 256 && !fits(u, bytes); looked++) {
        struct user_slot *admitted = u->admitted.oldest;
        if (admitted && (u->admitted_bytes > admitted_share(u) || !s || !is_durable(u, s))) {
            evict(u, admitted);
            continue;
        }
        if (!s) break;
        struct user_slot *newer = s->newer;
        if (s != keep && is_durable(u, s)) {
            evict(u, s);
        } else if (!s->work &&
                   s != u->used.newest) { /* it would only be looked at again: out of the way until it is durable */
            unlist(u, s);
            list_newest(u, s);
        }
        s = newer;
    }
    return fits(u, bytes);
}

/* Room for a row that only readers want: from their own kind once these have their share, else from the oldest of the
 * learner's, if it is durable. */
static bool make_room_to_admit(struct users *u, size_t bytes) {
    while (!fits(u, bytes)) {
        struct user_slot *s = u->admitted_bytes + bytes > admitted_share(u) ? u->admitted.oldest : u->used.oldest;
        if (!s || !is_durable(u, s)) return false;
        evict(u, s);
    }
    return true;
}

static struct user_row *fresh_row(const struct users *u, struct slice id) {
    const struct model_params *p = u->params;
    struct user_row *r = mem_alloc(user_row_bytes(p->dim, USER_SPARE_ENTRIES, id.n, 0));
    if (!r) return NULL;
    memset(r, 0, sizeof *r);
    r->cap = USER_SPARE_ENTRIES;
    r->id_bytes = (uint16_t)id.n;
    memcpy((char *)(uintptr_t)user_id(r, p->dim).p, id.p, id.n);
    draw_start_row(p->seed, DRAW_START_USER, id, p->start_user, r->p, p->dim);
    return r;
}

static void *features_of(const struct user_row *r, uint32_t dim) {
    return (char *)(uintptr_t)user_id(r, dim).p + r->id_bytes;
}

/* The features are left to the caller when their number changes. */
static struct user_row *copy_row(const struct users *u, const struct user_row *from, uint32_t cap,
                                 uint32_t n_features) {
    uint32_t dim = u->params->dim;
    struct slice id = user_id(from, dim);
    struct user_row *r = mem_alloc(user_row_bytes(dim, cap, id.n, n_features));
    if (!r) return NULL;
    memcpy(r, from, sizeof *r + sizeof(float) * dim + sizeof(struct user_entry) * from->n);
    r->cap = cap;
    r->n_features = n_features & 0x7f;
    r->before = NULL;
    memcpy(user_shown(r, dim), user_shown(from, dim), sizeof(struct user_entry) * from->n_shown);
    memcpy((char *)(uintptr_t)user_id(r, dim).p, id.p, id.n);
    if (n_features == from->n_features)
        memcpy(features_of(r, dim), features_of(from, dim), sizeof(uint16_t) * n_features);
    return r;
}

/* The private row, made anew with room for as many entries and features. */
static int renew(struct users *u, struct user_row **row, uint32_t cap, uint32_t n_features, struct err *e) {
    struct slice id = user_id(*row, u->params->dim);
    struct user_slot *s = slot_find(u, hash_slice(id), id);
    CHECK(s && s->work == *row);
    struct user_row *r = copy_row(u, *row, cap, n_features);
    if (!r) return err_set(e, ERR_NOMEM, "users", "no memory for a user row of %u entries", cap);
    mem_free(s->work);
    s->work = r;
    *row = r;
    return 0;
}

static int reserve(struct users *u, struct user_row **row, uint32_t n_entries, struct err *e) {
    if (n_entries <= (*row)->cap) return 0;
    return renew(u, row, n_entries + n_entries / 8 + USER_SPARE_ENTRIES, (*row)->n_features, e);
}

int users_set_features(struct users *u, struct user_row **row, const uint16_t *features, uint32_t n, struct err *e) {
    CHECK(n <= MODEL_MAX_FEATURES);
    int rc = n != (*row)->n_features ? renew(u, row, (*row)->cap, n, e) : 0;
    if (rc == 0) memcpy(features_of(*row, u->params->dim), features, sizeof *features * n);
    return rc;
}

int users_reserve(struct users *u, struct user_row **row, uint32_t n_entries, struct err *e) {
    return reserve(u, row, n_entries + (*row)->n_shown, e);
}

int users_reserve_shown(struct users *u, struct user_row **row, uint32_t n_shown, struct err *e) {
    return reserve(u, row, (*row)->n + n_shown, e);
}

/* A slot with the published row r, which is the cache's from now on; freed when there is no memory. listed_in: of the
 * slot. */
static int slot_add(struct users *u, uint64_t hash, struct user_row *r, uint64_t listed_in, struct user_slot **out,
                    struct err *e) {
    struct user_slot *s = mem_zalloc(sizeof *s);
    if (!s) {
        mem_free(r);
        return err_set(e, ERR_NOMEM, "users", "no memory for a user");
    }
    s->hash = hash;
    s->listed_in = listed_in;
    atomic_init(&s->row, r);
    _Atomic(struct user_slot *) *bucket = bucket_of(u, hash);
    atomic_init(&s->next, atomic_load_explicit(bucket, memory_order_relaxed));
    atomic_store_explicit(bucket, s, memory_order_release);
    list_newest(u, s);
    account(u, (int64_t)(row_size(u, r) + sizeof *s));
    atomic_fetch_add_explicit(&u->stats.cached, 1, memory_order_relaxed);
    *out = s;
    return 0;
}

/* A slot for a user that is not in the cache; its published row is what the backing has, or an empty one. */
static int slot_load(struct users *u, uint64_t hash, struct slice id, struct user_slot **out, struct err *e) {
    struct user_row *r = NULL;
    int rc = users_load(u, id, &r, e);
    if (rc == ERR_MISSING) {
        r = fresh_row(u, id);
        rc = r ? 0 : err_set(e, ERR_NOMEM, "users", "no memory for a user row");
        if (r) r->erased = true; /* nobody yet: becomes a user when it is published with entries */
        atomic_fetch_add_explicit(&u->stats.created, 1, memory_order_relaxed);
    }
    return rc < 0 ? rc : slot_add(u, hash, r, 0, out, e);
}

static bool grow(void *array, size_t size, size_t *cap, size_t need) {
    if (need <= *cap) return true;
    size_t more = 2 * *cap > need ? 2 * *cap : need + 256;
    void *p = mem_realloc(*(void **)array, more * size);
    if (!p) return false;
    *(void **)array = p;
    *cap = more;
    return true;
}

/* Room in the queue of superseded rows; what was released at its front is used again first. */
static bool superseded_room(struct users *u, size_t n) {
    if (u->n_superseded + n > u->cap_superseded && u->superseded_at > u->cap_superseded / 2) {
        u->n_superseded -= u->superseded_at;
        u->superseded_done -= u->superseded_at;
        memmove(u->superseded, u->superseded + u->superseded_at, u->n_superseded * sizeof(struct user_row *));
        u->superseded_at = 0;
    }
    return grow(&u->superseded, sizeof *u->superseded, &u->cap_superseded, u->n_superseded + n);
}

/* All the room that publishing will need, so that publishing cannot fail. */
static int note_touched(struct users *u, struct user_slot *s, struct err *e) {
    size_t n = u->n_touched + 1;
    if (!grow(&u->touched, sizeof *u->touched, &u->cap_touched, n) || !users_list_room(u->list, n) ||
        !superseded_room(u, n))
        return err_set(e, ERR_NOMEM, "users", "no memory for the list of touched users");
    u->touched[u->n_touched++] = s;
    return 0;
}

/* Gives the slot a private row made by copy or start values. */
static int open_work(struct users *u, struct user_slot *s, struct slice id, struct err *e) {
    const struct user_row *r = atomic_load_explicit(&s->row, memory_order_relaxed);
    s->work = r->erased ? fresh_row(u, id) : copy_row(u, r, r->n + r->n_shown + USER_SPARE_ENTRIES, r->n_features);
    if (!s->work) return err_set(e, ERR_NOMEM, "users", "no memory for a user row");
    int rc = note_touched(u, s, e);
    if (rc == 0) return 0;
    mem_free(s->work);
    s->work = NULL;
    return rc;
}

static int full(const struct users *u, struct err *e) {
    return err_set(e, ERR_FULL, "users", "the user cache of %llu bytes holds only rows not yet written",
                   (unsigned long long)u->cache_bytes);
}

/* Rows grow as their users come back: past the bound and a quarter of it they wait for a checkpoint too. */
static bool may_grow(struct users *u, const struct user_slot *s) {
    uint64_t most = u->cache_bytes + u->cache_bytes / 4;
    if (held_bytes(u) <= most) return true;
    (void)make_room(u, 0, s);
    return held_bytes(u) <= most || u->dirty_now + u->dirty_in_flight == 0;
}

/* A user erased since the last publish begins anew. */
static void restart_work(struct users *u, struct user_row *r, struct slice id) {
    draw_start_row(u->params->seed, DRAW_START_USER, id, u->params->start_user, r->p, u->params->dim);
    r->erased = false;
}

int users_touch(struct users *u, struct slice id, struct user_row **out, struct err *e) {
    uint64_t hash = hash_slice(id);
    struct user_slot *s = slot_find(u, hash, id);
    if (s && s->work) {
        if (s->work->erased) restart_work(u, s->work, id);
        *out = s->work;
        return 0;
    }
    if (s) {
        atomic_fetch_add_explicit(&u->stats.hits, 1, memory_order_relaxed);
        unlist(u, s);
        if (s->listed_in == USER_ADMITTED) s->listed_in = 0;
        list_newest(u, s);
        if (!may_grow(u, s)) return full(u, e);
    } else {
        atomic_fetch_add_explicit(&u->stats.misses, 1, memory_order_relaxed);
        if (!make_room(u, user_row_bytes(u->params->dim, USER_SPARE_ENTRIES, id.n, 0) + sizeof *s, NULL))
            return full(u, e);
        int rc = slot_load(u, hash, id, &s, e);
        if (rc < 0) return rc;
    }
    int rc = open_work(u, s, id, e);
    if (rc == 0) *out = s->work;
    return rc;
}

void users_want(const struct users *u, struct slice id) { user_wanted_put(u->wanted, hash_slice(id), id); }

/* Who is here already is left as he is: touched or erased since, he is newer here than in the backing. Who is not was
 * durable when he left, or was never here; the backing has his newest row, whatever the reader saw, or none, and then
 * he stays out. */
static void admit(struct users *u, struct slice id) {
    uint64_t hash = hash_slice(id);
    struct user_slot *s;
    struct user_row *r;
    if (slot_find(u, hash, id)) return;
    if (!make_room_to_admit(u, user_row_bytes(u->params->dim, 1, id.n, 0) + sizeof *s))
        return; /* nor is it read in vain */
    if (users_load(u, id, &r, NULL) < 0) return;
    if (!make_room_to_admit(u, row_size(u, r) + sizeof *s)) {
        mem_free(r);
        return;
    }
    if (slot_add(u, hash, r, USER_ADMITTED, &s, NULL) == 0)
        atomic_fetch_add_explicit(&u->stats.admitted, 1, memory_order_relaxed);
}

/* Readers who ask for all users at random would turn over any cache, and what the learner needs next is in it because
 * it was touched last. So the admitted stand in a list of their own, the first to come the first to go, and the learner
 * keeps 15 of 16 parts of a full cache in its own order: a list of recency a sixteenth shorter is what its hits can
 * lose. Room that nobody needs they have without limit, which is that of a daemon just started. What the learner spends
 * is bounded too: at a publish some rows, of pages that a reader has just brought into memory, and more when it would
 * wait. */
void users_admit(struct users *u, uint32_t most) {
    char id[MODEL_MAX_ID];
    if (!make_room(u, 0, NULL)) return; /* what grew beyond the bound goes first, a bounded number at a time */
    for (size_t n; most > 0 && user_wanted_take(u->wanted, id, &n); most--) admit(u, slice_of(id, n));
}

int users_erase(struct users *u, struct slice id, struct err *e) {
    struct user_row *r;
    int rc = users_touch(u, id, &r, e);
    if (rc < 0) return rc;
    r->erased = true;
    r->n = 0;
    r->n_shown = 0;
    r->n_features = 0;
    r->p_sum = 0;
    r->last_ms = 0;
    memset(r->p, 0, sizeof(float) * u->params->dim);
    return 0;
}

static void publish_slot(struct users *u, struct user_slot *s, bool in_flight) {
    struct user_row *r = s->work, *old = atomic_load_explicit(&s->row, memory_order_relaxed);
    bool needed = in_flight && old->interval <= u->in_flight_interval && old->interval > u->durable_interval;
    bool listed = s->listed_in == u->interval;
    s->work = NULL;
    r->interval = u->interval;
    r->before = needed ? old : old->interval != u->interval ? NULL : old->before;
    if (!listed) u->list->slots[u->list->n++] = s;
    s->listed_in = u->interval;
    int64_t size = (int64_t)row_size(u, r), old_size = (int64_t)row_size(u, old);
    account(u, size - old_size);
    u->dirty_now += (uint64_t)(listed ? size - old_size : size);
    atomic_store_explicit(&s->row, r, memory_order_release);
    if (needed)
        users_supersede(u, old);
    else
        epoch_retire(u->epoch, old, (size_t)old_size, mem_free);
}

void users_publish(struct users *u) {
    bool in_flight = users_in_flight(u);
    for (size_t k = 0; k < u->n_touched; k++) publish_slot(u, u->touched[k], in_flight);
    u->n_touched = 0;
    users_release_superseded(u);
    if (held_bytes(u) > u->cache_bytes) (void)make_room(u, 0, NULL);
    atomic_store_explicit(&u->stats.dirty_bytes, u->dirty_now + u->dirty_in_flight, memory_order_relaxed);
    atomic_store_explicit(&u->stats.dirty, u->list->n, memory_order_relaxed);
}

const struct users_stats *users_stats(const struct users *u) { return &u->stats; }
uint64_t users_cache_bytes(const struct users *u) { return u->cache_bytes; }

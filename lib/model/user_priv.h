/* Inside the user cache: shared by user.c, user_row.c and user_list.c. */
#ifndef RANKD_MODEL_USER_PRIV_H
#define RANKD_MODEL_USER_PRIV_H

#include "lib/model/user.h"
#include "lib/model/user_wanted.h"

#define USER_ADMITTED_SHARE 16u        /* readers' users may have one of so many parts of a full cache */
#define USER_ADMITTED       UINT64_MAX /* listed_in of a slot that readers alone asked for: it stands among u->admitted */
#define USER_SPARE_ENTRIES  1u         /* most events bring one item; 4 took 48 bytes more of each user in the cache */

struct user_slot {
    _Atomic(struct user_slot *) next; /* in its bucket */
    _Atomic(struct user_row *) row;   /* published; never NULL */
    uint64_t hash;
    /* learner */
    struct user_row *work; /* private, NULL when not touched since the last publish */
    struct user_slot *newer, *older;
    uint64_t listed_in; /* interval of the open list that holds the slot; older = it is in none that is open */
};

struct user_list { /* slots whose rows changed in one interval (and in earlier ones that failed to become durable) */
    struct user_slot **slots;
    size_t n, cap, at;
    uint64_t interval;
    _Atomic bool read; /* the store thread has the last row: versions of before are needed no more */
};

struct user_recency { /* slots from most to least recently come or touched */
    struct user_slot *newest, *oldest;
};

struct users {
    const struct model_params *params;
    struct epoch *epoch;
    struct user_backing backing;
    uint64_t cache_bytes;
    _Atomic(struct user_slot *) *buckets; /* (n_buckets), a power of two */
    uint64_t n_buckets;

    /* learner */
    struct user_recency used, admitted; /* touched by the learner; brought in for readers and not touched since */
    uint64_t admitted_bytes;            /* of the latter */
    struct user_slot **touched;         /* slots with work */
    size_t n_touched, cap_touched;
    uint64_t interval;           /* rows published now belong to it */
    uint64_t durable_interval;   /* rows of it and of earlier ones are in the backing */
    uint64_t in_flight_interval; /* of the checkpoint under way; 0 = none */
    struct user_list *list, *in_flight;
    struct user_row **superseded; /* rows replaced while the checkpoint under way may need them, a queue */
    size_t superseded_at, superseded_done, n_superseded, cap_superseded;
    uint64_t dirty_now, dirty_in_flight; /* bytes */
    struct users_stats stats;

    struct user_wanted *wanted; /* readers to learner */
};

size_t user_row_bytes(uint32_t dim, uint32_t cap, size_t id_bytes, uint32_t n_features);
static inline size_t user_row_size(const struct user_row *r, uint32_t dim) {
    return user_row_bytes(dim, r->cap, r->id_bytes, r->n_features);
}

struct user_list *users_list_new(void);
void users_list_free(struct user_list *l);
/* Room for n more slots; false when memory is refused. */
bool users_list_room(struct user_list *l, size_t n);
/* The checkpoint under way may still read rows of its interval. */
bool users_in_flight(const struct users *u);
/* A row that the checkpoint under way needs was replaced; there is room in the queue. */
void users_supersede(struct users *u, struct user_row *r);
/* Gives rows that no checkpoint needs any more to the epochs, a bounded number at a time. */
void users_release_superseded(struct users *u);

#endif

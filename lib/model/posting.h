/* Posting lists: which items have a feature. One writer, readers without locks inside an epoch section.
 *
 * A list is an array that grows at its end; an item that leaves becomes a hole. When the array is full, or holes are
 * most of it, another one without holes takes its place. The writer knows the place of each item; readers see every
 * item at most once. */
#ifndef RANKD_MODEL_POSTING_H
#define RANKD_MODEL_POSTING_H

#include <stdatomic.h>
#include <stdint.h>

#include "lib/base/epoch.h"

#define POSTING_HOLE UINT32_MAX

struct posting {
    _Atomic uint32_t n;   /* places in use, holes included; published with release order */
    uint32_t cap, n_gone; /* writer */
    _Atomic uint32_t item[];
};

/* Any thread inside an epoch section (the writer needs none); NULL = no item. */
static inline const struct posting *posting_read(_Atomic(struct posting *) *at) {
    return atomic_load_explicit(at, memory_order_acquire);
}
static inline uint32_t posting_places(const struct posting *p) {
    return p ? atomic_load_explicit(&p->n, memory_order_acquire) : 0;
}
static inline uint32_t posting_item(const struct posting *p, uint32_t place) {
    return atomic_load_explicit(&p->item[place], memory_order_relaxed);
}

/* Writer. moved(arg, item, place) tells where an item stands now. */
struct posting_owner {
    struct epoch *epoch;
    void (*moved)(void *arg, uint32_t item, uint32_t place);
    void *arg;
};
/* Makes sure that the next posting_add succeeds; 0 or ERR_NOMEM. */
int posting_reserve(_Atomic(struct posting *) *at, const struct posting_owner *o);
uint32_t posting_add(_Atomic(struct posting *) *at, uint32_t item); /* its place */
void posting_drop(_Atomic(struct posting *) *at, uint32_t place, const struct posting_owner *o);
void posting_free(_Atomic(struct posting *) *at, struct epoch *epoch); /* epoch NULL: no reader is left */

#endif

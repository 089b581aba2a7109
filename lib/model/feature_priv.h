/* Inside the features: shared by feature.c and feature_stored.c. */
#ifndef RANKD_MODEL_FEATURE_PRIV_H
#define RANKD_MODEL_FEATURE_PRIV_H

#include "lib/model/feature.h"

static inline uint32_t *feature_places(struct feature_list *l) { return l->feature + l->n; }
struct feature_list *feature_list_new(uint32_t n); /* NULL when memory is refused */
/* A row with the values of one that no event has touched. */
void feature_start(struct features *f, uint32_t v, uint32_t generation);
/* n items have it: what follows from that. */
void feature_set_n(struct features *f, uint32_t v, uint32_t n);
int feature_reserve(struct features *f, uint32_t v); /* room for one more item; 0 or ERR_NOMEM */
int feature_no_memory(struct err *e);

#endif

/* Item ids: text to row and back, one writer, any number of readers. */
#ifndef RANKD_MODEL_ITEM_IDS_H
#define RANKD_MODEL_ITEM_IDS_H

#include <stdint.h>

#include "lib/base/epoch.h"
#include "lib/base/slice.h"

struct item_ids;

struct item_ids *item_ids_new(uint32_t max_items, struct epoch *epoch); /* NULL when memory is refused */
void item_ids_free(struct item_ids *m);

/* Any thread inside an epoch section (the writer needs none). */
uint32_t item_ids_find(const struct item_ids *m, struct slice id); /* UINT32_MAX when unknown */
struct slice item_ids_of(const struct item_ids *m, uint32_t row);  /* empty when the row has none */
/* Writer: starts bringing what item_ids_find will read for an id with this hash from memory, station 0 to 2; from 2 on
 * the row, if it is likely known, else UINT32_MAX. */
uint32_t item_ids_prefetch(const struct item_ids *m, uint64_t hash, uint32_t station);

/* Writer. The id must be new and the row without one; 0 or ERR_NOMEM. */
int item_ids_put(struct item_ids *m, uint32_t row, struct slice id);
void item_ids_del(struct item_ids *m, uint32_t row);

#endif

/* Item rows that a request names: a list that grows, then a set. Zeroed it is empty; one thread. */
#ifndef RANKD_MODEL_ROWS_H
#define RANKD_MODEL_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "lib/model/item.h"

struct rows {
    uint32_t *row; /* (n) */
    size_t n, cap;
};

void rows_free(struct rows *rows);
/* Room for so many more. ERR_NOMEM: unchanged. */
int rows_room(struct rows *rows, size_t more, struct err *e) ERR_MUST_CHECK;
/* Adds the rows of known ids and the number of the others to *n_unknown. Inside an epoch section. ERR_NOMEM. */
int rows_add_ids(struct rows *rows, const struct items *t, const struct slice *ids, size_t n, size_t *n_unknown,
                 struct err *e) ERR_MUST_CHECK;
/* Leaves the first `most` different rows, in their order. */
void rows_keep_first(struct rows *rows, size_t most);
/* Ascending, each once. */
void rows_sort(struct rows *rows);
bool rows_have(const struct rows *rows, uint32_t row); /* among sorted ones */

#endif

/* Copies of single item rows, set aside by the learner while a checkpoint needs them as they were.
 *
 * A slot for each row at most, so the table's size is the bound; nothing can be refused. Slots come back from the store
 * thread one by one and are used again; memory beyond what is in use goes back to the system in small steps.
 * Two threads: the learner puts, the store thread looks and gives back. */
#ifndef RANKD_MODEL_ITEM_ASIDE_H
#define RANKD_MODEL_ITEM_ASIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct item_aside;

/* Address space for max_rows rows of row_bytes (at least 4); NULL when it is refused. */
struct item_aside *item_aside_new(uint32_t max_rows, size_t row_bytes);
void item_aside_free(struct item_aside *a);

/* Learner. put: the row has no copy yet. withdraw: takes the copy of a row out again, if the store thread has not given
 * it back; to be called when that has ended, or after a put that may have come too late. */
bool item_aside_has(const struct item_aside *a, uint32_t row);
void item_aside_put(struct item_aside *a, uint32_t row, const void *bytes);
void item_aside_withdraw(struct item_aside *a, uint32_t row);
/* Learner, now and then (each publish): gives memory back, at most ITEM_ASIDE_STEP bytes a call. */
void item_aside_tend(struct item_aside *a);

/* Store thread. at: the copy of a row, NULL when there is none; it lives until give_back of that row. */
const void *item_aside_at(const struct item_aside *a, uint32_t row);
void item_aside_give_back(struct item_aside *a, uint32_t row);

/* Any thread: bytes of slots that may be resident. */
size_t item_aside_bytes(const struct item_aside *a);

#define ITEM_ASIDE_STEP (1u << 20)  /* 256 pages: some 50 us */
#define ITEM_ASIDE_KEPT (16u << 20) /* stays for the next checkpoint, which finds its pages there */

#endif

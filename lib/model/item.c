/* The item table: rows, live list, descriptions. */
#include "lib/model/item.h"

#include <sched.h>
#include <string.h>

#include "lib/base/check.h"
#include "lib/base/draw.h"
#include "lib/base/fmath.h"
#include "lib/base/mem.h"
#include "lib/model/item_aside.h"
#include "lib/model/item_ids.h"
#include "lib/model/model.h"
#include "lib/model/ops.h"

_Static_assert(sizeof(struct item_head) == 64, "an item head is one cache line");

static uint32_t n_blocks_for(const struct items *t) { return (t->max_items + t->block_rows - 1) / t->block_rows; }

int items_new(const struct model_params *p, struct epoch *epoch, struct buf *ops, struct items **out, struct err *e) {
    struct items *t = mem_zalloc(sizeof *t);
    if (!t) return err_set(e, ERR_NOMEM, "items", "no memory for the item table");
    t->dim = p->dim;
    t->max_items = p->max_items;
    t->stride = item_stride(p->dim);
    t->block_rows = item_block_rows(p->dim);
    t->epoch = epoch;
    t->params = p;
    t->ops = ops;
    size_t n = p->max_items, blocks = n_blocks_for(t), rows = blocks * t->block_rows;
    t->rows = mem_map_dense(rows * t->stride);
    t->brief = mem_map_dense(n * sizeof *t->brief);
    t->live = mem_map_dense(n * sizeof *t->live);
    t->free_rows = mem_map(n * sizeof *t->free_rows);
    t->expires_ms = mem_map(n * sizeof *t->expires_ms);
    t->available = mem_map(n);
    t->cold_rows = mem_map(n / ITEM_COLD_ROWS + 1);
    t->dirty = mem_map(blocks);
    t->pending = mem_map(blocks);
    t->aside = item_aside_new((uint32_t)rows, t->stride);
    t->ids = item_ids_new(p->max_items, epoch);
    bool marks = marks_new(&t->touched, p->max_items) && marks_new(&t->counted, p->max_items);
    if (marks && t->rows && t->brief && t->live && t->free_rows && t->expires_ms && t->available && t->cold_rows &&
        t->dirty && t->pending && t->aside && t->ids) {
        *out = t;
        return 0;
    }
    items_free(t);
    return err_set(e, ERR_NOMEM, "model.max_items", "no address space for %u items of %zu bytes", p->max_items,
                   item_stride(p->dim));
}

void items_free(struct items *t) {
    if (!t) return;
    size_t n = t->max_items, blocks = n_blocks_for(t);
    item_ids_free(t->ids);
    item_aside_free(t->aside);
    mem_unmap(t->rows, blocks * t->block_rows * t->stride);
    mem_unmap(t->brief, n * sizeof *t->brief);
    mem_unmap(t->live, n * sizeof *t->live);
    mem_unmap(t->free_rows, n * sizeof *t->free_rows);
    mem_unmap(t->expires_ms, n * sizeof *t->expires_ms);
    mem_unmap(t->available, n);
    mem_unmap(t->cold_rows, n / ITEM_COLD_ROWS + 1);
    marks_free(&t->touched);
    marks_free(&t->counted);
    mem_unmap(t->dirty, blocks);
    mem_unmap(t->pending, blocks);
    mem_free(t);
}

uint32_t items_find(const struct items *t, struct slice id) { return item_ids_find(t->ids, id); }
void items_prefetch(const struct items *t, uint64_t hash, uint32_t station) {
    uint32_t row = item_ids_prefetch(t->ids, hash, station);
    if (station == 3 && row != ITEM_NONE) item_prefetch(t, row);
}
struct slice items_id(const struct items *t, uint32_t row) {
    return item_ids_of(t->ids, row);
}

/* The id first: the learner raises the generation before it takes an id away, and gives the row a new one after. */
bool items_still(const struct items *t, uint32_t row, uint32_t generation, struct slice id) {
    return slice_equal(items_id(t, row), id) && item_generation(t, row) == generation;
}

void item_note(struct items *t, uint32_t row) {
    const struct item_head *head = item_head(t, row);
    double count = head->count > 0
                       ? fm_log2((double)head->count) + (double)head->count_ms / (double)t->params->count_half_life_ms
                       : ITEM_NO_COUNT;
    atomic_store_explicit(&t->brief[row].log_count, count, memory_order_relaxed);
    atomic_store_explicit(&t->brief[row].generation, head->generation, memory_order_relaxed);
}

#define ID_VALUE 14u /* bytes before the id in what is stored beside a row number */

/* Room for one note_id, made before anything changes: a row and what is stored beside it must fit together. */
static int id_room(struct items *t, struct err *e) {
    return ops_room(t->ops, OPS_HEAD + 4 + ID_VALUE + MODEL_MAX_ID) == 0
               ? 0
               : err_set(e, ERR_NOMEM, "items", "no memory for the changes of a checkpoint");
}

/* What is stored beside an id: everything about an item that is no arithmetic. Of a row without one its number and
 * generation are kept, so that the next owner gets another generation after a restart too. */
static void note_id(struct items *t, uint32_t row) {
    char value[ID_VALUE + MODEL_MAX_ID] = {0};
    struct slice id = items_id(t, row);
    CHECK(id.n <= MODEL_MAX_ID);
    uint32_t generation = item_head(t, row)->generation;
    memcpy(value, &generation, 4);
    if (id.n > 0) {
        int64_t expires = atomic_load_explicit(&t->expires_ms[row], memory_order_relaxed);
        value[4] = (char)atomic_load_explicit(&t->available[row], memory_order_relaxed);
        memcpy(value + 6, &expires, 8);
        memcpy(value + ID_VALUE, id.p, id.n);
    }
    int rc = ops_put_row(t->ops, MODEL_PUT_ID, row, slice_of(value, ID_VALUE + id.n));
    CHECK(rc == 0);
}

/* Erased rows are given out lowest first: a heap, which a restart can rebuild from the rows alone. */
static void free_push(struct items *t, uint32_t row) {
    uint32_t at = t->n_free++;
    for (; at > 0 && t->free_rows[(at - 1) / 2] > row; at = (at - 1) / 2) t->free_rows[at] = t->free_rows[(at - 1) / 2];
    t->free_rows[at] = row;
}

static void free_pop(struct items *t) {
    uint32_t row = t->free_rows[--t->n_free], at = 0;
    for (uint32_t child = 1; child < t->n_free; child = 2 * at + 1) {
        if (child + 1 < t->n_free && t->free_rows[child + 1] < t->free_rows[child]) child++;
        if (t->free_rows[child] >= row) break;
        t->free_rows[at] = t->free_rows[child];
        at = child;
    }
    t->free_rows[at] = row;
}

void item_to_unit(float *q, uint32_t dim) {
    double square = 0; /* in order: the same bits with every kernel */
    for (uint32_t k = 0; k < dim; k++) square += (double)q[k] * (double)q[k];
    float factor = (float)(1 / fm_sqrt(square));
    if (!(square > 0) || !(factor > 0)) return;
    for (uint32_t k = 0; k < dim; k++) q[k] *= factor;
}

static void start_row(struct items *t, uint32_t row, struct slice id, uint32_t generation) {
    const struct model_params *p = t->params;
    float start[2 * MODEL_MAX_DIM];
    draw_start_row(p->seed, DRAW_START_ITEM, id, p->start_item, start, p->dim);
    draw_start_row(p->seed, DRAW_START_HISTORY, id, p->start_item, start + p->dim, p->dim);
    if (p->unit_scale > 0) item_to_unit(start, p->dim);
    struct item_head fresh = {.generation = generation, .count_ms = 0, .known = ITEM_KNOWN};
    for (int h = 0; h < MODEL_TRENDS; h++) fresh.trend[h] = ITEM_NO_TREND;
    item_change(t, row);
    struct item_head *head = item_head(t, row);
    item_begin(head);
    item_store_head(head, &fresh);
    item_store(item_q(t, row), start, 2 * sizeof(float) * p->dim);
    item_end(head);
    item_note(t, row);
}

int items_add(struct items *t, struct slice id, uint32_t *row, struct err *e) {
    uint32_t n = atomic_load_explicit(&t->n_rows, memory_order_relaxed);
    uint32_t r = t->n_free ? t->free_rows[0] : n;
    if (r >= t->max_items)
        return err_set(e, ERR_FULL, "items", "item \"%.*s\" would be one more than model.max_items = %u", (int)id.n,
                       id.p, t->max_items);
    uint32_t generation = r < n ? item_head(t, r)->generation : 0;
    int rc = id_room(t, e);
    if (rc < 0) return rc;
    if (item_ids_put(t->ids, r, id) < 0) return err_set(e, ERR_NOMEM, "items", "no memory for an item id");
    start_row(t, r, id, generation);
    atomic_store_explicit(&t->expires_ms[r], ITEM_NEVER, memory_order_relaxed);
    atomic_store_explicit(&t->available[r], 1, memory_order_relaxed);
    if (r == n)
        atomic_store_explicit(&t->n_rows, n + 1, memory_order_release);
    else
        free_pop(t);
    t->n_known++;
    note_id(t, r);
    *row = r;
    return 0;
}

/* n_described and n_cold follow a row that was one and is the other. */
static void recount(struct items *t, uint32_t row, bool was_described, bool was_live) {
    const struct item_head *is = item_head(t, row);
    _Atomic uint8_t *near = &t->cold_rows[row / ITEM_COLD_ROWS];
    bool described = (is->known & ITEM_DESCRIBED) != 0, cold = described && !is->live;
    uint32_t n = items_described(t) + described - was_described;
    atomic_store_explicit(&t->n_described, n, memory_order_relaxed);
    int change = cold - (was_described && !was_live);
    atomic_store_explicit(&t->n_cold, items_cold(t) + (uint32_t)change, memory_order_relaxed);
    atomic_store_explicit(near, (uint8_t)(atomic_load_explicit(near, memory_order_relaxed) + change),
                          memory_order_relaxed);
}

void items_set_live(struct items *t, uint32_t row, bool live) {
    struct item_head *head = item_head(t, row);
    if ((head->live != 0) == live) return;
    item_change(t, row);
    uint32_t place = head->live;
    if (live) {
        t->live[t->n_live++] = row;
        place = t->n_live;
    } else { /* the last one takes the place */
        uint32_t last = t->live[--t->n_live];
        if (last != row) {
            item_change(t, last);
            t->live[place - 1] = last;
            item_begin(item_head(t, last));
            atomic_store_explicit((_Atomic uint32_t *)&item_head(t, last)->live, place, memory_order_relaxed);
            item_end(item_head(t, last));
        }
        place = 0;
    }
    item_begin(head);
    atomic_store_explicit((_Atomic uint32_t *)&head->live, place, memory_order_relaxed);
    item_end(head);
    if (head->known & ITEM_DESCRIBED) recount(t, row, true, !live);
}

void items_set_described(struct items *t, uint32_t row, bool described) {
    struct item_head *head = item_head(t, row);
    bool before = (head->known & ITEM_DESCRIBED) != 0;
    if (before == described) return;
    item_change(t, row);
    item_begin(head);
    atomic_store_explicit((_Atomic uint32_t *)&head->known, head->known ^ ITEM_DESCRIBED, memory_order_relaxed);
    item_end(head);
    recount(t, row, before, head->live != 0);
}

static void set_expiry(struct items *t, uint32_t row, int64_t expires_ms) {
    int64_t before = atomic_load_explicit(&t->expires_ms[row], memory_order_relaxed);
    if (before == ITEM_NEVER && expires_ms != ITEM_NEVER) t->n_expiring++;
    if (before != ITEM_NEVER && expires_ms == ITEM_NEVER) t->n_expiring--;
    atomic_store_explicit(&t->expires_ms[row], expires_ms, memory_order_relaxed);
}

int items_remove(struct items *t, uint32_t row, struct err *e) {
    int rc = id_room(t, e);
    if (rc < 0) return rc;
    items_set_live(t, row, false);
    items_set_described(t, row, false);
    item_change(t, row);
    struct item_head *head = item_head(t, row), gone = {.generation = head->generation + 1};
    for (int h = 0; h < MODEL_TRENDS; h++) gone.trend[h] = ITEM_NO_TREND;
    float zero[2 * MODEL_MAX_DIM] = {0};
    item_begin(head);
    item_store_head(head, &gone);
    item_store(item_q(t, row), zero, 2 * sizeof(float) * t->dim);
    item_end(head);
    item_note(t, row);
    item_ids_del(t->ids, row);
    free_push(t, row);
    t->n_known--;
    set_expiry(t, row, ITEM_NEVER);
    note_id(t, row);
    return 0;
}

int items_describe(struct items *t, uint32_t row, int available, int64_t expires_ms, struct err *e) {
    int rc = id_room(t, e);
    if (rc < 0) return rc;
    if (available >= 0) atomic_store_explicit(&t->available[row], (uint8_t)(available != 0), memory_order_relaxed);
    if (expires_ms != INT64_MIN) set_expiry(t, row, expires_ms < 0 ? ITEM_NEVER : expires_ms);
    note_id(t, row);
    return 0;
}

void item_read(const struct items *t, uint32_t row, struct item_head *head, float *q, float *y) {
    struct item_head *from = item_head(t, row);
    for (unsigned tries = 1;; tries++) {
        uint32_t before = atomic_load_explicit(&from->seq, memory_order_acquire);
        if (!(before & 1u)) {
            item_load(head, from, sizeof *head);
            if (q) item_load(q, item_q(t, row), sizeof(float) * t->dim);
            if (y) item_load(y, item_y(t, row), sizeof(float) * t->dim);
            atomic_thread_fence(memory_order_acquire);
            if (atomic_load_explicit(&from->seq, memory_order_relaxed) == before) return;
        }
        if (tries % 64 == 0) sched_yield(); /* the learner was put aside in the middle of a row */
    }
}

bool item_read_of(const struct items *t, uint32_t row, struct slice id, struct item_head *head, float *q) {
    item_read(t, row, head, q, NULL);
    return items_still(t, row, head->generation, id);
}

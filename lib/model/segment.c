/* From an event to the counts of segments. */
#include "lib/model/segment.h"

#include <string.h>

#include "lib/base/fmath.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/model/decay.h"
#include "lib/model/model.h"
#include "lib/model/terms.h"

_Static_assert(SEGMENT_ROWS <= UINT16_MAX + 1u && SEGMENT_ROWS % SEGMENT_BLOCK == 0, "rows are u16, blocks are whole");

int segments_new(const struct model_params *p, struct segments **out, struct err *e) {
    struct segments *s = mem_zalloc(sizeof *s);
    if (s) s->log_count = mem_alloc((SEGMENT_ROWS + 1) * sizeof *s->log_count);
    if (!s || !s->log_count) {
        segments_free(s);
        return err_set(e, ERR_NOMEM, "segments", "no memory for segments of users");
    }
    s->params = p;
    for (uint32_t row = 0; row <= SEGMENT_ALL; row++) atomic_init(&s->log_count[row], ITEM_NO_COUNT);
    *out = s;
    return 0;
}

void segments_free(struct segments *s) {
    if (!s) return;
    mem_free((void *)s->log_count);
    mem_free(s);
}

uint32_t segments_rows(const struct model_params *p, const struct slice *text, size_t n, uint16_t *out) {
    uint32_t found = 0;
    for (size_t k = 0; k < n && k < p->user_features; k++) {
        uint16_t row = (uint16_t)(hash_slice(text[k]) % SEGMENT_ROWS);
        uint32_t at = 0;
        while (at < found && out[at] != row) at++;
        out[at] = row;
        found += at == found;
    }
    return found;
}

static float now(const struct segments *s, uint32_t row, double shift) {
    return (float)fm_exp2(segment_log_count(s, row) - shift);
}

int segments_fill(struct terms *s, const struct model *m, const struct history *h, unsigned reader, struct err *e) {
    struct neighbours *rows = m->neighbours;
    int64_t t = s->clock_ms + neighbours_aged(rows, NEIGHBOUR_SEGMENT);
    double shift = (double)t / (double)m->params.count_half_life_ms;
    for (uint32_t k = 0; k < h->n_segments; k++) {
        uint32_t v = h->segments[k];
        int rc = reader == SEGMENT_LEARNER ? neighbours_peek(rows, NEIGHBOUR_SEGMENT, v, &s->list, e)
                                           : neighbours_read(rows, reader, NEIGHBOUR_SEGMENT, v, &s->list, e);
        if (rc < 0) return rc;
        terms_add_segment(s, m->items, &s->list, now(m->segments, v, shift), now(m->segments, SEGMENT_ALL, shift));
    }
    return 0;
}

int segments_touch(struct model *m, const struct history *h, uint32_t n, struct err *e) {
    int rc = 0;
    for (uint32_t k = 0; k < h->n_segments && rc == 0; k++)
        rc = neighbours_touch(m->neighbours, NEIGHBOUR_SEGMENT, h->segments[k], n, e);
    return rc;
}

static void set_count(struct segments *s, uint32_t row, double log_count) {
    bool is_new = row != SEGMENT_ALL && segment_log_count(s, row) <= ITEM_NO_COUNT && log_count > ITEM_NO_COUNT;
    if (is_new) atomic_fetch_add_explicit(&s->n_known, 1, memory_order_relaxed);
    atomic_store_explicit(&s->log_count[row], log_count, memory_order_relaxed);
}

/* One more at t. */
static void count(struct model *m, uint32_t row, float w, int64_t t_ms) {
    struct segments *s = m->segments;
    int64_t t = t_ms + neighbours_aged(m->neighbours, NEIGHBOUR_SEGMENT); /* alarms age all of them alike */
    double shift = (double)t / (double)m->params.count_half_life_ms + (w != 1 ? fm_log2((double)w) : 0);
    set_count(s, row, decay_add(segment_log_count(s, row), shift));
    s->dirty[row / SEGMENT_BLOCK] = true;
}

void segments_count(struct model *m, const struct history *h, uint32_t item, float w, int64_t t_ms) {
    for (uint32_t k = 0; k < h->n_segments; k++) {
        neighbours_add(m->neighbours, NEIGHBOUR_SEGMENT, h->segments[k], item, w, t_ms);
        count(m, h->segments[k], w, t_ms);
    }
}

void segments_count_all(struct model *m, float w, int64_t t_ms) { count(m, SEGMENT_ALL, w, t_ms); }

static uint32_t end_of(uint32_t block) {
    uint32_t end = (block + 1) * SEGMENT_BLOCK;
    return end <= SEGMENT_ROWS ? end : SEGMENT_ROWS + 1;
}

bool segments_take(struct segments *s, uint32_t block, struct buf *out) {
    if (!s->dirty[block]) return false;
    for (uint32_t row = block * SEGMENT_BLOCK; row < end_of(block); row++) buf_put_f64(out, segment_log_count(s, row));
    s->dirty[block] = false;
    return true;
}

void segments_mark_dirty(struct segments *s) {
    for (uint32_t block = 0; block < SEGMENT_BLOCKS; block++)
        for (uint32_t row = block * SEGMENT_BLOCK; row < end_of(block) && !s->dirty[block]; row++)
            s->dirty[block] = segment_log_count(s, row) > ITEM_NO_COUNT;
}

int segments_load(struct segments *s, uint32_t block, struct slice value, struct err *e) {
    struct cursor c = {(const uint8_t *)value.p, value.n, false};
    if (block >= SEGMENT_BLOCKS || value.n != (end_of(block) - block * SEGMENT_BLOCK) * sizeof(double))
        return err_set(e, ERR_CORRUPT, "segment", "block %u of %u: %zu bytes", block, SEGMENT_BLOCKS, value.n);
    for (uint32_t row = block * SEGMENT_BLOCK; row < end_of(block); row++) set_count(s, row, cursor_f64(&c));
    return 0;
}

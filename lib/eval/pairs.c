/* Pair counts. A row is found by its item, a pair by looking through the row. */
#include "lib/eval/pairs.h"

#include "lib/base/check.h"
#include "lib/base/mem.h"

struct pairs {
    uint32_t n_items, most;
    struct forward decay;
    struct pairs_row *rows; /* (n_items) */
    uint32_t top;           /* rows from here on are empty */
    size_t size_bytes;      /* of the pairs */
};

int pairs_new(uint32_t n_items, uint32_t most, int64_t half_life_ms, struct pairs **out, struct err *e) {
    CHECK(n_items > 0 && most > 0 && half_life_ms >= 0);
    struct pairs *p = mem_zalloc(sizeof *p);
    if (!p) return err_set(e, ERR_NOMEM, NULL, "no memory");
    *p = (struct pairs){.n_items = n_items, .most = most, .decay.half_life_ms = half_life_ms};
    p->rows = mem_map((size_t)n_items * sizeof *p->rows);
    if (!p->rows) {
        pairs_free(p);
        return err_set(e, ERR_NOMEM, NULL, "no memory for the pairs of %u items", n_items);
    }
    *out = p;
    return 0;
}

void pairs_free(struct pairs *p) {
    if (!p) return;
    for (uint32_t i = 0; p->rows && i < p->top; i++) {
        mem_free(p->rows[i].items);
        mem_free(p->rows[i].counts);
    }
    mem_unmap(p->rows, (size_t)p->n_items * sizeof *p->rows);
    mem_free(p);
}

static void scale_all(struct pairs *p, float scale) {
    for (uint32_t i = 0; i < p->top; i++) {
        struct pairs_row *row = &p->rows[i];
        uint32_t kept = 0;
        for (uint32_t k = 0; k < row->n; k++) {
            float count = row->counts[k] * scale;
            if (count < FORWARD_LEAST) continue;
            row->items[kept] = row->items[k];
            row->counts[kept++] = count;
        }
        row->n = kept;
    }
}

static bool reserve(struct pairs *p, struct pairs_row *row) {
    if (row->n < row->room || row->room == p->most) return true;
    uint32_t room = row->room ? 2 * row->room : 4;
    if (room > p->most) room = p->most;
    uint32_t *items = mem_realloc(row->items, room * sizeof *items);
    if (items) row->items = items;
    float *counts = items ? mem_realloc(row->counts, room * sizeof *counts) : NULL;
    if (!counts) return false;
    row->counts = counts;
    p->size_bytes += (room - row->room) * (sizeof *items + sizeof *counts);
    row->room = room;
    return true;
}

static uint32_t find(const struct pairs_row *row, uint32_t item) {
    uint32_t at = 0;
    while (at < row->n && row->items[at] != item) at++;
    return at;
}

static uint32_t find_least(const struct pairs_row *row) {
    uint32_t least = 0;
    for (uint32_t k = 1; k < row->n; k++) least = row->counts[k] < row->counts[least] ? k : least;
    return least;
}

int pairs_add(struct pairs *p, uint32_t from, uint32_t to, float weight, int64_t ts_ms, struct err *e) {
    CHECK(from < p->n_items && to < p->n_items);
    struct pairs_row *row = &p->rows[from];
    float scale;
    if (forward_move(&p->decay, ts_ms, &scale)) scale_all(p, scale);
    float amount = weight * forward_store(&p->decay, ts_ms);
    if (amount < FORWARD_LEAST) return 0;
    if (!reserve(p, row)) return err_set(e, ERR_NOMEM, NULL, "no memory for a pair of items");
    if (p->top <= from) p->top = from + 1;
    uint32_t at = find(row, to);
    if (at < row->n) {
        row->counts[at] += amount;
        return 0;
    }
    if (row->n < row->room)
        row->n++;
    else
        at = find_least(row);
    row->items[at] = to;
    row->counts[at] = amount;
    return 0;
}

const struct pairs_row *pairs_row(const struct pairs *p, uint32_t from) { return &p->rows[from]; }

float pairs_fade(const struct pairs *p, int64_t ts_ms) { return forward_read(&p->decay, ts_ms); }

size_t pairs_size_bytes(const struct pairs *p) { return sizeof *p + p->top * sizeof *p->rows + p->size_bytes; }

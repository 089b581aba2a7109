/* Item counts. */
#include "lib/eval/counts.h"

#include "lib/base/check.h"
#include "lib/base/mem.h"

int counts_new(uint32_t n_items, int64_t half_life_ms, struct counts **out, struct err *e) {
    CHECK(n_items > 0 && half_life_ms >= 0);
    struct counts *c = mem_zalloc(sizeof *c);
    if (!c) return err_set(e, ERR_NOMEM, NULL, "no memory");
    *c = (struct counts){.n_items = n_items, .decay.half_life_ms = half_life_ms};
    c->of = mem_map((size_t)n_items * sizeof *c->of);
    if (!c->of) {
        counts_free(c);
        return err_set(e, ERR_NOMEM, NULL, "no memory for the counts of %u items", n_items);
    }
    *out = c;
    return 0;
}

void counts_free(struct counts *c) {
    if (!c) return;
    mem_unmap(c->of, (size_t)c->n_items * sizeof *c->of);
    mem_free(c);
}

void counts_add(struct counts *c, uint32_t item, float weight, int64_t ts_ms) {
    CHECK(item < c->n_items);
    float scale;
    if (forward_move(&c->decay, ts_ms, &scale)) {
        for (uint32_t i = 0; i < c->top; i++) c->of[i] = c->of[i] * scale < FORWARD_LEAST ? 0 : c->of[i] * scale;
    }
    if (c->top <= item) c->top = item + 1;
    c->of[item] += weight * forward_store(&c->decay, ts_ms);
}

float counts_fade(const struct counts *c, int64_t ts_ms) { return forward_read(&c->decay, ts_ms); }

size_t counts_size_bytes(const struct counts *c) { return sizeof *c + c->top * sizeof *c->of; }

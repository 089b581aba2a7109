/* Checkpoints on the learner: handing over and settling. */

#include <string.h>

#include "daemon/checkpoint_priv.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/model/dedup.h"
#include "lib/model/feature.h"
#include "lib/model/recent.h"
#include "lib/model/segment.h"

#define NO_LIMIT (SIZE_MAX / 4)

int checkpoint_new(struct engine *g, unsigned reader, struct checkpoint **out, struct err *e) {
    struct checkpoint *c = mem_zalloc(sizeof *c);
    if (!c) return err_set(e, ERR_NOMEM, "checkpoint", "no memory");
    c->g = g;
    c->reader = reader;
    buf_init(&c->ops, NO_LIMIT);
    buf_init(&c->small, NO_LIMIT);
    buf_init(&c->row, NO_LIMIT);
    c->block = mem_alloc(items_block_bytes(g->model->items));
    if (c->block) {
        *out = c;
        return 0;
    }
    checkpoint_free(c);
    return err_set(e, ERR_NOMEM, "checkpoint", "no memory");
}

static void free_bad(struct engine_bad *bad, size_t n) {
    for (size_t k = 0; k < n; k++) buf_free(&bad[k].row);
    mem_free(bad);
}

void checkpoint_free(struct checkpoint *c) {
    if (!c) return;
    buf_free(&c->ops);
    buf_free(&c->small);
    buf_free(&c->row);
    free_bad(c->bad, c->n_bad);
    mem_free(c->runs);
    mem_free(c->block);
    mem_free(c);
}

static void add_small(struct checkpoint *c, enum store_table table, struct slice key, struct slice value) {
    buf_put_u8(&c->small, (uint8_t)table);
    buf_put_u16(&c->small, (uint16_t)key.n);
    buf_put_u32(&c->small, (uint32_t)value.n);
    buf_add_slice(&c->small, key);
    buf_add_slice(&c->small, value);
}

static struct slice journal_key(uint64_t sequence, uint8_t kind, char out[9]) {
    (void)store_key_u64(sequence, out);
    out[8] = (char)kind;
    return slice_of(out, 9);
}

static void capture_positions(struct checkpoint *c, struct buf *row) {
    struct engine *g = c->g;
    for (uint32_t s = 0; s < g->n_sources; s++)
        for (uint32_t p = 0; p < g->sources[s].n; p++) {
            struct position *at = &g->sources[s].positions[p];
            char key[128];
            if (!at->known) continue;
            if (g->sources[s].attached) source_identity(g->sources[s].attached, p, at->identity);
            buf_clear(row);
            engine_encode_position(at, row);
            add_small(c, STORE_POSITION, engine_position_key(g->sources[s].name, p, key), slice_of(row->p, row->n));
        }
}

static void capture_features(struct checkpoint *c, struct buf *row) {
    struct features *f = c->g->model->features;
    char key[4];
    for (uint32_t b = 0; b < features_blocks(f); b++) {
        buf_clear(row);
        if (features_take(f, b, row))
            add_small(c, STORE_FEATURE_STATE, store_key_u32(b, key), slice_of(row->p, row->n));
        if (row->failed) c->small.failed = true;
    }
}

static void capture_segments(struct checkpoint *c, struct buf *row) {
    char key[4];
    for (uint32_t k = 0; k < SEGMENT_BLOCKS; k++) {
        buf_clear(row);
        if (segments_take(c->g->model->segments, k, row))
            add_small(c, STORE_SEGMENT, store_key_u32(k, key), slice_of(row->p, row->n));
        if (row->failed) c->small.failed = true;
    }
}

/* Everything small is encoded now; rows of the journal that are open come again with the next checkpoint. */
static void capture_small(struct checkpoint *c) {
    struct engine *g = c->g;
    struct buf row;
    char key[9];
    buf_init(&row, NO_LIMIT);
    buf_clear(&c->small);
    engine_encode_state(g, &row);
    add_small(c, STORE_META, slice_str("state"), slice_of(row.p, row.n));
    buf_clear(&row);
    blend_encode(&g->model->blend, &row);
    add_small(c, STORE_META, slice_str("blend"), slice_of(row.p, row.n));
    buf_clear(&row);
    quality_encode(&g->model->quality, &row);
    add_small(c, STORE_META, slice_str("quality"), slice_of(row.p, row.n));
    buf_clear(&row);
    drift_encode(&g->model->drift, &row);
    add_small(c, STORE_META, slice_str("drift"), slice_of(row.p, row.n));
    buf_clear(&row);
    for (size_t t = 0; t < g->n_types; t++) buf_printf(&row, "%s%s", t ? "\n" : "", g->types[t]);
    add_small(c, STORE_META, slice_str("types"), slice_of(row.p, row.n));
    c->n_epochs = g->n_epochs;
    for (size_t k = 0; k < g->n_epochs; k++) {
        buf_clear(&row);
        engine_encode_epoch(g, &g->epochs[k], &row);
        add_small(c, STORE_JOURNAL, journal_key(g->epochs[k].sequence, 0, key), slice_of(row.p, row.n));
    }
    for (size_t k = 0; k < g->n_runs; k++) {
        buf_clear(&row);
        engine_encode_run(g, &g->runs[k], &row);
        add_small(c, STORE_JOURNAL, journal_key(g->runs[k].sequence, 1, key), slice_of(row.p, row.n));
    }
    capture_positions(c, &row);
    for (uint32_t b = 0; b < recent_blocks(g->model->recent); b++) {
        struct slice bytes = recent_take(g->model->recent, b);
        if (bytes.p) add_small(c, STORE_RECENT, store_key_u32(b, key), bytes);
    }
    capture_features(c, &row);
    capture_segments(c, &row);
    if (row.failed) c->small.failed = true;
    buf_free(&row);
}

static int hand_over_ops(struct checkpoint *c) {
    struct buf *ops = &c->g->model->ops;
    if (c->ops.n == 0) { /* the usual case: the buffers change places */
        struct buf empty = c->ops;
        c->ops = *ops;
        *ops = empty;
        return 0;
    }
    buf_add(&c->ops, ops->p, ops->n);
    if (c->ops.failed) return ERR_NOMEM;
    buf_clear(ops);
    return 0;
}

int checkpoint_begin(struct checkpoint *c, struct err *e) {
    struct engine *g = c->g;
    struct model *m = g->model;
    uint64_t start = clock_steady_ns();
    memset(&c->figures, 0, sizeof c->figures);
    capture_small(c);
    struct engine_run *runs = mem_alloc(4 * sizeof *runs);
    if (c->small.failed || !runs || hand_over_ops(c) < 0 || dedup_checkpoint_begin(m->dedup) < 0) goto refused;
    uint64_t n_users;
    c->users = users_checkpoint_begin(m->users, &n_users);
    if (!c->users) {
        dedup_checkpoint_end(m->dedup, false);
        goto refused;
    }
    c->runs = g->runs;
    c->n_runs = g->n_runs;
    g->runs = runs;
    g->cap_runs = 4;
    g->n_runs = 0;
    if (c->n_runs) g->runs[g->n_runs++] = c->runs[c->n_runs - 1];
    c->bad = g->bad;
    c->n_bad = g->n_bad;
    c->bad_next = g->bad_next;
    g->bad = NULL;
    g->n_bad = g->cap_bad = 0;
    c->figures.blocks = items_checkpoint_begin(m->items);
    c->figures.neighbours = neighbours_checkpoint_begin(m->neighbours);
    c->figures.neighbours += neighbours_checkpoint_begin(m->features->successions);
    c->figures.users = n_users;
    c->figures.sequence = g->sequence;
    c->figures.begin_ns = clock_steady_ns() - start;
    return 0;
refused:
    mem_free(runs);
    recent_mark_dirty(m->recent);
    features_mark_dirty(m->features);
    segments_mark_dirty(m->segments);
    return err_set(e, ERR_NOMEM, "checkpoint", "no memory to begin a checkpoint");
}

/* As many as the ring holds: the older ones would go from it at once. */
static void keep_newest_bad(struct engine *g) {
    size_t keep = (size_t)g->config->bad_events_kept, over = g->n_bad > keep ? g->n_bad - keep : 0;
    for (size_t k = 0; k < over; k++) buf_free(&g->bad[k].row);
    g->n_bad -= over;
    if (over) memmove(g->bad, g->bad + over, g->n_bad * sizeof *g->bad);
}

/* Without memory the learner waits: what was handed over must not be lost, and the daemon must not end. */
static void *must_have(void *p, size_t n) {
    void *grown;
    while (!(grown = mem_realloc(p, n))) clock_sleep_ms(50);
    return grown;
}

/* A failed checkpoint gives back what it was handed: older runs and bad events stand before the newer ones. */
static void give_back(struct checkpoint *c) {
    struct engine *g = c->g;
    recent_mark_dirty(g->model->recent);
    features_mark_dirty(g->model->features);
    segments_mark_dirty(g->model->segments);
    if (c->n_runs) {
        size_t n = c->n_runs - 1 + g->n_runs;
        struct engine_run *runs = must_have(c->runs, n * sizeof *runs);
        memcpy(runs + c->n_runs - 1, g->runs, g->n_runs * sizeof *runs);
        mem_free(g->runs);
        g->runs = runs;
        g->n_runs = g->cap_runs = n;
        c->runs = NULL;
    }
    if (c->n_bad) {
        struct engine_bad *bad = must_have(c->bad, (c->n_bad + g->n_bad) * sizeof *bad);
        if (g->n_bad) memcpy(bad + c->n_bad, g->bad, g->n_bad * sizeof *bad);
        mem_free(g->bad);
        g->bad = bad;
        g->n_bad = g->cap_bad = c->n_bad + g->n_bad;
        c->bad = NULL;
        c->n_bad = 0;
        keep_newest_bad(g);
    }
}

void checkpoint_end(struct checkpoint *c, bool durable) {
    struct engine *g = c->g;
    items_checkpoint_end(g->model->items, durable);
    neighbours_checkpoint_end(g->model->neighbours, durable);
    neighbours_checkpoint_end(g->model->features->successions, durable);
    users_checkpoint_end(g->model->users, c->users, durable);
    dedup_checkpoint_end(g->model->dedup, durable);
    if (durable) {
        buf_free(&c->ops);
        engine_drop_epochs(g, c->n_epochs);
        atomic_store_explicit(&g->durable_sequence, c->figures.sequence, memory_order_release);
    } else {
        give_back(c);
    }
    g->held_bytes = c->ops.n;
    free_bad(c->bad, c->n_bad);
    c->bad = NULL;
    c->n_bad = 0;
    mem_free(c->runs);
    c->runs = NULL;
    c->n_runs = 0;
}

struct checkpoint_figures checkpoint_figures(const struct checkpoint *c) {
    return c->figures;
}

uint64_t checkpoint_estimate(const struct engine *g) {
    const struct model *m = g->model;
    return m->items->n_dirty * (uint64_t)items_block_bytes(m->items) +
           atomic_load_explicit(&users_stats(m->users)->dirty_bytes, memory_order_relaxed) +
           atomic_load_explicit(&neighbours_stats(m->neighbours)->dirty_bytes, memory_order_relaxed) +
           atomic_load_explicit(&neighbours_stats(m->features->successions)->dirty_bytes, memory_order_relaxed) +
           m->ops.n;
}

static bool half_is_unsaved(const struct neighbours *s) {
    return atomic_load_explicit(&neighbours_stats(s)->dirty_bytes, memory_order_relaxed) >
           neighbours_cache_bytes(s) / 2;
}

bool checkpoint_pressing(const struct engine *g) {
    const struct users *u = g->model->users;
    return atomic_load_explicit(&users_stats(u)->dirty_bytes, memory_order_relaxed) > users_cache_bytes(u) / 2 ||
           half_is_unsaved(g->model->neighbours) || half_is_unsaved(g->model->features->successions);
}

bool checkpoint_needed(const struct engine *g) {
    return g->sequence != atomic_load_explicit(&g->durable_sequence, memory_order_relaxed) || g->n_epochs > 0;
}

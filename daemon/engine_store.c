/* The engine's own rows in the store, and loading a whole engine from it. */
#include <stdio.h>
#include <string.h>

#include "daemon/engine.h"
#include "lib/base/check.h"
#include "lib/base/mem.h"
#include "lib/model/dedup.h"
#include "lib/model/feature.h"
#include "lib/model/recent.h"
#include "lib/model/segment.h"

enum journal_kind { JOURNAL_RUN = 1, JOURNAL_EPOCH = 2 };

/* Half-lives by which weights are stored as they grow, not as they stand (lib/model/decay.h, neighbour.h): read with
 * another one, what is old would outweigh everything new, or nothing. */
#define N_FIXED 7
struct fixed {
    const char *option;
    int64_t ms;
};
static void fixed_half_lives(const struct model_params *p, struct fixed out[N_FIXED]) {
    const struct fixed all[N_FIXED] = {
        {"model.trend_short", p->trend_half_life_ms[0]},   {"model.trend_middle", p->trend_half_life_ms[1]},
        {"model.trend_long", p->trend_half_life_ms[2]},    {"model.count_half_life", p->count_half_life_ms},
        {"model.pair_half_life", p->pair_half_life_ms},    {"model.successor_half_life", p->successor_half_life_ms},
        {"model.lately_half_life", p->lately_half_life_ms}};
    memcpy(out, all, sizeof all);
}

void engine_encode_state(const struct engine *g, struct buf *out) {
    struct fixed fixed[N_FIXED];
    fixed_half_lives(&g->model->params, fixed);
    buf_put_u32(out, g->model->params.dim);
    buf_put_u64(out, g->model->params.seed);
    buf_put_u64(out, g->generation);
    buf_put_u64(out, g->sequence);
    buf_put_u64(out, g->learned);
    buf_put_u64(out, (uint64_t)g->model->clock_ms);
    buf_put_u64(out, g->model->recent->n);
    buf_put_u64(out, dedup_count(g->model->dedup));
    buf_put_u64(out, engine_in_force(g)->epoch_hash[0]);
    buf_put_u64(out, engine_in_force(g)->epoch_hash[1]);
    buf_put_u64(out, g->bad_next);
    buf_put_f64(out, g->model->weights.sum);
    buf_put_f64(out, g->model->weights.n);
    buf_put_u8(out, items_had_baskets(g->model->items));
    buf_put_u8(out, EVENT_DELETE + 1);
    for (int k = 0; k <= EVENT_DELETE; k++) buf_put_u64(out, g->kinds[k]);
    buf_put_u8(out, EVENT_REASONS);
    for (int k = 0; k < EVENT_REASONS; k++) buf_put_u64(out, g->skipped[k]);
    for (int k = 0; k < N_FIXED; k++) buf_put_u64(out, (uint64_t)fixed[k].ms);
}

void engine_encode_run(const struct engine *g, const struct engine_run *run, struct buf *out) {
    const char *name = g->sources[run->source].name;
    buf_put_u8(out, JOURNAL_RUN);
    buf_put_u64(out, run->generation);
    buf_put_u32(out, run->partition);
    buf_put_u64(out, run->first);
    buf_put_u64(out, run->last);
    buf_put_u64(out, run->count);
    buf_add_str(out, name);
}

void engine_encode_epoch(const struct engine *g, const struct engine_epoch *epoch, struct buf *out) {
    buf_put_u8(out, JOURNAL_EPOCH);
    buf_put_u64(out, g->generation);
    buf_put_u64(out, epoch->hash[0]);
    buf_put_u64(out, epoch->hash[1]);
    buf_add_str(out, epoch->text);
}

void engine_encode_position(const struct position *p, struct buf *out) {
    buf_put_u64(out, p->next);
    buf_put_u64(out, p->last);
    buf_put_u32(out, p->last_crc);
    buf_put_u8(out, p->has_last);
    buf_add_str(out, p->identity);
}

struct slice engine_position_key(const char *name, uint32_t partition, char out[128]) {
    size_t n = strlen(name);
    memcpy(out, name, n + 1);
    (void)store_key_u32(partition, out + n + 1);
    return slice_of(out, n + 5);
}

static int copy_name(struct slice from, char out[96]) {
    if (from.n == 0 || from.n >= 96) return ERR_CORRUPT;
    memcpy(out, from.p, from.n);
    out[from.n] = '\0';
    return 0;
}

int engine_decode_journal(struct slice key, struct slice value, struct journal_entry *out, struct err *e) {
    struct cursor c = {(const uint8_t *)value.p, value.n, false};
    memset(out, 0, sizeof *out);
    out->run.sequence = 0;
    for (size_t k = 0; k < 8 && k < key.n; k++) out->run.sequence = out->run.sequence << 8 | (uint8_t)key.p[k];
    uint8_t kind = cursor_u8(&c);
    out->is_epoch = kind == JOURNAL_EPOCH;
    out->run.generation = cursor_u64(&c);
    if (out->is_epoch) {
        (void)cursor_u64(&c);
        (void)cursor_u64(&c);
        out->epoch_text = slice_of((const char *)c.p, c.n);
    } else {
        out->run.partition = cursor_u32(&c);
        out->run.first = cursor_u64(&c);
        out->run.last = cursor_u64(&c);
        out->run.count = cursor_u64(&c);
        if (!c.failed && copy_name(slice_of((const char *)c.p, c.n), out->name) < 0) c.failed = true;
    }
    if (c.failed || (kind != JOURNAL_RUN && kind != JOURNAL_EPOCH))
        return err_set(e, ERR_CORRUPT, "journal", "the entry at sequence %llu is not readable",
                       (unsigned long long)out->run.sequence);
    return 0;
}

int engine_decode_bad(struct slice key, struct slice value, struct bad_event *out, struct err *e) {
    struct cursor c = {(const uint8_t *)value.p, value.n, false};
    memset(out, 0, sizeof *out);
    for (size_t k = 0; k < 8 && k < key.n; k++) out->number = out->number << 8 | (uint8_t)key.p[k];
    out->reason = (enum event_reason)cursor_u8(&c);
    out->offset = cursor_u64(&c);
    out->partition = cursor_u32(&c);
    out->wall_ms = (int64_t)cursor_u64(&c);
    struct slice name = cursor_bytes(&c, cursor_u8(&c));
    out->error = cursor_bytes(&c, cursor_u16(&c));
    out->raw = slice_of((const char *)c.p, c.n);
    if (c.failed || copy_name(name, out->source) < 0)
        return err_set(e, ERR_CORRUPT, "bad_event", "number %llu is not readable", (unsigned long long)out->number);
    return 0;
}

struct loaded { /* the META row */
    uint64_t recent, dedup;
    int64_t clock_ms;
};

#define CHOICES "set %s back, or start with an empty rankd.data_dir and replay the log into it (rankd replay)"

static int check_model(const struct engine *g, struct cursor *c, struct err *e) {
    const struct model_params *p = &g->model->params;
    uint32_t dim = cursor_u32(c);
    uint64_t seed = cursor_u64(c);
    if (!c->failed && (dim != p->dim || seed != p->seed))
        return err_set(e, ERR_MISMATCH, dim != p->dim ? "model.dim" : "model.seed",
                       "the data directory was made with model.dim = %u and model.seed = %llu, the configuration says "
                       "%u and %llu: " CHOICES,
                       dim, (unsigned long long)seed, p->dim, (unsigned long long)p->seed, "them");
    return 0;
}

static int check_half_lives(const struct engine *g, struct cursor *c, struct err *e) {
    struct fixed fixed[N_FIXED];
    fixed_half_lives(&g->model->params, fixed);
    for (int k = 0; k < N_FIXED; k++) {
        int64_t ms = (int64_t)cursor_u64(c);
        if (!c->failed && ms != fixed[k].ms)
            return err_set(e, ERR_MISMATCH, fixed[k].option,
                           "the data directory was made with %s = %lldms, the configuration says %lldms: " CHOICES,
                           fixed[k].option, (long long)ms, (long long)fixed[k].ms, "it");
    }
    return 0;
}

static int load_state(struct engine *g, struct slice bytes, struct loaded *l, struct err *e) {
    struct cursor c = {(const uint8_t *)bytes.p, bytes.n, false};
    int rc = check_model(g, &c, e);
    if (rc < 0) return rc;
    g->generation = cursor_u64(&c);
    g->sequence = cursor_u64(&c);
    g->learned = cursor_u64(&c);
    l->clock_ms = (int64_t)cursor_u64(&c);
    l->recent = cursor_u64(&c);
    l->dedup = cursor_u64(&c);
    uint64_t epoch[2] = {cursor_u64(&c), cursor_u64(&c)};
    g->bad_next = cursor_u64(&c);
    g->model->weights.sum = cursor_f64(&c);
    g->model->weights.n = cursor_f64(&c);
    atomic_store_explicit(&g->model->items->had_baskets, cursor_u8(&c) != 0, memory_order_relaxed);
    uint8_t kinds = cursor_u8(&c);
    for (uint8_t k = 0; k < kinds; k++) {
        uint64_t v = cursor_u64(&c);
        if (k <= EVENT_DELETE) g->kinds[k] = v;
    }
    uint8_t reasons = cursor_u8(&c);
    for (uint8_t k = 0; k < reasons; k++) {
        uint64_t v = cursor_u64(&c);
        if (k < EVENT_REASONS) g->skipped[k] = v;
    }
    rc = check_half_lives(g, &c, e);
    if (rc < 0) return rc;
    if (c.failed) return err_set(e, ERR_CORRUPT, "meta", "the state row is cut short");
    engine_loaded_epoch(g, epoch);
    return 0;
}

static int load_position(struct engine *g, struct slice key, struct slice value, struct err *e) {
    const char *end = memchr(key.p, '\0', key.n);
    char name[96];
    uint32_t source;
    if (!end || (size_t)(end - key.p) + 5 != key.n || copy_name(slice_of(key.p, (size_t)(end - key.p)), name) < 0)
        return err_set(e, ERR_CORRUPT, "position", "a position's key is not readable");
    const uint8_t *p = (const uint8_t *)end + 1;
    uint32_t partition = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    if (partition >= SOURCE_MAX_PARTITIONS)
        return err_set(e, ERR_CORRUPT, "position", "partition %u of \"%s\" is out of range", partition, name);
    int rc = engine_source(g, name, &source, e);
    if (rc < 0) return rc;
    struct engine_source *s = &g->sources[source];
    if (partition >= s->n) {
        void *more = mem_realloc(s->positions, (partition + 1) * sizeof *s->positions);
        if (!more) return err_set(e, ERR_NOMEM, "position", "no memory");
        s->positions = more;
        memset(s->positions + s->n, 0, (partition + 1 - s->n) * sizeof *s->positions);
        s->n = partition + 1;
    }
    struct cursor c = {(const uint8_t *)value.p, value.n, false};
    struct position *at = &s->positions[partition];
    at->known = true;
    at->next = cursor_u64(&c);
    at->last = cursor_u64(&c);
    at->last_crc = cursor_u32(&c);
    at->has_last = cursor_u8(&c);
    if (c.failed || c.n >= sizeof at->identity)
        return err_set(e, ERR_CORRUPT, "position", "the position of \"%s\" is not readable", name);
    memcpy(at->identity, c.p, c.n);
    at->identity[c.n] = '\0';
    return 0;
}

static uint32_t number_of(struct slice key) {
    uint32_t v = 0;
    for (size_t k = 0; k < 4 && k < key.n; k++) v = v << 8 | (uint8_t)key.p[k];
    return v;
}

static int load_row(struct engine *g, enum store_table table, struct slice key, struct slice value, struct err *e) {
    struct model *m = g->model;
    switch (table) {
    case STORE_ITEM:
        return items_load_block(m->items, number_of(key), value, e);
    case STORE_ITEM_ID:
        return items_load_id(m->items, number_of(key), value, e);
    case STORE_RECENT:
        return recent_load(m->recent, number_of(key), value, e);
    case STORE_DEDUP:
        return dedup_load(m->dedup, number_of(key), value, e);
    case STORE_FEATURE:
        return features_load_row(m->features, number_of(key), value, e);
    case STORE_FEATURE_STATE:
        return features_load_block(m->features, number_of(key), value, e);
    case STORE_ITEM_FEATURES:
        return features_load_list(m->features, number_of(key), value, e);
    case STORE_SEGMENT:
        return segments_load(m->segments, number_of(key), value, e);
    case STORE_POSITION:
        return load_position(g, key, value, e);
    default:
        return 0;
    }
}

static int load_tables(struct engine *g, struct store_scan *scan, const _Atomic bool *stop, struct err *e) {
    static const enum store_table tables[] = {STORE_ITEM,          STORE_ITEM_ID,       STORE_RECENT,
                                              STORE_DEDUP,         STORE_POSITION,      STORE_FEATURE,
                                              STORE_FEATURE_STATE, STORE_ITEM_FEATURES, STORE_SEGMENT};
    for (size_t k = 0; k < sizeof tables / sizeof *tables; k++) {
        struct slice key, value;
        int rc = store_scan_seek(scan, tables[k], slice_of(NULL, 0), e);
        while (rc == 0 && (rc = store_scan_next(scan, &key, &value, e)) == 1) {
            rc = load_row(g, tables[k], key, value, e);
            if (rc == 0 && stop && atomic_load_explicit(stop, memory_order_relaxed))
                rc = err_set(e, ERR_STOPPED, NULL, "ended while it was loading");
        }
        if (rc < 0) return rc;
    }
    return 0;
}

int engine_load(struct engine *g, struct store *store, const _Atomic bool *stop, struct err *e) {
    struct buf state;
    struct loaded l = {0};
    struct store_scan *scan = NULL;
    buf_init(&state, 1u << 20);
    int rc = store_get(store, STORE_META, slice_str("state"), &state, e);
    if (rc == ERR_MISSING) {
        buf_free(&state);
        return 0;
    }
    if (rc == 0) rc = load_state(g, slice_of(state.p, state.n), &l, e);
    if (rc == 0) rc = store_get(store, STORE_META, slice_str("blend"), &state, e);
    if (rc == 0) rc = blend_decode(&g->model->blend, slice_of(state.p, state.n), e);
    if (rc == 0) rc = store_get(store, STORE_META, slice_str("quality"), &state, e);
    if (rc == 0) rc = quality_decode(&g->model->quality, slice_of(state.p, state.n), e);
    if (rc == 0) rc = store_get(store, STORE_META, slice_str("drift"), &state, e);
    if (rc == 0) rc = drift_decode(&g->model->drift, slice_of(state.p, state.n), e);
    if (rc == 0) rc = store_scan_begin(store, &scan, e);
    if (rc == 0) rc = load_tables(g, scan, stop, e);
    if (scan) store_scan_end(scan);
    if (rc == 0) rc = recent_load_end(g->model->recent, l.recent, e);
    if (rc == 0) rc = dedup_load_end(g->model->dedup, l.dedup, e);
    if (rc == 0) rc = model_load_end(g->model, l.clock_ms, e);
    if (rc == 0) {
        atomic_store_explicit(&g->durable_sequence, g->sequence, memory_order_relaxed);
        engine_publish(g);
    }
    buf_free(&state);
    return rc < 0 ? rc : 1;
}

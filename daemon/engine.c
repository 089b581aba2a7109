/* Applying records. */
#include "daemon/engine.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/config_priv.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/model/exposed.h"
#include "lib/model/feature.h"

#define BAD_RAW_BYTES 512u
#define FEW_ITEMS     16u
#define UNSAVED_MAX   (256u << 20) /* bytes of ids and texts, and runs, that wait for a checkpoint */
#define RUNS_MAX      1000000u

/* The bit of each event type in users' rows: first those the data directory knows, in its order, then new ones. */
static int assign_types(struct engine *g, struct slice known, struct err *e) {
    const struct config *c = g->config;
    while (known.n > 0 && g->n_types < EVENT_MAX_TYPES) {
        const char *end = memchr(known.p, '\n', known.n);
        size_t n = end ? (size_t)(end - known.p) : known.n;
        if (n == 0 || n >= sizeof g->types[0])
            return err_set(e, ERR_CORRUPT, "meta", "the list of event types is not readable");
        memcpy(g->types[g->n_types++], known.p, n);
        known = end ? slice_of(end + 1, known.n - n - 1) : slice_of(NULL, 0);
    }
    for (size_t t = 0; t < c->n_types; t++) {
        size_t at = 0;
        while (at < g->n_types && strcmp(g->types[at], c->types[t].name) != 0) at++;
        if (at < g->n_types) continue;
        if (at == EVENT_MAX_TYPES)
            return err_set(
                e, ERR_FULL, "type",
                "type \"%s\" would be number %d of a data directory, %d allowed, those no longer configured included",
                c->types[t].name, EVENT_MAX_TYPES + 1, EVENT_MAX_TYPES);
        memcpy(g->types[g->n_types++], c->types[t].name, sizeof g->types[0]);
    }
    return 0;
}

int engine_rules(const struct config *c, char (*types)[33], size_t n_types, struct event_rules *out, struct err *e) {
    struct event_rules r = {.n_types = n_types};
    for (size_t t = 0; t < n_types; t++) /* a type no longer configured keeps its bit but is unknown to the decoder */
        if (config_type_of(c, types[t])) memcpy(r.types[t], types[t], sizeof r.types[t]);
    struct slice name;
    for (const char *rest = c->impression_types; config_list_next(&rest, &name) && r.n_shown < EVENT_MAX_SHOWN;)
        memcpy(r.shown[r.n_shown++], name.p, name.n); /* config_check has seen their lengths */
    r.max_event_bytes = c->max_event_bytes;
    r.max_basket = (size_t)c->max_basket;
    int rc = event_names_parse(c->field_user, &r.user, e);
    if (rc == 0) rc = event_names_parse(c->field_item, &r.item, e);
    if (rc == 0) rc = event_names_parse(c->field_type, &r.type, e);
    if (rc == 0) rc = event_names_parse(c->field_ts, &r.ts, e);
    if (rc == 0) rc = event_names_parse(c->field_id, &r.id, e);
    if (rc == 0 && *c->word_features) rc = event_names_parse(c->word_features, &r.words, e);
    if (rc == 0 && *c->band_features) rc = event_names_parse(c->band_features, &r.bands, e);
    if (rc == 0) *out = r;
    return rc;
}

static int load_types(struct engine *g, struct store *store, struct err *e) {
    struct buf known;
    buf_init(&known, 1u << 20);
    int rc = store ? store_get(store, STORE_META, slice_str("types"), &known, e) : ERR_MISSING;
    if (rc == 0 || rc == ERR_MISSING) rc = assign_types(g, slice_of(known.p, known.n), e);
    buf_free(&known);
    return rc;
}

static int get_user(void *arg, struct slice id, struct buf *out, struct err *e) {
    return store_get(arg, STORE_USER, id, out, e);
}

static int get_neighbours(void *arg, enum neighbour_kind kind, uint32_t a, struct buf *out, struct err *e) {
    char key[5];
    return store_get(arg, STORE_NEIGHBOUR, store_key_u8_u32((uint8_t)kind, a, key), out, e);
}

static int get_successions(void *arg, enum neighbour_kind kind, uint32_t a, struct buf *out, struct err *e) {
    char key[4];
    CHECK(kind == NEIGHBOUR_FORWARD);
    return store_get(arg, STORE_SUCCESSION, store_key_u32(a, key), out, e);
}

static int first_rules(struct engine *g, struct err *e) {
    struct reweight *w;
    int rc = reweight_new(g->config, &g->rules, &w, e);
    if (rc == 0) rc = engine_set_rules(g, w, e);
    return rc;
}

int engine_new(const struct config *c, struct store *store, unsigned n_readers, struct engine **out, struct err *e) {
    struct engine *g = mem_zalloc(sizeof *g);
    if (!g) return err_set(e, ERR_NOMEM, "engine", "no memory");
    g->config = c;
    g->generation = 1;
    struct user_backing backing = {store ? get_user : NULL, store};
    const struct kernel *kernel = kernel_pick(c->kernel);
    struct model_params p;
    int rc = load_types(g, store, e);
    if (rc == 0) rc = engine_rules(c, g->types, g->n_types, &g->rules, e);
    if (rc == 0 && !kernel)
        rc = err_set(e, ERR_RANGE, "learner.kernel", "\"%s\" is not available on this CPU", c->kernel);
    engine_params(g, &p);
    if (rc == 0) rc = first_rules(g, e);
    if (rc == 0) rc = model_new(&p, kernel, c->user_cache_bytes, &backing, n_readers, &g->model, e);
    if (rc == 0 && store) {
        neighbours_set_backing(g->model->neighbours, c->neighbour_cache_bytes,
                               &(struct neighbour_backing){get_neighbours, store});
        neighbours_set_backing(g->model->features->successions, c->feature_cache_bytes,
                               &(struct neighbour_backing){get_successions, store});
    }
    if (rc == 0)
        *out = g;
    else
        engine_free(g);
    return rc;
}

void engine_free(struct engine *g) {
    if (!g) return;
    model_free(g->model);
    for (uint32_t s = 0; s < g->n_sources; s++) {
        mem_free(g->sources[s].positions);
        mem_free(g->sources[s].outcomes);
    }
    for (size_t k = 0; k < g->n_bad; k++) buf_free(&g->bad[k].row);
    mem_free(g->bad);
    mem_free(g->runs);
    engine_drop_epochs(g, g->n_epochs);
    reweight_free(engine_in_force(g));
    mem_free(g);
}

int engine_source(struct engine *g, const char *name, uint32_t *index, struct err *e) {
    for (uint32_t s = 0; s < g->n_sources; s++)
        if (strcmp(g->sources[s].name, name) == 0) {
            *index = s;
            return 0;
        }
    if (g->n_sources == ENGINE_MAX_SOURCES)
        return err_set(e, ERR_FULL, "sources", "more than %d sources in one data directory", ENGINE_MAX_SOURCES);
    if (strlen(name) >= sizeof g->sources[0].name)
        return err_set(e, ERR_RANGE, "sources", "the name \"%s\" is longer than %zu bytes", name,
                       sizeof g->sources[0].name - 1);
    struct engine_source *s = &g->sources[g->n_sources];
    s->outcomes = mem_zalloc(sizeof *s->outcomes);
    if (!s->outcomes) return err_set(e, ERR_NOMEM, "sources", "no memory for source %s", name);
    memcpy(s->name, name, strlen(name) + 1);
    *index = g->n_sources++;
    return 0;
}

void engine_position(const struct engine *g, const char *name, uint32_t partition, struct position *out) {
    memset(out, 0, sizeof *out);
    for (uint32_t s = 0; s < g->n_sources; s++)
        if (strcmp(g->sources[s].name, name) == 0 && partition < g->sources[s].n)
            *out = g->sources[s].positions[partition];
}

static bool grow(void *array, size_t size, size_t *cap, size_t need) {
    if (need <= *cap) return true;
    size_t more = 2 * *cap > need ? 2 * *cap : need + 16;
    void *p = mem_realloc(*(void **)array, more * size);
    if (!p) return false;
    memset((char *)p + *cap * size, 0, (more - *cap) * size);
    *(void **)array = p;
    *cap = more;
    return true;
}

/* All the memory that noting a record can need, so that noting cannot fail once the record has been learned. */
static int prepare(struct engine *g, uint32_t source, uint32_t partition, struct err *e) {
    struct engine_source *s = &g->sources[source];
    size_t n = s->n;
    CHECK(source < g->n_sources && partition < SOURCE_MAX_PARTITIONS);
    if (g->model->ops.n + g->held_bytes > UNSAVED_MAX || g->n_runs > RUNS_MAX)
        return err_set(e, ERR_FULL, "checkpoint",
                       "%zu bytes of descriptions and ids and %zu runs wait for a checkpoint",
                       g->model->ops.n + g->held_bytes, g->n_runs);
    bool ok = grow(&s->positions, sizeof *s->positions, &n, partition + 1);
    s->n = (uint32_t)n;
    ok = ok && grow(&g->runs, sizeof *g->runs, &g->cap_runs, g->n_runs + 1) &&
         grow(&g->bad, sizeof *g->bad, &g->cap_bad, g->n_bad + 1) && model_prepare(g->model) == 0;
    return ok ? 0 : err_set(e, ERR_NOMEM, "engine", "no memory to note a record");
}

static struct model_event behaviour(const struct engine *g, uint32_t source, uint32_t partition, const struct record *r,
                                    const struct slice *items) {
    const char *name = g->sources[source].name;
    return (struct model_event){
        .place = {.source = hash64(name, strlen(name), 0), .partition = partition, .offset = r->offset},
        .type = (uint32_t)r->event.type,
        .user = r->event.user,
        .items = items,
        .n_items = r->event.n_items,
    };
}

void engine_expect(struct engine *g, uint32_t source, uint32_t partition, const struct record *r) {
    if (!r || r->reason != EVENT_OK || r->event.kind != EVENT_BEHAVIOUR) {
        model_expect(g->model, NULL);
        return;
    }
    struct model_event ev = behaviour(g, source, partition, r, &r->event.items[0].id);
    ev.n_items = 1;
    model_expect(g->model, &ev);
}

/* The ids of an event's items, in few[FEW_ITEMS] or memory of their own, which the caller frees; NULL without memory.
 */
static struct slice *ids_of(const struct event *ev, struct slice *few, struct err *e) {
    struct slice *items = ev->n_items <= FEW_ITEMS ? few : mem_alloc(ev->n_items * sizeof *items);
    if (!items) (void)err_set(e, ERR_NOMEM, "items", "no memory for %zu items", ev->n_items);
    for (size_t k = 0; items && k < ev->n_items; k++) items[k] = ev->items[k].id;
    return items;
}

static int show_impression(struct engine *g, const struct event *ev, int64_t t, struct err *e) {
    struct slice few[FEW_ITEMS], *items = ids_of(ev, few, e);
    if (!items) return ERR_NOMEM;
    int rc = exposed_show(g->model, ev->user, items, ev->n_items, t, e);
    if (items != few) mem_free(items);
    return rc;
}

static int learn_behaviour(struct engine *g, uint32_t source, uint32_t partition, const struct record *r, int64_t t,
                           const struct model_treatment *treatment, struct err *e) {
    const struct event *ev = &r->event;
    struct slice few[FEW_ITEMS], *items = ids_of(ev, few, e);
    if (!items) return ERR_NOMEM;
    struct model_event learn = behaviour(g, source, partition, r, items);
    learn.ts_ms = t;
    learn.treatment = treatment;
    int rc = model_learn(g->model, &learn, e);
    if (items != few) mem_free(items);
    return rc;
}

/* EVENT_OK or the reason why the event is skipped; a negative code to be given again. */
static int accept_event(struct engine *g, uint32_t source, uint32_t partition, const struct record *r, struct err *e) {
    const struct event *ev = &r->event;
    struct model *m = g->model;
    struct hash128 id = {0, 0};
    if (ev->id.n) id = hash128(ev->id.p, ev->id.n);
    if (ev->id.n && model_seen(m, id)) return EVENT_DUPLICATE;
    int64_t arrival = r->arrival_ms != EVENT_NO_TIME ? r->arrival_ms : ev->arrival_ms;
    int64_t ts = ev->ts_ms != EVENT_NO_TIME ? ev->ts_ms : arrival;
    if (ts == EVENT_NO_TIME) return EVENT_NO_TIME_AT_ALL;
    int64_t t = model_event_time(m, ts, arrival);
    struct reweight *rules = engine_in_force(g);
    struct model_treatment treatment;
    uint64_t fits = 0;
    if (rules->n > 0 && (ev->kind == EVENT_BEHAVIOUR || ev->kind == EVENT_IMPRESSION))
        fits = reweight_event(rules, ev, g->sources[source].name, ts, r->raw, &treatment);
    if (fits && treatment.weight == 0) {
        reweight_count(rules, fits);
        return EVENT_RULED_OUT;
    }
    int rc = 0;
    switch (ev->kind) {
    case EVENT_BEHAVIOUR:
        rc = learn_behaviour(g, source, partition, r, t, fits ? &treatment : NULL, e);
        break;
    case EVENT_IMPRESSION:
        if (m->params.exposed_share > 0) rc = show_impression(g, ev, t, e);
        break;
    case EVENT_ITEM:
        rc = model_describe_item(m, ev->items[0].id, ev->available, ev->expires_ms, ev->description, e);
        if (rc == 0) rc = model_set_features(m, ev->items[0].id, ev->features, ev->n_features, e);
        if (rc == 0) atomic_fetch_add_explicit(&m->stats.features_left_out, ev->n_left_out, memory_order_relaxed);
        break;
    case EVENT_USER:
        rc = model_describe_user(m, ev->user, ev->description, ev->features, ev->n_features, e);
        if (rc == 0) atomic_fetch_add_explicit(&m->stats.features_left_out, ev->n_left_out, memory_order_relaxed);
        break;
    case EVENT_DELETE:
        rc = ev->user.n ? model_erase_user(m, ev->user, e) : model_erase_item(m, ev->items[0].id, e);
        break;
    }
    if (rc == ERR_FULL && strcmp(e->field, "items") == 0) return EVENT_ITEMS_FULL;
    if (rc < 0) return rc;
    reweight_count(rules, fits);
    if (ev->kind != EVENT_BEHAVIOUR) model_move_clock(m, t);
    if (ev->id.n) model_remember(m, id);
    if (t < ts) {
        struct model_stats *stats = &m->stats;
        atomic_fetch_add_explicit(arrival != EVENT_NO_TIME ? &stats->held_to_arrival : &stats->held_to_step, 1,
                                  memory_order_relaxed);
    }
    g->kinds[ev->kind]++;
    return EVENT_OK;
}

static void note_bad(struct engine *g, uint32_t source, uint32_t partition, const struct record *r,
                     enum event_reason reason, const char *text) {
    uint64_t keep = (uint64_t)g->config->bad_events_kept, number = g->bad_next++;
    if (keep == 0) return;
    if (g->n_bad >= keep) { /* the oldest of those waiting would be dropped by the ring anyway */
        buf_free(&g->bad[0].row);
        memmove(g->bad, g->bad + 1, (g->n_bad - 1) * sizeof *g->bad);
        g->n_bad--;
    }
    struct engine_bad *b = &g->bad[g->n_bad++];
    const char *name = g->sources[source].name;
    size_t raw = r->raw.n < BAD_RAW_BYTES ? r->raw.n : BAD_RAW_BYTES;
    b->number = number;
    buf_init(&b->row, 4096);
    buf_put_u8(&b->row, (uint8_t)reason);
    buf_put_u64(&b->row, r->offset);
    buf_put_u32(&b->row, partition);
    buf_put_u64(&b->row, (uint64_t)clock_wall_ms()); /* for people; not part of the digest */
    buf_put_u8(&b->row, (uint8_t)strlen(name));
    buf_add_str(&b->row, name);
    buf_put_u16(&b->row, (uint16_t)strlen(text));
    buf_add_str(&b->row, text);
    buf_add(&b->row, r->raw.p, raw);
    if (!b->row.failed) return;
    buf_free(&b->row); /* half a row would read as damage */
    g->n_bad--;
}

static void note_run(struct engine *g, uint32_t source, uint32_t partition, const struct record *r) {
    CHECK(g->runs && g->n_runs < g->cap_runs); /* see prepare */
    struct engine_run *run = g->n_runs ? &g->runs[g->n_runs - 1] : NULL;
    if (!run || run->source != source || run->partition != partition || run->generation != g->generation ||
        g->sequence == g->epoch_sequence ||
        r->offset <= run->last) { /* the last: a log that began anew (on_gap = continue) */
        run = &g->runs[g->n_runs++];
        *run = (struct engine_run){g->sequence, source, partition, r->offset, r->offset, 0, g->generation};
    }
    run->last = r->offset;
    run->count++;
}

static void count_outcome(struct engine *g, uint32_t source, const struct record *r, enum event_reason verdict) {
    size_t row = EVENT_MAX_TYPES + EVENT_DELETE;
    if (r->reason == EVENT_OK)
        row = r->event.kind == EVENT_BEHAVIOUR ? (size_t)r->event.type : EVENT_MAX_TYPES + (size_t)r->event.kind - 1;
    _Atomic uint64_t *n = &g->sources[source].outcomes->n[row][verdict];
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1, memory_order_relaxed);
}

uint64_t engine_learned_of(const struct engine *g, size_t row) {
    uint64_t n = 0;
    for (uint32_t s = 0; s < g->n_sources; s++)
        n += atomic_load_explicit(&g->sources[s].outcomes->n[row][EVENT_OK], memory_order_relaxed);
    return n;
}

int engine_apply(struct engine *g, uint32_t source, uint32_t partition, const struct record *r,
                 enum event_reason *reason, struct err *e) {
    struct err why = {0};
    int rc = prepare(g, source, partition, e);
    if (rc < 0) return rc;
    int verdict = (int)r->reason;
    if (verdict == EVENT_OK) verdict = accept_event(g, source, partition, r, &why);
    if (verdict < 0) {
        if (e) *e = why;
        return verdict;
    }
    g->sequence++;
    if (verdict == EVENT_OK)
        g->learned++;
    else
        g->skipped[verdict]++;
    count_outcome(g, source, r, (enum event_reason)verdict);
    if (event_reason_is_bad((enum event_reason)verdict))
        note_bad(g, source, partition, r, (enum event_reason)verdict, r->error ? r->error : why.text);
    struct position *p = &g->sources[source].positions[partition];
    p->known = p->has_last = true;
    p->next = r->next;
    p->last = r->offset;
    p->last_crc = r->crc;
    note_run(g, source, partition, r);
    *reason = (enum event_reason)verdict;
    return 0;
}

void engine_publish(struct engine *g) {
    model_publish(g->model);
    for (int k = 0; k < EVENT_REASONS; k++)
        atomic_store_explicit(&g->published_skipped[k], g->skipped[k], memory_order_relaxed);
    for (int k = 0; k <= EVENT_DELETE; k++)
        atomic_store_explicit(&g->published_kinds[k], g->kinds[k], memory_order_relaxed);
    uint64_t keep = (uint64_t)g->config->bad_events_kept;
    atomic_store_explicit(&g->published_bad_dropped, g->bad_next > keep ? g->bad_next - keep : 0, memory_order_relaxed);
    atomic_store_explicit(&g->published_learned, g->learned, memory_order_relaxed);
    atomic_store_explicit(&g->published_sequence, g->sequence, memory_order_release);
}

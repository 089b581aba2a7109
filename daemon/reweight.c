/* Sets of reweighting rules: made from the configuration, asked by the learner. */
#include "daemon/reweight.h"

#include <string.h>

#include "daemon/config_priv.h"
#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"

#define EVERY_TYPE (EVENT_ALLOW_IMPRESSION | (EVENT_ALLOW_IMPRESSION - 1)) /* that a rule can be for */

static char *copy_of(const char *text) { return config_text_copy(text, strlen(text)); }

static int fill_rule(const struct config_rule *from, const struct event_rules *types, struct reweight_rule *r,
                     struct err *e) {
    memcpy(r->name, from->name, sizeof r->name);
    r->types = copy_of(from->types);
    r->sources = copy_of(from->sources);
    r->from = copy_of(from->from);
    r->until = copy_of(from->until);
    r->attributes = copy_of(from->attributes);
    if (!r->types || !r->sources || !r->from || !r->until || !r->attributes)
        return err_set(e, ERR_NOMEM, "rule", "no memory for rules");
    r->allow = EVERY_TYPE;
    r->from_ms = INT64_MIN;
    r->until_ms = INT64_MAX;
    r->weight = (float)from->weight;
    r->apart = !from->history;
    if (*r->from) (void)clock_parse(slice_str(r->from), &r->from_ms); /* config_check_rules has read them */
    if (*r->until) (void)clock_parse(slice_str(r->until), &r->until_ms);
    if (*r->types) {
        int rc = event_allow_parse(types, r->types, &r->allow, e);
        if (rc < 0) return rc;
    }
    return *r->attributes ? event_match_parse(r->attributes, &r->match, e) : 0;
}

static int fill_epoch(struct reweight *w, const struct config *c, struct err *e) {
    struct buf text;
    buf_init(&text, 4u << 20);
    config_learning_text(c, &text);
    buf_printf(&text, "arithmetic=%d\n", MODEL_ARITHMETIC);
    if (text.failed) {
        buf_free(&text);
        return err_set(e, ERR_NOMEM, "engine", "no memory for the text of the learning configuration");
    }
    struct hash128 h = hash128(text.p, text.n);
    w->epoch_hash[0] = h.lo;
    w->epoch_hash[1] = h.hi;
    w->epoch_text = text.p; /* the buffer's memory changes hands */
    return 0;
}

int reweight_new(const struct config *c, const struct event_rules *types, struct reweight **out, struct err *e) {
    struct reweight *w = mem_zalloc(sizeof *w);
    if (!w) return err_set(e, ERR_NOMEM, "rule", "no memory for rules");
    int rc = fill_epoch(w, c, e);
    for (size_t k = 0; k < c->n_rules && rc == 0; k++) rc = fill_rule(&c->rules[k], types, &w->rules[w->n++], e);
    w->since = 1;
    if (rc == 0)
        *out = w;
    else
        reweight_free(w);
    return rc;
}

void reweight_free(void *p) {
    struct reweight *w = p;
    if (!w) return;
    for (size_t k = 0; k < w->n; k++) {
        struct reweight_rule *r = &w->rules[k];
        mem_free(r->types);
        mem_free(r->sources);
        mem_free(r->from);
        mem_free(r->until);
        mem_free(r->attributes);
        event_match_free(r->match);
    }
    mem_free(w->epoch_text);
    mem_free(w);
}

static bool is_among(const char *sources, const char *source) {
    struct slice name;
    for (const char *rest = sources; config_list_next(&rest, &name);)
        if (slice_is(name, source)) return true;
    return false;
}

uint64_t reweight_event(const struct reweight *w, const struct event *ev, const char *source, int64_t ts_ms,
                        struct slice raw, struct model_treatment *out) {
    uint32_t type = ev->kind == EVENT_IMPRESSION ? EVENT_ALLOW_IMPRESSION : 1u << ev->type;
    uint64_t fits = 0;
    double weight = 1;
    bool apart = false;
    for (size_t k = 0; k < w->n; k++) {
        const struct reweight_rule *r = &w->rules[k];
        if (!(r->allow & type) || ts_ms < r->from_ms || ts_ms >= r->until_ms) continue;
        if (*r->sources && !is_among(r->sources, source)) continue;
        if (r->match && !event_match_holds(r->match, raw)) continue;
        fits |= UINT64_C(1) << k;
        weight *= (double)r->weight;
        apart = apart || r->apart;
    }
    if (weight > REWEIGHT_MOST) weight = REWEIGHT_MOST;
    *out = (struct model_treatment){.weight = weight < REWEIGHT_LEAST ? 0 : (float)weight, .apart = apart};
    return fits;
}

void reweight_count(struct reweight *w, uint64_t fits) {
    for (; fits; fits &= fits - 1)
        atomic_fetch_add_explicit(&w->rules[__builtin_ctzll(fits)].matched, 1, memory_order_relaxed);
}

void reweight_carry(struct reweight *w, const struct reweight *before) {
    for (size_t k = 0; k < w->n; k++)
        for (size_t b = 0; b < before->n; b++)
            if (strcmp(w->rules[k].name, before->rules[b].name) == 0)
                atomic_store_explicit(&w->rules[k].matched,
                                      atomic_load_explicit(&before->rules[b].matched, memory_order_relaxed),
                                      memory_order_relaxed);
}

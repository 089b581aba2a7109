/* What a backtest found out, before any figure is made of it: gathering it. */
#include "lib/eval/outcome.h"

#include <math.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/fmath.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/eval/outcome_priv.h"

#define CASES_FIRST 1024 /* cases room is made for at first */

static int no_memory(struct err *e) { return err_set(e, ERR_NOMEM, "", "no memory for the outcomes of a backtest"); }

/* A copy of s with a NUL; *out untouched on failure. */
static int copy_text(struct slice s, size_t most, const char *what, char **out, struct err *e) {
    if (s.n > most) return err_set(e, ERR_RANGE, what, "%s of %zu bytes is too long, at most %zu", what, s.n, most);
    char *p = mem_alloc(s.n + 1);
    if (!p) return no_memory(e);
    if (s.n > 0) memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    *out = p;
    return 0;
}

/* Makes room for one more entry of size bytes in an array of n that grows at the powers of two. */
static void *room_for_one(void *array, size_t n, size_t size) {
    if (n > 0 && (n & (n - 1)) != 0) return array;
    return mem_realloc(array, (n == 0 ? 1 : 2 * n) * size);
}

void outcome_set_init(struct outcome_set *s) { *s = (struct outcome_set){.n = 0}; }

void outcome_set_free(struct outcome_set *s) {
    for (size_t i = 0; i < s->n_types; i++) mem_free(s->types[i].name);
    for (size_t i = 0; i < s->n_features; i++) mem_free(s->features[i]);
    for (size_t i = 0; i < s->n_notes; i++) {
        mem_free(s->notes[i].key);
        mem_free(s->notes[i].value);
    }
    mem_free(s->types);
    mem_free(s->features);
    mem_free(s->notes);
    mem_free(s->feature);
    mem_free(s->cases);
    outcome_set_init(s);
}

int outcome_set_add(struct outcome_set *s, const struct outcome_case *c, struct err *e) {
    if (c->type >= s->n_types)
        return err_set(e, ERR_RANGE, "type", "event type %u of %zu is not known", c->type, s->n_types);
    if (c->feature != 0 && c->feature >= s->n_features)
        return err_set(e, ERR_RANGE, "feature", "value %u of %zu of the feature is not known", c->feature,
                       s->n_features);
    if ((c->flags & OUTCOME_SAME_MOMENT) != 0 && s->n == 0)
        return err_set(e, ERR_RANGE, "flags", "the first case cannot share the moment of one before it");
    if (s->n == s->cap) {
        size_t cap = s->cap == 0 ? CASES_FIRST : 2 * s->cap;
        struct outcome_case *p = mem_realloc(s->cases, cap * sizeof *p);
        if (!p) return no_memory(e);
        s->cases = p;
        s->cap = cap;
    }
    s->cases[s->n++] = *c;
    return 0;
}

int outcome_set_type(struct outcome_set *s, struct slice name, uint16_t *index, struct err *e) {
    for (size_t i = 0; i < s->n_types; i++) {
        if (!slice_is(name, s->types[i].name)) continue;
        *index = (uint16_t)i;
        return 0;
    }
    if (s->n_types == OUTCOME_TYPES_MAX)
        return err_set(e, ERR_FULL, "type", "more than %d event types", OUTCOME_TYPES_MAX);
    struct outcome_type *p = room_for_one(s->types, s->n_types, sizeof *p);
    if (!p) return no_memory(e);
    s->types = p;
    struct outcome_type *t = &p[s->n_types];
    *t = (struct outcome_type){.events = 0};
    int rc = copy_text(name, OUTCOME_NAME_MAX, "type", &t->name, e);
    if (rc) return rc;
    *index = (uint16_t)s->n_types++;
    return 0;
}

static int add_feature(struct outcome_set *s, struct slice value, struct err *e) {
    char **p = room_for_one(s->features, s->n_features, sizeof *p);
    if (!p) return no_memory(e);
    s->features = p;
    int rc = copy_text(value, OUTCOME_NAME_MAX, "feature", &p[s->n_features], e);
    if (rc) return rc;
    s->n_features++;
    return 0;
}

int outcome_set_feature(struct outcome_set *s, struct slice value, uint16_t *index, struct err *e) {
    for (size_t i = 1; i < s->n_features; i++) {
        if (!slice_is(value, s->features[i])) continue;
        *index = (uint16_t)i;
        return 0;
    }
    if (s->n_features > OUTCOME_TYPES_MAX)
        return err_set(e, ERR_FULL, "feature", "more than %d values of the feature", OUTCOME_TYPES_MAX);
    int rc = s->n_features == 0 ? add_feature(s, slice_str(""), e) : 0;
    if (!rc) rc = add_feature(s, value, e);
    if (!rc) *index = (uint16_t)(s->n_features - 1);
    return rc;
}

int outcome_set_feature_name(struct outcome_set *s, struct slice name, struct err *e) {
    char *p = NULL;
    int rc = copy_text(name, OUTCOME_NAME_MAX, "feature", &p, e);
    if (rc) return rc;
    mem_free(s->feature);
    s->feature = p;
    return 0;
}

/* A JSON number, by the grammar of RFC 8259. */
static bool is_number(const char *s) {
    s += *s == '-';
    size_t whole = strspn(s, "0123456789");
    if (whole == 0 || (whole > 1 && *s == '0')) return false;
    s += whole;
    if (*s == '.') {
        size_t fraction = strspn(++s, "0123456789");
        if (fraction == 0) return false;
        s += fraction;
    }
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '+' || *s == '-';
        size_t digits = strspn(s, "0123456789");
        if (digits == 0) return false;
        s += digits;
    }
    return *s == '\0';
}

static bool is_of_kind(const char *value, enum outcome_note_kind kind) {
    if (kind == OUTCOME_NUMBER) return is_number(value);
    return kind == OUTCOME_TEXT || strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
}

int outcome_set_note(struct outcome_set *s, const char *key, enum outcome_note_kind kind, const char *value,
                     struct err *e) {
    if (!is_of_kind(value, kind))
        return err_set(e, ERR_RANGE, "protocol", "%s = %.100s is not a %s", key, value,
                       kind == OUTCOME_NUMBER ? "number" : "truth value");
    size_t at = 0;
    while (at < s->n_notes && strcmp(s->notes[at].key, key) != 0) at++;
    char *new_value = NULL, *new_key = NULL;
    int rc = copy_text(slice_str(value), OUTCOME_TEXT_MAX, "protocol", &new_value, e);
    if (!rc && at == s->n_notes) rc = copy_text(slice_str(key), OUTCOME_NAME_MAX, "protocol", &new_key, e);
    if (!rc && at == OUTCOME_TYPES_MAX) rc = err_set(e, ERR_FULL, "protocol", "more than %d lines", OUTCOME_TYPES_MAX);
    struct outcome_note *p = s->notes;
    if (!rc && at == s->n_notes) {
        p = room_for_one(s->notes, s->n_notes, sizeof *p);
        if (!p) rc = no_memory(e);
    }
    if (rc) {
        mem_free(new_value);
        mem_free(new_key);
        return rc;
    }
    s->notes = p;
    if (new_key) {
        p[at] = (struct outcome_note){.key = new_key};
        s->n_notes++;
    }
    mem_free(p[at].value);
    p[at].value = new_value;
    p[at].kind = kind;
    return 0;
}

uint64_t outcome_set_id(const struct outcome_set *s) {
    uint8_t bytes[OUTCOME_CASE_BYTES];
    uint64_t id = s->figures_from;
    for (size_t i = 0; i < s->n; i++) {
        outcome_case_put(&s->cases[i], bytes);
        id = hash64(bytes, sizeof bytes, id);
    }
    return id;
}

int outcome_run_init(struct outcome_run *r, const char *name, enum outcome_role role, uint64_t seed,
                     const char *settings, struct err *e) {
    *r = (struct outcome_run){.role = role, .seed = seed};
    int rc = copy_text(slice_str(name), OUTCOME_NAME_MAX, "name", &r->name, e);
    if (!rc) rc = copy_text(slice_str(settings), OUTCOME_TEXT_MAX, "settings", &r->settings, e);
    if (rc) outcome_run_free(r);
    return rc;
}

void outcome_run_free(struct outcome_run *r) {
    mem_free(r->name);
    mem_free(r->settings);
    mem_free(r->rank);
    mem_free(r->p_target);
    mem_free(r->p_top);
    mem_free(r->listed);
    *r = (struct outcome_run){.n = 0};
}

static bool is_probability(float p) { return isnan(p) || (p >= 0.0f && p <= 1.0f); }

/* An array of cap floats in place of *array; NaN for the n so far when there was none. */
static bool grow_floats(float **array, size_t n, size_t cap) {
    float *p = mem_realloc(*array, cap * sizeof *p);
    if (!p) return false;
    for (size_t i = 0; !*array && i < n; i++) p[i] = NAN;
    *array = p;
    return true;
}

/* Room for one more case; an array of probabilities stays NULL until the first one that is given. */
static bool grow_run(struct outcome_run *r, bool with_target, bool with_top) {
    size_t cap = r->cap;
    if (r->n == r->cap) {
        cap = r->cap == 0 ? CASES_FIRST : 2 * r->cap;
        uint32_t *p = mem_realloc(r->rank, cap * sizeof *p);
        if (!p) return false;
        r->rank = p;
        if (r->p_target && !grow_floats(&r->p_target, r->n, cap)) return false;
        if (r->p_top && !grow_floats(&r->p_top, r->n, cap)) return false;
        r->cap = cap;
    }
    if (with_target && !r->p_target && !grow_floats(&r->p_target, r->n, cap)) return false;
    return !with_top || r->p_top || grow_floats(&r->p_top, r->n, cap);
}

int outcome_run_add(struct outcome_run *r, uint32_t rank, float p_target, float p_top, struct err *e) {
    if (!is_probability(p_target) || !is_probability(p_top))
        return err_set(e, ERR_RANGE, "probability", "%g and %g are not both between 0 and 1", (double)p_target,
                       (double)p_top);
    if (!grow_run(r, !isnan(p_target), !isnan(p_top))) return no_memory(e);
    r->rank[r->n] = rank;
    if (r->p_target) r->p_target[r->n] = p_target;
    if (r->p_top) r->p_top[r->n] = p_top;
    r->n++;
    return 0;
}

int outcome_run_list(struct outcome_run *r, const uint32_t *items, const uint32_t *item_events, uint32_t k,
                     uint64_t total, struct err *e) {
    uint32_t highest = 0;
    if (k == 0 || total == 0)
        return err_set(e, ERR_RANGE, "list", "a list of %u items, %llu events", k, (unsigned long long)total);
    for (uint32_t i = 0; i < k; i++) {
        if (items[i] > highest) highest = items[i];
        if (item_events[i] > total)
            return err_set(e, ERR_RANGE, "list", "an item has %u of %llu events", item_events[i],
                           (unsigned long long)total);
    }
    if (highest >= r->listed_cap) {
        size_t cap = r->listed_cap == 0 ? CASES_FIRST : r->listed_cap;
        while (cap <= highest) cap *= 2;
        uint32_t *p = mem_realloc(r->listed, cap * sizeof *p);
        if (!p) return no_memory(e);
        memset(p + r->listed_cap, 0, (cap - r->listed_cap) * sizeof *p);
        r->listed = p;
        r->listed_cap = cap;
    }
    double all = fm_log2((double)total);
    for (uint32_t i = 0; i < k; i++) {
        r->listed[items[i]]++;
        r->surprise_bits += all - (item_events[i] > 0 ? fm_log2((double)item_events[i]) : -1.0);
    }
    if (k > r->list_k) r->list_k = k;
    r->lists++;
    return 0;
}

/* Configurations by file and grid. */
#include "daemon/backtest_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config_priv.h"
#include "lib/base/draw.h"
#include "lib/base/fmath.h"
#include "lib/base/mem.h"

#define RANDOM_KEY UINT64_C(0x62616b74657374) /* of the draws of a random search */

static int no_memory(struct err *e) { return err_set(e, ERR_NOMEM, "plan", "no memory for configurations"); }

static char *copy_text(struct slice s) {
    char *p = mem_alloc(s.n + 1);
    if (!p) return NULL;
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

/* --- -o --- */

/* The table's line of an option named as in -o; NULL for what is not in it. */
static const struct config_option *option_of(struct slice name) {
    char text[CONFIG_MAX_NAME];
    if (name.n == 0 || name.n >= sizeof text) return NULL;
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    char *dot = strchr(text, '.'), *last = strrchr(text, '.');
    if (!dot) return NULL;
    bool group = strncmp(text, "type.", 5) == 0 || strncmp(text, "file.", 5) == 0 || strncmp(text, "rule.", 5) == 0;
    if (group && last == dot) return NULL;
    *dot = '\0';
    return config_option_find(text, group ? last + 1 : dot + 1);
}

static void free_axis(struct backtest_axis *axis) {
    for (size_t v = 0; v < axis->n; v++) mem_free(axis->values[v]);
    mem_free(axis->values);
    mem_free(axis->name);
}

static bool is_range(const char *value) { return strstr(value, "..") != NULL; }

static int add_value(struct backtest_axis *axis, struct slice value, struct err *e) {
    while (value.n && value.p[0] == ' ') value = slice_of(value.p + 1, value.n - 1);
    while (value.n && value.p[value.n - 1] == ' ') value.n--;
    if (axis->n == BACKTEST_MAX_VALUES)
        return err_set(e, ERR_FULL, "-o", "-o %s: more than %d values", axis->name, BACKTEST_MAX_VALUES);
    char **values = mem_realloc(axis->values, (axis->n + 1) * sizeof *values);
    if (!values) return no_memory(e);
    axis->values = values;
    values[axis->n] = copy_text(value);
    if (!values[axis->n]) return no_memory(e);
    axis->n++;
    return 0;
}

static int add_fixed(struct backtest_plan *p, const char *option, struct err *e) {
    char **fixed = mem_realloc(p->fixed, (p->n_fixed + 1) * sizeof *fixed);
    if (!fixed) return no_memory(e);
    p->fixed = fixed;
    fixed[p->n_fixed] = copy_text(slice_str(option));
    if (!fixed[p->n_fixed]) return no_memory(e);
    p->n_fixed++;
    return 0;
}

/* What was said before about an option of this name. */
static void forget(struct backtest_plan *p, struct slice name) {
    size_t kept = 0;
    for (size_t k = 0; k < p->n_fixed; k++) {
        if (slice_equal(slice_of(p->fixed[k], strcspn(p->fixed[k], "=")), name))
            mem_free(p->fixed[k]);
        else
            p->fixed[kept++] = p->fixed[k];
    }
    p->n_fixed = kept;
    kept = 0;
    for (size_t k = 0; k < p->n_axes; k++) {
        if (slice_is(name, p->axes[k].name))
            free_axis(&p->axes[k]);
        else
            p->axes[kept++] = p->axes[k];
    }
    p->n_axes = kept;
}

/* Lists and conditions have commas of their own; what is passed through may have anything. */
static bool has_commas(const struct config_option *o) {
    return !o || o->kind == CONFIG_LIST || (strcmp(o->section, "rule") == 0 && strcmp(o->key, "attributes") == 0);
}

static int take_option(struct backtest_plan *p, const char *option, struct err *e) {
    const char *equals = strchr(option, '=');
    if (!equals) return err_set(e, ERR_SYNTAX, "-o", "-o %.80s: the form is section.key=value[,value]...", option);
    struct slice name = slice_of(option, (size_t)(equals - option)), rest = slice_str(equals + 1);
    const struct config_option *o = option_of(name);
    forget(p, name);
    char separator = has_commas(o) ? ';' : ',';
    bool range = o && !(has_commas(o) && o->kind == CONFIG_STR) && is_range(rest.p);
    if (!memchr(rest.p, separator, rest.n) && !range) return add_fixed(p, option, e);
    if (p->n_axes == BACKTEST_MAX_AXES)
        return err_set(e, ERR_FULL, "-o", "more than %d options with several values", BACKTEST_MAX_AXES);
    struct backtest_axis *axis = &p->axes[p->n_axes++];
    *axis = (struct backtest_axis){.name = copy_text(name)};
    int rc = axis->name ? 0 : no_memory(e);
    while (rc == 0) {
        const char *end = memchr(rest.p, separator, rest.n);
        rc = add_value(axis, slice_of(rest.p, end ? (size_t)(end - rest.p) : rest.n), e);
        if (!end) break;
        rest = slice_of(end + 1, rest.n - (size_t)(end - rest.p) - 1);
    }
    return rc;
}

/* --- points --- */

/* A new point of path and options. */
static int add_point(struct backtest_plan *p, const char *path, char *const *options, size_t n, struct err *e) {
    struct backtest_point **points = mem_realloc(p->points, (p->n_points + 1) * sizeof *points);
    if (!points) return no_memory(e);
    p->points = points;
    int rc = backtest_point_new(path, options, n, &points[p->n_points], e);
    if (rc == 0) p->n_points++;
    return rc;
}

int backtest_plan_add(struct backtest_plan *p, const struct backtest_point *of, const char *const *options, size_t n,
                      struct err *e) {
    char **all = mem_alloc((of->n_overrides + n + 1) * sizeof *all);
    if (!all) return no_memory(e);
    if (of->n_overrides) memcpy(all, of->overrides, of->n_overrides * sizeof *all);
    for (size_t k = 0; k < n; k++) all[of->n_overrides + k] = (char *)(uintptr_t)options[k]; /* copied, not changed */
    int rc = add_point(p, of->path, all, of->n_overrides + n, e);
    mem_free(all);
    return rc;
}

/* A number with the unit behind it, which may be none. */
static bool read_end(const char *text, double *value, const char **unit) {
    char *end;
    *value = strtod(text, &end);
    *unit = end;
    return end != text;
}

static bool is_whole(const char *text, const char *unit) {
    return strspn(text, "0123456789-") == (size_t)(unit - text);
}

/* A value between the ends of "lo..hi", both of one unit: even by ratio where both are positive. Whole where the ends
 * are. */
static int draw_in_range(const char *value, uint64_t bits, char out[64], struct err *e) {
    char first[64];
    const char *dots = strstr(value, ".."), *second = dots + 2, *unit_low, *unit_high;
    double unit = (double)(bits >> 11) * 0x1p-53, low, high;
    snprintf(first, sizeof first, "%.*s", (int)(dots - value), value);
    bool ok = read_end(first, &low, &unit_low);
    ok = read_end(second, &high, &unit_high) && ok && strcmp(unit_low, unit_high) == 0 && high > low;
    if (!ok)
        return err_set(e, ERR_SYNTAX, "-o", "%.60s is no range low..high of numbers with one unit (0.1..0.4, 20d..90d)",
                       value);
    double drawn = low > 0 ? low * fm_exp2(unit * fm_log2(high / low)) : low + unit * (high - low);
    if (is_whole(first, unit_low) && is_whole(second, unit_high))
        snprintf(out, 64, "%lld%.16s", (long long)(drawn + (drawn < 0 ? -0.5 : 0.5)), unit_high);
    else
        snprintf(out, 64, "%.4g%.16s", drawn, unit_high);
    return 0;
}

/* The options of one point of the grid: value number pick[k] of axis k. */
static int point_options(const struct backtest_plan *p, const size_t *pick, const uint64_t *bits, char **out,
                         struct err *e) {
    for (size_t k = 0; k < p->n_axes; k++) {
        const struct backtest_axis *axis = &p->axes[k];
        const char *value = axis->values[pick[k]];
        char drawn[64];
        if (is_range(value)) {
            int rc = draw_in_range(value, bits[k], drawn, e);
            if (rc < 0) return rc;
            value = drawn;
        }
        size_t n = strlen(axis->name) + strlen(value) + 2;
        out[k] = mem_alloc(n);
        if (!out[k]) return no_memory(e);
        snprintf(out[k], n, "%s=%s", axis->name, value);
    }
    return 0;
}

static int add_grid_point(struct backtest_plan *p, const char *path, const size_t *pick, const uint64_t *bits,
                          struct err *e) {
    char *options[BACKTEST_MAX_AXES] = {NULL}, **all = mem_alloc((p->n_fixed + p->n_axes + 1) * sizeof *all);
    int rc = all ? point_options(p, pick, bits, options, e) : no_memory(e);
    if (rc == 0) {
        if (p->n_fixed) memcpy(all, p->fixed, p->n_fixed * sizeof *all);
        if (p->n_axes) memcpy(all + p->n_fixed, options, p->n_axes * sizeof *all);
        rc = add_point(p, path, all, p->n_fixed + p->n_axes, e);
    }
    for (size_t k = 0; k < p->n_axes; k++) mem_free(options[k]);
    mem_free(all);
    return rc;
}

static int whole_grid(struct backtest_plan *p, const char *path, struct err *e) {
    size_t pick[BACKTEST_MAX_AXES] = {0}, k = 0;
    uint64_t bits[BACKTEST_MAX_AXES] = {0};
    do {
        int rc = p->n_points == BACKTEST_MAX_POINTS
                     ? err_set(e, ERR_FULL, "-o", "more than %d configurations: --random N tries some of them",
                               BACKTEST_MAX_POINTS)
                     : add_grid_point(p, path, pick, bits, e);
        if (rc < 0) return rc;
        for (k = p->n_axes; k-- > 0;) { /* the next one: the last axis runs fastest */
            if (++pick[k] < p->axes[k].n) break;
            pick[k] = 0;
        }
    } while (k < p->n_axes); /* past the first axis k has wrapped */
    return 0;
}

static int random_points(struct backtest_plan *p, const char *path, uint64_t n, struct err *e) {
    int rc = 0;
    for (uint64_t drawn = 0; drawn < n && rc == 0; drawn++) {
        size_t pick[BACKTEST_MAX_AXES];
        uint64_t bits[BACKTEST_MAX_AXES];
        for (size_t k = 0; k < p->n_axes; k++) {
            uint64_t number = (drawn * BACKTEST_MAX_AXES + k) * 2;
            pick[k] = draw_below(draw_bits(RANDOM_KEY, number), (uint32_t)p->axes[k].n);
            bits[k] = draw_bits(RANDOM_KEY, number + 1);
        }
        rc = add_grid_point(p, path, pick, bits, e);
    }
    return rc;
}

int backtest_plan_make(const struct backtest_wish *w, struct backtest_plan *out, struct err *e) {
    struct backtest_plan p = {.n_axes = 0};
    int rc = 0;
    for (size_t k = 0; w->preset && w->preset->options[k] && rc == 0; k++)
        rc = take_option(&p, w->preset->options[k], e);
    for (size_t k = 0; k < w->n_options && rc == 0; k++) rc = take_option(&p, w->options[k], e);
    for (size_t k = 0; k < p.n_axes && rc == 0 && !w->random; k++)
        for (size_t v = 0; v < p.axes[k].n && rc == 0; v++)
            if (is_range(p.axes[k].values[v]))
                rc = err_set(e, ERR_RANGE, "-o", "-o %s=%s: a range is for --random N", p.axes[k].name,
                             p.axes[k].values[v]);
    if (rc == 0 && w->random && p.n_axes == 0)
        rc = err_set(e, ERR_RANGE, "random", "--random needs -o section.key=value,value... or low..high to draw from");
    for (size_t k = 0; rc == 0 && k < (w->n_files ? w->n_files : 1); k++) {
        const char *path = w->n_files ? w->files[k] : NULL;
        rc = w->random ? random_points(&p, path, w->random, e) : whole_grid(&p, path, e);
    }
    if (rc == 0) rc = backtest_plan_check(&p, e);
    if (rc == 0)
        *out = p;
    else
        backtest_plan_free(&p);
    return rc;
}

void backtest_plan_free(struct backtest_plan *p) {
    for (size_t k = 0; k < p->n_axes; k++) free_axis(&p->axes[k]);
    for (size_t k = 0; k < p->n_fixed; k++) mem_free(p->fixed[k]);
    for (size_t k = 0; k < p->n_points; k++) backtest_point_free(p->points[k]);
    mem_free(p->fixed);
    mem_free(p->points);
    *p = (struct backtest_plan){.n_axes = 0};
}

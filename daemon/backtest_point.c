/* One configuration of rankd in a backtest: loaded, told apart from others, written as a file. */
#include <stdio.h>
#include <string.h>

#include "daemon/backtest_plan.h"
#include "daemon/config_priv.h"
#include "lib/base/mem.h"

static char no_step[] = "events.max_clock_step=none"; /* a log of last year is not ahead of anything */

/* Each switch takes one part of the model away. */
const struct backtest_ablation backtest_ablations[] = {
    {"without embeddings", {"model.terms=all,-embedding"}, EVENT_BEHAVIOUR},
    {"without neighbours", {"model.terms=all,-forward,-backward,-successor,-lately"}, EVENT_BEHAVIOUR},
    {"without forward neighbours", {"model.terms=all,-forward"}, EVENT_BEHAVIOUR},
    {"without backward neighbours", {"model.terms=all,-backward"}, EVENT_BEHAVIOUR},
    {"without direct successors", {"model.terms=all,-successor"}, EVENT_BEHAVIOUR},
    {"without what baskets had lately", {"model.terms=all,-lately"}, EVENT_BEHAVIOUR},
    {"without trends", {"model.terms=all,-trend_short,-trend_middle,-trend_long"}, EVENT_BEHAVIOUR},
    {"without content", {"model.terms=all,-affinity,-succession,-feature_trend,-untouched"}, EVENT_ITEM},
    {"without features of users", {"model.user_features=0"}, EVENT_USER},
    {"without learning of the blend", {"model.blend_step=0", "model.blend_step_neighbours=0"}, EVENT_BEHAVIOUR},
    {"without the history in the user vector", {"model.history=0"}, EVENT_BEHAVIOUR},
};
const size_t backtest_n_ablations = sizeof backtest_ablations / sizeof *backtest_ablations;

const struct backtest_preset backtest_presets[] = {
    {"accuracy", "what comes next stands high in the list", {FIGURE_NDCG, 20}, {NULL}},
    {"discovery",
     "finds of the long tail count more",
     {FIGURE_TAIL_NDCG, 20},
     {"model.neighbour_popularity=0.5", "model.popularity_penalty=0.5"}},
    {"probability", "probabilities are true", {FIGURE_LOG_LOSS, 0}, {"model.loss=sampled-softmax"}},
};
const size_t backtest_n_presets = sizeof backtest_presets / sizeof *backtest_presets;

static int no_memory(struct err *e) { return err_set(e, ERR_NOMEM, "plan", "no memory for configurations"); }

static char *copy_text(struct slice s) { return config_text_copy(s.n ? s.p : "", s.n); }

void backtest_point_free(struct backtest_point *p) {
    if (!p) return;
    for (size_t k = 0; p->overrides && k < p->n_overrides; k++) mem_free(p->overrides[k]);
    mem_free(p->overrides);
    mem_free(p->settings);
    config_free(&p->config);
    mem_free(p);
}

/* The lines of the learning configuration that defaults have not, as "section.key = value". */
static int differences(const struct config *c, const struct config *defaults, char **out, struct err *e) {
    struct buf mine, usual, text;
    buf_init(&mine, 1u << 20);
    buf_init(&usual, 1u << 20);
    buf_init(&text, 1u << 20);
    config_learning_text(c, &mine);
    config_learning_text(defaults, &usual);
    buf_add_char(&mine, '\0');
    buf_add_char(&usual, '\0');
    for (char *line = mine.p; !mine.failed && !usual.failed && *line;) {
        size_t n = strcspn(line, "\n"), name = strcspn(line, "=");
        char keep = line[n + 1];
        line[n + 1] = '\0'; /* with its line break */
        const char *at = usual.p;
        while ((at = strstr(at, line)) && at != usual.p && at[-1] != '\n') at++;
        bool left_out = strncmp(line, "model.seed=", 11) == 0 || strncmp(line, "events.max_clock_step=", 22) == 0;
        if (!at && !left_out)
            buf_printf(&text, "%s%.*s = %.*s", text.n ? "\n" : "", (int)name, line, (int)(n - name - 1),
                       line + name + 1);
        line[n + 1] = keep;
        line += n + 1;
    }
    bool ok = !mine.failed && !usual.failed && !text.failed;
    *out = ok ? copy_text(slice_of(text.p ? text.p : "", text.n)) : NULL;
    buf_free(&mine);
    buf_free(&usual);
    buf_free(&text);
    return *out ? 0 : no_memory(e);
}

int backtest_point_new(const char *path, char *const *options, size_t n, struct backtest_point **out, struct err *e) {
    struct config defaults;
    struct backtest_point *p = mem_zalloc(sizeof *p);
    if (!p) return no_memory(e);
    p->path = path;
    p->overrides = mem_zalloc((n + 1) * sizeof *p->overrides);
    char **all = mem_alloc((n + 1) * sizeof *all);
    int rc = p->overrides && all ? 0 : no_memory(e);
    for (size_t k = 0; k < n && rc == 0; k++, p->n_overrides++) {
        p->overrides[k] = copy_text(slice_str(options[k]));
        if (!p->overrides[k]) rc = no_memory(e);
    }
    if (rc == 0) {
        all[0] = no_step;
        if (n) memcpy(all + 1, p->overrides, n * sizeof *all);
        rc = config_load(&p->config, path, all, n + 1, e);
    }
    if (rc == 0) rc = config_load(&defaults, NULL, NULL, 0, e);
    if (rc == 0) {
        rc = differences(&p->config, &defaults, &p->settings, e);
        config_free(&defaults);
    }
    mem_free(all);
    if (rc == 0)
        *out = p;
    else
        backtest_point_free(p);
    return rc;
}

int backtest_point_file(const struct backtest_point *p, struct buf *out, struct err *e) {
    struct config c;
    int rc = config_load(&c, p->path, p->overrides, p->n_overrides, e);
    if (rc < 0) return rc;
    config_print(&c, out);
    config_free(&c);
    return out->failed ? no_memory(e) : 0;
}

/* Options by which a log is decoded: those of [events] that are part of the learning configuration. */
static int decoding_text(const struct config *c, struct buf *out) {
    struct buf all;
    buf_init(&all, 1u << 20);
    config_learning_text(c, &all);
    buf_add_char(&all, '\0');
    for (const char *line = all.p; !all.failed && *line; line += strcspn(line, "\n") + 1)
        if (strncmp(line, "events.", 7) == 0 && strncmp(line, "events.max_", 11) != 0)
            buf_add(out, line, strcspn(line, "\n") + 1);
    buf_printf(out, "events.max_basket=%lld\nevents.max_event_bytes=%llu\n", (long long)c->max_basket,
               (unsigned long long)c->max_event_bytes);
    bool failed = all.failed || out->failed;
    buf_free(&all);
    return failed ? ERR_NOMEM : 0;
}

int backtest_plan_check(const struct backtest_plan *p, struct err *e) {
    struct buf first, other;
    buf_init(&first, 1u << 20);
    buf_init(&other, 1u << 20);
    int rc = decoding_text(&p->points[0]->config, &first) < 0 ? no_memory(e) : 0;
    for (size_t k = 1; k < p->n_points && rc == 0; k++) {
        buf_clear(&other);
        rc = decoding_text(&p->points[k]->config, &other) < 0 ? no_memory(e) : 0;
        size_t at = 0, line = 0;
        for (; rc == 0 && first.p[at] && first.p[at] == other.p[at]; at++)
            if (first.p[at] == '\n') line = at + 1;
        if (rc == 0 && first.p[at] != other.p[at])
            rc = err_set(
                e, ERR_RANGE, "-o", "%.*s and %.*s: how a log is decoded must be the same in all configurations",
                (int)strcspn(first.p + line, "\n"), first.p + line, (int)strcspn(other.p + line, "\n"), other.p + line);
    }
    buf_free(&first);
    buf_free(&other);
    return rc;
}

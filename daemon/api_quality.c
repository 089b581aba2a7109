/* Live quality and the detector of drift in /admin/status, and the names that metrics share. */
#include <stdio.h>

#include "daemon/api_priv.h"

bool api_quality_cohort(const struct engine *g, uint32_t cohort, const char **by, const char **part) {
    static const char *const lengths[QUALITY_LENGTHS] = {"0", "1", "2", "3-4", "5-10", "11+"};
    if (cohort >= QUALITY_TYPE) {
        *by = "type";
        if (cohort - QUALITY_TYPE >= g->n_types) return false;
        *part = g->types[cohort - QUALITY_TYPE];
    } else if (cohort >= QUALITY_LENGTH) {
        *by = "history";
        *part = lengths[cohort - QUALITY_LENGTH];
    } else {
        *by = cohort == QUALITY_ALL ? "all" : "basis";
        *part = cohort == QUALITY_ALL ? "all" : cohort == QUALITY_PERSONAL ? "personal" : "popular";
    }
    return true;
}

static void name_of(struct buf *b, const char *name) {
    if (b->n && b->p[b->n - 1] != '{') buf_add_char(b, ',');
    buf_add_json(b, slice_str(name));
    buf_add_char(b, ':');
}

static void add_number(struct buf *b, const char *name, double v) {
    name_of(b, name);
    buf_add_double(b, v); /* NaN: null */
}

static void add_mean(struct buf *b, const char *name, struct quality_mean m) {
    name_of(b, name);
    buf_add_char(b, '{');
    add_number(b, "mean", m.value);
    add_number(b, "band", m.band);
    buf_add_char(b, '}');
}

static void add_cohort(const struct engine *g, uint32_t cohort, bool *first, struct buf *b) {
    const char *by, *part;
    struct quality_view v;
    quality_read(&g->model->quality, cohort, &v);
    if (v.cases <= 0 || !api_quality_cohort(g, cohort, &by, &part)) return;
    if (!*first) buf_add_char(b, ',');
    *first = false;
    buf_add_char(b, '{');
    name_of(b, "by");
    buf_add_json(b, slice_str(by));
    name_of(b, "part");
    buf_add_json(b, slice_str(part));
    add_number(b, "judged", v.cases);
    for (int f = 0; f < QUALITY_FIGURES; f++) {
        char name[16];
        snprintf(name, sizeof name, "%s@%u", quality_figure_name((enum quality_figure)f), QUALITY_CUT);
        name_of(b, name);
        buf_add_char(b, '{');
        add_mean(b, "model", v.of[f].model);
        add_mean(b, "popularity", v.of[f].popular);
        add_mean(b, "difference", v.of[f].difference);
        buf_add_char(b, '}');
    }
    buf_add_char(b, '}');
}

static void add_drift(const struct engine *g, struct buf *b) {
    struct drift_view v = drift_read(&g->model->drift);
    name_of(b, "drift");
    buf_add_char(b, '{');
    add_number(b, "moments", (double)v.moments);
    add_number(b, "alarms", (double)v.alarms);
    add_number(b, "forgot", (double)v.forgot);
    add_number(b, "evidence", v.evidence);
    name_of(b, "last_alarm");
    if (v.alarms == 0) {
        buf_add_str(b, "null}");
        return;
    }
    buf_add_char(b, '{');
    name_of(b, "as_of");
    api_add_time(b, v.alarm_ms);
    add_number(b, "expected", v.expected);
    add_number(b, "found", v.found);
    buf_add_str(b, "}}");
}

void api_add_quality(const struct engine *g, struct buf *b) {
    bool first = true;
    name_of(b, "quality");
    buf_add_char(b, '{');
    add_number(b, "judged_items", (double)quality_cases(&g->model->quality));
    add_number(b, "judged_events", (double)quality_events(&g->model->quality));
    name_of(b, "cohorts");
    buf_add_char(b, '[');
    for (uint32_t c = 0; c < QUALITY_COHORTS; c++) add_cohort(g, c, &first, b);
    buf_add_str(b, "]}");
    add_drift(g, b);
}

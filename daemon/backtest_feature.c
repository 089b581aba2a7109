/* Values of a feature, from descriptions. */
#include "daemon/backtest_feature.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "proto/jdoc.h"

struct backtest_feature {
    const struct backtest_log *log;
    const struct backtest_table *t;
    struct outcome_set *set;
    char path[OUTCOME_NAME_MAX + 16], name[OUTCOME_NAME_MAX + 1]; /* "features.NAME", "NAME" */
    bool of_users;
    uint16_t *of;                /* (numbers of users or items) */
    struct backtest_ids *values; /* number + 1 is that in the set */
};

int backtest_feature_new(const char *name, const struct backtest_log *l, const struct backtest_table *t,
                         struct outcome_set *set, struct backtest_feature **out, struct err *e) {
    struct backtest_feature *f = mem_zalloc(sizeof *f);
    if (!f) return err_set(e, ERR_NOMEM, "cohort", "no memory");
    *f = (struct backtest_feature){.log = l, .t = t, .set = set, .of_users = strncmp(name, "user.", 5) == 0};
    const struct backtest_ids *ids = f->of_users ? t->user_ids : t->item_ids;
    int rc = outcome_set_feature_name(set, slice_str(name), e);
    if (f->of_users) name += 5;
    snprintf(f->name, sizeof f->name, "%s", name);
    snprintf(f->path, sizeof f->path, "features.%s", f->name);
    f->of = mem_zalloc((backtest_ids_count(ids) + 1) * sizeof *f->of);
    if (rc == 0 && !f->of) rc = err_set(e, ERR_NOMEM, "cohort", "no memory");
    if (rc == 0) rc = backtest_ids_new(&f->values, e);
    if (rc == 0)
        *out = f;
    else
        backtest_feature_free(f);
    return rc;
}

void backtest_feature_free(struct backtest_feature *f) {
    if (!f) return;
    backtest_ids_free(f->values);
    mem_free(f->of);
    mem_free(f);
}

/* The text of a value, or of the first of a list; empty when it is neither text nor number. */
static struct slice text_of(struct jdoc_value v, char number[32]) {
    if (jdoc_kind_of(v) == JDOC_ARRAY) v = jdoc_at(v, 0);
    if (jdoc_kind_of(v) == JDOC_NUMBER) {
        snprintf(number, 32, "%.15g", jdoc_number(v, 0));
        return slice_str(number);
    }
    struct slice text = jdoc_text(v, "");
    return text.n <= OUTCOME_NAME_MAX ? text : slice_of(text.p, 0);
}

static int number_of(struct backtest_feature *f, struct slice text, uint16_t *out, struct err *e) {
    uint32_t known = backtest_ids_find(f->values, text);
    *out = 0;
    if (text.n == 0) return 0;
    if (known == BACKTEST_NO_ID) {
        uint16_t index;
        int rc = backtest_ids_number(f->values, text, &known, e);
        if (rc == 0) rc = outcome_set_feature(f->set, text, &index, e);
        if (rc < 0) return rc;
    }
    *out = (uint16_t)(known + 1);
    return 0;
}

int backtest_feature_take(struct backtest_feature *f, size_t event, struct err *e) {
    const struct backtest_event *ev = &f->t->events[event];
    struct jdoc *j;
    char number[32];
    if (ev->reason != EVENT_OK || ev->kind != (f->of_users ? EVENT_USER : EVENT_ITEM)) return 0;
    uint32_t at = f->of_users ? ev->user : f->t->items[ev->items];
    if (jdoc_parse(backtest_text(f->log, &f->log->records[event]), &j, NULL) < 0) return 0;
    struct jdoc_value v = jdoc_get(jdoc_root(j), f->path);
    if (jdoc_kind_of(v) == JDOC_ABSENT) v = jdoc_get(jdoc_root(j), f->name);
    int rc = number_of(f, text_of(v, number), &f->of[at], e);
    jdoc_free(j);
    return rc;
}

uint16_t backtest_feature_of(const struct backtest_feature *f, uint32_t user, uint32_t item) {
    return f->of[f->of_users ? user : item];
}

/* Remembering what was shown. */
#include "lib/model/exposed.h"

#include <string.h>

#include "lib/model/pairs.h"

/* The entry of an item shown at ts_ms. */
static struct user_entry entry_of(const struct items *t, uint32_t row, int64_t ts_ms) {
    return (struct user_entry){.row = row & USER_ROW_BITS,
                               .generation = (uint16_t)item_head(t, row)->generation,
                               .time_ms = (uint64_t)ts_ms & ((UINT64_C(1) << 48) - 1)};
}

static bool is_among(const struct user_entry *entries, uint32_t n, const struct user_entry *one) {
    for (uint32_t k = 0; k < n; k++)
        if (entries[k].row == one->row && entries[k].generation == one->generation) return true;
    return false;
}

/* Rows of the items that are known, each once, at most as many as are kept. */
static uint32_t known_rows(const struct model *m, const struct slice *items, size_t n, int64_t ts_ms,
                           struct user_entry *out) {
    uint32_t found = 0;
    for (size_t k = 0; k < n && found < m->params.exposed_items; k++) {
        uint32_t row = items_find(m->items, items[k]);
        if (row == ITEM_NONE) continue;
        out[found] = entry_of(m->items, row, ts_ms);
        found += !is_among(out, found, &out[found]);
    }
    return found;
}

int exposed_show(struct model *m, struct slice user, const struct slice *items, size_t n, int64_t ts_ms,
                 struct err *e) {
    struct user_entry list[MODEL_MAX_EXPOSED];
    uint32_t most = m->params.exposed_items, n_new = known_rows(m, items, n, ts_ms, list), n_list = n_new;
    struct user_row *row;
    if (n_new == 0) return 0;
    int rc = users_touch(m->users, user, &row, e);
    if (rc == 0) rc = users_reserve_shown(m->users, &row, most, e);
    if (rc < 0) return rc;
    const struct user_entry *old = user_shown(row, m->params.dim);
    for (uint32_t k = 0; k < row->n_shown && n_list < most; k++)
        if (!is_among(list, n_new, &old[k])) list[n_list++] = old[k];
    row->n_shown = (uint8_t)n_list;
    memcpy(user_shown(row, m->params.dim), list, n_list * sizeof *list);
    atomic_fetch_add_explicit(&m->stats.shown, n_new, memory_order_relaxed);
    return 0;
}

void exposed_set(struct exposed *x, const struct model *m, const struct user_row *user, const uint32_t *rows,
                 uint32_t n_rows, int64_t ts_ms) {
    const struct user_entry *shown = user_shown(user, m->params.dim);
    x->n = 0;
    for (uint32_t k = 0; k < user->n_shown; k++) {
        int64_t age = ts_ms - (int64_t)shown[k].time_ms;
        if (age < 0 || age > m->params.exposed_age_ms) continue;
        if ((uint16_t)item_head(m->items, shown[k].row)->generation != shown[k].generation) continue;
        if (!pairs_among(rows, n_rows, shown[k].row)) x->rows[x->n++] = shown[k].row;
    }
}

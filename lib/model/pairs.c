/* From an event to changed neighbour rows. */
#include "lib/model/pairs.h"

#include <stdbool.h>

/* The heads of the rows, on their way from memory together. */
static void prefetch_rows(const struct model *m, const struct user_entry *entries, uint32_t n_entries,
                          const uint32_t *rows, uint32_t n) {
    const struct neighbours *s = m->neighbours;
    for (uint32_t k = 0; k < n; k++) neighbours_prefetch(s, NEIGHBOUR_BACKWARD, rows[k]);
    for (uint32_t k = 0; k < n_entries && k < m->params.neighbour_history; k++)
        neighbours_prefetch(s, NEIGHBOUR_FORWARD, entries[n_entries - 1 - k].row);
}

int pairs_touch(struct model *m, const struct user_row *user, const uint32_t *rows, uint32_t n, struct err *e) {
    struct neighbours *s = m->neighbours;
    const struct user_entry *entries = user_entries(user, m->params.dim);
    uint32_t most = m->params.neighbour_history, inside = n > 1 ? 2 * most : 0, found = 0;
    uint32_t wanted = most > 0 && n > 1 ? most + n : most; /* items of the event leave the history of before */
    bool newest = true; /* of the user's events: items of one event are followed alike */
    int rc = 0;
    prefetch_rows(m, entries, user->n, rows, n);
    for (uint32_t k = user->n; k-- > 0 && found < wanted && rc == 0;) {
        if ((uint16_t)item_generation(m->items, entries[k].row) == entries[k].generation &&
            user_entry_tells(&entries[k], &m->params)) { /* as history_of does */
            rc = neighbours_touch(s, NEIGHBOUR_FORWARD, entries[k].row, n, e);
            if (rc == 0 && (newest || n > 1)) rc = neighbours_touch(s, NEIGHBOUR_SUCCESSOR, entries[k].row, n, e);
            found++;
        }
        newest = newest && (found == 0 || entries[k].together);
    }
    uint32_t before = found < most ? found : most;
    for (uint32_t k = 0; k < n && rc == 0; k++) {
        rc = neighbours_touch(s, NEIGHBOUR_BACKWARD, rows[k], before + inside, e);
        if (rc == 0 && inside) rc = neighbours_touch(s, NEIGHBOUR_FORWARD, rows[k], inside, e);
        if (rc == 0 && inside) rc = neighbours_touch(s, NEIGHBOUR_TOGETHER, rows[k], inside, e);
        if (rc == 0 && inside) rc = neighbours_touch(s, NEIGHBOUR_LATELY, rows[k], inside, e);
    }
    return rc;
}

bool pairs_among(const uint32_t *rows, uint32_t n, uint32_t row) {
    for (uint32_t k = 0; k < n; k++)
        if (rows[k] == row) return true;
    return false;
}

void pairs_count(struct model *m, const struct history *h, const uint32_t *rows, uint32_t index, float w,
                 int64_t t_ms) {
    struct neighbours *s = m->neighbours;
    uint32_t item = rows[index], together = 0;
    float inside = w * m->params.basket_weight;
    for (uint32_t k = index; k-- > 0 && together < m->params.neighbour_history;) {
        if (rows[k] == item || pairs_among(rows + k + 1, index - k - 1, rows[k])) continue;
        together++;
        neighbours_add(s, NEIGHBOUR_FORWARD, rows[k], item, inside, t_ms);
        neighbours_add(s, NEIGHBOUR_FORWARD, item, rows[k], inside, t_ms);
        neighbours_add(s, NEIGHBOUR_BACKWARD, item, rows[k], inside, t_ms);
        neighbours_add(s, NEIGHBOUR_BACKWARD, rows[k], item, inside, t_ms);
        neighbours_add(s, NEIGHBOUR_TOGETHER, item, rows[k], w, t_ms);
        neighbours_add(s, NEIGHBOUR_TOGETHER, rows[k], item, w, t_ms);
        neighbours_add(s, NEIGHBOUR_LATELY, item, rows[k], w, t_ms);
        neighbours_add(s, NEIGHBOUR_LATELY, rows[k], item, w, t_ms);
    }
    if (together > 0) atomic_store_explicit(&m->items->had_baskets, true, memory_order_relaxed);
    for (uint32_t r = 0; r < h->n_known && r < m->params.neighbour_history; r++) {
        float near = w * h->parts[r].near;
        neighbours_add(s, NEIGHBOUR_FORWARD, h->parts[r].row, item, near, t_ms);
        neighbours_add(s, NEIGHBOUR_BACKWARD, item, h->parts[r].row, near, t_ms);
        if (r < h->n_newest) neighbours_add(s, NEIGHBOUR_SUCCESSOR, h->parts[r].row, item, near, t_ms);
    }
}

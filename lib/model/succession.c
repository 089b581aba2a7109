/* From an event to changed pairs of features. */
#include "lib/model/succession.h"

#include "lib/model/feature.h"

static uint32_t counted(const struct model *m, const struct feature_list *l) {
    uint32_t most = m->params.succession_features;
    return !l ? 0 : l->n < most ? l->n : most;
}

int succession_touch(struct model *m, const struct user_row *user, const uint32_t *rows, uint32_t n, struct err *e) {
    const struct user_entry *entries = user_entries(user, m->params.dim);
    uint32_t most = m->params.succession_history, wanted = most > 0 && n > 1 ? most + n : most, found = 0, more = 0;
    int rc = 0;
    if (items_described(m->items) == 0) return 0;
    for (uint32_t k = 0; k < n && more < NEIGHBOUR_MAX; k++) more += counted(m, features_of(m->features, rows[k]));
    for (uint32_t k = user->n; k-- > 0 && found < wanted && more > 0;) {
        if ((uint16_t)item_generation(m->items, entries[k].row) != entries[k].generation) continue;
        if (!user_entry_tells(&entries[k], &m->params)) continue; /* as history_of does */
        found++;
        const struct feature_list *l = features_of(m->features, entries[k].row);
        for (uint32_t f = 0, of = counted(m, l); f < of && rc == 0; f++)
            rc = neighbours_touch(m->features->successions, NEIGHBOUR_FORWARD, l->feature[f], more, e);
        if (rc < 0) return rc;
    }
    return 0;
}

void succession_count(struct model *m, const struct history *h, uint32_t item, float w, int64_t t_ms) {
    if (items_described(m->items) == 0) return;
    const struct feature_list *to = features_of(m->features, item);
    uint32_t n = counted(m, to);
    for (uint32_t r = 0; n > 0 && r < h->n_known && r < m->params.succession_history; r++) {
        const struct feature_list *from = features_of(m->features, h->parts[r].row);
        for (uint32_t a = 0, of = counted(m, from); a < of; a++)
            for (uint32_t b = 0; b < n; b++)
                neighbours_add(m->features->successions, NEIGHBOUR_FORWARD, from->feature[a], to->feature[b], w, t_ms);
        w *= m->params.neighbour_decay;
    }
}

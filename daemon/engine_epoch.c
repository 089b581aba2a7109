/* Epochs: from which record on which learning configuration holds. */
#include <string.h>

#include "daemon/engine.h"
#include "lib/base/mem.h"

/* One more epoch that waits for a checkpoint, from the next record on. */
static int note_epoch(struct engine *g, const struct reweight *w, struct err *e) {
    size_t n = strlen(w->epoch_text) + 1;
    struct engine_epoch *all = mem_realloc(g->epochs, (g->n_epochs + 1) * sizeof *all);
    if (all) g->epochs = all;
    char *text = all ? mem_alloc(n) : NULL;
    if (!text) return err_set(e, ERR_NOMEM, "rule", "no memory to note a change of the rules");
    memcpy(text, w->epoch_text, n);
    g->epochs[g->n_epochs++] = (struct engine_epoch){g->sequence + 1, {w->epoch_hash[0], w->epoch_hash[1]}, text};
    g->epoch_sequence = g->sequence + 1;
    return 0;
}

int engine_set_rules(struct engine *g, struct reweight *w, struct err *e) {
    struct reweight *old = engine_in_force(g);
    if (old && memcmp(old->epoch_hash, w->epoch_hash, sizeof w->epoch_hash) == 0) {
        reweight_free(w);
        return 0;
    }
    if (g->n_epochs == ENGINE_MAX_EPOCHS)
        return err_set(e, ERR_FULL, "rule", "%u changes of the rules wait for a checkpoint", ENGINE_MAX_EPOCHS);
    int rc = note_epoch(g, w, e);
    if (rc < 0) return rc;
    w->since = g->sequence + 1;
    if (old) reweight_carry(w, old);
    atomic_store_explicit(&g->reweight, w, memory_order_release);
    if (old && g->model)
        epoch_retire(g->model->epoch, old, sizeof *old, reweight_free);
    else
        reweight_free(old);
    return 0;
}

void engine_drop_epochs(struct engine *g, size_t n) {
    for (size_t k = 0; k < n; k++) mem_free(g->epochs[k].text);
    g->n_epochs -= n;
    if (g->n_epochs > 0) {
        memmove(g->epochs, g->epochs + n, g->n_epochs * sizeof *g->epochs);
        return;
    }
    mem_free(g->epochs);
    g->epochs = NULL;
}

void engine_loaded_epoch(struct engine *g, const uint64_t hash[2]) {
    struct reweight *w = engine_in_force(g);
    w->since = g->epoch_sequence = g->sequence + 1;
    if (hash[0] == w->epoch_hash[0] && hash[1] == w->epoch_hash[1]) {
        engine_drop_epochs(g, g->n_epochs);
        return;
    }
    for (size_t k = 0; k < g->n_epochs; k++) g->epochs[k].sequence = g->epoch_sequence;
}

/* The users of a checkpoint in the order of their ids, which is the order they are stored in: neighbours in the list
 * are then neighbours in a page. Rows are put in any order just as well, only more slowly. */
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/model/user_priv.h"

#define AT_ONCE   256u /* ids read in one epoch section */
#define SAMPLES   64u  /* ids that tell where ids begin to differ */
#define SMALL_RUN 64u  /* slots that may stay in any order: they are of a few pages */
#define KEY_BYTES 8u

struct placed {
    uint64_t key; /* eight bytes of the id, the first of them on top */
    struct user_slot *slot;
};

struct sorter {
    const struct users *u;
    unsigned reader;
};

/* Inside an epoch section. */
static struct slice id_of(const struct sorter *s, const struct user_slot *slot) {
    return user_id(atomic_load_explicit(&slot->row, memory_order_acquire), s->u->params->dim);
}

/* How many bytes the sampled ids have in common. The others may differ before: they only stand in a wrong place. */
static size_t common_bytes(const struct sorter *s, const struct placed *list, size_t n) {
    epoch_enter(s->u->epoch, s->reader);
    struct slice first = id_of(s, list[0].slot);
    size_t common = first.n;
    for (size_t k = 1; k < SAMPLES && common > 0; k++) {
        struct slice id = id_of(s, list[k * (n - 1) / (SAMPLES - 1)].slot);
        size_t same = 0;
        while (same < common && same < id.n && id.p[same] == first.p[same]) same++;
        common = same;
    }
    epoch_leave(s->u->epoch, s->reader);
    return common;
}

static uint64_t key_at(struct slice id, size_t from) {
    uint64_t key = 0;
    for (size_t k = from; k < from + KEY_BYTES; k++) key = key << 8 | (k < id.n ? (uint8_t)id.p[k] : 0);
    return key;
}

static void set_keys(const struct sorter *s, struct placed *list, size_t n, size_t from) {
    for (size_t k = 0; k < n;) {
        epoch_enter(s->u->epoch, s->reader);
        for (size_t end = k + AT_ONCE < n ? k + AT_ONCE : n; k < end; k++)
            list[k].key = key_at(id_of(s, list[k].slot), from);
        epoch_leave(s->u->epoch, s->reader);
    }
}

static int by_key(const void *left, const void *right) {
    const struct placed *a = left, *b = right;
    return (a->key > b->key) - (a->key < b->key);
}

/* Slots whose ids agree in the first `from` bytes. Long runs of equal keys are ordered by the bytes behind. */
static void order(const struct sorter *s, struct placed *list, size_t n, size_t from) {
    size_t common = common_bytes(s, list, n);
    if (common > from) from = common;
    set_keys(s, list, n, from);
    qsort(list, n, sizeof *list, by_key);
    for (size_t k = 0, end; k < n; k = end) {
        for (end = k + 1; end < n && list[end].key == list[k].key;) end++;
        if (end - k > SMALL_RUN && from + KEY_BYTES < MODEL_MAX_ID) order(s, list + k, end - k, from + KEY_BYTES);
    }
}

void users_list_sort(const struct users *u, struct user_list *l, unsigned reader) {
    const struct sorter s = {u, reader};
    if (l->n <= SMALL_RUN) return;
    struct placed *list = mem_alloc(l->n * sizeof *list);
    if (!list) return;
    for (size_t k = 0; k < l->n; k++) list[k].slot = l->slots[k];
    order(&s, list, l->n, 0);
    for (size_t k = 0; k < l->n; k++) l->slots[k] = list[k].slot;
    mem_free(list);
}

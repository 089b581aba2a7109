/* Sets of item rows that a request names. */
#include "lib/model/rows.h"

#include "lib/base/mem.h"

void rows_free(struct rows *rows) {
    mem_free(rows->row);
    *rows = (struct rows){0};
}

int rows_room(struct rows *rows, size_t more, struct err *e) {
    if (rows->n + more <= rows->cap) return 0;
    size_t cap = rows->cap ? rows->cap : 256;
    while (cap < rows->n + more) cap *= 2;
    uint32_t *row = mem_realloc(rows->row, cap * sizeof *row);
    if (!row) return err_set(e, ERR_NOMEM, NULL, "no memory for %zu items of a request", cap);
    rows->row = row;
    rows->cap = cap;
    return 0;
}

/* Shell 1959, with the gaps of Ciura 2001: a user's hundred items take a third of the time of qsort, which calls to
 * compare. */
static void sort_ascending(uint32_t *row, size_t n) {
    static const size_t gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1};
    for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++)
        for (size_t k = gaps[g]; k < n; k++) {
            uint32_t moved = row[k];
            size_t at = k;
            for (; at >= gaps[g] && row[at - gaps[g]] > moved; at -= gaps[g]) row[at] = row[at - gaps[g]];
            row[at] = moved;
        }
}

void rows_sort(struct rows *rows) {
    size_t kept = 0;
    sort_ascending(rows->row, rows->n);
    for (size_t i = 0; i < rows->n; i++)
        if (kept == 0 || rows->row[kept - 1] != rows->row[i]) rows->row[kept++] = rows->row[i];
    rows->n = kept;
}

bool rows_have(const struct rows *rows, uint32_t row) {
    size_t low = 0, high = rows->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rows->row[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low < rows->n && rows->row[low] == row;
}

int rows_add_ids(struct rows *rows, const struct items *t, const struct slice *ids, size_t n, size_t *n_unknown,
                 struct err *e) {
    int rc = rows_room(rows, n, e);
    if (rc < 0) return rc;
    for (size_t i = 0; i < n; i++) {
        uint32_t row = items_find(t, ids[i]);
        if (row == ITEM_NONE)
            ++*n_unknown;
        else
            rows->row[rows->n++] = row;
    }
    return 0;
}

void rows_keep_first(struct rows *rows, size_t most) {
    size_t kept = 0;
    for (size_t i = 0, k; i < rows->n && kept < most; i++) {
        for (k = 0; k < kept && rows->row[k] != rows->row[i];) k++;
        rows->row[kept] = rows->row[i];
        kept += k == kept;
    }
    rows->n = kept;
}

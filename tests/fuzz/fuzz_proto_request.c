/* Any bytes as a request body: no crash, and what is accepted keeps every promise of the header. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/utf8.h"
#include "proto/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds) {
    if (!holds) abort();
}

static void check_ids(const struct slice *ids, size_t n, size_t most) {
    must(n <= most && (ids || n == 0));
    for (size_t i = 0; i < n; i++)
        must(ids[i].n >= 1 && ids[i].n <= REQUEST_MAX_ID && utf8_valid(ids[i]) && !memchr(ids[i].p, 0, ids[i].n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct request_limits limits = {.max_k = 50, .max_items = 8};
    for (int kind = REQUEST_RECOMMEND; kind <= REQUEST_SCORE; kind++) {
        struct request r = {.k = 99};
        struct err e = {0};
        char limit[REQUEST_LIMIT_TEXT];
        int rc = request_parse(slice_of((const char *)data, size), (enum request_kind)kind, &limits, &r, limit, &e);
        if (rc < 0) {
            must(e.code == rc && e.text[0] && r.k == 99 && !r.json);
            must((limit[0] != '\0') == (rc == ERR_RANGE));
            continue;
        }
        must(r.k <= limits.max_k && r.user.n <= REQUEST_MAX_ID);
        check_ids(r.history, r.n_history, limits.max_items);
        check_ids(r.cart, r.n_cart, limits.max_items);
        check_ids(r.exclude, r.n_exclude, limits.max_items);
        check_ids(r.items, r.n_items, limits.max_items);
        must(kind == REQUEST_RECOMMEND || (r.items && !r.exclude && r.k == 0 && !r.keep_used));
        request_free(&r);
    }
    return 0;
}

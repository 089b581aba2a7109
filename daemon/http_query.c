/* Parameters of a query string. */
#include <string.h>

#include "daemon/http.h"
#include "daemon/http_parse.h"

struct pair {
    struct slice name, value; /* still encoded */
};

/* Takes the next non-empty NAME[=VALUE] off the front of *rest. */
static bool next_pair(struct slice *rest, struct pair *pair) {
    while (rest->n > 0) {
        const char *end = memchr(rest->p, '&', rest->n);
        struct slice piece = {rest->p, end ? (size_t)(end - rest->p) : rest->n};
        size_t taken = end ? piece.n + 1 : piece.n;
        *rest = (struct slice){rest->p + taken, rest->n - taken};
        if (piece.n == 0) continue;
        const char *equals = memchr(piece.p, '=', piece.n);
        size_t name = equals ? (size_t)(equals - piece.p) : piece.n;
        pair->name = slice_of(piece.p, name);
        pair->value = equals ? slice_of(equals + 1, piece.n - name - 1) : slice_of(piece.p + piece.n, 0);
        return true;
    }
    return false;
}

/* Whether an encoded name, known to decode, is the given one. */
static bool is_name(struct slice encoded, const char *name, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char c;
        size_t step = encoded.n > 0 && encoded.p[0] == '%' ? 3 : 1;
        if (encoded.n < step || http_decode(encoded.p, step, &c, true) != 1 || c != name[i]) return false;
        encoded = slice_of(encoded.p + step, encoded.n - step);
    }
    return encoded.n == 0;
}

int http_query(struct slice query, const char *name, char *out, size_t size) {
    struct pair pair;
    struct slice found = {0};
    size_t length = 0;
    int rc = 0;
    while (next_pair(&query, &pair)) {
        ptrdiff_t n = http_decode(pair.value.p, pair.value.n, NULL, true);
        if (n < 0 || http_decode(pair.name.p, pair.name.n, NULL, true) < 0) return ERR_SYNTAX;
        if (!is_name(pair.name, name, strlen(name))) continue;
        if (rc) return ERR_SYNTAX;
        rc = 1;
        found = pair.value;
        length = (size_t)n;
    }
    if (rc == 0) return 0;
    if (length >= size) return ERR_RANGE;
    (void)http_decode(found.p, found.n, out, true);
    out[length] = '\0';
    return 1;
}

static bool is_known(struct slice name, const char *known) {
    for (;;) {
        size_t n = strcspn(known, ",");
        if (n > 0 && is_name(name, known, n)) return true;
        if (known[n] == '\0') return false;
        known += n + 1;
    }
}

int http_query_unknown(struct slice query, const char *known, char *out, size_t size) {
    struct pair pair;
    while (next_pair(&query, &pair)) {
        if (is_known(pair.name, known)) continue;
        size_t at = 0;
        while (pair.name.n > 0 && at + 1 < size) {
            size_t step = pair.name.p[0] == '%' && pair.name.n >= 3 ? 3 : 1;
            if (http_decode(pair.name.p, step, out + at, true) != 1) out[at] = '?';
            at++;
            pair.name = slice_of(pair.name.p + step, pair.name.n - step);
        }
        if (size > 0) out[at] = '\0';
        return 1;
    }
    return 0;
}

/* Typed option values: text with units in, canonical text out. */
#include "daemon/config_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"

union value { /* one parsed number; a string is handled apart */
    int64_t i;
    uint64_t u;
    double f;
    bool b;
};

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first: the first one that divides a value is used to print it. */
static const struct unit size_units[] = {{"TiB", UINT64_C(1) << 40},
                                         {"GiB", UINT64_C(1) << 30},
                                         {"MiB", UINT64_C(1) << 20},
                                         {"KiB", UINT64_C(1) << 10},
                                         {"", 1}};
static const struct unit time_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
#define N_UNITS 5

char *config_text_copy(const char *s, size_t n) {
    char *copy = mem_alloc(n + 1);
    if (!copy) return NULL;
    if (n > 0) memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

bool config_list_next(const char **rest, struct slice *item) {
    const char *p = *rest;
    if (!p || *p == '\0') return false;
    size_t n = strcspn(p, ",");
    if (p[n] == ',' && (p[n + 1] != '\0' || n == 0)) {
        *rest = p + n + 1;
    } else {
        *rest = p + n; /* a comma at the very end stays: an empty item follows it */
    }
    while (n > 0 && *p == ' ') p++, n--;
    while (n > 0 && p[n - 1] == ' ') n--;
    *item = slice_of(p, n);
    return true;
}

bool config_name_valid(struct slice name) {
    if (name.n < 1 || name.n > 32) return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')) return false;
    }
    return true;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

size_t config_distance(const char *a, const char *b) {
    size_t row[3][CONFIG_MAX_NAME + 1]; /* the two rows before, and this one */
    size_t *before = row[0], *last = row[1], *now = row[2];
    size_t na = least(strlen(a), CONFIG_MAX_NAME), nb = least(strlen(b), CONFIG_MAX_NAME);
    for (size_t j = 0; j <= nb; j++) last[j] = j;
    for (size_t i = 1; i <= na; i++) {
        now[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t change = last[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = least(change, least(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
        }
        size_t *free_row = before;
        before = last, last = now, now = free_row;
    }
    return last[nb];
}

bool config_is_secret(const char *key) {
    if (strncasecmp(key, "sasl.mechanism", 14) == 0) return false;
    return strncasecmp(key, "sasl.", 5) == 0 || strncasecmp(key, "ssl.key.", 8) == 0 ||
           strcasecmp(key, "ssl_key") == 0 || strcasestr(key, "password") || strcasestr(key, ".pem") ||
           strcasestr(key, "secret") || strcasestr(key, "token");
}

static bool scan_digits(const char **text, uint64_t *v) {
    const char *p = *text;
    uint64_t sum = 0;
    if (*p < '0' || *p > '9') return false;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(sum, 10u, &sum) || __builtin_add_overflow(sum, (uint64_t)(*p - '0'), &sum))
            return false;
    *text = p;
    *v = sum;
    return true;
}

static const char *parse_scaled(const char *text, const struct unit *units, const char *suffix, uint64_t *v) {
    const char *p = text;
    uint64_t n;
    if (!scan_digits(&p, &n)) return "not a number with a unit";
    size_t length = strlen(p), tail = strlen(suffix);
    if (length < tail || strcmp(p + length - tail, suffix) != 0) return "the unit is missing or wrong";
    length -= tail;
    for (size_t i = 0; i < N_UNITS; i++) {
        if (strlen(units[i].name) != length || memcmp(p, units[i].name, length) != 0) continue;
        if (__builtin_mul_overflow(n, units[i].factor, v) || *v > INT64_MAX) return "too large";
        return NULL;
    }
    return "the unit is missing or wrong";
}

static const char *parse_int(const char *text, int64_t *v) {
    const char *p = text + (*text == '-');
    uint64_t n;
    if (!scan_digits(&p, &n) || *p != '\0') return "not a whole number";
    if (n > INT64_MAX) return "too large";
    *v = *text == '-' ? -(int64_t)n : (int64_t)n;
    return NULL;
}

static const char *parse_float(const char *text, double *v) {
    if (*text == '\0' || text[strspn(text, "0123456789+-.eE")] != '\0') return "not a number";
    char *end;
    double f = strtod(text, &end);
    if (*end != '\0') return "not a number";
    if (!isfinite(f)) return "too large";
    *v = f == 0.0 ? 0.0 : f; /* no negative zero: it would print differently */
    return NULL;
}

/* NULL, or what is wrong with text; min "none" allows that word. */
static const char *parse(const struct config_option *o, const char *text, union value *v) {
    const char *wrong = NULL;
    switch (o->kind) {
    case CONFIG_INT:
        return parse_int(text, &v->i);
    case CONFIG_FLOAT:
        return parse_float(text, &v->f);
    case CONFIG_SIZE:
        return parse_scaled(text, size_units, "", &v->u);
    case CONFIG_RATE:
        return parse_scaled(text, size_units, "/s", &v->u);
    case CONFIG_TIME:
        if (strcmp(o->min, "none") == 0 && strcmp(text, "none") == 0) {
            v->i = -1;
            return NULL;
        }
        wrong = parse_scaled(text, time_units, "", &v->u);
        if (!wrong) v->i = (int64_t)v->u;
        return wrong;
    case CONFIG_BOOL:
        v->b = strcmp(text, "yes") == 0;
        return v->b || strcmp(text, "no") == 0 ? NULL : "neither yes nor no";
    case CONFIG_STR:
    case CONFIG_LIST:
        break;
    }
    return NULL;
}

static int compare(enum config_kind kind, const union value *a, const union value *b) {
    if (kind == CONFIG_FLOAT) return (a->f > b->f) - (a->f < b->f);
    if (kind == CONFIG_SIZE || kind == CONFIG_RATE) return (a->u > b->u) - (a->u < b->u);
    return (a->i > b->i) - (a->i < b->i);
}

static bool in_range(const struct config_option *o, const union value *v) {
    union value bound;
    if (*o->min != '\0') {
        CHECK(parse(o, o->min, &bound) == NULL);
        if (compare(o->kind, v, &bound) < 0) return false;
    }
    if (*o->max != '\0') {
        CHECK(parse(o, o->max, &bound) == NULL);
        if (compare(o->kind, v, &bound) > 0) return false;
    }
    return true;
}

static bool is_choice(const char *choices, const char *text) {
    size_t n = strlen(text);
    for (const char *p = choices;; p++) {
        size_t length = strcspn(p, "|");
        if (length == n && memcmp(p, text, n) == 0) return true;
        p += length;
        if (*p == '\0') return false;
    }
}

static char *list_copy(const char *text) {
    char *copy = config_text_copy(text, strlen(text)), *to = copy;
    struct slice item;
    for (const char *rest = text; copy && config_list_next(&rest, &item);) {
        if (to != copy) *to++ = ',';
        memcpy(to, item.p, item.n);
        to += item.n;
    }
    if (copy) *to = '\0';
    return copy;
}

static int set_text(const struct config_option *o, const char *text, char **at, char *why, size_t why_size) {
    if (o->kind == CONFIG_STR && *o->min != '\0' && !is_choice(o->min, text)) {
        snprintf(why, why_size, "not a choice");
        return ERR_RANGE;
    }
    struct slice item;
    for (const char *rest = text; o->kind == CONFIG_LIST && config_list_next(&rest, &item);) {
        if (item.n > 0) continue;
        snprintf(why, why_size, "an empty entry in the list");
        return ERR_SYNTAX;
    }
    char *copy = o->kind == CONFIG_LIST ? list_copy(text) : config_text_copy(text, strlen(text));
    if (!copy) {
        snprintf(why, why_size, "memory was refused");
        return ERR_NOMEM;
    }
    mem_free(*at);
    *at = copy;
    return 0;
}

int config_value_set(const struct config_option *o, const char *text, void *at, char *why, size_t why_size) {
    if (o->kind == CONFIG_STR || o->kind == CONFIG_LIST) return set_text(o, text, at, why, why_size);
    union value v = {0};
    const char *wrong = parse(o, text, &v);
    if (wrong) {
        snprintf(why, why_size, "%s", wrong);
        return strcmp(wrong, "too large") == 0 ? ERR_RANGE : ERR_SYNTAX;
    }
    if (!in_range(o, &v)) {
        snprintf(why, why_size, "out of range");
        return ERR_RANGE;
    }
    switch (o->kind) {
    case CONFIG_BOOL:
        *(bool *)at = v.b;
        break;
    case CONFIG_FLOAT:
        *(double *)at = v.f;
        break;
    case CONFIG_SIZE:
    case CONFIG_RATE:
        *(uint64_t *)at = v.u;
        break;
    default:
        *(int64_t *)at = v.i;
        break;
    }
    return 0;
}

void config_value_clear(const struct config_option *o, void *at) {
    if (o->kind != CONFIG_STR && o->kind != CONFIG_LIST) return;
    mem_free(*(char **)at);
    *(char **)at = NULL;
}

bool config_value_equal(const struct config_option *o, const void *a, const void *b) {
    switch (o->kind) {
    case CONFIG_STR:
    case CONFIG_LIST:
        return strcmp(*(char *const *)a, *(char *const *)b) == 0;
    case CONFIG_BOOL:
        return *(const bool *)a == *(const bool *)b;
    default:
        return memcmp(a, b, 8) == 0;
    }
}

static void print_scaled(uint64_t v, const struct unit *units, const char *zero, struct buf *out) {
    if (v == 0) {
        buf_add_str(out, zero);
        return;
    }
    size_t i = 0;
    while (v % units[i].factor != 0) i++;
    buf_add_u64(out, v / units[i].factor);
    buf_add_str(out, units[i].name);
}

void config_value_print(const struct config_option *o, const void *at, struct buf *out) {
    switch (o->kind) {
    case CONFIG_STR:
    case CONFIG_LIST:
        buf_add_str(out, *(char *const *)at);
        break;
    case CONFIG_BOOL:
        buf_add_str(out, *(const bool *)at ? "yes" : "no");
        break;
    case CONFIG_INT:
        buf_add_i64(out, *(const int64_t *)at);
        break;
    case CONFIG_FLOAT:
        buf_add_double(out, *(const double *)at);
        break;
    case CONFIG_SIZE:
        print_scaled(*(const uint64_t *)at, size_units, "0", out);
        break;
    case CONFIG_RATE:
        print_scaled(*(const uint64_t *)at, size_units, "0", out);
        buf_add_str(out, "/s");
        break;
    case CONFIG_TIME:
        if (*(const int64_t *)at < 0) {
            buf_add_str(out, "none");
        } else {
            print_scaled((uint64_t) * (const int64_t *)at, time_units, "0s", out);
        }
        break;
    }
}

const char *config_value_allowed(const struct config_option *o, char *out, size_t size) {
    bool none = strcmp(o->min, "none") == 0;
    const char *unit = *o->unit ? o->unit : "text", *low = none ? "0s" : o->min;
    switch (o->kind) {
    case CONFIG_BOOL:
        snprintf(out, size, "yes or no");
        break;
    case CONFIG_STR:
        snprintf(out, size, *o->min ? "one of %s" : "%s", *o->min ? o->min : unit);
        break;
    case CONFIG_LIST:
        snprintf(out, size, "%s separated by commas", unit);
        break;
    case CONFIG_INT:
        snprintf(out, size, "a whole number from %s to %s%s%s", low, o->max, *o->unit ? ": " : "", o->unit);
        break;
    case CONFIG_FLOAT:
        snprintf(out, size, "a number from %s to %s%s%s", low, o->max, *o->unit ? ": " : "", o->unit);
        break;
    case CONFIG_SIZE:
        snprintf(out, size, "bytes from %s to %s; units KiB MiB GiB TiB, or none", low, o->max);
        break;
    case CONFIG_RATE:
        snprintf(out, size, "bytes a second from %s to %s; units KiB/s MiB/s GiB/s TiB/s, or /s", low, o->max);
        break;
    case CONFIG_TIME:
        snprintf(out, size, "a time from %s to %s%s; units ms s m h d", low, o->max, none ? ", or none" : "");
        break;
    }
    return out;
}

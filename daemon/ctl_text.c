/* rankctl: how figures and tables look. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/ctl.h"
#include "lib/base/utf8.h"

const char *ctl_count(char out[CTL_TEXT], uint64_t n) {
    char plain[24];
    size_t len = (size_t)snprintf(plain, sizeof plain, "%llu", (unsigned long long)n), at = 0;
    for (size_t k = 0; k < len; k++) {
        if (k && (len - k) % 3 == 0) out[at++] = ',';
        out[at++] = plain[k];
    }
    out[at] = '\0';
    return out;
}

const char *ctl_bytes(char out[CTL_TEXT], double n) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t k = 0;
    while (n >= 1024 && k + 1 < sizeof units / sizeof *units) n /= 1024, k++;
    snprintf(out, CTL_TEXT, k && n < 100 ? "%.1f %s" : "%.0f %s", n, units[k]);
    return out;
}

const char *ctl_seconds(char out[CTL_TEXT], double s) {
    if (!isfinite(s) || s < 0)
        snprintf(out, CTL_TEXT, "-");
    else if (s < 0.001)
        snprintf(out, CTL_TEXT, "%.0f us", s * 1e6);
    else if (s < 1)
        snprintf(out, CTL_TEXT, s < 0.1 ? "%.2f ms" : "%.0f ms", s * 1e3);
    else if (s < 60)
        snprintf(out, CTL_TEXT, "%.1f s", s);
    else if (s < 3600)
        snprintf(out, CTL_TEXT, "%d min %d s", (int)(s / 60), (int)fmod(s, 60));
    else if (s < 86400)
        snprintf(out, CTL_TEXT, "%d h %d min", (int)(s / 3600), (int)(fmod(s, 3600) / 60));
    else
        snprintf(out, CTL_TEXT, "%.0f d %d h", floor(s / 86400), (int)(fmod(s, 86400) / 3600));
    return out;
}

const char *ctl_rate(char out[CTL_TEXT], double per_second) {
    char count[CTL_TEXT];
    if (per_second >= 10)
        snprintf(out, CTL_TEXT, "%s/s", ctl_count(count, (uint64_t)(per_second + 0.5)));
    else
        snprintf(out, CTL_TEXT, "%.1f/s", per_second > 0 ? per_second : 0.0);
    return out;
}

const char *ctl_clean(char *out, size_t size, struct slice text) {
    size_t at = 0;
    for (size_t k = 0; k < text.n && at + 1 < size;) {
        size_t step = utf8_step(slice_of(text.p + k, text.n - k));
        unsigned char c = (unsigned char)text.p[k];
        bool plain = step > 0 && c >= 0x20 && c != 0x7f && !(c == 0xc2 && (unsigned char)text.p[k + 1] < 0xa0);
        if (plain && at + step >= size) break;
        if (plain)
            memcpy(out + at, text.p + k, step);
        else
            out[at] = '?';
        at += plain ? step : 1;
        k += step ? step : 1;
    }
    out[at] = '\0';
    return out;
}

void ctl_table_init(struct ctl_table *t, const char *align) {
    *t = (struct ctl_table){.align = align, .n_columns = strlen(align)};
    buf_init(&t->cells, 64u << 20);
}

void ctl_table_add(struct ctl_table *t, const char *cell) {
    buf_add(&t->cells, cell, strlen(cell) + 1);
    t->n_cells++;
}

/* Columns on a terminal, one a character. */
static size_t columns(const char *s) {
    size_t n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

void ctl_table_print(struct ctl_table *t) {
    size_t width[16] = {0}, k;
    const char *p = t->cells.p;
    size_t n = t->cells.failed ? 0 : t->n_cells;
    for (k = 0; k < n; k++, p += strlen(p) + 1) {
        size_t w = columns(p);
        if (w > width[k % t->n_columns]) width[k % t->n_columns] = w;
    }
    p = t->cells.p;
    for (k = 0; k < n; k++, p += strlen(p) + 1) {
        size_t c = k % t->n_columns;
        int pad = (int)(width[c] - columns(p));
        bool last = c + 1 == t->n_columns;
        if (t->align[c] == '>')
            printf("%*s%s%s", pad, "", p, last ? "\n" : "  ");
        else
            printf("%s%*s%s", p, last ? 0 : pad, "", last ? "\n" : "  ");
    }
    buf_free(&t->cells);
}

/* Plots in SVG. */
#include "lib/eval/plot.h"

#include <math.h>
#include <string.h>

#include "lib/base/utf8.h"
#include "lib/eval/page.h"
#include "lib/eval/plot_priv.h"

#define LINES_MOST  64
#define LABEL_MOST  31 /* characters of a name beside a line */
#define LABEL_PITCH 15.0

double plot_step(double most, unsigned steps) {
    static const double shapes[] = {1, 2, 2.5, 5};
    double power = 1;
    while (power * (double)steps >= most && power > 1e-12) power /= 10;
    for (;; power *= 10)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            if (power * shapes[i] * (double)steps >= most * 0.999999) return power * shapes[i];
}

/* Decimals that a number of this step needs. */
static int decimals_of(double step) {
    int n = 0;
    for (double v = step; n < 6 && fabs(v - (double)(int64_t)(v + 0.5)) > 1e-6 * v; n++) v *= 10;
    return n;
}

/* name="v" */
static void at(struct buf *b, const char *name, double v) {
    buf_printf(b, " %s=\"", name);
    page_coordinate(b, v);
    buf_add_char(b, '"');
}

/* The same as a share of the width. */
static void at_share(struct buf *b, const char *name, double v) {
    buf_printf(b, " %s=\"", name);
    page_coordinate(b, 100 * v);
    buf_add_str(b, "%\"");
}

static void line(struct buf *b, const char *css_class, double x1, double y1, double x2, double y2) {
    buf_printf(b, "<line class=\"%s\"", css_class);
    at(b, "x1", x1);
    at(b, "y1", y1);
    at(b, "x2", x2);
    at(b, "y2", y2);
    buf_add_str(b, "/>");
}

/* Opens <text>; the caller adds the text, escaped, and </text>. */
static void text_at(struct buf *b, double x, double y, const char *anchor) {
    buf_add_str(b, "<text");
    at(b, "x", x);
    at(b, "y", y);
    buf_printf(b, " text-anchor=\"%s\">", anchor);
}

static void open_svg(struct buf *b, const char *css_class, double width, double height, const char *name) {
    buf_printf(b, "<svg class=\"%s\" role=\"img\" viewBox=\"0 0 ", css_class);
    page_coordinate(b, width);
    buf_add_char(b, ' ');
    page_coordinate(b, height);
    buf_add_str(b, "\" aria-label=\"");
    page_escape(b, name);
    buf_add_str(b, "\">");
}

/* Where a plot's values lie on the drawing. */
struct frame {
    double left, right, top, bottom;
    double x0, x1, y1; /* values at left, right and top; 0 is at the bottom */
};

static double x_of(const struct frame *f, double x) {
    return f->x1 > f->x0 ? f->left + (x - f->x0) / (f->x1 - f->x0) * (f->right - f->left) : (f->left + f->right) / 2;
}

static double y_of(const struct frame *f, double y) { return f->bottom - y / f->y1 * (f->bottom - f->top); }

static void draw_y(struct buf *b, const struct frame *f, double step) {
    int decimals = decimals_of(step);
    for (double y = 0; y <= f->y1 * 1.000001; y += step) {
        line(b, y == 0 ? "axis" : "grid", f->left, y_of(f, y), f->right, y_of(f, y));
        text_at(b, f->left - 6, y_of(f, y) + 4, "end");
        page_fixed(b, y, decimals);
        buf_add_str(b, "</text>");
    }
}

static void draw_times(struct buf *b, const struct frame *f, const struct plot_lines *p) {
    struct plot_tick ticks[PLOT_TICKS_MOST];
    unsigned most = (unsigned)((f->right - f->left) / 75);
    most = most < 2 ? 2 : most < PLOT_TICKS_MOST ? most : PLOT_TICKS_MOST;
    unsigned n = plot_time_ticks(p->ts_ms[0], p->ts_ms[p->n_points - 1], most, ticks);
    for (unsigned i = 0; i < n; i++) {
        double x = x_of(f, (double)ticks[i].ts_ms);
        line(b, "axis", x, f->bottom, x, f->bottom + 4);
        text_at(b, x, f->bottom + 18, "middle");
        buf_add_str(b, ticks[i].label);
        buf_add_str(b, "</text>");
    }
}

static void draw_line(struct buf *b, const struct frame *f, const struct plot_lines *p, size_t i) {
    bool begun = false;
    buf_printf(b, "<path class=\"s%zu\" d=\"", i % PLOT_STYLES);
    for (size_t k = 0; k < p->n_points; k++) {
        if (isnan(p->lines[i].y[k])) continue;
        buf_add_char(b, begun ? 'L' : 'M');
        page_coordinate(b, x_of(f, (double)p->ts_ms[k]));
        buf_add_char(b, ' ');
        page_coordinate(b, y_of(f, p->lines[i].y[k]));
        begun = true;
    }
    buf_add_str(b, "\"/>");
}

/* The last value of a line; NaN without any. */
static double last_of(const struct plot_lines *p, size_t i) {
    size_t k = p->n_points;
    while (k > 0 && isnan(p->lines[i].y[k - 1])) k--;
    return k > 0 ? p->lines[i].y[k - 1] : (double)NAN;
}

/* A name cut to what fits, whole characters. */
static void add_label(struct buf *b, const char *label) {
    char cut[4 * LABEL_MOST + 8];
    struct slice s = slice_str(label);
    size_t n = 0;
    for (int k = 0; s.n > 0 && k < LABEL_MOST; k++) {
        size_t step = utf8_step(s);
        step = step == 0 ? 1 : step;
        memcpy(cut + n, s.p, step);
        n += step;
        s = slice_of(s.p + step, s.n - step);
    }
    cut[n] = '\0';
    page_escape(b, cut);
    if (s.n > 0) buf_add_str(b, "\xE2\x80\xA6");
}

/* Names at the right, in the order of the lines' ends and never on top of each other; a thin line leads to each. */
static void draw_labels(struct buf *b, const struct frame *f, const struct plot_lines *p, size_t n) {
    size_t order[LINES_MOST], used = 0;
    double place[LINES_MOST];
    for (size_t i = 0; i < n; i++) {
        double y = last_of(p, i);
        if (isnan(y)) continue;
        size_t k = used++;
        for (; k > 0 && last_of(p, order[k - 1]) < y; k--) order[k] = order[k - 1];
        order[k] = i;
    }
    double lowest = f->bottom - LABEL_PITCH * (double)used;
    for (size_t k = 0; k < used; k++) {
        double wanted = y_of(f, last_of(p, order[k])), least = k > 0 ? place[k - 1] + LABEL_PITCH : f->top;
        double highest = lowest + LABEL_PITCH * (double)(k + 1);
        place[k] = wanted < least ? least : wanted > highest && highest > least ? highest : wanted;
    }
    for (size_t k = 0; k < used; k++) {
        double end = y_of(f, last_of(p, order[k]));
        buf_printf(b, "<path class=\"lead s%zu\" d=\"M", order[k] % PLOT_STYLES);
        page_coordinate(b, f->right + 2);
        buf_add_char(b, ' ');
        page_coordinate(b, end);
        buf_add_char(b, 'L');
        page_coordinate(b, f->right + 12);
        buf_add_char(b, ' ');
        page_coordinate(b, place[k]);
        buf_add_str(b, "\"/>");
        text_at(b, f->right + 16, place[k] + 4, "start");
        if (order[k] == 0) buf_add_str(b, "<tspan class=\"strong\">");
        add_label(b, p->lines[order[k]].label);
        buf_add_str(b, order[k] == 0 ? "</tspan></text>" : "</text>");
    }
}

void plot_lines(struct buf *b, const struct plot_lines *p) {
    size_t n = p->n_lines < LINES_MOST ? p->n_lines : LINES_MOST;
    double most = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < p->n_points; k++)
            if (p->lines[i].y[k] > most) most = p->lines[i].y[k];
    if (p->n_points == 0) return;
    double step = plot_step(most > 0 ? most : 1, 5), top = 0;
    while (top < most * 0.999999 || top == 0) top += step;
    struct frame f = {.left = 46,
                      .right = p->width - (p->labels ? 215 : 14),
                      .top = 10,
                      .bottom = p->height - 26,
                      .x0 = (double)p->ts_ms[0],
                      .x1 = (double)p->ts_ms[p->n_points - 1],
                      .y1 = top};
    open_svg(b, p->css_class, p->width, p->height, p->name);
    draw_y(b, &f, step);
    draw_times(b, &f, p);
    for (size_t i = n; i-- > 0;) draw_line(b, &f, p, i);
    if (p->labels) draw_labels(b, &f, p, n);
    buf_add_str(b, "</svg>\n");
}

void plot_swatch(struct buf *b, size_t series) {
    buf_printf(b,
               "<svg class=\"swatch\" width=\"26\" height=\"10\" aria-hidden=\"true\"><path class=\"s%zu\" d=\"M1 5L25 "
               "5\"/></svg>",
               series % PLOT_STYLES);
}

/* A change as a share of the axis, kept on it. */
static double change_at(double ratio, double limit) {
    double v = (ratio - 1) / limit;
    v = v < -1 ? -1 : v > 1 ? 1 : v;
    return 0.5 + 0.46 * v;
}

void plot_interval(struct buf *b, double ratio, double low, double high, double limit, const char *tone) {
    double from = change_at(low, limit), to = change_at(high, limit), middle = change_at(ratio, limit);
    buf_printf(b, "<svg class=\"interval %s\" width=\"100%%\" height=\"18\" aria-hidden=\"true\">", tone);
    buf_add_str(b, "<line class=\"zero\" x1=\"50%\" x2=\"50%\" y1=\"0\" y2=\"18\"/>");
    buf_add_str(b, "<line class=\"range\" y1=\"9\" y2=\"9\"");
    at_share(b, "x1", from);
    at_share(b, "x2", to);
    buf_add_str(b, "/>");
    if (high > 1 + limit)
        buf_add_str(b, "<svg x=\"96%\" overflow=\"visible\"><path class=\"tip\" d=\"M0 4L8 9L0 14Z\"/></svg>");
    if (low < 1 - limit)
        buf_add_str(b, "<svg x=\"4%\" overflow=\"visible\"><path class=\"tip\" d=\"M0 4L-8 9L0 14Z\"/></svg>");
    if (ratio <= 1 + limit && ratio >= 1 - limit) {
        buf_add_str(b, "<circle class=\"point\" cy=\"9\" r=\"4\"");
        at_share(b, "cx", middle);
        buf_add_str(b, "/>");
    }
    buf_add_str(b, "</svg>");
}

/* As a share of the bar's place: what is beyond ends at its edge. */
static double share_of(double v, double most) {
    double share = most > 0 && !isnan(v) ? v / most : 0;
    return share < 1 ? share : 1;
}

void plot_bar(struct buf *b, double value, double other, double most) {
    buf_add_str(b, "<svg class=\"bar\" width=\"100%\" height=\"14\" aria-hidden=\"true\"><rect class=\"b0\" y=\"2\" "
                   "height=\"10\"");
    at_share(b, "width", share_of(value, most));
    buf_add_str(b, "/>");
    if (!isnan(other)) {
        buf_add_str(b, "<line class=\"mark\" y1=\"0\" y2=\"14\"");
        at_share(b, "x1", share_of(other, most));
        at_share(b, "x2", share_of(other, most));
        buf_add_str(b, "/>");
    }
    buf_add_str(b, "</svg>");
}

void plot_reliability(struct buf *b, const struct trust *t) {
    double most = 0;
    for (unsigned i = 0; i < t->n_bins; i++) {
        if (t->bins[i].p > most) most = t->bins[i].p;
        if (t->bins[i].high > most) most = t->bins[i].high;
    }
    double step = plot_step(most > 0 ? most : 1, 6), top = 0;
    while (top < most || top == 0) top += step;
    struct frame f = {.left = 46, .right = 352, .top = 28, .bottom = 318, .x0 = 0, .x1 = top, .y1 = top};
    open_svg(b, "square", 372, 360, "How often the first item was right, against the probability that was said");
    draw_y(b, &f, step);
    for (double x = 0; x <= top * 1.000001; x += step) {
        text_at(b, x_of(&f, x), f.bottom + 18, "middle");
        page_fixed(b, x, decimals_of(step));
        buf_add_str(b, "</text>");
    }
    text_at(b, f.right, f.bottom + 36, "end");
    buf_add_str(b, "probability that was said</text>");
    text_at(b, 0, 14, "start");
    buf_add_str(b, "how often it came</text>");
    line(b, "ideal", f.left, f.bottom, f.right, f.top);
    for (unsigned i = 0; i < t->n_bins; i++) {
        const struct trust_bin *bin = &t->bins[i];
        double x = x_of(&f, bin->p);
        line(b, "spread", x, y_of(&f, bin->low), x, y_of(&f, bin->high));
        buf_add_str(b, "<circle class=\"point\" r=\"4.5\"");
        at(b, "cx", x);
        at(b, "cy", y_of(&f, bin->rate));
        buf_add_str(b, "/>");
    }
    buf_add_str(b, "</svg>\n");
}

/* False alarms of the detector in simulated months of a shop with a daily cycle, and how soon a fall at the end is
 * found.
 *
 *     bench_model_drift [LEFT]    the share of hits that is left after the fall; 0.25 if not given
 *
 * Prints `name value`: names are SHAPE_SWING_MOMENTS, with the shape of the day (wave, or jump at midnight), the lowest
 * and highest share of hits within it in tenths, and judged moments a day. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/draw.h"
#include "lib/model/drift.h"

#define DAY_MS 86400000.0
#define T0     (19000 * DAY_MS) /* a midnight */
#define MONTH  30.0
#define LIMIT  34.0 /* days: a fall not found by then is not found */

struct shop {
    uint64_t seed, n;
    double clock_ms;
    bool jump;
    float low, high; /* share of hits */
    double moments;  /* a day, in the mean */
};

struct result {
    unsigned alarms, found;
    uint64_t forgot; /* of those found: with forgetting */
    double after;    /* moments, sum */
};

static double gain(const struct shop *s, float share, uint64_t purpose) {
    if (draw_unit(draw_bits(s->seed, 4 * s->n + purpose)) >= share) return 0;
    return 1 / log2(2 + 20 * (double)draw_unit(draw_bits(s->seed, 4 * s->n + purpose + 1)));
}

/* One moment; true when it raised an alarm. */
static bool step(struct shop *s, struct drift *d, float left) {
    int64_t now = (int64_t)s->clock_ms;
    double part = fmod(s->clock_ms, DAY_MS) / DAY_MS;
    float cycle = (float)(s->jump ? sqrt(part) : 0.5 - 0.5 * cos(6.283185307179586 * part));
    double v = gain(s, left * (s->low + (s->high - s->low) * cycle), 0) - gain(s, 0.05f, 2);
    s->n++;
    s->clock_ms += DAY_MS / s->moments / (0.3 + 1.4 * (double)cycle);
    return drift_note(d, s->n, now, v, 1);
}

static void live(struct shop s, float left, struct result *out) {
    static struct drift d;
    struct model_params p = {.drift_tolerance = 0.1f,
                             .drift_threshold = 60,
                             .drift_age = 3,
                             .pair_half_life_ms = 1,
                             .successor_half_life_ms = 1,
                             .lately_half_life_ms = 1};
    drift_init(&d, &p);
    while (s.clock_ms < T0 + MONTH * DAY_MS) out->alarms += step(&s, &d, 1);
    uint64_t forgot = d.now.forgot;
    for (uint64_t flip = s.n; s.clock_ms < T0 + LIMIT * DAY_MS;) {
        if (!step(&s, &d, left)) continue;
        out->found++;
        out->forgot += d.now.forgot - forgot;
        out->after += (double)(s.n - flip);
        return;
    }
}

int main(int argc, char **argv) {
    float left = argc > 1 ? strtof(argv[1], NULL) : 0.25f;
    static const double moments[] = {300, 1200, 10000, 50000};
    for (int shape = 0; shape < 2; shape++)
        for (int swing = 0; swing < 2; swing++)
            for (int k = 0; k < 4; k++) {
                struct result r = {0};
                char name[64];
                uint64_t shops = k == 3 ? 6 : 20;
                struct shop s = {0, 0, T0, shape == 1, swing ? 0.1f : 0.4f, swing ? 0.9f : 0.6f, moments[k]};
                for (s.seed = 1; s.seed <= shops; s.seed++) live(s, left, &r);
                snprintf(name, sizeof name, "%s_%s_%.0f", shape ? "jump" : "wave", swing ? "1_9" : "4_6", moments[k]);
                printf("%s_months %llu\n%s_false_alarms %u\n", name, (unsigned long long)shops, name, r.alarms);
                printf("%s_found %u\n%s_forgot %llu\n", name, r.found, name, (unsigned long long)r.forgot);
                printf("%s_found_after_moments %.0f\n", name, r.found ? r.after / r.found : -1);
            }
    return 0;
}

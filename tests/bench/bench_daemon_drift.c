/* How soon the model is back after tastes flipped, beside one that begins there with nothing.
 *
 *     bench_daemon_drift LOG FLIP WINDOW EVERY [section.key=value]...
 *
 * LOG: JSON Lines of scripts/shop --flip-at FLIP. Every EVERYth event, where its pair of user and item is new in the
 * log, is ranked before it is learned, as served, among all items that the user has not had. Three models: one learns
 * from the beginning of the log, one does with the detector off, and one, empty, learns from event FLIP on; all leave
 * out the same used items. Prints lines `window N`, with the first event of a window of WINDOW events, its number of
 * rankings and the sums of their NDCG@20, and at the end alarms, with those before FLIP. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/engine.h"
#include "lib/base/mem.h"
#include "lib/model/recommend.h"

#define READER  1u
#define K       20u
#define WINDOWS 4096u

struct line {
    struct record record;
    uint32_t user, item;
    bool fresh; /* a new pair */
};

struct used { /* of one user, in the order of the log */
    struct slice *ids;
    size_t n, cap;
};

struct world {
    struct line *lines; /* (n) */
    size_t n, flip, window, every;
};

struct curve {
    double gain[WINDOWS], cases[WINDOWS];
    uint64_t alarms, alarms_before; /* all, before the flip */
};

static void stop(const char *what) {
    fprintf(stderr, "bench_daemon_drift: %s\n", what);
    exit(1);
}

static uint32_t number_of(struct slice id) { return (uint32_t)strtoul(id.p + 1, NULL, 10); }

static char *read_file(const char *path, size_t *n) {
    FILE *f = fopen(path, "re");
    struct stat about;
    char *text = NULL;
    if (f && fstat(fileno(f), &about) == 0) text = malloc((size_t)about.st_size + 1);
    *n = text ? fread(text, 1, (size_t)about.st_size, f) : 0;
    if (*n == 0) stop("the log cannot be read");
    fclose(f);
    return text;
}

static void read_log(struct world *w, const char *path, const struct event_rules *rules) {
    size_t n, cap = 1024;
    char *at = read_file(path, &n), *end = at + n;
    struct event_arena *arena = event_arena_new();
    w->lines = malloc(cap * sizeof *w->lines);
    for (uint64_t offset = 0; at < end; offset++) {
        char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end) line_end = end;
        if (w->n == cap) w->lines = realloc(w->lines, (cap *= 2) * sizeof *w->lines);
        struct line *l = &w->lines[w->n];
        struct event_context c = {.rules = rules, .allow = 0xffff, .default_type = -1, .record_ms = EVENT_NO_TIME};
        *l = (struct line){.record = {.offset = offset, .next = offset + 1, .arrival_ms = EVENT_NO_TIME}};
        l->record.raw = slice_of(at, (size_t)(line_end - at));
        if (event_decode(l->record.raw, &c, arena, &l->record.event, NULL) != EVENT_OK) stop("a bad line");
        l->user = number_of(l->record.event.user);
        l->item = number_of(l->record.event.items[0].id);
        w->n++;
        at = line_end + 1;
    }
}

/* Which pairs are new, by a set of them. */
static void find_fresh(struct world *w) {
    uint64_t mask = 1;
    while (mask < 4 * w->n) mask *= 2;
    uint64_t *seen = calloc(mask--, sizeof *seen);
    for (size_t k = 0; k < w->n; k++) {
        struct line *l = &w->lines[k];
        uint64_t pair = ((uint64_t)l->user << 32 | l->item) + 1, at = pair * UINT64_C(0x9E3779B97F4A7C15) >> 20;
        while (seen[at & mask] && seen[at & mask] != pair) at++;
        l->fresh = seen[at & mask] == 0;
        seen[at & mask] = pair;
    }
    free(seen);
}

static double judge(struct recommend *r, const struct line *l, const struct used *u) {
    const struct event *ev = &l->record.event;
    struct recommend_request q = {
        .user = ev->user, .exclude = u->ids, .n_exclude = u->n, .k = K, .wall_ms = ev->ts_ms, .at_ms = ev->ts_ms};
    struct recommend_answer a;
    struct err e;
    double gain = 0;
    if (recommend_rank(r, &q, &a, &e) < 0) stop("no answer");
    for (size_t k = 0; k < a.n && gain == 0; k++)
        if (slice_equal(a.hits[k].id, ev->items[0].id)) gain = 1 / log2((double)k + 2);
    recommend_done(r);
    return gain;
}

static void note_used(struct used *u, struct slice id) {
    if (u->n == u->cap) u->ids = realloc(u->ids, (u->cap = 2 * u->cap + 16) * sizeof *u->ids);
    u->ids[u->n++] = id;
}

static void judge_and_learn(const struct world *w, size_t k, struct engine *g, struct recommend *r, uint32_t source,
                            const struct used *used, struct curve *out) {
    const struct line *l = &w->lines[k];
    enum event_reason reason;
    struct err e;
    size_t window = k / w->window;
    engine_publish(g);
    if (l->fresh && k % w->every == 0) {
        out->gain[window] += judge(r, l, &used[l->user]);
        out->cases[window]++;
    }
    if (engine_apply(g, source, 0, &l->record, &reason, &e) < 0 || reason != EVENT_OK) stop("an event was not learned");
    uint64_t alarms = g->model->drift.now.alarms;
    if (alarms > out->alarms) fprintf(stderr, "alarm at event %zu\n", k);
    out->alarms = alarms;
    if (k < w->flip) out->alarms_before = alarms;
}

static void run(const struct world *w, const struct config *config, size_t from, struct curve *out) {
    struct engine *g;
    struct recommend *r;
    struct err e;
    uint32_t source, most = 0;
    for (size_t k = 0; k < w->n; k++) most = w->lines[k].user > most ? w->lines[k].user : most;
    struct used *used = calloc(most + 1, sizeof *used);
    if (!used || engine_new(config, NULL, 2, &g, &e) < 0 || recommend_new(g->model, READER, &r, &e) < 0 ||
        engine_source(g, "log", &source, &e) < 0)
        stop("no engine");
    for (size_t k = 0; k < w->n; k++) {
        const struct line *l = &w->lines[k];
        if (k >= from) judge_and_learn(w, k, g, r, source, used, out);
        if (l->fresh) note_used(&used[l->user], l->record.event.items[0].id);
    }
    recommend_free(r);
    engine_free(g);
    for (uint32_t u = 0; u <= most; u++) free(used[u].ids);
    free(used);
}

static void load_config(struct config *c, char **options, size_t n) {
    struct err e;
    if (config_load(c, NULL, options, n, &e) < 0) stop(e.text);
}

int main(int argc, char **argv) {
    static struct world w;
    static struct curve on, off, empty;
    struct config with, without;
    struct event_rules rules;
    struct err e;
    char names[CONFIG_MAX_TYPES][33], off_option[] = "drift.threshold=0", *options[64];
    size_t n = 0;
    if (argc < 5 || argc > 64) stop("usage: bench_daemon_drift LOG FLIP WINDOW EVERY [section.key=value]...");
    w.flip = strtoul(argv[2], NULL, 10);
    w.window = strtoul(argv[3], NULL, 10);
    w.every = strtoul(argv[4], NULL, 10);
    if (w.window == 0 || w.every == 0) stop("WINDOW and EVERY are at least 1");
    for (int k = 5; k < argc; k++) options[n++] = argv[k];
    load_config(&with, options, n);
    options[n++] = off_option;
    load_config(&without, options, n);
    for (size_t t = 0; t < with.n_types; t++) memcpy(names[t], with.types[t].name, sizeof names[t]);
    if (engine_rules(&with, names, with.n_types, &rules, &e) < 0) stop(e.text);
    read_log(&w, argv[1], &rules);
    if (w.n / w.window >= WINDOWS) stop("too many windows");
    find_fresh(&w);
    run(&w, &with, 0, &on);
    run(&w, &without, 0, &off);
    run(&w, &with, w.flip, &empty);
    for (size_t k = 0; k * w.window < w.n; k++)
        printf("window %zu %.0f %.6f %.6f %.6f\n", k * w.window, on.cases[k], on.gain[k], off.gain[k], empty.gain[k]);
    printf("alarms %llu before %llu\n", (unsigned long long)on.alarms, (unsigned long long)on.alarms_before);
    config_free(&with);
    config_free(&without);
    return 0;
}

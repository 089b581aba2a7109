/* Which models a backtest runs: configurations by file, grid and seed, baselines by their grids, ablations of the best.
 */
#ifndef RANKD_DAEMON_BACKTEST_PLAN_H
#define RANKD_DAEMON_BACKTEST_PLAN_H

#include "daemon/backtest.h"
#include "lib/eval/figure.h"

#define BACKTEST_MAX_AXES   32
#define BACKTEST_MAX_VALUES 1000
#define BACKTEST_MAX_POINTS 100000

struct backtest_axis { /* one option with its values to try */
    char *name;        /* "section.key" */
    char **values;     /* (n); a range "lo..hi" is for random search */
    size_t n;
};

struct backtest_point {   /* one configuration of rankd */
    struct config config; /* as the runs use it: no bound on steps of the clock, the log's types */
    const char *path;     /* -c; NULL */
    char **overrides;     /* (n_overrides) of -o, one value each */
    size_t n_overrides;
    char *settings; /* where it differs from the defaults, lines "section.key = value", no seed */
};

struct backtest_preset {    /* what a shop is after */
    const char *name;       /* "accuracy" */
    const char *about;      /* for people */
    struct figure figure;   /* that decides */
    const char *options[8]; /* as -o, ending with NULL; -o goes before them */
};
extern const struct backtest_preset backtest_presets[]; /* the first one is the default */
extern const size_t backtest_n_presets;

struct backtest_wish { /* from the command line */
    const struct backtest_preset *preset;
    char *const *files; /* (n_files) of -c */
    size_t n_files;
    char *const *options; /* (n_options) of -o, each may name several values */
    size_t n_options;
    uint64_t random; /* points to draw from the grid; 0: all of it */
    uint64_t seeds;
};

struct backtest_plan {
    struct backtest_axis axes[BACKTEST_MAX_AXES];
    size_t n_axes;
    char **fixed; /* (n_fixed) options -o of one value */
    size_t n_fixed;
    struct backtest_point **points; /* (n_points) they stay where they are */
    size_t n_points;
};

/* The configurations to run. "a,b" in -o is two values, for lists (and kafka.rdkafka.*) "a;b"; options of the same name
 * given before are replaced. ERR_RANGE, ERR_SYNTAX and whatever config_load says; ERR_NOMEM; ERR_FULL: too many. */
int backtest_plan_make(const struct backtest_wish *w, struct backtest_plan *out, struct err *e) ERR_MUST_CHECK;
void backtest_plan_free(struct backtest_plan *p);

/* One more point: that of another with further options. Its number is n_points - 1. */
int backtest_plan_add(struct backtest_plan *p, const struct backtest_point *of, const char *const *options, size_t n,
                      struct err *e) ERR_MUST_CHECK;
/* The options that decide how a log is read and decoded must be the same in all points: the first two that differ are
 * named. ERR_RANGE. */
int backtest_plan_check(const struct backtest_plan *p, struct err *e) ERR_MUST_CHECK;

/* The configuration file that a daemon would run the point with, as INI text: without what only a backtest sets. */
int backtest_point_file(const struct backtest_point *p, struct buf *out, struct err *e) ERR_MUST_CHECK;

/* backtest_point.c */
struct backtest_ablation {
    const char *name;       /* "without embeddings" */
    const char *options[4]; /* "section.key=value", ending with NULL */
    enum event_kind needs;  /* EVENT_ITEM, EVENT_USER: tells something where those have features; else of any log */
};
extern const struct backtest_ablation backtest_ablations[];
extern const size_t backtest_n_ablations;

/* A point of a file's and the given options, all copied, and its freeing. ERR as config_load; ERR_NOMEM. */
int backtest_point_new(const char *path, char *const *options, size_t n, struct backtest_point **out,
                       struct err *e) ERR_MUST_CHECK;
void backtest_point_free(struct backtest_point *p);

#endif

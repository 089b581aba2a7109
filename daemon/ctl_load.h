/* What the files of rankctl load share: batches on their way from a log file to where they are kept. */
#ifndef RANKD_DAEMON_CTL_LOAD_H
#define RANKD_DAEMON_CTL_LOAD_H

#include <stdio.h>

#include "daemon/ctl.h"
#include "daemon/ctl_form.h"
#include "daemon/ctl_line.h"
#include "daemon/ctl_read.h"

#define LOAD_BATCH_BYTES (1u << 20) /* a batch ends past this */
#define LOAD_LISTED      20         /* bad lines shown on stderr */

struct load_options {
    struct form_wish form;
    const char *type, *bad_path, *kafka_topic, *brokers;
    bool baskets, resume;
    uint64_t max_basket, batch;
};

struct load_batch;

struct load_event { /* one event of a batch */
    struct load_batch *batch;
    uint64_t line;       /* where it begins in the file */
    size_t start, bytes; /* in body, the newline included */
    size_t key, key_bytes;
};

struct load_batch {
    struct buf body, keys;     /* events as lines; their users, for Kafka alone */
    struct load_event *events; /* (n) of at most max */
    size_t n, max;
    struct load_place { /* behind the last record in it */
        uint64_t offset, line;
    } next;
    /* once sent */
    size_t left; /* Kafka: not yet reported */
    uint64_t accepted, without_id;
};

struct load; /* the run */

/* Where batches go. At most in_flight are between submit and settle; settle gets the oldest. Exit codes, said on
 * stderr; only CTL_DONE lets the run go on. */
struct load_sink {
    size_t in_flight;
    int (*submit)(void *impl, struct load_batch *b);
    int (*settle)(void *impl, struct load_batch *b); /* waits for the end; fills accepted, without_id */
    void (*work)(void *impl);                        /* now and then while a batch is filled */
    void (*close)(void *impl);
    void *impl;
};
int load_sink_http(struct load *l, struct ctl *c, struct load_sink *out);
int load_sink_kafka(struct load *l, struct ctl *c, const struct load_options *o, struct load_sink *out);

struct load {
    const struct load_options *o;
    struct load_sink sink;
    struct load_batch *ring; /* (sink.in_flight + 1) */
    size_t oldest, n_flying; /* in the ring; the one behind them is being filled */

    /* the file at hand */
    const char *path;
    struct unpack *unpack;
    char prefix[24]; /* of ids: "load-<hash>-" without the line */
    char state_path[4096], print[64];
    bool keep_state;
    uint64_t state_ns;

    /* all files */
    uint64_t lines, accepted, rejected, without_id;
    uint64_t bytes_done, bytes_all; /* of the files as they are; all 0: unknown */
    uint64_t start_ns, shown_ns, rate_ns, rate_accepted;
    double rate; /* of late */
    bool terminal, line_open;
    uint64_t n_bad;
    FILE *bad;
};

extern volatile int load_interrupted; /* by a signal */

/* --- ctl_load.c --- */
/* A line that is not loaded: shown, written to --bad and counted. text may be empty. */
void load_bad(struct load *l, uint64_t line, const char *reason, const char *message, struct slice text);
struct load_batch *load_current(struct load *l);
/* Sends the current batch on its way and makes room for the next one. */
int load_submit(struct load *l);
int load_finish(struct load *l); /* the same, and waits for all */

/* --- ctl_load_feed.c --- */
/* Reads the file at hand into batches, from a place. Exit codes. */
int load_feed(struct load *l, struct load_place from);

/* --- ctl_load_state.c --- */
/* Names the file's ids and its state file; with --resume *from is the place to go on at. Exit codes. */
int load_state_begin(struct load *l, struct load_place *from);
void load_state_write(struct load *l, struct load_place next); /* at most once a second unless the run ends */
void load_state_done(struct load *l);                          /* the file is loaded: no state any more */

/* --- ctl_load_progress.c --- */
void load_progress(struct load *l, bool last);
void load_clear_line(struct load *l); /* before anything else is written to stderr */
void load_summary(struct load *l, bool json);

#endif

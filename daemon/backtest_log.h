/* A log in memory, in the order in which it is learned: records as the daemon would read them, to be run through any
 * number of engines. */
#ifndef RANKD_DAEMON_BACKTEST_LOG_H
#define RANKD_DAEMON_BACKTEST_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/config.h"
#include "daemon/ctl_form.h"
#include "daemon/source.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"
#include "proto/event.h"

#define BACKTEST_SOURCE "backtest" /* the source that foreign files stand for */
#define BACKTEST_ITEMS  "items"    /* and a file of items */
#define BACKTEST_USERS  "users"    /* and one of users */

struct backtest_source {
    char name[96];
    bool foreign; /* files of TSV, CSV or JSON Lines: may send everything; else what the configuration says */
};

struct backtest_record {
    size_t text;           /* of its JSON in texts; its key stands right behind */
    uint32_t bytes, key;   /* lengths */
    uint32_t source, file; /* index in sources, in files */
    uint32_t partition;
    uint32_t n_lines;              /* lines of the file it was made of: a basket of several */
    uint64_t line;                 /* the first of them, from 1; 0: no line of a file */
    uint64_t offset, next;         /* its place in the source; foreign files: the number of the line in all of them */
    int64_t record_ms, arrival_ms; /* EVENT_NO_TIME when there is none */
};

struct backtest_log {
    struct buf texts;
    struct backtest_record *records; /* (n) */
    size_t n, cap;
    struct backtest_source *sources; /* (n_sources) */
    size_t n_sources;
    const char **files; /* (n_files) the paths, borrowed */
    size_t n_files;
    size_t n_described; /* records of files of items and of users, in front of all others */
    bool foreign;       /* none is of rankd's own log or of Kafka */
    bool json;          /* some are of foreign JSON Lines: baskets are to be formed once they are decoded */
    uint64_t lines;     /* read */
    uint64_t rejected;  /* lines that are no record at all; the decoder rejects others later */
};

struct backtest_input {
    const struct config *config;
    char *const *files; /* (n_files) */
    size_t n_files;
    struct form_wish form;
    const char *type;    /* of events that name none; NULL */
    const char *items;   /* a file of items, known before the log begins; NULL */
    const char *users;   /* the same of users */
    const char *journal; /* data directory whose journal gives the order of an own log or of topics; NULL */
    const char *source;  /* that the files of an own log stand for */
    char *const *topics; /* (n_topics) of kafka.brokers */
    size_t n_topics;
    struct backtest_end { /* of an own log or of topics */
        enum { BACKTEST_OPEN, BACKTEST_OFFSET, BACKTEST_TIME } kind;
        uint64_t offset;                         /* in each partition */
        int64_t ms;                              /* of the record, else of its arrival */
    } from, to;                                  /* the first record taken, the first one not taken */
    bool serial;                                 /* line by line; else lines of one user at one stamp are one moment */
                                                 /* A line that cannot be used; text names what is wrong. */
    void (*progress)(void *arg, uint64_t lines); /* now and then while lines are read; NULL */
    void (*reject)(void *arg, const char *file, uint64_t line, const char *reason, const char *text);
    void *arg;
};

void backtest_log_init(struct backtest_log *l);
void backtest_log_free(struct backtest_log *l);

/* Reads what the input names: items, users, then foreign files in their order, or an own log, or topics. With whole
 * baskets the adjacent rows of one user and stamp become one record for each type, session and request among them.
 * ERR_MISSING, ERR_IO, ERR_CORRUPT, ERR_RANGE (form, or sources that do not go together), ERR_NOMEM. */
int backtest_log_read(struct backtest_log *l, const struct backtest_input *in, struct err *e) ERR_MUST_CHECK;
/* Its files of items and of users; says how many records they gave. */
int backtest_read_described(struct backtest_log *l, const struct backtest_input *in, struct err *e) ERR_MUST_CHECK;
int backtest_read_files(struct backtest_log *l, const struct backtest_input *in, struct err *e) ERR_MUST_CHECK;
int backtest_read_own(struct backtest_log *l, const struct backtest_input *in, struct err *e) ERR_MUST_CHECK;
/* reader_next of a file, whose path an error names. */
int backtest_next(const char *path, struct reader *reader, struct read_record *out, struct err *e) ERR_MUST_CHECK;

#define BACKTEST_PROGRESS_LINES 16384u
/* A line was read. */
static inline void backtest_log_count(struct backtest_log *l, const struct backtest_input *in) {
    if (++l->lines % BACKTEST_PROGRESS_LINES == 0 && in->progress) in->progress(in->arg, l->lines);
}

/* Appends a record; text, key: copied. r->text, bytes and key are set here. ERR_NOMEM. */
int backtest_log_add(struct backtest_log *l, const struct backtest_record *r, struct slice text, struct slice key,
                     struct err *e) ERR_MUST_CHECK;
/* The number of a source by name, a new one if need be. ERR_NOMEM. */
int backtest_log_source(struct backtest_log *l, const char *name, bool foreign, uint32_t *index,
                        struct err *e) ERR_MUST_CHECK;
/* The number of a file, a new one. ERR_NOMEM. */
int backtest_log_file(struct backtest_log *l, const char *path, uint32_t *index, struct err *e) ERR_MUST_CHECK;

static inline struct slice backtest_text(const struct backtest_log *l, const struct backtest_record *r) {
    return slice_of(l->texts.p + r->text, r->bytes);
}
static inline struct slice backtest_key(const struct backtest_log *l, const struct backtest_record *r) {
    return slice_of(l->texts.p + r->text + r->bytes, r->key);
}

/* The sources of the log, each with the rights and the default type that rules and configuration give it: out
 * (n_sources of the log), allocated here, mem_free'd by backtest_log_sources_free. type: as in backtest_input.
 * ERR_RANGE: a source or a type that the configuration does not have; ERR_NOMEM. */
int backtest_log_sources(const struct backtest_log *l, const struct config *c, const struct event_rules *rules,
                         const char *type, struct source **out, struct err *e) ERR_MUST_CHECK;
void backtest_log_sources_free(const struct backtest_log *l, struct source *sources);

/* A hash of all that is learned from it: texts, keys, order, places. */
uint64_t backtest_log_hash(const struct backtest_log *l);

#endif

/* Learns a log again into an empty data directory, through the very engine of the daemon. */
#ifndef RANKD_DAEMON_REPLAY_H
#define RANKD_DAEMON_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config.h"
#include "lib/base/err.h"

struct replay_options {
    const struct config *config;
    const char *into;    /* directory, made if absent, must hold no model */
    const char *journal; /* data directory whose journal gives the order; NULL = one partition, in its own order */
    bool own_rules;      /* beside a journal: the rules of config hold throughout, not those that the journal notes */
    const char *source;  /* source name of the log files; default "log" */
    char *const *logs;   /* (n_logs) files or directories of the own log, in order */
    size_t n_logs;
    char *const *topics; /* (n_topics) Kafka topics */
    size_t n_topics;
    void (*progress)(void *arg, uint64_t records); /* now and then; may be NULL */
    void *arg;
};

struct replay_result {
    uint64_t records, learned;
    uint64_t from; /* without a journal: offset that the log begins at; above 0 what is before was cut */
    char digest[65];
    double seconds;
};

int replay_run(const struct replay_options *o, struct replay_result *out, struct err *e) ERR_MUST_CHECK;

#endif

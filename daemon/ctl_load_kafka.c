/* rankctl load: batches straight into a Kafka topic, several under way. */
#include "daemon/kafka_load.h"

#include <stdio.h>
#include <string.h>

#include "daemon/config.h"
#include "daemon/ctl_load.h"
#include "lib/base/mem.h"

#define IN_FLIGHT 16 /* batches */

struct kafka_sink {
    struct load *l;
    struct kafka_load *kafka;
    char lost[160]; /* why records are missing in the topic that could be there */
};

static void on_done(void *arg, void *record, const char *why, bool lost) {
    struct kafka_sink *s = arg;
    struct load_event *e = record;
    struct load_batch *b = e->batch;
    b->left--;
    if (!why)
        b->accepted++;
    else if (lost)
        snprintf(s->lost, sizeof s->lost, "%s", why);
    else
        load_bad(s->l, e->line, "refused", why, slice_of(b->body.p + e->start, e->bytes - 1));
}

static int submit(void *impl, struct load_batch *b) {
    struct kafka_sink *s = impl;
    struct err e;
    b->left = b->n;
    for (size_t k = 0; k < b->n; k++) {
        struct load_event *at = &b->events[k];
        struct slice value = slice_of(b->body.p + at->start, at->bytes - 1);
        int rc = kafka_load_send(s->kafka, slice_of(b->keys.p + at->key, at->key_bytes), value, at, &e);
        if (rc == 0) continue;
        if (rc == ERR_RANGE) {
            on_done(s, at, e.text, false);
            continue;
        }
        load_clear_line(s->l);
        ctl_say("Kafka: %s", e.text);
        return CTL_FAILED;
    }
    return CTL_DONE;
}

static int settle(void *impl, struct load_batch *b) {
    struct kafka_sink *s = impl;
    while (b->left) {
        kafka_load_poll(s->kafka, 100);
        load_progress(s->l, false);
    }
    if (!s->lost[0]) return CTL_DONE;
    load_clear_line(s->l);
    ctl_say("Kafka: %s", s->lost);
    return CTL_UNREACHABLE;
}

static void work(void *impl) {
    struct kafka_sink *s = impl;
    kafka_load_poll(s->kafka, 0);
}

static void close_sink(void *impl) {
    struct kafka_sink *s = impl;
    kafka_load_close(s->kafka);
    mem_free(s);
}

int load_sink_kafka(struct load *l, struct ctl *c, const struct load_options *o, struct load_sink *out) {
    struct config config;
    struct err e;
    bool configured = c->config_path || c->n_overrides || !o->brokers;
    if (configured && config_load(&config, c->config_path, c->overrides, c->n_overrides, &e) < 0) {
        ctl_say("%s", e.text);
        return CTL_BAD_USE;
    }
    struct kafka_sink *s = mem_zalloc(sizeof *s);
    int rc = s ? 0 : err_set(&e, ERR_NOMEM, "", "no memory");
    if (rc == 0) {
        s->l = l;
        rc = kafka_load_open(configured ? &config : NULL, o->brokers, o->kafka_topic, on_done, s, &s->kafka, &e);
    }
    if (configured) config_free(&config);
    if (rc < 0) {
        mem_free(s);
        ctl_say("%s", e.text);
        return rc == ERR_AGAIN ? CTL_UNREACHABLE : rc == ERR_RANGE ? CTL_BAD_USE : CTL_FAILED;
    }
    *out = (struct load_sink){
        .in_flight = IN_FLIGHT, .submit = submit, .settle = settle, .work = work, .close = close_sink, .impl = s};
    return CTL_DONE;
}

/* rankctl load: batches into the intake, one request at a time, so that events keep their order. */
#include <stdio.h>
#include <string.h>

#include "daemon/ctl_load.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define PATH         "/v1/events"
#define JSON_LINES   "application/x-ndjson"
#define GIVE_UP_MS   60000 /* of refusals or silence in a row */
#define FIRST_WAIT   50
#define LONGEST_WAIT 5000

struct http_sink {
    struct load *l;
    struct ctl *ctl;
    struct ctl_flight *flight;
    bool reached; /* a reply came ever */
};

static struct slice body_of(const struct load_batch *b, size_t from, size_t to) {
    size_t start = b->events[from].start, end = b->events[to - 1].start + b->events[to - 1].bytes;
    return slice_of(b->body.p + start, end - start);
}

static void begin(struct http_sink *s, const struct load_batch *b, size_t from, size_t to) {
    ctl_flight_begin(s->flight, PATH, JSON_LINES, body_of(b, from, to));
}

static int submit(void *impl, struct load_batch *b) {
    begin(impl, b, 0, b->n);
    return CTL_DONE;
}

static void work(void *impl) {
    struct http_sink *s = impl;
    const struct ctl_reply *r;
    (void)ctl_flight_poll(s->flight, 0, &r);
}

static const struct ctl_reply *wait_reply(struct http_sink *s) {
    const struct ctl_reply *r;
    while (!ctl_flight_poll(s->flight, 100, &r)) load_progress(s->l, false);
    return r;
}

static int settle_range(struct http_sink *s, struct load_batch *b, size_t from, size_t to, bool known);

static int send_range(struct http_sink *s, struct load_batch *b, size_t from, size_t to, bool known) {
    if (from >= to) return CTL_DONE;
    begin(s, b, from, to);
    return settle_range(s, b, from, to, known);
}

/* The reply says which events were rejected, the first hundred of them by index. known: the rest of a batch that was
 * counted before is sent again to learn about more of them; the good ones are repeats by their ids. */
static int take_counts(struct http_sink *s, struct load_batch *b, size_t from, size_t to, bool known,
                       struct jdoc_value r) {
    struct jdoc_value list = jdoc_get(r, "rejected");
    int64_t rejected = jdoc_integer(jdoc_get(r, "rejected_total"), 0);
    size_t listed = jdoc_count(list), last = from;
    if (!known) b->accepted += (uint64_t)jdoc_integer(jdoc_get(r, "accepted"), 0);
    if (!known) b->without_id += (uint64_t)jdoc_integer(jdoc_get(r, "without_id"), 0);
    for (size_t k = 0; k < listed; k++) {
        struct jdoc_value one = jdoc_at(list, k);
        int64_t index = jdoc_integer(jdoc_get(one, "index"), -1);
        if (index < 0 || (uint64_t)index >= to - from) continue;
        last = from + (size_t)index;
        const struct load_event *e = &b->events[last];
        load_bad(s->l, e->line, jdoc_text(jdoc_get(one, "reason"), "rejected").p,
                 jdoc_text(jdoc_get(one, "message"), "").p, slice_of(b->body.p + e->start, e->bytes - 1));
    }
    return (uint64_t)rejected > listed && listed ? send_range(s, b, last + 1, to, true) : CTL_DONE;
}

/* The request as a whole was refused: halves tell which event is at fault. */
static int split(struct http_sink *s, struct load_batch *b, size_t from, size_t to, bool known, const char *why) {
    if (to - from == 1) {
        const struct load_event *e = &b->events[from];
        load_bad(s->l, e->line, "refused", why, slice_of(b->body.p + e->start, e->bytes - 1));
        return CTL_DONE;
    }
    size_t middle = from + (to - from) / 2;
    int rc = send_range(s, b, from, middle, known);
    return rc == CTL_DONE ? send_range(s, b, middle, to, known) : rc;
}

static int refuse(struct http_sink *s, const struct ctl_reply *r) {
    load_clear_line(s->l);
    ctl_say_error(r);
    return CTL_FAILED;
}

/* Waits for the reply to a request and asks again while it says "later". NULL: given up, said on stderr. */
static const struct ctl_reply *persist(struct http_sink *s, const struct load_batch *b, size_t from, size_t to,
                                       int *rc) {
    int64_t wait_ms = FIRST_WAIT, waited_ms = 0;
    for (;;) {
        const struct ctl_reply *r = wait_reply(s);
        bool silent = r->status == 0, later = r->status == 429 || r->status == 503;
        if (!silent) s->reached = true;
        if (!silent && !later) return r;
        bool off = later && r->body.n && strstr(r->body.p, "\"no_intake\"");
        if (off || load_interrupted || waited_ms >= GIVE_UP_MS || (silent && !s->reached)) {
            load_clear_line(s->l);
            if (silent)
                ctl_say("the daemon cannot be reached: %s", r->why);
            else
                ctl_say_error(r);
            *rc = silent ? CTL_UNREACHABLE : CTL_FAILED;
            return NULL;
        }
        if (r->retry_after > 0 && r->retry_after * 1000 > wait_ms)
            wait_ms = r->retry_after * 1000 > LONGEST_WAIT ? LONGEST_WAIT : r->retry_after * 1000;
        clock_sleep_ms(wait_ms);
        waited_ms += wait_ms;
        wait_ms = wait_ms * 2 > LONGEST_WAIT ? LONGEST_WAIT : wait_ms * 2;
        begin(s, b, from, to);
    }
}

static int settle_range(struct http_sink *s, struct load_batch *b, size_t from, size_t to, bool known) {
    int rc = CTL_DONE;
    struct jdoc *j = NULL;
    const struct ctl_reply *r = persist(s, b, from, to, &rc);
    if (!r) return rc;
    if (jdoc_parse(slice_of(r->body.p, r->body.n), &j, NULL) < 0) return refuse(s, r);
    bool counted = jdoc_kind_of(jdoc_get(jdoc_root(j), "accepted")) == JDOC_NUMBER;
    if (counted && (r->status == 200 || r->status == 400))
        rc = take_counts(s, b, from, to, known, jdoc_root(j));
    else if (r->status == 413 || r->status == 400)
        rc = split(s, b, from, to, known, jdoc_text(jdoc_get(jdoc_root(j), "error.message"), "refused").p);
    else
        rc = refuse(s, r);
    jdoc_free(j);
    return rc;
}

static int settle(void *impl, struct load_batch *b) { return settle_range(impl, b, 0, b->n, false); }

static void close_sink(void *impl) {
    struct http_sink *s = impl;
    ctl_flight_free(s->flight);
    mem_free(s);
}

int load_sink_http(struct load *l, struct ctl *c, struct load_sink *out) {
    int rc = ctl_open(c);
    if (rc != CTL_DONE) return rc;
    struct http_sink *s = mem_zalloc(sizeof *s);
    if (s) *s = (struct http_sink){.l = l, .ctl = c, .flight = ctl_flight_new(c)};
    if (!s || !s->flight) {
        mem_free(s);
        ctl_say("no memory");
        return CTL_FAILED;
    }
    *out = (struct load_sink){
        .in_flight = 1, .submit = submit, .settle = settle, .work = work, .close = close_sink, .impl = s};
    return CTL_DONE;
}

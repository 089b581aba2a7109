/* POST /v1/events: a body taken apart, each event judged, the good ones made durable, then the reply.
 *
 * Into the own log an event goes behind its arrival time (event_write_line). Into Kafka it goes as it came, for the
 * arrival field is the own log's alone; one without a time gets a ts member, so that it means the same later. */
#include <stdio.h>
#include <string.h>

#include "daemon/api_event_line.h"
#include "daemon/api_priv.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define LISTED        100 /* rejected events described in a reply */
#define LINE_OVERHEAD 128 /* bytes that an event may grow by */

const char *const api_intake_outcomes[API_INTAKE_OUTCOMES] = {
    [API_INTAKE_OK] = "durable",        [API_INTAKE_ALL_REJECTED] = "all_rejected",
    [API_INTAKE_BAD_BODY] = "bad_body", [API_INTAKE_TOO_MANY] = "too_many_events",
    [API_INTAKE_FULL] = "queue_full",   [API_INTAKE_UNKNOWN] = "outcome_unknown",
    [API_INTAKE_FAILED] = "not_stored", [API_INTAKE_DISK_FULL] = "disk_full",
    [API_INTAKE_OFF] = "no_intake",
};

struct post { /* one request, from its body to its reply */
    struct intake_job job;
    struct api_seat *seat;
    struct http_exchange *x; /* NULL once replied to */
    int64_t arrival_ms;
    size_t n, max, without_id, n_rejected;
    uint64_t rejected[EVENT_REASONS];
    struct buf list; /* of rejected events, JSON */
};

static struct post *post_new(struct api_seat *s, struct http_exchange *x, size_t body_bytes) {
    struct post *p = mem_zalloc(sizeof *p);
    if (!p) return NULL;
    size_t max = s->api->max_batch;
    uint64_t limit = body_bytes + (uint64_t)max * LINE_OVERHEAD;
    if (limit > UINT32_MAX) limit = UINT32_MAX;
    p->seat = s;
    p->x = x;
    p->max = max;
    p->arrival_ms = clock_wall_ms();
    p->job.reply_to = s->mailbox;
    p->job.arg = p;
    buf_init(&p->job.lines, (size_t)limit);
    buf_init(&p->job.keys, (size_t)limit);
    buf_init(&p->list, 1u << 20);
    return p;
}

static void post_free(struct post *p) {
    buf_free(&p->job.lines);
    buf_free(&p->job.keys);
    buf_free(&p->list);
    mem_free(p->job.events);
    mem_free(p);
}

static void reply_error(struct post *p, enum api_intake_outcome outcome, int status, const char *message,
                        const char *field, const char *limit, const char *headers) {
    api_count(&p->seat->api->intake[outcome], 1);
    http_reply_error(p->x, status, api_intake_outcomes[outcome], message, field, limit, headers);
    p->x = NULL;
}

static void reject(struct post *p, enum event_reason reason, const struct err *e) {
    p->rejected[reason]++;
    if (++p->n_rejected > LISTED) return;
    struct buf *b = &p->list;
    buf_add_str(b, p->n_rejected > 1 ? ",{\"index\":" : "{\"index\":");
    buf_add_u64(b, p->n);
    buf_add_str(b, ",\"reason\":");
    buf_add_json(b, slice_str(event_reason_name(reason)));
    buf_add_str(b, ",\"field\":");
    if (e->field[0])
        buf_add_json(b, slice_str(e->field));
    else
        buf_add_str(b, "null");
    buf_add_str(b, ",\"message\":");
    buf_add_json(b, slice_str(e->text));
    buf_add_char(b, '}');
}

static int room_for_one(struct intake_job *job) {
    if (job->n_events < job->cap_events) return 0;
    size_t cap = job->cap_events ? 2 * job->cap_events : 64;
    struct intake_event *events = mem_realloc(job->events, cap * sizeof *events);
    if (!events) return ERR_NOMEM;
    job->events = events;
    job->cap_events = cap;
    return 0;
}

/* Appends one accepted event to the job. */
static int accept_event(struct post *p, struct slice json, const struct event *ev) {
    struct intake_job *job = &p->job;
    if (room_for_one(job) < 0) return ERR_NOMEM;
    struct intake_event *at = &job->events[job->n_events];
    at->line_start = (uint32_t)job->lines.n;
    at->key_start = (uint32_t)job->keys.n;
    if (p->seat->api->to_kafka)
        api_event_as_came(json, ev->ts_ms == API_EVENT_WITHOUT_TIME ? p->arrival_ms : EVENT_NO_TIME,
                          p->seat->api->d->engine->rules.ts.name[0], &job->lines);
    else
        event_write_line(json, p->arrival_ms, &job->lines);
    buf_add_char(&job->lines, '\n');
    buf_add_slice(&job->keys, ev->user);
    if (job->lines.failed || job->keys.failed) return ERR_NOMEM;
    at->line_bytes = (uint32_t)(job->lines.n - at->line_start);
    at->key_bytes = (uint32_t)(job->keys.n - at->key_start);
    job->n_events++;
    p->without_id += ev->id.n == 0;
    return 0;
}

/* event_split's callback: the verdict on one record. */
static int take_record(void *arg, struct slice json) {
    struct post *p = arg;
    struct api_seat *s = p->seat;
    const struct event_rules *rules = &s->api->d->engine->rules;
    struct event_context c = {
        .rules = rules, .allow = s->api->allow[s->listener], .default_type = -1, .record_ms = API_EVENT_WITHOUT_TIME};
    struct event ev;
    struct err e = {0};
    if (p->n == p->max) return ERR_FULL;
    event_arena_reset(s->arena);
    enum event_reason reason = event_decode(json, &c, s->arena, &ev, &e);
    if (reason == EVENT_NO_MEMORY) return ERR_NOMEM;
    size_t start = p->job.lines.n;
    int rc = reason == EVENT_OK ? accept_event(p, json, &ev) : 0;
    if (rc < 0) return rc;
    size_t bytes = p->job.lines.n - start;
    if (reason == EVENT_OK && s->api->to_kafka && bytes - 1 > rules->max_event_bytes) {
        p->job.lines.n = start; /* with its time it has become too long for its reader */
        p->job.keys.n = p->job.events[--p->job.n_events].key_start;
        p->without_id -= ev.id.n == 0;
        reason = EVENT_TOO_LONG;
        err_set(&e, ERR_RANGE, NULL, "with the arrival time %zu bytes, allowed: %zu", bytes - 1,
                rules->max_event_bytes);
    }
    if (reason != EVENT_OK) reject(p, reason, &e);
    p->n++;
    return 0;
}

/* The body of a 200, and of a 400 when every event was rejected. */
static void reply_counts(struct post *p) {
    struct api *a = p->seat->api;
    bool none = p->job.n_events == 0 && p->n_rejected > 0;
    struct buf b;
    buf_init(&b, p->list.n + 4096);
    buf_add_char(&b, '{');
    if (none)
        buf_add_str(&b, "\"error\":{\"code\":\"all_rejected\",\"message\":\"no event was accepted; see "
                        "rejected\",\"field\":null,\"limit\":null},");
    buf_printf(&b, "\"accepted\":%zu,\"without_id\":%zu,\"rejected_total\":%zu,\"rejected\":[", p->job.n_events,
               p->without_id, p->n_rejected);
    buf_add(&b, p->list.p, p->list.n);
    buf_add_str(&b, "]}");
    b.failed |= p->list.failed;
    api_count(&a->accepted, p->job.n_events);
    api_count(&a->without_id, p->without_id);
    for (int k = 0; k < EVENT_REASONS; k++)
        if (p->rejected[k]) api_count(&a->rejected[k], p->rejected[k]);
    api_count(&a->intake[none ? API_INTAKE_ALL_REJECTED : API_INTAKE_OK], 1);
    api_send(p->x, none ? 400 : 200, &b);
    p->x = NULL;
    buf_free(&b);
}

static void job_done(struct intake_job *job) {
    struct post *p = job->arg;
    atomic_fetch_sub(&p->seat->jobs, 1);
    switch (job->result) {
    case INTAKE_DURABLE:
        reply_counts(p);
        break;
    case INTAKE_UNKNOWN:
        reply_error(p, API_INTAKE_UNKNOWN, 503,
                    "it is not known whether the events became durable: repeat them with the same ids", NULL, NULL,
                    "Retry-After: 1\r\n");
        break;
    case INTAKE_DISK_FULL:
        reply_error(p, API_INTAKE_DISK_FULL, 507, job->error, NULL, NULL, NULL);
        break;
    case INTAKE_LOG_FULL:
        reply_error(p, API_INTAKE_DISK_FULL, 507, job->error, NULL, "log.max_bytes", NULL);
        break;
    case INTAKE_FAILED:
        reply_error(p, API_INTAKE_FAILED, 503, job->error[0] ? job->error : "the events could not be stored", NULL,
                    NULL, "Retry-After: 1\r\n");
    }
    post_free(p);
}

static void refuse_stopping(struct post *p) {
    api_count(&p->seat->api->intake[API_INTAKE_OFF], 1);
    http_reply_error(p->x, 503, "stopping", "the daemon is stopping: repeat later", NULL, NULL, "Retry-After: 1\r\n");
    p->x = NULL;
}

/* Hands the job over; true when the reply will come later. */
static bool submit(struct post *p) {
    struct daemon *d = p->seat->api->d;
    p->job.done = job_done;
    p->job.deadline_ns = clock_steady_ns() + p->seat->api->deadline_ns;
    int rc = intake_submit(d->intake, &p->job);
    if (rc == 0) {
        atomic_fetch_add(&p->seat->jobs, 1);
        return true;
    }
    if (rc == ERR_FULL)
        reply_error(p, API_INTAKE_FULL, 429, "too many events wait to become durable: repeat later", NULL,
                    "intake.queue_bytes", "Retry-After: 1\r\n");
    else if (rc == ERR_DENIED)
        refuse_stopping(p);
    else
        reply_error(p, API_INTAKE_FAILED, 503, "the intake cannot take events just now", NULL, NULL,
                    "Retry-After: 1\r\n");
    return false;
}

static void refuse_body(struct post *p, int rc, const struct err *e) {
    char limit[24], text[96];
    snprintf(limit, sizeof limit, "%zu", p->max);
    snprintf(text, sizeof text, "more than intake.max_batch = %zu events in one request", p->max);
    if (rc == ERR_FULL)
        reply_error(p, API_INTAKE_TOO_MANY, 413, text, NULL, limit, NULL);
    else if (rc == ERR_NOMEM)
        reply_error(p, API_INTAKE_FAILED, 503, "no memory for the events", NULL, NULL, "Retry-After: 1\r\n");
    else
        reply_error(p, API_INTAKE_BAD_BODY, 400, e->text, NULL, NULL, NULL);
}

API_HANDLER(api_post_events) {
    struct api_seat *s = seat;
    struct err e = {0};
    if (!api_known_params(x, r, "")) return;
    if (!s->api->d->intake || atomic_load(&s->api->d->stopping)) {
        bool off = !s->api->d->intake;
        api_count(&s->api->intake[API_INTAKE_OFF], 1);
        http_reply_error(x, 503, off ? "no_intake" : "stopping",
                         off ? "neither the own log nor Kafka is configured" : "the daemon is stopping: repeat later",
                         NULL, NULL, "Retry-After: 1\r\n");
        return;
    }
    struct post *p = post_new(s, x, r->body.n);
    if (!p) {
        http_reply_error(x, 503, "no_memory", "no memory for the events", NULL, NULL, "Retry-After: 1\r\n");
        return;
    }
    int rc = event_split(r->body, take_record, p, &e);
    if (rc < 0)
        refuse_body(p, rc, &e);
    else if (p->job.n_events == 0)
        reply_counts(p);
    else if (submit(p))
        return;
    post_free(p);
}

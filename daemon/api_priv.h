/* What the files api_*.c share. */
#ifndef RANKD_DAEMON_API_PRIV_H
#define RANKD_DAEMON_API_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/api.h"
#include "daemon/histogram.h"
#include "daemon/mailbox.h"
#include "lib/base/buf.h"
#include "lib/model/factors.h"
#include "lib/model/recommend.h"
#include "proto/request.h"

#define API_DEFAULT_K        20
#define API_DEFAULT_EXTREMES 5     /* items at each end of a factor */
#define API_LIST_TEXT        65536 /* bytes of a list in a query, and its NUL */
#define API_MAX_LIST         (API_LIST_TEXT / 2)
#define API_JSON             "application/json"
#define API_MAX_ROUTES       24

enum api_listener { API_PUBLIC, API_ADMIN, API_LISTENERS };

/* Every route but /metrics; the first api_n_public of them are the public ones. */
extern const struct http_route api_routes[];
extern const size_t api_n_public, api_n_routes;

enum api_intake_outcome { /* of requests to POST /v1/events */
                          API_INTAKE_OK,
                          API_INTAKE_ALL_REJECTED,
                          API_INTAKE_BAD_BODY,
                          API_INTAKE_TOO_MANY,
                          API_INTAKE_FULL,
                          API_INTAKE_UNKNOWN,
                          API_INTAKE_FAILED,
                          API_INTAKE_DISK_FULL,
                          API_INTAKE_OFF,
                          API_INTAKE_OUTCOMES
};
extern const char *const api_intake_outcomes[API_INTAKE_OUTCOMES];

struct api_lag; /* daemon/api_lag.h */

struct api {
    struct daemon *d;
    uint32_t allow[API_LISTENERS]; /* EVENT_ALLOW bits of POST /v1/events */
    bool to_kafka;                 /* events leave as they came; see api_events.c */
    size_t max_batch;              /* intake.max_batch */
    uint64_t deadline_ns;          /* intake.deadline */
    struct api_lag *lag;           /* main thread */

    /* any thread */
    struct histogram latency[API_LISTENERS][API_MAX_ROUTES + 1]; /* by route; [api_n_routes]: no such route */
    _Atomic uint64_t accepted, without_id, rejected[EVENT_REASONS];
    _Atomic uint64_t intake[API_INTAKE_OUTCOMES];
    _Atomic uint64_t basis[RECOMMEND_POPULAR + 1]; /* recommend answers */
    _Atomic uint64_t unknown_items;
    _Atomic int64_t lag_ms; /* of the source furthest behind; written by api_lag */
};

struct api_digest;

struct api_seat { /* one answering thread; handlers get it as arg */
    struct api *api;
    enum api_listener listener;
    struct event_base *base;
    struct mailbox *mailbox;
    struct recommend *recommend;
    struct event_arena *arena;
    struct api_digest *digest; /* admin alone */
    _Atomic unsigned jobs;     /* deferred replies under way */
    int64_t as_of_ms;          /* what as_of says */
    char as_of[34];            /* in quotes, or null */

    /* scratch of one request */
    char user[REQUEST_MAX_ID + 1], item[REQUEST_MAX_ID + 1], history_text[API_LIST_TEXT], exclude_text[API_LIST_TEXT],
        cart_text[API_LIST_TEXT];
    struct slice history[API_MAX_LIST], exclude[API_MAX_LIST], cart[API_MAX_LIST];
};

int api_seat_new(struct api *a, enum api_listener listener, struct event_base *base, unsigned reader,
                 struct api_seat **out, struct err *e) ERR_MUST_CHECK;
/* Runs what its mailbox still holds first. The servers that used it are gone. */
void api_seat_free(struct api_seat *s);
/* Options of a server of this seat's listener: routes, limits, hosts, stats, tokens. */
struct http_server_options api_server_options(struct api_seat *s, const struct http_tokens *tokens);

/* --- api_json.c: parameters in, JSON out --- */

/* False after a 400 was sent: a parameter not in the list known ("" = none). */
bool api_known_params(struct http_exchange *x, const struct http_request *r, const char *known);
/* 1 found, 0 absent, negative after an error was sent. */
int api_param_id(struct http_exchange *x, const struct http_request *r, const char *name, char out[REQUEST_MAX_ID + 1],
                 struct slice *id) ERR_MUST_CHECK;
int api_param_int(struct http_exchange *x, const struct http_request *r, const char *name, int64_t min, int64_t max,
                  int64_t *out) ERR_MUST_CHECK;
int api_param_flag(struct http_exchange *x, const struct http_request *r, const char *name, bool *out) ERR_MUST_CHECK;
/* Ids separated by commas, at most max of them. */
int api_param_list(struct http_exchange *x, const struct http_request *r, const char *name, char text[API_LIST_TEXT],
                   struct slice *ids, size_t max, size_t *n) ERR_MUST_CHECK;

/* Splits text at commas into checked ids. ERR_FULL past max, ERR_RANGE by the length of an id, ERR_SYNTAX. */
int api_split_list(struct slice text, const char *name, struct slice *ids, size_t max, size_t *n,
                   struct err *e) ERR_MUST_CHECK;
/* A decimal integer without sign (but '-'), blanks or leading zeros. False: none, or out of int64's range. */
bool api_parse_int(const char *text, int64_t *out);

/* ,"generation":..,"sequence":..,"durable_sequence":..,"as_of":.. Call api_mark before the model is asked. */
struct api_mark {
    uint64_t generation, sequence, durable;
    int64_t clock_ms;
};
struct api_mark api_mark(const struct daemon *d);
void api_add_mark(struct api_seat *s, const struct api_mark *m, struct buf *b);
/* "items":[{"item":..,"score":..},..], with "terms" and "because" where the answer has reasons */
void api_add_items(const struct recommend_answer *a, struct buf *b);

/* Sends what was built; 500 when the buffer ran out of memory. */
void api_send(struct http_exchange *x, int status, const struct buf *b);
/* The reply to a failed call of the model or the store. */
void api_send_err(struct http_exchange *x, const struct err *e);
/* An RFC 3339 time in quotes, null when ms is out of range. */
void api_add_time(struct buf *b, int64_t ms);

/* --- handlers --- */
#define API_HANDLER(name) void name(struct http_exchange *x, const struct http_request *r, void *seat)
API_HANDLER(api_get_recommend);
API_HANDLER(api_post_recommend);
API_HANDLER(api_get_similar);
API_HANDLER(api_get_popular);
API_HANDLER(api_get_factors);
API_HANDLER(api_post_score);
API_HANDLER(api_healthz);
API_HANDLER(api_readyz);
API_HANDLER(api_post_events);
API_HANDLER(api_get_status);
API_HANDLER(api_get_digest);
API_HANDLER(api_post_checkpoint);
API_HANDLER(api_post_pause);
API_HANDLER(api_post_resume);
API_HANDLER(api_get_bad_events);
API_HANDLER(api_get_config);

/* Digests and checkpoints that are being waited for; on the main base. stop refuses new ones and those that wait for a
 * checkpoint; join also waits for the helper thread, whose last letter is then in the seat's mailbox; free comes after
 * the seat's. */
int api_digest_new(struct api_seat *s, struct api_digest **out, struct err *e) ERR_MUST_CHECK;
void api_digest_stop(struct api_digest *g);
void api_digest_join(struct api_digest *g);
void api_digest_free(struct api_digest *g);

/* --- figures that status and metrics share --- */
static inline uint64_t api_load(const _Atomic uint64_t *v) { return atomic_load_explicit(v, memory_order_relaxed); }
static inline void api_count(_Atomic uint64_t *v, uint64_t n) { atomic_fetch_add_explicit(v, n, memory_order_relaxed); }

struct api_memory {
    uint64_t rss, rss_anon; /* bytes; 0 when unknown */
};
struct api_memory api_memory(void);

#define API_EVENT_BYTES 128.0 /* of a mean event, before any came in over HTTP */
double api_event_bytes(const struct daemon *d);
double api_unsaved_seconds(const struct daemon *d, uint64_t now_ns);

/* What a cohort of live quality is called: by = "all", "basis", "history" or "type". False: no such type. */
bool api_quality_cohort(const struct engine *g, uint32_t cohort, const char **by, const char **part);
/* ,"quality":{..},"drift":{..} of /admin/status */
void api_add_quality(const struct engine *g, struct buf *b);

const char *api_source_state(int state);
struct slice api_stop_reason(const struct source *s); /* empty while it runs */

#endif

/* POST /admin/checkpoint and GET /admin/digest: replies that wait for a checkpoint, and the thread that reads the
 * store. */
#include <event2/event.h>
#include <pthread.h>
#include <string.h>

#include "daemon/api_priv.h"
#include "daemon/digest.h"
#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define POLL_MS     5
#define WAIT_MS     120000 /* longest wait for one checkpoint */
#define MAX_WAITING 64

struct waiting { /* for a checkpoint */
    struct waiting *next;
    struct http_exchange *x;
    uint64_t ticket, since_ns;
    bool digest;
};

struct api_digest {
    struct api_seat *seat;
    struct event *poll; /* pending while first is set */
    struct waiting *first;
    size_t n_waiting;
    bool stopped;

    /* the digest under way: at most one, from its request to its reply */
    bool busy, started;
    pthread_t thread;
    struct http_exchange *x;
    struct letter letter;
    struct digest result; /* helper thread until the letter arrives */
    int rc;
    struct err err;
};

static const struct timeval poll_time = {0, POLL_MS * 1000};

static void reply_digest(void *arg) {
    struct api_digest *g = arg;
    if (g->started) pthread_join(g->thread, NULL);
    g->started = g->busy = false;
    if (g->rc < 0) {
        api_send_err(g->x, &g->err);
        return;
    }
    struct buf b;
    buf_init(&b, 4096);
    buf_printf(&b, "{\"digest\":\"%s\",\"sequence\":%llu,\"generation\":%llu}", g->result.hex,
               (unsigned long long)g->result.sequence, (unsigned long long)g->result.generation);
    api_send(g->x, 200, &b);
    buf_free(&b);
}

static void *compute(void *arg) {
    struct api_digest *g = arg;
    g->rc = digest_compute(g->seat->api->d->store, &g->result, &g->err);
    mailbox_post(g->seat->mailbox, &g->letter);
    return NULL;
}

static void start_digest(struct api_digest *g, struct http_exchange *x) {
    g->x = x;
    g->err = (struct err){0};
    g->letter = (struct letter){.fn = reply_digest, .arg = g};
    g->started = pthread_create(&g->thread, NULL, compute, g) == 0;
    if (g->started) {
        pthread_setname_np(g->thread, "digest");
        return;
    }
    g->rc = err_set(&g->err, ERR_NOMEM, "digest", "the digest's thread cannot be started");
    reply_digest(g);
}

static void reply_checkpoint(const struct api_digest *g, const struct waiting *w) {
    const struct daemon *d = g->seat->api->d;
    const struct learner_stats *l = learner_stats(d->learner);
    struct buf b;
    buf_init(&b, 4096);
    buf_printf(&b, "{\"durable_sequence\":%llu,\"sequence\":%llu,\"bytes\":%llu,\"write_ms\":",
               (unsigned long long)api_load(&d->engine->durable_sequence),
               (unsigned long long)api_load(&d->engine->durable_sequence),
               (unsigned long long)api_load(&l->last_checkpoint_bytes));
    buf_add_double(&b, (double)api_load(&l->last_checkpoint_ns) / 1e6);
    buf_add_str(&b, ",\"ms\":");
    buf_add_double(&b, (double)((clock_steady_ns() - w->since_ns) / 1000) / 1e3);
    buf_add_char(&b, '}');
    api_send(w->x, 200, &b);
    buf_free(&b);
}

/* The end of one wait; rc as of learner_checkpoint_done, not 0. */
static void settle(struct api_digest *g, struct waiting *w, int rc, const struct err *e) {
    if (rc < 0) {
        if (w->digest) g->busy = false;
        api_send_err(w->x, e);
    } else if (w->digest) {
        start_digest(g, w->x);
    } else {
        reply_checkpoint(g, w);
    }
    g->n_waiting--;
    mem_free(w);
}

static int look(const struct api_digest *g, const struct waiting *w, struct err *e) {
    if (g->stopped) return err_set(e, ERR_AGAIN, NULL, "the daemon is stopping");
    int rc = learner_checkpoint_done(g->seat->api->d->learner, w->ticket, e);
    if (rc != 0 || clock_steady_ns() - w->since_ns < UINT64_C(1000000) * WAIT_MS) return rc;
    return err_set(e, ERR_AGAIN, NULL, "no checkpoint within %d s; see /admin/status", WAIT_MS / 1000);
}

static void look_at_all(struct api_digest *g) {
    for (struct waiting **at = &g->first, *w; (w = *at);) {
        struct err e = {0};
        int rc = look(g, w, &e);
        if (rc == 0) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        settle(g, w, rc, &e);
    }
}

static void on_poll(evutil_socket_t fd, short what, void *arg) {
    struct api_digest *g = arg;
    (void)fd;
    (void)what;
    look_at_all(g);
    if (g->first) (void)event_add(g->poll, &poll_time);
}

static void wait_for_checkpoint(struct api_digest *g, struct http_exchange *x, bool digest) {
    struct waiting *w = g->n_waiting < MAX_WAITING && !g->stopped ? mem_zalloc(sizeof *w) : NULL;
    if (!w) {
        http_reply_error(x, 429, "busy", "too many requests wait for a checkpoint", NULL, NULL, "Retry-After: 1\r\n");
        return;
    }
    *w = (struct waiting){.next = g->first, .x = x, .since_ns = clock_steady_ns(), .digest = digest};
    w->ticket = learner_request_checkpoint(g->seat->api->d->learner);
    g->first = w;
    g->n_waiting++;
    if (digest) g->busy = true;
    if (!event_pending(g->poll, EV_TIMEOUT, NULL)) (void)event_add(g->poll, &poll_time);
}

API_HANDLER(api_post_checkpoint) {
    struct api_seat *s = seat;
    if (api_known_params(x, r, "")) wait_for_checkpoint(s->digest, x, false);
}

API_HANDLER(api_get_digest) {
    struct api_seat *s = seat;
    if (!api_known_params(x, r, "")) return;
    if (s->digest->busy)
        http_reply_error(x, 429, "busy", "a digest is being computed; one at a time", NULL, NULL, "Retry-After: 1\r\n");
    else
        wait_for_checkpoint(s->digest, x, true);
}

int api_digest_new(struct api_seat *s, struct api_digest **out, struct err *e) {
    struct api_digest *g = mem_zalloc(sizeof *g);
    if (!g) return err_set(e, ERR_NOMEM, "api", "no memory");
    g->seat = s;
    g->poll = event_new(s->base, -1, 0, on_poll, g);
    if (!g->poll) {
        mem_free(g);
        return err_set(e, ERR_NOMEM, "api", "libevent refused a timer");
    }
    *out = g;
    return 0;
}

void api_digest_stop(struct api_digest *g) {
    g->stopped = true;
    look_at_all(g);
}

void api_digest_join(struct api_digest *g) {
    api_digest_stop(g);
    if (g->started) pthread_join(g->thread, NULL); /* its letter is in the mailbox */
    g->started = false;
}

void api_digest_free(struct api_digest *g) {
    if (!g) return;
    CHECK(!g->first && !g->busy);
    event_free(g->poll);
    mem_free(g);
}

/* Signals, reloading, and watching over the parts while the daemon runs. */
#include <event2/event.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "daemon/run_priv.h"
#include "lib/base/clock.h"

#define TICK_MS      250
#define STALL_WARN_S 30

static void on_stop(evutil_socket_t fd, short what, void *arg) {
    struct run *r = arg;
    (void)fd;
    (void)what;
    event_base_loopbreak(r->base);
}

static void rerun_load_tokens(struct run *r) {
    struct http_tokens *fresh, *fresh_admin;
    struct err e;
    if (run_load_tokens(r->d.config.http_tokens_file, &fresh, &e) < 0) {
        log_err(LOG_ERROR, "reload_failed", &e);
        return;
    }
    if (run_load_tokens(r->d.config.admin_token_file, &fresh_admin, &e) < 0) {
        http_tokens_free(fresh);
        log_err(LOG_ERROR, "reload_failed", &e);
        return;
    }
    workers_set_tokens(r->workers, fresh);
    api_admin_set_tokens(r->admin, fresh_admin);
    http_tokens_free(r->tokens);
    http_tokens_free(r->admin_tokens);
    r->tokens = fresh;
    r->admin_tokens = fresh_admin;
}

/* Made here, where the configuration is; the learner puts them in force, if they say anything new. */
static void rerun_load_rules(struct run *r) {
    struct reweight *w;
    struct err e;
    if (reweight_new(&r->d.config, &r->d.engine->rules, &w, &e) < 0) {
        log_err(LOG_ERROR, "reload_failed", &e);
        return;
    }
    learner_set_rules(r->d.learner, w);
}

static void apply_reloaded(struct run *r) {
    struct daemon *d = &r->d;
    const struct config *c = &d->config;
    struct http_limits limits = api_limits(c);
    enum log_level level;
    if (log_parse_level(c->log_level, &level)) log_set_level(level);
    atomic_store(&d->max_k, c->http_max_k);
    atomic_store(&d->max_items, c->http_max_items);
    atomic_store(&d->ready_max_lag_ms, c->ready_max_lag_ms);
    workers_set_limits(r->workers, &limits);
    if (workers_set_hosts(r->workers, c->http_hosts) < 0)
        log_line(LOG_ERROR, "reload_failed", " option=http.hosts error=\"no memory\"");
    api_admin_set_limits(r->admin, &limits);
    if (r->metrics) api_metrics_set_limits(r->metrics, &limits);
    learner_set_budget(d->learner, c);
    if (d->intake) intake_set_limits(d->intake, c->log_retain_bytes, c->log_max_bytes);
    rerun_load_tokens(r);
    rerun_load_rules(r);
}

static void on_reload(evutil_socket_t sig, short what, void *arg) {
    struct run *r = arg;
    struct config next;
    struct buf refused;
    struct err e;
    (void)sig;
    (void)what;
    if (config_load(&next, r->args.config_path, r->args.overrides, r->args.n_overrides, &e) < 0) {
        log_err(LOG_ERROR, "reload_failed", &e);
        return;
    }
    buf_init(&refused, 64u << 10);
    config_reload(&r->d.config, &next, &refused);
    apply_reloaded(r);
    for (char *line = refused.p, *end; line && *line; line = end + 1) {
        end = strchr(line, '\n');
        log_line(LOG_WARN, "reload_refused", " option=%.*s detail=\"takes effect at the next start\"",
                 (int)(end ? end - line : (long)strlen(line)), line);
        if (!end) break;
    }
    log_line(LOG_INFO, "reloaded", " refused=%s", refused.n ? "some" : "none");
    buf_free(&refused);
    config_free(&next);
}

/* How long the last unclean end took to learn again: until every source has been read to the end it had at the start.
 */
static void watch_replay(struct run *r) {
    if (!r->unclean || r->d.replay_after_crash_ns) return;
    for (size_t k = 0; k < r->d.n_sources; k++) {
        struct source *s = &r->d.sources[k];
        int state = atomic_load_explicit(&s->state, memory_order_relaxed);
        if (state == SOURCE_STARTING) return;
        uint32_t n = atomic_load_explicit(&s->n_partitions, memory_order_relaxed);
        for (uint32_t p = 0; p < n && state == SOURCE_RUNNING; p++)
            if (source_position(s, p) < atomic_load_explicit(&s->end[p], memory_order_relaxed)) return;
    }
    if (inbox_bytes(r->d.inbox)) return;
    r->d.replay_after_crash_ns = clock_steady_ns() - r->sources_started_ns;
    log_line(LOG_INFO, "replay_after_crash", " seconds=%.3f", (double)r->d.replay_after_crash_ns / 1e9);
}

static void watch_learner(struct run *r) {
    const struct learner_stats *s = learner_stats(r->d.learner);
    int64_t last = atomic_load_explicit(&s->last_record_wall_ms, memory_order_relaxed), now = clock_wall_ms();
    if (inbox_bytes(r->d.inbox) && !learner_paused(r->d.learner) && last && now - last > STALL_WARN_S * 1000)
        log_limited(&r->stall_limit, LOG_ERROR, "learner_stalled",
                    " seconds=%lld action=\"see checkpoint_failed and learn_failed; serving goes on\"",
                    (long long)(now - last) / 1000);
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    struct run *r = arg;
    (void)fd;
    (void)what;
    watch_replay(r);
    watch_learner(r);
}

int tend_start(struct run *r, struct err *e) {
    const struct timeval tick = {TICK_MS / 1000, TICK_MS % 1000 * 1000};
    r->end = event_new(r->base, r->stop.fd, EV_READ, on_stop, r);
    r->reload = evsignal_new(r->base, SIGHUP, on_reload, r);
    if (!r->end || !r->reload || event_add(r->end, NULL) != 0 || event_add(r->reload, NULL) != 0)
        return err_set(e, ERR_IO, "signals", "signals cannot be watched");
    stop_take_reloads();
    r->tick = event_new(r->base, -1, EV_PERSIST, on_tick, r);
    if (!r->tick || event_add(r->tick, &tick) != 0) return err_set(e, ERR_NOMEM, "timer", "no memory");
    return watchdog_start(r->base, r->d.http_bound, &r->watchdog, e);
}

void tend_free(struct run *r) {
    watchdog_free(r->watchdog);
    if (r->end) event_free(r->end);
    if (r->reload) event_free(r->reload);
    if (r->tick) event_free(r->tick);
}

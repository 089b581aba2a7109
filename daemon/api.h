/* What rankd answers over HTTP: the routes of the public, the admin and the metrics listener.
 *
 * One struct api holds what all listeners of a daemon share. Each thread that answers has one struct api_seat: its
 * event_base, mailbox, recommend scratch and epoch reader number. Order at the end: stop the listeners
 * (workers_stop, api_admin_stop), then intake_stop, then workers_free, api_admin_free, api_metrics_free, api_free: an
 * intake job that is still under way answers to a seat, which therefore outlives the intake. */
#ifndef RANKD_DAEMON_API_H
#define RANKD_DAEMON_API_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/daemon.h"
#include "daemon/http.h"
#include "lib/base/err.h"

struct event_base;
struct api;
struct api_admin;
struct api_metrics;

/* Main thread, after engine, learner, intake and sources of d are made (their pointers do not change afterwards) and
 * before any listener. d outlives it. ERR_NOMEM. */
int api_new(struct daemon *d, struct api **out, struct err *e) ERR_MUST_CHECK;
void api_free(struct api *a); /* NULL is fine */

/* The limits of a listener as a configuration says; for start and reload. */
struct http_limits api_limits(const struct config *c);

/* The admin listener, on the main thread and its base: every public route, all event types, /admin routes. fd_unix and
 * fd_tcp come from http_listen_unix and http_listen_tcp and are taken over whatever happens; fd_tcp is -1 when there
 * is none and needs tokens (ERR_DENIED without). The unix socket asks for no token. Reader number DAEMON_READER_MAIN.
 */
int api_admin_start(struct api *a, struct event_base *base, int fd_unix, int fd_tcp, const struct http_tokens *tokens,
                    struct api_admin **out, struct err *e) ERR_MUST_CHECK;
void api_admin_set_limits(struct api_admin *m, const struct http_limits *l);
void api_admin_set_tokens(struct api_admin *m, const struct http_tokens *t); /* the old ones may then be freed */
void api_admin_stop(struct api_admin *m);                                    /* no new connections, no new digest */
unsigned api_admin_open(const struct api_admin *m); /* requests under way; run the base until 0 or a deadline */
void api_admin_free(struct api_admin *m);           /* after intake_stop; waits for a digest under way; NULL is fine */

/* The metrics listener, on the main thread and its base. fd is taken over whatever happens. */
int api_metrics_start(struct api *a, struct event_base *base, int fd, struct api_metrics **out,
                      struct err *e) ERR_MUST_CHECK;
void api_metrics_set_limits(struct api_metrics *m, const struct http_limits *l);
void api_metrics_free(struct api_metrics *m); /* NULL is fine */

#endif

/* The serving workers: threads that answer the public routes, each with its own event loop and listening socket. */
#ifndef RANKD_DAEMON_WORKER_H
#define RANKD_DAEMON_WORKER_H

#include <stdint.h>

#include "daemon/api.h"
#include "daemon/http.h"
#include "lib/base/err.h"

struct workers;

/* Starts http.workers threads on http.listen (SO_REUSEPORT; the first binds, the others bind the address it got) and
 * writes the bound address to d->http_bound. http.max_connections is shared out among them. tokens NULL: every request
 * may read and ingest; ERR_DENIED when the address is not loopback and http.public_without_token is no. Reader numbers
 * DAEMON_READER_WORKERS and up. ERR_IO, ERR_BUSY: as http_listen_tcp. Main thread. */
int workers_start(struct api *a, const struct http_tokens *tokens, struct workers **out, struct err *e) ERR_MUST_CHECK;

/* Main thread; return once every worker has taken them, so that old tokens may then be freed. */
void workers_set_limits(struct workers *w, const struct http_limits *l);
void workers_set_tokens(struct workers *w, const struct http_tokens *t);
int workers_set_hosts(struct workers *w, const char *hosts) ERR_MUST_CHECK; /* ERR_NOMEM: some keep the old ones */

/* Requests under way in all workers; asks each of them. Before workers_stop. */
unsigned workers_open(struct workers *w);

/* Stops accepting, lets requests under way end for at most limit_ms, then closes what is left and ends the threads. */
void workers_stop(struct workers *w, int64_t limit_ms);
/* After workers_stop (called with limit 0 if it was not) and after intake_stop. NULL is fine. */
void workers_free(struct workers *w);

#endif

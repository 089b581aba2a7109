/* The configured sources: which there are, what each may send, and their threads as one. */
#ifndef RANKD_DAEMON_SOURCES_H
#define RANKD_DAEMON_SOURCES_H

#include <stddef.h>

#include "daemon/config.h"
#include "daemon/source.h"
#include "lib/base/err.h"
#include "proto/event.h"

#define SOURCES_MAX 64

/* Fills out[0..*n): the own log if it is the embedded source, followed files, then Kafka topics. rules: of the engine.
 */
int sources_configure(const struct config *c, const struct event_rules *rules, struct source out[SOURCES_MAX],
                      size_t *n, struct err *e) ERR_MUST_CHECK;
void sources_done(struct source *sources, size_t n);

/* Fills what stands around the records of one source. */
struct event_context source_context(const struct source *s, const struct event_rules *rules);

struct sources; /* the threads */
/* log_dir: of the own log. One thread for each source, one for all of Kafka. */
int sources_new(const struct source_env *env, const char *log_dir, struct source *list, size_t n, struct sources **out,
                struct err *e) ERR_MUST_CHECK;
struct source_log *sources_log(const struct sources *s); /* NULL without an own log */
int sources_start(struct sources *s, struct err *e) ERR_MUST_CHECK;
void sources_join(struct sources *s); /* after *env->stopping was set and the inbox closed; wakes those that wait */
void sources_free(struct sources *s);

#endif

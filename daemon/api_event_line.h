/* The line that an accepted event becomes in Kafka: as it came, on one line, with a time. */
#ifndef RANKD_DAEMON_API_EVENT_LINE_H
#define RANKD_DAEMON_API_EVENT_LINE_H

#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/slice.h"

#define API_EVENT_WITHOUT_TIME INT64_C(-1) /* record_ms for the decoder: no event has this time of its own */

/* Appends a JSON object that was accepted, without blanks around it, line breaks outside strings as blanks; ts_ms other
 * than EVENT_NO_TIME goes in front as the member ts_name. No newline at the end. */
void api_event_as_came(struct slice json, int64_t ts_ms, const char *ts_name, struct buf *out);

#endif

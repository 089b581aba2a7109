/* Conditions on any member of an event, as an operator writes them: "campaign=summer|sale, context.device!=bot, beta".
 *
 * Comma-separated, all must hold. A condition is a path of member names separated by dots, then
 *   =VALUE|VALUE...    some value at the path is one of these
 *   !=VALUE|VALUE...   none is, which holds too where nothing stands at the path
 *   nothing            something stands there
 * Lists are looked through: a path goes on in each element, a list of values is each of them. A null stands for absent.
 * Text compares with text byte by byte, a number with the same number (17 and 1.7e1), true and false with their words;
 * text that looks like the value is equal to it, too. Spaces around names and values do not count. A backslash takes
 * the character after it as it is: \, \| \= \! \. \\ and a space. */
#ifndef RANKD_PROTO_EVENT_MATCH_H
#define RANKD_PROTO_EVENT_MATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/slice.h"

#define EVENT_MATCH_CONDITIONS 8 /* in one text */
#define EVENT_MATCH_STEPS      8 /* of a path */
#define EVENT_MATCH_VALUES     32

struct event_match;

/* ERR_SYNTAX, ERR_RANGE (more than the bounds above), with what is wrong and where; ERR_NOMEM. An empty text holds for
 * every event. */
int event_match_parse(const char *text, struct event_match **out, struct err *e) ERR_MUST_CHECK;
void event_match_free(struct event_match *m); /* NULL is fine */

/* Whether all conditions hold for the object. json: of an event that the decoder took, as it came; of anything else
 * the answer means nothing, but nothing beyond it is read. A member of the event's own is found under the name it has
 * there, whatever events.user and its like say. Thread-safe; no memory is asked for. */
bool event_match_holds(const struct event_match *m, struct slice json);

#endif

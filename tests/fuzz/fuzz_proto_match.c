/* Any bytes as conditions (the first line) and as the text of an event (the rest): a refusal names what is wrong,
 * nothing beyond the text is read, and a condition on one path holds exactly where its negation does not. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/event_match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) ((condition) ? (void)0 : abort())

static struct event_match *parse(const char *text) {
    struct event_match *m = NULL;
    struct err e = {0};
    int rc = event_match_parse(text, &m, &e);
    MUST(rc == 0 ? m != NULL : !m && e.code == rc && e.text[0]);
    return m;
}

/* The one condition of the text with != in place of =, or NULL. */
static struct event_match *negation(const char *text) {
    size_t n = strlen(text), at = 0;
    if (strchr(text, '\\') || strchr(text, ',') || strchr(text, '!')) return NULL;
    const char *equals = strchr(text, '=');
    if (!equals) return NULL;
    char *other = malloc(n + 2);
    MUST(other);
    for (const char *p = text; *p; p++) {
        if (p == equals) other[at++] = '!';
        other[at++] = *p;
    }
    other[at] = '\0';
    struct event_match *m = parse(other);
    free(other);
    return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    size_t n = end ? (size_t)(end - data) : size, rest = end ? size - n - 1 : 0;
    char *text = malloc(n + 1), *json = malloc(rest ? rest : 1);
    MUST(text && json);
    if (n) memcpy(text, data, n);
    text[n] = '\0';
    if (rest) memcpy(json, end + 1, rest);
    struct event_match *m = parse(text), *not = m ? negation(text) : NULL;
    if (m) {
        bool holds = event_match_holds(m, slice_of(json, rest));
        MUST(holds == event_match_holds(m, slice_of(json, rest)));
        if (not ) MUST(holds != event_match_holds(not, slice_of(json, rest)));
    }
    event_match_free(m);
    event_match_free(not );
    free(text);
    free(json);
    return 0;
}

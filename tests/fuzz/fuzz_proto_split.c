/* Any bytes as a body of POST /v1/events: records lie in the body, in order, and nothing but separators is left
 * out; stopping stops. */
#include "tests/unit/event_tools.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) ((condition) ? (void)0 : abort())

struct seen {
    struct slice body;
    const char *from; /* behind the last record */
    size_t records, stop_at;
};

/* Between records stand white space, commas and brackets only. */
static int see(void *arg, struct slice record) {
    struct seen *s = arg;
    MUST(record.p >= s->from && record.p + record.n <= s->body.p + s->body.n);
    for (const char *p = s->from; p < record.p; p++) MUST(strchr(" \t\r\n,[]", *p) && *p);
    s->from = record.p + record.n;
    return ++s->records == s->stop_at ? 7 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *exact = malloc(size ? size : 1);
    MUST(exact);
    if (size) memcpy(exact, data, size);
    struct err e = {0};
    struct seen s = {.body = slice_of(exact, size), .from = exact};
    const int rc = event_split(s.body, see, &s, &e);
    MUST(rc == 0 || (rc == ERR_SYNTAX && e.code == rc && e.text[0] && s.records == 0));
    if (rc == 0) {
        for (const char *p = s.from; p < exact + size; p++) MUST(strchr(" \t\r\n,[]", *p) && *p);
        for (size_t stop = 1; stop <= s.records && stop <= 3; stop++) {
            struct seen few = {.body = s.body, .from = exact, .stop_at = stop};
            MUST(event_split(few.body, see, &few, NULL) == 7 && few.records == stop);
        }
    }
    free(exact);
    return 0;
}

/* Any bytes as the head of a request: the verdict does not depend on cuts, and what is accepted can be read one way.
 *
 * The first byte chooses the bound of the head and the cuts; the rest is the request. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/http_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds) {
    if (!holds) abort();
}

/* Feeds pieces, each call with a copy of exactly the bytes so far; step 0 cuts at lengths drawn from seed. */
static struct http_parser feed(const char *text, size_t n, size_t step, uint32_t seed, size_t limit) {
    struct http_parser p;
    size_t have = 0;
    http_parse_init(&p, limit);
    do {
        seed = seed * 1664525U + 1013904223U;
        size_t piece = step ? step : (seed >> 24) + 1;
        have = n - have < piece ? n : have + piece;
        char *copy = malloc(have ? have : 1);
        must(copy != NULL);
        memcpy(copy, text, have);
        (void)http_parse(&p, copy, have);
        free(copy);
    } while (have < n);
    return p;
}

static int same_span(struct http_span a, struct http_span b) { return a.at == b.at && a.n == b.n; }

static void must_be_same(const struct http_parser *p, const struct http_parser *q) {
    const struct http_head *a = &p->head, *b = &q->head;
    must(p->verdict == q->verdict);
    if (p->verdict == HTTP_BAD)
        must(p->fault.status == q->fault.status && p->fault.message == q->fault.message &&
             p->fault.limit == q->fault.limit && a->method == b->method);
    if (p->verdict != HTTP_WHOLE) return;
    must(a->method == b->method && a->minor == b->minor && a->content_length == b->content_length);
    must(a->coding == b->coding && a->continues == b->continues && a->close == b->close && a->size == b->size);
    must(same_span(a->path, b->path) && same_span(a->query, b->query) && same_span(a->host, b->host));
    must(same_span(a->content_type, b->content_type) && same_span(a->authorization, b->authorization));
}

static int begins(const char *line, size_t n, const char *name) {
    return n >= strlen(name) && strncasecmp(line, name, strlen(name)) == 0;
}

/* The lines of an accepted head, judged again by other means. */
static void check_lines(const char *text, const struct http_head *h) {
    int hosts = 0, lengths = 0;
    const char *line = memchr(text, '\n', h->size), *end = text + h->size - 2;
    for (line++; line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        must(next != NULL && next - line >= 2);
        size_t n = (size_t)(next - line) - 1;
        const char *colon = memchr(line, ':', n);
        must(colon != NULL && colon > line && colon[-1] != ' ' && colon[-1] != '\t' && line[0] != ' ' &&
             line[0] != '\t');
        hosts += begins(line, n, "host:");
        must(!begins(line, n, "transfer-encoding:"));
        if (begins(line, n, "content-length:")) {
            char digits[32] = "";
            size_t value = n - 15 < 31 ? n - 15 : 31;
            memcpy(digits, line + 15, value);
            if (value < 18) must(strtoll(digits, NULL, 10) == h->content_length);
            must(!memchr(line, '+', n) && !memchr(line, ',', n));
            lengths++;
        }
        line = next + 1;
    }
    must(hosts == 1 && lengths == (h->content_length >= 0));
}

static void check_head(const char *text, const struct http_head *h, size_t limit) {
    must(h->size <= limit && h->size >= 4 && memcmp(text + h->size - 4, "\r\n\r\n", 4) == 0);
    for (size_t i = 0; i < h->size; i++) {
        must(text[i] != '\0' && (text[i] != '\n' || (i > 0 && text[i - 1] == '\r')));
        must(text[i] != '\r' || text[i + 1] == '\n');
        must(i + 4 >= h->size || memcmp(text + i, "\r\n\r\n", 4) != 0);
    }
    const struct http_span spans[] = {h->path, h->query, h->host, h->content_type, h->authorization};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) must(spans[i].at + spans[i].n <= h->size);
    must(h->host.n > 0 && h->path.n > 0 && text[h->path.at] == '/');
    must(h->close || h->minor == 1);
    char *path = malloc(h->path.n);
    must(path != NULL);
    ptrdiff_t decoded = http_decode(text + h->path.at, h->path.n, path, false);
    must(decoded > 0 && decoded <= HTTP_MAX_PATH && !memchr(path, '\0', (size_t)decoded));
    free(path);
    check_lines(text, h);
}

static void check_query(struct slice query) {
    char out[64];
    memset(out, 'x', sizeof out);
    int rc = http_query(query, "user", out, sizeof out);
    must(rc == 0 || rc == 1 || rc == ERR_SYNTAX || rc == ERR_RANGE);
    must(rc == 1 ? memchr(out, '\0', sizeof out) != NULL : out[0] == 'x');
    must(http_query_unknown(query, "user,k", out, sizeof out) == 0 || memchr(out, '\0', sizeof out) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    size_t limit = data[0] & 1 ? 64 + data[0] : 16384, n = size - 1;
    const char *text = (const char *)data + 1;
    struct http_parser whole = feed(text, n, n ? n : 1, 0, limit);
    struct http_parser bytes = feed(text, n < 2048 ? n : 2048, 1, 0, limit);
    struct http_parser drawn = feed(text, n, 0, data[0], limit);
    must_be_same(&whole, &drawn);
    if (n <= 2048) must_be_same(&whole, &bytes);
    if (whole.verdict == HTTP_BAD) must(whole.fault.status >= 400 && whole.fault.code && whole.fault.message);
    if (whole.verdict == HTTP_MORE) must(n < limit);
    if (whole.verdict == HTTP_WHOLE) {
        check_head(text, &whole.head, limit);
        check_query(slice_of(text + whole.head.query.at, whole.head.query.n));
        /* What follows the head is not looked at. */
        struct http_parser alone = feed(text, whole.head.size, whole.head.size, 0, limit);
        must_be_same(&whole, &alone);
    }
    check_query(slice_of(text, n));
    return 0;
}

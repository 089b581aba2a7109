/* Bearer tokens: a file of them, and a comparison that takes the same time for every guess. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/http_priv.h"
#include "lib/base/mem.h"

#define MIN_TOKEN 16
#define MAX_TOKEN 256
#define MAX_FILE  (1 << 20)

struct token {
    unsigned char bytes[MAX_TOKEN]; /* zero after n */
    size_t n;
    unsigned scopes; /* bit 1 << enum http_scope */
};

struct http_tokens {
    size_t n, cap;
    struct token *list; /* (cap) */
};

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* 1 when both are equal, else 0; the time does not depend on what they hold. */
static unsigned equal(const struct token *a, const struct token *b) {
    unsigned difference = (unsigned)(a->n ^ b->n);
    for (size_t i = 0; i < MAX_TOKEN; i++) difference |= a->bytes[i] ^ b->bytes[i];
    return (difference - 1U) >> 31;
}

static int bad_line(struct err *e, int code, const char *path, unsigned line, const char *what) {
    return err_set(e, code, "tokens_file", "%s:%u: %s", path, line, what);
}

static unsigned scope_of(struct slice word) {
    if (slice_is(word, "read")) return 1U << HTTP_READ;
    if (slice_is(word, "ingest")) return 1U << HTTP_INGEST;
    if (slice_is(word, "admin")) return 1U << HTTP_ADMIN;
    return 0;
}

static int read_scopes(struct slice s, unsigned *scopes) {
    while (s.n > 0) {
        const char *comma = memchr(s.p, ',', s.n);
        size_t n = comma ? (size_t)(comma - s.p) : s.n;
        unsigned scope = scope_of(slice_of(s.p, n));
        if (scope == 0 || (comma && n + 1 == s.n)) return ERR_SYNTAX;
        *scopes |= scope;
        n += comma ? 1 : 0;
        s = slice_of(s.p + n, s.n - n);
    }
    return *scopes ? 0 : ERR_SYNTAX;
}

static int add(struct http_tokens *t, const struct token *token) {
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 8;
        struct token *list = mem_alloc(cap * sizeof *list);
        if (!list) return ERR_NOMEM;
        if (t->n > 0) {
            memcpy(list, t->list, t->n * sizeof *list);
            explicit_bzero(t->list, t->n * sizeof *list);
            mem_free(t->list);
        }
        t->list = list;
        t->cap = cap;
    }
    t->list[t->n++] = *token;
    return 0;
}

/* One line without its LF; never shows the token. */
static int read_line(struct http_tokens *t, struct slice s, const char *path, unsigned line, struct err *e) {
    struct token token = {.n = 0};
    size_t n = 0;
    int rc = 0;
    while (s.n > 0 && is_blank(s.p[s.n - 1])) s.n--;
    if (s.n == 0 || s.p[0] == '#') return 0;
    while (n < s.n && !is_blank(s.p[n])) {
        if (s.p[n] < '!' || s.p[n] > '~') return bad_line(e, ERR_SYNTAX, path, line, "a token is printable ASCII");
        n++;
    }
    if (n == 0) return bad_line(e, ERR_SYNTAX, path, line, "a line begins with its token, in the first column");
    if (n < MIN_TOKEN || n > MAX_TOKEN) return bad_line(e, ERR_RANGE, path, line, "a token has 16 to 256 characters");
    memcpy(token.bytes, s.p, n);
    token.n = n;
    while (n < s.n && is_blank(s.p[n])) n++;
    rc = read_scopes(slice_of(s.p + n, s.n - n), &token.scopes);
    if (rc)
        rc = bad_line(e, rc, path, line, "after the token come its scopes: read, ingest, admin, with commas between");
    for (size_t i = 0; i < t->n && rc == 0; i++) {
        if (equal(&t->list[i], &token)) rc = bad_line(e, ERR_SYNTAX, path, line, "this token came in a line before");
    }
    if (rc == 0 && (rc = add(t, &token)) != 0) rc = bad_line(e, rc, path, line, "no memory");
    explicit_bzero(&token, sizeof token);
    return rc;
}

/* The file's text into *out (mem_free), *n bytes. */
static int read_file(const char *path, char **out, size_t *n, struct err *e) {
    struct stat st;
    char *p = NULL;
    int rc = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0) {
        rc = err_set(e, errno == ENOENT ? ERR_MISSING : ERR_IO, "tokens_file", "%s: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        rc = err_set(e, ERR_IO, "tokens_file", "%s: not a file", path);
        goto out;
    }
    if (st.st_mode & (S_IROTH | S_IWOTH)) {
        rc = err_set(e, ERR_DENIED, "tokens_file", "%s: others may read or write it (mode %03o): chmod o-rw", path,
                     (unsigned)(st.st_mode & 0777));
        goto out;
    }
    p = mem_alloc(MAX_FILE + 1);
    if (!p) {
        rc = err_set(e, ERR_NOMEM, "tokens_file", "%s: no memory", path);
        goto out;
    }
    size_t at = 0;
    ssize_t got = 0;
    while (at <= MAX_FILE && (got = read(fd, p + at, MAX_FILE + 1 - at)) > 0) at += (size_t)got;
    if (got < 0) rc = err_set(e, ERR_IO, "tokens_file", "%s: %s", path, strerror(errno));
    if (rc == 0 && at > MAX_FILE) rc = err_set(e, ERR_RANGE, "tokens_file", "%s: larger than 1 MiB", path);
    if (rc == 0) {
        *out = p;
        *n = at;
        p = NULL;
    }
out:
    if (p) explicit_bzero(p, MAX_FILE + 1);
    mem_free(p);
    if (fd >= 0) close(fd);
    return rc;
}

int http_tokens_load(const char *path, struct http_tokens **out, struct err *e) {
    char *text = NULL;
    size_t n = 0;
    struct http_tokens *t = NULL;
    int rc = read_file(path, &text, &n, e);
    if (rc) return rc;
    t = mem_zalloc(sizeof *t);
    if (!t) {
        rc = err_set(e, ERR_NOMEM, "tokens_file", "%s: no memory", path);
        goto out;
    }
    unsigned line = 1;
    for (size_t at = 0; at < n && rc == 0; line++) {
        const char *lf = memchr(text + at, '\n', n - at);
        size_t length = lf ? (size_t)(lf - text) - at : n - at;
        rc = read_line(t, slice_of(text + at, length), path, line, e);
        at += length + 1;
    }
    if (rc == 0 && t->n == 0) rc = err_set(e, ERR_SYNTAX, "tokens_file", "%s: no token in it", path);
    if (rc == 0) {
        *out = t;
        t = NULL;
    }
out:
    if (n > 0) explicit_bzero(text, n);
    mem_free(text);
    http_tokens_free(t);
    return rc;
}

void http_tokens_free(struct http_tokens *t) {
    if (!t) return;
    if (t->list) explicit_bzero(t->list, t->cap * sizeof *t->list);
    mem_free(t->list);
    mem_free(t);
}

enum http_access http_tokens_check(const struct http_tokens *t, struct slice authorization, enum http_scope scope) {
    static const char scheme[] = "Bearer ";
    struct token guess = {.n = 0};
    if (!t || scope == HTTP_OPEN) return ACCESS_GRANTED;
    if (authorization.n < sizeof scheme || strncasecmp(authorization.p, scheme, sizeof scheme - 1) != 0)
        return ACCESS_UNKNOWN;
    struct slice s = slice_of(authorization.p + sizeof scheme - 1, authorization.n - (sizeof scheme - 1));
    while (s.n > 0 && s.p[0] == ' ') s = slice_of(s.p + 1, s.n - 1);
    if (s.n < MIN_TOKEN || s.n > MAX_TOKEN) return ACCESS_UNKNOWN;
    memcpy(guess.bytes, s.p, s.n);
    guess.n = s.n;

    unsigned known = 0, scopes = 0;
    for (size_t i = 0; i < t->n; i++) {
        unsigned is = equal(&t->list[i], &guess);
        known |= is;
        scopes |= t->list[i].scopes & (0U - is);
    }
    explicit_bzero(&guess, sizeof guess);
    if (!known) return ACCESS_UNKNOWN;
    return scopes & (1U << scope) ? ACCESS_GRANTED : ACCESS_TOO_LITTLE;
}

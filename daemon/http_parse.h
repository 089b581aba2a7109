/* The head of a request: bytes in, a verdict out. No input, no output, no memory of its own.
 *
 * The grammar is RFC 9112 without its second readings: lines end in CRLF, no folding, no blanks before a colon, origin
 * form alone, exactly one Host, at most one Content-Length of digits, no Transfer-Encoding. The verdict depends on the
 * bytes from the first of the request on and on max_header, never on how they were cut into pieces. */
#ifndef RANKD_DAEMON_HTTP_PARSE_H
#define RANKD_DAEMON_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/http.h"

#define HTTP_MAX_PATH 1024 /* bytes, decoded */

enum http_verdict { HTTP_MORE, HTTP_WHOLE, HTTP_BAD };
enum http_coding { HTTP_PLAIN, HTTP_GZIP, HTTP_FOREIGN }; /* of the body; HTTP_FOREIGN = one not understood here */

struct http_span { /* bytes [at, at + n) of the request; n = 0 when absent or empty */
    size_t at, n;
};

struct http_head {
    enum http_method method; /* 0 = a token that is no method known here */
    int minor;               /* of HTTP/1.minor, 0 or 1 */
    struct http_span path;   /* still encoded, begins with '/', decodes to at most HTTP_MAX_PATH bytes without NUL */
    struct http_span query;  /* after the '?', encoding not checked */
    struct http_span host;   /* valid: name, IPv4 or bracketed IPv6, and perhaps :port */
    struct http_span content_type, authorization; /* as sent, without blanks around */
    int64_t content_length;                       /* -1 = absent; INT64_MAX = that or more */
    enum http_coding coding;
    bool continues; /* Expect: 100-continue */
    bool close;     /* HTTP/1.0, or close in Connection */
    size_t size;    /* bytes of the head, its empty line included */
};

struct http_fault { /* static texts */
    int status;
    const char *code, *message, *field; /* field may be NULL */
    size_t limit;                       /* 0 = none */
};

struct http_parser {
    size_t max_header;
    size_t line;     /* where the line being read begins */
    size_t seen;     /* no LF in [line, seen) */
    unsigned fields; /* known header fields met */
    bool started;    /* the request line is read */
    enum http_verdict verdict;
    struct http_head
        head; /* whole with HTTP_WHOLE; with HTTP_BAD method and minor are right as far as they were read */
    struct http_fault fault; /* with HTTP_BAD */
};

void http_parse_init(struct http_parser *p, size_t max_header);

/* Looks at the first n bytes of a request; each call sees the bytes of the one before, perhaps at another address, and
 * perhaps more. What follows the head is not looked at. A verdict other than HTTP_MORE is final. */
enum http_verdict http_parse(struct http_parser *p, const char *bytes, size_t n);

/* Undoes percent-encoding from in[0..n) to out, which may be in; '+' becomes a space when plus is set. Returns the
 * length, or ERR_SYNTAX (bad encoding or a NUL; what out holds is then unspecified). With out NULL it only measures. */
ptrdiff_t http_decode(const char *in, size_t n, char *out, bool plus);

#endif

/* The head of a request, line by line: a line is judged once its LF is there, so no cut can change the verdict. */
#include "daemon/http_parse.h"

#include <string.h>
#include <strings.h>

#define MAX_NAME 255 /* bytes of a host name */

enum {
    FIELD_HOST = 1,
    FIELD_LENGTH = 2,
    FIELD_TYPE = 4,
    FIELD_CODING = 8,
    FIELD_EXPECT = 16,
    FIELD_AUTHORIZATION = 32
};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static bool is_token_char(char c) {
    return is_alpha(c) || is_digit(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!is_token_char(p[i])) return false;
    }
    return n > 0;
}

static bool is_word(const char *p, size_t n, const char *word) {
    return n == strlen(word) && strncasecmp(p, word, n) == 0;
}

static enum http_verdict bad(struct http_parser *p, int status, const char *code, const char *message,
                             const char *field) {
    p->fault = (struct http_fault){status, code, message, field, 0};
    return p->verdict = HTTP_BAD;
}

static enum http_verdict too_long(struct http_parser *p) {
    if (!p->started)
        bad(p, 414, "uri_too_long", "the request line is too long", "request line");
    else
        bad(p, 431, "header_too_large", "request line and headers are too long", "header");
    p->fault.limit = p->max_header;
    return HTTP_BAD;
}

static int hex(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

ptrdiff_t http_decode(const char *in, size_t n, char *out, bool plus) {
    ptrdiff_t at = 0;
    for (size_t i = 0; i < n; i++) {
        char c = in[i];
        if (c == '%') {
            if (n - i < 3) return ERR_SYNTAX;
            int high = hex(in[i + 1]), low = hex(in[i + 2]);
            if (high < 0 || low < 0) return ERR_SYNTAX;
            c = (char)(unsigned char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == '\0') return ERR_SYNTAX;
        if (out) out[at] = c;
        at++;
    }
    return at;
}

static enum http_method method_of(const char *p, size_t n) {
    switch (n) {
    case 3:
        if (memcmp(p, "GET", 3) == 0) return HTTP_GET;
        return memcmp(p, "PUT", 3) == 0 ? HTTP_PUT : 0;
    case 4:
        if (memcmp(p, "POST", 4) == 0) return HTTP_POST;
        return memcmp(p, "HEAD", 4) == 0 ? HTTP_HEAD : 0;
    case 6:
        return memcmp(p, "DELETE", 6) == 0 ? HTTP_DELETE : 0;
    default:
        return 0;
    }
}

/* Path and query of an origin-form target. */
static enum http_verdict read_target(struct http_parser *p, const char *bytes, size_t at, size_t n) {
    if (n == 0 || bytes[at] != '/')
        return bad(p, 400, "bad_target", "the request target must be a path that begins with /", "target");
    for (size_t i = at; i < at + n; i++) {
        if (bytes[i] <= ' ' || bytes[i] > '~' || bytes[i] == '#')
            return bad(p, 400, "bad_target", "the request target holds a byte that must be percent-encoded", "target");
    }
    const char *mark = memchr(bytes + at, '?', n);
    size_t path = mark ? (size_t)(mark - bytes) - at : n;
    ptrdiff_t decoded = http_decode(bytes + at, path, NULL, false);
    if (decoded < 0) return bad(p, 400, "bad_target", "bad percent-encoding in the path", "path");
    if (decoded > HTTP_MAX_PATH) {
        bad(p, 414, "uri_too_long", "the path is too long", "path");
        p->fault.limit = HTTP_MAX_PATH;
        return HTTP_BAD;
    }
    p->head.path = (struct http_span){at, path};
    if (mark) p->head.query = (struct http_span){at + path + 1, n - path - 1};
    return HTTP_MORE;
}

/* METHOD SP TARGET SP HTTP/1.x in bytes[0..end). */
static enum http_verdict read_request_line(struct http_parser *p, const char *bytes, size_t end) {
    const char *space = memchr(bytes, ' ', end);
    size_t method = space ? (size_t)(space - bytes) : 0;
    if (!is_token(bytes, method))
        return bad(p, 400, "bad_request_line", "no method in the request line", "request line");
    p->head.method = method_of(bytes, method);
    size_t target = method + 1;
    space = memchr(bytes + target, ' ', end - target);
    if (!space) return bad(p, 400, "bad_request_line", "the request line is not METHOD TARGET VERSION", "request line");
    size_t version = (size_t)(space - bytes) + 1;
    const char *v = bytes + version;
    if (end - version != 8 || memcmp(v, "HTTP/", 5) != 0 || !is_digit(v[5]) || v[6] != '.' || !is_digit(v[7]))
        return bad(p, 400, "bad_request_line", "the request line does not end in an HTTP version", "request line");
    if (v[5] != '1' || v[7] > '1')
        return bad(p, 505, "version_not_supported", "HTTP/1.1 and HTTP/1.0 are spoken here", "version");
    p->head.minor = v[7] - '0';
    p->head.close = p->head.minor == 0;
    p->started = true;
    return read_target(p, bytes, target, version - 1 - target);
}

/* name, IPv4 or [IPv6], with or without :port. */
static bool is_host(const char *p, size_t n) {
    size_t i = 0;
    if (n > 0 && p[0] == '[') {
        for (i = 1; i < n && (hex(p[i]) >= 0 || p[i] == ':' || p[i] == '.'); i++) {
        }
        if (i < 4 || i > 46 || i >= n || p[i] != ']') return false;
        i++;
    } else {
        while (i < n && (is_alpha(p[i]) || is_digit(p[i]) || p[i] == '.' || p[i] == '-' || p[i] == '_')) i++;
        if (i == 0 || i > MAX_NAME) return false;
    }
    if (i == n) return true;
    if (p[i] != ':' || n - i < 2 || n - i > 6) return false;
    for (i++; i < n; i++) {
        if (!is_digit(p[i])) return false;
    }
    return true;
}

static enum http_verdict read_length(struct http_parser *p, const char *value, size_t n) {
    int64_t length = 0;
    if (n == 0) return bad(p, 400, "bad_content_length", "Content-Length is empty", "Content-Length");
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(value[i]))
            return bad(p, 400, "bad_content_length", "Content-Length must be digits alone", "Content-Length");
        int digit = value[i] - '0';
        length = length > (INT64_MAX - digit) / 10 ? INT64_MAX : length * 10 + digit;
    }
    p->head.content_length = length;
    return HTTP_MORE;
}

/* Of a comma-separated list of options, close alone means something here. */
static void read_connection(struct http_parser *p, const char *value, size_t n) {
    for (size_t i = 0; i < n;) {
        while (i < n && (value[i] == ' ' || value[i] == '\t' || value[i] == ',')) i++;
        size_t begin = i;
        while (i < n && value[i] != ' ' && value[i] != '\t' && value[i] != ',') i++;
        if (is_word(value + begin, i - begin, "close")) p->head.close = true;
    }
}

/* Marks a field that may come once; false when it came before. */
static bool once(struct http_parser *p, unsigned field) {
    bool first = !(p->fields & field);
    p->fields |= field;
    return first;
}

static enum http_verdict twice(struct http_parser *p, const char *field) {
    return bad(p, 400, "repeated_header", "a header that may come once came twice", field);
}

/* The fields that decide where a request ends and for whom it is. */
static enum http_verdict read_framing(struct http_parser *p, const char *bytes, size_t name, struct http_span v) {
    const char *value = bytes + v.at;
    if (is_word(bytes + p->line, name, "host")) {
        if (!once(p, FIELD_HOST)) return twice(p, "Host");
        if (!is_host(value, v.n)) return bad(p, 400, "bad_host", "Host is not a name or address with a port", "Host");
        p->head.host = v;
    } else if (is_word(bytes + p->line, name, "content-length")) {
        if (!once(p, FIELD_LENGTH)) return twice(p, "Content-Length");
        return read_length(p, value, v.n);
    } else if (is_word(bytes + p->line, name, "transfer-encoding")) {
        return bad(p, 411, "length_required", "Transfer-Encoding is not accepted, send Content-Length",
                   "Transfer-Encoding");
    }
    return HTTP_MORE;
}

static enum http_verdict read_other(struct http_parser *p, const char *bytes, size_t name, struct http_span v) {
    const char *field = bytes + p->line, *value = bytes + v.at;
    if (is_word(field, name, "connection")) {
        read_connection(p, value, v.n);
    } else if (is_word(field, name, "content-type")) {
        if (!once(p, FIELD_TYPE)) return twice(p, "Content-Type");
        p->head.content_type = v;
    } else if (is_word(field, name, "authorization")) {
        if (!once(p, FIELD_AUTHORIZATION)) return twice(p, "Authorization");
        p->head.authorization = v;
    } else if (is_word(field, name, "content-encoding")) {
        if (!once(p, FIELD_CODING)) return twice(p, "Content-Encoding");
        if (is_word(value, v.n, "gzip") || is_word(value, v.n, "x-gzip"))
            p->head.coding = HTTP_GZIP;
        else if (!is_word(value, v.n, "identity"))
            p->head.coding = HTTP_FOREIGN;
    } else if (is_word(field, name, "expect")) {
        if (!once(p, FIELD_EXPECT)) return twice(p, "Expect");
        if (!is_word(value, v.n, "100-continue"))
            return bad(p, 417, "expectation_failed", "100-continue alone may be expected", "Expect");
        p->head.continues = p->head.minor > 0;
    }
    return HTTP_MORE;
}

/* NAME: VALUE in bytes[p->line..end). */
static enum http_verdict read_field(struct http_parser *p, const char *bytes, size_t end) {
    const char *line = bytes + p->line;
    size_t n = end - p->line;
    const char *colon = memchr(line, ':', n);
    size_t name = colon ? (size_t)(colon - line) : 0;
    if (!is_token(line, name))
        return bad(p, 400, "bad_header", "a header line is not NAME: VALUE, or has a blank before the colon or name",
                   NULL);
    size_t from = name + 1;
    while (from < n && (line[from] == ' ' || line[from] == '\t')) from++;
    while (n > from && (line[n - 1] == ' ' || line[n - 1] == '\t')) n--;
    for (size_t i = from; i < n; i++) {
        unsigned char c = (unsigned char)line[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return bad(p, 400, "bad_header", "a header value holds a control character", NULL);
    }
    struct http_span value = {p->line + from, n - from};
    enum http_verdict v = read_framing(p, bytes, name, value);
    return v == HTTP_BAD ? v : read_other(p, bytes, name, value);
}

static enum http_verdict finish(struct http_parser *p, size_t size) {
    if (!(p->fields & FIELD_HOST)) return bad(p, 400, "bad_host", "there must be a Host header", "Host");
    p->head.size = size;
    return p->verdict = HTTP_WHOLE;
}

void http_parse_init(struct http_parser *p, size_t max_header) {
    *p = (struct http_parser){.max_header = max_header, .verdict = HTTP_MORE, .head = {.content_length = -1}};
}

enum http_verdict http_parse(struct http_parser *p, const char *bytes, size_t n) {
    if (n > p->max_header) n = p->max_header;
    /* A byte that begins no method is not HTTP at all (TLS, for one): said at once, for its LF may never come. */
    if (p->verdict == HTTP_MORE && !p->started && n > 0 && !is_token_char(bytes[0]))
        return bad(p, 400, "bad_request_line", "no method in the request line", "request line");
    while (p->verdict == HTTP_MORE) {
        const char *lf = p->seen < n ? memchr(bytes + p->seen, '\n', n - p->seen) : NULL;
        if (!lf) {
            p->seen = n;
            return n == p->max_header ? too_long(p) : HTTP_MORE;
        }
        size_t next = (size_t)(lf - bytes) + 1;
        if (next - p->line < 2 || lf[-1] != '\r')
            return bad(p, 400, "bad_line_end", "a line does not end in CR LF", NULL);
        size_t end = next - 2;
        if (memchr(bytes + p->line, '\r', end - p->line))
            return bad(p, 400, "bad_line_end", "a CR without its LF", NULL);
        if (!p->started)
            read_request_line(p, bytes, end);
        else if (end == p->line)
            finish(p, next);
        else
            read_field(p, bytes, end);
        p->line = p->seen = next;
    }
    return p->verdict;
}

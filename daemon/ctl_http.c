/* rankctl: requests to the daemon by its admin socket or by TCP. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ctl.h"
#include "lib/base/mem.h"

#define CONNECT_MS 5000L
#define MAX_REPLY  (256u << 20)

void ctl_reply_init(struct ctl_reply *r) {
    *r = (struct ctl_reply){.retry_after = -1};
    buf_init(&r->body, MAX_REPLY);
}

void ctl_reply_free(struct ctl_reply *r) { buf_free(&r->body); }

static void clear(struct ctl_reply *r) {
    buf_clear(&r->body);
    r->status = 0;
    r->retry_after = -1;
    r->why[0] = '\0';
}

static size_t on_body(char *p, size_t size, size_t n, void *arg) {
    struct ctl_reply *r = arg;
    buf_add(&r->body, p, size * n);
    return r->body.failed ? 0 : size * n;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg) {
    struct ctl_reply *r = arg;
    static const char name[] = "retry-after:";
    if (size * n > sizeof name && strncasecmp(p, name, sizeof name - 1) == 0)
        r->retry_after = strtoll(p + sizeof name - 1, NULL, 10); /* the line ends in CR LF */
    return size * n;
}

/* The headers to be freed once the request is over; NULL when memory is refused. */
static struct curl_slist *set_up(const struct ctl *c, CURL *h, const char *path, const char *content_type,
                                 struct slice body, struct ctl_reply *r) {
    char url[8192], line[512];
    bool whole = strncmp(path, "http://", 7) == 0;
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json"), *more;
    snprintf(url, sizeof url, "%s%s", whole ? "" : c->base, path);
    clear(r);
    curl_easy_setopt(h, CURLOPT_URL, url);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, !whole && c->socket_path[0] ? c->socket_path : NULL);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, r);
    if (body.p) {
        curl_easy_setopt(h, CURLOPT_POST, 1L);
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, body.p);
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
        snprintf(line, sizeof line, "Content-Type: %s", content_type ? content_type : "");
        if (headers && (more = curl_slist_append(headers, content_type ? line : "Content-Type:"))) headers = more;
        if (headers && (more = curl_slist_append(headers, "Expect:"))) headers = more;
    } else {
        curl_easy_setopt(h, CURLOPT_HTTPGET, 1L);
    }
    snprintf(line, sizeof line, "Authorization: Bearer %s", c->token);
    if (headers && c->token[0] && !whole && (more = curl_slist_append(headers, line))) headers = more;
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    return headers;
}

static void finish(CURL *h, CURLcode rc, struct ctl_reply *r) {
    if (rc == CURLE_OK)
        curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &r->status);
    else
        snprintf(r->why, sizeof r->why, "%s", curl_easy_strerror(rc));
}

int ctl_request(struct ctl *c, const char *path, const char *content_type, struct slice body, struct ctl_reply *r) {
    if (!c->curl) c->curl = curl_easy_init();
    if (!c->curl) {
        snprintf(r->why, sizeof r->why, "no memory");
        return CTL_UNREACHABLE;
    }
    struct curl_slist *headers = set_up(c, c->curl, path, content_type, body, r);
    finish(c->curl, curl_easy_perform(c->curl), r);
    curl_slist_free_all(headers);
    return r->status ? CTL_DONE : CTL_UNREACHABLE;
}

void ctl_close(struct ctl *c) {
    if (c->curl) curl_easy_cleanup(c->curl);
    c->curl = NULL;
}

void ctl_say_error(const struct ctl_reply *r) {
    struct jdoc *j = NULL;
    char message[512], field[128], limit[128];
    if (jdoc_parse(slice_of(r->body.p, r->body.n), &j, NULL) < 0) {
        ctl_say("the daemon answered with status %ld", r->status);
        return;
    }
    struct jdoc_value e = jdoc_get(jdoc_root(j), "error");
    struct slice f = jdoc_text(jdoc_get(e, "field"), ""), l = jdoc_text(jdoc_get(e, "limit"), "");
    ctl_say("%s%s%s%s%s%s (status %ld)", f.n ? ctl_clean(field, sizeof field, f) : "", f.n ? ": " : "",
            ctl_clean(message, sizeof message, jdoc_text(jdoc_get(e, "message"), "the daemon refused")),
            l.n ? " (limit " : "", l.n ? ctl_clean(limit, sizeof limit, l) : "", l.n ? ")" : "", r->status);
    jdoc_free(j);
}

int ctl_ask(struct ctl *c, const char *path, const char *content_type, struct slice body, struct jdoc **out) {
    struct ctl_reply r;
    struct err e;
    *out = NULL;
    ctl_reply_init(&r);
    int rc = ctl_request(c, path, content_type, body, &r);
    if (rc == CTL_UNREACHABLE) {
        ctl_say("the daemon cannot be reached at %s: %s", c->socket_path[0] ? c->socket_path : c->base, r.why);
    } else if (r.status != 200) {
        if (c->json) fwrite(r.body.p, 1, r.body.n, stdout);
        ctl_say_error(&r);
        rc = CTL_FAILED;
    } else if (c->json) {
        fwrite(r.body.p, 1, r.body.n, stdout);
        fputc('\n', stdout);
    } else if (jdoc_parse(slice_of(r.body.p, r.body.n), out, &e) < 0) {
        ctl_say("the daemon's answer is not understood: %s", e.text);
        rc = CTL_FAILED;
    }
    ctl_reply_free(&r);
    return rc;
}

void ctl_add_query(struct buf *path, const char *name, const char *value) {
    buf_add_char(path, path->n && memchr(path->p, '?', path->n) ? '&' : '?');
    buf_add_str(path, name);
    buf_add_char(path, '=');
    for (const char *p = value; *p; p++) {
        unsigned char b = (unsigned char)*p;
        if ((b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || strchr("-_.~,", b))
            buf_add_char(path, *p);
        else
            buf_printf(path, "%%%02X", b);
    }
}

/* --- one at a time, while the caller works --- */

struct ctl_flight {
    struct ctl *ctl;
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    bool flying;
    struct ctl_reply reply;
};

struct ctl_flight *ctl_flight_new(struct ctl *c) {
    struct ctl_flight *f = mem_zalloc(sizeof *f);
    if (!f) return NULL;
    f->ctl = c;
    f->multi = curl_multi_init();
    f->easy = curl_easy_init();
    ctl_reply_init(&f->reply);
    if (f->multi && f->easy) return f;
    ctl_flight_free(f);
    return NULL;
}

void ctl_flight_free(struct ctl_flight *f) {
    if (!f) return;
    if (f->flying) curl_multi_remove_handle(f->multi, f->easy);
    if (f->easy) curl_easy_cleanup(f->easy);
    if (f->multi) curl_multi_cleanup(f->multi);
    curl_slist_free_all(f->headers);
    ctl_reply_free(&f->reply);
    mem_free(f);
}

static void end(struct ctl_flight *f, CURLcode rc) {
    finish(f->easy, rc, &f->reply);
    curl_multi_remove_handle(f->multi, f->easy);
    curl_slist_free_all(f->headers);
    f->headers = NULL;
    f->flying = false;
}

void ctl_flight_begin(struct ctl_flight *f, const char *path, const char *content_type, struct slice body) {
    int running;
    f->headers = set_up(f->ctl, f->easy, path, content_type, body, &f->reply);
    f->flying = true;
    if (curl_multi_add_handle(f->multi, f->easy) != CURLM_OK || curl_multi_perform(f->multi, &running) != CURLM_OK)
        end(f, CURLE_FAILED_INIT);
}

bool ctl_flight_poll(struct ctl_flight *f, int wait_ms, const struct ctl_reply **reply) {
    int running = 0, left;
    CURLMsg *m;
    *reply = &f->reply;
    if (!f->flying) return true;
    if (wait_ms > 0) curl_multi_poll(f->multi, NULL, 0, wait_ms, NULL);
    if (curl_multi_perform(f->multi, &running) != CURLM_OK) {
        end(f, CURLE_FAILED_INIT);
        return true;
    }
    while (f->flying && (m = curl_multi_info_read(f->multi, &left)) != NULL)
        if (m->msg == CURLMSG_DONE) end(f, m->data.result);
    return !f->flying;
}

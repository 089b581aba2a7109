/* What the tests of the configuration share: a file of their own, loading, printed texts. */
#ifndef RANKD_TESTS_CONFIG_HELPERS_H
#define RANKD_TESTS_CONFIG_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config_priv.h"
#include "lib/base/mem.h"

static char path[64];

static inline void write_file(const char *text, size_t n) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Loads text as the file (NULL = none) with the overrides up to NULL. */
static inline int load(struct config *c, struct err *e, const char *text, ...) {
    char *overrides[8];
    size_t n = 0;
    va_list args;
    va_start(args, text);
    for (char *o; (o = va_arg(args, char *)) != NULL;) overrides[n++] = o;
    va_end(args);
    if (text) write_file(text, strlen(text));
    memset(e, 0, sizeof *e);
    return config_load(c, text ? path : NULL, overrides, n, e);
}

static inline void loads(struct config *c, const char *text) {
    struct err e;
    if (load(c, &e, text, NULL) != 0) fail_msg("not loaded: %s", e.text);
}

static inline void assert_has(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("\"%s\" is not in \"%s\"", part, text);
}

/* The file text is refused with code, at its given line (0 = not said), and the error has both parts. */
static inline void refused_at(const char *text, int code, int line, const char *part, const char *other) {
    struct config c;
    struct err e;
    char place[96];
    int rc = load(&c, &e, text, NULL);
    if (rc != code) fail_msg("%d instead of %d for \"%s\": %s", rc, code, text, e.text);
    snprintf(place, sizeof place, "%s:%d: ", path, line);
    if (line) assert_int_equal(strncmp(e.text, place, strlen(place)), 0);
    assert_has(e.text, part);
    assert_has(e.text, other);
    assert_int_equal(e.code, code);
    assert_null(c.origins);
    config_free(&c);
}

static inline char *learning(const struct config *c) {
    static char text[16384];
    struct buf b;
    buf_init(&b, sizeof text - 1);
    config_learning_text(c, &b);
    assert_false(b.failed);
    snprintf(text, sizeof text, "%s", b.p);
    buf_free(&b);
    return text;
}

static inline char *printed(const struct config *c) {
    static char text[65536];
    struct buf b;
    buf_init(&b, sizeof text - 1);
    config_print(c, &b);
    assert_false(b.failed);
    snprintf(text, sizeof text, "%s", b.p);
    buf_free(&b);
    return text;
}

static inline int set_up(void **state) {
    (void)state;
    for (char **at = environ; *at;) {
        if (strncmp(*at, "RANKD_", 6) == 0) {
            char name[200];
            snprintf(name, sizeof name, "%.*s", (int)strcspn(*at, "="), *at);
            unsetenv(name);
            at = environ;
        } else {
            at++;
        }
    }
    snprintf(path, sizeof path, "/tmp/rankd-config-XXXXXX");
    int fd = mkstemp(path);
    if (fd >= 0) close(fd);
    return fd >= 0 ? 0 : -1;
}

static inline int tear_down(void **state) {
    (void)state;
    return unlink(path);
}

#endif

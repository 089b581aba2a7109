/* The log: form, escapes, cuts, one write a line, levels, the limiter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/log.h"
#include "lib/base/clock.h"

/* stderr is the writing end of a socket that keeps messages apart: what is received at once was one write. */
static int saved_stderr, reader;
static char got[8192];

static void catch_stderr(void) {
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(saved_stderr >= 0);
    assert_int_equal(dup2(pair[1], STDERR_FILENO), STDERR_FILENO);
    close(pair[1]);
    reader = pair[0];
}

static void release_stderr(void) {
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(reader);
}

/* The next line written, "" when there is none. */
static const char *next(void) {
    ssize_t n = recv(reader, got, sizeof got - 1, MSG_DONTWAIT);
    got[n > 0 ? n : 0] = '\0';
    return got;
}

static int64_t now_ms;
static int64_t stopped_clock(void) { return now_ms; }

#define STAMP "ts=2023-11-14T22:13:20.123Z "

static int set_up(void **state) {
    (void)state;
    now_ms = INT64_C(1700000000123);
    clock_replace(stopped_clock);
    log_set_level(LOG_INFO);
    catch_stderr();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    release_stderr();
    clock_replace(NULL);
    return 0;
}

static void a_line_is_logfmt(void **state) {
    (void)state;
    errno = 7;
    log_line(LOG_WARN, "lag", "events=%d source=%s", 12, "log");
    assert_int_equal(errno, 7);
    assert_string_equal(next(), STAMP "level=warn event=lag events=12 source=log\n");
    log_line(LOG_INFO, "lag", " events=%d", 13);
    assert_string_equal(next(), STAMP "level=info event=lag events=13\n");
    log_line(LOG_ERROR, "stopped", "%s", "");
    assert_string_equal(next(), STAMP "level=error event=stopped\n");
    assert_string_equal(next(), "");
}

static void levels_filter(void **state) {
    (void)state;
    enum log_level level = LOG_ERROR;
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
        assert_true(log_parse_level(names[i], &level));
        assert_int_equal(level, i);
    }
    assert_false(log_parse_level("Info", &level));
    assert_false(log_parse_level("", &level));
    assert_int_equal(level, LOG_ERROR);
    log_line(LOG_DEBUG, "x", "a=1");
    assert_string_equal(next(), "");
    log_set_level(LOG_DEBUG);
    log_line(LOG_DEBUG, "x", "a=1");
    assert_string_equal(next(), STAMP "level=debug event=x a=1\n");
    log_set_level(LOG_ERROR);
    log_line(LOG_WARN, "x", "a=1");
    assert_string_equal(next(), "");
    log_line(LOG_ERROR, "x", "a=1");
    assert_string_not_equal(next(), "");
}

static void bytes_are_escaped(void **state) {
    (void)state;
    char quoted[64];
    log_line(LOG_INFO, "x", "a=%s", "1\n2\t\r\x1b[31m\xc3\xa4\x7f");
    assert_string_equal(next(), STAMP "level=info event=x a=1\\n2\\t\\r\\x1b[31m\\xc3\\xa4\\x7f\n");
    log_line(LOG_INFO, "x", "a=%s b=2", log_quote(quoted, sizeof quoted, "q\"b\\n\nz\0y", 9));
    assert_string_equal(next(), STAMP "level=info event=x a=\"q\\\"b\\\\n\\nz\\x00y\" b=2\n");
}

static void quotes_are_cut_to_fit(void **state) {
    (void)state;
    char out[16];
    assert_ptr_equal(log_quote(out, sizeof out, "abc", 3), out);
    assert_string_equal(out, "\"abc\"");
    assert_string_equal(log_quote(out, 6, "abcdef", 6), "\"abc\"");
    assert_string_equal(log_quote(out, 6, "ab\n\n", 4), "\"ab\"");
    assert_string_equal(log_quote(out, 6, "ab\"c", 4), "\"ab\"");
    assert_string_equal(log_quote(out, 7, "\x01\x01", 2), "\"\\x01\"");
    assert_string_equal(log_quote(out, 6, "\x01", 1), "\"\"");
    assert_string_equal(log_quote(out, 3, "abc", 3), "\"\"");
    assert_string_equal(log_quote(out, 2, "abc", 3), "");
    assert_string_equal(log_quote(out, 1, "abc", 3), "");
    out[0] = 'z';
    log_quote(out, 0, "abc", 3);
    assert_int_equal(out[0], 'z');
    assert_string_equal(log_quote(out, sizeof out, "", 0), "\"\"");
}

static void long_lines_are_cut(void **state) {
    (void)state;
    static char text[9000], quoted[9000];
    memset(text, 'a', sizeof text - 1);
    log_line(LOG_INFO, "x", "v=%s", text);
    const char *line = next();
    assert_true(strlen(line) <= 4096);
    assert_true(strlen(line) > 4000);
    assert_string_equal(line + strlen(line) - 11, "aa cut=yes\n");
    /* Escapes grow the line after it was formatted, are never split, and an open quote is closed. */
    for (size_t lead = 0; lead < 5; lead++) {
        memset(text, 'b', lead);
        memset(text + lead, '\n', 3000);
        log_quote(quoted, sizeof quoted, text, lead + 3000);
        log_line(LOG_INFO, "x", "v=%s w=1", quoted);
        line = next();
        assert_true(strlen(line) <= 4096);
        assert_string_equal(line + strlen(line) - 12, "\\n\" cut=yes\n");
        assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
        assert_string_equal(next(), "");
    }
    memset(text, 1, 2000);
    text[2000] = '\0';
    log_line(LOG_INFO, "x", "v=%s", text);
    line = next();
    assert_true(strlen(line) <= 4096);
    assert_non_null(strstr(line, "\\x01 cut=yes\n"));
}

static void the_longest_whole_line_is_not_cut(void **state) {
    (void)state;
    static char text[5000];
    size_t longest = 0;
    for (size_t n = 4000; n < 4096; n++) {
        memset(text, 'a', n);
        text[n] = '\0';
        log_line(LOG_INFO, "x", "v=%s", text);
        if (!strstr(next(), " cut=yes\n")) longest = strlen(got);
    }
    assert_true(longest > 4080);
}

static void errors_have_code_field_and_text(void **state) {
    (void)state;
    struct err e;
    err_set(&e, ERR_RANGE, "model.dim", "f:3: \"x\" is out of range");
    log_err(LOG_ERROR, "refused", &e);
    assert_string_equal(next(), STAMP "level=error event=refused code=range field=\"model.dim\" "
                                      "error=\"f:3: \\\"x\\\" is out of range\"\n");
}

static void the_limiter_counts_what_it_drops(void **state) {
    (void)state;
    struct log_limit limit = {0}, other = {0};
    log_limited(&limit, LOG_INFO, "bad", "n=%d", 1);
    assert_string_equal(next(), STAMP "level=info event=bad n=1\n");
    for (int i = 0; i < 3; i++) log_limited(&limit, LOG_INFO, "bad", "n=%d", 2);
    assert_string_equal(next(), "");
    log_limited(&other, LOG_INFO, "other", "n=%d", 1);
    assert_string_not_equal(next(), "");
    now_ms += 999;
    log_limited(&limit, LOG_INFO, "bad", "n=%d", 3);
    assert_string_equal(next(), "");
    log_limited(&limit, LOG_DEBUG, "bad", "n=%d", 3); /* off: neither written nor counted */
    now_ms += 1;
    log_limited(&limit, LOG_INFO, "bad", "n=%d", 4);
    assert_string_equal(next(), "ts=2023-11-14T22:13:21.123Z level=info event=bad suppressed=4 n=4\n");
    now_ms += 1000;
    log_limited(&limit, LOG_INFO, "bad", "n=%d", 5);
    assert_string_equal(next(), "ts=2023-11-14T22:13:22.123Z level=info event=bad n=5\n");
}

static void a_closed_stderr_is_survived(void **state) {
    (void)state;
    int writer = dup(STDERR_FILENO);
    close(STDERR_FILENO);
    errno = 3;
    log_line(LOG_ERROR, "x", "a=1");
    assert_int_equal(errno, 3);
    assert_int_equal(dup2(writer, STDERR_FILENO), STDERR_FILENO);
    close(writer);
    assert_string_equal(next(), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_is_logfmt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(levels_filter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_are_escaped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(quotes_are_cut_to_fit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_lines_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_longest_whole_line_is_not_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errors_have_code_field_and_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_limiter_counts_what_it_drops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_closed_stderr_is_survived, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Queries, token files, hosts, gzip and listening sockets, each by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/http_priv.h"
#include "lib/base/mem.h"

static char dir[256];

static int make_dir(void **state) {
    const char *base = getenv("TMPDIR");
    (void)state;
    snprintf(dir, sizeof dir, "%s/rankd-unit-XXXXXX", base && *base ? base : "/tmp");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    (void)state;
    return rmdir(dir);
}

static void query_values(void **state) {
    static const struct {
        const char *query, *name;
        int rc;
        const char *value;
    } cases[] = {
        {"", "a", 0, NULL},
        {"a=1", "a", 1, "1"},
        {"a=1", "b", 0, NULL},
        {"aa=1", "a", 0, NULL},
        {"a", "a", 1, ""},
        {"a=", "a", 1, ""},
        {"&&b=2&&a=1&", "a", 1, "1"},
        {"a=b=c", "a", 1, "b=c"},
        {"a=x+y%20z%2b", "a", 1, "x y z+"},
        {"%61=1", "a", 1, "1"},
        {"a=%c3%A4", "a", 1, "\xc3\xa4"},
        {"a=1234567", "a", 1, "1234567"},
        {"a=12345678", "a", ERR_RANGE, NULL},
        {"a=%31%32%33%34%35%36%37", "a", 1, "1234567"},
        {"a=1&a=1", "a", ERR_SYNTAX, NULL},
        {"a=1&%61=2", "a", ERR_SYNTAX, NULL},
        {"a=%", "a", ERR_SYNTAX, NULL},
        {"a=%1", "a", ERR_SYNTAX, NULL},
        {"a=%zz", "a", ERR_SYNTAX, NULL},
        {"a=%00", "a", ERR_SYNTAX, NULL},
        {"a=1&b=%", "a", ERR_SYNTAX, NULL},
        {"a=1&%=2", "a", ERR_SYNTAX, NULL},
        {"a=123456789&b=%", "a", ERR_SYNTAX, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[8] = "before";
        int rc = http_query(slice_str(cases[i].query), cases[i].name, out, sizeof out);
        if (rc != cases[i].rc || strcmp(out, rc == 1 ? cases[i].value : "before") != 0)
            fail_msg("%s: %d %s", cases[i].query, rc, out);
    }
}

static void query_unknown(void **state) {
    char out[8] = "";
    (void)state;
    assert_int_equal(http_query_unknown(slice_str(""), "a,b", out, sizeof out), 0);
    assert_int_equal(http_query_unknown(slice_str("a=1&b&%61=2"), "a,b", out, sizeof out), 0);
    assert_int_equal(http_query_unknown(slice_str("a=1&c=2&d"), "a,b", out, sizeof out), 1);
    assert_string_equal(out, "c");
    assert_int_equal(http_query_unknown(slice_str("ab"), "a,b", out, sizeof out), 1);
    assert_string_equal(out, "ab");
    assert_int_equal(http_query_unknown(slice_str("a%6eotherlong"), "a,b", out, sizeof out), 1);
    assert_string_equal(out, "another");
    assert_int_equal(http_query_unknown(slice_str("%00%zz%"), "a,b", out, sizeof out), 1);
    assert_string_equal(out, "???");
    assert_int_equal(http_query_unknown(slice_str("=x"), "a,b", out, sizeof out), 1);
    assert_string_equal(out, "");
}

#define R16 "0123456789abcdef"
#define R64 R16 R16 R16 R16

static int load(const char *text, size_t n, mode_t mode, struct err *e) {
    char path[300];
    struct http_tokens *t = NULL;
    snprintf(path, sizeof path, "%s/tokens", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), (ssize_t)n);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    *e = (struct err){0};
    int rc = http_tokens_load(path, &t, e);
    if (rc)
        assert_null(t);
    else
        http_tokens_free(t);
    unlink(path);
    return rc;
}

static void token_files(void **state) {
    static const struct {
        const char *text;
        int rc;
        const char *says;
    } cases[] = {
        {R16 " read\n", 0, ""},
        {"# a\n\n" R16 " read,ingest,admin", 0, ""},
        {R64 R64 R64 R64 " admin\r\n", 0, ""},
        {"", ERR_SYNTAX, "no token"},
        {"# none\n", ERR_SYNTAX, "no token"},
        {"0123456789abcde read\n", ERR_RANGE, "tokens:1: "},
        {"\n\n" R64 R64 R64 R64 "x read\n", ERR_RANGE, "tokens:3: "},
        {R16 "\n", ERR_SYNTAX, "tokens:1: "},
        {R16 " \n", ERR_SYNTAX, "tokens:1: "},
        {"#\n" R16 " write\n", ERR_SYNTAX, "tokens:2: "},
        {R16 " read,\n", ERR_SYNTAX, "tokens:1: "},
        {R16 " ,read\n", ERR_SYNTAX, "tokens:1: "},
        {R16 " read ingest\n", ERR_SYNTAX, "tokens:1: "},
        {" " R16 " read\n", ERR_SYNTAX, "tokens:1: "},
        {R16 "\xc3\xa4 read\n", ERR_SYNTAX, "tokens:1: "},
        {R16 " read\nx" R16 " read\n" R16 " ingest\n", ERR_SYNTAX, "tokens:3: "},
    };
    struct err e;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc = load(cases[i].text, strlen(cases[i].text), 0600, &e);
        if (rc != cases[i].rc || !strstr(e.text, cases[i].says)) fail_msg("case %zu: %d %s", i, rc, e.text);
        assert_null(strstr(e.text, R16));
    }
    assert_int_equal(load(R16 "\0 read\n", 23, 0600, &e), ERR_SYNTAX);
    assert_int_equal(load(R16 " read\n", 22, 0640, &e), 0);
    assert_int_equal(load(R16 " read\n", 22, 0644, &e), ERR_DENIED);
    assert_int_equal(load(R16 " read\n", 22, 0602, &e), ERR_DENIED);
    struct http_tokens *t = NULL;
    assert_int_equal(http_tokens_load("/nonexistent/tokens", &t, &e), ERR_MISSING);
    assert_int_equal(http_tokens_load(dir, &t, &e), ERR_IO);
    for (uint64_t nth = 1; nth <= 3; nth++) {
        mem_fail_at(nth);
        assert_int_equal(load(R16 " read\n", 22, 0600, &e), ERR_NOMEM);
    }
    mem_fail_at(0);
}

static void many_tokens_are_told_apart(void **state) {
    char path[300], line[300];
    struct http_tokens *t = NULL;
    struct err e;
    (void)state;
    snprintf(path, sizeof path, "%s/many", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < 40; i++) {
        int n = snprintf(line, sizeof line, "token-number-%04d %s\n", i, i % 2 ? "read" : "ingest");
        assert_int_equal(write(fd, line, (size_t)n), n);
    }
    close(fd);
    assert_int_equal(http_tokens_load(path, &t, &e), 0);
    for (int i = 0; i < 41; i++) {
        enum http_access read = i == 40 ? ACCESS_UNKNOWN : i % 2 ? ACCESS_GRANTED : ACCESS_TOO_LITTLE;
        enum http_access ingest = i == 40 ? ACCESS_UNKNOWN : i % 2 ? ACCESS_TOO_LITTLE : ACCESS_GRANTED;
        snprintf(line, sizeof line, "Bearer token-number-%04d", i);
        assert_int_equal(http_tokens_check(t, slice_str(line), HTTP_READ), read);
        assert_int_equal(http_tokens_check(t, slice_str(line), HTTP_INGEST), ingest);
    }
    assert_int_equal(http_tokens_check(t, slice_str(""), HTTP_OPEN), ACCESS_GRANTED);
    assert_int_equal(http_tokens_check(NULL, slice_str(""), HTTP_ADMIN), ACCESS_GRANTED);
    http_tokens_free(t);
    http_tokens_free(NULL);
    unlink(path);
}

static void hosts(void **state) {
    struct err e;
    int fd = -1;
    (void)state;
    assert_int_equal(http_listen_tcp("127.0.0.1:0", false, &fd, NULL, NULL, &e), 0);
    assert_true(http_host_allowed(NULL, slice_str("x"), fd));
    assert_true(http_host_allowed("*", slice_str("x"), fd));
    assert_true(http_host_allowed("a,*", slice_str("x"), fd));
    assert_true(http_host_allowed("", slice_str("[::1]"), fd));
    assert_true(http_host_allowed("", slice_str("[::1]:80"), fd));
    assert_true(http_host_allowed("", slice_str("Localhost:1"), fd));
    assert_false(http_host_allowed("", slice_str("localhost.evil"), fd));
    assert_false(http_host_allowed("", slice_str("127.0.0.2"), fd));
    assert_true(http_host_allowed("[fe80::1]:8080", slice_str("[FE80::1]:8080"), fd));
    assert_false(http_host_allowed("[fe80::1]:8080", slice_str("[fe80::1]:80"), fd));
    assert_false(http_host_allowed("a,b", slice_str("a,b"), fd));
    assert_false(http_host_allowed("a", slice_str("localhost"), fd));
    close(fd);
    /* The address a connection came to is no name that could be rebound. */
    assert_int_equal(http_listen_tcp("127.0.0.2:0", false, &fd, NULL, NULL, &e), 0);
    assert_true(http_host_allowed("", slice_str("127.0.0.2:9"), fd));
    assert_false(http_host_allowed("", slice_str("127.0.0.3"), fd));
    assert_false(http_host_allowed("a", slice_str("127.0.0.2"), fd));
    close(fd);
}

static void gunzip_bounds(void **state) {
    /* Ten bytes 'a'. */
    static const char packed[] = "\x1f\x8b\x08\0\0\0\0\0\x02\x03\x4b\x4c\x84\x01\0\xf0\xcd\x11\x4c\x0a\0\0";
    struct slice s = {packed, sizeof packed};
    char *out = NULL;
    size_t n = 0;
    (void)state;
    for (size_t max = 0; max < 10; max++) assert_int_equal(http_gunzip(s, max, &out, &n), ERR_FULL);
    assert_null(out);
    assert_int_equal(http_gunzip(s, 10, &out, &n), 0);
    assert_int_equal(n, 10);
    assert_memory_equal(out, "aaaaaaaaaa", 10);
    mem_free(out);
    for (size_t cut = 0; cut < s.n; cut++)
        assert_int_equal(http_gunzip(slice_of(packed, cut), 10, &out, &n), ERR_SYNTAX);
    int rc = ERR_NOMEM;
    for (uint64_t nth = 1; rc; nth++) {
        mem_fail_at(nth);
        rc = http_gunzip(s, 100, &out, &n);
        assert_true(rc == 0 || rc == ERR_NOMEM);
        assert_true(nth < 20);
    }
    mem_fail_at(0);
    mem_free(out);
}

static void tcp_addresses(void **state) {
    static const char *const bad[] = {
        "",      ":80",     "127.0.0.1",    "127.0.0.1:",    "127.0.0.1:65536",  "::1:80", "[::1]",
        "[]:80", "host:8o", "127.0.0.1:-1", "127.0.0.1:80 ", "127.0.0.1:000080", "[::1:80"};
    struct err e;
    char bound[64], again[64];
    bool loopback = false;
    int fd = -1, second = -1;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (http_listen_tcp(bad[i], false, &fd, bound, &loopback, &e) != ERR_SYNTAX) fail_msg("%s", bad[i]);
    }
    assert_int_equal(fd, -1);
    assert_int_equal(http_listen_tcp("127.0.0.1:0", true, &fd, bound, &loopback, &e), 0);
    assert_true(loopback);
    assert_int_equal(strncmp(bound, "127.0.0.1:", 10), 0);
    assert_string_not_equal(bound, "127.0.0.1:0");
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(http_listen_tcp(bound, false, &second, again, &loopback, &e), ERR_IO);
    assert_non_null(strstr(e.text, bound));
    assert_int_equal(http_listen_tcp(bound, true, &second, again, &loopback, &e), 0);
    assert_string_equal(bound, again);
    close(second);
    close(fd);
    assert_int_equal(http_listen_tcp("0.0.0.0:0", false, &fd, bound, &loopback, &e), 0);
    assert_false(loopback);
    close(fd);
    assert_int_equal(http_listen_tcp("localhost:0", false, &fd, bound, &loopback, &e), 0);
    assert_true(loopback);
    close(fd);
    assert_int_equal(http_listen_tcp("192.0.2.1:0", false, &fd, bound, &loopback, &e), ERR_IO);
}

static void unix_sockets(void **state) {
    char path[300], longer[200];
    struct stat st;
    struct err e;
    int fd = -1, second = -1;
    (void)state;
    snprintf(path, sizeof path, "%s/sock", dir);
    assert_int_equal(http_listen_unix(path, &fd, &e), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(http_listen_unix(path, &second, &e), ERR_BUSY);
    close(fd); /* its file stays, stale */
    assert_int_equal(http_listen_unix(path, &second, &e), 0);
    close(second);
    unlink(path);
    second = -1;
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "precious", 8), 8);
    close(fd);
    assert_int_equal(http_listen_unix(path, &second, &e), ERR_MISMATCH);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 8);
    unlink(path);
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(http_listen_unix(longer, &second, &e), ERR_RANGE);
    assert_int_equal(http_listen_unix("", &second, &e), ERR_RANGE);
    assert_int_equal(http_listen_unix("/nonexistent/sock", &second, &e), ERR_IO);
    assert_int_equal(second, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(query_values),  cmocka_unit_test(query_unknown),
        cmocka_unit_test(token_files),   cmocka_unit_test(many_tokens_are_told_apart),
        cmocka_unit_test(hosts),         cmocka_unit_test(gunzip_bounds),
        cmocka_unit_test(tcp_addresses), cmocka_unit_test(unix_sockets),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

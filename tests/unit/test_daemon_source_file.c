/* The followed file as a source, on real files: growth, rotation, restart, damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/batch.h"
#include "daemon/lines.h"
#include "daemon/log.h"
#include "daemon/rotation.h"
#include "daemon/source.h"
#include "lib/base/clock.h"
#include "tests/unit/store_tmp.h"

#define LONGEST 256

struct fixture {
    char dir[256], path[512];
    struct config config;
    struct config_file file;
    struct event_rules rules;
    struct source *source;
    struct source_file *impl;
    struct source_env env;
    struct inbox *inbox;
    _Atomic bool stopping;
    struct position at; /* what a restart finds */
    unsigned records;   /* since the start */
    char text[64][LONGEST + 2];
    enum event_reason reason[64];
};

static void position(void *arg, const char *name, uint32_t partition, struct position *out) {
    struct fixture *x = arg;
    assert_string_equal(name, "file:f");
    assert_int_equal(partition, 0);
    *out = x->at;
}

static int setup(void **state) {
    struct fixture *x = calloc(1, sizeof *x);
    tmp_make(x->dir);
    snprintf(x->path, sizeof x->path, "%s/log", x->dir);
    x->file = (struct config_file){.name = "f", .path = x->path};
    x->config.batch_events = 4;
    x->rules.max_event_bytes = LONGEST;
    log_set_level(LOG_ERROR);
    *state = x;
    return 0;
}

static void start(struct fixture *x) {
    struct err e;
    x->stopping = false;
    x->records = 0;
    x->inbox = inbox_new(1u << 20);
    x->source = calloc(1, sizeof *x->source);
    x->env = (struct source_env){.config = &x->config,
                                 .rules = &x->rules,
                                 .inbox = x->inbox,
                                 .position = position,
                                 .arg = x,
                                 .stopping = &x->stopping};
    assert_int_equal(source_init(x->source, "file:f", UINT32_MAX, -1, &e), 0);
    assert_int_equal(source_file_new(&x->env, &x->file, x->source, &x->impl, &e), 0);
    assert_int_equal(source_file_start(x->impl, &e), 0);
}

static void stop(struct fixture *x) {
    if (!x->source) return;
    x->stopping = true;
    inbox_close(x->inbox);
    source_file_join(x->impl);
    source_file_free(x->impl);
    for (struct batch *b; (b = inbox_take(x->inbox, 0)) != NULL;) batch_free(b);
    inbox_free(x->inbox);
    source_done(x->source);
    free(x->source);
    x->source = NULL;
}

static int teardown(void **state) {
    struct fixture *x = *state;
    stop(x);
    tmp_remove(x->dir);
    free(x);
    return 0;
}

/* As the learner: applies all, and keeps the position with the identity of now. */
static void apply(struct fixture *x, const struct batch *b) {
    for (size_t k = 0; k < b->n; k++) {
        const struct record *r = &b->records[k];
        if (x->at.known) assert_int_equal(r->offset, x->at.next);
        assert_true(x->records < 64);
        snprintf(x->text[x->records], sizeof x->text[0], "%.*s", (int)r->raw.n, r->raw.p);
        x->reason[x->records++] = r->reason;
        x->at.known = x->at.has_last = true;
        x->at.next = r->next;
        x->at.last = r->offset;
        x->at.last_crc = r->crc;
    }
    source_identity(x->source, 0, x->at.identity);
}

/* Takes exactly n records in all since the start. */
static void expect(struct fixture *x, unsigned n) {
    while (x->records < n) {
        struct batch *b = inbox_take(x->inbox, 5000);
        assert_non_null(b);
        apply(x, b);
        batch_free(b);
    }
    assert_int_equal(x->records, n);
}

static void expect_stopped(struct fixture *x, const char *word) {
    for (int k = 0; k < 500 && atomic_load(&x->source->state) != SOURCE_STOPPED; k++)
        assert_null(inbox_take(x->inbox, 10));
    assert_int_equal(atomic_load(&x->source->state), SOURCE_STOPPED);
    assert_non_null(strstr(x->source->stop_reason, word));
    assert_int_equal(atomic_load(&x->source->breaks), 1);
}

static void append(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void event(const char *path, const char *user) {
    char line[128];
    snprintf(line, sizeof line, "{\"type\":\"click\",\"user\":\"%s\",\"item\":\"i\",\"ts\":1}\n", user);
    append(path, line);
}

static void move(const struct fixture *x, const char *from, const char *to) {
    char a[600], b[600];
    snprintf(a, sizeof a, "%s/%s", x->dir, from);
    snprintf(b, sizeof b, "%s/%s", x->dir, to);
    assert_int_equal(rename(a, b), 0);
}

/* Makes the order in time certain whatever the grain of the file system's clock. */
static void changed_at(const struct fixture *x, const char *name, time_t s) {
    char path[600];
    struct timespec t[2] = {{.tv_sec = s}, {.tv_sec = s}};
    snprintf(path, sizeof path, "%s/%s", x->dir, name);
    assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void has_user(const struct fixture *x, unsigned record, const char *user) {
    char want[64];
    snprintf(want, sizeof want, "\"user\":\"%s\"", user);
    assert_non_null(strstr(x->text[record], want));
}

static void follows_growth_and_waits_for_the_line_break(void **state) {
    struct fixture *x = *state;
    start(x); /* before there is a file */
    for (int k = 0; k < 500 && atomic_load(&x->source->state) != SOURCE_AWAY; k++)
        assert_null(inbox_take(x->inbox, 10));
    assert_int_equal(atomic_load(&x->source->state), SOURCE_AWAY);
    for (int k = 0; k < 6; k++) event(x->path, "a");
    append(x->path, "{\"type\":\"click\",");
    expect(x, 6);
    assert_null(inbox_take(x->inbox, 300)); /* half a line is none */
    append(x->path, "\"user\":\"b\",\"item\":\"i\",\"ts\":1}\n");
    expect(x, 7);
    has_user(x, 6, "b");
    struct stat st;
    assert_int_equal(stat(x->path, &st), 0);
    assert_int_equal(x->at.next, st.st_size);
    for (int k = 0; k < 500 && atomic_load(&x->source->sent[0]) != (uint64_t)st.st_size; k++)
        assert_null(inbox_take(x->inbox, 10)); /* said after the batch was put */
    assert_int_equal(atomic_load(&x->source->sent[0]), st.st_size);
    assert_int_equal(atomic_load(&x->source->end[0]), st.st_size);
}

static void a_line_too_long_is_one_bad_event(void **state) {
    struct fixture *x = *state;
    static char longest[200001];
    memset(longest, 'x', sizeof longest - 1);
    event(x->path, "a");
    append(x->path, longest);
    append(x->path, "\n");
    event(x->path, "b");
    start(x);
    expect(x, 3);
    assert_int_equal(x->reason[1], EVENT_TOO_LONG);
    assert_int_equal(strlen(x->text[1]), LONGEST + 1);
    has_user(x, 2, "b");
    stop(x);
    start(x);
    event(x->path, "c");
    expect(x, 1);
    has_user(x, 0, "c");
}

static void rotation_counts_offsets_on(void **state) {
    struct fixture *x = *state;
    event(x->path, "a");
    start(x);
    expect(x, 1);
    uint64_t first = x->at.next;
    char moved[600];
    snprintf(moved, sizeof moved, "%s/log.1", x->dir);
    move(x, "log", "log.1");
    event(moved, "late"); /* the writer still holds the old one */
    event(x->path, "b");
    expect(x, 3);
    has_user(x, 1, "late");
    has_user(x, 2, "b");
    assert_true(x->at.next > 2 * first);
    append(x->path, "{\"no\":\"line break\"}");
    move(x, "log", "log.2");
    event(x->path, "c");
    expect(x, 5); /* nothing will complete that line: it counts as it stands */
    assert_string_equal(x->text[3], "{\"no\":\"line break\"}");
    has_user(x, 4, "c");
}

static void a_restart_goes_on_where_it_was(void **state) {
    struct fixture *x = *state;
    event(x->path, "a");
    start(x);
    expect(x, 1);
    stop(x);
    event(x->path, "b");
    start(x);
    expect(x, 1);
    has_user(x, 0, "b");
}

static void a_restart_after_rotations_reads_what_was_missed(void **state) {
    struct fixture *x = *state;
    event(x->path, "a");
    start(x);
    expect(x, 1);
    stop(x);
    event(x->path, "b");
    changed_at(x, "log", 1000);
    move(x, "log", "log.2");
    event(x->path, "c");
    changed_at(x, "log", 2000);
    move(x, "log", "log.1");
    event(x->path, "d");
    char other[600];
    snprintf(other, sizeof other, "%s/log.rankd-load", x->dir); /* no rotated file by its name */
    append(other, "state\n");
    start(x);
    expect(x, 3);
    has_user(x, 0, "b");
    has_user(x, 1, "c");
    has_user(x, 2, "d");
}

static void found_under_any_name(void **state) {
    struct fixture *x = *state;
    event(x->path, "a");
    start(x);
    expect(x, 1);
    stop(x);
    event(x->path, "b");
    move(x, "log", "yesterday.jsonl");
    event(x->path, "c");
    start(x);
    expect(x, 2);
    has_user(x, 0, "b");
    has_user(x, 1, "c");
}

/* A checkpoint takes the identity of now with a position that is still in the file before. */
static void an_identity_ahead_of_the_position(void **state) {
    struct fixture *x = *state;
    event(x->path, "a");
    event(x->path, "b");
    start(x);
    expect(x, 2);
    struct position before = x->at;
    before.next = x->at.last;
    before.last = 0;
    before.last_crc = 0; /* of "a": learnt below */
    changed_at(x, "log", 1000);
    move(x, "log", "log.1");
    event(x->path, "c");
    expect(x, 3);
    stop(x);
    memcpy(before.identity, x->at.identity, sizeof before.identity);
    x->at = before;
    x->at.has_last = false;
    start(x);
    expect(x, 2);
    has_user(x, 0, "b");
    has_user(x, 1, "c");
    stop(x);
    x->at = before; /* with a last record that is not the one in the file */
    start(x);
    expect_stopped(x, "is not the file");
}

static void truncation_is_a_gap(void **state) {
    struct fixture *x = *state;
    event(x->path, "a");
    start(x);
    expect(x, 1);
    assert_int_equal(truncate(x->path, 0), 0);
    expect_stopped(x, "was cut");
}

static void overwriting_is_a_gap(void **state) {
    struct fixture *x = *state;
    event(x->path, "a");
    start(x);
    expect(x, 1);
    int fd = open(x->path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "#", 1, 0), 1);
    close(fd);
    event(x->path, "b");
    expect_stopped(x, "overwritten");
}

static void another_file_after_a_restart_is_a_gap(void **state) {
    struct fixture *x = *state;
    event(x->path, "a");
    start(x);
    expect(x, 1);
    stop(x);
    assert_int_equal(unlink(x->path), 0);
    event(x->path, "other");
    start(x);
    expect_stopped(x, "is not the file");
}

static void a_changed_last_record_is_a_gap(void **state) {
    struct fixture *x = *state;
    for (int k = 0; k < 30; k++) event(x->path, "a");
    start(x);
    expect(x, 30);
    stop(x);
    tmp_flip(x->path, (long)x->at.last + 3, 1); /* past the fingerprint's kilobyte */
    assert_true(x->at.last > ROTATION_PRINT_BYTES);
    start(x);
    expect_stopped(x, "is not the file");
}

static void a_copy_renamed_over_it_is_the_same_log(void **state) {
    struct fixture *x = *state;
    char copy[600];
    snprintf(copy, sizeof copy, "%s/.copy", x->dir);
    event(x->path, "a");
    event(copy, "a");
    start(x);
    expect(x, 1);
    event(copy, "b");
    move(x, ".copy", "log");
    expect(x, 2);
    has_user(x, 1, "b");
}

static void a_packed_successor_is_a_gap(void **state) {
    struct fixture *x = *state;
    event(x->path, "a");
    start(x);
    expect(x, 1);
    stop(x);
    changed_at(x, "log", 1000);
    move(x, "log", "log.2");
    event(x->path, "b");
    changed_at(x, "log", 2000);
    move(x, "log", "log.1.gz");
    event(x->path, "c");
    start(x);
    expect_stopped(x, "packed");
}

static void identities_read_back(void **state) {
    (void)state;
    struct rotation_print p = {.n = 1024, .hash = {.lo = 0x0123456789abcdefu, .hi = 0xfu}}, q;
    uint64_t base;
    char text[ROTATION_PRINT_TEXT];
    rotation_write(UINT64_MAX, &p, text);
    assert_true(strlen(text) < 64);
    assert_true(rotation_parse(text, &base, &q));
    assert_true(base == UINT64_MAX && q.n == p.n && q.hash.lo == p.hash.lo && q.hash.hi == p.hash.hi);
    assert_false(rotation_parse("", &base, &q));
    assert_false(rotation_parse("5:1025:0000000000000000f000000000000000", &base, &q));
    assert_false(rotation_parse("5:10:0000000000000000f000000000000000x", &base, &q));
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(follows_growth_and_waits_for_the_line_break),
        T(a_line_too_long_is_one_bad_event),
        T(rotation_counts_offsets_on),
        T(a_restart_goes_on_where_it_was),
        T(a_restart_after_rotations_reads_what_was_missed),
        T(found_under_any_name),
        T(an_identity_ahead_of_the_position),
        T(truncation_is_a_gap),
        T(overwriting_is_a_gap),
        T(another_file_after_a_restart_is_a_gap),
        T(a_changed_last_record_is_a_gap),
        T(a_copy_renamed_over_it_is_the_same_log),
        T(a_packed_successor_is_a_gap),
        cmocka_unit_test(identities_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

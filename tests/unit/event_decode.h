/* Decoding with both halves in a cmocka test. Include once, after cmocka. */
#ifndef RANKD_TESTS_EVENT_DECODE_H
#define RANKD_TESTS_EVENT_DECODE_H

#include <stdlib.h>
#include <string.h>

#include "tests/unit/event_tools.h"

static struct event_rules rules;
static struct event_arena *arena;

static inline int set_up(void **state) {
    (void)state;
    tools_rules(&rules);
    arena = event_arena_new();
    return arena ? 0 : -1;
}

static inline int tear_down(void **state) {
    (void)state;
    event_arena_free(arena);
    return 0;
}

static inline int reset(void **state) {
    (void)state;
    event_arena_reset(arena);
    return 0;
}

/* Decodes with both halves, which must agree wherever the fast one answers, from memory that ends with the record. */
static inline enum event_reason decode_in(const struct event_context *c, const char *json, size_t n, struct event *out,
                                          struct err *e) {
    char *exact = malloc(n ? n : 1);
    assert_non_null(exact);
    memcpy(exact, json, n);
    struct event slow = {.type = 77}, fast = {.type = 77}, whole = {.type = 77};
    struct err slow_e = {0}, fast_e = {0};
    enum event_reason r = event_decode_jansson(slice_of(exact, n), c, arena, &slow, &slow_e);
    int f = event_decode_fast(slice_of(exact, n), c, arena, &fast, &fast_e);
    assert_int_equal(event_decode(slice_of(json, n), c, arena, &whole, NULL), r);
    if (f >= 0) {
        assert_int_equal(f, (int)r);
        assert_string_equal(fast_e.text, slow_e.text);
        assert_string_equal(fast_e.field, slow_e.field);
        if (r == EVENT_OK) assert_true(tools_same_event(&fast, &slow, 1));
    }
    if (r == EVENT_OK) {
        assert_true(tools_same_event(&whole, &slow, 1));
        assert_int_equal(slow_e.code, 0);
    } else {
        assert_int_equal(slow.type, 77);
        assert_int_equal(fast.type, 77);
        assert_true(slow_e.text[0] != '\0' && slow_e.code < 0);
    }
    free(exact);
    if (out) *out = whole;
    if (e) *e = slow_e;
    return r;
}

static inline enum event_reason decode(const char *json, struct event *out) {
    struct event_context c = tools_context(&rules);
    return decode_in(&c, json, strlen(json), out, NULL);
}

static inline void is_text(struct slice s, const char *text) {
    assert_int_equal(s.n, strlen(text));
    if (s.n) assert_memory_equal(s.p, text, s.n);
}

#endif

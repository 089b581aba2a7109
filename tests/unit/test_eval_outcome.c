/* Outcomes of a backtest: gathered, written and read back the same, and no damage of a file goes unseen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/draw.h"
#include "lib/base/mem.h"
#include "lib/eval/outcome.h"
#include "tests/unit/eval_world.h"

static char directory[] = "/tmp/rankd-outcome-XXXXXX";
static char path[64], part[80];

static int make_directory(void **state) {
    (void)state;
    if (!mkdtemp(directory)) return -1;
    (void)snprintf(path, sizeof path, "%s/o", directory);
    (void)snprintf(part, sizeof part, "%s.part", path);
    return 0;
}

static int remove_directory(void **state) {
    (void)state;
    (void)remove(path);
    (void)remove(part);
    return rmdir(directory);
}

static void fill_set(struct outcome_set *s, size_t n) {
    uint16_t index;
    outcome_set_init(s);
    assert_int_equal(outcome_set_type(s, slice_str("click"), &index, NULL), 0);
    assert_int_equal(outcome_set_type(s, slice_str("<b>\x01\xFF"), &index, NULL), 0);
    assert_int_equal(index, 1);
    s->types[0].events = 77;
    s->types[0].configured = true;
    assert_int_equal(outcome_set_feature_name(s, slice_str("brand"), NULL), 0);
    assert_int_equal(outcome_set_feature(s, slice_str("acme"), &index, NULL), 0);
    assert_int_equal(index, 1);
    assert_int_equal(outcome_set_feature(s, slice_str("zeta"), &index, NULL), 0);
    assert_int_equal(outcome_set_note(s, "baskets", OUTCOME_TEXT, "whole", NULL), 0);
    assert_int_equal(outcome_set_note(s, "every", OUTCOME_NUMBER, "1", NULL), 0);
    assert_int_equal(outcome_set_note(s, "every", OUTCOME_NUMBER, "2", NULL), 0);
    assert_int_equal(outcome_set_note(s, "repeats", OUTCOME_BOOL, "false", NULL), 0);
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = draw_bits(5, i);
        struct outcome_case c = {.ts_ms = (int64_t)i * 1000 - 5,
                                 .user = bits,
                                 .item_age_ms = i % 3 ? (int64_t)(bits >> 40) : -1,
                                 .item_events = (uint32_t)(bits >> 50),
                                 .history = (uint32_t)i % 9,
                                 .type = i % 2,
                                 .feature = (uint16_t)(i % 3),
                                 .flags = i > 0 && i % 4 == 0 ? OUTCOME_SAME_MOMENT | OUTCOME_BASKET : 0};
        if (i == n / 5) outcome_set_figures_begin(s);
        assert_int_equal(outcome_set_add(s, &c, NULL), 0);
    }
}

static void fill_run(struct outcome_run *r, size_t n) {
    assert_int_equal(outcome_run_init(r, "item-kNN", OUTCOME_BASELINE, 3, "knn.k = 100\n", NULL), 0);
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = draw_bits(6, i);
        uint32_t items[] = {(uint32_t)i, 7, 2000}, events[] = {0, 1, 9};
        float p = draw_unit(bits);
        assert_int_equal(outcome_run_add(r, i % 7 ? (uint32_t)(bits & 255) : OUTCOME_MISS, i < 4 ? NAN : p, p, NULL),
                         0);
        assert_int_equal(outcome_run_list(r, items, events, i % 5 ? 3 : 2, 64, NULL), 0);
    }
    r->events = 500;
    r->n_candidates = 3000;
    r->cpu_ns = 12345678901;
    r->wall_ns = 23456789012;
    r->peak_bytes = 1 << 30;
}

static void same_set(const struct outcome_set *a, const struct outcome_set *b) {
    assert_true(a->n == b->n && a->figures_from == b->figures_from);
    for (size_t i = 0; i < a->n; i++) {
        const struct outcome_case *x = &a->cases[i], *y = &b->cases[i];
        assert_true(x->ts_ms == y->ts_ms && x->user == y->user && x->item_age_ms == y->item_age_ms);
        assert_true(x->item_events == y->item_events && x->history == y->history && x->flags == y->flags);
        assert_true(x->type == y->type && x->feature == y->feature);
    }
    assert_true(a->n_types == b->n_types && a->n_features == b->n_features && a->n_notes == b->n_notes);
    assert_string_equal(a->feature, b->feature);
    for (size_t i = 0; i < a->n_types; i++) {
        assert_string_equal(a->types[i].name, b->types[i].name);
        assert_true(a->types[i].events == b->types[i].events && a->types[i].configured == b->types[i].configured);
    }
    for (size_t i = 0; i < a->n_features; i++) assert_string_equal(a->features[i], b->features[i]);
    for (size_t i = 0; i < a->n_notes; i++) {
        assert_string_equal(a->notes[i].key, b->notes[i].key);
        assert_string_equal(a->notes[i].value, b->notes[i].value);
        assert_int_equal(a->notes[i].kind, b->notes[i].kind);
    }
    assert_true(outcome_set_id(a) == outcome_set_id(b));
}

static void same_run(const struct outcome_run *a, const struct outcome_run *b) {
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->settings, b->settings);
    assert_true(a->role == b->role && a->seed == b->seed && a->n == b->n);
    assert_memory_equal(a->rank, b->rank, a->n * sizeof *a->rank);
    assert_memory_equal(a->p_target, b->p_target, a->n * sizeof *a->p_target);
    assert_memory_equal(a->p_top, b->p_top, a->n * sizeof *a->p_top);
    assert_true(a->listed_cap == b->listed_cap && a->list_k == b->list_k && a->lists == b->lists);
    assert_memory_equal(a->listed, b->listed, a->listed_cap * sizeof *a->listed);
    assert_memory_equal(&a->surprise_bits, &b->surprise_bits, sizeof a->surprise_bits);
    assert_true(a->n_candidates == b->n_candidates && a->events == b->events && a->cpu_ns == b->cpu_ns);
    assert_true(a->wall_ns == b->wall_ns && a->peak_bytes == b->peak_bytes);
}

/* More cases than one block holds. */
static void written_and_read_back(void **state) {
    (void)state;
    struct outcome_set s, t;
    struct outcome_run r, q;
    const size_t n = 60000;
    fill_set(&s, n);
    fill_run(&r, n);
    assert_int_equal(s.figures_from, n / 5);
    assert_string_equal(s.notes[1].value, "2");
    assert_int_equal(s.n_notes, 3);
    assert_int_equal(outcome_set_save(&s, path, NULL), 0);
    assert_int_equal(access(part, F_OK), -1);
    assert_int_equal(outcome_set_load(path, &t, NULL), 0);
    same_set(&s, &t);
    uint64_t id = outcome_set_id(&s);
    t.cases[17].user ^= 1;
    assert_true(outcome_set_id(&t) != id);
    t.cases[17].user ^= 1;
    t.figures_from++;
    assert_true(outcome_set_id(&t) != id);
    outcome_set_free(&t);

    assert_int_equal(outcome_run_save(&r, id, path, NULL), 0);
    struct err e;
    assert_int_equal(outcome_run_load(path, id + 1, &q, &e), ERR_MISMATCH);
    assert_int_equal(outcome_set_load(path, &t, &e), ERR_CORRUPT);
    assert_int_equal(outcome_run_load(path, id, &q, NULL), 0);
    same_run(&r, &q);
    outcome_run_free(&q);
    outcome_run_free(&r);
    outcome_set_free(&s);
}

static void lists_are_counted(void **state) {
    (void)state;
    struct outcome_run r;
    assert_int_equal(outcome_run_init(&r, "m", OUTCOME_TESTED, 1, "", NULL), 0);
    const uint32_t items[] = {0, 5000, 5}, events[] = {8, 0, 1}, more[] = {17, 0, 0};
    assert_int_equal(outcome_run_list(&r, items, events, 3, 16, NULL), 0);
    assert_int_equal(outcome_run_list(&r, items, events, 1, 16, NULL), 0);
    assert_true(r.list_k == 3 && r.lists == 2 && r.listed_cap > 5000);
    assert_true(r.listed[0] == 2 && r.listed[5000] == 1 && r.listed[5] == 1 && r.listed[1] == 0);
    assert_near(r.surprise_bits, 1 + 5 + 4 + 1, 1e-12); /* of shares 8/16, 0.5/16, 1/16, 8/16 */
    assert_int_equal(outcome_run_list(&r, items, more, 3, 16, NULL), ERR_RANGE);
    assert_int_equal(outcome_run_list(&r, items, events, 0, 16, NULL), ERR_RANGE);
    assert_int_equal(outcome_run_list(&r, items, events, 3, 0, NULL), ERR_RANGE);
    assert_int_equal(r.lists, 2);
    outcome_run_free(&r);
}

/* A probability given first at the third case leaves NaN for those before. */
static void probabilities_are_optional(void **state) {
    (void)state;
    struct outcome_run r;
    assert_int_equal(outcome_run_init(&r, "m", OUTCOME_TESTED, 1, "", NULL), 0);
    for (int i = 0; i < 2; i++) assert_int_equal(outcome_run_add(&r, 1, NAN, NAN, NULL), 0);
    assert_true(r.p_target == NULL && r.p_top == NULL);
    assert_int_equal(outcome_run_add(&r, 1, NAN, 0.25f, NULL), 0);
    assert_true(r.p_target == NULL && isnan(r.p_top[0]) && isnan(r.p_top[1]) && r.p_top[2] == 0.25f);
    assert_int_equal(outcome_run_add(&r, 1, 1.5f, 0.25f, NULL), ERR_RANGE);
    assert_int_equal(outcome_run_add(&r, 1, 0, -0.1f, NULL), ERR_RANGE);
    assert_int_equal(r.n, 3);
    outcome_run_free(&r);
}

static void wrong_input_is_refused(void **state) {
    (void)state;
    struct outcome_set s;
    struct err e;
    uint16_t index = 9;
    char longer[OUTCOME_NAME_MAX + 2];
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    outcome_set_init(&s);
    struct outcome_case c = {.type = 0};
    assert_int_equal(outcome_set_add(&s, &c, &e), ERR_RANGE);
    assert_int_equal(outcome_set_type(&s, slice_str(longer), &index, &e), ERR_RANGE);
    assert_int_equal(index, 9);
    assert_int_equal(outcome_set_type(&s, slice_str("click"), &index, &e), 0);
    c.flags = OUTCOME_SAME_MOMENT;
    assert_int_equal(outcome_set_add(&s, &c, &e), ERR_RANGE);
    c = (struct outcome_case){.feature = 1};
    assert_int_equal(outcome_set_add(&s, &c, &e), ERR_RANGE);
    static const char *const bad[] = {"", "-", "01", "1.", ".5", "1e", "1e+", "0x10", "NaN", "1 ", "+1", "--1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(outcome_set_note(&s, "k", OUTCOME_NUMBER, bad[i], &e), ERR_RANGE);
    static const char *const good[] = {"0", "-1", "0.25", "1e5", "12E-3", "10"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(outcome_set_note(&s, "k", OUTCOME_NUMBER, good[i], &e), 0);
    assert_int_equal(outcome_set_note(&s, "k", OUTCOME_BOOL, "yes", &e), ERR_RANGE);
    assert_int_equal(s.n, 0);
    assert_int_equal(s.n_notes, 1);
    outcome_set_free(&s);
    struct outcome_run r;
    assert_int_equal(outcome_run_init(&r, longer, OUTCOME_TESTED, 1, "", &e), ERR_RANGE);
    assert_true(r.name == NULL && r.n == 0);
}

static size_t read_all(uint8_t **p) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    size_t n = (size_t)ftell(f);
    *p = malloc(n + 1);
    rewind(f);
    assert_int_equal(fread(*p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    return n;
}

static void write_all(const uint8_t *p, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Loads what stands in path as a set or a run; outputs stay as they were on failure. */
static int load(bool run, uint64_t id, struct err *e) {
    struct outcome_set s = {.n = 7};
    struct outcome_run r = {.n = 7};
    int rc = run ? outcome_run_load(path, id, &r, e) : outcome_set_load(path, &s, e);
    if (rc)
        assert_true(s.n == 7 && r.n == 7);
    else if (run)
        outcome_run_free(&r);
    else
        outcome_set_free(&s);
    return rc;
}

static void check_damage(bool run, uint64_t id) {
    uint8_t *p;
    struct err e;
    size_t n = read_all(&p);
    p[n] = 'x';
    for (size_t i = 0; i < n; i++) {
        uint8_t was = p[i];
        p[i] = (uint8_t)(was ^ (1u << (i % 8)));
        write_all(p, n);
        int rc = load(run, id, &e);
        if (rc != ERR_CORRUPT) fail_msg("byte %zu of %zu changed: %d", i, n, rc);
        assert_non_null(strstr(e.text, "offset"));
        assert_non_null(strstr(e.text, path));
        p[i] = was;
        write_all(p, i);
        rc = load(run, id, &e);
        if (rc != ERR_CORRUPT) fail_msg("cut to %zu of %zu bytes: %d", i, n, rc);
    }
    write_all(p, n + 1);
    assert_int_equal(load(run, id, &e), ERR_CORRUPT);
    write_all(p, n);
    assert_int_equal(load(run, id, &e), 0);
    free(p);
}

static void every_damage_is_found(void **state) {
    (void)state;
    struct outcome_set s;
    struct outcome_run r;
    fill_set(&s, 11);
    fill_run(&r, 11);
    uint64_t id = outcome_set_id(&s);
    assert_int_equal(outcome_set_save(&s, path, NULL), 0);
    check_damage(false, id);
    r.listed_cap = 12; /* so that the file is short */
    assert_int_equal(outcome_run_save(&r, id, path, NULL), 0);
    check_damage(true, id);
    outcome_set_free(&s);
    outcome_run_free(&r);
}

static void refused_memory_is_an_error(void **state) {
    (void)state;
    struct outcome_set s;
    struct outcome_run r;
    struct err e;
    fill_set(&s, 11);
    fill_run(&r, 11);
    uint64_t id = outcome_set_id(&s);
    for (int run = 0; run < 2; run++) {
        int rc = ERR_NOMEM;
        for (uint64_t nth = 1; rc; nth++) {
            mem_fail_at(nth);
            rc = run ? outcome_run_save(&r, id, path, &e) : outcome_set_save(&s, path, &e);
            mem_fail_at(0);
            assert_true(rc == 0 || rc == ERR_NOMEM);
            assert_int_equal(access(part, F_OK), -1);
        }
        rc = ERR_NOMEM;
        for (uint64_t nth = 1; rc; nth++) {
            mem_fail_at(nth);
            rc = load(run, id, &e);
            mem_fail_at(0);
            assert_true(rc == 0 || rc == ERR_NOMEM);
        }
    }
    outcome_set_free(&s);
    outcome_run_free(&r);
}

/* Adding goes on after a refusal as if it had not been tried. */
static void adding_goes_on_after_refused_memory(void **state) {
    (void)state;
    struct outcome_run r;
    struct err e;
    assert_int_equal(outcome_run_init(&r, "m", OUTCOME_TESTED, 1, "", NULL), 0);
    uint32_t items[] = {0, 0}, events[] = {1, 1};
    for (uint32_t i = 0; i < 5000; i++) {
        items[1] = i;
        for (uint64_t nth = 1;; nth++) {
            mem_fail_at(nth);
            int rc = outcome_run_add(&r, i, i > 9 ? 0.5f : NAN, i > 2000 ? 0.5f : NAN, &e);
            mem_fail_at(0);
            assert_int_equal(r.n, rc ? i : i + 1);
            if (!rc) break;
            assert_int_equal(rc, ERR_NOMEM);
        }
        mem_fail_at(1);
        int rc = outcome_run_list(&r, items, events, 2, 16, &e);
        mem_fail_at(0);
        if (rc) assert_int_equal(outcome_run_list(&r, items, events, 2, 16, &e), 0);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        assert_int_equal(r.rank[i], i);
        assert_true(i > 9 ? r.p_target[i] == 0.5f : isnan(r.p_target[i]));
        assert_true(i > 2000 ? r.p_top[i] == 0.5f : isnan(r.p_top[i]));
        assert_int_equal(r.listed[i], i == 0 ? 5001 : 1);
    }
    outcome_run_free(&r);
}

static void places_that_do_not_work(void **state) {
    (void)state;
    struct outcome_set s;
    struct err e;
    fill_set(&s, 1);
    assert_int_equal(outcome_set_save(&s, "/nowhere/at/all", &e), ERR_IO);
    assert_int_equal(outcome_set_save(&s, directory, &e), ERR_IO); /* a directory cannot be replaced by a file */
    assert_int_equal(outcome_set_load("/nowhere/at/all", &s, &e), ERR_MISSING);
    outcome_set_free(&s);
    char beside[96];
    (void)snprintf(beside, sizeof beside, "%s.part", directory);
    assert_int_equal(access(beside, F_OK), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_and_read_back),      cmocka_unit_test(lists_are_counted),
        cmocka_unit_test(probabilities_are_optional), cmocka_unit_test(wrong_input_is_refused),
        cmocka_unit_test(every_damage_is_found),      cmocka_unit_test(refused_memory_is_an_error),
        cmocka_unit_test(places_that_do_not_work),    cmocka_unit_test(adding_goes_on_after_refused_memory),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}

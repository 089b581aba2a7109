/* Reweighting rules: what they fit, what they say, and that a change of them is part of the journal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/checkpoint.h"
#include "daemon/digest.h"
#include "daemon/engine.h"
#include "daemon/reweight.h"
#include "lib/base/clock.h"
#include "tests/unit/engine_bench.h"

#define T0 INT64_C(1700000000000)

static struct event_rules types;

/* The set of these options, up to NULL, on top of small ones. */
static struct reweight *rules(struct config *c, ...) {
    char *options[16] = {"model.dim=16", "model.max_items=400", "model.neighbours=8", "events.dedup_window=100"};
    size_t n = 4;
    va_list args;
    struct err e;
    struct reweight *w;
    va_start(args, c);
    for (char *o; (o = va_arg(args, char *)) != NULL;) options[n++] = o;
    va_end(args);
    if (config_load(c, NULL, options, n, &e) != 0) fail_msg("%s", e.text);
    char names[CONFIG_MAX_TYPES][33];
    for (size_t t = 0; t < c->n_types; t++) memcpy(names[t], c->types[t].name, sizeof names[t]);
    assert_int_equal(engine_rules(c, names, c->n_types, &types, &e), 0);
    if (reweight_new(c, &types, &w, &e) != 0) fail_msg("%s", e.text);
    return w;
}

static struct model_treatment asked; /* what the last one said */

static uint64_t ask(const struct reweight *w, const char *type, const char *source, int64_t ts_ms, const char *raw) {
    struct event ev = {.kind = EVENT_BEHAVIOUR, .type = event_type_index(&types, slice_str(type))};
    if (strcmp(type, "impression") == 0) ev = (struct event){.kind = EVENT_IMPRESSION, .type = -1};
    return reweight_event(w, &ev, source, ts_ms, slice_str(raw), &asked);
}

static void test_all_that_a_rule_names_must_hold(void **state) {
    (void)state;
    struct config c;
    struct reweight *w = rules(&c, "rule.sale.types=click,impression", "rule.sale.sources=file:f,log",
                               "rule.sale.from=2023-11-14T22:13:20Z", "rule.sale.until=2023-11-14T22:13:21Z",
                               "rule.sale.attributes=campaign=sale", "rule.sale.weight=0.5", "file.f.path=/f", NULL);
    const char *yes = "{\"campaign\":\"sale\"}";
    assert_int_equal(ask(w, "click", "log", T0, yes), 1);
    assert_true(asked.weight == 0.5f && !asked.apart);
    assert_int_equal(ask(w, "impression", "log", T0, yes), 1);
    assert_int_equal(ask(w, "click", "file:f", T0, yes), 1);
    assert_int_equal(ask(w, "purchase", "log", T0, yes), 0);
    assert_true(asked.weight == 1 && !asked.apart);
    assert_int_equal(ask(w, "click", "file:g", T0, yes), 0);
    assert_int_equal(ask(w, "click", "lo", T0, yes), 0);
    assert_int_equal(ask(w, "click", "log", T0, "{\"campaign\":\"other\"}"), 0);
    assert_int_equal(ask(w, "click", "log", T0, "{\"type\":\"click\"}"), 0);
    /* the first moment is in, the last is not */
    assert_int_equal(ask(w, "click", "log", T0 - 1, yes), 0);
    assert_int_equal(ask(w, "click", "log", T0 + 999, yes), 1);
    assert_int_equal(ask(w, "click", "log", T0 + 1000, yes), 0);
    reweight_free(w);
    config_free(&c);
}

static void test_a_rule_that_names_nothing_fits_all(void **state) {
    (void)state;
    struct config c;
    struct reweight *w = rules(&c, "rule.all.history=no", NULL);
    assert_int_equal(ask(w, "view", "log", 0, "{}"), 1);
    assert_true(asked.weight == 1 && asked.apart);
    assert_int_equal(ask(w, "impression", "kafka:x", CLOCK_MS_MAX, "{}"), 1);
    reweight_free(w);
    config_free(&c);
}

static void test_several_rules_multiply(void **state) {
    (void)state;
    struct config c;
    struct reweight *w =
        rules(&c, "rule.a.weight=3", "rule.b.weight=0.5", "rule.b.types=click", "rule.c.types=cart", "rule.c.weight=0",
              "rule.d.history=no", "rule.d.types=click", "rule.e.weight=1000", "rule.e.types=view", NULL);
    assert_int_equal(ask(w, "click", "log", 0, "{}"), 1 | 2 | 8);
    assert_true(asked.weight == 1.5f && asked.apart);
    assert_int_equal(ask(w, "cart", "log", 0, "{}"), 1 | 4);
    assert_true(asked.weight == 0);
    assert_int_equal(ask(w, "view", "log", 0, "{}"), 1 | 16);
    assert_true(asked.weight == 1000);
    reweight_count(w, 1 | 4);
    reweight_count(w, 1);
    struct config other_config;
    struct reweight *other = rules(&other_config, "rule.a.weight=7", "rule.z.weight=1", NULL);
    reweight_carry(other, w);
    assert_int_equal(other->rules[0].matched, 2);
    assert_int_equal(other->rules[1].matched, 0);
    reweight_free(w);
    reweight_free(other);
    config_free(&c);
    config_free(&other_config);
}

/* ---- in the engine ---- */

static void new_bench(struct bench *b) {
    memset(b, 0, sizeof *b);
    snprintf(b->dir, sizeof b->dir, "/tmp/rankd-rules-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    reweight_free(rules(&b->config, NULL));
    open_bench(b);
}

static int checkpoint(struct bench *b) {
    struct err e;
    engine_publish(b->engine);
    assert_int_equal(checkpoint_begin(b->checkpoint, &e), 0);
    int rc = checkpoint_write(b->checkpoint, b->store, &e);
    checkpoint_end(b->checkpoint, rc == 0);
    return rc;
}

static enum event_reason click(struct bench *b, const char *user, const char *id) {
    struct err e;
    struct event_item item = {slice_str("i"), 0, 0};
    uint64_t n = b->next++;
    struct record r = {.offset = n, .next = n + 1, .arrival_ms = EVENT_NO_TIME, .raw = slice_str("{\"a\":1}")};
    enum event_reason reason;
    r.event = (struct event){.kind = EVENT_BEHAVIOUR,
                             .user = slice_str(user),
                             .id = slice_str(id),
                             .items = &item,
                             .n_items = 1,
                             .type = event_type_index(&types, slice_str("click")),
                             .ts_ms = T0 + (int64_t)n * 1000,
                             .arrival_ms = EVENT_NO_TIME};
    assert_int_equal(engine_apply(b->engine, b->source, 0, &r, &reason, &e), 0);
    return reason;
}

static void set(struct bench *b, char *option, char *option2) {
    struct config c;
    struct err e;
    struct reweight *w = rules(&c, option, option2, NULL);
    assert_int_equal(engine_set_rules(b->engine, w, &e), 0);
    config_free(&c);
}

static void test_weight_0_passes_over(void **state) {
    (void)state;
    struct bench b;
    new_bench(&b);
    assert_int_equal(click(&b, "u", "1"), EVENT_OK);
    int64_t clock = b.engine->model->clock_ms;
    set(&b, "rule.off.weight=0", "rule.off.attributes=a=1");
    assert_int_equal(click(&b, "v", "2"), EVENT_RULED_OUT);
    assert_int_equal(b.engine->skipped[EVENT_RULED_OUT], 1);
    assert_int_equal(b.engine->learned, 1);
    assert_int_equal(b.engine->sequence, 2);
    assert_int_equal(b.engine->n_bad, 0);
    assert_int_equal(b.engine->model->clock_ms, clock);
    assert_null(users_find(b.engine->model->users, slice_str("v")));
    assert_int_equal(engine_in_force(b.engine)->rules[0].matched, 1);
    assert_int_equal(engine_in_force(b.engine)->since, 2);
    set(&b, NULL, NULL);
    assert_int_equal(click(&b, "v", "2"), EVENT_OK); /* its id was not remembered */
    free_bench(&b);
}

/* Entries of the journal as "E2" for an epoch, "R1+3" for a run of three records. */
static const char *journal(struct bench *b) {
    static char text[512];
    struct err e;
    struct store_scan *scan;
    struct slice key, value;
    size_t n = 0;
    text[0] = '\0';
    assert_int_equal(store_scan_begin(b->store, &scan, &e), 0);
    assert_int_equal(store_scan_seek(scan, STORE_JOURNAL, slice_of(NULL, 0), &e), 0);
    while (store_scan_next(scan, &key, &value, &e) == 1) {
        struct journal_entry j;
        assert_int_equal(engine_decode_journal(key, value, &j, &e), 0);
        n += (size_t)snprintf(text + n, sizeof text - n, j.is_epoch ? "E%d " : "R%d+%d ", (int)j.run.sequence,
                              (int)j.run.count);
    }
    store_scan_end(scan);
    return text;
}

static int refuse_all(void *arg, const char *step) {
    (void)arg;
    (void)step;
    return 28; /* ENOSPC */
}

static void test_a_change_is_journaled_where_it_took_effect(void **state) {
    (void)state;
    struct bench b;
    new_bench(&b);
    click(&b, "u", "");
    click(&b, "u", "");
    set(&b, "rule.x.weight=2", NULL);
    set(&b, "rule.x.weight=2", NULL); /* says the same: nothing happens */
    assert_int_equal(b.engine->n_epochs, 2);
    click(&b, "u", "");
    assert_int_equal(checkpoint(&b), 0);
    assert_string_equal(journal(&b), "E1 R1+2 E3 R3+1 ");
    assert_int_equal(b.engine->n_epochs, 0);
    click(&b, "u", "");
    set(&b, "rule.x.weight=3", NULL); /* these two before one record: the last one counts */
    set(&b, "rule.x.weight=4", NULL);
    store_set_fault(b.store, refuse_all, NULL);
    assert_true(checkpoint(&b) < 0); /* a checkpoint that fails loses none */
    store_set_fault(b.store, NULL, NULL);
    click(&b, "u", "");
    click(&b, "u", "");
    assert_int_equal(checkpoint(&b), 0);
    assert_string_equal(journal(&b), "E1 R1+2 E3 R3+2 E5 R5+2 ");
    close_bench(&b); /* the configuration knows no rule: the next record begins an epoch without */
    open_bench(&b);
    assert_int_equal(b.engine->n_epochs, 1);
    click(&b, "u", "");
    assert_int_equal(checkpoint(&b), 0);
    assert_string_equal(journal(&b), "E1 R1+2 E3 R3+2 E5 R5+2 E7 R7+1 ");
    free_bench(&b);
}

static void test_changes_that_wait_are_bounded(void **state) {
    (void)state;
    struct bench b;
    struct err e;
    struct config c;
    char option[40];
    new_bench(&b);
    for (unsigned k = 1; k < ENGINE_MAX_EPOCHS; k++) {
        snprintf(option, sizeof option, "rule.x.weight=%u", k + 1);
        set(&b, option, NULL);
    }
    struct reweight *w = rules(&c, "rule.x.weight=500", NULL);
    assert_int_equal(engine_set_rules(b.engine, w, &e), ERR_FULL);
    assert_int_equal(checkpoint(&b), 0);
    assert_int_equal(engine_set_rules(b.engine, w, &e), 0);
    config_free(&c);
    free_bench(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_that_a_rule_names_must_hold),
        cmocka_unit_test(test_a_rule_that_names_nothing_fits_all),
        cmocka_unit_test(test_several_rules_multiply),
        cmocka_unit_test(test_weight_0_passes_over),
        cmocka_unit_test(test_a_change_is_journaled_where_it_took_effect),
        cmocka_unit_test(test_changes_that_wait_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a backtest judges, by which choices. */
#include "tests/unit/backtest_world.h"

/* The targets by name, "a b | c": those before the bar are for choosing. */
static const char *targets(const struct world *w, char *out, size_t size) {
    size_t n = 0;
    out[0] = '\0';
    for (size_t k = 0; k < w->cases.set.n; k++) {
        struct slice id = backtest_ids_text(w->table.item_ids, w->cases.target[k]);
        if (k == w->cases.set.figures_from && k > 0) n += (size_t)snprintf(out + n, size - n, " |");
        n += (size_t)snprintf(out + n, size - n, "%s%.*s", n ? " " : "", (int)id.n, id.p);
        assert_true(n < size);
    }
    return out;
}

static const char ten[] = "100\tu\ta\tclick\n101\tv\tb\tclick\n102\tu\tc\tview\n103\tu\ta\tclick\n104\tv\td\tclick\n"
                          "105\tu\te\tclick\n106\tw\ta\tclick\n107\tw\tf\tclick\n108\tu\tg\tview\n109\tv\th\tclick\n";

static void new_pairs_alone_are_judged(void **state) {
    struct world *w = *state;
    char text[256];
    read_log(w, ten);
    choose_cases(w);
    assert_string_equal(targets(w, text, sizeof text), "a b c d e a f g h");
    w->protocol.repeats = true;
    choose_cases(w);
    assert_string_equal(targets(w, text, sizeof text), "a b c a d e a f g h");
    assert_int_equal(w->cases.set.cases[3].flags & OUTCOME_REPEAT, OUTCOME_REPEAT);
    assert_int_equal(w->cases.set.cases[2].flags & OUTCOME_REPEAT, 0);
}

static void lines_are_counted_whether_judged_or_not(void **state) {
    struct world *w = *state;
    char text[256];
    read_log(w, ten);
    w->protocol.every = 2; /* lines 0 2 4 6 8 */
    choose_cases(w);
    assert_string_equal(targets(w, text, sizeof text), "a c d a g");
    w->protocol.skip = 0.5; /* from line 5 on */
    choose_cases(w);
    assert_string_equal(targets(w, text, sizeof text), "a g");
    w->protocol.every = 1;
    choose_cases(w);
    assert_string_equal(targets(w, text, sizeof text), "e a f g h");
}

static void targets_are_of_the_types_asked_for(void **state) {
    struct world *w = *state;
    struct err e;
    char text[256];
    read_log(w, ten);
    w->protocol.targets = "view";
    choose_cases(w);
    assert_string_equal(targets(w, text, sizeof text), "c g");
    w->protocol.targets = "view,nothing";
    struct backtest_cases none;
    assert_int_equal(backtest_cases_make(&w->log, &w->table, &w->protocol, &none, &e), ERR_RANGE);
    w->protocol.targets = NULL;
    w->config.types[3].weight = 0; /* view: what does not train is no target unless it is asked for */
    assert_string_equal(w->config.types[3].name, "view");
    read_log(w, ten);
    choose_cases(w);
    assert_string_equal(targets(w, text, sizeof text), "a b d e a f h");
}

static void lines_out_of_order_are_counted(void **state) {
    struct world *w = *state;
    read_log(w, ten);
    assert_int_equal(backtest_late_lines(&w->table), 0);
    read_log(w, "7200\tu\ta\tclick\n3600\tv\tb\tclick\n3599\tu\tc\tclick\n7201\tv\td\tclick\n10\tw\ta\tclick\n");
    assert_int_equal(backtest_late_lines(&w->table), 2); /* not the second, which is late by an hour sharp */
}

static void parts_of_a_moment_are_counted(void **state) {
    struct world *w = *state;
    struct err e;
    uint64_t lines;
    read_log(w, "100\tu\ta\tclick\n100\tu\tb\tview\n100\tv\ta\tclick\n101\tu\tc\tclick\n");
    assert_int_equal(backtest_apart_lines(&w->table, &lines, &e), 0);
    assert_int_equal(lines, 0);
    read_log(w, "100\tu\ta\tclick\n100\tv\tb\tclick\n100\tu\tc\tclick\n100\tu\td\tclick\n100\tv\te\tclick\n");
    assert_int_equal(backtest_apart_lines(&w->table, &lines, &e), 0);
    assert_int_equal(lines, 3); /* c, d and e */
}

static void cold_targets_are_misses_or_left_out(void **state) {
    struct world *w = *state;
    char text[256];
    read_log(w, ten);
    choose_cases(w);
    assert_int_equal(w->cases.set.cases[0].item_events, 0); /* a, for the first time */
    assert_int_equal(w->cases.set.cases[5].item_events, 2);
    w->protocol.skip_cold = true;
    choose_cases(w);
    assert_string_equal(targets(w, text, sizeof text), "a");
}

static void the_first_part_is_for_choosing(void **state) {
    struct world *w = *state;
    char text[256];
    read_log(w, ten);
    w->protocol.choosing = true;
    w->protocol.skip = 0.6;
    choose_cases(w); /* lines 1 to 5 choose: an empty model at the start says nothing */
    assert_string_equal(targets(w, text, sizeof text), "b c d e | a f g h");
    assert_int_equal(w->cases.n_choosing, 4);
    w->protocol.skip = 0;
    w->protocol.choose = 0.8; /* what was chosen by gives no figures */
    choose_cases(w);
    assert_string_equal(targets(w, text, sizeof text), "c d e a f | g h");
    w->protocol.choose = -1; /* no share at all: then both are the same cases */
    choose_cases(w);
    assert_string_equal(targets(w, text, sizeof text), "a b c d e a f g h");
    assert_int_equal(w->cases.set.figures_from, 0);
    assert_int_equal(w->cases.n_choosing, 2);
}

static void figures_can_begin_at_a_time(void **state) {
    struct world *w = *state;
    char text[256];
    read_log(w, ten);
    w->protocol.until_ms = 107000;
    choose_cases(w);
    assert_string_equal(targets(w, text, sizeof text), "f g h");
    assert_int_equal(w->cases.figures_line, 7);
    w->protocol.until_ms = 200000;
    choose_cases(w);
    assert_int_equal(w->cases.set.n, 0);
    assert_int_equal(w->cases.set.figures_from, 0);
}

static void a_moment_is_judged_from_what_was_before(void **state) {
    struct world *w = *state;
    char text[256];
    read_log(w, "100\tu\ta\tclick\n200\tu\tb\tclick\n200\tu\tc\tclick\n200\tu\tb\tclick\n200\tu\ta\tclick\n9000\tu\td\t"
                "click\n");
    choose_cases(w);
    assert_string_equal(targets(w, text, sizeof text), "a b c b d"); /* b twice: both come from before the moment */
    const struct outcome_case *c = w->cases.set.cases;
    assert_int_equal(c[1].flags, OUTCOME_BASKET | OUTCOME_RECENT);
    assert_int_equal(c[2].flags, OUTCOME_BASKET | OUTCOME_RECENT | OUTCOME_SAME_MOMENT);
    assert_int_equal(c[3].history, 1);
    assert_int_equal(c[3].item_events, 0);
    assert_int_equal(c[4].flags, 0); /* an hour and more later */
    assert_int_equal(c[4].history, 3);
    assert_int_equal(c[4].item_age_ms, -1);
}

/* The first case that gives figures begins a moment of its own, though its basket began before. */
static void figures_never_begin_inside_of_what_chooses(void **state) {
    struct world *w = *state;
    read_log(w, "100\tu\ta\tclick\n101\tu\tb\tclick\n101\tu\tc\tclick\n101\tu\td\tclick\n");
    w->protocol.choosing = true;
    w->protocol.skip = 0.5;
    w->protocol.choose = 0.5;
    choose_cases(w);
    assert_int_equal(w->cases.set.figures_from, 2);
    assert_int_equal(w->cases.set.cases[2].flags & OUTCOME_SAME_MOMENT, 0);
    assert_int_equal(w->cases.set.cases[3].flags & OUTCOME_SAME_MOMENT, OUTCOME_SAME_MOMENT);
}

static const char *feature_of(const struct world *w, size_t at) {
    return w->cases.set.n_features ? w->cases.set.features[w->cases.set.cases[at].feature] : "";
}

static void cases_know_the_feature_asked_for(void **state) {
    struct world *w = *state;
    write_text(w->items, "a\tbrand=x,brand=z,price=1.50\nb\tbrand=y\n");
    w->input.items = w->items;
    w->protocol.cohort = "brand";
    read_log(w, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"a\",\"ts\":100}\n"
                "{\"type\":\"click\",\"user\":\"u\",\"item\":\"b\",\"ts\":101}\n"
                "{\"type\":\"click\",\"user\":\"u\",\"item\":\"c\",\"ts\":102}\n"
                "{\"type\":\"item\",\"item\":\"a\",\"features\":{\"brand\":7},\"ts\":103}\n"
                "{\"type\":\"user\",\"user\":\"v\",\"features\":{\"age\":\"old\"},\"ts\":103}\n"
                "{\"type\":\"click\",\"user\":\"v\",\"item\":\"a\",\"ts\":104}\n");
    choose_cases(w);
    assert_string_equal(w->cases.set.feature, "brand");
    assert_string_equal(feature_of(w, 0), "x"); /* of several the first */
    assert_string_equal(feature_of(w, 1), "y");
    assert_string_equal(feature_of(w, 2), "");  /* never described */
    assert_string_equal(feature_of(w, 3), "7"); /* described anew */
    w->protocol.cohort = "user.age";
    choose_cases(w);
    assert_string_equal(feature_of(w, 0), "");
    assert_string_equal(feature_of(w, 3), "old");
}

static void a_file_of_users_gives_their_features(void **state) {
    struct world *w = *state;
    write_text(w->items, "a\tage=new\n");
    write_text(w->users, "u\tage=old,plan=pro\nv\tplan=free\n");
    w->input.items = w->items;
    w->input.users = w->users;
    w->protocol.cohort = "user.age";
    read_log(w, "100\tu\ta\tclick\n101\tv\ta\tclick\n102\tw\ta\tclick\n");
    choose_cases(w);
    assert_int_equal(w->cases.set.n, 3);
    assert_string_equal(w->cases.set.feature, "user.age");
    assert_string_equal(feature_of(w, 0), "old");
    assert_string_equal(feature_of(w, 1), "");
    assert_string_equal(feature_of(w, 2), "");
    w->protocol.cohort = "user.plan";
    choose_cases(w);
    assert_string_equal(feature_of(w, 0), "pro");
    assert_string_equal(feature_of(w, 1), "free");
}

static void what_is_not_wanted_counts_in_nothing(void **state) {
    struct world *w = *state;
    struct err e;
    char no[] = "type.dislike.negative=yes", *overrides[] = {no}, text[256];
    config_free(&w->config);
    assert_int_equal(config_load(&w->config, NULL, overrides, 1, &e), 0);
    read_log(w, "100\tu\ta\tdislike\n101\tu\tb\tclick\n102\tv\ta\tclick\n103\tu\ta\tclick\n");
    choose_cases(w);
    assert_string_equal(targets(w, text, sizeof text), "b a"); /* u has had a, if only to say no */
    assert_int_equal(w->cases.set.cases[0].history, 0);
    assert_int_equal(w->cases.set.cases[1].item_events, 0);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        T(new_pairs_alone_are_judged),
        T(lines_are_counted_whether_judged_or_not),
        T(targets_are_of_the_types_asked_for),
        T(lines_out_of_order_are_counted),
        T(parts_of_a_moment_are_counted),
        T(cold_targets_are_misses_or_left_out),
        T(the_first_part_is_for_choosing),
        T(figures_can_begin_at_a_time),
        T(a_moment_is_judged_from_what_was_before),
        T(figures_never_begin_inside_of_what_chooses),
        T(cases_know_the_feature_asked_for),
        T(a_file_of_users_gives_their_features),
        T(what_is_not_wanted_counts_in_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

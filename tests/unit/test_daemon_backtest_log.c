/* Logs of a backtest: rows and JSON Lines, baskets, items, order, what is refused. */
#include "tests/unit/backtest_world.h"

static void rows_of_one_user_and_stamp_are_one_event(void **state) {
    struct world *w = *state;
    char text[256];
    read_log(w, "100\tu\ta\tclick\n100\tu\tb\tclick\n101\tu\tc\tclick\n101\tv\td\tclick\n");
    assert_string_equal(told(w, text, sizeof text), "u a,b;u c;v d");
    assert_int_equal(w->table.lines, 4);
    assert_int_equal(w->log.records[0].n_lines, 2);
    assert_int_equal(w->log.records[0].line, 1);
    assert_int_equal(w->log.records[1].line, 3);
}

static void line_by_line_there_are_no_baskets(void **state) {
    struct world *w = *state;
    char text[256];
    w->input.serial = true;
    read_log(w, "100\tu\ta\tclick\n100\tu\tb\tclick\n");
    assert_string_equal(told(w, text, sizeof text), "u a;u b");
    assert_int_equal(w->table.events[0].moment, 0);
    assert_int_equal(w->table.events[1].moment, 1);
}

/* Types learn apart, but all of the moment is judged from what was before it. */
static void types_of_one_moment_are_events_of_it(void **state) {
    struct world *w = *state;
    char text[256];
    read_log(w, "100\tu\ta\tclick\n100\tu\tb\tview\n100\tu\tc\tclick\n100\tv\td\tview\n");
    assert_string_equal(told(w, text, sizeof text), "u a,c;u b;v d");
    assert_int_equal(w->table.events[0].moment, w->table.events[1].moment);
    assert_int_not_equal(w->table.events[1].moment, w->table.events[2].moment);
    assert_int_equal(backtest_moment_end(&w->table, 0), 2);
}

static void a_basket_has_at_most_max_basket_items(void **state) {
    struct world *w = *state;
    char text[256];
    w->config.max_basket = 2;
    read_log(w, "100\tu\ta\tclick\n100\tu\tb\tclick\n100\tu\tc\tclick\n");
    assert_string_equal(told(w, text, sizeof text), "u a,b;u c");
    assert_int_equal(backtest_moment_end(&w->table, 0), 2);
}

static void json_lines_form_the_same_baskets(void **state) {
    struct world *w = *state;
    struct err e;
    char text[256];
    read_log(w, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"a\",\"ts\":100,\"quantity\":2}\n"
                "{\"ts\":101,\"type\":\"click\",\"user\":\"v\",\"items\":[\"d\",\"e\"]}\n"
                "{\"type\":\"click\",\"user\":\"u\",\"item\":\"b\",\"ts\":102,\"campaign\":\"x\"}\n"
                "{\"type\":\"click\",\"user\":\"u\",\"item\":\"c\",\"ts\":102,\"campaign\":\"y\"}\n"
                "{\"type\":\"click\",\"user\":\"u\",\"item\":\"f\",\"ts\":102,\"campaign\":\"x\",\"price\":1.5}\n");
    assert_true(w->log.json);
    assert_int_equal(backtest_order_baskets(&w->log, &w->input, &w->table, &e), 1);
    decode_log(w);
    assert_string_equal(told(w, text, sizeof text), "u a;v d,e;u b,f;u c");
    struct slice line = backtest_text(&w->log, &w->log.records[2]);
    assert_true(slice_is(line,
                         "{\"type\":\"click\",\"user\":\"u\",\"ts\":102,\"campaign\":\"x\",\"items\":[{\"item\":\"b\"},"
                         "{\"item\":\"f\",\"price\":1.5}]}"));
    assert_int_equal(backtest_order_baskets(&w->log, &w->input, &w->table, &e), 0); /* nothing is left to do */
}

static void an_id_given_twice_counts_once(void **state) {
    struct world *w = *state;
    struct err e;
    char text[256];
    read_log(w, "{\"id\":\"1\",\"type\":\"click\",\"user\":\"u\",\"item\":\"a\",\"ts\":100}\n"
                "{\"id\":\"2\",\"type\":\"click\",\"user\":\"u\",\"item\":\"b\",\"ts\":100}\n"
                "{\"id\":\"2\",\"type\":\"click\",\"user\":\"u\",\"item\":\"b\",\"ts\":105}\n");
    assert_int_equal(w->table.reasons[EVENT_DUPLICATE], 1);
    assert_int_equal(backtest_order_baskets(&w->log, &w->input, &w->table, &e), 1);
    decode_log(w);
    assert_string_equal(told(w, text, sizeof text), "u a,b"); /* the id 2 is no more, and neither is its repeat */
    assert_int_equal(w->n_rejects, 0);
}

static void unknown_types_become_types_of_weight_1(void **state) {
    struct world *w = *state;
    struct err e;
    read_log(w, "100\tu\ta\tWish\n101\tu\tb\tclick\n102\tu\tc\tWish\n103\tu\td\timpression\n");
    assert_int_equal(w->table.n_types, w->config.n_types + 1);
    const struct backtest_type *type = &w->table.types[w->table.n_types - 1];
    assert_string_equal(type->name, "Wish");
    assert_false(type->configured);
    assert_int_equal(type->events, 2);
    assert_true(type->weight == 1);
    assert_int_equal(w->table.kinds[EVENT_IMPRESSION], 1);
    assert_int_equal(w->table.lines, 3);
    assert_int_equal(backtest_table_add_types(&w->table, &w->config, &e), 0);
    assert_string_equal(w->config.types[0].name, "Wish"); /* sorted */
    assert_true(w->config.types[0].weight == 1 && w->config.types[0].history_weight == 1);
    assert_true(w->config.types[0].enabled && w->config.types[0].history_half_life_ms == -1);
}

static void a_type_taken_away_stays_away(void **state) {
    struct world *w = *state;
    struct err e;
    char no_view[] = "type.view.enabled=no", *overrides[] = {no_view};
    config_free(&w->config);
    assert_int_equal(config_load(&w->config, NULL, overrides, 1, &e), 0);
    read_log(w, "100\tu\ta\tview\n101\tu\tb\tclick\n");
    assert_int_equal(w->table.reasons[EVENT_UNKNOWN_TYPE], 1);
    assert_int_equal(w->table.lines, 1);
}

static void lines_that_cannot_be_used_are_told_by_number(void **state) {
    struct world *w = *state;
    read_log(w, "100\tu\ta\tclick\n101\tu\tb\n102\tu\tc\tclick\n");
    assert_int_equal(w->log.rejected, 1);
    assert_int_equal(w->reject_line, 2);
    assert_string_equal(w->reject_reason, "bad_record");
    read_log(w, "100\tu\ta\tclick\nlater\tu\tb\tclick\n");
    assert_int_equal(w->table.reasons[EVENT_BAD_TIME], 1);
    assert_int_equal(w->reject_line, 2);
    assert_string_equal(w->reject_reason, "bad_time");
}

static void items_are_described_before_the_log_begins(void **state) {
    struct world *w = *state;
    write_text(w->items, "a\tprice=1.5,word=red,word=big,sale\nb\t\n\tnothing=1\n");
    w->input.items = w->items;
    read_log(w, "100\tu\ta\tclick\n");
    assert_int_equal(w->log.n_described, 2);
    assert_int_equal(w->table.kinds[EVENT_ITEM], 2);
    assert_int_equal(w->table.events[0].ts_ms, 100000);
    assert_int_equal(w->log.rejected, 1);
    assert_int_equal(w->reject_line, 3);
    struct slice line = backtest_text(&w->log, &w->log.records[0]);
    assert_true(slice_is(line,
                         "{\"type\":\"item\",\"item\":\"a\",\"features\":{\"price\":\"1.5\",\"word\":[\"red\",\"big\"],"
                         "\"feature\":\"sale\"}}"));
}

static void users_are_described_before_the_log_begins(void **state) {
    struct world *w = *state;
    char text[256];
    write_text(w->users, "u\tcountry=de,plan=pro,plan=team,vip\n\tcountry=at\nw\n");
    w->input.users = w->users;
    read_log(w, "100\tu\ta\tclick\n101\tv\tb\tclick\n");
    assert_int_equal(w->log.n_described, 2);
    assert_int_equal(w->log.lines, 5);
    assert_int_equal(w->table.kinds[EVENT_USER], 2);
    assert_int_equal(w->table.kinds[EVENT_ITEM], 0);
    assert_int_equal(w->table.featured[EVENT_USER], 1); /* w has none */
    assert_int_equal(w->table.featured[EVENT_ITEM], 0);
    assert_int_equal(w->table.begin_ms, 100000);
    assert_int_equal(w->table.events[0].ts_ms, 100000);
    assert_int_equal(w->table.events[0].user, w->table.events[2].user);
    assert_int_equal(backtest_ids_count(w->table.user_ids), 3); /* w was described only */
    assert_string_equal(told(w, text, sizeof text), "u a;v b");
    struct slice line = backtest_text(&w->log, &w->log.records[0]);
    assert_true(slice_is(line, "{\"type\":\"user\",\"user\":\"u\",\"features\":{\"country\":\"de\",\"plan\":[\"pro\","
                               "\"team\"],\"feature\":\"vip\"}}"));
    assert_int_equal(w->log.rejected, 1);
    assert_int_equal(w->reject_line, 2);
    assert_string_equal(w->reject_file, w->users);
    assert_string_equal(w->reject_reason, "bad_record");
    assert_string_equal(w->reject_text, "no user before the first tab");
}

/* Two files, each a source with places of its own: both stand in front of the log, and stay there. */
static void items_and_users_are_described_together(void **state) {
    struct world *w = *state;
    struct err e;
    write_text(w->items, "a\tbrand=x\nb\tbrand=y\n");
    write_text(w->users, "u\tplan=pro\nv\tplan=free\nu\tplan=free\tclick\n");
    w->input.items = w->items;
    w->input.users = w->users;
    read_log(w, "100\tu\ta\tclick\n100\tv\tb\tclick\n100\tw\ta\tclick\n");
    assert_int_equal(w->log.n_described, 4);
    assert_int_equal(w->log.n_sources, 3);
    assert_int_not_equal(w->log.records[1].source, w->log.records[2].source);
    assert_int_equal(w->log.records[2].offset, 1);
    assert_int_equal(w->reject_line, 3);
    assert_string_equal(w->reject_file, w->users);
    assert_int_equal(backtest_order_shuffle(&w->log, &w->table, 3, &e), 1);
    decode_log(w);
    for (size_t k = 0; k < 4; k++) {
        assert_int_equal(w->table.events[k].kind, k < 2 ? EVENT_ITEM : EVENT_USER);
        assert_int_equal(w->table.events[k].ts_ms, 100000);
    }
}

/* As the configuration calls the fields. */
static void descriptions_have_the_names_of_fields_configured(void **state) {
    struct world *w = *state;
    struct err e;
    char user[] = "events.user=customer,user", *overrides[] = {user};
    config_free(&w->config);
    assert_int_equal(config_load(&w->config, NULL, overrides, 1, &e), 0);
    write_text(w->users, "u\tplan=pro\n");
    w->input.users = w->users;
    read_log(w, "100\tu\ta\tclick\n");
    struct slice line = backtest_text(&w->log, &w->log.records[0]);
    assert_true(slice_is(line, "{\"type\":\"user\",\"customer\":\"u\",\"features\":{\"plan\":\"pro\"}}"));
    assert_int_equal(w->table.kinds[EVENT_USER], 1);
}

static void a_file_of_users_that_is_not_there_is_refused(void **state) {
    struct world *w = *state;
    struct err e;
    write_text(w->path, "100\tu\ta\tclick\n");
    w->input.users = w->users;
    assert_int_equal(backtest_log_read(&w->log, &w->input, &e), ERR_MISSING);
    assert_non_null(strstr(e.text, w->users));
}

static void an_erased_user_comes_back_as_another(void **state) {
    struct world *w = *state;
    w->input.serial = true;
    read_log(w, "{\"type\":\"click\",\"user\":\"u\",\"item\":\"a\",\"ts\":100}\n"
                "{\"type\":\"delete\",\"user\":\"u\",\"ts\":101}\n"
                "{\"type\":\"click\",\"user\":\"u\",\"item\":\"a\",\"ts\":102}\n");
    assert_int_not_equal(w->table.events[0].user, w->table.events[2].user);
    assert_int_equal(w->table.items[w->table.events[0].items], w->table.items[w->table.events[2].items]);
}

/* --- ties --- */

static void ties_are_shuffled_by_whole_moments(void **state) {
    struct world *w = *state;
    struct err e;
    char before[512], after[512], again[512];
    const char *log = "100\tu\ta\tclick\n100\tu\tb\tclick\n100\tv\tc\tclick\n100\tw\td\tclick\n100\tx\te\tclick\n"
                      "100\ty\tf\tclick\n101\tz\tg\tclick\n";
    read_log(w, log);
    told(w, before, sizeof before);
    uint64_t hash = backtest_log_hash(&w->log);
    assert_int_equal(backtest_order_shuffle(&w->log, &w->table, 3, &e), 1);
    decode_log(w);
    told(w, after, sizeof after);
    assert_string_not_equal(before, after);
    assert_non_null(strstr(after, "u a,b"));
    assert_non_null(strstr(after, ";z g")); /* another stamp: stays last */
    assert_int_not_equal(backtest_log_hash(&w->log), hash);
    for (size_t k = 1; k < w->log.n; k++) assert_true(w->log.records[k].offset >= w->log.records[k - 1].next);
    read_log(w, log);
    assert_int_equal(backtest_order_shuffle(&w->log, &w->table, 3, &e), 1);
    decode_log(w);
    assert_string_equal(told(w, again, sizeof again), after);
}

/* Each of the 6 orders of three ties comes about equally often. */
static void a_shuffle_is_fair(void **state) {
    struct world *w = *state;
    struct err e;
    unsigned often[6] = {0};
    for (uint64_t seed = 0; seed < 600; seed++) {
        char text[64] = "";
        read_log(w, "100\tu\ta\tclick\n100\tv\tb\tclick\n100\tw\tc\tclick\n");
        assert_int_equal(backtest_order_shuffle(&w->log, &w->table, seed, &e), 1);
        decode_log(w);
        told(w, text, sizeof text); /* "u a;v b;w c" */
        unsigned first = (unsigned)(text[0] - 'u'), second = (unsigned)(text[4] - 'u');
        often[first * 2 + (second > first ? second - 1 : second)]++;
    }
    for (int k = 0; k < 6; k++) assert_in_range(often[k], 60, 140);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        T(rows_of_one_user_and_stamp_are_one_event),
        T(line_by_line_there_are_no_baskets),
        T(types_of_one_moment_are_events_of_it),
        T(a_basket_has_at_most_max_basket_items),
        T(json_lines_form_the_same_baskets),
        T(an_id_given_twice_counts_once),
        T(unknown_types_become_types_of_weight_1),
        T(a_type_taken_away_stays_away),
        T(lines_that_cannot_be_used_are_told_by_number),
        T(items_are_described_before_the_log_begins),
        T(users_are_described_before_the_log_begins),
        T(items_and_users_are_described_together),
        T(descriptions_have_the_names_of_fields_configured),
        T(a_file_of_users_that_is_not_there_is_refused),
        T(an_erased_user_comes_back_as_another),
        T(ties_are_shuffled_by_whole_moments),
        T(a_shuffle_is_fair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

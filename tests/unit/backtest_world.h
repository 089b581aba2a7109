/* A small log for the tests of backtests: written, read, decoded. */
#ifndef RANKD_TESTS_BACKTEST_WORLD_H
#define RANKD_TESTS_BACKTEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/backtest.h"
#include "daemon/backtest_order.h"
#include "tests/unit/store_tmp.h"

struct world {
    char dir[256], path[512], items[512], users[512];
    char *files[1];
    struct config config;
    struct backtest_input input;
    struct backtest_log log;
    struct backtest_table table;
    struct backtest_protocol protocol;
    struct backtest_cases cases;
    /* the newest line that could not be used */
    uint64_t reject_line, n_rejects;
    char reject_reason[64], reject_file[512], reject_text[256];
};

static inline void note_reject(void *arg, const char *file, uint64_t line, const char *reason, const char *text) {
    struct world *w = arg;
    assert_non_null(file);
    assert_non_null(text);
    w->reject_line = line;
    w->n_rejects++;
    snprintf(w->reject_reason, sizeof w->reject_reason, "%s", reason);
    snprintf(w->reject_file, sizeof w->reject_file, "%s", file);
    snprintf(w->reject_text, sizeof w->reject_text, "%s", text);
}

static inline int world_setup(void **state) {
    struct world *w = calloc(1, sizeof *w);
    struct err e;
    tmp_make(w->dir);
    snprintf(w->path, sizeof w->path, "%s/log", w->dir);
    snprintf(w->items, sizeof w->items, "%s/items.tsv", w->dir);
    snprintf(w->users, sizeof w->users, "%s/users.tsv", w->dir);
    assert_int_equal(config_load(&w->config, NULL, NULL, 0, &e), 0);
    w->files[0] = w->path;
    w->input = (struct backtest_input){
        .config = &w->config, .files = w->files, .n_files = 1, .source = "log", .reject = note_reject, .arg = w};
    w->protocol = (struct backtest_protocol){.every = 1, .until_ms = EVENT_NO_TIME, .choose = -1};
    backtest_log_init(&w->log);
    *state = w;
    return 0;
}

static inline int world_teardown(void **state) {
    struct world *w = *state;
    backtest_cases_free(&w->cases);
    backtest_table_free(&w->table);
    backtest_log_free(&w->log);
    config_free(&w->config);
    tmp_remove(w->dir);
    free(w);
    return 0;
}

static inline void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static inline void decode_log(struct world *w) {
    struct err e;
    backtest_table_free(&w->table);
    int rc = backtest_table_make(&w->log, &w->input, !w->input.serial, &w->table, &e);
    if (rc) print_error("%s\n", e.text);
    assert_int_equal(rc, 0);
}

/* Reads the text as the log, and decodes it. */
static inline void read_log(struct world *w, const char *text) {
    struct err e;
    write_text(w->path, text);
    backtest_log_free(&w->log);
    int rc = backtest_log_read(&w->log, &w->input, &e);
    if (rc) print_error("%s\n", e.text);
    assert_int_equal(rc, 0);
    decode_log(w);
}

static inline void choose_cases(struct world *w) {
    struct err e;
    backtest_cases_free(&w->cases);
    assert_int_equal(backtest_cases_make(&w->log, &w->table, &w->protocol, &w->cases, &e), 0);
}

/* "user item,item;..." of the behaviour, in order. */
static inline const char *told(const struct world *w, char *out, size_t size) {
    size_t n = 0;
    out[0] = '\0';
    for (size_t k = 0; k < w->table.n; k++) {
        const struct backtest_event *ev = &w->table.events[k];
        if (!backtest_is_behaviour(ev)) continue;
        struct slice user = backtest_ids_text(w->table.user_ids, ev->user);
        n += (size_t)snprintf(out + n, size - n, "%s%.*s", n ? ";" : "", (int)user.n, user.p);
        for (uint32_t i = 0; i < ev->n_items; i++) {
            struct slice item = backtest_ids_text(w->table.item_ids, w->table.items[ev->items + i]);
            n += (size_t)snprintf(out + n, size - n, "%s%.*s", i ? "," : " ", (int)item.n, item.p);
        }
        assert_true(n < size);
    }
    return out;
}

#endif

/* Errors: texts are kept whole, printable and inside their fields; CHECK ends the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/check.h"
#include "lib/base/err.h"

static void fills_all_fields(void **state) {
    (void)state;
    struct err e;
    memset(&e, 'x', sizeof e);
    assert_int_equal(err_set(&e, ERR_RANGE, "learn.rate", "%d is above %s", 7, "one"), ERR_RANGE);
    assert_int_equal(e.code, ERR_RANGE);
    assert_string_equal(e.field, "learn.rate");
    assert_string_equal(e.text, "7 is above one");
}

static void accepts_no_error_and_no_field(void **state) {
    (void)state;
    assert_int_equal(err_set(NULL, ERR_IO, "f", "%s", "text"), ERR_IO);
    struct err e = {.field = "old"};
    assert_int_equal(err_set(&e, ERR_IO, NULL, "x"), ERR_IO);
    assert_string_equal(e.field, "");
}

static void hides_unprintable_bytes(void **state) {
    (void)state;
    struct err e;
    err_set(&e, ERR_SYNTAX, "a\x1b[2J", "id \"%s\"", "\x01\x1b\n\x7f\xc3\xa9 ~");
    assert_string_equal(e.text, "id \"?????? ~\"");
    assert_string_equal(e.field, "a?[2J");
}

static void cuts_what_is_too_long(void **state) {
    (void)state;
    char longest[2000];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    struct err e;
    err_set(&e, ERR_FULL, longest, "%s", longest);
    assert_int_equal(strlen(e.field), sizeof e.field - 1);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
}

static void can_wrap_its_own_text(void **state) {
    (void)state;
    struct err e;
    err_set(&e, ERR_IO, "file", "no space");
    assert_int_equal(err_set(&e, ERR_FULL, e.field, "checkpoint: %s (%s)", e.text, e.field), ERR_FULL);
    assert_string_equal(e.text, "checkpoint: no space (file)");
    assert_string_equal(e.field, "file");
}

static void every_code_has_a_name_of_its_own(void **state) {
    (void)state;
    for (int a = ERR_STOPPED; a < 0; a++) {
        assert_string_not_equal(err_name(a), "unknown");
        for (int b = ERR_STOPPED; b < a; b++) assert_string_not_equal(err_name(a), err_name(b));
    }
    assert_string_equal(err_name(ERR_CORRUPT), "corrupt");
    assert_string_equal(err_name(ERR_STOPPED - 1), "unknown");
    assert_string_equal(err_name(1), "unknown");
}

static void a_broken_check_names_the_place_and_aborts(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        CHECK(1 + 1 == 2);
        CHECK(1 + 1 == 3);
        _exit(0);
    }
    close(ends[1]);
    char said[300] = "";
    ssize_t n = read(ends[0], said, sizeof said - 1);
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(n > 0);
    assert_non_null(strstr(said, "1 + 1 == 3"));
    assert_non_null(strstr(said, "test_base_err.c:"));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_all_fields),
        cmocka_unit_test(accepts_no_error_and_no_field),
        cmocka_unit_test(hides_unprintable_bytes),
        cmocka_unit_test(cuts_what_is_too_long),
        cmocka_unit_test(can_wrap_its_own_text),
        cmocka_unit_test(every_code_has_a_name_of_its_own),
        cmocka_unit_test(a_broken_check_names_the_place_and_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

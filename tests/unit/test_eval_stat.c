/* Distributions against libm and published tables, Holm's correction against its example. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "lib/base/draw.h"
#include "lib/eval/stat.h"
#include "tests/unit/eval_world.h"

static void normal_equals_erfc(void **state) {
    (void)state;
    for (double z = -37; z <= 37; z += 0.0137) {
        double expected = 0.5 * erfc(-z / sqrt(2)), got = stat_normal(z);
        assert_near(got / expected, 1, 1e-10);
    }
    assert_true(stat_normal(-40) == 0 && stat_normal(40) == 1 && stat_normal(0) == 0.5 && isnan(stat_normal(NAN)));
}

static void quantile_is_the_inverse(void **state) {
    (void)state;
    assert_near(stat_normal_quantile(0.975), 1.959963984540054, 1e-9);
    assert_near(stat_normal_quantile(0.8), 0.841621233572914, 1e-9);
    assert_near(stat_normal_quantile(1e-9), -5.997807015007698, 1e-9);
    assert_near(stat_normal_quantile(0.5), 0, 1e-9);
    for (double p = 1e-12; p < 1; p *= 1.03) {
        assert_near(stat_normal(stat_normal_quantile(p)) / p, 1, 1e-8);
        assert_near(stat_normal_quantile(p), -stat_normal_quantile(1 - p), p < 1e-6 ? 1 : 1e-8);
    }
    assert_true(isinf(stat_normal_quantile(0)) && isinf(stat_normal_quantile(1)));
}

static void student_equals_the_tables(void **state) {
    (void)state;
    static const struct {
        double dof, t;
    } table[] = {{9, 2.262157}, {11, 2.200985}, {19, 2.093024}, {49, 2.009575}, {99, 1.984217}, {999, 1.962341}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_near(stat_t_quantile(0.975, table[i].dof) / table[i].t, 1, 1e-3);
        assert_near(stat_t_two_sided(table[i].t, table[i].dof), 0.05, 2e-4);
        assert_near(stat_t_two_sided(-table[i].t, table[i].dof), 0.05, 2e-4);
    }
    assert_near(stat_t_quantile(0.995, 9), 3.249836, 0.01);
    for (double t = -6; t <= 6; t += 0.37)
        assert_near(stat_t_quantile(stat_normal(stat_t_to_normal(t, 12)), 12), t, 1e-6);
    assert_near(stat_t_two_sided(0, 5), 1, 1e-12);
}

/* Holm's own kind of example: 0.01, 0.04, 0.03, 0.005 become 0.03, 0.06, 0.06, 0.02. */
static void holm_by_hand(void **state) {
    (void)state;
    const double p[] = {0.01, 0.04, 0.03, 0.005}, expected[] = {0.03, 0.06, 0.06, 0.02};
    double out[4];
    stat_holm(p, out, 4);
    for (int i = 0; i < 4; i++) assert_near(out[i], expected[i], 1e-15);
    const double ties[] = {0.02, 0.02, NAN, 0.9, 0.02}, tied[] = {0.1, 0.1, 1, 1, 0.1};
    double more[5];
    stat_holm(ties, more, 5);
    for (int i = 0; i < 5; i++) assert_near(more[i], tied[i], 1e-15);
    stat_holm(ties, more, 0);
}

/* By the definition: p_(i) corrected is the largest (n - j + 1) p_(j) over j <= i. */
static void holm_equals_its_definition(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        double p[12], out[12];
        for (uint64_t i = 0; i < 12; i++) p[i] = (double)draw_below(draw_bits(seed, i), 30) / 100;
        stat_holm(p, out, 12);
        for (int i = 0; i < 12; i++) {
            double most = 0;
            for (int j = 0; j < 12; j++) {
                int above = 0;
                for (int k = 0; k < 12; k++) above += p[k] >= p[j];
                if (p[j] <= p[i] && above * p[j] > most) most = above * p[j];
            }
            assert_near(out[i], most < 1 ? most : 1, 1e-12);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normal_equals_erfc),         cmocka_unit_test(quantile_is_the_inverse),
        cmocka_unit_test(student_equals_the_tables),  cmocka_unit_test(holm_by_hand),
        cmocka_unit_test(holm_equals_its_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

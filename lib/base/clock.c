/* The two clocks of the machine, and RFC 3339 text. */
#include "lib/base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#include "lib/base/check.h"

#define SECOND_MS INT64_C(1000)
#define DAY_S     INT64_C(86400)

static int64_t (*_Atomic replaced_wall_ms)(void); /* NULL: the machine's */

void clock_replace(int64_t (*wall_ms)(void)) {
    atomic_store_explicit(&replaced_wall_ms, wall_ms, memory_order_release);
}

int64_t clock_wall_ms(void) {
    int64_t (*replaced)(void) = atomic_load_explicit(&replaced_wall_ms, memory_order_acquire);
    if (replaced != NULL) return replaced();
    struct timespec now;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (int64_t)now.tv_sec * SECOND_MS + now.tv_nsec / 1000000;
}

uint64_t clock_steady_ns(void) {
    int64_t (*replaced)(void) = atomic_load_explicit(&replaced_wall_ms, memory_order_acquire);
    if (replaced != NULL) return (uint64_t)replaced() * 1000000u;
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Days before 1 January of a year (0 to 9999) of the Gregorian calendar, counted from 1970. */
static int64_t days_before_year(int64_t year) {
    int64_t y = year + 399; /* the year before, 400 years later: stays positive and keeps the leap years */
    return y * 365 + y / 4 - y / 100 + y / 400 - 146097 - 719162;
}

static bool is_leap(int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

static int days_before_month(int64_t year, int month) {
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    return before[month - 1] + (month > 2 && is_leap(year) ? 1 : 0);
}

static int days_of_month(int64_t year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Takes exactly `width` digits from the front and checks the range. */
static bool take_number(struct slice *s, size_t width, int min, int max, int *out) {
    if (s->n < width) return false;
    int v = 0;
    for (size_t i = 0; i < width; i++) {
        char c = s->p[i];
        if (c < '0' || c > '9') return false;
        v = v * 10 + (c - '0');
    }
    *s = slice_of(s->p + width, s->n - width);
    *out = v;
    return v >= min && v <= max;
}

/* Takes one byte that is among those of set. */
static bool take_one(struct slice *s, const char *set) {
    if (s->n == 0 || s->p[0] == '\0' || strchr(set, s->p[0]) == NULL) return false;
    *s = slice_of(s->p + 1, s->n - 1);
    return true;
}

static bool take_fraction(struct slice *s, int *ms) {
    *ms = 0;
    if (!take_one(s, ".")) return true;
    size_t digits = 0;
    for (int unit = 100; digits < s->n && s->p[digits] >= '0' && s->p[digits] <= '9'; digits++, unit /= 10) {
        *ms += unit * (s->p[digits] - '0');
    }
    *s = slice_of(s->p + digits, s->n - digits);
    return digits > 0;
}

static bool take_offset(struct slice *s, int *minutes) {
    *minutes = 0;
    if (take_one(s, "Zz")) return true;
    if (s->n == 0) return false;
    int sign = s->p[0] == '-' ? -1 : 1, hour, minute;
    if (!take_one(s, "+-") || !take_number(s, 2, 0, 23, &hour) || !take_one(s, ":") ||
        !take_number(s, 2, 0, 59, &minute))
        return false;
    *minutes = sign * (hour * 60 + minute);
    return true;
}

/* From the minutes since 1970 and what is below them. */
static bool time_of(int64_t minutes, int second, int fraction, int64_t *ms) {
    if (second == 60) { /* leap seconds are put in before midnight UTC only */
        if (minutes < 0 || minutes % 1440 != 1439) return false;
        second = 59;
    }
    int64_t result = (minutes * 60 + second) * SECOND_MS + fraction;
    if (result < CLOCK_MS_MIN || result > CLOCK_MS_MAX) return false;
    *ms = result;
    return true;
}

/* plain: what is missing at the end is zero, and the zone is UTC. */
static bool parse(struct slice s, bool plain, int64_t *ms) {
    int year, month, day, hour = 0, minute = 0, second = 0, fraction = 0, offset = 0;
    if (!take_number(&s, 4, 0, 9999, &year) || !take_one(&s, "-")) return false;
    if (!take_number(&s, 2, 1, 12, &month) || !take_one(&s, "-")) return false;
    if (!take_number(&s, 2, 1, days_of_month(year, month), &day)) return false;
    if (!plain || s.n > 0) {
        if (!take_one(&s, "Tt ")) return false;
        if (!take_number(&s, 2, 0, 23, &hour) || !take_one(&s, ":")) return false;
        if (!take_number(&s, 2, 0, 59, &minute)) return false;
    }
    if (!plain || s.n > 0) {
        if (!take_one(&s, ":") || !take_number(&s, 2, 0, 60, &second)) return false;
        if (!take_fraction(&s, &fraction)) return false;
    }
    if (!plain || s.n > 0) {
        if (!take_offset(&s, &offset) || s.n != 0) return false;
    }
    int64_t days = days_before_year(year) + days_before_month(year, month) + day - 1;
    return time_of(days * 1440 + hour * 60 + minute - offset, second, fraction, ms);
}

bool clock_parse(struct slice s, int64_t *ms) { return parse(s, false, ms); }
bool clock_parse_plain(struct slice s, int64_t *ms) { return parse(s, true, ms); }

static void put_number(char *at, int width, int64_t v) {
    for (int i = width - 1; i >= 0; i--, v /= 10) at[i] = (char)('0' + v % 10);
}

void clock_format(int64_t ms, char out[32]) {
    CHECK(ms >= CLOCK_MS_MIN && ms <= CLOCK_MS_MAX);
    int64_t seconds = ms / SECOND_MS, days = seconds / DAY_S, of_day = seconds % DAY_S;
    int64_t year = 1970 + days / 366; /* never too late, and at most 6 years early */
    while (days_before_year(year + 1) <= days) year++;
    int of_year = (int)(days - days_before_year(year)), month = 12;
    while (days_before_month(year, month) > of_year) month--;

    memcpy(out, "0000-00-00T00:00:00.000Z", sizeof "0000-00-00T00:00:00.000Z");
    put_number(out, 4, year);
    put_number(out + 5, 2, month);
    put_number(out + 8, 2, of_year - days_before_month(year, month) + 1);
    put_number(out + 11, 2, of_day / 3600);
    put_number(out + 14, 2, of_day / 60 % 60);
    put_number(out + 17, 2, of_day % 60);
    put_number(out + 20, 3, ms % SECOND_MS);
}

void clock_sleep_ms(int64_t ms) {
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

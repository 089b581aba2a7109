/* Any bytes as an event: both halves of the decoder agree, slices stay inside, and a line of the own log gives the same
 * event again. The first byte chooses what stands around the record. */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "tests/unit/event_tools.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) ((condition) ? (void)0 : abort())

static struct event_rules rules;
static struct event_arena *arena;

static int inside(struct slice s, struct slice all) { return s.p >= all.p && s.p + s.n <= all.p + all.n; }

/* What no accepted event may break. Bytes outside the record lie in the arena: reading them is the sanitizer's test. */
static void check_id(struct slice s, int needed) {
    MUST(s.n <= EVENT_MAX_ID && (s.n > 0 || !needed));
    MUST(utf8_valid(s) && (s.n == 0 || !memchr(s.p, '\0', s.n)));
}

static void check_time(int64_t ms) { MUST(ms >= CLOCK_MS_MIN && ms <= CLOCK_MS_MAX); }

static void check_amount(double v) { MUST(v != v || (v >= 0 && v <= 1e12)); }

static void check_event(const struct event *ev, const struct event_context *c, struct slice json) {
    check_id(ev->id, 0);
    check_id(ev->session, 0);
    check_id(ev->request, 0);
    check_id(ev->user, ev->kind == EVENT_BEHAVIOUR || ev->kind == EVENT_IMPRESSION || ev->kind == EVENT_USER);
    check_time(ev->ts_ms);
    check_amount(ev->quantity);
    MUST(ev->value != ev->value || ev->value - ev->value == 0);
    MUST((ev->kind == EVENT_BEHAVIOUR) == (ev->type >= 0) && ev->type < (int)rules.n_types);
    MUST(ev->n_items <= rules.max_basket && (ev->basket || ev->n_items <= 1));
    for (size_t i = 0; i < ev->n_items; i++) {
        check_id(ev->items[i].id, 1);
        check_amount(ev->items[i].quantity);
        check_amount(ev->items[i].price);
    }
    switch (ev->kind) {
    case EVENT_BEHAVIOUR:
    case EVENT_IMPRESSION:
        MUST(ev->n_items >= 1);
        break;
    case EVENT_ITEM:
        MUST(ev->n_items == 1 && ev->user.n == 0);
        break;
    case EVENT_USER:
        MUST(ev->n_items == 0);
        break;
    case EVENT_DELETE:
        MUST((ev->n_items == 1) != (ev->user.n > 0));
        break;
    }
    const int described = ev->kind == EVENT_ITEM || ev->kind == EVENT_USER;
    MUST((ev->description.n > 0) == described);
    if (described) {
        MUST(ev->description.n <= json.n && ev->description.n <= rules.max_event_bytes + (c->own_log ? 27 : 0));
        MUST(ev->description.p[0] == '{' && ev->description.p[ev->description.n - 1] == '}');
        MUST(c->own_log || inside(ev->description, json));
    }
    MUST(c->own_log || ev->arrival_ms == EVENT_NO_TIME);
    MUST(ev->n_features <= EVENT_MAX_FEATURES && (described || ev->n_features + ev->n_left_out == 0));
    for (size_t i = 0; i < ev->n_features; i++) {
        MUST(ev->features[i].n > 2 && ev->features[i].n <= EVENT_MAX_FEATURE && utf8_valid(ev->features[i]));
        for (size_t k = 0; k < i; k++) MUST(!slice_equal(ev->features[i], ev->features[k]));
    }
}

/* Both halves; gives the verdict of jansson. */
static enum event_reason decode_both(struct slice json, const struct event_context *c, struct event *out) {
    struct event fast = {.type = 99}, slow = {.type = 99};
    struct err fast_e = {0}, slow_e = {0};
    const int f = event_decode_fast(json, c, arena, &fast, &fast_e);
    const enum event_reason r = event_decode_jansson(json, c, arena, &slow, &slow_e);
    MUST(r != EVENT_NO_MEMORY && r < EVENT_REASONS && r != EVENT_DUPLICATE && r != EVENT_ITEMS_FULL);
    MUST((r == EVENT_OK) == (slow_e.code == 0) && (r == EVENT_OK || slow.type == 99));
    if (f >= 0) {
        MUST(f == (int)r);
        MUST(strcmp(fast_e.text, slow_e.text) == 0 && strcmp(fast_e.field, slow_e.field) == 0);
        MUST(r != EVENT_OK || (tools_same_event(&fast, &slow, 1) && fast.arrival_ms == slow.arrival_ms));
    }
    if (r == EVENT_OK) {
        check_event(&slow, c, json);
        *out = slow;
    }
    return r;
}

static void check_line(struct slice json, const struct event_context *c, const struct event *ev) {
    struct event_context own = *c;
    struct event again;
    struct buf line;
    own.own_log = true;
    own.record_ms = EVENT_NO_TIME;
    buf_init(&line, 1 << 20);
    event_write_line(json, TOOLS_RECORD_MS, &line);
    MUST(!line.failed && !memchr(line.p, '\n', line.n) && !memchr(line.p, '\r', line.n));
    char *exact = malloc(line.n);
    MUST(exact);
    memcpy(exact, line.p, line.n);
    const struct slice copy = slice_of(exact, line.n);
    MUST(decode_both(copy, &own, &again) == EVENT_OK);
    const int breaks = memchr(json.p, '\n', json.n) || memchr(json.p, '\r', json.n) ||
                       ev->description.n > again.description.n; /* white space behind the first brace is dropped */
    MUST(tools_same_event(ev, &again, !breaks) && again.arrival_ms == TOOLS_RECORD_MS);
    free(exact);
    buf_free(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!arena) {
        tools_rules(&rules);
        arena = event_arena_new();
        MUST(arena);
    }
    if (size < 1) return 0;
    const uint8_t around = data[0];
    struct event_context c = tools_context(&rules);
    if (around & 1) c.own_log = true;
    if (around & 2) c.default_type = 1;
    if (around & 4) c.key = slice_str("k-1");
    if (around & 8) c.allow = 1u << 1 | EVENT_ALLOW_ITEM;
    /* without the flags the times must come from the event; with own_log a line never has the time of intake below */
    char *exact = malloc(size);
    MUST(exact);
    memcpy(exact, data + 1, size - 1);
    const struct slice json = slice_of(exact, size - 1);
    struct event ev;
    if (decode_both(json, &c, &ev) == EVENT_OK && !c.own_log) check_line(json, &c, &ev);
    event_arena_reset(arena);
    free(exact);
    return 0;
}

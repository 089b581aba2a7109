/* Sessions in a ring by their number, and an index from items to sessions. */
#include "lib/eval/sessions.h"

#include <string.h>

#include "lib/base/check.h"
#include "lib/base/mem.h"

struct with {
    uint32_t *numbers; /* (n) */
    uint32_t n, room;
};

struct sessions {
    uint32_t n_users, n_items;
    int64_t gap_ms;
    struct session *slots;       /* (SESSIONS_MOST) */
    uint32_t count;              /* also the newest number */
    uint32_t *last_of;           /* (n_users) */
    struct with *with;           /* (n_items) */
    uint32_t *count_with;        /* (n_items) */
    uint32_t top_user, top_item; /* users and items from here on have nothing */
    size_t size_bytes;           /* of lists */
};

int sessions_new(uint32_t n_users, uint32_t n_items, int64_t gap_ms, struct sessions **out, struct err *e) {
    CHECK(n_users > 0 && n_items > 0 && gap_ms >= 0);
    struct sessions *s = mem_zalloc(sizeof *s);
    if (!s) return err_set(e, ERR_NOMEM, NULL, "no memory");
    *s = (struct sessions){.n_users = n_users, .n_items = n_items, .gap_ms = gap_ms};
    s->slots = mem_map(SESSIONS_MOST * sizeof *s->slots);
    s->last_of = mem_map((size_t)n_users * sizeof *s->last_of);
    s->with = mem_map((size_t)n_items * sizeof *s->with);
    s->count_with = mem_map((size_t)n_items * sizeof *s->count_with);
    if (!s->slots || !s->last_of || !s->with || !s->count_with) {
        sessions_free(s);
        return err_set(e, ERR_NOMEM, NULL, "no memory for sessions of %u users and %u items", n_users, n_items);
    }
    *out = s;
    return 0;
}

void sessions_free(struct sessions *s) {
    if (!s) return;
    for (uint32_t at = 0; s->slots && at <= s->count && at < SESSIONS_MOST; at++) mem_free(s->slots[at].items);
    for (uint32_t i = 0; s->with && i < s->top_item; i++) mem_free(s->with[i].numbers);
    mem_unmap(s->slots, SESSIONS_MOST * sizeof *s->slots);
    mem_unmap(s->last_of, (size_t)s->n_users * sizeof *s->last_of);
    mem_unmap(s->with, (size_t)s->n_items * sizeof *s->with);
    mem_unmap(s->count_with, (size_t)s->n_items * sizeof *s->count_with);
    mem_free(s);
}

const struct session *sessions_find(const struct sessions *s, uint32_t number) {
    const struct session *at = &s->slots[sessions_slot(number)];
    return number != 0 && at->number == number ? at : NULL;
}

const uint32_t *sessions_with(const struct sessions *s, uint32_t item, uint32_t *n) {
    *n = s->with[item].n;
    return s->with[item].numbers;
}

uint32_t sessions_last_of(const struct sessions *s, uint32_t user) { return s->last_of[user]; }
uint32_t sessions_count(const struct sessions *s) { return s->count; }
uint32_t sessions_count_with(const struct sessions *s, uint32_t item) { return s->count_with[item]; }

size_t sessions_size_bytes(const struct sessions *s) {
    uint32_t slots = s->count < SESSIONS_MOST ? s->count : SESSIONS_MOST;
    return sizeof *s + slots * sizeof *s->slots + s->top_user * sizeof *s->last_of +
           s->top_item * (sizeof *s->with + sizeof *s->count_with) + s->size_bytes;
}

static struct session *open_session(struct sessions *s, uint32_t user, int64_t ts_ms) {
    struct session *at = &s->slots[sessions_slot(s->last_of[user])];
    bool found = s->last_of[user] != 0 && at->number == s->last_of[user];
    if (found && (s->gap_ms == 0 || ts_ms - at->ts_ms <= s->gap_ms)) return at;
    at = &s->slots[sessions_slot(++s->count)];
    at->number = s->count;
    at->n = 0;
    s->last_of[user] = s->count;
    if (s->top_user <= user) s->top_user = user + 1;
    return at;
}

static uint32_t find(const uint32_t *list, uint32_t n, uint32_t what) {
    uint32_t at = 0;
    while (at < n && list[at] != what) at++;
    return at;
}

/* Takes out what stands at `at`, where anything does. */
static void take_out(uint32_t *list, uint32_t *n, uint32_t at) {
    if (at >= *n) return;
    memmove(list + at, list + at + 1, (*n - at - 1) * sizeof *list);
    --*n;
}

static bool push(struct sessions *s, uint32_t **list, uint32_t *n, uint32_t *room, uint32_t most, uint32_t what) {
    if (*n == *room) {
        uint32_t wanted = *room ? 2 * *room : 4;
        if (wanted > most) wanted = most;
        uint32_t *larger = mem_realloc(*list, wanted * sizeof *larger);
        if (!larger) return false;
        s->size_bytes += (wanted - *room) * sizeof *larger;
        *list = larger;
        *room = wanted;
    }
    (*list)[(*n)++] = what;
    return true;
}

static bool take(struct sessions *s, struct session *at, uint32_t item) {
    CHECK(item < s->n_items);
    if (s->top_item <= item) s->top_item = item + 1;
    struct with *with = &s->with[item];
    uint32_t place = find(at->items, at->n, item), listed = with->n;
    if (place < at->n) {
        listed = find(with->numbers, with->n, at->number);
    } else {
        s->count_with[item]++;
        if (at->n == SESSION_ITEMS) {
            struct with *oldest = &s->with[at->items[0]];
            take_out(oldest->numbers, &oldest->n, find(oldest->numbers, oldest->n, at->number));
            place = 0;
        }
    }
    if (listed == with->n && with->n == SESSIONS_RECENT) listed = 0;
    take_out(at->items, &at->n, place);
    take_out(with->numbers, &with->n, listed);
    return push(s, &at->items, &at->n, &at->room, SESSION_ITEMS, item) &&
           push(s, &with->numbers, &with->n, &with->room, SESSIONS_RECENT, at->number);
}

int sessions_learn(struct sessions *s, const struct past_event *ev, struct err *e) {
    CHECK(ev->user < s->n_users);
    struct session *at = open_session(s, ev->user, ev->ts_ms);
    at->ts_ms = ev->ts_ms;
    for (uint32_t k = 0; k < ev->n_items; k++) {
        if (!take(s, at, ev->items[k])) return err_set(e, ERR_NOMEM, NULL, "no memory for a session");
    }
    return 0;
}

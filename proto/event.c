/* Events: names, allow lists, reasons, the arena, and which half decodes. */
#include "proto/event.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "proto/event_priv.h"

#define ARRIVAL_MEMBER "\"_arrival\":"
#define ARRIVAL_BYTES  (sizeof ARRIVAL_MEMBER - 1 + 15 + 1) /* with the largest time and a comma */
#define SHOWN_BYTES    64                                   /* of a value in an error */
#define BLOCK_BYTES    ((size_t)16 << 10)
#define BLOCK_MOST     ((size_t)256 << 10)
#define KEPT_BYTES     ((size_t)1 << 20) /* by event_arena_reset */

const char *event_reason_name(enum event_reason r) {
    static const char *const names[EVENT_REASONS] = {
        [EVENT_OK] = "ok",
        [EVENT_NOT_JSON] = "not_json",
        [EVENT_NOT_UTF8] = "not_utf8",
        [EVENT_DUPLICATE_KEY] = "duplicate_key",
        [EVENT_TOO_LONG] = "too_long",
        [EVENT_NO_TYPE] = "no_type",
        [EVENT_UNKNOWN_TYPE] = "unknown_type",
        [EVENT_TYPE_DENIED] = "type_denied",
        [EVENT_NO_USER] = "no_user",
        [EVENT_NO_ITEM] = "no_item",
        [EVENT_BAD_ID] = "bad_id",
        [EVENT_BAD_TIME] = "bad_time",
        [EVENT_NO_TIME_AT_ALL] = "no_time",
        [EVENT_BAD_NUMBER] = "bad_number",
        [EVENT_BAD_ITEMS] = "bad_items",
        [EVENT_BAD_FIELD] = "bad_field",
        [EVENT_RESERVED] = "reserved",
        [EVENT_DUPLICATE] = "duplicate",
        [EVENT_ITEMS_FULL] = "items_full",
        [EVENT_NO_MEMORY] = "no_memory",
        [EVENT_RULED_OUT] = "ruled_out",
    };
    return (unsigned)r < EVENT_REASONS ? names[r] : "unknown";
}

int event_type_index(const struct event_rules *rules, struct slice name) {
    if (name.n == 0 || name.n >= sizeof rules->types[0]) return -1;
    for (size_t t = 0; t < rules->n_types; t++) {
        const char *type = rules->types[t];
        if (type[0] == name.p[0] && type[name.n] == '\0' && event_same(type, name.p, name.n)) return (int)t;
    }
    return -1;
}

/* Takes the part before the next comma off the front, without spaces around it. False when nothing is left. */
static bool next_name(struct slice *list, bool *more, struct slice *name) {
    if (!*more) return false;
    const char *comma = list->n ? memchr(list->p, ',', list->n) : NULL;
    size_t n = comma ? (size_t)(comma - list->p) : list->n;
    *name = slice_of(list->p, n);
    *more = comma != NULL;
    list->p += n + *more;
    list->n -= n + *more;
    while (name->n > 0 && name->p[0] == ' ') name->p++, name->n--;
    while (name->n > 0 && name->p[name->n - 1] == ' ') name->n--;
    return true;
}

static uint32_t allow_bit(const struct event_rules *rules, struct slice name) {
    const uint32_t types = ((uint32_t)1 << rules->n_types) - 1;
    if (slice_is(name, "behaviour")) return types | EVENT_ALLOW_IMPRESSION;
    if (slice_is(name, "all"))
        return types | EVENT_ALLOW_IMPRESSION | EVENT_ALLOW_ITEM | EVENT_ALLOW_USER | EVENT_ALLOW_DELETE;
    if (slice_is(name, "impression")) return EVENT_ALLOW_IMPRESSION;
    if (slice_is(name, "item")) return EVENT_ALLOW_ITEM;
    if (slice_is(name, "user")) return EVENT_ALLOW_USER;
    if (slice_is(name, "delete")) return EVENT_ALLOW_DELETE;
    int t = event_type_index(rules, name);
    return t < 0 ? 0 : (uint32_t)1 << t;
}

int event_allow_parse(const struct event_rules *rules, const char *text, uint32_t *allow, struct err *e) {
    struct slice list = slice_str(text), name;
    uint32_t all = 0;
    for (bool more = true; next_name(&list, &more, &name);) {
        uint32_t bit = allow_bit(rules, name);
        if (bit == 0)
            return err_set(e, ERR_SYNTAX, "allowed_types",
                           "no event type is named '%.*s'; allowed: behaviour, all, or a list of configured types, "
                           "impression, item, user, delete",
                           (int)(name.n < SHOWN_BYTES ? name.n : SHOWN_BYTES), name.p);
        all |= bit;
    }
    *allow = all;
    return 0;
}

static bool is_name(struct slice s, size_t room) {
    if (s.n == 0 || s.n >= room || !utf8_valid(s)) return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == '"' || s.p[i] == '\\' || s.p[i] == 0x7f) return false;
    return true;
}

int event_names_parse(const char *text, struct event_names *out, struct err *e) {
    static const struct event_rules none; /* with it only the fields of fixed names are known */
    struct event_names names = {0};
    const size_t most = sizeof names.name / sizeof names.name[0];
    struct slice list = slice_str(text), name;
    for (bool more = true; next_name(&list, &more, &name);) {
        const int shown = (int)(name.n < SHOWN_BYTES ? name.n : SHOWN_BYTES);
        if (!is_name(name, sizeof names.name[0]))
            return err_set(e, ERR_SYNTAX, NULL,
                           "'%.*s' is no field name; allowed: 1 to 32 bytes of UTF-8 without quotes and backslashes",
                           shown, name.p);
        if (event_field_of(&none, name) != FIELD_UNKNOWN)
            return err_set(e, ERR_RANGE, NULL, "'%.*s' is a field with a meaning of its own", shown, name.p);
        for (size_t i = 0; i < names.n; i++)
            if (slice_is(name, names.name[i]))
                return err_set(e, ERR_SYNTAX, NULL, "'%.*s' stands twice", shown, name.p);
        if (names.n == most)
            return err_set(e, ERR_RANGE, NULL, "more than %zu names; '%.*s' is too many", most, shown, name.p);
        memcpy(names.name[names.n], name.p, name.n);
        names.n++;
    }
    *out = names;
    return 0;
}

enum event_reason event_refuse(struct err *e, enum event_reason why, const char *field, struct slice value,
                               const char *allowed, ...) {
    if (!e) return why;
    char text[sizeof e->text];
    va_list args;
    va_start(args, allowed);
    vsnprintf(text, sizeof text, allowed, args);
    va_end(args);
    const int code = why == EVENT_TOO_LONG ? ERR_RANGE : why == EVENT_TYPE_DENIED ? ERR_DENIED : ERR_SYNTAX;
    if (value.p)
        err_set(e, code, field, "'%.*s'%s: %s", (int)(value.n < SHOWN_BYTES ? value.n : SHOWN_BYTES), value.p,
                value.n > SHOWN_BYTES ? " (shortened)" : "", text);
    else
        err_set(e, code, field, "%s", text);
    return why;
}

enum event_reason event_no_memory(struct err *e) {
    err_set(e, ERR_NOMEM, NULL, "no memory to decode an event");
    return EVENT_NO_MEMORY;
}

enum event_reason event_check_length(struct slice json, const struct event_context *c, struct err *e) {
    const size_t most = c->rules->max_event_bytes + (c->own_log ? ARRIVAL_BYTES : 0);
    if (json.n <= most) return EVENT_OK;
    return event_refuse(e, EVENT_TOO_LONG, NULL, (struct slice){0}, "the event has %zu bytes, allowed: %zu", json.n,
                        most);
}

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

struct slice event_trim(struct slice json) {
    while (json.n > 0 && is_space(json.p[0])) json.p++, json.n--;
    while (json.n > 0 && is_space(json.p[json.n - 1])) json.n--;
    return json;
}

enum event_reason event_decode(struct slice json, const struct event_context *c, struct event_arena *a,
                               struct event *out, struct err *e) {
    int r = event_decode_fast(json, c, a, out, e);
    return r >= 0 ? (enum event_reason)r : event_decode_jansson(json, c, a, out, e);
}

void event_write_line(struct slice json, int64_t arrival_ms, struct buf *out) {
    struct slice s = event_trim(json);
    if (s.n > 0) s.p++, s.n--; /* the brace */
    s = event_trim(s);
    buf_add_str(out, "{" ARRIVAL_MEMBER);
    buf_add_i64(out, arrival_ms);
    if (!slice_is(s, "}")) buf_add_char(out, ',');
    while (s.n > 0) { /* a line break stands only between tokens here, where it means nothing */
        size_t n = 0;
        while (n < s.n && s.p[n] != '\n' && s.p[n] != '\r') n++;
        buf_add(out, s.p, n);
        if (n < s.n) n++;
        s.p += n;
        s.n -= n;
    }
}

struct block {
    struct block *next;
    size_t size, used; /* bytes behind the head */
    alignas(max_align_t) char bytes[];
};

struct event_arena {
    struct block *current; /* the list of those in use, newest first */
    struct block *spare;   /* emptied ones */
    size_t bytes;          /* held from the system */
    size_t next_size;
};

struct event_arena *event_arena_new(void) {
    struct event_arena *a = mem_alloc(sizeof *a);
    if (a) *a = (struct event_arena){.bytes = sizeof *a, .next_size = BLOCK_BYTES};
    return a;
}

static struct block *block_for(struct event_arena *a, size_t n) {
    for (struct block **at = &a->spare; *at; at = &(*at)->next) {
        if ((*at)->size < n) continue;
        struct block *b = *at;
        *at = b->next;
        return b;
    }
    size_t size = n > a->next_size ? n : a->next_size;
    struct block *b = mem_alloc(sizeof *b + size);
    if (!b) return NULL;
    *b = (struct block){.size = size};
    a->bytes += sizeof *b + size;
    if (a->next_size < BLOCK_MOST) a->next_size *= 2;
    return b;
}

void *event_arena_take(struct event_arena *a, size_t n) {
    n = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    struct block *b = a->current;
    if (!b || b->size - b->used < n) {
        b = block_for(a, n);
        if (!b) return NULL;
        b->next = a->current;
        a->current = b;
    }
    void *p = b->bytes + b->used;
    b->used += n;
    return p;
}

void event_arena_reset(struct event_arena *a) {
    struct block *all = a->spare, *next;
    for (struct block *b = a->current; b; b = next) {
        next = b->next;
        b->next = all;
        all = b;
    }
    a->current = a->spare = NULL;
    a->bytes = sizeof *a;
    a->next_size = BLOCK_BYTES;
    for (struct block *b = all; b; b = next) {
        next = b->next;
        if (a->bytes + sizeof *b + b->size > KEPT_BYTES) {
            mem_free(b);
            continue;
        }
        a->bytes += sizeof *b + b->size;
        if (a->next_size < BLOCK_MOST) a->next_size *= 2;
        b->used = 0;
        b->next = a->spare;
        a->spare = b;
    }
}

size_t event_arena_bytes(const struct event_arena *a) { return a->bytes; }

void event_arena_free(struct event_arena *a) {
    if (!a) return;
    struct block *lists[] = {a->current, a->spare}, *next;
    for (size_t k = 0; k < 2; k++)
        for (struct block *b = lists[k]; b; b = next) {
            next = b->next;
            mem_free(b);
        }
    mem_free(a);
}

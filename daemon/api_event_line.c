/* One event, one line. */
#include "daemon/api_event_line.h"

#include <stdbool.h>

#include "lib/base/check.h"
#include "proto/event.h"

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static struct slice trim(struct slice s) {
    while (s.n && blank(s.p[0])) s = slice_of(s.p + 1, s.n - 1);
    while (s.n && blank(s.p[s.n - 1])) s.n--;
    return s;
}

/* Valid JSON has line breaks between tokens only, where a blank does as well. */
static void add_on_one_line(struct slice s, struct buf *out) {
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\n' && s.p[i] != '\r') continue;
        buf_add(out, s.p + from, i - from);
        buf_add_char(out, ' ');
        from = i + 1;
    }
    buf_add(out, s.p + from, s.n - from);
}

void api_event_as_came(struct slice json, int64_t ts_ms, const char *ts_name, struct buf *out) {
    struct slice s = trim(json);
    CHECK(s.n >= 2 && s.p[0] == '{' && s.p[s.n - 1] == '}');
    if (ts_ms != EVENT_NO_TIME) {
        struct slice members = trim(slice_of(s.p + 1, s.n - 2));
        buf_add_char(out, '{');
        buf_add_json(out, slice_str(ts_name));
        buf_add_char(out, ':');
        buf_add_i64(out, ts_ms);
        if (members.n) buf_add_char(out, ',');
        s = slice_of(members.p, members.n);
        add_on_one_line(s, out);
        buf_add_char(out, '}');
        return;
    }
    add_on_one_line(s, out);
}

/* Records in one buffer, and the sources they came from. */
#include "daemon/backtest_log.h"

#include <string.h>

#include "daemon/replay_feed.h"
#include "daemon/sources.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"

#define ALL_TYPES (0xffffu | EVENT_ALLOW_IMPRESSION | EVENT_ALLOW_ITEM | EVENT_ALLOW_USER | EVENT_ALLOW_DELETE)

void backtest_log_init(struct backtest_log *l) {
    *l = (struct backtest_log){.n = 0};
    buf_init(&l->texts, SIZE_MAX);
}

void backtest_log_free(struct backtest_log *l) {
    buf_free(&l->texts);
    mem_free(l->records);
    mem_free(l->sources);
    mem_free(l->files);
    backtest_log_init(l);
}

int backtest_log_add(struct backtest_log *l, const struct backtest_record *r, struct slice text, struct slice key,
                     struct err *e) {
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 4096;
        struct backtest_record *records = mem_realloc(l->records, cap * sizeof *records);
        if (!records) return err_set(e, ERR_NOMEM, "log", "no memory for %zu records", cap);
        l->records = records;
        l->cap = cap;
    }
    struct backtest_record *to = &l->records[l->n];
    *to = *r;
    to->text = l->texts.n;
    to->bytes = (uint32_t)text.n;
    to->key = (uint32_t)key.n;
    buf_add_slice(&l->texts, text);
    buf_add_slice(&l->texts, key);
    if (l->texts.failed) return err_set(e, ERR_NOMEM, "log", "no memory for a log of more than %zu bytes", l->texts.n);
    l->n++;
    return 0;
}

int backtest_log_source(struct backtest_log *l, const char *name, bool foreign, uint32_t *index, struct err *e) {
    for (size_t k = 0; k < l->n_sources; k++)
        if (strcmp(l->sources[k].name, name) == 0) {
            *index = (uint32_t)k;
            return 0;
        }
    if (strlen(name) >= sizeof l->sources->name)
        return err_set(e, ERR_RANGE, "sources", "the name \"%.100s\" is longer than %zu bytes", name,
                       sizeof l->sources->name - 1);
    struct backtest_source *sources = mem_realloc(l->sources, (l->n_sources + 1) * sizeof *sources);
    if (!sources) return err_set(e, ERR_NOMEM, "sources", "no memory");
    l->sources = sources;
    sources[l->n_sources] = (struct backtest_source){.foreign = foreign};
    memcpy(sources[l->n_sources].name, name, strlen(name) + 1);
    *index = (uint32_t)l->n_sources++;
    return 0;
}

int backtest_log_file(struct backtest_log *l, const char *path, uint32_t *index, struct err *e) {
    const char **files = mem_realloc(l->files, (l->n_files + 1) * sizeof *files);
    if (!files) return err_set(e, ERR_NOMEM, "log", "no memory");
    l->files = files;
    files[l->n_files] = path;
    *index = (uint32_t)l->n_files++;
    return 0;
}

int backtest_next(const char *path, struct reader *reader, struct read_record *out, struct err *e) {
    struct err why;
    int rc = reader_next(reader, out, &why);
    return rc < 0 ? err_set(e, rc, "log", "%.500s: %s", path, why.text) : rc;
}

int backtest_log_read(struct backtest_log *l, const struct backtest_input *in, struct err *e) {
    size_t own = 0;
    for (size_t k = 0; k < in->n_files; k++) own += replay_feed_is_own(in->files[k]);
    bool foreign = in->n_files > own && !in->journal;
    size_t file = 0;
    while (foreign && replay_feed_is_own(in->files[file])) file++;
    if (foreign && (own > 0 || in->n_topics > 0))
        return err_set(e, ERR_RANGE, "log",
                       "%.500s is no own log and stands beside one or topics: their order is not known",
                       in->files[file]);
    if (foreign && (in->from.kind != BACKTEST_OPEN || in->to.kind != BACKTEST_OPEN))
        return err_set(e, ERR_RANGE, "log", "--from and --to are for an own log and topics");
    int rc = backtest_read_described(l, in, e);
    l->foreign = foreign;
    if (rc < 0) return rc;
    return foreign ? backtest_read_files(l, in, e) : backtest_read_own(l, in, e);
}

/* One source of a foreign log: it may send everything. */
static int foreign_source(struct source *s, const char *name, const struct event_rules *rules, const char *type,
                          struct err *e) {
    int of_type = type ? event_type_index(rules, slice_str(type)) : -1;
    if (type && of_type < 0) return err_set(e, ERR_RANGE, "type", "--type %s: no such event type is configured", type);
    return source_init(s, name, ALL_TYPES, of_type, e);
}

static int configured_source(struct source *s, const char *name, const struct config *c,
                             const struct event_rules *rules, struct err *e) {
    struct source *all = mem_zalloc(SOURCES_MAX * sizeof *all);
    if (!all) return err_set(e, ERR_NOMEM, "sources", "no memory");
    size_t n = 0, at = 0;
    int rc = sources_configure(c, rules, all, &n, e);
    while (rc == 0 && at < n && strcmp(all[at].name, name) != 0) at++;
    if (rc == 0 && at == n)
        rc = err_set(e, ERR_RANGE, "sources",
                     "source \"%s\" is not in the configuration: its event types and rights are not known", name);
    if (rc == 0) rc = source_init(s, name, all[at].allow, all[at].default_type, e);
    if (n > 0) sources_done(all, n);
    mem_free(all);
    return rc;
}

int backtest_log_sources(const struct backtest_log *l, const struct config *c, const struct event_rules *rules,
                         const char *type, struct source **out, struct err *e) {
    struct source *s = mem_zalloc((l->n_sources + 1) * sizeof *s);
    if (!s) return err_set(e, ERR_NOMEM, "sources", "no memory");
    int rc = 0;
    size_t k = 0;
    for (; k < l->n_sources && rc == 0; k++)
        rc = l->sources[k].foreign ? foreign_source(&s[k], l->sources[k].name, rules, type, e)
                                   : configured_source(&s[k], l->sources[k].name, c, rules, e);
    if (rc == 0) {
        *out = s;
        return 0;
    }
    sources_done(s, k - 1);
    mem_free(s);
    return rc;
}

void backtest_log_sources_free(const struct backtest_log *l, struct source *sources) {
    if (!sources) return;
    sources_done(sources, l->n_sources);
    mem_free(sources);
}

uint64_t backtest_log_hash(const struct backtest_log *l) {
    uint64_t h = l->n;
    for (size_t k = 0; k < l->n_sources; k++) h = hash64(l->sources[k].name, strlen(l->sources[k].name), h);
    for (size_t k = 0; k < l->n; k++) {
        const struct backtest_record *r = &l->records[k];
        uint64_t place[] = {r->source, r->partition, r->offset, (uint64_t)r->record_ms, (uint64_t)r->arrival_ms,
                            r->bytes,  r->key};
        h = hash64(place, sizeof place, h);
        h = hash64(l->texts.p + r->text, (size_t)r->bytes + r->key, h);
    }
    return h;
}

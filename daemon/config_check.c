/* Options that are fine alone and contradict each other. */
#include "daemon/config_priv.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <string.h>
#include <sys/un.h>

#include "lib/base/clock.h"
#include "lib/model/terms.h"
#include "proto/event.h"

#define MAX_FIELD_NAMES 4
#define MAX_FIELD_NAME  32
#define MAX_TOPICS      64
#define MAX_TOPIC_NAME  249 /* Kafka's own limit is the same */

/* The option behind "section.key", or "GROUP.NAME.key" of a group (whose names have four letters), and its row. */
static const struct config_option *find(const struct config *c, const char *name, const void **row) {
    char group[CONFIG_MAX_NAME];
    struct config_group groups[CONFIG_GROUPS];
    const char *dot = strrchr(name, '.');
    snprintf(group, sizeof group, "%.*s", (int)strcspn(name, "."), name);
    config_groups(c, groups);
    *row = c;
    for (size_t g = 0; g < CONFIG_GROUPS; g++) {
        if (strcmp(group, groups[g].name) != 0) continue;
        for (size_t i = 0; i < groups[g].n; i++) {
            const char *at = (const char *)groups[g].rows + i * groups[g].row_size;
            if (strncmp(name + 5, at, (size_t)(dot - name - 5)) == 0 && strlen(at) == (size_t)(dot - name - 5))
                *row = at;
        }
    }
    return config_option_find(group, dot + 1);
}

static void say(const struct config *c, const char *name, char *out, size_t size) {
    const void *row;
    struct buf text;
    const struct config_option *o = find(c, name, &row);
    buf_init(&text, CONFIG_MAX_VALUE + 1);
    config_value_print(o, config_get(o, row), &text);
    snprintf(out, size, "%s = %.64s", name, text.n ? text.p : "");
    buf_free(&text);
}

/* Of an option that nobody set in a section that somebody named: that section. */
static struct config_from origin_of(const struct config *c, const char *name) {
    char section[CONFIG_MAX_NAME], named[CONFIG_MAX_NAME];
    struct config_from from = config_origin(c, name);
    if (from.where != CONFIG_DEFAULT) return from;
    snprintf(section, sizeof section, "%.*s", (int)(strrchr(name, '.') - name), name);
    config_section_name(section, named);
    return config_origin(c, named);
}

int config_clash(const struct config *c, struct err *e, const char *a, const char *b, const char *fmt, ...) {
    char first[232], second[232], at[160], other[160], why[224];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    config_from_text(c, a, origin_of(c, a), at, sizeof at);
    say(c, a, first, sizeof first);
    if (!b) return err_set(e, ERR_RANGE, a, "%s: %s: %s", at, first, why);
    config_from_text(c, b, origin_of(c, b), other, sizeof other);
    say(c, b, second, sizeof second);
    return err_set(e, ERR_RANGE, a, "%s: %s contradicts %s (%s): %s", at, first, second, other, why);
}

/* ---- types ---- */

bool config_is_type(const struct config *c, struct slice name) {
    for (size_t i = 0; i < c->n_types; i++)
        if (slice_is(name, c->types[i].name)) return true;
    return false;
}

static void nearest_type(const struct config *c, struct slice name, char out[33]) {
    char text[CONFIG_MAX_NAME];
    size_t best = SIZE_MAX;
    snprintf(text, sizeof text, "%.*s", (int)(name.n < sizeof text ? name.n : sizeof text - 1), name.p);
    for (size_t i = 0; i < c->n_types; i++) {
        size_t edits = config_distance(text, c->types[i].name);
        if (edits >= best) continue;
        best = edits;
        snprintf(out, 33, "%s", c->types[i].name);
    }
}

int config_unknown_type(const struct config *c, const char *option, struct slice type, struct err *e) {
    char near[33] = "";
    nearest_type(c, type, near);
    return config_clash(c, e, option, NULL, "unknown type %.*s; the nearest configured one is %s",
                        (int)(type.n < 40 ? type.n : 40), type.p, near);
}

static int check_allowed(const struct config *c, const char *option, const char *list, struct err *e) {
    static const char *const own[] = {"impression", "item", "user", "delete"};
    struct slice item;
    if (strcmp(list, "behaviour") == 0 || strcmp(list, "all") == 0) return 0;
    if (*list == '\0') return config_clash(c, e, option, NULL, "allowed: behaviour, all, or a list of types");
    for (const char *rest = list; config_list_next(&rest, &item);) {
        bool known = config_is_type(c, item);
        for (size_t i = 0; i < 4; i++) known = known || slice_is(item, own[i]);
        if (!known) return config_unknown_type(c, option, item, e);
    }
    return 0;
}

/* ---- events ---- */

static int check_field_names(const struct config *c, struct err *e) {
    const struct {
        const char *option, *list;
    } fields[] = {{"events.user", c->field_user},
                  {"events.item", c->field_item},
                  {"events.type", c->field_type},
                  {"events.ts", c->field_ts},
                  {"events.id", c->field_id},
                  {"events.word_features", c->word_features},
                  {"events.band_features", c->band_features}};
    const size_t n_own = 5; /* those of an event; the others name members of features */
    for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
        struct slice name, other;
        size_t n = 0;
        for (const char *rest = fields[f].list; config_list_next(&rest, &name); n++) {
            if (name.n > MAX_FIELD_NAME || n == MAX_FIELD_NAMES)
                return config_clash(c, e, fields[f].option, NULL, "allowed: %s4 names of at most 32 bytes",
                                    f < n_own ? "1 to " : "up to ");
            size_t same = 0;
            for (const char *own = fields[f].list; config_list_next(&own, &other);) same += slice_equal(name, other);
            if (same > 1) return config_clash(c, e, fields[f].option, NULL, "a name is listed twice");
            for (size_t g = f < n_own ? 0 : n_own; g < f; g++)
                for (const char *theirs = fields[g].list; config_list_next(&theirs, &other);)
                    if (slice_equal(name, other))
                        return config_clash(c, e, fields[f].option, fields[g].option,
                                            "one name cannot be read as two fields");
        }
        if (n == 0 && f < n_own)
            return config_clash(c, e, fields[f].option, NULL, "allowed: 1 to 4 names of at most 32 bytes");
    }
    return 0;
}

static int check_impression_types(const struct config *c, struct err *e) {
    static const char *const own[] = {"impression", "item", "user", "delete"};
    struct slice name;
    size_t n = 0;
    for (const char *rest = c->impression_types; config_list_next(&rest, &name); n++) {
        if (!config_name_valid(name) || n == EVENT_MAX_SHOWN)
            return config_clash(c, e, "events.impression_types", NULL,
                                "allowed: at most 8 names of 1 to 32 of a-z 0-9 - _");
        for (size_t k = 0; k < 4; k++)
            if (slice_is(name, own[k]))
                return config_clash(c, e, "events.impression_types", NULL, "%s is a type of rankd's own", own[k]);
        if (!config_is_type(c, name)) continue;
        char type[48];
        snprintf(type, sizeof type, "type.%.*s.weight", (int)name.n, name.p);
        return config_clash(c, e, "events.impression_types", type, "one type cannot be both");
    }
    return 0;
}

static int check_events(const struct config *c, struct err *e) {
    if (c->n_types == 0)
        return err_set(e, ERR_RANGE, "type", "every type has enabled = no: there is nothing to learn from");
    int rc = check_field_names(c, e);
    if (rc == 0) rc = check_impression_types(c, e);
    if (rc) return rc;
    if (c->dim % 16 != 0) return config_clash(c, e, "model.dim", NULL, "allowed: a multiple of 16 from 16 to 256");
    if (c->history > c->user_items)
        return config_clash(c, e, "model.history", "model.user_items",
                            "the history is taken from the items remembered");
    if (c->queue_bytes < c->max_event_bytes)
        return config_clash(c, e, "learner.queue_bytes", "events.max_event_bytes", "one event must fit into the queue");
    return 0;
}

/* ---- model ---- */

/* Names the largest share of the negatives and the next one. */
static int check_shares(const struct config *c, struct err *e) {
    const char *const names[] = {"model.recent_share", "model.popular_share", "model.hard_share",
                                 "model.exposed_share"};
    const double shares[] = {c->recent_share, c->popular_share, c->hard_share, c->exposed_share};
    size_t first = 0, second = 1;
    double sum = shares[0];
    for (size_t k = 1; k < sizeof shares / sizeof *shares; k++) {
        sum += shares[k];
        if (shares[k] > shares[first]) {
            second = first;
            first = k;
        } else if (shares[k] > shares[second]) {
            second = k;
        }
    }
    if (sum <= 1 + 1e-9) return 0;
    return config_clash(
        c, e, names[first], names[second],
        "recent_share, popular_share, hard_share and exposed_share are parts of the negatives and add up to %g", sum);
}

static int check_terms(const struct config *c, struct err *e) {
    struct slice name;
    for (const char *rest = c->terms; config_list_next(&rest, &name);) {
        int f = 0;
        if (slice_is(name, "all")) continue;
        if (name.n > 0 && name.p[0] == '-') name = slice_of(name.p + 1, name.n - 1);
        while (f < TERMS && !slice_is(name, terms_name(f))) f++;
        if (f == TERMS)
            return config_clash(c, e, "model.terms", NULL, "allowed: all, names of terms of the score, and -name");
    }
    for (int f = 0; f < TERMS; f++)
        if (config_has_term(c, terms_name(f))) return 0;
    return config_clash(c, e, "model.terms", NULL, "a score needs a term");
}

static int check_model(const struct config *c, struct err *e) {
    if (c->label_smoothing > 0 && strcmp(c->loss, "sampled-softmax") != 0)
        return config_clash(c, e, "model.label_smoothing", "model.loss", "only sampled-softmax has labels");
    if (c->normalise && c->row_half_life_ms > 0)
        return config_clash(c, e, "model.row_half_life", "model.normalise", "rows of a fixed length cannot fade");
    int rc = check_shares(c, e);
    return rc < 0 ? rc : check_terms(c, e);
}

/* ---- sources ---- */

static bool topic_valid(struct slice t) {
    if (t.n < 1 || t.n > MAX_TOPIC_NAME || slice_is(t, ".") || slice_is(t, "..")) return false;
    for (size_t i = 0; i < t.n; i++) {
        char c = t.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '.' && c != '_' && c != '-') return false;
    }
    return true;
}

static struct slice topic_of(struct slice entry, struct slice *type) {
    const char *colon = entry.n ? memchr(entry.p, ':', entry.n) : NULL;
    struct slice topic = slice_of(entry.p, colon ? (size_t)(colon - entry.p) : entry.n);
    *type = colon ? slice_of(colon + 1, entry.n - topic.n - 1) : slice_of("", 0);
    return topic;
}

/* What records without a type can be. */
static bool is_source_type(const struct config *c, struct slice type) {
    return slice_is(type, "impression") || config_is_type(c, type);
}

static int check_topics(const struct config *c, struct err *e) {
    struct slice seen[MAX_TOPICS], entry, type;
    size_t n = 0;
    bool intake = false;
    for (const char *rest = c->kafka_topics; config_list_next(&rest, &entry);) {
        struct slice topic = topic_of(entry, &type);
        if (!topic_valid(topic))
            return config_clash(c, e, "kafka.topics", NULL,
                                "allowed: topic[:type],... with topics of 1 to 249 of a-z A-Z 0-9 . _ -");
        if (n == MAX_TOPICS) return config_clash(c, e, "kafka.topics", NULL, "allowed: at most %d topics", MAX_TOPICS);
        for (size_t i = 0; i < n; i++)
            if (slice_equal(seen[i], topic))
                return config_clash(c, e, "kafka.topics", NULL, "topic %.*s is listed twice", (int)topic.n, topic.p);
        seen[n++] = topic;
        bool typed = topic.n < entry.n;
        if (typed && *c->kafka_brokers && !is_source_type(c, type))
            return config_unknown_type(c, "kafka.topics", type, e);
        intake = intake || slice_is(topic, c->kafka_intake_topic);
    }
    if (*c->kafka_brokers == '\0') return 0;
    if (n == 0) return config_clash(c, e, "kafka.topics", "kafka.brokers", "a cluster without a topic to learn from");
    if (!intake)
        return config_clash(c, e, "kafka.intake_topic", "kafka.topics",
                            "what intake writes would not be learned; name one of the topics");
    return 0;
}

static int check_files(const struct config *c, struct err *e) {
    char name[CONFIG_MAX_NAME], other[CONFIG_MAX_NAME];
    for (size_t i = 0; i < c->n_files; i++) {
        const struct config_file *f = &c->files[i];
        snprintf(name, sizeof name, "file.%s.path", f->name);
        if (*f->path == '\0') return config_clash(c, e, name, NULL, "a followed file needs its path");
        for (size_t j = 0; j < i; j++) {
            snprintf(other, sizeof other, "file.%s.path", c->files[j].name);
            if (strcmp(f->path, c->files[j].path) == 0)
                return config_clash(c, e, name, other, "the same file would be learned twice");
        }
        snprintf(name, sizeof name, "file.%s.type", f->name);
        if (*f->type && !is_source_type(c, slice_str(f->type)))
            return config_unknown_type(c, name, slice_str(f->type), e);
        snprintf(name, sizeof name, "file.%s.allowed_types", f->name);
        int rc = check_allowed(c, name, f->allowed_types, e);
        if (rc) return rc;
    }
    return 0;
}

static int check_sources(const struct config *c, struct err *e) {
    int64_t start;
    int rc = check_topics(c, e);
    if (rc == 0) rc = check_files(c, e);
    if (rc == 0) rc = check_allowed(c, "kafka.allowed_types", c->kafka_allowed_types, e);
    if (rc == 0) rc = check_allowed(c, "log.allowed_types", c->log_allowed_types, e);
    if (rc) return rc;
    const char *from = c->kafka_start;
    if (strcmp(from, "earliest") != 0 && strcmp(from, "latest") != 0 && !clock_parse(slice_str(from), &start))
        return config_clash(c, e, "kafka.start", NULL,
                            "allowed: earliest, latest, or a time like 2024-05-01T00:00:00Z");
    if (strcmp(c->log_enabled, "no") == 0 && *c->kafka_brokers == '\0' && c->n_files == 0)
        return config_clash(c, e, "log.enabled", "kafka.brokers",
                            "without a followed file as well there is nothing to learn from");
    return 0;
}

/* ---- storage ---- */

static int check_storage(const struct config *c, struct err *e) {
    size_t longest = sizeof((struct sockaddr_un *)0)->sun_path - 1;
    if (*c->data_dir == '\0') return config_clash(c, e, "rankd.data_dir", NULL, "allowed: the path of a directory");
    if (*c->admin_socket == '\0' && strlen(c->data_dir) + strlen("/admin.sock") > longest)
        return config_clash(c, e, "rankd.data_dir", "admin.socket", "data_dir/admin.sock is longer than %zu bytes",
                            longest);
    if (strlen(c->admin_socket) > longest)
        return config_clash(c, e, "admin.socket", NULL, "allowed: at most %zu bytes", longest);
    if (c->checkpoint_min_ms > c->checkpoint_max_ms)
        return config_clash(c, e, "checkpoint.min_interval", "checkpoint.max_interval",
                            "the shortest interval is longer than the longest");
    if (c->preallocate_bytes > c->map_size)
        return config_clash(c, e, "checkpoint.preallocate", "checkpoint.map_size",
                            "the data file cannot outgrow its map");
    if (c->log_max_bytes != 0 && c->log_max_bytes < c->log_segment_bytes)
        return config_clash(c, e, "log.max_bytes", "log.segment_bytes", "one segment must fit");
    if (c->log_max_bytes != 0 && c->log_retain_bytes >= c->log_max_bytes)
        return config_clash(c, e, "log.retain_bytes", "log.max_bytes", "intake would stop before anything is deleted");
    if (c->intake_queue_bytes < c->http_max_body)
        return config_clash(c, e, "intake.queue_bytes", "http.max_body", "one request must fit into the queue");
    return 0;
}

/* ---- listeners ---- */

bool config_parse_listen(const char *text, struct config_listen *out) {
    struct config_listen l = {.port = 0};
    const char *colon = strrchr(text, ':');
    if (!colon || colon[1] == '\0' || strlen(colon + 1) > 5 || colon[1 + strspn(colon + 1, "0123456789")] != '\0')
        return false;
    unsigned long port = 0;
    for (const char *p = colon + 1; *p; p++) port = port * 10 + (unsigned long)(*p - '0');
    if (port > 65535) return false;
    l.port = (uint16_t)port;
    size_t n = (size_t)(colon - text);
    l.ipv6 = n >= 2 && text[0] == '[' && text[n - 1] == ']';
    if (l.ipv6) text++, n -= 2;
    if (n == 0 || n >= sizeof l.host) return false;
    memcpy(l.host, text, n);
    struct in_addr v4;
    struct in6_addr v6;
    if (l.ipv6) {
        if (inet_pton(AF_INET6, l.host, &v6) != 1) return false;
        l.loopback = IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    } else {
        if (strcmp(l.host, "localhost") == 0) snprintf(l.host, sizeof l.host, "127.0.0.1");
        if (inet_pton(AF_INET, l.host, &v4) != 1) return false;
        l.loopback = ntohl(v4.s_addr) >> 24 == 127;
    }
    *out = l;
    return true;
}

static int check_listeners(const struct config *c, struct err *e) {
    static const char form[] = "allowed: ADDRESS:PORT, [IPV6]:PORT or localhost:PORT; numeric, port 0 to 65535";
    struct {
        const char *name, *text;
        struct config_listen at;
    } all[] = {{"http.listen", c->http_listen, {.port = 0}},
               {"admin.listen", c->admin_listen, {.port = 0}},
               {"metrics.listen", c->metrics_listen, {.port = 0}}};
    for (size_t i = 0; i < 3; i++) {
        if (i > 0 && *all[i].text == '\0') continue;
        if (!config_parse_listen(all[i].text, &all[i].at)) return config_clash(c, e, all[i].name, NULL, "%s", form);
        if (i > 0 && !all[i].at.loopback) return config_clash(c, e, all[i].name, NULL, "allowed: a loopback address");
        for (size_t j = 0; j < i; j++)
            if (all[i].at.port != 0 && all[i].at.port == all[j].at.port && strcmp(all[i].at.host, all[j].at.host) == 0)
                return config_clash(c, e, all[i].name, all[j].name, "two listeners cannot share an address");
    }
    if (!all[0].at.loopback && *c->http_tokens_file == '\0' && !c->http_public_without_token)
        return config_clash(c, e, "http.listen", "http.tokens_file",
                            "beyond loopback set tokens_file, or say public_without_token = yes if anybody may ask");
    if (*c->admin_listen && *c->admin_token_file == '\0')
        return config_clash(c, e, "admin.listen", "admin.token_file", "a TCP admin listener needs a token");
    return 0;
}

int config_check(const struct config *c, struct err *e) {
    int rc = check_events(c, e);
    if (rc == 0) rc = check_model(c, e);
    if (rc == 0) rc = check_sources(c, e);
    if (rc == 0) rc = config_check_rules(c, e);
    if (rc == 0) rc = check_storage(c, e);
    if (rc == 0) rc = check_listeners(c, e);
    return rc;
}

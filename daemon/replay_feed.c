/* Feeds: parts of a log that follow each other, and Kafka topics. */
#include "daemon/replay_feed.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/kafka_reader.h"
#include "daemon/source.h"
#include "lib/base/mem.h"
#include "lib/store/seglog.h"
#include "proto/event.h"

#define MAX_TOPICS 64

struct part { /* a file or a directory of the own log */
    const char *path;
    char dir[4096];      /* of a checked log; empty = a plain file */
    uint64_t start, end; /* offsets */
};

struct replay_feed {
    const struct replay_options *o;
    struct part *parts; /* (n_parts) in order of offset */
    size_t n_parts, at; /* at: the part that is open */
    struct seglog_reader *reader;
    FILE *file;
    char *line;
    size_t line_cap;
    uint64_t offset; /* of the next line of the open part */
    struct kafka_reader *topics[MAX_TOPICS];
};

/* A segment of an own log: 20 digits and .jsonl, with its sidecar beside it. */
static bool is_segment(const char *path, char dir[4096], uint64_t *start) {
    const char *name = strrchr(path, '/');
    size_t dir_n = name ? (size_t)(name - path) : 1;
    name = name ? name + 1 : path;
    for (int k = 0; k < 20; k++)
        if (!isdigit((unsigned char)name[k])) return false;
    if (strcmp(name + 20, ".jsonl") != 0 || dir_n >= 4096 - 32) return false;
    char sum[4096];
    struct stat st;
    memcpy(dir, dir_n == 1 && name == path ? "." : path, dir_n);
    dir[dir_n] = '\0';
    snprintf(sum, sizeof sum, "%.4000s/%.20s.sum", dir, name);
    *start = strtoull(name, NULL, 10);
    return stat(sum, &st) == 0;
}

bool replay_feed_is_own(const char *path) {
    char dir[4096];
    uint64_t start;
    struct stat st;
    return stat(path, &st) == 0 && (S_ISDIR(st.st_mode) || is_segment(path, dir, &start));
}

static int add_part(struct replay_feed *f, const char *path, struct err *e) {
    struct part *p = &f->parts[f->n_parts];
    struct stat st;
    uint64_t after = f->n_parts ? p[-1].end : 0;
    if (stat(path, &st) != 0) return err_set(e, ERR_MISSING, "log", "%s: no such file or directory", path);
    p->path = path;
    if (S_ISDIR(st.st_mode)) {
        snprintf(p->dir, sizeof p->dir, "%s", path);
        int rc = seglog_range(path, &p->start, &p->end, e);
        if (rc < 0) return rc;
    } else if (is_segment(path, p->dir, &p->start)) {
        p->end = p->start + (uint64_t)st.st_size;
    } else {
        p->dir[0] = '\0';
        p->start = after;
        p->end = after + (uint64_t)st.st_size;
    }
    if (f->n_parts && p->start != after)
        return err_set(e, ERR_MISMATCH, "log", "%s begins at offset %llu, the one before ends at %llu", path,
                       (unsigned long long)p->start, (unsigned long long)after);
    f->n_parts++;
    return 0;
}

int replay_feed_open(const struct replay_options *o, struct replay_feed **out, struct err *e) {
    struct replay_feed *f = mem_zalloc(sizeof *f);
    if (!f) return err_set(e, ERR_NOMEM, "replay", "no memory");
    f->o = o;
    f->at = SIZE_MAX;
    int rc = 0;
    f->parts = mem_zalloc((o->n_logs + 1) * sizeof *f->parts);
    if (!f->parts) rc = err_set(e, ERR_NOMEM, "replay", "no memory");
    if (o->n_topics > MAX_TOPICS)
        rc = err_set(e, ERR_RANGE, "kafka", "%zu topics, at most %d", o->n_topics, MAX_TOPICS);
    for (size_t k = 0; k < o->n_logs && rc == 0; k++) rc = add_part(f, o->logs[k], e);
    for (size_t k = 0; k < o->n_topics && rc == 0; k++)
        rc = kafka_reader_open(o->config, o->topics[k], &f->topics[k], e);
    if (rc == 0)
        *out = f;
    else
        replay_feed_close(f);
    return rc;
}

static void close_part(struct replay_feed *f) {
    if (f->reader) seglog_reader_close(f->reader);
    if (f->file) fclose(f->file);
    f->reader = NULL;
    f->file = NULL;
}

void replay_feed_close(struct replay_feed *f) {
    if (!f) return;
    close_part(f);
    for (size_t k = 0; k < MAX_TOPICS; k++)
        if (f->topics[k]) kafka_reader_close(f->topics[k]);
    free(f->line);
    mem_free(f->parts);
    mem_free(f);
}

static int open_part(struct replay_feed *f, size_t at, uint64_t from, struct err *e) {
    struct part *p = &f->parts[at];
    close_part(f);
    f->at = at;
    f->offset = from;
    if (p->dir[0]) return seglog_reader_open(p->dir, from, &f->reader, e);
    f->file = fopen(p->path, "re");
    if (!f->file || fseeko(f->file, (off_t)(from - p->start), SEEK_SET) != 0)
        return err_set(e, ERR_IO, "log", "%s cannot be read from offset %llu", p->path, (unsigned long long)from);
    return 0;
}

/* The next line of the open part: 1, 0 at its end. */
static int next_line(struct replay_feed *f, struct replay_record *out, struct err *e) {
    struct part *p = &f->parts[f->at];
    if (f->reader) {
        int rc = seglog_read(f->reader, p->end, &out->value, &out->offset, &out->next, e);
        if (rc == 1) f->offset = out->next;
        return rc;
    }
    ssize_t n = getline(&f->line, &f->line_cap, f->file);
    if (n <= 0) return ferror(f->file) ? err_set(e, ERR_IO, "log", "%s cannot be read", p->path) : 0;
    out->offset = f->offset;
    out->next = f->offset += (uint64_t)n;
    if (f->line[n - 1] == '\n') n--;
    out->value = slice_of(f->line, (size_t)n);
    return 1;
}

static int log_next(struct replay_feed *f, uint64_t from, struct replay_record *out, struct err *e) {
    out->key = slice_of(NULL, 0);
    out->record_ms = out->arrival_ms = EVENT_NO_TIME;
    if (f->n_parts && from < f->parts[0].start)
        return err_set(e, ERR_MISSING, "log", "the log given begins at offset %llu, offset %llu is needed",
                       (unsigned long long)f->parts[0].start, (unsigned long long)from);
    size_t at = 0;
    while (at < f->n_parts && f->parts[at].end <= from) at++;
    if (at == f->n_parts) return 0;
    int rc = 0;
    if (at != f->at || f->offset != from) rc = open_part(f, at, from, e);
    return rc < 0 ? rc : next_line(f, out, e);
}

static int topic_next(struct replay_feed *f, size_t k, uint32_t partition, uint64_t from, struct replay_record *out,
                      struct err *e) {
    struct kafka_record r;
    int rc = kafka_reader_next(f->topics[k], partition, from, &r, e);
    if (rc == 1) *out = (struct replay_record){r.offset, r.offset + 1, r.key, r.value, r.record_ms, r.arrival_ms};
    return rc;
}

int replay_feed_next(struct replay_feed *f, const char *source, uint32_t partition, uint64_t from,
                     struct replay_record *out, struct err *e) {
    for (size_t k = 0; k < f->o->n_topics; k++)
        if (strncmp(source, "kafka:", 6) == 0 && strcmp(source + 6, f->o->topics[k]) == 0)
            return topic_next(f, k, partition, from, out, e);
    if (f->n_parts && strcmp(source, f->o->source) == 0) return log_next(f, from, out, e);
    return err_set(e, ERR_MISSING, "log", "the journal names source \"%s\": give it with %s", source,
                   strncmp(source, "kafka:", 6) == 0 ? "--kafka TOPIC"
                                                     : "--log FILE (and --source NAME if it is not \"log\")");
}

int replay_feed_only(struct replay_feed *f, const char **source, uint64_t *first, struct err *e) {
    size_t n_kafka = 0;
    for (size_t k = 0; k < f->o->n_topics; k++) n_kafka += kafka_reader_partitions(f->topics[k]);
    if (n_kafka + (f->n_parts > 0) != 1)
        return err_set(e, ERR_RANGE, "journal",
                       "%zu partitions are given: their order is only in a journal (--journal DIR)",
                       n_kafka + (f->n_parts > 0));
    static char name[300];
    if (f->n_parts) {
        *source = f->o->source;
    } else {
        snprintf(name, sizeof name, "kafka:%.250s", f->o->topics[0]);
        *source = name;
    }
    *first = f->n_parts ? f->parts[0].start : kafka_reader_first(f->topics[0], 0);
    return 0;
}

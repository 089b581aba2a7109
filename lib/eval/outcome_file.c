/* Outcomes as files: blocks of (tag, length, CRC-32 of these and the data, data), little-endian.
 *
 * A file starts with HEAD, which says how much of everything follows, and ends with DONE; what is listed in between
 * stands in blocks of about a megabyte, so that neither side needs the whole file in memory a second time. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"
#include "lib/eval/outcome_priv.h"

#define FORMAT      1u
#define BLOCK_BYTES (1u << 20) /* a block is ended once it has this many */
#define BLOCK_MOST                                                                                                     \
    (BLOCK_BYTES + 2 * (1u << 20)) /* what a reader takes: one more note of the longest key and value                  \
                                    */
#define PATH_MOST 4096

enum kind { KIND_SET = 0x53454B52, KIND_RUN = 0x52454B52 }; /* "RKES", "RKER": the first bytes of a file's data */

enum tag { HEAD = 1, TYPES, FEATURES, NOTES, CASES, SETTINGS, RANKS, P_TARGET, P_TOP, LISTED, DONE };

void outcome_case_put(const struct outcome_case *c, uint8_t out[OUTCOME_CASE_BYTES]) {
    const uint64_t words[5] = {(uint64_t)c->ts_ms, c->user, (uint64_t)c->item_age_ms,
                               c->item_events | (uint64_t)c->history << 32,
                               c->type | (uint64_t)c->feature << 16 | (uint64_t)c->flags << 32};
    for (int i = 0; i < OUTCOME_CASE_BYTES; i++) out[i] = (uint8_t)(words[i / 8] >> (8 * (i % 8)));
}

/* ---- writing ---- */

struct writer {
    FILE *file;
    const char *path;
    char beside[PATH_MOST];
    struct buf block;
    enum tag tag;
    int failed; /* errno of the first write that failed; ENOMEM for the buffer */
};

static void end_block(struct writer *w) {
    if (w->block.failed && !w->failed) w->failed = ENOMEM;
    struct buf head;
    buf_init(&head, 64);
    buf_put_u32(&head, (uint32_t)w->tag);
    buf_put_u32(&head, (uint32_t)w->block.n);
    if (!head.failed) buf_put_u32(&head, hash_crc32(hash_crc32(0, head.p, 8), w->block.p, w->block.n));
    if (head.failed && !w->failed) w->failed = ENOMEM;
    if (!w->failed &&
        (fwrite(head.p, 1, head.n, w->file) != head.n || fwrite(w->block.p, 1, w->block.n, w->file) != w->block.n))
        w->failed = errno;
    buf_free(&head);
    buf_clear(&w->block);
}

static void begin_block(struct writer *w, enum tag tag) {
    w->tag = tag;
    buf_clear(&w->block);
}

/* After each entry of a list: a full block makes place for the next. */
static void entry_done(struct writer *w) {
    if (w->block.n >= BLOCK_BYTES) end_block(w);
}

/* The last block of a list; a list without entries has none. */
static void end_list(struct writer *w) {
    if (w->block.n > 0) end_block(w);
}

static void put_text(struct buf *b, const char *s) {
    size_t n = s ? strlen(s) : 0;
    buf_put_u32(b, (uint32_t)n);
    if (n > 0) buf_add(b, s, n);
}

static int writer_open(struct writer *w, const char *path, struct err *e) {
    *w = (struct writer){.path = path};
    int n = snprintf(w->beside, sizeof w->beside, "%s.part", path);
    if (n < 0 || n >= (int)sizeof w->beside) return err_set(e, ERR_RANGE, "outcome", "%s: the name is too long", path);
    w->file = fopen(w->beside, "wbe");
    if (!w->file) return err_set(e, ERR_IO, "outcome", "%s: %s", w->beside, strerror(errno));
    buf_init(&w->block, BLOCK_MOST);
    return 0;
}

/* Makes the entry of path in its directory durable. */
static bool sync_directory(const char *path) {
    char copy[PATH_MOST];
    (void)snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    int rc = fsync(fd), saved = errno;
    close(fd);
    errno = saved;
    return rc == 0;
}

static int writer_close(struct writer *w, struct err *e) {
    begin_block(w, DONE);
    end_block(w);
    buf_free(&w->block);
    if (!w->failed && (fflush(w->file) != 0 || fsync(fileno(w->file)) != 0)) w->failed = errno;
    if (fclose(w->file) != 0 && !w->failed) w->failed = errno;
    if (!w->failed && rename(w->beside, w->path) != 0) w->failed = errno;
    if (w->failed) {
        (void)remove(w->beside);
        return err_set(e, w->failed == ENOMEM ? ERR_NOMEM : ERR_IO, "outcome", "writing %s: %s", w->path,
                       strerror(w->failed));
    }
    if (!sync_directory(w->path))
        return err_set(e, ERR_IO, "outcome", "%s: making the name durable: %s", w->path, strerror(errno));
    return 0;
}

int outcome_set_save(const struct outcome_set *s, const char *path, struct err *e) {
    struct writer w;
    int rc = writer_open(&w, path, e);
    if (rc) return rc;
    struct buf *b = &w.block;
    begin_block(&w, HEAD);
    buf_put_u32(b, KIND_SET);
    buf_put_u32(b, FORMAT);
    const uint64_t sizes[] = {s->n_types, s->n_features, s->n_notes, s->n, s->figures_from};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) buf_put_u64(b, sizes[i]);
    put_text(b, s->feature);
    end_block(&w);
    begin_block(&w, TYPES);
    for (size_t i = 0; i < s->n_types; i++, entry_done(&w)) {
        put_text(b, s->types[i].name);
        buf_put_u64(b, s->types[i].events);
        buf_put_u8(b, s->types[i].configured);
    }
    end_list(&w);
    begin_block(&w, FEATURES);
    for (size_t i = 1; i < s->n_features; i++, entry_done(&w)) put_text(b, s->features[i]);
    end_list(&w);
    begin_block(&w, NOTES);
    for (size_t i = 0; i < s->n_notes; i++, entry_done(&w)) {
        put_text(b, s->notes[i].key);
        buf_put_u8(b, (uint8_t)s->notes[i].kind);
        put_text(b, s->notes[i].value);
    }
    end_list(&w);
    begin_block(&w, CASES);
    for (size_t i = 0; i < s->n; i++, entry_done(&w)) {
        uint8_t bytes[OUTCOME_CASE_BYTES];
        outcome_case_put(&s->cases[i], bytes);
        buf_add(b, bytes, sizeof bytes);
    }
    end_list(&w);
    return writer_close(&w, e);
}

static void put_words(struct writer *w, enum tag tag, const void *words, size_t n) {
    begin_block(w, tag);
    for (size_t i = 0; i < n; i++, entry_done(w)) {
        uint32_t v;
        memcpy(&v, (const char *)words + i * sizeof v, sizeof v);
        buf_put_u32(&w->block, v);
    }
    end_list(w);
}

int outcome_run_save(const struct outcome_run *r, uint64_t set_id, const char *path, struct err *e) {
    struct writer w;
    int rc = writer_open(&w, path, e);
    if (rc) return rc;
    struct buf *b = &w.block;
    begin_block(&w, HEAD);
    buf_put_u32(b, KIND_RUN);
    buf_put_u32(b, FORMAT);
    uint64_t surprise;
    memcpy(&surprise, &r->surprise_bits, sizeof surprise);
    const uint64_t fields[] = {set_id,           (uint64_t)r->role, r->seed,   r->n,       r->p_target != NULL,
                               r->p_top != NULL, r->listed_cap,     r->list_k, r->lists,   r->n_candidates,
                               surprise,         r->events,         r->cpu_ns, r->wall_ns, r->peak_bytes};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) buf_put_u64(b, fields[i]);
    put_text(b, r->name);
    end_block(&w);
    begin_block(&w, SETTINGS);
    put_text(b, r->settings);
    end_block(&w);
    put_words(&w, RANKS, r->rank, r->n);
    if (r->p_target) put_words(&w, P_TARGET, r->p_target, r->n);
    if (r->p_top) put_words(&w, P_TOP, r->p_top, r->n);
    put_words(&w, LISTED, r->listed, r->listed_cap);
    return writer_close(&w, e);
}

/* ---- reading ---- */

struct reader {
    FILE *file;
    const char *path;
    uint64_t at; /* offset of the block in hand */
    uint64_t next;
    uint8_t *data; /* (BLOCK_MOST) */
    struct cursor c;
    struct err *e;
};

static int damaged(const struct reader *r, const char *what) {
    return err_set(r->e, ERR_CORRUPT, "outcome", "%s: offset %llu: %s; remove the file, it can be made again", r->path,
                   (unsigned long long)r->at, what);
}

static int reader_open(struct reader *r, const char *path, struct err *e) {
    *r = (struct reader){.path = path, .e = e};
    r->file = fopen(path, "rbe");
    if (!r->file) return err_set(e, errno == ENOENT ? ERR_MISSING : ERR_IO, "outcome", "%s: %s", path, strerror(errno));
    r->data = mem_alloc(BLOCK_MOST);
    if (r->data) return 0;
    (void)fclose(r->file);
    return err_set(e, ERR_NOMEM, "outcome", "%s: no memory for a block", path);
}

static void reader_free(struct reader *r) {
    (void)fclose(r->file); /* it was read only */
    mem_free(r->data);
}

/* Exactly n bytes. */
static int take(struct reader *r, void *p, size_t n) {
    if (fread(p, 1, n, r->file) == n) return 0;
    if (ferror(r->file)) return err_set(r->e, ERR_IO, "outcome", "reading %s: %s", r->path, strerror(errno));
    return damaged(r, "the file ends too early");
}

/* The next block, which must have this tag; its data stand behind r->c. */
static int block(struct reader *r, enum tag tag) {
    uint8_t head[12];
    r->at = r->next;
    int rc = take(r, head, sizeof head);
    if (rc) return rc;
    struct cursor c = {head, sizeof head, false};
    uint32_t found = cursor_u32(&c), n = cursor_u32(&c), crc = cursor_u32(&c);
    if (found != (uint32_t)tag || n > BLOCK_MOST)
        return damaged(r, "this is no block of outcomes, or not the next one");
    rc = take(r, r->data, n);
    if (rc) return rc;
    if (hash_crc32(hash_crc32(0, head, 8), r->data, n) != crc) return damaged(r, "the checksum does not hold");
    r->c = (struct cursor){r->data, n, false};
    r->next += sizeof head + n;
    return 0;
}

/* Before each entry of a list: the next block, once the one in hand is read. */
static int entry(struct reader *r, enum tag tag) { return r->c.n == 0 ? block(r, tag) : 0; }

/* After a block or list that must be at its end, with what it held well formed. */
static int all_read(struct reader *r) {
    return r->c.failed || r->c.n > 0 ? damaged(r, "the block does not hold what it should") : 0;
}

static struct slice take_text(struct cursor *c) {
    uint32_t n = cursor_u32(c);
    return cursor_bytes(c, n);
}

static int read_head(struct reader *r, enum kind kind) {
    int rc = block(r, HEAD);
    if (rc) return rc;
    if (cursor_u32(&r->c) != (uint32_t)kind) return damaged(r, "the file holds something else");
    uint32_t format = cursor_u32(&r->c);
    if (format != FORMAT)
        return err_set(r->e, ERR_MISMATCH, "outcome", "%s has format %u and this program reads %u", r->path, format,
                       FORMAT);
    return 0;
}

/* DONE, and nothing behind it. */
static int read_end(struct reader *r) {
    int rc = block(r, DONE);
    if (!rc) rc = all_read(r);
    r->at = r->next;
    if (!rc && fgetc(r->file) != EOF) rc = damaged(r, "there is more behind the end");
    return rc;
}

/* An error of outcome_set_* about what a file holds is damage, unless memory was short. */
static int refused(struct reader *r, int rc) { return rc == 0 || rc == ERR_NOMEM ? rc : damaged(r, r->e->text); }

static int read_names(struct reader *r, struct outcome_set *s, uint64_t n_types, uint64_t n_features) {
    int rc = 0;
    for (uint64_t i = 0; !rc && i < n_types; i++) {
        uint16_t index = 0;
        rc = entry(r, TYPES);
        if (rc) break;
        struct slice name = take_text(&r->c);
        uint64_t events = cursor_u64(&r->c);
        bool configured = cursor_u8(&r->c) != 0;
        if (r->c.failed) return all_read(r);
        rc = refused(r, outcome_set_type(s, name, &index, r->e));
        if (!rc && index != i) rc = damaged(r, "a type stands twice");
        if (!rc) s->types[i].events = events;
        if (!rc) s->types[i].configured = configured;
    }
    if (!rc) rc = all_read(r);
    for (uint64_t i = 1; !rc && i < n_features; i++) {
        uint16_t index = 0;
        rc = entry(r, FEATURES);
        if (rc) break;
        struct slice value = take_text(&r->c);
        if (r->c.failed) return all_read(r);
        rc = refused(r, outcome_set_feature(s, value, &index, r->e));
        if (!rc && index != i) rc = damaged(r, "a value of the feature stands twice");
    }
    return rc ? rc : all_read(r);
}

/* A copy of text with its NUL, cut at most; NULs inside end it. */
static void text_into(char *out, size_t most, struct slice text) {
    size_t n = text.n < most - 1 ? text.n : most - 1;
    if (n > 0) memcpy(out, text.p, n);
    out[n] = '\0';
}

static int read_notes(struct reader *r, struct outcome_set *s, uint64_t n_notes) {
    char key[OUTCOME_NAME_MAX + 1];
    char *value = mem_alloc(OUTCOME_TEXT_MAX + 1);
    if (!value) return err_set(r->e, ERR_NOMEM, "outcome", "%s: no memory for the protocol", r->path);
    int rc = 0;
    for (uint64_t i = 0; !rc && i < n_notes; i++) {
        rc = entry(r, NOTES);
        if (rc) break;
        text_into(key, sizeof key, take_text(&r->c));
        uint8_t kind = cursor_u8(&r->c);
        text_into(value, OUTCOME_TEXT_MAX + 1, take_text(&r->c));
        if (r->c.failed || kind > OUTCOME_BOOL) {
            rc = damaged(r, "a line of the protocol is not one");
            break;
        }
        rc = refused(r, outcome_set_note(s, key, (enum outcome_note_kind)kind, value, r->e));
        if (!rc && s->n_notes != i + 1) rc = damaged(r, "a line of the protocol stands twice");
    }
    mem_free(value);
    return rc ? rc : all_read(r);
}

static int read_cases(struct reader *r, struct outcome_set *s, uint64_t n) {
    int rc = 0;
    for (uint64_t i = 0; !rc && i < n; i++) {
        rc = entry(r, CASES);
        if (rc) break;
        struct outcome_case c = {.ts_ms = (int64_t)cursor_u64(&r->c)};
        c.user = cursor_u64(&r->c);
        c.item_age_ms = (int64_t)cursor_u64(&r->c);
        c.item_events = cursor_u32(&r->c);
        c.history = cursor_u32(&r->c);
        c.type = cursor_u16(&r->c);
        c.feature = cursor_u16(&r->c);
        c.flags = cursor_u32(&r->c);
        rc = r->c.failed ? all_read(r) : refused(r, outcome_set_add(s, &c, r->e));
    }
    return rc ? rc : all_read(r);
}

int outcome_set_load(const char *path, struct outcome_set *out, struct err *e) {
    struct reader r;
    struct err unused;
    struct outcome_set s;
    int rc = reader_open(&r, path, e ? e : &unused);
    if (rc) return rc;
    outcome_set_init(&s);
    rc = read_head(&r, KIND_SET);
    uint64_t sizes[5] = {0};
    for (int i = 0; !rc && i < 5; i++) sizes[i] = cursor_u64(&r.c);
    if (!rc) {
        struct slice feature = take_text(&r.c);
        rc = all_read(&r);
        if (!rc && feature.n > 0) rc = refused(&r, outcome_set_feature_name(&s, feature, r.e));
    }
    if (!rc) rc = read_names(&r, &s, sizes[0], sizes[1]);
    if (!rc) rc = read_notes(&r, &s, sizes[2]);
    if (!rc) rc = read_cases(&r, &s, sizes[3]);
    if (!rc) rc = read_end(&r);
    if (!rc && sizes[4] > s.n) rc = damaged(&r, "the part that gives the figures starts behind the last case");
    s.figures_from = (size_t)sizes[4];
    reader_free(&r);
    if (rc)
        outcome_set_free(&s);
    else
        *out = s;
    return rc;
}

/* n words into a new array. It grows with what was read: n may be anything. */
static int read_words(struct reader *r, enum tag tag, uint64_t n, uint32_t **out) {
    size_t cap = 0;
    for (uint64_t i = 0; i < n; i++) {
        int rc = entry(r, tag);
        if (rc) return rc;
        if (i == cap) {
            cap = cap == 0 ? 1024 : 2 * cap;
            uint32_t *p = mem_realloc(*out, cap * sizeof *p);
            if (!p) return err_set(r->e, ERR_NOMEM, "outcome", "%s: no memory for %zu ranks", r->path, cap);
            *out = p;
        }
        (*out)[i] = cursor_u32(&r->c);
    }
    return all_read(r);
}

/* As read_words, for probabilities. */
static int read_floats(struct reader *r, enum tag tag, uint64_t n, float **out) {
    uint32_t *words = NULL;
    int rc = read_words(r, tag, n, &words);
    float *p = !rc && n > 0 ? mem_alloc(n * sizeof *p) : NULL;
    if (!rc && n > 0 && !p) rc = err_set(r->e, ERR_NOMEM, "outcome", "%s: no memory for probabilities", r->path);
    if (p) memcpy(p, words, n * sizeof *p);
    mem_free(words);
    *out = p;
    return rc;
}

static int read_run(struct reader *r, uint64_t set_id, struct outcome_run *out) {
    int rc = read_head(r, KIND_RUN);
    if (rc) return rc;
    uint64_t f[15];
    for (int i = 0; i < 15; i++) f[i] = cursor_u64(&r->c);
    char name[OUTCOME_NAME_MAX + 1];
    text_into(name, sizeof name, take_text(&r->c));
    rc = all_read(r);
    if (rc) return rc;
    if (f[0] != set_id)
        return err_set(r->e, ERR_MISMATCH, "outcome", "%s is about other cases: the log or the protocol changed",
                       r->path);
    if (f[1] >= OUTCOME_ROLES || f[4] > 1 || f[5] > 1 || f[7] > UINT32_MAX)
        return damaged(r, "the block does not hold what it should");
    rc = block(r, SETTINGS);
    if (rc) return rc;
    struct slice settings = take_text(&r->c);
    rc = all_read(r);
    char *text = rc ? NULL : mem_alloc(settings.n + 1);
    if (!rc && !text) rc = err_set(r->e, ERR_NOMEM, "outcome", "%s: no memory for the settings", r->path);
    if (rc) return rc;
    text_into(text, settings.n + 1, settings);
    rc = refused(r, outcome_run_init(out, name, (enum outcome_role)f[1], f[2], text, r->e));
    mem_free(text);
    if (rc) return rc;
    rc = read_words(r, RANKS, f[3], &out->rank);
    if (!rc && f[4]) rc = read_floats(r, P_TARGET, f[3], &out->p_target);
    if (!rc && f[5]) rc = read_floats(r, P_TOP, f[3], &out->p_top);
    if (!rc) rc = read_words(r, LISTED, f[6], &out->listed);
    if (!rc) rc = read_end(r);
    if (rc) return rc;
    out->n = out->cap = (size_t)f[3];
    out->listed_cap = (size_t)f[6];
    out->list_k = (uint32_t)f[7];
    out->lists = f[8];
    out->n_candidates = f[9];
    memcpy(&out->surprise_bits, &f[10], sizeof out->surprise_bits);
    out->events = f[11];
    out->cpu_ns = f[12];
    out->wall_ns = f[13];
    out->peak_bytes = f[14];
    return 0;
}

int outcome_run_load(const char *path, uint64_t set_id, struct outcome_run *out, struct err *e) {
    struct reader r;
    struct err unused;
    struct outcome_run run = {.n = 0};
    int rc = reader_open(&r, path, e ? e : &unused);
    if (rc) return rc;
    rc = read_run(&r, set_id, &run);
    reader_free(&r);
    if (rc)
        outcome_run_free(&run);
    else
        *out = run;
    return rc;
}

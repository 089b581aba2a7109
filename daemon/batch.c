/* A run of records in memory of its own: raw bytes in blocks that never move, events in one arena. */
#include "daemon/batch.h"

#include <string.h>

#include "lib/base/check.h"
#include "lib/base/clock.h"
#include "lib/base/hash.h"
#include "lib/base/mem.h"

#define BLOCK_FIRST   (4u * 1024u)
#define BLOCK_MAX     (64u * 1024u)
#define RECORDS_FIRST 16u

struct batch_block {
    struct batch_block *next; /* the older ones */
    size_t used, cap;
    char p[];
};

struct batch *batch_new(struct source *source, uint32_t partition, size_t max) {
    CHECK(max > 0);
    struct batch *b = mem_zalloc(sizeof *b);
    if (!b) return NULL;
    b->arena = event_arena_new();
    if (!b->arena) {
        mem_free(b);
        return NULL;
    }
    b->source = source;
    b->partition = partition;
    b->max = max;
    b->bytes = sizeof *b + event_arena_bytes(b->arena);
    return b;
}

void batch_free(struct batch *b) {
    if (!b) return;
    while (b->blocks) {
        struct batch_block *next = b->blocks->next;
        mem_free(b->blocks);
        b->blocks = next;
    }
    event_arena_free(b->arena);
    mem_free(b->records);
    mem_free(b);
}

bool batch_is_full(const struct batch *b) { return b->n >= b->max || b->raw_bytes >= BATCH_MAX_BYTES; }

/* n bytes that live as long as the batch; NULL when memory is refused. */
static char *take(struct batch *b, size_t n) {
    struct batch_block *k = b->blocks;
    if (!k || k->cap - k->used < n) {
        size_t cap = k ? k->cap * 2 : BLOCK_FIRST;
        if (cap > BLOCK_MAX) cap = BLOCK_MAX;
        if (cap < n) cap = n;
        if (cap > SIZE_MAX - sizeof *k) return NULL;
        k = mem_alloc(sizeof *k + cap);
        if (!k) return NULL;
        *k = (struct batch_block){.next = b->blocks, .cap = cap};
        b->blocks = k;
        b->bytes += sizeof *k + cap;
    }
    char *p = k->p + k->used;
    k->used += n;
    return p;
}

static bool room_for_one(struct batch *b) {
    if (b->n < b->cap) return true;
    size_t cap = b->cap ? b->cap * 2 : RECORDS_FIRST;
    if (b->cap < b->max && cap > b->max) cap = b->max;
    struct record *records = mem_realloc(b->records, cap * sizeof *records);
    if (!records) return false;
    b->bytes += (cap - b->cap) * sizeof *records;
    b->records = records;
    b->cap = cap;
    return true;
}

/* The verdict on r->raw. ERR_NOMEM is no verdict. */
static int judge(struct batch *b, struct record *r, bool null, const struct event_context *c) {
    struct err why = {0};
    if (null) {
        err_set(&why, ERR_SYNTAX, "", "empty record");
        r->reason = EVENT_NOT_JSON;
    } else {
        r->reason = event_decode(r->raw, c, b->arena, &r->event, &why);
    }
    if (r->reason == EVENT_OK) return 0;
    if (why.code == ERR_NOMEM) return ERR_NOMEM;
    size_t n = strlen(why.text);
    r->error = take(b, n + 1);
    if (!r->error) return ERR_NOMEM;
    memcpy(r->error, why.text, n + 1);
    return 0;
}

int batch_add(struct batch *b, uint64_t offset, uint64_t next, struct slice raw, int64_t arrival_ms,
              const struct event_context *c, struct err *e) {
    CHECK(next > offset && (b->n == 0 || offset >= b->records[b->n - 1].next));
    const size_t arena_before = event_arena_bytes(b->arena);
    char *copy = NULL;
    int rc = ERR_NOMEM;
    if (!room_for_one(b)) goto out;
    copy = take(b, raw.n + 1);
    if (!copy) goto out;
    if (raw.n) memcpy(copy, raw.p, raw.n);
    copy[raw.n] = '\0';

    struct record *r = &b->records[b->n];
    *r = (struct record){
        .offset = offset,
        .next = next,
        .arrival_ms = arrival_ms,
        .seen_ns = clock_steady_ns(),
        .crc = hash_crc32(0, copy, raw.n),
        .raw = slice_of(copy, raw.n),
    };
    rc = judge(b, r, raw.p == NULL, c);
    if (rc) goto out;
    if (b->n == 0) b->first_ns = r->seen_ns;
    b->n++;
    b->raw_bytes += raw.n;
out:
    b->bytes += event_arena_bytes(b->arena) - arena_before;
    return rc ? err_set(e, rc, NULL, "no memory for a record of %zu bytes", raw.n) : 0;
}

/* What all sources share: name, state and the identities of their logs. */
#include "daemon/source.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/hash.h"

int source_init(struct source *s, const char *name, uint32_t allow, int default_type, struct err *e) {
    size_t n = strlen(name);
    if (n == 0 || n >= sizeof s->name)
        return err_set(e, ERR_RANGE, "source", "the source name \"%.100s\" has %zu bytes, allowed are 1 to %zu", name,
                       n, sizeof s->name - 1);
    memset(s, 0, sizeof *s);
    memcpy(s->name, name, n + 1);
    s->hash = hash64(name, n, 0);
    s->allow = allow;
    s->default_type = default_type;
    pthread_mutex_init(&s->lock, NULL);
    atomic_store_explicit(&s->state, SOURCE_STARTING, memory_order_relaxed);
    return 0;
}

void source_done(struct source *s) { pthread_mutex_destroy(&s->lock); }

void source_stop(struct source *s, const char *reason) {
    if (atomic_load_explicit(&s->state, memory_order_relaxed) == SOURCE_STOPPED) return;
    snprintf(s->stop_reason, sizeof s->stop_reason, "%s", reason);
    atomic_store_explicit(&s->state, SOURCE_STOPPED, memory_order_release);
}

void source_identity(const struct source *s, uint32_t partition, char out[64]) {
    out[0] = '\0';
    if (partition >= SOURCE_MAX_PARTITIONS) return;
    pthread_mutex_t *lock = (pthread_mutex_t *)&s->lock; /* the only part that changes under a reader */
    pthread_mutex_lock(lock);
    memcpy(out, s->identity[partition], 64);
    pthread_mutex_unlock(lock);
}

void source_set_identity(struct source *s, uint32_t partition, const char *identity) {
    if (partition >= SOURCE_MAX_PARTITIONS) return;
    pthread_mutex_lock(&s->lock);
    snprintf(s->identity[partition], sizeof s->identity[partition], "%s", identity);
    pthread_mutex_unlock(&s->lock);
}

/* Takes [*p, end of the entry) off the list, without spaces around it. False past the end. */
static bool next_entry(const char **p, struct slice *entry) {
    const char *at = *p;
    if (!at) return false;
    size_t n = strcspn(at, ",");
    *p = at[n] == ',' ? at + n + 1 : NULL;
    while (n && (at[0] == ' ' || at[0] == '\t')) at++, n--;
    while (n && (at[n - 1] == ' ' || at[n - 1] == '\t')) n--;
    *entry = slice_of(at, n);
    return true;
}

static void copy_cut(char *out, size_t size, const char *p, size_t n) {
    if (n >= size) n = size - 1;
    memcpy(out, p, n);
    out[n] = '\0';
}

int source_kafka_topic(const char *topics, size_t i, char topic[250], char type[33]) {
    struct slice entry;
    for (const char *p = topics; next_entry(&p, &entry);) {
        if (entry.n == 0) continue;
        if (i-- > 0) continue;
        const char *colon = memchr(entry.p, ':', entry.n);
        size_t n = colon ? (size_t)(colon - entry.p) : entry.n;
        copy_cut(topic, 250, entry.p, n);
        copy_cut(type, 33, colon ? colon + 1 : "", colon ? entry.n - n - 1 : 0);
        return 1;
    }
    return 0;
}

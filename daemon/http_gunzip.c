/* Unpacks a gzipped body within a bound. */
#include <string.h>
#include <zlib.h>

#include "daemon/http_priv.h"
#include "lib/base/mem.h"

#define MOST_AT_ONCE (1U << 30) /* zlib counts in unsigned int */

static void *take(void *unused, unsigned items, unsigned size) {
    (void)unused;
    return mem_alloc((size_t)items * size);
}

static void give(void *unused, void *p) {
    (void)unused;
    mem_free(p);
}

/* Makes room for more output, to max + 1 bytes: the one too many tells a body that is too large. */
static int grow(char **p, size_t *cap, size_t max) {
    if (*cap > max) return ERR_FULL;
    size_t more = *cap > max / 2 ? max + 1 : *cap * 2;
    char *grown = mem_realloc(*p, more);
    if (!grown) return ERR_NOMEM;
    *p = grown;
    *cap = more;
    return 0;
}

static int unpack(z_stream *z, struct slice packed, size_t max, char **p, size_t *cap, size_t *n) {
    size_t used = 0;
    for (;;) {
        if (*n == *cap) {
            int rc = grow(p, cap, max);
            if (rc) return rc;
        }
        size_t in = packed.n - used, room = *cap - *n;
        unsigned give_in = in > MOST_AT_ONCE ? MOST_AT_ONCE : (unsigned)in;
        unsigned give_out = room > MOST_AT_ONCE ? MOST_AT_ONCE : (unsigned)room;
        z->next_in = (z_const Bytef *)(packed.p + used);
        z->avail_in = give_in;
        z->next_out = (Bytef *)(*p + *n);
        z->avail_out = give_out;
        int rc = inflate(z, Z_NO_FLUSH);
        used += give_in - z->avail_in;
        *n += give_out - z->avail_out;
        if (*n > max) return ERR_FULL;
        if (rc == Z_MEM_ERROR) return ERR_NOMEM;
        if (rc == Z_STREAM_END) {
            if (used == packed.n) return 0;
            if (inflateReset(z) != Z_OK) return ERR_SYNTAX; /* a further member */
        } else if (rc != Z_OK && !(rc == Z_BUF_ERROR && z->avail_out == 0)) {
            return ERR_SYNTAX; /* damaged, or it ends too soon */
        }
    }
}

int http_gunzip(struct slice packed, size_t max, char **out, size_t *n) {
    z_stream z = {.zalloc = take, .zfree = give};
    size_t cap = packed.n < max / 4 ? packed.n * 4 + 64 : max + 1;
    size_t length = 0;
    char *p = NULL;
    int rc = inflateInit2(&z, 16 + MAX_WBITS) == Z_OK ? 0 : ERR_NOMEM;
    if (rc) return rc;
    p = mem_alloc(cap);
    rc = p ? unpack(&z, packed, max, &p, &cap, &length) : ERR_NOMEM;
    inflateEnd(&z);
    if (rc) {
        mem_free(p);
        return rc;
    }
    *out = p;
    *n = length;
    return 0;
}

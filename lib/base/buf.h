/* A byte buffer that grows up to a limit and remembers the first failure. */
#ifndef RANKD_BASE_BUF_H
#define RANKD_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/slice.h"

struct buf {
    char *p;      /* NUL-terminated at p[n] once anything was appended */
    size_t n;     /* bytes in use */
    size_t cap;   /* bytes allocated */
    size_t limit; /* most bytes ever held */
    bool failed;  /* an append was refused (limit or memory); later appends do nothing */
};

void buf_init(struct buf *b, size_t limit); /* no allocation yet */
void buf_free(struct buf *b);               /* back to the state after buf_init */
void buf_clear(struct buf *b);              /* n = 0, failed = false, memory kept */

void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, const char *s);
void buf_add_slice(struct buf *b, struct slice s);
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_add_u64(struct buf *b, uint64_t v); /* decimal text */
void buf_add_i64(struct buf *b, int64_t v);  /* decimal text */

/* A JSON string with its quotes. Input that is not UTF-8 has each offending byte replaced by U+FFFD. */
void buf_add_json(struct buf *b, struct slice s);

/* A finite float or double in the shortest decimal form that reads back to the same value; non-finite gives null. */
void buf_add_float(struct buf *b, float v);
void buf_add_double(struct buf *b, double v);

/* Little-endian binary. */
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_f32(struct buf *b, float v); /* the bits, as the integer of their size */
void buf_put_f64(struct buf *b, double v);

/* Reads little-endian binary front to back; once anything was short, failed is set and every later read gives 0. */
struct cursor {
    const uint8_t *p;
    size_t n; /* bytes left */
    bool failed;
};
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
float cursor_f32(struct cursor *c);
double cursor_f64(struct cursor *c);
struct slice cursor_bytes(struct cursor *c, size_t n);

#endif

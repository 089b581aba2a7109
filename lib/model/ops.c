/* Ops: u8 kind, u16 key length, u32 value length, key, value. */
#include "lib/model/ops.h"

#include "lib/base/check.h"
#include "lib/base/err.h"

int ops_put(struct buf *ops, enum model_op op, struct slice key, struct slice value) {
    CHECK(key.n <= UINT16_MAX && value.n <= UINT32_MAX);
    size_t before = ops->n;
    buf_put_u8(ops, (uint8_t)op);
    buf_put_u16(ops, (uint16_t)key.n);
    buf_put_u32(ops, (uint32_t)value.n);
    buf_add_slice(ops, key);
    buf_add_slice(ops, value);
    if (!ops->failed) return 0;
    ops->n = before;
    ops->failed = false;
    return ERR_NOMEM;
}

int ops_room(struct buf *ops, size_t n) {
    static const char nothing[OPS_ROOM];
    CHECK(n <= OPS_ROOM);
    size_t before = ops->n;
    buf_add(ops, nothing, n);
    bool failed = ops->failed;
    ops->n = before;
    ops->failed = false;
    return failed ? ERR_NOMEM : 0;
}

int ops_put_row(struct buf *ops, enum model_op op, uint32_t row, struct slice value) {
    char key[4];
    for (int k = 0; k < 4; k++) key[k] = (char)(row >> (24 - 8 * k));
    return ops_put(ops, op, slice_of(key, sizeof key), value);
}

int model_ops_next(struct slice *rest, enum model_op *op, struct slice *key, struct slice *value) {
    if (rest->n == 0) return 0;
    struct cursor c = {(const uint8_t *)rest->p, rest->n, false};
    *op = (enum model_op)cursor_u8(&c);
    size_t key_n = cursor_u16(&c), value_n = cursor_u32(&c);
    *key = cursor_bytes(&c, key_n);
    *value = cursor_bytes(&c, value_n);
    CHECK(!c.failed);
    *rest = slice_of((const char *)c.p, c.n);
    return 1;
}

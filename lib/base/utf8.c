/* Strict UTF-8 (RFC 3629). */
#include "lib/base/utf8.h"

#include <stdint.h>

static bool is_tail(unsigned char c) { return (c & 0xC0) == 0x80; }

size_t utf8_step(struct slice s) {
    if (s.n == 0) return 0;
    const unsigned char *p = (const unsigned char *)s.p;
    unsigned char c = p[0];
    if (c < 0x80) return 1;
    if (c < 0xC2 || c > 0xF4) return 0;
    if (c < 0xE0) return s.n >= 2 && is_tail(p[1]) ? 2 : 0;
    if (c < 0xF0) {
        if (s.n < 3 || !is_tail(p[1]) || !is_tail(p[2])) return 0;
        if (c == 0xE0 && p[1] < 0xA0) return 0; /* overlong */
        if (c == 0xED && p[1] > 0x9F) return 0; /* surrogate */
        return 3;
    }
    if (s.n < 4 || !is_tail(p[1]) || !is_tail(p[2]) || !is_tail(p[3])) return 0;
    if (c == 0xF0 && p[1] < 0x90) return 0; /* overlong */
    if (c == 0xF4 && p[1] > 0x8F) return 0; /* past U+10FFFF */
    return 4;
}

bool utf8_valid(struct slice s) {
    while (s.n > 0) {
        uint64_t eight;
        while (s.n >= sizeof eight) {
            memcpy(&eight, s.p, sizeof eight);
            if ((eight & 0x8080808080808080u) != 0) break;
            s.p += sizeof eight;
            s.n -= sizeof eight;
        }
        if (s.n == 0) return true;
        size_t step = utf8_step(s);
        if (step == 0) return false;
        s.p += step;
        s.n -= step;
    }
    return true;
}

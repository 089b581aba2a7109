/* Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing past U+10FFFF. */
#ifndef RANKD_BASE_UTF8_H
#define RANKD_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/slice.h"

bool utf8_valid(struct slice s);

/* Bytes of the valid sequence at the front of s (1 to 4), 0 when the front is not valid or s is empty. */
size_t utf8_step(struct slice s);

#endif

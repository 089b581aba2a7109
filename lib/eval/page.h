/* Text for people: numbers as they are read, and the escaping that a page of HTML needs.
 *
 * Numbers are written without the C library's locale: the same bytes everywhere. */
#ifndef RANKD_EVAL_PAGE_H
#define RANKD_EVAL_PAGE_H

#include <stdint.h>

#include "lib/base/buf.h"

#define PAGE_MINUS   "\xE2\x88\x92"
#define PAGE_PERCENT "\xC2\xA0%"    /* kept together with its number */
#define PAGE_DASH    "\xE2\x80\x93" /* in place of a number that is not known */

/* The text with & < > " ' escaped; bytes that are not UTF-8 and control characters other than tab and line feed become
 * U+FFFD. NULL is "". */
void page_escape(struct buf *b, const char *text);

/* decimals from 0 to 9; beyond 1e9 in size as +-1e9 and more; PAGE_DASH for NaN. The sign is PAGE_MINUS. */
void page_fixed(struct buf *b, double v, int decimals);
void page_count(struct buf *b, uint64_t n); /* 1,234,567 */
void page_share(struct buf *b, double v);   /* 0.123 as "12 %", 0.0123 as "1.2 %" */
void page_change(struct buf *b,
                 double ratio); /* 1.023 as "+2.3 %", 0.4 as the same with PAGE_MINUS, 3.2 as "3.2 times" */
/* Both ends as page_change writes them, the unit once where it is the same: "+0.4 to +2.1 %". */
void page_range(struct buf *b, double low, double high);
void page_bytes(struct buf *b, uint64_t n);   /* 1,234,567 as "1.2 MB" */
void page_date(struct buf *b, int64_t ts_ms); /* 2014-04-01; PAGE_DASH outside years 1970 to 9999 */
void page_time(struct buf *b, int64_t ts_ms); /* 2014-04-01 03:59 */

/* As attribute values and coordinates: a plain number with a point, one decimal, ASCII minus. */
void page_coordinate(struct buf *b, double v);

#endif

#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/buf.h"

#include <stdint.h>

/* Bytes of the well-formed UTF-8 sequence at p (1 to 4), or 0: malformed, cut
 * off, overlong, a surrogate, or above U+10FFFF.  p < end. */
int utf8_len(const char *p, const char *end);

/* The code point of a sequence that utf8_len() has measured. */
uint32_t utf8_get(const char *p, int len);

/* Writes code, which is no surrogate and at most U+10FFFF; returns its bytes.
 */
int utf8_put(uint32_t code, char out[4]);

bool utf8_valid(struct slice s);

/* Appends s; each byte that is part of no well-formed sequence as U+FFFD. */
void utf8_mend(struct slice s, struct buf *out);

#endif

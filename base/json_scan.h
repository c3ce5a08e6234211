#ifndef BASE_JSON_SCAN_H
#define BASE_JSON_SCAN_H

#include "base/buf.h"

/* What the JSON modules share; for base/json*.c only. */

/* How many bytes at p are neither a quote, a backslash, a control character nor
 * outside ASCII: what a string may hold without a second look. */
size_t json_scan_plain(const char *p, const char *end);

/* Decodes the escape at p (a backslash): its bytes, 1 to 4, go to out, its
 * length to *used.  Returns the bytes, 0 when it is no escape.  A surrogate
 * without its partner becomes U+FFFD. */
int json_scan_escape(const char *p, const char *end, char out[4], size_t *used);

/* Past the blanks at p. */
const char *json_scan_blank(const char *p, const char *end);

#endif

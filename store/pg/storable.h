#ifndef STORE_PG_STORABLE_H
#define STORE_PG_STORABLE_H

#include "base/buf.h"

/* Makes text that PostgreSQL can store.  It refuses U+0000 and malformed UTF-8
 * in text, and Python's NaN and Infinity in JSON; one such value must not fail
 * the batch that it travels in.  Each function returns the length of the
 * result and writes it to out, unless that is NULL. */

/* Bytes that cannot be stored become U+FFFD; what is over max is cut off. */
size_t storable_text(struct slice s, size_t max, char *out);

/* NaN, Infinity and -Infinity become strings.  text is JSON. */
size_t storable_json(struct slice text, char *out);

/* Can it be stored as it is?  (For JSON: \u0000 in an escape can.) */
bool storable(struct slice s);

#endif

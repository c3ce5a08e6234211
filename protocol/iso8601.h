#ifndef PROTOCOL_ISO8601_H
#define PROTOCOL_ISO8601_H

#include "base/buf.h"

#include <stdint.h>

enum { ISO8601_MAX = 40 };

/* Reads what celery-wire.md 1.5 lists as accepted by Celery 5.3 and later
 * (fractions of any length, offsets up to +-23:59, naive = UTC).  ST_PROTO
 * otherwise, with the text in err. */
enum status iso8601_parse(struct slice text, int64_t *unix_us,
                          struct error *err);

/* YYYY-MM-DDTHH:MM:SS.ffffff+00:00, always 6 digits; returns out. */
const char *iso8601_format(int64_t unix_us, char out[ISO8601_MAX]);

#endif

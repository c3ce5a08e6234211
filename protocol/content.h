#ifndef PROTOCOL_CONTENT_H
#define PROTOCOL_CONTENT_H

#include "base/json.h"

/* What values are written as: kombu's serializers (celery-wire.md 2.1), those
 * of them that are safe to read. */
enum content { CONTENT_JSON, CONTENT_MSGPACK };

/* name: kombu's name or the MIME type.  ST_INVALID: none of ours; err says
 * which there are. */
enum status content_find(struct slice name, enum content *out,
                         struct error *err);
const char *content_mime(enum content c);
const char *content_charset(enum content c); /* of content-encoding */

/* Which of them an object or an array is written as, by its first byte. */
enum content content_guess(struct slice bytes);

/* list: a comma list as the setting accept_content. */
bool content_accepted(enum content c, const char *list);

/* Appends v.  ST_INVALID: it cannot be said so. */
enum status content_encode(enum content c, struct json_object *v,
                           struct buf *out, struct error *err);
/* On ST_OK *out may be NULL: null. */
enum status content_decode(enum content c, struct slice bytes,
                           struct json_object **out, struct error *err);

#endif

#ifndef PROTOCOL_PICKLE_H
#define PROTOCOL_PICKLE_H

#include "base/json.h"

/* The part of Python's pickle format (protocols 2 to 5) that plain values need,
 * because Celery's database backend keeps results as pickles whatever the
 * serializer is (celery-wire.md 5.4).  Nothing is ever imported or called:
 * reading makes JSON values, and refuses what has none by its name. */

enum {
    PICKLE_MAX = 64 * 1024 * 1024 /* bytes of one pickle, and of its JSON */
};

/* Tuples and sets become arrays; bytes, datetimes, Decimals and UUIDs kombu's
 * tagged values (typed_json.h), a timedelta its seconds; keys of a dict that
 * are no strings what json.dumps() makes of them; a saved GroupResult and an
 * AsyncResult their tuples (celery-wire.md 5.5).  On ST_OK *out is the
 * caller's, and may be NULL: None.  ST_PROTO: malformed, or it needs what is
 * refused, such as "builtins.eval"; ST_TOOBIG: nested too deep, or it would
 * unfold to far more than its size. */
enum status pickle_decode(struct slice bytes, struct json_object **out,
                          struct error *err);

/* Appends a pickle of v, protocol 2, which every Python 3 reads. */
void pickle_encode(struct json_object *v, struct buf *out);

/* Appends a pickle of the GroupResult that a result tuple stands for:
 * [[id, parent], [members...]].  ST_PROTO: it is no tuple of a group. */
enum status pickle_encode_group(struct json_object *tuple, struct buf *out,
                                struct error *err);

#endif

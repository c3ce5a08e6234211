#ifndef PROTOCOL_MSGPACK_H
#define PROTOCOL_MSGPACK_H

#include "base/json.h"

/* msgpack, as far as JSON's values go, and as Python's msgpack writes it.  One
 * value, nested JSON_DEPTH deep at most. */

/* Appends v.  ST_INVALID: an integer of more than 64 bits, as in Python.
 * ST_TOOBIG: out is full. */
enum status msgpack_encode(struct json_object *v, struct buf *out,
                           struct error *err);

/* Bytes become what kombu's JSON has for them: {"__type__": "base64",
 * "__value__": ...}.  ST_PROTO: damaged, trailing bytes, keys that are no
 * strings, extension types, a string that is no UTF-8. */
enum status msgpack_decode(struct slice bytes, struct json_object **out,
                           struct error *err);

#endif

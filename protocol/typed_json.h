#ifndef PROTOCOL_TYPED_JSON_H
#define PROTOCOL_TYPED_JSON_H

#include "base/buf.h"
#include "base/json.h"

/* Values that JSON has no type for, as kombu writes them (celery-wire.md 2.2):
 *   5.3 and later   {"__type__": "uuid", "__value__": {"hex": "0123..."}}
 *   5.2             "00000000-0000-...": a plain string
 * Inside arguments the tagged form is kept as it is, so that forwarding loses
 * nothing; these functions read and make single values. */
enum typed_json_kind {
    TYPED_NONE, /* any other value, tags that kombu does not know included */
    TYPED_DATETIME,
    TYPED_DATE,
    TYPED_TIME,
    TYPED_DECIMAL,
    TYPED_UUID,
    TYPED_BYTES, /* bytes that are valid UTF-8 */
    TYPED_BASE64 /* other bytes */
};

/* Which form to write: the peer's version decides. */
enum typed_json_dialect { TYPED_PLAIN, TYPED_TAGGED };

enum typed_json_kind typed_json_kind(struct json_object *v);

/* Appends what the tagged value v says: the ISO text of a date, a decimal's
 * digits, a UUID with its dashes, the bytes themselves.  ST_PROTO: not a tagged
 * value, or one with a broken inside. */
enum status typed_json_decode(struct json_object *v, struct buf *out,
                              struct error *err);

/* text: ISO 8601 ("2024-01-02T03:04:05.678901+00:00", "2024-01-02",
 * "01:02:03"), a decimal ("1.50") or a UUID, by kind.  The caller puts the
 * result. ST_INVALID: bytes (below), or text that is none of its kind. */
enum status typed_json_encode(enum typed_json_kind kind,
                              enum typed_json_dialect dialect,
                              struct slice text, struct json_object **out,
                              struct error *err);

/* Bytes exist in the tagged dialect only: ST_INVALID in the other, where Python
 * raises an EncodeError. */
enum status typed_json_encode_bytes(enum typed_json_dialect dialect,
                                    struct slice bytes,
                                    struct json_object **out,
                                    struct error *err);

#endif

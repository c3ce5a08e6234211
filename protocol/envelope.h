#ifndef PROTOCOL_ENVELOPE_H
#define PROTOCOL_ENVELOPE_H

#include "protocol/message.h"

/* kombu's virtual-transport envelope: the JSON object that is a Redis list
 * element or a pub/sub payload (celery-wire.md 1.1, 2.3, 3). */

/* Accepts everything that section 1.9 says to accept: missing headers,
 * properties, tag, delivery_info; a raw or base64 body.  ST_PROTO: not JSON,
 * no object, a body that is no string or whose base64 is broken. */
enum status envelope_decode(struct slice json, struct message **out,
                            struct error *err);

/* Appends the envelope of m, base64 body, in Python's style.  m->delivery_tag,
 * exchange and routing_key must be set. */
void envelope_encode(const struct message *m, struct buf *out);

/* Appends json with "redelivered": true spliced into headers and
 * properties.delivery_info, every other byte as it was (section 3.5). */
enum status envelope_mark_redelivered(struct slice json, struct buf *out,
                                      struct error *err);

/* The value kept in kombu's "unacked" hash: [envelope, "exchange", "key"]. */
void envelope_unacked_encode(struct slice json, struct slice exchange,
                             struct slice routing_key, struct buf *out);

/* Splits such a value, as kombu or we wrote it.  json points into value;
 * exchange and routing_key are malloc'd. */
enum status envelope_unacked_decode(struct slice value, struct slice *json,
                                    char **exchange, char **routing_key,
                                    struct error *err);

#endif

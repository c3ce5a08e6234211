#ifndef STORE_AMQP_CONTENT_H
#define STORE_AMQP_CONTENT_H

#include "protocol/message.h"
#include "store/amqp/frame.h"

/* Messages as AMQP carries them: properties, a header table, the bare body. */

/* The payload of a header frame for m, malloc'd, of AMQ_FRAME_MAX less the
 * frame at most: ST_TOOBIG says which property is too long. */
enum status amq_content_encode(const struct message *m, struct buf *head,
                               struct error *err);

/* The same for a copy of a received message, from the payload of its header
 * frame, marked redelivered. */
enum status amq_content_copy(struct slice head, struct buf *out,
                             struct error *err);

/* Consumes *body (NUL-terminated).  head: the payload of the header frame. */
enum status amq_content_decode(struct slice head, char **body, size_t body_len,
                               struct message **out, struct error *err);

#endif

#ifndef PROTOCOL_MESSAGE_H
#define PROTOCOL_MESSAGE_H

#include "base/buf.h"
#include "base/json.h"

#include <stdint.h>

/* A message as brokers carry it: headers, properties, body bytes.  Neutral of
 * transport: protocol/envelope.h turns it into kombu's Redis JSON, store/amqp
 * into AMQP frames.  celery-wire.md 1.1 to 1.3. */
struct message {
    struct json_object *headers; /* owned; an object or NULL */
    char *content_type;          /* owned; NULL: absent */
    char *content_encoding;      /* owned; NULL: absent */
    char *body;                  /* owned; the serialised, maybe compressed
                                    bytes (never base64), NUL-terminated */
    size_t body_len;

    /* properties; strings owned, NULL: absent */
    char *correlation_id, *reply_to, *expiration;
    char *exchange, *routing_key; /* delivery_info */
    char *delivery_tag;           /* Redis only */
    int priority;                 /* -1: absent */
    int delivery_mode;            /* 0: absent */
    bool redelivered;
    /* To the queue that a client has for answers: brokers do not declare it,
     * and it may be gone.  Not of the message itself. */
    bool reply;

    /* Its envelope, where the one who wrote it sends it too; owned; NULL: to be
     * encoded.  Not to be kept when a member is changed. */
    char *envelope;
    size_t envelope_len;
};

struct message *message_new(void); /* NULL without memory */
void message_free(struct message *m);

/* Sets an owned string member, freeing the old one; s.ptr NULL clears it. */
enum status message_set(char **member, struct slice s);

#endif

#ifndef PROTOCOL_CONTROL_H
#define PROTOCOL_CONTROL_H

#include "protocol/message.h"

/* Remote control (pidbox) messages, celery-wire.md section 8. */
struct control_request {
    struct json_object *doc;     /* owned; what follows points into it */
    struct slice method, ticket; /* ticket.ptr NULL: no reply wanted */
    struct slice reply_exchange, reply_key;
    struct json_object *arguments; /* borrowed object or NULL */
};

/* ST_NOTFOUND: well-formed, but for other nodes (destination, pattern). */
enum status control_decode(const struct message *m, struct slice nodename,
                           struct control_request *out, struct error *err);
void control_fini(struct control_request *r);

/* The reply {nodename: reply} as a message to publish to r's reply exchange. */
enum status control_reply(const struct control_request *r,
                          struct slice nodename, struct json_object *reply,
                          int64_t clock, struct message **out,
                          struct error *err);

/* A command for all nodes without a reply, e.g. "revoke". */
enum status control_command(const char *method, struct json_object *arguments,
                            struct message **out, struct error *err);

#endif

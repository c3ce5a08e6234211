#ifndef PROTOCOL_STATE_H
#define PROTOCOL_STATE_H

#include "base/buf.h"
#include "base/json.h"
#include "protocol/content.h"

#include <stdint.h>

/* A task's recorded outcome: the meta document of result backends
 * (celery-wire.md 5.1, 5.6). */
struct task_state {
    struct slice id;
    struct slice status;        /* "SUCCESS", ... or a custom state */
    struct json_object *result; /* the value, or the exception object of 5.6 */
    struct slice result_text;   /* ptr not NULL: this JSON text instead */
    struct slice traceback;     /* ptr NULL: null */
    struct json_object *children; /* array of result tuples; NULL: [] */
    int64_t done_us;              /* unix time; only written in READY states */
    struct slice group_id, parent_id; /* ptr NULL: absent */
    /* result_extended; written when name.ptr is not NULL */
    struct slice name, worker, queue;
    struct json_object *args, *kwargs;
    int64_t retries;
    /* Not of the document: where a backend that answers (rpc) sends it, as the
     * task's message said; ptr NULL: nobody asked. */
    struct slice reply_to, correlation_id;
};

bool state_is_ready(struct slice status); /* SUCCESS, FAILURE, REVOKED */

/* Appends the document, in Python's style (deterministic: the same outcome
 * gives the same bytes, but for date_done). */
void state_encode(const struct task_state *s, struct buf *out);

/* Reads a document.  *doc is the caller's and every slice of out points into
 * it.  ST_PROTO: not JSON, no object, no string status. */
enum status state_decode(struct slice json, struct json_object **doc,
                         struct task_state *out, struct error *err);

/* The same document as another content. */
enum status state_pack(const struct task_state *s, enum content c,
                       struct buf *out, struct error *err);
enum status state_unpack(struct slice bytes, enum content c,
                         struct json_object **doc, struct task_state *out,
                         struct error *err);
/* The same of whichever content it is, if accept allows it (a comma list as the
 * setting accept_content; else ST_DENIED). */
enum status state_read_any(struct slice bytes, const char *accept,
                           struct json_object **doc, struct task_state *out,
                           struct error *err);
/* Of a document that is decoded: the slices of out point into doc. */
enum status state_read(struct json_object *doc, struct task_state *out,
                       struct error *err);

/* {"exc_type", "exc_message": [message...], "exc_module"}; args is copied, NULL
 * for none.  NULL without memory. */
struct json_object *state_exception(const char *type, const char *module,
                                    struct json_object *args);

/* repr(exc) as Python prints it: ValueError('boom', 42). */
void state_exception_repr(struct json_object *exc, struct buf *out);

#endif

#ifndef API_WIRE_H
#define API_WIRE_H

#include "api/guard.h"

/* Between a client's socket and civetweb: reads request heads and bodies under
 * one deadline, and hands civetweb only heads that we wrote.  One wire a
 * civetweb worker thread; all calls are made on that thread. */
struct wire;

struct wire_limits {
    int64_t max_body;
    uint32_t timeout_ms; /* from a request's first byte to its last */
};

/* Whether the program's recv() is the one that civetweb calls.  False: the
 * guard would be bypassed, do not serve. */
bool wire_in_place(void);

/* From now on this thread's recv() goes through the guard.  NULL: no memory. */
struct wire *wire_new(const struct wire_limits *limits);
void wire_free(struct wire *w);

/* The wire of this thread; NULL: the thread is none of civetweb's. */
struct wire *wire_current(void);

/* Makes all wires stop waiting for bytes: the server is about to end. */
void wire_stop(void);

/* The request that the last head was; NULL if there is none, or if it has been
 * taken before: each is given out once.  why->status is not 0 if it was
 * refused: then only keep_alive (false) may be read. */
const struct http_request *wire_take(struct wire *w, struct guard_refusal *why);

/* Reads the whole body.  On failure why says the answer; the connection must
 * be closed. */
bool wire_body(struct wire *w, struct buf *out, struct guard_refusal *why);

/* Writes all of text, for as long as a request may take and a second more for
 * each MiB: a client that reads slowly must not keep the thread either.  False:
 * the connection must be closed. */
bool wire_write(struct wire *w, struct slice text);

/* True when the client has closed its side: nobody waits for the answer. */
bool wire_gone(const struct wire *w);

/* Reads and drops, for a short time, what a client still sends after a refusal,
 * so that closing does not reset the connection before it has read why. */
void wire_drain(struct wire *w);

#endif

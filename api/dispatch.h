#ifndef API_DISPATCH_H
#define API_DISPATCH_H

#include "api/exchange.h"

/* The path of a request through the api.  Fills x->rs; read_body(arg, out, why)
 * reads the body when it is wanted. */
typedef bool body_fn(void *arg, struct buf *out, struct guard_refusal *why);
void dispatch(struct exchange *x, body_fn *read_body);

/* Counts and times an answered request.  route: its pattern or NULL. */
void dispatch_observe(const char *route, int status, uint64_t took_us);
void dispatch_init(void); /* once, before the first request */

#endif

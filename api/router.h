#ifndef API_ROUTER_H
#define API_ROUTER_H

#include "api/exchange.h"

enum { ROUTE_METHODS = HTTP_DELETE + 1 }; /* GET HEAD POST PUT DELETE */

/* One path.  "{task_id}" stands for one segment. */
struct route {
    const char *pattern;
    handler_fn *handlers[ROUTE_METHODS]; /* NULL: 405 */
    bool while_draining; /* answered also when the server is about to end */
};

enum route_verdict {
    ROUTE_FOUND,
    ROUTE_SLASH,   /* found without its trailing slash: 307 */
    ROUTE_MISSING, /* 404 */
    ROUTE_BAD      /* 400: bad escape, control character, ".." */
};

/* Finds the route of an encoded path; id gets the decoded {task_id}. */
enum route_verdict router_find(const struct route *routes, struct slice path,
                               const struct route **out,
                               char id[PATH_ID_MAX + 1]);

/* "GET, HEAD, PUT": what the route answers, for the Allow header. */
void router_allow(const struct route *r, struct buf *out);

#endif

#ifndef API_SERVER_H
#define API_SERVER_H

#include "api/exchange.h"

/* civetweb: listens, gives each connection a thread, writes answers. */
struct server;

enum status server_start(struct server **out, struct api *api,
                         struct error *err);
/* Ends all connections.  Requests in flight lose their answers: wait for
 * api->in_flight to be 0 before. */
void server_stop(struct server *s);

#endif

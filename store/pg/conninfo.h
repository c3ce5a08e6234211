#ifndef STORE_PG_CONNINFO_H
#define STORE_PG_CONNINFO_H

#include "base/buf.h"

#include <libpq-fe.h>
#include <sys/socket.h>

/* database_url, taken apart, so that its host names can be looked up before
 * libpq sees them: PQconnectStart() would block in DNS.  Several hosts may be
 * given ("a,b"); each of their addresses is tried in turn, as libpq does. */
struct conninfo;

/* The error never quotes the URL, which may hold a password. */
enum status conninfo_new(struct conninfo **out, const char *url,
                         struct error *err);
void conninfo_free(struct conninfo *ci);

/* Before each attempt to connect: conninfo_rewind(), then for each host name
 * that conninfo_next_name() gives (NULL: no more) its addresses, if it has
 * any, by conninfo_add_address().  *port is for getaddrinfo. */
void conninfo_rewind(struct conninfo *ci);
const char *conninfo_next_name(struct conninfo *ci, const char **port);
void conninfo_add_address(struct conninfo *ci, const struct sockaddr *sa);

/* PQconnectStart() with what was found.  NULL: without memory, or no host has
 * an address. */
PGconn *conninfo_connect(struct conninfo *ci);

#endif

#ifndef BASE_URL_H
#define BASE_URL_H

#include "base/buf.h"

/* scheme://[user[:password]@]host[:port][/path][?query].  All parts are
 * percent-decoded once, after splitting; absent parts are empty strings.  A
 * unix socket (scheme "redis+socket", "socket") has an empty host and the
 * socket's path in path.  IPv6 hosts come without their brackets. */
struct url {
    char *text; /* the parts point into it; owned */
    const char *scheme, *user, *password, *host, *path, *query;
    int port; /* 0: not given */
};

enum status url_parse(const char *text, struct url *out, struct error *err);
void url_fini(struct url *u);

/* The value of a query parameter, percent-decoded, malloc'd; NULL if absent. */
char *url_query(const struct url *u, const char *name);

/* text with the password, and what parameters named password or key hold,
 * replaced by "***": what may be logged.  Also for libpq's "host=x password=y"
 * and for a list of URLs separated by semicolons.
 * Truncated to fit; always NUL-terminated; returns out. */
const char *url_redacted(const char *text, char *out, size_t size);

#endif

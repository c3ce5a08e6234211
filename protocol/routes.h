#ifndef PROTOCOL_ROUTES_H
#define PROTOCOL_ROUTES_H

#include "base/json.h"

#include <regex.h>

/* The setting task_routes: a map of names, globs and regular expressions to
 * routes, or a list of such maps; a map may also be a list of pairs.  The first
 * map that knows the task decides; in a map an exact name comes before the
 * patterns, which come in their order. */
enum route_match { ROUTE_NAME, ROUTE_GLOB, ROUTE_REGEX };

struct route_item {
    size_t map; /* which map of the list it is in */
    enum route_match match;
    struct slice text; /* borrowed from doc */
    regex_t regex;     /* of a ROUTE_REGEX */
    /* Borrowed from doc: the name of a queue, or an object with some of queue,
     * exchange, exchange_type, routing_key, priority and delivery_mode. */
    struct json_object *to;
};

struct routes {
    struct json_object *doc;
    struct route_item *items;
    size_t count, maps;
};

enum { ROUTES_MAX = 10000 };

/* ST_INVALID: err says which entry is wrong, and why. */
enum status routes_init(struct routes *r, const char *text, struct error *err);
void routes_fini(struct routes *r);
/* NULL: no entry. */
struct json_object *routes_find(const struct routes *r, struct slice task);

#endif

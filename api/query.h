#ifndef API_QUERY_H
#define API_QUERY_H

#include "api/problems.h"

/* A query string, decoded. */
enum { QUERY_PAIRS_MAX = 32, QUERY_TEXT_MAX = 4096 };

struct query_pair {
    struct slice name, value;
};

struct query {
    struct query_pair pairs[QUERY_PAIRS_MAX];
    size_t count;
    char text[QUERY_TEXT_MAX]; /* what the slices point into */
    size_t used;
};

/* False: a bad escape, bytes that are no UTF-8, a control character, too much.
 * text.ptr NULL is an empty query. */
bool query_parse(struct query *q, struct slice text);

/* One percent-decoded piece into out (size bytes; NUL-terminated).  plus: '+'
 * is a blank.  Returns the length, or -1 as above. */
long query_decode(struct slice text, bool plus, char *out, size_t size);

/* The value of a parameter that may be given once; a problem if it is given
 * twice.  ptr NULL: not given. */
struct slice query_get(const struct query *q, const char *name,
                       struct problems *p);
/* An integer parameter in bounds; dflt when absent. */
int64_t query_int(const struct query *q, const char *name, int64_t min,
                  int64_t max, int64_t dflt, struct problems *p);
bool query_bool(const struct query *q, const char *name, bool dflt,
                struct problems *p);

#endif

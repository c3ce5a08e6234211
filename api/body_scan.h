#ifndef API_BODY_SCAN_H
#define API_BODY_SCAN_H

#include "base/buf.h"

/* A look over a body's JSON text before anything is built from it: constant
 * stack, one pass.  Refuses what RFC 8259 does not allow and what we do not:
 * duplicate keys, U+0000 and lone surrogates (PostgreSQL cannot store them),
 * NaN and Infinity, more than BODY_DEPTH levels or BODY_MEMBERS members. */
enum { BODY_DEPTH = 32, BODY_MEMBERS = 10000, BODY_DIGITS = 4300 };

enum body_fault {
    BODY_GOOD,
    BODY_EMPTY,      /* nothing, or null: 422 "Field required" */
    BODY_UNREADABLE, /* no UTF-8, or nested too deeply: 400 */
    BODY_INVALID     /* 422 json_invalid */
};

struct body_error {
    size_t at;       /* in characters from the start, as Python counts */
    const char *why; /* in the words of Python's json module where it has any */
};

enum body_fault body_scan(struct slice text, struct body_error *err);

#endif

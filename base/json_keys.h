#ifndef BASE_JSON_KEYS_H
#define BASE_JSON_KEYS_H

#include "base/buf.h"

/* The key, if it is one that nearly every message has: a constant, which
 * json-c need not copy.  NULL: another.  Any thread. */
const char *json_known_key(struct slice key);

#endif

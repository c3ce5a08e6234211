#ifndef PROTOCOL_PYREPR_H
#define PROTOCOL_PYREPR_H

#include "base/buf.h"
#include "base/json.h"

/* Python's repr() of a JSON value, in full: {'a': [1, None, 'it\\'s']}.  Error
 * texts that end up in a Python client's hands are made of it. */
void pyrepr_add(struct buf *b, struct json_object *v);
void pyrepr_add_string(struct buf *b, struct slice s);

#endif

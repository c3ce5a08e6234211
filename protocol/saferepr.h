#ifndef PROTOCOL_SAFEREPR_H
#define PROTOCOL_SAFEREPR_H

#include "base/buf.h"
#include "base/json.h"

/* Celery's saferepr: Python-like text of a JSON value, three containers deep,
 * cut after max characters (not bytes: a cut never splits a character).  The
 * text may be a few characters longer: closing brackets are always written.
 * celery-wire.md 1.7. */
void saferepr_add(struct buf *b, struct json_object *v, size_t max);
/* The same for an array that Python holds as a tuple: "(2, 3)". */
void saferepr_add_tuple(struct buf *b, struct json_object *args, size_t max);

#endif

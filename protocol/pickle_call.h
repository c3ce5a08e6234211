#ifndef PROTOCOL_PICKLE_CALL_H
#define PROTOCOL_PICKLE_CALL_H

#include "protocol/pickle.h"

/* What a pickle may "call": a table of well known names, each with a function
 * that makes the JSON value (pickle_call.c).  The reader is pickle_decode.c. */

/* A class or function, until it is called, and a time zone, until it is part of
 * a datetime, are marks: objects with one of these members.  What still holds
 * one at the end is refused. */
#define PICKLE_GLOBAL   "\x01global"
#define PICKLE_TIMEZONE "\x01timezone"

/* global(*args): the value, the caller's; NULL is None.  args: an array. */
enum status pickle_call(struct slice global, struct json_object *args,
                        struct json_object **out, struct error *err);

/* An object made without its state, which comes with pickle_set_state(). */
enum status pickle_new(struct slice global, struct json_object *args,
                       struct json_object **out, struct error *err);
enum status pickle_set_state(struct json_object *obj, struct json_object *state,
                             struct error *err);

/* An integer of n bytes, little-endian, two's complement. */
enum status pickle_integer(const unsigned char *p, size_t n,
                           struct json_object **out, struct error *err);

#endif

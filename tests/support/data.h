#ifndef TESTS_SUPPORT_DATA_H
#define TESTS_SUPPORT_DATA_H

#include "base/json.h"

/* The JSON of tests/data/<name>; the test fails when it cannot be read.  Run
 * tests from the top folder. */
struct json_object *data_load(const char *name);

/* A string constant as a slice. */
struct slice data_text(const char *s);

/* Sets an owned string, such as a message's; text NULL clears it. */
void data_set(char **member, const char *text);

/* JSON text to a value; the test fails when it is none. */
struct json_object *data_json(const char *text);

#endif

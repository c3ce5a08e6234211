#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"

#include <json-c/json.h>
#include <stdint.h>

/* json-c with its traps closed (see json.c).  Every struct json_object * given
 * out is a reference that the caller puts, unless the comment says borrowed. */

enum {
    JSON_DEPTH = 1000 /* what Python's json can nest */
};

/* Strict JSON (RFC 8259) plus Python's NaN, Infinity and -Infinity.  depth: how
 * many arrays and objects may be nested, JSON_DEPTH at most.  Invalid UTF-8, a
 * BOM, trailing bytes and a key with U+0000 are ST_PROTO.  Of equal keys the
 * last wins.  A lone surrogate (\ud800) becomes U+FFFD.  Doubles keep their
 * source text and print as they came; so do integers beyond 64 bits, which are
 * doubles to json-c.  On ST_OK *out may be NULL: JSON null. */
enum status json_parse(struct slice text, int depth, struct json_object **out,
                       struct error *err);

/* Appends the text of v in Python's style: ", " and ": ", ASCII with \uXXXX
 * escapes, shortest floats, as json.dumps() prints.  v NULL: "null".  Bytes
 * that are no UTF-8 become U+FFFD.  Nested over 2 * JSON_DEPTH b has failed. */
void json_add(struct buf *b, struct json_object *v);

/* The same without blanks between tokens and with raw UTF-8: for our own API.
 */
void json_add_plain(struct buf *b, struct json_object *v);

/* Appends s as a JSON string with its quotes, ASCII only. */
void json_add_string(struct buf *b, struct slice s);

/* The text of v in Python's style; malloc'd, NULL without memory. */
char *json_text(struct json_object *v);

/* Looks up a member.  Borrowed; NULL when absent, null, or obj is no object. */
struct json_object *json_get(struct json_object *obj, const char *key);

/* Borrowed bytes of a string member, which die with obj; ptr NULL when absent
 * or not a string. */
struct slice json_get_str(struct json_object *obj, const char *key);

/* A number member, or dflt when absent or not a number.  As an int, a fraction
 * is cut and what is too large is clamped. */
int64_t json_get_int(struct json_object *obj, const char *key, int64_t dflt);
double json_get_double(struct json_object *obj, const char *key, double dflt);
bool json_get_bool(struct json_object *obj, const char *key, bool dflt);

/* Borrowed view of a string value; ptr NULL when v is not a string. */
struct slice json_str(struct json_object *v);
struct json_object *json_new_str(struct slice s); /* NULL without memory */
struct json_object *json_new_double(double d);    /* prints shortest */

/* obj[key] = v, consuming v also on failure.  ST_NOMEM if v is NULL because
 * its constructor failed: use json_set_null for null. */
enum status json_set(struct json_object *obj, const char *key,
                     struct json_object *v);
enum status json_set_null(struct json_object *obj, const char *key);
enum status json_append(struct json_object *arr, struct json_object *v);
enum status json_append_null(struct json_object *arr);

/* A copy that shares nothing with v; NULL without memory (or v NULL). */
struct json_object *json_copy(struct json_object *v);

/* Byte-exact surgery on JSON text, for where a parse and print would damage
 * what it passes on.  text must be valid JSON whose top is an object: finds the
 * raw text of a member's value without building anything.  ptr NULL: absent. Of
 * equal keys the last counts, as in json_parse. */
struct slice json_raw_member(struct slice text, const char *key);
/* The raw text of element i of an array. */
struct slice json_raw_element(struct slice text, size_t i);

/* True if any string or key in v holds U+0000, which PostgreSQL cannot store.
 */
bool json_has_nul(struct json_object *v);

#endif

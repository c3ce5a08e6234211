/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever json_parse() takes must print as text that it takes again and that
 * prints the same; and what is found in the raw text must be what was parsed.
 */
#include "base/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct json_object *
parse(struct slice text, enum status expected)
{
    struct json_object *v = NULL;
    struct error err;

    if (json_parse(text, 64, &v, &err) != expected)
        abort();
    return v;
}

static char *
print(struct json_object *v)
{
    char *text = json_text(v);

    if (text == NULL)
        abort();
    return text;
}

static void
same(struct json_object *a, struct json_object *b)
{
    char *x = print(a), *y = print(b);

    if (strcmp(x, y) != 0)
        abort();
    free(x);
    free(y);
}

/* Prints v in both styles, parses that and compares. */
static void
round_trip(struct json_object *v)
{
    struct json_object *again, *copy = json_copy(v);
    char *text = print(v), *plain;
    struct buf b;

    again = parse((struct slice){text, strlen(text)}, ST_OK);
    same(v, again);
    if (v != NULL)
        same(v, copy);
    json_object_put(again);
    json_object_put(copy);

    buf_init(&b, SIZE_MAX / 4);
    json_add_plain(&b, v);
    if (buf_take(&b, &plain, NULL) != ST_OK ||
        !utf8_valid((struct slice){plain, strlen(plain)}))
        abort();
    again = parse((struct slice){plain, strlen(plain)}, ST_OK);
    same(v, again);
    json_object_put(again);
    free(plain);
    free(text);
}

static void
compare_raw(struct slice text, struct json_object *v)
{
    struct json_object_iter it;
    struct json_object *part;
    struct slice raw;

    if (json_object_is_type(v, json_type_object)) {
        json_object_object_foreachC(v, it)
        {
            raw = json_raw_member(text, it.key);
            if (raw.ptr == NULL)
                abort();
            part = parse(raw, ST_OK);
            same(part, it.val);
            json_object_put(part);
        }
    } else if (json_object_is_type(v, json_type_array)) {
        size_t n = json_object_array_length(v);

        for (size_t i = 0; i < n && i < 20; i++) {
            part = parse(json_raw_element(text, i), ST_OK);
            same(part, json_object_array_get_idx(v, i));
            json_object_put(part);
        }
        if (json_raw_element(text, n).ptr != NULL)
            abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data, size};
    struct json_object *v = NULL;

    (void)json_raw_member(text, "a");
    (void)json_raw_element(text, 1);
    if (json_parse(text, 64, &v, NULL) != ST_OK)
        return 0;
    if (!utf8_valid(text))
        abort();
    round_trip(v);
    compare_raw(text, v);
    json_object_put(v);
    return 0;
}

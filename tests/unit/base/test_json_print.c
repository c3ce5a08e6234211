/* SPDX-License-Identifier: Apache-2.0 */
/* Printing JSON as Python does. */
#include "base/json.h"

#include <criterion/criterion.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/base/json_python.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct slice
slice(const char *s)
{
    return (struct slice){s, strlen(s)};
}

/* Parses and prints text; the caller frees. */
static char *
through(const char *text)
{
    struct json_object *v = NULL;
    char *out;

    cr_assert_eq(json_parse(slice(text), JSON_DEPTH, &v, NULL), ST_OK, "%s",
                 text);
    out = json_text(v);
    json_object_put(v);
    return out;
}

Test(json_print, values_print_as_python_prints_them)
{
    for (size_t i = 0; i < COUNT(texts); i++) {
        char *out = through(texts[i].text);

        cr_expect_str_eq(out, texts[i].dumps, "%s gave %s, not %s",
                         texts[i].text, out, texts[i].dumps);
        free(out);
    }
}

Test(json_print, floats_print_as_pythons_repr)
{
    for (size_t i = 0; i < COUNT(floats); i++) {
        struct json_object *v = json_new_double(floats[i].d);
        char *out = json_text(v);

        cr_expect_str_eq(out, floats[i].repr, "%s, not %s", out,
                         floats[i].repr);
        free(out);
        json_object_put(v);
    }
}

Test(json_print, a_double_made_by_json_c_prints_short_too)
{
    struct json_object *v = json_object_new_double(0.1);
    char *out = json_text(v);

    cr_assert_str_eq(out, "0.1");
    free(out);
    json_object_put(v);
}

Test(json_print, parsed_numbers_keep_their_text)
{
    static const char *const same[] = {
        "1.50", "1e400", "1E5", "0.10000", "-0.0", "100000000000000000000000"};

    for (size_t i = 0; i < COUNT(same); i++) {
        char *out = through(same[i]);

        cr_expect_str_eq(out, same[i]);
        free(out);
    }
}

Test(json_print, a_decimal_comma_of_the_locale_changes_nothing)
{
    struct json_object *v;
    char *out;

    /* Where no such locale is installed this is the test above again. */
    setlocale(LC_ALL, "de_DE.UTF-8");
    v = json_new_double(1234.5);
    out = json_text(v);
    cr_assert_str_eq(out, "1234.5");
    free(out);
    json_object_put(v);
}

Test(json_print, plain_style_has_no_blanks_and_raw_utf8)
{
    struct json_object *v = NULL;
    struct buf b;
    char *out;

    cr_assert_eq(
        json_parse(slice("{\"a\" : [1, \"\\u00e9\\n\\u007f\"]}"), 9, &v, NULL),
        ST_OK);
    buf_init(&b, 100);
    json_add_plain(&b, v);
    cr_assert_eq(buf_take(&b, &out, NULL), ST_OK);
    cr_assert_str_eq(out, "{\"a\":[1,\"\xc3\xa9\\n\x7f\"]}");
    free(out);
    json_object_put(v);
}

Test(json_print, bytes_that_are_no_utf8_become_the_replacement_character)
{
    struct json_object *v =
        json_new_str((struct slice){"a\xff\xc3(\xed\xa0\x80", 7});
    char *out = json_text(v);

    cr_assert_str_eq(out, "\"a\\ufffd\\ufffd(\\ufffd\\ufffd\\ufffd\"");
    free(out);
    json_object_put(v);
}

Test(json_print, nothing_prints_as_null)
{
    char *out = json_text(NULL);

    cr_assert_str_eq(out, "null");
    free(out);
}

Test(json_print, nesting_that_could_overflow_the_stack_fails)
{
    struct json_object *v = json_object_new_array(), *outer;
    struct buf b;

    for (int i = 0; i < 3 * JSON_DEPTH; i++) {
        outer = json_object_new_array_ext(1);
        json_object_array_add(outer, v);
        v = outer;
    }
    buf_init(&b, 1 << 20);
    json_add(&b, v);
    cr_assert(b.failed);
    buf_fini(&b);
    json_object_put(v);
}

Test(json_print, a_value_over_the_buffers_limit_fails)
{
    struct json_object *v = json_new_str(slice("0123456789"));
    struct buf b;

    buf_init(&b, 8);
    json_add(&b, v);
    cr_assert(b.failed);
    buf_fini(&b);
    json_object_put(v);
}

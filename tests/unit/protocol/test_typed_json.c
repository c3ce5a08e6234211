#include "protocol/typed_json.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/data.h"

static char *
encoded(enum typed_json_kind kind, enum typed_json_dialect dialect,
        const char *text)
{
    struct json_object *v = NULL;
    struct error err = {0};
    char *out;

    cr_assert_eq(typed_json_encode(kind, dialect, data_text(text), &v, &err),
                 ST_OK, "%s: %s", text, err.text);
    out = json_text(v);
    json_object_put(v);
    return out;
}

Test(typed_json, each_kind_in_both_dialects_and_back)
{
    static const struct {
        enum typed_json_kind kind;
        const char *text, *plain, *tagged;
    } cases[] = {
        {TYPED_DATETIME, "2024-01-02T03:04:05.678901",
         "\"2024-01-02T03:04:05.678901\"",
         "{\"__type__\": \"datetime\", \"__value__\": "
         "\"2024-01-02T03:04:05.678901\"}"},
        {TYPED_DATETIME, "2024-01-02T03:04:05+00:00",
         "\"2024-01-02T03:04:05Z\"",
         "{\"__type__\": \"datetime\", \"__value__\": "
         "\"2024-01-02T03:04:05+00:00\"}"},
        {TYPED_DATE, "2024-01-02", "\"2024-01-02T00:00:00\"",
         "{\"__type__\": \"date\", \"__value__\": \"2024-01-02\"}"},
        {TYPED_TIME, "01:02:03", "\"01:02:03\"",
         "{\"__type__\": \"time\", \"__value__\": \"01:02:03\"}"},
        {TYPED_DECIMAL, "1.50", "\"1.50\"",
         "{\"__type__\": \"decimal\", \"__value__\": \"1.50\"}"},
        {TYPED_UUID, "00000000-0000-0000-0000-000000000005",
         "\"00000000-0000-0000-0000-000000000005\"",
         "{\"__type__\": \"uuid\", \"__value__\": {\"hex\": "
         "\"00000000000000000000000000000005\"}}"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_object *v = data_json(cases[i].tagged);
        struct buf b;
        char *text;

        text = encoded(cases[i].kind, TYPED_PLAIN, cases[i].text);
        cr_expect_str_eq(text, cases[i].plain);
        free(text);
        text = encoded(cases[i].kind, TYPED_TAGGED, cases[i].text);
        cr_expect_str_eq(text, cases[i].tagged);
        free(text);
        cr_expect_eq(typed_json_kind(v), cases[i].kind);
        buf_init(&b, 100);
        cr_assert_eq(typed_json_decode(v, &b, NULL), ST_OK);
        cr_assert_eq(buf_take(&b, &text, NULL), ST_OK);
        cr_expect_str_eq(text, cases[i].text);
        free(text);
        json_object_put(v);
    }
}

Test(typed_json, bytes_are_text_if_they_can_be)
{
    struct json_object *v = NULL;
    struct buf b;
    char *text;

    cr_assert_eq(
        typed_json_encode_bytes(TYPED_TAGGED, data_text("ab"), &v, NULL),
        ST_OK);
    text = json_text(v);
    cr_expect_str_eq(text, "{\"__type__\": \"bytes\", \"__value__\": \"ab\"}");
    cr_expect_eq(typed_json_kind(v), TYPED_BYTES);
    free(text);
    json_object_put(v);
    cr_assert_eq(typed_json_encode_bytes(TYPED_TAGGED,
                                         (struct slice){"\xff\0", 2}, &v, NULL),
                 ST_OK);
    text = json_text(v);
    cr_expect_str_eq(text,
                     "{\"__type__\": \"base64\", \"__value__\": \"/wA=\"}");
    cr_expect_eq(typed_json_kind(v), TYPED_BASE64);
    free(text);
    buf_init(&b, 10);
    cr_assert_eq(typed_json_decode(v, &b, NULL), ST_OK);
    cr_expect_eq(b.len, 2);
    cr_expect_eq(memcmp(b.data, "\xff\0", 2), 0);
    buf_fini(&b);
    json_object_put(v);
    cr_expect_eq(
        typed_json_encode_bytes(TYPED_PLAIN, data_text("ab"), &v, NULL),
        ST_INVALID);
}

Test(typed_json, only_exactly_the_two_keys_make_a_tag)
{
    static const char *const cases[] = {
        "null",
        "\"datetime\"",
        "[\"__type__\", \"__value__\"]",
        "{}",
        "{\"__type__\": \"date\"}",
        "{\"__value__\": \"2024-01-02\"}",
        "{\"__type__\": \"date\", \"__value__\": \"2024-01-02\", \"x\": 1}",
        "{\"__type__\": \"nosuch\", \"__value__\": 1}",
        "{\"__type__\": 5, \"__value__\": 1}",
        "{\"__type__\": \"date\", \"value\": 1}",
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_object *v = data_json(cases[i]);
        struct buf b;

        buf_init(&b, 10);
        cr_expect_eq(typed_json_kind(v), TYPED_NONE, "%s", cases[i]);
        cr_expect_eq(typed_json_decode(v, &b, NULL), ST_PROTO);
        buf_fini(&b);
        json_object_put(v);
    }
}

Test(typed_json, a_broken_inside_is_told)
{
    static const char *const cases[] = {
        "{\"__type__\": \"date\", \"__value__\": 5}",
        "{\"__type__\": \"bytes\", \"__value__\": null}",
        "{\"__type__\": \"base64\", \"__value__\": \"/w\"}",
        "{\"__type__\": \"uuid\", \"__value__\": \"x\"}",
        "{\"__type__\": \"uuid\", \"__value__\": {\"hex\": \"12\"}}",
        "{\"__type__\": \"uuid\", \"__value__\": {\"hex\": "
        "\"0000000000000000000000000000000g\"}}",
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_object *v = data_json(cases[i]);
        struct buf b;

        buf_init(&b, 100);
        cr_expect_eq(typed_json_decode(v, &b, NULL), ST_PROTO, "%s", cases[i]);
        buf_fini(&b);
        json_object_put(v);
    }
}

Test(typed_json, text_must_be_of_its_kind)
{
    static const struct {
        enum typed_json_kind kind;
        const char *text;
        bool good;
    } cases[] = {
        {TYPED_DATETIME, "2024-01-02", false},
        {TYPED_DATETIME, "yesterday at noon", false},
        {TYPED_DATE, "2024-02-30", false},
        {TYPED_DATE, "2024-01-02T03:04:05", false},
        {TYPED_TIME, "25:00:00", false},
        {TYPED_TIME, "1:00", false},
        {TYPED_TIME, "01:02:03.5", true},
        {TYPED_DECIMAL, "", false},
        {TYPED_DECIMAL, ".", false},
        {TYPED_DECIMAL, "1.2.3", false},
        {TYPED_DECIMAL, "-1E+5", true},
        {TYPED_DECIMAL, "1E", false},
        {TYPED_DECIMAL, "1E+", false},
        {TYPED_DECIMAL, ".5", true},
        {TYPED_DECIMAL, "1x", false},
        {TYPED_UUID, "00000000000000000000000000000005", false},
        {TYPED_UUID, "00000000-0000-0000-0000-00000000000g", false},
        {TYPED_NONE, "x", false},
        {TYPED_BYTES, "x", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_object *v = NULL;

        cr_expect_eq(typed_json_encode(cases[i].kind, TYPED_TAGGED,
                                       data_text(cases[i].text), &v, NULL),
                     cases[i].good ? ST_OK : ST_INVALID, "%s", cases[i].text);
        json_object_put(v);
    }
}

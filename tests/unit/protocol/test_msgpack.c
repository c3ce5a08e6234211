/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/msgpack.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "protocol/content.h"
#include "tests/support/data.h"

/* What Python's msgpack.packb(v, use_bin_type=True) gives, in hex. */
static const struct {
    const char *json, *hex;
} both_ways[] = {
    {"null", "c0"},
    {"true", "c3"},
    {"false", "c2"},
    {"0", "00"},
    {"127", "7f"},
    {"128", "cc80"},
    {"255", "ccff"},
    {"256", "cd0100"},
    {"65536", "ce00010000"},
    {"4294967296", "cf0000000100000000"},
    {"9223372036854775807", "cf7fffffffffffffff"},
    {"18446744073709551615", "cfffffffffffffffff"},
    {"-1", "ff"},
    {"-32", "e0"},
    {"-33", "d0df"},
    {"-128", "d080"},
    {"-129", "d1ff7f"},
    {"-32768", "d18000"},
    {"-32769", "d2ffff7fff"},
    {"-2147483648", "d280000000"},
    {"-2147483649", "d3ffffffff7fffffff"},
    {"-9223372036854775808", "d38000000000000000"},
    {"1.5", "cb3ff8000000000000"},
    {"-0.25", "cbbfd0000000000000"},
    {"1e+300", "cb7e37e43c8800759c"},
    {"NaN", "cb7ff8000000000000"},
    {"Infinity", "cb7ff0000000000000"},
    {"-Infinity", "cbfff0000000000000"},
    {"\"\"", "a0"},
    {"\"n\\u00ef\"", "a36ec3af"},
    {"\"0123456789012345678901234567890\"",
     "bf30313233343536373839303132333435363738393031323334353637383930"},
    {"\"01234567890123456789012345678901\"",
     "d920303132333435363738393031323334353637383930313233343536373839"
     "3031"},
    {"[]", "90"},
    {"[1, [2, null]]", "92019202c0"},
    {"[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5]",
     "dc001000010203040506070809000102030405"},
    {"{}", "80"},
    {"{\"a\": {\"\": 1}}", "81a16181a001"},
};

static struct slice
unhex(const char *hex, char *out)
{
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        cr_assert_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (char)byte;
    }
    return (struct slice){out, n};
}

static char *
hex_of(struct slice s)
{
    char *out = calloc(s.len + 1, 2);

    for (size_t i = 0; i < s.len; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", (unsigned char)s.ptr[i]);
    return out;
}

static char *
packed(const char *json, enum status *st, struct error *err)
{
    struct json_object *v = NULL;
    struct buf b;
    char *hex;

    cr_assert_eq(json_parse(data_text(json), JSON_DEPTH, &v, err), ST_OK);
    buf_init(&b, 1 << 20);
    *st = msgpack_encode(v, &b, err);
    hex = hex_of((struct slice){b.data, b.len});
    buf_fini(&b);
    json_object_put(v);
    return hex;
}

static enum status
unpacked(const char *hex, char **json, struct error *err)
{
    char bytes[256];
    struct json_object *v = NULL;
    enum status st = msgpack_decode(unhex(hex, bytes), &v, err);

    *json = st == ST_OK ? json_text(v) : NULL;
    json_object_put(v);
    return st;
}

Test(msgpack, values_are_written_and_read_as_python_does)
{
    for (size_t i = 0; i < sizeof both_ways / sizeof *both_ways; i++) {
        struct error err = {.text = ""};
        char *json = NULL;
        enum status st;
        char *hex = packed(both_ways[i].json, &st, &err);

        cr_expect_eq(st, ST_OK, "%s: %s", both_ways[i].json, err.text);
        cr_expect_str_eq(hex, both_ways[i].hex, "%s", both_ways[i].json);
        cr_expect_eq(unpacked(both_ways[i].hex, &json, &err), ST_OK, "%s: %s",
                     both_ways[i].json, err.text);
        cr_expect_str_eq(json, both_ways[i].json);
        free(hex);
        free(json);
    }
}

Test(msgpack, what_others_may_write_is_read_too)
{
    static const struct {
        const char *hex, *json;
    } cases[] = {
        {"ca3fc00000", "1.5"},
        {"d905616263c3af", "\"abc\\u00ef\""},
        {"da000161", "\"a\""},
        {"db0000000161", "\"a\""},
        {"dd00000001c0", "[null]"},
        {"df00000001a161c0", "{\"a\": null}"},
        {"81d90161c0", "{\"a\": null}"},
        {"82a16101a16102", "{\"a\": 2}"},
        {"c403ff00fe", "{\"__type__\": \"base64\", \"__value__\": \"/wD+\"}"},
        {"d101ff", "511"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {.text = ""};
        char *json = NULL;

        cr_expect_eq(unpacked(cases[i].hex, &json, &err), ST_OK, "%s: %s",
                     cases[i].hex, err.text);
        cr_expect_str_eq(json, cases[i].json);
        free(json);
    }
}

Test(msgpack, what_is_damaged_or_no_json_is_refused)
{
    static const char *const cases[] = {
        "",
        "c1",
        "cc",
        "cf00",
        "a2",
        "a161c0",
        "92c0",
        "dd7fffffffc0",
        "df7fffffff",
        "8101c0",
        "81c4016101",
        "81a2610001",
        "a1ff",
        "c702",
        "d40101",
        "c7010100",
        "dbffffffff",
        "81a161",
        "d9",
        "c5",
        "cb00",
        "81a1ff01",
        "81c0c0",
        "8190c0",
        "818201020304",
        "82a16101a162",
        "9281a16192c1",
        "c9ffffffff",
        "c803",
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {.text = ""};
        char *json = NULL;

        cr_expect_eq(unpacked(cases[i], &json, &err), ST_PROTO, "%s gives %s",
                     cases[i], json);
        cr_expect(strncmp(err.text, "msgpack: ", 9) == 0, "%s", err.text);
        free(json);
    }
}

Test(msgpack, an_integer_beyond_64_bits_is_refused_as_in_python)
{
    struct error err = {.text = ""};
    enum status st;

    free(packed("[18446744073709551616]", &st, &err));
    cr_expect_eq(st, ST_INVALID);
    cr_expect_not_null(strstr(err.text, "64 bits"));
}

Test(msgpack, nesting_has_an_end)
{
    char deep[JSON_DEPTH + 2];
    struct json_object *v = NULL;
    struct error err;

    memset(deep, (char)0x91, sizeof deep);
    deep[JSON_DEPTH] = (char)0xc0;
    cr_expect_eq(msgpack_decode((struct slice){deep, JSON_DEPTH + 1}, &v, &err),
                 ST_OK, "%s", err.text);
    json_object_put(v);
    deep[JSON_DEPTH] = (char)0x91;
    deep[JSON_DEPTH + 1] = (char)0xc0;
    cr_expect_eq(msgpack_decode((struct slice){deep, sizeof deep}, &v, &err),
                 ST_PROTO);
    cr_expect_not_null(strstr(err.text, "too deep"));
}

Test(msgpack, what_is_written_nests_as_deep_as_what_is_read)
{
    struct json_object *v = json_object_new_array();
    struct error err;
    struct buf b;

    for (int depth = 1; depth < JSON_DEPTH; depth++) {
        struct json_object *outer = json_object_new_array();
        cr_assert_eq(json_append(outer, v), ST_OK);
        v = outer;
    }
    buf_init(&b, 1 << 20);
    cr_expect_eq(msgpack_encode(v, &b, &err), ST_OK);
    json_object_put(v);
    cr_assert_eq(msgpack_decode((struct slice){b.data, b.len}, &v, &err),
                 ST_OK);
    struct json_object *outer = json_object_new_array();
    cr_assert_eq(json_append(outer, v), ST_OK);
    cr_expect_eq(msgpack_encode(outer, &b, &err), ST_TOOBIG);
    json_object_put(outer);
    buf_fini(&b);
}

/* ASan's shadow needs more address space than the limit leaves. */
#ifndef __SANITIZE_ADDRESS__
Test(msgpack, what_is_announced_is_not_reserved)
{
    struct rlimit before, limit;
    struct json_object *v = NULL;
    char bytes[32 * 5];
    struct error err;

    for (size_t i = 0; i < sizeof bytes; i += 5)
        memcpy(bytes + i, "\xdd\x05\xf5\xe1\x00", 5);
    cr_assert_eq(getrlimit(RLIMIT_AS, &before), 0);
    limit = before;
    limit.rlim_cur = 1 << 30;
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    cr_expect_eq(msgpack_decode((struct slice){bytes, sizeof bytes}, &v, &err),
                 ST_PROTO, "%s", err.text);
    cr_expect_not_null(strstr(err.text, "cut short"));
    cr_assert_eq(setrlimit(RLIMIT_AS, &before), 0);
}
#endif

Test(msgpack, a_full_buffer_is_told)
{
    struct json_object *v = json_new_str(data_text("0123456789"));
    struct error err;
    struct buf b;

    buf_init(&b, 8);
    cr_expect_eq(msgpack_encode(v, &b, &err), ST_TOOBIG);
    buf_fini(&b);
    json_object_put(v);
}

Test(content, serializers_go_by_kombu_s_names_and_mime_types)
{
    enum content c = CONTENT_JSON;
    struct error err;

    cr_expect_eq(content_find(data_text("msgpack"), &c, &err), ST_OK);
    cr_expect_eq(c, CONTENT_MSGPACK);
    cr_expect_eq(content_find(data_text("application/json"), &c, &err), ST_OK);
    cr_expect_eq(c, CONTENT_JSON);
    cr_expect_eq(content_find(data_text("pickle"), &c, &err), ST_INVALID);
    cr_expect_not_null(strstr(err.text, "pickle"));
    cr_expect_not_null(strstr(err.text, "json and msgpack"));
    cr_expect(content_accepted(CONTENT_MSGPACK, "json, application/x-msgpack"));
    cr_expect(!content_accepted(CONTENT_MSGPACK, "json,msgpack2"));
    cr_expect(!content_accepted(CONTENT_JSON, ""));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/pickle.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/data.h"

static struct slice
unhex(struct json_object *v)
{
    struct slice hex = json_str(v);
    char *out = malloc(hex.len / 2 + 1);
    unsigned c;

    cr_assert_not_null(out);
    for (size_t i = 0; i + 1 < hex.len; i += 2) {
        cr_assert_eq(sscanf(hex.ptr + i, "%2x", &c), 1);
        out[i / 2] = (char)c;
    }
    return (struct slice){out, hex.len / 2};
}

static void
check_case(struct json_object *c)
{
    struct slice bytes = unhex(json_get(c, "hex"));
    struct slice refused = json_get_str(c, "refused");
    const char *what = json_object_get_string(json_get(c, "what"));
    struct json_object *v = NULL;
    struct error err = {.text = ""};
    enum status st = pickle_decode(bytes, &v, &err);
    char *got = json_text(v);

    if (refused.ptr != NULL) {
        cr_expect_eq(st, ST_PROTO, "%s: %s", what, got);
        cr_expect(strstr(err.text, refused.ptr), "%s: %s", what, err.text);
    } else {
        cr_expect_eq(st, ST_OK, "%s: %s", what, err.text);
        cr_expect_str_eq(got, json_object_get_string(json_get(c, "json")), "%s",
                         what);
    }
    free(got);
    json_object_put(v);
    free(bytes.ptr ? (void *)(uintptr_t)bytes.ptr : NULL);
}

Test(pickle, reads_what_python_writes_and_refuses_what_is_no_value)
{
    struct json_object *cases = data_load("pickles.json");
    size_t n = json_object_array_length(cases);

    cr_assert_geq(n, 250);
    for (size_t i = 0; i < n; i++)
        check_case(json_object_array_get_idx(cases, i));
    json_object_put(cases);
}

/* What every case above means, written and read again. */
Test(pickle, what_is_written_can_be_read)
{
    struct json_object *cases = data_load("pickles.json");

    for (size_t i = 0; i < json_object_array_length(cases); i++) {
        struct json_object *c = json_object_array_get_idx(cases, i), *back;
        struct slice json = json_get_str(c, "json");
        struct json_object *v = NULL;
        struct buf b;
        char *got;

        if (json.ptr == NULL)
            continue;
        cr_assert_eq(json_parse(json, JSON_DEPTH, &v, NULL), ST_OK);
        buf_init(&b, 1 << 20);
        pickle_encode(v, &b);
        cr_assert(!b.failed);
        cr_assert_eq(pickle_decode((struct slice){b.data, b.len}, &back, NULL),
                     ST_OK);
        got = json_text(back);
        cr_expect_str_eq(got, json.ptr);
        free(got);
        buf_fini(&b);
        json_object_put(v);
        json_object_put(back);
    }
    json_object_put(cases);
}

static const char *
written(const char *json, char *out, size_t size)
{
    struct json_object *v = data_json(json);
    struct buf b;
    size_t at = 0;

    buf_init(&b, 1 << 16);
    pickle_encode(v, &b);
    for (size_t i = 0; i < b.len && at + 3 < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%02x",
                               (unsigned char)b.data[i]);
    out[at] = '\0';
    buf_fini(&b);
    json_object_put(v);
    return out;
}

Test(pickle, writes_the_opcodes_that_were_tried_with_python)
{
    char b[256];

    cr_expect_str_eq(written("7", b, sizeof(b)), "80024b072e");
    cr_expect_str_eq(written("null", b, sizeof(b)), "80024e2e");
    cr_expect_str_eq(written("-2", b, sizeof(b)), "80024afeffffff2e");
    cr_expect_str_eq(written("[true, 1.5]", b, sizeof(b)),
                     "80025d2888473ff8000000000000652e");
    cr_expect_str_eq(written("{\"a\": []}", b, sizeof(b)),
                     "80027d285801000000615d752e");
    cr_expect_str_eq(written("18446744073709551616", b, sizeof(b)),
                     "80028a090000000000000000012e");
    cr_expect_str_eq(written("-18446744073709551616", b, sizeof(b)),
                     "80028a09"
                     "0000000000000000"
                     "ff2e");
}

Test(pickle, text_that_is_no_utf8_is_mended)
{
    struct json_object *v = json_new_str((struct slice){"a\xff"
                                                        "b",
                                                        3});
    struct buf b;

    buf_init(&b, 1 << 16);
    pickle_encode(v, &b);
    cr_assert_eq(b.len, 2 + 5 + 5 + 1);
    cr_expect_eq(memcmp(b.data + 7,
                        "a\xef\xbf\xbd"
                        "b",
                        5),
                 0);
    buf_fini(&b);
    json_object_put(v);
}

static enum status
decode(const char *bytes, size_t n, struct error *err)
{
    struct json_object *v = NULL;
    enum status st = pickle_decode((struct slice){bytes, n}, &v, err);

    json_object_put(v);
    return st;
}

Test(pickle, nonsense_is_refused)
{
    static const char *const bad[] = {
        "",
        ".",
        "\x80\x02",
        "\x80\x02N",
        "NN.",
        "(.",
        "(N.",
        "a.",
        "]a.",
        "]Na",
        "e.",
        "(e.",
        "](",
        "s.",
        "}Ns.",
        "}(Nu.",
        "(Nd.",
        "t.",
        "\x85.",
        "(\x85.",
        "N(\x86.",
        "h\x01.",
        "j\xff\xff\xff\x7f.",
        "(q\x01.",
        "Nr\xff\xff\xff\x7f.",
        "X\xff\xff\xff\x7f.",
        "R.",
        "NR.",
        "N)R.",
        "b.",
        "NNb.",
        "NN\x93.",
        "cos\nsystem\n(X\x04\x00",
        "cos\nsystem\n)R.",
        "0.",
        "I1\n.",
        "\x80\x06N.",
        "\x8a\x02\x01.",
        "G\x01.",
        "ccollections\nOrderedDict\n)R(Nu.",
        "\x95\x01.",
        "Pid\n.",
        "cdatetime\ndatetime\n(K\x01tR.",
        "(K\x01(K\x02.",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct error err = {.text = ""};

        cr_expect_neq(decode(bad[i], strlen(bad[i]), &err), ST_OK, "%zu", i);
        cr_expect_neq(err.text[0], '\0', "%zu", i);
    }
}

/* Each level holds the one before it twice: 2^60 values in 200 bytes. */
Test(pickle, what_would_unfold_without_end_is_refused)
{
    struct error err;
    struct buf b;

    buf_init(&b, 1 << 16);
    buf_addf(&b, "]q%c", 1);
    for (int i = 1; i < 60; i++)
        buf_addf(&b, "h%ch%c\x86q%c", i, i, i + 1);
    buf_addf(&b, ".");
    cr_expect_eq(decode(b.data, b.len, &err), ST_TOOBIG);
    buf_fini(&b);
}

Test(pickle, what_is_nested_too_deep_is_refused)
{
    static char bytes[1000002];
    struct error err;

    bytes[0] = ')';
    memset(bytes + 1, '\x85', 1000000);
    bytes[1000001] = '.';
    cr_expect_eq(decode(bytes, sizeof(bytes), &err), ST_TOOBIG);
    memset(bytes, '(', 1000000);
    cr_expect_neq(decode(bytes, sizeof(bytes), &err), ST_OK);
    memset(bytes, ']', 1000000);
    cr_expect_neq(decode(bytes, sizeof(bytes), &err), ST_OK);
}

/* These bytes are tried with Python in tests/interop/test_results_db.py. */
Test(pickle, a_group_of_two_has_the_bytes_that_python_was_given)
{
    static const char want[] = "\x80\x02"
                               "ccelery.result\nGroupResult\n"
                               "X\4\0\0\0ours]("
                               "ccelery.result\nAsyncResult\n"
                               "(X\1\0\0\0aNNNNtR"
                               "ccelery.result\nAsyncResult\n"
                               "(X\1\0\0\0bNNNNtRe\x86R.";
    struct json_object *v =
        data_json("[[\"ours\", null], [[[\"a\", null], null], "
                  "[[\"b\", null], null]]]");
    struct buf b;

    buf_init(&b, 1 << 16);
    cr_assert_eq(pickle_encode_group(v, &b, NULL), ST_OK);
    cr_assert_eq(b.len, sizeof(want) - 1);
    cr_expect_eq(memcmp(b.data, want, b.len), 0);
    buf_fini(&b);
    json_object_put(v);
}

Test(pickle, a_saved_group_is_written_as_celery_reads_it)
{
    static const char text[] =
        "[[\"g\", null], [[[\"a\", [[\"p\", null], null]], null], "
        "[[\"h\", null], [[[\"b\", null], null]]], [[\"e\", null], []]]]";
    struct json_object *v = data_json(text), *back = NULL;
    struct error err;
    struct buf b;
    char *got;

    buf_init(&b, 1 << 16);
    cr_assert_eq(pickle_encode_group(v, &b, &err), ST_OK);
    cr_assert_eq(pickle_decode((struct slice){b.data, b.len}, &back, &err),
                 ST_OK, "%s", err.text);
    got = json_text(back);
    cr_expect_str_eq(got, text);
    free(got);
    json_object_put(back);
    json_object_put(v);
    v = data_json("[[\"a\", null], null]");
    cr_expect_eq(pickle_encode_group(v, &b, &err), ST_PROTO);
    buf_fini(&b);
    json_object_put(v);
}

#include "protocol/base64.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct slice
text(const char *s)
{
    return (struct slice){s, strlen(s)};
}

static enum status
decode(struct slice in, size_t max, char **out, size_t *len, struct error *err)
{
    struct buf b;
    enum status st;

    buf_init(&b, max);
    st = base64_decode(in, &b, err);
    if (st == ST_OK)
        st = buf_take(&b, out, len);
    buf_fini(&b);
    return st;
}

Test(base64, the_vectors_of_the_rfc_both_ways)
{
    static const struct {
        const char *plain, *coded;
    } cases[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe\xfd~", "//79fg=="},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf b;
        char *out = NULL;
        size_t len;

        buf_init(&b, 100);
        base64_add(&b, text(cases[i].plain));
        cr_assert_eq(buf_take(&b, &out, NULL), ST_OK);
        cr_expect_str_eq(out, cases[i].coded);
        free(out);
        cr_assert_eq(decode(text(cases[i].coded), 100, &out, &len, NULL),
                     ST_OK);
        cr_expect_str_eq(out, cases[i].plain);
        free(out);
    }
}

Test(base64, any_bytes_of_any_length_come_back)
{
    char bytes[3000];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7 + i / 256);
    for (size_t n = 0; n < sizeof(bytes); n += n < 10 ? 1 : 251) {
        struct buf b;
        char *coded, *out;
        size_t len;

        buf_init(&b, 8000);
        base64_add(&b, (struct slice){bytes, n});
        cr_assert_eq(buf_take(&b, &coded, &len), ST_OK);
        cr_assert_eq(len, (n + 2) / 3 * 4);
        cr_assert_eq(decode((struct slice){coded, len}, 8000, &out, &len, NULL),
                     ST_OK);
        cr_assert_eq(len, n);
        cr_assert_arr_eq(out, bytes, n);
        free(coded);
        free(out);
    }
}

Test(base64, blanks_and_line_breaks_are_skipped)
{
    char *out;
    size_t len;

    cr_assert_eq(decode(text(" Zm9\r\nvYg\t=\n= "), 100, &out, &len, NULL),
                 ST_OK);
    cr_assert_str_eq(out, "foob");
    free(out);
}

Test(base64, damage_is_told)
{
    static const char *const cases[] = {
        "Z",    "Zg",    "Zg=",      "Zm8",      "=",    "====",
        "Z===", "Zg==Z", "Zg==Zg==", "Zm9v=",    "Zm-v", "Zm_v",
        "Z!==", "Zg=v",  "Zm9vYg=",  "Zm9v\x80",
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *out;
        size_t len;
        struct error err = {0};

        cr_expect_eq(decode(text(cases[i]), 100, &out, &len, &err), ST_PROTO,
                     "%s", cases[i]);
        cr_expect_not_null(strstr(err.text, "base64"));
    }
}

Test(base64, a_nul_is_no_blank)
{
    char *out;
    size_t len;

    cr_assert_eq(decode((struct slice){"Zm9v\0Zm9v", 9}, 100, &out, &len, NULL),
                 ST_PROTO);
}

Test(base64, the_limit_of_the_buffer_holds)
{
    char *out;
    size_t len;

    cr_assert_eq(decode(text("Zm9vYmFy"), 5, &out, &len, NULL), ST_TOOBIG);
    cr_assert_eq(decode(text("Zm9vYmFy"), 6, &out, &len, NULL), ST_OK);
    free(out);
}

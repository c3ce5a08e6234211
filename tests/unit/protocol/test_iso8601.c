#include "protocol/iso8601.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct slice
text(const char *s)
{
    return (struct slice){s, strlen(s)};
}

Test(iso8601, reads_what_dateutil_reads)
{
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"1970-01-01T00:00:00+00:00", 0},
        {"1970-01-01T00:00:00.000001Z", 1},
        {"2020-01-01T00:00:00Z", 1577836800000000},
        {"2020-01-01T00:00Z", 1577836800000000},
        {"2020-01-01 00:00:00", 1577836800000000},
        {"2020-01-01", 1577836800000000},
        {"2020-01", 1577836800000000},
        {"2020", 1577836800000000},
        {"2020-01-01T00", 1577836800000000},
        {"2020-01-01T00:00:00.123Z", 1577836800123000},
        {"2020-01-01T00:00:00,5Z", 1577836800500000},
        {"2020-01-01T00:00:00.123456789Z", 1577836800123456},
        {"2020-W01-1", 1577664000000000},
        {"2020W011", 1577664000000000},
        {"2020-W01", 1577664000000000},
        {"2020-W53-7T00:00Z", 1609632000000000},
        {"2020-001", 1577836800000000},
        {"2020366", 1609372800000000},
        {"2020-01-01T24:00:00", 1577923200000000},
        {"2020-01-01T00:00:00+0530", 1577817000000000},
        {"2020-01-01T00:00:00+05:30", 1577817000000000},
        {"2020-01-01T00:00:00+05", 1577818800000000},
        {"2020-01-01T00:00:00-23:59", 1577923140000000},
        {"2020-01-01T00:00:00+19:00", 1577768400000000},
        {"20200101T000000", 1577836800000000},
        {"20200101T000000.5+0000", 1577836800500000},
        {"2020-01-01t00:00:00z", 1577836800000000},
        {"1969-12-31T23:59:59.999999Z", -1},
        {"0001-01-01T00:00:00Z", -62135596800000000},
        {"9999-12-31T23:59:59.999999Z", 253402300799999999},
        {"2024-02-29", 1709164800000000},
        {"2000-02-29", 951782400000000},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t us = 42;
        struct error err;

        cr_expect_eq(iso8601_parse(text(cases[i].text), &us, &err), ST_OK, "%s",
                     cases[i].text);
        cr_expect_eq(us, cases[i].us, "%s: %lld", cases[i].text, (long long)us);
    }
}

Test(iso8601, refuses_anything_else_and_shows_it)
{
    static const char *const cases[] = {
        "",
        "yesterday",
        "20",
        "2020-",
        "2020-13-01",
        "2020-00-01",
        "2020-02-30",
        "2023-02-29",
        "1900-02-29",
        "2020-01-01T",
        "2020-01-01X00:00",
        "2020-01-01T25:00",
        "2020-01-01T24:00:01",
        "2020-01-01T00:60",
        "2020-01-01T00:00:60",
        "2020-01-01T00:00:00.",
        "2020-01-01T00:00:00.Z",
        "2020-01-01T00:00:00+24:00",
        "2020-01-01T00:00:00+00:60",
        "2020-01-01T00:00:00+",
        "2020-01-01T00:00:00Zx",
        "2020-01-01T00:00:00 Z",
        "2020-W00-1",
        "2020-W54-1",
        "2020-W01-8",
        "2020-000",
        "2019-366",
        "2020-367",
        "0000-01-01",
        "-2020-01-01",
        "2020-1-1",
        "1e9",
        "1577836800",
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t us;
        struct error err = {0};

        cr_expect_eq(iso8601_parse(text(cases[i]), &us, &err), ST_PROTO, "%s",
                     cases[i]);
        cr_expect_not_null(strstr(err.text, cases[i]), "%s", err.text);
    }
}

Test(iso8601, a_long_bad_text_is_cut_in_the_error)
{
    char bad[300];
    int64_t us;
    struct error err;

    memset(bad, 'x', sizeof(bad));
    cr_assert_eq(iso8601_parse((struct slice){bad, sizeof(bad)}, &us, &err),
                 ST_PROTO);
    cr_assert_lt(strlen(err.text), 120);
}

Test(iso8601, writes_six_digits_and_an_offset)
{
    char out[ISO8601_MAX];

    cr_expect_str_eq(iso8601_format(0, out),
                     "1970-01-01T00:00:00.000000+00:00");
    cr_expect_str_eq(iso8601_format(-1, out),
                     "1969-12-31T23:59:59.999999+00:00");
    cr_expect_str_eq(iso8601_format(1893553445678901, out),
                     "2030-01-02T03:04:05.678901+00:00");
    cr_expect_str_eq(iso8601_format(951782400000000, out),
                     "2000-02-29T00:00:00.000000+00:00");
}

Test(iso8601, a_time_that_python_does_not_have_is_clamped)
{
    char out[ISO8601_MAX];

    cr_expect_str_eq(iso8601_format(INT64_MAX, out),
                     "9999-12-31T23:59:59.999999+00:00");
    cr_expect_str_eq(iso8601_format(INT64_MIN, out),
                     "0001-01-01T00:00:00.000000+00:00");
}

Test(iso8601, what_it_writes_it_reads)
{
    char out[ISO8601_MAX];
    int64_t us;

    /* A step of about 1.2 years that is no multiple of a day. */
    for (int64_t t = -62135596800000000; t < 253402300799999999;
         t += 37864199999999) {
        iso8601_format(t, out);
        cr_assert_eq(iso8601_parse(text(out), &us, NULL), ST_OK, "%s", out);
        cr_assert_eq(us, t, "%s", out);
    }
}

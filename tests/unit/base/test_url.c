/* SPDX-License-Identifier: Apache-2.0 */
#include "base/url.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

Test(url, is_split_and_decoded_once)
{
    static const struct {
        const char *text, *scheme, *user, *password, *host;
        int port;
        const char *path, *query;
    } rows[] = {
        {"redis://localhost:6379/0", "redis", "", "", "localhost", 6379, "/0",
         ""},
        {"redis://", "redis", "", "", "", 0, "", ""},
        {"REDISS://h", "rediss", "", "", "h", 0, "", ""},
        {"redis://:p%40%2Fw@h/1", "redis", "", "p@/w", "h", 0, "/1", ""},
        {"redis://u:p%2525@h", "redis", "u", "p%25", "h", 0, "", ""},
        {"redis://u@h", "redis", "u", "", "h", 0, "", ""},
        {"redis://u:a@b@h", "redis", "u", "a@b", "h", 0, "", ""},
        {"redis://u:a:b@h", "redis", "u", "a:b", "h", 0, "", ""},
        {"redis://[::1]:7/2", "redis", "", "", "::1", 7, "/2", ""},
        {"redis://[fe80::1]", "redis", "", "", "fe80::1", 0, "", ""},
        {"redis+socket:///run/r%20.sock?virtual_host=1", "redis+socket", "", "",
         "", 0, "/run/r .sock", "virtual_host=1"},
        {"socket:///a", "socket", "", "", "", 0, "/a", ""},
        {"amqp://guest:guest@h:5672//", "amqp", "guest", "guest", "h", 5672,
         "//", ""},
        {"amqp://h/%2Fa", "amqp", "", "", "h", 0, "//a", ""},
        {"http://h/a?b=c/d#e", "http", "", "", "h", 0, "/a", "b=c/d"},
        {"http://h?b", "http", "", "", "h", 0, "", "b"},
        {"http://h:/", "http", "", "", "h", 0, "/", ""},
        {"http://h/100%", "http", "", "", "h", 0, "/100%", ""},
        {"http://h/%zz%4", "http", "", "", "h", 0, "/%zz%4", ""},
        {"db+postgresql://u:p@h/db", "db+postgresql", "u", "p", "h", 0, "/db",
         ""},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct url u;

        cr_assert_eq(url_parse(rows[i].text, &u, NULL), ST_OK, "%s",
                     rows[i].text);
        cr_expect_str_eq(u.scheme, rows[i].scheme, "%s", rows[i].text);
        cr_expect_str_eq(u.user, rows[i].user, "%s", rows[i].text);
        cr_expect_str_eq(u.password, rows[i].password, "%s", rows[i].text);
        cr_expect_str_eq(u.host, rows[i].host, "%s", rows[i].text);
        cr_expect_eq(u.port, rows[i].port, "%s", rows[i].text);
        cr_expect_str_eq(u.path, rows[i].path, "%s", rows[i].text);
        cr_expect_str_eq(u.query, rows[i].query, "%s", rows[i].text);
        url_fini(&u);
    }
}

Test(url, what_is_malformed_is_refused_without_its_password)
{
    static const char *const bad[] = {
        "",
        "localhost",
        "://h",
        "redis:/h",
        "re dis://h",
        "redis://u:hunter2@h:x",
        "redis://u:hunter2@h:0",
        "redis://u:hunter2@h:65536",
        "redis://u:hunter2@h:99999999999999999999",
        "redis://u:hunter2@h:-1",
        "redis://u:hunter2@[::1",
        "redis://u:hunter2@[::1]x",
        "redis://u:hunter2%00@h",
        "redis://u:hunter2@h%00",
        "redis://u:hunter2@h/%00",
        "redis+socket://u:hunter2@h/a"};

    for (size_t i = 0; i < COUNT(bad); i++) {
        struct error err = {.code = ST_OK};
        struct url u;

        cr_expect_eq(url_parse(bad[i], &u, &err), ST_INVALID, "%s", bad[i]);
        cr_expect_null(strstr(err.text, "hunter2"), "%s", err.text);
    }
}

Test(url, parameters_are_found_by_their_decoded_name)
{
    struct url u;
    char *v;

    cr_assert_eq(url_parse("x://h?a=1&b%3D=x%26y&flag&a=2&e=", &u, NULL),
                 ST_OK);
    v = url_query(&u, "a");
    cr_expect_str_eq(v, "1");
    free(v);
    v = url_query(&u, "b=");
    cr_expect_str_eq(v, "x&y");
    free(v);
    v = url_query(&u, "flag");
    cr_expect_str_eq(v, "");
    free(v);
    v = url_query(&u, "e");
    cr_expect_str_eq(v, "");
    free(v);
    cr_expect_null(url_query(&u, "none"));
    cr_expect_null(url_query(&u, ""));
    url_fini(&u);
}

Test(url, redacted_text_shows_no_password)
{
    static const struct {
        const char *text, *shown;
    } rows[] = {
        {"redis://u:secret@h:1/0", "redis://u:***@h:1/0"},
        {"redis://:secret@h", "redis://:***@h"},
        {"redis://:sec@ret:x@h", "redis://:***@h"},
        {"redis://u@h/a:b@c", "redis://u@h/a:b@c"},
        {"redis://h", "redis://h"},
        {"postgresql://u@/d?host=/r&password=secret&x=1",
         "postgresql://u@/d?host=/r&password=***&x=1"},
        {"http://h/?key=secret", "http://h/?key=***"},
        {"http://h/?monkey=fine", "http://h/?monkey=fine"},
        /* Not encoded, so no such URL works; still it is no one's to read. */
        {"redis://u:sec/ret@h:1/0", "redis://u:***@h:1/0"},
        {"redis://:sec?r#et@h/0", "redis://:***@h/0"},
        {"redis://h:1/0?a=b@c", "redis://h:1/0?a=b@c"},
        {"host=h password=secret user=u", "host=h password=*** user=u"},
        {"host=h password='sec ret' user=u", "host=h password=*** user=u"},
        {"password='secret", "password=***"},
        {"PASSWORD=secret", "PASSWORD=***"},
        {"", ""},
        {"no url", "no url"},
        {"amqp://u:a@h//;amqps://u:b@i", "amqp://u:***@h//;amqps://u:***@i"},
        {"redis://:a;b@h", "redis://:***@h"},
    };
    char out[200];

    for (size_t i = 0; i < COUNT(rows); i++)
        cr_expect_str_eq(url_redacted(rows[i].text, out, sizeof(out)),
                         rows[i].shown);
    cr_expect_str_eq(url_redacted("redis://u:secret@host", out, 14),
                     "redis://u:***");
}

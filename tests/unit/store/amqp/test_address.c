/* SPDX-License-Identifier: Apache-2.0 */
/* URLs of AMQP brokers. */
#include <criterion/criterion.h>
#include <string.h>

#include "store/amqp/address.h"

static struct amq_addresses a;
static struct error err;

Test(address, urls_are_read_as_kombu_reads_them)
{
    static const struct {
        const char *url, *host, *user, *password, *vhost;
        int port;
    } rows[] = {
        {"amqp://", "localhost", "guest", "guest", "/", 5672},
        {"amqp://h", "h", "guest", "guest", "/", 5672},
        {"amqp://h/", "h", "guest", "guest", "/", 5672},
        {"amqp://h//", "h", "guest", "guest", "/", 5672},
        {"amqp://h/%2f", "h", "guest", "guest", "/", 5672},
        {"amqp://h/a", "h", "guest", "guest", "a", 5672},
        {"amqp://h//a", "h", "guest", "guest", "/a", 5672},
        {"amqp://h/%2Fa%20b", "h", "guest", "guest", "/a b", 5672},
        {"pyamqp://u:p%40x@h:1/v", "h", "u", "p@x", "v", 1},
        {"amqps://u:p@h/v", "h", "u", "p", "v", 5671},
        {"amqp://u@h", "h", "u", "", "/", 5672},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct amq_address *one;

        cr_assert_eq(amq_addresses_init(&a, rows[i].url, "", &err), ST_OK,
                     "%s: %s", rows[i].url, err.text);
        one = &a.each[0];
        cr_expect_eq(a.count, 1);
        cr_expect_str_eq(one->stream.host, rows[i].host);
        cr_expect_str_eq(one->user, rows[i].user);
        cr_expect_str_eq(one->password, rows[i].password);
        cr_expect_str_eq(one->vhost, rows[i].vhost, "%s", rows[i].url);
        cr_expect_eq(one->stream.port, rows[i].port);
        cr_expect_eq(one->stream.tls != NULL, rows[i].url[4] == 's');
        amq_addresses_fini(&a);
    }
}

Test(address, several_are_separated_by_semicolons)
{
    cr_assert_eq(amq_addresses_init(&a, "amqp://a:1;;amqps://b/v;", "", &err),
                 ST_OK);
    cr_assert_eq(a.count, 2);
    cr_expect_str_eq(a.each[0].stream.host, "a");
    cr_expect_str_eq(a.each[1].stream.host, "b");
    cr_expect_str_eq(a.each[1].vhost, "v");
    amq_addresses_fini(&a);
}

Test(address, options_are_in_the_query)
{
    cr_assert_eq(amq_addresses_init(&a,
                                    "amqps://h?login_method=EXTERNAL&"
                                    "heartbeat=7&ssl_ca_certs=/ca&"
                                    "ssl_certfile=/c&ssl_keyfile=/k",
                                    "", &err),
                 ST_OK);
    cr_expect(a.each[0].external);
    cr_expect_eq(a.each[0].heartbeat, 7);
    cr_expect(a.each[0].tls.opts.verify);
    cr_expect_str_eq(a.each[0].tls.ca_file, "/ca");
    cr_expect_str_eq(a.each[0].tls.cert_file, "/c");
    cr_expect_str_eq(a.each[0].tls.key_file, "/k");
    amq_addresses_fini(&a);
    cr_assert_eq(
        amq_addresses_init(&a, "amqps://h?ssl_cert_reqs=none", "", &err),
        ST_OK);
    cr_expect(!a.each[0].tls.opts.verify);
    amq_addresses_fini(&a);
}

Test(address, what_makes_no_sense_is_refused_without_the_password)
{
    static const char *const rows[] = {
        "redis://:secret@h",
        "amqp://:secret@h:0",
        "secret",
        "amqp://:secret@h?login_method=MAGIC",
        ";",
        "",
        "amqps://:secret@h?ssl_cert_reqs=perhaps",
        "amqp://:secret@h?heartbeat=soon",
        "amqp://:secret@h?heartbeat=-1",
        "amqp://a;smoke://:secret@b"};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect_eq(amq_addresses_init(&a, rows[i], "", &err), ST_INVALID,
                     "%s", rows[i]);
        cr_expect_null(strstr(err.text, "secret"), "%s", err.text);
    }
}

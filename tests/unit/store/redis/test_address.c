/* SPDX-License-Identifier: Apache-2.0 */
#include "store/redis/address.h"

#include <criterion/criterion.h>
#include <string.h>

static struct redis_address
read_url(const char *url)
{
    struct redis_address a;
    struct error err = {0};

    cr_assert_eq(redis_address_init(&a, url, NULL, REDIS_BROKER, &err), ST_OK,
                 "%s: %s", url, err.text);
    return a;
}

Test(address, the_forms_of_a_tcp_url)
{
    static const struct {
        const char *url, *host, *user, *password;
        int port, db;
    } rows[] = {
        {"redis://", "localhost", "", "", 6379, 0},
        {"redis://h", "h", "", "", 6379, 0},
        {"redis://h:1234/", "h", "", "", 1234, 0},
        {"redis://h/7", "h", "", "", 6379, 7},
        {"redis://:p%40ss@h:1/2", "h", "", "p@ss", 1, 2},
        {"redis://u:p@[::1]:1/0", "::1", "u", "p", 1, 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct redis_address a = read_url(rows[i].url);
        cr_assert_str_eq(a.stream.host, rows[i].host, "%s", rows[i].url);
        cr_assert_eq(a.stream.port, rows[i].port, "%s", rows[i].url);
        cr_assert_eq(a.db, rows[i].db, "%s", rows[i].url);
        cr_assert_str_eq(a.user, rows[i].user);
        cr_assert_str_eq(a.password, rows[i].password);
        cr_assert_null(a.stream.tls);
        redis_address_fini(&a);
    }
}

Test(address, a_unix_socket_has_its_database_in_the_query)
{
    struct redis_address a =
        read_url("redis+socket:///run/redis.sock?virtual_host=3");

    cr_assert_str_eq(a.stream.path, "/run/redis.sock");
    cr_assert_null(a.stream.host);
    cr_assert_eq(a.db, 3);
    redis_address_fini(&a);
    a = read_url("socket:///run/redis.sock");
    cr_assert_eq(a.db, 0);
    redis_address_fini(&a);
    a = read_url("redis+socket://u:p%2F@/run/a%20b?virtual_host=/3");
    cr_assert_str_eq(a.stream.path, "/run/a b");
    cr_assert_str_eq(a.user, "u");
    cr_assert_str_eq(a.password, "p/");
    cr_assert_eq(a.db, 3);
    redis_address_fini(&a);
}

Test(address, tls_verifies_unless_told_otherwise)
{
    struct redis_address a =
        read_url("rediss://h/0?ssl_cert_reqs=required&ssl_ca_certs=%2Fca.pem&"
                 "ssl_certfile=/c&ssl_keyfile=/k");

    cr_assert_not_null(a.stream.tls);
    cr_assert(a.tls.opts.verify);
    cr_assert(!a.tls.opts.any_host);
    cr_assert_str_eq(a.tls.opts.ca_file, "/ca.pem");
    cr_assert_str_eq(a.tls.opts.cert_file, "/c");
    cr_assert_str_eq(a.tls.opts.key_file, "/k");
    redis_address_fini(&a);
    a = read_url("rediss://h/0");
    cr_assert_not_null(a.stream.tls);
    cr_assert(a.tls.opts.verify);
    redis_address_fini(&a);
    a = read_url("rediss://h?ssl_cert_reqs=CERT_NONE");
    cr_assert(!a.tls.opts.verify);
    redis_address_fini(&a);
    a = read_url("rediss://h?ssl_check_hostname=False");
    cr_assert(a.tls.opts.verify);
    cr_assert(a.tls.opts.any_host);
    redis_address_fini(&a);
}

Test(address, what_cannot_be_used_is_refused_without_telling_the_password)
{
    static const char *const bad[] = {
        "amqp://u:secret@h",
        "redis://u:secret@h/queue",
        "redis://u:secret@h/-1",
        "redis://u:secret@h/70000",
        "rediss://u:secret@h/0?ssl_cert_reqs=perhaps",
        "redis+socket://?virtual_host=1",
        "redis+socket:///run/sock?virtual_host=x",
        "redis+socket://host/run/sock",
        "",
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct redis_address a;
        struct error err = {0};
        cr_assert_eq(redis_address_init(&a, bad[i], NULL, REDIS_BROKER, &err),
                     ST_INVALID, "%s", bad[i]);
        cr_assert_null(strstr(err.text, "secret"), "%s", err.text);
    }
}

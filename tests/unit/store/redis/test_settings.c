/* SPDX-License-Identifier: Apache-2.0 */
/* What settings and transport options add to the URL of a Redis. */
#include <criterion/criterion.h>
#include <string.h>

#include "store/redis/address.h"

static struct config config;

static void
begin(void)
{
    cr_assert_eq(config_init(&config, NULL), ST_OK);
}

static void
end(void)
{
    config_fini(&config);
}

TestSuite(settings, .init = begin, .fini = end);

static void
set(const char *name, const char *value)
{
    struct error err = {0};

    cr_assert_eq(config_set(&config, name, value, &err), ST_OK, "%s", err.text);
}

static void
read_with(struct redis_address *a, const char *url, enum redis_role role)
{
    struct error err = {0};

    cr_assert_eq(redis_address_init(a, url, &config, role, &err), ST_OK, "%s",
                 err.text);
}

Test(settings, tls_can_be_asked_for_by_celery_s_settings)
{
    struct redis_address a;

    set("broker_use_ssl", "{\"ssl_cert_reqs\": \"none\", \"ssl_ca_certs\": "
                          "\"/a\", \"ssl_certfile\": \"/c\"}");
    read_with(&a, "redis://h/0?ssl_ca_certs=/b", REDIS_BROKER);
    cr_assert_not_null(a.stream.tls);
    cr_assert(!a.tls.opts.verify);
    cr_assert_str_eq(a.tls.opts.ca_file, "/b", "the URL comes first");
    cr_assert_str_eq(a.tls.opts.cert_file, "/c");
    redis_address_fini(&a);
    read_with(&a, "redis://h/0", REDIS_RESULT);
    cr_assert_null(a.stream.tls, "it is not for results");
    redis_address_fini(&a);

    set("redis_backend_use_ssl", "{\"ssl_cert_reqs\": 2}");
    read_with(&a, "redis://h/0", REDIS_RESULT);
    cr_assert(a.stream.tls != NULL && a.tls.opts.verify);
    redis_address_fini(&a);
    set("redis_backend_use_ssl", "true");
    read_with(&a, "redis://h/0", REDIS_RESULT);
    cr_assert(a.stream.tls != NULL && a.tls.opts.verify);
    redis_address_fini(&a);
    set("redis_backend_use_ssl", "false");
    read_with(&a, "redis://h/0", REDIS_RESULT);
    cr_assert_null(a.stream.tls);
    redis_address_fini(&a);
}

Test(settings, timeouts_and_keepalive_are_redis_py_s_options)
{
    struct redis_address a;

    read_with(&a, "redis://h", REDIS_BROKER);
    cr_assert_eq(a.socket_timeout_ms, 10000);
    cr_assert_eq(a.health_check_ms, 25000);
    cr_assert_eq(a.stream.connect_timeout_ms, 4000);
    cr_assert(!a.stream.keepalive.off);
    redis_address_fini(&a);

    set("broker_transport_options",
        "{\"socket_timeout\": 2.5, \"socket_connect_timeout\": 1, "
        "\"health_check_interval\": 0, \"socket_keepalive\": true, "
        "\"socket_keepalive_options\": {\"4\": 60, \"TCP_KEEPINTVL\": 7, "
        "\"6\": 3}, \"retry_on_timeout\": true, \"max_connections\": 20}");
    read_with(&a, "redis://h", REDIS_BROKER);
    cr_assert_eq(a.socket_timeout_ms, 2500);
    cr_assert_eq(a.health_check_ms, 0);
    cr_assert_eq(a.stream.connect_timeout_ms, 1000);
    cr_assert_eq(a.stream.keepalive.idle_s, 60);
    cr_assert_eq(a.stream.keepalive.interval_s, 7);
    cr_assert_eq(a.stream.keepalive.count, 3);
    redis_address_fini(&a);
}

Test(settings, a_result_backend_has_settings_of_its_own)
{
    struct redis_address a;

    set("broker_transport_options", "{\"socket_timeout\": 2.5}");
    set("redis_socket_timeout", "30");
    set("redis_socket_connect_timeout", "3");
    set("redis_backend_health_check_interval", "9");
    set("redis_socket_keepalive", "false");
    read_with(&a, "redis://h", REDIS_RESULT);
    cr_assert_eq(a.socket_timeout_ms, 30000);
    cr_assert_eq(a.health_check_ms, 9000);
    cr_assert_eq(a.stream.connect_timeout_ms, 3000);
    cr_assert(a.stream.keepalive.off);
    redis_address_fini(&a);
    set("result_backend_transport_options",
        "{\"socket_timeout\": 4, \"socket_keepalive\": true}");
    read_with(&a, "redis://h", REDIS_RESULT);
    cr_assert_eq(a.socket_timeout_ms, 4000);
    cr_assert(!a.stream.keepalive.off);
    redis_address_fini(&a);
}

Test(settings, sentinels_are_a_list_and_the_rest_is_the_master_s)
{
    struct redis_address a;

    set("broker_transport_options",
        "{\"master_name\": \"m\", \"min_other_sentinels\": 1, "
        "\"sentinel_kwargs\": {\"username\": \"su\", \"password\": \"sp\", "
        "\"ssl\": true, \"ssl_ca_certs\": \"/ca\", \"socket_timeout\": "
        "0.25}}");
    read_with(&a,
              "sentinel://u:p%40@h1/2;sentinel://h2:1;"
              "sentinel://u:p%40@[::1]:2/2",
              REDIS_BROKER);
    cr_assert_eq(a.db, 2);
    cr_assert_str_eq(a.user, "u");
    cr_assert_str_eq(a.password, "p@");
    cr_assert_null(a.stream.host, "not known yet");
    cr_assert_null(a.stream.tls);
    cr_assert_eq(a.sentinels->count, 3);
    cr_assert_str_eq(a.sentinels->urls[0].host, "h1");
    cr_assert_eq(a.sentinels->urls[0].port, 26379);
    cr_assert_eq(a.sentinels->urls[1].port, 1);
    cr_assert_str_eq(a.sentinels->urls[2].host, "::1");
    cr_assert_str_eq(a.sentinels->master, "m");
    cr_assert_str_eq(a.sentinels->user, "su");
    cr_assert_str_eq(a.sentinels->password, "sp");
    cr_assert_eq(a.sentinels->min_others, 1);
    cr_assert_not_null(a.sentinels->stream.tls);
    cr_assert_str_eq(a.sentinels->tls.opts.ca_file, "/ca");
    cr_assert_eq(a.sentinels->stream.connect_timeout_ms, 250);
    redis_address_fini(&a);

    /* Data over TLS, sentinels not; and the name in the URL. */
    read_with(&a, "sentinel://h?master_name=x&ssl_cert_reqs=none",
              REDIS_RESULT);
    cr_assert_str_eq(a.sentinels->master, "x");
    cr_assert_not_null(a.stream.tls);
    cr_assert_null(a.sentinels->stream.tls);
    redis_address_fini(&a);
}

Test(settings, what_makes_no_sense_is_refused)
{
    static const struct {
        const char *url, *options, *word;
    } rows[] = {
        {"sentinel://h", "{}", "master_name"},
        {"sentinel://h;redis://h", "{\"master_name\": \"m\"}", "sentinel://"},
        {"sentinel://h/1;sentinel://h/2", "{\"master_name\": \"m\"}",
         "databases"},
        {"sentinel://:secret@h;sentinel://:other@h", "{\"master_name\": \"m\"}",
         "passwords"},
        {"sentinel://h",
         "{\"master_name\": \"m\", \"sentinel_kwargs\": "
         "{\"ssl_cert_reqs\": \"perhaps\"}}",
         "ssl_cert_reqs"},
        {"redis://h", "{\"socket_timeout\": -1}", "socket_timeout"},
        {"redis://h", "{\"socket_timeout\": \"1\"}", "socket_timeout"},
        {"redis://h", "{\"health_check_interval\": []}",
         "health_check_interval"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct redis_address a;
        struct error err = {0};

        set("broker_transport_options", rows[i].options);
        cr_assert_eq(
            redis_address_init(&a, rows[i].url, &config, REDIS_BROKER, &err),
            ST_INVALID, "%s", rows[i].url);
        cr_assert_not_null(strstr(err.text, rows[i].word), "%s", err.text);
        cr_assert_null(strstr(err.text, "secret"), "%s", err.text);
    }
}

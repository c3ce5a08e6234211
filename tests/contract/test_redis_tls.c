/* SPDX-License-Identifier: Apache-2.0 */
/* rediss:// URLs, against a Redis that speaks TLS. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/redis_rig.h"
#include "tests/support/redis_server.h"

static char dir[] = "/tmp/lovage-tls-XXXXXX";
static int tls_port;

static void
make_certificate(void)
{
    char line[512];

    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(line, sizeof line,
                   "cd %s && openssl req -x509 -newkey rsa:2048 -nodes -keyout "
                   "key -out cert -days 2 -subj /CN=localhost -addext "
                   "subjectAltName=DNS:localhost 2>/dev/null",
                   dir);
    cr_assert_eq(system(line), 0);
}

static void *
start(void)
{
    char cert[64], key[64], port[16];
    const char *flags[] = {"--tls-port",
                           port,
                           "--tls-cert-file",
                           cert,
                           "--tls-key-file",
                           key,
                           "--tls-ca-cert-file",
                           cert,
                           "--tls-auth-clients",
                           "no",
                           NULL};

    make_certificate();
    tls_port = redis_server_free_port();
    (void)snprintf(port, sizeof port, "%d", tls_port);
    (void)snprintf(cert, sizeof cert, "%s/cert", dir);
    (void)snprintf(key, sizeof key, "%s/key", dir);
    return redis_server_new(flags);
}

static void
stop(void *server)
{
    char line[128];

    redis_server_free(server);
    (void)snprintf(line, sizeof line, "rm -rf %s", dir);
    cr_assert_eq(system(line), 0);
}

static const struct broker_impl tls = {
    .name = "rediss", .start = start, .stop = stop};

static void
open_with(struct rig *r, const char *host, const char *query)
{
    char url[256];
    struct error err = {0};

    (void)snprintf(url, sizeof url, "rediss://%s:%d/0?%s", host, tls_port,
                   query);
    cr_assert_eq(rig_open_url(r, url, &err), ST_OK, "%s", err.text);
}

Test(redis_tls, a_trusted_certificate_is_accepted, .timeout = 60)
{
    char query[128];
    struct rig r;

    rig_init(&r, &tls);
    (void)snprintf(query, sizeof query,
                   "ssl_cert_reqs=required&ssl_ca_certs=%s/cert", dir);
    open_with(&r, "localhost", query);
    cr_assert(rig_wait_ready(&r, 1, 5000));
    r.ack_at_once = true;
    rig_consume(&r, "q", 50);
    for (int i = 0; i < 1000; i++)
        rig_publish(&r, "q", i);
    cr_assert(rig_wait_got(&r, 1000, 5000));
    rig_fini(&r);
}

Test(redis_tls, an_unknown_or_misnamed_one_is_refused, .timeout = 60)
{
    char query[128];
    struct rig r;

    rig_init(&r, &tls);
    open_with(&r, "localhost", "ssl_cert_reqs=required");
    cr_assert(rig_wait_lost(&r, 1, 5000));
    cr_assert_eq(r.lost_code, ST_DENIED);
    rig_close(&r, 0);

    (void)snprintf(query, sizeof query, "ssl_ca_certs=%s/cert", dir);
    open_with(&r, "127.0.0.1", query);
    cr_assert(rig_wait_lost(&r, 2, 5000));
    cr_assert_eq(r.ready, 0);
    rig_fini(&r);
}

Test(redis_tls, verification_can_be_switched_off, .timeout = 60)
{
    struct rig r;

    rig_init(&r, &tls);
    open_with(&r, "localhost", "ssl_cert_reqs=none");
    cr_assert(rig_wait_ready(&r, 1, 5000));
    rig_fini(&r);
}

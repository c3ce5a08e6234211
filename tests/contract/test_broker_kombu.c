/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis broker and real kombu on one queue. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/redis_rig.h"
#include "tests/support/redis_server.h"

static char *
kombu(struct rig *r, const char *command, int count)
{
    static char out[16384];
    char line[256];
    size_t n;
    FILE *f;

    (void)snprintf(line, sizeof line,
                   "/usr/bin/python3 tests/support/kombu_peer.py %s %s q %d",
                   command, redis_server_url(r->server), count);
    f = popen(line, "r");
    cr_assert_not_null(f);
    n = fread(out, 1, sizeof out - 1, f);
    out[n] = '\0';
    cr_assert_eq(pclose(f), 0, "%s", line);
    return out;
}

REDIS(redis_kombu, kombu_publishes_and_we_consume)
{
    kombu(r, "publish", 50);
    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 10);
    cr_assert(rig_wait_got(r, 50, 3000));
    for (int i = 0; i < 50; i++)
        cr_assert_eq(r->got[i].n, i);
    rig_run(r, 200);
    cr_assert_eq(redis_rig_number(r, "EXISTS unacked unacked_index q"), 0);
}

REDIS(redis_kombu, we_publish_and_kombu_consumes)
{
    rig_open(r);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(rig_send(r, "q", i, i % 2 ? 9 : 0), ST_OK);
    cr_assert(rig_wait_published(r, 20, 3000));
    cr_assert_eq(
        strncmp(kombu(r, "consume", 20), "0 False\n2 False\n4 False\n", 24), 0);
    cr_assert_eq(redis_rig_number(r, "EXISTS unacked unacked_index q"), 0);
}

REDIS(redis_kombu, kombu_restores_what_we_left)
{
    const char *out;

    rig_open(r);
    for (int i = 0; i < 5; i++)
        rig_publish(r, "q", i);
    rig_consume(r, "q", 5);
    cr_assert(rig_wait_got(r, 5, 3000));
    rig_close(r, 0);
    kombu(r, "restore", 0);
    out = kombu(r, "consume", 5);
    for (int i = 0; i < 5; i++) {
        char line[16];
        (void)snprintf(line, sizeof line, "%d True\n", i);
        cr_assert_not_null(strstr(out, line), "%s", out);
    }
    cr_assert_eq(redis_rig_number(r, "EXISTS unacked unacked_index q"), 0);
}

REDIS(redis_kombu, we_restore_what_kombu_left)
{
    kombu(r, "publish", 5);
    kombu(r, "hold", 5);
    cr_assert_eq(redis_rig_number(r, "HLEN unacked"), 5);
    rig_run(r, 100); /* they grow old enough */
    redis_rig_options(r, "{\"visibility_timeout\": 0.01}");
    rig_open(r);
    r->ack_at_once = true;
    rig_consume(r, "q", 10);
    cr_assert(rig_wait_got(r, 5, 3000));
    for (int i = 0; i < 5; i++)
        cr_assert(r->got[i].redelivered);
    rig_run(r, 300);
    cr_assert_eq(redis_rig_number(r, "EXISTS unacked unacked_index q"), 0);
}

REDIS(redis_kombu, kombu_consumes_what_we_put_back_and_the_reverse)
{
    kombu(r, "publish", 3);
    rig_open(r);
    rig_consume(r, "q", 3);
    cr_assert(rig_wait_got(r, 3, 3000));
    r->b->ops->prefetch(r->b, 0);
    redis_rig_settle(r, 2, VERDICT_REQUEUE);
    redis_rig_settle(r, 1, VERDICT_REQUEUE);
    redis_rig_settle(r, 0, VERDICT_BACK);
    rig_run(r, 300);
    cr_assert_str_eq(kombu(r, "consume", 3), "1 True\n2 True\n0 True\n");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* From deliveries to requests, and what a lost connection means for them. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "protocol/iso8601.h"
#include "tests/support/node_rig.h"

static struct node_rig rig;
static unsigned runs;
static lovage_task *waiting[2];

static lovage_status
wait_for_end(lovage_task *t)
{
    waiting[runs++] = t;
    return LOVAGE_PENDING;
}

static void
end_it(unsigned i)
{
    lovage_finish(waiting[i], lovage_return(waiting[i], lovage_null()));
    node_rig_turn(&rig, 5);
}

static void
set_up(void)
{
    node_rig_init(&rig);
    node_rig_task("rig.wait", LOVAGE_ASYNC, wait_for_end, true);
}

static void
tear_down(void)
{
    node_rig_fini(&rig);
}

static void
lose_connection(bool tags_void)
{
    const struct error why = {.text = "the test"};

    consumer_events.lost(rig.n, &why, tags_void);
    consumer_events.ready(rig.n);
}

#define BODY "[[], {}, {}]"

TestSuite(consumer, .init = set_up, .fini = tear_down);

Test(consumer, what_runs_and_is_delivered_again_only_gets_the_new_tag)
{
    uint64_t old, tag;

    old = node_rig_deliver(
        &rig, "{\"task\": \"rig.wait\", \"id\": \"a\", \"retries\": 0}", BODY);
    lose_connection(true);
    tag = node_rig_deliver(&rig,
                           "{\"task\": \"rig.wait\", \"id\": \"a\", "
                           "\"retries\": 0, \"redelivered\": true}",
                           BODY);
    cr_expect_eq(runs, 1);
    end_it(0);
    cr_expect_eq(node_rig_verdict(&rig, old), -1);
    cr_expect_eq(node_rig_verdict(&rig, tag), VERDICT_ACK);
}

Test(consumer, a_retry_is_not_taken_for_its_lost_predecessor)
{
    uint64_t tag;

    node_rig_deliver(
        &rig, "{\"task\": \"rig.wait\", \"id\": \"a\", \"retries\": 0}", BODY);
    lose_connection(true);
    tag = node_rig_deliver(
        &rig, "{\"task\": \"rig.wait\", \"id\": \"a\", \"retries\": 1}", BODY);
    cr_expect_eq(node_rig_verdict(&rig, tag), -1);
    cr_expect_eq(runs, 2);
    end_it(0);
    end_it(1);
    cr_expect_eq(node_rig_verdict(&rig, tag), VERDICT_ACK);
}

/* The broker gives it to somebody, and it may be another worker. */
Test(consumer, what_waits_for_its_eta_waits_with_the_broker_once_it_is_lost)
{
    char eta[ISO8601_MAX], headers[256];

    snprintf(headers, sizeof(headers),
             "{\"task\": \"rig.wait\", \"id\": \"a\", \"eta\": \"%s\"}",
             iso8601_format(clock_unix_us() + 200000, eta));
    node_rig_deliver(&rig, headers, BODY);
    cr_assert_eq(rig.n->counts[RQ_PARKED], 1);
    lose_connection(true);
    node_rig_turn(&rig, 400);
    cr_expect_eq(runs, 0);
    node_rig_deliver(&rig, headers, BODY);
    cr_expect_eq(runs, 1);
    end_it(0);
}

Test(consumer, what_waits_is_kept_while_its_tag_is_good)
{
    char eta[ISO8601_MAX], headers[256];
    uint64_t tag;

    snprintf(headers, sizeof(headers),
             "{\"task\": \"rig.wait\", \"id\": \"a\", \"eta\": \"%s\"}",
             iso8601_format(clock_unix_us() + 200000, eta));
    tag = node_rig_deliver(&rig, headers, BODY);
    lose_connection(false);
    node_rig_turn(&rig, 400);
    cr_expect_eq(runs, 1);
    end_it(0);
    cr_expect_eq(node_rig_verdict(&rig, tag), VERDICT_ACK);
}

/* ASan's own memory is more than any limit. */
#ifndef __SANITIZE_ADDRESS__
Test(consumer, without_memory_to_read_it_a_message_goes_back)
{
    enum { ITEMS = 4 * 1000 * 1000 };
    struct rlimit limit = {200 << 20, RLIM_INFINITY};
    char *body = malloc(2 * ITEMS + 32), *p = body;
    uint64_t tag;

    cr_assert_not_null(body);
    memcpy(p, "[[1", 3);
    p += 3;
    for (int i = 1; i < ITEMS; i++) {
        *p++ = ',';
        *p++ = '1';
    }
    memcpy(p, "], {}, {}]", 11);
    setrlimit(RLIMIT_AS, &limit);
    tag =
        node_rig_deliver(&rig, "{\"task\": \"rig.wait\", \"id\": \"a\"}", body);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_AS, &limit);
    cr_expect_eq(node_rig_verdict(&rig, tag), VERDICT_BACK);
    free(body);
}
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The same over RabbitMQ. */
#define RESULT rpc_amqp
#include "tests/contract/test_result_rpc.c" /* the behaviours */

#include <criterion/hooks.h>
#include <criterion/options.h>

#include "tests/support/rabbit_server.h"

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
    (void)tests;
    criterion_options.jobs = 1; /* they share a server */
    rabbit_server_begin();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    (void)stats;
    rabbit_server_end();
}

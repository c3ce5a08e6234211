/* SPDX-License-Identifier: Apache-2.0 */
/* How long results are waited for. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "worker/node.h"

static uint64_t
patience_ms(bool always, int64_t retries, int64_t base, int64_t max,
            const char *options)
{
    struct config c;
    struct error err;
    uint64_t us;

    cr_assert_eq(config_init(&c, &err), ST_OK, "%s", err.text);
    cr_assert_eq(store_patience_us(&c), 0, "by default there is no end");
    c.result_backend_always_retry = always;
    c.result_backend_max_retries = retries;
    c.result_backend_base_sleep_between_retries_ms = base;
    c.result_backend_max_sleep_between_retries_ms = max;
    free(c.result_backend_transport_options);
    c.result_backend_transport_options = strdup(options);
    us = store_patience_us(&c);
    config_fini(&c);
    return us / 1000;
}

Test(store, always_retry_waits_as_long_as_celery_s_backoff)
{
    cr_expect_eq(patience_ms(true, 0, 10, 10000, "{}"), 0);
    cr_expect_eq(patience_ms(true, 1, 10, 10000, "{}"), 20);
    cr_expect_eq(patience_ms(true, 3, 10, 10000, "{}"), 20 + 40 + 80);
    cr_expect_eq(patience_ms(true, 4, 10, 50, "{}"), 20 + 40 + 50 + 50);
    cr_expect_eq(patience_ms(true, 1000000000, 1, 10, "{}"),
                 2 + 4 + 8 + UINT64_C(10) * (1000000000 - 3));
}

Test(store, without_it_the_retry_policy_counts)
{
    cr_expect_eq(patience_ms(false, 5, 10, 10, "{}"), 19000);
    cr_expect_eq(
        patience_ms(false, 0, 1, 1,
                    "{\"retry_policy\": {\"max_retries\": 3, "
                    "\"interval_start\": 0.5, \"interval_step\": 0.25, "
                    "\"interval_max\": 10}}"),
        500 + 750 + 1000);
    cr_expect_eq(
        patience_ms(false, 0, 1, 1, "{\"retry_policy\": {\"max_retries\": 0}}"),
        0);
    cr_expect_eq(patience_ms(false, 0, 1, 1,
                             "{\"retry_policy\": {\"max_retries\": 2, "
                             "\"interval_start\": 2, \"interval_step\": 0, "
                             "\"interval_max\": 5}}"),
                 4000);
}

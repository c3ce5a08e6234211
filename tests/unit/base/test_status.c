/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

#include <criterion/criterion.h>
#include <string.h>

Test(status, each_has_a_text)
{
    for (int st = ST_OK; st <= ST_BUSY; st++)
        cr_expect_str_neq(status_text((enum status)st), "unknown status");
    cr_expect_str_eq(status_text((enum status)999), "unknown status");
}

Test(status, only_what_may_pass_is_transient)
{
    cr_expect(status_is_transient(ST_LOST));
    cr_expect(status_is_transient(ST_TIMEOUT));
    cr_expect(status_is_transient(ST_BUSY));
    cr_expect_not(status_is_transient(ST_DENIED));
    cr_expect_not(status_is_transient(ST_PROTO));
    cr_expect_not(status_is_transient((enum status)999));
}

Test(status, an_error_keeps_its_code_and_cuts_its_text)
{
    char text[1000];
    struct error err;

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    cr_assert_eq(error_set(&err, ST_LOST, "%s", text), ST_LOST);
    cr_assert_eq(err.code, ST_LOST);
    cr_assert_eq(strlen(err.text), sizeof(err.text) - 1);
    cr_assert_eq(error_set(NULL, ST_PROTO, "%s", text), ST_PROTO);
}

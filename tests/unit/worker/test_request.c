/* SPDX-License-Identifier: Apache-2.0 */
/* The states of a request. */
#include <criterion/criterion.h>

#include "worker/request.h"

Test(request, every_state_leads_to_an_end)
{
    for (int s = 0; s < RQ_SETTLED; s++)
        cr_expect(request_may_move((enum request_state)s, RQ_SETTLED), "%s",
                  request_state_name((enum request_state)s));
    for (int s = 0; s < RQ_STATES; s++)
        cr_expect_not(request_may_move(RQ_SETTLED, (enum request_state)s));
}

Test(request, runs_only_when_it_is_ready)
{
    for (int s = 0; s < RQ_STATES; s++)
        cr_expect_eq(request_may_move((enum request_state)s, RQ_RUNNING),
                     s == RQ_READY);
}

Test(request, what_is_being_settled_never_runs_again)
{
    cr_expect_not(request_may_move(RQ_SETTLING, RQ_READY));
    cr_expect_not(request_may_move(RQ_SETTLING, RQ_CLAIMING));
}

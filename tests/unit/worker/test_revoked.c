/* SPDX-License-Identifier: Apache-2.0 */
/* The set of revoked ids. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "worker/revoked.h"

static const uint64_t hours_3 = UINT64_C(10800) * 1000000;

static struct slice
text(const char *s)
{
    struct slice r = {s, strlen(s)};

    return r;
}

Test(revoked, an_id_is_known_for_three_hours)
{
    struct revoked r;

    revoked_init(&r);
    cr_assert_eq(revoked_add(&r, text("a"), 5), ST_OK);
    cr_assert(revoked_has(&r, text("a"), 5 + hours_3 - 1));
    cr_assert_not(revoked_has(&r, text("a"), 5 + hours_3));
    cr_assert_not(revoked_has(&r, text("b"), 5));
    revoked_expire(&r, 5 + hours_3);
    cr_assert_eq(revoked_count(&r), 0);
    revoked_fini(&r);
}

Test(revoked, revoking_again_renews)
{
    struct revoked r;

    revoked_init(&r);
    cr_assert_eq(revoked_add(&r, text("a"), 1), ST_OK);
    cr_assert_eq(revoked_add(&r, text("b"), 2), ST_OK);
    cr_assert_eq(revoked_add(&r, text("a"), 3), ST_OK);
    cr_assert_eq(revoked_count(&r), 2);
    revoked_expire(&r, 2 + hours_3);
    cr_assert_not(revoked_has(&r, text("b"), 2 + hours_3));
    cr_assert(revoked_has(&r, text("a"), 2 + hours_3));
    revoked_fini(&r);
}

Test(revoked, the_oldest_go_when_there_are_too_many)
{
    struct revoked r;
    char id[32];

    revoked_init(&r);
    for (int i = 0; i < REVOKED_MAX + 10; i++) {
        snprintf(id, sizeof(id), "id-%d", i);
        cr_assert_eq(revoked_add(&r, text(id), (uint64_t)i), ST_OK);
    }
    cr_assert_eq(revoked_count(&r), REVOKED_MAX);
    cr_assert_not(revoked_has(&r, text("id-9"), REVOKED_MAX));
    cr_assert(revoked_has(&r, text("id-10"), REVOKED_MAX));
    revoked_fini(&r);
}

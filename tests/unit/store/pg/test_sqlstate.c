/* SPDX-License-Identifier: Apache-2.0 */
#include "store/pg/sqlstate.h"

#include <criterion/criterion.h>

Test(sqlstate, what_may_pass_is_told_from_what_will_not)
{
    static const struct {
        const char *code;
        enum status status;
        bool ends;
    } rows[] = {
        {"40001", ST_AGAIN, false},   {"40P01", ST_AGAIN, false},
        {"53300", ST_AGAIN, false},   {"53100", ST_AGAIN, false},
        {"57P01", ST_AGAIN, true},    {"57P03", ST_AGAIN, true},
        {"08006", ST_AGAIN, true},    {"25006", ST_AGAIN, true},
        {"57014", ST_TIMEOUT, false}, {"23505", ST_DENIED, false},
        {"22P02", ST_INVALID, false}, {"42P01", ST_INVALID, false},
        {"42501", ST_INVALID, false}, {"", ST_INVALID, false},
        {NULL, ST_LOST, true},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        cr_assert_eq(sqlstate_judge(rows[i].code), rows[i].status, "row %zu",
                     i);
        cr_assert_eq(sqlstate_ends_session(rows[i].code), rows[i].ends,
                     "row %zu", i);
    }
}

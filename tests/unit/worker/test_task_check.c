/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that do not fit a task, with Python's words. */
#include <criterion/criterion.h>

#include "tests/support/task_rig.h"

static const char *const names[] = {"x", "y", "z", NULL};

static const struct {
    int params, required;
    bool named;
    const char *args, *kwargs, *error; /* NULL: fits */
} rows[] = {
    {2, 2, true, "[1, 2]", "{}", NULL},
    {2, 2, true, "[1]", "{\"y\": null}", NULL},
    {2, 1, true, "[1]", "{}", NULL},
    {-1, 0, false, "[1, 2, 3]", "{\"q\": 1}", NULL},
    {2, 0, false, "[]", "{\"q\": 1}", NULL},
    {0, 0, false, "[1]", "{}",
     "TypeError('add() takes 0 positional arguments but 1 was given')"},
    {1, 1, true, "[1, 2]", "{}",
     "TypeError('add() takes 1 positional argument but 2 were given')"},
    {3, 1, true, "[1, 2, 3, 4]", "{}",
     "TypeError('add() takes from 1 to 3 positional arguments but 4 were "
     "given')"},
    {2, 2, true, "[1]", "{}",
     "TypeError(\"add() missing 1 required positional argument: 'y'\")"},
    {2, 2, true, "[]", "{}",
     "TypeError(\"add() missing 2 required positional arguments: 'x' and "
     "'y'\")"},
    {3, 3, true, "[]", "{}",
     "TypeError(\"add() missing 3 required positional arguments: 'x', 'y', "
     "and 'z'\")"},
    {2, 2, true, "[1, 2]", "{\"q\": 1}",
     "TypeError(\"add() got an unexpected keyword argument 'q'\")"},
    {2, 2, true, "[1, 2]", "{\"y\": 1}",
     "TypeError(\"add() got multiple values for argument 'y'\")"},
};

Test(task_check, says_what_python_says)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct lovage_task_def def = {
            .name = "proj.tasks.add",
            .params = rows[i].params,
            .required = rows[i].required,
            .param_names = rows[i].named ? names : NULL,
        };
        struct task_rig r;

        task_rig_init(&r, &def, rows[i].args, rows[i].kwargs);
        cr_expect_eq(task_check_call(&r.task), rows[i].error == NULL, "row %zu",
                     i);
        if (rows[i].error)
            cr_expect_str_eq(task_rig_error(&r), rows[i].error);
        task_rig_fini(&r);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Retry arithmetic, and its end. */
#include <criterion/criterion.h>

#include <string.h>

#include "tests/support/task_rig.h"
#include "worker/retry.h"

static struct task_rig rig;

static lovage_task *
task(const struct lovage_task_def *def, int64_t retries)
{
    task_rig_init(&rig, def, "[1, \"a\"]", "{\"k\": 2}");
    rig.task.retries = retries;
    return &rig.task;
}

Test(retry, doubles_up_to_its_cap)
{
    const struct lovage_task_def def = {.retry_backoff_base = 2,
                                        .retry_backoff_max = 30,
                                        .retry_no_jitter = true};
    static const double want[] = {2, 4, 8, 16, 30, 30};

    for (int i = 0; i < 6; i++)
        cr_expect_eq(retry_backoff(&def, i), want[i]);
    cr_expect_eq(retry_backoff(&def, INT64_MAX), 30);
}

Test(retry, jitter_stays_below_the_delay)
{
    const struct lovage_task_def def = {.retry_backoff_base = 10};

    for (int i = 0; i < 200; i++) {
        double wait = retry_backoff(&def, 1);

        cr_expect(wait >= 0 && wait <= 20);
    }
}

Test(retry, defaults_are_celerys)
{
    const struct lovage_task_def def = {.name = "t.x", .params = -1};
    lovage_task *t = task(&def, 0);

    cr_assert_eq(lovage_retry(t, NULL), LOVAGE_ENDED);
    cr_assert_eq(t->out.kind, OUTCOME_RETRY);
    cr_assert_eq(t->out.countdown, 180);
    task_rig_fini(&rig);
}

Test(retry, ends_after_max_retries_with_the_reason_given)
{
    const struct lovage_task_def def = {.name = "t.x", .max_retries = 2};
    const lovage_retry_opts o = {
        .size = sizeof(o), .exc_type = "OSError", .exc_text = "down"};
    lovage_task *t = task(&def, 1);

    cr_assert_eq(lovage_retry(t, &o), LOVAGE_ENDED);
    cr_assert_eq(t->out.countdown, 0);
    t->retries = 2;
    cr_assert_eq(lovage_retry(t, &o), LOVAGE_FAILED);
    cr_assert_eq(t->out.kind, OUTCOME_RAISE);
    cr_assert_str_eq(task_rig_error(&rig), "OSError('down')");
    task_rig_fini(&rig);
}

Test(retry, ends_without_a_reason_as_celery_says_it)
{
    const struct lovage_task_def def = {.name = "t.x", .max_retries = 1};
    lovage_task *t = task(&def, 1);

    cr_assert_eq(lovage_retry(t, NULL), LOVAGE_FAILED);
    cr_assert_str_eq(task_rig_error(&rig),
                     "MaxRetriesExceededError(\"Can't retry t.x[the-id] "
                     "args:(1, 'a') kwargs:{'k': 2}\")");
    task_rig_fini(&rig);
}

Test(retry, without_end_never_ends)
{
    const struct lovage_task_def def = {.name = "t.x", .max_retries = -1};

    cr_assert_eq(lovage_retry(task(&def, 1000000), NULL), LOVAGE_ENDED);
    task_rig_fini(&rig);
}

static lovage_status
fail(lovage_task *t)
{
    return lovage_raisef(t, "KeyError", "k");
}

Test(retry, happens_by_itself_for_listed_types_only)
{
    static const char *const keys[] = {"OSError", "KeyError", NULL};
    static const char *const any[] = {"Exception", NULL};
    static const char *const other[] = {"OSError", NULL};
    struct lovage_task_def def = {
        .name = "t.x", .params = -1, .run = fail, .default_retry_delay = 7};
    static const struct {
        const char *const *types;
        enum outcome_kind want;
    } rows[] = {{keys, OUTCOME_RETRY},
                {any, OUTCOME_RETRY},
                {other, OUTCOME_RAISE},
                {NULL, OUTCOME_RAISE}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        def.autoretry_for = rows[i].types;
        lovage_task *t = task(&def, 0);
        cr_assert(task_run(t));
        cr_expect_eq(t->out.kind, rows[i].want);
        cr_expect_str_eq(task_rig_error(&rig), "KeyError('k')");
        if (t->out.kind == OUTCOME_RETRY)
            cr_expect_eq(t->out.countdown, 7);
        task_rig_fini(&rig);
    }
}

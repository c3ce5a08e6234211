/* SPDX-License-Identifier: Apache-2.0 */
/* The registry, and plugins that cannot be loaded. */
#include <criterion/criterion.h>

#include <stddef.h>
#include <string.h>

#include "base/log.h"
#include "worker/registry.h"

static lovage_status
run(lovage_task *t)
{
    return lovage_return(t, lovage_null());
}

static int
add(const char *name, lovage_run_fn *fn, int params, int required)
{
    const lovage_task_def def = {.size = sizeof(def),
                                 .name = name,
                                 .run = fn,
                                 .params = params,
                                 .required = required};

    return lovage_register(registry_get(), &def);
}

static const struct lovage_task_def *
find(const char *name)
{
    struct slice s = {name, strlen(name)};

    return registry_find(s);
}

Test(registry, finds_tasks_and_lists_them_sorted)
{
    cr_assert_eq(add("b", run, -1, 0), 0);
    cr_assert_eq(add("c", run, 1, 1), 0);
    cr_assert_eq(add("a", run, 0, 0), 0);
    cr_assert_str_eq(registry_at(0)->name, "a");
    cr_assert_str_eq(registry_at(1)->name, "b");
    cr_assert_str_eq(registry_at(2)->name, "c");
    cr_assert_null(registry_at(3));
    cr_assert_eq(find("c")->params, 1);
    cr_assert_null(find("d"));
}

Test(registry, refuses_what_cannot_work)
{
    char name[400];

    memset(name, 'x', sizeof(name));
    name[399] = '\0';
    log_init(LOG_CRITICAL, false, "test");
    cr_expect_neq(add(NULL, run, -1, 0), 0);
    cr_expect_neq(add("", run, -1, 0), 0);
    cr_expect_neq(add(name, run, -1, 0), 0);
    cr_expect_neq(add("a", NULL, -1, 0), 0);
    cr_expect_neq(add("a", run, 1, 2), 0);
    cr_expect_neq(add("a", run, -2, 0), 0);
    cr_assert_eq(add("a", run, -1, 0), 0);
    cr_expect_neq(add("a", run, -1, 0), 0);
    cr_assert_null(registry_at(1));
}

Test(registry, takes_definitions_of_an_older_header)
{
    lovage_task_def def;

    memset(&def, 0xff, sizeof(def));
    def.size = offsetof(lovage_task_def, max_retries);
    def.name = "old";
    def.kind = LOVAGE_INLINE;
    def.run = run;
    def.data = NULL;
    def.params = 1;
    def.param_names = NULL;
    def.required = 1;
    cr_assert_eq(lovage_register(registry_get(), &def), 0);
    cr_assert_eq(find("old")->max_retries, 0);
    cr_assert_null(find("old")->autoretry_for);
}

Test(registry, says_why_a_plugin_is_not_loaded)
{
    struct error err;

    cr_assert_eq(registry_load("./no-such.so", &err), ST_NOTFOUND);
    cr_assert_not_null(strstr(err.text, "no-such.so"));
    cr_assert_eq(registry_load("libz.so.1", &err), ST_INVALID);
    cr_assert_not_null(strstr(err.text, "lovage_plugin_init"));
    cr_assert_eq(registry_load_all(" , ", &err), ST_OK);
}

Test(registry, every_parameter_has_a_name_or_none_has)
{
    static const char *const one[] = {"x", NULL};
    lovage_task_def def = {.size = sizeof(def),
                           .name = "r.names",
                           .run = run,
                           .params = 2,
                           .required = 2,
                           .param_names = one};

    log_init(LOG_CRITICAL, false, "test");
    cr_expect_neq(lovage_register(registry_get(), &def), 0);
    def.params = def.required = 1;
    cr_expect_eq(lovage_register(registry_get(), &def), 0);
}

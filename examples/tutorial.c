/* SPDX-License-Identifier: Apache-2.0
 *
 * The tasks of Celery's tutorial, in C: add, mul and xsum, under the names that
 * its two chapters give them (tasks.add and proj.tasks.add).
 *
 *     cc -fPIC -shared $(pkg-config --cflags lovage) -o tutorial.so tutorial.c
 *     lovage worker --include ./tutorial.so */
#include <lovage/task.h>

/* Both numbers as int if both are: Python's 1 + 2 is 3, not 3.0. */
static lovage_status
calculate(lovage_task *t, bool multiply)
{
    const lovage_value *a = lovage_arg(t, 0, "x"), *b = lovage_arg(t, 1, "y");
    int64_t x, y, result;
    double u, v;

    if (a != NULL && b != NULL && lovage_typeof(a) == LOVAGE_INT &&
        lovage_typeof(b) == LOVAGE_INT) {
        x = lovage_as_int(a);
        y = lovage_as_int(b);
        if (multiply ? __builtin_mul_overflow(x, y, &result)
                     : __builtin_add_overflow(x, y, &result))
            return lovage_raisef(t, "OverflowError", "over 64 bits");
        return lovage_return(t, lovage_int(result));
    }
    if (lovage_arg_double(t, 0, "x", &u) != LOVAGE_OK ||
        lovage_arg_double(t, 1, "y", &v) != LOVAGE_OK)
        return LOVAGE_FAILED;
    return lovage_return(t, lovage_double(multiply ? u * v : u + v));
}

static lovage_status
add(lovage_task *t)
{
    return calculate(t, false);
}

static lovage_status
mul(lovage_task *t)
{
    return calculate(t, true);
}

/* xsum(numbers) */
static lovage_status
xsum(lovage_task *t)
{
    const lovage_value *numbers = lovage_arg(t, 0, "numbers");
    bool ints = true;
    int64_t sum = 0;
    double total = 0;

    if (numbers == NULL || lovage_typeof(numbers) != LOVAGE_ARRAY)
        return lovage_raisef(t, "TypeError", "xsum() needs a list of numbers");
    for (size_t i = 0; i < lovage_length(numbers); i++) {
        const lovage_value *n = lovage_at(numbers, i);
        lovage_type type = n != NULL ? lovage_typeof(n) : LOVAGE_NULL;

        if (type != LOVAGE_INT && type != LOVAGE_DOUBLE)
            return lovage_raisef(t, "TypeError",
                                 "xsum(): item %zu is no number", i);
        total += lovage_as_double(n);
        if (type == LOVAGE_DOUBLE)
            ints = false;
        else if (__builtin_add_overflow(sum, lovage_as_int(n), &sum))
            return lovage_raisef(t, "OverflowError", "over 64 bits");
    }
    return lovage_return(t, ints ? lovage_int(sum) : lovage_double(total));
}

LOVAGE_PLUGIN int
lovage_plugin_init(lovage_registry *r)
{
    static const char *const xy[] = {"x", "y", NULL};
    static const char *const list[] = {"numbers", NULL};
    static const struct {
        const char *names[2];
        lovage_run_fn *run;
        const char *const *params;
        int count;
    } tasks[] = {
        {{"tasks.add", "proj.tasks.add"}, add, xy, 2},
        {{"tasks.mul", "proj.tasks.mul"}, mul, xy, 2},
        {{"tasks.xsum", "proj.tasks.xsum"}, xsum, list, 1},
    };

    for (size_t i = 0; i < 2 * sizeof(tasks) / sizeof(tasks[0]); i++) {
        const lovage_task_def def = {
            .size = sizeof(def),
            .name = tasks[i / 2].names[i % 2],
            .run = tasks[i / 2].run,
            .params = tasks[i / 2].count,
            .param_names = tasks[i / 2].params,
            .required = tasks[i / 2].count,
        };

        if (lovage_register(r, &def) != 0)
            return -1;
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Binding a call to a task's parameters, with the words of Python's TypeError.
 */
#include <stdlib.h>
#include <string.h>

#include "worker/task.h"

enum { MESSAGE_MAX = 2048 };

static bool
type_error(lovage_task *t, struct buf *b)
{
    char *text = NULL;
    size_t len;

    if (buf_take(b, &text, &len) != ST_OK)
        text = NULL;
    outcome_raise(&t->out, "TypeError", "builtins",
                  text ? text : "the call does not fit the task");
    free(text);
    buf_fini(b);
    return false;
}

static bool
too_many(lovage_task *t, size_t given)
{
    const struct lovage_task_def *d = t->def;
    struct buf b;

    buf_init(&b, MESSAGE_MAX);
    buf_addf(&b, "%s() takes ", task_short_name(d));
    if (d->param_names && d->required < d->params)
        buf_addf(&b, "from %d to ", d->required);
    buf_addf(&b, "%d positional argument%s but %zu %s given", d->params,
             d->params == 1 ? "" : "s", given, given == 1 ? "was" : "were");
    return type_error(t, &b);
}

static int
param_at(const struct lovage_task_def *d, const char *name)
{
    for (int i = 0; i < d->params && d->param_names[i]; i++)
        if (!strcmp(d->param_names[i], name))
            return i;
    return -1;
}

static bool
check_keywords(lovage_task *t, size_t given)
{
    struct buf b;

    json_object_object_foreach(t->kwargs, key, value)
    {
        int at = param_at(t->def, key);

        (void)value;
        if (at >= 0 && (size_t)at >= given)
            continue;
        buf_init(&b, MESSAGE_MAX);
        if (at < 0)
            buf_addf(&b, "%s() got an unexpected keyword argument '%.255s'",
                     task_short_name(t->def), key);
        else
            buf_addf(&b, "%s() got multiple values for argument '%.255s'",
                     task_short_name(t->def), key);
        return type_error(t, &b);
    }
    return true;
}

static bool
is_missing(lovage_task *t, int i, size_t given)
{
    const char *name = t->def->param_names[i];

    return (size_t)i >= given &&
           !json_object_object_get_ex(t->kwargs, name, NULL);
}

static bool
check_required(lovage_task *t, size_t given)
{
    const struct lovage_task_def *d = t->def;
    int missing = 0, told = 0;
    struct buf b;

    for (int i = 0; i < d->required; i++)
        missing += is_missing(t, i, given);
    if (!missing)
        return true;
    buf_init(&b, MESSAGE_MAX);
    buf_addf(&b, "%s() missing %d required positional argument%s: ",
             task_short_name(d), missing, missing == 1 ? "" : "s");
    for (int i = 0; i < d->required; i++) {
        if (!is_missing(t, i, given))
            continue;
        if (told)
            buf_addf(&b, "%s",
                     told + 1 < missing ? ", "
                     : missing == 2     ? " and "
                                        : ", and ");
        buf_addf(&b, "'%s'", d->param_names[i]);
        told++;
    }
    return type_error(t, &b);
}

bool
task_check_call(lovage_task *t)
{
    const struct lovage_task_def *d = t->def;
    size_t given = json_object_array_length(t->args);

    if (d->params < 0)
        return true;
    if (d->param_names && !check_keywords(t, given))
        return false;
    if (given > (size_t)d->params)
        return too_many(t, given);
    return !d->param_names || check_required(t, given);
}

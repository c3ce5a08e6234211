/* SPDX-License-Identifier: Apache-2.0 */
/* Celery's own tasks, which Python producers route to the default queue. */
#include "worker/builtin.h"

#include "worker/value.h"

/* celery.accumulate(*args, index=None): what a task that is replaced by a
 * group becomes. */
static lovage_status
accumulate(lovage_task *t)
{
    const lovage_value *index = lovage_member(lovage_kwargs(t), "index");
    const lovage_value *args = lovage_args(t), *v;
    int64_t i = index ? lovage_as_int(index) : 0;

    if (!index || lovage_typeof(index) != LOVAGE_INT)
        return lovage_return(t, lovage_copy(args));
    if (i < 0)
        i += (int64_t)lovage_length(args);
    v = i < 0 ? NULL : lovage_at(args, (size_t)i);
    if (!v)
        return lovage_raisef(t, "IndexError", "tuple index out of range");
    return lovage_return(t, lovage_copy(v));
}

/* celery.backend_cleanup: the backends we have expire results themselves. */
static lovage_status
backend_cleanup(lovage_task *t)
{
    return lovage_return(t, lovage_null());
}

enum status
builtin_register(struct lovage_registry *r, struct error *err)
{
    static const lovage_task_def defs[] = {
        {.size = sizeof(defs[0]),
         .name = "celery.accumulate",
         .kind = LOVAGE_INLINE,
         .run = accumulate,
         .params = -1},
        {.size = sizeof(defs[0]),
         .name = "celery.backend_cleanup",
         .kind = LOVAGE_INLINE,
         .run = backend_cleanup,
         .params = 0,
         .ignore_result = true},
    };

    for (size_t i = 0; i < sizeof(defs) / sizeof(defs[0]); i++)
        if (lovage_register(r, &defs[i]) != 0)
            return error_set(err, ST_INVALID, "cannot register %s",
                             defs[i].name);
    return ST_OK;
}

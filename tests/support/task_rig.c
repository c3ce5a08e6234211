/* SPDX-License-Identifier: Apache-2.0 */
/* A host for a task under test. */
#include "tests/support/task_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/state.h"
#include "tests/support/data.h"

static struct json_object *
rig_fields(lovage_task *t)
{
    struct task_rig *r = t->host_arg;

    return json_object_get(r->fields);
}

static enum status
rig_state(lovage_task *t, const char *state, struct json_object *meta)
{
    struct task_rig *r = t->host_arg;

    snprintf(r->state, sizeof(r->state), "%s", state);
    json_object_put(r->meta);
    r->meta = json_object_get(meta);
    return ST_OK;
}

static enum status
rig_send(lovage_task *t, struct json_object *sig)
{
    struct task_rig *r = t->host_arg;

    if (r->send_st != ST_OK)
        return r->send_st;
    return json_append(r->sent, json_object_get(sig));
}

static bool
rig_soft(lovage_task *t)
{
    struct task_rig *r = t->host_arg;

    return r->soft;
}

static const struct task_host rig_host = {
    .fields = rig_fields,
    .state = rig_state,
    .send = rig_send,
    .soft_limit = rig_soft,
};

void
task_rig_init(struct task_rig *r, const struct lovage_task_def *def,
              const char *args, const char *kwargs)
{
    memset(r, 0, sizeof(*r));
    r->def = *def;
    r->args = data_json(args);
    r->kwargs = data_json(kwargs);
    r->sent = json_object_new_array();
    task_init(&r->task, &r->def, &rig_host, r);
    r->task.args = r->args;
    r->task.kwargs = r->kwargs;
    r->task.id = "the-id";
}

void
task_rig_fini(struct task_rig *r)
{
    task_clear(&r->task);
    json_object_put(r->args);
    json_object_put(r->kwargs);
    json_object_put(r->fields);
    json_object_put(r->sent);
    json_object_put(r->meta);
}

const char *
task_rig_error(struct task_rig *r)
{
    static char text[4096];
    struct buf b;

    buf_init(&b, sizeof(text) - 1);
    cr_assert_not_null(r->task.out.exc);
    state_exception_repr(r->task.out.exc, &b);
    cr_assert_not(b.failed);
    snprintf(text, sizeof(text), "%.*s", (int)b.len, b.data);
    buf_fini(&b);
    return text;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* States other than outcomes: STARTED, what a task reports of itself, and what
 * is said of tasks that were lost. */
#include "protocol/state.h"

#include "base/clock.h"
#include "base/log.h"
#include "worker/fields.h"
#include "worker/node.h"

static void
answered(struct request *rq, enum status st)
{
    if (st != ST_OK)
        log_warning("a state was not stored", "id=%.*s reason=%s",
                    (int)rq->tm.id.len, rq->tm.id.ptr, status_text(st));
    settle_answer(rq, ST_OK); /* passing states are not worth a second try */
}

void
node_store_state(struct request *rq, struct slice state,
                 struct json_object *meta)
{
    struct task_state ts = {
        .id = rq->tm.id,
        .status = state,
        .result = meta,
        .children = rq->children,
        .done_us = clock_unix_us(),
        .group_id = rq->tm.group,
        .parent_id = rq->tm.parent_id,
        .reply_to = rq->tm.reply_to,
        .correlation_id = rq->tm.correlation_id,
    };

    if (!rq->n->result || rq->ignore_result || !state.ptr)
        return;
    node_store(rq, &ts, answered);
}

void
node_store_started(struct request *rq)
{
    struct json_object *meta = json_object_new_object();

    field_int(meta, "pid", rq->pid);
    field_text(meta, "hostname", rq->n->name);
    node_store_state(rq, node_slice("STARTED"), meta);
    json_object_put(meta);
}

void
node_store_lost(struct node *n, struct slice id, struct slice reply_to,
                const char *text)
{
    struct json_object *args = json_object_new_array();
    struct task_state ts = {
        .id = id,
        .status = node_slice("FAILURE"),
        .done_us = clock_unix_us(),
        .reply_to = reply_to,
    };

    log_error("task lost with its worker", "id=%.*s", (int)id.len, id.ptr);
    metric_add(n->m_tasks, "lost", 1);
    if (args && json_append(args, json_new_str(node_slice(text))) != ST_OK) {
        json_object_put(args);
        args = NULL;
    }
    ts.result = state_exception("WorkerLostError", "billiard.exceptions", args);
    json_object_put(args);
    if (n->result)
        n->result->ops->put(n->result, &ts, NULL, NULL);
    json_object_put(ts.result);
}

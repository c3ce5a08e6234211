/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations, on a channel of their own. */
#include "store/amqp/rpc.h"

#include <stdlib.h>

enum { JOB_BYTES_MAX = 1024 * 1024 };

struct amq_job {
    struct list node;
    struct buf frames;
    unsigned replies; /* still to come */
    uint32_t count;
    amq_rpc_fn *fn;
    void *arg, *own;
};

void
amq_job_free(struct amq_job *j)
{
    if (j == NULL)
        return;
    buf_fini(&j->frames);
    free(j->own);
    free(j);
}

static void
go_on(struct amq_rpc *r)
{
    struct amq_job *j;

    if (r->busy || list_empty(&r->jobs) ||
        !amq_link_channel_up(r->link, r->channel))
        return;
    j = list_entry(r->jobs.next, struct amq_job, node);
    r->busy = true;
    (void)amq_link_write(r->link, r->channel,
                         (struct slice){j->frames.data, j->frames.len});
}

/* The job at the front is over. */
static void
done(struct amq_rpc *r, enum status st, const struct error *why)
{
    struct list *n = list_pop(&r->jobs);
    struct amq_job *j;

    r->busy = false;
    if (n == NULL)
        return;
    j = list_entry(n, struct amq_job, node);
    j->fn(j->arg, st, j->count, why);
    amq_job_free(j);
}

static enum status
status_of(uint16_t code)
{
    switch (code) {
    case 403:
        return ST_DENIED;
    case 404:
        return ST_NOTFOUND;
    case 405:
    case 406:
        return ST_INVALID;
    default:
        return ST_PROTO;
    }
}

/* ---- exported ---- */

void
amq_rpc_init(struct amq_rpc *r, struct amq_link *link, uint16_t channel)
{
    *r = (struct amq_rpc){.link = link, .channel = channel};
    list_init(&r->jobs);
}

void
amq_rpc_fini(struct amq_rpc *r)
{
    struct list *n;

    while ((n = list_pop(&r->jobs)) != NULL)
        amq_job_free(list_entry(n, struct amq_job, node));
}

struct amq_job *
amq_job_new(amq_rpc_fn *fn, void *arg, void *own)
{
    struct amq_job *j = calloc(1, sizeof *j);

    if (j == NULL) {
        free(own);
        return NULL;
    }
    list_init(&j->node);
    buf_init(&j->frames, JOB_BYTES_MAX);
    j->fn = fn;
    j->arg = arg;
    j->own = own;
    return j;
}

bool
amq_job_is_empty(const struct amq_job *j)
{
    return j->replies == 0;
}

void
amq_job_add(struct amq_job *j, uint16_t channel, amqp_method_number_t id,
            void *fields)
{
    amq_frame_method(&j->frames, channel, id, fields);
    j->replies++;
}

enum status
amq_rpc_start(struct amq_rpc *r, struct amq_job *j)
{
    enum status st = ST_OK;

    if (!amq_link_up(r->link))
        st = ST_LOST;
    else if (j->frames.failed)
        st = ST_TOOBIG;
    if (st != ST_OK) {
        amq_job_free(j);
        return st;
    }
    list_add_tail(&r->jobs, &j->node);
    go_on(r);
    return ST_OK;
}

void
amq_rpc_method(struct amq_rpc *r, amqp_method_number_t id, void *fields)
{
    struct amq_job *j;

    if (!r->busy)
        return;
    j = list_entry(r->jobs.next, struct amq_job, node);
    if (id == AMQP_QUEUE_DECLARE_OK_METHOD)
        j->count = ((amqp_queue_declare_ok_t *)fields)->message_count;
    if (--j->replies > 0)
        return;
    done(r, ST_OK, NULL);
    go_on(r);
}

void
amq_rpc_channel_down(struct amq_rpc *r, uint16_t code, const struct error *why)
{
    bool busy = r->busy;

    amq_link_reopen(r->link, r->channel);
    if (busy)
        done(r, status_of(code), why);
}

void
amq_rpc_channel_up(struct amq_rpc *r)
{
    go_on(r);
}

void
amq_rpc_lost(struct amq_rpc *r, const struct error *why)
{
    while (!list_empty(&r->jobs))
        done(r, ST_LOST, why);
    r->busy = false;
}

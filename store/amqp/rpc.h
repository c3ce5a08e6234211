#ifndef STORE_AMQP_RPC_H
#define STORE_AMQP_RPC_H

#include "base/list.h"
#include "store/amqp/link.h"

/* Questions to the broker that may fail, on a channel of their own, because a
 * failure closes the channel: declarations and the like.  One job after the
 * other; a job is a few methods that are sent together. */

/* ST_OK; ST_NOTFOUND (404); ST_DENIED (403); ST_INVALID (405, 406: it exists
 * otherwise); ST_PROTO; ST_LOST.  count: messages waiting, of queue.declare. */
typedef void amq_rpc_fn(void *arg, enum status st, uint32_t count,
                        const struct error *why);

struct amq_rpc {
    struct amq_link *link; /* borrowed */
    uint16_t channel;
    struct list jobs; /* the first may be under way */
    bool busy;
};

struct amq_job; /* being put together */

void amq_rpc_init(struct amq_rpc *r, struct amq_link *link, uint16_t channel);
void amq_rpc_fini(struct amq_rpc *r); /* fn is not called */

/* own is freed with the job, in any case; it may be NULL.  NULL: no memory. */
struct amq_job *amq_job_new(amq_rpc_fn *fn, void *arg, void *own);
void
amq_job_free(struct amq_job *j); /* one that is not started; NULL is fine */
bool amq_job_is_empty(const struct amq_job *j);
void amq_job_add(struct amq_job *j, uint16_t channel, amqp_method_number_t id,
                 void *fields);
/* Queues j, which it frees in the end; fn is called once, later.  ST_LOST: not
 * connected, ST_TOOBIG: a name is too long; then fn is not called. */
enum status amq_rpc_start(struct amq_rpc *r, struct amq_job *j);

/* What the link tells of the channel. */
void amq_rpc_method(struct amq_rpc *r, amqp_method_number_t id, void *fields);
void amq_rpc_channel_down(struct amq_rpc *r, uint16_t code,
                          const struct error *why);
void amq_rpc_channel_up(struct amq_rpc *r);
void amq_rpc_lost(struct amq_rpc *r, const struct error *why);

#endif

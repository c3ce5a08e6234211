/* SPDX-License-Identifier: Apache-2.0 */
/* Before the first message to a queue or an exchange goes out, it is declared,
 * as a Celery producer does: RabbitMQ drops what no queue takes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/amqp/broker.h"

enum { NAME_BYTES = 256, KEY_BYTES = NAME_BYTES + 16 }; /* a short string */

/* ---- a set of names ---- */

static struct slice
key(char *room, const char *kind, const char *name)
{
    int n = snprintf(room, KEY_BYTES, "%s:%s", kind, name);

    return (struct slice){room, n < KEY_BYTES ? (size_t)n : KEY_BYTES - 1};
}

void
amq_targets_clear(struct map *m)
{
    size_t at = 0;
    char *name;

    while ((name = map_next(m, &at)) != NULL)
        free(name);
    map_fini(m);
    map_init(m);
}

enum status
amq_target_remember(struct map *m, const char *kind, const char *name)
{
    char room[KEY_BYTES], *copy;
    struct slice k = key(room, kind, name);

    if (map_find(m, k) != NULL)
        return ST_OK;
    if (m->count >= TARGETS_MAX)
        amq_targets_clear(m);
    copy = strndup(k.ptr, k.len);
    if (copy == NULL)
        return ST_NOMEM;
    if (map_put(m, (struct slice){copy, k.len}, copy) == ST_OK)
        return ST_OK;
    free(copy);
    return ST_NOMEM;
}

bool
amq_target_known(const struct map *m, const char *kind, const char *name)
{
    char room[KEY_BYTES];

    return map_find(m, key(room, kind, name)) != NULL;
}

/* ---- declaring ---- */

/* What has to be there for a message, each with a name of its own. */
enum kind { QUEUE, EXCHANGE, WAITING, WAITED };
static const char *const kinds[] = {"queue", "exchange", "delay", "delayed"};

struct target {
    enum kind kind;
    const char *name;
};

/* What p needs and may not be there yet. */
static struct target
target_of(const struct broker_amqp *b, const struct publish *p)
{
    if (*p->origin != '\0' &&
        !amq_target_known(&b->targets, kinds[WAITING], ""))
        return (struct target){WAITING, ""};
    if (*p->origin != '\0')
        return (struct target){WAITED, p->origin};
    if (*p->exchange != '\0')
        return (struct target){EXCHANGE, p->exchange};
    return (struct target){QUEUE, p->key};
}

struct question {
    struct broker_amqp *b;
    struct amq_job *job; /* while it is put together */
    enum status st;
    enum kind kind;
    char name[NAME_BYTES];
};

/* The message that waits for it, if it is still the next. */
static bool
is_waited_for(const struct question *t)
{
    struct target next;

    if (list_empty(&t->b->waiting))
        return false;
    next =
        target_of(t->b, list_entry(t->b->waiting.next, struct publish, node));
    return next.kind == t->kind && strcmp(next.name, t->name) == 0;
}

/* What is there otherwise, or is not ours to declare, may take it; if not, the
 * broker returns the message. */
static void
on_declared(void *arg, enum status st, uint32_t count, const struct error *why)
{
    const struct question *t = arg;
    struct broker_amqp *b = t->b;

    (void)count;
    b->ensuring = false;
    if (st == ST_LOST)
        return;
    if (st != ST_OK)
        log_warning("where to publish is not as it should be",
                    "%s=%s reason=%s", kinds[t->kind], t->name, why->text);
    if (st == ST_OK || t->kind == QUEUE || st == ST_INVALID || st == ST_DENIED)
        (void)amq_target_remember(&b->targets, kinds[t->kind], t->name);
    else if (is_waited_for(t))
        amq_publish_unreachable(b, ST_NOTFOUND);
    turn_ask(&b->turn);
}

/* A queue that only its consumer declares is there, or there is no use. */
static bool
is_declared_by_us(const struct queue_def *q)
{
    return !q->broadcast && !q->exclusive && !q->no_declare;
}

static void
add_queue(struct question *t)
{
    struct slice name = slice_of(t->name);
    const struct queue_def *q = topology_find(t->b->topology, name);
    struct queue_def *made = NULL;

    if (q == NULL)
        t->st = topology_missing(t->b->topology, name, &made, NULL);
    if (made != NULL)
        q = made;
    if (t->st == ST_OK && is_declared_by_us(q))
        t->st = amq_declare_queue(t->job, OUT_SCRATCH, q);
    else if (t->st == ST_OK)
        amq_declare_passive(t->job, OUT_SCRATCH, NULL, q->name);
    queue_def_free(made);
}

static void
add_bound(void *arg, const struct queue_def *q, const struct binding_def *b)
{
    struct question *t = arg;

    if (t->st != ST_OK)
        return;
    if (is_declared_by_us(q))
        t->st = amq_declare_queue(t->job, OUT_SCRATCH, q);
    else
        t->st = amq_declare_exchange_of(t->job, OUT_SCRATCH, b);
    if (t->st == ST_OK && t->kind == WAITED && is_declared_by_us(q) &&
        amq_declare_delayed(t->job, OUT_SCRATCH, q) == ST_TOOBIG)
        t->st = ST_TOOBIG;
}

static void
add_exchange(struct question *t)
{
    if (t->kind == EXCHANGE &&
        amq_declare_exchange(t->job, OUT_SCRATCH, t->name))
        return;
    if (topology_each_bound(t->b->topology, slice_of(t->name), add_bound, t) ==
        ST_NOTFOUND)
        amq_declare_passive(t->job, OUT_SCRATCH, t->name, NULL);
}

static void
ask(struct broker_amqp *b, struct target target)
{
    struct question *t = calloc(1, sizeof *t);

    if (t == NULL)
        return; /* the beat asks again */
    t->b = b;
    t->kind = target.kind;
    (void)snprintf(t->name, sizeof t->name, "%s", target.name);
    t->job = amq_job_new(on_declared, t, t);
    if (t->job == NULL)
        return;
    if (t->kind == QUEUE)
        add_queue(t);
    else if (t->kind == WAITING)
        t->st = amq_declare_delay(t->job, OUT_SCRATCH,
                                  topology_delay_type(b->topology));
    else
        add_exchange(t);
    if (t->st != ST_OK || amq_job_is_empty(t->job)) {
        /* Nothing to ask for, or nothing that could be asked. */
        if (t->st != ST_NOMEM)
            (void)amq_target_remember(&b->targets, kinds[t->kind], t->name);
        amq_job_free(t->job); /* and t */
        turn_ask(&b->turn);
        return;
    }
    switch (amq_rpc_start(&b->out_rpc, t->job)) {
    case ST_OK:
        b->ensuring = true;
        break;
    case ST_TOOBIG: /* it is published to as it is */
        (void)amq_target_remember(&b->targets, kinds[target.kind], target.name);
        turn_ask(&b->turn);
        break;
    default:
        break;
    }
}

/* ---- exported ---- */

bool
amq_target_ready(struct broker_amqp *b, const struct publish *p)
{
    struct target t = target_of(b, p);

    if (b->ensuring)
        return false;
    if (amq_target_known(&b->targets, kinds[t.kind], t.name))
        return true;
    ask(b, t);
    return false;
}

void
amq_target_forget(struct broker_amqp *b, const struct publish *p)
{
    struct target t = target_of(b, p);
    char room[KEY_BYTES];

    free(map_del(&b->targets, key(room, kinds[t.kind], t.name)));
}

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

static const char *
kind_of(const struct publish *p)
{
    return *p->exchange == '\0' ? "queue" : "exchange";
}

static const char *
name_of(const struct publish *p)
{
    return *p->exchange == '\0' ? p->key : p->exchange;
}

struct question {
    struct broker_amqp *b;
    bool queue;
    char name[NAME_BYTES];
};

/* The message that waits for it, if it is still the next. */
static const struct publish *
waiting_for(const struct question *t)
{
    const struct publish *p;

    if (list_empty(&t->b->waiting))
        return NULL;
    p = list_entry(t->b->waiting.next, struct publish, node);
    return (*p->exchange == '\0') == t->queue &&
                   strcmp(name_of(p), t->name) == 0
               ? p
               : NULL;
}

/* A queue that is there otherwise, or is not ours to declare, may take it; if
 * not, the broker returns the message. */
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
                    "%s=%s reason=%s", t->queue ? "queue" : "exchange", t->name,
                    why->text);
    if (st == ST_OK || t->queue || st == ST_INVALID || st == ST_DENIED)
        (void)amq_target_remember(&b->targets, t->queue ? "queue" : "exchange",
                                  t->name);
    else if (waiting_for(t) != NULL)
        amq_publish_unreachable(b, ST_NOTFOUND);
    turn_ask(&b->turn);
}

static void
ask(struct broker_amqp *b, const struct publish *p)
{
    struct question *t = calloc(1, sizeof *t);
    struct amq_job *j;

    if (t == NULL)
        return; /* the beat asks again */
    t->b = b;
    t->queue = *p->exchange == '\0';
    (void)snprintf(t->name, sizeof t->name, "%s", name_of(p));
    j = amq_job_new(on_declared, t, t);
    if (j == NULL)
        return;
    if (t->queue)
        amq_declare_queue(j, OUT_SCRATCH, p->key);
    else if (!amq_declare_exchange(j, OUT_SCRATCH, p->exchange))
        amq_declare_passive(j, OUT_SCRATCH, p->exchange, NULL);
    b->ensuring = amq_rpc_start(&b->out_rpc, j) == ST_OK;
}

/* ---- exported ---- */

bool
amq_target_ready(struct broker_amqp *b, const struct publish *p)
{
    if (b->ensuring)
        return false;
    if (amq_target_known(&b->targets, kind_of(p), name_of(p)))
        return true;
    ask(b, p);
    return false;
}

void
amq_target_forget(struct broker_amqp *b, const struct publish *p)
{
    char room[KEY_BYTES];

    free(map_del(&b->targets, key(room, kind_of(p), name_of(p))));
}

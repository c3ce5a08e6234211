/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for results in a database that tells nothing by itself: one timer,
 * and one statement about all ids that are waited for, however many wait. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/pg/result_db.h"

enum {
    POLL_MS = 50,    /* at least between two looks; Celery's is 500 */
    POLL_FACTOR = 4, /* and as many times as long as the last one took */
    POLL_IDS = 5000  /* in one look; then the next ones */
};

struct topic {
    struct list node; /* in all_topics */
    struct result_db *r;
    struct op *op; /* of PG_RESULT_READY, with the id; owned */
    struct list watches;
    bool polled; /* part of the look that is under way */
    bool dead;   /* nobody waits: freed when that is over */
};

struct result_watch {
    struct list node; /* in topic->watches */
    struct topic *topic;
    result_fn *fn;
    void *arg;
};

static struct slice
id_of(const struct topic *t)
{
    return (struct slice){t->op->v[0].ptr, (size_t)t->op->v[0].n};
}

static void
topic_free(struct topic *t)
{
    list_for_each_safe (n, &t->watches)
        free(list_entry(n, struct result_watch, node));
    list_del(&t->node);
    op_free(t->op);
    free(t);
}

/* No longer watched. */
static void
retire(struct topic *t)
{
    if (!t->dead)
        (void)map_del(&t->r->topics, id_of(t));
    t->dead = true;
    if (!t->polled)
        topic_free(t);
}

/* Tells all who wait for the topic. */
static void
fire(void *arg, enum status st, const struct task_state *ts)
{
    struct topic *t = arg;
    struct list *n;

    while ((n = list_pop(&t->watches)) != NULL) {
        struct result_watch *w = list_entry(n, struct result_watch, node);
        result_fn *fn = w->fn;
        void *fn_arg = w->arg;

        free(w);
        fn(fn_arg, st, ts);
    }
}

/* ---- looking ---- */

static void
on_poll_time(uv_timer_t *timer)
{
    struct result_db *r = timer->data;

    turn_ask(&r->turn);
}

static void
wait_for_next(struct result_db *r)
{
    uint64_t took_ms = (clock_mono_us() - r->poll_sent_us) / 1000;
    uint64_t ms = took_ms * POLL_FACTOR;

    uv_timer_start(&r->poll_timer, on_poll_time, ms > POLL_MS ? ms : POLL_MS,
                   0);
}

/* What is told here may be watched anew, or no longer, by those who are told:
 * all topics of the look stay until its end. */
static void
tell_rows(struct batch *b, const PGresult *rows)
{
    for (int i = 0; i < PQntuples(rows); i++) {
        struct op *op = result_db_op_of(b, rows, i);
        struct topic *t = op != NULL ? op->arg : NULL;

        if (t == NULL || t->dead)
            continue;
        (void)map_del(&t->r->topics, id_of(t));
        t->dead = true;
        result_db_tell_row(rows, i, id_of(t), fire, t);
    }
}

static void
on_polled(struct session_call *call, const struct session_answer *a)
{
    struct batch *b = list_entry(call, struct batch, call);
    struct result_db *r = b->owner;

    r->poll = NULL;
    if (!r->finished && a->status == ST_OK)
        tell_rows(b, a->rows);
    else if (!r->finished)
        (void)result_db_is_missing(r, a);
    for (size_t i = 0; i < b->n; i++) {
        struct topic *t = b->ops[i]->arg;

        t->polled = false;
        if (t->dead)
            topic_free(t);
    }
    batch_free(b);
    if (!r->finished)
        wait_for_next(r);
}

/* The next topics in turn go to the end of the list. */
static size_t
take_topics(struct result_db *r, struct op **ops)
{
    struct list *last = r->all_topics.prev;
    size_t n = 0;

    while (n < POLL_IDS && !list_empty(&r->all_topics)) {
        struct list *node = list_pop(&r->all_topics);
        struct topic *t = list_entry(node, struct topic, node);

        list_add_tail(&r->all_topics, node);
        t->polled = true;
        ops[n++] = t->op;
        if (node == last)
            break;
    }
    return n;
}

static void
look(struct result_db *r)
{
    struct op **ops = malloc(POLL_IDS * sizeof(struct op *));
    size_t n = ops != NULL ? take_topics(r, ops) : 0;
    struct batch *b = n > 0 ? batch_new(ops, n) : NULL;
    char *memory = NULL;

    r->poll_sent_us = clock_mono_us();
    if (b != NULL && batch_encode(b, &memory) == ST_OK) {
        b->owner = r;
        b->call.done = on_polled;
        r->poll = b;
        session_send(r->session, &b->call);
    } else {
        for (size_t i = 0; i < n; i++)
            ((struct topic *)ops[i]->arg)->polled = false;
        batch_free(b);
        wait_for_next(r);
    }
    free(memory);
    free(ops);
}

void
result_db_watch_turn(struct result_db *r)
{
    if (r->finished || r->closing || r->poll != NULL || r->creating ||
        list_empty(&r->all_topics) ||
        uv_is_active((uv_handle_t *)&r->poll_timer) ||
        !session_ready(r->session))
        return;
    look(r);
}

/* ---- exported ---- */

static struct topic *
topic_new(struct result_db *r, struct slice id)
{
    struct topic *t = calloc(1, sizeof(*t));
    struct op_value v[] = {op_text(id)};

    if (t == NULL)
        return NULL;
    t->r = r;
    list_init(&t->node);
    list_init(&t->watches);
    t->op = op_new(PG_RESULT_READY, v);
    if (t->op == NULL || t->op->refused != ST_OK ||
        map_put(&r->topics, id_of(t), t) != ST_OK) {
        if (t->op != NULL)
            op_free(t->op);
        free(t);
        return NULL;
    }
    t->op->arg = t;
    list_add_tail(&r->all_topics, &t->node);
    return t;
}

struct result_watch *
result_db_watch(struct result *base, struct slice id, result_fn *fn, void *arg)
{
    struct result_db *r = (struct result_db *)base;
    struct result_watch *w = calloc(1, sizeof(*w));
    struct topic *t = map_find(&r->topics, id);

    if (w == NULL)
        return NULL;
    if (t == NULL)
        t = topic_new(r, id);
    if (t == NULL) {
        free(w);
        return NULL;
    }
    *w = (struct result_watch){.topic = t, .fn = fn, .arg = arg};
    list_add_tail(&t->watches, &w->node);
    turn_ask(&r->turn);
    return w;
}

void
result_db_unwatch(struct result *base, struct result_watch *w)
{
    struct topic *t = w->topic;

    (void)base;
    list_del(&w->node);
    free(w);
    if (list_empty(&t->watches))
        retire(t);
}

void
result_db_watch_init(struct result_db *r)
{
    map_init(&r->topics);
    list_init(&r->all_topics);
}

void
result_db_watch_fini(struct result_db *r)
{
    list_for_each_safe (n, &r->all_topics)
        topic_free(list_entry(n, struct topic, node));
    map_fini(&r->topics);
}

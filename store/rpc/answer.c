/* SPDX-License-Identifier: Apache-2.0 */
/* Outcomes as messages.  Each is kept until the broker has confirmed it, and
 * sent again when that is uncertain: who reads them takes the latest.  A reply
 * queue that is gone wants no answer. */
#include "store/rpc/result.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "protocol/compress.h"

enum { FLYING_MAX = 4096 };

struct answer {
    struct list node; /* in waiting, flying, again or ended */
    struct result_rpc *r;
    struct message *msg; /* NULL: there is nobody to tell */
    size_t bytes;
    enum status st; /* in ended */
    result_fn *fn;
    void *arg;
};

/* Not before the call that failed has returned. */
static void
end_later(struct answer *a, enum status st)
{
    a->st = st;
    list_del(&a->node);
    list_add_tail(&a->r->ended, &a->node);
    turn_ask(&a->r->turn);
}

static void
end(struct answer *a)
{
    result_fn *fn = a->fn;
    void *arg = a->arg;
    enum status st = a->st;

    list_del(&a->node);
    a->r->answers--;
    a->r->answers_bytes -= a->bytes;
    message_free(a->msg);
    free(a);
    if (fn != NULL)
        fn(arg, st, NULL);
}

void
rpc_answers_turn(struct result_rpc *r)
{
    struct list told;

    rpc_answers_send(r);
    list_init(&told);
    while (!list_empty(&r->ended))
        list_add_tail(&told, list_pop(&r->ended));
    while (!list_empty(&told))
        end(list_entry(told.next, struct answer, node));
}

void
rpc_answers_free(struct result_rpc *r)
{
    struct list *all[] = {&r->again, &r->waiting, &r->flying, &r->ended};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        while (!list_empty(all[i])) {
            struct answer *a = list_entry(all[i]->next, struct answer, node);

            a->fn = NULL;
            end(a);
        }
}

/* ---- sending ---- */

static bool
send_one(struct answer *a, struct peer *p)
{
    struct error err;
    enum status st = p->b->ops->publish(p->b, a->msg, a, &err);

    if (st == ST_OK) {
        list_del(&a->node);
        list_add_tail(&a->r->flying, &a->node);
        a->r->flying_count++;
        return true;
    }
    if (status_is_transient(st) || st == ST_NOMEM)
        return false; /* again when another is confirmed, or next turn */
    log_error("a result cannot be sent", "id=%s reason=%s",
              a->msg->correlation_id, err.text);
    end_later(a, st);
    return true;
}

void
rpc_answers_send(struct result_rpc *r)
{
    struct peer *p;

    while (!list_empty(&r->again)) { /* before what came later */
        struct list *last = r->again.prev;

        list_del(last);
        list_add_head(&r->waiting, last);
    }
    if (list_empty(&r->waiting))
        return;
    p = rpc_outgoing(r);
    if (p == NULL || !p->ready)
        return;
    while (r->flying_count < FLYING_MAX && !list_empty(&r->waiting))
        if (!send_one(list_entry(r->waiting.next, struct answer, node), p))
            return;
}

/* A reply that came to no queue was wanted by nobody. */
void
rpc_published(struct result_rpc *r, void *cookie, enum status st)
{
    struct answer *a = cookie;

    r->flying_count--;
    if (st == ST_NOTFOUND) {
        log_debug("a reply queue is gone", "id=%s queue=%s",
                  a->msg->correlation_id, a->msg->routing_key);
        st = ST_OK;
    }
    if (status_is_transient(st)) {
        list_del(&a->node);
        list_add_tail(&r->again, &a->node);
    } else {
        end_later(a, st);
    }
    turn_ask(&r->turn);
}

/* ---- asking ---- */

static enum status
write_body(struct result_rpc *r, const struct task_state *ts, struct message *m,
           struct error *err)
{
    struct slice name = slice_of(r->config->result_compression);
    struct buf plain, packed;
    enum status st;

    buf_init(&plain, DOCUMENT_MAX);
    buf_init(&packed, DOCUMENT_MAX);
    st = state_pack(ts, r->content, &plain, err);
    if (st == ST_OK && name.len == 0) {
        st = buf_take(&plain, &m->body, &m->body_len);
    } else if (st == ST_OK) {
        st = compress_pack(name, (struct slice){plain.data, plain.len}, &packed,
                           err);
        if (st == ST_OK)
            st = json_set(m->headers, "compression",
                          json_new_str(slice_of(compress_mime(name))));
        if (st == ST_OK)
            st = buf_take(&packed, &m->body, &m->body_len);
    }
    buf_fini(&plain);
    buf_fini(&packed);
    return st;
}

static enum status
make_message(struct result_rpc *r, const struct task_state *ts,
             struct message **out, struct error *err)
{
    struct slice id = ts->correlation_id.len > 0 ? ts->correlation_id : ts->id;
    struct message *m = message_new();
    enum status st = ST_NOMEM;

    if (m == NULL)
        return st;
    m->headers = json_object_new_object();
    m->reply = true;
    m->priority = 0;
    m->delivery_mode = r->config->result_persistent ? 2 : 1;
    if (m->headers != NULL)
        st = message_set(&m->exchange, slice_of(""));
    if (st == ST_OK)
        st = message_set(&m->routing_key, ts->reply_to);
    if (st == ST_OK)
        st = message_set(&m->correlation_id, id);
    if (st == ST_OK)
        st = message_set(&m->content_type, slice_of(content_mime(r->content)));
    if (st == ST_OK)
        st = message_set(&m->content_encoding,
                         slice_of(content_charset(r->content)));
    if (st == ST_OK)
        st = write_body(r, ts, m, err);
    if (st == ST_OK)
        *out = m;
    else
        message_free(m);
    return st;
}

void
rpc_put(struct result *base, const struct task_state *ts, result_fn *fn,
        void *arg)
{
    struct result_rpc *r = (struct result_rpc *)base;
    struct answer *a = calloc(1, sizeof *a);
    struct error err = {.text = ""};
    enum status st = ST_OK;

    if (a == NULL) { /* nobody can be told */
        log_error("no memory for a result", "id=%.*s", (int)ts->id.len,
                  ts->id.ptr);
        return;
    }
    *a = (struct answer){.r = r, .fn = fn, .arg = arg};
    list_init(&a->node);
    list_add_tail(&r->waiting, &a->node);
    r->answers++;
    if (r->answers > ANSWERS_MAX || r->answers_bytes >= ANSWERS_BYTES_MAX)
        st = ST_BUSY;
    else if (ts->reply_to.len > 0)
        st = make_message(r, ts, &a->msg, &err);
    if (a->msg == NULL) {
        if (st != ST_OK && st != ST_BUSY)
            log_error("a result cannot be written", "id=%.*s reason=%s",
                      (int)ts->id.len, ts->id.ptr, err.text);
        end_later(a, st);
        return;
    }
    a->bytes = sizeof *a + sizeof *a->msg + a->msg->body_len;
    r->answers_bytes += a->bytes;
    turn_ask(&r->turn);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing: what is asked for waits in a bounded queue, goes out pipelined,
 * and is done when the broker has confirmed it.  While the broker is blocked,
 * is away, or has not confirmed a window of messages, it waits. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/amqp/broker.h"
#include "store/amqp/content.h"
#include "store/amqp/table.h"

enum {
    BACKLOG_MAX = 4 * 1024 * 1024, /* unsent bytes of the connection */
    TRIES = 3 /* a queue may be deleted between declaring and publishing */
};

static const size_t BODY_MAX = (size_t)128 << 20; /* RabbitMQ's default */

/* origin: the exchange that it goes to after it has waited, or "". */
struct address {
    const char *exchange, *key, *origin;
};

static struct publish *
publish_new(const struct address *to, struct slice head, struct slice body)
{
    size_t e = strlen(to->exchange) + 1, k = strlen(to->key) + 1;
    size_t o = strlen(to->origin) + 1;
    size_t bytes = e + k + o + head.len + body.len;
    struct publish *p = malloc(sizeof *p + bytes);
    char *memory;

    if (p == NULL)
        return NULL;
    memory = (char *)(p + 1);
    *p = (struct publish){.bytes = sizeof *p + bytes,
                          .exchange = memory,
                          .key = memory + e,
                          .origin = memory + e + k,
                          .head = {memory + e + k + o, head.len},
                          .body = {memory + e + k + o + head.len, body.len}};
    memcpy(p->exchange, to->exchange, e);
    memcpy(p->key, to->key, k);
    memcpy(p->origin, to->origin, o);
    memcpy(p->origin + o, head.ptr, head.len);
    if (body.len > 0)
        memcpy(p->origin + o + head.len, body.ptr, body.len);
    list_init(&p->node);
    return p;
}

static void
add(struct broker_amqp *b, struct publish *p)
{
    b->publishing++;
    b->publishing_bytes += p->bytes;
    list_add_tail(&b->waiting, &p->node);
    turn_ask(&b->turn);
}

/* p is over. */
static void
done(struct broker_amqp *b, struct publish *p, enum status st)
{
    uint64_t held = p->held;
    void *cookie = p->cookie;

    b->publishing--;
    b->publishing_bytes -= p->bytes;
    list_del(&p->node);
    free(p);
    turn_ask(&b->turn);
    if (held != 0)
        amq_moved(b, held, st);
    else
        b->ev.published(b->arg, cookie, st);
}

/* ---- sending ---- */

static bool
may_send(const struct broker_amqp *b)
{
    return !list_empty(&b->waiting) && !b->blocked &&
           amq_link_channel_up(b->out, OUT_PUBLISH) &&
           b->next_seq - b->first_seq < WINDOW &&
           amq_link_backlog(b->out) < BACKLOG_MAX;
}

static void
transmit(struct broker_amqp *b, struct publish *p)
{
    amqp_basic_publish_t fields = {.exchange = amq_bytes(p->exchange),
                                   .routing_key = amq_bytes(p->key),
                                   .mandatory = *p->exchange == '\0'};
    enum status st =
        amq_link_send_content(b->out, OUT_PUBLISH, &fields, p->head, p->body);

    if (st != ST_OK) {
        log_error("a message cannot be sent", "reason=%s size=%zu",
                  status_text(st), p->head.len);
        done(b, p, st);
        return;
    }
    list_del(&p->node);
    p->attempts++;
    p->returned = false;
    b->window[b->next_seq++ % WINDOW] = p;
}

void
amq_publish_more(struct broker_amqp *b)
{
    while (may_send(b)) {
        struct publish *p = list_entry(b->waiting.next, struct publish, node);
        if (!p->reply && !amq_target_ready(b, p))
            return;
        transmit(b, p);
    }
}

/* ---- confirms ---- */

static struct publish *
take(struct broker_amqp *b, uint64_t seq)
{
    struct publish *p = b->window[seq % WINDOW];

    b->window[seq % WINDOW] = NULL;
    return p;
}

static void
confirm_one(struct broker_amqp *b, uint64_t seq, enum status st)
{
    struct publish *p = take(b, seq);

    if (p == NULL)
        return;
    if (st == ST_OK && p->returned && p->reply) {
        st = ST_NOTFOUND;
    } else if (st == ST_OK && p->returned) {
        amq_target_forget(b, p);
        if (p->attempts < TRIES && !b->closing) {
            list_add_head(&b->waiting, &p->node);
            turn_ask(&b->turn);
            return;
        }
        log_warning("no queue takes a message", "key=%s", p->key);
        st = ST_NOTFOUND;
    }
    done(b, p, st);
}

static void
confirm(struct broker_amqp *b, uint64_t tag, bool multiple, enum status st)
{
    uint64_t from = multiple || tag == 0 ? b->first_seq : tag;
    uint64_t to = tag == 0 ? b->next_seq - 1 : tag;

    if (from < b->first_seq || to >= b->next_seq)
        return;
    for (uint64_t seq = from; seq <= to && to < b->next_seq; seq++)
        confirm_one(b, seq, st);
    while (b->first_seq < b->next_seq &&
           b->window[b->first_seq % WINDOW] == NULL)
        b->first_seq++;
}

void
amq_publish_method(struct broker_amqp *b, amqp_method_number_t id, void *fields)
{
    if (id == AMQP_BASIC_ACK_METHOD) {
        const amqp_basic_ack_t *m = fields;
        confirm(b, m->delivery_tag, m->multiple, ST_OK);
    } else if (id == AMQP_BASIC_NACK_METHOD) {
        const amqp_basic_nack_t *m = fields;
        confirm(b, m->delivery_tag, m->multiple, ST_BUSY);
    }
}

static bool
same(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* The oldest message like c that is not yet returned. */
static struct publish *
find_returned(struct broker_amqp *b, const struct amq_content *c, bool heads)
{
    const amqp_basic_return_t *r = c->fields;

    for (uint64_t seq = b->first_seq; seq < b->next_seq; seq++) {
        struct publish *p = b->window[seq % WINDOW];
        if (p != NULL && !p->returned && *p->exchange == '\0' &&
            same(slice_of(p->key), amq_slice(r->routing_key)) &&
            same(p->body, (struct slice){c->body, c->body_len}) &&
            (!heads || same(p->head, c->head)))
            return p;
    }
    return NULL;
}

/* A returned message comes before its confirm, and nothing says which it is but
 * what is in it.  Tasks with the same arguments are told apart by their
 * headers, unless the broker has written those anew. */
void
amq_publish_returned(struct broker_amqp *b, const struct amq_content *c)
{
    struct publish *p = NULL;

    if (c->body != NULL)
        p = find_returned(b, c, true);
    if (c->body != NULL && p == NULL)
        p = find_returned(b, c, false);
    if (p != NULL)
        p->returned = true;
}

void
amq_publish_lost(struct broker_amqp *b)
{
    uint64_t end = b->next_seq;

    amq_targets_clear(&b->targets);
    for (uint64_t seq = b->first_seq; seq < end; seq++) {
        struct publish *p = take(b, seq);
        if (p != NULL)
            done(b, p, ST_LOST);
    }
    b->first_seq = b->next_seq = 1; /* a new channel counts from 1 */
}

void
amq_publish_unreachable(struct broker_amqp *b, enum status st)
{
    done(b, list_entry(b->waiting.next, struct publish, node), st);
}

/* ---- asking ---- */

static enum status
check(const struct broker_amqp *b, const struct message *m, struct error *err)
{
    const char *exchange = m->exchange == NULL ? "" : m->exchange;
    const char *key = m->routing_key == NULL ? "" : m->routing_key;

    if (b->publishing >= PUBLISH_MAX ||
        b->publishing_bytes >= PUBLISH_BYTES_MAX)
        return error_set(err, ST_BUSY, "%zu messages wait to be published",
                         b->publishing);
    if (*exchange == '\0' && *key == '\0')
        return error_set(err, ST_INVALID, "a message without routing key");
    if (strlen(exchange) > NAME_MAX_BYTES || strlen(key) > NAME_MAX_BYTES)
        return error_set(err, ST_TOOBIG,
                         "an exchange or a routing key of more than %d bytes",
                         NAME_MAX_BYTES);
    if (m->body_len > BODY_MAX)
        return error_set(err, ST_TOOBIG, "a body of %zu bytes, %zu at most",
                         m->body_len, BODY_MAX);
    return ST_OK;
}

enum status
amq_publish(struct broker *base, const struct message *m, void *cookie,
            struct error *err)
{
    struct broker_amqp *b = (struct broker_amqp *)base;
    struct slice body = {m->body, m->body_len};
    char delayed[NAME_MAX_BYTES + 1];
    struct address to = {m->exchange == NULL ? "" : m->exchange,
                         m->routing_key == NULL ? "" : m->routing_key, ""};
    struct publish *p;
    struct buf head;
    enum status st = check(b, m, err);

    if (st != ST_OK)
        return st;
    buf_init(&head, AMQ_FRAME_MAX);
    st = amq_content_encode(m, &head, err);
    if (st == ST_OK &&
        head.len + AMQ_FRAME_OVERHEAD > amq_link_frame_max(b->out))
        st = error_set(err, ST_TOOBIG,
                       "headers and properties of %zu bytes: more than the "
                       "broker's frame of %zu",
                       head.len, amq_link_frame_max(b->out));
    if (st != ST_OK)
        goto out;
    if (amq_delay(b, m, delayed))
        to = (struct address){amq_delay_exchange, delayed, m->exchange};
    p = publish_new(&to, (struct slice){head.data, head.len}, body);
    if (p == NULL) {
        st = error_set(err, ST_NOMEM, "no memory to publish");
        goto out;
    }
    p->cookie = cookie;
    p->reply = m->reply;
    add(b, p);
out:
    buf_fini(&head);
    return st;
}

enum status
amq_publish_copy(struct broker_amqp *b, const struct held *h)
{
    const struct address to = {"", h->q->name, ""};
    struct publish *p = NULL;
    struct error err = {0};
    struct buf head;
    enum status st;

    buf_init(&head, AMQ_FRAME_MAX);
    st = amq_content_copy(h->head, &head, &err);
    if (st == ST_OK)
        p = publish_new(&to, (struct slice){head.data, head.len}, h->body);
    buf_fini(&head);
    if (p == NULL)
        return st == ST_OK ? ST_NOMEM : st;
    p->held = h->id;
    add(b, p);
    return ST_OK;
}

void
amq_publishes_free(struct broker_amqp *b)
{
    struct list *n;

    while ((n = list_pop(&b->waiting)) != NULL)
        free(list_entry(n, struct publish, node));
    for (int i = 0; i < WINDOW; i++)
        free(b->window[i]);
}

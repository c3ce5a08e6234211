/* SPDX-License-Identifier: Apache-2.0 */
/* An AMQP broker that does what a test tells it. */
#include "tests/support/amqp_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/amqp/table.h"
#include "tests/support/loop.h"

enum { PEERS = 32, POOL_PAGE = 4096 };

struct amqp_script {
    uv_loop_t *loop;
    uv_tcp_t listener;
    amqp_script_fn *fn;
    void *arg;
    uint32_t frame_max;
    char url[64];
    struct amqp_peer *peers[PEERS];
};

static void
fail(const char *what)
{
    fprintf(stderr, "amqp_script: %s\n", what);
    abort();
}

/* ---- sending ---- */

static void
send_bytes(struct amqp_peer *p, struct buf *b)
{
    size_t at = 0;

    if (b->failed)
        fail("a frame that does not encode");
    while (at < b->len && !uv_is_closing((uv_handle_t *)&p->tcp)) {
        uv_buf_t part = uv_buf_init(b->data + at, (unsigned)(b->len - at));
        int n = uv_try_write((uv_stream_t *)&p->tcp, &part, 1);
        if (n > 0)
            at += (size_t)n;
        else if (n != UV_EAGAIN)
            break;
    }
    buf_fini(b);
}

void
amqp_peer_send(struct amqp_peer *p, uint16_t channel, amqp_method_number_t id,
               void *fields)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    amq_frame_method(&b, channel, id, fields);
    send_bytes(p, &b);
}

void
amqp_peer_send_content(struct amqp_peer *p, uint16_t channel,
                       amqp_method_number_t id, void *fields, struct slice head,
                       struct slice body)
{
    struct buf b;

    buf_init(&b, 64 << 20);
    amq_frame_method(&b, channel, id, fields);
    amq_frame_content(&b, channel, head, body, p->script->frame_max);
    send_bytes(p, &b);
}

void
amqp_peer_confirm(struct amqp_peer *p, uint64_t tag, bool multiple, bool good)
{
    amqp_basic_ack_t ack = {.delivery_tag = tag, .multiple = multiple};
    amqp_basic_nack_t nack = {.delivery_tag = tag, .multiple = multiple};

    if (good)
        amqp_peer_send(p, 1, AMQP_BASIC_ACK_METHOD, &ack);
    else
        amqp_peer_send(p, 1, AMQP_BASIC_NACK_METHOD, &nack);
}

void
amqp_peer_close_channel(struct amqp_peer *p, uint16_t channel, uint16_t code)
{
    amqp_channel_close_t close = {.reply_code = code,
                                  .reply_text = amq_bytes("the test says so")};

    amqp_peer_send(p, channel, AMQP_CHANNEL_CLOSE_METHOD, &close);
}

/* ---- answering ---- */

static void
start(struct amqp_peer *p)
{
    amqp_connection_start_t m = {.version_minor = 9,
                                 .mechanisms = amq_bytes("PLAIN"),
                                 .locales = amq_bytes("en_US")};

    amqp_peer_send(p, 0, AMQP_CONNECTION_START_METHOD, &m);
}

static void
answer_connection(struct amqp_peer *p, amqp_method_number_t id)
{
    amqp_connection_tune_t tune = {.channel_max = 2047,
                                   .frame_max = p->script->frame_max,
                                   .heartbeat = 60};
    amqp_connection_open_ok_t open_ok = {0};
    amqp_connection_close_ok_t close_ok = {0};

    if (id == AMQP_CONNECTION_START_OK_METHOD)
        amqp_peer_send(p, 0, AMQP_CONNECTION_TUNE_METHOD, &tune);
    else if (id == AMQP_CONNECTION_OPEN_METHOD)
        amqp_peer_send(p, 0, AMQP_CONNECTION_OPEN_OK_METHOD, &open_ok);
    else if (id == AMQP_CONNECTION_CLOSE_METHOD)
        amqp_peer_send(p, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &close_ok);
}

static void
answer_channel(struct amqp_peer *p, uint16_t channel, amqp_method_number_t id,
               const void *fields)
{
    static const struct {
        amqp_method_number_t asked, answer;
    } plain[] = {
        {AMQP_CHANNEL_OPEN_METHOD, AMQP_CHANNEL_OPEN_OK_METHOD},
        {AMQP_CONFIRM_SELECT_METHOD, AMQP_CONFIRM_SELECT_OK_METHOD},
        {AMQP_QUEUE_DECLARE_METHOD, AMQP_QUEUE_DECLARE_OK_METHOD},
        {AMQP_QUEUE_BIND_METHOD, AMQP_QUEUE_BIND_OK_METHOD},
        {AMQP_BASIC_QOS_METHOD, AMQP_BASIC_QOS_OK_METHOD},
    };
    char fields_of_answer[256] = {0};

    if (id == AMQP_EXCHANGE_DECLARE_METHOD &&
        !((const amqp_exchange_declare_t *)fields)->nowait)
        amqp_peer_send(p, channel, AMQP_EXCHANGE_DECLARE_OK_METHOD,
                       fields_of_answer);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (plain[i].asked == id)
            amqp_peer_send(p, channel, plain[i].answer, fields_of_answer);
}

static void
on_method(struct amqp_peer *p, const struct amq_frame *f)
{
    amqp_method_number_t id = amq_get32(f->payload.ptr);
    struct slice s = {f->payload.ptr + 4, f->payload.len - 4};
    void *fields = NULL;

    if (amqp_decode_method(id, &p->pool, amq_bytes_of(s), &fields) < 0)
        fail("a method that does not decode");
    if (id == AMQP_CHANNEL_OPEN_METHOD && f->channel == 1)
        p->seq = 0;
    if (id == AMQP_CONFIRM_SELECT_METHOD)
        p->publishes = true;
    if (id == AMQP_BASIC_PUBLISH_METHOD) {
        p->channel = f->channel;
        p->head.len = p->body.len = 0;
        return;
    }
    if (p->script->fn(p->script->arg, p, f->channel, id, fields))
        return;
    if (f->channel == 0)
        answer_connection(p, id);
    else
        answer_channel(p, f->channel, id, fields);
}

static void
on_message(struct amqp_peer *p)
{
    p->seq += p->channel == 1;
    if (!p->script->fn(p->script->arg, p, p->channel, AMQP_BASIC_PUBLISH_METHOD,
                       NULL) &&
        p->channel == 1)
        amqp_peer_confirm(p, p->seq, false, true);
}

static void
on_frame(struct amqp_peer *p, const struct amq_frame *f)
{
    switch (f->type) {
    case AMQ_FRAME_METHOD:
        on_method(p, f);
        break;
    case AMQ_FRAME_HEADER:
        buf_add(&p->head, f->payload);
        p->body_size = amq_get64(f->payload.ptr + 4);
        if (p->body_size == 0)
            on_message(p);
        break;
    case AMQ_FRAME_BODY:
        buf_add(&p->body, f->payload);
        if (p->body.len > p->body_size)
            fail("more body than announced");
        if (p->body.len == p->body_size)
            on_message(p);
        break;
    default:
        break;
    }
}

/* ---- connections ---- */

static void
on_closed(uv_handle_t *h)
{
    struct amqp_peer *p = h->data;

    buf_fini(&p->in);
    buf_fini(&p->head);
    buf_fini(&p->body);
    empty_amqp_pool(&p->pool);
    free(p);
}

void
amqp_script_cut(struct amqp_peer *p)
{
    for (int i = 0; i < PEERS; i++)
        if (p->script->peers[i] == p)
            p->script->peers[i] = NULL;
    if (!uv_is_closing((uv_handle_t *)&p->tcp))
        uv_close((uv_handle_t *)&p->tcp, on_closed);
}

static void
on_alloc(uv_handle_t *h, size_t n, uv_buf_t *b)
{
    static char memory[65536];

    (void)h;
    (void)n;
    *b = uv_buf_init(memory, sizeof memory);
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *from)
{
    static const char greeting[] = {'A', 'M', 'Q', 'P', 0, 0, 9, 1};
    struct amqp_peer *p = stream->data;
    struct error err;
    struct amq_frame f;
    struct slice in;

    if (n < 0) {
        amqp_script_cut(p);
        return;
    }
    buf_add(&p->in, (struct slice){from->base, (size_t)n});
    in = (struct slice){p->in.data, p->in.len};
    if (in.len >= sizeof greeting &&
        memcmp(in.ptr, greeting, sizeof greeting) == 0) {
        in.ptr += sizeof greeting;
        in.len -= sizeof greeting;
        start(p);
    }
    while (amq_frame_cut(&in, p->script->frame_max, &f, &err) == ST_OK)
        on_frame(p, &f);
    if (in.len >= 7 && amq_get32(in.ptr + 3) + 8u > p->script->frame_max)
        fail("a frame that is larger than was agreed");
    memmove(p->in.data, in.ptr, in.len);
    p->in.len = in.len;
}

static void
on_connection(uv_stream_t *listener, int status)
{
    struct amqp_script *s = listener->data;
    struct amqp_peer *p = calloc(1, sizeof *p);
    int i = 0;

    if (status != 0 || p == NULL)
        fail("no connection");
    p->script = s;
    buf_init(&p->in, 64 << 20);
    buf_init(&p->head, 1 << 20);
    buf_init(&p->body, 64 << 20);
    init_amqp_pool(&p->pool, POOL_PAGE);
    uv_tcp_init(s->loop, &p->tcp);
    p->tcp.data = p;
    uv_accept(listener, (uv_stream_t *)&p->tcp);
    uv_tcp_nodelay(&p->tcp, 1);
    uv_read_start((uv_stream_t *)&p->tcp, on_alloc, on_read);
    while (s->peers[i] != NULL)
        if (++i == PEERS)
            fail("too many connections");
    s->peers[i] = p;
}

static struct amqp_peer *
find(struct amqp_script *s, bool publishes)
{
    for (int i = 0; i < PEERS; i++)
        if (s->peers[i] != NULL && s->peers[i]->publishes == publishes)
            return s->peers[i];
    return NULL;
}

struct amqp_peer *
amqp_script_publisher(struct amqp_script *s)
{
    return find(s, true);
}

struct amqp_peer *
amqp_script_consumer(struct amqp_script *s)
{
    return find(s, false);
}

/* ---- life ---- */

struct amqp_script *
amqp_script_new(uv_loop_t *loop, amqp_script_fn *fn, void *arg)
{
    struct amqp_script *s = calloc(1, sizeof *s);
    struct sockaddr_in a;
    int len = sizeof a;

    if (s == NULL)
        fail("no memory");
    s->loop = loop;
    s->fn = fn;
    s->arg = arg;
    s->frame_max = AMQ_FRAME_MAX;
    uv_ip4_addr("127.0.0.1", 0, &a);
    uv_tcp_init(loop, &s->listener);
    s->listener.data = s;
    if (uv_tcp_bind(&s->listener, (struct sockaddr *)&a, 0) != 0 ||
        uv_listen((uv_stream_t *)&s->listener, 16, on_connection) != 0 ||
        uv_tcp_getsockname(&s->listener, (struct sockaddr *)&a, &len) != 0)
        fail("cannot listen");
    (void)snprintf(s->url, sizeof s->url, "amqp://guest:guest@127.0.0.1:%d//",
                   ntohs(a.sin_port));
    return s;
}

void
amqp_script_free(struct amqp_script *s)
{
    for (int i = 0; i < PEERS; i++)
        if (s->peers[i] != NULL)
            amqp_script_cut(s->peers[i]);
    uv_close((uv_handle_t *)&s->listener, NULL);
    loop_until(s->loop, NULL, NULL, 20);
    free(s);
}

const char *
amqp_script_url(const struct amqp_script *s)
{
    return s->url;
}

void
amqp_script_frame_max(struct amqp_script *s, uint32_t bytes)
{
    s->frame_max = bytes;
}

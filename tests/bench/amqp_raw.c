/* SPDX-License-Identifier: Apache-2.0 */
/* RabbitMQ with nothing around it, for the benchmark:
 *
 *   amqp_raw PORT fill N TASK    N copies, with ids of their own, of the
 * message in the queue bench.template, into "celery" amqp_raw PORT drain N
 * AHEAD  takes N from there and does nothing but acknowledge, every AHEAD / 4
 * at once: what the broker can give.  Prints seconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <amqp.h>
#include <amqp_tcp_socket.h>

enum { CHANNEL = 1, ID_SIZE = 37 };

static void
need(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "amqp_raw: %s\n", what);
    exit(1);
}

static void
answered(amqp_connection_state_t c, const char *what)
{
    need(amqp_get_rpc_reply(c).reply_type == AMQP_RESPONSE_NORMAL, what);
}

static amqp_connection_state_t
connect_to(int port)
{
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *s = amqp_tcp_socket_new(c);
    amqp_rpc_reply_t r;

    need(amqp_socket_open(s, "127.0.0.1", port) == 0, "connect");
    r = amqp_login(c, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest",
                   "guest");
    need(r.reply_type == AMQP_RESPONSE_NORMAL, "login");
    amqp_channel_open(c, CHANNEL);
    answered(c, "channel");
    return c;
}

static double
now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- fill ---- */

/* The template stays in its queue. */
static void
get_template(amqp_connection_state_t c, amqp_message_t *m)
{
    amqp_bytes_t queue = amqp_cstring_bytes("bench.template");
    amqp_rpc_reply_t r = amqp_basic_get(c, CHANNEL, queue, 0);
    const amqp_basic_get_ok_t *ok = r.reply.decoded;

    need(r.reply.id == AMQP_BASIC_GET_OK_METHOD, "no template");
    need(amqp_basic_reject(c, CHANNEL, ok->delivery_tag, 1) == 0, "reject");
    r = amqp_read_message(c, CHANNEL, m, 0);
    need(r.reply_type == AMQP_RESPONSE_NORMAL, "template");
}

static void
set_header(const amqp_message_t *m, const char *name, const char *value)
{
    const amqp_table_t *t = &m->properties.headers;

    for (int i = 0; i < t->num_entries; i++)
        if (t->entries[i].key.len == strlen(name) &&
            memcmp(t->entries[i].key.bytes, name, strlen(name)) == 0)
            t->entries[i].value.value.bytes = amqp_cstring_bytes(value);
}

static void
fill(amqp_connection_state_t c, unsigned n, const char *task)
{
    amqp_bytes_t queue = amqp_cstring_bytes("celery");
    amqp_queue_declare_ok_t *q;
    amqp_message_t m;
    char id[ID_SIZE];

    get_template(c, &m);
    amqp_queue_declare(c, CHANNEL, queue, 0, 1, 0, 0, amqp_empty_table);
    answered(c, "declare");
    set_header(&m, "task", task);
    for (unsigned i = 0; i < n; i++) {
        snprintf(id, sizeof(id), "%08x-0000-4000-8000-%012x", getpid(), i);
        set_header(&m, "id", id);
        set_header(&m, "root_id", id);
        m.properties.correlation_id = amqp_cstring_bytes(id);
        need(amqp_basic_publish(c, CHANNEL, amqp_empty_bytes, queue, 0, 0,
                                &m.properties, m.body) == 0,
             "publish");
    }
    do {
        q = amqp_queue_declare(c, CHANNEL, queue, 1, 1, 0, 0, amqp_empty_table);
        answered(c, "count");
        usleep(10000);
    } while (q->message_count < n);
}

/* ---- drain ---- */

static void
drain(amqp_connection_state_t c, unsigned n, unsigned ahead)
{
    amqp_envelope_t e;
    unsigned pause = ahead / 4 > 0 ? ahead / 4 : 1;
    double t0;

    amqp_basic_qos(c, CHANNEL, 0, (uint16_t)ahead, 0);
    answered(c, "qos");
    amqp_basic_consume(c, CHANNEL, amqp_cstring_bytes("celery"),
                       amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    answered(c, "consume");
    t0 = now_s();
    for (unsigned i = 1; i <= n; i++) {
        uint64_t tag;

        amqp_maybe_release_buffers(c);
        need(amqp_consume_message(c, &e, NULL, 0).reply_type ==
                 AMQP_RESPONSE_NORMAL,
             "consume");
        tag = e.delivery_tag;
        amqp_destroy_envelope(&e);
        if (i % pause == 0 || i == n)
            need(amqp_basic_ack(c, CHANNEL, tag, 1) == 0, "ack");
    }
    printf("%.6f\n", now_s() - t0);
    amqp_channel_close(c, CHANNEL, AMQP_REPLY_SUCCESS);
}

int
main(int argc, char **argv)
{
    amqp_connection_state_t c;

    need(argc == 5, "usage: PORT fill N TASK | PORT drain N AHEAD");
    c = connect_to((int)strtol(argv[1], NULL, 10));
    if (strcmp(argv[2], "fill") == 0)
        fill(c, (unsigned)strtoul(argv[3], NULL, 10), argv[4]);
    else
        drain(c, (unsigned)strtoul(argv[3], NULL, 10),
              (unsigned)strtoul(argv[4], NULL, 10));
    amqp_connection_close(c, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(c);
    return 0;
}

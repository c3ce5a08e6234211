/* SPDX-License-Identifier: Apache-2.0 */
/* Publishes with confirms, through the code that a node does it with:
 *
 *   amqp_publish URL N
 *
 * Makes N calls of bench.noop, publishes them to the queue "celery", AHEAD at
 * most unconfirmed, and prints the seconds from the first to the last confirm.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/id.h"
#include "protocol/task.h"
#include "store/broker.h"

enum { AHEAD = 4000 };

struct run {
    struct broker *b;
    unsigned long total, sent, confirmed;
    struct timespec start;
};

static void
die(const char *why)
{
    fprintf(stderr, "amqp_publish: %s\n", why);
    exit(1);
}

static void
send_one(struct run *r)
{
    struct task_new t = TASK_NEW_INIT;
    struct json_object *args = json_object_new_array();
    struct message *m = NULL;
    char id[ID_LEN + 1];
    struct error err = {.text = "out of memory"};

    id_new(id);
    json_object_array_add(args, json_object_new_int(1));
    json_object_array_add(args, json_object_new_int(2));
    t.id = slice_of(id);
    t.name = slice_of("bench.noop");
    t.args = args;
    t.origin = slice_of("bench@localhost");
    t.exchange = slice_of("");
    t.routing_key = slice_of("celery");
    if (task_encode(&t, &m, &err) != ST_OK ||
        r->b->ops->publish(r->b, m, r, &err) != ST_OK)
        die(err.text);
    message_free(m);
    json_object_put(args);
    r->sent++;
}

static void
send_more(struct run *r)
{
    while (r->sent < r->total && r->sent - r->confirmed < AHEAD)
        send_one(r);
}

static void
on_ready(void *arg)
{
    struct run *r = arg;

    clock_gettime(CLOCK_MONOTONIC, &r->start);
    send_more(r);
}

static void
on_closed(void *arg)
{
    (void)arg;
}

static void
on_published(void *arg, void *cookie, enum status st)
{
    struct run *r = arg;
    struct timespec now;

    (void)cookie;
    if (st != ST_OK)
        die(status_text(st));
    if (++r->confirmed < r->total) {
        send_more(r);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("%.6f\n", (double)(now.tv_sec - r->start.tv_sec) +
                         (double)(now.tv_nsec - r->start.tv_nsec) / 1e9);
    r->b->ops->close(r->b, 1000, on_closed, r);
}

static void
on_lost(void *arg, const struct error *why, bool tags_void)
{
    (void)arg;
    (void)tags_void;
    die(why->text);
}

int
main(int argc, char **argv)
{
    static const struct broker_events events = {
        .ready = on_ready, .published = on_published, .lost = on_lost};
    struct run r = {0};
    struct config config;
    struct error err;
    uv_loop_t loop;
    struct broker_opts o = {.config = &config};

    if (argc != 3)
        die("usage: URL N");
    o.url = argv[1];
    r.total = strtoul(argv[2], NULL, 10);
    uv_loop_init(&loop);
    if (config_init(&config, &err) != ST_OK ||
        broker_open(&r.b, &loop, &o, &events, &r, &err) != ST_OK)
        die(err.text);
    uv_run(&loop, UV_RUN_DEFAULT);
    config_fini(&config);
    return r.confirmed == r.total ? 0 : 1;
}

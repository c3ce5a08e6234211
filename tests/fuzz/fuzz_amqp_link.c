/* SPDX-License-Identifier: Apache-2.0 */
/* What a broker sends, cut anywhere: the handshake (the first byte is even) or
 * frames on a connection that is up.  Nothing is sent: the stream never
 * connects. */
#include "store/amqp/link_state.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
nothing(void *arg)
{
    (void)arg;
}

static void
on_down(void *arg, const struct error *why)
{
    (void)arg;
    assert(why->code != ST_OK);
}

static void
on_method(void *arg, uint16_t channel, amqp_method_number_t id, void *fields)
{
    (void)arg;
    (void)id;
    (void)fields;
    assert(channel >= 1 && channel <= AMQ_CHANNELS);
}

static void
on_content(void *arg, uint16_t channel, struct amq_content *c)
{
    (void)arg;
    (void)channel;
    assert(c->body == NULL || c->body[c->body_len] == '\0');
    if (c->body_len % 2 == 1) { /* the owner may take it */
        free(c->body);
        c->body = NULL;
    }
}

static void
on_channel_down(void *arg, uint16_t channel, uint16_t code,
                const struct error *why)
{
    struct amq_link **l = arg;

    (void)why;
    if (code % 2 == 0)
        amq_link_reopen(*l, channel);
}

static void
on_channel_up(void *arg, uint16_t channel)
{
    (void)arg;
    (void)channel;
}

static void
on_blocked(void *arg, bool blocked)
{
    (void)arg;
    (void)blocked;
}

static void
on_connected_data(void *arg, const char *p, size_t n)
{
    (void)arg;
    (void)p;
    (void)n;
}

static void
begin(struct amq_link *l, uv_loop_t *loop, bool up)
{
    static const struct stream_events events = {nothing, on_connected_data,
                                                on_down};
    struct stream_opts opts = {.path = "/nowhere"};
    struct error err;

    if (stream_open(&l->stream, loop, &opts, &events, NULL, &err) != ST_OK)
        abort();
    link_greet(l);
    for (int c = 1; c <= AMQ_CHANNELS && up; c++)
        l->channels[c].phase = CHANNEL_UP;
    if (up)
        link_enter(l, LINK_UP);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct amq_link_events events = {
        nothing,    on_down,         on_down,       on_method,
        on_content, on_channel_down, on_channel_up, on_blocked};
    struct amq_link_opts opts = {.urls = "amqp://h", .name = "x", .confirm = 1};
    struct amq_link *l = NULL;
    unsigned generation;
    struct error err;
    uv_loop_t loop;

    if (size < 2)
        return 0;
    uv_loop_init(&loop);
    if (amq_link_open(&l, &loop, &opts, &events, &l, &err) != ST_OK)
        abort();
    begin(l, &loop, data[0] % 2 == 1);
    generation = l->generation;
    for (size_t at = 2; at < size && l->generation == generation;) {
        size_t n = data[1] == 0 || data[1] > size - at ? size - at : data[1];
        link_read(l, (struct slice){(const char *)data + at, n});
        at += n;
    }
    amq_link_close(l, 0, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert(uv_loop_close(&loop) == 0);
    return 0;
}

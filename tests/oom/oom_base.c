/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of base fails once: no crash, no leak, and either it
 * works or it says that it did not. */
#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/json.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/stream.h"
#include "base/url.h"
#include "tests/oom/oom.h"

static void
json(void)
{
    static const char text[] =
        "{\"a long key with an \\u0065scape\": [1, 2.5, \"x\\n\", {}], \"b\": "
        "123456789012345678901234567890, \"c\": \"\\u00e9 and some more\"}";
    struct json_object *v = NULL, *copy;
    struct error err;
    char *out;

    if (json_parse((struct slice){text, sizeof(text) - 1}, 9, &v, &err) !=
        ST_OK) {
        assert(err.code == ST_NOMEM);
        return;
    }
    copy = json_copy(v);
    out = json_text(copy);
    free(out);
    json_object_put(copy);
    json_object_put(v);
}

static void
maps(void)
{
    static char keys[100];
    struct map m;
    size_t put = 0;

    map_init(&m);
    for (size_t i = 0; i < sizeof(keys); i++) {
        keys[i] = (char)i;
        if (map_put(&m, (struct slice){&keys[i], 1}, &keys[i]) == ST_OK)
            put++;
        else
            assert(map_find(&m, (struct slice){&keys[i], 1}) == NULL);
    }
    assert(m.count == put);
    map_fini(&m);
}

static void
urls(void)
{
    struct url u;
    char shown[100];

    url_redacted("redis://u:secret@h/?a=b", shown, sizeof(shown));
    assert(strstr(shown, "secret") == NULL);
    if (url_parse("redis://u:p@h/?a=b", &u, NULL) != ST_OK)
        return;
    free(url_query(&u, "a"));
    url_fini(&u);
}

static void
settings(void)
{
    char line[] = "task_queues = a,b";
    struct config c;
    struct error err;
    struct buf b;

    if (config_init(&c, &err) != ST_OK)
        return;
    if (config_load_line(&c, line, &err) == ST_OK)
        assert(strcmp(c.task_queues, "a,b") == 0);
    else
        assert(strcmp(c.task_queues, "") == 0);
    if (config_load_file(&c, "/dev/null", &err) != ST_OK)
        assert(err.code == ST_NOMEM);
    buf_init(&b, 1 << 20);
    config_write_values(&c, &b);
    buf_fini(&b);
    config_fini(&c);
}

static void
counters(void)
{
    struct metric *m = metric_new(METRIC_COUNTER, "oom_total", "Oom.", "l");

    metric_add(m, "a", 1);
    metric_add(m, "b", 1);
}

/* --- a stream to a listener that closes at once --------------------------- */

static int ended;
static struct stream *s;
static uv_tcp_t listener;

static void
on_connected(void *arg)
{
    static const char bytes[100000];

    (void)arg;
    stream_write(s, (struct slice){bytes, sizeof(bytes)});
}

static void
on_data(void *arg, const char *p, size_t n)
{
    (void)arg;
    (void)p;
    (void)n;
}

static void
on_lost(void *arg, const struct error *why)
{
    (void)arg;
    assert(why->code == ST_LOST);
    ended++;
    uv_close((uv_handle_t *)&listener, NULL);
}

static void
on_connection(uv_stream_t *l, int status)
{
    static uv_tcp_t peer;

    (void)status;
    uv_tcp_init(l->loop, &peer);
    if (uv_accept(l, (uv_stream_t *)&peer) == 0)
        uv_close((uv_handle_t *)&peer, NULL);
}

static void
streams(void)
{
    static const struct stream_events ev = {on_connected, on_data, on_lost};
    struct stream_opts o = {.host = "127.0.0.1"};
    struct sockaddr_in a;
    int n = sizeof(a);
    uv_loop_t loop;
    struct error err;

    uv_loop_init(&loop);
    uv_tcp_init(&loop, &listener);
    uv_ip4_addr("127.0.0.1", 0, &a);
    uv_tcp_bind(&listener, (const struct sockaddr *)&a, 0);
    uv_listen((uv_stream_t *)&listener, 1, on_connection);
    uv_tcp_getsockname(&listener, (struct sockaddr *)&a, &n);
    o.port = ntohs(a.sin_port);
    ended = 0;
    if (stream_open(&s, &loop, &o, &ev, NULL, &err) == ST_OK) {
        uv_run(&loop, UV_RUN_DEFAULT);
        assert(ended == 1);
    } else {
        assert(err.code == ST_NOMEM);
        uv_close((uv_handle_t *)&listener, NULL);
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    assert(uv_loop_close(&loop) == 0);
}

int
main(void)
{
    signal(SIGPIPE, SIG_IGN);
    oom_torture(json);
    oom_torture(maps);
    oom_torture(urls);
    oom_torture(settings);
    oom_torture(counters);
    oom_torture(streams);
    return 0;
}
